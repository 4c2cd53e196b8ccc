//! Clients of `http {}` that are slow, or vanish.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::{Bench, Plan, answering};
use crate::common::clients::{connect_narrow, noise, reset};
use crate::common::*;
use crate::http::read_reply;
use crate::proxy::read_request;

/// More than sockets hold.
const LARGE: usize = 12_000_000;

/// `/bad` is a large answer.
fn start(server: &str) -> (Backend, Bench) {
    let backend = answering(|mut stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        let _ = stream.write_all(&noise(LARGE));
    });
    let text = format!(
        "client_max_body_size 0; {server} location / {{ proxy_pass http://u; }}
         location /direct {{ proxy_pass http://u/bad; proxy_request_buffering off; proxy_buffering off; }}"
    );
    let bench = Plan::http(&format!("server {} max_fails=0;", backend.address), &text).start();
    (backend, bench)
}

#[test]
fn byte_by_byte_in_the_body() {
    let (backend, bench) = start("client_body_timeout 2s;");
    let mut stream = connect(bench.plan.port.v4());
    stream.write_all(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").unwrap();
    // Each in its time, and all together not.
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(600));
        bench.assert_serves();
        stream.write_all(b"x").unwrap();
    }
    let served = backend.accepted();
    assert_eq!(read_reply(&mut stream, false).text(), "/slow");
    // The server had been left alone until then.
    assert!(backend.accepted() <= served + 1);
    drop(stream);
    bench.settle();
}

#[test]
fn that_stop_in_the_body() {
    let backend = Backend::start(|mut stream| {
        read_request(&mut stream);
    });
    let text = "client_body_timeout 300ms; location / { proxy_pass http://u; }
        location /direct { proxy_pass http://u; proxy_request_buffering off; }";
    let bench = Plan::http(&format!("server {};", backend.address), text).start();
    for path in ["/slow", "/direct"] {
        let (began, mut stream) = (Instant::now(), connect(bench.plan.port.v4()));
        write!(stream, "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx").unwrap();
        // As with nginx without an answer.
        assert!(is_closed(&stream));
        assert!(began.elapsed() >= Duration::from_millis(280));
    }
    bench.weir.wait_error("client timed out (110: Connection timed out) while reading client request body");
    let told = bench.told(2);
    assert!(told.iter().all(|line| line.starts_with("408 0 ")), "{told:?}");
    bench.settle();
}

#[test]
fn that_read_slowly_hold_no_server() {
    let (_backend, bench) = start("send_timeout 30s;");
    let clients: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = connect_narrow(bench.plan.port.v4().parse().unwrap());
            stream.write_all(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            stream
        })
        .collect();
    for mut stream in &clients {
        stream.read_exact(&mut [0]).unwrap();
    }
    // The server is done with them before they are.
    bench.wait_busy(&[0]);
    for mut stream in &clients {
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(50));
            stream.read_exact(&mut [0]).unwrap();
        }
        let mut rest = vec![0; LARGE];
        stream.read_exact(&mut rest).unwrap();
    }
    drop(clients);
    bench.told(4);
    bench.settle();
}

#[test]
fn that_read_nothing_are_cut() {
    let (_backend, bench) = start("send_timeout 300ms;");
    for path in ["/bad", "/direct"] {
        let mut stream = connect_narrow(bench.plan.port.v4().parse().unwrap());
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        bench.told(if path == "/bad" { 1 } else { 2 });
        // What has come by then is all that comes.
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        assert!(bytes.len() < LARGE, "{path}");
    }
    bench.weir.wait_error("client timed out (110: Connection timed out) while sending to client");
    bench.settle();
}

#[test]
fn that_vanish_at_any_point() {
    let (_backend, bench) = start("");
    let worker = bench.weir.worker();
    let get = "GET /bad HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc";
    let direct = "POST /direct HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n7";
    let mut requests = 0;
    for text in [get, post, direct] {
        let head = text.find("\r\n\r\n").unwrap() + 4;
        let points = [0, 1, 5, head - 3, head, head + 1, text.len()];
        for end in points.into_iter().filter(|end| *end <= text.len()) {
            for resets in [false, true] {
                let mut stream = connect_narrow(bench.plan.port.v4().parse().unwrap());
                stream.write_all(&text.as_bytes()[..end]).unwrap();
                // Some leave in the middle of the answer.
                if text == get && end == head {
                    stream.read_exact(&mut [0; 1000]).unwrap();
                }
                if resets {
                    reset(stream);
                }
                requests += usize::from(end >= head);
            }
        }
        bench.assert_serves();
    }
    wait_for("a line for each request", || {
        bench.weir.prefix.lines("told.log").iter().filter(|line| !line.ends_with(' ')).count() >= requests
    });
    bench.settle();
    assert_eq!(bench.weir.worker(), worker);
    let log = bench.weir.error_log();
    assert!(!log.contains(" [alert] ") && !log.contains(" [crit] ") && !log.contains(" [error] "), "{log}");
}
