//! A worker that has no descriptor left.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::{Plan, SAME_USER, descriptors};
use crate::common::clients::is_quiet;
use crate::common::dns::Dns;
use crate::common::*;

const EMFILE: &str = "(24: Too many open files)";

/// It must not matter whether the last descriptor is wanted by a client or by the connection to its server.
#[test]
fn for_clients() {
    thread::scope(|scope| {
        for limit in [40, 41] {
            scope.spawn(move || with_descriptors(limit));
        }
    });
}

fn with_descriptors(limit: usize) {
    let echo = Backend::start(backends::echo);
    let bench = Plan::new(&format!("server {};", echo.address), "")
        .main(&format!("worker_rlimit_nofile {limit};"))
        .events("worker_connections 1000; accept_mutex_delay 100ms;")
        .start();
    let worker = bench.weir.worker();
    let mut sessions: Vec<TcpStream> = (0..60).map(|_| bench.client()).collect();
    bench.weir.wait_error(&format!("accept4() failed {EMFILE}"));
    // What has a descriptor works.
    for stream in &mut sessions {
        stream.write_all(b"x").unwrap();
    }
    wait_for("sessions with descriptors", || {
        let served = sessions.iter().filter(|stream| !is_quiet(stream)).count();
        served >= 5 && served == echo.accepted()
    });
    // Clients wait in the kernel's queue meanwhile: accepting is tried again after each pause and not in between.
    let tries = || bench.weir.error_log().matches("accept4() failed").count() as u64;
    let seen = || (proc::cpu_ticks(worker), proc::wakes(worker), tries());
    let (start, before) = (Instant::now(), seen());
    wait_for("accepting to be tried again", || tries() >= before.2 + 3);
    thread::sleep(Duration::from_millis(500));
    let after = seen();
    let pauses = start.elapsed().as_millis() as u64 / 100 + 1;
    assert!(after.2 - before.2 <= pauses, "tried {} times in {pauses} pauses", after.2 - before.2);
    assert!(after.1 - before.1 <= 3 * pauses, "woken {} times in {pauses} pauses", after.1 - before.1);
    assert!(after.0 - before.0 <= pauses, "{} hundredths of a second used in {pauses} pauses", after.0 - before.0);
    // The others get theirs when there are some again.
    let (mut waiting, mut served): (Vec<_>, Vec<_>) = sessions.drain(..).partition(is_quiet);
    assert!(waiting.len() >= 30, "{} and {}", served.len(), waiting.len());
    assert!(!bench.weir.error_log().contains("socket() failed"), "nobody was turned away");
    for stream in &mut served {
        assert_eq!(stream.read(&mut [0]).unwrap(), 1);
    }
    for stream in &mut served {
        assert_eq!(ask(stream, b"y"), b"y");
    }
    served.truncate(1);
    let next = &mut waiting[0];
    let mut byte = [0];
    assert_eq!((next.read(&mut byte).unwrap(), byte), (1, *b"x"));
    drop((served, waiting));
    bench.settle();
    assert_eq!(bench.weir.worker(), worker);
}

#[test]
fn for_a_connection_to_a_server() {
    if !proc::shows_descriptors() {
        return;
    }
    let (echo, headed) = (Backend::start(backends::echo), Port::reserve());
    let group = format!("server {} max_busy=3; server {} backup;", echo.address, echo.address);
    let bench = Plan::new(&group, &format!("listen {} proxy_protocol;", headed.v4())).main(SAME_USER).start();
    let worker = bench.weir.worker();
    let mut good = bench.good_client();
    let usual = proc::nofile(worker);
    for round in 1..=5 {
        let mut clients = [connect(headed.v4()), connect(headed.v4())];
        wait_for("both to be accepted", || descriptors(worker) == bench.at_rest + 4);
        // What is left is the descriptor in reserve, for the first that needs a server.
        proc::limit_descriptors(worker, proc::free_descriptor(worker));
        let [first, second] = &mut clients;
        first.write_all(b"PROXY UNKNOWN\r\n").unwrap();
        assert_eq!(ask(first, b"!"), b"!");
        second.write_all(b"PROXY UNKNOWN\r\n").unwrap();
        assert!(is_closed(second));
        proc::limit_descriptors(worker, usual);
        assert_eq!(bench.told(2 * round - 1).last().unwrap(), &format!("500 0 0 {}", echo.address));
        bench.wait_busy(&[2, 0]);
        drop(clients);
        bench.wait_busy(&[1, 0]);
        assert_eq!(bench.told(2 * round).last().unwrap(), &format!("200 1 1 {}", echo.address));
        assert_eq!(ask(&mut good, b"?"), b"?");
    }
    let line = bench.weir.wait_error(&format!("socket() failed {EMFILE} while connecting to upstream"));
    assert!(line.contains(" [alert] ") && line.contains(&format!("upstream: \"{}\"", echo.address)), "{line}");
    // The server is none the worse for it.
    assert!(!bench.weir.error_log().contains("temporarily disabled"));
    let others = [bench.good_client(), bench.good_client()];
    bench.wait_busy(&[3, 0]);
    drop((good, others));
    bench.settle();
}

#[test]
fn for_probes() {
    if !proc::shows_descriptors() {
        return;
    }
    let port = Port::reserve();
    let echo = Backend::start(backends::echo);
    let group = format!("upstream u {{ server {}; check interval=50 rise=1 fall=1; }}", echo.address);
    let tcp = format!("{group} server {{ listen {}; proxy_pass u; }}", port.v4());
    let weir = Setup::tcp(tcp).level("info").main(SAME_USER).start();
    weir.wait_error("is up");
    let worker = weir.worker();
    let stream = connect(port.v4());
    assert_eq!(ask(&stream, b"a"), b"a");
    let usual = proc::nofile(worker);
    // A probe may be under way; its descriptor is free when it has ended.
    wait_for("probes without descriptors", || {
        proc::limit_descriptors(worker, proc::free_descriptor(worker));
        thread::sleep(Duration::from_millis(60));
        weir.error_log().contains(&format!("socket() failed {EMFILE} while checking upstream"))
    });
    assert_eq!(ask(&stream, b"b"), b"b");
    proc::limit_descriptors(worker, usual);
    let probes = echo.accepted();
    wait_for("probes again", || echo.accepted() > probes + 2);
    // That it could not be asked says nothing about the server.
    assert!(!weir.error_log().contains("is down") && is_quiet(&stream));
    assert_eq!(ask(connect(port.v4()), b"c"), b"c");
}

#[test]
fn for_queries_and_logs() {
    if !proc::shows_descriptors() {
        return;
    }
    let (port, echo) = (Port::reserve(), Backend::start(backends::echo));
    let dns = Dns::with(&["127.0.0.1"]);
    let tcp = format!(
        "upstream u {{ server backend.test:{} resolve; }} resolver {} valid=1s ipv6=off; resolver_timeout 1s;
         server {{ listen {}; proxy_pass u; }}",
        echo.address.port(),
        dns.address,
        port.v4()
    );
    let weir = Setup::tcp(tcp).level("info").main(SAME_USER).start();
    weir.wait_error("backend.test has now 127.0.0.1,");
    let worker = weir.worker();
    let mut live = connect(port.v4());
    assert_eq!(ask(&mut live, b"a"), b"a");
    let usual = proc::nofile(worker);
    let wait_without = |text: &str| {
        wait_for(text, || {
            proc::limit_descriptors(worker, proc::free_descriptor(worker));
            thread::sleep(Duration::from_millis(20));
            weir.error_log().contains(text)
        })
    };
    wait_without(&format!("socket() failed {EMFILE} while resolving"));
    wait_without("backend.test could not be resolved");
    running::send(worker, Signal::SIGUSR1);
    for name in ["error.log", "access.log"] {
        wait_without(&format!("open() \"{}\" failed {EMFILE}", weir.prefix.text_path(name)));
    }
    assert_eq!(ask(&mut live, b"b"), b"b");
    proc::limit_descriptors(worker, usual);
    // The addresses are those of before, and are asked for again.
    let asked = dns.queries().len();
    assert_eq!(ask(connect(port.v4()), b"c"), b"c");
    wait_for("queries again", || dns.queries().len() > asked + 1);
    assert_eq!(ask(connect(port.v4()), b"d"), b"d");
    assert_eq!(weir.worker(), worker);
}
