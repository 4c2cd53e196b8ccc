//! Names of entries: the MD5 of the key's text, and where below the cache's folder a file of that name stands.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Hexadecimal digits of a name.
pub(super) const DIGITS: usize = 32;
/// Levels of folders that `levels=` may have, nginx's bound.
pub(super) const LEVELS_MAX: usize = 3;

/// What an entry is known by: the MD5 of its key's text, as in nginx.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// The name of what `text` stands for.
    pub fn of(text: &[u8]) -> Self {
        Key(md5::compute(text).0)
    }

    /// The key of a file's name; `None`: it is none of ours.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if name.len() != DIGITS || !name.iter().all(|byte| digits(*byte)) {
            return None;
        }
        let mut key = [0; 16];
        for (byte, pair) in key.iter_mut().zip(name.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Key(key))
    }
}

impl Key {
    /// Its hexadecimal digits.
    fn digits(&self) -> [u8; DIGITS] {
        let mut digits = [0; DIGITS];
        for (pair, byte) in digits.chunks_mut(2).zip(self.0) {
            pair.copy_from_slice(&[byte >> 4, byte & 0xf].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
        digits
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `levels=`: the digits that each level of folders takes from the end of the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels(Vec<usize>);

impl Levels {
    /// Reads `1:2`: up to three levels of one or two digits each.
    pub fn parse(text: &str) -> Option<Self> {
        let level = |text: &str| match text {
            "1" => Some(1),
            "2" => Some(2),
            _ => None,
        };
        let levels: Vec<usize> = text.split(':').map(level).collect::<Option<_>>()?;
        (levels.len() <= LEVELS_MAX).then_some(Levels(levels))
    }

    /// Where the file of `key` stands below `root`.
    pub fn path(&self, root: &Path, key: Key) -> PathBuf {
        let (root, name) = (root.as_os_str().as_bytes(), key.digits());
        let mut path = Vec::with_capacity(root.len() + DIGITS + 1 + 3 * LEVELS_MAX);
        path.extend_from_slice(root);
        let mut end = DIGITS;
        for digits in &self.0 {
            path.push(b'/');
            path.extend_from_slice(&name[end - digits..end]);
            end -= digits;
        }
        path.push(b'/');
        path.extend_from_slice(&name);
        OsString::from_vec(path).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        let key = Key::of(b"httplocalhost/a");
        assert_eq!(Key::of(b"").to_string(), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(Key::parse(key.to_string().as_bytes()), Some(key));
        for name in ["", "d41d8cd98f00b204e9800998ecf8427", "D41d8cd98f00b204e9800998ecf8427e"] {
            assert_eq!(Key::parse(name.as_bytes()), None, "{name}");
        }
        let path = |levels: &str| {
            Levels::parse(levels).map(|levels| levels.path(Path::new("/c"), Key::of(b"")).display().to_string())
        };
        assert_eq!(path("1:2").unwrap(), "/c/e/27/d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(path("2").unwrap(), "/c/7e/d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(path("1:1:1").unwrap(), "/c/e/7/2/d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(
            Levels::default().path(Path::new("/c"), Key::of(b"")),
            Path::new("/c/d41d8cd98f00b204e9800998ecf8427e")
        );
        for wrong in ["", "0", "3", "1:", ":1", "1:2:1:2", "1:x"] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }
}
