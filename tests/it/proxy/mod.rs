//! `proxy_pass` in `http {}`: real clients, real servers, raw requests and answers.

mod answers;
mod balance;
mod bodies;
mod body_files;
mod cookies;
mod direct;
mod elsewhere;
mod faults;
mod guards;
mod kept;
mod ranges;
mod rates;
mod reload;
mod requests;
mod rewrites;
mod settings;
mod targets;
mod tls;
mod upgrades;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use crate::common::*;
use crate::http::{Reply, ask_http, get, read_reply, serve};

/// What a server was sent, one text for each request.
pub type Seen = Arc<Mutex<Vec<String>>>;

/// Reads the head of a request; `None` at the end of the connection.
pub fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads one request; `None` at the end of the connection.
pub fn read_request(stream: &mut TcpStream) -> Option<String> {
    let head = read_head(stream)?;
    let (mut bytes, mut byte) = (head.clone().into_bytes(), [0]);
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let start = bytes.len();
    bytes.resize(start + length.unwrap_or(0), 0);
    stream.read_exact(&mut bytes[start..]).ok()?;
    if head.contains("transfer-encoding: chunked") {
        while !bytes.ends_with(b"0\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                _ => return None,
            }
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A server that gives every request of a connection the same answer, and tells what it was sent.
pub fn answers(answer: impl Into<Vec<u8>>) -> (Backend, Seen) {
    let (seen, answer) = (Seen::default(), answer.into());
    let told = seen.clone();
    let backend = Backend::start(move |mut stream| {
        while let Some(request) = read_request(&mut stream) {
            told.lock().unwrap().push(request);
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    });
    (backend, seen)
}

/// The same, but that each connection ends behind its answer.
pub fn answers_once(answer: impl Into<Vec<u8>>) -> (Backend, Seen) {
    let (seen, answer) = (Seen::default(), answer.into());
    let told = seen.clone();
    let backend = Backend::start(move |mut stream| {
        if let Some(request) = read_request(&mut stream) {
            told.lock().unwrap().push(request);
            let _ = stream.write_all(&answer);
        }
    });
    (backend, seen)
}

/// A server that answers by the path, each connection ending behind its answer; other paths get 404.
pub fn answers_by_path(answers: Vec<(String, String)>) -> Backend {
    Backend::start(move |mut stream| {
        if let Some(request) = read_request(&mut stream) {
            let path = request.split(' ').nth(1).unwrap_or_default();
            let found = answers.iter().find(|(known, _)| known == path);
            let none = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone";
            let _ = stream.write_all(found.map_or(none, |(_, answer)| answer).as_bytes());
        }
    })
}

/// What nginx and weir answer to the same requests, with the same inside of their only server: the status, the fields in their order but
/// those that name the server, its port or the time, and the body. `SERVER` is where `backend` listens. Asserts that both are the same.
#[track_caller]
pub fn as_nginx_does(groups: &str, text: &str, backend: &Backend, requests: &[&str]) -> Vec<Reply> {
    let text = text.replace("SERVER", &backend.address.to_string());
    let nginx = servers::Server::nginx(1, &format!("{groups}\nserver {{ listen {{0}}; {text} }}"));
    let (_weir, port) = proxied(groups, &text);
    let ask = |to: String, request: &str| {
        let mut stream = connect(to.as_str());
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = read_reply(&mut stream, request.starts_with("HEAD"));
        let own = format!(":{}", to.rsplit(':').next().unwrap());
        reply.fields.retain(|(name, _)| name != "Server" && name != "Date");
        reply.fields.iter_mut().for_each(|(_, value)| *value = value.replace(&own, ""));
        reply.body = String::from_utf8_lossy(&reply.body)
            .lines()
            .filter(|line| !line.contains("<center>nginx") && !line.contains("<center>weir"))
            .collect::<Vec<_>>()
            .join("\n")
            .into();
        reply
    };
    let mut replies = Vec::new();
    for request in requests {
        let (theirs, ours) = (ask(nginx.address(0), request), ask(port.v4(), request));
        let told = |reply: &Reply| {
            let fields: Vec<String> = reply
                .fields
                .iter()
                .filter(|(name, _)| name != "Content-Length" || reply.status < 300)
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            (reply.status, fields, String::from_utf8_lossy(&reply.body).into_owned())
        };
        assert_eq!(told(&ours), told(&theirs), "{request}");
        replies.push(ours);
    }
    replies
}

/// The last request that a server has seen.
pub fn last(seen: &Seen) -> String {
    seen.lock().unwrap().last().cloned().expect("a request")
}

/// A `http {}` with these groups and this inside of its server, and a log of what upstreams did.
pub fn proxied(groups: &str, text: &str) -> (Weir, Port) {
    serve(|port| {
        format!(
            "log_format up '$status [$upstream_addr] [$upstream_status] $upstream_response_length $request_uri';\n\
             {groups}\nserver {{ listen {}; access_log access.log up; {text} }}",
            port.v4()
        )
    })
}

/// Asserts that a location beside its `proxy_pass` cannot say this.
#[track_caller]
pub fn refuses(text: &str, message: &str) {
    let prefix = Prefix::new();
    let location = format!("location / {{ proxy_pass http://127.0.0.1:1; {text} }}");
    prefix.write("nginx.conf", crate::http::config(&format!("server {{ listen 127.0.0.1:1; {location} }}")));
    let run = prefix.run(&["-t"]);
    assert!(!run.status.success() && run.stderr.contains(&format!("{message} in ")), "{text}: {}", run.stderr);
}

/// Reads an answer in chunks, and gives its content.
pub fn read_chunked(stream: &mut TcpStream) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).unwrap();
        assert_eq!(&chunk[size..], b"\r\n");
        if size == 0 {
            return content;
        }
        content.extend_from_slice(&chunk[..size]);
    }
}

#[test]
fn a_request_goes_to_a_server_and_its_answer_comes_back() {
    let (backend, seen) =
        answers("HTTP/1.1 200 Fine\r\nServer: x\r\nX-A: 1\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello");
    let (weir, port) = proxied("", &format!("location / {{ proxy_pass http://{}; }}", backend.address));
    let mut stream = connect(port.v4());
    for _ in 0..3 {
        stream
            .write_all(
                b"GET /a%20b?c HTTP/1.1\r\nHost: name\r\nX-B: 2\r\nConnection: keep-alive, x-c\r\nX-C: 3\r\n\r\n",
            )
            .unwrap();
        let reply = read_reply(&mut stream, false);
        assert_eq!((reply.status, reply.text(), reply.field("x-a")), (200, "hello", Some("1")));
        assert_eq!((reply.field("content-type"), reply.field("connection")), (Some("a/b"), Some("keep-alive")));
        assert!(reply.field("server").unwrap().starts_with("weir/"));
        let expected =
            format!("GET /a%20b?c HTTP/1.0\r\nHost: {}\r\nConnection: close\r\nX-B: 2\r\n\r\n", backend.address);
        assert_eq!(last(&seen), expected);
    }
    let line = &weir.wait_access(3)[2];
    assert_eq!(*line, format!("200 [{}] [200] 5 /a%20b?c", backend.address));
    assert_eq!(backend.accepted(), 3);
}

#[test]
fn a_server_that_cannot_be_reached_is_502() {
    let closed = Port::reserve();
    let (weir, port) = proxied("", &format!("location / {{ proxy_pass http://{}; }}", closed.v4()));
    let reply = get(&port, "/x");
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("<h1>502 Bad Gateway</h1>"));
    let line = weir.wait_error("failed (111: Connection refused)");
    assert!(line.contains("while connecting to upstream, client: 127.0.0.1, server: , request: \"GET /x HTTP/1.1\", upstream: \"http://"), "{line}");
    assert!(line.contains(&format!("upstream: \"http://{}/x\", host: \"a\"", closed.v4())), "{line}");
    assert_eq!(weir.wait_access(1)[0], format!("502 [{}] [502] 0 /x", closed.v4()));
}
