//! Requests for which there is no descriptor, no memory or no disk left.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::disk::on_a_small_disk;
use super::{Plan, SAME_USER, answering, descriptors};
use crate::common::clients::{connect_narrow, noise};
use crate::common::*;
use crate::http::{ask_http, get, read_reply};

const EMFILE: &str = "(24: Too many open files)";

pub fn post(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{}",
        "x".repeat(length)
    )
}

#[test]
fn descriptors_for_clients() {
    let server = answering(backends::close);
    let bench = Plan::http(&format!("server {};", server.address), "location / { return 200 hello; }")
        .main("worker_rlimit_nofile 40;")
        .events("worker_connections 1000; accept_mutex_delay 50ms;")
        .start();
    // All stay until all have asked: only some of them have got through by then.
    let clients: Vec<TcpStream> = (0..60)
        .map(|_| {
            let mut stream = connect(bench.plan.port.v4());
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            stream
        })
        .collect();
    let line = bench.weir.wait_error(&format!("accept4() failed {EMFILE}"));
    assert!(line.contains(" [crit] "), "{line}");
    // Those who leave make room for the others, in the order in which these came.
    for mut stream in clients {
        assert_eq!(read_reply(&mut stream, false).text(), "hello");
    }
    bench.assert_serves();
    bench.settle();
}

#[test]
fn descriptors_for_what_a_request_needs() {
    if !proc::shows_descriptors() {
        return;
    }
    let server = answering(backends::silent);
    let text = "root html; location /passed { proxy_pass http://u; } location /bad { proxy_pass http://u; }
        location /kept { proxy_pass http://u; client_body_buffer_size 1k; }";
    let prefix = Prefix::new();
    prefix.write("html/file", "text");
    let bench = Plan::http(&format!("server {};", server.address), text).main(SAME_USER).start_in(prefix);
    let (weir, plan) = (&bench.weir, &bench.plan);
    let worker = weir.worker();
    let usual = proc::nofile(worker);
    let without = |request: &str| {
        let (mut held, mut stream) = (connect(plan.port.v4()), connect(plan.port.v4()));
        wait_for("both to be accepted", || descriptors(worker) == bench.at_rest + 2);
        // The first that needs a server has the descriptor in reserve for it.
        let before = server.accepted();
        proc::limit_descriptors(worker, proc::free_descriptor(worker));
        held.write_all(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        wait_for("the server's connection", || server.accepted() == before + 1);
        stream.write_all(request.as_bytes()).unwrap();
        let status = read_reply(&mut stream, true).status;
        proc::limit_descriptors(worker, usual);
        drop((held, stream));
        wait_for("descriptors to be given back", || descriptors(worker) <= bench.at_rest);
        status
    };
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..2 {
        assert_eq!(without(&request("/passed")), 500);
        assert_eq!(without(&request("/file")), 500);
        assert_eq!(without(&post("/kept", 40_000)), 500);
        assert_eq!(get(&plan.port, "/passed").text(), "/passed");
        assert_eq!(get(&plan.port, "/file").text(), "text");
        assert_eq!(ask_http(&plan.port, &post("/kept", 40_000)).text(), "/kept");
    }
    for (level, text) in [
        ("alert", format!("socket() failed {EMFILE} while connecting to upstream, ")),
        ("crit", format!("open() \"{}\" failed {EMFILE}, ", weir.prefix.text_path("html/file"))),
        (
            "crit",
            format!(
                "open() \"{}\" failed {EMFILE} while reading client request body, ",
                weir.prefix.text_path("client_body_temp")
            ),
        ),
    ] {
        let line = weir.wait_error(&text);
        assert!(line.contains(&format!(" [{level}] ")), "{line}");
    }
    // The server is none the worse for it.
    assert!(!weir.error_log().contains("temporarily disabled"));
    assert_eq!(weir.worker(), worker);
}

#[test]
fn disk_for_temporary_files() {
    const LARGE: usize = 8_000_000;
    let server = answering(|mut stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        let _ = stream.write_all(&noise(LARGE));
    });
    let text = "client_max_body_size 0; client_body_temp_path small/bodies; proxy_temp_path small/answers;
        location / { proxy_pass http://u; client_body_buffer_size 1k; }";
    let plan = Plan::http(&format!("server {} max_fails=0;", server.address), text);
    let Some(weir) = on_a_small_disk(&plan.setup.text()) else { return };
    weir.wait_workers(1);
    let worker = weir.worker();
    for round in 1..=3 {
        // 64 KiB are too little for these, and enough for that.
        assert_eq!(ask_http(&plan.port, &post("/body", 200_000)).status, 500);
        assert_eq!(ask_http(&plan.port, &post("/body", 30_000)).text(), "/body");
        let mut slow = connect_narrow(plan.port.v4().parse().unwrap());
        slow.write_all(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut slow, true).status, 200);
        assert_eq!(get(&plan.other, "/good").text(), "/good");
        let mut bytes = Vec::new();
        wait_for("the end of the disk", || {
            weir.error_log().matches("(28: No space left on device) while reading upstream").count() == round
        });
        let _ = slow.read_to_end(&mut bytes);
        assert!(bytes.len() < LARGE);
    }
    for (folder, action) in [("bodies", "reading client request body"), ("answers", "reading upstream")] {
        let path = weir.prefix.text_path(&format!("small/{folder}"));
        let line =
            weir.wait_error(&format!("pwrite() \"{path}\" failed (28: No space left on device) while {action}, "));
        assert!(line.contains(" [crit] "), "{line}");
    }
    assert_eq!(get(&plan.port, "/on").text(), "/on");
    assert_eq!(weir.worker(), worker);
}

#[test]
fn memory_in_a_worker() {
    // Answers that wait for clients cost memory: the worker ends with a word about it, and is replaced; requests of the other one go on.
    let server = answering(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'*'; 65536]).is_ok() {}
    });
    let text = "proxy_read_timeout 1h; send_timeout 1h;
        location / { proxy_pass http://u; proxy_buffers 16 64k; proxy_max_temp_file_size 0; }";
    let bench = Plan::http(&format!("server {} max_fails=0;", server.address), text).workers(2).main(SAME_USER).start();
    let [poor, other] = bench.weir.workers()[..] else { panic!() };
    let stalled = bench.starve(poor, other, b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n");
    let workers = bench.weir.wait_workers(2);
    assert!(workers.contains(&other) && !workers.contains(&poor));
    drop(stalled);
    bench.assert_serves();
    bench.settle();
}
