//! `try_files`: the first file that is there, else somewhere else.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::client::Client;
use super::definitions::Registry;
use super::request::Request;
use super::roots::Alias;
use super::uri;
use super::variables::{Text, Values};
use crate::conf::{Place, value};
use crate::log::Level;

/// A `try_files` directive.
#[derive(Clone, Debug)]
pub(super) struct TryFiles {
    candidates: Vec<Candidate>,
    otherwise: Otherwise,
}

#[derive(Clone, Debug)]
struct Candidate {
    name: Text,
    /// It ended with a slash.
    directory: bool,
}

/// What the last word says.
#[derive(Clone, Debug)]
enum Otherwise {
    Status(u16),
    Target(Text),
}

/// What has come of it.
pub(super) enum Tried {
    /// The path of the first that is there.
    Found(Vec<u8>),
    Status(u16),
    /// `@name`
    Named(Vec<u8>),
    Redirect(Vec<u8>, Option<Vec<u8>>),
}

impl TryFiles {
    /// Reads the arguments.
    ///
    /// # Errors
    /// nginx's message.
    pub(super) fn parse(words: &[&[u8]], registry: &mut Registry, place: &Place) -> Result<Self, String> {
        let Some((last, names)) = words.split_last() else { return Err("invalid value".into()) };
        let mut candidates = Vec::new();
        for name in names {
            let (name, directory) = match name {
                [name @ .., b'/'] => (name, true),
                name => (*name, false),
            };
            candidates.push(Candidate { name: registry.text(name, place)?, directory });
        }
        let otherwise = match last {
            [b'=', code @ ..] => {
                let number = std::str::from_utf8(code).ok().and_then(value::number).filter(|code| *code <= 999);
                let invalid = || format!("invalid code \"={}\"", String::from_utf8_lossy(code));
                Otherwise::Status(number.and_then(|code| u16::try_from(code).ok()).ok_or_else(invalid)?)
            }
            target => Otherwise::Target(registry.text(target, place)?),
        };
        Ok(TryFiles { candidates, otherwise })
    }

    /// Looks for the files.
    pub(super) fn run(&self, values: &Values<'_>) -> Tried {
        let Values { client, request, .. } = *values;
        let root = &request.location.root;
        // Also says what is wrong with an alias here.
        if root.file(values, &request.path).is_none() {
            return Tried::Status(500);
        }
        let directory = root.directory(values).into_os_string().into_vec();
        let prefix = match root.alias() {
            Alias::Prefix(prefix) => prefix.as_slice(),
            Alias::No | Alias::Whole => b"",
        };
        for candidate in &self.candidates {
            let name = values.fill(&candidate.name);
            let name = name.strip_prefix(prefix).unwrap_or(&name);
            let file: PathBuf = OsString::from_vec([&directory, name].concat()).into();
            if is_there(client, request, &file, candidate.directory) {
                return Tried::Found([prefix, name].concat());
            }
        }
        match &self.otherwise {
            Otherwise::Status(status) => Tried::Status(*status),
            Otherwise::Target(target) => {
                let target = values.fill(target);
                if target.starts_with(b"@") {
                    return Tried::Named(target);
                }
                let (path, args) = uri::split_args(target);
                Tried::Redirect(path, args)
            }
        }
    }
}

fn is_there(client: &Client, request: &Request, file: &PathBuf, directory: bool) -> bool {
    if file.as_os_str().as_bytes().contains(&0) {
        return false;
    }
    match std::fs::metadata(file) {
        Ok(metadata) => metadata.is_dir() == directory,
        Err(error) => {
            if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG)) {
                let message = format_args!("stat() \"{}\" failed", file.display());
                client.log(Level::Crit, Some(&error), "", Some(request), message);
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let read = |words: &[&str]| -> Result<(Vec<bool>, Option<u16>), String> {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let place = Place { file: "f".into(), line: 1 };
            let read = TryFiles::parse(&words, &mut Registry::default(), &place)?;
            let status = match read.otherwise {
                Otherwise::Status(status) => Some(status),
                Otherwise::Target(_) => None,
            };
            Ok((read.candidates.iter().map(|candidate| candidate.directory).collect(), status))
        };
        assert_eq!(read(&["$uri", "$uri/", "=404"]), Ok((vec![false, true], Some(404))));
        assert_eq!(read(&["a", "b/"]), Ok((vec![false], None)));
        assert_eq!(read(&["a", "=1000"]), Err("invalid code \"=1000\"".into()));
        assert_eq!(read(&["a", "=x"]), Err("invalid code \"=x\"".into()));
    }
}
