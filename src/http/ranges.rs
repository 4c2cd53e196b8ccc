//! `Range`: which parts of a file are asked for (RFC 9110 14).

use std::ops::Range;

/// What a `Range` field means for a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing that counts: the whole file is sent.
    Whole,
    /// These parts, in the order asked for.
    Parts(Vec<Range<u64>>),
    /// Nothing of what is asked for exists: 416.
    Nothing,
}

/// Reads a `Range` field for a file of `size` bytes, as nginx does: other units are ignored, malformed ranges are answered with 416,
/// and parts that together are longer than the file with the whole.
pub fn parse(field: &[u8], size: u64) -> Asked {
    if field.len() < 7 || !field[..6].eq_ignore_ascii_case(b"bytes=") {
        return Asked::Whole;
    }
    let Ok(text) = std::str::from_utf8(&field[6..]) else { return Asked::Nothing };
    let mut parts = Vec::new();
    let mut total = 0_u64;
    for word in text.split(',') {
        match part(word.trim_matches(' '), size) {
            Err(Malformed) => return Asked::Nothing,
            // All of an empty file, as in nginx.
            Ok(Range { start: 0, end: 0 }) => return Asked::Whole,
            Ok(part) if part.is_empty() => {}
            Ok(part) => {
                total = total.saturating_add(part.end - part.start);
                parts.push(part);
            }
        }
    }
    match parts.len() {
        0 => Asked::Nothing,
        _ if total > size => Asked::Whole,
        _ => Asked::Parts(parts),
    }
}

struct Malformed;

/// One `first-last`, `first-` or `-count`; empty where it lies beyond the end.
fn part(text: &str, size: u64) -> Result<Range<u64>, Malformed> {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits).ok_or(Malformed)
    };
    let (first, last) = text.split_once('-').ok_or(Malformed)?;
    let (first, last) = (first.trim_end_matches(' '), last.trim_start_matches(' '));
    Ok(match (first, last) {
        ("", count) => size.saturating_sub(number(count)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => number(first)?..number(last)?.saturating_add(1).min(size),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> Vec<(u64, u64)> {
        match parse(text.as_bytes(), 100) {
            Asked::Parts(parts) => parts.iter().map(|part| (part.start, part.end)).collect(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(parts("bytes=0-0"), [(0, 1)]);
        assert_eq!(parts("Bytes=10-19, 30-"), [(10, 20), (30, 100)]);
        assert_eq!(parts("bytes=-5"), [(95, 100)]);
        assert_eq!(parts("bytes=-500"), [(0, 100)]);
        assert_eq!(parts("bytes=90-500"), [(90, 100)]);
        assert_eq!(parts("bytes=200-300,1-2"), [(1, 3)]);
        assert_eq!(parts("bytes=99-99999999999999999"), [(99, 100)]);
        for nothing in
            ["bytes=100-", "bytes=-0", "bytes=5-4", "bytes=a-b", "bytes=1", "bytes=-", "bytes=1-2,x", "bytes=1-+2"]
        {
            assert_eq!(parse(nothing.as_bytes(), 100), Asked::Nothing, "{nothing}");
        }
        for whole in ["", "bytes", "lines=1-2", "bytes=0-99,0-99"] {
            assert_eq!(parse(whole.as_bytes(), 100), Asked::Whole, "{whole}");
        }
    }

    proptest! {
        #[test]
        fn parts_lie_in_the_file(text in "bytes=[0-9, -]{0,30}", size in 0..1000_u64) {
            if let Asked::Parts(parts) = parse(text.as_bytes(), size) {
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= size);
            }
        }
    }
}
