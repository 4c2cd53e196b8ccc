//! The PROXY protocol, in and out, alone and with nginx and HAProxy on the other side.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::common::clients::{fetch, try_connect};
use super::common::wait::PATIENCE;
use crate::common::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// What `who` servers return.
const WHO: &str = "$remote_addr $remote_port $proxy_protocol_addr $proxy_protocol_port";

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend((rest.len() as u16).to_be_bytes());
    header.extend(rest);
    header
}

/// 192.0.2.7:1025 to 192.0.2.1:80, with a TLV behind.
fn v2_inet() -> Vec<u8> {
    v2(0x21, 0x11, &[192, 0, 2, 7, 192, 0, 2, 1, 4, 1, 0, 80, 4, 0, 1, 0])
}

/// A server that tells whom it sees.
fn who(settings: &str) -> (Weir, Port) {
    let port = Port::reserve();
    let tcp = format!(
        "log_format f '$status $remote_addr'; access_log formatted.log f;
         server {{ listen {} proxy_protocol; {settings} return '{WHO}'; }}",
        port.v4()
    );
    (Setup::tcp(tcp).start(), port)
}

/// The answer to these bytes.
fn answer(port: &Port, bytes: &[u8]) -> String {
    let mut stream = connect(port.v4());
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A server that closes with bytes unread resets.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// A backend that hands over everything each client has sent, when it has ended its side.
fn recording() -> (Backend, mpsc::Receiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::channel();
    (Backend::start(backends::recorder(sender)), receiver)
}

#[test]
fn trusted_senders_are_believed() {
    let (weir, port) = who("set_real_ip_from 10.0.0.0/8; set_real_ip_from 127.0.0.1;");
    assert_eq!(answer(&port, b"PROXY TCP4 192.0.2.7 192.0.2.1 1025 80\r\n"), "192.0.2.7 1025 192.0.2.7 1025");
    assert_eq!(answer(&port, b"PROXY TCP6 2001:db8::7 2001:db8::1 1025 80\r\n"), "2001:db8::7 1025 2001:db8::7 1025");
    assert_eq!(answer(&port, &v2_inet()), "192.0.2.7 1025 192.0.2.7 1025");
    let mut ipv6 = [0; 36];
    (ipv6[15], ipv6[31], ipv6[33], ipv6[35]) = (7, 1, 80, 80);
    assert_eq!(answer(&port, &v2(0x21, 0x21, &ipv6)), "::7 80 ::7 80");
    wait_for("the access log", || weir.prefix.lines("formatted.log").len() == 4);
    assert_eq!(weir.prefix.lines("formatted.log"), ["200 192.0.2.7", "200 2001:db8::7", "200 192.0.2.7", "200 ::7"]);
}

#[test]
fn headers_without_addresses_leave_the_sender() {
    let (_weir, port) = who("set_real_ip_from 127.0.0.1;");
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
        v2(0x20, 0, &[]),
        v2(0x20, 0x11, &[1; 12]),
        v2(0x21, 0, &[]),
        v2(0x21, 0x31, &[b'a'; 216]),
    ] {
        let mut stream = connect(port.v4());
        stream.write_all(&header).unwrap();
        let own = stream.local_addr().unwrap().port();
        assert_eq!(String::from_utf8(read_all(stream)).unwrap(), format!("127.0.0.1 {own}  "), "{header:?}");
    }
}

#[test]
fn without_set_real_ip_from_a_header_only_sets_its_variables() {
    let (_weir, port) = who("allow 127.0.0.1; deny all;");
    let mut stream = connect(port.v4());
    stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 1025 80\r\n").unwrap();
    let own = stream.local_addr().unwrap().port();
    assert_eq!(String::from_utf8(read_all(stream)).unwrap(), format!("127.0.0.1 {own} 192.0.2.7 1025"));
}

#[test]
fn rules_and_logs_see_the_client() {
    let (weir, port) = who("set_real_ip_from 127.0.0.1; allow 192.0.2.7; deny all;");
    assert_eq!(answer(&port, &v2_inet()), "192.0.2.7 1025 192.0.2.7 1025");
    assert_eq!(answer(&port, b"PROXY TCP4 192.0.2.8 192.0.2.1 1025 80\r\n"), "");
    let line = weir.wait_error("access forbidden by rule");
    assert!(line.ends_with(&format!(", client: 192.0.2.8, server: {}", port.v4())), "{line}");
    // The balancer itself is a client like others.
    assert_eq!(answer(&port, b"PROXY UNKNOWN\r\n"), "");
    wait_for("the access log", || weir.prefix.lines("formatted.log").len() == 3);
    assert_eq!(weir.prefix.lines("formatted.log"), ["200 192.0.2.7", "403 192.0.2.8", "403 127.0.0.1"]);
}

#[test]
fn ip_hash_goes_by_the_client() {
    let (one, two) = (Backend::start(backends::named("one")), Backend::start(backends::named("two")));
    let port = Port::reserve();
    let tcp = format!(
        "upstream u {{ ip_hash; server {}; server {}; }} set_real_ip_from 127.0.0.1;
         server {{ listen {} proxy_protocol; proxy_pass u; }}",
        one.address,
        two.address,
        port.v4()
    );
    let _weir = Setup::tcp(tcp).start();
    // The old module's choice among two for these clients.
    for (client, name) in [("10.0.0.1", "two"), ("192.168.1.5", "one"), ("172.16.5.9", "one"), ("8.8.8.8", "two")] {
        assert_eq!(answer(&port, format!("PROXY TCP4 {client} 192.0.2.1 1025 80\r\n").as_bytes()), name, "{client}");
    }
}

#[test]
fn untrusted_senders_are_not_believed() {
    // As nginx: the header is read all the same, and its variables have values.
    let (weir, port) = who("set_real_ip_from 192.0.2.0/24; set_real_ip_from unix:; allow 127.0.0.1; deny all;");
    let told = answer(&port, b"PROXY TCP4 192.0.2.7 192.0.2.1 1025 80\r\n");
    assert!(told.starts_with("127.0.0.1 ") && told.ends_with(" 192.0.2.7 1025"), "{told}");
    wait_for("the access log", || weir.prefix.lines("formatted.log") == ["200 127.0.0.1"]);
}

#[test]
fn a_unix_socket_can_be_trusted() {
    let tcp = format!("server {{ listen unix:in.sock proxy_protocol; set_real_ip_from unix:; return '{WHO}'; }}");
    let weir = Setup::tcp(tcp).start();
    let mut stream = UnixStream::connect(weir.prefix.join("in.sock")).unwrap();
    stream.write_all(&v2_inet()).unwrap();
    assert_eq!(read_all(stream), b"192.0.2.7 1025 192.0.2.7 1025");
}

#[test]
fn what_stands_behind_the_header_is_passed_on() {
    let (backend, received) = recording();
    let port = Port::reserve();
    let _weir =
        Setup::tcp(format!("server {{ listen {} proxy_protocol; proxy_pass {}; }}", port.v4(), backend.address))
            .start();
    let data = super::common::clients::noise(100_000);
    for header in [b"PROXY TCP4 192.0.2.7 192.0.2.1 1025 80\r\n".to_vec(), v2_inet()] {
        let mut stream = connect(port.v4());
        stream.write_all(&[header.as_slice(), &data].concat()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(received.recv_timeout(PATIENCE).unwrap() == data);
    }
}

#[test]
fn a_header_in_pieces() {
    let (weir, port) = who("set_real_ip_from 127.0.0.1;");
    for header in [b"PROXY TCP4 192.0.2.7 192.0.2.1 1025 80\r\n".to_vec(), v2_inet()] {
        let mut stream = connect(port.v4());
        for byte in &header {
            stream.write_all(&[*byte]).unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(read_all(stream), b"192.0.2.7 1025 192.0.2.7 1025");
    }
    // Waiting for the rest takes no processor time.
    let mut stream = connect(port.v4());
    stream.write_all(b"PROXY TCP4").unwrap();
    let before = proc::cpu_ticks(weir.worker());
    std::thread::sleep(Duration::from_millis(500));
    assert!(proc::cpu_ticks(weir.worker()) - before < 20);
}

#[test]
fn what_is_no_header_ends_the_session() {
    let (weir, port) = who("");
    let mut oversized = SIGNATURE.to_vec();
    oversized.extend([0x21, 0x11, 0xff, 0xff]);
    let endless = "PROXY UNKNOWN ".to_string() + &"x".repeat(200);
    let broken: [(&[u8], &str); 6] = [
        (b"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\\x0D\\x0A\\x0D\\x0A"),
        (b"PROXY TCP4 here there 1 2\r\n", "PROXY TCP4 here there 1 2\\x0D\\x0A"),
        (b"\xff\xfe", "\\xFF\\xFE"),
        (endless.as_bytes(), &endless[..107]),
        (&oversized, "\\x0D\\x0A\\x0D\\x0A\\x00\\x0D\\x0AQUIT\\x0A!\\x11\\xFF\\xFF"),
        (&v2(0x21, 0x11, &[1; 11]), "\\x0D\\x0A\\x0D\\x0A\\x00\\x0D\\x0AQUIT\\x0A!\\x11\\x00\\x0B"),
    ];
    for (bytes, shown) in broken {
        assert_eq!(answer(&port, bytes), "", "{shown}");
        let line = weir.wait_error(&format!("broken header: \"{shown}"));
        assert!(line.contains("[error]"), "{line}");
        let end = format!("\" while reading PROXY protocol, client: 127.0.0.1, server: {}", port.v4());
        assert!(line.ends_with(&end), "{line}");
    }
    wait_for("the access log", || weir.prefix.lines("formatted.log").len() == broken.len());
    assert!(weir.prefix.lines("formatted.log").iter().all(|line| line == "400 127.0.0.1"));
}

#[test]
fn a_client_that_leaves_before_the_end_of_its_header() {
    let (weir, port) = who("");
    for start in [&b""[..], b"PROXY TCP4 192.0.2.7 192", &v2_inet()[..20]] {
        let mut stream = connect(port.v4());
        stream.write_all(start).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(is_closed(stream));
    }
    wait_for("the access log", || weir.prefix.lines("formatted.log").len() == 3);
    assert_eq!(weir.error_log().matches("broken header: ").count(), 3);
}

#[test]
fn a_silent_sender_is_closed_in_time() {
    let (weir, port) = who("proxy_protocol_timeout 200ms;");
    let mut slow = connect(port.v4());
    slow.write_all(b"PROXY ").unwrap();
    assert!(is_closed(connect(port.v4())) && is_closed(slow));
    let line = weir.wait_error("client timed out (110: Connection timed out) while reading PROXY protocol");
    assert!(line.contains("[info]"), "{line}");
}

#[test]
fn without_the_parameter_nothing_is_read() {
    let (backend, received) = recording();
    let port = Port::reserve();
    let tcp = format!("set_real_ip_from 127.0.0.1; server {{ listen {}; proxy_pass {}; }}", port.v4(), backend.address);
    let _weir = Setup::tcp(tcp).start();
    let mut stream = connect(port.v4());
    stream.write_all(b"PROXY UNKNOWN\r\n").unwrap();
    drop(stream);
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), b"PROXY UNKNOWN\r\n");
}

#[test]
fn headers_to_servers() {
    if !ports::has_ipv6() {
        return;
    }
    let (backend, received) = recording();
    let port = Port::reserve();
    let tcp = format!(
        "proxy_protocol on; proxy_pass {};
         server {{ listen {}; listen {}; listen unix:one.sock; }}
         server {{ listen {}; listen unix:two.sock; proxy_protocol v2; }}
         server {{ listen {}; proxy_protocol off; }}",
        backend.address,
        port.v4(),
        port.v6(),
        port.on("127.0.0.2"),
        port.on("127.0.0.3"),
    );
    let weir = Setup::tcp(tcp).start();
    let said = |mut stream: TcpStream| {
        stream.write_all(b"hello").unwrap();
        let own = stream.local_addr().unwrap().port();
        drop(stream);
        (own, received.recv_timeout(PATIENCE).unwrap())
    };
    let text = |(own, bytes): (u16, Vec<u8>)| (own, String::from_utf8(bytes).unwrap());
    let (own, bytes) = text(said(connect(port.v4())));
    assert_eq!(bytes, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {own} {}\r\nhello", port.number));
    let (own, bytes) = text(said(connect(port.v6())));
    assert_eq!(bytes, format!("PROXY TCP6 ::1 ::1 {own} {}\r\nhello", port.number));
    let (own, bytes) = said(connect(port.on("127.0.0.2")));
    let mut rest = vec![127, 0, 0, 1, 127, 0, 0, 2];
    rest.extend(own.to_be_bytes());
    rest.extend(port.number.to_be_bytes());
    assert_eq!(bytes, [v2(0x21, 0x11, &rest).as_slice(), b"hello"].concat());
    assert_eq!(said(connect(port.on("127.0.0.3"))).1, b"hello");
    for (name, header) in [("one.sock", b"PROXY UNKNOWN\r\n".to_vec()), ("two.sock", v2(0x20, 0, &[]))] {
        let mut stream = UnixStream::connect(weir.prefix.join(name)).unwrap();
        stream.write_all(b"hello").unwrap();
        drop(stream);
        assert_eq!(received.recv_timeout(PATIENCE).unwrap(), [header.as_slice(), b"hello"].concat());
    }
}

#[test]
fn the_header_does_not_wait_for_the_client() {
    let (sender, received) = mpsc::channel();
    let backend = Backend::start(move |mut stream: TcpStream| {
        let mut header = [0; 8];
        stream.read_exact(&mut header).unwrap();
        sender.send(header).unwrap();
        stream.write_all(b"welcome").unwrap();
    });
    let port = Port::reserve();
    let tcp = format!("server {{ listen {}; proxy_pass {}; proxy_protocol on; }}", port.v4(), backend.address);
    let weir = Setup::tcp(tcp).start();
    assert_eq!(fetch(port.v4()), "welcome");
    assert_eq!(&received.recv_timeout(PATIENCE).unwrap(), b"PROXY TC");
    // It is weir's, not the client's.
    assert!(weir.wait_access(1)[0].ends_with(" 0 7"));
}

#[test]
fn through_two_of_us() {
    let (backend, received) = recording();
    let (front, back) = (Port::reserve(), Port::reserve());
    let tcp = format!(
        "server {{ listen {}; proxy_pass {back}; proxy_protocol v2; }}
         server {{ listen {back} proxy_protocol; set_real_ip_from 127.0.0.1; proxy_pass {}; proxy_protocol on;
                   access_log second.log; }}
         server {{ listen unix:in.sock proxy_protocol; set_real_ip_from unix:; proxy_pass {}; proxy_protocol on; }}",
        front.v4(),
        backend.address,
        backend.address,
        back = back.on("127.0.0.2"),
    );
    let weir = Setup::tcp(tcp).start();
    let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    client.bind(&"127.0.0.9:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    client.connect(&front.v4().parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let mut client = TcpStream::from(client);
    let own = client.local_addr().unwrap().port();
    client.write_all(b"hello").unwrap();
    drop(client);
    let bytes = String::from_utf8(received.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert_eq!(bytes, format!("PROXY TCP4 127.0.0.9 127.0.0.2 {own} {}\r\nhello", back.number));
    wait_for("the second's log", || weir.prefix.read("second.log").contains(" 127.0.0.9 127.0.0.2:"));
    // Behind a Unix socket only the header knows where the client connected to.
    let mut client = UnixStream::connect(weir.prefix.join("in.sock")).unwrap();
    client.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 1025 80\r\nhello").unwrap();
    drop(client);
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), b"PROXY TCP4 192.0.2.7 192.0.2.1 1025 80\r\nhello");
}

/// A server from a Debian package, ended with the test.
struct Foreign(Child);

impl Foreign {
    /// nginx with this inside `stream {}`.
    fn nginx(prefix: &Prefix, stream: &str) -> Foreign {
        let text = format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so; daemon off; master_process off; pid nginx.pid; error_log nginx.log info; events {{}} stream {{ {stream} }}"
        );
        let path = prefix.write("foreign.conf", text);
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-e", "nginx.log", "-p"]).arg(prefix.join("")).arg("-c").arg(path);
        Foreign::start(command)
    }

    /// HAProxy with these sections.
    fn haproxy(prefix: &Prefix, sections: &str) -> Foreign {
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 30s\n  timeout client 30s\n  timeout server 30s\n{sections}"
        );
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-f"]).arg(prefix.write("haproxy.cfg", text));
        Foreign::start(command)
    }

    fn start(mut command: Command) -> Foreign {
        let name = format!("{} (.ci/run installs it)", command.get_program().to_string_lossy());
        Foreign(command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect(&name))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until somebody listens.
#[track_caller]
fn wait_listening(port: &Port) {
    wait_for("the other server to listen", || try_connect(port.v4()).is_ok());
}

#[test]
fn from_nginx() {
    let (front, plain, port) = (Port::reserve(), Port::reserve(), Port::reserve());
    let tcp = format!("server {{ listen {} proxy_protocol; set_real_ip_from 127.0.0.1; return '{WHO}'; }}", port.v4());
    let weir = Setup::tcp(tcp).start();
    let stream = format!(
        "server {{ listen {}; proxy_pass {to}; proxy_protocol on; }} server {{ listen {}; proxy_pass {to}; }}",
        front.v4(),
        plain.v4(),
        to = port.v4()
    );
    let _nginx = Foreign::nginx(&weir.prefix, &stream);
    wait_listening(&front);
    let client = connect(front.v4());
    let own = client.local_addr().unwrap().port();
    assert_eq!(String::from_utf8(read_all(client)).unwrap(), format!("127.0.0.1 {own} 127.0.0.1 {own}"));
    // nginx without a header.
    assert_eq!(answer(&plain, b"hello"), "");
    weir.wait_error("broken header: \"hello\"");
}

#[test]
fn to_nginx() {
    let (front, port) = (Port::reserve(), Port::reserve());
    let tcp = format!(
        "proxy_pass {}; server {{ listen {}; proxy_protocol on; }} server {{ listen {}; proxy_protocol v2; }}",
        port.v4(),
        front.v4(),
        front.on("127.0.0.2")
    );
    let weir = Setup::tcp(tcp).start();
    let stream = format!(
        "server {{ listen {} proxy_protocol; set_real_ip_from 127.0.0.1; return '$remote_addr $remote_port $proxy_protocol_server_addr'; }}",
        port.v4()
    );
    let _nginx = Foreign::nginx(&weir.prefix, &stream);
    wait_listening(&port);
    for host in ["127.0.0.1", "127.0.0.2"] {
        let client = connect(front.on(host));
        let own = client.local_addr().unwrap().port();
        assert_eq!(String::from_utf8(read_all(client)).unwrap(), format!("127.0.0.1 {own} {host}"));
    }
}

#[test]
fn from_haproxy() {
    let (v1, v2, port) = (Port::reserve(), Port::reserve(), Port::reserve());
    let tcp = format!("server {{ listen {} proxy_protocol; set_real_ip_from 127.0.0.1; return '{WHO}'; }}", port.v4());
    let weir = Setup::tcp(tcp).start();
    let sections = format!(
        "listen a\n  bind {}\n  server s {to} send-proxy\nlisten b\n  bind {}\n  server s {to} send-proxy-v2 proxy-v2-options unique-id,crc32c check\n",
        v1.v4(),
        v2.v4(),
        to = port.v4()
    );
    let _haproxy = Foreign::haproxy(&weir.prefix, &sections);
    for front in [&v1, &v2] {
        wait_listening(front);
        let client = connect(front.v4());
        let own = client.local_addr().unwrap().port();
        assert_eq!(String::from_utf8(read_all(client)).unwrap(), format!("127.0.0.1 {own} 127.0.0.1 {own}"));
    }
}

#[test]
fn to_haproxy() {
    let (front, port) = (Port::reserve(), Port::reserve());
    let backend = Backend::start(backends::echo);
    let tcp = format!(
        "proxy_pass {}; server {{ listen {}; proxy_protocol on; }} server {{ listen {}; proxy_protocol v2; }}
         server {{ listen {}; }} server {{ listen unix:in.sock; proxy_protocol v2; }}",
        port.v4(),
        front.v4(),
        front.on("127.0.0.2"),
        front.on("127.0.0.3"),
    );
    let weir = Setup::tcp(tcp).start();
    // Lets in whom the header says came to these addresses, or who came over a Unix socket and is HAProxy's own client.
    let sections = format!(
        "listen a\n  bind {} accept-proxy\n  tcp-request connection reject unless {{ dst 127.0.0.1 127.0.0.2 }}\n  server s {}\n",
        port.v4(),
        backend.address
    );
    let _haproxy = Foreign::haproxy(&weir.prefix, &sections);
    wait_listening(&port);
    for host in ["127.0.0.1", "127.0.0.2"] {
        assert_eq!(ask(connect(front.on(host)), b"hello"), b"hello");
    }
    assert_eq!(ask(UnixStream::connect(weir.prefix.join("in.sock")).unwrap(), b"hello"), b"hello");
    let mut plain = connect(front.on("127.0.0.3"));
    plain.write_all(b"hello, this is no header").unwrap();
    assert!(is_closed(plain));
}

#[test]
fn the_configuration_of_the_readme() {
    let readme = include_str!("../../README.md");
    let block = readme.split("```nginx\n").find(|block| block.contains("proxy_protocol;")).expect("an example");
    let (backend, received) = recording();
    let port = Port::reserve();
    let tcp = block.split("```").next().unwrap();
    let tcp = tcp
        .replace("127.0.0.1:5432", &backend.address.to_string())
        .replace("listen 5434", &format!("listen {}", port.v4()));
    let prefix = Prefix::new();
    prefix.write("nginx.conf", format!("daemon off; pid weir.pid; error_log error.log info; events {{}} {tcp}"));
    let weir = Weir::launch(prefix, &[]);
    assert_eq!(answer(&port, b"PROXY TCP4 198.51.100.1 192.0.2.1 1025 80\r\nhello"), "");
    weir.wait_error("client: 198.51.100.1,");
    let mut stream = connect(port.v4());
    stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 1025 80\r\nhello").unwrap();
    drop(stream);
    let mut rest = vec![192, 0, 2, 7, 127, 0, 0, 1, 4, 1];
    rest.extend(port.number.to_be_bytes());
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), [v2(0x21, 0x11, &rest).as_slice(), b"hello"].concat());
}
