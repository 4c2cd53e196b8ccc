//! The head of a request: its end is found in what has arrived, however small the pieces; then it is taken apart.

use std::ops::Range;

use super::field_names::{FieldNames, Marks};
pub use super::request_line::Version;
use super::request_line::{RequestLine, is_method_byte};
use super::variables::is_field;

/// Why a request is answered with an error before any handler sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// For the error log, in nginx's words where it has some.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Refusal { status, message: message.into() }
    }
}

/// As many header fields as a request may have, nginx's figure.
const FIELDS_MAX: usize = 1000;
/// As many as there are as a rule: room for the most would take longer to prepare than to fill.
const FIELDS_USUAL: usize = 32;

/// How much of a line the error log shows, nginx's figure.
const SHOWN_MAX: usize = 1748;

/// How large a head may be: `client_header_buffer_size` and `large_client_header_buffers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The first buffer, bytes.
    pub first: usize,
    /// How many large ones may follow.
    pub number: usize,
    /// The size of each; one line must fit into one buffer.
    pub size: usize,
}

/// How far a head that is still arriving has been looked through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Where the line begins that is not complete yet.
    line: usize,
    /// No line end stands before this.
    seen: usize,
}

impl Scan {
    /// Nothing has been looked through yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.seen == 0
    }

    /// Looks through what is new in `input`, which begins with the request line. Gives the length of the head once it is complete.
    ///
    /// # Errors
    /// What can be told from the part that is there: a faulty request line, a line or a head that is too long.
    pub fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        while let Some(end) = memchr::memchr(b'\n', &input[self.seen..]).map(|at| self.seen + at) {
            let line = &input[self.line..end];
            let first = self.line == 0;
            self.check(line, end, limits)?;
            self.seen = end + 1;
            self.line = end + 1;
            if first {
                RequestLine::parse(cut_cr(line))?;
            } else if cut_cr(line).is_empty() {
                return Ok(Some(end + 1));
            }
        }
        self.seen = input.len();
        self.check(&input[self.line..], input.len(), limits)?;
        // What is no HTTP at all (a TLS hello, say) need not be waited for.
        let method = input.iter().take_while(|byte| **byte != b' ');
        if self.line == 0 && (input.starts_with(b" ") || !method.copied().all(is_method_byte)) {
            return Err(Refusal::new(400, "client sent invalid method"));
        }
        Ok(None)
    }

    /// Holds a line, and all before it, against the limits.
    fn check(&self, line: &[u8], total: usize, limits: &Limits) -> Result<(), Refusal> {
        if line.len() <= limits.first.max(limits.size) && total <= limits.first.max(limits.number * limits.size) {
            return Ok(());
        }
        if self.line == 0 {
            return Err(Refusal::new(414, "client sent too long URI"));
        }
        let shown = String::from_utf8_lossy(&line[..line.len().min(limits.size).min(SHOWN_MAX)]);
        Err(Refusal::new(494, format!("client sent too long header line: \"{shown}...\"")))
    }
}

fn cut_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The bytes nginx takes in the name of a field.
const NAME_BYTES: [bool; 256] = {
    let mut taken = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        taken[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'-';
        byte += 1;
    }
    taken
};

/// How many bytes of whole lines are sound header lines, and the one behind them up to the byte at fault, in nginx's form.
fn sound_lines(lines: &[u8]) -> (usize, String) {
    let (mut sound, mut count) = (0, 0);
    while let Some(end) = memchr::memchr(b'\n', &lines[sound..]).map(|at| sound + at + 1) {
        let line = &lines[sound..end];
        let one = [line, b"\r\n"].concat();
        let parsed =
            httparse::parse_headers(&one, &mut [httparse::EMPTY_HEADER; 1]).is_ok_and(|parsed| parsed.is_complete());
        if cut_cr(&line[..line.len() - 1]).is_empty() || !parsed {
            return (sound, up_to_fault(line));
        }
        count += 1;
        if count > FIELDS_MAX {
            break;
        }
        sound = end;
    }
    (sound, up_to_fault(&lines[sound..]))
}

fn up_to_fault(line: &[u8]) -> String {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let name = line.iter().take_while(|byte| token(byte)).count();
    let value = |byte: &u8| *byte >= b' ' && *byte != 0x7f || *byte == b'\t';
    let at = match line.get(name) {
        Some(b':') if name > 0 => name + line[name..].iter().take_while(|byte| value(byte)).count(),
        _ => name,
    };
    let fault = line.get(at).map(|byte| format!("\\x{byte:02x}")).unwrap_or_default();
    format!("{}{fault}...", String::from_utf8_lossy(&line[..at]))
}

/// Fields that may stand once only.
const UNIQUE: FieldNames<&[&str]> = FieldNames::fixed(&[
    "host",
    "if-modified-since",
    "if-unmodified-since",
    "if-match",
    "if-none-match",
    "if-range",
    "content-range",
    "expect",
    "authorization",
    "content-length",
]);

/// Whether nginx takes the name of a field for valid: letters, digits and `-`, with `underscores` also `_`.
fn is_plain(name: &[u8], underscores: bool) -> bool {
    name.iter().all(|byte| NAME_BYTES[usize::from(*byte)] || (underscores && *byte == b'_'))
}

type Span = Range<u32>;

/// The head of a request. Its parts are places in one piece of memory.
#[derive(Clone, Debug)]
pub struct Head {
    raw: Box<[u8]>,
    line: Span,
    method: Span,
    target: Span,
    version: Version,
    fields: Vec<(Span, Span)>,
    /// How much of it has been taken apart, bytes.
    length: usize,
    /// What the names of its fields are like.
    marks: Marks,
    /// Some name has more than letters, digits and `-`.
    odd_names: bool,
}

impl Head {
    /// Takes a complete head apart.
    ///
    /// # Errors
    /// What RFC 9112 wants refused.
    pub fn parse(raw: &[u8]) -> Result<Self, Refusal> {
        let invalid = || {
            let lines = memchr::memchr(b'\n', raw).map_or(&[][..], |end| &raw[end + 1..]);
            let (_, fault) = sound_lines(lines);
            Refusal::new(400, format!("client sent invalid header line: \"{fault}\""))
        };
        Head::take(raw)?.ok_or_else(invalid)
    }

    /// The head that stands whole at the beginning of `input`, as most do when they are read first; `None` where it is for [`Scan`] to say what
    /// is wrong, or still to come.
    pub(super) fn whole(input: &[u8], limits: &Limits) -> Option<Self> {
        let small = limits.first.max(limits.size.min(limits.number * limits.size));
        if input.len() <= small { Head::take(input).ok()? } else { None }
    }

    /// Takes the head apart that `input` begins with; `None` where its fields do not come to their end, or are none.
    ///
    /// # Errors
    /// A faulty request line, and too many fields.
    fn take(input: &[u8]) -> Result<Option<Self>, Refusal> {
        let end = memchr::memchr(b'\n', input).unwrap_or(input.len());
        let text = cut_cr(&input[..end]);
        let request = RequestLine::parse(text)?;
        let mut few = [httparse::EMPTY_HEADER; FIELDS_USUAL];
        let mut many = Vec::new();
        let lines = input.get(end + 1..).unwrap_or_default();
        let parsed = match httparse::parse_headers(lines, &mut few) {
            Err(httparse::Error::TooManyHeaders) => {
                many.resize(FIELDS_MAX, httparse::EMPTY_HEADER);
                httparse::parse_headers(lines, &mut many)
            }
            parsed => parsed,
        };
        let (length, found) = match parsed {
            Ok(httparse::Status::Complete((length, fields))) => (end + 1 + length, fields),
            Err(httparse::Error::TooManyHeaders) => return Err(Refusal::new(494, "client sent too many header lines")),
            Ok(httparse::Status::Partial) | Err(_) => return Ok(None),
        };
        let span = |part: &[u8]| {
            let start = (part.as_ptr() as usize - input.as_ptr() as usize) as u32;
            start..start + part.len() as u32
        };
        let mut marks = Marks::default();
        let mut odd_names = false;
        let mut fields = Vec::with_capacity(found.len());
        for field in found {
            let name = field.name.as_bytes();
            marks.add(name);
            odd_names |= !is_plain(name, false);
            fields.push((span(name), span(field.value)));
        }
        let (line, method, target) = (span(text), span(request.method), span(request.target));
        let raw = input[..length].into();
        Ok(Some(Head { line, method, target, version: request.version, fields, marks, odd_names, length, raw }))
    }

    /// What is known of a head that is at fault, or not complete, behind what `scan` has passed, for the logs: the request line, and the
    /// fields before the fault.
    pub(super) fn partial(input: &[u8], scan: &Scan, limits: &Limits) -> Self {
        let passed = &input[..scan.line.min(input.len())];
        let parsed = memchr::memchr(b'\n', passed).and_then(|end| {
            let sound = end + 1 + sound_lines(&passed[end + 1..]).0;
            let head = Head::parse(&[&passed[..sound], b"\r\n"].concat()).ok()?;
            Some(Head { length: sound, ..head })
        });
        parsed.unwrap_or_else(|| {
            let end = memchr::memchr(b'\n', input).unwrap_or(input.len());
            let line = cut_cr(&input[..end]);
            let raw: Box<[u8]> = line[..line.len().min(limits.first.max(limits.size))].into();
            Head {
                line: 0..raw.len() as u32,
                method: 0..0,
                target: 0..0,
                version: Version::Http10,
                fields: Vec::new(),
                marks: Marks::default(),
                odd_names: false,
                length: 0,
                raw,
            }
        })
    }

    /// Nothing but the request line counts any more, in which there is a fault.
    pub(super) fn forget_fields(&mut self) {
        self.fields.clear();
        self.length = memchr::memchr(b'\n', &self.raw).map_or(0, |end| end + 1);
    }

    /// Leaves out fields whose names nginx holds for invalid, and gives them back as they stood.
    pub(super) fn drop_odd_names(&mut self, underscores: bool) -> Vec<Vec<u8>> {
        let mut dropped = Vec::new();
        if self.odd_names {
            let raw = &self.raw;
            self.fields.retain(|(name, value)| {
                let plain = is_plain(&raw[name.start as usize..name.end as usize], underscores);
                if !plain {
                    dropped.push(raw[name.start as usize..value.end as usize].to_vec());
                }
                plain
            });
        }
        dropped
    }

    fn part(&self, span: &Span) -> &[u8] {
        &self.raw[span.start as usize..span.end as usize]
    }

    /// The request line.
    pub fn line(&self) -> &[u8] {
        self.part(&self.line)
    }

    /// The method, in capitals as nginx wants it.
    pub fn method(&self) -> &[u8] {
        self.part(&self.method)
    }

    /// The target as the client wrote it.
    pub fn target(&self) -> &[u8] {
        self.part(&self.target)
    }

    /// The version as the client wrote it: the last word of the line; `None` when the line cannot be taken apart.
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        let word = self.line().rsplit(|byte| *byte == b' ').next();
        word.filter(|_| !self.method().is_empty())
    }

    /// The version, as far as its rules differ.
    pub fn version(&self) -> Version {
        self.version
    }

    /// All values of a field, in their order; names are compared without regard to case.
    #[inline]
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let same = move |field: &&(Span, Span)| self.part(&field.0).eq_ignore_ascii_case(name.as_bytes());
        let fields = if self.marks.have(name.as_bytes()) { &self.fields[..] } else { &[] };
        fields.iter().filter(same).map(|(_, value)| self.part(value))
    }

    /// The first value of a field.
    #[inline]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        if self.marks.have(name.as_bytes()) { self.find(name) } else { None }
    }

    fn find(&self, name: &str) -> Option<&[u8]> {
        let same = |field: &&(Span, Span)| self.part(&field.0).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().find(same).map(|(_, value)| self.part(value))
    }

    /// All values of the fields that `$http_NAME` tells of: those with `_` for `-` too. The name is in lower case.
    pub(super) fn all_like<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let may_have = self.odd_names || self.marks.have(name.as_bytes());
        let fields = if may_have { &self.fields[..] } else { &[] };
        fields.iter().filter(move |(field, _)| is_field(self.part(field), name)).map(|(_, value)| self.part(value))
    }

    /// All fields in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (self.part(name), self.part(value)))
    }

    /// The value of a field that may stand once only.
    ///
    /// # Errors
    /// It stands more than once.
    pub fn unique(&self, name: &str) -> Result<Option<&[u8]>, Refusal> {
        let first = self.field(name);
        if self.all(name).nth(1).is_none() {
            return Ok(first);
        }
        let lines = self.fields().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        let line = |(name, value): (&[u8], &[u8])| format!("\"{}: {}\"", name.escape_ascii(), value.escape_ascii());
        let mut lines = lines.map(line);
        let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let what = if name == "host" { "host header" } else { "header line" };
        Err(Refusal::new(400, format!("client sent duplicate {what}: {second}, previous value: {first}")))
    }

    /// Refuses a head in which a field stands twice whose values are no list, nginx's list of them.
    ///
    /// # Errors
    /// Which one it is.
    pub(super) fn check_unique(&self) -> Result<(), Refusal> {
        for (number, (name, _)) in self.fields().enumerate() {
            if UNIQUE.contain(name)
                && let Some(known) = UNIQUE.find(name)
                && self.fields().take(number).any(|(before, _)| before.eq_ignore_ascii_case(name))
            {
                self.unique(known)?;
            }
        }
        Ok(())
    }

    /// Bytes it took on the wire.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { first: 1024, number: 4, size: 8192 };

    fn read(text: &str) -> Result<Head, u16> {
        let length = Scan::default().advance(text.as_bytes(), &LIMITS).map_err(|refusal| refusal.status)?;
        Head::parse(&text.as_bytes()[..length.expect("complete")]).map_err(|refusal| refusal.status)
    }

    #[test]
    fn a_head_is_taken_apart() {
        let mut head = read("GET /a?b HTTP/1.1\r\nHost: x\r\nX-Two:  1 \r\nx-two:2\r\nX_Under: 3\r\n\r\nrest").unwrap();
        assert_eq!(head.line(), b"GET /a?b HTTP/1.1");
        assert_eq!((head.method(), head.target(), head.version()), (&b"GET"[..], &b"/a?b"[..], Version::Http11));
        assert_eq!(head.field("HOST"), Some(&b"x"[..]));
        assert_eq!(head.all("x-two").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(head.unique("x-two").unwrap_err().status, 400);
        assert!(head.drop_odd_names(true).is_empty());
        assert_eq!(head.field("x_under"), Some(&b"3"[..]));
        assert_eq!(head.drop_odd_names(false), [b"X_Under: 3"]);
        assert_eq!(head.field("x_under"), None);
        assert_eq!(read("GET / HTTP/1.0\n\n").unwrap().version(), Version::Http10);
        assert_eq!(read("GET / HTTP/1.9\r\n\r\n").unwrap().version(), Version::Http11);
    }

    #[test]
    fn faulty_heads_are_refused() {
        for (text, status) in [
            ("get / HTTP/1.1\r\n\r\n", 400),
            (" GET / HTTP/1.1\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\n\r\n", 400),
            ("GET / x HTTP/1.1\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET / HTTP/1\r\n\r\n", 400),
            ("GET / HTTP/0.9\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("GET / HTTP/3\r\n\r\n", 505),
            ("GET / FTP/1.1\r\n\r\n", 400),
            ("OPTIONS * HTTP/1.1\r\n\r\n", 400),
            ("PRI * HTTP/2.0\r\n\r\n", 400),
            ("GET / HTTP/01.1\r\n\r\n", 400),
            ("GET http://user@a/ HTTP/1.1\r\n\r\n", 400),
            ("GET /\x01 HTTP/1.1\r\n\r\n", 400),
            ("\x16\x03\x01", 400),
            ("GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n A: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\x07\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA\x0b: b\r\n\r\n", 400),
        ] {
            assert_eq!(read(text).err(), Some(status), "{text:?}");
        }
    }

    #[test]
    fn limits_are_those_of_the_buffers() {
        let long = "a".repeat(8192);
        assert_eq!(read(&format!("GET /{long} HTTP/1.1\r\n\r\n")).err(), Some(414));
        assert_eq!(read(&format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n")).err(), Some(494));
        let field = format!("A: {}\r\n", "a".repeat(8000));
        assert!(read(&format!("GET / HTTP/1.1\r\n{}\r\n", field.repeat(4))).is_ok());
        assert_eq!(read(&format!("GET / HTTP/1.1\r\n{}\r\n", field.repeat(5))).err(), Some(494));
        assert!(read(&format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(300))).is_ok());
        let endless = vec![b'A'; 9000];
        assert_eq!(Scan::default().advance(&endless, &LIMITS).unwrap_err().status, 414);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_mean_the_same(
            start in prop::sample::select(vec!["GET / HTTP/1.1\r\n", "", "POST /x?y HTTP/1.0\n"]),
            bytes in prop::collection::vec(prop_oneof![prop::sample::select(b" \r\n:aA/\t".to_vec()), any::<u8>()], 0..200),
            cut in 0..200_usize,
        ) {
            let input = [start.as_bytes(), &bytes[..], b"\r\n\r\n"].concat();
            let whole = Scan::default().advance(&input, &LIMITS);
            let mut pieces = Scan::default();
            let cut = cut.min(input.len());
            let first = pieces.advance(&input[..cut], &LIMITS);
            let second = match first {
                Ok(None) => pieces.advance(&input, &LIMITS),
                found => found,
            };
            prop_assert_eq!(&second, &whole);
            // A head that is read at once is the one that is read line by line.
            let parsed = whole.ok().flatten().and_then(|length| Head::parse(&input[..length]).ok());
            let at_once = Head::whole(&input, &LIMITS);
            prop_assert_eq!(format!("{:?}", at_once), format!("{:?}", parsed));
            let _ = Head::partial(&input, &pieces, &LIMITS);
        }
    }
}
