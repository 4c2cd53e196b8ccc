//! How tries come to their end: another one, an answer of our own, a connection that is kept, or nothing at all.

use std::io;
use std::time::Instant;

use super::head::Head;
use super::next::Fault;
use super::{Exchange, State, Upstream};
use crate::context::Context;
use crate::http::Tokens;
use crate::http::connection::{Session, Step};
use crate::http::handlers;
use crate::http::regex::Failed;
use crate::http::response::{Answer, Field, Response};
use crate::log::Level;
use crate::upstream::Tried;

impl Session {
    /// Whether another peer may be tried.
    pub(super) fn may_try_again(&self, cx: &Context, fault: Fault, sent: bool) -> bool {
        let Some(request) = &self.request else { return false };
        let Some(exchange) = &request.exchange else { return false };
        let since = cx.reactor.now().saturating_duration_since(exchange.began);
        exchange.tries_left > 0
            && exchange.settings.next.allows(fault, request.method(), sent, since)
            && !(sent && self.streams())
    }

    /// The present peer does not do: the next one, or an answer of our own.
    pub(super) fn give_up(&mut self, cx: &mut Context, fault: Fault) -> Step {
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        let sent = exchange.state == State::Asking;
        let group = exchange.group();
        let Some(upstream) = exchange.upstream.take() else { return Step::Over };
        // A connection that had been kept says nothing about the peer: it does not count as a try.
        if upstream.reused && fault == Fault::ERROR {
            exchange.tries_left += 1;
            let balancer = group.and_then(|group| cx.stations.balancer(self.client.epoch, group));
            if balancer.is_some_and(|balancer| balancer.is_alone()) {
                exchange.tried = Tried::default();
            }
        }
        let peer = upstream.peer;
        self.close_upstream(cx, upstream);
        self.forget_peer(cx, peer, Some(fault));
        self.after_fault(cx, fault, sent)
    }

    pub(super) fn after_fault(&mut self, cx: &mut Context, fault: Fault, sent: bool) -> Step {
        if self.is_abandoned() {
            return self.end_with(cx, 499);
        }
        if let Some(tried) = self.request.as_mut().and_then(|request| request.exchange.as_mut()?.tries.last_mut()) {
            tried.status = fault.status();
            tried.took.get_or_insert(cx.reactor.now().saturating_duration_since(tried.began));
        }
        if self.may_try_again(cx, fault, sent) {
            return self.connect(cx);
        }
        self.fail_or_stale(cx, fault)
    }

    /// The session with a peer is over; `fault`: why it came to nothing.
    pub(super) fn forget_peer(&self, cx: &mut Context, peer: usize, fault: Option<Fault>) {
        let now = cx.reactor.now();
        let exchange = self.request.as_ref().and_then(|request| request.exchange.as_ref());
        let Some(group) = exchange.and_then(|exchange| exchange.group()) else { return };
        let Some(balancer) = cx.stations.balancer(self.client.epoch, group) else { return };
        if fault.is_some_and(Fault::is_peers) && balancer.failed(peer, now) {
            self.log_upstream(Level::Warn, None, format_args!("upstream server temporarily disabled"));
        }
        balancer.release(peer);
    }

    /// Closes a connection, whose part in the log is complete then.
    pub(super) fn close_upstream(&mut self, cx: &mut Context, upstream: Upstream) {
        self.account(cx, &upstream);
        cx.buffers.put(upstream.input);
        upstream.kept.connection.close(&mut cx.reactor);
        cx.connections.give_back();
    }

    pub(super) fn account(&mut self, cx: &Context, upstream: &Upstream) {
        if let Some(tried) = self.request.as_mut().and_then(|request| request.exchange.as_mut()?.tries.last_mut()) {
            tried.sent = upstream.output.sent();
            tried.took = Some(cx.reactor.now().saturating_duration_since(tried.began));
        }
    }

    /// The server has done its part, or is given up after its head: its connection is kept where that can be.
    pub(in crate::http) fn leave_upstream(&mut self, cx: &mut Context, whole: bool) {
        let Some(request) = &mut self.request else { return };
        let Some(exchange) = &mut request.exchange else { return };
        let Some(upstream) = exchange.upstream.take() else { return };
        exchange.upstream_due = None;
        let group = exchange.group();
        let keeps = exchange.head.as_ref().is_some_and(Head::keeps_alive);
        let asked = upstream.output.is_empty() && (request.body.is_complete() || !self.streams());
        let balancer = group.and_then(|group| cx.stations.balancer(self.client.epoch, group));
        let Some((group, balancer)) = group.zip(balancer) else { return self.close_upstream(cx, upstream) };
        let address = balancer.peer(upstream.peer).address.clone();
        balancer.succeeded(upstream.peer);
        balancer.release(upstream.peer);
        if whole && keeps && asked && upstream.input.is_none() {
            self.account(cx, &upstream);
            let closed = cx.stations.keep(self.client.epoch, group, &address, upstream.kept, &mut cx.reactor);
            cx.connections.give_back_some(closed);
        } else {
            self.close_upstream(cx, upstream);
        }
    }

    /// The connection ends in whatever state it is.
    pub(in crate::http) fn drop_exchange(&mut self, cx: &mut Context) {
        self.close_relay(cx);
        self.stop_resolving(cx);
        self.drop_upstream(cx);
    }

    /// The connection to the present peer ends, of whom that says nothing.
    pub(super) fn drop_upstream(&mut self, cx: &mut Context) {
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else { return };
        if let Some(upstream) = exchange.upstream.take() {
            let peer = upstream.peer;
            self.close_upstream(cx, upstream);
            self.forget_peer(cx, peer, None);
        }
    }

    /// No server answers: we do.
    pub(in crate::http) fn fail(&mut self, cx: &mut Context, status: u16) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        let own = |exchange: &&mut Box<Exchange>| exchange.tries.len() > exchange.earlier;
        if let Some(tried) = request.exchange.as_mut().filter(own).and_then(|exchange| exchange.tries.last_mut()) {
            tried.status = status;
            tried.took.get_or_insert(cx.reactor.now().saturating_duration_since(tried.began));
        }
        let tokens = request.location.server_tokens;
        self.answer_late(cx, Response::page(status, tokens))
    }

    /// A regular expression about the server's answer came to no decision.
    pub(in crate::http) fn undecided(&mut self, cx: &mut Context, failed: &Failed) -> Step {
        self.log_upstream(Level::Alert, None, format_args!("{failed}"));
        self.leave_upstream(cx, false);
        let tokens = self.request.as_ref().map_or(Tokens::On, |request| request.location.server_tokens);
        self.answer_late(cx, Response::page(500, tokens))
    }

    /// What is asked for of the server's answer does not exist; 416 has these fields.
    pub(super) fn no_such_part(&mut self, cx: &mut Context, fields: Vec<Field>) -> Step {
        self.leave_upstream(cx, false);
        let tokens = self.request.as_ref().map_or(Tokens::On, |request| request.location.server_tokens);
        self.answer_late(cx, Response { fields, ..Response::page(416, tokens) })
    }

    /// An answer that was long in coming, or the one that `error_page` has for it.
    pub(in crate::http) fn answer_late(&mut self, cx: &mut Context, response: Response) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        let exchange = request.exchange.as_ref();
        let follows = exchange.is_some_and(|exchange| exchange.upstream.is_some());
        if request.background && !follows {
            return Step::Over;
        }
        let is_kept = exchange.is_some_and(|exchange| exchange.filling.is_some());
        if !is_kept && self.is_abandoned() {
            return self.end_with(cx, response.status);
        }
        let Some(request) = &mut self.request else { return Step::Over };
        let answer = handlers::answer(cx, &self.client, request, Answer::Respond(response));
        self.answer(cx, answer)
    }

    /// Whether the client has ended, or broken, its connection, and that matters.
    fn client_is_gone(&self, cx: &Context) -> bool {
        let exchange = self.request.as_ref().and_then(|request| request.exchange.as_ref());
        let ignores = exchange.is_some_and(|exchange| {
            let settings = &exchange.settings;
            let works_on = exchange.detached && (exchange.head.is_none() || exchange.filling.is_some());
            works_on || settings.ignore_client_abort || settings.mirror.is_some()
        });
        // What is left of a body may still wait to be read.
        let reads = self.request.as_ref().is_some_and(|request| !request.body.is_complete()) && self.streams();
        !ignores && !reads && cx.reactor.closing(self.client.connection.source())
    }

    /// Looks whether the client has left before it got an answer, or in the middle of one. The request ends with it, unless the server's answer
    /// is for the cache too.
    pub(super) fn client_aborted(&mut self, cx: &mut Context) -> Option<Step> {
        if !self.client_is_gone(cx) {
            return None;
        }
        const GONE: &str = "epoll_wait() reported that client prematurely closed connection";
        let exchange = self.request.as_ref().and_then(|request| request.exchange.as_ref());
        let goes_on = exchange.is_some_and(|exchange| exchange.works_for_cache());
        let closes = !goes_on && exchange.is_some_and(|exchange| exchange.upstream.is_some());
        let message = format_args!("{GONE}{}", if closes { ", so upstream connection is closed too" } else { "" });
        // As in nginx, which tells of the last thing it did, and not of what it waits for.
        match exchange {
            Some(exchange)
                if exchange.state == State::Asking
                    && exchange.tries.last().is_some_and(|tried| tried.received == 0) =>
            {
                let action = "sending request to upstream";
                self.client.log(Level::Info, None, action, self.request.as_deref(), message);
            }
            _ => self.log_upstream(Level::Info, None, message),
        }
        if self.detach() {
            return None;
        }
        Some(self.end_with(cx, 499))
    }

    /// Whether the client has left, and the server's answer is for the cache alone. Then nobody wants another one.
    fn is_abandoned(&self) -> bool {
        let Some(request) = &self.request else { return false };
        !request.background && request.exchange.as_ref().is_some_and(|exchange| exchange.detached)
    }

    /// The timer has run out while a server was at work.
    pub(in crate::http) fn exchange_timer(&mut self, cx: &mut Context) -> Step {
        let timed_out = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        let now = cx.reactor.now();
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if is_due(exchange.resumes) {
            return Step::Next;
        }
        match exchange.state {
            State::Collecting | State::Asking if is_due(exchange.client_due) => {
                self.client.log(
                    Level::Info,
                    Some(&timed_out),
                    "reading client request body",
                    self.request.as_deref(),
                    format_args!("client timed out"),
                );
                return self.end_with(cx, 408);
            }
            State::Waiting => return self.look_again(cx),
            State::Tunnel => return self.tunnel_timer(cx),
            State::Answering if is_due(exchange.client_due) && exchange.filling.is_some() => {
                self.timed_out();
                self.detach();
                return Step::Next;
            }
            State::Answering | State::Upgrading if is_due(exchange.client_due) => {
                self.timed_out();
                let action = "sending to client";
                let message = format_args!("client timed out");
                self.client.log(Level::Info, Some(&timed_out), action, self.request.as_deref(), message);
                return self.end_with(cx, 408);
            }
            _ if !is_due(exchange.upstream_due) => {
                self.arm(cx);
                return Step::Wait;
            }
            State::Collecting | State::Resolving | State::Connecting | State::Securing | State::Asking => {
                self.log_upstream(Level::Error, Some(&timed_out), format_args!("upstream timed out"));
                return self.give_up(cx, Fault::TIMEOUT);
            }
            State::Answering | State::Upgrading => {
                self.log_upstream(Level::Error, Some(&timed_out), format_args!("upstream timed out"));
            }
        }
        self.cut(cx)
    }

    /// The connection ends without another byte; the log has `status` unless there was one already.
    pub(super) fn end_with(&mut self, cx: &mut Context, status: u16) -> Step {
        if let Some(request) = self.request.as_mut().filter(|request| request.status == 0) {
            request.status = status;
        }
        self.drop_exchange(cx);
        self.write_access_log(cx);
        Step::Over
    }
}
