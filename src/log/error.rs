//! The error log: `YYYY/MM/DD HH:MM:SS [level] pid#tid: *N message (errno: text) while ACTION, client: A, ...`.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

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

/// The sinks of a part of the configuration that has its own, such as a `location {}`: they belong to a configuration, are opened with it
/// ([`open`]) and closed when nothing refers to it any more. Copies are the same log.
#[derive(Clone, Debug)]
pub struct ErrorLog(Arc<Part>);

#[derive(Debug)]
struct Part {
    said: Vec<Sink>,
    /// The least grave level that is written, as a number.
    threshold: u8,
    /// Empty until the log is opened.
    sinks: Mutex<Vec<OpenSink>>,
}

impl ErrorLog {
    fn sinks(&self) -> MutexGuard<'_, Vec<OpenSink>> {
        self.0.sinks()
    }
}

impl Part {
    /// As with the process's log: one thread, the lock is always free.
    fn sinks(&self) -> MutexGuard<'_, Vec<OpenSink>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The logs of a configuration's parts, named while it is read and not opened yet.
#[derive(Debug, Default)]
pub struct ErrorLogs {
    logs: Vec<ErrorLog>,
}

impl ErrorLogs {
    /// The log with these sinks; the same sinks give the same log.
    pub fn add(&mut self, sinks: &[Sink]) -> ErrorLog {
        if let Some(known) = self.logs.iter().find(|log| log.0.said == sinks) {
            return known.clone();
        }
        let log = ErrorLog(Arc::new(Part {
            said: sinks.to_vec(),
            threshold: threshold(sinks.iter().map(|sink| sink.level)),
            sinks: Mutex::default(),
        }));
        self.logs.push(log.clone());
        log
    }
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
    /// Where it goes; `None`: to the log of the process.
    pub log: Option<&'a ErrorLog>,
}

impl Record<'_> {
    /// A line with nothing but a level.
    pub const fn new(level: Level) -> Self {
        Record { level, connection: None, error: None, context: None, debug_connection: false, log: None }
    }
}

/// Whether a line of this level would be written anywhere in `log`, or that of the process; ask before work that only a log line needs.
pub fn enabled(level: Level, log: Option<&ErrorLog>) -> bool {
    level as u8 <= log.map_or_else(|| THRESHOLD.load(Ordering::Relaxed), |log| log.0.threshold)
}

/// Writes a line to every sink of its log whose level allows it, by one `write(2)` each. A line that cannot be written (full disk, closed pipe, no syslog server) is
/// lost, never an error. Lines are cut at 2048 bytes, as nginx's are; control characters appear as `\x0A`.
/// Before any [`install`], lines go to stderr at level `notice` in nginx's short form `weir: [emerg] message`, as nginx
/// does while it reads its configuration; after it, lines of level `warn` and graver are copied to stderr in that form while
/// [`copy_to_stderr`] is on.
pub fn emit(record: &Record, message: fmt::Arguments) {
    if record.debug_connection || enabled(record.level, record.log) {
        // Made before the lock is taken: what is printed may have something to log itself.
        let line = Line::new(record, message);
        match record.log {
            None => log().write(&line, &mut io::stderr()),
            Some(log) => {
                write(&mut log.sinks(), &line, &mut io::stderr());
            }
        }
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

/// Opens (append, created with mode 0644, `O_CLOEXEC`) the files of `sinks`, which [`install`] makes the process's error log, and those of
/// `parts`, which are in use as soon as their configuration is. The error names the path.
pub fn open(sinks: &[Sink], parts: ErrorLogs) -> Result<Opened, (PathBuf, io::Error)> {
    let opened = Opened { sinks: open_all(sinks)? };
    for ErrorLog(part) in parts.logs {
        *part.sinks() = open_all(&part.said)?;
        log().parts.push(Arc::downgrade(&part));
    }
    Ok(opened)
}

fn open_all(sinks: &[Sink]) -> Result<Vec<OpenSink>, (PathBuf, io::Error)> {
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
    sinks.iter().map(open).collect()
}

/// Sinks that are open but not in use yet, so that a reload that fails later changes nothing.
pub struct Opened {
    sinks: Vec<OpenSink>,
}

/// Makes `opened` the error log of this process, in place of what was.
pub fn install(opened: Opened) {
    log().change(|log| log.sinks = Some(opened.sinks));
    debug::switch(enabled(Level::Debug, None));
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

#[derive(Debug)]
struct OpenSink {
    output: Output,
    level: Level,
}

#[derive(Debug)]
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
    /// The logs of parts of configurations in use.
    parts: Vec<Weak<Part>>,
}

/// The least grave level of lines while there are no sinks.
const EARLY: Level = Level::Notice;
/// The least grave level of lines copied to stderr.
const COPIED: Level = Level::Warn;

static LOG: Mutex<Log> = Mutex::new(Log { sinks: None, copy: true, parts: Vec::new() });
/// [`Log::threshold`] of `LOG`, to be read without the lock.
static THRESHOLD: AtomicU8 = AtomicU8::new(EARLY as u8);

/// One thread a process: the lock is always free, and there to satisfy the compiler and the tests.
fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The least grave of these levels as a number; 0 when there are none.
fn threshold(levels: impl Iterator<Item = Level>) -> u8 {
    levels.map(|level| level as u8).max().unwrap_or(0)
}

/// Writes a line to the sinks that want it; whether one of them was stderr.
fn write(sinks: &mut [OpenSink], line: &Line, stderr: &mut impl Write) -> bool {
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
    on_stderr
}

fn reopen_files(sinks: &mut [OpenSink], owner: Option<u32>, failures: &mut Vec<Failure>) {
    for sink in sinks {
        if let Output::File(path, file) = &mut sink.output {
            match file::reopen(path, Some(&*file), owner) {
                Ok(new) => *file = new,
                Err(failure) => failures.push(failure),
            }
        }
    }
}

impl Log {
    /// Changes the process's log, and what [`enabled`] goes by.
    fn change(&mut self, change: impl FnOnce(&mut Log)) {
        change(self);
        // A new configuration is in place of an old one.
        self.parts.retain(|part| part.strong_count() > 0);
        THRESHOLD.store(self.threshold(), Ordering::Relaxed);
    }

    /// The least grave level that goes anywhere, as a number; 0 when nothing does.
    fn threshold(&self) -> u8 {
        let Some(sinks) = &self.sinks else { return EARLY as u8 };
        let copied = if self.copy { COPIED as u8 } else { 0 };
        threshold(sinks.iter().map(|sink| sink.level)).max(copied)
    }

    fn write(&mut self, line: &Line, stderr: &mut impl Write) {
        let Some(sinks) = &mut self.sinks else {
            if line.level <= EARLY {
                let _ = stderr.write(&line.short());
            }
            return;
        };
        let on_stderr = write(sinks, line, stderr);
        if self.copy && line.level <= COPIED && !on_stderr {
            let _ = stderr.write(&line.short());
        }
    }

    fn reopen(&mut self, owner: Option<u32>) -> Vec<Failure> {
        let mut failures = Vec::new();
        reopen_files(self.sinks.as_deref_mut().unwrap_or_default(), owner, &mut failures);
        for part in self.parts.iter().filter_map(Weak::upgrade) {
            reopen_files(&mut part.sinks(), owner, &mut failures);
        }
        failures
    }
}

#[cfg(test)]
mod tests;
