//! Log files, the pid file and sockets in folders where others can put something in their place.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::super::common::clients::fetch;
use super::*;

const SECRET: &str = "root's own\n";

/// A folder with a file of root's and, in it, a folder of `nobody`'s that logs go to.
fn folders() -> Prefix {
    let prefix = Prefix::new();
    prefix.write("secret", SECRET);
    fs::set_permissions(prefix.join("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    give_away(&prefix.join("logs"));
    prefix
}

/// Logs in that folder, workers that own it.
fn logging(port: &Port) -> Setup {
    let text = format!("access_log logs/access.log; server {{ listen {}; return a; }}", port.v4());
    Setup::tcp(text).main("user nobody nogroup;")
}

fn plant(prefix: &Prefix, target: &str, name: &str) {
    symlink(prefix.join(target), prefix.join(name)).unwrap();
    give_away(&prefix.join(name));
}

/// Setups whose file `logs/x` is opened by the master.
fn setups(port: &Port) -> [(&'static str, String); 3] {
    let text = logging(port).text();
    [
        ("logs/x", text.replace("error_log error.log", "error_log logs/x")),
        ("logs/x", text.replace("logs/access.log", "logs/x")),
        ("logs/x", text.replace("pid weir.pid", "pid logs/x")),
    ]
}

fn untouched(prefix: &Prefix) {
    assert_eq!(prefix.read("secret"), SECRET);
    let metadata = fs::metadata(prefix.join("secret")).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600));
}

#[test]
fn planted_links_are_not_followed_at_start() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    for (name, text) in setups(&port) {
        let prefix = folders();
        prefix.write("nginx.conf", text);
        plant(&prefix, "secret", name);
        let reason = format!("\"x\" is a symbolic link of user {} in a folder that others can write to", nobody());
        for arguments in [&["-t"] as &[&str], &[]] {
            let run = prefix.run(arguments);
            let expected = format!("[emerg] open() \"{}\" failed ({reason})", prefix.text_path(name));
            assert!(!run.status.success() && run.stderr.contains(&expected), "{}", run.stderr);
            untouched(&prefix);
        }
    }
}

#[test]
fn planted_folders_are_not_followed() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let prefix = folders();
    fs::create_dir(prefix.join("target")).unwrap();
    plant(&prefix, "target", "logs/folder");
    prefix.write("nginx.conf", logging(&port).text().replace("logs/access.log", "logs/folder/access.log"));
    let run = prefix.run(&["-t"]);
    assert!(!run.status.success() && run.stderr.contains("\"folder\" is a symbolic link of user"), "{}", run.stderr);
    assert_eq!(fs::read_dir(prefix.join("target")).unwrap().count(), 0);
}

#[test]
fn links_planted_before_a_rotation_are_not_followed() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let prefix = folders();
    prefix.write("nginx.conf", logging(&port).text().replace("error_log error.log", "error_log logs/error.log"));
    let weir = Weir::launch(prefix, &[]);
    weir.wait_workers(1);
    let logs = ["logs/access.log", "logs/error.log"];
    for name in logs {
        fs::rename(weir.prefix.join(name), weir.prefix.join(&format!("{name}.1"))).unwrap();
        plant(&weir.prefix, "secret", name);
    }
    weir.signal(Signal::SIGUSR1);
    wait_for("the master and the worker to refuse both", || {
        let log = weir.prefix.read("logs/error.log.1");
        logs.iter().all(|name| {
            let refusal =
                format!("[emerg] {0}#{0}: open() \"{1}\" failed (", weir.master(), weir.prefix.text_path(name));
            log.contains(&refusal)
                && log.matches(&format!("open() \"{}\" failed (", weir.prefix.text_path(name))).count() >= 2
        })
    });
    // What was open stays in use.
    assert_eq!(fetch(port.v4()), "a");
    wait_for("a line in the old log", || !weir.prefix.read("logs/access.log.1").is_empty());
    untouched(&weir.prefix);
    // Without the links all is well again, and workers own what they are to open.
    for name in logs {
        fs::remove_file(weir.prefix.join(name)).unwrap();
    }
    weir.signal(Signal::SIGUSR1);
    wait_for("new logs of the workers", || {
        logs.iter().all(|name| fs::metadata(weir.prefix.join(name)).is_ok_and(|metadata| metadata.uid() == nobody()))
    });
}

#[test]
fn files_moved_to_a_logs_place_are_not_given_away() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let weir = logging(&port).start_in(folders());
    // As somebody could who owns the folder of a file of root's.
    fs::rename(weir.prefix.join("secret"), weir.prefix.join("logs/access.log")).unwrap();
    weir.signal(Signal::SIGUSR1);
    weir.wait_error("open() \"");
    let metadata = fs::metadata(weir.prefix.join("logs/access.log")).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600));
    fs::hard_link(weir.prefix.join("logs/access.log"), weir.prefix.join("logs/again")).unwrap();
    weir.signal(Signal::SIGUSR1);
    weir.wait_error("it has a second name, in a folder that others can write to");
}

#[test]
fn links_of_root_are_followed() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let prefix = folders();
    fs::create_dir(prefix.join("disk")).unwrap();
    symlink("../disk/access.log", prefix.join("logs/access.log")).unwrap();
    // As container images have it.
    symlink("/dev/stderr", prefix.join("logs/error.log")).unwrap();
    prefix.write("nginx.conf", logging(&port).text().replace("error_log error.log", "error_log logs/error.log"));
    let weir = Weir::launch(prefix, &[]);
    weir.wait_workers(1);
    assert_eq!(fetch(port.v4()), "a");
    wait_for("a line", || !weir.prefix.read("disk/access.log").is_empty());
    assert!(weir.prefix.read("stderr").contains("start worker process"));
    weir.signal(Signal::SIGUSR1);
    wait_for("the log to be the worker's", || {
        fs::metadata(weir.prefix.join("disk/access.log")).unwrap().uid() == nobody()
    });
}

#[test]
fn devices_are_never_given_away() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let prefix = Prefix::new();
    prefix.write("nginx.conf", logging(&port).text().replace("logs/access.log", "/dev/null"));
    let weir = Weir::launch(prefix, &[]);
    weir.wait_workers(1);
    weir.signal(Signal::SIGUSR1);
    weir.wait_error("reopening logs");
    wait_for("the error log to be the worker's", || {
        fs::metadata(weir.prefix.join("error.log")).unwrap().uid() == nobody()
    });
    assert_eq!(fetch(port.v4()), "a");
    assert_eq!(fs::metadata("/dev/null").unwrap().uid(), 0);
}

#[test]
fn only_a_socket_is_removed_in_a_sockets_place() {
    let prefix = Prefix::new();
    let path = prefix.join("socket");
    let mut weir = Setup::tcp(format!("server {{ listen unix:{}; return a; }}", path.display())).start_in(prefix);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file").unwrap();
    weir.signal(Signal::SIGTERM);
    assert!(weir.wait_exit().success());
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
}

#[test]
fn folders_of_temporary_files_are_given_away_only_where_they_are_meant() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let setup = |folder: &str| {
        format!(
            "user nobody nogroup; daemon off; worker_processes 1; pid weir.pid; error_log error.log; events {{ }}\nhttp {{ access_log off; client_body_temp_path {folder}; server {{ listen {}; location / {{ proxy_pass http://127.0.0.1:9; }} }} }}",
            port.v4()
        )
    };
    type Planting = fn(&Prefix);
    let plantings: [(&str, Planting, &str); 4] = [
        (
            "logs/x",
            |prefix| fs::hard_link(prefix.join("secret"), prefix.join("logs/x")).unwrap(),
            "(20: Not a directory)",
        ),
        ("logs/x", |prefix| plant(prefix, "target", "logs/x"), "is a symbolic link of user"),
        ("logs/x/y", |prefix| plant(prefix, "target", "logs/x"), "is a symbolic link of user"),
        (
            "logs/x",
            |prefix| fs::rename(prefix.join("target"), prefix.join("logs/x")).unwrap(),
            "it belongs to user 0 and is not empty",
        ),
    ];
    for (folder, planting, reason) in plantings {
        let prefix = folders();
        prefix.write("target/file", "");
        planting(&prefix);
        prefix.write("nginx.conf", setup(folder));
        let run = prefix.run(&[]);
        assert!(!run.status.success() && run.stderr.contains(reason), "{folder} {reason}: {}", run.stderr);
        untouched(&prefix);
        let moved = prefix.join("logs/x");
        let kept = fs::metadata(prefix.join("target")).or_else(|_| fs::metadata(moved)).unwrap();
        assert_eq!(kept.uid(), 0, "{folder} {reason}");
        assert!(!prefix.join("target/y").exists(), "{folder} {reason}");
    }
    // Where nobody meddles they are made, and are the workers' whoever had them before.
    for made in [false, true] {
        let prefix = folders();
        if made {
            fs::create_dir(prefix.join("own")).unwrap();
        }
        prefix.write("nginx.conf", setup("own"));
        let weir = Weir::launch(prefix, &[]);
        let folder = weir.prefix.join("own");
        wait_for("the folder", || fs::metadata(&folder).is_ok_and(|metadata| metadata.uid() == nobody()));
    }
}
