//! Signals to the master and what becomes of sessions, workers and files.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::common::clients::{fetch, is_quiet, try_connect};
use super::common::proc;
use super::common::running::{binary, send};
use crate::common::*;

#[test]
fn quit_lets_sessions_finish() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let mut weir = Setup::proxy(port.v4(), backend.address).workers(2).start();
    let mut stream = connect(port.v4());
    assert_eq!(ask(&mut stream, b"a"), b"a");
    weir.signal(Signal::SIGQUIT);
    wait_for("the listener to close", || try_connect(port.v4()).is_err());
    assert_eq!(ask(&mut stream, b"b"), b"b");
    // The worker without a session leaves, the other one stays for its session.
    wait_for("the worker without a session to leave", || proc::children(weir.master()).len() == 1);
    assert_eq!(proc::title(proc::children(weir.master())[0]), "weir: worker process is shutting down");
    assert_eq!(ask(&mut stream, b"c"), b"c");
    drop(stream);
    assert_eq!(weir.wait_exit().code(), Some(0));
    assert!(!weir.prefix.join("weir.pid").exists());
    // Those that found the listener still open have their lines too.
    let lines = weir.prefix.lines("access.log");
    assert_eq!(lines.iter().filter(|line| line.ends_with(" 3 3")).count(), 1, "{lines:?}");
}

#[test]
fn quit_is_bounded_by_worker_shutdown_timeout() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let mut weir = Setup::proxy(port.v4(), backend.address).main("worker_shutdown_timeout 500ms;").start();
    let mut stream = connect(port.v4());
    assert_eq!(ask(&mut stream, b"a"), b"a");
    let start = Instant::now();
    weir.signal(Signal::SIGQUIT);
    assert!(is_closed(&stream));
    assert!(start.elapsed() >= Duration::from_millis(480), "{:?}", start.elapsed());
    assert_eq!(weir.wait_exit().code(), Some(0));
}

#[test]
fn clients_in_the_queue_are_served_before_a_worker_leaves() {
    let port = Port::reserve();
    let mut weir = Setup::tcp(format!("server {{ listen {}; return served; }}", port.v4())).start();
    let worker = weir.worker();
    send(worker, Signal::SIGSTOP);
    let waiting: Vec<_> = (0..5).map(|_| connect(port.v4())).collect();
    weir.signal(Signal::SIGQUIT);
    send(worker, Signal::SIGCONT);
    for stream in waiting {
        assert_eq!(read_all(stream), b"served");
    }
    assert_eq!(weir.wait_exit().code(), Some(0));
}

#[test]
fn term_and_int_end_sessions_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let backend = Backend::start(backends::echo);
        let port = Port::reserve();
        let mut weir = Setup::proxy(port.v4(), backend.address).workers(2).start();
        let mut stream = connect(port.v4());
        assert_eq!(ask(&mut stream, b"abc"), b"abc");
        weir.signal(signal);
        assert!(is_closed(&stream));
        assert_eq!(weir.wait_exit().code(), Some(0));
        assert!(!weir.prefix.join("weir.pid").exists());
        let lines = weir.prefix.lines("access.log");
        assert!(lines.len() == 1 && lines[0].ends_with(" 3 3"), "{lines:?}");
        assert!(try_connect(port.v4()).is_err());
    }
}

#[test]
fn term_after_quit_ends_what_quit_waits_for() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let mut weir = Setup::proxy(port.v4(), backend.address).start();
    let mut stream = connect(port.v4());
    assert_eq!(ask(&mut stream, b"a"), b"a");
    weir.signal(Signal::SIGQUIT);
    wait_for("the listener to close", || try_connect(port.v4()).is_err());
    weir.signal(Signal::SIGTERM);
    assert!(is_closed(&stream));
    assert_eq!(weir.wait_exit().code(), Some(0));
}

#[test]
fn by_the_command_line() {
    for name in ["stop", "quit"] {
        let port = Port::reserve();
        let mut weir = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).start();
        let run = weir.prefix.run(&["-s", name]);
        assert!(run.status.success(), "{}", run.stderr);
        assert_eq!(weir.wait_exit().code(), Some(0));
    }
}

#[test]
fn a_dead_worker_is_replaced_and_logged() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let weir = Setup::proxy(port.v4(), backend.address).workers(2).start();
    let workers = weir.workers();
    let mut streams: Vec<_> = (0..10).map(|_| connect(port.v4())).collect();
    for stream in &mut streams {
        assert_eq!(ask(stream, b"a"), b"a");
    }
    send(workers[0], Signal::SIGKILL);
    let line = weir.wait_error(&format!("worker process {} exited on signal 9", workers[0]));
    assert!(line.contains("[alert]"), "{line}");
    wait_for("another worker", || {
        let now = weir.workers();
        now.len() == 2 && !now.contains(&workers[0]) && now.contains(&workers[1])
    });
    for _ in 0..20 {
        assert_eq!(ask(connect(port.v4()), b"b"), b"b");
    }
    // Sessions of the other worker know nothing of it.
    for stream in &mut streams {
        if is_quiet(stream) {
            assert_eq!(ask(stream, b"c"), b"c");
        }
    }
}

#[test]
fn workers_take_signals_of_their_own() {
    let port = Port::reserve();
    let weir = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).start();
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        let worker = weir.worker();
        send(worker, signal);
        weir.wait_error(&format!("worker process {worker} exited with code 0"));
        wait_for("another worker", || weir.workers().first().is_some_and(|&pid| pid != worker));
        assert_eq!(fetch(port.v4()), "a");
    }
}

#[test]
fn winch_retires_workers_and_hup_brings_them_back() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let weir = Setup::proxy(port.v4(), backend.address).workers(2).daemon().start();
    let mut stream = connect(port.v4());
    assert_eq!(ask(&mut stream, b"a"), b"a");
    weir.signal(Signal::SIGWINCH);
    wait_for("workers to leave", || proc::children(weir.master()).len() == 1);
    assert_eq!(ask(&mut stream, b"b"), b"b");
    // The queue is open all the time: a client that comes now is served later.
    let mut waiting = connect(port.v4());
    waiting.write_all(b"x").unwrap();
    weir.signal(Signal::SIGHUP);
    weir.wait_workers(2);
    assert_eq!(ask(&mut waiting, b"y"), b"x");
    assert_eq!(ask(&mut stream, b"c"), b"c");
}

#[test]
fn winch_means_nothing_where_there_is_a_terminal() {
    // A terminal sends it whenever its window changes its size; script(1) gives weir one of its own.
    let prefix = Prefix::new();
    let port = Port::reserve();
    let tcp = format!("tcp {{ access_log off; server {{ listen {}; return a; }} }}", port.v4());
    let conf = prefix.write("nginx.conf", format!("daemon off; error_log logs/error.log info; events {{}} {tcp}"));
    let weir = format!("{} -p {} -c {}", binary().display(), prefix.join("").display(), conf.display());
    let mut script = Command::new("script")
        .args(["-q", "-c", &weir, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let master = wait_some("the pid file", || prefix.read("logs/nginx.pid").trim().parse::<i32>().ok());
    assert_eq!(fetch(port.v4()), "a");
    send(master, Signal::SIGWINCH);
    let ignored = || {
        prefix
            .lines("logs/error.log")
            .iter()
            .any(|line| line.contains("(SIGWINCH) received") && line.contains("ignoring"))
    };
    wait_for("the signal to be ignored", ignored);
    assert_eq!(fetch(port.v4()), "a");
    send(master, Signal::SIGTERM);
    script.wait().unwrap();
}

#[test]
fn signals_are_logged() {
    let port = Port::reserve();
    let weir = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).start();
    weir.signal(Signal::SIGUSR1);
    let line = weir.wait_error("signal 10 (SIGUSR1) received from ");
    assert!(line.contains("[notice]") && line.contains(&format!("from {}", std::process::id())), "{line}");
    weir.signal(Signal::SIGHUP);
    weir.wait_error("signal 1 (SIGHUP) received from ");
    weir.wait_error("reconfiguring");
}

#[test]
fn a_broken_pipe_is_no_matter() {
    let ended = Arc::new(AtomicUsize::new(0));
    let backend = Backend::start(backends::sink(Arc::default(), ended.clone()));
    let port = Port::reserve();
    let weir = Setup::proxy(port.v4(), backend.address).start();
    let worker = weir.worker();
    send(worker, Signal::SIGPIPE);
    weir.signal(Signal::SIGPIPE);
    let mut stream = connect(port.v4());
    stream.write_all(b"a").unwrap();
    drop(stream);
    wait_for("the session", || ended.load(Ordering::SeqCst) == 1);
    assert_eq!(weir.worker(), worker);
}

#[test]
fn a_worker_that_hears_nothing_is_killed() {
    // nginx: a worker that has not ended a second after it was told so is killed.
    let port = Port::reserve();
    let mut weir = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).workers(2).start();
    let workers = weir.workers();
    send(workers[0], Signal::SIGSTOP);
    weir.signal(Signal::SIGTERM);
    assert_eq!(weir.wait_exit().code(), Some(0));
    assert!(workers.iter().all(|&pid| !proc::alive(pid)));
    assert!(!weir.prefix.join("weir.pid").exists());
}

#[test]
fn reload_while_quitting_changes_nothing() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let mut weir = Setup::proxy(port.v4(), backend.address).start();
    let mut stream = connect(port.v4());
    assert_eq!(ask(&mut stream, b"a"), b"a");
    weir.signal(Signal::SIGQUIT);
    wait_for("the listener to close", || try_connect(port.v4()).is_err());
    weir.signal(Signal::SIGHUP);
    weir.wait_error("(SIGHUP) received");
    assert_eq!(ask(&mut stream, b"b"), b"b");
    assert!(try_connect(port.v4()).is_err());
    drop(stream);
    assert_eq!(weir.wait_exit().code(), Some(0));
}

#[test]
fn term_together_with_a_reload_starts_nobody() {
    // Both wait while the master is stopped, so it takes them in one turn: workers that the reload asks for would never hear of the end.
    let port = Port::reserve();
    let mut weir = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).workers(2).start();
    for signal in [Signal::SIGSTOP, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGCONT] {
        weir.signal(signal);
    }
    weir.wait_exit();
    let log = weir.error_log();
    assert!(log.contains("reconfiguring") && !log.contains("exited on signal 9"), "{log}");
}
