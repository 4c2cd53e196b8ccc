//! Records by keys in shared memory, in the order of their last use.
//!
//! What a process that died with the lock had begun is no matter: a record is there by its own word, and everything that leads to records
//! is made anew from these words then.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::lock::Held;
use super::{Lock, Shared};

/// What a record is found by: a digest of whatever it is about, so equally spread.
pub type Key = [u8; 16];

/// `N` numbers for each of a fixed number of keys; zeros when a key is new.
pub struct Table<const N: usize> {
    lock: Lock,
    header: Shared<AtomicU32>,
    /// By hash: the first record of a chain.
    buckets: Shared<AtomicU32>,
    links: Shared<[AtomicU32; 4]>,
    keys: Shared<[AtomicU64; 2]>,
    values: Shared<[AtomicU64; N]>,
}

/// A record's place. 0 stands for none wherever places are linked, so they are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// Words of the header.
#[derive(Clone, Copy)]
enum Word {
    /// Links are being changed.
    Busy,
    Newest,
    Oldest,
    /// The first of the records that were removed.
    Free,
    /// How many places were ever used; those behind them are zeros still.
    Used,
    Count,
}

/// Words of a record's links.
#[derive(Clone, Copy)]
enum Link {
    /// 1: the record is there.
    There,
    /// In its chain, or among those that were removed.
    Next,
    Newer,
    Older,
}

const NONE: u32 = 0;

impl<const N: usize> Table<N> {
    /// Memory for each record, its links included.
    pub const RECORD: usize = size_of::<[AtomicU32; 5]>() + size_of::<Key>() + size_of::<[AtomicU64; N]>();

    /// A table that takes so many bytes, less what does not make another record.
    ///
    /// # Errors
    /// Those of `mmap(2)`.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let slots = (bytes / Self::RECORD).clamp(1, u32::MAX as usize - 1);
        Ok(Table {
            lock: Lock::new()?,
            header: Shared::new(Word::Count as usize + 1)?,
            buckets: Shared::new(slots)?,
            links: Shared::new(slots)?,
            keys: Shared::new(slots)?,
            values: Shared::new(slots)?,
        })
    }

    /// Waits for the table, which nobody else has until what is returned is dropped. `None`: it cannot be had, see [`Lock::hold`].
    pub fn hold(&self) -> Option<Locked<'_, N>> {
        let locked = Locked { table: self, _held: self.lock.hold()? };
        if locked.get(Word::Busy) != 0 {
            locked.relink();
        }
        Some(locked)
    }
}

/// A table that is this process's for the time.
pub struct Locked<'a, const N: usize> {
    table: &'a Table<N>,
    _held: Held<'a>,
}

impl<const N: usize> Locked<'_, N> {
    fn word(&self, word: Word) -> &AtomicU32 {
        &self.table.header[word as usize]
    }

    fn get(&self, word: Word) -> u32 {
        self.word(word).load(Ordering::Relaxed)
    }

    fn set(&self, word: Word, value: u32) {
        self.word(word).store(value, Ordering::Relaxed);
    }

    fn link(&self, slot: u32, link: Link) -> u32 {
        self.table.links[slot as usize - 1][link as usize].load(Ordering::Relaxed)
    }

    fn set_link(&self, slot: u32, link: Link, value: u32) {
        self.table.links[slot as usize - 1][link as usize].store(value, Ordering::Relaxed);
    }

    fn key(&self, slot: u32) -> [u64; 2] {
        self.table.keys[slot as usize - 1].each_ref().map(|word| word.load(Ordering::Relaxed))
    }

    fn bucket(&self, key: [u64; 2]) -> &AtomicU32 {
        &self.table.buckets[(key[0] % self.table.buckets.len() as u64) as usize]
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.get(Word::Count) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record of a key.
    pub fn find(&self, key: &Key) -> Option<Slot> {
        let key = words(key);
        let mut slot = self.bucket(key).load(Ordering::Relaxed);
        while slot != NONE {
            if self.key(slot) == key {
                return Some(Slot(slot));
            }
            slot = self.link(slot, Link::Next);
        }
        None
    }

    /// A record for a key that has none, the newest; `None`: there is no room.
    pub fn insert(&self, key: &Key) -> Option<Slot> {
        let key = words(key);
        self.changing(|| {
            let slot = match (self.get(Word::Free), self.get(Word::Used)) {
                (NONE, used) if used as usize == self.table.links.len() => return None,
                (NONE, used) => {
                    self.set(Word::Used, used + 1);
                    used + 1
                }
                (free, _) => {
                    self.set(Word::Free, self.link(free, Link::Next));
                    free
                }
            };
            let store = |(word, value): (&AtomicU64, u64)| word.store(value, Ordering::Relaxed);
            self.table.keys[slot as usize - 1].iter().zip(key).for_each(store);
            self.value(Slot(slot)).iter().for_each(|word| word.store(0, Ordering::Relaxed));
            self.set_link(slot, Link::There, 1);
            self.chain(slot);
            self.make_newest(slot);
            Some(Slot(slot))
        })
    }

    /// The numbers of a record.
    pub fn value(&self, slot: Slot) -> &[AtomicU64; N] {
        &self.table.values[slot.0 as usize - 1]
    }

    /// The record that was inserted or used longest ago.
    pub fn oldest(&self) -> Option<Slot> {
        Some(self.get(Word::Oldest)).filter(|slot| *slot != NONE).map(Slot)
    }

    /// The record that was inserted or used next after this one.
    pub fn newer(&self, slot: Slot) -> Option<Slot> {
        Some(self.link(slot.0, Link::Newer)).filter(|slot| *slot != NONE).map(Slot)
    }

    /// What a record is found by.
    pub fn key_of(&self, slot: Slot) -> Key {
        let [low, high] = self.key(slot.0).map(u128::from);
        (low | high << 64).to_le_bytes()
    }

    /// A record is used: it is the newest now.
    pub fn touch(&self, slot: Slot) {
        self.changing(|| {
            self.unlink_age(slot.0);
            self.make_newest(slot.0);
        });
    }

    /// A record goes.
    pub fn remove(&self, slot: Slot) {
        self.changing(|| {
            self.set_link(slot.0, Link::There, 0);
            self.unchain(slot.0);
            self.unlink_age(slot.0);
            self.set_link(slot.0, Link::Next, self.get(Word::Free));
            self.set(Word::Free, slot.0);
        });
    }

    /// What dies in between leaves the mark by which it is seen.
    fn changing<T>(&self, change: impl FnOnce() -> T) -> T {
        self.word(Word::Busy).store(1, Ordering::SeqCst);
        let changed = change();
        self.word(Word::Busy).store(0, Ordering::SeqCst);
        changed
    }

    fn chain(&self, slot: u32) {
        let bucket = self.bucket(self.key(slot));
        self.set_link(slot, Link::Next, bucket.load(Ordering::Relaxed));
        bucket.store(slot, Ordering::Relaxed);
    }

    fn unchain(&self, slot: u32) {
        let bucket = self.bucket(self.key(slot));
        let (next, first) = (self.link(slot, Link::Next), bucket.load(Ordering::Relaxed));
        if first == slot {
            return bucket.store(next, Ordering::Relaxed);
        }
        let mut before = first;
        while before != NONE && self.link(before, Link::Next) != slot {
            before = self.link(before, Link::Next);
        }
        if before != NONE {
            self.set_link(before, Link::Next, next);
        }
    }

    fn make_newest(&self, slot: u32) {
        let newest = self.get(Word::Newest);
        self.set_link(slot, Link::Older, newest);
        self.set_link(slot, Link::Newer, NONE);
        match newest {
            NONE => self.set(Word::Oldest, slot),
            newest => self.set_link(newest, Link::Newer, slot),
        }
        self.set(Word::Newest, slot);
        self.set(Word::Count, self.get(Word::Count) + 1);
    }

    fn unlink_age(&self, slot: u32) {
        let (newer, older) = (self.link(slot, Link::Newer), self.link(slot, Link::Older));
        match newer {
            NONE => self.set(Word::Newest, older),
            newer => self.set_link(newer, Link::Older, older),
        }
        match older {
            NONE => self.set(Word::Oldest, newer),
            older => self.set_link(older, Link::Newer, newer),
        }
        self.set(Word::Count, self.get(Word::Count) - 1);
    }

    /// Makes all links anew. How long ago records were used is forgotten.
    fn relink(&self) {
        self.changing(|| {
            self.table.buckets.iter().for_each(|bucket| bucket.store(NONE, Ordering::Relaxed));
            [Word::Newest, Word::Oldest, Word::Free, Word::Count].into_iter().for_each(|word| self.set(word, NONE));
            for slot in 1..=self.get(Word::Used) {
                if self.link(slot, Link::There) == 1 {
                    self.chain(slot);
                    self.make_newest(slot);
                } else {
                    self.set_link(slot, Link::Next, self.get(Word::Free));
                    self.set(Word::Free, slot);
                }
            }
        });
    }
}

fn words(key: &Key) -> [u64; 2] {
    let key = u128::from_le_bytes(*key);
    [key as u64, (key >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    use proptest::prelude::*;

    /// Few keys, so that they meet again, in few buckets.
    fn key(number: u8) -> Key {
        let mut key = [0; 16];
        (key[0], key[9]) = (number % 3, number);
        key
    }

    const ROOM: usize = 5;

    fn table() -> Table<2> {
        Table::new(ROOM * Table::<2>::RECORD).unwrap()
    }

    fn load(word: &AtomicU64) -> u64 {
        word.load(Ordering::Relaxed)
    }

    /// All keys from the oldest on with their first numbers, and whether what leads to them is whole.
    fn all(locked: &Locked<'_, 2>) -> Vec<(u8, u64)> {
        let mut all = Vec::new();
        let mut slot = locked.get(Word::Oldest);
        while slot != NONE {
            let number = (locked.key(slot)[1] >> 8) as u8;
            assert_eq!(locked.find(&key(number)), Some(Slot(slot)));
            assert_eq!(locked.key_of(Slot(slot)), key(number));
            all.push((number, load(&locked.value(Slot(slot))[0])));
            let newer = locked.link(slot, Link::Newer);
            assert_eq!(if newer == NONE { locked.get(Word::Newest) } else { locked.link(newer, Link::Older) }, slot);
            slot = newer;
        }
        assert_eq!(all.len(), locked.len());
        all
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8),
        Touch(u8),
        Remove(u8),
        RemoveOldest,
        /// Somebody dies with half-changed links.
        Die(Vec<(u8, u8, u8)>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let number = 0..9_u8;
        prop_oneof![
            4 => number.clone().prop_map(Step::Insert),
            2 => number.clone().prop_map(Step::Touch),
            2 => number.prop_map(Step::Remove),
            1 => Just(Step::RemoveOldest),
            1 => prop::collection::vec((0..=ROOM as u8, 1..4_u8, 0..=ROOM as u8), 0..8).prop_map(Step::Die),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_list_does(steps in prop::collection::vec(step(), 0..60)) {
            let table = table();
            let mut model: Vec<(u8, u64)> = Vec::new();
            for (count, step) in steps.into_iter().enumerate() {
                let locked = table.hold().unwrap();
                let place = |model: &[(u8, u64)], number| model.iter().position(|(known, _)| *known == number);
                match step {
                    Step::Insert(number) if place(&model, number).is_some() => {}
                    Step::Insert(number) => {
                        let slot = locked.insert(&key(number));
                        prop_assert_eq!(slot.is_some(), model.len() < ROOM);
                        if let Some(slot) = slot {
                            prop_assert_eq!(locked.value(slot).each_ref().map(load), [0, 0]);
                            locked.value(slot).iter().for_each(|word| word.store(count as u64, Ordering::Relaxed));
                            model.push((number, count as u64));
                        }
                    }
                    Step::Touch(number) => {
                        let found = locked.find(&key(number));
                        prop_assert_eq!(found.is_some(), place(&model, number).is_some());
                        if let Some(slot) = found {
                            locked.touch(slot);
                            let at = place(&model, number).unwrap();
                            let record = model.remove(at);
                            model.push(record);
                        }
                    }
                    Step::Remove(number) => {
                        if let Some(slot) = locked.find(&key(number)) {
                            locked.remove(slot);
                            model.remove(place(&model, number).unwrap());
                        }
                    }
                    Step::RemoveOldest => {
                        prop_assert_eq!(locked.oldest().is_none(), model.is_empty());
                        if let Some(slot) = locked.oldest() {
                            locked.remove(slot);
                            model.remove(0);
                        }
                    }
                    Step::Die(damage) => {
                        locked.set(Word::Busy, 1);
                        for (slot, link, value) in damage {
                            let link = [Link::There, Link::Next, Link::Newer, Link::Older][usize::from(link)];
                            match slot {
                                0 => locked.set(Word::Newest, u32::from(value)),
                                slot => locked.set_link(u32::from(slot), link, u32::from(value)),
                            }
                        }
                        drop(locked);
                        // The order is lost, the records are not.
                        let found = all(&table.hold().unwrap());
                        let sorted = |mut records: Vec<(u8, u64)>| { records.sort_unstable(); records };
                        prop_assert_eq!(sorted(found.clone()), sorted(model));
                        model = found;
                        continue;
                    }
                }
                prop_assert_eq!(&all(&locked), &model);
            }
        }
    }

    #[test]
    fn processes_share_it() {
        let table = table();
        // SAFETY: the child only uses the table and leaves without running anything of the parent's.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let locked = table.hold();
                let slot = locked.as_ref().and_then(|locked| locked.insert(&key(7)));
                // SAFETY: it ends the process at once, with the lock in its hands.
                unsafe { libc::_exit(i32::from(slot.is_none())) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
                let locked = table.hold().unwrap();
                assert_eq!(all(&locked), [(7, 0)]);
                assert!(!locked.is_empty() && locked.find(&key(1)).is_none());
            }
        }
    }
}
