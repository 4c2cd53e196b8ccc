//! The memory of all relays of a worker.

use std::ops::Range;

use bytes::BytesMut;

use super::pipes::Pipes;

/// Buffers the pool holds on to; more are given back to the allocator.
const POOLED: usize = 64;

/// One scratch buffer that every read goes through, a pool of buffers for what a destination did not take, and one of pipes.
pub struct Buffers {
    scratch: Box<[u8]>,
    pool: Vec<BytesMut>,
    /// What flows are spliced through.
    pub pipes: Pipes,
}

impl Default for Buffers {
    fn default() -> Self {
        Buffers { scratch: vec![0; Buffers::SCRATCH].into_boxed_slice(), pool: Vec::new(), pipes: Pipes::default() }
    }
}

/// The size that buffers have when nothing is said, nginx's: a page of memory.
pub fn page_size() -> usize {
    // The kernel always tells its page size; 4096 is that of every machine we run on but some ARM ones.
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().map_or(4096, |size| size as usize)
}

impl Buffers {
    /// The size of the scratch buffer: the most that one read takes.
    pub const SCRATCH: usize = 128 * 1024;

    /// The scratch buffer, cut to `size` bytes.
    pub fn scratch(&mut self, size: usize) -> &mut [u8] {
        let size = size.min(self.scratch.len());
        &mut self.scratch[..size]
    }

    /// Copies a part of the scratch buffer into a buffer of the pool.
    pub fn keep(&mut self, part: Range<usize>) -> BytesMut {
        let mut buffer = self.pool.pop().unwrap_or_default();
        buffer.extend_from_slice(&self.scratch[part]);
        buffer
    }

    /// Copies bytes from elsewhere into a buffer of the pool.
    pub fn keep_copy(&mut self, bytes: &[u8]) -> BytesMut {
        let mut buffer = self.pool.pop().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        buffer
    }

    /// Takes a buffer back.
    pub fn put(&mut self, buffer: Option<BytesMut>) {
        if let Some(mut buffer) = buffer
            && self.pool.len() < POOLED
        {
            buffer.clear();
            // One that has held more than reads bring (a large head) would hold on to its memory.
            if !buffer.try_reclaim(2 * Self::SCRATCH + 1) {
                self.pool.push(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    #[test]
    fn large_buffers_are_not_pooled() {
        for (size, pooled) in [(10, 1), (Buffers::SCRATCH, 1), (4 * Buffers::SCRATCH, 0)] {
            let mut buffers = Buffers::default();
            let mut buffer = BytesMut::from(vec![0; size].as_slice());
            buffer.advance(size);
            buffers.put(Some(buffer));
            assert_eq!(buffers.pool.len(), pooled, "{size}");
        }
    }
}
