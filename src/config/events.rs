//! `events {}`.

use std::time::Duration;

use crate::conf::{Arity, Call, Contexts, Directive, Result, Row, value};
use crate::net::Address;
use crate::net::access::Match;
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
    pub debug_connections: Vec<Match>,
}

impl Default for Events {
    fn default() -> Self {
        Events {
            worker_connections: 512,
            multi_accept: false,
            accept_mutex_delay: Duration::from_millis(500),
            debug_connections: Vec::new(),
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
            events.worker_connections =
                value::number(text).ok_or_else(|| call.error(format!("invalid number \"{text}\"")))?;
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
    let not_found = || call.error(format!("host not found in debug_connection \"{text}\""));
    match Match::parse(text) {
        Some((Match::All, _)) => return Err(not_found()),
        Some((clients, host_bits)) => {
            if host_bits {
                call.warn(format!("low address bits of {text} are meaningless"));
            }
            events.debug_connections.push(clients);
            return Ok(());
        }
        None => {}
    }
    if text.starts_with("unix:") || text.contains('/') {
        return Err(not_found());
    }
    for address in address::resolve(text, 0).map_err(|_| not_found())? {
        if let Address::Inet(address) = address {
            events.debug_connections.push(Match::Net(address.ip().into()));
        }
    }
    Ok(())
}
