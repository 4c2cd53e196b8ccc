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
