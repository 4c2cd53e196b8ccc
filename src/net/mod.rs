//! Addresses, access rules, listeners, connections, the PROXY protocol.

// listener.rs: accept4 with the peer's address, EPOLLEXCLUSIVE, sharing addresses; connection.rs: what a socket holds; tls.rs: what OpenSSL holds.
#![allow(unsafe_code)]

pub mod access;
pub mod address;
pub mod addresses;
pub mod connection;
pub mod listener;
pub mod names;
mod pipe;
pub mod proxy_protocol;
mod socket_options;
mod tls;

pub use address::Address;
pub use connection::Connection;
pub use listener::{ListenOptions, Listener};
pub use pipe::Pipe;
pub use socket_options::SocketOptions;
pub use tls::{TlsError, reasons};

/// Whether a call failed because this process, or the system, has no more descriptors.
pub fn out_of_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
