//! How requests are read where the configuration says so, and the figures of them all.

use std::io::Write;

use super::common::running::send;
use super::http::{ask_http, get, read_reply, serve, server};
use crate::common::*;

#[test]
fn slashes_are_merged_or_not() {
    let (_weir, port) = server(r#"location / { return 200 "$uri"; }"#);
    let (_other, exact) = server(r#"merge_slashes off; location / { return 200 "$uri"; }"#);
    for (path, merged, kept) in [
        ("//a///b", "/a/b", "//a///b"),
        ("//", "/", "//"),
        ("/a//../b", "/b", "/a/b"),
        ("/a//./b", "/a/b", "/a//b"),
        ("/a/..//", "/", "//"),
    ] {
        assert_eq!((get(&port, path).text(), get(&exact, path).text()), (merged, kept), "{path}");
    }
}

#[test]
fn all_ports_of_a_range() {
    let ports = Port::reserve_two();
    let [first, last] = [ports[0].number, ports[1].number];
    let prefix = Prefix::new();
    let http = format!(
        "server {{ listen 127.0.0.1:{first}-{last} default_server fastopen=3; return 200 $server_port; }}
         server {{ listen 127.0.0.1:{last}; server_name b; return 200 b; }}"
    );
    prefix.write("nginx.conf", super::http::config(&http));
    let weir = Weir::launch(prefix, &[]);
    weir.wait_workers(1);
    for port in &ports {
        assert_eq!(get(port, "/").text(), port.number.to_string());
    }
    let named = "GET / HTTP/1.1\r\nHost: b\r\n\r\n";
    assert_eq!([ask_http(&ports[0], named).text(), ask_http(&ports[1], named).text()], [&first.to_string()[..], "b"]);
}

#[test]
fn fields_with_odd_names() {
    let text = |settings: &str| format!("{settings} location / {{ return 200 \"$http_x_y|$http_a.b\"; }}");
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\nA.B: 2\r\n\r\n";
    let (weir, port) = server(&text(""));
    assert_eq!(ask_http(&port, request).text(), "|.b");
    for line in ["X_Y: 1", "A.B: 2"] {
        let logged = weir.wait_error(&format!("client sent invalid header line: \"{line}\""));
        assert!(logged.contains(" [info] ") && logged.contains("while reading client request headers"), "{logged}");
    }
    let (weir, port) = server(&text("underscores_in_headers on;"));
    assert_eq!(ask_http(&port, request).text(), "1|.b");
    weir.wait_error("client sent invalid header line: \"A.B: 2\"");
    assert!(!weir.error_log().contains("X_Y"));
    let (weir, port) = server(&text("ignore_invalid_headers off;"));
    assert_eq!(ask_http(&port, request).text(), "1|.b");
    assert!(!weir.error_log().contains("invalid header"));
}

/// The server that the request is for decides, not only the first one of the address.
#[test]
fn underscores_by_the_named_server() {
    let (_weir, port) = serve(|port| {
        format!(
            "server {{ listen {0}; return 200 1$http_x_y; }} server {{ listen {0}; server_name b; underscores_in_headers on; return 200 2$http_x_y; }}",
            port.v4()
        )
    });
    let ask =
        |host: &str| ask_http(&port, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nX_Y: y\r\n\r\n")).text().to_owned();
    assert_eq!((ask("a"), ask("b")), ("1".into(), "2y".into()));
}

#[test]
fn redirects_name_host_and_port() {
    let (_weir, port) = server(
        "server_name first second;
         location /plain { return 301 /x; }
         location /portless { port_in_redirect off; return 301 /x; }
         location /named { server_name_in_redirect on; return 301 /x; }
         location /both { server_name_in_redirect on; port_in_redirect off; return 301 /x; }
         location /relative { absolute_redirect off; return 301 /x; }",
    );
    let to = |path: &str| get(&port, path).field("location").unwrap().to_owned();
    assert_eq!(to("/plain"), format!("http://a:{}/x", port.number));
    assert_eq!(to("/portless"), "http://a/x");
    assert_eq!(to("/named"), format!("http://first:{}/x", port.number));
    assert_eq!(to("/both"), "http://first/x");
    assert_eq!(to("/relative"), "/x");
}

fn figures(port: &Port) -> Vec<u64> {
    let reply = get(port, "/figures");
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("text/plain")));
    let text = reply.text().to_owned();
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [active, accepts, handled, requests, reading, writing, waiting] = numbers[..] else { panic!("{text}") };
    let form = format!(
        "Active connections: {active} \nserver accepts handled requests\n {accepts} {handled} {requests} \nReading: {reading} Writing: {writing} Waiting: {waiting} \n"
    );
    assert_eq!(text, form);
    numbers
}

#[test]
fn figures_of_connections() {
    let (weir, port) = server(
        "location = /figures { stub_status; }
         location = /each { return 200 \"$connections_active $connections_reading $connections_writing $connections_waiting\"; }",
    );
    assert_eq!(figures(&port), [1, 1, 1, 1, 0, 1, 0]);
    wait_for("the connection to end", || figures(&port)[0] == 1);
    // One that waits for its next request, one that has sent half of a head.
    let (mut idle, mut slow) = (connect(port.v4()), connect(port.v4()));
    idle.write_all(b"GET /each HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_reply(&mut idle, false);
    slow.write_all(b"GET /").unwrap();
    wait_for("both to be counted", || {
        let now = figures(&port);
        (now[0], &now[4..]) == (3, &[1, 1, 1])
    });
    let before = figures(&port);
    wait_for("the connections that have asked for figures to end", || {
        idle.write_all(b"GET /each HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        read_reply(&mut idle, false).text() == "2 1 1 0"
    });
    slow.write_all(b"each HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut slow, false).text(), "2 0 1 1");
    assert_eq!(ask_http(&port, "POST /figures HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status, 405);
    let now = wait_some("the others to end", || Some(figures(&port)).filter(|now| now[0] == 3));
    assert!(now[1] > before[1] && now[1] == now[2] && now[3] > before[3], "{before:?} {now:?}");
    assert_eq!(now[4..], [0, 1, 2]);
    // What a worker had open goes with it; what it has served stays counted.
    let old = weir.worker();
    send(old, Signal::SIGKILL);
    weir.wait_error("exited on signal 9");
    wait_for("the next worker", || std::net::TcpStream::connect(port.v4()).is_ok());
    wait_for("the connections to be forgotten", || figures(&port)[0] == 1);
    assert!(figures(&port)[3] > now[3]);
}

#[test]
fn files_that_are_not_there_are_told_of_or_not() {
    let (weir, port) = server("root files; location /quiet { log_not_found off; }");
    for path in ["/quiet/one", "/quiet/", "/loud/two", "/loud/"] {
        assert_eq!(get(&port, path).status, 404);
    }
    weir.wait_error("/loud/two\" failed (2: No such file or directory)");
    weir.wait_error("/loud/index.html\" is not found (2: No such file or directory)");
    assert!(!weir.error_log().contains("/quiet/one\" failed") && !weir.error_log().contains("/quiet/index.html\" is"));
}

/// What a client goes on sending after its answer is read and dropped for so long, however lively it is.
#[test]
fn lingering_ends_in_its_time() {
    let (_weir, port) = server(
        "client_max_body_size 1; lingering_timeout 1h; location /long { lingering_time 1h; } location /short { lingering_time 200ms; }",
    );
    let mut clients = ["/long", "/short"].map(|path| {
        let mut stream = connect(port.v4());
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).status, 413);
        stream
    });
    wait_for("the end of the one that has little time", || {
        let [long, short] = &mut clients;
        long.write_all(b"x").unwrap();
        short.write_all(b"x").is_err()
    });
}

/// Who sends something after the end is heard out, when more was to be expected or always.
#[test]
fn who_lingers() {
    let (_weir, port) = server(
        "client_max_body_size 1; lingering_time 1h; lingering_timeout 1h;
         location /off { lingering_close off; } location /on { lingering_close on; return 200; }
         location /always { lingering_close always; return 200; }",
    );
    let answered = |head: &str| {
        let mut stream = connect(port.v4());
        stream.write_all(format!("{head}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        read_reply(&mut stream, false);
        stream
    };
    let [mut body_and_off, mut nothing_and_on] =
        ["POST /off HTTP/1.1\r\nContent-Length: 9", "GET /on HTTP/1.1"].map(answered);
    let lingering = ["POST /on HTTP/1.1\r\nContent-Length: 9", "GET /always HTTP/1.1"].map(answered);
    let (mut off_is_over, mut on_is_over) = (false, false);
    wait_for("the end of those that are not heard out", || {
        lingering.iter().for_each(|mut stream| stream.write_all(b"x").unwrap());
        off_is_over |= body_and_off.write_all(b"x").is_err();
        on_is_over |= nothing_and_on.write_all(b"x").is_err();
        off_is_over && on_is_over
    });
}
