//! How the heads of requests are read, and what becomes of those that are none.

use std::io;

use bytes::{Buf, BytesMut};

use super::body::Body;
use super::client::Client;
use super::connection::{Session, Step};
use super::head::{Head, Refusal};
use super::request::Request;
use super::response::{Answer, Response};
use super::{handlers, handshake};
use crate::context::Context;
use crate::fault;
use crate::log::Level;

/// How much is read at once while a head arrives.
pub(super) const READ: usize = 16 * 1024;

impl Session {
    /// Reads until a head is complete, and begins to serve its request.
    pub(super) fn read_head(&mut self, cx: &mut Context) -> Step {
        loop {
            if let Some(input) = &mut self.input {
                let limits = &self.client.server.limits;
                if self.scan.is_fresh()
                    && let Some(head) = Head::whole(input, limits)
                {
                    return self.begin(cx, head);
                }
                match self.scan.advance(input, limits) {
                    Ok(Some(length)) => match Head::parse(&input[..length]) {
                        Ok(head) => return self.begin(cx, head),
                        Err(refusal) => return self.refuse(cx, refusal),
                    },
                    Ok(None) => {}
                    Err(refusal) => return self.refuse(cx, refusal),
                }
            }
            if !cx.reactor.readable(self.client.connection.source()) {
                return if self.input.is_none() && self.leaving && self.client.requests > 0 {
                    Step::Over
                } else {
                    Step::Wait
                };
            }
            let begun = self.input.is_some();
            match self.receive(cx) {
                Ok(None) => {}
                Ok(Some(0)) => return self.client_left(cx),
                Ok(Some(_)) => {
                    self.skip_blank_lines(cx);
                    // The time for a first head has run since the client came.
                    if !begun && self.input.is_some() && self.client.requests > 0 {
                        let patience = self.client.server.header_timeout;
                        cx.reactor.set_timer(self.timer, cx.reactor.now() + patience);
                    }
                }
                // TLS has been cut short, which means nothing between requests.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return self.client_left(cx),
                Err(error) => {
                    let message = format_args!("recv() failed");
                    self.client.log(Level::Info, Some(&error), "waiting for request", None, message);
                    return Step::Over;
                }
            }
        }
    }

    /// Reads what has come behind the input that is kept.
    pub(super) fn receive(&mut self, cx: &mut Context) -> io::Result<Option<usize>> {
        let scratch = cx.buffers.scratch(READ);
        let received = self.client.connection.recv(&mut cx.reactor, scratch)?;
        if let Some(count @ 1..) = received {
            match &mut self.input {
                Some(input) => input.extend_from_slice(&scratch[..count]),
                None => self.input = Some(cx.buffers.keep(0..count)),
            }
        }
        Ok(received)
    }

    /// Line ends before a request are a habit of old clients (RFC 9112 2.2).
    pub(super) fn skip_blank_lines(&mut self, cx: &mut Context) {
        if let Some(input) = &mut self.input {
            let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            input.advance(blank);
            if input.is_empty() {
                cx.buffers.put(self.input.take());
            }
        }
    }

    /// Gives the buffer back when nothing is in it.
    pub(super) fn settle_input(&mut self, cx: &mut Context) {
        if self.input.as_ref().is_some_and(|input| input.is_empty()) {
            cx.buffers.put(self.input.take());
        }
    }

    /// The client has ended its side while a head was waited for.
    fn client_left(&mut self, cx: &mut Context) -> Step {
        let Some(input) = self.input.take() else {
            if self.client.requests == 0 {
                let message = format_args!("client closed connection");
                self.client.log(Level::Info, None, "waiting for request", None, message);
            }
            return Step::Over;
        };
        let mut request = self.partial(cx, input);
        let message = format_args!("client prematurely closed connection");
        self.client.log(Level::Info, None, reading(&request), Some(&request), message);
        request.status = 400;
        self.request = Some(request);
        self.write_access_log(cx);
        Step::Over
    }

    /// A head is complete, with which the input begins.
    fn begin(&mut self, cx: &mut Context, head: Head) -> Step {
        let Some(mut input) = self.input.take() else { return Step::Over };
        let now = cx.reactor.now();
        input.advance(head.length());
        self.count_request(cx);
        let request = self.request.insert(Box::new(Request::new(head, &self.client.server, now)));
        self.client.answered = false;
        request.pipelined = self.pipelined;
        let answer = request.interpret(&self.route.names).and_then(|()| {
            handshake::admit(&self.client, request, &self.route.names)?;
            drop_odd_fields(&self.client, request);
            let mut start = std::mem::take(&mut request.body_start);
            let taken = take_body(request, &mut input, Some(&mut start));
            request.body_start = start;
            fault::point(format_args!("request {}", request.path.escape_ascii()));
            let answer = handlers::serve(cx, &self.client, request);
            // Its location says how a body that is none is answered.
            Ok(taken.map_or_else(|refusal| body_refusal(cx, &self.client, &refusal, request), |()| answer))
        });
        let answer = answer.unwrap_or_else(|refusal| {
            if request.path.is_empty() {
                request.head.forget_fields();
            }
            refuse_head(cx, &self.client, &refusal, request)
        });
        self.input = Some(input);
        self.settle_input(cx);
        self.answer(cx, answer)
    }

    /// The head cannot be taken apart: it is answered all the same, and the rest of the input means nothing.
    pub(super) fn refuse(&mut self, cx: &mut Context, refusal: Refusal) -> Step {
        let input = self.input.take().unwrap_or_default();
        let mut request = self.partial(cx, input);
        let answer = refuse_head(cx, &self.client, &refusal, &mut request);
        self.request = Some(request);
        self.answer(cx, answer)
    }

    /// A request of whose head not all can be told.
    fn partial(&mut self, cx: &mut Context, input: BytesMut) -> Box<Request> {
        let head = Head::partial(&input, &self.scan, &self.client.server.limits);
        cx.buffers.put(Some(input));
        let mut request = Box::new(Request::new(head, &self.client.server, cx.reactor.now()));
        request.pipelined = self.pipelined;
        // What it says so far: its path, and the server it is for.
        if !request.head.method().is_empty() {
            let _ = request.interpret(&self.route.names);
        }
        self.count_request(cx);
        self.client.answered = false;
        request
    }
}

/// What was done for a request whose head is at fault: in its line, if no path has come of it.
fn reading(request: &Request) -> &'static str {
    match (request.path.is_empty(), request.pipelined) {
        (false, _) => "reading client request headers",
        (true, false) => "reading client request line",
        (true, true) => "reading client pipelined request line",
    }
}

/// The answer to a head that is refused, which is logged.
fn refuse_head(cx: &mut Context, client: &Client, refusal: &Refusal, request: &mut Request) -> Answer {
    let timed_out = io::Error::from_raw_os_error(libc::ETIMEDOUT);
    let error = (refusal.status == 408).then_some(&timed_out);
    client.log(Level::Info, error, reading(request), Some(request), format_args!("{}", refusal.message));
    let page = Response::page(refusal.status, request.location.server_tokens);
    handlers::answer(cx, client, request, Answer::Respond(Response { close: true, ..page }))
}

/// The answer to a body that is none.
fn body_refusal(cx: &mut Context, client: &Client, refusal: &Refusal, request: &mut Request) -> Answer {
    client.log(Level::Error, None, "", Some(request), format_args!("{}", refusal.message));
    let page = Response::page(refusal.status, request.location.server_tokens);
    handlers::answer(cx, client, request, Answer::Respond(page))
}

fn drop_odd_fields(client: &Client, request: &mut Request) {
    if request.server.ignore_invalid_headers {
        for line in request.head.drop_odd_names(request.server.underscores_in_headers) {
            let message = format_args!("client sent invalid header line: \"{}\"", String::from_utf8_lossy(&line));
            client.log(Level::Info, None, "reading client request headers", Some(request), message);
        }
    }
}

/// Takes from the input what belongs to the body of a request; what is in its framing goes to `content`.
///
/// # Errors
/// It is none.
pub(super) fn take_body(
    request: &mut Request,
    input: &mut BytesMut,
    mut content: Option<&mut Vec<u8>>,
) -> Result<(), Refusal> {
    while !input.is_empty() && !request.body.is_complete() {
        let piece = request.body.take(input)?;
        if let Body::Chunked(chunks) = &request.body {
            request.length = chunks.announced;
            request.chunk = Some(chunks.last);
        }
        if let Some(content) = &mut content {
            content.extend_from_slice(&input[piece.content]);
        }
        request.received += piece.consumed as u64;
        input.advance(piece.consumed);
    }
    Ok(())
}
