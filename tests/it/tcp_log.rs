//! `log_format`, the parameters of `access_log`, and syslog servers.

use std::io::{ErrorKind, Write};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use super::common::clients::fetch;
use super::common::wait::PATIENCE;
use crate::common::*;

/// A server that returns a text, with this format as `f` in `access.log`.
fn returning(format: &str, server: &str) -> (Weir, Port) {
    let port = Port::reserve();
    let tcp = format!(
        "log_format f {format}; server {{ listen {}; access_log formatted.log f; {server} return text; }}",
        port.v4()
    );
    (Setup::tcp(tcp).start(), port)
}

#[track_caller]
fn lines(weir: &Weir, name: &str, count: usize) -> Vec<String> {
    wait_some(&format!("{count} lines in {name}"), || {
        let lines = weir.prefix.lines(name);
        (lines.len() >= count && weir.prefix.read(name).ends_with('\n')).then_some(lines)
    })
}

#[test]
fn every_variable() {
    let port = Port::reserve();
    let backend = Backend::start(backends::echo);
    let names = [
        "remote_addr",
        "remote_port",
        "server_addr",
        "server_port",
        "upstream_addr",
        "bytes_received",
        "bytes_sent",
        "session_time",
        "status",
        "connection",
        "time_local",
        "time_iso8601",
        "msec",
        "pid",
        "hostname",
        "ssl_protocol",
        "ssl_cipher",
        "proxy_protocol_addr",
        "proxy_protocol_port",
        "upstream_bytes_sent",
        "upstream_bytes_received",
        "upstream_connect_time",
        "protocol",
    ];
    let format: Vec<String> = names.iter().map(|name| format!("{name}=${name}")).collect();
    let tcp = format!(
        "log_format f '{}|' '{}'; access_log formatted.log f; server {{ listen {}; proxy_pass {}; }}",
        format[..5].join("|"),
        format[5..].join("|"),
        port.v4(),
        backend.address
    );
    let weir = Setup::tcp(tcp).start();
    let mut client = connect(port.v4());
    let local = client.local_addr().unwrap();
    assert_eq!(ask(&mut client, b"hello"), b"hello");
    std::thread::sleep(Duration::from_millis(20)); // So that the session's time is more than nothing.
    drop(client);
    let line = lines(&weir, "formatted.log", 1).remove(0);
    let value = |name: &str| {
        let word = line.split('|').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        word.unwrap_or_else(|| panic!("{name} in {line}")).to_string()
    };
    for (name, expected) in [
        ("remote_addr", "127.0.0.1".to_string()),
        ("remote_port", local.port().to_string()),
        ("server_addr", "127.0.0.1".into()),
        ("server_port", port.number.to_string()),
        ("upstream_addr", backend.address.to_string()),
        ("bytes_received", "5".into()),
        ("bytes_sent", "5".into()),
        ("status", "200".into()),
        ("pid", weir.worker().to_string()),
        ("hostname", nix::unistd::gethostname().unwrap().to_str().unwrap().to_lowercase()),
        ("ssl_protocol", "-".into()),
        ("ssl_cipher", "-".into()),
        ("proxy_protocol_addr", "-".into()),
        ("proxy_protocol_port", "-".into()),
        ("upstream_bytes_sent", "5".into()),
        ("upstream_bytes_received", "5".into()),
        ("protocol", "TCP".into()),
    ] {
        assert_eq!(value(name), expected, "{name} in {line}");
    }
    let seconds = |name: &str| {
        let text = value(name);
        assert_eq!(text.split_once('.').map(|(_, rest)| rest.len()), Some(3), "{name} in {line}");
        text.parse::<f64>().unwrap()
    };
    assert!((0.02..30.0).contains(&seconds("session_time")), "{line}");
    assert!((0.0..30.0).contains(&seconds("upstream_connect_time")), "{line}");
    let local = chrono::DateTime::parse_from_str(&value("time_local"), "%d/%b/%Y:%H:%M:%S %z").unwrap();
    assert_eq!(local, chrono::DateTime::parse_from_rfc3339(&value("time_iso8601")).unwrap());
    assert!((seconds("msec") - local.timestamp() as f64).abs() < 2.0, "{line}");
    assert!(value("connection").parse::<u64>().unwrap() > 0);
}

#[test]
fn escapes() {
    let prefix = Prefix::new();
    let path = prefix.join("a\"é.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let path = path.to_str().unwrap();
    let port = Port::reserve();
    let tcp = format!(
        "log_format by_default '\"$upstream_addr\" $ssl_cipher'; log_format same escape=default $upstream_addr;
         log_format json escape=json '\"$upstream_addr\" \"$ssl_cipher\"'; log_format none escape=none '$upstream_addr [$ssl_cipher]';
         server {{ listen {}; proxy_pass 'unix:{path}'; access_log 1.log by_default; access_log 2.log same;
         access_log 3.log json; access_log 4.log none; }}",
        port.v4()
    );
    let weir = Setup::tcp(tcp).start_in(prefix);
    let client = connect(port.v4());
    drop(listener.accept().unwrap());
    assert_eq!(read_all(client), b"");
    let before = path.strip_suffix("\"é.sock").unwrap();
    assert_eq!(lines(&weir, "1.log", 1), [format!("\"unix:{before}\\x22\\xC3\\xA9.sock\" -")]);
    assert_eq!(lines(&weir, "2.log", 1), [format!("unix:{before}\\x22\\xC3\\xA9.sock")]);
    assert_eq!(lines(&weir, "3.log", 1), [format!("\"unix:{before}\\\"é.sock\" \"\"")]);
    assert_eq!(lines(&weir, "4.log", 1), [format!("unix:{before}\"é.sock []")]);
}

#[test]
fn an_empty_value_is_not_none() {
    let tcp = "log_format f '[$remote_port] [$upstream_addr] $remote_addr $server_addr';
               server { listen unix:in.sock; access_log formatted.log f; return text; }";
    let weir = Setup::tcp(tcp).start();
    let path = weir.prefix.join("in.sock");
    assert_eq!(read_all(UnixStream::connect(&path).unwrap()), b"text");
    assert_eq!(lines(&weir, "formatted.log", 1), ["[] [-] unix: unix:in.sock"]);
}

#[test]
fn attempts_are_listed() {
    let port = Port::reserve();
    let backend = Backend::start(backends::named("b"));
    // Reserved and nobody's: connections are refused.
    let (one, other) = (Port::reserve(), Port::reserve());
    let tcp = format!(
        "log_format f '$status|$upstream_addr|$upstream_bytes_received|$upstream_bytes_sent|$upstream_connect_time';
         access_log formatted.log f;
         upstream u {{ server {} fail_timeout=1h; server {} backup; }} upstream gone {{ server {} down; }}
         server {{ listen {}; proxy_pass u; }} server {{ listen {}; proxy_pass {}; }}
         server {{ listen {}; proxy_pass gone; }}",
        one.v4(),
        backend.address,
        other.v4(),
        port.v4(),
        port.on("127.0.0.2"),
        other.v4(),
        port.on("127.0.0.3"),
    );
    let weir = Setup::tcp(tcp).start();
    assert_eq!(fetch(port.v4()), "b");
    let line = lines(&weir, "formatted.log", 1).remove(0);
    let start = format!("200|{}, {}|0, 1|0, 0|-, 0.0", one.v4(), backend.address);
    assert!(line.starts_with(&start), "{line}");
    assert_eq!(fetch(port.on("127.0.0.2")), "");
    assert_eq!(lines(&weir, "formatted.log", 2)[1], format!("502|{}|0|0|-", other.v4()));
    assert_eq!(fetch(port.on("127.0.0.3")), "");
    assert_eq!(lines(&weir, "formatted.log", 3)[2], "502|gone|0|0|-");
}

#[test]
fn status_of_what_is_not_served() {
    let port = Port::reserve();
    let tcp = format!(
        "log_format f $status; access_log formatted.log f; server {{ listen {}; deny all; return text; }} server {{ listen {}; }}",
        port.v4(),
        port.on("127.0.0.2")
    );
    let weir = Setup::tcp(tcp).start();
    assert_eq!(fetch(port.v4()), "");
    assert_eq!(fetch(port.on("127.0.0.2")), "");
    assert_eq!(lines(&weir, "formatted.log", 2), ["403", "500"]);
}

#[test]
fn return_has_the_same_variables() {
    let (_weir, port) = returning("x", "");
    assert_eq!(fetch(port.v4()), "text");
    let port = Port::reserve();
    let text = "$status $protocol $bytes_received $bytes_sent [$upstream_addr] [$ssl_protocol] [$proxy_protocol_addr] $session_time";
    let _weir = Setup::tcp(format!("server {{ listen {}; return '{text}'; }}", port.v4())).start();
    assert_eq!(fetch(port.v4()), "000 TCP 0 0 [] [] [] 0.000");
}

#[test]
fn a_server_can_log_to_several_places_in_several_forms() {
    let (weir, port) = returning("'$status'", "access_log plain.log; access_log twice.log f; access_log twice.log f;");
    assert_eq!(fetch(port.v4()), "text");
    assert_eq!(lines(&weir, "formatted.log", 1), ["200"]);
    assert_eq!(lines(&weir, "twice.log", 2), ["200", "200"]);
    let plain = lines(&weir, "plain.log", 1).remove(0);
    assert_eq!(plain.split(' ').count(), 10);
    assert!(plain.ends_with(" - 0 4"), "{plain}");
}

#[test]
fn buffered_lines_are_written_in_time() {
    let port = Port::reserve();
    let tcp = format!(
        "log_format f $connection; access_log held.log f buffer=64k; access_log flushed.log f buffer=64k flush=100ms;
         server {{ listen {}; return text; }}",
        port.v4()
    );
    let weir = Setup::tcp(tcp).start();
    for round in 1..=3 {
        assert_eq!(fetch(port.v4()), "text");
        assert_eq!(fetch(port.v4()), "text");
        lines(&weir, "flushed.log", 2 * round);
    }
    assert_eq!(weir.prefix.read("held.log"), "");
    weir.signal(Signal::SIGUSR1);
    assert_eq!(lines(&weir, "held.log", 6), weir.prefix.lines("flushed.log"));
}

#[test]
fn a_worker_that_ends_writes_what_it_held_back() {
    let port = Port::reserve();
    let tcp = format!("access_log held.log buffer=64k flush=1h; server {{ listen {}; return text; }}", port.v4());
    let mut weir = Setup::tcp(tcp).start();
    assert_eq!(fetch(port.v4()), "text");
    weir.signal(Signal::SIGQUIT);
    weir.wait_exit();
    assert_eq!(weir.prefix.lines("held.log").len(), 1);
}

#[test]
fn conditions() {
    let port = Port::reserve();
    let backend = Backend::start(backends::echo);
    let tcp = format!(
        "log_format f $bytes_received; access_log all.log f; access_log some.log f if=$bytes_received;
         access_log none.log f if=$ssl_protocol; access_log never.log f if=; access_log always.log f if=x$ssl_protocol;
         server {{ listen {}; proxy_pass {}; }}",
        port.v4(),
        backend.address
    );
    let weir = Setup::tcp(tcp).start();
    drop(connect(port.v4()));
    lines(&weir, "all.log", 1);
    assert_eq!(ask(connect(port.v4()), b"abc"), b"abc");
    assert_eq!(lines(&weir, "all.log", 2), ["0", "3"]);
    assert_eq!(weir.prefix.lines("some.log"), ["3"]);
    assert_eq!(weir.prefix.lines("always.log"), ["0", "3"]);
    for empty in ["none.log", "never.log"] {
        assert_eq!(weir.prefix.read(empty), "", "{empty}");
    }
}

/// The packet's priority, and what stands behind its time.
#[track_caller]
fn parse(packet: &str) -> (&str, &str) {
    let (priority, rest) = packet.strip_prefix('<').unwrap().split_once('>').unwrap();
    let (time, rest) = rest.split_at("Nov 21 20:31:05 ".len());
    // The year is not said, and may have ended since.
    let now = chrono::Local::now().naive_local();
    let age = |year: i32| {
        let time = format!("{year} {time}");
        let time = chrono::NaiveDateTime::parse_from_str(&time, "%Y %b %e %H:%M:%S ").ok()?;
        Some((now - time).num_seconds())
    };
    let year = chrono::Datelike::year(&now);
    assert!([year, year - 1].into_iter().filter_map(age).any(|age| (0..60).contains(&age)), "{packet}");
    (priority, rest)
}

fn udp() -> (UdpSocket, std::net::SocketAddr) {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = server.local_addr().unwrap();
    (server, address)
}

fn receive(server: &UdpSocket) -> String {
    let mut packet = [0; 4096];
    let count = server.recv(&mut packet).expect("a packet");
    String::from_utf8(packet[..count].to_vec()).unwrap()
}

fn datagrams(prefix: &Prefix, name: &str) -> UnixDatagram {
    let path = prefix.join(name);
    let server = UnixDatagram::bind(&path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server
}

#[test]
fn access_log_to_syslog() {
    let hostname = nix::unistd::gethostname().unwrap().to_str().unwrap().to_lowercase();
    let prefix = Prefix::new();
    let unix = datagrams(&prefix, "syslog.sock");
    let (server, address) = udp();
    let port = Port::reserve();
    let tcp = format!(
        "log_format f 'status $status'; access_log syslog:server={address} f if=$status;
         access_log syslog:server=unix:{},nohostname,facility=local0,tag=weir_1,severity=notice;
         server {{ listen {}; return text; }}",
        prefix.text_path("syslog.sock"),
        port.v4()
    );
    let weir = Setup::tcp(tcp).start_in(prefix);
    assert_eq!(fetch(port.v4()), "text");
    let packet = receive(&server);
    assert_eq!(parse(&packet), ("190", format!("{hostname} nginx: status 200").as_str()));
    let mut packet = [0; 4096];
    let count = unix.recv(&mut packet).unwrap();
    let (priority, rest) = parse(std::str::from_utf8(&packet[..count]).unwrap());
    assert_eq!(priority, "133");
    // The line without a format is the one that files get.
    assert!(rest.starts_with("weir_1: 20") && rest.ends_with(" - 0 4"), "{rest}");
    assert!(rest.contains(&format!(" [{}] 127.0.0.1 {} ", weir.worker(), port.v4())), "{rest}");
}

#[test]
fn error_log_to_syslog() {
    let (server, address) = udp();
    let port = Port::reserve();
    let setup = Setup::tcp(format!("server {{ listen {}; deny all; return text; }}", port.v4()));
    let weir = setup.main(format!("error_log syslog:server={address},facility=user,tag=t notice;")).start();
    assert_eq!(fetch(port.v4()), "");
    let (priority, line) = loop {
        let packet = receive(&server);
        if packet.contains("forbidden") {
            let (priority, rest) = parse(&packet);
            break (priority.to_string(), rest.split_once(" t: ").unwrap().1.to_string());
        }
    };
    // user is 1, notice is 5.
    assert_eq!(priority, "13");
    assert_eq!(line, weir.wait_error("forbidden"));
}

#[test]
fn a_syslog_server_that_is_away_holds_nobody_up() {
    let prefix = Prefix::new();
    let (server, address) = udp();
    drop(server);
    let port = Port::reserve();
    let path = prefix.text_path("syslog.sock");
    let tcp = format!(
        "access_log syslog:server={address}; access_log syslog:server=unix:{path}; access_log access.log;
         server {{ listen {}; return text; }}",
        port.v4()
    );
    let main = format!("error_log syslog:server=unix:{path} debug;");
    let weir = Setup::tcp(tcp).main(main).start_in(prefix);
    for _ in 0..20 {
        assert_eq!(fetch(port.v4()), "text");
    }
    weir.wait_access(20);
    let complaint = weir.wait_error(&format!("send() to syslog server unix:{path} failed"));
    assert!(complaint.contains("[warn]") && complaint.contains("(2: No such file or directory)"), "{complaint}");
    // Not a line for each line lost.
    assert_eq!(weir.error_log().matches("send() to syslog server unix:").count(), 1);
    // It is found as soon as it is there.
    let unix = datagrams(&weir.prefix, "syslog.sock");
    assert_eq!(fetch(port.v4()), "text");
    let mut packet = [0; 4096];
    unix.recv(&mut packet).unwrap();
}

#[test]
fn a_syslog_server_that_is_slow_holds_nobody_up() {
    let prefix = Prefix::new();
    let unix = datagrams(&prefix, "syslog.sock");
    let port = Port::reserve();
    let tcp = format!(
        "access_log syslog:server=unix:{}; access_log access.log; server {{ listen {}; return text; }}",
        prefix.text_path("syslog.sock"),
        port.v4()
    );
    let weir = Setup::tcp(tcp).start_in(prefix);
    // More than its queue takes (net.unix.max_dgram_qlen).
    let queue: usize = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap().trim().parse().unwrap();
    let count = queue + 20;
    for _ in 0..count {
        assert_eq!(fetch(port.v4()), "text");
    }
    weir.wait_access(count);
    weir.wait_error("(11: Resource temporarily unavailable)");
    unix.set_nonblocking(true).unwrap();
    let mut received = 0;
    let ended = loop {
        match unix.recv(&mut [0; 4096]) {
            Ok(_) => received += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(ended.kind(), ErrorKind::WouldBlock);
    assert!((1..count).contains(&received), "{received} of {count}");
}

#[test]
fn a_buffer_does_not_wait_for_the_last_session_of_an_old_worker() {
    let (backend, port) = (Backend::start(backends::echo), Port::reserve());
    let tcp = format!(
        "access_log access.log tcp buffer=64k; server {{ listen {}; proxy_pass {}; }}",
        port.v4(),
        backend.address
    );
    let setup = Setup::tcp(format!("log_format tcp $status; {tcp}"));
    for master in ["on", "off"] {
        let prefix = Prefix::new();
        let setup = setup.clone().main(format!("master_process {master};"));
        prefix.write("nginx.conf", setup.text().replace("access_log access.log;\n", ""));
        let weir = Weir::launch(prefix, &[]);
        let (mut long, mut longer) = (connect(port.v4()), connect(port.v4()));
        for stream in [&mut long, &mut longer, &mut connect(port.v4())] {
            ask(stream, b"x");
        }
        weir.wait_error("session ended");
        weir.signal(Signal::SIGHUP);
        lines(&weir, "access.log", 1);
        // And with it the next: it could be the last for a long time.
        drop(long);
        lines(&weir, "access.log", 2);
        assert_eq!(ask(&mut longer, b"still there"), b"still there");
    }
}

#[test]
fn the_configuration_of_the_readme() {
    // The configuration that the README shows for logging.
    let readme = include_str!("../../README.md");
    let block =
        readme.split("```nginx\n").find(|block| block.starts_with("tcp {\n    log_format")).expect("an example");
    let tcp = block.split("```").next().unwrap();
    let (backend, port) = (Backend::start(backends::echo), Port::reserve());
    let (server, address) = udp();
    let tcp = tcp
        .replace("127.0.0.1:5432", &backend.address.to_string())
        .replace("listen 5433", &format!("listen {}", port.v4()))
        .replace("127.0.0.1:514", &address.to_string());
    let prefix = Prefix::new();
    prefix.write("nginx.conf", format!("daemon off; pid weir.pid; error_log error.log info; events {{}} {tcp}"));
    let weir = Weir::launch(prefix, &[]);
    let mut client = connect(port.v4());
    client.write_all(b"select").unwrap();
    assert_eq!(ask(&mut client, b"x").len(), 1);
    drop(client);
    let line = lines(&weir, "logs/sessions.json", 1).remove(0);
    assert!(
        line.starts_with("{\"time\":\"20") && line.contains("\"client\":\"127.0.0.1\"") && line.ends_with('}'),
        "{line}"
    );
    assert!(parse(&receive(&server)).1.contains(" db: 127.0.0.1 -> "));
}
