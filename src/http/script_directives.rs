//! The directives that decide where a request goes and what variables are: `return`, `rewrite`, `if`, `map` and their like.

use super::directives::{repeated, row, value, with};
use super::geo::{self, Geo};
use super::level::Level;
use super::script::Step;
use super::{map, script_settings as set, split_clients};
use crate::conf::{Arity, Contexts, Directive, Row};

const H: Contexts = Contexts::HTTP;
const S: Contexts = Contexts::HTTP_SERVER;
const L: Contexts = Contexts::HTTP_LOCATION;
const SIF: Contexts = Contexts::HTTP_SERVER_IF;
const LIF: Contexts = Contexts::HTTP_LOCATION_IF;
const SL: Contexts = S.or(L);
const HSL: Contexts = H.or(SL);
const SLIF: Contexts = SL.or(SIF).or(LIF);

/// The second part of the table of `http {}`, `server {}` and `location {}`.
pub static TABLE: &[Directive<Level>] = &[
    Directive {
        row: repeated(with(
            Arity::Between(1, 2),
            row(
                "return",
                SLIF,
                "code [text] | code URL | URL",
                "-",
                "Answers at once: with a text, for 301, 302, 303, 307 and 308 with a redirect; a URL alone is a 302; 444 closes the connection. Variables may be used.",
            ),
        )),
        set: set::returns,
    },
    Directive {
        row: repeated(with(
            Arity::Exactly(2),
            row(
                "set",
                SLIF,
                "$variable value",
                "-",
                "Gives a variable a value, which may hold variables. `$args` and `$limit_rate` can be set too.",
            ),
        )),
        set: set::set,
    },
    Directive {
        row: Row {
            block: Some(SIF),
            ..repeated(with(
                Arity::AtLeast(1),
                row(
                    "if",
                    S,
                    "(condition) { ... }",
                    "-",
                    "What is done when a condition holds, before a location is found: `$variable` (neither empty nor `0`), `$variable = text`, `!=`, `~ expression`, `~*` (of either case), `!~`, `!~*`, `-f path` (a file is there), `-d` (a directory), `-e` (either), `-x` (executable), and these with `!`.",
                ),
            ))
        },
        set: set::condition,
    },
    Directive {
        row: Row {
            block: Some(LIF),
            ..repeated(with(
                Arity::AtLeast(1),
                row(
                    "if",
                    L,
                    "(condition) { ... }",
                    "-",
                    "As in `server {}`; what else stands in it counts for the request from then on, with all that the location says.",
                ),
            ))
        },
        set: set::condition,
    },
    Directive {
        row: repeated(with(
            Arity::Between(2, 3),
            row(
                "rewrite",
                SLIF,
                "expression replacement [last | break | redirect | permanent]",
                "-",
                "Where the path matches, it becomes the replacement, with the request's arguments behind it unless that ends with `?`. `last`: the location is found anew, at once and not behind the last of the directives; `break`: the request stays where it is; `redirect`, `permanent`, or a replacement with a scheme: the client is redirected by 302 or 301.",
            ),
        )),
        set: set::rewrite,
    },
    Directive {
        row: repeated(with(
            Arity::Exactly(0),
            row("break", SLIF, "", "-", "Ends what `set`, `if`, `rewrite` and `return` do on this level."),
        )),
        set: |level, _| {
            level.steps.push(Step::Break);
            Ok(())
        },
    },
    value!(
        row(
            "rewrite_log",
            HSL.or(SIF).or(LIF),
            "on | off",
            "off",
            "Whether the error log tells at level `notice` what is rewritten."
        ),
        rewrite_log,
        flag
    ),
    value!(
        row(
            "uninitialized_variable_warn",
            HSL.or(SIF).or(LIF),
            "on | off",
            "on",
            "Whether the error log warns of variables that are used before `set` has given them a value."
        ),
        uninitialized_variable_warn,
        flag
    ),
    Directive {
        row: Row {
            block: Some(Contexts::HTTP_MAP),
            ..repeated(with(
                Arity::Exactly(2),
                row("map", H, "text $variable { ... }", "-", "Makes a variable whose value depends on that of a text."),
            ))
        },
        set: set::map,
    },
    Directive {
        row: Row {
            block: Some(Contexts::HTTP_SPLIT_CLIENTS),
            ..repeated(with(
                Arity::Exactly(2),
                row(
                    "split_clients",
                    H,
                    "text $variable { ... }",
                    "-",
                    "Makes a variable with one of some values, chosen by a hash of a text (MurmurHash2) so that each has its share.",
                ),
            ))
        },
        set: set::split_clients,
    },
    Directive {
        row: Row {
            block: Some(Contexts::HTTP_GEO),
            ..repeated(with(
                Arity::Between(1, 2),
                row(
                    "geo",
                    H,
                    "[$address] $variable { ... }",
                    "-",
                    "Makes a variable whose value depends on the client's address, or on that in another variable.",
                ),
            ))
        },
        set: set::geo,
    },
    Directive {
        row: with(
            Arity::AtLeast(2),
            row(
                "try_files",
                SL,
                "file ... path | file ... @name | file ... =code",
                "-",
                "Serves the first of these files below the root that is there, with a slash at its end a directory; else the request is led to the last word: a path, a named location or an error. Variables may be used.",
            ),
        ),
        set: set::try_files,
    },
    Directive {
        row: with(
            Arity::Exactly(0),
            row("internal", L, "", "-", "Only redirects of the configuration lead here; clients get a 404."),
        ),
        set: |level, _| {
            level.internal = true;
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(2),
            row(
                "error_page",
                HSL.or(LIF),
                "code ... [=[code]] uri",
                "-",
                "What is answered in the place of the page of these statuses: what is found at a path or in a named location `@name`, or a redirect to a URL. `=code` changes the status, `=` alone leaves it to what is found. Variables may be used.",
            ),
        )),
        set: set::error_page,
    },
    value!(
        row(
            "recursive_error_pages",
            HSL,
            "on | off",
            "off",
            "Whether `error_page` is asked again when what it led to has failed too."
        ),
        recursive_error_pages,
        flag
    ),
];

/// The table of `map {}`, where any word is a value.
pub static MAP: &[Directive<map::Reading>] = &[Directive {
    row: repeated(with(
        Arity::AtLeast(0),
        row(
            Row::ANY,
            Contexts::HTTP_MAP,
            "value | hostnames | volatile",
            "-",
            "A value of the text, of either case, and what the variable is then; `default` for all others; with `~` or `~*` a regular expression. After `hostnames` values may be `*.example.org`, `www.*` and `.example.org`. `volatile`: it is looked up each time it is used. A backslash goes before a value that is one of these words.",
        ),
    )),
    set: map::line,
}];

/// The table of `split_clients {}`, where any word is a share.
pub static SPLIT_CLIENTS: &[Directive<split_clients::Reading>] = &[Directive {
    row: repeated(with(
        Arity::Exactly(1),
        row(
            Row::ANY,
            Contexts::HTTP_SPLIT_CLIENTS,
            "value",
            "-",
            "A share of all values of the text, `0.5%` or `*` for the rest, and what the variable is for it.",
        ),
    )),
    set: split_clients::line,
}];

/// The table of `geo {}`, where any word is a network.
pub static GEO: &[Directive<Geo>] = &[Directive {
    row: repeated(with(
        Arity::AtLeast(0),
        row(
            Row::ANY,
            Contexts::HTTP_GEO,
            "value | ranges | proxy_recursive",
            "-",
            "A network or an address, and what the variable is for it; `default` for all others; `delete` takes one out. After `ranges`: `first-last` of IPv4. `proxy`: an address or a network that is trusted to say in `X-Forwarded-For` whose request it passes on; `proxy_recursive`: such proxies are passed over in that list.",
        ),
    )),
    set: geo::line,
}];

/// The rows of the blocks in which any word may stand.
pub fn block_rows() -> [&'static Row; 3] {
    [&MAP[0].row, &SPLIT_CLIENTS[0].row, &GEO[0].row]
}
