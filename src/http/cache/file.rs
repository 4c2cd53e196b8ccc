//! What a file of the cache begins with, and how such files are written and read.
//!
//! ```text
//!   0  magic and version            8 bytes
//!   8  validity, with its CRC      32        changed in place when the server says that nothing has changed
//!  40  CRC of all that follows      4
//!  44  where the answer's head begins, and its body      4 + 4
//!  52  length of the body           8
//!  60  Last-Modified                8
//!  68  lengths of key, ETag, Vary   4 + 4 + 4
//!  80  variant                     16
//!  96  key, ETag, Vary, the answer's head; then the body
//! ```
//!
//! Numbers are little-endian. While it is written a file has no name, so that nothing is left of one whose writer dies.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use nix::fcntl::{AT_FDCWD, AtFlags};

use super::key::Key;

const MAGIC: &[u8; 8] = b"weirhc\x00\x01";
const VALIDITY: Range<usize> = 8..40;
const SUMMED: usize = 44;
const FIXED: usize = 96;
/// The longest head of a file: key, validators and the head of an answer. `proxy_buffer_size` bounds the last, which few set higher.
const HEAD_MAX: usize = 1 << 20;
/// How much is read at once in the hope that it is the whole head.
pub(super) const FIRST_READ: usize = 8192;

/// How long an answer is good for. Times are seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// Until then it is fresh.
    pub valid: u64,
    /// For so many seconds more while it is brought up to date, and so many when servers fail.
    pub while_updating: u32,
    /// See above.
    pub on_error: u32,
    /// When it was stored.
    pub date: u64,
}

impl Validity {
    fn encode(&self) -> [u8; VALIDITY.end - VALIDITY.start] {
        let mut out = [0; VALIDITY.end - VALIDITY.start];
        out[..8].copy_from_slice(&self.valid.to_le_bytes());
        out[8..12].copy_from_slice(&self.while_updating.to_le_bytes());
        out[12..16].copy_from_slice(&self.on_error.to_le_bytes());
        out[16..24].copy_from_slice(&self.date.to_le_bytes());
        let sum = crc32fast::hash(&out[..24]);
        out[24..28].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// `None`: it was read while it was written; the answer then is one that has expired.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let long = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        (crc32fast::hash(bytes.get(..24)?) == word(24)?).then_some(())?;
        Some(Validity { valid: long(0)?, while_updating: word(8)?, on_error: word(12)?, date: long(16)? })
    }
}

/// What a file says before its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preamble {
    /// How long it is good for.
    pub validity: Validity,
    /// The text of the key.
    pub key: Vec<u8>,
    /// Of the answer, where a later request is to name it; seconds since 1970.
    pub last_modified: Option<u64>,
    /// Likewise; empty where there is none.
    pub etag: Vec<u8>,
    /// The answer's `Vary`; empty where there is none.
    pub vary: Vec<u8>,
    /// What the request's fields that are named there come to.
    pub variant: [u8; 16],
    /// The answer's head, as the server sent it.
    pub head: Vec<u8>,
    /// The length of the body.
    pub length: u64,
}

/// Why a file is not used.
#[derive(Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is of no cache of weir's, or of another version.
    Foreign,
    /// It is not what was written.
    Damaged,
}

impl Preamble {
    /// Where the body begins.
    pub fn body_start(&self) -> u64 {
        (FIXED + self.key.len() + self.etag.len() + self.vary.len() + self.head.len()) as u64
    }

    /// What stands in the file; `None`: it is too long.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let head_start = FIXED + self.key.len() + self.etag.len() + self.vary.len();
        let body_start = head_start + self.head.len();
        if body_start > HEAD_MAX {
            return None;
        }
        let mut out = Vec::with_capacity(body_start);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.validity.encode());
        out.extend_from_slice(&[0; 4]);
        for word in [head_start, body_start] {
            out.extend_from_slice(&(word as u32).to_le_bytes());
        }
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.last_modified.unwrap_or(u64::MAX).to_le_bytes());
        for part in [&self.key, &self.etag, &self.vary] {
            out.extend_from_slice(&(part.len() as u32).to_le_bytes());
        }
        out.extend_from_slice(&self.variant);
        for part in [&self.key, &self.etag, &self.vary, &self.head] {
            out.extend_from_slice(part);
        }
        let sum = crc32fast::hash(&out[SUMMED..]);
        out[SUMMED - 4..SUMMED].copy_from_slice(&sum.to_le_bytes());
        Some(out)
    }

    /// How long the head is that a file begins with.
    ///
    /// # Errors
    /// It is none.
    pub fn announced(start: &[u8]) -> Result<usize, Flaw> {
        if start.len() < FIXED || start[..8] != *MAGIC {
            return Err(Flaw::Foreign);
        }
        let length = word(start, 48);
        if (FIXED..=HEAD_MAX).contains(&length) { Ok(length) } else { Err(Flaw::Damaged) }
    }

    /// Reads the head of a file that is `size` bytes long.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8], size: u64) -> Result<Self, Flaw> {
        let body_start = Self::announced(bytes)?;
        let bytes = bytes.get(..body_start).ok_or(Flaw::Damaged)?;
        if crc32fast::hash(&bytes[SUMMED..]) != word(bytes, 40) as u32 {
            return Err(Flaw::Damaged);
        }
        let long = |at: usize| u64::from(word(bytes, at) as u32) | u64::from(word(bytes, at + 4) as u32) << 32;
        let mut rest = &bytes[FIXED..];
        let mut part = |length: usize| {
            let (part, after) = rest.split_at_checked(length).ok_or(Flaw::Damaged)?;
            rest = after;
            Ok(part.to_vec())
        };
        let (key, etag, vary) = (part(word(bytes, 68))?, part(word(bytes, 72))?, part(word(bytes, 76))?);
        let head = rest.to_vec();
        if body_start - head.len() != word(bytes, 44) {
            return Err(Flaw::Damaged);
        }
        let mut variant = [0; 16];
        variant.copy_from_slice(&bytes[80..96]);
        let length = long(52);
        if (body_start as u64).checked_add(length) != Some(size) {
            return Err(Flaw::Damaged);
        }
        Ok(Preamble {
            validity: Validity::decode(&bytes[VALIDITY]).unwrap_or_default(),
            key,
            last_modified: Some(long(60)).filter(|time| *time != u64::MAX),
            etag,
            vary,
            variant,
            head,
            length,
        })
    }
}

fn word(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes) as usize
}

/// What a file begins with.
#[derive(Debug)]
pub struct Read {
    /// Its head.
    pub preamble: Preamble,
    /// Bytes that were read, from the first on.
    pub count: usize,
    /// Bytes of the file.
    pub size: u64,
}

/// Opens a file of a cache. A link, which no cache makes, is `ELOOP`; a FIFO is not waited for.
///
/// # Errors
/// What open(2) says.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Reads the head of a file into `buffer`, and perhaps more. One that ends within it need not be asked for its size.
///
/// # Errors
/// What read(2) says.
pub fn read(file: &File, buffer: &mut [u8]) -> io::Result<Result<Read, Flaw>> {
    let first = buffer.len().min(FIRST_READ);
    let count = match file.read_at(&mut buffer[..first], 0) {
        // A folder, or a FIFO.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EISDIR | libc::ESPIPE)) => {
            return Ok(Err(Flaw::Foreign));
        }
        read => read?,
    };
    let size = if count < first { count as u64 } else { file.metadata()?.len() };
    let start = &buffer[..count];
    let length = match Preamble::announced(start) {
        Ok(length) => length,
        Err(flaw) => return Ok(Err(flaw)),
    };
    if length <= count {
        return Ok(Preamble::decode(start, size).map(|preamble| Read { preamble, count, size }));
    }
    if length as u64 > size {
        return Ok(Err(Flaw::Damaged));
    }
    let mut whole = vec![0; length];
    file.read_exact_at(&mut whole, 0)?;
    Ok(Preamble::decode(&whole, size).map(|preamble| Read { preamble, count, size }))
}

/// Whether a file begins as those of weir's caches do.
pub fn is_own(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    file.is_ok_and(|file| file.read_exact_at(&mut start, 0).is_ok()) && start == *MAGIC
}

/// Writes another validity into a file, unless another has taken its place since `read` was opened.
///
/// # Errors
/// What the file system says.
pub fn renew(path: &Path, read: &File, validity: &Validity) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let (there, known) = (file.metadata()?, read.metadata()?);
    if (there.dev(), there.ino()) != (known.dev(), known.ino()) {
        return Ok(());
    }
    file.write_all_at(&validity.encode(), VALIDITY.start as u64)
}

/// A file that is being written.
#[derive(Debug)]
pub struct Draft {
    file: File,
    /// Where the file system knows no files without a name.
    name: Option<PathBuf>,
    /// Of the head, whose place is kept free.
    body_start: u64,
    written: u64,
}

/// Tells temporary names of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(1);

/// The name of a file that is not complete: that of the entry, the process that writes it, and a number.
fn temporary(folder: &Path, key: Key) -> PathBuf {
    folder.join(format!("{key}.{}.{}", std::process::id(), NUMBER.fetch_add(1, Relaxed)))
}

/// The name of a complete file that is about to take the place of the one at `path`, put there by this process.
pub(super) fn beside(path: &Path, process: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{process}.0"));
    name.into()
}

/// The process whose temporary file has this name.
pub fn writer(name: &[u8]) -> Option<u32> {
    let mut parts = std::str::from_utf8(name).ok()?.split('.');
    Key::parse(parts.next()?.as_bytes())?;
    let pid = parts.next()?.parse().ok()?;
    let _number: u32 = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(pid)
}

impl Draft {
    /// Begins a file in `folder`, that of the cache or one of temporary files, leaving `body_start` bytes for its head.
    ///
    /// # Errors
    /// What open(2) and mkdir(2) say.
    pub fn begin(folder: &Path, key: Key, body_start: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let nameless = in_folder(folder, || options.clone().custom_flags(libc::O_TMPFILE).open(folder));
        let (file, name) = match nameless {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
                let name = temporary(folder, key);
                (options.create_new(true).open(&name)?, Some(name))
            }
            made => (made?, None),
        };
        Ok(Draft { file, name, body_start, written: 0 })
    }

    /// Adds to the body.
    ///
    /// # Errors
    /// What write(2) says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.body_start + self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Bytes of the body so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The file, for what of the body is to be read from it again.
    ///
    /// # Errors
    /// Descriptors are short.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Where in the file the body begins.
    pub fn body_start(&self) -> u64 {
        self.body_start
    }

    /// Puts the complete file in its place, where it is seen at once and as a whole. One of another file system is copied. Gives its size.
    ///
    /// # Errors
    /// What the file system says; nothing has changed then.
    pub fn finish(self, head: &[u8], path: &Path, key: Key) -> io::Result<u64> {
        self.file.write_all_at(head, 0)?;
        match (self.place(path), path.parent()) {
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::CrossesDevices => {
                let copy = Draft::begin(parent, key, self.body_start)?;
                io::copy(&mut &self.file, &mut &copy.file)?;
                copy.place(path)?;
            }
            (placed, _) => placed?,
        }
        Ok(self.body_start + self.written)
    }

    fn place(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        if let Some(name) = &self.name {
            return in_folder(folder, || fs::rename(name, path));
        }
        match in_folder(folder, || self.link(path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let name = beside(path, std::process::id());
                match self.link(&name) {
                    // Of a process that had our number, and died.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        fs::remove_file(&name)?;
                        self.link(&name)?;
                    }
                    linked => linked?,
                }
                let renamed = fs::rename(&name, path);
                if renamed.is_err() {
                    let _ = fs::remove_file(&name);
                }
                renamed
            }
            placed => placed,
        }
    }

    fn link(&self, path: &Path) -> io::Result<()> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        nix::unistd::linkat(AT_FDCWD, own.as_str(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What has been put in its place has this name no more.
        if let Some(name) = &self.name {
            let _ = fs::remove_file(name);
        }
    }
}

/// Does something in a folder, which is made where it is wanting: somebody may have removed all of a cache.
fn in_folder<T>(folder: &Path, act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match act() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            act()
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn preamble() -> Preamble {
        Preamble {
            validity: Validity { valid: 5, while_updating: 6, on_error: 7, date: 8 },
            key: b"httplocalhost/".to_vec(),
            last_modified: Some(9),
            etag: b"\"a\"".to_vec(),
            vary: b"Accept".to_vec(),
            variant: [3; 16],
            head: b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            length: 4,
        }
    }

    #[test]
    fn a_file_is_read_back_renewed_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::of(b"httplocalhost/");
        let path = folder.path().join("a/b").join(key.to_string());
        let mut preamble = preamble();
        let store = |preamble: &Preamble, body: &[u8]| {
            let mut draft = Draft::begin(folder.path(), key, preamble.body_start()).unwrap();
            draft.write(body).unwrap();
            assert_eq!(draft.written(), body.len() as u64);
            draft.finish(&preamble.encode().unwrap(), &path, key).unwrap()
        };
        let open = || {
            let file = File::open(&path).unwrap();
            (read(&file, &mut [0; FIRST_READ]).unwrap().map(|read| read.preamble), file)
        };
        let size = store(&preamble, b"body");
        assert_eq!(size, preamble.body_start() + 4);
        let (found, file) = open();
        assert_eq!(found.as_ref(), Ok(&preamble));
        let renewed = Validity { valid: 50, ..preamble.validity };
        renew(&path, &file, &renewed).unwrap();
        assert_eq!(open().0.unwrap().validity, renewed);
        // A head that needs another read.
        preamble.head = vec![b'x'; 3 * FIRST_READ];
        store(&preamble, b"BODY");
        assert_eq!(open().0, Ok(preamble.clone()));
        renew(&path, &file, &renewed).unwrap();
        assert_eq!(open().0.unwrap().validity, preamble.validity, "the old file is renewed no more");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary name is left");
        OpenOptions::new().write(true).open(&path).unwrap().set_len(size - 1).unwrap();
        assert_eq!(open().0, Err(Flaw::Damaged));
    }

    #[test]
    fn names_of_temporary_files_tell_who_writes_them() {
        let name = temporary(Path::new("/c"), Key::of(b""));
        assert_eq!(writer(name.file_name().unwrap().as_encoded_bytes()), Some(std::process::id()));
        for name in ["d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e.1", "x.1.1"] {
            assert_eq!(writer(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn the_sum_is_the_known_one() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_found_out(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let preamble = preamble();
            let mut bytes = preamble.encode().unwrap();
            let size = bytes.len() as u64 + preamble.length;
            prop_assert_eq!(Preamble::decode(&bytes, size), Ok(preamble.clone()));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            match Preamble::decode(&bytes, size) {
                Err(_) => {}
                // What is wrong with the validity makes the answer one that has expired.
                Ok(found) => prop_assert!(VALIDITY.contains(&at) && (found.validity == Validity::default() || found == preamble)),
            }
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
            let start: &[u8] = if magic { MAGIC } else { b"" };
            let bytes = [start, &bytes].concat();
            prop_assert!(Preamble::decode(&bytes, bytes.len() as u64).is_err());
        }
    }
}
