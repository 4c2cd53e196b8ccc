//! The forms of values in configurations: numbers, sizes, times, addresses, networks, names of servers.
#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use weir::conf::value::{number, size, time};
use weir::net::Address;
use weir::net::access::Match;
use weir::net::address::{host_name, resolve, resolve_listen};
use weir::net::names::{Name, Names};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    check_numbers(text);
    check_times(text);
    check_addresses(text);
    check_networks(text);
    check_names(text);
});

/// What is taken for a number is that number, in 128 bits too.
fn check_numbers(text: &str) {
    if let Some(found) = number(text) {
        assert_eq!(text.parse(), Ok(found as u128));
    }
    if let Some(found) = size(text) {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let factor = match &text[digits.len()..] {
            "" => 1_u128,
            "k" | "K" => 1 << 10,
            "m" | "M" => 1 << 20,
            "g" | "G" => 1 << 30,
            other => panic!("{other} is no unit"),
        };
        assert_eq!(digits.parse::<u128>().map(|digits| digits * factor), Ok(found as u128));
    }
}

/// A time is the same in slots of either unit, where both can hold it.
fn check_times(text: &str) {
    const LONGEST: Duration = Duration::from_millis(i64::MAX as u64);
    match (time(text, true), time(text, false)) {
        (Some(found), None) => assert!(text.contains("ms"), "{found:?}"),
        (None, Some(found)) => assert!(found > LONGEST, "{found:?}"),
        (milliseconds, seconds) => assert_eq!(milliseconds, seconds),
    }
}

/// An address is printed so that it reads back. No names: they would be looked up.
fn check_addresses(text: &str) {
    if host_name(text, 80).is_some() {
        return;
    }
    if let Ok(found) = resolve_listen(text) {
        assert!(found.len() == 1 || text.contains('-'), "no range of ports: {found:?}");
        for address in found {
            assert_eq!(resolve_listen(&address.to_string()), Ok(vec![address]));
        }
    }
    if let Ok(found) = resolve(text, 80) {
        assert_eq!(found.len(), 1);
        assert_eq!(resolve(&found[0].to_string(), 80), Ok(found));
    }
}

/// A network has its own first and last address in it.
fn check_networks(text: &str) {
    let Some((found, _)) = Match::parse(text) else { return };
    let Match::Net(net) = &found else { return };
    for ip in [net.network(), net.broadcast()] {
        // Clients with such an address count as IPv4, networks do not.
        if ip.to_canonical() == ip {
            assert!(found.covers(&Address::Inet(SocketAddr::new(ip, 1))), "{ip} in {text}");
        }
    }
}

/// A server is found by the names it has.
fn check_names(word: &str) {
    let Ok(name) = Name::parse(word) else { return };
    let mut names = Names::default();
    assert!(names.add(&name, &()));
    let hosts = match name {
        Name::Exact(exact) => vec![exact],
        Name::Tail(tail) => vec![[b"a", &tail[..]].concat()],
        Name::Domain(domain) => vec![domain[1..].to_vec(), [b"a", &domain[..]].concat()],
        Name::Head(head) => vec![[&head[..], b"a"].concat()],
    };
    for host in hosts {
        assert!(names.find(&host).is_some(), "{word} has no host {:?}", String::from_utf8_lossy(&host));
    }
}
