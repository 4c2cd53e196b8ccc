//! Directives that tune what nginx is made of and weir is not: accepted, since nothing of what is served depends on them.

use super::directives::{HS, HSL, row, sized_above_0, with};
use super::level::Level;
use super::listen::NO_HTTP2;
use crate::conf::value;
use crate::conf::{Arity, Call, Contexts, Directive, Result};

const H: Contexts = Contexts::HTTP;

/// A row, and what its argument must be.
const fn tuning(
    name: &'static str,
    contexts: Contexts,
    syntax: &'static str,
    help: &'static str,
    check: fn(&mut Level, &mut Call<'_>) -> Result<()>,
) -> Directive<Level> {
    Directive { row: row(name, contexts, syntax, "-", help), set: check }
}

fn flag(_: &mut Level, call: &mut Call<'_>) -> Result<()> {
    call.flag().map(drop)
}

fn size(_: &mut Level, call: &mut Call<'_>) -> Result<()> {
    call.size().map(drop)
}

/// A mark below which the kernel would hold back what is sent.
pub(super) fn send_lowat(_: &mut Level, call: &mut Call<'_>) -> Result<()> {
    call.size()?;
    call.warn(format!("\"{}\" is not supported, ignored", call.name()));
    Ok(())
}

/// A size that a pool of nginx can have.
fn pool_size(call: &Call<'_>) -> Result<usize> {
    match call.size()? {
        0..112 => Err(call.error("the pool size must be no less than 112")),
        size if size % 16 != 0 => Err(call.error("the pool size must be a multiple of 16")),
        size => Ok(size),
    }
}

const MEMORY: &str = "Accepted for compatibility, without effect: memory is taken as it is needed.";
const FILES: &str =
    "Accepted for compatibility, without effect: files go by sendfile, or are read through the page cache.";
const MSIE: &str =
    "Accepted for compatibility, without effect: there is nothing special for browsers that are long gone.";

/// The rows.
pub(super) static TABLE: &[Directive<Level>] = &[
    sized_above_0("variables_hash_max_size", H),
    sized_above_0("variables_hash_bucket_size", H),
    tuning("connection_pool_size", HS, "size", MEMORY, |level, call| {
        level.pool_size = Some(pool_size(call)?);
        Ok(())
    }),
    tuning("request_pool_size", HS, "size", MEMORY, |_, call| pool_size(call).map(drop)),
    tuning("subrequest_output_buffer_size", HSL, "size", MEMORY, size),
    Directive {
        row: with(Arity::Exactly(2), row("output_buffers", HSL, "number size", "-", MEMORY)),
        set: |_, call| {
            let number = value::number(call.text(1)?).filter(|number| *number > 0);
            let size = value::size(call.text(2)?).filter(|size| *size > 0);
            number.and(size).map(drop).ok_or_else(|| call.invalid())
        },
    },
    tuning(
        "postpone_output",
        HSL,
        "size",
        "Accepted for compatibility, without effect: what there is of an answer is sent at once.",
        size,
    ),
    tuning(
        "send_lowat",
        HSL,
        "size",
        "Accepted for compatibility with a warning, without effect: Linux has no such mark for sockets.",
        send_lowat,
    ),
    tuning(
        "sendfile_max_chunk",
        HSL,
        "size",
        "Accepted for compatibility, without effect: a connection gives way to others by itself.",
        size,
    ),
    tuning("read_ahead", HSL, "size", FILES, size),
    tuning("aio", HSL, "off | threads[=pool]", FILES, |level, call| match call.bytes(1) {
        b"off" | b"threads" => Ok(()),
        b"on" => Err(call.error("\"aio on\" is unsupported on this platform")),
        word => {
            let pool = word.strip_prefix(b"threads=").ok_or_else(|| call.invalid())?;
            level.registry.text(pool, &call.node.place).map(drop).map_err(|message| call.error(message))
        }
    }),
    tuning("aio_write", HSL, "on | off", FILES, flag),
    tuning("directio", HSL, "size | off", FILES, |level, call| match call.text(1)? {
        "off" => Ok(()),
        _ => size(level, call),
    }),
    tuning("directio_alignment", HSL, "size", FILES, size),
    tuning(
        "http2",
        HS,
        "on | off",
        "Accepted for compatibility with a warning where it is `on`, without effect: clients are served by HTTP/1.1.",
        |_, call| {
            if call.flag()? {
                call.warn(NO_HTTP2);
            }
            Ok(())
        },
    ),
    tuning("msie_padding", HSL, "on | off", MSIE, flag),
    tuning("msie_refresh", HSL, "on | off", MSIE, flag),
];
