//! Text with variables: `"hello $remote_addr"` cut into literals and names, once, at load.

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes as they stand.
    Literal(Vec<u8>),
    /// The name of a variable without `$` and braces.
    Variable(String),
}

/// What is said of a `$` without a name behind it.
pub const NO_NAME: &str = "invalid variable name";

/// Cuts `text` at `$name` and `${name}`; names are letters, digits and `_`, or one digit from 1 to 9 (a capture), as in nginx. The error is nginx's message
/// (`invalid variable name`, `the closing bracket in "x" variable is missing`).
pub fn parse(text: &[u8]) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix(b"$") else {
            let (literal, after) = rest.split_at(memchr::memchr(b'$', rest).unwrap_or(rest.len()));
            parts.push(Part::Literal(literal.to_vec()));
            rest = after;
            continue;
        };
        let bracketed = after.strip_prefix(b"{");
        let after = bracketed.unwrap_or(after);
        let capture = bracketed.is_none() && matches!(after.first(), Some(b'1'..=b'9'));
        let length = match capture {
            true => 1,
            false => after.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count(),
        };
        let name = String::from_utf8_lossy(&after[..length]).into_owned();
        rest = &after[length..];
        if bracketed.is_some() && !after.is_empty() {
            rest = rest
                .strip_prefix(b"}")
                .ok_or_else(|| format!("the closing bracket in \"{name}\" variable is missing"))?;
        }
        if name.is_empty() {
            return Err(NO_NAME.into());
        }
        parts.push(Part::Variable(name));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn literal(text: &str) -> Part {
        Part::Literal(text.into())
    }

    fn variable(name: &str) -> Part {
        Part::Variable(name.into())
    }

    #[test]
    fn literals_and_variables() {
        assert_eq!(parse(b""), Ok(vec![]));
        assert_eq!(parse(b"plain { } text"), Ok(vec![literal("plain { } text")]));
        assert_eq!(parse(b"$a_1"), Ok(vec![variable("a_1")]));
        assert_eq!(parse(b"$a$b"), Ok(vec![variable("a"), variable("b")]));
        assert_eq!(parse(b"$10a$2"), Ok(vec![variable("1"), literal("0a"), variable("2")]));
        assert_eq!(parse(b"hello $remote_addr!"), Ok(vec![literal("hello "), variable("remote_addr"), literal("!")]));
        assert_eq!(parse(b"${pid}s}"), Ok(vec![variable("pid"), literal("s}")]));
        assert_eq!(parse(b"\xff$x-y"), Ok(vec![Part::Literal(vec![0xff]), variable("x"), literal("-y")]));
    }

    #[test]
    fn faults_in_the_words_of_nginx() {
        for text in ["$", "a$", "$-", "$$a", "${", "${}", "$ a", "$\u{e9}"] {
            assert_eq!(parse(text.as_bytes()), Err("invalid variable name".into()), "{text}");
        }
        assert_eq!(parse(b"${abc"), Err("the closing bracket in \"abc\" variable is missing".into()));
        assert_eq!(parse(b"${a-b}"), Err("the closing bracket in \"a\" variable is missing".into()));
        assert_eq!(parse(b"${-}"), Err("the closing bracket in \"\" variable is missing".into()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_or_refused(text in any::<Vec<u8>>()) {
            let _ = parse(&text);
        }

        #[test]
        fn printed_templates_read_back(pieces in prop::collection::vec(("[^$]{1,9}", "[a-zA-Z0_][a-zA-Z0-9_]{0,8}"), 0..6)) {
            let text: String = pieces.iter().map(|(text, name)| format!("{text}${{{name}}}")).collect();
            let parts: Vec<Part> = pieces.iter().flat_map(|(text, name)| [literal(text), variable(name)]).collect();
            prop_assert_eq!(parse(text.as_bytes()), Ok(parts));
        }
    }
}
