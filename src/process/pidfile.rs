//! The file that holds the process id of the master.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::log::{Level, message};

use super::{Logged, failed};

/// More than the longest number and a line's end; nginx reads no more either.
const LONGEST: u64 = 22;

fn open(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(truncate).mode(0o644).open(path)
}

/// Learns whether the file can be written, and leaves what it holds. Logs the failure.
pub fn check(path: &Path) -> Result<(), Logged> {
    open(path, false).map(drop).map_err(|error| failed(Level::Emerg, &error, format_args!("open() {path:?} failed")))
}

/// Writes this process's id. Logs the failure.
pub fn write(path: &Path) -> Result<(), Logged> {
    let mut file =
        open(path, true).map_err(|error| failed(Level::Emerg, &error, format_args!("open() {path:?} failed")))?;
    writeln!(file, "{}", std::process::id())
        .map_err(|error| failed(Level::Emerg, &error, format_args!("write() {path:?} failed")))
}

/// Removes the file.
pub fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        failed(Level::Alert, &error, format_args!("unlink() {path:?} failed"));
    }
}

/// Where the old master keeps its id while a new binary runs: nginx's name for it.
pub fn old(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".oldbin");
    name.into()
}

/// Whether the file holds this id.
pub fn names(path: &Path, pid: Pid) -> bool {
    std::fs::read(path).is_ok_and(|text| parse(&text) == Some(pid))
}

/// `-s`: sends `order` to the process whose id the file holds. Logs the failure.
pub fn signal(path: &Path, order: Signal) -> Result<(), Logged> {
    let mut text = Vec::new();
    File::open(path)
        .map_err(|error| failed(Level::Error, &error, format_args!("open() {path:?} failed")))?
        .take(LONGEST)
        .read_to_end(&mut text)
        .map_err(|error| failed(Level::Error, &error, format_args!("read() {path:?} failed")))?;
    let Some(pid) = parse(&text) else {
        let text = String::from_utf8_lossy(trim(&text));
        message(Level::Error, format_args!("invalid PID number \"{text}\" in {path:?}"));
        return Err(Logged);
    };
    signal::kill(pid, order).map_err(|errno: Errno| {
        failed(Level::Alert, &errno.into(), format_args!("kill({pid}, {}) failed", order as i32))
    })
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
    fn check_keeps_and_write_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        std::fs::write(&path, "1234567890123").unwrap();
        assert!(check(&path).is_ok());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1234567890123");
        assert!(write(&path).is_ok());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(old(Path::new("/run/nginx.pid")), Path::new("/run/nginx.pid.oldbin"));
    }
}
