//! Logs that cannot be written.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::*;

/// weir in a mount namespace of its own where the folder `small` is a file system of 64 KiB; `None` where that is not allowed.
pub fn on_a_small_disk(configuration: &str) -> Option<Weir> {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", configuration);
    fs::create_dir(prefix.join("small")).unwrap();
    let allowed = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("no mount namespace of its own, no small disk");
        return None;
    }
    let weir = prefix.command(&[]);
    let mount = "mount -t tmpfs -o size=64k,mode=777 none small && exec \"$0\" \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--mount", "sh", "-c", mount])
        .arg(weir.get_program())
        .args(weir.get_args())
        .current_dir(weir.get_current_dir().unwrap())
        .stdin(Stdio::null());
    let child = unshare.spawn().unwrap();
    wait_for("the pid file", || prefix.pid("weir.pid").is_some());
    Some(Weir { child: Some(child), prefix })
}

#[test]
fn a_full_disk_that_has_room_again() {
    let (port, echo) = (Port::reserve(), Backend::start(backends::echo));
    let long = "x".repeat(1500);
    let tcp = format!(
        "log_format long '{long} $bytes_sent end';
         server {{ listen {}; proxy_pass {}; access_log small/access.log long; access_log good.log; }}",
        port.v4(),
        echo.address
    );
    let setup = Setup::tcp(tcp).level("notice").main("error_log small/error.log info;");
    let Some(weir) = on_a_small_disk(&setup.text()) else {
        return;
    };
    let small = format!("/proc/{}/root{}", weir.master(), weir.prefix.text_path("small"));
    let read = |name: &str| fs::read_to_string(format!("{small}/{name}")).unwrap();
    let mut live = connect(port.v4());
    assert_eq!(ask(&mut live, b"a"), b"a");
    assert_eq!(ask(connect(port.v4()), b"bb"), b"bb");
    wait_for("a line", || read("access.log").ends_with("x 2 end\n"));
    let filler = format!("{small}/filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    for _ in 0..50 {
        assert_eq!(ask(connect(port.v4()), b"ccc"), b"ccc");
    }
    assert_eq!(ask(&mut live, b"d"), b"d");
    wait_for("the other log", || weir.prefix.lines("good.log").len() == 51);
    assert!(read("access.log").len() + read("error.log").len() < 60_000);
    let path = weir.prefix.text_path("small/access.log");
    let line = weir.wait_error(&format!("write() to \"{path}\" "));
    assert!(line.contains(" [alert] "), "{line}");
    // Once a minute is enough.
    assert_eq!(weir.error_log().matches(&format!("write() to \"{path}\" ")).count(), 1);
    drop(file);
    fs::remove_file(filler).unwrap();
    let written = read("error.log").len();
    assert_eq!(ask(connect(port.v4()), b"eeee"), b"eeee");
    wait_for("lines again", || read("access.log").ends_with("x 4 end\n"));
    assert!(read("error.log").len() > written);
    assert_eq!(ask(&mut live, b"f"), b"f");
}

#[test]
fn a_folder_that_is_removed_and_comes_back() {
    let (port, echo) = (Port::reserve(), Backend::start(backends::echo));
    let tcp = format!(
        "server {{ listen {}; proxy_pass {}; access_log away/access.log; error_log away/server.log info; }}",
        port.v4(),
        echo.address
    );
    let prefix = Prefix::new();
    let make = |prefix: &Prefix| {
        fs::create_dir(prefix.join("away")).unwrap();
        fs::set_permissions(prefix.join("away"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    };
    make(&prefix);
    let weir = Setup::tcp(tcp).main("error_log away/error.log info;").start_in(prefix);
    let worker = weir.worker();
    let mut live = connect(port.v4());
    let mut serves = || {
        assert_eq!(ask(&mut live, b"on"), b"on");
        assert_eq!(ask(connect(port.v4()), b"new"), b"new");
    };
    serves();
    fs::remove_dir_all(weir.prefix.join("away")).unwrap();
    serves();
    // To be opened anew: told by the master and by the worker, who go on with what they have open.
    weir.signal(Signal::SIGUSR1);
    for name in ["access.log", "server.log", "error.log"] {
        let path = weir.prefix.text_path(&format!("away/{name}"));
        let text = format!("open() \"{path}\" failed (2: No such file or directory)");
        wait_for(&text, || {
            let log = weir.error_log();
            let lines = log.lines().filter(|line| line.contains(" [emerg] ") && line.contains(&text));
            lines.map(|line| line.split("] ").nth(1)).collect::<std::collections::HashSet<_>>().len() == 2
        });
    }
    serves();
    // Nor can a new configuration have them.
    weir.signal(Signal::SIGHUP);
    wait_for("the reload to fail", || weir.error_log().matches("away/error.log\" failed").count() > 2);
    serves();
    assert_eq!(weir.worker(), worker);
    make(&weir.prefix);
    weir.signal(Signal::SIGUSR1);
    wait_for("lines again", || {
        serves();
        ["access.log", "server.log"].iter().all(|name| !weir.prefix.read(&format!("away/{name}")).is_empty())
    });
    assert!(weir.prefix.join("away/error.log").exists());
}
