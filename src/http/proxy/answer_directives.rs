//! The directives about what becomes of servers' answers.

use super::answer::Ignored;
use super::cookies::{Flags, Name};
use super::replace::{Pattern, Replace};
use crate::conf::{Arity, Call, Directive, Error, Result};
use crate::http::directives::{HSL, repeated, row, with};
use crate::http::level::Level;

/// The table beside that of [`super::directives`].
pub(in crate::http) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: repeated(with(
            Arity::Between(1, 2),
            row(
                "proxy_redirect",
                HSL,
                "default | off | from to",
                "default",
                "What a `Location` or `Refresh` of the server's answer begins with, and what stands in its place for the client; after `~` (`~*`: of either case) a regular expression that takes the place of all of it. Variables may be used, also what the expression captured. The first that fits counts. `default`: the URL of `proxy_pass`, and the path of the location.",
            ),
        )),
        set: redirect,
    },
    Directive {
        row: repeated(with(
            Arity::Between(1, 2),
            row(
                "proxy_cookie_domain",
                HSL,
                "off | domain replacement",
                "off",
                "What stands in the place of a `domain` in the server's `Set-Cookie`: of that domain, a dot before it or not; after `~`, of one that a regular expression matches, of either case. Variables may be used. The first that fits counts.",
            ),
        )),
        set: |level, call| {
            let rule = replacement(level, call, |level, call, text| match text {
                [b'~', regex @ ..] => Ok(Pattern::Regex(level.registry.regex(regex, true)?)),
                text => {
                    let text = text.strip_prefix(b".").unwrap_or(text);
                    Ok(Pattern::Domain(level.registry.text(text, &call.node.place)?))
                }
            })?;
            add(&mut level.proxy.answers.cookie_domains, rule, call)
        },
    },
    Directive {
        row: repeated(with(
            Arity::Between(1, 2),
            row(
                "proxy_cookie_path",
                HSL,
                "off | path replacement",
                "off",
                "What stands in the place of what a `path` in the server's `Set-Cookie` begins with; after `~` (`~*`: of either case) a regular expression that takes the place of all of it. Variables may be used. The first that fits counts.",
            ),
        )),
        set: |level, call| {
            let rule = replacement(level, call, start_or_regex)?;
            add(&mut level.proxy.answers.cookie_paths, rule, call)
        },
    },
    Directive {
        row: repeated(with(
            Arity::Between(1, 4),
            row(
                "proxy_cookie_flags",
                HSL,
                "off | cookie [secure | nosecure | httponly | nohttponly | samesite=strict|lax|none | nosamesite] ...",
                "off",
                "The flags of a cookie that the server sets; after `~` of those that a regular expression matches, of either case. Variables may be used, also in flags; an empty one means nothing. The first that fits counts.",
            ),
        )),
        set: |level, call| {
            let flags = cookie_flags(level, call)?;
            add(&mut level.proxy.answers.cookie_flags, flags, call)
        },
    },
    Directive {
        row: row(
            "proxy_intercept_errors",
            HSL,
            "on | off",
            "off",
            "Whether `error_page` is asked about answers with a status of 300 or more too, in the place of passing them on.",
        ),
        set: |level, call| {
            level.proxy.answers.intercept_errors = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_force_ranges",
            HSL,
            "on | off",
            "off",
            "Whether weir itself answers requests for a part of what a server answers as a whole. Requests for several parts get the whole.",
        ),
        set: |level, call| {
            level.proxy.answers.force_ranges = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_pass_trailers",
            HSL,
            "on | off",
            "off",
            "Whether clients of HTTP/1.1 get the fields that a server sends behind a body in chunks. Many servers send them only to who asks: `proxy_http_version 1.1`, `proxy_set_header Connection te` and `proxy_set_header TE trailers`.",
        ),
        set: |level, call| {
            level.proxy.answers.pass_trailers = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_limit_rate",
            HSL,
            "rate",
            "0",
            "How many bytes of an answer are read from the server in a second, with `proxy_buffering`; 0: as many as come.",
        ),
        set: |level, call| {
            level.proxy.answers.limit_rate = Some(call.size()?);
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "proxy_ignore_headers",
                HSL,
                "field ...",
                "-",
                "Fields of the server's answer that mean nothing to weir: `X-Accel-Redirect`, `X-Accel-Limit-Rate`, `X-Accel-Buffering`, `X-Accel-Charset`, and those that would decide about keeping it: `X-Accel-Expires`, `Expires`, `Cache-Control`, `Set-Cookie`, `Vary`.",
            ),
        )),
        set: |level, call| {
            let said = level.proxy.answers.ignored.get_or_insert_default();
            call.choices(&Ignored::WORDS, |field| said.add(field))
        },
    },
];

fn redirect(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let rule = match (call.bytes(1), call.count(), &level.proxy.pass) {
        (b"default", 1, None) => {
            return Err(call.error("\"proxy_redirect default\" should be placed after the \"proxy_pass\" directive"));
        }
        (b"default", 1, Some(pass)) => {
            let with_variables =
                "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables";
            Some(pass.default_redirect().ok_or_else(|| call.error(with_variables))?)
        }
        _ => replacement(level, call, start_or_regex)?,
    };
    add(&mut level.proxy.answers.redirects, rule, call)
}

/// Adds a rule, or says `off`; both on one level contradict each other.
fn add<T>(rules: &mut Option<Vec<T>>, rule: Option<T>, call: &Call<'_>) -> Result<()> {
    match (rules, rule) {
        (Some(rules), Some(rule)) if !rules.is_empty() => rules.push(rule),
        (Some(_), _) => return Err(call.duplicate()),
        (rules, rule) => *rules = Some(rule.into_iter().collect()),
    }
    Ok(())
}

/// `off`, which is `None`, or a pattern and what takes the place of what it fits.
fn replacement(
    level: &mut Level,
    call: &Call<'_>,
    pattern: impl FnOnce(&mut Level, &Call<'_>, &[u8]) -> std::result::Result<Pattern, String>,
) -> Result<Option<Replace>> {
    let fault = |message: String| call.error(message);
    if call.count() == 1 {
        return off(call);
    }
    let pattern = pattern(level, call, call.bytes(1)).map_err(fault)?;
    let mut with = call.bytes(2);
    if matches!(pattern, Pattern::Domain(_)) {
        with = with.strip_prefix(b".").unwrap_or(with);
    }
    let with = level.registry.text(with, &call.node.place).map_err(fault)?;
    Ok(Some(Replace { pattern, with }))
}

/// The only argument, which must be `off`.
fn off<T>(call: &Call<'_>) -> Result<Option<T>> {
    match call.bytes(1) {
        b"off" => Ok(None),
        other => Err(invalid_parameter(call, other)),
    }
}

fn invalid_parameter(call: &Call<'_>, word: &[u8]) -> Error {
    call.error(format!("invalid parameter \"{}\"", String::from_utf8_lossy(word)))
}

fn start_or_regex(level: &mut Level, call: &Call<'_>, text: &[u8]) -> std::result::Result<Pattern, String> {
    match text {
        [b'~', b'*', regex @ ..] => Ok(Pattern::Regex(level.registry.regex(regex, true)?)),
        [b'~', regex @ ..] => Ok(Pattern::Regex(level.registry.regex(regex, false)?)),
        text => Ok(Pattern::Start(level.registry.text(text, &call.node.place)?)),
    }
}

fn cookie_flags(level: &mut Level, call: &Call<'_>) -> Result<Option<Flags>> {
    let fault = |message: String| call.error(message);
    if call.count() == 1 {
        return off(call);
    }
    let place = &call.node.place;
    let name = match call.bytes(1) {
        [b'~', regex @ ..] => Name::Regex(level.registry.regex(regex, true).map_err(fault)?),
        text => Name::Exact(level.registry.text(text, place).map_err(fault)?),
    };
    let words = (2..=call.count()).map(|i| level.registry.text(call.bytes(i), place).map_err(fault));
    Ok(Some(Flags { name, words: words.collect::<Result<_>>()? }))
}
