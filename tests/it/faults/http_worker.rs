//! A panic while a request is served, asked for by `WEIR_PANIC`, and workers that are killed: no other request learns of it, and nothing
//! that it held is lost.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{Bench, Plan, answering};
use crate::common::dns::Dns;
use crate::common::running::send;
use crate::common::*;
use crate::http::read_reply;
use crate::http_tls::{asking, shows};
use crate::tls::certs::{Identity, ec_key};
use crate::tls::{OURS, folder};

/// The places of a worker are few, so that one that is not given back is missed.
const ROUNDS: usize = 20;
const PLACES: &str = "worker_connections 24;";

/// A server that answers `/bad` once it is let.
fn held() -> (Backend, Arc<AtomicBool>) {
    let let_go = Arc::new(AtomicBool::new(false));
    let backend = answering({
        let let_go = let_go.clone();
        move |mut stream| {
            while !let_go.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld");
        }
    });
    (backend, let_go)
}

fn asked(port: &Port, path: &str) -> TcpStream {
    let mut stream = connect(port.v4());
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream
}

/// Requests on `/victim` end in a panic again and again, after an answer if `answered`, while others are under way.
fn others_go_on(place: &str, answered: bool) -> Bench {
    let (backend, let_go) = held();
    let text = "location / { proxy_pass http://u; }";
    let plan = Plan::http(&format!("server {} max_fails=0;", backend.address), text).events(PLACES);
    let bench = plan.main(&format!("env 'WEIR_PANIC={place}';")).start();
    let worker = bench.weir.worker();
    let mut waiting: Vec<TcpStream> = (0..4).map(|_| asked(&bench.plan.other, "/bad")).collect();
    let mut kept = connect(bench.plan.other.v4());
    bench.wait_busy(&[4]);
    for round in 1..=ROUNDS {
        let mut victim = asked(&bench.plan.port, "/victim");
        if answered {
            assert_eq!(read_reply(&mut victim, false).text(), "/victim");
        }
        assert!(is_closed(victim));
        wait_for("the panic to be logged", || {
            bench.weir.error_log().matches("asked for by WEIR_PANIC").count() == round
        });
        kept.write_all(b"GET /kept HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut kept, false).text(), "/kept");
    }
    bench.wait_busy(&[4]);
    let_go.store(true, Ordering::SeqCst);
    for stream in &mut waiting {
        assert_eq!(read_reply(stream, false).text(), "held");
    }
    drop((waiting, kept));
    bench.settle();
    assert_eq!(bench.weir.worker(), worker);
    let line = bench.weir.wait_error("connection is closed for a fault of the program");
    assert!(line.contains(" [alert] ") && line.contains(", client: 127.0.0.1, server: "), "{line}");
    assert!(!bench.weir.error_log().contains("worker_connections are not enough"));
    bench
}

#[test]
fn a_panic_where_a_request_is_begun() {
    let bench = others_go_on("request /victim", false);
    let told = bench.told(ROUNDS);
    assert!(told.iter().all(|line| line == "500 0 - /victim"), "{told:?}");
}

#[test]
fn a_panic_where_a_request_is_told_of() {
    let bench = others_go_on("log /victim", true);
    assert_eq!(bench.weir.prefix.lines("told.log"), [""; 0]);
}

#[test]
fn a_panic_leaves_no_timer() {
    let port = Port::reserve();
    let main = format!(
        "env 'WEIR_PANIC=log /victim';
         http {{ access_log access.log; server {{ listen {}; client_header_timeout 400ms; return 200 a; }}
         server {{ listen {}; return 200 b; }} }}",
        port.v4(),
        port.on("127.0.0.2")
    );
    let weir = Setup::tcp("").main(main).start();
    let mut victim = asked(&port, "/victim");
    assert_eq!(read_reply(&mut victim, false).text(), "a");
    assert!(is_closed(victim));
    weir.wait_error("asked for by WEIR_PANIC");
    // It stands where the other has stood, whose time is over before that of the last one.
    let mut silent = connect(port.on("127.0.0.2"));
    let last = connect(port.v4());
    assert!(is_closed(last));
    silent.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut silent, false).text(), "b");
}

/// The panic has ended its connection, and the worker goes on with the others.
fn has_told_of_the_panic(weir: &Weir) {
    let line = weir.wait_error("connection is closed for a fault of the program");
    assert!(line.contains(" [alert] ") && line.contains(", client: 127.0.0.1, server: "), "{line}");
    assert_eq!(weir.error_log().matches("asked for by WEIR_PANIC").count(), 1);
}

#[test]
fn a_panic_where_a_name_has_been_found() {
    // Two who wait for one name, behind which the first is led to a port where the program fails.
    let (fails, backend) = (
        Port::reserve(),
        answering(|mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere");
        }),
    );
    let let_go = Arc::new(AtomicBool::new(false));
    let dns = Dns::start({
        let let_go = let_go.clone();
        move |query| {
            while !let_go.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            vec![query.addresses(&["127.0.0.1"])]
        }
    });
    let port = Port::reserve();
    let main = format!(
        "env 'WEIR_PANIC=connect {}';
         http {{ access_log off; server {{ listen {}; resolver {};
         location / {{ proxy_pass http://a.example:$arg_port; }} location /idle {{ return 200 idle; }} }} }}",
        fails.v4(),
        port.v4(),
        dns.address
    );
    let weir = Setup::tcp("").main(main).start();
    let worker = weir.worker();
    let victim = asked(&port, &format!("/bad?port={}", fails.number));
    let mut other = asked(&port, &format!("/bad?port={}", backend.address.port()));
    // They have come before it.
    let mut idle = asked(&port, "/idle");
    assert_eq!(read_reply(&mut idle, false).text(), "idle");
    let_go.store(true, Ordering::SeqCst);
    assert!(is_closed(victim));
    assert_eq!(read_reply(&mut other, false).text(), "there");
    has_told_of_the_panic(&weir);
    assert_eq!(weir.worker(), worker);
}

#[test]
fn a_panic_where_an_authority_has_answered() {
    let let_go = Arc::new(AtomicBool::new(false));
    let responder = Backend::start({
        let let_go = let_go.clone();
        move |_stream| {
            while !let_go.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let (prefix, root, port) = (folder(), Identity::root("root"), Port::reserve());
    prefix.write("root.pem", root.certificate_pem());
    let client = root.issue("client", ec_key());
    let main = format!(
        "env 'WEIR_PANIC=log /victim';
         http {{ access_log told.log; server {{ listen {} ssl; {OURS} ssl_client_certificate root.pem; ssl_verify_client on;
         ssl_ocsp on; ssl_ocsp_responder http://{}; keepalive_timeout 0; }} }}",
        port.v4(),
        responder.address
    );
    let weir = Setup::tcp("").main(main).start_in(prefix);
    let worker = weir.worker();
    let asked = |path: &str| {
        let mut stream = asking(&port, None, |builder| shows(&client)(builder)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream
    };
    let (mut victim, mut other) = (asked("/victim"), asked("/other"));
    wait_for("the questions", || responder.accepted() == 2);
    let_go.store(true, Ordering::SeqCst);
    assert_eq!(read_reply(&mut victim, false).status, 400);
    let _ = victim.read_to_end(&mut Vec::new());
    assert_eq!(read_reply(&mut other, false).status, 400);
    has_told_of_the_panic(&weir);
    assert_eq!(weir.worker(), worker);
}

#[test]
fn a_panic_in_a_request_on_the_side() {
    // What is kept is old after a second, and is brought up to date from where the program fails.
    let (fails, backend) = (
        Port::reserve(),
        answering(|mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=1\r\nContent-Length: 4\r\n\r\nkept");
        }),
    );
    let port = Port::reserve();
    let main = format!(
        "env 'WEIR_PANIC=connect {}';
         http {{ access_log off; keepalive_requests 1000000; proxy_cache_path cache keys_zone=z:1m; server {{ listen {}; location /open {{ return 200 $connections_active; }}
         location / {{ proxy_pass http://127.0.0.1:$arg_port; proxy_cache z; proxy_cache_key $uri; proxy_cache_use_stale updating;
         proxy_cache_background_update on; add_header X-Cache $upstream_cache_status; }} }} }}",
        fails.v4(),
        port.v4()
    );
    let weir = Setup::tcp("").main(main).start();
    let mut kept = connect(port.v4());
    let mut ask = |path: &str| {
        write!(kept, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        read_reply(&mut kept, false)
    };
    let (good, bad) = (format!("/bad?port={}", backend.address.port()), format!("/bad?port={}", fails.number));
    assert_eq!(ask(&good).field("x-cache"), Some("MISS"));
    wait_for("the panic", || {
        assert_eq!(ask(&bad).text(), "kept");
        weir.error_log().contains("asked for by WEIR_PANIC")
    });
    has_told_of_the_panic(&weir);
    // Neither a connection nor the right to bring it up to date is left with it.
    assert_eq!(ask("/open").text(), "1");
    ask(&good);
    wait_for("another one on the side", || backend.accepted() == 2);
}

#[test]
fn a_panic_in_a_worker_that_is_to_finish() {
    // Requests that are there when the worker is told, one of which panics.
    let (backend, let_go) = held();
    let plan = Plan::http(&format!("server {};", backend.address), "location / { proxy_pass http://u; }");
    let mut bench = plan.main("env 'WEIR_PANIC=request /victim';").start();
    let worker = bench.weir.worker();
    let mut held = asked(&bench.plan.other, "/bad");
    let (mut victim, mut next) = (asked(&bench.plan.port, "/a"), asked(&bench.plan.port, "/a"));
    for stream in [&mut victim, &mut next] {
        assert_eq!(read_reply(stream, false).text(), "/a");
    }
    send(worker, Signal::SIGSTOP);
    // The signal comes first, whatever the order of events is: what has been sent is served before the connections end.
    bench.weir.signal(Signal::SIGQUIT);
    wait_for("the worker to have its signal", || proc::has_pending(worker, Signal::SIGQUIT));
    for (stream, path) in [(&mut victim, "/victim"), (&mut next, "/b")] {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    send(worker, Signal::SIGCONT);
    assert!(is_closed(victim));
    assert_eq!(read_reply(&mut next, false).text(), "/b");
    let_go.store(true, Ordering::SeqCst);
    assert_eq!(read_reply(&mut held, false).text(), "held");
    assert_eq!(bench.weir.wait_exit().code(), Some(0));
    assert!(bench.weir.error_log().contains("asked for by WEIR_PANIC"));
    assert!(!bench.weir.error_log().contains("exited with code 101"), "{}", bench.weir.error_log());
}

#[test]
fn a_worker_that_is_killed() {
    let (backend, let_go) = held();
    let plan = Plan::http(&format!("server {};", backend.address), "location / { proxy_pass http://u; }");
    let bench = plan.workers(2).start();
    let [a, b] = bench.weir.workers()[..] else { panic!() };
    let requests_without = |stopped: i32, in_all: usize| -> Vec<TcpStream> {
        send(stopped, Signal::SIGSTOP);
        let requests = (0..3).map(|_| asked(&bench.plan.port, "/bad")).collect();
        wait_for("the requests to be under way", || backend.accepted() == in_all);
        send(stopped, Signal::SIGCONT);
        requests
    };
    let lost = requests_without(b, 3);
    let mut served = requests_without(a, 6);
    bench.wait_busy(&[6]);
    send(a, Signal::SIGKILL);
    let line = bench.weir.wait_error(&format!("worker process {a} exited on signal 9"));
    assert!(line.contains(" [alert] "), "{line}");
    assert!(lost.iter().all(is_closed));
    // What workers share tells of those that are left.
    bench.wait_busy(&[3]);
    let workers = bench.weir.wait_workers(2);
    assert!(workers.contains(&b) && !workers.contains(&a));
    bench.assert_serves();
    let_go.store(true, Ordering::SeqCst);
    for stream in &mut served {
        assert_eq!(read_reply(stream, false).text(), "held");
    }
    drop(served);
    bench.settle();
    assert_eq!(bench.told(3).len(), 3);
}
