//! Records for the addresses of names, which come and go while workers run.
//!
//! Each worker follows names by itself, and all must find the same record for the same address, also over a reload, whether it was known at the
//! start or came later. So a group that follows names has spare records, each with the address it belongs to, and beside each another one whose sessions are the workers that hold it. A
//! record that nobody holds is free for another address. Giving one out is done under a lock.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Cell, Record, Region};
use crate::shm::Lock;
use crate::upstream::Group;

/// How many addresses the names of a group may have at once, old ones with live sessions included.
pub const SPARES: usize = 128;

/// The spare records of a group.
#[derive(Clone)]
pub struct Spares {
    /// The spare records, and after them as many for their holders.
    region: Rc<Region>,
    /// For claiming one, which takes microseconds.
    lock: Rc<Lock>,
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
        Ok(Spares { region: Rc::new(Region::new(2 * SPARES, epoch)?), lock: Rc::new(Lock::new()?) })
    }

    fn record(&self, place: usize) -> Record {
        Record { region: Rc::clone(&self.region), index: place }
    }

    fn holders(&self, place: usize) -> Record {
        self.record(SPARES + place)
    }

    /// The record of an address, for the worker with this row. Equal `name`s, all over the workers, get the same record. `None` when all
    /// are held.
    pub fn claim(&self, name: &impl Hash, row: usize) -> Option<Spare> {
        // The same in all workers, unlike the hashes of maps.
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let name = hasher.finish().max(1);
        let _held = self.lock.hold()?;
        let place = self.find(name)?;
        let (record, holders) = (self.record(place), self.holders(place));
        record.open_row(row);
        holders.enter(row);
        Some(Spare { record, holders, row })
    }

    /// The record with this name, or one that is free, which gets it: if possible one that never had a name, so that what is known about
    /// addresses that come back, to the successor of a worker that died for one, is kept.
    fn find(&self, name: u64) -> Option<usize> {
        let named = |name| move |place: &usize| self.record(*place).load(Cell::Name) == name;
        let free = |place: &usize| self.holders(*place).sessions() == 0;
        (0..SPARES).find(named(name)).or_else(|| {
            let place = (0..SPARES).find(named(0)).or_else(|| (0..SPARES).find(free))?;
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
            // Held twice and given back once: what is left is what a worker leaves that dies.
            spare.holders.enter(5);
        }
        spares.clear(4);
        assert!(spares.claim(&SPARES, 1).is_none());
        spares.clear(5);
        let known = spares.claim(&0, 1).unwrap();
        assert_eq!(known.record.sessions(), 0);
        let all: Vec<Spare> = (1..SPARES).map(|n| spares.claim(&(n + SPARES), 1).unwrap()).collect();
        assert!(all.iter().all(|spare| spare.record.sessions() == 0));
    }

    #[test]
    fn what_is_known_is_kept_while_there_is_room() {
        let spares = Spares::new(Instant::now()).unwrap();
        spares.claim(&"a", 0).unwrap().record.access();
        let _others: Vec<Spare> = (1..SPARES).map(|n| spares.claim(&n, 0).unwrap()).collect();
        assert_eq!(spares.claim(&"a", 0).unwrap().record.accesses(), 1);
        assert_eq!(spares.claim(&"b", 0).unwrap().record.accesses(), 0);
        assert_eq!(spares.claim(&"a", 0).unwrap().record.accesses(), 0);
    }
}
