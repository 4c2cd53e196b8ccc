//! The error log and the access logs, both in nginx's form.
//!
//! The error log is the process's own and is written from everywhere, so it is one for the process ([`emit`]); parts of a configuration
//! can have others ([`error::ErrorLog`]), which [`Record`] names. Access logs belong to servers and are written through [`access::AccessLogs`], which the worker owns.
//!
//! The `log` crate's `debug!` and `trace!` serve for following the program's steps. While some `error_log` has level `debug` they
//! appear there as `[debug]` lines that begin with the room they come from (`weir::relay: ...`). The environment variable
//! `WEIR_DEBUG` chooses rooms, in env_logger's syntax: `weir::relay=trace`, `weir=debug,mio=trace`; unset, it is `weir=debug`.
//! Without such an `error_log` they cost one comparison each.

pub mod access;
pub mod clock;
pub mod directive;
pub mod error;
pub mod format;
pub mod syslog;

mod debug;
mod file;
mod line;

pub use error::{Level, Record, emit, enabled, message};

/// Makes a panic an `[alert]` line, with where it happened.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| message(Level::Alert, format_args!("{info}"))));
}

/// The machine's name in small letters, as nginx writes it.
pub fn hostname() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}
