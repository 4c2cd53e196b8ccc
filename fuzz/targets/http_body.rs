//! Bodies in chunks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::body::{Body, Chunks};
use weir_fuzz::Cuts;

/// What reading comes to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    content: Vec<u8>,
    /// Bytes of a body that came to its end; `None`: it is not complete, or faulty.
    length: Option<usize>,
    refused: bool,
}

/// Reads what comes in pieces that end at `cuts`.
fn read(bytes: &[u8], cuts: impl Iterator<Item = usize>) -> Outcome {
    let mut body = Body::Chunked(Chunks::default());
    let mut outcome = Outcome::default();
    let mut at = 0;
    for end in cuts {
        while at < end {
            let input = &bytes[at..end];
            let Ok(piece) = body.take(input) else { return Outcome { refused: true, ..outcome } };
            assert!(piece.consumed > 0 && piece.consumed <= input.len());
            assert!(piece.content.end <= piece.consumed);
            outcome.content.extend_from_slice(&input[piece.content]);
            at += piece.consumed;
            match body {
                Body::Complete => return Outcome { length: Some(at), ..outcome },
                Body::Chunked(chunks) => {
                    assert!(outcome.content.len() as u64 <= chunks.announced && chunks.last <= chunks.announced)
                }
                Body::Length(_) => panic!("chunks became a length"),
            }
        }
    }
    outcome
}

/// The content and length of a body that is known to be good, read as simply as can be.
fn simply(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let line = |at: usize| Some(at + memchr::memmem::find(&bytes[at..], b"\r\n")?);
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let end = line(at)?;
        let digits: String =
            bytes[at..end].iter().map(|byte| char::from(*byte)).take_while(char::is_ascii_hexdigit).collect();
        let size = usize::from_str_radix(&digits, 16).ok()?;
        at = end + 2;
        if size == 0 {
            break;
        }
        content.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        at = bytes[at..].starts_with(b"\r\n").then_some(at + 2)?;
    }
    loop {
        let end = line(at)?;
        let empty = end == at;
        at = end + 2;
        if empty {
            return Some((content, at));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes, [bytes.len()].into_iter());
    assert_eq!(read(bytes, Cuts::of(bytes)), whole);
    assert_eq!(read(bytes, 1..=bytes.len()), whole);
    if let Some(length) = whole.length {
        assert_eq!(simply(bytes), Some((whole.content, length)));
    }
});
