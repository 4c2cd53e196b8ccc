//! `ip_hash`: the peers a client's address leads to. The numbers are those of nginx and of the old module, so that clients stay
//! with their servers.

use std::net::IpAddr;

use crate::net::Address;

/// How many peers are looked at before round robin decides, as in nginx.
const TRIES: usize = 20;

/// The hash before the first byte.
const SEED: u32 = 89;

/// The numbers of the peers to try, one after the other, out of `peers`, which is not 0.
pub(super) fn path(client: &Address, peers: usize) -> impl Iterator<Item = usize> {
    let key = Key::of(client);
    let mut hash = SEED;
    (0..TRIES).map(move |_| {
        hash = key.bytes().iter().fold(hash, |hash, &byte| (hash * 113 + u32::from(byte)) % 6271);
        hash as usize % peers
    })
}

/// The bytes of an address that count.
enum Key {
    /// The network of an IPv4 client. That of one without an address is all zeros, as in nginx.
    V4([u8; 3]),
    V6([u8; 16]),
}

impl Key {
    fn of(client: &Address) -> Self {
        let Address::Inet(client) = client else { return Key::V4([0; 3]) };
        match client.ip().to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Key::V4([a, b, c])
            }
            IpAddr::V6(ip) => Key::V6(ip.octets()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Key::V4(bytes) => bytes,
            Key::V6(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::SocketAddr;

    fn client(ip: &str) -> Address {
        Address::Inet(SocketAddr::new(ip.parse().unwrap(), 1))
    }

    fn first(ip: &str, peers: usize) -> usize {
        path(&client(ip), peers).next().unwrap()
    }

    #[test]
    fn first_choices_are_those_of_the_old_module() {
        let table = [
            ("10.0.0.1", [1, 0, 1, 0, 3]),
            ("192.168.1.5", [0, 1, 2, 4, 0]),
            ("172.16.5.9", [0, 1, 2, 1, 5]),
            ("8.8.8.8", [1, 2, 3, 3, 6]),
            ("127.0.0.1", [0, 2, 0, 0, 1]),
            ("203.0.113.7", [0, 0, 0, 2, 2]),
        ];
        for (ip, expected) in table {
            assert_eq!([2, 3, 4, 5, 7].map(|peers| first(ip, peers)), expected, "{ip}");
            assert_eq!([2, 3, 4, 5, 7].map(|peers| first(&format!("::ffff:{ip}"), peers)), expected, "{ip} mapped");
        }
    }

    #[test]
    fn a_network_has_one_way() {
        let way = |ip| path(&client(ip), 5).collect::<Vec<_>>();
        assert_eq!(way("10.0.0.1"), way("10.0.0.77"));
        assert_ne!(way("10.0.0.1"), way("10.0.1.1"));
    }

    #[test]
    fn the_way_goes_on_by_three_more_steps() {
        let round = |hash: usize| (((hash * 113 + 192) % 6271 * 113 + 168) % 6271 * 113 + 1) % 6271;
        let hashes: Vec<usize> = std::iter::successors(Some(89), |&hash| Some(round(hash))).skip(1).take(20).collect();
        let expected: Vec<usize> = hashes.iter().map(|hash| hash % 5).collect();
        assert_eq!(path(&client("192.168.1.5"), 5).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn all_bytes_of_an_ipv6_address_count() {
        let choices: BTreeSet<usize> = (1..50).map(|n| first(&format!("2001:db8::{n:x}"), 7)).collect();
        assert_eq!(choices.len(), 7);
    }

    #[test]
    fn a_client_without_address_has_a_way() {
        assert_eq!(path(&Address::Unix("".into()), 3).count(), 20);
    }
}
