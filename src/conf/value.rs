//! The forms of values: sizes, times, numbers, by nginx's rules.

use std::time::Duration;

/// A plain number: digits only; `None` when malformed or above the largest signed number of the machine, nginx's bound.
pub fn number(text: &str) -> Option<usize> {
    digits(text.as_bytes()).and_then(|value| usize::try_from(value).ok())
}

/// A size: digits and an optional `k`, `m` or `g` of either case; `None` when malformed or too large for the machine.
pub fn size(text: &str) -> Option<usize> {
    let (value, scale) = match text.as_bytes() {
        [value @ .., b'k' | b'K'] => (value, 1 << 10),
        [value @ .., b'm' | b'M'] => (value, 1 << 20),
        [value @ .., b'g' | b'G'] => (value, 1 << 30),
        value => (value, 1),
    };
    let size = digits(value)?.checked_mul(scale).filter(|size| *size <= MAX)?;
    usize::try_from(size).ok()
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How far down the units a time has come; each must be smaller than the one before.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Step {
    Start,
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Last,
}

/// A time: numbers with units in falling order, blanks between them allowed (`1d 2h`, `1m30s`, `500ms`); a last number
/// without unit is seconds. Units: `y` 365 days, `M` 30 days, `w d h m s ms`; `ms` only in a slot counted in
/// `milliseconds` (where nginx refuses `y` and `M`, which we take). `None` when malformed or beyond 2^63 of the slot's unit.
///
/// What nginx lets pass in odd forms passes here too: a unit without a number counts nothing (`1dh`), and a number set
/// off by a blank is seconds (`1 2` is three).
pub fn time(text: &str, milliseconds: bool) -> Option<Duration> {
    let mut rest = text.as_bytes();
    let mut step = Step::Start;
    let mut total = 0;
    let mut any_digit = false;
    let mut add = |value: u64, scale: u64| {
        let scale = if milliseconds { scale } else { scale / SECOND };
        total = value.checked_mul(scale)?.checked_add(total).filter(|sum| *sum <= MAX)?;
        Some(total)
    };
    loop {
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let value = if length > 0 { digits(&rest[..length])? } else { 0 };
        any_digit |= length > 0;
        let (unit, scale, after) = match &rest[length..] {
            [] => {
                let total = add(value, SECOND).filter(|_| any_digit)?;
                return Some(if milliseconds { Duration::from_millis(total) } else { Duration::from_secs(total) });
            }
            [b'y', after @ ..] => (Step::Year, 365 * DAY, after),
            [b'M', after @ ..] => (Step::Month, 30 * DAY, after),
            [b'w', after @ ..] => (Step::Week, 7 * DAY, after),
            [b'd', after @ ..] => (Step::Day, DAY, after),
            [b'h', after @ ..] => (Step::Hour, HOUR, after),
            [b'm', b's', ..] if !milliseconds => return None,
            [b'm', b's', after @ ..] => (Step::Millisecond, 1, after),
            [b'm', after @ ..] => (Step::Minute, MINUTE, after),
            [b's', after @ ..] => (Step::Second, SECOND, after),
            [b' ', after @ ..] if step < Step::Second => (Step::Last, SECOND, after),
            _ => return None,
        };
        if step >= unit {
            return None;
        }
        step = unit;
        add(value, scale)?;
        let blanks = after.iter().take_while(|byte| **byte == b' ').count();
        rest = &after[blanks..];
    }
}

/// nginx counts in signed 64-bit numbers.
const MAX: u64 = i64::MAX as u64;

/// Digits and nothing else as a number, refused where nginx's signed numbers would overflow.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit).filter(|value| *value <= MAX)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secs(text: &str) -> Option<u64> {
        time(text, false).map(|time| time.as_secs())
    }

    fn millis(text: &str) -> Option<u128> {
        time(text, true).map(|time| time.as_millis())
    }

    #[test]
    fn numbers() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("007"), Some(7));
        assert_eq!(number("9223372036854775807"), Some(9223372036854775807));
        for bad in ["", "-1", "+1", "1k", " 1", "1 ", "0x1", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("0"), Some(0));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("4k"), Some(4096));
        assert_eq!(size("4K"), Some(4096));
        assert_eq!(size("3m"), Some(3 << 20));
        assert_eq!(size("3M"), Some(3 << 20));
        assert_eq!(size("2g"), Some(2 << 30));
        assert_eq!(size("2G"), Some(2 << 30));
        for bad in ["", "k", "1t", "1kk", "1 k", "-1", "1.5m", "9007199254740992k", "9223372036854775808"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(size("9007199254740991k"), Some(9007199254740991 << 10));
    }

    #[test]
    fn times_in_seconds() {
        assert_eq!(secs("0"), Some(0));
        assert_eq!(secs("60"), Some(60));
        assert_eq!(secs("60s"), Some(60));
        assert_eq!(secs("1m30s"), Some(90));
        assert_eq!(secs("1m30"), Some(90));
        assert_eq!(secs("1d 2h"), Some(26 * 3600));
        assert_eq!(secs("1d   2h  "), Some(26 * 3600));
        assert_eq!(secs("1y1M1w1d1h1m1s"), Some(((365 + 30 + 7 + 1) * 24 + 1) * 3600 + 61));
        assert_eq!(secs("9223372036854775807"), Some(i64::MAX as u64));
    }

    #[test]
    fn times_in_milliseconds() {
        assert_eq!(millis("60"), Some(60_000));
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("1s500ms"), Some(1500));
        assert_eq!(millis("1m 1s 1ms"), Some(61_001));
        assert_eq!(millis("1w"), Some(604_800_000));
        assert_eq!(millis("9223372036854775"), Some(9_223_372_036_854_775_000));
        assert_eq!(millis("9223372036854775807ms"), Some(i64::MAX as u128));
    }

    #[test]
    fn malformed_times() {
        for bad in ["", " ", "s", "ms", "1x", "-1", "1.5s", "1s 1m", "1h1h", "1s1s", "1 d", "1s  1s", "1\t2", "1d,2h"] {
            assert_eq!(time(bad, false), None, "{bad}");
            assert_eq!(time(bad, true), None, "{bad}");
        }
        assert_eq!(secs("500ms"), None);
        assert_eq!(secs("1m500ms"), None);
        assert_eq!(millis("1ms1s"), None);
        assert_eq!(millis("1M"), Some(30 * 86_400_000));
    }

    #[test]
    fn times_that_overflow() {
        assert_eq!(secs("9223372036854775808"), None);
        assert_eq!(secs("292471208678y"), None);
        assert_eq!(secs("292471208677y"), Some(292471208677 * 365 * 86400));
        assert_eq!(secs("9223372036854775807s1"), None);
        assert_eq!(millis("9223372036854776"), None);
        assert_eq!(millis("9223372036854775s 808ms"), None);
    }

    #[test]
    fn odd_times_that_nginx_takes() {
        assert_eq!(secs("1dh"), Some(86400));
        assert_eq!(secs("d1"), Some(1));
        assert_eq!(secs("1 2"), Some(3));
        assert_eq!(secs(" 1"), Some(1));
        assert_eq!(secs("1s "), Some(1));
    }

    /// A time by the book: each unit at most once, in falling order, its blanks, and a bare number of seconds.
    fn written_time() -> impl Strategy<Value = (String, u64)> {
        let counts = prop::collection::vec(prop::option::of(0..2000_u64), 8);
        (counts, prop::option::of(0..2000_u64), " {0,2}").prop_map(|(counts, bare, blanks)| {
            let units = [("y", 31_536_000_000), ("M", 2_592_000_000), ("w", 604_800_000), ("d", 86_400_000)];
            let units = units.into_iter().chain([("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]);
            let (mut text, mut total) = (String::new(), 0);
            for ((unit, scale), count) in units.zip(counts) {
                if let Some(count) = count {
                    text += &format!("{count}{unit}{blanks}");
                    total += count * scale;
                }
            }
            if let Some(bare) = bare {
                text += &bare.to_string();
                total += bare * 1000;
            }
            (text, total)
        })
    }

    proptest! {
        #[test]
        fn times_by_the_book((text, total) in written_time()) {
            let empty = text.is_empty();
            let in_millis = (!empty).then(|| Duration::from_millis(total));
            prop_assert_eq!(time(&text, true), in_millis);
            let in_seconds = (!empty && !text.contains("ms")).then(|| Duration::from_millis(total));
            prop_assert_eq!(time(&text, false), in_seconds);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9yMwdhmskg \\PC]{0,24}") {
            let _ = (time(&text, true), time(&text, false), size(&text), number(&text));
        }

        #[test]
        fn sizes_by_the_book(count in any::<u64>(), unit in prop::sample::select(vec![("", 1), ("k", 1 << 10), ("M", 1 << 20), ("g", 1 << 30)])) {
            let exact = u128::from(count) * unit.1;
            let expected = (exact <= i64::MAX as u128).then_some(exact as usize);
            prop_assert_eq!(size(&format!("{count}{}", unit.0)), expected);
        }
    }
}
