//! What can be wrong with a configuration, and where.

use std::fmt;
use std::io;
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

/// A fault that keeps a configuration from being used; printed as nginx does, `MESSAGE in FILE:LINE`, with the hint
/// behind it in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What is wrong, in nginx's words where nginx has words for it.
    pub message: String,
    /// Where, unless the fault belongs to no line (a file that cannot be opened, a missing section).
    pub place: Option<Place>,
    /// What may help the operator where nginx's words alone do not.
    pub hint: Option<&'static str>,
    /// More faults of the same kind, which the operator should know of at once.
    pub also: Vec<Error>,
}

impl Error {
    /// A fault at a line.
    pub fn at(place: &Place, message: impl Into<String>) -> Self {
        Error { message: message.into(), place: Some(place.clone()), hint: None, also: Vec::new() }
    }

    /// A fault of the configuration as a whole.
    pub fn general(message: impl Into<String>) -> Self {
        Error { message: message.into(), place: None, hint: None, also: Vec::new() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{} in {place}", self.message)?,
            None => f.write_str(&self.message)?,
        }
        match self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// The result of reading a piece of configuration.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed system call as nginx prints it: `2: No such file or directory`.
pub(super) fn errno(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => format!("{code}: {}", text.trim_end_matches(&format!(" (os error {code})"))),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_as_nginx_does() {
        let place = Place { file: "/etc/nginx.conf".into(), line: 3 };
        assert_eq!(Error::at(&place, "bad").to_string(), "bad in /etc/nginx.conf:3");
        let hinted = Error { hint: Some("try this"), ..Error::at(&place, "bad") };
        assert_eq!(hinted.to_string(), "bad in /etc/nginx.conf:3 (try this)");
        let place = Place { file: "command line".into(), line: 0 };
        assert_eq!(Error::at(&place, "bad").to_string(), "bad in command line");
        assert_eq!(Error::general("bad").to_string(), "bad");
    }

    #[test]
    fn system_errors_have_number_and_text() {
        assert_eq!(errno(&io::Error::from_raw_os_error(2)), "2: No such file or directory");
        assert_eq!(errno(&io::Error::from_raw_os_error(21)), "21: Is a directory");
    }
}
