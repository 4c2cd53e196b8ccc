//! `proxy_store`: answers become files that stay.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::file::Draft;
use super::key::Key;
use super::store::{self, Filling};
use crate::http::entity::parse_date;
use crate::http::proxy::head::Head;
use crate::http::variables::{Text, Values};

/// Where files are put.
#[derive(Clone, Debug)]
pub(in crate::http) enum Target {
    /// As `root` and `alias` say.
    Root,
    /// Where the text says; a relative path is taken against the folder.
    Path(Text, PathBuf),
}

/// `proxy_store` and `proxy_store_access` of a location.
#[derive(Clone, Debug)]
pub(in crate::http) struct Settings {
    pub target: Target,
    /// Permissions of the files.
    pub access: u32,
}

/// Where a file is to stand.
#[derive(Debug)]
pub(in crate::http) struct Place {
    pub path: PathBuf,
    access: u32,
    modified: Option<SystemTime>,
}

impl Settings {
    /// Where the answer is to stand; `None`: that is no place for a file.
    pub(super) fn path(&self, values: &Values<'_>) -> Option<PathBuf> {
        let path = match &self.target {
            Target::Root => values.request.location.root.file(values, &values.request.path),
            Target::Path(text, prefix) => Some(prefix.join(OsString::from_vec(values.fill(text)))),
        };
        path.filter(|path| !path.as_os_str().as_bytes().ends_with(b"/") && path.parent().is_some())
    }

    /// Begins the file.
    pub(super) fn begin(&self, path: PathBuf, head: &Head) -> io::Result<Filling> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        // Who may read a folder's files may go into it.
        let access = 0o700 | self.access | (self.access & 0o444) >> 2;
        DirBuilder::new().recursive(true).mode(access).create(folder)?;
        let draft = Draft::begin(folder, Key::of(path.as_os_str().as_bytes()), 0)?;
        let modified = head.all("last-modified").next().and_then(parse_date);
        let modified = modified.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let place = Place { path, access: self.access, modified };
        Filling::begin(draft, store::Target::Mirror(place))
    }
}

impl Place {
    /// Puts the complete file there.
    pub(super) fn put(self, draft: Draft) -> io::Result<()> {
        let file = draft.handle()?;
        file.set_permissions(Permissions::from_mode(self.access))?;
        if let Some(modified) = self.modified {
            file.set_modified(modified)?;
        }
        let key = Key::of(self.path.as_os_str().as_bytes());
        match draft.finish(&[], &self.path, key) {
            // What stands there is a folder.
            Err(error) if fs::metadata(&self.path).is_ok_and(|there| there.is_dir()) => {
                Err(io::Error::new(io::ErrorKind::IsADirectory, error))
            }
            placed => placed.map(drop),
        }
    }
}
