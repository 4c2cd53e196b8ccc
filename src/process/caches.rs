//! The memory of caches, and the two processes that look after their files.

use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::start::{Start, redirect_stderr};
use super::{Logged, SIGNALS, child, failed, log_received, privileges};
use crate::config::Config;
use crate::event::signals::Signals;
use crate::event::{Owner, Reactor};
use crate::fault;
use crate::http::{Cache, loader, manager};
use crate::log::{Level, error, message};

/// How long after its start the cache loader begins, nginx's time: workers come to their first requests before.
const LOADER_DELAY: Duration = Duration::from_secs(60);

/// Gives caches their memory: what the configuration before had for the same zone and size, else new memory. As in nginx a zone keeps its folder as
/// long as it keeps its memory.
pub fn open(caches: &[Rc<Cache>], before: &[Rc<Cache>]) -> Result<(), Logged> {
    let kept = |cache: &Cache| {
        let zone = &cache.zone;
        before.iter().find(|old| old.zone.name == zone.name && old.zone.size == zone.size)
    };
    for cache in caches {
        let name = &cache.zone.name;
        let Some(old) = kept(cache) else { continue };
        if old.path != cache.path {
            let (path, before) = (cache.path.display(), old.path.display());
            message(
                Level::Emerg,
                format_args!(
                    "cache \"{name}\" uses the \"{path}\" cache path while previously it used the \"{before}\" cache path"
                ),
            );
            return Err(Logged);
        }
        if old.levels != cache.levels {
            message(Level::Emerg, format_args!("cache \"{name}\" had previously different levels"));
            return Err(Logged);
        }
    }
    for cache in caches {
        let opened = cache.zone.open(kept(cache).map(|old| &old.zone));
        opened.map_err(|error| failed(Level::Emerg, &error, format_args!("mmap() of a keys zone failed")))?;
    }
    Ok(())
}

/// What a process that looks after caches does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// It gives up what is old or too much.
    Manager,
    /// It finds what is there after a start, and ends.
    Loader,
}

impl Care {
    /// Its name in the process title and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Care::Manager => "cache manager process",
            Care::Loader => "cache loader process",
        }
    }
}

/// What is left of the world for such a process.
struct Keeper<'a> {
    config: &'a Config,
    signals: Signals,
    reactor: Reactor,
}

/// Runs in the forked process until it is told to end or has done its work; gives its exit code.
pub fn run(start: &Start, config: &Config, care: Care) -> u8 {
    start.title.set(care.name());
    start.environment.restrict(&config.main.env);
    // It may run on all cores, as in nginx.
    if privileges::apply(&config.main, None).is_err() {
        return child::FATAL;
    }
    let ready = Signals::new(&SIGNALS).and_then(|signals| {
        let mut reactor = Reactor::new()?;
        reactor.add(std::os::fd::AsRawFd::as_raw_fd(&signals), Owner { engine: 0, part: 0, id: 0 })?;
        Ok(Keeper { config, signals, reactor })
    });
    match ready {
        Ok(mut keeper) => {
            match care {
                Care::Manager => keeper.manage(),
                Care::Loader => keeper.load(),
            }
            0
        }
        Err(error) => {
            failed(Level::Emerg, &error, format_args!("{} could not start", care.name()));
            child::FATAL
        }
    }
}

impl Keeper<'_> {
    fn manage(&mut self) {
        loop {
            let wait = self.config.http.caches.iter().map(|cache| manager::work(cache)).min();
            if !self.rest(wait.unwrap_or(LOADER_DELAY)) {
                return;
            }
        }
    }

    fn load(&mut self) {
        if !self.rest(fault::duration("WEIR_LOADER_DELAY").unwrap_or(LOADER_DELAY)) {
            return;
        }
        let config = self.config;
        for cache in &config.http.caches {
            if !loader::load(cache, &mut |pause| self.rest(pause)) {
                return;
            }
        }
    }

    /// Waits for so long, doing meanwhile what signals ask; false: the process is to end.
    fn rest(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Err(error) = self.reactor.wait(Some(left)) {
                failed(Level::Alert, &error, format_args!("epoll_wait() failed"));
                return false;
            }
            while self.reactor.next().is_some() {}
            while let Some(received) = self.signals.next() {
                match received.signal {
                    Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT => {
                        log_received(received, "exiting");
                        return false;
                    }
                    Signal::SIGUSR1 => {
                        log_received(received, "reopening logs");
                        error::reopen(self.config.main.user.as_ref().map(|user| user.uid));
                        redirect_stderr(self.config);
                    }
                    _ => {}
                }
            }
            if Instant::now() >= until {
                return true;
            }
        }
    }
}
