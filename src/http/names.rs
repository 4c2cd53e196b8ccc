//! `server_name`: which server of an address a request is for.

use std::rc::Rc;

use super::Server;
use crate::net::names;

/// One word of `server_name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// As written, for logs and `$server_name`; `.x` without its dot.
    pub text: String,
    meaning: names::Name,
}

impl Name {
    /// The name of a server that has none: that of requests without a host.
    pub(super) fn nameless() -> Self {
        Name { text: String::new(), meaning: names::Name::Exact(Vec::new()) }
    }

    /// Reads one word.
    ///
    /// # Errors
    /// The message for the operator.
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        let text = if word == "$hostname" { crate::log::hostname() } else { word.to_owned() };
        let meaning = names::Name::parse(&text)?;
        let text = match meaning {
            names::Name::Domain(_) => text[1..].to_owned(),
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
}

/// The name is another server's already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict;

impl Names {
    pub(super) fn new(default: Rc<Server>) -> Self {
        Names { default, others: names::Names::default() }
    }

    /// Adds a name of a server; the first server of a name keeps it.
    ///
    /// # Errors
    /// Another server has it.
    pub(super) fn add(&mut self, name: &Name, server: &Rc<Server>) -> Result<(), Conflict> {
        if self.others.add(&name.meaning, server) { Ok(()) } else { Err(Conflict) }
    }

    /// The server for a host in lower case, empty where the request names none.
    pub(super) fn find(&self, host: &[u8]) -> &Rc<Server> {
        self.named(host).unwrap_or(&self.default)
    }

    /// The server that has a name for the host.
    pub(super) fn named(&self, host: &[u8]) -> Option<&Rc<Server>> {
        self.others.find(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_then_longest_tail_then_longest_head_then_default() {
        let server = |name: &str| Rc::new(super::super::level::server_of(name));
        let mut names = Names::new(server("default"));
        for name in ["a.org", "*.org", "*.b.org", "www.*", "www.c.*", ".d.net", "e.F", ""] {
            let server = server(if name.is_empty() { "none" } else { name });
            names.add(&Name::parse(name).unwrap(), &server).unwrap();
        }
        assert_eq!(names.add(&Name::parse("A.org").unwrap(), &server("x")), Err(Conflict));
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
            ("xd.net", "default"),
            ("e.f", "e.F"),
            ("", "none"),
            ("org", "default"),
            (".org", "default"),
        ] {
            assert_eq!(names.find(host.as_bytes()).name, name, "{host}");
        }
    }

    #[test]
    fn faulty_names() {
        for name in ["*a", "*", "a*", ".", "*.", ".*"] {
            assert_eq!(Name::parse(name), Err(format!("server name \"{name}\" is invalid")));
        }
        assert!(Name::parse("~^a$").unwrap_err().contains("not offered"));
        assert_eq!(Name::parse(".a.b").unwrap().text, "a.b");
    }
}
