//! Text with variables, compiled once and filled in for each line or answer: `log_format`, `return` and their like.

use crate::conf::template::{self, Part};

/// Which bytes of a value are written otherwise; nginx's `escape=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// `"`, `\` and bytes below 32 or above 126 as `\xXX`; a variable without value as `-`.
    Default,
    /// As in a JSON string; a variable without value as nothing.
    Json,
    /// Values as they are.
    #[default]
    None,
}

/// A piece of a [`Format`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece<V> {
    Text(Vec<u8>),
    Value(V),
}

/// Text with variables of the kind `V`, which the block that uses it defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format<V> {
    pieces: Vec<Piece<V>>,
    escape: Escape,
}

impl<V> Format<V> {
    /// Compiles `text`; `variable` knows the names.
    ///
    /// # Errors
    /// nginx's message: a malformed or unknown variable.
    pub fn compile(text: &[u8], escape: Escape, variable: impl FnMut(&str) -> Option<V>) -> Result<Self, String> {
        let mut format = Format { pieces: Vec::new(), escape };
        format.append(text, variable)?;
        Ok(format)
    }

    /// Text without variables, as it is.
    pub fn plain(text: &[u8]) -> Self {
        Format { pieces: vec![Piece::Text(text.to_vec())], escape: Escape::None }
    }

    /// Compiles `text` behind what is there; no variable's name reaches over the seam.
    ///
    /// # Errors
    /// As of [`Format::compile`].
    pub(super) fn append(&mut self, text: &[u8], mut variable: impl FnMut(&str) -> Option<V>) -> Result<(), String> {
        for part in template::parse(text)? {
            self.pieces.push(match part {
                Part::Literal(bytes) => Piece::Text(bytes),
                Part::Variable(name) => {
                    Piece::Value(variable(&name).ok_or_else(|| format!("unknown \"{name}\" variable"))?)
                }
            });
        }
        Ok(())
    }

    /// Appends the filled-in text to `out`. `write` appends the value of a variable and tells whether it has one: an
    /// empty value is not the same as none.
    pub fn fill(&self, out: &mut Vec<u8>, mut write: impl FnMut(&V, &mut Vec<u8>) -> bool) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(bytes) => out.extend_from_slice(bytes),
                Piece::Value(variable) => {
                    let start = out.len();
                    if write(variable, out) {
                        self.escape.apply(out, start);
                    } else if self.escape == Escape::Default {
                        out.push(b'-');
                    }
                }
            }
        }
    }
}

impl Escape {
    /// Escapes what stands in `out` from `start` on.
    fn apply(self, out: &mut Vec<u8>, start: usize) {
        fn in_default(byte: u8) -> bool {
            (32..127).contains(&byte) & (byte != b'"') & (byte != b'\\')
        }
        fn in_json(byte: u8) -> bool {
            (byte >= 32) & (byte != b'"') & (byte != b'\\')
        }
        let value = &out[start..];
        // All bytes are looked at, as that is done many at a time.
        let (plain, all): (fn(u8) -> bool, bool) = match self {
            Escape::None => return,
            Escape::Default => (in_default, value.iter().fold(true, |all, byte| all & in_default(*byte))),
            Escape::Json => (in_json, value.iter().fold(true, |all, byte| all & in_json(*byte))),
        };
        if all {
            return;
        }
        let value = out.split_off(start);
        for byte in value {
            if plain(byte) {
                out.push(byte);
                continue;
            }
            match (self, byte) {
                (Escape::Json, b'"' | b'\\') => out.extend([b'\\', byte]),
                (Escape::Json, b'\n') => out.extend(b"\\n"),
                (Escape::Json, b'\r') => out.extend(b"\\r"),
                (Escape::Json, b'\t') => out.extend(b"\\t"),
                (Escape::Json, 8) => out.extend(b"\\b"),
                (Escape::Json, 12) => out.extend(b"\\f"),
                (Escape::Json, _) => out.extend(format!("\\u{byte:04X}").bytes()),
                _ => out.extend(format!("\\x{byte:02X}").bytes()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(escape: Escape, value: Option<&[u8]>) -> Vec<u8> {
        let format = Format::compile(b"<$x>", escape, |name| (name == "x").then_some(())).unwrap();
        let mut out = b"begin".to_vec();
        format.fill(&mut out, |(), out| {
            out.extend_from_slice(value.unwrap_or_default());
            value.is_some()
        });
        out
    }

    #[test]
    fn values_are_escaped_and_text_is_not() {
        let some = |escape, value: &[u8]| filled(escape, Some(value));
        assert_eq!(some(Escape::None, b"a\"\n"), b"begin<a\"\n>");
        assert_eq!(some(Escape::Default, b"a\"\\\n\x7f\xff"), b"begin<a\\x22\\x5C\\x0A\\x7F\\xFF>");
        assert_eq!(some(Escape::Json, b"a\"\\\n\x01\xff"), b"begin<a\\\"\\\\\\n\\u0001\xff>");
    }

    #[test]
    fn every_byte_is_escaped_or_stands_as_it_is() {
        for byte in 0..=u8::MAX {
            let special = matches!(byte, b'"' | b'\\');
            let default = if special || !(b' '..=b'~').contains(&byte) {
                format!("\\x{byte:02X}").into_bytes()
            } else {
                vec![byte]
            };
            let json = match byte {
                _ if special => vec![b'\\', byte],
                8..=10 | 12..=13 => vec![b'\\', b"btn_fr"[usize::from(byte) - 8]],
                0..32 => format!("\\u{byte:04X}").into_bytes(),
                _ => vec![byte],
            };
            for (escape, escaped) in [(Escape::Default, default), (Escape::Json, json), (Escape::None, vec![byte])] {
                let expected = [&b"begin<12345678"[..], &escaped, b"9>"].concat();
                assert_eq!(filled(escape, Some(&[b"12345678", &[byte][..], b"9"].concat())), expected, "{byte}");
            }
        }
    }

    #[test]
    fn no_value_is_not_an_empty_one() {
        assert_eq!(filled(Escape::Default, Some(b"")), b"begin<>");
        assert_eq!(filled(Escape::Default, None), b"begin<->");
        for escape in [Escape::Json, Escape::None] {
            assert_eq!(filled(escape, None), b"begin<>");
        }
    }

    #[test]
    fn names_end_with_the_text_they_stand_in() {
        let known = |name: &str| (name == "a").then_some(());
        let mut format = Format::compile(b"$a", Escape::None, known).unwrap();
        format.append(b"b$a", known).unwrap();
        let mut out = Vec::new();
        format.fill(&mut out, |(), out| {
            out.push(b'1');
            true
        });
        assert_eq!(out, b"1b1");
    }

    #[test]
    fn unknown_variables_are_refused() {
        let compiled = Format::<()>::compile(b"$nothing", Escape::None, |_| None);
        assert_eq!(compiled.unwrap_err(), "unknown \"nothing\" variable");
    }
}
