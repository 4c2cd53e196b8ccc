//! `return` in a server.

use std::io::{Read, Write};

use super::common::clients::fetch;
use crate::common::*;

fn returns(text: &str) -> (Weir, Port) {
    let port = Port::reserve();
    (Setup::tcp(format!("server {{ listen {}; return \"{text}\"; }}", port.v4())).start(), port)
}

#[test]
fn variables() {
    let (weir, port) = returns(
        "$remote_addr|$remote_port|$server_addr|$server_port|$connection|$pid|$hostname|$time_local|$time_iso8601|$msec",
    );
    let stream = connect(port.v4());
    let local = stream.local_addr().unwrap();
    let text = String::from_utf8(read_all(stream)).unwrap();
    let words: Vec<&str> = text.split('|').collect();
    assert_eq!(words[0], "127.0.0.1");
    assert_eq!(words[1], local.port().to_string());
    assert_eq!(words[2], "127.0.0.1");
    assert_eq!(words[3], port.number.to_string());
    words[4].parse::<u64>().unwrap();
    assert_eq!(words[5], weir.worker().to_string());
    assert_eq!(words[6], nix::unistd::gethostname().unwrap().to_str().unwrap().to_lowercase());
    let now = chrono::Local::now();
    let local = chrono::DateTime::parse_from_str(words[7], "%d/%b/%Y:%H:%M:%S %z").unwrap();
    let iso = chrono::DateTime::parse_from_rfc3339(words[8]).unwrap();
    assert_eq!(local, iso);
    assert!((now.fixed_offset() - iso).num_seconds().abs() < 60, "{text}");
    let (seconds, milliseconds) = words[9].split_once('.').unwrap();
    assert!((seconds.parse::<i64>().unwrap() - now.timestamp()).abs() < 60, "{text}");
    assert_eq!(milliseconds.len(), 3);
    assert_eq!(words.len(), 10);
}

#[test]
fn ipv6_addresses_stand_without_brackets() {
    if !ports::has_ipv6() {
        return;
    }
    let port = Port::reserve();
    let _weir = Setup::tcp(format!("server {{ listen {}; return \"$remote_addr $server_addr\"; }}", port.v6())).start();
    assert_eq!(fetch(port.v6()), "::1 ::1");
}

#[test]
fn the_address_behind_a_wildcard_is_the_real_one() {
    let port = Port::reserve();
    let tcp = format!("server {{ listen {}; return \"$server_addr $server_port\"; }}", port.number);
    let _weir = Setup::tcp(tcp).start();
    assert_eq!(fetch(port.on("127.0.0.9")), format!("127.0.0.9 {}", port.number));
}

#[test]
fn connection_numbers_grow() {
    let (_weir, port) = returns("$connection");
    let numbers: Vec<u64> = (0..5).map(|_| fetch(port.v4()).parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

#[test]
fn braces_and_neighbours() {
    let (_weir, port) = returns("a${remote_addr}b$remote_addr-c");
    assert_eq!(fetch(port.v4()), "a127.0.0.1b127.0.0.1-c");
}

#[test]
fn a_long_text_reaches_a_slow_client() {
    // nginx takes words of up to 4096 bytes.
    let text = "0123456789abcdef".repeat(250);
    let (_weir, port) = returns(&text);
    let mut stream = connect(port.v4());
    let mut got = Vec::new();
    let mut piece = [0; 500];
    loop {
        let count = stream.read(&mut piece).unwrap();
        if count == 0 {
            break;
        }
        got.extend_from_slice(&piece[..count]);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(got == text.as_bytes());
}

#[test]
fn what_the_client_sends_does_not_spoil_the_answer() {
    // A close with unread bytes is a reset, which may overtake the text.
    let (_weir, port) = returns("GET off");
    for _ in 0..50 {
        let mut stream = connect(port.v4());
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(read_all(stream), b"GET off");
    }
}

#[test]
fn it_counts_in_the_access_log() {
    let (weir, port) = returns("twelve bytes");
    assert_eq!(fetch(port.v4()), "twelve bytes");
    let line = weir.wait_access(1).remove(0);
    assert!(line.ends_with(" - 0 12"), "{line}");
}

#[test]
fn it_goes_before_an_inherited_proxy_pass() {
    let port = Port::reserve();
    let backend = Backend::start(backends::named("proxied"));
    let tcp = format!("proxy_pass {}; server {{ listen {}; return text; }}", backend.address, port.v4());
    let _weir = Setup::tcp(tcp).start();
    assert_eq!(fetch(port.v4()), "text");
}
