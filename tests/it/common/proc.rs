//! What `/proc` tells of a process.

use std::fs;
use std::path::Path;

/// The value of a `Name:` line of `/proc/PID/status`.
fn status(pid: i32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(':'))?;
    Some(line[name.len() + 1..].trim().to_string())
}

/// Whether the process runs; one that has ended and only waits for its parent does not.
pub fn alive(pid: i32) -> bool {
    status(pid, "State").is_some_and(|state| !state.starts_with('Z') && !state.starts_with('X'))
}

/// Whether the process has been stopped by a signal, or has ended.
pub fn stopped(pid: i32) -> bool {
    !alive(pid) || status(pid, "State").is_some_and(|state| state.starts_with('T'))
}

/// Anonymous memory in use, in bytes: what a process has written to, without its files and the kernel's socket buffers.
pub fn rss_anon(pid: i32) -> u64 {
    kilobytes(pid, "RssAnon").expect("RssAnon") * 1024
}

/// The value of a line of `/proc/PID/status` that is about memory; none for a process that has ended.
pub fn kilobytes(pid: i32, name: &str) -> Option<u64> {
    status(pid, name)?.trim_end_matches(" kB").parse().ok()
}

/// The address space in use, in bytes: what `RLIMIT_AS` bounds.
pub fn address_space(pid: i32) -> u64 {
    let text = status(pid, "VmSize").expect("VmSize");
    text.trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The real user id.
pub fn uid(pid: i32) -> u32 {
    status(pid, "Uid").unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// The nice value.
pub fn nice(pid: i32) -> i32 {
    stat(pid)[16].parse().unwrap()
}

/// The processors it may run on, as the kernel lists them (`0-1`).
pub fn cpus(pid: i32) -> String {
    status(pid, "Cpus_allowed_list").unwrap()
}

/// The soft limit on open files.
pub fn nofile(pid: i32) -> u64 {
    limit_of(pid, "Max open files")
}

/// The soft limit on the size of core files, in bytes.
pub fn core(pid: i32) -> u64 {
    limit_of(pid, "Max core file size")
}

fn limit_of(pid: i32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line[name.len()..].split_whitespace().next().unwrap().parse().unwrap()
}

/// What `ps` shows.
pub fn title(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_string()
}

/// The folder it runs in.
pub fn cwd(pid: i32) -> std::path::PathBuf {
    fs::read_link(format!("/proc/{pid}/cwd")).unwrap()
}

/// Processor time used so far, in clock ticks of a hundredth of a second.
pub fn cpu_ticks(pid: i32) -> u64 {
    let fields = stat(pid);
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// How often it has waited for something (`epoll_wait` for one) and was woken.
pub fn wakes(pid: i32) -> u64 {
    status(pid, "voluntary_ctxt_switches").unwrap().parse().unwrap()
}

/// Whether the descriptors of a weir can be seen, whose processes are closed to others of the same user; says so where they cannot.
pub fn shows_descriptors() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("only root sees the descriptors of a weir");
    }
    root
}

/// What `/proc` has about descriptors: nothing for a process that has ended. Of a weir only root can ask ([`shows_descriptors`]).
fn descriptor_entries(pid: i32) -> impl Iterator<Item = fs::DirEntry> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let closed = entries.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    assert!(!closed, "the descriptors of process {pid} cannot be seen");
    entries.into_iter().flatten().flatten()
}

/// How many descriptors are open.
pub fn descriptors(pid: i32) -> usize {
    descriptor_entries(pid).count()
}

/// The numbers of the descriptors that are open, and what each is.
fn open(pid: i32) -> Vec<(u64, String)> {
    let described = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
    };
    descriptor_entries(pid).filter_map(described).collect()
}

/// What the descriptors are that are open; files without a name by their folder.
pub fn open_files(pid: i32) -> Vec<String> {
    open(pid).into_iter().map(|(_, target)| target).collect()
}

/// The number that the next descriptor gets.
pub fn free_descriptor(pid: i32) -> u64 {
    let open = open(pid);
    (0..).find(|free| open.iter().all(|(number, _)| number != free)).unwrap()
}

/// The descriptors of pipes of which a process has both ends; of others it was given one.
pub fn pipe_descriptors(pid: i32) -> Vec<u64> {
    let open = open(pid);
    let both = |target: &str| open.iter().filter(|(_, other)| other == target).count() == 2;
    let ends = open.iter().filter(|(_, target)| target.starts_with("pipe:") && both(target));
    ends.map(|(number, _)| *number).collect()
}

/// The fields of `/proc/PID/stat` after the name: state first, parent second.
fn stat(pid: i32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_string).collect()
}

/// Children that run, by falling age.
pub fn children(parent: i32) -> Vec<i32> {
    let parent = parent.to_string();
    let mut found: Vec<i32> =
        pids().filter(|&pid| stat(pid).get(1) == Some(&parent)).filter(|&pid| alive(pid)).collect();
    found.sort_unstable();
    found
}

/// A set of capabilities by its name in `/proc/PID/status`, such as `CapEff`.
pub fn capabilities(pid: i32, set: &str) -> u64 {
    u64::from_str_radix(&status(pid, set).unwrap(), 16).unwrap()
}

/// Whether nothing it executes can give it more rights than it has.
pub fn no_new_privileges(pid: i32) -> bool {
    status(pid, "NoNewPrivs").unwrap() == "1"
}

/// The supplementary groups, and before them the effective group.
pub fn groups(pid: i32) -> Vec<u32> {
    let effective = status(pid, "Gid").unwrap().split_whitespace().nth(1).unwrap().to_string();
    let text = format!("{effective} {}", status(pid, "Groups").unwrap());
    text.split_whitespace().map(|group| group.parse().unwrap()).collect()
}

/// Processes that run in `folder` or hold a file of it open, other than this one (and what it is about to start). A weir does not show that
/// to others of its user; its master's title tells, and its workers are the master's children.
pub fn users_of(folder: &Path) -> Vec<i32> {
    let own = fs::read_link("/proc/self/exe").unwrap();
    // A title may be cut off at its end.
    let names = |title: String| title.split(' ').any(|word| Path::new(word).starts_with(folder));
    let masters: Vec<i32> =
        pids().filter(|&pid| title(pid).starts_with("weir: master process") && names(title(pid))).collect();
    let parent = |pid: i32| stat(pid).get(1).and_then(|parent| parent.parse().ok()).unwrap_or(0);
    let uses = |pid: &i32| {
        if masters.contains(pid) || masters.contains(&parent(*pid)) {
            return true;
        }
        let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}"));
        let inside = |path: std::path::PathBuf| path.starts_with(folder);
        let open = || fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        link("exe").is_ok_and(|exe| exe != own)
            && (link("cwd").is_ok_and(inside) || open().any(|fd| fs::read_link(fd.path()).is_ok_and(inside)))
    };
    pids().filter(uses).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether a signal waits for a process that has not taken it yet.
pub fn has_pending(pid: i32, signal: nix::sys::signal::Signal) -> bool {
    let pending = status(pid, "ShdPnd").map_or(0, |text| u64::from_str_radix(&text, 16).unwrap());
    pending & (1 << (signal as u64 - 1)) != 0
}

/// How many pipes a process has: each counts with its two ends.
pub fn pipes(pid: i32) -> usize {
    pipe_descriptors(pid).len() / 2
}

/// Sets the soft limit on a resource, by its name for prlimit(1). Without `CAP_SYS_RESOURCE` the process must be of the same account.
pub fn limit(pid: i32, resource: &str, value: u64) {
    let arguments = [format!("--pid={pid}"), format!("--{resource}={value}:")];
    assert!(std::process::Command::new("prlimit").args(arguments).status().unwrap().success());
}

/// Lets a process open no descriptor with this number or a higher one.
pub fn limit_descriptors(pid: i32, number: u64) {
    limit(pid, "nofile", number);
}
