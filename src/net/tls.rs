//! The TLS part of a connection: OpenSSL between its socket and whoever reads and writes.
//!
//! The readiness flags speak of the socket, and TLS does not follow it step by step: a read may find bytes that OpenSSL has
//! taken from the socket before, and may have to write first. So a flag is cleared only when the socket itself has said in the very call
//! that came to nothing that it would block; OpenSSL holds nothing then that it could still give out.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use openssl::error::ErrorStack;
use openssl::ssl::{self, ErrorCode, Ssl, SslRef, SslStream};

use crate::event::{Reactor, SourceId};

/// The socket as OpenSSL sees it. The connection that owns the descriptor outlives it.
struct Wire {
    fd: RawFd,
    /// In the call under way a read would have blocked.
    read_blocked: bool,
    /// In the call under way a write would have blocked.
    write_blocked: bool,
    /// The socket has given its end of file.
    ended: bool,
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

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            match recv(self.fd, buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                result => break checked(result, &mut self.read_blocked)?,
            }
        };
        self.ended |= count == 0;
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(self.fd, bytes, MsgFlags::MSG_NOSIGNAL) {
                Err(Errno::EINTR) => {}
                result => return checked(result, &mut self.write_blocked),
            }
        }
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
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// The session `ssl`, which knows whether it accepts or connects, over the socket `fd`.
    pub(super) fn new(ssl: Ssl, fd: RawFd) -> Result<Self, ErrorStack> {
        let wire = Wire { fd, read_blocked: false, write_blocked: false, ended: false };
        Ok(Tls { stream: RefCell::new(SslStream::new(ssl, wire)?) })
    }

    /// Goes on with the handshake; `None` while it waits for the peer.
    pub(super) fn handshake(&self, reactor: &mut Reactor, source: SourceId) -> io::Result<Option<()>> {
        self.call(reactor, source, |stream| stream.do_handshake())
    }

    /// As a connection's `recv`. The peer's `close_notify` is its end; the end of the socket without one is an error of kind
    /// `UnexpectedEof`, since somebody else may have cut the connection (RFC 8446 6.1).
    pub(super) fn recv(&self, reactor: &mut Reactor, source: SourceId, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.call(reactor, source, |stream| end_as_zero(stream.ssl_read(buffer)))
    }

    /// Looks at the next byte without taking it: `Some(0)` is the peer's end.
    pub(super) fn peek(&self, reactor: &mut Reactor, source: SourceId) -> io::Result<Option<usize>> {
        self.call(reactor, source, |stream| end_as_zero(stream.ssl_peek(&mut [0])))
    }

    /// As a connection's `send`. A record that the socket did not take counts as not sent, though OpenSSL holds it: the next call
    /// has to begin with the same bytes.
    pub(super) fn send(&self, reactor: &mut Reactor, source: SourceId, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.call(reactor, source, |stream| stream.ssl_write(&bytes[sent..]))? {
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

    /// Sends `close_notify`; returns whether that is done, be it because the session cannot carry it any more.
    pub(super) fn close_notify(&self, reactor: &mut Reactor, source: SourceId) -> bool {
        let result = self.call(reactor, source, |stream| stream.shutdown().map(drop));
        !matches!(result, Ok(None)) || reactor.writable(source)
    }

    /// Does something with the session.
    pub(super) fn with<T>(&self, look: impl FnOnce(&SslRef) -> T) -> T {
        look(self.stream.borrow().ssl())
    }

    /// One step of OpenSSL's; `None` when it waits for the socket, whose flags say then for what.
    fn call<T>(
        &self,
        reactor: &mut Reactor,
        source: SourceId,
        mut step: impl FnMut(&mut SslStream<Wire>) -> Result<T, ssl::Error>,
    ) -> io::Result<Option<T>> {
        let stream = &mut *self.stream.borrow_mut();
        loop {
            // What anything else has left in OpenSSL's error queue would be taken for this step's (SSL_get_error(3)).
            ErrorStack::get();
            let wire = stream.get_mut();
            (wire.read_blocked, wire.write_blocked) = (false, false);
            let error = match step(stream) {
                Ok(done) => return Ok(Some(done)),
                Err(error) => error,
            };
            let wire = stream.get_ref();
            match error.code() {
                ErrorCode::WANT_READ if wire.read_blocked => {
                    reactor.clear_readable(source, true);
                    return Ok(None);
                }
                ErrorCode::WANT_WRITE if wire.write_blocked => {
                    reactor.clear_writable(source);
                    return Ok(None);
                }
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
