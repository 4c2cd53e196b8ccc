//! The head of a server's answer.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::http::body::{Body, Chunks};
use crate::http::field_names::Marks;

/// More fields than any server sends.
const FIELDS_MAX: usize = 256;

/// The head of an answer. Its parts are places in one piece of memory.
#[derive(Debug)]
pub struct Head {
    raw: Box<[u8]>,
    /// Between 100 and 999: those from 600 on are none of HTTP, but in use between programs (RFC 9110 15).
    pub status: u16,
    reason: Span,
    /// HTTP/1.1.
    modern: bool,
    /// Names and values.
    fields: Vec<(Span, Span)>,
    /// What the names of its fields are like.
    marks: Marks,
}

type Span = Range<u32>;

fn place(span: &Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its head.
    Known(Body),
    /// It ends with the connection.
    UntilClose,
}

impl Head {
    /// Takes the head apart that `input` begins with, and tells how long it is; `None` while it is not complete.
    ///
    /// # Errors
    /// nginx's message about what a server must not send.
    pub fn parse(input: &[u8]) -> Result<Option<(Head, usize)>, String> {
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parser = httparse::ParserConfig::default();
        let length = match parser.parse_response_with_uninit_headers(&mut response, input, &mut slots) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::Version | httparse::Error::Status) => {
                return Err("upstream sent no valid HTTP/1.0 header".into());
            }
            Err(httparse::Error::Token) if response.code.is_none() => {
                return Err("upstream sent no valid HTTP/1.0 header".into());
            }
            Err(httparse::Error::TooManyHeaders) => return Err("upstream sent too many header lines".into()),
            Err(_) => return Err(invalid_line(input)),
        };
        let raw: Box<[u8]> = input[..length].into();
        let span = |part: &[u8]| {
            let start = (part.as_ptr() as usize - input.as_ptr() as usize) as u32;
            start..start + part.len() as u32
        };
        let mut marks = Marks::default();
        let mut fields = Vec::with_capacity(response.headers.len());
        for field in response.headers.iter() {
            marks.add(field.name.as_bytes());
            fields.push((span(field.name.as_bytes()), span(field.value)));
        }
        // httparse gives an empty reason as a text of its own.
        let reason = response.reason.filter(|reason| !reason.is_empty()).map_or(0..0, |reason| span(reason.as_bytes()));
        let status = response.code.filter(|code| (100..1000).contains(code));
        let status = status.ok_or("upstream sent no valid HTTP/1.0 header")?;
        Ok(Some((Head { raw, status, reason, modern: response.version == Some(1), fields, marks }, length)))
    }

    /// All of it, as it came.
    pub(in crate::http) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The text behind the status.
    pub fn reason(&self) -> &[u8] {
        &self.raw[place(&self.reason)]
    }

    /// All fields in their order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (&self.raw[place(name)], &self.raw[place(value)]))
    }

    /// All values of a field.
    #[inline]
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let fields = if self.marks.have(name.as_bytes()) { &self.fields[..] } else { &[] };
        let same = move |field: &&(Span, Span)| self.raw[place(&field.0)].eq_ignore_ascii_case(name.as_bytes());
        fields.iter().filter(same).map(|(_, value)| &self.raw[place(value)])
    }

    /// The words of `Connection`.
    pub fn connection(&self) -> impl Iterator<Item = &[u8]> {
        self.all("connection").flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    }

    /// Whether the server is ready for another request behind this answer.
    pub fn keeps_alive(&self) -> bool {
        self.modern && !self.connection().any(|word| word.eq_ignore_ascii_case(b"close"))
    }

    /// The value of a field that may stand once only.
    fn once(&self, name: &'static str) -> Result<Option<&[u8]>, String> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (Some(first), Some(second)) => {
                let (first, second) = (String::from_utf8_lossy(first), String::from_utf8_lossy(second));
                Err(format!(
                    "upstream sent duplicate header line: \"{name}: {second}\", previous value: \"{name}: {first}\""
                ))
            }
            (first, _) => Ok(first),
        }
    }

    /// How the body is framed, `to_head` when HEAD was asked. Whatever could be read differently elsewhere is refused.
    ///
    /// # Errors
    /// nginx's message.
    pub fn framing(&self, to_head: bool) -> Result<Framing, String> {
        let length = self.once("Content-Length")?;
        let coding = self.once("Transfer-Encoding")?;
        let digits = |text: &[u8]| {
            let form = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            std::str::from_utf8(text).ok().filter(|_| form)?.parse().ok().filter(|length| *length <= i64::MAX as u64)
        };
        let invalid = |text: &[u8]| {
            format!("upstream sent invalid \"Content-Length\" header: \"{}\"", String::from_utf8_lossy(text))
        };
        let length = length.map(|text| digits(text).ok_or_else(|| invalid(text))).transpose()?;
        let framing = match (coding, length) {
            (Some(_), Some(_)) => {
                return Err(
                    "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time".into()
                );
            }
            (Some(coding), None) if self.modern && coding.eq_ignore_ascii_case(b"chunked") => {
                Framing::Known(Body::Chunked(Chunks::default()))
            }
            (Some(coding), None) => {
                let coding = String::from_utf8_lossy(coding);
                return Err(format!("upstream sent unknown \"Transfer-Encoding\": \"{coding}\""));
            }
            (None, Some(0)) => Framing::Known(Body::Complete),
            (None, Some(length)) => Framing::Known(Body::Length(length)),
            (None, None) => Framing::UntilClose,
        };
        if to_head || matches!(self.status, 100..200 | 204 | 304) {
            return Ok(Framing::Known(Body::Complete));
        }
        Ok(framing)
    }
}

/// nginx's message about the first line at fault: it up to the byte that has no place there.
fn invalid_line(input: &[u8]) -> String {
    let lines = input.split_inclusive(|byte| *byte == b'\n').skip(1);
    let found = lines.filter_map(|line| Some((line, fault_in(line)?))).next();
    let Some((line, at)) = found else { return "upstream sent invalid header".into() };
    let before = String::from_utf8_lossy(&line[..at]);
    format!("upstream sent invalid header: \"{before}\\x{:02x}...\"", line[at])
}

/// Where a header line, its end with it, has a byte that must not stand there.
fn fault_in(line: &[u8]) -> Option<usize> {
    let ends = [&b"\r\n"[..], b"\n"].into_iter().find(|end| line.ends_with(end)).map_or(0, <[u8]>::len);
    let content = &line[..line.len() - ends];
    let name = memchr::memchr(b':', content).unwrap_or(content.len());
    let in_name = content[..name].iter().position(|byte| matches!(byte, 0..=b' ' | 0x7f));
    let in_value = || content[name..].iter().position(|byte| matches!(byte, b'\0' | b'\r')).map(|at| name + at);
    // A line without a colon ends where that should be.
    let without = || (name == content.len() && !content.is_empty() && ends > 0).then_some(name);
    in_name.or_else(in_value).or_else(without)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Head, String> {
        Head::parse(text.as_bytes()).map(|found| found.expect("complete").0)
    }

    #[test]
    fn a_head_is_taken_apart() {
        let text = "HTTP/1.1 200 Very well\r\nA: b\r\na:c \r\nConnection: x, Close\r\n\r\nrest";
        let (head, length) = Head::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!((head.status, head.reason(), length), (200, &b"Very well"[..], text.len() - 4));
        assert_eq!(head.all("A").collect::<Vec<_>>(), [b"b", b"c"]);
        assert!(!head.keeps_alive());
        assert!(Head::parse(&text.as_bytes()[..40]).unwrap().is_none());
        assert!(parse("HTTP/1.1 200\r\n\r\n").unwrap().keeps_alive());
        assert!(!parse("HTTP/1.0 200 OK\r\n\r\n").unwrap().keeps_alive());
    }

    #[test]
    fn framings() {
        let framing =
            |fields: &str| parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).and_then(|head| head.framing(false));
        assert_eq!(framing(""), Ok(Framing::UntilClose));
        assert_eq!(framing("Content-Length: 3\r\n"), Ok(Framing::Known(Body::Length(3))));
        assert_eq!(framing("Transfer-Encoding: chunked\r\n"), Ok(Framing::Known(Body::Chunked(Chunks::default()))));
        for refused in [
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: +3\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "A : b\r\n",
            "A: b\r\n c\r\n",
            "A: b\rc\r\n",
            "A: b\0c\r\n",
        ] {
            assert!(framing(refused).is_err(), "{refused:?}");
        }
        assert_eq!(parse("HTTP/1.1 204 No\r\n\r\n").unwrap().framing(false), Ok(Framing::Known(Body::Complete)));
        assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\n").unwrap().framing(true), Ok(Framing::Known(Body::Complete)));
        assert!(parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().framing(false).is_err());
    }

    #[test]
    fn lines_at_fault_are_shown() {
        for (line, shown) in [
            ("X-A : 1", "X-A\\x20"),
            (" folded", "\\x20"),
            ("X-A: a\0b", "X-A: a\\x00"),
            ("X-A: a\rb", "X-A: a\\x0d"),
            ("No colon", "No\\x20"),
            ("NoColon", "NoColon\\x0d"),
        ] {
            let message = parse(&format!("HTTP/1.1 200 OK\r\nX: 1\r\n{line}\r\nY: 2\r\n\r\n")).unwrap_err();
            assert_eq!(message, format!("upstream sent invalid header: \"{shown}...\""));
        }
        let other = parse("HTTP/1.1 200 OK\r\nX(: 1\r\n\r\n").unwrap_err();
        assert_eq!(other, "upstream sent invalid header");
    }

    #[test]
    fn what_is_no_head() {
        for text in ["hello\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n"] {
            assert_eq!(parse(text).unwrap_err(), "upstream sent no valid HTTP/1.0 header", "{text:?}");
        }
    }
}
