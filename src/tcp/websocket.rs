//! `protocol tcp_websocket`: its directives, and which `websocket_pass` a request is for.

use std::fmt;

use openssl::error::ErrorStack;
use openssl::ssl::Ssl;

use super::directives::{MS, repeated, row};
use super::level::{DEFAULT_PORT, Level, Pass};
use crate::conf::{Arity, Call, Directive, Error, Result};
use crate::tls;

/// The port of a `wss://` server that names none (RFC 6455 3).
const TLS_PORT: u16 = 443;

/// `protocol`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Protocol {
    #[default]
    Generic,
    Websocket,
}

/// `websocket_pass`
#[derive(Clone, Debug)]
pub(super) struct WebsocketPass {
    /// The first segment of the paths it is for; `None` for those that no other is for.
    pub path: Option<String>,
    /// The server speaks TLS.
    pub tls: bool,
    pub pass: Pass,
}

impl WebsocketPass {
    /// The host as written, for the server to know which of its names is meant.
    pub fn host(&self) -> &str {
        let target = self.pass.target.as_str();
        match target.find(']') {
            Some(end) => &target[..=end],
            None if target.starts_with("unix:") => "",
            None => target.split(':').next().unwrap_or_default(),
        }
    }
}

/// Where the sessions of a server go.
#[derive(Debug)]
pub(super) struct Destinations {
    /// With their paths; never empty.
    all: Vec<(Option<String>, Destination)>,
    /// The one for requests that no path fits.
    default: usize,
}

/// Where a session goes.
#[derive(Debug)]
pub(super) struct Destination {
    /// The group's place in [`super::Config::groups`].
    pub group: usize,
    pub tls: Option<Secured>,
}

/// TLS towards a server.
pub(super) struct Secured {
    client: tls::Client,
    /// The host's name as written.
    host: String,
}

impl Secured {
    /// # Errors
    /// A name that cannot be sent.
    pub fn new(client: tls::Client, host: &str) -> std::result::Result<Self, ErrorStack> {
        client.session(host)?;
        Ok(Secured { client, host: host.to_owned() })
    }

    /// A session with the server.
    pub fn session(&self) -> std::result::Result<Ssl, ErrorStack> {
        self.client.session(&self.host)
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Destinations {
    /// `all` in the order of the configuration, at least one.
    pub fn new(all: Vec<(Option<String>, Destination)>) -> Self {
        let default = all.iter().position(|(path, _)| path.is_none()).unwrap_or(0);
        Destinations { all, default }
    }

    /// The number of the one for a path with this first segment.
    pub fn choose(&self, segment: &[u8]) -> u32 {
        let fits = |path: &Option<String>| path.as_ref().is_some_and(|path| path.as_bytes() == segment);
        self.all.iter().position(|(path, _)| fits(path)).unwrap_or(self.default) as u32
    }

    /// The one of a number that [`Destinations::choose`] gave.
    pub fn get(&self, number: u32) -> Option<&Destination> {
        self.all.get(number as usize).map(|(_, destination)| destination)
    }
}

/// Holds the passes of a server against its protocol.
///
/// # Errors
/// One that is of the other protocol.
pub(super) fn check(server: &Level) -> Result<()> {
    let (name, other, place) = match server.protocol {
        Protocol::Generic => {
            let pass = server.websocket_passes.first();
            ("websocket_pass", "tcp_websocket", pass.map(|directive| &directive.pass.place))
        }
        Protocol::Websocket => ("proxy_pass", "tcp_generic", server.proxy_pass.as_ref().map(|pass| &pass.place)),
    };
    match place {
        Some(place) => Err(Error::at(place, format!("\"{name}\" directive the protocol should be {other}"))),
        None => Ok(()),
    }
}

const ONE: Arity = Arity::Exactly(1);

/// The rows that stand beside those of [`super::directives::TABLE`].
pub static TABLE: &[Directive<Level>] = &[
    Directive {
        row: repeated(row(
            "websocket_pass",
            MS,
            Arity::Between(1, 2),
            "[path] [ws://|wss://]host[:port] | upstream | unix:path",
            "-",
            "Where sessions of `protocol tcp_websocket` go. With a path, such as `/chat`: those whose request's path has it as its first segment (`/chat/room?x`), byte for byte. Several may stand in a server, one of them without a path for all other requests; if there is none, the first path's gets them. `wss://`: the server speaks TLS (1.2 or later; its certificate is not verified) and is told the host's name as written. The port is 80 when none is given, 443 with `wss://`. Those of a server replace those of `tcp {}`.",
        )),
        set: add_pass,
    },
    Directive {
        row: row(
            "websocket_buffer",
            MS,
            ONE,
            "size",
            "4k|8k",
            "As `proxy_buffer`, for `protocol tcp_websocket`; a request's head may have eight times as many bytes. One page by default.",
        ),
        set: |level, call| {
            let size = call.size()?;
            if size == 0 {
                return Err(call.invalid());
            }
            level.websocket.buffer = Some(size);
            Ok(())
        },
    },
    Directive {
        row: row(
            "websocket_connect_timeout",
            MS,
            ONE,
            "time",
            "60s",
            "As `proxy_connect_timeout`, for `protocol tcp_websocket`; with `wss://` the TLS handshake may take as long again.",
        ),
        set: |level, call| {
            level.websocket.connect_timeout = Some(call.time()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "websocket_read_timeout",
            MS,
            ONE,
            "time",
            "60s",
            "As `proxy_read_timeout`, for `protocol tcp_websocket`.",
        ),
        set: |level, call| {
            level.websocket.read_timeout = Some(call.time()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "websocket_send_timeout",
            MS,
            ONE,
            "time",
            "60s",
            "As `proxy_send_timeout`, for `protocol tcp_websocket`.",
        ),
        set: |level, call| {
            level.websocket.send_timeout = Some(call.time()?);
            Ok(())
        },
    },
];

fn add_pass(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let path = if call.count() == 2 { Some(call.text(1)?.to_owned()) } else { None };
    if let Some(path) = &path
        && path.rfind(['/', '?', '#']) != Some(0)
    {
        call.warn(format!("\"{path}\" is never the first segment of a path"));
    }
    let url = call.text(call.count())?;
    let without = |scheme: &str| {
        let (start, rest) = url.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let (target, port, tls) = match (without("ws://"), without("wss://")) {
        (Some(plain), _) => (plain, DEFAULT_PORT, false),
        (_, Some(secure)) => (secure, TLS_PORT, true),
        _ => (url, DEFAULT_PORT, false),
    };
    if level.websocket_passes.iter().any(|other| other.path == path) {
        return Err(call.duplicate());
    }
    let pass = Pass { target: target.to_owned(), port, place: call.node.place.clone() };
    level.websocket_passes.push(WebsocketPass { path, tls, pass });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(paths: &[Option<&str>]) -> Destinations {
        let destination =
            |(group, path): (usize, &Option<&str>)| (path.map(str::to_owned), Destination { group, tls: None });
        Destinations::new(paths.iter().enumerate().map(destination).collect())
    }

    #[test]
    fn the_segment_then_the_default_then_the_first() {
        let with_default = destinations(&[Some("/a"), None, Some("/b"), Some("/")]);
        for (segment, number) in [("/a", 0), ("/b", 2), ("/", 3), ("/c", 1), ("/A", 1), ("", 1)] {
            assert_eq!(with_default.choose(segment.as_bytes()), number, "{segment}");
        }
        let without = destinations(&[Some("/a"), Some("/b")]);
        for (segment, number) in [("/b", 1), ("/c", 0), ("", 0)] {
            assert_eq!(without.choose(segment.as_bytes()), number, "{segment}");
        }
        assert_eq!(without.get(1).map(|destination| destination.group), Some(1));
    }

    #[test]
    fn names_for_servers_that_speak_tls() {
        for (target, host) in [
            ("a.test:443", "a.test"),
            ("a.test", "a.test"),
            ("[::1]:443", "[::1]"),
            ("10.0.0.1:1", "10.0.0.1"),
            ("unix:/a:b", ""),
        ] {
            let place = crate::conf::Place { file: "".into(), line: 0 };
            let pass = Pass { target: target.to_owned(), port: 443, place };
            assert_eq!(WebsocketPass { path: None, tls: true, pass }.host(), host);
        }
    }
}
