//! TLS: what the configuration says of it made into OpenSSL's contexts, and what sessions need to be resumed by any worker.

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
pub use facts::Fact;
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
    tickets: Arc<Tickets>,
}

impl Shared {
    /// The zone of `ssl_session_cache shared:name:size`.
    fn zone(&mut self, name: &str, size: usize, place: &Place) -> Result<Arc<Zone>, Error> {
        if let Some(zone) = self.zones.iter().find(|zone| zone.name == name) {
            if zone.size == size {
                return Ok(zone.clone());
            }
            let message = format!(
                "the size {size} of shared memory zone \"{name}\" conflicts with already declared size {}",
                zone.size
            );
            return Err(Error::at(place, message));
        }
        let zone = Arc::new(Zone::new(name, size));
        self.zones.push(zone.clone());
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
        self.tickets.renew(kept.map(|kept| &*kept.tickets))
    }
}
