//! Answers from files of the cache.

use super::file::Validity;
use super::store::takes_parts;
use super::{Status, Stored, file, validity};
use crate::context::Context;
use crate::http::connection::{Session, Step};
use crate::http::entity::{Entity, Source};
use crate::http::output::Piece;
use crate::http::proxy::answer;
use crate::http::proxy::head::Head;
use crate::http::proxy::next::Fault;
use crate::http::response::{Length, Response};
use crate::http::variables::Values;
use crate::log::Level;

/// Whether a part that is asked for would be one of what is compressed on the way, which has none.
pub(super) fn compresses(values: &Values<'_>, response: &Response, size: u64) -> bool {
    values.request.head.field("range").is_some()
        && values.request.location.gzip.as_ref().is_some_and(|gzip| gzip.takes(values, response, size))
}

impl Session {
    /// Answers with what is there.
    pub(super) fn serve_stored(&mut self, cx: &mut Context, stored: Stored, status: Status) -> Step {
        let now = cx.reactor.now();
        let Some(exchange) = self.exchange_mut() else { return Step::Over };
        let Stored { file, preamble, head, body } = stored;
        let status_code = head.status;
        let limit_rate = answer::limit_rate(&head, &exchange.settings);
        let hides_age = exchange.settings.hidden.contain(b"age");
        let parted = takes_parts(&head) || exchange.settings.answers.force_ranges;
        let age = head.all("age").find_map(|age| std::str::from_utf8(age).ok()?.parse::<u64>().ok()).unwrap_or(0);
        exchange.head = Some(head);
        if let Some(access) = &mut exchange.cache {
            access.status = Some(status);
            access.held = None;
            access.old = None;
        }
        if let Some(request) = &mut self.request {
            request.limit_rate = limit_rate.or(request.limit_rate);
        }
        if let Some(step) = self.lead_elsewhere(cx) {
            return step;
        }
        let Some(request) = &mut self.request else { return Step::Over };
        let values = Values { client: &self.client, request, now };
        let mut response = match answer::response(&values) {
            Ok(response) => response,
            Err(failed) => return self.undecided(cx, &failed),
        };
        if response.content_type.is_some() {
            request.kept_type = None;
        }
        // The whole is here, however it was framed when it came; an answer to HEAD may tell of a body that has never been.
        if !request.is_head() {
            response.length = Length::Here;
            response.close = false;
        }
        let age = age.saturating_add(validity::now().saturating_sub(preamble.validity.date)).to_string().into_bytes();
        match response.fields.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("Age")) {
            Some((_, told)) => *told = age,
            None if hides_age => {}
            None => response.fields.push(("Age".into(), age)),
        }
        let (start, size) = (preamble.body_start(), preamble.length);
        if status_code == 200 {
            let values = Values { client: &self.client, request, now };
            let compressed = compresses(&values, &response, size);
            let entity = Entity {
                source: body.map_or(Source::File(file, start), Source::Bytes),
                size,
                modified: preamble.last_modified,
                etag: Some(preamble.etag).filter(|etag| !etag.is_empty()),
                ranges: if parted && !compressed { request.location.max_ranges } else { 0 },
            };
            response = entity.answer(&self.client, request, response);
        } else {
            response.body.push(body.map_or(Piece::File { file, offset: start, left: size }, Piece::Bytes));
        }
        self.answer_late(cx, response)
    }

    /// Whether what is there, though too old, does instead of what a server has answered: after a failure, or because nothing has
    /// changed.
    pub(in crate::http) fn old_answer_does(&mut self, cx: &mut Context, head: &Head) -> Option<Step> {
        if let Some(fault) = Fault::of_status(head.status)
            && self.may_give_old(fault, false)
        {
            self.leave_upstream(cx, false);
            return self.give_old(cx);
        }
        let access = self.exchange_mut()?.cache.as_mut()?;
        // A client's own question, about what it has itself, is passed on where the answer is not for the cache.
        let asked = access.cacheable && access.settings.revalidate;
        if head.status != 304 || access.status != Some(Status::Expired) || !asked {
            return None;
        }
        let old = access.old.take()?;
        let now = validity::now();
        let ignored = self.exchange_mut()?.settings.answers.ignored.cache;
        let access = self.exchange_mut()?.cache.as_mut()?;
        // What the server says now goes before what it has said then, and that before what the configuration says.
        let told = [head, &old.head].map(|head| validity::told(head.fields(), ignored, now));
        let by_status = validity::by_status(&access.settings.valid, old.head.status);
        let told = told.into_iter().find(|told| told.valid > 0);
        let renewed = match (told, by_status) {
            (Some(told), _) => Some((told.valid, told.while_updating, told.on_error)),
            (None, Some(time)) => Some((now.saturating_add(time.as_secs()), 0, 0)),
            (None, None) => None,
        };
        if let Some((valid, while_updating, on_error)) = renewed {
            let validity = Validity { valid, while_updating, on_error, date: now };
            let path = access.cache.file(access.key);
            if let Err(error) = file::renew(&path, &old.file, &validity) {
                let message = format_args!("renewing cache file \"{}\" failed", path.display());
                self.log_upstream(Level::Crit, Some(&error), message);
            }
            let mut old = old;
            old.preamble.validity = validity;
            self.leave_upstream(cx, true);
            return Some(self.serve_stored(cx, old, Status::Revalidated));
        }
        self.leave_upstream(cx, true);
        Some(self.serve_stored(cx, old, Status::Revalidated))
    }

    /// Whether an old answer may be given after this fault; `lasting`: one after which the server has said that it may.
    fn may_give_old(&mut self, fault: Fault, lasting: bool) -> bool {
        let access = self.exchange_mut().and_then(|exchange| exchange.cache.as_mut());
        let Some(access) = access.filter(|access| access.status == Some(Status::Expired)) else { return false };
        let Some(old) = &access.old else { return false };
        let good = old.preamble.validity;
        let told = lasting && good.valid.saturating_add(good.on_error.into()) >= validity::now();
        told || access.settings.stale_after.has(fault)
    }

    fn give_old(&mut self, cx: &mut Context) -> Option<Step> {
        let old = self.exchange_mut()?.cache.as_mut()?.old.take()?;
        Some(self.serve_stored(cx, old, Status::Stale))
    }

    /// No server answers: an old answer does, where it may, or we say so.
    pub(in crate::http) fn fail_or_stale(&mut self, cx: &mut Context, fault: Fault) -> Step {
        if self.may_give_old(fault, true)
            && let Some(step) = self.give_old(cx)
        {
            return step;
        }
        self.remember_failure(fault.status());
        self.fail(cx, fault.status())
    }

    /// That servers fail is remembered for a time, where that is configured, or where the server says it of its answer, which we replace.
    pub(in crate::http) fn remember_failure(&mut self, status: u16) {
        let Some(exchange) = self.exchange_mut() else { return };
        // A request that passes the cache by says nothing to those that do not.
        let access = exchange.cache.as_ref().filter(|access| access.status != Some(Status::Bypass));
        let Some(access) = access else { return };
        let now = validity::now();
        let ignored = exchange.settings.answers.ignored.cache;
        let told = exchange.head.as_ref().map(|head| validity::told(head.fields(), ignored, now)).unwrap_or_default();
        if let Some(validity) = access.judge_told(status, &told, now)
            && let Some(table) = access.cache.table()
        {
            table.failed(access.key, status, validity.valid);
        }
    }

    /// The client is gone, or takes nothing: the server goes on for the cache alone, if that makes use of it.
    pub(in crate::http) fn detach(&mut self) -> bool {
        let Some(request) = &mut self.request else { return false };
        let Some(exchange) = request.exchange.as_mut().filter(|exchange| exchange.works_for_cache()) else {
            return false;
        };
        exchange.detached = true;
        exchange.client_due = None;
        request.output.clear();
        self.last = true;
        true
    }
}
