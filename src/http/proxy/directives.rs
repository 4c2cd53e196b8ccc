//! The directives of proxying.

use super::body_files::{Folder, InFile};
use super::next::Fault;
use super::pass::Pass;
use crate::conf::{Arity, Call, Contexts, Directive, Error, Place, Result, Row, value};
use crate::http::directives::{repeated, row, sized, with};
use crate::http::head::Version;
use crate::http::level::Level;
use crate::http::tuning_directives;
use crate::upstream;

const H: Contexts = Contexts::HTTP;
const L: Contexts = Contexts::HTTP_LOCATION;
const HSL: Contexts = H.or(Contexts::HTTP_SERVER).or(L);

/// A directive whose value is put where `$field` is.
macro_rules! value {
    ($row:expr, $field:ident, $read:ident) => {
        Directive {
            row: $row,
            set: |level: &mut Level, call| {
                level.proxy.$field = Some(call.$read()?);
                Ok(())
            },
        }
    };
}

/// The table.
pub(in crate::http) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: Row {
            block: Some(Contexts::HTTP_UPSTREAM),
            ..repeated(row("upstream", H, "name { ... }", "-", "A group of servers for `proxy_pass`."))
        },
        set: |level, call| {
            let name = call.text(1)?;
            if level.groups.iter().any(|group| group.name.eq_ignore_ascii_case(name)) {
                return Err(call.error(format!("duplicate upstream \"{name}\"")));
            }
            let group = upstream::directives::read(call)?;
            let text = |(text, place): &(Vec<u8>, Place)| {
                level.registry.text(text, place).map_err(|message| Error::at(place, message))
            };
            level.group_keys.push(group.key.as_ref().map(text).transpose()?);
            level.groups.push(group);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_pass",
            L.or(Contexts::HTTP_LOCATION_IF).or(Contexts::HTTP_LIMIT_EXCEPT),
            "http[s]://host[:port][URI] | http[s]://upstream[URI] | http[s]://unix:path[:URI]",
            "-",
            "Passes requests on to a server, or to one of a group. With a URI the path of the location is replaced by it; without one the request's target goes on as the client wrote it, or as a `rewrite` has made it. Within a location with a regular expression or a name, and within `if`, there can be no URI. With `https` TLS is spoken, as `proxy_ssl_*` say. With variables the URL is put together for each request: its host is an `upstream {}`, the host of another `proxy_pass`, an address, or a name that `resolver` resolves; a URI in it is the whole target of the server's request.",
        ),
        set: |level, call| {
            level.proxy.pass = Some(Pass::parse(call, level.pattern.as_ref(), &mut level.registry)?);
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::Exactly(2),
            row(
                "proxy_set_header",
                HSL,
                "field value",
                "Host $proxy_host, Connection close",
                "A field of the server's request, in place of the client's field of that name; with an empty value there is none. Fields of the level above are taken only where a level sets none. Fields that belong to the client's connection are never passed on. `Content-Length` and `Transfer-Encoding` say what is true of the body, whatever is set here.",
            ),
        )),
        set: |level, call| {
            let text = level.registry.text(call.bytes(2), &call.node.place).map_err(|message| call.error(message))?;
            let name = call.bytes(1);
            if !name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':') {
                return Err(call.invalid());
            }
            level.proxy.fields.get_or_insert_default().push((name.to_vec(), text));
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_http_version",
            HSL,
            "1.0 | 1.1",
            "1.0",
            "The version of HTTP that servers are spoken to in. Kept connections (`keepalive`) need 1.1.",
        ),
        set: |level, call| {
            level.proxy.version = Some(call.choice(1, &[("1.0", Version::Http10), ("1.1", Version::Http11)])?);
            Ok(())
        },
    },
    Directive {
        row: row("proxy_method", HSL, "method", "-", "The method of the server's request, in place of the client's."),
        set: |level, call| {
            let text = level.registry.text(call.bytes(1), &call.node.place).map_err(|message| call.error(message))?;
            level.proxy.method = Some(text);
            Ok(())
        },
    },
    Directive {
        row: row("proxy_set_body", HSL, "value", "-", "The body of the server's request, in place of the client's."),
        set: |level, call| {
            let text = level.registry.text(call.bytes(1), &call.node.place).map_err(|message| call.error(message))?;
            level.proxy.body = Some(text);
            Ok(())
        },
    },
    value!(
        row(
            "proxy_pass_request_headers",
            HSL,
            "on | off",
            "on",
            "Whether the server gets the fields of the client's request.",
        ),
        pass_fields,
        flag
    ),
    value!(
        row(
            "proxy_pass_request_body",
            HSL,
            "on | off",
            "on",
            "Whether the server gets the body of the client's request."
        ),
        pass_body,
        flag
    ),
    value!(
        row(
            "proxy_request_buffering",
            HSL,
            "on | off",
            "on",
            "Whether a server is turned to only when the client's body is complete. `off`: the body goes on as it comes, and no other server is tried once it has begun to.",
        ),
        request_buffering,
        flag
    ),
    value!(
        row(
            "client_body_buffer_size",
            HSL,
            "size",
            "four pages of memory",
            "How much of a body is kept in memory; a larger one goes to a temporary file.",
        ),
        body_buffer,
        size
    ),
    Directive {
        row: with(
            Arity::Between(1, 4),
            row(
                "client_body_temp_path",
                HSL,
                "path [level [level [level]]]",
                "client_body_temp",
                "The folder of temporary files with bodies of requests. The files have no names, so that they are gone with their request whatever happens, but those of `client_body_in_file_only`: these are in folders named by so many of the last digits of their names, level for level.",
            ),
        ),
        set: |level, call| {
            let levels = levels(call)?;
            level.proxy.body_temp = Some(Folder { path: call.path(1), levels });
            Ok(())
        },
    },
    Directive {
        row: row(
            "client_body_in_file_only",
            HSL,
            "on | clean | off",
            "off",
            "Whether every body that is read for a server is in a file of its own, however small, whose path is `$request_body_file`. `clean`: it goes with its request; `on`: it stays. Bodies that are passed on as they come (`proxy_request_buffering off`) are in none.",
        ),
        set: |level, call| {
            let choices = [("off", InFile::Off), ("on", InFile::On), ("clean", InFile::Clean)];
            level.proxy.body_in_file = Some(call.choice(1, &choices)?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "client_body_in_single_buffer",
            HSL,
            "on | off",
            "off",
            "Accepted for compatibility, without effect: a body that is in memory is always in one piece.",
        ),
        set: |_, call| call.flag().map(drop),
    },
    value!(
        row(
            "proxy_connect_timeout",
            HSL,
            "time",
            "60s",
            "How long a connection to a server may take to be made; then it is 504."
        ),
        connect_timeout,
        time
    ),
    value!(
        row(
            "proxy_send_timeout",
            HSL,
            "time",
            "60s",
            "How long a server may take nothing of a request that is being sent."
        ),
        send_timeout,
        time
    ),
    value!(
        row("proxy_read_timeout", HSL, "time", "60s", "How long a server may send nothing of its answer."),
        read_timeout,
        time
    ),
    Directive {
        row: row(
            "proxy_buffer_size",
            HSL,
            "size",
            "a page of memory",
            "How large the head of a server's answer may be, and how much is read at first without `proxy_buffering`; a body that comes faster and goes as it is moves on in larger reads, or inside of the kernel.",
        ),
        set: |level, call| {
            let size = call.size()?;
            if size == 0 {
                return Err(call.invalid());
            }
            level.proxy.buffers.first = Some((size, call.node.place.clone()));
            Ok(())
        },
    },
    value!(
        row(
            "proxy_buffering",
            HSL,
            "on | off",
            "on",
            "Whether answers are read at the server's speed, and wait in `proxy_buffers` and a temporary file for a slower client. `off`: no more is read than the client has taken. `X-Accel-Buffering: yes` or `no` of an answer decides for it.",
        ),
        buffering,
        flag
    ),
    Directive {
        row: with(
            Arity::Exactly(2),
            row(
                "proxy_buffers",
                HSL,
                "number size",
                "8 pages of memory",
                "How much of an answer waits in memory for a slow client: the product of both.",
            ),
        ),
        set: |level, call| {
            let number = value::number(call.text(1)?).filter(|number| *number > 0);
            let size = value::size(call.text(2)?).filter(|size| *size > 0);
            let (number, size) = number.zip(size).ok_or_else(|| call.invalid())?;
            level.proxy.buffers.buffers = Some((number, size, call.node.place.clone()));
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_max_temp_file_size",
            HSL,
            "size",
            "1024m",
            "How much of an answer waits in a temporary file for a slow client, past `proxy_buffers`; 0: nothing.",
        ),
        set: |level, call| {
            level.proxy.buffers.max_temp_file = Some((call.size()? as u64, call.node.place.clone()));
            Ok(())
        },
    },
    Directive {
        row: with(
            Arity::Between(1, 4),
            row(
                "proxy_temp_path",
                HSL,
                "path [level [level [level]]]",
                "proxy_temp",
                "The folder of temporary files with answers. The files have no names, so that they are gone with their request whatever happens, and levels of folders are of no use.",
            ),
        ),
        set: |level, call| {
            levels(call)?;
            level.proxy.temp = Some(call.path(1));
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "proxy_next_upstream",
                HSL,
                "error | timeout | invalid_header | http_500 | http_502 | http_503 | http_504 | http_403 | http_404 | http_429 | non_idempotent | off ...",
                "error timeout",
                "After which failures another server is tried. Nothing is tried again once the client has got something of an answer; requests with POST, LOCK or PATCH, once sent, only with `non_idempotent`.",
            ),
        )),
        set: |level, call| {
            let said = level.proxy.next.get_or_insert(Fault::NONE);
            call.choices(&Fault::WORDS, |fault| said.add(fault))
        },
    },
    value!(
        row("proxy_next_upstream_tries", HSL, "number", "0", "How many servers are tried for a request; 0: all."),
        next_tries,
        number
    ),
    value!(
        row(
            "proxy_next_upstream_timeout",
            HSL,
            "time",
            "0",
            "For how long another server is tried after the first was turned to; 0: for ever.",
        ),
        next_timeout,
        time
    ),
    value!(
        row(
            "proxy_ignore_client_abort",
            HSL,
            "on | off",
            "off",
            "Whether a server goes on with a request whose client has closed its connection.",
        ),
        ignore_client_abort,
        flag
    ),
    value!(
        row("proxy_socket_keepalive", HSL, "on | off", "off", "Whether the kernel probes idle connections to servers."),
        socket_keepalive,
        flag
    ),
    Directive {
        row: repeated(row(
            "proxy_hide_header",
            HSL,
            "field",
            "Date, Server, X-Pad, X-Accel-...",
            "A field of the server's answer that the client does not get.",
        )),
        set: |level, call| {
            level.proxy.hide.get_or_insert_default().push(call.bytes(1).to_ascii_lowercase());
            Ok(())
        },
    },
    Directive {
        row: repeated(row(
            "proxy_pass_header",
            HSL,
            "field",
            "-",
            "A field of the server's answer that the client gets though it is among those that are hidden.",
        )),
        set: |level, call| {
            level.proxy.pass_hidden.get_or_insert_default().push(call.bytes(1).to_ascii_lowercase());
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_busy_buffers_size",
            HSL,
            "size",
            "-",
            "Accepted for compatibility, without effect: all that waits is sent as the client takes it. As in nginx it must go with `proxy_buffers`.",
        ),
        set: |level, call| {
            level.proxy.buffers.busy = Some((call.size()?, call.node.place.clone()));
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_temp_file_write_size",
            HSL,
            "size",
            "-",
            "Accepted for compatibility, without effect: a temporary file is written as the answer comes. As in nginx it must go with `proxy_buffers`.",
        ),
        set: |level, call| {
            level.proxy.buffers.temp_write = Some((call.size()?, call.node.place.clone()));
            Ok(())
        },
    },
    sized("proxy_headers_hash_max_size", HSL),
    sized("proxy_headers_hash_bucket_size", HSL),
    Directive {
        row: row(
            "proxy_send_lowat",
            HSL,
            "size",
            "-",
            "Accepted for compatibility with a warning, without effect: Linux has no such mark for sockets.",
        ),
        set: tuning_directives::send_lowat,
    },
];

/// The levels of folders behind a path.
fn levels(call: &Call<'_>) -> Result<Vec<usize>> {
    let level = |i| value::number(call.text(i)?).filter(|level| (1..=3).contains(level)).ok_or_else(|| call.invalid());
    (2..=call.count()).map(level).collect()
}
