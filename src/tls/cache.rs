//! `ssl_session_cache shared:name:size`: serialized sessions in memory that all workers see.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::shm::{Lock, Shared};

/// A named cache of a configuration; [`Zone::open`] gives it memory.
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Bytes, as configured.
    pub size: usize,
    cache: OnceLock<Arc<Cache>>,
}

impl Zone {
    /// A zone without memory: it finds nothing and keeps nothing.
    pub fn new(name: &str, size: usize) -> Self {
        Zone { name: name.to_owned(), size, cache: OnceLock::new() }
    }

    /// Makes its memory, or takes that of `kept`.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn open(&self, kept: Option<&Arc<Zone>>) -> io::Result<()> {
        let cache = match kept.and_then(|kept| kept.cache.get()) {
            Some(cache) => cache.clone(),
            None => Arc::new(Cache::new(self.size)?),
        };
        self.cache.get_or_init(|| cache);
        Ok(())
    }

    /// Keeps a session under its id.
    pub fn insert(&self, id: &[u8], session: &[u8]) {
        if let Some(cache) = self.cache.get() {
            cache.insert(id, session);
        }
    }

    /// The session kept under an id.
    pub fn find(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.cache.get()?.find(id)
    }

    /// Forgets a session.
    pub fn remove(&self, id: &[u8]) {
        if let Some(cache) = self.cache.get() {
            cache.remove(id);
        }
    }
}

/// Words of an entry before the session: its length, and the id padded with zeros.
const HEADER: usize = 5;
/// The longest id (`SSL_MAX_SSL_SESSION_ID_LENGTH`).
const ID: usize = 32;
/// Slots that an id may be in.
const WAYS: usize = 8;
/// Bytes of memory for each slot of the index. A session without a client's certificate takes some 200 to 300.
const BYTES_A_SLOT: usize = 128;

/// A ring of entries, the oldest of which are overwritten, and an index into it by id.
///
/// Positions count words from the beginning and never wrap, so a position tells how old an entry is, and an entry is there as long as
/// the ring has not come round to it. Nothing needs to be freed or mended: a worker may die at any word.
struct Cache {
    lock: Lock,
    /// The position of the next entry.
    head: Shared<AtomicU64>,
    /// Buckets of [`WAYS`] slots: the position of an entry plus 1, or 0.
    index: Shared<AtomicU64>,
    ring: Shared<AtomicU64>,
}

type Id = [u8; ID];

fn padded(id: &[u8]) -> Option<Id> {
    let mut padded = [0; ID];
    padded.get_mut(..id.len())?.copy_from_slice(id);
    Some(padded)
}

impl Cache {
    fn new(size: usize) -> io::Result<Self> {
        let slots = (size / BYTES_A_SLOT).next_multiple_of(WAYS).max(WAYS);
        let words = (size / 8).saturating_sub(slots).max(HEADER);
        Ok(Cache { lock: Lock::new()?, head: Shared::new(1)?, index: Shared::new(slots)?, ring: Shared::new(words)? })
    }

    fn word(&self, position: u64) -> &AtomicU64 {
        &self.ring[(position % self.ring.len() as u64) as usize]
    }

    fn put(&self, position: u64, bytes: &[u8]) {
        for (position, chunk) in (position..).zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(position).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    fn get(&self, position: u64, length: usize) -> Vec<u8> {
        let words = position..position + length.div_ceil(8) as u64;
        let mut bytes: Vec<u8> =
            words.flat_map(|position| self.word(position).load(Ordering::Relaxed).to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }

    /// The slots for an id. Ids are made by OpenSSL at random, so a part of one is as good as a hash.
    fn bucket(&self, id: &Id) -> &[AtomicU64] {
        let (first, _) = id.split_first_chunk().expect("an id is longer");
        let bucket = u64::from_le_bytes(*first) as usize % (self.index.len() / WAYS);
        &self.index[bucket * WAYS..][..WAYS]
    }

    /// The position a slot leads to, while the ring has not come round to it.
    fn position(&self, slot: &AtomicU64) -> Option<u64> {
        let position = slot.load(Ordering::Relaxed).checked_sub(1)?;
        let head = self.head[0].load(Ordering::Relaxed);
        (head.checked_sub(position)? <= self.ring.len() as u64).then_some(position)
    }

    fn holds(&self, position: u64, id: &Id) -> bool {
        self.get(position + 1, ID) == id
    }

    fn insert(&self, id: &[u8], session: &[u8]) {
        let Some(id) = padded(id) else { return };
        let words = HEADER + session.len().div_ceil(8);
        // One client's chain of certificates should not push out everyone else's sessions.
        if words > self.ring.len() / 4 {
            return;
        }
        let Some(_held) = self.lock.hold() else { return };
        let start = self.head[0].load(Ordering::Relaxed);
        // First of all: what is about to be overwritten is there no more.
        self.head[0].store(start + words as u64, Ordering::Relaxed);
        self.put(start, &(session.len() as u64).to_le_bytes());
        self.put(start + 1, &id);
        self.put(start + HEADER as u64, session);
        let age = |slot: &&AtomicU64| match self.position(slot) {
            Some(position) if self.holds(position, &id) => 0,
            found => found.map_or(1, |position| position + 2),
        };
        if let Some(slot) = self.bucket(&id).iter().min_by_key(age) {
            slot.store(start + 1, Ordering::Relaxed);
        }
    }

    fn find(&self, id: &[u8]) -> Option<Vec<u8>> {
        let id = padded(id)?;
        let _held = self.lock.hold()?;
        let mut entries = self.bucket(&id).iter().filter_map(|slot| self.position(slot));
        let position = entries.find(|&position| self.holds(position, &id))?;
        let length = self.word(position).load(Ordering::Relaxed) as usize;
        (length <= self.ring.len() * 8).then(|| self.get(position + HEADER as u64, length))
    }

    fn remove(&self, id: &[u8]) {
        let Some(id) = padded(id) else { return };
        let Some(_held) = self.lock.hold() else { return };
        for slot in self.bucket(&id) {
            if self.position(slot).is_some_and(|position| self.holds(position, &id)) {
                slot.store(0, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(size: usize) -> Arc<Zone> {
        let zone = Zone::new("z", size);
        zone.open(None).unwrap();
        Arc::new(zone)
    }

    fn id(number: u32) -> Vec<u8> {
        // Spread as random ids are.
        (0..8u32).flat_map(|i| (number.wrapping_mul(2_654_435_761).wrapping_add(i * 40_503)).to_le_bytes()).collect()
    }

    #[test]
    fn a_zone_without_memory_keeps_nothing() {
        let zone = Zone::new("z", 65536);
        zone.insert(&id(1), b"x");
        assert_eq!(zone.find(&id(1)), None);
    }

    #[test]
    fn the_newest_session_of_an_id_is_found_and_removed() {
        let zone = zone(65536);
        zone.insert(&id(1), b"old");
        zone.insert(&id(1), b"newer one");
        zone.insert(&id(2), b"");
        assert_eq!(zone.find(&id(1)).unwrap(), b"newer one");
        assert_eq!(zone.find(&id(2)).unwrap(), b"");
        zone.remove(&id(1));
        assert_eq!(zone.find(&id(1)), None);
        assert_eq!(zone.find(&[9; 33]), None);
    }

    #[test]
    fn the_oldest_sessions_make_room_and_a_huge_one_is_not_taken() {
        let zone = zone(65536);
        for number in 0..10_000 {
            zone.insert(&id(number), &[number as u8; 200]);
        }
        assert_eq!(zone.find(&id(0)), None);
        let found = (9_900..10_000).filter(|&number| zone.find(&id(number)) == Some(vec![number as u8; 200])).count();
        assert!(found >= 95, "{found} of the last 100");
        zone.insert(&id(1), &[1; 30_000]);
        assert_eq!(zone.find(&id(1)), None);
    }

    #[test]
    fn the_next_configuration_finds_them() {
        let old = zone(65536);
        old.insert(&id(1), b"session");
        let new = Zone::new("z", 65536);
        new.open(Some(&old)).unwrap();
        assert_eq!(new.find(&id(1)).unwrap(), b"session");
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_was_put(entries in prop::collection::vec((0..40u32, prop::collection::vec(any::<u8>(), 0..700)), 1..200)) {
            let zone = zone(32768);
            let mut last = std::collections::HashMap::new();
            for (number, session) in entries {
                zone.insert(&id(number), &session);
                prop_assert_eq!(zone.find(&id(number)), Some(session.clone()));
                last.insert(number, session);
            }
            for (number, session) in last {
                prop_assert!(zone.find(&id(number)).is_none_or(|found| found == session));
            }
        }
    }
}
