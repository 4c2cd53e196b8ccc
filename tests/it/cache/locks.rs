//! `proxy_cache_lock`: one request at a time asks for something unknown.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A server that answers its first request when it is released, and the others at once.
fn slow() -> (Backend, Seen, Arc<AtomicBool>) {
    let release = Arc::new(AtomicBool::new(false));
    let wait = release.clone();
    let (backend, seen) = origin(move |number, _| {
        if number == 0 {
            wait_for("the release", || wait.load(Ordering::SeqCst));
        }
        ok("Cache-Control: max-age=60\r\n", &number.to_string())
    });
    (backend, seen, release)
}

#[test]
fn a_thousand_requests_ask_a_server_once() {
    let (backend, seen, release) = slow();
    let (prefix, port) = (Prefix::new(), Port::reserve());
    let text = "proxy_cache zone; proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;
                location / { proxy_pass http://SERVER; }";
    let text = config(&http(&port, &backend, "", text)).replace(" debug", " notice");
    prefix.write("nginx.conf", text.replace("events {}", "events { worker_connections 2048; }"));
    let _weir = Weir::launch(prefix, &[]);
    let mut streams: Vec<_> = (0..1000).map(|_| connect(port.v4())).collect();
    for stream in &mut streams {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    wait_for("the server to be asked", || count(&seen) == 1);
    release.store(true, Ordering::SeqCst);
    let mut states = Vec::new();
    for stream in &mut streams {
        let reply = crate::http::read_reply(stream, false);
        assert_eq!(reply.text(), "0");
        states.push(state(&reply).to_owned());
    }
    assert_eq!(states.iter().filter(|state| *state == "MISS").count(), 1);
    assert_eq!(states.iter().filter(|state| *state == "HIT").count(), 999);
    assert_eq!(count(&seen), 1);
}

#[test]
fn who_has_waited_long_enough_asks_too_and_its_answer_is_not_kept() {
    let (backend, seen, release) = slow();
    let (weir, port) =
        plain(&backend, "proxy_cache_lock on; proxy_cache_lock_timeout 100ms; proxy_cache_lock_age 60s;");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&port, "/"));
        wait_for("the server to be asked", || count(&seen) == 1);
        expect(&port, "/", "MISS", "1");
        expect(&port, "/", "MISS", "2");
        release.store(true, Ordering::SeqCst);
        assert_eq!(first.join().unwrap(), ("MISS".into(), "0".into()));
    });
    expect(&port, "/", "HIT", "0");
    weir.wait_error("cache lock timeout");
}

#[test]
fn the_one_that_asks_may_take_so_long_only() {
    let (backend, seen, release) = slow();
    let (_weir, port) =
        plain(&backend, "proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 100ms;");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| get(&port, "/"));
        wait_for("the server to be asked", || count(&seen) == 1);
        expect(&port, "/", "MISS", "1");
        expect(&port, "/", "HIT", "1");
        release.store(true, Ordering::SeqCst);
        assert_eq!(first.join().unwrap(), ("MISS".into(), "0".into()));
    });
}

#[test]
fn a_worker_that_dies_leaves_no_lock() {
    let (backend, seen, release) = slow();
    let text = "proxy_cache zone; proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;
                location / { proxy_pass http://SERVER; }";
    let (weir, port) = caching(&backend, "", text);
    let mut stream = connect(port.v4());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_for("the server to be asked", || count(&seen) == 1);
    let old = weir.worker();
    running::send(old, Signal::SIGKILL);
    wait_for("another worker", || weir.workers().iter().any(|pid| *pid != old));
    expect(&port, "/", "MISS", "1");
    expect(&port, "/", "HIT", "1");
    release.store(true, Ordering::SeqCst);
}

/// Sends the request so many times, and gives the connections.
fn crowd(port: &Port, count: usize) -> Vec<std::net::TcpStream> {
    let ask = |_| {
        let mut stream = connect(port.v4());
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        stream
    };
    (0..count).map(ask).collect()
}

const PATIENT: &str = "proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;";

#[test]
fn others_get_the_answer_though_the_one_who_asked_for_it_has_left() {
    let (backend, seen, release) = slow();
    let (_weir, port) = plain(&backend, PATIENT);
    let first = crowd(&port, 1);
    wait_for("the server to be asked", || count(&seen) == 1);
    let others = crowd(&port, 20);
    drop(first);
    release.store(true, Ordering::SeqCst);
    for mut stream in others {
        let reply = crate::http::read_reply(&mut stream, false);
        assert_eq!((state(&reply), reply.text()), ("HIT", "0"));
    }
    assert_eq!(count(&seen), 1);
}

#[test]
fn another_asks_where_an_answer_breaks_off_or_is_not_to_be_kept() {
    for broken in [
        "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nCache-Control: max-age=60\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: no-store\r\n\r\nmine",
        "HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nnone",
        "",
    ] {
        let release = Arc::new(AtomicBool::new(false));
        let wait = release.clone();
        let (backend, seen) = origin(move |number, _| {
            if number == 0 {
                wait_for("the release", || wait.load(Ordering::SeqCst));
                return broken.into();
            }
            ok("Cache-Control: max-age=60\r\n", "whole")
        });
        let (weir, port) = plain(&backend, PATIENT);
        let first = crowd(&port, 1);
        wait_for("the server to be asked", || count(&seen) == 1);
        let others = crowd(&port, 20);
        release.store(true, Ordering::SeqCst);
        let mut states = Vec::new();
        for mut stream in others {
            let reply = crate::http::read_reply(&mut stream, false);
            assert_eq!(reply.text(), "whole");
            states.push(state(&reply).to_owned());
        }
        assert_eq!(states.iter().filter(|state| *state == "HIT").count(), 19, "{broken}");
        assert_eq!((count(&seen), files(&weir).len()), (2, 1), "{broken}");
        drop(first);
    }
}
