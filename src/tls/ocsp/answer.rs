//! What a responder has answered: pure functions over its bytes.

use openssl::ocsp::{OcspCertStatus, OcspResponse, OcspResponseStatus};

use super::responder::id;
use super::{Inquiry, Status, Verdict};
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
    let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-type"));
    if let Some(field) = field.filter(|field| !field.value.eq_ignore_ascii_case(b"application/ocsp-response")) {
        let value = field.value.escape_ascii();
        return Err(format!("OCSP responder sent invalid \"Content-Type\" header: \"{value}\""));
    }
    // nginx takes no other status either, and says nothing.
    match response.code {
        Some(200) | None => Ok(Head::Body(length)),
        Some(code) => Err(format!("OCSP responder sent status {code}")),
    }
}

/// What an answer says of the certificate, if it is to be trusted.
///
/// # Errors
/// nginx's message.
pub(super) fn judge(inquiry: &Inquiry, der: &[u8]) -> Result<Verdict, String> {
    let failed = |call: &'static str| move |stack| format!("{call}() failed (SSL: {})", reasons(&stack));
    let response = OcspResponse::from_der(der).map_err(failed("d2i_OCSP_RESPONSE"))?;
    let status = response.status();
    if status != OcspResponseStatus::SUCCESSFUL {
        return Err(format!("OCSP response not successful ({}: {})", status.as_raw(), word(status)));
    }
    let basic = response.basic().map_err(failed("OCSP_response_get1_basic"))?;
    basic.verify(&inquiry.chain, &inquiry.trusted, inquiry.flags).map_err(failed("OCSP_basic_verify"))?;
    let id = id(&inquiry.certificate, &inquiry.issuer).map_err(failed("OCSP_cert_to_id"))?;
    let about = basic.find_status(&id).ok_or("certificate status not found in the OCSP response")?;
    about.check_validity(SLACK, None).map_err(failed("OCSP_check_validity"))?;
    let valid = match about.next_update() {
        Some(time) => sys::seconds_until(time).ok_or("invalid nextUpdate time in certificate status")?,
        None => i64::MAX,
    };
    let status = match about.status {
        OcspCertStatus::GOOD => Status::Good,
        OcspCertStatus::REVOKED => Status::Revoked,
        _ => Status::Unknown,
    };
    Ok(Verdict { status, valid })
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
        assert_eq!(head(b"HTTP/1.1 200\r\n\r\n"), Ok(Head::Body(16)));
        assert_eq!(head(b"HTTP/1.1 404\r\n\r\n").unwrap_err(), "OCSP responder sent status 404");
        assert_eq!(head(b"SMTP hello\r\n").unwrap_err(), "OCSP responder sent invalid response");
        let html = head(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n").unwrap_err();
        assert_eq!(html, "OCSP responder sent invalid \"Content-Type\" header: \"text/html\"");
    }
}
