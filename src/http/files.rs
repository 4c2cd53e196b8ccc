//! Static files: `root` and `index`, with conditions and ranges.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::client::Client;
use super::gzip::Gzip;
use super::output::Piece;
use super::ranges::{self, Asked};
use super::request::Request;
use super::response::Response;
use super::variables::Values;
use super::{ModifiedSince, uri};
use crate::log::{Level, clock};

/// What a path leads to.
pub(super) enum Found {
    Answer(Response),
    /// An index file: the path that stands for the one asked for.
    Path(Vec<u8>),
}

/// Serves the file that a request's path names below the root.
pub(super) fn serve(values: &Values<'_>) -> Found {
    let Values { client, request, .. } = *values;
    let location = &*request.location;
    let page = |status| Found::Answer(Response::page(status, location.server_tokens));
    if !matches!(request.method(), b"GET" | b"HEAD" | b"POST") {
        return page(405);
    }
    if request.path.ends_with(b"/") {
        return index(values);
    }
    let Some(path) = location.root.file(values, &request.path) else { return page(500) };
    let failed =
        |call: &str, error: &io::Error| page(blame(values, error, |_| format!("{call} \"{}\" failed", path.display())));
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path) {
        Ok(file) => file,
        Err(error) => return failed("open()", &error),
    };
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return failed("fstat()", &error),
    };
    if metadata.is_dir() {
        return Found::Answer(to_directory(request));
    }
    if !metadata.is_file() {
        let message = format_args!("\"{}\" is not a regular file", path.display());
        client.log(Level::Crit, None, "", Some(request), message);
        return page(404);
    }
    if request.method() == b"POST" {
        return page(405);
    }
    let size = metadata.len();
    let entity = Entity { file: Rc::new(file), size, modified: u64::try_from(metadata.mtime()).unwrap_or_default() };
    Found::Answer(entity.answer(values))
}

/// nginx's status and level for a file that cannot be opened.
fn verdict(error: &io::Error) -> (u16, Level) {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG) => (404, Level::Error),
        Some(libc::EACCES | libc::EMLINK | libc::ELOOP) => (403, Level::Error),
        _ => (500, Level::Crit),
    }
}

/// The status for a file that cannot be opened; tells of it in the log, unless it is not there and nobody wants to know.
fn blame(values: &Values<'_>, error: &io::Error, message: impl FnOnce(u16) -> String) -> u16 {
    let (status, level) = verdict(error);
    if status != 404 || values.request.location.log_not_found {
        values.client.log(level, Some(error), "", Some(values.request), format_args!("{}", message(status)));
    }
    status
}

/// A directory that was asked for without its slash.
fn to_directory(request: &Request) -> Response {
    let to = uri::with_slash(&request.path, request.args.as_deref());
    Response::redirect(301, to, request.location.server_tokens)
}

/// The first index file of a directory that is there.
fn index(values: &Values<'_>) -> Found {
    let Values { client, request, .. } = *values;
    let location = &*request.location;
    let page = |status| Found::Answer(Response::page(status, location.server_tokens));
    let Some(directory) = location.root.file(values, &request.path) else { return page(500) };
    for name in &location.index {
        let name = values.fill(name);
        if name.starts_with(b"/") {
            return Found::Path(name);
        }
        let mut file = directory.clone().into_os_string();
        file.push(OsStr::from_bytes(&name));
        let file = PathBuf::from(file);
        match std::fs::metadata(&file) {
            Ok(_) => return Found::Path([&request.path[..], &name].concat()),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => {
                let what = |status| if status == 403 { "is forbidden" } else { "is not found" };
                return page(blame(values, &error, |status| format!("\"{}\" {}", file.display(), what(status))));
            }
        }
    }
    match std::fs::metadata(&directory) {
        Ok(_) => {
            let message = format_args!("directory index of \"{}\" is forbidden", directory.display());
            client.log(Level::Error, None, "", Some(request), message);
            page(403)
        }
        Err(error) => {
            let first = location.index.first().map(|name| values.fill(name)).unwrap_or_default();
            let path = [directory.as_os_str().as_bytes(), &first].concat();
            page(blame(values, &error, |_| format!("\"{}\" is not found", String::from_utf8_lossy(&path))))
        }
    }
}

/// Two numbers of 64 bits in hexadecimal digits, quotes and dash.
const ETAG_MAX: usize = 2 * 16 + 3;

/// A file that is there.
struct Entity {
    file: Rc<File>,
    size: u64,
    /// Seconds since 1970.
    modified: u64,
}

impl Entity {
    fn answer(&self, values: &Values<'_>) -> Response {
        let Values { client, request, .. } = *values;
        let location = &*request.location;
        let etag = location.etag.then(|| self.etag());
        let content_type = location.types.of(&request.path).unwrap_or(&location.default_type).to_vec();
        // Conditions and ranges are about what was asked for, not about an error page.
        let whole = request.error_status.is_some_and(|status| status != 200);
        match self.conditions(request, etag.as_deref()).filter(|_| !whole) {
            Some(412) => return Response::page(412, location.server_tokens),
            Some(status) => {
                return Response {
                    last_modified: Some(http_date(self.modified)),
                    fields: etag.into_iter().map(|etag| ("ETag".into(), etag)).collect(),
                    ..Response::new(status, Vec::new())
                };
            }
            None => {}
        }
        let mut response = Response {
            content_type: Some(content_type),
            last_modified: Some(http_date(self.modified)),
            ..Response::new(200, Vec::new())
        };
        response.fields.extend(etag.clone().map(|etag| ("ETag".into(), etag)));
        let compresses = |gzip: &Rc<Gzip>| gzip.takes(values, &response, self.size);
        let compressed = request.head.field("range").is_some() && location.gzip.as_ref().is_some_and(compresses);
        let asked = match request.head.field("range") {
            Some(range)
                if !whole && !compressed && location.max_ranges > 0 && self.range_holds(request, etag.as_deref()) =>
            {
                ranges::parse(range, self.size)
            }
            _ => Asked::Whole,
        };
        match asked {
            Asked::Parts(parts) if parts.len() <= location.max_ranges => self.parts(client, &parts, &mut response),
            Asked::Nothing => {
                let total = format!("bytes */{}", self.size).into_bytes();
                return Response {
                    fields: vec![("Content-Range".into(), total)],
                    ..Response::page(416, location.server_tokens)
                };
            }
            _ => {
                response.body.push(self.piece(&(0..self.size)));
                if location.max_ranges > 0 && !whole {
                    response.fields.push(("Accept-Ranges".into(), b"bytes".to_vec()));
                }
            }
        }
        response
    }

    /// `"MODIFIED-SIZE"`, in hexadecimal digits.
    fn etag(&self) -> Vec<u8> {
        let mut etag = Vec::with_capacity(ETAG_MAX);
        etag.push(b'"');
        push_hex(&mut etag, self.modified);
        etag.push(b'-');
        push_hex(&mut etag, self.size);
        etag.push(b'"');
        etag
    }

    /// 304 or 412 where the request's conditions ask for it (RFC 9110 13, in nginx's order).
    fn conditions(&self, request: &Request, etag: Option<&[u8]>) -> Option<u16> {
        let head = &request.head;
        if let Some(date) = head.field("if-unmodified-since")
            && parse_date(date).is_none_or(|date| date < self.modified)
        {
            return Some(412);
        }
        if let Some(list) = head.field("if-match")
            && !matches_tag(list, etag, false)
        {
            return Some(412);
        }
        let since = head.field("if-modified-since");
        let tags = head.field("if-none-match");
        let unmodified = since.is_none_or(|date| self.unmodified_since(date, request.location.if_modified_since));
        let same = tags.is_none_or(|list| matches_tag(list, etag, true));
        ((since.is_some() || tags.is_some()) && unmodified && same).then_some(304)
    }

    fn unmodified_since(&self, date: &[u8], rule: ModifiedSince) -> bool {
        let date = parse_date(date);
        match rule {
            ModifiedSince::Off => false,
            ModifiedSince::Exact => date == Some(self.modified),
            ModifiedSince::Before => date.is_some_and(|date| date >= self.modified),
        }
    }

    /// Whether `If-Range` allows a part to be sent.
    fn range_holds(&self, request: &Request, etag: Option<&[u8]>) -> bool {
        match request.head.field("if-range") {
            None => true,
            Some(tag) if tag.len() > 1 && tag.ends_with(b"\"") => etag == Some(tag),
            Some(date) => parse_date(date) == Some(self.modified),
        }
    }

    fn piece(&self, part: &Range<u64>) -> Piece {
        Piece::File { file: self.file.clone(), offset: part.start, left: part.end - part.start }
    }

    /// 206: one part as it is, several as `multipart/byteranges` (RFC 9110 14.6).
    fn parts(&self, client: &Client, parts: &[Range<u64>], response: &mut Response) {
        let range = |part: &Range<u64>| format!("bytes {}-{}/{}", part.start, part.end - 1, self.size);
        response.status = 206;
        if let [part] = parts {
            response.body.push(self.piece(part));
            response.fields.push(("Content-Range".into(), range(part).into_bytes()));
            return;
        }
        let boundary = format!("{:012}{:08}", client.number, client.requests);
        let content_type = response.content_type.replace(format!("multipart/byteranges; boundary={boundary}").into());
        let content_type = String::from_utf8_lossy(&content_type.unwrap_or_default()).into_owned();
        for part in parts {
            let range = range(part);
            let head = format!("\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n");
            response.body.push(Piece::Bytes(head.into_bytes()));
            response.body.push(self.piece(part));
        }
        response.body.push(Piece::Bytes(format!("\r\n--{boundary}--\r\n").into_bytes()));
    }
}

fn push_hex(out: &mut Vec<u8>, number: u64) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[(number >> (4 * digit)) as usize & 0xf]));
}

fn http_date(seconds: u64) -> Vec<u8> {
    clock::http(seconds).into_bytes()
}

fn parse_date(text: &[u8]) -> Option<u64> {
    let date: SystemTime = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Whether `etag` is in a list of tags, or the list is `*`; a weak comparison passes over `W/`.
fn matches_tag(list: &[u8], etag: Option<&[u8]>, weak: bool) -> bool {
    if list == b"*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    let tags = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tags.map(|tag| if weak { tag.strip_prefix(b"W/").unwrap_or(tag) } else { tag }).any(|tag| tag == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let tag = Some(&b"\"a-1\""[..]);
        for (list, weak, strong) in [
            ("*", true, true),
            ("\"a-1\"", true, true),
            ("\"b\", \"a-1\"", true, true),
            ("W/\"a-1\"", true, false),
            ("\"a\"", false, false),
            ("", false, false),
        ] {
            assert_eq!(matches_tag(list.as_bytes(), tag, true), weak, "{list}");
            assert_eq!(matches_tag(list.as_bytes(), tag, false), strong, "{list}");
        }
        assert!(!matches_tag(b"\"a\"", None, true));
    }

    #[test]
    fn dates() {
        assert_eq!(http_date(1_577_836_800), b"Wed, 01 Jan 2020 00:00:00 GMT");
        assert_eq!(parse_date(b"Wed, 01 Jan 2020 00:00:00 GMT"), Some(1_577_836_800));
        assert_eq!(parse_date(b"yesterday"), None);
        http_date(u64::MAX);
    }
}
