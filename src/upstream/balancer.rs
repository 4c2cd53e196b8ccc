//! Choosing a peer: nginx's smooth weighted round robin with failure marks and backups, `ip_hash`, `busyness`, `least_conn`, `hash`, `random`.

mod hash;
mod ip_hash;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use hash::{Ring, Shares};

use super::shared::spares::{Spare, Spares};
use super::shared::{Health, Record};
use super::{Endpoint, Followed, Group, Method, Peer};
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
/// the same as long as a session holds the peer; that of a peer with a fixed address as long as the balancer lives.
pub struct Balancer {
    group: Rc<Group>,
    /// Those with a fixed address, and behind them the addresses of names.
    peers: Vec<Peer>,
    /// What is shared with the other workers, by peer.
    records: Vec<Record>,
    /// The records of names' addresses, each in its place; `None` where a place is vacant.
    held: Vec<Option<Spare>>,
    spares: Option<Spares>,
    /// This worker's row in the records.
    row: usize,
    states: Vec<State>,
    /// How many peers are not `down`.
    tries: usize,
    /// One peer alone is not `down`: it is never marked failed, there being no other to go to.
    alone: bool,
    /// The order in which `ip_hash` counts: that of [`Balancer::ordered`], primaries only, and those marked `down` last.
    hashed: Vec<usize>,
    /// What `hash`, `random` and, in `http {}`, `ip_hash` count by.
    shares: Shares,
    /// That of `hash ... consistent`.
    ring: Ring,
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
    /// Its name has other addresses now: it gets no new sessions.
    gone: bool,
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
            gone: false,
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
    /// A balancer with no failures known. `records` are those of the group's peers with a fixed address, `spares` those for the addresses of
    /// names, `row` is this worker's in them. Followed lines have the addresses of the start.
    pub fn new(group: Rc<Group>, records: &[Record], spares: Option<&Spares>, row: usize) -> Self {
        records.iter().for_each(|record| record.open_row(row));
        let (peers, named): (Vec<Peer>, Vec<Peer>) = group.peers.iter().cloned().partition(|peer| peer.line.is_none());
        let mut balancer = Balancer {
            states: peers.iter().zip(records).map(|(peer, record)| State::new(peer, record)).collect(),
            peers,
            records: records.to_vec(),
            held: Vec::new(),
            spares: spares.cloned(),
            row,
            tries: 0,
            alone: false,
            hashed: Vec::new(),
            shares: Shares::default(),
            ring: Ring::default(),
            random: Random::new(),
            group,
        };
        for line in 0..balancer.group.followed.len() {
            let at_start = named.iter().filter(|peer| peer.line == Some(line));
            let endpoints: Vec<Endpoint> = at_start.filter_map(Peer::endpoint).collect();
            balancer.follow(line, &endpoints);
        }
        balancer.count();
        balancer
    }

    /// Finds out what depends on which peers there are.
    fn count(&mut self) {
        let mut present = self.ordered();
        self.tries = present.iter().filter(|&&index| !self.peers[index].down).count();
        self.alone = self.tries == 1;
        present.retain(|&index| !self.peers[index].backup);
        match self.group.method {
            Method::ConsistentHash => self.ring = Ring::new(present.iter().map(|&index| &self.peers[index])),
            Method::IpHash | Method::Hash | Method::Random | Method::RandomTwo => {
                self.shares = Shares::new(present.iter().map(|&index| (index, self.peers[index].weight)));
            }
            Method::RoundRobin | Method::Busyness | Method::LeastConn => {}
        }
        present.sort_by_key(|&index| self.peers[index].down);
        self.hashed = present;
    }

    /// The peers there are now, in an order that is the same in all workers: those with a fixed address as configured, behind them the addresses of
    /// names by line and address.
    fn ordered(&self) -> Vec<usize> {
        let mut present: Vec<usize> = (0..self.peers.len()).filter(|&index| !self.states[index].gone).collect();
        present.sort_by_key(|&index| self.peers[index].line.map(|line| (line, self.peers[index].inet())));
        present
    }

    /// How many peers there are to try: those that the configuration does not say to be down.
    pub fn tries(&self) -> usize {
        self.tries
    }

    /// Whether there is one peer and no other to turn to.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// The group it chooses from.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// What is configured for a peer that was picked.
    pub fn peer(&self, peer: usize) -> &Peer {
        &self.peers[peer]
    }

    /// The peers there are now, each with its group and what is shared about it, in the same order in all workers.
    pub fn present(&self) -> impl Iterator<Item = (&Rc<Group>, &Peer, &Record)> {
        self.ordered().into_iter().map(|index| (&self.group, &self.peers[index], &self.records[index]))
    }

    /// What a followed line has now, in the order of addresses.
    pub fn endpoints(&self, line: usize) -> impl Iterator<Item = Endpoint> {
        self.present().filter(move |(_, peer, _)| peer.line == Some(line)).filter_map(|(_, peer, _)| peer.endpoint())
    }

    /// A followed line has these addresses from now on; of several equal ones the first counts. What is known about those that stay is kept;
    /// those that go get no new sessions, while the ones they have go on. Returns whether anything has changed; what there is no room for is
    /// left out.
    pub fn follow(&mut self, line: usize, endpoints: &[Endpoint]) -> bool {
        let mut changed = false;
        for (peer, state) in self.peers.iter_mut().zip(&mut self.states).filter(|(peer, _)| peer.line == Some(line)) {
            let stays = endpoints.iter().find(|endpoint| Some(endpoint.address) == peer.inet());
            changed |= state.gone == stays.is_some();
            state.gone = stays.is_none();
            if let Some(Endpoint { server, weight, backup, .. }) = stays
                && (server, *weight, *backup) != (&peer.server, peer.weight, peer.backup)
            {
                (peer.server, peer.weight, peer.backup) = (server.clone(), *weight, *backup);
                state.effective_weight = i64::from(*weight);
                changed = true;
            }
        }
        (0..self.peers.len()).for_each(|index| self.vacate(index));
        let mut known: HashSet<SocketAddr> = self.endpoints(line).map(|endpoint| endpoint.address).collect();
        for endpoint in endpoints {
            if known.insert(endpoint.address) {
                changed |= self.add(line, endpoint);
            }
        }
        self.count();
        changed
    }

    /// Adds an address that a followed line has come to have; false if there is no room.
    fn add(&mut self, line: usize, endpoint: &Endpoint) -> bool {
        let followed = &self.group.followed;
        let peer = followed[line].peer(endpoint);
        // As for other peers what counts is name and address, and which of several equal lines it is: lines come and go.
        let same = |other: &&Followed| other.name == followed[line].name && other.port == followed[line].port;
        let nth = followed[..line].iter().filter(same).count();
        let name = (followed[line].name.to_string(), &peer.name, nth);
        let claimed = self.spares.as_ref().and_then(|spares| spares.claim(&name, self.row));
        let Some(spare) = claimed else { return false };
        let (state, record) = (State::new(&peer, &spare.record), spare.record.clone());
        match self.held.iter().position(Option::is_none) {
            Some(place) => {
                let index = self.fixed() + place;
                (self.peers[index], self.states[index], self.records[index]) = (peer, state, record);
                self.held[place] = Some(spare);
            }
            None => {
                self.peers.push(peer);
                self.states.push(state);
                self.records.push(record);
                self.held.push(Some(spare));
            }
        }
        true
    }

    /// How many peers have a fixed address.
    fn fixed(&self) -> usize {
        self.peers.len() - self.held.len()
    }

    /// Makes room where an address of a name was that is gone, and has no session of this worker left.
    fn vacate(&mut self, index: usize) {
        let fixed = self.fixed();
        if index >= fixed && self.states[index].gone && self.records[index].sessions_of(self.row) == 0 {
            self.held[index - fixed] = None;
            // It does not come back: others may have its record soon.
            self.peers[index].line = None;
        }
    }

    /// The next peer to try for a client, marked in `tried` and counted as busy until [`Balancer::release`]. `None`: no peer is left; if
    /// that was because all are marked failed, the marks are cleared, so that the next session tries again.
    pub fn pick(&mut self, tried: &mut Tried, client: &Address, now: Instant) -> Option<usize> {
        self.pick_by(&[], tried, client, now)
    }

    /// The same, with the key of `hash`.
    pub fn pick_by(&mut self, key: &[u8], tried: &mut Tried, client: &Address, now: Instant) -> Option<usize> {
        let peer = match self.group.method {
            Method::Hash => self.by_key(key, tried, now),
            Method::ConsistentHash => self.by_ring(key, tried, now),
            Method::Random => self.by_chance(false, tried, now),
            Method::RandomTwo => self.by_chance(true, tried, now),
            Method::RoundRobin => None,
            Method::IpHash => self.by_hash(client, tried, now),
            Method::Busyness => self.least_busy(false, tried, now).or_else(|| self.least_busy(true, tried, now)),
            Method::LeastConn => self.least_conn(false, tried, now).or_else(|| self.least_conn(true, tried, now)),
        };
        let peer = peer.or_else(|| self.round_robin(false, tried, now)).or_else(|| self.round_robin(true, tried, now));
        match peer {
            Some(peer) => {
                let state = &mut self.states[peer];
                // A new window: one session finds out whether a failed peer is back, while others go on leaving it alone.
                if !state.in_window(&self.peers[peer], now) {
                    state.checked = Some(now);
                }
                tried.insert(peer);
                self.records[peer].enter(self.row);
                if self.group.check.is_some() {
                    self.records[peer].access();
                }
            }
            None if self.group.recovers => self.clear_if_all_failed(now),
            None => {}
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
        self.records[peer].leave(self.row);
        self.vacate(peer);
    }

    /// Counts from nothing again the sessions that this worker has with the peers.
    pub fn forget_sessions(&mut self) {
        self.records.iter().for_each(|record| record.forget_sessions(self.row));
    }

    /// A session with this peer, after [`Balancer::forget_sessions`].
    pub fn count_session(&mut self, peer: usize) {
        self.records[peer].enter(self.row);
    }

    /// Whether the sessions of a peer are to be closed when checks find it down.
    pub fn closes_sessions(&self) -> bool {
        self.group.check.as_ref().is_some_and(|check| check.close_sessions)
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
        if self.hashed.is_empty() {
            return None;
        }
        let fits = |&index: &usize| !tried.contains(index) && self.usable(index, now);
        if self.group.recovers {
            ip_hash::path(client, self.hashed.len()).map(|place| self.hashed[place]).find(fits)
        } else {
            let total = self.shares.total() as usize;
            ip_hash::path(client, total).map(|place| self.shares.at(place as u64)).find(fits)
        }
    }

    /// The usable primary, or backup, with the fewest open sessions; chance decides between equal ones.
    fn least_busy(&mut self, backup: bool, tried: &Tried, now: Instant) -> Option<usize> {
        let mut best = None;
        let (mut fewest, mut equals) = (u32::MAX, 0);
        for index in 0..self.peers.len() {
            if self.peers[index].backup != backup || tried.contains(index) || !self.usable(index, now) {
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

    /// The smooth weighted round robin among the usable primaries, or backups: each gains its weight, the one that is furthest
    /// behind is taken and pays for all.
    fn round_robin(&mut self, backup: bool, tried: &Tried, now: Instant) -> Option<usize> {
        self.smooth(|balancer, index| {
            balancer.peers[index].backup == backup && !tried.contains(index) && balancer.usable(index, now)
        })
    }

    /// Of the usable primaries, or backups, those with the fewest open sessions in relation to their weight, in turns.
    fn least_conn(&mut self, backup: bool, tried: &Tried, now: Instant) -> Option<usize> {
        let candidate = |balancer: &Balancer, index: usize| {
            balancer.peers[index].backup == backup && !tried.contains(index) && balancer.usable(index, now)
        };
        // Compared as fractions: sessions of one by the weight of the other.
        let load = |balancer: &Balancer, index: usize| {
            (u64::from(balancer.records[index].sessions()), u64::from(balancer.peers[index].weight))
        };
        let all = (0..self.peers.len()).filter(|&index| candidate(self, index)).map(|index| load(self, index));
        let least = all.min_by(|one, other| (one.0 * other.1).cmp(&(other.0 * one.1)))?;
        self.smooth(|balancer, index| {
            let (sessions, weight) = load(balancer, index);
            candidate(balancer, index) && sessions * least.1 == least.0 * weight
        })
    }

    fn smooth(&mut self, wanted: impl Fn(&Balancer, usize) -> bool) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut total = 0;
        for index in 0..self.peers.len() {
            if !wanted(self, index) {
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
        self.states[best].current_weight -= total;
        Some(best)
    }

    fn usable(&self, index: usize, now: Instant) -> bool {
        let peer = &self.peers[index];
        self.up(index)
            && !self.states[index].disabled(peer, now)
            && peer.max_busy.is_none_or(|limit| self.records[index].sessions() < limit)
    }

    /// Whether the peer is there, and neither the configuration nor a check says that it is down.
    fn up(&self, index: usize) -> bool {
        !self.states[index].gone
            && !self.peers[index].down
            && self.group.check.as_ref().is_none_or(|check| match self.records[index].health() {
                Health::Up => true,
                Health::Down => false,
                Health::Unknown => !check.default_down,
            })
    }

    fn clear_if_all_failed(&mut self, now: Instant) {
        let mut up = (0..self.peers.len()).filter(|&index| self.up(index));
        if up.all(|index| self.states[index].disabled(&self.peers[index], now)) {
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
mod follow_tests;
#[cfg(test)]
mod tests;
