//! Servers of a test's own that are Python programs: each prints the port it serves on, and ends when its input is closed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Debian's, for which packages like `python3-websockets` are installed.
pub const PYTHON: &str = "/usr/bin/python3";

/// The path of a program in `tests/it/`.
pub fn path(name: &str) -> String {
    format!("{}/tests/it/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server, until it is dropped.
pub struct Script {
    child: Child,
    /// Where it serves.
    pub address: String,
}

impl Script {
    /// Starts a program of `tests/it/`.
    pub fn start(name: &str, arguments: &[&str]) -> Script {
        let mut command = Command::new(PYTHON);
        // -B: no compiled files beside the sources.
        command.args(["-B", &path(name)]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        assert!(!port.is_empty(), "{name} has not started: are its packages (scripts/install-packages) there?");
        Script { child, address: format!("127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
