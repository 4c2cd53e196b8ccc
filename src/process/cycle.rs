//! A configuration with all that it needs open: listeners, logs, shared memory.

use std::io;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::rc::Rc;

use nix::sys::resource::{Resource, getrlimit};

use crate::config::{self, Config, Loaded, Source};
use crate::fault;
use crate::log::access::AccessLogs;
use crate::log::error::{self, Opened};
use crate::log::{Level, message};
use crate::net::Listener;
use crate::tally::Tally;
use crate::upstream::shared::Roster;
use crate::worker::Setup;

use super::pidfile::PidFile;
use super::start::redirect_stderr;
use super::{Logged, caches, failed, folders, listeners};

/// What one reading of the configuration brought about; a reload makes another one.
pub struct Cycle {
    /// The configuration; its access logs have moved to `access_logs`, its error logs to what names them.
    pub config: Rc<Config>,
    /// The sockets of `config.listens`, of each one or one a worker.
    pub listeners: Vec<Listener>,
    /// The access logs, opened.
    pub access_logs: AccessLogs,
    /// What workers share about the peers.
    pub roster: Rc<Roster>,
}

impl Cycle {
    /// Opens what `config` needs beside its logs, keeping what it can of the sockets `kept`, of what `rosters` know of its peers, and of
    /// what the configuration `before` it has in shared memory. On failure everything is as before, and logged.
    pub fn open(
        config: Config,
        access_logs: AccessLogs,
        kept: &[Listener],
        rosters: &[&Roster],
        before: Option<&Config>,
    ) -> Result<Self, Logged> {
        let groups = config.tcp.groups.iter().chain(&config.http.groups);
        let roster = Roster::new(groups.map(Rc::as_ref), rosters)
            .map_err(|error| failed(Level::Emerg, &error, format_args!("mmap() of shared counters failed")))?;
        folders::make(config.http.temp_folders.iter().map(PathBuf::as_path), config.main.user.as_ref())?;
        let zones = config.tls.open(before.map(|before| &before.tls));
        zones.map_err(|error| failed(Level::Emerg, &error, format_args!("mmap() of session caches failed")))?;
        caches::open(&config.http.caches, before.map_or(&[], |before| &before.http.caches))?;
        for zone in &config.http.zones {
            zone.open(before.map_or(&[], |before| &before.http.zones))
                .map_err(|error| failed(Level::Emerg, &error, format_args!("mmap() of a zone failed")))?;
        }
        let listeners = listeners::open(&config.listens, config.main.workers(), kept)?;
        Ok(Cycle { config: Rc::new(config), listeners, access_logs, roster: Rc::new(roster) })
    }

    /// Logs what is noteworthy about this cycle.
    pub fn announce(&self) {
        message(Level::Notice, format_args!("using the \"epoll\" event method"));
        let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
        let connections = self.config.events.worker_connections;
        let limit = self.config.main.rlimit_nofile.unwrap_or(soft);
        // Workers would refuse clients earlier than the configuration says.
        if connections as u64 > soft && connections as u64 > limit {
            let text = format_args!("{connections} worker_connections exceed open file resource limit: {limit}");
            message(Level::Warn, text);
        }
    }

    /// HUP: the next cycle, from the configuration read anew. Its error log is in use then and `pid_file` where it says; the sockets of
    /// this cycle are still open, those that stay have a second handle in the new one. Peers keep what is known of them in this cycle
    /// or in the rosters `older`. On failure everything is as before, and logged.
    pub fn reload(&self, source: &Source, older: &[&Roster], pid_file: &mut PidFile) -> Result<Cycle, Logged> {
        // A fault of the program changes no more than one of the configuration.
        panic::catch_unwind(AssertUnwindSafe(|| self.next(source, older, pid_file))).unwrap_or(Err(Logged))
    }

    fn next(&self, source: &Source, older: &[&Roster], pid_file: &mut PidFile) -> Result<Cycle, Logged> {
        let mut config = report(config::load(source), || {})?;
        let (error_log, access_logs) = open_logs(&mut config)?;
        fault::point(format_args!("reload {}", config.main.pid.display()));
        let (old, new) = (&self.config.main.pid, config.main.pid.clone());
        if *old != new {
            pid_file.check_other(&new)?;
        }
        let rosters = [&[self.roster.as_ref()], older].concat();
        let cycle = Cycle::open(config, access_logs, &self.listeners, &rosters, Some(&self.config))?;
        // Last of all: whoever's id stood in the new file keeps it when the reload fails. One that cannot be written now, which
        // it could a moment ago, is logged and costs only `-s`.
        if *old != new {
            pid_file.move_to(&new);
        }
        error::install(error_log);
        cycle.announce();
        redirect_stderr(&cycle.config);
        Ok(cycle)
    }

    /// What worker number `slot` is made from, whose row in the roster's records is `row`.
    pub fn into_setup(self, slot: usize, row: usize, tally: Rc<Tally>) -> Setup {
        let Cycle { config, listeners, access_logs, roster } = self;
        let listeners = listeners::of_worker(listeners, &config.listens, config.main.workers(), slot);
        Setup { config, listeners, access_logs, roster, slot, row, tally }
    }
}

/// The error log of the process, opened but not in use yet, with those of the parts of `config`; and the access logs, taken out of `config`.
pub fn open_logs(config: &mut Config) -> Result<(Opened, AccessLogs), Logged> {
    let fault = |(path, error): (PathBuf, io::Error)| {
        failed(Level::Emerg, &error, format_args!("open() \"{}\" failed", path.display()))
    };
    let error_log = error::open(&config.main.error_logs, mem::take(&mut config.error_logs)).map_err(fault)?;
    let mut access_logs = mem::take(&mut config.access_logs);
    access_logs.open().map_err(fault)?;
    Ok((error_log, access_logs))
}

/// Logs what reading the configuration brought up, and gives the configuration if it can be used.
/// `parsed` is called in between when the text is faultless.
pub fn report(loaded: Loaded, parsed: impl FnOnce()) -> Result<Config, Logged> {
    for warning in &loaded.warnings {
        match &warning.place {
            Some(place) => message(Level::Warn, format_args!("{} in {place}", warning.message)),
            None => message(Level::Warn, format_args!("{}", warning.message)),
        }
    }
    if loaded.syntax_ok {
        parsed();
    }
    loaded.config.map_err(|error| {
        for error in std::iter::once(&error).chain(&error.also) {
            message(Level::Emerg, format_args!("{error}"));
        }
        Logged
    })
}
