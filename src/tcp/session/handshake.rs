//! The phase in which TLS is agreed on with the client.

use std::io;

use super::super::arrival::status;
use super::{Phase, Session, Verdict};
use crate::context::Context;
use crate::log::Level;
use crate::net::reasons;
use crate::tls::{HANDSHAKING, handshake_failure};
use crate::upstream::Balancer;

impl Session {
    /// The client is to say hello, or has done so already behind a header.
    pub(super) fn begin_handshake(&mut self, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        let server = &self.arrival.server;
        let Some(tls) = &server.tls else { return self.fail(status::INTERNAL_ERROR) };
        if let Err(stack) = tls.session().and_then(|ssl| self.client.start_tls(ssl)) {
            self.log(Level::Alert, None, HANDSHAKING, format_args!("SSL_new() failed (SSL: {})", reasons(&stack)));
            return self.fail(status::INTERNAL_ERROR);
        }
        self.phase = Phase::Handshaking;
        cx.reactor.set_timer(self.timer, cx.reactor.now() + server.timeouts.client);
        if cx.reactor.readable(self.client.source()) { self.handshake(cx, balancer) } else { Verdict::GoesOn }
    }

    /// Goes on with the handshake; after it the client may come in or not.
    pub(super) fn handshake(&mut self, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        match self.client.handshake(&mut cx.reactor) {
            Ok(false) => return Verdict::GoesOn,
            Ok(true) => {}
            Err(error) => {
                let (level, error, message) = handshake_failure(&error);
                self.log(level, error, HANDSHAKING, format_args!("{message}"));
                return self.fail(status::INTERNAL_ERROR);
            }
        }
        let judged = self.arrival.server.tls.as_ref().and_then(|tls| self.client.tls(|ssl| tls.judge(ssl)));
        if let Some(Err(message)) = judged {
            self.log(Level::Info, None, HANDSHAKING, format_args!("{message}"));
            return self.fail(status::INTERNAL_ERROR);
        }
        self.admit(cx, balancer)
    }

    pub(super) fn handshake_timed_out(&mut self) -> Verdict {
        let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        self.log(Level::Info, Some(&error), HANDSHAKING, format_args!("client timed out"));
        self.fail(status::INTERNAL_ERROR)
    }
}
