//! What a worker gives up and takes on before it serves: limits, priority, account, CPUs, directory.

use std::ffi::CString;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Pid, Uid, chdir, initgroups, setgid, setuid};

use crate::config::Main;
use crate::config::main_context::User;
use crate::log::{Level, message};

use super::{Logged, failed};

/// The highest number a capability can have: sets are of 64 bits.
const CAPABILITIES: libc::c_ulong = 63;

/// Makes this process what `main` says worker number `slot` should be, or one that is no worker, with limits, priority and CPUs of its own. An error must end it: it would run with rights
/// it should not have, or write where it should not. Everything is logged.
pub fn apply(main: &Main, slot: Option<usize>) -> Result<(), Logged> {
    if slot.is_some() && main.priority != 0 {
        set_priority(main.priority);
    }
    limit(Resource::RLIMIT_NOFILE, "RLIMIT_NOFILE", main.rlimit_nofile);
    limit(Resource::RLIMIT_CORE, "RLIMIT_CORE", main.rlimit_core);
    let user = main.user.as_ref().filter(|_| Uid::effective().is_root());
    // Workers that are to be root are to have root's rights.
    let powerless = user.map_or(!Uid::effective().is_root(), |user| user.uid != 0);
    if powerless {
        bound_capabilities();
    }
    if let Some(user) = user {
        become_user(user)?;
    }
    if powerless {
        drop_capabilities()?;
    }
    // Nothing that a worker could be made to execute gives it more than it has: no set-user-ID program, no file with capabilities.
    let _ = prctl::set_no_new_privs();
    match main.rlimit_core {
        // Changing the account has forbidden cores.
        Some(1..) => {
            let allowed = prctl::set_dumpable(true);
            allowed
                .map_err(|errno| failed(Level::Alert, &errno.into(), format_args!("prctl(PR_SET_DUMPABLE) failed")))
                .ok();
        }
        _ => keep_memory_private(),
    }
    if let Some(cpus) = slot.and_then(|slot| main.cpu_affinity.get(slot).or(main.cpu_affinity.last())) {
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

/// No core file of this process is written, and its memory, which holds the keys and what sessions carry, is closed to processes of the same
/// user (ptrace(2), proc(5)). Lasts until another program is executed; a change of account is no exception.
pub fn keep_memory_private() {
    // Fails only for a value that the kernel does not know.
    let _ = prctl::set_dumpable(false);
}

/// Empties the bounding set, as far as this process may: what is not in it cannot come back by executing a file.
fn bound_capabilities() {
    // SAFETY: a call with plain numbers. It fails for what the kernel does not know, and without CAP_SETPCAP.
    let dropped = |capability: &libc::c_ulong| unsafe { libc::prctl(libc::PR_CAPBSET_DROP, *capability) == 0 };
    let _ = (0..=CAPABILITIES).take_while(dropped).count();
}

/// Empties the effective, the permitted and the inheritable set, and with them the ambient one. A change of account leaves the inheritable
/// set, and there is none where weir was started as an ordinary user with capabilities, to listen on low ports say.
fn drop_capabilities() -> Result<(), Logged> {
    // `struct __user_cap_header_struct` and twice `struct __user_cap_data_struct` of version 3 (capset(2)); 0 is this process.
    const VERSION: u32 = 0x2008_0522;
    let (mut header, sets) = ([VERSION, 0], [[0u32; 3]; 2]);
    // SAFETY: the kernel reads a header of two words, writes one when it does not know the version, and reads two times three words.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()) };
    Errno::result(done).map(drop).map_err(|errno| failed(Level::Emerg, &errno.into(), format_args!("capset() failed")))
}

/// The group first: after `setuid` there is no right left to change it.
fn become_user(user: &User) -> Result<(), Logged> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setgid(gid).map_err(|errno| failed(Level::Emerg, &errno.into(), format_args!("setgid({gid}) failed")))?;
    let grouped = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL).and_then(|name| initgroups(&name, gid));
    let grouped = grouped
        .map_err(|errno| failed(Level::Emerg, &errno.into(), format_args!("initgroups({}, {gid}) failed", user.name)));
    // Groups that stay give root nothing it has not got. They cannot be changed in a user namespace with one account, which is called root.
    if !uid.is_root() {
        grouped?;
    }
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
