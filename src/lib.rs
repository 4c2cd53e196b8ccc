//! weir: a reverse proxy that runs existing nginx configurations.
//!
//! The rooms of the house, top to bottom; a room uses only the rooms below it (`docs/architecture.md`).

pub mod process;

pub mod worker;

pub mod config;

pub mod http;
pub mod tcp;

pub mod context;
pub mod tally;

pub mod relay;

pub mod upstream;

pub mod tls;

pub mod log;

pub mod resolver;

pub mod net;

pub mod event;

pub mod conf;

pub mod shm;

pub mod crypt;

pub mod safe_open;

pub mod fault;
