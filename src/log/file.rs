//! Log files: opened for appending, and opened anew by their path after someone moved them away.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::error::{Level, Record, emit};
use crate::safe_open::{self, Opened};

/// The owner's read and write bits, without which a worker could not open the file.
const OWNER_READ_WRITE: u32 = 0o600;

/// Opens a log file: append, made with mode 0644, close-on-exec; not through links that others planted ([`safe_open`]).
pub(super) fn open(path: &Path) -> io::Result<File> {
    open_at(path).map(|opened| opened.file)
}

fn open_at(path: &Path) -> io::Result<Opened> {
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT;
    safe_open::open(path, flags, Mode::from_bits_truncate(0o644))
}

/// A file that could not be opened anew.
pub(super) struct Failure {
    /// The call that failed, as nginx names it: `open()`.
    pub(super) call: &'static str,
    /// Which file.
    pub(super) path: PathBuf,
    /// Why.
    pub(super) error: io::Error,
}

impl Failure {
    /// The line nginx writes about it.
    pub(super) fn report(&self) {
        let record = Record { error: Some(&self.error), ..Record::new(Level::Emerg) };
        emit(&record, format_args!("{} \"{}\" failed", self.call, self.path.display()));
    }
}

/// Opens `path`, which was `before`, anew. With `owner` (the master is root, workers are not) the file is given to that user and made
/// readable and writable to him, as nginx does, because the workers open it by its path too; a file that may be none of our logs is not.
pub(super) fn reopen(path: &Path, before: Option<&File>, owner: Option<u32>) -> Result<File, Failure> {
    let fail = |call| move |error| Failure { call, path: path.to_owned(), error };
    let Opened { file, shared } = open_at(path).map_err(fail("open()"))?;
    let Some(owner) = owner else { return Ok(file) };
    let metadata = file.metadata().map_err(fail("stat()"))?;
    // Pipes, terminals and the like are not the log's own. In a folder that others can write to, somebody may have moved a file of root's to
    // the log's place to have it given to him; a log there is new and empty, or the one that was open before.
    let is_log = !shared || metadata.len() == 0 || before.is_some_and(|before| is_same(before, &metadata));
    if metadata.is_file() && is_log {
        if metadata.uid() != owner {
            fchown(&file, Some(owner), None).map_err(fail("chown()"))?;
        }
        let mode = metadata.mode();
        if mode & OWNER_READ_WRITE != OWNER_READ_WRITE {
            file.set_permissions(Permissions::from_mode(mode | OWNER_READ_WRITE)).map_err(fail("chmod()"))?;
        }
    }
    Ok(file)
}

fn is_same(file: &File, other: &Metadata) -> bool {
    file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (other.dev(), other.ino()))
}
