//! Nothing stays behind: processes and files of a run go when it ends, and when it is interrupted.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::{fs, process, thread};

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::Result;

/// The process groups that run now; each contender is one.
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Makes the folder of this run, and from now on clears up at a signal. To be called before any other thread is started.
pub fn folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("weir-bench-").tempdir()?;
    FOLDER.get_or_init(|| folder.path().to_path_buf());
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGHUP);
    signals.thread_block()?;
    thread::spawn(move || {
        let signal = signals.wait().unwrap_or(Signal::SIGTERM);
        for &group in GROUPS.lock().unwrap().iter() {
            let _ = killpg(Pid::from_raw(group as i32), Signal::SIGKILL);
        }
        if let Some(folder) = FOLDER.get() {
            let _ = fs::remove_dir_all(folder);
        }
        process::exit(128 + signal as i32);
    });
    Ok(folder)
}

pub fn started(group: u32) {
    GROUPS.lock().unwrap().push(group);
}

/// Ends a group at once; what it still had to do is of no interest.
pub fn end(group: u32) {
    let _ = killpg(Pid::from_raw(group as i32), Signal::SIGKILL);
    GROUPS.lock().unwrap().retain(|&other| other != group);
}
