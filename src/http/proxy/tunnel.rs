//! After an answer with 101 both sides speak another protocol: the connection becomes a relay (RFC 9110 7.8).

use std::io;
use std::time::Instant;

use bytes::Buf;

use super::State;
use crate::context::Context;
use crate::http::connection::{Session, Step};
use crate::http::output::Progress;
use crate::http::variables::Values;
use crate::log::Level;
use crate::relay::{Due, Ends, Expired, Relay, Side, Timeouts, page_size};

/// What is being done, in nginx's words.
const UPGRADED: &str = "proxying upgraded connection";

impl Session {
    /// Whether the client wants another protocol, and the server has been told so.
    pub(super) fn is_upgrade(&self, now: Instant) -> bool {
        let Some(request) = &self.request else { return false };
        let Some(exchange) = &request.exchange else { return false };
        let values = Values { client: &self.client, request, now };
        let mut told = exchange.settings.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"upgrade"));
        request.head.field("upgrade").is_some() && told.any(|(_, text)| !values.fill(text).is_empty())
    }

    /// The answer goes to the client before anything of the new protocol, and with it what the server has sent behind it.
    pub(super) fn upgrading(&mut self, cx: &mut Context) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        let Some(exchange) = &mut request.exchange else { return Step::Over };
        let Some(upstream) = &mut exchange.upstream else { return Step::Over };
        if let Some(input) = upstream.input.take() {
            request.output.push_bytes(&input);
            cx.buffers.put(Some(input));
        }
        let connection = &self.client.connection;
        match request.output.send(connection, &mut cx.reactor, &mut cx.buffers, false) {
            Ok(Progress::Done) => {}
            Ok(_) => {
                exchange.client_due.get_or_insert(cx.reactor.now() + request.location.send_timeout);
                return Step::Wait;
            }
            Err((call, error)) => {
                let message = format_args!("{call} failed");
                self.client.log(Level::Info, Some(&error), "sending to client", self.request.as_deref(), message);
                return self.end_with(cx, 499);
            }
        }
        // The rest of the request is none of the new protocol (RFC 9110 7.8).
        exchange.client_due = None;
        match self.keep_asking(cx) {
            Ok(true) => return Step::Next,
            Ok(false) if self.is_asking() => return Step::Wait,
            Ok(false) => {}
            Err(step) => return step,
        }
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        let Some(upstream) = &exchange.upstream else { return Step::Over };
        let connection = &self.client.connection;
        let now = cx.reactor.now();
        let mut relay = Box::new(Relay::new(page_size(), now));
        if let Some(mut input) = self.input.take() {
            relay.precede(&input, &mut cx.buffers, now);
            input.advance(input.len());
            cx.buffers.put(Some(input));
        }
        // Small messages are what such connections are made for; a side that is gone is found out when it is used.
        let _ = connection.set_nodelay(true);
        let _ = upstream.kept.connection.set_nodelay(true);
        exchange.relay = Some(relay);
        exchange.state = State::Tunnel;
        exchange.client_due = None;
        Step::Next
    }

    /// Whether the server has not been sent all of the request.
    fn is_asking(&self) -> bool {
        let Some(request) = &self.request else { return false };
        let Some(exchange) = &request.exchange else { return false };
        let unsent = exchange.upstream.as_ref().is_some_and(|upstream| !upstream.output.is_empty());
        unsent || exchange.streams && !request.body.is_complete()
    }

    /// Passes on what has come.
    pub(super) fn tunnel(&mut self, cx: &mut Context) -> Step {
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        let timeouts = timeouts(exchange);
        let (Some(upstream), Some(relay)) = (&exchange.upstream, &mut exchange.relay) else { return Step::Over };
        let ends = Ends { client: &self.client.connection, upstream: &upstream.kept.connection };
        let event = if cx.reactor.readable(ends.client.source()) { Side::Client } else { Side::Upstream };
        let mut faults = Vec::new();
        let goes_on = relay.ready(event, ends, &mut cx.reactor, &mut cx.buffers, |fault| {
            let level = if fault.side == Side::Client { Level::Info } else { Level::Error };
            faults.push((level, fault.call, fault.error.raw_os_error()));
        });
        if goes_on {
            exchange.upstream_due = Some(relay.wake(&timeouts, cx.reactor.now()));
        }
        for (level, call, code) in faults {
            let error = code.map(io::Error::from_raw_os_error);
            self.client.log(level, error.as_ref(), UPGRADED, self.request.as_deref(), format_args!("{call} failed"));
        }
        if goes_on {
            return Step::Wait;
        }
        self.end_tunnel(cx)
    }

    pub(super) fn end_tunnel(&mut self, cx: &mut Context) -> Step {
        self.client.answered = true;
        self.last = true;
        self.drop_exchange(cx);
        self.finish(cx)
    }

    /// The relay is over, or has to be: what it has counted goes where logs find it.
    pub(super) fn close_relay(&mut self, cx: &mut Context) {
        let Some(request) = &mut self.request else { return };
        let Some(exchange) = &mut request.exchange else { return };
        let Some(mut relay) = exchange.relay.take() else { return };
        relay.release(&mut cx.buffers);
        request.output.count(relay.sent(Side::Client));
        if let Some(tried) = exchange.tries.last_mut() {
            tried.received += relay.received(Side::Upstream);
            tried.length += relay.received(Side::Upstream);
        }
        if let Some(upstream) = &mut exchange.upstream {
            upstream.output.count(relay.sent(Side::Upstream));
        }
    }

    /// The timer has run out: perhaps a side has been idle for too long.
    pub(super) fn tunnel_timer(&mut self, cx: &mut Context) -> Step {
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        let timeouts = timeouts(exchange);
        let (Some(upstream), Some(relay)) = (&exchange.upstream, &mut exchange.relay) else { return Step::Over };
        let ends = Ends { client: &self.client.connection, upstream: &upstream.kept.connection };
        match relay.due(ends, &timeouts, cx.reactor.now()) {
            Due::Wait(until) => {
                exchange.upstream_due = Some(until);
                self.arm(cx);
                Step::Wait
            }
            Due::Expired(expired) => {
                let message = if expired == Expired::Client { "client timed out" } else { "upstream timed out" };
                let level = if expired == Expired::Client { Level::Info } else { Level::Error };
                let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
                self.client.log(level, Some(&error), UPGRADED, self.request.as_deref(), format_args!("{message}"));
                self.end_tunnel(cx)
            }
        }
    }
}

/// As in nginx one timeout holds for both sides; whatever moves ends the waiting of both.
fn timeouts(exchange: &super::Exchange) -> Timeouts {
    let settings = &exchange.settings;
    Timeouts {
        client: settings.read_timeout,
        upstream_read: settings.read_timeout,
        upstream_send: settings.send_timeout,
    }
}
