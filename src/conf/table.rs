//! Directive tables: what each block may contain, checked here and documented from here.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::{Error, Result};
use super::loader::{Loader, Warning};
use super::tree::{Node, comment_hint};
use super::value;

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
    /// `http {}`
    pub const HTTP: Contexts = Contexts(1 << 6);
    /// `server {}` of `http {}`
    pub const HTTP_SERVER: Contexts = Contexts(1 << 7);
    /// `location {}` of such a server, or of another location
    pub const HTTP_LOCATION: Contexts = Contexts(1 << 8);
    /// `types {}`
    pub const HTTP_TYPES: Contexts = Contexts(1 << 9);
    /// `if {}` outside of locations
    pub const HTTP_SERVER_IF: Contexts = Contexts(1 << 10);
    /// `if {}` in a location
    pub const HTTP_LOCATION_IF: Contexts = Contexts(1 << 11);
    /// `map {}`
    pub const HTTP_MAP: Contexts = Contexts(1 << 12);
    /// `split_clients {}`
    pub const HTTP_SPLIT_CLIENTS: Contexts = Contexts(1 << 13);
    /// `geo {}`
    pub const HTTP_GEO: Contexts = Contexts(1 << 14);
    /// `upstream {}` of `http {}`
    pub const HTTP_UPSTREAM: Contexts = Contexts(1 << 15);
    /// `limit_except {}`
    pub const HTTP_LIMIT_EXCEPT: Contexts = Contexts(1 << 16);

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

impl Arity {
    /// Whether so many arguments are right.
    const fn allows(self, count: usize) -> bool {
        match self {
            Arity::Exactly(exact) => count == exact,
            Arity::Between(low, high) => low <= count && count <= high,
            Arity::AtLeast(low) => low <= count,
        }
    }
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

impl Row {
    /// The name of the row of a block in which any word may stand for a directive, such as the types in `types {}`.
    pub const ANY: &'static str = "*";
}

/// A row of the table of the block that fills a `T`.
pub struct Directive<T: 'static> {
    /// What checks and documentation need.
    pub row: Row,
    /// Puts the directive's meaning into the struct; refuses bad values.
    pub set: fn(&mut T, &mut Call<'_>) -> Result<()>,
}

/// A word that sets a flag of a `T`.
pub type Flag<T> = (&'static str, fn(&mut T) -> &mut bool);

/// The longest time a setter is given: longer ones mean the same, and a deadline made of this one still fits the clock.
pub const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// One directive handed to its setter: the words, and what is needed to read them.
pub struct Call<'a> {
    /// The directive as written.
    pub node: &'a Node,
    /// The context it stands in.
    pub context: Contexts,
    /// The context its block opens; `None` for a directive ended by `;`.
    pub block: Option<Contexts>,
    /// The load under way: prefix, warnings.
    pub loader: &'a mut Loader,
}

impl<'a> Call<'a> {
    /// The directive's name.
    pub fn name(&self) -> &'a str {
        // The check has found it equal to the name in a row.
        std::str::from_utf8(self.bytes(0)).unwrap_or_default()
    }
    /// The number of arguments.
    pub fn count(&self) -> usize {
        self.node.words.len() - 1
    }
    /// Argument `i`, counted from 1, as bytes.
    pub fn bytes(&self, i: usize) -> &'a [u8] {
        &self.node.words[i].bytes
    }
    /// Argument `i`, counted from 1, as text; refused when it is not UTF-8.
    pub fn text(&self, i: usize) -> Result<&'a str> {
        std::str::from_utf8(self.bytes(i)).map_err(|_| self.invalid())
    }
    /// All arguments as text.
    pub fn texts(&self) -> Result<Vec<&'a str>> {
        (1..=self.count()).map(|i| self.text(i)).collect()
    }
    /// The only argument as `on` or `off`, of either case as in nginx.
    pub fn flag(&self) -> Result<bool> {
        let value = self.bytes(1);
        if value.eq_ignore_ascii_case(b"on") {
            Ok(true)
        } else if value.eq_ignore_ascii_case(b"off") {
            Ok(false)
        } else {
            let (value, name) = (String::from_utf8_lossy(value), self.name());
            Err(self.error(format!(r#"invalid value "{value}" in "{name}" directive, it must be "on" or "off""#)))
        }
    }
    /// The first argument as a size (`k`, `m`, `g`).
    pub fn size(&self) -> Result<usize> {
        value::size(self.text(1)?).ok_or_else(|| self.invalid())
    }
    /// The first argument as a time in a millisecond slot: a bare number is seconds, `ms` is allowed. Never more than
    /// [`FOREVER`].
    pub fn time(&self) -> Result<Duration> {
        value::time(self.text(1)?, true).map(|time| time.min(FOREVER)).ok_or_else(|| self.invalid())
    }
    /// The first argument as a time in a seconds slot: `ms` is refused. Never more than [`FOREVER`].
    pub fn seconds(&self) -> Result<Duration> {
        value::time(self.text(1)?, false).map(|time| time.min(FOREVER)).ok_or_else(|| self.invalid())
    }
    /// The first argument as a plain number; else nginx's `"x" directive invalid number`.
    pub fn number(&self) -> Result<usize> {
        let text = std::str::from_utf8(self.bytes(1)).ok();
        text.and_then(value::number).ok_or_else(|| self.error(format!(r#""{}" directive invalid number"#, self.name())))
    }
    /// Argument `i` as one of the words of an enumeration, of either case as in nginx; else `invalid value "x"`.
    pub fn choice<V: Copy>(&self, i: usize, choices: &[(&str, V)]) -> Result<V> {
        let value = self.bytes(i);
        let chosen = choices.iter().find(|(word, _)| value.eq_ignore_ascii_case(word.as_bytes()));
        chosen
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| self.error(format!(r#"invalid value "{}""#, String::from_utf8_lossy(value))))
    }
    /// All arguments as such words, for a set of them: `add` takes a meaning and tells whether it is new; of one that is not the
    /// operator is told, as by nginx.
    pub fn choices<V: Copy>(&mut self, choices: &[(&str, V)], mut add: impl FnMut(V) -> bool) -> Result<()> {
        for i in 1..=self.count() {
            if !add(self.choice(i, choices)?) {
                self.warn(format!(r#"duplicate value "{}""#, String::from_utf8_lossy(self.bytes(i))));
            }
        }
        Ok(())
    }
    /// [`Call::choices`] that are flags of a set.
    pub fn flags<T>(&mut self, set: &mut T, flags: &[Flag<T>]) -> Result<()> {
        self.choices(flags, |flag| !std::mem::replace(flag(set), true))
    }
    /// Argument `i` as a path relative to the prefix.
    pub fn path(&self, i: usize) -> PathBuf {
        self.loader.prefix.join(OsStr::from_bytes(self.bytes(i)))
    }
    /// Argument `i` as a path relative to the folder of the main configuration file.
    pub fn conf_path(&self, i: usize) -> PathBuf {
        self.loader.conf_dir.join(OsStr::from_bytes(self.bytes(i)))
    }
    /// A fault of this directive.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::at(&self.node.place, message)
    }
    /// nginx's answer to a value out of its form: `"x" directive invalid value`.
    pub fn invalid(&self) -> Error {
        self.error(format!(r#""{}" directive invalid value"#, self.name()))
    }
    /// nginx's answer to a second one where one is allowed: `"x" directive is duplicate`.
    pub fn duplicate(&self) -> Error {
        duplicate(self.node)
    }
    /// Something the operator should know that does not keep the configuration from being used.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.loader.warnings.push(Warning { message: message.into(), place: Some(self.node.place.clone()) });
    }
    /// Runs the setters of `table` over this directive's block, in the order written; does nothing for one ended by
    /// `;`.
    pub fn apply<T>(&mut self, table: &[Directive<T>], target: &mut T) -> Result<()> {
        self.apply_all(&[table], target)
    }
    /// [`Call::apply`] for a block whose table is written in parts.
    pub fn apply_all<T>(&mut self, tables: &[&[Directive<T>]], target: &mut T) -> Result<()> {
        match (&self.node.block, self.block) {
            (Some(nodes), Some(context)) => apply(tables, nodes, context, target, self.loader),
            _ => Ok(()),
        }
    }
}

/// Runs the setters of `tables`, which together are one, over `nodes`, which stand in `context`, in the order written, up to the first fault,
/// be it a setter's or one found before. [`check`] has run before: a name that is not in the table is a fault of the
/// program, told in an error.
pub fn apply<T>(
    tables: &[&[Directive<T>]],
    nodes: &[Node],
    context: Contexts,
    target: &mut T,
    loader: &mut Loader,
) -> Result<()> {
    for node in nodes {
        if let Some(fault) = &node.fault {
            return Err(fault.as_ref().clone());
        }
        let name = &node.words[0].bytes;
        let directive = tables.iter().copied().flatten().find(|directive| {
            [name.as_slice(), Row::ANY.as_bytes()].contains(&directive.row.name.as_bytes())
                && directive.row.contexts.overlaps(context)
        });
        let Some(Directive { row, set }) = directive else {
            let message = format!(r#"directive "{}" has no setter"#, String::from_utf8_lossy(name));
            return Err(Error::at(&node.place, message));
        };
        set(target, &mut Call { node, context, block: row.block, loader })?;
    }
    Ok(())
}

/// Directives of nginx that have no rows yet. A configuration that uses some is told of all of them at once.
#[derive(Clone, Copy, Debug)]
pub struct Awaited {
    /// Where they are awaited. A name that has a row for one of these places is not.
    pub contexts: Contexts,
    /// Their names with blanks between; those that have rows may be among them.
    pub names: &'static str,
}

impl Default for Awaited {
    /// None.
    fn default() -> Self {
        Awaited { contexts: Contexts(0), names: "" }
    }
}

impl Awaited {
    /// The fault of a directive that is awaited.
    fn fault(&self, rows: &Rows, node: &Node, context: Contexts) -> Option<Error> {
        let name = std::str::from_utf8(&node.words[0].bytes).ok()?;
        let any = rows.get(Row::ANY.as_bytes()).is_some_and(|any| any.iter().any(|row| row.contexts.overlaps(context)));
        let known =
            rows.get(name.as_bytes()).is_some_and(|known| known.iter().any(|row| row.contexts.overlaps(self.contexts)));
        if any
            || known
            || !self.contexts.overlaps(context)
            || !self.names.split_whitespace().any(|awaited| awaited == name)
        {
            return None;
        }
        let hint = Some("weir does not have it yet");
        Some(Error { hint, ..Error::at(&node.place, format!(r#"unknown directive "{name}""#)) })
    }
}

/// Rows by their names.
type Rows<'a> = HashMap<&'a [u8], Vec<&'a Row>>;

/// Holds every node, block by block, against the rows of all tables: unknown names, wrong places, missing or unwanted
/// blocks, numbers of arguments, duplicates, in nginx's words and in the order of the file. The first fault is put into
/// its node and what follows it is dropped, so that [`apply`] reports it in its turn. Returns the faults of directives
/// that are awaited.
pub fn check(rows: &[&Row], awaited: Awaited, nodes: &mut Vec<Node>, context: Contexts) -> Vec<Error> {
    let mut by_name = Rows::new();
    for row in rows {
        by_name.entry(row.name.as_bytes()).or_default().push(row);
    }
    let mut missing = Vec::new();
    check_block(&by_name, awaited, nodes, context, &mut missing);
    missing
}

/// Checks one level and those below it; false when a fault ends it.
fn check_block(
    rows: &Rows,
    awaited: Awaited,
    nodes: &mut Vec<Node>,
    context: Contexts,
    missing: &mut Vec<Error>,
) -> bool {
    let mut seen = HashSet::new();
    let faulty = nodes.iter_mut().position(|node| {
        if node.fault.is_some() {
            return true;
        }
        if let Some(fault) = awaited.fault(rows, node, context) {
            missing.push(fault);
            return false;
        }
        let row = match find_row(rows, node, context) {
            Ok(row) if !row.repeat && !seen.insert(row.name) => Err(duplicate(node)),
            found => found,
        };
        match (row, &mut node.block) {
            (Err(fault), _) => {
                node.fault = Some(Box::new(fault));
                true
            }
            (Ok(Row { block: Some(inner), .. }), Some(block)) => !check_block(rows, awaited, block, *inner, missing),
            _ => false,
        }
    });
    if let Some(faulty) = faulty {
        nodes.truncate(faulty + 1);
    }
    faulty.is_none()
}

/// The row that holds for a directive in this context, if the directive has its form.
fn find_row<'a>(rows: &Rows<'a>, node: &Node, context: Contexts) -> Result<&'a Row> {
    let name = String::from_utf8_lossy(&node.words[0].bytes);
    let any = rows.get(Row::ANY.as_bytes()).filter(|any| any.iter().any(|row| row.contexts.overlaps(context)));
    let Some(known) = any.or_else(|| rows.get(node.words[0].bytes.as_slice()).filter(|_| name != Row::ANY)) else {
        let hint = comment_hint(&node.words[..1]);
        return Err(Error { hint, ..Error::at(&node.place, format!(r#"unknown directive "{name}""#)) });
    };
    let Some(row) = known.iter().find(|row| row.contexts.overlaps(context)) else {
        return Err(Error::at(&node.place, format!(r#""{name}" directive is not allowed here"#)));
    };
    let fault = match (row.block, &node.block) {
        (None, Some(_)) => format!(r#"directive "{name}" is not terminated by ";""#),
        (Some(_), None) => format!(r#"directive "{name}" has no opening "{{""#),
        _ if !row.arity.allows(node.words.len() - 1) => {
            format!(r#"invalid number of arguments in "{name}" directive"#)
        }
        _ => return Ok(row),
    };
    Err(Error { hint: comment_hint(&node.words), ..Error::at(&node.place, fault) })
}

fn duplicate(node: &Node) -> Error {
    let name = String::from_utf8_lossy(&node.words[0].bytes);
    Error::at(&node.place, format!(r#""{name}" directive is duplicate"#))
}
