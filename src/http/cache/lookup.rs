//! Whether the cache has the answer, or a server is asked, or another request that has asked one is waited for.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::file::{self, Flaw};
use super::key::Key;
use super::zone::{Known, on_disk};
use super::{Access, Cache, Choice, Held, Status, Stored, Validators, any_holds, validity, vary};
use crate::context::Context;
use crate::http::connection::{Session, Step};
use crate::http::proxy::head::Head;
use crate::http::proxy::{Exchange, State};
use crate::http::response::Response;
use crate::http::variables::Values;
use crate::log::Level;

/// How long a request that waits for another one sleeps before it looks again, nginx's time.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a request may take to bring an old entry up to date before another one tries too; it ends sooner with the request.
const UPDATE_AGE: Duration = Duration::from_secs(86_400);

/// What there is for a key. It lives for a step only.
#[allow(clippy::large_enum_variant)]
enum Found {
    Nothing,
    File(Stored),
    /// Servers have failed with this status a moment ago.
    Error(u16),
    /// A server is to be asked, and the answer not kept.
    Unkept,
}

/// What follows. It lives for a step only.
#[allow(clippy::large_enum_variant)]
enum Decision {
    Serve(Stored, Status),
    /// As well, and a server is asked on the side.
    ServeAndUpdate(Stored, Held),
    Error(u16),
    Ask,
    Wait(Duration),
}

impl Access {
    /// The fields by which a server is asked whether what there is has changed.
    pub(in crate::http) fn conditions(&self) -> Vec<(&'static str, Vec<u8>)> {
        let Some(known) = self.validators.as_ref().filter(|_| self.cacheable) else { return Vec::new() };
        let modified = known.modified.map(|date| ("If-Modified-Since", crate::http::entity::http_date(date)));
        let etag = Some(("If-None-Match", known.etag.clone())).filter(|(_, etag)| !etag.is_empty());
        modified.into_iter().chain(etag).collect()
    }

    /// There is this, but it is too old.
    pub(super) fn expire(&mut self, old: Option<Stored>) {
        self.status = Some(Status::Expired);
        let preamble = old.as_ref().map(|old| &old.preamble).filter(|_| self.settings.revalidate);
        self.validators = preamble.map(|old| Validators { modified: old.last_modified, etag: old.etag.clone() });
        self.old = old;
    }

    /// The main key: that of what is not another one's variant.
    pub(super) fn main_key(&self) -> Key {
        Key::of(&self.text)
    }

    /// Where there is no room for a key, that of the entry which was asked for longest ago is given up.
    fn ask(&self) -> Known {
        let Some(table) = self.cache.table() else { return Known::Full };
        let ask = || table.ask(self.key, self.settings.min_uses, validity::now(), self.cache.expires());
        match ask() {
            Known::Full => match table.evict() {
                Some(key) => {
                    self.cache.unlink(key);
                    ask()
                }
                None => Known::Full,
            },
            known => known,
        }
    }
}

impl Exchange {
    /// Whether a server is asked with GET for what a client asks for with HEAD.
    pub(in crate::http) fn asks_with_get(&self) -> bool {
        self.cache.as_ref().is_some_and(|access| access.settings.convert_head)
    }

    /// Whether it goes on without its client.
    pub(in crate::http) fn works_for_cache(&self) -> bool {
        let may_be_kept = self.head.is_none() && self.cache.as_ref().is_some_and(|access| access.cacheable);
        self.filling.is_some() || (may_be_kept && self.upstream.is_some())
    }
}

impl Session {
    /// Looks for the answer in the cache of its location; `None`: a server is to be asked.
    pub(in crate::http) fn look_up(&mut self, cx: &mut Context) -> Option<Step> {
        let exchange = self.exchange_mut()?;
        if exchange.cache.is_none() {
            exchange.settings.cache.as_ref()?;
            if let Some(step) = self.begin_access(cx) {
                return step.go_on();
            }
        }
        let decision = self.decide(cx);
        let range_is_passed = self.range_is_passed();
        let now = cx.reactor.now();
        let exchange = self.exchange_mut()?;
        match decision {
            Decision::Serve(stored, status) => Some(self.serve_stored(cx, stored, status)),
            Decision::ServeAndUpdate(stored, held) => {
                self.update_on_the_side(cx, &stored, held);
                Some(self.serve_stored(cx, stored, Status::Stale))
            }
            Decision::Error(status) => {
                exchange.cache.as_mut()?.status = Some(Status::Hit);
                let tokens = self.request.as_ref()?.location.server_tokens;
                Some(self.answer_late(cx, Response::page(status, tokens)))
            }
            Decision::Wait(time) => {
                exchange.state = State::Waiting;
                exchange.upstream_due = Some(now + time);
                self.arm(cx);
                Some(Step::Wait)
            }
            Decision::Ask => {
                let access = exchange.cache.as_mut()?;
                if range_is_passed {
                    access.cacheable = false;
                    access.held = None;
                }
                exchange.upstream_due = None;
                None
            }
        }
    }

    pub(super) fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        self.request.as_mut()?.exchange.as_deref_mut()
    }

    /// Finds out which entry is meant. `Some`: the cache is not asked for it.
    fn begin_access(&mut self, cx: &mut Context) -> Option<Unasked> {
        let Some(request) = &self.request else { return Some(Unasked::Step(Step::Over)) };
        let Some(exchange) = &request.exchange else { return Some(Unasked::Step(Step::Over)) };
        let Some(settings) = exchange.settings.cache.clone() else { return Some(Unasked::Server) };
        let values = Values { client: &self.client, request, now: cx.reactor.now() };
        let method = request.method();
        let purges = settings.purge.as_ref().is_some_and(|rule| any_holds(&rule.when, &values));
        let kept = matches!(method, b"GET" | b"HEAD") || (method == b"POST" && settings.post);
        if !purges && !kept {
            return Some(Unasked::Server);
        }
        let cache = match &settings.choice {
            Choice::Fixed(cache) => cache.clone(),
            Choice::Named(text, caches) => {
                let name = values.fill(text);
                if name.is_empty() || name == b"off" {
                    return Some(Unasked::Server);
                }
                match caches.iter().find(|cache| cache.zone.name.as_bytes() == name) {
                    Some(cache) => cache.clone(),
                    None => {
                        let name = String::from_utf8_lossy(&name);
                        self.log_upstream(Level::Error, None, format_args!("cache \"{name}\" not found"));
                        return Some(Unasked::Step(self.fail(cx, 500)));
                    }
                }
            }
        };
        let text = match &settings.key {
            Some(text) => values.fill(text),
            None => {
                let target = &exchange.target;
                let scheme = if target.secure { "https://" } else { "http://" };
                [scheme.as_bytes(), target.host.as_bytes(), exchange.uri(request)].concat()
            }
        };
        if purges {
            return Some(Unasked::Step(self.purge(cx, &settings, &cache, &text)));
        }
        let bypassed = any_holds(&settings.bypass, &values);
        let access = Access {
            key: Key::of(&text),
            text,
            settings,
            cache,
            status: Some(if bypassed { Status::Bypass } else { Status::Miss }),
            counts: true,
            cacheable: true,
            held: None,
            old: None,
            validators: None,
            waits: None,
        };
        self.exchange_mut()?.cache = Some(Box::new(access));
        bypassed.then_some(Unasked::Server)
    }

    fn decide(&mut self, cx: &mut Context) -> Decision {
        let now = cx.reactor.now();
        let first = self.exchange_mut().and_then(|exchange| exchange.cache.as_ref()).map(|access| access.key);
        let found = loop {
            match self.find(cx) {
                Some(found) => break found,
                // What there is is another variant: this one's own entry is looked for.
                None => continue,
            }
        };
        let Some(request) = &mut self.request else { return Decision::Ask };
        // A body has been collected for one server, so there is no second request with it on the side.
        let (background, sideways) = (request.background, !request.background && !request.has_body);
        let Some(access) = request.exchange.as_mut().and_then(|exchange| exchange.cache.as_mut()) else {
            return Decision::Ask;
        };
        if let Some(main) = first.filter(|first| *first != access.key)
            && let Some(table) = access.cache.table()
        {
            // Without it nobody finds the variants, nor does a purge.
            table.touched(main, access.cache.expires());
        }
        match found {
            Found::File(stored) => access.judge(stored, background, sideways),
            Found::Error(status) => Decision::Error(status),
            Found::Nothing => access.take_turn(now),
            Found::Unkept => {
                access.cacheable = false;
                Decision::Ask
            }
        }
    }

    /// What there is for the key; `None`: the key has changed to that of a variant.
    fn find(&mut self, cx: &mut Context) -> Option<Found> {
        let Some(request) = &mut self.request else { return Some(Found::Nothing) };
        let Some(access) = request.exchange.as_mut().and_then(|exchange| exchange.cache.as_mut()) else {
            return Some(Found::Nothing);
        };
        let Some(table) = access.cache.table() else { return Some(Found::Unkept) };
        let known = access.ask();
        match known {
            Known::Error(status) => return Some(Found::Error(status)),
            Known::Full => {
                let name = access.cache.zone.name.clone();
                let message = format_args!("could not allocate node in cache keys zone \"{name}\"");
                self.client.log(Level::Alert, None, "", Some(request), message);
                return Some(Found::Unkept);
            }
            Known::Nothing => return Some(Found::Nothing),
            Known::New if table.is_loaded() => return Some(Found::Nothing),
            Known::Seldom if table.is_loaded() => return Some(Found::Unkept),
            Known::New | Known::Seldom | Known::File => {}
        }
        let (key, cache) = (access.key, access.cache.clone());
        let nothing = || Some(if known == Known::Seldom { Found::Unkept } else { Found::Nothing });
        let stored = match open(&cache, key, cx.buffers.scratch(file::FIRST_READ)) {
            Ok(Ok((stored, size))) => {
                if known != Known::File && !table.found(key, on_disk(size), cache.expires()) {
                    return nothing();
                }
                stored
            }
            Ok(Err(flaw)) => {
                self.discard(&cache, key, &flaw);
                return nothing();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                table.lost(key);
                return nothing();
            }
            Err(error) => {
                let path = cache.file(key);
                let message = format_args!("open() \"{}\" failed", path.display());
                self.client.log(Level::Crit, Some(&error), "", self.request.as_deref(), message);
                return Some(Found::Unkept);
            }
        };
        let request = self.request.as_mut()?;
        let access = request.exchange.as_mut()?.cache.as_mut()?;
        if stored.preamble.key != access.text {
            let path = cache.file(key);
            let message = format_args!("cache file \"{}\" has md5 collision", path.display());
            self.client.log(Level::Crit, None, "", self.request.as_deref(), message);
            return nothing();
        }
        if !stored.preamble.vary.is_empty() {
            let variant = vary::variant(&stored.preamble.vary, &request.head);
            if variant != stored.preamble.variant {
                let own = vary::key(&access.text, variant);
                if own == access.key {
                    return nothing();
                }
                access.key = own;
                return None;
            }
        }
        Some(Found::File(stored))
    }

    /// A file is of no use: it goes.
    pub(super) fn discard(&self, cache: &Cache, key: Key, flaw: &Flaw) {
        let what = match flaw {
            Flaw::Foreign => "is none of this version",
            Flaw::Damaged => "is damaged",
        };
        let path = cache.file(key);
        let message = format_args!("cache file \"{}\" {what}, it is removed", path.display());
        self.client.log(Level::Crit, None, "", self.request.as_deref(), message);
        cache.remove(key);
    }

    /// Whether a part is asked for that is so far behind that the whole is not worth while.
    fn range_is_passed(&self) -> bool {
        let Some(request) = &self.request else { return false };
        let access = request.exchange.as_ref().and_then(|exchange| exchange.cache.as_ref());
        let Some(most) = access.and_then(|access| access.settings.max_range_offset) else { return false };
        let Some(range) = request
            .head
            .field("range")
            .filter(|range| range.get(..6).is_some_and(|unit| unit.eq_ignore_ascii_case(b"bytes=")))
        else {
            return false;
        };
        let text = String::from_utf8_lossy(&range[6..]);
        let text = text.trim_start_matches(' ');
        let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        text.starts_with('-') || text[..digits].parse::<u64>().is_ok_and(|offset| offset >= most)
    }

    /// Another request has been waited for: looks whether it is done.
    pub(in crate::http) fn look_again(&mut self, cx: &mut Context) -> Step {
        let now = cx.reactor.now();
        let Some(exchange) = self.exchange_mut() else { return Step::Over };
        if exchange.upstream_due.is_some_and(|due| due > now) {
            self.arm(cx);
            return Step::Wait;
        }
        if let Some(access) = &mut exchange.cache
            && let Some(Some(until)) = access.waits
        {
            let updating = access.cache.table().is_some_and(|table| table.is_updating(access.key));
            if updating && now < until {
                exchange.upstream_due = Some((now + PATIENCE).min(until));
                self.arm(cx);
                return Step::Wait;
            }
            if updating {
                access.waits = Some(None);
                self.log_upstream(Level::Info, None, format_args!("cache lock timeout"));
            }
        }
        self.begin_trying(cx)
    }
}

/// What stands in the place of asking the cache.
enum Unasked {
    Server,
    Step(Step),
}

impl Unasked {
    fn go_on(self) -> Option<Step> {
        match self {
            Unasked::Server => None,
            Unasked::Step(step) => Some(step),
        }
    }
}

impl Access {
    /// Whether what there is may be given; `sideways` where a server can be asked on the side.
    fn judge(&mut self, stored: Stored, background: bool, sideways: bool) -> Decision {
        let now = validity::now();
        let good = stored.preamble.validity;
        if good.valid >= now {
            return Decision::Serve(stored, Status::Hit);
        }
        let may_be_old =
            self.settings.stale_while_updating || good.valid.saturating_add(good.while_updating.into()) >= now;
        match Held::take(&self.cache, self.key, UPDATE_AGE) {
            Some(held) if may_be_old && sideways && self.settings.background_update => {
                return Decision::ServeAndUpdate(stored, held);
            }
            None if may_be_old && !background => return Decision::Serve(stored, Status::Updating),
            held => self.held = held,
        }
        self.expire(Some(stored));
        Decision::Ask
    }

    /// Nothing is there: with a lock one request at a time asks a server.
    fn take_turn(&mut self, now: Instant) -> Decision {
        if !self.settings.lock {
            return Decision::Ask;
        }
        self.held = Held::take(&self.cache, self.key, self.settings.lock_age);
        if self.held.is_some() {
            return Decision::Ask;
        }
        let until = match self.waits {
            None => Some(now + self.settings.lock_timeout).filter(|_| !self.settings.lock_timeout.is_zero()),
            Some(until) => until.filter(|until| *until > now),
        };
        self.waits = Some(until);
        match until {
            Some(until) => Decision::Wait(PATIENCE.min(until.saturating_duration_since(now))),
            None => {
                self.cacheable = false;
                Decision::Ask
            }
        }
    }
}

/// Opens the file of an entry and reads what it says; with it its size.
fn open(cache: &Cache, key: Key, buffer: &mut [u8]) -> io::Result<Result<(Stored, u64), Flaw>> {
    let file = match file::open(&cache.file(key)) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(Err(Flaw::Foreign)),
        file => file?,
    };
    let file::Read { preamble, count, size } = match file::read(&file, buffer)? {
        Ok(read) => read,
        Err(flaw) => return Ok(Err(flaw)),
    };
    let Ok(Some((head, _))) = Head::parse(&preamble.head) else { return Ok(Err(Flaw::Damaged)) };
    let start = preamble.body_start() as usize;
    let body = (count as u64 == size && start <= count).then(|| buffer[start..count].to_vec());
    Ok(Ok((Stored { file: Rc::new(file), preamble, head, body }, size)))
}
