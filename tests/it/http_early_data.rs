//! `ssl_early_data`: requests that `openssl s_client` sends before the handshake is over.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::http::serve_in;
use super::tls::certs::{Identity, ec_key};
use super::tls::{OURS, folder};
use crate::common::*;

/// A client that keeps its session in a file of weir's folder.
struct Client<'a> {
    weir: &'a Weir,
    port: &'a Port,
    name: &'a str,
    arguments: Vec<String>,
}

impl Client<'_> {
    fn of<'a>(weir: &'a Weir, port: &'a Port, name: &'a str) -> Client<'a> {
        Client { weir, port, name, arguments: Vec::new() }
    }

    /// All that it hears and says, when this is sent after the handshake.
    fn run(&self, more: &[&str], then: &str) -> String {
        let mut child = Command::new("timeout")
            .args(["30", "openssl", "s_client", "-ign_eof", "-tls1_3", "-connect", &self.port.v4()])
            .args(["-servername", self.name])
            .args(&self.arguments)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One whose session is over does not take it.
        let _ = child.stdin.take().unwrap().write_all(then.as_bytes());
        let heard = child.wait_with_output().unwrap();
        [heard.stdout, heard.stderr].map(|heard| String::from_utf8_lossy(&heard).into_owned()).concat()
    }

    /// It comes for the first time.
    fn come(&self) -> String {
        self.run(&["-sess_out", &self.weir.prefix.text_path("session")], &get(self.name, "/first", "close"))
    }

    /// It comes again, and sends one thing before the handshake is over and the other after that.
    fn come_again(&self, early: &str, then: &str) -> String {
        self.weir.prefix.write("early", early);
        let [session, early] = ["session", "early"].map(|name| self.weir.prefix.text_path(name));
        self.run(&["-sess_in", &session, "-early_data", &early], then)
    }
}

fn get(host: &str, path: &str, connection: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n\r\n")
}

const TELLS: &str = "return 200 \"<$uri $ssl_early_data $ssl_session_reused>\";";

#[test]
fn requests_before_the_handshake_is_over() {
    let other = Port::reserve();
    let (weir, port) = serve_in(folder(), |port| {
        let server = |port: &Port, name: &str, more: &str| {
            format!("server {{ listen {} ssl; server_name {name}; {OURS} {more} {TELLS} }}\n", port.v4())
        };
        server(port, "off", "ssl_session_cache shared:s:1m;")
            + &server(port, "on", "ssl_early_data on;")
            + &server(port, "cached", "ssl_early_data on; ssl_session_tickets off;")
            + &server(&other, "uncached", "ssl_early_data on; ssl_session_tickets off;")
    });
    let client = Client::of(&weir, &port, "on");
    let told = client.come();
    assert!(told.contains("</first  .>"), "{told}");
    let told = client.come_again(&get("on", "/early", "keep-alive"), &get("on", "/late", "close"));
    assert!(told.contains("Early data was accepted"), "{told}");
    assert!(told.contains("</early 1 r>") && told.contains("</late  r>"), "{told}");
    // The same once more: it is for those behind to know.
    let told = client.come_again(&get("on", "/early", "keep-alive"), &get("on", "/late", "close"));
    assert!(told.contains("</early 1 r>") && told.contains("</late  r>"), "{told}");
    // Whoever is not to come again is told of the end.
    let told = client.come_again(&get("on", "/early", "close"), "");
    assert!(told.contains("</early 1 r>") && !told.contains("unexpected eof"), "{told}");
    // Several at once, and one in two halves.
    let (head, rest) = ("GET /cut HTTP/1.1\r\nHo", "st: on\r\nConnection: close\r\n\r\n");
    let early = get("on", "/one", "keep-alive") + &get("on", "/two", "keep-alive") + head;
    let told = client.come_again(&early, rest);
    assert!(told.contains("</one 1 r>") && told.contains("</two 1 r>") && told.contains("</cut  r>"), "{told}");
    // Another server of the same address does not take any.
    let client = Client::of(&weir, &port, "off");
    client.come();
    let told = client.come_again(&get("off", "/early", "keep-alive"), &get("off", "/late", "close"));
    assert!(!told.contains("Early data was accepted") && !told.contains("/early"), "{told}");
    assert!(told.contains("</late  r>"), "{told}");
    let client = Client::of(&weir, &port, "cached");
    client.come();
    let told = client.come_again(&get("cached", "/early", "keep-alive"), &get("cached", "/late", "close"));
    assert!(told.contains("</early 1 r>") && told.contains("</late  r>"), "{told}");
    // Nor is any taken by who cannot resume a session.
    let client = Client::of(&weir, &other, "uncached");
    client.come();
    let told = client.come_again(&get("uncached", "/early", "keep-alive"), &get("uncached", "/late", "close"));
    assert!(!told.contains("/early") && told.contains("</late  .>"), "{told}");
    assert!(!weir.error_log().contains("SSL_"), "{}", weir.error_log());
}

#[test]
fn bodies_long_answers_and_who_is_behind() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let backend = Backend::start(move |mut stream| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
            head.extend(byte);
        }
        let mut body = [0; 20];
        if stream.read_exact(&mut body).is_ok() {
            seen.lock().unwrap().push(String::from_utf8(head).unwrap());
            let answer = format!("HTTP/1.0 200 OK\r\n\r\n<{}>{}", String::from_utf8_lossy(&body), "x".repeat(1 << 20));
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let (weir, port) = serve_in(folder(), |port| {
        format!(
            "ssl_early_data on;
             server {{ listen {} ssl; server_name on; {OURS} location / {{ {TELLS} }}
             location /post {{ proxy_pass http://{}; proxy_set_header Early-Data $ssl_early_data; }} }}",
            port.v4(),
            backend.address
        )
    });
    let client = Client::of(&weir, &port, "on");
    client.come();
    let head = "POST /post HTTP/1.1\r\nHost: on\r\nContent-Length: 20\r\nConnection: close\r\n\r\n";
    for (early, then) in [("0123456789", "abcdefghij"), ("0123456789abcdefghij", "")] {
        let told = client.come_again(&format!("{head}{early}"), then);
        assert!(told.contains("<0123456789abcdefghij>xxx"), "{}", &told[..told.len().min(3000)]);
        assert!(told.matches('x').count() > 1 << 20 && !told.contains("unexpected eof"));
    }
    let told = client.come_again(&get("on", "/", "keep-alive"), &format!("{head}0123456789abcdefghij"));
    assert!(told.contains("<0123456789abcdefghij>"));
    let heads = heads.lock().unwrap();
    assert!(heads[1].contains("\r\nEarly-Data: 1\r\n"), "{heads:?}");
    assert!(!heads[2].contains("Early-Data"), "{heads:?}");
}

#[test]
fn clients_are_judged_all_the_same() {
    let (prefix, root) = (folder(), Identity::root("root"));
    prefix.write("root.pem", root.certificate_pem());
    let away = Port::reserve();
    root.issue_naming("client", ec_key(), &format!("http://{}/", away.v4())).write(&prefix, "client");
    let (weir, port) = serve_in(prefix, |port| {
        let server = |name: &str, more: &str| {
            format!(
                "server {{ listen {} ssl; server_name {name}; {OURS} ssl_client_certificate root.pem; ssl_verify_client on; {more}
                 location / {{ return 200 \"<$uri $ssl_early_data $ssl_client_verify>\"; }}
                 error_page 495 =200 /told; location /told {{ return 200 \"<$uri $ssl_early_data $ssl_client_verify>\"; }} }}\n",
                port.v4()
            )
        };
        format!("ssl_early_data on; {}{}", server("on", ""), server("asks", "ssl_ocsp on;"))
    });
    let [certificate, key] = ["client.pem", "client.key"].map(|name| weir.prefix.text_path(name));
    for (name, told_early) in
        [("on", "</early 1 SUCCESS>"), ("asks", "</told 1 FAILED:certificate status request failed>")]
    {
        let arguments = ["-cert", &certificate, "-key", &key].map(str::to_owned).to_vec();
        let client = Client { arguments, ..Client::of(&weir, &port, name) };
        client.come();
        let told = client.come_again(&get(name, "/early", "close"), "");
        assert!(told.contains(told_early), "{told}");
    }
}
