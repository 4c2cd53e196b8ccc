//! `gzip`: bodies that are compressed for clients that want it.

pub(super) mod directives;
pub(super) mod encoder;

use std::rc::Rc;

use super::head::Version;
use super::keepalive::is_msie6;
use super::output::Piece;
use super::regex::Regex;
use super::response::{Field, Length, Response};
use super::variables::Values;
use crate::log::Level;
use encoder::Encoder;

/// `gzip_proxied`: which answers are compressed for a proxy, that is, to a request with `Via`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Proxied {
    /// Beside it no other word counts.
    off: bool,
    any: bool,
    expired: bool,
    no_cache: bool,
    no_store: bool,
    private: bool,
    no_last_modified: bool,
    no_etag: bool,
    auth: bool,
}

/// `gzip_disable`
#[derive(Clone, Debug, Default)]
struct Disabled {
    msie6: bool,
    agents: Vec<Rc<Regex>>,
}

/// `gzip_types`, `text/html` among them.
#[derive(Clone, Debug)]
enum Types {
    Any,
    Some(Vec<Vec<u8>>),
}

/// What one level says; `None` where the level above counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    on: Option<bool>,
    types: Option<Types>,
    min_length: Option<u64>,
    level: Option<u32>,
    vary: Option<bool>,
    proxied: Option<Proxied>,
    version: Option<Version>,
    disabled: Option<Disabled>,
}

impl Said {
    /// Takes from the level above what this one does not say.
    pub(super) fn inherit(&mut self, above: &Said) {
        self.on = self.on.or(above.on);
        self.types = self.types.take().or_else(|| above.types.clone());
        self.min_length = self.min_length.or(above.min_length);
        self.level = self.level.or(above.level);
        self.vary = self.vary.or(above.vary);
        self.proxied = self.proxied.or(above.proxied);
        self.version = self.version.or(above.version);
        self.disabled = self.disabled.take().or_else(|| above.disabled.clone());
    }

    /// `None`: nothing is compressed.
    pub(super) fn settle(&self) -> Option<Rc<Gzip>> {
        let on = self.on.unwrap_or(false);
        on.then(|| {
            Rc::new(Gzip {
                types: self.types.clone().unwrap_or_else(|| Types::Some(vec![b"text/html".to_vec()])),
                min_length: self.min_length.unwrap_or(20),
                level: self.level.unwrap_or(1),
                vary: self.vary.unwrap_or(false),
                proxied: self.proxied.filter(|proxied| !proxied.off).unwrap_or_default(),
                version: self.version.unwrap_or(Version::Http11),
                disabled: self.disabled.clone().unwrap_or_default(),
            })
        })
    }
}

/// How the answers of a location are compressed.
#[derive(Debug)]
pub(super) struct Gzip {
    types: Types,
    min_length: u64,
    level: u32,
    vary: bool,
    proxied: Proxied,
    version: Version,
    disabled: Disabled,
}

fn field<'a>(response: &'a Response, name: &str) -> Option<&'a [u8]> {
    response.fields.iter().find(|field| field.0.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

/// Whether `Accept-Encoding` names gzip, with another weight than 0 (RFC 9110 12.5.3); the first time counts.
fn accepts(field: &[u8]) -> bool {
    field.split(|byte| *byte == b',').find_map(|word| {
        let mut parts = word.splitn(2, |byte| *byte == b';').map(<[u8]>::trim_ascii);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"gzip"));
        named.then(|| parts.next().is_none_or(has_weight))
    }) == Some(true)
}

/// Whether `q=...` is a weight (RFC 9110 12.4.2) and not 0.
fn has_weight(parameter: &[u8]) -> bool {
    let weight = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
    let Some((whole, rest)) = weight.and_then(<[u8]>::split_first) else { return false };
    let digits = match rest.split_first() {
        None => rest,
        Some((b'.', digits)) => digits,
        Some(_) => return false,
    };
    let zeros = digits.iter().all(|digit| *digit == b'0');
    match whole {
        b'0' => digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) && !zeros,
        b'1' => digits.len() <= 3 && zeros,
        _ => false,
    }
}

impl Gzip {
    /// Whether an answer is one that is compressed for those who want it; `length` is that of its body, where it is known.
    fn concerns(&self, values: &Values<'_>, response: &Response, length: Option<u64>) -> bool {
        let of_type = match (&self.types, &response.content_type) {
            (Types::Any, _) => true,
            (Types::Some(_), None) => false,
            (Types::Some(types), Some(content_type)) => {
                let mime = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                types.iter().any(|known| known.eq_ignore_ascii_case(mime))
            }
        };
        // A part of a file of ours would have been one of a compressed whole; another server's is not known so.
        let part = response.status == 206 && values.request.exchange.is_none();
        (matches!(response.status, 200 | 403 | 404) || part)
            && length.is_none_or(|length| length >= self.min_length)
            && field(response, "Content-Encoding").is_none_or(<[u8]>::is_empty)
            && of_type
    }

    /// Whether the client of an answer wants it, and gets it, compressed.
    fn suits(&self, values: &Values<'_>, response: &Response) -> bool {
        let head = &values.request.head;
        let agent = head.field("user-agent").unwrap_or_default();
        let disabled = |regex: &Rc<Regex>| {
            let matched = regex.matches(agent, &values.request.memory);
            matched.unwrap_or_else(|failed| {
                values.client.log(Level::Alert, None, "", Some(values.request), format_args!("{failed}"));
                false
            })
        };
        head.field("accept-encoding").is_some_and(accepts)
            && !(self.version == Version::Http11 && head.version() == Version::Http10)
            && !(self.disabled.msie6 && is_msie6(agent))
            && (head.field("via").is_none() || self.suits_proxies(values, response))
            && (agent.is_empty() || !self.disabled.agents.iter().any(disabled))
    }

    /// nginx's order of `gzip_proxied`.
    fn suits_proxies(&self, values: &Values<'_>, response: &Response) -> bool {
        let proxied = self.proxied;
        if proxied.any || (proxied.auth && values.request.head.field("authorization").is_some()) {
            return true;
        }
        let date = |value: &[u8]| httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok();
        if let Some(expires) = field(response, "Expires") {
            let now = response.date.as_deref().map_or_else(|| Some(std::time::SystemTime::now()), date);
            return proxied.expired && date(expires).zip(now).is_some_and(|(expires, now)| expires < now);
        }
        if let Some(control) = field(response, "Cache-Control") {
            let says = |word: &str| {
                let mut words = control.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                words.any(|said| said.eq_ignore_ascii_case(word.as_bytes()))
            };
            return (proxied.no_cache && says("no-cache"))
                || (proxied.no_store && says("no-store"))
                || (proxied.private && says("private"));
        }
        let modified = response.last_modified.is_some() || field(response, "Last-Modified").is_some();
        let refused = (proxied.no_last_modified && modified) || (proxied.no_etag && field(response, "ETag").is_some());
        proxied != Proxied::default() && !refused
    }

    /// Whether the answer for a file of this length will be compressed, so that parts of it cannot be asked for.
    pub(super) fn takes(&self, values: &Values<'_>, response: &Response, length: u64) -> bool {
        self.concerns(values, response, Some(length)) && self.suits(values, response)
    }

    /// Makes an answer a compressed one where it is to be: its fields and framing. What its body goes through then, if it has one.
    pub(super) fn encode(&self, values: &Values<'_>, response: &mut Response) -> Option<Encoder> {
        let part = response.status == 206;
        let length = match response.length {
            _ if part => whole_of_part(response),
            Length::Here => Some(response.body.iter().map(Piece::length).sum()),
            Length::Known(length) => Some(length),
            Length::Chunked | Length::Untold => None,
        };
        if !self.concerns(values, response, length) {
            return None;
        }
        let suits = !part && self.suits(values, response);
        if self.vary {
            response.fields.insert(0, ("Vary".into(), b"Accept-Encoding".to_vec()));
        }
        if !suits {
            return None;
        }
        response.fields.retain_mut(weaken);
        response.fields.push(("Content-Encoding".into(), b"gzip".to_vec()));
        if values.request.is_head() {
            response.length = Length::Untold;
            return None;
        }
        let chunked = values.request.head.version() == Version::Http11 && values.request.location.chunked;
        response.length = if chunked { Length::Chunked } else { Length::Untold };
        response.close |= !chunked;
        Some(Encoder::new(self.level))
    }
}

/// How long that is of which an answer brings one part; of several it is not told.
fn whole_of_part(response: &Response) -> Option<u64> {
    let range = std::str::from_utf8(field(response, "Content-Range")?).ok()?;
    range.split_once('/')?.1.parse().ok()
}

/// What still holds of a body's fields when it is compressed: no ranges, and only a weak `ETag`. False: the field goes.
fn weaken(field: &mut Field) -> bool {
    let (name, value) = field;
    if name.eq_ignore_ascii_case("ETag") && !value.starts_with(b"W/") {
        value.splice(0..0, *b"W/");
        return value[2..].starts_with(b"\"");
    }
    !name.eq_ignore_ascii_case("Accept-Ranges")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_accept() {
        for (field, wanted) in [
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip; q=0.001", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000, br", false),
            ("gzip;q=0.0001", false),
            ("gzip;q=1", true),
            ("gzip;Q=1.000", true),
            ("gzip;q=1.1", false),
            ("gzip;q=01", false),
            ("gzip;q=", false),
            ("gzip;q=.5", false),
            ("gzip;x=1", false),
            ("gzip, gzip;q=0", true),
            ("gzip;q=0, gzip", false),
            ("x-gzip", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(accepts(field.as_bytes()), wanted, "{field}");
        }
    }

    #[test]
    fn fields_of_compressed_bodies() {
        let after = |name: &'static str, value: &str| {
            let mut field = (name.into(), value.as_bytes().to_vec());
            weaken(&mut field).then(|| String::from_utf8(field.1).unwrap())
        };
        assert_eq!(after("ETag", "\"a\""), Some("W/\"a\"".into()));
        assert_eq!(after("etag", "W/\"a\""), Some("W/\"a\"".into()));
        assert_eq!(after("ETag", "a"), None);
        assert_eq!(after("Accept-Ranges", "bytes"), None);
        assert_eq!(after("X", "y"), Some("y".into()));
    }
}
