//! Connections that change to another protocol.

use super::*;
use std::net::Shutdown;

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
const SET: &str =
    "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";

/// Switches protocols, says something at once, and echoes.
fn switching() -> Backend {
    Backend::start(|mut stream| {
        if let Some(request) = read_request(&mut stream) {
            assert!(request.contains("\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"), "{request}");
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: 1\r\n\r\nwelcome";
            let _ = stream.write_all(head.as_bytes());
            backends::echo(stream);
        }
    })
}

#[test]
fn bytes_go_both_ways_after_101() {
    let backend = switching();
    let (weir, port) = proxied("", &format!("{SET} location / {{ proxy_pass http://{}; }}", backend.address));
    let mut stream = connect(port.v4());
    stream.write_all(format!("{REQUEST}early").as_bytes()).unwrap();
    let reply = read_reply(&mut stream, true);
    assert_eq!(
        (reply.status, reply.field("connection"), reply.field("upgrade")),
        (101, Some("upgrade"), Some("websocket"))
    );
    assert_eq!((reply.field("x-a"), reply.field("content-length")), (Some("1"), None));
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"welcomeearly");
    let body = clients::noise(3_000_000);
    assert!(clients::exchange(stream.try_clone().unwrap(), &body) == body);
    let _ = stream.shutdown(Shutdown::Both);
    let line = &weir.wait_access(1)[0];
    assert_eq!(*line, format!("101 [{}] [101] {} /chat", backend.address, body.len() + 5));
}

#[test]
fn an_idle_one_is_closed_in_its_time() {
    let backend = switching();
    let (weir, port) = proxied(
        "",
        &format!("{SET} proxy_read_timeout 100ms; location / {{ proxy_pass http://{}; }}", backend.address),
    );
    let mut stream = connect(port.v4());
    stream.write_all(REQUEST.as_bytes()).unwrap();
    assert!(read_all(stream).ends_with(b"welcome"));
    weir.wait_error("timed out (110: Connection timed out) while proxying upgraded connection");
}

#[test]
fn a_protocol_that_nobody_asked_for_is_502() {
    let (backend, _) = answers_once("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    let (weir, port) = proxied("", &format!("location / {{ proxy_pass http://{}; }}", backend.address));
    assert_eq!(get(&port, "/").status, 502);
    weir.wait_error("upstream sent unexpected status 101");
}

#[test]
fn the_rest_of_a_body_goes_before_the_new_protocol() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (complete, is_complete) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let backend = Backend::start(move |mut stream| {
        if read_head(&mut stream).is_none() {
            return;
        }
        wait.lock().unwrap().recv().unwrap();
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        let mut came = Vec::new();
        let mut buffer = [0; 65536];
        while !came.ends_with(b"\r\n0\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => came.extend_from_slice(&buffer[..count]),
                end => panic!("{end:?} after {}", came.len()),
            }
        }
        complete.send(came.iter().filter(|byte| **byte == b'x').count()).unwrap();
        backends::echo(stream);
    });
    let streams = "proxy_request_buffering off; client_max_body_size 0;";
    let (_weir, port) =
        proxied("", &format!("{SET} {streams} location / {{ proxy_pass http://{}; }}", backend.address));
    let mut stream = connect(port.v4());
    let chunk = 64 << 20;
    let head = REQUEST.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(format!("{head}{chunk:x}\r\n").as_bytes()).unwrap();
    // The server reads nothing, so this fills all that is between it and here.
    let sent = clients::fill(&mut stream);
    assert!(sent < chunk);
    go.send(()).unwrap();
    assert_eq!(read_reply(&mut stream, true).status, 101);
    go.send(()).unwrap();
    stream.set_write_timeout(None).unwrap();
    stream.write_all(&[&vec![b'x'; chunk - sent][..], b"\r\n0\r\n\r\n"].concat()).unwrap();
    assert_eq!(is_complete.recv().unwrap(), chunk);
    assert_eq!(ask(&mut stream, b"hello"), b"hello");
}
