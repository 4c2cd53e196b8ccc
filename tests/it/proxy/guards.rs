//! What must not get past the proxy, or be mixed up in it: lines of someone else's choice, an answer's body taken for the next answer, half a body.

use super::*;

#[test]
fn what_variables_come_to_ends_no_line() {
    let (backend, seen) = answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let text = "location /args { set $args u=$uri; proxy_pass http://SERVER; }
         location /made { set $args u=$uri; proxy_pass http://SERVER/x$is_args$args; }
         location /rewritten { rewrite ^ /new?u=$uri break; proxy_pass http://SERVER; }
         location /method { proxy_method $http_x$uri; proxy_pass http://SERVER/m; }
         location /empty { proxy_method $http_none; proxy_pass http://SERVER/m; }";
    let (_weir, port) = proxied("", &text.replace("SERVER", &backend.address.to_string()));
    for (path, line) in [
        ("/args%0d%0aA:%20b", "GET /args%0D%0AA:%20b?u=/args%0D%0AA:%20b HTTP/1.0"),
        ("/made%0d%0aA:%20b", "GET /x?u=/made%0D%0AA:%20b HTTP/1.0"),
        ("/rewritten%0d%0aA:%20b", "GET /new?u=/rewritten%0D%0AA:%20b HTTP/1.0"),
        ("/method%20/%20HTTP/1.1%0d%0aA:b", "Pmethodhttp1.1ab /m"),
        ("/empty", "GET /m HTTP/1.0"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: P\r\n\r\n");
        assert_eq!(ask_http(&port, &request).status, 200, "{path}");
        let request = last(&seen);
        let told = request.lines().next().unwrap_or_default();
        assert!(told.to_ascii_lowercase().starts_with(&line.to_ascii_lowercase()), "{path}: {request}");
        assert!(!request.lines().any(|line| line.starts_with("A:")), "{path}: {request}");
    }
}

#[test]
fn a_body_that_comes_where_the_client_gets_none_is_no_other_answer() {
    let release = Arc::new(Mutex::new(()));
    let held = release.lock().unwrap();
    let waits = release.clone();
    let backend = Backend::start(move |mut stream| {
        while let Some(request) = read_request(&mut stream) {
            if request.starts_with("GET /late") {
                let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", evil.len());
                let _released = waits.lock().unwrap();
                let _ = stream.write_all(evil.as_bytes());
            } else {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell");
            }
        }
    });
    let group = format!("upstream u {{ server {}; keepalive 4; }}", backend.address);
    let text = "proxy_http_version 1.1; proxy_set_header Connection \"\";
         location /late { proxy_method GET; proxy_pass http://u; }
         location / { proxy_pass http://u; }";
    let (_weir, port) = proxied(&group, text);
    let mut client = connect(port.v4());
    client.write_all(b"HEAD /late HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let reply = read_reply(&mut client, true);
    assert_eq!((reply.status, reply.field("content-length")), (200, Some("42")));
    client.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(client.peek(&mut [0]).is_ok());
    drop(held);
    assert_eq!(read_reply(&mut client, false).text(), "well");
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn a_server_that_is_asked_with_head_sends_no_body_whatever_the_client_asked_for() {
    let (backend, seen) = answers("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-A: b\r\n\r\n");
    let group = format!("upstream u {{ server {}; keepalive 4; }}", backend.address);
    let text = "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_method HEAD;
         location / { proxy_pass http://u; }";
    let (_weir, port) = proxied(&group, text);
    let mut client = connect(port.v4());
    for _ in 0..2 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let reply = read_reply(&mut client, false);
        assert_eq!((reply.status, reply.field("x-a"), reply.text()), (200, Some("b"), ""));
        assert!(last(&seen).starts_with("HEAD / HTTP/1.1\r\n"));
    }
    client.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut client, true).field("content-length"), Some("7"));
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn the_end_of_a_body_is_said_by_the_proxy_alone() {
    let (backend, seen) = answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let text = "proxy_http_version 1.1; proxy_set_header Connection $http_none; proxy_set_header Host h;
         location /coding { proxy_pass http://SERVER; proxy_set_header Transfer-Encoding $http_transfer_encoding; proxy_set_header Host h; }
         location /length { proxy_pass http://SERVER; proxy_set_header Content-Length $http_x; proxy_set_header Host h; }
         location /none { proxy_pass http://SERVER; proxy_pass_request_body off; proxy_set_header Content-Length $http_x; proxy_set_header Host h; }";
    let (_weir, port) = proxied("", &text.replace("SERVER", &backend.address.to_string()));
    for (path, fields, end) in [
        ("/coding", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "Content-Length: 3\r\n\r\nabc"),
        ("/length", "Content-Length: 3\r\n\r\nabc", "Content-Length: 3\r\n\r\nabc"),
        ("/length", "X: 1\r\nContent-Length: 3\r\n\r\nabc", "Content-Length: 3\r\nX: 1\r\n\r\nabc"),
        ("/none", "X: 3\r\nContent-Length: 3\r\n\r\nabc", "X: 3\r\n\r\n"),
        ("/none", "X: 0\r\nContent-Length: 3\r\n\r\nabc", "X: 0\r\n\r\n"),
    ] {
        assert_eq!(ask_http(&port, &format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}")).status, 200, "{path}");
        let request = last(&seen);
        assert!(request.ends_with(end) && !request.contains("Transfer-Encoding"), "{path} {fields:?}: {request}");
        let told = end.contains("Content-Length") || fields.starts_with("X: 0");
        assert_eq!(request.matches("Content-Length").count(), usize::from(told), "{path} {fields:?}: {request}");
    }
}

/// Sends a POST in pieces, the second when the log has told what came of the first, and gives the other server's request and the status.
fn posted(text: &str, pieces: [&str; 2], between: &str) -> (String, u16) {
    let (backend, seen) = answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let text = format!(
        "client_body_buffer_size 4; error_page 413 500 502 @other; {text}
         location @other {{ proxy_pass http://{}; proxy_request_buffering off; }}",
        backend.address
    );
    let (weir, port) = proxied("", &text);
    let _ = std::fs::remove_dir_all(weir.prefix.join("gone"));
    let mut client = connect(port.v4());
    client.write_all(pieces[0].as_bytes()).unwrap();
    weir.wait_error(between);
    client.write_all(pieces[1].as_bytes()).unwrap();
    let status = read_reply(&mut client, false).status;
    (last(&seen), status)
}

#[test]
fn no_server_gets_a_part_of_a_body_for_the_whole() {
    let head = |framing: &str| format!("POST /x HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
    let length = head("Content-Length: 10");
    let chunks = head("Transfer-Encoding: chunked");

    // Its beginning had come when the first server could not even be named.
    let nowhere = "location / { proxy_request_buffering off; set $name nowhere.test; proxy_pass http://$name; }";
    let pieces = [&*format!("{length}abcd"), "efghij"];
    let (request, status) = posted(nowhere, pieces, "no resolver defined");
    assert!(status == 502 && request.ends_with("\r\nContent-Length: 10\r\n\r\nabcdefghij"), "{status} {request}");

    // What did not fit into a file is gone.
    let gone = "location / { client_body_temp_path gone; proxy_pass http://127.0.0.1:1; }";
    let (request, status) = posted(gone, [&*format!("{length}abcde"), "fghij"], "gone\" failed (2: ");
    assert!(status == 500 && request.ends_with("Connection: close\r\n\r\n"), "{status} {request}");

    // What is too large is not read for an error page either.
    let small = "location / { client_max_body_size 5; proxy_pass http://127.0.0.1:1; }";
    let (request, status) = posted(small, [&*format!("{length}abcd"), "efghij"], "too large body: 10 bytes");
    assert!(status == 413 && request.ends_with("Connection: close\r\n\r\n"), "{status} {request}");
    let pieces = [&*format!("{chunks}4\r\nabcd\r\n3\r\nefg\r\n"), "3\r\nhij\r\n0\r\n\r\n"];
    let (request, status) = posted(small, pieces, "too large chunked body: 4+3 bytes");
    assert!(status == 413 && request.ends_with("Connection: close\r\n\r\n"), "{status} {request}");
}
