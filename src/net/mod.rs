//! Addresses, listeners, connections.

pub mod address;
pub mod listener;

pub use address::Address;
pub use listener::{ListenOptions, Listener};
