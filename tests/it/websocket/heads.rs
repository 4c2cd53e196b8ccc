//! The request's head: where it leads, how it may come, and what is none.

use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::common::wait::PATIENCE;

#[test]
fn the_path_chooses() {
    let (a, b, c) = (backend("a"), backend("b"), backend("c"));
    let port = Port::reserve();
    let passes =
        format!("websocket_pass /a {}; websocket_pass ws://{}; websocket_pass /c {};", a.address, b.address, c.address);
    let _weir = Setup::tcp(server(&port, &passes)).start();
    for (target, name) in [
        ("/a", "a"),
        ("/a/room?x", "a"),
        ("/a?x=/c", "a"),
        ("/c/", "c"),
        ("/A", "b"),
        ("/ab", "b"),
        ("/", "b"),
        ("//a", "b"),
        ("ws://h/c/d", "c"),
        ("*", "b"),
    ] {
        assert_eq!(goes_to(&port, target, "h"), name, "{target}");
    }
}

#[test]
fn the_first_path_is_for_the_rest_where_nothing_else_is() {
    let (a, b) = (backend("a"), backend("b"));
    let port = Port::reserve();
    let passes = format!("websocket_pass /a WS://{}; websocket_pass /b {};", a.address, b.address);
    let _weir = Setup::tcp(server(&port, &passes)).start();
    for (target, name) in [("/b/x", "b"), ("/a", "a"), ("/", "a"), ("/c", "a")] {
        assert_eq!(goes_to(&port, target, "h"), name, "{target}");
    }
}

#[test]
fn the_host_chooses() {
    let backends = ["a", "b", "c", "d", "e"].map(backend);
    let (port, other) = (Port::reserve(), Port::reserve());
    let at =
        |port: &Port, i: usize, names: &str| server(port, &format!("{names} websocket_pass {};", backends[i].address));
    let tcp = [
        at(&port, 0, "server_name a.test;"),
        at(&port, 1, "server_name b.test; server_names [::1] B2.test;"),
        at(&port, 2, "server_names *.c.test c.*;"),
        at(&port, 3, "server_name .d.test;"),
        at(&other, 4, "server_name e.test;"),
        format!("server {{ listen {}; server_name g.test; proxy_pass {}; }}", port.v4(), backends[4].address),
    ];
    let _weir = Setup::tcp(tcp.concat()).start();
    for (host, name) in [
        ("a.test", "a"),
        ("b.test", "b"),
        ("B.TEST:8080", "b"),
        ("b2.test.", "b"),
        ("[::1]:80", "b"),
        ("[::1]", "b"),
        ("x.c.test", "c"),
        ("x.y.c.test:1", "c"),
        ("c.test", "c"),
        ("c.example", "c"),
        ("d.test", "d"),
        ("x.d.test", "d"),
        ("xd.test", "a"),
        ("e.test", "a"),
        ("g.test", "a"),
        ("", "a"),
        ("unknown", "a"),
    ] {
        assert_eq!(goes_to(&port, "/", host), name, "{host}");
    }
    assert_eq!(goes_to(&port, "http://b.test/x", "a.test"), "b");
    assert_eq!(reached(connect(port.v4()), b"GET / HTTP/1.0\n\n"), "a");
    assert_eq!(goes_to(&other, "/", "b.test"), "e");
}

#[test]
fn default_marks_the_server_of_the_rest() {
    let (a, b) = (backend("a"), backend("b"));
    let port = Port::reserve();
    let first = server(&port, &format!("server_name a; websocket_pass {};", a.address));
    let second =
        format!("server {{ listen {} default; protocol tcp_websocket; websocket_pass {}; }}", port.v4(), b.address);
    let _weir = Setup::tcp(first + &second).start();
    assert_eq!(goes_to(&port, "/", "a"), "a");
    assert_eq!(goes_to(&port, "/", "x"), "b");
}

#[test]
fn what_the_named_server_says_holds() {
    let a = backend("a");
    let port = Port::reserve();
    let pass = format!("websocket_pass {};", a.address);
    let tcp = [
        FORMAT.to_owned(),
        server(&port, &pass),
        server(&port, &format!("server_name closed; deny all; {pass}")),
        server(
            &port,
            &format!(
                "server_name idle; websocket_read_timeout 200ms; access_log idle.log; tcp_nodelay off; so_keepalive on; {pass}"
            ),
        ),
        server(&port, "server_name text; return 'hello';"),
        server(&port, "server_name nothing;"),
    ];
    let weir = Setup::tcp(tcp.concat()).start();
    assert!(refuses(&port, request("/", "closed").as_bytes()));
    weir.wait_error("access forbidden by rule");
    assert_eq!(ended(&weir, 1), [format!("403 {} -", request("/", "closed").len())]);
    let stream = connect(port.v4());
    assert_eq!(reached(&stream, request("/", "idle").as_bytes()), "a");
    assert!(is_closed(&stream));
    weir.wait_error("upstream timed out (110: Connection timed out) while proxying");
    wait_for("its access log", || weir.prefix.lines("idle.log").len() == 1);
    let mut stream = connect(port.v4());
    stream.write_all(request("/", "text").as_bytes()).unwrap();
    assert_eq!(read_all(stream), b"hello");
    assert!(refuses(&port, request("/", "nothing").as_bytes()));
    weir.wait_error("no handler for server");
}

#[test]
fn pieces() {
    let a = backend("a");
    let port = Port::reserve();
    let weir = Setup::tcp(FORMAT.to_owned() + &server(&port, &format!("websocket_pass /x {};", a.address)))
        .level("info")
        .start();
    let long = format!("\r\nGET /x HTTP/1.1\r\nHost: h\r\nLong: {}\r\n\r\n", "x".repeat(9000));
    for head in [request("/x", "h"), long] {
        let stream = connect(port.v4());
        for byte in head.as_bytes() {
            (&stream).write_all(&[*byte]).unwrap();
        }
        assert_eq!(reached_after(&stream, head.as_bytes()), "a");
        // From here on it is a session like any other.
        assert_eq!(ask(&stream, b"\x81\x05hello"), b"\x81\x05hello");
    }
    // Frames behind the head, and a cut in it.
    let head = request("/x", "h").into_bytes();
    let frames: Vec<u8> = clients::noise(100_000);
    let all = [head.as_slice(), &frames].concat();
    for cut in [0, 1, 20, head.len() - 1, head.len(), head.len() + 1] {
        let stream = connect(port.v4());
        (&stream).write_all(&all[..cut]).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (&stream).write_all(&all[cut..]).unwrap());
            assert_eq!(reached_after(&stream, &all), "a");
        });
    }
    let count = ended(&weir, 8);
    assert!(count[2..].iter().all(|line| *line == format!("200 {} {}", all.len(), a.address)), "{count:?}");
}

/// As [`reached`] for bytes that were sent already.
#[track_caller]
fn reached_after(mut stream: impl Read, bytes: &[u8]) -> String {
    let mut answer = vec![0; 1 + bytes.len()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer[1..] == *bytes);
    char::from(answer[0]).to_string()
}

#[test]
fn heads_have_a_limit() {
    let a = backend("a");
    let port = Port::reserve();
    let pass = format!("websocket_buffer 100; websocket_pass {};", a.address);
    let weir = Setup::tcp(FORMAT.to_owned() + &server(&port, &pass)).level("info").start();
    let head = |length: usize| {
        let empty = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(length - empty))
    };
    assert_eq!(reached(connect(port.v4()), head(800).as_bytes()), "a");
    // What stands behind does not count.
    assert_eq!(reached(connect(port.v4()), (head(800) + &"y".repeat(5000)).as_bytes()), "a");
    ended(&weir, 2);
    assert!(refuses(&port, head(801).as_bytes()));
    weir.wait_error(
        "client sent too large request while reading client request head, client: 127.0.0.1, server: 127.0.0.1:",
    );
    assert_eq!(ended(&weir, 3)[2], "400 800 -");
    assert_eq!(a.accepted(), 2);
}

#[test]
fn refused_heads() {
    let a = backend("a");
    let port = Port::reserve();
    let weir =
        Setup::tcp(FORMAT.to_owned() + &server(&port, &format!("websocket_pass {};", a.address))).level("info").start();
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(300));
    let heads: [(&[u8], &str); 10] = [
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "client sent duplicate host header"),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "client sent invalid host header"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "client sent invalid header line"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "client sent invalid header line"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "client sent invalid header line"),
        (b"GET / HTTP/3.0\r\n\r\n", "client sent invalid version"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "client sent invalid request"),
        (b"GET ws://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "client sent invalid host in request line"),
        // A TLS hello shows at its first byte.
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "client sent invalid request"),
        (many.as_bytes(), "client sent too many header lines"),
    ];
    for (i, (head, why)) in heads.into_iter().enumerate() {
        assert!(refuses(&port, head));
        let lines = ended(&weir, i + 1);
        assert_eq!(lines[i], format!("400 {} -", head.len()));
        let log = weir.error_log();
        let line = log.lines().rfind(|line| line.contains(" while reading client request head")).unwrap();
        assert!(line.contains("[info]") && line.contains(&format!(" {why} while ")), "{line}");
    }
    assert_eq!(a.accepted(), 0);
}

#[test]
fn clients_that_leave_before_the_end() {
    let a = backend("a");
    let port = Port::reserve();
    let weir =
        Setup::tcp(FORMAT.to_owned() + &server(&port, &format!("websocket_pass {};", a.address))).level("info").start();
    let stream = connect(port.v4());
    (&stream).write_all(b"GET / HT").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(is_closed(&stream));
    weir.wait_error("client prematurely closed connection while reading client request head");
    assert_eq!(ended(&weir, 1), ["400 8 -"]);
    let stream = connect(port.v4());
    (&stream).write_all(b"GET / HT").unwrap();
    clients::reset(stream);
    assert_eq!(ended(&weir, 2).len(), 2);
    assert_eq!(a.accepted(), 0);
}

#[test]
fn a_half_closed_client_is_heard() {
    let (sender, received) = mpsc::channel();
    let backend = Backend::start(backends::recorder(sender));
    let port = Port::reserve();
    let _weir = Setup::tcp(server(&port, &format!("websocket_pass {};", backend.address))).start();
    let stream = connect(port.v4());
    (&stream).write_all(request("/", "h").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), request("/", "h").as_bytes());
}

#[test]
fn the_head_must_come_in_time() {
    let a = backend("a");
    let port = Port::reserve();
    let weir = Setup::tcp(FORMAT.to_owned() + &server(&port, &format!("timeout 500ms; websocket_pass {};", a.address)))
        .level("info")
        .start();
    assert!(is_closed(connect(port.v4())));
    weir.wait_error("client timed out (110: Connection timed out) while reading client request head");
    // Nor does it help to go on slowly.
    let stream = connect(port.v4());
    let began = Instant::now();
    for byte in request("/", &"h".repeat(1000)).as_bytes() {
        if (&stream).write_all(&[*byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(ended(&weir, 2).iter().all(|line| line.starts_with("400 ")));
    assert_eq!(a.accepted(), 0);
}

#[test]
fn a_server_is_connected_to_in_time_or_the_next_is() {
    let silent = backends::Unreachable::new();
    let a = backend("a");
    let port = Port::reserve();
    let group = format!("upstream g {{ server {}; server {}; }}", silent.address, a.address);
    let more = "websocket_connect_timeout 300ms; websocket_pass g;";
    let weir = Setup::tcp(FORMAT.to_owned() + &group + &server(&port, more)).start();
    assert_eq!(goes_to(&port, "/", "h"), "a");
    weir.wait_error("upstream timed out (110: Connection timed out) while connecting to upstream");
    let length = request("/", "h").len();
    assert_eq!(ended(&weir, 1), [format!("200 {length} {}, {}", silent.address, a.address)]);
}

#[test]
fn proxy_protocol_stands_before_the_head() {
    let (sender, received) = mpsc::channel();
    let backend = Backend::start(backends::recorder(sender));
    let port = Port::reserve();
    let tcp = format!(
        "server {{ listen {} proxy_protocol; set_real_ip_from 127.0.0.1; allow 192.0.2.7; deny all; \
         protocol tcp_websocket; websocket_pass {}; proxy_protocol on; }}",
        port.v4(),
        backend.address
    );
    let _weir = Setup::tcp(tcp).start();
    let header = "PROXY TCP4 192.0.2.7 192.0.2.1 1025 80\r\n";
    let mut stream = connect(port.v4());
    stream.write_all(format!("{header}{}frames", request("/", "h")).as_bytes()).unwrap();
    drop(stream);
    let wanted = format!("PROXY TCP4 192.0.2.7 127.0.0.1 1025 {}\r\n{}frames", port.number, request("/", "h"));
    assert_eq!(String::from_utf8(received.recv_timeout(PATIENCE).unwrap()).unwrap(), wanted);
    assert!(refuses(&port, b"PROXY TCP4 192.0.2.8 192.0.2.1 1025 80\r\n"));
}

#[test]
fn balancing_and_checks_work_as_for_any_session() {
    let (a, b) = (backend("a"), backend("b"));
    let port = Port::reserve();
    let group = format!("upstream g {{ server {} max_busy=1; server {} backup; }}", a.address, b.address);
    let _weir = Setup::tcp(group + &server(&port, "websocket_pass /x g;")).start();
    let first = connect(port.v4());
    assert_eq!(reached(&first, request("/x", "h").as_bytes()), "a");
    assert_eq!(goes_to(&port, "/x", "h"), "b");
    drop(first);
    wait_for("the first to be free", || goes_to(&port, "/x", "h") == "a");
}

#[test]
fn live_sessions_outlive_a_reload() {
    let (a, b) = (backend("a"), backend("b"));
    let port = Port::reserve();
    let setup = |backend: &Backend| Setup::tcp(server(&port, &format!("websocket_pass {};", backend.address)));
    let weir = setup(&a).start();
    let stream = connect(port.v4());
    assert_eq!(reached(&stream, request("/", "h").as_bytes()), "a");
    // One whose head is on its way.
    let half = connect(port.v4());
    (&half).write_all(b"GET / HTTP/1.1\r\n").unwrap();
    wait_for("both to be accepted", || weir.error_log().matches(" connected to ").count() == 2);
    weir.reload(&setup(&b));
    assert_eq!(goes_to(&port, "/", "h"), "b");
    assert_eq!(ask(&stream, b"still here"), b"still here");
    (&half).write_all(b"\r\n").unwrap();
    assert_eq!(reached_after(&half, b"GET / HTTP/1.1\r\n\r\n"), "a");
}

#[test]
fn websocket_send_timeout_runs_while_bytes_wait() {
    let release = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let backend = Backend::start(backends::stalled(release.clone()));
    let port = Port::reserve();
    let more = format!("websocket_pass {}; websocket_send_timeout 500ms;", backend.address);
    let weir = Setup::tcp(server(&port, &more)).start();
    let mut stream = connect(port.v4());
    stream.write_all(request("/", "h").as_bytes()).unwrap();
    let filler = thread::spawn(move || {
        let piece = [0; 65536];
        while stream.write_all(&piece).is_ok() {}
    });
    let line = weir.wait_error("upstream timed out (110: Connection timed out) while sending to upstream");
    assert!(line.contains(&format!("upstream: \"{}\"", backend.address)), "{line}");
    filler.join().unwrap();
    release.store(true, std::sync::atomic::Ordering::SeqCst);
}
