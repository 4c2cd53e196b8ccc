//! The access log line of a tcp session where no format is named, byte for byte the old module's.

use std::io::Write;

use super::variables::Values;
use crate::log::clock;

/// `2011/08/02 06:19:07 [5972] 127.0.0.1 0.0.0.0:1982 2011/08/02 06:18:19 172.19.0.129:80 80 236305` and a line feed.
///
/// `listen` is the listening address as configured, `accepted` counts seconds since 1970.
pub(super) fn line(values: &Values<'_>, listen: &str, accepted: i64) -> Vec<u8> {
    let mut line = Vec::with_capacity(128);
    let written = writeln!(
        line,
        "{} [{}] {} {} {} {} {} {}",
        clock::now_log(),
        values.pid,
        values.remote.host(),
        listen,
        clock::format_log(accepted),
        values.attempts.last.as_ref().map_or("-", |attempt| attempt.peer),
        values.received,
        values.sent,
    );
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    line
}
