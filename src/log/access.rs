//! Access logs: files shared by all servers that name the same path, written a line at a time or buffered.

use std::io;
use std::path::{Path, PathBuf};

/// A file of an [`AccessLogs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(pub usize);

/// All access log files of a configuration. Opened by the master before workers are forked (so that files are made by
/// root, as nginx does), written by each worker.
#[derive(Default)]
pub struct AccessLogs {}

impl AccessLogs {
    /// Names a file during configuration; the same path gives the same id. `buffer` is the size after which lines are
    /// written (0: each at once). Different buffers for one path: the error is nginx's
    /// `access_log "path" already defined with conflicting parameters`.
    pub fn add(&mut self, _path: &Path, _buffer: usize) -> Result<LogId, String> {
        todo!()
    }

    /// Opens every file (append, 0644, `O_CLOEXEC`).
    pub fn open(&mut self) -> Result<(), (PathBuf, io::Error)> {
        todo!()
    }

    /// Adds a line (its `\n` included). A write that fails is logged (`[alert] write() to "path" failed`), at most once a minute a file
    /// (nginx: `disk_full_time`), and the line is lost; a buffer that was to be written is dropped with it, so memory stays bounded.
    pub fn write(&mut self, _id: LogId, _line: &[u8]) {
        todo!()
    }

    /// Writes what is buffered.
    pub fn flush(&mut self) {
        todo!()
    }

    /// Flushes, then opens every file anew by its path (USR1); a file that cannot be opened stays open as it was, with an `[emerg]` line.
    /// `owner` as in [`super::error::reopen`].
    pub fn reopen(&mut self, _owner: Option<u32>) {
        todo!()
    }
}
