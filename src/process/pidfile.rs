//! The file that holds the process id of the master.
//!
//! The master keeps a lock on it (fcntl(2), advisory record locking), by which `-s` knows that the id in it is still meant. The kernel tells
//! whose such a lock is, and takes it away when the process ends, however it ends; forked processes do not have it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::log::{Level, message};
use crate::safe_open;

use super::{Logged, failed};

/// The pid file of this process, locked.
pub struct PidFile {
    /// Where it is now: under the configured name, or with `.oldbin` behind it while a new binary runs.
    path: PathBuf,
    file: File,
}

/// Learns whether the file can be written, and leaves what it holds. Logs the failure.
pub fn check(path: &Path) -> Result<(), Logged> {
    open(path).map(drop)
}

fn open(path: &Path) -> Result<File, Logged> {
    let flags = OFlag::O_RDWR | OFlag::O_CREAT;
    let opened = safe_open::open(path, flags, Mode::from_bits_truncate(0o644)).and_then(|opened| {
        let kind = opened.file.metadata()?.file_type();
        // `pid /dev/null;` is a way to have none.
        match kind.is_file() || kind.is_char_device() {
            true => Ok(opened.file),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
        }
    });
    opened.map_err(|error| failed(Level::Emerg, &error, format_args!("open() {path:?} failed")))
}

impl PidFile {
    /// Writes this process's id. A file that another process holds a lock on is left to it, under no name, if that can be. Logs the failure.
    pub fn create(path: &Path) -> Result<Self, Logged> {
        let mut file = open(path)?;
        if let Ok(Some(holder)) = holder(&file, libc::F_WRLCK) {
            let what =
                format_args!("{path:?} is in use by process {holder}, which \"-s\" will not find there any more");
            message(Level::Warn, what);
            // Where that is forbidden the file is shared, and `-s` goes by the lock.
            if fs::remove_file(path).is_ok() {
                file = open(path)?;
            }
        }
        let written = file.set_len(0).or_else(|error| match error.raw_os_error() {
            // A device has no length.
            Some(libc::EINVAL) => Ok(()),
            _ => Err(error),
        });
        written
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|error| failed(Level::Emerg, &error, format_args!("write() {path:?} failed")))?;
        let file = PidFile { path: path.to_owned(), file };
        file.lock();
        Ok(file)
    }

    /// Takes the lock, or keeps it. A file system without locks costs only the certainty of `-s`.
    fn lock(&self) {
        let _ = fcntl(self.file.as_fd(), FcntlArg::F_SETLK(&whole_file(libc::F_WRLCK)));
    }

    /// [`check`] for a path that is to be moved to. Whatever this process closes of a locked file ends its lock, and both may be one file.
    pub fn check_other(&self, path: &Path) -> Result<(), Logged> {
        let checked = check(path);
        self.lock();
        checked
    }

    /// Writes this process's id to another file and removes this one. When that fails everything is as before, and logged.
    pub fn move_to(&mut self, path: &Path) {
        if let Ok(new) = PidFile::create(path) {
            if !is_at(&new.file, &self.path).unwrap_or(false) {
                self.remove();
            }
            drop(std::mem::replace(self, new));
        }
        self.lock();
    }

    /// Gives the file the name that nginx gives that of an old master while a new binary runs. A device keeps its own.
    pub fn move_aside(&mut self) -> Result<(), (PathBuf, io::Error)> {
        if !self.file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return Ok(());
        }
        let old = old(&self.path);
        fs::rename(&self.path, &old).map_err(|error| (old.clone(), error))?;
        self.path = old;
        Ok(())
    }

    /// Gives the file the name `path` back, in place of what a new binary has left there.
    pub fn move_back(&mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.path = path.to_owned();
        Ok(())
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, unless another has taken its place.
    pub fn remove(&self) {
        let removed =
            is_at(&self.file, &self.path).and_then(|own| if own { fs::remove_file(&self.path) } else { Ok(()) });
        if let Err(error) = removed {
            failed(Level::Alert, &error, format_args!("unlink() {:?} failed", self.path));
        }
    }
}

/// Whether this regular file is at `path`.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (own, there) = (file.metadata()?, fs::metadata(path)?);
    Ok(own.is_file() && (own.dev(), own.ino()) == (there.dev(), there.ino()))
}

/// Where the old master keeps its id while a new binary runs: nginx's name for it.
pub fn old(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".oldbin");
    name.into()
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// The other process whose lock is in the way of one of `kind`. The error is that of a file system without locks. A process of another
/// pid namespace shows as 0.
pub(super) fn holder(file: &File, kind: libc::c_int) -> nix::Result<Option<Pid>> {
    let mut lock = whole_file(kind);
    fcntl(file.as_fd(), FcntlArg::F_GETLK(&mut lock))?;
    Ok((libc::c_int::from(lock.l_type) != libc::F_UNLCK).then(|| Pid::from_raw(lock.l_pid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_keeps_and_create_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        fs::write(&path, "1234567890123").unwrap();
        assert!(check(&path).is_ok());
        assert_eq!(fs::read_to_string(&path).unwrap(), "1234567890123");
        let file = PidFile::create(&path).ok().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        file.remove();
        assert!(!path.exists());
        assert_eq!(old(Path::new("/run/nginx.pid")), Path::new("/run/nginx.pid.oldbin"));
    }

    #[test]
    fn only_its_own_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let file = PidFile::create(&path).ok().unwrap();
        fs::rename(&path, folder.path().join("other")).unwrap();
        fs::write(&path, "1\n").unwrap();
        file.remove();
        assert!(path.exists());
        let mut none = PidFile::create(Path::new("/dev/null")).ok().unwrap();
        assert!(none.move_aside().is_ok() && none.move_back(Path::new("/dev/null")).is_ok());
        none.remove();
        assert!(Path::new("/dev/null").exists());
    }

    #[test]
    fn a_file_may_move_to_another_name_of_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let mut file = PidFile::create(&one).ok().unwrap();
        std::os::unix::fs::symlink("one", &other).unwrap();
        file.move_to(&other);
        assert_eq!(fs::read_to_string(&other).unwrap(), format!("{}\n", std::process::id()));
        let third = folder.path().join("third");
        file.move_to(&third);
        assert!(third.exists() && file.path() == third);
    }

    #[test]
    fn what_is_no_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        assert!(check(&fifo).is_err());
        assert!(check(folder.path()).is_err());
    }
}
