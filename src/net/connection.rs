//! A connected socket with its place in the reactor, plain or with TLS behind the same face: reads and writes that keep the
//! readiness flags true.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use nix::sys::socket::{MsgFlags, recv, setsockopt};
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslRef};
use socket2::{Socket, Type};

use super::tls::Tls;
use super::{Address, Pipe};
use crate::event::{Owner, Reactor, SourceId};

/// A connection to a client or a server. Closed when dropped; [`Connection::close`] also gives its source back.
#[derive(Debug)]
pub struct Connection {
    /// Before the socket it works on, so that it goes first.
    tls: Option<Box<Tls>>,
    socket: Socket,
    source: SourceId,
    nodelay: Cell<Nodelay>,
}

/// What is still to be done for `TCP_NODELAY`. Only what is sent while something is unacknowledged is ever held back (tcp(7), RFC 896), so
/// the first bytes of a connection go at once without it, and those that send no more never need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nodelay {
    /// Nothing.
    Settled,
    /// To be set before the second send.
    AfterFirst,
    /// To be set before the next send.
    Due,
}

/// Calls until no signal interrupts; `None` where it would block.
fn unless_blocked<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    loop {
        return match call() {
            Ok(done) => Ok(Some(done)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}

impl Connection {
    /// An accepted socket, watched from now on.
    ///
    /// # Errors
    /// The reactor cannot take it; the socket is closed.
    pub fn accepted(socket: Socket, reactor: &mut Reactor, owner: Owner) -> io::Result<Self> {
        let source = reactor.add_open(socket.as_raw_fd(), owner)?;
        Ok(Connection { tls: None, socket, source, nodelay: Cell::new(Nodelay::Settled) })
    }

    /// Begins to connect. The connection turns writable when that has come to an end; [`Connection::probe`] tells which.
    ///
    /// # Errors
    /// The call that failed (`socket()`, `connect()`, ...) and why; a refusal may come at once.
    pub fn connect(address: &Address, reactor: &mut Reactor, owner: Owner) -> Result<Self, (&'static str, io::Error)> {
        Connection::connect_from(None, address, reactor, owner)
    }

    /// The same from an address of our own, whose port may be 0 for any.
    ///
    /// # Errors
    /// `bind()` too.
    pub fn connect_from(
        local: Option<&Address>,
        address: &Address,
        reactor: &mut Reactor,
        owner: Owner,
    ) -> Result<Self, (&'static str, io::Error)> {
        let at = |call| move |error| (call, error);
        let socket = Socket::new(address.domain(), Type::STREAM.nonblocking(), None).map_err(at("socket()"))?;
        let peer = address.to_sockaddr().map_err(at("connect()"))?;
        if let Some(local) = local {
            if local.port() == Some(0) {
                // The port is chosen when the peer is known, and may serve connections to others too. A kernel that cannot do that chooses now.
                let _ = setsockopt(&socket, IpBindAddressNoPort, &true);
            }
            socket.bind(&local.to_sockaddr().map_err(at("bind()"))?).map_err(at("bind()"))?;
        }
        match socket.connect(&peer) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            result => result.map_err(at("connect()"))?,
        }
        let source = reactor.add(socket.as_raw_fd(), owner).map_err(at("epoll_ctl()"))?;
        Ok(Connection { tls: None, socket, source, nodelay: Cell::new(Nodelay::Settled) })
    }

    /// Where it stands in the reactor.
    pub fn source(&self) -> SourceId {
        self.source
    }

    /// From now on bytes go through the TLS session `ssl`, which has been set to accept or to connect; [`Connection::handshake`] comes
    /// next.
    ///
    /// # Errors
    /// Out of memory.
    pub fn start_tls(&mut self, ssl: Ssl) -> Result<(), ErrorStack> {
        self.tls = Some(Box::new(Tls::new(ssl, self.socket.as_raw_fd())?));
        if self.nodelay.get() != Nodelay::Settled {
            // The handshake is an exchange already.
            self.nodelay.set(Nodelay::Due);
            self.settle_nodelay();
        }
        Ok(())
    }

    /// The client of a TLS session that [`Connection::start_tls`] has begun may send data before the handshake is over, as far as the session allows
    /// (RFC 8446 2.3). When some has come [`Connection::handshake`] is done, and data goes both ways while the rest of it is still to come.
    pub fn await_early_data(&self) {
        if let Some(tls) = &self.tls {
            tls.await_early_data();
        }
    }

    /// Whether data goes both ways while the handshake is not over: the client has more to send, whatever it wants.
    pub fn is_early(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_early())
    }

    /// Begins the TLS handshake or goes on with it, whenever the connection is ready for anything. Returns whether it is done, and
    /// not where it waits to be told who answers; a plain connection needs none.
    ///
    /// # Errors
    /// What the socket says, a [`super::TlsError`], or a peer that leaves, `UnexpectedEof`. OpenSSL has told the peer as far as it would.
    pub fn handshake(&self, reactor: &mut Reactor) -> io::Result<bool> {
        match &self.tls {
            Some(tls) => Ok(tls.handshake(reactor, self.source)?.is_some()),
            None => Ok(true),
        }
    }

    /// What `look` finds in the TLS session (version, cipher, certificates); `None` for a plain connection.
    pub fn tls<T>(&self, look: impl FnOnce(&SslRef) -> T) -> Option<T> {
        self.tls.as_ref().map(|tls| tls.with(look))
    }

    /// Gives its source back and closes it. A TLS session ends with `close_notify`, if there is room for it.
    pub fn close(self, reactor: &mut Reactor) {
        if let Some(tls) = &self.tls {
            tls.close_notify(reactor, self.source);
        }
        reactor.remove(self.source);
    }

    /// Reads into `buffer`. `Some(0)`: the peer has ended its side; `None`: nothing waits.
    ///
    /// # Errors
    /// What recv(2) says: a reset, a timeout of the kernel's. Of TLS: a [`super::TlsError`], of kind `UnexpectedEof` when the peer has ended
    /// without `close_notify`.
    pub fn recv(&self, reactor: &mut Reactor, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if let Some(tls) = &self.tls {
            return tls.recv(reactor, self.source, buffer);
        }
        let count = self.read(reactor, || (&self.socket).read(buffer))?;
        if count.is_some_and(|count| count < buffer.len()) {
            reactor.clear_readable(self.source, false);
        }
        Ok(count)
    }

    /// What a call that reads says: `None`, and the source is readable no more, where nothing waits.
    fn read<T>(&self, reactor: &mut Reactor, call: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
        let done = unless_blocked(call)?;
        if done.is_none() {
            reactor.clear_readable(self.source, true);
        }
        Ok(done)
    }

    /// What a call that writes says: 0, and the source is writable no more, where there is no room.
    fn write(&self, reactor: &mut Reactor, call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        let done = unless_blocked(call)?;
        if done.is_none() {
            reactor.clear_writable(self.source);
        }
        Ok(done.unwrap_or(0))
    }

    /// Looks at what waits in the socket, before any TLS, without taking it. `Some(0)`: the peer has ended its side; `None`: nothing waits. Whoever wants more
    /// than there is says so by [`Reactor::clear_readable`].
    ///
    /// # Errors
    /// What recv(2) says.
    pub fn peek(&self, reactor: &mut Reactor, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.read(reactor, || Ok(recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_PEEK)?))
    }

    /// Writes from `bytes` what the kernel takes; 0 when it takes nothing now. The next call begins with the bytes that were not
    /// taken, which TLS may have encrypted already.
    ///
    /// # Errors
    /// What send(2) says: the peer is gone. Of TLS: a [`super::TlsError`].
    pub fn send(&self, reactor: &mut Reactor, bytes: &[u8]) -> io::Result<usize> {
        if let Some(tls) = &self.tls {
            return tls.send(reactor, self.source, bytes);
        }
        self.send_with(reactor, bytes, 0)
    }

    /// The same with bytes that a plain connection may hold back until more are sent, which is to be at once (`MSG_MORE`, tcp(7)).
    ///
    /// # Errors
    /// As for [`Connection::send`].
    pub fn send_part(&self, reactor: &mut Reactor, bytes: &[u8]) -> io::Result<usize> {
        match &self.tls {
            Some(tls) => tls.send(reactor, self.source, bytes),
            None => self.send_with(reactor, bytes, libc::MSG_MORE),
        }
    }

    fn send_with(&self, reactor: &mut Reactor, bytes: &[u8], flags: libc::c_int) -> io::Result<usize> {
        self.settle_nodelay();
        let count = self.write(reactor, || self.socket.send_with_flags(bytes, libc::MSG_NOSIGNAL | flags))?;
        if count < bytes.len() {
            reactor.clear_writable(self.source);
        }
        Ok(count)
    }

    /// Sends what TLS holds because the socket was full: without bytes to send this is what makes it move when the connection turns
    /// writable. A plain connection holds nothing.
    ///
    /// # Errors
    /// What send(2) says.
    pub fn flush(&self, reactor: &mut Reactor) -> io::Result<()> {
        match &self.tls {
            Some(tls) if reactor.writable(self.source) => tls.flush(reactor, self.source).map(drop),
            _ => Ok(()),
        }
    }

    /// Whether the bytes of the socket are the peer's own, which the kernel can move by itself.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// Moves at most `most` bytes that wait in a plain connection into an empty pipe. `Some(0)`: the peer has ended its side; `None`: nothing waits.
    /// How many bytes a pipe takes depends on how they came in packets, so only `None` tells that nothing more waits.
    ///
    /// # Errors
    /// What splice(2) says, as for [`Connection::recv`]; `InvalidInput` where the kernel does not splice from such a socket.
    pub fn fill(&self, reactor: &mut Reactor, pipe: &mut Pipe, most: usize) -> io::Result<Option<usize>> {
        self.read(reactor, || pipe.fill(self.socket.as_fd(), most))
    }

    /// Moves what a pipe holds to a plain connection, as far as the kernel takes it; 0 when it takes nothing now.
    ///
    /// # Errors
    /// What splice(2) says, as for [`Connection::send`].
    pub fn drain(&self, reactor: &mut Reactor, pipe: &mut Pipe) -> io::Result<usize> {
        self.settle_nodelay();
        let count = self.write(reactor, || pipe.drain(self.socket.as_fd()))?;
        if pipe.holds() > 0 {
            reactor.clear_writable(self.source);
        }
        Ok(count)
    }

    /// Sends from `file` what the kernel takes, at most `count` bytes from `offset` on, without copying them through this process;
    /// 0 when the socket takes nothing now.
    ///
    /// # Errors
    /// What sendfile(2) says: the peer is gone, the file cannot be read; `UnexpectedEof` where the file has nothing at `offset`.
    pub fn send_file(&self, reactor: &mut Reactor, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        let mut offset = i64::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // Less than asked for may be the socket's doing or the file's end: the next call tells.
        self.write(reactor, || match sendfile64(&self.socket, file, Some(&mut offset), count)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            sent => Ok(sent),
        })
    }

    /// Sets `TCP_CORK`: only full packets leave until it is taken off.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn set_cork(&self, on: bool) -> io::Result<()> {
        self.socket.set_tcp_cork(on)
    }

    /// What the kernel knows of a TCP connection.
    ///
    /// # Errors
    /// What getsockopt(2) says: it is no TCP connection.
    pub fn tcp_info(&self) -> io::Result<libc::tcp_info> {
        let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
        let mut length = std::mem::size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes, the size of `info`; whatever it does not write is zero, which is a value of every field.
        unsafe {
            Errno::result(libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &mut length,
            ))?;
            Ok(info.assume_init())
        }
    }

    /// Looks at a connection that has turned writable, before it is used. It stands if no end and no error has been reported with that; else
    /// one byte is peeked at, which brings up the error of a failed connect. What it learns of readiness is kept.
    ///
    /// # Errors
    /// Why the connection does not stand; a peer that has closed it already is `UnexpectedEof`.
    pub fn probe(&self, reactor: &mut Reactor) -> io::Result<()> {
        if let Some(tls) = &self.tls {
            return match tls.peek(reactor, self.source)? {
                Some(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(()),
            };
        }
        if !reactor.closing(self.source) {
            return Ok(());
        }
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match self.read(reactor, || self.socket.recv_with_flags(&mut byte, libc::MSG_PEEK))? {
            Some(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Bytes that were written and that the peer has not acknowledged yet (`SIOCOUTQ`, tcp(7)); for a Unix socket, what
    /// the peer has not read. What TLS holds for want of room is among them. Of the kernel's part nothing when it does not tell.
    pub fn unsent(&self) -> u32 {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open, and TIOCOUTQ (the same number as SIOCOUTQ) writes one int.
        let asked = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) };
        let kernels = if asked < 0 { 0 } else { u32::try_from(bytes).unwrap_or(0) };
        kernels + self.tls.as_ref().map_or(0, |tls| tls.held() as u32)
    }

    /// Bytes that the peer has sent and that have not been read (`SIOCINQ`, tcp(7)); before urgent data, as far as its mark.
    #[cfg(test)]
    pub fn unread(&self) -> u32 {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the descriptor is open, and FIONREAD (the same number as SIOCINQ) writes one int.
        let asked = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::FIONREAD, &mut bytes) };
        if asked < 0 { 0 } else { u32::try_from(bytes).unwrap_or(0) }
    }

    /// Tells the peer that nothing more will come. A peer that is gone already is not an error. Returns whether it has been told: the
    /// `close_notify` of TLS may have to wait until the connection is writable.
    pub fn shutdown_write(&self, reactor: &mut Reactor) -> bool {
        let told = self.tls.as_ref().is_none_or(|tls| tls.close_notify(reactor, self.source));
        if told {
            let _ = self.socket.shutdown(Shutdown::Write);
        }
        told
    }

    /// What the peer is to get is cut short: TLS must not tell it that this was all (RFC 8446 6.1), so there will be no `close_notify`.
    pub fn truncate(&self) {
        if let Some(tls) = &self.tls {
            tls.truncate();
        }
    }

    /// Closing will reset the connection: what the peer has not taken is thrown away, and nothing is kept of it (`SO_LINGER`).
    pub fn reset_on_close(&self) {
        // A peer that is gone makes some kernels refuse, and needs no reset.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
        self.truncate();
    }

    /// Sets `TCP_NODELAY`; nothing for a Unix socket.
    ///
    /// # Errors
    /// What setsockopt(2) says; a peer that reset the connection makes some kernels refuse.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.nodelay.set(Nodelay::Settled);
        self.socket.set_tcp_nodelay(on)
    }

    /// As `set_nodelay(true)`, for a connection that nothing has been sent on, at the time when it begins to matter.
    pub fn set_nodelay_after_first(&self) {
        self.nodelay.set(Nodelay::AfterFirst);
    }

    fn settle_nodelay(&self) {
        match self.nodelay.get() {
            Nodelay::Settled => {}
            Nodelay::AfterFirst => self.nodelay.set(Nodelay::Due),
            // A peer that has reset the connection makes some kernels refuse; the send will tell.
            Nodelay::Due => drop(self.set_nodelay(true)),
        }
    }

    /// Sets `SO_KEEPALIVE`.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    pub fn set_keepalive(&self, on: bool) -> io::Result<()> {
        self.socket.set_keepalive(on)
    }

    /// The address the peer connected to.
    ///
    /// # Errors
    /// What getsockname(2) says.
    pub fn local_address(&self) -> io::Result<Address> {
        Ok(Address::from_sockaddr(&self.socket.local_addr()?))
    }
}
