//! A client and a server that others wrote: Python's `websockets`.

use std::process::Command;

use super::*;
use crate::common::scripts::{PYTHON, path};

/// The echo server; with a certificate and its key it speaks TLS.
pub fn echo_server(arguments: &[&str]) -> Script {
    Script::start("websocket/server.py", arguments)
}

/// Lets the client try everything that the server can do.
#[track_caller]
pub fn client_is_content(url: &str) {
    let mut command = Command::new("timeout");
    let output = command.args(["90", PYTHON, &path("websocket/client.py"), url]).output().unwrap();
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn frames_of_all_kinds() {
    let echo = echo_server(&[]);
    let port = Port::reserve();
    let weir = Setup::tcp(server(&port, &format!("websocket_pass /chat ws://{};", echo.address))).level("info").start();
    client_is_content(&format!("ws://{}/chat/room", port.v4()));
    // Five conversations, and as many connections that are only closed.
    let lines = weir.wait_access(10);
    assert!(lines.iter().all(|line| line.contains(&format!(" {} ", echo.address))), "{lines:?}");
    assert!(!weir.error_log().contains("[error]"), "{}", weir.error_log());
}

#[test]
fn tls_on_both_sides() {
    let prefix = Prefix::new();
    Identity::alone().write(&prefix, "server");
    let echo = echo_server(&[&prefix.text_path("server.pem"), &prefix.text_path("server.key")]);
    let (plain, secure) = (Port::reserve(), Port::reserve());
    let pass = format!("websocket_pass wss://{};", echo.address);
    let tls = "ssl on; ssl_certificate server.pem; ssl_certificate_key server.key;";
    let tcp = server(&plain, &pass) + &server(&secure, &format!("{tls} {pass}"));
    let weir = Setup::tcp(tcp).level("info").start_in(prefix);
    client_is_content(&format!("ws://{}/", plain.v4()));
    client_is_content(&format!("wss://{}/", secure.v4()));
    assert!(!weir.error_log().contains("[error]"), "{}", weir.error_log());
}

/// The configuration that the README shows, with addresses of this machine.
#[test]
fn the_configuration_of_the_readme() {
    let readme = include_str!("../../../README.md");
    let block = readme.split("```nginx\n").find(|block| block.contains("tcp_websocket;")).expect("an example");
    let (echo, admin) = (echo_server(&[]), backend("b"));
    let port = Port::reserve();
    let tcp = block
        .split("```")
        .next()
        .unwrap()
        .replace("10.0.0.11:9001", &echo.address)
        .replace("10.0.0.12:9001", &echo.address)
        .replace("127.0.0.1:9000", &admin.address.to_string())
        .replace("wss://127.0.0.1:9443", &format!("ws://{}", admin.address))
        .replace("listen 8088", &format!("listen {}", port.v4()));
    let prefix = Prefix::new();
    prefix.write("nginx.conf", format!("daemon off; pid weir.pid; error_log error.log info; events {{}} {tcp}"));
    let _weir = Weir::launch(prefix, &[]);
    client_is_content(&format!("ws://{}/chat/room", port.v4()));
    assert_eq!(goes_to(&port, "/", "chat.example"), "b");
    assert_eq!(goes_to(&port, "/chat", "Admin.example:8088"), "b");
}
