//! `limit_conn`: how many requests of one key are at work at the same time.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use super::zone::{Zone, digest};
use super::{Limited, Limits, Standing, Status, key_of};
use crate::http::variables::Values;
use crate::shm::table::Key;

/// nginx's bound of keys.
const LONGEST: usize = 255;

/// The places that a request has, given back when this is dropped.
#[derive(Default)]
pub(super) struct Places(Vec<(Rc<Zone>, Key)>);

impl Places {
    fn give_back(&mut self) {
        for (zone, key) in self.0.drain(..) {
            let Some((locked, _)) = zone.hold(std::time::Instant::now()) else { continue };
            let Some(slot) = locked.find(&key) else { continue };
            let count = &locked.value(slot)[0];
            match count.load(Ordering::Relaxed) {
                0 | 1 => locked.remove(slot),
                more => count.store(more - 1, Ordering::Relaxed),
            }
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Takes a place; false: there are as many as there may be, or no memory for another key.
fn take(zone: &Zone, key: &Key, most: u64) -> bool {
    let Some((locked, _)) = zone.hold(std::time::Instant::now()) else { return true };
    let Some(slot) = locked.find(key).or_else(|| locked.insert(key)) else { return false };
    let count = &locked.value(slot)[0];
    let taken = count.load(Ordering::Relaxed);
    if taken < most {
        count.store(taken + 1, Ordering::Relaxed);
    }
    taken < most
}

impl Limits {
    /// Takes a place for a request in each zone of `limit_conn`, or in none.
    pub(super) fn check_connections(&self, values: &Values<'_>, standing: &mut Standing) -> Limited {
        let manner = self.most_manner;
        for most in &self.mosts {
            let Some(key) = key_of(values, &most.zone, LONGEST) else { continue };
            let key = digest(&key);
            standing.connections = Status::Passed;
            if take(&most.zone, &key, most.connections) {
                standing.places.0.push((most.zone.clone(), key));
                continue;
            }
            standing.places.give_back();
            let (dry, name) = (if manner.dry_run { ", dry run" } else { "" }, &most.zone.name);
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
