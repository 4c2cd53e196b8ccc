//! Regular expressions as nginx has them, with PCRE's meaning, and what their groups capture.

use std::cell::RefCell;
use std::fmt;

use pcre2::bytes::{CaptureLocations, RegexBuilder};

use super::memory::Memory;

/// A compiled expression. Two are equal when they are written alike.
pub(super) struct Regex {
    compiled: pcre2::bytes::Regex,
    caseless: bool,
    /// The groups with names, and the places of the variables that they set.
    named: Vec<(usize, usize)>,
    /// Kept between matches; nothing is in it that outlives one.
    locations: RefCell<CaptureLocations>,
}

/// A match that came to no decision: too much backtracking, no memory.
#[derive(Debug)]
pub(super) struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() && self.caseless == other.caseless
    }
}

impl Regex {
    /// Compiles an expression; `variable` gives the place of the variable that a group's name stands for.
    ///
    /// # Errors
    /// nginx's message.
    pub(super) fn compile(
        text: &[u8],
        caseless: bool,
        mut variable: impl FnMut(&str) -> Result<usize, String>,
    ) -> Result<Self, String> {
        let lossy = String::from_utf8_lossy(text);
        let text = std::str::from_utf8(text).map_err(|_| format!("the regex \"{lossy}\" is not UTF-8"))?;
        let built = RegexBuilder::new().caseless(caseless).jit_if_available(true).build(text);
        let compiled = built.map_err(|error| {
            let offset = error.offset().unwrap_or_default().min(text.len());
            let whole = error.to_string();
            // The crate's own words stand before PCRE's.
            let why = whole.rsplit_once(&format!("offset {offset}: ")).map_or(whole.as_str(), |(_, why)| why);
            match String::from_utf8_lossy(&text.as_bytes()[offset..]) {
                rest if rest.is_empty() => format!("pcre2_compile() failed: {why} in \"{text}\""),
                rest => format!("pcre2_compile() failed: {why} in \"{text}\" at \"{rest}\""),
            }
        })?;
        let mut named = Vec::new();
        for (group, name) in compiled.capture_names().iter().enumerate() {
            if let Some(name) = name {
                named.push((group, variable(name)?));
            }
        }
        let locations = RefCell::new(compiled.capture_locations());
        Ok(Regex { compiled, caseless, named, locations })
    }

    /// The expression as written.
    pub(super) fn text(&self) -> &str {
        self.compiled.as_str()
    }

    /// Whether the subject matches. What the groups captured is kept in the request's memory then, in the place of what the last match
    /// captured; the variables of named groups are set.
    ///
    /// # Errors
    /// No decision could be made.
    pub(super) fn matches(&self, subject: &[u8], memory: &RefCell<Memory>) -> Result<bool, Failed> {
        let failed = |error: pcre2::Error| {
            let (code, subject) = (error.code(), String::from_utf8_lossy(subject));
            Failed(format!("pcre2_match() failed: {code} on \"{subject}\" using \"{}\"", self.text()))
        };
        let mut locations = self.locations.borrow_mut();
        if self.compiled.captures_read(&mut locations, subject).map_err(failed)?.is_none() {
            return Ok(false);
        }
        let mut memory = memory.borrow_mut();
        memory.capture(subject, (0..locations.len()).map(|group| locations.get(group)));
        for &(group, place) in &self.named {
            // A group that took no part is empty, as in nginx.
            let (start, end) = locations.get(group).unwrap_or_default();
            memory.set(place, Some(subject[start..end].to_vec()));
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(text: &str, caseless: bool) -> Result<Regex, String> {
        let mut names = Vec::new();
        Regex::compile(text.as_bytes(), caseless, |name| {
            names.push(name.to_owned());
            if name == "uri" { Err("taken".into()) } else { Ok(names.len() - 1) }
        })
    }

    #[test]
    fn groups_are_captured_by_number_and_name() {
        let memory = RefCell::new(Memory::default());
        let regex = compile("^/(?<first>[^/]+)/(x)?(.*)$", false).unwrap();
        assert!(regex.matches(b"/a/bc", &memory).unwrap());
        let capture = |n| memory.borrow().group(n).map(<[u8]>::to_vec);
        assert_eq!(
            [capture(0), capture(1), capture(2), capture(3), capture(4)],
            [Some(b"/a/bc".to_vec()), Some(b"a".to_vec()), None, Some(b"bc".to_vec()), None]
        );
        assert_eq!(memory.borrow().value(0), Some(Some(&b"a"[..])));
        assert!(!regex.matches(b"none", &memory).unwrap());
        assert_eq!(memory.borrow().group(1), Some(&b"a"[..]), "a failed match takes nothing away");
        assert!(compile("B", true).unwrap().matches(b"abc", &memory).unwrap());
        assert_eq!(memory.borrow().group(1), None);
    }

    #[test]
    fn faults_in_the_words_of_nginx() {
        let fault = |text| compile(text, false).unwrap_err();
        assert_eq!(fault("a("), "pcre2_compile() failed: missing closing parenthesis in \"a(\"");
        assert_eq!(
            fault("[b-a]c"),
            "pcre2_compile() failed: range out of order in character class in \"[b-a]c\" at \"a]c\""
        );
        assert_eq!(fault("(?<uri>.)"), "taken");
    }

    #[test]
    fn endless_backtracking_is_a_failure() {
        let memory = RefCell::new(Memory::default());
        let subject = [b'a'; 64];
        let failure =
            compile("^(?:(a+)+)+$|(*COMMIT)x", false).unwrap().matches(&[&subject[..], b"!"].concat(), &memory);
        assert!(failure.unwrap_err().to_string().starts_with("pcre2_match() failed: -47 on \"aaaa"));
    }
}
