//! One worker: owns the reactor and the engines, and holds the one match that routes an event.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::context::{self, Connections, Context, Logs};
use crate::event::signals::{Received, Signals};
use crate::event::{Event, Owner, Reactor, SourceId, TimerId};
use crate::http;
use crate::log::access::AccessLogs;
use crate::log::{self, Level, Record, emit, message};
use crate::net::{Listener, out_of_descriptors};
use crate::relay::Buffers;
use crate::resolver::Resolver;
use crate::tally::{Tally, Teller};
use crate::tcp;
use crate::tls::ocsp;
use crate::upstream::checks::Board;
use crate::upstream::shared::Roster;
use crate::upstream::{Balancer, Stations, checks};

/// What a worker is made from; the process room prepares it.
pub struct Setup {
    /// The configuration.
    pub config: Rc<Config>,
    /// One socket for each of `config.listens`, in that order.
    pub listeners: Vec<Listener>,
    /// The access logs, opened.
    pub access_logs: AccessLogs,
    /// What workers share about peers.
    pub roster: Rc<Roster>,
    /// The worker's number among those of its configuration, from 0.
    pub slot: usize,
    /// The row of the roster's records that is this worker's.
    pub row: usize,
    /// What workers count together.
    pub tally: Rc<Tally>,
}

/// Why [`Worker::run`] came back.
pub enum Wake {
    /// Signals arrived; act on them and call `run` again.
    Signals(Vec<Received>),
    /// No session is left after [`Worker::drain`], or [`Worker::drain`]'s time is up.
    Done,
}

/// The engines' numbers in the owners of events.
mod engine {
    pub const SIGNALS: u8 = 0;
    pub const LISTENER: u8 = 1;
    pub const TCP: u8 = 2;
    /// The end of the time for draining.
    pub const SHUTDOWN: u8 = 3;
    /// The end of a pause in accepting.
    pub const ACCEPT: u8 = 4;
    pub const CHECKS: u8 = 5;
    /// The next look for peers that have gone down.
    pub const FALLEN: u8 = 6;
    pub const RESOLVER: u8 = 7;
    /// The time of a buffered access log.
    pub const LOGS: u8 = 8;
    pub const HTTP: u8 = 9;
    pub const AUTHORITIES: u8 = 10;
}

/// Clients taken for one event, or while draining, before others have their turn: the default length of the kernel's queue.
const ACCEPT_TURN: usize = 511;

/// How often a worker looks whether a peer has gone down whose sessions are then to be closed.
const FALLEN_PERIOD: Duration = Duration::from_millis(200);

/// How long a new worker leaves clients in the kernel's queue whom it would have to turn away, as nobody has probed their servers yet: the
/// default time of a probe.
const FIRST_PROBES: Duration = Duration::from_secs(1);

/// The least that a pause in accepting lasts, so that a worker without descriptors does not spin.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

const fn own(engine: u8) -> Owner {
    Owner { engine, part: 0, id: 0 }
}

/// A listening socket; its place in the worker's list is the `listen` of the configuration.
struct Accepting {
    listener: Listener,
    /// `None` while accepting pauses.
    source: Option<SourceId>,
}

/// A worker's event loop and all it serves.
pub struct Worker {
    cx: Context,
    config: Rc<Config>,
    signals: Signals,
    listeners: Vec<Accepting>,
    tcp: tcp::Engine,
    http: http::Engine,
    checks: checks::Engine,
    /// This worker's place among those of its configuration.
    slot: usize,
    /// Until when the first probes are waited for.
    patience: Instant,
    signalled: bool,
    draining: bool,
    shutdown_timer: TimerId,
    accept_timer: TimerId,
    fallen_timer: TimerId,
}

impl Worker {
    /// Registers listeners and signals; nothing is accepted before [`Worker::run`].
    ///
    /// # Errors
    /// Out of descriptors or kernel memory.
    pub fn new(setup: Setup, signals: Signals) -> io::Result<Self> {
        let mut reactor = Reactor::new()?;
        reactor.add(std::os::fd::AsRawFd::as_raw_fd(&signals), own(engine::SIGNALS))?;
        let mut worker = Worker {
            signals,
            shutdown_timer: reactor.add_timer(own(engine::SHUTDOWN)),
            accept_timer: reactor.add_timer(own(engine::ACCEPT)),
            fallen_timer: reactor.add_timer(own(engine::FALLEN)),
            cx: Context {
                logs: Logs::new(reactor.add_timer(own(engine::LOGS))),
                reactor,
                resolver: Resolver::new(engine::RESOLVER),
                authorities: ocsp::Engine::new(engine::AUTHORITIES),
                buffers: Buffers::default(),
                stations: Stations::new(Owner { part: http::IDLE, ..own(engine::HTTP) }),
                connections: Connections::new(setup.config.events.worker_connections),
                teller: Teller::new(setup.tally.clone(), setup.row),
                debugged: Vec::new(),
                board: Rc::default(),
                pid: std::process::id(),
                spare: context::spare().ok(),
            },
            config: setup.config.clone(),
            listeners: Vec::new(),
            tcp: tcp::Engine::new(engine::TCP),
            http: http::Engine::new(engine::HTTP),
            checks: checks::Engine::new(engine::CHECKS, setup.row),
            slot: 0,
            patience: Instant::now(),
            signalled: false,
            draining: false,
        };
        worker.adopt(setup)?;
        Ok(worker)
    }

    /// HUP without a master: new sessions use the new configuration and listeners, live ones go on with theirs.
    ///
    /// # Errors
    /// Out of descriptors or kernel memory.
    pub fn adopt(&mut self, setup: Setup) -> io::Result<()> {
        self.close_listeners();
        let Setup { config, listeners, access_logs, roster, slot, row, .. } = setup;
        self.cx.connections.limit = config.events.worker_connections;
        self.cx.debugged = config.events.debug_connections.clone();
        self.cx.logs.add(access_logs);
        let first = config.tcp.groups.len();
        self.cx.stations.adopt(&config.http.groups, &roster, first, row);
        for epoch in self.tcp.adopt(&mut self.cx, config.tcp.clone(), roster.clone(), row) {
            self.cx.logs.remove(epoch);
        }
        for owner in self.http.adopt(&mut self.cx, config.http.clone(), roster) {
            self.guarded(Event::Ready(owner), |worker| worker.http.leave(&mut worker.cx, owner));
        }
        for epoch in self.http.retire_unused(&mut self.cx) {
            self.cx.logs.remove(epoch);
        }
        self.config = config;
        self.slot = slot;
        self.check_peers();
        self.watch_for_fallen();
        self.cx.connections.open += listeners.len();
        self.listeners.extend(listeners.into_iter().map(|listener| Accepting { listener, source: None }));
        self.patience = Instant::now() + FIRST_PROBES;
        self.begin_accepting()
    }

    /// Takes clients, as soon as first probes have told where they can go. Another worker may be the one that probes, so it is looked at again.
    fn begin_accepting(&mut self) -> io::Result<()> {
        if self.waits_for_probes() {
            self.cx.reactor.set_timer(self.accept_timer, Instant::now() + SHORTEST_PAUSE);
            return Ok(());
        }
        self.resume_accepting()
    }

    fn waits_for_probes(&self) -> bool {
        Instant::now() < self.patience && self.cx.board.is_undecided()
    }

    /// The rosters of the configurations that live sessions are served by.
    pub fn rosters(&self) -> Vec<&Roster> {
        self.tcp.rosters().chain(self.http.rosters()).collect()
    }

    fn resume_accepting(&mut self) -> io::Result<()> {
        for (id, accepting) in self.listeners.iter_mut().enumerate() {
            if accepting.source.is_none() {
                let owner = Owner { engine: engine::LISTENER, part: 0, id: id as u32 };
                accepting.source = Some(accepting.listener.watch(&mut self.cx.reactor, owner)?);
            }
        }
        Ok(())
    }

    fn pause_accepting(&mut self) {
        for accepting in &mut self.listeners {
            if let Some(source) = accepting.source.take() {
                accepting.listener.unwatch(&mut self.cx.reactor, source);
            }
        }
    }

    fn close_listeners(&mut self) {
        self.pause_accepting();
        self.cx.connections.open -= self.listeners.len();
        self.listeners.clear();
    }

    /// Serves until signals arrive or the worker has drained.
    ///
    /// # Errors
    /// What epoll_wait says; the worker cannot go on.
    pub fn run(&mut self) -> io::Result<Wake> {
        loop {
            if self.draining && self.tcp.sessions() + self.http.sessions() == 0 {
                self.flush_logs();
                return Ok(Wake::Done);
            }
            self.cx.teller.set_others(self.tcp.sessions());
            self.cx.reactor.wait(None)?;
            while let Some(event) = self.cx.reactor.next() {
                self.guarded(event, |worker| worker.route(event));
            }
            if std::mem::take(&mut self.signalled) {
                let signals = std::iter::from_fn(|| self.signals.next()).collect();
                return Ok(Wake::Signals(signals));
            }
        }
    }

    /// Serves an event, or brings what its owner has asked for. A fault of the program costs the session it happened in, not the others.
    fn guarded(&mut self, event: Event, serve: impl FnOnce(&mut Self)) {
        if panic::catch_unwind(AssertUnwindSafe(|| serve(self))).is_err() {
            self.abandon(event);
        }
    }

    fn route(&mut self, event: Event) {
        match event {
            Event::Ready(owner) => match owner.engine {
                engine::TCP => self.tcp.ready(&mut self.cx, owner),
                engine::HTTP => self.http.ready(&mut self.cx, owner),
                engine::CHECKS => self.checks.ready(&mut self.cx.reactor, owner),
                engine::AUTHORITIES => {
                    self.cx.authorities.ready(&mut self.cx.reactor, owner);
                    self.bring_told();
                }
                engine::LISTENER => self.accept(owner.id as usize),
                engine::SIGNALS => self.signalled = true,
                engine::RESOLVER => {
                    self.cx.resolver.ready(&mut self.cx.reactor, owner);
                    self.bring_answers();
                }
                _ => {}
            },
            Event::Timer(owner) => match owner.engine {
                engine::TCP => self.tcp.timer(&mut self.cx, owner),
                engine::HTTP => self.http.timer(&mut self.cx, owner),
                engine::RESOLVER => {
                    self.cx.resolver.timer(&mut self.cx.reactor, owner);
                    self.bring_answers();
                }
                engine::CHECKS => self.checks.timer(&mut self.cx.reactor, owner),
                engine::AUTHORITIES => {
                    self.cx.authorities.timer(&mut self.cx.reactor, owner);
                    self.bring_told();
                }
                engine::FALLEN => {
                    self.tcp.close_fallen(&mut self.cx);
                    for owner in self.http.fallen(&mut self.cx) {
                        self.guarded(Event::Ready(owner), |worker| worker.http.peer_fell(&mut worker.cx, owner));
                    }
                    self.watch_for_fallen();
                }
                engine::SHUTDOWN => {
                    message(Level::Notice, format_args!("worker_shutdown_timeout is over, closing all sessions"));
                    self.tcp.stop(&mut self.cx);
                    self.http.stop(&mut self.cx);
                }
                engine::LOGS => self.cx.logs.flush_due(&mut self.cx.reactor),
                engine::ACCEPT => {
                    if let Err(error) = self.begin_accepting() {
                        self.accept_failed("epoll_ctl()", &error);
                    }
                }
                _ => {}
            },
        }
    }

    /// What has been resolved goes to the engines that asked for it.
    fn bring_answers(&mut self) {
        let mut others = false;
        while let Some(answer) = self.cx.resolver.answer() {
            let asker = answer.asker;
            self.guarded(Event::Ready(asker), |worker| match asker.engine {
                engine::TCP => others |= worker.tcp.resolved(&mut worker.cx, &answer),
                engine::AUTHORITIES => {
                    worker.cx.authorities.resolved(&mut worker.cx.reactor, &answer);
                    worker.bring_told();
                }
                _ => others |= worker.http.resolved(&mut worker.cx, &answer),
            });
        }
        if others && !self.draining {
            self.check_peers();
        }
    }

    /// What authorities have said of clients' certificates goes to who has asked.
    fn bring_told(&mut self) {
        while let Some(told) = self.cx.authorities.told() {
            self.guarded(Event::Ready(told.asker), |worker| worker.http.told(&mut worker.cx, &told));
        }
    }

    /// Checks the peers that there are now.
    fn check_peers(&mut self) {
        let peers = self.tcp.present().chain(self.cx.stations.present()).flat_map(Balancer::present);
        self.cx.board = Rc::new(Board::of(peers));
        self.checks.adopt(&mut self.cx.reactor, self.cx.board.clone(), self.slot, self.config.main.workers());
    }

    /// The program failed while it served `event`.
    fn abandon(&mut self, event: Event) {
        let (Event::Ready(owner) | Event::Timer(owner)) = event;
        let ended = panic::catch_unwind(AssertUnwindSafe(|| match owner.engine {
            engine::TCP | engine::LISTENER => self.tcp.abandon(&mut self.cx),
            engine::HTTP => self.http.abandon(&mut self.cx, owner),
            engine::RESOLVER => {
                self.cx.resolver.abandon(&mut self.cx.reactor, owner.id);
                self.bring_answers();
            }
            engine::CHECKS => self.checks.abandon(&mut self.cx.reactor, owner),
            engine::AUTHORITIES => {
                self.cx.authorities.abandon(&mut self.cx.reactor, owner);
                self.bring_told();
            }
            engine::FALLEN => {
                self.tcp.abandon(&mut self.cx);
                self.watch_for_fallen();
            }
            engine::SHUTDOWN => {
                self.tcp.abandon(&mut self.cx);
                // For those that are left.
                self.cx.reactor.set_timer(self.shutdown_timer, self.cx.reactor.now());
            }
            _ => {}
        }));
        if ended.is_err() {
            message(Level::Alert, format_args!("a session could not be ended cleanly"));
        }
        // Whatever it had taken and not given back.
        self.cx.connections.open =
            self.listeners.len() + self.tcp.recount(&mut self.cx) + self.http.recount(&mut self.cx);
    }

    /// Peers go down in the sight of whoever checks them; the others look by and by.
    fn watch_for_fallen(&mut self) {
        if self.tcp.closes_sessions() || self.cx.stations.closes_sessions() {
            self.cx.reactor.set_timer(self.fallen_timer, self.cx.reactor.now() + FALLEN_PERIOD);
        }
    }

    /// Clients wait at listener `id`: takes one, so that sessions have their turn between clients, or with `multi_accept` all.
    fn accept(&mut self, id: usize) {
        let turn = if self.config.events.multi_accept { ACCEPT_TURN } else { 1 };
        self.accept_up_to(id, turn);
    }

    fn accept_up_to(&mut self, id: usize, turn: usize) {
        for _ in 0..turn {
            // Whoever came in without it would be turned away again.
            if let Err(error) = self.cx.keep_spare() {
                return self.accept_failed("accept4()", &error);
            }
            let Some(accepting) = self.listeners.get(id) else { return };
            match accepting.listener.accept() {
                Ok(None) => return,
                Ok(Some((socket, client))) => {
                    if self.cx.connections.take() {
                        // The sockets of tcp {} stand first.
                        match id.checked_sub(self.config.tcp.listens.len()) {
                            None => self.tcp.accept(&mut self.cx, id, socket, client),
                            Some(id) => self.http.accept(&mut self.cx, id, socket, client),
                        }
                    } else {
                        self.cx.teller.refuse();
                        let limit = self.cx.connections.limit;
                        let server = accepting.listener.address();
                        message(
                            Level::Alert,
                            format_args!(
                                "{limit} worker_connections are not enough, client: {}, server: {server}",
                                client.host()
                            ),
                        );
                    }
                }
                // The client was gone before it was accepted, or the network had an error for it (accept(2)).
                Err(error) if is_clients(&error) => {
                    let record = Record { error: Some(&error), ..Record::new(Level::Error) };
                    emit(&record, format_args!("accept4() failed"));
                }
                // With fewer pipes there may be a descriptor for the client.
                Err(error) if out_of_descriptors(&error) && self.cx.give_up_pipes() => {}
                Err(error) => return self.accept_failed("accept4()", &error),
            }
        }
    }

    /// Out of descriptors or memory: the clients wait in the kernel's queue, and sessions that end make room meanwhile.
    fn accept_failed(&mut self, call: &str, error: &io::Error) {
        let record = Record { error: Some(error), ..Record::new(Level::Crit) };
        emit(&record, format_args!("{call} failed"));
        self.pause_accepting();
        let resume = self.cx.reactor.now() + self.config.events.accept_mutex_delay.max(SHORTEST_PAUSE);
        self.cx.reactor.set_timer(self.accept_timer, resume);
    }

    /// QUIT: takes what waits in the accept queues, closes the listeners, and lets sessions finish, for `worker_shutdown_timeout` at most.
    pub fn drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        self.checks.stop(&mut self.cx.reactor);
        // The queue of a listener that no other worker has dies with it; the kernel keeps one client more than it is told. Clients who would
        // be turned away are left to the workers that come after this one.
        let taken = if self.waits_for_probes() { 0 } else { self.listeners.len() };
        for id in 0..taken {
            let backlog = self.config.listens[id].backlog as usize;
            let client = Event::Ready(own(engine::LISTENER));
            self.guarded(client, |worker| worker.accept_up_to(id, ACCEPT_TURN.max(backlog + 1)));
        }
        self.close_listeners();
        for owner in self.http.drain(&mut self.cx) {
            self.guarded(Event::Ready(owner), |worker| worker.http.leave(&mut worker.cx, owner));
        }
        self.cx.logs.iter_mut().for_each(AccessLogs::unbuffer);
        if let Some(limit) = self.config.main.shutdown_timeout {
            self.cx.reactor.set_timer(self.shutdown_timer, Instant::now() + limit);
        }
    }

    /// TERM: ends all sessions now (each gets its access log line) and writes out buffered logs.
    pub fn stop(&mut self) {
        self.close_listeners();
        self.checks.stop(&mut self.cx.reactor);
        self.tcp.stop(&mut self.cx);
        self.http.stop(&mut self.cx);
        self.flush_logs();
    }

    /// USR1: opens log files anew.
    pub fn reopen_logs(&mut self) {
        log::error::reopen(None);
        for logs in self.cx.logs.iter_mut() {
            logs.reopen(None);
        }
    }

    fn flush_logs(&mut self) {
        for logs in self.cx.logs.iter_mut() {
            logs.flush();
        }
    }
}

/// Errors of accept(2) that belong to the client it would have returned.
fn is_clients(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}
