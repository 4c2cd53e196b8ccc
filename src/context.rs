//! What a worker lends its engines while they serve an event.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use crate::event::{Owner, Reactor, TimerId};
use crate::log::access::{AccessLogs, LogId};
use crate::net::access::Match;
use crate::net::{Address, Connection, out_of_descriptors};
use crate::relay::Buffers;
use crate::resolver::Resolver;
use crate::tally::Teller;
use crate::tls::ocsp;
use crate::upstream::Stations;
use crate::upstream::checks::Board;

/// The worker's own things, shared by all its engines.
pub struct Context {
    /// The event loop.
    pub reactor: Reactor,
    /// Names to addresses; answers come back through the worker.
    pub resolver: Resolver,
    /// Asks authorities about certificates that clients want to know of.
    pub authorities: ocsp::Engine,
    /// The memory of relays.
    pub buffers: Buffers,
    /// The access logs of each configuration in use.
    pub logs: Logs,
    /// Connections and their limit.
    pub connections: Connections,
    /// What workers count together: the numbers of connections, the figures of `stub_status`.
    pub teller: Teller,
    /// The groups of `http {}`, by epoch, and connections kept to their servers.
    pub stations: Stations,
    /// `debug_connection`: clients whose sessions are logged at `debug`.
    pub debugged: Vec<Match>,
    /// The checked peers of the current configuration, for those who tell of them.
    pub board: Rc<Board>,
    /// This process, for access logs.
    pub pid: u32,
    /// A descriptor in reserve while clients are accepted, so that the last one who gets in gets a server, too.
    pub spare: Option<OwnedFd>,
}

impl Context {
    /// Descriptors are short: pipes that nobody uses give up theirs. Returns whether there were any.
    pub fn give_up_pipes(&mut self) -> bool {
        self.buffers.pipes.give_up(self.reactor.now())
    }

    /// Makes sure of the descriptor in reserve.
    ///
    /// # Errors
    /// There is none left.
    pub fn keep_spare(&mut self) -> io::Result<()> {
        if self.spare.is_none() {
            self.spare = Some(spare()?);
        }
        Ok(())
    }

    /// [`Connection::connect_from`] to a server, for which pipes and then the descriptor in reserve are given up where it must be.
    ///
    /// # Errors
    /// As there.
    pub fn connect(
        &mut self,
        local: Option<&Address>,
        address: &Address,
        owner: Owner,
    ) -> Result<Connection, (&'static str, io::Error)> {
        loop {
            match Connection::connect_from(local, address, &mut self.reactor, owner) {
                Err((_, error))
                    if out_of_descriptors(&error) && (self.give_up_pipes() || self.spare.take().is_some()) => {}
                made => return made,
            }
        }
    }
}

/// A descriptor to be kept in reserve.
///
/// # Errors
/// There is none left.
pub fn spare() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

/// The number of a configuration in this worker. Without a master a reload brings a second one while sessions of the first go on.
pub type Epoch = usize;

/// The engines that serve sessions, and so hold on to the logs of an epoch: `tcp` and `http`.
const ENGINES: usize = 2;

/// The access logs by epoch, with the one timer for all buffers that have `flush=`.
pub struct Logs {
    /// With the number of engines that still use them.
    by_epoch: Vec<Option<(AccessLogs, usize)>>,
    timer: TimerId,
    /// When the timer runs out; `None` while no buffer waits for it.
    due: Option<Instant>,
}

impl Logs {
    /// No logs yet. When `timer` runs out, [`Logs::flush_due`] is to be called.
    pub fn new(timer: TimerId) -> Self {
        Logs { by_epoch: Vec::new(), timer, due: None }
    }

    /// Takes the logs of a new configuration and numbers it. Those of old ones get a line only when a session ends that goes on.
    pub fn add(&mut self, logs: AccessLogs) -> Epoch {
        self.iter_mut().for_each(AccessLogs::unbuffer);
        self.by_epoch.push(Some((logs, ENGINES)));
        self.by_epoch.len() - 1
    }

    /// Adds a line to a log of a configuration, see [`AccessLogs::write`].
    pub fn write(&mut self, reactor: &mut Reactor, epoch: Epoch, log: LogId, line: &[u8]) {
        let Some((logs, _)) = self.by_epoch.get_mut(epoch).and_then(Option::as_mut) else { return };
        if let Some(due) = logs.write(log, line, reactor.now()) {
            self.wake_at(reactor, due);
        }
    }

    /// Writes the buffers whose time has come.
    pub fn flush_due(&mut self, reactor: &mut Reactor) {
        self.due = None;
        let now = reactor.now();
        let next = self.iter_mut().filter_map(|logs| logs.flush_due(now)).min();
        if let Some(due) = next {
            self.wake_at(reactor, due);
        }
    }

    fn wake_at(&mut self, reactor: &mut Reactor, due: Instant) {
        if self.due.is_none_or(|sooner| due < sooner) {
            self.due = Some(due);
            reactor.set_timer(self.timer, due);
        }
    }

    /// No session of one engine uses the logs of a configuration any more; after the last engine they are written out and closed.
    pub fn remove(&mut self, epoch: Epoch) {
        if let Some((logs, engines)) = &mut self.by_epoch[epoch] {
            *engines -= 1;
            if *engines == 0 {
                logs.flush();
                self.by_epoch[epoch] = None;
            }
        }
    }

    /// All logs that are open.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut AccessLogs> {
        self.by_epoch.iter_mut().flatten().map(|(logs, _)| logs)
    }
}

/// Counts connections that are open now against `worker_connections`.
pub struct Connections {
    /// Open now in this worker: listening sockets, clients, upstreams.
    pub open: usize,
    /// `worker_connections`.
    pub limit: usize,
}

impl Connections {
    /// No connections yet.
    pub fn new(limit: usize) -> Self {
        Connections { open: 0, limit }
    }

    /// Takes a place for a connection, if there is one.
    pub fn take(&mut self) -> bool {
        let free = self.open < self.limit;
        self.open += usize::from(free);
        free
    }

    /// Gives a place back.
    pub fn give_back(&mut self) {
        self.give_back_some(1);
    }

    /// Gives several places back.
    pub fn give_back_some(&mut self, count: usize) {
        self.open -= count;
    }
}
