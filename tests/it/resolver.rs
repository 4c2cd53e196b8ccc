//! `server name:port resolve`: a group that follows its name, against name servers that answer well, badly, or not at all.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};

use super::common::backends::{greeting, named};
use super::common::clients::fetch;
use super::common::dns::{A, AAAA, Dns};
use crate::common::*;

/// Servers that say their names, all on one port, each on an address of its own.
struct Servers {
    port: Port,
    _backends: Vec<Backend>,
}

impl Servers {
    fn start(names: &[(&str, &'static str)]) -> Servers {
        let port = Port::reserve();
        let listener = |host: &str| TcpListener::bind((host, port.number)).unwrap();
        let backends = names.iter().map(|(host, name)| Backend::serve(listener(host), named(*name))).collect();
        Servers { port, _backends: backends }
    }

    /// One more, which greets and echoes.
    fn add(&self, host: &str, greets: &'static str) -> Backend {
        Backend::serve(TcpListener::bind((host, self.port.number)).unwrap(), greeting(greets))
    }
}

/// A group with `line` in it, which `resolver` is to resolve.
pub fn following(listen: &Port, resolver: &str, line: &str) -> Setup {
    Setup::tcp(format!(
        "upstream u {{ {line} }} resolver {resolver}; server {{ listen {}; proxy_pass u; }}",
        listen.v4()
    ))
}

/// weir in front of `servers`, which are the addresses that `dns` gives to backend.test.
fn start(servers: &Servers, dns: &Dns, parameters: &str) -> (Weir, String) {
    let listen = Port::reserve();
    let line = format!("server backend.test:{} resolve;", servers.port.number);
    let resolver = format!("{} valid=1s {parameters}", dns.address);
    (following(&listen, &resolver, &line).start(), listen.v4())
}

/// Who answers now, `count` sessions asked.
pub fn who(address: &str, count: usize) -> BTreeSet<String> {
    (0..count).map(|_| fetch(address)).collect()
}

#[track_caller]
pub fn wait_who(address: &str, names: &[&str]) {
    let names: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    wait_for(&format!("sessions to go to {names:?}"), || who(address, 2 * names.len().max(1)) == names);
}

#[test]
fn the_group_follows_its_name_and_live_sessions_go_on() {
    let servers = Servers::start(&[("127.0.0.2", "two"), ("127.0.0.3", "three")]);
    let echo = servers.add("127.0.0.4", "four");
    let dns = Dns::with(&["127.0.0.4"]);
    let (weir, address) = start(&servers, &dns, "");
    let warning = format!("[warn] host not found in upstream \"backend.test:{}\" in ", servers.port.number);
    assert!(weir.prefix.read("stderr").contains(&warning));
    weir.wait_error("backend.test has now 127.0.0.4, upstream: \"u\"");
    let mut live = connect(&address);
    let mut greeted = [0; 4];
    live.read_exact(&mut greeted).unwrap();
    assert_eq!(&greeted, b"four");
    dns.change(&["127.0.0.2", "127.0.0.3"]);
    weir.wait_error("backend.test has now 127.0.0.2, 127.0.0.3, upstream: \"u\"");
    assert_eq!(who(&address, 6), BTreeSet::from(["two".into(), "three".into()]));
    dns.change(&["127.0.0.3"]);
    weir.wait_error("backend.test has now 127.0.0.3, upstream: \"u\"");
    assert_eq!(who(&address, 4), BTreeSet::from(["three".into()]));
    let taken = echo.accepted();
    assert_eq!(ask(&live, b"still there"), b"still there");
    drop(live);
    dns.change(&["127.0.0.4", "127.0.0.2"]);
    weir.wait_error("backend.test has now 127.0.0.2, 127.0.0.4, upstream: \"u\"");
    assert_eq!(echo.accepted(), taken);
    let log = weir.prefix.read("access.log");
    assert!(log.contains(&format!("127.0.0.4:{}", servers.port.number)), "{log}");
}

#[test]
fn every_worker_follows_for_itself() {
    let servers = Servers::start(&[("127.0.0.2", "two"), ("127.0.0.3", "three")]);
    let dns = Dns::with(&["127.0.0.2"]);
    let listen = Port::reserve();
    let line = format!("server backend.test:{} resolve;", servers.port.number);
    let resolver = format!("{} valid=1s", dns.address);
    let setup = following(&listen, &resolver, &line).workers(3);
    let weir = setup.start();
    let has = |weir: &Weir, what: &str| weir.error_log().matches(&format!("backend.test has now {what},")).count();
    wait_for("all workers to know", || has(&weir, "127.0.0.2") == 3);
    dns.change(&["127.0.0.3"]);
    wait_for("all workers to know", || has(&weir, "127.0.0.3") == 3);
    assert_eq!(who(&listen.v4(), 8), BTreeSet::from(["three".into()]));
    // New workers begin anew.
    weir.reload(&setup);
    wait_for("the new workers to know", || has(&weir, "127.0.0.3") >= 6);
    assert_eq!(who(&listen.v4(), 8), BTreeSet::from(["three".into()]));
}

#[test]
fn what_is_known_of_addresses_that_stay_is_kept() {
    let servers = Servers::start(&[("127.0.0.2", "two"), ("127.0.0.4", "four")]);
    let dns = Dns::with(&["127.0.0.2", "127.0.0.3"]);
    let listen = Port::reserve();
    let line = format!("server backend.test:{} resolve max_fails=1 fail_timeout=1h;", servers.port.number);
    let weir = following(&listen, &format!("{} valid=1s", dns.address), &line).start();
    let failures = || weir.error_log().matches("connect() failed (111: Connection refused)").count();
    weir.wait_error("backend.test has now");
    assert_eq!(who(&listen.v4(), 4), BTreeSet::from(["two".into()]));
    assert_eq!(failures(), 1, "127.0.0.3 is marked failed");
    dns.change(&["127.0.0.4", "127.0.0.3", "127.0.0.2"]);
    weir.wait_error("backend.test has now 127.0.0.2, 127.0.0.3, 127.0.0.4,");
    assert_eq!(who(&listen.v4(), 8), BTreeSet::from(["two".into(), "four".into()]));
    assert_eq!(failures(), 1, "its mark is kept");
}

#[test]
fn time_to_live_counts_without_valid() {
    let servers = Servers::start(&[("127.0.0.2", "two"), ("127.0.0.3", "three")]);
    let dns = Dns::with(&["127.0.0.2"]);
    let listen = Port::reserve();
    let line = format!("server backend.test:{} resolve;", servers.port.number);
    let _weir = following(&listen, &dns.address.to_string(), &line).start();
    wait_who(&listen.v4(), &["two"]);
    dns.change(&["127.0.0.3"]);
    wait_who(&listen.v4(), &["three"]);
}

#[test]
fn truncated_answers_are_asked_for_over_tcp() {
    let servers = Servers::start(&[("127.0.0.2", "two"), ("127.0.0.3", "three")]);
    let dns = Dns::start(|query| match query.tcp {
        false => vec![query.truncated(&["127.0.0.2"])],
        true => vec![query.addresses(&["127.0.0.3"])],
    });
    let (weir, address) = start(&servers, &dns, "");
    weir.wait_error("backend.test has now 127.0.0.3,");
    wait_who(&address, &["three"]);
    let (udp, tcp): (Vec<_>, Vec<_>) = dns.queries().into_iter().partition(|query| !query.tcp);
    assert!(tcp.iter().any(|query| query.kind == A) && tcp.iter().any(|query| query.kind == AAAA), "{tcp:?}");
    assert!(!udp.is_empty());
}

#[test]
fn other_answers_are_passed_over() {
    let servers = Servers::start(&[("127.0.0.2", "two"), ("127.0.0.3", "spoofed")]);
    let spoofer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = Dns::start(move |query| {
        let wrong = query.addresses(&["127.0.0.3"]);
        // From another address, with all else right.
        spoofer.send_to(&wrong, query.from).unwrap();
        let with = |change: &dyn Fn(&mut super::common::dns::Query)| {
            let mut other = query.clone();
            change(&mut other);
            other.addresses(&["127.0.0.3"])
        };
        let mut no_reply = wrong.clone();
        no_reply[2] &= 0x7f;
        vec![
            with(&|other| other.id ^= 1),
            with(&|other| other.name = "other.test".into()),
            with(&|other| other.kind = A + AAAA - other.kind),
            with(&|other| other.kind = 255),
            no_reply,
            wrong[..11].to_vec(),
            Vec::new(),
            vec![0xff; 600],
            query.addresses(&["127.0.0.2"]),
        ]
    });
    let (weir, address) = start(&servers, &dns, "");
    weir.wait_error("backend.test has now 127.0.0.2,");
    weir.wait_error("weir::resolver::lookup: unexpected reply");
    wait_who(&address, &["two"]);
    assert!(!weir.error_log().contains("127.0.0.3"));
    wait_for("three lookups", || dns.queries().len() >= 6);
    let ports: BTreeSet<u16> = dns.queries().iter().map(|query| query.from.port()).collect();
    let ids: BTreeSet<u16> = dns.queries().iter().map(|query| query.id).collect();
    assert!(ports.len() >= 2 && ids.len() >= 4, "{ports:?} {ids:?}");
}

#[test]
fn a_silent_server_is_left_for_the_next() {
    let servers = Servers::start(&[("127.0.0.2", "two")]);
    let (silent, dns) = (Dns::start(|_| Vec::new()), Dns::with(&["127.0.0.2"]));
    let listen = Port::reserve();
    let line = format!("server backend.test:{} resolve;", servers.port.number);
    let resolver = format!("{} {} valid=1s", silent.address, dns.address);
    let weir = following(&listen, &resolver, &line).start();
    weir.wait_error("backend.test has now 127.0.0.2,");
    wait_who(&listen.v4(), &["two"]);
    assert!(!silent.queries().is_empty());
    assert!(!weir.error_log().contains("could not be resolved"));
}

#[test]
fn servers_that_refuse_are_left_at_once() {
    let servers = Servers::start(&[("127.0.0.2", "two")]);
    let (refusing, failing, dns) =
        (Dns::start(|query| vec![query.code(5)]), Dns::start(|query| vec![query.code(2)]), Dns::with(&["127.0.0.2"]));
    let gone = Dns::with(&[]).address;
    let listen = Port::reserve();
    let line = format!("server backend.test:{} resolve;", servers.port.number);
    let resolver = format!("{} {} {gone} {} valid=1s", refusing.address, failing.address, dns.address);
    let weir = following(&listen, &resolver, &line).start();
    weir.wait_error("backend.test has now 127.0.0.2,");
    weir.wait_error(&format!(
        "backend.test was answered with (5: Operation refused) while resolving, resolver: {}",
        refusing.address
    ));
    weir.wait_error(&format!("failed (111: Connection refused) while resolving, resolver: {gone}"));
    assert!(!weir.error_log().contains("could not be resolved"));
}

#[test]
fn a_name_that_ceases_to_exist_leaves_the_group_empty() {
    let servers = Servers::start(&[("127.0.0.2", "two")]);
    let dns = Dns::with(&["127.0.0.2"]);
    let (weir, address) = start(&servers, &dns, "");
    weir.wait_error("backend.test has now 127.0.0.2,");
    dns.say(|query| vec![query.code(3)]);
    let line = weir.wait_error("could not be resolved");
    assert!(
        line.contains("[error]") && line.contains("backend.test could not be resolved (3: Host not found)"),
        "{line}"
    );
    weir.wait_error("backend.test has now no address,");
    assert_eq!(fetch(&address), "");
    weir.wait_error("no live upstreams while connecting to upstream");
    // A name without addresses is the same.
    dns.change(&["127.0.0.2"]);
    wait_who(&address, &["two"]);
    dns.change(&[]);
    wait_who(&address, &[""]);
}

#[test]
fn addresses_are_kept_while_name_servers_fail() {
    let servers = Servers::start(&[("127.0.0.2", "two"), ("127.0.0.3", "three")]);
    let dns = Dns::with(&["127.0.0.2"]);
    let listen = Port::reserve();
    let setup = Setup::tcp(format!(
        "server {{ listen {}; proxy_pass u; }} resolver_timeout 1s; resolver {} valid=1s; upstream u {{ server backend.test:{} resolve; }}",
        listen.v4(),
        dns.address,
        servers.port.number
    ));
    let weir = setup.start();
    weir.wait_error("backend.test has now 127.0.0.2,");
    dns.say(|query| vec![query.code(2)]);
    weir.wait_error("backend.test could not be resolved (2: Server failure)");
    assert_eq!(who(&listen.v4(), 2), BTreeSet::from(["two".into()]));
    dns.say(|_| Vec::new());
    weir.wait_error("backend.test could not be resolved (110: Operation timed out)");
    assert_eq!(who(&listen.v4(), 2), BTreeSet::from(["two".into()]));
    // Nonsense that has the right question: records that end too early, circles, a wrong length.
    dns.say(|query| {
        let mut reply = query.addresses(&["127.0.0.3", "::1"]);
        reply[7] = 9;
        vec![reply]
    });
    weir.wait_error("unexpected DNS response for backend.test while resolving");
    assert_eq!(who(&listen.v4(), 2), BTreeSet::from(["two".into()]));
    let address = dns.address;
    drop(dns);
    weir.wait_error("failed (111: Connection refused) while resolving");
    assert_eq!(who(&listen.v4(), 2), BTreeSet::from(["two".into()]));
    let _back = Dns::again(address, |query| vec![query.addresses(&["127.0.0.3"])]);
    wait_who(&listen.v4(), &["three"]);
}

#[test]
fn a_family_without_answer_keeps_its_addresses() {
    if !ports::has_ipv6() {
        return;
    }
    let servers = Servers::start(&[("127.0.0.2", "two"), ("::1", "six")]);
    let dns = Dns::with(&["127.0.0.2", "::1"]);
    let (weir, address) = start(&servers, &dns, "");
    weir.wait_error("backend.test has now 127.0.0.2, ::1,");
    wait_who(&address, &["two", "six"]);
    dns.say(|query| if query.kind == A { vec![query.addresses(&["127.0.0.9"])] } else { vec![query.code(2)] });
    weir.wait_error("backend.test has now 127.0.0.9, ::1,");
    dns.say(|query| if query.kind == A { vec![query.addresses(&["127.0.0.2"])] } else { vec![query.addresses(&[])] });
    wait_who(&address, &["two"]);
}

#[test]
fn families_can_be_switched_off() {
    if !ports::has_ipv6() {
        return;
    }
    let servers = Servers::start(&[("127.0.0.2", "two"), ("::1", "six")]);
    for (parameter, kind, name) in [("ipv6=off", A, "two"), ("ipv4=off", AAAA, "six")] {
        let dns = Dns::with(&["127.0.0.2", "::1"]);
        let (weir, address) = start(&servers, &dns, parameter);
        weir.wait_error("backend.test has now");
        wait_who(&address, &[name]);
        assert!(dns.queries().iter().all(|query| query.kind == kind));
    }
}

#[test]
fn aliases_are_followed() {
    if !ports::has_ipv6() {
        return;
    }
    let servers = Servers::start(&[("127.0.0.2", "two"), ("::1", "six")]);
    let dns = Dns::start(|query| vec![query.aliased(&["127.0.0.2", "::1"])]);
    let (_weir, address) = start(&servers, &dns, "");
    wait_who(&address, &["two", "six"]);
}

#[test]
fn an_alias_without_addresses_is_asked_for() {
    if !ports::has_ipv6() {
        return;
    }
    let servers = Servers::start(&[("127.0.0.2", "two"), ("::1", "six"), ("127.0.0.3", "three")]);
    let dns = Dns::start(|query| match query.name.as_str() {
        "backend.test" => vec![query.alias("Middle.test")],
        // The rest of the way comes over TCP.
        "middle.test" if query.tcp => vec![query.alias("end.test")],
        "middle.test" => vec![query.truncated(&[])],
        "end.test" => vec![query.addresses(&["127.0.0.2", "::1"])],
        _ => vec![query.code(3)],
    });
    let (weir, address) = start(&servers, &dns, "");
    weir.wait_error("backend.test has now 127.0.0.2, ::1,");
    wait_who(&address, &["two", "six"]);
    // No end is found: the addresses at hand are kept.
    dns.say(|query| vec![query.alias(if query.name == "a.test" { "b.test" } else { "a.test" })]);
    weir.wait_error("unexpected DNS response for backend.test while resolving");
    weir.wait_error("backend.test could not be resolved (2: Server failure)");
    assert_eq!(who(&address, 4), BTreeSet::from(["two".into(), "six".into()]));
    let before = dns.queries().len();
    wait_for("another lookup", || dns.queries().len() > before + 40);
    // One family has addresses behind the alias, the other has none.
    dns.say(|query| match query.name.as_str() {
        "backend.test" => vec![query.alias("end.test")],
        _ => vec![query.addresses(&["127.0.0.3"])],
    });
    wait_who(&address, &["three"]);
    // An alias of nothing.
    dns.say(|query| if query.name == "backend.test" { vec![query.alias("x.test")] } else { vec![query.code(3)] });
    weir.wait_error("backend.test could not be resolved (3: Host not found)");
    weir.wait_error("backend.test has now no address,");
}

#[test]
fn lines_of_one_name_share_their_queries() {
    let servers = Servers::start(&[("127.0.0.2", "two")]);
    let dns = Dns::with(&["127.0.0.2"]);
    let listen = Port::reserve();
    let port = servers.port.number;
    let line = format!(
        "server backend.test:{port} resolve; server BACKEND.test.:{port} resolve weight=2; server backend.test:{port} resolve backup;"
    );
    let weir = following(&listen, &format!("{} valid=1h", dns.address), &line).start();
    wait_for("all three lines", || weir.error_log().matches("backend.test has now 127.0.0.2").count() == 3);
    wait_who(&listen.v4(), &["two"]);
    assert_eq!(dns.queries().len(), 2, "{:?}", dns.queries());
}

#[test]
fn the_addresses_of_the_start_serve_until_there_is_an_answer() {
    let servers = Servers::start(&[("127.0.0.1", "one"), ("127.0.0.2", "two")]);
    let dns = Dns::start(|_| Vec::new());
    let listen = Port::reserve();
    let line = format!("server localhost:{} resolve;", servers.port.number);
    let _weir = following(&listen, &format!("{} valid=1s ipv6=off", dns.address), &line).start();
    assert_eq!(who(&listen.v4(), 4), BTreeSet::from(["one".into()]));
    dns.change(&["127.0.0.2"]);
    wait_who(&listen.v4(), &["two"]);
    dns.change(&["127.0.0.2", "127.0.0.1"]);
    wait_who(&listen.v4(), &["one", "two"]);
}

#[test]
fn addresses_that_come_are_checked() {
    let servers = Servers::start(&[("127.0.0.2", "two")]);
    let dns = Dns::with(&["127.0.0.2", "127.0.0.3"]);
    let listen = Port::reserve();
    let port = servers.port.number;
    let line = format!(
        "server backend.test:{port} resolve max_fails=0; check interval=100 fall=1 rise=1 timeout=2000 type=tcp;"
    );
    let weir = following(&listen, &format!("{} valid=1s", dns.address), &line).workers(2).start();
    let of = |what: &str| weir.error_log().matches(what).count();
    weir.wait_error(&format!("peer 127.0.0.2:{port} of upstream \"u\" is up"));
    weir.wait_error(&format!("peer 127.0.0.3:{port} of upstream \"u\" is down"));
    wait_for("both workers to know", || of("backend.test has now 127.0.0.2, 127.0.0.3,") == 2);
    assert_eq!(who(&listen.v4(), 8), BTreeSet::from(["two".into()]));
    assert_eq!(of("connecting to upstream"), 0, "nobody is sent to a peer that is down");
    let three = servers.add("127.0.0.3", "three");
    weir.wait_error(&format!("peer 127.0.0.3:{port} of upstream \"u\" is up"));
    dns.change(&["127.0.0.4"]);
    weir.wait_error(&format!("peer 127.0.0.4:{port} of upstream \"u\" is down"));
    wait_for("both workers to know", || of("backend.test has now 127.0.0.4,") == 2);
    let probes = three.accepted();
    assert_eq!(fetch(listen.v4()), "");
    let _four = servers.add("127.0.0.4", "four");
    weir.wait_error(&format!("peer 127.0.0.4:{port} of upstream \"u\" is up"));
    assert!(three.accepted() <= probes + 1, "who is gone is not checked any more");
    // Found by one of two workers, said once.
    assert_eq!(of(&format!("peer 127.0.0.4:{port} of upstream \"u\" is up")), 1);
}

#[test]
fn probes_go_on_while_addresses_come_and_go() {
    let servers = Servers::start(&[]);
    let silent = Backend::start(super::common::backends::silent);
    // Another address each time, sooner than a probe runs out of time.
    let turn = std::sync::atomic::AtomicBool::new(false);
    let dns = Dns::start(move |query| {
        let other = turn.fetch_xor(true, std::sync::atomic::Ordering::Relaxed);
        vec![query.addresses(if other { &["127.0.0.2"] } else { &["127.0.0.3"] })]
    });
    let listen = Port::reserve();
    let weir = Setup::tcp(format!(
        "upstream silent {{ server {}; check interval=1000 timeout=2500 type=imap fall=1; }}
         upstream u {{ server backend.test:{} resolve; check interval=100 type=tcp; }}
         resolver {} valid=1s ipv6=off; server {{ listen {}; proxy_pass u; }}",
        silent.address,
        servers.port.number,
        dns.address,
        listen.v4()
    ))
    .start();
    weir.wait_error(&format!("peer {} of upstream \"silent\" is down", silent.address));
    assert!(weir.error_log().matches("backend.test has now").count() > 1, "they came and went");
}

#[test]
fn another_port_is_another_peer_after_a_reload() {
    let servers = Servers::start(&[("127.0.0.2", "two")]);
    let (dns, dead, listen) = (Dns::with(&["127.0.0.2"]), Port::reserve(), Port::reserve());
    let setup = |port: &Port| {
        let line = format!("server backend.test:{} resolve; check interval=3600000 fall=100;", port.number);
        following(&listen, &format!("{} valid=1s", dns.address), &line)
    };
    let weir = setup(&servers.port).start();
    weir.wait_error(&format!("peer 127.0.0.2:{} of upstream \"u\" is up", servers.port.number));
    weir.reload(&setup(&dead));
    // Its own first probe decides.
    weir.wait_error(&format!("peer 127.0.0.2:{} of upstream \"u\" is down", dead.number));
    weir.reload(&setup(&servers.port));
    wait_who(&listen.v4(), &["two"]);
}

#[test]
fn sessions_count_over_a_reload_whatever_the_order_of_lines() {
    let servers = Servers::start(&[]);
    let _two = servers.add("127.0.0.2", "two");
    let dns = Dns::start(|query| match query.name.as_str() {
        "backend.test" => vec![query.addresses(&["127.0.0.2"])],
        _ => vec![query.code(3)],
    });
    let listen = Port::reserve();
    let line = format!("server backend.test:{} resolve max_busy=2;", servers.port.number);
    let setup = |line: &str| following(&listen, &format!("{} valid=1s", dns.address), line);
    let weir = setup(&line).start();
    weir.wait_error("backend.test has now 127.0.0.2");
    let greeted = || {
        let mut client = connect(listen.v4());
        client.read_exact(&mut [0; 3]).map(|()| client)
    };
    let sessions = [greeted().unwrap(), greeted().unwrap()];
    weir.reload(&setup(&format!("server other.test:{} resolve; {line}", servers.port.number)));
    wait_for("the new worker to know", || weir.error_log().matches("backend.test has now 127.0.0.2").count() == 2);
    assert!(is_closed(connect(listen.v4())));
    drop(sessions);
    wait_for("room for another", || greeted().is_ok());
}

#[test]
fn the_configuration_in_the_readme() {
    let readme = include_str!("../../README.md");
    let mut blocks = readme.split("```nginx\n").skip(1).filter_map(|rest| rest.split("```").next());
    let text = blocks.find(|block| block.contains("resolve ")).expect("a configuration with a name that is followed");
    let servers = Servers::start(&[("127.0.0.2", "two")]);
    let (dns, listen) = (Dns::with(&["127.0.0.2"]), Port::reserve());
    let replaced = [
        ("127.0.0.1:53", dns.address.to_string()),
        ("game.example:7777", format!("game.example:{}", servers.port.number)),
        ("listen 7777", format!("listen {}", listen.v4())),
    ];
    let text = replaced.iter().fold(text.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    let prefix = Prefix::new();
    prefix.write("nginx.conf", format!("daemon off; pid weir.pid; error_log error.log notice;\n{text}"));
    let weir = Weir::launch(prefix, &[]);
    weir.wait_error("game.example has now 127.0.0.2, upstream: \"game\"");
    weir.wait_workers(1);
    wait_who(&listen.v4(), &["two"]);
}

#[test]
fn faulty_lines_are_refused() {
    let refused = |tcp: &str, message: &str| {
        let prefix = Prefix::new();
        prefix.write("nginx.conf", format!("pid weir.pid;\nevents {{}}\ntcp {{\n{tcp}\n}}\n"));
        let run = prefix.run(&["-t"]);
        assert_eq!(run.status.code(), Some(1), "{tcp}: {}", run.stderr);
        assert!(
            run.stderr.contains(&format!("[emerg] {message} in {}:", prefix.text_path("nginx.conf"))),
            "{}",
            run.stderr
        );
        let emerg = run.stderr.lines().find(|line| line.contains("[emerg]")).unwrap();
        let line: usize = emerg.rsplit(':').next().unwrap().parse().unwrap();
        // Where `tcp` begins.
        line - 3
    };
    assert_eq!(
        refused(
            "upstream u {\nserver 127.0.0.1:1;\nserver x.test:1 resolve;\n}",
            "no resolver defined to resolve x.test"
        ),
        3
    );
    assert_eq!(
        refused("upstream u {\nserver x.test resolve;\n}\nresolver off;", "no resolver defined to resolve x.test"),
        2
    );
    assert_eq!(
        refused("upstream u { server x..test resolve; } resolver 127.0.0.1;", "invalid host in upstream \"x..test\""),
        1
    );
    assert_eq!(refused("upstream u { server x.test:1 resolve=on; }", "invalid parameter \"resolve=on\""), 1);
    assert_eq!(refused("upstream u { server x.test:1; }", "host not found in upstream \"x.test:1\""), 1);
    assert_eq!(
        refused("upstream u { server x.test resolve backup;\n}\nresolver 127.0.0.1;", "no servers in upstream \"u\""),
        2
    );
    assert_eq!(refused("\nresolver 127.0.0.1 valid=10ms;", "invalid parameter: valid=10ms"), 2);
    assert_eq!(refused("resolver 127.0.0.1 ipv6=yes;", "invalid parameter: ipv6=yes"), 1);
    assert_eq!(refused("resolver 127.0.0.1 ipv4=off ipv6=off;", "\"ipv4\" and \"ipv6\" cannot both be \"off\""), 1);
    assert_eq!(refused("resolver 127.0.0.1:0;", "invalid port in resolver \"127.0.0.1:0\""), 1);
    assert_eq!(refused("resolver valid=1s;", "no name servers defined"), 1);
    assert_eq!(refused("resolver off;\nresolver 127.0.0.1;", "\"resolver\" directive is duplicate"), 2);
    assert_eq!(refused("resolver_timeout x;", "\"resolver_timeout\" directive invalid value"), 1);
}
