//! Answers are kept while they go on to the client.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;

use super::file::{Draft, Preamble, Validity};
use super::key::Key;
use super::serve::compresses;
use super::zone::{Grant, on_disk};
use super::{Access, Cache, any_holds, mirror, validity, vary};
use crate::context::Context;
use crate::http::connection::Session;
use crate::http::entity::{Entity, Source, Wanted, parse_date};
use crate::http::output::Piece;
use crate::http::proxy::head::Head;
use crate::http::response::{Length, Response};
use crate::http::variables::Values;
use crate::log::Level;

/// What becomes of the file when it is complete.
#[derive(Debug)]
pub(in crate::http) enum Target {
    Entry { cache: Rc<Cache>, key: Key, preamble: Preamble, grant: Option<Grant> },
    Mirror(mirror::Place),
}

/// A body that is being kept.
#[derive(Debug)]
pub(in crate::http) struct Filling {
    draft: Draft,
    /// The same file, for what of it the client has not taken.
    handle: Rc<File>,
    target: Target,
    failed: Option<io::Error>,
}

/// Where in the file bytes are that have just been added.
pub(in crate::http) struct Kept {
    file: Rc<File>,
    at: u64,
}

impl Kept {
    /// They without the first ones.
    pub(in crate::http) fn skip(self, count: usize) -> Self {
        Kept { at: self.at + count as u64, ..self }
    }

    /// So many of them, to be sent.
    pub(in crate::http) fn piece(self, length: usize) -> Piece {
        Piece::File { file: self.file, offset: self.at, left: length as u64 }
    }
}

impl Filling {
    pub(super) fn begin(draft: Draft, target: Target) -> io::Result<Self> {
        let handle = Rc::new(draft.handle()?);
        Ok(Filling { draft, handle, target, failed: None })
    }

    /// Adds to the body; `None`: it is not kept any more.
    pub(in crate::http) fn add(&mut self, content: &[u8]) -> Option<Kept> {
        if self.failed.is_some() {
            return None;
        }
        let at = self.draft.body_start() + self.draft.written();
        match self.draft.write(content) {
            Ok(()) => Some(Kept { file: self.handle.clone(), at }),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    /// Puts the file in its place.
    fn finish(self) -> io::Result<()> {
        match self.target {
            Target::Mirror(place) => place.put(self.draft),
            Target::Entry { cache, key, mut preamble, grant } => {
                let Some(table) = cache.table() else { return Ok(()) };
                preamble.length = self.draft.written();
                let head = preamble.encode().ok_or(io::ErrorKind::InvalidData)?;
                let expires = cache.expires();
                if !table.begin_storing(key, expires) {
                    match table.evict() {
                        Some(oldest) => cache.unlink(oldest),
                        None => return Ok(()),
                    }
                    if !table.begin_storing(key, expires) {
                        return Ok(());
                    }
                }
                match self.draft.finish(&head, &cache.file(key), key) {
                    Ok(size) => {
                        table.stored(key, on_disk(size), expires, grant);
                        table.written(size);
                        Ok(())
                    }
                    Err(error) => {
                        table.given_up(key);
                        Err(error)
                    }
                }
            }
        }
    }

    fn path(&self) -> PathBuf {
        match &self.target {
            Target::Entry { cache, key, .. } => cache.file(*key),
            Target::Mirror(place) => place.path.clone(),
        }
    }

    /// Bytes of the file so far.
    fn size(&self) -> u64 {
        self.draft.body_start() + self.draft.written()
    }
}

impl Access {
    /// For how long an answer with this status, whose fields tell that, may be kept.
    pub(super) fn judge_told(&self, status: u16, told: &validity::Told, now: u64) -> Option<Validity> {
        if told.forbidden || !self.cacheable {
            return None;
        }
        let by_status = || Some(now.saturating_add(validity::by_status(&self.settings.valid, status)?.as_secs()));
        let valid = Some(told.valid).filter(|valid| *valid > 0).or_else(by_status)?;
        Some(Validity { valid, while_updating: told.while_updating, on_error: told.on_error, date: now })
    }

    /// What the file of this answer is to say, and the key it is kept under.
    fn preamble(
        &self,
        head: &Head,
        validity: Validity,
        request: &crate::http::head::Head,
        ignores_vary: bool,
    ) -> (Key, Preamble) {
        let whole = matches!(head.status, 200 | 206);
        let single = |name: &'static str| head.all(name).next().filter(|_| whole);
        let vary: Vec<&[u8]> = if ignores_vary { Vec::new() } else { head.all("vary").collect() };
        let vary = vary.join(&b", "[..]);
        let variant = if vary.is_empty() { [0; 16] } else { vary::variant(&vary, request) };
        // The entry of a variant is this answer's only while the server names the same fields.
        let own = vary::key(&self.text, variant);
        let key = if !vary.is_empty() && self.key == own { own } else { self.main_key() };
        let preamble = Preamble {
            validity,
            key: self.text.clone(),
            last_modified: single("last-modified").and_then(parse_date),
            etag: single("etag").unwrap_or_default().to_vec(),
            vary,
            variant,
            head: head.raw().to_vec(),
            length: 0,
        };
        (key, preamble)
    }
}

impl Session {
    /// The answer that is about to go to the client is kept too, where it may be. What of it the client has asked for is found out here then,
    /// as the server was asked for all of it; `None`: that is not said here.
    pub(in crate::http) fn begin_filling(
        &mut self,
        cx: &mut Context,
        response: &mut Response,
    ) -> Option<Option<Range<u64>>> {
        if self.exchange_mut()?.head.as_ref()?.status == 101 {
            self.exchange_mut()?.cache = None;
            return None;
        }
        let request = self.request.as_ref()?;
        let exchange = request.exchange.as_ref()?;
        let head = exchange.head.as_ref()?;
        let values = Values { client: &self.client, request, now: cx.reactor.now() };
        let Some(access) = &exchange.cache else {
            if let Some(mirror) = &exchange.settings.mirror
                && exchange.buffered
                && head.status == 200
                && request.method() == b"GET"
                && let Some(path) = mirror.path(&values)
            {
                let begun = mirror.begin(path.clone(), head);
                self.set_filling(begun, Some(path));
            }
            return None;
        };
        let ignored = exchange.settings.answers.ignored.cache;
        let now = validity::now();
        let told = validity::told(head.fields(), ignored, now);
        let validity = access.judge_told(head.status, &told, now).filter(|_| exchange.buffered);
        let converted = request.is_head() && access.settings.convert_head;
        let kept = validity.filter(|_| !any_holds(&access.settings.no_cache, &values));
        let begun = kept.map(|validity| {
            let (key, preamble) = access.preamble(head, validity, &request.head, ignored.vary);
            let folder = if access.cache.use_temp_path { &exchange.settings.temp } else { &access.cache.path };
            let draft = Draft::begin(folder, key, preamble.body_start())?;
            let grant = access.held.as_ref().filter(|held| held.key == key).map(|held| held.grant);
            Filling::begin(draft, Target::Entry { cache: access.cache.clone(), key, preamble, grant })
        });
        // The server has not been asked about the client's conditions and ranges, whether the answer is kept then or not.
        let ours = access.cacheable && !told.forbidden && head.status == 200;
        let wanted = ours.then(|| shape(&values, head, response));
        let part = match wanted {
            _ if converted => Some(Some(0..0)),
            Some(Wanted::Whole) => Some(None),
            Some(Wanted::Parts(parts)) => Some(parts.into_iter().next()),
            Some(Wanted::Nothing) => Some(Some(0..0)),
            None => None,
        };
        let kept = begun.is_some_and(|begun| self.set_filling(begun, None));
        if let Some(access) = &mut self.exchange_mut()?.cache {
            access.cacheable = kept;
            access.old = None;
            if !kept {
                access.held = None;
            }
        }
        part
    }

    /// Whether the answer is kept from now on; `path` is for logs, where it is not the cache's own.
    fn set_filling(&mut self, begun: io::Result<Filling>, path: Option<PathBuf>) -> bool {
        let filling = match begun {
            Ok(filling) => Some(Box::new(filling)),
            Err(error) => {
                self.cannot_keep(&error, 0, path);
                None
            }
        };
        let kept = filling.is_some();
        if let Some(exchange) = self.exchange_mut() {
            exchange.filling = filling;
        }
        kept
    }

    /// A file of some `size` bytes cannot be written, which is told once of a cache.
    fn cannot_keep(&mut self, error: &io::Error, size: u64, path: Option<PathBuf>) {
        let cache = self.exchange_mut().and_then(|exchange| exchange.cache.as_ref()).map(|access| access.cache.clone());
        if let Some(table) = cache.as_ref().and_then(|cache| cache.table())
            && !table.unwritten(size)
        {
            return;
        }
        let path = path.or_else(|| cache.map(|cache| cache.path.clone())).unwrap_or_default();
        let message =
            format_args!("writing cache file \"{}\" failed, answers are passed on without being kept", path.display());
        self.log_upstream(Level::Crit, Some(error), message);
    }

    /// Gives up keeping what cannot be kept any more.
    pub(in crate::http) fn tell_of_filling(&mut self) {
        let Some(exchange) = self.exchange_mut() else { return };
        let failed = exchange.filling.as_mut().and_then(|filling| filling.failed.take());
        if let Some(error) = failed
            && let Some(filling) = exchange.filling.take()
        {
            self.cannot_keep(&error, filling.size(), Some(filling.path()));
            // Nobody need wait for what does not come.
            if let Some(access) = self.exchange_mut().and_then(|exchange| exchange.cache.as_mut()) {
                access.held = None;
            }
        }
    }

    /// The body is complete: the file is put in its place.
    pub(in crate::http) fn finish_filling(&mut self) {
        let Some(filling) = self.exchange_mut().and_then(|exchange| exchange.filling.take()) else { return };
        let (path, size) = (filling.path(), filling.size());
        if let Err(error) = filling.finish() {
            self.cannot_keep(&error, size, Some(path));
        }
        if let Some(access) = self.exchange_mut().and_then(|exchange| exchange.cache.as_mut()) {
            access.held = None;
        }
    }
}

/// What of an answer that goes through us the client has asked for; its head is made to fit.
fn shape(values: &Values<'_>, head: &Head, response: &mut Response) -> Wanted {
    let size = match response.length {
        Length::Known(length) => Some(length),
        _ => None,
    };
    let exchange = values.request.exchange.as_ref();
    if size.is_none() {
        // There are none of what has no length so far.
        response.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("Accept-Ranges"));
    }
    let compressed = compresses(values, response, size.unwrap_or(0));
    let parted = takes_parts(head) || exchange.is_some_and(|exchange| exchange.settings.answers.force_ranges);
    let entity = Entity {
        source: Source::Elsewhere,
        size: size.unwrap_or(0),
        modified: head.all("last-modified").next().and_then(parse_date),
        etag: head.all("etag").next().map(<[u8]>::to_vec),
        // Parts in another order than they come in would have to wait for each other.
        ranges: if parted && !compressed && size.is_some() { values.request.location.max_ranges.min(1) } else { 0 },
    };
    let whole = std::mem::replace(response, Response::new(200, Vec::new()));
    let (shaped, wanted) = entity.shape(values.request, whole);
    *response = shaped;
    wanted
}

/// Whether the server gives parts too.
pub(super) fn takes_parts(head: &Head) -> bool {
    head.all("accept-ranges").any(|unit| unit.eq_ignore_ascii_case(b"bytes"))
}
