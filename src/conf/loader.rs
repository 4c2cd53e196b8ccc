//! Reading the main file and what it includes, and what is shared while setters run.

use std::path::{Path, PathBuf};

use super::error::{Place, Result};
use super::table::{Contexts, Directive, Row};

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
}

impl Loader {
    /// A load of `main_file` (absolute) under `prefix`.
    pub fn new(_prefix: &Path, _main_file: &Path) -> Self {
        todo!()
    }

    /// Reads the text given by `-g` (place `command line`, context main) and then the main file, checks every directive
    /// against `rows`, and runs the setters of the main context's table. A syntax error is reported only after faults of
    /// directives that stand before it, as nginx does.
    pub fn load<T>(
        &mut self,
        _main_file: &Path,
        _command_line: &str,
        _rows: &[&Row],
        _table: &[Directive<T>],
        _target: &mut T,
    ) -> Result<()> {
        let _ = Contexts::MAIN;
        todo!()
    }
}
