use super::*;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A reply to `question` with these records, names not compressed.
fn reply(flags: u16, question: (&str, u16), records: &[(&str, u16, u32, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [7, flags, 1, records.len() as u16, 0, 0] {
        bytes.extend(field.to_be_bytes());
    }
    bytes.extend(&*name(question.0).0);
    bytes.extend([question.1, CLASS_IN].map(u16::to_be_bytes).as_flattened());
    for (owner, kind, ttl, data) in records {
        bytes.extend(&*name(owner).0);
        bytes.extend([*kind, CLASS_IN].map(u16::to_be_bytes).as_flattened());
        bytes.extend(ttl.to_be_bytes());
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(data);
    }
    bytes
}

fn a(last: u8) -> Vec<u8> {
    vec![10, 0, 0, last]
}

fn alias(to: &str) -> Vec<u8> {
    name(to).0.to_vec()
}

fn records(bytes: &[u8]) -> Option<Records> {
    Reply::parse(bytes)?.records()
}

fn text(data: &Data) -> String {
    match data {
        Data::V4(ip) => ip.to_string(),
        Data::V6(ip) => ip.to_string(),
        Data::Service(Service { priority, weight, port, target }) => format!("{priority} {weight} {target}:{port}"),
    }
}

/// The data of an SRV record.
fn service(numbers: [u16; 3], target: &str) -> Vec<u8> {
    [numbers.map(u16::to_be_bytes).as_flattened(), &alias(target)].concat()
}

fn list(bytes: &[u8]) -> Vec<String> {
    records(bytes).unwrap().list.iter().map(text).collect()
}

#[test]
fn names_of_configurations() {
    assert_eq!(name("www.Example.COM").to_string(), "www.example.com");
    assert_eq!(name("www.example.com."), name("WWW.example.com"));
    let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    assert_eq!(name(&longest).0.len(), 255);
    for wrong in ["", ".", "a..b", ".a", &"a".repeat(64), &format!("{longest}d")] {
        assert_eq!(Name::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_query_byte_by_byte() {
    let expected = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x03www\x02de\0\0\x1c\0\x01";
    assert_eq!(query(0x1234, &name("www.de"), Kind::Aaaa), expected);
}

#[test]
fn compressed_names_and_the_shortest_time_to_live() {
    let bytes = b"\x00\x07\x81\x80\0\x01\0\x03\0\0\0\0\x01A\x02de\0\0\x01\0\x01\
        \xc0\x0c\0\x05\0\x01\0\0\x01\x00\0\x04\x01b\xc0\x0e\
        \xc0\x22\0\x01\0\x01\0\0\x00\x3c\0\x04\x0a\0\0\x01\
        \xc0\x22\0\x01\0\x01\0\0\x00\x3d\0\x04\x0a\0\0\x02";
    let read = Reply::parse(bytes).unwrap();
    assert!(read.answers(7, &name("a.de"), Kind::A) && !read.truncated && read.code == 0);
    assert!(!read.answers(8, &name("a.de"), Kind::A));
    assert!(!read.answers(7, &name("b.de"), Kind::A));
    assert!(!read.answers(7, &name("a.de"), Kind::Aaaa));
    assert_eq!(
        read.records(),
        Some(Records {
            list: vec![Data::V4([10, 0, 0, 1].into()), Data::V4([10, 0, 0, 2].into())],
            ttl: 60,
            alias: None
        })
    );
}

#[test]
fn only_what_the_name_leads_to_counts() {
    let bytes = reply(
        0x8180,
        ("a.de", 1),
        &[
            ("c.de", 1, 9, a(3)),
            ("b.de", 5, 5, alias("c.de")),
            ("other.de", 1, 1, a(9)),
            ("a.de", 5, 7, alias("B.DE")),
            ("c.de", 28, 1, vec![0; 16]),
            ("c.de", 16, 1, vec![0xff; 300]),
            ("c.de", 1, 9, a(4)),
            ("c.de", 1, 9, a(3)),
        ],
    );
    assert_eq!(list(&bytes), ["10.0.0.3", "10.0.0.4"]);
    assert_eq!(records(&bytes).unwrap().ttl, 5);
    let v6 = reply(0x8180, ("a.de", 28), &[("a.de", 28, 1 << 31, vec![1; 16]), ("a.de", 1, 1, a(1))]);
    assert_eq!(list(&v6), ["101:101:101:101:101:101:101:101"]);
    assert_eq!(records(&v6).unwrap().ttl, 0, "a time to live with the highest bit set");
    assert_eq!(records(&reply(0x8180, ("a.de", 1), &[])), Some(Records { list: Vec::new(), ttl: 0, alias: None }));
}

#[test]
fn servers_of_a_service() {
    let of = "_http._tcp.a.de";
    let bytes = reply(
        0x8180,
        (of, 33),
        &[
            (of, 33, 90, service([10, 60, 8080], "B.de")),
            ("other.de", 33, 1, service([1, 1, 1], "x.de")),
            (of, 1, 1, a(9)),
            (of, 33, 60, service([20, 0, 80], "c.de")),
            (of, 33, 60, service([10, 60, 8080], "b.de")),
            (of, 33, 1, [&[0; 6][..], &[0]].concat()),
        ],
    );
    assert_eq!(list(&bytes), ["10 60 b.de:8080", "20 0 c.de:80"]);
    assert_eq!(records(&bytes).unwrap().ttl, 60, "that of a service that is not offered does not count");
    let of_alias = [(of, 5, 9, alias("y.de")), ("y.de", 33, 60, service([0, 0, 1], "z.de"))];
    assert_eq!(list(&reply(0x8180, (of, 33), &of_alias)), ["0 0 z.de:1"]);
    let whole = service([1, 2, 3], "b.de");
    for wrong in [&whole[..5], &whole[..6], &whole[..whole.len() - 1], &[&whole[..], b"x"].concat()] {
        assert_eq!(records(&reply(0x8180, (of, 33), &[(of, 33, 1, wrong.to_vec())])), None);
    }
    // RFC 2782 forbids to compress the target; who does it is understood.
    let mut compressed = reply(0x8180, ("a.de", 33), &[("a.de", 33, 1, [&whole[..6], &[0xc0, 12]].concat())]);
    assert_eq!(list(&compressed), ["1 2 a.de:3"]);
    compressed.truncate(compressed.len() - 1);
    assert_eq!(records(&compressed), None);
}

#[test]
fn circles_and_wrong_lengths_are_malformed() {
    let circle = [("a.de", 5, 1, alias("b.de")), ("b.de", 5, 1, alias("a.de"))];
    assert_eq!(records(&reply(0x8180, ("a.de", 1), &circle)), None);
    assert_eq!(records(&reply(0x8180, ("a.de", 1), &[("a.de", 1, 1, vec![1; 5])])), None);
    let mut tail = alias("b.de");
    tail.push(0);
    assert_eq!(records(&reply(0x8180, ("a.de", 1), &[("a.de", 5, 1, tail)])), None);
    // A pointer to itself, to what follows, and back to a pointer.
    for pointer in [b"\xc0\x0c", b"\xc0\x0e", b"\xff\xff"] {
        let mut bytes = b"\0\x07\x81\x80\0\x01\0\0\0\0\0\0".to_vec();
        bytes.extend(pointer);
        bytes.extend(b"\0\x01\0\x01\0\0\0\0");
        assert!(Reply::parse(&bytes).is_none());
    }
}

#[test]
fn what_is_no_reply_to_a_question() {
    let read = |flags| Reply::parse(&reply(flags, ("a.de", 1), &[])).map(|reply| (reply.truncated, reply.code));
    assert_eq!(read(0x8180), Some((false, 0)));
    assert_eq!(read(0x8383), Some((true, 3)));
    assert_eq!(read(0x0180), None, "a query");
    assert_eq!(read(0x8980), None, "another kind of operation");
    let mut two = reply(0x8180, ("a.de", 1), &[]);
    two[5] = 2;
    assert!(Reply::parse(&two).is_none());
}

#[test]
fn a_reply_gives_so_many_addresses_at_most() {
    let data = |n: u16| [[10, 0], n.to_be_bytes()].concat();
    let records: Vec<_> = (0..1000).map(|n| ("a.de", 1, 1, data(n))).collect();
    assert_eq!(list(&reply(0x8180, ("a.de", 1), &records)).len(), RECORDS_MAX);
}

fn label() -> impl Strategy<Value = String> {
    "[a-z0-9_-]{1,20}"
}

fn hostname() -> impl Strategy<Value = String> {
    proptest::collection::vec(label(), 1..5).prop_map(|labels| labels.join("."))
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = records(&bytes);
    }

    /// Bytes that begin as a reply, so that what follows is looked at.
    #[test]
    fn any_answers_are_read_or_refused(
        count in 1u8..9,
        rest in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(5), Just(0xc0), Just(0x0c), any::<u8>()], 0..400),
        kind in prop_oneof![Just(1u16), Just(28), Just(33)],
    ) {
        let mut bytes = reply(0x8180, ("a.de", kind), &[]);
        bytes[7] = count;
        bytes.extend(rest);
        if let Some(found) = records(&bytes) {
            prop_assert!(found.list.len() <= count.into());
        }
    }

    #[test]
    fn a_reply_cut_short_is_never_taken_for_whole(host in hostname(), count in 1u8..5, cut in 1usize..200) {
        let all: Vec<_> = (0..count).map(|n| (host.as_str(), 1, 60, a(n))).collect();
        let bytes = reply(0x8180, (&host, 1), &all);
        prop_assert_eq!(list(&bytes).len(), usize::from(count));
        prop_assert_eq!(records(&bytes[..bytes.len().saturating_sub(cut)]), None);
    }

    #[test]
    fn services_are_read_back(
        written in proptest::collection::vec((any::<[u16; 3]>(), hostname(), any::<u32>()), 0..20),
        cut in 1usize..40,
    ) {
        let data = written.iter().map(|(numbers, target, ttl)| ("a.de", 33, *ttl, service(*numbers, target)));
        let bytes = reply(0x8180, ("a.de", 33), &data.collect::<Vec<_>>());
        let mut expected: Vec<String> = Vec::new();
        for ([priority, weight, port], target, _) in &written {
            let one = format!("{priority} {weight} {target}:{port}");
            if !expected.contains(&one) {
                expected.push(one);
            }
        }
        prop_assert_eq!(list(&bytes), expected);
        if !written.is_empty() {
            prop_assert_eq!(records(&bytes[..bytes.len().saturating_sub(cut)]), None);
        }
    }

    #[test]
    fn a_query_is_read_back(host in hostname(), id in any::<u16>()) {
        let mut bytes = query(id, &name(&host), Kind::A);
        prop_assert!(Reply::parse(&bytes).is_none(), "a query is no reply");
        bytes[2] |= 0x80;
        let reply = Reply::parse(&bytes).unwrap();
        prop_assert!(reply.answers(id, &name(&host), Kind::A));
        prop_assert!(!reply.answers(id ^ 1, &name(&host), Kind::A));
    }
}
