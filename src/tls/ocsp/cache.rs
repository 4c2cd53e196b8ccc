//! `ssl_ocsp_cache shared:name:size`: what has been answered about clients' certificates, in memory that all workers see.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::x509::X509Ref;

use super::{Status, Verdict, seconds};
use crate::shm::table::{Key, Table};

/// How long an answer is kept that does not say how long it is good; nginx's.
const UNSAID: i64 = 3600;

/// A named cache of a configuration; [`Zone::open`] gives it memory.
pub struct Zone {
    /// Its name.
    pub name: String,
    /// Bytes, as configured.
    pub size: usize,
    table: OnceLock<Arc<Table<2>>>,
}

/// What a certificate is found by: who has issued it, by name and key, and its number.
pub(super) fn key(certificate: &X509Ref, issuer: &X509Ref) -> Result<Key, ErrorStack> {
    let mut hash = Sha256::new();
    for part in [
        certificate.issuer_name().to_der()?,
        issuer.public_key()?.public_key_to_der()?,
        certificate.serial_number().to_bn()?.to_vec(),
    ] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(&part);
    }
    let mut key = Key::default();
    key.copy_from_slice(&hash.finish()[..size_of::<Key>()]);
    Ok(key)
}

impl Zone {
    /// A zone without memory: it finds nothing and keeps nothing.
    pub fn new(name: &str, size: usize) -> Self {
        Zone { name: name.to_owned(), size, table: OnceLock::new() }
    }

    /// Makes its memory, or takes that of `kept`.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn open(&self, kept: Option<&Arc<Zone>>) -> io::Result<()> {
        let table = match kept.and_then(|kept| kept.table.get()) {
            Some(table) => table.clone(),
            None => Arc::new(Table::new(self.size)?),
        };
        self.table.get_or_init(|| table);
        Ok(())
    }

    /// What is still good of what has been answered.
    pub(super) fn find(&self, key: &Key) -> Option<Status> {
        let table = self.table.get()?.hold()?;
        let slot = table.find(key)?;
        let [status, until] = table.value(slot).each_ref().map(|word| word.load(Ordering::Relaxed));
        if until <= seconds() as u64 {
            table.remove(slot);
            return None;
        }
        STATUSES.get(status as usize).copied()
    }

    /// Keeps an answer; the one that was kept first makes room.
    pub(super) fn insert(&self, key: &Key, verdict: Verdict) {
        let Some(status) = STATUSES.iter().position(|known| *known == verdict.status) else { return };
        let valid = if verdict.valid == i64::MAX { UNSAID } else { verdict.valid };
        let Some(table) = self.table.get().filter(|_| valid > 0).and_then(|table| table.hold()) else { return };
        let slot = table.find(key).or_else(|| table.insert(key)).or_else(|| {
            table.remove(table.oldest()?);
            table.insert(key)
        });
        if let Some(slot) = slot {
            let words = [status as u64, seconds().saturating_add(valid) as u64];
            table.value(slot).iter().zip(words).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
        }
    }
}

/// What is kept, by the numbers it is kept as.
const STATUSES: [Status; 3] = [Status::Good, Status::Revoked, Status::Unknown];

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(records: usize) -> Arc<Zone> {
        let zone = Zone::new("z", records * Table::<2>::RECORD);
        zone.open(None).unwrap();
        Arc::new(zone)
    }

    fn said(status: Status, valid: i64) -> Verdict {
        Verdict { status, valid }
    }

    #[test]
    fn answers_are_kept_as_long_as_they_are_good() {
        let zone = zone(8);
        for (number, status) in STATUSES.into_iter().enumerate() {
            zone.insert(&[number as u8; 16], said(status, 100));
            assert_eq!(zone.find(&[number as u8; 16]), Some(status));
        }
        zone.insert(&[0; 16], said(Status::Revoked, i64::MAX));
        assert_eq!(zone.find(&[0; 16]), Some(Status::Revoked), "the newest counts");
        for (valid, status) in [(0, Status::Good), (-5, Status::Good), (9, Status::Unanswered)] {
            zone.insert(&[9; 16], said(status, valid));
            assert_eq!(zone.find(&[9; 16]), None, "{valid}");
        }
        let until = zone.table.get().unwrap().hold().unwrap();
        let slot = until.find(&[1; 16]).unwrap();
        until.value(slot)[1].store(seconds() as u64, Ordering::Relaxed);
        drop(until);
        assert_eq!(zone.find(&[1; 16]), None, "its time is over");
        assert_eq!(zone.table.get().unwrap().hold().unwrap().len(), 2);
    }

    #[test]
    fn the_oldest_makes_room_and_the_next_configuration_finds_the_others() {
        let old = zone(2);
        for number in 0..3 {
            old.insert(&[number; 16], said(Status::Good, 100));
        }
        let new = Zone::new("z", old.size);
        assert_eq!(new.find(&[1; 16]), None, "without memory");
        new.open(Some(&old)).unwrap();
        let found: Vec<bool> = (0..3).map(|number| new.find(&[number; 16]).is_some()).collect();
        assert_eq!(found, [false, true, true]);
    }
}
