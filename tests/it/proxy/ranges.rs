//! Parts of servers' answers, trailers, and locations that are asked for without their slash; what nginx 1.22 knows is held against it.

use super::*;

#[test]
fn parts_of_what_a_server_answers_as_a_whole() {
    let whole = "HTTP/1.1 200 Fine\r\nAccept-Ranges: none\r\nETag: \"x\"\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\nX-A: 1\r\nContent-Length: 10\r\n\r\n0123456789";
    let endless = "HTTP/1.1 200 Fine\r\nETag: \"x\"\r\n\r\n0123456789";
    let own = "HTTP/1.1 206 Part\r\nContent-Range: bytes 1-2/10\r\nAccept-Ranges: bytes\r\nContent-Length: 2\r\n\r\n12";
    let page = |path: &str, answer: &str| (path.to_owned(), answer.to_owned());
    let backend = answers_by_path(vec![page("/x", whole), page("/endless", endless), page("/own", own)]);
    let text = "location / { proxy_pass http://SERVER; proxy_force_ranges on; proxy_http_version 1.1; }
         location /off/ { proxy_pass http://SERVER/; }
         location /none/ { proxy_pass http://SERVER/; proxy_force_ranges on; max_ranges 0; }
         location /raw/ { proxy_pass http://SERVER/; proxy_force_ranges on; proxy_buffering off; }";
    let ask = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    let mut requests = vec![
        ask("/x", ""),
        ask("/off/x", "Range: bytes=2-4\r\n"),
        ask("/none/x", "Range: bytes=2-4\r\n"),
        ask("/raw/x", "Range: bytes=2-4\r\n"),
        ask("/own", "Range: bytes=1-2\r\n"),
        ask("/x", "Range: bytes=2-4\r\nIf-Range: \"x\"\r\n"),
        ask("/x", "Range: bytes=2-4\r\nIf-Range: \"y\"\r\n"),
        ask("/x", "Range: bytes=2-4\r\nIf-Range: Wed, 01 Jan 2020 00:00:00 GMT\r\n"),
        ask("/x", "Range: bytes=2-4\r\nIf-Range: Wed, 01 Jan 2020 00:00:01 GMT\r\n"),
    ];
    for range in ["2-4", "0-", "-3", "9-9", "5-100", "10-", "2-3,5-6", "x", "3-2", "0-9"] {
        requests.push(ask("/x", &format!("Range: bytes={range}\r\n")));
    }
    requests.push(ask("/x", "Range: bytes=2-4\r\n").replace("GET", "HEAD"));
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let replies = as_nginx_does("", text, &backend, &requests);
    assert_eq!((replies[3].status, replies[3].text()), (206, "234"));
    assert_eq!(replies[3].field("content-range"), Some("bytes 2-4/10"));
    // What the length is not known of has no parts.
    let reply = ask_http(&weir_before(&backend).1, &ask("/endless", "Range: bytes=2-4\r\n"));
    assert_eq!((reply.status, reply.field("content-range")), (200, None));
}

fn weir_before(backend: &Backend) -> (Weir, Port) {
    proxied("", &format!("location / {{ proxy_pass http://{}; proxy_force_ranges on; }}", backend.address))
}

#[test]
fn a_part_of_a_large_answer_needs_no_more_of_it() {
    let body = crate::common::clients::noise(3_000_000);
    let backend = {
        let body = body.clone();
        Backend::start(move |mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6000000\r\n\r\n");
            // The rest never comes.
            let _ = stream.write_all(&body);
            let _ = stream.read(&mut [0]);
        })
    };
    let (_weir, port) = weir_before(&backend);
    let mut stream = connect(port.v4());
    for range in [100_000..2_900_001, 0..10] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes={}-{}\r\n\r\n", range.start, range.end - 1);
        stream.write_all(request.as_bytes()).unwrap();
        let reply = read_reply(&mut stream, false);
        assert!(reply.status == 206 && reply.body == body[range]);
    }
}

const TRAILED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 5\r\nX-Hidden: 6\r\nContent-Length: 7\r\nX-Sum: 8\r\n\r\n";

/// The head and all behind it, as it came.
fn raw(port: &Port, request: &str) -> (String, String) {
    let mut stream = connect(port.v4());
    stream.write_all(request.as_bytes()).unwrap();
    let text = String::from_utf8(read_all(stream)).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn trailers_are_passed_on_and_told() {
    let (backend, _) = answers_once(TRAILED);
    let (weir, port) = serve(|port| {
        format!(
            "log_format up '$upstream_trailer_x_sum|$upstream_trailer_none|$upstream_http_x_sum';
             server {{ listen {}; access_log access.log up; proxy_hide_header X-Hidden;
               location / {{ proxy_pass http://{backend}; }}
               location /on {{ proxy_pass http://{backend}; proxy_pass_trailers on; add_trailer X-Own $upstream_trailer_x_sum; }} }}",
            port.v4(),
            backend = backend.address
        )
    });
    let (head, body) = raw(&port, "GET /on HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(head.contains("\r\nTrailer: X-Sum"), "{head}");
    assert_eq!(body, "3\r\nabc\r\n0\r\nX-Sum: 5\r\nX-Sum: 8\r\nX-Own: 5, 8\r\n\r\n");
    let (head, body) = raw(&port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(!head.contains("Trailer"), "{head}");
    assert_eq!(body, "3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(raw(&port, "GET /on HTTP/1.0\r\nHost: a\r\n\r\n").1, "abc");
    assert_eq!(weir.wait_access(3), ["5, 8|-|-"; 3]);
}

#[test]
fn a_location_with_a_server_is_asked_for_without_its_slash() {
    let (backend, _) = answers_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let text = "location /in/ { proxy_pass http://SERVER; }
         location ^~ /s p/ { proxy_pass http://SERVER/x/; }
         location = /exact/ { proxy_pass http://SERVER; }
         location /both/ { proxy_pass http://SERVER; } location /both { return 201; }
         location /files/ { return 202; }
         location /secret/ { internal; proxy_pass http://SERVER; }
         location /out/ { return 203; location /out/in/ { proxy_pass http://SERVER; } }
         location ~ ^/(in|other)$ { return 204; }
         location / { error_page 301 =205 /moved; return 206; }
         location /moved { return 207; }";
    let paths = [
        "/in", "/in?a=b", "/in/", "/s%20p", "/exact", "/both", "/files", "/secret", "/out/in", "/out/", "/other",
        "/inn", "/i",
    ];
    let requests: Vec<String> = paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let replies = as_nginx_does("", &text.replace("^~ /s p/", "^~ \"/s p/\""), &backend, &requests);
    assert_eq!((replies[1].status, replies[1].field("location")), (301, Some("http://a/in/?a=b")));
    assert_eq!(replies[3].field("location"), Some("http://a/s%20p/"));
}
