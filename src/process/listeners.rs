//! Opening the listening sockets: those that stay are kept, with their queues; those that are new are bound, with patience.

use std::io;
use std::thread;
use std::time::Duration;

use crate::log::{Level, message};
use crate::net::{Address, ListenOptions, Listener};

use super::{Logged, failed};

/// How often and after which pause an address in use is tried again, as in nginx: its old holder may just be ending.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// One socket for each of `options`, in their order; a second handle on the one in `kept` where the address is the same.
/// On failure all is logged, new sockets are closed again, and `kept` is as it was.
pub fn open(options: &[ListenOptions], kept: &[Listener]) -> Result<Vec<Listener>, Logged> {
    let mut places: Vec<Option<Listener>> = options.iter().map(|_| None).collect();
    for attempt in 1..=TRIES {
        let mut in_use = false;
        for (place, options) in places.iter_mut().zip(options).filter(|(place, _)| place.is_none()) {
            match obtain(options, kept) {
                Ok(listener) => *place = Some(listener),
                Err(fault) => {
                    in_use = fault.1.kind() == io::ErrorKind::AddrInUse;
                    log(&fault, options);
                    if !in_use {
                        retire(places.into_iter().flatten().collect(), kept);
                        return Err(Logged);
                    }
                }
            }
        }
        if !in_use {
            return Ok(configure(places.into_iter().flatten().collect(), options, kept));
        }
        if attempt < TRIES {
            message(Level::Notice, format_args!("try again to bind() after 500ms"));
            thread::sleep(PAUSE);
        }
    }
    message(Level::Emerg, format_args!("still could not bind()"));
    retire(places.into_iter().flatten().collect(), kept);
    Err(Logged)
}

/// `-t`: tries to open the sockets and closes them again. An address in use is no fault: weir itself may be running.
pub fn check(options: &[ListenOptions]) -> Result<(), Logged> {
    let mut result = Ok(());
    for options in options {
        match Listener::open(options) {
            Ok(listener) => listener.unlink(),
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(fault) => result = Err(log(&fault, options)),
        }
    }
    result
}

/// Closes `listeners`; Unix sockets of addresses that nobody in `others` listens on lose their files.
pub fn retire(listeners: Vec<Listener>, others: &[Listener]) {
    for listener in listeners {
        if find(others, listener.address()).is_none() {
            listener.unlink();
        }
    }
}

fn obtain(options: &ListenOptions, kept: &[Listener]) -> Result<Listener, (&'static str, io::Error)> {
    match find(kept, &options.address) {
        Some(kept) => kept.try_clone().map_err(|error| ("dup()", error)),
        None => Listener::open(options),
    }
}

fn find<'a>(listeners: &'a [Listener], address: &Address) -> Option<&'a Listener> {
    listeners.iter().find(|listener| listener.address() == address)
}

fn log((call, error): &(&'static str, io::Error), options: &ListenOptions) -> Logged {
    let to = if matches!(*call, "bind()" | "listen()") { "to " } else { "" };
    failed(Level::Emerg, error, format_args!("{call} {to}{} failed", options.address))
}

/// Brings kept sockets to what the new configuration says; done last, when nothing can fail any more.
fn configure(mut listeners: Vec<Listener>, options: &[ListenOptions], kept: &[Listener]) -> Vec<Listener> {
    for (listener, options) in listeners.iter_mut().zip(options) {
        if find(kept, &options.address).is_some()
            && let Err(error) = listener.configure(options)
        {
            failed(Level::Alert, &error, format_args!("setting options of {} failed, ignored", options.address));
        }
    }
    listeners
}
