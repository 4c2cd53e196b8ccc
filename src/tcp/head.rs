//! The head of the HTTP request that a websocket begins with, looked at for where it goes: its host and its path.
//!
//! The head is passed on as it came and nobody here acts on the rest of it, so what matters is that the server behind cannot read
//! another host or path in it than is read here: whatever is ambiguous is refused.

use std::mem::MaybeUninit;

/// More header fields than any client sends; RFC 9110 leaves the number to the server.
const MOST_FIELDS: usize = 256;

/// What the bytes received so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The beginning of a head.
    NeedMore,
    /// A head, in whole.
    Head(Head<'a>),
    /// Not a head that can be passed on; why, in nginx's words where it has some.
    Malformed(&'static str),
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The host without its port, as it was sent; an IPv6 address in its brackets. Empty when the request names none.
    pub host: &'a [u8],
    /// The first segment of the path, `/chat` of `/chat/room?x`; empty when the target has no path.
    pub segment: &'a [u8],
    /// How many bytes are the head's.
    pub length: usize,
}

/// Reads the head that `bytes` begin with.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut fields = [MaybeUninit::uninit(); MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::NeedMore,
        Err(error) => return Parsed::Malformed(words(error)),
    };
    let mut hosts = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host"));
    let host = hosts.next().map_or(&[][..], |field| field.value);
    if hosts.next().is_some() {
        return Parsed::Malformed("client sent duplicate host header");
    }
    let Some(host) = without_port(host) else { return Parsed::Malformed("client sent invalid host header") };
    let target = request.path.unwrap_or_default();
    match target.split_once("://") {
        _ if target.starts_with('/') => Parsed::Head(Head { host, segment: first_segment(target), length }),
        // Such a target counts more than the field (RFC 9112 3.2.2).
        Some((scheme, rest)) if is_scheme(scheme) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            match without_port(authority.as_bytes()) {
                Some(host) if !host.is_empty() => Parsed::Head(Head { host, segment: first_segment(path), length }),
                _ => Parsed::Malformed("client sent invalid host in request line"),
            }
        }
        _ if target == "*" => Parsed::Head(Head { host, segment: b"", length }),
        _ => Parsed::Malformed("client sent invalid request"),
    }
}

fn words(error: httparse::Error) -> &'static str {
    use httparse::Error::{HeaderName, HeaderValue, NewLine, TooManyHeaders, Version};
    match error {
        HeaderName | HeaderValue | NewLine => "client sent invalid header line",
        TooManyHeaders => "client sent too many header lines",
        Version => "client sent invalid version",
        _ => "client sent invalid request",
    }
}

fn is_scheme(scheme: &str) -> bool {
    ["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// `/chat` of `/chat/room?x`.
fn first_segment(path: &str) -> &[u8] {
    let path = path.as_bytes();
    let end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    match path {
        [b'/', rest @ ..] => &path[..1 + rest.iter().position(end).unwrap_or(rest.len())],
        _ => b"",
    }
}

/// The host of `host[:port]`; the dot that a whole name may end with is cut off too, as in nginx. `None` if it cannot be a host.
fn without_port(text: &[u8]) -> Option<&[u8]> {
    let end = match text {
        [b'[', rest @ ..] => rest.iter().position(|byte| *byte == b']')? + 2,
        _ => text.iter().position(|byte| *byte == b':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(end);
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let nameless = host.is_empty() && !port.is_empty();
    let address_fits = |inside: &[u8]| inside.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte));
    let host_fits = match host {
        [b'[', inside @ .., b']'] => address_fits(inside),
        _ => host.iter().all(|byte| byte.is_ascii_graphic() && !b"/\\?#@[],".contains(byte)),
    };
    (port_fits && host_fits && !nameless).then(|| host.strip_suffix(b".").unwrap_or(host))
}

/// How far a head that is still arriving has been looked through: a long one that comes byte by byte is not read anew for each of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Where the line begins that is not complete yet.
    line: usize,
    /// No end of a line stands from there up to here.
    seen: usize,
    /// A line that is not empty has come.
    begun: bool,
    /// When so many bytes are there the head is read, complete or not, so that a faulty one shows before its end.
    next: usize,
}

impl Scan {
    /// [`parse`] for the whole of what has come, of which the beginning was given before. Some of the faults of an incomplete
    /// head show only when it has grown.
    pub fn parse<'a>(&mut self, bytes: &'a [u8]) -> Parsed<'a> {
        if !self.is_complete(bytes) && bytes.len() < self.next {
            return Parsed::NeedMore;
        }
        self.next = bytes.len().saturating_mul(2);
        parse(bytes)
    }

    /// Whether the empty line that ends a head is there.
    fn is_complete(&mut self, bytes: &[u8]) -> bool {
        while let Some(end) = memchr::memchr(b'\n', &bytes[self.seen..]).map(|at| self.seen + at) {
            let empty = matches!(&bytes[self.line..end], b"" | b"\r");
            self.line = end + 1;
            self.seen = end + 1;
            // Empty lines before the request are passed over (RFC 9112 2.2).
            self.begun |= !empty;
            if empty && self.begun {
                return true;
            }
        }
        self.seen = bytes.len();
        false
    }
}

#[cfg(test)]
mod tests;
