//! Listening sockets.

use std::io;
use std::os::fd::RawFd;

use super::Address;

/// What a listening socket must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Where.
    pub address: Address,
    /// The length of the kernel's queue; nginx's default is 511.
    pub backlog: i32,
    /// IPv6 sockets: no IPv4 through them.
    pub ipv6only: bool,
    /// `TCP_NODELAY` and `SO_KEEPALIVE`, which accepted sockets inherit.
    pub nodelay: bool,
    /// See `nodelay`.
    pub keepalive: bool,
}

/// A listening socket, made by the master and shared by its workers.
pub struct Listener {}

impl Listener {
    /// Binds and listens. For a Unix socket the file gets mode 0666. The error tells which call failed: `bind()`, `listen()`, `socket()`.
    pub fn open(_options: &ListenOptions) -> Result<Self, (&'static str, io::Error)> {
        todo!()
    }

    /// Takes over a descriptor that another process opened (`NGINX=`): close-on-exec and non-blocking are set, its address is asked for.
    pub fn inherit(_fd: RawFd) -> io::Result<Self> {
        todo!()
    }

    /// Brings an inherited or kept socket to `options` (backlog, inherited flags).
    pub fn configure(&mut self, _options: &ListenOptions) -> io::Result<()> {
        todo!()
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        todo!()
    }

    /// A second handle on the same socket, for a worker.
    pub fn try_clone(&self) -> io::Result<Self> {
        todo!()
    }

    /// The descriptor, for `NGINX=`.
    pub fn fd(&self) -> RawFd {
        todo!()
    }

    /// Removes the file of a Unix socket; for the master, when the address is no longer in the configuration or weir ends
    /// (not when a new binary has taken over).
    pub fn unlink(&self) {
        todo!()
    }
}
