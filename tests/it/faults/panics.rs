//! A panic, asked for by `WEIR_PANIC`, in a session: no other session learns of it, and nothing it held is lost.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Bench, Plan};
use crate::common::*;

/// The places of a worker and of a server are few, so that one that is not given back is missed.
const ROUNDS: usize = 30;
const PLACES: &str = "worker_connections 24;";

/// weir that panics at a place, given the first server's address and one that `max_busy` keeps from more than 7 sessions.
fn panicking(place: impl Fn(&str) -> String) -> (Bench, Backend) {
    let echo = Backend::start(backends::echo);
    let plan = Plan::new(&format!("server {} max_busy=7;", echo.address), "").events(PLACES);
    let variable = format!("env 'WEIR_PANIC={}';", place(&plan.port.v4()));
    (plan.main(&variable).start(), echo)
}

/// Lets `victim` be served again and again; whatever becomes of it, other sessions go on and everything is given back.
fn others_go_on(bench: &Bench, victim: impl Fn(TcpStream)) {
    let worker = bench.weir.worker();
    let mut good: Vec<TcpStream> = (0..4).map(|_| bench.good_client()).collect();
    for round in 1..=ROUNDS {
        victim(bench.client());
        wait_for("the panic to be logged", || {
            bench.weir.error_log().matches("asked for by WEIR_PANIC").count() == round
        });
        assert_eq!(ask(&mut good[round % 4], b"?"), b"?");
    }
    let line = bench.weir.wait_error("asked for by WEIR_PANIC");
    assert!(line.contains(" [alert] ") && line.contains("panicked at src/"), "{line}");
    bench.wait_busy(&[4]);
    drop(bench.good_client());
    drop(good);
    bench.settle();
    assert_eq!(bench.weir.worker(), worker);
    assert!(!bench.weir.error_log().contains("worker_connections are not enough"));
    assert!(!bench.weir.error_log().contains("no live upstreams"));
}

#[test]
fn while_bytes_are_passed() {
    let (bench, _echo) = panicking(|_| "relay 7919".into());
    others_go_on(&bench, |mut stream| {
        assert_eq!(ask(&mut stream, b"some first"), b"some first");
        stream.write_all(&[b'x'; 7919 - 10]).unwrap();
        let mut rest = Vec::new();
        // By an end or a reset.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() < 7919);
    });
    let line = bench.weir.wait_error("session is closed for a fault of the program");
    assert!(line.contains(" [alert] ") && line.contains(", client: 127.0.0.1, server: "), "{line}");
    let told = bench.told(ROUNDS);
    assert!(told.iter().all(|line| line.starts_with("500 7919 ")), "{told:?}");
}

#[test]
fn before_there_is_a_session() {
    let (bench, _echo) = panicking(|listen| format!("accept {listen}"));
    others_go_on(&bench, |stream| assert!(is_closed(stream)));
}

#[test]
fn while_a_server_is_chosen() {
    let (bench, _echo) = panicking(|listen| format!("connect {listen}"));
    others_go_on(&bench, |stream| assert!(is_closed(stream)));
    assert!(bench.told(ROUNDS).iter().all(|line| line.starts_with("500 0 0 ")));
}

#[test]
fn at_the_end_of_a_session() {
    let (bench, _echo) = panicking(|_| "end 5".into());
    others_go_on(&bench, |mut stream| assert_eq!(ask(&mut stream, b"hello"), b"hello"));
}

#[test]
fn what_ends_that_way_leaves_no_timer() {
    let port = Port::reserve();
    let echo = Backend::start(backends::echo);
    let setup = Setup::tcp(format!(
        "server {{ listen {}; proxy_pass {}; timeout 300ms; }}
         server {{ listen {} proxy_protocol; return a; }}",
        port.v4(),
        echo.address,
        port.on("127.0.0.2")
    ));
    let weir = setup.main("env 'WEIR_PANIC=end 5';").start();
    let mut victim = connect(port.v4());
    assert_eq!(ask(&mut victim, b"hello"), b"hello");
    drop(victim);
    weir.wait_error("asked for by WEIR_PANIC");
    // It stands where the other has stood, whose time is over before that of the last one.
    let mut silent = connect(port.on("127.0.0.2"));
    let last = connect(port.v4());
    assert!(is_closed(last));
    silent.write_all(b"PROXY UNKNOWN\r\n").unwrap();
    assert_eq!(read_all(silent), b"a");
}

#[test]
fn while_a_request_is_answered() {
    let (bench, _echo) = panicking(|_| "request /panic".into());
    let page = bench.plan.page.v4();
    others_go_on(&bench, |_session| {
        let mut stream = connect(&page);
        stream.write_all(b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(is_closed(stream));
    });
}

#[test]
fn a_worker_that_is_to_finish_finishes() {
    // A client that is still in the queue, and whose session panics.
    let (mut bench, _echo) = panicking(|listen| format!("connect {listen}"));
    let mut good = bench.good_client();
    let worker = bench.weir.worker();
    running::send(worker, Signal::SIGSTOP);
    let victim = bench.client();
    bench.weir.signal(Signal::SIGQUIT);
    running::send(worker, Signal::SIGCONT);
    assert!(is_closed(victim));
    assert_eq!(ask(&mut good, b"still"), b"still");
    drop(good);
    assert_eq!(bench.weir.wait_exit().code(), Some(0));
    assert!(bench.weir.error_log().contains("asked for by WEIR_PANIC"));
    assert!(!bench.weir.error_log().contains("exited with code 101"), "{}", bench.weir.error_log());
}

#[test]
fn while_a_configuration_is_read() {
    // A master has the variable in any case, a process alone keeps what a worker would.
    let (port, echo) = (Port::reserve(), Backend::start(backends::echo));
    for main in ["", "master_process off; env WEIR_PANIC;"] {
        let setup = Setup::proxy(port.v4(), echo.address).main(main);
        let prefix = Prefix::new();
        prefix.write("nginx.conf", setup.text());
        let child =
            prefix.command(&[]).env("WEIR_PANIC", format!("reload {}", prefix.text_path("bad.pid"))).spawn().unwrap();
        let mut weir = Weir { child: Some(child), prefix };
        wait_for("the pid file", || weir.prefix.pid("weir.pid").is_some());
        let master = weir.master();
        let mut live = connect(port.v4());
        assert_eq!(ask(&mut live, b"a"), b"a");
        weir.prefix.write("nginx.conf", setup.text().replace("weir.pid", "bad.pid"));
        weir.signal(Signal::SIGHUP);
        let line = weir.wait_error("asked for by WEIR_PANIC");
        assert!(line.contains(" [alert] "), "{line}");
        assert_eq!(ask(&mut live, b"b"), b"b");
        assert_eq!(ask(connect(port.v4()), b"c"), b"c");
        // The next one is read as ever.
        let new = Setup::tcp(format!("server {{ listen {}; return new; }}", port.v4())).main(main);
        weir.prefix.write("nginx.conf", new.text());
        weir.signal(Signal::SIGHUP);
        wait_for("the new configuration", || {
            let stream = connect(port.v4());
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            read_all(stream) == b"new"
        });
        assert_eq!(weir.master(), master);
        drop(live);
        weir.signal(Signal::SIGQUIT);
        assert_eq!(weir.wait_exit().code(), Some(0));
    }
}
