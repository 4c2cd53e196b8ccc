//! Clients behind proxies: the PROXY protocol and header fields that name them.

use std::io::{Read, Write};

use super::http::{ask_http, config, read_reply, serve, serve_in};
use super::tls::{OURS, folder};
use crate::common::*;

const TOLD: &str = "$remote_addr:$remote_port $realip_remote_addr";

/// What a server with this says to a request with these fields.
fn told(more: &str, fields: &str) -> String {
    let (_weir, port) = serve(|port| format!("server {{ listen {}; {more} return 200 \"{TOLD}\"; }}", port.v4()));
    ask_http(&port, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).text().to_owned()
}

#[test]
fn fields_of_trusted_proxies() {
    let trusted = "set_real_ip_from 127.0.0.0/8;";
    assert_eq!(told(trusted, "X-Real-IP: 1.2.3.4\r\n"), "1.2.3.4: 127.0.0.1");
    assert_eq!(told("set_real_ip_from localhost;", "X-Real-IP: 1.2.3.4\r\n"), "1.2.3.4: 127.0.0.1");
    assert_eq!(told(trusted, "X-Real-IP: [2001:db8::1]:77\r\n"), "2001:db8::1:77 127.0.0.1");
    let forwarded = "X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Forwarded-For: 127.0.0.2\r\n";
    let by = |more: &str| format!("{trusted} real_ip_header X-Forwarded-For; {more}");
    assert_eq!(told(&by(""), forwarded), "127.0.0.2: 127.0.0.1");
    assert_eq!(told(&by("real_ip_recursive on;"), forwarded), "5.6.7.8: 127.0.0.1");
    assert_eq!(told(&format!("{trusted} real_ip_header Client;"), "client: 1.2.3.4\r\n"), "1.2.3.4: 127.0.0.1");
    for (more, fields) in [
        ("set_real_ip_from 10.0.0.0/8;", "X-Real-IP: 1.2.3.4\r\n"),
        ("real_ip_recursive on;", "X-Real-IP: 1.2.3.4\r\n"),
        (trusted, "X-Forwarded-For: 1.2.3.4\r\n"),
        (trusted, "X-Real-IP: nobody\r\n"),
    ] {
        let told = told(more, fields);
        assert!(told.starts_with("127.0.0.1:") && told.ends_with(" 127.0.0.1"), "{more} {fields} {told}");
    }
}

#[test]
fn the_other_end_keeps_its_port() {
    let (_weir, port) = serve(|port| {
        format!(
            "server {{ listen {}; set_real_ip_from 127.0.0.1; return 200 \"$realip_remote_port $nginx_version\"; }}",
            port.v4()
        )
    });
    let mut stream = connect(port.v4());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 1.2.3.4:5\r\n\r\n").unwrap();
    let own = stream.local_addr().unwrap().port();
    assert_eq!(read_reply(&mut stream, false).text(), format!("{own} {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn rules_and_logs_are_about_the_named_client() {
    let (weir, port) = serve(|port| {
        format!(
            "real_ip_header X-Real-IP; server {{ listen {}; set_real_ip_from 127.0.0.1; deny 1.2.3.4; }}",
            port.v4()
        )
    });
    let mut stream = connect(port.v4());
    // Each request of a connection has its own client.
    for (address, status) in [("1.2.3.4", 403), ("4.3.2.1", 404), ("1.2.3.4", 403)] {
        write!(stream, "GET /x HTTP/1.1\r\nHost: a\r\nX-Real-IP: {address}\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut stream, false).status, status);
    }
    weir.wait_error("access forbidden by rule, client: 1.2.3.4, server: ");
    let lines = weir.wait_access(3);
    assert!(lines[0].starts_with("1.2.3.4 - - [") && lines[1].starts_with("4.3.2.1 - - ["), "{lines:?}");
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 404);
    assert!(weir.wait_access(4)[3].starts_with("127.0.0.1 - - ["));
}

#[test]
fn a_location_may_trust_others_than_its_server() {
    let (_weir, port) = serve(|port| {
        format!("server {{ listen {}; deny 1.2.3.4; location /trusting {{ set_real_ip_from 127.0.0.1; }} }}", port.v4())
    });
    for (path, status) in [("/trusting", 403), ("/other", 404)] {
        let reply = ask_http(&port, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Real-IP: 1.2.3.4\r\n\r\n"));
        assert_eq!(reply.status, status);
    }
}

#[test]
fn the_proxy_protocol() {
    let said = "$remote_addr:$remote_port $proxy_protocol_addr:$proxy_protocol_port \
                $proxy_protocol_server_addr:$proxy_protocol_server_port";
    let (weir, port) = serve(|port| {
        format!(
            "client_header_timeout 1s; server {{ listen {} proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;
             location / {{ return 200 \"{said}\"; }} }}",
            port.v4()
        )
    });
    let mut stream = connect(port.v4());
    for piece in ["PROXY TCP4 1.2.3.4 ", "5.6.7.8 11 22\r\nGET / HTTP/1.1\r\nHo", "st: a\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
    }
    assert_eq!(read_reply(&mut stream, false).text(), "1.2.3.4:11 1.2.3.4:11 5.6.7.8:22");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).text(), "1.2.3.4:11 1.2.3.4:11 5.6.7.8:22");
    let unknown = ask_http(&port, "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(unknown.text().starts_with("127.0.0.1:") && unknown.text().ends_with(" : :"), "{}", unknown.text());
    let mut broken = connect(port.v4());
    broken.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(is_closed(&broken));
    let line = weir.wait_error("broken header: \"GET / HTTP/1.1");
    assert!(line.contains("[error]"), "{line}");
    weir.wait_error("while reading PROXY protocol, client: 127.0.0.1, server: 127.0.0.1:");
    assert_eq!(read_all(connect(port.v4())), b"");
    weir.wait_error("client timed out (110: Connection timed out) while reading PROXY protocol, client: 127.0.0.1");
}

#[test]
fn what_the_proxy_protocol_tells_beside_addresses() {
    let names = ["authority", "0xea", "unique_id", "ssl_verify", "ssl_version", "ssl_0x22", "alpn"];
    let said = names.map(|name| format!("$proxy_protocol_tlv_{name}")).join(" ");
    let (_weir, port) =
        serve(|port| format!("server {{ listen {} proxy_protocol; return 200 \"{said}\"; }}", port.v4()));
    let header = |command, rest: &[u8]| {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        header.extend([command, 0x11, 0, rest.len() as u8]);
        header.extend(rest);
        header
    };
    let ask = |header: Vec<u8>| {
        let mut stream = connect(port.v4());
        stream.write_all(&header).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        read_reply(&mut stream, false).text().to_owned()
    };
    let mut rest = vec![10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2];
    rest.extend(b"\x02\0\x03a.b\xea\0\x02vp\x20\0\x18\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x06client");
    assert_eq!(ask(header(0x21, &rest)), "a.b vp  0 TLSv1.3 client ");
    // One that ends early, and those of a sender that speaks for itself.
    assert_eq!(ask(header(0x21, &[&rest[..20], &[0, 9]].concat())), "a.b      ");
    assert_eq!(ask(header(0x20, &rest)), "      ");
    assert_eq!(ask(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec()), "      ");
    let unknown = config("server { listen 127.0.0.1:1; return 200 $proxy_protocol_tlv_nonsense; }");
    let prefix = Prefix::new();
    prefix.write("nginx.conf", unknown);
    let run = prefix.run(&["-t"]);
    assert!(run.stderr.contains("unknown \"proxy_protocol_tlv_nonsense\" variable in "), "{}", run.stderr);
}

#[test]
fn the_proxy_protocol_before_tls() {
    let (_weir, port) = serve_in(folder(), |port| {
        format!(
            "server {{ listen {} ssl proxy_protocol; {OURS} return 200 \"$scheme $proxy_protocol_addr\"; }}",
            port.v4()
        )
    });
    let mut stream = connect(port.v4());
    stream.write_all(b"PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\n").unwrap();
    let mut secure = tls_clients::connect(&tls_clients::context(|_| {}), Some("localhost"), stream).unwrap();
    secure.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut secure, false).text(), "https 1.2.3.4");
    assert_eq!(secure.read(&mut [0]).unwrap(), 0);
}

#[test]
fn tuned_sockets_serve() {
    let parameters = "rcvbuf=64k sndbuf=64k deferred so_keepalive=1m::3 backlog=20";
    let (weir, port) = serve(|port| format!("server {{ listen {} {parameters}; return 200 hi; }}", port.v4()));
    let ask = || ask_http(&port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").text().to_owned();
    assert_eq!(ask(), "hi");
    // A listener that stays is brought to what the new configuration says.
    let old = weir.worker();
    weir.prefix.replace("nginx.conf", config(&format!("server {{ listen {}; return 200 new; }}", port.v4())));
    weir.signal(Signal::SIGHUP);
    wait_for("a new worker", || {
        weir.workers().first().is_some_and(|worker| *worker != old) && weir.workers().len() == 1
    });
    assert_eq!(ask(), "new");
}
