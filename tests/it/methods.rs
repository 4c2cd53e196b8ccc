//! `ip_hash` and `busyness` with real clients.

use std::collections::HashMap;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::common::running::send;
use super::common::wait::PATIENCE;
use crate::common::*;

fn group(port: &Port, lines: &str) -> Setup {
    Setup::tcp(format!("upstream u {{\n{lines}\n}}\nserver {{ listen {}; proxy_pass u; }}", port.v4()))
}

/// A connection from this address of the loopback network, and the first byte that came over it.
fn from(source: &str, port: &Port) -> Option<(char, TcpStream)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&port.v4().parse::<SocketAddr>().unwrap().into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut name = [0];
    stream.read_exact(&mut name).ok().map(|()| (name[0].into(), stream))
}

fn name(source: &str, port: &Port) -> char {
    from(source, port).map_or('-', |(name, _)| name)
}

/// The first choice by the old module's rule.
fn hash(a: u32, b: u32, c: u32) -> usize {
    [a, b, c].iter().fold(89, |hash, byte| (hash * 113 + byte) % 6271) as usize
}

#[test]
fn ip_hash_keeps_networks_with_their_servers() {
    let port = Port::reserve();
    let names = ['a', 'b', 'c', 'd', 'e'];
    let servers = names.map(|name| Backend::start(backends::named(name)));
    let lines: String = servers.iter().map(|server| format!("server {};\n", server.address)).collect();
    let weir = group(&port, &format!("ip_hash;\n{lines}")).workers(2).start();
    let mut seen = std::collections::BTreeSet::new();
    for (b, c) in [(0, 0), (1, 2), (77, 9), (200, 201), (3, 3), (255, 254), (16, 32), (8, 1)] {
        let expected = names[hash(127, b, c) % 5];
        for last in [1, 2, 77, 254] {
            assert_eq!(name(&format!("127.{b}.{c}.{last}"), &port), expected, "127.{b}.{c}.{last}");
        }
        seen.insert(expected);
    }
    assert!(seen.len() > 2, "{seen:?}");
    drop(weir);
    // The reference's table: 127.0.0.1 is 0 of 2, 2 of 3, 0 of 5.
    assert_eq!([2, 3, 5].map(|peers| hash(127, 0, 0) % peers), [0, 2, 0]);
}

#[test]
fn ip_hash_goes_on_from_servers_that_are_down_or_fail() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let [a, b] = ["a", "b"].map(|name| Backend::start(backends::named(name)));
    // 127.0.0.x leads to the third of three.
    for third in [format!("server {};", dead.v4()), format!("server {} down;", b.address)] {
        let lines = format!("ip_hash;\nserver {};\nserver {};\n{third}", a.address, b.address);
        let weir = group(&port, &lines).start();
        let mut hash = hash(127, 0, 0);
        assert_eq!(hash % 3, 2);
        while hash % 3 == 2 {
            hash = [127, 0, 0].iter().fold(hash, |hash, byte| (hash * 113 + byte) % 6271);
        }
        let expected = ['a', 'b'][hash % 3];
        for _ in 0..5 {
            assert_eq!(name("127.0.0.1", &port), expected);
        }
        drop(weir);
    }
}

fn counts(sessions: &[(char, TcpStream)]) -> HashMap<char, usize> {
    let mut counts = HashMap::new();
    for (name, _) in sessions {
        *counts.entry(*name).or_default() += 1;
    }
    counts
}

#[test]
fn busyness_evens_out_sessions_of_all_workers() {
    let port = Port::reserve();
    let [a, b, c] = ["a", "b", "c"].map(|name| Backend::start(backends::greeting(name)));
    let lines = format!(
        "busyness;\nserver {};\nserver {};\nserver {};\ncheck interval=3600000;",
        a.address, b.address, c.address
    );
    let weir = group(&port, &lines).workers(3).start();
    wait_for("all to be up", || weir.error_log().matches("is up").count() == 3);
    let open = |count: usize| -> Vec<_> { (0..count).map(|_| from("127.0.0.1", &port).unwrap()).collect() };
    let mut sessions = open(30);
    assert_eq!(counts(&sessions), HashMap::from([('a', 10), ('b', 10), ('c', 10)]));
    // All of a's end: it gets what comes until it has as many as the others.
    sessions.retain(|(name, _)| *name != 'a');
    weir.wait_access(10);
    assert_eq!(counts(&open(8)), HashMap::from([('a', 8)]));
    weir.wait_access(18);
    drop(sessions);
    weir.wait_access(38);
    // A killed worker's sessions count no longer.
    let held = open(12);
    weir.workers().into_iter().for_each(|worker| send(worker, Signal::SIGKILL));
    assert!(held.iter().all(|(_, stream)| is_closed(stream)));
    weir.wait_workers(3);
    wait_for("evenness", || counts(&open(3)).len() == 3);
}

#[test]
fn busyness_passes_over_servers_that_are_down() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let a = Backend::start(backends::greeting("a"));
    let lines = format!("server {};\nserver {};\nbusyness;\ncheck interval=3600000;", dead.v4(), a.address);
    let weir = group(&port, &lines).start();
    weir.wait_error("is up");
    weir.wait_error("is down");
    let sessions: Vec<_> = (0..5).map(|_| from("127.0.0.1", &port).unwrap()).collect();
    assert_eq!(counts(&sessions), HashMap::from([('a', 5)]));
    assert!(!weir.error_log().contains("while connecting"));
}

#[test]
fn busyness_without_checks_is_round_robin() {
    let port = Port::reserve();
    let servers = ["a", "b", "c"].map(|name| Backend::start(backends::named(name)));
    let lines: String = servers.iter().map(|server| format!("server {};\n", server.address)).collect();
    let weir = group(&port, &format!("{lines}busyness;")).start();
    let names: String = (0..6).map(|_| name("127.0.0.1", &port)).collect();
    assert_eq!(names, "abcabc");
    assert!(weir.prefix.read("stderr").contains("\"busyness\" without \"check\" acts as round robin"));
}
