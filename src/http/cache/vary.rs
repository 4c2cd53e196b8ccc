//! `Vary`: answers that depend on fields of the request.

use super::key::Key;
use crate::http::head::Head;

/// What the fields of a request that `vary` names come to. As in nginx blanks and commas only part the words of a value, several fields are one,
/// and the case of names does not matter, while that of values does.
pub(in crate::http) fn variant(vary: &[u8], head: &Head) -> [u8; 16] {
    let mut text = Vec::new();
    for name in words(vary) {
        text.extend(name.to_ascii_lowercase());
        text.push(b':');
        if let Ok(name) = std::str::from_utf8(name) {
            for value in head.all(&name.to_ascii_lowercase()).flat_map(words) {
                text.extend_from_slice(value);
                text.push(b',');
            }
        }
        text.extend_from_slice(b"\r\n");
    }
    Key::of(&text).0
}

/// The name of a variant's own entry: the same for all whose fields come to the same.
pub(in crate::http) fn key(text: &[u8], variant: [u8; 16]) -> Key {
    Key::of(&[text, &variant[..]].concat())
}

/// Whether an answer depends on more than fields, so that it is none for another request (RFC 9111 4.1).
pub(super) fn is_of_all(vary: &[u8]) -> bool {
    words(vary).any(|name| name == b"*")
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| matches!(byte, b',' | b' ' | b'\t')).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &str) -> Head {
        Head::parse(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn the_fields_that_are_named_count() {
        let variant = |vary: &str, fields: &str| variant(vary.as_bytes(), &head(fields));
        let german = variant("Accept-Language", "Accept-Language: de\r\n");
        assert_eq!(german, variant(" accept-language ,", "accept-language:  de \r\nCookie: a\r\n"));
        assert_ne!(german, variant("Accept-Language", "Accept-Language: en\r\n"));
        assert_ne!(german, variant("Accept-Language", ""));
        assert_ne!(german, variant("Accept-Language, Cookie", "Accept-Language: de\r\n"));
        assert_eq!(variant("a b", "B: x\r\n"), variant("a, b", "B: x\r\n"));
        let both = variant("Accept-Encoding", "Accept-Encoding: gzip, br\r\n");
        for same in ["Accept-Encoding: gzip,br\r\n", "Accept-Encoding: gzip\r\nAccept-Encoding:  br ,\r\n"] {
            assert_eq!(variant("Accept-Encoding", same), both, "{same}");
        }
        for other in ["Accept-Encoding: br, gzip\r\n", "Accept-Encoding: GZIP, br\r\n", "Accept-Encoding: gzip\r\n"] {
            assert_ne!(variant("Accept-Encoding", other), both, "{other}");
        }
        // What stands in one field is not taken for another's.
        assert_ne!(variant("a, b", "A: x\r\nB: y\r\n"), variant("a, b", "A: y\r\nB: x\r\n"));
        assert_ne!(key(b"k", german), key(b"k", [0; 16]));
    }
}
