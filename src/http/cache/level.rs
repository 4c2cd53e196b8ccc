//! What one level says about caching, and how that becomes the settings of a location.

use std::rc::Rc;
use std::time::Duration;

use super::mirror;
use super::purge;
use super::{Cache, Choice, Settings, validity};
use crate::conf::{Error, Place, Result, inherit};
use crate::http::proxy::next::Fault;
use crate::http::variables::Text;

/// `proxy_cache`
#[derive(Clone, Debug)]
pub(in crate::http) enum Use {
    Off,
    Zone(String, Place),
    /// Made for each request.
    Named(Text),
}

/// What is said on one level; `None` where it says nothing and the level above counts.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Said {
    pub zone: Option<Use>,
    pub key: Option<Text>,
    pub bypass: Option<Vec<Text>>,
    pub no_cache: Option<Vec<Text>>,
    pub purge: Option<purge::Rule>,
    /// Whether GET, HEAD and POST are named, in this order.
    pub methods: Option<[bool; 3]>,
    pub min_uses: Option<usize>,
    pub lock: Option<bool>,
    pub lock_timeout: Option<Duration>,
    pub lock_age: Option<Duration>,
    pub use_stale: Option<Fault>,
    pub background_update: Option<bool>,
    pub revalidate: Option<bool>,
    pub convert_head: Option<bool>,
    pub max_range_offset: Option<u64>,
    pub valid: Option<Vec<validity::Rule>>,
    /// `Some(None)`: `off`.
    pub store: Option<Option<mirror::Target>>,
    pub store_access: Option<u32>,
}

impl Said {
    /// Takes from the level above what this one does not say.
    pub(in crate::http) fn inherit(&mut self, above: &Said) {
        // Each of both turns the other of a level above off.
        if self.zone.is_none() && self.store.is_none() {
            self.zone.clone_from(&above.zone);
            self.store.clone_from(&above.store);
        }
        inherit(&mut self.key, &above.key);
        inherit(&mut self.bypass, &above.bypass);
        inherit(&mut self.no_cache, &above.no_cache);
        inherit(&mut self.purge, &above.purge);
        inherit(&mut self.methods, &above.methods);
        inherit(&mut self.min_uses, &above.min_uses);
        inherit(&mut self.lock, &above.lock);
        inherit(&mut self.lock_timeout, &above.lock_timeout);
        inherit(&mut self.lock_age, &above.lock_age);
        inherit(&mut self.use_stale, &above.use_stale);
        inherit(&mut self.background_update, &above.background_update);
        inherit(&mut self.revalidate, &above.revalidate);
        inherit(&mut self.convert_head, &above.convert_head);
        inherit(&mut self.max_range_offset, &above.max_range_offset);
        inherit(&mut self.valid, &above.valid);
        inherit(&mut self.store_access, &above.store_access);
    }

    /// What it comes to with the caches that there are; `None`: nothing is kept.
    ///
    /// # Errors
    /// There is no cache of that name.
    pub(in crate::http) fn settle(&self, caches: &[Rc<Cache>]) -> Result<Option<Rc<Settings>>> {
        let choice = match &self.zone {
            None | Some(Use::Off) => return Ok(None),
            Some(Use::Zone(name, place)) => {
                let cache = caches.iter().find(|cache| cache.zone.name == *name);
                let unknown = || Error::at(place, format!("\"proxy_cache\" zone \"{name}\" is unknown"));
                Choice::Fixed(cache.ok_or_else(unknown)?.clone())
            }
            Some(Use::Named(text)) => Choice::Named(text.clone(), caches.into()),
        };
        let stale_after = self.use_stale.map_or(Fault::NONE, Fault::settle);
        let five = Duration::from_secs(5);
        Ok(Some(Rc::new(Settings {
            choice,
            key: self.key.clone(),
            bypass: self.bypass.clone().unwrap_or_default(),
            no_cache: self.no_cache.clone().unwrap_or_default(),
            purge: self.purge.clone(),
            post: self.methods.is_some_and(|[_, _, post]| post),
            min_uses: self.min_uses.unwrap_or(1) as u64,
            lock: self.lock.unwrap_or(false),
            lock_timeout: self.lock_timeout.unwrap_or(five),
            lock_age: self.lock_age.unwrap_or(five),
            stale_after,
            stale_while_updating: stale_after.has(Fault::UPDATING),
            background_update: self.background_update.unwrap_or(false),
            revalidate: self.revalidate.unwrap_or(false),
            convert_head: self.convert_head.unwrap_or(true),
            max_range_offset: self.max_range_offset,
            valid: self.valid.clone().unwrap_or_default(),
        })))
    }

    /// `proxy_store`
    pub(in crate::http) fn mirror(&self) -> Option<mirror::Settings> {
        let target = self.store.clone()??;
        Some(mirror::Settings { target, access: self.store_access.unwrap_or(0o600) })
    }
}
