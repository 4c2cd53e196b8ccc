//! What takes the place of what a server says in a `Location` or a `Set-Cookie`: `proxy_redirect`, `proxy_cookie_domain`, `proxy_cookie_path`.

use std::rc::Rc;

use crate::http::regex::{Failed, Regex};
use crate::http::variables::{Text, Values};

/// What a value is held against.
#[derive(Clone, Debug)]
pub(in crate::http) enum Pattern {
    /// What the value begins with; only that is replaced.
    Start(Text),
    /// A domain, of either case, with or without a dot before it.
    Domain(Text),
    /// All of the value is replaced.
    Regex(Rc<Regex>),
}

/// A pattern and what stands in the place of what it fits.
#[derive(Clone, Debug)]
pub(in crate::http) struct Replace {
    pub pattern: Pattern,
    pub with: Text,
}

impl Replace {
    fn apply(&self, value: &[u8], values: &Values<'_>) -> Result<Option<Vec<u8>>, Failed> {
        let kept = match &self.pattern {
            Pattern::Start(start) => match value.strip_prefix(&values.fill(start)[..]) {
                Some(rest) => (&b""[..], rest),
                None => return Ok(None),
            },
            Pattern::Domain(domain) => {
                let dot = usize::from(value.starts_with(b"."));
                if !value[dot..].eq_ignore_ascii_case(&values.fill(domain)) {
                    return Ok(None);
                }
                (&value[..dot], &b""[..])
            }
            Pattern::Regex(regex) => match regex.matches(value, &values.request.memory)? {
                true => (&b""[..], &b""[..]),
                false => return Ok(None),
            },
        };
        Ok(Some([kept.0, &values.fill(&self.with), kept.1].concat()))
    }
}

/// What the first rule that fits makes of a value; `None`: none does.
///
/// # Errors
/// A regular expression came to no decision.
pub(super) fn first(rules: &[Replace], value: &[u8], values: &Values<'_>) -> Result<Option<Vec<u8>>, Failed> {
    for rule in rules {
        if let Some(changed) = rule.apply(value, values)? {
            return Ok(Some(changed));
        }
    }
    Ok(None)
}
