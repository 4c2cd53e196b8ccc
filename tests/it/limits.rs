//! Many sessions, and what happens when something runs out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::common::clients::{fetch, reset};
use super::common::proc;
use crate::common::*;

/// Lets this process open as many files as it may, and says how many.
fn raise_descriptors() -> u64 {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    hard
}

#[test]
fn five_thousand_sessions_at_once() {
    // A server that keeps every session and answers only when all are there: two descriptors a session here, two in the worker.
    let hard = raise_descriptors();
    let sessions = (hard.saturating_sub(1000) / 2).min(5000) as usize;
    if sessions < 5000 {
        eprintln!("only {sessions} sessions: the hard limit of open files is {hard}");
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let backend = thread::spawn(move || {
        let mut streams: Vec<TcpStream> = (0..sessions).map(|_| listener.accept().unwrap().0).collect();
        for stream in &mut streams {
            stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
            let mut number = [0; 4];
            stream.read_exact(&mut number).unwrap();
            stream.write_all(&number).unwrap();
        }
        for mut stream in streams {
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
    });
    let port = Port::reserve();
    let weir = Setup::proxy(port.v4(), address)
        .level("notice")
        .main(format!("worker_rlimit_nofile {hard};"))
        .events("worker_connections 18000;")
        .start();
    let mut clients: Vec<TcpStream> = (0..sessions)
        .map(|i| {
            let mut stream = connect(port.v4());
            stream.write_all(&(i as u32).to_be_bytes()).unwrap();
            stream
        })
        .collect();
    for (i, stream) in clients.iter_mut().enumerate() {
        let mut number = [0; 4];
        stream.read_exact(&mut number).unwrap();
        assert_eq!(number, (i as u32).to_be_bytes());
    }
    let worker = weir.worker();
    assert!(!proc::shows_descriptors() || proc::descriptors(worker) >= 2 * sessions);
    // Sessions at rest own no buffers: what each costs is its record.
    let each = proc::rss_anon(worker) / sessions as u64;
    assert!(each < 2048, "{each} bytes of memory a session");
    drop(clients);
    backend.join().unwrap();
    assert_eq!(weir.wait_access(sessions).len(), sessions);
    if proc::shows_descriptors() {
        wait_for("descriptors to be given back", || proc::descriptors(worker) < 50);
    }
    assert!(!weir.error_log().contains("[alert]") && !weir.error_log().contains("[error]"));
}

#[test]
fn worker_connections() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let weir = Setup::proxy(port.v4(), backend.address).events("worker_connections 20;").start();
    // nginx counts clients, upstreams and listening sockets; how many sessions that makes is for weir to say.
    let mut sessions = Vec::new();
    let refused = loop {
        let mut stream = connect(port.v4());
        stream.write_all(b"a").unwrap();
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => sessions.push(stream),
            _ => break sessions.len(),
        }
        assert!(sessions.len() <= 20, "no limit at all");
    };
    assert!((7..=10).contains(&refused), "{refused} sessions of two connections each with 20 worker_connections");
    let line = weir.wait_error("20 worker_connections are not enough");
    assert!(line.contains("[alert]"), "{line}");
    // The old ones do not suffer, and room that is made is used.
    for stream in &mut sessions {
        assert_eq!(ask(stream, b"b"), b"b");
    }
    drop(sessions);
    weir.wait_access(refused);
    assert_eq!(ask(connect(port.v4()), b"c"), b"c");
}

#[test]
fn too_few_connections_for_the_listeners() {
    let prefix = Prefix::new();
    let ports: Vec<Port> = (0..4).map(|_| Port::reserve()).collect();
    let servers: String = ports.iter().map(|port| format!("server {{ listen {}; return a; }}\n", port.v4())).collect();
    prefix.write("nginx.conf", Setup::tcp(servers).events("worker_connections 3;").text());
    let run = prefix.run(&[]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stderr.contains("3 worker_connections are not enough for 4 listening sockets"), "{}", run.stderr);
}

#[test]
fn nothing_leaks_over_sessions() {
    if !proc::shows_descriptors() {
        return;
    }
    let backend = Backend::start(backends::echo);
    let (port, text, dead, refused) = (Port::reserve(), Port::reserve(), Port::reserve(), Port::reserve());
    let nobody = Port::reserve();
    let tcp = format!(
        "server {{ listen {}; proxy_pass {}; }}\nserver {{ listen {}; return text; }}\nserver {{ listen {}; proxy_pass {}; }}\nserver {{ listen {}; deny all; return a; }}",
        port.v4(),
        backend.address,
        text.v4(),
        dead.v4(),
        nobody.v4(),
        refused.v4()
    );
    let weir = Setup::tcp(tcp).level("crit").start();
    let worker = weir.worker();
    let round = || {
        for i in 0..100 {
            let mut stream = connect(port.v4());
            if i % 3 > 0 {
                assert_eq!(ask(&mut stream, b"abc"), b"abc");
            }
            if i % 2 == 0 {
                reset(stream);
            }
            assert_eq!(fetch(text.v4()), "text");
            assert!(is_closed(connect(dead.v4())));
            assert!(is_closed(connect(refused.v4())));
        }
    };
    let base = proc::descriptors(worker);
    round();
    wait_for("descriptors to be given back", || proc::descriptors(worker) == base);
    let memory = proc::rss_anon(worker);
    for _ in 0..5 {
        round();
    }
    wait_for("descriptors to be given back", || proc::descriptors(worker) == base);
    let grown = proc::rss_anon(worker).saturating_sub(memory);
    assert!(grown < 256 * 1024, "{grown} bytes more after 2000 sessions");
}

#[test]
fn a_number_of_workers_beyond_all_sense_is_bounded() {
    let prefix = Prefix::new();
    let main = "worker_processes 9000000000000000000; worker_cpu_affinity auto; error_log stderr;";
    prefix.write("nginx.conf", format!("{main} events {{}}"));
    let status = prefix.command(&["-t"]).status().unwrap();
    let stderr = prefix.read("stderr");
    assert!(status.success() && stderr.contains("no more than 1024 worker processes can be started"), "{stderr}");
}
