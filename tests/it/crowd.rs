//! Everything at once: clients and servers of all kinds, mixed by chance, with reloads and a dying worker in between.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::common::clients::{noise, reset};
use super::common::proc;
use super::common::running::send;
use crate::common::*;

/// A server that does what the first byte says: echo, or leave in one of several ways after some bytes.
pub fn moody(mut stream: TcpStream) {
    let mut kind = [0];
    if stream.read_exact(&mut kind).is_err() {
        return;
    }
    match kind[0] {
        b'e' => backends::echo(stream),
        b'r' => backends::reset(stream),
        b'c' => backends::close(stream),
        b'h' => {
            let _ = stream.write_all(&noise(100_000));
            backends::reset(stream);
        }
        _ => backends::silent(stream),
    }
}

/// Echoes noise in pieces and pauses of all sizes; whether all came back, which is so unless weir was hurt.
pub fn whole_echo(address: &str, dice: &mut Dice) -> std::io::Result<()> {
    let mut stream = clients::try_connect(address)?;
    stream.write_all(b"e")?;
    let bytes = noise(1 + dice.roll(300_000));
    let mut reader = stream.try_clone()?;
    let mut pause = dice.clone();
    let answer = thread::scope(|scope| {
        scope.spawn(|| {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(1 + dice.roll(40_000)));
                if stream.write_all(piece).is_err() {
                    return;
                }
                rest = after;
            }
        });
        let mut answer = vec![0; bytes.len()];
        let mut got = 0;
        while got < answer.len() {
            let end = answer.len().min(got + 1 + pause.roll(60_000));
            match reader.read(&mut answer[got..end]) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => got += count,
                Err(error) => return Err(error),
            }
            if pause.roll(8) == 0 {
                thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(answer)
    })?;
    assert!(answer == bytes, "bytes were changed on their way");
    Ok(())
}

/// A client that misbehaves in one way or another; nothing is expected of weir but that it lives.
pub fn rude(address: &str, dice: &mut Dice) {
    let Ok(mut stream) = clients::try_connect(address) else { return };
    let kind = *b"ercxh".get(dice.roll(5)).unwrap();
    let _ = stream.write_all(&[kind]);
    let _ = stream.write_all(&noise(dice.roll(100_000)));
    match dice.roll(5) {
        0 => reset(stream),
        1 => _ = stream.shutdown(Shutdown::Write),
        2 => _ = stream.shutdown(Shutdown::Read),
        3 => _ = stream.read(&mut [0; 1000]),
        _ => {
            let _ = stream.shutdown(Shutdown::Write);
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut piece = vec![0; 30_000];
            while let Ok(1..) = stream.read(&mut piece) {}
        }
    }
}

fn setup(port: &Port, backend: &Backend, dead: &Port) -> Setup {
    Setup::tcp(format!(
        "timeout 5s; proxy_read_timeout 5s; proxy_send_timeout 5s; proxy_buffer 2k;
        upstream u {{ server {} weight=3; server {} max_fails=1 fail_timeout=1s; }}
        server {{ listen {}; proxy_pass u; }}",
        backend.address,
        dead.v4(),
        port.v4()
    ))
    .level("info")
    .workers(2)
    .events("worker_connections 4096; multi_accept on;")
}

fn crowd(address: &str, served: &AtomicUsize, hurt: &AtomicUsize, during: impl FnOnce()) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 1..=8u64 {
            let stop = &stop;
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                while !stop.load(Ordering::SeqCst) {
                    if seed % 2 == 0 {
                        rude(address, &mut dice);
                        continue;
                    }
                    let counter = if whole_echo(address, &mut dice).is_ok() { served } else { hurt };
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        during();
        stop.store(true, Ordering::SeqCst);
    });
}

/// After the crowd has gone nothing may be left of it.
fn assert_clean(weir: &Weir, port: &Port) {
    for worker in weir.workers() {
        if proc::shows_descriptors() {
            wait_for("the worker to be rid of all sessions", || proc::descriptors(worker) < 40);
        }
        wait::wait_until_idle(worker);
    }
    let mut stream = connect(port.v4());
    stream.write_all(b"e").unwrap();
    assert_eq!(ask(&mut stream, b"123"), b"123");
}

#[test]
fn of_all_kinds() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let backend = Backend::start(moody);
    let weir = setup(&port, &backend, &dead).start();
    let workers = weir.workers();
    let (served, hurt) = (AtomicUsize::new(0), AtomicUsize::new(0));
    crowd(&port.v4(), &served, &hurt, || {
        wait_for("some hundred whole sessions", || served.load(Ordering::SeqCst) > 300);
    });
    assert_eq!(hurt.load(Ordering::SeqCst), 0);
    assert_eq!(weir.workers(), workers, "no worker has died");
    assert_clean(&weir, &port);
    let log = weir.error_log();
    for line in log.lines() {
        let grave = ["[alert]", "[crit]", "[emerg]", "panicked"].iter().any(|word| line.contains(word));
        assert!(!grave, "{line}");
    }
}

#[test]
fn with_reloads_in_between() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let backend = Backend::start(moody);
    let setup = setup(&port, &backend, &dead);
    let weir = setup.start();
    let (served, hurt) = (AtomicUsize::new(0), AtomicUsize::new(0));
    crowd(&port.v4(), &served, &hurt, || {
        for _ in 0..6 {
            let target = served.load(Ordering::SeqCst) + 20;
            wait_for("sessions", || served.load(Ordering::SeqCst) > target);
            weir.reload(&setup);
        }
    });
    assert_eq!(hurt.load(Ordering::SeqCst), 0, "of {} sessions", served.load(Ordering::SeqCst));
    wait_for("old workers to leave", || proc::children(weir.master()).len() == 2);
}

#[test]
fn with_dying_workers() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let backend = Backend::start(moody);
    let weir = setup(&port, &backend, &dead).start();
    let (served, hurt) = (AtomicUsize::new(0), AtomicUsize::new(0));
    crowd(&port.v4(), &served, &hurt, || {
        for _ in 0..5 {
            let target = served.load(Ordering::SeqCst) + 20;
            wait_for("sessions", || served.load(Ordering::SeqCst) > target);
            let victim = weir.wait_workers(2)[0];
            send(victim, Signal::SIGKILL);
            wait_for("another worker", || weir.workers().len() == 2 && !weir.workers().contains(&victim));
        }
    });
    assert_clean(&weir, &port);
}
