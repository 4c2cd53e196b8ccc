//! What a worker lends its engines while they serve an event.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Reactor;
use crate::log::access::AccessLogs;
use crate::net::access::Match;
use crate::relay::Buffers;
use crate::resolver::Resolver;
use crate::shm::Shared;
use crate::upstream::checks::Board;

/// The worker's own things, shared by all its engines.
pub struct Context {
    /// The event loop.
    pub reactor: Reactor,
    /// Names to addresses; answers come back through the worker.
    pub resolver: Resolver,
    /// The memory of relays.
    pub buffers: Buffers,
    /// The access logs of each configuration in use.
    pub logs: Logs,
    /// Connection numbers and their limit.
    pub connections: Connections,
    /// `debug_connection`: clients whose sessions are logged at `debug`.
    pub debugged: Vec<Match>,
    /// The checked peers of the current configuration, for those who tell of them.
    pub board: Rc<Board>,
    /// This process, for access logs.
    pub pid: u32,
}

/// The number of a configuration in this worker. Without a master a reload brings a second one while sessions of the first go on.
pub type Epoch = usize;

/// The engines that serve sessions, and so hold on to the logs of an epoch: `tcp` and `http`.
const ENGINES: usize = 2;

/// The access logs by epoch, with the number of engines that still use them.
#[derive(Default)]
pub struct Logs(Vec<Option<(AccessLogs, usize)>>);

impl Logs {
    /// Takes the logs of a new configuration and numbers it.
    pub fn add(&mut self, logs: AccessLogs) -> Epoch {
        self.0.push(Some((logs, ENGINES)));
        self.0.len() - 1
    }

    /// The logs of a configuration; `None` after [`Logs::remove`].
    pub fn of(&mut self, epoch: Epoch) -> Option<&mut AccessLogs> {
        self.0.get_mut(epoch)?.as_mut().map(|(logs, _)| logs)
    }

    /// No session of one engine uses the logs of a configuration any more; after the last engine they are written out and closed.
    pub fn remove(&mut self, epoch: Epoch) {
        if let Some((logs, engines)) = &mut self.0[epoch] {
            *engines -= 1;
            if *engines == 0 {
                logs.flush();
                self.0[epoch] = None;
            }
        }
    }

    /// All logs that are open.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut AccessLogs> {
        self.0.iter_mut().flatten().map(|(logs, _)| logs)
    }
}

/// Counts connections: those open now against `worker_connections`, and all there ever were for their numbers in logs.
pub struct Connections {
    /// Open now in this worker: listening sockets, clients, upstreams.
    pub open: usize,
    /// `worker_connections`.
    pub limit: usize,
    /// Shared with the other workers, so that a number names one connection of the whole server.
    numbers: Rc<Shared<AtomicU64>>,
}

impl Connections {
    /// No connections yet.
    pub fn new(limit: usize, numbers: Rc<Shared<AtomicU64>>) -> Self {
        Connections { open: 0, limit, numbers }
    }

    /// Takes a place for a connection, if there is one.
    pub fn take(&mut self) -> bool {
        let free = self.open < self.limit;
        self.open += usize::from(free);
        free
    }

    /// Gives a place back.
    pub fn give_back(&mut self) {
        self.open -= 1;
    }

    /// The number of a new connection: 1 and up, as in nginx's `*N`.
    pub fn number(&self) -> u64 {
        self.numbers[0].fetch_add(1, Ordering::Relaxed) + 1
    }
}
