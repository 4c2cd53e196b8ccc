//! Who is asked about a certificate: a URL, and the request for it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ocsp::{OcspCertId, OcspRequest};
use openssl::x509::X509Ref;

use crate::net::{Address, address};
use crate::resolver::Name;

/// The port when none is said.
const PORT: u16 = 80;

/// Where answers about certificates are asked for.
#[derive(Debug)]
pub(super) struct Responder {
    /// As written, without the port.
    pub host: String,
    pub port: u16,
    pub path: String,
    /// Those of the host when the configuration was read; of a name in a client's certificate none.
    pub addresses: Vec<Address>,
    /// The host, if that is a name.
    pub name: Option<Name>,
}

impl Responder {
    /// Takes a URL apart and looks up its host.
    ///
    /// # Errors
    /// nginx's word for what is wrong, completed by ` in OCSP responder "..."`.
    pub(super) fn parse(url: &str) -> Result<Responder, &'static str> {
        let (authority, path) = split(url)?;
        Ok(Responder::of(authority, path, address::resolve(authority, PORT)?))
    }

    /// The same, where nobody may wait for a host to be looked up.
    ///
    /// # Errors
    /// As there.
    pub(super) fn parse_unresolved(url: &str) -> Result<Responder, &'static str> {
        let (authority, path) = split(url)?;
        let address = address::literal(authority, PORT)?;
        let responder = Responder::of(authority, path, address.into_iter().collect());
        match responder.addresses.is_empty() && responder.name.is_none() {
            true => Err("invalid host"),
            false => Ok(responder),
        }
    }

    fn of(authority: &str, path: &str, addresses: Vec<Address>) -> Responder {
        let written = address::explicit_port(authority);
        let host = written.and_then(|_| authority.rsplit_once(':'));
        Responder {
            host: host.map_or(authority, |(host, _)| host).to_owned(),
            port: written.unwrap_or(PORT),
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
            addresses,
            name: address::host_name(authority, PORT).and_then(|(name, _)| Name::parse(name)),
        }
    }

    /// The request for the status of a certificate (RFC 6960 A.1): a `GET`, as nginx sends it, which caches on the way understand.
    ///
    /// # Errors
    /// Out of memory.
    pub(super) fn request(&self, certificate: &X509Ref, issuer: &X509Ref) -> Result<Vec<u8>, ErrorStack> {
        let mut question = OcspRequest::new()?;
        question.add_id(id(certificate, issuer)?)?;
        let mut target = self.path.clone();
        if !target.ends_with('/') {
            target.push('/');
        }
        for byte in BASE64_STANDARD.encode(question.to_der()?).bytes() {
            match byte {
                b'+' => target.push_str("%2B"),
                b'/' => target.push_str("%2F"),
                b'=' => target.push_str("%3D"),
                other => target.push(other.into()),
            }
        }
        Ok(format!("GET {target} HTTP/1.0\r\nHost: {}\r\n\r\n", self.host).into_bytes())
    }
}

/// The host, with its port where one is written, and the path.
fn split(url: &str) -> Result<(&str, &str), &'static str> {
    const SCHEME: &str = "http://";
    let (scheme, rest) = url.split_at_checked(SCHEME.len()).ok_or("invalid URL prefix")?;
    if !scheme.eq_ignore_ascii_case(SCHEME) || rest.is_empty() {
        return Err("invalid URL prefix");
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    match authority.starts_with("unix:") {
        true => Err("no host"),
        false => Ok((authority, path)),
    }
}

/// The first responder that a certificate names.
pub(super) fn named_by(certificate: &X509Ref) -> Option<String> {
    let named = certificate.ocsp_responders().ok()?;
    named.iter().next().map(|url| url.to_string())
}

/// How a certificate is called in questions and answers: by hashes with SHA-1, which all responders know.
pub(super) fn id(certificate: &X509Ref, issuer: &X509Ref) -> Result<OcspCertId, ErrorStack> {
    OcspCertId::from_cert(MessageDigest::sha1(), certificate, issuer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parts = |url| Responder::parse(url).map(|it| (it.host, it.port, it.path, it.name.is_some()));
        let parted = |host: &str, port, path: &str, named| Ok((host.to_owned(), port, path.to_owned(), named));
        assert_eq!(parts("http://127.0.0.1"), parted("127.0.0.1", 80, "/", false));
        assert_eq!(parts("HTTP://127.0.0.1:81/a/b"), parted("127.0.0.1", 81, "/a/b", false));
        assert_eq!(parts("http://[::1]:81?a"), parted("[::1]", 81, "/?a", false));
        assert_eq!(parts("http://localhost:82/"), parted("localhost", 82, "/", true));
        for (url, why) in [
            ("", "invalid URL prefix"),
            ("http://", "invalid URL prefix"),
            ("https://127.0.0.1", "invalid URL prefix"),
            ("http:///a", "no host"),
            ("http://unix:/a", "no host"),
            ("http://127.0.0.1:x/", "invalid port"),
            ("http://name.invalid/", "host not found"),
        ] {
            assert_eq!(parts(url), Err(why), "{url}");
        }
        let unresolved =
            |url| Responder::parse_unresolved(url).map(|it| (it.addresses.len(), it.port, it.name.is_some()));
        assert_eq!(unresolved("http://[::1]:82/"), Ok((1, 82, false)));
        assert_eq!(unresolved("http://name.invalid:83/"), Ok((0, 83, true)));
        assert_eq!(unresolved("http://:80/"), Err("no host"));
        assert_eq!(unresolved("http://a..b/"), Err("invalid host"));
    }
}
