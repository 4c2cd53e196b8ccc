//! Where bodies of clients wait: `client_body_buffer_size`, `client_body_temp_path`, and the files with names of `client_body_in_file_only`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::spool::Failure;

/// `client_body_in_file_only`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) enum InFile {
    #[default]
    Off,
    /// Every body is in a file, which stays.
    On,
    /// Every body is in a file, which goes with its request.
    Clean,
}

/// `client_body_temp_path`
#[derive(Clone, Debug)]
pub(in crate::http) struct Folder {
    pub path: PathBuf,
    /// How many of a name's last digits name the folders above a file, from the outermost to the innermost.
    pub levels: Vec<usize>,
}

/// Where a body waits.
#[derive(Debug)]
pub(in crate::http) struct Store {
    /// Bytes that may be in memory.
    pub memory: usize,
    pub folder: Folder,
    pub in_file: InFile,
}

/// A file whose name others may have been told.
#[derive(Debug)]
pub(in crate::http) struct Named {
    path: PathBuf,
    clean: bool,
}

impl Drop for Named {
    fn drop(&mut self) {
        if self.clean {
            // Whoever was told of it may have taken it away.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Named {
    /// Makes a file of a name that no other has.
    pub(super) fn create(store: &Store) -> Result<(File, Self), Failure> {
        /// The number in the next name; workers find the files of others in their way, and pass over them.
        static NEXT: AtomicU32 = AtomicU32::new(1);
        loop {
            let path = store.folder.file(NEXT.fetch_add(1, Ordering::Relaxed));
            let open = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
            let made = match open() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    store.folder.make_levels(&path).map_err(|error| Failure { call: "mkdir()", error })?;
                    open()
                }
                made => made,
            };
            match made {
                Ok(file) => return Ok((file, Named { path, clean: store.in_file == InFile::Clean })),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure { call: "open()", error }),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Folder {
    /// nginx's name for a number, in its folders.
    fn file(&self, number: u32) -> PathBuf {
        let name = format!("{number:010}");
        let mut path = self.path.clone();
        let mut end = name.len();
        for level in &self.levels {
            path.push(&name[end - level..end]);
            end -= level;
        }
        path.join(name)
    }

    /// Makes the folders of a file below this one.
    fn make_levels(&self, file: &Path) -> io::Result<()> {
        let below = file.parent().and_then(|parent| parent.strip_prefix(&self.path).ok());
        let mut path = self.path.clone();
        for level in below.into_iter().flatten() {
            path.push(level);
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names_of_their_own_in_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(Folder { path: path.clone(), levels: vec![1, 2, 3] }.file(1234), path.join("4/23/001/0000001234"));
        let store = |in_file| {
            let folder = Folder { path: path.clone(), levels: vec![1, 2] };
            Store { memory: 0, folder, in_file }
        };
        let (_, kept) = Named::create(&store(InFile::On)).unwrap();
        let (_, cleaned) = Named::create(&store(InFile::Clean)).unwrap();
        assert_ne!(kept.path(), cleaned.path());
        let paths = [kept.path().to_owned(), cleaned.path().to_owned()];
        assert!(paths.iter().all(|path| path.is_file()));
        drop((kept, cleaned));
        assert_eq!(paths.map(|path| path.exists()), [true, false]);
    }
}
