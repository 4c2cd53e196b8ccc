//! The client's answer, made of the server's.

use std::borrow::Cow;

use super::head::Head;
use super::replace::{self, Replace};
use super::{Settings, cookies};
use crate::conf::value;
use crate::http::cache::validity;
use crate::http::field_names::FieldNames;
use crate::http::head::Version;
use crate::http::pages;
use crate::http::regex::Failed;
use crate::http::response::{Field, Length, Response};
use crate::http::variables::Values;

/// Fields that belong to the server's connection (RFC 9110 7.6.1).
const HOP: FieldNames<&[&str]> = FieldNames::fixed(&[
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "proxy-connection",
]);

/// Fields that do not simply go to the client as they are.
const SPECIAL: FieldNames<&[&str]> =
    FieldNames::fixed(&["content-length", "content-type", "server", "date", "location", "refresh", "set-cookie"]);

/// Whether a field of this name belongs to the server's connection.
pub(super) fn is_hop(name: &[u8]) -> bool {
    HOP.contain(name)
}

/// Fields that clients do not get unless `proxy_pass_header` says so, nginx's list.
pub(super) const HIDDEN: [&str; 8] = [
    "date",
    "server",
    "x-pad",
    "x-accel-expires",
    "x-accel-redirect",
    "x-accel-limit-rate",
    "x-accel-buffering",
    "x-accel-charset",
];

/// `proxy_ignore_headers`: fields that mean nothing to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Ignored {
    pub redirect: bool,
    pub limit_rate: bool,
    pub buffering: bool,
    pub charset: bool,
    /// Those that would decide about caching.
    pub cache: validity::Ignored,
}

impl Ignored {
    /// The fields that may be named, nginx's list.
    pub(super) const WORDS: [(&'static str, Ignored); 9] = {
        let keep = validity::Ignored::NONE;
        let none = Ignored { redirect: false, limit_rate: false, buffering: false, charset: false, cache: keep };
        [
            ("X-Accel-Redirect", Ignored { redirect: true, ..none }),
            ("X-Accel-Expires", Ignored { cache: validity::Ignored { accel_expires: true, ..keep }, ..none }),
            ("X-Accel-Limit-Rate", Ignored { limit_rate: true, ..none }),
            ("X-Accel-Buffering", Ignored { buffering: true, ..none }),
            ("X-Accel-Charset", Ignored { charset: true, ..none }),
            ("Expires", Ignored { cache: validity::Ignored { expires: true, ..keep }, ..none }),
            ("Cache-Control", Ignored { cache: validity::Ignored { cache_control: true, ..keep }, ..none }),
            ("Set-Cookie", Ignored { cache: validity::Ignored { set_cookie: true, ..keep }, ..none }),
            ("Vary", Ignored { cache: validity::Ignored { vary: true, ..keep }, ..none }),
        ]
    };

    /// Ignores what another does too; whether that is anything new.
    pub(super) fn add(&mut self, other: Ignored) -> bool {
        let before = *self;
        self.redirect |= other.redirect;
        self.limit_rate |= other.limit_rate;
        self.buffering |= other.buffering;
        self.charset |= other.charset;
        self.cache.add(other.cache);
        *self != before
    }
}

/// What a location makes of servers' answers.
#[derive(Debug)]
pub(in crate::http) struct Rules {
    /// `proxy_redirect`
    pub redirects: Vec<Replace>,
    pub cookies: cookies::Rules,
    pub intercept_errors: bool,
    pub force_ranges: bool,
    pub pass_trailers: bool,
    /// `proxy_limit_rate`
    pub limit_rate: u64,
    pub ignored: Ignored,
}

impl Rules {
    /// What becomes of a field's value; `None`: it stays.
    fn change(&self, name: &[u8], value: &[u8], values: &Values<'_>) -> Result<Option<Vec<u8>>, Failed> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("set-cookie") {
            return self.cookies.apply(value, values);
        }
        let start = match () {
            () if is("location") => 0,
            () if is("refresh") => match value.to_ascii_lowercase().windows(4).position(|word| word == b"url=") {
                Some(at) => at + 4,
                None => return Ok(None),
            },
            () => return Ok(None),
        };
        let (before, url) = value.split_at(start);
        let changed = replace::first(&self.redirects, url, values)?;
        Ok(changed.map(|changed| [before, &changed].concat()))
    }
}

/// What `X-Accel-Buffering` says, where it may.
pub(super) fn buffering(head: &Head, settings: &Settings) -> bool {
    let said = head.all("x-accel-buffering").next().filter(|_| !settings.answers.ignored.buffering);
    match said {
        Some(value) if value.eq_ignore_ascii_case(b"yes") => true,
        Some(value) if value.eq_ignore_ascii_case(b"no") => false,
        _ => settings.buffering,
    }
}

/// What `X-Accel-Limit-Rate` says, where it may.
pub(in crate::http) fn limit_rate(head: &Head, settings: &Settings) -> Option<u64> {
    match head.all("x-accel-limit-rate").next().filter(|_| !settings.answers.ignored.limit_rate)? {
        off if off.eq_ignore_ascii_case(b"off") => Some(0),
        rate => std::str::from_utf8(rate).ok().and_then(value::number).map(|rate| rate as u64),
    }
}

/// The fields of the answer whose names are `wanted`, as the client gets them.
///
/// # Errors
/// A regular expression came to no decision.
pub(super) fn fields(values: &Values<'_>, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<Field>, Failed> {
    let Some((settings, head)) = parts(values) else { return Ok(Vec::new()) };
    let wanted = head.fields().filter(|(name, _)| wanted(name));
    wanted
        .map(|(name, value)| {
            let changed = settings.answers.change(name, value, values)?;
            Ok((text(name), changed.unwrap_or_else(|| value.to_vec())))
        })
        .collect()
}

/// The name of a field, which is plain text.
fn text(name: &[u8]) -> Cow<'static, str> {
    String::from_utf8_lossy(name).into_owned().into()
}

/// What is said about the server's answer, and its head.
fn parts<'a>(values: &Values<'a>) -> Option<(&'a Settings, &'a Head)> {
    let exchange = values.request.exchange.as_deref()?;
    Some((&exchange.settings, exchange.head.as_ref()?))
}

/// The client's answer to a request whose server's head is there, without its body.
///
/// # Errors
/// A regular expression came to no decision.
pub(in crate::http) fn response(values: &Values<'_>) -> Result<Response, Failed> {
    let request = values.request;
    let Some((settings, head)) = parts(values) else { return Ok(Response::new(502, Vec::new())) };
    let mut response = Response::new(head.status, Vec::new());
    response.reason =
        Some(head.reason()).filter(|reason| *reason != pages::reason(head.status).as_bytes()).map(<[u8]>::to_vec);
    let connection: Vec<&[u8]> = head.connection().collect();
    response.fields.reserve_exact(head.fields().len());
    for (name, value) in head.fields() {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let passes = head.status == 101 && is("upgrade") || settings.answers.pass_trailers && is("trailer");
        let hop = is_hop(name) || connection.iter().any(|word| word.eq_ignore_ascii_case(name));
        if hop && !passes || settings.hidden.contain(name) || is("content-length") {
            continue;
        }
        if !SPECIAL.contain(name) {
            response.fields.push((text(name), value.to_vec()));
            continue;
        }
        let changed = settings.answers.change(name, value, values)?;
        let place = match () {
            () if is("content-type") && value.is_empty() => continue,
            () if is("content-type") => &mut response.content_type,
            () if is("server") => &mut response.server,
            () if is("date") => &mut response.date,
            // One of our own names this host where it is a path.
            () if is("location") && changed.is_some() => {
                let earlier = std::mem::replace(&mut response.location, changed);
                response.fields.extend(earlier.map(|earlier| (text(name), earlier)));
                continue;
            }
            () => {
                response.fields.push((text(name), changed.unwrap_or_else(|| value.to_vec())));
                continue;
            }
        };
        // Of several the last counts, as in nginx.
        *place = Some(value.to_vec());
    }
    if let Some(charset) = head.all("x-accel-charset").next().filter(|_| !settings.answers.ignored.charset)
        && let Some(content_type) = &mut response.content_type
        && charset != b"off"
    {
        let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
        *content_type = [content_type[..end].trim_ascii_end(), b"; charset=", charset].concat();
    }
    // The framing has been looked at: a length that is there is one.
    let told = head.all("content-length").next().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let bodiless = request.is_head() || matches!(head.status, 204 | 304);
    let exchange = request.exchange.as_ref();
    let asked_head =
        exchange.is_some_and(|exchange| exchange.upstream.as_ref().is_some_and(|server| server.asked_head));
    response.length = match told {
        _ if matches!(head.status, 101 | 204) => Length::Untold,
        // The length is that of what GET would bring; a client that asked otherwise would wait for it, and take the next answer for it.
        _ if asked_head && !bodiless => Length::Known(0),
        Some(length) => Length::Known(length),
        None if bodiless => Length::Untold,
        None if request.head.version() == Version::Http11 && request.location.chunked => Length::Chunked,
        None => {
            response.close = true;
            Length::Untold
        }
    };
    Ok(response)
}
