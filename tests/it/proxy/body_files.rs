//! Bodies of requests: in files with names, in variables, and sent to a second server.

use super::*;
use crate::common::clients::noise;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The value of a field of a request.
fn field<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.split(&format!("\r\n{name}: ")).nth(1)?.split("\r\n").next()
}

#[test]
fn every_body_may_have_a_file() {
    let (backend, seen) = answers(OK);
    let text = format!(
        "client_body_temp_path body 1 2;
         location / {{ proxy_pass http://{0}; proxy_set_header X-File $request_body_file; proxy_set_header X-Body $request_body; }}
         location /on/ {{ client_body_in_file_only on; proxy_pass http://{0}; proxy_set_header X-File $request_body_file; proxy_set_header X-Body $request_body; }}
         location /clean/ {{ client_body_in_file_only clean; proxy_pass http://{0}; proxy_pass_request_body off; proxy_set_header X-File $request_body_file; }}",
        backend.address
    );
    let (weir, port) = proxied("", &text);
    let post = |path: &str, body: &str| {
        let length = body.len();
        let reply =
            ask_http(&port, &format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"));
        assert_eq!(reply.status, 200, "{path}");
        last(&seen)
    };
    let request = post("/", "hello");
    assert_eq!((field(&request, "X-File"), field(&request, "X-Body")), (None, Some("hello")));

    let request = post("/on/", "hello");
    let kept = field(&request, "X-File").unwrap().to_owned();
    assert!(request.ends_with("\r\n\r\nhello") && field(&request, "X-Body").is_none(), "{request}");
    assert_eq!(kept, weir.prefix.text_path("body/1/00/0000000001"));
    assert_eq!(std::fs::read(&kept).unwrap(), b"hello");
    weir.wait_error(&format!("a client request body is buffered to a temporary file {kept}, client"));

    // A server that reads the body from the file itself, large or empty.
    for body in ["", "hello", &"x".repeat(200_000)] {
        let request = post("/clean/", body);
        assert!(request.ends_with("\r\n\r\n") && field(&request, "Content-Length").is_none(), "{request}");
        let file = field(&request, "X-File").unwrap().to_owned();
        wait_for("the file to be gone", || !std::path::Path::new(&file).exists());
    }
    assert!(std::path::Path::new(&kept).exists());
    assert_eq!(field(&ask_and_see(&port, &seen, "/on/"), "X-File"), None, "no body, no file");
}

fn ask_and_see(port: &Port, seen: &Seen, path: &str) -> String {
    assert_eq!(get(port, path).status, 200);
    last(seen)
}

#[test]
fn a_file_is_there_while_its_server_is_at_work() {
    let backend = Backend::start(move |mut stream| {
        let request = read_request(&mut stream).unwrap();
        let body = std::fs::read(field(&request, "X-File").unwrap()).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    });
    let (_weir, port) = proxied(
        "",
        &format!(
            "client_max_body_size 0; client_body_in_file_only clean; location / {{ proxy_pass http://{}; proxy_pass_request_body off; proxy_set_header X-File $request_body_file; }}",
            backend.address
        ),
    );
    let body = noise(300_000);
    let mut stream = connect(port.v4());
    stream
        .write_all(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes())
        .unwrap();
    stream.write_all(&body).unwrap();
    assert!(read_reply(&mut stream, false).body == body);
}

#[test]
fn a_body_that_went_as_it_came_goes_to_a_second_server_too() {
    let (first, _) = answers_once("HTTP/1.1 200 OK\r\nX-Accel-Redirect: @second\r\nContent-Length: 0\r\n\r\n");
    let (second, seen) = answers(OK);
    let (_weir, port) = proxied(
        "",
        &format!(
            "client_max_body_size 0; proxy_http_version 1.1; proxy_request_buffering off;
             location / {{ proxy_pass http://{}; }} location @second {{ proxy_pass http://{}; }}",
            first.address, second.address
        ),
    );
    for (fields, pieces, wanted) in [
        ("Content-Length: 5", ["he", "llo"], "hello"),
        ("Transfer-Encoding: chunked", ["5\r\nhello\r\n", "3\r\nyou\r\n0\r\n\r\n"], "helloyou"),
    ] {
        let mut stream = connect(port.v4());
        stream.write_all(format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{}", pieces[0]).as_bytes()).unwrap();
        // The second piece comes when the first is with the server.
        let accepted = first.accepted();
        wait_for("the server to be turned to", || first.accepted() >= accepted.max(1));
        stream.write_all(pieces[1].as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).text(), "ok");
        let request = last(&seen);
        assert!(request.starts_with("POST /x ") && request.ends_with(&format!("\r\n\r\n{wanted}")), "{request}");
    }
    // What is too much to be kept does not go twice, nor a part of it as if it were all.
    let body = "x".repeat(200_000);
    let request = format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(ask_http(&port, &request).text(), "ok");
    let request = last(&seen);
    assert!(request.ends_with("\r\n\r\n") && field(&request, "Content-Length").is_none(), "{}", request.len());
}

#[test]
fn bad_values_are_refused() {
    refuses("client_body_in_file_only x;", "invalid value \"x\"");
    refuses("client_body_temp_path body 4;", "\"client_body_temp_path\" directive invalid value");
    refuses(
        "client_body_in_single_buffer x;",
        "invalid value \"x\" in \"client_body_in_single_buffer\" directive, it must be \"on\" or \"off\"",
    );
}

/// A client that is waited for after its answer, since it goes on sending, keeps no file.
#[test]
fn who_lingers_holds_no_file() {
    if !proc::shows_descriptors() {
        return;
    }
    let (backend, _) = answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (weir, port) = proxied(
        "",
        &format!(
            "lingering_time 1h; lingering_timeout 1h; client_body_buffer_size 1k; location / {{ proxy_pass http://{}; }}",
            backend.address
        ),
    );
    let worker = weir.worker();
    crate::common::wait::wait_until_idle(worker);
    let before = proc::descriptors(worker);
    let mut stream = connect(port.v4());
    let body = "x".repeat(100_000);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n").unwrap();
    stream.write_all(format!("{body}and more").as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream, false).text(), "ok");
    weir.wait_access(1);
    wait_for("nothing but the client's connection", || proc::descriptors(worker) == before + 1);
    assert!(crate::common::clients::is_quiet(&stream) || stream.read(&mut [0]).unwrap() == 0);
    // It is still there.
    stream.write_all(b"and more").unwrap();
    assert_eq!(proc::descriptors(worker), before + 1);
}
