//! The reactor: one epoll, a slab of sources, timers. It knows nothing of protocols.
//!
//! mio watches edge-triggered: an edge sets a source's readiness flag, and the flag stays set until a call on the
//! descriptor has shown that it would block now. So no byte waits unnoticed and no system call is made to learn
//! what is known. Whoever reads and writes keeps the flags true: see [`Reactor::clear_readable`].

pub mod signals;
mod timers;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

pub use timers::TimerId;
use timers::Timers;

/// Events taken from the kernel at once; nginx's `epoll_events`.
const BATCH: usize = 512;

/// Events of which nothing is learned that a source may bring in a row.
const KNOWN: u8 = 2;

/// What there is to tell of a source's input.
fn input() -> Interest {
    Interest::READABLE | Interest::PRIORITY
}

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

struct Source {
    owner: Owner,
    /// Tells this source from others that had the slot before.
    generation: u32,
    readable: bool,
    writable: bool,
    /// The peer's end of file, or an error, has been reported: no further edge will announce it.
    closing: bool,
    /// Urgent data has been reported: a read ends at its mark (tcp(7)) though more waits behind, so a short one says nothing.
    urgent: bool,
    /// Stands in `Reactor::again`.
    queued: bool,
    /// -1: the reactor does not know it.
    fd: RawFd,
    /// Events in a row of which nothing was learned, see [`Reactor::knew`].
    known: u8,
    /// Input is not reported.
    muted: bool,
    /// That it can be written to is reported.
    watched_out: bool,
}

/// The event loop's heart.
///
/// A turn of the loop is one [`Reactor::wait`] and as many [`Reactor::next`] as give an event.
pub struct Reactor {
    poll: Poll,
    batch: Events,
    /// What of `batch` has not been given out, last first.
    pending: Vec<Token>,
    sources: Slab<Source>,
    generation: u32,
    again: VecDeque<Token>,
    /// How many of `again` belong to this turn.
    again_now: usize,
    timers: Timers,
    now: Instant,
}

impl Reactor {
    /// An epoll with nothing in it.
    ///
    /// # Errors
    /// Out of descriptors or kernel memory.
    pub fn new() -> io::Result<Self> {
        Ok(Reactor {
            poll: Poll::new()?,
            batch: Events::with_capacity(BATCH),
            pending: Vec::with_capacity(BATCH),
            sources: Slab::new(),
            generation: 0,
            again: VecDeque::new(),
            again_now: 0,
            timers: Timers::default(),
            now: Instant::now(),
        })
    }

    /// The time of the current turn of the loop.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Watches a descriptor, edge-triggered, for reading and writing. Nothing is taken to be ready yet: what is ready
    /// already comes as the first event.
    ///
    /// # Errors
    /// What epoll_ctl says: a bad descriptor, out of kernel memory, the user's limit of watches.
    pub fn add(&mut self, fd: RawFd, owner: Owner) -> io::Result<SourceId> {
        self.watch(fd, owner, true)
    }

    /// As [`Reactor::add`] for a connection that stands and nothing has been written to: it can be written to, and only when it cannot any more
    /// the kernel is asked to tell. So there is no first event before the peer has said something.
    ///
    /// # Errors
    /// As [`Reactor::add`].
    pub fn add_open(&mut self, fd: RawFd, owner: Owner) -> io::Result<SourceId> {
        self.watch(fd, owner, false)
    }

    fn watch(&mut self, fd: RawFd, owner: Owner, out: bool) -> io::Result<SourceId> {
        let (id, token) = self.reserve(owner, fd);
        let source = self.source_mut(id);
        (source.watched_out, source.writable) = (out, !out);
        let interest = if out { input() | Interest::WRITABLE } else { input() };
        let watched = self.poll.registry().register(&mut SourceFd(&fd), token, interest);
        if let Err(error) = watched {
            self.remove(id);
            return Err(error);
        }
        Ok(id)
    }

    /// A source whose descriptor the caller puts into the epoll of [`Reactor::epoll_fd`] itself, with
    /// [`Reactor::token_of`] as its data.
    pub fn add_unwatched(&mut self, owner: Owner) -> SourceId {
        self.reserve(owner, -1).0
    }

    /// What the kernel is to report for a source.
    pub fn token_of(&self, id: SourceId) -> u64 {
        token(id.0, self.source(id).generation).0 as u64
    }

    /// The epoll's descriptor.
    pub fn epoll_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }

    fn reserve(&mut self, owner: Owner, fd: RawFd) -> (SourceId, Token) {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let key = self.sources.insert(Source {
            owner,
            generation,
            readable: false,
            writable: false,
            closing: false,
            urgent: false,
            queued: false,
            fd,
            known: 0,
            muted: false,
            watched_out: true,
        }) as u32;
        (SourceId(key), token(key, generation))
    }

    /// Forgets a source. Close its descriptor right after: closing the last descriptor of a socket takes it out of the
    /// epoll, and events that were on their way are dropped by their generation.
    pub fn remove(&mut self, id: SourceId) {
        self.sources.remove(id.0 as usize);
    }

    fn source(&self, id: SourceId) -> &Source {
        &self.sources[id.0 as usize]
    }

    fn source_mut(&mut self, id: SourceId) -> &mut Source {
        &mut self.sources[id.0 as usize]
    }

    /// Events of this source come with another owner from now on.
    pub fn give(&mut self, id: SourceId, owner: Owner) {
        self.source_mut(id).owner = owner;
    }

    /// Whether a read may give something: bytes, the end, an error.
    pub fn readable(&self, id: SourceId) -> bool {
        self.source(id).readable
    }

    /// Whether a write may take something.
    pub fn writable(&self, id: SourceId) -> bool {
        self.source(id).writable
    }

    /// Whether the peer's end, or an error, has been reported; bytes may still wait before it.
    pub fn closing(&self, id: SourceId) -> bool {
        self.source(id).closing
    }

    /// Whether a read that comes back short has had all there was: no end or error waits behind it that has been reported already, and no
    /// urgent data has cut it off. What comes later brings an event.
    pub fn short_read_is_all(&self, id: SourceId) -> bool {
        let source = self.source(id);
        !source.closing && !source.urgent
    }

    /// Whether urgent data has been reported and not been read past yet.
    pub fn urgent(&self, id: SourceId) -> bool {
        self.source(id).urgent
    }

    /// A read would block, or came back short. After a short read the flag stays while the peer's end is known to
    /// wait behind it, because no further edge will announce that; `would_block` tells the two apart.
    pub fn clear_readable(&mut self, id: SourceId, would_block: bool) {
        let all = would_block || self.short_read_is_all(id);
        let source = self.source_mut(id);
        source.readable = !all;
        source.urgent &= !would_block;
        source.known = 0;
        if all && source.muted {
            self.rewatch(id, false);
        }
    }

    /// An event came for a source that cannot be read from for now: a stalled destination's. If it was known to be readable, each packet would bring
    /// another one; when some have come in a row, input is not reported until the source has been read empty.
    pub fn knew(&mut self, id: SourceId) {
        let source = self.source_mut(id);
        // The event was about writing. One that has been read empty is read again only when input is reported.
        if !source.readable {
            return;
        }
        source.known = source.known.saturating_add(1);
        if source.known > KNOWN && !source.muted {
            self.rewatch(id, true);
        }
    }

    /// Has a source's input reported or not. The kernel reports at once what is there already (epoll_ctl(2)), so nothing is missed. It wakes those that
    /// wait for urgent data for any input, so who wants none waits for writing alone.
    fn rewatch(&mut self, id: SourceId, muted: bool) {
        let source = self.source_mut(id);
        source.watched_out |= muted;
        let (fd, token) = (source.fd, token(id.0, source.generation));
        let interest = match (muted, source.watched_out) {
            (true, _) => Interest::WRITABLE,
            (false, true) => input() | Interest::WRITABLE,
            (false, false) => input(),
        };
        match self.poll.registry().reregister(&mut SourceFd(&fd), token, interest) {
            Ok(()) => self.source_mut(id).muted = muted,
            // Only the program's own faults bring that about; then the source is asked for, as nothing would tell of it.
            Err(_) if !muted => {
                let source = self.source_mut(id);
                (source.readable, source.writable) = (true, true);
                self.again(id);
            }
            Err(_) => {}
        }
    }

    /// A write would block or came back short.
    pub fn clear_writable(&mut self, id: SourceId) {
        let source = self.source_mut(id);
        source.writable = false;
        if !source.watched_out {
            source.watched_out = true;
            let muted = source.muted;
            self.rewatch(id, muted);
        }
    }

    /// Somebody may have read ahead of the events: there may be something to read whatever they say.
    pub fn expect_input(&mut self, id: SourceId) {
        self.source_mut(id).readable = true;
    }

    /// A write failed: what the peer sent before it broke can still be read, up to its end or error.
    pub fn expect_end(&mut self, id: SourceId) {
        let source = self.source_mut(id);
        source.readable = true;
        source.closing = true;
    }

    /// Gives the source its turn again after the others have had theirs.
    pub fn again(&mut self, id: SourceId) {
        let source = self.source_mut(id);
        if !source.queued {
            source.queued = true;
            let token = token(id.0, source.generation);
            self.again.push_back(token);
        }
    }

    /// A timer that is not running yet.
    pub fn add_timer(&mut self, owner: Owner) -> TimerId {
        self.timers.add(owner)
    }

    /// Makes a timer run out at `when`, in place of what was set. Moving it forward is only a store.
    pub fn set_timer(&mut self, id: TimerId, when: Instant) {
        self.timers.set(id, when);
    }

    /// Ends a timer.
    pub fn remove_timer(&mut self, id: TimerId) {
        self.timers.remove(id);
    }

    /// Begins a turn: waits until something happens, at most `limit`.
    ///
    /// # Errors
    /// What epoll_wait says; an interrupting signal is no error.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let timeout = if self.again.is_empty() {
            let due = self.timers.next().map(|when| when.saturating_duration_since(Instant::now()));
            match (due, limit) {
                (Some(due), Some(limit)) => Some(due.min(limit)),
                (due, limit) => due.or(limit),
            }
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(&mut self.batch, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.batch.clear(),
            result => result?,
        }
        self.now = Instant::now();
        self.again_now = self.again.len();
        self.pending.clear();
        for event in &self.batch {
            // At once, so that whoever is served first knows what waits on its other sources.
            let Some(source) = find(&mut self.sources, event.token()) else { continue };
            let closing = event.is_read_closed() || event.is_error();
            source.readable |= event.is_readable() || closing;
            source.writable |= event.is_writable() || event.is_error() || event.is_write_closed();
            source.closing |= closing;
            source.urgent |= event.is_priority();
            self.pending.push(event.token());
        }
        self.pending.reverse();
        Ok(())
    }

    /// The next event of this turn: descriptors first, then timers, then those who asked for their turn [`again`](Self::again).
    /// Each is looked up only now, so one that belongs to a source closed earlier in the turn is never given out.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Event> {
        while let Some(token) = self.pending.pop() {
            if let Some(source) = find(&mut self.sources, token) {
                return Some(Event::Ready(source.owner));
            }
        }
        if let Some(owner) = self.timers.expired(self.now) {
            return Some(Event::Timer(owner));
        }
        while self.again_now > 0 {
            self.again_now -= 1;
            let token = self.again.pop_front()?;
            if let Some(source) = find(&mut self.sources, token) {
                source.queued = false;
                return Some(Event::Ready(source.owner));
            }
        }
        None
    }
}

fn token(key: u32, generation: u32) -> Token {
    Token(key as usize | (generation as usize) << 32)
}

fn find(sources: &mut Slab<Source>, token: Token) -> Option<&mut Source> {
    let source = sources.get_mut(token.0 as u32 as usize)?;
    (source.generation == (token.0 >> 32) as u32).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    const OWNER: Owner = Owner { engine: 1, part: 2, id: 3 };

    fn turn(reactor: &mut Reactor) -> Vec<Event> {
        reactor.wait(Some(Duration::from_millis(200))).unwrap();
        std::iter::from_fn(|| reactor.next()).collect()
    }

    #[test]
    fn readiness_stays_until_cleared_and_the_end_behind_a_short_read_is_not_lost() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut reactor = Reactor::new().unwrap();
        let id = reactor.add(ours.as_raw_fd(), OWNER).unwrap();
        theirs.write_all(b"abc").unwrap();
        drop(theirs);
        assert_eq!(turn(&mut reactor), [Event::Ready(OWNER)]);
        assert!(reactor.readable(id));
        let mut buffer = [0; 16];
        assert_eq!((&ours).read(&mut buffer).unwrap(), 3);
        reactor.clear_readable(id, false);
        assert!(reactor.readable(id), "the end of file is known to wait");
        assert_eq!((&ours).read(&mut buffer).unwrap(), 0);
        reactor.clear_readable(id, true);
        assert!(!reactor.readable(id));
    }

    #[test]
    fn an_event_of_a_removed_source_is_not_given_to_the_next_in_its_slot() {
        let (one, mut peer_one) = UnixStream::pair().unwrap();
        let (two, _peer_two) = UnixStream::pair().unwrap();
        let mut reactor = Reactor::new().unwrap();
        let first = reactor.add(one.as_raw_fd(), OWNER).unwrap();
        peer_one.write_all(b"x").unwrap();
        reactor.wait(None).unwrap();
        reactor.remove(first);
        let second = reactor.add(two.as_raw_fd(), Owner { id: 9, ..OWNER }).unwrap();
        assert_eq!(first, second, "the slot is taken again");
        assert_eq!(reactor.next(), None);
        assert!(!reactor.readable(second));
    }

    #[test]
    fn what_waits_on_all_sources_of_a_turn_is_known_before_its_first_event() {
        let (one, mut peer_one) = UnixStream::pair().unwrap();
        let (two, mut peer_two) = UnixStream::pair().unwrap();
        let mut reactor = Reactor::new().unwrap();
        let sources = [&one, &two].map(|stream| reactor.add(stream.as_raw_fd(), OWNER).unwrap());
        turn(&mut reactor);
        peer_one.write_all(b"x").unwrap();
        peer_two.write_all(b"x").unwrap();
        reactor.wait(None).unwrap();
        assert_eq!(reactor.next(), Some(Event::Ready(OWNER)));
        assert!(sources.into_iter().all(|source| reactor.readable(source)));
    }

    #[test]
    fn again_comes_after_the_others_and_once() {
        let (one, mut peer) = UnixStream::pair().unwrap();
        let (two, mut peer_two) = UnixStream::pair().unwrap();
        let mut reactor = Reactor::new().unwrap();
        let owner_two = Owner { id: 2, ..OWNER };
        let first = reactor.add(one.as_raw_fd(), OWNER).unwrap();
        reactor.add(two.as_raw_fd(), owner_two).unwrap();
        turn(&mut reactor);
        reactor.again(first);
        reactor.again(first);
        peer_two.write_all(b"x").unwrap();
        assert_eq!(turn(&mut reactor), [Event::Ready(owner_two), Event::Ready(OWNER)]);
        peer.write_all(b"x").unwrap();
        assert_eq!(turn(&mut reactor), [Event::Ready(OWNER)]);
    }

    #[test]
    fn what_is_known_is_not_reported_until_all_is_read() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut reactor = Reactor::new().unwrap();
        let id = reactor.add(ours.as_raw_fd(), OWNER).unwrap();
        turn(&mut reactor);
        for _ in 0..=KNOWN {
            theirs.write_all(b"x").unwrap();
            assert_eq!(turn(&mut reactor), [Event::Ready(OWNER)]);
            reactor.knew(id);
        }
        // That it can be written to is reported anew by the change itself.
        turn(&mut reactor);
        theirs.write_all(b"x").unwrap();
        reactor.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(reactor.next(), None, "nothing new");
        assert!(reactor.readable(id));
        let mut buffer = [0; 16];
        assert_eq!((&ours).read(&mut buffer).unwrap(), usize::from(KNOWN) + 2);
        // What comes between the read and its being told is not missed.
        theirs.write_all(b"y").unwrap();
        reactor.clear_readable(id, false);
        assert_eq!(turn(&mut reactor), [Event::Ready(OWNER)]);
        assert!(reactor.readable(id));
        assert_eq!((&ours).read(&mut buffer).unwrap(), 1);
        reactor.clear_readable(id, false);
        drop(theirs);
        assert_eq!(turn(&mut reactor), [Event::Ready(OWNER)]);
        assert!(reactor.readable(id) && reactor.closing(id));
    }

    #[test]
    fn an_end_while_nothing_is_reported_is_seen_when_all_is_read() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut reactor = Reactor::new().unwrap();
        let id = reactor.add(ours.as_raw_fd(), OWNER).unwrap();
        theirs.write_all(b"x").unwrap();
        turn(&mut reactor);
        (0..=KNOWN).for_each(|_| reactor.knew(id));
        theirs.write_all(b"y").unwrap();
        drop(theirs);
        // Who has gone altogether is reported whatever was asked for; who has only ended is not.
        reactor.wait(Some(Duration::ZERO)).unwrap();
        while reactor.next().is_some() {}
        let mut buffer = [0; 16];
        assert_eq!((&ours).read(&mut buffer).unwrap(), 2);
        reactor.clear_readable(id, false);
        while !reactor.readable(id) {
            assert_eq!(turn(&mut reactor), [Event::Ready(OWNER)]);
        }
        assert_eq!((&ours).read(&mut buffer).unwrap(), 0);
    }

    #[test]
    fn an_open_connection_tells_of_room_only_after_it_was_full() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut reactor = Reactor::new().unwrap();
        let id = reactor.add_open(ours.as_raw_fd(), OWNER).unwrap();
        assert!(reactor.writable(id));
        reactor.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(reactor.next(), None);
        let mut sent = 0;
        while let Ok(count) = (&ours).write(&[0; 4096]) {
            sent += count;
        }
        reactor.clear_writable(id);
        reactor.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!((reactor.next(), reactor.writable(id)), (None, false));
        theirs.read_exact(&mut vec![0; sent]).unwrap();
        while !reactor.writable(id) {
            assert_eq!(turn(&mut reactor), [Event::Ready(OWNER)]);
        }
        theirs.write_all(b"x").unwrap();
        assert_eq!(turn(&mut reactor), [Event::Ready(OWNER)]);
        assert!(reactor.readable(id));
    }

    #[test]
    fn a_timer_ends_the_wait() {
        let mut reactor = Reactor::new().unwrap();
        let timer = reactor.add_timer(OWNER);
        reactor.set_timer(timer, Instant::now() + Duration::from_millis(5));
        reactor.wait(None).unwrap();
        while reactor.next().is_none() {
            reactor.wait(None).unwrap();
        }
        assert!(reactor.timers.next().is_none());
    }
}
