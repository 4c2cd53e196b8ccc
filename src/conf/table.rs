//! Directive tables: what each block may contain, checked here and documented from here.

use std::path::PathBuf;
use std::time::Duration;

use super::error::{Error, Result};
use super::loader::Loader;
use super::tree::Node;

/// A set of places where a directive may stand, and the place a block opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contexts(pub u32);

impl Contexts {
    /// Outside of any block.
    pub const MAIN: Contexts = Contexts(1);
    /// `events {}`
    pub const EVENTS: Contexts = Contexts(1 << 1);
    /// `tcp {}`
    pub const TCP: Contexts = Contexts(1 << 2);
    /// `server {}` of `tcp {}`
    pub const TCP_SERVER: Contexts = Contexts(1 << 3);
    /// `location {}` of such a server
    pub const TCP_LOCATION: Contexts = Contexts(1 << 4);
    /// `upstream {}` of `tcp {}`
    pub const TCP_UPSTREAM: Contexts = Contexts(1 << 5);

    /// Both sets together; usable in constants.
    pub const fn or(self, other: Contexts) -> Contexts {
        Contexts(self.0 | other.0)
    }

    /// Whether any place of `other` is in this set.
    pub const fn overlaps(self, other: Contexts) -> bool {
        self.0 & other.0 != 0
    }
}

/// How many arguments a directive takes, its name not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly so many.
    Exactly(usize),
    /// From the first to the second number.
    Between(usize, usize),
    /// So many or more.
    AtLeast(usize),
}

/// What is known of a directive without its setter: all that checks and documentation need.
#[derive(Debug)]
pub struct Row {
    /// The name as written in a configuration.
    pub name: &'static str,
    /// Where it may stand.
    pub contexts: Contexts,
    /// The number of arguments.
    pub arity: Arity,
    /// The place its `{}` opens; `None` for a directive ended by `;`.
    pub block: Option<Contexts>,
    /// Whether it may stand more than once on one level (else: `"x" directive is duplicate`).
    pub repeat: bool,
    /// How its arguments are written, for the documentation: `on | off`, `time`, `path [buffer=size]`.
    pub syntax: &'static str,
    /// The default as it would be written, or `-`.
    pub default: &'static str,
    /// One line of help.
    pub help: &'static str,
}

/// A row of the table of the block that fills a `T`.
pub struct Directive<T: 'static> {
    /// What checks and documentation need.
    pub row: Row,
    /// Puts the directive's meaning into the struct; refuses bad values.
    pub set: fn(&mut T, &mut Call<'_>) -> Result<()>,
}

/// One directive handed to its setter: the words, and what is needed to read them.
pub struct Call<'a> {
    /// The directive as written.
    pub node: &'a Node,
    /// The context it stands in.
    pub context: Contexts,
    /// The load under way: prefix, warnings.
    pub loader: &'a mut Loader,
}

impl<'a> Call<'a> {
    /// The directive's name.
    pub fn name(&self) -> &'a str {
        todo!()
    }
    /// The number of arguments.
    pub fn count(&self) -> usize {
        self.node.words.len() - 1
    }
    /// Argument `i`, counted from 1, as bytes.
    pub fn bytes(&self, _i: usize) -> &'a [u8] {
        todo!()
    }
    /// Argument `i`, counted from 1, as text; refused when it is not UTF-8.
    pub fn text(&self, _i: usize) -> Result<&'a str> {
        todo!()
    }
    /// All arguments as text.
    pub fn texts(&self) -> Result<Vec<&'a str>> {
        todo!()
    }
    /// The only argument as `on` or `off`.
    pub fn flag(&self) -> Result<bool> {
        todo!()
    }
    /// The first argument as a size (`k`, `m`, `g`).
    pub fn size(&self) -> Result<usize> {
        todo!()
    }
    /// The first argument as a time in a millisecond slot: a bare number is seconds, `ms` is allowed.
    pub fn time(&self) -> Result<Duration> {
        todo!()
    }
    /// The first argument as a time in a seconds slot: `ms` is refused.
    pub fn seconds(&self) -> Result<Duration> {
        todo!()
    }
    /// The first argument as a plain number.
    pub fn number(&self) -> Result<usize> {
        todo!()
    }
    /// Argument `i` as one of the words of an enumeration; else nginx's `invalid value "x"`.
    pub fn choice<V: Copy>(&self, _i: usize, _choices: &[(&str, V)]) -> Result<V> {
        todo!()
    }
    /// Argument `i` as a path relative to the prefix.
    pub fn path(&self, _i: usize) -> PathBuf {
        todo!()
    }
    /// Argument `i` as a path relative to the folder of the main configuration file.
    pub fn conf_path(&self, _i: usize) -> PathBuf {
        todo!()
    }
    /// A fault of this directive.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::at(&self.node.place, message)
    }
    /// nginx's answer to a value out of its form: `"x" directive invalid value`.
    pub fn invalid(&self) -> Error {
        todo!()
    }
    /// nginx's answer to a second one where one is allowed: `"x" directive is duplicate`.
    pub fn duplicate(&self) -> Error {
        todo!()
    }
    /// Something the operator should know that does not keep the configuration from being used.
    pub fn warn(&mut self, _message: impl Into<String>) {
        todo!()
    }
    /// Runs the setters of `table` over this directive's block, in the order written.
    pub fn apply<T>(&mut self, _table: &[Directive<T>], _target: &mut T) -> Result<()> {
        todo!()
    }
}

/// Runs the setters of `table` over `nodes`, which stand in `context`, in the order written. `check` has run before:
/// a name that is not in the table is a fault of the program.
pub fn apply<T>(
    _table: &[Directive<T>],
    _nodes: &[Node],
    _context: Contexts,
    _target: &mut T,
    _loader: &mut Loader,
) -> Result<()> {
    todo!()
}

/// Holds every node, block by block, against the rows of all tables: unknown names, wrong places, missing or unwanted
/// blocks, numbers of arguments, duplicates, in nginx's words and in the order of the file.
pub fn check(_rows: &[&Row], _nodes: &[Node], _context: Contexts) -> Result<()> {
    todo!()
}
