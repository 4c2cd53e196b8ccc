//! How requests and connections come to their end: the line in the log, bodies that nobody reads, clients that are still sending, workers that finish.

use std::path::Path;
use std::time::Instant;
use std::{fmt, fs, io};

use super::LingeringClose;
use super::connection::{Phase, Session, Step, Verdict};
use super::handlers::is_too_large;
use super::head::Scan;
use super::reading::{READ, take_body};
use super::variables::Values;
use crate::context::Context;
use crate::fault;
use crate::log::directive::Goal;
use crate::log::{Level, access};
use crate::relay::Buffers;

/// Bytes of a log's line for which there is room from the beginning.
const LINE_USUAL: usize = 256;

impl Session {
    /// The request is over: the next one, or the end.
    pub(super) fn finish(&mut self, cx: &mut Context) -> Step {
        self.write_access_log(cx);
        let Some(request) = self.request.take() else { return Step::Over };
        let (location, now) = (&request.location, cx.reactor.now());
        if !self.last && !self.leaving {
            self.scan = Scan::default();
            self.phase = Phase::Head;
            self.pipelined = self.input.is_some();
            self.skip_blank_lines(cx);
            let patience = match self.input {
                Some(_) => self.client.server.header_timeout,
                None => location.keepalive.timeout,
            };
            cx.reactor.set_timer(self.timer, now + patience);
            return Step::Next;
        }
        let unread = !request.body.is_complete() || self.input.is_some();
        let connection = &self.client.connection;
        let sending = unread || cx.reactor.readable(connection.source()) || connection.is_early();
        let lingers = match location.lingering.close {
            LingeringClose::Off => false,
            LingeringClose::On => sending,
            LingeringClose::Always => true,
        };
        cx.buffers.put(self.input.take());
        if !lingers || request.output.sent() == 0 {
            return Step::Over;
        }
        let told = self.client.connection.shutdown_write(&mut cx.reactor);
        let until = now + location.lingering.time;
        self.phase = Phase::Linger { until, told };
        cx.reactor.set_timer(self.timer, until.min(now + location.lingering.timeout));
        self.request = Some(request);
        // Whoever lingers holds neither memory nor files of what is over.
        self.drop_exchange(cx);
        if let Some(request) = &mut self.request {
            request.exchange = None;
            request.output.clear();
        }
        Step::Next
    }

    /// Reads and drops what is left of the request's body.
    pub(super) fn drop_body(&mut self, cx: &mut Context, until: Instant) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        if !cx.reactor.readable(self.client.connection.source()) {
            return Step::Wait;
        }
        let scratch = cx.buffers.scratch(READ);
        let count = match self.client.connection.recv(&mut cx.reactor, scratch) {
            Ok(None) => return Step::Wait,
            Ok(Some(0)) | Err(_) => return self.abort(cx),
            Ok(Some(count)) => count,
        };
        let mut input = cx.buffers.keep(0..count);
        let taken = take_body(request, &mut input, None);
        let now = cx.reactor.now();
        let patience = request.location.body_timeout.min(request.location.lingering.timeout);
        cx.reactor.set_timer(self.timer, until.min(now + patience));
        let complete = request.body.is_complete();
        // A length that the head told has been judged before the answer.
        let too_large = request.chunk.is_some() && is_too_large(&self.client, request);
        self.input = Some(input);
        self.settle_input(cx);
        match taken {
            Err(refusal) => {
                let message = format_args!("{}", refusal.message);
                self.client.log(Level::Info, None, "reading client request body", self.request.as_deref(), message);
                self.abort(cx)
            }
            Ok(()) if too_large => {
                // The answer is on its way; all that is left is to take no more of the body.
                self.last = true;
                self.finish(cx)
            }
            Ok(()) if complete => self.finish(cx),
            Ok(()) if now >= until => self.abort(cx),
            Ok(()) => {
                cx.reactor.again(self.client.connection.source());
                Step::Wait
            }
        }
    }

    /// Reads and drops until the client has ended too, is silent for too long, or has had its time.
    pub(super) fn linger(&mut self, cx: &mut Context, until: Instant, told: bool) -> Step {
        if !told && cx.reactor.writable(self.client.connection.source()) {
            let told = self.client.connection.shutdown_write(&mut cx.reactor);
            self.phase = Phase::Linger { until, told };
        }
        if !cx.reactor.readable(self.client.connection.source()) {
            return Step::Wait;
        }
        let scratch = cx.buffers.scratch(Buffers::SCRATCH);
        match self.client.connection.recv(&mut cx.reactor, scratch) {
            Ok(None) => return Step::Wait,
            Ok(Some(0)) | Err(_) => return Step::Over,
            Ok(Some(_)) => {}
        }
        let now = cx.reactor.now();
        if now >= until {
            return Step::Over;
        }
        if let Some(request) = &self.request {
            cx.reactor.set_timer(self.timer, until.min(now + request.location.lingering.timeout));
        }
        cx.reactor.again(self.client.connection.source());
        Step::Wait
    }

    /// The worker is to finish: an idle connection ends at once, one that has just come may still send its request.
    pub(super) fn leave(&mut self, cx: &mut Context) -> Verdict {
        self.leaving = true;
        if !matches!(self.phase, Phase::Head) || self.input.is_some() {
            return Verdict::GoesOn;
        }
        // A request may have come without its event having been given out.
        match self.receive(cx) {
            Ok(Some(1..)) => {
                self.skip_blank_lines(cx);
                self.ready(cx)
            }
            // It has its usual time, as with nginx.
            Ok(None) if self.client.requests == 0 => Verdict::GoesOn,
            _ => Verdict::Over,
        }
    }

    /// The program failed while it served the connection, which is to be ended.
    pub(super) fn abandoned(&mut self) {
        let message = format_args!("connection is closed for a fault of the program");
        self.client.log(Level::Alert, None, "", self.request.as_deref(), message);
        if let Some(request) = self.request.as_mut().filter(|request| request.status == 0) {
            request.status = 500;
        }
    }

    /// Ends the connection in whatever state it is.
    pub(super) fn end(mut self, cx: &mut Context) {
        self.drop_exchange(cx);
        self.drop_validation(cx);
        cx.buffers.put(self.input.take());
        cx.reactor.remove_timer(self.timer);
        self.client.connection.close(&mut cx.reactor);
        cx.connections.give_back();
    }

    /// The client is gone in the middle of a body.
    fn abort(&mut self, cx: &mut Context) -> Step {
        self.write_access_log(cx);
        Step::Over
    }

    /// A client that has taken too long is about to be left.
    pub(super) fn timed_out(&self) {
        let location = self.request.as_ref().map_or(&self.client.server.own, |request| &request.location);
        if location.reset_timed_out {
            self.client.connection.reset_on_close();
        }
    }

    /// The line of the present request. It is tried once only, so that a connection has an end when the program fails in this.
    pub(super) fn write_access_log(&mut self, cx: &mut Context) {
        let Some(request) = &mut self.request else { return };
        if std::mem::replace(&mut request.told, true) || request.location.access_logs.is_empty() {
            return;
        }
        fault::point(format_args!("log {}", request.path.escape_ascii()));
        let request = &*request;
        let values = Values { client: &self.client, request, now: cx.reactor.now() };
        for entry in &request.location.access_logs {
            if !entry.wanted(|variable, out| values.write(variable, out)) {
                continue;
            }
            let Some(format) = &entry.format else { continue };
            let mut line = Vec::with_capacity(LINE_USUAL);
            format.fill(&mut line, |variable, out| values.write(variable, out));
            line.push(b'\n');
            match entry.goal(|variable, out| values.write(variable, out)) {
                Goal::Log(log) => cx.logs.write(&mut cx.reactor, self.client.epoch, log, &line),
                Goal::File(path) => append_line(&values, &path, &line),
            }
        }
    }
}

/// Writes a line to a file whose name depends on the request. Only where the root of the request's files is there, as in nginx: nobody makes
/// logs of hosts that are not.
fn append_line(values: &Values<'_>, path: &Path, line: &[u8]) {
    let log = |level, error: &io::Error, message: fmt::Arguments| {
        values.client.log(level, Some(error), "logging request", Some(values.request), message);
    };
    let root = values.request.location.root.directory(values);
    let tested = fs::metadata(&root).and_then(|root| match root.is_dir() {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
    });
    if let Err(error) = tested {
        return log(Level::Error, &error, format_args!("testing \"{}\" existence failed", root.display()));
    }
    if let Err((call, error)) = access::append(path, line) {
        log(Level::Crit, &error, format_args!("{call} \"{}\" failed", path.display()));
    }
}
