//! `Vary`: answers that depend on fields of the request.

use super::key::Key;
use crate::http::head::Head;

/// What the fields of a request that `vary` names come to. As in nginx a field's blanks and case of names do not matter, and values do.
pub(in crate::http) fn variant(vary: &[u8], head: &Head) -> [u8; 16] {
    let mut text = Vec::new();
    for name in names(vary) {
        text.extend(name.to_ascii_lowercase());
        text.push(b':');
        if let Ok(name) = std::str::from_utf8(name) {
            for (number, value) in head.all(&name.to_ascii_lowercase()).enumerate() {
                if number > 0 {
                    text.push(b',');
                }
                text.extend_from_slice(value.trim_ascii());
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

fn names(vary: &[u8]) -> impl Iterator<Item = &[u8]> {
    vary.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
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
        // What stands in one field is not taken for another's.
        assert_ne!(variant("a, b", "A: x\r\nB: y\r\n"), variant("a, b", "A: y\r\nB: x\r\n"));
        assert_ne!(key(b"k", german), key(b"k", [0; 16]));
    }
}
