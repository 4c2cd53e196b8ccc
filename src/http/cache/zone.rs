//! `keys_zone=`: what all workers know of a cache's entries, in memory that they share.
//!
//! Entries stand in one array. Buckets lead to them by key, and a list from the one that was asked for longest ago to the newest. Nobody
//! holds on to an entry: whoever is at work for a key asks for it again, so no use has to be given back by a process that dies. One that dies with
//! the lock may leave the links half done; the next to hold it makes them anew from the entries.

mod entries;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Status;
use super::key::Key;
use crate::shm::{Lock, Shared};
use entries::{Entry, USED, WORDS, field, head};

/// Memory for an entry with its bucket. nginx has room for some 8000 keys a megabyte.
const ENTRY: usize = WORDS * 8 + 8;
/// What a file takes from a disk: whole blocks.
pub(super) const BLOCK: u64 = 4096;
/// Entries looked at, from the oldest on, for one that may be given up; nginx's number.
const EVICTION_TRIES: usize = 20;

/// A zone of a configuration; [`Zone::open`] gives it memory.
#[derive(Debug)]
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Bytes, as configured.
    pub size: usize,
    table: OnceLock<Arc<Table>>,
}

impl Zone {
    /// A zone without memory yet.
    pub fn new(name: &str, size: usize) -> Self {
        Zone { name: name.to_owned(), size, table: OnceLock::new() }
    }

    /// Makes its memory, or takes that of `kept`.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn open(&self, kept: Option<&Zone>) -> io::Result<()> {
        let table = match kept.and_then(|kept| kept.table.get()) {
            Some(table) => table.clone(),
            None => Arc::new(Table::new(self.size)?),
        };
        self.table.get_or_init(|| table);
        Ok(())
    }

    /// The entries; `None` in a process that never opened it.
    pub fn table(&self) -> Option<&Table> {
        self.table.get().map(Arc::as_ref)
    }
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing so far: it is an entry from now on.
    New,
    /// It has been asked for too seldom to be kept.
    Seldom,
    /// It has been asked for often enough, but no file is known.
    Nothing,
    /// It has a file.
    File,
    /// Servers failed with this status, which is answered at once.
    Error(u16),
    /// There is no room for it.
    Full,
}

/// The right to bring an entry up to date, by a number that tells it from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant(u64);

/// What the manager is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oldest {
    /// The file of this key is to be removed, and [`Table::gone`] follows.
    Gone(Key),
    /// Nothing is to go before that many seconds.
    Wait(u64),
}

/// Figures of a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Entries, with files or without.
    pub entries: u64,
    /// Entries with files.
    pub files: u64,
    /// What the files take from the disk, in bytes.
    pub bytes: u64,
    /// Whether all files are known yet.
    pub loaded: bool,
    /// Requests, in the order of [`Status::ALL`].
    pub requests: [u64; Status::ALL.len()],
}

/// The memory of a zone.
pub struct Table {
    lock: Lock,
    head: Shared<AtomicU64>,
    buckets: Shared<AtomicU32>,
    entries: Shared<Entry>,
    /// In the order of [`Status::ALL`]; counted without the lock.
    requests: Shared<AtomicU64>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.figures().fmt(f)
    }
}

/// The kernel's monotonic clock, which is the same in all processes, in milliseconds.
pub fn monotonic() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The number of this process.
fn own_id() -> u64 {
    u64::from(std::process::id())
}

/// What a file of `length` bytes takes from a disk.
pub fn on_disk(length: u64) -> u64 {
    length.next_multiple_of(BLOCK)
}

impl Table {
    fn new(size: usize) -> io::Result<Self> {
        let count = (size / ENTRY).max(1);
        let table = Table {
            lock: Lock::new()?,
            head: Shared::new(head::WORDS)?,
            buckets: Shared::new(count * 2)?,
            entries: Shared::new(count)?,
            requests: Shared::new(Status::ALL.len())?,
        };
        table.rebuild();
        Ok(table)
    }

    /// Whether somebody is bringing it up to date at that time.
    fn is_held(&self, at: usize, now: u64) -> bool {
        self.get(at, field::LOCK) > now
    }

    /// Whether somebody is at work for it at that time.
    fn is_in_use(&self, at: usize, now: u64) -> bool {
        self.is_held(at, now) || self.get(at, field::CHANGER) != 0
    }

    /// Gives an entry up: one that has a file when that has gone.
    fn doom(&self, at: usize) {
        match self.has_file(at) {
            true => self.set(at, field::CHANGER, own_id()),
            false => self.remove(at),
        }
    }

    /// A request asks for a key: counts it. `now` and `expire` are seconds since 1970.
    pub fn ask(&self, key: Key, min_uses: u64, now: u64, expire: u64) -> Known {
        let ask = |table: &Self| {
            let Some(at) = table.find(key) else {
                let Some(at) = table.insert(key, expire) else {
                    let count = table.head[head::COUNT].load(Relaxed);
                    table.head[head::WATERMARK].store(count - count / 8, Relaxed);
                    return Known::Full;
                };
                table.set(at, field::USES, 1);
                return if min_uses > 1 { Known::Seldom } else { Known::New };
            };
            table.touch(at, expire);
            let uses = table.get(at, field::USES).saturating_add(1);
            table.set(at, field::USES, uses);
            let error = table.get(at, field::ERROR);
            if error != 0 {
                if error >> 16 >= now {
                    return Known::Error((error & 0xffff) as u16);
                }
                // A file that is still there is found next time; it goes on to count.
                table.set(at, field::ERROR, 0);
                return Known::New;
            }
            match table.has_file(at) {
                true => Known::File,
                false if uses >= min_uses => Known::Nothing,
                false => Known::Seldom,
            }
        };
        self.alone(ask).unwrap_or(Known::Full)
    }

    /// Somebody has used an entry, which becomes the newest.
    pub fn touched(&self, key: Key, expire: u64) {
        self.alone(|table| {
            if let Some(at) = table.find(key) {
                table.touch(at, expire);
            }
        });
    }

    /// Takes the right to bring an entry up to date for `age` milliseconds; `None`: somebody has it.
    pub fn hold(&self, key: Key, age: u64, expire: u64) -> Option<Grant> {
        let now = monotonic();
        self.alone(|table| {
            let at = table.find(key).or_else(|| table.insert(key, expire))?;
            if table.is_held(at, now) {
                return None;
            }
            table.add(head::GRANTS, 1);
            let grant = table.head[head::GRANTS].load(Relaxed);
            table.set(at, field::LOCK, now.saturating_add(age.max(1)));
            table.set(at, field::HOLDER, own_id());
            table.set(at, field::GRANT, grant);
            Some(Grant(grant))
        })?
    }

    /// Whether somebody brings the entry up to date.
    pub fn is_updating(&self, key: Key) -> bool {
        let now = monotonic();
        self.alone(|table| table.find(key).is_some_and(|at| table.is_held(at, now))).unwrap_or(false)
    }

    fn let_go(&self, at: usize, grant: Option<Grant>) {
        if grant.is_some_and(|grant| grant.0 == self.get(at, field::GRANT)) {
            self.set(at, field::LOCK, 0);
        }
    }

    /// Gives the right back.
    pub fn give_back(&self, key: Key, grant: Grant) {
        self.alone(|table| {
            if let Some(at) = table.find(key) {
                table.let_go(at, Some(grant));
            }
        });
    }

    /// A file is about to be put in the entry's place. Whoever dies before it has told of it is found by that.
    pub fn begin_storing(&self, key: Key, expire: u64) -> bool {
        let begin = |table: &Self| {
            let Some(at) = table.find(key).or_else(|| table.insert(key, expire)) else { return false };
            table.set(at, field::CHANGER, own_id());
            true
        };
        self.alone(begin).unwrap_or(false)
    }

    /// The file is in its place, and takes `size` bytes of the disk.
    pub fn stored(&self, key: Key, size: u64, expire: u64, grant: Option<Grant>) {
        self.alone(|table| {
            if let Some(at) = table.find(key).or_else(|| table.insert(key, expire)) {
                table.put_file(at, size);
                table.set(at, field::ERROR, 0);
                table.set(at, field::CHANGER, 0);
                table.let_go(at, grant);
            }
        });
    }

    /// A file of some `size` bytes cannot be written. Whether that is to be told: once by all processes, until one as large can be written again.
    pub fn unwritten(&self, size: u64) -> bool {
        let size = size.max(1);
        let least = |told: u64| Some(if told == 0 { size } else { told.min(size) });
        self.head[head::UNWRITTEN].fetch_update(Relaxed, Relaxed, least) == Ok(0)
    }

    /// A file of `size` bytes has been written.
    pub fn written(&self, size: u64) {
        let enough = |told: u64| (told != 0 && told <= size).then_some(0);
        let _ = self.head[head::UNWRITTEN].fetch_update(Relaxed, Relaxed, enough);
    }

    /// No file has been put in the entry's place after all.
    pub fn given_up(&self, key: Key) {
        self.alone(|table| {
            if let Some(at) = table.find(key).filter(|at| table.get(*at, field::CHANGER) == own_id()) {
                table.set(at, field::CHANGER, 0);
            }
        });
    }

    /// The file of this key is about to be removed, and [`Table::gone`] follows. Whether one was known.
    pub fn begin_removing(&self, key: Key) -> bool {
        let begin = |table: &Self| {
            let Some(at) = table.find(key) else { return false };
            table.set(at, field::CHANGER, own_id());
            table.has_file(at)
        };
        self.alone(begin).unwrap_or(false)
    }

    /// The file has gone that this process was to remove, and the entry with it, unless another has begun to put a new one there.
    pub fn gone(&self, key: Key) {
        let now = monotonic();
        self.alone(|table| {
            let Some(at) = table.find(key).filter(|at| table.get(*at, field::CHANGER) == own_id()) else { return };
            table.set(at, field::CHANGER, 0);
            match table.is_held(at, now) {
                true => table.drop_file(at),
                false => table.remove(at),
            }
        });
    }

    /// Nothing has been kept for this key: an entry that tells nothing and that nobody is at work for gives its place to others.
    pub fn forget(&self, key: Key) {
        let now = monotonic();
        self.alone(|table| {
            let tells = |at: usize| table.has_file(at) || table.get(at, field::ERROR) != 0;
            if let Some(at) = table.find(key).filter(|at| !tells(*at) && !table.is_in_use(*at, now)) {
                table.remove(at);
            }
        });
    }

    /// Servers fail for this key: it is answered with `status` until `valid`, in seconds since 1970.
    pub fn failed(&self, key: Key, status: u16, valid: u64) {
        self.alone(|table| {
            if let Some(at) = table.find(key) {
                table.set(at, field::ERROR, valid << 16 | u64::from(status));
            }
        });
    }

    /// A file that has been found: by the loader, or by a request before the loader came to it. False: there is no room for it.
    pub fn found(&self, key: Key, size: u64, expire: u64) -> bool {
        let add = |table: &Self| match table.find(key) {
            Some(at) if table.has_file(at) => true,
            Some(at) => {
                table.put_file(at, size);
                true
            }
            None => match table.insert(key, expire) {
                Some(at) => {
                    table.set(at, field::USES, 1);
                    table.put_file(at, size);
                    true
                }
                None => false,
            },
        };
        self.alone(add).unwrap_or(false)
    }

    /// The entry has no file any more, or none that is of use. Whether it had one.
    pub fn lost(&self, key: Key) -> bool {
        let lose = |table: &Self| {
            let Some(at) = table.find(key) else { return false };
            let had = table.has_file(at);
            table.drop_file(at);
            had
        };
        self.alone(lose).unwrap_or(false)
    }

    /// Makes room by giving up the entry that was asked for longest ago and that nobody is at work for: its file is to be removed.
    pub fn evict(&self) -> Option<Key> {
        let now = monotonic();
        self.alone(|table| {
            let mut next = table.head[head::OLDEST].load(Relaxed);
            for _ in 0..EVICTION_TRIES {
                let at = next.checked_sub(1)? as usize;
                next = table.get(at, field::NEWER);
                if !table.is_in_use(at, now) {
                    let key = table.key(at);
                    table.doom(at);
                    return Some(key);
                }
            }
            None
        })?
    }

    /// The oldest entry, where it is inactive at `now`, in seconds since 1970.
    pub fn expire(&self, now: u64) -> Oldest {
        let monotonic = monotonic();
        let expire = |table: &Self| {
            loop {
                let Some(at) = table.head[head::OLDEST].load(Relaxed).checked_sub(1) else { return Oldest::Wait(10) };
                let at = at as usize;
                let due = table.get(at, field::EXPIRE);
                if due > now {
                    return Oldest::Wait((due - now).min(10));
                }
                if table.is_in_use(at, monotonic) {
                    // Whoever is at it will be done by and by.
                    table.touch(at, now + 1);
                    continue;
                }
                let key = table.key(at);
                let had = table.has_file(at);
                table.doom(at);
                if had {
                    return Oldest::Gone(key);
                }
            }
        };
        self.alone(expire).unwrap_or(Oldest::Wait(10))
    }

    /// Whether there are more entries than the manager leaves, or their files take more than `max_size` bytes.
    pub fn is_over(&self, max_size: u64) -> bool {
        let word = |word: usize| self.head[word].load(Relaxed);
        let watermark = word(head::WATERMARK);
        word(head::BYTES) > max_size || (watermark > 0 && word(head::COUNT) >= watermark)
    }

    /// Whether all files are known.
    pub fn is_loaded(&self) -> bool {
        self.head[head::LOADED].load(Relaxed) != 0
    }

    /// All files are known.
    pub fn set_loaded(&self) {
        self.head[head::LOADED].store(1, Relaxed);
    }

    /// A process has died: what it was at work for is nobody's. Gives the keys whose files may be there or not; they are to be removed.
    pub fn bury(&self, pid: u32) -> Vec<Key> {
        let pid = u64::from(pid);
        let bury = |table: &Self| {
            let mut unsure = Vec::new();
            for at in 0..table.entries.len() {
                if table.get(at, field::STATE) & USED == 0 {
                    continue;
                }
                if table.get(at, field::HOLDER) == pid {
                    table.set(at, field::LOCK, 0);
                }
                if table.get(at, field::CHANGER) == pid {
                    table.set(at, field::CHANGER, own_id());
                    unsure.push(table.key(at));
                }
            }
            unsure
        };
        self.alone(bury).unwrap_or_default()
    }

    /// Counts a request that ended so.
    pub fn count(&self, status: Status) {
        self.requests[status as usize].fetch_add(1, Relaxed);
    }

    /// What there is now.
    pub fn figures(&self) -> Figures {
        let word = |word: usize| self.head[word].load(Relaxed);
        let mut requests = [0; Status::ALL.len()];
        requests.iter_mut().zip(self.requests.iter()).for_each(|(to, from)| *to = from.load(Relaxed));
        Figures {
            entries: word(head::COUNT),
            files: word(head::FILES),
            bytes: word(head::BYTES),
            loaded: self.is_loaded(),
            requests,
        }
    }
}

#[cfg(test)]
mod tests;
