//! `proxy_pass` with variables, names that are resolved for requests, and the address that connections begin at.

use super::*;
use crate::common::dns::Dns;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The first line of the last request that a server has seen, without its version.
fn line(seen: &Seen) -> String {
    last(seen).split(" HTTP/").next().unwrap().to_owned()
}

#[test]
fn the_url_is_put_together_for_each_request() {
    let (backend, seen) = answers(OK);
    let (weir, port) = proxied(
        &format!("upstream group {{ server {}; }}", backend.address),
        &format!(
            "set $to group; set $address {0}; set $scheme_of http;
             location /group {{ proxy_pass http://$to; }}
             location /upper {{ proxy_pass http://GROUP$arg_none; }}
             location /address {{ proxy_pass http://$address; }}
             location /uri {{ proxy_pass http://$to/made$uri; }}
             location /args {{ proxy_pass http://$address?x=$arg_x; }}
             location /request {{ proxy_pass http://$address$request_uri; }}
             location /scheme {{ proxy_pass $scheme_of://$address; }}
             location ~ ^/regex/(.*)$ {{ proxy_pass http://$to/$1; }}
             location /rewritten {{ rewrite ^ /other?z; proxy_pass http://$to; }}
             location /named {{ try_files /none @named; }}
             location @named {{ proxy_pass http://$to; }}
             location /plain-regex {{ location ~ x$ {{ proxy_pass http://group; }} }}
             location /other {{ proxy_pass http://$to; }}",
            backend.address
        ),
    );
    let host = backend.address.to_string();
    for (path, target, host) in [
        ("/group?a", "/group?a", "group"),
        ("/upper/%61", "/upper/%61", "GROUP"),
        ("/address/x", "/address/x", &host),
        ("/uri/x?gone", "/made/uri/x", "group"),
        ("/args/x?x=1", "/?x=1", &host),
        ("/request/%2e?y", "/request/%2e?y", &host),
        ("/scheme", "/scheme", &host),
        ("/regex/a/b?gone", "/a/b", "group"),
        ("/rewritten?c", "/other?z&c", "group"),
        ("/named/n?q", "/named/n?q", "group"),
        ("/plain-regex/x?q", "/plain-regex/x?q", "group"),
        // Nothing that a client writes ends the line.
        ("/uri/a%0d%0ab%20c", "/made/uri/a%0D%0Ab%20c", "group"),
    ] {
        assert_eq!(get(&port, path).text(), "ok", "{path}");
        assert_eq!(line(&seen), format!("GET {target}"), "{path}");
        assert!(last(&seen).contains(&format!("\r\nHost: {host}\r\n")), "{path}: {}", last(&seen));
    }
    weir.wait_access(12)
        .iter()
        .for_each(|line| assert!(line.starts_with(&format!("200 [{}] [200] 2", backend.address))));
}

#[test]
fn hosts_of_other_passes_unix_sockets_and_ports() {
    let (backend, seen) = answers(OK);
    let prefix = Prefix::new();
    backends::unix(&prefix.join("server.sock"), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlocal");
    let path = prefix.text_path("server.sock");
    let (weir, port) = crate::http::serve_in(prefix, |port| {
        format!(
            "log_format up '$proxy_host $proxy_port $upstream_addr';
             server {{ listen {}; access_log access.log up; set $host_name localhost; set $path {path};
             location /known {{ proxy_pass http://$host_name:{1}; }} location /unused {{ proxy_pass http://localhost:{1}; }}
             location /unix {{ proxy_pass http://unix:$path; }} location /unix-uri {{ proxy_pass http://unix:$path:/made; }} }}",
            port.v4(),
            backend.address.port()
        )
    });
    assert_eq!(get(&port, "/known/x").text(), "ok");
    assert_eq!(line(&seen), "GET /known/x");
    for path in ["/unix", "/unix-uri"] {
        assert_eq!(get(&port, path).text(), "local");
    }
    let lines = weir.wait_access(3);
    assert_eq!(lines[0], format!("localhost:{0} {0} {1}", backend.address.port(), backend.address));
    assert_eq!(lines[1], format!("localhost  unix:{path}"));
}

#[test]
fn what_no_server_can_be_found_for() {
    let (weir, port) = proxied(
        "upstream group { server 127.0.0.1:1; }",
        "location / { proxy_pass $arg_u; } location /page { error_page 500 =203 /made; proxy_pass $arg_u; } location /made { return 200 page; }",
    );
    for (url, status, message) in [
        ("", 500, "invalid URL prefix in \"\""),
        ("a://b", 500, "invalid URL prefix in \"a://b\""),
        ("http://", 500, "invalid URL prefix in \"http://\""),
        ("http:///x", 500, "no host in upstream \"/x\""),
        ("http://a:x/y", 500, "invalid port in upstream \"a:x/y\""),
        ("http://unix:", 500, "no path in the unix domain socket in upstream \"unix:\""),
        ("http://name.test/x", 502, "no resolver defined to resolve name.test"),
        ("http://group:81/x", 502, "no resolver defined to resolve group"),
    ] {
        assert_eq!(get(&port, &format!("/?u={url}")).status, status, "{url}");
        let line = weir.wait_error(message);
        assert!(
            line.contains("[error]") && line.contains(", client: 127.0.0.1, server: , request: \"GET /?u="),
            "{line}"
        );
        assert!(!line.contains("upstream: "), "{line}");
    }
    let reply = get(&port, "/page");
    assert_eq!((reply.status, reply.text()), (203, "page"));
}

#[test]
fn names_are_resolved_for_requests() {
    let (backend, seen) = answers(OK);
    let dns = Dns::start(|query| {
        vec![match query.name.as_str() {
            "nobody.test" => query.code(3),
            _ => query.addresses(&["127.0.0.1"]),
        }]
    });
    let at = backend.address.port();
    let (weir, port) = proxied(
        "",
        &format!(
            "resolver {} ipv6=off; location / {{ proxy_pass http://$arg_h:{at}/x; }}
             location /off {{ resolver off; proxy_pass http://$arg_h; }}",
            dns.address
        ),
    );
    for name in ["a.test", "a.test", "A.test", "b.test"] {
        assert_eq!(get(&port, &format!("/?h={name}")).text(), "ok", "{name}");
        assert_eq!(line(&seen), "GET /x");
        assert!(last(&seen).contains(&format!("Host: {name}:{at}\r\n")));
    }
    // An answer is good for more than one request.
    assert_eq!(dns.queries().len(), 2);
    assert_eq!(get(&port, "/?h=nobody.test").status, 502);
    weir.wait_error("nobody.test could not be resolved (3: Host not found), client: ");
    assert_eq!(get(&port, "/off?h=a.test").status, 502);
    weir.wait_error("no resolver defined to resolve a.test, client: ");
    let lines = weir.wait_access(6);
    assert!(lines[0].starts_with(&format!("200 [{}] [200] 2", backend.address)), "{lines:?}");
    assert!(lines[4].starts_with("502 [-] [-]"), "{lines:?}");
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    let port_of = Port::reserve();
    // Of all addresses of loopback only this one has a server.
    let listener = std::net::TcpListener::bind(port_of.on("127.0.0.3")).unwrap();
    let backend = Backend::serve(listener, |mut stream| {
        while read_request(&mut stream).is_some() {
            let _ = stream.write_all(OK.as_bytes());
        }
    });
    let dns = Dns::with(&["127.0.0.2", "127.0.0.3"]);
    let number = backend.address.port();
    let (weir, port) = proxied(
        "",
        &format!(
            "resolver {} ipv6=off valid=1h; location / {{ proxy_pass http://$host.test:{number}; }}
             location /one {{ proxy_pass http://$host.test:{number}; proxy_next_upstream off; }}",
            dns.address
        ),
    );
    for _ in 0..4 {
        assert_eq!(get(&port, "/").text(), "ok");
    }
    let mut statuses: Vec<u16> = (0..2).map(|_| get(&port, "/one").status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
    let both = format!("[127.0.0.2:{number}, 127.0.0.3:{number}] [502, 200]");
    assert!(weir.wait_access(6)[..4].iter().any(|line| line.contains(&both)));
}

#[test]
fn a_client_that_leaves_while_a_name_is_resolved() {
    let dns = Dns::start(|_| Vec::new());
    let (weir, port) = proxied(
        "",
        &format!("resolver {}; resolver_timeout 30s; location / {{ proxy_pass http://a.test; }} location /v {{ proxy_pass http://$arg_h; }}", dns.address)
            .replace("proxy_pass http://a.test;", "return 200 ok;"),
    );
    let mut stream = connect(port.v4());
    stream.write_all(b"GET /v?h=a.test HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_for("a question", || !dns.queries().is_empty());
    drop(stream);
    let line = &weir.wait_access(1)[0];
    assert!(line.starts_with("499 [-] [-]"), "{line}");
    dns.change(&["127.0.0.1"]);
    assert_eq!(get(&port, "/").text(), "ok");
}

#[test]
fn a_name_that_nobody_knows_in_time() {
    let dns = Dns::start(|_| Vec::new());
    let (weir, port) = proxied(
        "",
        &format!("resolver {}; resolver_timeout 100ms; location / {{ proxy_pass http://$arg_h; }}", dns.address),
    );
    assert_eq!(get(&port, "/?h=a.test").status, 502);
    weir.wait_error("a.test could not be resolved (110: Operation timed out), client: ");
}

#[test]
fn tls_with_variables() {
    let behind = Port::reserve();
    let (_weir, port) = crate::http::serve_in(crate::tls::folder(), |port| {
        format!(
            "server {{ listen {0}; location / {{ proxy_pass $arg_s://{1}; proxy_ssl_server_name on; proxy_ssl_name n.test; }} }}
             server {{ listen {1} ssl; {2} return 200 \"$scheme $ssl_server_name\"; }}",
            port.v4(),
            behind.v4(),
            crate::tls::OURS
        )
    });
    assert_eq!(get(&port, "/?s=https").text(), "https n.test");
    assert_eq!(get(&port, "/?s=http").status, 400);
}

#[test]
fn connections_begin_at_an_address() {
    let backend = Backend::start(|mut stream| {
        let from = stream.peer_addr().unwrap().ip().to_string();
        while read_request(&mut stream).is_some() {
            let _ =
                stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{from}", from.len()).as_bytes());
        }
    });
    let group = format!(
        "upstream u {{ server {}; keepalive 9; }} proxy_http_version 1.1; proxy_set_header Connection \"\";",
        backend.address
    );
    let (weir, port) = proxied(
        &group,
        "proxy_bind 127.0.0.9; location / { proxy_pass http://u; } location /off { proxy_bind off; proxy_pass http://u; }
         location /any { proxy_bind $arg_a; proxy_pass http://u; }",
    );
    for (path, from) in [
        ("/", "127.0.0.9"),
        ("/off", "127.0.0.1"),
        ("/any?a=127.0.0.7", "127.0.0.7"),
        ("/any?a=127.0.0.8:0", "127.0.0.8"),
        ("/any?a=nonsense", "127.0.0.1"),
        ("/any", "127.0.0.1"),
        ("/", "127.0.0.9"),
        ("/any?a=127.0.0.7", "127.0.0.7"),
    ] {
        assert_eq!(get(&port, path).text(), from, "{path}");
    }
    assert_eq!(backend.accepted(), 4);
    weir.wait_error("invalid local address \"nonsense\" while connecting to upstream");
    assert_eq!(get(&port, "/any?a=192.0.2.1").status, 500);
    let line = weir.wait_error("bind(192.0.2.1) failed (99: Cannot assign requested address)");
    assert!(line.contains("[crit]") && line.contains("while connecting to upstream"), "{line}");
}

#[test]
fn what_cannot_be_is_refused() {
    let prefix = Prefix::new();
    for (text, fault) in [
        ("proxy_bind nonsense;", "invalid address \"nonsense\""),
        ("proxy_bind 127.0.0.1 transparent;", "\"transparent\" in \"proxy_bind\" is not offered by weir"),
        ("proxy_bind 127.0.0.1 other;", "invalid parameter \"other\""),
        ("resolver 127.0.0.1 valid=never;", "invalid parameter: valid=never"),
        ("resolver_timeout never;", "\"resolver_timeout\" directive invalid value"),
        ("proxy_pass $nothing;", "unknown \"nothing\" variable"),
        (
            "proxy_pass http://$host; proxy_redirect default;",
            "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables",
        ),
    ] {
        prefix.write("nginx.conf", crate::http::config(&format!("server {{ location / {{\n{text} }} }}")));
        let run = prefix.run(&["-t"]);
        assert!(run.stderr.contains(fault) && run.stderr.contains("nginx.conf:"), "{text}: {}", run.stderr);
    }
}
