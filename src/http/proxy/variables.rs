//! Variables about the server that a request is passed on to.

use std::io::Write;
use std::time::Duration;

use super::head::Head;
use super::{Try, trailers};
use crate::http::cache::{Access, Status};
use crate::http::entity::http_date;
use crate::http::request::Request;
use crate::http::variables::is_field;
use crate::net::Address;

/// What can be told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Variable {
    /// One value for each try.
    Tries(OfTry),
    /// `$upstream_http_NAME`, the name with `-`.
    Field(String),
    /// `$upstream_trailer_NAME`, the name with `-`.
    Trailer(String),
    /// `$upstream_cookie_NAME`
    Cookie(String),
    /// Of the cache.
    Cache(OfCache),
    Host,
    Port,
    AddForwardedFor,
}

/// What can be told of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum OfTry {
    Addr,
    BytesReceived,
    BytesSent,
    ConnectTime,
    HeaderTime,
    ResponseLength,
    ResponseTime,
    Status,
}

/// What can be told of the cache's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum OfCache {
    Status,
    /// What there is that is too old.
    LastModified,
    Etag,
}

const NAMES: &[(&str, Variable, &str)] = &[
    (
        "proxy_add_x_forwarded_for",
        Variable::AddForwardedFor,
        "`X-Forwarded-For` of the request with `$remote_addr` behind it, for `proxy_set_header`.",
    ),
    (
        "proxy_host",
        Variable::Host,
        "The host and port of `proxy_pass`, the port only where it is not the scheme's own.",
    ),
    ("proxy_port", Variable::Port, "The port of `proxy_pass`, or the scheme's own."),
    (
        "upstream_addr",
        Variable::Tries(OfTry::Addr),
        "The servers that were tried, by address, with commas between them; behind `:` those of the next group after a redirect within.",
    ),
    (
        "upstream_bytes_received",
        Variable::Tries(OfTry::BytesReceived),
        "How many bytes came from the server of each try.",
    ),
    ("upstream_bytes_sent", Variable::Tries(OfTry::BytesSent), "How many bytes went to the server of each try."),
    ("upstream_cache_etag", Variable::Cache(OfCache::Etag), "The `ETag` of the kept answer that is asked about anew."),
    (
        "upstream_cache_last_modified",
        Variable::Cache(OfCache::LastModified),
        "The `Last-Modified` of the kept answer that is asked about anew.",
    ),
    (
        "upstream_cache_status",
        Variable::Cache(OfCache::Status),
        "What the cache did: `MISS`, `BYPASS`, `EXPIRED`, `STALE`, `UPDATING`, `REVALIDATED` or `HIT`.",
    ),
    (
        "upstream_connect_time",
        Variable::Tries(OfTry::ConnectTime),
        "How long connecting took in each try, the TLS handshake included, in seconds with milliseconds.",
    ),
    (
        "upstream_header_time",
        Variable::Tries(OfTry::HeaderTime),
        "How long it took until the head of the answer was there, of each try.",
    ),
    ("upstream_response_length", Variable::Tries(OfTry::ResponseLength), "How many bytes of body came, of each try."),
    (
        "upstream_response_time",
        Variable::Tries(OfTry::ResponseTime),
        "How long it took until the answer was there to its last byte, of each try.",
    ),
    (
        "upstream_status",
        Variable::Tries(OfTry::Status),
        "The status of each try; 502 and 504 also for servers that could not be reached or did not answer.",
    ),
];

/// How the rest of a name becomes a variable.
type Make = fn(&str) -> Variable;

/// Variables whose name says which field they tell of.
const PREFIXES: &[(&str, Make, &str)] = &[
    (
        "upstream_http_",
        |name| Variable::Field(name.replace('_', "-")),
        "The field NAME of the head of the last server's answer, in lower case and with `_` for `-`; several values with commas between them.",
    ),
    (
        "upstream_trailer_",
        |name| Variable::Trailer(name.replace('_', "-")),
        "The field NAME behind the body of that answer, likewise.",
    ),
    ("upstream_cookie_", |name| Variable::Cookie(name.to_owned()), "The cookie NAME that the last server sets."),
];

/// The names of these variables and what they mean, for the documentation.
pub(in crate::http) fn meanings() -> impl Iterator<Item = (String, &'static str)> {
    let own = NAMES.iter().map(|(name, _, meaning)| ((*name).to_owned(), *meaning));
    own.chain(PREFIXES.iter().map(|(prefix, _, meaning)| (format!("{prefix}NAME"), *meaning)))
}

/// The variable of this name.
pub(in crate::http) fn find(name: &str) -> Option<Variable> {
    if let Some((_, variable, _)) = NAMES.iter().find(|(known, ..)| *known == name) {
        return Some(variable.clone());
    }
    let (make, rest) = PREFIXES.iter().find_map(|(prefix, make, _)| Some((make, name.strip_prefix(prefix)?)))?;
    (!rest.is_empty()).then(|| make(rest))
}

/// Appends the value and tells whether there is one.
pub(in crate::http) fn write(variable: &Variable, request: &Request, client: &Address, out: &mut Vec<u8>) -> bool {
    if *variable == Variable::AddForwardedFor {
        for value in request.head.all("x-forwarded-for") {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        return write!(out, "{}", client.host()).is_ok();
    }
    let Some(exchange) = &request.exchange else { return false };
    let fields = |name: &'static str| exchange.head.iter().flat_map(move |head| head.all(name));
    match variable {
        Variable::Host | Variable::Port if exchange.left => return false,
        Variable::Host => out.extend_from_slice(exchange.target.host.as_bytes()),
        Variable::Port => out.extend_from_slice(exchange.target.port.as_bytes()),
        Variable::Cache(of) => return write_cache(exchange.cache.as_deref(), *of, out),
        Variable::Tries(of) => return write_tries(&exchange.tries, *of, out),
        Variable::Field(name) => {
            let fields = exchange.head.iter().flat_map(Head::fields);
            let same = fields.filter(|(field, _)| is_field(field, name));
            let values: Vec<&[u8]> = same.map(|(_, value)| value).collect();
            out.extend(values.join(&b", "[..]));
            return !values.is_empty();
        }
        Variable::Trailer(name) => {
            let all =
                trailers::fields(&exchange.incoming.trailer).filter(|(known, _)| known.eq_ignore_ascii_case(name));
            let values: Vec<&[u8]> = all.map(|(_, value)| value).collect();
            out.extend(values.join(&b", "[..]));
            return !values.is_empty();
        }
        Variable::Cookie(name) => {
            // The first part of a `Set-Cookie` is the cookie itself.
            let mut cookies = fields("set-cookie").filter_map(|value| value.split(|byte| *byte == b';').next());
            let value = cookies.find_map(|cookie| {
                let (start, rest) = cookie.split_at_checked(name.len())?;
                rest.strip_prefix(b"=").filter(|_| start.eq_ignore_ascii_case(name.as_bytes()))
            });
            out.extend(value.unwrap_or_default());
            return value.is_some();
        }
        Variable::AddForwardedFor => {}
    }
    true
}

fn write_cache(access: Option<&Access>, of: OfCache, out: &mut Vec<u8>) -> bool {
    let Some(access) = access else { return false };
    let known = access.validators.as_ref().filter(|_| access.status == Some(Status::Expired));
    let value = match of {
        OfCache::Status => access.status.map(|status| status.word().as_bytes().to_vec()),
        OfCache::LastModified => known.and_then(|known| known.modified).map(http_date),
        OfCache::Etag => known.map(|known| known.etag.clone()).filter(|etag| !etag.is_empty()),
    };
    out.extend(value.as_deref().unwrap_or_default());
    value.is_some()
}

/// The values of all tries, as nginx writes them: with commas between them, and colons where an error page was passed on too.
fn write_tries(tries: &[Try], of: OfTry, out: &mut Vec<u8>) -> bool {
    let time = |time: Option<Duration>, out: &mut Vec<u8>| match time {
        Some(time) => write!(out, "{}.{:03}", time.as_secs(), time.subsec_millis()),
        None => out.write_all(b"-"),
    };
    for (number, tried) in tries.iter().enumerate() {
        if number > 0 {
            out.extend_from_slice(if tried.is_first { b" : " } else { b", " });
        }
        let written = match of {
            OfTry::Addr => out.write_all(tried.peer.as_bytes()),
            OfTry::BytesReceived => write!(out, "{}", tried.received),
            OfTry::BytesSent => write!(out, "{}", tried.sent),
            OfTry::ConnectTime => time(tried.connected, out),
            OfTry::HeaderTime => time(tried.head, out),
            OfTry::ResponseLength => write!(out, "{}", tried.length),
            OfTry::ResponseTime => time(tried.took, out),
            OfTry::Status if tried.status == 0 => out.write_all(b"-"),
            OfTry::Status => write!(out, "{}", tried.status),
        };
        debug_assert!(written.is_ok(), "writing to memory does not fail");
    }
    !tries.is_empty()
}
