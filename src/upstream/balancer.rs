//! Choosing a peer: nginx's smooth weighted round robin with failure marks and backups.

use std::rc::Rc;
use std::time::Instant;

use super::shared::Busy;
use super::{Group, Peer};

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

/// What one worker knows at run time about the peers of one group.
pub struct Balancer {
    group: Rc<Group>,
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
}

impl State {
    fn new(peer: &Peer) -> Self {
        let weight = i64::from(peer.weight);
        State { current_weight: 0, effective_weight: weight, fails: 0, accessed: None, checked: None }
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
        let states = group.peers.iter().map(State::new).collect();
        let alone = group.peers.iter().filter(|peer| !peer.down).count() == 1;
        Balancer { group, busy, first, states, alone }
    }

    /// The group it chooses from.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The next peer to try, marked in `tried` and counted as busy until [`Balancer::release`]. `None`: no peer is left; if that was because
    /// all are marked failed, the marks are cleared, so that the next session tries again.
    pub fn pick(&mut self, tried: &mut Tried, now: Instant) -> Option<usize> {
        let primaries = self.group.primaries;
        let peer = self
            .round_robin(0..primaries, tried, now)
            .or_else(|| self.round_robin(primaries..self.group.peers.len(), tried, now));
        match peer {
            Some(peer) => {
                tried.insert(peer);
                self.busy.enter(self.first + peer);
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
        self.busy.leave(self.first + peer);
    }

    /// The smooth weighted round robin among those of `peers` that are usable: each gains its weight, the one that is furthest behind is
    /// taken and pays for all.
    fn round_robin(&mut self, peers: std::ops::Range<usize>, tried: &Tried, now: Instant) -> Option<usize> {
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
        let (peer, state) = (&self.group.peers[best], &mut self.states[best]);
        state.current_weight -= total;
        // A new window: one session finds out whether a failed peer is back, while others go on leaving it alone.
        if !state.in_window(peer, now) {
            state.checked = Some(now);
        }
        Some(best)
    }

    fn usable(&self, index: usize, now: Instant) -> bool {
        let peer = &self.group.peers[index];
        !peer.down
            && !self.states[index].disabled(peer, now)
            && peer.max_busy.is_none_or(|limit| self.busy.sessions(self.first + index) < limit)
    }

    fn clear_if_all_failed(&mut self, now: Instant) {
        let peers = self.group.peers.iter().zip(&self.states);
        if peers.filter(|(peer, _)| !peer.down).all(|(peer, state)| state.disabled(peer, now)) {
            for state in &mut self.states {
                state.fails = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
