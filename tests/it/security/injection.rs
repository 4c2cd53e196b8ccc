//! What clients send stands in the logs as text: no line of theirs, no orders to a terminal.

use std::io::Write;

use super::super::common::clients::fetch;
use super::*;

const EVIL: &str = "x\u{1b}[2Jy\u{7f}\u{9b}z";

/// Sends bytes over a new connection and waits for its end.
fn send_raw(port: &Port, bytes: &[u8]) {
    let mut stream = connect(port.v4());
    // The other side may have seen enough already.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

/// `escape=json` leaves what JSON does not escape, as nginx does: bytes from 127 on.
#[track_caller]
fn clean(name: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let control = |character: char| if name == "json.log" { character < ' ' } else { character.is_control() };
    for line in text.lines() {
        assert!(!line.chars().any(control), "{name}: {line:?}");
        assert!(!line.starts_with("FORGED"), "{name}: {line:?}");
    }
}

#[test]
fn control_characters_of_clients() {
    let (http, ws, proxied, plain, tls) =
        (Port::reserve(), Port::reserve(), Port::reserve(), Port::reserve(), Port::reserve());
    let prefix = Prefix::new();
    super::super::tls::certs::Identity::alone().write(&prefix, "server");
    let setup = Setup::tcp(format!(
        "log_format all '$remote_addr $proxy_protocol_addr';\n\
         access_log access.log all;\n\
         server {{ listen {}; protocol tcp_websocket; websocket_pass /only 127.0.0.1:1; }}\n\
         server {{ listen {} proxy_protocol; return a; }}\n\
         server {{ listen {}; return a; }}\n\
         server {{ listen {} ssl; return a; ssl_certificate server.pem; ssl_certificate_key server.key; }}",
        ws.v4(),
        proxied.v4(),
        plain.v4(),
        tls.v4()
    ));
    let text = format!(
        "{}\nhttp {{ access_log http.log; access_log json.log json; log_format json escape=json '$request $http_user_agent';\n\
         server {{ listen {}; root {}; }} }}",
        setup.text().replace("access_log access.log;\n", ""),
        http.v4(),
        prefix.text_path("logs")
    );
    prefix.write("nginx.conf", text);
    let weir = Weir::launch(prefix, &[]);
    weir.wait_workers(1);
    for path in ["/a%0AFORGED%1B[2J", "/a%0a%0dFORGED", &format!("/{EVIL}"), "/a\nFORGED", "/a\rFORGED\u{1b}[2J"] {
        for head in [
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nUser-Agent: u\u{1b}[2J{EVIL}\r\nReferer: \t{EVIL}\r\n\r\n"),
            format!("GET {path} HTTP/1.1\r\nHost: a{EVIL}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
            format!("{path}\nFORGED\n\n"),
            format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        ] {
            send_raw(&http, head.as_bytes());
            send_raw(&ws, head.as_bytes());
        }
    }
    for header in [
        "PROXY TCP4 1.2.3.4\u{1b}[2J 1.1.1.1 1 2\r\n",
        "PROXY \nFORGED\r\n",
        "PROXY TCP4 1.2.3.4 1.1.1.1 1 2\r\n",
        "\u{1b}[2JFORGED\r\n",
    ] {
        send_raw(&proxied, header.as_bytes());
    }
    send_raw(&tls, format!("GET /{EVIL}\nFORGED\r\n\r\n").as_bytes());
    let mut hello = Command::new("openssl");
    hello.args(["s_client", "-connect", &tls.v4(), "-servername", "a\u{1b}[2J\nFORGED"]);
    hello.stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(fetch(plain.v4()), "a");
    wait_for("the last line", || weir.prefix.read("access.log").contains("127.0.0.1"));
    weir.wait_error("a\\x0AFORGED\\x1B[2J\" failed (2: No such file or directory)");
    for name in ["error.log", "access.log", "http.log", "json.log"] {
        let bytes = std::fs::read(weir.prefix.join(name)).unwrap();
        assert!(!bytes.is_empty(), "{name}");
        clean(name, &bytes);
    }
}
