//! `error_log`, `log_format` and `access_log`, for every block that has them: `V` is the kind of the block's variables.
//!
//! A block keeps one [`Formats`], and on each level an `Option<Vec<AccessLog<V>>>` where [`add`] puts what is said (`None`: nothing,
//! the level above counts; empty: `off`). When inheritance is settled, [`AccessLog::settle`] makes an [`Entry`] of each. To log,
//! ask [`Entry::wanted`], fill in [`Entry::format`], and hand the line to [`crate::context::Logs::write`].

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::access::{AccessLogs, Buffering, Conflict, LogId};
use super::error::{Sink, Target, parse_sink};
use super::format::{Escape, Format};
use super::syslog;
use crate::conf::table::FOREVER;
use crate::conf::template;
use crate::conf::{Call, Error, Place, Result, value};

/// Reads `error_log path|stderr|syslog:server=... [level]`, its file taken against the prefix.
///
/// # Errors
/// An unknown or doubled level, a malformed syslog server.
pub fn error_log(call: &Call<'_>) -> Result<Sink> {
    sink(&call.texts()?, &call.loader.prefix).map_err(|message| call.error(message))
}

/// nginx's debug masks (`debug_event`, ...) mean `debug`.
fn sink(words: &[&str], prefix: &Path) -> std::result::Result<Sink, String> {
    // `debug_tcp` comes from the tcp module's patch.
    const MASKS: [&str; 8] = [
        "debug_core",
        "debug_alloc",
        "debug_mutex",
        "debug_event",
        "debug_http",
        "debug_mail",
        "debug_stream",
        "debug_tcp",
    ];
    let mut words: Vec<&str> =
        words.iter().enumerate().map(|(i, word)| if i > 0 && MASKS.contains(word) { "debug" } else { word }).collect();
    words.dedup_by(|next, word| *next == "debug" && *word == "debug");
    let mut sink = parse_sink(&words)?;
    if let Target::File(path) = &mut sink.target {
        *path = prefix.join(&path);
    }
    Ok(sink)
}

/// The formats that `log_format` names.
#[derive(Clone, Debug)]
pub struct Formats<V> {
    named: Vec<(String, Rc<Format<V>>)>,
}

impl<V> Default for Formats<V> {
    fn default() -> Self {
        Formats { named: Vec::new() }
    }
}

impl<V> Formats<V> {
    /// Reads `log_format name [escape=default|json|none] text ...`; `variable` knows the names of variables.
    ///
    /// # Errors
    /// A name that is taken, an unknown escaping, a malformed or unknown variable.
    pub fn add(&mut self, call: &Call<'_>, mut variable: impl FnMut(&str) -> Option<V>) -> Result<()> {
        let name = call.text(1)?;
        if self.find(name).is_some() {
            return Err(call.error(format!("duplicate \"log_format\" name \"{name}\"")));
        }
        let (escape, first) = match call.bytes(2).strip_prefix(b"escape=") {
            None => (Escape::Default, 2),
            Some(b"default") => (Escape::Default, 3),
            Some(b"json") => (Escape::Json, 3),
            Some(b"none") => (Escape::None, 3),
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                return Err(call.error(format!("unknown log format escaping \"{other}\"")));
            }
        };
        let mut format = Format::compile(b"", escape, &mut variable).map_err(|message| call.error(message))?;
        for i in first..=call.count() {
            let text = call.bytes(i);
            format.append(text, &mut variable).map_err(|message| match message.as_str() {
                // nginx has its own words for it here.
                template::NO_NAME => call.error(format!("invalid parameter \"{}\"", String::from_utf8_lossy(text))),
                _ => call.error(message),
            })?;
        }
        self.insert(name, format);
        Ok(())
    }

    /// A format that is there without being written: http's `combined`.
    pub fn insert(&mut self, name: &str, format: Format<V>) {
        self.named.push((name.to_owned(), Rc::new(format)));
    }

    /// The format of this name.
    pub fn find(&self, name: &str) -> Option<&Rc<Format<V>>> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, format)| format)
    }
}

/// Where an `access_log` sends lines.
#[derive(Clone, Debug)]
enum To<V> {
    File(PathBuf),
    /// A path with variables, against this folder.
    Named(PathBuf, Rc<Format<V>>),
    Syslog(syslog::Target),
}

/// One `access_log` as written.
#[derive(Clone, Debug)]
pub struct AccessLog<V> {
    /// The first argument.
    written: String,
    to: To<V>,
    buffering: Option<Buffering>,
    format: Option<String>,
    condition: Option<Rc<Format<V>>>,
    place: Place,
}

/// The buffer of a log that is compressed, nginx's: little is gained on single lines.
const GZIP_BUFFER: usize = 64 << 10;

/// Reads `access_log path|syslog:server=... [format] [buffer=size] [gzip[=level]] [flush=time] [if=condition]` or `access_log off` into the
/// directives of a level.
///
/// # Errors
/// A malformed or unknown parameter, parameters that do not go together.
pub fn add<V>(
    logs: &mut Option<Vec<AccessLog<V>>>,
    call: &Call<'_>,
    variable: impl FnMut(&str) -> Option<V>,
) -> Result<()> {
    let logs = logs.get_or_insert_default();
    if call.bytes(1) == b"off" {
        if call.count() > 1 {
            return Err(call.error(format!("invalid parameter \"{}\"", call.text(2)?)));
        }
        logs.clear();
        return Ok(());
    }
    logs.push(AccessLog::parse(call, variable)?);
    Ok(())
}

impl<V> AccessLog<V> {
    fn parse(call: &Call<'_>, mut variable: impl FnMut(&str) -> Option<V>) -> Result<Self> {
        let fault = |message: String| call.error(message);
        let words = call.texts()?;
        let written = words[0];
        let to = match written.strip_prefix("syslog:") {
            Some(target) => To::Syslog(syslog::Target::parse(target).map_err(fault)?),
            None if written.contains('$') => {
                let path = Format::compile(written.as_bytes(), Escape::None, &mut variable).map_err(fault)?;
                To::Named(call.loader.prefix.clone(), Rc::new(path))
            }
            None => To::File(call.path(1)),
        };
        let (mut format, mut size, mut flush, mut gzip, mut condition) = (None, None, None, None, None);
        for (i, &word) in words.iter().enumerate().skip(1) {
            match word.split_once('=') {
                Some(("buffer", text)) => {
                    let parsed = value::size(text).filter(|&size| size > 0);
                    size = Some(parsed.ok_or_else(|| fault(format!("invalid buffer size \"{text}\"")))?);
                }
                Some(("flush", text)) => {
                    let parsed = value::time(text, true).filter(|time| !time.is_zero());
                    let parsed = parsed.ok_or_else(|| fault(format!("invalid flush time \"{text}\"")))?;
                    flush = Some(parsed.min(FOREVER));
                }
                Some(("if", text)) => {
                    condition =
                        Some(Rc::new(Format::compile(text.as_bytes(), Escape::None, &mut variable).map_err(fault)?));
                }
                Some(("gzip", text)) => {
                    let level = value::number(text).filter(|level| (1..=9).contains(level));
                    let invalid = || fault(format!("invalid compression level \"{text}\""));
                    gzip = Some(level.ok_or_else(invalid)? as u32);
                }
                None if i > 1 && word == "gzip" => gzip = Some(1),
                None if i == 1 => format = Some(word.to_owned()),
                _ => return Err(fault(format!("invalid parameter \"{word}\""))),
            }
        }
        let size = size.or(gzip.map(|_| GZIP_BUFFER));
        let buffering = match (size, flush) {
            (None, Some(_)) => return Err(fault(format!("no buffer is defined for access_log \"{written}\""))),
            (size, flush) => size.map(|size| Buffering { size, flush, gzip }),
        };
        match to {
            To::Syslog(_) if buffering.is_some() => return Err(fault("logs to syslog cannot be buffered".into())),
            To::Named(..) if buffering.is_some() => {
                return Err(fault("buffered logs cannot have variables in name".into()));
            }
            _ => {}
        }
        Ok(AccessLog { written: written.to_owned(), to, buffering, format, condition, place: call.node.place.clone() })
    }

    /// Names the log to `logs` and finds its format.
    ///
    /// # Errors
    /// No such format, or another buffer for the same file.
    pub fn settle(&self, formats: &Formats<V>, logs: &mut AccessLogs) -> Result<Entry<V>> {
        let fault = |message: String| Error::at(&self.place, message);
        let find =
            |name: &String| formats.find(name).cloned().ok_or_else(|| fault(format!("unknown log format \"{name}\"")));
        let format = self.format.as_ref().map(find).transpose()?;
        let log = match &self.to {
            To::File(path) => {
                let conflict = |conflict: Conflict| fault(conflict.message(&self.written));
                Output::Log(logs.add_file(path, self.buffering).map_err(conflict)?)
            }
            To::Named(folder, path) => Output::Named(folder.clone(), path.clone()),
            To::Syslog(target) => Output::Log(logs.add_syslog(target)),
        };
        Ok(Entry { log, format, condition: self.condition.clone() })
    }
}

/// Where a line goes.
#[derive(Debug)]
enum Output<V> {
    Log(LogId),
    /// A file whose path against this folder has variables.
    Named(PathBuf, Rc<Format<V>>),
}

/// Where one line goes, once variables are known.
pub enum Goal {
    /// One of the configuration's logs.
    Log(LogId),
    /// A file that is opened for the line: see [`super::access::append`].
    File(PathBuf),
}

/// One `access_log` of a server.
#[derive(Debug)]
pub struct Entry<V> {
    log: Output<V>,
    /// What it says; `None`: none was named, the line is the block's own.
    pub format: Option<Rc<Format<V>>>,
    condition: Option<Rc<Format<V>>>,
}

impl<V> Entry<V> {
    /// A log that every line goes to, in the block's own form.
    pub fn plain(log: LogId) -> Self {
        Entry { log: Output::Log(log), format: None, condition: None }
    }

    /// Where a line goes. `write` as for [`Format::fill`].
    pub fn goal(&self, write: impl FnMut(&V, &mut Vec<u8>) -> bool) -> Goal {
        match &self.log {
            Output::Log(log) => Goal::Log(*log),
            Output::Named(folder, path) => {
                let mut name = Vec::new();
                path.fill(&mut name, write);
                Goal::File(folder.join(OsString::from_vec(name)))
            }
        }
    }

    /// Whether a line is to be written: `if=` is neither empty nor `0`. `write` as for [`Format::fill`].
    pub fn wanted(&self, write: impl FnMut(&V, &mut Vec<u8>) -> bool) -> bool {
        self.condition.as_ref().is_none_or(|condition| {
            let mut value = Vec::new();
            condition.fill(&mut value, write);
            !matches!(value.as_slice(), b"" | b"0")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Level;

    #[test]
    fn error_logs_under_the_prefix_with_masks() {
        let sink = |words: &[&str]| sink(words, Path::new("/p"));
        let file = |path: &str, level| Ok(Sink { target: Target::File(path.into()), level });
        assert_eq!(sink(&["logs/x"]), file("/p/logs/x", Level::Error));
        assert_eq!(sink(&["/x", "info"]), file("/x", Level::Info));
        assert_eq!(sink(&["/x", "debug_core", "debug_tcp"]), file("/x", Level::Debug));
        assert_eq!(sink(&["debug_core"]), file("/p/debug_core", Level::Error));
        assert_eq!(sink(&["stderr", "warn"]), Ok(Sink { target: Target::Stderr, level: Level::Warn }));
        assert_eq!(sink(&["x", "debug_core", "info"]), Err("duplicate log level \"info\"".to_owned()));
        assert_eq!(sink(&["x", "Info"]), Err("invalid log level \"Info\"".to_owned()));
    }

    #[test]
    fn a_condition_is_met_by_anything_but_nothing_and_0() {
        for (value, wanted) in
            [(None, false), (Some(""), false), (Some("0"), false), (Some("00"), true), (Some("x"), true)]
        {
            let condition = Format::compile(b"$x", Escape::None, |_| Some(())).unwrap();
            let entry = Entry { log: Output::Log(LogId(0)), format: None, condition: Some(Rc::new(condition)) };
            let written = entry.wanted(|(), out| {
                out.extend_from_slice(value.unwrap_or_default().as_bytes());
                value.is_some()
            });
            assert_eq!(written, wanted, "{value:?}");
        }
        assert!(Entry::<()>::plain(LogId(0)).wanted(|(), _| false));
    }
}
