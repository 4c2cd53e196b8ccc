//! `proxy_cache_purge`: entries are given up on demand.

use std::fs::{self, DirEntry, ReadDir};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::file::{self, Preamble};
use super::key::Key;
use super::{Cache, Clients, Settings};
use crate::context::Context;
use crate::http::connection::{Session, Step};
use crate::http::proxy::State;
use crate::http::response::Response;
use crate::http::variables::Text;

/// How long files are looked at before others have their turn.
const TURN: Duration = Duration::from_millis(5);

/// Which requests purge, and whose.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Rule {
    /// Any of them must hold.
    pub when: Vec<Text>,
    /// `None`: whoever is let in.
    pub clients: Option<Clients>,
}

/// Which keys are given up.
#[derive(Debug)]
enum Doomed {
    /// This one, with all its variants.
    Key(Vec<u8>),
    /// Those that begin so.
    Prefix(Vec<u8>),
}

impl Doomed {
    fn is(&self, key: &[u8]) -> bool {
        match self {
            Doomed::Key(doomed) => key == doomed,
            Doomed::Prefix(prefix) => key.starts_with(prefix),
        }
    }
}

/// A way through all files of a cache, as their names do not tell their keys.
#[derive(Debug)]
pub(in crate::http) struct Walk {
    cache: Rc<Cache>,
    doomed: Doomed,
    /// Folders that are still to be read.
    folders: Vec<PathBuf>,
    /// The one that is being read.
    reading: Option<ReadDir>,
    purged: usize,
}

impl Walk {
    /// Goes on for a turn; true: all files have been looked at.
    fn step(&mut self) -> bool {
        let since = Instant::now();
        while since.elapsed() < TURN {
            let next = self.reading.as_mut().and_then(|entries| entries.find_map(Result::ok));
            match (next, self.folders.pop()) {
                (Some(entry), folder) => {
                    self.folders.extend(folder);
                    self.look_at(&entry);
                }
                // What cannot be read is passed over.
                (None, Some(folder)) => self.reading = fs::read_dir(folder).ok(),
                (None, None) => return true,
            }
        }
        false
    }

    fn look_at(&mut self, entry: &DirEntry) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            self.folders.push(entry.path());
        } else if let Some(key) = Key::parse(entry.file_name().as_bytes())
            && preamble(&entry.path()).is_some_and(|preamble| self.doomed.is(&preamble.key))
        {
            self.purged += usize::from(self.cache.remove(key));
        }
    }
}

impl Session {
    /// Gives up what is kept under a key, with its variants, or under all keys that begin so.
    pub(super) fn purge(&mut self, cx: &mut Context, settings: &Settings, cache: &Rc<Cache>, text: &[u8]) -> Step {
        let Some(request) = &self.request else { return Step::Over };
        let client = self.client.speaks_for(request);
        let clients = settings.purge.as_ref().and_then(|rule| rule.clients.as_ref());
        if clients.is_some_and(|clients| !clients.iter().any(|known| known.covers(client))) {
            let tokens = request.location.server_tokens;
            return self.answer_late(cx, Response::page(403, tokens));
        }
        let doomed = match text.strip_suffix(b"*") {
            Some(prefix) => Doomed::Prefix(prefix.to_vec()),
            None => {
                let key = Key::of(text);
                if preamble(&cache.file(key)).is_none_or(|preamble| preamble.vary.is_empty()) {
                    let purged = usize::from(cache.remove(key));
                    return self.tell_of_purge(cx, purged);
                }
                Doomed::Key(text.to_vec())
            }
        };
        let walk = Walk { cache: cache.clone(), doomed, folders: vec![cache.path.clone()], reading: None, purged: 0 };
        let Some(exchange) = self.exchange_mut() else { return Step::Over };
        exchange.state = State::Waiting;
        exchange.purging = Some(Box::new(walk));
        self.purge_on(cx)
    }

    /// Looks at more files.
    pub(in crate::http) fn purge_on(&mut self, cx: &mut Context) -> Step {
        let Some(exchange) = self.exchange_mut() else { return Step::Over };
        let Some(walk) = &mut exchange.purging else { return Step::Over };
        if walk.step() {
            let purged = walk.purged;
            exchange.purging = None;
            return self.tell_of_purge(cx, purged);
        }
        cx.reactor.again(self.client.connection.source());
        Step::Wait
    }

    fn tell_of_purge(&mut self, cx: &mut Context, purged: usize) -> Step {
        let Some(request) = &self.request else { return Step::Over };
        let response = match purged {
            0 => Response::page(404, request.location.server_tokens),
            _ => Response::new(204, Vec::new()),
        };
        self.answer_late(cx, response)
    }
}

fn preamble(path: &Path) -> Option<Preamble> {
    let file = file::open(path).ok()?;
    file::read(&file, &mut [0; file::FIRST_READ]).ok()?.ok().map(|read| read.preamble)
}
