//! What comes before a client's first request: the header of the PROXY protocol, TLS; and who may come in by it.

use std::io;

use openssl::ssl::SslRef;

use super::client::{Announced, Client};
use super::connection::{Phase, Session, Step, Verdict};
use super::head::Refusal;
use super::names::Names;
use super::request::Request;
use super::uri;
use crate::context::Context;
use crate::log::Level;
use crate::net::proxy_protocol::{self, Shown, Taken};
use crate::net::reasons;
use crate::tls::hello::{self, Choice};
use crate::tls::{HANDSHAKING, Refused, handshake_failure};

/// What is being done, in nginx's words.
const READING_HEADER: &str = "reading PROXY protocol";
/// What the first record of a handshake begins with (RFC 8446 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// Set in the first byte of a hello of SSLv2, which older clients have wrapped theirs in.
const SSLV2: u8 = 0x80;

impl Session {
    /// Reads who the client is that a proxy speaks for.
    pub(super) fn read_header(&mut self, cx: &mut Context) -> Step {
        if !cx.reactor.readable(self.client.connection.source()) {
            return Step::Wait;
        }
        let buffer = cx.buffers.scratch(proxy_protocol::MAX_HEADER);
        match proxy_protocol::take(&self.client.connection, &mut cx.reactor, buffer) {
            Ok(Taken::Done { endpoints, tlvs }) => {
                let announced = |endpoints| Box::new(Announced { endpoints, tlvs: buffer[tlvs].into() });
                self.client.announced = endpoints.map(announced);
                self.phase = Phase::first(&self.route);
                Step::Next
            }
            Ok(Taken::NotYet) => Step::Wait,
            Ok(Taken::Broken(0)) => {
                self.client.log(Level::Info, None, READING_HEADER, None, format_args!("client closed connection"));
                Step::Over
            }
            Ok(Taken::Broken(count)) => {
                let message = format_args!("broken header: \"{}\"", Shown(&buffer[..count]));
                self.client.log(Level::Error, None, READING_HEADER, None, message);
                Step::Over
            }
            Err(error) => {
                self.client.log(Level::Info, Some(&error), READING_HEADER, None, format_args!("recv() failed"));
                Step::Over
            }
        }
    }

    /// Goes on with the handshake. A client that does not begin one speaks plain HTTP, and is told.
    pub(super) fn handshake(&mut self, cx: &mut Context) -> Step {
        if self.client.connection.is_plain() && !cx.reactor.readable(self.client.connection.source()) {
            return Step::Wait;
        }
        if self.client.connection.is_plain() {
            let mut first = [0];
            match self.client.connection.peek(&mut cx.reactor, &mut first) {
                Ok(None) => return Step::Wait,
                Ok(Some(0)) => {
                    self.client.log(Level::Info, None, HANDSHAKING, None, format_args!("client closed connection"));
                    return Step::Over;
                }
                Ok(Some(_)) if first[0] != HANDSHAKE_RECORD && first[0] & SSLV2 == 0 => {
                    self.phase = Phase::Head;
                    return Step::Next;
                }
                Ok(Some(_)) => {}
                Err(error) => {
                    self.client.log(Level::Info, Some(&error), HANDSHAKING, None, format_args!("recv() failed"));
                    return Step::Over;
                }
            }
            let begun = match &self.client.server.tls {
                Some(tls) => tls.session().and_then(|ssl| self.client.connection.start_tls(ssl)),
                // `ssl on` has been refused without a certificate when the configuration was read.
                None => return Step::Over,
            };
            if let Err(stack) = begun {
                let message = format_args!("SSL_new() failed (SSL: {})", reasons(&stack));
                self.client.log(Level::Alert, None, HANDSHAKING, None, message);
                return Step::Over;
            }
            if self.route.early_data {
                self.client.connection.await_early_data();
            }
        }
        loop {
            let went_on = self.client.connection.handshake(&mut cx.reactor);
            self.client.connection.tls(|ssl| cx.authorities.look(&mut cx.reactor, &mut cx.resolver, ssl));
            match went_on {
                Ok(true) => return self.begin_validation(cx),
                Ok(false) if self.client.connection.tls(hello::is_asking) == Some(true) => self.choose(),
                Ok(false) => return Step::Wait,
                Err(error) => {
                    self.log_handshake(&error);
                    return Step::Over;
                }
            }
        }
    }

    /// The server of the host that the hello names answers it.
    fn choose(&mut self) {
        let named = self.client.connection.tls(|ssl| {
            let host = uri::host(hello::host(ssl)?).ok()?;
            self.route.names.named(&host).cloned()
        });
        let named = named.flatten().inspect(|server| self.client.server = server.clone());
        let choice = match (&self.client.server.tls, named) {
            (Some(tls), _) if tls.rejects() => Choice::Reject,
            (Some(tls), Some(_)) => Choice::Server(tls.clone()),
            // Without certificates of its own it is known by those of the default server.
            _ => Choice::Stay,
        };
        self.client.connection.tls(|ssl| hello::answer(ssl, choice));
    }

    pub(super) fn greeting_timed_out(&mut self) -> Verdict {
        let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        let action = if matches!(self.phase, Phase::Header) { READING_HEADER } else { HANDSHAKING };
        self.client.log(Level::Info, Some(&error), action, None, format_args!("client timed out"));
        Verdict::Over
    }

    fn log_handshake(&self, error: &io::Error) {
        let log =
            |level, error, message: &str| self.client.log(level, error, HANDSHAKING, None, format_args!("{message}"));
        if self.client.connection.tls(hello::is_rejected) == Some(true) {
            return log(Level::Info, None, "handshake rejected");
        }
        let (level, error, message) = handshake_failure(error);
        log(level, error, message);
    }
}

/// Whether a request may come in by what its client has shown in the handshake. One that is misdirected is the server's with which that was.
///
/// # Errors
/// Why not. The statuses 495 to 497 are nginx's own.
pub(super) fn admit(client: &Client, request: &mut Request, names: &Names) -> Result<(), Refusal> {
    if !client.to_tls {
        return Ok(());
    }
    let admitted = client.connection.tls(|ssl| admit_secure(client, request, names, ssl));
    let admitted = admitted.unwrap_or_else(|| Err(Refusal::new(497, "client sent plain HTTP request to HTTPS port")));
    admitted.inspect_err(|refusal| {
        if refusal.status == 421 {
            request.server = client.server.clone();
            request.location = request.server.own.clone();
        }
    })
}

fn admit_secure(client: &Client, request: &Request, names: &Names, ssl: &SslRef) -> Result<(), Refusal> {
    let Some(tls) = request.server.tls.as_ref().filter(|tls| tls.verifies()) else { return Ok(()) };
    let misdirected = || {
        let message = "client attempted to request the server name different from the one that was negotiated";
        Err(Refusal::new(421, message))
    };
    let asked = hello::host(ssl).and_then(|host| uri::host(host).ok());
    if asked.is_some_and(|asked| asked != request.host && names.named(&asked).is_some()) {
        return misdirected();
    }
    match tls.judge(ssl) {
        Err(refused @ Refused::Certificate(_)) => Err(Refusal::new(495, refused.to_string())),
        Err(refused @ Refused::NoCertificate) => Err(Refusal::new(496, refused.to_string())),
        // It has been asked for its certificate by the rules of another server, and is nobody for this one if it has shown none.
        _ if ssl.peer_certificate().is_some() && !client.server.tls.as_ref().is_some_and(|own| own.judges_for(tls)) => {
            misdirected()
        }
        Err(refused @ Refused::Status(_)) => Err(Refusal::new(495, refused.to_string())),
        Ok(()) => Ok(()),
    }
}
