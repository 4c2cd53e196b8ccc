//! What a session's peers will do, drawn from a seed and shrunk by proptest.

use std::ops::Range;
use std::time::Duration;

use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::super::{Side, Timeouts};

/// All that a session depends on but the kernel's and the other sessions' timing.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `proxy_buffer`.
    pub buffer: usize,
    /// Bytes that precede the client's, as a PROXY protocol header does.
    pub preface: usize,
    /// Bytes of the client that are read before the relay starts, as a websocket's head is.
    pub ahead: usize,
    /// Timeouts that can run out; else both peers come to their end by themselves.
    pub timeouts: Option<[u8; 3]>,
    /// After how many events the session is ended from outside.
    pub abandoned: Option<u8>,
    pub peers: [PeerPlan; 2],
}

/// What one outer peer does. It writes and reads independently, as a program with two threads would.
#[derive(Clone, Debug)]
pub struct PeerPlan {
    pub link: Link,
    /// Of a hundred turns of the loop, those in which it does something.
    pub diligence: u8,
    pub writes: Vec<Write>,
    pub last: Last,
    pub reads: Vec<Read>,
    /// Whether it reads on to the end after `reads`. It does when timeouts cannot run out.
    pub drains: bool,
    /// The most one of its system calls moves.
    pub piece: usize,
    /// The most system calls of each kind in one turn.
    pub burst: usize,
}

/// The sockets between a peer and the relay; sizes as for `SO_SNDBUF` and `SO_RCVBUF`, else the kernel's own.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    pub unix: bool,
    pub nodelay: bool,
    pub inner_send: Option<usize>,
    pub inner_receive: Option<usize>,
    pub outer_send: Option<usize>,
    pub outer_receive: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub enum Write {
    Bytes(usize),
    Pause(u8),
    /// Waits until so many bytes have been read in all, but not longer than these milliseconds.
    Await(usize, u8),
    /// One byte of urgent data, which no reader gets (tcp(7)). Only TCP has it, and only the first counts: a second one in flight would turn the first into
    /// an ordinary byte.
    Urgent,
}

#[derive(Clone, Copy, Debug)]
pub enum Read {
    Bytes(usize),
    Pause(u8),
}

/// How a peer ends after its last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    HalfClose,
    Close,
    Reset,
    /// Not at all. A client whose session has no other end half-closes.
    Silence,
}

/// How often the narrowest place must be passed for one write. A full window of a small socket can take the kernel a fifth of a second.
const MOST_PASSES: usize = 40;

impl PeerPlan {
    fn narrowest(&self) -> usize {
        let Link { inner_send, inner_receive, outer_send, outer_receive, .. } = self.link;
        let sizes = [inner_send, inner_receive, outer_send, outer_receive, Some(self.piece)];
        sizes.into_iter().flatten().min().unwrap_or(self.piece)
    }
}

impl Plan {
    /// The plan of a number.
    pub fn of(seed: u64, number: u64) -> Plan {
        tree(seed, number).current()
    }

    /// How a peer ends.
    pub fn last(&self, side: Side) -> Last {
        let endless = self.timeouts.is_none() && self.peers.iter().all(|peer| peer.last == Last::Silence);
        if endless && side == Side::Client { Last::HalfClose } else { self.peers[side as usize].last }
    }

    /// Whether a peer reads all there is.
    pub fn drains(&self, side: Side) -> bool {
        self.timeouts.is_none() || self.peers[side as usize].drains
    }

    /// The timeouts of the relay.
    pub fn timeouts(&self) -> Timeouts {
        let [client, upstream_read, upstream_send] = match self.timeouts {
            Some(short) => short.map(|milliseconds| Duration::from_millis(milliseconds.into())),
            None => [Duration::from_secs(3600); 3],
        };
        Timeouts { client, upstream_read, upstream_send }
    }
}

/// The plan of a number, with the simpler ones beside it.
pub fn tree(seed: u64, number: u64) -> Box<dyn ValueTree<Value = Plan>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    plan().boxed().new_tree(&mut runner).expect("no draw is rejected")
}

/// Sizes of every order of magnitude up to `1 << bits.end`.
fn size(bits: Range<u32>) -> impl Strategy<Value = usize> {
    bits.prop_flat_map(|bits| (1 << bits >> 1)..=1usize << bits)
}

fn plan() -> impl Strategy<Value = Plan> {
    let rarely_short = prop_oneof![3 => Just(None), 1 => proptest::array::uniform3(5u8..60).prop_map(Some)];
    (
        prop_oneof![1 => size(0..10), 3 => size(10..17)],
        prop_oneof![4 => Just(0), 1 => size(0..14)],
        prop_oneof![4 => Just(0), 1 => size(0..13)],
        rarely_short,
        prop_oneof![15 => Just(None), 1 => (0u8..60).prop_map(Some)],
        prop_oneof![5 => [peer(false), peer(false)], 1 => [peer(true), peer(true)]],
    )
        .prop_map(|(buffer, preface, ahead, timeouts, abandoned, mut peers)| {
            let narrowest = peers.each_ref().map(PeerPlan::narrowest).into_iter().min().unwrap_or(usize::MAX);
            for write in peers.iter_mut().flat_map(|peer| &mut peer.writes) {
                if let Write::Bytes(bytes) = write {
                    *bytes = (*bytes).min(MOST_PASSES * narrowest);
                }
            }
            Plan { buffer, preface, ahead, timeouts, abandoned, peers }
        })
}

/// `bulk`: one that moves much at a time.
fn peer(bulk: bool) -> impl Strategy<Value = PeerPlan> {
    let (piece, burst, large) = if bulk {
        (size(16..18).boxed(), size(4..7).boxed(), 8)
    } else {
        let piece = prop_oneof![1 => size(5..12), 3 => size(12..18)];
        (piece.boxed(), prop_oneof![Just(1), size(1..7)].boxed(), 2)
    };
    let last = prop_oneof![
        5 => Just(Last::HalfClose),
        3 => Just(Last::Silence),
        2 => Just(Last::Close),
        2 => Just(Last::Reset),
    ];
    let write = prop_oneof![
        6 => size(0..17).prop_map(Write::Bytes),
        large => size(17..23).prop_map(Write::Bytes),
        2 => (0u8..20).prop_map(Write::Pause),
        3 => (size(0..17), 1u8..20).prop_map(|(bytes, most)| Write::Await(bytes, most)),
        1 => Just(Write::Urgent),
    ];
    let read = prop_oneof![
        1 => size(0..18).prop_map(Read::Bytes),
        1 => (0u8..80).prop_map(Read::Pause),
    ];
    (
        link(bulk),
        prop_oneof![Just(100u8), 10u8..=100],
        proptest::collection::vec(write, 0..8),
        last,
        proptest::collection::vec(read, 0..6),
        prop::bool::weighted(0.8),
        piece,
        burst,
    )
        .prop_map(|(link, diligence, writes, last, reads, drains, piece, burst)| PeerPlan {
            link,
            diligence,
            writes,
            last,
            reads,
            drains,
            piece,
            burst,
        })
}

fn link(bulk: bool) -> impl Strategy<Value = Link> {
    let sizes = [if bulk { 0.02 } else { 0.7 }; 4].map(|chance| option::weighted(chance, size(12..19)));
    (prop::bool::weighted(0.15), prop::bool::weighted(0.8), sizes).prop_map(|(unix, nodelay, sizes)| {
        let [inner_send, inner_receive, outer_send, outer_receive] = sizes;
        Link { unix, nodelay, inner_send, inner_receive, outer_send, outer_receive }
    })
}
