//! What the tests need around the binary: its process, servers behind it, clients before it, ports, and waiting.

pub mod backends;
pub mod clients;
pub mod dice;
pub mod dns;
pub mod ports;
pub mod proc;
pub mod running;
pub mod scripts;
pub mod servers;
pub mod tls_clients;
pub mod wait;

pub use backends::Backend;
pub use clients::{ask, connect, is_closed, read_all};
pub use dice::Dice;
pub use nix::sys::signal::Signal;
pub use ports::Port;
pub use running::{Prefix, Setup, Weir};
pub use scripts::Script;
pub use servers::Server;
pub use wait::{wait_for, wait_some};
