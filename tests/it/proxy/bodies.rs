//! Bodies in both directions.

use super::*;
use crate::common::clients::noise;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_body_is_collected_before_the_server_is_turned_to() {
    let (backend, seen) = answers(OK);
    let (_weir, port) = proxied("", &format!("location / {{ proxy_pass http://{}; }}", backend.address));
    let mut stream = connect(port.v4());
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n").unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    assert_eq!(backend.accepted(), 0);
    stream.write_all(b"def").unwrap();
    assert_eq!(read_reply(&mut stream, false).text(), "ok");
    assert!(last(&seen).ends_with("Content-Length: 6\r\n\r\nabcdef"), "{}", last(&seen));
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).text(), "ok");
    assert_eq!(read_reply(&mut stream, false).text(), "ok");
    let requests = seen.lock().unwrap().clone();
    assert!(requests[1].ends_with("Content-Length: 5\r\n\r\nabcde"), "{}", requests[1]);
    assert!(requests[2].starts_with("GET /next "));
}

#[test]
fn a_body_of_another_kind_is_sent_where_that_is_said() {
    let (backend, seen) = answers(OK);
    let (_weir, port) = proxied(
        "",
        &format!(
            "proxy_pass_request_body off; location / {{ proxy_pass http://{0}; }} location /set {{ proxy_pass http://{0}; proxy_set_body \"<$request_method>\"; }}",
            backend.address
        ),
    );
    let post =
        |path: &str| ask_http(&port, &format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"));
    assert_eq!(post("/").text(), "ok");
    assert!(!last(&seen).contains("Content-Length") && last(&seen).ends_with("\r\n\r\n"));
    assert_eq!(post("/set").text(), "ok");
    assert!(last(&seen).ends_with("Content-Length: 6\r\n\r\n<POST>"));
}

/// A server that takes bodies of any size, and tells how much it has and a sum of it.
fn counting() -> Backend {
    Backend::start(|mut stream| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_exact(&mut byte).is_err() {
                return;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length: usize =
            head.split("Content-Length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        let (mut left, mut sum, mut buffer) = (length, 0_u64, vec![0; 65536]);
        while left > 0 {
            let Ok(count @ 1..) = stream.read(&mut buffer) else { return };
            buffer[..count].iter().for_each(|byte| sum = sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            left -= count;
        }
        let text = format!("{length} {sum}");
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
    })
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

#[test]
fn large_bodies_go_through_a_file_or_as_they_come() {
    let backend = counting();
    let (weir, port) = proxied(
        "",
        &format!(
            "client_max_body_size 0; location / {{ proxy_pass http://{0}; }} location /stream {{ proxy_pass http://{0}; proxy_request_buffering off; }}",
            backend.address
        ),
    );
    let body = noise(20_000_000);
    for path in ["/", "/stream"] {
        let mut stream = connect(port.v4());
        stream
            .write_all(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())
            .unwrap();
        stream.write_all(&body).unwrap();
        assert_eq!(read_reply(&mut stream, false).text(), format!("{} {}", body.len(), sum(&body)));
    }
    assert_eq!(weir.error_log().matches("a client request body is buffered to a temporary file").count(), 1);
    assert_eq!(std::fs::read_dir(weir.prefix.join("client_body_temp")).unwrap().count(), 0);
}

#[test]
fn chunks_of_the_client_go_on_as_chunks() {
    let (backend, seen) = answers(OK);
    let (_weir, port) = proxied(
        "",
        &format!(
            "proxy_http_version 1.1; proxy_request_buffering off; location / {{ proxy_pass http://{}; }}",
            backend.address
        ),
    );
    let mut stream = connect(port.v4());
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").unwrap();
    wait_for("the server's connection", || backend.accepted() == 1);
    stream.write_all(b"2\r\nde\r\n0\r\nT: x\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).text(), "ok");
    let request = last(&seen);
    assert!(
        request.contains("Transfer-Encoding: chunked") && request.ends_with("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        "{request}"
    );
}

#[test]
fn a_client_that_stops_sending_its_body_is_not_waited_for() {
    let (backend, _) = answers(OK);
    for buffering in ["on", "off"] {
        let (weir, port) = proxied(
            "client_body_timeout 100ms;",
            &format!("location / {{ proxy_pass http://{}; proxy_request_buffering {buffering}; }}", backend.address),
        );
        let mut stream = connect(port.v4());
        stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").unwrap();
        assert!(is_closed(&stream));
        weir.wait_error("client timed out (110: Connection timed out) while reading client request body");
        assert!(weir.wait_access(1)[0].starts_with("408 "));
    }
}

#[test]
fn too_large_bodies_are_refused() {
    let (backend, _) = answers(OK);
    let (_weir, port) =
        proxied("client_max_body_size 4;", &format!("location / {{ proxy_pass http://{}; }}", backend.address));
    assert_eq!(ask_http(&port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde").status, 413);
    let mut stream = connect(port.v4());
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").unwrap();
    stream.write_all(b"3\r\ndef\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 413);
    assert_eq!(backend.accepted(), 0);
}

/// A large answer, and how far the server has got with sending it.
fn large(body: &[u8], length: bool) -> (Backend, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (body, told) = (body.to_vec(), done.clone());
    let backend = Backend::start(move |mut stream| {
        read_request(&mut stream);
        let length = if length { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{length}\r\n").as_bytes());
        if stream.write_all(&body).is_ok() {
            told.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    });
    (backend, done)
}

#[test]
fn a_slow_client_does_not_hold_the_server_where_answers_are_buffered() {
    let body = noise(20_000_000);
    for known in [true, false] {
        let (backend, done) = large(&body, known);
        let (weir, port) = proxied("", &format!("location / {{ proxy_pass http://{}; }}", backend.address));
        let mut stream = clients::connect_narrow(port.v4().to_string().parse().unwrap());
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        wait_for("the server to be done", || done.load(std::sync::atomic::Ordering::SeqCst));
        let reply = read_reply(&mut stream, true);
        let content = if known {
            let mut content = vec![0; body.len()];
            stream.read_exact(&mut content).unwrap();
            content
        } else {
            assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
            read_chunked(&mut stream)
        };
        assert!(content == body);
        assert_eq!(weir.error_log().matches("an upstream response is buffered to a temporary file").count(), 1);
        assert_eq!(std::fs::read_dir(weir.prefix.join("proxy_temp")).unwrap().count(), 0);
    }
}

#[test]
fn a_slow_client_holds_the_server_where_they_are_not() {
    let body = noise(30_000_000);
    for directives in ["proxy_buffering off;", "proxy_max_temp_file_size 0;"] {
        let (backend, done) = large(&body, true);
        let (weir, port) =
            proxied("", &format!("location / {{ proxy_pass http://{}; {directives} }}", backend.address));
        let mut stream = clients::connect_narrow(port.v4().to_string().parse().unwrap());
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        read_reply(&mut stream, true);
        let mut content = vec![0; body.len()];
        stream.read_exact(&mut content[..1000]).unwrap();
        assert!(!done.load(std::sync::atomic::Ordering::SeqCst));
        stream.read_exact(&mut content[1000..]).unwrap();
        assert!(content == body);
        assert!(!weir.error_log().contains("temporary file"));
    }
}
