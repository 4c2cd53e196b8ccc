//! `server name service=name resolve`: a group whose servers are those that SRV records name.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::common::backends::{greeting, named};
use super::common::clients::fetch;
use super::common::dns::{A, AAAA, Dns, Query, SRV};
use super::resolver::{following, wait_who, who};
use crate::common::*;

/// Servers that say their names, each on an address and a port of its own; the host with this name has that address.
struct Servers(Vec<(&'static str, Backend)>);

impl Servers {
    fn start(names: &[&'static str]) -> Servers {
        let start = |(number, name): (usize, &&'static str)| {
            let listener = TcpListener::bind((format!("127.0.0.{}", number + 2), 0)).unwrap();
            (*name, Backend::serve(listener, named(*name)))
        };
        Servers(names.iter().enumerate().map(start).collect())
    }

    fn port(&self, name: &str) -> u16 {
        self.0.iter().find(|(known, _)| *known == name).unwrap().1.address.port()
    }

    /// Answers questions about the hosts, and with `records` (priority, weight, host) those about services.
    fn answer(
        &self,
        ttl: u32,
        records: &'static [(u16, u16, &'static str)],
    ) -> impl Fn(&Query) -> Vec<Vec<u8>> + Send + 'static {
        let hosts: Vec<_> = self.0.iter().map(|(name, backend)| (*name, backend.address)).collect();
        move |query| {
            let host = |name: &str| hosts.iter().find(|(known, _)| *known == name);
            if query.kind == SRV {
                let record =
                    |&(priority, weight, name)| (priority, weight, host(name).map_or(1, |host| host.1.port()), name);
                return vec![query.services(ttl, &records.iter().map(record).collect::<Vec<_>>())];
            }
            match host(&query.name) {
                Some((_, address)) => vec![query.addresses(&[address.ip().to_string().as_str()])],
                None => vec![query.code(3)],
            }
        }
    }
}

/// weir with this `server` line and what there is to say about the resolver.
fn start(dns: &Dns, line: &str, parameters: &str) -> (Weir, String) {
    let listen = Port::reserve();
    let resolver = format!("{} {parameters}", dns.address);
    (following(&listen, &resolver, line).start(), listen.v4())
}

#[test]
fn servers_and_their_ranks_come_change_and_vanish() {
    let servers = Servers::start(&["a.test", "b.test", "c.test"]);
    let dns = Dns::start(servers.answer(1, &[(20, 9, "c.test"), (10, 5, "a.test"), (10, 0, "b.test")]));
    let (weir, address) = start(&dns, "server backend.test service=http resolve;", "valid=1s");
    weir.wait_error(&format!(
        "_http._tcp.backend.test has now 127.0.0.2:{}, 127.0.0.3:{}, 127.0.0.4:{}, upstream: \"u\"",
        servers.port("a.test"),
        servers.port("b.test"),
        servers.port("c.test")
    ));
    let count = |name: &str| (0..12).filter(|_| fetch(&address) == name).count();
    assert_eq!(
        (count("a.test"), count("b.test"), count("c.test")),
        (10, 2, 0),
        "by weight, where 0 is 1; c is a backup"
    );
    let queries = dns.queries();
    assert!(
        queries.iter().all(|query| (query.kind == SRV) == (query.name == "_http._tcp.backend.test")),
        "{queries:?}"
    );
    // Another priority makes a backup a primary.
    dns.say(servers.answer(1, &[(10, 1, "b.test"), (10, 1, "c.test"), (11, 1, "a.test")]));
    wait_who(&address, &["b.test", "c.test"]);
    dns.say(servers.answer(1, &[(7, 1, "a.test")]));
    wait_who(&address, &["a.test"]);
    dns.say(|query| vec![query.code(3)]);
    weir.wait_error("_http._tcp.backend.test could not be resolved (3: Host not found)");
    weir.wait_error("_http._tcp.backend.test has now no address,");
    assert_eq!(fetch(&address), "");
    // A service that is said not to be offered.
    dns.say(|query| vec![query.reply(0, &[(&query.name, SRV, 1, vec![0; 7])])]);
    let told = || weir.error_log().matches("could not be resolved (3: Host not found)").count();
    let before = told();
    wait_for("the next answer", || told() > before + 1);
    dns.say(servers.answer(1, &[(7, 1, "c.test")]));
    wait_who(&address, &["c.test"]);
}

#[test]
fn backups_serve_when_no_primary_can() {
    let servers = Servers::start(&["a.test", "b.test"]);
    let dead = Port::reserve();
    let (dead, a, b) = (dead.number, servers.port("a.test"), servers.port("b.test"));
    let dns = Dns::start(move |query| match query.name.as_str() {
        "_http._tcp.backend.test" => vec![query.services(
            1,
            &[(1, 1, 1, "nobody.test"), (2, 1, dead, "dead.test"), (3, 1, a, "a.test"), (4, 1, b, "b.test")],
        )],
        "a.test" => vec![query.addresses(&["127.0.0.2"])],
        "b.test" => vec![query.addresses(&["127.0.0.3"])],
        "dead.test" => vec![query.addresses(&["127.0.0.1"])],
        _ => vec![query.code(3)],
    });
    let listen = Port::reserve();
    // In http, with the whole prefix of the service.
    let http = format!(
        "http {{ upstream u {{ server backend.test service=_http._tcp resolve; }} resolver {} valid=1s;
         server {{ listen {}; location / {{ proxy_pass http://u; }} }} }}",
        dns.address,
        listen.v4()
    );
    let weir = Setup::tcp("").main(http).start();
    weir.wait_error("nobody.test could not be resolved (3: Host not found)");
    let list = format!("has now 127.0.0.1:{dead}, 127.0.0.2:{a}, 127.0.0.3:{b}, upstream: \"u\"");
    weir.wait_error(&list);
    // The only primary that there is refuses; what the backup says, its name, is no answer in HTTP.
    let ask = || {
        let mut client = connect(listen.v4());
        std::io::Write::write_all(&mut client, b"GET / HTTP/1.0\r\n\r\n").unwrap();
        String::from_utf8(read_all(client)).unwrap()
    };
    ask();
    let log = weir.error_log();
    let refused = format!(
        "connect() failed (111: Connection refused) while connecting to upstream, client: 127.0.0.1, server: , request: \"GET / HTTP/1.0\", upstream: \"http://127.0.0.1:{dead}/\""
    );
    assert!(log.contains(&refused), "{log}");
    assert_eq!(servers.0[0].1.accepted() + servers.0[1].1.accepted(), 1, "a backup was asked after it");
}

#[test]
fn lines_that_are_backups_have_the_best_records_only() {
    let mut servers = Servers::start(&["a.test", "b.test", "c.test"]);
    let dns = Dns::start(servers.answer(1, &[(1, 3, "b.test"), (2, 1, "c.test")]));
    let line = format!(
        "server 127.0.0.2:{} fail_timeout=1h; server backend.test service=http resolve weight=2 backup;",
        servers.port("a.test")
    );
    let (weir, address) = start(&dns, &line, "valid=1s");
    weir.wait_error(&format!("has now 127.0.0.3:{}, upstream", servers.port("b.test")));
    assert_eq!(who(&address, 4), BTreeSet::from(["a.test".into()]));
    drop(servers.0.remove(0));
    wait_who(&address, &["b.test"]);
}

#[test]
fn answers_that_are_none_change_nothing() {
    let servers = Servers::start(&["a.test", "b.test"]);
    let good = || servers.answer(1, &[(1, 1, "a.test"), (1, 1, "b.test")]);
    let dns = Dns::start(good());
    let (weir, address) = start(&dns, "server backend.test service=http resolve;", "valid=1s");
    wait_who(&address, &["a.test", "b.test"]);
    let both = BTreeSet::from(["a.test".to_string(), "b.test".to_string()]);
    // A record that ends too early.
    let answer = good();
    dns.say(move |query| match query.kind {
        SRV => vec![query.reply(0, &[(&query.name, SRV, 1, vec![0, 1, 0, 1, 0, 80, 9, b'x'])])],
        _ => answer(query),
    });
    weir.wait_error("unexpected DNS response for _http._tcp.backend.test while resolving");
    weir.wait_error("_http._tcp.backend.test could not be resolved (2: Server failure)");
    assert_eq!(who(&address, 6), both);
    // The records come, and no word of one host.
    let answer = good();
    dns.say(move |query| if query.name == "b.test" { vec![query.code(5)] } else { answer(query) });
    weir.wait_error("b.test could not be resolved (5: Operation refused)");
    assert_eq!(who(&address, 6), both);
    // It is known not to exist.
    let answer = good();
    dns.say(move |query| if query.name == "b.test" { vec![query.code(3)] } else { answer(query) });
    weir.wait_error("b.test could not be resolved (3: Host not found)");
    wait_who(&address, &["a.test"]);
    dns.say(good());
    wait_who(&address, &["a.test", "b.test"]);
}

#[test]
fn nobody_goes_before_it_is_known_who_comes() {
    let servers = Servers::start(&["a.test", "b.test", "c.test"]);
    let dns = Dns::start(servers.answer(1, &[(1, 1, "a.test")]));
    let (weir, address) = start(&dns, "server backend.test service=http resolve;", "valid=1s");
    weir.wait_error("has now 127.0.0.2:");
    let told = Arc::new(AtomicBool::new(false));
    let (answer, tells) = (servers.answer(1, &[(5, 1, "b.test"), (5, 1, "c.test")]), told.clone());
    dns.say(move |query| if query.name == "b.test" && !tells.load(Ordering::SeqCst) { vec![] } else { answer(query) });
    wait_who(&address, &["a.test", "c.test"]);
    told.store(true, Ordering::SeqCst);
    wait_who(&address, &["b.test", "c.test"]);
    assert!(!weir.error_log().contains("no live upstreams"));
}

#[test]
fn records_and_addresses_have_times_of_their_own() {
    let servers = Servers::start(&["a.test", "b.test"]);
    let (a, b) = (servers.port("a.test"), servers.port("b.test"));
    let moved = Arc::new(AtomicBool::new(false));
    let seen = moved.clone();
    let dns = Dns::start(move |query| match query.kind {
        SRV => vec![query.services(3600, &[(1, 1, a, "x.test"), (1, 1, b, "x.test")])],
        A if seen.load(Ordering::SeqCst) => vec![query.addresses(&["127.0.0.3"])],
        A => vec![query.addresses(&["127.0.0.2"])],
        _ => vec![query.addresses(&[])],
    });
    let (weir, address) = start(&dns, "server backend.test service=http resolve;", "");
    weir.wait_error("has now 127.0.0.2:");
    assert!(who(&address, 4).contains("a.test"));
    moved.store(true, Ordering::SeqCst);
    weir.wait_error("has now 127.0.0.3:");
    assert!(who(&address, 4).contains("b.test"));
    assert_eq!(dns.queries().iter().filter(|query| query.kind == SRV).count(), 1);
}

#[test]
fn long_answers_come_over_tcp_and_families_can_be_switched_off() {
    let servers = Servers::start(&["a.test"]);
    let answer = servers.answer(1, &[(1, 1, "a.test")]);
    let dns = Dns::start(move |query| match query.kind {
        SRV if !query.tcp => vec![query.truncated(&[])],
        _ => answer(query),
    });
    let (_weir, address) = start(&dns, "server backend.test service=http resolve;", "valid=1s ipv6=off");
    wait_who(&address, &["a.test"]);
    assert!(dns.queries().iter().all(|query| query.kind != AAAA));
}

#[test]
fn sessions_count_over_a_reload() {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _backend = Backend::serve(listener, greeting("two"));
    let dns = Dns::start(move |query| match (query.kind, query.name.as_str()) {
        (SRV, "_http._tcp.backend.test") => vec![query.services(1, &[(1, 1, port, "two.test")])],
        (A, "two.test") => vec![query.addresses(&["127.0.0.2"])],
        _ => vec![query.code(3)],
    });
    let listen = Port::reserve();
    let line = "server backend.test service=http resolve max_busy=2;";
    let setup = |line: &str| following(&listen, &format!("{} valid=1s", dns.address), line);
    let weir = setup(line).start();
    weir.wait_error("_http._tcp.backend.test has now 127.0.0.2:");
    let greeted = || {
        let mut client = connect(listen.v4());
        client.read_exact(&mut [0; 3]).map(|()| client)
    };
    let sessions = [greeted().unwrap(), greeted().unwrap()];
    weir.reload(&setup(&format!("server other.test service=_http._tcp resolve; {line}")));
    let told = || weir.error_log().matches("_http._tcp.backend.test has now 127.0.0.2:").count();
    wait_for("the new worker to know", || told() == 2);
    assert!(is_closed(connect(listen.v4())));
    drop(sessions);
    wait_for("room for another", || greeted().is_ok());
}

#[test]
fn faulty_lines_are_refused() {
    let refused = |line: &str, message: &str| {
        for block in ["tcp", "http"] {
            let prefix = Prefix::new();
            prefix.write(
                "nginx.conf",
                format!("pid weir.pid;\nevents {{}}\n{block} {{\nupstream u {{\n{line}\n}}\n}}\n"),
            );
            let run = prefix.run(&["-t"]);
            assert_eq!(run.status.code(), Some(1), "{line}: {}", run.stderr);
            let expected = format!("[emerg] {message} in {}:5", prefix.text_path("nginx.conf"));
            assert!(run.stderr.contains(&expected), "{}", run.stderr);
        }
    };
    refused("server a.test service=http;", "service upstream \"a.test\" requires \"resolve\" parameter");
    refused("server a.test:80 service=http resolve;", "service upstream \"a.test:80\" may not have port");
    refused("server 127.0.0.1 service=http resolve;", "service upstream \"127.0.0.1\" requires domain name");
    refused("server a.test service= resolve;", "service is empty");
    refused("server a.test service=http resolve;", "no resolver defined to resolve _http._tcp.a.test");
    refused("server a.test service=a..b resolve;", "invalid host in upstream \"a.test\"");
}
