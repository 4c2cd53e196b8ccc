//! What a session with a client has agreed on, and what the client has shown of itself: the variables `$ssl_*`.

use std::io::Write;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::ssl::SslRef;
use openssl::x509::{X509, X509VerifyResult};

use super::ocsp::{Status, status_of};
use super::{hello, sys};

/// Something that can be told of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The protocol: `TLSv1.3`.
    Protocol,
    /// The cipher by its name in OpenSSL.
    Cipher,
    /// The ciphers that the client offers; unknown ones as numbers.
    Ciphers,
    /// The curve of the key exchange.
    Curve,
    /// The curves that the client offers.
    Curves,
    /// The id of the session, in hexadecimal.
    SessionId,
    /// `r` for a session that has been resumed, else `.`.
    SessionReused,
    /// `1` while the handshake is not over and data has overtaken it.
    EarlyData,
    /// The host that the client has named (SNI).
    ServerName,
    /// The protocol of ALPN (RFC 7301).
    AlpnProtocol,
    /// The client's certificate in PEM form, lines but the first behind a tab.
    ClientCert,
    /// The same as it is.
    ClientRawCert,
    /// The same, escaped as a part of a URI.
    ClientEscapedCert,
    /// Whose certificate it is, by RFC 2253.
    ClientSubject,
    /// Who vouches for it.
    ClientIssuer,
    /// Whose certificate it is, with slashes.
    ClientSubjectLegacy,
    /// Who vouches for it, with slashes.
    ClientIssuerLegacy,
    /// Its number.
    ClientSerial,
    /// Its SHA-1 hash.
    ClientFingerprint,
    /// `SUCCESS`, `FAILED:` and why, or `NONE`.
    ClientVerify,
    /// From when it is good.
    ClientStart,
    /// Until when it is good.
    ClientEnd,
    /// Days for which it is still good.
    ClientRemain,
}

const NAMES: &[(&str, Fact, &str)] = &[
    ("ssl_protocol", Fact::Protocol, "The protocol of the client's connection: `TLSv1.3`."),
    ("ssl_cipher", Fact::Cipher, "The cipher, by its name in OpenSSL."),
    ("ssl_ciphers", Fact::Ciphers, "The ciphers that the client offers; unknown ones as numbers."),
    ("ssl_curve", Fact::Curve, "The curve of the key exchange."),
    ("ssl_curves", Fact::Curves, "The curves that the client offers; unknown ones as numbers."),
    ("ssl_session_id", Fact::SessionId, "The id of the session, in hexadecimal."),
    ("ssl_session_reused", Fact::SessionReused, "`r` for a session that was resumed, else `.`."),
    (
        "ssl_early_data",
        Fact::EarlyData,
        "`1` while the handshake with the client is not over, for a request that was sent before (`ssl_early_data`); whoever has seen it may send it again.",
    ),
    ("ssl_server_name", Fact::ServerName, "The host that the client has named (SNI)."),
    ("ssl_alpn_protocol", Fact::AlpnProtocol, "The protocol that ALPN has chosen (RFC 7301)."),
    (
        "ssl_client_cert",
        Fact::ClientCert,
        "The client's certificate in PEM form, a tab before each line but the first.",
    ),
    ("ssl_client_raw_cert", Fact::ClientRawCert, "The client's certificate in PEM form."),
    (
        "ssl_client_escaped_cert",
        Fact::ClientEscapedCert,
        "The client's certificate in PEM form, escaped as a part of a URI.",
    ),
    ("ssl_client_s_dn", Fact::ClientSubject, "Whose certificate it is, as in RFC 2253."),
    ("ssl_client_i_dn", Fact::ClientIssuer, "Who vouches for the client's certificate, as in RFC 2253."),
    ("ssl_client_s_dn_legacy", Fact::ClientSubjectLegacy, "Whose certificate it is, with slashes between the parts."),
    (
        "ssl_client_i_dn_legacy",
        Fact::ClientIssuerLegacy,
        "Who vouches for the client's certificate, with slashes between the parts.",
    ),
    ("ssl_client_serial", Fact::ClientSerial, "The number of the client's certificate."),
    ("ssl_client_fingerprint", Fact::ClientFingerprint, "The SHA-1 hash of the client's certificate."),
    ("ssl_client_verify", Fact::ClientVerify, "`SUCCESS`, `FAILED:` and why, or `NONE` without a certificate."),
    ("ssl_client_v_start", Fact::ClientStart, "From when the client's certificate is good."),
    ("ssl_client_v_end", Fact::ClientEnd, "Until when the client's certificate is good."),
    ("ssl_client_v_remain", Fact::ClientRemain, "For how many days the client's certificate is still good."),
];

impl Fact {
    /// The one that the variable of this name tells.
    pub fn named(name: &str) -> Option<Fact> {
        NAMES.iter().find(|(known, ..)| *known == name).map(|(_, fact, _)| *fact)
    }

    /// The names of all of these variables and what they mean, for the documentation.
    pub fn meanings() -> impl Iterator<Item = (String, &'static str)> {
        NAMES.iter().map(|(name, _, meaning)| ((*name).to_owned(), *meaning))
    }

    /// Appends what there is to tell of a session; whether there is anything.
    pub fn write(self, ssl: &SslRef, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        if self.try_write(ssl, out).is_none() {
            out.truncate(before);
        }
        out.len() > before
    }

    /// `None` where there is nothing to tell.
    fn try_write(self, ssl: &SslRef, out: &mut Vec<u8>) -> Option<()> {
        let certificate = || ssl.peer_certificate();
        match self {
            Fact::Protocol => out.extend(ssl.version_str().bytes()),
            Fact::Cipher => out.extend(ssl.current_cipher()?.name().bytes()),
            Fact::Ciphers => join(out, sys::offered_ciphers(ssl)),
            Fact::Curve => out.extend(curve(sys::agreed_group(ssl)?).bytes()),
            Fact::Curves => join(out, sys::offered_groups(ssl).into_iter().map(curve)),
            Fact::SessionId => hexadecimal(out, ssl.session()?.id()),
            Fact::SessionReused => out.push(if ssl.session_reused() { b'r' } else { b'.' }),
            Fact::EarlyData if ssl.is_init_finished() => return None,
            Fact::EarlyData => out.push(b'1'),
            Fact::ServerName => out.extend_from_slice(hello::host(ssl)?),
            Fact::AlpnProtocol => out.extend_from_slice(ssl.selected_alpn_protocol()?),
            Fact::ClientCert => {
                let pem = pem(&certificate()?)?;
                for byte in pem.trim_ascii_end() {
                    out.push(*byte);
                    if *byte == b'\n' {
                        out.push(b'\t');
                    }
                }
            }
            Fact::ClientRawCert => out.extend(pem(&certificate()?)?),
            Fact::ClientEscapedCert => {
                for byte in pem(&certificate()?)? {
                    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                        out.push(byte);
                    } else {
                        write!(out, "%{byte:02X}").ok()?;
                    }
                }
            }
            Fact::ClientSubject => out.extend(sys::rfc2253(certificate()?.subject_name())?),
            Fact::ClientIssuer => out.extend(sys::rfc2253(certificate()?.issuer_name())?),
            Fact::ClientSubjectLegacy => out.extend(sys::one_line(certificate()?.subject_name())?),
            Fact::ClientIssuerLegacy => out.extend(sys::one_line(certificate()?.issuer_name())?),
            Fact::ClientSerial => {
                let number = certificate()?.serial_number().to_bn().ok()?.to_hex_str().ok()?;
                out.extend(number.bytes());
            }
            Fact::ClientFingerprint => hexadecimal(out, &certificate()?.digest(MessageDigest::sha1()).ok()?),
            Fact::ClientVerify => match (certificate(), ssl.verify_result()) {
                (None, _) => out.extend(b"NONE"),
                (_, X509VerifyResult::OK) => match status_of(ssl) {
                    None | Some(Status::Good) => out.extend(b"SUCCESS"),
                    Some(status) => write!(out, "FAILED:{status}").ok()?,
                },
                (_, fault) => write!(out, "FAILED:{}", fault.error_string()).ok()?,
            },
            Fact::ClientStart => write!(out, "{}", certificate()?.not_before()).ok()?,
            Fact::ClientEnd => write!(out, "{}", certificate()?.not_after()).ok()?,
            Fact::ClientRemain => {
                let left = Asn1Time::days_from_now(0).ok()?.diff(certificate()?.not_after()).ok()?;
                write!(out, "{}", left.days.max(0)).ok()?;
            }
        }
        Some(())
    }
}

/// What there is to tell of a session, for when the session itself may be gone.
#[derive(Debug)]
pub struct Told(Vec<(Fact, Vec<u8>)>);

impl Told {
    /// All of it, as it is now.
    pub fn of(ssl: &SslRef) -> Told {
        let told = NAMES.iter().filter_map(|(_, fact, _)| {
            let mut value = Vec::new();
            fact.write(ssl, &mut value).then_some((*fact, value))
        });
        Told(told.collect())
    }

    /// Appends what there is to tell; whether there is anything.
    pub fn write(&self, fact: Fact, out: &mut Vec<u8>) -> bool {
        let value = self.0.iter().find(|(known, _)| *known == fact);
        value.map(|(_, value)| out.extend_from_slice(value)).is_some()
    }
}

fn pem(certificate: &X509) -> Option<Vec<u8>> {
    certificate.to_pem().ok()
}

/// A curve by OpenSSL's number, or by that of the protocol where OpenSSL does not know it.
fn curve(number: i32) -> String {
    /// `TLSEXT_nid_unknown` of `openssl/tls1.h`
    const UNKNOWN: i32 = 0x0100_0000;
    match Nid::from_raw(number).short_name() {
        Ok(name) if number & UNKNOWN == 0 => name.to_owned(),
        _ => format!("0x{:04x}", number & 0xffff),
    }
}

fn join(out: &mut Vec<u8>, words: impl IntoIterator<Item = String>) {
    for (place, word) in words.into_iter().enumerate() {
        if place > 0 {
            out.push(b':');
        }
        out.extend(word.bytes());
    }
}

fn hexadecimal(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend(format!("{byte:02x}").bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (place, (name, fact, _)) in NAMES.iter().enumerate() {
            assert!(NAMES[..place].iter().all(|(other, same, _)| other != name && same != fact), "{name}");
            assert_eq!(Fact::named(name), Some(*fact));
        }
    }

    #[test]
    fn curves() {
        assert_eq!(curve(Nid::X9_62_PRIME256V1.as_raw()), "prime256v1");
        assert_eq!(curve(0x0100_0000 | 0x1a1a), "0x1a1a");
    }
}
