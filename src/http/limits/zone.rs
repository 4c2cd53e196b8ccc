//! `limit_req_zone`, `limit_conn_zone`: memory where workers count requests together.

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use openssl::sha::sha256;

use super::{Named, connections};
use crate::conf::{Error, Result};
use crate::http::variables::Text;
use crate::shm::Shared;
use crate::shm::table::{Key, Locked, Table};
use crate::upstream::shared::ROWS;

/// What is counted in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Requests in a time: how many thousandths of one are forgotten a second.
    Requests {
        rate: u64,
    },
    Connections,
}

impl Kind {
    /// The directive that declares it.
    pub(super) fn directive(self) -> &'static str {
        match self {
            Kind::Requests { .. } => "limit_req_zone",
            Kind::Connections => "limit_conn_zone",
        }
    }
}

/// A zone of a configuration; [`Zone::open`] gives it memory.
pub struct Zone {
    pub(super) name: String,
    /// Bytes, as configured.
    pub(super) size: usize,
    pub(super) kind: Kind,
    /// What requests are counted by.
    pub(super) key: Text,
    /// The same as written.
    pub(super) key_text: String,
    memory: OnceCell<Rc<Memory>>,
}

impl fmt::Debug for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "zone {}", self.name)
    }
}

struct Memory {
    table: Table<2>,
    /// Workers that have died with what they had counted.
    dead: Dead,
    /// What times are counted from.
    epoch: Instant,
}

impl Zone {
    pub(super) fn new(name: &str, size: usize, kind: Kind, key: Text, key_text: String) -> Self {
        Zone { name: name.to_owned(), size, kind, key, key_text, memory: OnceCell::new() }
    }

    /// Makes its memory; a zone of `kept` that counts the same gives it what it has counted.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn open(&self, kept: &[Rc<Zone>]) -> io::Result<()> {
        let same = |old: &&Rc<Zone>| {
            (&old.name, old.size, old.kind.directive(), &old.key_text)
                == (&self.name, self.size, self.kind.directive(), &self.key_text)
        };
        let memory = match kept.iter().find(same).and_then(|old| old.memory.get()) {
            Some(memory) => memory.clone(),
            None => Rc::new(Memory { table: Table::new(self.bytes())?, dead: Dead::new()?, epoch: Instant::now() }),
        };
        self.memory.get_or_init(|| memory);
        Ok(())
    }

    /// Connections of a key are counted twice, of which the configuration need not know.
    fn bytes(&self) -> usize {
        match self.kind {
            Kind::Requests { .. } => self.size,
            Kind::Connections => self.size.saturating_mul(2),
        }
    }

    /// The worker with this row has died, and so have the requests that it has counted as being at work.
    pub fn bury(&self, row: usize) {
        if let (Kind::Connections, Some(memory)) = (self.kind, self.memory.get()) {
            memory.dead.add(row);
        }
    }

    /// The counters, which are this worker's for the time; and milliseconds that have passed since some moment.
    pub(super) fn hold(&self, now: Instant) -> Option<(Locked<'_, 2>, u64)> {
        let memory = self.memory.get()?;
        let locked = memory.table.hold()?;
        if let Some(dead) = memory.dead.take() {
            connections::forget(&locked, &dead);
        }
        Some((locked, now.saturating_duration_since(memory.epoch).as_millis() as u64))
    }
}

/// Rows of workers that have died, which whoever counts next is to forget: the master, who knows of it, waits for no lock.
struct Dead {
    /// A bit for each row, and behind them whether there is any.
    bits: Shared<AtomicU64>,
}

impl Dead {
    const WORDS: usize = ROWS.div_ceil(64);

    fn new() -> io::Result<Self> {
        Ok(Dead { bits: Shared::new(Self::WORDS + 1)? })
    }

    fn add(&self, row: usize) {
        self.bits[row / 64].fetch_or(1 << (row % 64), Ordering::Relaxed);
        self.bits[Self::WORDS].store(1, Ordering::Release);
    }

    /// Those that were added since this was asked last.
    fn take(&self) -> Option<Vec<usize>> {
        let any = &self.bits[Self::WORDS];
        if any.load(Ordering::Relaxed) == 0 || any.swap(0, Ordering::Acquire) == 0 {
            return None;
        }
        let words = self.bits[..Self::WORDS].iter().map(|word| word.swap(0, Ordering::Relaxed)).enumerate();
        Some(
            words
                .flat_map(|(place, word)| {
                    (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| place * 64 + bit)
                })
                .collect(),
        )
    }
}

/// What a key is counted under.
pub(super) fn digest(key: &[u8]) -> Key {
    let digest = sha256(key);
    *digest.first_chunk().expect("a digest is longer")
}

/// The zone of a name.
///
/// # Errors
/// nginx's message: there is none, or it is of another kind.
pub(super) fn find(zones: &[Rc<Zone>], named: &Named, fits: impl Fn(&Kind) -> bool) -> Result<Rc<Zone>> {
    let (name, place) = named;
    match zones.iter().find(|zone| zone.name == *name) {
        Some(zone) if fits(&zone.kind) => Ok(zone.clone()),
        Some(_) => {
            Err(Error::at(place, format!("the shared memory zone \"{name}\" is already declared for a different use")))
        }
        None => Err(Error::at(place, format!("zero size shared memory zone \"{name}\""))),
    }
}
