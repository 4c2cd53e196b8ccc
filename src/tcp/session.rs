//! One session: a client, and what is done for it.
//!
//! ```text
//! accepted ─▶ Connecting ─▶ Relaying ─▶ over     proxy_pass
//!                 │  ▲ next peer
//!                 └──┘
//! accepted ─▶ Sending ─▶ over                    return
//! ```
//!
//! A connection that may still hold bytes for its peer outlives its session: see [`super::linger`].

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Server;
use super::variables::Values;
use super::{Content, access_log};
use crate::context::{Context, Epoch};
use crate::event::{Owner, TimerId};
use crate::log::{Level, Record, emit, enabled};
use crate::net::{Address, Connection};
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

/// Who came, when and where: what is known of a session before anything is done for it.
pub(super) struct Arrival {
    /// `*N` in logs.
    pub number: u64,
    pub client: Address,
    /// Seconds since 1970.
    pub accepted: i64,
    /// The listening address as configured.
    pub listen: Rc<str>,
    pub server: Rc<Server>,
    /// The configuration it came under.
    pub epoch: Epoch,
    /// One of `debug_connection`'s clients.
    pub debug: bool,
}

/// What an error log line tells beside its message.
struct While<'a> {
    action: &'a str,
    arrival: &'a Arrival,
    upstream: Option<&'a str>,
}

impl fmt::Display for While<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.action.is_empty() {
            write!(f, " while {}", self.action)?;
        }
        write!(f, ", client: {}, server: {}", self.arrival.client.host(), self.arrival.listen)?;
        match self.upstream {
            Some(upstream) => write!(f, ", upstream: \"{upstream}\""),
            None => Ok(()),
        }
    }
}

impl Arrival {
    fn log(
        &self,
        level: Level,
        error: Option<&io::Error>,
        action: &str,
        upstream: Option<&str>,
        message: fmt::Arguments<'_>,
    ) {
        let context = While { action, arrival: self, upstream };
        let record = Record {
            level,
            connection: Some(self.number),
            error,
            context: Some(&context),
            debug_connection: self.debug,
        };
        emit(&record, message);
    }

    /// A line for those who follow the program's steps.
    pub(super) fn debug(&self, message: fmt::Arguments<'_>) {
        if self.debug || enabled(Level::Debug) {
            self.log(Level::Debug, None, "", None, message);
        }
    }

    /// The client may not come in.
    pub(super) fn refused(&self, cx: &mut Context) {
        self.log(Level::Notice, None, "", None, format_args!("access forbidden by rule"));
        self.write_access_log(cx, None, 0, 0);
    }

    /// The reactor does not take the client's socket.
    pub(super) fn unwatchable(&self, error: &io::Error) {
        self.log(Level::Alert, Some(error), "", None, format_args!("epoll_ctl() failed"));
    }

    /// The client is let in.
    pub(super) fn greeted(&self) {
        if self.debug || enabled(Level::Info) {
            self.log(Level::Info, None, "", None, format_args!("client {} connected to {}", self.client, self.listen));
        }
    }

    fn write_access_log(&self, cx: &mut Context, upstream: Option<&str>, received: u64, sent: u64) {
        if self.server.access_logs.is_empty() {
            return;
        }
        let line = access_log::line(&access_log::Ended {
            pid: cx.pid,
            client: &self.client,
            listen: &self.listen,
            accepted: self.accepted,
            upstream,
            received,
            sent,
        });
        if let Some(logs) = cx.logs.of(self.epoch) {
            for &id in &self.server.access_logs {
                logs.write(id, &line);
            }
        }
    }
}

/// A connection to a peer, made or in the making.
struct Upstream {
    connection: Connection,
    peer: usize,
}

enum Phase {
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
    /// The name of the last peer tried, by its number, for the access log.
    last_peer: Option<usize>,
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
        Session {
            arrival,
            client,
            upstream: None,
            last_peer: None,
            tried: Tried::default(),
            relay,
            phase: Phase::Connecting,
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
        let server = self.arrival.server.clone();
        match (&server.content, balancer) {
            (Content::Proxy(_), Some(balancer)) => self.connect(cx, balancer),
            (Content::Return(text), _) => {
                let local = self.client.local_address().unwrap_or(Address::Unix(Default::default()));
                let values = Values { connection: self.arrival.number, remote: &self.arrival.client, local: &local };
                self.phase = Phase::Sending { text: values.fill(text), sent: 0 };
                cx.reactor.set_timer(self.timer, cx.reactor.now() + server.timeouts.client);
                Verdict::GoesOn
            }
            _ => {
                self.log(Level::Error, None, "", format_args!("no handler for server"));
                Verdict::Over
            }
        }
    }

    /// Begins to connect to the next peer; over when none is left.
    fn connect(&mut self, cx: &mut Context, balancer: &mut Balancer) -> Verdict {
        const ACTION: &str = "connecting to upstream";
        let now = cx.reactor.now();
        while let Some(peer) = balancer.pick(&mut self.tried, &self.arrival.client, now) {
            self.last_peer = Some(peer);
            let config = balancer.peer(peer);
            if !cx.connections.take() {
                let limit = cx.connections.limit;
                let message = format_args!("{limit} worker_connections are not enough");
                self.arrival.log(Level::Alert, None, ACTION, Some(&config.name), message);
                balancer.release(peer);
                return Verdict::Over;
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
                        return Verdict::Over;
                    }
                    self.arrival.log(connect_level(&error), Some(&error), ACTION, name, format_args!("{call} failed"));
                    self.peer_failed(cx, balancer, peer);
                }
            }
        }
        // Each that was tried has its own line.
        if self.tried.is_empty() || self.tried.len() < balancer.group().peers.iter().filter(|peer| !peer.down).count() {
            let group = balancer.group().name.as_str();
            self.arrival.log(Level::Error, None, ACTION, Some(group), format_args!("no live upstreams"));
        }
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
        let server = &self.arrival.server;
        if server.nodelay && balancer.peer(upstream.peer).address.port().is_some() {
            // A peer that has reset the connection meanwhile is found out by the relay.
            let _ = upstream.connection.set_nodelay(true);
        }
        let now = cx.reactor.now();
        self.relay = Relay::new(server.buffer, now);
        self.phase = Phase::Relaying;
        cx.reactor.set_timer(self.timer, self.relay.wake(&server.timeouts, now));
        self.relay(Side::Upstream, cx, Some(balancer))
    }

    fn relay(&mut self, event: Side, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        let Some(upstream) = &self.upstream else { return Verdict::Over };
        let ends = Ends { client: &self.client, upstream: &upstream.connection };
        let arrival = &self.arrival;
        let name = balancer.map(|balancer| balancer.peer(upstream.peer).name.as_str());
        let was_waiting = self.relay.waiting();
        let goes_on = self.relay.ready(event, ends, &mut cx.reactor, &mut cx.buffers, |fault: &Fault| {
            let level = fault_level(fault);
            arrival.log(level, Some(&fault.error), fault.action, name, format_args!("{} failed", fault.call));
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
                    self.log(level, Some(&fault.error), fault.action, format_args!("{} failed", fault.call));
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
        let name = self.peer_name(balancer.as_deref());
        self.arrival.write_access_log(cx, name, received, sent);
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

    /// The last peer tried.
    fn peer_name<'a>(&self, balancer: Option<&'a Balancer>) -> Option<&'a str> {
        Some(balancer?.peer(self.last_peer?).name.as_str())
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

/// nginx's level for a connection that broke: a client's is no more than information.
fn fault_level(fault: &Fault) -> Level {
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
