//! Clients that send a byte now and then.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::Plan;
use crate::common::*;
use crate::tls::certs::Identity;

/// Sends bytes without end, ten a second at most, until the other side closes; how long that took. What comes is not read.
fn dribble(port: &Port, bytes: &[u8]) -> Duration {
    let mut stream = connect(port.v4());
    let start = Instant::now();
    for byte in bytes.iter().chain(std::iter::repeat(&b'x')) {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        assert!(start.elapsed() < wait::PATIENCE, "not cut at all");
        thread::sleep(Duration::from_millis(100));
    }
    start.elapsed()
}

/// A timeout of so long is to have run out, and not much more. (The reset is found by the second byte after it.)
const TIMEOUT: Duration = Duration::from_millis(600);

#[track_caller]
fn assert_cut(took: Duration) {
    assert!(took >= TIMEOUT - Duration::from_millis(20) && took < wait::PATIENCE / 2, "cut after {took:?}");
}

#[test]
fn in_a_session_keep_it() {
    // Each byte in its time, for a period of several timeouts.
    let echo = Backend::start(backends::echo);
    let server = "timeout 2s; proxy_read_timeout 2s; proxy_send_timeout 2s;";
    let bench = Plan::new(&format!("server {};", echo.address), server).start();
    let mut stream = bench.client();
    for i in 0..5 {
        assert_eq!(ask(&mut stream, &[i]), [i]);
        thread::sleep(Duration::from_millis(700));
    }
    bench.wait_busy(&[1]);
    drop(stream);
    assert_eq!(bench.told(1), [format!("200 5 5 {}", echo.address)]);
    bench.settle();
}

#[test]
fn of_a_proxy_header_are_cut() {
    let (port, echo) = (Port::reserve(), Backend::start(backends::echo));
    let listen = port.v4();
    let server = format!(
        "server {{ listen {listen} proxy_protocol; proxy_protocol_timeout 600ms; proxy_pass {}; }}",
        echo.address
    );
    let weir = Setup::tcp(server).start();
    // Longer than its timeout and shorter than a header may be.
    assert_cut(dribble(&port, &[b"PROXY TCP6 ", &b"f".repeat(90)[..]].concat()));
    weir.wait_error("client timed out (110: Connection timed out) while reading PROXY protocol");
    weir.wait_access(1);
    assert_eq!(echo.accepted(), 0);
}

#[test]
fn of_a_tls_hello_are_cut() {
    let (port, echo) = (Port::reserve(), Backend::start(backends::echo));
    let prefix = Prefix::new();
    Identity::alone().write(&prefix, "server");
    let server = format!(
        "server {{ listen {} ssl; ssl_certificate server.pem; ssl_certificate_key server.key; timeout 600ms; proxy_pass {}; }}",
        port.v4(),
        echo.address
    );
    let weir = Setup::tcp(server).start_in(prefix);
    // A record of 512 bytes with a hello of 508, of which the version has come when time runs out.
    assert_cut(dribble(&port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"));
    weir.wait_error("client timed out (110: Connection timed out) while SSL handshaking");
    weir.wait_access(1);
    assert_eq!(echo.accepted(), 0);
}

#[test]
fn of_a_request_are_cut() {
    let port = Port::reserve();
    let http = format!(
        "http {{ access_log off; client_header_timeout 600ms; server {{ listen {}; return 200 ok; }} }}",
        port.v4()
    );
    let weir = Setup::tcp("").main(http).start();
    assert_cut(dribble(&port, b"GET / HTTP/1.1\r\nHost: a\r\nX: "));
    weir.wait_error("client timed out (110: Connection timed out) while reading client request line");
}
