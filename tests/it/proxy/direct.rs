//! Unbuffered answers that go from connection to connection, through pipes of the worker's.

use super::*;
use crate::common::clients::noise;
use crate::common::proc;

const SIZE: usize = 12_000_000;

fn large(head: &str) -> (Backend, Vec<u8>) {
    let body = noise(SIZE);
    (answers_once([head.replace("SIZE", &SIZE.to_string()).as_bytes(), &body].concat()).0, body)
}

fn before(backend: &Backend, said: &str) -> (Weir, Port) {
    serve(|port| {
        format!(
            "log_format l '$status $body_bytes_sent $upstream_response_length'; sendfile on;
             server {{ listen {}; access_log access.log l; location / {{ proxy_pass http://{}; {said} }} }}",
            port.v4(),
            backend.address
        )
    })
}

#[test]
fn what_is_not_buffered_goes_through_a_pipe() {
    if !proc::shows_descriptors() {
        return;
    }
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (backend, body) = large("HTTP/1.1 200 OK\r\nContent-Length: SIZE\r\n\r\n");
    let (weir, port) = before(&backend, "proxy_buffering off;");
    let mut stream = connect(port.v4());
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).unwrap();
        let reply = read_reply(&mut stream, false);
        assert!(reply.status == 200 && reply.body == body);
        assert_eq!(proc::pipes(weir.worker()), 1);
    }
    assert_eq!(weir.wait_access(2), [format!("200 {SIZE} {SIZE}"), format!("200 {SIZE} {SIZE}")]);

    let (backend, body) = large("HTTP/1.0 200 OK\r\n\r\n");
    let (weir, port) = before(&backend, "proxy_buffering off;");
    let mut stream = connect(port.v4());
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    read_reply(&mut stream, true);
    assert!(read_all(stream) == body);
    assert_eq!((weir.wait_access(1), proc::pipes(weir.worker())), (vec![format!("200 {SIZE} {SIZE}")], 1));

    // Chunks have to be made, buffers filled: by copying.
    let mut stream = connect(port.v4());
    stream.write_all(request.as_bytes()).unwrap();
    read_reply(&mut stream, true);
    assert!(read_chunked(&mut stream) == body);
    let (backend, body) = large("HTTP/1.1 200 OK\r\nContent-Length: SIZE\r\n\r\n");
    let (weir, port) = before(&backend, "");
    assert!(get(&port, "/").body == body);
    assert_eq!(proc::pipes(weir.worker()), 0);
}

#[test]
fn a_connection_is_kept_behind_it() {
    let body = noise(SIZE);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let (backend, _) = answers([head.as_bytes(), &body].concat());
    let (_weir, port) = proxied(
        &format!("upstream u {{ server {}; keepalive 1; }}", backend.address),
        "proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection \"\"; location / { proxy_pass http://u; }",
    );
    for _ in 0..3 {
        assert!(get(&port, "/").body == body);
    }
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn an_early_end_is_an_error() {
    let (backend, body) = large("HTTP/1.1 200 OK\r\nContent-Length: 1SIZE\r\n\r\n");
    let (weir, port) = before(&backend, "proxy_buffering off;");
    let mut stream = connect(port.v4());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    read_reply(&mut stream, true);
    assert!(read_all(stream) == body);
    weir.wait_error("upstream prematurely closed connection while reading upstream");
    assert_eq!(weir.wait_access(1)[0], format!("200 {SIZE} {SIZE}"));
}

#[test]
fn a_client_that_reads_nothing_is_left_in_its_time() {
    let (backend, _) = large("HTTP/1.1 200 OK\r\nContent-Length: SIZE\r\n\r\n");
    let (weir, port) = before(&backend, "proxy_buffering off; send_timeout 300ms; proxy_read_timeout 100ms;");
    let mut stream = clients::connect_narrow(port.v4().parse().unwrap());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    weir.wait_error("client timed out (110: Connection timed out) while sending to client");
    let line = weir.wait_access(1).remove(0);
    assert!(line.starts_with("200 ") && !line.contains(&SIZE.to_string()), "{line}");
    assert!(read_all(stream).len() < SIZE);
}

#[test]
fn what_is_compressed_is_not_passed_by() {
    let (backend, body) = large("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n");
    let (_weir, port) = before(&backend, "proxy_buffering off; gzip on; gzip_http_version 1.0;");
    let mut stream = connect(port.v4());
    stream.write_all(b"GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, true).field("content-encoding"), Some("gzip"));
    let compressed = read_all(stream);
    let mut unpacker = std::process::Command::new("gzip")
        .arg("-dc")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = unpacker.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&compressed).unwrap());
    let output = unpacker.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.stdout == body);
}
