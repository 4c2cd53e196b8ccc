//! Open sessions a peer, across workers: one row of counters a worker, so that a dead worker's row can be wiped.

use std::io;
use std::rc::Rc;

/// The counters of all peers of all groups. The master makes one a configuration, before it forks.
pub struct BusyTable {}

impl BusyTable {
    /// Zeroed counters for `peers` peers (of all groups) and `workers` workers.
    pub fn new(_peers: usize, _workers: usize) -> io::Result<Self> {
        todo!()
    }

    /// Wipes the row of a worker that died, so that its sessions count no longer.
    pub fn clear(&self, _worker: usize) {
        todo!()
    }
}

/// One worker's view of a [`BusyTable`]: it counts in its own row and sums all.
#[derive(Clone)]
pub struct Busy {
    _table: Rc<BusyTable>,
}

impl Busy {
    /// The view of worker number `worker`, counted from 0.
    pub fn new(_table: Rc<BusyTable>, _worker: usize) -> Self {
        todo!()
    }

    /// Sessions now open with a peer, of all workers.
    pub fn sessions(&self, _peer: usize) -> u32 {
        todo!()
    }

    /// One more session of this worker.
    pub fn enter(&self, _peer: usize) {
        todo!()
    }

    /// One session less of this worker.
    pub fn leave(&self, _peer: usize) {
        todo!()
    }
}
