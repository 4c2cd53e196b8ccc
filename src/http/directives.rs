//! The directives of `http {}`, and of the `server {}` and `location {}` in it.

use super::level::Level;
use super::types::Types;
use super::{
    Content, LingeringClose, ModifiedSince, cache, client_directives, field_directives, file_directives, gzip,
    limit_except, limits, listen, proxy, script_directives, settings as set, ssl_directives, tuning_directives,
};
use crate::conf::{Arity, Call, Contexts, Directive, Row};
use crate::log::directive;
use crate::tls;

pub use set::http_block;

const H: Contexts = Contexts::HTTP;
const S: Contexts = Contexts::HTTP_SERVER;
const L: Contexts = Contexts::HTTP_LOCATION;
pub(super) const HS: Contexts = H.or(S);
const SL: Contexts = S.or(L);
pub(super) const HSL: Contexts = H.or(S).or(L);
pub(super) const LIF: Contexts = Contexts::HTTP_LOCATION_IF;

/// A row with one argument. Its arguments are those of the documentation, in that order.
pub(super) const fn row(
    name: &'static str,
    contexts: Contexts,
    syntax: &'static str,
    default: &'static str,
    help: &'static str,
) -> Row {
    Row { name, contexts, arity: Arity::Exactly(1), block: None, repeat: false, syntax, default, help }
}

/// The same row with another number of arguments.
pub(super) const fn with(arity: Arity, row: Row) -> Row {
    Row { arity, ..row }
}

/// The same row for a directive that may stand more than once on a level.
pub(super) const fn repeated(row: Row) -> Row {
    Row { repeat: true, ..row }
}

/// A directive about the size of one of nginx's tables.
pub(super) const fn sized(name: &'static str, contexts: Contexts) -> Directive<Level> {
    let help = "Accepted for compatibility, without effect: tables size themselves.";
    Directive { row: row(name, contexts, "size", "-", help), set: |_, call| call.number().map(drop) }
}

/// The same of a table that nginx cannot do without.
pub(super) const fn sized_above_0(name: &'static str, contexts: Contexts) -> Directive<Level> {
    let set = |_: &mut Level, call: &mut Call<'_>| {
        if call.number()? > 0 {
            return Ok(());
        }
        let name = call.name();
        let table = name.trim_end_matches("_max_size").trim_end_matches("_bucket_size");
        Err(call.error(format!("could not build {table}, you should increase {name}: 0")))
    };
    Directive { set, ..sized(name, contexts) }
}

/// A directive whose value is put where `$field` is.
macro_rules! value {
    ($row:expr, $field:ident, $read:ident) => {
        Directive {
            row: $row,
            set: |level: &mut Level, call| {
                level.$field = Some(call.$read()?);
                Ok(())
            },
        }
    };
}

pub(super) use value;

/// All that may stand in `http {}`, `server {}` and `location {}`.
pub(super) static TABLES: &[&[Directive<Level>]] = &[
    TABLE,
    script_directives::TABLE,
    proxy::directives::TABLE,
    proxy::tls_directives::TABLE,
    proxy::target_directives::TABLE,
    proxy::answer_directives::TABLE,
    cache::directives::TABLE,
    client_directives::TABLE,
    field_directives::TABLE,
    file_directives::TABLE,
    gzip::directives::TABLE,
    tuning_directives::TABLE,
    limit_except::TABLE,
    limits::directives::TABLE,
    ssl_directives::TABLE,
    tls::directives::Table::ROWS,
];

/// What stands in them beside scripts, proxying, clients and TLS.
static TABLE: &[Directive<Level>] = &[
    Directive {
        row: Row {
            block: Some(S),
            ..repeated(with(
                Arity::Exactly(0),
                row("server", H, "{ ... }", "-", "What is served under its names on its addresses."),
            ))
        },
        set: set::server,
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "listen",
                S,
                "port[-port] | address[:port[-port]] | [ipv6]:port | unix:path [default_server] [ssl] [proxy_protocol] [bind] [reuseport] [backlog=number] [rcvbuf=size] [sndbuf=size] [deferred] [fastopen=number] [ipv6only=on|off] [so_keepalive=on|off|[idle]:[interval]:[count]] [http2]",
                "*:80",
                "Where to accept clients; `*:8000` by default where weir is not started by root. Of several servers on one address `server_name` chooses; the one marked `default_server`, else the first, gets what no name takes. `ssl`: clients speak TLS, with all servers of the address; the host they ask for (SNI) chooses the certificate. `reuseport`: each worker has a socket of its own, and the kernel spreads the clients. `backlog`: how many clients the kernel lets wait. `proxy_protocol`: connections begin with a header of that protocol, which is read within `client_header_timeout`; `real_ip_header` says whether it is believed. `rcvbuf`, `sndbuf`: the kernel's buffers of a connection. `deferred`: clients are taken when they have sent something. `fastopen`: how many may wait whose data came with their first packet (TCP Fast Open). `so_keepalive`: whether and how the kernel finds out that a silent client is gone. `http2` is accepted for compatibility with a warning: clients are served by HTTP/1.1.",
            ),
        )),
        set: |level, call| {
            let directive = listen::Directive::parse(call)?;
            level.listens.push(directive);
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "server_name",
                S,
                "name ...",
                "\"\"",
                "The hosts a server is for: exact names, `*.example.org`, `www.*`, `.example.org` (itself and all below it), `~expression`, `\"\"` for requests without a host, `$hostname`. The exact name wins, then the longest with a star in front, then the longest with a star at the end, then the first regular expression that matches, whose groups are variables from then on.",
            ),
        )),
        set: set::server_name,
    },
    Directive {
        row: Row {
            block: Some(L),
            ..repeated(with(
                Arity::Between(1, 2),
                row(
                    "location",
                    SL,
                    "[= | ^~ | ~ | ~*] path { ... } | @name { ... }",
                    "-",
                    "What is said for a path, or with a prefix for all that begin with it, or with `~` (`~*`: of either case) for those that match a regular expression. `=` goes before all; else the longest prefix is found, then the first regular expression that matches wins over it, unless it stands behind `^~`. Locations may stand in locations. Redirects of the configuration lead to `@name`.",
                ),
            ))
        },
        set: set::location,
    },
    Directive {
        row: with(
            Arity::Exactly(0),
            row(
                "tcp_check_status",
                SL,
                "",
                "-",
                "A page with the state of all checked servers. Arguments of the request: `format=html`, `json`, `csv` or `prometheus`; `status=up` or `down`.",
            ),
        ),
        set: set::check_status,
    },
    Directive {
        row: with(
            Arity::Exactly(0),
            row("check_status", SL, "", "-", "The old name of `tcp_check_status`; accepted with a warning."),
        ),
        set: set::deprecated_check_status,
    },
    Directive {
        row: repeated(with(
            Arity::Between(0, 1),
            row(
                "stub_status",
                SL,
                "",
                "-",
                "A page with the figures of connections and requests, of all workers, in nginx's form. An argument is taken as by old versions, and means nothing.",
            ),
        )),
        set: |level, _| {
            level.content = Some(Content::Figures);
            Ok(())
        },
    },
    Directive {
        row: row(
            "root",
            HSL.or(LIF),
            "path",
            "html",
            "The directory of static files; a request's path is looked for below it. Variables may be used.",
        ),
        set: set::root,
    },
    Directive {
        row: row(
            "alias",
            L,
            "path",
            "-",
            "The directory that stands for the location's prefix; in a location with a regular expression, the file. Variables may be used.",
        ),
        set: set::alias,
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "index",
                HSL,
                "file ...",
                "index.html",
                "What is served for a directory: the first of these files that is there. Variables may be used.",
            ),
        )),
        set: set::index,
    },
    Directive {
        row: Row {
            block: Some(Contexts::HTTP_TYPES),
            ..repeated(with(
                Arity::Exactly(0),
                row(
                    "types",
                    HSL,
                    "{ ... }",
                    "{ text/html html; image/gif gif; image/jpeg jpg jpeg; }",
                    "The types of files by the end of their names; all such blocks of a level together replace what the level above says.",
                ),
            ))
        },
        set: set::types,
    },
    Directive {
        row: row("default_type", HSL, "type", "text/plain", "The type of what `types` does not know."),
        set: |level, call| {
            level.default_type = Some(call.bytes(1).to_vec());
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(2),
            row(
                "log_format",
                H,
                "name [escape=default|json|none] text ...",
                "combined ...",
                "The form of access log lines, of text with variables. `combined` is known.",
            ),
        )),
        set: set::log_format,
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "access_log",
                HSL.or(LIF).or(Contexts::HTTP_LIMIT_EXCEPT),
                "path | syslog:server=address[,parameter=value] [format [buffer=size] [gzip[=level]] [flush=time] [if=condition]] | off",
                "logs/access.log combined",
                "A line for each request when it is over, in the form `combined` when none is named. Several may be given. `buffer` and `flush`: how much and how long lines are held back. `gzip`: what is written is compressed, with a level from 1 to 9, for `zcat`; the buffer is 64k then unless something else is said. A worker that is killed takes what it holds back with it, and where a full disk cuts a compressed write short, `zcat` does not get past it. `if`: no line where this is empty or `0`. A path may have variables: its file is opened by the worker for each line, without a buffer, and only while the `root` of the request is there. Syslog servers as for the `access_log` of `tcp {}`.",
            ),
        )),
        set: set::access_log,
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "error_log",
                HSL,
                "path | stderr | syslog:server=address[,parameter=value] [level]",
                "that of the main context",
                "As in the main context, for the lines about requests, and about connections on their way to one; several may be given. Those of the innermost level that says one count.",
            ),
        )),
        set: |level, call| {
            level.error_logs.get_or_insert_default().push(directive::error_log(call)?);
            Ok(())
        },
    },
    Directive {
        row: with(
            Arity::Between(1, 2),
            row(
                "keepalive_timeout",
                HSL,
                "time [header_time]",
                "75s",
                "How long a connection waits for the next request; 0: none is waited for. The second time is told to clients in `Keep-Alive`; a level that does not say it takes that of the level above.",
            ),
        ),
        set: set::keepalive_timeout,
    },
    Directive {
        row: row("keepalive_requests", HSL, "number", "1000", "How many requests a connection may bring."),
        set: |level, call| {
            level.keepalive_requests = Some(call.number()? as u64);
            Ok(())
        },
    },
    value!(
        row("keepalive_time", HSL, "time", "1h", "How old a connection may be and still be kept for another request.",),
        keepalive_time,
        time
    ),
    value!(
        row("client_header_timeout", HS, "time", "60s", "How long a request's head may take to arrive; 408 after it."),
        header_timeout,
        time
    ),
    value!(
        row(
            "client_body_timeout",
            HSL,
            "time",
            "60s",
            "How long a client may be silent within a body. A body that nothing reads is dropped for `lingering_timeout` at most, if that is shorter.",
        ),
        body_timeout,
        time
    ),
    value!(
        row(
            "send_timeout",
            HSL,
            "time",
            "60s",
            "How long a client may take nothing of an answer before it is cut off. As in nginx that is seen by what the socket takes, which may be nothing for a while when a client is slow and much waits in the kernel."
        ),
        send_timeout,
        time
    ),
    Directive {
        row: row(
            "client_max_body_size",
            HSL,
            "size",
            "1m",
            "Requests that announce a larger body are answered with 413; 0: any size. A body in chunks that turns out to be larger after its request has been answered ends the connection.",
        ),
        set: |level, call| {
            level.max_body = Some(call.size()? as u64);
            Ok(())
        },
    },
    Directive {
        row: row(
            "client_header_buffer_size",
            HS,
            "size",
            "1k",
            "What a head may take where `large_client_header_buffers` allows less.",
        ),
        set: set::header_buffer,
    },
    Directive {
        row: with(
            Arity::Exactly(2),
            row(
                "large_client_header_buffers",
                HS,
                "number size",
                "4 8k",
                "How large a head may be: a request line longer than the size is answered with 414; a longer header field, and a head longer than all buffers together, with 400 (494 for `error_page`).",
            ),
        ),
        set: set::large_buffers,
    },
    Directive {
        row: row(
            "server_tokens",
            HSL,
            "on | off | build",
            "on",
            "Whether the version is told in `Server` and on error pages.",
        ),
        set: set::server_tokens,
    },
    value!(
        row(
            "sendfile",
            HSL.or(LIF),
            "on | off",
            "off",
            "Whether files go to the client by `sendfile(2)`, inside of the kernel."
        ),
        sendfile,
        flag
    ),
    value!(
        row("tcp_nodelay", HSL, "on | off", "on", "Whether small packets are sent at once (`TCP_NODELAY`)."),
        nodelay,
        flag
    ),
    value!(
        row("tcp_nopush", HSL, "on | off", "off", "With `sendfile`: head and file in full packets (`TCP_CORK`)."),
        nopush,
        flag
    ),
    value!(
        row(
            "chunked_transfer_encoding",
            HSL,
            "on | off",
            "on",
            "Whether answers whose length is not known come in chunks to clients of HTTP/1.1; else they end with the connection."
        ),
        chunked,
        flag
    ),
    value!(row("etag", HSL, "on | off", "on", "Whether files are answered with an `ETag`."), etag, flag),
    Directive {
        row: row(
            "if_modified_since",
            HSL,
            "off | exact | before",
            "exact",
            "When `If-Modified-Since` makes the answer a 304: never, at the file's own time, or at that or a later one.",
        ),
        set: |level, call| {
            let choices =
                [("off", ModifiedSince::Off), ("exact", ModifiedSince::Exact), ("before", ModifiedSince::Before)];
            level.if_modified_since = Some(call.choice(1, &choices)?);
            Ok(())
        },
    },
    value!(
        row(
            "max_ranges",
            HSL,
            "number",
            "no limit",
            "How many parts of a file one request may ask for; with more, and with 0, the whole is sent.",
        ),
        max_ranges,
        number
    ),
    value!(
        row("absolute_redirect", HSL, "on | off", "on", "Whether redirects to a path name scheme, host and port."),
        absolute_redirect,
        flag
    ),
    value!(
        row("log_not_found", HSL, "on | off", "on", "Whether files that are not there are told of in the error log.",),
        log_not_found,
        flag
    ),
    value!(
        row("port_in_redirect", HSL, "on | off", "on", "Whether such redirects name the port."),
        port_in_redirect,
        flag
    ),
    value!(
        row(
            "server_name_in_redirect",
            HSL,
            "on | off",
            "off",
            "Whether such redirects name the first `server_name`, and not the host that the client asked for.",
        ),
        server_name_in_redirect,
        flag
    ),
    value!(
        row(
            "merge_slashes",
            HS,
            "on | off",
            "on",
            "Whether several slashes in a row count as one in a path. What the default server of an address says counts.",
        ),
        merge_slashes,
        flag
    ),
    value!(
        row(
            "ignore_invalid_headers",
            HS,
            "on | off",
            "on",
            "Whether fields whose names have more than letters, digits and `-` are dropped, each with a line in the error log at `info`.",
        ),
        ignore_invalid_headers,
        flag
    ),
    value!(
        row("underscores_in_headers", HS, "on | off", "off", "Whether a field's name may have `_` all the same.",),
        underscores_in_headers,
        flag
    ),
    Directive {
        row: row(
            "lingering_close",
            HSL,
            "off | on | always",
            "on",
            "Whether a connection that ends is read from for a while, so that the client gets the answer: when it may still be sending, or always.",
        ),
        set: |level, call| {
            let choices =
                [("off", LingeringClose::Off), ("on", LingeringClose::On), ("always", LingeringClose::Always)];
            level.lingering_close = Some(call.choice(1, &choices)?);
            Ok(())
        },
    },
    value!(
        row(
            "lingering_time",
            HSL,
            "time",
            "30s",
            "How long that may last, and how long a body that nothing reads is dropped."
        ),
        lingering_time,
        time
    ),
    value!(
        row("lingering_timeout", HSL, "time", "5s", "How long the client may be silent meanwhile."),
        lingering_timeout,
        time
    ),
    sized("map_hash_max_size", H),
    sized("map_hash_bucket_size", H),
    sized("types_hash_max_size", HSL),
    sized("types_hash_bucket_size", HSL),
    sized("server_names_hash_max_size", H),
    sized("server_names_hash_bucket_size", H),
];

/// The table of `types {}`, where any word is a type.
pub static TYPES: &[Directive<Types>] = &[Directive {
    row: repeated(with(
        Arity::AtLeast(0),
        row(Row::ANY, Contexts::HTTP_TYPES, "extension ...", "-", "A type and the ends of the names of its files."),
    )),
    set: set::mime_type,
}];

/// The rows of these blocks, for checks and documentation.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    // Those of TLS, the last table, are the same in every block, and listed with `tcp {}`.
    let tables = &TABLES[..TABLES.len() - 1];
    let own = tables.iter().copied().flatten().map(|directive| &directive.row);
    own.chain(TYPES.iter().map(|directive| &directive.row)).chain(script_directives::block_rows())
}
