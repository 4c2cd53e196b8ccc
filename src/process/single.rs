//! `master_process off`: one process that is master and worker, for development.

use std::io;
use std::mem;
use std::rc::Rc;

use nix::sys::signal::Signal;

use crate::event::signals::Signals;
use crate::log::{Level, message};
use crate::net::Listener;
use crate::tally::Tally;
use crate::worker::{Setup, Wake, Worker};

use super::cycle::Cycle;
use super::pidfile::PidFile;
use super::start::{Start, redirect_stderr};
use super::{Logged, child, failed, listeners, log_received};

/// Serves until told to end; gives the exit code.
pub fn run(
    start: Start,
    mut cycle: Cycle,
    tally: Rc<Tally>,
    signals: Signals,
    mut pid_file: PidFile,
) -> Result<u8, Logged> {
    start.environment.restrict(&cycle.config.main.env);
    let worker = share(&mut cycle, &tally).and_then(|setup| Worker::new(setup, signals));
    let served = worker
        .and_then(|mut worker| serve(&start, &mut cycle, &tally, &mut worker, &mut pid_file))
        .map_err(|error| failed(Level::Emerg, &error, format_args!("serving in a single process failed")));
    pid_file.remove();
    // The files of Unix sockets are the old master's while it runs.
    if !start.has_predecessor() {
        listeners::retire(cycle.listeners, &[]);
    }
    message(Level::Notice, format_args!("exit"));
    served.map(|()| 0)
}

fn serve(
    start: &Start,
    cycle: &mut Cycle,
    tally: &Rc<Tally>,
    worker: &mut Worker,
    pid_file: &mut PidFile,
) -> io::Result<()> {
    let mut draining = false;
    while let Wake::Signals(signals) = worker.run()? {
        for received in signals {
            match received.signal {
                Signal::SIGHUP if !draining => {
                    log_received(received, "reconfiguring");
                    // All that failed is logged, and the old configuration goes on.
                    let _ = reload(start, cycle, tally, worker, pid_file);
                }
                _ if child::act(worker, received) => {
                    message(Level::Notice, format_args!("exiting"));
                    worker.stop();
                    return Ok(());
                }
                Signal::SIGQUIT => {
                    draining = true;
                    listeners::retire(mem::take(&mut cycle.listeners), &[]);
                }
                Signal::SIGUSR1 => redirect_stderr(&cycle.config),
                _ => {}
            }
        }
    }
    Ok(())
}

fn reload(
    start: &Start,
    cycle: &mut Cycle,
    tally: &Rc<Tally>,
    worker: &mut Worker,
    pid_file: &mut PidFile,
) -> Result<(), Logged> {
    message(Level::Notice, format_args!("reconfiguring"));
    let mut new = cycle.reload(&start.source, &worker.rosters(), pid_file)?;
    let adopted = share(&mut new, tally).and_then(|setup| worker.adopt(setup));
    if let Err(error) = adopted {
        failed(Level::Emerg, &error, format_args!("reconfiguring failed"));
    }
    listeners::retire(mem::take(&mut cycle.listeners), &new.listeners);
    *cycle = new;
    Ok(())
}

/// What the worker gets; this process keeps a second handle on the sockets, for the next reload.
fn share(cycle: &mut Cycle, tally: &Rc<Tally>) -> io::Result<Setup> {
    let lent = Cycle {
        config: Rc::clone(&cycle.config),
        listeners: cycle.listeners.iter().map(Listener::try_clone).collect::<io::Result<_>>()?,
        access_logs: mem::take(&mut cycle.access_logs),
        roster: Rc::clone(&cycle.roster),
    };
    Ok(lent.into_setup(0, 0, Rc::clone(tally)))
}
