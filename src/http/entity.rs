//! What is sent of something whose bytes are all there: all, parts of it (`Range`), or only that the client has it already (RFC 9110 13, 14).

use std::fs::File;
use std::ops::Range;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::ModifiedSince;
use super::client::Client;
use super::output::Piece;
use super::ranges::{self, Asked};
use super::request::Request;
use super::response::{Length, Response};
use crate::log::clock;

/// Where the bytes are.
pub(super) enum Source {
    /// In a file, from there on.
    File(Rc<File>, u64),
    Bytes(Vec<u8>),
    /// They come from elsewhere; only what of them is wanted is told.
    Elsewhere,
}

/// What the body of an answer is to be.
pub(super) enum Wanted {
    Whole,
    /// In that order; several as `multipart/byteranges`.
    Parts(Vec<Range<u64>>),
    /// None of it.
    Nothing,
}

/// Bytes that a client may ask for in parts or on conditions.
pub(super) struct Entity {
    pub source: Source,
    pub size: u64,
    /// Seconds since 1970.
    pub modified: Option<u64>,
    pub etag: Option<Vec<u8>>,
    /// How many parts may be asked for; 0: all or nothing is sent, and the answer does not speak of parts.
    pub ranges: usize,
}

impl Entity {
    /// Makes of `response`, the answer that all of it would have, the one that the request asks for.
    pub(super) fn answer(&self, client: &Client, request: &Request, response: Response) -> Response {
        let (mut response, wanted) = self.shape(request, response);
        match wanted {
            Wanted::Whole => response.body.push(self.piece(&(0..self.size))),
            Wanted::Parts(parts) => self.parts(client, &parts, &mut response),
            Wanted::Nothing => {}
        }
        response
    }

    /// The answer without its body, and what that is to be.
    pub(super) fn shape(&self, request: &Request, mut response: Response) -> (Response, Wanted) {
        let location = &*request.location;
        // Conditions and ranges are about what was asked for, not about an error page.
        let whole = request.error_status.is_some_and(|status| status != 200);
        match self.conditions(request).filter(|_| !whole) {
            Some(412) => return (Response::page(412, location.server_tokens), Wanted::Nothing),
            Some(status) => {
                let bare = ["Accept-Ranges", "Content-Encoding"];
                response.fields.retain(|(name, _)| !bare.iter().any(|bare| name.eq_ignore_ascii_case(bare)));
                let response = Response { status, reason: None, content_type: None, length: Length::Here, ..response };
                return (response, Wanted::Nothing);
            }
            None => {}
        }
        if self.ranges == 0 {
            return (response, Wanted::Whole);
        }
        response.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("Accept-Ranges"));
        let asked = match request.head.field("range") {
            Some(range) if !whole && self.range_holds(request) => ranges::parse(range, self.size),
            _ => Asked::Whole,
        };
        match asked {
            Asked::Parts(parts) if parts.len() <= self.ranges => {
                response.status = 206;
                response.reason = None;
                if let [part] = &parts[..] {
                    response.length = Length::Known(part.end - part.start);
                    response.fields.push(("Content-Range".into(), self.content_range(part)));
                }
                (response, Wanted::Parts(parts))
            }
            Asked::Nothing => {
                let total = format!("bytes */{}", self.size).into_bytes();
                // The page has the fields of what is there, but those that tell one from another.
                let validators = ["Last-Modified", "ETag", "Content-Encoding"];
                response.fields.retain(|(name, _)| !validators.iter().any(|known| name.eq_ignore_ascii_case(known)));
                response.fields.push(("Content-Range".into(), total));
                let page = Response { fields: response.fields, ..Response::page(416, location.server_tokens) };
                (page, Wanted::Nothing)
            }
            _ => {
                if !whole {
                    response.fields.push(("Accept-Ranges".into(), b"bytes".to_vec()));
                }
                (response, Wanted::Whole)
            }
        }
    }

    /// 304 or 412 where the request's conditions ask for it (RFC 9110 13, in nginx's order).
    fn conditions(&self, request: &Request) -> Option<u16> {
        let (head, etag) = (&request.head, self.etag.as_deref());
        if let Some(date) = head.field("if-unmodified-since")
            && self.modified.is_none_or(|modified| parse_date(date).is_none_or(|date| date < modified))
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
        let (Some(modified), Some(date)) = (self.modified, parse_date(date)) else { return false };
        match rule {
            ModifiedSince::Off => false,
            ModifiedSince::Exact => date == modified,
            ModifiedSince::Before => date >= modified,
        }
    }

    /// Whether `If-Range` allows a part to be sent.
    fn range_holds(&self, request: &Request) -> bool {
        match request.head.field("if-range") {
            None => true,
            Some(tag) if tag.len() > 1 && tag.ends_with(b"\"") => self.etag.as_deref() == Some(tag),
            Some(date) => self.modified.is_some() && parse_date(date) == self.modified,
        }
    }

    fn piece(&self, part: &Range<u64>) -> Piece {
        match &self.source {
            Source::File(file, start) => {
                Piece::File { file: file.clone(), offset: start + part.start, left: part.end - part.start }
            }
            Source::Bytes(bytes) => {
                Piece::Bytes(bytes.get(part.start as usize..part.end as usize).unwrap_or_default().to_vec())
            }
            Source::Elsewhere => Piece::Bytes(Vec::new()),
        }
    }

    /// 206: one part as it is, several as `multipart/byteranges` (RFC 9110 14.6).
    fn parts(&self, client: &Client, parts: &[Range<u64>], response: &mut Response) {
        if let [part] = parts {
            response.body.push(self.piece(part));
            return;
        }
        let boundary = format!("{:012}{:08}", client.number, client.requests);
        let content_type = response.content_type.replace(format!("multipart/byteranges; boundary={boundary}").into());
        for part in parts {
            let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
            if let Some(content_type) = &content_type {
                head.extend([b"Content-Type: ", &content_type[..], b"\r\n"].concat());
            }
            head.extend([b"Content-Range: ", &self.content_range(part)[..], b"\r\n\r\n"].concat());
            response.body.push(Piece::Bytes(head));
            response.body.push(self.piece(part));
        }
        response.body.push(Piece::Bytes(format!("\r\n--{boundary}--\r\n").into_bytes()));
    }

    /// What an answer with a part says of it.
    fn content_range(&self, part: &Range<u64>) -> Vec<u8> {
        format!("bytes {}-{}/{}", part.start, part.end - 1, self.size).into_bytes()
    }
}

/// A date for a header.
pub(super) fn http_date(seconds: u64) -> Vec<u8> {
    clock::http(seconds).into_bytes()
}

/// Seconds since 1970 of a date in a header.
pub(super) fn parse_date(text: &[u8]) -> Option<u64> {
    let date: SystemTime = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Whether `etag` is in a list of tags, or the list is `*`; a weak comparison passes over `W/`.
fn matches_tag(list: &[u8], etag: Option<&[u8]>, weak: bool) -> bool {
    if list == b"*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    fn strong(tag: &[u8]) -> &[u8] {
        tag.strip_prefix(b"W/").unwrap_or(tag)
    }
    let mut tags = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tags.any(|tag| if weak { strong(tag) == strong(etag) } else { tag == etag })
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
        assert!(matches_tag(b"W/\"a\"", Some(b"W/\"a\""), true));
    }

    #[test]
    fn dates() {
        assert_eq!(http_date(1_577_836_800), b"Wed, 01 Jan 2020 00:00:00 GMT");
        assert_eq!(parse_date(b"Wed, 01 Jan 2020 00:00:00 GMT"), Some(1_577_836_800));
        assert_eq!(parse_date(b"yesterday"), None);
        http_date(u64::MAX);
    }
}
