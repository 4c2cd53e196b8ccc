//! Bytes that wait: in memory up to a bound, and then in a file, which has no name unless one is asked for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use super::body_files::{InFile, Named, Store};
use crate::http::output::Piece;

/// A file without a name, which is gone with its last handle whatever happens, and where its next bytes go.
#[derive(Default)]
pub(in crate::http) struct Spool {
    /// A body's bytes that are in memory; an answer's stand in its output instead.
    pub memory: Vec<u8>,
    file: Option<Rc<File>>,
    /// Where it has a name after all.
    name: Option<Named>,
    /// Bytes in the file.
    pub filed: u64,
}

/// A temporary file that cannot be made or written: the call, and what the system says. Logs name it by its folder, as it has no name.
#[derive(Debug)]
pub(super) struct Failure {
    pub call: &'static str,
    pub error: io::Error,
}

impl Spool {
    /// Bytes in all.
    pub(super) fn length(&self) -> u64 {
        self.memory.len() as u64 + self.filed
    }

    /// Adds to a body; what is too much for memory all goes to a file, which is begun with nothing already where every body is to have one.
    /// Tells whether it began now.
    ///
    /// # Errors
    /// The call that failed, and why.
    pub(super) fn add(&mut self, bytes: &[u8], store: &Store) -> Result<bool, Failure> {
        let named = store.in_file != InFile::Off;
        if !named && self.memory.len() + bytes.len() <= store.memory {
            self.memory.extend_from_slice(bytes);
            return Ok(false);
        }
        let begins = self.file.is_none();
        if begins && named {
            let (file, name) = Named::create(store)?;
            (self.file, self.name) = (Some(Rc::new(file)), Some(name));
        }
        let folder = &store.folder.path;
        let memory = std::mem::take(&mut self.memory);
        self.write(&memory, folder)?;
        self.write(bytes, folder)?;
        // The memory that was there serves the next bytes.
        self.memory = memory;
        self.memory.clear();
        Ok(begins)
    }

    /// Writes behind what is in the file, and gives the part written.
    ///
    /// # Errors
    /// The call that failed, and why.
    pub(super) fn write(&mut self, bytes: &[u8], folder: &Path) -> Result<Piece, Failure> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => {
                let made = tempfile::tempfile_in(folder).map_err(|error| Failure { call: "open()", error })?;
                self.file.insert(Rc::new(made)).clone()
            }
        };
        let offset = self.filed;
        file.write_all_at(bytes, offset).map_err(|error| Failure { call: "pwrite()", error })?;
        self.filed += bytes.len() as u64;
        Ok(Piece::File { file, offset, left: bytes.len() as u64 })
    }

    /// The path of the file, where it has one.
    pub(in crate::http) fn path(&self) -> Option<&Path> {
        self.name.as_ref().map(Named::path)
    }

    /// Whether there is a file.
    pub(in crate::http) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Nothing of the file is needed any more: its place on the disk is given back.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        if self.filed > 0
            && let Some(file) = &self.file
        {
            file.set_len(0)?;
            self.filed = 0;
        }
        Ok(())
    }

    /// All of a body, to be sent; it stays, as it may have to be sent again.
    pub(super) fn pieces(&self) -> [Piece; 2] {
        let file = match &self.file {
            Some(file) => Piece::File { file: file.clone(), offset: 0, left: self.filed },
            None => Piece::Bytes(Vec::new()),
        };
        [file, Piece::Bytes(self.memory.clone())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::proxy::body_files::Folder;

    #[test]
    fn a_body_goes_to_a_file_once_it_is_too_large_and_leaves_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::default();
        let path = folder.path().to_owned();
        let store = Store { memory: 4, folder: Folder { path, levels: Vec::new() }, in_file: InFile::Off };
        assert!(!spool.add(b"abc", &store).unwrap());
        assert!(spool.add(b"de", &store).unwrap());
        assert!(!spool.add(b"f", &store).unwrap());
        assert_eq!((spool.length(), spool.filed, &spool.memory[..]), (6, 5, &b"f"[..]));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let [Piece::File { file, offset, left }, Piece::Bytes(rest)] = spool.pieces() else { panic!("no file") };
        let mut bytes = [0; 5];
        file.read_exact_at(&mut bytes, offset).unwrap();
        assert_eq!((&bytes, left, &rest[..]), (b"abcde", 5, &b"f"[..]));
    }
}
