//! The client's side, for connections to servers that speak TLS.

use std::net::IpAddr;

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslOptions};

use super::server::builder;

/// What TLS sessions with servers are made from. As nginx without `proxy_ssl_verify`, it does not ask who the server is.
#[derive(Clone)]
pub struct Client {
    context: SslContext,
}

impl Client {
    /// A context for TLS 1.2 and later.
    ///
    /// # Errors
    /// Out of memory, or a broken OpenSSL configuration of the system.
    pub fn new() -> Result<Self, ErrorStack> {
        let mut builder = builder(SslMethod::tls_client())?;
        builder.set_options(SslOptions::NO_SSLV3 | SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1);
        Ok(Client { context: builder.build() })
    }

    /// A session with the server `host`, for [`crate::net::Connection::start_tls`]. The name goes with the hello (SNI), unless it is an address
    /// (RFC 6066 3).
    ///
    /// # Errors
    /// A name that TLS cannot carry: longer than 255 bytes, or with a zero byte in it.
    pub fn session(&self, host: &str) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        let address = host.trim_start_matches('[').trim_end_matches(']');
        if address.parse::<IpAddr>().is_err() && !host.is_empty() {
            ssl.set_hostname(host)?;
        }
        ssl.set_connect_state();
        Ok(ssl)
    }
}
