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

#[test]
fn what_precedes_the_client_comes_first_however_short_the_writes() {
    let mut reactor = Reactor::new().unwrap();
    let mut buffers = Buffers::default();
    let (mut outer_client, client) = UnixStream::pair().unwrap();
    let (outer_upstream, upstream) = UnixStream::pair().unwrap();
    let client = watched(client, &mut reactor, Side::Client);
    let upstream = watched(upstream, &mut reactor, Side::Upstream);
    let mut relay = Relay::new(4096, reactor.now());
    // Many times what a socket takes at once.
    let first = vec![b'h'; 4 << 20];
    relay.precede(&first, &mut buffers, reactor.now());
    outer_client.write_all(b"client").unwrap();
    outer_client.shutdown(std::net::Shutdown::Write).unwrap();
    let received = std::thread::spawn(move || {
        let mut received = Vec::new();
        let count = (&outer_upstream).take((4 << 20) + 6).read_to_end(&mut received).unwrap();
        (count, received)
    });
    let ends = Ends { client: &client, upstream: &upstream };
    let mut goes_on = true;
    while goes_on {
        reactor.wait(None).unwrap();
        while let Some(Event::Ready(owner)) = reactor.next() {
            let side = if owner.part == Side::Client as u8 { Side::Client } else { Side::Upstream };
            goes_on = relay.ready(side, ends, &mut reactor, &mut buffers, |fault| panic!("{fault:?}"));
        }
    }
    let (count, received) = received.join().unwrap();
    assert_eq!(count, first.len() + 6);
    assert!(received.starts_with(&first) && received.ends_with(b"client"));
    assert_eq!((relay.received(Side::Client), relay.sent(Side::Upstream)), (6, count as u64));
}

#[test]
fn what_was_read_ahead_comes_behind_what_precedes_it() {
    let mut reactor = Reactor::new().unwrap();
    let mut buffers = Buffers::default();
    let (mut outer_client, client) = UnixStream::pair().unwrap();
    let (mut outer_upstream, upstream) = UnixStream::pair().unwrap();
    let client = watched(client, &mut reactor, Side::Client);
    let upstream = watched(upstream, &mut reactor, Side::Upstream);
    let mut relay = Relay::new(4096, reactor.now());
    assert_eq!(relay.read_ahead(&client, 5, &mut reactor, &mut buffers).unwrap(), None);
    outer_client.write_all(b"ahead, and the rest").unwrap();
    for (most, ahead) in [(3, "ahe"), (2, "ahead")] {
        assert_eq!(relay.read_ahead(&client, most, &mut reactor, &mut buffers).unwrap(), Some(most));
        assert_eq!(relay.ahead(), ahead.as_bytes());
    }
    relay.start(4096, reactor.now());
    relay.precede(b"first, ", &mut buffers, reactor.now());
    let ends = Ends { client: &client, upstream: &upstream };
    let mut received = [0; 26];
    for _ in 0..2 {
        reactor.wait(Some(Duration::ZERO)).unwrap();
        while let Some(Event::Ready(_)) = reactor.next() {
            relay.ready(Side::Client, ends, &mut reactor, &mut buffers, |fault| panic!("{fault:?}"));
        }
    }
    outer_upstream.set_nonblocking(true).unwrap();
    outer_upstream.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"first, ahead, and the rest");
    assert_eq!((relay.received(Side::Client), relay.sent(Side::Upstream)), (19, 26));
    assert!(!relay.waiting());
}

#[test]
fn what_came_before_an_end_of_the_same_turn_is_delivered() {
    let mut reactor = Reactor::new().unwrap();
    let mut buffers = Buffers::default();
    let (mut outer_client, client) = UnixStream::pair().unwrap();
    let (mut outer_upstream, upstream) = UnixStream::pair().unwrap();
    let client = watched(client, &mut reactor, Side::Client);
    let upstream = watched(upstream, &mut reactor, Side::Upstream);
    let mut relay = Relay::new(4096, reactor.now());
    let ends = Ends { client: &client, upstream: &upstream };
    let mut turn = || {
        let mut goes_on = true;
        reactor.wait(None).unwrap();
        while let Some(Event::Ready(owner)) = reactor.next() {
            let side = if owner.part == Side::Client as u8 { Side::Client } else { Side::Upstream };
            goes_on = goes_on && relay.ready(side, ends, &mut reactor, &mut buffers, |fault| panic!("{fault:?}"));
        }
        goes_on
    };
    assert!(turn());
    // The kernel names the upstream first, whose end came last.
    outer_upstream.write_all(b"reply").unwrap();
    outer_client.write_all(b"last words").unwrap();
    outer_upstream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(!turn());
    let mut received = [0; 10];
    outer_upstream.set_nonblocking(true).unwrap();
    outer_upstream.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"last words");
}

#[test]
fn a_client_that_takes_bytes_while_its_own_wait_is_still_heard() {
    let mut reactor = Reactor::new().unwrap();
    let mut buffers = Buffers::default();
    let (mut outer_client, client) = UnixStream::pair().unwrap();
    let (mut outer_upstream, upstream) = UnixStream::pair().unwrap();
    let client = watched(client, &mut reactor, Side::Client);
    let upstream = watched(upstream, &mut reactor, Side::Upstream);
    let mut relay = Relay::new(4096, reactor.now());
    // More than a socket takes at once, so that the upstream stalls while nothing waits in the client's socket.
    let first = vec![b'h'; 1 << 20];
    relay.precede(&first, &mut buffers, reactor.now());
    let ends = Ends { client: &client, upstream: &upstream };
    let mut turn = || {
        reactor.wait(Some(Duration::from_millis(10))).unwrap();
        while let Some(Event::Ready(owner)) = reactor.next() {
            let side = if owner.part == Side::Client as u8 { Side::Client } else { Side::Upstream };
            relay.ready(side, ends, &mut reactor, &mut buffers, |fault| panic!("{fault:?}"));
        }
        relay.received(Side::Client)
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
