//! `listen ... reuseport`: a socket for each worker, of which none is lost with its clients.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;

use super::common::clients::fetch;
use super::common::proc;
use super::common::running::{send, workers_of};
use super::http::{config, get};
use super::reload::Load;
use crate::common::*;

/// A server that tells which worker serves it.
fn tells(port: &Port, words: &str) -> Setup {
    Setup::tcp(format!("server {{ listen {} {words}; return \"$pid\"; }}", port.v4())).level("notice")
}

/// Waits until so many sockets listen on the port. The kernel's table is not read in one piece, so one look at it can be wrong.
#[track_caller]
fn wait_sockets(port: &Port, count: usize) {
    let local = format!(":{:04X}", port.number);
    // `sl local_address rem_address st ...`; state 0A is LISTEN.
    let listens = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words[1].ends_with(&local) && words[3] == "0A"
    };
    wait_for(&format!("{count} listening sockets"), || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().skip(1).filter(listens).count() == count
    });
}

/// Asks until each of these workers has answered a few times; nobody else may.
#[track_caller]
fn all_serve(workers: &[i32], ask: impl Fn() -> i32) {
    let mut answers: BTreeMap<i32, usize> = BTreeMap::new();
    wait_for("all workers to serve", || {
        *answers.entry(ask()).or_default() += 1;
        answers.len() == workers.len() && answers.values().all(|count| *count >= 3)
    });
    assert!(answers.keys().eq(workers), "{answers:?}, {workers:?}");
}

fn ask_tcp(port: &Port) -> i32 {
    fetch(port.v4()).parse().unwrap()
}

#[test]
fn clients_spread_over_the_workers() {
    let port = Port::reserve();
    let weir = tells(&port, "reuseport").workers(3).start();
    wait_sockets(&port, 3);
    all_serve(&weir.workers(), || ask_tcp(&port));
}

#[test]
fn and_those_of_http() {
    let port = Port::reserve();
    let prefix = Prefix::new();
    let text = config(&format!("server {{ listen {} reuseport backlog=20; return 200 $pid; }}", port.v4()));
    prefix.write("nginx.conf", text.replace("worker_processes 1", "worker_processes 2"));
    let weir = Weir::launch(prefix, &[]);
    let workers = weir.wait_workers(2);
    wait_sockets(&port, 2);
    all_serve(&workers, || get(&port, "/").text().parse().unwrap());
}

#[test]
fn reloads_with_other_numbers_of_workers_lose_nobody() {
    let port = Port::reserve();
    let weir = tells(&port, "reuseport").workers(3).start();
    Load::around(&port.v4(), |load| {
        for workers in [1, 4, 2, 5, 1, 3] {
            weir.reload(&tells(&port, "reuseport").workers(workers));
            load.wait_for_more(50);
            wait_sockets(&port, workers);
        }
        all_serve(&weir.workers(), || ask_tcp(&port));
        // To one socket for all, and back.
        weir.reload(&tells(&port, "").workers(3));
        load.wait_for_more(50);
        wait_sockets(&port, 1);
        weir.reload(&tells(&port, "reuseport").workers(3));
        wait_sockets(&port, 3);
        load.wait_for_more(50);
        assert!(weir.prefix.run(&["-t"]).status.success());
        load.wait_for_more(50);
    });
    all_serve(&weir.workers(), || ask_tcp(&port));
}

#[test]
fn a_reload_that_fails_leaves_no_client_with_a_socket_that_goes() {
    let port = Port::reserve();
    let weir = tells(&port, "reuseport").workers(2).start();
    let workers = weir.workers();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!("server {{ listen {}; return x; }}", taken.local_addr().unwrap());
    let mut setup = tells(&port, "reuseport").workers(6);
    setup.tcp += &other;
    weir.prefix.write("nginx.conf", setup.text());
    Load::around(&port.v4(), |load| {
        weir.signal(Signal::SIGHUP);
        // By then the sockets of six workers are open, and are going to be closed again.
        weir.wait_error("try again to bind()");
        load.wait_for_more(50);
        weir.wait_error("still could not bind()");
        wait_sockets(&port, 2);
        load.wait_for_more(50);
    });
    assert_eq!(weir.workers(), workers);
}

#[test]
fn a_binary_upgrade_hands_all_sockets_over() {
    let port = Port::reserve();
    let weir = tells(&port, "reuseport").workers(3).daemon().start();
    let upgrade = |workers: usize| {
        let old = weir.master();
        weir.prefix.write("nginx.conf", tells(&port, "reuseport").workers(workers).daemon().text());
        send(old, Signal::SIGUSR2);
        let new = wait_some("the new master", || weir.prefix.pid("weir.pid").filter(|&pid| pid != old));
        wait_for("workers of the new master", || workers_of(new).len() == workers);
        (old, new)
    };
    Load::around(&port.v4(), |load| {
        for workers in [3, 2, 4] {
            let (old, new) = upgrade(workers);
            load.wait_for_more(50);
            send(old, Signal::SIGQUIT);
            wait_for("the old master to leave", || !proc::alive(old));
            load.wait_for_more(50);
            wait_sockets(&port, workers);
            all_serve(&workers_of(new), || ask_tcp(&port));
        }
        // Forward to fewer workers and back again.
        let (old, new) = upgrade(2);
        send(old, Signal::SIGWINCH);
        wait_for("old workers to leave", || proc::children(old) == [new]);
        all_serve(&workers_of(new), || ask_tcp(&port));
        send(old, Signal::SIGHUP);
        wait_for("old workers to come back", || workers_of(old).len() == 4);
        load.wait_for_more(50);
        send(new, Signal::SIGQUIT);
        wait_for("the new master to leave", || !proc::alive(new));
        load.wait_for_more(50);
        all_serve(&workers_of(old), || ask_tcp(&port));
    });
}

#[test]
fn the_way_back_from_more_workers_begins_with_their_sockets() {
    let port = Port::reserve();
    let weir = tells(&port, "reuseport").workers(2).daemon().start();
    let old = weir.master();
    weir.prefix.write("nginx.conf", tells(&port, "reuseport").workers(4).daemon().text());
    send(old, Signal::SIGUSR2);
    let new = wait_some("the new master", || weir.prefix.pid("weir.pid").filter(|&pid| pid != old));
    wait_for("workers of the new master", || workers_of(new).len() == 4);
    wait_sockets(&port, 4);
    // Both serve; the last two workers have sockets that are going to be closed.
    let going = workers_of(new)[2..].to_vec();
    wait_for("a worker that goes", || going.contains(&ask_tcp(&port)));
    send(old, Signal::SIGHUP);
    weir.wait_error("signal 1 (SIGHUP) received");
    // What the signal brings about comes before the answer to a later one.
    send(old, Signal::SIGUSR1);
    weir.wait_error(&format!("{old}#{old}: signal 10 (SIGUSR1) received"));
    for _ in 0..100 {
        assert!(!going.contains(&ask_tcp(&port)));
    }
    send(new, Signal::SIGQUIT);
    wait_for("the new master to leave", || !proc::alive(new));
    wait_sockets(&port, 2);
    all_serve(&workers_of(old), || ask_tcp(&port));
}

#[test]
fn the_successor_of_a_killed_worker_serves_those_who_wait() {
    let port = Port::reserve();
    let weir = tells(&port, "reuseport").workers(2).start();
    let workers = weir.workers();
    let (killed, other) = (workers[0], workers[1]);
    send(killed, Signal::SIGSTOP);
    let waiting: Vec<_> = (0..40).map(|_| connect(port.v4())).collect();
    send(killed, Signal::SIGKILL);
    let answers: Vec<i32> =
        waiting.into_iter().map(|stream| String::from_utf8(read_all(stream)).unwrap().parse().unwrap()).collect();
    let workers = weir.wait_workers(2);
    let successor = *workers.iter().find(|pid| **pid != other).unwrap();
    assert!(answers.contains(&successor) && answers.contains(&other) && !answers.contains(&killed), "{answers:?}");
    wait_sockets(&port, 2);
    all_serve(&workers, || ask_tcp(&port));
}

#[test]
fn one_process_has_one_socket() {
    let port = Port::reserve();
    let setup = tells(&port, "reuseport").workers(3).main("master_process off;");
    let prefix = Prefix::new();
    prefix.write("nginx.conf", setup.text());
    let weir = Weir::launch(prefix, &[]);
    assert_eq!(ask_tcp(&port), weir.master());
    wait_sockets(&port, 1);
    weir.prefix.write("nginx.conf", setup.text().replace("return \"$pid\"", "return again"));
    weir.signal(Signal::SIGHUP);
    wait_for("the new text", || fetch(port.v4()) == "again");
}
