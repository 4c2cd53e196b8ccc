//! Local time as the logs write it, made anew at most once a second.

/// `2011/08/02 06:19:07`, the form of the error log and of the tcp access log.
pub fn now_log() -> String {
    todo!()
}

/// The local time of a moment in the form of [`now_log`].
pub fn format_log(_unix_seconds: i64) -> String {
    todo!()
}

/// `21/Nov/2026:20:31:05 +0000`, nginx's `$time_local`.
pub fn now_local() -> String {
    todo!()
}

/// `2026-11-21T20:31:05+00:00`, nginx's `$time_iso8601`.
pub fn now_iso8601() -> String {
    todo!()
}

/// Seconds since 1970 with milliseconds, nginx's `$msec`: `1700000000.123`.
pub fn now_msec() -> String {
    todo!()
}

/// Seconds since 1970.
pub fn unix_seconds() -> i64 {
    todo!()
}
