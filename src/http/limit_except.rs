//! `limit_except`: what is said for all methods but some.

use super::directives::{row, with};
use super::level::Level;
use super::settings::inner;
use crate::conf::{Arity, Call, Contexts, Directive, Result, Row};

/// The methods that nginx knows in `limit_except`.
const KNOWN: [&str; 14] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "OPTIONS",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
    "PATCH",
];

/// The methods that are not limited.
#[derive(Clone, Debug)]
pub(super) struct Methods(Vec<&'static str>);

impl Methods {
    /// Reads the words of the directive; `GET` allows `HEAD` too.
    ///
    /// # Errors
    /// nginx's message: an unknown method.
    fn parse<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> std::result::Result<Self, String> {
        let mut methods = Vec::new();
        for word in words {
            let known = KNOWN.iter().find(|known| word.eq_ignore_ascii_case(known.as_bytes()));
            let unknown = || format!("invalid method \"{}\"", String::from_utf8_lossy(word));
            methods.push(*known.ok_or_else(unknown)?);
        }
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        Ok(Methods(methods))
    }

    /// Whether requests with this method are limited.
    pub(super) fn limits(&self, method: &[u8]) -> bool {
        !self.0.iter().any(|free| free.as_bytes() == method)
    }
}

/// The row that stands beside those of [`super::directives`].
pub(super) static TABLE: &[Directive<Level>] = &[Directive {
    row: Row {
        block: Some(Contexts::HTTP_LIMIT_EXCEPT),
        ..with(
            Arity::AtLeast(1),
            row(
                "limit_except",
                Contexts::HTTP_LOCATION,
                "method ... { ... }",
                "-",
                "What is said for requests of all methods but these, `allow` and `deny` for one; `GET` means `HEAD` too. What the location says with `set`, `if`, `rewrite`, `return` and `try_files` is not done for them.",
            ),
        )
    },
    set: limit_except,
}];

fn limit_except(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let methods = Methods::parse((1..=call.count()).map(|i| call.bytes(i))).map_err(|message| call.error(message))?;
    let limited = inner(level, Level { pattern: level.pattern.clone(), ..Level::default() }, call)?;
    level.limit_except = Some((methods, Box::new(limited)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        let parse = |words: &[&str]| Methods::parse(words.iter().map(|word| word.as_bytes()));
        let methods = parse(&["get", "PUT"]).unwrap();
        for (method, limited) in [("GET", false), ("HEAD", false), ("PUT", false), ("POST", true), ("get", true)] {
            assert_eq!(methods.limits(method.as_bytes()), limited, "{method}");
        }
        assert!(parse(&["PUT"]).unwrap().limits(b"HEAD"));
        assert_eq!(parse(&["TRACE"]).unwrap_err(), "invalid method \"TRACE\"");
    }
}
