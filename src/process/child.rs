//! The worker process: what it gives up first, and how signals drive its worker.

use nix::sys::signal::Signal;

use crate::event::signals::{Received, Signals};
use crate::log::{Level, message};
use crate::worker::{Setup, Wake, Worker};

use super::start::{Start, redirect_stderr};
use super::{SIGNALS, failed, log_received, privileges};

/// The exit code of a worker that cannot work and would not if it were started again, as in nginx.
pub const FATAL: u8 = 2;

/// Runs in the forked process until it is told to end; gives its exit code.
pub fn run(start: &Start, setup: Setup) -> u8 {
    start.title.set("worker process");
    let config = setup.config.clone();
    start.environment.restrict(&config.main.env);
    if privileges::apply(&config.main, Some(setup.slot)).is_err() {
        return FATAL;
    }
    let worker = Signals::new(&SIGNALS).and_then(|signals| Worker::new(setup, signals));
    let mut worker = match worker {
        Ok(worker) => worker,
        Err(error) => {
            failed(Level::Emerg, &error, format_args!("worker process could not start"));
            return FATAL;
        }
    };
    loop {
        let signals = match worker.run() {
            Ok(Wake::Signals(signals)) => signals,
            Ok(Wake::Done) => {
                message(Level::Notice, format_args!("exiting"));
                break;
            }
            Err(error) => {
                failed(Level::Alert, &error, format_args!("epoll_wait() failed"));
                worker.stop();
                return 1;
            }
        };
        for received in signals {
            if act(&mut worker, received) {
                message(Level::Notice, format_args!("exiting"));
                worker.stop();
                message(Level::Notice, format_args!("exit"));
                return 0;
            }
            match received.signal {
                Signal::SIGQUIT => start.title.set("worker process is shutting down"),
                Signal::SIGUSR1 => redirect_stderr(&config),
                _ => {}
            }
        }
    }
    message(Level::Notice, format_args!("exit"));
    0
}

/// What a signal means to a process that serves; true: end now.
pub fn act(worker: &mut Worker, received: Received) -> bool {
    match received.signal {
        Signal::SIGTERM | Signal::SIGINT => {
            log_received(received, "exiting");
            return true;
        }
        Signal::SIGQUIT => {
            log_received(received, "shutting down");
            message(Level::Notice, format_args!("gracefully shutting down"));
            worker.drain();
        }
        Signal::SIGUSR1 => {
            log_received(received, "reopening logs");
            message(Level::Notice, format_args!("reopening logs"));
            worker.reopen_logs();
        }
        Signal::SIGHUP | Signal::SIGUSR2 | Signal::SIGWINCH => log_received(received, "ignoring"),
        _ => {}
    }
    false
}
