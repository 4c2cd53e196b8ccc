//! Records for addresses that come while workers run.
//!
//! Each worker follows names by itself, and all must find the same record for the same address. So a group that follows names has spare
//! records, each with the address it belongs to, and beside each another one whose sessions are the workers that hold it. A
//! record that nobody holds is free for another address. Giving one out is done under a lock, which is that of a row, so
//! that it is opened when the worker dies that has it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::{Cell, Record, Region};
use crate::upstream::Group;

/// How many addresses a group may have at once beside those it had when the configuration was read, old ones with live sessions included.
pub const SPARES: usize = 128;

/// How often the lock is tried for. It is held for some microseconds; who gives up asks again with the next answer.
const TRIES: usize = 1000;

/// The spare records of a group.
#[derive(Clone)]
pub struct Spares {
    /// The spare records, and after them as many for their holders.
    region: Rc<Region>,
}

/// A spare record that a worker holds; given back when dropped.
pub struct Spare {
    /// The record.
    pub record: Record,
    holders: Record,
    row: usize,
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.holders.leave(self.row);
    }
}

/// The spare records of a group, and what makes it the same group in another configuration.
pub(super) struct Pool {
    group: String,
    /// Which of several groups with the same name it is.
    nth: usize,
    checked: bool,
    spares: Spares,
}

impl Pool {
    /// The spare records that the group has in another configuration, the pools of which are `known`, or new ones.
    pub(super) fn new<'a>(
        group: &Group,
        nth: usize,
        mut known: impl Iterator<Item = &'a Pool>,
        epoch: Instant,
    ) -> io::Result<Self> {
        let checked = group.check.is_some();
        let spares = match known.find(|pool| pool.group == group.name && pool.nth == nth) {
            Some(pool) => {
                if checked && !pool.checked {
                    pool.spares.forget_health();
                }
                pool.spares.clone()
            }
            None => Spares::new(epoch)?,
        };
        Ok(Pool { group: group.name.clone(), nth, checked, spares })
    }

    pub(super) fn spares(&self) -> &Spares {
        &self.spares
    }
}

impl Spares {
    fn new(epoch: Instant) -> io::Result<Self> {
        Ok(Spares { region: Rc::new(Region::new(2 * SPARES, epoch)?) })
    }

    fn record(&self, place: usize) -> Record {
        Record { region: Rc::clone(&self.region), index: place }
    }

    fn holders(&self, place: usize) -> Record {
        self.record(SPARES + place)
    }

    /// The row that has the lock, counted from 1; 0: none.
    fn lock(&self) -> &AtomicU64 {
        // A record of holders has no use for its cells.
        &self.region.cells[SPARES][Cell::Lease as usize]
    }

    /// The record of an address, for the worker with this row. Equal `name`s, all over the workers, get the same record. `None` when all
    /// are held, or a worker has the lock and does not come on.
    pub fn claim(&self, name: &impl Hash, row: usize) -> Option<Spare> {
        // The same in all workers, unlike the hashes of maps.
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let name = hasher.finish().max(1);
        let locked = |_: &usize| {
            let taken = self.lock().compare_exchange(0, row as u64 + 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
            if !taken {
                thread::yield_now();
            }
            taken
        };
        (0..TRIES).find(locked)?;
        let spare = self.find(name).map(|place| {
            let (record, holders) = (self.record(place), self.holders(place));
            record.open_row(row);
            holders.enter(row);
            Spare { record, holders, row }
        });
        self.lock().store(0, Ordering::Release);
        spare
    }

    /// The record with this name, or one that is free, which gets it.
    fn find(&self, name: u64) -> Option<usize> {
        let named = |place: &usize| self.record(*place).load(Cell::Name) == name;
        let free = |place: &usize| self.holders(*place).sessions() == 0;
        (0..SPARES).find(named).or_else(|| {
            let place = (0..SPARES).find(free)?;
            let cells = &self.region.cells[place];
            cells.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));
            cells[Cell::Name as usize].store(name, Ordering::Relaxed);
            Some(place)
        })
    }

    fn forget_health(&self) {
        (0..SPARES).for_each(|place| self.record(place).forget_health());
    }

    /// Wipes what a worker that died has left.
    pub(super) fn clear(&self, row: usize) {
        for place in 0..SPARES {
            let record = self.record(place);
            for record in [&record, &self.holders(place)] {
                record.row(row).store(0, Ordering::Relaxed);
            }
            record.release_lease(row);
        }
        // Held by another: left alone.
        let _ = self.lock().compare_exchange(row as u64 + 1, 0, Ordering::Release, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_addresses_share_a_record_while_somebody_holds_it() {
        let spares = Spares::new(Instant::now()).unwrap();
        let one = spares.claim(&(0, "a"), 0).unwrap();
        let same = spares.claim(&(0, "a"), 1).unwrap();
        let other = spares.claim(&(1, "a"), 1).unwrap();
        one.record.enter(0);
        same.record.enter(1);
        assert_eq!((one.record.sessions(), same.record.sessions(), other.record.sessions()), (2, 2, 0));
        one.record.leave(0);
        same.record.leave(1);
        other.record.access();
        drop((one, other));
        let all: Vec<Spare> = (0..SPARES - 1).map(|n| spares.claim(&n, 2).unwrap()).collect();
        assert!(spares.claim(&SPARES, 3).is_none(), "the first is held still");
        assert!(spares.claim(&(0, "a"), 3).is_some());
        assert!(all.iter().all(|spare| spare.record.accesses() == 0), "nothing is left of the one before");
        drop(all);
        assert!(spares.claim(&SPARES, 3).is_some());
    }

    #[test]
    fn a_dead_worker_leaves_nothing() {
        let spares = Spares::new(Instant::now()).unwrap();
        for n in 0..SPARES {
            let spare = spares.claim(&n, 5).unwrap();
            spare.record.enter(5);
            std::mem::forget(spare);
        }
        spares.lock().store(6, Ordering::Relaxed);
        assert!(spares.claim(&0, 1).is_none());
        spares.clear(4);
        assert!(spares.claim(&0, 1).is_none());
        spares.clear(5);
        let all: Vec<Spare> = (0..SPARES).map(|n| spares.claim(&(n + SPARES), 1).unwrap()).collect();
        assert!(all.iter().all(|spare| spare.record.sessions() == 0));
    }
}
