//! Whose request it is: a proxy before us that is trusted names the client it speaks for.

use std::net::{IpAddr, SocketAddr};

use super::client::Client;
use super::request::Request;
use crate::net::Address;
use crate::net::access::Match;

/// `set_real_ip_from`, `real_ip_header`, `real_ip_recursive`.
#[derive(Clone, Debug)]
pub(super) struct RealIp {
    /// Who is believed; never empty.
    pub from: Vec<Match>,
    pub header: Source,
    /// Of several addresses the last one that is not a trusted proxy's counts, not just the last one.
    pub recursive: bool,
}

/// Where the client's address stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// In the header of the PROXY protocol.
    ProxyProtocol,
    /// In `X-Forwarded-For`, the last one of a list.
    Forwarded,
    /// In a field of this name.
    Field(String),
}

impl Source {
    /// The argument of `real_ip_header`.
    pub(super) fn parse(word: &str) -> Self {
        match word {
            "proxy_protocol" => Source::ProxyProtocol,
            _ if word.eq_ignore_ascii_case("x-forwarded-for") => Source::Forwarded,
            _ => Source::Field(word.to_ascii_lowercase()),
        }
    }
}

impl RealIp {
    /// The client that a request is from, if it is not the one that has connected.
    pub(super) fn find(&self, client: &Client, request: &Request) -> Option<Address> {
        if !trusts(&self.from, &client.address) {
            return None;
        }
        match &self.header {
            Source::ProxyProtocol => Some(Address::Inet(client.announced.as_ref()?.endpoints.source)),
            Source::Field(name) => last_of(request.head.all(name).take(1), &self.from, self.recursive),
            Source::Forwarded => forwarded(request, &self.from, self.recursive),
        }
    }
}

/// Whether an address is that of a trusted proxy.
pub(super) fn trusts(proxies: &[Match], address: &Address) -> bool {
    proxies.iter().any(|proxy| proxy.covers(address))
}

/// The address that counts in `X-Forwarded-For`.
pub(super) fn forwarded(request: &Request, proxies: &[Match], recursive: bool) -> Option<Address> {
    last_of(request.head.all("x-forwarded-for"), proxies, recursive)
}

/// The address that counts among those in fields, which are written behind each other by one proxy after the other.
fn last_of<'a>(fields: impl Iterator<Item = &'a [u8]>, proxies: &[Match], recursive: bool) -> Option<Address> {
    let words = fields.flat_map(|field| field.split(|byte| matches!(byte, b' ' | b',')));
    let addresses: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    let mut found = None;
    for address in addresses.into_iter().rev().map(parse) {
        // What is no address ends what can be believed.
        let Some(address) = address else { break };
        let goes_on = recursive && trusts(proxies, &address);
        found = Some(address);
        if !goes_on {
            break;
        }
    }
    found
}

/// An address with or without a port.
fn parse(word: &[u8]) -> Option<Address> {
    let word = std::str::from_utf8(word).ok()?;
    let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).unwrap_or(word);
    let ip = |text: &str| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0));
    word.parse().ok().or_else(|| ip(bare)).map(Address::Inet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(fields: &[&str], recursive: bool) -> Option<String> {
        let from = ["10.0.0.0/8", "::1"].map(|text| Match::parse(text).unwrap().0);
        let fields = fields.iter().map(|field| field.as_bytes());
        last_of(fields, &from, recursive).map(|address| address.to_string())
    }

    #[test]
    fn the_last_one_that_counts() {
        for (fields, plain, recursive) in [
            (&["1.1.1.1, 2.2.2.2"][..], Some("2.2.2.2:0"), Some("2.2.2.2:0")),
            (&["1.1.1.1, 10.0.0.2,10.0.0.3 , "], Some("10.0.0.3:0"), Some("1.1.1.1:0")),
            (&["1.1.1.1", "::1"], Some("[::1]:0"), Some("1.1.1.1:0")),
            (&["10.0.0.1, 10.0.0.2"], Some("10.0.0.2:0"), Some("10.0.0.1:0")),
            (&["1.1.1.1, x, 10.0.0.2"], Some("10.0.0.2:0"), Some("10.0.0.2:0")),
            (&["1.1.1.1:80"], Some("1.1.1.1:80"), Some("1.1.1.1:80")),
            (&["[2001:db8::1]"], Some("[2001:db8::1]:0"), Some("[2001:db8::1]:0")),
            (&["[2001:db8::1]:5"], Some("[2001:db8::1]:5"), Some("[2001:db8::1]:5")),
            (&["x"], None, None),
            (&[" , "], None, None),
            (&[], None, None),
        ] {
            assert_eq!(last(fields, false).as_deref(), plain, "{fields:?}");
            assert_eq!(last(fields, true).as_deref(), recursive, "{fields:?}");
        }
    }

    #[test]
    fn where_addresses_stand() {
        assert_eq!(Source::parse("proxy_protocol"), Source::ProxyProtocol);
        assert_eq!(Source::parse("X-FORWARDED-for"), Source::Forwarded);
        assert_eq!(Source::parse("X-Real-IP"), Source::Field("x-real-ip".into()));
    }
}
