//! The master: starts workers, replaces those that die, and does what signals ask. It does no I/O for clients.

use std::mem;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::config::Config;
use crate::event::signals::{Received, Signals};
use crate::event::{Owner, Reactor};
use crate::log::{Level, error, message};
use crate::tally::Tally;
use crate::upstream::shared::{ROWS, Roster};

use super::caches::Care;
use super::cycle::Cycle;
use super::pidfile::PidFile;
use super::start::{Start, redirect_stderr};
use super::{Logged, caches, child, daemon, failed, listeners, log_received, order, pidfile, upgrade};

/// How long workers told to end at once may take before they are killed; about nginx's time.
const PATIENCE: Duration = Duration::from_secs(1);

/// A worker that lived less than this is replaced only after [`PAUSE`], so that workers that die at once do not keep
/// the machine busy with forking.
const SHORT_LIFE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(500);

/// A running child.
struct Child {
    pid: Pid,
    role: Role,
    started: Instant,
    duty: Duty,
    /// The configuration it is at work for.
    config: Rc<Config>,
}

/// What a child is.
enum Role {
    Worker {
        slot: usize,
        /// Its row in the records of `roster`, which no other living worker has.
        row: usize,
        /// Where it counts its sessions.
        roster: Rc<Roster>,
    },
    /// It looks after caches.
    Keeper(Care),
}

impl Role {
    fn post(&self) -> Post {
        match self {
            Role::Worker { slot, .. } => Post::Worker(*slot),
            Role::Keeper(care) => Post::Keeper(*care),
        }
    }

    /// The row of a worker and where it counts.
    fn row(&self) -> Option<(usize, &Rc<Roster>)> {
        match self {
            Role::Worker { row, roster, .. } => Some((*row, roster)),
            Role::Keeper(_) => None,
        }
    }
}

/// What a child is started for: as the worker with a number, or to look after caches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Post {
    Worker(usize),
    Keeper(Care),
}

impl Post {
    /// What it is called in logs.
    fn name(self) -> &'static str {
        match self {
            Post::Worker(_) => "worker process",
            Post::Keeper(care) => care.name(),
        }
    }
}

/// What is expected of a worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// To serve; it is replaced when it dies.
    Serve,
    /// To finish, as soon as its successors have been started.
    Retire,
    /// It has been told to finish.
    Retiring,
}

/// Whether the end has begun.
enum Ending {
    No,
    /// Workers finish their sessions.
    Graceful,
    /// Workers end at once, and are killed at this time.
    Fast(Instant),
}

/// How a process leaves the master's loop.
enum Leave {
    /// The master ends.
    Exit,
    /// This is the forked process of the worker with this number and row.
    Worker(usize, usize),
    /// That of one that looks after caches.
    Keeper(Care),
}

/// The master process.
pub struct Master {
    start: Start,
    cycle: Cycle,
    tally: Rc<Tally>,
    signals: Signals,
    pid_file: PidFile,
    reactor: Reactor,
    workers: Vec<Child>,
    /// What children are to be started for, and when.
    due: Vec<(Instant, Post)>,
    ending: Ending,
    new_binary: Option<Pid>,
    /// Workers were retired by WINCH.
    retired: bool,
    /// QUIT came while a new binary ran: there is no way back to this one, and the pid files are the new one's.
    superseded: bool,
}

impl Master {
    /// A master without workers.
    pub fn new(
        start: Start,
        cycle: Cycle,
        tally: Rc<Tally>,
        signals: Signals,
        pid_file: PidFile,
    ) -> Result<Self, Logged> {
        let watched = Reactor::new().and_then(|mut reactor| {
            reactor.add(signals.as_raw_fd(), Owner { engine: 0, part: 0, id: 0 })?;
            Ok(reactor)
        });
        let reactor = watched.map_err(|error| failed(Level::Emerg, &error, format_args!("epoll_create() failed")))?;
        Ok(Master {
            start,
            cycle,
            tally,
            signals,
            pid_file,
            reactor,
            workers: Vec::new(),
            due: Vec::new(),
            ending: Ending::No,
            new_binary: None,
            retired: false,
            superseded: false,
        })
    }

    /// Serves until told to end; gives the exit code, in the master and in each forked worker.
    pub fn run(mut self) -> Result<u8, Logged> {
        self.start.title.set(&self.start.master_title());
        self.start_workers();
        loop {
            match self.turn() {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(Leave::Exit) => return Ok(0),
                ControlFlow::Break(Leave::Worker(slot, row)) => {
                    let Master { start, cycle, tally, signals, pid_file, reactor, .. } = self;
                    drop((signals, pid_file, reactor));
                    return Ok(child::run(&start, cycle.into_setup(slot, row, tally)));
                }
                ControlFlow::Break(Leave::Keeper(care)) => {
                    let Master { start, cycle, signals, pid_file, reactor, .. } = self;
                    drop((signals, pid_file, reactor));
                    let Cycle { config, .. } = cycle;
                    return Ok(caches::run(&start, &config, care));
                }
            }
        }
    }

    fn turn(&mut self) -> ControlFlow<Leave> {
        self.start_due()?;
        self.tell_retired();
        self.kill_late();
        if self.is_ending() && self.workers.is_empty() {
            self.finish();
            return ControlFlow::Break(Leave::Exit);
        }
        let limit = self.next_deadline().map(|when| when.saturating_duration_since(Instant::now()));
        if let Err(error) = self.reactor.wait(limit) {
            failed(Level::Alert, &error, format_args!("epoll_wait() failed"));
        }
        while self.reactor.next().is_some() {}
        while let Some(received) = self.signals.next() {
            self.receive(received);
        }
        ControlFlow::Continue(())
    }

    /// Whether the master before this one still could take over again. One that only waits for its last sessions, which may take days,
    /// has given its pid file up.
    fn can_go_back(&self) -> bool {
        let old = pidfile::old(&self.cycle.config.main.pid);
        self.start.has_predecessor() && self.start.predecessor.is_some_and(|pid| order::names(&old, pid))
    }

    fn is_ending(&self) -> bool {
        !matches!(self.ending, Ending::No)
    }

    fn next_deadline(&self) -> Option<Instant> {
        let kill = if let Ending::Fast(at) = self.ending { Some(at) } else { None };
        self.due.iter().map(|(at, _)| *at).chain(kill).min()
    }

    fn receive(&mut self, received: Received) {
        match received.signal {
            Signal::SIGCHLD => {
                log_received(received, "");
                self.reap();
            }
            Signal::SIGTERM | Signal::SIGINT => {
                log_received(received, "exiting");
                if !matches!(self.ending, Ending::Fast(_)) {
                    self.ending = Ending::Fast(Instant::now() + PATIENCE);
                    self.due.clear();
                    self.signal_workers(Signal::SIGTERM);
                }
            }
            Signal::SIGQUIT => {
                log_received(received, "shutting down");
                if !self.is_ending() {
                    self.ending = Ending::Graceful;
                    self.retire_workers();
                    self.close_listeners();
                    if self.new_binary.is_some() {
                        self.superseded = true;
                        self.pid_file.remove();
                    }
                }
            }
            _ if self.is_ending() => log_received(received, "ignoring"),
            Signal::SIGHUP => {
                log_received(received, "reconfiguring");
                self.reload();
            }
            Signal::SIGUSR1 => {
                log_received(received, "reopening logs");
                self.reopen_logs();
            }
            Signal::SIGWINCH if daemon::has_terminal() => log_received(received, "ignoring"),
            Signal::SIGWINCH => {
                log_received(received, "stop accepting connections");
                self.retired = true;
                self.retire_workers();
            }
            Signal::SIGUSR2 if self.new_binary.is_some() || self.can_go_back() => {
                log_received(received, "ignoring");
                let advice = "the changing binary signal is ignored: you should shutdown or terminate before either old or new binary's process";
                message(Level::Crit, format_args!("{advice}"));
            }
            Signal::SIGUSR2 => {
                log_received(received, "changing binary");
                self.change_binary();
            }
            _ => {}
        }
    }

    /// Workers for the whole cycle, at the next turn.
    fn start_workers(&mut self) {
        message(Level::Notice, format_args!("start worker processes"));
        let wanted = self.cycle.config.main.worker_processes;
        let now = Instant::now();
        self.due = (0..wanted).map(|slot| (now, Post::Worker(slot))).collect();
        if !self.cycle.config.http.caches.is_empty() {
            self.due.extend([Care::Manager, Care::Loader].map(|care| (now, Post::Keeper(care))));
        }
        self.retired = false;
    }

    fn start_due(&mut self) -> ControlFlow<Leave> {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = mem::take(&mut self.due).into_iter().partition(|(at, _)| *at <= now);
        self.due = later;
        for (_, post) in due {
            self.spawn(post)?;
        }
        ControlFlow::Continue(())
    }

    fn spawn(&mut self, post: Post) -> ControlFlow<Leave> {
        let row = match post {
            Post::Worker(_) => {
                let taken: Vec<usize> = self.workers.iter().filter_map(|worker| Some(worker.role.row()?.0)).collect();
                (0..ROWS).find(|row| !taken.contains(row))
            }
            Post::Keeper(_) => Some(0),
        };
        let Some(row) = row else {
            // Workers of earlier configurations are still finishing their sessions.
            message(Level::Alert, format_args!("no more than {ROWS} processes can be spawned"));
            self.due.push((Instant::now() + PAUSE, post));
            return ControlFlow::Continue(());
        };
        let name = post.name();
        // SAFETY: weir has one thread, so the child may go on as a whole program.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                return ControlFlow::Break(match post {
                    Post::Worker(slot) => Leave::Worker(slot, row),
                    Post::Keeper(care) => Leave::Keeper(care),
                });
            }
            Ok(ForkResult::Parent { child: pid }) => {
                message(Level::Notice, format_args!("start {name} {pid}"));
                let role = match post {
                    Post::Worker(slot) => Role::Worker { slot, row, roster: Rc::clone(&self.cycle.roster) },
                    Post::Keeper(care) => Role::Keeper(care),
                };
                let config = Rc::clone(&self.cycle.config);
                self.workers.push(Child { pid, role, started: Instant::now(), duty: Duty::Serve, config });
            }
            Err(errno) => {
                failed(Level::Alert, &errno.into(), format_args!("fork() failed while spawning \"{name}\""));
                self.due.push((Instant::now() + PAUSE, post));
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes note of all children that have ended.
    fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => {
                    self.ended(pid, Some(code), format_args!("exited with code {code}"))
                }
                Ok(WaitStatus::Signaled(pid, signal, core)) => {
                    let core = if core { " (core dumped)" } else { "" };
                    self.ended(pid, None, format_args!("exited on signal {}{core}", signal as i32));
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    failed(Level::Alert, &errno.into(), format_args!("waitpid() failed"));
                    return;
                }
            }
        }
    }

    /// A child is gone: by itself with an exit code, or by a signal.
    fn ended(&mut self, pid: Pid, code: Option<i32>, how: std::fmt::Arguments) {
        let level = if code.is_some() { Level::Notice } else { Level::Alert };
        if self.new_binary == Some(pid) {
            message(level, format_args!("new binary process {pid} {how}"));
            self.roll_back();
            return;
        }
        let Some(place) = self.workers.iter().position(|worker| worker.pid == pid) else {
            message(level, format_args!("unknown process {pid} {how}"));
            return;
        };
        let worker = self.workers.swap_remove(place);
        let post = worker.role.post();
        let name = post.name();
        message(level, format_args!("{name} {pid} {how}"));
        if let Some((row, roster)) = worker.role.row() {
            roster.clear(row);
            self.tally.clear(row);
        }
        // One that has ended by itself has finished what it was at.
        if code != Some(0) {
            let http = &worker.config.http;
            http.caches.iter().for_each(|cache| cache.bury(pid.as_raw() as u32));
            if let Some((row, _)) = worker.role.row() {
                http.zones.iter().for_each(|zone| zone.bury(row));
            }
        }
        if worker.duty != Duty::Serve || self.is_ending() {
            return;
        }
        if code == Some(child::FATAL.into()) {
            let what = format_args!("{name} {pid} exited with fatal code {} and cannot be respawned", child::FATAL);
            message(Level::Alert, what);
            return;
        }
        if post == Post::Keeper(Care::Loader) && code == Some(0) {
            return;
        }
        let pause = if worker.started.elapsed() < SHORT_LIFE { PAUSE } else { Duration::ZERO };
        self.due.push((Instant::now() + pause, post));
    }

    fn signal_workers(&self, signal: Signal) {
        for worker in &self.workers {
            let _ = kill(worker.pid, signal);
        }
    }

    /// All workers of now are to finish and are not replaced; they are told after those due have been started.
    fn retire_workers(&mut self) {
        self.due.clear();
        for worker in self.workers.iter_mut().filter(|worker| worker.duty == Duty::Serve) {
            worker.duty = Duty::Retire;
        }
    }

    fn tell_retired(&mut self) {
        for worker in self.workers.iter_mut().filter(|worker| worker.duty == Duty::Retire) {
            worker.duty = Duty::Retiring;
            // One that has ended meanwhile is told by SIGCHLD.
            let _ = kill(worker.pid, Signal::SIGQUIT);
        }
    }

    fn kill_late(&mut self) {
        if let Ending::Fast(at) = self.ending
            && at <= Instant::now()
        {
            self.signal_workers(Signal::SIGKILL);
            self.ending = Ending::Fast(Instant::now() + PATIENCE);
        }
    }

    /// HUP. While a new binary runs it brings this one's workers back instead, as in nginx: the first step of a roll-back.
    fn reload(&mut self) {
        if self.new_binary.is_some() {
            self.restart_workers();
            return;
        }
        message(Level::Notice, format_args!("reconfiguring"));
        // All that failed is logged, and the old configuration goes on.
        let rosters: Vec<&Roster> =
            self.workers.iter().filter_map(|worker| Some(worker.role.row()?.1.as_ref())).collect();
        let Ok(new) = self.cycle.reload(&self.start.source, &rosters, &mut self.pid_file) else { return };
        let old = mem::replace(&mut self.cycle, new);
        listeners::retire(old.listeners, &self.cycle.listeners);
        self.retire_workers();
        self.start_workers();
    }

    /// The way back from a new binary, or what is left when it has ended: clients come to this one's sockets only, and workers that were retired come back.
    fn restart_workers(&mut self) {
        // The new binary may have other numbers of workers, and closes the sockets of those that are more.
        let config = &self.cycle.config;
        listeners::steer(&self.cycle.listeners, &config.listens, config.main.workers());
        if self.retired {
            self.start_workers();
        }
    }

    fn reopen_logs(&mut self) {
        message(Level::Notice, format_args!("reopening logs"));
        let owner = self.cycle.config.main.user.as_ref().map(|user| user.uid);
        error::reopen(owner);
        redirect_stderr(&self.cycle.config);
        self.cycle.access_logs.reopen(owner);
        self.signal_workers(Signal::SIGUSR1);
    }

    /// USR2: starts the program's file as it is now, with the listening sockets.
    fn change_binary(&mut self) {
        message(Level::Notice, format_args!("changing binary"));
        let program = &self.start.program;
        let pid = &self.cycle.config.main.pid;
        if let Err((old, error)) = self.pid_file.move_aside() {
            let what = format_args!(
                "rename() {} to {} failed before executing new binary process \"{}\"",
                pid.display(),
                old.display(),
                program.display()
            );
            failed(Level::Alert, &error, what);
            return;
        }
        let environment = self.start.environment.restricted(&self.cycle.config.main.env);
        match upgrade::execute(program, &self.start.arguments, &environment, &self.cycle.listeners) {
            Ok(child) => {
                message(Level::Notice, format_args!("start new binary process {child}"));
                self.new_binary = Some(child);
            }
            Err(error) => {
                failed(Level::Alert, &error, format_args!("fork() failed while spawning \"new binary process\""));
                self.take_pidfile_back("an attempt to execute");
            }
        }
    }

    /// The new binary has ended: this one is the only one again.
    fn roll_back(&mut self) {
        self.new_binary = None;
        if self.superseded {
            return;
        }
        self.take_pidfile_back("the end of");
        if !self.is_ending() {
            self.restart_workers();
        }
    }

    fn take_pidfile_back(&mut self, after: &str) {
        let pid = &self.cycle.config.main.pid;
        let old = self.pid_file.path().to_owned();
        if let Err(error) = self.pid_file.move_back(pid) {
            let (old, pid, program) = (old.display(), pid.display(), self.start.program.display());
            let what =
                format_args!("rename() {old} back to {pid} failed after {after} new binary process \"{program}\"");
            failed(Level::Alert, &error, what);
        }
    }

    /// Closes the listening sockets. The files of Unix sockets are removed only if no other binary listens on them.
    fn close_listeners(&mut self) {
        let listeners = mem::take(&mut self.cycle.listeners);
        if self.new_binary.is_none() && !self.start.has_predecessor() {
            listeners::retire(listeners, &[]);
        }
    }

    /// The last act.
    fn finish(&mut self) {
        if !self.superseded {
            self.pid_file.remove();
        }
        message(Level::Notice, format_args!("exit"));
        self.close_listeners();
    }
}
