//! The directives of `gzip`.

use super::{Proxied, Types};
use crate::conf::table::Flag;
use crate::conf::{Arity, Call, Directive, Result, value};
use crate::http::directives::{HSL, LIF, repeated, row, with};
use crate::http::head::Version;
use crate::http::level::Level;

/// The rows that stand beside those of [`crate::http::directives`].
pub(in crate::http) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: row(
            "gzip",
            HSL.or(LIF),
            "on | off",
            "off",
            "Whether bodies with status 200, 403 and 404 are compressed for clients that want it (`Accept-Encoding`), those of files and of servers. They go in chunks then, without ranges and with a weak `ETag`.",
        ),
        set: |level, call| {
            level.gzip.on = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "gzip_types",
                HSL,
                "type ... | *",
                "text/html",
                "The types of bodies that are compressed; `text/html` always is. `*`: all.",
            ),
        )),
        set: types,
    },
    Directive {
        row: row("gzip_min_length", HSL, "size", "20", "Bodies that are known to be shorter are not compressed."),
        set: |level, call| {
            level.gzip.min_length = Some(call.size()? as u64);
            Ok(())
        },
    },
    Directive {
        row: row("gzip_comp_level", HSL, "level", "1", "How much work is spent on a body, from 1 to 9."),
        set: |level, call| {
            let level_said = call.number()?;
            if !(1..=9).contains(&level_said) {
                return Err(call.error("value must be between 1 and 9"));
            }
            level.gzip.level = Some(level_said as u32);
            Ok(())
        },
    },
    Directive {
        row: row(
            "gzip_vary",
            HSL,
            "on | off",
            "off",
            "Whether answers that are compressed for some say so to caches, by `Vary: Accept-Encoding`.",
        ),
        set: |level, call| {
            level.gzip.vary = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "gzip_proxied",
                HSL,
                "off | expired | no-cache | no-store | private | no_last_modified | no_etag | auth | any ...",
                "off",
                "Which answers are compressed for requests that come by a proxy (`Via`): those that are stale already (`expired`), whose `Cache-Control` says one of these words, that lack a field, whose request has `Authorization`, all.",
            ),
        )),
        set: proxied,
    },
    Directive {
        row: row(
            "gzip_http_version",
            HSL,
            "1.0 | 1.1",
            "1.1",
            "The least version of requests whose answers are compressed.",
        ),
        set: |level, call| {
            level.gzip.version = Some(call.choice(1, &[("1.0", Version::Http10), ("1.1", Version::Http11)])?);
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "gzip_disable",
                HSL,
                "expression ...",
                "-",
                "Browsers that get nothing compressed, by regular expressions for `User-Agent`; `msie6`: Internet Explorer before 6.0 SV1.",
            ),
        )),
        set: disable,
    },
    Directive {
        row: with(
            Arity::Exactly(2),
            row(
                "gzip_buffers",
                HSL,
                "number size",
                "-",
                "Accepted for compatibility, without effect: what is compressed is sent as the client takes it.",
            ),
        ),
        set: |_, call| {
            let number = value::number(call.text(1)?).filter(|number| *number > 0);
            let size = value::size(call.text(2)?).filter(|size| *size > 0);
            number.and(size).map(drop).ok_or_else(|| call.invalid())
        },
    },
];

fn types(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let mut known = match level.gzip.types.take() {
        Some(Types::Some(types)) => types,
        Some(Types::Any) => {
            level.gzip.types = Some(Types::Any);
            return Ok(());
        }
        None => vec![b"text/html".to_vec()],
    };
    for i in 1..=call.count() {
        let mime = call.bytes(i).to_ascii_lowercase();
        if mime == b"*" {
            level.gzip.types = Some(Types::Any);
            return Ok(());
        }
        if known.contains(&mime) {
            call.warn(format!("duplicate MIME type \"{}\"", String::from_utf8_lossy(&mime)));
        } else {
            known.push(mime);
        }
    }
    level.gzip.types = Some(Types::Some(known));
    Ok(())
}

fn proxied(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let proxied = level.gzip.proxied.get_or_insert_default();
    let flags: [Flag<Proxied>; 9] = [
        ("off", |said| &mut said.off),
        ("expired", |said| &mut said.expired),
        ("no-cache", |said| &mut said.no_cache),
        ("no-store", |said| &mut said.no_store),
        ("private", |said| &mut said.private),
        ("no_last_modified", |said| &mut said.no_last_modified),
        ("no_etag", |said| &mut said.no_etag),
        ("auth", |said| &mut said.auth),
        ("any", |said| &mut said.any),
    ];
    call.flags(proxied, &flags)
}

fn disable(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    for i in 1..=call.count() {
        let disabled = level.gzip.disabled.get_or_insert_default();
        match call.bytes(i) {
            b"msie6" => disabled.msie6 = true,
            expression => {
                let regex = level.registry.regex(expression, true).map_err(|message| call.error(message))?;
                disabled.agents.push(regex);
            }
        }
    }
    Ok(())
}
