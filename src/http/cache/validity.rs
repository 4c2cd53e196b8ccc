//! How long an answer may be kept, by what its head says and by `proxy_cache_valid`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::vary;
use crate::http::entity::parse_date;

/// Fields of `proxy_ignore_headers` that would decide about keeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// `X-Accel-Expires`
    pub accel_expires: bool,
    /// `Cache-Control`
    pub cache_control: bool,
    /// `Expires`
    pub expires: bool,
    /// `Set-Cookie`
    pub set_cookie: bool,
    /// `Vary`
    pub vary: bool,
}

impl Ignored {
    /// None of them.
    pub const NONE: Ignored =
        Ignored { accel_expires: false, cache_control: false, expires: false, set_cookie: false, vary: false };

    /// Ignores what another does too.
    pub fn add(&mut self, other: Ignored) {
        self.accel_expires |= other.accel_expires;
        self.cache_control |= other.cache_control;
        self.expires |= other.expires;
        self.set_cookie |= other.set_cookie;
        self.vary |= other.vary;
    }
}

/// What the fields of an answer say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// It must not be kept.
    pub forbidden: bool,
    /// Until when it is fresh, in seconds since 1970; 0: it does not say.
    pub valid: u64,
    /// `stale-while-revalidate`, in seconds.
    pub while_updating: u32,
    /// `stale-if-error`, in seconds; where that is not said `stale-while-revalidate`, as in nginx.
    pub on_error: u32,
}

/// Reads the fields of an answer, in their order, as nginx does: `X-Accel-Expires` goes before `Cache-Control`, and that before `Expires`,
/// wherever they stand. `now` is in seconds since 1970.
pub fn told<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>, ignored: Ignored, now: u64) -> Told {
    /// Which field has decided.
    #[derive(PartialEq, PartialOrd)]
    enum By {
        Nobody,
        Expires,
        CacheControl,
        Accel,
    }
    let mut told = Told::default();
    // `X-Accel-Expires` overrules what the other two forbid, but not a cookie.
    let (mut control_forbids, mut expired, mut forbidden) = (false, false, false);
    let mut by = By::Nobody;
    for (name, value) in fields {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("x-accel-expires") && !ignored.accel_expires {
            match accel_expires(value, now) {
                Some(Accel::Off) => forbidden = true,
                Some(Accel::Until(valid)) => {
                    told.valid = valid;
                    by = By::Accel;
                }
                None => {}
            }
        } else if is("cache-control") && !ignored.cache_control {
            let control = cache_control(value);
            told.while_updating = control.while_updating.unwrap_or(told.while_updating);
            told.on_error = control.on_error.or(control.while_updating).unwrap_or(told.on_error);
            if control.forbids {
                control_forbids = true;
            } else if let Some(age) = control.age.filter(|_| by < By::Accel) {
                match age {
                    0 => control_forbids = true,
                    age => {
                        told.valid = now.saturating_add(age);
                        expired = false;
                    }
                }
                by = By::CacheControl;
            }
        } else if is("expires") && !ignored.expires && by == By::Nobody {
            match parse_date(value).filter(|expires| *expires > now) {
                Some(expires) => told.valid = expires,
                None => expired = true,
            }
            by = By::Expires;
        } else {
            let cookie = is("set-cookie") && !ignored.set_cookie;
            forbidden |= cookie || (is("vary") && !ignored.vary && vary::is_of_all(value));
        }
    }
    told.forbidden = forbidden || ((control_forbids || expired) && by != By::Accel);
    told
}

enum Accel {
    /// `0`: it must not be kept.
    Off,
    Until(u64),
}

/// Seconds from now, or `@` and seconds since 1970.
fn accel_expires(value: &[u8], now: u64) -> Option<Accel> {
    match value.strip_prefix(b"@") {
        Some(at) => seconds(at).filter(|at| *at > 0).map(Accel::Until),
        None => seconds(value).map(|age| if age == 0 { Accel::Off } else { Accel::Until(now.saturating_add(age)) }),
    }
}

#[derive(Default)]
struct Control {
    forbids: bool,
    age: Option<u64>,
    while_updating: Option<u32>,
    on_error: Option<u32>,
}

/// A number of seconds; one that is too large is as good as any (RFC 9111 1.2.2).
fn seconds(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
}

/// `s-maxage` goes before `max-age`, whatever that is. Where a time is none the answer is not kept, as in nginx.
fn cache_control(value: &[u8]) -> Control {
    let mut control = Control::default();
    let value = value.to_ascii_lowercase();
    let (mut shared, mut own) = (None, None);
    for part in value.split(|byte| matches!(byte, b',' | b';' | b' ')).filter(|part| !part.is_empty()) {
        let (name, argument) = match part.iter().position(|byte| *byte == b'=') {
            Some(at) => (&part[..at], &part[at + 1..]),
            None if matches!(part, b"no-cache" | b"no-store" | b"private") => (part, &b""[..]),
            None => continue,
        };
        let time = seconds(argument);
        let place = match name {
            b"no-cache" | b"no-store" | b"private" => {
                control.forbids = true;
                continue;
            }
            b"s-maxage" => {
                shared.get_or_insert(time);
                continue;
            }
            b"max-age" => {
                own.get_or_insert(time);
                continue;
            }
            b"stale-while-revalidate" => &mut control.while_updating,
            b"stale-if-error" => &mut control.on_error,
            _ => continue,
        };
        *place = time.map(|time| u32::try_from(time).unwrap_or(u32::MAX));
        control.forbids |= time.is_none();
    }
    match shared.or(own) {
        Some(None) => control.forbids = true,
        age => control.age = age.flatten(),
    }
    control
}

/// The seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// One `proxy_cache_valid`: its statuses, 0 being any; and how long.
pub type Rule = (u16, Duration);

/// What `proxy_cache_valid` says of a status; `None` or zero: it is not kept.
pub fn by_status(rules: &[Rule], status: u16) -> Option<Duration> {
    let rule = rules.iter().find(|(known, _)| *known == status || *known == 0);
    rule.map(|(_, time)| *time).filter(|time| !time.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_577_836_800;

    fn read(head: &str, ignored: Ignored) -> Told {
        let fields = head.split('|').filter_map(|line| line.split_once(": "));
        told(fields.map(|(name, value)| (name.as_bytes(), value.as_bytes())), ignored, NOW)
    }

    #[test]
    fn fields_in_order_of_precedence() {
        let valid = |head: &str| {
            let told = read(head, Ignored::default());
            (!told.forbidden).then(|| told.valid.saturating_sub(NOW))
        };
        assert_eq!(valid(""), Some(0));
        assert_eq!(valid("Cache-Control: max-age=10"), Some(10));
        assert_eq!(valid("Cache-Control: public, Max-Age=10, s-maxage=20"), Some(20));
        assert_eq!(valid("Cache-Control: s-maxage=20, max-age=10"), Some(20));
        assert_eq!(valid("Cache-Control: max-age=0"), None);
        for forbids in [
            "no-cache",
            "no-store",
            "private",
            "private, max-age=10",
            "max-age=10, no-cache=\"a\"",
            "max-age=x",
            "max-age=",
            "max-age=+5",
            "max-age=\"5\"",
            "max-age=10, s-maxage=x",
            "max-age=10, s-maxage=0",
            "max-age=10, stale-while-revalidate=x",
            "max-age=10, stale-if-error=x",
        ] {
            assert_eq!(valid(&format!("Cache-Control: {forbids}")), None, "{forbids}");
        }
        assert_eq!(valid("Expires: Wed, 01 Jan 2020 00:00:30 GMT"), Some(30));
        assert_eq!(valid("Expires: Wed, 01 Jan 2020 00:00:00 GMT"), None);
        assert_eq!(valid("Expires: 0"), None);
        assert_eq!(valid("Expires: 0|Cache-Control: max-age=10"), Some(10));
        assert_eq!(valid("Cache-Control: max-age=10|Expires: 0"), Some(10));
        assert_eq!(valid("Cache-Control: no-cache|Expires: Wed, 01 Jan 2020 00:00:30 GMT"), None);
        assert_eq!(valid("X-Accel-Expires: 7|Cache-Control: max-age=10"), Some(7));
        assert_eq!(valid("Cache-Control: max-age=10|X-Accel-Expires: 7"), Some(7));
        assert_eq!(valid("Cache-Control: no-cache|X-Accel-Expires: 7"), Some(7));
        assert_eq!(valid(&format!("X-Accel-Expires: @{}", NOW + 3)), Some(3));
        assert_eq!(valid("X-Accel-Expires: 0"), None);
        assert_eq!(valid("X-Accel-Expires: @0|Cache-Control: max-age=10"), Some(10));
        assert_eq!(valid("Cache-Control: s-maxage=20, max-age=x"), Some(20));
        assert_eq!(valid("Cache-Control: max-age, s-maxage"), Some(0));
        assert_eq!(valid("Cache-Control: max-age=99999999999999999999"), Some(u64::MAX - NOW));
        assert_eq!(valid("X-Accel-Expires: x|Cache-Control: max-age=10"), Some(10));
        assert_eq!(valid("Cache-Control: max-age=10|Set-Cookie: a=b"), None);
        assert_eq!(valid("Cache-Control: max-age=10|Vary: *"), None);
        assert_eq!(valid("Cache-Control: max-age=10|Vary: Accept, *"), None);
        assert_eq!(valid("Cache-Control: max-age=10|Vary: Accept"), Some(10));
    }

    #[test]
    fn ignored_fields_and_stale_answers() {
        let all = Ignored { accel_expires: true, cache_control: true, expires: true, set_cookie: true, vary: true };
        let told = read("X-Accel-Expires: 1|Cache-Control: no-store|Expires: 0|Set-Cookie: a|Vary: *", all);
        assert_eq!(told, Told::default());
        let told = read("Cache-Control: max-age=1, stale-while-revalidate=2, stale-if-error=3", Ignored::default());
        assert_eq!((told.while_updating, told.on_error), (2, 3));
        let told = read("Cache-Control: max-age=1, stale-while-revalidate=2", Ignored::default());
        assert_eq!((told.while_updating, told.on_error), (2, 2));
    }

    #[test]
    fn statuses() {
        let seconds = Duration::from_secs;
        let rules = [(200, seconds(1)), (404, seconds(0)), (0, seconds(9))];
        assert_eq!(by_status(&rules, 200), Some(seconds(1)));
        assert_eq!(by_status(&rules, 404), None);
        assert_eq!(by_status(&rules, 500), Some(seconds(9)));
        assert_eq!(by_status(&[], 200), None);
    }

    proptest! {
        #[test]
        fn any_fields_are_read(values in prop::collection::vec(("x-accel-expires|cache-control|expires|vary", prop::collection::vec(any::<u8>(), 0..40)), 0..6)) {
            told(values.iter().map(|(name, value)| (name.as_bytes(), &value[..])), Ignored::default(), NOW);
        }

        /// Where a field stands does not matter, whatever the others say.
        #[test]
        fn the_first_in_precedence_wins(age in 1..10_000_u64, other in 1..10_000_u64, turned in any::<bool>()) {
            let mut fields = [("X-Accel-Expires", age.to_string()), ("Cache-Control", format!("max-age={other}"))];
            if turned {
                fields.reverse();
            }
            let told = told(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), Ignored::default(), NOW);
            prop_assert_eq!(told.valid, NOW + age);
            prop_assert!(!told.forbidden);
        }
    }
}
