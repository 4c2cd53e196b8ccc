//! `hash` and `random`: peers by a key that the configuration makes of a request, or by chance. The numbers are those of nginx, so that keys
//! stay with their servers.

use std::time::Instant;

use super::{Balancer, Tried};
use crate::upstream::Peer;

/// How many places are looked at before round robin decides, as in nginx.
const TRIES: usize = 21;
/// Points on the ring for each unit of weight.
const POINTS: u32 = 160;

/// The primaries, each with a share of numbers as large as its weight.
#[derive(Default)]
pub(super) struct Shares {
    /// Where each share ends, and whose it is.
    ends: Vec<(u64, usize)>,
}

impl Shares {
    pub(super) fn new(peers: impl Iterator<Item = (usize, u32)>) -> Self {
        let mut end = 0;
        let share = |(index, weight)| {
            end += u64::from(weight);
            (end, index)
        };
        Shares { ends: peers.map(share).collect() }
    }

    /// How many numbers there are.
    pub(super) fn total(&self) -> u64 {
        self.ends.last().map_or(0, |(end, _)| *end)
    }

    /// Whose a number is, which is less than [`Shares::total`].
    pub(super) fn at(&self, number: u64) -> usize {
        self.ends[self.ends.partition_point(|(end, _)| *end <= number)].1
    }
}

/// The ring of `hash ... consistent`: points, each of a server, in order.
#[derive(Default)]
pub(super) struct Ring {
    points: Vec<(u32, usize)>,
    servers: Vec<String>,
}

impl Ring {
    pub(super) fn new<'a>(peers: impl Iterator<Item = &'a Peer>) -> Self {
        let mut ring = Ring::default();
        for peer in peers {
            let known = ring.servers.iter().position(|server| *server == peer.server);
            let number = known.unwrap_or_else(|| {
                ring.servers.push(peer.server.clone());
                ring.servers.len() - 1
            });
            let (host, port) = halves(&peer.server);
            let mut base = crc32fast::Hasher::new();
            [host.as_bytes(), b"\0", port.as_bytes()].into_iter().for_each(|part| base.update(part));
            let mut before = 0_u32;
            for _ in 0..peer.weight.saturating_mul(POINTS) {
                let mut hash = base.clone();
                hash.update(&before.to_le_bytes());
                before = hash.finalize();
                ring.points.push((before, number));
            }
        }
        ring.points.sort_by_key(|(point, _)| *point);
        ring.points.dedup_by_key(|(point, _)| *point);
        ring
    }

    /// The servers that a key leads to, one behind the other.
    fn path(&self, key: &[u8]) -> impl Iterator<Item = &str> {
        let first = self.points.partition_point(|(point, _)| *point < crc32fast::hash(key));
        let points = (first..).map(|at| self.points[at % self.points.len()]);
        points.take(if self.points.is_empty() { 0 } else { TRIES }).map(|(_, server)| self.servers[server].as_str())
    }
}

/// A server's name as written, without its port and that.
fn halves(server: &str) -> (&str, &str) {
    if let Some(path) = server.strip_prefix("unix:") {
        return (path, "");
    }
    let port = |(_, port): &(&str, &str)| port.bytes().all(|byte| byte.is_ascii_digit());
    server.rsplit_once(':').filter(port).unwrap_or((server, ""))
}

/// The numbers that a key leads to, one behind the other: those of the memcached client for Perl.
fn numbers(key: &[u8]) -> impl Iterator<Item = u64> {
    let mut sum = 0;
    (0..TRIES).map(move |round| {
        let mut hash = crc32fast::Hasher::new();
        if round > 0 {
            hash.update(round.to_string().as_bytes());
        }
        hash.update(key);
        sum += u64::from(hash.finalize() >> 16 & 0x7fff);
        sum
    })
}

impl Balancer {
    fn fits(&self, index: usize, tried: &Tried, now: Instant) -> bool {
        !tried.contains(index) && self.usable(index, now)
    }

    /// The first usable one of the peers that a key leads to.
    pub(super) fn by_key(&self, key: &[u8], tried: &Tried, now: Instant) -> Option<usize> {
        let total = self.shares.total();
        if key.is_empty() || total == 0 {
            return None;
        }
        numbers(key).map(|number| self.shares.at(number % total)).find(|&index| self.fits(index, tried, now))
    }

    /// The same on the ring; those of one name have their turns.
    pub(super) fn by_ring(&mut self, key: &[u8], tried: &Tried, now: Instant) -> Option<usize> {
        if key.is_empty() {
            return None;
        }
        let usable = |balancer: &Balancer, index: usize, server: &str| {
            let peer = &balancer.peers[index];
            !peer.backup && peer.server == server && balancer.fits(index, tried, now)
        };
        let has_one = |server: &&str| (0..self.peers.len()).any(|index| usable(self, index, server));
        let server = self.ring.path(key).find(has_one)?.to_owned();
        self.smooth(|balancer, index| usable(balancer, index, &server))
    }

    /// A usable peer by chance, by weight; with `two` the one of two such that has fewer open sessions in relation to its weight.
    pub(super) fn by_chance(&mut self, two: bool, tried: &Tried, now: Instant) -> Option<usize> {
        let total = self.shares.total();
        if total == 0 {
            return None;
        }
        let mut before: Option<usize> = None;
        for _ in 0..TRIES {
            let index = self.shares.at(self.random.below(total));
            if before == Some(index) || !self.fits(index, tried, now) {
                continue;
            }
            let Some(other) = before.filter(|_| two) else {
                if !two {
                    return Some(index);
                }
                before = Some(index);
                continue;
            };
            let load =
                |one: usize, by: usize| u64::from(self.records[one].sessions()) * u64::from(self.peers[by].weight);
            return Some(if load(index, other) > load(other, index) { other } else { index });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_as_large_as_weights() {
        let shares = Shares::new([(7, 1), (3, 2)].into_iter());
        assert_eq!((0..shares.total()).map(|number| shares.at(number)).collect::<Vec<_>>(), [7, 3, 3]);
    }

    #[test]
    fn names_and_ports() {
        for (server, parts) in [
            ("a:80", ("a", "80")),
            ("a", ("a", "")),
            ("[::1]:8", ("[::1]", "8")),
            ("[::1]", ("[::1]", "")),
            ("unix:/a:1", ("/a:1", "")),
        ] {
            assert_eq!(halves(server), parts);
        }
    }
}
