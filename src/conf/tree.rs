//! Files turned into nodes: one node a directive, with its words and, for a block, the nodes inside.

use super::error::Place;

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
    /// The name first, then the arguments.
    pub words: Vec<Word>,
    /// The body of a block directive; `None` for one ended by `;`.
    pub block: Option<Vec<Node>>,
    /// Where its `;` or `{` stands, which is the line nginx reports.
    pub place: Place,
    /// Where the block's `}` stands (the same as `place` for one ended by `;`); nginx reports this line for faults
    /// that show only at the end of a block.
    pub end: Place,
}
