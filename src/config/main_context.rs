//! The main context: processes, logs, limits.

use std::path::PathBuf;
use std::time::Duration;

use crate::log::error::Sink;

/// What the main context says.
#[derive(Clone, Debug)]
pub struct Main {
    /// `daemon`
    pub daemon: bool,
    /// `master_process`
    pub master_process: bool,
    /// `worker_processes`, `auto` resolved.
    pub worker_processes: usize,
    /// `worker_cpu_affinity`: the CPUs of each worker; the last one serves the rest. Empty: not set.
    pub cpu_affinity: Vec<Vec<usize>>,
    /// `worker_priority`: the nice value.
    pub priority: i32,
    /// `worker_rlimit_nofile`
    pub rlimit_nofile: Option<u64>,
    /// `worker_rlimit_core`, bytes.
    pub rlimit_core: Option<u64>,
    /// `worker_shutdown_timeout`
    pub shutdown_timeout: Option<Duration>,
    /// `working_directory`
    pub working_directory: Option<PathBuf>,
    /// `user`: user and group ids and the user's name, when the master runs as root.
    pub user: Option<User>,
    /// `pid`, absolute.
    pub pid: PathBuf,
    /// `error_log` directives, or the default.
    pub error_logs: Vec<Sink>,
    /// `env`: names kept (value `None`) or set; `TZ` is always kept.
    pub env: Vec<(String, Option<String>)>,
}

/// The account workers run under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// For `initgroups`.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}
