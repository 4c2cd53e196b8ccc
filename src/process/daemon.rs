//! Leaving the terminal, and what the standard streams are then.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid};

use crate::log;
use crate::log::error::{Sink, Target};

/// The way to tell the process that was called that the daemon is up. Dropped untold, it means failure.
pub struct Caller(OwnedFd);

impl Caller {
    /// The daemon is up: the process that was called ends with code 0.
    pub fn tell(self) {
        // A caller that was killed meanwhile does not need to know.
        let _ = File::from(self.0).write_all(b"\n");
    }
}

/// Goes on in a child of its own session; its stdin and stdout are `/dev/null`. The process that was called stays until
/// [`Caller::tell`], and ends with code 1 if the daemon ends before, so that a caller learns of late failures and finds a
/// pid file when it is told of success.
pub fn detach() -> io::Result<Caller> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: weir has one thread, so the child may go on as a whole program.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => {
            drop(write);
            let mut word = [0];
            let up = File::from(read).read(&mut word).is_ok_and(|n| n == 1);
            std::process::exit(if up { 0 } else { 1 });
        }
        ForkResult::Child => drop(read),
    }
    setsid()?;
    umask(Mode::empty());
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    Ok(Caller(write))
}

/// Puts stderr onto the error log, so that what libraries and panics write there is found, unless the log is stderr itself.
pub fn redirect_stderr(sinks: &[Sink]) -> io::Result<()> {
    if sinks.iter().any(|sink| sink.target == Target::Stderr) {
        return Ok(());
    }
    match log::error::first_file() {
        Some(file) => Ok(dup2_stderr(file)?),
        None => Ok(()),
    }
}

/// Whether a terminal controls this process: it sends WINCH whenever its window changes, which must not retire workers.
pub fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}
