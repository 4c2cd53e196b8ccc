//! The directives of `tcp {}` and of the `server {}` in it.

use super::level::{Builder, DEFAULT_PORT, Level, Pass, ServerName};
use super::variables::{self, Variable};
use super::websocket::Protocol;
use super::{listen, websocket};
use crate::conf::{Arity, Call, Contexts, Directive, Result, Row};
use crate::log::directive;
use crate::log::format::Escape;
use crate::net::access::{Match, Rule};
use crate::net::proxy_protocol::Version;
use crate::resolver;
use crate::tls;
use crate::upstream;

const M: Contexts = Contexts::TCP;
const S: Contexts = Contexts::TCP_SERVER;
pub(super) const MS: Contexts = M.or(S);

/// A row of this block's table. Its arguments are those of the documentation, in that order.
pub(super) const fn row(
    name: &'static str,
    contexts: Contexts,
    arity: Arity,
    syntax: &'static str,
    default: &'static str,
    help: &'static str,
) -> Row {
    Row { name, contexts, arity, block: None, repeat: false, syntax, default, help }
}

/// The row of a block that opens `inside`.
const fn block_row(
    name: &'static str,
    contexts: Contexts,
    arity: Arity,
    inside: Contexts,
    syntax: &'static str,
    help: &'static str,
) -> Row {
    Row { block: Some(inside), repeat: true, ..row(name, contexts, arity, syntax, "-", help) }
}

/// The same row for a directive that may stand more than once on a level.
pub(super) const fn repeated(row: Row) -> Row {
    Row { repeat: true, ..row }
}

/// All that may stand in `tcp {}` and `server {}`.
static TABLES: &[&[Directive<Level>]] = &[TABLE, websocket::TABLE, tls::directives::Table::ROWS];

/// The table of `tcp {}` and `server {}`, without `websocket_*` and `ssl*`.
pub static TABLE: &[Directive<Level>] = &[
    Directive {
        row: block_row(
            "upstream",
            M,
            Arity::Exactly(1),
            Contexts::TCP_UPSTREAM,
            "name { ... }",
            "A group of servers for `proxy_pass`.",
        ),
        set: set_upstream,
    },
    Directive {
        row: row(
            "check_shm_size",
            M,
            Arity::Exactly(1),
            "size",
            "-",
            "Accepted for compatibility: what workers share about servers takes the memory it needs.",
        ),
        set: |_, call| call.size().map(drop),
    },
    Directive {
        row: block_row(
            "server",
            M,
            Arity::Exactly(0),
            S,
            "{ ... }",
            "What is served on the addresses of its `listen` directives.",
        ),
        set: |level, call| {
            let mut server = Level::default();
            call.apply_all(TABLES, &mut server)?;
            websocket::check(&server)?;
            level.servers.push((server, call.node.end.clone()));
            Ok(())
        },
    },
    Directive {
        row: repeated(row(
            "listen",
            S,
            Arity::AtLeast(1),
            "port | address[:port] | [ipv6]:port | unix:path [default] [bind] [ssl] [reuseport] [backlog=number] [ipv6only=on|off] [proxy_protocol]",
            "-",
            "Where to accept clients. Of several servers on one address the one marked `default` gets the sessions, else the first. `ssl`: clients speak TLS here. `proxy_protocol`: clients begin with a header of the PROXY protocol, version 1 or 2; without it they are closed. `reuseport`: each worker has a socket of its own, and the kernel spreads the clients. `backlog`: how many clients the kernel lets wait, 511 when nothing is said.",
        )),
        set: |level, call| {
            let directive = listen::Directive::parse(call)?;
            level.listens.push(directive);
            Ok(())
        },
    },
    Directive {
        row: row(
            "protocol",
            S,
            Arity::Exactly(1),
            "tcp_generic | tcp_websocket",
            "tcp_generic",
            "What the sessions speak. `tcp_generic` passes bytes on as they come. `tcp_websocket` first waits, for `timeout` at most, for the head of the HTTP request that a websocket begins with; its `Host` chooses among the servers of the address by `server_name`, its path among their `websocket_pass`. Then it is passed on as it came, like all that follows. A head that is faulty, or larger than eight times `websocket_buffer`, ends the session.",
        ),
        set: set_protocol,
    },
    Directive {
        row: row(
            "server_name",
            MS,
            Arity::Exactly(1),
            "name",
            "-",
            "The server's name: the host of the requests that it gets, of those that come to an address where the server that would get them otherwise is one of `protocol tcp_websocket` too. `*.x`, `x.*` and `.x` (`x` and `*.x`) stand for many. The whole name counts most, then the longest `*.x`, then the longest `x.*`. Of no meaning with `protocol tcp_generic`, whose sessions carry no name.",
        ),
        set: |level, call| {
            level.name = Some(ServerName::of(call, 1)?);
            Ok(())
        },
    },
    Directive {
        row: repeated(row(
            "server_names",
            S,
            Arity::AtLeast(1),
            "name ...",
            "-",
            "More names of the server, as `server_name`.",
        )),
        set: |level, call| {
            for i in 1..=call.count() {
                level.more_names.push(ServerName::of(call, i)?);
            }
            Ok(())
        },
    },
    Directive {
        row: block_row(
            "location",
            S,
            Arity::Exactly(1),
            Contexts::TCP_LOCATION,
            "path { }",
            "Accepted for compatibility; it holds nothing and means nothing.",
        ),
        set: accept,
    },
    Directive {
        row: row(
            "so_keepalive",
            MS,
            Arity::Exactly(1),
            "on | off",
            "off",
            "Whether the kernel probes idle client connections (`SO_KEEPALIVE`).",
        ),
        set: |level, call| {
            level.keepalive = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "tcp_nodelay",
            MS,
            Arity::Exactly(1),
            "on | off",
            "on",
            "Whether small packets are sent at once on both connections (`TCP_NODELAY`).",
        ),
        set: |level, call| {
            level.nodelay = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "timeout",
            MS,
            Arity::Exactly(1),
            "time",
            "60s",
            "Ends a session when no byte has moved to or from the client for so long.",
        ),
        set: |level, call| {
            level.timeout = Some(call.time()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "resolver",
            MS,
            Arity::AtLeast(1),
            "address[:port] ... [valid=time] [ipv4=on|off] [ipv6=on|off] [status_zone=name] | off",
            "off",
            "Name servers for the `resolve` servers of the `upstream {}` blocks beside it; nothing in a `server {}` needs one yet. Each is asked in its turn, over UDP and where an answer does not fit over TCP. `valid` overrides how long answers say they are good for; `status_zone` is accepted.",
        ),
        set: set_resolver,
    },
    Directive {
        row: row(
            "resolver_timeout",
            MS,
            Arity::Exactly(1),
            "time",
            "30s",
            "How long resolving a name may take, all servers and retries together: a server that has not answered within 1 s is left for the next, and the time doubles each round.",
        ),
        set: |level, call| {
            level.resolver_timeout = Some(call.time()?);
            Ok(())
        },
    },
    Directive {
        row: repeated(row(
            "allow",
            MS,
            Arity::Exactly(1),
            "address | CIDR | unix: | all",
            "-",
            "Lets clients in. The first of the `allow` and `deny` rules that matches decides; without a match a client is let in. Rules of a server replace those of `tcp {}`.",
        )),
        set: add_rule,
    },
    Directive {
        row: repeated(row(
            "deny",
            MS,
            Arity::Exactly(1),
            "address | CIDR | unix: | all",
            "-",
            "Turns clients away, see `allow`.",
        )),
        set: add_rule,
    },
    Directive {
        row: row(
            "proxy_protocol_timeout",
            MS,
            Arity::Exactly(1),
            "time",
            "30s",
            "How long a client of a `listen ... proxy_protocol` may take for the header.",
        ),
        set: |level, call| {
            level.proxy_protocol_timeout = Some(call.time()?);
            Ok(())
        },
    },
    Directive {
        row: repeated(row(
            "set_real_ip_from",
            MS,
            Arity::Exactly(1),
            "address | CIDR | unix:",
            "-",
            "Who may send a PROXY protocol header: with it, the client of the session is the one in the header, for rules, logs and balancing, and the header of any other sender is read but not believed. Without it a header only sets `$proxy_protocol_addr`. Those of a server replace those of `tcp {}`.",
        )),
        set: add_real_ip_from,
    },
    Directive {
        row: row(
            "proxy_protocol",
            MS,
            Arity::Exactly(1),
            "on | v2 | off",
            "off",
            "Whether servers are told the client's address by a PROXY protocol header, of version 1 or 2.",
        ),
        set: |level, call| {
            level.proxy_protocol = Some(match call.bytes(1) {
                word if word.eq_ignore_ascii_case(b"v2") => Some(Version::V2),
                _ => call.flag()?.then_some(Version::V1),
            });
            Ok(())
        },
    },
    Directive {
        row: repeated(row(
            "log_format",
            M,
            Arity::AtLeast(2),
            "name [escape=default|json|none] text ...",
            "-",
            "A form of lines for `access_log`, with the variables of `return`. Values are escaped for quoted text, for JSON strings, or not at all.",
        )),
        set: |level, call| level.formats.add(call, Variable::named),
    },
    Directive {
        row: repeated(row(
            "access_log",
            MS,
            Arity::AtLeast(1),
            "path [format] [buffer=size] [gzip[=level]] [flush=time] [if=condition] | syslog:server=address[,facility=name][,severity=name][,tag=word][,nohostname] [format] [if=condition] | off",
            "logs/tcp_access.log",
            "A line for each session when it ends, in the form of a `log_format` or in the module's own. `buffer` and `flush`: how much and how long lines are held back. `gzip`: what is written is compressed, with a level from 1 to 9, for `zcat`; the buffer is 64k then unless something else is said. A worker that is killed takes what it holds back with it, and where a full disk cuts a compressed write short, `zcat` does not get past it. `if`: no line where this is empty or `0`. A path may have variables: its file is opened by the worker for each line, without a buffer. Syslog servers get datagrams by UDP (port 514) or at `unix:path`; facility `local7`, severity `info`, tag `nginx` when nothing is said.",
        )),
        set: |level, call| directive::add(&mut level.access_logs, call, Variable::named),
    },
    Directive {
        row: repeated(row(
            "error_log",
            MS,
            Arity::AtLeast(1),
            "path | stderr | syslog:server=address[,parameter=value] [level]",
            "that of the main context",
            "As in the main context, for the lines about sessions; several may be given. Those of the innermost level that says one count.",
        )),
        set: |level, call| {
            level.error_logs.get_or_insert_default().push(directive::error_log(call)?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_pass",
            MS,
            Arity::Exactly(1),
            "host[:port] | upstream | unix:path",
            "-",
            "Where sessions go. The port is 80 when none is given; a host name stands for all its addresses.",
        ),
        set: |level, call| {
            let target = call.text(1)?.to_owned();
            level.proxy_pass = Some(Pass { target, port: DEFAULT_PORT, place: call.node.place.clone() });
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_buffer",
            MS,
            Arity::Exactly(1),
            "size",
            "4k|8k",
            "How much is read at once while the other side is slow: the memory a stalled direction of a session keeps. A direction that flows freely is read in larger pieces, up to 64k, which is also the most this can be. One page by default.",
        ),
        set: |level, call| {
            let size = call.size()?;
            if size == 0 {
                return Err(call.invalid());
            }
            level.proxy.buffer = Some(size);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_connect_timeout",
            MS,
            Arity::Exactly(1),
            "time",
            "60s",
            "How long a server may take to accept a connection before the next one is tried.",
        ),
        set: |level, call| {
            level.proxy.connect_timeout = Some(call.time()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_read_timeout",
            MS,
            Arity::Exactly(1),
            "time",
            "60s",
            "Ends a session when no byte has moved to or from the server for so long.",
        ),
        set: |level, call| {
            level.proxy.read_timeout = Some(call.time()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_send_timeout",
            MS,
            Arity::Exactly(1),
            "time",
            "60s",
            "Ends a session when bytes wait for the server and it has taken none for so long.",
        ),
        set: |level, call| {
            level.proxy.send_timeout = Some(call.time()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "return",
            S,
            Arity::Exactly(1),
            "text",
            "-",
            "Sends a text and closes, instead of `proxy_pass`. Variables: `$remote_addr` `$remote_port` `$server_addr` `$server_port` `$proxy_protocol_addr` `$proxy_protocol_port` `$upstream_addr` `$upstream_bytes_received` `$upstream_bytes_sent` `$upstream_connect_time` `$bytes_received` `$bytes_sent` `$session_time` `$status` `$protocol` `$ssl_protocol` `$ssl_cipher` `$connection` `$pid` `$hostname` `$time_local` `$time_iso8601` `$msec`.",
        ),
        set: |level, call| {
            level.returns =
                Some(variables::compile(call.bytes(1), Escape::None).map_err(|message| call.error(message))?);
            Ok(())
        },
    },
];

/// Reads one `tcp {}`: the setter of the main context's row.
///
/// # Errors
/// The first fault in the block.
pub fn tcp_block(builder: &mut Builder, call: &mut Call<'_>) -> Result<()> {
    let mut level = Level::default();
    call.apply_all(TABLES, &mut level)?;
    builder.blocks.push(level);
    Ok(())
}

fn accept(_: &mut Level, _: &mut Call<'_>) -> Result<()> {
    Ok(())
}

fn set_upstream(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let name = call.text(1)?.to_owned();
    if level.groups.iter().any(|group| group.name == name) {
        return Err(call.error(format!("duplicate upstream \"{name}\"")));
    }
    let group = upstream::directives::read(call)?;
    level.groups.push(group);
    Ok(())
}

fn set_protocol(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    level.protocol = match call.text(1)? {
        "tcp_generic" => Protocol::Generic,
        "tcp_websocket" => Protocol::Websocket,
        other => return Err(call.error(format!("unknown protocol \"{other}\""))),
    };
    Ok(())
}

fn set_resolver(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    level.resolver = resolver::parse(&call.texts()?).map_err(|message| call.error(message))?;
    Ok(())
}

fn add_rule(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    level.rules.get_or_insert_default().push(Rule::of(call)?);
    Ok(())
}

fn add_real_ip_from(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    level.real_ip_from.get_or_insert_default().extend(Match::senders(call)?);
    Ok(())
}

/// The rows of this block, for checks and documentation.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.iter().copied().flatten().map(|directive| &directive.row)
}
