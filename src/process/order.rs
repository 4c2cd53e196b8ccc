//! `-s`: a signal to the master that a pid file names, and to nobody else. The file may be stale, and its number that of another process by now.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{self, Signal};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::log::{Level, message};
use crate::safe_open;

use super::{Logged, failed, pidfile};

/// More than the longest number and a line's end; nginx reads no more either.
const LONGEST: u64 = 22;

/// Sends `order` to the master whose id the file at `path` holds. Logs the failure.
pub fn send(path: &Path, order: Signal) -> Result<(), Logged> {
    let file = safe_open::open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty())
        .map_err(|error| failed(Level::Error, &error, format_args!("open() {path:?} failed")))?
        .file;
    let mut text = Vec::new();
    (&file)
        .take(LONGEST)
        .read_to_end(&mut text)
        .map_err(|error| failed(Level::Error, &error, format_args!("read() {path:?} failed")))?;
    let Some(pid) = parse(&text) else {
        let text = String::from_utf8_lossy(trim(&text));
        message(Level::Error, format_args!("invalid PID number \"{text}\" in {path:?}"));
        return Err(Logged);
    };
    let fault =
        |errno: Errno| failed(Level::Alert, &errno.into(), format_args!("kill({pid}, {}) failed", order as i32));
    let process = Process::find(pid).map_err(fault)?;
    if let Err(reason) = judge(&file, pid) {
        message(Level::Error, format_args!("no signal is sent to process {pid}, which {path:?} names: {reason}"));
        return Err(Logged);
    }
    process.signal(order).map_err(fault)
}

/// Whether the pid file at `path` holds this id.
pub fn names(path: &Path, pid: Pid) -> bool {
    let opened = safe_open::open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty());
    let mut text = Vec::new();
    let read = opened.and_then(|opened| opened.file.take(LONGEST).read_to_end(&mut text));
    read.is_ok() && parse(&text) == Some(pid)
}

fn trim(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    &text[..end]
}

/// A process id: digits, then line ends. Zero, which would mean the caller's own process group to kill(2), is refused.
fn parse(text: &[u8]) -> Option<Pid> {
    let digits = trim(text);
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number > 0).then(|| Pid::from_raw(number))
}

/// Whether `pid` is the master that wrote `file`; else why not. A weir holds the lock of its file. nginx knows no lock, so its master is known
/// by its title, and so is weir's where files cannot be locked.
fn judge(file: &File, pid: Pid) -> Result<(), String> {
    let holder = pidfile::holder(file, libc::F_RDLCK);
    match holder {
        Ok(Some(holder)) if holder == pid => return Ok(()),
        Ok(Some(holder)) if holder.as_raw() == 0 => {
            return Err("the file belongs to a process that cannot be seen from here, in a container say".into());
        }
        Ok(Some(holder)) => return Err(format!("the file belongs to process {holder}")),
        Ok(None) | Err(_) => {}
    }
    let of_process = |name: &str| fs::read(format!("/proc/{pid}/{name}"));
    let (title, name) = match (of_process("cmdline"), of_process("comm")) {
        (Ok(title), Ok(name)) => (title, name),
        (Err(error), _) | (_, Err(error)) => return Err(format!("it cannot be told what it is: {error}")),
    };
    match known(&title, &name) {
        Some(Program::Nginx) => Ok(()),
        Some(Program::Weir) if holder.is_err() => Ok(()),
        Some(Program::Weir) => Err("it is a weir with another pid file".into()),
        None => Err("it is neither weir nor nginx".into()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Program {
    Weir,
    Nginx,
}

/// What a process with this title and name is, of those that have pid files.
fn known(title: &[u8], name: &[u8]) -> Option<Program> {
    // weir may be installed under nginx's name.
    if title.starts_with(b"weir: ") {
        return title.starts_with(b"weir: master process").then_some(Program::Weir);
    }
    // Without a master, nginx has no title of its own.
    let nginx = match title.starts_with(b"nginx: ") {
        true => title.starts_with(b"nginx: master process"),
        false => name.trim_ascii_end() == b"nginx",
    };
    nginx.then_some(Program::Nginx)
}

/// A process that is meant however its id may be used again; only its id where the kernel has no such handle (before 5.3) or forbids it.
struct Process {
    pid: Pid,
    handle: Option<OwnedFd>,
}

impl Process {
    fn find(pid: Pid) -> nix::Result<Self> {
        // SAFETY: a call with plain numbers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        match Errno::result(fd) {
            // SAFETY: the kernel just gave this descriptor, which nobody else has.
            Ok(fd) => Ok(Process { pid, handle: Some(unsafe { OwnedFd::from_raw_fd(fd as i32) }) }),
            // The last two: it is the number of a thread, in older kernels and in newer ones.
            Err(Errno::ESRCH | Errno::EINVAL | Errno::ENOENT) => Err(Errno::ESRCH),
            Err(_) => Ok(Process { pid, handle: None }),
        }
    }

    fn signal(&self, order: Signal) -> nix::Result<()> {
        let Some(handle) = &self.handle else { return signal::kill(self.pid, order) };
        let nothing = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open, and without siginfo the kernel reads no memory.
        let done =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), order as libc::c_int, nothing, 0) };
        Errno::result(done).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positive_numbers_are_process_ids() {
        assert_eq!(parse(b"123\n"), Some(Pid::from_raw(123)));
        assert_eq!(parse(b"123\r\n"), Some(Pid::from_raw(123)));
        assert_eq!(parse(b"123"), Some(Pid::from_raw(123)));
        for text in ["", "\n", "0", "-1", "+1", "abc", "12 13", "99999999999", " 5", "5\n6"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn masters_are_known_by_title_or_name() {
        assert_eq!(known(b"weir: master process /usr/sbin/weir\0", b"weir\n"), Some(Program::Weir));
        assert_eq!(known(b"weir: master process /usr/sbin/nginx\0", b"nginx\n"), Some(Program::Weir));
        assert_eq!(known(b"weir: worker process\0", b"nginx\n"), None);
        assert_eq!(known(b"nginx: master process nginx -g daemon off;\0", b"nginx\n"), Some(Program::Nginx));
        assert_eq!(known(b"nginx: master process /opt/tengine\0", b"tengine\n"), Some(Program::Nginx));
        assert_eq!(known(b"nginx: worker process\0", b"nginx\n"), None);
        assert_eq!(known(b"/usr/sbin/nginx\0-c\0x\0", b"nginx\n"), Some(Program::Nginx));
        for (title, name) in [("sshd: root", "sshd"), ("", "kworker/0:1"), ("vi\0nginx: master process", "vi")] {
            assert_eq!(known(title.as_bytes(), name.as_bytes()), None);
        }
    }

    #[test]
    fn a_process_that_is_gone_is_not_found() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        child.wait().unwrap();
        assert_eq!(Process::find(pid).err(), Some(Errno::ESRCH));
    }
}
