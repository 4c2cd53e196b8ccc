//! The main context: processes, logs, limits.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::{Group, Uid};

use crate::conf::loader::Warning;
use crate::conf::value::number;
use crate::conf::{Call, Error, Loader, Result};
use crate::log::directive;
use crate::log::error::Sink;

use super::{Builder, Source, affinity, defaults};

/// nginx's limit of processes.
const MOST_WORKERS: usize = 1024;

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

impl Main {
    /// The number of processes that serve: without a master it is one, whatever `worker_processes` says.
    pub fn workers(&self) -> usize {
        if self.master_process { self.worker_processes } else { 1 }
    }
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

/// The main context while its directives are read: what was said so far.
#[derive(Default)]
pub struct Settings {
    pub(super) daemon: Option<bool>,
    pub(super) master_process: Option<bool>,
    worker_processes: Option<usize>,
    affinity: Option<affinity::Affinity>,
    pub(super) priority: i32,
    pub(super) rlimit_nofile: Option<u64>,
    pub(super) rlimit_core: Option<u64>,
    pub(super) shutdown_timeout: Option<Duration>,
    working_directory: Option<PathBuf>,
    user: Option<User>,
    pub(super) pid: Option<PathBuf>,
    error_logs: Vec<Sink>,
    env: Vec<(String, Option<String>)>,
}

impl Settings {
    /// The main context with defaults where nothing was said.
    pub(super) fn settle(self, source: &Source, loader: &mut Loader) -> Result<Main> {
        let mut worker_processes = self.worker_processes.unwrap_or(1);
        if worker_processes > MOST_WORKERS {
            let message = format!("no more than {MOST_WORKERS} worker processes can be started");
            loader.warnings.push(Warning { message, place: None });
            worker_processes = MOST_WORKERS;
        }
        let cpu_affinity = self.affinity.map_or_else(Vec::new, |affinity| affinity.resolve(worker_processes));
        if cpu_affinity.len() > 1 && cpu_affinity.len() != worker_processes {
            let message = "the number of \"worker_processes\" is not equal to the number of \"worker_cpu_affinity\" masks, \
                           using last mask for remaining worker processes";
            loader.warnings.push(Warning { message: message.to_owned(), place: None });
        }
        let user = match self.user {
            None if Uid::effective().is_root() => {
                Some(account(defaults::USER, defaults::GROUP).map_err(Error::general)?)
            }
            user => user,
        };
        let error_logs = if self.error_logs.is_empty() { vec![source.error_log()] } else { self.error_logs };
        Ok(Main {
            daemon: self.daemon.unwrap_or(true),
            master_process: self.master_process.unwrap_or(true),
            worker_processes,
            cpu_affinity,
            priority: self.priority,
            rlimit_nofile: self.rlimit_nofile,
            rlimit_core: self.rlimit_core,
            shutdown_timeout: self.shutdown_timeout,
            working_directory: self.working_directory,
            user,
            pid: self.pid.unwrap_or_else(|| source.prefix.join(defaults::PID_PATH)),
            error_logs,
            env: self.env,
        })
    }
}

pub(super) fn worker_processes(builder: &mut Builder, call: &mut Call) -> Result<()> {
    builder.main.worker_processes = Some(match call.text(1)? {
        // The CPUs this process may use: fewer than the machine has inside a container.
        "auto" => std::thread::available_parallelism().map_or(1, |n| n.get()),
        text => number(text).ok_or_else(|| call.invalid())?,
    });
    Ok(())
}

pub(super) fn worker_cpu_affinity(builder: &mut Builder, call: &mut Call) -> Result<()> {
    builder.main.affinity = Some(affinity::parse(&call.texts()?).map_err(|message| call.error(message))?);
    Ok(())
}

pub(super) fn worker_rlimit_core(builder: &mut Builder, call: &mut Call) -> Result<()> {
    let size = call.size()? as u64;
    if size > 0 {
        call.warn(
            "\"worker_rlimit_core\" allows core files, which hold the keys of certificates and what sessions carry",
        );
    }
    builder.main.rlimit_core = Some(size);
    Ok(())
}

pub(super) fn worker_priority(builder: &mut Builder, call: &mut Call) -> Result<()> {
    let text = call.text(1)?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = number(digits).and_then(|n| i32::try_from(n).ok());
    let value = value.ok_or_else(|| call.error("\"worker_priority\" directive invalid number"))?;
    builder.main.priority = if negative { -value } else { value };
    Ok(())
}

pub(super) fn working_directory(builder: &mut Builder, call: &mut Call) -> Result<()> {
    builder.main.working_directory = Some(PathBuf::from(OsStr::from_bytes(call.bytes(1))));
    Ok(())
}

pub(super) fn user(builder: &mut Builder, call: &mut Call) -> Result<()> {
    if !Uid::effective().is_root() {
        call.warn(
            "the \"user\" directive makes sense only if the master process runs with super-user privileges, ignored",
        );
        return Ok(());
    }
    let name = call.text(1)?;
    let group = if call.count() > 1 { call.text(2)? } else { name };
    builder.main.user = Some(account(name, Some(group)).map_err(|message| call.error(message))?);
    Ok(())
}

/// Looks up an account; without a group, the user's own.
fn account(name: &str, group: Option<&str>) -> std::result::Result<User, String> {
    let unknown_user = || format!("getpwnam(\"{name}\") failed");
    let user = nix::unistd::User::from_name(name).ok().flatten().ok_or_else(unknown_user)?;
    let gid = match group {
        None => user.gid,
        Some(group) => {
            let unknown_group = || format!("getgrnam(\"{group}\") failed");
            Group::from_name(group).ok().flatten().ok_or_else(unknown_group)?.gid
        }
    };
    Ok(User { name: name.to_owned(), uid: user.uid.as_raw(), gid: gid.as_raw() })
}

pub(super) fn error_log(builder: &mut Builder, call: &mut Call) -> Result<()> {
    builder.main.error_logs.push(directive::error_log(call)?);
    Ok(())
}

pub(super) fn env(builder: &mut Builder, call: &mut Call) -> Result<()> {
    let text = call.text(1)?;
    builder.main.env.push(match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    });
    Ok(())
}

pub(super) fn thread_pool(_: &mut Builder, call: &mut Call) -> Result<()> {
    for word in &call.texts()?[1..] {
        for name in ["threads", "max_queue"] {
            let value = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
            let least = usize::from(name == "threads");
            if value.is_some_and(|value| number(value).is_none_or(|n| n < least)) {
                return Err(call.error(format!("invalid {name} value \"{word}\"")));
            }
        }
    }
    call.warn("\"thread_pool\" has no effect: there is no file I/O to hand to threads");
    Ok(())
}

pub(super) fn debug_points(_: &mut Builder, call: &mut Call) -> Result<()> {
    match call.text(1)? {
        "stop" | "abort" => Ok(()),
        other => Err(call.error(format!("invalid value \"{other}\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_accounts_are_named() {
        assert_eq!(account("no-such-user", None), Err("getpwnam(\"no-such-user\") failed".to_owned()));
        assert_eq!(account("root", Some("no-such-group")), Err("getgrnam(\"no-such-group\") failed".to_owned()));
        assert_eq!(account("root", None), Ok(User { name: "root".to_owned(), uid: 0, gid: 0 }));
    }
}
