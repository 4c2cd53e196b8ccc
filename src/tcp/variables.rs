//! Variables of a tcp session, by the names and meanings of nginx's stream module, and text made of them.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::log::format::{Escape, Format};
use crate::log::{clock, hostname};
use crate::net::Address;

/// What a session can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    RemoteAddr,
    RemotePort,
    ServerAddr,
    ServerPort,
    ProxyProtocolAddr,
    ProxyProtocolPort,
    UpstreamAddr,
    UpstreamBytesReceived,
    UpstreamBytesSent,
    UpstreamConnectTime,
    BytesReceived,
    BytesSent,
    SessionTime,
    Status,
    Protocol,
    SslProtocol,
    SslCipher,
    Connection,
    Pid,
    Hostname,
    TimeLocal,
    TimeIso8601,
    Msec,
}

const NAMES: &[(&str, Variable, &str)] = &[
    ("remote_addr", Variable::RemoteAddr, "The client's address; `set_real_ip_from` says whose word is taken for it."),
    ("remote_port", Variable::RemotePort, "The client's port."),
    ("server_addr", Variable::ServerAddr, "The address that the client connected to."),
    ("server_port", Variable::ServerPort, "The port that the client connected to."),
    (
        "proxy_protocol_addr",
        Variable::ProxyProtocolAddr,
        "The client's address in the header of the PROXY protocol, believed or not.",
    ),
    ("proxy_protocol_port", Variable::ProxyProtocolPort, "The client's port in that header."),
    ("upstream_addr", Variable::UpstreamAddr, "The servers that were tried, by address, with commas between them."),
    ("upstream_bytes_received", Variable::UpstreamBytesReceived, "How many bytes came from the server of each try."),
    ("upstream_bytes_sent", Variable::UpstreamBytesSent, "How many bytes went to the server of each try."),
    (
        "upstream_connect_time",
        Variable::UpstreamConnectTime,
        "How long connecting took in each try, in seconds with milliseconds; `-` where it failed.",
    ),
    ("bytes_received", Variable::BytesReceived, "How many bytes came from the client."),
    ("bytes_sent", Variable::BytesSent, "How many bytes went to the client."),
    ("session_time", Variable::SessionTime, "How long the session took, in seconds with milliseconds."),
    (
        "status",
        Variable::Status,
        "How the session went: `200`; `400` when what the client sent could not be read, `403` when rules kept it out, `502` when no server could be connected to, `500` when the fault was weir's.",
    ),
    ("protocol", Variable::Protocol, "`TCP`."),
    ("ssl_protocol", Variable::SslProtocol, "The protocol of the client's connection: `TLSv1.3`."),
    ("ssl_cipher", Variable::SslCipher, "The cipher, by its name in OpenSSL."),
    ("connection", Variable::Connection, "The number of the session, the one behind `*` in error logs."),
    ("pid", Variable::Pid, "The process number of the worker."),
    ("hostname", Variable::Hostname, "The name of the machine."),
    ("time_local", Variable::TimeLocal, "The time as in the predefined formats of access logs."),
    ("time_iso8601", Variable::TimeIso8601, "The time as in ISO 8601."),
    ("msec", Variable::Msec, "The time, in seconds since 1970 with milliseconds."),
];

/// The names of all variables and what they mean, for the documentation.
pub fn meanings() -> impl Iterator<Item = (String, &'static str)> {
    NAMES.iter().map(|(name, _, meaning)| ((*name).to_owned(), *meaning))
}

impl Variable {
    /// The variable of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, ..)| *known == name).map(|(_, variable, _)| *variable)
    }
}

/// What came of a connection to a peer.
pub(super) struct Attempt<'a> {
    pub peer: &'a str,
    /// How long connecting took; `None`: it failed, or goes on.
    pub connect_time: Option<Duration>,
    pub received: u64,
    pub sent: u64,
}

impl<'a> Attempt<'a> {
    /// One that came to nothing.
    fn failed(peer: &'a str) -> Self {
        Attempt { peer, connect_time: None, received: 0, sent: 0 }
    }
}

/// The connections of a session to peers, in the order they were tried.
#[derive(Default)]
pub(super) struct Attempts<'a> {
    /// The names of peers that failed before the last.
    pub failed: &'a [Rc<str>],
    pub last: Option<Attempt<'a>>,
    /// The group, where no other peer could be chosen; nginx lists it like a peer.
    pub without_peer: Option<&'a str>,
}

impl<'a> Attempts<'a> {
    fn for_each(&self, mut each: impl FnMut(&Attempt<'a>)) {
        self.failed.iter().for_each(|peer| each(&Attempt::failed(peer)));
        self.last.iter().for_each(&mut each);
        self.without_peer.iter().for_each(|group| each(&Attempt::failed(group)));
    }
}

/// What a TLS session is, in OpenSSL's words.
#[derive(Clone, Copy)]
pub(super) struct Agreed {
    pub protocol: &'static str,
    pub cipher: &'static str,
}

/// Where the values of a session come from.
pub(super) struct Values<'a> {
    pub connection: u64,
    /// The worker.
    pub pid: u32,
    pub remote: &'a Address,
    /// Asks the kernel for the address that the client connected to.
    pub local: &'a dyn Fn() -> io::Result<Address>,
    /// The client's address by the PROXY protocol.
    pub announced: Option<&'a SocketAddr>,
    /// What the handshake has agreed on.
    pub tls: Option<Agreed>,
    pub attempts: Attempts<'a>,
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
    /// How long the session has lasted.
    pub elapsed: Duration,
    /// How the session ended, in the terms of nginx; 0 while it goes on.
    pub status: u16,
}

/// Text with variables of a session.
pub(super) type Text = Format<Variable>;

/// # Errors
/// nginx's message: a malformed or unknown variable.
pub(super) fn compile(text: &[u8], escape: Escape) -> Result<Text, String> {
    Format::compile(text, escape, Variable::named)
}

impl Values<'_> {
    /// The text with the values of this session.
    pub(super) fn fill(&self, text: &Text) -> Vec<u8> {
        let mut out = Vec::new();
        text.fill(&mut out, |variable, out| self.write(*variable, out));
        out
    }

    /// Appends the value of a variable; false when it has none.
    pub(super) fn write(&self, variable: Variable, out: &mut Vec<u8>) -> bool {
        let port = |address: &Address| address.port().map(|port| port.to_string()).unwrap_or_default();
        let local = || (self.local)().unwrap_or(Address::Unix(Default::default()));
        let written = match variable {
            Variable::RemoteAddr => write!(out, "{}", self.remote.host()),
            Variable::RemotePort => write!(out, "{}", port(self.remote)),
            Variable::ServerAddr => match local() {
                Address::Inet(inet) => write!(out, "{}", inet.ip()),
                unix => write!(out, "{unix}"),
            },
            Variable::ServerPort => write!(out, "{}", port(&local())),
            Variable::ProxyProtocolAddr => match self.announced {
                Some(address) => write!(out, "{}", address.ip()),
                None => return false,
            },
            Variable::ProxyProtocolPort => match self.announced {
                Some(address) => write!(out, "{}", address.port()),
                None => return false,
            },
            Variable::UpstreamAddr => return self.each_attempt(out, |attempt, out| write!(out, "{}", attempt.peer)),
            Variable::UpstreamBytesReceived => {
                return self.each_attempt(out, |attempt, out| write!(out, "{}", attempt.received));
            }
            Variable::UpstreamBytesSent => {
                return self.each_attempt(out, |attempt, out| write!(out, "{}", attempt.sent));
            }
            Variable::UpstreamConnectTime => {
                return self.each_attempt(out, |attempt, out| match attempt.connect_time {
                    Some(time) => write_time(time, out),
                    None => write!(out, "-"),
                });
            }
            Variable::BytesReceived => write!(out, "{}", self.received),
            Variable::BytesSent => write!(out, "{}", self.sent),
            Variable::SessionTime => write_time(self.elapsed, out),
            Variable::Status => write!(out, "{:03}", self.status),
            Variable::Protocol => write!(out, "TCP"),
            Variable::SslProtocol | Variable::SslCipher => match self.tls {
                Some(agreed) if variable == Variable::SslProtocol => write!(out, "{}", agreed.protocol),
                Some(agreed) => write!(out, "{}", agreed.cipher),
                None => return false,
            },
            Variable::Connection => write!(out, "{}", self.connection),
            Variable::Pid => write!(out, "{}", self.pid),
            Variable::Hostname => write!(out, "{}", hostname()),
            Variable::TimeLocal => clock::with_local(|text| out.write_all(text.as_bytes())),
            Variable::TimeIso8601 => clock::with_iso8601(|text| out.write_all(text.as_bytes())),
            Variable::Msec => write!(out, "{}", clock::now_msec()),
        };
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        true
    }

    /// The values of all attempts, with a comma and a blank between them; false when there was none.
    fn each_attempt(&self, out: &mut Vec<u8>, write: impl Fn(&Attempt<'_>, &mut Vec<u8>) -> io::Result<()>) -> bool {
        let mut any = false;
        self.attempts.for_each(|attempt| {
            if std::mem::replace(&mut any, true) {
                out.extend_from_slice(b", ");
            }
            let written = write(attempt, out);
            debug_assert!(written.is_ok(), "writing to memory does not fail");
        });
        any
    }
}

/// Seconds with milliseconds.
fn write_time(time: Duration, out: &mut Vec<u8>) -> io::Result<()> {
    write!(out, "{}.{:03}", time.as_secs(), time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, remote: &Address, attempts: Attempts<'_>) -> String {
        let values = Values {
            connection: 7,
            pid: 8,
            remote,
            local: &|| Ok(Address::Inet("[::1]:80".parse().unwrap())),
            announced: None,
            tls: None,
            attempts,
            received: 9,
            sent: 10,
            elapsed: Duration::from_millis(61_002),
            status: 0,
        };
        String::from_utf8(values.fill(&compile(text.as_bytes(), Escape::Default).unwrap())).unwrap()
    }

    fn client() -> Address {
        Address::Inet("10.0.0.1:5".parse().unwrap())
    }

    #[test]
    fn a_session_without_peer_or_header() {
        let text = "$remote_addr $remote_port $server_addr $server_port $connection $pid $bytes_received $bytes_sent \
                    $session_time $status $protocol";
        assert_eq!(filled(text, &client(), Attempts::default()), "10.0.0.1 5 ::1 80 7 8 9 10 61.002 000 TCP");
        let none = "$proxy_protocol_addr $proxy_protocol_port $upstream_addr $upstream_bytes_sent $upstream_bytes_received \
                    $upstream_connect_time $ssl_protocol $ssl_cipher";
        assert_eq!(filled(none, &client(), Attempts::default()), "- - - - - - - -");
    }

    #[test]
    fn attempts_are_listed() {
        let text = "$upstream_addr|$upstream_bytes_sent|$upstream_bytes_received|$upstream_connect_time";
        let connect_time = Some(Duration::from_millis(5));
        let last = Attempt { connect_time, received: 3, sent: 4, ..Attempt::failed("b:2") };
        let both = Attempts { failed: &["a:1".into()], last: Some(last), without_peer: None };
        assert_eq!(filled(text, &client(), both), "a:1, b:2|0, 4|0, 3|-, 0.005");
        let none = Attempts { without_peer: Some("g"), ..Attempts::default() };
        assert_eq!(filled(text, &client(), none), "g|0|0|-");
    }

    #[test]
    fn unix_clients_have_an_empty_port() {
        let client = Address::Unix(Default::default());
        assert_eq!(filled("$remote_addr [$remote_port]", &client, Attempts::default()), "unix: []");
    }

    #[test]
    fn names_are_unique() {
        for (i, (name, variable, _)) in NAMES.iter().enumerate() {
            assert!(NAMES[..i].iter().all(|(other, same, _)| other != name && same != variable), "{name}");
        }
    }
}
