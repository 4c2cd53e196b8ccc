//! How a request is answered: what the answer's location adds to it, whether the connection stays, and the sending.

use std::io;
use std::time::Instant;

use super::Location;
use super::client::{Client, origin};
use super::connection::{Phase, Session, Step};
use super::fields::in_one_chunk;
use super::gzip::encoder::Stream;
use super::handlers;
use super::output::{Piece, Progress};
use super::proxy::Exchange;
use super::request::Request;
use super::response::{Answer, Framing, Length, Response, prepare};
use super::variables::Values;
use crate::context::Context;
use crate::log::Level;

/// What a client that waits with its body is told (RFC 9110 10.1.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Session {
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
            && !request.output.is_joined()
            && !(self.client.connection.is_plain() && request.output.gather())
        {
            let _ = self.client.connection.set_cork(true);
            self.corked = true;
        }
    }

    pub(super) fn send_answer(&mut self, cx: &mut Context) -> Step {
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

    /// While a request waits only the end of its client matters.
    pub(super) fn delayed(&mut self, cx: &mut Context) -> Step {
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
    pub(super) fn delay_over(&mut self, cx: &mut Context) -> Step {
        let Phase::Delay(stage) = std::mem::replace(&mut self.phase, Phase::Head) else { return Step::Wait };
        let Some(request) = &mut self.request else { return Step::Over };
        let answer = handlers::resume(cx, &self.client, request, *stage);
        self.answer(cx, answer)
    }

    /// Whether it is the answer's pace that is waited for, and not the client.
    pub(super) fn is_held(&self, cx: &Context) -> bool {
        let output = self.request.as_ref().map(|request| &request.output);
        output.is_some_and(|output| output.pace.is_some()) && cx.reactor.writable(self.client.connection.source())
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
    request.trailers = trailers.clone().unwrap_or_default();
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
