//! Running the binary: a folder of its own as prefix, a configuration in it, and nothing left behind.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::proc;
use super::wait::{PATIENCE, wait_for, wait_some};

/// The binary under test.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_weir"))
}

/// Copies a program to be executed. A process of its own does it: while this one had the copy open for writing, another test could fork, and
/// until that child has executed its own program nobody could execute the copy (ETXTBSY, execve(2)).
pub fn copy_program(program: &Path, to: &Path) {
    assert!(Command::new("cp").args([program, to]).status().unwrap().success());
}

/// What is written from now on can be read by all accounts, whatever umask the tests were started with.
pub fn usual_umask() {
    umask(Mode::from_bits_truncate(0o022));
}

/// Prints the end of a log for who looks into a failure: little enough that the failure itself can still be found above it.
pub fn tell_end(path: &Path) {
    let bytes = fs::read(path).unwrap_or_default();
    if !bytes.is_empty() {
        let end = &bytes[bytes.len().saturating_sub(6_000)..];
        eprintln!("--- {}:\n{}", path.display(), String::from_utf8_lossy(end));
    }
}

/// A temporary folder that is weir's prefix. Workers run as `nobody`, so it is open to all; dropping it ends every
/// process of the binary that still uses it.
pub struct Prefix {
    dir: TempDir,
    path: PathBuf,
}

impl Prefix {
    pub fn new() -> Prefix {
        usual_umask();
        let dir = tempfile::Builder::new().prefix("weir-test-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        let path = dir.path().canonicalize().unwrap();
        Prefix { dir, path }
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The full path of a file, as weir prints it.
    pub fn text_path(&self, name: &str) -> String {
        self.join(name).to_str().unwrap().to_string()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// [`Prefix::write`] in one step, for a file that may be read at any time.
    pub fn replace(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.write(&format!("{name}.new"), text);
        fs::rename(path, self.join(name)).unwrap();
    }

    /// A file's text; empty when there is none.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.join(name)).unwrap_or_default()).into_owned()
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_string).collect()
    }

    /// A command of the binary with this prefix and its `nginx.conf`; output goes to files, as a daemon would keep a pipe open.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare_command(&["-p", self.path.to_str().unwrap(), "-c", &self.text_path("nginx.conf")]);
        command.args(arguments);
        command
    }

    /// A command of the binary with nothing said.
    pub fn bare_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(&self.path)
            .stdin(Stdio::null())
            .stdout(File::create(self.join("stdout")).unwrap())
            .stderr(File::create(self.join("stderr")).unwrap());
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.finish(self.command(arguments))
    }

    /// Runs a command made here to its end.
    pub fn finish(&self, mut command: Command) -> Run {
        let mut child = command.spawn().unwrap();
        let status = wait_some("the command to end", || child.try_wait().unwrap());
        Run { status, stdout: self.read("stdout"), stderr: self.read("stderr") }
    }

    /// The number in a pid file.
    pub fn pid(&self, name: &str) -> Option<i32> {
        self.read(name).strip_suffix('\n')?.parse().ok()
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        if thread::panicking() {
            for name in ["stderr", "error.log", "logs/error.log"] {
                tell_end(&self.join(name));
            }
        }
        // The oldest first, as a master would replace its workers; without root's rights these are not seen any more when it is gone.
        let deadline = Instant::now() + PATIENCE;
        let mut known = Vec::new();
        loop {
            known.extend(proc::users_of(&self.path));
            let left: Vec<i32> = known.iter().copied().filter(|&pid| proc::alive(pid)).collect();
            if left.is_empty() || Instant::now() > deadline {
                break;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(2));
        }
        let _ = &self.dir;
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Run {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A configuration in parts, with what every test wants filled in.
#[derive(Clone)]
pub struct Setup {
    pub main: String,
    pub events: String,
    pub tcp: String,
    pub level: &'static str,
    pub daemon: bool,
    pub workers: usize,
}

impl Setup {
    /// `tcp {}` with this inside, one worker in the foreground.
    pub fn tcp(text: impl Into<String>) -> Setup {
        let (main, events) = (String::new(), String::new());
        Setup { main, events, tcp: text.into(), level: "debug", daemon: false, workers: 1 }
    }

    /// A server that proxies from `listen` to `backend`.
    pub fn proxy(listen: impl std::fmt::Display, backend: impl std::fmt::Display) -> Setup {
        Setup::tcp(format!("server {{ listen {listen}; proxy_pass {backend}; }}"))
    }

    pub fn main(mut self, text: impl Into<String>) -> Setup {
        self.main = text.into();
        self
    }

    pub fn events(mut self, text: impl Into<String>) -> Setup {
        self.events = text.into();
        self
    }

    pub fn level(mut self, level: &'static str) -> Setup {
        self.level = level;
        self
    }

    pub fn daemon(mut self) -> Setup {
        self.daemon = true;
        self
    }

    pub fn workers(mut self, count: usize) -> Setup {
        self.workers = count;
        self
    }

    pub fn text(&self) -> String {
        format!(
            "daemon {};\nworker_processes {};\nerror_log error.log {};\npid weir.pid;\n{}\nevents {{\n{}\n}}\ntcp {{\naccess_log access.log;\n{}\n}}\n",
            if self.daemon { "on" } else { "off" },
            self.workers,
            self.level,
            self.main,
            self.events,
            self.tcp
        )
    }

    pub fn start(&self) -> Weir {
        self.start_in(Prefix::new())
    }

    /// Starts in a folder the test has prepared.
    #[track_caller]
    pub fn start_in(&self, prefix: Prefix) -> Weir {
        prefix.write("nginx.conf", self.text());
        let mut weir = Weir::launch(prefix, &[]);
        if self.daemon {
            let mut starter = weir.child.take().unwrap();
            let status = wait_some("the starting process to end", || starter.try_wait().unwrap());
            assert!(status.success(), "{status}: {}", weir.prefix.read("stderr"));
        }
        weir.wait_workers(self.workers);
        weir
    }
}

/// A running weir.
pub struct Weir {
    // Before `prefix`: what is dropped last removes the folder.
    pub child: Option<Child>,
    pub prefix: Prefix,
}

impl Weir {
    /// Starts the binary in a folder that holds its `nginx.conf`, and waits for its pid file.
    #[track_caller]
    pub fn launch(prefix: Prefix, arguments: &[&str]) -> Weir {
        let mut child = prefix.command(arguments).spawn().unwrap();
        wait_for("the pid file", || {
            if let Some(status) = child.try_wait().unwrap()
                && !status.success()
            {
                panic!("weir ended with {status}: {}", prefix.read("stderr"));
            }
            prefix.pid("weir.pid").is_some()
        });
        Weir { child: Some(child), prefix }
    }

    /// The process id in the pid file.
    #[track_caller]
    pub fn master(&self) -> i32 {
        self.prefix.pid("weir.pid").expect("a pid file")
    }

    /// Workers of the master that serve (those on their way out have another title).
    pub fn workers(&self) -> Vec<i32> {
        workers_of(self.master())
    }

    /// Waits until so many workers serve.
    #[track_caller]
    pub fn wait_workers(&self, count: usize) -> Vec<i32> {
        wait_some(&format!("{count} workers"), || {
            let workers = self.workers();
            (workers.len() == count).then_some(workers)
        })
    }

    /// The only worker.
    #[track_caller]
    pub fn worker(&self) -> i32 {
        let workers = self.workers();
        assert_eq!(workers.len(), 1);
        workers[0]
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        send(self.master(), signal);
    }

    /// Puts another configuration in place, asks for a reload, and waits until new workers serve and the old ones know that they are to go.
    #[track_caller]
    pub fn reload(&self, setup: &Setup) {
        let old = self.workers();
        self.prefix.replace("nginx.conf", setup.text());
        self.signal(Signal::SIGHUP);
        wait_for("new workers in place of the old", || {
            let now = self.workers();
            now.len() == setup.workers && now.iter().all(|pid| !old.contains(pid))
        });
    }

    pub fn error_log(&self) -> String {
        self.prefix.read("error.log")
    }

    /// Waits for a line of the error log that contains `text`, and returns it.
    #[track_caller]
    pub fn wait_error(&self, text: &str) -> String {
        wait_some(&format!("{text:?} in the error log"), || {
            self.error_log().lines().find(|line| line.contains(text)).map(str::to_string)
        })
    }

    /// Waits for so many lines of the access log.
    #[track_caller]
    pub fn wait_access(&self, count: usize) -> Vec<String> {
        wait_some(&format!("{count} lines in the access log"), || {
            let text = self.prefix.read("access.log");
            let whole = text.ends_with('\n') || text.is_empty();
            let lines: Vec<String> = text.lines().map(str::to_string).collect();
            (whole && lines.len() >= count).then_some(lines)
        })
    }

    /// Waits until the process started here ends.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("a foreground process");
        wait_some("weir to end", || child.try_wait().unwrap())
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let workers = proc::children(child.id() as i32);
            let _ = child.kill();
            let _ = child.wait();
            for worker in workers {
                let _ = kill(Pid::from_raw(worker), Signal::SIGKILL);
            }
        }
    }
}

/// Workers of `master` that serve.
pub fn workers_of(master: i32) -> Vec<i32> {
    proc::children(master).into_iter().filter(|&pid| proc::title(pid) == "weir: worker process").collect()
}

/// Sends a signal. One that stops a process has done so then: until it has, the kernel may wake it for a client that no other one hears of.
#[track_caller]
pub fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
    if signal == Signal::SIGSTOP {
        wait_for("the process to be stopped", || proc::stopped(pid));
    }
}
