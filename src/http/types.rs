//! `types {}`: what a file is, by the end of its name.

use std::collections::HashMap;

/// Types by extension in lower case.
#[derive(Clone, Debug)]
pub struct Types(HashMap<Vec<u8>, Vec<u8>>);

impl Default for Types {
    /// What nginx knows without a `types {}`.
    fn default() -> Self {
        let known: [(&[u8], &[u8]); 4] =
            [(b"html", b"text/html"), (b"gif", b"image/gif"), (b"jpg", b"image/jpeg"), (b"jpeg", b"image/jpeg")];
        Types(known.into_iter().map(|(extension, mime)| (extension.to_vec(), mime.to_vec())).collect())
    }
}

impl Types {
    /// No types.
    pub(super) fn empty() -> Self {
        Types(HashMap::new())
    }

    /// Adds an extension and gives back the type it had before.
    pub(super) fn add(&mut self, extension: &[u8], mime: &[u8]) -> Option<Vec<u8>> {
        self.0.insert(extension.to_ascii_lowercase(), mime.to_vec())
    }

    /// The type of a file by its path; a name that only begins with a dot has no extension.
    pub(super) fn of(&self, path: &[u8]) -> Option<&[u8]> {
        let name = &path[path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1)..];
        let dot = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0)?;
        self.0.get(&name[dot + 1..].to_ascii_lowercase()).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_extension_counts() {
        let mut types = Types::default();
        assert_eq!(types.add(b"GZ", b"application/gzip"), None);
        assert_eq!(types.of(b"/a.b/c.tar.gz"), Some(&b"application/gzip"[..]));
        assert_eq!(types.of(b"/a.HTML"), Some(&b"text/html"[..]));
        for none in [&b"/a.gz/b"[..], b"/.gz", b"/a.", b"/gz", b""] {
            assert_eq!(types.of(none), None);
        }
        assert_eq!(types.add(b"html", b"x/y"), Some(b"text/html".to_vec()));
    }
}
