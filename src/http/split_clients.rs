//! `split_clients`: a variable with one of some values, each for its share of all values of a text.

use super::variables::{Text, Values};
use crate::conf::{Call, Result};

/// A `split_clients {}`.
#[derive(Clone, Debug)]
pub(super) struct Split {
    source: Text,
    /// The end of each part in the range of the hash, and its value; `None`: all that is left.
    parts: Vec<(Option<u32>, Vec<u8>)>,
}

/// A `split_clients {}` while it is read.
pub struct Reading {
    split: Split,
    /// Hundredths of a percent so far.
    sum: u64,
    /// The end of the last part.
    end: u32,
}

impl Reading {
    pub(super) fn new(source: Text) -> Self {
        Reading { split: Split { source, parts: Vec::new() }, sum: 0, end: 0 }
    }

    /// What was read.
    ///
    /// # Errors
    /// nginx's message: there is more than the whole.
    pub(super) fn finish(self) -> std::result::Result<Split, &'static str> {
        if self.sum > WHOLE { Err("percent total is greater than 100%") } else { Ok(self.split) }
    }
}

/// All values, in hundredths of a percent.
const WHOLE: u64 = 10_000;

/// One line of the block.
pub(super) fn line(reading: &mut Reading, call: &mut Call<'_>) -> Result<()> {
    let share = call.bytes(0);
    let end = if share == b"*" {
        // Nothing is left for whom follows.
        reading.sum = reading.sum.max(WHOLE);
        None
    } else {
        let text = String::from_utf8_lossy(share);
        let percent = text.strip_suffix('%').and_then(hundredths).filter(|percent| *percent > 0);
        let percent = percent.ok_or_else(|| call.error(format!("invalid percent value \"{text}\"")))?;
        reading.sum = reading.sum.saturating_add(percent);
        // What each share leaves over of a whole number is lost, as in nginx, so that clients keep their parts.
        reading.end = reading.end.saturating_add((percent.min(WHOLE) * u64::from(u32::MAX) / WHOLE) as u32);
        Some(reading.end)
    };
    reading.split.parts.push((end, call.bytes(1).to_vec()));
    Ok(())
}

/// A number with at most two digits behind the point, times 100.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && part.is_empty() || part.len() > 2 || !digits(whole) || !digits(part) {
        return None;
    }
    format!("{whole}{part:0<2}").parse().ok()
}

impl Split {
    /// The value of the part that the text's value falls into.
    pub(super) fn value(&self, values: &Values<'_>) -> &[u8] {
        let hash = murmur2(&values.fill(&self.source));
        let part = self.parts.iter().find(|(end, _)| end.is_none_or(|end| hash < end));
        part.map_or(&b""[..], |(_, value)| value)
    }
}

/// MurmurHash2 with seed 0, as nginx has it: clients keep their parts when weir comes in its place.
fn murmur2(text: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = text.len() as u32;
    let words = text.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k = (k ^ k >> 24).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents() {
        assert_eq!(["0.5", "12", "1.25", ".1"].map(hundredths), [Some(50), Some(1200), Some(125), Some(10)]);
        assert_eq!(["", ".", "1.234", "-1", "a"].map(hundredths), [None; 5]);
    }

    #[test]
    fn the_hash_is_murmur2() {
        // Of the reference implementation with seed 0.
        assert_eq!(murmur2(b""), 0);
        assert_eq!(murmur2(b"a"), 0x9268_5f5e);
    }
}
