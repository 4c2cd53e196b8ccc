//! The variables that a configuration makes, and the text that uses them.

use std::collections::HashSet;
use std::rc::Rc;

use super::geo::Geo;
use super::map::Map;
use super::regex::Regex;
use super::split_clients::Split;
use super::variables::{self, Text, Variable};
use crate::conf::{Error, Node, Place, Result};
use crate::log::format::{Escape, Format};

/// Where the value of a variable comes from when it has not been worked out yet.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// `set`: there is nothing before it.
    Assigned,
    /// `set` of one that requests have: that, before it.
    OfRequest(Variable),
    /// A named group of a regular expression: there is nothing before its match.
    Captured,
    Map(Rc<Map>),
    Split(Rc<Split>),
    Geo(Rc<Geo>),
}

/// The variables of a configuration, by their places.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    variables: Vec<(String, Source)>,
}

impl Definitions {
    /// The name and the source of a variable.
    pub(super) fn get(&self, place: usize) -> (&str, &Source) {
        let (name, source) = &self.variables[place];
        (name, source)
    }
}

/// The variables of an `http {}` block while it is read. A variable may be used before it is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    entries: Vec<Entry>,
    /// Those of requests, like `$arg_NAME`, that the block makes its own.
    own: HashSet<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    source: Option<Source>,
    /// Where it is used first.
    used: Option<Place>,
}

impl Registry {
    /// That of a block, whose `set`, `map`, `geo` and `split_clients` may make variables in the place of those of requests: what is said
    /// above such a directive uses them too.
    pub(super) fn of(block: &[Node]) -> Registry {
        let mut own = HashSet::new();
        collect_own(block, &mut own);
        Registry { entries: Vec::new(), own }
    }

    /// The variable of this name, used at `place`.
    pub(super) fn variable(&mut self, name: &str, place: &Place) -> Variable {
        let name = name.to_ascii_lowercase();
        if let Some(variable) = variables::find(&name).filter(|_| !self.own.contains(&name)) {
            return variable;
        }
        let number = self.place(&name);
        self.entries[number].used.get_or_insert_with(|| place.clone());
        Variable::Defined(number)
    }

    fn place(&mut self, name: &str) -> usize {
        let known = self.entries.iter().position(|entry| entry.name == name);
        known.unwrap_or_else(|| {
            self.entries.push(Entry { name: name.to_owned(), source: None, used: None });
            self.entries.len() - 1
        })
    }

    /// Makes a variable, or one more way to give it a value, and returns its place.
    ///
    /// # Errors
    /// nginx's message: the name is that of a variable that cannot be changed.
    pub(super) fn define(&mut self, name: &str, source: Source) -> std::result::Result<usize, String> {
        let written = name;
        let name = name.to_ascii_lowercase();
        if variables::find(&name).is_some() && !self.own.contains(&name) {
            return Err(format!("the duplicate \"{written}\" variable"));
        }
        let source = match (source, variables::find(&name)) {
            (Source::Assigned, Some(variable)) => Source::OfRequest(variable),
            (source, _) => source,
        };
        let place = self.place(&name);
        let known = &mut self.entries[place].source;
        match source {
            Source::Assigned | Source::Captured | Source::OfRequest(_) => drop(known.get_or_insert(source)),
            Source::Map(_) | Source::Split(_) | Source::Geo(_) => *known = Some(source),
        }
        Ok(place)
    }

    /// Compiles text with variables that stands at `place`.
    ///
    /// # Errors
    /// nginx's message.
    pub(super) fn text(&mut self, text: &[u8], place: &Place) -> std::result::Result<Text, String> {
        Format::compile(text, Escape::None, |name| Some(self.variable(name, place)))
    }

    /// Compiles a regular expression, whose named groups make variables.
    ///
    /// # Errors
    /// nginx's message.
    pub(super) fn regex(&mut self, text: &[u8], caseless: bool) -> std::result::Result<Rc<Regex>, String> {
        Regex::compile(text, caseless, |name| self.define(name, Source::Captured)).map(Rc::new)
    }

    /// What the whole block has made.
    ///
    /// # Errors
    /// A variable is used that nothing makes.
    pub(super) fn settle(&self) -> Result<Definitions> {
        let mut variables = Vec::new();
        for entry in &self.entries {
            match (&entry.source, &entry.used) {
                (Some(source), _) => variables.push((entry.name.clone(), source.clone())),
                (None, used) => {
                    let message = format!("unknown \"{}\" variable", entry.name);
                    return Err(used
                        .as_ref()
                        .map_or_else(|| Error::general(&message), |used| Error::at(used, &message)));
                }
            }
        }
        Ok(Definitions { variables })
    }
}

/// The variables of requests that the directives of a block make its own.
fn collect_own(block: &[Node], own: &mut HashSet<String>) {
    for node in block {
        let made = match node.words[0].bytes.as_slice() {
            b"set" => node.words.get(1),
            b"map" | b"geo" | b"split_clients" => node.words.last(),
            _ => None,
        };
        if let Some(word) = made
            && let Ok(word) = std::str::from_utf8(&word.bytes)
            && let Some(name) = word.strip_prefix('$').map(str::to_ascii_lowercase)
            && variables::is_open(&name)
        {
            own.insert(name);
        }
        collect_own(node.block.as_deref().unwrap_or_default(), own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_may_be_used_before_it_is_made() {
        let place = Place { file: "f".into(), line: 3 };
        let mut registry = Registry::default();
        assert_eq!(registry.variable("later", &place), Variable::Defined(0));
        assert_eq!(registry.settle().unwrap_err().to_string(), "unknown \"later\" variable in f:3");
        assert_eq!(registry.define("Later", Source::Assigned), Ok(0));
        assert_eq!(registry.settle().unwrap().get(0).0, "later");
        assert_eq!(registry.define("uri", Source::Assigned), Err("the duplicate \"uri\" variable".into()));
        assert_eq!(registry.regex(b"(?<x>.)(?<later>.)", false).map(drop), Ok(()));
        assert_eq!(registry.variable("X", &place), Variable::Defined(1));
    }
}
