//! Starting: from the command line to a running master or single process.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use crate::config::{self, Config, Loaded, Source};
use crate::event::signals::Signals;
use crate::log::error::{self, ErrorLogs};
use crate::log::{Level, log_panics, message};
use crate::net::Listener;
use crate::tally::Tally;

use super::cycle::{self, Cycle};
use super::environment::Environment;
use super::master::Master;
use super::options::VERSION;
use super::pidfile::{self, PidFile};
use super::title::Title;
use super::{Logged, SIGNALS, daemon, failed, listeners, order, privileges, single, upgrade};

/// How weir was started; the master keeps it for reloads and upgrades, workers for their environment and title.
pub struct Start {
    /// Where the configuration is.
    pub source: Source,
    /// The command line, the program's name first.
    pub arguments: Vec<OsString>,
    /// The program, by an absolute path.
    pub program: PathBuf,
    /// The environment.
    pub environment: Environment,
    /// The process title.
    pub title: Title,
    /// The process that handed the listening sockets over, when one did.
    pub predecessor: Option<Pid>,
}

impl Start {
    /// Whether this is a new binary whose old master, its parent, still runs.
    pub fn has_predecessor(&self) -> bool {
        self.predecessor == Some(getppid())
    }

    /// The title of the master: what it is and how it was called.
    pub fn master_title(&self) -> String {
        let mut title = String::from("master process");
        for (number, word) in self.arguments.iter().enumerate() {
            title.push(' ');
            match number {
                0 => title += &self.program.to_string_lossy(),
                _ => title += &word.to_string_lossy(),
            }
        }
        title
    }
}

/// Runs weir with the command line `arguments`, given in the directory `cwd`; gives the exit code, in each process that it becomes.
pub fn run(arguments: Vec<OsString>, cwd: &Path, source: Source) -> Result<u8, Logged> {
    privileges::keep_memory_private();
    let program = upgrade::program(&arguments[0], cwd, env::var_os("PATH").as_deref());
    let (environment, variable) = Environment::take();
    // First of all, before this process opens files whose numbers could be taken for inherited ones.
    let inherited = variable.as_deref().map(upgrade::inherit);
    // SAFETY: `arguments` and `environment` are copies, and `Environment::take` has set all variables anew.
    let title = unsafe { Title::take() };
    let predecessor = inherited.is_some().then(getppid);
    let start = Start { source, arguments, program, environment, title, predecessor };

    let mut config = report(config::load(&start.source), &start.source, || {})?;
    let (error_log, access_logs) = cycle::open_logs(&mut config)?;
    error::install(error_log);
    log_panics();
    let inherited = inherited.unwrap_or_default();
    let cycle = Cycle::open(config, access_logs, &inherited, &[], None)?;
    cycle.announce();
    log_facts();
    serve(start, cycle, inherited)
}

/// Goes to the background if asked to, and serves.
fn serve(start: Start, cycle: Cycle, inherited: Vec<Listener>) -> Result<u8, Logged> {
    let main = &cycle.config.main;
    let tally = Tally::new()
        .map(Rc::new)
        .map_err(|error| failed(Level::Emerg, &error, format_args!("mmap() of the connection counters failed")));
    let ready = tally.and_then(|tally| {
        pidfile::check(&main.pid)?;
        let caller = match main.daemon && start.predecessor.is_none() {
            true => {
                Some(daemon::detach().map_err(|error| failed(Level::Emerg, &error, format_args!("fork() failed")))?)
            }
            false => None,
        };
        // Before the pid file tells others whom to send signals.
        let signals =
            Signals::new(&SIGNALS).map_err(|error| failed(Level::Emerg, &error, format_args!("signalfd() failed")))?;
        let pid_file = PidFile::create(&main.pid)?;
        error::copy_to_stderr(false);
        redirect_stderr(&cycle.config);
        if let Some(caller) = caller {
            caller.tell();
        }
        Ok((tally, signals, pid_file))
    });
    let (tally, signals, pid_file) = match ready {
        Ok(ready) => ready,
        Err(logged) => {
            listeners::retire(cycle.listeners, &inherited);
            return Err(logged);
        }
    };
    // Sockets that the configuration does not want are closed; their files are the old master's to remove.
    drop(inherited);
    if cycle.config.main.master_process {
        Master::new(start, cycle, tally, signals, pid_file)?.run()
    } else {
        single::run(start, cycle, tally, signals, pid_file)
    }
}

/// `-s`: sends a signal to the master that the configuration's pid file names.
pub fn signal(source: &Source, signal: Signal) -> Result<(), Logged> {
    let config = report(config::load(source), source, || {})?;
    order::send(&config.main.pid, signal)
}

/// Logs what reading a configuration brought up, and gives it if it can be used. As in nginx, a faulty one is reported in the default error
/// log too, where that can be opened.
pub fn report(loaded: Loaded, source: &Source, parsed: impl FnOnce()) -> Result<Config, Logged> {
    if (loaded.config.is_err() || !loaded.warnings.is_empty())
        && let Ok(opened) = error::open(&[source.error_log()], ErrorLogs::default())
    {
        error::install(opened);
    }
    cycle::report(loaded, parsed)
}

/// Puts stderr onto the error log of `config`.
pub fn redirect_stderr(config: &Config) {
    if let Err(error) = daemon::redirect_stderr(&config.main.error_logs) {
        failed(Level::Alert, &error, format_args!("dup2(STDERR) failed"));
    }
}

fn log_facts() {
    message(Level::Notice, format_args!("{VERSION}"));
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        message(Level::Notice, format_args!("getrlimit(RLIMIT_NOFILE): {soft}:{hard}"));
    }
}
