//! `allow` and `deny`.

use std::io::Read;
use std::os::unix::net::UnixStream;

use super::common::clients::fetch;
use crate::common::*;

/// What clients on 127.0.0.1 and ::1 get from servers with these rules: the text, or nothing.
fn verdicts(in_tcp: &str, in_server: &str) -> (bool, bool) {
    let port = Port::reserve();
    let listens = format!("listen {}; listen {};", port.v4(), port.v6());
    let weir = Setup::tcp(format!("{in_tcp}\nserver {{ {listens} {in_server}\nreturn in; }}")).start();
    let verdict = |address: String| match fetch(address).as_str() {
        "in" => true,
        "" => false,
        other => panic!("{other:?}"),
    };
    let verdicts = (verdict(port.v4()), verdict(port.v6()));
    let refused = [verdicts.0, verdicts.1].iter().filter(|v| !**v).count();
    wait_for("a line for each refused client", || {
        weir.error_log().matches("access forbidden by rule").count() == refused
    });
    verdicts
}

#[test]
fn ipv4() {
    if !ports::has_ipv6() {
        return;
    }
    assert_eq!(verdicts("", "deny 127.0.0.1;"), (false, true));
    assert_eq!(verdicts("", "deny 127.0.0.2;"), (true, true));
    assert_eq!(verdicts("", "deny 127.0.0.0/8;"), (false, true));
    assert_eq!(verdicts("", "deny 126.0.0.0/8;"), (true, true));
    assert_eq!(verdicts("", "deny 0.0.0.0/0;"), (false, true));
}

#[test]
fn ipv6() {
    if !ports::has_ipv6() {
        return;
    }
    assert_eq!(verdicts("", "deny ::1;"), (true, false));
    assert_eq!(verdicts("", "deny ::/64;"), (true, false));
    assert_eq!(verdicts("", "deny ::2;"), (true, true));
    assert_eq!(verdicts("", "allow ::1; deny all;"), (false, true));
}

#[test]
fn all() {
    if !ports::has_ipv6() {
        return;
    }
    assert_eq!(verdicts("", "deny all;"), (false, false));
    assert_eq!(verdicts("", "allow all;"), (true, true));
    assert_eq!(verdicts("", ""), (true, true));
}

#[test]
fn the_first_match_wins() {
    if !ports::has_ipv6() {
        return;
    }
    assert_eq!(verdicts("", "allow 127.0.0.1; deny all;"), (true, false));
    assert_eq!(verdicts("", "deny all; allow 127.0.0.1;"), (false, false));
    assert_eq!(verdicts("", "deny 127.0.0.1; allow 127.0.0.0/8; deny all;"), (false, false));
    assert_eq!(verdicts("", "allow 127.0.0.1; deny 127.0.0.0/8; allow all;"), (true, true));
}

#[test]
fn rules_of_the_server_replace_those_around_it() {
    if !ports::has_ipv6() {
        return;
    }
    assert_eq!(verdicts("deny all;", ""), (false, false));
    assert_eq!(verdicts("deny all;", "allow 127.0.0.1;"), (true, true));
    assert_eq!(verdicts("allow 127.0.0.1; deny all;", "deny 127.0.0.1;"), (false, true));
}

#[test]
fn host_bits_do_not_matter() {
    if !ports::has_ipv6() {
        return;
    }
    assert_eq!(verdicts("", "deny 127.3.2.1/8;"), (false, true));
}

#[test]
fn unix() {
    for (rules, expected) in
        [("deny unix:;", ""), ("allow unix:; deny all;", "in"), ("deny all;", ""), ("deny 127.0.0.1;", "in")]
    {
        let prefix = Prefix::new();
        let path = prefix.join("front.sock");
        let weir =
            Setup::tcp(format!("server {{ listen unix:{}; {rules} return in; }}", path.display())).start_in(prefix);
        let mut text = String::new();
        UnixStream::connect(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, expected, "{rules}");
        if expected.is_empty() {
            weir.wait_error("access forbidden by rule");
        }
    }
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() {
    if !ports::has_ipv6() {
        return;
    }
    let port = Port::reserve();
    let tcp = format!("server {{ listen {} ipv6only=off; deny 127.0.0.1; return in; }}", port.on("[::]"));
    let _weir = Setup::tcp(tcp).start();
    assert_eq!(fetch(port.v6()), "in");
    assert_eq!(fetch(port.v4()), "");
}

#[test]
fn a_refused_client_reaches_no_server_and_is_logged() {
    let port = Port::reserve();
    let backend = Backend::start(backends::echo);
    let weir =
        Setup::tcp(format!("server {{ listen {}; deny 127.0.0.1; proxy_pass {}; }}", port.number, backend.address))
            .level("notice")
            .start();
    assert!(is_closed(connect(port.v4())));
    let line = weir.wait_error("access forbidden by rule");
    assert!(line.contains(" [notice] "), "{line}");
    let wanted = format!("access forbidden by rule, client: 127.0.0.1, server: 0.0.0.0:{}", port.number);
    assert!(line.ends_with(&wanted), "{line}");
    assert_eq!(backend.accepted(), 0);
}
