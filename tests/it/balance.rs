//! Choosing a server: weights, failures, backups, limits.

use std::collections::HashMap;
use std::net::TcpStream;

use super::common::clients::{fetch, is_quiet};
use super::common::running::send;
use crate::common::*;

/// One server on `port` that proxies to an upstream with these lines.
fn group(port: &Port, servers: &str) -> Setup {
    Setup::tcp(format!("upstream u {{\n{servers}\n}}\nserver {{ listen {}; proxy_pass u; }}", port.v4()))
}

/// What the servers say over so many sessions, one after the other.
fn names(port: &Port, sessions: usize) -> Vec<String> {
    (0..sessions).map(|_| fetch(port.v4())).collect()
}

fn counts(names: &[String]) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for name in names {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    counts
}

#[test]
fn weights() {
    let port = Port::reserve();
    let [a, b, c] = ["a", "b", "c"].map(|name| Backend::start(backends::named(name)));
    let servers = format!("server {} weight=5;\nserver {};\nserver {} weight=1;", a.address, b.address, c.address);
    let _weir = group(&port, &servers).start();
    let names = names(&port, 140);
    assert_eq!(counts(&names), HashMap::from([("a", 100), ("b", 20), ("c", 20)]));
    // The smooth algorithm spreads the lighter servers over the round.
    for round in names.chunks(7) {
        assert_eq!(round.concat(), "aabacaa");
    }
}

#[test]
fn equal_servers_take_turns() {
    let port = Port::reserve();
    let servers: Vec<Backend> = (0..4).map(|i| Backend::start(backends::named(i.to_string()))).collect();
    let lines: String = servers.iter().map(|server| format!("server {};\n", server.address)).collect();
    let _weir = group(&port, &lines).start();
    assert_eq!(names(&port, 12).concat(), "012301230123");
}

#[test]
fn a_host_name_without_upstream_block() {
    let port = Port::reserve();
    let backend = Backend::start(backends::named("direct"));
    let _weir = Setup::proxy(port.v4(), format!("localhost:{}", backend.address.port())).start();
    assert_eq!(fetch(port.v4()), "direct");
}

#[test]
fn a_dead_server_is_passed_over() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let backend = Backend::start(backends::named("alive"));
    let weir = group(&port, &format!("server {};\nserver {};", dead.v4(), backend.address)).level("info").start();
    assert_eq!(names(&port, 10), vec!["alive"; 10]);
    let refusals = weir.error_log().matches("connect() failed (111: Connection refused)").count();
    assert_eq!(refusals, 1, "left alone after the first failure");
    let line = weir.wait_error("connect() failed");
    let wanted = format!(
        "connect() failed (111: Connection refused) while connecting to upstream, client: 127.0.0.1, server: {}, upstream: \"{}\"",
        port.v4(),
        dead.v4()
    );
    assert!(line.contains(" [error] ") && line.ends_with(&wanted), "{line}");
    let line = weir.wait_error("upstream server temporarily disabled");
    assert!(line.contains(" [warn] ") && line.contains("while connecting to upstream"), "{line}");
}

#[test]
fn max_fails() {
    for (parameter, expected) in [("max_fails=3", 3), ("max_fails=0", 10)] {
        let (port, dead) = (Port::reserve(), Port::reserve());
        let backend = Backend::start(backends::named("alive"));
        let servers = format!("server {} {parameter};\nserver {};", dead.v4(), backend.address);
        let weir = group(&port, &servers).level("info").start();
        assert_eq!(names(&port, 20), vec!["alive"; 20]);
        let refusals = weir.error_log().matches("connect() failed (111: Connection refused)").count();
        assert_eq!(refusals, expected, "{parameter}");
    }
}

#[test]
fn a_server_is_tried_again_after_fail_timeout() {
    let (port, late) = (Port::reserve(), Port::reserve());
    let backend = Backend::start(backends::named("a"));
    let servers = format!("server {} fail_timeout=1s;\nserver {};", late.v4(), backend.address);
    let weir = group(&port, &servers).level("info").start();
    assert_eq!(names(&port, 4), vec!["a"; 4]);
    weir.wait_error("temporarily disabled");
    let late = Backend::on(&late, backends::named("late"));
    wait_for("the server to be tried again", || fetch(port.v4()) == "late");
    // It has its full share again: at first it is only tried once in a while, as in nginx.
    wait_for("its full share", || counts(&names(&port, 8)).get("late") == Some(&4));
    drop(late);
}

#[test]
fn backup() {
    let (port, primary, other) = (Port::reserve(), Port::reserve(), Port::reserve());
    let backup = Backend::start(backends::named("backup"));
    let first = Backend::on(&primary, backends::named("primary"));
    let servers = format!(
        "server {} backup;\nserver {} fail_timeout=1s;\nserver {} fail_timeout=1s;",
        backup.address,
        primary.v4(),
        other.v4()
    );
    let _weir = group(&port, &servers).start();
    assert_eq!(names(&port, 6), vec!["primary"; 6]);
    drop(first);
    assert_eq!(names(&port, 6), vec!["backup"; 6]);
    let _again = Backend::on(&primary, backends::named("primary"));
    wait_for("the primary to serve again", || fetch(port.v4()) == "primary");
}

#[test]
fn several_backups_share() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let [a, b] = ["a", "b"].map(|name| Backend::start(backends::named(name)));
    let servers = format!(
        "server {} fail_timeout=1h;\nserver {} backup weight=2;\nserver {} backup;",
        dead.v4(),
        a.address,
        b.address
    );
    let _weir = group(&port, &servers).start();
    assert_eq!(counts(&names(&port, 30)), HashMap::from([("a", 20), ("b", 10)]));
}

#[test]
fn down() {
    let port = Port::reserve();
    let [a, b] = ["a", "b"].map(|name| Backend::start(backends::named(name)));
    let _weir = group(&port, &format!("server {} down;\nserver {};", a.address, b.address)).start();
    assert_eq!(names(&port, 6), vec!["b"; 6]);
    assert_eq!(a.accepted(), 0);
}

#[test]
fn no_server_left_closes_the_client() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let weir = Setup::proxy(port.v4(), dead.v4()).start();
    assert!(is_closed(connect(port.v4())));
    weir.wait_access(1);
    let errors = weir.prefix.lines("error.log").into_iter().filter(|line| line.contains(" [error] "));
    let errors: Vec<String> = errors.collect();
    assert!(errors.len() == 1 && errors[0].contains("connect() failed (111: Connection refused)"), "{errors:?}");
    let port = Port::reserve();
    let weir = group(&port, "server 127.0.0.1:1 down;").start();
    assert!(is_closed(connect(port.v4())));
    let line = weir.wait_error("no live upstreams while connecting to upstream");
    assert!(line.contains(" [error] ") && line.contains("client: 127.0.0.1"), "{line}");
}

#[test]
fn when_all_have_failed_all_are_tried_anew() {
    let (port, one, two) = (Port::reserve(), Port::reserve(), Port::reserve());
    let servers = format!("server {} fail_timeout=1h;\nserver {} fail_timeout=1h;", one.v4(), two.v4());
    let weir = group(&port, &servers).level("info").start();
    assert!(is_closed(connect(port.v4())));
    assert_eq!(weir.error_log().matches("connect() failed").count(), 2, "each is tried once a session");
    let _one = Backend::on(&one, backends::named("one"));
    let _two = Backend::on(&two, backends::named("two"));
    // The failure of the first session may be noticed at the second, which is then closed too; not later.
    let answers = names(&port, 5);
    assert!(answers[1..].iter().all(|answer| !answer.is_empty()), "{answers:?}");
    let answers = names(&port, 4);
    assert_eq!(counts(&answers), HashMap::from([("one", 2), ("two", 2)]));
}

#[test]
fn a_single_server_is_never_given_up() {
    let (port, late) = (Port::reserve(), Port::reserve());
    let _weir = group(&port, &format!("server {} fail_timeout=1h;", late.v4())).start();
    for _ in 0..3 {
        assert!(is_closed(connect(port.v4())));
    }
    let _late = Backend::on(&late, backends::named("late"));
    assert_eq!(fetch(port.v4()), "late");
}

/// Opens sessions until each has its server, and says which.
fn open(port: &Port, sessions: usize) -> Vec<(String, TcpStream)> {
    (0..sessions)
        .map(|_| {
            let mut stream = connect(port.v4());
            let mut name = [0];
            std::io::Read::read_exact(&mut stream, &mut name).unwrap();
            (String::from_utf8(name.to_vec()).unwrap(), stream)
        })
        .collect()
}

#[test]
fn max_busy_counts_the_sessions_of_all_workers() {
    let port = Port::reserve();
    let a = Backend::start(backends::greeting("a"));
    let b = Backend::start(backends::greeting("b"));
    let servers = format!("server {} max_busy=3;\nserver {};", a.address, b.address);
    let weir = group(&port, &servers).workers(3).start();
    let sessions = open(&port, 20);
    let with_a = sessions.iter().filter(|(name, _)| name == "a").count();
    assert_eq!(with_a, 3);
    // What ends makes room.
    drop(sessions);
    weir.wait_access(20);
    let sessions = open(&port, 20);
    assert_eq!(sessions.iter().filter(|(name, _)| name == "a").count(), 3);
}

#[test]
fn a_client_beyond_every_max_busy_is_closed() {
    let port = Port::reserve();
    let a = Backend::start(backends::greeting("a"));
    let weir = group(&port, &format!("server {} max_busy=2;", a.address)).start();
    let sessions = open(&port, 2);
    assert!(is_closed(connect(port.v4())));
    weir.wait_error("no live upstreams");
    assert!(sessions.iter().all(|(_, stream)| is_quiet(stream)));
    drop(sessions);
    weir.wait_access(3);
    open(&port, 2);
}

#[test]
fn the_sessions_of_a_dead_worker_count_no_longer() {
    let port = Port::reserve();
    let a = Backend::start(backends::greeting("a"));
    let weir = group(&port, &format!("server {} max_busy=2;", a.address)).start();
    let sessions = open(&port, 2);
    let worker = weir.worker();
    send(worker, Signal::SIGKILL);
    for (_, stream) in &sessions {
        assert!(is_closed(stream));
    }
    wait_for("another worker", || weir.workers().first().is_some_and(|&pid| pid != worker));
    let _again = open(&port, 2);
    assert!(is_closed(connect(port.v4())));
}

#[test]
fn failed_connects_do_not_stay_busy() {
    let (port, late) = (Port::reserve(), Port::reserve());
    let _weir = group(&port, &format!("server {} max_busy=1;", late.v4())).start();
    for _ in 0..5 {
        assert!(is_closed(connect(port.v4())));
    }
    let _late = Backend::on(&late, backends::greeting("l"));
    assert_eq!(open(&port, 1)[0].0, "l");
}

#[test]
fn a_unix_socket_behind() {
    let prefix = Prefix::new();
    let path = prefix.join("back.sock");
    backends::unix(&path, "unix");
    let (port, direct) = (Port::reserve(), Port::reserve());
    let tcp = format!(
        "upstream u {{ server unix:{p}; }}\nserver {{ listen {}; proxy_pass u; }}\nserver {{ listen {}; proxy_pass unix:{p}; }}",
        port.v4(),
        direct.v4(),
        p = path.display()
    );
    let weir = Setup::tcp(tcp).start_in(prefix);
    for address in [port.v4(), direct.v4()] {
        let mut stream = connect(address);
        assert_eq!(ask(&mut stream, b"ping"), b"unix");
        assert_eq!(ask(&mut stream, b"pong"), b"ping");
    }
    let lines = weir.wait_access(2);
    assert!(lines[0].contains(&format!(" unix:{} ", path.display())), "{lines:?}");
}

#[test]
fn an_ipv6_server() {
    if !ports::has_ipv6() {
        return;
    }
    let port = Port::reserve();
    let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
    let backend = Backend::serve(listener, backends::named("six"));
    let _weir = Setup::proxy(port.v4(), backend.address).start();
    assert_eq!(fetch(port.v4()), "six");
}

#[test]
fn workers_share_the_load_fairly() {
    // Each worker goes round by itself, so over many sessions the shares hold for any number of workers.
    let port = Port::reserve();
    let [a, b] = ["a", "b"].map(|name| Backend::start(backends::named(name)));
    let _weir = group(&port, &format!("server {} weight=3;\nserver {};", a.address, b.address)).workers(2).start();
    let names = names(&port, 200);
    let with_a = counts(&names)["a"] as i64;
    assert!((with_a - 150).abs() <= 6, "{with_a}");
}

#[test]
fn many_servers() {
    // All but the last are dead: one session tries each once, in turn, and finds it.
    let port = Port::reserve();
    let dead: Vec<Port> = (0..150).map(|_| Port::reserve()).collect();
    let backend = Backend::start(backends::named("last"));
    let lines: String = dead.iter().map(|port| format!("server {} fail_timeout=1h;\n", port.v4())).collect();
    let weir = group(&port, &format!("{lines}server {};", backend.address)).level("error").start();
    assert_eq!(names(&port, 3), vec!["last"; 3]);
    assert_eq!(weir.error_log().matches("connect() failed").count(), dead.len());
}
