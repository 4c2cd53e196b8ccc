//! The directives of `http {}` that are about who clients are and which of them may come in.

use super::access::Satisfy;
use super::directives::{HS, HSL, repeated, row, value, with};
use super::level::Level;
use super::real_ip::Source;
use super::settings as set;
use crate::conf::{Arity, Call, Contexts, Directive, Result};
use crate::net::access::Match;

const HSLM: Contexts = HSL.or(Contexts::HTTP_LIMIT_EXCEPT);

/// The rows that stand beside those of [`super::directives`] and those of TLS in every block.
pub(super) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: repeated(row(
            "allow",
            HSLM,
            "address | CIDR | unix: | all",
            "-",
            "Lets clients in. The first of the `allow` and `deny` rules that matches decides; without a match a client is let in. Rules of a level replace those above it. Who is kept out gets 403. `return` comes before all rules.",
        )),
        set: set::rule,
    },
    Directive {
        row: repeated(row("deny", HSLM, "address | CIDR | unix: | all", "-", "Turns clients away, see `allow`.")),
        set: set::rule,
    },
    Directive {
        row: repeated(row(
            "set_real_ip_from",
            HSL,
            "address | CIDR | host | unix:",
            "-",
            "Proxies before weir that are trusted to say whose request they pass on: that client is the one of rules, logs and `$remote_addr` then.",
        )),
        set: |level, call| {
            level.real_ip_from.get_or_insert_default().extend(Match::senders(call)?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "real_ip_header",
            HSL,
            "field | X-Real-IP | X-Forwarded-For | proxy_protocol",
            "X-Real-IP",
            "Where such a proxy says so: in a header field, in the list of `X-Forwarded-For`, or in the header of the PROXY protocol.",
        ),
        set: |level, call| {
            level.real_ip_header = Some(Source::parse(call.text(1)?));
            Ok(())
        },
    },
    Directive {
        row: row(
            "real_ip_recursive",
            HSL,
            "on | off",
            "off",
            "Whether trusted proxies are passed over in `X-Forwarded-For`: the last address that is not one of theirs counts, not just the last.",
        ),
        set: |level, call| {
            level.real_ip_recursive = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "limit_rate",
            HSL.or(Contexts::HTTP_LOCATION_IF),
            "rate",
            "0",
            "How many bytes of an answer go to the client in a second; 0: as many as it takes. Variables may be used. `$limit_rate` and a server's `X-Accel-Limit-Rate` (`off`, or bytes) decide for a request.",
        ),
        set: |level, call| {
            level.limit.rate = Some(set::rate(level, call)?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "limit_rate_after",
            HSL.or(Contexts::HTTP_LOCATION_IF),
            "size",
            "0",
            "How much of an answer goes before `limit_rate` counts. Variables may be used.",
        ),
        set: |level, call| {
            level.limit.after = Some(set::rate(level, call)?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "satisfy",
            HSL,
            "all | any",
            "all",
            "Whether a client must be let in by its address (`allow`) and by its password (`auth_basic`), or by one of them.",
        ),
        set: |level, call| {
            level.satisfy = Some(call.choice(1, &[("all", Satisfy::All), ("any", Satisfy::Any)])?);
            Ok(())
        },
    },
    Directive {
        row: row(
            "auth_basic",
            HSLM,
            "text | off",
            "off",
            "Asks clients for a name and a password, with 401; the text tells them what for. Variables may be used.",
        ),
        set: set::auth_basic,
    },
    Directive {
        row: row(
            "auth_basic_user_file",
            HSLM,
            "file",
            "-",
            "Users for `auth_basic`, one a line: `name:hash`, by `htpasswd`, `openssl passwd` or `mkpasswd`: what crypt(3) knows, `$apr1$`, `{SHA}`, `{SSHA}`, `{PLAIN}`. Read for each request; variables may be used in its name. Relative names are taken against the folder of the configuration file.",
        ),
        set: set::auth_basic_user_file,
    },
    value!(
        row(
            "auth_delay",
            HSL,
            "time",
            "0s",
            "How long clients wait for a 401, so that passwords cannot be guessed by the time that checking them takes."
        ),
        auth_delay,
        time
    ),
    value!(
        row(
            "reset_timedout_connection",
            HSL,
            "on | off",
            "off",
            "Whether connections of clients that have taken too long are reset, which frees at once what waits for them in the kernel."
        ),
        reset_timed_out,
        flag
    ),
    Directive {
        row: repeated(with(
            Arity::Between(1, 2),
            row(
                "keepalive_disable",
                HSL,
                "none | msie6 | safari ...",
                "msie6",
                "Browsers whose connections are not kept: Internet Explorer before 6.0 SV1 after a POST, Safari on macOS.",
            ),
        )),
        set: keepalive_disable,
    },
    Directive {
        row: row(
            "ssl_reject_handshake",
            HS,
            "on | off",
            "off",
            "Whether handshakes of clients for this server are rejected. A default server that does so needs no certificate, and keeps out clients that ask for an unknown host.",
        ),
        set: |level, call| level.ssl.set_reject_handshake(call),
    },
    Directive {
        row: row(
            "ssl_buffer_size",
            HS,
            "size",
            "16k",
            "How much of an answer one record of TLS carries at most: a client can use a record when all of it has come. From 512 bytes to 16k. Zero, with which nginx starts and answers nobody, is refused.",
        ),
        set: |level, call| level.ssl.set_buffer_size(call),
    },
];

fn keepalive_disable(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let disabled = level.keepalive_disable.get_or_insert_default();
    call.flags(
        disabled,
        &[("none", |said| &mut said.none), ("msie6", |said| &mut said.msie6), ("safari", |said| &mut said.safari)],
    )
}
