//! The error log and the access logs, both in nginx's form.
//!
//! The error log is the process's own and is written from everywhere, so it is one for the process ([`emit`]); access logs
//! belong to servers and are written through [`access::AccessLogs`], which the worker owns.
//! The `log` crate's `debug!` and `trace!` serve for following the program's steps: they appear in the error log at level `debug`.

pub mod access;
pub mod clock;
pub mod error;

pub use error::{Level, Record, emit, enabled, message};
