//! A name server that says what the test tells it to.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::wait::PATIENCE;

pub const A: u16 = 1;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;
const CNAME: u16 = 5;

/// A query as it came.
#[derive(Clone, Debug)]
pub struct Query {
    pub id: u16,
    pub name: String,
    pub kind: u16,
    pub tcp: bool,
    pub from: SocketAddr,
}

/// What to send for a query: any number of messages.
pub type Script = Box<dyn Fn(&Query) -> Vec<Vec<u8>> + Send>;

impl Query {
    fn parse(bytes: &[u8], tcp: bool, from: SocketAddr) -> Query {
        let mut labels = Vec::new();
        let mut at = 12;
        while bytes[at] != 0 {
            let end = at + 1 + usize::from(bytes[at]);
            labels.push(std::str::from_utf8(&bytes[at + 1..end]).unwrap());
            at = end;
        }
        let u16_at = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        assert_eq!(bytes.len(), at + 5, "one question and nothing behind it");
        Query { id: u16_at(0), name: labels.join("."), kind: u16_at(at + 1), tcp, from }
    }

    /// A reply with these flags in its header and these records: name, type, time to live, data.
    pub fn reply(&self, flags: u16, records: &[(&str, u16, u32, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in [self.id, 0x8180 | flags, 1, records.len() as u16, 0, 0] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(wire(&self.name));
        bytes.extend([self.kind, 1].map(u16::to_be_bytes).as_flattened());
        for (name, kind, ttl, data) in records {
            bytes.extend(wire(name));
            bytes.extend([*kind, 1].map(u16::to_be_bytes).as_flattened());
            bytes.extend(ttl.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        }
        bytes
    }

    /// Those of `addresses` that are of the kind asked for, each good for a second.
    pub fn addresses(&self, addresses: &[&str]) -> Vec<u8> {
        self.addresses_of(&self.name, addresses)
    }

    fn addresses_of(&self, name: &str, addresses: &[&str]) -> Vec<u8> {
        let records: Vec<_> = addresses
            .iter()
            .filter_map(|address| match (self.kind, address.parse().unwrap()) {
                (A, IpAddr::V4(ip)) => Some((name, A, 1, ip.octets().to_vec())),
                (AAAA, IpAddr::V6(ip)) => Some((name, AAAA, 1, ip.octets().to_vec())),
                _ => None,
            })
            .collect();
        self.reply(0, &records)
    }

    /// SRV records, good for `ttl` seconds, of these servers: priority, weight, port and host.
    pub fn services(&self, ttl: u32, servers: &[(u16, u16, u16, &str)]) -> Vec<u8> {
        let data = |&(priority, weight, port, target): &(u16, u16, u16, &str)| {
            [[priority, weight, port].map(u16::to_be_bytes).as_flattened(), &wire(target)].concat()
        };
        let records: Vec<_> = servers.iter().map(|server| (self.name.as_str(), SRV, ttl, data(server))).collect();
        self.reply(0, &records)
    }

    /// The name is an alias of another, which is one of a third, which has these addresses.
    pub fn aliased(&self, addresses: &[&str]) -> Vec<u8> {
        let end = self.addresses_of("end.test", addresses);
        let records = end.len() - self.reply(0, &[]).len();
        let mut bytes = self
            .reply(0, &[("middle.TEST", CNAME, 60, wire("end.test")), (&self.name, CNAME, 60, wire("Middle.test"))]);
        bytes[7] += end[7];
        bytes.extend(&end[end.len() - records..]);
        bytes
    }

    /// The name is an alias of another, about which the reply says nothing.
    pub fn alias(&self, of: &str) -> Vec<u8> {
        self.reply(0, &[(&self.name, CNAME, 60, wire(of))])
    }

    /// A failure with a response code.
    pub fn code(&self, code: u16) -> Vec<u8> {
        self.reply(code, &[])
    }

    /// Not all of it fitted.
    pub fn truncated(&self, addresses: &[&str]) -> Vec<u8> {
        let mut bytes = self.addresses(addresses);
        bytes[2] |= 2;
        bytes
    }
}

fn wire(name: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

/// A name server on UDP and TCP; it stops when dropped.
pub struct Dns {
    pub address: SocketAddr,
    script: Arc<Mutex<Script>>,
    queries: Arc<Mutex<Vec<Query>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Dns {
    /// One that answers every query by `script`.
    pub fn start(script: impl Fn(&Query) -> Vec<Vec<u8>> + Send + 'static) -> Dns {
        // A port that is free for both.
        loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                return Dns::serve(udp, tcp, Box::new(script));
            }
        }
    }

    /// One whose answers are these addresses.
    pub fn with(addresses: &'static [&'static str]) -> Dns {
        Dns::start(move |query| vec![query.addresses(addresses)])
    }

    /// One on the address of another that is gone.
    pub fn again(address: SocketAddr, script: impl Fn(&Query) -> Vec<Vec<u8>> + Send + 'static) -> Dns {
        Dns::serve(UdpSocket::bind(address).unwrap(), TcpListener::bind(address).unwrap(), Box::new(script))
    }

    fn serve(udp: UdpSocket, tcp: TcpListener, script: Script) -> Dns {
        let address = udp.local_addr().unwrap();
        udp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let script = Arc::new(Mutex::new(script));
        let queries = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let answer = {
            let (script, queries) = (script.clone(), queries.clone());
            move |bytes: &[u8], tcp, from| {
                let query = Query::parse(bytes, tcp, from);
                let replies = script.lock().unwrap()(&query);
                queries.lock().unwrap().push(query);
                replies
            }
        };
        let over_udp = {
            let (answer, stop) = (answer.clone(), stop.clone());
            move || {
                let mut buffer = [0; 1024];
                while !stop.load(Ordering::SeqCst) {
                    let Ok((count, from)) = udp.recv_from(&mut buffer) else { continue };
                    for reply in answer(&buffer[..count], false, from) {
                        let _ = udp.send_to(&reply, from);
                    }
                }
            }
        };
        let over_tcp = {
            let stop = stop.clone();
            move || {
                for mut stream in tcp.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let mut length = [0; 2];
                    if stream.read_exact(&mut length).is_err() {
                        continue;
                    }
                    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
                    stream.read_exact(&mut bytes).unwrap();
                    for reply in answer(&bytes, true, stream.peer_addr().unwrap()) {
                        // In two pieces.
                        stream.set_nodelay(true).unwrap();
                        stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
                        stream.write_all(&reply).unwrap();
                    }
                }
            }
        };
        let threads = vec![thread::spawn(over_udp), thread::spawn(over_tcp)];
        Dns { address, script, queries, stop, threads }
    }

    /// Answers otherwise from now on.
    pub fn say(&self, script: impl Fn(&Query) -> Vec<Vec<u8>> + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// Answers with other addresses from now on.
    pub fn change(&self, addresses: &'static [&'static str]) {
        self.say(move |query| vec![query.addresses(addresses)]);
    }

    /// The queries so far.
    pub fn queries(&self) -> Vec<Query> {
        self.queries.lock().unwrap().clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
