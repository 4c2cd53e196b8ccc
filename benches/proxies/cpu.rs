//! CPU time and memory of all processes of a contender, and who runs on which core.

use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::Result;

/// The core of the proxies and the one of their clients and backends.
pub struct Cores {
    pub driver: usize,
    pub proxy: usize,
}

impl Cores {
    /// The first and the last core this process may use, which are the least likely to share one physical core.
    pub fn choose() -> Result<Cores> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let usable: Vec<usize> = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false)).collect();
        let (Some(&driver), Some(&proxy)) = (usable.first(), usable.last()) else {
            return Err("no core to run on".into());
        };
        if driver == proxy {
            eprintln!(
                "bench: only one core may be used, so clients and backends disturb the proxy: rates mean nothing, costs little"
            );
        }
        Ok(Cores { driver, proxy })
    }

    /// Binds this thread, and all that it will start, to the driver's core.
    pub fn pin_driver(&self) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(self.driver)?;
        Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
    }
}

/// The processes of a process group, masters and workers alike.
fn members(group: u32) -> Result<Vec<u32>> {
    let mut members = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // proc_pid_stat(5): pid (name) state ppid pgrp ...; a process may be gone by now.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if after_name.split_whitespace().nth(2) == Some(&group.to_string()) {
            members.push(pid);
        }
    }
    Ok(members)
}

/// User and system time of a process group so far. `schedstat` counts nanoseconds on a core, whatever was done there: network
/// work that the kernel does in the name of the process is in it.
pub fn time(group: u32) -> Result<Duration> {
    members(group)?.into_iter().map(time_of).sum()
}

/// The same of one process.
fn time_of(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(task?.path().join("schedstat"))
            .map_err(|error| format!("/proc/{pid}/task/*/schedstat: {error}"))?;
        nanoseconds += stat.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// One process of a group: its CPU time so far and its private memory in bytes.
pub struct Process {
    pub time: Duration,
    pub memory: u64,
}

/// The process of a group that has a title with these words; none if it has ended.
pub fn process(group: u32, title: &str) -> Result<Option<Process>> {
    for pid in members(group)? {
        let shown = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&shown).contains(title) {
            // It may end at any time.
            let known = time_of(pid).and_then(|time| Ok(Process { time, memory: private_memory_of(pid)? }));
            return Ok(known.ok());
        }
    }
    Ok(None)
}

/// Bytes of memory that the processes of a group share with nobody.
pub fn private_memory(group: u32) -> Result<u64> {
    members(group)?.into_iter().map(private_memory_of).sum()
}

fn private_memory_of(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .map_err(|error| format!("/proc/{pid}/smaps_rollup: {error}"))?;
    let private = |line: &&str| line.starts_with("Private_Clean:") || line.starts_with("Private_Dirty:");
    let kib = |line: &str| line.split_whitespace().nth(1).unwrap_or_default().parse::<u64>();
    let kib = rollup.lines().filter(private).map(kib).sum::<std::result::Result<u64, _>>()?;
    Ok(kib * 1024)
}
