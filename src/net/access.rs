//! `allow` and `deny`: the first rule that matches a client decides.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Address;

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `all`
    All,
    /// `unix:`: every client of a Unix socket.
    Unix,
    /// An address or a network.
    Net(IpNet),
}

/// One `allow` or `deny`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether the matching client is let in.
    pub allow: bool,
    /// Which clients it is about.
    pub matches: Match,
}

impl Match {
    /// Reads `all`, `unix:`, an address or a CIDR. The second part of the result tells that host bits were set (and
    /// cleared), which nginx warns about. `None`: not an address.
    pub fn parse(text: &str) -> Option<(Match, bool)> {
        match text {
            "all" => return Some((Match::All, false)),
            "unix:" => return Some((Match::Unix, false)),
            _ => {}
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some((Match::Net(address.into()), false));
        }
        let net: IpNet = text.parse().ok()?;
        Some((Match::Net(net.trunc()), net.trunc() != net))
    }

    /// Whether `client` is one of those this is about. An IPv4 client of an IPv6 socket (`::ffff:a.b.c.d`) counts as IPv4.
    pub fn covers(&self, client: &Address) -> bool {
        match (self, client) {
            (Match::All, _) | (Match::Unix, Address::Unix(_)) => true,
            (Match::Net(net), Address::Inet(address)) => net.contains(&canonical(address)),
            _ => false,
        }
    }
}

fn canonical(address: &SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

/// Whether the first rule that matches lets `client` in; without a match it is let in.
pub fn allows(rules: &[Rule], client: &Address) -> bool {
    rules.iter().find(|rule| rule.matches.covers(client)).is_none_or(|rule| rule.allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, text: &str) -> Rule {
        Rule { allow, matches: Match::parse(text).unwrap().0 }
    }

    fn inet(text: &str) -> Address {
        Address::Inet(text.parse().unwrap())
    }

    #[test]
    fn the_first_match_decides() {
        let rules =
            [rule(false, "10.0.0.1"), rule(true, "10.0.0.0/8"), rule(true, "2001:db8::/32"), rule(false, "all")];
        assert!(!allows(&rules, &inet("10.0.0.1:5")));
        assert!(allows(&rules, &inet("10.9.0.1:5")));
        assert!(allows(&rules, &inet("[2001:db8::7]:5")));
        assert!(!allows(&rules, &inet("[2001:db9::7]:5")));
        assert!(!allows(&rules, &Address::Unix("".into())));
        assert!(allows(&[rule(true, "unix:"), rule(false, "all")], &Address::Unix("".into())));
        assert!(allows(&[], &inet("10.0.0.1:5")));
        assert!(allows(&rules[1..2], &inet("11.0.0.1:5")), "none matches: allowed");
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() {
        assert!(!allows(&[rule(false, "10.0.0.0/8")], &inet("[::ffff:10.1.2.3]:5")));
    }

    #[test]
    fn host_bits_are_noticed() {
        assert_eq!(Match::parse("192.168.1.7/24"), Some((Match::Net("192.168.1.0/24".parse().unwrap()), true)));
        assert!(!Match::parse("192.168.1.0/24").unwrap().1);
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0", "10.0.0.0/", "::1/129", "unix"] {
            assert_eq!(Match::parse(wrong), None, "{wrong}");
        }
    }
}
