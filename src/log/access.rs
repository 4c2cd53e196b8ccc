//! Access logs: files shared by all servers that name the same path, written a line at a time or buffered, and syslog servers.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::error::{Level, Record, emit};
use super::file;
use super::syslog::{Sender, Target};

/// The time between two complaints about one log (nginx's own interval), whatever is done to the clock of the day meanwhile.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// One file cannot have two buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

impl Conflict {
    /// nginx's words, with the path as the directive has it.
    pub fn message(self, path: &str) -> String {
        format!("access_log \"{path}\" already defined with conflicting parameters")
    }
}

/// A log of an [`AccessLogs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogId(pub usize);

/// `buffer=`, `flush=` and `gzip=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffering {
    /// Bytes after which lines are written.
    pub size: usize,
    /// How long a line waits at most; `None`: until the buffer is full.
    pub flush: Option<Duration>,
    /// `gzip=`: what is written together is compressed as one member of a gzip file, from 1 to 9.
    pub gzip: Option<u32>,
}

/// All access logs of a configuration. Files are opened by the master before workers are forked (so that they are made by
/// root, as nginx does), and written by each worker.
#[derive(Default)]
pub struct AccessLogs {
    logs: Vec<AccessLog>,
}

impl AccessLogs {
    /// Names a file during configuration; the same path gives the same id, and whoever names it without `buffering` shares
    /// that of the others.
    ///
    /// # Errors
    /// Different buffers for one path.
    pub fn add_file(&mut self, path: &Path, buffering: Option<Buffering>) -> Result<LogId, Conflict> {
        let known =
            self.logs.iter().position(|log| matches!(&log.output, Output::File { path: named, .. } if named == path));
        let Some(known) = known else {
            return Ok(self.push(Output::File { path: path.to_owned(), file: None }, buffering));
        };
        let log = &mut self.logs[known];
        match (log.buffering, buffering) {
            (Some(one), Some(other)) if one != other => return Err(Conflict),
            (known, said) => log.buffering = known.or(said),
        }
        Ok(LogId(known))
    }

    /// Names a syslog server during configuration.
    pub fn add_syslog(&mut self, target: &Target) -> LogId {
        let known =
            self.logs.iter().position(|log| matches!(&log.output, Output::Syslog(known) if known.target() == target));
        match known {
            Some(known) => LogId(known),
            None => self.push(Output::Syslog(Sender::new(target)), None),
        }
    }

    fn push(&mut self, output: Output, buffering: Option<Buffering>) -> LogId {
        self.logs.push(AccessLog { output, buffering, buffer: Vec::new(), due: None, complained: None });
        LogId(self.logs.len() - 1)
    }

    /// Opens every file (append, 0644, `O_CLOEXEC`).
    pub fn open(&mut self) -> Result<(), (PathBuf, io::Error)> {
        for log in &mut self.logs {
            if let Output::File { path, file } = &mut log.output {
                *file = Some(file::open(path).map_err(|error| (path.clone(), error))?);
            }
        }
        Ok(())
    }

    /// Adds a line (its `\n` included; syslog servers get it without). A write that fails is logged (`[alert] write() to "path"
    /// failed`), at most once a minute a log, and the line is lost; a buffer that was to be written is dropped with it, so memory
    /// stays bounded. When the line is the first of a buffer with `flush=`, returns when that is to be written by [`AccessLogs::flush_due`].
    pub fn write(&mut self, id: LogId, line: &[u8], now: Instant) -> Option<Instant> {
        self.logs[id.0].add(line, now)
    }

    /// Writes the buffers whose time has come, and returns when the next one's does.
    pub fn flush_due(&mut self, now: Instant) -> Option<Instant> {
        for log in &mut self.logs {
            if log.due.is_some_and(|due| due <= now) {
                log.flush();
            }
        }
        self.logs.iter().filter_map(|log| log.due).min()
    }

    /// Writes what is buffered.
    pub fn flush(&mut self) {
        self.logs.iter_mut().for_each(AccessLog::flush);
    }

    /// Writes what is buffered and from now on each line at once: few will come, and far apart.
    pub fn unbuffer(&mut self) {
        for log in &mut self.logs {
            log.flush();
            log.buffering = log.buffering.map(|buffering| Buffering { size: 0, flush: None, ..buffering });
        }
    }

    /// Flushes, then opens every file anew by its path (USR1); a file that cannot be opened stays open as it was, with an `[emerg]` line.
    /// `owner` as in [`super::error::reopen`].
    pub fn reopen(&mut self, owner: Option<u32>) {
        for log in &mut self.logs {
            log.flush();
            if let Output::File { path, file } = &mut log.output {
                match file::reopen(path, file.as_ref(), owner) {
                    Ok(new) => *file = Some(new),
                    Err(failure) => failure.report(),
                }
            }
        }
    }
}

/// Writes a line to a file that is opened for it, as for paths with variables; made with mode 0644 by whoever calls.
///
/// # Errors
/// The call that failed, as nginx names it, and why.
pub fn append(path: &Path, line: &[u8]) -> Result<(), (&'static str, io::Error)> {
    let mut file = file::open(path).map_err(|error| ("open()", error))?;
    file.write(line).map(drop).map_err(|error| ("write() to", error))
}

/// Where lines end up.
enum Output {
    File { path: PathBuf, file: Option<File> },
    Syslog(Sender),
}

/// One file or syslog server.
struct AccessLog {
    output: Output,
    /// `None`: lines are written at once.
    buffering: Option<Buffering>,
    buffer: Vec<u8>,
    /// When the buffer is to be written; `None` while it is empty or may wait for ever.
    due: Option<Instant>,
    /// When a write last failed and was logged.
    complained: Option<Instant>,
}

impl AccessLog {
    fn add(&mut self, line: &[u8], now: Instant) -> Option<Instant> {
        let Buffering { size, flush, .. } = self.buffering.unwrap_or(Buffering { size: 0, flush: None, gzip: None });
        if self.buffer.len() + line.len() > size {
            self.flush();
        }
        if line.len() > size {
            self.put(line);
            return None;
        }
        let first = self.buffer.is_empty();
        self.buffer.extend_from_slice(line);
        if first {
            self.due = flush.map(|flush| now + flush);
        }
        self.due.filter(|_| first)
    }

    fn flush(&mut self) {
        self.due = None;
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
        let member;
        let bytes = match self.buffering.and_then(|buffering| buffering.gzip) {
            Some(level) => {
                member = compress(bytes, level);
                &member
            }
            None => bytes,
        };
        match &mut self.output {
            Output::File { path, file: Some(file) } => match file.write(bytes) {
                Ok(count) if count == bytes.len() => {}
                Ok(count) => {
                    let path = path.display();
                    let message = format_args!("write() to \"{path}\" was incomplete: {count} of {}", bytes.len());
                    complain(&mut self.complained, Level::Alert, None, message);
                }
                Err(error) => {
                    let message = format_args!("write() to \"{}\" failed", path.display());
                    complain(&mut self.complained, Level::Alert, Some(&error), message);
                }
            },
            Output::File { file: None, .. } => {}
            Output::Syslog(sender) => {
                if let Err(error) = sender.send(bytes.strip_suffix(b"\n").unwrap_or(bytes)) {
                    let message = format_args!("send() to syslog server {} failed", sender.target());
                    complain(&mut self.complained, Level::Warn, Some(&error), message);
                }
            }
        }
    }
}

/// A member of a gzip file.
fn compress(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    // Memory takes all there is.
    encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
}

/// Tells of lost lines, not too often.
fn complain(last: &mut Option<Instant>, level: Level, error: Option<&io::Error>, message: std::fmt::Arguments<'_>) {
    let now = Instant::now();
    if last.is_some_and(|last| now - last < COMPLAINT_INTERVAL) {
        return;
    }
    *last = Some(now);
    emit(&Record { error, ..Record::new(level) }, message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn buffer(size: usize) -> Option<Buffering> {
        Some(Buffering { size, flush: None, gzip: None })
    }

    fn one(path: &Path, buffering: Option<Buffering>) -> (AccessLogs, LogId) {
        let mut logs = AccessLogs::default();
        let id = logs.add_file(path, buffering).unwrap();
        logs.open().unwrap();
        (logs, id)
    }

    #[test]
    fn one_path_is_one_file() {
        let mut logs = AccessLogs::default();
        let a = logs.add_file(Path::new("/a"), None).unwrap();
        let b = logs.add_file(Path::new("/b"), buffer(4096)).unwrap();
        assert_ne!(a, b);
        assert_eq!(logs.add_file(Path::new("/b"), buffer(4096)), Ok(b));
        assert_eq!(logs.add_file(Path::new("/b"), None), Ok(b));
        assert_eq!(logs.add_file(Path::new("/b"), buffer(1)), Err(Conflict));
        assert_eq!(logs.add_file(Path::new("/a"), buffer(1)), Ok(a));
        let flushed = Some(Buffering { size: 1, flush: Some(Duration::from_secs(1)), gzip: None });
        assert_eq!(logs.add_file(Path::new("/a"), flushed), Err(Conflict));
    }

    #[test]
    fn the_first_line_of_a_buffer_sets_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let second = Duration::from_secs(1);
        let (mut logs, id) = one(&path, Some(Buffering { size: 8, flush: Some(second), gzip: None }));
        let now = Instant::now();
        assert_eq!(logs.write(id, b"abc\n", now), Some(now + second));
        assert_eq!(logs.write(id, b"def\n", now + second / 2), None);
        assert_eq!(logs.flush_due(now + second / 2), Some(now + second));
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(logs.flush_due(now + second), None);
        assert_eq!(fs::read(&path).unwrap(), b"abc\ndef\n");
        assert_eq!(logs.write(id, b"longer than that\n", now), None);
        let later = now + 5 * second;
        assert_eq!(logs.write(id, b"full up\n", later), Some(later + second));
        assert_eq!(
            logs.write(id, b"next\n", later + second / 2),
            Some(later + second * 3 / 2),
            "a new buffer, a new time"
        );
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let mut logs = AccessLogs::default();
        logs.add_file(Path::new("/nonexistent/access.log"), None).unwrap();
        let (path, error) = logs.open().unwrap_err();
        assert_eq!((path.to_str().unwrap(), error.raw_os_error()), ("/nonexistent/access.log", Some(libc::ENOENT)));
    }

    #[test]
    fn without_buffer_lines_are_written_at_once_and_appended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "old\n").unwrap();
        let (mut logs, id) = one(&path, None);
        logs.write(id, b"new\n", Instant::now());
        assert_eq!(fs::read(&path).unwrap(), b"old\nnew\n");
    }

    #[test]
    fn buffered_lines_wait_until_the_next_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut logs, id) = one(&path, buffer(8));
        logs.write(id, b"abc\n", Instant::now());
        logs.write(id, b"def\n", Instant::now());
        assert_eq!(fs::read(&path).unwrap(), b"");
        logs.write(id, b"g\n", Instant::now());
        assert_eq!(fs::read(&path).unwrap(), b"abc\ndef\n");
        logs.write(id, b"larger than it\n", Instant::now());
        assert_eq!(fs::read(&path).unwrap(), b"abc\ndef\ng\nlarger than it\n");
        logs.write(id, b"end\n", Instant::now());
        logs.flush();
        logs.flush();
        assert_eq!(fs::read(&path).unwrap(), b"abc\ndef\ng\nlarger than it\nend\n");
        assert_eq!(logs.logs[0].buffer.capacity(), 8);
    }

    #[test]
    fn what_is_written_together_is_compressed_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (mut logs, id) = one(&path, Some(Buffering { size: 8, flush: None, gzip: Some(1) }));
        for line in [&b"abc\n"[..], b"def\n", b"longer than that\n"] {
            logs.write(id, line, Instant::now());
        }
        logs.unbuffer();
        logs.write(id, b"last\n", Instant::now());
        let mut text = String::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(fs::File::open(&path).unwrap());
        io::Read::read_to_string(&mut decoder, &mut text).unwrap();
        assert_eq!(text, "abc\ndef\nlonger than that\nlast\n");
    }

    #[test]
    fn a_full_disk_loses_lines_and_complains_once_a_minute() {
        let (mut logs, id) = one(Path::new("/dev/full"), buffer(8));
        for _ in 0..100 {
            logs.write(id, b"1234567\n", Instant::now());
        }
        let log = &mut logs.logs[0];
        assert!(log.buffer.len() <= 8);
        let earlier = log.complained.unwrap() - Duration::from_secs(59);
        log.complained = Some(earlier);
        log.flush();
        assert_eq!(log.complained, Some(earlier));
        log.complained = Some(earlier - Duration::from_secs(1));
        log.add(b"1234567\n", Instant::now());
        log.flush();
        assert!(log.complained.unwrap() > earlier);
    }

    #[test]
    fn reopening_writes_the_rest_to_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
        let (mut logs, id) = one(&path, buffer(100));
        logs.write(id, b"one\n", Instant::now());
        fs::rename(&path, &moved).unwrap();
        logs.reopen(None);
        logs.write(id, b"two\n", Instant::now());
        logs.flush();
        assert_eq!(fs::read(&moved).unwrap(), b"one\n");
        assert_eq!(fs::read(&path).unwrap(), b"two\n");
    }

    #[test]
    fn a_file_that_cannot_be_reopened_stays_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
        let (mut logs, id) = one(&path, None);
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        logs.reopen(None);
        logs.write(id, b"still here\n", Instant::now());
        assert_eq!(fs::read(&moved).unwrap(), b"still here\n");
    }
}
