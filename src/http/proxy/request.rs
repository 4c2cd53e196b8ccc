//! The head of the request that a server gets.

use std::borrow::Cow;

use super::Exchange;
use crate::http::body::is_name;
use crate::http::field_names::FieldNames;
use crate::http::head::Version;
use crate::http::variables::Values;

/// Fields that belong to the client's connection (RFC 9110 7.6.1), or that are said anew.
const OWN: FieldNames<&[&str]> = FieldNames::fixed(&[
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "keep-alive",
    "expect",
    "upgrade",
    "trailer",
    "proxy-connection",
]);

/// Those by which a server finds the end of the body.
const FRAMING: FieldNames<&[&str]> = FieldNames::fixed(&["content-length", "transfer-encoding"]);

/// Bytes by which the head may be longer than the client's before its place has to grow.
const ROOM: usize = 256;

/// Fields that the cache says itself, or not at all.
const CONDITIONS: FieldNames<&[&str]> =
    FieldNames::fixed(&["if-modified-since", "if-unmodified-since", "if-none-match", "if-match", "range", "if-range"]);

/// How the body is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// There is none.
    None,
    Known(u64),
    Chunked,
}

/// The method that the server is asked with.
pub(super) fn method<'a>(values: &Values<'a>, exchange: &Exchange) -> Cow<'a, [u8]> {
    let own = values.request.method();
    match &exchange.settings.method {
        _ if exchange.asks_with_get() && values.request.is_head() => Cow::Borrowed(b"GET"),
        Some(text) => {
            // Other bytes in a value would end the method, or the line.
            let mut method = values.fill(text);
            method.retain(|byte| is_name(*byte));
            if method.is_empty() { Cow::Borrowed(own) } else { Cow::Owned(method) }
        }
        None => Cow::Borrowed(own),
    }
}

/// Writes the head, without the empty line's body.
pub(super) fn head(values: &Values<'_>, exchange: &Exchange, method: &[u8], length: Length) -> Vec<u8> {
    let (request, settings) = (values.request, &exchange.settings);
    let mut out = Vec::with_capacity(request.head.length() + ROOM);
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(exchange.uri(request));
    out.extend_from_slice(match settings.version {
        Version::Http10 => b" HTTP/1.0\r\n",
        Version::Http11 => b" HTTP/1.1\r\n",
    });
    for (name, text) in &settings.fields {
        let start = out.len();
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        let value = out.len();
        text.fill(&mut out, |variable, out| values.write(variable, out));
        // How the body is framed is not for others to say: a server would take its bytes for the next request, or that for them.
        let untrue = FRAMING.contain(name) && (length != Length::None || &out[value..] != b"0");
        if out.len() == value || untrue {
            out.truncate(start);
            continue;
        }
        // A line end in a value would begin a field of someone else's choice.
        out[value..].iter_mut().filter(|byte| matches!(**byte, b'\r' | b'\n' | 0)).for_each(|byte| *byte = b' ');
        out.extend_from_slice(b"\r\n");
    }
    match length {
        Length::Known(length) => out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes()),
        Length::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Length::None => {}
    }
    // Whatever one client has already, the cache gets the whole.
    let of_cache = exchange.cache.as_ref().is_some_and(|access| access.cacheable);
    for (name, value) in exchange.cache.iter().flat_map(|access| access.conditions()) {
        if !settings.said.contain(name.as_bytes()) {
            out.extend([name.as_bytes(), b": ", &value, b"\r\n"].concat());
        }
    }
    if settings.pass_fields {
        let named: Vec<&[u8]> =
            request.head.all("connection").flat_map(|value| value.split(|byte| *byte == b',')).collect();
        for (name, value) in request.head.fields() {
            // What `Connection` names is for us only.
            let hop = named.iter().any(|word| word.trim_ascii().eq_ignore_ascii_case(name));
            let of_cache = of_cache && CONDITIONS.contain(name);
            if OWN.contain(name) || hop || settings.said.contain(name) || of_cache {
                continue;
            }
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}
