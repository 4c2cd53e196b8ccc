//! Bulk through pipes: the worker takes to splice(2) where much is moved, lets go of it where little is, and does without where it has to.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

use super::common::clients::noise;
use super::common::proc;
use super::common::wait::{PATIENCE, wait_until_idle};
use crate::common::*;

const MIB: usize = 1 << 20;

/// What a worker may hold on to when nothing moves.
const POOLED: usize = 4;

fn before(backend: &Backend) -> (Weir, Port) {
    let port = Port::reserve();
    (Setup::proxy(port.v4(), backend.address).level("info").start(), port)
}

/// The same, its worker being of the user that runs the tests, who may then change its limits.
fn own_before(backend: &Backend) -> (Weir, Port) {
    let port = Port::reserve();
    (Setup::proxy(port.v4(), backend.address).main("user root;").level("info").start(), port)
}

/// Fetches all from a source, and checks it.
fn download(port: &Port, bytes: &[u8]) {
    assert!(clients::read_all(connect(port.v4())) == bytes);
}

#[test]
fn bulk_goes_through_a_pipe_that_is_used_again() {
    if !proc::shows_descriptors() {
        return;
    }
    let bytes = noise(24 * MIB);
    let backend = Backend::start(backends::source(bytes.clone()));
    let (weir, port) = before(&backend);
    let worker = weir.worker();
    assert_eq!(proc::pipes(worker), 0);
    for round in 1..=3 {
        download(&port, &bytes);
        let line = weir.wait_access(round).remove(round - 1);
        assert!(line.ends_with(&format!(" 0 {}", bytes.len())), "{line}");
        assert_eq!(proc::pipes(worker), 1, "round {round}");
    }
}

#[test]
fn uploads_too() {
    if !proc::shows_descriptors() {
        return;
    }
    let bytes = noise(24 * MIB);
    let (sender, received) = mpsc::channel();
    let backend = Backend::start(backends::recorder(sender));
    let (weir, port) = before(&backend);
    connect(port.v4()).write_all(&bytes).unwrap();
    assert!(received.recv_timeout(PATIENCE).unwrap() == bytes);
    let line = weir.wait_access(1).remove(0);
    assert!(line.ends_with(&format!(" {} 0", bytes.len())), "{line}");
    assert_eq!(proc::pipes(weir.worker()), 1);
}

#[test]
fn small_messages_take_none() {
    if !proc::shows_descriptors() {
        return;
    }
    let backend = Backend::start(backends::echo);
    let (weir, port) = before(&backend);
    let mut stream = connect(port.v4());
    for i in 0..500u32 {
        assert_eq!(ask(&mut stream, &i.to_be_bytes()), i.to_be_bytes());
    }
    assert_eq!(proc::pipes(weir.worker()), 0);
}

#[test]
fn questions_and_bulk_by_turns_in_one_session() {
    if !proc::shows_descriptors() {
        return;
    }
    let backend = Backend::start(backends::echo);
    let (weir, port) = before(&backend);
    let stream = connect(port.v4());
    let bytes = noise(4 * MIB);
    for length in [3, 4 * MIB, 100, 17, MIB, 1, 40_000, 5, 2 * MIB + 1, 2] {
        let mut answer = vec![0; length];
        thread::scope(|scope| {
            scope.spawn(|| (&stream).write_all(&bytes[..length]).unwrap());
            (&stream).read_exact(&mut answer).unwrap();
        });
        assert!(answer == bytes[..length], "{length} bytes");
    }
    assert!((1..=2).contains(&proc::pipes(weir.worker())));
}

#[test]
fn readers_that_stall_keep_their_pipes_and_lose_nothing() {
    if !proc::shows_descriptors() {
        return;
    }
    const SESSIONS: usize = 8;
    let bytes = noise(16 * MIB);
    let backend = Backend::start(backends::source(bytes.clone()));
    let (weir, port) = before(&backend);
    let worker = weir.worker();
    let mut streams: Vec<TcpStream> = (0..SESSIONS).map(|_| connect(port.v4())).collect();
    for stream in &mut streams {
        stream.read_exact(&mut [0; 1]).unwrap();
    }
    wait_until_idle(worker);
    let stalled = proc::pipes(worker);
    assert!(stalled > 0);
    thread::scope(|scope| {
        for stream in streams {
            scope.spawn(|| assert!(clients::read_all(stream) == bytes[1..]));
        }
    });
    weir.wait_access(SESSIONS);
    assert!(proc::pipes(worker) <= POOLED, "{} pipes of {stalled}", proc::pipes(worker));
}

#[test]
fn sessions_that_break_with_bytes_in_a_pipe_leave_nothing_to_the_next() {
    if !proc::shows_descriptors() {
        return;
    }
    let bytes = noise(16 * MIB);
    let backend = Backend::start(backends::source(bytes.clone()));
    let (weir, port) = before(&backend);
    for _ in 0..6 {
        let mut stream = connect(port.v4());
        stream.read_exact(&mut [0; 1]).unwrap();
        wait_until_idle(weir.worker());
        clients::reset(stream);
        download(&port, &bytes);
    }
    assert!(proc::pipes(weir.worker()) <= POOLED);
}

#[test]
fn without_descriptors_for_pipes_bulk_is_copied() {
    if !proc::shows_descriptors() {
        return;
    }
    let bytes = noise(8 * MIB);
    let backend = Backend::start(backends::source(bytes.clone()));
    let (weir, port) = own_before(&backend);
    let worker = weir.worker();
    let usual = proc::nofile(worker);
    // Room for the two connections of a session and no more.
    proc::limit_descriptors(worker, proc::free_descriptor(worker) + 2);
    download(&port, &bytes);
    weir.wait_access(1);
    assert_eq!(proc::pipes(worker), 0);
    proc::limit_descriptors(worker, usual);
    wait_for("pipes to be taken again", || {
        download(&port, &bytes);
        proc::pipes(worker) > 0
    });
}

#[test]
fn a_client_comes_before_a_pipe_that_nobody_uses() {
    if !proc::shows_descriptors() {
        return;
    }
    let bytes = noise(8 * MIB);
    let backend = Backend::start({
        let bytes = bytes.clone();
        move |mut stream: TcpStream| {
            let mut wish = [0; 1];
            if stream.read_exact(&mut wish).is_ok() && wish == *b"b" {
                let _ = stream.write_all(&bytes);
            } else {
                backends::silent(stream);
            }
        }
    });
    let download = |port: &Port| {
        let mut stream = connect(port.v4());
        stream.write_all(b"b").unwrap();
        assert!(clients::read_all(stream) == bytes);
    };
    // No room for another descriptor, or for the client's alone: then it is the server that finds no place.
    for room in [0, 1] {
        let (weir, port) = own_before(&backend);
        let worker = weir.worker();
        download(&port);
        weir.wait_access(1);
        assert_eq!(proc::pipes(worker), 1);
        // Idle sessions take the numbers that are free below the pipe's.
        let mut idle = Vec::new();
        wait_for("the numbers to be taken", || {
            idle.push(connect(port.v4()));
            wait_until_idle(worker);
            proc::free_descriptor(worker) > proc::pipe_descriptors(worker).into_iter().max().unwrap()
        });
        proc::limit_descriptors(worker, proc::free_descriptor(worker) + room);
        download(&port);
        weir.wait_access(2);
        assert_eq!(proc::pipes(worker), 0);
        assert!(!weir.error_log().contains("failed"), "{}", weir.error_log());
    }
}
