//! `protocol tcp_websocket`: requests that find their way, and requests that are refused.

mod configuration;
mod heads;
pub mod real;
mod secure;

use std::io::{Read, Write};
use std::net::TcpStream;

use super::tls::certs::Identity;
use crate::common::*;

/// A request for a websocket.
pub fn request(target: &str, host: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
}

/// A backend that says its name, in one byte, and echoes.
fn backend(name: &'static str) -> Backend {
    assert_eq!(name.len(), 1);
    Backend::start(backends::greeting(name))
}

/// Sends `bytes`; the name of the backend that they have reached, unchanged.
#[track_caller]
fn reached(mut stream: impl Read + Write, bytes: &[u8]) -> String {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; 1 + bytes.len()];
    if let Err(error) = stream.read_exact(&mut answer) {
        panic!("no answer to {:?}: {error}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(answer[1..], *bytes);
    char::from(answer[0]).to_string()
}

/// [`reached`] over a new connection, for a request.
#[track_caller]
fn goes_to(port: &Port, target: &str, host: &str) -> String {
    reached(connect(port.v4()), request(target, host).as_bytes())
}

/// A websocket server with more said inside of it.
fn server(port: &Port, more: &str) -> String {
    format!("server {{ listen {}; protocol tcp_websocket; {more} }}\n", port.v4())
}

/// Text that tells of each session how it ended.
const FORMAT: &str = "log_format f '$status $bytes_received $upstream_addr'; access_log formatted.log f;\n";

/// The lines written by [`FORMAT`], once there are so many.
#[track_caller]
fn ended(weir: &Weir, count: usize) -> Vec<String> {
    wait_some("the access log", || {
        let lines = weir.prefix.lines("formatted.log");
        (lines.len() == count && weir.prefix.read("formatted.log").ends_with('\n')).then_some(lines)
    })
}

/// Whether weir closes without a word after `bytes`.
fn refuses(port: &Port, bytes: &[u8]) -> bool {
    let mut stream: TcpStream = connect(port.v4());
    // It may close before it has taken all.
    let _ = stream.write_all(bytes);
    is_closed(stream)
}
