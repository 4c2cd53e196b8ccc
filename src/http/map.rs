//! `map`: a variable whose value is looked up by the value of a text.

use std::rc::Rc;

use super::definitions::Registry;
use super::regex::{Failed, Regex};
use super::variables::{Text, Values};
use crate::conf::Call;
use crate::conf::Result;
use crate::net::names::{Name, Names};

/// A `map {}`.
#[derive(Clone, Debug)]
pub(super) struct Map {
    source: Text,
    /// By whole values in lower case; with `hostnames` also by their ends and beginnings.
    names: Names<Text>,
    regexes: Vec<(Rc<Regex>, Text)>,
    default: Option<Text>,
    hostnames: bool,
    /// `volatile`: it is looked up each time it is asked for.
    pub volatile: bool,
}

/// A `map {}` while it is read, with the variables of the block.
pub struct Reading {
    map: Map,
    pub(super) registry: Registry,
}

impl Reading {
    pub(super) fn new(source: Text, registry: Registry) -> Self {
        let (names, regexes) = (Names::default(), Vec::new());
        let map = Map { source, names, regexes, default: None, hostnames: false, volatile: false };
        Reading { map, registry }
    }

    pub(super) fn finish(self) -> (Map, Registry) {
        (self.map, self.registry)
    }
}

/// One line of the block.
pub(super) fn line(reading: &mut Reading, call: &mut Call<'_>) -> Result<()> {
    let Reading { map, registry } = reading;
    let key = call.bytes(0);
    match (call.count(), key) {
        (0, b"hostnames") => map.hostnames = true,
        (0, b"volatile") => map.volatile = true,
        (1, _) => {
            let fault = |message: String| call.error(message);
            let value = registry.text(call.bytes(1), &call.node.place).map_err(fault)?;
            match key {
                b"default" if map.default.is_some() => return Err(call.error("duplicate default map parameter")),
                b"default" => map.default = Some(value),
                [b'~', expression @ ..] => {
                    let (expression, caseless) = match expression {
                        [b'*', expression @ ..] => (expression, true),
                        expression => (expression, false),
                    };
                    map.regexes.push((registry.regex(expression, caseless).map_err(fault)?, value));
                }
                key => {
                    // A backslash keeps a key from being one of the words above.
                    let key = key.strip_prefix(b"\\").unwrap_or(key);
                    let key = key.to_ascii_lowercase();
                    let text = String::from_utf8_lossy(&key);
                    let name = match map.hostnames {
                        true => {
                            Name::read(&key).ok_or_else(|| fault(format!("invalid hostname or wildcard \"{text}\"")))?
                        }
                        false => Name::Exact(key.clone()),
                    };
                    if !map.names.add(&name, &value) {
                        return Err(fault(format!("conflicting parameter \"{text}\"")));
                    }
                }
            }
        }
        _ => return Err(call.error("invalid number of the map parameters")),
    }
    Ok(())
}

impl Map {
    /// Looks the value up.
    ///
    /// # Errors
    /// A regular expression came to no decision.
    pub(super) fn value(&self, values: &Values<'_>) -> std::result::Result<Vec<u8>, Failed> {
        let mut key = values.fill(&self.source);
        if self.hostnames && key.last() == Some(&b'.') {
            key.pop();
        }
        let mut found = self.names.find(&key.to_ascii_lowercase());
        if found.is_none() {
            for (regex, value) in &self.regexes {
                if regex.matches(&key, &values.request.memory)? {
                    found = Some(value);
                    break;
                }
            }
        }
        Ok(found.or(self.default.as_ref()).map(|value| values.fill(value)).unwrap_or_default())
    }
}
