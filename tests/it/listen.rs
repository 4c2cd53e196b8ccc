//! The forms of `listen`, and which server gets a session.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use super::common::clients::{fetch, try_connect};
use crate::common::*;

fn says(listen: &str, text: &str) -> String {
    format!("server {{ listen {listen}; return {text}; }}\n")
}

fn v4(port: &Port) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port.number))
}

fn v6(port: &Port) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::LOCALHOST, port.number))
}

#[test]
fn a_port_alone_is_every_ipv4_address() {
    for form in [|port: &Port| port.number.to_string(), |port: &Port| port.on("*")] {
        let port = Port::reserve();
        let _weir = Setup::tcp(says(&form(&port), "any")).start();
        assert_eq!(fetch(v4(&port)), "any");
        assert_eq!(fetch((Ipv4Addr::new(127, 1, 2, 3), port.number)), "any");
        assert!(try_connect(v6(&port)).is_err());
    }
}

#[test]
fn an_exact_address() {
    let port = Port::reserve();
    let _weir = Setup::tcp(says(&port.v4(), "exact")).start();
    assert_eq!(fetch(v4(&port)), "exact");
    assert!(try_connect((Ipv4Addr::new(127, 0, 0, 2), port.number)).is_err());
}

#[test]
fn an_ipv6_address() {
    if !ports::has_ipv6() {
        return;
    }
    let port = Port::reserve();
    let _weir = Setup::tcp(says(&port.v6(), "six")).start();
    assert_eq!(fetch(v6(&port)), "six");
    assert!(try_connect(v4(&port)).is_err());
}

#[test]
fn the_ipv6_wildcard_with_and_without_ipv4() {
    if !ports::has_ipv6() {
        return;
    }
    let only = Port::reserve();
    let both = Port::reserve();
    let plain = Port::reserve();
    let _weir = Setup::tcp(
        says(&format!("{} ipv6only=on", only.on("[::]")), "six")
            + &says(&format!("{} ipv6only=off", both.on("[::]")), "both")
            + &says(&plain.on("[::]"), "plain"),
    )
    .start();
    assert_eq!(fetch(v6(&only)), "six");
    assert!(try_connect(v4(&only)).is_err());
    assert_eq!(fetch(v6(&both)), "both");
    assert_eq!(fetch(v4(&both)), "both");
    assert_eq!(fetch(v6(&plain)), "plain");
}

#[test]
fn both_families_on_one_port() {
    if !ports::has_ipv6() {
        return;
    }
    let port = Port::reserve();
    let _weir =
        Setup::tcp(says(&port.number.to_string(), "four") + &says(&format!("{} ipv6only=on", port.on("[::]")), "six"))
            .start();
    assert_eq!(fetch(v4(&port)), "four");
    assert_eq!(fetch(v6(&port)), "six");
}

#[test]
fn a_host_name() {
    let port = Port::reserve();
    let _weir = Setup::tcp(says(&port.on("localhost"), "name")).start();
    assert_eq!(fetch(v4(&port)), "name");
}

#[test]
fn a_unix_socket_is_for_all_and_goes_with_weir() {
    let prefix = Prefix::new();
    let path = prefix.join("front.sock");
    let mut weir = Setup::tcp(says(&format!("unix:{}", path.display()), "\"hello $remote_addr\"")).start_in(prefix);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let mut text = String::new();
    UnixStream::connect(&path).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello unix:");
    weir.signal(Signal::SIGQUIT);
    assert!(weir.wait_exit().success());
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_stays_over_a_reload() {
    let prefix = Prefix::new();
    let path = prefix.join("front.sock");
    let setup = Setup::tcp(says(&format!("unix:{}", path.display()), "first"));
    let weir = setup.start_in(prefix);
    weir.reload(&Setup::tcp(says(&format!("unix:{}", path.display()), "second")));
    assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
    wait_for("the new configuration on the unix socket", || {
        let mut text = String::new();
        UnixStream::connect(&path).unwrap().read_to_string(&mut text).unwrap();
        text == "second"
    });
}

#[test]
fn an_exact_address_goes_before_the_wildcard() {
    let port = Port::reserve();
    let _weir = Setup::tcp(says(&port.number.to_string(), "wildcard") + &says(&port.v4(), "exact")).start();
    assert_eq!(fetch(v4(&port)), "exact");
    assert_eq!(fetch((Ipv4Addr::new(127, 0, 0, 2), port.number)), "wildcard");
}

#[test]
fn an_exact_ipv6_address_goes_before_the_wildcard() {
    if !ports::has_ipv6() {
        return;
    }
    let port = Port::reserve();
    let _weir = Setup::tcp(says(&port.on("[::]"), "wildcard") + &says(&port.v6(), "exact")).start();
    assert_eq!(fetch(v6(&port)), "exact");
}

#[test]
fn addresses_of_one_port_without_a_wildcard() {
    let port = Port::reserve();
    let _weir = Setup::tcp(says(&port.v4(), "one") + &says(&port.on("127.0.0.2"), "two")).start();
    assert_eq!(fetch(v4(&port)), "one");
    assert_eq!(fetch((Ipv4Addr::new(127, 0, 0, 2), port.number)), "two");
    assert!(try_connect((IpAddr::from([127, 0, 0, 3]), port.number)).is_err());
}

#[test]
fn the_default_server_of_an_address_gets_the_session() {
    let (first, marked, both) = (Port::reserve(), Port::reserve(), Port::reserve());
    let _weir = Setup::tcp(
        says(&first.v4(), "a")
            + &says(&first.v4(), "b")
            + &says(&marked.v4(), "a")
            + &says(&format!("{} default", marked.v4()), "b")
            + &says(&marked.v4(), "c")
            + &says(&format!("{} default", both.number), "wildcard")
            + &says(&both.v4(), "a")
            + &says(&format!("{} default", both.v4()), "b"),
    )
    .start();
    assert_eq!(fetch(v4(&first)), "a");
    assert_eq!(fetch(v4(&marked)), "b");
    assert_eq!(fetch(v4(&both)), "b");
    assert_eq!(fetch((Ipv4Addr::new(127, 0, 0, 2), both.number)), "wildcard");
}

#[test]
fn several_listens_of_one_server() {
    if !ports::has_ipv6() {
        return;
    }
    let (one, two) = (Port::reserve(), Port::reserve());
    let tcp = format!("server {{ listen {}; listen {}; return \"$server_addr $server_port\"; }}", one.v4(), two.v6());
    let _weir = Setup::tcp(tcp).start();
    assert_eq!(fetch(v4(&one)), format!("127.0.0.1 {}", one.number));
    assert_eq!(fetch(v6(&two)), format!("::1 {}", two.number));
}

#[test]
fn a_second_default_and_a_second_listen_are_refused() {
    let prefix = Prefix::new();
    let port = Port::reserve();
    let refused = |tcp: String| {
        prefix.write("nginx.conf", Setup::tcp(tcp).text());
        let run = prefix.run(&["-t"]);
        assert_eq!(run.status.code(), Some(1), "{}", run.stderr);
        run.stderr
    };
    let default = says(&format!("{} default", port.v4()), "a");
    let answer = refused(default.clone() + &default);
    assert!(answer.contains(&format!("[emerg] a duplicate default server for {} in ", port.v4())), "{answer}");
    let answer = refused(format!("server {{ listen {a}; listen {a}; return a; }}", a = port.v4()));
    assert!(answer.contains("duplicate") && answer.contains(&port.v4()), "{answer}");
}

#[test]
fn a_bind_of_its_own() {
    let port = Port::reserve();
    let _weir = Setup::tcp(says(&format!("{} bind", port.v4()), "bound")).start();
    assert_eq!(fetch(v4(&port)), "bound");
}

#[test]
fn the_file_of_a_unix_socket_goes_when_a_reload_drops_it() {
    let prefix = Prefix::new();
    let path = prefix.join("front.sock");
    let port = Port::reserve();
    let weir = Setup::tcp(says(&port.v4(), "a") + &says(&format!("unix:{}", path.display()), "a")).start_in(prefix);
    assert!(path.exists());
    weir.reload(&Setup::tcp(says(&port.v4(), "b")));
    wait_for("the file to go", || !path.exists());
    assert_eq!(fetch(v4(&port)), "b");
}

#[test]
fn a_file_in_the_way_of_a_unix_socket_is_told() {
    // As with nginx: what a killed process has left is for the operator to take away.
    let prefix = Prefix::new();
    let path = prefix.write("front.sock", "");
    prefix.write("nginx.conf", Setup::tcp(says(&format!("unix:{}", path.display()), "a")).text());
    let run = prefix.run(&[]);
    assert_eq!(run.status.code(), Some(1));
    let wanted = format!("bind() to unix:{} failed (98: Address already in use)", path.display());
    assert!(run.stderr.contains(&wanted), "{}", run.stderr);
    assert!(path.exists());
}

#[test]
fn many_listeners() {
    let ports: Vec<Port> = (0..100).map(|_| Port::reserve()).collect();
    let tcp: String = ports.iter().enumerate().map(|(i, port)| says(&port.v4(), &i.to_string())).collect();
    let weir = Setup::tcp(tcp.clone()).start();
    weir.reload(&Setup::tcp(tcp));
    for (i, port) in ports.iter().enumerate() {
        assert_eq!(fetch(v4(port)), i.to_string());
    }
}
