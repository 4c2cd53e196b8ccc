//! Binary upgrade: a new binary gets the listening sockets by nginx's own variable, `NGINX=6;7;`, so that weir can take
//! over from a running nginx and back.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::SigSet;
use nix::unistd::{ForkResult, Pid, execve, fork};

use crate::log::{Level, message};
use crate::net::Listener;

use super::failed;

/// The environment variable that names the listening sockets.
pub const VARIABLE: &str = "NGINX";

/// Takes over the sockets named by `NGINX=`; what is no usable socket is logged and left. To be called before this process opens
/// any file, so that a number can only mean an inherited one.
pub fn inherit(variable: &OsStr) -> Vec<Listener> {
    message(Level::Notice, format_args!("using inherited sockets from \"{}\"", variable.display()));
    let (numbers, fault) = parse(variable.as_bytes());
    if let Some(fault) = fault {
        message(Level::Emerg, format_args!("{fault}"));
    }
    numbers.into_iter().filter_map(take).collect()
}

fn take(fd: RawFd) -> Option<Listener> {
    // SAFETY: the number is only asked about, and a number that is not open is answered with an error.
    let open = fcntl(unsafe { BorrowedFd::borrow_raw(fd) }, FcntlArg::F_GETFD);
    let listener = open.map_err(io::Error::from).and_then(|_| Listener::inherit(fd));
    listener
        .map_err(|error| {
            failed(Level::Crit, &error, format_args!("getsockname() of the inherited socket #{fd} failed"))
        })
        .ok()
}

/// The numbers in a value of `NGINX`, each once, and what is wrong with the value, in nginx's words. Each number is ended by `;` (or `:`).
/// The standard streams cannot be listening sockets and count as wrong.
fn parse(value: &[u8]) -> (Vec<RawFd>, Option<String>) {
    let mut numbers = Vec::new();
    let mut rest = value;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b';' | b':')) {
        let (word, tail) = (&rest[..end], &rest[end + 1..]);
        let digits = word.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<RawFd>().ok());
        match number {
            Some(number) if digits && number > 2 => {
                if !numbers.contains(&number) {
                    numbers.push(number);
                }
            }
            _ => return (numbers, Some(wrong(rest, ", ignoring the rest of the variable"))),
        }
        rest = tail;
    }
    let fault = (!rest.is_empty()).then(|| wrong(rest, ", ignoring"));
    (numbers, fault)
}

fn wrong(word: &[u8], consequence: &str) -> String {
    let word = String::from_utf8_lossy(word);
    format!("invalid socket number \"{word}\" in NGINX environment variable{consequence}")
}

/// The path of this program as it was called, made absolute at once: a file put in its place later is what an upgrade runs.
/// `/proc/self/exe` would go on to mean the old file.
pub fn program(name: &OsStr, cwd: &Path, search: Option<&OsStr>) -> PathBuf {
    if name.as_bytes().contains(&b'/') {
        return cwd.join(name);
    }
    let executable =
        |path: &PathBuf| path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    let found = search
        .and_then(|search| std::env::split_paths(search).map(|folder| cwd.join(folder).join(name)).find(executable));
    found.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| cwd.join(name))
}

/// Runs `program` with the arguments weir was started with, `environment` and the listening sockets; gives its process id.
pub fn execute(
    program: &Path,
    arguments: &[OsString],
    environment: &[(&OsStr, &OsStr)],
    listeners: &[Listener],
) -> io::Result<Pid> {
    let fds: Vec<RawFd> = listeners.iter().map(Listener::fd).collect();
    let numbers: String = fds.iter().map(|fd| format!("{fd};")).collect();
    let path = CString::new(program.as_os_str().as_bytes())?;
    let arguments = arguments.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let mut variables = vec![CString::new(format!("{VARIABLE}={numbers}"))?];
    for (name, value) in environment {
        variables.push(CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())?);
    }
    // SAFETY: weir has one thread, so the child may do what it likes; it executes another program or ends.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let Err(errno) = replace_process(&path, &arguments, &variables, &fds);
            let what = format_args!("execve() failed while executing new binary process {program:?}");
            failed(Level::Alert, &errno.into(), what);
            std::process::exit(1)
        }
    }
}

fn replace_process(
    path: &CString,
    arguments: &[CString],
    variables: &[CString],
    fds: &[RawFd],
) -> Result<Infallible, Errno> {
    for &fd in fds {
        // SAFETY: the listeners are open in this process until it is replaced.
        fcntl(unsafe { BorrowedFd::borrow_raw(fd) }, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    // The blocked signals of a signalfd would stay blocked in the new program, which may not be weir.
    SigSet::empty().thread_set_mask()?;
    execve(path, arguments, variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_numbers() {
        assert_eq!(parse(b"6;7;"), (vec![6, 7], None));
        assert_eq!(parse(b"6:7:"), (vec![6, 7], None));
        assert_eq!(parse(b"6;6;"), (vec![6], None));
        assert_eq!(parse(b""), (vec![], None));
        let rest = |word: &str| {
            Some(format!(
                "invalid socket number \"{word}\" in NGINX environment variable, ignoring the rest of the variable"
            ))
        };
        assert_eq!(parse(b"6;x;7;"), (vec![6], rest("x;7;")));
        assert_eq!(parse(b"-6;"), (vec![], rest("-6;")));
        assert_eq!(parse(b"+6;"), (vec![], rest("+6;")));
        assert_eq!(parse(b"0;"), (vec![], rest("0;")));
        assert_eq!(parse(b";"), (vec![], rest(";")));
        assert_eq!(parse(b"99999999999;"), (vec![], rest("99999999999;")));
        let last = "invalid socket number \"7\" in NGINX environment variable, ignoring";
        assert_eq!(parse(b"6;7"), (vec![6], Some(last.to_owned())));
    }

    #[test]
    fn the_program_is_found_as_it_was_called() {
        let cwd = Path::new("/srv");
        assert_eq!(program(OsStr::new("bin/weir"), cwd, None), Path::new("/srv/bin/weir"));
        assert_eq!(program(OsStr::new("/x/weir"), cwd, None), Path::new("/x/weir"));
        let found = program(OsStr::new("sh"), cwd, Some(OsStr::new("/nonexistent:/bin")));
        assert_eq!(found, Path::new("/bin/sh"));
        assert_eq!(program(OsStr::new("no-such-program"), cwd, None), std::env::current_exe().unwrap());
    }
}
