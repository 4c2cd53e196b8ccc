//! `geo`: a variable whose value is looked up by an address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::real_ip;
use super::variables::{Values, Variable};
use crate::conf::{Call, Result};
use crate::net::Address;
use crate::net::access::Match;

/// A `geo {}`.
#[derive(Clone, Debug)]
pub struct Geo {
    /// The variable that has the address; `None`: the client's.
    address: Option<Variable>,
    /// Proxies that are trusted to say in `X-Forwarded-For` whose request they pass on.
    proxies: Vec<Match>,
    proxy_recursive: bool,
    table: Table,
}

/// By the first address, the last one and the value; none overlap.
type Ranges = BTreeMap<u32, (u32, Rc<[u8]>)>;

#[derive(Clone, Debug)]
enum Table {
    /// Networks, and the lengths of their prefixes; `default` is the network of all addresses.
    Networks { values: HashMap<IpNet, Rc<[u8]>>, lengths: BTreeSet<u8> },
    /// `ranges`, and `default`.
    Ranges(Ranges, Option<Rc<[u8]>>),
}

impl Geo {
    pub(super) fn new(address: Option<Variable>) -> Self {
        let table = Table::Networks { values: HashMap::new(), lengths: BTreeSet::new() };
        Geo { address, proxies: Vec::new(), proxy_recursive: false, table }
    }

    /// The value for the address of a request.
    pub(super) fn value(&self, values: &Values<'_>) -> &[u8] {
        let address = match (&self.address, values.client.speaks_for(values.request)) {
            (Some(variable), _) => {
                let mut text = Vec::new();
                values.write(variable, &mut text);
                std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok())
            }
            (None, Address::Inet(inet)) => Some(inet.ip()),
            _ => None,
        };
        // nginx's address of those that have none.
        let mut address: IpAddr = address.unwrap_or(Ipv4Addr::BROADCAST.into());
        if !self.proxies.is_empty()
            && real_ip::trusts(&self.proxies, &Address::Inet((address, 0).into()))
            && let Some(Address::Inet(client)) = real_ip::forwarded(values.request, &self.proxies, self.proxy_recursive)
        {
            address = client.ip();
        }
        self.find(address.to_canonical())
    }

    fn find(&self, address: IpAddr) -> &[u8] {
        let found = match &self.table {
            Table::Networks { values, lengths } => lengths.iter().rev().find_map(|length| {
                let network = IpNet::new(address, *length).ok()?;
                values.get(&network.trunc())
            }),
            Table::Ranges(ranges, default) => match address {
                IpAddr::V4(v4) => {
                    let at = u32::from(v4);
                    let before = ranges.range(..=at).next_back();
                    before.filter(|(_, (last, _))| at <= *last).map(|(_, (_, value))| value)
                }
                IpAddr::V6(_) => None,
            }
            .or(default.as_ref()),
        };
        found.map_or(&[], |value| value)
    }
}

/// One line of the block.
pub(super) fn line(geo: &mut Geo, call: &mut Call<'_>) -> Result<()> {
    let (word, count) = (call.bytes(0), call.count());
    let text = String::from_utf8_lossy(word);
    match (count, word) {
        (0, b"ranges") => match &geo.table {
            Table::Networks { values, .. } if !values.is_empty() => {
                return Err(call.error("the \"ranges\" directive must be the first directive inside \"geo\" block"));
            }
            Table::Networks { .. } => geo.table = Table::Ranges(BTreeMap::new(), None),
            Table::Ranges(..) => {}
        },
        (0, b"proxy_recursive") => geo.proxy_recursive = true,
        (1, b"proxy") => {
            let proxy = network(call, &String::from_utf8_lossy(call.bytes(1)))?;
            geo.proxies.push(Match::Net(proxy));
        }
        (1, b"delete") => delete(geo, call)?,
        (1, _) => match &mut geo.table {
            Table::Ranges(_, default) if word == b"default" => {
                if let Some(old) = default.replace(call.bytes(1).into()) {
                    let (value, old) = (String::from_utf8_lossy(call.bytes(1)), String::from_utf8_lossy(&old));
                    call.warn(format!("duplicate default geo range value: \"{value}\", old value: \"{old}\""));
                }
            }
            Table::Ranges(ranges, _) => add_range(ranges, call, &text)?,
            Table::Networks { values, lengths } => {
                let written = match word {
                    b"default" => vec![Ipv4Net::default().into(), Ipv6Net::default().into()],
                    _ => vec![network(call, &text)?],
                };
                for network in written {
                    lengths.insert(network.prefix_len());
                    if let Some(old) = values.insert(network, call.bytes(1).into()) {
                        let (value, old) = (String::from_utf8_lossy(call.bytes(1)), String::from_utf8_lossy(&old));
                        call.warn(format!("duplicate network \"{text}\", value: \"{value}\", old value: \"{old}\""));
                    }
                }
            }
        },
        _ => return Err(call.error("invalid number of the geo parameters")),
    }
    Ok(())
}

fn delete(geo: &mut Geo, call: &mut Call<'_>) -> Result<()> {
    let text = String::from_utf8_lossy(call.bytes(1));
    match &mut geo.table {
        Table::Ranges(ranges, _) => {
            let (first, last) = range(&text).ok_or_else(|| call.error(format!("invalid range \"{text}\"")))?;
            if ranges.get(&first).is_none_or(|(end, _)| *end != last) {
                call.warn(format!("no address range \"{text}\" to delete"));
            } else {
                ranges.remove(&first);
            }
        }
        Table::Networks { values, .. } => {
            let network = network(call, &text)?;
            if values.remove(&network).is_none() {
                call.warn(format!("no network \"{text}\" to delete"));
            }
        }
    }
    Ok(())
}

/// A range and its value, within another or beside it.
fn add_range(ranges: &mut Ranges, call: &mut Call<'_>, text: &str) -> Result<()> {
    let (first, last) = range(text).ok_or_else(|| call.error(format!("invalid range \"{text}\"")))?;
    let old = cut(ranges, first, last).map_err(|(start, end)| {
        let (start, end) = (Ipv4Addr::from(start), Ipv4Addr::from(end));
        call.error(format!("range \"{text}\" overlaps \"{start}-{end}\""))
    })?;
    if let Some(old) = old {
        let (value, old) = (String::from_utf8_lossy(call.bytes(1)), String::from_utf8_lossy(&old));
        call.warn(format!("duplicate range \"{text}\", value: \"{value}\", old value: \"{old}\""));
    }
    ranges.insert(first, (last, call.bytes(1).into()));
    Ok(())
}

/// Takes the addresses from `first` to `last` out of the range that they stand in, and gives back its value if they are all of it.
///
/// # Errors
/// A range that has only some of them.
fn cut(ranges: &mut Ranges, first: u32, last: u32) -> std::result::Result<Option<Rc<[u8]>>, (u32, u32)> {
    let Some((&start, (end, value))) = ranges.range(..=last).next_back().filter(|(_, (end, _))| *end >= first) else {
        return Ok(None);
    };
    let (end, value) = (*end, value.clone());
    if start > first || end < last {
        return Err((start, end));
    }
    ranges.remove(&start);
    if (start, end) == (first, last) {
        return Ok(Some(value));
    }
    if start < first {
        ranges.insert(start, (first - 1, value.clone()));
    }
    if end > last {
        ranges.insert(last + 1, (end, value));
    }
    Ok(None)
}

/// A network, or an address as one.
fn network(call: &mut Call<'_>, text: &str) -> Result<IpNet> {
    let written = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let written: IpNet = written.ok_or_else(|| call.error(format!("invalid network \"{text}\"")))?;
    if written.trunc() != written {
        call.warn(format!("low address bits of {text} are meaningless"));
    }
    Ok(written.trunc())
}

fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-')?;
    let address = |text: &str| text.parse::<Ipv4Addr>().ok().map(u32::from);
    let (first, last) = (address(first)?, address(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_network_wins() {
        let mut geo = Geo::new(None);
        if let Table::Networks { values, lengths } = &mut geo.table {
            for text in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "2001:db8::/32", "0.0.0.0/0"] {
                let network: IpNet = text.parse().unwrap();
                lengths.insert(network.prefix_len());
                values.insert(network, text.as_bytes().into());
            }
        }
        for (address, value) in [
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.4", "10.1.0.0/16"),
            ("10.9.9.9", "10.0.0.0/8"),
            ("11.0.0.1", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::/32"),
            ("2001::1", ""),
        ] {
            assert_eq!(geo.find(address.parse().unwrap()), value.as_bytes(), "{address}");
        }
    }

    #[test]
    fn later_ranges_stand_in_earlier_ones() {
        let mut ranges = BTreeMap::new();
        for (first, last, value) in [(0, 100, "a"), (20, 30, "b"), (20, 24, "c"), (31, 40, "d"), (90, 100, "e")] {
            assert_eq!(cut(&mut ranges, first, last), Ok(None));
            ranges.insert(first, (last, value.as_bytes().into()));
        }
        assert_eq!(cut(&mut ranges, 95, 101), Err((90, 100)));
        assert_eq!(cut(&mut ranges, 19, 24), Err((20, 24)));
        let all: Vec<(u32, u32, &[u8])> =
            ranges.iter().map(|(first, (last, value))| (*first, *last, &**value)).collect();
        let wanted = [(0, 19, "a"), (20, 24, "c"), (25, 30, "b"), (31, 40, "d"), (41, 89, "a"), (90, 100, "e")];
        assert_eq!(all, wanted.map(|(first, last, value)| (first, last, value.as_bytes())));
    }
}
