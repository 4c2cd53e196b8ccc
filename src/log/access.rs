//! Access logs: files shared by all servers that name the same path, written a line at a time or buffered.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::clock;
use super::error::{Level, Record, emit};
use super::file;

/// Seconds between two complaints about one file (nginx's own interval).
const COMPLAINT_INTERVAL: i64 = 60;

/// One file cannot have two buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

impl Conflict {
    /// nginx's words, with the path as the directive has it.
    pub fn message(self, path: &str) -> String {
        format!("access_log \"{path}\" already defined with conflicting parameters")
    }
}

/// A file of an [`AccessLogs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(pub usize);

/// All access log files of a configuration. Opened by the master before workers are forked (so that files are made by
/// root, as nginx does), written by each worker.
#[derive(Default)]
pub struct AccessLogs {
    files: Vec<AccessLog>,
}

impl AccessLogs {
    /// Names a file during configuration; the same path gives the same id. `buffer` is the size after which lines are
    /// written (0: each at once). Different buffers for one path: the error is nginx's
    /// `access_log "path" already defined with conflicting parameters`.
    pub fn add(&mut self, path: &Path, buffer: usize) -> Result<LogId, Conflict> {
        if let Some(id) = self.files.iter().position(|log| log.path == path) {
            if self.files[id].size != buffer {
                return Err(Conflict);
            }
            return Ok(LogId(id));
        }
        self.files.push(AccessLog {
            path: path.to_owned(),
            file: None,
            size: buffer,
            buffer: Vec::new(),
            complained: None,
        });
        Ok(LogId(self.files.len() - 1))
    }

    /// Opens every file (append, 0644, `O_CLOEXEC`).
    pub fn open(&mut self) -> Result<(), (PathBuf, io::Error)> {
        for log in &mut self.files {
            log.file = Some(file::open(&log.path).map_err(|error| (log.path.clone(), error))?);
        }
        Ok(())
    }

    /// Adds a line (its `\n` included). A write that fails is logged (`[alert] write() to "path" failed`), at most once a minute a file,
    /// and the line is lost; a buffer that was to be written is dropped with it, so memory stays bounded.
    pub fn write(&mut self, id: LogId, line: &[u8]) {
        self.files[id.0].add(line);
    }

    /// Writes what is buffered.
    pub fn flush(&mut self) {
        self.files.iter_mut().for_each(AccessLog::flush);
    }

    /// Flushes, then opens every file anew by its path (USR1); a file that cannot be opened stays open as it was, with an `[emerg]` line.
    /// `owner` as in [`super::error::reopen`].
    pub fn reopen(&mut self, owner: Option<u32>) {
        for log in &mut self.files {
            log.flush();
            match file::reopen(&log.path, owner) {
                Ok(file) => log.file = Some(file),
                Err(failure) => failure.report(),
            }
        }
    }
}

/// One file.
struct AccessLog {
    path: PathBuf,
    file: Option<File>,
    /// The size of `buffer` when full; 0: lines are written at once.
    size: usize,
    buffer: Vec<u8>,
    /// When a write last failed and was logged, in seconds since 1970.
    complained: Option<i64>,
}

impl AccessLog {
    fn add(&mut self, line: &[u8]) {
        if self.buffer.len() + line.len() > self.size {
            self.flush();
        }
        if line.len() > self.size {
            self.put(line);
            return;
        }
        self.buffer.extend_from_slice(line);
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        self.put(&buffer);
        buffer.clear();
        self.buffer = buffer;
    }

    /// One `write(2)`. What it leaves is lost: a second try would tear lines that other workers write meanwhile.
    fn put(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        let written = file.write(bytes);
        if matches!(written, Ok(n) if n == bytes.len()) {
            return;
        }
        let now = clock::unix_seconds();
        if self.complained.is_some_and(|last| now - last < COMPLAINT_INTERVAL) {
            return;
        }
        self.complained = Some(now);
        let path = self.path.display();
        match written {
            Ok(n) => emit(
                &Record::new(Level::Alert),
                format_args!("write() to \"{path}\" was incomplete: {n} of {}", bytes.len()),
            ),
            Err(error) => emit(
                &Record { error: Some(&error), ..Record::new(Level::Alert) },
                format_args!("write() to \"{path}\" failed"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn one(path: &Path, buffer: usize) -> (AccessLogs, LogId) {
        let mut logs = AccessLogs::default();
        let id = logs.add(path, buffer).unwrap();
        logs.open().unwrap();
        (logs, id)
    }

    #[test]
    fn one_path_is_one_file() {
        let mut logs = AccessLogs::default();
        let a = logs.add(Path::new("/a"), 0).unwrap();
        let b = logs.add(Path::new("/b"), 4096).unwrap();
        assert_ne!(a, b);
        assert_eq!(logs.add(Path::new("/b"), 4096), Ok(b));
        assert_eq!(logs.add(Path::new("/b"), 0), Err(Conflict));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let mut logs = AccessLogs::default();
        logs.add(Path::new("/nonexistent/access.log"), 0).unwrap();
        let (path, error) = logs.open().unwrap_err();
        assert_eq!((path.to_str().unwrap(), error.raw_os_error()), ("/nonexistent/access.log", Some(libc::ENOENT)));
    }

    #[test]
    fn without_buffer_lines_are_written_at_once_and_appended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "old\n").unwrap();
        let (mut logs, id) = one(&path, 0);
        logs.write(id, b"new\n");
        assert_eq!(fs::read(&path).unwrap(), b"old\nnew\n");
    }

    #[test]
    fn buffered_lines_wait_until_the_next_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut logs, id) = one(&path, 8);
        logs.write(id, b"abc\n");
        logs.write(id, b"def\n");
        assert_eq!(fs::read(&path).unwrap(), b"");
        logs.write(id, b"g\n");
        assert_eq!(fs::read(&path).unwrap(), b"abc\ndef\n");
        logs.write(id, b"larger than it\n");
        assert_eq!(fs::read(&path).unwrap(), b"abc\ndef\ng\nlarger than it\n");
        logs.write(id, b"end\n");
        logs.flush();
        logs.flush();
        assert_eq!(fs::read(&path).unwrap(), b"abc\ndef\ng\nlarger than it\nend\n");
        assert_eq!(logs.files[0].buffer.capacity(), 8);
    }

    #[test]
    fn a_full_disk_loses_lines_and_complains_once_a_minute() {
        let (mut logs, id) = one(Path::new("/dev/full"), 8);
        for _ in 0..100 {
            logs.write(id, b"1234567\n");
        }
        let log = &mut logs.files[0];
        assert!(log.buffer.len() <= 8);
        let earlier = log.complained.unwrap() - 59;
        log.complained = Some(earlier);
        log.flush();
        assert_eq!(log.complained, Some(earlier));
        log.complained = Some(earlier - 1);
        log.add(b"1234567\n");
        log.flush();
        assert!(log.complained.unwrap() > earlier);
    }

    #[test]
    fn reopening_writes_the_rest_to_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
        let (mut logs, id) = one(&path, 100);
        logs.write(id, b"one\n");
        fs::rename(&path, &moved).unwrap();
        logs.reopen(None);
        logs.write(id, b"two\n");
        logs.flush();
        assert_eq!(fs::read(&moved).unwrap(), b"one\n");
        assert_eq!(fs::read(&path).unwrap(), b"two\n");
    }

    #[test]
    fn a_file_that_cannot_be_reopened_stays_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
        let (mut logs, id) = one(&path, 0);
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        logs.reopen(None);
        logs.write(id, b"still here\n");
        assert_eq!(fs::read(&moved).unwrap(), b"still here\n");
    }
}
