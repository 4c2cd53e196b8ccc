//! Choosing a peer: nginx's smooth weighted round robin with failure marks and backups, `ip_hash`, `busyness`.

mod ip_hash;

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use super::shared::{Health, Record};
use super::{Group, Method, Peer};
use crate::net::Address;

/// The peers a session has tried. Up to 64 peers it owns no memory.
#[derive(Default)]
pub struct Tried {
    /// One bit a peer.
    first: u64,
    /// The bits of the peers from number 64 on.
    rest: Vec<u64>,
}

impl Tried {
    /// How many there are.
    pub fn len(&self) -> usize {
        let ones = |word: &u64| word.count_ones() as usize;
        ones(&self.first) + self.rest.iter().map(ones).sum::<usize>()
    }

    /// Whether none has been tried yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn contains(&self, peer: usize) -> bool {
        let word = match peer / 64 {
            0 => self.first,
            n => self.rest.get(n - 1).copied().unwrap_or(0),
        };
        word >> (peer % 64) & 1 != 0
    }

    fn insert(&mut self, peer: usize) {
        let word = match peer / 64 {
            0 => &mut self.first,
            n => {
                if self.rest.len() < n {
                    self.rest.resize(n, 0);
                }
                &mut self.rest[n - 1]
            }
        };
        *word |= 1 << (peer % 64);
    }
}

/// What one worker knows at run time about the peers of one group. Sessions and others name a peer by a number that stays
/// the same as long as the balancer lives.
pub struct Balancer {
    group: Rc<Group>,
    /// What is shared with the other workers, by peer.
    records: Vec<Record>,
    /// This worker's row in the records.
    row: usize,
    states: Vec<State>,
    /// One peer alone is not `down`: it is never marked failed, there being no other to go to.
    alone: bool,
    /// The order in which `ip_hash` counts: primaries as configured, those marked `down` last.
    hashed: Vec<usize>,
    random: Random,
}

/// What is known about one peer. The names are nginx's.
#[derive(Clone)]
struct State {
    /// How far the peer is behind (more than 0) or ahead of its share.
    current_weight: i64,
    /// The weight, lowered by failures, raised by one each time the peer might be chosen.
    effective_weight: i64,
    /// Failures in the running window.
    fails: u32,
    /// When it last failed.
    accessed: Option<Instant>,
    /// The start of the running window.
    checked: Option<Instant>,
    /// How often the peer had gone down when [`Balancer::fallen`] looked last.
    descents: u64,
}

impl State {
    fn new(peer: &Peer, record: &Record) -> Self {
        State {
            current_weight: 0,
            effective_weight: i64::from(peer.weight),
            fails: 0,
            accessed: None,
            checked: None,
            descents: record.descents(),
        }
    }

    /// Whether the window that began last is still running.
    fn in_window(&self, peer: &Peer, now: Instant) -> bool {
        self.checked.is_some_and(|checked| now.duration_since(checked) <= peer.fail_timeout)
    }

    /// Whether the peer is left alone for its failures.
    fn disabled(&self, peer: &Peer, now: Instant) -> bool {
        peer.max_fails != 0 && self.fails >= peer.max_fails && self.in_window(peer, now)
    }
}

impl Balancer {
    /// A balancer with no failures known. `records` are those of the group's peers, `row` is this worker's in them.
    pub fn new(group: Rc<Group>, records: &[Record], row: usize) -> Self {
        records.iter().for_each(|record| record.open_row(row));
        let states = group.peers.iter().zip(records).map(|(peer, record)| State::new(peer, record)).collect();
        let alone = group.peers.iter().filter(|peer| !peer.down).count() == 1;
        let mut hashed: Vec<usize> = (0..group.primaries).collect();
        hashed.sort_by_key(|&index| group.peers[index].down);
        Balancer { records: records.to_vec(), row, states, alone, hashed, random: Random::new(), group }
    }

    /// The group it chooses from.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// What is configured for a peer that was picked.
    pub fn peer(&self, peer: usize) -> &Peer {
        &self.group.peers[peer]
    }

    /// The next peer to try for a client, marked in `tried` and counted as busy until [`Balancer::release`]. `None`: no peer is left; if
    /// that was because all are marked failed, the marks are cleared, so that the next session tries again.
    pub fn pick(&mut self, tried: &mut Tried, client: &Address, now: Instant) -> Option<usize> {
        let primaries = 0..self.group.primaries;
        let backups = primaries.end..self.group.peers.len();
        let peer = match self.group.method {
            Method::RoundRobin => None,
            Method::IpHash => self.by_hash(client, tried, now),
            Method::Busyness => {
                self.least_busy(primaries.clone(), tried, now).or_else(|| self.least_busy(backups.clone(), tried, now))
            }
        };
        let peer =
            peer.or_else(|| self.round_robin(primaries, tried, now)).or_else(|| self.round_robin(backups, tried, now));
        match peer {
            Some(peer) => {
                let state = &mut self.states[peer];
                // A new window: one session finds out whether a failed peer is back, while others go on leaving it alone.
                if !state.in_window(&self.group.peers[peer], now) {
                    state.checked = Some(now);
                }
                tried.insert(peer);
                self.records[peer].enter(self.row);
                if self.group.check.is_some() {
                    self.records[peer].access();
                }
            }
            None => self.clear_if_all_failed(now),
        }
        peer
    }

    /// The peer could not be connected to, or broke before use. Returns true when this failure makes the peer
    /// temporarily disabled (nginx logs `upstream server temporarily disabled` at `warn`).
    pub fn failed(&mut self, peer: usize, now: Instant) -> bool {
        if self.alone {
            return false;
        }
        let (peer, state) = (&self.group.peers[peer], &mut self.states[peer]);
        state.fails = state.fails.saturating_add(1);
        state.accessed = Some(now);
        state.checked = Some(now);
        if peer.max_fails == 0 {
            return false;
        }
        let lost = i64::from(peer.weight / peer.max_fails);
        state.effective_weight = (state.effective_weight - lost).max(0);
        state.fails >= peer.max_fails
    }

    /// The peer was connected to: failures older than the running window are forgotten, as in nginx.
    pub fn succeeded(&mut self, peer: usize) {
        let state = &mut self.states[peer];
        if state.accessed < state.checked {
            state.fails = 0;
        }
    }

    /// The session with this peer is over, whether it came about or not.
    pub fn release(&mut self, peer: usize) {
        self.records[peer].leave(self.row);
    }

    /// The peers that checks have found down since this was asked last.
    pub fn fallen(&mut self) -> Vec<usize> {
        let mut fallen = Vec::new();
        for (peer, (state, record)) in self.states.iter_mut().zip(&self.records).enumerate() {
            let descents = record.descents();
            if state.descents != descents {
                state.descents = descents;
                fallen.push(peer);
            }
        }
        fallen
    }

    /// The first usable one of the peers that the client's address leads to.
    fn by_hash(&self, client: &Address, tried: &Tried, now: Instant) -> Option<usize> {
        let path = ip_hash::path(client, self.hashed.len()).map(|place| self.hashed[place]);
        path.into_iter().find(|&index| !tried.contains(index) && self.usable(index, now))
    }

    /// The usable peer with the fewest open sessions; chance decides between equal ones.
    fn least_busy(&mut self, peers: Range<usize>, tried: &Tried, now: Instant) -> Option<usize> {
        let mut best = None;
        let (mut fewest, mut equals) = (u32::MAX, 0);
        for index in peers {
            if tried.contains(index) || !self.usable(index, now) {
                continue;
            }
            let sessions = self.records[index].sessions();
            if sessions < fewest {
                (best, fewest, equals) = (Some(index), sessions, 1);
            } else if sessions == fewest {
                equals += 1;
                // Each of n equal ones is left over with a chance of 1/n.
                if self.random.below(equals) == 0 {
                    best = Some(index);
                }
            }
        }
        best
    }

    /// The smooth weighted round robin among those of `peers` that are usable: each gains its weight, the one that is furthest behind is
    /// taken and pays for all.
    fn round_robin(&mut self, peers: Range<usize>, tried: &Tried, now: Instant) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut total = 0;
        for index in peers {
            if tried.contains(index) || !self.usable(index, now) {
                continue;
            }
            let (peer, state) = (&self.group.peers[index], &mut self.states[index]);
            state.current_weight += state.effective_weight;
            total += state.effective_weight;
            if state.effective_weight < i64::from(peer.weight) {
                state.effective_weight += 1;
            }
            let weight = state.current_weight;
            if best.is_none_or(|best| weight > self.states[best].current_weight) {
                best = Some(index);
            }
        }
        let best = best?;
        self.states[best].current_weight -= total;
        Some(best)
    }

    fn usable(&self, index: usize, now: Instant) -> bool {
        let peer = &self.group.peers[index];
        self.up(index)
            && !self.states[index].disabled(peer, now)
            && peer.max_busy.is_none_or(|limit| self.records[index].sessions() < limit)
    }

    /// Whether neither the configuration nor a check says that the peer is down.
    fn up(&self, index: usize) -> bool {
        !self.group.peers[index].down
            && self.group.check.as_ref().is_none_or(|check| match self.records[index].health() {
                Health::Up => true,
                Health::Down => false,
                Health::Unknown => !check.default_down,
            })
    }

    fn clear_if_all_failed(&mut self, now: Instant) {
        let mut up = (0..self.group.peers.len()).filter(|&index| self.up(index));
        if up.all(|index| self.states[index].disabled(&self.group.peers[index], now)) {
            for state in &mut self.states {
                state.fails = 0;
            }
        }
    }
}

/// Numbers that need be no better than to spread sessions: Marsaglia's xorshift.
struct Random(u64);

impl Random {
    /// Begins differently in each worker.
    fn new() -> Self {
        Random(RandomState::new().hash_one((std::process::id(), SystemTime::now())) | 1)
    }

    /// A number from 0 to `limit` - 1.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[cfg(test)]
mod tests;
