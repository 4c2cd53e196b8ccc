//! The head of an HTTP request, and what it says of where the request goes and how its body is framed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::body::Body;
use weir::http::head::{Head, Limits, Scan};
use weir::http::uri::Target;
use weir_fuzz::Cuts;

/// Small, so that they are reached.
const LIMITS: Limits = Limits { first: 128, number: 4, size: 256 };

fuzz_target!(|bytes: &[u8]| {
    let whole = Scan::default().advance(bytes, &LIMITS);
    let (mut scan, mut in_pieces) = (Scan::default(), Ok(None));
    for end in Cuts::of(bytes) {
        in_pieces = scan.advance(&bytes[..end], &LIMITS);
        if in_pieces != Ok(None) {
            break;
        }
    }
    match (&whole, &in_pieces) {
        // Of several faults another may show first.
        (Err(_), Err(_)) => {}
        (whole, in_pieces) => assert_eq!(in_pieces, whole),
    }
    let Ok(Some(length)) = whole else { return };
    let raw = &bytes[..length];
    assert!(raw.ends_with(b"\n"));
    if let Ok(head) = Head::parse(raw) {
        check_fields(&head, raw);
        check_framing(&head, raw);
        let _ = Target::parse(head.target());
    }
});

/// The lines behind the request line, read as another server might: names and values, blanks around them cut off.
fn lines(raw: &[u8]) -> Vec<(Vec<u8>, &[u8])> {
    let lines = raw.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.trim_ascii().is_empty());
    lines
        .map(|line| {
            let colon = memchr::memchr(b':', line).expect("a line without a colon was taken");
            (line[..colon].trim_ascii().to_ascii_lowercase(), line[colon + 1..].trim_ascii())
        })
        .collect()
}

/// Every line is a field as it stands, and there are no others.
fn check_fields(head: &Head, raw: &[u8]) {
    let lone_cr = |at: usize| raw[at] == b'\r' && raw.get(at + 1) != Some(&b'\n');
    assert!(!raw.contains(&0) && !(0..raw.len()).any(lone_cr));
    let lines = lines(raw);
    for (name, _) in &lines {
        let name = std::str::from_utf8(name).expect("names are ASCII");
        let there = lines.iter().filter(|(other, _)| other == name.as_bytes()).map(|(_, value)| *value);
        assert!(head.all(name).eq(there), "{name}");
    }
}

/// The body has one length, whoever reads the head.
fn check_framing(head: &Head, raw: &[u8]) {
    let Ok(body) = Body::framing(head) else { return };
    let lines = lines(raw);
    let all = |name: &str| {
        lines.iter().filter(|(other, _)| other == name.as_bytes()).map(|(_, value)| *value).collect::<Vec<_>>()
    };
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => assert_eq!(body, Body::Complete),
        ([length], []) => match number(length) {
            Some(0) => assert_eq!(body, Body::Complete),
            length => assert_eq!(Some(body), length.map(Body::Length)),
        },
        ([], [coding]) => assert!(coding.eq_ignore_ascii_case(b"chunked") && matches!(body, Body::Chunked(_))),
        ambiguous => panic!("{ambiguous:?} is taken for {body:?}"),
    }
}
