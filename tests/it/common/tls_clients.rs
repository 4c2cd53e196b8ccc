//! Clients that speak TLS, and believe anybody unless they are told otherwise.

use std::io::{Read, Write};
use std::net::IpAddr;

use openssl::ssl::{HandshakeError, Ssl, SslContext, SslContextBuilder, SslMethod, SslStream, SslVerifyMode};

/// How a client speaks TLS, as `change` has it. Not a `SslConnector`: that reads all authorities that the machine knows, which takes longer than a
/// handshake, and each program that another test starts meanwhile is given the open file, since OpenSSL does not close it for others.
pub fn context(change: impl FnOnce(&mut SslContextBuilder)) -> SslContext {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    change(&mut builder);
    builder.build()
}

/// Speaks TLS over a connection with who is called `name`, or with anybody.
pub fn connect<S: Read + Write>(
    context: &SslContext,
    name: Option<&str>,
    stream: S,
) -> Result<SslStream<S>, HandshakeError<S>> {
    let mut ssl = Ssl::new(context).unwrap();
    // An address is no name (RFC 6066 3).
    if let Some(name) = name.filter(|name| name.parse::<IpAddr>().is_err()) {
        ssl.set_hostname(name).unwrap();
    }
    ssl.connect(stream)
}
