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

/// As many fields as the head may have beside those of the answer itself.
const FIELDS_OWN: usize = 8;
/// Room for the first line of a head, and the line behind the last.
const FIRST_LINE: usize = 64;
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

/// Puts the answer into its request: the fields in nginx's order, then the head and the body as what is to be sent.
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
        fields: rest,
        body,
        replaceable,
        ..
    } = response;
    let content_type = request.kept_type.take().filter(|_| !replaceable).or(content_type);
    let bodiless = matches!(status, 204 | 304);
    let mut fields: Vec<Field> = Vec::with_capacity(FIELDS_OWN + rest.len());
    fields.extend([
        ("Server".into(), server.unwrap_or_else(|| location.server_tokens.name().into())),
        ("Date".into(), date.unwrap_or_else(|| clock::now_http().into_bytes())),
    ]);
    let known = match length {
        Length::Here => (!bodiless).then(|| body.iter().map(Piece::length).sum()),
        Length::Known(length) => Some(length),
        Length::Chunked | Length::Untold => None,
    };
    // A server's answer to a condition says of what it would have sent.
    if !bodiless || (status == 304 && length != Length::Here) {
        fields.extend(content_type.map(|content_type| ("Content-Type".into(), content_type)));
    }
    fields.extend(known.map(|length| ("Content-Length".into(), length.to_string().into_bytes())));
    // Of an error's page nothing was modified, whatever file it is.
    let last_modified = last_modified.filter(|_| matches!(status, 200 | 206 | 304));
    fields.extend(last_modified.map(|date| ("Last-Modified".into(), date)));
    let relative = |to: &Vec<u8>| location.absolute_redirect && to.starts_with(b"/");
    let (absolute, to): (Option<Vec<u8>>, Option<Vec<u8>>) = match to {
        Some(to) if relative(&to) => (Some([framing.origin, &to].concat()), None),
        to => (None, to),
    };
    fields.extend(absolute.map(|to| ("Location".into(), to)));
    if length == Length::Chunked {
        fields.push(("Transfer-Encoding".into(), b"chunked".to_vec()));
    }
    match framing.keepalive {
        _ if status == 101 => fields.push(("Connection".into(), b"upgrade".to_vec())),
        Some(keepalive) => {
            fields.push(("Connection".into(), b"keep-alive".to_vec()));
            fields.extend(
                keepalive.header.map(|seconds| ("Keep-Alive".into(), format!("timeout={seconds}").into_bytes())),
            );
        }
        None => fields.push(("Connection".into(), b"close".to_vec())),
    }
    fields.extend(to.map(|to| ("Location".into(), to)));
    fields.append(&mut request.kept);
    fields.extend(rest);

    // Together with a short body it is one piece.
    let lines: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut head = Vec::with_capacity(lines + known.map_or(0, |length| length.min(SHORT)) as usize + FIRST_LINE);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend([status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8));
    head.push(b' ');
    head.extend_from_slice(reason.as_deref().unwrap_or_else(|| pages::reason(status).as_bytes()));
    head.extend_from_slice(b"\r\n");
    let ends_line = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    for (name, value) in &fields {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        // A line end in a value would begin a field of someone else's choice.
        if value.iter().fold(false, |found, byte| found | ends_line(byte)) {
            head.extend(value.iter().map(|byte| if ends_line(byte) { b' ' } else { *byte }));
        } else {
            head.extend_from_slice(value);
        }
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    request.status = status;
    request.fields = fields;
    request.head_sent = head.len() as u64;
    request.output.push(Piece::Bytes(head));
    if !request.is_head() && !bodiless {
        body.into_iter().for_each(|piece| request.output.push(piece));
    }
}
