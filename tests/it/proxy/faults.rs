//! Servers that fail, and what follows.

use super::*;

#[test]
fn what_a_server_must_not_send_is_502() {
    for (answer, message) in [
        ("", "upstream prematurely closed connection while reading response header from upstream"),
        (
            "HTTP/1.1 200 OK\r\nA: b\r\n",
            "upstream prematurely closed connection while reading response header from upstream",
        ),
        ("hello\r\n\r\n", "upstream sent no valid HTTP/1.0 header while reading response header from upstream"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            "upstream sent duplicate header line: \"Content-Length: 2\"",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
            "upstream sent \"Content-Length\" and \"Transfer-Encoding\"",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", "upstream sent invalid \"Content-Length\" header: \"-1\""),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
            "upstream sent unknown \"Transfer-Encoding\": \"gzip\"",
        ),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\nx", "upstream sent invalid header"),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\nx", "upstream sent invalid header"),
    ] {
        let (backend, _) = answers_once(answer);
        let (weir, port) = proxied("", &format!("location / {{ proxy_pass http://{}; }}", backend.address));
        assert_eq!(get(&port, "/").status, 502, "{answer:?}");
        weir.wait_error(message);
    }
    let (backend, _) = answers_once(format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(5000)));
    let (weir, port) =
        proxied("", &format!("location / {{ proxy_pass http://{}; proxy_buffer_size 4k; }}", backend.address));
    assert_eq!(get(&port, "/").status, 502);
    weir.wait_error("upstream sent too big header while reading response header from upstream");
}

#[test]
fn an_answer_that_ends_early_ends_the_connection() {
    for (answer, message) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            "upstream prematurely closed connection while reading upstream",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "upstream prematurely closed connection while reading upstream",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnone",
            "upstream sent invalid chunked response while reading upstream",
        ),
    ] {
        let (backend, _) = answers_once(answer);
        let (weir, port) = proxied("", &format!("location / {{ proxy_pass http://{}; }}", backend.address));
        let mut stream = connect(port.v4());
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut stream, true).status, 200);
        let rest = String::from_utf8(read_all(stream)).unwrap();
        assert!(rest.contains("half") && !rest.ends_with("0\r\n\r\n"), "{rest:?}");
        weir.wait_error(message);
        assert!(weir.wait_access(1)[0].starts_with("200 "));
    }
}

#[test]
fn the_next_server_is_tried() {
    let closed = Port::reserve();
    let (bad, _) = answers_once("");
    let (good, seen) = answers("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    let group =
        format!("upstream u {{ server {}; server {}; server {} backup; }}", closed.v4(), bad.address, good.address);
    let (weir, port) = proxied(&group, "location / { proxy_pass http://u; }");
    assert_eq!(get(&port, "/").text(), "good");
    let line = weir.wait_access(1)[0].clone();
    assert_eq!(line, format!("200 [{}, {}, {}] [502, 502, 200] 0, 0, 4 /", closed.v4(), bad.address, good.address));
    weir.wait_error("upstream server temporarily disabled while connecting to upstream");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn servers_that_have_all_failed_are_left_alone() {
    let (one, two) = (Port::reserve(), Port::reserve());
    let group = format!("upstream u {{ server {}; server {}; }}", one.v4(), two.v4());
    let (weir, port) = proxied(&group, "location / { proxy_pass http://u; }");
    for _ in 0..3 {
        assert_eq!(get(&port, "/").status, 502);
    }
    let lines = weir.wait_access(3);
    assert_eq!(lines[0], format!("502 [{}, {}] [502, 502] 0, 0 /", one.v4(), two.v4()));
    assert_eq!(lines[1..], ["502 [u] [502] 0 /", "502 [u] [502] 0 /"]);
    weir.wait_error("no live upstreams while connecting to upstream");
}

#[test]
fn what_may_not_be_repeated_is_not() {
    let (bad, bad_seen) = answers_once("");
    let (good, good_seen) = answers("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    let group = format!("upstream u {{ server {} max_fails=0; server {} backup; }}", bad.address, good.address);
    let (_weir, port) = proxied(
        &group,
        "location / { proxy_pass http://u; } location /twice { proxy_pass http://u; proxy_next_upstream error non_idempotent; } location /off { proxy_pass http://u; proxy_next_upstream error; proxy_next_upstream off; } location /one { proxy_pass http://u; proxy_next_upstream_tries 1; }",
    );
    let post =
        |path: &str| ask_http(&port, &format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"));
    assert_eq!(post("/").status, 502);
    assert!(good_seen.lock().unwrap().is_empty());
    assert_eq!(post("/twice").text(), "good");
    assert!(last(&good_seen).ends_with("\r\n\r\nabc"));
    assert_eq!((get(&port, "/off").status, get(&port, "/one").status), (502, 502));
    assert_eq!(bad_seen.lock().unwrap().len(), 4);
}

#[test]
fn answers_that_mean_the_next_server() {
    let (bad, _) = answers("HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nbad");
    let (good, _) = answers("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
    let group = format!(
        "upstream u {{ server {} max_fails=0; server {} backup; }} upstream v {{ server {}; }}",
        bad.address, good.address, bad.address
    );
    let (_weir, port) = proxied(
        &group,
        "proxy_next_upstream http_503; location / { proxy_pass http://u; } location /alone { proxy_pass http://v; } location /not { proxy_pass http://u; proxy_next_upstream error; }",
    );
    assert_eq!(get(&port, "/").text(), "good");
    assert_eq!((get(&port, "/alone").status, get(&port, "/alone").text()), (503, "bad"));
    assert_eq!(get(&port, "/not").text(), "bad");
}

#[test]
fn servers_that_take_too_long() {
    let silent = Backend::start(backends::silent);
    let nowhere = backends::Unreachable::new();
    let (weir, port) = proxied(
        "",
        &format!(
            "location / {{ proxy_pass http://{}; proxy_read_timeout 100ms; }} location /nowhere {{ proxy_pass http://{}; proxy_connect_timeout 100ms; }}",
            silent.address, nowhere.address
        ),
    );
    assert_eq!(get(&port, "/").status, 504);
    weir.wait_error("upstream timed out (110: Connection timed out) while reading response header from upstream");
    assert_eq!(get(&port, "/nowhere").status, 504);
    weir.wait_error("upstream timed out (110: Connection timed out) while connecting to upstream");
}

#[test]
fn a_client_that_leaves_ends_the_server_s_work() {
    let silent = Backend::start(backends::silent);
    let (weir, port) = proxied("", &format!("location / {{ proxy_pass http://{}; }}", silent.address));
    let mut stream = connect(port.v4());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_for("the server's connection", || silent.accepted() == 1);
    drop(stream);
    assert!(weir.wait_access(1)[0].starts_with("499 "));
    weir.wait_error("so upstream connection is closed too while sending request to upstream");
}
