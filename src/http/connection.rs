//! One connection of a client, and the request it is at.
//!
//! ```text
//! accepted ─▶ (Header) ─▶ (Handshake) ─▶ Head ─▶ (Delay) ─▶ (Proxy) ─▶ Answer ─▶ Body ─▶ Head ...      a request, its answer, what of its body is left; the next request
//!                                          │                    └─────────┴─▶ Linger ─▶ closed  nothing more is wanted, but the client may still be sending
//!                                          └─▶ closed                                           idle for too long, or gone
//! ```
//!
//! While it waits for a request a connection owns no buffer. The ways out of the picture stand in [`super::ending`].

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use super::body::Body;
use super::client::{Client, origin};
use super::fields::in_one_chunk;
use super::gzip::encoder::Stream;
use super::handlers::{self, Stage};
use super::handshake;
use super::head::{Head, Refusal, Scan};
use super::listen::Route;
use super::output::{Piece, Progress};
use super::proxy::Exchange;
use super::request::Request;
use super::response::{Answer, Framing, Length, Response, prepare};
use super::variables::Values;
use super::{LingeringClose, Location};
use crate::context::Context;
use crate::event::{Owner, TimerId};
use crate::fault;
use crate::log::Level;
use crate::tally::Doing;

/// How much is read at once while a head arrives.
pub(super) const READ: usize = 16 * 1024;
/// Requests of one connection that are begun for one event before others have their turn.
const TURN: usize = 16;
/// What a client that waits with its body is told (RFC 9110 10.1.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

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
    scan: Scan,
    /// Something stood behind the last request already.
    pipelined: bool,
    pub(super) request: Option<Box<Request>>,
    /// `TCP_NODELAY` as it stands.
    nodelay: bool,
    /// What it is counted for.
    pub(super) counted: Doing,
    /// Whether packets are held back until they are full.
    corked: bool,
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
            Phase::Header | Phase::Handshake => Doing::Beginning,
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
    fn count_request(&mut self, cx: &Context) {
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

    /// Reads until a head is complete, and begins to serve its request.
    fn read_head(&mut self, cx: &mut Context) -> Step {
        loop {
            if let Some(input) = &mut self.input {
                match self.scan.advance(input, &self.client.server.limits) {
                    Ok(Some(length)) => return self.begin(cx, length),
                    Ok(None) => {}
                    Err(refusal) => return self.refuse(cx, refusal),
                }
            }
            if !cx.reactor.readable(self.client.connection.source()) {
                return if self.input.is_none() && self.leaving && self.client.requests > 0 {
                    Step::Over
                } else {
                    Step::Wait
                };
            }
            let begun = self.input.is_some();
            match self.receive(cx) {
                Ok(None) => {}
                Ok(Some(0)) => return self.client_left(cx),
                Ok(Some(_)) => {
                    self.skip_blank_lines(cx);
                    // The time for a first head has run since the client came.
                    if !begun && self.input.is_some() && self.client.requests > 0 {
                        let patience = self.client.server.header_timeout;
                        cx.reactor.set_timer(self.timer, cx.reactor.now() + patience);
                    }
                }
                // TLS has been cut short, which means nothing between requests.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return self.client_left(cx),
                Err(error) => {
                    let message = format_args!("recv() failed");
                    self.client.log(Level::Info, Some(&error), "waiting for request", None, message);
                    return Step::Over;
                }
            }
        }
    }

    /// Reads what has come behind the input that is kept.
    pub(super) fn receive(&mut self, cx: &mut Context) -> io::Result<Option<usize>> {
        let scratch = cx.buffers.scratch(READ);
        let received = self.client.connection.recv(&mut cx.reactor, scratch)?;
        if let Some(count @ 1..) = received {
            match &mut self.input {
                Some(input) => input.extend_from_slice(&scratch[..count]),
                None => self.input = Some(cx.buffers.keep(0..count)),
            }
        }
        Ok(received)
    }

    /// Line ends before a request are a habit of old clients (RFC 9112 2.2).
    pub(super) fn skip_blank_lines(&mut self, cx: &mut Context) {
        if let Some(input) = &mut self.input {
            let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            input.advance(blank);
            if input.is_empty() {
                cx.buffers.put(self.input.take());
            }
        }
    }

    /// The client has ended its side while a head was waited for.
    fn client_left(&mut self, cx: &mut Context) -> Step {
        let Some(input) = self.input.take() else {
            if self.client.requests == 0 {
                let message = format_args!("client closed connection");
                self.client.log(Level::Info, None, "waiting for request", None, message);
            }
            return Step::Over;
        };
        let mut request = self.partial(cx, input);
        let message = format_args!("client prematurely closed connection");
        self.client.log(Level::Info, None, reading(&request), Some(&request), message);
        request.status = 400;
        self.request = Some(request);
        self.write_access_log(cx);
        Step::Over
    }

    /// A head is complete.
    fn begin(&mut self, cx: &mut Context, length: usize) -> Step {
        let Some(mut input) = self.input.take() else { return Step::Over };
        let now = cx.reactor.now();
        let head = match Head::parse(&input[..length]) {
            Ok(head) => head,
            Err(refusal) => {
                self.input = Some(input);
                return self.refuse(cx, refusal);
            }
        };
        input.advance(length);
        self.count_request(cx);
        let request = self.request.insert(Box::new(Request::new(head, &self.client.server, now)));
        self.client.answered = false;
        request.pipelined = self.pipelined;
        let answer = request.interpret(&self.route.names).and_then(|()| {
            handshake::admit(&self.client, request, &self.route.names)?;
            drop_odd_fields(&self.client, request);
            let mut start = std::mem::take(&mut request.body_start);
            let taken = take_body(request, &mut input, Some(&mut start));
            request.body_start = start;
            fault::point(format_args!("request {}", request.path.escape_ascii()));
            let answer = handlers::serve(cx, &self.client, request);
            // Its location says how a body that is none is answered.
            Ok(taken.map_or_else(|refusal| body_refusal(cx, &self.client, &refusal, request), |()| answer))
        });
        let answer = answer.unwrap_or_else(|refusal| {
            if request.path.is_empty() {
                request.head.forget_fields();
            }
            refuse_head(cx, &self.client, &refusal, request)
        });
        self.input = Some(input);
        self.settle_input(cx);
        self.answer(cx, answer)
    }

    /// The head cannot be taken apart: it is answered all the same, and the rest of the input means nothing.
    fn refuse(&mut self, cx: &mut Context, refusal: Refusal) -> Step {
        let input = self.input.take().unwrap_or_default();
        let mut request = self.partial(cx, input);
        let answer = refuse_head(cx, &self.client, &refusal, &mut request);
        self.request = Some(request);
        self.answer(cx, answer)
    }

    /// A request of whose head not all can be told.
    fn partial(&mut self, cx: &mut Context, input: BytesMut) -> Box<Request> {
        let head = Head::partial(&input, &self.scan, &self.client.server.limits);
        cx.buffers.put(Some(input));
        let mut request = Box::new(Request::new(head, &self.client.server, cx.reactor.now()));
        request.pipelined = self.pipelined;
        // What it says so far: its path, and the server it is for.
        if !request.head.method().is_empty() {
            let _ = request.interpret(&self.route.names);
        }
        self.count_request(cx);
        self.client.answered = false;
        request
    }

    /// Begins to send an answer, having decided whether the connection stays.
    pub(super) fn answer(&mut self, cx: &mut Context, answer: Answer) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        let location = request.location.clone();
        let mut response = match answer {
            Answer::Respond(response) => response,
            Answer::Close(status) => {
                request.status = status;
                self.last = true;
                return self.finish(cx);
            }
            Answer::Proxy(settings) => return self.begin_exchange(cx, &settings),
            Answer::Later(delay, stage) => {
                cx.reactor.set_timer(self.timer, cx.reactor.now() + delay);
                self.phase = Phase::Delay(stage);
                return Step::Next;
            }
        };
        let follows = |exchange: &Exchange| exchange.upstream.is_some();
        let followed = request.exchange.as_deref().is_some_and(follows);
        request.status = response.status;
        if location.fields.is_some() || location.gzip.is_some() {
            filter(&self.client, request, &mut response, followed, cx.reactor.now());
        }
        if let Some(exchange) = &mut request.exchange {
            exchange.chunked = response.length == Length::Chunked;
        }
        // Whether a client that waits for 100 will send its body after an error is not known.
        let unread = !request.body.is_complete();
        let in_doubt = unread && request.expects_continue && response.status >= 400;
        self.last = !request.keepalive
            || response.close
            || in_doubt
            || self.leaving
            || location.keepalive.timeout.is_zero()
            || self.client.requests >= location.keepalive.requests
            || cx.reactor.now().saturating_duration_since(self.client.since) > location.keepalive.age
            || location.keepalive_disable.covers(request);
        if request.limit_rate.is_some() || !location.limit.is_none() {
            let values = Values { client: &self.client, request, now: cx.reactor.now() };
            request.output.pace = location.limit.pace(&values, &response);
        }
        let mut interim = 0;
        if unread && request.expects_continue && !in_doubt {
            request.output.push(Piece::Bytes(CONTINUE.to_vec()));
            interim = CONTINUE.len() as u64;
        }
        let origin = match &response.location {
            Some(_) => origin(&self.client, request),
            None => Vec::new(),
        };
        let keepalive = (!self.last).then_some(location.keepalive);
        prepare(request, response, &Framing { keepalive, origin: &origin });
        request.head_sent += interim;
        self.set_socket_options(&location);
        self.phase = if followed { Phase::Proxy } else { Phase::Answer };
        cx.reactor.set_timer(self.timer, cx.reactor.now() + location.send_timeout);
        Step::Next
    }

    /// A client that is gone meanwhile is found out by the next send.
    fn set_socket_options(&mut self, location: &Location) {
        if self.client.address.port().is_none() {
            return;
        }
        if self.nodelay != location.nodelay {
            self.nodelay = location.nodelay;
            let _ = self.client.connection.set_nodelay(location.nodelay);
        }
        // `tcp_nopush`: full packets of head and file together.
        if location.nopush
            && location.sendfile
            && let Some(request) = &mut self.request
            && request.output.has_file()
            && !(self.client.connection.is_plain() && request.output.gather())
        {
            let _ = self.client.connection.set_cork(true);
            self.corked = true;
        }
    }

    fn send_answer(&mut self, cx: &mut Context) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        let location = request.location.clone();
        let before = request.output.sent();
        let connection = &self.client.connection;
        let sent = request.output.send(connection, &mut cx.reactor, &mut cx.buffers, location.sendfile);
        if request.output.sent() > before {
            cx.reactor.set_timer(self.timer, cx.reactor.now() + location.send_timeout);
        }
        match sent {
            Ok(Progress::Blocked) => Step::Wait,
            Ok(Progress::Held(until)) => {
                cx.reactor.set_timer(self.timer, until);
                Step::Wait
            }
            Ok(Progress::TurnOver) => {
                cx.reactor.again(connection.source());
                Step::Wait
            }
            Ok(Progress::Done) => {
                if std::mem::take(&mut self.corked) {
                    let _ = connection.set_cork(false);
                }
                self.client.answered = true;
                self.answered(cx, &location)
            }
            Err((call, error)) => {
                let shortened = error.kind() == io::ErrorKind::UnexpectedEof;
                let level = if shortened { Level::Alert } else { Level::Info };
                let message = if shortened { "file was truncated while it was sent:" } else { "" };
                let gap = if shortened { " " } else { "" };
                let error = Some(&error).filter(|_| !shortened);
                let action = "sending response to client";
                self.client.log(
                    level,
                    error,
                    action,
                    self.request.as_deref(),
                    format_args!("{message}{gap}{call} failed"),
                );
                self.write_access_log(cx);
                Step::Over
            }
        }
    }

    /// All of the answer is sent.
    pub(super) fn answered(&mut self, cx: &mut Context, location: &Location) -> Step {
        let unread = self.request.as_ref().is_some_and(|request| !request.body.is_complete());
        if unread && !self.last {
            let now = cx.reactor.now();
            let until = now + location.lingering.time;
            cx.reactor.set_timer(self.timer, until.min(now + location.body_timeout.min(location.lingering.timeout)));
            self.phase = Phase::Body(until);
            return Step::Next;
        }
        self.finish(cx)
    }

    /// The request is over: the next one, or the end.
    pub(super) fn finish(&mut self, cx: &mut Context) -> Step {
        self.write_access_log(cx);
        let Some(request) = self.request.take() else { return Step::Over };
        let (location, now) = (&request.location, cx.reactor.now());
        if !self.last && !self.leaving {
            self.scan = Scan::default();
            self.phase = Phase::Head;
            self.pipelined = self.input.is_some();
            self.skip_blank_lines(cx);
            let patience = match self.input {
                Some(_) => self.client.server.header_timeout,
                None => location.keepalive.timeout,
            };
            cx.reactor.set_timer(self.timer, now + patience);
            return Step::Next;
        }
        let unread = !request.body.is_complete() || self.input.is_some();
        let sending = unread || cx.reactor.readable(self.client.connection.source());
        let lingers = match location.lingering.close {
            LingeringClose::Off => false,
            LingeringClose::On => sending,
            LingeringClose::Always => true,
        };
        cx.buffers.put(self.input.take());
        if !lingers || request.output.sent() == 0 {
            return Step::Over;
        }
        let told = self.client.connection.shutdown_write(&mut cx.reactor);
        let until = now + location.lingering.time;
        self.phase = Phase::Linger { until, told };
        cx.reactor.set_timer(self.timer, until.min(now + location.lingering.timeout));
        self.request = Some(request);
        Step::Next
    }

    /// While a request waits only the end of its client matters.
    fn delayed(&mut self, cx: &mut Context) -> Step {
        if !cx.reactor.closing(self.client.connection.source()) {
            return Step::Wait;
        }
        let message = format_args!("client prematurely closed connection");
        self.client.log(Level::Info, None, "", self.request.as_deref(), message);
        if let Some(request) = &mut self.request {
            request.status = 499;
        }
        self.write_access_log(cx);
        Step::Over
    }

    /// A request has waited long enough.
    fn delay_over(&mut self, cx: &mut Context) -> Step {
        let Phase::Delay(stage) = std::mem::replace(&mut self.phase, Phase::Head) else { return Step::Wait };
        let Some(request) = &mut self.request else { return Step::Over };
        let answer = handlers::resume(cx, &self.client, request, *stage);
        self.answer(cx, answer)
    }

    /// Whether it is the answer's pace that is waited for, and not the client.
    fn is_held(&self, cx: &Context) -> bool {
        let output = self.request.as_ref().map(|request| &request.output);
        output.is_some_and(|output| output.pace.is_some()) && cx.reactor.writable(self.client.connection.source())
    }

    /// What a step that the timer has brought about comes to.
    pub(super) fn go_on(&mut self, cx: &mut Context, step: Step) -> Verdict {
        match step {
            Step::Next => self.ready(cx),
            Step::Wait => Verdict::GoesOn,
            Step::Over => Verdict::Over,
        }
    }

    /// A client that has taken too long is about to be left.
    pub(super) fn timed_out(&self) {
        let location = self.request.as_ref().map_or(&self.client.server.own, |request| &request.location);
        if location.reset_timed_out {
            self.client.connection.reset_on_close();
        }
    }

    /// The timer has run out.
    pub(super) fn timer(&mut self, cx: &mut Context) -> Verdict {
        let timed_out = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        let error = Some(&timed_out);
        match self.phase {
            Phase::Header | Phase::Handshake => self.greeting_timed_out(),
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

    /// Gives the buffer back when nothing is in it.
    pub(super) fn settle_input(&mut self, cx: &mut Context) {
        if self.input.as_ref().is_some_and(|input| input.is_empty()) {
            cx.buffers.put(self.input.take());
        }
    }

    /// The line of the present request. It is tried once only, so that a connection has an end when the program fails in this.
    pub(super) fn write_access_log(&mut self, cx: &mut Context) {
        let Some(request) = &mut self.request else { return };
        if std::mem::replace(&mut request.told, true) || request.location.access_logs.is_empty() {
            return;
        }
        fault::point(format_args!("log {}", request.path.escape_ascii()));
        let request = &*request;
        let values = Values { client: &self.client, request, now: cx.reactor.now() };
        for entry in &request.location.access_logs {
            if !entry.wanted(|variable, out| values.write(variable, out)) {
                continue;
            }
            let Some(format) = &entry.format else { continue };
            let mut line = values.fill(format);
            line.push(b'\n');
            cx.logs.write(&mut cx.reactor, self.client.epoch, entry.log, &line);
        }
    }
}

/// What was done for a request whose head is at fault: in its line, if no path has come of it.
fn reading(request: &Request) -> &'static str {
    match (request.path.is_empty(), request.pipelined) {
        (false, _) => "reading client request headers",
        (true, false) => "reading client request line",
        (true, true) => "reading client pipelined request line",
    }
}

/// The answer to a head that is refused, which is logged.
fn refuse_head(cx: &mut Context, client: &Client, refusal: &Refusal, request: &mut Request) -> Answer {
    let timed_out = io::Error::from_raw_os_error(libc::ETIMEDOUT);
    let error = (refusal.status == 408).then_some(&timed_out);
    client.log(Level::Info, error, reading(request), Some(request), format_args!("{}", refusal.message));
    let page = Response::page(refusal.status, request.location.server_tokens);
    handlers::answer(cx, client, request, Answer::Respond(Response { close: true, ..page }))
}

/// The answer to a body that is none.
fn body_refusal(cx: &mut Context, client: &Client, refusal: &Refusal, request: &mut Request) -> Answer {
    client.log(Level::Error, None, "", Some(request), format_args!("{}", refusal.message));
    let page = Response::page(refusal.status, request.location.server_tokens);
    handlers::answer(cx, client, request, Answer::Respond(page))
}

fn drop_odd_fields(client: &Client, request: &mut Request) {
    if request.server.ignore_invalid_headers {
        for line in request.head.drop_odd_names(request.server.underscores_in_headers) {
            let message = format_args!("client sent invalid header line: \"{}\"", String::from_utf8_lossy(&line));
            client.log(Level::Info, None, "reading client request headers", Some(request), message);
        }
    }
}

/// What the location adds to an answer, and whether its body is compressed; `followed` when that is still to come from a server.
fn filter(client: &Client, request: &mut Request, response: &mut Response, followed: bool, now: Instant) {
    let location = request.location.clone();
    response.fields.splice(0..0, request.kept.drain(..));
    let values = Values { client, request, now };
    if let Some(fields) = &location.fields {
        fields.add(&values, response);
    }
    let encoder = location.gzip.as_ref().and_then(|gzip| gzip.encode(&values, response));
    let trailed = location.fields.as_ref().filter(|fields| fields.frame(&values, response));
    let trailers = trailed.map(|fields| fields.trailers(&values));
    if followed {
        if let Some(exchange) = &mut request.exchange {
            exchange.encoder = encoder.map(Box::new);
        }
        return;
    }
    let chunked = response.length == Length::Chunked;
    response.body = match (encoder, trailers) {
        (Some(encoder), trailers) => {
            let trailers = chunked.then(|| trailers.unwrap_or_default());
            vec![Piece::Gzip(Box::new(Stream::new(encoder, std::mem::take(&mut response.body), trailers)))]
        }
        (None, Some(trailers)) => in_one_chunk(std::mem::take(&mut response.body), &trailers),
        (None, None) => return,
    };
}

/// Takes from the input what belongs to the body of a request; what is in its framing goes to `content`.
///
/// # Errors
/// It is none.
pub(super) fn take_body(
    request: &mut Request,
    input: &mut BytesMut,
    mut content: Option<&mut Vec<u8>>,
) -> Result<(), Refusal> {
    while !input.is_empty() && !request.body.is_complete() {
        let piece = request.body.take(input)?;
        if let Body::Chunked(chunks) = &request.body {
            request.length = chunks.announced;
            request.chunk = Some(chunks.last);
        }
        if let Some(content) = &mut content {
            content.extend_from_slice(&input[piece.content]);
        }
        request.received += piece.consumed as u64;
        input.advance(piece.consumed);
    }
    Ok(())
}
