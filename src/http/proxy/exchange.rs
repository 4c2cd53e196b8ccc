//! A request on its way through a server: the states of [`super`], in their order.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use super::body::Incoming;
use super::goal::{Peers, Server};
use super::head::Framing;
use super::next::Fault;
use super::pass::Target;
use super::request::{self, Length};
use super::spool::Spool;
use super::target_directives::bind_address;
use super::{Exchange, Settings, State, Try, Upstream};
use crate::context::Context;
use crate::event::Owner;
use crate::fault;
use crate::http::connection::{Phase, Session, Step};
use crate::http::engine::UPSTREAM;
use crate::http::head::Version;
use crate::http::output::{Output, Piece, Progress};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::variables::Values;
use crate::log::Level;
use crate::net::{Address, Connection};
use crate::tls::SECURING;
use crate::upstream::{Kept, Tried, Way, connect_level};

impl Session {
    /// A location has said that a server is to answer.
    pub(in crate::http) fn begin_exchange(&mut self, cx: &mut Context, settings: &Rc<Settings>) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        let now = cx.reactor.now();
        let target = match settings.goal.target(&Values { client: &self.client, request, now }) {
            Ok(target) => target,
            Err(message) => {
                self.client.log(Level::Error, None, "", Some(request), format_args!("{message}"));
                let tokens = request.location.server_tokens;
                return self.answer_late(cx, Response::page(500, tokens));
            }
        };
        // One before it has come to an error page that is passed on too.
        let before = request.exchange.take();
        let streams = before.is_none() && may_stream(settings, request);
        let (body, tries) = before.map_or_else(Default::default, |before| (before.body, before.tries));
        let uri = target.uri(request);
        let exchange = Exchange::new(settings.clone(), target, uri, now);
        let exchange = Exchange { body, streams, earlier: tries.len(), tries, ..exchange };
        request.exchange = Some(Box::new(exchange));
        self.phase = Phase::Proxy;
        self.collect_first(cx)
    }

    /// Goes on with the state it is in.
    pub(in crate::http) fn exchange(&mut self, cx: &mut Context) -> Step {
        let Some(exchange) = self.request.as_ref().and_then(|request| request.exchange.as_ref()) else {
            return Step::Over;
        };
        let state = exchange.state;
        match state {
            State::Collecting => return self.collect(cx),
            // With its client or without: half of it would leave variants of what is gone, which come back with it.
            State::Waiting if exchange.purging.is_some() => return self.purge_on(cx),
            State::Waiting | State::Resolving | State::Connecting | State::Securing | State::Asking => {
                if let Some(step) = self.client_aborted(cx) {
                    return step;
                }
            }
            State::Answering | State::Upgrading | State::Tunnel => {}
        }
        let step = match state {
            State::Collecting | State::Waiting | State::Resolving => Step::Wait,
            State::Connecting => self.connecting(cx),
            State::Securing => self.securing(cx),
            State::Asking => self.asking(cx),
            State::Answering => self.answering(cx),
            State::Upgrading => self.upgrading(cx),
            State::Tunnel => self.tunnel(cx),
        };
        if matches!(step, Step::Wait) {
            self.arm(cx);
        }
        step
    }

    /// The client's body is there as far as the server needs it: it is turned to unless the cache has the answer.
    pub(in crate::http) fn begin_trying(&mut self, cx: &mut Context) -> Step {
        if let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) {
            exchange.client_due = None;
        }
        match self.look_up(cx) {
            Some(step) => step,
            None => self.find_peers(cx),
        }
    }

    /// Turns to the first of the peers that are known now.
    pub(super) fn try_peers(&mut self, cx: &mut Context) -> Step {
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        let next = &exchange.settings.next;
        let tries = match &exchange.peers {
            Peers::Group(group) => {
                cx.stations.balancer(self.client.epoch, *group).map_or(0, |balancer| balancer.tries())
            }
            Peers::Found(addresses, _) => addresses.len(),
        };
        exchange.tries_left = if next.tries > 0 { tries.min(next.tries) } else { tries };
        exchange.began = cx.reactor.now();
        self.connect(cx)
    }

    /// Turns to the next peer.
    pub(super) fn connect(&mut self, cx: &mut Context) -> Step {
        let now = cx.reactor.now();
        let Some((name, picked)) = self.pick(cx) else { return Step::Over };
        fault::point(format_args!("connect {name}"));
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        exchange.state = State::Connecting;
        let is_first = exchange.tries.len() == exchange.earlier;
        // One is what most need.
        exchange.tries.reserve_exact(1);
        exchange.tries.push(Try { is_first, ..Try::new(name, now) });
        let Some((peer, address)) = picked else {
            self.log_upstream(Level::Error, None, format_args!("no live upstreams"));
            return self.fail_or_stale(cx, Fault::ERROR);
        };
        exchange.tries_left = exchange.tries_left.saturating_sub(1);
        let (group, connect_timeout) = (exchange.group(), exchange.settings.connect_timeout);
        let owner = Owner { part: UPSTREAM, ..self.owner };
        let way = self.way(now);
        let take = |group| cx.stations.take(self.client.epoch, group, &address, &way, owner, &mut cx.reactor);
        let kept = group.and_then(take);
        let reused = kept.is_some();
        let kept = match kept {
            Some(kept) => kept,
            None => match self.open(cx, &way, &address, owner) {
                Ok(connection) => Kept { connection, way, requests: 0, since: now },
                Err(Some(error)) => {
                    self.log_upstream(
                        connect_level(&error),
                        Some(&error),
                        format_args!("connect() to {address} failed"),
                    );
                    self.forget_peer(cx, peer, Some(Fault::ERROR));
                    return self.after_fault(cx, Fault::ERROR, false);
                }
                Err(None) => {
                    self.forget_peer(cx, peer, None);
                    return self.fail(cx, 500);
                }
            },
        };
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        exchange.upstream = Some(Upstream {
            kept,
            peer,
            reused,
            asked_head: false,
            output: Output::default(),
            input: None,
            interim: 0,
        });
        if reused {
            return self.ask(cx);
        }
        exchange.upstream_due = Some(now + connect_timeout);
        self.arm(cx);
        Step::Wait
    }

    /// How the present peer is to be reached.
    fn way(&self, now: Instant) -> Way {
        let Some(request) = &self.request else { return Way::default() };
        let Some(exchange) = &request.exchange else { return Way::default() };
        let (target, settings) = (&exchange.target, &exchange.settings);
        let values = Values { client: &self.client, request, now };
        let secured = settings.secured.as_ref().filter(|_| target.secure);
        Way {
            local: settings.bind.as_ref().and_then(|bind| self.local(&values.fill(bind))),
            tls: secured.map(|secured| Box::new(secured.asked(&values, target))),
        }
    }

    /// The address that `proxy_bind` has come to; none where it is empty or means nothing.
    fn local(&self, text: &[u8]) -> Option<Address> {
        let text = String::from_utf8_lossy(text);
        let local = bind_address(&text);
        if local.is_none() && !text.is_empty() {
            self.log_upstream(Level::Error, None, format_args!("invalid local address \"{text}\""));
        }
        local
    }

    /// Begins to connect; `None` where the fault is ours and has been told.
    fn open(
        &self,
        cx: &mut Context,
        way: &Way,
        address: &Address,
        owner: Owner,
    ) -> Result<Connection, Option<io::Error>> {
        if !cx.connections.take() {
            let limit = cx.connections.limit;
            self.log_upstream(Level::Alert, None, format_args!("{limit} worker_connections are not enough"));
            return Err(None);
        }
        cx.connect(way.local.as_ref(), address, owner).map_err(|(call, error)| {
            cx.connections.give_back();
            match (call, &way.local) {
                ("connect()", _) => return Some(error),
                ("bind()", Some(local)) => {
                    let written = if local.port() == Some(0) { local.host().to_string() } else { local.to_string() };
                    self.log_upstream(Level::Crit, Some(&error), format_args!("bind({written}) failed"));
                }
                _ => self.log_upstream(Level::Alert, Some(&error), format_args!("{call} failed")),
            }
            None
        })
    }

    fn connecting(&mut self, cx: &mut Context) -> Step {
        let Some(upstream) = self.upstream_mut() else { return Step::Over };
        if !cx.reactor.writable(upstream.kept.connection.source()) {
            return Step::Wait;
        }
        match upstream.kept.connection.probe(&mut cx.reactor) {
            // What a server sends before it closes may be an answer.
            Err(error) if error.raw_os_error().is_some() => {
                self.log_upstream(connect_level(&error), Some(&error), format_args!("connect() failed"));
                self.give_up(cx, Fault::ERROR)
            }
            _ if upstream.kept.way.tls.is_some() => self.begin_securing(cx),
            _ => self.ask(cx),
        }
    }

    /// The connection stands: the request is put together for it.
    pub(super) fn ask(&mut self, cx: &mut Context) -> Step {
        let Some(request) = &self.request else { return Step::Over };
        let Some(exchange) = &request.exchange else { return Step::Over };
        let now = cx.reactor.now();
        let settings = exchange.settings.clone();
        let values = Values { client: &self.client, request, now };
        let body = settings.body.as_ref().map(|text| values.fill(text));
        let streamed = exchange.streams;
        let length = match &body {
            Some(body) => Length::Known(body.len() as u64),
            None if !settings.pass_body || !request.has_body || request.body_lost => Length::None,
            None if streamed && request.chunk.is_some() => Length::Chunked,
            None if streamed => Length::Known(request.length),
            None => Length::Known(exchange.body.length()),
        };
        let method = request::method(&values, exchange);
        let asked_head = *method == *b"HEAD";
        let head = request::head(&values, exchange, &method, length);
        let whole = request.body.is_complete();
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        let Some(upstream) = &mut exchange.upstream else { return Step::Over };
        upstream.asked_head = asked_head;
        upstream.output = Output::default();
        upstream.output.push(Piece::Bytes(head));
        let bodied = match body {
            Some(body) => {
                upstream.output.push(Piece::Bytes(body));
                false
            }
            None if length == Length::None => false,
            None if streamed => {
                frame(&mut upstream.output, &exchange.body.memory, length == Length::Chunked);
                if length == Length::Chunked && whole {
                    upstream.output.push_bytes(LAST_CHUNK);
                }
                true
            }
            None => {
                exchange.body.pieces().into_iter().for_each(|piece| upstream.output.push(piece));
                exchange.body.length() > 0
            }
        };
        // A peer that is gone meanwhile is found out when it is used.
        if bodied && !upstream.reused && upstream.kept.connection.is_plain() {
            let _ = upstream.kept.connection.set_nodelay(true);
        }
        if settings.socket_keepalive && !upstream.reused {
            let _ = upstream.kept.connection.set_keepalive(true);
        }
        upstream.kept.requests += 1;
        if let Some(tried) = exchange.tries.last_mut() {
            tried.connected = Some(now.saturating_duration_since(tried.began));
        }
        exchange.state = State::Asking;
        exchange.upstream_due = Some(now + settings.send_timeout);
        Step::Next
    }

    /// Sends what is left of the request and reads what has come of the answer's head.
    fn asking(&mut self, cx: &mut Context) -> Step {
        match self.send_request(cx) {
            Ok(()) => {}
            Err(Some(step)) => return step,
            Err(None) => return self.give_up(cx, Fault::ERROR),
        }
        self.read_answer_head(cx)
    }

    /// # Errors
    /// The step that follows instead of going on; `None`: the server does not do.
    fn send_request(&mut self, cx: &mut Context) -> Result<(), Option<Step>> {
        loop {
            let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
                return Err(Some(Step::Over));
            };
            let settings = exchange.settings.clone();
            let Some(upstream) = &mut exchange.upstream else { return Err(Some(Step::Over)) };
            let waited = !upstream.output.is_empty();
            let before = upstream.output.sent();
            let connection = &upstream.kept.connection;
            let sent = upstream.output.send(connection, &mut cx.reactor, &mut cx.buffers, true);
            let now = cx.reactor.now();
            let progress = upstream.output.sent() > before;
            match sent {
                Err((call, error)) => {
                    self.log_upstream(Level::Error, Some(&error), format_args!("{call} failed"));
                    return Err(None);
                }
                Ok(Progress::Done) => {
                    if waited {
                        exchange.upstream_due = Some(now + settings.read_timeout);
                    }
                    if !self.stream_body(cx)? {
                        return Ok(());
                    }
                }
                Ok(kind) => {
                    if kind == Progress::TurnOver {
                        cx.reactor.again(connection.source());
                    }
                    if progress {
                        exchange.upstream_due = Some(now + settings.send_timeout);
                    }
                    return Ok(());
                }
            }
        }
    }

    /// The peer that the present request is with, and its group, where it is of one.
    pub(in crate::http) fn upstream(&self) -> Option<(Option<usize>, usize)> {
        let exchange = self.request.as_ref()?.exchange.as_ref()?;
        Some((exchange.group(), exchange.upstream.as_ref()?.peer))
    }

    /// Whether the body goes on to the server as it comes.
    pub(super) fn streams(&self) -> bool {
        self.request.as_ref().and_then(|request| request.exchange.as_ref()).is_some_and(|exchange| exchange.streams)
    }

    pub(super) fn upstream_mut(&mut self) -> Option<&mut Upstream> {
        self.request.as_mut()?.exchange.as_mut()?.upstream.as_mut()
    }

    /// A line about the server, in whatever state it is.
    pub(in crate::http) fn log_upstream(
        &self,
        level: Level,
        error: Option<&io::Error>,
        message: std::fmt::Arguments<'_>,
    ) {
        let exchange = self.request.as_ref().and_then(|request| request.exchange.as_ref());
        let action = match exchange.map(|exchange| exchange.state) {
            Some(State::Collecting) => "reading client request body",
            Some(State::Waiting | State::Resolving) => "",
            Some(State::Connecting) | None => "connecting to upstream",
            Some(State::Securing) => SECURING,
            Some(State::Asking)
                if exchange
                    .is_some_and(|exchange| exchange.upstream.as_ref().is_some_and(|up| !up.output.is_empty())) =>
            {
                "sending request to upstream"
            }
            Some(State::Asking) => "reading response header from upstream",
            Some(State::Answering) => "reading upstream",
            Some(State::Upgrading | State::Tunnel) => "proxying upgraded connection",
        };
        self.client.log(level, error, action, self.request.as_deref(), message);
    }

    /// Sets the timer to what is due first.
    pub(in crate::http) fn arm(&mut self, cx: &mut Context) {
        let Some(exchange) = self.request.as_ref().and_then(|request| request.exchange.as_ref()) else { return };
        let dues = [exchange.upstream_due, exchange.client_due, exchange.resumes];
        if let Some(due) = dues.into_iter().flatten().min() {
            cx.reactor.set_timer(self.timer, due);
        }
    }
}

impl Exchange {
    /// A request for `uri` that nothing has been done about yet.
    pub(in crate::http) fn new(settings: Rc<Settings>, target: Rc<Target>, uri: Option<Vec<u8>>, now: Instant) -> Self {
        let buffered = settings.buffering;
        Exchange {
            settings,
            state: State::Collecting,
            uri,
            peers: match target.server {
                Server::Group(group) => Peers::Group(group),
                Server::Host(_) => Peers::Found(Vec::new(), 0),
            },
            target,
            body: Spool::default(),
            streams: false,
            upstream: None,
            tried: Tried::default(),
            tries_left: 0,
            began: now,
            earlier: 0,
            tries: Vec::new(),
            head: None,
            incoming: Incoming { framing: Framing::Known(crate::http::body::Body::Complete), trailer: Vec::new() },
            part: None,
            chunked: false,
            encoder: None,
            buffered,
            spool: Spool::default(),
            flow: None,
            cache: None,
            purging: None,
            filling: None,
            detached: false,
            relay: None,
            left: false,
            cut: false,
            upstream_due: None,
            pace: None,
            resumes: None,
            client_due: None,
        }
    }

    /// The target as the server of `request`, whose exchange this is, gets it.
    pub(in crate::http) fn uri<'a>(&'a self, request: &'a Request) -> &'a [u8] {
        self.uri.as_deref().unwrap_or_else(|| request.uri())
    }
}

impl Try {
    fn new(peer: Rc<str>, began: Instant) -> Self {
        Try {
            peer,
            is_first: false,
            began,
            status: 0,
            connected: None,
            head: None,
            took: None,
            length: 0,
            sent: 0,
            received: 0,
        }
    }
}

/// Whether what is still to come of the body can go on to the server as it comes.
fn may_stream(settings: &Settings, request: &Request) -> bool {
    let framed = request.chunk.is_none() || settings.version == Version::Http11;
    !request.body.is_complete()
        && !request.body_lost
        && !settings.request_buffering
        && settings.pass_body
        && settings.body.is_none()
        && framed
}

/// What ends a body in chunks.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Adds a piece of a body, as a chunk where that is its framing.
pub(super) fn frame(output: &mut Output, content: &[u8], chunked: bool) {
    if content.is_empty() {
        return;
    }
    if chunked {
        output.push_bytes(format!("{:x}\r\n", content.len()).as_bytes());
    }
    output.push_bytes(content);
    if chunked {
        output.push_bytes(b"\r\n");
    }
}
