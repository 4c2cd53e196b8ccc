//! Addresses, access rules, listeners, connections, the PROXY protocol.

#![allow(unsafe_code)] // accept4 with the peer's address, EPOLLEXCLUSIVE, sharing addresses: see listener.rs

pub mod access;
pub mod address;
pub mod addresses;
pub mod connection;
pub mod listener;
pub mod names;
pub mod proxy_protocol;
mod socket_options;
mod tls;

pub use address::Address;
pub use connection::Connection;
pub use listener::{ListenOptions, Listener};
pub use socket_options::SocketOptions;
pub use tls::{TlsError, reasons};
