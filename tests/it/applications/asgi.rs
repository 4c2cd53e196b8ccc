//! An ASGI application in Python, under uvicorn.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use openssl::hash::{MessageDigest, hash};

use super::*;
use crate::common::clients::noise;
use crate::http::read_reply;

/// The application behind a weir, where `/` is buffered, `/direct` and `/kept` are not.
fn site() -> (Script, Site) {
    let application = Script::start("applications/asgi.py", &[]);
    let server = "client_max_body_size 0; proxy_http_version 1.1; proxy_set_header Connection '';
         location / { proxy_pass http://application; }
         location /direct/ { proxy_pass http://application/; proxy_buffering off; proxy_request_buffering off; }";
    let site = Site::start(&format!("upstream application {{ server {}; keepalive 4; }}", application.address), server);
    (application, site)
}

#[test]
fn server_sent_events_come_as_they_are_sent() {
    let (_application, site) = site();
    // Buffering is off by the configuration, or by the application.
    for path in ["/direct/events", "/accel/events"] {
        for (number, url) in site.urls(path).iter().enumerate() {
            let name = format!("?{}{number}", path.replace('/', "-"));
            let mut client = curl(&["-N", &format!("{url}{name}")]).stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
            for number in 1..=5 {
                let event: Vec<String> = lines.by_ref().take(3).map(Result::unwrap).collect();
                assert_eq!(event, [format!("id: {number}"), format!("data: event {number}"), String::new()]);
                // Only now the next one is sent.
                output(&mut curl(&["-X", "POST", &format!("{}{name}", site.urls("/heard")[0])]));
            }
            assert!(lines.next().is_none());
            assert!(client.wait().unwrap().success());
        }
    }
    site.assert_no_errors();
}

#[test]
fn answers_in_many_pieces() {
    let (_application, site) = site();
    let expected: String = (0..3000).map(|number| format!("line {number}\n")).collect();
    for path in ["/stream/3000", "/direct/stream/3000"] {
        for url in site.urls(path) {
            for version in ["--http1.1", "--http1.0"] {
                assert_eq!(output(&mut curl(&[version, &url])), expected, "{version} {url}");
            }
        }
    }
    site.assert_no_errors();
}

#[test]
fn bodies_reach_it_whole() {
    let (_application, site) = site();
    let body = noise(3_000_000);
    site.weir.prefix.write("body", &body);
    let digest: String =
        hash(MessageDigest::sha256(), &body).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let file = format!("@{}", site.weir.prefix.text_path("body"));
    for path in ["/digest", "/direct/digest"] {
        for url in site.urls(path) {
            for field in ["X: y", "Transfer-Encoding: chunked", "Expect: 100-continue"] {
                let answer = output(&mut curl(&["-H", field, "--data-binary", &file, &url]));
                assert_eq!(answer, format!("3000000 {digest}\n"), "{field} {url}");
            }
        }
    }
    // And come back while the rest of them is still on its way.
    for path in ["/duplex", "/direct/duplex"] {
        for url in site.urls(path) {
            let answer = curl(&["-H", "Expect:", "--data-binary", &file, &url]).output().unwrap();
            assert!(answer.stdout == body, "{} bytes of {url}", answer.stdout.len());
        }
    }
    site.assert_no_errors();
}

#[test]
fn pieces_are_answered_while_the_body_is_still_being_sent() {
    let (_application, site) = site();
    let mut stream = connect(site.plain.v4());
    stream.write_all(b"POST /direct/duplex HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for number in 0..20 {
        let piece = format!("piece {number}");
        stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).unwrap();
        if number == 0 {
            assert_eq!(read_reply(&mut reader, true).status, 200);
        }
        let mut size = String::new();
        reader.read_line(&mut size).unwrap();
        let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
        reader.read_exact(&mut chunk).unwrap();
        assert_eq!(String::from_utf8(chunk).unwrap(), format!("{piece}\r\n"));
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut end = [0; 5];
    reader.read_exact(&mut end).unwrap();
    assert_eq!(&end, b"0\r\n\r\n");
    site.assert_no_errors();
}

#[test]
fn an_answer_that_is_there_before_the_body() {
    let (_application, site) = site();
    let mut stream = connect(site.plain.v4());
    stream.write_all(b"POST /direct/early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome").unwrap();
    let reply = read_reply(&mut stream, false);
    assert_eq!((reply.status, reply.text()), (403, "no\n"));
}
