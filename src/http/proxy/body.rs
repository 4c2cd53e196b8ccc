//! The body of the server's answer on its way to the client.
//!
//! Buffered, the server is read at its own speed: what the client has not taken waits in memory, and past the buffers in a file.
//! Unbuffered, nothing is read before the client has taken what there is.

use std::time::Instant;

use bytes::BytesMut;

use super::Exchange;
use super::exchange::frame;
use super::head::Framing;
use super::secure::is_end;
use super::spool::Failure;
use super::{part, trailers};
use crate::context::Context;
use crate::http::body::{Body, Piece};
use crate::http::cache::store::Kept;
use crate::http::connection::{Session, Step};
use crate::http::output::{Output, Progress};
use crate::http::reading::READ;
use crate::http::variables::Values;
use crate::log::Level;

/// Bytes taken for one event before others have their turn.
const TURN: usize = 64 * 1024;
/// nginx's message, whatever framing there was.
const TOO_MUCH: &str = "upstream sent more data than specified in \"Content-Length\" header";

/// What of the server's body is still to come.
pub(in crate::http) struct Incoming {
    pub framing: Framing,
    /// Lines of the trailer so far; the framing bounds them.
    pub trailer: Vec<u8>,
}

impl Incoming {
    fn is_complete(&self) -> bool {
        self.framing == Framing::Known(Body::Complete)
    }

    /// The next piece of it; `None`: it is not what its framing says.
    fn take(&mut self, input: &[u8]) -> Option<Piece> {
        match &mut self.framing {
            Framing::Known(body) => body.take(input).ok(),
            Framing::UntilClose => Some(Piece { consumed: input.len(), content: 0..input.len(), trailer: 0..0 }),
        }
    }
}

/// What reading from the server came to.
enum Pulled {
    Bytes(usize),
    /// Nothing waits, or nothing more is wanted now.
    Nothing,
    /// It has gone too fast; until then nothing is read.
    Held(Instant),
    Ended,
    /// It ended before its time, or does not do otherwise; that has been told.
    Broken,
}

impl Exchange {
    /// Whether what the answer says of ranges is the server's own word.
    pub(in crate::http) fn passes_ranges(&self) -> bool {
        self.upstream.is_some() && self.filling.is_none() && !self.settings.answers.force_ranges
    }

    /// The client gets no body, though the server sends one: nobody reads it unless it is kept. Gives what of it there is already.
    pub(super) fn skip_body(&mut self) -> Option<BytesMut> {
        if self.filling.is_some() {
            self.part = Some(0..0);
        } else if !self.incoming.is_complete() {
            self.leave_rest();
            return self.upstream.as_mut().and_then(|upstream| upstream.input.take());
        }
        None
    }

    /// Nobody has a use for the rest of the body: it is left where it is, and the connection is not used again.
    fn leave_rest(&mut self) {
        self.incoming.framing = Framing::Known(Body::Complete);
        if let Some(upstream) = &mut self.upstream {
            upstream.kept.requests = u64::MAX;
        }
    }

    /// Whether more of the server's body has a place to wait in.
    fn has_room(&self, output: &Output) -> bool {
        match self.buffered {
            // What is compressed is not what is kept, and has no place but memory where there are no temporary files.
            _ if self.filling.is_some() && (self.encoder.is_none() || self.settings.max_temp_file > 0) => true,
            true => output.held() < self.settings.buffers || self.spool.filed < self.settings.max_temp_file,
            false => output.is_empty(),
        }
    }

    /// Puts content behind what the client has not taken. Tells whether a file was begun.
    fn put(&mut self, output: &mut Output, content: &[u8], mut kept: Option<Kept>) -> Result<bool, Failure> {
        let encoded;
        let content = match &mut self.encoder {
            Some(encoder) => {
                // What the client gets is not what is kept.
                kept = None;
                encoded = encoder.take(content, !self.buffered);
                &encoded[..]
            }
            None => content,
        };
        let (settings, chunked) = (&self.settings, self.chunked);
        let fits = !self.buffered || content.is_empty() || output.held() < settings.buffers;
        if fits || (kept.is_none() && settings.max_temp_file == 0) {
            frame(output, content, chunked);
            return Ok(false);
        }
        // What is kept anyhow need not be written a second time.
        if let Some(kept) = kept {
            if chunked {
                output.push_bytes(format!("{:x}\r\n", content.len()).as_bytes());
            }
            output.push(kept.piece(content.len()));
            output.push_bytes(if chunked { b"\r\n" } else { b"" });
            return Ok(false);
        }
        let begins = !self.spool.has_file();
        let chunk;
        let written = if chunked {
            chunk = [format!("{:x}\r\n", content.len()).as_bytes(), content, b"\r\n"].concat();
            &chunk[..]
        } else {
            content
        };
        output.push(self.spool.write(written, &settings.temp)?);
        Ok(begins)
    }
}

impl Session {
    /// Moves what has come, until either side has to be waited for.
    pub(super) fn answering(&mut self, cx: &mut Context) -> Step {
        let mut left = TURN;
        loop {
            if let Some(step) = self.go_direct(cx) {
                return step;
            }
            let pulled = if left > 0 { self.pull(cx) } else { Pulled::Nothing };
            match pulled {
                Pulled::Bytes(count) => left = left.saturating_sub(count),
                Pulled::Ended => self.body_ended(cx),
                Pulled::Broken => return self.cut(cx),
                Pulled::Nothing | Pulled::Held(_) => {}
            }
            // What was read goes out at once, but that a server's head and the first of its body go together.
            let Some(request) = &mut self.request else { return Step::Over };
            let location = request.location.clone();
            if request.exchange.as_ref().is_some_and(|exchange| exchange.detached) {
                request.output.clear();
            }
            let before = request.output.sent();
            let connection = &self.client.connection;
            let sent = request.output.send(connection, &mut cx.reactor, &mut cx.buffers, location.sendfile);
            let moved = request.output.sent() > before;
            let Some(exchange) = &mut request.exchange else { return Step::Over };
            let progress = match sent {
                Ok(progress) => progress,
                Err((call, error)) => {
                    let action = "sending to client";
                    let message = format_args!("{call} failed");
                    self.client.log(Level::Info, Some(&error), action, self.request.as_deref(), message);
                    if !self.detach() {
                        return self.end_with(cx, 499);
                    }
                    continue;
                }
            };
            let now = cx.reactor.now();
            exchange.client_due = match progress {
                Progress::Done | Progress::Held(_) => None,
                _ if moved => Some(now + location.send_timeout),
                _ => exchange.client_due.or(Some(now + location.send_timeout)),
            };
            let held = [
                if let Pulled::Held(until) = pulled { Some(until) } else { None },
                if let Progress::Held(until) = progress { Some(until) } else { None },
            ];
            exchange.resumes = held.into_iter().flatten().min();
            if progress == Progress::Done
                && let Err(error) = exchange.spool.rewind()
            {
                let message = format_args!("ftruncate() of a temporary file failed");
                self.client.log(Level::Alert, Some(&error), "", self.request.as_deref(), message);
            }
            let asked = match self.keep_asking(cx) {
                Ok(asked) => asked,
                Err(step) => return step,
            };
            let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
                return Step::Over;
            };
            match (&exchange.upstream, progress) {
                (None, Progress::Done) if exchange.cut => return self.end_with(cx, 502),
                (None, Progress::Done) if exchange.detached => return self.end_with(cx, 499),
                (None, Progress::Done) => return self.answer_sent(cx, &location),
                (None, Progress::Blocked | Progress::Held(_)) => return Step::Wait,
                (_, Progress::TurnOver) => {
                    cx.reactor.again(self.client.connection.source());
                    return Step::Wait;
                }
                (Some(_), _) if asked && left > 0 => left = left.saturating_sub(READ),
                (Some(upstream), _) => {
                    if left == 0 {
                        cx.reactor.again(upstream.kept.connection.source());
                        return Step::Wait;
                    }
                    let source = upstream.kept.connection.source();
                    // What the client has taken now makes room, and no event tells anew of what waits.
                    let request = self.request.as_ref();
                    let room = request.is_some_and(|request| {
                        request.exchange.as_ref().is_some_and(|exchange| exchange.has_room(&request.output))
                    });
                    let more = room && cx.reactor.readable(source);
                    if matches!(pulled, Pulled::Held(_)) || matches!(pulled, Pulled::Nothing) && !more {
                        return self.client_aborted(cx).unwrap_or(Step::Wait);
                    }
                }
            }
        }
    }

    /// Reads once from the server, if there is room for it, and puts what came where the client gets it.
    fn pull(&mut self, cx: &mut Context) -> Pulled {
        let Some(request) = &mut self.request else { return Pulled::Nothing };
        let Some(exchange) = &mut request.exchange else { return Pulled::Nothing };
        let Some(upstream) = &mut exchange.upstream else { return Pulled::Nothing };
        if exchange.incoming.is_complete() {
            if upstream.input.is_some() && !request.is_head() {
                self.log_upstream(Level::Warn, None, format_args!("{TOO_MUCH}"));
            }
            return Pulled::Ended;
        }
        // What came with the head is first; it fits the buffers.
        if let Some(input) = upstream.input.take() {
            let count = input.len();
            let rest = self.take_in(&input);
            cx.buffers.put(Some(input));
            return rest.map_or(Pulled::Broken, |()| Pulled::Bytes(count));
        }
        if !exchange.has_room(&request.output) {
            // The server is not to blame for the client's slowness.
            exchange.upstream_due = None;
            return Pulled::Nothing;
        }
        let Some(upstream) = &mut exchange.upstream else { return Pulled::Nothing };
        let received = exchange.tries.last().map_or(0, |tried| tried.length);
        let allowed = match exchange.pace.map(|pace| pace.allows(received, cx.reactor.now())) {
            Some(Err(until)) => {
                exchange.upstream_due = None;
                return Pulled::Held(until);
            }
            Some(Ok(allowed)) => usize::try_from(allowed).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let source = upstream.kept.connection.source();
        exchange.upstream_due.get_or_insert(cx.reactor.now() + exchange.settings.read_timeout);
        if !cx.reactor.readable(source) {
            return Pulled::Nothing;
        }
        let size = if exchange.buffered { exchange.settings.buffers } else { exchange.settings.buffer_size };
        let scratch = cx.buffers.scratch(size.min(allowed));
        let received = upstream.kept.connection.recv(&mut cx.reactor, scratch);
        match received.or_else(|error| if is_end(&error) { Ok(Some(0)) } else { Err(error) }) {
            Ok(None) => Pulled::Nothing,
            Ok(Some(0)) if exchange.incoming.framing == Framing::UntilClose => {
                exchange.incoming.framing = Framing::Known(Body::Complete);
                Pulled::Ended
            }
            Ok(Some(0)) => {
                self.log_upstream(Level::Error, None, format_args!("upstream prematurely closed connection"));
                Pulled::Broken
            }
            Ok(Some(count)) => {
                exchange.upstream_due = Some(cx.reactor.now() + exchange.settings.read_timeout);
                if let Some(tried) = exchange.tries.last_mut() {
                    tried.received += count as u64;
                }
                self.take_in(&scratch[..count]).map_or(Pulled::Broken, |()| Pulled::Bytes(count))
            }
            Err(error) => {
                self.log_upstream(Level::Error, Some(&error), format_args!("recv() failed"));
                Pulled::Broken
            }
        }
    }

    /// Takes the framing off, and puts the content where the client gets it. `None`: the server does not do; that has been told.
    fn take_in(&mut self, mut input: &[u8]) -> Option<()> {
        let mut filed = false;
        while !input.is_empty() {
            let request = self.request.as_mut()?;
            let exchange = request.exchange.as_mut()?;
            if exchange.incoming.is_complete() {
                // nginx drops it too; the connection is not used again.
                exchange.upstream.as_mut()?.kept.requests = u64::MAX;
                self.log_upstream(Level::Warn, None, format_args!("{TOO_MUCH}"));
                break;
            }
            let Some(piece) = exchange.incoming.take(input) else {
                self.log_upstream(Level::Error, None, format_args!("upstream sent invalid chunked response"));
                return None;
            };
            exchange.incoming.trailer.extend_from_slice(&input[piece.trailer]);
            let mut content = &input[piece.content];
            let at = exchange.tries.last().map_or(0, |tried| tried.length);
            if let Some(tried) = exchange.tries.last_mut() {
                tried.length += content.len() as u64;
            }
            let mut kept = exchange.filling.as_mut().and_then(|filling| filling.add(content));
            if let Some(part) = exchange.part.clone() {
                let end = at + content.len() as u64;
                let whole = content;
                content = part::clip(whole, at, &part);
                kept = kept.map(|kept| kept.skip(content.as_ptr() as usize - whole.as_ptr() as usize));
                if end >= part.end && exchange.filling.is_none() && !exchange.incoming.is_complete() {
                    exchange.leave_rest();
                }
            }
            let enough = exchange.part.is_some() && exchange.filling.is_none() && exchange.incoming.is_complete();
            match exchange.put(&mut request.output, content, kept) {
                Ok(begins) => filed |= begins,
                Err(Failure { call, error }) => {
                    let folder = exchange.settings.temp.display().to_string();
                    self.log_upstream(Level::Crit, Some(&error), format_args!("{call} \"{folder}\" failed"));
                    return None;
                }
            }
            input = if enough { &[] } else { &input[piece.consumed..] };
        }
        self.tell_of_filling();
        // Before the client has the last of it: whoever asks next finds it.
        if self.request.as_ref()?.exchange.as_ref()?.incoming.is_complete() {
            self.finish_filling();
        }
        if filed {
            let message = format_args!("an upstream response is buffered to a temporary file");
            self.log_upstream(Level::Warn, None, message);
        }
        Some(())
    }

    /// The server's body is complete.
    fn body_ended(&mut self, cx: &mut Context) {
        self.finish_filling();
        if let Some(request) = &mut self.request
            && let Some(exchange) = &mut request.exchange
            && let Some(mut encoder) = exchange.encoder.take()
        {
            frame(&mut request.output, &encoder.finish(), exchange.chunked);
            request.output.ratio = Some(encoder.totals());
        }
        if let Some(request) = &mut self.request
            && let Some(exchange) = request.exchange.as_ref().filter(|exchange| exchange.chunked)
        {
            request.output.push_bytes(b"0\r\n");
            if exchange.settings.answers.pass_trailers && !exchange.incoming.trailer.is_empty() {
                let mut passed = Vec::new();
                trailers::pass(&exchange.incoming.trailer, &exchange.settings.hidden, &mut passed);
                request.trailers = passed;
            }
            if let Some(fields) = request.location.fields.clone() {
                let trailers = fields.trailers(&Values { client: &self.client, request, now: cx.reactor.now() });
                request.trailers.extend(trailers);
            }
            request.output.push_bytes(&request.trailers);
            request.output.push_bytes(b"\r\n");
        }
        self.leave_upstream(cx, true);
    }

    /// The answer has ended before its time: what came of it is sent, and the client sees by the end of the connection that it is not all.
    pub(super) fn cut(&mut self, cx: &mut Context) -> Step {
        self.leave_upstream(cx, false);
        self.last = true;
        let Some(request) = &mut self.request else { return Step::Over };
        let Some(exchange) = &mut request.exchange else { return Step::Over };
        if let Some(mut encoder) = exchange.encoder.take() {
            frame(&mut request.output, &encoder.flush(), exchange.chunked);
            request.output.ratio = Some(encoder.totals());
        }
        exchange.cut = true;
        exchange.flow = None;
        self.client.connection.truncate();
        Step::Next
    }

    /// The client has all of the answer.
    fn answer_sent(&mut self, cx: &mut Context, location: &crate::http::Location) -> Step {
        self.client.answered = true;
        self.answered(cx, location)
    }
}
