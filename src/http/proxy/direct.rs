//! Unbuffered answers that the client gets as they are, without chunks: behind the head and what came with it, bytes go from connection to connection as in a relay, through a pipe where much comes.

use super::State;
use super::head::Framing;
use crate::context::Context;
use crate::http::body::Body;
use crate::http::connection::{Session, Step};
use crate::log::Level;
use crate::relay::{Failed, Flow, Reads};

/// What is to be moved at least: less has come with a read or two.
const LEAST: u64 = 64 * 1024;
/// What moving may cost for one event before others have their turn, in bytes that are copied.
const TURN: usize = 256 * 1024;

/// How moving has come to a stop.
enum Stop {
    /// All of the body is with the client.
    Done,
    /// Either side has to be waited for.
    Wait,
    /// It is another's turn.
    TurnOver,
    /// The server has ended before its time, or does not do otherwise; that has been told.
    Broken,
    /// The client takes nothing more.
    ClientFailed(std::io::Error),
}

impl Session {
    /// Whether the rest of the answer can go so.
    fn may_go_direct(&self) -> bool {
        let Some(request) = &self.request else { return false };
        let Some(exchange) = &request.exchange else { return false };
        if exchange.buffered || exchange.chunked || exchange.part.is_some() || exchange.encoder.is_some() {
            return false;
        }
        let Some(upstream) = &exchange.upstream else { return false };
        let much = match exchange.incoming.framing {
            Framing::UntilClose => true,
            Framing::Known(Body::Length(left)) => left >= LEAST,
            Framing::Known(_) => false,
        };
        let asked = request.body.is_complete() && upstream.output.is_empty();
        much && asked
            && exchange.state == State::Answering
            && upstream.input.is_none()
            && request.output.is_empty()
            && request.output.pace.is_none()
            && self.client.connection.is_plain()
            && upstream.kept.connection.is_plain()
    }

    /// Moves what there is, if the rest of the answer goes so; `None`: it does not, or it has all gone.
    pub(super) fn go_direct(&mut self, cx: &mut Context) -> Option<Step> {
        let begun = self.request.as_ref()?.exchange.as_ref()?.flow.is_some();
        if !begun {
            if !self.may_go_direct() {
                return None;
            }
            let exchange = self.request.as_mut()?.exchange.as_mut()?;
            let first = u32::try_from(exchange.settings.buffer_size).unwrap_or(u32::MAX);
            exchange.flow = Some(Box::new(Flow::new(first)));
        }
        let stop = self.move_on(cx)?;
        let request = self.request.as_mut()?;
        let exchange = request.exchange.as_mut()?;
        match stop {
            Stop::Done => {
                exchange.flow = None;
                exchange.client_due = None;
                // A splice does not tell that nothing more waits, and a connection that may have more to say is not used again.
                if let Some(upstream) = &exchange.upstream {
                    let _ = upstream.kept.connection.peek(&mut cx.reactor, &mut [0]);
                }
                None
            }
            Stop::Broken => Some(self.cut(cx)),
            Stop::ClientFailed(error) => {
                let message = format_args!("send() failed");
                self.client.log(Level::Info, Some(&error), "sending to client", self.request.as_deref(), message);
                Some(self.end_with(cx, 499))
            }
            Stop::TurnOver => {
                cx.reactor.again(exchange.upstream.as_ref()?.kept.connection.source());
                Some(Step::Wait)
            }
            Stop::Wait => Some(self.client_aborted(cx).unwrap_or(Step::Wait)),
        }
    }

    fn move_on(&mut self, cx: &mut Context) -> Option<Stop> {
        let mut budget = TURN;
        loop {
            let request = self.request.as_mut()?;
            let exchange = request.exchange.as_mut()?;
            let (upstream, flow) = (exchange.upstream.as_ref()?, exchange.flow.as_mut()?);
            let (server, client) = (&upstream.kept.connection, &self.client.connection);
            let (reactor, buffers) = (&mut cx.reactor, &mut cx.buffers);
            let now = reactor.now();
            let most = match exchange.incoming.framing {
                Framing::Known(Body::Length(left)) => left,
                Framing::Known(_) => 0,
                Framing::UntilClose => u64::MAX,
            };
            if !flow.waits() && most == 0 {
                return Some(Stop::Done);
            }
            if !reactor.writable(client.source()) {
                // The server is not to blame for the client's slowness.
                exchange.upstream_due = None;
                exchange.client_due.get_or_insert(now + request.location.send_timeout);
                reactor.knew(server.source());
                return Some(Stop::Wait);
            }
            let before = (flow.received, flow.sent);
            let moved = if flow.waits() {
                flow.deliver(client, reactor, buffers).map(|_| Some(0)).map_err(Failed::Sending)
            } else {
                exchange.client_due = None;
                exchange.upstream_due.get_or_insert(now + exchange.settings.read_timeout);
                match () {
                    () if !reactor.readable(server.source()) => return Some(Stop::Wait),
                    () if budget == 0 => return Some(Stop::TurnOver),
                    () => {}
                }
                let first = u32::try_from(exchange.settings.buffer_size).unwrap_or(u32::MAX);
                flow.pass(server, client, Reads { first, most }, reactor, buffers)
            };
            let (received, sent) = (flow.received - before.0, flow.sent - before.1);
            request.output.count(sent);
            if sent > 0 {
                exchange.client_due = None;
            }
            if received > 0 {
                exchange.upstream_due = Some(now + exchange.settings.read_timeout);
            }
            if let Some(tried) = exchange.tries.last_mut() {
                tried.received += received;
                tried.length += received;
            }
            if let Framing::Known(Body::Length(left)) = &mut exchange.incoming.framing {
                *left -= received;
                if *left == 0 {
                    exchange.incoming.framing = Framing::Known(Body::Complete);
                }
            }
            let ended = flow.has_ended();
            match moved {
                Ok(Some(cost)) => budget = budget.saturating_sub(cost),
                Ok(None) if !ended => {}
                Ok(None) if exchange.incoming.framing == Framing::UntilClose => {
                    exchange.incoming.framing = Framing::Known(Body::Complete);
                }
                Ok(None) => {
                    self.log_upstream(Level::Error, None, format_args!("upstream prematurely closed connection"));
                    return Some(Stop::Broken);
                }
                Err(Failed::Receiving(error)) => {
                    self.log_upstream(Level::Error, Some(&error), format_args!("recv() failed"));
                    return Some(Stop::Broken);
                }
                Err(Failed::Sending(error)) => return Some(Stop::ClientFailed(error)),
            }
        }
    }
}
