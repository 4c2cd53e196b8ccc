//! `server_name`: which server of an address a request is for.

use std::collections::HashMap;
use std::rc::Rc;

use super::Server;

/// One word of `server_name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// As written, for logs and `$server_name`; `.x` without its dot.
    pub text: String,
    form: Form,
}

/// Names are kept in lower case, those with a star without it but with the dot beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Exact(Vec<u8>),
    /// `*.x` as `.x`
    Tail(Vec<u8>),
    /// `.x`: `x` and all below it.
    Domain(Vec<u8>),
    /// `x.*` as `x.`
    Head(Vec<u8>),
}

impl Name {
    /// The name of a server that has none: that of requests without a host.
    pub(super) fn nameless() -> Self {
        Name { text: String::new(), form: Form::Exact(Vec::new()) }
    }

    /// Reads one word.
    ///
    /// # Errors
    /// The message for the operator.
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        if word.starts_with('~') {
            return Err(format!("the regular expression \"{word}\" in \"server_name\" is not offered by weir yet"));
        }
        let lower = match word {
            "$hostname" => crate::log::hostname().into_bytes(),
            _ => word.to_ascii_lowercase().into_bytes(),
        };
        let form = match lower.as_slice() {
            [b'*', tail @ ..] if tail.len() > 1 && tail[0] == b'.' => Form::Tail(tail.to_vec()),
            [head @ .., b'*'] if head.len() > 1 && head.ends_with(b".") => Form::Head(head.to_vec()),
            [b'*', ..] | [.., b'*'] | [b'.'] => return Err(format!("server name \"{word}\" is invalid")),
            [b'.', ..] => Form::Domain(lower),
            _ => Form::Exact(lower),
        };
        let text = match form {
            Form::Domain(_) => word[1..].to_owned(),
            _ if word == "$hostname" => crate::log::hostname(),
            _ => word.to_owned(),
        };
        Ok(Name { text, form })
    }
}

/// The servers of one address.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Gets the requests that no name takes.
    pub default: Rc<Server>,
    exact: HashMap<Vec<u8>, Rc<Server>>,
    /// By what the name ends with.
    tails: HashMap<Vec<u8>, Rc<Server>>,
    /// By what the name begins with.
    heads: HashMap<Vec<u8>, Rc<Server>>,
}

/// The name is another server's already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict;

impl Names {
    pub(super) fn new(default: Rc<Server>) -> Self {
        Names { default, exact: HashMap::new(), tails: HashMap::new(), heads: HashMap::new() }
    }

    /// Adds a name of a server; the first server of a name keeps it.
    ///
    /// # Errors
    /// Another server has it.
    pub(super) fn add(&mut self, name: &Name, server: &Rc<Server>) -> Result<(), Conflict> {
        let put = |map: &mut HashMap<Vec<u8>, Rc<Server>>, key: &[u8]| match map.get(key) {
            Some(_) => Err(Conflict),
            None => {
                map.insert(key.to_vec(), server.clone());
                Ok(())
            }
        };
        match &name.form {
            Form::Exact(exact) => put(&mut self.exact, exact),
            Form::Tail(tail) => put(&mut self.tails, tail),
            Form::Head(head) => put(&mut self.heads, head),
            Form::Domain(domain) => {
                let exact = put(&mut self.exact, &domain[1..]);
                put(&mut self.tails, domain).and(exact)
            }
        }
    }

    /// The server for a host in lower case, empty where the request names none: the exact name, else the longest `*.x`, else the
    /// longest `x.*`, else the default.
    pub(super) fn find(&self, host: &[u8]) -> &Rc<Server> {
        if let Some(server) = self.exact.get(host) {
            return server;
        }
        let dots = || (0..host.len()).filter(|at| host[*at] == b'.');
        if !self.tails.is_empty()
            && let Some(server) = dots().filter(|at| *at > 0).find_map(|at| self.tails.get(&host[at..]))
        {
            return server;
        }
        if !self.heads.is_empty()
            && let Some(server) = dots().rev().find_map(|at| self.heads.get(&host[..=at]))
        {
            return server;
        }
        &self.default
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
