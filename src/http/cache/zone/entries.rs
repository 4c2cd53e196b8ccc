//! How entries stand in the memory of a zone: an array, buckets that lead to them, a list by age, and sums. All of it is made anew from the
//! entries where somebody has died in the middle of a change.

use std::collections::BTreeMap;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Relaxed, Release},
};

use super::{Key, Table};

/// Words of an entry.
pub(super) const WORDS: usize = 14;

pub(super) type Entry = [AtomicU64; WORDS];

/// The fields of an entry, by their words.
pub(super) mod field {
    /// The key is two words.
    pub const KEY: usize = 0;
    /// The next entry of the bucket, plus 1.
    pub const CHAIN: usize = 2;
    pub const OLDER: usize = 3;
    pub const NEWER: usize = 4;
    /// Whether it is an entry, and has a file.
    pub const STATE: usize = 5;
    pub const USES: usize = 6;
    pub const SIZE: usize = 7;
    /// When it is inactive; seconds since 1970.
    pub const EXPIRE: usize = 8;
    /// Until when it is being updated; milliseconds of the kernel's monotonic clock. 0: nobody is at it.
    pub const LOCK: usize = 9;
    /// The process that is at it.
    pub const HOLDER: usize = 10;
    /// Of an error that is kept: status, and until when (seconds since 1970).
    pub const ERROR: usize = 11;
    /// The process that is about to put a file in its place, or to take it away: when that dies nobody knows what is there.
    pub const CHANGER: usize = 12;
    /// The right under which somebody is at it.
    pub const GRANT: usize = 13;
}

pub(super) const USED: u64 = 1;
const EXISTS: u64 = 2;

/// The words of the head.
pub(super) mod head {
    /// A change is under way.
    pub const DIRTY: usize = 0;
    /// The entry asked for longest ago, and the newest; plus 1.
    pub const OLDEST: usize = 1;
    pub const NEWEST: usize = 2;
    /// A chain of free entries.
    pub const FREE: usize = 3;
    pub const COUNT: usize = 4;
    pub const BYTES: usize = 5;
    /// The loader has seen all files.
    pub const LOADED: usize = 6;
    /// Entries that the manager leaves, once there was no room for one.
    pub const WATERMARK: usize = 7;
    /// Entries that have a file.
    pub const FILES: usize = 8;
    /// Rights that have been given so far.
    pub const GRANTS: usize = 9;
    /// Bytes of the smallest file that could not be written, as far as that is told already; 0: none.
    pub const UNWRITTEN: usize = 10;
    pub const WORDS: usize = 11;
}

impl Table {
    /// Runs `change` alone; `None` when the lock cannot be had.
    pub(super) fn alone<T>(&self, change: impl FnOnce(&Self) -> T) -> Option<T> {
        let _held = self.lock.hold()?;
        // No step of the change may be seen without the word, wherever a process is killed.
        if self.head[head::DIRTY].swap(1, AcqRel) != 0 {
            self.rebuild();
        }
        let result = change(self);
        self.head[head::DIRTY].store(0, Release);
        Some(result)
    }

    /// Makes all links and sums anew, in the order of the times at which entries become inactive.
    pub(super) fn rebuild(&self) {
        self.buckets.iter().for_each(|bucket| bucket.store(0, Relaxed));
        for word in [head::OLDEST, head::NEWEST, head::FREE, head::COUNT, head::BYTES, head::FILES] {
            self.head[word].store(0, Relaxed);
        }
        let mut by_age: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (at, entry) in self.entries.iter().enumerate().rev() {
            let get = |field: usize| entry[field].load(Relaxed);
            if get(field::STATE) & USED == 0 {
                self.free(at);
            } else {
                by_age.entry(get(field::EXPIRE)).or_default().push(at);
            }
        }
        for at in by_age.into_values().flatten() {
            self.add(head::COUNT, 1);
            self.link(at);
            self.append(at);
            if self.has_file(at) {
                self.add(head::FILES, 1);
                self.add(head::BYTES, self.get(at, field::SIZE));
            }
        }
    }

    pub(super) fn get(&self, at: usize, field: usize) -> u64 {
        self.entries[at][field].load(Relaxed)
    }

    pub(super) fn set(&self, at: usize, field: usize, value: u64) {
        self.entries[at][field].store(value, Relaxed);
    }

    pub(super) fn add(&self, word: usize, more: u64) {
        self.head[word].store(self.head[word].load(Relaxed).saturating_add(more), Relaxed);
    }

    pub(super) fn subtract(&self, word: usize, less: u64) {
        self.head[word].store(self.head[word].load(Relaxed).saturating_sub(less), Relaxed);
    }

    pub(super) fn key(&self, at: usize) -> Key {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.get(at, field::KEY).to_le_bytes());
        key[8..].copy_from_slice(&self.get(at, field::KEY + 1).to_le_bytes());
        Key(key)
    }

    pub(super) fn bucket(&self, key: Key) -> &AtomicU32 {
        // A digest is as good as a hash.
        let (low, _) = key.0.split_first_chunk::<8>().expect("a key is longer");
        &self.buckets[(u64::from_le_bytes(*low) % self.buckets.len() as u64) as usize]
    }

    pub(super) fn find(&self, key: Key) -> Option<usize> {
        let mut next = u64::from(self.bucket(key).load(Relaxed));
        while let Some(at) = next.checked_sub(1) {
            let at = at as usize;
            if self.key(at) == key {
                return Some(at);
            }
            next = self.get(at, field::CHAIN);
        }
        None
    }

    /// Puts an entry into its bucket.
    pub(super) fn link(&self, at: usize) {
        let bucket = self.bucket(self.key(at));
        self.set(at, field::CHAIN, u64::from(bucket.load(Relaxed)));
        bucket.store(at as u32 + 1, Relaxed);
    }

    pub(super) fn unlink(&self, at: usize) {
        let bucket = self.bucket(self.key(at));
        let after = self.get(at, field::CHAIN);
        let mut next = u64::from(bucket.load(Relaxed));
        if next == at as u64 + 1 {
            bucket.store(after as u32, Relaxed);
            return;
        }
        while let Some(before) = next.checked_sub(1) {
            next = self.get(before as usize, field::CHAIN);
            if next == at as u64 + 1 {
                self.set(before as usize, field::CHAIN, after);
                return;
            }
        }
    }

    /// Makes an entry the newest.
    pub(super) fn append(&self, at: usize) {
        let newest = self.head[head::NEWEST].swap(at as u64 + 1, Relaxed);
        self.set(at, field::OLDER, newest);
        self.set(at, field::NEWER, 0);
        match newest.checked_sub(1) {
            Some(newest) => self.set(newest as usize, field::NEWER, at as u64 + 1),
            None => self.head[head::OLDEST].store(at as u64 + 1, Relaxed),
        }
    }

    pub(super) fn take_out(&self, at: usize) {
        let (older, newer) = (self.get(at, field::OLDER), self.get(at, field::NEWER));
        match older.checked_sub(1) {
            Some(older) => self.set(older as usize, field::NEWER, newer),
            None => self.head[head::OLDEST].store(newer, Relaxed),
        }
        match newer.checked_sub(1) {
            Some(newer) => self.set(newer as usize, field::OLDER, older),
            None => self.head[head::NEWEST].store(older, Relaxed),
        }
    }

    pub(super) fn touch(&self, at: usize, expire: u64) {
        self.set(at, field::EXPIRE, expire);
        self.take_out(at);
        self.append(at);
    }

    pub(super) fn free(&self, at: usize) {
        self.set(at, field::STATE, 0);
        self.set(at, field::CHAIN, self.head[head::FREE].swap(at as u64 + 1, Relaxed));
    }

    /// A new entry; `None`: there is no room for it.
    pub(super) fn insert(&self, key: Key, expire: u64) -> Option<usize> {
        let at = self.head[head::FREE].load(Relaxed).checked_sub(1)? as usize;
        self.head[head::FREE].store(self.get(at, field::CHAIN), Relaxed);
        for field in 0..WORDS {
            self.set(at, field, 0);
        }
        let (low, high) = key.0.split_at(8);
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.set(at, field::KEY, word(low));
        self.set(at, field::KEY + 1, word(high));
        self.set(at, field::EXPIRE, expire);
        self.set(at, field::STATE, USED);
        self.link(at);
        self.append(at);
        self.add(head::COUNT, 1);
        Some(at)
    }

    pub(super) fn drop_file(&self, at: usize) {
        if self.has_file(at) {
            self.set(at, field::STATE, USED);
            self.subtract(head::BYTES, self.get(at, field::SIZE));
            self.subtract(head::FILES, 1);
        }
        self.set(at, field::SIZE, 0);
    }

    pub(super) fn put_file(&self, at: usize, size: u64) {
        self.drop_file(at);
        self.set(at, field::SIZE, size);
        self.set(at, field::STATE, USED | EXISTS);
        self.add(head::BYTES, size);
        self.add(head::FILES, 1);
    }

    pub(super) fn remove(&self, at: usize) {
        self.drop_file(at);
        self.take_out(at);
        self.unlink(at);
        self.free(at);
        self.subtract(head::COUNT, 1);
    }

    pub(super) fn has_file(&self, at: usize) -> bool {
        self.get(at, field::STATE) & EXISTS != 0
    }
}
