//! Groups of servers: configuration, balancing, failures, health checks, and what workers share about them.
//!
//! [`Group`] is the configuration, immutable; [`Balancer`] is what one worker knows about a group's peers at run time;
//! [`shared::Record`] is what all workers share about one peer; [`checks`] finds out which peers are alive.

pub mod balancer;
pub mod checks;
pub mod directives;
pub mod shared;

use std::time::Duration;

use crate::net::Address;

pub use balancer::{Balancer, Tried};
use checks::Check;

/// One address of one `server` line.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where to connect.
    pub address: Address,
    /// Its name in logs: the address as nginx prints it (`127.0.0.1:80`, `[::1]:80`, `unix:/path`).
    pub name: String,
    /// Its share, 1 or more.
    pub weight: u32,
    /// Failures within `fail_timeout` after which it is left alone; 0: never.
    pub max_fails: u32,
    /// The window of `max_fails` and how long the peer is left alone then.
    pub fail_timeout: Duration,
    /// Open sessions, of all workers, beyond which it is passed over; `None`: no limit.
    pub max_busy: Option<u32>,
    /// Used only when no primary is usable.
    pub backup: bool,
    /// Never used.
    pub down: bool,
}

impl Peer {
    /// A peer with the defaults of a `server` line, which are nginx's.
    pub fn new(address: Address) -> Self {
        Peer {
            name: address.to_string(),
            address,
            weight: 1,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            max_busy: None,
            backup: false,
            down: false,
        }
    }
}

/// How a group chooses among its usable peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// By weight, in turns.
    #[default]
    RoundRobin,
    /// `ip_hash`: by the client's address.
    IpHash,
    /// `busyness`: the one with the fewest open sessions.
    Busyness,
}

/// A group of servers: an `upstream {}` block, or the addresses of a `proxy_pass host:port`.
#[derive(Clone, Debug)]
pub struct Group {
    /// The name given in the configuration, or `host:port`.
    pub name: String,
    /// Primaries in configuration order, then backups in configuration order.
    pub peers: Vec<Peer>,
    /// How many of `peers` are primaries.
    pub primaries: usize,
    /// How peers are chosen.
    pub method: Method,
    /// How it is found out which peers are alive; `None`: only by sessions that fail.
    pub check: Option<Check>,
}

impl Group {
    /// A group of primaries, unchecked, by round robin.
    pub fn new(name: impl Into<String>, peers: Vec<Peer>) -> Self {
        Group { name: name.into(), primaries: peers.len(), peers, method: Method::default(), check: None }
    }
}
