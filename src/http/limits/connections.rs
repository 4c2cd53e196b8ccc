//! `limit_conn`: how many requests of one key are at work at the same time.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::zone::{Zone, digest};
use super::{Limited, Limits, Standing, Status, key_of};
use crate::http::variables::Values;
use crate::shm::table::{Key, Locked, Slot};

/// nginx's bound of keys.
const LONGEST: usize = 255;

/// The words of a record. A key has one in which all its requests at work are counted, and one for each worker that serves some of them, so that
/// those of a worker that dies can be told from the others.
#[derive(Clone, Copy)]
enum Word {
    Count,
    /// The worker's row and 1 more; 0 in the record of all.
    Worker,
}

/// What a worker's own requests of a key are counted under. Twice, it is the key again.
fn own(key: &Key, row: usize) -> Key {
    (u128::from_le_bytes(*key) ^ ((row as u128 + 1) << 64)).to_le_bytes()
}

fn get(locked: &Locked<'_, 2>, slot: Slot, word: Word) -> u64 {
    locked.value(slot)[word as usize].load(Ordering::Relaxed)
}

fn set(locked: &Locked<'_, 2>, slot: Slot, word: Word, value: u64) {
    locked.value(slot)[word as usize].store(value, Ordering::Relaxed);
}

/// The places that a request has, given back when this is dropped.
#[derive(Default)]
pub(super) struct Places(Vec<Place>);

struct Place {
    zone: Rc<Zone>,
    key: Key,
    row: usize,
}

impl Places {
    fn give_back(&mut self) {
        for Place { zone, key, row } in self.0.drain(..) {
            let Some((locked, _)) = zone.hold(Instant::now()) else { continue };
            for key in [own(&key, row), key] {
                let Some(slot) = locked.find(&key) else { continue };
                match get(&locked, slot, Word::Count) {
                    0 | 1 => locked.remove(slot),
                    more => set(&locked, slot, Word::Count, more - 1),
                }
            }
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Takes a place for the worker with this row; false: there are as many as there may be, or no memory for another key.
fn take(zone: &Zone, key: &Key, most: u64, row: usize) -> bool {
    let Some((locked, _)) = zone.hold(Instant::now()) else { return true };
    let find = |key: &Key| locked.find(key).or_else(|| locked.insert(key));
    let Some(all) = find(key) else { return false };
    let taken = get(&locked, all, Word::Count);
    if taken >= most {
        return false;
    }
    let Some(own) = find(&own(key, row)) else {
        if taken == 0 {
            locked.remove(all);
        }
        return false;
    };
    set(&locked, own, Word::Worker, row as u64 + 1);
    set(&locked, own, Word::Count, get(&locked, own, Word::Count) + 1);
    set(&locked, all, Word::Count, taken + 1);
    true
}

/// Forgets what dead workers had counted, and counts anew what is left; in the middle of what they have died does not matter.
pub(super) fn forget(locked: &Locked<'_, 2>, rows: &[usize]) {
    let worker = |slot| (get(locked, slot, Word::Worker) as usize).checked_sub(1);
    each(locked, |slot| match worker(slot) {
        None => set(locked, slot, Word::Count, 0),
        Some(row) if rows.contains(&row) => locked.remove(slot),
        Some(_) => {}
    });
    each(locked, |slot| {
        let Some(row) = worker(slot) else { return };
        let key = own(&locked.key_of(slot), row);
        let Some(all) = locked.find(&key).or_else(|| locked.insert(&key)) else { return };
        set(locked, all, Word::Count, get(locked, all, Word::Count) + get(locked, slot, Word::Count));
    });
    each(locked, |slot| {
        if get(locked, slot, Word::Count) == 0 {
            locked.remove(slot);
        }
    });
}

/// Calls `visit`, which may remove its record, with each.
fn each(locked: &Locked<'_, 2>, visit: impl Fn(Slot)) {
    let mut next = locked.oldest();
    while let Some(slot) = next {
        next = locked.newer(slot);
        visit(slot);
    }
}

impl Limits {
    /// Takes a place for a request in each zone of `limit_conn`, or in none.
    pub(super) fn check_connections(&self, values: &Values<'_>, standing: &mut Standing) -> Limited {
        let manner = self.most_manner;
        for most in &self.mosts {
            let Some(key) = key_of(values, &most.zone, LONGEST) else { continue };
            let key = digest(&key);
            standing.connections = Status::Passed;
            let row = values.client.teller.row();
            if take(&most.zone, &key, most.connections, row) {
                standing.places.0.push(Place { zone: most.zone.clone(), key, row });
                continue;
            }
            standing.places.give_back();
            let (dry, name) = (if manner.dry_run { ", dry run," } else { "" }, &most.zone.name);
            let message = format_args!("limiting connections{dry} by zone \"{name}\"");
            values.client.log(manner.level, None, "", Some(values.request), message);
            if manner.dry_run {
                standing.connections = Status::RejectedDryRun;
                return Limited::Through;
            }
            standing.connections = Status::Rejected;
            return Limited::Refused(manner.status);
        }
        Limited::Through
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::table::Table;

    #[test]
    fn what_dead_workers_had_is_forgotten_and_the_rest_counted_anew() {
        let table = Table::new(20 * Table::<2>::RECORD).unwrap();
        let locked = table.hold().unwrap();
        let [both, dead, begun] = [[1; 16], [2; 16], [3; 16]];
        let put = |key: &Key, worker: u64, count: u64| {
            let slot = locked.insert(key).unwrap();
            set(&locked, slot, Word::Worker, worker);
            set(&locked, slot, Word::Count, count);
        };
        // The worker with row 7 has died before it could count one more.
        put(&own(&both, 7), 8, 3);
        put(&own(&both, 4), 5, 2);
        put(&both, 0, 4);
        put(&own(&dead, 9), 10, 1);
        put(&dead, 0, 1);
        put(&begun, 0, 0);
        forget(&locked, &[7, 9]);
        let count = |key: &Key| locked.find(key).map(|slot| get(&locked, slot, Word::Count));
        assert_eq!((count(&both), count(&own(&both, 4))), (Some(2), Some(2)));
        assert_eq!(locked.len(), 2);
        // Nor is it lost if what all have together was not counted yet.
        locked.remove(locked.find(&both).unwrap());
        forget(&locked, &[7]);
        assert_eq!(count(&both), Some(2));
    }
}
