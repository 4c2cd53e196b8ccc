//! The phase before all others of a client that begins with a PROXY protocol header.

use std::io;

use super::super::arrival::status;
use super::{Session, Verdict, fault_level};
use crate::context::Context;
use crate::log::Level;
use crate::net::proxy_protocol::{self, Shown, Taken};
use crate::relay::{Fault, Side};
use crate::upstream::Balancer;

const ACTION: &str = "reading PROXY protocol";

impl Session {
    /// A client has come that is to send a header.
    pub(super) fn await_header(&mut self, cx: &mut Context) -> Verdict {
        cx.reactor.set_timer(self.timer, cx.reactor.now() + self.arrival.server.proxy_protocol_timeout);
        Verdict::GoesOn
    }

    /// The client's first bytes have come: its header, or a part of it. What stands behind it is left in the socket.
    pub(super) fn read_header(&mut self, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        let bytes = cx.buffers.scratch(proxy_protocol::MAX_HEADER);
        match proxy_protocol::take(&self.client, &mut cx.reactor, bytes) {
            Ok(Taken::Done { endpoints, .. }) => self.arrival.announced = endpoints.map(Box::new),
            Ok(Taken::NotYet) => return Verdict::GoesOn,
            Ok(Taken::Broken(count)) => {
                let message = format_args!("broken header: \"{}\"", Shown(&bytes[..count]));
                self.log(Level::Error, None, ACTION, message);
                return self.fail(status::BAD_REQUEST);
            }
            Err(error) => return self.header_unreadable(error),
        }
        self.arrival.believe(cx);
        if self.arrival.route.tls { self.begin_handshake(cx, balancer) } else { self.admit(cx, balancer) }
    }

    pub(super) fn header_timed_out(&self) -> Verdict {
        let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        self.log(Level::Info, Some(&error), ACTION, format_args!("client timed out"));
        Verdict::Over
    }

    fn header_unreadable(&self, error: io::Error) -> Verdict {
        let fault = Fault { side: Side::Client, call: "recv()", action: ACTION, error };
        self.log(fault_level(&fault), Some(&fault.error), fault.action, format_args!("{} failed", fault.call));
        Verdict::Over
    }
}
