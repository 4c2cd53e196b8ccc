//! What can be wrong with a configuration, and where.

use std::fmt;
use std::rc::Rc;

/// A line of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as nginx prints it: the full path, or `command line` for `-g`.
    pub file: Rc<str>,
    /// Counted from 1; 0 where lines have no meaning (`command line`), and then not printed.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { write!(f, "{}", self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// A fault that keeps a configuration from being used; printed as nginx does: `MESSAGE in FILE:LINE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong, in nginx's words where nginx has words for it.
    pub message: String,
    /// Where, unless the fault belongs to no line (a file that cannot be opened, a missing section).
    pub place: Option<Place>,
}

impl Error {
    /// A fault at a line.
    pub fn at(place: &Place, message: impl Into<String>) -> Self {
        Error { message: message.into(), place: Some(place.clone()) }
    }

    /// A fault of the configuration as a whole.
    pub fn general(message: impl Into<String>) -> Self {
        Error { message: message.into(), place: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} in {place}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

/// The result of reading a piece of configuration.
pub type Result<T> = std::result::Result<T, Error>;
