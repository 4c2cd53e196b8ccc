//! What `docs/security.md` promises: each test there is one of these.

mod descriptors;
mod files;
mod injection;
mod links;
mod odd_files;
mod pid_file;
mod privileges;

use std::os::unix::fs::lchown;
use std::path::Path;
use std::process::Command;

use crate::common::*;

/// The user `nobody`.
fn nobody() -> u32 {
    nix::unistd::User::from_name("nobody").unwrap().unwrap().uid.as_raw()
}

/// Whether this test may act as another user; says so where it may not.
fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("this needs root");
    }
    root
}

/// Gives a file, a link itself or a folder to `nobody`.
fn give_away(path: &Path) {
    lchown(path, Some(nobody()), None).unwrap();
}

/// A server that says `a`.
fn says(port: &Port) -> Setup {
    Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4()))
}

/// A command that runs as `nobody`, with these options of setpriv(1).
fn as_nobody(options: &[&str], program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]).args(options).arg(program);
    command
}
