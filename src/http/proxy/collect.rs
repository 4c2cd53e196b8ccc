//! The client's body on its way to the server: kept until it is complete, or passed on as it comes.

use super::State;
use super::body_files::InFile;
use super::exchange::{LAST_CHUNK, frame};
use super::spool::Failure;
use crate::context::Context;
use crate::http::answering::CONTINUE;
use crate::http::body::Body;
use crate::http::connection::{Session, Step};
use crate::http::handlers::is_too_large;
use crate::http::output::{Piece, Progress};
use crate::http::reading::take_body;
use crate::http::response::Response;
use crate::log::Level;

/// Bytes taken for one event before others have their turn.
const TURN: u64 = 256 * 1024;

impl Session {
    /// What came of the body with the head; the client is told to send the rest where it waits for that.
    pub(super) fn collect_first(&mut self, cx: &mut Context) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        let start = std::mem::take(&mut request.body_start);
        if request.body_lost {
            return self.begin_trying(cx);
        }
        if request.expects_continue && !request.body.is_complete() {
            request.expects_continue = false;
            request.output.push(Piece::Bytes(CONTINUE.to_vec()));
            request.head_sent += CONTINUE.len() as u64;
            let connection = &self.client.connection;
            // A client that is gone is found out when its body is read.
            let _ = request.output.send(connection, &mut cx.reactor, &mut cx.buffers, false);
        }
        let is_whole = request.body.is_complete();
        let Some(exchange) = &mut request.exchange else { return Step::Over };
        // What is there as a whole needs no file.
        let is_whole = is_whole && !start.is_empty() && exchange.settings.store.in_file == InFile::Off;
        if is_whole || exchange.streams {
            exchange.body.memory = start;
            return self.begin_trying(cx);
        }
        match self.keep(&start) {
            Ok(()) => self.collect(cx),
            Err(error) => self.no_room(cx, &error),
        }
    }

    /// Reads and keeps what has come of the body.
    pub(super) fn collect(&mut self, cx: &mut Context) -> Step {
        let mut content = Vec::new();
        let mut left = TURN;
        loop {
            let Some(request) = &mut self.request else { return Step::Over };
            if request.body.is_complete() {
                return self.begin_trying(cx);
            }
            let body_timeout = request.location.body_timeout;
            if self.input.is_none() {
                let source = self.client.connection.source();
                if left == 0 {
                    cx.reactor.again(source);
                }
                if left == 0 || !cx.reactor.readable(source) {
                    if let Some(exchange) = &mut request.exchange {
                        exchange.client_due = Some(cx.reactor.now() + body_timeout);
                    }
                    self.arm(cx);
                    return Step::Wait;
                }
                match self.receive(cx) {
                    Ok(None) => continue,
                    Ok(Some(count @ 1..)) => left = left.saturating_sub(count as u64),
                    Ok(Some(0)) => return self.client_left_body(cx, None),
                    Err(error) => return self.client_left_body(cx, Some(&error)),
                }
            }
            content.clear();
            if let Err(step) = self.take_content(cx, &mut content) {
                return step;
            }
            if let Err(error) = self.keep(&content) {
                return self.no_room(cx, &error);
            }
        }
    }

    /// Takes what the input has of the body.
    ///
    /// # Errors
    /// What follows instead of going on: it is too large, or none.
    fn take_content(&mut self, cx: &mut Context, content: &mut Vec<u8>) -> Result<(), Step> {
        let Some(request) = &mut self.request else { return Err(Step::Over) };
        let Some(input) = &mut self.input else { return Ok(()) };
        let taken = take_body(request, input, Some(content));
        self.settle_input(cx);
        let Some(request) = &self.request else { return Err(Step::Over) };
        let tokens = request.location.server_tokens;
        if let Err(refusal) = taken {
            let message = format_args!("{}", refusal.message);
            self.client.log(Level::Info, None, "reading client request body", Some(request), message);
            return Err(self.refuse_body(cx, Response::page(refusal.status, tokens)));
        }
        if request.chunk.is_some() && is_too_large(&self.client, request) {
            return Err(self.refuse_body(cx, Response::page(413, tokens)));
        }
        Ok(())
    }

    /// The body does not do. An answer that has begun can only be cut.
    fn refuse_body(&mut self, cx: &mut Context, response: Response) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        request.body_lost = true;
        match request.exchange.as_ref().map(|exchange| exchange.state) {
            Some(State::Answering) => return self.cut(cx),
            Some(State::Upgrading) => return self.end_tunnel(cx),
            _ => {}
        }
        self.drop_exchange(cx);
        self.answer_late(cx, response)
    }

    /// Keeps a piece of the body, in memory or in a file.
    fn keep(&mut self, content: &[u8]) -> Result<(), Failure> {
        let Some(request) = &mut self.request else { return Ok(()) };
        let Some(exchange) = &mut request.exchange else { return Ok(()) };
        let store = &exchange.settings.store;
        // Also of a body that is not passed on: variables tell of it, and another location may want it.
        let any = request.has_body && (!content.is_empty() || store.in_file != InFile::Off);
        if !any || !exchange.body.add(content, store)? {
            return Ok(());
        }
        let message = "a client request body is buffered to a temporary file";
        let path = exchange.body.path().map(|path| path.display().to_string());
        match path {
            Some(path) => {
                let message = format_args!("{message} {path}");
                self.client.log(Level::Notice, None, "", self.request.as_deref(), message);
            }
            None => self.client.log(Level::Warn, None, "", self.request.as_deref(), format_args!("{message}")),
        }
        Ok(())
    }

    fn no_room(&mut self, cx: &mut Context, Failure { call, error }: &Failure) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        request.body_lost = true;
        let folder = request.exchange.as_ref().map(|exchange| exchange.settings.store.folder.path.display());
        let folder = folder.map(|folder| folder.to_string()).unwrap_or_default();
        let message = format_args!("{call} \"{folder}\" failed");
        self.client.log(Level::Crit, Some(error), "reading client request body", Some(request), message);
        let tokens = request.location.server_tokens;
        self.answer_late(cx, Response::page(500, tokens))
    }

    fn client_left_body(&mut self, cx: &mut Context, error: Option<&std::io::Error>) -> Step {
        let message = format_args!("client prematurely closed connection");
        let action = if self.streams() { "sending request to upstream" } else { "" };
        self.client.log(Level::Info, error, action, self.request.as_deref(), message);
        self.end_with(cx, 400)
    }

    /// Where the body goes on as it comes: moves a piece of it behind what has been sent. Returns whether there was one.
    ///
    /// # Errors
    /// What follows instead of going on.
    pub(super) fn stream_body(&mut self, cx: &mut Context) -> Result<bool, Option<Step>> {
        if !self.streams() {
            return Ok(false);
        }
        let Some(request) = &mut self.request else { return Err(Some(Step::Over)) };
        if request.body.is_complete() {
            return Ok(false);
        }
        let chunked = matches!(request.body, Body::Chunked(_));
        if self.input.is_none() {
            if !cx.reactor.readable(self.client.connection.source()) {
                let due = cx.reactor.now() + request.location.body_timeout;
                if let Some(exchange) = &mut request.exchange {
                    // A server that has said nothing waits for the client as we do.
                    if exchange.state == State::Asking {
                        exchange.upstream_due = None;
                    }
                    exchange.client_due = Some(exchange.client_due.map_or(due, |sooner| sooner.min(due)));
                }
                return Ok(false);
            }
            match self.receive(cx) {
                Ok(None) => return self.stream_body(cx),
                Ok(Some(1..)) => {}
                Ok(Some(0)) => return Err(Some(self.client_left_body(cx, None))),
                Err(error) => return Err(Some(self.client_left_body(cx, Some(&error)))),
            }
        }
        let mut content = Vec::new();
        self.take_content(cx, &mut content).map_err(Some)?;
        let Some(request) = &mut self.request else { return Err(Some(Step::Over)) };
        let complete = request.body.is_complete();
        let Some(exchange) = &mut request.exchange else { return Err(Some(Step::Over)) };
        if exchange.state == State::Asking {
            exchange.client_due = None;
            exchange.upstream_due = Some(cx.reactor.now() + exchange.settings.send_timeout);
        }
        // For another server that an error page leads to.
        let fits = exchange.body.memory.len() + content.len() <= exchange.settings.store.memory;
        if fits && !request.body_lost {
            exchange.body.memory.extend_from_slice(&content);
        } else {
            (request.body_lost, exchange.body.memory) = (true, Vec::new());
        }
        let Some(upstream) = &mut exchange.upstream else { return Err(Some(Step::Over)) };
        frame(&mut upstream.output, &content, chunked);
        if complete && chunked {
            upstream.output.push_bytes(LAST_CHUNK);
        }
        Ok(true)
    }

    /// While the answer comes, the rest of the request goes on: the server may want it before it says more. Returns whether more of the
    /// body has been read.
    ///
    /// # Errors
    /// What follows instead of going on.
    pub(super) fn keep_asking(&mut self, cx: &mut Context) -> Result<bool, Step> {
        let Some(upstream) = self.upstream_mut() else { return Ok(false) };
        if !upstream.output.is_empty() {
            let connection = &upstream.kept.connection;
            match upstream.output.send(connection, &mut cx.reactor, &mut cx.buffers, true) {
                Ok(Progress::Done) => {}
                Ok(Progress::Blocked | Progress::Held(_)) => return Ok(false),
                Ok(Progress::TurnOver) => {
                    cx.reactor.again(connection.source());
                    return Ok(false);
                }
                // It needs no more of it for the answer that it gives, and is not asked again.
                Err(_) => {
                    upstream.output.drop_rest();
                    upstream.kept.requests = u64::MAX;
                }
            }
        }
        match self.stream_body(cx) {
            Ok(more) => Ok(more),
            Err(step) => Err(step.unwrap_or(Step::Over)),
        }
    }
}
