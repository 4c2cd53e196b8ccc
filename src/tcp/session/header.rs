//! The phase before all others of a client that begins with a PROXY protocol header.

use std::fmt;
use std::io;

use super::super::arrival::status;
use super::{Session, Verdict, fault_level};
use crate::context::Context;
use crate::log::Level;
use crate::net::proxy_protocol::{self, Parsed};
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
        let seen = match self.client.peek(&mut cx.reactor, bytes) {
            Ok(Some(count)) => &bytes[..count],
            Ok(None) => return Verdict::GoesOn,
            Err(error) => return self.header_unreadable(error),
        };
        let length = match proxy_protocol::parse(seen) {
            Parsed::Done { endpoints, length } => {
                self.arrival.announced = endpoints.map(Box::new);
                length
            }
            Parsed::NeedMore if !seen.is_empty() && !cx.reactor.closing(self.client.source()) => {
                cx.reactor.clear_readable(self.client.source(), true);
                return Verdict::GoesOn;
            }
            Parsed::NeedMore | Parsed::Malformed => {
                let message = format_args!("broken header: \"{}\"", Shown(seen));
                self.log(Level::Error, None, ACTION, message);
                return self.fail(status::BAD_REQUEST);
            }
        };
        // It is there in whole, as it has just been seen.
        if let Err(error) = self.client.recv(&mut cx.reactor, &mut bytes[..length]) {
            return self.header_unreadable(error);
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

/// Bytes of a header for the log, up to the length of a line of version 1.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 107;
        let write = |byte: &u8| match byte {
            0..128 => write!(f, "{}", char::from(*byte)),
            _ => write!(f, "\\x{byte:02X}"),
        };
        self.0.iter().take(MOST).try_for_each(write)
    }
}
