//! The forms of values: sizes, times, numbers, by nginx's rules.

use std::time::Duration;

/// A size: digits and an optional `k`, `m` or `g` of either case; `None` when malformed or too large for the machine.
pub fn size(_text: &str) -> Option<usize> {
    todo!()
}

/// A time: numbers with units in falling order, blanks between them allowed (`1d 2h`, `1m30s`, `500ms`); a last number
/// without unit is seconds. Units: `y` 365 days, `M` 30 days, `w d h m s ms`; `ms` only where `milliseconds`.
pub fn time(_text: &str, _milliseconds: bool) -> Option<Duration> {
    todo!()
}
