//! A session that does with its relay what those of the `tcp` block do with theirs, and keeps account of it.

use std::time::{Duration, Instant};

use super::super::{Buffers, Due, Ends, Expired, Relay, Side, Timeouts};
use super::plan::Plan;
use crate::event::{Reactor, TimerId};
use crate::net::Connection;

pub const SIDES: [Side; 2] = [Side::Client, Side::Upstream];

/// Calls that move nothing can come in a row, but not that many.
const MOST_FRUITLESS: u32 = 1000;

/// How long a peer that has all its bytes may be silent at the end of a session whose timeouts are short.
const LINGERING: Duration = Duration::from_millis(50);

/// How long is waited for the bytes that are to be read ahead.
const AHEAD: Duration = Duration::from_millis(20);

/// How much of a peer that goes on sending is read and dropped once it has all its bytes: through a small window that takes long.
const MOST_DROPPED: usize = 256 * 1024;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As the relay said.
    Over,
    Expired(Expired),
    /// The client left before the relay had been started.
    Early,
    /// From outside.
    Abandoned,
}

/// The account of a session that is over.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub how: How,
    /// Bytes from and to each side, as an access log has them.
    pub received: [u64; 2],
    pub sent: [u64; 2],
    /// Whose connections failed.
    pub faults: Vec<Side>,
    /// Bytes waited for a destination at some time.
    pub waited: bool,
}

/// Whether a session goes on, and else how it ended and whose connection is to linger.
pub type Verdict = Option<(How, Option<Side>)>;

enum Phase {
    /// So many bytes of the client are to be read before the relay starts, if they come in time.
    Ahead(usize),
    Relaying,
}

pub struct Session {
    phase: Phase,
    relay: Relay,
    connections: [Connection; 2],
    timer: TimerId,
    timeouts: Timeouts,
    buffer: usize,
    /// What precedes the client's bytes.
    preface: Vec<u8>,
    faults: Vec<Side>,
    waited: bool,
    /// When bytes were last seen to have come from or gone to each side.
    moved: [Instant; 2],
    /// When the upstream was last seen to take some.
    taken: Instant,
    /// Calls in a row that moved nothing.
    fruitless: u32,
}

impl Session {
    pub fn new(
        plan: &Plan,
        preface: Vec<u8>,
        connections: [Connection; 2],
        timer: TimerId,
        reactor: &mut Reactor,
    ) -> Self {
        let now = reactor.now();
        reactor.set_timer(timer, now + AHEAD);
        Session {
            phase: Phase::Ahead(plan.ahead),
            relay: Relay::new(plan.buffer, now),
            connections,
            timer,
            timeouts: plan.timeouts(),
            buffer: plan.buffer,
            preface,
            faults: Vec::new(),
            waited: false,
            moved: [now; 2],
            taken: now,
            fruitless: 0,
        }
    }

    /// Bytes of a side that the relay has read or could read now.
    pub fn arrived(&self, side: Side) -> u64 {
        self.relay.received(side) + u64::from(self.connections[side as usize].unread())
    }

    /// Whether bytes are left where they are though they could move.
    pub fn stuck(&self, reactor: &Reactor) -> bool {
        let of = |side: Side| &self.connections[side as usize];
        let idle = |from: Side| reactor.writable(of(from.other()).source()) && of(from).unread() > 0;
        matches!(self.phase, Phase::Relaying) && self.faults.is_empty() && SIDES.into_iter().any(idle)
    }

    /// An event of one side.
    ///
    /// # Errors
    /// What the relay did wrong.
    pub fn ready(&mut self, side: Side, reactor: &mut Reactor, buffers: &mut Buffers) -> Result<Verdict, String> {
        match self.phase {
            Phase::Ahead(missing) => self.read_ahead(missing, reactor, buffers),
            Phase::Relaying => self.pump(side, reactor, buffers),
        }
    }

    fn read_ahead(
        &mut self,
        mut missing: usize,
        reactor: &mut Reactor,
        buffers: &mut Buffers,
    ) -> Result<Verdict, String> {
        let [client, upstream] = &self.connections;
        while missing > 0 && reactor.readable(client.source()) {
            match self.relay.read_ahead(client, missing, reactor, buffers) {
                Ok(Some(0)) | Err(_) => return Ok(Some((How::Early, None))),
                Ok(Some(count)) => missing -= count,
                Ok(None) => break,
            }
        }
        self.phase = Phase::Ahead(missing);
        // A connection that has been made turns writable.
        if missing > 0 || !reactor.writable(upstream.source()) {
            return Ok(None);
        }
        self.start(reactor, buffers)
    }

    fn start(&mut self, reactor: &mut Reactor, buffers: &mut Buffers) -> Result<Verdict, String> {
        let now = reactor.now();
        self.relay.start(self.buffer, now);
        if !self.preface.is_empty() {
            self.relay.precede(&self.preface, buffers, now);
        }
        self.phase = Phase::Relaying;
        (self.moved, self.taken) = ([now; 2], now);
        reactor.set_timer(self.timer, self.relay.wake(&self.timeouts, now));
        self.pump(Side::Upstream, reactor, buffers)
    }

    fn pump(&mut self, event: Side, reactor: &mut Reactor, buffers: &mut Buffers) -> Result<Verdict, String> {
        let [client, upstream] = &self.connections;
        let before = SIDES.map(|side| (self.relay.received(side), self.relay.sent(side)));
        let was_waiting = self.relay.waiting();
        let faults = &mut self.faults;
        let goes_on =
            self.relay.ready(event, Ends { client, upstream }, reactor, buffers, |fault| faults.push(fault.side));
        self.account(before, reactor.now())?;
        if goes_on {
            if self.relay.waiting() && !was_waiting {
                reactor.set_timer(self.timer, self.relay.wake(&self.timeouts, reactor.now()));
            }
            return Ok(None);
        }
        let [client, upstream] = &self.connections;
        let ends = Ends { client, upstream };
        Ok(Some((How::Over, SIDES.into_iter().find(|&side| self.relay.unfinished(side, ends)))))
    }

    fn account(&mut self, before: [(u64, u64); 2], now: Instant) -> Result<(), String> {
        self.waited |= self.relay.waiting();
        self.fruitless += 1;
        for side in SIDES {
            let (received, sent) = (self.relay.received(side), self.relay.sent(side));
            if (received, sent) != before[side as usize] {
                self.moved[side as usize] = now;
                self.fruitless = 0;
            }
            if side == Side::Upstream && sent != before[side as usize].1 {
                self.taken = now;
            }
            let preface = if side == Side::Upstream { self.preface.len() as u64 } else { 0 };
            let there = self.relay.received(side.other()) + preface;
            if sent > there {
                return Err(format!("{sent} bytes were sent to the {side:?} of {there} there are"));
            }
            if sent < there && !self.relay.waiting() && self.faults.is_empty() {
                return Err(format!("{sent} bytes were sent to the {side:?} of {there}, and none wait"));
            }
        }
        if self.fruitless > MOST_FRUITLESS {
            return Err("events come without end, and none moves a byte".to_owned());
        }
        Ok(())
    }

    /// The timer has run out.
    ///
    /// # Errors
    /// What the relay did wrong.
    pub fn timer(&mut self, reactor: &mut Reactor, buffers: &mut Buffers) -> Result<Verdict, String> {
        if matches!(self.phase, Phase::Ahead(_)) {
            return self.start(reactor, buffers);
        }
        let [client, upstream] = &self.connections;
        let now = reactor.now();
        let expired = match self.relay.due(Ends { client, upstream }, &self.timeouts, now) {
            Due::Wait(until) => {
                reactor.set_timer(self.timer, until);
                return Ok(None);
            }
            Due::Expired(expired) => expired,
        };
        let (since, timeout) = match expired {
            Expired::Client => (self.moved[Side::Client as usize], self.timeouts.client),
            Expired::UpstreamRead => (self.moved[Side::Upstream as usize], self.timeouts.upstream_read),
            Expired::UpstreamSend => (self.taken, self.timeouts.upstream_send),
        };
        let idle = now - since;
        if idle < timeout {
            return Err(format!("{expired:?} has run out after {idle:?} of {timeout:?}"));
        }
        if expired == Expired::UpstreamSend && !self.relay.waiting() {
            return Err("UpstreamSend has run out though nothing waits".to_owned());
        }
        Ok(Some((How::Expired(expired), None)))
    }

    /// Closes its connections but the one to `keep`.
    pub fn end(
        mut self,
        how: How,
        keep: Option<Side>,
        reactor: &mut Reactor,
        buffers: &mut Buffers,
    ) -> (Outcome, Option<Connection>) {
        self.relay.release(buffers);
        let outcome = Outcome {
            how,
            received: SIDES.map(|side| self.relay.received(side)),
            sent: SIDES.map(|side| self.relay.sent(side)),
            faults: self.faults,
            waited: self.waited,
        };
        let mut kept = None;
        for (connection, side) in self.connections.into_iter().zip(SIDES) {
            if keep == Some(side) {
                kept = Some(connection);
            } else {
                connection.close(reactor);
            }
        }
        reactor.remove_timer(self.timer);
        (outcome, kept)
    }
}

/// A connection that outlives its session until its peer has ended too.
pub struct Linger {
    connection: Connection,
    timer: TimerId,
    /// How long a peer may take nothing; those whose timeouts are long always end by themselves.
    patience: Duration,
    unsent: u32,
    active: Instant,
    dropped: usize,
}

impl Linger {
    pub fn begin(connection: Connection, timer: TimerId, timeouts: &Timeouts, reactor: &mut Reactor) -> Self {
        connection.shutdown_write(reactor);
        reactor.again(connection.source());
        let patience = timeouts.client.max(LINGERING);
        reactor.set_timer(timer, reactor.now() + patience);
        Linger { unsent: connection.unsent(), connection, timer, patience, active: reactor.now(), dropped: 0 }
    }

    /// Reads and drops. Returns whether the peer has more time.
    pub fn ready(&mut self, reactor: &mut Reactor, buffers: &mut Buffers) -> bool {
        while reactor.readable(self.connection.source()) {
            match self.connection.recv(reactor, buffers.scratch(Buffers::SCRATCH)) {
                Ok(None) => break,
                Ok(Some(0)) | Err(_) => return false,
                Ok(Some(count)) => self.dropped += count,
            }
        }
        self.dropped < MOST_DROPPED || self.connection.unsent() > 0
    }

    /// Looks how far the peer is. Returns whether it has more time.
    pub fn timer(&mut self, reactor: &mut Reactor) -> bool {
        let now = reactor.now();
        let before = std::mem::replace(&mut self.unsent, self.connection.unsent());
        if self.unsent < before {
            self.active = now;
        }
        reactor.set_timer(self.timer, now + self.patience);
        now < self.active + self.patience
    }

    pub fn end(self, reactor: &mut Reactor) {
        self.connection.close(reactor);
        reactor.remove_timer(self.timer);
    }
}
