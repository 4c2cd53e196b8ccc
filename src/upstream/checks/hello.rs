//! A TLS ClientHello, made by hand: it need not lead to a session, only to an answer.

use std::hash::{BuildHasher, RandomState};

/// RFC 8446, 4.1.2 and RFC 5246, 7.4.1.2: an offer that servers with TLS 1.0 to 1.3 accept. It brings no key share, so one with TLS 1.3 answers
/// with a HelloRetryRequest, which has the form of a ServerHello, and neither side computes a key.
pub(super) fn client_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(random());
    // A session id, as servers that speak TLS 1.3 to middleboxes expect (RFC 8446, appendix D.4).
    body.push(32);
    body.extend(random());
    body.extend(with_length(&pairs(CIPHERS)));
    // No compression.
    body.extend([1, 0]);
    body.extend(with_length(&extensions()));
    let mut hello = vec![CLIENT_HELLO, 0];
    hello.extend(with_length(&body));
    let mut record = vec![HANDSHAKE, 3, 1];
    record.extend(with_length(&hello));
    record
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// TLS 1.3's suites, then those with forward secrecy, then RSA key exchange; last the sign that renegotiation is secure (RFC 5746).
const CIPHERS: &[u16] = &[
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x009e, 0x009f, 0xccaa, 0xc009, 0xc013,
    0xc00a, 0xc014, 0x0033, 0x0039, 0x009c, 0x009d, 0x003c, 0x002f, 0x0035, 0x00ff,
];

/// x25519, P-256, P-384, P-521, x448, ffdhe2048, ffdhe3072.
const GROUPS: &[u16] = &[0x001d, 0x0017, 0x0018, 0x0019, 0x001e, 0x0100, 0x0101];

/// ECDSA, EdDSA, RSA-PSS, RSA with PKCS #1, and for old servers those with SHA-1.
const SIGNATURES: &[u16] = &[
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401, 0x0501, 0x0601,
    0x0203, 0x0201,
];

/// TLS 1.3 to 1.0.
const VERSIONS: &[u16] = &[0x0304, 0x0303, 0x0302, 0x0301];

fn extensions() -> Vec<u8> {
    let versions = pairs(VERSIONS);
    let versions = [&[versions.len() as u8][..], &versions].concat();
    let list: [(u16, Vec<u8>); 6] = [
        // supported_groups
        (10, with_length(&pairs(GROUPS))),
        // ec_point_formats: uncompressed
        (11, vec![1, 0]),
        // signature_algorithms
        (13, with_length(&pairs(SIGNATURES))),
        // extended_master_secret
        (23, Vec::new()),
        // supported_versions
        (43, versions),
        // key_share: none
        (51, vec![0, 0]),
    ];
    list.iter().flat_map(|(number, data)| [&number.to_be_bytes()[..], &with_length(data)].concat()).collect()
}

fn pairs(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Two bytes of length before the bytes.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// Bytes that differ from hello to hello; nothing secret depends on them.
fn random() -> [u8; 32] {
    let state = RandomState::new();
    let mut bytes = [0; 32];
    for (n, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&state.hash_one(n).to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_what_follows() {
        let hello = client_hello();
        let length = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
        assert_eq!((hello[0], length(3)), (22, hello.len() - 5));
        assert_eq!((hello[5], hello[6], length(7)), (1, 0, hello.len() - 9));
        assert_ne!(client_hello(), hello);
    }
}
