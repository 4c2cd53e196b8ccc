//! DNS messages (RFC 1035): queries written, replies read. Pure functions over bytes; nothing in a reply is believed before it is checked.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest name in its wire form, RFC 1035 section 3.1.
const NAME_MAX: usize = 255;
/// The longest label.
const LABEL_MAX: usize = 63;
/// Compression pointers followed for one name: one for each label that a name can have. They must lead backwards besides, so this only
/// bounds the work that a hostile reply makes.
const JUMPS_MAX: usize = 127;
/// Aliases followed from the name asked for; common name servers stop at 8 to 16.
pub(super) const ALIASES_MAX: usize = 16;
/// Records taken of one reply; more are left out, so that a reply cannot fill the memory.
const RECORDS_MAX: usize = 256;
/// The class of all we ask for: Internet.
const CLASS_IN: u16 = 1;
const TYPE_CNAME: u16 = 5;

/// A domain name, in lower case. Kept in its wire form: labels, each behind its length, up to the empty one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The name written `www.example.com`, with a dot at its end or without. `None` for one that DNS cannot carry: an empty label, one
    /// of more than 63 bytes, more than 255 in all.
    pub fn parse(text: &str) -> Option<Name> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            if label.is_empty() || label.len() > LABEL_MAX {
                return None;
            }
            wire.push(label.len() as u8);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        (wire.len() <= NAME_MAX).then(|| Name(wire.into()))
    }

    /// Whether it has no label at all.
    fn is_root(&self) -> bool {
        self.0.len() == 1
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &self.0[..];
        let mut dot = "";
        while let Some((&length @ 1.., behind)) = rest.split_first() {
            let (label, behind) = behind.split_at(length.into());
            write!(f, "{dot}{}", String::from_utf8_lossy(label))?;
            (dot, rest) = (".", behind);
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// What is asked about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its IPv4 addresses.
    A = 1,
    /// Its IPv6 addresses (RFC 3596).
    Aaaa = 28,
    /// The servers of the service that it names (RFC 2782).
    Srv = 33,
}

/// A query for a name server that is to do all the work (recursion desired).
pub fn query(id: u16, name: &Name, kind: Kind) -> Vec<u8> {
    const RECURSION_DESIRED: u16 = 1 << 8;
    let mut bytes = Vec::with_capacity(16 + name.0.len());
    // One question; no answers, authorities, or additional records.
    for field in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
        bytes.extend(field.to_be_bytes());
    }
    bytes.extend(&*name.0);
    bytes.extend((kind as u16).to_be_bytes());
    bytes.extend(CLASS_IN.to_be_bytes());
    bytes
}

/// A reply whose header and question have been read.
pub struct Reply<'a> {
    id: u16,
    name: Name,
    kind: u16,
    /// How many answers are said to follow.
    count: u16,
    /// The answers.
    rest: Cursor<'a>,
    /// Not all fitted into the datagram; TCP has the whole.
    pub truncated: bool,
    /// The response code, RFC 1035 section 4.1.1: 0 is success, 3 that the name does not exist.
    pub code: u8,
}

/// A server of a service, the data of an SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The lowest one is to be used as long as possible.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
    /// Where it listens.
    pub port: u16,
    /// The host, whose addresses are to be asked for.
    pub target: Name,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
    /// A server of a service.
    Service(Service),
}

/// What a reply tells of the name asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Records {
    /// Each once, in the order of the reply.
    pub list: Vec<Data>,
    /// The shortest time to live, in seconds, of the records that led to them; 0 when there are none.
    pub ttl: u32,
    /// The name that the one asked for stands for, when the reply has no record of it: whoever wants one asks for that.
    pub alias: Option<Name>,
}

impl<'a> Reply<'a> {
    /// Reads header and question. `None` for anything that is not a reply to one question about the Internet.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        const RESPONSE: u16 = 1 << 15;
        const OPCODE: u16 = 0xf << 11;
        const TRUNCATED: u16 = 1 << 9;
        const CODE: u16 = 0xf;
        let mut rest = Cursor { bytes, at: 0 };
        let (id, flags, questions, count) = (rest.u16()?, rest.u16()?, rest.u16()?, rest.u16()?);
        rest.take(4)?;
        if flags & (RESPONSE | OPCODE) != RESPONSE || questions != 1 {
            return None;
        }
        let (name, kind) = (rest.name()?, rest.u16()?);
        let truncated = flags & TRUNCATED != 0;
        (rest.u16()? == CLASS_IN).then_some(Reply {
            id,
            name,
            kind,
            count,
            rest,
            truncated,
            code: (flags & CODE) as u8,
        })
    }

    /// Whether this answers the query made of the same arguments.
    pub fn answers(&self, id: u16, name: &Name, kind: Kind) -> bool {
        self.id == id && self.kind == kind as u16 && self.name == *name
    }

    /// The records of the name asked for that are of the kind asked for, aliases followed. Those of a service that is said not to be offered
    /// (RFC 2782: the target is the root) are left out. `None`: the answers are malformed, or the aliases go in circles.
    pub fn records(mut self) -> Option<Records> {
        let mut aliases: Vec<Alias> = Vec::new();
        let mut records: Vec<(Name, u32, Data)> = Vec::new();
        for _ in 0..self.count {
            let owner = self.rest.name()?;
            let (kind, class, ttl) = (self.rest.u16()?, self.rest.u16()?, self.rest.ttl()?);
            let length = self.rest.u16()?.into();
            let end = self.rest.at + length;
            if class != CLASS_IN || (kind != self.kind && kind != TYPE_CNAME) {
                self.rest.take(length)?;
                continue;
            }
            if kind == TYPE_CNAME {
                aliases.push(Alias { owner, ttl, target: self.rest.name()? });
            } else {
                records.push((owner, ttl, self.rest.data(kind, length)?));
            }
            if self.rest.at != end {
                return None;
            }
        }
        let (name, mut ttl) = follow(&aliases, &self.name)?;
        let alias = Some(name).filter(|name| **name != self.name).cloned();
        let mut list = Vec::new();
        for (owner, of_record, data) in &records {
            let offered = !matches!(data, Data::Service(service) if service.target.is_root());
            if owner == name && offered && list.len() < RECORDS_MAX && !list.contains(data) {
                list.push(data.clone());
                ttl = ttl.min(*of_record);
            }
        }
        let alias = alias.filter(|_| list.is_empty());
        if list.is_empty() && alias.is_none() {
            ttl = 0;
        }
        Some(Records { list, ttl, alias })
    }
}

/// A CNAME record.
struct Alias {
    owner: Name,
    ttl: u32,
    target: Name,
}

/// The name that `name` stands for in the end, and the shortest time to live on the way; `None` when there is no end.
fn follow<'a>(aliases: &'a [Alias], mut name: &'a Name) -> Option<(&'a Name, u32)> {
    let mut ttl = u32::MAX;
    for _ in 0..=ALIASES_MAX {
        let Some(alias) = aliases.iter().find(|alias| alias.owner == *name) else { return Some((name, ttl)) };
        name = &alias.target;
        ttl = ttl.min(alias.ttl);
    }
    None
}

/// Reads a message from front to back; `None` where it ends too early.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// The data of a record of this type, `length` bytes of which are said to be there.
    fn data(&mut self, kind: u16, length: usize) -> Option<Data> {
        const A: u16 = Kind::A as u16;
        const AAAA: u16 = Kind::Aaaa as u16;
        const SRV: u16 = Kind::Srv as u16;
        match kind {
            A => <[u8; 4]>::try_from(self.take(length)?).ok().map(|bytes| Data::V4(bytes.into())),
            AAAA => <[u8; 16]>::try_from(self.take(length)?).ok().map(|bytes| Data::V6(bytes.into())),
            SRV => {
                let (priority, weight, port) = (self.u16()?, self.u16()?, self.u16()?);
                Some(Data::Service(Service { priority, weight, port, target: self.name()? }))
            }
            _ => None,
        }
    }

    /// A time to live; one with the highest bit set means 0 (RFC 2181 section 8).
    fn ttl(&mut self) -> Option<u32> {
        let ttl = self.take(4)?.try_into().ok().map(u32::from_be_bytes)?;
        Some(if ttl > i32::MAX as u32 { 0 } else { ttl })
    }

    /// A name, which may go on at an earlier place of the message (RFC 1035 section 4.1.4). A pointer leads before the
    /// run of labels it ends, so there are no circles.
    fn name(&mut self) -> Option<Name> {
        let mut wire = Vec::new();
        let (mut at, mut run, mut end) = (self.at, self.at, None);
        let mut jumps = 0;
        loop {
            let length = usize::from(*self.bytes.get(at)?);
            match length >> 6 {
                0 => {
                    let label = self.bytes.get(at..=at + length)?;
                    wire.extend(label.iter().map(u8::to_ascii_lowercase));
                    // The length is below `A` and so is not changed by that.
                    at += 1 + length;
                    if wire.len() > NAME_MAX {
                        return None;
                    }
                    if length == 0 {
                        break;
                    }
                }
                3 => {
                    let target = (length & 0x3f) << 8 | usize::from(*self.bytes.get(at + 1)?);
                    jumps += 1;
                    if target >= run || jumps > JUMPS_MAX {
                        return None;
                    }
                    end.get_or_insert(at + 2);
                    (at, run) = (target, target);
                }
                _ => return None,
            }
        }
        self.at = end.unwrap_or(at);
        Some(Name(wire.into()))
    }
}

#[cfg(test)]
mod tests;
