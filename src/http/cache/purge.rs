//! `proxy_cache_purge`: entries are given up on demand.

use std::path::Path;
use std::rc::Rc;

use super::file::{self, Preamble};
use super::key::Key;
use super::{Cache, Clients, Settings};
use crate::context::Context;
use crate::http::connection::{Session, Step};
use crate::http::response::Response;
use crate::http::variables::Text;

/// Which requests purge, and whose.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Rule {
    /// Any of them must hold.
    pub when: Vec<Text>,
    /// `None`: whoever is let in.
    pub clients: Option<Clients>,
}

impl Session {
    /// Gives up what is kept under a key, with its variants, or under all keys that begin so.
    pub(super) fn purge(&mut self, cx: &mut Context, settings: &Settings, cache: &Rc<Cache>, text: &[u8]) -> Step {
        let Some(request) = &self.request else { return Step::Over };
        let tokens = request.location.server_tokens;
        let client = self.client.speaks_for(request);
        let clients = settings.purge.as_ref().and_then(|rule| rule.clients.as_ref());
        if clients.is_some_and(|clients| !clients.iter().any(|known| known.covers(client))) {
            return self.answer_late(cx, Response::page(403, tokens));
        }
        let purged = match text.strip_suffix(b"*") {
            Some(prefix) => purge_where(cache, |key| key.starts_with(prefix)),
            None => {
                let key = Key::of(text);
                let varies = preamble(&cache.file(key)).is_some_and(|preamble| !preamble.vary.is_empty());
                match varies {
                    true => purge_where(cache, |key| key == text),
                    false => usize::from(purge_one(cache, key)),
                }
            }
        };
        let response = match purged {
            0 => Response::page(404, tokens),
            _ => Response::new(204, Vec::new()),
        };
        self.answer_late(cx, response)
    }
}

fn purge_one(cache: &Cache, key: Key) -> bool {
    let known = cache.table().is_some_and(|table| table.lost(key));
    std::fs::remove_file(cache.file(key)).is_ok() || known
}

/// Reads all files, as their names do not tell their keys.
fn purge_where(cache: &Cache, doomed: impl Fn(&[u8]) -> bool) -> usize {
    let mut purged = 0;
    super::loader::each_file(&cache.path, cache.levels.depth(), &mut |path, key| {
        if let Some(key) = key
            && preamble(path).is_some_and(|preamble| doomed(&preamble.key))
        {
            purged += usize::from(purge_one(cache, key));
        }
        true
    });
    purged
}

fn preamble(path: &Path) -> Option<Preamble> {
    let file = std::fs::File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    file::read(&file, size, &mut [0; file::FIRST_READ]).ok()?.ok().map(|(preamble, _)| preamble)
}
