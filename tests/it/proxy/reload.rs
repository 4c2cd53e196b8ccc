//! Reloads and ends of workers while requests are under way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

#[test]
fn no_request_is_lost_over_reloads() {
    let (backend, _) = answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let group = format!("upstream u {{ server {}; keepalive 8; }}", backend.address);
    let (weir, port) = proxied(
        &group,
        "proxy_http_version 1.1; proxy_set_header Connection \"\"; location / { proxy_pass http://u; }",
    );
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
                    let reply = ask_http(&port, request);
                    assert_eq!((reply.status, reply.text()), (200, "ok"));
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..4 {
            let before = done.load(Ordering::SeqCst);
            let old = weir.workers();
            weir.signal(Signal::SIGHUP);
            wait_for("new workers", || {
                let now = weir.workers();
                now.len() == 1 && now.iter().all(|pid| !old.contains(pid))
            });
            wait_for("more requests", || done.load(Ordering::SeqCst) > before + 50);
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_request_that_is_under_way_is_finished_by_its_worker() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = Backend::start(move |mut stream| {
        read_request(&mut stream);
        wait.lock().unwrap().recv().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let (weir, port) = proxied("", &format!("location / {{ proxy_pass http://{}; }}", backend.address));
    let mut stream = connect(port.v4());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_for("the server's connection", || backend.accepted() == 1);
    let old = weir.worker();
    weir.signal(Signal::SIGHUP);
    wait_for("a new worker", || weir.workers().iter().any(|pid| *pid != old) && weir.workers().len() == 1);
    release.send(()).unwrap();
    let reply = read_reply(&mut stream, false);
    assert_eq!((reply.text(), reply.field("connection")), ("ok", Some("close")));
}
