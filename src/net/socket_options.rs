//! What `listen` directives say of a socket itself, whoever serves on it.

use std::time::Duration;

use super::{Address, ListenOptions};
use crate::conf::value::{number, size, time};

/// The length of the kernel's queue, nginx's default.
const BACKLOG: i32 = 511;

/// The parameters of a `listen` that are about the socket. Only one directive of an address may have any.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketOptions {
    /// A socket of its own was asked for, even where a wildcard one would do: `bind`, or a parameter that implies it.
    pub bind: bool,
    /// `ipv6only=`; on when nothing is said.
    pub ipv6only: Option<bool>,
    backlog: Option<i32>,
    reuseport: bool,
    tuning: Tuning,
}

impl SocketOptions {
    /// Takes `bind`, `reuseport` or `backlog=number`, which are the same in every block, of a `listen` on `addresses`; whether it was one of them.
    ///
    /// # Errors
    /// The message for the operator.
    pub fn take(&mut self, word: &str, addresses: &[Address]) -> Result<bool, String> {
        if word == "reuseport" {
            // The kernel spreads no clients over Unix sockets, and lets only one have a path.
            if let Some(unix) = addresses.iter().find(|address| matches!(address, Address::Unix(_))) {
                return Err(format!("reuseport is not supported on addr \"{unix}\""));
            }
            self.reuseport = true;
        } else if let Some(length) = word.strip_prefix("backlog=") {
            let length = number(length).and_then(|length| i32::try_from(length).ok()).filter(|length| *length > 0);
            self.backlog = Some(length.ok_or_else(|| format!("invalid backlog \"{word}\""))?);
        } else if word != "bind" {
            return Ok(false);
        }
        self.bind = true;
        Ok(true)
    }

    /// Takes a parameter that `listen` has in `http {}` only: `deferred`, `fastopen=`, `so_keepalive=`, `rcvbuf=` or `sndbuf=`; whether it was one of them.
    ///
    /// # Errors
    /// The message for the operator.
    pub fn take_tuning(&mut self, word: &str) -> Result<bool, String> {
        let bytes = |text: &str, name: &str| size(text).ok_or_else(|| format!("invalid {name} \"{word}\""));
        match word.split_once('=') {
            None if word == "deferred" => self.tuning.deferred = true,
            Some(("fastopen", text)) => {
                let length = number(text).and_then(|length| i32::try_from(length).ok());
                self.tuning.fast_open = Some(length.ok_or_else(|| format!("invalid fastopen \"{word}\""))?);
            }
            Some(("rcvbuf", text)) => self.tuning.receive_buffer = Some(bytes(text, "rcvbuf")?),
            Some(("sndbuf", text)) => self.tuning.send_buffer = Some(bytes(text, "sndbuf")?),
            Some(("so_keepalive", text)) => {
                let invalid = || format!("invalid so_keepalive value: \"{text}\"");
                self.tuning.keepalive = Some(Keepalive::parse(text).ok_or_else(invalid)?);
            }
            _ => return Ok(false),
        }
        self.bind = true;
        Ok(true)
    }

    /// What the socket of `address` must be like.
    pub fn listen(&self, address: Address, nodelay: bool, keepalive: bool) -> ListenOptions {
        ListenOptions {
            address,
            backlog: self.backlog.unwrap_or(BACKLOG),
            ipv6only: self.ipv6only.unwrap_or(true),
            nodelay,
            keepalive: self.tuning.keepalive.map_or(keepalive, |keepalive| keepalive.on),
            reuseport: self.reuseport,
            tuning: self.tuning,
        }
    }
}

/// What the kernel is told of connections beyond what every one is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Clients are accepted when they have sent something (`TCP_DEFER_ACCEPT`).
    pub deferred: bool,
    /// How many clients may wait whose first packet had data (`TCP_FASTOPEN`).
    pub fast_open: Option<i32>,
    /// `SO_RCVBUF`, bytes.
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF`, bytes.
    pub send_buffer: Option<usize>,
    /// `so_keepalive=`
    pub keepalive: Option<Keepalive>,
}

/// How the kernel finds out that a silent peer is gone; `None`: as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// `SO_KEEPALIVE`
    pub on: bool,
    /// Silence before the first probe (`TCP_KEEPIDLE`).
    pub idle: Option<Duration>,
    /// Between probes (`TCP_KEEPINTVL`).
    pub interval: Option<Duration>,
    /// Probes without an answer (`TCP_KEEPCNT`).
    pub count: Option<u32>,
}

impl Keepalive {
    /// Reads `on`, `off` or `idle:interval:count`, parts of which may be empty, but not all.
    fn parse(text: &str) -> Option<Self> {
        let on = match text {
            "on" => true,
            "off" => false,
            _ => {
                let mut parts = text.split(':');
                let mut next = || Some(parts.next()?).filter(|part| !part.is_empty());
                let (idle, interval, count) = (next(), next(), next());
                if parts.next().is_some() {
                    return None;
                }
                // 0 says nothing, as in nginx.
                let seconds = |text: Option<&str>| time(text.unwrap_or("0"), false);
                let said = |time: &Duration| !time.is_zero();
                let (idle, interval) = (Some(seconds(idle)?).filter(said), Some(seconds(interval)?).filter(said));
                let count = number(count.unwrap_or("0")).and_then(|count| u32::try_from(count).ok())?;
                let count = Some(count).filter(|count| *count > 0);
                let keepalive = Keepalive { on: true, idle, interval, count };
                return Some(keepalive)
                    .filter(|keepalive| *keepalive != Keepalive { on: true, ..Keepalive::default() });
            }
        };
        Some(Keepalive { on, ..Keepalive::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepalive_values() {
        let minutes = |count: u64| Some(Duration::from_secs(60 * count));
        let on = Keepalive { on: true, ..Keepalive::default() };
        for (text, read) in [
            ("on", Some(on)),
            ("off", Some(Keepalive::default())),
            ("30m::10", Some(Keepalive { idle: minutes(30), count: Some(10), ..on })),
            (":1m:", Some(Keepalive { interval: minutes(1), ..on })),
            ("30m", Some(Keepalive { idle: minutes(30), ..on })),
            ("", None),
            ("::", None),
            ("x::", None),
            ("1:2:x", None),
            ("0:0:0", None),
            ("0:1m:0", Some(Keepalive { interval: minutes(1), ..on })),
            ("1:2:3:4", None),
        ] {
            assert_eq!(Keepalive::parse(text), read, "{text}");
        }
    }
}
