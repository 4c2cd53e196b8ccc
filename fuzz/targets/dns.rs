//! Replies of name servers, and names.
#![no_main]

use std::mem::discriminant;

use libfuzzer_sys::fuzz_target;
use weir::resolver::Name;
use weir::resolver::message::{Data, Kind, Records, Reply, query};

fn records(bytes: &[u8]) -> Option<Records> {
    Reply::parse(bytes)?.records()
}

fuzz_target!(|bytes: &[u8]| {
    let found = records(bytes);
    if let Some(found) = &found {
        assert!(found.list.len() <= 256);
        for (place, data) in found.list.iter().enumerate() {
            assert!(!found.list[..place].contains(data), "{data:?} stands twice");
        }
        // Records are of one kind, and a server of a service has a host.
        assert!(found.list.windows(2).all(|pair| discriminant(&pair[0]) == discriminant(&pair[1])));
        for data in &found.list {
            let Data::Service(service) = data else { continue };
            let host = service.target.to_string();
            assert!(!host.is_empty() && host.len() <= 3 * 255);
        }
        assert!(found.ttl <= i32::MAX as u32);
        assert!(found.alias.is_none() || found.list.is_empty());
        // What stands behind the answers is nothing to us.
        assert_eq!(records(&[bytes, bytes].concat()).as_ref(), Some(found));
        if let Some(alias) = &found.alias {
            assert!(alias.to_string().len() <= 3 * 255);
        }
    }
    // A reply that is cut off says the same or nothing.
    let half = &bytes[..bytes.len() / 2];
    assert!(records(half).is_none_or(|part| Some(part) == found));

    let Some((text, name)) = std::str::from_utf8(bytes).ok().and_then(|text| Some((text, Name::parse(text)?))) else {
        return;
    };
    assert!(text.strip_suffix('.').unwrap_or(text).eq_ignore_ascii_case(&name.to_string()));
    let id = bytes.len() as u16;
    let mut message = query(id, &name, Kind::Aaaa);
    assert!(Reply::parse(&message).is_none(), "a query is no reply");
    message[2] |= 0x80;
    let reply = Reply::parse(&message).expect("a reply to our question");
    assert!(reply.answers(id, &name, Kind::Aaaa) && !reply.answers(id, &name, Kind::A));
    assert_eq!(reply.records(), Some(Records { list: vec![], ttl: 0, alias: None }));
});
