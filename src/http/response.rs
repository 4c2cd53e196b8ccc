//! An answer: status, fields and body, and how its head is written.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use super::handlers::Stage;
use super::output::Piece;
use super::proxy::Settings;
use super::request::Request;
use super::{Keepalive, Tokens, pages};
use crate::log::clock;

/// A header field of an answer.
pub(super) type Field = (Cow<'static, str>, Vec<u8>);

/// Bytes of a head beside the values that the answer brings with it.
const HEAD_OWN: usize = 256;
/// A body of at most so many bytes may be copied behind its head.
const SHORT: u64 = 4096;

/// How the client learns where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// It is here, with the head.
    Here,
    /// It follows, or HEAD was asked.
    Known(u64),
    Chunked,
    /// By the end of the connection; or there is none.
    Untold,
}

/// What a handler answers.
pub(super) struct Response {
    pub status: u16,
    /// A server's own text behind the status.
    pub reason: Option<Vec<u8>>,
    /// A server's own `Server` and `Date`.
    pub server: Option<Vec<u8>>,
    pub date: Option<Vec<u8>>,
    pub length: Length,
    pub content_type: Option<Vec<u8>>,
    pub last_modified: Option<Vec<u8>>,
    pub location: Option<Vec<u8>>,
    /// Fields that stand at the end.
    pub fields: Vec<Field>,
    pub body: Vec<Piece>,
    /// After it nothing more is read from the client.
    pub close: bool,
    /// The page of a status, which `error_page` may have another answer for.
    pub replaceable: bool,
}

/// What a handler makes of a request. It is taken apart where it was made.
#[allow(clippy::large_enum_variant)]
pub(super) enum Answer {
    Respond(Response),
    /// The connection is closed without an answer; the log's status.
    Close(u16),
    /// A server is to answer.
    Proxy(Rc<Settings>),
    /// The client is to wait before the request goes on.
    Later(Duration, Box<Stage>),
}

impl Response {
    /// An answer without fields.
    pub(super) fn new(status: u16, body: Vec<Piece>) -> Self {
        Response {
            status,
            reason: None,
            server: None,
            date: None,
            length: Length::Here,
            content_type: None,
            last_modified: None,
            location: None,
            fields: Vec::new(),
            body,
            close: false,
            replaceable: false,
        }
    }

    /// A text.
    pub(super) fn text(status: u16, content_type: impl Into<Vec<u8>>, text: Vec<u8>) -> Self {
        let content_type = Some(content_type.into());
        Response { content_type, ..Response::new(status, vec![Piece::Bytes(text)]) }
    }

    /// The answer to what cannot be served, or a redirect, with its page. After statuses that leave the client's next bytes in doubt
    /// the connection is closed, as in nginx.
    pub(super) fn page(status: u16, tokens: Tokens) -> Self {
        let close = matches!(status, 400 | 408 | 413 | 414 | 421 | 494..=497 | 500 | 501 | 505);
        let page = match pages::page(status, tokens) {
            Some(page) => Response::text(status, "text/html", page),
            None => Response::new(status, Vec::new()),
        };
        Response { close, replaceable: true, ..page }
    }

    /// A redirect to `location`.
    pub(super) fn redirect(status: u16, location: Vec<u8>, tokens: Tokens) -> Self {
        Response { location: Some(location), ..Response::page(status, tokens) }
    }
}

/// What of a head belongs to the connection.
pub(super) struct Framing<'a> {
    /// Stays open: what the client is told of it.
    pub keepalive: Option<Keepalive>,
    /// What goes before a path in a `Location`: `http://host:port`.
    pub origin: &'a [u8],
}

/// The head of an answer as it is being written.
struct Lines(Vec<u8>);

impl Lines {
    /// Begins with the first line; `room` as many bytes as are likely to follow.
    fn new(status: u16, reason: &[u8], room: usize) -> Self {
        let mut lines = Vec::with_capacity(room);
        lines.extend_from_slice(b"HTTP/1.1 ");
        lines.extend([status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8));
        lines.push(b' ');
        lines.extend_from_slice(reason);
        lines.extend_from_slice(b"\r\n");
        Lines(lines)
    }

    fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        let ends_line = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        // A line end in a value would begin a field of someone else's choice.
        if value.iter().fold(false, |found, byte| found | ends_line(byte)) {
            self.0.extend(value.iter().map(|byte| if ends_line(byte) { b' ' } else { *byte }));
        } else {
            self.0.extend_from_slice(value);
        }
        self.0.extend_from_slice(b"\r\n");
    }
}

/// The fields of a head that [`prepare`] has written.
pub(super) fn fields_of(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let (name, value) = line.split_at(memchr::memchr(b':', line)?);
        Some((name, value.strip_prefix(b": ")?.strip_suffix(b"\r")?))
    })
}

/// Puts the answer into its request: the fields in nginx's order as a head, which with the body is what is to be sent.
pub(super) fn prepare(request: &mut Request, response: Response, framing: &Framing<'_>) {
    let location = request.location.clone();
    let Response {
        status,
        reason,
        server,
        date,
        length,
        content_type,
        last_modified,
        location: to,
        fields,
        body,
        replaceable,
        ..
    } = response;
    let content_type = request.kept_type.take().filter(|_| !replaceable).or(content_type);
    let bodiless = matches!(status, 204 | 304);
    let known = match length {
        Length::Here => (!bodiless).then(|| body.iter().map(Piece::length).sum()),
        Length::Known(length) => Some(length),
        Length::Chunked | Length::Untold => None,
    };
    let reason = reason.as_deref().unwrap_or_else(|| pages::reason(status).as_bytes());
    let size = |(name, value): &Field| name.len() + value.len() + 4;
    let single = [&server, &date, &content_type, &last_modified, &to].map(|value| value.as_ref().map_or(0, Vec::len));
    let room = HEAD_OWN + reason.len() + single.iter().sum::<usize>() + fields.iter().map(size).sum::<usize>();
    let mut lines = Lines::new(status, reason, room);

    match &server {
        Some(server) => lines.add("Server", server),
        None => lines.add("Server", location.server_tokens.name()),
    }
    match &date {
        Some(date) => lines.add("Date", date),
        None => clock::with_http(|date| lines.add("Date", date)),
    }
    // A server's answer to a condition says of what it would have sent.
    if let Some(content_type) = content_type.filter(|_| !bodiless || (status == 304 && length != Length::Here)) {
        lines.add("Content-Type", content_type);
    }
    if let Some(length) = known {
        lines.add("Content-Length", itoa::Buffer::new().format(length));
    }
    // Of an error's page nothing was modified, whatever file it is.
    if let Some(date) = last_modified.filter(|_| matches!(status, 200 | 206 | 304)) {
        lines.add("Last-Modified", date);
    }
    let relative = |to: &Vec<u8>| location.absolute_redirect && to.starts_with(b"/");
    let (absolute, to): (Option<Vec<u8>>, Option<Vec<u8>>) = match to {
        Some(to) if relative(&to) => (Some([framing.origin, &to].concat()), None),
        to => (None, to),
    };
    if let Some(to) = absolute {
        lines.add("Location", to);
    }
    if length == Length::Chunked {
        lines.add("Transfer-Encoding", "chunked");
    }
    match framing.keepalive {
        _ if status == 101 => lines.add("Connection", "upgrade"),
        Some(keepalive) => {
            lines.add("Connection", "keep-alive");
            if let Some(seconds) = keepalive.header {
                lines.add("Keep-Alive", format!("timeout={seconds}"));
            }
        }
        None => lines.add("Connection", "close"),
    }
    if let Some(to) = to {
        lines.add("Location", to);
    }
    for (name, value) in request.kept.drain(..).chain(fields) {
        lines.add(&name, value);
    }
    lines.0.extend_from_slice(b"\r\n");

    request.status = status;
    request.head_sent = lines.0.len() as u64;
    let bodied = !request.is_head() && !bodiless;
    // Together with a short body, here or to come, it is one piece.
    let short = match body.first() {
        Some(Piece::Bytes(bytes)) => bytes.len() as u64,
        Some(_) => 0,
        None => known.unwrap_or(0),
    };
    let mut head = Vec::with_capacity(lines.0.len() + if bodied { short.min(SHORT) as usize } else { 0 });
    head.extend_from_slice(&lines.0);
    request.answer_head = lines.0;
    request.output.push(Piece::Bytes(head));
    if bodied {
        body.into_iter().for_each(|piece| request.output.push(piece));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_what_is_written() {
        let mut lines = Lines::new(200, b"Very: well", 0);
        lines.add("A", "1: 2 ");
        lines.add("b", "x\r\ny\0");
        lines.add("C", "");
        lines.0.extend_from_slice(b"\r\n");
        assert_eq!(lines.0, b"HTTP/1.1 200 Very: well\r\nA: 1: 2 \r\nb: x  y \r\nC: \r\n\r\n");
        let fields: Vec<_> = fields_of(&lines.0).collect();
        assert_eq!(fields, [(&b"A"[..], &b"1: 2 "[..]), (b"b", b"x  y "), (b"C", b"")]);
        assert_eq!(fields_of(b"").count(), 0);
    }
}
