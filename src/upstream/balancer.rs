//! Choosing a peer: nginx's smooth weighted round robin with failure marks and backups.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use super::shared::Busy;
use super::{Group, Peer};
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

/// What one worker knows at run time about the peers of one group. A session names its peer by a number that stays the same
/// while it holds the peer.
pub struct Balancer {
    group: Rc<Group>,
    /// Those of the configuration, and behind them addresses that names have come to have since.
    peers: Vec<Peer>,
    busy: Busy,
    /// The number of the group's first peer in `busy`.
    first: usize,
    states: Vec<State>,
    /// One peer alone is not `down`: it is never marked failed, there being no other to go to.
    alone: bool,
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
    /// Its name has another address now: it gets no new sessions.
    gone: bool,
    /// Sessions of this worker that hold it.
    sessions: u32,
}

impl State {
    fn new(peer: &Peer) -> Self {
        let weight = i64::from(peer.weight);
        State {
            current_weight: 0,
            effective_weight: weight,
            fails: 0,
            accessed: None,
            checked: None,
            gone: false,
            sessions: 0,
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
    /// A balancer with no failures known. `busy` counts sessions across workers, `first` is the number of this group's first peer in it.
    pub fn new(group: Rc<Group>, busy: Busy, first: usize) -> Self {
        let peers = group.peers.clone();
        let states = peers.iter().map(State::new).collect();
        let mut balancer = Balancer { group, peers, busy, first, states, alone: false };
        balancer.alone = balancer.is_alone();
        balancer
    }

    fn is_alone(&self) -> bool {
        let present = self.peers.iter().zip(&self.states).filter(|(peer, state)| !peer.down && !state.gone);
        present.count() == 1
    }

    /// The group it chooses from.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// A peer that was picked and not released yet.
    pub fn peer(&self, peer: usize) -> &Peer {
        &self.peers[peer]
    }

    /// The addresses that a followed line has now.
    pub fn addresses(&self, line: usize) -> impl Iterator<Item = IpAddr> {
        let present =
            self.peers.iter().zip(&self.states).filter(move |(peer, state)| peer.line == Some(line) && !state.gone);
        present.filter_map(|(peer, _)| ip(peer))
    }

    /// A followed line has these addresses from now on. What is known about those that stay is kept; those that go get no new sessions,
    /// while the ones they have go on. Returns whether anything has changed.
    pub fn follow(&mut self, line: usize, addresses: &[IpAddr]) -> bool {
        let mut changed = false;
        for (peer, state) in self.peers.iter().zip(&mut self.states).filter(|(peer, _)| peer.line == Some(line)) {
            let gone = ip(peer).is_none_or(|ip| !addresses.contains(&ip));
            changed |= state.gone != gone;
            state.gone = gone;
        }
        for &address in addresses {
            if !self.addresses(line).any(|known| known == address) {
                self.add(self.group.followed[line].peer(address));
                changed = true;
            }
        }
        self.alone = self.is_alone();
        changed
    }

    /// Takes the place of an address that came at run time, is gone and has no sessions, else a new one; so places are never more than
    /// addresses in use. Those of the configuration are left alone: other workers count sessions there.
    fn add(&mut self, peer: Peer) {
        let state = State::new(&peer);
        let configured = self.group.peers.len();
        match self.states[configured..].iter().position(|state| state.gone && state.sessions == 0) {
            Some(place) => {
                let index = configured + place;
                (self.peers[index], self.states[index]) = (peer, state);
            }
            None => {
                self.peers.push(peer);
                self.states.push(state);
            }
        }
    }

    /// Sessions open with a peer: of all workers, for an address that has come at run time of this one.
    fn sessions(&self, index: usize) -> u32 {
        match self.shared(index) {
            Some(place) => self.busy.sessions(place),
            None => self.states[index].sessions,
        }
    }

    /// Where the workers count a peer's sessions.
    fn shared(&self, index: usize) -> Option<usize> {
        (index < self.group.peers.len()).then_some(self.first + index)
    }

    /// The next peer to try, marked in `tried` and counted as busy until [`Balancer::release`]. `None`: no peer is left; if that was because
    /// all are marked failed, the marks are cleared, so that the next session tries again.
    pub fn pick(&mut self, tried: &mut Tried, now: Instant) -> Option<usize> {
        let peer = self.round_robin(false, tried, now).or_else(|| self.round_robin(true, tried, now));
        match peer {
            Some(peer) => {
                tried.insert(peer);
                self.states[peer].sessions += 1;
                if let Some(place) = self.shared(peer) {
                    self.busy.enter(place);
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
        let (peer, state) = (&self.peers[peer], &mut self.states[peer]);
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
        self.states[peer].sessions -= 1;
        if let Some(place) = self.shared(peer) {
            self.busy.leave(place);
        }
    }

    /// The smooth weighted round robin among the usable primaries, or backups: each gains its weight, the one that is furthest
    /// behind is taken and pays for all.
    fn round_robin(&mut self, backup: bool, tried: &Tried, now: Instant) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut total = 0;
        for index in 0..self.peers.len() {
            if self.peers[index].backup != backup || tried.contains(index) || !self.usable(index, now) {
                continue;
            }
            let (peer, state) = (&self.peers[index], &mut self.states[index]);
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
        let (peer, state) = (&self.peers[best], &mut self.states[best]);
        state.current_weight -= total;
        // A new window: one session finds out whether a failed peer is back, while others go on leaving it alone.
        if !state.in_window(peer, now) {
            state.checked = Some(now);
        }
        Some(best)
    }

    fn usable(&self, index: usize, now: Instant) -> bool {
        let (peer, state) = (&self.peers[index], &self.states[index]);
        !peer.down
            && !state.gone
            && !state.disabled(peer, now)
            && peer.max_busy.is_none_or(|limit| self.sessions(index) < limit)
    }

    fn clear_if_all_failed(&mut self, now: Instant) {
        let peers = self.peers.iter().zip(&self.states);
        if peers.filter(|(peer, state)| !peer.down && !state.gone).all(|(peer, state)| state.disabled(peer, now)) {
            for state in &mut self.states {
                state.fails = 0;
            }
        }
    }
}

fn ip(peer: &Peer) -> Option<IpAddr> {
    match &peer.address {
        Address::Inet(address) => Some(address.ip()),
        Address::Unix(_) => None,
    }
}

#[cfg(test)]
mod tests;
