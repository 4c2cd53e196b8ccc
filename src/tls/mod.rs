//! TLS: what the configuration says of it made into OpenSSL's contexts, what sessions need to be resumed by any worker, and what authorities say of
//! certificates.

mod cache;
mod client;
mod client_settings;
pub mod directives;
mod facts;
mod failure;
mod files;
pub mod hello;
pub mod ocsp;
mod server;
mod settings;
mod sys;
mod tickets;

use std::io;
use std::sync::Arc;

pub use cache::Zone;
pub use client::{Asked, Client, Unproven, show_certificate};
pub use client_settings::Client as ClientSettings;
pub use facts::{Fact, Told};
pub use failure::{HANDSHAKING, SECURING, handshake_failure, securing_failure};
pub use server::{Clients, Refused, Server};
pub use settings::Settings;
pub use tickets::Tickets;

use crate::conf::{Error, Place};

/// What the contexts of a configuration share with all workers, and hand on to the next configuration: session caches and ticket keys.
/// It is named while the configuration is read, and made by [`Shared::open`] before workers are forked.
#[derive(Clone, Default)]
pub struct Shared {
    zones: Vec<Arc<Zone>>,
    ocsp_zones: Vec<Arc<ocsp::Zone>>,
    tickets: Arc<Tickets>,
}

impl Shared {
    /// The zone of `ssl_session_cache shared:name:size`.
    fn zone(&mut self, name: &str, size: usize, place: &Place) -> Result<Arc<Zone>, Error> {
        if self.ocsp_zones.iter().any(|zone| zone.name == name) {
            return Err(different_use(name, place));
        }
        if let Some(zone) = self.zones.iter().find(|zone| zone.name == name) {
            return same_size(name, zone.size, size, place).map(|()| zone.clone());
        }
        let zone = Arc::new(Zone::new(name, size));
        self.zones.push(zone.clone());
        Ok(zone)
    }

    /// The zone of `ssl_ocsp_cache shared:name:size`.
    fn ocsp_zone(&mut self, name: &str, size: usize, place: &Place) -> Result<Arc<ocsp::Zone>, Error> {
        if self.zones.iter().any(|zone| zone.name == name) {
            return Err(different_use(name, place));
        }
        if let Some(zone) = self.ocsp_zones.iter().find(|zone| zone.name == name) {
            return same_size(name, zone.size, size, place).map(|()| zone.clone());
        }
        let zone = Arc::new(ocsp::Zone::new(name, size));
        self.ocsp_zones.push(zone.clone());
        Ok(zone)
    }

    /// Makes the memory of the zones and a new ticket key. Zones that are in `kept` with the same size are taken from there, and its ticket
    /// keys stay good, so that a reload ends no client's session.
    ///
    /// # Errors
    /// Out of memory or of randomness.
    pub fn open(&self, kept: Option<&Shared>) -> io::Result<()> {
        for zone in &self.zones {
            let same = |old: &&Arc<Zone>| old.name == zone.name && old.size == zone.size;
            zone.open(kept.and_then(|kept| kept.zones.iter().find(same)))?;
        }
        for zone in &self.ocsp_zones {
            let same = |old: &&Arc<ocsp::Zone>| old.name == zone.name && old.size == zone.size;
            zone.open(kept.and_then(|kept| kept.ocsp_zones.iter().find(same)))?;
        }
        self.tickets.renew(kept.map(|kept| &*kept.tickets))
    }
}

fn same_size(name: &str, declared: usize, size: usize, place: &Place) -> Result<(), Error> {
    if declared == size {
        return Ok(());
    }
    let what = format!("the size {size} of shared memory zone \"{name}\"");
    Err(Error::at(place, format!("{what} conflicts with already declared size {declared}")))
}

fn different_use(name: &str, place: &Place) -> Error {
    Error::at(place, format!("the shared memory zone \"{name}\" is already declared for a different use"))
}
