//! What several targets share. A target holds one parser to what must be true of any bytes; it is `targets/NAME.rs`.

pub mod certificate;
pub mod config_text;
pub mod site;

use std::hash::{DefaultHasher, Hasher};

/// Where some bytes are cut when they come in pieces: the ends of the pieces, the last one that of the whole. Every input has its own cuts, always the
/// same ones: mostly a few bytes apart, some times many.
pub struct Cuts {
    dice: u64,
    at: usize,
    end: usize,
}

impl Cuts {
    /// The cuts of these bytes.
    pub fn of(data: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(data);
        Cuts { dice: hasher.finish() | 1, at: 0, end: data.len() }
    }
}

impl Iterator for Cuts {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.at == self.end {
            return None;
        }
        // Marsaglia's xorshift.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let most = [1, 3, 17, 400][(self.dice >> 8) as usize % 4];
        self.at = (self.at + 1 + (self.dice >> 16) as usize % most).min(self.end);
        Some(self.at)
    }
}
