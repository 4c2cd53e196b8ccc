//! The error log: `YYYY/MM/DD HH:MM:SS [level] pid#tid: *N message (errno: text) while ACTION, client: A, ...`.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::debug;
use super::file::{self, Failure};
use super::line::Line;
use super::syslog::{self, Sender};

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

impl Level {
    /// All levels, gravest first.
    pub const ALL: [Level; 8] =
        [Level::Emerg, Level::Alert, Level::Crit, Level::Error, Level::Warn, Level::Notice, Level::Info, Level::Debug];

    /// The word for it in configurations and in lines.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Emerg => "emerg",
            Level::Alert => "alert",
            Level::Crit => "crit",
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Notice => "notice",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

/// Where an `error_log` directive sends lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The standard error output.
    Stderr,
    /// A file, by its full path.
    File(PathBuf),
    /// A syslog server; a line's level is its severity.
    Syslog(syslog::Target),
}

/// One `error_log` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// Where the lines go.
    pub target: Target,
    /// The least grave level that is written.
    pub level: Level,
}

/// Reads the arguments of `error_log`: `file | stderr | syslog:server=... [level]`, the level being `error` when none is given. The path stays as it
/// is written; the caller makes it a full one. The error is the message for the operator.
pub fn parse_sink(words: &[&str]) -> Result<Sink, String> {
    let Some((&target, levels)) = words.split_first() else {
        return Err(String::from("invalid number of arguments in \"error_log\" directive"));
    };
    if target.starts_with("memory:") {
        return Err("\"memory:\" is not supported in \"error_log\" directive".into());
    }
    let mut chosen = None;
    for &word in levels {
        let level = Level::ALL.into_iter().find(|level| level.name() == word);
        let level = level.ok_or_else(|| format!("invalid log level \"{word}\""))?;
        if chosen.replace(level).is_some() {
            return Err(format!("duplicate log level \"{word}\""));
        }
    }
    let target = match target.strip_prefix("syslog:") {
        Some(server) => Target::Syslog(syslog::Target::parse(server)?),
        None if target == "stderr" => Target::Stderr,
        None => Target::File(PathBuf::from(target)),
    };
    Ok(Sink { target, level: chosen.unwrap_or(Level::Error) })
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
    /// As in nginx, lines of level `debug` go without it.
    pub context: Option<&'a dyn fmt::Display>,
    /// Written whatever the sinks' levels: the session of a client that `debug_connection` names.
    pub debug_connection: bool,
}

impl Record<'_> {
    /// A line with nothing but a level.
    pub const fn new(level: Level) -> Self {
        Record { level, connection: None, error: None, context: None, debug_connection: false }
    }
}

/// Whether a line of this level would be written anywhere; ask before work that only a log line needs.
pub fn enabled(level: Level) -> bool {
    level as u8 <= THRESHOLD.load(Ordering::Relaxed)
}

/// Writes a line to every sink whose level allows it, by one `write(2)` each. A line that cannot be written (full disk, closed pipe, no syslog server) is
/// lost, never an error. Lines are cut at 2048 bytes, as nginx's are; control characters appear as `\x0A`.
/// Before any [`install`], lines go to stderr at level `notice` in nginx's short form `weir: [emerg] message`, as nginx
/// does while it reads its configuration; after it, lines of level `warn` and graver are copied to stderr in that form while
/// [`copy_to_stderr`] is on.
pub fn emit(record: &Record, message: fmt::Arguments) {
    if record.debug_connection || enabled(record.level) {
        // Made before the lock is taken: what is printed may have something to log itself.
        let line = Line::new(record, message);
        log().write(&line, &mut io::stderr());
    }
}

/// [`emit`] for a line with only a level: `message(Level::Notice, format_args!("exiting"))`.
pub fn message(level: Level, message: fmt::Arguments) {
    emit(&Record::new(level), message)
}

/// Whether lines of level `warn` and graver also go to stderr: on until the process room says that the start is over.
pub fn copy_to_stderr(on: bool) {
    log().change(|log| log.copy = on);
}

/// Opens (append, created with mode 0644, `O_CLOEXEC`) the files of `sinks`; [`install`] makes them the process's error log.
/// The error names the path.
pub fn open(sinks: &[Sink]) -> Result<Opened, (PathBuf, io::Error)> {
    let open = |sink: &Sink| {
        let output = match &sink.target {
            Target::Stderr => Output::Stderr,
            Target::File(path) => {
                let file = file::open(path).map_err(|error| (path.clone(), error))?;
                Output::File(path.clone(), file)
            }
            Target::Syslog(target) => Output::Syslog(Sender::new(target)),
        };
        Ok(OpenSink { output, level: sink.level })
    };
    Ok(Opened { sinks: sinks.iter().map(open).collect::<Result<_, _>>()? })
}

/// Sinks that are open but not in use yet, so that a reload that fails later changes nothing.
pub struct Opened {
    sinks: Vec<OpenSink>,
}

/// Makes `opened` the error log of this process, in place of what was.
pub fn install(opened: Opened) {
    log().change(|log| log.sinks = Some(opened.sinks));
    debug::switch(enabled(Level::Debug));
}

/// Opens every file anew by its path (USR1) and goes on with the old one, with an `[emerg]` line in it, where that fails.
/// When `owner` is given (the master runs as root) files owned by others are given to it first, so that workers can open them.
pub fn reopen(owner: Option<u32>) {
    let failures = log().reopen(owner);
    failures.iter().for_each(Failure::report);
}

/// The file of the first sink that has one, for the master to put stderr on it after daemonizing.
pub fn first_file() -> Option<File> {
    log().sinks.iter().flatten().find_map(|sink| match &sink.output {
        Output::File(_, file) => file.try_clone().ok(),
        Output::Stderr | Output::Syslog(_) => None,
    })
}

struct OpenSink {
    output: Output,
    level: Level,
}

enum Output {
    Stderr,
    File(PathBuf, File),
    Syslog(Sender),
}

/// The error log of a process.
struct Log {
    /// `None`: no configuration has been read yet.
    sinks: Option<Vec<OpenSink>>,
    copy: bool,
}

/// The least grave level of lines while there are no sinks.
const EARLY: Level = Level::Notice;
/// The least grave level of lines copied to stderr.
const COPIED: Level = Level::Warn;

static LOG: Mutex<Log> = Mutex::new(Log { sinks: None, copy: true });
/// [`Log::threshold`] of `LOG`, to be read without the lock.
static THRESHOLD: AtomicU8 = AtomicU8::new(EARLY as u8);

/// One thread a process: the lock is always free, and there to satisfy the compiler and the tests.
fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Changes the process's log, and what [`enabled`] goes by.
    fn change(&mut self, change: impl FnOnce(&mut Log)) {
        change(self);
        THRESHOLD.store(self.threshold(), Ordering::Relaxed);
    }

    /// The least grave level that goes anywhere, as a number; 0 when nothing does.
    fn threshold(&self) -> u8 {
        let Some(sinks) = &self.sinks else { return EARLY as u8 };
        let copied = if self.copy { COPIED as u8 } else { 0 };
        sinks.iter().map(|sink| sink.level as u8).fold(copied, u8::max)
    }

    fn write(&mut self, line: &Line, stderr: &mut impl Write) {
        let Some(sinks) = &mut self.sinks else {
            if line.level <= EARLY {
                let _ = stderr.write(&line.short());
            }
            return;
        };
        let mut on_stderr = false;
        for sink in sinks.iter_mut().filter(|sink| line.forced || line.level <= sink.level) {
            let _ = match &mut sink.output {
                Output::Stderr => {
                    on_stderr = true;
                    stderr.write(line.full()).map(drop)
                }
                Output::File(_, file) => file.write(line.full()).map(drop),
                Output::Syslog(sender) => sender.send_error(line.level, line.full().trim_ascii_end()),
            };
        }
        if self.copy && line.level <= COPIED && !on_stderr {
            let _ = stderr.write(&line.short());
        }
    }

    fn reopen(&mut self, owner: Option<u32>) -> Vec<Failure> {
        let mut failures = Vec::new();
        for sink in self.sinks.iter_mut().flatten() {
            if let Output::File(path, file) = &mut sink.output {
                match file::reopen(path, owner) {
                    Ok(new) => *file = new,
                    Err(failure) => failures.push(failure),
                }
            }
        }
        failures
    }
}

#[cfg(test)]
mod tests;
