//! `ssl_ocsp`: whether the certificates that clients have shown still hold. A [`Validation`] goes from a client's own certificate up to that of
//! the authority that is trusted, one after the other, as nginx does.

use std::sync::{Arc, OnceLock};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ocsp::OcspFlag;
use openssl::ssl::{Ssl, SslRef};
use openssl::stack::{Stack, StackRef};
use openssl::x509::store::X509Store;
use openssl::x509::{X509, X509Ref, X509StoreContext, X509VerifyResult};

use super::responder::{Responder, named_by};
use super::{Engine, Inquiry, Status, Subject, Told, Zone, authorities, cache};
use crate::conf::{Error, Result};
use crate::event::{Owner, Reactor};
use crate::log::error::ErrorLog;
use crate::log::{Level, Record, emit};
use crate::net::reasons;
use crate::resolver::{self, Resolver};
use crate::shm::table::Key;
use crate::tls::settings::{Settings, Verify};
use crate::tls::{HANDSHAKING, Shared};

/// What a server asks about its clients' certificates.
pub struct Rules {
    /// Only about the client's own.
    leaf: bool,
    /// `ssl_ocsp_responder`; `None`: the one that each certificate names.
    responder: Option<Arc<Responder>>,
    trusted: Arc<X509Store>,
    resolver: Option<Arc<resolver::Settings>>,
    cache: Option<Arc<Zone>>,
}

impl Rules {
    /// Those that the settings of a server come to; `None` where nothing is asked.
    ///
    /// # Errors
    /// nginx's messages.
    pub fn read(
        settings: &Settings,
        resolver: Option<&resolver::Settings>,
        shared: &mut Shared,
    ) -> Result<Option<Arc<Rules>>> {
        let Some((ocsp, place)) = settings.ocsp.as_ref().filter(|(ocsp, _)| *ocsp != Ocsp::Off) else {
            return Ok(None);
        };
        let verify = settings.verify.as_ref().map_or(Verify::Off, |(verify, _)| *verify);
        if verify == Verify::OptionalNoCa {
            let message = "\"ssl_ocsp\" is incompatible with \"ssl_verify_client optional_no_ca\"";
            return Err(Error::at(place, message));
        }
        let responder = match settings.ocsp_responder.as_ref().filter(|said| !said.value.is_empty()) {
            None => None,
            Some(said) => Some(Arc::new(Responder::parse(&said.value).map_err(|why| {
                let message = format!("{why} in OCSP responder \"{}\" in \"ssl_ocsp_responder\"", said.value);
                Error::at(&said.place, message)
            })?)),
        };
        let cache = match &settings.ocsp_cache {
            Some(Some((name, size, place))) => Some(shared.ocsp_zone(name, *size, place)?),
            _ => None,
        };
        if verify == Verify::Off {
            return Ok(None);
        }
        let (_, trusted) = authorities(settings)?;
        let resolver = resolver.cloned().map(Arc::new);
        Ok(Some(Arc::new(Rules { leaf: *ocsp == Ocsp::Leaf, responder, trusted, resolver, cache })))
    }

    /// The responder for a certificate.
    fn responder(&self, certificate: &X509Ref) -> std::result::Result<Arc<Responder>, String> {
        if let Some(responder) = &self.responder {
            return Ok(responder.clone());
        }
        let url = named_by(certificate).ok_or("no OCSP responder URL in certificate")?;
        let responder = Responder::parse_unresolved(&url);
        responder.map(Arc::new).map_err(|why| format!("{why} in OCSP responder \"{url}\" in certificate"))
    }

    /// The certificates from that of a session's client to its authority's; a session that has been resumed has kept only the first.
    fn chain(&self, ssl: &SslRef, own: &X509Ref) -> std::result::Result<Stack<X509>, ErrorStack> {
        let copy = |chain: &StackRef<X509>| {
            let mut copy = Stack::new()?;
            chain.iter().try_for_each(|certificate| copy.push(certificate.to_owned()))?;
            Ok(copy)
        };
        match ssl.verified_chain() {
            Some(chain) => copy(chain),
            None => X509StoreContext::new()?.init(&self.trusted, own, &*Stack::new()?, |context| {
                match context.verify_cert()? {
                    true => context.chain().map_or_else(Stack::new, copy),
                    false => Stack::new(),
                }
            }),
        }
    }
}

/// `ssl_ocsp`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tls) enum Ocsp {
    Off,
    /// All certificates but that of the authority that is trusted.
    On,
    /// The client's own.
    Leaf,
}

/// Who wants to know about a client, and how logs tell of it.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Whom [`Engine::told`] is for.
    pub owner: Owner,
    /// `*N` in logs.
    pub connection: u64,
    /// Where lines go.
    pub log: Option<ErrorLog>,
}

/// The certificates of a client while they are asked about.
pub struct Validation {
    rules: Arc<Rules>,
    asker: Asker,
    /// From the client's own to its authority's.
    chain: Arc<Stack<X509>>,
    /// The certificate whose turn it is.
    next: usize,
    /// The one that is being asked about.
    question: Option<(u32, Option<Key>)>,
}

impl Validation {
    /// The one of a session after the handshake; `None` where nobody has to be asked: there is no certificate, or it does not hold anyway.
    pub fn of(rules: &Arc<Rules>, ssl: &SslRef, asker: Asker) -> Option<Self> {
        let own = ssl.peer_certificate().filter(|_| ssl.verify_result() == X509VerifyResult::OK)?;
        let chain = rules.chain(ssl, &own).unwrap_or_else(|stack| {
            log(&asker, format_args!("X509_verify_cert() failed (SSL: {})", reasons(&stack)));
            Stack::new().expect("an empty one needs nothing")
        });
        Some(Validation { rules: rules.clone(), asker, chain: Arc::new(chain), next: 0, question: None })
    }

    /// Goes on until something is to be waited for (`None`) or all is known.
    pub fn go_on(&mut self, engine: &mut Engine, reactor: &mut Reactor, resolver: &mut Resolver) -> Option<Status> {
        loop {
            let (Some(certificate), Some(issuer)) = (self.chain.get(self.next), self.chain.get(self.next + 1)) else {
                // It has come to the authority that is trusted, if there is any chain.
                return Some(if self.chain.is_empty() { Status::Unanswered } else { Status::Good });
            };
            if self.rules.leaf && self.next > 0 {
                return Some(Status::Good);
            }
            let responder = match self.rules.responder(certificate) {
                Ok(responder) => responder,
                Err(message) => {
                    log(&self.asker, format_args!("{message} while {HANDSHAKING}"));
                    return Some(Status::Unanswered);
                }
            };
            let key = self.rules.cache.as_ref().and_then(|_| cache::key(certificate, issuer).ok());
            let known = self.rules.cache.as_ref().zip(key.as_ref()).and_then(|(zone, key)| zone.find(key));
            match known {
                Some(Status::Good) => self.next += 1,
                Some(status) => return Some(status),
                None => {
                    let inquiry = Inquiry {
                        certificate: certificate.to_owned(),
                        issuer: issuer.to_owned(),
                        chain: self.chain.clone(),
                        trusted: self.rules.trusted.clone(),
                        flags: OcspFlag::empty(),
                        responder,
                        resolver: self.rules.resolver.clone(),
                        subject: Subject::Client(self.asker.connection, self.asker.log.clone()),
                    };
                    let question = engine.ask(reactor, resolver, self.asker.owner, inquiry);
                    self.question = question.map(|question| (question, key));
                    return question.is_none().then_some(Status::Unanswered);
                }
            }
        }
    }

    /// The question has come to its end. Gives what is known by that; `None`: [`Validation::go_on`].
    pub fn told(&mut self, told: &Told) -> Option<Status> {
        let key = self.question.take()?.1;
        let Some(verdict) = told.verdict else { return Some(Status::Unanswered) };
        if let (Some(zone), Some(key)) = (&self.rules.cache, key) {
            zone.insert(&key, verdict);
        }
        self.next += 1;
        (verdict.status != Status::Good).then_some(verdict.status)
    }

    /// Nobody waits for it any more.
    pub fn forget(self, engine: &mut Engine, reactor: &mut Reactor, resolver: &mut Resolver) {
        if let Some((question, _)) = self.question {
            engine.forget(reactor, resolver, question);
        }
    }
}

fn log(asker: &Asker, message: std::fmt::Arguments<'_>) {
    let record = Record { connection: Some(asker.connection), log: asker.log.as_ref(), ..Record::new(Level::Error) };
    emit(&record, message);
}

/// Where a session keeps what has been found out about its client.
fn index() -> Option<Index<Ssl, OnceLock<Status>>> {
    static INDEX: OnceLock<Option<Index<Ssl, OnceLock<Status>>>> = OnceLock::new();
    *INDEX.get_or_init(|| Ssl::new_ex_index().ok())
}

/// Makes a place in a session for [`tell`].
pub(in crate::tls) fn await_status(ssl: &mut SslRef) {
    if let Some(index) = index() {
        ssl.set_ex_data(index, OnceLock::new());
    }
}

/// What has been found out about a session's client, if anything has.
pub(in crate::tls) fn status_of(ssl: &SslRef) -> Option<Status> {
    ssl.ex_data(index()?)?.get().copied()
}

/// Keeps with a session what has been found out about its client.
pub fn tell(ssl: &SslRef, status: Status) {
    if let Some(place) = index().and_then(|index| ssl.ex_data(index)) {
        // The first word stands.
        let _ = place.set(status);
    }
}
