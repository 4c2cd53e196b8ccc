//! Servers behind `http {}` that end, reset, never end, or talk nonsense.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{Plan, answering};
use crate::common::clients::{connect_narrow, noise, reset};
use crate::common::*;
use crate::http::read_reply;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n";
const BODY: &str = "twenty bytes of body";

/// Sends a request on a connection that may be closed then.
fn asked(port: &Port) -> TcpStream {
    let mut stream = connect(port.v4());
    stream.write_all(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream
}

/// The status of an answer, and what came of its body; weir's own error pages are whole.
fn outcome(mut stream: TcpStream) -> (u16, String) {
    let reply = read_reply(&mut stream, true);
    let length: usize = reply.field("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = Vec::new();
    let _ = stream.take(length as u64).read_to_end(&mut body);
    (reply.status, String::from_utf8(body).unwrap())
}

#[test]
fn that_end_or_reset_at_any_byte() {
    let whole = format!("{HEAD}{BODY}");
    let (count, resets) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = {
        let (whole, count, resets) = (whole.clone(), count.clone(), resets.clone());
        answering(move |mut stream| {
            let _ = stream.write_all(&whole.as_bytes()[..count.load(Ordering::SeqCst)]);
            if resets.load(Ordering::SeqCst) == 1 {
                reset(stream);
            }
        })
    };
    let bench = Plan::http(
        &format!("server {} max_fails=0;", server.address),
        "location / { proxy_pass http://u; } location /direct { proxy_pass http://u/bad; proxy_buffering off; }",
    )
    .start();
    let worker = bench.weir.worker();
    let mut tries = 0;
    for way in 0..2 {
        resets.store(way, Ordering::SeqCst);
        for end in 0..=whole.len() {
            count.store(end, Ordering::SeqCst);
            for path in ["/bad", "/direct"] {
                let mut stream = connect(bench.plan.port.v4());
                write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                let (status, body) = outcome(stream);
                tries += 1;
                // A reset may take back what is on its way.
                let lost = way == 1 && status == 502;
                if end < HEAD.len() || lost {
                    assert!(status == 502 && body.contains("502 Bad Gateway"), "{end}: {status} {body}");
                } else {
                    let came = &BODY[..end - HEAD.len()];
                    assert!(status == 200 && (body == came || way == 1 && came.starts_with(&body)), "{end}: {body:?}");
                }
            }
        }
    }
    bench.assert_serves();
    bench.told(tries);
    bench.settle();
    assert_eq!(bench.weir.worker(), worker);
    let log = bench.weir.error_log();
    assert!(!log.contains(" [alert] ") && !log.contains(" [crit] "), "{log}");
    assert!(log.contains("upstream prematurely closed connection while reading response header from upstream"));
    assert!(log.contains("upstream prematurely closed connection while reading upstream"));
}

#[test]
fn that_fall_silent_at_some_byte() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = {
        let count = count.clone();
        answering(move |mut stream| {
            let _ = stream.write_all(&format!("{HEAD}{BODY}").as_bytes()[..count.load(Ordering::SeqCst)]);
            backends::silent(stream);
        })
    };
    let bench = Plan::http(
        &format!("server {} max_fails=0;", server.address),
        "location / { proxy_pass http://u; proxy_read_timeout 100ms; }",
    )
    .start();
    for (end, expected) in [(0, 504), (1, 504), (HEAD.len() - 1, 504), (HEAD.len(), 200), (HEAD.len() + 7, 200)] {
        count.store(end, Ordering::SeqCst);
        let (status, body) = outcome(asked(&bench.plan.port));
        assert_eq!(status, expected, "{end}");
        assert!(status == 504 || body == BODY[..end - HEAD.len()], "{end}: {body:?}");
        bench.assert_serves();
    }
    bench.weir.wait_error("upstream timed out (110: Connection timed out) while reading response header from upstream");
    bench.weir.wait_error("upstream timed out (110: Connection timed out) while reading upstream");
    bench.settle();
}

/// Sends a start and then the same again and again.
fn endless(start: &'static str, again: Vec<u8>) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        let _ = stream.write_all(start.as_bytes());
        while stream.write_all(&again).is_ok() {}
    }
}

#[test]
fn whose_heads_never_end() {
    for (start, again, message) in [
        ("HTTP/1.1 200 OK\r\n", "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", "upstream sent too big header"),
        ("HTTP/1.1 200 OK\r\nX: ", "y", "upstream sent too big header"),
        ("HTTP/1.1 ", "2", "upstream sent no valid HTTP/1.0 header"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n", "upstream sent too many interim responses"),
    ] {
        let server = answering(endless(start, again.repeat(1000).into_bytes()));
        let bench =
            Plan::http(&format!("server {} max_fails=0;", server.address), "location / { proxy_pass http://u; }")
                .start();
        assert_eq!(outcome(asked(&bench.plan.port)).0, 502, "{again:?}");
        bench.weir.wait_error(message);
        bench.assert_serves();
        bench.settle();
    }
}

#[test]
fn whose_bodies_never_end() {
    const EACH: usize = 4;
    let server = answering(endless("HTTP/1.1 200 OK\r\n\r\n", vec![b'*'; 65536]));
    let text = "proxy_read_timeout 1h; send_timeout 1h; proxy_max_temp_file_size 1m; proxy_temp_file_write_size 64k;
        location / { proxy_pass http://u; } location /direct { proxy_pass http://u/bad; proxy_buffering off; }";
    let bench = Plan::http(&format!("server {} max_fails=0;", server.address), text).start();
    let worker = bench.weir.worker();
    let begun = |path: &str| {
        let mut stream = connect_narrow(bench.plan.port.v4().parse().unwrap());
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream
    };
    // Some take nothing of it.
    let idle: Vec<TcpStream> = ["/bad", "/direct"].iter().flat_map(|path| (0..EACH).map(|_| begun(path))).collect();
    wait_for("all to be served", || bench.busy() == [2 * EACH as u64]);
    // Others all they can.
    let busy: Vec<TcpStream> = ["/bad", "/direct"].iter().flat_map(|path| (0..EACH).map(|_| begun(path))).collect();
    let memory = proc::rss_anon(worker);
    thread::scope(|scope| {
        for mut stream in busy {
            scope.spawn(move || {
                let mut piece = vec![0; 65536];
                let mut taken = 0;
                while taken < 8 << 20 {
                    taken += stream.read(&mut piece).unwrap();
                }
            });
        }
        for _ in 0..30 {
            bench.assert_serves();
        }
    });
    let grown = proc::rss_anon(worker).saturating_sub(memory);
    assert!(grown < 4 << 20, "{grown} bytes more");
    drop(idle);
    bench.told(4 * EACH);
    bench.settle();
    assert_eq!(bench.weir.worker(), worker);
    assert!(!bench.weir.error_log().contains(" [alert] "));
}

#[test]
fn that_send_garbage() {
    let seed = Arc::new(AtomicUsize::new(0));
    let starts = ["", HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n"];
    let server = {
        let seed = seed.clone();
        answering(move |mut stream| {
            let seed = seed.load(Ordering::SeqCst);
            let _ = stream.write_all(starts[seed % starts.len()].as_bytes());
            let _ = stream.write_all(&noise(1000 + seed));
            let _ = stream.read(&mut [0]);
        })
    };
    let bench =
        Plan::http(&format!("server {} max_fails=0;", server.address), "location / { proxy_pass http://u; }").start();
    let worker = bench.weir.worker();
    for number in 0..40 {
        seed.store(number, Ordering::SeqCst);
        let mut stream = asked(&bench.plan.port);
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let status = read_reply(&mut stream, true).status;
        match number % starts.len() {
            // Twenty bytes are twenty bytes.
            1 | 2 => assert_eq!(status, 200),
            _ => assert_eq!(status, 502),
        }
    }
    bench.assert_serves();
    bench.told(40);
    bench.settle();
    assert_eq!(bench.weir.worker(), worker);
    bench.weir.wait_error("upstream sent no valid HTTP/1.0 header");
    bench.weir.wait_error("upstream sent invalid chunked response");
    bench.weir.wait_error("upstream sent more data than specified in \"Content-Length\" header");
}
