//! The head of the request that a websocket begins with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::tcp::head::{Head, Parsed, Scan, parse};
use weir_fuzz::Cuts;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    let mut scan = Scan::default();
    let mut in_pieces = Parsed::NeedMore;
    for end in Cuts::of(bytes) {
        in_pieces = scan.parse(&bytes[..end]);
        match &in_pieces {
            Parsed::NeedMore => {}
            found => {
                assert_eq!(*found, parse(&bytes[..end]));
                break;
            }
        }
    }
    match (&whole, &in_pieces) {
        (Parsed::Head(head), found) => {
            assert_eq!(*found, whole);
            check(head, bytes);
        }
        // A fault may show only when more has come.
        (Parsed::Malformed(_), Parsed::NeedMore) => assert!(!has_empty_line(bytes), "a complete head is judged"),
        (Parsed::Malformed(_), found) => assert!(matches!(found, Parsed::Malformed(_)), "{found:?}"),
        (Parsed::NeedMore, found) => assert_eq!(*found, Parsed::NeedMore),
    }
});

/// Whether a line that is not empty is followed by an empty one.
fn has_empty_line(bytes: &[u8]) -> bool {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').skip_while(|line| line.trim_ascii().is_empty());
    lines.any(|line| matches!(line, b"\n" | b"\r\n"))
}

/// The server behind finds the same end and the same host.
fn check(head: &Head<'_>, bytes: &[u8]) {
    assert!(head.length <= bytes.len());
    let raw = &bytes[..head.length];
    assert!(has_empty_line(raw) && !has_empty_line(&raw[..raw.len() - 1]));
    assert!(head.segment.is_empty() || head.segment[0] == b'/');
    assert!(
        !head.segment.iter().any(|byte| b" ?#".contains(byte))
            && head.segment.iter().filter(|byte| **byte == b'/').count() < 2
    );
    let mut lines = raw.split(|byte| *byte == b'\n').skip_while(|line| line.trim_ascii().is_empty());
    let request = lines.next().expect("a request line");
    let hosts: Vec<&[u8]> = lines
        .filter_map(|line| line.split_at_checked(memchr::memchr(b':', line)?))
        .filter(|(name, _)| name.trim_ascii().eq_ignore_ascii_case(b"host"))
        .map(|(_, value)| value[1..].trim_ascii())
        .collect();
    match hosts[..] {
        _ if memchr::memmem::find(request, b"://").is_some() && !request_path(request).starts_with(b"/") => {}
        [] => assert!(head.host.is_empty()),
        [host] => assert!(host.starts_with(head.host)),
        _ => panic!("several hosts"),
    }
}

fn request_path(line: &[u8]) -> &[u8] {
    line.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
}
