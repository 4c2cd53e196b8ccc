//! `-s`, and whom it must not reach.

use std::fs;
use std::process::{Child, Stdio};

use nix::sys::stat::Mode;

use super::super::common::clients::fetch;
use super::super::common::proc;
use super::super::common::running::{Run, send};
use super::*;

/// A process that has nothing to do with weir, and ends with the test.
struct Stranger(Child);

impl Stranger {
    fn start() -> Stranger {
        Stranger(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn configured() -> Prefix {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", "pid weir.pid; error_log error.log; events {}");
    prefix
}

/// `-s stop` must fail; gives what it says.
#[track_caller]
fn refusal(prefix: &Prefix) -> String {
    let Run { status, stderr, .. } = prefix.run(&["-s", "stop"]);
    assert_eq!(status.code(), Some(1), "{stderr}");
    stderr
}

#[test]
fn a_stale_file_may_name_anybody() {
    let prefix = configured();
    let stranger = Stranger::start();
    let own = std::process::id();
    let thread = nix::unistd::gettid();
    for pid in [stranger.pid(), own as i32, 1] {
        prefix.write("weir.pid", format!("{pid}\n"));
        let expected = format!(
            "[error] no signal is sent to process {pid}, which \"{}\" names: it is neither weir nor nginx",
            prefix.text_path("weir.pid")
        );
        let stderr = refusal(&prefix);
        assert!(stderr.contains(&expected), "{stderr}");
    }
    // The test runs on a thread of its own, which kill(2) would take for its process.
    if thread.as_raw() != own as i32 {
        prefix.write("weir.pid", format!("{thread}\n"));
        let stderr = refusal(&prefix);
        assert!(stderr.contains("failed (3: No such process)"), "{stderr}");
    }
    assert!(proc::alive(stranger.pid()));
}

#[test]
fn only_numbers_of_processes() {
    let prefix = configured();
    for text in ["", "\n", "0\n", "-1\n", "+1", "99999999999999999999999999\n", "1 2", "weir", "1\n2\n", "0x10"] {
        prefix.write("weir.pid", text);
        let stderr = refusal(&prefix);
        assert!(stderr.contains("[error] invalid PID number \""), "{text:?}: {stderr}");
    }
    // Beyond what Linux has, but a number.
    prefix.write("weir.pid", "2147483647");
    let stderr = refusal(&prefix);
    assert!(stderr.contains("[alert] kill(2147483647, 15) failed (3: No such process)"), "{stderr}");
}

#[test]
fn odd_files() {
    let prefix = configured();
    let path = prefix.join("weir.pid");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    assert!(refusal(&prefix).contains("invalid PID number"));
    let run = prefix.run(&["-t"]);
    assert!(!run.status.success() && run.stderr.contains("failed (it is not a regular file)"), "{}", run.stderr);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(refusal(&prefix).contains("read() \""));
    let run = prefix.run(&["-t"]);
    assert!(!run.status.success() && run.stderr.contains("failed (21: Is a directory)"), "{}", run.stderr);
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert!(refusal(&prefix).contains("invalid PID number"));
}

#[test]
fn none_may_be_wanted() {
    let port = Port::reserve();
    let prefix = Prefix::new();
    prefix.write("nginx.conf", says(&port).text().replace("pid weir.pid", "pid /dev/null"));
    let mut child = prefix.command(&[]).spawn().unwrap();
    wait_for("it to serve", || prefix.read("error.log").contains("start worker process "));
    send(child.id() as i32, Signal::SIGTERM);
    let status = wait_some("it to end", || child.try_wait().unwrap());
    assert!(status.success());
    assert!(fs::metadata("/dev/null").is_ok_and(|metadata| !metadata.is_file()));
}

#[test]
fn another_weir_is_not_meant() {
    let port = Port::reserve();
    let other = says(&port).start();
    let prefix = configured();
    prefix.write("weir.pid", format!("{}\n", other.master()));
    let stderr = refusal(&prefix);
    assert!(stderr.contains("it is a weir with another pid file"), "{stderr}");
    // Nor is anybody when a living master's file has been written over.
    let stranger = Stranger::start();
    let own = other.master();
    other.prefix.write("weir.pid", format!("{}\n", stranger.pid()));
    let stderr = refusal(&other.prefix);
    assert!(stderr.contains(&format!("the file belongs to process {own}")), "{stderr}");
    assert!(proc::alive(stranger.pid()));
    assert_eq!(fetch(port.v4()), "a");
}

#[test]
fn the_lock_ends_with_its_master() {
    let port = Port::reserve();
    let mut weir = says(&port).start();
    let (master, worker) = (weir.master(), weir.worker());
    send(master, Signal::SIGKILL);
    weir.wait_exit();
    // The worker lives on and is not the master.
    assert!(proc::alive(worker));
    assert!(refusal(&weir.prefix).contains("No such process"));
    weir.prefix.write("weir.pid", format!("{worker}\n"));
    assert!(refusal(&weir.prefix).contains("it is neither weir nor nginx"));
    assert!(proc::alive(worker));
}

#[test]
fn masters_are_reached_whatever_became_of_their_file() {
    let port = Port::reserve();
    let setup = says(&port).daemon();
    let weir = setup.start();
    let order = |pid_file: &str, order: &str| {
        let text = setup.text().replace("pid weir.pid", &format!("pid {pid_file}"));
        weir.prefix.write("order.conf", text);
        let run = weir.prefix.run(&["-c", &weir.prefix.text_path("order.conf"), "-s", order]);
        assert!(run.status.success(), "{}", run.stderr);
    };
    // A reload to another file, which is the same file by another name, and on to one of its own.
    std::os::unix::fs::symlink(".", weir.prefix.join("here")).unwrap();
    let master = weir.master();
    for name in ["here/weir.pid", "other.pid", "weir.pid"] {
        let before = super::super::common::running::workers_of(master);
        weir.prefix.write("nginx.conf", setup.text().replace("pid weir.pid", &format!("pid {name}")));
        send(master, Signal::SIGHUP);
        wait_for("new workers", || {
            let now = super::super::common::running::workers_of(master);
            now.len() == 1 && !before.contains(&now[0])
        });
        assert_eq!(weir.prefix.pid(name), Some(master));
        fs::write(weir.prefix.join("error.log"), "").unwrap();
        order(name, "reopen");
        weir.wait_error("reopening logs");
    }
    assert!(!weir.prefix.join("other.pid").exists());
    // A new binary beside it.
    send(master, Signal::SIGUSR2);
    let new = wait_some("the new master", || weir.prefix.pid("weir.pid").filter(|&pid| pid != master));
    wait_for("its workers", || super::super::common::running::workers_of(new).len() == 1);
    order("weir.pid.oldbin", "quit");
    wait_for("the old master to leave", || !proc::alive(master));
    order("weir.pid", "stop");
    wait_for("the new master to leave", || !proc::alive(new));
}

#[test]
fn a_second_weir_takes_the_name_and_leaves_the_file() {
    let (port, other) = (Port::reserve(), Port::reserve());
    let mut first = says(&port).start();
    let master = first.master();
    let text = says(&other).text().replace("error_log error.log", "error_log other.log");
    first.prefix.write("other.conf", text);
    let mut second = first.prefix.command(&["-c", &first.prefix.text_path("other.conf")]).spawn().unwrap();
    let pid = second.id() as i32;
    wait_for("the second one's pid file", || first.prefix.pid("weir.pid") == Some(pid));
    assert!(
        first.prefix.read("other.log").contains(&format!("is in use by process {master}, which \"-s\" will not find"))
    );
    send(master, Signal::SIGTERM);
    assert!(first.wait_exit().success());
    assert_eq!(first.prefix.pid("weir.pid"), Some(pid), "it is not the first one's to remove");
    assert!(first.prefix.run(&["-s", "stop"]).status.success());
    let status = wait_some("the second one to end", || second.try_wait().unwrap());
    assert!(status.success());
}

#[test]
fn a_running_nginx_is_meant() {
    if !Path::new("/usr/sbin/nginx").exists() {
        eprintln!("this needs nginx");
        return;
    }
    let port = Port::reserve();
    for main in ["daemon off;", "daemon off; master_process off;"] {
        let prefix = configured();
        let text = format!(
            "pid weir.pid; error_log error.log info; {main} events {{}} http {{ access_log off; server {{ listen {}; }} }}",
            port.v4()
        );
        prefix.write("nginx.conf", text);
        let folder = prefix.join("");
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-p", folder.to_str().unwrap(), "-c", &prefix.text_path("nginx.conf"), "-e", "error.log"]);
        let mut nginx = command.current_dir(&folder).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the pid file", || prefix.pid("weir.pid").is_some());
        prefix.write("order.conf", "pid weir.pid; error_log order.log; events {}");
        wait_for("it to be known", || proc::title(nginx.id() as i32).contains("nginx"));
        let run = prefix.run(&["-c", &prefix.text_path("order.conf"), "-s", "stop"]);
        assert!(run.status.success(), "{}", run.stderr);
        // Without a master it may have looked for orders just before this one came, and looks again when a client does.
        wait_some("nginx to end", || {
            let _ = std::net::TcpStream::connect(port.v4());
            nginx.try_wait().unwrap()
        });
    }
}
