//! Certificates made on the spot.

use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Extension, X509NameBuilder};

use crate::common::Prefix;

/// A certificate and its key; of an authority if it was made as one.
#[derive(Clone)]
pub struct Identity {
    pub certificate: X509,
    pub key: PKey<Private>,
}

pub fn ec_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub fn rsa_key(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

impl Identity {
    /// An authority that has signed itself.
    pub fn root(name: &str) -> Identity {
        make(name, ec_key(), true, None, None)
    }

    /// An authority below this one.
    pub fn authority(&self, name: &str) -> Identity {
        make(name, ec_key(), true, Some(self), None)
    }

    /// The same, where the certificate names who can be asked about it.
    pub fn authority_naming(&self, name: &str, responder: &str) -> Identity {
        make(name, ec_key(), true, Some(self), Some(responder))
    }

    /// A server or client that this authority vouches for.
    pub fn issue(&self, name: &str, key: PKey<Private>) -> Identity {
        make(name, key, false, Some(self), None)
    }

    /// The same, where the certificate names who can be asked about it.
    pub fn issue_naming(&self, name: &str, key: PKey<Private>, responder: &str) -> Identity {
        make(name, key, false, Some(self), Some(responder))
    }

    /// A server that has signed itself, with a key of the quick kind.
    pub fn alone() -> Identity {
        make("localhost", ec_key(), false, None, None)
    }

    pub fn certificate_pem(&self) -> String {
        String::from_utf8(self.certificate.to_pem().unwrap()).unwrap()
    }

    pub fn key_pem(&self) -> String {
        String::from_utf8(self.key.private_key_to_pem_pkcs8().unwrap()).unwrap()
    }

    /// Writes `NAME.pem` and `NAME.key` into the folder.
    pub fn write(&self, prefix: &Prefix, name: &str) {
        prefix.write(&format!("{name}.pem"), self.certificate_pem());
        prefix.write(&format!("{name}.key"), self.key_pem());
    }
}

/// The extension that names a responder (RFC 5280 4.2.2.1).
fn responder_extension(url: &str) -> X509Extension {
    const OCSP: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01";
    // All lengths are such that they fit into a byte.
    let value = |tag: u8, inside: &[u8]| [&[tag, u8::try_from(inside.len()).unwrap()], inside].concat();
    let method = value(0x30, &[OCSP, &value(0x86, url.as_bytes())].concat());
    let contents = Asn1OctetString::new_from_bytes(&value(0x30, &method)).unwrap();
    let oid = Asn1Object::from_str("1.3.6.1.5.5.7.1.1").unwrap();
    X509Extension::new_from_der(&oid, false, &contents).unwrap()
}

fn make(name: &str, key: PKey<Private>, authority: bool, by: Option<&Identity>, responder: Option<&str>) -> Identity {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(rand_u32() >> 1).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(by.map_or(&*subject, |by| by.certificate.subject_name())).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(10).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    if authority {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap()).unwrap();
    } else {
        let context = builder.x509v3_context(by.map(|by| &*by.certificate), None);
        let names = SubjectAlternativeName::new().dns(name).ip("127.0.0.1").build(&context).unwrap();
        builder.append_extension(names).unwrap();
    }
    if let Some(url) = responder {
        builder.append_extension(responder_extension(url)).unwrap();
    }
    builder.sign(by.map_or(&key, |by| &by.key), MessageDigest::sha256()).unwrap();
    Identity { certificate: builder.build(), key }
}

fn rand_u32() -> u32 {
    let mut bytes = [0; 4];
    openssl::rand::rand_bytes(&mut bytes).unwrap();
    u32::from_be_bytes(bytes)
}
