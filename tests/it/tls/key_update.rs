//! Keys changed in the middle of a session of TLS 1.3.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use super::super::common::clients::{connect_narrow, noise};
use super::super::common::wait::{PATIENCE, wait_until_idle};
use super::*;

/// Passes on all that clients send, and what comes back to them only while it is open.
fn valve(to: SocketAddr, open: Arc<AtomicBool>) -> Backend {
    Backend::start(move |client| {
        let server = connect_narrow(to);
        let (mut from, mut into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let there = thread::spawn(move || std::io::copy(&mut from, &mut into));
        let (mut from, mut into, mut buffer) = (server, client, [0; 4096]);
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            wait_for("the valve to open", || open.load(Ordering::Relaxed));
            into.write_all(&buffer[..count]).unwrap();
        }
        let _ = into.shutdown(std::net::Shutdown::Write);
        let _ = there.join();
    })
}

/// `openssl s_client`, which takes commands by its input and logs to `log`.
fn commanded(to: SocketAddr, log: &std::path::Path) -> Child {
    Command::new("openssl")
        .args(["s_client", "-brief", "-tls1_3", "-connect", &to.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(log).unwrap())
        .spawn()
        .unwrap()
}

/// OpenSSL keeps the answer to the first for its next write, and sends it at once when the second comes.
const WORDS: usize = 3;

#[test]
fn answers_are_wanted_while_the_client_takes_nothing() {
    let bytes = noise(10 << 20);
    let (sender, said) = mpsc::channel();
    let backend = Backend::start({
        let bytes = bytes.clone();
        move |mut stream| {
            let mut word = [0; 3];
            stream.read_exact(&mut word).unwrap();
            let mut from = stream.try_clone().unwrap();
            let sender = sender.clone();
            let listener = thread::spawn(move || {
                for _ in 0..WORDS {
                    from.read_exact(&mut word).unwrap();
                    sender.send(word).unwrap();
                }
            });
            stream.write_all(&bytes).unwrap();
            listener.join().unwrap();
        }
    });
    let port = Port::reserve();
    let weir = proxy(&port, &backend, "").start_in(folder());
    let open = Arc::new(AtomicBool::new(true));
    let valve = valve(port.v4().parse().unwrap(), open.clone());
    let log = weir.prefix.join("s_client");
    let mut child = commanded(valve.address, &log);
    let mut input = child.stdin.take().unwrap();
    wait_for("the handshake", || backend.accepted() == 1);
    open.store(false, Ordering::Relaxed);
    input.write_all(b"go\n").unwrap();
    wait_until_idle(weir.worker());
    for count in 1..=WORDS {
        input.write_all(b"K\n").unwrap();
        wait_for("the command", || weir.prefix.read("s_client").matches("KEYUPDATE").count() == count);
        input.write_all(b"on\n").unwrap();
        assert_eq!(said.recv_timeout(PATIENCE).unwrap(), *b"on\n");
    }
    open.store(true, Ordering::Relaxed);
    let mut received = vec![0; bytes.len()];
    let result = child.stdout.take().unwrap().read_exact(&mut received);
    child.kill().unwrap();
    child.wait().unwrap();
    result.unwrap();
    assert!(received == bytes);
    assert!(!weir.error_log().contains("SSL_"), "{}", weir.error_log());
}
