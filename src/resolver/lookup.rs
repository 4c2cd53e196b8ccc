//! One lookup: its questions, the server being asked, and when to turn to the next.
//!
//! A server that does not answer within a second is left for the next one; after a round of all servers the pause is twice as long.
//! (nginx waits 5 s each time; who waits for a session to begin is better served by less.) A server that refuses, fails or sends
//! nonsense is left at once. When all of a round have done so the lookup ends with what they said, unless it was the
//! network that failed; then there is another round after the pause.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::message::{self, Data, Kind, Name, Records, Reply};
use super::{Failure, Found, Settings, VALID_LEAST, VALID_MOST, Wanted};
use crate::event::{Owner, Reactor, SourceId, TimerId};
use crate::log::{Level, Record, emit};
use crate::net::{Address, Connection};

/// How long a server has before the next is asked, in the first round.
const PAUSE: Duration = Duration::from_secs(1);
/// Datagrams taken before others have their turn.
const TURN: usize = 64;
/// The longest datagram read. We announce no more than the classic 512 bytes, but some servers send more.
const DATAGRAM: usize = 4096;
/// The owner's `part` of the UDP socket; TCP connections have the numbers of their questions.
const UDP: u8 = u8::MAX;

/// The outcome of a lookup, once there is one.
type Outcome = Option<Result<Found, Failure>>;

pub(super) struct Lookup {
    settings: Rc<Settings>,
    name: Name,
    wanted: Wanted,
    pub(super) askers: Vec<Owner>,
    owner: Owner,
    timer: TimerId,
    /// The end of `resolver_timeout`.
    deadline: Instant,
    /// The place of the first server among the settings', and how many have been turned to since.
    first: usize,
    attempts: usize,
    /// Servers in a row that were left before their time.
    refusals: usize,
    /// What the last server that had something to say has said.
    failure: Option<Failure>,
    questions: Vec<Question>,
    socket: Option<Datagrams>,
}

/// A, AAAA or SRV.
struct Question {
    kind: Kind,
    /// The name of the lookup, or the alias that answers have led to so far.
    name: Name,
    /// How many aliases that were, and their shortest time to live.
    aliases: usize,
    ttl: u32,
    /// Of the query that is under way.
    id: u16,
    state: State,
}

enum State {
    /// A query has been sent, or is about to be.
    Waiting,
    /// The answer was truncated and is asked for over TCP.
    Streaming(Stream),
    /// The server at hand will not do.
    Refused,
    Answered(Records),
}

impl Question {
    fn new(kind: Kind, name: &Name) -> Self {
        Question { kind, name: name.clone(), aliases: 0, ttl: u32::MAX, id: 0, state: State::Waiting }
    }

    /// Asks by a datagram, with a new id.
    fn send(&mut self, socket: &UdpSocket) -> Result<(), (&'static str, io::Error)> {
        self.id = random().map_err(|error| ("getrandom()", error))?;
        let query = message::query(self.id, &self.name, self.kind);
        socket.send(&query).map(drop).map_err(|error| ("send()", error))
    }

    fn is_open(&self) -> bool {
        !matches!(self.state, State::Answered(_))
    }
}

/// What a log line of a lookup tells beside its message, as nginx does.
struct While(SocketAddr);

impl fmt::Display for While {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " while resolving, resolver: {}", self.0)
    }
}

impl Lookup {
    pub(super) fn new(
        settings: Rc<Settings>,
        (name, wanted): (Name, Wanted),
        asker: Owner,
        owner: Owner,
        first: usize,
        reactor: &mut Reactor,
    ) -> Self {
        let addresses = wanted == Wanted::Addresses;
        let kinds =
            [(Kind::A, addresses && settings.ipv4), (Kind::Aaaa, addresses && settings.ipv6), (Kind::Srv, !addresses)];
        let asked = kinds.into_iter().filter(|(_, asked)| *asked);
        Lookup {
            questions: asked.map(|(kind, _)| Question::new(kind, &name)).collect(),
            name,
            wanted,
            askers: vec![asker],
            owner,
            timer: reactor.add_timer(owner),
            deadline: reactor.now() + settings.timeout,
            first,
            attempts: 0,
            refusals: 0,
            failure: None,
            socket: None,
            settings,
        }
    }

    /// Whether it is to find out the same.
    pub(super) fn is_for(&self, settings: &Settings, name: &Name, wanted: Wanted) -> bool {
        self.name == *name && self.wanted == wanted && *self.settings == *settings
    }

    /// What it is to find out.
    pub(super) fn question(&self) -> (&Rc<Settings>, &Name, Wanted) {
        (&self.settings, &self.name, self.wanted)
    }

    /// Turns to the first server.
    pub(super) fn start(&mut self, reactor: &mut Reactor) -> Outcome {
        self.attempt(reactor);
        self.settle(reactor)
    }

    /// One of the sockets is ready.
    pub(super) fn ready(&mut self, part: u8, reactor: &mut Reactor) -> Outcome {
        if part == UDP {
            self.receive(reactor);
        } else {
            self.stream_ready(part.into(), reactor);
        }
        self.settle(reactor)
    }

    /// The server at hand has had its time, or all have.
    pub(super) fn timer(&mut self, reactor: &mut Reactor) -> Outcome {
        if reactor.now() >= self.deadline {
            return Some(self.conclude());
        }
        self.refusals = 0;
        self.start(reactor)
    }

    /// Closes what is open; returns those who wait for the answer.
    pub(super) fn end(mut self, reactor: &mut Reactor) -> Vec<Owner> {
        self.close(reactor);
        reactor.remove_timer(self.timer);
        self.askers
    }

    fn server(&self) -> SocketAddr {
        let servers = &self.settings.servers;
        // The first attempt is number 1.
        servers[(self.first + self.attempts - 1) % servers.len()]
    }

    fn log(&self, level: Level, error: Option<&io::Error>, message: fmt::Arguments<'_>) {
        let context = While(self.server());
        emit(&Record { error, context: Some(&context), ..Record::new(level) }, message);
    }

    /// Sends all open questions to the next server.
    fn attempt(&mut self, reactor: &mut Reactor) {
        self.close(reactor);
        let round = self.attempts / self.settings.servers.len();
        // The sixth round would be longer than any sensible `resolver_timeout`, which bounds it anyway.
        let pause = PAUSE * (1 << round.min(6));
        self.attempts += 1;
        reactor.set_timer(self.timer, self.deadline.min(reactor.now() + pause));
        if let Err((call, error)) = self.send(reactor) {
            self.log(Level::Error, Some(&error), format_args!("{call} failed"));
            self.refuse_waiting();
        }
    }

    fn send(&mut self, reactor: &mut Reactor) -> Result<(), (&'static str, io::Error)> {
        // In this state already if opening the socket fails.
        for question in self.questions.iter_mut().filter(|question| question.is_open()) {
            question.state = State::Waiting;
        }
        let opened = Datagrams::open(self.server(), reactor, Owner { part: UDP, ..self.owner })?;
        let Datagrams { socket, .. } = self.socket.insert(opened);
        for question in self.questions.iter_mut().filter(|question| question.is_open()) {
            question.send(socket)?;
        }
        Ok(())
    }

    /// Leaves the server at hand.
    fn close(&mut self, reactor: &mut Reactor) {
        if let Some(socket) = self.socket.take() {
            reactor.remove(socket.source);
        }
        for number in 0..self.questions.len() {
            if matches!(self.questions[number].state, State::Streaming(_)) {
                self.leave_stream(number, State::Refused, reactor);
            }
        }
    }

    /// Goes on, or ends the lookup, when the server at hand has nothing more to say.
    fn settle(&mut self, reactor: &mut Reactor) -> Outcome {
        loop {
            let is = |state: fn(&State) -> bool| self.questions.iter().any(|question| state(&question.state));
            if is(|state| matches!(state, State::Waiting | State::Streaming(_))) {
                return None;
            }
            if !is(|state| matches!(state, State::Refused)) {
                return Some(self.conclude());
            }
            self.refusals += 1;
            if self.refusals >= self.settings.servers.len() {
                // Without a word from any server it was the network, which may come back.
                return self.failure.is_some().then(|| self.conclude());
            }
            self.attempt(reactor);
        }
    }

    /// What is known now.
    fn conclude(&self) -> Result<Found, Failure> {
        let unasked = |kind| self.questions.iter().all(|question| question.kind != kind);
        let mut found = Found {
            v4: unasked(Kind::A).then(Vec::new),
            v6: unasked(Kind::Aaaa).then(Vec::new),
            services: Vec::new(),
            valid: VALID_MOST,
        };
        for question in &self.questions {
            let State::Answered(records) = &question.state else { continue };
            match question.kind {
                Kind::A => found.v4 = Some(Vec::new()),
                Kind::Aaaa => found.v6 = Some(Vec::new()),
                Kind::Srv => {}
            }
            for data in &records.list {
                match data {
                    Data::V4(ip) => found.v4.get_or_insert_default().push(*ip),
                    Data::V6(ip) => found.v6.get_or_insert_default().push(*ip),
                    Data::Service(service) => found.services.push(service.clone()),
                }
            }
            if !records.list.is_empty() {
                found.valid = found.valid.min(Duration::from_secs(records.ttl.into()));
            }
        }
        if found.addresses().next().is_some() || !found.services.is_empty() {
            found.valid = self.settings.valid.unwrap_or(found.valid).max(VALID_LEAST);
            Ok(found)
        } else if !self.questions.iter().any(Question::is_open) {
            Err(Failure::NOT_FOUND)
        } else {
            Err(self.failure.unwrap_or(Failure::TimedOut))
        }
    }

    /// The network has failed those questions that wait for a datagram.
    fn refuse_waiting(&mut self) {
        for question in self.questions.iter_mut().filter(|question| matches!(question.state, State::Waiting)) {
            question.state = State::Refused;
        }
    }

    fn receive(&mut self, reactor: &mut Reactor) {
        let mut buffer = [0; DATAGRAM];
        for _ in 0..TURN {
            let Some(Datagrams { socket, source }) = &self.socket else { return };
            match socket.recv(&mut buffer) {
                Ok(count) => {
                    if let Some((number, reply)) = self.reply(&buffer[..count]) {
                        self.take(number, reply, reactor);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return reactor.clear_readable(*source, true);
                }
                Err(error) => {
                    self.log(Level::Error, Some(&error), format_args!("recv() failed"));
                    return self.refuse_waiting();
                }
            }
        }
        if let Some(Datagrams { source, .. }) = &self.socket {
            reactor.again(*source);
        }
    }

    /// The reply in a datagram, and the number of the question it answers. Anything else is passed over: whoever guesses our port
    /// can send it.
    fn reply<'a>(&self, bytes: &'a [u8]) -> Option<(usize, Reply<'a>)> {
        let reply = Reply::parse(bytes);
        let number = reply.as_ref().and_then(|reply| {
            self.questions.iter().position(|question| {
                matches!(question.state, State::Waiting) && reply.answers(question.id, &question.name, question.kind)
            })
        });
        if number.is_none() {
            log::debug!("unexpected reply of {} bytes from {} for {}", bytes.len(), self.server(), self.name);
        }
        Some((number?, reply?))
    }

    /// Takes the reply to question `number`.
    fn take(&mut self, number: usize, reply: Reply<'_>, reactor: &mut Reactor) {
        let code = Failure::Code(reply.code);
        let streamed = matches!(self.questions[number].state, State::Streaming(_));
        let state = if reply.truncated && !streamed {
            self.begin_stream(number, reactor)
        } else if code == Failure::NOT_FOUND {
            State::Answered(Records { list: Vec::new(), ttl: 0, alias: None })
        } else if reply.code != 0 {
            self.log(Level::Info, None, format_args!("{} was answered with ({code})", self.name));
            self.failure = Some(code);
            State::Refused
        } else if let Some(records) = reply.records() {
            self.follow(number, records)
        } else {
            self.malformed()
        };
        self.leave_stream(number, state, reactor);
    }

    /// Takes the records, or asks the server at hand for the alias that the reply has led to.
    fn follow(&mut self, number: usize, records: Records) -> State {
        let question = &mut self.questions[number];
        question.ttl = question.ttl.min(records.ttl);
        let Some(alias) = records.alias else {
            return State::Answered(Records { ttl: question.ttl, ..records });
        };
        question.aliases += 1;
        if question.aliases > message::ALIASES_MAX {
            return self.malformed();
        }
        question.name = alias;
        let Some(Datagrams { socket, .. }) = &self.socket else { return State::Refused };
        match question.send(socket) {
            Ok(()) => State::Waiting,
            Err((call, error)) => {
                self.log(Level::Error, Some(&error), format_args!("{call} failed"));
                State::Refused
            }
        }
    }

    fn malformed(&mut self) -> State {
        self.log(Level::Error, None, format_args!("unexpected DNS response for {}", self.name));
        self.failure = Some(Failure::SERVER_FAILURE);
        State::Refused
    }

    /// Asks question `number` again over TCP.
    fn begin_stream(&mut self, number: usize, reactor: &mut Reactor) -> State {
        let question = &self.questions[number];
        let owner = Owner { part: number as u8, ..self.owner };
        match Connection::connect(&Address::Inet(self.server()), reactor, owner) {
            Ok(connection) => {
                let query = message::query(question.id, &question.name, question.kind);
                State::Streaming(Stream::new(connection, &query))
            }
            Err((call, error)) => {
                self.log(Level::Error, Some(&error), format_args!("{call} failed"));
                State::Refused
            }
        }
    }

    fn stream_ready(&mut self, number: usize, reactor: &mut Reactor) {
        let Some(Question { state: State::Streaming(stream), id, kind, name, .. }) = self.questions.get_mut(number)
        else {
            return;
        };
        match stream.ready(reactor) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                let reply = Reply::parse(&bytes).filter(|reply| reply.answers(*id, name, *kind));
                match reply {
                    Some(reply) => self.take(number, reply, reactor),
                    None => {
                        let state = self.malformed();
                        self.leave_stream(number, state, reactor);
                    }
                }
            }
            Err((call, error)) => {
                self.log(Level::Error, Some(&error), format_args!("{call} failed"));
                self.leave_stream(number, State::Refused, reactor);
            }
        }
    }

    /// Puts question `number` into `state` and closes its connection, if it had one.
    fn leave_stream(&mut self, number: usize, state: State, reactor: &mut Reactor) {
        if let State::Streaming(stream) = std::mem::replace(&mut self.questions[number].state, state) {
            stream.connection.close(reactor);
        }
    }
}

/// A query's id that nobody can guess.
fn random() -> io::Result<u16> {
    Ok(getrandom::u32()? as u16)
}

/// A UDP socket that hears one server only.
struct Datagrams {
    socket: UdpSocket,
    source: SourceId,
}

impl Datagrams {
    /// Connects, by which the kernel picks a free port at random.
    fn open(server: SocketAddr, reactor: &mut Reactor, owner: Owner) -> Result<Self, (&'static str, io::Error)> {
        let at = |call| move |error| (call, error);
        let socket =
            Socket::new(Domain::for_address(server), Type::DGRAM.nonblocking(), None).map_err(at("socket()"))?;
        socket.connect(&server.into()).map_err(at("connect()"))?;
        let source = reactor.add(socket.as_raw_fd(), owner).map_err(at("epoll_ctl()"))?;
        Ok(Datagrams { socket: socket.into(), source })
    }
}

/// One query over TCP: each message stands behind its length in two bytes (RFC 1035 section 4.2.2).
struct Stream {
    connection: Connection,
    query: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
}

impl Stream {
    fn new(connection: Connection, query: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(2 + query.len());
        bytes.extend((query.len() as u16).to_be_bytes());
        bytes.extend(query);
        Stream { connection, query: bytes, sent: 0, received: Vec::new() }
    }

    /// Sends and receives what goes now; the reply when it is whole.
    fn ready(&mut self, reactor: &mut Reactor) -> Result<Option<Vec<u8>>, (&'static str, io::Error)> {
        let at = |call| move |error| (call, error);
        let source = self.connection.source();
        while self.sent < self.query.len() && reactor.writable(source) {
            self.sent += self.connection.send(reactor, &self.query[self.sent..]).map_err(at("send()"))?;
        }
        let mut buffer = [0; DATAGRAM];
        while reactor.readable(source) {
            match self.connection.recv(reactor, &mut buffer).map_err(at("recv()"))? {
                None => break,
                Some(0) => return Err(("recv()", io::ErrorKind::UnexpectedEof.into())),
                Some(count) => self.received.extend(&buffer[..count]),
            }
            if let Some((length, reply)) = self.received.split_first_chunk() {
                let length = usize::from(u16::from_be_bytes(*length));
                if let Some(whole) = reply.get(..length) {
                    return Ok(Some(whole.to_vec()));
                }
            }
        }
        Ok(None)
    }
}
