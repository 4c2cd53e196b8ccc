//! Health checks: each checked peer is probed by one worker at a time, and all workers go by what it finds.
//!
//! [`Check`] is the configuration, [`Board`] the list of all checked peers with what is known about them,
//! [`Engine`] what probes them in a worker.

pub mod answer;
mod engine;
mod hello;
mod probe;
pub mod settings;

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use super::shared::{Health, Record};
use super::{Group, Peer};
use crate::net::Address;

pub use answer::Kind;
pub use engine::Engine;

/// How the peers of a group are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// From the beginning of one probe to the next.
    pub interval: Duration,
    /// Failures in a row that mark a peer down.
    pub fall: u32,
    /// Successes in a row that mark it up.
    pub rise: u32,
    /// How long a probe may take.
    pub timeout: Duration,
    /// What is sent and what must come.
    pub kind: Kind,
    /// Whether a peer counts as down until the first probe has come to an end.
    pub default_down: bool,
    /// The port to probe in the place of the peer's; not for Unix sockets.
    pub port: Option<u16>,
    /// `on_down=close`: the sessions of a peer that goes down are closed.
    pub close_sessions: bool,
}

impl Default for Check {
    fn default() -> Self {
        Check {
            interval: Duration::from_millis(30_000),
            fall: 5,
            rise: 2,
            timeout: Duration::from_millis(1_000),
            kind: Kind::Tcp,
            default_down: true,
            port: None,
            close_sessions: false,
        }
    }
}

/// One checked peer.
struct Checked {
    group: Rc<Group>,
    name: String,
    check: Check,
    /// Where to probe.
    address: Address,
    record: Record,
}

impl Checked {
    /// Whether it is the same peer, checked in the same way.
    fn is_checked_as(&self, other: &Checked) -> bool {
        self.record.is(&other.record) && self.address == other.address && self.check == other.check
    }

    /// Whether checks let it serve.
    fn is_up(&self) -> bool {
        match self.record.health() {
            Health::Up => true,
            Health::Down => false,
            Health::Unknown => !self.check.default_down,
        }
    }
}

/// All checked peers of a configuration, those with a fixed address in its order, the addresses of names behind them. Servers marked `down` are not checked: they are never used.
#[derive(Default)]
pub struct Board {
    peers: Vec<Checked>,
}

/// What a status page tells about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// Its place among all checked peers, counted from 0.
    pub index: usize,
    /// The name of its group.
    pub group: &'a str,
    /// Its address.
    pub name: &'a str,
    /// Whether checks let it serve.
    pub up: bool,
    /// Sessions now open with it, of all workers.
    pub busyness: u32,
    /// Probes in a row that it passed.
    pub rises: u64,
    /// Probes in a row that it failed.
    pub falls: u64,
    /// Sessions there ever were, kept over reloads.
    pub accesses: u64,
    /// The `type=` of its check.
    pub kind: &'static str,
}

impl Board {
    /// Those that are checked of these peers, each with its group and record.
    pub fn of<'a>(peers: impl Iterator<Item = (&'a Rc<Group>, &'a Peer, &'a Record)>) -> Self {
        let checked = peers.filter(|(_, peer, _)| !peer.down).filter_map(|(group, peer, record)| {
            let check = group.check.clone()?;
            let address = check.port.map_or_else(|| peer.address.clone(), |port| peer.address.with_port(port));
            Some(Checked { group: group.clone(), name: peer.name.to_string(), check, address, record: record.clone() })
        });
        Board { peers: checked.collect() }
    }

    /// How many peers are checked.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Whether some group has no peer to serve with, and one that nobody has probed yet.
    pub fn is_undecided(&self) -> bool {
        let serving: HashSet<*const Group> =
            self.peers.iter().filter(|checked| checked.is_up()).map(|checked| Rc::as_ptr(&checked.group)).collect();
        let unknown = |checked: &&Checked| checked.record.health() == Health::Unknown;
        self.peers.iter().filter(unknown).any(|checked| !serving.contains(&Rc::as_ptr(&checked.group)))
    }

    /// What is known now about each peer, in order.
    pub fn status(&self) -> impl Iterator<Item = Status<'_>> {
        self.peers.iter().enumerate().map(|(index, checked)| Status {
            index,
            group: &checked.group.name,
            name: &checked.name,
            up: checked.is_up(),
            busyness: checked.record.sessions(),
            rises: checked.record.rises(),
            falls: checked.record.falls(),
            accesses: checked.record.accesses(),
            kind: checked.check.kind.name(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Balancer;
    use crate::upstream::shared::Roster;

    #[test]
    fn the_board_shows_checked_peers_in_the_order_of_the_configuration() {
        let peer = |text: &str| Peer::new(Address::Inet(text.parse().unwrap()));
        let unchecked = Group::new("plain", vec![peer("127.0.0.1:1")]);
        let down = Peer { down: true, ..peer("127.0.0.1:2") };
        let peers = vec![peer("127.0.0.1:3"), down, Peer::new(Address::Unix("/s".into()))];
        let check = Check { kind: Kind::Pop3, port: Some(7), ..Check::default() };
        let checked = Group { check: Some(check), ..Group::new("mail", peers) };
        let groups = [Rc::new(unchecked), Rc::new(checked)];
        let roster = Roster::new(groups.iter().map(Rc::as_ref), &[]).unwrap();
        let of_group = |(n, group): (usize, &Rc<Group>)| Balancer::new(group.clone(), roster.records(n), None, 0);
        let balancers: Vec<Balancer> = groups.iter().enumerate().map(of_group).collect();
        let board = Board::of(balancers.iter().flat_map(Balancer::present));
        let record = &roster.records(1)[0];
        record.open_row(2);
        record.enter(2);
        record.access();
        record.report(true, 1, 1);
        let rows: Vec<Status> = board.status().collect();
        let first = Status {
            index: 0,
            group: "mail",
            name: "127.0.0.1:3",
            up: true,
            busyness: 1,
            rises: 1,
            falls: 0,
            accesses: 1,
            kind: "pop3",
        };
        let second = Status { index: 1, name: "unix:/s", up: false, busyness: 0, rises: 0, accesses: 0, ..first };
        assert_eq!((rows, board.len()), (vec![first, second], 2));
        let probed: Vec<String> = board.peers.iter().map(|checked| checked.address.to_string()).collect();
        assert_eq!(probed, ["127.0.0.1:7", "unix:/s"]);
    }

    #[test]
    fn undecided_until_each_group_has_a_peer_or_has_none_left_to_probe() {
        let peer = |text: &str| Peer::new(Address::Inet(text.parse().unwrap()));
        let group = |name: &str, default_down: bool, peers: Vec<Peer>| {
            Rc::new(Group { check: Some(Check { default_down, ..Check::default() }), ..Group::new(name, peers) })
        };
        let groups = [
            group("two", true, vec![peer("127.0.0.1:1"), peer("127.0.0.1:2")]),
            group("trusted", false, vec![peer("127.0.0.1:3")]),
        ];
        let roster = Roster::new(groups.iter().map(Rc::as_ref), &[]).unwrap();
        let balancers: Vec<Balancer> = groups
            .iter()
            .enumerate()
            .map(|(n, group)| Balancer::new(group.clone(), roster.records(n), None, 0))
            .collect();
        let board = Board::of(balancers.iter().flat_map(Balancer::present));
        let [first, second] = roster.records(0) else { panic!("two records") };
        assert!(board.is_undecided());
        first.report(false, 1, 1);
        assert!(board.is_undecided());
        second.report(false, 1, 1);
        assert!(!board.is_undecided());
        first.forget_health();
        assert!(board.is_undecided());
        second.report(true, 1, 1);
        assert!(!board.is_undecided());
        assert!(!Board::default().is_undecided());
    }
}
