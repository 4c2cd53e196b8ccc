//! TLS, spoken with `openssl s_client`, curl, and clients of the test's own.

pub mod certs;
mod client_certs;
mod faults;
mod key_update;
mod resumption;
mod sessions;
mod traffic;

use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use openssl::ssl::{HandshakeError, SslContext, SslContextBuilder, SslStream, SslVersion};

use crate::common::*;
use certs::Identity;

/// The directives of a server that has the identity written as `server`.
pub const OURS: &str = "ssl_certificate server.pem; ssl_certificate_key server.key;";

/// A folder with an identity called `server`.
pub fn folder() -> Prefix {
    let prefix = Prefix::new();
    Identity::alone().write(&prefix, "server");
    prefix
}

/// A server that says `hi` over TLS and closes, with more said inside of it.
fn greeter(port: &Port, more: &str) -> Setup {
    Setup::tcp(format!("server {{ listen {} ssl; return hi; {OURS} {more} }}", port.v4()))
}

/// A TLS proxy before a backend.
fn proxy(port: &Port, backend: &Backend, more: &str) -> Setup {
    Setup::tcp(format!("server {{ listen {} ssl; proxy_pass {}; {OURS} {more} }}", port.v4(), backend.address))
        .level("info")
}

/// Speaks TLS over a new connection, as the test likes it; believes anybody.
pub fn try_client(
    port: &Port,
    change: impl FnOnce(&mut SslContextBuilder),
) -> Result<SslStream<TcpStream>, HandshakeError<TcpStream>> {
    dial(&tls_clients::context(change), port)
}

/// Speaks TLS over a new connection.
pub fn dial(context: &SslContext, port: &Port) -> Result<SslStream<TcpStream>, HandshakeError<TcpStream>> {
    tls_clients::connect(context, Some("localhost"), connect(port.v4()))
}

#[track_caller]
pub fn client(port: &Port, change: impl FnOnce(&mut SslContextBuilder)) -> SslStream<TcpStream> {
    try_client(port, change).expect("a handshake")
}

pub fn only(version: SslVersion) -> impl Fn(&mut SslContextBuilder) {
    move |builder| {
        builder.set_min_proto_version(Some(version)).unwrap();
        builder.set_max_proto_version(Some(version)).unwrap();
        if [SslVersion::TLS1, SslVersion::TLS1_1].contains(&version) {
            builder.set_security_level(0);
            builder.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
        }
    }
}

/// Runs a command with nothing to read, for half a minute at most; both of its outputs together.
pub fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("timeout");
    command.arg("30").arg(program).args(arguments).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// What `openssl s_client` says of a server that speaks and closes.
fn s_client(port: &Port, arguments: &[&str]) -> String {
    let address = port.v4();
    run("openssl", &[&["s_client", "-ign_eof", "-connect", &address], arguments].concat()).1
}
