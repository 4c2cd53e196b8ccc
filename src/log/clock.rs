//! Local time as the logs write it, made anew at most once a second.
//!
//! The timezone is that of `TZ`, else of `/etc/localtime`, as for nginx.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Local};

/// The form of [`now_log`].
const LOG: &str = "%Y/%m/%d %H:%M:%S";
/// The form of [`with_local`].
const LOCAL: &str = "%d/%b/%Y:%H:%M:%S %z";
/// The form of [`with_iso8601`].
const ISO8601: &str = "%Y-%m-%dT%H:%M:%S%:z";
/// The form of [`now_syslog`].
const SYSLOG: &str = "%b %e %H:%M:%S";

/// `2011/08/02 06:19:07`, the form of the error log and of the tcp access log.
pub fn now_log() -> String {
    cached(|texts| texts.log.clone())
}

/// The local time of a moment in the form of [`now_log`].
pub fn format_log(unix_seconds: i64) -> String {
    local(unix_seconds).format(LOG).to_string()
}

/// The present as `21/Nov/2026:20:31:05 +0000`, nginx's `$time_local`, without a copy of it.
pub fn with_local<T>(use_text: impl FnOnce(&str) -> T) -> T {
    cached(|texts| use_text(&texts.local))
}

/// The present as `2026-11-21T20:31:05+00:00`, nginx's `$time_iso8601`, without a copy of it.
pub fn with_iso8601<T>(use_text: impl FnOnce(&str) -> T) -> T {
    cached(|texts| use_text(&texts.iso8601))
}

/// `Nov  1 20:31:05`, the timestamp of RFC 3164.
pub fn now_syslog() -> String {
    cached(|texts| texts.syslog.clone())
}

/// The present as `Sun, 06 Nov 1994 08:49:37 GMT`, the form of HTTP (RFC 9110 5.6.7), without a copy of it.
pub fn with_http<T>(use_text: impl FnOnce(&str) -> T) -> T {
    static LAST: HttpDate = HttpDate::new();
    LAST.with(since_1970().as_secs(), use_text)
}

/// A moment in the form of [`with_http`]; the last one is remembered, as a file that is asked for is often asked for again.
pub fn http(unix_seconds: u64) -> String {
    static LAST: HttpDate = HttpDate::new();
    LAST.with(unix_seconds, str::to_owned)
}

/// A second and its text.
struct HttpDate(Mutex<(u64, String)>);

impl HttpDate {
    const fn new() -> Self {
        HttpDate(Mutex::new((u64::MAX, String::new())))
    }

    fn with<T>(&self, unix_seconds: u64, use_text: impl FnOnce(&str) -> T) -> T {
        // The year 9999 is the last that the form has room for.
        const LAST: u64 = 253_402_300_799;
        let wanted = unix_seconds.min(LAST);
        let (second, text) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *second != wanted {
            *text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(wanted));
            *second = wanted;
        }
        use_text(text)
    }
}

/// Seconds since 1970 with milliseconds, nginx's `$msec`: `1700000000.123`.
pub fn now_msec() -> String {
    let now = since_1970();
    format!("{}.{:03}", now.as_secs(), now.subsec_millis())
}

/// Seconds since 1970.
pub fn unix_seconds() -> i64 {
    since_1970().as_secs() as i64
}

/// A clock set before 1970 counts as 1970.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn local(unix_seconds: i64) -> DateTime<Local> {
    DateTime::from_timestamp(unix_seconds, 0).unwrap_or_default().with_timezone(&Local)
}

/// One second in all its forms.
struct Texts {
    second: i64,
    log: String,
    local: String,
    iso8601: String,
    syslog: String,
}

impl Texts {
    fn of(second: i64) -> Self {
        let time = local(second);
        Texts {
            second,
            log: time.format(LOG).to_string(),
            local: time.format(LOCAL).to_string(),
            iso8601: time.format(ISO8601).to_string(),
            syslog: time.format(SYSLOG).to_string(),
        }
    }
}

fn cached<T>(use_texts: impl FnOnce(&Texts) -> T) -> T {
    static NOW: Mutex<Option<Texts>> = Mutex::new(None);
    let now = unix_seconds();
    let mut kept = NOW.lock().unwrap_or_else(PoisonError::into_inner);
    let texts = match &mut *kept {
        Some(texts) if texts.second == now => texts,
        other => other.insert(Texts::of(now)),
    };
    use_texts(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDateTime;

    #[test]
    fn all_forms_name_the_present() {
        let before = unix_seconds();
        let (log, local, iso) = (now_log(), with_local(str::to_owned), with_iso8601(str::to_owned));
        let msec = now_msec();
        let after = unix_seconds();
        let near = |seconds: i64| (before..=after).contains(&seconds);
        assert!(near(DateTime::parse_from_str(&local, LOCAL).unwrap().timestamp()), "{local}");
        assert!(near(DateTime::parse_from_rfc3339(&iso).unwrap().timestamp()), "{iso}");
        assert!((before..=after).any(|second| format_log(second) == log), "{log}");
        let (seconds, thousandths) = msec.split_once('.').unwrap();
        assert!(near(seconds.parse().unwrap()) && thousandths.len() == 3, "{msec}");
    }

    #[test]
    fn a_moment_is_written_in_local_time() {
        let moment = 1_312_265_947;
        let offset = local(moment).offset().local_minus_utc();
        let text = NaiveDateTime::parse_from_str(&format_log(moment), LOG).unwrap();
        assert_eq!(text.and_utc().timestamp(), moment + i64::from(offset));
    }
}
