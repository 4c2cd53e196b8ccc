//! One direction of a relay: what it holds, and the two ways in which it moves bytes.

use std::io;

use bytes::{Buf, BytesMut};

use super::Buffers;
use super::pipes::Pooled;
use crate::event::Reactor;
use crate::net::Connection;

/// The most that one splice(2) moves in; a pipe rarely takes that much.
const SPLICE: usize = 1024 * 1024;

/// A splice that moves less than this is dearer than a copy would have been.
const LITTLE: usize = 16 * 1024;

/// How many splices in a row must bring [`LITTLE`] for a flow to be copied again.
const LITTLES: u16 = 4;

/// How much cheaper a spliced byte is than a copied one, for the length of a turn.
const CHEAPER: usize = 16;

/// What ended a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Its source: end of file or an error.
    Source,
    /// Its destination takes nothing more.
    Destination,
}

/// Received and not yet taken by the destination; never nothing.
#[derive(Debug)]
enum Kept {
    Bytes(BytesMut),
    Pipe(Pooled),
}

/// How much may be read.
#[derive(Clone, Copy, Debug)]
pub struct Reads {
    /// The size that reads begin with.
    pub first: u32,
    /// Bytes that are wanted in all.
    pub most: u64,
}

impl Reads {
    /// A size, bounded by what is wanted.
    fn bound(self, size: usize) -> usize {
        size.min(usize::try_from(self.most).unwrap_or(usize::MAX))
    }
}

/// The side that failed, and how.
pub enum Failed {
    /// The source.
    Receiving(io::Error),
    /// The destination.
    Sending(io::Error),
}

/// One direction.
#[derive(Debug, Default)]
pub struct Flow {
    kept: Option<Kept>,
    /// Why nothing more will be read, when that is so.
    pub(super) ended: Option<End>,
    /// How much is read at once: the configured buffer at first and whenever the destination lags, more as long as it does not.
    read_size: u32,
    /// Whether bytes are moved by splice(2) where that can be done.
    splicing: bool,
    /// Reads in a row that speak for the other way of moving bytes.
    streak: u16,
    /// Bytes read from the source.
    pub received: u64,
    /// Bytes the destination took.
    pub sent: u64,
}

impl Flow {
    /// A flow that nothing has gone through, whose reads begin with `buffer` bytes.
    pub fn new(buffer: u32) -> Self {
        Flow { read_size: buffer, ..Flow::default() }
    }

    /// Whether nothing more will be read.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether bytes wait for the destination.
    pub fn waits(&self) -> bool {
        self.kept.is_some()
    }

    /// The bytes that wait, when they are in this process.
    pub fn bytes(&self) -> &[u8] {
        match &self.kept {
            Some(Kept::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    /// Bytes have been read into the scratch buffer before it is known whom they are for: they wait from now on.
    pub fn keep_ahead(&mut self, count: usize, buffers: &mut Buffers) {
        match &mut self.kept {
            Some(Kept::Bytes(kept)) => kept.extend_from_slice(buffers.scratch(count)),
            _ if count > 0 => self.kept = Some(Kept::Bytes(buffers.keep(0..count))),
            _ => {}
        }
        self.received += count as u64;
    }

    /// Takes over what another flow has read ahead.
    pub fn begin_with(&mut self, ahead: Flow) {
        (self.kept, self.received) = (ahead.kept, ahead.received);
    }

    /// Puts bytes before those that wait.
    pub fn precede(&mut self, bytes: &[u8], buffers: &mut Buffers) {
        let mut first = buffers.keep_copy(bytes);
        first.extend_from_slice(self.bytes());
        self.release(buffers);
        self.kept = Some(Kept::Bytes(first));
    }

    /// Lets go of what waits.
    pub fn release(&mut self, buffers: &mut Buffers) {
        match self.kept.take() {
            Some(Kept::Bytes(bytes)) => buffers.put(Some(bytes)),
            Some(Kept::Pipe(pipe)) => buffers.pipes.put(pipe),
            None => {}
        }
    }

    /// Sends what waits, as far as the destination takes it. Returns how much that is.
    ///
    /// # Errors
    /// The destination's.
    pub fn deliver(&mut self, to: &Connection, reactor: &mut Reactor, buffers: &mut Buffers) -> io::Result<usize> {
        let (count, all) = match &mut self.kept {
            Some(Kept::Bytes(bytes)) => {
                let count = to.send(reactor, bytes)?;
                bytes.advance(count);
                (count, bytes.is_empty())
            }
            Some(Kept::Pipe(pipe)) => (to.drain(reactor, pipe)?, pipe.holds() == 0),
            None => return Ok(0),
        };
        self.sent += count as u64;
        if all {
            self.release(buffers);
        }
        Ok(count)
    }

    /// Reads once, when nothing waits, and sends on what came; what the destination does not take then waits for it. Returns what it counts
    /// for in a turn. `None`: nothing has come, or the source has ended.
    ///
    /// # Errors
    /// Which side failed, and how.
    pub fn pass(
        &mut self,
        from: &Connection,
        to: &Connection,
        reads: Reads,
        reactor: &mut Reactor,
        buffers: &mut Buffers,
    ) -> Result<Option<usize>, Failed> {
        // splice(2) does not get past urgent data.
        let spliced = (self.splicing || buffers.pipes.patience == 0)
            && from.is_plain()
            && to.is_plain()
            && !reactor.urgent(from.source());
        if spliced && let Some(pipe) = buffers.pipes.take(reactor.now()) {
            return self.splice(from, to, reads, pipe, reactor, buffers);
        }
        self.copy(from, to, reads, reactor, buffers)
    }

    fn copy(
        &mut self,
        from: &Connection,
        to: &Connection,
        reads: Reads,
        reactor: &mut Reactor,
        buffers: &mut Buffers,
    ) -> Result<Option<usize>, Failed> {
        let scratch = buffers.scratch(reads.bound(self.read_size as usize));
        let Some(received) = from.recv(reactor, scratch).map_err(Failed::Receiving)? else { return Ok(None) };
        if received == 0 {
            self.ended = Some(End::Source);
            return Ok(None);
        }
        self.received += received as u64;
        let filled = received == scratch.len();
        self.streak = if filled { self.streak.saturating_add(1) } else { 0 };
        if self.streak >= buffers.pipes.patience {
            (self.splicing, self.streak) = (true, 0);
        }
        let sent = to.send(reactor, &buffers.scratch(received)[..]).map_err(Failed::Sending)?;
        self.sent += sent as u64;
        if sent < received {
            self.kept = Some(Kept::Bytes(buffers.keep(sent..received)));
            self.read_size = reads.first;
        } else if filled {
            self.read_size = (self.read_size * 2).min(Buffers::SCRATCH as u32);
        }
        Ok(Some(received))
    }

    fn splice(
        &mut self,
        from: &Connection,
        to: &Connection,
        reads: Reads,
        mut pipe: Pooled,
        reactor: &mut Reactor,
        buffers: &mut Buffers,
    ) -> Result<Option<usize>, Failed> {
        let received = match from.fill(reactor, &mut pipe, reads.bound(SPLICE)) {
            Ok(Some(received)) if received > 0 => received,
            nothing => {
                buffers.pipes.put(pipe);
                return match nothing {
                    Ok(None) => Ok(None),
                    // It looks the same whether the peer has ended or urgent data has just come before its end: recv(2) knows.
                    Ok(_) => self.copy(from, to, reads, reactor, buffers),
                    // The kernel, or a sandbox around it, does not splice here.
                    Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
                        buffers.pipes.give_up(reactor.now());
                        self.copy(from, to, reads, reactor, buffers)
                    }
                    Err(error) => Err(Failed::Receiving(error)),
                };
            }
        };
        self.received += received as u64;
        self.streak = if received < LITTLE { self.streak + 1 } else { 0 };
        if self.streak >= LITTLES {
            (self.splicing, self.streak, self.read_size) = (false, 0, reads.first);
        }
        let sent = to.drain(reactor, &mut pipe);
        if pipe.holds() > 0 && sent.is_ok() {
            self.kept = Some(Kept::Pipe(pipe));
        } else {
            buffers.pipes.put(pipe);
        }
        let sent = sent.map_err(Failed::Sending)?;
        self.sent += sent as u64;
        Ok(Some(received / CHEAPER))
    }
}
