//! Where to listen and where to connect: TCP addresses and Unix socket paths.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use socket2::{Domain, SockAddr};

use crate::conf::value::number;

/// The longest path of a Unix socket: `sizeof(sun_path) - 1` on Linux.
const UNIX_PATH_MAX: usize = 107;

/// An address of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6 with port.
    Inet(SocketAddr),
    /// The path of a Unix socket; empty for one without a name.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// The address without its port, as nginx prints a client: `127.0.0.1`, `::1`, `unix:`.
    pub fn host(&self) -> Host<'_> {
        Host(self)
    }

    /// Appends what [`Address::host`] shows.
    ///
    /// # Errors
    /// None; for whoever writes several things.
    pub fn write_host(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let Address::Inet(SocketAddr::V4(address)) = self else { return write!(out, "{}", self.host()) };
        for (place, octet) in address.ip().octets().into_iter().enumerate() {
            if place > 0 {
                out.push(b'.');
            }
            out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
        }
        Ok(())
    }

    /// The port; `None` for a Unix socket.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Inet(address) => Some(address.port()),
            Address::Unix(_) => None,
        }
    }

    /// The same host with another port; a Unix socket as it is.
    pub fn with_port(&self, port: u16) -> Address {
        match self {
            Address::Inet(address) => Address::Inet(SocketAddr::new(address.ip(), port)),
            Address::Unix(_) => self.clone(),
        }
    }

    /// Whether it stands for all addresses of its family.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Address::Inet(address) if address.ip().is_unspecified())
    }

    /// The wildcard address of its family and port, whose socket can do for this one too; `None` for a wildcard address and a Unix socket.
    pub fn wildcard(&self) -> Option<Address> {
        let Address::Inet(address) = self else { return None };
        let any: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        (!self.is_wildcard()).then(|| Address::Inet(SocketAddr::new(any, address.port())))
    }

    /// The socket family.
    pub fn domain(&self) -> Domain {
        match self {
            Address::Inet(SocketAddr::V4(_)) => Domain::IPV4,
            Address::Inet(SocketAddr::V6(_)) => Domain::IPV6,
            Address::Unix(_) => Domain::UNIX,
        }
    }

    /// The kernel's form.
    ///
    /// # Errors
    /// A Unix path that is too long.
    pub fn to_sockaddr(&self) -> io::Result<SockAddr> {
        match self {
            Address::Inet(address) => Ok((*address).into()),
            Address::Unix(path) => SockAddr::unix(path),
        }
    }

    /// From the kernel's form; a family that is neither TCP nor Unix cannot come from our sockets and reads as a nameless one.
    pub fn from_sockaddr(address: &SockAddr) -> Address {
        match address.as_socket() {
            Some(inet) => Address::Inet(inet),
            None => Address::Unix(address.as_pathname().map(PathBuf::from).unwrap_or_default()),
        }
    }
}

/// See [`Address::host`].
pub struct Host<'a>(&'a Address);

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Address::Inet(address) => address.ip().fmt(f),
            Address::Unix(_) => f.write_str("unix:"),
        }
    }
}

/// The two halves of `host:port`, not resolved yet.
struct Parts<'a> {
    host: &'a str,
    port: Option<u16>,
}

/// nginx's words for a unix path that cannot be one.
fn unix_path(path: &str) -> Result<Address, &'static str> {
    match path.len() {
        0 => Err("no path in the unix domain socket"),
        1..=UNIX_PATH_MAX => Ok(Address::Unix(path.into())),
        _ => Err("too long path in the unix domain socket"),
    }
}

fn split(text: &str) -> Result<Parts<'_>, &'static str> {
    let (host, port) = halves(text)?;
    Ok(Parts { host, port: port.map(parse_port).transpose()? })
}

fn halves(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if text.contains('/') {
        return Err("invalid host");
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("invalid host")?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => return Err("invalid host"),
        };
        if !host.is_empty() {
            host.parse::<Ipv6Addr>().map_err(|_| "invalid IPv6 address")?;
        }
        (host, port)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() { Err("no host") } else { Ok((host, port)) }
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0).ok_or("invalid port")
}

/// Turns `host:port`, `host`, `[v6]:port` or `unix:path` into all its addresses, asking the system's resolver for names.
///
/// # Errors
/// nginx's word for what is wrong (`no host`, `invalid port`, `host not found`), which the caller completes with
/// ` in upstream "..."` or its like.
pub fn resolve(text: &str, default_port: u16) -> Result<Vec<Address>, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(vec![unix_path(path)?]);
    }
    let Parts { host, port } = split(text)?;
    lookup(host, port.unwrap_or(default_port))
}

/// The address that `host:port`, `host`, `[v6]:port` or `unix:path` is; `None` for a name.
///
/// # Errors
/// As of [`resolve`].
pub fn literal(text: &str, default_port: u16) -> Result<Option<Address>, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(path).map(Some);
    }
    let Parts { host, port } = split(text)?;
    let ip = host.parse::<IpAddr>().ok();
    Ok(ip.map(|ip| Address::Inet(SocketAddr::new(ip, port.unwrap_or(default_port)))))
}

/// The halves of `name:port` or `name` where that is a host's name; `None` for IP addresses, `unix:` paths and faults.
pub fn host_name(text: &str, default_port: u16) -> Option<(&str, u16)> {
    let Parts { host, port } = split(text).ok().filter(|_| !text.starts_with("unix:"))?;
    host.parse::<IpAddr>().is_err().then_some((host, port.unwrap_or(default_port)))
}

/// The port written in `host:port`, if one is; an upstream's name must stand without.
pub fn explicit_port(text: &str) -> Option<u16> {
    if text.starts_with("unix:") { None } else { split(text).ok()?.port }
}

/// Turns the first argument of `listen` into addresses: `port`, `addr:port`, `*:port`, `[v6]:port`, `addr`, `host:port`,
/// `unix:path`, with all ports of `first-last` in the place of one; the port is 80 when none is given, as in nginx.
///
/// # Errors
/// nginx's word for what is wrong, which the caller completes with ` of the "listen" directive`.
pub fn resolve_listen(text: &str) -> Result<Vec<Address>, &'static str> {
    let wildcard = |port| vec![Address::Inet(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))];
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(vec![unix_path(path)?]);
    }
    // A number that is too long for nginx is a name.
    if let Some((first, last)) = range(text).filter(|(first, last)| is_number(first) && is_number(last)) {
        return Ok(parse_ports(first, last)?.flat_map(wildcard).collect());
    }
    if is_number(text) {
        return Ok(wildcard(parse_port(text)?));
    }
    let (host, port) = halves(text)?;
    let ports = match port.map(|port| (port, range(port))) {
        None => 80..=80,
        Some((_, Some((first, last)))) => parse_ports(first, last)?,
        Some((port, None)) => parse_ports(port, port)?,
    };
    if host == "*" {
        return Ok(ports.flat_map(wildcard).collect());
    }
    let found = lookup(host, 0)?;
    Ok(found.iter().flat_map(|address| ports.clone().map(|port| address.with_port(port))).collect())
}

/// The ends of `first-last`.
fn range(text: &str) -> Option<(&str, &str)> {
    text.split_once('-')
}

/// All ports from the first to the last.
fn parse_ports(first: &str, last: &str) -> Result<RangeInclusive<u16>, &'static str> {
    let (last, first) = (parse_port(last)?, parse_port(first)?);
    if first > last { Err("invalid port range") } else { Ok(first..=last) }
}

fn is_number(text: &str) -> bool {
    number(text).is_some()
}

/// All addresses of a host, by the system's resolver; `None` where it knows none.
pub fn of_host(host: &str) -> Option<Vec<IpAddr>> {
    let ip = |address: Address| match address {
        Address::Inet(inet) => Some(inet.ip()),
        Address::Unix(_) => None,
    };
    Some(lookup(host, 0).ok()?.into_iter().filter_map(ip).collect())
}

fn lookup(host: &str, port: u16) -> Result<Vec<Address>, &'static str> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![Address::Inet(SocketAddr::new(ip, port))]);
    }
    let found = (host, port).to_socket_addrs().map_err(|_| "host not found")?;
    let mut addresses: Vec<Address> = Vec::new();
    for address in found.map(Address::Inet) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("host not found") } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Result<String, &'static str> {
        resolve_listen(text).map(|addresses| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn hosts_are_written_as_they_are_shown() {
        for text in ["127.0.0.1:1", "255.10.0.100:1", "[::1]:1", "[2001:db8::7]:1", "unix:/x"] {
            let address = literal(text, 80).unwrap().unwrap();
            let mut out = b"<".to_vec();
            address.write_host(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("<{}", address.host()));
        }
    }

    #[test]
    fn forms_of_listen() {
        assert_eq!(listen("8085").unwrap(), "0.0.0.0:8085");
        assert_eq!(listen("*:8085").unwrap(), "0.0.0.0:8085");
        assert_eq!(listen("127.0.0.1:81").unwrap(), "127.0.0.1:81");
        assert_eq!(listen("127.0.0.1").unwrap(), "127.0.0.1:80");
        assert_eq!(listen("[::]:81").unwrap(), "[::]:81");
        assert_eq!(listen("[::1]").unwrap(), "[::1]:80");
        assert_eq!(listen("81-82").unwrap(), "0.0.0.0:81 0.0.0.0:82");
        assert_eq!(listen("127.0.0.1:81-82").unwrap(), "127.0.0.1:81 127.0.0.1:82");
        assert_eq!(listen("[::1]:81-81").unwrap(), "[::1]:81");
        assert_eq!(listen("unix:/tmp/a").unwrap(), "unix:/tmp/a");
        for (wrong, why) in [
            ("0", "invalid port"),
            ("65536", "invalid port"),
            ("1.2.3.4:", "invalid port"),
            ("1.2.3.4:+5", "invalid port"),
            (":80", "no host"),
            ("1.2.3.4:82-81", "invalid port range"),
            ("1.2.3.4:81-", "invalid port"),
            ("1.2.3.4:81/x", "invalid host"),
            ("99999999999999999999", "host not found"),
            ("", "no host"),
            ("[::1:80", "invalid host"),
            ("[::x]:80", "invalid IPv6 address"),
            ("unix:", "no path in the unix domain socket"),
        ] {
            assert_eq!(listen(wrong), Err(why), "{wrong}");
        }
        assert_eq!(listen(&format!("unix:/{}", "a".repeat(107))), Err("too long path in the unix domain socket"));
    }

    #[test]
    fn forms_of_servers() {
        let one = |text| resolve(text, 80).map(|found| found[0].to_string());
        assert_eq!(one("10.0.0.1").unwrap(), "10.0.0.1:80");
        assert_eq!(one("10.0.0.1:5").unwrap(), "10.0.0.1:5");
        assert_eq!(one("[2001:db8::1]:5").unwrap(), "[2001:db8::1]:5");
        assert_eq!(one("name.invalid:5"), Err("host not found"));
        assert_eq!(explicit_port("name:5"), Some(5));
        assert_eq!(host_name("name:5", 80), Some(("name", 5)));
        assert_eq!(host_name("name", 80), Some(("name", 80)));
        for other in ["10.0.0.1", "[::1]:5", "unix:/a", "name:x", ""] {
            assert_eq!(host_name(other, 80), None, "{other}");
        }
        assert_eq!(explicit_port("name"), None);
        let local = resolve("localhost:5", 80).unwrap();
        assert!(local.contains(&Address::Inet("127.0.0.1:5".parse().unwrap())), "{local:?}");
    }
}
