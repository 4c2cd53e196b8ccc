//! `error_log` in `http {}`, `tcp {}` and what is in them: where a line goes.

use std::io::Write;
use std::net::UdpSocket;

use super::common::running::send;
use super::http::{ask_http, get, serve, serve_in};
use crate::common::*;

/// A log that holds so many lines with this text.
#[track_caller]
fn wait_lines(weir: &Weir, log: &str, text: &str, count: usize) -> Vec<String> {
    wait_some(&format!("{count} lines with {text:?} in {log}"), || {
        let lines: Vec<String> = weir.prefix.lines(log).into_iter().filter(|line| line.contains(text)).collect();
        (lines.len() == count).then_some(lines)
    })
}

#[test]
fn the_innermost_level_counts() {
    let (weir, port) = serve(|port| {
        let listen = port.v4();
        format!(
            "error_log http.log; root nowhere;
             server {{ listen {listen}; server_name plain; }}
             server {{ listen {listen}; server_name own; error_log server.log; error_log both.log error;
                location /in/ {{ error_log location.log; location /in/in/ {{ }} }}
                location /quiet/ {{ error_log quiet.log crit; }} }}"
        )
    });
    let get = |host: &str, path: &str| {
        assert_eq!(ask_http(&port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).status, 404);
    };
    get("plain", "/1");
    get("own", "/2");
    get("own", "/in/3");
    get("own", "/in/in/4");
    get("own", "/quiet/5");
    for (log, paths) in [
        ("http.log", &["/1"][..]),
        ("server.log", &["/2"]),
        ("both.log", &["/2"]),
        ("location.log", &["/in/3", "/in/in/4"]),
        ("quiet.log", &[]),
        ("error.log", &[]),
    ] {
        let lines = wait_lines(&weir, log, "No such file or directory", paths.len());
        for (line, path) in lines.iter().zip(paths) {
            let start = format!("open() \"{}{path}\" failed (2: ", weir.prefix.text_path("nowhere"));
            assert!(line.contains(&start) && line.contains(" [error] "), "{line}");
            assert!(
                line.ends_with(&format!(
                    "request: \"GET {path} HTTP/1.1\", host: \"{}\"",
                    if *path == "/1" { "plain" } else { "own" }
                )),
                "{line}"
            );
        }
    }
}

#[test]
fn a_head_is_told_of_in_the_log_of_whom_it_has_named_so_far() {
    let (weir, port) = serve(|port| {
        let listen = port.v4();
        format!(
            "server {{ listen {listen}; error_log first.log info; client_header_timeout 50ms; return 204; }}
             server {{ listen {listen}; server_name other; error_log second.log info; return 204; }}"
        )
    });
    for (log, sent) in [("first.log", "X: y\r\n"), ("second.log", "Host: other\r\n")] {
        let mut slow = connect(port.v4());
        slow.write_all(format!("GET / HTTP/1.1\r\n{sent}").as_bytes()).unwrap();
        let message = "client timed out (110: Connection timed out) while reading client request headers";
        wait_lines(&weir, log, message, 1);
    }
    assert_eq!(ask_http(&port, "GET / HTTP/1.1\r\nHost: other\r\nHost: other\r\n\r\n").status, 400);
    wait_lines(&weir, "second.log", "client sent duplicate host header: \"Host: other\"", 1);
    assert_eq!(ask_http(&port, "TRACE / HTTP/1.1\r\nHost: other\r\n\r\n").status, 405);
    wait_lines(&weir, "second.log", "client sent TRACE method", 1);
    assert!(!weir.error_log().contains("client "), "{}", weir.error_log());
}

#[test]
fn debug_and_debug_connection() {
    let prefix = Prefix::new();
    let (weir, port) = serve_in(prefix, |port| {
        format!(
            "server {{ listen {}; location / {{ error_log crit.log crit; return 204; }}
                location /debug {{ error_log debug.log debug; return 204; }} }}",
            port.v4()
        )
    });
    assert_eq!(get(&port, "/").status, 204);
    assert_eq!(get(&port, "/debug/a%22").status, 204);
    wait_lines(&weir, "debug.log", "http uri: \"/debug/a\\\"\"", 1);
    assert_eq!(weir.prefix.read("crit.log"), "");
    let old = weir.worker();
    let text = weir.prefix.read("nginx.conf").replace("events {}", "events { debug_connection 127.0.0.1; }");
    weir.prefix.write("nginx.conf", text);
    weir.signal(Signal::SIGHUP);
    wait_for("the new worker", || weir.workers().iter().all(|pid| *pid != old) && weir.workers().len() == 1);
    assert_eq!(get(&port, "/").status, 204);
    wait_lines(&weir, "crit.log", " [debug] ", 1);
}

#[test]
fn files_are_opened_anew_and_exchanged_by_a_reload() {
    let (weir, port) = serve(|port| format!("server {{ listen {}; root nowhere; error_log own.log; }}", port.v4()));
    assert_eq!(get(&port, "/1").status, 404);
    wait_lines(&weir, "own.log", "/1\" failed", 1);
    std::fs::rename(weir.prefix.join("own.log"), weir.prefix.join("own.log.1")).unwrap();
    send(weir.master(), Signal::SIGUSR1);
    wait_for("the file", || weir.prefix.join("own.log").exists());
    // The master has opened it; the worker is told by the master.
    wait_for("the worker to write there", || {
        assert_eq!(get(&port, "/2").status, 404);
        weir.prefix.read("own.log").contains("/2\" failed")
    });
    let text = weir.prefix.read("nginx.conf");
    weir.prefix.write("nginx.conf", text.replace("own.log", "missing/own.log"));
    weir.signal(Signal::SIGHUP);
    weir.wait_error("missing/own.log\" failed (2: No such file or directory)");
    assert_eq!(get(&port, "/3").status, 404);
    wait_lines(&weir, "own.log", "/3\" failed", 1);
    weir.prefix.write("nginx.conf", text.replace("own.log", "new.log"));
    weir.signal(Signal::SIGHUP);
    wait_for("the new log", || {
        assert_eq!(get(&port, "/4").status, 404);
        weir.prefix.read("new.log").contains("/4\" failed")
    });
}

#[test]
fn without_a_master_sessions_keep_the_logs_they_began_with() {
    let port = Port::reserve();
    let prefix = Prefix::new();
    let text = |log: &str| {
        let server = format!("server {{ listen {}; root nowhere; error_log {log}; }}", port.v4());
        super::http::config(&server).replace("daemon off;", "daemon off; master_process off;")
    };
    prefix.write("nginx.conf", text("old.log"));
    let weir = Weir::launch(prefix, &[]);
    let mut old = connect(port.v4());
    old.write_all(b"GET /old HTTP/1.1\r\n").unwrap();
    wait_for("the old one to be taken", || get(&port, "/").status == 404);
    weir.prefix.write("nginx.conf", text("new.log"));
    weir.signal(Signal::SIGHUP);
    wait_for("the new log", || {
        assert_eq!(get(&port, "/new").status, 404);
        weir.prefix.read("new.log").contains("/new\" failed")
    });
    old.write_all(b"Host: a\r\n\r\n").unwrap();
    wait_lines(&weir, "old.log", "/old\" failed", 1);
}

#[test]
fn syslog_servers_and_sessions_of_tcp() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(super::common::wait::PATIENCE)).unwrap();
    let port = [Port::reserve(), Port::reserve()];
    let weir = Setup::tcp(format!(
        "error_log tcp.log info; error_log syslog:server={},tag=x notice;
         server {{ listen {}; deny all; return no; }} server {{ listen {}; error_log own.log info; return yes; }}",
        server.local_addr().unwrap(),
        port[0].v4(),
        port[1].v4()
    ))
    .start();
    assert!(is_closed(connect(port[0].v4())));
    assert_eq!(read_all(connect(port[1].v4())), b"yes");
    wait_lines(&weir, "tcp.log", "access forbidden by rule, client: 127.0.0.1", 1);
    wait_lines(&weir, "own.log", " connected to ", 1);
    let mut datagram = [0; 2048];
    let length = server.recv(&mut datagram).unwrap();
    let text = String::from_utf8_lossy(&datagram[..length]);
    // local7 is facility 23, notice is severity 5.
    assert!(text.starts_with("<189>") && text.contains(" x: ") && text.contains("access forbidden by rule"), "{text}");
    assert!(!weir.error_log().contains("127.0.0.1,"), "{}", weir.error_log());
}
