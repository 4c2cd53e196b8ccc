//! `allow` and `deny`: the first rule that matches a client decides.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Address, address};
use crate::conf::{Call, Result};

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

impl Rule {
    /// Reads `allow` or `deny`; host bits that are set are warned about.
    ///
    /// # Errors
    /// Not an address, in nginx's words.
    pub fn of(call: &mut Call<'_>) -> Result<Rule> {
        let matches = Match::of(call, |text| format!("invalid parameter \"{text}\""))?;
        Ok(Rule { allow: call.name() == "allow", matches })
    }
}

impl Match {
    /// The argument of a directive as the clients that it stands for; host bits that are set are warned about.
    ///
    /// # Errors
    /// It stands for none; `fault` makes the message.
    pub fn of(call: &mut Call<'_>, fault: impl Fn(&str) -> String) -> Result<Match> {
        let text = call.text(1)?;
        let (matches, host_bits) = Match::parse(text).ok_or_else(|| call.error(fault(text)))?;
        if host_bits {
            call.warn(format!("low address bits of {text} are meaningless"));
        }
        Ok(matches)
    }

    /// The argument of `set_real_ip_from`: who is believed when it speaks of others. A name stands for the addresses that it has now.
    ///
    /// # Errors
    /// None of these, in nginx's words.
    pub fn senders(call: &mut Call<'_>) -> Result<Vec<Match>> {
        let text = call.text(1)?;
        if Match::parse(text).is_some_and(|(matches, _)| matches != Match::All) {
            return Ok(vec![Match::of(call, str::to_owned)?]);
        }
        let found = address::of_host(text)
            .ok_or_else(|| call.error(format!("host not found in set_real_ip_from \"{text}\"")))?;
        Ok(found.into_iter().map(|ip| Match::Net(ip.into())).collect())
    }

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

/// Whether the first rule that matches lets `client` in; `None` where none matches.
pub fn verdict(rules: &[Rule], client: &Address) -> Option<bool> {
    rules.iter().find(|rule| rule.matches.covers(client)).map(|rule| rule.allow)
}

/// Whether `client` is let in: by the first rule that matches, or since none does.
pub fn allows(rules: &[Rule], client: &Address) -> bool {
    verdict(rules, client).unwrap_or(true)
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
