//! What workers share about peers: open sessions, accesses, what checks have found, and who checks.
//!
//! Each peer has a [`Record`] in shared memory. The [`Roster`] of a configuration gives every peer its record: that of an earlier
//! configuration where group and address are the same, so that counters, health and the sessions of finishing workers go on counting over a
//! reload, or one in a new [`Region`]. A region is unmapped when no configuration and no worker uses any of its records.
//!
//! Open sessions are counted in one row a worker. Rows are unique among the living workers, finishing ones included, so
//! the row of a worker that died can be wiped, and its sessions count no longer.
//!
//! The addresses of names that are followed come and go at run time; their records are [`spares`].

pub mod spares;

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Group;
use crate::shm::Shared;
use spares::{Pool, Spares};

/// How many workers may live at once, finishing ones included: four generations of as many as can be configured. Rows that were
/// never used take no memory.
pub const ROWS: usize = 4096;

/// Counters in a cache line of 64 bytes: rows begin at one, so that workers do not write to each other's.
const LINE: usize = 64 / size_of::<AtomicU32>();

/// What a record holds beside the rows, a cache line in all.
type Cells = [AtomicU64; 8];

/// The places in [`Cells`].
#[derive(Clone, Copy)]
enum Cell {
    Health,
    /// Successes in a row.
    Rises,
    /// Failures in a row.
    Falls,
    /// Sessions there ever were.
    Accesses,
    /// How often it went down.
    Descents,
    /// Who checks the peer and until when: milliseconds since the epoch, and in the low [`ROW_BITS`] bits the row. 0: nobody.
    Lease,
    /// When the last probe began: milliseconds since the epoch; 0: never.
    Probed,
    /// Of a spare record: the address it belongs to; 0: none yet.
    Name,
}

/// The cell of a region's header (which stands behind its records) that tells how many rows have been in use.
const ROWS_USED: usize = 0;

const ROW_BITS: u32 = 16;

/// The memory of the peers that one configuration brought.
struct Region {
    /// One a peer, and the header.
    cells: Shared<Cells>,
    /// Row after row, [`ROWS`] of them.
    sessions: Shared<AtomicU32>,
    /// Counters in a row, of which the last few may be unused.
    width: usize,
    /// What times are counted from; the same for all regions of a master.
    epoch: Instant,
}

impl Region {
    fn new(peers: usize, epoch: Instant) -> io::Result<Self> {
        let width = peers.next_multiple_of(LINE);
        Ok(Region { cells: Shared::new(peers + 1)?, sessions: Shared::new(width * ROWS)?, width, epoch })
    }

    fn rows_used(&self) -> &AtomicU64 {
        &self.cells[self.cells.len() - 1][ROWS_USED]
    }
}

/// What checks have found out about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// No probe has come to an end yet.
    Unknown,
    /// It serves.
    Up,
    /// It is to be passed over.
    Down,
}

/// What workers share about one peer. Everything is counted without locks, so two workers may take a peer's last place at once.
#[derive(Clone)]
pub struct Record {
    region: Rc<Region>,
    index: usize,
}

impl Record {
    /// Whether both are of the same peer.
    pub fn is(&self, other: &Record) -> bool {
        Rc::ptr_eq(&self.region, &other.region) && self.index == other.index
    }

    fn cell(&self, cell: Cell) -> &AtomicU64 {
        &self.region.cells[self.index][cell as usize]
    }

    fn load(&self, cell: Cell) -> u64 {
        self.cell(cell).load(Ordering::Relaxed)
    }

    fn row(&self, row: usize) -> &AtomicU32 {
        &self.region.sessions[row * self.region.width + self.index]
    }

    /// To be called before a worker enters with its row, so that it counts in [`Record::sessions`].
    pub fn open_row(&self, row: usize) {
        self.region.rows_used().fetch_max(row as u64 + 1, Ordering::Relaxed);
    }

    /// Sessions now open with the peer, of all workers.
    pub fn sessions(&self) -> u32 {
        let rows = self.region.rows_used().load(Ordering::Relaxed) as usize;
        (0..rows).map(|row| self.row(row).load(Ordering::Relaxed)).sum()
    }

    /// Those of them that the worker with this row has.
    pub fn sessions_of(&self, row: usize) -> u32 {
        self.row(row).load(Ordering::Relaxed)
    }

    /// One more session of the worker with this row.
    pub fn enter(&self, row: usize) {
        self.row(row).fetch_add(1, Ordering::Relaxed);
    }

    /// One session less of this worker.
    pub fn leave(&self, row: usize) {
        let before = self.row(row).fetch_sub(1, Ordering::Relaxed);
        debug_assert_ne!(before, 0, "a peer was left more often than entered");
    }

    /// The worker with this row counts its sessions anew.
    pub fn forget_sessions(&self, row: usize) {
        self.row(row).store(0, Ordering::Relaxed);
    }

    /// Counts an access; only checked peers are asked for them.
    pub fn access(&self) {
        self.cell(Cell::Accesses).fetch_add(1, Ordering::Relaxed);
    }

    /// Sessions there ever were.
    pub fn accesses(&self) -> u64 {
        self.load(Cell::Accesses)
    }

    /// What checks have found out.
    pub fn health(&self) -> Health {
        match self.load(Cell::Health) {
            0 => Health::Unknown,
            1 => Health::Up,
            _ => Health::Down,
        }
    }

    /// Probes in a row that the peer passed.
    pub fn rises(&self) -> u64 {
        self.load(Cell::Rises)
    }

    /// Probes in a row that the peer failed.
    pub fn falls(&self) -> u64 {
        self.load(Cell::Falls)
    }

    /// How often the peer went down.
    pub fn descents(&self) -> u64 {
        self.load(Cell::Descents)
    }

    /// A probe has come to an end. The first one decides at once; later ones after `rise` or `fall` in a row. Returns what the peer has
    /// become, if that has changed. For the holder of the lease only.
    pub fn report(&self, alive: bool, rise: u32, fall: u32) -> Option<Health> {
        let (count, other, needed, becomes) = match alive {
            true => (Cell::Rises, Cell::Falls, rise, Health::Up),
            false => (Cell::Falls, Cell::Rises, fall, Health::Down),
        };
        self.cell(other).store(0, Ordering::Relaxed);
        let count = self.cell(count).fetch_add(1, Ordering::Relaxed) + 1;
        let health = self.health();
        if health == becomes || (health != Health::Unknown && count < u64::from(needed)) {
            return None;
        }
        self.cell(Cell::Health).store(becomes as u64, Ordering::Relaxed);
        if becomes == Health::Down {
            self.cell(Cell::Descents).fetch_add(1, Ordering::Relaxed);
        }
        Some(becomes)
    }

    /// Forgets what checks found out before the peer was unchecked for a time.
    pub(super) fn forget_health(&self) {
        for cell in [Cell::Health, Cell::Rises, Cell::Falls, Cell::Probed] {
            self.cell(cell).store(0, Ordering::Relaxed);
        }
    }

    fn milliseconds(&self, when: Instant) -> u64 {
        when.saturating_duration_since(self.region.epoch).as_millis() as u64
    }

    fn instant(&self, milliseconds: u64) -> Instant {
        self.region.epoch + Duration::from_millis(milliseconds)
    }

    /// Takes the lease on checking the peer for the worker with this row, or prolongs it.
    ///
    /// # Errors
    /// Another worker has it; when it is free again unless prolonged.
    pub fn lease(&self, row: usize, now: Instant, until: Instant) -> Result<(), Instant> {
        let lease = self.cell(Cell::Lease);
        let old = lease.load(Ordering::Acquire);
        if old >> ROW_BITS > self.milliseconds(now) && !held(old, row) {
            return Err(self.instant(old >> ROW_BITS));
        }
        let new = self.milliseconds(until) << ROW_BITS | row as u64;
        let taken = lease.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
        taken.map(|_| ()).map_err(|other| self.instant(other >> ROW_BITS))
    }

    /// Whether the worker with this row was the last to take the lease.
    pub fn leased_by(&self, row: usize) -> bool {
        held(self.cell(Cell::Lease).load(Ordering::Acquire), row)
    }

    /// Gives the lease back, if the worker with this row has it.
    pub fn release_lease(&self, row: usize) {
        let lease = self.cell(Cell::Lease);
        let old = lease.load(Ordering::Acquire);
        if held(old, row) {
            // Another that took it meanwhile keeps it.
            let _ = lease.compare_exchange(old, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// When the last probe began; `None`: there was none yet, or its end was not seen before the first verdict.
    pub fn probed(&self) -> Option<Instant> {
        let probed = self.load(Cell::Probed);
        (probed != 0 && self.health() != Health::Unknown).then(|| self.instant(probed))
    }

    /// A probe begins.
    pub fn begin_probe(&self, now: Instant) {
        self.cell(Cell::Probed).store(self.milliseconds(now).max(1), Ordering::Relaxed);
    }
}

fn held(lease: u64, row: usize) -> bool {
    lease != 0 && lease & ((1 << ROW_BITS) - 1) == row as u64
}

/// What makes a peer the same one in another configuration: the names of its group and its address, and which of
/// several equal ones it is.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    group: String,
    peer: String,
    nth: usize,
}

/// The records of all peers of a configuration. The master makes one before it forks.
pub struct Roster {
    /// By group, then by peer with a fixed address.
    groups: Vec<Vec<Record>>,
    /// By group; `None` for one that follows no names.
    pools: Vec<Option<Pool>>,
    known: HashMap<Key, Known>,
    epoch: Instant,
}

struct Known {
    record: Record,
    /// Whether the peer's group is checked; if not, its health is out of date.
    checked: bool,
}

impl Roster {
    /// Gives each peer of `groups` with a fixed address the record it has in one of `older`, the present one first, or a new one; and
    /// each group that follows names the spare records it has there, or new ones.
    ///
    /// # Errors
    /// No memory for the new ones.
    pub fn new<'a>(groups: impl IntoIterator<Item = &'a Group>, older: &[&Roster]) -> io::Result<Self> {
        let groups: Vec<&Group> = groups.into_iter().collect();
        let epoch = older.first().map_or_else(Instant::now, |roster| roster.epoch);
        let keys = keys(&groups);
        let find = |key: &Key| older.iter().find_map(|roster| roster.known.get(key));
        let new = keys.iter().flatten().filter(|key| find(key).is_none()).count();
        let region = Rc::new(Region::new(new, epoch)?);
        let mut added = (0..new).map(|index| Record { region: Rc::clone(&region), index });
        let mut roster = Roster { groups: Vec::new(), pools: Vec::new(), known: HashMap::new(), epoch };
        for (group, keys) in groups.iter().zip(keys) {
            let checked = group.check.is_some();
            let mut records = Vec::with_capacity(keys.len());
            for key in keys {
                let record = match find(&key) {
                    Some(known) => {
                        if checked && !known.checked {
                            known.record.forget_health();
                        }
                        Some(known.record.clone())
                    }
                    None => added.next(),
                };
                // There are as many new records as keys that were not found.
                let Some(record) = record else { continue };
                roster.known.insert(key, Known { record: record.clone(), checked });
                records.push(record);
            }
            roster.groups.push(records);
        }
        for (number, group) in groups.iter().enumerate() {
            let nth = groups[..number].iter().filter(|twin| twin.name == group.name).count();
            let known = older.iter().flat_map(|roster| roster.pools.iter().flatten());
            let follows = !group.followed.is_empty();
            roster.pools.push(if follows { Some(Pool::new(group, nth, known, epoch)?) } else { None });
        }
        Ok(roster)
    }

    /// The records of those peers of the group with this number that have a fixed address.
    pub fn records(&self, group: usize) -> &[Record] {
        &self.groups[group]
    }

    /// The spare records of the group with this number, if it follows names.
    pub fn spares(&self, group: usize) -> Option<&Spares> {
        self.pools[group].as_ref().map(Pool::spares)
    }

    /// Wipes what a worker that died has left: its sessions, its leases.
    pub fn clear(&self, row: usize) {
        for Known { record, .. } in self.known.values() {
            record.row(row).store(0, Ordering::Relaxed);
            record.release_lease(row);
        }
        for pool in self.pools.iter().flatten() {
            pool.spares().clear(row);
        }
    }
}

/// The keys of all peers with a fixed address, by group.
fn keys(groups: &[&Group]) -> Vec<Vec<Key>> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    let mut all = Vec::with_capacity(groups.len());
    for group in groups {
        let mut keys = Vec::with_capacity(group.peers.len());
        for peer in group.peers.iter().filter(|peer| peer.line.is_none()) {
            let seen = seen.entry((&group.name, &peer.name)).or_default();
            keys.push(Key { group: group.name.clone(), peer: peer.name.to_string(), nth: *seen });
            *seen += 1;
        }
        all.push(keys);
    }
    all
}

#[cfg(test)]
mod tests;
