//! `location`: which one takes a path.

use std::cell::RefCell;
use std::rc::Rc;

use super::Location;
use super::definitions::Registry;
use super::memory::Memory;
use super::regex::{Failed, Regex};

/// What a location is for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pattern {
    /// `= path`
    Exact(Vec<u8>),
    /// `path`
    Prefix(Vec<u8>),
    /// `^~ path`: where it is the longest prefix, no regular expression is asked.
    Final(Vec<u8>),
    /// `~ expression`, `~* expression`
    Regex(Rc<Regex>),
    /// `@name`, with its `@`: what only redirects of ours lead to.
    Named(Vec<u8>),
}

impl Pattern {
    /// Reads the arguments of `location`, of which the modifier may stand at the path without a blank.
    ///
    /// # Errors
    /// The message for the operator.
    pub(super) fn parse(words: &[&[u8]], registry: &mut Registry) -> Result<Self, String> {
        let (modifier, path) = match *words {
            [modifier, path] => (modifier, path),
            [word] => {
                let length = [&b"="[..], b"^~", b"~*", b"~"].into_iter().find(|modifier| word.starts_with(modifier));
                word.split_at(length.map_or(0, <[u8]>::len))
            }
            _ => (&b""[..], &b""[..]),
        };
        match modifier {
            b"~" | b"~*" => Ok(Pattern::Regex(registry.regex(path, modifier == b"~*")?)),
            b"=" => Ok(Pattern::Exact(path.to_vec())),
            b"^~" => Ok(Pattern::Final(path.to_vec())),
            b"" if path.starts_with(b"@") => Ok(Pattern::Named(path.to_vec())),
            b"" => Ok(Pattern::Prefix(path.to_vec())),
            other => Err(format!("invalid location modifier \"{}\"", String::from_utf8_lossy(other))),
        }
    }

    /// The path, expression or name as written.
    pub(super) fn text(&self) -> &[u8] {
        match self {
            Pattern::Exact(text) | Pattern::Prefix(text) | Pattern::Final(text) | Pattern::Named(text) => text,
            Pattern::Regex(regex) => regex.text().as_bytes(),
        }
    }

    /// Whether two cannot stand on one level.
    pub(super) fn collides(&self, other: &Pattern) -> bool {
        let kind = |pattern: &Pattern| match pattern {
            Pattern::Exact(_) => Some(0),
            Pattern::Prefix(_) | Pattern::Final(_) => Some(1),
            Pattern::Named(_) => Some(2),
            Pattern::Regex(_) => None,
        };
        kind(self).is_some() && kind(self) == kind(other) && self.text() == other.text()
    }
}

#[derive(Debug)]
struct Entry {
    pattern: Pattern,
    location: Rc<Location>,
    nested: Locations,
}

/// The locations of a server, or those inside of a location.
#[derive(Debug, Default)]
pub(super) struct Locations {
    /// The longest paths first, and of equal ones the exact one, so that the first that fits is the right one.
    paths: Vec<Entry>,
    /// In the order of the file.
    regexes: Vec<Entry>,
    named: Vec<(Vec<u8>, Rc<Location>)>,
}

/// What takes a path, and whether that is settled: no regular expression further out is asked.
type Taken<'a> = (&'a Rc<Location>, bool);

impl Locations {
    pub(super) fn add(&mut self, pattern: Pattern, location: Rc<Location>, nested: Locations) {
        if let Pattern::Named(name) = pattern {
            self.named.push((name, location));
            return;
        }
        let at = match &pattern {
            Pattern::Regex(_) => {
                self.regexes.push(Entry { pattern, location, nested });
                return;
            }
            path => {
                let key = |pattern: &Pattern| (pattern.text().len(), matches!(pattern, Pattern::Exact(_)));
                self.paths.partition_point(|entry| key(&entry.pattern) >= key(path))
            }
        };
        self.paths.insert(at, Entry { pattern, location, nested });
    }

    /// The location that takes `path`: the exact one, else the first regular expression that matches, unless the longest prefix forbids that,
    /// else the longest prefix; and in it the innermost, by the same rules.
    ///
    /// # Errors
    /// A regular expression came to no decision.
    pub(super) fn find(&self, path: &[u8], memory: &RefCell<Memory>) -> Result<Option<&Rc<Location>>, Failed> {
        Ok(self.search(path, memory)?.map(|(location, _)| location))
    }

    fn search(&self, path: &[u8], memory: &RefCell<Memory>) -> Result<Option<Taken<'_>>, Failed> {
        let takes = |entry: &&Entry| match &entry.pattern {
            Pattern::Exact(exact) => exact == path,
            prefix => path.starts_with(prefix.text()),
        };
        let entry = self.paths.iter().find(takes);
        if entry.is_none_or(|entry| entry.pattern.text().len() < path.len())
            && let Some(entry) = self.paths.iter().find(|entry| is_slashed(&entry.location, path))
        {
            return Ok(Some((&entry.location, true)));
        }
        let mut taken = None;
        if let Some(entry) = entry {
            let found = match &entry.pattern {
                Pattern::Exact(_) => (&entry.location, true),
                _ => entry.nested.search(path, memory)?.unwrap_or((&entry.location, false)),
            };
            if found.1 || matches!(entry.pattern, Pattern::Final(_)) {
                return Ok(Some(found));
            }
            taken = Some(found);
        }
        for entry in &self.regexes {
            let Pattern::Regex(regex) = &entry.pattern else { continue };
            if regex.matches(path, memory)? {
                let inner = entry.nested.search(path, memory)?;
                return Ok(Some((inner.map_or(&entry.location, |(location, _)| location), true)));
            }
        }
        Ok(taken)
    }

    /// The location of this name, which begins with `@`.
    pub(super) fn named(&self, name: &[u8]) -> Option<&Rc<Location>> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, location)| location)
    }
}

/// Whether a path is that of a location with a server but for the `/` at its end.
pub(super) fn is_slashed(location: &Location, path: &[u8]) -> bool {
    location.slashed.as_deref().and_then(|slashed| slashed.strip_suffix(b"/")) == Some(path)
}

/// Whether a location may stand inside of another.
///
/// # Errors
/// nginx's message.
pub(super) fn nests(inner: &Pattern, outer: &Pattern) -> Result<(), String> {
    let (inside, outside) = (String::from_utf8_lossy(inner.text()), String::from_utf8_lossy(outer.text()));
    match (outer, inner) {
        (Pattern::Exact(_), _) => {
            Err(format!("location \"{inside}\" cannot be inside the exact location \"{outside}\""))
        }
        (Pattern::Named(_), _) => {
            Err(format!("location \"{inside}\" cannot be inside the named location \"{outside}\""))
        }
        (_, Pattern::Named(_)) => Err(format!("named location \"{inside}\" can be on the server level only")),
        (_, Pattern::Regex(_)) => Ok(()),
        _ if !inner.text().starts_with(outer.text()) => {
            Err(format!("location \"{inside}\" is outside location \"{outside}\""))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Pattern, String> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        Pattern::parse(&words, &mut Registry::default())
    }

    #[test]
    fn patterns() {
        let prefix = |path: &str| Ok(Pattern::Prefix(path.into()));
        let exact = |path: &str| Ok(Pattern::Exact(path.into()));
        assert_eq!(parse(&["/a"]), prefix("/a"));
        assert_eq!(parse(&["^~", "/a"]), Ok(Pattern::Final(b"/a".to_vec())));
        assert_eq!(parse(&["^~/a"]), parse(&["^~", "/a"]));
        assert_eq!(parse(&["=", "/a"]), exact("/a"));
        assert_eq!(parse(&["=/a"]), exact("/a"));
        assert_eq!(parse(&["~x"]), parse(&["~", "x"]));
        assert_eq!(parse(&["~*x"]), parse(&["~*", "x"]));
        assert_ne!(parse(&["~*x"]), parse(&["~x"]));
        assert_eq!(parse(&["@x"]), Ok(Pattern::Named(b"@x".to_vec())));
        assert_eq!(parse(&["!", "/a"]).unwrap_err(), "invalid location modifier \"!\"");
        assert!(parse(&["~", "("]).unwrap_err().starts_with("pcre2_compile() failed: "));
    }

    #[test]
    fn what_collides() {
        let collide = |one: &[&str], other: &[&str]| parse(one).unwrap().collides(&parse(other).unwrap());
        assert!(collide(&["/a"], &["^~", "/a"]) && collide(&["=", "/a"], &["=/a"]) && collide(&["@a"], &["@a"]));
        assert!(!collide(&["/a"], &["=", "/a"]) && !collide(&["~", "a"], &["~", "a"]));
    }

    /// Locations that say their own words as their default type.
    fn build(patterns: Vec<(&[&str], Locations)>) -> Locations {
        let mut locations = Locations::default();
        for (words, nested) in patterns {
            let name = words.join(" ").into_bytes();
            let level = super::super::level::Level { default_type: Some(name), ..Default::default() };
            locations.add(parse(words).unwrap(), Rc::new(super::super::level::location_of(&level)), nested);
        }
        locations
    }

    fn found(locations: &Locations, path: &str) -> String {
        let location = locations.find(path.as_bytes(), &RefCell::default()).unwrap();
        location.map_or("none".into(), |location| String::from_utf8(location.default_type.clone()).unwrap())
    }

    #[test]
    fn the_exact_then_the_longest_then_the_innermost() {
        let none = Locations::default;
        let inner = build(vec![(&["/a/b/"], none())]);
        let locations = build(vec![
            (&["/"], none()),
            (&["/a"], inner),
            (&["=", "/a"], none()),
            (&["/abc"], none()),
            (&["=", "/"], none()),
        ]);
        for (path, name) in [
            ("/", "= /"),
            ("/x", "/"),
            ("/a", "= /a"),
            ("/ab", "/a"),
            ("/a/b", "/a"),
            ("/a/b/c", "/a/b/"),
            ("/abcd", "/abc"),
        ] {
            assert_eq!(found(&locations, path), name, "{path}");
        }
        assert_eq!(found(&build(vec![(&["/a"], none())]), "/b"), "none");
    }

    #[test]
    fn regular_expressions_go_before_prefixes_in_the_order_of_the_file() {
        let none = Locations::default;
        let locations = build(vec![
            (&["/"], none()),
            (&["~", "\\.php$"], build(vec![(&["~", "^/in/"], none())])),
            (&["~*", "\\.PHP"], none()),
            (&["^~", "/static/"], none()),
            (&["=", "/exact.php"], none()),
            (&["/nested/"], build(vec![(&["~", "\\.txt$"], none()), (&["^~", "/nested/keep/"], none())])),
            (&["^~", "/closed/"], build(vec![(&["~", "\\.txt$"], none())])),
            (&["@named"], none()),
        ]);
        for (path, name) in [
            ("/x", "/"),
            ("/a.php", "~ \\.php$"),
            ("/in/a.php", "~ ^/in/"),
            ("/a.PhP", "~* \\.PHP"),
            ("/static/a.php", "^~ /static/"),
            ("/exact.php", "= /exact.php"),
            ("/nested/a.txt", "~ \\.txt$"),
            ("/nested/a.php", "~ \\.php$"),
            ("/nested/keep/a.txt", "^~ /nested/keep/"),
            ("/nested/keep/a.php", "~ \\.php$"),
            ("/closed/a.txt", "~ \\.txt$"),
            ("/closed/a.php", "^~ /closed/"),
            ("@named", "none"),
        ] {
            assert_eq!(found(&locations, path), name, "{path}");
        }
        assert!(locations.named(b"@named").is_some() && locations.named(b"@other").is_none());
    }

    #[test]
    fn nesting() {
        let nests = |inner: &[&str], outer: &[&str]| super::nests(&parse(inner).unwrap(), &parse(outer).unwrap());
        assert_eq!(nests(&["/a/b"], &["/a"]), Ok(()));
        assert_eq!(nests(&["=", "/a"], &["^~", "/a"]), Ok(()));
        assert_eq!(nests(&["~", "b"], &["/a"]), Ok(()));
        for (inner, outer, message) in [
            (&["/b"][..], &["/a"][..], "location \"/b\" is outside location \"/a\""),
            (&["/b"], &["~", "/a"], "location \"/b\" is outside location \"/a\""),
            (&["/a/b"], &["=", "/a"], "location \"/a/b\" cannot be inside the exact location \"/a\""),
            (&["/a"], &["@a"], "location \"/a\" cannot be inside the named location \"@a\""),
            (&["@a"], &["/a"], "named location \"@a\" can be on the server level only"),
        ] {
            assert_eq!(nests(inner, outer), Err(message.into()));
        }
    }
}
