//! `root` and `alias`: which file a path means.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::variables::{Text, Values};
use crate::log::Level;

/// Bytes of a file's name for which there is room from the beginning.
const ROOM: usize = 128;

/// Where files are looked for.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// The prefix, which a relative directory is taken against.
    prefix: PathBuf,
    directory: Text,
    alias: Alias,
}

/// How much of a path is replaced by the directory.
#[derive(Clone, Debug)]
pub(super) enum Alias {
    /// `root`: nothing, the path follows.
    No,
    /// `alias` in a location with this prefix.
    Prefix(Vec<u8>),
    /// `alias` in a location with a regular expression: all.
    Whole,
}

impl Root {
    pub(super) fn new(prefix: PathBuf, directory: Text, alias: Alias) -> Self {
        Root { prefix, directory, alias }
    }

    pub(super) fn alias(&self) -> &Alias {
        &self.alias
    }

    /// The directory.
    pub(super) fn directory(&self, values: &Values<'_>) -> PathBuf {
        OsString::from_vec(self.begin(values)).into()
    }

    /// The directory, with some room behind it.
    fn begin(&self, values: &Values<'_>) -> Vec<u8> {
        let mut directory = Vec::with_capacity(ROOM);
        self.directory.fill(&mut directory, |variable, out| values.write(variable, out));
        match directory.first() {
            Some(b'/') => directory,
            _ => [self.prefix.as_os_str().as_bytes(), b"/", &directory].concat(),
        }
    }

    /// The file that `path` means; `None`, and logged, where an alias stands for a prefix that a rewritten path does not have.
    pub(super) fn file(&self, values: &Values<'_>, path: &[u8]) -> Option<PathBuf> {
        let mut file = self.begin(values);
        match &self.alias {
            Alias::No => file.extend_from_slice(path),
            Alias::Prefix(prefix) if values.request.outside_location => {
                let name = String::from_utf8_lossy(prefix);
                let message = format_args!("\"alias\" cannot be used in location \"{name}\" where URI was rewritten");
                values.client.log(Level::Error, None, "", Some(values.request), message);
                return None;
            }
            Alias::Prefix(prefix) => file.extend_from_slice(path.get(prefix.len()..).unwrap_or_default()),
            Alias::Whole if values.request.path_behind_alias => file.extend_from_slice(path),
            Alias::Whole => {}
        }
        Some(OsString::from_vec(file).into())
    }
}
