//! Groups of servers: configuration, balancing, failures, health checks, and what workers share about them.
//!
//! [`Group`] is the configuration, immutable; [`Balancer`] is what one worker knows about a group's peers at run time;
//! [`Follower`] keeps the peers of a `server ... resolve` line at the addresses its name has, or the servers of its service;
//! [`shared::Record`] is what all workers share about one peer; [`checks`] finds out which peers are alive.

pub mod balancer;
pub mod checks;
pub mod directives;
pub mod follow;
pub mod kept;
pub mod shared;
pub mod zone;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use crate::conf::Place;
use crate::log::Level;
use crate::net::{Address, address};
use crate::resolver::{Name, Settings};

pub use balancer::{Balancer, Tried};
use checks::Check;
pub use follow::{Follower, Followers};
pub use kept::{Kept, Station, Stations, Way};

/// nginx's level for a connect that failed: what a peer or the network can do is an error, anything else is for the operator.
pub fn connect_level(error: &io::Error) -> Level {
    match error.raw_os_error() {
        Some(
            libc::ECONNREFUSED
            | libc::ECONNRESET
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ETIMEDOUT
            | libc::EAGAIN,
        ) => Level::Error,
        _ => Level::Crit,
    }
}

/// One address of one `server` line.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where to connect.
    pub address: Address,
    /// Its name in logs: the address as nginx prints it (`127.0.0.1:80`, `[::1]:80`, `unix:/path`).
    pub name: Rc<str>,
    /// Its server as the configuration writes it.
    pub server: String,
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
    /// Its line among [`Group::followed`], when it is an address of one.
    pub line: Option<usize>,
}

impl Peer {
    /// A peer with the defaults of a `server` line, which are nginx's.
    pub fn new(address: Address) -> Self {
        Peer {
            name: address.to_string().into(),
            server: address.to_string(),
            address,
            weight: 1,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            max_busy: None,
            backup: false,
            down: false,
            line: None,
        }
    }

    /// Its address and port; `None` for a Unix socket.
    fn inet(&self) -> Option<SocketAddr> {
        match self.address {
            Address::Inet(address) => Some(address),
            Address::Unix(_) => None,
        }
    }

    /// Its IP address; `None` for a Unix socket.
    fn ip(&self) -> Option<IpAddr> {
        self.inet().map(|address| address.ip())
    }

    /// It as an address of a followed line; `None` for a Unix socket.
    fn endpoint(&self) -> Option<Endpoint> {
        let address = self.inet()?;
        Some(Endpoint { address, server: self.server.clone(), weight: self.weight, backup: self.backup })
    }
}

/// An address that a followed line has, and what may differ between those of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// Its server: as the configuration writes it, or the host that a service's record names.
    pub server: String,
    /// See [`Peer::weight`].
    pub weight: u32,
    /// See [`Peer::backup`].
    pub backup: bool,
}

/// A `server ... resolve` line.
#[derive(Clone, Debug)]
pub struct Followed {
    /// The name to follow: a host's, or a service's.
    pub name: Name,
    /// The port of a host's addresses; `None`: the records of a service tell hosts and ports.
    pub port: Option<u16>,
    /// What its peers have in common; address and name are no peer's.
    pub like: Peer,
    /// Where it stands.
    pub place: Place,
}

impl Followed {
    /// The peer at an address that the line has.
    pub fn peer(&self, endpoint: &Endpoint) -> Peer {
        let Endpoint { address, server, weight, backup } = endpoint.clone();
        let address = Address::Inet(address);
        Peer { name: address.to_string().into(), address, server, weight, backup, ..self.like.clone() }
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
    /// `least_conn`: the one with the fewest open sessions in relation to its weight.
    LeastConn,
    /// `hash`: by a key.
    Hash,
    /// `hash ... consistent`: the same, so that few keys change their server where servers come or go.
    ConsistentHash,
    /// `random`
    Random,
    /// `random two`: of two by chance the one with fewer open sessions in relation to its weight.
    RandomTwo,
}

/// `keepalive` and what goes with it: connections kept open for the next requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How many idle ones a worker keeps.
    pub connections: usize,
    /// How many requests one serves.
    pub requests: u64,
    /// How old one may become.
    pub time: Duration,
    /// How long one may be idle.
    pub timeout: Duration,
}

/// nginx's defaults; how many are kept must be said.
impl Default for Keepalive {
    fn default() -> Self {
        let (time, timeout) = (Duration::from_secs(3600), Duration::from_secs(60));
        Keepalive { connections: 0, requests: 1000, time, timeout }
    }
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
    /// What `hash` makes its key of, as written, and where.
    pub key: Option<(Vec<u8>, Place)>,
    /// How it is found out which peers are alive; `None`: only by sessions that fail.
    pub check: Option<Check>,
    /// When all peers have failed their marks are cleared at once, as in the tcp module; in `http {}` they are left alone for their time.
    pub recovers: bool,
    /// `None`: no connection is kept.
    pub keepalive: Option<Keepalive>,
    /// The lines whose names are followed; `peers` has their addresses as of the start.
    pub followed: Vec<Followed>,
    /// Whom to ask for the names of `followed`.
    pub resolver: Option<Rc<Settings>>,
    /// Its `zone` directives.
    pub zones: Vec<zone::Zone>,
}

impl Group {
    /// A group of primaries, unchecked, by round robin, that follows no names.
    pub fn new(name: impl Into<String>, peers: Vec<Peer>) -> Self {
        Group {
            name: name.into(),
            primaries: peers.len(),
            peers,
            method: Method::default(),
            key: None,
            check: None,
            recovers: true,
            keepalive: None,
            followed: Vec::new(),
            resolver: None,
            zones: Vec::new(),
        }
    }

    /// The number of the group that a `proxy_pass` to `target` means: one of the `named` among `groups`, or one made of the addresses of a
    /// host, added to them. `port` is that of a host that names none; another than the `usual` one is part of the group's name then.
    ///
    /// # Errors
    /// nginx's message.
    pub fn meant(
        groups: &mut Vec<Rc<Group>>,
        named: Range<usize>,
        target: &str,
        port: u16,
        usual: u16,
    ) -> Result<usize, String> {
        let host = target.split(':').next().unwrap_or_default();
        let by_name =
            |groups: &[Rc<Group>], name: &str| groups.iter().position(|group| group.name.eq_ignore_ascii_case(name));
        if let Some(found) = by_name(&groups[named.clone()], target) {
            return Ok(named.start + found);
        }
        if let Some(port) = address::explicit_port(target)
            && by_name(&groups[named.clone()], host).is_some()
        {
            return Err(format!("upstream \"{host}\" may not have port {port}"));
        }
        let without_port = address::explicit_port(target).is_none() && !target.starts_with("unix:");
        // Beside one of the same host on the usual port.
        let name = if port != usual && without_port { format!("{target}:{port}") } else { target.to_owned() };
        if let Some(found) = by_name(&groups[named.end..], &name) {
            return Ok(named.end + found);
        }
        let addresses = address::resolve(target, port).map_err(|why| format!("{why} in upstream \"{target}\""))?;
        let peers: Vec<Peer> = addresses.into_iter().map(Peer::new).collect();
        groups.push(Rc::new(Group::new(&name, peers)));
        Ok(groups.len() - 1)
    }

    /// Whether there is nobody to serve when all is well.
    pub fn has_backups_only(&self) -> bool {
        self.primaries == 0 && self.followed.iter().all(|line| line.like.backup)
    }

    /// Its names are followed by the settings of this resolver; addresses of a family that is switched off are left out from the start.
    pub fn follow_by(&mut self, settings: Rc<Settings>) {
        self.peers.retain(|peer| match peer.address {
            Address::Inet(SocketAddr::V4(_)) => peer.line.is_none() || settings.ipv4,
            Address::Inet(SocketAddr::V6(_)) => peer.line.is_none() || settings.ipv6,
            Address::Unix(_) => true,
        });
        self.primaries = self.peers.iter().filter(|peer| !peer.backup).count();
        self.resolver = Some(settings);
    }
}
