//! What a server sends in answer to a request: the head, how the body is framed, and the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::body::Body;
use weir::http::proxy::head::{Framing, Head};
use weir_fuzz::Cuts;

/// A body's content, and where it ended; `None`: it has not, or is faulty.
fn content(mut body: Body, bytes: &[u8], cuts: impl Iterator<Item = usize>) -> (Vec<u8>, Option<usize>) {
    let (mut content, mut at) = (Vec::new(), 0);
    for end in cuts {
        while at < end && body != Body::Complete {
            let input = &bytes[at..end];
            let Ok(piece) = body.take(input) else { return (content, None) };
            assert!(piece.consumed > 0 && piece.content.end <= piece.consumed && piece.consumed <= input.len());
            content.extend_from_slice(&input[piece.content]);
            at += piece.consumed;
        }
    }
    (content, (body == Body::Complete).then_some(at))
}

fuzz_target!(|bytes: &[u8]| {
    let whole = Head::parse(bytes);
    for end in Cuts::of(bytes) {
        match (&whole, Head::parse(&bytes[..end])) {
            // What it is does not depend on what has come behind it, and nothing is taken for a head before its end.
            (Ok(Some((_, length))), Ok(Some((_, found)))) => assert!(found == *length && end >= *length),
            (Ok(Some((_, length))), Ok(None)) => assert!(end < *length),
            (_, Ok(Some(_))) => panic!("a head that the whole does not have"),
            (Ok(_), Err(message)) => panic!("{message}, but not in the whole"),
            (Ok(None), Ok(None)) | (Err(_), _) => {}
        }
    }
    let Ok(Some((head, length))) = whole else { return };
    assert!((100..1000).contains(&head.status) && bytes[..length].ends_with(b"\n"));
    check_fields(&head, &bytes[..length]);
    assert_eq!(head.framing(true).unwrap_or(Framing::Known(Body::Complete)), Framing::Known(Body::Complete));
    let Ok(Framing::Known(body)) = head.framing(false) else { return };
    let rest = &bytes[length..];
    let at_once = content(body, rest, [rest.len()].into_iter());
    assert_eq!(content(body, rest, Cuts::of(rest)), at_once);
    if let Body::Length(length) = body {
        assert!(length > 0 && at_once.1.is_none_or(|end| end as u64 == length && at_once.0.len() == end));
    }
});

/// Every line is one field as it stands, whoever reads it, and the body has one length.
fn check_fields(head: &Head, raw: &[u8]) {
    assert!(!raw.contains(&0));
    // Blank lines may stand before the status line.
    let start = raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let lines = raw[start..].split(|byte| *byte == b'\n').skip(1).filter(|line| !line.trim_ascii().is_empty());
    let lines: Vec<(Vec<u8>, &[u8])> = lines
        .map(|line| {
            let colon = memchr::memchr(b':', line).expect("a line without a colon was taken");
            (line[..colon].to_ascii_lowercase(), line[colon + 1..].trim_ascii())
        })
        .collect();
    let read: Vec<(Vec<u8>, &[u8])> =
        head.fields().map(|(name, value)| (name.to_ascii_lowercase(), value.trim_ascii())).collect();
    assert_eq!(read, lines);
    for (name, _) in head.fields() {
        let there = lines.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let name = std::str::from_utf8(name).expect("a name of other bytes was taken");
        assert_eq!(head.all(name).count(), there.count(), "{name}");
    }
    let all = |name: &str| lines.iter().filter(|(other, _)| other == name.as_bytes()).count();
    if head.framing(false).is_ok() {
        assert!(all("content-length") + all("transfer-encoding") <= 1);
    }
}
