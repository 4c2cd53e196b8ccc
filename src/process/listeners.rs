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

/// A socket that is wanted: the how manieth of those that share the address.
#[derive(Clone, Copy)]
struct Place<'a> {
    options: &'a ListenOptions,
    number: usize,
}

/// The sockets for so many workers, in the order in which they are kept and handed over.
fn places(options: &[ListenOptions], workers: usize) -> impl Iterator<Item = Place<'_>> {
    options.iter().flat_map(move |options| (0..options.sockets(workers)).map(move |number| Place { options, number }))
}

/// The sockets for each of `options`, in their order: one, or one for each of `workers`. Where the address is the same they are second handles
/// on those in `kept`. On failure all is logged, new sockets are closed again, and `kept` is as it was.
pub fn open(options: &[ListenOptions], workers: usize, kept: &[Listener]) -> Result<Vec<Listener>, Logged> {
    let mut wanted: Vec<(Place, Option<Listener>)> = places(options, workers).map(|place| (place, None)).collect();
    let opened =
        |wanted: Vec<(Place, Option<Listener>)>| wanted.into_iter().filter_map(|(_, listener)| listener).collect();
    for attempt in 1..=TRIES {
        let mut in_use = false;
        for (place, listener) in wanted.iter_mut().filter(|(_, listener)| listener.is_none()) {
            match obtain(*place, kept) {
                Ok(obtained) => *listener = Some(obtained),
                Err(fault) => {
                    in_use = fault.1.kind() == io::ErrorKind::AddrInUse;
                    log(&fault, place.options);
                    if !in_use {
                        retire(opened(wanted), kept);
                        return Err(Logged);
                    }
                }
            }
        }
        if !in_use {
            let mut listeners: Vec<Listener> = opened(wanted);
            configure(&mut listeners, options, workers, kept);
            steer(&listeners, options, workers);
            return Ok(listeners);
        }
        if attempt < TRIES {
            message(Level::Notice, format_args!("try again to bind() after 500ms"));
            thread::sleep(PAUSE);
        }
    }
    message(Level::Emerg, format_args!("still could not bind()"));
    retire(opened(wanted), kept);
    Err(Logged)
}

/// Of `listeners`, which [`open`] gave, those of the worker number `slot`: one for each of `options`, in their order.
pub fn of_worker(listeners: Vec<Listener>, options: &[ListenOptions], workers: usize, slot: usize) -> Vec<Listener> {
    let own = |place: &Place| !place.options.reuseport || place.number == slot;
    listeners
        .into_iter()
        .zip(places(options, workers))
        .filter(|(_, place)| own(place))
        .map(|(listener, _)| listener)
        .collect()
}

/// `-t`: tries to open the sockets and closes them again. An address in use is no fault: weir itself may be running.
pub fn check(options: &[ListenOptions]) -> Result<(), Logged> {
    let mut result = Ok(());
    for options in options {
        // One that shared its address would be given clients of the weir that runs.
        match Listener::open(&ListenOptions { reuseport: false, ..options.clone() }) {
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
        if find(others, listener.address(), 0).is_none() {
            listener.unlink();
        }
    }
}

/// New clients come only to the sockets of workers, not to those that are there from a configuration with more workers and about to be closed.
pub fn steer(listeners: &[Listener], options: &[ListenOptions], workers: usize) {
    for (listener, place) in listeners.iter().zip(places(options, workers)) {
        if place.number == 0 {
            // Refused for a socket that never shared its address. Were it refused for another, the kernel would spread clients by their
            // addresses over all sockets.
            let _ = listener.steer(place.options.sockets(workers));
        }
    }
}

fn obtain(place: Place, kept: &[Listener]) -> Result<Listener, (&'static str, io::Error)> {
    let Some(kept) = find(kept, &place.options.address, place.number) else { return Listener::open(place.options) };
    if place.options.reuseport {
        kept.share_address().map_err(|error| ("setsockopt(SO_REUSEPORT)", error))?;
    }
    kept.try_clone().map_err(|error| ("dup()", error))
}

/// The how manieth socket of an address.
fn find<'a>(listeners: &'a [Listener], address: &Address, number: usize) -> Option<&'a Listener> {
    listeners.iter().filter(|listener| listener.address() == address).nth(number)
}

fn log((call, error): &(&'static str, io::Error), options: &ListenOptions) -> Logged {
    let to = if matches!(*call, "bind()" | "listen()") { "to " } else { "" };
    failed(Level::Emerg, error, format_args!("{call} {to}{} failed", options.address))
}

/// Brings kept sockets to what the new configuration says; done last, when nothing can fail any more.
fn configure(listeners: &mut [Listener], options: &[ListenOptions], workers: usize, kept: &[Listener]) {
    for (listener, Place { options, number }) in listeners.iter_mut().zip(places(options, workers)) {
        if find(kept, &options.address, number).is_some()
            && let Err(error) = listener.configure(options)
        {
            failed(Level::Alert, &error, format_args!("setting options of {} failed, ignored", options.address));
        }
    }
}
