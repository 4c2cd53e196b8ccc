//! What authorities say about our certificates, for clients to get with them (RFC 6066 8).
//!
//! As in nginx nothing is asked before a client wants to know, and that client gets none yet; each worker asks for itself.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ocsp::OcspFlag;
use openssl::ssl::{SslContext, SslContextBuilder, SslRef};
use openssl::stack::Stack;
use openssl::x509::{X509, X509Ref, X509VerifyResult};

use super::responder::{Responder, named_by};
use super::{Inquiry, Subject, authorities, seconds};
use crate::conf::Result;
use crate::conf::loader::Warning;
use crate::resolver;
use crate::tls::Settings;

/// After a failure it is asked again so many seconds later, and after a success not sooner; nginx's.
const PAUSE: i64 = 300;
/// An answer is renewed after so many seconds at the latest, however long it is good; nginx's.
const FRESH: i64 = 3600;

/// The answers for the certificates of one server.
pub struct Staples {
    pub(super) all: Vec<Arc<Staple>>,
}

/// One certificate, and what has been answered about it.
pub(super) struct Staple {
    pub inquiry: Arc<Inquiry>,
    kept: Mutex<Kept>,
}

/// Times are seconds since 1970.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub answer: Vec<u8>,
    /// Until when the answer is good.
    valid: i64,
    /// Until when nobody is asked.
    pub refresh: i64,
    pub stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Idle,
    /// A client has asked for it, and it is time to ask.
    Wanted,
    /// It is being asked.
    Asking,
}

impl Kept {
    /// A client wants to know: what there is to tell it.
    pub(super) fn get(&mut self, now: i64) -> Option<&[u8]> {
        if self.stage == Stage::Idle && self.refresh < now {
            self.stage = Stage::Wanted;
        }
        (!self.answer.is_empty() && self.valid >= now).then_some(&self.answer)
    }

    /// Whether it is to be asked now, which is under way from then on.
    pub(super) fn begin(&mut self) -> bool {
        let wanted = self.stage == Stage::Wanted;
        if wanted {
            self.stage = Stage::Asking;
        }
        wanted
    }

    /// It has been asked: the answer, good until `valid`, or nothing.
    pub(super) fn end(&mut self, now: i64, told: Option<(Vec<u8>, i64)>) {
        self.stage = Stage::Idle;
        self.refresh = now + PAUSE;
        if let Some((answer, valid)) = told {
            self.refresh = self.refresh.max((valid - PAUSE).min(now + FRESH));
            (self.answer, self.valid) = (answer, valid);
        }
    }
}

impl Staple {
    pub(super) fn new(inquiry: Inquiry) -> Self {
        Staple { inquiry: Arc::new(inquiry), kept: Mutex::default() }
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked with it has left nothing half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Staples {
    /// Those that `ssl_stapling` without a file asks for. Where one cannot be had that is said in `warnings`, and it is done without.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn read(
        settings: &Settings,
        resolver: Option<&resolver::Settings>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Staples>> {
        let on = settings.stapling == Some(true) && settings.stapling_file.is_none();
        let Some(files) = settings.certificates.as_ref().filter(|_| on) else { return Ok(None) };
        let (authorities, trusted) = authorities(settings)?;
        let resolver = resolver.cloned().map(Arc::new);
        let mut all = Vec::new();
        for file in files {
            let mut chain = file.read_certificates()?.into_iter();
            let Some(certificate) = chain.next() else { continue };
            let chain: Vec<X509> = chain.collect();
            let name = file.path.display().to_string();
            let mut ignore = |why: &str, of: &str| {
                let message = format!("\"ssl_stapling\" ignored, {why} {of} \"{name}\"");
                warnings.push(Warning { message, place: None });
            };
            let issued = |issuer: &&X509| issuer.issued(&certificate) == X509VerifyResult::OK;
            let Some(issuer) = chain.iter().chain(&authorities).find(issued).cloned() else {
                ignore("issuer certificate not found", "for certificate");
                continue;
            };
            let said = settings.stapling_responder.as_ref().filter(|said| !said.is_empty()).cloned();
            let Some(url) = said.or_else(|| named_by(&certificate)) else {
                ignore("no OCSP responder URL", "in the certificate");
                continue;
            };
            let responder = match Responder::parse(&url) {
                Ok(responder) => responder,
                Err(why) => {
                    ignore(&format!("{why} in OCSP responder \"{url}\""), "in the certificate");
                    continue;
                }
            };
            let flags = match settings.stapling_verify {
                Some(true) => OcspFlag::TRUST_OTHER,
                _ => OcspFlag::NO_VERIFY,
            };
            let inquiry = Inquiry {
                certificate,
                issuer,
                chain: Arc::new(stack(chain).map_err(file.failed("sk_X509_push"))?),
                trusted: trusted.clone(),
                flags,
                responder: Arc::new(responder),
                resolver: resolver.clone(),
                subject: Subject::File(name),
            };
            all.push(Arc::new(Staple::new(inquiry)));
        }
        Ok((!all.is_empty()).then_some(Staples { all }))
    }

    /// Clients of the context that ask for it get what is known.
    pub(in crate::tls) fn attach(self, builder: &mut SslContextBuilder) -> std::result::Result<(), ErrorStack> {
        let index = index().ok_or_else(ErrorStack::get)?;
        builder.set_ex_data(index, self);
        builder.set_status_callback(move |ssl| {
            let now = seconds();
            let staple = Staples::of(ssl).zip(ssl.certificate()).and_then(|(all, own)| all.about(own)).cloned();
            match staple.as_ref().map(|staple| staple.kept()).as_mut().and_then(|kept| kept.get(now)) {
                Some(answer) => ssl.set_ocsp_status(answer).map(|()| true),
                None => Ok(false),
            }
        })
    }

    /// Those of the server that a session is with.
    pub fn of(ssl: &SslRef) -> Option<&Staples> {
        ssl.ssl_context().ex_data(index()?)
    }

    fn about(&self, certificate: &X509Ref) -> Option<&Arc<Staple>> {
        self.all.iter().find(|staple| *staple.inquiry.certificate == *certificate)
    }
}

/// Where a context keeps its [`Staples`].
fn index() -> Option<Index<SslContext, Staples>> {
    static INDEX: OnceLock<Option<Index<SslContext, Staples>>> = OnceLock::new();
    *INDEX.get_or_init(|| SslContext::new_ex_index().ok())
}

fn stack(certificates: Vec<X509>) -> std::result::Result<Stack<X509>, ErrorStack> {
    let mut stack = Stack::new()?;
    certificates.into_iter().try_for_each(|certificate| stack.push(certificate))?;
    Ok(stack)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    #[test]
    fn the_pace() {
        let mut kept = Kept::default();
        assert!(!kept.begin(), "nobody has asked");
        assert_eq!(kept.get(NOW), None);
        assert!(kept.begin() && !kept.begin());
        assert_eq!(kept.get(NOW), None);
        assert!(!kept.begin(), "it is under way");
        kept.end(NOW, None);
        kept.get(NOW + 300);
        assert!(!kept.begin(), "not again before five minutes are over");
        kept.get(NOW + 301);
        assert!(kept.begin());

        for (valid, refresh) in [
            (i64::MAX, NOW + 3600),
            (NOW + 100_000, NOW + 3600),
            (NOW + 2000, NOW + 1700),
            (NOW + 400, NOW + 300),
            (NOW, NOW + 300),
        ] {
            kept.end(NOW, Some((b"answer".to_vec(), valid)));
            assert_eq!(kept.refresh, refresh, "{valid}");
            assert_eq!(kept.get(NOW), Some(&b"answer"[..]));
            if valid < i64::MAX {
                assert_eq!(kept.get(valid + 1), None, "{valid}");
            }
            kept.stage = Stage::Idle;
        }
    }

    #[test]
    fn a_failure_leaves_an_answer_that_is_still_good() {
        let mut kept = Kept::default();
        kept.end(NOW, Some((b"answer".to_vec(), NOW + 9000)));
        kept.end(NOW + 4000, None);
        assert_eq!(kept.get(NOW + 9000), Some(&b"answer"[..]));
        assert_eq!(kept.get(NOW + 9001), None);
    }
}
