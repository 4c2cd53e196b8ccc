//! Moving bytes: unchanged, in order, to the last one, with bounded memory.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::common::clients::{connect_narrow, exchange, fill, noise, reset};
use super::common::proc;
use super::common::wait::{PATIENCE, wait_until_idle};
use crate::common::*;

const MIB: usize = 1 << 20;

/// weir in front of `backend`, and the port to reach it by.
fn before(backend: &Backend) -> (Weir, Port) {
    let port = Port::reserve();
    (Setup::proxy(port.v4(), backend.address).level("info").start(), port)
}

#[test]
fn ten_mebibytes_each_way_arrive_unchanged() {
    // The demo's style: a proxy on one port, an upstream block, a server behind it.
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let weir = Setup::tcp(format!(
        "timeout 10s; proxy_read_timeout 10s; proxy_send_timeout 10s;\nupstream proxy_name {{ server {}; }}\nserver {{ listen {}; proxy_pass proxy_name; }}",
        backend.address, port.number
    ))
    .level("info")
    .start();
    let bytes = noise(10 * MIB);
    assert!(exchange(connect(port.v4()), &bytes) == bytes);
    let line = weir.wait_access(1).remove(0);
    assert!(line.ends_with(&format!(" {} {}", 10 * MIB, 10 * MIB)), "{line}");
}

#[test]
fn every_buffer_size() {
    let backend = Backend::start(backends::echo);
    let bytes = noise(300_000);
    for size in ["1", "100", "4k", "64k", "2m"] {
        let port = Port::reserve();
        let _weir = Setup::tcp(format!(
            "proxy_buffer {size}; server {{ listen {}; proxy_pass {}; }}",
            port.v4(),
            backend.address
        ))
        .level("info")
        .start();
        let length = if size == "1" { 20_000 } else { bytes.len() };
        assert!(exchange(connect(port.v4()), &bytes[..length]) == bytes[..length], "proxy_buffer {size}");
    }
}

#[test]
fn many_small_questions() {
    let backend = Backend::start(backends::echo);
    let (_weir, port) = before(&backend);
    let mut stream = connect(port.v4());
    for i in 0..2000u32 {
        assert_eq!(ask(&mut stream, &i.to_be_bytes()), i.to_be_bytes());
    }
}

#[test]
fn sessions_side_by_side() {
    let backend = Backend::start(backends::echo);
    let (weir, port) = before(&backend);
    thread::scope(|scope| {
        for i in 0..40 {
            let port = &port;
            scope.spawn(move || {
                let bytes = noise(MIB / 2 + i * 1013);
                assert!(exchange(connect(port.v4()), &bytes) == bytes);
            });
        }
    });
    weir.wait_access(40);
}

#[test]
fn the_server_may_speak_first() {
    let backend = Backend::start(backends::greeting("220 ready\r\n"));
    let (_weir, port) = before(&backend);
    let mut stream = connect(port.v4());
    let mut greeting = [0; 11];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"220 ready\r\n");
    assert_eq!(ask(&mut stream, b"HELO"), b"HELO");
}

#[test]
fn the_end_of_the_client_follows_its_last_byte() {
    let (sender, received) = mpsc::channel();
    let backend = Backend::start(backends::recorder(sender));
    let (_weir, port) = before(&backend);
    let bytes = noise(3 * MIB);
    for half in [true, false] {
        let mut stream = connect(port.v4());
        stream.write_all(&bytes).unwrap();
        if half {
            stream.shutdown(Shutdown::Write).unwrap();
            assert!(is_closed(&stream));
        } else {
            drop(stream);
        }
        assert!(received.recv_timeout(PATIENCE).unwrap() == bytes, "half {half}");
    }
}

#[test]
fn the_end_of_the_server_follows_its_last_byte() {
    let bytes = noise(3 * MIB);
    let backend = Backend::start(backends::source(bytes.clone()));
    let (_weir, port) = before(&backend);
    assert!(read_all(connect(port.v4())) == bytes);
}

#[test]
fn an_end_with_bytes_still_in_flight_to_a_slow_client() {
    let bytes = noise(12 * MIB);
    let backend = Backend::start(backends::source(bytes.clone()));
    let (weir, port) = before(&backend);
    let mut stream = connect(port.v4());
    let mut got = vec![0; 1];
    stream.read_exact(&mut got).unwrap();
    // Reads on only when the worker has nothing left to do for it.
    wait_until_idle(weir.worker());
    while got.len() < bytes.len() {
        let mut piece = vec![0; 256 * 1024];
        let count = stream.read(&mut piece).unwrap();
        assert_ne!(count, 0, "the end came after {} of {} bytes", got.len(), bytes.len());
        got.extend_from_slice(&piece[..count]);
    }
    assert!(got == bytes);
    assert!(is_closed(&stream));
}

#[test]
fn an_end_with_bytes_still_in_flight_to_a_slow_server() {
    let bytes = noise(12 * MIB);
    let release = Arc::new(AtomicBool::new(false));
    let (sender, received) = mpsc::channel();
    let record = backends::recorder(sender);
    let gate = release.clone();
    let backend = Backend::start(move |stream: TcpStream| {
        while !gate.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        record(stream);
    });
    let (weir, port) = before(&backend);
    let mut stream = connect(port.v4());
    let writer = thread::spawn({
        let bytes = bytes.clone();
        move || stream.write_all(&bytes).unwrap()
    });
    wait_until_idle(weir.worker());
    release.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    assert!(received.recv_timeout(PATIENCE).unwrap() == bytes);
}

#[test]
fn memory_stays_bounded_while_both_directions_are_stalled() {
    const SESSIONS: usize = 16;
    let release = Arc::new(AtomicBool::new(false));
    let filled = Arc::new(AtomicUsize::new(0));
    let backend = Backend::start({
        let (release, filled) = (release.clone(), filled.clone());
        let hold = backends::stalled(release);
        move |mut stream: TcpStream| {
            fill(&mut stream);
            filled.fetch_add(1, Ordering::SeqCst);
            hold(stream);
        }
    });
    let port = Port::reserve();
    let weir = Setup::tcp(format!(
        "proxy_buffer 16k; timeout 1h; proxy_read_timeout 1h; proxy_send_timeout 1h;\nserver {{ listen {}; proxy_pass {}; }}",
        port.v4(),
        backend.address
    ))
    .level("info")
    .start();
    let worker = weir.worker();
    // One session first, so that what the first one costs for good is not counted.
    let mut first = connect(port.v4());
    fill(&mut first);
    wait_for("the first session to stall", || filled.load(Ordering::SeqCst) == 1);
    wait_until_idle(worker);
    let before = proc::rss_anon(worker);
    let mut clients: Vec<TcpStream> = (0..SESSIONS).map(|_| connect(port.v4())).collect();
    let taken: usize = thread::scope(|scope| {
        let fillers: Vec<_> = clients.iter_mut().map(|client| scope.spawn(|| fill(client))).collect();
        fillers.into_iter().map(|filler| filler.join().unwrap()).sum()
    });
    wait_for("both directions to stall", || filled.load(Ordering::SeqCst) > SESSIONS);
    assert!(taken > SESSIONS * 100_000, "the clients got rid of {taken} bytes only");
    let grown = proc::rss_anon(worker).saturating_sub(before);
    // One buffer a direction, and as much again for the records and the allocator.
    let limit = (SESSIONS * 2 * 16 * 1024 * 2 + MIB) as u64;
    assert!(grown < limit, "{grown} bytes more for {SESSIONS} stalled sessions, at most {limit} expected");
    // A stalled session costs no processor time either.
    let ticks = proc::cpu_ticks(worker);
    thread::sleep(Duration::from_millis(700));
    let used = proc::cpu_ticks(worker) - ticks;
    assert!(used <= 5, "{used} ticks while nothing could move");
    release.store(true, Ordering::SeqCst);
}

#[test]
fn a_stall_in_both_directions_resolves() {
    let there = noise(8 * MIB);
    let back = noise(8 * MIB + 1);
    let (sender, received) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let release = Arc::new(AtomicBool::new(false));
    let backend = Backend::start({
        let (back, length, release) = (back.clone(), there.len(), release.clone());
        move |stream: TcpStream| {
            let mut reader = stream.try_clone().unwrap();
            thread::scope(|scope| {
                scope.spawn(|| (&stream).write_all(&back).unwrap());
                while !release.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(5));
                }
                let mut bytes = vec![0; length];
                reader.read_exact(&mut bytes).unwrap();
                sender.lock().unwrap().send(bytes).unwrap();
            });
        }
    });
    let (weir, port) = before(&backend);
    let stream = connect(port.v4());
    let mut reader = stream.try_clone().unwrap();
    let mut got = vec![0; back.len()];
    thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&there).unwrap());
        wait_for("the session", || backend.accepted() == 1);
        wait_until_idle(weir.worker());
        release.store(true, Ordering::SeqCst);
        reader.read_exact(&mut got).unwrap();
    });
    assert!(got == back);
    assert!(received.recv_timeout(PATIENCE).unwrap() == there);
}

#[test]
fn a_waiting_end_of_file_costs_no_processor_time() {
    // The client is done and gone while the server takes nothing: its end of file is readable all the time.
    let release = Arc::new(AtomicBool::new(false));
    let backend = Backend::start(backends::stalled(release.clone()));
    let (weir, port) = before(&backend);
    let mut stream = connect(port.v4());
    fill(&mut stream);
    stream.shutdown(Shutdown::Write).unwrap();
    let worker = weir.worker();
    wait_until_idle(worker);
    let ticks = proc::cpu_ticks(worker);
    thread::sleep(Duration::from_millis(700));
    assert!(proc::cpu_ticks(worker) - ticks <= 5);
    release.store(true, Ordering::SeqCst);
    weir.wait_access(1);
}

#[test]
fn a_reset_by_the_client() {
    let (total, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let backend = Backend::start(backends::sink(total.clone(), ended.clone()));
    let (weir, port) = before(&backend);
    let mut stream = connect(port.v4());
    stream.write_all(b"abc").unwrap();
    wait_for("the bytes to arrive", || total.load(Ordering::SeqCst) == 3);
    reset(stream);
    wait_for("the server to see the end", || ended.load(Ordering::SeqCst) == 1);
    let line = weir.wait_access(1).remove(0);
    assert!(line.ends_with(" 3 0"), "{line}");
    let line = weir.wait_error("(104: Connection reset by peer)");
    assert!(line.contains(" [info] ") && line.contains("client: 127.0.0.1"), "{line}");
}

#[test]
fn a_reset_by_the_server() {
    let backend = Backend::start(|mut stream: TcpStream| {
        stream.read_exact(&mut [0; 4]).unwrap();
        backends::reset(stream);
    });
    let (weir, port) = before(&backend);
    let mut stream = connect(port.v4());
    stream.write_all(b"ping").unwrap();
    assert!(is_closed(&stream));
    weir.wait_access(1);
    let line = weir.wait_error("(104: Connection reset by peer)");
    assert!(line.contains(&format!("upstream: \"{}\"", backend.address)), "{line}");
}

#[test]
fn a_server_that_accepts_and_leaves() {
    for leave in [backends::close as fn(TcpStream), backends::reset] {
        let backend = Backend::start(leave);
        let (weir, port) = before(&backend);
        for _ in 0..20 {
            assert!(is_closed(connect(port.v4())));
        }
        weir.wait_access(20);
    }
}

#[test]
fn clients_that_leave_at_once() {
    let backend = Backend::start(backends::echo);
    let (weir, port) = before(&backend);
    for i in 0..200 {
        let stream = connect(port.v4());
        if i % 2 == 0 {
            reset(stream);
        }
    }
    assert_eq!(ask(connect(port.v4()), b"still here"), b"still here");
    wait_until_idle(weir.worker());
}

#[test]
fn bulk_does_not_starve_a_question() {
    let backend = Backend::start(|mut stream: TcpStream| {
        let mut kind = [0];
        stream.read_exact(&mut kind).unwrap();
        if kind == *b"b" {
            let piece = vec![0; MIB];
            while stream.write_all(&piece).is_ok() {}
        } else {
            backends::echo(stream);
        }
    });
    let (_weir, port) = before(&backend);
    let (stop, bulk) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = connect(port.v4());
            stream.write_all(b"b").unwrap();
            let (stop, bulk) = (stop.clone(), bulk.clone());
            thread::spawn(move || {
                let mut piece = vec![0; MIB];
                let mut total = 0;
                while total <= MIB || !stop.load(Ordering::SeqCst) {
                    let count = stream.read(&mut piece).unwrap();
                    if count == 0 {
                        break;
                    }
                    total += count;
                    bulk.fetch_add(count, Ordering::SeqCst);
                }
                total
            })
        })
        .collect();
    let mut stream = connect(port.v4());
    stream.write_all(b"q").unwrap();
    // How much of the bulk goes by before an answer is there, when no other process of a loaded machine holds it up.
    let mut least = usize::MAX;
    for i in 0..100u32 {
        let start = bulk.load(Ordering::SeqCst);
        assert_eq!(ask(&mut stream, &i.to_be_bytes()), i.to_be_bytes());
        least = least.min(bulk.load(Ordering::SeqCst) - start);
    }
    stop.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.join().unwrap() > MIB);
    }
    assert!(least < 64 * MIB, "a question took {least} bytes");
}

#[test]
fn keepalive_and_nodelay_are_set_on_sockets() {
    // The kernel shows a keepalive timer of an established socket in /proc/net/tcp: timer 2.
    for (directive, expected) in [("so_keepalive on;", true), ("so_keepalive off;", false)] {
        let backend = Backend::start(backends::echo);
        let port = Port::reserve();
        let tcp =
            format!("server {{ listen {}; {directive} tcp_nodelay off; proxy_pass {}; }}", port.v4(), backend.address);
        let _weir = Setup::tcp(tcp).start();
        let mut stream = connect(port.v4());
        assert_eq!(ask(&mut stream, b"x"), b"x");
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let local = format!("0100007F:{:04X}", port.number);
        let mut sockets = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|fields| fields.get(1) == Some(&&*local) && fields[3] == "01");
        let socket = sockets.next().expect("the accepted socket");
        assert_eq!(socket[5].starts_with("02:"), expected, "{directive} {socket:?}");
    }
}

/// Reads slowly and keeps talking all the while; what is said may go unheard.
fn read_slowly_and_chatter(mut stream: &TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    let mut piece = [0; 8000];
    loop {
        let _ = stream.write_all(b"?");
        match stream.read(&mut piece) {
            Ok(0) => return got,
            Ok(count) => got.extend_from_slice(&piece[..count]),
            Err(error) => panic!("{error} after {} bytes", got.len()),
        }
        thread::sleep(Duration::from_millis(1));
    }
}

// What is passed on fits into weir's socket at once, but its reader takes it slowly and keeps talking: a socket that is closed with
// bytes still to be sent answers new ones with a reset (RFC 1122 4.2.2.13), and the rest would be lost.

#[test]
fn a_reply_to_a_client_that_goes_on_sending_is_whole() {
    let reply = noise(400_000);
    let backend = Backend::start({
        let reply = reply.clone();
        move |mut stream: TcpStream| {
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(&reply).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            backends::silent(stream);
        }
    });
    let (_weir, port) = before(&backend);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&std::net::SocketAddr::from(([127, 0, 0, 1], port.number)).into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(read_slowly_and_chatter(&stream) == reply);
}

#[test]
fn the_last_words_to_a_server_that_goes_on_sending_are_whole() {
    let words = noise(400_000);
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.set_recv_buffer_size(4096).unwrap();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(5).unwrap();
    let (sender, received) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let backend = Backend::serve(listener.into(), move |stream| {
        sender.lock().unwrap().send(read_slowly_and_chatter(&stream)).unwrap();
    });
    let (_weir, port) = before(&backend);
    let mut stream = connect(port.v4());
    stream.write_all(&words).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(received.recv_timeout(PATIENCE).unwrap() == words);
}

#[test]
fn a_reply_is_whole_however_long_its_reader_takes() {
    // Longer than a peer that has received everything may be silent.
    let reply = noise(2_000_000);
    let backend = Backend::start(backends::source(reply.clone()));
    let (weir, port) = before(&backend);
    let mut stream = connect_narrow(([127, 0, 0, 1], port.number).into());
    weir.wait_access(1);
    let (mut got, mut piece, mut said) = (Vec::new(), [0; 10_000], Instant::now());
    loop {
        if said.elapsed() > Duration::from_secs(6) {
            said = Instant::now();
            stream.write_all(b"?").unwrap();
        }
        match stream.read(&mut piece).unwrap_or_else(|error| panic!("{error} after {} bytes", got.len())) {
            0 => break,
            count => got.extend_from_slice(&piece[..count]),
        }
        thread::sleep(Duration::from_millis(40));
    }
    assert!(got == reply);
}

#[test]
fn a_server_that_is_no_longer_heard_stops() {
    // The client gives up a download while the server has not taken all it was told: what the server was told must not be lost,
    // but its gigabytes are wanted by nobody.
    let sent = Arc::new(AtomicUsize::new(0));
    let backend = Backend::start({
        let sent = sent.clone();
        move |mut stream: TcpStream| {
            let piece = vec![0; 65536];
            while let Ok(count) = stream.write(&piece) {
                sent.fetch_add(count, Ordering::SeqCst);
            }
        }
    });
    let (weir, port) = before(&backend);
    let mut stream = connect(port.v4());
    stream.write_all(&noise(100_000)).unwrap();
    stream.read_exact(&mut vec![0; 10 * MIB]).unwrap();
    reset(stream);
    weir.wait_access(1);
    let before = sent.load(Ordering::SeqCst);
    wait_until_idle(weir.worker());
    let more = sent.load(Ordering::SeqCst) - before;
    assert!(more < 64 * MIB, "{} MiB more were sent to nobody", more / MIB);
}
