//! Servers that do not answer, reset, or never end.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use super::Plan;
use crate::common::backends::Unreachable;
use crate::common::clients::{connect_narrow, is_quiet, noise, reset};
use crate::common::*;

/// A server of the group that echoes beside the one that misbehaves; it serves the sessions that are to go on.
fn echo_beside(bad: impl std::fmt::Display) -> (Backend, String) {
    let echo = Backend::start(backends::echo);
    let group = format!("server {bad}; server {} backup;", echo.address);
    (echo, group)
}

#[test]
fn that_accept_and_never_answer() {
    let silent = Backend::start(backends::silent);
    let bench = Plan::new(&format!("server {};", silent.address), "proxy_read_timeout 400ms; timeout 1h;").start();
    let clients: Vec<TcpStream> = (0..5).map(|_| bench.client()).collect();
    for mut client in &clients {
        client.write_all(b"anybody?").unwrap();
    }
    bench.wait_busy(&[5]);
    assert!(clients.iter().all(is_closed));
    let line = bench.weir.wait_error("upstream timed out (110: Connection timed out) while proxying");
    assert!(
        line.contains("client: 127.0.0.1") && line.ends_with(&format!("upstream: \"{}\"", silent.address)),
        "{line}"
    );
    // A session that stood and was idle is no failure, in nginx's terms.
    assert_eq!(bench.told(5), vec![format!("200 8 0 {}", silent.address); 5]);
    bench.settle();
}

#[test]
fn that_cannot_be_reached() {
    let unreachable = Unreachable::new();
    let (_echo, group) = echo_beside(unreachable.address);
    let bench = Plan::new(&group, "proxy_connect_timeout 300ms;").start();
    let clients: Vec<TcpStream> = (0..3).map(|_| bench.client()).collect();
    bench.wait_busy(&[3, 0]);
    for stream in &clients {
        assert_eq!(ask(stream, b"late"), b"late");
    }
    bench.weir.wait_error("upstream timed out (110: Connection timed out) while connecting to upstream");
    bench.wait_busy(&[0, 3]);
    drop(clients);
    bench.settle();
    assert!(bench.told(3).iter().all(|line| line.starts_with(&format!("200 4 4 {}, ", unreachable.address))));
}

/// Where a server resets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Accepted,
    AfterTheRequest,
    AmidTheAnswer,
    AfterTheAnswer,
}

const REQUEST: &[u8] = b"request";

fn answer() -> Vec<u8> {
    noise(300_000)
}

/// How much of the answer is sent before the reset.
fn sent(when: When) -> usize {
    match when {
        When::Accepted | When::AfterTheRequest => 0,
        When::AmidTheAnswer => answer().len() / 2,
        When::AfterTheAnswer => answer().len(),
    }
}

/// Resets by `when`; what has been sent is with the client by then, who says so, as a reset would take it back on its way.
fn resetting(when: When) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        let mut request = [0; REQUEST.len()];
        if when != When::Accepted && stream.read_exact(&mut request).is_ok() && sent(when) > 0 {
            let _ = stream.write_all(&answer()[..sent(when)]);
            let _ = stream.read(&mut [0]);
        }
        reset(stream);
    }
}

#[test]
fn that_reset() {
    for when in [When::Accepted, When::AfterTheRequest, When::AmidTheAnswer, When::AfterTheAnswer] {
        let bad = Backend::start(resetting(when));
        let (_echo, group) = echo_beside(bad.address);
        let bench = Plan::new(&group, "").start();
        let worker = bench.weir.worker();
        for _ in 0..5 {
            let mut stream = bench.client();
            let _ = stream.write_all(REQUEST);
            let mut got = vec![0; sent(when)];
            stream.read_exact(&mut got).unwrap();
            assert!(got == answer()[..got.len()]);
            if when == When::Accepted {
                // Before use it is a failure that the next server makes good; the first bytes may have been on their way to it already.
                let mut echoed = [0; REQUEST.len()];
                assert!(stream.read_exact(&mut echoed).is_err() || echoed == REQUEST);
                continue;
            }
            let _ = stream.write_all(b".");
            assert!(is_closed(stream), "{when:?}");
        }
        let line = bench.weir.wait_error("(104: Connection reset by peer)");
        assert!(line.contains(&format!("upstream: \"{}\"", bad.address)), "{when:?}: {line}");
        bench.told(5);
        bench.settle();
        assert_eq!(bench.weir.worker(), worker);
        let log = bench.weir.error_log();
        assert!(!log.contains(" [alert] ") && !log.contains(" [crit] "), "{when:?}: {log}");
    }
}

#[test]
fn that_reset_before_they_accept() {
    // The kernel has taken the connection for the server, which closes its listening socket without a look at the queue.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (_echo, group) = echo_beside(address);
    let bench = Plan::new(&group, "timeout 1h; proxy_read_timeout 1h;").start();
    let clients: Vec<TcpStream> = (0..3).map(|_| bench.client()).collect();
    bench.wait_busy(&[3, 0]);
    // Sessions are counted when a connection is tried; one that fails before the worker has seen it made goes on with the other server.
    wait::wait_until_idle(bench.weir.worker());
    drop(listener);
    assert!(clients.iter().all(is_closed));
    let line = bench.weir.wait_error("(104: Connection reset by peer)");
    assert!(line.contains(" [error] ") && line.ends_with(&format!("upstream: \"{address}\"")), "{line}");
    bench.told(3);
    bench.settle();
    // Refused from now on: the other one serves.
    for _ in 0..3 {
        assert_eq!(ask(bench.client(), b"next"), b"next");
    }
    bench.settle();
}

#[test]
fn that_send_without_end() {
    const SESSIONS: usize = 12;
    let backend = Backend::start(|mut stream: TcpStream| {
        let mut kind = [0];
        if stream.read_exact(&mut kind).is_err() || stream.write_all(&kind).is_err() {
            return;
        }
        if kind != *b"*" {
            return backends::echo(stream);
        }
        let piece = vec![b'*'; 65536];
        while stream.write_all(&piece).is_ok() {}
    });
    let server = "proxy_buffer 16k; timeout 1h; proxy_read_timeout 1h; proxy_send_timeout 1h;";
    let bench = Plan::new(&format!("server {};", backend.address), server).start();
    let worker = bench.weir.worker();
    let endless = || {
        let mut stream = connect_narrow(bench.plan.port.v4().parse().unwrap());
        stream.write_all(b"*").unwrap();
        stream
    };
    // Half of the clients take what comes as fast as they can, the others nothing.
    let stop = Arc::new(AtomicBool::new(false));
    let taken: Arc<Vec<AtomicUsize>> = Arc::new((0..SESSIONS / 2).map(|_| AtomicUsize::new(0)).collect());
    let readers: Vec<_> = (0..SESSIONS / 2)
        .map(|number| {
            let (mut stream, stop, taken) = (endless(), stop.clone(), taken.clone());
            thread::spawn(move || {
                let mut piece = vec![0; 65536];
                while !stop.load(Ordering::SeqCst) {
                    taken[number].fetch_add(stream.read(&mut piece).unwrap(), Ordering::SeqCst);
                }
            })
        })
        .collect();
    wait_for("all to be served", || taken.iter().all(|taken| taken.load(Ordering::SeqCst) > 1 << 20));
    let memory = proc::rss_anon(worker);
    let idle: Vec<TcpStream> = (0..SESSIONS / 2).map(|_| endless()).collect();
    let mut question = bench.good_client();
    for i in 0..50u32 {
        assert_eq!(ask(&mut question, &i.to_be_bytes()), i.to_be_bytes());
    }
    // Everybody's transfer goes on, and those who take nothing cost a buffer each.
    let before: Vec<usize> = taken.iter().map(|taken| taken.load(Ordering::SeqCst)).collect();
    wait_for("all to be served on", || {
        taken.iter().zip(&before).all(|(taken, before)| taken.load(Ordering::SeqCst) > before + (4 << 20))
    });
    bench.wait_busy(&[SESSIONS as u64 + 1]);
    let grown = proc::rss_anon(worker).saturating_sub(memory);
    assert!(grown < 2 << 20, "{grown} bytes more for {} sessions that stand", SESSIONS / 2);
    assert_eq!(ask(bench.good_client(), b"new"), b"new");
    assert!(is_quiet(&question));
    stop.store(true, Ordering::SeqCst);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    drop((idle, question));
    bench.settle();
}

#[test]
fn all_at_once_and_their_counts() {
    // Sessions that end in every way at the same time, in two workers: what these share is exact in the end.
    let turn = Mutex::new(0);
    let backend = Backend::start(move |stream: TcpStream| {
        let kind = {
            let mut turn = turn.lock().unwrap();
            *turn += 1;
            *turn % 5
        };
        match kind {
            0 => resetting(When::Accepted)(stream),
            1 => resetting(When::AfterTheRequest)(stream),
            2 => resetting(When::AmidTheAnswer)(stream),
            3 => backends::silent(stream),
            _ => backends::echo(stream),
        }
    });
    let (_echo, group) = echo_beside(backend.address);
    let bench = Plan::new(&group, "timeout 1s; proxy_read_timeout 500ms;").workers(2).start();
    let barrier = Arc::new(Barrier::new(8));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (barrier, address) = (barrier.clone(), bench.plan.port.v4());
            thread::spawn(move || {
                barrier.wait();
                for round in 0..15 {
                    let mut stream = connect(&address);
                    let _ = stream.write_all(REQUEST);
                    if (number + round) % 4 == 0 {
                        reset(stream);
                        continue;
                    }
                    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                    let _ = stream.read(&mut [0; 100]);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    bench.told(8 * 15);
    wait_for("no session on the status page", || bench.busy() == [0, 0]);
    assert!(!bench.weir.error_log().contains(" [alert] "), "{}", bench.weir.error_log());
}
