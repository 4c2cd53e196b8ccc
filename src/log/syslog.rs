//! Lines on their way to a syslog server: datagrams in the form of RFC 3164 over UDP or a Unix socket, nginx's `syslog:`.
//!
//! A server that is away, or slower than its socket's buffer, loses lines; sending never waits.

use std::fmt;
use std::io;

use socket2::{Socket, Type};

use super::clock;
use super::error::Level;
use crate::net::{Address, address};

/// The UDP port of a server that names none (RFC 3164).
const PORT: u16 = 514;
/// The longest tag (RFC 3164, 4.1.3).
const MAX_TAG: usize = 32;

/// By their numbers in RFC 3164; the ones that it leaves without a name have BSD's, as in nginx.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
    "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const LOCAL7: u8 = 23;

/// By their numbers in RFC 3164.
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];
const INFO: u8 = 6;

/// What `syslog:server=...,facility=...` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    server: Address,
    facility: u8,
    severity: u8,
    tag: String,
    hostname: bool,
}

impl Target {
    /// Reads what follows `syslog:`: `server=ADDR[,facility=NAME][,severity=NAME][,tag=WORD][,nohostname]`. The address is
    /// `host[:port]` or `unix:path`.
    ///
    /// # Errors
    /// nginx's message.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut server, mut facility, mut severity, mut tag) = (None, None, None, None);
        let mut hostname = true;
        let named = |names: &[&str], kind: &str, value: &str| {
            let number = names.iter().position(|name| *name == value);
            number.map(|number| number as u8).ok_or_else(|| format!("unknown syslog {kind} \"{value}\""))
        };
        for parameter in text.split(',') {
            match parameter.split_once('=') {
                Some(("server", value)) => {
                    let found =
                        address::resolve(value, PORT).map_err(|why| format!("{why} in syslog server \"{value}\""))?;
                    once("server", &mut server, found.into_iter().next())?;
                }
                Some(("facility", value)) => {
                    once("facility", &mut facility, Some(named(&FACILITIES, "facility", value)?))?;
                }
                Some(("severity", value)) => {
                    once("severity", &mut severity, Some(named(&SEVERITIES, "severity", value)?))?;
                }
                Some(("tag", value)) => {
                    if value.len() > MAX_TAG {
                        return Err(format!("syslog tag length exceeds {MAX_TAG}"));
                    }
                    if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                        return Err("syslog \"tag\" only allows alphanumeric characters and underscore".into());
                    }
                    once("tag", &mut tag, Some(value.to_owned()))?;
                }
                None if parameter == "nohostname" => hostname = false,
                _ => return Err(format!("unknown syslog parameter \"{parameter}\"")),
            }
        }
        Ok(Target {
            server: server.ok_or("no syslog server specified")?,
            facility: facility.unwrap_or(LOCAL7),
            severity: severity.unwrap_or(INFO),
            // What the rules of syslog servers behind an nginx look for.
            tag: tag.unwrap_or_else(|| "nginx".to_owned()),
            hostname,
        })
    }

    /// `<190>Nov 21 20:31:05 host nginx: `
    fn header(&self, severity: u8, hostname: &str) -> String {
        let priority = self.facility * 8 + severity;
        let time = clock::now_syslog();
        match self.hostname {
            true => format!("<{priority}>{time} {hostname} {}: ", self.tag),
            false => format!("<{priority}>{time} {}: ", self.tag),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

/// A parameter may be given once.
fn once<T>(name: &str, slot: &mut Option<T>, value: Option<T>) -> Result<(), String> {
    if slot.is_some() {
        return Err(format!("duplicate syslog \"{name}\""));
    }
    *slot = value;
    Ok(())
}

/// A process's way to a syslog server.
#[derive(Debug)]
pub(super) struct Sender {
    target: Target,
    hostname: String,
    /// `None` before the first line, and after one that could not be sent.
    socket: Option<Socket>,
}

impl Sender {
    pub(super) fn new(target: &Target) -> Self {
        Sender { target: target.clone(), hostname: super::hostname(), socket: None }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Sends a line of an access log, without its line feed.
    pub(super) fn send(&mut self, line: &[u8]) -> io::Result<()> {
        self.send_as(self.target.severity, line)
    }

    /// Sends a line of the error log, without its line feed, with its own severity.
    pub(super) fn send_error(&mut self, level: Level, line: &[u8]) -> io::Result<()> {
        // nginx's levels are syslog's severities, in the same order.
        self.send_as(level as u8 - Level::Emerg as u8, line)
    }

    fn send_as(&mut self, severity: u8, line: &[u8]) -> io::Result<()> {
        let mut packet = self.target.header(severity, &self.hostname).into_bytes();
        packet.extend_from_slice(line);
        // The first error may be an earlier datagram's (refused by the host, by ICMP) or mean that a Unix socket's server was
        // started anew; on a new socket it is this one's own.
        match self.try_send(&packet) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.try_send(&packet),
            done => done,
        }
    }

    fn try_send(&mut self, packet: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => {
                let socket = Socket::new(self.target.server.domain(), Type::DGRAM.nonblocking(), None)?;
                socket.connect(&self.target.server.to_sockaddr()?)?;
                socket
            }
        };
        let sent = socket.send_with_flags(packet, libc::MSG_NOSIGNAL).map(drop);
        if !matches!(&sent, Err(error) if error.kind() != io::ErrorKind::WouldBlock) {
            self.socket = Some(socket);
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn parameters_and_their_defaults() {
        let plain = target("server=127.0.0.1");
        assert_eq!(plain.server, Address::Inet("127.0.0.1:514".parse().unwrap()));
        assert_eq!((plain.facility, plain.severity, plain.tag.as_str(), plain.hostname), (23, 6, "nginx", true));
        let full = target("server=unix:/dev/log,nohostname,facility=auth,tag=a_1,severity=crit");
        assert_eq!(full.server, Address::Unix("/dev/log".into()));
        assert_eq!((full.facility, full.severity, full.tag.as_str(), full.hostname), (4, 2, "a_1", false));
        assert_eq!(target("server=[::1]:5140").server, Address::Inet("[::1]:5140".parse().unwrap()));
    }

    #[test]
    fn faults_in_nginx_words() {
        let long = format!("server=127.0.0.1,tag={}", "x".repeat(33));
        for (text, message) in [
            ("", "unknown syslog parameter \"\""),
            ("server=127.0.0.1,", "unknown syslog parameter \"\""),
            ("tag=x", "no syslog server specified"),
            ("server=127.0.0.1,server=127.0.0.2", "duplicate syslog \"server\""),
            ("server=127.0.0.1,tag=a,tag=b", "duplicate syslog \"tag\""),
            ("server=127.0.0.1,facility=x", "unknown syslog facility \"x\""),
            ("server=127.0.0.1,severity=x", "unknown syslog severity \"x\""),
            ("server=127.0.0.1,tag=x-y", "syslog \"tag\" only allows alphanumeric characters and underscore"),
            (&long, "syslog tag length exceeds 32"),
            ("server=127.0.0.1,level=1", "unknown syslog parameter \"level=1\""),
            ("server=127.0.0.1:x", "invalid port in syslog server \"127.0.0.1:x\""),
            ("server=", "no host in syslog server \"\""),
            ("server=unix:", "no path in the unix domain socket in syslog server \"unix:\""),
        ] {
            assert_eq!(Target::parse(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn packets_have_the_form_of_rfc_3164() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        let mut sender = Sender::new(&target(&format!("server={at},facility=local0,tag=weir")));
        sender.send(b"a line").unwrap();
        sender.send_error(Level::Crit, b"a fault").unwrap();
        let mut buffer = [0; 200];
        let mut received = || {
            let count = server.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..count].to_vec()).unwrap()
        };
        let packet = received();
        let (time, rest) = packet.strip_prefix("<134>").unwrap().split_at(15);
        assert!(
            chrono::NaiveDateTime::parse_from_str(&format!("2024 {time}"), "%Y %b %e %H:%M:%S").is_ok(),
            "{packet}"
        );
        assert_eq!(rest, format!(" {} weir: a line", super::super::hostname()));
        assert!(received().starts_with("<130>"));
    }

    #[test]
    fn a_unix_server_that_is_away_loses_lines_until_it_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut sender = Sender::new(&target(&format!("server=unix:{},nohostname", path.display())));
        assert_eq!(sender.send(b"lost").unwrap_err().kind(), io::ErrorKind::NotFound);
        for _ in 0..2 {
            let server = UnixDatagram::bind(&path).unwrap();
            sender.send(b"found").unwrap();
            let mut buffer = [0; 100];
            let count = server.recv(&mut buffer).unwrap();
            assert!(buffer[..count].ends_with(b" nginx: found"));
            drop(server);
            assert!(sender.send(b"lost").is_err());
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_full_unix_server_does_not_hold_up_the_sender() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let mut sender = Sender::new(&target(&format!("server=unix:{}", path.display())));
        let refused = (0..100_000).find_map(|_| sender.send(b"x").err()).unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        server.recv(&mut [0; 100]).unwrap();
        sender.send(b"x").unwrap();
    }
}
