//! The checks of one worker: who is to be probed when, and what comes of it.
//!
//! A worker probes the peers it holds the lease of. It prolongs a lease with every probe until a while after the next is due, and the others look
//! again when the lease should have run out; so a worker that dies, or is told to finish, is followed by another.

use std::rc::Rc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::probe::{Probe, Reason, Unfit, Verdict};
use super::{Board, Checked};
use crate::event::{Owner, Reactor, TimerId};
use crate::log::{Level, Record as Line, emit};
use crate::upstream::shared::Health;

/// How late a worker may be with a probe before others take it for dead.
const GRACE: Duration = Duration::from_millis(500);

/// A checked peer, as far as this worker has to do with it.
struct Watch {
    /// When to look whether there is something to do; while a probe goes on, when that takes too long.
    timer: TimerId,
    probe: Option<Probe>,
    /// The peer's place on the board.
    place: usize,
}

/// The checks of a worker. Their connections are few, and not counted as `worker_connections`.
pub struct Engine {
    /// Its number among the worker's engines, for the owners of events.
    number: u8,
    /// The worker's row in the peers' records.
    row: usize,
    board: Rc<Board>,
    /// By the id in the owners of their events.
    watches: Slab<Watch>,
}

impl Engine {
    /// An engine without peers, for the worker with this row; events of its sources come with `number`.
    pub fn new(number: u8, row: usize) -> Self {
        Engine { number, row, board: Rc::default(), watches: Slab::new() }
    }

    /// From now on the peers of `board` are checked, with this worker beginning with its share: it is number `slot` of
    /// `workers`. The others' shares it leaves to them for a while. Peers that were checked in the same way before are as they were,
    /// with their probes under way.
    pub fn adopt(&mut self, reactor: &mut Reactor, board: Rc<Board>, slot: usize, workers: usize) {
        let old = std::mem::replace(&mut self.board, board);
        let now = reactor.now();
        let mut left: Vec<usize> = self.watches.iter().map(|(key, _)| key).collect();
        for (place, peer) in self.board.peers.iter().enumerate() {
            let same = left.iter().position(|&key| old.peers[self.watches[key].place].is_checked_as(peer));
            if let Some(same) = same {
                self.watches[left.swap_remove(same)].place = place;
                continue;
            }
            let entry = self.watches.vacant_entry();
            let timer = reactor.add_timer(Owner { engine: self.number, part: 0, id: entry.key() as u32 });
            let own = place % workers.max(1) == slot;
            reactor.set_timer(timer, if own { now } else { now + GRACE });
            entry.insert(Watch { timer, probe: None, place });
        }
        for key in left {
            self.leave(reactor, key, &old);
        }
    }

    /// Ends the probe of a peer of `board` and leaves it to other workers.
    fn leave(&mut self, reactor: &mut Reactor, key: usize, board: &Board) {
        let watch = self.watches.remove(key);
        reactor.remove_timer(watch.timer);
        if let Some(probe) = watch.probe {
            probe.close(reactor);
        }
        board.peers[watch.place].record.release_lease(self.row);
    }

    fn owner(&self, key: usize) -> Owner {
        Owner { engine: self.number, part: 0, id: key as u32 }
    }

    fn peer(&self, key: usize) -> &Checked {
        &self.board.peers[self.watches[key].place]
    }

    /// Ends all probes and leaves the peers to other workers.
    pub fn stop(&mut self, reactor: &mut Reactor) {
        self.adopt(reactor, Rc::default(), 0, 1);
    }

    /// The connection of a probe is ready.
    pub fn ready(&mut self, reactor: &mut Reactor, owner: Owner) {
        let key = owner.id as usize;
        let watch = &mut self.watches[key];
        let kind = &self.board.peers[watch.place].check.kind;
        let Some(probe) = &mut watch.probe else { return };
        if let Some(verdict) = probe.ready(reactor, kind) {
            self.finish(reactor, key, Some(verdict));
        }
    }

    /// A peer's timer has run out.
    pub fn timer(&mut self, reactor: &mut Reactor, owner: Owner) {
        let key = owner.id as usize;
        if self.watches[key].probe.is_some() {
            self.finish(reactor, key, Some(Err(Reason::timeout())));
        } else {
            self.look(reactor, key);
        }
    }

    /// The program failed while serving a probe: it ends without a verdict.
    pub fn abandon(&mut self, reactor: &mut Reactor, owner: Owner) {
        self.finish(reactor, owner.id as usize, None);
    }

    /// Probes the peer if that is due and this worker's to do.
    fn look(&mut self, reactor: &mut Reactor, key: usize) {
        let Checked { check, record, .. } = self.peer(key);
        let now = reactor.now();
        let due = record.probed().map_or(now, |last| (last + check.interval).max(now));
        let timer = self.watches[key].timer;
        match record.lease(self.row, now, due + GRACE) {
            // The holder may also give the lease back, as a worker does that is told to finish: it is not waited for longer than to the next
            // probe, and where nothing is known of the peer yet only for as long as a probe may come late.
            Err(free) if record.health() == Health::Unknown => reactor.set_timer(timer, free.min(now + GRACE)),
            Err(free) => reactor.set_timer(timer, free.min(now + check.interval + GRACE)),
            Ok(()) if due > now => reactor.set_timer(timer, due),
            Ok(()) => self.probe(reactor, key),
        }
    }

    fn probe(&mut self, reactor: &mut Reactor, key: usize) {
        let Checked { check, record, address, .. } = self.peer(key);
        let now = reactor.now();
        let until = now + check.interval.max(check.timeout) + GRACE;
        if let Err(free) = record.lease(self.row, now, until) {
            return reactor.set_timer(self.watches[key].timer, free);
        }
        record.begin_probe(now);
        match Probe::begin(address, reactor, self.owner(key)) {
            Ok(probe) => {
                reactor.set_timer(self.watches[key].timer, now + check.timeout);
                self.watches[key].probe = Some(probe);
            }
            Err(Unfit::Peer(reason)) => self.finish(reactor, key, Some(Err(reason))),
            Err(Unfit::Ourselves(call, error)) => {
                let line =
                    Line { error: Some(&error), context: Some(&" while checking upstream"), ..Line::new(Level::Alert) };
                emit(&line, format_args!("{call} failed"));
                self.finish(reactor, key, None);
            }
        }
    }

    /// A probe has come to an end, or could not be made. The next one follows.
    fn finish(&mut self, reactor: &mut Reactor, key: usize, verdict: Option<Verdict>) {
        let watch = &mut self.watches[key];
        if let Some(probe) = watch.probe.take() {
            probe.close(reactor);
        }
        let checked = &self.board.peers[watch.place];
        // A worker that was late enough to lose the lease has nothing to say any more.
        if let Some(verdict) = verdict
            && checked.record.leased_by(self.row)
        {
            report(checked, verdict);
        }
        reactor.set_timer(watch.timer, next(checked, reactor.now()));
    }
}

/// When the probe after the last one is due; soon, where the last one could not be made and nothing is known of the peer.
fn next(checked: &Checked, now: Instant) -> Instant {
    checked.record.probed().map_or(now + GRACE, |last| last + checked.check.interval)
}

/// Counts what a probe has found out, and logs it.
fn report(checked: &Checked, verdict: Verdict) {
    let (peer, group) = (&checked.name, &checked.group.name);
    let change = checked.record.report(verdict.is_ok(), checked.check.rise, checked.check.fall);
    match (change, verdict) {
        (Some(Health::Down), Err(reason)) => {
            let line = Line { error: reason.error.as_ref(), ..Line::new(Level::Error) };
            emit(&line, format_args!("peer {peer} of upstream \"{group}\" is down: {reason}"));
        }
        (_, Err(reason)) => {
            let line = Line { error: reason.error.as_ref(), ..Line::new(Level::Info) };
            emit(&line, format_args!("peer {peer} of upstream \"{group}\" failed a check: {reason}"));
        }
        (Some(_), Ok(())) => {
            let kind = checked.check.kind.name();
            emit(
                &Line::new(Level::Notice),
                format_args!("peer {peer} of upstream \"{group}\" is up: {kind} check passed"),
            );
        }
        (None, Ok(())) => {}
    }
}
