//! What authorities say of certificates (OCSP, RFC 6960): of our own, for clients to get with them ([`staples`]), and of those that clients show
//! ([`clients`]). An [`Inquiry`] is about one of either; [`Engine`] asks, [`answer`] judges what comes.

mod answer;
mod cache;
mod clients;
mod engine;
mod responder;
mod staples;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use openssl::ocsp::OcspFlag;
use openssl::stack::Stack;
use openssl::x509::X509;
use openssl::x509::store::{X509Store, X509StoreBuilder};

use super::server::load_crl;
use super::settings::Verify;
use super::{Settings, Shared};
use crate::conf::Result;
use crate::conf::loader::Warning;
use crate::log::error::ErrorLog;
use crate::resolver;

pub use cache::Zone;
pub(super) use clients::Ocsp;
pub use clients::{Asker, Rules, Validation, tell};
pub(super) use clients::{await_status, status_of};
pub use engine::{Engine, Told};
pub use staples::Staples;

use responder::Responder;

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    Good,
    /// Its authority has taken it back.
    Revoked,
    /// Its authority knows nothing of it.
    Unknown,
    /// Nobody has said anything about it that counts.
    Unanswered,
}

impl fmt::Display for Status {
    /// nginx's words for why a client may not come in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Good => "certificate good",
            Status::Revoked => "certificate revoked",
            Status::Unknown => "certificate status unknown",
            Status::Unanswered => "certificate status request failed",
        })
    }
}

/// What a server asks authorities.
#[derive(Default)]
pub struct Asked {
    /// About its own certificates.
    pub staples: Option<Staples>,
    /// About those of its clients.
    pub clients: Option<Arc<Rules>>,
}

impl Asked {
    /// What the settings of a server come to. What of stapling cannot be had is said in `warnings`, and done without.
    ///
    /// # Errors
    /// Files that cannot be read, and nginx's messages about `ssl_ocsp`.
    pub fn read(
        settings: &Settings,
        resolver: Option<&resolver::Settings>,
        shared: &mut Shared,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self> {
        let staples = Staples::read(settings, resolver, warnings)?;
        Ok(Asked { staples, clients: Rules::read(settings, resolver, shared)? })
    }
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    status: Status,
    /// For how many seconds from now on; [`i64::MAX`] where nothing is said of that.
    valid: i64,
}

/// One certificate that is asked about, and whom is asked.
struct Inquiry {
    certificate: X509,
    issuer: X509,
    /// Where the certificate of who has signed the answer may be, beside the answer.
    chain: Arc<Stack<X509>>,
    /// Who is trusted to vouch for that.
    trusted: Arc<X509Store>,
    /// How signatures are looked at (`OCSP_basic_verify(3)`).
    flags: OcspFlag,
    responder: Arc<Responder>,
    resolver: Option<Arc<resolver::Settings>>,
    subject: Subject,
}

/// Whose certificate it is, for logs.
enum Subject {
    /// Ours, from this file.
    File(String),
    /// That of a client: the number of its connection, and where that is logged.
    Client(u64, Option<ErrorLog>),
}

/// Seconds since 1970.
fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The call by which nginx reads authorities.
const LOADING: &str = "SSL_CTX_load_verify_locations";

/// The authorities that the server trusts.
fn authorities(settings: &Settings) -> Result<(Vec<X509>, Arc<X509Store>)> {
    let verifies = settings.verify.as_ref().is_some_and(|(verify, _)| *verify != Verify::Off);
    let of_clients = settings.client_certificate.as_ref().filter(|_| verifies);
    let mut all = Vec::new();
    let mut store = new_store()?;
    for file in [of_clients, settings.trusted_certificate.as_ref()].into_iter().flatten() {
        let text = file.read(|path| format!("{LOADING}(\"{}\")", path.display()))?;
        for authority in X509::stack_from_pem(&text).map_err(file.failed(LOADING))? {
            store.add_cert(authority.clone()).map_err(file.failed(LOADING))?;
            all.push(authority);
        }
    }
    if let Some(crl) = &settings.crl {
        load_crl(&mut store, crl)?;
    }
    Ok((all, Arc::new(store.build())))
}

fn new_store() -> Result<X509StoreBuilder> {
    X509StoreBuilder::new().map_err(super::server::failed("X509_STORE_new()"))
}
