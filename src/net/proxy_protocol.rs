//! The PROXY protocol: a header before a connection's own bytes by which a proxy tells whose connection it passes on.
//!
//! Version 1 is a line of text, version 2 is binary; both as in HAProxy's `proxy-protocol.txt`, the protocol's definition,
//! whose sections are named here.

pub mod tlv;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use super::{Address, Connection};
use crate::event::Reactor;

/// The longest header that is taken, nginx's bound; one of version 2 could be of 64 KiB.
pub const MAX_HEADER: usize = 4096;

/// The longest line of version 1, its line end included (section 2.1).
const MAX_LINE: usize = 107;
/// What a line begins with.
const WORD: &[u8] = b"PROXY ";

/// What a header of version 2 begins with (section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The signature, version and command, family and protocol, and the length of the rest.
const FIXED: usize = 16;
const VERSION_2: u8 = 2;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const INET: u8 = 1;
const INET6: u8 = 2;
const UNIX: u8 = 3;
const STREAM: u8 = 1;
const DATAGRAM: u8 = 2;

/// Between whom the connection is that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The client.
    pub source: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
}

/// What the bytes received so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    NeedMore,
    /// A header of `length` bytes. No endpoints: the sender speaks for itself, or of a client without an IP address.
    Done {
        /// What it says.
        endpoints: Option<Endpoints>,
        /// How many bytes at the end of the header are [TLVs](tlv) of a connection with endpoints.
        tlvs: usize,
        /// How many bytes are the header's.
        length: usize,
    },
    /// Not a header, or one longer than [`MAX_HEADER`].
    Malformed,
}

/// What a client that is to begin with a header has sent.
pub enum Taken {
    /// Nothing, or a part of one.
    NotYet,
    /// All of it, which has been taken out of the socket; what stands behind it is left there.
    Done {
        /// As in [`Parsed::Done`].
        endpoints: Option<Endpoints>,
        /// Where its [TLVs](tlv) are in the buffer.
        tlvs: Range<usize>,
    },
    /// Something else: so many bytes of it are in the buffer.
    Broken(usize),
}

/// Takes the header from a connection that has something to read, by a buffer of [`MAX_HEADER`] bytes.
///
/// # Errors
/// What recv(2) says.
pub fn take(connection: &Connection, reactor: &mut Reactor, buffer: &mut [u8]) -> io::Result<Taken> {
    let Some(count) = connection.peek(reactor, buffer)? else { return Ok(Taken::NotYet) };
    match parse(&buffer[..count]) {
        Parsed::Done { endpoints, tlvs, length } => {
            // It is there in whole, as it has just been seen.
            connection.recv(reactor, &mut buffer[..length])?;
            Ok(Taken::Done { endpoints, tlvs: length - tlvs..length })
        }
        Parsed::NeedMore if count > 0 && !reactor.closing(connection.source()) => {
            reactor.clear_readable(connection.source(), true);
            Ok(Taken::NotYet)
        }
        Parsed::NeedMore | Parsed::Malformed => Ok(Taken::Broken(count)),
    }
}

/// Bytes of a header for the log, up to the length of a line of version 1.
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = |byte: &u8| match byte {
            0..128 => write!(f, "{}", char::from(*byte)),
            _ => write!(f, "\\x{byte:02X}"),
        };
        self.0.iter().take(MAX_LINE).try_for_each(write)
    }
}

/// Reads the header that `bytes` begin with. Bytes that cannot begin one are found out at once, the words of a line at its
/// end.
pub fn parse(bytes: &[u8]) -> Parsed {
    if bytes.is_empty() {
        Parsed::NeedMore
    } else if begins(bytes, SIGNATURE) {
        parse_v2(bytes)
    } else if begins(bytes, WORD) {
        parse_v1(bytes)
    } else {
        Parsed::Malformed
    }
}

/// Whether `bytes` begin with `start`, as far as they go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

fn parse_v1(bytes: &[u8]) -> Parsed {
    let bytes = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = memchr::memmem::find(bytes, b"\r\n") else {
        return if bytes.len() < MAX_LINE { Parsed::NeedMore } else { Parsed::Malformed };
    };
    let length = end + 2;
    let Some(Ok(line)) = bytes[..end].strip_prefix(WORD).map(std::str::from_utf8) else { return Parsed::Malformed };
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["UNKNOWN", ..] => Parsed::Done { endpoints: None, tlvs: 0, length },
        [family @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let ip = |text: &str| -> Option<IpAddr> {
                if family == "TCP4" {
                    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
                } else {
                    text.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
                }
            };
            let address = |host, port| Some(SocketAddr::new(ip(host)?, decimal(port)?));
            match (address(source, source_port), address(destination, destination_port)) {
                (Some(source), Some(destination)) => {
                    Parsed::Done { endpoints: Some(Endpoints { source, destination }), tlvs: 0, length }
                }
                _ => Parsed::Malformed,
            }
        }
        _ => Parsed::Malformed,
    }
}

/// A port: digits only, without leading zeros.
fn decimal(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn parse_v2(bytes: &[u8]) -> Parsed {
    // Each of these bytes is looked at as soon as it is there.
    let at = |i: usize| bytes.get(i).copied();
    let command = match at(12) {
        None => return Parsed::NeedMore,
        Some(byte) if byte >> 4 == VERSION_2 && byte & 15 <= PROXY => byte & 15,
        Some(_) => return Parsed::Malformed,
    };
    let (family, protocol) = match at(13) {
        None => return Parsed::NeedMore,
        Some(byte) if byte >> 4 <= UNIX && byte & 15 <= DATAGRAM => (byte >> 4, byte & 15),
        Some(_) => return Parsed::Malformed,
    };
    let (Some(high), Some(low)) = (at(14), at(15)) else { return Parsed::NeedMore };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_HEADER {
        return Parsed::Malformed;
    }
    let Some(rest) = bytes.get(FIXED..length) else { return Parsed::NeedMore };
    let told = match (command, family, protocol) {
        (LOCAL, ..) => None,
        (_, INET, STREAM) => match rest.split_first_chunk::<12>() {
            Some((addresses, tlvs)) => Some((endpoints::<4>(addresses), tlvs.len())),
            None => return Parsed::Malformed,
        },
        (_, INET6, STREAM) => match rest.split_first_chunk::<36>() {
            Some((addresses, tlvs)) => Some((endpoints::<16>(addresses), tlvs.len())),
            None => return Parsed::Malformed,
        },
        _ => None,
    };
    let (endpoints, tlvs) = told.unzip();
    Parsed::Done { endpoints, tlvs: tlvs.unwrap_or_default(), length }
}

/// Two addresses of `N` bytes and their ports.
fn endpoints<const N: usize>(bytes: &[u8]) -> Endpoints
where
    IpAddr: From<[u8; N]>,
{
    let ip = |start: usize| {
        let mut ip = [0; N];
        ip.copy_from_slice(&bytes[start..start + N]);
        IpAddr::from(ip)
    };
    let port = |start: usize| u16::from_be_bytes([bytes[start], bytes[start + 1]]);
    Endpoints { source: SocketAddr::new(ip(0), port(2 * N)), destination: SocketAddr::new(ip(N), port(2 * N + 2)) }
}

/// The form of a header that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// The header for a client's connection to `server`. A client without an IP address is `UNKNOWN`, in version 2 `LOCAL`. When one of
/// the two is an IPv4 address and the other is not, both are written as IPv6 (`::ffff:a.b.c.d`), as a header has one family.
pub fn header(version: Version, client: &Address, server: &Address) -> Vec<u8> {
    let endpoints = match (client, server) {
        (Address::Inet(client), Address::Inet(server)) => Some(one_family(canonical(client), canonical(server))),
        _ => None,
    };
    match version {
        Version::V1 => header_v1(endpoints),
        Version::V2 => header_v2(endpoints),
    }
}

/// IPv4 for an IPv4 client of an IPv6 socket.
fn canonical(address: &SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn one_family(source: SocketAddr, destination: SocketAddr) -> Endpoints {
    if source.is_ipv4() == destination.is_ipv4() {
        return Endpoints { source, destination };
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    Endpoints { source: mapped(source), destination: mapped(destination) }
}

fn header_v1(endpoints: Option<Endpoints>) -> Vec<u8> {
    let Some(Endpoints { source, destination }) = endpoints else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
}

fn header_v2(endpoints: Option<Endpoints>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some(Endpoints { source, destination }) = endpoints else {
        header.extend([VERSION_2 << 4 | LOCAL, 0, 0, 0]);
        return header;
    };
    header.push(VERSION_2 << 4 | PROXY);
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([INET << 4 | STREAM, 0, 12]);
            header.extend(from.octets());
            header.extend(to.octets());
        }
        (from, to) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            header.extend([INET6 << 4 | STREAM, 0, 36]);
            header.extend(octets(from));
            header.extend(octets(to));
        }
    }
    header.extend(source.port().to_be_bytes());
    header.extend(destination.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests;
