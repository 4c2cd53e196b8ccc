//! When a session is cut, and when not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::common::backends::Unreachable;
use super::common::clients::{connect_narrow, fetch, fill, is_quiet};
use super::common::proc;
use crate::common::*;

/// weir with these timeouts in front of `backend`; those not named are an hour.
fn before(backend: std::net::SocketAddr, timeouts: &str) -> (Weir, Port) {
    let port = Port::reserve();
    let others: String = ["timeout", "proxy_read_timeout", "proxy_send_timeout", "proxy_connect_timeout"]
        .iter()
        .filter(|name| !timeouts.split(';').any(|part| part.trim().starts_with(&format!("{name} "))))
        .map(|name| format!("{name} 1h; "))
        .collect();
    let tcp = format!("{others}{timeouts}\nserver {{ listen {}; proxy_pass {}; }}", port.v4(), backend);
    (Setup::tcp(tcp).start(), port)
}

/// How long it takes until the connection is closed.
fn closed_after(stream: &TcpStream, since: Instant) -> Duration {
    assert!(is_closed(stream), "not cut at all");
    since.elapsed()
}

const HALF: Duration = Duration::from_millis(500);

/// For sessions that are to live: longer than a loaded machine keeps a thread waiting.
const LONG: Duration = Duration::from_secs(3);

/// A deadline, with what rounding to milliseconds may take and a loaded machine may add.
#[track_caller]
fn assert_cut_after(deadline: Duration, took: Duration) {
    assert!(took >= deadline - Duration::from_millis(20) && took < wait::PATIENCE / 2, "cut after {took:?}");
}

#[track_caller]
fn assert_half_a_second(took: Duration) {
    assert_cut_after(HALF, took);
}

#[test]
fn an_idle_session_ends_after_timeout() {
    let backend = Backend::start(backends::silent);
    let (weir, port) = before(backend.address, "timeout 500ms;");
    let start = Instant::now();
    assert_half_a_second(closed_after(&connect(port.v4()), start));
    weir.wait_access(1);
    let line = weir.wait_error("timed out (110: Connection timed out)");
    assert!(line.contains("client: 127.0.0.1"), "{line}");
}

#[test]
fn an_idle_session_ends_after_proxy_read_timeout() {
    let backend = Backend::start(backends::silent);
    let (weir, port) = before(backend.address, "proxy_read_timeout 500ms;");
    let start = Instant::now();
    assert_half_a_second(closed_after(&connect(port.v4()), start));
    weir.wait_access(1);
    weir.wait_error("upstream timed out (110: Connection timed out)");
}

#[test]
fn the_earlier_of_both_counts() {
    let backend = Backend::start(backends::silent);
    for timeouts in ["timeout 500ms; proxy_read_timeout 1m;", "timeout 1m; proxy_read_timeout 500ms;"] {
        let (_weir, port) = before(backend.address, timeouts);
        let start = Instant::now();
        assert_half_a_second(closed_after(&connect(port.v4()), start));
    }
}

#[test]
fn the_time_runs_from_the_last_byte() {
    let backend = Backend::start(backends::echo);
    let (_weir, port) = before(backend.address, "timeout 3s; proxy_read_timeout 3s;");
    let mut stream = connect(port.v4());
    let (first, mut last) = (Instant::now(), Instant::now());
    while first.elapsed() < LONG * 3 / 2 {
        thread::sleep(LONG / 6);
        last = Instant::now();
        assert_eq!(ask(&mut stream, b"x"), b"x");
    }
    assert_cut_after(LONG, closed_after(&stream, last));
}

#[test]
fn bytes_from_the_server_alone_keep_a_session() {
    let backend = Backend::start(backends::drip(30, LONG / 20));
    let (_weir, port) = before(backend.address, "timeout 3s; proxy_read_timeout 3s; proxy_send_timeout 3s;");
    let bytes = read_all(connect(port.v4()));
    assert_eq!(bytes, b".".repeat(30));
}

#[test]
fn bytes_from_the_client_alone_keep_a_session() {
    let (total, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let backend = Backend::start(backends::sink(total.clone(), ended.clone()));
    let (_weir, port) = before(backend.address, "timeout 3s; proxy_read_timeout 3s; proxy_send_timeout 3s;");
    let mut stream = connect(port.v4());
    let mut last = Instant::now();
    for _ in 0..30 {
        thread::sleep(LONG / 20);
        assert!(is_quiet(&stream));
        last = Instant::now();
        stream.write_all(b".").unwrap();
    }
    assert_cut_after(LONG, closed_after(&stream, last));
    wait_for("the end", || ended.load(Ordering::SeqCst) == 1);
    assert_eq!(total.load(Ordering::SeqCst), 30);
}

/// Reads at most `piece` bytes every 20 ms for `time`, then what is left as fast as it comes; returns how much it was.
fn read_slowly(mut stream: TcpStream, piece: usize, time: Duration) -> usize {
    let mut piece = vec![0; piece];
    let (mut total, start) = (0, Instant::now());
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        total += count;
        if start.elapsed() < time {
            thread::sleep(Duration::from_millis(20));
        }
    }
    total
}

/// Sends so many bytes through weir in each direction, to a reader of `piece` bytes every 20 ms, and checks that all arrive.
fn transfer_both_ways(timeout: &str, length: usize, piece: usize, time: Duration) {
    let timeouts = format!("timeout {timeout}; proxy_read_timeout {timeout}; proxy_send_timeout {timeout};");
    let backend = Backend::start(backends::source(vec![b'x'; length]));
    let (_weir, port) = before(backend.address, &timeouts);
    let down = thread::spawn(move || read_slowly(connect(port.v4()), piece, time));
    let (sender, received) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let backend =
        Backend::start(move |stream: TcpStream| sender.lock().unwrap().send(read_slowly(stream, piece, time)).unwrap());
    let (_weir, port) = before(backend.address, &timeouts);
    let mut stream = connect(port.v4());
    stream.write_all(&vec![b'x'; length]).unwrap();
    drop(stream);
    assert_eq!(received.recv_timeout(wait::PATIENCE).unwrap(), length);
    assert_eq!(down.join().unwrap(), length);
}

#[test]
fn bulk_longer_than_the_timeouts_is_not_cut() {
    // Some 20 MB/s, for much longer than the timeouts.
    transfer_both_ways("2s", 90 << 20, 400_000, Duration::from_millis(4000));
}

#[test]
fn a_slow_reader_behind_a_full_kernel_buffer_is_not_cut() {
    // 400 kB/s: the kernel tells of room in a full send buffer of some megabytes only after seconds, while bytes flow all the time.
    // (Nearly all: a window that has been shut may take its sender's timer to open, a second and more, so the timeouts are longer.)
    transfer_both_ways("3s", 12 << 20, 8_000, Duration::from_secs(9));
}

#[test]
fn a_burst_on_its_way_to_a_slow_reader_keeps_the_session() {
    // The kernel takes the burst at once, so weir has nothing left to do while the client takes its time.
    let backend = Backend::start(|mut stream: TcpStream| {
        stream.write_all(&vec![b'x'; 3 << 20]).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(b"done").unwrap();
    });
    let (_weir, port) = before(backend.address, "timeout 3s; proxy_read_timeout 3s;");
    let mut stream = connect_narrow(([127, 0, 0, 1], port.number).into());
    let (mut piece, mut rest) = (vec![0; 10_000], 3 << 20);
    while rest > 0 {
        rest -= stream.read(&mut piece[..rest.min(10_000)]).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(ask(&mut stream, b"?"), b"d");
}

#[test]
fn proxy_send_timeout_runs_while_bytes_wait() {
    let release = Arc::new(AtomicBool::new(false));
    let backend = Backend::start(backends::stalled(release.clone()));
    let (weir, port) = before(backend.address, "proxy_send_timeout 500ms;");
    let mut stream = connect(port.v4());
    let filler = thread::spawn(move || {
        let piece = [0; 65536];
        while stream.write_all(&piece).is_ok() {}
    });
    weir.wait_access(1);
    let line = weir.wait_error("upstream timed out (110: Connection timed out)");
    assert!(line.contains(&format!("upstream: \"{}\"", backend.address)), "{line}");
    filler.join().unwrap();
    release.store(true, Ordering::SeqCst);
}

#[test]
fn proxy_send_timeout_does_not_run_while_nothing_waits() {
    let backend = Backend::start(backends::echo);
    let (_weir, port) = before(backend.address, "proxy_send_timeout 300ms;");
    let mut stream = connect(port.v4());
    assert_eq!(ask(&mut stream, b"x"), b"x");
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(ask(&mut stream, b"x"), b"x");
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let backend = Backend::start(backends::source(vec![0; 64 << 20]));
    let (weir, port) = before(backend.address, "timeout 500ms;");
    let stream = connect(port.v4());
    weir.wait_access(1);
    drop(stream);
}

#[test]
fn a_client_that_is_done_does_not_keep_a_stalled_session() {
    let release = Arc::new(AtomicBool::new(false));
    let backend = Backend::start(backends::stalled(release.clone()));
    for timeouts in ["proxy_send_timeout 1500ms;", "timeout 1500ms;", "proxy_read_timeout 1500ms;"] {
        let (weir, port) = before(backend.address, timeouts);
        let mut stream = connect(port.v4());
        fill(&mut stream);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        weir.wait_access(1);
    }
    release.store(true, Ordering::SeqCst);
}

#[test]
fn proxy_connect_timeout() {
    let unreachable = Unreachable::new();
    let (weir, port) = before(unreachable.address, "proxy_connect_timeout 500ms;");
    let start = Instant::now();
    assert_half_a_second(closed_after(&connect(port.v4()), start));
    let line = weir.wait_error("upstream timed out (110: Connection timed out) while connecting to upstream");
    assert!(line.contains(" [error] "), "{line}");
    assert!(line.ends_with(&format!("upstream: \"{}\"", unreachable.address)), "{line}");
}

#[test]
fn a_connect_that_hangs_goes_on_with_the_next_server() {
    let unreachable = Unreachable::new();
    let backend = Backend::start(backends::named("next"));
    let port = Port::reserve();
    let weir = Setup::tcp(format!(
        "proxy_connect_timeout 500ms; upstream u {{ server {}; server {}; }}\nserver {{ listen {}; proxy_pass u; }}",
        unreachable.address,
        backend.address,
        port.v4()
    ))
    .start();
    let start = Instant::now();
    assert_eq!(fetch(port.v4()), "next");
    assert_half_a_second(start.elapsed());
    weir.wait_error("upstream server temporarily disabled");
    assert_eq!(fetch(port.v4()), "next");
    weir.wait_access(2);
    assert_eq!(weir.error_log().matches("upstream timed out").count(), 1, "the server that hangs was tried again");
}

#[test]
fn a_client_that_leaves_ends_a_hanging_connect() {
    if !proc::shows_descriptors() {
        return;
    }
    let unreachable = Unreachable::new();
    let (weir, port) = before(unreachable.address, "proxy_connect_timeout 1h;");
    let idle = proc::descriptors(weir.worker());
    let stream = connect(port.v4());
    wait_for("the connect to begin", || proc::descriptors(weir.worker()) >= idle + 2);
    drop(stream);
    weir.wait_access(1);
}

#[test]
fn bytes_sent_before_the_connect_is_through_arrive() {
    let unreachable = Unreachable::new();
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let _weir = Setup::tcp(format!(
        "proxy_connect_timeout 500ms; upstream u {{ server {}; server {}; }}\nserver {{ listen {}; proxy_pass u; }}",
        unreachable.address,
        backend.address,
        port.v4()
    ))
    .start();
    assert_eq!(ask(connect(port.v4()), b"early"), b"early");
}

#[test]
fn many_idle_sessions_end_each_in_its_time() {
    let backend = Backend::start(backends::silent);
    let (weir, port) = before(backend.address, "timeout 1s; proxy_read_timeout 2s;");
    let sessions: Vec<(Instant, TcpStream)> = (0..200)
        .map(|_| {
            thread::sleep(Duration::from_millis(2));
            (Instant::now(), connect(port.v4()))
        })
        .collect();
    for (start, stream) in &sessions {
        let took = closed_after(stream, *start);
        assert!(took >= HALF * 2 - Duration::from_millis(20), "cut after {took:?}");
    }
    assert_eq!(weir.wait_access(200).len(), 200);
    if proc::shows_descriptors() {
        wait_for("descriptors to be given back", || proc::descriptors(weir.worker()) < 30);
    }
}

#[test]
fn a_client_that_resets_ends_a_hanging_connect() {
    if !proc::shows_descriptors() {
        return;
    }
    let unreachable = Unreachable::new();
    let (weir, port) = before(unreachable.address, "proxy_connect_timeout 1h;");
    let idle = proc::descriptors(weir.worker());
    let stream = connect(port.v4());
    wait_for("the connect to begin", || proc::descriptors(weir.worker()) >= idle + 2);
    super::common::clients::reset(stream);
    weir.wait_access(1);
}

#[test]
fn bytes_of_a_client_that_has_gone_arrive_when_the_connect_comes_through() {
    let unreachable = Unreachable::new();
    let (sender, received) = std::sync::mpsc::channel();
    let backend = Backend::start(backends::recorder(sender));
    let port = Port::reserve();
    let _weir = Setup::tcp(format!(
        "proxy_connect_timeout 500ms; upstream u {{ server {}; server {}; }}\nserver {{ listen {}; proxy_pass u; }}",
        unreachable.address,
        backend.address,
        port.v4()
    ))
    .start();
    let mut stream = connect(port.v4());
    stream.write_all(b"last words").unwrap();
    drop(stream);
    assert_eq!(received.recv_timeout(wait::PATIENCE).unwrap(), b"last words");
}
