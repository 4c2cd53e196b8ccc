//! PROXY protocol headers, of both versions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::net::Address;
use weir::net::proxy_protocol::{Endpoints, MAX_HEADER, Parsed, Version, header, parse};
use weir_fuzz::Cuts;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    // What is known of the beginning stays true whatever comes behind it.
    for end in Cuts::of(bytes) {
        match (parse(&bytes[..end]), whole) {
            (Parsed::NeedMore, _) => assert!(end < MAX_HEADER),
            (found, whole) => assert_eq!(found, whole),
        }
    }
    let Parsed::Done { endpoints, tlvs, length } = whole else { return };
    assert!(length <= bytes.len() && length <= MAX_HEADER && tlvs < length);
    assert!(tlvs == 0 || endpoints.is_some());
    assert_eq!(parse(&bytes[..length]), whole);
    assert_eq!(parse(&bytes[..length - 1]), Parsed::NeedMore, "not a byte less");
    if let Some(endpoints) = endpoints {
        for version in [Version::V1, Version::V2] {
            check_written(version, endpoints);
        }
    }
});

/// A header written for a client says who it is.
fn check_written(version: Version, Endpoints { source, destination }: Endpoints) {
    let written = header(version, &Address::Inet(source), &Address::Inet(destination));
    let Parsed::Done { endpoints: Some(said), tlvs: 0, length } = parse(&written) else {
        panic!("{written:?} is no header")
    };
    assert_eq!(length, written.len());
    for (said, meant) in [(said.source, source), (said.destination, destination)] {
        assert_eq!((said.ip().to_canonical(), said.port()), (meant.ip().to_canonical(), meant.port()));
    }
}
