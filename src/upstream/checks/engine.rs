//! The checks of one worker: who is to be probed when, and what comes of it.
//!
//! A worker probes the peers it holds the lease of. It prolongs a lease with every probe until a while after the next is due, and the others look
//! again when the lease should have run out; so a worker that dies, or is told to finish, is followed by another.

use std::rc::Rc;
use std::time::{Duration, Instant};

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
}

/// The checks of a worker. Their connections are few, and not counted as `worker_connections`.
pub struct Engine {
    /// Its number among the worker's engines, for the owners of events.
    number: u8,
    /// The worker's row in the peers' records.
    row: usize,
    board: Rc<Board>,
    /// By the peer's place on the board.
    watches: Vec<Watch>,
}

impl Engine {
    /// An engine without peers, for the worker with this row; events of its sources come with `number`.
    pub fn new(number: u8, row: usize) -> Self {
        Engine { number, row, board: Rc::default(), watches: Vec::new() }
    }

    /// From now on the peers of `board` are checked, with this worker beginning with its share: it is number `slot` of
    /// `workers`. The others' shares it leaves to them for a while.
    pub fn adopt(&mut self, reactor: &mut Reactor, board: Rc<Board>, slot: usize, workers: usize) {
        self.stop(reactor);
        self.board = board;
        let now = reactor.now();
        for place in 0..self.board.len() {
            let timer = reactor.add_timer(self.owner(place));
            let own = place % workers.max(1) == slot;
            reactor.set_timer(timer, if own { now } else { now + GRACE });
            self.watches.push(Watch { timer, probe: None });
        }
    }

    fn owner(&self, place: usize) -> Owner {
        Owner { engine: self.number, part: 0, id: place as u32 }
    }

    /// Ends all probes and leaves the peers to other workers.
    pub fn stop(&mut self, reactor: &mut Reactor) {
        for (watch, checked) in self.watches.drain(..).zip(&self.board.peers) {
            reactor.remove_timer(watch.timer);
            if let Some(probe) = watch.probe {
                probe.close(reactor);
            }
            checked.record.release_lease(self.row);
        }
    }

    /// The connection of a probe is ready.
    pub fn ready(&mut self, reactor: &mut Reactor, owner: Owner) {
        let place = owner.id as usize;
        let kind = &self.board.peers[place].check.kind;
        let Some(probe) = &mut self.watches[place].probe else { return };
        if let Some(verdict) = probe.ready(reactor, kind) {
            self.finish(reactor, place, Some(verdict));
        }
    }

    /// A peer's timer has run out.
    pub fn timer(&mut self, reactor: &mut Reactor, owner: Owner) {
        let place = owner.id as usize;
        if self.watches[place].probe.is_some() {
            self.finish(reactor, place, Some(Err(Reason::timeout())));
        } else {
            self.look(reactor, place);
        }
    }

    /// The program failed while serving a probe: it ends without a verdict.
    pub fn abandon(&mut self, reactor: &mut Reactor, owner: Owner) {
        self.finish(reactor, owner.id as usize, None);
    }

    /// Probes the peer if that is due and this worker's to do.
    fn look(&mut self, reactor: &mut Reactor, place: usize) {
        let Checked { check, record, .. } = &self.board.peers[place];
        let now = reactor.now();
        let due = record.probed().map_or(now, |last| (last + check.interval).max(now));
        let timer = self.watches[place].timer;
        match record.lease(self.row, now, due + GRACE) {
            // The holder may also give the lease back, so it is not waited for longer than a probe may come late.
            Err(free) => reactor.set_timer(timer, free.min(now + check.interval + GRACE)),
            Ok(()) if due > now => reactor.set_timer(timer, due),
            Ok(()) => self.probe(reactor, place),
        }
    }

    fn probe(&mut self, reactor: &mut Reactor, place: usize) {
        let Checked { check, record, address, .. } = &self.board.peers[place];
        let now = reactor.now();
        let until = now + check.interval.max(check.timeout) + GRACE;
        if let Err(free) = record.lease(self.row, now, until) {
            return reactor.set_timer(self.watches[place].timer, free);
        }
        record.begin_probe(now);
        match Probe::begin(address, reactor, self.owner(place)) {
            Ok(probe) => {
                reactor.set_timer(self.watches[place].timer, now + check.timeout);
                self.watches[place].probe = Some(probe);
            }
            Err(Unfit::Peer(reason)) => self.finish(reactor, place, Some(Err(reason))),
            Err(Unfit::Ourselves(call, error)) => {
                let line = Line { error: Some(&error), ..Line::new(Level::Alert) };
                emit(&line, format_args!("{call} failed while checking upstream"));
                self.finish(reactor, place, None);
            }
        }
    }

    /// A probe has come to an end, or could not be made. The next one follows.
    fn finish(&mut self, reactor: &mut Reactor, place: usize, verdict: Option<Verdict>) {
        let watch = &mut self.watches[place];
        if let Some(probe) = watch.probe.take() {
            probe.close(reactor);
        }
        let checked = &self.board.peers[place];
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
