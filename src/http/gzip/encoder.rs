//! Bodies while they are compressed.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use crate::http::output::Piece;
use crate::relay::Buffers;

/// What is compressed at once.
const STEP: usize = 64 * 1024;
/// `OS` of RFC 1952 for Unix, which nginx writes.
const UNIX: u8 = 3;

/// Compresses a body that comes piece by piece.
pub(in crate::http) struct Encoder {
    gzip: GzEncoder<Vec<u8>>,
    taken: u64,
    given: u64,
}

impl Encoder {
    /// At a level from 1 to 9.
    pub(super) fn new(level: u32) -> Self {
        let gzip = GzBuilder::new().operating_system(UNIX).write(Vec::new(), Compression::new(level));
        Encoder { gzip, taken: 0, given: 0 }
    }

    fn out(&mut self) -> Vec<u8> {
        let out = std::mem::take(self.gzip.get_mut());
        self.given += out.len() as u64;
        out
    }

    /// Takes a piece of the body and gives what is ready, with `flush` all that has been taken.
    pub(in crate::http) fn take(&mut self, content: &[u8], flush: bool) -> Vec<u8> {
        // Writing to memory does not fail.
        let _ = self.gzip.write_all(content);
        self.taken += content.len() as u64;
        if flush && !content.is_empty() { self.flush() } else { self.out() }
    }

    /// All that has been taken and not given yet.
    pub(in crate::http) fn flush(&mut self) -> Vec<u8> {
        let _ = self.gzip.flush();
        self.out()
    }

    /// What is left, with the end.
    pub(in crate::http) fn finish(&mut self) -> Vec<u8> {
        let _ = self.gzip.try_finish();
        self.out()
    }

    /// Bytes taken and given.
    pub(in crate::http) fn totals(&self) -> (u64, u64) {
        (self.taken, self.given)
    }
}

/// A body of ours that is compressed as it is sent.
pub(in crate::http) struct Stream {
    encoder: Encoder,
    left: VecDeque<Piece>,
    /// What follows the body, after the last chunk's length; `None`: it does not go in chunks.
    trailers: Option<Vec<u8>>,
    finished: bool,
}

impl Stream {
    pub(in crate::http) fn new(encoder: Encoder, body: Vec<Piece>, trailers: Option<Vec<u8>>) -> Self {
        Stream { encoder, left: body.into(), trailers, finished: false }
    }

    /// Compresses some more. Gives what is to be sent, framed, and how much was read for it; `None` at the end.
    ///
    /// # Errors
    /// A file cannot be read; one that has become shorter is `UnexpectedEof`.
    pub(in crate::http) fn step(&mut self, buffers: &mut Buffers) -> io::Result<Option<(Vec<u8>, u64)>> {
        if self.finished {
            return Ok(None);
        }
        let (encoded, read) = match self.left.front_mut() {
            None => {
                self.finished = true;
                (self.encoder.finish(), 0)
            }
            Some(Piece::Bytes(bytes)) => {
                let step = bytes.len().min(STEP);
                let encoded = self.encoder.take(&bytes[..step], false);
                bytes.drain(..step);
                if bytes.is_empty() {
                    self.left.pop_front();
                }
                (encoded, step as u64)
            }
            Some(Piece::File { file, offset, left }) => {
                let scratch = buffers.scratch((*left).min(STEP as u64) as usize);
                let read = file.read_at(scratch, *offset)?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *offset += read as u64;
                *left -= read as u64;
                let done = *left == 0;
                let encoded = self.encoder.take(&scratch[..read], false);
                if done {
                    self.left.pop_front();
                }
                (encoded, read as u64)
            }
            // Nothing is compressed twice.
            Some(Piece::Gzip(_)) => {
                self.left.pop_front();
                (Vec::new(), 0)
            }
        };
        Ok(Some((self.framed(encoded), read)))
    }

    fn framed(&self, encoded: Vec<u8>) -> Vec<u8> {
        let Some(trailers) = &self.trailers else { return encoded };
        let mut framed = Vec::with_capacity(encoded.len() + 32);
        if !encoded.is_empty() {
            framed.extend_from_slice(format!("{:x}\r\n", encoded.len()).as_bytes());
            framed.extend_from_slice(&encoded);
            framed.extend_from_slice(b"\r\n");
        }
        if self.finished {
            framed.extend_from_slice(b"0\r\n");
            framed.extend_from_slice(trailers);
            framed.extend_from_slice(b"\r\n");
        }
        framed
    }

    /// Bytes taken and given.
    pub(in crate::http) fn totals(&self) -> (u64, u64) {
        self.encoder.totals()
    }
}
