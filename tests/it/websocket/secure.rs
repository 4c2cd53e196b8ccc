//! TLS before and behind websockets.

use std::sync::mpsc;

use openssl::pkey::PKey;
use openssl::ssl::{NameType, SslAcceptor, SslMethod, SslStream, SslVersion};
use openssl::x509::X509;

use super::*;
use crate::common::wait::PATIENCE;

const OURS: &str = "ssl_certificate server.pem; ssl_certificate_key server.key;";

fn folder() -> Prefix {
    let prefix = Prefix::new();
    Identity::alone().write(&prefix, "server");
    prefix
}

/// What a server that speaks TLS has heard: the bytes before its handshake, and the name it was called by.
type Heard = (Vec<u8>, Option<String>);

/// A server that speaks TLS of a version: it takes `before` bytes in the clear, says `s` and echoes.
fn secure_backend(version: SslVersion, before: usize) -> (Backend, mpsc::Receiver<Heard>) {
    let identity = Identity::alone();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate(&identity.certificate).unwrap();
    acceptor.set_private_key(&identity.key).unwrap();
    acceptor.set_min_proto_version(Some(version)).unwrap();
    acceptor.set_max_proto_version(Some(version)).unwrap();
    let acceptor = acceptor.build();
    let (sender, heard) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let backend = Backend::start(move |mut stream| {
        let mut clear = vec![0; before];
        stream.read_exact(&mut clear).unwrap();
        let Ok(mut stream) = acceptor.accept(stream) else { return };
        let name = stream.ssl().servername(NameType::HOST_NAME).map(str::to_owned);
        let _ = sender.lock().unwrap().send((clear, name));
        let mut buffer = vec![0; 65536];
        if stream.write_all(b"s").is_ok() {
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) if stream.write_all(&buffer[..count]).is_ok() => {}
                    // Shown when the test fails.
                    how => return eprintln!("the server gives up: {how:?}"),
                }
            }
        }
        let _ = stream.shutdown();
    });
    (backend, heard)
}

/// A client that speaks TLS and believes anybody.
fn client(port: &Port, identity: Option<(&Prefix, &str)>) -> SslStream<TcpStream> {
    let context = tls_clients::context(|builder| {
        if let Some((prefix, name)) = identity {
            // Not by path: OpenSSL's open file would go to programs that other tests start, and they would end with this test's folder.
            let read = |kind: &str| prefix.read(&format!("{name}.{kind}"));
            builder.set_certificate(&X509::from_pem(read("pem").as_bytes()).unwrap()).unwrap();
            builder.set_private_key(&PKey::private_key_from_pem(read("key").as_bytes()).unwrap()).unwrap();
        }
    });
    tls_clients::connect(&context, None, connect(port.v4())).unwrap()
}

#[test]
fn servers_that_speak_tls() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let (secure, heard) = secure_backend(version, 0);
        let port = Port::reserve();
        let group = format!("upstream chat.test {{ server {}; }}", secure.address);
        let passes = format!(
            "websocket_pass /ip wss://{}; websocket_pass /name WSS://localhost:{}; websocket_pass wss://chat.test;",
            secure.address,
            secure.address.port()
        );
        let _weir = Setup::tcp(group + &server(&port, &passes)).start();
        for (target, name) in [("/ip", None), ("/name", Some("localhost")), ("/x", Some("chat.test"))] {
            let stream = connect(port.v4());
            assert_eq!(reached(&stream, request(target, "other.test").as_bytes()), "s");
            assert_eq!(heard.recv_timeout(PATIENCE).unwrap().1.as_deref(), name);
            let bytes = clients::noise(3 << 20);
            assert!(clients::exchange(stream, &bytes) == bytes);
        }
    }
}

#[test]
fn the_end_of_a_secure_server_is_the_clients() {
    let (secure, _heard) = secure_backend(SslVersion::TLS1_3, 0);
    let port = Port::reserve();
    let weir = Setup::tcp(server(&port, &format!("websocket_pass wss://{};", secure.address))).level("info").start();
    let stream = connect(port.v4());
    assert_eq!(reached(&stream, request("/", "h").as_bytes()), "s");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(is_closed(&stream));
    weir.wait_access(1);
    assert!(!weir.error_log().contains("SSL"), "{}", weir.error_log());
}

#[test]
fn a_failed_handshake_is_a_failed_server() {
    let plain = Backend::start(backends::named("220 no TLS here\r\n"));
    let closing = Backend::start(backends::close);
    let silent = Backend::start(backends::silent);
    let (secure, _heard) = secure_backend(SslVersion::TLS1_3, 0);
    let port = Port::reserve();
    let group = format!(
        "upstream g {{ server {}; server {}; server {}; server {} backup; }}",
        plain.address, closing.address, silent.address, secure.address
    );
    let more = "websocket_connect_timeout 3s; websocket_pass wss://g;";
    let weir = Setup::tcp(FORMAT.to_owned() + &group + &server(&port, more)).start();
    assert_eq!(goes_to(&port, "/", "h"), "s");
    let line = weir.wait_error("SSL_do_handshake() failed (SSL: error:");
    assert!(line.contains("wrong version number) while SSL handshaking to upstream, client: 127.0.0.1"), "{line}");
    assert!(line.contains("[error]") && line.ends_with(&format!(", upstream: \"{}\"", plain.address)), "{line}");
    let line = weir.wait_error("upstream timed out (110: Connection timed out) while SSL handshaking to upstream");
    assert!(line.ends_with(&format!(", upstream: \"{}\"", silent.address)), "{line}");
    weir.wait_error("upstream server temporarily disabled while SSL handshaking to upstream");
    // The one that closes is found out at once or in the handshake.
    wait_for("the one that closes", || {
        let log = weir.error_log();
        log.contains("peer closed connection in SSL handshake") || log.contains("before it was used")
    });
    // Its failures are remembered.
    assert_eq!(goes_to(&port, "/", "h"), "s");
    assert_eq!((plain.accepted(), silent.accepted()), (1, 1));
}

#[test]
fn all_servers_failing_is_a_bad_gateway() {
    let plain = Backend::start(backends::named("220 no TLS here\r\n"));
    let port = Port::reserve();
    let more = format!("websocket_pass wss://{};", plain.address);
    let weir = Setup::tcp(FORMAT.to_owned() + &server(&port, &more)).start();
    assert!(refuses(&port, request("/", "h").as_bytes()));
    assert_eq!(ended(&weir, 1), [format!("502 {} {}", request("/", "h").len(), plain.address)]);
}

#[test]
fn a_client_that_leaves_during_the_handshake() {
    let silent = Backend::start(backends::silent);
    let port = Port::reserve();
    let more = format!("websocket_pass wss://{};", silent.address);
    let weir = Setup::tcp(server(&port, &more)).start();
    let mut stream = connect(port.v4());
    stream.write_all(request("/", "h").as_bytes()).unwrap();
    wait_for("the server to be connected to", || silent.accepted() == 1);
    clients::reset(stream);
    weir.wait_access(1);
    weir.wait_error("client prematurely closed connection");
}

#[test]
fn the_proxy_header_stands_before_tls() {
    let port = Port::reserve();
    let client = connect_from_anywhere();
    let header = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", client.1, port.number);
    let (secure, heard) = secure_backend(SslVersion::TLS1_3, header.len());
    let more = format!("proxy_protocol on; websocket_pass wss://{};", secure.address);
    let _weir = Setup::tcp(server(&port, &more)).start();
    client.0.connect(&port.v4().parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let stream = TcpStream::from(client.0);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(reached(&stream, request("/", "h").as_bytes()), "s");
    assert_eq!(String::from_utf8(heard.recv_timeout(PATIENCE).unwrap().0).unwrap(), header);
}

/// A socket with a port that is not connected yet.
fn connect_from_anywhere() -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

#[test]
fn clients_that_speak_tls() {
    let (a, b) = (backend("a"), backend("b"));
    let port = Port::reserve();
    let tcp = [
        format!(
            "server {{ listen {} ssl; protocol tcp_websocket; {OURS} websocket_pass {}; }}\n",
            port.v4(),
            a.address
        ),
        server(&port, &format!("server_name b; websocket_pass {};", b.address)),
        FORMAT.to_owned(),
    ];
    let weir = Setup::tcp(tcp.concat()).level("info").start_in(folder());
    assert_eq!(reached(client(&port, None), request("/", "h").as_bytes()), "a");
    assert_eq!(reached(client(&port, None), request("/", "b").as_bytes()), "b");
    // In pieces, each a record.
    let mut stream = client(&port, None);
    let head = request("/", &"h".repeat(300));
    for byte in head.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    let frames = clients::noise(500_000);
    let mut answer = vec![0; 1 + head.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer[1..], head.as_bytes());
    for piece in frames.chunks(20_000) {
        assert!(ask(&mut stream, piece) == piece);
    }
    // Behind the head in one record, and more than one read of ours takes.
    let mut stream = client(&port, None);
    let all = [request("/", "h").as_bytes(), &frames[..16_000]].concat();
    assert_eq!(reached(&mut stream, &all), "a");
    let mut stream = client(&port, None);
    stream.write_all(b"GET / HTTP/1.1\r\nbad\r\n\r\n").unwrap();
    assert!(is_closed(stream));
    weir.wait_error("client sent invalid header line while reading client request head");
}

#[test]
fn a_host_is_no_way_around_certificates() {
    let a = backend("a");
    let prefix = folder();
    let authority = Identity::root("root");
    prefix.write("ca.pem", authority.certificate_pem());
    authority.issue("client", super::super::tls::certs::ec_key()).write(&prefix, "client");
    let (open, closed) = (Port::reserve(), Port::reserve());
    let verify = "ssl_verify_client on; ssl_client_certificate ca.pem;";
    let all = |port: &Port, settings: &str| {
        format!(
            "server {{ listen {} ssl; protocol tcp_websocket; {OURS} {settings} websocket_pass {}; }}\n",
            port.v4(),
            a.address
        )
    };
    let tcp = [
        all(&open, "server_name first;"),
        all(&open, &format!("server_name verified; {verify}")),
        all(&closed, &format!("server_name first; {verify}")),
        all(&closed, &format!("server_name verified; {verify}")),
        all(&closed, "server_name unverified;"),
    ];
    // All servers name `listen ... ssl`.
    let weir = Setup::tcp(tcp.concat()).level("info").start_in(prefix);
    assert_eq!(reached(client(&open, None), request("/", "first").as_bytes()), "a");
    let mut stream = client(&open, Some((&weir.prefix, "client")));
    stream.write_all(request("/", "verified").as_bytes()).unwrap();
    assert!(is_closed(stream));
    weir.wait_error("client attempted to request the server name different from the one that was negotiated");
    for host in ["first", "verified", "unverified"] {
        let stream = client(&closed, Some((&weir.prefix, "client")));
        assert_eq!(reached(stream, request("/", host).as_bytes()), "a", "{host}");
    }
}
