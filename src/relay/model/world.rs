//! Many sessions at once in one reactor, each with its two outer peers.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use slab::Slab;
use socket2::{Domain, SockAddr, Socket, Type};

use super::super::pipes::Pipes;
use super::super::{Buffers, Side};
use super::peer::{Known, Peer, Random, Seen};
use super::plan::{Last, Link, Plan};
use super::session::{How, Linger, Outcome, SIDES, Session};
use crate::event::{Event, Owner, Reactor};
use crate::net::Connection;

/// Sessions at once. Most of them only wait, for their peers or for the kernel.
const CROWD: usize = 192;

/// Descriptors that so many sessions need: four sockets each, and two pipes.
pub const DESCRIPTORS: u64 = 8 * CROWD as u64 + 100;

/// How long nothing may happen to a session whose timeouts cannot run out, beyond what kernels wait with small windows (tcp(7)).
const MOST_SILENCE: Duration = Duration::from_secs(30);

/// How many turns in a row without any event must find a session's bytes lying about, as an event can come late.
const SUSPICIONS: u8 = 5;

/// How the relays of a run move bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the process.
    Copying,
    /// By splice(2), from the first read on.
    Splicing,
    /// As a worker does it.
    Adapting,
    /// All of this by turns, while bytes are on their way, and the pipes that nobody uses are taken away at times.
    Changing,
}

/// How many reads in a row must fill their buffer for a flow to be spliced.
mod patience {
    pub const NONE: u16 = 0;
    pub const ENDLESS: u16 = u16::MAX;
}

/// What happened in a run, to see that there was something of everything.
#[derive(Debug, Default)]
pub struct Tally {
    pub sessions: u64,
    pub bytes: u64,
    pub over: u64,
    pub expired: u64,
    pub abandoned: u64,
    pub early: u64,
    pub faults: u64,
    pub waited: u64,
    pub lingered: u64,
    pub resets_seen: u64,
    /// The most pipes that were in use at once.
    pub pipes: usize,
}

/// What went wrong with which session.
#[derive(Debug)]
pub struct Failure {
    pub number: u64,
    pub plan: Plan,
    pub what: String,
}

enum Slot {
    Session { case: usize, session: Box<Session> },
    Linger { case: usize, linger: Linger },
}

/// A session as it looks from outside.
struct Case {
    number: u64,
    plan: Plan,
    peers: [Peer; 2],
    random: Random,
    slot: usize,
    /// Neither the session nor a lingering connection is left.
    released: bool,
    outcome: Option<Outcome>,
    /// The lingering connection was closed before its peer had everything.
    cut: bool,
    /// Who ended how while the session went on.
    ended: Vec<(Side, Last)>,
    /// Bytes from each side that had come to the relay when an end asked for their delivery.
    due: [u64; 2],
    events: u32,
    active: Instant,
    suspicions: u8,
}

pub struct World {
    way: Way,
    random: Random,
    reactor: Reactor,
    buffers: Buffers,
    known: Known,
    listener: Socket,
    slots: Slab<Slot>,
    cases: Slab<Case>,
    tally: Tally,
}

fn owner(side: Side, slot: usize) -> Owner {
    Owner { engine: 0, part: side as u8, id: slot as u32 }
}

fn set_sizes(socket: &Socket, send: Option<usize>, receive: Option<usize>) -> io::Result<()> {
    send.map_or(Ok(()), |size| socket.set_send_buffer_size(size))?;
    receive.map_or(Ok(()), |size| socket.set_recv_buffer_size(size))
}

impl World {
    pub fn new(way: Way) -> io::Result<Self> {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        listener.bind(&SockAddr::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0))))?;
        listener.listen(128)?;
        let mut buffers = Buffers::default();
        match way {
            Way::Copying => buffers.pipes.patience = patience::ENDLESS,
            Way::Splicing => buffers.pipes.patience = patience::NONE,
            Way::Adapting | Way::Changing => {}
        }
        Ok(World {
            way,
            random: Random(0),
            reactor: Reactor::new()?,
            buffers,
            known: Known::new(),
            listener,
            slots: Slab::new(),
            cases: Slab::new(),
            tally: Tally::default(),
        })
    }

    /// Serves sessions by these plans until each has come to its end.
    pub fn run(mut self, mut plans: impl Iterator<Item = (u64, Plan)>) -> Result<Tally, Box<Failure>> {
        let mut quiet = false;
        loop {
            while self.cases.len() < CROWD
                && let Some((number, plan)) = plans.next()
            {
                self.admit(number, plan).expect("sockets can be had");
            }
            if self.cases.is_empty() {
                break;
            }
            self.change();
            let mut progress = false;
            for id in self.ids() {
                progress |= self.live(id, quiet).map_err(|what| self.failure(id, what))?;
            }
            let limit = if progress { Duration::ZERO } else { Duration::from_millis(2) };
            self.reactor.wait(Some(limit)).expect("epoll_wait");
            while let Some(event) = self.reactor.next() {
                progress = true;
                let (Event::Ready(owner) | Event::Timer(owner)) = event;
                let Some(Slot::Session { case, .. } | Slot::Linger { case, .. }) = self.slots.get(owner.id as usize)
                else {
                    panic!("{event:?} for a slot that is empty");
                };
                let case = *case;
                self.serve(event, owner, case).map_err(|what| self.failure(case, what))?;
            }
            quiet = !progress;
            for id in self.ids() {
                self.judge_if_done(id, quiet).map_err(|what| self.failure(id, what))?;
            }
        }
        assert!(self.slots.is_empty());
        assert_eq!(self.buffers.pipes.lent(), 0, "a pipe is left with nobody");
        Ok(self.tally)
    }

    fn change(&mut self) {
        let pipes = &mut self.buffers.pipes;
        self.tally.pipes = self.tally.pipes.max(pipes.lent());
        if self.way == Way::Changing && self.random.percent(5) {
            let usual = Pipes::default().patience;
            pipes.patience = [patience::NONE, patience::ENDLESS, usual][self.random.next() as usize % 3];
            // After that there are none for a second.
            if self.random.percent(1) {
                pipes.give_up(self.reactor.now());
            }
        }
    }

    fn ids(&self) -> Vec<usize> {
        self.cases.iter().map(|(id, _)| id).collect()
    }

    fn failure(&self, id: usize, what: String) -> Box<Failure> {
        let case = &self.cases[id];
        let peers = case.peers.each_ref().map(|peer| (peer.written.offset, peer.read.offset, peer.seen));
        let what = format!("{what}\n{:?}\npeers wrote, read, saw: {peers:?}\nended: {:?}", case.outcome, case.ended);
        Box::new(Failure { number: case.number, plan: case.plan.clone(), what })
    }

    /// Two connected sockets: who connected, who accepted.
    fn connect(&self, link: &Link, sizes: [(Option<usize>, Option<usize>); 2]) -> io::Result<[Socket; 2]> {
        let [(connector_send, connector_receive), (acceptor_send, acceptor_receive)] = sizes;
        let (connector, acceptor) = if link.unix {
            let (connector, acceptor) = UnixStream::pair()?;
            let (connector, acceptor) = (Socket::from(connector), Socket::from(acceptor));
            set_sizes(&connector, connector_send, connector_receive)?;
            (connector, acceptor)
        } else {
            let connector = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            set_sizes(&connector, connector_send, connector_receive)?;
            connector.connect(&self.listener.local_addr()?)?;
            let (acceptor, _) = self.listener.accept()?;
            connector.set_tcp_nodelay(link.nodelay)?;
            acceptor.set_tcp_nodelay(link.nodelay)?;
            (connector, acceptor)
        };
        set_sizes(&acceptor, acceptor_send, acceptor_receive)?;
        connector.set_nonblocking(true)?;
        acceptor.set_nonblocking(true)?;
        Ok([connector, acceptor])
    }

    fn admit(&mut self, number: u64, plan: Plan) -> io::Result<()> {
        let inner = |link: &Link| (link.inner_send, link.inner_receive);
        let outer = |link: &Link| (link.outer_send, link.outer_receive);
        let [client_link, upstream_link] = plan.peers.each_ref().map(|peer| &peer.link);
        let [outer_client, inner_client] = self.connect(client_link, [outer(client_link), inner(client_link)])?;
        let [inner_upstream, outer_upstream] =
            self.connect(upstream_link, [inner(upstream_link), outer(upstream_link)])?;
        let now = self.reactor.now();
        let slot = self.slots.vacant_key();
        let client = Connection::accepted(inner_client, &mut self.reactor, owner(Side::Client, slot))?;
        let upstream = Connection::accepted(inner_upstream, &mut self.reactor, owner(Side::Upstream, slot))?;
        let timer = self.reactor.add_timer(owner(Side::Client, slot));
        let (from_client, from_upstream) = (2 * number, 2 * number + 1);
        let preface = self.known.part(from_client, 0, plan.preface).to_vec();
        let mut peers = [(outer_client, Side::Client), (outer_upstream, Side::Upstream)]
            .map(|(socket, side)| Peer::new(socket, &plan, side, now));
        let [client_peer, upstream_peer] = &mut peers;
        (client_peer.written.key, upstream_peer.read.key) = (from_client, from_client);
        (client_peer.read.key, upstream_peer.written.key) = (from_upstream, from_upstream);
        client_peer.written.offset = preface.len() as u64;
        let session = Box::new(Session::new(&plan, preface, [client, upstream], timer, &mut self.reactor));
        let case = self.cases.insert(Case {
            number,
            plan,
            peers,
            random: Random(number),
            slot,
            released: false,
            outcome: None,
            cut: false,
            ended: Vec::new(),
            due: [0; 2],
            events: 0,
            active: now,
            suspicions: 0,
        });
        self.slots.insert(Slot::Session { case, session });
        Ok(())
    }

    /// Both peers of a session do something, or not, as it happens; but they do after a quiet turn.
    fn live(&mut self, id: usize, quiet: bool) -> Result<bool, String> {
        let case = &mut self.cases[id];
        let now = self.reactor.now();
        let mut progress = false;
        for side in SIDES {
            if !quiet && !case.random.percent(case.plan.peers[side as usize].diligence) {
                continue;
            }
            let peer = &mut case.peers[side as usize];
            let step = peer.step(&self.known, now).map_err(|what| format!("{side:?}: {what}"))?;
            progress |= step.progress;
            let Some(last) = step.last else { continue };
            if let Some(Slot::Session { session, .. }) = self.slots.get(case.slot).filter(|_| case.outcome.is_none()) {
                let due = SIDES.map(|from| session.arrived(from).max(case.due[from as usize]));
                case.due[side as usize] = due[side as usize];
                if last == Last::HalfClose {
                    case.due = due;
                }
                case.ended.push((side, last));
            }
            peer.end();
            progress = true;
        }
        if progress {
            case.active = now;
        }
        Ok(progress)
    }

    fn serve(&mut self, event: Event, owner: Owner, id: usize) -> Result<(), String> {
        let World { reactor, buffers, slots, cases, .. } = self;
        let case = &mut cases[id];
        let side = if owner.part == Side::Client as u8 { Side::Client } else { Side::Upstream };
        case.events += 1;
        case.active = reactor.now();
        match (&mut slots[owner.id as usize], event) {
            (Slot::Session { session, .. }, event) => {
                let verdict = match event {
                    Event::Ready(_) => session.ready(side, reactor, buffers)?,
                    Event::Timer(_) => session.timer(reactor, buffers)?,
                };
                let abandoned = case.plan.abandoned.is_some_and(|most| case.events > most.into());
                match verdict {
                    Some((how, keep)) => self.end(id, how, keep),
                    None if abandoned => self.end(id, How::Abandoned, None),
                    None => {}
                }
            }
            (Slot::Linger { linger, .. }, event) => {
                let goes_on = match event {
                    Event::Ready(_) => linger.ready(reactor, buffers),
                    Event::Timer(_) => {
                        let goes_on = linger.timer(reactor);
                        case.cut |= !goes_on;
                        goes_on
                    }
                };
                if !goes_on && let Slot::Linger { linger, .. } = slots.remove(owner.id as usize) {
                    linger.end(reactor);
                    case.release();
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, id: usize, how: How, keep: Option<Side>) {
        let World { reactor, buffers, slots, cases, .. } = self;
        let case = &mut cases[id];
        let Slot::Session { session, .. } = slots.remove(case.slot) else { panic!("a session ends twice") };
        let (outcome, kept) = session.end(how, keep, reactor, buffers);
        case.outcome = Some(outcome);
        case.active = reactor.now();
        let Some(connection) = kept else { return case.release() };
        self.tally.lingered += 1;
        // The slot that was just left is the next to be given out, and the connection's events go on naming it.
        let timer = reactor.add_timer(owner(Side::Client, case.slot));
        let linger = Linger::begin(connection, timer, &case.plan.timeouts(), reactor);
        assert_eq!(slots.insert(Slot::Linger { case: id, linger }), case.slot);
    }

    /// Looks at a session and at its peers after a turn.
    fn judge_if_done(&mut self, id: usize, quiet: bool) -> Result<(), String> {
        let case = &mut self.cases[id];
        if !case.released || case.peers.iter().any(|peer| !peer.gone()) {
            if self.reactor.now() > case.active + MOST_SILENCE {
                return Err("nothing happens any more".to_owned());
            }
            if case.outcome.is_none()
                && let Some(Slot::Session { session, .. }) = self.slots.get(case.slot)
                && quiet
            {
                case.suspicions = if session.stuck(&self.reactor) { case.suspicions + 1 } else { 0 };
                if case.suspicions > SUSPICIONS {
                    return Err("bytes lie in a socket, there is room in the other, and nothing happens".to_owned());
                }
            }
            return Ok(());
        }
        case.judge()?;
        let case = self.cases.remove(id);
        self.tally.count(&case);
        Ok(())
    }
}

impl Case {
    fn release(&mut self) {
        self.released = true;
        self.peers.iter_mut().for_each(Peer::finish);
    }

    /// What must hold when all is over.
    fn judge(&self) -> Result<(), String> {
        let outcome = self.outcome.as_ref().ok_or("no outcome")?;
        let left = |side| self.ended.iter().any(|&(who, last)| who == side && last != Last::HalfClose);
        if outcome.how == How::Over && self.ended.is_empty() {
            return Err("the session is over though both sides go on".to_owned());
        }
        if let Some(side) = outcome.faults.iter().find(|&&side| !left(side)) {
            return Err(format!("the connection to the {side:?} failed, who was there"));
        }
        for from in SIDES {
            self.judge_flow(from, outcome).map_err(|what| format!("{from:?} to {:?}: {what}", from.other()))?;
        }
        Ok(())
    }

    fn judge_flow(&self, from: Side, outcome: &Outcome) -> Result<(), String> {
        let to = from.other();
        let (source, destination) = (&self.peers[from as usize], &self.peers[to as usize]);
        let preface = if from == Side::Client { self.plan.preface as u64 } else { 0 };
        let written = source.written.offset - preface;
        let read = destination.read.offset;
        let (received, sent) = (outcome.received[from as usize], outcome.sent[to as usize]);
        let expect = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(format!(
                    "{what}: written {written}, received {received}, due {}, sent {sent}, read {read}",
                    self.due[from as usize]
                ))
            }
        };
        expect(received <= written, "more was received than was written")?;
        expect(read <= sent, "more was read than was sent")?;
        let leaves = |&(who, last): &(Side, Last)| who == to && last != Last::HalfClose;
        if outcome.how != How::Over || self.ended.iter().any(leaves) {
            return Ok(());
        }
        expect(sent == received + preface, "not all was sent")?;
        expect(received >= self.due[from as usize], "what had come when a side ended was not received")?;
        let alone = self.ended.iter().all(|&end| end == (from, Last::HalfClose));
        expect(!alone || received == written, "not all was received before the end")?;
        let stays = matches!(self.plan.last(to), Last::HalfClose | Last::Silence);
        expect(!stays || self.cut || read == sent, "not all arrived")
    }
}

impl Tally {
    fn count(&mut self, case: &Case) {
        let Some(outcome) = &case.outcome else { return };
        self.sessions += 1;
        self.bytes += case.peers.iter().map(|peer| peer.read.offset).sum::<u64>();
        match outcome.how {
            How::Over => self.over += 1,
            How::Expired(_) => self.expired += 1,
            How::Abandoned => self.abandoned += 1,
            How::Early => self.early += 1,
        }
        self.faults += u64::from(!outcome.faults.is_empty());
        self.waited += u64::from(outcome.waited);
        self.resets_seen += u64::from(case.peers.iter().any(|peer| matches!(peer.seen, Seen::Failure(_))));
    }
}
