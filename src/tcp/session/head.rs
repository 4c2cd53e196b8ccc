//! The phase in which a websocket's request is read, which says where the session goes.

use std::io;
use std::rc::Rc;

use super::super::arrival::status;
use super::super::head::Parsed;
use super::super::{Content, Server};
use super::{Phase, Session, Verdict, call_name, fault_level};
use crate::context::Context;
use crate::log::Level;
use crate::net::access;
use crate::relay::{Fault, Side};

const ACTION: &str = "reading client request head";

/// How many times `websocket_buffer` a head may have; the old module's bound.
const MOST_BUFFERS: usize = 8;

impl Session {
    /// The client is to say where it goes.
    pub(super) fn await_head(&mut self, cx: &mut Context) -> Verdict {
        self.phase = Phase::Head(Box::default());
        cx.reactor.set_timer(self.timer, cx.reactor.now() + self.arrival.server.timeouts.client);
        self.read_head(cx)
    }

    /// Reads what has come of the head. All that is read is for the upstream.
    pub(super) fn read_head(&mut self, cx: &mut Context) -> Verdict {
        let Phase::Head(scan) = &mut self.phase else { return Verdict::Over };
        let source = self.client.source();
        if !cx.reactor.readable(source) {
            return Verdict::GoesOn;
        }
        let most = self.arrival.server.buffer.saturating_mul(MOST_BUFFERS);
        let room = most - self.relay.ahead().len();
        match self.relay.read_ahead(&self.client, room, &mut cx.reactor, &mut cx.buffers) {
            Ok(Some(1..)) => {}
            Ok(Some(0)) => return self.refuse_head("client prematurely closed connection"),
            Ok(None) => return Verdict::GoesOn,
            Err(error) => {
                let fault = Fault { side: Side::Client, call: "recv()", action: ACTION, error };
                self.log(fault_level(&fault), Some(&fault.error), ACTION, format_args!("{} failed", call_name(&fault)));
                return self.fail(status::BAD_REQUEST);
            }
        }
        let ahead = self.relay.ahead();
        let (server, destination) = match scan.parse(ahead) {
            Parsed::Head(head) => {
                let lossy = String::from_utf8_lossy;
                self.arrival.debug(format_args!("request for \"{}{}\"", lossy(head.host), lossy(head.segment)));
                let named = self.arrival.route.names.find(&head.host.to_ascii_lowercase());
                let server = named.unwrap_or(&self.arrival.server).clone();
                let destination = match &server.content {
                    Content::Websocket(destinations) => Some(destinations.choose(head.segment)),
                    _ => None,
                };
                (server, destination)
            }
            Parsed::Malformed(why) => return self.refuse_head(why),
            Parsed::NeedMore if ahead.len() == most => return self.refuse_head("client sent too large request"),
            Parsed::NeedMore => {
                if cx.reactor.readable(source) {
                    cx.reactor.again(source);
                }
                return Verdict::GoesOn;
            }
        };
        self.phase = Phase::Connecting;
        self.destination = destination;
        if Rc::ptr_eq(&server, &self.arrival.server) { Verdict::Chosen } else { self.turn_to(server) }
    }

    /// The client has named another server of the address: what that one asks of its clients holds for it too.
    fn turn_to(&mut self, server: Rc<Server>) -> Verdict {
        let before = std::mem::replace(&mut self.arrival.server, server);
        let server = &self.arrival.server;
        if server.ssl && !self.arrival.route.tls {
            return self.refuse_head("client sent plain HTTP request to HTTPS port");
        }
        if let (true, Some(judged), Some(asked)) = (self.arrival.route.tls, &before.tls, &server.tls)
            && !judged.judges_for(asked)
        {
            // nginx's words, where no name was negotiated either.
            return self
                .refuse_head("client attempted to request the server name different from the one that was negotiated");
        }
        if !access::allows(&server.rules, &self.arrival.client) {
            self.arrival.forbidden();
            return self.fail(status::FORBIDDEN);
        }
        // A client that is gone already is found out when it is read.
        if server.nodelay != before.nodelay {
            let _ = self.client.set_nodelay(server.nodelay);
        }
        if server.keepalive != before.keepalive {
            let _ = self.client.set_keepalive(server.keepalive);
        }
        Verdict::Chosen
    }

    fn refuse_head(&mut self, why: &str) -> Verdict {
        self.log(Level::Info, None, ACTION, format_args!("{why}"));
        self.fail(status::BAD_REQUEST)
    }

    pub(super) fn head_timed_out(&mut self) -> Verdict {
        let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        self.log(Level::Info, Some(&error), ACTION, format_args!("client timed out"));
        self.fail(status::BAD_REQUEST)
    }
}
