//! The cache manager: it gives up what nobody asks for, and what is too much.

use std::time::{Duration, Instant};

use super::zone::Oldest;
use super::{Cache, validity};
use crate::log::{Level, Record, emit};

/// The longest time between two looks. nginx looks every ten seconds at the latest, and lets a cache grow past its size meanwhile.
const LONGEST: Duration = Duration::from_secs(1);

/// Gives up what there is to give up, or as much as one turn allows; tells when to be called again.
pub fn work(cache: &Cache) -> Duration {
    let Some(table) = cache.table() else { return LONGEST };
    let since = Instant::now();
    let mut files = 0;
    let mut is_over = || {
        files += 1;
        files >= cache.manager.files.max(1) || since.elapsed() >= cache.manager.threshold
    };
    let wait = loop {
        match table.expire(validity::now()) {
            Oldest::Wait(seconds) => break Duration::from_secs(seconds),
            Oldest::Gone(key) => cache.unlink(key),
        }
        if is_over() {
            return cache.manager.sleep;
        }
    };
    while table.is_over(cache.max_size) || is_short(cache) {
        match table.evict() {
            Some(key) => cache.unlink(key),
            None => break,
        }
        if is_over() {
            return cache.manager.sleep;
        }
    }
    wait.min(LONGEST)
}

/// Whether less is left on the disk than should be.
fn is_short(cache: &Cache) -> bool {
    if cache.min_free == 0 {
        return false;
    }
    match nix::sys::statvfs::statvfs(&cache.path) {
        Ok(disk) => disk.blocks_available().saturating_mul(disk.fragment_size()) <= cache.min_free,
        Err(errno) => {
            let record = Record { error: Some(&errno.into()), ..Record::new(Level::Crit) };
            emit(&record, format_args!("statfs() \"{}\" failed", cache.path.display()));
            false
        }
    }
}
