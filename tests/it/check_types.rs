//! Every type of check against real servers, and against ones that misbehave.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::common::clients::fetch;
use crate::common::*;

/// A timeout in milliseconds for servers that are to answer, however long a busy machine takes.
const PATIENT: u32 = 20_000;

/// A group of one server, checked; [`PATIENT`] unless `check` says otherwise.
fn checked(port: &Port, server: &str, check: &str) -> Setup {
    let timeout = if check.contains(" timeout=") { String::new() } else { format!("timeout={PATIENT} ") };
    let check = check.replacen("check type=", &format!("check {timeout}type="), 1);
    Setup::tcp(format!("upstream u {{ server {server}; {check} }}\nserver {{ listen {}; proxy_pass u; }}", port.v4()))
}

/// Waits until the server has been found up, then stops it and waits until that is found out.
#[track_caller]
fn up_and_down(server: Server, address: usize, check: &str) {
    let port = Port::reserve();
    let address = server.address(address);
    let kind = check.split("type=").nth(1).unwrap().split([' ', ';']).next().unwrap();
    // The server may take a while to begin.
    let weir =
        checked(&port, &address, &check.replace("type=", "interval=100 rise=1 fall=1 timeout=5000 type=")).start();
    weir.wait_error(&format!(
        "[notice] {0}#{0}: peer {address} of upstream \"u\" is up: {kind} check passed",
        weir.worker()
    ));
    drop(server);
    // A probe may also have met it while it was ending.
    weir.wait_error(&format!("peer {address} of upstream \"u\" is down: "));
    assert!(is_closed(connect(port.v4())));
}

#[test]
fn http_with_nginx() {
    up_and_down(Server::nginx(1, "server { listen {0}; return 200 ok; }"), 0, "check type=http;");
}

#[test]
fn http_request_and_expected_classes() {
    let http = "server { listen {0}; location = /health { if ($http_host != checked) { return 404; } return 204; } location / { return 404; } }";
    let server = Server::nginx(1, http);
    let address = server.address(0);
    wait_for("nginx", || TcpStream::connect(&address).is_ok());
    let found = |check: &str, text: &str| {
        let line = checked(&Port::reserve(), &address, check).start().wait_error(&format!("peer {address}"));
        assert!(line.contains(text), "{line}");
    };
    found("check type=http;", "is down: unexpected answer \"HTTP/1.1 404 Not Found\"");
    found("check type=http; check_http_expect_alive http_2xx http_4xx;", "is up");
    let send = r#"check_http_send "GET /health HTTP/1.1\r\nHost: checked\r\n\r\n";"#;
    found(&format!("{send} check type=http;"), "is up");
    found(
        &format!("check type=http; {send} check_http_expect_alive http_3xx http_5xx;"),
        "\"HTTP/1.1 204 No Content\"",
    );
    found(
        "check type=http; check_http_send 'no request\r\n\r\n';",
        "is down: unexpected answer \"HTTP/1.1 400 Bad Request\"",
    );
}

fn tls_nginx(protocol: &str) -> Server {
    let http = format!(
        "server {{ listen {{0}} ssl; ssl_certificate {{dir}}/cert.pem; ssl_certificate_key {{dir}}/key.pem; ssl_protocols {protocol}; }}"
    );
    Server::nginx(1, &http)
}

#[test]
fn ssl_hello_with_tls_1_2_only() {
    up_and_down(tls_nginx("TLSv1.2"), 0, "check type=ssl_hello;");
}

#[test]
fn ssl_hello_with_tls_1_3_only() {
    up_and_down(tls_nginx("TLSv1.3"), 0, "check type=ssl_hello;");
}

#[test]
fn ssl_hello_with_a_server_that_speaks_no_tls() {
    let server = Server::nginx(1, "server { listen {0}; }");
    let address = server.address(0);
    wait_for("nginx", || TcpStream::connect(&address).is_ok());
    let weir = checked(&Port::reserve(), &address, "check type=ssl_hello;").start();
    weir.wait_error("is down: its answer is no ServerHello");
}

#[test]
fn mysql_with_mariadb() {
    up_and_down(Server::mariadb(), 0, "check type=mysql;");
}

#[test]
fn smtp_with_exim() {
    if !servers::has_account() {
        return;
    }
    up_and_down(Server::exim(), 0, "check type=smtp;");
}

#[test]
fn smtp_command_and_expected_classes() {
    if !servers::has_account() {
        return;
    }
    let server = Server::exim();
    let address = server.address(0);
    wait_for("exim", || TcpStream::connect(&address).is_ok());
    let weir = checked(&Port::reserve(), &address, r#"check type=smtp timeout=10000; check_smtp_send "NONSENSE\r\n";"#)
        .start();
    let line = weir.wait_error(&format!("peer {address}"));
    assert!(line.contains("is down: unexpected answer \"500 "), "{line}");
    let check =
        r#"check type=smtp timeout=10000; check_smtp_send "NONSENSE\r\n"; check_smtp_expect_alive smtp_2xx smtp_5xx;"#;
    checked(&Port::reserve(), &address, check).start().wait_error("is up: smtp check passed");
}

#[test]
fn imap_with_dovecot() {
    if !servers::has_account() {
        return;
    }
    up_and_down(Server::dovecot(), 0, "check type=imap;");
}

#[test]
fn pop3_with_dovecot() {
    if !servers::has_account() {
        return;
    }
    up_and_down(Server::dovecot(), 1, "check type=pop3;");
}

#[test]
fn a_mysql_server_that_has_blocked_us() {
    let fake = Backend::start(|mut stream| {
        let _ = stream.write_all(b"\x2a\0\0\0\xff\x69\x04Host '127.0.0.1' is blocked; unblock it");
    });
    let weir = checked(&Port::reserve(), &fake.address.to_string(), "check type=mysql;").start();
    weir.wait_error("is down: MySQL error 1129: Host '127.0.0.1' is blocked");
}

const KINDS: [&str; 7] = ["tcp", "http", "ssl_hello", "smtp", "mysql", "pop3", "imap"];

/// Checks `fake` in every way at once, with so many milliseconds for each probe, and holds the reasons against `expected`: a text for all,
/// or for some kinds another. Meanwhile the worker goes on serving others.
#[track_caller]
fn misbehaves(fake: Backend, timeout: u32, expected: &str, others: &[(&str, &str)]) {
    let port = Port::reserve();
    let good = Backend::start(backends::named("good"));
    let groups: String = KINDS
        .map(|kind| {
            let check = format!("check type={kind} interval=200 fall=1 timeout={timeout};");
            format!("upstream {kind} {{ server {}; {check} }}\n", fake.address)
        })
        .concat();
    let setup = Setup::tcp(format!("{groups}\nserver {{ listen {}; proxy_pass {}; }}", port.v4(), good.address));
    let weir = setup.start();
    for kind in KINDS {
        let wanted = others.iter().find(|(of, _)| *of == kind).map_or(expected, |(_, text)| text);
        let line = weir.wait_error(&format!("peer {} of upstream \"{kind}\" is ", fake.address));
        assert!(line.contains(wanted), "{line}");
    }
    assert_eq!(fetch(port.v4()), "good");
    assert!(!weir.error_log().contains("[alert]"), "{}", weir.error_log());
}

#[test]
fn silent_servers() {
    misbehaves(
        Backend::start(backends::silent),
        400,
        "is down: upstream timed out (110: Connection timed out)",
        &[("tcp", "is up")],
    );
}

#[test]
fn servers_that_dribble() {
    // Each byte is right so far, and each comes before the probe's time is up.
    for (answer, kinds) in [
        (&b"HTTP/1.1                                "[..], &["http"][..]),
        (b"220-a-very-long-greeting-that-does-not-end", &["smtp"]),
        (b"\xff\xff\xff\0\xff\x69\x04 a very long story", &["mysql"]),
    ] {
        let fake = Backend::start(move |mut stream| {
            for byte in answer {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(150));
            }
        });
        for kind in kinds {
            let check = format!("check type={kind} interval=5000 timeout=1000;");
            let weir = checked(&Port::reserve(), &fake.address.to_string(), &check).start();
            weir.wait_error("is down: upstream timed out (110: Connection timed out)");
        }
    }
}

#[test]
fn endless_servers() {
    let endless =
        |bytes: &'static [u8]| Backend::start(move |mut stream| while stream.write_all(&bytes.repeat(1000)).is_ok() {});
    let wrong = "is down: unexpected answer \"220-";
    misbehaves(
        endless(b"220-more\r\n"),
        PATIENT,
        wrong,
        &[
            ("tcp", "is up"),
            ("smtp", "is down: its answer is too long"),
            ("ssl_hello", "is down: its answer is no ServerHello"),
            ("mysql", "is down: its answer is no MySQL greeting"),
        ],
    );
}

#[test]
fn servers_that_send_garbage() {
    let garbage = Backend::start(|mut stream| {
        let _ = stream.write_all(&[0x80, 0, 0xfe, 7, 0xff, 0xff, 0, b'\n', 0x1b, 200].repeat(10));
        backends::silent(stream);
    });
    let (tls, mysql) = ("its answer is no ServerHello", "its answer is no MySQL greeting");
    misbehaves(
        garbage,
        PATIENT,
        "is down: unexpected answer",
        &[("tcp", "is up"), ("ssl_hello", tls), ("mysql", mysql)],
    );
}

#[test]
fn servers_that_close_at_once() {
    // Whether a connection is closed already when it is looked at is chance.
    misbehaves(Backend::start(backends::close), PATIENT, "is down: ", &[("tcp", "is ")]);
}

#[test]
fn servers_that_reset_at_once() {
    misbehaves(Backend::start(backends::reset), PATIENT, "is down: ", &[("tcp", "is ")]);
}

#[test]
fn a_server_that_cannot_be_reached() {
    let unreachable = backends::Unreachable::new();
    let check = "check type=http timeout=300 interval=60000;";
    let weir = checked(&Port::reserve(), &unreachable.address.to_string(), check).start();
    weir.wait_error("is down: upstream timed out (110: Connection timed out)");
}
