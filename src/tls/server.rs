//! The server's side: an OpenSSL context made from what a configuration says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openssl::dh::Dh;
use openssl::error::ErrorStack;
use openssl::ocsp::OcspResponse;
use openssl::sha::{Sha256, sha256};
use openssl::ssl::{
    AlpnError, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef, SslSessionCacheMode,
    SslVerifyMode, SslVersion, select_next_proto,
};
use openssl::x509::store::{X509Lookup, X509StoreBuilderRef};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Name, X509VerifyResult};

use super::files::File;
use super::ocsp::{self, Asked, Ocsp, await_status, status_of};
use super::settings::{SessionCache, Verify, obey};
use super::{Settings, Shared, Tickets, hello, sys};
use crate::conf::{Error, Place, Result};
use crate::net::reasons;

/// `ssl_ciphers` when nothing is said.
const CIPHERS: &str = "HIGH:!aNULL:!MD5";
/// `ssl_session_timeout` when nothing is said.
const SESSION_TIMEOUT: Duration = Duration::from_secs(300);
/// `ssl_verify_depth` when nothing is said.
const VERIFY_DEPTH: u32 = 1;

/// Bytes that a client may send before the handshake is over; nginx's.
const EARLY_DATA: u32 = 16384;
/// `SSL_OP_NO_ANTI_REPLAY` of `openssl/ssl.h`.
const NO_ANTI_REPLAY: u64 = 1 << 24;

/// How the clients of a block come to their servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// By the address alone, in `tcp {}`.
    Nameless,
    /// By the host they name, in `http {}`: see [`hello`].
    NameHosts,
}

/// Why a client may not come in; printed in nginx's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its certificate does not hold.
    Certificate(X509VerifyResult),
    /// It has shown none.
    NoCertificate,
    /// Its authority does not say that it still holds.
    Status(ocsp::Status),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Certificate(result) => {
                let (code, text) = (result.as_raw(), result.error_string());
                write!(f, "client SSL certificate verify error: ({code}:{text})")
            }
            Refused::NoCertificate => f.write_str("client sent no required SSL certificate"),
            Refused::Status(status) => write!(f, "client SSL certificate verify error: {status}"),
        }
    }
}

/// The protocols of ALPN that servers with names speak, each behind its length.
const ALPN: &[u8] = b"\x08http/1.1\x08http/1.0\x08http/0.9";

/// What one server's TLS sessions are made from.
#[derive(Clone)]
pub struct Server {
    context: SslContext,
    verify: Verify,
    verify_depth: u32,
    /// `ssl_reject_handshake`
    rejects: bool,
    /// `ssl_buffer_size`
    record_size: Option<usize>,
    /// `ssl_early_data`
    early_data: bool,
    /// See [`client_rule`].
    rule: [u8; 32],
    /// What is asked about clients' certificates.
    ocsp: Option<Arc<ocsp::Rules>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("verify", &self.verify).finish_non_exhaustive()
    }
}

impl Server {
    /// Reads and tries all that `settings` name. `listens` is where a `listen ... ssl` asks for TLS, if one does; `asked` is what authorities are asked. `None` when there is
    /// no certificate and nothing needs one.
    ///
    /// # Errors
    /// What is missing, and what OpenSSL refuses, with its reasons.
    pub fn build(
        settings: &Settings,
        listens: Option<&Place>,
        clients: Clients,
        asked: Asked,
        shared: &mut Shared,
    ) -> Result<Option<Self>> {
        let wanted = match (listens, &settings.on) {
            (Some(place), _) => Some(("listen ... ssl", place)),
            (None, Some((true, place))) => Some(("ssl", place)),
            _ => None,
        };
        let missing = |what: &str| {
            let (directive, place) = wanted?;
            Some(Error::at(place, format!("no \"{what}\" is defined for the \"{directive}\" directive")))
        };
        let rejects = settings.reject_handshake.unwrap_or(false);
        let certificates = match &settings.certificates {
            Some(certificates) => certificates.as_slice(),
            None if rejects => &[],
            None => return missing("ssl_certificate").map_or(Ok(None), Err),
        };
        let keys = settings.keys.as_deref().unwrap_or_default();
        if let Some(without) = certificates.get(keys.len()) {
            let general = || {
                let message = format!("no \"ssl_certificate_key\" is defined for certificate \"{}\"", without.written);
                Error::at(&without.place, message)
            };
            let told = match wanted {
                Some((directive, place)) if !keys.is_empty() => {
                    let name = &without.written;
                    let what = format!("no \"ssl_certificate_key\" is defined for certificate \"{name}\"");
                    Some(Error::at(place, format!("{what} and the \"{directive}\" directive")))
                }
                _ => missing("ssl_certificate_key"),
            };
            return Err(told.unwrap_or_else(general));
        }
        let mut builder = builder(SslMethod::tls_server()).map_err(failed("SSL_CTX_new()"))?;
        let own =
            use_certificates(&mut builder, certificates, keys, settings.passwords.as_deref().unwrap_or_default())?;
        set_protocol(&mut builder, settings)?;
        let verify = set_verify(&mut builder, settings)?;
        set_sessions(&mut builder, settings, shared)?;
        set_stapling(&mut builder, settings, asked.staples)?;
        let early_data = settings.early_data.unwrap_or(false);
        if early_data {
            set_early_data(&mut builder).map_err(failed("SSL_CTX_set_max_early_data()"))?;
        }
        obey(&mut builder, settings.commands.iter().flatten())?;
        let rule = client_rule(settings)?;
        let id = session_context(clients, &own, &rule).map_err(failed("session id context"))?;
        builder.set_session_id_context(&id).map_err(failed("SSL_CTX_set_session_id_context()"))?;
        if clients == Clients::NameHosts {
            builder
                .set_alpn_select_callback(|_, offered| select_next_proto(ALPN, offered).ok_or(AlpnError::ALERT_FATAL));
            hello::stop_there(&mut builder).map_err(failed("SSL_CTX_get_ex_new_index()"))?;
        }
        let verify_depth = settings.verify_depth.unwrap_or(VERIFY_DEPTH);
        Ok(Some(Server {
            context: builder.build(),
            verify,
            verify_depth,
            rejects,
            record_size: settings.buffer_size,
            early_data,
            rule,
            ocsp: asked.clients,
        }))
    }

    /// A session that waits for a client's hello.
    ///
    /// # Errors
    /// Out of memory.
    pub fn session(&self) -> std::result::Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        ssl.set_accept_state();
        self.prepare(&mut ssl);
        Ok(ssl)
    }

    /// Makes a session that has stopped at the client's hello one of this server's, with its certificate, protocols and demands.
    pub(super) fn take_over(&self, ssl: &mut SslRef) -> std::result::Result<(), ErrorStack> {
        ssl.set_ssl_context(&self.context)?;
        sys::take_options(ssl, &self.context);
        sys::set_verify_depth(ssl, self.verify_depth);
        self.prepare(ssl);
        ssl.set_max_early_data(if self.early_data { EARLY_DATA } else { 0 })?;
        match self.verify {
            Verify::Off => ssl.set_verify(SslVerifyMode::NONE),
            _ => ssl.set_verify_callback(SslVerifyMode::PEER, |_, _| true),
        }
        Ok(())
    }

    /// What a context does not give to its sessions.
    fn prepare(&self, ssl: &mut SslRef) {
        if let Some(size) = self.record_size {
            sys::set_record_size(ssl, size);
        }
        if self.ocsp.is_some() {
            await_status(ssl);
        }
    }

    /// Whether it takes what clients send before the handshake is over.
    pub fn takes_early_data(&self) -> bool {
        self.early_data
    }

    /// What is to be asked about a client's certificate after the handshake.
    pub fn ocsp(&self) -> Option<&Arc<ocsp::Rules>> {
        self.ocsp.as_ref()
    }

    /// Whether it has no answer to any hello (`ssl_reject_handshake`).
    pub fn rejects(&self) -> bool {
        self.rejects
    }

    /// Whether clients are asked for certificates.
    pub fn verifies(&self) -> bool {
        self.verify != Verify::Off
    }

    /// Whether a client that this server has let in by its certificate would be let in by `other` too.
    pub fn judges_for(&self, other: &Server) -> bool {
        other.verify == Verify::Off || self.rule == other.rule
    }

    /// Judges the client by its certificate, after the handshake.
    ///
    /// # Errors
    /// Why it may not come in.
    pub fn judge(&self, ssl: &SslRef) -> std::result::Result<(), Refused> {
        if self.verify == Verify::Off {
            return Ok(());
        }
        let result = ssl.verify_result();
        let unknown = self.verify == Verify::OptionalNoCa && is_about_authorities(result);
        if result != X509VerifyResult::OK && !unknown {
            return Err(Refused::Certificate(result));
        }
        let status = || match status_of(ssl).unwrap_or(ocsp::Status::Unanswered) {
            ocsp::Status::Good => Ok(()),
            status => Err(Refused::Status(status)),
        };
        match ssl.peer_certificate() {
            None if self.verify == Verify::On => Err(Refused::NoCertificate),
            Some(_) if self.ocsp.is_some() => status(),
            _ => Ok(()),
        }
    }
}

/// Whether a certificate's only fault is that nobody we know vouches for it (`X509_V_ERR_*` of `openssl/x509_vfy.h`).
fn is_about_authorities(result: X509VerifyResult) -> bool {
    const UNABLE_TO_GET_ISSUER_CERT: i32 = 2;
    const DEPTH_ZERO_SELF_SIGNED_CERT: i32 = 18;
    const UNABLE_TO_VERIFY_LEAF_SIGNATURE: i32 = 21;
    matches!(result.as_raw(), UNABLE_TO_GET_ISSUER_CERT | DEPTH_ZERO_SELF_SIGNED_CERT..=UNABLE_TO_VERIFY_LEAF_SIGNATURE)
}

/// A call of OpenSSL's that fails for no directive's sake.
pub(super) fn failed(call: &str) -> impl Fn(ErrorStack) -> Error {
    move |stack| Error::general(format!("{call} failed (SSL: {})", reasons(&stack)))
}

/// A context with what all of ours have in common.
pub(super) fn builder(method: SslMethod) -> std::result::Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContextBuilder::new(method)?;
    // The system's own bounds of versions give way to `ssl_protocols`.
    builder.set_min_proto_version(None::<SslVersion>)?;
    builder.set_max_proto_version(None::<SslVersion>)?;
    builder.set_options(SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION);
    // A write is taken up again from wherever its bytes are then; idle sessions keep no buffers.
    builder.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::AUTO_RETRY
            | SslMode::NO_AUTO_CHAIN
            | SslMode::RELEASE_BUFFERS,
    );
    // A record's header and body by one call.
    builder.set_read_ahead(true);
    Ok(builder)
}

/// Gives the server's own certificates, without their chains.
fn use_certificates(
    builder: &mut SslContextBuilder,
    certificates: &[File],
    keys: &[File],
    passwords: &[Vec<u8>],
) -> Result<Vec<X509>> {
    let mut own = Vec::new();
    for (certificate, key) in certificates.iter().zip(keys) {
        own.push(certificate.use_certificates(builder)?);
        let private = key.read_key(passwords)?;
        builder.set_private_key(&private).map_err(key.failed("SSL_CTX_use_PrivateKey"))?;
        // A key of another kind than its certificate's has been put beside it.
        builder.check_private_key().map_err(key.failed("SSL_CTX_use_PrivateKey"))?;
    }
    Ok(own)
}

fn set_protocol(builder: &mut SslContextBuilder, settings: &Settings) -> Result<()> {
    builder.set_options(settings.protocols.unwrap_or_default().without());
    if settings.prefer_server_ciphers == Some(true) {
        builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    }
    match &settings.ciphers {
        None => builder.set_cipher_list(CIPHERS).map_err(failed("SSL_CTX_set_cipher_list()"))?,
        Some(said) => builder.set_cipher_list(&said.value).map_err(|stack| {
            let message = format!("SSL_CTX_set_cipher_list(\"{}\") failed (SSL: {})", said.value, reasons(&stack));
            Error::at(&said.place, message)
        })?,
    }
    if let Some(file) = &settings.dhparam {
        let text = file.read(|path| format!("BIO_new_file(\"{}\")", path.display()))?;
        let params = Dh::params_from_pem(&text).map_err(file.failed("PEM_read_bio_DHparams"))?;
        builder.set_tmp_dh(&params).map_err(file.failed("SSL_CTX_set_tmp_dh"))?;
    }
    if let Some(said) = settings.ecdh_curve.as_ref().filter(|said| said.value != "auto") {
        builder.set_groups_list(&said.value).map_err(|stack| {
            let message = format!("SSL_CTX_set1_curves_list(\"{}\") failed (SSL: {})", said.value, reasons(&stack));
            Error::at(&said.place, message)
        })?;
    }
    Ok(())
}

fn set_verify(builder: &mut SslContextBuilder, settings: &Settings) -> Result<Verify> {
    let (verify, place) =
        settings.verify.as_ref().map_or((Verify::Off, None), |(verify, place)| (*verify, Some(place)));
    let wanted = settings.client_certificate.as_ref().filter(|_| verify != Verify::Off);
    if let Some(place) = place.filter(|_| wanted.is_none() && matches!(verify, Verify::On | Verify::Optional)) {
        return Err(Error::at(place, "no ssl_client_certificate for ssl_verify_client"));
    }
    if verify != Verify::Off {
        // The handshake goes on whatever the certificate is; `Server::judge` refuses it then, and the log tells why.
        builder.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
        builder.set_verify_depth(settings.verify_depth.unwrap_or(VERIFY_DEPTH));
    }
    // Where nobody is verified the last two are read all the same, as by nginx: a fault in them would show only on the day that it counts.
    for file in [wanted, settings.trusted_certificate.as_ref()].into_iter().flatten() {
        file.can_end("SSL_CTX_load_verify_locations")?;
        builder.set_ca_file(&file.path).map_err(file.failed("SSL_CTX_load_verify_locations"))?;
    }
    if let Some(file) = wanted {
        let names = X509Name::load_client_ca_file(&file.path).map_err(file.failed("SSL_load_client_CA_file"))?;
        builder.set_client_ca_list(names);
    }
    if let Some(crl) = &settings.crl {
        load_crl(builder.cert_store_mut(), crl)?;
    }
    Ok(verify)
}

/// Certificates are held against the lists of revoked ones in a file.
pub(super) fn load_crl(store: &mut X509StoreBuilderRef, crl: &File) -> Result<()> {
    crl.can_end("X509_LOOKUP_load_file")?;
    let failed = crl.failed("X509_LOOKUP_load_file");
    let lookup = store.add_lookup(X509Lookup::file()).map_err(&failed)?;
    lookup.load_crl_file(&crl.path, openssl::ssl::SslFiletype::PEM).map_err(&failed)?;
    store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL).map_err(&failed)?;
    Ok(())
}

/// Clients that ask for it get what the certificate's authority has said about it, with the certificate (RFC 6066 8).
fn set_stapling(builder: &mut SslContextBuilder, settings: &Settings, staples: Option<ocsp::Staples>) -> Result<()> {
    let failed = failed("SSL_CTX_set_tlsext_status_cb()");
    if let Some(staples) = staples {
        return staples.attach(builder).map_err(failed);
    }
    let on = settings.stapling == Some(true);
    let Some(file) = settings.stapling_file.as_ref().filter(|_| on) else { return Ok(()) };
    let answer = file.read(|path| format!("BIO_new_file(\"{}\")", path.display()))?;
    OcspResponse::from_der(&answer).map_err(file.failed("d2i_OCSP_RESPONSE_bio"))?;
    let staple = move |ssl: &mut SslRef| ssl.set_ocsp_status(&answer).map(|()| true);
    builder.set_status_callback(staple).map_err(failed)
}

/// Clients that resume a session may send data before the handshake is over. That it may be sent again by somebody who has seen it is left to those
/// behind, as in nginx: OpenSSL could take each session once only if one process kept them all.
fn set_early_data(builder: &mut SslContextBuilder) -> std::result::Result<(), ErrorStack> {
    builder.set_options(SslOptions::from_bits_retain(NO_ANTI_REPLAY));
    builder.set_max_early_data(EARLY_DATA)
}

fn set_sessions(builder: &mut SslContextBuilder, settings: &Settings, shared: &mut Shared) -> Result<()> {
    sys::set_timeout(builder, settings.session_timeout.unwrap_or(SESSION_TIMEOUT));
    // Where the default server of an address gives no tickets another one may: then it is this context that OpenSSL asks for how, and the other's for keys.
    let keys = match &settings.ticket_keys {
        Some(keys) => Arc::new(Tickets::fixed(keys.clone())),
        None => shared.tickets.clone(),
    };
    sys::set_tickets(builder, keys).map_err(failed("SSL_CTX_set_tlsext_ticket_key_cb()"))?;
    if settings.session_tickets == Some(false) {
        builder.set_options(SslOptions::NO_TICKET);
    }
    let cache = settings.session_cache.unwrap_or(SessionCache::None);
    let zone =
        settings.session_zone.as_ref().filter(|_| matches!(cache, SessionCache::Builtin(_) | SessionCache::Shared));
    let mode = match cache {
        SessionCache::Off => SslSessionCacheMode::OFF,
        // A worker's own cache beside the shared one could only take from it: what falls out of it, at the latest when the worker ends,
        // OpenSSL has removed from both.
        SessionCache::Builtin(count) if zone.is_none() => {
            builder.set_session_cache_size(count);
            SslSessionCacheMode::SERVER
        }
        _ => SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL,
    };
    builder.set_session_cache_mode(mode);
    let Some((name, size, place)) = zone else { return Ok(()) };
    let zone = shared.zone(name, *size, place)?;
    sys::find_sessions(builder, zone.clone());
    let removed = zone.clone();
    builder.set_remove_session_callback(move |_, session| removed.remove(session.id()));
    builder.set_new_session_callback(move |ssl, session| {
        // With TLS 1.3 and tickets the client keeps the session; OpenSSL tells of it all the same.
        if sys::has_tickets(ssl) && ssl.version2() == Some(SslVersion::TLS1_3) {
            return;
        }
        if let Ok(serialized) = session.to_der() {
            zone.insert(session.id(), &serialized);
        }
    });
    Ok(())
}

/// All that decides whether a client's certificate is good, as a hash: how it is asked for, how long its chain may be, who is asked about it, and the
/// authorities and revocations by their files' contents, as a new authority may have the old one's name. A resumed session is not verified again.
fn client_rule(settings: &Settings) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    if let Some((verify, _)) = settings.verify.as_ref().filter(|(verify, _)| *verify != Verify::Off) {
        hash.update(&[*verify as u8]);
        hash.update(&settings.verify_depth.unwrap_or(VERIFY_DEPTH).to_be_bytes());
        for file in [&settings.client_certificate, &settings.trusted_certificate, &settings.crl].into_iter().flatten() {
            let text = file.read(|path| format!("BIO_new_file(\"{}\")", path.display()))?;
            hash.update(&sha256(&text));
        }
        if let Some((ocsp, _)) = settings.ocsp.as_ref().filter(|(ocsp, _)| *ocsp != Ocsp::Off) {
            hash.update(&[*ocsp as u8]);
            hash.update(settings.ocsp_responder.as_ref().map_or("", |said| &said.value).as_bytes());
        }
    }
    Ok(hash.finish())
}

/// What keeps a session from being resumed with a server that it was not made with, or that lets in other clients: a hash of the kind of block, the server's
/// certificates and its [`client_rule`]. It is the same after a reload that changes none of these.
fn session_context(clients: Clients, own: &[X509], rule: &[u8; 32]) -> std::result::Result<[u8; 32], ErrorStack> {
    let mut hash = Sha256::new();
    hash.update(match clients {
        Clients::Nameless => b"tcp",
        Clients::NameHosts => b"http",
    });
    for certificate in own {
        hash.update(&certificate.to_der()?);
    }
    hash.update(rule);
    Ok(hash.finish())
}
