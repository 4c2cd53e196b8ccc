//! Reading the main file and what it includes, and what is shared while setters run.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::error::{Error, Place, Result, errno};
use super::file;
use super::table::{self, Awaited, Contexts, Directive, Row};
use super::tree::{self, Node};

/// A warning: printed as `[warn]` with its place, the configuration is used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What the operator should know.
    pub message: String,
    /// Where it was met.
    pub place: Option<Place>,
}

/// One load of a configuration: where files are, what was read, what was noticed.
pub struct Loader {
    /// The prefix (`-p`), against which paths in directives are taken.
    pub prefix: PathBuf,
    /// The folder of the main file, against which `include` and certificate files are taken.
    pub conf_dir: PathBuf,
    /// What was noticed so far, in order.
    pub warnings: Vec<Warning>,
    /// Every file read, in order, each once, with its contents: what `-T` prints.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Directives to come.
    pub awaited: Awaited,
    /// The paths in `files`.
    known: HashSet<PathBuf>,
}

impl Loader {
    /// A load of `main_file` (absolute) under `prefix`.
    pub fn new(prefix: &Path, main_file: &Path) -> Self {
        Loader {
            prefix: prefix.to_owned(),
            conf_dir: main_file.parent().unwrap_or(Path::new("/")).to_owned(),
            warnings: Vec::new(),
            files: Vec::new(),
            awaited: Awaited::default(),
            known: HashSet::new(),
        }
    }

    /// Reads the text given by `-g` (place `command line`, context main) and then the main file, checks every directive
    /// against `rows`, and runs the setters of the main context's table. Of several faults the first in the order of
    /// the text is reported, whether the syntax, a check or a setter finds it, as nginx does; but directives that are
    /// awaited are reported before all else, and all of them.
    pub fn load<T>(
        &mut self,
        main_file: &Path,
        command_line: &str,
        rows: &[&Row],
        table: &[Directive<T>],
        target: &mut T,
    ) -> Result<()> {
        let mut nodes = Vec::new();
        if tree::read_parameter(self, command_line, &mut nodes).is_ok() {
            // A fault stands in the nodes and comes up below.
            let _ = tree::read_file(self, main_file, &mut nodes);
        }
        let mut missing = table::check(rows, self.awaited, &mut nodes, Contexts::MAIN).into_iter();
        // What stands beside a directive that is left out may be wrong only because of that.
        if let Some(first) = missing.next() {
            return Err(Error { also: missing.collect(), ..first });
        }
        table::apply(&[table], &nodes, Contexts::MAIN, target, self)?;
        // A fault inside of a block whose setter does not look into it.
        Node::fault_in(&nodes).map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Reads a file asked for at `place` and keeps its contents for `-T`.
    pub(super) fn read(&mut self, path: &Path, place: Option<&Place>) -> Result<Vec<u8>> {
        let file = file::open(path).map_err(|error| Error {
            message: format!("open() \"{}\" failed ({})", path.display(), errno(&error)),
            place: place.cloned(),
            hint: None,
            also: Vec::new(),
        })?;
        // nginx names no place here.
        let text = file::contents(&file)
            .map_err(|error| Error::general(format!("pread() \"{}\" failed ({})", path.display(), errno(&error))))?;
        if self.known.insert(path.to_owned()) {
            self.files.push((path.to_owned(), text.clone()));
        }
        Ok(text)
    }
}
