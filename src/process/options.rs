//! The command line: nginx's options, its messages, its texts.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use lexopt::Arg;
use nix::sys::signal::Signal;

use crate::config::{Source, defaults};

/// The name and version as logs and `-v` write them.
pub const VERSION: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));

/// What was asked for on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-?`, `-h`
    pub help: bool,
    /// `-v`, `-V`, and with the help.
    pub version: bool,
    /// `-V`
    pub build: bool,
    /// `-t`, `-T`
    pub test: bool,
    /// `-T`
    pub dump: bool,
    /// `-q`
    pub quiet: bool,
    /// `-s`: the signal to send to the running master.
    pub signal: Option<Signal>,
    /// `-p`
    pub prefix: Option<PathBuf>,
    /// `-e`
    pub error_log: Option<String>,
    /// `-c`
    pub file: Option<PathBuf>,
    /// `-g`
    pub directives: String,
}

/// What is wrong with a command line, in nginx's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No such option, or a word that belongs to none.
    Invalid(String),
    /// An option without its argument; the second is what it must be.
    Requires(char, &'static str),
    /// An argument that is not UTF-8 where text is needed.
    NotText(char),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Invalid(option) => write!(f, "invalid option: \"{option}\""),
            Fault::Requires(option, what) => write!(f, "option \"-{option}\" requires {what}"),
            Fault::NotText(option) => write!(f, "option \"-{option}\" is not valid UTF-8"),
        }
    }
}

impl Options {
    /// Reads the arguments, the program's name not among them.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Fault> {
        let mut options = Options::default();
        let mut parser = lexopt::Parser::from_args(arguments);
        loop {
            // An argument left over by an option that takes none (`-t=x`) is the only fault the parser itself finds.
            let Some(arg) = parser.next().map_err(|error| Fault::Invalid(error.to_string()))? else {
                return Ok(options);
            };
            match arg {
                Arg::Short('?' | 'h') => (options.help, options.version) = (true, true),
                Arg::Short('v') => options.version = true,
                Arg::Short('V') => (options.build, options.version) = (true, true),
                Arg::Short('t') => options.test = true,
                Arg::Short('T') => (options.dump, options.test) = (true, true),
                Arg::Short('q') => options.quiet = true,
                Arg::Short('p') => options.prefix = Some(value(&mut parser, 'p', "directory name")?.into()),
                Arg::Short('c') => options.file = Some(value(&mut parser, 'c', "file name")?.into()),
                Arg::Short('e') => options.error_log = Some(text(&mut parser, 'e', "file name")?),
                Arg::Short('g') => options.directives = text(&mut parser, 'g', "parameter")?,
                Arg::Short('s') => options.signal = Some(signal(&text(&mut parser, 's', "parameter")?)?),
                Arg::Short(other) => return Err(Fault::Invalid(other.to_string())),
                // nginx sees the second dash of a long option as a letter it does not know.
                Arg::Long(_) => return Err(Fault::Invalid("-".to_owned())),
                Arg::Value(word) => return Err(Fault::Invalid(word.to_string_lossy().into_owned())),
            }
        }
    }

    /// Where the configuration is, for a command line given in the directory `cwd`.
    pub fn source(&self, cwd: &Path) -> Source {
        let prefix = match &self.prefix {
            Some(prefix) => tidy(&cwd.join(prefix)),
            None => PathBuf::from(defaults::PREFIX),
        };
        let file = self.file.as_deref().unwrap_or(Path::new(defaults::CONF_PATH));
        Source {
            file: tidy(&prefix.join(file)),
            prefix,
            directives: self.directives.clone(),
            error_log: self.error_log.clone(),
        }
    }
}

/// The same path without `.` components, which `-p .` would otherwise leave in every message.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

fn value(parser: &mut lexopt::Parser, option: char, what: &'static str) -> Result<OsString, Fault> {
    parser.value().map_err(|_| Fault::Requires(option, what))
}

fn text(parser: &mut lexopt::Parser, option: char, what: &'static str) -> Result<String, Fault> {
    value(parser, option, what)?.into_string().map_err(|_| Fault::NotText(option))
}

fn signal(name: &str) -> Result<Signal, Fault> {
    match name {
        "stop" => Ok(Signal::SIGTERM),
        "quit" => Ok(Signal::SIGQUIT),
        "reopen" => Ok(Signal::SIGUSR1),
        "reload" => Ok(Signal::SIGHUP),
        _ => Err(Fault::Invalid(format!("-s {name}"))),
    }
}

/// What `-h`, `-v` and `-V` print, on stderr as nginx does.
pub fn about(options: &Options) -> String {
    let mut text = format!("weir version: {VERSION}\n");
    if options.help {
        text += &help();
    }
    if options.build {
        text += &build();
    }
    text
}

fn help() -> String {
    format!(
        "Usage: weir [-?hvVtTq] [-s signal] [-p prefix]\n            [-e filename] [-c filename] [-g directives]\n\n\
         Options:\n\
         \x20 -?,-h         : this help\n\
         \x20 -v            : show version and exit\n\
         \x20 -V            : show version and configure options then exit\n\
         \x20 -t            : test configuration and exit\n\
         \x20 -T            : test configuration, dump it and exit\n\
         \x20 -q            : suppress non-error messages during configuration testing\n\
         \x20 -s signal     : send signal to a master process: stop, quit, reopen, reload\n\
         \x20 -p prefix     : set prefix path (default: {prefix}/)\n\
         \x20 -e filename   : set error log file (default: {log})\n\
         \x20 -c filename   : set configuration file (default: {conf})\n\
         \x20 -g directives : set global directives out of configuration file\n\n",
        prefix = defaults::PREFIX,
        log = defaults::ERROR_LOG_PATH,
        conf = defaults::CONF_PATH,
    )
}

/// Facts of the build, the paths in the form of nginx's configure options, which scripts read.
fn build() -> String {
    let debug = if cfg!(debug_assertions) { ", debug" } else { "" };
    let group = defaults::GROUP.map(|group| format!(" --group={group}")).unwrap_or_default();
    format!(
        "built for {} {}{debug}\nconfigure arguments: --prefix={} --conf-path={} --error-log-path={} --pid-path={} --http-log-path={} --http-client-body-temp-path={} --http-proxy-temp-path={} --user={}{group}\n",
        std::env::consts::OS,
        std::env::consts::ARCH,
        defaults::PREFIX,
        defaults::CONF_PATH,
        defaults::ERROR_LOG_PATH,
        defaults::PID_PATH,
        defaults::HTTP_ACCESS_LOG_PATH,
        defaults::CLIENT_TEMP_PATH,
        defaults::PROXY_TEMP_PATH,
        defaults::USER,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(words.iter().map(OsString::from)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn attached_separate_and_combined() {
        let options = parse(&["-tq", "-cfile", "-p", "/x", "-gdaemon off;", "-e", "-odd"]).unwrap();
        assert!(options.test && options.quiet && !options.dump);
        assert_eq!(options.file, Some("file".into()));
        assert_eq!(options.prefix, Some("/x".into()));
        assert_eq!(options.directives, "daemon off;");
        assert_eq!(options.error_log.as_deref(), Some("-odd"));
        assert_eq!(parse(&["-tcfile"]).unwrap().file, Some("file".into()));
        assert_eq!(parse(&["-sreload"]).unwrap().signal, Some(Signal::SIGHUP));
        assert_eq!(parse(&["-s", "stop"]).unwrap().signal, Some(Signal::SIGTERM));
        assert!(parse(&["-?"]).unwrap().help && parse(&["-V"]).unwrap().build && parse(&["-T"]).unwrap().test);
    }

    #[test]
    fn faults_in_nginx_words() {
        assert_eq!(parse(&["-x"]).unwrap_err(), "invalid option: \"x\"");
        assert_eq!(parse(&["-tx"]).unwrap_err(), "invalid option: \"x\"");
        assert_eq!(parse(&["foo"]).unwrap_err(), "invalid option: \"foo\"");
        assert_eq!(parse(&["--help"]).unwrap_err(), "invalid option: \"-\"");
        assert_eq!(parse(&["-s", "x"]).unwrap_err(), "invalid option: \"-s x\"");
        assert_eq!(parse(&["-c"]).unwrap_err(), "option \"-c\" requires file name");
        assert_eq!(parse(&["-e"]).unwrap_err(), "option \"-e\" requires file name");
        assert_eq!(parse(&["-p"]).unwrap_err(), "option \"-p\" requires directory name");
        assert_eq!(parse(&["-g"]).unwrap_err(), "option \"-g\" requires parameter");
        assert_eq!(parse(&["-s"]).unwrap_err(), "option \"-s\" requires parameter");
    }

    #[test]
    fn paths_are_taken_against_the_prefix() {
        let source = parse(&["-p", ".", "-c", "conf/x.conf"]).unwrap().source(Path::new("/home/me"));
        assert_eq!(source.prefix, Path::new("/home/me"));
        assert_eq!(source.file, Path::new("/home/me/conf/x.conf"));
        let source = parse(&["-c", "/etc/x.conf"]).unwrap().source(Path::new("/home/me"));
        assert_eq!(source.prefix, Path::new(defaults::PREFIX));
        assert_eq!(source.file, Path::new("/etc/x.conf"));
    }
}
