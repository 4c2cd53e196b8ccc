//! The error log: `YYYY/MM/DD HH:MM:SS [level] pid#tid: *N message (errno: text) while ACTION, client: A, ...`.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// nginx's eight levels, gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Emerg = 1,
    Alert,
    Crit,
    Error,
    Warn,
    Notice,
    Info,
    Debug,
}

/// Where an `error_log` directive sends lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The standard error output.
    Stderr,
    /// A file, by its full path.
    File(PathBuf),
}

/// One `error_log` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// Where the lines go.
    pub target: Target,
    /// The least grave level that is written.
    pub level: Level,
}

/// What belongs to a line beside its message.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// How grave it is.
    pub level: Level,
    /// The connection's number, printed as `*N `.
    pub connection: Option<u64>,
    /// The system error, printed as ` (errno: text)`.
    pub error: Option<&'a io::Error>,
    /// What was being done and for whom, printed after the message: ` while connecting to upstream, client: ...`.
    pub context: Option<&'a dyn fmt::Display>,
}

impl Record<'_> {
    /// A line with nothing but a level.
    pub const fn new(level: Level) -> Self {
        Record { level, connection: None, error: None, context: None }
    }
}

/// Whether a line of this level would be written anywhere; ask before work that only a log line needs.
pub fn enabled(_level: Level) -> bool {
    todo!()
}

/// Writes a line to every sink whose level allows it. A line that cannot be written (full disk, closed pipe) is lost, never an error.
/// Before any [`open`], lines go to stderr at level `notice` in nginx's short form `weir: [emerg] message`, as nginx
/// does while it reads its configuration; lines of level `warn` and graver are copied to stderr while [`copy_to_stderr`] is on.
pub fn emit(_record: &Record, _message: fmt::Arguments) {
    todo!()
}

/// [`emit`] for a line with only a level: `message(Level::Notice, format_args!("exiting"))`.
pub fn message(level: Level, message: fmt::Arguments) {
    emit(&Record::new(level), message)
}

/// Opens (append, created with mode 0644, `O_CLOEXEC`) the files of `sinks`; [`install`] makes them the process's error log.
/// The error names the path.
pub fn open(_sinks: &[Sink]) -> Result<Opened, (PathBuf, io::Error)> {
    todo!()
}

/// Sinks that are open but not in use yet, so that a reload that fails later changes nothing.
pub struct Opened {}

/// Makes `opened` the error log of this process, in place of what was.
pub fn install(_opened: Opened) {
    todo!()
}

/// Opens every file anew by its path (USR1) and goes on with the old one, with an `[alert]`/`[emerg]` line in it, where that fails.
/// When `owner` is given (the master runs as root) files owned by others are given to it first, so that workers can open them.
pub fn reopen(_owner: Option<u32>) {
    todo!()
}

/// The file of the first sink that has one, for the master to put stderr on it after daemonizing.
pub fn first_file() -> Option<std::fs::File> {
    todo!()
}
