//! Text with variables: compiled, and filled in with a value. The first line of the input is the value, the rest the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::conf::template::{self, Part};
use weir::log::format::{Escape, Format};

fuzz_target!(|data: &[u8]| {
    let at = memchr::memchr(b'\n', data).unwrap_or(0);
    let (value, text) = data.split_at(at);
    for escape in [Escape::Default, Escape::Json, Escape::None] {
        let escaped = filled(b"$value", escape, value).expect("a variable");
        check_value(escape, value, &escaped);
        let parts = template::parse(text);
        let known = parts.iter().flatten().all(|part| !matches!(part, Part::Variable(name) if !is_known(name)));
        let out = filled(text, escape, value);
        assert_eq!(out.is_some(), parts.is_ok() && known);
        let expected = parts.into_iter().flatten().flat_map(|part| match part {
            Part::Literal(bytes) => bytes,
            Part::Variable(name) if name != "none" => escaped.clone(),
            Part::Variable(_) if escape == Escape::Default => b"-".to_vec(),
            Part::Variable(_) => Vec::new(),
        });
        if let Some(out) = out {
            assert_eq!(out, expected.collect::<Vec<u8>>());
        }
    }
});

/// Names that begin with `x` are not known; `none` is, and has no value.
fn is_known(name: &str) -> bool {
    !name.starts_with('x')
}

fn filled(text: &[u8], escape: Escape, value: &[u8]) -> Option<Vec<u8>> {
    let format = Format::compile(text, escape, |name| is_known(name).then(|| name.to_owned())).ok()?;
    let mut out = Vec::new();
    format.fill(&mut out, |name, out| {
        let has_value = name != "none";
        out.extend_from_slice(if has_value { value } else { b"" });
        has_value
    });
    Some(out)
}

/// A value cannot end the string or the line it stands in, and can be read back.
fn check_value(escape: Escape, value: &[u8], escaped: &[u8]) {
    if escape == Escape::None {
        assert_eq!(escaped, value);
        return;
    }
    let mut rest = escaped;
    let mut read = Vec::new();
    while let Some((&byte, behind)) = rest.split_first() {
        assert!(byte >= 32 && byte != b'"' && (byte < 127 || escape == Escape::Json), "{byte} in {escaped:?}");
        let (byte, behind) = if byte == b'\\' { unescape(behind) } else { (byte, behind) };
        read.push(byte);
        rest = behind;
    }
    assert_eq!(read, value);
}

/// The byte that stands behind a backslash, and what follows it.
fn unescape(text: &[u8]) -> (u8, &[u8]) {
    let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    match text {
        [b'x', a, b, rest @ ..] => (hex(&[*a, *b]), rest),
        [b'u', b'0', b'0', a, b, rest @ ..] => (hex(&[*a, *b]), rest),
        [letter, rest @ ..] => match letter {
            b'n' => (b'\n', rest),
            b'r' => (b'\r', rest),
            b't' => (b'\t', rest),
            b'b' => (8, rest),
            b'f' => (12, rest),
            same => (*same, rest),
        },
        [] => panic!("a lone backslash"),
    }
}
