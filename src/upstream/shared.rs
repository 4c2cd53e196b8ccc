//! Open sessions a peer, across workers: one row of counters a worker, so that a dead worker's row can be wiped.

use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::shm::Shared;

/// Counters in a cache line of 64 bytes: rows begin at one, so that workers do not write to each other's.
const LINE: usize = 64 / size_of::<AtomicU32>();

/// The counters of all peers of all groups. The master makes one a configuration, before it forks.
pub struct BusyTable {
    counters: Shared<AtomicU32>,
    /// Counters in a row, of which the last few may be unused.
    width: usize,
}

impl BusyTable {
    /// Zeroed counters for `peers` peers (of all groups) and `workers` workers.
    pub fn new(peers: usize, workers: usize) -> io::Result<Self> {
        let width = peers.next_multiple_of(LINE);
        Ok(BusyTable { counters: Shared::new(width * workers)?, width })
    }

    /// Wipes the row of a worker that died, so that its sessions count no longer.
    pub fn clear(&self, worker: usize) {
        let row = worker * self.width;
        for counter in &self.counters[row..row + self.width] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    fn counter(&self, worker: usize, peer: usize) -> &AtomicU32 {
        debug_assert!(peer < self.width);
        &self.counters[worker * self.width + peer]
    }

    fn sum(&self, peer: usize) -> u32 {
        let column = self.counters.iter().skip(peer).step_by(self.width.max(1));
        column.map(|counter| counter.load(Ordering::Relaxed)).sum()
    }
}

/// One worker's view of a [`BusyTable`]: it counts in its own row and sums all.
///
/// Sums are made without a lock, so two workers may take a peer's last place at once.
#[derive(Clone)]
pub struct Busy {
    table: Rc<BusyTable>,
    worker: usize,
}

impl Busy {
    /// The view of worker number `worker`, counted from 0.
    pub fn new(table: Rc<BusyTable>, worker: usize) -> Self {
        Busy { table, worker }
    }

    /// Sessions now open with a peer, of all workers.
    pub fn sessions(&self, peer: usize) -> u32 {
        self.table.sum(peer)
    }

    /// One more session of this worker.
    pub fn enter(&self, peer: usize) {
        self.table.counter(self.worker, peer).fetch_add(1, Ordering::Relaxed);
    }

    /// One session less of this worker.
    pub fn leave(&self, peer: usize) {
        let before = self.table.counter(self.worker, peer).fetch_sub(1, Ordering::Relaxed);
        debug_assert_ne!(before, 0, "peer {peer} was left more often than entered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_all_workers_are_summed_and_a_dead_workers_wiped() {
        let table = Rc::new(BusyTable::new(17, 3).unwrap());
        let workers: Vec<Busy> = (0..3).map(|worker| Busy::new(table.clone(), worker)).collect();
        for worker in &workers {
            worker.enter(0);
            worker.enter(16);
            worker.enter(16);
        }
        workers[2].leave(16);
        let counts = |peers: [usize; 3]| peers.map(|peer| workers[1].sessions(peer));
        assert_eq!(counts([0, 1, 16]), [3, 0, 5]);
        table.clear(0);
        assert_eq!(counts([0, 1, 16]), [2, 0, 3]);
    }

    #[test]
    fn a_configuration_without_peers_has_a_table() {
        let table = BusyTable::new(0, 4).unwrap();
        table.clear(3);
    }
}
