//! USR2: another binary takes over the listening sockets, and may give them back.

use std::net::TcpListener;
use std::os::fd::AsRawFd;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::common::clients::fetch;
use super::common::proc;
use super::common::running::{send, workers_of};
use super::reload::Load;
use crate::common::*;

/// Asks for the new binary and returns the old and the new master.
fn upgrade(weir: &Weir, workers: usize) -> (i32, i32) {
    let old = weir.master();
    send(old, Signal::SIGUSR2);
    let new = wait_some("the new master", || weir.prefix.pid("weir.pid").filter(|&pid| pid != old));
    assert_eq!(weir.prefix.pid("weir.pid.oldbin"), Some(old));
    wait_for("workers of the new master", || workers_of(new).len() == workers);
    (old, new)
}

#[test]
fn forward() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let weir = Setup::proxy(port.v4(), backend.address).workers(2).daemon().start();
    let mut before = connect(port.v4());
    assert_eq!(ask(&mut before, b"a"), b"a");
    let (old, new) = upgrade(&weir, 2);
    assert!(proc::title(new).starts_with("weir: master process"), "{}", proc::title(new));
    assert_eq!(ask(connect(port.v4()), b"both serve"), b"both serve");
    send(old, Signal::SIGQUIT);
    // The old master stays for the session of its worker.
    wait_for("old workers without sessions to leave", || {
        workers_of(old).is_empty() && proc::children(old).iter().filter(|&&pid| pid != new).count() == 1
    });
    assert_eq!(ask(&mut before, b"b"), b"b");
    drop(before);
    wait_for("the old master to leave", || !proc::alive(old));
    wait_for("its pid file to go", || !weir.prefix.join("weir.pid.oldbin").exists());
    assert_eq!(weir.master(), new);
    assert_eq!(workers_of(new).len(), 2);
    assert_eq!(ask(connect(port.v4()), b"new"), b"new");
    // The new one is whole: it reloads and stops like any other, and can be upgraded in turn.
    weir.reload(&Setup::proxy(port.v4(), backend.address).workers(1).daemon());
    let (_, newer) = upgrade(&weir, 1);
    send(new, Signal::SIGQUIT);
    wait_for("the second master to leave", || !proc::alive(new));
    assert_eq!(ask(connect(port.v4()), b"newer"), b"newer");
    send(newer, Signal::SIGTERM);
    wait_for("the last master to leave", || !proc::alive(newer));
    assert!(!weir.prefix.join("weir.pid").exists());
}

#[test]
fn the_next_upgrade_does_not_wait_for_old_sessions() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let weir = Setup::proxy(port.v4(), backend.address).daemon().start();
    let mut session = connect(port.v4());
    assert_eq!(ask(&mut session, b"a"), b"a");
    let (first, second) = upgrade(&weir, 1);
    // As long as there is a way back from the second, it has no successor.
    send(second, Signal::SIGUSR2);
    weir.wait_error("the changing binary signal is ignored");
    send(first, Signal::SIGQUIT);
    wait_for("the first master to give its pid file up", || !weir.prefix.join("weir.pid.oldbin").exists());
    let (_, third) = upgrade(&weir, 1);
    send(second, Signal::SIGQUIT);
    wait_for("the second master to leave", || !proc::alive(second));
    assert_eq!(ask(&mut session, b"b"), b"b");
    let (_, fourth) = upgrade(&weir, 1);
    // The first one's end, though its new binary is gone and its pid file's name in use again, touches nobody's pid file.
    drop(session);
    wait_for("the first master to leave", || !proc::alive(first));
    assert_eq!((weir.master(), weir.prefix.pid("weir.pid.oldbin")), (fourth, Some(third)));
    assert!(!weir.error_log().contains("[alert]"), "{}", weir.error_log());
    assert_eq!(ask(connect(port.v4()), b"c"), b"c");
}

#[test]
fn and_back() {
    let port = Port::reserve();
    let setup = Setup::tcp(format!("server {{ listen {}; return \"$pid\"; }}", port.v4())).daemon();
    let weir = setup.start();
    let (old, new) = upgrade(&weir, 1);
    send(old, Signal::SIGWINCH);
    wait_for("old workers to leave", || proc::children(old) == [new]);
    let answer: i32 = fetch(port.v4()).parse().unwrap();
    assert_eq!(workers_of(new), [answer]);
    // Roll-back: the old master starts workers again, the new one goes.
    send(old, Signal::SIGHUP);
    wait_for("old workers to come back", || workers_of(old).len() == 1);
    send(new, Signal::SIGQUIT);
    wait_for("the new master to leave", || !proc::alive(new));
    wait_for("the pid file to be the old one's again", || weir.prefix.pid("weir.pid") == Some(old));
    wait_for(".oldbin to go", || !weir.prefix.join("weir.pid.oldbin").exists());
    let answer: i32 = fetch(port.v4()).parse().unwrap();
    assert_eq!(workers_of(old), [answer]);
    // And it can be tried again.
    upgrade(&weir, 1);
}

#[test]
fn a_new_binary_that_dies_gives_everything_back() {
    let port = Port::reserve();
    let setup = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).daemon();
    let weir = setup.start();
    let (old, new) = upgrade(&weir, 1);
    send(old, Signal::SIGWINCH);
    wait_for("old workers to leave", || proc::children(old) == [new]);
    // A master that is killed leaves its workers; they are ended as an operator would.
    let orphans = workers_of(new);
    send(new, Signal::SIGKILL);
    orphans.into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
    wait_for("workers of the old master", || workers_of(old).len() == 1);
    wait_for("the pid file to be the old one's again", || weir.prefix.pid("weir.pid") == Some(old));
    assert_eq!(fetch(port.v4()), "a");
}

#[test]
fn a_new_binary_that_cannot_start_changes_nothing() {
    let port = Port::reserve();
    let setup = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).daemon();
    let weir = setup.start();
    let (master, worker) = (weir.master(), weir.worker());
    weir.prefix.write("nginx.conf", setup.clone().main("frobnicate;").text());
    weir.signal(Signal::SIGUSR2);
    weir.wait_error("unknown directive \"frobnicate\"");
    wait_for("the pid file to be in its place", || {
        weir.prefix.pid("weir.pid") == Some(master) && !weir.prefix.join("weir.pid.oldbin").exists()
    });
    assert_eq!(weir.worker(), worker);
    assert_eq!(fetch(port.v4()), "a");
    weir.prefix.write("nginx.conf", setup.text());
    upgrade(&weir, 1);
}

#[test]
fn no_client_is_refused() {
    let port = Port::reserve();
    let backend = Backend::start(backends::named("answer"));
    let weir = Setup::proxy(port.v4(), backend.address).workers(2).daemon().level("notice").start();
    Load::around(&port.v4(), |load| {
        for _ in 0..3 {
            let (old, _) = upgrade(&weir, 2);
            load.wait_for_more(20);
            send(old, Signal::SIGQUIT);
            wait_for("the old master to leave", || !proc::alive(old));
            load.wait_for_more(20);
        }
        // Forward and back again.
        let (old, new) = upgrade(&weir, 2);
        send(old, Signal::SIGWINCH);
        load.wait_for_more(20);
        send(old, Signal::SIGHUP);
        wait_for("old workers to come back", || workers_of(old).len() == 2);
        send(new, Signal::SIGQUIT);
        wait_for("the new master to leave", || !proc::alive(new));
        load.wait_for_more(20);
    });
}

#[test]
fn an_address_that_is_new_with_the_new_binary() {
    let (port, added) = (Port::reserve(), Port::reserve());
    let setup = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).daemon();
    let weir = setup.start();
    let both = Setup::tcp(format!("server {{ listen {}; listen {}; return b; }}", port.v4(), added.v4())).daemon();
    weir.prefix.write("nginx.conf", both.text());
    let (old, _) = upgrade(&weir, 1);
    send(old, Signal::SIGQUIT);
    wait_for("the old master to leave", || !proc::alive(old));
    assert_eq!(fetch(port.v4()), "b");
    assert_eq!(fetch(added.v4()), "b");
}

#[test]
fn unix_sockets_are_handed_on() {
    use std::io::Read;
    let prefix = Prefix::new();
    let path = prefix.join("front.sock");
    let setup = Setup::tcp(format!("server {{ listen unix:{}; return a; }}", path.display())).daemon();
    let weir = setup.start_in(prefix);
    let (old, _) = upgrade(&weir, 1);
    send(old, Signal::SIGQUIT);
    wait_for("the old master to leave", || !proc::alive(old));
    let mut text = String::new();
    std::os::unix::net::UnixStream::connect(&path).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "a");
}

#[test]
fn sockets_of_another_program_are_taken_over() {
    // As from a running nginx: descriptors that stay open over exec, named in NGINX.
    let port = Port::reserve();
    let listener = TcpListener::bind(port.v4()).unwrap();
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    for socket in [&listener, &unused] {
        fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    }
    // This client is in the queue before weir starts; had weir a socket of its own, it would never be served.
    let waiting = connect(port.v4());
    let prefix = Prefix::new();
    prefix.write("nginx.conf", Setup::tcp(format!("server {{ listen {}; return taken; }}", port.v4())).text());
    let mut command = prefix.command(&[]);
    command.env("NGINX", format!("{};{};", listener.as_raw_fd(), unused.as_raw_fd()));
    let child = command.spawn().unwrap();
    for socket in [&listener, &unused] {
        fcntl(socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    }
    drop(listener);
    let weir = Weir { child: Some(child), prefix };
    assert_eq!(read_all(waiting), b"taken");
    // Before the configuration has named a log it is told on stderr.
    let told = weir.prefix.read("stderr") + &weir.error_log();
    assert!(told.contains("using inherited sockets from "), "{told}");
    assert_eq!(fetch(port.v4()), "taken");
}

#[test]
fn a_second_request_is_ignored_while_the_first_is_under_way() {
    let port = Port::reserve();
    let weir = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).daemon().start();
    let (old, new) = upgrade(&weir, 1);
    for master in [old, new] {
        let before = weir.error_log().matches("(SIGUSR2) received").count();
        send(master, Signal::SIGUSR2);
        wait_for("the signal to be heard", || weir.error_log().matches("(SIGUSR2) received").count() > before);
    }
    // What would come of it comes before the answer to a later signal.
    send(old, Signal::SIGUSR1);
    send(new, Signal::SIGUSR1);
    wait_for("both to answer", || weir.error_log().matches("(SIGUSR1) received").count() >= 2);
    assert_eq!(weir.master(), new);
    let masters = |pid: i32| proc::children(pid).into_iter().filter(|&pid| proc::title(pid).contains("master")).count();
    assert_eq!((masters(old), masters(new)), (1, 0));
    assert_eq!(fetch(port.v4()), "a");
}
