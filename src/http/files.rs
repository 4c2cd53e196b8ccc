//! Static files: `root` and `index`.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::rc::Rc;

use super::entity::{Entity, Source, http_date};
use super::gzip::Gzip;
use super::request::Request;
use super::response::Response;
use super::uri;
use super::variables::Values;
use crate::log::Level;

/// As many fields as an answer with a file has as a rule: its tag, and that there are parts.
const FIELDS_USUAL: usize = 2;

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
    let (size, modified) = (metadata.len(), u64::try_from(metadata.mtime()).unwrap_or_default());
    let etag = location.etag.then(|| etag_of(modified, size));
    let mut fields = Vec::with_capacity(FIELDS_USUAL);
    fields.extend(etag.iter().map(|etag| ("ETag".into(), etag.clone())));
    let response = Response {
        content_type: Some(location.types.of(&request.path).unwrap_or(&location.default_type).to_vec()),
        last_modified: Some(http_date(modified)),
        fields,
        ..Response::new(200, Vec::new())
    };
    // With what the location adds to it, by which gzip decides too.
    let compresses = |gzip: &Rc<Gzip>| {
        let (content_type, last_modified) = (response.content_type.clone(), response.last_modified.clone());
        let told = Response { content_type, last_modified, ..Response::new(200, Vec::new()) };
        let mut told = Response { fields: response.fields.clone(), ..told };
        location.fields.iter().for_each(|fields| fields.add(values, &mut told));
        gzip.takes(values, &told, size)
    };
    let compressed = request.head.field("range").is_some() && location.gzip.as_ref().is_some_and(compresses);
    let entity = Entity {
        source: Source::File(Rc::new(file), 0),
        size,
        modified: Some(modified),
        etag,
        ranges: if compressed { 0 } else { location.max_ranges },
    };
    Found::Answer(entity.answer(client, request, response))
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

/// `"MODIFIED-SIZE"`, in hexadecimal digits.
fn etag_of(modified: u64, size: u64) -> Vec<u8> {
    let mut etag = Vec::with_capacity(ETAG_MAX);
    etag.push(b'"');
    push_hex(&mut etag, modified);
    etag.push(b'-');
    push_hex(&mut etag, size);
    etag.push(b'"');
    etag
}

fn push_hex(out: &mut Vec<u8>, number: u64) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[(number >> (4 * digit)) as usize & 0xf]));
}
