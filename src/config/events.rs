//! `events {}`.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::conf::{Arity, Call, Contexts, Directive, Result, Row};
use crate::net::Address;
use crate::net::address;

/// What `events {}` says.
#[derive(Clone, Debug)]
pub struct Events {
    /// Connections of one worker, clients and upstreams and listening sockets together (nginx's default: 512).
    pub worker_connections: usize,
    /// Take all waiting connections at once instead of one a turn.
    pub multi_accept: bool,
    /// How long accepting pauses when descriptors run out (nginx uses the same value, 500 ms).
    pub accept_mutex_delay: Duration,
    /// Clients whose sessions are logged at `debug`.
    pub debug_connections: Vec<IpNet>,
    /// Whether sessions of clients that come through Unix sockets are logged at `debug`.
    pub debug_unix: bool,
}

impl Default for Events {
    fn default() -> Self {
        Events {
            worker_connections: 512,
            multi_accept: false,
            accept_mutex_delay: Duration::from_millis(500),
            debug_connections: Vec::new(),
            debug_unix: false,
        }
    }
}

impl Events {
    /// Whether a `debug_connection` names this client. An IPv4 client of an IPv6 socket is held against the IPv4 rules.
    pub fn debugs(&self, client: &Address) -> bool {
        match client {
            Address::Unix(_) => self.debug_unix,
            Address::Inet(address) => {
                let ip = address.ip().to_canonical();
                self.debug_connections.iter().any(|network| network.contains(&ip))
            }
        }
    }
}

const fn row(name: &'static str, syntax: &'static str, default: &'static str, help: &'static str) -> Row {
    Row {
        name,
        contexts: Contexts::EVENTS,
        arity: Arity::Exactly(1),
        block: None,
        repeat: false,
        syntax,
        default,
        help,
    }
}

/// The table of `events {}`.
pub static TABLE: &[Directive<Events>] = &[
    Directive {
        row: row(
            "worker_connections",
            "number",
            "512",
            "The connections one worker may have open: clients, upstream servers and listening sockets together.",
        ),
        set: |events, call| {
            let text = call.text(1)?;
            events.worker_connections = text.parse().map_err(|_| call.error(format!("invalid number \"{text}\"")))?;
            Ok(())
        },
    },
    Directive {
        row: row("use", "epoll", "epoll", "The event method; there is only `epoll`."),
        set: |_, call| match call.text(1)? {
            "epoll" => Ok(()),
            other => Err(call.error(format!("invalid event type \"{other}\""))),
        },
    },
    Directive {
        row: row("multi_accept", "on | off", "off", "Whether a worker takes all waiting connections at once."),
        set: |events, call| {
            events.multi_accept = call.flag()?;
            Ok(())
        },
    },
    Directive {
        row: row(
            "accept_mutex",
            "on | off",
            "off",
            "Accepted for compatibility, without effect: the kernel wakes one worker a connection (EPOLLEXCLUSIVE).",
        ),
        set: |_, call| call.flag().map(drop),
    },
    Directive {
        row: row(
            "accept_mutex_delay",
            "time",
            "500ms",
            "How long a worker stops accepting when it runs out of file descriptors.",
        ),
        set: |events, call| {
            events.accept_mutex_delay = call.time()?;
            Ok(())
        },
    },
    Directive {
        row: Row {
            repeat: true,
            ..row(
                "debug_connection",
                "address | CIDR | unix:",
                "-",
                "Sessions of these clients are logged at level `debug`, whatever the level of the error log.",
            )
        },
        set: debug_connection,
    },
    Directive {
        row: row(
            "worker_aio_requests",
            "number",
            "-",
            "Accepted for compatibility, without effect: there is no asynchronous file I/O.",
        ),
        set: |_, call| call.number().map(drop),
    },
    Directive {
        row: row(
            "epoll_events",
            "number",
            "-",
            "Accepted for compatibility, without effect: the number of events taken at once is fixed.",
        ),
        set: |_, call| call.number().map(drop),
    },
];

fn debug_connection(events: &mut Events, call: &mut Call) -> Result<()> {
    let text = call.text(1)?;
    if text == "unix:" {
        events.debug_unix = true;
        return Ok(());
    }
    if let Ok(network) = text.parse::<IpNet>() {
        if network != network.trunc() {
            call.warn(format!("low address bits of {text} are meaningless"));
        }
        events.debug_connections.push(network.trunc());
        return Ok(());
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        events.debug_connections.push(ip.into());
        return Ok(());
    }
    let not_found = || call.error(format!("host not found in debug_connection \"{text}\""));
    if text.starts_with("unix:") || text.contains('/') {
        return Err(not_found());
    }
    for address in address::resolve(text, 0).map_err(|_| not_found())? {
        if let Address::Inet(address) = address {
            events.debug_connections.push(address.ip().into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugs_mapped_and_unix_clients() {
        let events =
            Events { debug_connections: vec!["10.0.0.0/8".parse().unwrap()], debug_unix: true, ..Events::default() };
        let client = |text: &str| Address::Inet(text.parse().unwrap());
        assert!(events.debugs(&client("10.1.2.3:4")));
        assert!(events.debugs(&client("[::ffff:10.1.2.3]:4")));
        assert!(!events.debugs(&client("11.1.2.3:4")));
        assert!(!events.debugs(&client("[::1]:4")));
        assert!(events.debugs(&Address::Unix("/x".into())));
        assert!(!Events::default().debugs(&Address::Unix("/x".into())));
    }
}
