//! `add_header`, `add_trailer` and `expires`: fields that the configuration adds to answers.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{Local, NaiveTime, TimeZone};

use super::head::Version;
use super::output::Piece;
use super::response::{Field, Length, Response};
use super::variables::{Text, Values};
use crate::conf::value;

/// One `add_header` or `add_trailer`.
#[derive(Clone, Debug)]
pub(super) struct Added {
    pub name: String,
    pub value: Text,
    /// Whatever the status is.
    pub always: bool,
}

/// `expires`
#[derive(Clone, Debug)]
pub(super) enum Expires {
    Fixed(Expiry),
    /// By a text with variables; with `modified` in front of it, of the file's time.
    Computed {
        modified: bool,
        text: Text,
    },
}

/// How long an answer is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    Off,
    /// It never was.
    Epoch,
    /// For ten years.
    Max,
    /// Seconds from now.
    Access(i64),
    /// Seconds from the time of the last change.
    Modified(i64),
    /// Until so many seconds after midnight, by local time.
    Daily(u32),
}

impl Expiry {
    /// Reads the word behind `expires` or `expires modified`.
    ///
    /// # Errors
    /// nginx's message.
    pub(super) fn parse(modified: bool, word: &[u8]) -> Result<Self, &'static str> {
        const INVALID: &str = "invalid value";
        match word {
            b"epoch" if !modified => return Ok(Expiry::Epoch),
            b"max" if !modified => return Ok(Expiry::Max),
            b"off" if !modified => return Ok(Expiry::Off),
            b"" => return Err(INVALID),
            _ => {}
        }
        let (sign, time) = word.split_at(usize::from(matches!(word[0], b'@' | b'+' | b'-')));
        let time = std::str::from_utf8(time).ok().and_then(|time| value::time(time, false)).ok_or(INVALID)?;
        let seconds = i64::try_from(time.as_secs()).map_err(|_| INVALID)?;
        match sign {
            b"@" if modified => Err("daily time cannot be used with \"modified\" parameter"),
            b"@" if seconds > 86_400 => Err("daily time value must be less than 24 hours"),
            b"@" => Ok(Expiry::Daily(seconds as u32)),
            sign => {
                let seconds = if sign == b"-" { -seconds } else { seconds };
                Ok(if modified { Expiry::Modified(seconds) } else { Expiry::Access(seconds) })
            }
        }
    }

    /// The values of `Expires` and `Cache-Control`; none for `off`.
    fn fields(self, now: i64, last_modified: Option<i64>) -> Option<(Vec<u8>, Vec<u8>)> {
        let (at, age) = match self {
            Expiry::Off => return None,
            // nginx's two ends of time.
            Expiry::Epoch => return Some((http_date(1), b"no-cache".to_vec())),
            Expiry::Max => return Some((http_date(2_145_916_555), b"max-age=315360000".to_vec())),
            Expiry::Access(0) | Expiry::Modified(0) => (now, 0),
            Expiry::Access(seconds) => (now.saturating_add(seconds), seconds),
            Expiry::Modified(seconds) => match last_modified {
                Some(modified) => (modified.saturating_add(seconds), modified.saturating_add(seconds) - now),
                None => (now.saturating_add(seconds), seconds),
            },
            Expiry::Daily(seconds) => {
                let at = next_time(now, seconds);
                (at, at - now)
            }
        };
        let past = age < 0 || matches!(self, Expiry::Access(..0) | Expiry::Modified(..0));
        let control = if past { b"no-cache".to_vec() } else { format!("max-age={age}").into_bytes() };
        Some((http_date(at), control))
    }
}

/// The next moment that is so many seconds after a midnight.
fn next_time(now: i64, seconds: u32) -> i64 {
    let Some(today) = Local.timestamp_opt(now, 0).single() else { return now };
    let at = |days: u64| {
        let day = today.date_naive() + chrono::Days::new(days + u64::from(seconds / 86_400));
        let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds % 86_400, 0)?;
        Some(Local.from_local_datetime(&day.and_time(time)).earliest()?.timestamp())
    };
    // An hour that a change of clocks leaves out is that of the day after.
    [0, 1, 2].into_iter().filter_map(at).find(|at| *at > now).unwrap_or(now)
}

fn http_date(seconds: i64) -> Vec<u8> {
    // What the form has room for ends with the year 9999.
    let seconds = u64::try_from(seconds).unwrap_or_default().min(253_402_300_799);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)).into_bytes()
}

/// What one level says; `None` where the level above counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub headers: Option<Vec<Added>>,
    pub trailers: Option<Vec<Added>>,
    pub expires: Option<Expires>,
}

/// What is added to the answers of a location.
#[derive(Debug)]
pub(super) struct Fields {
    headers: Vec<Added>,
    trailers: Vec<Added>,
    expires: Option<Expires>,
}

impl Said {
    /// Takes from the level above what this one does not say.
    pub(super) fn inherit(&mut self, above: &Said) {
        self.headers = self.headers.take().or_else(|| above.headers.clone());
        self.trailers = self.trailers.take().or_else(|| above.trailers.clone());
        self.expires = self.expires.take().or_else(|| above.expires.clone());
    }

    /// `None`: nothing is added.
    pub(super) fn settle(&self) -> Option<Rc<Fields>> {
        let fields = Fields {
            headers: self.headers.clone().unwrap_or_default(),
            trailers: self.trailers.clone().unwrap_or_default(),
            expires: self.expires.clone().filter(|expires| !matches!(expires, Expires::Fixed(Expiry::Off))),
        };
        let any = !fields.headers.is_empty() || !fields.trailers.is_empty() || fields.expires.is_some();
        any.then(|| Rc::new(fields))
    }
}

/// Statuses whose answers get what is not for `always`: nginx's list, and that of a range that is not there, which it makes
/// of a 200 afterwards.
fn is_plain(status: u16) -> bool {
    matches!(status, 200 | 201 | 204 | 206 | 301..=304 | 307 | 308 | 416)
}

impl Fields {
    /// Adds the fields to an answer.
    pub(super) fn add(&self, values: &Values<'_>, response: &mut Response) {
        let plain = is_plain(response.status);
        // nginx adds fields before those about ranges that it makes itself.
        let about_ranges = |field: &Field| matches!(&*field.0, "Accept-Ranges" | "Content-Range");
        let own = !values.request.exchange.as_ref().is_some_and(|exchange| exchange.passes_ranges());
        let at = response.fields.iter().position(|field| own && about_ranges(field)).unwrap_or(response.fields.len());
        let behind = response.fields.split_off(at);
        if plain && let Some(expires) = &self.expires {
            self.expire(expires, values, response);
        }
        for added in self.headers.iter().filter(|added| plain || added.always) {
            let value = values.fill(&added.value);
            let is = |name: &str| added.name.eq_ignore_ascii_case(name);
            if is("Last-Modified") {
                response.last_modified = None;
            }
            // These take the place of those that are there already.
            if (is("Last-Modified") || is("ETag")) && value.is_empty() {
                response.fields.retain(|(name, _)| !name.eq_ignore_ascii_case(&added.name));
            } else if is("Last-Modified") || is("ETag") {
                replace(&mut response.fields, added.name.clone(), value);
            } else if !value.is_empty() {
                response.fields.push((Cow::Owned(added.name.clone()), value));
            }
        }
        response.fields.extend(behind);
    }

    fn expire(&self, expires: &Expires, values: &Values<'_>, response: &mut Response) {
        let expiry = match expires {
            Expires::Fixed(expiry) => Ok(*expiry),
            Expires::Computed { modified, text } => Expiry::parse(*modified, &values.fill(text)),
        };
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        let last_modified = response.last_modified.as_deref().or_else(|| find(&response.fields, "Last-Modified"));
        let last_modified =
            last_modified.and_then(|date| httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok()).map(seconds);
        // What a text with variables has come to may be no time: nothing is said then, as in nginx.
        let Some((at, control)) =
            expiry.ok().and_then(|expiry| expiry.fields(seconds(SystemTime::now()), last_modified))
        else {
            return;
        };
        replace(&mut response.fields, "Expires", at);
        replace(&mut response.fields, "Cache-Control", control);
    }

    /// Whether an answer of this status ends with trailers.
    fn has_trailers(&self, status: u16) -> bool {
        self.trailers.iter().any(|added| is_plain(status) || added.always)
    }

    /// The trailers of an answer that has been sent.
    pub(super) fn trailers(&self, values: &Values<'_>) -> Vec<u8> {
        let plain = is_plain(values.request.status);
        let mut out = Vec::new();
        for added in self.trailers.iter().filter(|added| plain || added.always) {
            let value = values.fill(&added.value);
            if !value.is_empty() {
                out.extend_from_slice(added.name.as_bytes());
                out.extend_from_slice(b": ");
                out.extend(value.iter().map(|byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { *byte }));
                out.extend_from_slice(b"\r\n");
            }
        }
        out
    }

    /// Gives an answer that is to end with trailers the framing for that: chunks, which clients of HTTP/1.0 do not know. Tells whether
    /// it has them now.
    pub(super) fn frame(&self, values: &Values<'_>, response: &mut Response) -> bool {
        let request = values.request;
        let bodiless = matches!(response.status, ..200 | 204 | 304) || request.is_head();
        let chunked = request.head.version() == Version::Http11 && request.location.chunked;
        if bodiless || !chunked || !self.has_trailers(response.status) {
            return false;
        }
        response.length = Length::Chunked;
        true
    }
}

/// The body of an answer as one chunk, with its end; `trailers` are whole lines.
pub(super) fn in_one_chunk(body: Vec<Piece>, trailers: &[u8]) -> Vec<Piece> {
    let length: u64 = body.iter().map(Piece::length).sum();
    let end = [b"0\r\n", trailers, b"\r\n"].concat();
    if length == 0 {
        return vec![Piece::Bytes(end)];
    }
    let start = Piece::Bytes(format!("{length:x}\r\n").into_bytes());
    std::iter::once(start).chain(body).chain([Piece::Bytes([b"\r\n", &end[..]].concat())]).collect()
}

fn find<'a>(fields: &'a [Field], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.0.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

/// Gives the first field of a name another value, and takes the others away; where there is none it comes last.
fn replace(fields: &mut Vec<Field>, name: impl Into<Cow<'static, str>>, value: Vec<u8>) {
    let name = name.into();
    let mut value = Some(value);
    fields.retain_mut(|field| {
        if !field.0.eq_ignore_ascii_case(&name) {
            return true;
        }
        value.take().map(|value| field.1 = value).is_some()
    });
    fields.extend(value.map(|value| (name, value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_expires() {
        for (modified, word, meaning) in [
            (false, "epoch", Ok(Expiry::Epoch)),
            (false, "max", Ok(Expiry::Max)),
            (false, "off", Ok(Expiry::Off)),
            (false, "1h", Ok(Expiry::Access(3600))),
            (false, "+1m", Ok(Expiry::Access(60))),
            (false, "-1d", Ok(Expiry::Access(-86_400))),
            (true, "-1", Ok(Expiry::Modified(-1))),
            (false, "@15h30m", Ok(Expiry::Daily(55_800))),
            (false, "@25h", Err("daily time value must be less than 24 hours")),
            (true, "@1h", Err("daily time cannot be used with \"modified\" parameter")),
            (true, "max", Err("invalid value")),
            (false, "", Err("invalid value")),
            (false, "-", Err("invalid value")),
            (false, "1 hour", Err("invalid value")),
        ] {
            assert_eq!(Expiry::parse(modified, word.as_bytes()), meaning, "{modified} {word}");
        }
    }

    #[test]
    fn how_long_answers_are_fresh() {
        let now = 1_000_000_000;
        let control = |expiry: Expiry, modified: Option<i64>| {
            let (at, control) = expiry.fields(now, modified).unwrap();
            (String::from_utf8(at).unwrap(), String::from_utf8(control).unwrap())
        };
        let said = |at: &str, control: &str| (at.to_owned(), control.to_owned());
        assert_eq!(control(Expiry::Epoch, None), said("Thu, 01 Jan 1970 00:00:01 GMT", "no-cache"));
        assert_eq!(control(Expiry::Max, None), said("Thu, 31 Dec 2037 23:55:55 GMT", "max-age=315360000"));
        assert_eq!(control(Expiry::Access(0), None), said("Sun, 09 Sep 2001 01:46:40 GMT", "max-age=0"));
        assert_eq!(control(Expiry::Access(60), None), said("Sun, 09 Sep 2001 01:47:40 GMT", "max-age=60"));
        assert_eq!(control(Expiry::Access(-1), None), said("Sun, 09 Sep 2001 01:46:39 GMT", "no-cache"));
        assert_eq!(control(Expiry::Modified(60), Some(now - 30)), said("Sun, 09 Sep 2001 01:47:10 GMT", "max-age=30"));
        assert_eq!(control(Expiry::Modified(60), Some(now - 90)), said("Sun, 09 Sep 2001 01:46:10 GMT", "no-cache"));
        assert_eq!(control(Expiry::Modified(60), None).1, "max-age=60");
        let (_, age) = control(Expiry::Daily(0), None);
        let age: i64 = age.strip_prefix("max-age=").unwrap().parse().unwrap();
        assert!((1..=25 * 3600).contains(&age), "{age}");
        assert_eq!(Expiry::Off.fields(now, None), None);
    }

    #[test]
    fn one_field_of_a_name_is_left() {
        let field = |name: &'static str, value: &str| (Cow::Borrowed(name), value.as_bytes().to_vec());
        let mut fields = vec![field("a", "1"), field("EXPIRES", "2"), field("b", "3"), field("expires", "4")];
        replace(&mut fields, "Expires", b"5".to_vec());
        assert_eq!(fields, [field("a", "1"), field("EXPIRES", "5"), field("b", "3")]);
        replace(&mut fields, "c", b"6".to_vec());
        assert_eq!(fields[3], field("c", "6"));
    }
}
