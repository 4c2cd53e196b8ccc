//! The whole configuration: what the main context and `events {}` say, and the blocks; the list of all tables.

pub mod document;
pub mod events;
pub mod main_context;

use crate::conf::{self, Row};
use crate::log::access::AccessLogs;
use crate::net::ListenOptions;
use crate::tcp;

pub use events::Events;
pub use main_context::Main;

/// A configuration that has passed all checks.
pub struct Config {
    /// Processes, logs, limits.
    pub main: Main,
    /// `events {}`.
    pub events: Events,
    /// All `tcp {}` blocks.
    pub tcp: tcp::Config,
    /// The access log files of all blocks, not opened yet.
    pub access_logs: AccessLogs,
    /// The sockets to listen on; the worker hands them to the engines by their place in this list.
    pub listens: Vec<ListenOptions>,
}

/// The rows of all tables, in the order of the documentation.
pub fn rows() -> Vec<&'static Row> {
    todo!()
}

/// What the command line says about the configuration.
pub struct Source {
    /// `-p`, absolute, or the default.
    pub prefix: std::path::PathBuf,
    /// `-c`, absolute (relative ones are taken against the prefix).
    pub file: std::path::PathBuf,
    /// `-g`.
    pub directives: String,
    /// `-e`: the error log when the configuration names none.
    pub error_log: Option<String>,
}

/// What reading a configuration gave.
pub struct Loaded {
    /// The configuration, or what is wrong with it.
    pub config: conf::Result<Config>,
    /// What was noticed, whether it can be used or not.
    pub warnings: Vec<conf::loader::Warning>,
    /// The files read, for `-T`.
    pub files: Vec<(std::path::PathBuf, Vec<u8>)>,
}

/// Reads and checks a configuration. Opens nothing but the files it reads; asks the resolver for host names.
pub fn load(_source: &Source) -> Loaded {
    todo!()
}
