//! The TLS part of a connection: OpenSSL between its socket and whoever reads and writes.
//!
//! The readiness flags speak of the socket, and TLS does not follow it step by step: a read may find bytes that OpenSSL has
//! taken from the socket before, and may have to write first. So a flag is cleared only when the socket itself has said in the very call
//! that came to nothing that it would block, or has given less than it was asked for; OpenSSL holds nothing then that it could still give out.
//!
//! OpenSSL never sees a socket that took a part of a record: the rest is held here and goes first when there is room. While OpenSSL has
//! such a record of its own it can write no other, and fails when a read makes it answer (a `KeyUpdate` that asks for one, RFC 8446 4.6.3).

mod early;

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;

use bytes::{Buf, BytesMut};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use openssl::error::ErrorStack;
use openssl::ssl::{self, ErrorCode, Ssl, SslRef, SslStream};

use crate::event::{Reactor, SourceId};
use early::Early;

/// Held bytes with which no more is taken: a record of the largest kind (RFC 5246 6.2.3) and as much again for the answers that reads call for. A
/// peer that wants more of those without reading any is not read either.
const MOST_HELD: usize = 2 * (5 + (1 << 14) + 2048);

/// Bytes read from the socket for one call; then it is the others' turn. OpenSSL would read messages that are not data, as fast as a peer
/// sends them.
const MOST_READ: usize = 32 * 1024;

unsafe extern "C" {
    fn SSL_has_pending(ssl: *const openssl_sys::SSL) -> c_int;
}

/// Whether OpenSSL has read bytes that it has not given out, be they a part of a record only (SSL_has_pending(3)).
fn holds_input(ssl: &SslRef) -> bool {
    // SAFETY: the crate's reference stands for OpenSSL's object itself, which is only looked at.
    unsafe { SSL_has_pending(std::ptr::from_ref(ssl).cast()) != 0 }
}

/// The socket as OpenSSL sees it. The connection that owns the descriptor outlives it.
struct Wire {
    fd: RawFd,
    /// Encrypted, and not yet taken by the socket.
    held: BytesMut,
    /// What is written is held, to go in one piece when the call under way is over.
    gathering: bool,
    /// What the call under way may still read.
    budget: usize,
    /// A short read has had all there was, see [`Reactor::short_read_is_all`].
    short_is_all: bool,
    /// In the call under way there was such a read: the next one would block.
    drained: bool,
    /// In the call under way a read would have blocked.
    read_blocked: bool,
    /// In the call under way a write would have blocked.
    write_blocked: bool,
    /// The socket has given its end of file.
    ended: bool,
    /// We have said our last word: nothing may follow it (RFC 8446 6.1), though a peer that changes keys may ask for more.
    silent: bool,
}

/// The result of a call on the socket in std's terms, for OpenSSL to know "not now" from a fault.
fn checked(result: nix::Result<usize>, blocked: &mut bool) -> io::Result<usize> {
    result.map_err(|errno| match errno {
        Errno::EAGAIN => {
            *blocked = true;
            io::ErrorKind::WouldBlock.into()
        }
        // The openssl crate would take this one for "not now" too.
        Errno::ENOTCONN => Errno::ECONNRESET.into(),
        errno => errno.into(),
    })
}

impl Wire {
    /// Hands `bytes` to the socket; less than all of them are taken when it is full.
    fn send(fd: RawFd, bytes: &[u8], full: &mut bool) -> io::Result<usize> {
        let sent = loop {
            match send(fd, bytes, MsgFlags::MSG_NOSIGNAL) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break 0,
                result => break checked(result, full)?,
            }
        };
        *full |= sent < bytes.len();
        Ok(sent)
    }

    /// Sends of what is held as much as the socket takes now. Returns whether nothing is left.
    fn send_held(&mut self) -> io::Result<bool> {
        if !self.held.is_empty() {
            // An idle session keeps no memory for it; and after a fault nobody can make sense of what would follow.
            let mut held = std::mem::take(&mut self.held);
            let sent = Wire::send(self.fd, &held, &mut self.write_blocked)?;
            if sent < held.len() {
                held.advance(sent);
                self.held = held;
            }
        }
        Ok(self.held.is_empty())
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.budget);
        if most == 0 || self.drained {
            self.read_blocked |= self.drained;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = loop {
            match recv(self.fd, &mut buffer[..most], MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                result => break checked(result, &mut self.read_blocked)?,
            }
        };
        self.budget -= count;
        self.ended |= count == 0;
        self.drained = self.short_is_all && (1..most).contains(&count);
        Ok(count)
    }
}

impl Write for Wire {
    /// Takes all of it, unless too much is held already.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.silent {
            return Ok(bytes.len());
        }
        let room = self.held.len() + bytes.len() <= MOST_HELD;
        let sent = if self.gathering && room {
            0
        } else if self.send_held()? {
            Wire::send(self.fd, bytes, &mut self.write_blocked)?
        } else if room {
            0
        } else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        self.held.extend_from_slice(&bytes[sent..]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why OpenSSL gave a connection up; printed with the reasons of its error queue, as nginx does: `SSL: error:0A00009C:SSL routines::http request`.
/// It travels inside of an [`io::Error`], see [`TlsError::of`].
#[derive(Debug)]
pub struct TlsError {
    reasons: String,
    by_peer: bool,
}

impl TlsError {
    /// The one inside of a connection's error, if TLS and not the socket has failed.
    pub fn of(error: &io::Error) -> Option<&TlsError> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether what the peer sent is the reason, rather than something on our side.
    pub fn is_peers(&self) -> bool {
        self.by_peer
    }

    fn new(stack: &ErrorStack) -> Self {
        /// `ERR_LIB_SSL` of `openssl/err.h`: the protocol's faults.
        const LIB_SSL: i32 = 20;
        /// Reasons from here on are common to all libraries: out of memory, internal errors (`ERR_RFLAGS_OFFSET`).
        const COMMON: i32 = 1 << 18;
        let by_peer =
            stack.errors().last().is_some_and(|error| error.library_code() == LIB_SSL && error.reason_code() < COMMON);
        TlsError { reasons: reasons(stack), by_peer }
    }

    fn peers(kind: io::ErrorKind, reasons: &str) -> io::Error {
        io::Error::new(kind, TlsError { reasons: reasons.to_owned(), by_peer: true })
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SSL: {}", self.reasons)
    }
}

impl std::error::Error for TlsError {}

/// OpenSSL's error queue in the form of `ERR_error_string(3)`, each error with its data.
pub fn reasons(stack: &ErrorStack) -> String {
    /// Marks the number of a system error (`ERR_SYSTEM_FLAG`).
    const SYSTEM: u64 = 1 << 31;
    let mut text = String::new();
    for error in stack.errors() {
        let separator = if text.is_empty() { "" } else { " " };
        let library = error.library().unwrap_or("");
        text += &format!("{separator}error:{:08X}:{library}::", error.code());
        match (error.reason(), error.code() & SYSTEM) {
            (Some(reason), _) => text += reason,
            (None, 0) => text += &format!("reason({})", error.reason_code()),
            (None, _) => text += Errno::from_raw((error.code() & !SYSTEM) as i32).desc(),
        }
        if let Some(data) = error.data().filter(|data| !data.is_empty()) {
            text += &format!(":{data}");
        }
    }
    text
}

/// A TLS session over a connection's socket. Calls go by shared reference, as on a socket.
pub(super) struct Tls {
    stream: RefCell<SslStream<Wire>>,
    /// How many bytes the caller has been told are not sent, as the end of their record is still held.
    owed: Cell<usize>,
    /// The peer is not to take the end for that of the data.
    truncated: Cell<bool>,
    early: Cell<Early>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// The session `ssl`, which knows whether it accepts or connects, over the socket `fd`.
    pub(super) fn new(ssl: Ssl, fd: RawFd) -> Result<Self, ErrorStack> {
        let held = BytesMut::new();
        let wire = Wire {
            fd,
            held,
            gathering: false,
            budget: 0,
            short_is_all: false,
            drained: false,
            read_blocked: false,
            write_blocked: false,
            ended: false,
            silent: false,
        };
        let stream = RefCell::new(SslStream::new(ssl, wire)?);
        Ok(Tls { stream, owed: Cell::new(0), truncated: Cell::new(false), early: Cell::new(Early::No) })
    }

    /// Goes on with the handshake; `None` while it waits for the peer, for who is to answer it (`tls::hello`), or our last word in it for the socket. OpenSSL writes
    /// a long flight, and each of its tickets, by a call of its own; the peer gets in one piece what one step brings.
    pub(super) fn handshake(&self, reactor: &mut Reactor, source: SourceId) -> io::Result<Option<()>> {
        if !self.flush(reactor, source)? {
            return Ok(None);
        }
        self.stream.borrow_mut().get_mut().gathering = true;
        let done = self.call(reactor, source, |stream| self.shake_hands(stream));
        self.stream.borrow_mut().get_mut().gathering = false;
        // After a fault too: what is held tells the peer of it.
        let flushed = self.flush(reactor, source);
        let (done, flushed) = (done?, flushed?);
        if done.is_some() {
            // OpenSSL may have taken more than the handshake from the socket, and before the event for it was given out. Then there is none.
            reactor.expect_input(source);
        }
        Ok(done.filter(|()| flushed))
    }

    /// As a connection's `recv`. The peer's `close_notify` is its end; the end of the socket without one is an error of kind
    /// `UnexpectedEof`, since somebody else may have cut the connection (RFC 8446 6.1).
    pub(super) fn recv(&self, reactor: &mut Reactor, source: SourceId, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if let Early::Coming(first) = self.early.get()
            && let Some(count) = self.recv_early(reactor, source, first, buffer)?
        {
            return Ok(count);
        }
        let count = self.call(reactor, source, |stream| end_as_zero(stream.ssl_read(buffer)))?;
        let stream = self.stream.borrow();
        if count.is_some_and(|count| count > 0) && stream.get_ref().drained && !holds_input(stream.ssl()) {
            reactor.clear_readable(source, false);
        }
        Ok(count)
    }

    /// Looks at the next byte without taking it: `Some(0)` is the peer's end.
    pub(super) fn peek(&self, reactor: &mut Reactor, source: SourceId) -> io::Result<Option<usize>> {
        if let Early::Coming(first) = self.early.get()
            && let Some(count) = self.peek_early(reactor, source, first)?
        {
            return Ok(count);
        }
        self.call(reactor, source, |stream| end_as_zero(stream.ssl_peek(&mut [0])))
    }

    /// As a connection's `send`. The bytes of a record count as sent when the socket has all of it: until then the caller keeps them,
    /// though they are not looked at again, and so knows that something waits.
    pub(super) fn send(&self, reactor: &mut Reactor, source: SourceId, bytes: &[u8]) -> io::Result<usize> {
        if !self.flush(reactor, source)? {
            return Ok(0);
        }
        let early = self.is_early();
        let mut sent = self.owed.take();
        debug_assert!(sent <= bytes.len(), "the caller has not come again with the same bytes");
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.call(reactor, source, |stream| match early {
                true => stream.write_early_data(rest),
                false => stream.ssl_write(rest),
            })? {
                Some(count) if self.held() > 0 => {
                    self.owed.set(count);
                    break;
                }
                Some(count) => sent += count,
                // Only a new handshake makes a write wait for input, and that is refused.
                None if reactor.writable(source) => {
                    return Err(TlsError::peers(io::ErrorKind::Other, "handshake in the middle of a session"));
                }
                None => break,
            }
        }
        Ok(sent)
    }

    /// Sends of what is held as much as the socket takes now. Returns whether nothing is left.
    pub(super) fn flush(&self, reactor: &mut Reactor, source: SourceId) -> io::Result<bool> {
        let flushed = self.stream.borrow_mut().get_mut().send_held()?;
        if !flushed {
            reactor.clear_writable(source);
        }
        Ok(flushed)
    }

    /// Bytes that wait here for the socket to have room.
    pub(super) fn held(&self) -> usize {
        self.stream.borrow().get_ref().held.len()
    }

    /// There will be no `close_notify`.
    pub(super) fn truncate(&self) {
        self.truncated.set(true);
    }

    /// Sends `close_notify`; returns whether that is done, be it because the session cannot carry it any more.
    pub(super) fn close_notify(&self, reactor: &mut Reactor, source: SourceId) -> bool {
        match self.flush(reactor, source) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(_) => return true,
        }
        // A session cannot be ended before it has begun, and there would be no word of the end.
        if self.is_early() && !self.finish_handshake(reactor, source) {
            return false;
        }
        // Asked a second time OpenSSL would wait for the peer's.
        if !self.stream.borrow().get_ref().silent && !self.truncated.get() {
            let _ = self.call(reactor, source, |stream| stream.shutdown().map(drop));
        }
        self.stream.borrow_mut().get_mut().silent = true;
        self.held() == 0
    }

    /// Does something with the session.
    pub(super) fn with<T>(&self, look: impl FnOnce(&SslRef) -> T) -> T {
        look(self.stream.borrow().ssl())
    }

    /// One step of OpenSSL's; `None` when it waits for the socket, whose flags say then for what, or for its next turn.
    fn call<T>(
        &self,
        reactor: &mut Reactor,
        source: SourceId,
        mut step: impl FnMut(&mut SslStream<Wire>) -> Result<T, ssl::Error>,
    ) -> io::Result<Option<T>> {
        let stream = &mut *self.stream.borrow_mut();
        let wire = stream.get_mut();
        (wire.budget, wire.short_is_all, wire.drained) = (MOST_READ, reactor.short_read_is_all(source), false);
        loop {
            // What anything else has left in OpenSSL's error queue would be taken for this step's (SSL_get_error(3)).
            ErrorStack::get();
            let wire = stream.get_mut();
            (wire.read_blocked, wire.write_blocked) = (false, false);
            let result = step(stream);
            let wire = stream.get_ref();
            if wire.write_blocked {
                reactor.clear_writable(source);
            }
            let error = match result {
                Ok(done) => return Ok(Some(done)),
                Err(error) => error,
            };
            match error.code() {
                ErrorCode::WANT_READ if wire.read_blocked => {
                    reactor.clear_readable(source, true);
                    return Ok(None);
                }
                ErrorCode::WANT_READ if wire.budget == 0 => {
                    reactor.again(source);
                    return Ok(None);
                }
                ErrorCode::WANT_WRITE if wire.write_blocked => return Ok(None),
                ErrorCode::WANT_CLIENT_HELLO_CB => return Ok(None),
                // It has come upon something that is not data, and would go on.
                ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => {}
                _ => {
                    let ended = wire.ended;
                    return Err(error.into_io_error().unwrap_or_else(|error| fault(&error, ended)));
                }
            }
        }
    }
}

/// The peer's `close_notify` as the 0 that stands for the end of file.
fn end_as_zero(result: Result<usize, ssl::Error>) -> Result<usize, ssl::Error> {
    match result {
        Err(error) if error.code() == ErrorCode::ZERO_RETURN => Ok(0),
        result => result,
    }
}

/// An error that is not the socket's.
fn fault(error: &ssl::Error, ended: bool) -> io::Error {
    match error.ssl_error() {
        Some(stack) if !stack.errors().is_empty() => io::Error::other(TlsError::new(stack)),
        _ if ended => TlsError::peers(io::ErrorKind::UnexpectedEof, "unexpected eof while reading"),
        _ => TlsError::peers(io::ErrorKind::Other, "the session has failed before"),
    }
}

#[cfg(test)]
mod tests;
