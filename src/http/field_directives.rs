//! The directives that add fields to answers.

use super::directives::{HSL, LIF, repeated, row, with};
use super::fields::{Added, Expires, Expiry};
use super::level::Level;
use crate::conf::{Arity, Call, Directive, Result};

/// The rows that stand beside those of [`super::directives`].
pub(super) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: repeated(with(
            Arity::Between(2, 3),
            row(
                "add_header",
                HSL.or(LIF),
                "name value [always]",
                "-",
                "A field that is added to answers with status 200, 201, 204, 206, 301 to 304, 307 and 308; with `always`, to all. Variables may be used; an empty value adds none. `Last-Modified` and `ETag` replace what is there. Those of a level replace those above it.",
            ),
        )),
        set: |level, call| {
            let added = added(level, call)?;
            level.fields.headers.get_or_insert_default().push(added);
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::Between(2, 3),
            row(
                "add_trailer",
                HSL.or(LIF),
                "name value [always]",
                "-",
                "A field behind the body, as for `add_header`. Such answers go in chunks, to clients of HTTP/1.1 only.",
            ),
        )),
        set: |level, call| {
            let added = added(level, call)?;
            level.fields.trailers.get_or_insert_default().push(added);
            Ok(())
        },
    },
    Directive {
        row: with(
            Arity::Between(1, 2),
            row(
                "expires",
                HSL.or(LIF),
                "[modified] time | @time | epoch | max | off",
                "off",
                "Gives the answers of the statuses of `add_header` an `Expires` and a `Cache-Control`: for a time from now or, with `modified`, from the last change; a negative one says `no-cache`; `@time`: until that time of day; `epoch`: they never were fresh; `max`: for ten years. Variables may be used.",
            ),
        ),
        set: expires,
    },
];

fn added(level: &mut Level, call: &mut Call<'_>) -> Result<Added> {
    let name = call.text(1)?.to_owned();
    let value = level.registry.text(call.bytes(2), &call.node.place).map_err(|message| call.error(message))?;
    if call.count() == 3 && call.bytes(3) != b"always" {
        let word = String::from_utf8_lossy(call.bytes(3));
        return Err(call.error(format!("invalid parameter \"{word}\"")));
    }
    Ok(Added { name, value, always: call.count() == 3 })
}

fn expires(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let modified = call.count() == 2;
    if modified && call.bytes(1) != b"modified" {
        return Err(call.invalid());
    }
    let word = call.bytes(call.count());
    level.fields.expires = Some(if word.contains(&b'$') {
        let text = level.registry.text(word, &call.node.place).map_err(|message| call.error(message))?;
        Expires::Computed { modified, text }
    } else {
        let expiry = Expiry::parse(modified, word);
        Expires::Fixed(expiry.map_err(|message| call.error(format!("\"expires\" directive {message}")))?)
    });
    Ok(())
}
