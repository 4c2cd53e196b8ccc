//! The cookies that a server sets, as the client gets them: `proxy_cookie_domain`, `proxy_cookie_path`, `proxy_cookie_flags`.

use std::rc::Rc;

use super::replace::{self, Replace};
use crate::http::regex::{Failed, Regex};
use crate::http::variables::{Text, Values};
use crate::log::Level;

/// What is changed in a `Set-Cookie`.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Rules {
    pub domains: Vec<Replace>,
    pub paths: Vec<Replace>,
    /// The first that fits the cookie's name counts.
    pub flags: Vec<Flags>,
}

/// Whose flags are changed.
#[derive(Clone, Debug)]
pub(in crate::http) enum Name {
    /// Of either case.
    Exact(Text),
    Regex(Rc<Regex>),
}

/// One `proxy_cookie_flags`.
#[derive(Clone, Debug)]
pub(in crate::http) struct Flags {
    pub name: Name,
    /// `secure`, `nosecure` and their like; empty ones mean nothing.
    pub words: Vec<Text>,
}

/// What becomes of the attributes that are flags; `None`: what the server says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changes {
    secure: Option<bool>,
    http_only: Option<bool>,
    /// `Some(None)`: there is to be none.
    same_site: Option<Option<&'static str>>,
}

/// `name=value`, or a name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute {
    name: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Attribute {
    fn parse(text: &[u8]) -> Self {
        let blank = |text: &[u8]| {
            let start = text.iter().take_while(|byte| **byte == b' ').count();
            let end = text.iter().rev().take_while(|byte| **byte == b' ').count();
            text.get(start..text.len() - end).unwrap_or_default().to_vec()
        };
        match memchr::memchr(b'=', text) {
            Some(at) => Attribute { name: blank(&text[..at]), value: Some(blank(&text[at + 1..])) },
            None => Attribute { name: blank(text), value: None },
        }
    }

    fn flag(name: &str, value: Option<&str>) -> Self {
        Attribute { name: name.into(), value: value.map(Into::into) }
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

impl Rules {
    /// The value of a `Set-Cookie` after the rules; `None`: as the server has written it.
    ///
    /// # Errors
    /// A regular expression came to no decision.
    pub(super) fn apply(&self, cookie: &[u8], values: &Values<'_>) -> Result<Option<Vec<u8>>, Failed> {
        if self.domains.is_empty() && self.paths.is_empty() && self.flags.is_empty() {
            return Ok(None);
        }
        let mut attributes: Vec<Attribute> = cookie.split(|byte| *byte == b';').map(Attribute::parse).collect();
        if attributes[0].value.is_none() {
            return Ok(None);
        }
        let mut changed = false;
        for attribute in &mut attributes[1..] {
            let rules = match () {
                () if attribute.is("domain") => &self.domains,
                () if attribute.is("path") => &self.paths,
                () => continue,
            };
            if let Some(value) = &mut attribute.value
                && let Some(other) = replace::first(rules, value, values)?
            {
                (*value, changed) = (other, true);
            }
        }
        for flags in &self.flags {
            if flags.name.fits(&attributes[0].name, values)? {
                flags.changes(values).apply(&mut attributes);
                changed = true;
                break;
            }
        }
        let written = attributes.into_iter().map(|attribute| match attribute.value {
            Some(value) => [&attribute.name[..], b"=", &value].concat(),
            None => attribute.name,
        });
        Ok(changed.then(|| written.collect::<Vec<_>>().join(&b"; "[..])))
    }
}

impl Name {
    fn fits(&self, name: &[u8], values: &Values<'_>) -> Result<bool, Failed> {
        match self {
            Name::Exact(text) => Ok(values.fill(text).eq_ignore_ascii_case(name)),
            Name::Regex(regex) => regex.matches(name, &values.request.memory),
        }
    }
}

impl Flags {
    fn changes(&self, values: &Values<'_>) -> Changes {
        let mut changes = Changes::default();
        for word in &self.words {
            let word = values.fill(word);
            if !changes.add(&word) {
                let message = format_args!("invalid proxy_cookie_flags flag \"{}\"", String::from_utf8_lossy(&word));
                values.client.log(
                    Level::Error,
                    None,
                    "reading response header from upstream",
                    Some(values.request),
                    message,
                );
            }
        }
        changes
    }
}

impl Changes {
    /// Adds what a word says, and tells whether it is one.
    fn add(&mut self, word: &[u8]) -> bool {
        match word.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"secure" => self.secure = Some(true),
            b"nosecure" => self.secure = Some(false),
            b"httponly" => self.http_only = Some(true),
            b"nohttponly" => self.http_only = Some(false),
            b"samesite=strict" => self.same_site = Some(Some("Strict")),
            b"samesite=lax" => self.same_site = Some(Some("Lax")),
            b"samesite=none" => self.same_site = Some(Some("None")),
            b"nosamesite" => self.same_site = Some(None),
            _ => return false,
        }
        true
    }

    /// Flags that are there already stay in their places.
    fn apply(self, attributes: &mut Vec<Attribute>) {
        let Changes { mut secure, mut http_only, mut same_site } = self;
        let mut first = true;
        attributes.retain_mut(|attribute| {
            if std::mem::take(&mut first) {
                return true;
            }
            let one = match () {
                () if attribute.is("secure") => &mut secure,
                () if attribute.is("httponly") => &mut http_only,
                () if attribute.is("samesite") => {
                    return match same_site {
                        Some(Some(said)) => {
                            let same = |value: &Vec<u8>| value.eq_ignore_ascii_case(said.as_bytes());
                            if !attribute.value.as_ref().is_some_and(same) {
                                *attribute = Attribute::flag("SameSite", Some(said));
                            }
                            same_site = None;
                            true
                        }
                        Some(None) => false,
                        None => true,
                    };
                }
                () => return true,
            };
            match one {
                Some(true) => {
                    *one = None;
                    true
                }
                Some(false) => false,
                None => true,
            }
        });
        let added = [
            (secure == Some(true)).then(|| Attribute::flag("Secure", None)),
            (http_only == Some(true)).then(|| Attribute::flag("HttpOnly", None)),
            same_site.flatten().map(|said| Attribute::flag("SameSite", Some(said))),
        ];
        attributes.extend(added.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flagged(cookie: &str, words: &[&str]) -> String {
        let mut attributes: Vec<Attribute> =
            cookie.as_bytes().split(|byte| *byte == b';').map(Attribute::parse).collect();
        let mut changes = Changes::default();
        assert!(words.iter().all(|word| changes.add(word.as_bytes())), "{words:?}");
        changes.apply(&mut attributes);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let written = attributes.into_iter().map(|attribute| match attribute.value {
            Some(value) => format!("{}={}", text(attribute.name), text(value)),
            None => text(attribute.name),
        });
        written.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn flags_are_added_changed_and_taken_away() {
        for (cookie, words, wanted) in [
            ("a=b; Path=/", &["secure", "HttpOnly", "samesite=lax"][..], "a=b; Path=/; Secure; HttpOnly; SameSite=Lax"),
            ("a=b;secure;  Path = /", &["secure"], "a=b; secure; Path=/"),
            ("a=b; Secure; HttpOnly; SameSite=None", &["nosecure", "nohttponly", "nosamesite"], "a=b"),
            ("a=b; samesite=STRICT", &["samesite=strict"], "a=b; samesite=STRICT"),
            ("a=b; samesite=none", &["samesite=strict"], "a=b; SameSite=Strict"),
            ("secure=1; x", &["nosecure"], "secure=1; x"),
            ("a=b; Secure", &[""], "a=b; Secure"),
        ] {
            assert_eq!(flagged(cookie, words), wanted, "{cookie} {words:?}");
        }
        assert!(!Changes::default().add(b"samesite"));
    }
}
