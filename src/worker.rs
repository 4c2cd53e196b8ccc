//! One worker: owns the reactor and the engines, and holds the one match that routes an event.

use std::io;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use crate::config::Config;
use crate::event::signals::Received;
use crate::event::signals::Signals;
use crate::log::access::AccessLogs;
use crate::net::Listener;
use crate::shm::Shared;
use crate::upstream::shared::BusyTable;

/// What a worker is made from; the process room prepares it.
pub struct Setup {
    /// The configuration.
    pub config: Rc<Config>,
    /// One socket for each of `config.listens`, in that order.
    pub listeners: Vec<Listener>,
    /// The access logs, opened.
    pub access_logs: AccessLogs,
    /// Sessions a peer, across workers.
    pub busy: Rc<BusyTable>,
    /// The row of `busy` that is this worker's.
    pub slot: usize,
    /// The number of the next connection, across workers: `*N` in logs.
    pub connections: Rc<Shared<AtomicU64>>,
}

/// Why [`Worker::run`] came back.
pub enum Wake {
    /// Signals arrived; act on them and call `run` again.
    Signals(Vec<Received>),
    /// No session is left after [`Worker::drain`], or [`Worker::drain`]'s time is up.
    Done,
}

/// A worker's event loop and all it serves.
pub struct Worker {}

impl Worker {
    /// Registers listeners and signals; nothing is accepted before [`Worker::run`].
    pub fn new(_setup: Setup, _signals: Signals) -> io::Result<Self> {
        todo!()
    }

    /// Serves until signals arrive or the worker has drained.
    pub fn run(&mut self) -> io::Result<Wake> {
        todo!()
    }

    /// QUIT: takes what waits in the accept queues, closes the listeners, and lets sessions finish, for `worker_shutdown_timeout` at most.
    pub fn drain(&mut self) {
        todo!()
    }

    /// TERM: ends all sessions now (each gets its access log line) and writes out buffered logs.
    pub fn stop(&mut self) {
        todo!()
    }

    /// USR1: opens log files anew.
    pub fn reopen_logs(&mut self) {
        todo!()
    }

    /// HUP without a master: new sessions use the new configuration and listeners, live ones go on with theirs.
    pub fn adopt(&mut self, _setup: Setup) -> io::Result<()> {
        todo!()
    }
}
