//! Static files, and answers held against those of nginx.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use super::http::{ask_http, get, read_reply, serve_in};
use crate::common::*;

fn files() -> Prefix {
    let prefix = Prefix::new();
    prefix.write("html/index.html", "index");
    prefix.write("html/a.txt", "0123456789");
    prefix.write("html/dir/own.htm", "own");
    prefix.write("html/sp ace/x", "x");
    prefix.write("secret", "secret");
    std::os::unix::fs::symlink(prefix.join("secret"), prefix.join("html/link")).unwrap();
    for name in ["html/index.html", "html/a.txt", "html/dir/own.htm"] {
        let file = std::fs::File::options().write(true).open(prefix.join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_577_836_800)).unwrap();
    }
    prefix
}

#[test]
fn files_directories_and_ways_out() {
    let (weir, port) = serve_in(files(), |port| {
        format!("server {{ listen {}; root html; location /dir/ {{ index no.html own.htm; }} }}", port.v4())
    });
    assert_eq!(get(&port, "/").text(), "index");
    assert_eq!(get(&port, "/dir/").text(), "own");
    assert_eq!(get(&port, "/link").text(), "secret");
    assert_eq!(get(&port, "/sp%20ace/").status, 403);
    assert_eq!(
        get(&port, "/sp%20ace?q").field("location"),
        Some(format!("http://a:{}/sp%20ace/?q", port.number).as_str())
    );
    for path in ["/none", "/a.txt/", "/none/", "/.%2e%2f%2e./secret", "/a/%2e%2e/%2e%2e/secret"] {
        assert!(matches!(get(&port, path).status, 400 | 404), "{path}");
    }
    let wanted = format!(
        "open() \"{}\" failed (2: No such file or directory), client: 127.0.0.1",
        weir.prefix.text_path("html/none")
    );
    weir.wait_error(&wanted);
}

#[test]
fn no_packet_is_held_back_after_a_file() {
    let prefix = Prefix::new();
    prefix.write("html/big", vec![b'x'; 300_000]);
    let (_weir, port) = serve_in(prefix, |port| {
        format!(
            "sendfile on; tcp_nopush on; server {{ listen {}; root html; location /word {{ return 200 word; }} }}",
            port.v4()
        )
    });
    let parts = |last: usize| format!("GET /big HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9,10-{last}\r\n\r\n");
    // The file's part ends with a turn of sending, 256 KiB: nothing but the last boundary is left for the next.
    let mut last = 260_000;
    let mut stream = connect(port.v4());
    stream.write_all(parts(last).as_bytes()).unwrap();
    let reply = read_reply(&mut stream, false);
    let boundary = reply.body.len() - reply.body.iter().rposition(|&byte| byte == b'x').unwrap() - 1;
    let head: usize = 17 + reply.fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
    assert_eq!(
        (reply.status, reply.field("content-type").map(|kind| &kind[..20])),
        (206, Some("multipart/byteranges"))
    );
    last += (256 << 10) - (head + "Partial Content".len() + reply.body.len() - boundary);
    for last in last - 2..last + 3 {
        stream.write_all(parts(last).as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).status, 206);
        // A corked socket waits for 200 ms before it sends a packet that is not full.
        let quickest = (0..5).map(|_| {
            let start = std::time::Instant::now();
            stream.write_all(b"GET /word HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert_eq!(read_reply(&mut stream, false).text(), "word");
            start.elapsed()
        });
        assert!(quickest.min().unwrap() < std::time::Duration::from_millis(150), "{last}");
    }
}

/// Asks for a file so often that the answers fit no socket, before reading one of them.
pub fn ask_late(stream: &mut (impl Read + Write), path: &str, content: &[u8]) {
    let times = 16_000_000 / content.len();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(times).as_bytes()).unwrap();
    for number in 0..times {
        let reply = read_reply(stream, false);
        assert!(reply.status == 200 && reply.body == content, "{path}, {number}");
    }
}

#[test]
fn short_files_for_those_who_read_late() {
    let prefix = Prefix::new();
    // Up to 16 KiB go together with their heads.
    let bytes = super::common::clients::noise((16 << 10) + 1);
    prefix.write("html/short", &bytes[..16 << 10]);
    prefix.write("html/longer", &bytes);
    let (_weir, port) = serve_in(prefix, |port| {
        format!("sendfile on; tcp_nopush on; keepalive_requests 100000; server {{ listen {}; root html; }}", port.v4())
    });
    ask_late(&mut connect(port.v4()), "/short", &bytes[..16 << 10]);
    ask_late(&mut connect(port.v4()), "/longer", &bytes);
}

#[test]
fn large_files_go_by_both_ways() {
    for sendfile in ["on", "off"] {
        let prefix = Prefix::new();
        let bytes = super::common::clients::noise(3 << 20);
        prefix.write("html/big", &bytes);
        let (_weir, port) = serve_in(prefix, |port| {
            format!("sendfile {sendfile}; tcp_nopush on; server {{ listen {}; root html; }}", port.v4())
        });
        assert!(get(&port, "/big").body == bytes, "sendfile {sendfile}");
        let part = ask_http(&port, "GET /big HTTP/1.1\r\nHost: a\r\nRange: bytes=1000000-2000000\r\n\r\n");
        assert_eq!((part.status, part.field("content-range")), (206, Some("bytes 1000000-2000000/3145728")));
        assert!(part.body == bytes[1_000_000..=2_000_000]);
    }
}

#[test]
fn files_that_become_shorter_or_longer_while_they_are_sent() {
    // More than sockets hold.
    const SIZE: u64 = 32 << 20;
    for sendfile in ["on", "off"] {
        let prefix = Prefix::new();
        let file = std::fs::File::create(prefix.write("html/big", "")).unwrap();
        let (weir, port) = serve_in(prefix, |port| {
            format!(
                "sendfile {sendfile}; server {{ listen {}; root html; location /self/ {{ root /proc; }} }}",
                port.v4()
            )
        });
        let body_with = |size: u64| {
            file.set_len(SIZE).unwrap();
            let mut stream = connect(port.v4());
            stream.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
            stream.read_exact(&mut [0]).unwrap();
            file.set_len(size).unwrap();
            let bytes = read_all(&mut stream);
            let head = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
            (bytes.len() - head - 4) as u64
        };
        assert_eq!(body_with(SIZE + 1000), SIZE, "sendfile {sendfile}");
        assert!(body_with(1000) < SIZE, "sendfile {sendfile}");
        weir.wait_error("file was truncated while it was sent");
        // It says that it is empty.
        let reply = get(&port, "/self/status");
        assert_eq!((reply.status, reply.text()), (200, ""));
    }
}

#[test]
fn types_come_from_an_included_file() {
    let prefix = files();
    prefix.write("mime.types", "types {\n    text/html html htm;\n    text/x-own txt;\n}\n");
    let (_weir, port) = serve_in(prefix, |port| {
        format!("include mime.types; default_type x/y; server {{ listen {}; root html; }}", port.v4())
    });
    assert_eq!(get(&port, "/a.txt").field("content-type"), Some("text/x-own"));
    assert_eq!(get(&port, "/dir/own.htm").field("content-type"), Some("text/html"));
    assert_eq!(get(&port, "/link").field("content-type"), Some("x/y"));
}

/// A running nginx; ended when dropped.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// What is served in the comparison; paths of logs are the caller's.
fn compared(listen: &str, root: &str) -> String {
    format!(
        "server {{ listen {listen}; root {root}; default_type text/plain; types {{ text/html html; }}
         location /text {{ return 200 \"$uri|$args|$is_args|$request_uri|$host|$http_x|$scheme|$request_method|$server_protocol\"; }}
         location /empty {{ return 204; }} location /to {{ return 301 /x?y; }} location /away {{ return 302 http://b/c; }}
         location /gone {{ return 410; }} location /odd {{ return 299; }} location /own.html {{ return 404 own; }}
         location /n/ {{ return 303 /z; location = /n/e {{ return 200 e; }} }} }}"
    )
}

#[test]
fn answers_are_those_of_nginx() {
    let prefix = files();
    let (theirs, root) = (Port::reserve(), prefix.text_path("html"));
    prefix.write(
        "their.conf",
        format!(
            "daemon off; master_process off; pid their.pid; error_log their.log; events {{}} http {{ access_log off;
             client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5; {} }}",
            compared(&theirs.v4(), &root)
        ),
    );
    let mut command = Command::new("/usr/sbin/nginx");
    command.args([
        "-p",
        &prefix.text_path("."),
        "-c",
        &prefix.text_path("their.conf"),
        "-e",
        &prefix.text_path("their.log"),
    ]);
    let _nginx = Nginx(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("nginx is installed"));
    wait_for("nginx", || super::common::clients::try_connect(theirs.v4()).is_ok());
    let (_weir, ours) = serve_in(prefix, |port| compared(&port.v4(), &root));

    let plain = [
        "/",
        "/a.txt",
        "/dir",
        "/dir?x",
        "/dir/",
        "/none",
        "/sp%20ace",
        "/sp%20ace/x",
        "/a.txt/",
        "//dir//own.htm",
        "/./a.txt",
        "/dir/../a.txt",
        "/text/%41%2f%2f?a=%41",
        "/text?",
        "/empty",
        "/to",
        "/away",
        "/gone",
        "/odd",
        "/own.html",
        "/n/",
        "/n/e",
        "/n/e/x",
        "/%",
        "/%zz",
        "/..",
        "/a%00",
        "/a.txt#x",
        "http://q:81/text",
    ];
    let mut requests: Vec<String> = Vec::new();
    for path in plain {
        requests.push(format!("GET {path} HTTP/1.1\r\nHost: Example.com:81\r\nX: 1\r\n"));
        requests.push(format!("HEAD {path} HTTP/1.1\r\nHost: example.com\r\n"));
        requests.push(format!("GET {path} HTTP/1.0\r\n"));
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"] {
        requests.extend(["/a.txt", "/text", "/dir/"].map(|path| format!("{method} {path} HTTP/1.1\r\nHost: a\r\n")));
    }
    for fields in [
        "Range: bytes=0-0",
        "Range: bytes=-3",
        "Range: bytes=5-",
        "Range: bytes=9-99",
        "Range: bytes=10-",
        "Range: bytes=x",
        "Range: lines=1",
        "Range: bytes=0-9,0-9",
        "Range: bytes=3-2",
        "Range: bytes=1-2\r\nIf-Range: \"x\"",
        "Range: bytes=1-2\r\nIf-Range: \"5e0be100-a\"",
        "Range: bytes=1-2\r\nIf-Range: Wed, 01 Jan 2020 00:00:00 GMT",
        "If-None-Match: *",
        "If-None-Match: \"x\", W/\"5e0be100-a\"",
        "If-None-Match: \"x\"",
        "If-Match: \"5e0be100-a\"",
        "If-Match: W/\"5e0be100-a\"",
        "If-Match: *",
        "If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT",
        "If-Modified-Since: Thu, 02 Jan 2020 00:00:00 GMT",
        "If-Modified-Since: x",
        "If-Unmodified-Since: Tue, 31 Dec 2019 00:00:00 GMT",
        "If-Unmodified-Since: Wed, 01 Jan 2020 00:00:00 GMT",
        "Host: a",
        "Transfer-Encoding: gzip",
        "Content-Length: x",
        "Connection: x, close",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ] {
        requests.push(format!("GET /a.txt HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    }
    for line in [
        "GET / HTTP/2.0",
        "GET / HTTP/3",
        "GET / HTTP/1.5",
        "get / HTTP/1.1",
        "GET * HTTP/1.1",
        "GET / FTP/1.0",
        "GET / HTTP/x.1",
    ] {
        requests.push(format!("{line}\r\nHost: a\r\n"));
    }
    for request in requests {
        // A server that closes first must not make the difference.
        let closing = format!("{request}Connection: close\r\n\r\n");
        let answer = |port: &Port| {
            let mut stream = connect(port.v4());
            stream.write_all(closing.as_bytes()).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            comparable(&String::from_utf8(read_all(stream)).unwrap(), port)
        };
        assert_eq!(answer(&ours), answer(&theirs), "{closing}");
    }
}

/// An answer without what differs by nature: date, names, and the length of pages that hold them.
fn comparable(answer: &str, port: &Port) -> Vec<String> {
    let named = answer.contains("\r\nContent-Type: text/html") && !answer.starts_with("HTTP/1.1 20");
    let varies = |line: &&str| {
        line.starts_with("Date: ") || line.starts_with("Server: ") || (named && line.starts_with("Content-Length: "))
    };
    answer
        .split("\r\n")
        .filter(|line| !varies(line))
        .map(|line| line.replace(&port.number.to_string(), "PORT").replace("nginx/1.22.1", "weir/0.1.0"))
        .collect()
}
