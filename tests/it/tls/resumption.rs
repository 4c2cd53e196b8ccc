//! Clients that come again: by session id and by ticket, to another worker, after a reload.

use std::fs;

use super::super::common::running::send;
use super::*;

/// How a client comes again, and what a server must say for it.
const WAYS: [(&str, &str, &str); 4] = [
    ("by id", "-tls1_2 -no_ticket", "ssl_session_cache shared:SSL:1m;"),
    ("by ticket", "-tls1_2", ""),
    ("by ticket of TLS 1.3", "-tls1_3", ""),
    ("by id of TLS 1.3", "-tls1_3", "ssl_session_cache shared:SSL:1m; ssl_session_tickets off;"),
];

/// Comes for the first time and keeps the session.
#[track_caller]
fn first(weir: &Weir, port: &Port, arguments: &str) {
    let file = weir.prefix.text_path("session");
    let told = s_client(port, &[&arguments.split(' ').collect::<Vec<_>>()[..], &["-sess_out", &file]].concat());
    assert!(told.contains("\nNew, TLSv1."), "{told}");
    assert!(fs::metadata(&file).is_ok_and(|file| file.len() > 0), "no session: {told}");
}

/// Comes again; whether that shortened the handshake. The session that is kept stays the first one.
fn again(weir: &Weir, port: &Port, arguments: &str) -> bool {
    let file = weir.prefix.text_path("session");
    let told = s_client(port, &[&arguments.split(' ').collect::<Vec<_>>()[..], &["-sess_in", &file]].concat());
    assert!(told.contains("\nReused, TLSv1.") != told.contains("\nNew, TLSv1."), "{told}");
    told.contains("\nReused, TLSv1.")
}

#[test]
fn to_another_worker_and_after_reloads() {
    for (what, arguments, more) in WAYS {
        let port = Port::reserve();
        let setup = greeter(&port, more).workers(2);
        let weir = setup.start_in(folder());
        first(&weir, &port, arguments);
        assert!(again(&weir, &port, arguments), "{what}");
        let old = weir.workers();
        old.iter().for_each(|&pid| send(pid, Signal::SIGKILL));
        wait_for("new workers", || {
            let now = weir.workers();
            now.len() == 2 && !now.iter().any(|pid| old.contains(pid))
        });
        assert!(again(&weir, &port, arguments), "{what} with new workers");
        for reload in 1..=3 {
            weir.reload(&setup);
            assert!(again(&weir, &port, arguments), "{what} after reload {reload}");
        }
        if more.contains("shared") {
            weir.reload(&greeter(&port, &more.replace("1m", "2m")).workers(2));
            assert!(!again(&weir, &port, arguments), "{what}: a zone of another size is a new one");
        }
    }
}

#[test]
fn a_cache_of_the_workers_own_takes_nothing_from_the_shared_one() {
    let (_, arguments, _) = WAYS[0];
    let port = Port::reserve();
    let setup = greeter(&port, "ssl_session_cache builtin:2 shared:SSL:1m;");
    let weir = setup.start_in(folder());
    first(&weir, &port, arguments);
    for _ in 0..5 {
        s_client(&port, &["-tls1_2", "-no_ticket"]);
    }
    assert!(again(&weir, &port, arguments), "after others");
    weir.reload(&setup);
    assert!(again(&weir, &port, arguments), "after a reload");
}

#[test]
fn without_a_master_too() {
    let (_, arguments, more) = WAYS[0];
    let port = Port::reserve();
    let setup = greeter(&port, more).main("master_process off;");
    let prefix = folder();
    prefix.write("nginx.conf", setup.text());
    let weir = Weir::launch(prefix, &[]);
    first(&weir, &port, arguments);
    weir.signal(Signal::SIGHUP);
    weir.wait_error("reconfiguring");
    assert!(again(&weir, &port, arguments));
}

#[test]
fn a_worker_of_its_own_cache_and_none_at_all() {
    let arguments = WAYS[0].1;
    for (more, resumed) in [
        ("ssl_session_cache builtin;", true),
        ("ssl_session_cache builtin:100 shared:SSL:1m;", true),
        ("ssl_session_cache none;", false),
        ("ssl_session_cache off;", false),
        ("", false),
    ] {
        let port = Port::reserve();
        let weir = greeter(&port, more).start_in(folder());
        // A server that keeps nothing may give no id to keep.
        let file = weir.prefix.text_path("session");
        s_client(&port, &["-tls1_2", "-no_ticket", "-sess_out", &file]);
        let known = fs::metadata(&file).is_ok_and(|file| file.len() > 0);
        assert_eq!(known && again(&weir, &port, arguments), resumed, "{more}");
    }
}

#[test]
fn tickets_can_be_switched_off() {
    let port = Port::reserve();
    let weir = greeter(&port, "ssl_session_tickets off;").start_in(folder());
    let file = weir.prefix.text_path("session");
    let told = s_client(&port, &["-tls1_2", "-sess_out", &file]);
    assert!(!told.contains("TLS session ticket:"), "{told}");
    let port = Port::reserve();
    let _weir = greeter(&port, "").start_in(folder());
    let told = s_client(&port, &["-tls1_2"]);
    assert!(told.contains("TLS session ticket:"), "{told}");
}

#[test]
fn machines_with_one_ticket_key_know_each_others_clients() {
    let identity = Identity::alone();
    for length in [48, 80] {
        let (old, new) = (clients::noise(length), clients::noise(length + 1)[1..].to_vec());
        let start = |keys: &str| {
            let prefix = Prefix::new();
            identity.write(&prefix, "server");
            prefix.write("old.tickets", &old);
            prefix.write("new.tickets", &new);
            let port = Port::reserve();
            (greeter(&port, keys).start_in(prefix), port)
        };
        let (here, port) = start("ssl_session_ticket_key old.tickets;");
        let (_there, other) = start("ssl_session_ticket_key new.tickets; ssl_session_ticket_key old.tickets;");
        let (_stranger, third) = start("ssl_session_ticket_key new.tickets;");
        for arguments in ["-tls1_2", "-tls1_3"] {
            first(&here, &port, arguments);
            assert!(again(&here, &other, arguments), "{length} {arguments}");
            assert!(!again(&here, &third, arguments), "{length} {arguments}");
        }
    }
}

#[test]
fn sessions_grow_old() {
    let one = |(_, arguments, more): (&str, &str, &str)| {
        let port = Port::reserve();
        let weir = greeter(&port, &format!("{more} ssl_session_timeout 6s;")).start_in(folder());
        first(&weir, &port, arguments);
        assert!(again(&weir, &port, arguments));
        wait_for("the session to be too old", || !again(&weir, &port, arguments));
    };
    std::thread::scope(|scope| WAYS.map(|way| scope.spawn(move || one(way))).map(|thread| thread.join().unwrap()));
}

#[test]
fn a_session_is_good_only_with_the_server_it_was_made_with() {
    let prefix = folder();
    Identity::alone().write(&prefix, "other");
    let (port, other) = (Port::reserve(), Port::reserve());
    let weir = Setup::tcp(format!(
        "ssl_session_cache shared:SSL:1m;
         server {{ listen {} ssl; return hi; {OURS} }}
         server {{ listen {} ssl; return hi; ssl_certificate other.pem; ssl_certificate_key other.key; }}",
        port.v4(),
        other.v4()
    ))
    .start_in(prefix);
    for (_, arguments, _) in &WAYS[..3] {
        first(&weir, &port, arguments);
        assert!(again(&weir, &port, arguments));
        assert!(!again(&weir, &other, arguments));
    }
}
