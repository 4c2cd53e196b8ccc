//! What a client gets of a server's answer.

use super::*;

fn through(answer: &'static str, directives: &str) -> (Backend, Weir, Port) {
    let (backend, _) = answers_once(answer);
    let (weir, port) =
        proxied("", &format!("location /l/ {{ proxy_pass http://{}/u/; {directives} }}", backend.address));
    (backend, weir, port)
}

#[test]
fn a_body_of_unknown_length_comes_in_chunks_or_to_the_end() {
    let (_backend, _weir, port) = through("HTTP/1.0 200 OK\r\n\r\nsome text", "");
    let mut stream = connect(port.v4());
    for _ in 0..2 {
        stream.write_all(b"GET /l/ HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let reply = read_reply(&mut stream, true);
        assert_eq!((reply.field("transfer-encoding"), reply.field("content-length")), (Some("chunked"), None));
        assert_eq!(read_chunked(&mut stream), b"some text");
    }
    let mut stream = connect(port.v4());
    stream.write_all(b"GET /l/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
    let reply = read_reply(&mut stream, true);
    assert_eq!((reply.field("transfer-encoding"), reply.field("connection")), (None, Some("close")));
    assert_eq!(read_all(stream), b"some text");
}

#[test]
fn chunks_of_the_server_are_taken_off_and_trailers_dropped() {
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n";
    let (_backend, _weir, port) = through(chunks, "");
    let mut stream = connect(port.v4());
    stream.write_all(b"GET /l/ HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, true).field("trailer"), None);
    assert_eq!(read_chunked(&mut stream), b"abcde");
}

#[test]
fn head_and_statuses_without_a_body() {
    let (_backend, _weir, port) = through("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "");
    let mut stream = connect(port.v4());
    for _ in 0..2 {
        stream.write_all(b"HEAD /l/ HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut stream, true).field("content-length"), Some("7"));
    }
    for answer in ["HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"] {
        let (_backend, _weir, port) = through(answer, "");
        let mut stream = connect(port.v4());
        for _ in 0..2 {
            stream.write_all(b"GET /l/ HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let reply = read_reply(&mut stream, true);
            assert_eq!((reply.field("content-length"), reply.field("transfer-encoding")), (None, None));
            assert_eq!(reply.status.to_string(), answer[9..12]);
        }
    }
}

#[test]
fn interim_answers_are_passed_over() {
    let (_backend, _weir, port) = through(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        "",
    );
    assert_eq!(get(&port, "/l/").text(), "x");
}

#[test]
fn fields_are_hidden_and_passed() {
    let answer = "HTTP/1.1 200 OK\r\nServer: theirs\r\nDate: theirs\r\nX-Pad: 1\r\nX-Secret: 1\r\nX-Accel-Expires: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nUpgrade: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n";
    let (_backend, _weir, port) = through(answer, "proxy_hide_header x-secret; proxy_pass_header Server;");
    let reply = get(&port, "/l/");
    for gone in ["x-pad", "x-secret", "x-accel-expires", "x-hop", "keep-alive", "upgrade"] {
        assert_eq!(reply.field(gone), None, "{gone}");
    }
    assert_eq!(reply.field("server"), Some("theirs"));
    assert_ne!(reply.field("date"), Some("theirs"));
    let cookies: Vec<_> =
        reply.fields.iter().filter(|(name, _)| name == "Set-Cookie").map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[test]
fn none_of_several_redirects_is_lost() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://old/1\r\nLocation: /2\r\nLocation: http://old/3\r\nContent-Length: 0\r\n\r\n";
    let (_backend, _weir, port) = through(answer, "proxy_redirect http://old/ http://new/;");
    let reply = get(&port, "/l/");
    let mut locations: Vec<_> =
        reply.fields.iter().filter(|(name, _)| name == "Location").map(|(_, value)| value.as_str()).collect();
    locations.sort();
    assert_eq!(locations, ["/2", "http://new/1", "http://new/3"]);
}

#[test]
fn redirects_of_the_server_lead_here() {
    let here = |location: &str, directives: &str| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let location = location.replace("SERVER", &address.to_string());
        let backend = Backend::serve(listener, move |mut stream| {
            read_request(&mut stream);
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
        });
        let (_weir, port) =
            proxied("", &format!("location /l/ {{ proxy_pass http://{}/u/; {directives} }}", backend.address));
        let number = port.v4().rsplit(':').next().unwrap().to_owned();
        get(&port, "/l/").field("location").unwrap().replace(&format!("http://a:{number}"), "HERE")
    };
    assert_eq!(here("http://SERVER/u/x", ""), "HERE/l/x");
    assert_eq!(here("http://other/u/x", ""), "http://other/u/x");
    assert_eq!(here("/u/x", ""), "/u/x");
    assert_eq!(here("http://old/x", "proxy_redirect default; proxy_redirect http://old/ /new/;"), "HERE/new/x");
    assert_eq!(
        here("http://SERVER/u/x", "proxy_redirect http://old/ /new/; absolute_redirect off;").split('/').next(),
        Some("http:")
    );
    assert!(here("http://SERVER/u/x", "proxy_redirect off;").starts_with("http://127.0.0.1"));
}

#[test]
fn without_chunks_a_body_ends_with_the_connection() {
    let (_backend, _weir, port) = through("HTTP/1.0 200 OK\r\n\r\nsome text", "chunked_transfer_encoding off;");
    let mut stream = connect(port.v4());
    stream.write_all(b"GET /l/ HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let reply = read_reply(&mut stream, true);
    assert_eq!((reply.field("transfer-encoding"), reply.field("connection")), (None, Some("close")));
    assert_eq!(read_all(stream), b"some text");
}
