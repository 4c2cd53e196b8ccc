//! Connections to servers that are kept for the next requests.

use super::*;

const KEEP: &str = "proxy_http_version 1.1; proxy_set_header Connection \"\";";

#[test]
fn connections_are_kept_and_used_again() {
    let (backend, seen) = answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let group = format!("upstream u {{ server {}; keepalive 4; keepalive_requests 5; }}", backend.address);
    let (_weir, port) = proxied(&group, &format!("{KEEP} location / {{ proxy_pass http://u; }}"));
    for _ in 0..10 {
        assert_eq!(get(&port, "/").text(), "ok");
    }
    assert_eq!((backend.accepted(), seen.lock().unwrap().len()), (2, 10));
}

#[test]
fn one_that_the_server_has_closed_is_not_used() {
    let (backend, _) = answers_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let group = format!("upstream u {{ server {}; keepalive 4; }}", backend.address);
    let (weir, port) = proxied(&group, &format!("{KEEP} location / {{ proxy_pass http://u; }}"));
    for _ in 0..20 {
        let reply = ask_http(&port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(reply.text(), "ok");
    }
    assert!(weir.wait_access(20).iter().all(|line| line.starts_with("200 ")));
}

#[test]
fn what_the_server_does_not_want_kept_is_closed() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more",
    ] {
        let (backend, _) = answers(answer);
        let group = format!("upstream u {{ server {}; keepalive 4; }}", backend.address);
        let (_weir, port) = proxied(&group, &format!("{KEEP} location / {{ proxy_pass http://u; }}"));
        for _ in 0..3 {
            assert_eq!(get(&port, "/").text(), "ok");
        }
        assert_eq!(backend.accepted(), 3, "{answer:?}");
    }
}

#[test]
fn a_request_that_failed_on_a_kept_connection_is_made_again() {
    // The second request of a connection is read, and not answered.
    let backend = Backend::start(|mut stream| {
        if read_request(&mut stream).is_some()
            && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
        {
            read_request(&mut stream);
        }
    });
    let group = format!("upstream u {{ server {}; keepalive 4; }}", backend.address);
    let (weir, port) = proxied(&group, &format!("{KEEP} location / {{ proxy_pass http://u; }}"));
    assert_eq!(get(&port, "/").text(), "ok");
    assert_eq!(get(&port, "/").text(), "ok");
    let address = backend.address;
    assert_eq!(weir.wait_access(2)[1], format!("200 [{address}, {address}] [502, 200] 0, 2 /"));
    assert_eq!(ask_http(&port, "POST / HTTP/1.1\r\nHost: a\r\n\r\n").status, 502);
}

#[test]
fn idle_ones_are_closed_in_their_time() {
    let closed = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let told = closed.clone();
    let backend = Backend::start(move |mut stream| {
        while read_request(&mut stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        told.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let group = format!("upstream u {{ server {}; keepalive 4; keepalive_timeout 50ms; }}", backend.address);
    let (_weir, port) = proxied(&group, &format!("{KEEP} location / {{ proxy_pass http://u; }}"));
    assert_eq!(get(&port, "/").text(), "ok");
    wait_for("the connection's end", || closed.load(std::sync::atomic::Ordering::SeqCst) == 1);
}
