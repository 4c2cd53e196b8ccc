//! The relay over real sockets.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::*;
use crate::event::{Event, Owner};

fn watched(stream: UnixStream, reactor: &mut Reactor, side: Side) -> Connection {
    stream.set_nonblocking(true).unwrap();
    let owner = Owner { engine: 0, part: side as u8, id: 0 };
    Connection::accepted(stream.into(), reactor, owner).unwrap()
}

/// A relay between two sockets, whose other ends a test holds.
struct Between {
    reactor: Reactor,
    buffers: Buffers,
    client: Connection,
    upstream: Connection,
    relay: Relay,
}

impl Between {
    /// With the other ends of client and upstream.
    fn new() -> (Self, UnixStream, UnixStream) {
        let mut reactor = Reactor::new().unwrap();
        let (outer_client, client) = UnixStream::pair().unwrap();
        let (outer_upstream, upstream) = UnixStream::pair().unwrap();
        let client = watched(client, &mut reactor, Side::Client);
        let upstream = watched(upstream, &mut reactor, Side::Upstream);
        let relay = Relay::new(4096, reactor.now());
        (Between { reactor, buffers: Buffers::default(), client, upstream, relay }, outer_client, outer_upstream)
    }

    /// Serves what comes within the time; whether the session goes on.
    fn turn(&mut self, patience: Option<Duration>) -> bool {
        let Between { reactor, buffers, client, upstream, relay } = self;
        let ends = Ends { client, upstream };
        let mut goes_on = true;
        reactor.wait(patience).unwrap();
        while let Some(Event::Ready(owner)) = reactor.next() {
            let side = if owner.part == Side::Client as u8 { Side::Client } else { Side::Upstream };
            goes_on = goes_on && relay.ready(side, ends, reactor, buffers, |fault| panic!("{fault:?}"));
        }
        goes_on
    }

    /// The first bytes for the upstream.
    fn precede(&mut self, bytes: &[u8]) {
        self.relay.precede(bytes, &mut self.buffers, self.reactor.now());
    }
}

#[test]
fn what_precedes_the_client_comes_first_however_short_the_writes() {
    let (mut between, mut outer_client, outer_upstream) = Between::new();
    // Many times what a socket takes at once.
    let first = vec![b'h'; 4 << 20];
    between.precede(&first);
    outer_client.write_all(b"client").unwrap();
    outer_client.shutdown(std::net::Shutdown::Write).unwrap();
    let received = std::thread::spawn(move || {
        let mut received = Vec::new();
        let count = (&outer_upstream).take((4 << 20) + 6).read_to_end(&mut received).unwrap();
        (count, received)
    });
    while between.turn(None) {}
    let (count, received) = received.join().unwrap();
    assert_eq!(count, first.len() + 6);
    assert!(received.starts_with(&first) && received.ends_with(b"client"));
    assert_eq!((between.relay.received(Side::Client), between.relay.sent(Side::Upstream)), (6, count as u64));
}

#[test]
fn what_was_read_ahead_comes_behind_what_precedes_it() {
    let (mut between, mut outer_client, mut outer_upstream) = Between::new();
    let mut read_ahead = |most| {
        let Between { reactor, buffers, client, relay, .. } = &mut between;
        let count = relay.read_ahead(client, most, reactor, buffers).unwrap();
        (count, relay.ahead().to_vec())
    };
    assert_eq!(read_ahead(5), (None, Vec::new()));
    outer_client.write_all(b"ahead, and the rest").unwrap();
    assert_eq!(read_ahead(3), (Some(3), b"ahe".to_vec()));
    assert_eq!(read_ahead(2), (Some(2), b"ahead".to_vec()));
    between.relay.start(4096, between.reactor.now());
    between.precede(b"first, ");
    let mut received = [0; 26];
    for _ in 0..2 {
        between.turn(Some(Duration::ZERO));
    }
    outer_upstream.set_nonblocking(true).unwrap();
    outer_upstream.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"first, ahead, and the rest");
    assert_eq!((between.relay.received(Side::Client), between.relay.sent(Side::Upstream)), (19, 26));
    assert!(!between.relay.waiting());
}

#[test]
fn what_came_before_an_end_of_the_same_turn_is_delivered() {
    let (mut between, mut outer_client, mut outer_upstream) = Between::new();
    // The kernel names the upstream first, whose end came last.
    outer_upstream.write_all(b"reply").unwrap();
    outer_client.write_all(b"last words").unwrap();
    outer_upstream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(!between.turn(None));
    let mut received = [0; 10];
    outer_upstream.set_nonblocking(true).unwrap();
    outer_upstream.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"last words");
}

#[test]
fn a_client_that_takes_bytes_while_its_own_wait_is_still_heard() {
    let (mut between, mut outer_client, mut outer_upstream) = Between::new();
    // More than a socket takes at once, so that the upstream stalls while nothing waits in the client's socket.
    let first = vec![b'h'; 1 << 20];
    between.precede(&first);
    let mut turn = || {
        between.turn(Some(Duration::from_millis(10)));
        between.relay.received(Side::Client)
    };
    turn();
    // Each piece that the client takes makes room in its socket, which is an event.
    for _ in 0..8 {
        outer_upstream.write_all(&[b'u'; 1000]).unwrap();
        turn();
        outer_client.read_exact(&mut [0; 1000]).unwrap();
        turn();
    }
    outer_client.write_all(b"client").unwrap();
    let mut rest = first.len();
    let mut buffer = vec![0; 1 << 16];
    while rest > 0 {
        rest -= outer_upstream.read(&mut buffer[..rest.min(1 << 16)]).unwrap();
        turn();
    }
    assert_eq!(turn(), 6);
}
