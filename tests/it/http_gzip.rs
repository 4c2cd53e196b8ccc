//! `gzip`: who gets what compressed, and that it is what was to be sent; the configuration that Debian's nginx comes with.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use super::http::{Reply, read_reply, serve_in};
use super::http_config::message;
use super::proxy::{answers, read_chunked};
use crate::common::*;

/// What is packed in `bytes`, by a program that is not ours.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).unwrap());
        let mut output = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
        output
    });
    assert!(child.wait().unwrap().success());
    output
}

/// A GET with these fields; the body without its chunks.
#[track_caller]
fn ask(port: &Port, path: &str, fields: &str) -> Reply {
    let mut stream = connect(port.v4());
    let fields = fields.replace('|', "\r\n");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").unwrap();
    let mut reply = read_reply(&mut stream, false);
    if reply.field("transfer-encoding").is_some() {
        reply.body = read_chunked(&mut stream);
    }
    reply
}

const WANTED: &str = "Accept-Encoding: gzip";

/// A text that can be packed, and not all of it the same.
fn long_text(lines: usize) -> String {
    (0..lines).map(|line| format!("line {line} of a text, {}\n", line * 7919 % 1000)).collect()
}

#[test]
fn files_are_compressed_for_those_who_want_it() {
    let prefix = Prefix::new();
    let text = long_text(20_000);
    for name in ["f.html", "f.css", "f.bin", "404.html"] {
        prefix.write(&format!("html/{name}"), &text);
    }
    prefix.write("html/short.html", "short");
    let (weir, port) = serve_in(prefix, |port| {
        format!(
            "types {{ text/html html; text/css css; }} default_type application/octet-stream; gzip on; gzip_types text/css;
             gzip_vary on; log_format l '$request_uri $gzip_ratio $body_bytes_sent';
             server {{ listen {}; access_log access.log l; sendfile on; error_page 404 /404.html;
               location /any/ {{ alias html/; gzip_types *; gzip_comp_level 9; gzip_min_length 1; }}
               location /off/ {{ alias html/; gzip off; }} location /said {{ default_type text/html; return 200 \"{}\"; }}
               location /old/ {{ alias html/; gzip_http_version 1.0; }} }}",
            port.v4(),
            "said ".repeat(100)
        )
    });
    for path in ["/f.html", "/f.css", "/any/f.bin", "/old/f.html"] {
        let reply = ask(&port, path, WANTED);
        assert_eq!((reply.status, reply.field("content-encoding")), (200, Some("gzip")), "{path}");
        assert_eq!((reply.field("vary"), reply.field("accept-ranges")), (Some("Accept-Encoding"), None));
        assert!(reply.field("etag").unwrap().starts_with("W/\""), "{reply:?}");
        assert!(reply.body.len() < text.len() / 2);
        assert_eq!(unpacked(&reply.body), text.as_bytes(), "{path}");
    }
    let line = &weir.wait_access(1)[0];
    let ratio: f64 = line.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(line.starts_with("/f.html ") && ratio > 2.0, "{line}");
    for (path, fields, vary) in [
        ("/f.html", "X: y", Some("Accept-Encoding")),
        ("/f.html", "Accept-Encoding: gzip;q=0", Some("Accept-Encoding")),
        ("/f.bin", WANTED, None),
        ("/short.html", WANTED, None),
        ("/off/f.html", WANTED, None),
    ] {
        let reply = ask(&port, path, fields);
        assert_eq!((reply.status, reply.field("content-encoding"), reply.field("vary")), (200, None, vary), "{path}");
        assert!(reply.field("etag").unwrap().starts_with('"'));
    }
    assert_eq!(unpacked(&ask(&port, "/said", WANTED).body), "said ".repeat(100).as_bytes());
    let reply = ask(&port, "/none", WANTED);
    assert_eq!((reply.status, reply.field("content-encoding")), (404, Some("gzip")));
    assert_eq!(unpacked(&reply.body), text.as_bytes());
    // Parts of what is compressed cannot be asked for.
    let reply = ask(&port, "/f.html", "Accept-Encoding: gzip|Range: bytes=0-9");
    assert_eq!((reply.status, unpacked(&reply.body)), (200, text.clone().into_bytes()));
    assert_eq!(ask(&port, "/f.html", "Range: bytes=0-9").body, &text.as_bytes()[..10]);
    let part = ask(&port, "/f.html", "Range: bytes=0-9");
    assert_eq!((part.status, part.field("vary")), (206, Some("Accept-Encoding")));
    // HEAD tells what GET would, but for chunks, and keeps the connection.
    let mut stream = connect(port.v4());
    for fields in [WANTED, "Accept-Encoding: gzip\r\nRange: bytes=0-9"] {
        write!(stream, "HEAD /f.html HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").unwrap();
        let reply = read_reply(&mut stream, true);
        assert_eq!((reply.status, reply.field("content-encoding")), (200, Some("gzip")), "{reply:?}");
        assert_eq!((reply.field("content-length"), reply.field("transfer-encoding")), (None, None));
        assert_eq!((reply.field("vary"), reply.field("accept-ranges")), (Some("Accept-Encoding"), None));
        assert!(reply.field("etag").unwrap().starts_with("W/\""), "{reply:?}");
    }
    // Clients of HTTP/1.0 know the end by that of the connection.
    let mut stream = connect(port.v4());
    write!(stream, "GET /old/f.html HTTP/1.0\r\nConnection: keep-alive\r\n{WANTED}\r\n\r\n").unwrap();
    let reply = read_reply(&mut stream, true);
    assert_eq!((reply.field("content-length"), reply.field("connection")), (None, Some("close")));
    assert_eq!(unpacked(&read_all(stream)), text.as_bytes());
}

#[test]
fn answers_of_servers_are_compressed() {
    let text = long_text(30_000);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nETag: \"x\"\r\n";
    let (plain, _) = answers(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len()));
    let (packed, _) = answers(format!("{head}Content-Encoding: br\r\nContent-Length: 4\r\n\r\nabcd"));
    let (stale, _) = answers(format!(
        "{head}Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\nContent-Length: 100\r\n\r\n{}",
        "s".repeat(100)
    ));
    // The rest comes when the client has had the first of it.
    let (told, tell) = std::sync::mpsc::channel::<()>();
    let tell = std::sync::Mutex::new(tell);
    let slow = Backend::start(move |mut stream| {
        let _ = super::proxy::read_request(&mut stream);
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        );
        let _ = tell.lock().unwrap().recv();
        let _ = stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n");
    });
    let (_weir, port) = serve_in(Prefix::new(), |port| {
        format!(
            "gzip on; server {{ listen {}; location /plain {{ proxy_pass http://{1}; }} location /packed {{ proxy_pass http://{2}; }}
             location /small {{ proxy_pass http://{1}; proxy_buffers 3 4k; }} location /stale {{ gzip_proxied expired; proxy_pass http://{3}; }}
             location /any {{ gzip_proxied any; proxy_pass http://{1}; }} location /slow {{ proxy_buffering off; proxy_pass http://{4}; }}
             location /trailer {{ add_trailer X-T $status; proxy_pass http://{3}; }} }}",
            port.v4(),
            plain.address,
            packed.address,
            stale.address,
            slow.address
        )
    });
    for path in ["/plain", "/small", "/any"] {
        let reply = ask(&port, path, WANTED);
        assert_eq!((reply.field("content-encoding"), reply.field("etag")), (Some("gzip"), Some("W/\"x\"")), "{path}");
        assert_eq!(unpacked(&reply.body), text.as_bytes(), "{path}");
    }
    let encoding = |path: &str, fields: &str| ask(&port, path, fields).field("content-encoding").map(str::to_owned);
    assert_eq!(encoding("/packed", WANTED), Some("br".into()));
    assert_eq!(encoding("/plain", "Accept-Encoding: gzip|Via: 1.1 x"), None);
    assert_eq!(encoding("/any", "Accept-Encoding: gzip|Via: 1.1 x"), Some("gzip".into()));
    assert_eq!(encoding("/stale", "Accept-Encoding: gzip|Via: 1.1 x"), Some("gzip".into()));
    // Unbuffered, what has come is sent, not held back until more of it can be packed better.
    let mut stream = connect(port.v4());
    write!(stream, "GET /slow HTTP/1.1\r\nHost: a\r\n{WANTED}\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).field("content-encoding"), Some("gzip"));
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
    let mut first = vec![0; size + 2];
    stream.read_exact(&mut first).unwrap();
    told.send(()).unwrap();
    first.truncate(size);
    first.extend(read_chunked(&mut stream));
    assert_eq!(unpacked(&first), b"firstsecond");
    let mut stream = connect(port.v4());
    write!(stream, "GET /trailer HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{WANTED}\r\n\r\n").unwrap();
    assert!(read_all(stream).ends_with(b"\r\n0\r\nX-T: 200\r\n\r\n"));
}

#[test]
fn what_is_wrong_with_them_is_told() {
    for (text, wanted, fine) in [
        ("gzip_comp_level 10;", "value must be between 1 and 9", false),
        ("gzip_proxied foo;", "invalid value \"foo\"", false),
        ("gzip_http_version 2.0;", "invalid value \"2.0\"", false),
        ("gzip_min_length x;", "\"gzip_min_length\" directive invalid value", false),
        ("gzip_buffers 0 4k;", "\"gzip_buffers\" directive invalid value", false),
        ("gzip_types text/plain text/plain;", "duplicate MIME type \"text/plain\"", true),
    ] {
        assert_eq!(message(text), (wanted.to_owned(), fine), "{text}");
    }
    assert!(message("gzip_disable (;").0.contains("missing closing parenthesis"));
}

/// The files of the package as they are, but for where they lead to that only root and one server may use.
#[test]
fn debians_own_configuration_runs() {
    let debian = |name: &str| std::fs::read_to_string(format!("/etc/nginx/{name}")).unwrap();
    let prefix = Prefix::new();
    let (port, other) = (Port::reserve(), Port::reserve());
    let path = |name: &str| prefix.text_path(name);
    let main = debian("nginx.conf")
        .replace("/run/nginx.pid", &path("weir.pid"))
        .replace("/var/log/nginx/", &format!("{}/", path("logs")))
        .replace("/etc/nginx/", &format!("{}/", path("")).replace("//", "/"))
        .replace("user www-data;", "");
    prefix.write("nginx.conf", main);
    prefix.write("mime.types", debian("mime.types"));
    let site = debian("sites-enabled/default")
        .replace("listen 80 default_server", &format!("listen {} default_server", port.v4()))
        .replace("listen [::]:80 default_server", &format!("listen [::]:{} default_server", other.number))
        .replace("/var/www/html", &path("html"));
    prefix.write("sites-enabled/default", site);
    let text = long_text(1000);
    prefix.write("html/index.html", &text);
    let mut weir = Weir { child: Some(prefix.command(&["-g", "daemon off;"]).spawn().unwrap()), prefix };
    wait_for("weir", || clients::try_connect(port.v4()).is_ok());
    let reply = ask(&port, "/", WANTED);
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("text/html")));
    assert_eq!(unpacked(&reply.body), text.as_bytes());
    assert_eq!(ask(&port, "/none", "X: y").status, 404);
    wait_for("its log", || weir.prefix.lines("logs/access.log").len() == 2);
    assert!(weir.prefix.read("stderr").is_empty(), "{}", weir.prefix.read("stderr"));
    assert!(weir.child.as_mut().unwrap().try_wait().unwrap().is_none());
}
