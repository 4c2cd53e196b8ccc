//! What a worker gives up and takes on before it serves: limits, priority, account, CPUs, directory.

use std::ffi::CString;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Pid, Uid, chdir, initgroups, setgid, setuid};

use crate::config::Main;
use crate::config::main_context::User;
use crate::log::{Level, message};

use super::{Logged, failed};

/// Makes this process what `main` says worker number `slot` should be. An error must end it: it would run with rights
/// it should not have, or write where it should not. Everything is logged.
pub fn apply(main: &Main, slot: usize) -> Result<(), Logged> {
    if main.priority != 0 {
        set_priority(main.priority);
    }
    limit(Resource::RLIMIT_NOFILE, "RLIMIT_NOFILE", main.rlimit_nofile);
    limit(Resource::RLIMIT_CORE, "RLIMIT_CORE", main.rlimit_core);
    if let Some(user) = &main.user
        && Uid::effective().is_root()
    {
        become_user(user)?;
    }
    if let Some(cpus) = main.cpu_affinity.get(slot).or(main.cpu_affinity.last()) {
        bind_to(cpus);
    }
    if let Some(path) = &main.working_directory {
        chdir(path).map_err(|errno| failed(Level::Alert, &errno.into(), format_args!("chdir({path:?}) failed")))?;
    }
    Ok(())
}

fn set_priority(priority: i32) {
    // SAFETY: a call with plain numbers; 0 is this process.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, priority) } == -1 {
        failed(Level::Alert, &Errno::last().into(), format_args!("setpriority({priority}) failed"));
    }
}

fn limit(resource: Resource, name: &str, value: Option<u64>) {
    if let Some(value) = value
        && let Err(errno) = setrlimit(resource, value, value)
    {
        failed(Level::Alert, &errno.into(), format_args!("setrlimit({name}, {value}) failed"));
    }
}

/// The group first: after `setuid` there is no right left to change it.
fn become_user(user: &User) -> Result<(), Logged> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setgid(gid).map_err(|errno| failed(Level::Emerg, &errno.into(), format_args!("setgid({gid}) failed")))?;
    CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL).and_then(|name| initgroups(&name, gid)).map_err(
        |errno| failed(Level::Emerg, &errno.into(), format_args!("initgroups({}, {gid}) failed", user.name)),
    )?;
    setuid(uid).map_err(|errno| failed(Level::Emerg, &errno.into(), format_args!("setuid({uid}) failed")))
}

fn bind_to(cpus: &[usize]) {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        message(Level::Notice, format_args!("sched_setaffinity(): using cpu #{cpu}"));
        // Masks longer than a set are refused when the configuration is read.
        let _ = set.set(cpu);
    }
    if let Err(errno) = sched_setaffinity(Pid::from_raw(0), &set) {
        failed(Level::Alert, &errno.into(), format_args!("sched_setaffinity() failed"));
    }
}
