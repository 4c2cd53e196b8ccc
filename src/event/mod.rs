//! The reactor: one epoll, a slab of sources, timers. It knows nothing of protocols.

pub mod signals;

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// Who is told about an event; the reactor passes it on unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Which engine of the worker.
    pub engine: u8,
    /// Which part of the thing (client or upstream side of a session).
    pub part: u8,
    /// Which thing of that engine.
    pub id: u32,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A source became readable or writable, or its turn came again.
    Ready(Owner),
    /// A timer ran out.
    Timer(Owner),
}

/// A file descriptor watched by the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(u32);

/// A timer of the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId(u32);

/// The event loop's heart.
pub struct Reactor {}

impl Reactor {
    /// An epoll with nothing in it.
    pub fn new() -> io::Result<Self> {
        todo!()
    }

    /// The time of the current turn of the loop.
    pub fn now(&self) -> Instant {
        todo!()
    }

    /// Watches a descriptor, edge-triggered, for reading and writing.
    pub fn add(&mut self, _fd: RawFd, _owner: Owner) -> io::Result<SourceId> {
        todo!()
    }

    /// Forgets a source; close its descriptor right after (that is what takes it out of the epoll).
    pub fn remove(&mut self, _id: SourceId) {
        todo!()
    }

    /// A timer that is not running yet.
    pub fn add_timer(&mut self, _owner: Owner) -> TimerId {
        todo!()
    }

    /// Makes a timer run out at `when`, in place of what was set.
    pub fn set_timer(&mut self, _id: TimerId, _when: Instant) {
        todo!()
    }

    /// Ends a timer.
    pub fn remove_timer(&mut self, _id: TimerId) {
        todo!()
    }

    /// Waits until something happens, at most `limit`, and fills `events`.
    pub fn wait(&mut self, _events: &mut Vec<Event>, _limit: Option<Duration>) -> io::Result<()> {
        todo!()
    }
}
