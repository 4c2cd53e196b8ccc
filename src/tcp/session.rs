//! One session: a client, and what is done for it.
//!
//! ```text
//! accepted ─▶ (Handshaking) ─▶ Connecting ─▶ Relaying ─▶ over                           proxy_pass
//!                                  │  ▲ next peer
//!                                  └──┘
//! accepted ─▶ (Handshaking) ─▶ Head ─▶ Connecting ─▶ (Securing) ─▶ Relaying ─▶ over     websocket_pass
//!                                         ▲                │
//!                                         └── next peer ───┘
//! accepted ─▶ (Handshaking) ─▶ Sending ─▶ over                                          return
//! ```
//!
//! A client of a `listen ... proxy_protocol` begins with the phase `Header`. The order of what decides about a client is: header,
//! TLS handshake, rules, content; a websocket's request may then name another server, whose rules are asked as well. (Without header and TLS the rules are looked at before there is a session.)
//!
//! A connection that may still hold bytes for its peer outlives its session: see [`super::linger`].

mod connecting;
mod handshake;
mod head;
mod header;

use std::fmt;
use std::io;
use std::mem;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Content;
use super::arrival::{Arrival, status};
use super::head::Scan;
use super::variables::{Agreed, Attempt, Attempts, Values};
use super::websocket::Destination;
use crate::context::{Context, Epoch};
use crate::event::{Owner, TimerId};
use crate::fault;
use crate::log::Level;
use crate::net::{Connection, TlsError, access};
use crate::relay::{Due, Ends, Expired, Fault, Relay, Side};
use crate::upstream::{Balancer, Tried};

/// Whether a session goes on after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoesOn,
    /// It is known now where it goes: [`Session::serve`] comes next, with the balancer of its group.
    Chosen,
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
    /// A websocket's request is being read.
    Head(Box<Scan>),
    /// A peer is being connected to.
    Connecting,
    /// TLS is being agreed on with the peer.
    Securing,
    /// Bytes are passed between client and upstream.
    Relaying,
    /// `return`: the text is being sent.
    Sending { text: Vec<u8>, sent: usize },
}

pub(super) struct Session {
    pub arrival: Arrival,
    client: Connection,
    upstream: Option<Upstream>,
    /// Which of the server's `websocket_pass` it goes by, once that is known.
    destination: Option<u32>,
    /// The number of the last peer tried, and the names of those before it, for the access log.
    last_peer: Option<usize>,
    failed_peers: Vec<Rc<str>>,
    /// No peer was left to choose.
    none_chosen: bool,
    /// When connecting to the last peer began, and ended well; in milliseconds of the session.
    connect_began: u32,
    connected: Option<u32>,
    /// What went wrong, as `$status`.
    fault: Option<u16>,
    /// The access log has its line.
    told: bool,
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
        let phase = if arrival.route.proxy_protocol { Phase::Header } else { Phase::Connecting };
        Session {
            arrival,
            client,
            upstream: None,
            destination: None,
            last_peer: None,
            failed_peers: Vec::new(),
            none_chosen: false,
            connect_began: 0,
            connected: None,
            fault: None,
            told: false,
            tried: Tried::default(),
            relay,
            phase,
            timer,
            upstream_owner,
        }
    }

    /// Where a websocket goes, once that is known.
    fn destination(&self) -> Option<&Destination> {
        match &self.arrival.server.content {
            Content::Websocket(destinations) => destinations.get(self.destination?),
            _ => None,
        }
    }

    /// The group this session chooses its peers from.
    pub(super) fn group(&self) -> Option<usize> {
        match &self.arrival.server.content {
            Content::Proxy(group) => Some(*group),
            Content::Websocket(_) => Some(self.destination()?.group),
            _ => None,
        }
    }

    /// Begins to serve.
    pub(super) fn start(&mut self, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        match self.phase {
            Phase::Header => self.await_header(cx),
            _ if self.arrival.route.tls => self.begin_handshake(cx, balancer),
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
    pub(super) fn serve(&mut self, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        let server = self.arrival.server.clone();
        match (&server.content, balancer) {
            (Content::Proxy(_) | Content::Websocket(_), Some(balancer)) => self.connect(cx, balancer),
            (Content::Websocket(_), None) if self.destination.is_none() => self.await_head(cx),
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

    /// Over, for this reason.
    fn fail(&mut self, status: u16) -> Verdict {
        self.fault = Some(status);
        Verdict::Over
    }

    /// A connection has something to read or takes something.
    pub(super) fn ready(&mut self, side: Side, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        match (&mut self.phase, balancer) {
            (Phase::Header, balancer) => self.read_header(cx, balancer),
            (Phase::Handshaking, balancer) => self.handshake(cx, balancer),
            (Phase::Head(_), _) => self.read_head(cx),
            (Phase::Connecting | Phase::Securing, Some(balancer)) => self.reach(side, cx, balancer),
            (Phase::Relaying, balancer) => self.relay(side, cx, balancer),
            (Phase::Sending { .. }, _) => self.send_text(cx),
            (Phase::Connecting | Phase::Securing, None) => Verdict::Over,
        }
    }

    fn relay(&mut self, event: Side, cx: &mut Context, balancer: Option<&mut Balancer>) -> Verdict {
        let Some(upstream) = &self.upstream else { return Verdict::Over };
        let ends = Ends { client: &self.client, upstream: &upstream.connection };
        let arrival = &self.arrival;
        let name = balancer.map(|balancer| &*balancer.peer(upstream.peer).name);
        let was_waiting = self.relay.waiting();
        let goes_on = self.relay.ready(event, ends, &mut cx.reactor, &mut cx.buffers, |fault: &Fault| {
            let level = fault_level(fault);
            arrival.log(level, Some(&fault.error), fault.action, name, format_args!("{} failed", call_name(fault)));
        });
        fault::point(format_args!("relay {}", self.relay.received(Side::Client)));
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
            (Phase::Connecting | Phase::Securing, Some(balancer)) => {
                self.try_next(cx, balancer, &io::ErrorKind::TimedOut.into())
            }
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
            (Phase::Head(_), _) => self.head_timed_out(),
            (Phase::Sending { .. }, _) => {
                let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
                self.log(Level::Info, Some(&error), "sending to client", format_args!("client timed out"));
                Verdict::Over
            }
            (Phase::Connecting | Phase::Securing, None) => Verdict::Over,
        }
    }

    /// The number of the peer that it is connected, or being connected to.
    pub(super) fn peer(&self) -> Option<usize> {
        self.upstream.as_ref().map(|upstream| upstream.peer)
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

    /// The program failed while serving it.
    pub(super) fn abandoned(&mut self) {
        self.fault = Some(status::INTERNAL_ERROR);
        self.log(Level::Alert, None, "", format_args!("session is closed for a fault of the program"));
    }

    /// How long the peer on a side may take no byte while some wait for it.
    pub(super) fn patience(&self, side: Option<Side>) -> Duration {
        let timeouts = &self.arrival.server.timeouts;
        match side {
            Some(Side::Upstream) => timeouts.upstream_send,
            _ => timeouts.client,
        }
    }

    /// Its line goes to the access log. It is tried once only, so that a session has an end when the program fails in this.
    pub(super) fn tell(&mut self, cx: &mut Context, balancer: Option<&Balancer>) {
        if mem::replace(&mut self.told, true) {
            return;
        }
        let returned = match &self.phase {
            Phase::Sending { sent, .. } => *sent as u64,
            _ => 0,
        };
        let (received, sent) = (self.relay.received(Side::Client), self.relay.sent(Side::Client) + returned);
        fault::point(format_args!("end {received}"));
        let local = || self.client.local_address();
        let values = self.arrival.values(cx, &local);
        let status = self.fault.unwrap_or(status::OK);
        let attempts = self.attempts(balancer);
        self.arrival.write_access_log(cx, &Values { attempts, received, sent, status, tls: self.agreed(), ..values });
        self.arrival.debug(format_args!("session ended, bytes from/to client: {received}/{sent}"));
    }

    /// Ends the session: its peer has one session less, its connections are closed but the one to `keep`.
    pub(super) fn end(
        mut self,
        cx: &mut Context,
        mut balancer: Option<&mut Balancer>,
        keep: Option<Side>,
    ) -> (Epoch, Option<Connection>) {
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
        Some(&balancer?.peer(self.last_peer?).name)
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
