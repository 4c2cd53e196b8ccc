//! The command line: start, test (-t), signal (-s).

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use weir::process::options::{Options, about};
use weir::process::{start, trial};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let options = match Options::parse(arguments.iter().skip(1).cloned()) {
        Ok(options) => options,
        Err(fault) => return refuse(&fault.to_string()),
    };
    if options.version {
        let _ = io::stderr().write_all(about(&options).as_bytes());
        if !options.test {
            return ExitCode::SUCCESS;
        }
    }
    let cwd = match std::env::current_dir() {
        Ok(cwd) => cwd,
        Err(error) => return refuse(&format!("getcwd() failed ({error})")),
    };
    let source = options.source(&cwd);
    let ended = if options.test {
        trial::run(&source, &options).map(|()| 0)
    } else if let Some(signal) = options.signal {
        start::signal(&source, signal).map(|()| 0)
    } else {
        start::run(arguments, &cwd, source)
    };
    // What went wrong is in the log.
    ended.map_or(ExitCode::FAILURE, ExitCode::from)
}

fn refuse(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "weir: {message}");
    ExitCode::FAILURE
}
