//! `limit_rate`, `proxy_limit_rate` and what sets them: that nothing goes sooner than they allow, and that all of it comes.

use std::time::{Duration, Instant};

use super::*;
use crate::common::clients::noise;

const SIZE: usize = 60_000;
/// Of 60,000 bytes at 40,000 a second, the first second's worth goes at once.
const LEAST: Duration = Duration::from_millis(500);

fn server(fields: &str) -> (Backend, Vec<u8>) {
    let body = noise(SIZE);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n{fields}\r\n");
    (answers_once([head.as_bytes(), &body].concat()).0, body)
}

/// How long the answer to a request took to come, whose body must be this.
#[track_caller]
fn took(port: &Port, path: &str, body: &[u8]) -> Duration {
    let began = Instant::now();
    let reply = get(port, path);
    assert!(reply.status == 200 && reply.body == body, "{path}: {}", reply.status);
    began.elapsed()
}

#[test]
fn files_and_answers_of_servers_go_at_their_rate() {
    let (backend, body) = server("");
    let prefix = Prefix::new();
    prefix.write("html/file", &body);
    let (weir, port) = crate::http::serve_in(prefix, |port| {
        format!(
            "server {{ listen {}; send_timeout 200ms; limit_rate $arg_r; limit_rate_after $arg_a;
               location /sendfile {{ alias html/file; sendfile on; }}
               location /file {{ alias html/file; }}
               location /set {{ alias html/file; set $limit_rate $arg_s; }}
               location /if {{ alias html/file; if ($arg_x) {{ limit_rate 40000; }} }}
               location /proxy {{ proxy_pass http://{backend}; }}
               location /raw {{ proxy_pass http://{backend}; proxy_buffering off; }} }}",
            port.v4(),
            backend = backend.address
        )
    });
    for path in ["/file?r=40000", "/sendfile?r=40000", "/proxy?r=40000", "/raw?r=40000", "/set?s=40000", "/if?x=1&r=1"]
    {
        let took = took(&port, path, &body);
        assert!(took >= LEAST, "{path}: {took:?}");
    }
    for path in ["/file", "/file?r=x", "/proxy?r=0", "/file?r=40000&a=1m", "/set?s=0&r=1"] {
        took(&port, path, &body);
    }
    took(&port, "/set?s=nothing", &body);
    weir.wait_error("invalid $limit_rate \"nothing\"");
}

#[test]
fn several_at_once_over_kept_connections() {
    let body = noise(SIZE);
    let prefix = Prefix::new();
    prefix.write("html/file", &body);
    let (_weir, port) = crate::http::serve_in(prefix, |port| {
        format!(
            "server {{ listen {}; limit_rate 40000; location /word {{ limit_rate 0; return 200 word; }} }}",
            port.v4()
        )
    });
    let began = Instant::now();
    let mut streams: Vec<_> = (0..3).map(|_| connect(port.v4())).collect();
    for stream in &mut streams {
        stream.write_all(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\nGET /word HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    for stream in &mut streams {
        assert!(read_reply(stream, false).body == body);
        assert!(began.elapsed() >= LEAST);
        assert_eq!(read_reply(stream, false).text(), "word");
    }
}

#[test]
fn a_server_says_the_rate_of_its_answer() {
    let (backend, body) = server("X-Accel-Limit-Rate: 40000\r\n");
    let (_weir, port) = proxied(
        "",
        &format!(
            "location / {{ proxy_pass http://{0}; }} location /i/ {{ proxy_pass http://{0}; proxy_ignore_headers X-Accel-Limit-Rate; limit_rate 1m; }}",
            backend.address
        ),
    );
    assert!(took(&port, "/", &body) >= LEAST);
    took(&port, "/i/", &body);
    let (backend, body) = server("X-Accel-Limit-Rate: off\r\n");
    let (_weir, port) = proxied("", &format!("location / {{ proxy_pass http://{}; limit_rate 1; }}", backend.address));
    took(&port, "/", &body);
}

#[test]
fn a_server_is_read_from_at_a_rate() {
    let (backend, body) = server("");
    let (weir, port) = proxied(
        "",
        &format!(
            "proxy_read_timeout 200ms; location / {{ proxy_pass http://{}; proxy_limit_rate 40000; }}",
            backend.address
        ),
    );
    assert!(took(&port, "/", &body) >= LEAST);
    assert_eq!(weir.wait_access(1)[0], format!("200 [{}] [200] {SIZE} /", backend.address));
}

#[test]
fn bad_values_are_refused() {
    for name in ["limit_rate", "limit_rate_after", "proxy_limit_rate"] {
        refuses(&format!("{name} x;"), &format!("\"{name}\" directive invalid value"));
    }
    refuses("limit_rate $nope;", "unknown \"nope\" variable");
}
