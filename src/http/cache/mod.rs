//! The cache of `proxy_pass`: answers of servers are kept in files, and given again without asking.
//!
//! ```text
//! request ─▶ lookup ─▶ HIT, STALE, UPDATING ─────────────────────▶ the answer, from the file
//!              │ ▲                                   ▲
//!              │ └─ Waiting, for who is at it        │ servers fail; nothing has changed (STALE, REVALIDATED)
//!              └─▶ MISS, EXPIRED, BYPASS ─▶ server ──┴─▶ store ─▶ the answer, as it comes
//! ```
//!
//! [`key`] names an entry, [`zone`] is what all workers know of entries, [`file`](mod@file) what stands on the disk; [`lookup`] decides whether a
//! server is asked, [`serve`] answers from a file, [`store`] keeps what a server answers, for as long as [`validity`] says, and [`vary`]
//! tells variants apart; [`update`] asks servers after the client has its answer; [`purge`] gives entries up on demand. [`figures`] are for the status page. [`manager`] and [`loader`] are the work of two
//! processes of their own: to give up what is old or too much, and to find what is there after a start. [`mirror`] is `proxy_store`.

pub mod directives;
pub(super) mod figures;
pub mod file;
pub mod key;
pub(super) mod level;
pub mod loader;
pub(super) mod lookup;
pub mod manager;
pub(super) mod mirror;
pub(super) mod purge;
pub(super) mod serve;
pub(super) mod store;
pub(super) mod update;
pub mod validity;
pub(super) mod vary;
pub mod zone;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::proxy::head::Head;
use super::proxy::next::Fault;
use super::variables::{Text, Values};
use crate::net::access::Match;
use file::Preamble;
use key::{Key, Levels};
use zone::{Grant, Table, Zone};

/// How a request was served: `$upstream_cache_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was not known.
    Miss,
    /// The request asked for none of it.
    Bypass,
    /// It was too old, and the server has given another.
    Expired,
    /// It is too old, but the server cannot give another.
    Stale,
    /// It is too old, and another request has the server give another.
    Updating,
    /// It was too old, and the server has said that nothing has changed.
    Revalidated,
    /// It is fresh.
    Hit,
}

impl Status {
    /// All of them, in the order of their numbers.
    pub const ALL: [Status; 7] = [
        Status::Miss,
        Status::Bypass,
        Status::Expired,
        Status::Stale,
        Status::Updating,
        Status::Revalidated,
        Status::Hit,
    ];

    /// nginx's word.
    pub fn word(self) -> &'static str {
        match self {
            Status::Miss => "MISS",
            Status::Bypass => "BYPASS",
            Status::Expired => "EXPIRED",
            Status::Stale => "STALE",
            Status::Updating => "UPDATING",
            Status::Revalidated => "REVALIDATED",
            Status::Hit => "HIT",
        }
    }
}

/// `manager_files`, `manager_sleep` and `manager_threshold`, or those of the loader: when a process pauses in its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After so many files, for one, ...
    pub files: usize,
    /// ... or so long, for the other, ...
    pub threshold: Duration,
    /// ... it pauses for so long.
    pub sleep: Duration,
}

/// One `proxy_cache_path`.
#[derive(Debug)]
pub struct Cache {
    /// What is known of its entries.
    pub zone: Zone,
    /// The folder of its files.
    pub path: PathBuf,
    /// The folders in it.
    pub levels: Levels,
    /// `inactive`, in seconds: entries that nobody has asked for so long are given up.
    pub inactive: u64,
    /// Bytes that the files may take.
    pub max_size: u64,
    /// Bytes that are to be left on the disk.
    pub min_free: u64,
    /// Of the manager.
    pub manager: Pace,
    /// Of the loader.
    pub loader: Pace,
    /// Files are written below `proxy_temp_path`, and not in the folder.
    pub use_temp_path: bool,
}

impl Cache {
    /// What all workers know of it; `None` in a process that does not serve.
    pub fn table(&self) -> Option<&Table> {
        self.zone.table()
    }

    /// When an entry is inactive that is asked for now, in seconds since 1970.
    pub fn expires(&self) -> u64 {
        validity::now().saturating_add(self.inactive)
    }

    /// Where the file of an entry stands.
    pub fn file(&self, key: Key) -> PathBuf {
        self.levels.path(&self.path, key)
    }

    /// Removes the file of an entry that is given up.
    pub(super) fn unlink(&self, key: Key) {
        self.take_away(key);
    }

    /// Removes a file. Whether there was one.
    fn take_away(&self, key: Key) -> bool {
        let path = self.file(key);
        let removed = std::fs::remove_file(&path);
        if let Err(error) = &removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            let record = crate::log::Record { error: Some(error), ..crate::log::Record::new(crate::log::Level::Crit) };
            crate::log::emit(&record, format_args!("unlink() \"{}\" failed", path.display()));
        }
        if let Some(table) = self.table() {
            table.gone(key);
        }
        removed.is_ok()
    }

    /// Gives an entry up. Whether there was anything.
    pub(super) fn remove(&self, key: Key) -> bool {
        let known = self.table().is_some_and(|table| table.begin_removing(key));
        self.take_away(key) || known
    }

    /// A process that may have put files there, or removed some, has died: what it had not told of goes.
    pub fn bury(&self, pid: u32) {
        for key in self.table().map(|table| table.bury(pid)).unwrap_or_default() {
            // There is none unless it was about to take the place of another.
            let _ = std::fs::remove_file(file::beside(&self.file(key), pid));
            self.unlink(key);
        }
    }
}

/// Which cache a location uses.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    Fixed(Rc<Cache>),
    /// A name that is made for each request, and what it may be.
    Named(Text, Rc<[Rc<Cache>]>),
}

/// What the `proxy_cache*` directives of a location come to.
#[derive(Debug)]
pub(super) struct Settings {
    pub choice: Choice,
    pub key: Option<Text>,
    pub bypass: Vec<Text>,
    pub no_cache: Vec<Text>,
    pub purge: Option<purge::Rule>,
    /// Beside GET and HEAD.
    pub post: bool,
    pub min_uses: u64,
    pub lock: bool,
    pub lock_timeout: Duration,
    pub lock_age: Duration,
    /// After which faults old answers do.
    pub stale_after: Fault,
    /// Whether they do while another request brings them up to date.
    pub stale_while_updating: bool,
    pub background_update: bool,
    pub revalidate: bool,
    pub convert_head: bool,
    pub max_range_offset: Option<u64>,
    pub valid: Vec<validity::Rule>,
}

/// Who may do something, by address.
pub(super) type Clients = Vec<Match>;

/// Whether any of the texts has a value that is neither empty nor `0`.
pub(super) fn any_holds(texts: &[Text], values: &Values<'_>) -> bool {
    texts.iter().map(|text| values.fill(text)).any(|value| !value.is_empty() && value != b"0")
}

/// The right to bring an entry up to date; it is given back in whatever way a request ends.
#[derive(Debug)]
pub(super) struct Held {
    cache: Rc<Cache>,
    key: Key,
    grant: Grant,
}

impl Held {
    pub(super) fn take(cache: &Rc<Cache>, key: Key, age: Duration) -> Option<Self> {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let grant = cache.table()?.hold(key, age, cache.expires())?;
        Some(Held { cache: cache.clone(), key, grant })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(table) = self.cache.table() {
            table.give_back(self.key, self.grant);
        }
    }
}

/// A file that is there, open.
#[derive(Debug)]
pub(super) struct Stored {
    pub file: Rc<std::fs::File>,
    pub preamble: Preamble,
    /// The head of the answer.
    pub head: Head,
    /// The body, where it came with the first read.
    pub body: Option<Vec<u8>>,
}

impl Stored {
    /// A second one of the same; the body is not in it.
    fn again(&self) -> Option<Stored> {
        let (head, _) = Head::parse(&self.preamble.head).ok()??;
        Some(Stored { file: self.file.clone(), preamble: self.preamble.clone(), head, body: None })
    }
}

/// By what an answer is told from others for the same thing.
#[derive(Clone, Debug)]
pub(super) struct Validators {
    /// Seconds since 1970.
    pub modified: Option<u64>,
    /// Empty where there is none.
    pub etag: Vec<u8>,
}

/// What a request has to do with its cache.
#[derive(Debug)]
pub(super) struct Access {
    pub settings: Rc<Settings>,
    pub cache: Rc<Cache>,
    /// The key's text, and its name; that of a variant once it is known.
    pub text: Vec<u8>,
    pub key: Key,
    /// `None`: the cache has nothing to do with the answer, so far.
    pub status: Option<Status>,
    /// It is a client's request, which counts in the figures.
    pub counts: bool,
    /// What the server answers may be kept.
    pub cacheable: bool,
    /// This request is the one that brings the entry up to date.
    pub held: Option<Held>,
    /// What is there, but too old.
    pub old: Option<Stored>,
    /// By what a server is asked whether that has changed.
    pub validators: Option<Validators>,
    /// Until when somebody else's work is waited for; `Some(None)`: it has been waited for long enough.
    pub waits: Option<Option<std::time::Instant>>,
}

impl Drop for Access {
    fn drop(&mut self) {
        let (Some(status), Some(table)) = (self.status, self.cache.table()) else { return };
        if self.counts {
            table.count(status);
        }
        // Uses are counted where more than one is needed; else an entry is known for its file only.
        if status == Status::Miss && self.settings.min_uses <= 1 {
            self.held = None;
            table.forget(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_was_at_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let pace = Pace { files: 1, threshold: Duration::ZERO, sleep: Duration::ZERO };
        let cache = Cache {
            zone: Zone::new("a", 65536),
            path: folder.path().to_owned(),
            levels: Levels::default(),
            inactive: 10,
            max_size: u64::MAX,
            min_free: 0,
            manager: pace,
            loader: pace,
            use_temp_path: false,
        };
        cache.zone.open(None).unwrap();
        let table = cache.table().unwrap();
        let (kept, changed, removed) = (Key::of(b"1"), Key::of(b"2"), Key::of(b"3"));
        for key in [kept, changed, removed] {
            std::fs::write(cache.file(key), "x").unwrap();
            assert!(table.found(key, 1, u64::MAX));
        }
        let own = std::process::id();
        assert!(table.begin_storing(changed, u64::MAX));
        std::fs::write(file::beside(&cache.file(changed), own), "x").unwrap();
        assert!(table.begin_removing(removed));
        cache.bury(own);
        let left: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [cache.file(kept)]);
        assert_eq!((table.figures().entries, table.figures().files), (1, 1));
    }
}
