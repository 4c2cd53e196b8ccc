//! `server_name`: which of the servers of one address a host's name means.

use std::collections::HashMap;

/// A name that a server has. Names are kept in lower case, those with a star without it but with the dot beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The host's whole name.
    Exact(Vec<u8>),
    /// `*.x`, as `.x`.
    Tail(Vec<u8>),
    /// `.x`: `x` and all below it.
    Domain(Vec<u8>),
    /// `x.*`, as `x.`.
    Head(Vec<u8>),
}

impl Name {
    /// Reads a word of the configuration.
    ///
    /// # Errors
    /// The message for the operator.
    pub fn parse(word: &str) -> Result<Self, String> {
        if word.starts_with('~') {
            return Err(format!("the regular expression \"{word}\" in \"server_name\" is not offered by weir yet"));
        }
        Self::check(word)?;
        let invalid = || format!("server name \"{word}\" is invalid");
        Self::read(word.as_bytes()).filter(|name| !name.has_star()).ok_or_else(invalid)
    }

    /// What is looked at of a word before it is known what it is compared with.
    ///
    /// # Errors
    /// nginx's message.
    pub fn check(word: &str) -> Result<(), String> {
        let odd_star = word.starts_with('*') && (word.len() < 3 || !word.starts_with("*."));
        if odd_star || word == "." { Err(format!("server name \"{word}\" is invalid")) } else { Ok(()) }
    }

    /// The name that a word is; `None` where it is none, by nginx's rules.
    pub fn read(word: &[u8]) -> Option<Self> {
        let name = word.to_ascii_lowercase();
        let stars = name.iter().filter(|byte| **byte == b'*').count();
        if stars > 1 || name.contains(&0) || name.windows(2).any(|two| two == b"..") {
            return None;
        }
        match name.as_slice() {
            [b'.', _, ..] => Some(Name::Domain(name)),
            [b'*', tail @ ..] if tail.starts_with(b".") && tail.len() > 1 => Some(Name::Tail(tail.to_vec())),
            [head @ .., b'*'] if head.ends_with(b".") && head.len() > 1 => Some(Name::Head(head.to_vec())),
            _ if stars > 0 => None,
            _ => Some(Name::Exact(name)),
        }
    }

    /// Whether it has a star as a byte like any other.
    fn has_star(&self) -> bool {
        matches!(self, Name::Domain(domain) if domain.contains(&b'*'))
    }
}

/// Servers by their names.
#[derive(Clone, Debug)]
pub struct Names<T> {
    exact: HashMap<Vec<u8>, T>,
    /// By what the host's name ends with.
    tails: HashMap<Vec<u8>, T>,
    /// By what it begins with.
    heads: HashMap<Vec<u8>, T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Names { exact: HashMap::new(), tails: HashMap::new(), heads: HashMap::new() }
    }
}

impl<T: Clone> Names<T> {
    /// Gives a server a name. The first server of a name keeps it: false when it is another's already.
    pub fn add(&mut self, name: &Name, server: &T) -> bool {
        let put = |names: &mut HashMap<Vec<u8>, T>, name: &[u8]| {
            let free = !names.contains_key(name);
            if free {
                names.insert(name.to_vec(), server.clone());
            }
            free
        };
        match name {
            Name::Exact(exact) => put(&mut self.exact, exact),
            Name::Tail(tail) => put(&mut self.tails, tail),
            Name::Head(head) => put(&mut self.heads, head),
            Name::Domain(domain) => {
                let below = put(&mut self.tails, domain);
                put(&mut self.exact, &domain[1..]) && below
            }
        }
    }

    /// Whether there is any name.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.tails.is_empty() && self.heads.is_empty()
    }

    /// The server that has the name of `host`, which is in lower case: by the whole name, else by the longest `*.x`, else by the longest
    /// `x.*`, as in nginx.
    pub fn find(&self, host: &[u8]) -> Option<&T> {
        // Nobody asks for parts of a host where there are none.
        let dots = |names: &HashMap<_, _>| {
            let host = if names.is_empty() { &[] } else { host };
            (0..host.len()).filter(|at| host[*at] == b'.')
        };
        self.exact
            .get(host)
            .or_else(|| dots(&self.tails).filter(|at| *at > 0).find_map(|at| self.tails.get(&host[at..])))
            .or_else(|| dots(&self.heads).rev().find_map(|at| self.heads.get(&host[..=at])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_name_then_the_longest_tail_then_the_longest_head() {
        let mut names = Names::default();
        assert!(names.is_empty());
        for name in ["a.org", "*.org", "*.b.org", "www.*", "www.c.*", ".d.net", "e.F", "[::1]", "_"] {
            assert!(names.add(&Name::parse(name).unwrap(), &name), "{name}");
        }
        assert!(!names.add(&Name::parse("A.org").unwrap(), &"another"));
        for (host, name) in [
            ("a.org", Some("a.org")),
            ("x.org", Some("*.org")),
            ("x.a.org", Some("*.org")),
            ("x.b.org", Some("*.b.org")),
            ("b.org", Some("*.org")),
            ("www.org", Some("*.org")),
            ("www.x", Some("www.*")),
            ("www.c.x", Some("www.c.*")),
            ("d.net", Some(".d.net")),
            ("x.y.d.net", Some(".d.net")),
            ("xd.net", None),
            ("e.f", Some("e.F")),
            ("[::1]", Some("[::1]")),
            ("", None),
            ("org", None),
            (".org", None),
        ] {
            assert_eq!(names.find(host.as_bytes()).copied(), name, "{host}");
        }
    }

    #[test]
    fn faulty_names() {
        for name in ["*a", "*", "a*", ".", "*.", ".*", "a.*.b", "*.a.*", ".a*", "a..b"] {
            assert_eq!(Name::parse(name), Err(format!("server name \"{name}\" is invalid")));
        }
        assert!(Name::parse("~^a$").unwrap_err().contains("not offered"));
    }
}
