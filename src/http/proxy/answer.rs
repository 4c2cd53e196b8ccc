//! The client's answer, made of the server's.

use super::Settings;
use super::head::Head;
use crate::http::head::Version;
use crate::http::request::Request;
use crate::http::response::{Length, Response};

/// Fields that belong to the server's connection (RFC 9110 7.6.1).
const HOP: [&str; 7] =
    ["connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"];

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
    pub buffering: bool,
}

/// One `proxy_redirect`: what a `Location` may begin with, and what stands in its place then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Redirect {
    pub from: Vec<u8>,
    pub to: Vec<u8>,
}

impl Redirect {
    fn apply(&self, location: &[u8]) -> Option<Vec<u8>> {
        location.strip_prefix(&self.from[..]).map(|rest| [&self.to[..], rest].concat())
    }
}

/// What `X-Accel-Buffering` says, where it may.
pub(super) fn buffering(head: &Head, settings: &Settings) -> bool {
    let said = head.all("x-accel-buffering").next().filter(|_| !settings.ignored.buffering);
    match said {
        Some(value) if value.eq_ignore_ascii_case(b"yes") => true,
        Some(value) if value.eq_ignore_ascii_case(b"no") => false,
        _ => settings.buffering,
    }
}

/// The answer without its body.
pub(super) fn response(request: &Request, settings: &Settings, head: &Head) -> Response {
    let hidden = |name: &str| settings.hidden.iter().any(|hidden| hidden.eq_ignore_ascii_case(name.as_bytes()));
    let mut response = Response::new(head.status, Vec::new());
    response.reason = Some(head.reason().to_vec());
    let connection: Vec<&[u8]> = head.connection().collect();
    for (name, value) in head.fields() {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let upgrade = head.status == 101 && is("upgrade");
        let hop =
            HOP.iter().any(|hop| is(hop)) || connection.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
        if hop && !upgrade || hidden(name) || is("content-length") {
            continue;
        }
        if is("location") || is("refresh") {
            match redirected(settings, is("refresh"), value) {
                Some(to) if is("location") => response.location = Some(to),
                to => response.fields.push((name.to_owned().into(), to.unwrap_or_else(|| value.to_vec()))),
            }
            continue;
        }
        let place = match () {
            () if is("content-type") => &mut response.content_type,
            () if is("server") => &mut response.server,
            () if is("date") => &mut response.date,
            () => {
                response.fields.push((name.to_owned().into(), value.to_vec()));
                continue;
            }
        };
        place.get_or_insert_with(|| value.to_vec());
    }
    // The framing has been looked at: a length that is there is one.
    let told = head.all("content-length").next().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let bodiless = request.is_head() || matches!(head.status, 204 | 304);
    response.length = match told {
        _ if matches!(head.status, 101 | 204) => Length::Untold,
        Some(length) => Length::Known(length),
        None if bodiless => Length::Untold,
        None if request.head.version() == Version::Http11 => Length::Chunked,
        None => {
            response.close = true;
            Length::Untold
        }
    };
    response
}

/// A `Location`, or a `Refresh` with its `url=`, after the first rule that fits.
fn redirected(settings: &Settings, refresh: bool, value: &[u8]) -> Option<Vec<u8>> {
    let start = match refresh {
        true => value.to_ascii_lowercase().windows(4).position(|word| word == b"url=")? + 4,
        false => 0,
    };
    let (before, url) = value.split_at(start);
    let changed = settings.redirects.iter().find_map(|rule| rule.apply(url))?;
    Some([before, &changed].concat())
}
