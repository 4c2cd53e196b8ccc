//! An outer peer: a client or a server as the plan has it, over a socket of its own that the reactor knows nothing of.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::super::Side;
use super::plan::{Last, PeerPlan, Plan, Read, Write};

/// Bytes everybody knows: which ones a stream has where is a pure function of its key and the offset.
pub struct Known(Vec<u8>);

impl Known {
    /// A prime, so that no power of two of lost bytes goes unnoticed.
    const PERIOD: usize = 65_521;
    const LONGEST: usize = 1 << 17;

    pub fn new() -> Self {
        let mut random = Random(1);
        let period: Vec<u8> = (0..Self::PERIOD).map(|_| random.next() as u8).collect();
        Known(period.iter().copied().cycle().take(Self::PERIOD + Self::LONGEST).collect())
    }

    /// A part of a stream, cut to [`Known::LONGEST`].
    pub fn part(&self, key: u64, offset: u64, length: usize) -> &[u8] {
        let start = (Random(key).next().wrapping_add(offset) % Self::PERIOD as u64) as usize;
        &self.0[start..start + length.min(Self::LONGEST)]
    }
}

/// Steele, Lea and Flood's SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn percent(&mut self, chance: u8) -> bool {
        self.next() % 100 < u64::from(chance)
    }
}

/// What a peer has learned of the other's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Nothing,
    End,
    Failure(io::ErrorKind),
}

/// A list of steps and how far it has come.
#[derive(Debug)]
struct Lane<S> {
    steps: std::vec::IntoIter<S>,
    current: Option<S>,
    /// When the current step began.
    since: Instant,
}

impl<S> Lane<S> {
    fn new(steps: Vec<S>, now: Instant) -> Self {
        let mut steps = steps.into_iter();
        Lane { current: steps.next(), steps, since: now }
    }

    fn advance(&mut self, now: Instant) {
        (self.current, self.since) = (self.steps.next(), now);
    }

    fn passed(&self, milliseconds: u8, now: Instant) -> bool {
        now >= self.since + Duration::from_millis(milliseconds.into())
    }
}

/// A stream of bytes as one end sees it.
#[derive(Debug)]
pub struct Stream {
    pub key: u64,
    /// Bytes of it so far.
    pub offset: u64,
}

#[derive(Debug)]
pub struct Peer {
    socket: Option<Socket>,
    writes: Lane<Write>,
    reads: Lane<Read>,
    /// How it ends; `None` when it has ended.
    last: Option<Last>,
    drains: bool,
    piece: usize,
    burst: usize,
    /// May still send urgent data.
    urgent: bool,
    /// What it writes: from the plan's preface on for a client, whose bytes come behind that.
    pub written: Stream,
    pub read: Stream,
    pub seen: Seen,
}

/// What came of a turn.
#[derive(Debug, Default)]
pub struct Step {
    /// Something was done, so there may be more to do.
    pub progress: bool,
    /// It is about to end in this way; [`Peer::end`] does it.
    pub last: Option<Last>,
}

impl Peer {
    pub fn new(socket: Socket, plan: &Plan, side: Side, now: Instant) -> Self {
        let PeerPlan { link, writes, reads, piece, burst, .. } = &plan.peers[side as usize];
        Peer {
            socket: Some(socket),
            writes: Lane::new(writes.clone(), now),
            reads: Lane::new(reads.clone(), now),
            last: Some(plan.last(side)),
            drains: plan.drains(side),
            piece: *piece,
            burst: *burst,
            urgent: !link.unix,
            written: Stream { key: 0, offset: 0 },
            read: Stream { key: 0, offset: 0 },
            seen: Seen::Nothing,
        }
    }

    /// Whether it is there no more.
    pub fn gone(&self) -> bool {
        self.socket.is_none()
    }

    /// The session is over: what has come is read to the end.
    pub fn finish(&mut self) {
        self.drains = true;
        self.reads = Lane::new(Vec::new(), self.reads.since);
    }

    /// Goes on with both lists for a turn.
    ///
    /// # Errors
    /// A byte that is not what was written there.
    pub fn step(&mut self, known: &Known, now: Instant) -> Result<Step, String> {
        let mut step = Step::default();
        if self.socket.is_none() {
            return Ok(step);
        }
        for _ in 0..self.burst {
            if !self.write(known, now) {
                break;
            }
            step.progress = true;
        }
        for _ in 0..self.burst {
            if !self.receive(known, now)? {
                break;
            }
            step.progress = true;
        }
        if self.writes.current.is_none() {
            step.last = self.last.filter(|&last| last != Last::Silence);
            let silent = matches!(self.last, None | Some(Last::Silence));
            if silent && self.seen != Seen::Nothing {
                self.socket = None;
                step.progress = true;
            }
        }
        Ok(step)
    }

    /// Ends as planned.
    pub fn end(&mut self) {
        let Some(last) = self.last.take() else { return };
        match (&self.socket, last) {
            (Some(socket), Last::HalfClose) => drop(socket.shutdown(Shutdown::Write)),
            (Some(socket), Last::Reset) => {
                socket.set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
                self.socket = None;
            }
            _ => self.socket = None,
        }
    }

    fn write(&mut self, known: &Known, now: Instant) -> bool {
        let (Some(mut socket), Some(current)) = (self.socket.as_ref(), &mut self.writes.current) else { return false };
        match current {
            Write::Bytes(0) => self.writes.advance(now),
            Write::Bytes(left) => {
                let part = known.part(self.written.key, self.written.offset, self.piece.min(*left));
                match socket.write(part) {
                    Ok(count) => {
                        self.written.offset += count as u64;
                        *left -= count;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                    // Nobody is there any more; reading tells why.
                    Err(_) => self.writes = Lane::new(Vec::new(), now),
                }
            }
            &mut Write::Pause(milliseconds) => {
                if !self.writes.passed(milliseconds, now) {
                    return false;
                }
                self.writes.advance(now);
            }
            &mut Write::Await(bytes, most) => {
                let enough = self.read.offset >= bytes as u64 || self.seen != Seen::Nothing;
                if !enough && !self.writes.passed(most, now) {
                    return false;
                }
                self.writes.advance(now);
            }
            Write::Urgent => {
                if std::mem::take(&mut self.urgent) {
                    // A full socket takes none, and one whose peer has left.
                    let _ = socket.send_out_of_band(b"!");
                }
                self.writes.advance(now);
            }
        }
        true
    }

    fn receive(&mut self, known: &Known, now: Instant) -> Result<bool, String> {
        let Some(mut socket) = self.socket.as_ref() else { return Ok(false) };
        if self.seen != Seen::Nothing {
            return Ok(false);
        }
        let most = match self.reads.current {
            Some(Read::Pause(milliseconds)) => {
                let passed = self.reads.passed(milliseconds, now);
                if passed {
                    self.reads.advance(now);
                }
                return Ok(passed);
            }
            Some(Read::Bytes(0)) => {
                self.reads.advance(now);
                return Ok(true);
            }
            Some(Read::Bytes(left)) => left.min(self.piece),
            None if self.drains => self.piece,
            None => return Ok(false),
        };
        let mut buffer = vec![0; most.min(Known::LONGEST)];
        match socket.read(&mut buffer) {
            Ok(0) => self.seen = Seen::End,
            Ok(count) => {
                let expected = known.part(self.read.key, self.read.offset, count);
                if let Some(wrong) = expected.iter().zip(&buffer).position(|(expected, read)| expected != read) {
                    return Err(format!("byte {} is not the one that was written", self.read.offset + wrong as u64));
                }
                self.read.offset += count as u64;
                if let Some(Read::Bytes(left)) = &mut self.reads.current {
                    *left -= count;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => self.seen = Seen::Failure(error.kind()),
        }
        Ok(true)
    }
}
