//! Replies of name servers, and names.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use weir::resolver::Name;
use weir::resolver::message::{Addresses, Kind, Reply, query};

fn addresses(bytes: &[u8]) -> Option<Addresses> {
    Reply::parse(bytes)?.addresses()
}

fuzz_target!(|bytes: &[u8]| {
    let found = addresses(bytes);
    if let Some(found) = &found {
        let once: HashSet<_> = found.list.iter().collect();
        assert!(once.len() == found.list.len() && found.list.len() <= 256);
        assert!(found.ttl <= i32::MAX as u32);
        assert!(found.alias.is_none() || found.list.is_empty());
        // What stands behind the answers is nothing to us.
        assert_eq!(addresses(&[bytes, bytes].concat()).as_ref(), Some(found));
        if let Some(alias) = &found.alias {
            assert!(alias.to_string().len() <= 3 * 255);
        }
    }
    // A reply that is cut off says the same or nothing.
    let half = &bytes[..bytes.len() / 2];
    assert!(addresses(half).is_none_or(|part| Some(part) == found));

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
    assert_eq!(reply.addresses(), Some(Addresses { list: vec![], ttl: 0, alias: None }));
});
