//! `ssl_ocsp`: after the handshake a client with a certificate waits until its authorities have said whether that still holds. What they say is
//! kept with the TLS session, for who judges its requests.

use super::connection::{Phase, Session, Step, Verdict};
use crate::context::Context;
use crate::log::Level;
use crate::tls;
use crate::tls::HANDSHAKING;
use crate::tls::ocsp::{self, Asker, Status, Told, Validation};

impl Session {
    /// The handshake is done: what is to be found out about the client, and then its requests.
    pub(super) fn begin_validation(&mut self, cx: &mut Context) -> Step {
        let rules = self.client.server.tls.as_ref().and_then(tls::Server::ocsp);
        let validation = rules.and_then(|rules| {
            let asker = Asker {
                owner: self.owner,
                connection: self.client.number,
                log: self.client.server.own.error_log.clone(),
            };
            self.client.connection.tls(|ssl| Validation::of(rules, ssl, asker)).flatten()
        });
        match validation {
            Some(validation) => self.go_on_validating(cx, Box::new(validation)),
            None => self.await_request(),
        }
    }

    /// Asks what is still to be asked. The connection to a responder is one of `worker_connections`.
    fn go_on_validating(&mut self, cx: &mut Context, mut validation: Box<Validation>) -> Step {
        match validation.go_on(&mut cx.authorities, &mut cx.reactor, &mut cx.resolver) {
            Some(status) => self.validate(status),
            None if cx.connections.take() => {
                self.phase = Phase::Validation(validation);
                Step::Wait
            }
            None => {
                validation.forget(&mut cx.authorities, &mut cx.reactor, &mut cx.resolver);
                let limit = cx.connections.limit;
                let message = format_args!("{limit} worker_connections are not enough");
                self.client.log(Level::Alert, None, HANDSHAKING, None, message);
                self.validate(Status::Unanswered)
            }
        }
    }

    /// All is known about the client.
    fn validate(&mut self, status: Status) -> Step {
        self.client.connection.tls(|ssl| ocsp::tell(ssl, status));
        self.await_request()
    }

    fn await_request(&mut self) -> Step {
        self.phase = Phase::Head;
        Step::Next
    }

    /// A responder has told something, or nothing, that the client waits for.
    pub(super) fn told(&mut self, cx: &mut Context, told: &Told) -> Verdict {
        let Some(mut validation) = self.take_validation(cx) else { return Verdict::GoesOn };
        let step = match validation.told(told) {
            Some(status) => self.validate(status),
            None => self.go_on_validating(cx, validation),
        };
        self.go_on(cx, step)
    }

    /// Something has come from a client that waits: its first request, which has time, or its end.
    pub(super) fn watch(&mut self, cx: &mut Context) -> Step {
        match self.client.connection.probe(&mut cx.reactor) {
            Ok(()) => Step::Wait,
            Err(_) => {
                let message = format_args!("client closed connection");
                self.client.log(Level::Info, None, HANDSHAKING, None, message);
                Step::Over
            }
        }
    }

    /// Gives up what is being asked about the client.
    pub(super) fn drop_validation(&mut self, cx: &mut Context) {
        if let Some(validation) = self.take_validation(cx) {
            validation.forget(&mut cx.authorities, &mut cx.reactor, &mut cx.resolver);
        }
    }

    fn take_validation(&mut self, cx: &mut Context) -> Option<Box<Validation>> {
        if !self.is_validating() {
            return None;
        }
        cx.connections.give_back();
        match std::mem::replace(&mut self.phase, Phase::Head) {
            Phase::Validation(validation) => Some(validation),
            _ => None,
        }
    }

    /// Whether a connection to a responder is counted for this one.
    pub(super) fn is_validating(&self) -> bool {
        matches!(self.phase, Phase::Validation(_))
    }
}
