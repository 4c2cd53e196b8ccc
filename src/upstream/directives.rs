//! The directives of `upstream {}`.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::conf::loader::Warning;
use crate::conf::{Arity, Call, Contexts, Directive, Error, Place, Result, Row, value};
use crate::net::{Address, address};
use crate::resolver::Name;

use super::checks::settings::Settings;
use super::zone::Zone;
use super::{Followed, Group, Keepalive, Method, Peer};

/// The port of a `server` that names none.
const DEFAULT_PORT: u16 = 80;

/// An `upstream {}` while its block is read.
#[derive(Default)]
pub struct Builder {
    /// Peers so far, in the order of the file.
    pub peers: Vec<Peer>,
    /// Lines with `resolve`.
    pub followed: Vec<Followed>,
    /// `ip_hash` or `busyness`, and where it stands.
    method: Option<(Method, Place)>,
    /// What `hash` makes its key of.
    key: Option<(Vec<u8>, Place)>,
    checks: Settings,
    /// `keepalive` and what goes with it.
    kept: Option<usize>,
    keepalive: Keepalive,
    zones: Vec<Zone>,
}

/// Reads the block of an `upstream name {}`.
///
/// # Errors
/// The first fault in it; a group with nobody to serve.
pub fn read(call: &mut Call<'_>) -> Result<Group> {
    let name = call.text(1)?.to_owned();
    let mut builder = Builder::default();
    call.apply(TABLE, &mut builder)?;
    for (place, message) in builder.idle() {
        call.loader.warnings.push(Warning { message, place: Some(place) });
    }
    if builder.is_empty() {
        return Err(Error::at(&call.node.end, "no servers are inside upstream"));
    }
    let group = builder.build(&name);
    if group.has_backups_only() {
        return Err(Error::at(&call.node.end, format!("no servers in upstream \"{name}\"")));
    }
    Ok(group)
}

impl Builder {
    /// Whether it has no `server` line.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.followed.is_empty()
    }

    /// What has no effect, for warnings, each with its place.
    pub fn idle(&self) -> Vec<(Place, String)> {
        let mut idle: Vec<_> = self.checks.idle().map(|(place, message)| (place.clone(), message)).collect();
        if let Some((Method::Busyness, place)) = &self.method
            && !self.checks.is_checked()
        {
            idle.push((place.clone(), "\"busyness\" without \"check\" acts as round robin".to_owned()));
        }
        idle
    }

    /// Puts primaries before backups. One that is empty, or has backups only, is the caller's to refuse.
    pub fn build(self, name: &str) -> Group {
        let (mut peers, backups): (Vec<Peer>, Vec<Peer>) = self.peers.into_iter().partition(|peer| !peer.backup);
        let primaries = peers.len();
        peers.extend(backups);
        let check = self.checks.build();
        let method = match self.method {
            Some((Method::Busyness, _)) if check.is_none() => Method::RoundRobin,
            Some((method, _)) => method,
            None => Method::RoundRobin,
        };
        let keepalive = self.kept.map(|connections| Keepalive { connections, ..self.keepalive });
        let key = self.key.filter(|_| matches!(method, Method::Hash | Method::ConsistentHash));
        let (followed, zones) = (self.followed, self.zones);
        Group { primaries, method, key, check, keepalive, followed, zones, ..Group::new(name, peers) }
    }

    /// As in nginx the last of several methods counts, and belongs above `keepalive`.
    fn choose(&mut self, method: Method, call: &mut Call<'_>) -> Result<()> {
        if self.method.replace((method, call.node.place.clone())).is_some() || self.kept.is_some() {
            call.warn("load balancing method redefined");
        }
        Ok(())
    }
}

/// A row of this block's table that may stand once.
const fn row(name: &'static str, arity: Arity, syntax: &'static str, default: &'static str, help: &'static str) -> Row {
    let contexts = Contexts::TCP_UPSTREAM.or(Contexts::HTTP_UPSTREAM);
    Row { name, contexts, arity, block: None, repeat: false, syntax, default, help }
}

/// The same row for a directive of one kind of block only.
const fn only(contexts: Contexts, row: Row) -> Row {
    Row { contexts, ..row }
}

/// The same row for a directive that may stand more than once.
const fn repeated(row: Row) -> Row {
    Row { repeat: true, ..row }
}

/// The table of `upstream {}`.
pub static TABLE: &[Directive<Builder>] = &[
    Directive {
        row: repeated(row(
            "server",
            Arity::AtLeast(1),
            "host[:port] | [v6][:port] | unix:path [weight=n] [max_fails=n] [fail_timeout=time] [max_busy=n | max_conns=n] [backup] [down] [resolve] [service=name]",
            "port 80, weight=1 max_fails=1 fail_timeout=10s, no max_busy",
            "A server of the group; a host name stands for all its addresses, resolved at start. After `max_fails` failures \
             within `fail_timeout` it is left alone for `fail_timeout` (`max_fails=0`: never); with `max_busy` open sessions (in `http {}` \
             requests; nginx calls it `max_conns`), counted over all workers, it is passed over; `backup` servers serve when no other can; `down` ones never. \
             With `resolve` the name is followed while weir runs: its addresses come and go as the `resolver` says, and it need not \
             be known at start. With `service=http` the `_http._tcp` SRV records of the name say which hosts serve, and at which ports; a service name \
             with a dot stands before the host's as it is. Those of the lowest priority value are primaries, the others backups (of a `backup` line they are not used), by the \
             weights of the records unless the line has one. `service` needs `resolve` and a name without a port.",
        )),
        set: server,
    },
    Directive {
        row: repeated(row(
            "ip_hash",
            Arity::Exactly(0),
            "",
            "round robin",
            "Chooses by the client's address, so that a client stays with its server: the first three bytes of an IPv4 address, all \
             of an IPv6 address. Servers below it take no `backup` and, in `tcp {}`, no `weight=`; those marked `down` keep their place in the count.",
        )),
        set: |builder, call| builder.choose(Method::IpHash, call),
    },
    Directive {
        row: repeated(only(
            Contexts::HTTP_UPSTREAM,
            row(
                "least_conn",
                Arity::Exactly(0),
                "",
                "round robin",
                "Chooses the server with the fewest requests in relation to its weight, counted over all workers; in turns among equal ones.",
            ),
        )),
        set: |builder, call| builder.choose(Method::LeastConn, call),
    },
    Directive {
        row: repeated(only(
            Contexts::HTTP_UPSTREAM,
            row(
                "hash",
                Arity::Between(1, 2),
                "key [consistent]",
                "round robin",
                "Chooses by the key, which has variables, so that a key stays with its server; an empty key means round robin. With `consistent` few keys \
             change their server when servers come or go (ketama). Servers below it take no `backup`.",
            ),
        )),
        set: |builder, call| {
            let method = match call.count() {
                1 => Method::Hash,
                _ if call.bytes(2) == b"consistent" => Method::ConsistentHash,
                _ => return Err(call.error(format!("invalid parameter \"{}\"", call.text(2)?))),
            };
            builder.key = Some((call.bytes(1).to_vec(), call.node.place.clone()));
            builder.choose(method, call)
        },
    },
    Directive {
        row: repeated(only(
            Contexts::HTTP_UPSTREAM,
            row(
                "random",
                Arity::Between(0, 2),
                "[two [least_conn]]",
                "round robin",
                "Chooses by chance, by weight. With `two` the one of two such servers that has fewer requests in relation to its weight, counted over all \
             workers. Servers below it take no `backup`.",
            ),
        )),
        set: |builder, call| {
            let words = call.texts()?;
            let method = match words[..] {
                [] => Method::Random,
                ["two"] | ["two", "least_conn"] => Method::RandomTwo,
                ["two", word] | [word, ..] => return Err(call.error(format!("invalid parameter \"{word}\""))),
            };
            builder.choose(method, call)
        },
    },
    Directive {
        row: only(
            Contexts::HTTP_UPSTREAM,
            row(
                "keepalive",
                Arity::Exactly(1),
                "connections",
                "none are kept",
                "How many idle connections to the servers of the group each worker keeps for the next requests; the longest unused are closed beyond that. \
             Servers speak HTTP/1.1 for it: `proxy_http_version 1.1` and `proxy_set_header Connection \"\"`.",
            ),
        ),
        set: |builder, call| {
            let connections = call.number().ok().filter(|number| *number > 0);
            let invalid = || {
                call.error(format!(
                    "invalid value \"{}\" in \"keepalive\" directive",
                    String::from_utf8_lossy(call.bytes(1))
                ))
            };
            builder.kept = Some(connections.ok_or_else(invalid)?);
            Ok(())
        },
    },
    Directive {
        row: only(
            Contexts::HTTP_UPSTREAM,
            row(
                "keepalive_requests",
                Arity::Exactly(1),
                "number",
                "1000",
                "How many requests a kept connection serves before it is closed.",
            ),
        ),
        set: |builder, call| {
            builder.keepalive.requests = call.number()? as u64;
            Ok(())
        },
    },
    Directive {
        row: only(
            Contexts::HTTP_UPSTREAM,
            row("keepalive_time", Arity::Exactly(1), "time", "1h", "How old a connection may be and still be kept."),
        ),
        set: |builder, call| {
            builder.keepalive.time = call.time()?;
            Ok(())
        },
    },
    Directive {
        row: only(
            Contexts::HTTP_UPSTREAM,
            row("keepalive_timeout", Arity::Exactly(1), "time", "60s", "How long an idle connection is kept."),
        ),
        set: |builder, call| {
            builder.keepalive.timeout = call.time()?;
            Ok(())
        },
    },
    Directive {
        row: repeated(only(
            Contexts::HTTP_UPSTREAM,
            row(
                "zone",
                Arity::Between(1, 2),
                "name [size]",
                "-",
                "Accepted for compatibility, without effect: what is known about the servers of a group is always shared by all workers.",
            ),
        )),
        set: |builder, call| {
            builder.zones.push(Zone::read(call)?);
            Ok(())
        },
    },
    Directive {
        row: repeated(row(
            "busyness",
            Arity::Exactly(0),
            "",
            "round robin",
            "Chooses the server with the fewest open sessions, counted over all workers, at random among equal ones. Needs `check`, \
             without which it is round robin. Servers below it take no `weight=` and no `backup`.",
        )),
        set: |builder, call| builder.choose(Method::Busyness, call),
    },
    Directive {
        row: row(
            "check",
            Arity::AtLeast(1),
            "[interval=ms] [fall=n] [rise=n] [timeout=ms] [type=tcp|http|ssl_hello|smtp|mysql|pop3|imap] [default_down=true|false] [port=n] [on_down=close]",
            "interval=30000 fall=5 rise=2 timeout=1000 type=tcp default_down=true",
            "Probes each server every `interval` milliseconds; `fall` failures in a row mark it down for all workers, `rise` successes up. \
             The first probe begins at once and decides at once; until it has ended a server counts as down, with `default_down=false` as up. \
             A probe that takes longer than `timeout` milliseconds has failed. `port` is probed in the place of the server's own (not of \
             Unix sockets). `on_down=close` closes the sessions with a server that goes down. Servers that stay in the \
             configuration keep their state over a reload.",
        ),
        set: |builder, call| builder.checks.check(call),
    },
    Directive {
        row: row(
            "check_http_send",
            Arity::Exactly(1),
            "string",
            "\"GET / HTTP/1.0\\r\\n\\r\\n\"",
            "The request of `check type=http`; `\\r`, `\\n` and `\\t` in it are CR, LF and TAB.",
        ),
        set: |builder, call| builder.checks.http_send(call),
    },
    Directive {
        row: row(
            "check_http_expect_alive",
            Arity::AtLeast(1),
            "http_2xx | http_3xx | http_4xx | http_5xx ...",
            "http_2xx http_3xx",
            "The classes of status codes that show a server to be alive.",
        ),
        set: |builder, call| builder.checks.http_expect(call),
    },
    Directive {
        row: row(
            "check_smtp_send",
            Arity::Exactly(1),
            "string",
            "\"HELO smtp.localdomain\\r\\n\"",
            "The command of `check type=smtp`, sent after the server's greeting.",
        ),
        set: |builder, call| builder.checks.smtp_send(call),
    },
    Directive {
        row: row(
            "check_smtp_expect_alive",
            Arity::AtLeast(1),
            "smtp_2xx | smtp_3xx | smtp_4xx | smtp_5xx ...",
            "smtp_2xx",
            "The classes of replies to the command that show a server to be alive.",
        ),
        set: |builder, call| builder.checks.smtp_expect(call),
    },
];

fn server(builder: &mut Builder, call: &mut Call<'_>) -> Result<()> {
    let words = call.texts()?;
    let method = builder.method.as_ref().map(|(method, _)| *method);
    let in_http = call.context.overlaps(Contexts::HTTP_UPSTREAM);
    let weighs = method.is_none_or(|method| in_http && method != Method::Busyness);
    let backs_up = method.is_none_or(|method| in_http && method == Method::LeastConn);
    let unfit = |word: &&&str| word.starts_with("weight=") && !weighs || **word == "backup" && !backs_up;
    if let Some(word) = words.iter().skip(1).find(unfit) {
        return Err(call.error(format!("balancing method does not support parameter \"{word}\"")));
    }
    let server = parse_server(&words).map_err(|message| call.error(message))?;
    let fault = |why| format!("{why} in upstream \"{}\"", server.target);
    let name = server.followed().map_err(|message| call.error(message))?;
    let line = name.as_ref().map(|_| builder.followed.len());
    let like = |address| Peer {
        weight: server.weight,
        max_fails: server.max_fails,
        fail_timeout: server.fail_timeout,
        max_busy: server.max_busy,
        backup: server.backup,
        down: server.down,
        line,
        server: server.target.to_owned(),
        ..Peer::new(address)
    };
    if let Some((name, port)) = &name {
        let like = like(Address::Inet((Ipv4Addr::UNSPECIFIED, 0).into()));
        let name = Name::parse(name).ok_or_else(|| call.error(fault("invalid host")))?;
        builder.followed.push(Followed { name, port: *port, like, place: call.node.place.clone() });
    }
    if server.service.is_some() {
        return Ok(());
    }
    match address::resolve(server.target, DEFAULT_PORT) {
        Ok(addresses) => builder.peers.extend(addresses.into_iter().map(like)),
        Err(why) if name.is_some() => call.warn(fault(why)),
        Err(why) => return Err(call.error(fault(why))),
    }
    Ok(())
}

/// The arguments of a `server` line.
#[derive(Debug, PartialEq, Eq)]
struct Server<'a> {
    target: &'a str,
    weight: u32,
    max_fails: u32,
    fail_timeout: Duration,
    max_busy: Option<u32>,
    backup: bool,
    down: bool,
    resolve: bool,
    service: Option<&'a str>,
}

/// Reads the arguments; the error is the message for the operator. As in nginx the last of several equal parameters counts.
fn parse_server<'a>(words: &[&'a str]) -> std::result::Result<Server<'a>, String> {
    let (target, parameters) = words.split_first().map_or(("", words), |(first, rest)| (*first, rest));
    let mut server = Server {
        target,
        weight: 1,
        max_fails: 1,
        fail_timeout: Duration::from_secs(10),
        max_busy: None,
        backup: false,
        down: false,
        resolve: false,
        service: None,
    };
    for word in parameters {
        server.set(word).ok_or_else(|| format!("invalid parameter \"{word}\""))?;
    }
    Ok(server)
}

impl<'a> Server<'a> {
    /// The name that is to be followed, if one is, and the port of its addresses, if it is not that of a service.
    ///
    /// # Errors
    /// nginx's message for a service that cannot be followed.
    fn followed(&self) -> std::result::Result<Option<(String, Option<u16>)>, String> {
        // There is nothing to follow about an address.
        let host = address::host_name(self.target, DEFAULT_PORT).filter(|_| self.resolve);
        let Some(service) = self.service else {
            return Ok(host.map(|(name, port)| (name.to_owned(), Some(port))));
        };
        let refused = |why: &str| Err(format!("service upstream \"{}\" {why}", self.target));
        match host {
            _ if service.is_empty() => Err("service is empty".to_owned()),
            _ if !self.resolve => refused("requires \"resolve\" parameter"),
            _ if address::explicit_port(self.target).is_some() => refused("may not have port"),
            None => refused("requires domain name"),
            Some((name, _)) if service.contains('.') => Ok(Some((format!("{service}.{name}"), None))),
            Some((name, _)) => Ok(Some((format!("_{service}._tcp.{name}"), None))),
        }
    }

    /// Takes one parameter; `None` when it is not one or its value is malformed.
    fn set(&mut self, parameter: &'a str) -> Option<()> {
        match parameter.split_once('=') {
            None if parameter == "backup" => self.backup = true,
            None if parameter == "down" => self.down = true,
            None if parameter == "resolve" => self.resolve = true,
            Some(("weight", n)) => self.weight = number(n).filter(|&n| n != 0)?,
            Some(("max_fails", n)) => self.max_fails = number(n)?,
            Some(("max_busy" | "max_conns", n)) => self.max_busy = Some(number(n)?),
            Some(("service", name)) => self.service = Some(name),
            Some(("fail_timeout", time)) => self.fail_timeout = value::time(time, false)?,
            _ => return None,
        }
        Some(())
    }
}

/// Digits and nothing else; `str::parse` would take a sign.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_nginx_defaults() {
        assert_eq!(
            parse_server(&["backend:1935"]),
            Ok(Server {
                target: "backend:1935",
                weight: 1,
                max_fails: 1,
                fail_timeout: Duration::from_secs(10),
                max_busy: None,
                backup: false,
                down: false,
                resolve: false,
                service: None,
            })
        );
    }

    #[test]
    fn services_make_names() {
        let followed = |words: &[&str]| parse_server(words).unwrap().followed();
        let name = |text: &str, port| Ok(Some((text.to_owned(), port)));
        assert_eq!(followed(&["a.test", "resolve", "service=http"]), name("_http._tcp.a.test", None));
        assert_eq!(followed(&["a.test", "service=_http._tcp", "resolve"]), name("_http._tcp.a.test", None));
        assert_eq!(followed(&["test", "service=one.a", "resolve"]), name("one.a.test", None));
        assert_eq!(followed(&["a.test:81", "resolve"]), name("a.test", Some(81)));
        assert_eq!(followed(&["a.test"]), Ok(None));
        let refused = |words: &[&str]| followed(words).unwrap_err();
        assert_eq!(refused(&["a", "service=http"]), "service upstream \"a\" requires \"resolve\" parameter");
        assert_eq!(refused(&["a:80", "resolve", "service=http"]), "service upstream \"a:80\" may not have port");
        assert_eq!(refused(&["[::1]", "resolve", "service=http"]), "service upstream \"[::1]\" requires domain name");
        assert_eq!(refused(&["unix:a", "resolve", "service=x"]), "service upstream \"unix:a\" requires domain name");
        assert_eq!(refused(&["a", "resolve", "service="]), "service is empty");
    }

    #[test]
    fn parameters_are_taken_in_any_order() {
        let server = parse_server(&[
            "[::1]:81",
            "down",
            "max_busy=7",
            "max_fails=0",
            "weight=3",
            "backup",
            "resolve",
            "weight=5",
        ]);
        let server = server.unwrap();
        assert_eq!((server.target, server.weight, server.max_fails), ("[::1]:81", 5, 0));
        assert_eq!((server.max_busy, server.backup, server.down), (Some(7), true, true));
        assert!(server.resolve);
    }

    #[test]
    fn other_parameters_are_refused() {
        let faults = [
            "weight=0",
            "weight=",
            "weight=-1",
            "weight=+1",
            "weight=1x",
            "weight",
            "max_fails=x",
            "max_busy=",
            "down=1",
            "resolve=on",
            "Backup",
            "port=1",
            "",
            "weight=99999999999",
        ];
        for fault in faults {
            assert_eq!(parse_server(&["a", "weight=2", fault]), Err(format!("invalid parameter \"{fault}\"")));
        }
    }

    #[test]
    fn backups_stand_behind_primaries_in_the_order_of_the_file() {
        let peer = |name: &str, backup| Peer { name: name.into(), backup, ..Peer::new(Address::Unix(name.into())) };
        let peers = vec![peer("a", true), peer("b", false), peer("c", true), peer("d", false)];
        let builder = Builder { peers, ..Builder::default() };
        let group = builder.build("name");
        assert_eq!(group.peers.iter().map(|peer| &*peer.name).collect::<Vec<_>>(), ["b", "d", "a", "c"]);
        assert_eq!((group.name.as_str(), group.primaries), ("name", 2));
    }
}
