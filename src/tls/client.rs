//! The client's side, for connections to servers that speak TLS: contexts, whom sessions are resumed with, and what is asked of a server's
//! certificate.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef, SslSession, SslSessionCacheMode,
};
use openssl::x509::X509VerifyResult;

use super::client_settings::Client as Settings;
use super::files::File;
use super::server::{builder, load_crl};
use super::settings::obey;
use super::sys;
use crate::conf::{Error, Result};
use crate::net::reasons;

/// Sessions that one context keeps for coming connections; past that it begins anew.
const MOST_SESSIONS: usize = 1024;

/// What TLS sessions with servers are made from.
#[derive(Clone)]
pub struct Client {
    context: SslContext,
    /// Where sessions wait to be resumed; `None`: each begins anew.
    sessions: Option<Arc<Sessions>>,
    /// A server must prove who it is.
    verify: bool,
}

/// Two are the same when their sessions are made from the same context.
impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        sys::is_same(&self.context, &other.context)
    }
}

impl Eq for Client {}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("verify", &self.verify).finish_non_exhaustive()
    }
}

/// Whom a connection is made with, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The context.
    pub client: Client,
    /// The server's name, without port.
    pub name: String,
    /// The files of the certificate that is shown and of its key, where [`show_certificate`] shows one.
    pub certificate: Option<(String, String)>,
}

/// The last session with each server, by what names it.
#[derive(Default)]
struct Sessions(Mutex<HashMap<Vec<u8>, SslSession>>);

impl Sessions {
    fn of(&self, server: &[u8]) -> Option<SslSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(server).cloned()
    }

    fn keep(&self, server: &[u8], session: SslSession) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= MOST_SESSIONS && !sessions.contains_key(server) {
            sessions.clear();
        }
        sessions.insert(server.to_vec(), session);
    }
}

/// Whom a session is with.
type Server = Vec<u8>;

fn index() -> Option<Index<Ssl, Server>> {
    static INDEX: OnceLock<Option<Index<Ssl, Server>>> = OnceLock::new();
    *INDEX.get_or_init(|| Ssl::new_ex_index().ok())
}

/// Why a server is not believed; printed in nginx's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// Its certificate does not hold.
    Certificate(X509VerifyResult),
    /// It is another's.
    Name(String),
}

impl fmt::Display for Unproven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unproven::Certificate(result) => {
                let (code, text) = (result.as_raw(), result.error_string());
                write!(f, "upstream SSL certificate verify error: ({code}:{text})")
            }
            Unproven::Name(name) => write!(f, "upstream SSL certificate does not match \"{name}\""),
        }
    }
}

impl Client {
    /// A context for TLS 1.2 and later. As nginx without `proxy_ssl_verify`, it does not ask who the server is, and it resumes no sessions.
    ///
    /// # Errors
    /// Out of memory, or a broken OpenSSL configuration of the system.
    pub fn new() -> std::result::Result<Self, ErrorStack> {
        let mut builder = builder(SslMethod::tls_client())?;
        builder.set_options(SslOptions::NO_SSLV3 | SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1);
        Ok(Client { context: builder.build(), sessions: None, verify: false })
    }

    /// A context as `settings` say, whose files are read now.
    ///
    /// # Errors
    /// What is missing, and what OpenSSL refuses, with its reasons.
    pub fn build(settings: &Settings) -> Result<Self> {
        let general =
            |call: &'static str| move |stack| Error::general(format!("{call} failed (SSL: {})", reasons(&stack)));
        let mut builder = builder(SslMethod::tls_client()).map_err(general("SSL_CTX_new()"))?;
        builder.set_options(settings.protocols.unwrap_or_default().without());
        if let Some(certificate) = settings.certificate.as_ref().filter(|file| !file.written.is_empty()) {
            let Some(key) = &settings.key else {
                let name = &certificate.written;
                let message = format!("no \"proxy_ssl_certificate_key\" is defined for certificate \"{name}\"");
                return Err(Error::at(&certificate.place, message));
            };
            certificate.use_certificates(&mut builder)?;
            let private = key.read_key(settings.passwords.as_deref().unwrap_or_default())?;
            builder.set_private_key(&private).map_err(key.failed("SSL_CTX_use_PrivateKey"))?;
            builder.check_private_key().map_err(key.failed("SSL_CTX_use_PrivateKey"))?;
        }
        if let Some(said) = &settings.ciphers {
            builder.set_cipher_list(&said.value).map_err(|stack| {
                let message = format!("SSL_CTX_set_cipher_list(\"{}\") failed (SSL: {})", said.value, reasons(&stack));
                Error::at(&said.place, message)
            })?;
        }
        let verify = settings.judges(&mut builder)?;
        let reuses = settings.session_reuse.unwrap_or(true);
        let sessions = reuses.then(|| keep_sessions(&mut builder));
        obey(&mut builder, settings.commands.iter().flatten())?;
        Ok(Client { context: builder.build(), sessions, verify })
    }

    /// A session with the server `host`, for [`crate::net::Connection::start_tls`]. The name goes with the hello (SNI), unless it is an address
    /// (RFC 6066 3) or empty.
    ///
    /// # Errors
    /// A name that TLS cannot carry: longer than 255 bytes, or with a zero byte in it.
    pub fn session(&self, host: &str) -> std::result::Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        let address = host.trim_start_matches('[').trim_end_matches(']');
        if address.parse::<IpAddr>().is_err() && !host.is_empty() {
            ssl.set_hostname(host)?;
        }
        ssl.set_connect_state();
        Ok(ssl)
    }

    /// Takes up the last session with `server`, and keeps the one that comes of this for the next connection, where the settings allow that.
    pub fn resume(&self, ssl: &mut Ssl, server: Vec<u8>) {
        let Some((sessions, index)) = self.sessions.as_ref().zip(index()) else { return };
        if let Some(session) = sessions.of(&server) {
            sys::resume(ssl, &session);
        }
        ssl.set_ex_data(index, server);
    }

    /// Judges the server, which was asked for as `name`, after the handshake.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn judge(&self, ssl: &SslRef, name: &str) -> std::result::Result<(), Unproven> {
        if !self.verify {
            return Ok(());
        }
        let result = ssl.verify_result();
        if result != X509VerifyResult::OK {
            return Err(Unproven::Certificate(result));
        }
        let names = ssl.peer_certificate().is_some_and(|certificate| sys::names_host(&certificate, name));
        if names { Ok(()) } else { Err(Unproven::Name(name.to_owned())) }
    }
}

impl Settings {
    fn judges(&self, builder: &mut SslContextBuilder) -> Result<bool> {
        let Some((true, place)) = &self.verify else { return Ok(false) };
        let Some(trusted) = &self.trusted_certificate else {
            return Err(Error::at(place, "no proxy_ssl_trusted_certificate for proxy_ssl_verify"));
        };
        // `Client::judge` asks for the result, which the handshake does not wait for.
        builder.set_verify_depth(self.verify_depth.unwrap_or(1));
        trusted.can_end("SSL_CTX_load_verify_locations")?;
        builder.set_ca_file(&trusted.path).map_err(trusted.failed("SSL_CTX_load_verify_locations"))?;
        if let Some(crl) = &self.crl {
            load_crl(builder.cert_store_mut(), crl)?;
        }
        Ok(true)
    }
}

/// The sessions of a context that is being made are kept from now on.
fn keep_sessions(builder: &mut SslContextBuilder) -> Arc<Sessions> {
    let sessions = Arc::new(Sessions::default());
    let kept = sessions.clone();
    builder.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    builder.set_new_session_callback(move |ssl, session| {
        if let Some(server) = index().and_then(|index| ssl.ex_data(index)) {
            kept.keep(server, session);
        }
    });
    sessions
}

/// Shows the server a certificate that is named only now; relative names are taken against `folder`.
///
/// # Errors
/// nginx's message.
pub fn show_certificate(
    ssl: &mut Ssl,
    certificate: &str,
    key: &str,
    passwords: &[Vec<u8>],
    folder: &Path,
) -> std::result::Result<(), String> {
    let place = crate::conf::Place { file: "".into(), line: 0 };
    let file = |name: &str| File::new(name, |name| folder.join(name), place.clone());
    let (certificate, key) = (file(certificate), file(key));
    let chain = certificate.read_certificates().map_err(|error| error.message)?;
    let key = key.read_key(passwords).map_err(|error| error.message)?;
    let set = || -> std::result::Result<(), ErrorStack> {
        let mut chain = chain.into_iter();
        if let Some(own) = chain.next() {
            ssl.set_certificate(&own)?;
        }
        chain.try_for_each(|link| ssl.add_chain_cert(link))?;
        ssl.set_private_key(&key)
    };
    set().map_err(|stack| format!("SSL_use_certificate() failed (SSL: {})", reasons(&stack)))
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
