//! The phases in which a peer is connected to, and TLS agreed on with it where it speaks that.

use std::io;

use super::super::arrival::status;
use super::super::websocket::Secured;
use super::{Phase, Session, Upstream, Verdict};
use crate::context::Context;
use crate::fault;
use crate::log::Level;
use crate::net::proxy_protocol::{self, Version};
use crate::net::{Address, reasons};
use crate::relay::Side;
use crate::tls::{SECURING, securing_failure};
use crate::upstream::{Balancer, connect_level};

/// What is being done, in nginx's words.
const CONNECTING: &str = "connecting to upstream";

impl Session {
    /// Begins to connect to the next peer; over when none is left.
    pub(super) fn connect(&mut self, cx: &mut Context, balancer: &mut Balancer) -> Verdict {
        let now = cx.reactor.now();
        while let Some(peer) = balancer.pick(&mut self.tried, &self.arrival.client, now) {
            if let Some(before) = self.last_peer.replace(peer) {
                self.failed_peers.push(balancer.peer(before).name.clone());
            }
            self.connect_began = self.milliseconds(cx);
            let config = balancer.peer(peer);
            if !cx.connections.take() {
                let limit = cx.connections.limit;
                let message = format_args!("{limit} worker_connections are not enough");
                self.arrival.log(Level::Alert, None, CONNECTING, Some(&config.name), message);
                balancer.release(peer);
                return self.fail(status::INTERNAL_ERROR);
            }
            self.arrival.debug(format_args!("connect to {}", config.name));
            fault::point(format_args!("connect {}", self.arrival.route.name));
            match cx.connect(None, &config.address, self.upstream_owner) {
                Ok(connection) => {
                    self.upstream = Some(Upstream { connection, peer });
                    cx.reactor.set_timer(self.timer, now + self.arrival.server.connect_timeout);
                    return Verdict::GoesOn;
                }
                Err((call, error)) => {
                    cx.connections.give_back();
                    let name = Some(&*config.name);
                    if call != "connect()" {
                        // Ours is the fault, not the peer's: out of descriptors or memory.
                        self.arrival.log(Level::Alert, Some(&error), CONNECTING, name, format_args!("{call} failed"));
                        balancer.release(peer);
                        return self.fail(status::INTERNAL_ERROR);
                    }
                    self.arrival.log(
                        connect_level(&error),
                        Some(&error),
                        CONNECTING,
                        name,
                        format_args!("{call} failed"),
                    );
                    self.peer_failed(cx, balancer, peer);
                }
            }
        }
        // Each that was tried has its own line.
        if self.tried.is_empty() || self.tried.len() < balancer.present().filter(|(_, peer, _)| !peer.down).count() {
            self.none_chosen = true;
            let group = balancer.group().name.as_str();
            self.arrival.log(Level::Error, None, CONNECTING, Some(group), format_args!("no live upstreams"));
        }
        self.fail(status::BAD_GATEWAY)
    }

    fn peer_failed(&self, cx: &Context, balancer: &mut Balancer, peer: usize) {
        if balancer.failed(peer, cx.reactor.now()) {
            let name = &*balancer.peer(peer).name;
            let message = format_args!("upstream server temporarily disabled");
            self.arrival.log(Level::Warn, None, self.action(), Some(name), message);
        }
        balancer.release(peer);
    }

    /// What is being done with the peer, for the log.
    fn action(&self) -> &'static str {
        if matches!(self.phase, Phase::Securing) { SECURING } else { CONNECTING }
    }

    /// The peer that is being connected to does not do: the next one.
    pub(super) fn try_next(&mut self, cx: &mut Context, balancer: &mut Balancer, error: &io::Error) -> Verdict {
        if let Some(Upstream { connection, peer }) = self.upstream.take() {
            connection.close(&mut cx.reactor);
            cx.connections.give_back();
            self.log_failed(error, &balancer.peer(peer).name);
            self.peer_failed(cx, balancer, peer);
        }
        self.phase = Phase::Connecting;
        self.connect(cx, balancer)
    }

    fn log_failed(&self, error: &io::Error, peer: &str) {
        let timed_out = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        let (level, error, message) = match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::TimedOut, None) => (Level::Error, Some(&timed_out), "upstream timed out"),
            _ if matches!(self.phase, Phase::Securing) => securing_failure(error),
            (io::ErrorKind::UnexpectedEof, _) => {
                (Level::Error, None, "upstream closed the connection before it was used")
            }
            _ => (connect_level(error), Some(error), "connect() failed"),
        };
        self.arrival.log(level, error, self.action(), Some(peer), format_args!("{message}"));
    }

    /// The connection to a peer has come further, or something has come from the client that waits for it.
    pub(super) fn reach(&mut self, side: Side, cx: &mut Context, balancer: &mut Balancer) -> Verdict {
        match (&self.upstream, side) {
            (_, Side::Client) => self.client_left(cx),
            (Some(_), Side::Upstream) if matches!(self.phase, Phase::Securing) => self.secure(cx, balancer),
            (Some(upstream), Side::Upstream) if cx.reactor.writable(upstream.connection.source()) => {
                match upstream.connection.probe(&mut cx.reactor) {
                    Ok(()) => self.connected(cx, balancer),
                    Err(error) => self.try_next(cx, balancer, &error),
                }
            }
            _ => Verdict::GoesOn,
        }
    }

    /// Something came from the client while a peer is being connected to. What it sends waits in its socket; a client that
    /// is gone without having sent anything needs no peer.
    fn client_left(&self, cx: &mut Context) -> Verdict {
        if !cx.reactor.closing(self.client.source()) {
            return Verdict::GoesOn;
        }
        match self.client.probe(&mut cx.reactor) {
            Err(error) if error.raw_os_error().is_some() || self.relay.ahead().is_empty() => {
                let reset = Some(&error).filter(|error| error.raw_os_error().is_some());
                let message = format_args!("client prematurely closed connection");
                self.log(Level::Info, reset, CONNECTING, message);
                Verdict::Over
            }
            _ => Verdict::GoesOn,
        }
    }

    /// The connection stands.
    fn connected(&mut self, cx: &mut Context, balancer: &mut Balancer) -> Verdict {
        let Some(upstream) = &self.upstream else { return Verdict::Over };
        if self.arrival.server.nodelay && balancer.peer(upstream.peer).address.port().is_some() {
            upstream.connection.set_nodelay_after_first();
        }
        match self.destination() {
            Some(destination) if destination.tls.is_some() => self.begin_securing(cx, balancer),
            _ => self.reached(cx, balancer),
        }
    }

    /// TLS is to be agreed on with the peer. It finds the PROXY protocol's header before that, in the clear.
    fn begin_securing(&mut self, cx: &mut Context, balancer: &mut Balancer) -> Verdict {
        self.phase = Phase::Securing;
        let server = self.arrival.server.clone();
        let header = server.proxy_protocol.map(|version| self.header(version));
        let session = self.destination().and_then(|destination| destination.tls.as_ref()).map(Secured::session);
        let (Some(upstream), Some(session)) = (&mut self.upstream, session) else { return Verdict::Over };
        if let Some(header) = header {
            let error = match upstream.connection.send(&mut cx.reactor, &header) {
                Ok(count) if count == header.len() => None,
                // A new socket has room for more than a header.
                Ok(_) => Some(io::ErrorKind::WriteZero.into()),
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                return self.try_next(cx, balancer, &error);
            }
        }
        if let Err(stack) = session.and_then(|ssl| upstream.connection.start_tls(ssl)) {
            let message = format_args!("SSL_new() failed (SSL: {})", reasons(&stack));
            self.log(Level::Alert, None, SECURING, message);
            return self.fail(status::INTERNAL_ERROR);
        }
        cx.reactor.set_timer(self.timer, cx.reactor.now() + server.connect_timeout);
        self.secure(cx, balancer)
    }

    /// Goes on with the handshake.
    fn secure(&mut self, cx: &mut Context, balancer: &mut Balancer) -> Verdict {
        let Some(upstream) = &self.upstream else { return Verdict::Over };
        match upstream.connection.handshake(&mut cx.reactor) {
            Ok(true) => self.reached(cx, balancer),
            Ok(false) => Verdict::GoesOn,
            Err(error) => self.try_next(cx, balancer, &error),
        }
    }

    /// The peer is there for the client's bytes.
    fn reached(&mut self, cx: &mut Context, balancer: &mut Balancer) -> Verdict {
        let Some(upstream) = &self.upstream else { return Verdict::Over };
        balancer.succeeded(upstream.peer);
        self.connected = Some(self.milliseconds(cx));
        let server = &self.arrival.server;
        let now = cx.reactor.now();
        self.relay.start(server.buffer, now);
        if let Some(version) = server.proxy_protocol.filter(|_| !matches!(self.phase, Phase::Securing)) {
            let header = self.header(version);
            self.relay.precede(&header, &mut cx.buffers, now);
        }
        self.phase = Phase::Relaying;
        cx.reactor.set_timer(self.timer, self.relay.wake(&server.timeouts, now));
        self.relay(Side::Upstream, cx, Some(balancer))
    }

    /// What tells the peer whose connection it is.
    fn header(&self, version: Version) -> Vec<u8> {
        proxy_protocol::header(version, &self.arrival.client, &self.local())
    }

    /// Where the client connected to. Behind a Unix socket only the sender of a header knows.
    fn local(&self) -> Address {
        match (self.client.local_address(), &self.arrival.announced) {
            (Ok(local @ Address::Inet(_)), _) => local,
            (_, Some(announced)) => Address::Inet(announced.destination),
            _ => Address::Unix(Default::default()),
        }
    }
}
