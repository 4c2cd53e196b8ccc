//! Master and workers: their accounts, limits, titles, and how they start.

use std::os::unix::fs::MetadataExt;

use super::common::clients::fetch;
use super::common::proc;
use crate::common::*;

fn says(port: &Port) -> Setup {
    Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4()))
}

#[test]
fn titles() {
    let port = Port::reserve();
    let weir = says(&port).workers(2).start();
    let master = proc::title(weir.master());
    let file = weir.prefix.text_path("nginx.conf");
    assert!(master.starts_with("weir: master process ") && master.contains(&format!(" -c {file}")), "{master}");
    for worker in weir.workers() {
        assert_eq!(proc::title(worker), "weir: worker process");
    }
}

#[test]
fn workers_run_as_the_user() {
    let port = Port::reserve();
    let weir = says(&port).main("user nobody nogroup;").start();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid.as_raw();
    if nix::unistd::geteuid().is_root() {
        assert_eq!(proc::uid(weir.worker()), nobody);
        assert_eq!(proc::uid(weir.master()), 0);
        // Logs belong to workers after a reopen, so that they can open them too.
        weir.signal(Signal::SIGUSR1);
        wait_for("the log to be theirs", || std::fs::metadata(weir.prefix.join("access.log")).unwrap().uid() == nobody);
    }
    assert_eq!(fetch(port.v4()), "a");
}

#[test]
fn priority_affinity_and_limits() {
    let port = Port::reserve();
    let weir = says(&port)
        .workers(2)
        .main("worker_priority 5; worker_cpu_affinity 01 10; worker_rlimit_nofile 777; worker_rlimit_core 1m; working_directory logs;")
        .start();
    let mut cpus: Vec<String> = weir
        .workers()
        .into_iter()
        .map(|worker| {
            wait_for("the worker's own settings", || proc::nice(worker) == 5);
            wait_for("its limit of files", || proc::nofile(worker) == 777);
            assert_eq!(proc::core(worker), 1 << 20);
            wait_for("its folder", || proc::cwd(worker) == weir.prefix.join("logs"));
            proc::cpus(worker)
        })
        .collect();
    cpus.sort();
    assert_eq!(cpus, ["0", "1"]);
    assert_eq!(proc::nice(weir.master()), 0);
}

#[test]
fn automatic_workers() {
    let port = Port::reserve();
    let prefix = Prefix::new();
    prefix.write(
        "nginx.conf",
        says(&port).text().replace("worker_processes 1;", "worker_processes auto; worker_cpu_affinity auto;"),
    );
    let weir = Weir::launch(prefix, &[]);
    let expected = std::thread::available_parallelism().unwrap().get();
    weir.wait_workers(expected);
    assert_eq!(fetch(port.v4()), "a");
}

#[test]
fn a_daemon() {
    let port = Port::reserve();
    let weir = says(&port).daemon().start();
    let master = weir.master();
    assert!(proc::title(master).starts_with("weir: master process"));
    // A session of its own, with no terminal and nothing of the starter's open.
    assert_eq!(nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(master))).unwrap().as_raw(), master);
    for fd in (0..3).filter(|_| proc::shows_descriptors()) {
        let target = std::fs::read_link(format!("/proc/{master}/fd/{fd}")).unwrap();
        let target = target.to_str().unwrap();
        assert!(target == "/dev/null" || target.ends_with(".log"), "{fd}: {target}");
    }
    assert_eq!(fetch(port.v4()), "a");
    assert!(weir.prefix.run(&["-s", "quit"]).status.success());
    wait_for("the daemon to end", || !proc::alive(master));
    assert!(!weir.prefix.join("weir.pid").exists());
}

#[test]
fn a_daemon_that_cannot_start_says_so() {
    let prefix = Prefix::new();
    let port = Port::reserve();
    let _holder = std::net::TcpListener::bind(port.v4()).unwrap();
    prefix.write("nginx.conf", says(&port).daemon().text());
    let run = prefix.run(&[]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stderr.contains("Address already in use"), "{}", run.stderr);
    assert!(!prefix.join("weir.pid").exists());
}

#[test]
fn without_a_master() {
    let backend = Backend::start(backends::greeting("1"));
    let other = Backend::start(backends::greeting("2"));
    let port = Port::reserve();
    let prefix = Prefix::new();
    let text = |backend: &Backend| Setup::proxy(port.v4(), backend.address).main("master_process off;").text();
    prefix.write("nginx.conf", text(&backend));
    let mut weir = Weir::launch(prefix, &[]);
    let mut first = connect(port.v4());
    assert_eq!(ask(&mut first, b"a"), b"1");
    assert_eq!(proc::children(weir.master()), []);
    weir.prefix.write("nginx.conf", text(&other));
    weir.signal(Signal::SIGHUP);
    wait_for("the new configuration", || ask(connect(port.v4()), b"b") == b"2");
    assert_eq!(ask(&mut first, b"c"), b"a");
    std::fs::rename(weir.prefix.join("access.log"), weir.prefix.join("access.log.1")).unwrap();
    weir.signal(Signal::SIGUSR1);
    wait_for("the log to be reopened", || weir.prefix.join("access.log").exists());
    weir.signal(Signal::SIGQUIT);
    wait_for("the listener to close", || super::common::clients::try_connect(port.v4()).is_err());
    assert_eq!(ask(&mut first, b"d"), b"c");
    drop(first);
    assert_eq!(weir.wait_exit().code(), Some(0));
    assert!(!weir.prefix.join("weir.pid").exists());
}

#[test]
fn without_a_master_stop_is_at_once() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let prefix = Prefix::new();
    prefix.write("nginx.conf", Setup::proxy(port.v4(), backend.address).main("master_process off;").text());
    let mut weir = Weir::launch(prefix, &[]);
    let mut stream = connect(port.v4());
    assert_eq!(ask(&mut stream, b"a"), b"a");
    weir.signal(Signal::SIGTERM);
    assert!(is_closed(&stream));
    assert_eq!(weir.wait_exit().code(), Some(0));
    assert_eq!(weir.prefix.lines("access.log").len(), 1);
}

#[test]
fn the_error_log_may_be_stderr() {
    let port = Port::reserve();
    let prefix = Prefix::new();
    prefix.write("nginx.conf", says(&port).text().replace("error_log error.log debug;", "error_log stderr info;"));
    let weir = Weir::launch(prefix, &[]);
    assert_eq!(fetch(port.v4()), "a");
    wait_for("lines on stderr", || weir.prefix.read("stderr").contains("[notice]"));
}
