//! The access log line of a tcp session, byte for byte the old module's.

use std::io::Write;

use crate::log::clock;
use crate::net::Address;

/// What a line tells of a session that has ended.
pub(super) struct Ended<'a> {
    /// The worker.
    pub pid: u32,
    pub client: &'a Address,
    /// The listening address as configured.
    pub listen: &'a str,
    /// Seconds since 1970.
    pub accepted: i64,
    /// The last peer tried.
    pub upstream: Option<&'a str>,
    pub received: u64,
    pub sent: u64,
}

/// `2011/08/02 06:19:07 [5972] 127.0.0.1 0.0.0.0:1982 2011/08/02 06:18:19 172.19.0.129:80 80 236305` and a line feed.
pub(super) fn line(ended: &Ended<'_>) -> Vec<u8> {
    let mut line = Vec::with_capacity(128);
    let written = writeln!(
        line,
        "{} [{}] {} {} {} {} {} {}",
        clock::now_log(),
        ended.pid,
        ended.client.host(),
        ended.listen,
        clock::format_log(ended.accepted),
        ended.upstream.unwrap_or("-"),
        ended.received,
        ended.sent,
    );
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    line
}
