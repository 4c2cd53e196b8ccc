//! The head of a server's answer comes: it is read, and decided on what becomes of the answer.

use super::head::Head;
use super::next::Fault;
use super::secure::is_end;
use super::{State, answer, part};
use crate::context::Context;
use crate::http::connection::{Session, Step};
use crate::http::pace::Pace;
use crate::http::variables::Values;
use crate::log::Level;

/// How much of a server's head is read at once.
const READ: usize = 16 * 1024;
/// Answers with 1xx before the one that counts; a server that sends more sends nothing else.
const INTERIM_MAX: u8 = 100;

impl Session {
    /// Reads what has come of the head; passes over answers that another one follows.
    pub(super) fn read_answer_head(&mut self, cx: &mut Context) -> Step {
        loop {
            let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
                return Step::Over;
            };
            let limit = exchange.settings.buffer_size;
            let Some(upstream) = &mut exchange.upstream else { return Step::Over };
            let connection = &upstream.kept.connection;
            if let Some(input) = upstream.input.as_deref() {
                match Head::parse(&input[..input.len().min(limit)]) {
                    // Another head follows (RFC 9110 15.2).
                    Ok(Some((head, length))) if (100..200).contains(&head.status) && head.status != 101 => {
                        upstream.interim += 1;
                        if upstream.interim > INTERIM_MAX {
                            return self.invalid(cx, "upstream sent too many interim responses");
                        }
                        self.drop_input(cx, length);
                        continue;
                    }
                    Ok(Some((head, length))) => {
                        if head.status == 101 && !self.is_upgrade(cx.reactor.now()) {
                            return self.invalid(cx, "upstream sent unexpected status 101");
                        }
                        self.drop_input(cx, length);
                        return self.head_is_there(cx, head);
                    }
                    Ok(None) if input.len() >= limit => return self.too_big(cx),
                    Ok(None) => {}
                    Err(message) => return self.invalid(cx, &message),
                }
            }
            if !cx.reactor.readable(connection.source()) {
                return Step::Wait;
            }
            let scratch = cx.buffers.scratch(READ);
            let received = connection.recv(&mut cx.reactor, scratch);
            match received.or_else(|error| if is_end(&error) { Ok(Some(0)) } else { Err(error) }) {
                Ok(None) => return Step::Wait,
                Ok(Some(0)) => {
                    self.log_upstream(Level::Error, None, format_args!("upstream prematurely closed connection"));
                    return self.give_up(cx, Fault::ERROR);
                }
                Ok(Some(count)) => {
                    match &mut upstream.input {
                        Some(input) => input.extend_from_slice(&scratch[..count]),
                        None => upstream.input = Some(cx.buffers.keep(0..count)),
                    }
                    exchange.upstream_due = Some(cx.reactor.now() + exchange.settings.read_timeout);
                    if let Some(tried) = exchange.tries.last_mut() {
                        tried.received += count as u64;
                    }
                }
                Err(error) => {
                    self.log_upstream(Level::Error, Some(&error), format_args!("recv() failed"));
                    return self.give_up(cx, Fault::ERROR);
                }
            }
        }
    }

    fn too_big(&mut self, cx: &mut Context) -> Step {
        self.log_upstream(Level::Error, None, format_args!("upstream sent too big header"));
        self.give_up(cx, Fault::INVALID_HEADER)
    }

    fn invalid(&mut self, cx: &mut Context, message: &str) -> Step {
        self.log_upstream(Level::Error, None, format_args!("{message}"));
        self.give_up(cx, Fault::INVALID_HEADER)
    }

    /// The head of the answer is complete and understood.
    fn head_is_there(&mut self, cx: &mut Context, head: Head) -> Step {
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        let asked_head = exchange.upstream.as_ref().is_some_and(|upstream| upstream.asked_head);
        let now = cx.reactor.now();
        if let Some(tried) = exchange.tries.last_mut() {
            tried.status = head.status;
            tried.head = Some(now.saturating_duration_since(tried.began));
        }
        let framing = match head.framing(asked_head) {
            Ok(framing) => framing,
            Err(message) => return self.invalid(cx, &message),
        };
        if let Some(fault) = Fault::of_status(head.status)
            && self.may_try_again(cx, fault, true)
        {
            return self.give_up(cx, fault);
        }
        if let Some(step) = self.old_answer_does(cx, &head) {
            return step;
        }
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        exchange.incoming.framing = framing;
        exchange.buffered = answer::buffering(&head, &exchange.settings);
        exchange.upstream_due = Some(now + exchange.settings.read_timeout);
        let upgraded = head.status == 101;
        exchange.pace = Pace::new(exchange.settings.answers.limit_rate, 0, now).filter(|_| exchange.buffered);
        let limit_rate = answer::limit_rate(&head, &exchange.settings);
        exchange.head = Some(head);
        if let Some(request) = &mut self.request {
            request.limit_rate = limit_rate.or(request.limit_rate);
        }
        if let Some(step) = self.intercepted(cx).or_else(|| self.lead_elsewhere(cx)) {
            return step;
        }
        let Some(request) = &mut self.request else { return Step::Over };
        let mut response = match answer::response(&Values { client: &self.client, request, now }) {
            Ok(response) => response,
            Err(failed) => return self.undecided(cx, &failed),
        };
        let shaped = self.begin_filling(cx, &mut response);
        let Some(request) = &mut self.request else { return Step::Over };
        if response.content_type.is_some() {
            request.kept_type = None;
        }
        let forced = request.exchange.as_ref().is_some_and(|exchange| exchange.settings.answers.force_ranges);
        let part = match shaped {
            Some(part) => Ok(part),
            None if forced => part::cut_out(request, &mut response),
            None => Ok(None),
        };
        let part = match part {
            Ok(part) => part,
            Err(fields) => return self.no_such_part(cx, fields),
        };
        let to_head = request.is_head();
        let Some(exchange) = &mut request.exchange else { return Step::Over };
        exchange.part = part;
        if (to_head && !asked_head) || exchange.part == Some(0..0) {
            let dropped = exchange.skip_body();
            cx.buffers.put(dropped);
        }
        exchange.state = if upgraded { State::Upgrading } else { State::Answering };
        self.answer_late(cx, response)
    }

    fn drop_input(&mut self, cx: &mut Context, count: usize) {
        let Some(upstream) = self.upstream_mut() else { return };
        if let Some(input) = &mut upstream.input {
            bytes::Buf::advance(input, count);
            if input.is_empty() {
                cx.buffers.put(upstream.input.take());
            }
        }
    }
}
