//! How a server of a group is chosen, and which servers there are.

use super::*;
use crate::common::dns::Dns;
use crate::common::servers::Server;

/// Servers that answer with their names: `a`, `b`, ...
fn named_servers(count: usize) -> Vec<Backend> {
    let answer = |name: char| format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}");
    ('a'..).take(count).map(|name| answers(answer(name)).0).collect()
}

/// The names of the servers that requests with keys from 1 on come to.
fn chosen(address: &str, count: usize) -> String {
    let ask = |key: usize| {
        let mut stream = connect(address);
        stream.write_all(format!("GET /?k=key{key} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        read_reply(&mut stream, false).text().to_owned()
    };
    (1..=count).map(ask).collect()
}

#[test]
fn keys_lead_where_they_do_in_nginx() {
    let servers = named_servers(4);
    let [a, b, c, d] = [0, 1, 2, 3].map(|n| servers[n].address);
    let groups = format!(
        "upstream plain {{ hash $arg_k; server {a}; server {b} weight=3; server {c}; }}
         upstream down {{ hash \"x$arg_k\"; server {a}; server {b} down; server {c} weight=2; }}
         upstream ring {{ hash $arg_k consistent; server {a}; server {b} weight=2; server {c}; server {d} down; }}
         upstream address {{ ip_hash; server {a} weight=2; server {b}; server {c} weight=4; server {d}; }}"
    );
    let locations =
        |port: &str, name: &str| format!("server {{ listen {port}; location / {{ proxy_pass http://{name}; }} }}");
    let names = ["plain", "down", "ring", "address"];
    let servers_of =
        |ports: &[String]| -> String { names.iter().zip(ports).map(|(name, port)| locations(port, name)).collect() };
    let ours: Vec<Port> = names.iter().map(|_| Port::reserve()).collect();
    let theirs: Vec<Port> = names.iter().map(|_| Port::reserve()).collect();
    let nginx = Server::nginx(0, &format!("{groups} {}", servers_of(&theirs.iter().map(Port::v4).collect::<Vec<_>>())));
    wait_for("nginx", || clients::try_connect(theirs[0].v4()).is_ok());
    let (_weir, _) = serve(|_| format!("{groups} {}", servers_of(&ours.iter().map(Port::v4).collect::<Vec<_>>())));
    for (name, (our, their)) in names.iter().zip(ours.iter().zip(&theirs)) {
        let expected = chosen(&their.v4(), 60);
        assert_eq!(chosen(&our.v4(), 60), expected, "{name}");
        assert!(*name == "address" || ["a", "b", "c"].iter().filter(|one| expected.contains(**one)).count() > 1);
    }
    drop(nginx);
}

#[test]
fn a_key_whose_server_is_gone_goes_on() {
    let servers = named_servers(2);
    let closed = Port::reserve();
    let (_weir, port) = proxied(
        &format!(
            "upstream plain {{ hash $arg_k; server {0}; server {1}; server {2}; }}
             upstream ring {{ hash $arg_k consistent; server {0}; server {1}; server {2}; }}",
            servers[0].address,
            servers[1].address,
            closed.v4()
        ),
        "location / { proxy_pass http://plain; } location /ring { proxy_pass http://ring; } location /variable { set $g ring; proxy_pass http://$g; }",
    );
    for path in ["/", "/ring", "/variable"] {
        let ask = |key: usize| get(&port, &format!("{path}?k={key}")).text().to_owned();
        let first: String = (0..20).map(ask).collect();
        assert!(first.contains('a') && first.contains('b') && first.len() == 20, "{path} {first}");
        let again: String = (0..20).map(ask).collect();
        assert!(first == again || path == "/", "{path} {first} {again}");
        assert_eq!((0..4).map(|_| get(&port, path).text().to_owned()).collect::<String>().len(), 4);
    }
}

#[test]
fn chance_gives_all_their_turns() {
    let servers = named_servers(3);
    let list: String = servers.iter().map(|server| format!("server {};", server.address)).collect();
    let (_weir, port) = proxied(
        &format!(
            "upstream one {{ random; {list} }} upstream two {{ random two least_conn; {list} }}
             upstream weighted {{ random two; server {} weight=1000; server {}; server 127.0.0.1:1 down; }}",
            servers[0].address, servers[1].address
        ),
        "location /one { proxy_pass http://one; } location /two { proxy_pass http://two; } location /w { proxy_pass http://weighted; }",
    );
    for path in ["/one", "/two"] {
        // The chance that one of three is missing from so many is less than 1 in 10 to the 20th.
        let all: String = (0..120).map(|_| get(&port, path).text().to_owned()).collect();
        assert!(["a", "b", "c"].iter().all(|name| all.contains(name)), "{path} {all}");
    }
    assert!((0..20).all(|_| ["a", "b"].contains(&get(&port, "/w").text())));
}

#[test]
fn of_two_by_chance_the_less_busy_one_serves() {
    let answer = |mut stream: TcpStream, name: char| {
        while let Some(request) = read_request(&mut stream) {
            if request.contains("/held") {
                // Until the connection ends.
                let _ = stream.read(&mut [0]);
                return;
            }
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}").as_bytes());
        }
    };
    for method in ["random two", "random two least_conn"] {
        let (busy, late) = (Backend::start(move |stream| answer(stream, 'b')), Port::reserve());
        let (_weir, port) = proxied(
            &format!(
                "upstream u {{ {method}; server {} max_fails=0; server {} max_fails=0; }}",
                busy.address,
                late.v4()
            ),
            "location / { proxy_pass http://u; }",
        );
        // As long as the other one is not there.
        let held = |_| {
            let mut client = connect(port.v4());
            client.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            client
        };
        let held: Vec<TcpStream> = (0..5).map(held).collect();
        wait_for("all to be held", || busy.accepted() == held.len());
        let _late = Backend::on(&late, move |stream| answer(stream, 'l'));
        // The chance that only one is drawn is 1 in 2 to the 20th each time.
        let chosen: String = (0..20).map(|_| get(&port, "/").text().to_owned()).collect();
        assert_eq!(chosen, "l".repeat(20), "{method}");
        assert_eq!(busy.accepted(), held.len());
    }
}

#[test]
fn weights_count_with_least_conn() {
    let servers = named_servers(2);
    let (_weir, port) = proxied(
        &format!(
            "upstream u {{ least_conn; server {} weight=3; server {}; server 127.0.0.1:1 backup; }}",
            servers[0].address, servers[1].address
        ),
        "location / { proxy_pass http://u; }",
    );
    let all: String = (0..8).map(|_| get(&port, "/").text().to_owned()).collect();
    assert_eq!(all.matches('a').count(), 6, "{all}");
}

#[test]
fn the_addresses_of_a_name_are_followed() {
    let listeners = ["127.0.0.2", "127.0.0.3"];
    let first = std::net::TcpListener::bind(format!("{}:0", listeners[0])).unwrap();
    let number = first.local_addr().unwrap().port();
    let second = std::net::TcpListener::bind((listeners[1], number)).unwrap();
    let answer = |name: &'static str| {
        move |mut stream: TcpStream| {
            while read_request(&mut stream).is_some() {
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{name}").as_bytes());
            }
        }
    };
    let _first = Backend::serve(first, answer("a"));
    let _second = Backend::serve(second, answer("b"));
    let dns = Dns::with(&["127.0.0.2"]);
    let (_weir, port) = proxied(
        &format!(
            "resolver {} valid=1s ipv6=off; upstream u {{ server name.test:{number} resolve; keepalive 2; }}
             proxy_http_version 1.1; proxy_set_header Connection \"\";",
            dns.address
        ),
        "location / { proxy_pass http://u; }",
    );
    wait_for("the first address", || get(&port, "/").text() == "a");
    dns.change(&["127.0.0.3"]);
    wait_for("the second address", || get(&port, "/").text() == "b");
    assert!((0..4).all(|_| get(&port, "/").text() == "b"));
}

#[test]
fn exchanges_with_a_server_that_goes_down_end() {
    let up = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let alive = up.clone();
    // It answers checks while it is up, begins an answer for `/begun`, and leaves all else unanswered.
    let failing = Backend::start(move |mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let answer = match () {
                () if request.starts_with("GET /check") && alive.load(std::sync::atomic::Ordering::SeqCst) => {
                    "HTTP/1.0 200 OK\r\n\r\n"
                }
                () if request.starts_with("GET /check") => "HTTP/1.0 500 Broken\r\n\r\n",
                () if request.starts_with("GET /begun") => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun",
                () => continue,
            };
            if stream.write_all(answer.as_bytes()).is_err() || request.starts_with("GET /check") {
                return;
            }
        }
    });
    let (weir, port) = proxied(
        &format!(
            "upstream u {{ server {}; check interval=100 fall=1 rise=1 timeout=5000 type=http on_down=close;
                 check_http_send \"GET /check HTTP/1.0\\r\\n\\r\\n\"; }}",
            failing.address
        ),
        "location / { proxy_buffering off; proxy_pass http://u; }",
    );
    let mut waiting = connect(port.v4());
    wait_for("a server that is up", || {
        waiting = connect(port.v4());
        waiting.write_all(b"GET /begun HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut start = [0; 12];
        waiting.read_exact(&mut start).unwrap();
        start == *b"HTTP/1.1 200"
    });
    let mut unanswered = connect(port.v4());
    unanswered.write_all(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_for("both with the server", || failing.accepted() > 2);
    up.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(read_reply(&mut unanswered, false).status, 502);
    let rest = String::from_utf8(read_all(&mut waiting)).unwrap();
    assert!(rest.ends_with("\r\n\r\nbegun"), "{rest}");
    weir.wait_error("upstream is down by a check, closing connection while reading response header from upstream");
}

#[test]
fn what_cannot_be_is_refused() {
    let prefix = Prefix::new();
    for (text, fault) in [
        ("hash $arg_a other; server a;", "invalid parameter \"other\""),
        ("hash $nothing; server 127.0.0.1;", "unknown \"nothing\" variable"),
        ("random three; server a;", "invalid parameter \"three\""),
        ("random two ip_hash; server a;", "invalid parameter \"ip_hash\""),
        ("hash $arg_a; server 127.0.0.1 backup;", "balancing method does not support parameter \"backup\""),
        ("random; server 127.0.0.1 backup;", "balancing method does not support parameter \"backup\""),
        ("server name.test resolve;", "no resolver defined to resolve name.test"),
    ] {
        prefix.write("nginx.conf", crate::http::config(&format!("upstream u {{\n{text} }} server {{ }}")));
        let run = prefix.run(&["-t"]);
        assert!(run.stderr.contains(fault) && run.stderr.contains("nginx.conf:"), "{text}: {}", run.stderr);
    }
}
