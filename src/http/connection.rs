//! One connection of a client, and the request it is at.
//!
//! ```text
//! accepted ─▶ (Header) ─▶ (Handshake) ─▶ (Validation) ─▶ Head ─▶ (Delay) ─▶ (Proxy) ─▶ Answer ─▶ Body ─▶ Head ...      a request, its answer, what of its body is left; the next request
//!                                                           │                    └─────────┴─▶ Linger ─▶ closed  nothing more is wanted, but the client may still be sending
//!                                                           └─▶ closed                                           idle for too long, or gone
//! ```
//!
//! While it waits for a request a connection owns no buffer. What is done in `Head` stands in [`super::reading`], in `Delay` and
//! `Answer` in [`super::answering`], in `Proxy` in [`super::proxy`], and the ways out of the picture in [`super::ending`].

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::client::Client;
use super::handlers::Stage;
use super::head::{Refusal, Scan};
use super::listen::Route;
use super::request::Request;
use crate::context::Context;
use crate::event::{Owner, TimerId};
use crate::log::Level;
use crate::tally::Doing;
use crate::tls::ocsp::Validation;

/// Requests of one connection that are begun for one event before others have their turn.
const TURN: usize = 16;

/// Whether a connection goes on after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoesOn,
    Over,
}

/// What follows a step.
pub(super) enum Step {
    /// Another step.
    Next,
    /// The next event.
    Wait,
    /// The end.
    Over,
}

pub(super) enum Phase {
    /// The header of the PROXY protocol is to come.
    Header,
    /// The client is to say hello, or TLS is being agreed on.
    Handshake,
    /// Authorities are being asked whether the client's certificate still holds: see [`super::validation`].
    Validation(Box<Validation>),
    /// A request is waited for, or its head is arriving.
    Head,
    /// The request waits for its turn, or its answer for being sent; what follows then.
    Delay(Box<Stage>),
    /// A server is at work for the request: see [`super::proxy`].
    Proxy,
    /// The answer is being sent.
    Answer,
    /// The answer is sent; the rest of the request's body is read and dropped, until then at most.
    Body(Instant),
    /// Our side has ended; what still comes is read and dropped, until then at most.
    Linger {
        until: Instant,
        /// Our end has been sent.
        told: bool,
    },
}

pub(super) struct Session {
    pub client: Client,
    pub(super) route: Rc<Route>,
    pub(super) timer: TimerId,
    /// Whose events are those of the client; of the server with another part.
    pub(super) owner: Owner,
    pub(super) phase: Phase,
    /// Bytes read and not used yet: never empty.
    pub(super) input: Option<BytesMut>,
    pub(super) scan: Scan,
    /// Something stood behind the last request already.
    pub(super) pipelined: bool,
    pub(super) request: Option<Box<Request>>,
    /// `TCP_NODELAY` as it stands.
    pub(super) nodelay: bool,
    /// What it is counted for.
    pub(super) counted: Doing,
    /// Whether packets are held back until they are full.
    pub(super) corked: bool,
    /// The present request is the last one.
    pub(super) last: bool,
    /// The worker is to finish: no connection is kept for another request.
    pub(super) leaving: bool,
    /// A request to be made once more, on the side: see [`super::cache::update`].
    pub(super) offspring: Option<Box<Request>>,
}

impl Phase {
    /// That of the first byte of a client's own.
    pub(super) fn first(route: &Route) -> Self {
        if route.tls { Phase::Handshake } else { Phase::Head }
    }
}

impl Session {
    /// A client that has been accepted; `leaving` when the worker is to finish already.
    pub(super) fn new(
        client: Client,
        route: Rc<Route>,
        nodelay: bool,
        leaving: bool,
        timer: TimerId,
        owner: Owner,
        cx: &mut Context,
    ) -> Self {
        cx.reactor.set_timer(timer, cx.reactor.now() + route.names.default.header_timeout);
        let phase = if route.proxy_protocol { Phase::Header } else { Phase::first(&route) };
        let mut session = Session {
            client,
            route,
            timer,
            owner,
            phase,
            input: None,
            scan: Scan::default(),
            pipelined: false,
            request: None,
            nodelay,
            counted: Doing::Beginning,
            corked: false,
            last: false,
            leaving,
            offspring: None,
        };
        session.counted = session.doing();
        session
    }

    /// What it is at, for `stub_status`.
    pub(super) fn doing(&self) -> Doing {
        match self.phase {
            Phase::Header | Phase::Handshake | Phase::Validation(_) => Doing::Beginning,
            Phase::Head if self.input.is_none() => Doing::Waiting,
            Phase::Head => Doing::Reading,
            Phase::Delay(_) | Phase::Proxy | Phase::Answer | Phase::Body(_) | Phase::Linger { .. } => Doing::Writing,
        }
    }

    /// From now on it counts for one that does this.
    pub(super) fn count(&mut self, cx: &Context, doing: Doing) {
        cx.teller.shift(Some(self.counted), Some(doing));
        self.counted = doing;
    }

    /// One more request has come.
    pub(super) fn count_request(&mut self, cx: &Context) {
        self.client.requests += 1;
        cx.teller.add_requests(1);
        self.count(cx, Doing::Writing);
    }

    /// The connection has something to read or takes something.
    pub(super) fn ready(&mut self, cx: &mut Context) -> Verdict {
        let mut turn = TURN;
        loop {
            let step = match self.phase {
                Phase::Header => self.read_header(cx),
                Phase::Handshake => self.handshake(cx),
                Phase::Validation(_) => self.watch(cx),
                Phase::Head if turn == 0 => {
                    cx.reactor.again(self.client.connection.source());
                    Step::Wait
                }
                Phase::Head => {
                    turn -= 1;
                    self.read_head(cx)
                }
                Phase::Delay(_) => self.delayed(cx),
                Phase::Proxy => self.exchange(cx),
                Phase::Answer => self.send_answer(cx),
                Phase::Body(until) => self.drop_body(cx, until),
                Phase::Linger { until, told } => self.linger(cx, until, told),
            };
            match step {
                Step::Next => {}
                Step::Wait => return Verdict::GoesOn,
                Step::Over => return Verdict::Over,
            }
        }
    }

    /// What a step that the timer has brought about comes to.
    pub(super) fn go_on(&mut self, cx: &mut Context, step: Step) -> Verdict {
        match step {
            Step::Next => self.ready(cx),
            Step::Wait => Verdict::GoesOn,
            Step::Over => Verdict::Over,
        }
    }

    /// The timer has run out.
    pub(super) fn timer(&mut self, cx: &mut Context) -> Verdict {
        let timed_out = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        let error = Some(&timed_out);
        match self.phase {
            Phase::Header | Phase::Handshake | Phase::Validation(_) => self.greeting_timed_out(),
            Phase::Head if self.input.is_some() => {
                let step = self.refuse(cx, Refusal::new(408, "client timed out"));
                self.go_on(cx, step)
            }
            Phase::Head => {
                if self.client.requests == 0 && !self.leaving {
                    self.client.log(Level::Info, error, "waiting for request", None, format_args!("client timed out"));
                }
                Verdict::Over
            }
            Phase::Delay(_) => {
                let step = self.delay_over(cx);
                self.go_on(cx, step)
            }
            Phase::Proxy => {
                let step = self.exchange_timer(cx);
                self.go_on(cx, step)
            }
            Phase::Answer if self.is_held(cx) => {
                // From now on the client is waited for again.
                let location = self.request.as_ref().map(|request| request.location.clone());
                let patience = location.map_or(Duration::ZERO, |location| location.send_timeout);
                cx.reactor.set_timer(self.timer, cx.reactor.now() + patience);
                self.ready(cx)
            }
            Phase::Answer | Phase::Body(_) => {
                let action = match self.phase {
                    Phase::Answer => "sending response to client",
                    _ => "reading client request body",
                };
                self.client.log(Level::Info, error, action, self.request.as_deref(), format_args!("client timed out"));
                self.timed_out();
                self.write_access_log(cx);
                Verdict::Over
            }
            Phase::Linger { .. } => Verdict::Over,
        }
    }
}
