//! Pipes, through which splice(2) moves bytes from socket to socket without bringing them into this process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;

/// The size asked for: what the kernel lets anybody have by default (`fs.pipe-max-size`). It is counted in pages, and a page's place can hold a
/// fragment of up to 64 KiB of a packet, so more bytes than these may find room.
const SIZE: i32 = 1024 * 1024;

/// What a pipe has by default (pipe(7)). The kernel makes smaller ones when its user has too many (`fs.pipe-user-pages-soft`).
const LEAST: i32 = 64 * 1024;

/// A pipe, and how much is in it. Closed when dropped, with what it holds.
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    holds: usize,
}

impl Pipe {
    /// An empty pipe.
    ///
    /// # Errors
    /// Out of descriptors, or of what the kernel allows its user for pipes.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let size = match fcntl(&writer, FcntlArg::F_SETPIPE_SZ(SIZE)) {
            Ok(size) => size,
            Err(_) => fcntl(&writer, FcntlArg::F_GETPIPE_SZ)?,
        };
        if size < LEAST {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Pipe { reader, writer, holds: 0 })
    }

    /// Bytes that are in it.
    pub fn holds(&self) -> usize {
        self.holds
    }

    /// Moves at most `most` bytes in from a socket. 0: the peer has ended its side.
    ///
    /// # Errors
    /// What splice(2) says: `WouldBlock` where nothing waits, or the pipe is full.
    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let count = between(socket, self.writer.as_fd(), most)?;
        self.holds += count;
        Ok(count)
    }

    /// Moves what it holds out to a socket, as far as that takes it.
    ///
    /// # Errors
    /// What splice(2) says: `WouldBlock` where the socket takes nothing.
    pub(super) fn drain(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let count = between(self.reader.as_fd(), socket, self.holds)?;
        self.holds -= count;
        Ok(count)
    }
}

fn between(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    Ok(splice(from, None, to, None, most, flags)?)
}
