//! What other processes get from weir's: descriptors and environment.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::common::clients::fetch;
use super::super::common::running::binary;
use super::*;

/// What descriptors of this test's process lead to, which it may have from whoever started it, and weir from it.
fn inherited() -> Vec<String> {
    targets("self")
}

/// What the descriptors of a process lead to.
fn targets(pid: impl std::fmt::Display) -> Vec<String> {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    all.filter_map(|fd| fs::read_link(fd.path()).ok()).map(|path| path.to_string_lossy().into_owned()).collect()
}

/// Whether OpenSSL may have had this file open for another test when weir was started: it does not close it for others.
fn is_anothers(file: &str) -> bool {
    file.ends_with(".pem") || file.ends_with(".key")
}

#[test]
fn of_a_worker() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let weir = says(&port).start();
    assert_eq!(fetch(port.v4()), "a");
    let known = ["access.log", "error.log", "stdout", "stderr"].map(|name| weir.prefix.text_path(name));
    let inherited = inherited();
    let found = targets(weir.worker());
    for file in &found {
        let own = file.starts_with("socket:") || file.starts_with("anon_inode:") || file == "/dev/null";
        assert!(own || known.contains(file) || inherited.contains(file) || is_anothers(file), "{file}");
    }
    let counted = |start: &str| found.iter().filter(|file| file.starts_with(start)).count();
    assert_eq!((counted("anon_inode:[eventpoll]"), counted("anon_inode:[signalfd]")), (1, 1), "{found:?}");
}

#[test]
fn of_a_new_binary() {
    let port = Port::reserve();
    let prefix = Prefix::new();
    std::os::unix::fs::symlink(binary(), prefix.join("binary")).unwrap();
    prefix.write("nginx.conf", says(&port).main("env KEPT; env SET=value;").text());
    let mut command = Command::new(prefix.join("binary"));
    command.args(["-p", prefix.join("").to_str().unwrap(), "-c", &prefix.text_path("nginx.conf")]);
    command.env("KEPT", "kept").env("LOST", "lost").env("LD_LIBRARY_PATH", "/lost").env("TZ", "UTC");
    let child = command.current_dir(prefix.join("")).spawn().unwrap();
    let weir = Weir { child: Some(child), prefix };
    wait_for("the pid file", || weir.prefix.pid("weir.pid").is_some());
    weir.wait_workers(1);
    // A program in its place tells what it was given.
    fs::remove_file(weir.prefix.join("binary")).unwrap();
    let script = "#!/bin/sh\nls -l /proc/$$/fd > descriptors\ntr '\\0' '\\n' < /proc/$$/environ > environment.new\nmv environment.new environment\n";
    weir.prefix.write("binary", script);
    fs::set_permissions(weir.prefix.join("binary"), fs::Permissions::from_mode(0o755)).unwrap();
    weir.signal(Signal::SIGUSR2);
    wait_for("the program", || weir.prefix.join("environment").exists());
    let mut environment = weir.prefix.lines("environment");
    environment.sort();
    assert!(environment[1].starts_with("NGINX="), "{environment:?}");
    let socket = environment.remove(1);
    assert_eq!(environment, ["KEPT=kept", "SET=value", "TZ=UTC"]);
    // The standard streams and the listening socket; the shell's own descriptor of the script aside, and what this test's process has been given.
    let inherited = inherited();
    let listed = weir.prefix.lines("descriptors");
    let given: Vec<&str> = listed
        .iter()
        .filter_map(|line| line.split_once(" -> "))
        .filter(|(_, target)| {
            !target.ends_with("/binary") && !is_anothers(target) && !inherited.iter().any(|known| known == target)
        })
        .map(|(start, _)| start.rsplit(' ').next().unwrap())
        .filter(|number| !["0", "1", "2"].contains(number))
        .collect();
    assert_eq!(given, [socket.trim_start_matches("NGINX=").trim_end_matches(';')], "{listed:?}");
    wait_for("the old one to be alone again", || {
        weir.prefix.pid("weir.pid") == Some(weir.child.as_ref().unwrap().id() as i32)
    });
}
