//! Times and options of connections to servers.

use std::time::Duration;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const KEEP: &str = "proxy_http_version 1.1; proxy_set_header Connection \"\";";

#[test]
fn an_old_connection_is_not_kept() {
    let (backend, _) = answers(OK);
    let group =
        |time: &str| format!("upstream u {{ server {}; keepalive 4; keepalive_time {time}; }}", backend.address);
    let location = format!("{KEEP} location / {{ proxy_pass http://u; }}");
    let (_weir, port) = proxied(&group("1h"), &location);
    for _ in 0..3 {
        assert_eq!(get(&port, "/").text(), "ok");
    }
    assert_eq!(backend.accepted(), 1);
    let (_weir, port) = proxied(&group("0"), &location);
    let old = || {
        assert_eq!(get(&port, "/").text(), "ok");
        assert_eq!(get(&port, "/").text(), "ok");
    };
    old();
    // Each request but the first of a millisecond finds its connection too old.
    wait_for("another connection", || {
        old();
        backend.accepted() > 3
    });
}

/// One server takes its time, so that the next one that is free has the request.
#[test]
fn the_least_busy_server_is_chosen() {
    let (slow, slow_seen) = {
        let seen = Seen::default();
        let told = seen.clone();
        let backend = Backend::start(move |mut stream| {
            told.lock().unwrap().extend(read_request(&mut stream));
            // Until weir goes away.
            let _ = stream.read(&mut [0]);
        });
        (backend, seen)
    };
    let (quick, quick_seen) = answers_once(OK);
    let group = format!("upstream u {{ least_conn; server {}; server {}; }}", slow.address, quick.address);
    let (_weir, port) = proxied(&group, "location / { proxy_pass http://u; }");
    let mut held = connect(port.v4());
    held.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_for("the first request", || slow_seen.lock().unwrap().len() == 1);
    for _ in 0..6 {
        assert_eq!(get(&port, "/").text(), "ok");
    }
    assert_eq!((slow_seen.lock().unwrap().len(), quick_seen.lock().unwrap().len()), (1, 6));
}

#[test]
fn no_next_server_after_the_time_for_all() {
    let silent = || Backend::start(crate::common::backends::silent);
    let (one, two) = (silent(), silent());
    let (ok, _) = answers_once(OK);
    let group =
        format!("upstream u {{ server {}; server {}; server {} backup; }}", one.address, two.address, ok.address);
    // Both turns of the silent ones together are longer than the time for all.
    let text = "location / { proxy_pass http://u; proxy_read_timeout 700ms; proxy_next_upstream_timeout 1300ms; }";
    let (weir, port) = proxied(&group, text);
    assert_eq!(get(&port, "/").status, 504);
    let tried = format!("504 [{}, {}] [504, 504] 0, 0 /", one.address, two.address);
    assert_eq!(weir.wait_access(1)[0], tried);
    let (weir, port) = proxied(&group, &text.replace("1300ms", "0"));
    assert_eq!(get(&port, "/").text(), "ok");
    assert!(weir.wait_access(1)[0].starts_with("200 [") && weir.wait_access(1)[0].contains("[504, 504, 200]"));
}

#[test]
fn a_client_that_leaves_takes_its_request_along_or_not() {
    for (setting, left) in [("off", "499 "), ("on", "200 ")] {
        let go = Arc::new(Mutex::new(()));
        let hold = go.lock().unwrap();
        let (waits, seen) = (go.clone(), Seen::default());
        let told = seen.clone();
        let backend = Backend::start(move |mut stream| {
            told.lock().unwrap().extend(read_request(&mut stream));
            drop(waits.lock().unwrap());
            let _ = stream.write_all(OK.as_bytes());
        });
        let location =
            format!("location / {{ proxy_pass http://{}; proxy_ignore_client_abort {setting}; }}", backend.address);
        let (weir, port) = proxied("", &location);
        let mut client = connect(port.v4());
        client.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        wait_for("the request", || seen.lock().unwrap().len() == 1);
        crate::common::clients::reset(client);
        if setting == "off" {
            weir.wait_error("client prematurely closed connection");
            assert!(weir.wait_access(1)[0].starts_with(left));
        }
        drop(hold);
        assert!(weir.wait_access(1)[0].starts_with(left), "{:?}", weir.wait_access(1));
    }
}

/// The kernel's table tells which timer a connection has: 2 is that of keepalive probes (proc_net_tcp.txt of the kernel's documentation).
fn has_keepalive_timer(to: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let there = format!(":{to:04X}");
    table.lines().skip(1).any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words[2].ends_with(&there) && words[5].starts_with("02:")
    })
}

#[test]
fn probes_of_the_kernel() {
    for (setting, probed) in [("off", false), ("on", true)] {
        let (backend, _) = answers(OK);
        let group = format!("upstream u {{ server {}; keepalive 4; }}", backend.address);
        let location = format!("{KEEP} location / {{ proxy_pass http://u; proxy_socket_keepalive {setting}; }}");
        let (_weir, port) = proxied(&group, &location);
        assert_eq!(get(&port, "/").text(), "ok");
        let timer = || has_keepalive_timer(backend.address.port());
        if probed {
            // While bytes are unacknowledged another timer stands there.
            wait_for("the keepalive timer", timer);
        } else {
            assert!(!timer());
        }
    }
}

#[test]
fn clients_connections_grow_old() {
    let (_weir, port) = serve(|port| {
        format!(
            "server {{ listen {}; keepalive_time 200ms; location / {{ return 200 ok; }} location /young {{ keepalive_time 1h; return 200 ok; }} }}",
            port.v4()
        )
    });
    let mut stream = connect(port.v4());
    let mut ask = |path: &str| {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        read_reply(&mut stream, false).field("connection").unwrap().to_owned()
    };
    assert_eq!(ask("/young"), "keep-alive");
    let started = std::time::Instant::now();
    wait_for("the connection to be old", || started.elapsed() > Duration::from_millis(250));
    assert_eq!(ask("/young"), "keep-alive");
    assert_eq!(ask("/"), "close");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn etags_are_sent_or_not() {
    let prefix = Prefix::new();
    prefix.write("html/f", "text");
    let (_weir, port) = crate::http::serve_in(prefix, |port| {
        format!(
            "server {{ listen {}; location / {{ }} location = /f {{ }} location /no/ {{ etag off; alias html/; }} }}",
            port.v4()
        )
    });
    let tag = get(&port, "/f").field("etag").unwrap().to_owned();
    assert_eq!(get(&port, "/no/f").field("etag"), None);
    let asked = |path: &str| {
        ask_http(
            &port,
            &format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n"),
        )
        .status
    };
    assert_eq!((asked("/f"), asked("/no/f")), (304, 200));
}
