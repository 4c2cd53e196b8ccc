//! Master, workers, signals, pid file, daemon, privileges, reload, binary upgrade.
#![allow(unsafe_code)]

pub mod caches;
pub mod child;
pub mod cycle;
pub mod daemon;
pub mod environment;
pub mod folders;
pub mod listeners;
pub mod master;
pub mod options;
pub mod order;
pub mod pidfile;
pub mod privileges;
pub mod single;
pub mod start;
pub mod title;
pub mod trial;
pub mod upgrade;

use std::fmt;
use std::io;

use nix::sys::signal::Signal;

use crate::event::signals::Received;
use crate::log::{Level, Record, emit, message};

/// Something failed and the log says what; there is nothing left to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged;

/// Logs a failed system call.
fn failed(level: Level, error: &io::Error, what: fmt::Arguments) -> Logged {
    emit(&Record { error: Some(error), ..Record::new(level) }, what);
    Logged
}

/// Logs a signal in nginx's words; `action` says what comes of it.
fn log_received(received: Received, action: &str) {
    let Received { signal, sender } = received;
    let number = signal as i32;
    let comma = if action.is_empty() { "" } else { ", " };
    match sender {
        0 => message(Level::Notice, format_args!("signal {number} ({signal}) received{comma}{action}")),
        _ => message(Level::Notice, format_args!("signal {number} ({signal}) received from {sender}{comma}{action}")),
    }
}

/// The signals that mean something to weir; all are blocked and read from a signalfd.
const SIGNALS: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTERM,
    Signal::SIGCHLD,
    Signal::SIGWINCH,
];
