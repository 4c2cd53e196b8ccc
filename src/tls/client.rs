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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::ssl::{NameType, SslAcceptor, SslMethod, SslVersion};
    use openssl::x509::X509;

    use super::*;
    use crate::event::{Owner, Reactor};
    use crate::net::{Address, Connection};

    /// A server on loopback that sends back what comes in capitals, and the names that clients have asked it for.
    fn server(version: SslVersion) -> (Address, Arc<Mutex<Vec<Option<String>>>>) {
        let key = EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap();
        let key = PKey::from_ec_key(key).unwrap();
        let mut certificate = X509::builder().unwrap();
        certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        certificate.set_pubkey(&key).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_private_key(&key).unwrap();
        acceptor.set_certificate(&certificate.build()).unwrap();
        acceptor.set_min_proto_version(Some(version)).unwrap();
        acceptor.set_max_proto_version(Some(version)).unwrap();
        let acceptor = acceptor.build();
        let names = Arc::new(Mutex::new(Vec::new()));
        let heard = names.clone();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Inet(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = acceptor.accept(stream.unwrap()) else { continue };
                heard.lock().unwrap().push(stream.ssl().servername(NameType::HOST_NAME).map(str::to_owned));
                let mut buffer = [0; 1000];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..count].to_ascii_uppercase()).unwrap();
                }
                let _ = stream.shutdown();
            }
        });
        (address, names)
    }

    /// Turns the loop until `step` gives something.
    fn until<T>(reactor: &mut Reactor, mut step: impl FnMut(&mut Reactor) -> Option<T>) -> T {
        for _ in 0..1000 {
            if let Some(value) = step(reactor) {
                return value;
            }
            reactor.wait(Some(Duration::from_secs(10))).unwrap();
            while reactor.next().is_some() {}
        }
        panic!("it does not come to an end");
    }

    fn session_with(address: &Address, host: &str) -> (Vec<u8>, String) {
        let mut reactor = Reactor::new().unwrap();
        let owner = Owner { engine: 0, part: 0, id: 0 };
        let mut connection = Connection::connect(address, &mut reactor, owner).unwrap();
        until(&mut reactor, |reactor| reactor.writable(connection.source()).then_some(()));
        connection.probe(&mut reactor).unwrap();
        connection.start_tls(Client::new().unwrap().session(host).unwrap()).unwrap();
        until(&mut reactor, |reactor| connection.handshake(reactor).unwrap().then_some(()));
        assert_eq!(connection.send(&mut reactor, b"hello").unwrap(), 5);
        let mut buffer = [0; 100];
        let count = until(&mut reactor, |reactor| connection.recv(reactor, &mut buffer).unwrap());
        connection.shutdown_write(&mut reactor);
        let end = until(&mut reactor, |reactor| connection.recv(reactor, &mut [0; 100]).unwrap());
        assert_eq!(end, 0);
        let version = connection.tls(|ssl| ssl.version_str()).unwrap();
        connection.close(&mut reactor);
        (buffer[..count].to_vec(), version.to_owned())
    }

    #[test]
    fn a_server_is_spoken_to_and_told_the_name() {
        for (version, name) in [(SslVersion::TLS1_2, "TLSv1.2"), (SslVersion::TLS1_3, "TLSv1.3")] {
            let (address, names) = server(version);
            for host in ["example.test", "127.0.0.1", "[::1]", ""] {
                assert_eq!(session_with(&address, host), (b"HELLO".to_vec(), name.to_owned()));
            }
            assert_eq!(*names.lock().unwrap(), [Some("example.test".to_owned()), None, None, None]);
        }
    }

    #[test]
    fn a_server_that_speaks_something_else_is_a_fault() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Inet(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"220 mail.example.test ready\r\n").unwrap();
            let _ = stream.read(&mut [0; 1000]);
        });
        let mut reactor = Reactor::new().unwrap();
        let mut connection = Connection::connect(&address, &mut reactor, Owner { engine: 0, part: 0, id: 0 }).unwrap();
        connection.start_tls(Client::new().unwrap().session("x").unwrap()).unwrap();
        let error = until(&mut reactor, |reactor| {
            if !reactor.writable(connection.source()) {
                return None;
            }
            connection.handshake(reactor).err()
        });
        assert!(error.to_string().starts_with("SSL: error:0A00010B:SSL routines::wrong version number"), "{error}");
    }

    #[test]
    fn a_name_that_cannot_be_sent_is_refused() {
        assert!(Client::new().unwrap().session(&"x".repeat(256)).is_err());
    }
}
