//! What a responder has answered: pure functions over its bytes.

use openssl::ocsp::{OcspCertStatus, OcspFlag, OcspResponse, OcspResponseStatus};

use super::Staple;
use super::responder::id;
use crate::net::reasons;
use crate::tls::sys;

/// What is read of an answer, head and body; nginx's.
pub(super) const LIMIT: usize = 16 << 10;
/// Fields in the head of an answer.
const FIELDS: usize = 64;
/// How far clocks may be apart, in seconds; nginx's.
const SLACK: u32 = 300;

/// How far an answer has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    NotYet,
    /// Its body begins here.
    Body(usize),
}

/// Looks at the head of an answer over HTTP.
///
/// # Errors
/// nginx's message.
pub(super) fn head(bytes: &[u8]) -> Result<Head, String> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(Head::NotYet),
        Err(_) => return Err("OCSP responder sent invalid response".to_owned()),
    };
    // The status is not asked, as in nginx: what is no answer is known by its type and contents.
    match response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-type")) {
        Some(field) if !field.value.eq_ignore_ascii_case(b"application/ocsp-response") => {
            let value = field.value.escape_ascii();
            Err(format!("OCSP responder sent invalid \"Content-Type\" header: \"{value}\""))
        }
        _ => Ok(Head::Body(length)),
    }
}

/// Whether an answer says that the certificate is good, and for how many seconds from now on.
///
/// # Errors
/// nginx's message.
pub(super) fn judge(staple: &Staple, der: &[u8]) -> Result<i64, String> {
    let failed = |call: &'static str| move |stack| format!("{call}() failed (SSL: {})", reasons(&stack));
    let response = OcspResponse::from_der(der).map_err(failed("d2i_OCSP_RESPONSE"))?;
    let status = response.status();
    if status != OcspResponseStatus::SUCCESSFUL {
        return Err(format!("OCSP response not successful ({}: {})", status.as_raw(), word(status)));
    }
    let basic = response.basic().map_err(failed("OCSP_response_get1_basic"))?;
    let flags = if staple.verifies { OcspFlag::TRUST_OTHER } else { OcspFlag::NO_VERIFY };
    basic.verify(&staple.chain, &staple.trusted, flags).map_err(failed("OCSP_basic_verify"))?;
    let id = id(&staple.certificate, &staple.issuer).map_err(failed("OCSP_cert_to_id"))?;
    let about = basic.find_status(&id).ok_or("certificate status not found in the OCSP response")?;
    about.check_validity(SLACK, None).map_err(failed("OCSP_check_validity"))?;
    let valid = match about.next_update() {
        Some(time) => sys::seconds_until(time).ok_or("invalid nextUpdate time in certificate status")?,
        None => i64::MAX,
    };
    let told = match about.status {
        OcspCertStatus::GOOD => return Ok(valid),
        OcspCertStatus::REVOKED => "revoked",
        _ => "unknown",
    };
    Err(format!("certificate status \"{told}\" in the OCSP response"))
}

/// OpenSSL's words (`OCSP_response_status_str`).
fn word(status: OcspResponseStatus) -> &'static str {
    match status {
        OcspResponseStatus::MALFORMED_REQUEST => "malformedrequest",
        OcspResponseStatus::INTERNAL_ERROR => "internalerror",
        OcspResponseStatus::TRY_LATER => "trylater",
        OcspResponseStatus::SIG_REQUIRED => "sigrequired",
        OcspResponseStatus::UNAUTHORIZED => "unauthorized",
        _ => "(UNKNOWN)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let whole = b"HTTP/1.0 200 OK\r\nContent-type: Application/OCSP-response\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(head(&whole[..cut]), Ok(Head::NotYet), "{cut}");
        }
        assert_eq!(head(&[whole, &b"body"[..]].concat()), Ok(Head::Body(whole.len())));
        assert_eq!(head(b"HTTP/1.1 404\r\n\r\n"), Ok(Head::Body(16)));
        assert_eq!(head(b"SMTP hello\r\n").unwrap_err(), "OCSP responder sent invalid response");
        let html = head(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n").unwrap_err();
        assert_eq!(html, "OCSP responder sent invalid \"Content-Type\" header: \"text/html\"");
    }
}
