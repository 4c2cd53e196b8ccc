//! `limit_req`: a bucket that leaks at a rate, for each key.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::zone::{Kind, Zone, digest};
use super::{Limited, Limits, Status, key_of};
use crate::http::variables::Values;
use crate::log::Level;
use crate::shm::table::{Key, Locked, Slot};

/// nginx's bound of keys.
const LONGEST: usize = 65_535;
/// Milliseconds after which an empty bucket may be forgotten, nginx's.
const FORGET: u64 = 60_000;
/// One request, in the unit of what a bucket holds.
const REQUEST: u64 = 1000;

/// The words of a record.
#[derive(Clone, Copy)]
enum Word {
    /// What is in the bucket, in thousandths of a request.
    Excess,
    /// When that was so, in milliseconds.
    Last,
}

/// What one request more comes to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It fits, with so much in the bucket then.
    Fits(u64),
    /// It does not.
    Over(u64),
    /// There is no memory to count it in.
    Full,
}

/// The buckets of one zone.
struct Buckets<'a> {
    locked: Locked<'a, 2>,
    rate: u64,
    /// Milliseconds.
    now: u64,
}

impl Buckets<'_> {
    fn get(&self, slot: Slot, word: Word) -> u64 {
        self.locked.value(slot)[word as usize].load(Ordering::Relaxed)
    }

    fn set(&self, slot: Slot, word: Word, value: u64) {
        self.locked.value(slot)[word as usize].store(value, Ordering::Relaxed);
    }

    /// What is in a bucket after it has leaked until now.
    fn left(&self, slot: Slot) -> u64 {
        let passed = self.now.saturating_sub(self.get(slot, Word::Last));
        self.get(slot, Word::Excess).saturating_sub(self.rate.saturating_mul(passed) / 1000)
    }

    /// What one request more makes of a bucket: the first of a key is not counted, as in nginx.
    fn ask(&self, key: &Key, burst: u64) -> Outcome {
        let slot = self.locked.find(key);
        let excess = slot.map_or(0, |slot| {
            let passed = self.now.saturating_sub(self.get(slot, Word::Last));
            (self.get(slot, Word::Excess) + REQUEST).saturating_sub(self.rate.saturating_mul(passed) / 1000)
        });
        if excess > burst { Outcome::Over(excess) } else { Outcome::Fits(excess) }
    }

    /// The same, and it is counted if it fits.
    fn count(&self, key: &Key, burst: u64) -> Outcome {
        let outcome = self.ask(key, burst);
        let Outcome::Fits(excess) = outcome else { return outcome };
        let slot = match self.locked.find(key) {
            Some(slot) => {
                self.locked.touch(slot);
                slot
            }
            None => {
                self.forget(false);
                let inserted = self.locked.insert(key).or_else(|| {
                    self.forget(true);
                    self.locked.insert(key)
                });
                let Some(slot) = inserted else { return Outcome::Full };
                slot
            }
        };
        self.set(slot, Word::Excess, excess);
        self.set(slot, Word::Last, self.now);
        outcome
    }

    /// Forgets up to two buckets that are long empty, and before them, where there must be room, the oldest whatever it holds.
    fn forget(&self, must: bool) {
        for number in usize::from(!must)..3 {
            let Some(slot) = self.locked.oldest() else { return };
            let fresh = self.now.saturating_sub(self.get(slot, Word::Last)) < FORGET;
            if number > 0 && (fresh || self.left(slot) > 0) {
                return;
            }
            self.locked.remove(slot);
        }
    }
}

fn buckets(zone: &Zone, now: Instant) -> Option<Buckets<'_>> {
    let Kind::Requests { rate } = zone.kind else { return None };
    let (locked, now) = zone.hold(now)?;
    Some(Buckets { locked, rate, now })
}

impl Limits {
    /// Counts a request in all zones of `limit_req`, unless one of them has no room for it.
    pub(super) fn check_rates(&self, values: &Values<'_>, status: &mut Status) -> Limited {
        let manner = self.rate_manner;
        let dry = if manner.dry_run { ", dry run" } else { "" };
        let keyed = self.rates.iter().filter_map(|rate| Some((rate, digest(&key_of(values, &rate.zone, LONGEST)?))));
        let keyed: Vec<_> = keyed.collect();
        let log = |level, message: std::fmt::Arguments<'_>| {
            values.client.log(level, None, "", Some(values.request), message);
        };
        for (number, (rate, key)) in keyed.iter().enumerate() {
            let last = number + 1 == keyed.len();
            let Some(buckets) = buckets(&rate.zone, values.now) else { continue };
            let outcome = if last { buckets.count(key, rate.burst) } else { buckets.ask(key, rate.burst) };
            drop(buckets);
            let name = &rate.zone.name;
            match outcome {
                Outcome::Fits(_) => continue,
                Outcome::Over(excess) => {
                    let (whole, rest) = (excess / 1000, excess % 1000);
                    let message = format_args!("limiting requests{dry}, excess: {whole}.{rest:03} by zone \"{name}\"");
                    log(manner.level, message);
                }
                Outcome::Full => log(Level::Alert, format_args!("could not allocate node in zone \"{name}\"")),
            }
            if manner.dry_run {
                *status = Status::RejectedDryRun;
                return Limited::Through;
            }
            *status = Status::Rejected;
            return Limited::Refused(manner.status);
        }
        if keyed.is_empty() {
            return Limited::Through;
        }
        // The last one has counted it; now that it may pass, the others do.
        let mut longest: Option<(u64, u64, &str)> = None;
        for (number, (rate, key)) in keyed.iter().enumerate() {
            let last = number + 1 == keyed.len();
            let Some(buckets) = buckets(&rate.zone, values.now) else { continue };
            let outcome = if last { Outcome::Fits(buckets.excess(key)) } else { buckets.count(key, u64::MAX) };
            let Outcome::Fits(excess) = outcome else { continue };
            let wait = excess.saturating_sub(rate.delay).saturating_mul(1000) / buckets.rate;
            if wait > longest.map_or(0, |(wait, ..)| wait) {
                longest = Some((wait, excess, &rate.zone.name));
            }
        }
        let Some((wait, excess, name)) = longest else {
            *status = Status::Passed;
            return Limited::Through;
        };
        let level = less_severe(manner.level);
        log(
            level,
            format_args!("delaying request{dry}, excess: {}.{:03}, by zone \"{name}\"", excess / 1000, excess % 1000),
        );
        if manner.dry_run {
            *status = Status::DelayedDryRun;
            return Limited::Through;
        }
        *status = Status::Delayed;
        Limited::Delayed(Duration::from_millis(wait))
    }
}

impl Buckets<'_> {
    /// What is in the bucket of a key, as it was counted last.
    fn excess(&self, key: &Key) -> u64 {
        self.locked.find(key).map_or(0, |slot| self.get(slot, Word::Excess))
    }
}

/// Delays are less than refusals: nginx's level for them.
fn less_severe(level: Level) -> Level {
    match level {
        Level::Error => Level::Warn,
        Level::Warn => Level::Notice,
        _ => Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shm::table::Table;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes when: no more gets through in any time than the burst, the first one, and what the rate allows.
        #[test]
        fn no_more_than_the_rate_and_the_burst(rate in 1..20_u64, burst in 0..10_u64, gaps in prop::collection::vec(0..1500_u64, 1..80)) {
            let table = Table::new(10 * Table::<2>::RECORD).unwrap();
            let (rate, burst) = (rate * 1000, burst * 1000);
            let mut now = 5_000_000;
            let mut passed: Vec<u64> = Vec::new();
            for gap in gaps {
                now += gap;
                let buckets = Buckets { locked: table.hold().unwrap(), rate, now };
                let asked = buckets.ask(&[1; 16], burst);
                let counted = buckets.count(&[1; 16], burst);
                prop_assert_eq!(&asked, &counted);
                if matches!(counted, Outcome::Fits(_)) {
                    passed.push(now);
                }
                // Nothing is refused that the burst has room for.
                if let Outcome::Over(excess) = counted {
                    prop_assert!(excess > burst && excess <= burst + REQUEST);
                }
            }
            for (number, start) in passed.iter().enumerate() {
                for (count, end) in passed[number..].iter().enumerate() {
                    let allowed = burst + REQUEST + rate * (end - start) / 1000 + 1000;
                    prop_assert!((count as u64) * REQUEST <= allowed, "{count} in {} ms", end - start);
                }
            }
        }
    }

    #[test]
    fn old_buckets_make_room() {
        let table = Table::new(2 * Table::<2>::RECORD).unwrap();
        let at =
            |now, key: u8, burst| Buckets { locked: table.hold().unwrap(), rate: 1000, now }.count(&[key; 16], burst);
        assert_eq!(at(1, 1, 0), Outcome::Fits(0));
        assert_eq!(at(2, 2, 0), Outcome::Fits(0));
        assert_eq!(at(3, 1, 0), Outcome::Over(998));
        assert_eq!(at(4, 1, 5000), Outcome::Fits(997));
        // The second key has not been used for longer.
        assert_eq!(at(5, 3, 0), Outcome::Fits(0));
        assert_eq!(at(5, 1, 5000), Outcome::Fits(1996));
        assert_eq!(at(5, 2, 0), Outcome::Fits(0));
        // Both are long empty: one goes with the other.
        assert_eq!(at(200_000, 4, 0), Outcome::Fits(0));
        assert_eq!(table.hold().unwrap().len(), 1);
        // Time that goes backwards empties nothing.
        assert_eq!(at(100, 4, 5000), Outcome::Fits(1000));
    }
}
