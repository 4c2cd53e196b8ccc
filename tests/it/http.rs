//! `http {}`: requests over raw sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::common::clients::is_quiet;
use super::common::proc;
use crate::common::*;

/// The text of a configuration with this inside of `http {}`, one worker in the foreground.
pub fn config(http: &str) -> String {
    format!(
        "daemon off;\nworker_processes 1;\nerror_log error.log debug;\npid weir.pid;\nevents {{}}\n\
         http {{\naccess_log access.log;\n{http}\n}}\n"
    )
}

/// A weir that serves this on a port of its own.
pub fn serve(http: impl Fn(&Port) -> String) -> (Weir, Port) {
    serve_in(Prefix::new(), http)
}

pub fn serve_in(prefix: Prefix, http: impl Fn(&Port) -> String) -> (Weir, Port) {
    let port = Port::reserve();
    prefix.write("nginx.conf", config(&http(&port)));
    let weir = Weir::launch(prefix, &[]);
    weir.wait_workers(1);
    (weir, port)
}

/// A server with this inside.
pub fn server(text: &str) -> (Weir, Port) {
    serve(|port| format!("server {{ listen {}; {text} }}", port.v4()))
}

/// An answer taken apart.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Reads one answer; `bodiless` for those to HEAD.
#[track_caller]
pub fn read_reply(stream: &mut impl Read, bodiless: bool) -> Reply {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            // The process was stopped meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => panic!("no head: {other:?} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let field = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    let fields: Vec<(String, String)> = lines.map(|line| field(line).unwrap()).collect();
    let mut reply = Reply { status, fields, body: Vec::new() };
    let length = reply.field("content-length").map_or(0, |length| length.parse().unwrap());
    if !bodiless {
        reply.body = vec![0; length];
        stream.read_exact(&mut reply.body).unwrap();
    }
    reply
}

/// Sends a request over a new connection and reads one answer.
#[track_caller]
pub fn ask_http(port: &Port, request: &str) -> Reply {
    let mut stream = connect(port.v4());
    stream.write_all(request.as_bytes()).unwrap();
    read_reply(&mut stream, request.starts_with("HEAD"))
}

/// GET of a path with `Host: a`.
#[track_caller]
pub fn get(port: &Port, path: &str) -> Reply {
    ask_http(port, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn keep_alive_and_pipelining() {
    let (weir, port) =
        server("location / { return 200 \"$request_uri $connection_requests $pipe\"; } keepalive_requests 4;");
    let mut stream = connect(port.v4());
    for number in 1..=2 {
        stream.write_all(b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let reply = read_reply(&mut stream, false);
        assert_eq!((reply.text(), reply.field("connection")), (format!("/a {number} .").as_str(), Some("keep-alive")));
    }
    stream
        .write_all(
            b"GET /b HTTP/1.1\r\nHost: a\r\n\r\nHEAD /c HTTP/1.1\r\nHost: a\r\n\r\nGET /d HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .unwrap();
    assert_eq!(read_reply(&mut stream, false).text(), "/b 3 .");
    let last = read_reply(&mut stream, true);
    assert_eq!((last.field("content-length"), last.field("connection")), (Some("6"), Some("close")));
    assert_eq!(read_all(stream), b"");
    assert_eq!(weir.wait_access(4).len(), 4);
    let old = "GET / HTTP/1.0\r\n\r\n";
    let mut stream = connect(port.v4());
    stream.write_all(old.as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream, false).field("connection"), Some("close"));
    assert!(is_closed(&stream));
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let (_weir, port) = server("return 200 \"$http_x_y|$args|$arg_b|$cookie_c|$host|$request_method\";");
    let mut stream = connect(port.v4());
    let request = "PATCH /p?a=1&b=2 HTTP/1.1\r\nHost: Name:80\r\nX-Y: one\r\nx-y: two\r\nCookie: a=b; c=d\r\n\r\n";
    for byte in request.bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(read_reply(&mut stream, false).text(), "one, two|a=1&b=2|2|d|name|PATCH");
}

#[test]
fn bodies_are_dropped_whatever_their_framing() {
    let (_weir, port) = server("location / { return 200 $uri; }");
    let mut stream = connect(port.v4());
    stream.write_all(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /").unwrap();
    assert_eq!(read_reply(&mut stream, false).text(), "/1");
    stream.write_all(b"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).text(), "/2");
    for piece in
        [&b"1"[..], b"0\r\n", b"0123456789", b"abcdef\r", b"\n0\r\nT: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        stream.write_all(piece).unwrap();
    }
    assert_eq!(read_reply(&mut stream, false).text(), "/3");
    stream.write_all(b"POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 100);
    assert_eq!(read_reply(&mut stream, false).text(), "/4");
    stream.write_all(b"ab").unwrap();
    let large = vec![b'x'; 900_000];
    stream
        .write_all(format!("POST /5 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", large.len()).as_bytes())
        .unwrap();
    stream.write_all(&large).unwrap();
    assert_eq!(read_reply(&mut stream, false).text(), "/5");
    stream.write_all(b"GET /6 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).text(), "/6");
}

#[test]
fn faulty_requests_are_refused_and_the_connection_ends() {
    let (_weir, port) = server("return 200 ok;");
    let long = "a".repeat(9000);
    for (request, status) in [
        ("GARBAGE\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n".to_owned(), 400),
        ("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n0".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 501),
        ("GET / HTTP/2.0\r\n\r\n".to_owned(), 505),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", format!("X: {}\r\n", &long[..8000]).repeat(5)), 400),
    ] {
        let mut stream = connect(port.v4());
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let reply = read_reply(&mut stream, false);
        let start = &request[..request.len().min(80)];
        assert_eq!((reply.status, reply.field("connection")), (status, Some("close")), "{start:?}");
        assert!(reply.text().contains(&format!("<h1>{status} ")), "{start:?}");
        assert!(is_closed(&stream), "{start:?}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let (weir, port) = server(
        "client_max_body_size 10; location / { return 200 ok; } location /any { client_max_body_size 0; return 200 ok; }",
    );
    let post = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{}",
            "x".repeat(length)
        )
    };
    assert_eq!(ask_http(&port, &post("/", 10)).status, 200);
    assert_eq!(ask_http(&port, &post("/", 11)).status, 413);
    assert_eq!(ask_http(&port, &post("/any", 100_000)).status, 200);
    weir.wait_error("client intended to send too large body: 11 bytes, client: 127.0.0.1, server: , request: \"POST / HTTP/1.1\", host: \"a\"");
}

#[test]
fn a_body_in_chunks_counts_as_it_comes() {
    let (weir, port) = server("client_max_body_size 10; location / { return 200 ok; }");
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (six, end) = ("6\r\nabcdef\r\n", "0\r\n\r\n");
    assert_eq!(ask_http(&port, &format!("{head}{six}4\r\nabcd\r\n{end}")).status, 200);
    assert_eq!(ask_http(&port, &format!("{head}{six}{six}{end}")).status, 413);
    weir.wait_error("client intended to send too large chunked body: 6+6 bytes, client: 127.0.0.1");
    // The size of a chunk is enough.
    assert_eq!(ask_http(&port, &format!("{head}ffff\r\n")).status, 413);
    weir.wait_error("client intended to send too large chunked body: 0+65535 bytes, client: 127.0.0.1");
    // After the answer there is no other, but the connection ends.
    let mut stream = connect(port.v4());
    stream.write_all(format!("{head}{six}").as_bytes()).unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 200);
    stream.write_all(b"5\r\nabcde\r\n").unwrap();
    assert!(is_closed(&stream));
    weir.wait_error("client intended to send too large chunked body: 6+5 bytes, client: 127.0.0.1");
    assert_eq!(weir.prefix.read("access.log").matches("\" 413 ").count(), 2);
}

#[test]
fn a_body_that_does_not_come_ends_the_connection_after_its_answer() {
    let (weir, port) = server("client_body_timeout 100ms; lingering_timeout 10s; location / { return 200 ok; }");
    let mut stream = connect(port.v4());
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab").unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 200);
    assert!(is_closed(&stream));
    weir.wait_error("client timed out (110: Connection timed out) while reading client request body");
    assert_eq!(weir.wait_access(1).len(), 1);
}

#[test]
fn times_of_patience() {
    let (_weir, port) = server(
        "client_header_timeout 200ms; keepalive_timeout 300ms 7s; location / { return 200 ok; }
         location /own { keepalive_timeout 5s; return 200 ok; } location /untold { keepalive_timeout 5s 0; return 200 ok; }",
    );
    let mut slow = connect(port.v4());
    slow.write_all(b"GET / HT").unwrap();
    assert_eq!(read_reply(&mut slow, false).status, 408);
    assert!(is_closed(&slow));
    assert_eq!(read_all(connect(port.v4())), b"", "a client that says nothing gets nothing");
    let mut idle = connect(port.v4());
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut idle, false).field("keep-alive"), Some("timeout=7"));
    assert!(is_closed(&idle));
    assert_eq!(get(&port, "/own").field("keep-alive"), Some("timeout=7"));
    assert_eq!(get(&port, "/untold").field("keep-alive"), None);
}

#[test]
fn line_ends_do_not_keep_a_connection() {
    let (_weir, port) = server("client_header_timeout 200ms; keepalive_timeout 300ms; return 200 ok;");
    for requests in [0, 1] {
        let mut stream = connect(port.v4());
        for _ in 0..requests {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert_eq!(read_reply(&mut stream, false).status, 200);
        }
        wait_for("the connection to end", || stream.write_all(b"\r\n").is_err() || !is_quiet(&stream));
        assert!(is_closed(&stream));
    }
    // The time for a head begins anew behind them.
    let (_weir, port) = server("client_header_timeout 400ms; keepalive_timeout 1h; return 200 ok;");
    let mut stream = connect(port.v4());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 200);
    stream.write_all(b"\r\nGE").unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 408);
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let prefix = Prefix::new();
    prefix.write("html/big", vec![b'x'; 32 << 20]);
    let (weir, port) =
        serve_in(prefix, |port| format!("server {{ listen {}; send_timeout 300ms; root html; }}", port.v4()));
    let mut stream = connect(port.v4());
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    weir.wait_error("client timed out (110: Connection timed out) while sending response to client");
    assert!(read_all_of_broken(stream) < 32 << 20);
}

fn read_all_of_broken(mut stream: TcpStream) -> usize {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes.len()
}

#[test]
fn idle_connections_own_no_buffer() {
    let (weir, port) = server("return 200 ok;");
    let mut streams: Vec<TcpStream> = (0..400).map(|_| connect(port.v4())).collect();
    let mut all = |text: &[u8]| {
        for stream in &mut streams {
            stream.write_all(text).unwrap();
            assert_eq!(read_reply(stream, false).status, 200);
        }
    };
    all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let before = proc::rss_anon(weir.worker());
    for _ in 0..5 {
        all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let grown = proc::rss_anon(weir.worker()).saturating_sub(before);
    assert!(grown < 400 * 1024, "{grown}");
}

#[test]
fn servers_by_name_and_locations_by_path() {
    let (_weir, port) = serve(|port| {
        let listen = port.v4();
        format!(
            "server {{ listen {listen}; server_name a.org *.b.org; return 200 first; }}
             server {{ listen {listen} default_server; server_name c.*; location / {{ return 200 \"second $uri\"; }}
                location = /x {{ return 200 exact; }} location ^~ /y/ {{ return 200 y; location /y/z/ {{ return 200 z; }} }} }}
             server {{ listen {listen}; return 200 nameless; }}"
        )
    });
    let body = |host: &str, path: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        ask_http(&port, &text).text().to_owned()
    };
    for (host, path, text) in [
        ("A.org:80", "/", "first"),
        ("x.b.org", "/", "first"),
        ("b.org", "/q", "second /q"),
        ("c.x", "/x", "exact"),
        ("z", "/x/", "second /x/"),
        ("z", "/y/a", "y"),
        ("z", "/y/%7a/a", "z"),
        ("z", "/y/z/../a", "y"),
    ] {
        assert_eq!(body(host, path), text, "{host}{path}");
    }
    assert_eq!(ask_http(&port, "GET / HTTP/1.0\r\n\r\n").text(), "nameless");
    assert_eq!(ask_http(&port, "GET http://a.org/ HTTP/1.1\r\nHost: z\r\n\r\n").text(), "first");
}

#[test]
fn access_logs_and_formats() {
    let (weir, port) = serve(|port| {
        format!(
            "log_format own escape=json '$request_method \"$http_x\" $status $body_bytes_sent $request_length $remote_user '
                 '$server_name $request_completion $sent_http_content_type';
             server {{ listen {}; server_name me; access_log own.log own if=$http_x; access_log access.log combined buffer=4k flush=10ms; return 200 hello;
                location /off {{ access_log off; return 204; }} }}",
            port.v4()
        )
    });
    let request = "GET /a HTTP/1.1\r\nHost: me\r\nX: \"q\"\r\nAuthorization: Basic dTpw\r\nUser-Agent: agent\r\n\r\n";
    assert_eq!(ask_http(&port, request).text(), "hello");
    let line = &weir.wait_access(1)[0];
    let (start, rest) = line.split_once(" [").unwrap();
    assert_eq!(start, "127.0.0.1 - u");
    assert!(rest.ends_with("] \"GET /a HTTP/1.1\" 200 5 \"-\" \"agent\""), "{line}");
    let own = format!("GET \"\\\"q\\\"\" 200 5 {} u me OK text/plain\n", request.len());
    wait_for("the own log", || weir.prefix.read("own.log") == own);
}

#[test]
fn a_reload_ends_idle_connections_and_finishes_the_others() {
    let (weir, port) = server("return 200 old;");
    let mut idle = connect(port.v4());
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut idle, false).text(), "old");
    let mut busy = connect(port.v4());
    busy.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    let mut posting = connect(port.v4());
    posting.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na").unwrap();
    assert_eq!(read_reply(&mut posting, false).text(), "old");
    assert!(is_quiet(&idle));
    let old = weir.worker();
    weir.prefix.write("nginx.conf", config(&format!("server {{ listen {}; return 200 new; }}", port.v4())));
    weir.signal(Signal::SIGHUP);
    assert!(is_closed(&idle));
    busy.write_all(b"st: a\r\n\r\n").unwrap();
    let reply = read_reply(&mut busy, false);
    assert_eq!((reply.text(), reply.field("connection")), ("old", Some("close")));
    posting.write_all(b"b").unwrap();
    assert!(is_closed(&posting));
    wait_for("the old worker to end", || !proc::alive(old));
    assert_eq!(get(&port, "/").text(), "new");
}

#[test]
fn a_444_closes_without_a_word() {
    let (_weir, port) = server("return 444;");
    let mut stream = connect(port.v4());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(is_closed(&stream));
}

#[test]
fn the_buffers_for_heads_bound_lines_and_their_sum() {
    let (_weir, port) =
        server("client_header_buffer_size 256; large_client_header_buffers 2 1k; location / { return 200 ok; }");
    let with = |target: &str, fields: &[usize]| {
        let fields: String = fields.iter().map(|length| format!("X: {}\r\n", "x".repeat(*length))).collect();
        ask_http(&port, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).status
    };
    assert_eq!(with("/", &[]), 200);
    assert_eq!(with("/", &[900]), 200, "more than the first buffer");
    assert_eq!(with("/", &[900, 900]), 200, "both large ones");
    assert_eq!(with("/", &[900, 900, 900]), 400, "one more");
    assert_eq!(with("/", &[1100]), 400, "a field longer than a buffer");
    let long = |length| format!("/{}", "y".repeat(length));
    assert_eq!(with(&long(900), &[]), 200);
    assert_eq!(with(&long(1100), &[]), 414);
}

#[test]
fn server_tokens_tell_the_version_or_not() {
    let (_weir, port) = server("location /on { return 404; } location /off { server_tokens off; return 404; }");
    let version = concat!("weir/", env!("CARGO_PKG_VERSION"));
    for (path, name) in [("/on", version), ("/off", "weir")] {
        let reply = get(&port, path);
        assert_eq!(reply.field("server"), Some(name));
        assert!(reply.text().contains(&format!("<center>{name}</center>")), "{}", reply.text());
    }
}
