//! Bytes through TLS: all of them, in order, with bounded memory, and ends that are seen as ends.

use std::io::{ErrorKind, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use openssl::ssl::{ShutdownResult, SslVersion};

use super::super::common::clients::noise;
use super::super::common::proc;
use super::super::common::wait::PATIENCE;
use super::*;

const MIB: usize = 1 << 20;

#[test]
fn ten_mebibytes_each_way_at_once() {
    let backend = Backend::start(backends::echo);
    let bytes = noise(10 * MIB);
    for version in ["-tls1_2", "-tls1_3"] {
        let port = Port::reserve();
        let weir = proxy(&port, &backend, "").start_in(folder());
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", version, "-connect", &port.v4()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut answer = vec![0; bytes.len()];
        thread::scope(|scope| {
            scope.spawn(|| to.write_all(&bytes).unwrap());
            from.read_exact(&mut answer).unwrap();
        });
        assert!(answer == bytes, "{version}");
        child.kill().unwrap();
        child.wait().unwrap();
        let line = weir.wait_access(1).remove(0);
        assert!(line.ends_with(&format!(" {} {}", 10 * MIB, 10 * MIB)), "{line}");
        if proc::shows_descriptors() {
            assert_eq!(proc::pipes(weir.worker()), 0, "what comes from the kernel has to be encrypted");
        }
    }
}

#[test]
fn every_buffer_size() {
    let backend = Backend::start(backends::echo);
    let bytes = noise(300_000);
    for size in ["1", "100", "4k", "64k", "2m"] {
        let port = Port::reserve();
        let _weir = proxy(&port, &backend, &format!("proxy_buffer {size};")).start_in(folder());
        let mut stream = client(&port, |_| {});
        let length = if size == "1" { 5_000 } else { bytes.len() };
        for piece in bytes[..length].chunks(20_011) {
            assert!(ask(&mut stream, piece) == piece, "{size}");
        }
    }
}

#[test]
fn many_small_questions() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let _weir = proxy(&port, &backend, "").start_in(folder());
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut stream = client(&port, only(version));
        for i in 0..1000u32 {
            assert_eq!(ask(&mut stream, &i.to_be_bytes()), i.to_be_bytes());
        }
    }
}

#[test]
fn both_ends_are_announced() {
    // A read of the openssl crate gives the end only when close_notify has come.
    let bytes = noise(3 * MIB);
    let (sender, received) = mpsc::channel();
    let source = Backend::start(backends::source(bytes.clone()));
    let recorder = Backend::start(backends::recorder(sender));
    let (down, up) = (Port::reserve(), Port::reserve());
    let weir = Setup::tcp(format!(
        "{OURS} ssl on; server {{ listen {}; proxy_pass {}; }} server {{ listen {}; proxy_pass {}; }}",
        down.v4(),
        source.address,
        up.v4(),
        recorder.address
    ))
    .level("info")
    .start_in(folder());
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        assert!(read_all(client(&down, only(version))) == bytes);
        let mut stream = client(&up, only(version));
        stream.write_all(&bytes).unwrap();
        assert_eq!(stream.shutdown().unwrap(), ShutdownResult::Sent);
        assert!(received.recv_timeout(PATIENCE).unwrap() == bytes);
        assert_eq!(stream.shutdown().unwrap(), ShutdownResult::Received);
    }
    weir.wait_access(4);
    assert!(!weir.error_log().contains("SSL_"), "{}", weir.error_log());
}

#[test]
fn an_end_that_is_none_is_not_announced() {
    // Half of what it has to say, and a reset.
    let backend = Backend::start(|mut stream| {
        stream.write_all(&[7; 1000]).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        backends::reset(stream);
    });
    let port = Port::reserve();
    let weir = proxy(&port, &backend, "").start_in(folder());
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut stream = client(&port, only(version));
        stream.read_exact(&mut [0; 1000]).unwrap();
        stream.write_all(b"x").unwrap();
        let error = stream.ssl_read(&mut [0]).unwrap_err();
        assert_ne!(error.code(), openssl::ssl::ErrorCode::ZERO_RETURN, "{error:?}");
    }
    weir.wait_error("recv() failed (104: Connection reset by peer) while ");
}

#[test]
fn an_end_that_is_not_announced_is_logged_and_ends_the_session() {
    let (sender, received) = mpsc::channel();
    let backend = Backend::start(backends::recorder(sender));
    let port = Port::reserve();
    let weir = proxy(&port, &backend, "").start_in(folder());
    // Of TLS 1.3 the client would have tickets left to read, and the kernel would reset the connection.
    let mut stream = client(&port, only(SslVersion::TLS1_2));
    stream.write_all(b"last words").unwrap();
    // Dropping the crate's stream closes the socket without a word.
    drop(stream);
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), b"last words");
    let line = weir.wait_error("SSL_read() failed (SSL: unexpected eof while reading) while ");
    assert!(line.contains("[info]"), "{line}");
    weir.wait_access(1);
}

#[test]
fn a_hello_with_everything_behind_it_and_an_end() {
    // All that a client has to say may be there before its session has a server.
    let (sender, received) = mpsc::channel();
    let backend = Backend::start(backends::recorder(sender));
    let port = Port::reserve();
    let _weir = proxy(&port, &backend, "").start_in(folder());
    for i in 0..50 {
        let mut stream = client(&port, |_| {});
        stream.write_all(&[i; 100]).unwrap();
        stream.shutdown().unwrap();
        stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(received.recv_timeout(PATIENCE).unwrap(), [i; 100]);
    }
}

#[test]
fn a_slow_reader_costs_little_memory_and_loses_nothing() {
    let bytes = noise(30 * MIB);
    let backend = Backend::start(backends::source(bytes.clone()));
    let port = Port::reserve();
    let weir = proxy(&port, &backend, "").start_in(folder());
    let mut slow: Vec<_> = (0..8).map(|_| client(&port, |_| {})).collect();
    let mut first = [0; 1000];
    for stream in &mut slow {
        stream.read_exact(&mut first).unwrap();
    }
    let before = proc::rss_anon(weir.worker());
    wait_for("all to stand still", || {
        let sent = || proc::rss_anon(weir.worker());
        let now = sent();
        thread::sleep(Duration::from_millis(100));
        now == sent()
    });
    assert!(proc::rss_anon(weir.worker()) < before + 2 * MIB as u64);
    for (i, mut stream) in slow.drain(..2).enumerate() {
        let rest = read_all(&mut stream);
        assert!(rest == bytes[1000..], "{i}: {} bytes", rest.len());
    }
}

#[test]
fn idle_sessions_keep_no_buffers() {
    const SESSIONS: usize = 200;
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let weir = proxy(&port, &backend, "timeout 1h; proxy_read_timeout 1h;").start_in(folder());
    let ask_one = |stream: &mut SslStream<TcpStream>| assert_eq!(ask(stream, b"x"), b"x");
    let context = tls_clients::context(|_| {});
    let client = || dial(&context, &port).expect("a handshake");
    ask_one(&mut client());
    let before = proc::rss_anon(weir.worker());
    let mut streams: Vec<_> = (0..SESSIONS).map(|_| client()).collect();
    streams.iter_mut().for_each(ask_one);
    let each = (proc::rss_anon(weir.worker()) - before) / SESSIONS as u64;
    assert!(each < 20 * 1024, "{each} bytes a session");
}

#[test]
fn a_stalled_server_stalls_the_client() {
    let total = Arc::new(AtomicUsize::new(0));
    let ended = Arc::new(AtomicUsize::new(0));
    let backend = Backend::start(backends::sink(total.clone(), ended.clone()));
    let port = Port::reserve();
    let _weir = proxy(&port, &backend, "").start_in(folder());
    let mut stream = client(&port, |_| {});
    let bytes = noise(5 * MIB);
    stream.write_all(&bytes).unwrap();
    stream.shutdown().unwrap();
    wait_for("all bytes", || total.load(Ordering::SeqCst) == bytes.len() && ended.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_client_that_is_reset_does_not_disturb() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let weir = proxy(&port, &backend, "").start_in(folder());
    let mut stream = client(&port, |_| {});
    assert_eq!(ask(&mut stream, b"x"), b"x");
    clients::reset(stream.get_ref().try_clone().unwrap());
    drop(stream);
    let line = weir.wait_error("recv() failed (104: Connection reset by peer)");
    assert!(line.contains("[info]"), "{line}");
    let mut stream = client(&port, |_| {});
    assert_eq!(ask(&mut stream, b"x"), b"x");
    // A record that nobody has encrypted.
    stream.get_ref().write_all(b"\x17\x03\x03\x00\x20xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx").unwrap();
    let error = stream.read(&mut [0; 10]).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::WouldBlock);
    let line = weir.wait_error("SSL_read() failed (SSL: error:0A");
    assert!(line.contains("[info]"), "{line}");
}
