//! Files turned into nodes: one node a directive, with its words and, for a block, the nodes inside.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::error::{Error, Place};
use super::loader::Loader;
use super::tokens::{Mark, Tokens};

/// One word of a directive, unescaped. nginx words are bytes, not text: comments and strings in old encodings exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The bytes after unquoting and unescaping.
    pub bytes: Vec<u8>,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// A directive as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name first, then the arguments; never empty.
    pub words: Vec<Word>,
    /// The body of a block directive; `None` for one ended by `;`.
    pub block: Option<Vec<Node>>,
    /// Where its `;` or `{` stands, which is the line nginx reports.
    pub place: Place,
    /// Where the block's `}` stands (the same as `place` for one ended by `;`); nginx reports this line for faults
    /// that show only at the end of a block.
    pub end: Place,
    /// What keeps this directive from being used, found before its setter could run. Nothing follows such a node in
    /// the tree; the setters of those before it run as if it were not there.
    pub fault: Option<Box<Error>>,
}

impl Node {
    /// The fault that ends these nodes, if any.
    pub(super) fn fault_in(nodes: &[Node]) -> Option<&Error> {
        let last = nodes.last()?;
        last.fault.as_deref().or_else(|| Node::fault_in(last.block.as_deref()?))
    }
}

/// What is said to those who write `//` for a comment, as configurations copied from the net do.
const COMMENT_HINT: &str = r##""//" does not begin a comment, use "#""##;

/// The hint for a fault of a directive with these words.
pub(super) fn comment_hint(words: &[Word]) -> Option<&'static str> {
    words.iter().any(|word| !word.quoted && word.bytes.starts_with(b"//")).then_some(COMMENT_HINT)
}

/// nginx sets no bounds here and runs out of stack or of descriptors; these are far above any real configuration.
const BLOCKS_MAX: usize = 128;
const INCLUDES_MAX: usize = 64;

/// Reading has come to a fault, which stands in the last of the nodes read.
#[derive(Debug)]
pub(super) struct Stopped;

/// Reads a file and what it includes into `nodes`.
pub(super) fn read_file(loader: &mut Loader, path: &Path, nodes: &mut Vec<Node>) -> Result<(), Stopped> {
    match loader.read(path, None) {
        Ok(text) => {
            let file = path.to_string_lossy().into();
            let mut reader = Reader { loader, tokens: Tokens::of_file(&text), file, parameter: false, includes: 0 };
            reader.read(0, false, nodes).map(|_| ())
        }
        Err(error) => Err(stop(nodes, Vec::new(), Place { file: path.to_string_lossy().into(), line: 1 }, error)),
    }
}

/// Reads the directives given by `-g` into `nodes`.
pub(super) fn read_parameter(loader: &mut Loader, text: &str, nodes: &mut Vec<Node>) -> Result<(), Stopped> {
    let tokens = Tokens::of_parameter(text.as_bytes());
    let mut reader = Reader { loader, tokens, file: "command line".into(), parameter: true, includes: 0 };
    reader.read(0, false, nodes).map(|_| ())
}

/// Ends the tree with a fault met behind `words`.
fn stop(nodes: &mut Vec<Node>, mut words: Vec<Word>, place: Place, error: Error) -> Stopped {
    if words.is_empty() {
        words.push(Word { bytes: Vec::new(), quoted: false });
    }
    nodes.push(Node { words, block: None, end: place.clone(), place, fault: Some(Box::new(error)) });
    Stopped
}

/// One text being turned into nodes.
struct Reader<'a> {
    loader: &'a mut Loader,
    tokens: Tokens<'a>,
    file: Rc<str>,
    /// Whether the text is that of `-g`.
    parameter: bool,
    /// The number of files that include this one, one through the other.
    includes: usize,
}

impl Reader<'_> {
    /// Reads to the end of the text, or of the block when `in_block`, and tells where that is. `depth` is the number
    /// of blocks around, those around an `include` counted.
    fn read(&mut self, depth: usize, in_block: bool, nodes: &mut Vec<Node>) -> Result<Place, Stopped> {
        loop {
            let read = self.tokens.read();
            let place = Place { file: self.file.clone(), line: if self.parameter { 0 } else { self.tokens.line() } };
            let (words, mark) = match read {
                Ok(read) => read,
                Err(fault) => {
                    let error = Error { hint: comment_hint(&fault.words), ..Error::at(&place, fault.message) };
                    return Err(stop(nodes, fault.words, place, error));
                }
            };
            let fault = match mark {
                Mark::Close if in_block => return Ok(place),
                Mark::Close => r#"unexpected "}""#.into(),
                Mark::End if !in_block => return Ok(place),
                Mark::End => r#"unexpected end of file, expecting "}""#.into(),
                Mark::Open if self.parameter => "block directives are not supported in -g option".into(),
                Mark::Open if depth == BLOCKS_MAX => format!("blocks are nested deeper than {BLOCKS_MAX} levels"),
                Mark::Open | Mark::Semicolon if words[0].bytes == b"include" => {
                    self.include(words, mark, place, depth, nodes)?;
                    continue;
                }
                Mark::Open => {
                    let mut block = Vec::new();
                    let end = self.read(depth + 1, true, &mut block);
                    let known_end = end.as_ref().unwrap_or(&place).clone();
                    nodes.push(Node { words, block: Some(block), place, end: known_end, fault: None });
                    end?;
                    continue;
                }
                Mark::Semicolon => {
                    nodes.push(Node { words, block: None, end: place.clone(), place, fault: None });
                    continue;
                }
            };
            let error = Error::at(&place, fault);
            return Err(stop(nodes, words, place, error));
        }
    }

    /// Puts the nodes of the files named in the place of an `include`.
    fn include(
        &mut self,
        words: Vec<Word>,
        mark: Mark,
        place: Place,
        depth: usize,
        nodes: &mut Vec<Node>,
    ) -> Result<(), Stopped> {
        let fault = match words.as_slice() {
            _ if mark == Mark::Open => r#"directive "include" is not terminated by ";""#.into(),
            [_, _] if self.includes == INCLUDES_MAX => format!("includes are nested deeper than {INCLUDES_MAX} files"),
            [_, pattern] => {
                for path in matches(&self.loader.conf_dir.join(OsStr::from_bytes(&pattern.bytes))) {
                    let text = match self.loader.read(&path, Some(&place)) {
                        Ok(text) => text,
                        Err(error) => return Err(stop(nodes, words, place, error)),
                    };
                    let mut reader = Reader {
                        loader: self.loader,
                        tokens: Tokens::of_file(&text),
                        file: path.to_string_lossy().into(),
                        parameter: false,
                        includes: self.includes + 1,
                    };
                    reader.read(depth, false, nodes)?;
                }
                return Ok(());
            }
            _ => r#"invalid number of arguments in "include" directive"#.into(),
        };
        let error = Error { hint: comment_hint(&words), ..Error::at(&place, fault) };
        Err(stop(nodes, words, place, error))
    }
}

/// The files an `include` names: the path itself or, with `*`, `?` or `[` in it, what matches, by name, as glob(3)
/// finds it; file names that are not UTF-8 match no pattern.
fn matches(path: &Path) -> Vec<PathBuf> {
    if !path.as_os_str().as_bytes().iter().any(|byte| b"*?[".contains(byte)) {
        return vec![path.to_owned()];
    }
    let found = path.to_str().and_then(|pattern| {
        // glob(3) knows no `**` and takes `^` for `!`.
        let mut pattern = pattern.replace("[^", "[!");
        while pattern.contains("**") {
            pattern = pattern.replace("**", "*");
        }
        glob::glob(&pattern).ok()
    });
    match found {
        Some(found) => {
            let mut paths: Vec<PathBuf> =
                found.filter_map(|found| found.ok()).filter(|found| !hidden_from(path, found)).collect();
            paths.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
            paths
        }
        // What is no pattern, like a bracket left open, can only be a name.
        None => Some(path.to_owned()).filter(|path| path.exists()).into_iter().collect(),
    }
}

/// Whether a name with a leading dot was matched by something else than a dot. The glob crate can leave these out
/// itself, but it then finds none at all, and panics at names that are not UTF-8.
fn hidden_from(pattern: &Path, found: &Path) -> bool {
    let dot = |name: &OsStr| name.as_bytes().starts_with(b".");
    pattern.iter().zip(found.iter()).any(|(pattern, name)| dot(name) && !dot(pattern))
}
