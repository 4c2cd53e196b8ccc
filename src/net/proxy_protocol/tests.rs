//! Headers read and written, by the protocol's definition and at random.

use proptest::prelude::*;

use super::*;

fn inet(text: &str) -> Address {
    Address::Inet(text.parse().unwrap())
}

fn done(source: &str, destination: &str, length: usize) -> Parsed {
    let endpoints = Endpoints { source: source.parse().unwrap(), destination: destination.parse().unwrap() };
    Parsed::Done { endpoints: Some(endpoints), tlvs: 0, length }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

#[test]
fn lines() {
    let line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";
    assert_eq!(parse(line), done("192.168.0.1:56324", "192.168.0.11:443", 47));
    let line = b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n";
    assert_eq!(parse(line), done("[2001:db8::1]:1", "[::1]:65535", line.len()));
    assert_eq!(parse(b"PROXY UNKNOWN\r\nx"), Parsed::Done { endpoints: None, tlvs: 0, length: 15 });
    let full = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    assert_eq!(full.len(), MAX_LINE);
    assert_eq!(parse(full.as_bytes()), Parsed::Done { endpoints: None, tlvs: 0, length: MAX_LINE });
}

#[test]
fn what_is_no_line() {
    for wrong in [
        "GET / HTTP/1.0\r\n",
        "PROXY\r\n",
        "PROXYTCP4",
        "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY \r\n",
        "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
        "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
        "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        "PROXY TCP4 host 5.6.7.8 1 2\r\n",
    ] {
        assert_eq!(parse(wrong.as_bytes()), Parsed::Malformed, "{wrong:?}");
    }
    assert_eq!(parse(b"PROXY TCP4 1.2.3.4\xff 5.6.7.8 1 2\r\n"), Parsed::Malformed);
    let endless = format!("PROXY UNKNOWN {}", "f".repeat(93));
    assert_eq!(parse(&endless.as_bytes()[..MAX_LINE - 1]), Parsed::NeedMore);
    assert_eq!(parse(endless.as_bytes()), Parsed::Malformed);
}

#[test]
fn binary_headers() {
    let addresses = [10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0, 80];
    assert_eq!(parse(&v2(0x21, 0x11, &addresses)), done("10.0.0.1:4660", "10.0.0.2:80", 28));
    let mut with_tlv = addresses.to_vec();
    with_tlv.extend([0x04, 0, 3, 1, 2, 3]);
    let mut bytes = v2(0x21, 0x11, &with_tlv);
    bytes.extend(b"data");
    let Parsed::Done { endpoints: Some(_), tlvs: 6, length: 34 } = parse(&bytes) else { panic!("{:?}", parse(&bytes)) };
    let mut addresses = [0; 36];
    (addresses[15], addresses[31], addresses[33], addresses[35]) = (1, 2, 3, 4);
    assert_eq!(parse(&v2(0x21, 0x21, &addresses)), done("[::1]:3", "[::2]:4", 52));
}

#[test]
fn binary_headers_without_endpoints() {
    for (command, family, rest) in [
        (0x20, 0x00, &[][..]),
        (0x20, 0x11, &[1, 2, 3]),
        (0x21, 0x00, &[]),
        (0x21, 0x00, &[9; 100]),
        (0x21, 0x31, &[0; 216]),
        (0x21, 0x12, &[1; 12]),
    ] {
        let bytes = v2(command, family, rest);
        assert_eq!(
            parse(&bytes),
            Parsed::Done { endpoints: None, tlvs: 0, length: bytes.len() },
            "{command:x} {family:x}"
        );
    }
}

#[test]
fn what_is_no_binary_header() {
    for (command, family, rest) in [
        (0x11, 0x11, &[0; 12][..]),
        (0x31, 0x11, &[0; 12]),
        (0x22, 0x11, &[0; 12]),
        (0x21, 0x41, &[0; 12]),
        (0x21, 0x13, &[0; 12]),
        (0x21, 0x11, &[0; 11]),
        (0x21, 0x21, &[0; 35]),
    ] {
        assert_eq!(parse(&v2(command, family, rest)), Parsed::Malformed, "{command:x} {family:x}");
    }
    assert_eq!(parse(b"\r\n\r\n\0\r\nQUIT\r"), Parsed::Malformed);
    let largest = v2(0x20, 0, &[0; MAX_HEADER - FIXED]);
    assert_eq!(parse(&largest), Parsed::Done { endpoints: None, tlvs: 0, length: MAX_HEADER });
    assert_eq!(parse(&v2(0x20, 0, &[0; MAX_HEADER - FIXED + 1])[..FIXED]), Parsed::Malformed);
}

#[test]
fn headers_to_send() {
    let line =
        |client: &str, server: &str| String::from_utf8(header(Version::V1, &inet(client), &inet(server))).unwrap();
    assert_eq!(line("10.0.0.1:5", "10.0.0.2:80"), "PROXY TCP4 10.0.0.1 10.0.0.2 5 80\r\n");
    assert_eq!(line("[::1]:5", "[::2]:80"), "PROXY TCP6 ::1 ::2 5 80\r\n");
    assert_eq!(line("[::ffff:10.0.0.1]:5", "[::ffff:10.0.0.2]:80"), "PROXY TCP4 10.0.0.1 10.0.0.2 5 80\r\n");
    assert_eq!(line("10.0.0.1:5", "[::2]:80"), "PROXY TCP6 ::ffff:10.0.0.1 ::2 5 80\r\n");
    let unix = Address::Unix("/a".into());
    assert_eq!(header(Version::V1, &unix, &unix), b"PROXY UNKNOWN\r\n");
    assert_eq!(header(Version::V1, &inet("10.0.0.1:5"), &unix), b"PROXY UNKNOWN\r\n");
    assert_eq!(header(Version::V2, &unix, &unix), v2(0x20, 0, &[]));
    let addresses = [10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0, 80];
    assert_eq!(header(Version::V2, &inet("10.0.0.1:4660"), &inet("10.0.0.2:80")), v2(0x21, 0x11, &addresses));
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<(bool, [u8; 16], u16)>().prop_map(|(v4, ip, port)| match v4 {
        true => SocketAddr::new([ip[0], ip[1], ip[2], ip[3]].into(), port),
        false => SocketAddr::new(ip.into(), port),
    })
}

/// Bytes that are nearly headers.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let line = "PROXY (TCP4|TCP6|UNKNOWN)?[ 0-9a-f.:]{0,100}(\r\n)?x?".prop_map(String::into_bytes);
    let binary = (any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(fixed, rest)| {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | fixed[0] & 1, fixed[1] & 0x33, 0, fixed[3]]);
        bytes.extend(rest);
        bytes
    });
    prop_oneof![line, binary, prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #[test]
    fn what_is_written_is_read(client in address(), server in address(), v1: bool, behind: Vec<u8>) {
        let version = if v1 { Version::V1 } else { Version::V2 };
        let mut bytes = header(version, &Address::Inet(client), &Address::Inet(server));
        let length = bytes.len();
        for end in 0..length {
            prop_assert_eq!(parse(&bytes[..end]), Parsed::NeedMore);
        }
        bytes.extend(behind);
        let endpoints = Some(one_family(canonical(&client), canonical(&server)));
        prop_assert_eq!(parse(&bytes), Parsed::Done { endpoints, tlvs: 0, length });
    }

    #[test]
    fn what_has_been_decided_stays(bytes in nearly()) {
        let mut decided = None;
        for end in 0..=bytes.len() {
            let parsed = parse(&bytes[..end]);
            if let Some(before) = decided {
                prop_assert_eq!(parsed, before);
            } else if parsed != Parsed::NeedMore {
                decided = Some(parsed);
            }
            if let Parsed::Done { length, tlvs, .. } = parsed {
                prop_assert!(tlvs < length);
                prop_assert!(length <= end);
            }
        }
        prop_assert!(bytes.len() < MAX_HEADER || decided.is_some());
    }
}
