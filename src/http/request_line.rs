//! The first line of a request: its method, its target and its version.

use super::head::Refusal;
use super::uri::Target;

/// The versions whose rules differ; minor versions above 1 follow 1.1 (RFC 9110 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Version {
    /// 1.0
    Http10,
    /// 1.1 and above.
    Http11,
}

/// The parts of a request line.
#[derive(Debug)]
pub(super) struct RequestLine<'a> {
    pub method: &'a [u8],
    pub target: &'a [u8],
    pub version: Version,
}

impl<'a> RequestLine<'a> {
    /// `method SP target SP HTTP/x.y` (RFC 9112 3), with single blanks only: what reads differently elsewhere is refused.
    ///
    /// # Errors
    /// nginx's status and message.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, Refusal> {
        let invalid = || Refusal::new(400, "client sent invalid request");
        let word = |text: &'a [u8]| memchr::memchr(b' ', text).map(|end| (&text[..end], &text[end + 1..]));
        let (method, rest) = word(line).unwrap_or_default();
        if method.is_empty() || !method.iter().all(|byte| is_method_byte(*byte) && *byte != b'\r') {
            return Err(Refusal::new(400, "client sent invalid method"));
        }
        let (target, version) = word(rest).unwrap_or((rest, &[]));
        if target.is_empty() {
            return Err(invalid());
        }
        if target[0] != b'/' {
            Target::parse(target)?;
        }
        let faulty = |byte: &u8| *byte < 0x20 || *byte == 0x7f;
        if version.contains(&b' ') || target.iter().fold(false, |found, byte| found | faulty(byte)) {
            return Err(invalid());
        }
        Ok(RequestLine { method, target, version: Version::parse(version)? })
    }
}

impl Version {
    /// Reads `HTTP/x.y`.
    fn parse(text: &[u8]) -> Result<Self, Refusal> {
        match text {
            b"HTTP/1.1" => return Ok(Version::Http11),
            b"HTTP/1.0" => return Ok(Version::Http10),
            _ => {}
        }
        let number = text.strip_prefix(b"HTTP/").and_then(|number| std::str::from_utf8(number).ok());
        let parts = number.map_or(("", ""), |number| number.split_once('.').unwrap_or((number, "")));
        let digits = |text: &str| {
            let padded = text.len() > 1 && text.starts_with('0');
            let form = (1..=3).contains(&text.len()) && !padded && text.bytes().all(|byte| byte.is_ascii_digit());
            form.then(|| text.parse::<u16>().ok()).flatten()
        };
        let (major, minor) = (digits(parts.0), digits(parts.1));
        match (major, minor) {
            (Some(1), Some(0)) => Ok(Version::Http10),
            (Some(1), Some(_)) => Ok(Version::Http11),
            (Some(2..), _) => Err(Refusal::new(505, "client sent invalid version")),
            _ => Err(Refusal::new(400, "client sent invalid request")),
        }
    }
}

/// The bytes nginx takes in a method.
pub(super) fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'_' || byte == b'-' || byte == b'\r'
}
