//! What is still to be sent of an answer: bytes, and parts of files.

use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Instant;

use super::pace::Pace;
pub(super) use super::pieces::Piece;
use super::pieces::Pieces;
use crate::event::Reactor;
use crate::net::Connection;
use crate::relay::Buffers;

/// Bytes sent for one event before others have their turn.
const TURN: u64 = 256 * 1024;

/// The same where the kernel moves them by itself, nginx's `sendfile_max_chunk`.
const FILE_TURN: u64 = 2 * 1024 * 1024;

/// Pieces in the order of sending.
#[derive(Default)]
pub(super) struct Output {
    pieces: Pieces,
    /// How much of a first piece of bytes is gone.
    gone: usize,
    sent: u64,
    /// What of it was compressed: its length before and after.
    pub ratio: Option<(u64, u64)>,
    /// How fast it may go.
    pub pace: Option<Pace>,
    /// Bytes before a file wait in the socket for its first ones.
    gathers: bool,
}

/// A file of at most so many bytes is sent together with what stands before it: to copy it costs less than a send of its own.
const JOINED: u64 = 16 * 1024;

/// How far sending has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// The socket takes no more now.
    Blocked,
    /// It might, but others have waited long enough.
    TurnOver,
    /// It has gone too fast; until then nothing is sent.
    Held(Instant),
}

impl Output {
    /// Adds a piece; bytes behind bytes become one, so that a small answer is one packet.
    pub(super) fn push(&mut self, piece: Piece) {
        match (self.pieces.last(), piece) {
            (_, piece) if piece.length() == 0 => {}
            (Some(Piece::Bytes(_)), Piece::Bytes(bytes)) => self.push_bytes(&bytes),
            (Some(Piece::File { file, offset, left }), Piece::File { file: next, offset: at, left: more })
                if Rc::ptr_eq(file, &next) && *offset + *left == at =>
            {
                *left += more;
            }
            (_, piece) => self.pieces.push(piece),
        }
    }

    /// Adds bytes.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        let first = self.pieces.len() == 1;
        match self.pieces.last() {
            Some(Piece::Bytes(last)) => {
                // What is gone already must not pile up before a client that never has taken all.
                if first && self.gone > last.len() / 2 {
                    last.drain(..self.gone);
                    self.gone = 0;
                }
                last.extend_from_slice(bytes);
            }
            _ if bytes.is_empty() => {}
            _ => self.pieces.push(Piece::Bytes(bytes.to_vec())),
        }
    }

    /// Forgets what is left.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.gone = 0;
    }

    /// Counts bytes that have been sent by others.
    pub(super) fn count(&mut self, sent: u64) {
        self.sent += sent;
    }

    /// Nothing of what is left will be sent.
    pub(super) fn drop_rest(&mut self) {
        self.pieces.clear();
        self.gone = 0;
    }

    /// Whether nothing is left to send.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that are left and are in memory.
    pub(super) fn held(&self) -> usize {
        let held = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::File { .. } | Piece::Gzip(_) => 0,
        };
        self.pieces.iter().map(held).sum::<usize>() - self.gone
    }

    /// Bytes that the socket has taken so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether parts of files are among what is left.
    pub(super) fn has_file(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::File { .. }))
    }

    /// Has the head leave in one packet with the file that follows it, without further calls. Tells whether that is all there is.
    pub(super) fn gather(&mut self) -> bool {
        let follows = |piece: &Piece| matches!(piece, Piece::File { left, .. } if *left <= TURN);
        self.gathers = self.pieces.len() == 2 && self.pieces.second().is_some_and(follows);
        self.gathers
    }

    /// Whether all there is are bytes and a short file, which are sent as one.
    pub(super) fn is_joined(&self) -> bool {
        self.pieces.len() == 2 && matches!(self.pieces.second(), Some(Piece::File { left, .. }) if *left <= JOINED)
    }

    /// Sends bytes and the short file that follows them, where that is what comes next and it fits the turn; false: nothing has been done.
    fn send_joined(
        &mut self,
        connection: &Connection,
        reactor: &mut Reactor,
        buffers: &mut Buffers,
        turn: u64,
    ) -> Result<bool, (&'static str, io::Error)> {
        let Some((Piece::Bytes(bytes), Piece::File { file, offset, left })) = self.pieces.both() else {
            return Ok(false);
        };
        let bytes = &bytes[self.gone..];
        let length = bytes.len() as u64 + *left;
        let fits = length <= turn.saturating_sub(self.sent).min(Buffers::SCRATCH as u64);
        if *left > JOINED || !fits || !reactor.writable(connection.source()) {
            return Ok(false);
        }
        let scratch = buffers.scratch(length as usize);
        let (before, behind) = scratch.split_at_mut(bytes.len());
        before.copy_from_slice(bytes);
        // What is wrong with a file is told of when its turn comes.
        if !file.read_at(behind, *offset).is_ok_and(|read| read == behind.len()) {
            return Ok(false);
        }
        let sent = connection.send(reactor, scratch).map_err(|error| ("send()", error))?;
        self.sent += sent as u64;
        match sent.checked_sub(bytes.len()) {
            None => self.gone += sent,
            Some(of_file) => {
                *offset += of_file as u64;
                *left -= of_file as u64;
                let whole = *left == 0;
                self.pieces.pop_front();
                self.gone = 0;
                if whole {
                    self.pieces.pop_front();
                }
            }
        }
        Ok(true)
    }

    /// Sends until all is gone, the socket is full, or the turn is over.
    ///
    /// # Errors
    /// The call that failed and why; a file that has become shorter is `UnexpectedEof`.
    pub(super) fn send(
        &mut self,
        connection: &Connection,
        reactor: &mut Reactor,
        buffers: &mut Buffers,
        sendfile: bool,
    ) -> Result<Progress, (&'static str, io::Error)> {
        let (mut turn, mut file_turn, mut most) = (self.sent + TURN, self.sent + FILE_TURN, u64::MAX);
        if let Some(pace) = self.pace.filter(|_| !self.is_empty() && reactor.writable(connection.source())) {
            match pace.allows(self.sent, reactor.now()) {
                Ok(more) => {
                    turn = turn.min(self.sent.saturating_add(more));
                    file_turn = turn;
                }
                Err(until) => return Ok(Progress::Held(until)),
            }
            most = turn - self.sent;
        }
        let mut compressed = 0;
        loop {
            if self.send_joined(connection, reactor, buffers, turn)? {
                continue;
            }
            let file_follows = matches!(self.pieces.second(), Some(Piece::File { .. }));
            let Some(piece) = self.pieces.first() else { return Ok(Progress::Done) };
            if !reactor.writable(connection.source()) {
                return Ok(Progress::Blocked);
            }
            let moved = sendfile && connection.is_plain() && matches!(piece, Piece::File { .. });
            let end = if moved { file_turn } else { turn };
            if self.sent >= end {
                return Ok(Progress::TurnOver);
            }
            if let Piece::Gzip(stream) = piece {
                // Little may come of much.
                if compressed >= TURN {
                    return Ok(Progress::TurnOver);
                }
                match stream.step(buffers).map_err(|error| ("pread()", error))? {
                    Some((bytes, read)) => {
                        compressed += read;
                        if !bytes.is_empty() {
                            self.pieces.push_front(Piece::Bytes(bytes));
                        }
                    }
                    None => {
                        self.ratio = Some(stream.totals());
                        self.pieces.pop_front();
                    }
                }
                continue;
            }
            let done = match piece {
                Piece::Gzip(_) => true,
                Piece::Bytes(bytes) => {
                    let rest = &bytes[self.gone..];
                    let rest = &rest[..rest.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
                    let whole = rest.len() == bytes.len() - self.gone;
                    let sent = match self.gathers && file_follows && whole {
                        true => connection.send_part(reactor, rest),
                        false => connection.send(reactor, rest),
                    };
                    let count = sent.map_err(|error| ("send()", error))?;
                    self.gone += count;
                    self.sent += count as u64;
                    self.gone == bytes.len()
                }
                Piece::File { file, offset, left } => {
                    let count = if moved {
                        let most = (*left).min(end - self.sent) as usize;
                        connection.send_file(reactor, file, *offset, most).map_err(|error| ("sendfile()", error))?
                    } else {
                        let scratch = buffers.scratch((*left).min(most).min(Buffers::SCRATCH as u64) as usize);
                        let read = file.read_at(scratch, *offset).map_err(|error| ("pread()", error))?;
                        if read == 0 {
                            return Err(("pread()", io::ErrorKind::UnexpectedEof.into()));
                        }
                        connection.send(reactor, &scratch[..read]).map_err(|error| ("send()", error))?
                    } as u64;
                    *offset += count;
                    *left -= count;
                    self.sent += count;
                    *left == 0
                }
            };
            if done {
                self.pieces.pop_front();
                self.gone = 0;
            }
        }
    }
}
