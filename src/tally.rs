//! What all workers count of clients together, in memory that they share: the numbers of connections, and the figures of `stub_status`.

use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::shm::Shared;
use crate::upstream::shared::ROWS;

/// What an http connection is at, as nginx's `stub_status` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// A PROXY protocol header or a TLS handshake.
    Beginning,
    /// A request's head is being read.
    Reading,
    /// A request is being served.
    Writing,
    /// The next request is waited for.
    Waiting,
}

/// How many states [`Doing`] has; a worker's first cells count them.
const STATES: usize = 4;
/// The cell of a worker's sessions that are not http.
const OTHERS: usize = 4;
/// The cell of a worker's requests.
const REQUESTS: usize = 5;

/// The cell, in the row of all, of the number of connections so far.
const NUMBERS: usize = 0;
/// Of the clients that were accepted and closed for want of `worker_connections`.
const REFUSED: usize = 1;
/// Of the requests of workers that are gone.
const PAST: usize = 2;

/// A row for each worker, which no other writes to, and one of all; each a cache line.
pub struct Tally {
    rows: Shared<[AtomicU64; 8]>,
}

/// The figures of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Clients that were accepted since the start.
    pub accepts: u64,
    /// Those of them for whom there was a place among `worker_connections`.
    pub handled: u64,
    /// Requests since the start.
    pub requests: u64,
    /// Connections of clients that stand, those of `tcp {}` too.
    pub active: u64,
    /// [`Doing::Reading`]
    pub reading: u64,
    /// [`Doing::Writing`]
    pub writing: u64,
    /// [`Doing::Waiting`]
    pub waiting: u64,
}

impl Tally {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new() -> io::Result<Self> {
        Ok(Tally { rows: Shared::new(ROWS + 1)? })
    }

    fn all(&self) -> &[AtomicU64; 8] {
        &self.rows[ROWS]
    }

    /// The worker with this row is gone, and with it all its connections.
    pub fn clear(&self, row: usize) {
        let cells = &self.rows[row];
        self.all()[PAST].fetch_add(cells[REQUESTS].load(Ordering::Relaxed), Ordering::Relaxed);
        cells.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        let sum = |cell: usize| self.rows[..ROWS].iter().map(|row| row[cell].load(Ordering::Relaxed)).sum::<u64>();
        let all = |cell: usize| self.all()[cell].load(Ordering::Relaxed);
        let [beginning, reading, writing, waiting] =
            [Doing::Beginning, Doing::Reading, Doing::Writing, Doing::Waiting].map(|doing| sum(doing as usize));
        Figures {
            accepts: all(NUMBERS) + all(REFUSED),
            handled: all(NUMBERS),
            requests: all(PAST) + sum(REQUESTS),
            active: beginning + reading + writing + waiting + sum(OTHERS),
            reading,
            writing,
            waiting,
        }
    }
}

/// The tally in the hands of one worker.
#[derive(Clone)]
pub struct Teller {
    tally: Rc<Tally>,
    row: usize,
}

impl Teller {
    /// For the worker with this row, which no other living one has.
    pub fn new(tally: Rc<Tally>, row: usize) -> Self {
        Teller { tally, row }
    }

    /// The worker's row, which no other living one has.
    pub fn row(&self) -> usize {
        self.row
    }

    /// The figures of all workers.
    pub fn figures(&self) -> Figures {
        self.tally.figures()
    }

    /// The number of a new connection: 1 and up, as in nginx's `*N`.
    pub fn number(&self) -> u64 {
        self.tally.all()[NUMBERS].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A client was accepted, and there was no place for it.
    pub fn refuse(&self) {
        self.tally.all()[REFUSED].fetch_add(1, Ordering::Relaxed);
    }

    /// So many sessions of this worker are not http.
    pub fn set_others(&self, count: usize) {
        self.tally.rows[self.row][OTHERS].store(count as u64, Ordering::Relaxed);
    }

    /// So many requests more.
    pub fn add_requests(&self, count: u64) {
        self.add(REQUESTS, count);
    }

    /// An http connection goes from one state to another; it comes from none, and goes to none at its end.
    pub fn shift(&self, from: Option<Doing>, to: Option<Doing>) {
        if from != to {
            from.into_iter().for_each(|from| self.add(from as usize, u64::MAX));
            to.into_iter().for_each(|to| self.add(to as usize, 1));
        }
    }

    /// The worker counts its http connections anew.
    pub fn forget_connections(&self) {
        self.tally.rows[self.row][..STATES].iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
    }

    /// No other process writes to this row, so that no locked instruction is needed.
    fn add(&self, cell: usize, count: u64) {
        let cell = &self.tally.rows[self.row][cell];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_all_workers_and_outlive_them() {
        let tally = Rc::new(Tally::new().unwrap());
        let [one, two] = [0, ROWS - 1].map(|row| Teller::new(tally.clone(), row));
        assert_eq!((one.number(), two.number()), (1, 2));
        two.refuse();
        one.set_others(3);
        one.shift(None, Some(Doing::Waiting));
        one.shift(Some(Doing::Waiting), Some(Doing::Writing));
        two.shift(None, Some(Doing::Beginning));
        two.add_requests(5);
        one.add_requests(1);
        let figures = Figures { accepts: 3, handled: 2, requests: 6, active: 5, reading: 0, writing: 1, waiting: 0 };
        assert_eq!(one.figures(), figures);
        tally.clear(0);
        assert_eq!(two.figures(), Figures { active: 1, writing: 0, ..figures });
        two.forget_connections();
        assert_eq!(two.figures().active, 0);
    }
}
