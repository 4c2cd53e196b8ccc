//! `server_name`: which server of an address a request is for.

use std::cell::RefCell;
use std::rc::Rc;

use super::Server;
use super::definitions::Registry;
use super::memory::Memory;
use super::regex::{Failed, Regex};
use crate::net::names;

/// One word of `server_name`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    /// As written, for logs and `$server_name`; `.x` without its dot.
    pub text: String,
    meaning: Meaning,
}

#[derive(Clone, Debug, PartialEq)]
enum Meaning {
    Plain(names::Name),
    Regex(Rc<Regex>),
    /// None that hosts can have, which is refused where it matters: where there are several servers to choose from.
    Nothing,
}

impl Name {
    /// The name of a server that has none: that of requests without a host.
    pub(super) fn nameless() -> Self {
        Name { text: String::new(), meaning: Meaning::Plain(names::Name::Exact(Vec::new())) }
    }

    /// Reads one word.
    ///
    /// # Errors
    /// The message for the operator.
    pub(super) fn parse(word: &str, registry: &mut Registry) -> Result<Self, String> {
        if let Some(expression) = word.strip_prefix('~') {
            if expression.is_empty() {
                return Err(format!("empty regex in server name \"{word}\""));
            }
            // Hosts are compared in lower case, so an expression with capitals could not match otherwise.
            let caseless = expression.bytes().any(|byte| byte.is_ascii_uppercase());
            let regex = registry.regex(expression.as_bytes(), caseless)?;
            return Ok(Name { text: word.to_owned(), meaning: Meaning::Regex(regex) });
        }
        let text = if word == "$hostname" { crate::log::hostname() } else { word.to_owned() };
        names::Name::check(&text)?;
        let meaning = names::Name::read(text.as_bytes()).map_or(Meaning::Nothing, Meaning::Plain);
        let text = match meaning {
            Meaning::Plain(names::Name::Domain(_)) => text[1..].to_owned(),
            _ => text,
        };
        Ok(Name { text, meaning })
    }
}

/// The servers of one address.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Gets the requests that no name takes.
    pub default: Rc<Server>,
    others: names::Names<Rc<Server>>,
    /// In the order of the file.
    regexes: Vec<(Rc<Regex>, Rc<Server>)>,
}

/// Why a name stays without its server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is another server's already.
    Taken,
    /// It is none that hosts can have.
    Invalid,
}

impl Names {
    pub(super) fn new(default: Rc<Server>) -> Self {
        Names { default, others: names::Names::default(), regexes: Vec::new() }
    }

    /// Adds a name of a server; the first server of a name keeps it.
    ///
    /// # Errors
    /// Another server has it, or nobody can.
    pub(super) fn add(&mut self, name: &Name, server: &Rc<Server>) -> Result<(), Refused> {
        match &name.meaning {
            Meaning::Plain(plain) if self.others.add(plain, server) => Ok(()),
            Meaning::Plain(_) => Err(Refused::Taken),
            Meaning::Nothing => Err(Refused::Invalid),
            Meaning::Regex(regex) => {
                self.regexes.push((regex.clone(), server.clone()));
                Ok(())
            }
        }
    }

    /// The server for a host in lower case, empty where the request names none.
    ///
    /// # Errors
    /// A regular expression came to no decision.
    pub(super) fn find(&self, host: &[u8], memory: &RefCell<Memory>) -> Result<&Rc<Server>, Failed> {
        Ok(self.search(host, memory)?.unwrap_or(&self.default))
    }

    /// The server that has a name for the host; an expression that comes to no decision has none.
    pub(super) fn named(&self, host: &[u8]) -> Option<&Rc<Server>> {
        self.search(host, &RefCell::default()).ok().flatten()
    }

    fn search(&self, host: &[u8], memory: &RefCell<Memory>) -> Result<Option<&Rc<Server>>, Failed> {
        if let Some(server) = self.others.find(host) {
            return Ok(Some(server));
        }
        if !host.is_empty() {
            for (regex, server) in &self.regexes {
                if regex.matches(host, memory)? {
                    return Ok(Some(server));
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(word: &str) -> Result<Name, String> {
        Name::parse(word, &mut Registry::default())
    }

    #[test]
    fn exact_then_longest_tail_then_longest_head_then_default() {
        let server = |name: &str| Rc::new(super::super::level::server_of(name));
        let mut names = Names::new(server("default"));
        for name in ["a.org", "*.org", "~^(?<n>.)\\.re$", "~^x", "*.b.org", "www.*", "www.c.*", ".d.net", "e.F", ""] {
            let server = server(if name.is_empty() { "none" } else { name });
            names.add(&parse(name).unwrap(), &server).unwrap();
        }
        assert_eq!(names.add(&parse("A.org").unwrap(), &server("x")), Err(Refused::Taken));
        for (host, name) in [
            ("a.org", "a.org"),
            ("x.org", "*.org"),
            ("x.a.org", "*.org"),
            ("x.b.org", "*.b.org"),
            ("b.org", "*.org"),
            ("www.org", "*.org"),
            ("www.x", "www.*"),
            ("www.c.x", "www.c.*"),
            ("d.net", "d.net"),
            ("x.y.d.net", "d.net"),
            ("xd.net", "~^x"),
            ("x.re", "~^(?<n>.)\\.re$"),
            ("zd.net", "default"),
            ("e.f", "e.F"),
            ("", "none"),
            ("org", "default"),
            (".org", "default"),
        ] {
            let memory = RefCell::default();
            assert_eq!(names.find(host.as_bytes(), &memory).unwrap().name, name, "{host}");
        }
    }

    #[test]
    fn faulty_names() {
        for name in ["*a", "*", ".", "*."] {
            assert_eq!(parse(name), Err(format!("server name \"{name}\" is invalid")));
        }
        assert_eq!(parse("~"), Err("empty regex in server name \"~\"".into()));
        assert!(parse("~(").unwrap_err().starts_with("pcre2_compile() failed: "));
        assert_eq!(parse(".a.b").unwrap().text, "a.b");
    }
}
