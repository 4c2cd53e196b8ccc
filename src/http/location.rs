//! `location`: which one takes a path.

use std::rc::Rc;

use super::Location;

/// What a location is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `= path`
    Exact(Vec<u8>),
    /// `path` or `^~ path`; the two differ only where regular expressions compete.
    Prefix(Vec<u8>),
}

impl Pattern {
    /// Reads the arguments of `location`, of which the modifier may stand at the path without a blank.
    ///
    /// # Errors
    /// The message for the operator.
    pub(super) fn parse(words: &[&[u8]]) -> Result<Self, String> {
        let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        let (modifier, path) = match *words {
            [modifier, path] => (modifier, path),
            [word] => {
                let length = [&b"="[..], b"^~", b"~*", b"~"].into_iter().find(|modifier| word.starts_with(modifier));
                word.split_at(length.map_or(0, <[u8]>::len))
            }
            _ => (&b""[..], &b""[..]),
        };
        match modifier {
            b"~" | b"~*" => {
                Err(format!("the regular expression \"{}\" in \"location\" is not offered by weir yet", text(path)))
            }
            b"=" => Ok(Pattern::Exact(path.to_vec())),
            b"" if path.starts_with(b"@") => {
                Err(format!("the named location \"{}\" is not offered by weir yet", text(path)))
            }
            b"" | b"^~" => Ok(Pattern::Prefix(path.to_vec())),
            other => Err(format!("invalid location modifier \"{}\"", text(other))),
        }
    }

    /// The path as written.
    pub(super) fn path(&self) -> &[u8] {
        let (Pattern::Exact(path) | Pattern::Prefix(path)) = self;
        path
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
    entries: Vec<Entry>,
}

impl Locations {
    pub(super) fn add(&mut self, pattern: Pattern, location: Rc<Location>, nested: Locations) {
        let key = |pattern: &Pattern| (pattern.path().len(), matches!(pattern, Pattern::Exact(_)));
        let at = self.entries.partition_point(|entry| key(&entry.pattern) >= key(&pattern));
        self.entries.insert(at, Entry { pattern, location, nested });
    }

    /// The location that takes `path`: the exact one, else the longest that begins it, the innermost where they are nested.
    pub(super) fn find(&self, path: &[u8]) -> Option<&Rc<Location>> {
        let entry = self.entries.iter().find(|entry| match &entry.pattern {
            Pattern::Exact(exact) => exact == path,
            Pattern::Prefix(prefix) => path.starts_with(prefix),
        })?;
        Some(entry.nested.find(path).unwrap_or(&entry.location))
    }
}

/// Whether a location may stand inside of another.
///
/// # Errors
/// nginx's message.
pub(super) fn nests(inner: &Pattern, outer: &Pattern) -> Result<(), String> {
    let (inside, outside) = (String::from_utf8_lossy(inner.path()), String::from_utf8_lossy(outer.path()));
    match outer {
        Pattern::Exact(_) => Err(format!("location \"{inside}\" cannot be inside the exact location \"{outside}\"")),
        Pattern::Prefix(prefix) if !inner.path().starts_with(prefix) => {
            Err(format!("location \"{inside}\" is outside location \"{outside}\""))
        }
        Pattern::Prefix(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Pattern, String> {
        Pattern::parse(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn patterns() {
        let prefix = |path: &str| Ok(Pattern::Prefix(path.into()));
        let exact = |path: &str| Ok(Pattern::Exact(path.into()));
        assert_eq!(parse(&["/a"]), prefix("/a"));
        assert_eq!(parse(&["^~", "/a"]), prefix("/a"));
        assert_eq!(parse(&["^~/a"]), prefix("/a"));
        assert_eq!(parse(&["=", "/a"]), exact("/a"));
        assert_eq!(parse(&["=/a"]), exact("/a"));
        assert_eq!(parse(&["!", "/a"]).unwrap_err(), "invalid location modifier \"!\"");
        for refused in [&["~", "x"][..], &["~*", "x"], &["~x"], &["@x"]] {
            assert!(parse(refused).unwrap_err().ends_with("is not offered by weir yet"), "{refused:?}");
        }
    }

    #[test]
    fn the_exact_then_the_longest_then_the_innermost() {
        let location = |index: &str| {
            let level = super::super::level::Level { index: Some(vec![index.into()]), ..Default::default() };
            Rc::new(super::super::level::location_of(&level))
        };
        let build = |patterns: Vec<(Pattern, &str, Locations)>| {
            let mut locations = Locations::default();
            for (pattern, name, nested) in patterns {
                locations.add(pattern, location(name), nested);
            }
            locations
        };
        let prefix = |path: &str| Pattern::Prefix(path.into());
        let exact = |path: &str| Pattern::Exact(path.into());
        let inner = build(vec![(prefix("/a/b/"), "inner", Locations::default())]);
        let locations = build(vec![
            (prefix("/"), "root", Locations::default()),
            (prefix("/a"), "a", inner),
            (exact("/a"), "exact a", Locations::default()),
            (prefix("/abc"), "abc", Locations::default()),
            (exact("/"), "exact root", Locations::default()),
        ]);
        for (path, name) in [
            ("/", "exact root"),
            ("/x", "root"),
            ("/a", "exact a"),
            ("/ab", "a"),
            ("/a/b", "a"),
            ("/a/b/c", "inner"),
            ("/abcd", "abc"),
        ] {
            assert_eq!(locations.find(path.as_bytes()).unwrap().index, [name.as_bytes()], "{path}");
        }
        assert!(build(vec![(prefix("/a"), "a", Locations::default())]).find(b"/b").is_none());
    }

    #[test]
    fn nesting() {
        let prefix = |path: &str| Pattern::Prefix(path.into());
        let exact = |path: &str| Pattern::Exact(path.into());
        assert_eq!(nests(&prefix("/a/b"), &prefix("/a")), Ok(()));
        assert_eq!(nests(&exact("/a"), &prefix("/a")), Ok(()));
        assert_eq!(nests(&prefix("/b"), &prefix("/a")), Err("location \"/b\" is outside location \"/a\"".into()));
        let inside_exact = "location \"/a/b\" cannot be inside the exact location \"/a\"";
        assert_eq!(nests(&prefix("/a/b"), &exact("/a")), Err(inside_exact.into()));
    }
}
