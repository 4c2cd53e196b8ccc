//! What a header of version 2 may tell beside the addresses: a row of values, each behind its type and length (section 2.2
//! of the protocol's definition).

/// The type whose value is a row of its own, about TLS between the client and the sender (section 2.2.6).
const SSL: u8 = 0x20;
/// What stands before that row: a byte of flags and the result of the client's verification.
const SSL_FIXED: usize = 5;

/// Types that have a name, as in nginx's `$proxy_protocol_tlv_NAME`.
const NAMES: &[(&str, u8)] = &[("alpn", 1), ("authority", 2), ("unique_id", 5), ("ssl", SSL), ("netns", 0x30)];
/// Likewise of the row about TLS, `$proxy_protocol_tlv_ssl_NAME`.
const SSL_NAMES: &[(&str, u8)] =
    &[("version", 0x21), ("cn", 0x22), ("cipher", 0x23), ("sig_alg", 0x24), ("key_alg", 0x25)];

/// One of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tlv {
    /// That of this type.
    Of(u8),
    /// That of this type in the row about TLS.
    OfSsl(u8),
    /// Whether the client's certificate was verified by the sender: `0` when it was.
    SslVerify,
}

impl Tlv {
    /// The value of this name, or of a type in hexadecimal, `0x` and one or two digits; either behind `ssl_` too.
    pub fn named(name: &str) -> Option<Self> {
        let of = |name: &str, names: &[(&str, u8)]| match name.strip_prefix("0x") {
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                u8::from_str_radix(digits, 16).ok()
            }
            Some(_) => None,
            None => names.iter().find(|(known, _)| *known == name).map(|(_, of)| *of),
        };
        match name.strip_prefix("ssl_") {
            Some("verify") => Some(Self::SslVerify),
            Some(name) => of(name, SSL_NAMES).map(Self::OfSsl),
            None => of(name, NAMES).map(Self::Of),
        }
    }

    /// Appends the value and tells whether there is one in these bytes. Of a row that ends early there is what stands before.
    pub fn write(self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let ssl = || find(bytes, SSL)?.split_first_chunk::<SSL_FIXED>();
        let value = match self {
            Self::Of(wanted) => find(bytes, wanted),
            Self::OfSsl(wanted) => ssl().and_then(|(_, row)| find(row, wanted)),
            Self::SslVerify => {
                let Some(([_, verify @ ..], _)) = ssl() else { return false };
                out.extend(u32::from_be_bytes(*verify).to_string().bytes());
                return true;
            }
        };
        out.extend(value.unwrap_or_default());
        value.is_some()
    }
}

/// The first value of this type.
fn find(mut bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    while let Some(([found, high, low], rest)) = bytes.split_first_chunk() {
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        if *found == wanted {
            return Some(value);
        }
        bytes = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        Tlv::named(name).unwrap().write(bytes, &mut out).then_some(out)
    }

    #[test]
    fn names() {
        assert_eq!(Tlv::named("authority"), Some(Tlv::Of(2)));
        assert_eq!(Tlv::named("0xEa"), Some(Tlv::Of(0xea)));
        assert_eq!(Tlv::named("ssl_cn"), Some(Tlv::OfSsl(0x22)));
        assert_eq!(Tlv::named("ssl_0x21"), Some(Tlv::OfSsl(0x21)));
        for unknown in ["", "nope", "0x", "0x100", "0x+1", "0xg", "ssl_", "ssl_alpn", "ssl_ssl_cn", "cn", "Alpn"] {
            assert_eq!(Tlv::named(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn values() {
        let row = b"\x02\0\x03a.b\x20\0\x0d\x07\0\0\x01\0\x21\0\x01v\x22\0\x01c\xea\0\0\x02\0\x01z";
        for (name, expected) in [
            ("authority", Some(&b"a.b"[..])),
            ("alpn", None),
            ("0xea", Some(b"")),
            ("ssl", Some(b"\x07\0\0\x01\0\x21\0\x01v\x22\0\x01c")),
            ("ssl_verify", Some(b"256")),
            ("ssl_version", Some(b"v")),
            ("ssl_cn", Some(b"c")),
            ("ssl_cipher", None),
        ] {
            assert_eq!(value(name, row).as_deref(), expected, "{name}");
        }
        assert_eq!(value("ssl_verify", b"\x20\0\x04\x07\0\0\0"), None);
        assert_eq!(value("alpn", b"\x02\0\x03a.b\x01\0\x03h2"), None);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>, wanted: u8) {
            for tlv in [Tlv::Of(wanted), Tlv::OfSsl(wanted), Tlv::SslVerify] {
                tlv.write(&bytes, &mut Vec::new());
            }
        }
    }
}
