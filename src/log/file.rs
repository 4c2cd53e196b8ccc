//! Log files: opened for appending, and opened anew by their path after someone moved them away.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::error::{Level, Record, emit};

/// The owner's read and write bits, without which a worker could not open the file.
const OWNER_READ_WRITE: u32 = 0o600;

/// Opens a log file: append, made with mode 0644, close-on-exec (which std sets).
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o644).open(path)
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

/// Opens `path` anew. With `owner` (the master is root, workers are not) the file is given to that user and made readable and
/// writable to him, as nginx does, because the workers open it by its path too.
pub(super) fn reopen(path: &Path, owner: Option<u32>) -> Result<File, Failure> {
    let fail = |call| move |error| Failure { call, path: path.to_owned(), error };
    let file = open(path).map_err(fail("open()"))?;
    if let Some(owner) = owner {
        let metadata = file.metadata().map_err(fail("stat()"))?;
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
