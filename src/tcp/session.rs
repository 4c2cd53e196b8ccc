//! One session: a client, and what is done for it.
//!
//! ```text
//! accepted ─▶ (Handshaking) ─▶ Connecting ─▶ Relaying ─▶ over     proxy_pass
//!                                  │  ▲ next peer
//!                                  └──┘
//! accepted ─▶ (Handshaking) ─▶ Sending ─▶ over                    return
//! ```
//!
//! A client of a `listen ... proxy_protocol` begins with the phase `Header`. The order of what decides about a client is: header,
//! TLS handshake, rules, content. (Without header and TLS the rules are looked at before there is a session.)
//!
//! A connection that may still hold bytes for its peer outlives its session: see [`super::linger`].

mod handshake;
mod header;

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::Content;
use super::arrival::{Arrival, status};
use super::variables::{Agreed, Attempt, Attempts, Values};
use crate::context::{Context, Epoch};
use crate::event::{Owner, TimerId};
use crate::log::Level;
use crate::net::{Address, Connection, TlsError, access, proxy_protocol};
use crate::relay::{Due, Ends, Expired, Fault, Relay, Side};
use crate::upstream::{Balancer, Tried};

/// Whether a session goes on after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoesOn,
    /// Over; both connections can be closed.
    Over,
    /// Over; this side's socket may still hold bytes that its peer has not received.
    Linger(Side),
}

/// A connection to a peer, made or in the making.
struct Upstream {
    connection: Connection,
    peer: usize,
}

enum Phase {
    /// The client's PROXY protocol header is awaited.
    Header,
    /// TLS is being agreed on with the client.
    Handshaking,
    /// A peer is being connected to.
    Connecting,
    /// Bytes are passed between client and upstream.
    Relaying,
    /// `return`: the text is being sent.
    Sending { text: Vec<u8>, sent: usize },
}

pub(super) struct Session {
    pub arrival: Arrival,
    client: Connection,
    upstream: Option<Upstream>,
    /// The number of the last peer tried, and the names of those before it, for the access log.
    last_peer: Option<usize>,
    failed_peers: Vec<String>,
    /// No peer was left to choose.
    none_chosen: bool,
    /// When connecting to the last peer began, and ended well; in milliseconds of the session.
    connect_began: u32,
    connected: Option<u32>,
    /// What went wrong, as `$status`.
    fault: Option<u16>,
    tried: Tried,
    relay: Relay,
    phase: Phase,
    timer: TimerId,
    /// Where the upstream connection's events are to go.
    upstream_owner: Owner,
}

impl Session {
    /// A session for a client that has been let in; [`Session::start`] begins to serve it.
    pub(super) fn new(
        arrival: Arrival,
        client: Connection,
        timer: TimerId,
        upstream_owner: Owner,
        now: Instant,
    ) -> Self {
        let relay = Relay::new(arrival.server.buffer, now);
        let phase = if arrival.proxy_protocol { Phase::Header } else { Phase::Connecting };
        Session {
            arrival,
            client,
            upstream: None,
            last_peer: None,
            failed_peers: Vec::new(),
            none_chosen: false,
            connect_began: 0,
            connected: None,
            fault: None,
            tried: Tried::default(),
            relay,
            phase,
            timer,
            upstream_owner,
        }
    }

    /// The group this session chooses its peers from.
    pub(super) fn group(&self) -> Option<usize> {
        match self.arrival.server.content {
            Content::Proxy(group) => Some(group),
            _ => None,
        }
    }

    /// Begins to serve.
    pub(super) fn start(&mut self, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        match self.phase {
            Phase::Header => self.await_header(cx),
            _ if self.arrival.tls => self.begin_handshake(cx, balancer),
            _ => self.serve(cx, balancer),
        }
    }

    /// The client is known, and what it says can be read: it is served if it may come in.
    fn admit(&mut self, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        if !access::allows(&self.arrival.server.rules, &self.arrival.client) {
            self.arrival.forbidden();
            return self.fail(status::FORBIDDEN);
        }
        self.phase = Phase::Connecting;
        self.serve(cx, balancer)
    }

    /// Begins to do what the server is for.
    fn serve(&mut self, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        let server = self.arrival.server.clone();
        match (&server.content, balancer) {
            (Content::Proxy(_), Some(balancer)) => self.connect(cx, balancer),
            (Content::Return(text), _) => {
                let local = || self.client.local_address();
                let text = Values { tls: self.agreed(), ..self.arrival.values(cx, &local) }.fill(text);
                self.phase = Phase::Sending { text, sent: 0 };
                cx.reactor.set_timer(self.timer, cx.reactor.now() + server.timeouts.client);
                self.send_text(cx)
            }
            _ => {
                self.log(Level::Error, None, "", format_args!("no handler for server"));
                self.fail(status::INTERNAL_ERROR)
            }
        }
    }

    /// Begins to connect to the next peer; over when none is left.
    fn connect(&mut self, cx: &mut Context, balancer: &mut Balancer) -> Verdict {
        const ACTION: &str = "connecting to upstream";
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
                self.arrival.log(Level::Alert, None, ACTION, Some(&config.name), message);
                balancer.release(peer);
                return self.fail(status::INTERNAL_ERROR);
            }
            self.arrival.debug(format_args!("connect to {}", config.name));
            match Connection::connect(&config.address, &mut cx.reactor, self.upstream_owner) {
                Ok(connection) => {
                    self.upstream = Some(Upstream { connection, peer });
                    cx.reactor.set_timer(self.timer, now + self.arrival.server.connect_timeout);
                    return Verdict::GoesOn;
                }
                Err((call, error)) => {
                    cx.connections.give_back();
                    let name = Some(config.name.as_str());
                    if call != "connect()" {
                        // Ours is the fault, not the peer's: out of descriptors or memory.
                        self.arrival.log(Level::Alert, Some(&error), ACTION, name, format_args!("{call} failed"));
                        balancer.release(peer);
                        return self.fail(status::INTERNAL_ERROR);
                    }
                    self.arrival.log(connect_level(&error), Some(&error), ACTION, name, format_args!("{call} failed"));
                    self.peer_failed(cx, balancer, peer);
                }
            }
        }
        // Each that was tried has its own line.
        if self.tried.is_empty() || self.tried.len() < balancer.present().filter(|(_, peer, _)| !peer.down).count() {
            self.none_chosen = true;
            let group = balancer.group().name.as_str();
            self.arrival.log(Level::Error, None, ACTION, Some(group), format_args!("no live upstreams"));
        }
        self.fail(status::BAD_GATEWAY)
    }

    /// Over, for this reason.
    fn fail(&mut self, status: u16) -> Verdict {
        self.fault = Some(status);
        Verdict::Over
    }

    fn peer_failed(&self, cx: &Context, balancer: &mut Balancer, peer: usize) {
        if balancer.failed(peer, cx.reactor.now()) {
            let name = balancer.peer(peer).name.as_str();
            let message = format_args!("upstream server temporarily disabled");
            self.arrival.log(Level::Warn, None, "connecting to upstream", Some(name), message);
        }
        balancer.release(peer);
    }

    /// The peer that is being connected to does not do: the next one.
    fn try_next(&mut self, cx: &mut Context, balancer: &mut Balancer, error: &io::Error) -> Verdict {
        if let Some(Upstream { connection, peer }) = self.upstream.take() {
            connection.close(&mut cx.reactor);
            cx.connections.give_back();
            let name = Some(balancer.peer(peer).name.as_str());
            const ACTION: &str = "connecting to upstream";
            match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    let message = format_args!("upstream closed the connection before it was used");
                    self.arrival.log(Level::Error, None, ACTION, name, message);
                }
                io::ErrorKind::TimedOut if error.raw_os_error().is_none() => {
                    let timed_out = io::Error::from_raw_os_error(libc::ETIMEDOUT);
                    let message = format_args!("upstream timed out");
                    self.arrival.log(Level::Error, Some(&timed_out), ACTION, name, message);
                }
                _ => {
                    let message = format_args!("connect() failed");
                    self.arrival.log(connect_level(error), Some(error), ACTION, name, message);
                }
            }
            self.peer_failed(cx, balancer, peer);
        }
        self.connect(cx, balancer)
    }

    /// A connection has something to read or takes something.
    pub(super) fn ready(&mut self, side: Side, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        match (&mut self.phase, balancer) {
            (Phase::Header, balancer) => self.read_header(cx, balancer),
            (Phase::Handshaking, balancer) => self.handshake(cx, balancer),
            (Phase::Connecting, Some(balancer)) => match (&self.upstream, side) {
                (Some(upstream), Side::Upstream) if cx.reactor.writable(upstream.connection.source()) => {
                    match upstream.connection.probe(&mut cx.reactor) {
                        Ok(()) => self.connected(cx, balancer),
                        Err(error) => self.try_next(cx, balancer, &error),
                    }
                }
                (_, Side::Client) => self.client_left(cx),
                _ => Verdict::GoesOn,
            },
            (Phase::Relaying, balancer) => self.relay(side, cx, balancer),
            (Phase::Sending { .. }, _) => self.send_text(cx),
            (Phase::Connecting, None) => Verdict::Over,
        }
    }

    /// Something came from the client while a peer is being connected to. What it sends waits in its socket; a client that
    /// is gone without having sent anything needs no peer.
    fn client_left(&self, cx: &mut Context) -> Verdict {
        if !cx.reactor.closing(self.client.source()) {
            return Verdict::GoesOn;
        }
        match self.client.probe(&mut cx.reactor) {
            Ok(()) => Verdict::GoesOn,
            Err(error) => {
                let reset = Some(&error).filter(|error| error.raw_os_error().is_some());
                let message = format_args!("client prematurely closed connection");
                self.log(Level::Info, reset, "connecting to upstream", message);
                Verdict::Over
            }
        }
    }

    fn connected(&mut self, cx: &mut Context, balancer: &mut Balancer) -> Verdict {
        let Some(upstream) = &self.upstream else { return Verdict::Over };
        balancer.succeeded(upstream.peer);
        self.connected = Some(self.milliseconds(cx));
        let server = &self.arrival.server;
        if server.nodelay && balancer.peer(upstream.peer).address.port().is_some() {
            // A peer that has reset the connection meanwhile is found out by the relay.
            let _ = upstream.connection.set_nodelay(true);
        }
        let now = cx.reactor.now();
        self.relay = Relay::new(server.buffer, now);
        if let Some(version) = server.proxy_protocol {
            let header = proxy_protocol::header(version, &self.arrival.client, &self.destination());
            self.relay.precede(&header, &mut cx.buffers, now);
        }
        self.phase = Phase::Relaying;
        cx.reactor.set_timer(self.timer, self.relay.wake(&server.timeouts, now));
        self.relay(Side::Upstream, cx, Some(balancer))
    }

    /// Where the client connected to. Behind a Unix socket only the sender of a header knows.
    fn destination(&self) -> Address {
        match (self.client.local_address(), &self.arrival.announced) {
            (Ok(local @ Address::Inet(_)), _) => local,
            (_, Some(announced)) => Address::Inet(announced.destination),
            _ => Address::Unix(Default::default()),
        }
    }

    fn relay(&mut self, event: Side, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        let Some(upstream) = &self.upstream else { return Verdict::Over };
        let ends = Ends { client: &self.client, upstream: &upstream.connection };
        let arrival = &self.arrival;
        let name = balancer.map(|balancer| balancer.peer(upstream.peer).name.as_str());
        let was_waiting = self.relay.waiting();
        let goes_on = self.relay.ready(event, ends, &mut cx.reactor, &mut cx.buffers, |fault: &Fault| {
            let level = fault_level(fault);
            arrival.log(level, Some(&fault.error), fault.action, name, format_args!("{} failed", call_name(fault)));
        });
        if goes_on {
            if self.relay.waiting() && !was_waiting {
                let until = self.relay.wake(&self.arrival.server.timeouts, cx.reactor.now());
                cx.reactor.set_timer(self.timer, until);
            }
            return Verdict::GoesOn;
        }
        match [Side::Client, Side::Upstream].into_iter().find(|&side| self.relay.unfinished(side, ends)) {
            Some(side) => Verdict::Linger(side),
            None => Verdict::Over,
        }
    }

    fn send_text(&mut self, cx: &mut Context) -> Verdict {
        let Phase::Sending { text, sent } = &mut self.phase else { return Verdict::Over };
        while *sent < text.len() {
            if !cx.reactor.writable(self.client.source()) {
                return Verdict::GoesOn;
            }
            match self.client.send(&mut cx.reactor, &text[*sent..]) {
                Ok(count) => *sent += count,
                Err(error) => {
                    let fault = Fault { side: Side::Client, call: "send()", action: "sending to client", error };
                    let level = fault_level(&fault);
                    self.log(level, Some(&fault.error), fault.action, format_args!("{} failed", call_name(&fault)));
                    return Verdict::Over;
                }
            }
        }
        Verdict::Linger(Side::Client)
    }

    /// The session's timer has run out: something is overdue, or only the timer is.
    pub(super) fn timer(&mut self, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        match (&self.phase, balancer) {
            (Phase::Connecting, Some(balancer)) => self.try_next(cx, balancer, &io::ErrorKind::TimedOut.into()),
            (Phase::Relaying, balancer) => {
                let Some(upstream) = &self.upstream else { return Verdict::Over };
                let ends = Ends { client: &self.client, upstream: &upstream.connection };
                let expired = match self.relay.due(ends, &self.arrival.server.timeouts, cx.reactor.now()) {
                    Due::Wait(until) => {
                        cx.reactor.set_timer(self.timer, until);
                        return Verdict::GoesOn;
                    }
                    Due::Expired(expired) => expired,
                };
                let (level, message, action) = match expired {
                    Expired::Client => (Level::Info, "client timed out", "proxying"),
                    Expired::UpstreamRead => (Level::Info, "upstream timed out", "proxying"),
                    Expired::UpstreamSend => (Level::Error, "upstream timed out", "sending to upstream"),
                };
                let name = self.peer_name(balancer.as_deref());
                let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
                self.arrival.log(level, Some(&error), action, name, format_args!("{message}"));
                Verdict::Over
            }
            (Phase::Header, _) => self.header_timed_out(),
            (Phase::Handshaking, _) => self.handshake_timed_out(),
            (Phase::Sending { .. }, _) => {
                let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
                self.log(Level::Info, Some(&error), "sending to client", format_args!("client timed out"));
                Verdict::Over
            }
            (Phase::Connecting, None) => Verdict::Over,
        }
    }

    /// The group and the number of the peer it relays to.
    pub(super) fn relays_to(&self) -> Option<(usize, usize)> {
        match (&self.phase, &self.upstream) {
            (Phase::Relaying, Some(upstream)) => Some((self.group()?, upstream.peer)),
            _ => None,
        }
    }

    /// A check has found its peer down; the session is to be closed.
    pub(super) fn peer_fell(&self, balancer: Option<&Balancer>) {
        let message = format_args!("upstream is down by a check, closing session");
        self.arrival.log(Level::Info, None, "proxying", self.peer_name(balancer), message);
    }

    /// How long the peer on a side may take no byte while some wait for it.
    pub(super) fn patience(&self, side: Option<Side>) -> Duration {
        let timeouts = &self.arrival.server.timeouts;
        match side {
            Some(Side::Upstream) => timeouts.upstream_send,
            _ => timeouts.client,
        }
    }

    /// Ends the session: its line goes to the access log, its peer has one session less, its connections are closed but
    /// the one to `keep`.
    pub(super) fn end(
        mut self,
        cx: &mut Context,
        mut balancer: Option<&mut Balancer>,
        keep: Option<Side>,
    ) -> (Epoch, Option<Connection>) {
        let returned = match &self.phase {
            Phase::Sending { sent, .. } => *sent as u64,
            _ => 0,
        };
        let (received, sent) = (self.relay.received(Side::Client), self.relay.sent(Side::Client) + returned);
        let local = || self.client.local_address();
        let values = self.arrival.values(cx, &local);
        let status = self.fault.unwrap_or(status::OK);
        let attempts = self.attempts(balancer.as_deref());
        self.arrival.write_access_log(cx, &Values { attempts, received, sent, status, tls: self.agreed(), ..values });
        self.arrival.debug(format_args!("session ended, bytes from/to client: {received}/{sent}"));
        self.relay.release(&mut cx.buffers);
        let mut kept = None;
        if let Some(Upstream { connection, peer }) = self.upstream {
            if let Some(balancer) = balancer.as_mut() {
                balancer.release(peer);
            }
            close_or_keep(connection, keep == Some(Side::Upstream), cx, &mut kept);
        }
        close_or_keep(self.client, keep == Some(Side::Client), cx, &mut kept);
        cx.reactor.remove_timer(self.timer);
        (self.arrival.epoch, kept)
    }

    /// The age of the session, as far as it can be counted.
    fn milliseconds(&self, cx: &Context) -> u32 {
        u32::try_from((cx.reactor.now() - self.arrival.began).as_millis()).unwrap_or(u32::MAX)
    }

    fn agreed(&self) -> Option<Agreed> {
        let agreed = self.client.tls(|ssl| {
            let cipher = ssl.current_cipher().filter(|_| ssl.is_init_finished())?;
            Some(Agreed { protocol: ssl.version_str(), cipher: cipher.name() })
        });
        agreed.flatten()
    }

    /// The last peer tried.
    fn peer_name<'a>(&self, balancer: Option<&'a Balancer>) -> Option<&'a str> {
        Some(balancer?.peer(self.last_peer?).name.as_str())
    }

    fn attempts<'a>(&'a self, balancer: Option<&'a Balancer>) -> Attempts<'a> {
        let (received, sent) = (self.relay.received(Side::Upstream), self.relay.sent(Side::Upstream));
        let connect_time = self.connected.map(|then| Duration::from_millis(u64::from(then - self.connect_began)));
        let attempt = |peer| Attempt { peer, connect_time, received, sent };
        Attempts {
            failed: &self.failed_peers,
            last: self.peer_name(balancer).map(attempt),
            without_peer: balancer.filter(|_| self.none_chosen).map(|balancer| balancer.group().name.as_str()),
        }
    }

    fn log(&self, level: Level, error: Option<&io::Error>, action: &str, message: fmt::Arguments<'_>) {
        self.arrival.log(level, error, action, None, message);
    }
}

fn close_or_keep(connection: Connection, keep: bool, cx: &mut Context, kept: &mut Option<Connection>) {
    if keep {
        *kept = Some(connection);
    } else {
        connection.close(&mut cx.reactor);
        cx.connections.give_back();
    }
}

/// nginx's level for a connect that failed: what a peer or the network can do is an error, anything else is for the operator.
fn connect_level(error: &io::Error) -> Level {
    match error.raw_os_error() {
        Some(
            libc::ECONNREFUSED
            | libc::ECONNRESET
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ETIMEDOUT
            | libc::EAGAIN
            | libc::ENOENT,
        ) => Level::Error,
        _ => Level::Crit,
    }
}

/// The call that failed, which is one of OpenSSL's where it found the fault.
fn call_name(fault: &Fault) -> &'static str {
    match (TlsError::of(&fault.error), fault.call) {
        (None, call) => call,
        (Some(_), "recv()") => "SSL_read()",
        (Some(_), _) => "SSL_write()",
    }
}

/// nginx's level for a connection that broke: a client's is no more than information.
fn fault_level(fault: &Fault) -> Level {
    if fault.side == Side::Client && TlsError::of(&fault.error).is_some_and(TlsError::is_peers) {
        return Level::Info;
    }
    match (fault.error.raw_os_error(), fault.side) {
        (
            Some(
                libc::ECONNRESET
                | libc::EPIPE
                | libc::ENOTCONN
                | libc::ETIMEDOUT
                | libc::ECONNREFUSED
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH,
            ),
            Side::Client,
        ) => Level::Info,
        (_, Side::Upstream) => Level::Error,
        _ => Level::Alert,
    }
}
