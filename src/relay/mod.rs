//! The two-way byte pump between two connections.
//!
//! One handler serves all four events and picks source, destination and counter by side and kind:
//!
//! | event             | source   | destination | flow            |
//! |-------------------|----------|-------------|-----------------|
//! | client readable   | client   | upstream    | from the client |
//! | client writable   | upstream | client      | from upstream   |
//! | upstream readable | upstream | client      | from upstream   |
//! | upstream writable | client   | upstream    | from the client |
//!
//! A flow that only waits owns no memory: what is read goes into the worker's scratch buffer and on to the
//! destination at once; only what the destination did not take is kept, in a buffer borrowed from the worker's pool.
//! Nothing more is read before that is gone, so at most one buffer is in flight a direction.
//!
//! A flow between plain sockets whose reads keep filling the buffer is spliced from then on: a pipe of the worker's takes the place
//! of the scratch buffer, splice(2) that of read and write, and the flow keeps the pipe only while there is something in it. When little comes at
//! a time, or there is no pipe to be had, it is copied again.

mod buffers;
mod flow;
mod pipes;

use std::io;
use std::time::{Duration, Instant};

pub use buffers::{Buffers, page_size};
use flow::End;
pub use flow::{Failed, Flow, Reads};

use crate::event::Reactor;
use crate::net::Connection;

/// Bytes a relay may move for one event before the others have their turn.
const TURN: usize = 256 * 1024;

/// How many times in a timeout a side that bytes wait for is looked at.
const LOOKS: u32 = 4;

/// One of the two ends of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who connected to us.
    Client,
    /// Whom we connected to.
    Upstream,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Side {
        match self {
            Side::Client => Side::Upstream,
            Side::Upstream => Side::Client,
        }
    }
}

/// The two connections of a relay.
#[derive(Clone, Copy)]
pub struct Ends<'a> {
    /// Who connected to us.
    pub client: &'a Connection,
    /// Whom we connected to.
    pub upstream: &'a Connection,
}

impl<'a> Ends<'a> {
    fn of(self, side: Side) -> &'a Connection {
        match side {
            Side::Client => self.client,
            Side::Upstream => self.upstream,
        }
    }
}

/// How long a relay may be idle, by the rules of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Since the last byte moved to or from the client.
    pub client: Duration,
    /// Since the last byte moved to or from the upstream.
    pub upstream_read: Duration,
    /// Since the upstream last took a byte, while bytes wait for it.
    pub upstream_send: Duration,
}

/// Which of the [`Timeouts`] has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// The client's side is idle.
    Client,
    /// The upstream's side is idle.
    UpstreamRead,
    /// The upstream takes nothing.
    UpstreamSend,
}

/// Something went wrong on one side. The relay goes on as far as it can: what the other direction still holds is delivered.
#[derive(Debug)]
pub struct Fault {
    /// Whose connection failed.
    pub side: Side,
    /// The call that failed: `recv()` or `send()`.
    pub call: &'static str,
    /// What was being done, for the log.
    pub action: &'static str,
    /// Why.
    pub error: io::Error,
}

/// What has come of the time that a relay may be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet; look again then.
    Wait(Instant),
    /// A timeout has run out.
    Expired(Expired),
}

/// What the sockets of both sides looked like.
#[derive(Debug)]
struct Look {
    at: Instant,
    /// What each side's peer had not acknowledged.
    queued: [u32; 2],
    /// Since when looks have shown the same.
    unchanged: [Instant; 2],
}

/// A two-way pump. It owns no connection and no buffer while it idles.
#[derive(Debug)]
pub struct Relay {
    /// By their source: from the client, from the upstream.
    flows: [Flow; 2],
    /// When a byte last moved to or from each side.
    active: [Instant; 2],
    /// Since when bytes wait for the upstream without it taking any.
    stalled: Option<Instant>,
    /// The last look at the sockets, see [`Relay::due`]. Few sessions are ever looked at.
    look: Option<Box<Look>>,
    buffer: u32,
}

/// The words for the log: what is done for an event on a side, as the old module puts it.
fn action(event: Side, from: Side, sending: bool) -> &'static str {
    match (event, from, sending) {
        (Side::Client, Side::Client, false) => "client read: proxying and reading from client",
        (Side::Client, Side::Client, true) => "client read: proxying and sending to upstream",
        (Side::Client, Side::Upstream, false) => "client write: proxying and reading from upstream",
        (Side::Client, Side::Upstream, true) => "client write: proxying and sending to client",
        (Side::Upstream, Side::Client, false) => "upstream write: proxying and reading from client",
        (Side::Upstream, Side::Client, true) => "upstream write: proxying and sending to upstream",
        (Side::Upstream, Side::Upstream, false) => "upstream read: proxying and reading from upstream",
        (Side::Upstream, Side::Upstream, true) => "upstream read: proxying and sending to client",
    }
}

fn shortest(timeouts: &Timeouts) -> Duration {
    timeouts.client.min(timeouts.upstream_read).min(timeouts.upstream_send)
}

impl Relay {
    /// A relay whose reads begin with `buffer` bytes, at most [`Buffers::SCRATCH`].
    pub fn new(buffer: usize, now: Instant) -> Self {
        let buffer = buffer.clamp(1, Buffers::SCRATCH) as u32;
        Relay { flows: [Flow::new(buffer), Flow::new(buffer)], active: [now; 2], stalled: None, look: None, buffer }
    }

    /// Reads at most `most` bytes from the client, to be looked at before it is known whom they are for; [`Relay::ahead`] has them all.
    /// As a connection's `recv`.
    ///
    /// # Errors
    /// What recv(2) says.
    pub fn read_ahead(
        &mut self,
        client: &Connection,
        most: usize,
        reactor: &mut Reactor,
        buffers: &mut Buffers,
    ) -> io::Result<Option<usize>> {
        let Some(count) = client.recv(reactor, buffers.scratch(most))? else { return Ok(None) };
        self.flows[Side::Client as usize].keep_ahead(count, buffers);
        Ok(Some(count))
    }

    /// What has been read ahead. The upstream gets it first.
    pub fn ahead(&self) -> &[u8] {
        self.flows[Side::Client as usize].bytes()
    }

    /// The upstream is there: times count from now on, reads begin with `buffer` bytes as in [`Relay::new`].
    pub fn start(&mut self, buffer: usize, now: Instant) {
        let ahead = std::mem::take(&mut self.flows[Side::Client as usize]);
        *self = Relay::new(buffer, now);
        self.stalled = ahead.waits().then_some(now);
        self.flows[Side::Client as usize].begin_with(ahead);
    }

    /// What the upstream is to get before the client's first byte.
    pub fn precede(&mut self, bytes: &[u8], buffers: &mut Buffers, now: Instant) {
        self.flows[Side::Client as usize].precede(bytes, buffers);
        self.stalled = Some(now);
    }

    /// Bytes read from a side so far.
    pub fn received(&self, from: Side) -> u64 {
        self.flows[from as usize].received
    }

    /// Bytes a side has taken so far.
    pub fn sent(&self, to: Side) -> u64 {
        self.flows[to.other() as usize].sent
    }

    /// Whether the peer on a side could lose bytes if its socket were closed now. That is so while the socket holds some
    /// that the peer has not acknowledged, or has input that nobody will read: either way a reset would take back what
    /// was sent.
    pub fn unfinished(&self, side: Side, ends: Ends<'_>) -> bool {
        let broken = self.flows[side.other() as usize].ended == Some(End::Destination);
        !broken
            && match self.flows[side as usize].ended {
                Some(End::Source) => false,
                Some(End::Destination) => true,
                None => ends.of(side).unsent() > 0,
            }
    }

    /// Serves an event on one side, both kinds, with the flow that the event's kind stands for. Faults are handed to
    /// `report` as they happen. Returns whether the relay goes on: it is over when one side has ended, all that was read
    /// is delivered, and nothing waits to be read.
    pub fn ready(
        &mut self,
        event: Side,
        ends: Ends<'_>,
        reactor: &mut Reactor,
        buffers: &mut Buffers,
        mut report: impl FnMut(&Fault),
    ) -> bool {
        let mut budget = TURN;
        for from in [event, event.other()] {
            if let Err(fault) = self.pump(event, from, ends, reactor, buffers, &mut budget) {
                report(&fault);
                self.broken(from, &fault, ends, reactor, buffers);
            }
        }
        if self.flows.iter().all(|flow| flow.ended.is_none()) || !self.over(ends, reactor) {
            return true;
        }
        self.cut_short(ends, reactor);
        false
    }

    /// Who has left gets no more of what the other side would still have said, and TLS must not call that complete. A peer that has said its
    /// `close_notify` and keeps its connection is no such one: it waits for ours.
    fn cut_short(&self, ends: Ends<'_>, reactor: &Reactor) {
        for side in [Side::Client, Side::Upstream] {
            let left = self.flows[side as usize].ended == Some(End::Source) && reactor.closing(ends.of(side).source());
            if left && self.flows[side.other() as usize].ended.is_none() {
                ends.of(side).truncate();
            }
        }
    }

    /// One side has ended, all that was read is delivered, and what the other side has sent up to now is read as well.
    fn over(&self, ends: Ends<'_>, reactor: &Reactor) -> bool {
        [Side::Client, Side::Upstream].into_iter().all(|from| {
            let flow = &self.flows[from as usize];
            !flow.waits() && (flow.ended.is_some() || !reactor.readable(ends.of(from).source()))
        })
    }

    /// Alternates sending and receiving until one of them would block, or the turn is used up.
    fn pump(
        &mut self,
        event: Side,
        from: Side,
        ends: Ends<'_>,
        reactor: &mut Reactor,
        buffers: &mut Buffers,
        budget: &mut usize,
    ) -> Result<(), Fault> {
        let to = from.other();
        let (source, destination) = (ends.of(from), ends.of(to));
        let now = reactor.now();
        let flow = &mut self.flows[from as usize];
        let receiving = |error| Fault { side: from, call: "recv()", action: action(event, from, false), error };
        let sending = |error| Fault { side: to, call: "send()", action: action(event, from, true), error };
        destination.flush(reactor).map_err(sending)?;
        if event == from && flow.waits() && !reactor.writable(destination.source()) {
            reactor.knew(source.source());
        }
        while reactor.writable(destination.source()) {
            if flow.waits() {
                let count = flow.deliver(destination, reactor, buffers).map_err(sending)?;
                if count > 0 {
                    self.active[to as usize] = now;
                    if to == Side::Upstream {
                        self.stalled = flow.waits().then_some(now);
                    }
                }
                continue;
            }
            if flow.ended.is_some() || !reactor.readable(source.source()) {
                break;
            }
            if *budget == 0 {
                reactor.again(source.source());
                break;
            }
            let before = (flow.received, flow.sent);
            let reads = Reads { first: self.buffer, most: u64::MAX };
            let passed = flow.pass(source, destination, reads, reactor, buffers);
            if flow.received > before.0 {
                self.active[from as usize] = now;
            }
            if flow.sent > before.1 {
                self.active[to as usize] = now;
            }
            if flow.waits() && to == Side::Upstream {
                self.stalled = Some(now);
            }
            let cost = passed.map_err(|failed| match failed {
                Failed::Receiving(error) => receiving(error),
                Failed::Sending(error) => sending(error),
            })?;
            let Some(cost) = cost else { break };
            *budget = budget.saturating_sub(cost);
        }
        Ok(())
    }

    /// After a fault: a source that failed has ended; a destination that failed makes its flow pointless, and what
    /// it sent before it broke is still to be read.
    fn broken(&mut self, from: Side, fault: &Fault, ends: Ends<'_>, reactor: &mut Reactor, buffers: &mut Buffers) {
        let flow = &mut self.flows[from as usize];
        if fault.side == from {
            flow.ended = Some(End::Source);
            ends.of(from.other()).truncate();
            return;
        }
        flow.ended.get_or_insert(End::Destination);
        flow.release(buffers);
        if fault.side == Side::Upstream {
            self.stalled = None;
        }
        if self.flows[fault.side as usize].ended.is_none() {
            let source = ends.of(fault.side).source();
            reactor.expect_end(source);
            reactor.again(source);
        }
    }

    /// What runs out first if nothing moves, and when.
    fn deadline(&self, timeouts: &Timeouts) -> (Instant, Expired) {
        let client = (self.active[Side::Client as usize] + timeouts.client, Expired::Client);
        let read = (self.active[Side::Upstream as usize] + timeouts.upstream_read, Expired::UpstreamRead);
        let send = self.stalled.map(|since| (since + timeouts.upstream_send, Expired::UpstreamSend));
        let first = if read.0 < client.0 { read } else { client };
        send.filter(|send| send.0 < first.0).unwrap_or(first)
    }

    /// Whether a side is waited for to take bytes.
    pub fn waiting(&self) -> bool {
        self.flows.iter().any(|flow| flow.waits())
    }

    /// When to call [`Relay::due`]: no timeout can have run out before.
    pub fn wake(&self, timeouts: &Timeouts, now: Instant) -> Instant {
        let deadline = self.deadline(timeouts).0;
        let on_the_way = self.waiting() || self.look.as_ref().is_some_and(|look| look.queued != [0, 0]);
        if on_the_way { deadline.min(now + shortest(timeouts) / LOOKS) } else { deadline }
    }

    /// Whether a timeout has run out. Bytes can be on their way to a slow side for a long time without any move of ours:
    /// the kernel takes megabytes at once, and reports a full socket as writable only when a third of it has drained. So
    /// each side's socket is looked at, and one that holds less than at the last look is moving bytes.
    pub fn due(&mut self, ends: Ends<'_>, timeouts: &Timeouts, now: Instant) -> Due {
        let pause = shortest(timeouts) / LOOKS;
        let (mut moving, mut unknown) = (false, false);
        // What was seen before bytes were last moved says nothing.
        let looked = self.look.as_ref().map(|look| look.at);
        let comparable = self.active.map(|active| looked.is_some_and(|looked| looked >= active));
        let look = self.look.get_or_insert_with(|| Box::new(Look { at: now, queued: [0; 2], unchanged: [now; 2] }));
        for to in [Side::Client, Side::Upstream] {
            let (comparable, side) = (comparable[to as usize], to as usize);
            let queued = ends.of(to).unsent();
            let before = std::mem::replace(&mut look.queued[side], queued);
            if queued != before || !comparable {
                look.unchanged[side] = now;
            }
            moving |= comparable && queued < before;
            unknown |= queued > 0 && now < look.unchanged[side] + pause / 2;
        }
        look.at = now;
        if moving {
            // The other side only waits for this one.
            self.active = [now; 2];
            self.stalled = self.stalled.map(|_| now);
        }
        match self.deadline(timeouts) {
            (when, _) if when > now => Due::Wait(self.wake(timeouts, now)),
            // Whether these bytes move shows only at the next look.
            _ if unknown => Due::Wait(now + pause),
            (_, expired) => Due::Expired(expired),
        }
    }

    /// Gives back what is kept; for the end of the session.
    pub fn release(&mut self, buffers: &mut Buffers) {
        for flow in &mut self.flows {
            flow.release(buffers);
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
