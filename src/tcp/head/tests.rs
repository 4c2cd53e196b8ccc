use proptest::prelude::*;

use super::*;

const KEY: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn route(head: &str) -> (String, String) {
    match parse(head.as_bytes()) {
        Parsed::Head(found) => {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (text(found.host), text(found.segment))
        }
        other => panic!("{head:?}: {other:?}"),
    }
}

fn refused(head: impl AsRef<[u8]>) -> &'static str {
    match parse(head.as_ref()) {
        Parsed::Malformed(words) => words,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(head.as_ref())),
    }
}

#[test]
fn hosts() {
    for (host, wanted) in [
        ("example.org", "example.org"),
        ("example.org:8080", "example.org"),
        ("Example.ORG:", "Example.ORG"),
        ("example.org.", "example.org"),
        ("example.org.:80", "example.org"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[::1]", "[::1]"),
        ("[2001:db8::1]:8080", "[2001:db8::1]"),
        ("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]"),
        ("  padded.org \t", "padded.org"),
        ("under_score", "under_score"),
        ("", ""),
    ] {
        assert_eq!(route(&format!("GET / HTTP/1.1\r\nHost:{host}\r\n{KEY}\r\n")).0, wanted, "{host}");
        assert_eq!(route(&format!("GET / HTTP/1.1\n{KEY}hOST: {host}\n\n")).0, wanted, "{host}");
    }
    assert_eq!(route("GET / HTTP/1.1\r\n\r\n").0, "");
    assert_eq!(route("GET / HTTP/1.0\r\nX-Host: a\r\n\r\n").0, "");
}

#[test]
fn hosts_that_cannot_be() {
    for host in [
        ":80", "a:b", "a:80:90", "a b", "a/b", "a@b", "a\\b", "a#b", "a?b", "[::1", "[::1]x", "[::1]:x", "::1",
        "[a/b]", "[]]", "a,b", "a[b", "a\tb", "b\u{e9}",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(refused(head), "client sent invalid host header", "{host}");
    }
    let two = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: a\r\n\r\n";
    assert_eq!(refused(two), "client sent duplicate host header");
}

#[test]
fn targets() {
    for (target, segment) in [
        ("/", "/"),
        ("/chat", "/chat"),
        ("/chat/", "/chat"),
        ("/chat/room?x", "/chat"),
        ("/chat?x=/y", "/chat"),
        ("/?/chat", "/"),
        ("//chat", "/"),
        ("/chat#x", "/chat"),
        ("/Chat", "/Chat"),
        ("/ch%61t", "/ch%61t"),
        ("/a://b/c", "/a:"),
        ("*", ""),
    ] {
        let found = route(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(found, ("h".to_owned(), segment.to_owned()), "{target}");
    }
    for (target, host, segment) in [
        ("ws://other:80/chat/room", "other", "/chat"),
        ("HTTP://Other", "Other", ""),
        ("https://[::1]:5?x", "[::1]", ""),
        ("wss://other/", "other", "/"),
    ] {
        let found = route(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(found, (host.to_owned(), segment.to_owned()), "{target}");
    }
    for target in ["chat", "ftp://a/", "host:443", "://x", "?x"] {
        assert_eq!(refused(format!("GET {target} HTTP/1.1\r\n\r\n")), "client sent invalid request", "{target}");
    }
    for target in ["ws://", "ws:///chat", "ws://a@b/chat", "ws://:80/"] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(refused(head), "client sent invalid host in request line", "{target}");
    }
}

#[test]
fn lines_that_cannot_be() {
    for line in ["X y: z", "X : y", " folded", ": empty", "X\0: y", "X: a\0b", "X: a\rb", "X: \x07", "no colon"] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
        assert_eq!(refused(head), "client sent invalid header line", "{line:?}");
    }
    for line in
        ["GET  / HTTP/1.1", "GET /", "G(T / HTTP/1.1", "GET /a b HTTP/1.1", "GET /\0 HTTP/1.1", " GET / HTTP/1.1"]
    {
        assert!(refused(format!("{line}\r\nHost: a\r\n\r\n")).starts_with("client sent invalid "), "{line:?}");
    }
    assert_eq!(refused("GET / HTTP/2.0\r\n\r\n"), "client sent invalid version");
    assert_eq!(refused(b"\x16\x03\x01\x02\x00\x01"), "client sent invalid request");
}

#[test]
fn fields_are_counted() {
    let head = |fields: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(fields));
    assert_eq!(route(&head(MOST_FIELDS)).1, "/");
    assert_eq!(refused(head(MOST_FIELDS + 1)), "client sent too many header lines");
}

#[test]
fn what_stands_behind_a_head_is_not_its() {
    let head = "\r\n\r\nGET /chat HTTP/1.1\r\nHost: a\r\n\r\n";
    let bytes = format!("{head}Host: b\r\n\r\n");
    let Parsed::Head(found) = parse(bytes.as_bytes()) else { panic!() };
    assert_eq!((found.length, found.host), (head.len(), &b"a"[..]));
}

#[test]
fn a_fault_shows_before_the_end() {
    let mut scan = Scan::default();
    assert!(matches!(scan.parse(b"\x16"), Parsed::Malformed(_)));
    let (mut scan, mut bytes) = (Scan::default(), b"GET / HTTP/1.1\r\nbad line\r\n".to_vec());
    let faulty = |bytes: &[u8], scan: &mut Scan| matches!(scan.parse(bytes), Parsed::Malformed(_));
    while !faulty(&bytes, &mut scan) {
        bytes.push(b'x');
        assert!(bytes.len() < 100);
    }
}

fn head() -> impl Strategy<Value = String> {
    let line = prop_oneof!["[A-Za-z-]{1,9}: ?[ -~]{0,12}", "Host: [a-z:.\\[\\]0-9]{0,9}", "[ -~]{0,9}"];
    let end = prop_oneof![Just("\r\n"), Just("\n")];
    let target = "(/|ws://h/|)[a-z/?]{0,9}";
    (prop::collection::vec(line, 0..6), end, target, "[a-z\r\n]{0,3}").prop_map(|(lines, end, target, behind)| {
        let lines: String = lines.iter().map(|line| format!("{line}{end}")).collect();
        format!("GET {target} HTTP/1.1{end}{lines}{end}{behind}")
    })
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn pieces_come_to_the_same(text in head(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9)) {
        let bytes = text.as_bytes();
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len()) + 1).chain([bytes.len()]).collect();
        ends.sort_unstable();
        let mut scan = Scan::default();
        let met = ends.iter().map(|&end| scan.parse(&bytes[..end])).find(|parsed| *parsed != Parsed::NeedMore);
        prop_assert_eq!(met.unwrap_or(Parsed::NeedMore), parse(bytes));
    }

    #[test]
    fn no_prefix_of_a_head_is_one(text in head()) {
        if let Parsed::Head(found) = parse(text.as_bytes()) {
            for end in 0..found.length {
                prop_assert_eq!(parse(&text.as_bytes()[..end]), Parsed::NeedMore);
            }
        }
    }
}
