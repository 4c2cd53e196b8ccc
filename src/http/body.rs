//! The body of a request: how it is framed, and where it ends.

use std::ops::Range;

use super::head::{Head, Refusal, Version};

/// The longest chunk-size line, and the longest trailer section, in bytes: far above what clients send.
const LINE_MAX: usize = 1024;
const TRAILER_MAX: usize = 8192;
/// What a line of the trailer has besides the rest of its bytes: the first one and its end.
const LINE_ENDS: usize = 3;

/// What of a body is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Complete,
    /// So many bytes.
    Length(u64),
    /// Chunks (RFC 9112 7.1).
    Chunked(Chunks),
}

/// A piece of a body within the input.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Where in them the content stands.
    pub content: Range<usize>,
    /// Where in them lines of the trailer stand.
    pub trailer: Range<usize>,
}

impl Body {
    /// How the body of this request is framed. Whatever another server could read differently is refused.
    ///
    /// # Errors
    /// RFC 9112 6.3: both kinds of framing, several or malformed lengths, an unknown coding (501), chunks in HTTP/1.0.
    pub fn framing(head: &Head) -> Result<Body, Refusal> {
        let length = head.unique("content-length")?;
        let coding = head.unique("transfer-encoding")?;
        let length = length.map(parse_length).transpose()?;
        match (coding, length) {
            (None, None | Some(0)) => Ok(Body::Complete),
            (None, Some(length)) => Ok(Body::Length(length)),
            (Some(_), _) if head.version() == Version::Http10 => {
                Err(Refusal::new(400, "client sent HTTP/1.0 request with \"Transfer-Encoding\" header"))
            }
            (Some(_), Some(_)) => Err(Refusal::new(
                400,
                "client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time",
            )),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Body::Chunked(Chunks::default())),
            (Some(coding), None) => {
                let coding = String::from_utf8_lossy(coding);
                Err(Refusal::new(501, format!("client sent unknown \"Transfer-Encoding\": \"{coding}\"")))
            }
        }
    }

    /// Whether all of it has been taken.
    pub fn is_complete(&self) -> bool {
        *self == Body::Complete
    }

    /// The next piece of the body in `input`; call again with the rest until it is complete or nothing is left.
    ///
    /// # Errors
    /// Chunks that are none.
    pub fn take(&mut self, input: &[u8]) -> Result<Piece, Refusal> {
        let piece = match self {
            Body::Complete => Piece { consumed: 0, content: 0..0, trailer: 0..0 },
            Body::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= count as u64;
                if *left == 0 {
                    *self = Body::Complete;
                }
                Piece { consumed: count, content: 0..count, trailer: 0..0 }
            }
            Body::Chunked(chunks) => {
                let piece = chunks.take(input).ok_or_else(|| Refusal::new(400, "client sent invalid chunked body"))?;
                if chunks.state == State::Done {
                    *self = Body::Complete;
                }
                piece
            }
        };
        Ok(piece)
    }
}

fn parse_length(text: &[u8]) -> Result<u64, Refusal> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let length = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse::<u64>().ok());
    length
        .filter(|length| *length <= i64::MAX as u64)
        .ok_or_else(|| Refusal::new(400, "client sent invalid \"Content-Length\" header"))
}

/// A chunked body that is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    state: State,
    /// The size read so far, then what is left of the chunk.
    left: u64,
    /// The sizes of all chunks so far, that of the last one among them.
    pub announced: u64,
    /// The size of the last chunk that is not the empty one at the end.
    pub last: u64,
    /// Bytes of the line or of the trailer so far.
    line: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeEnd,
    Content,
    ContentCr,
    ContentLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

impl Chunks {
    /// Up to the end of a piece of content, of the body, or of the input.
    fn take(&mut self, input: &[u8]) -> Option<Piece> {
        let mut trailer = matches!(self.state, State::Trailer | State::TrailerLf).then_some(0);
        for (at, &byte) in input.iter().enumerate() {
            match (self.state, byte) {
                (State::Size, byte) if byte.is_ascii_hexdigit() => {
                    // 15 digits are more than any length that fits a file.
                    if self.line == 15 {
                        return None;
                    }
                    let digit = char::from(byte).to_digit(16).unwrap_or_default();
                    self.left = self.left << 4 | u64::from(digit);
                    self.line += 1;
                }
                (State::Size, _) if self.line == 0 => return None,
                (State::Size, b';' | b' ' | b'\t') => self.state = State::Extension,
                (State::Size | State::Extension, b'\r') => self.state = State::SizeEnd,
                (State::Extension, b'\t' | b' '..=b'~' | 0x80..) if self.line < LINE_MAX => self.line += 1,
                (State::SizeEnd, b'\n') => {
                    self.line = 0;
                    if self.left > 0 {
                        self.announced = self.announced.saturating_add(self.left);
                        self.last = self.left;
                    }
                    self.state = if self.left > 0 { State::Content } else { State::TrailerStart };
                }
                (State::Content, _) => {
                    let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                    self.left -= count as u64;
                    if self.left == 0 {
                        self.state = State::ContentCr;
                    }
                    return Some(Piece { consumed: at + count, content: at..at + count, trailer: 0..0 });
                }
                (State::ContentCr, b'\r') => self.state = State::ContentLf,
                (State::ContentLf, b'\n') => self.state = State::Size,
                (State::TrailerStart, b'\r') => self.state = State::EndLf,
                (State::TrailerStart, byte) if is_name(byte) && self.line < TRAILER_MAX => {
                    trailer.get_or_insert(at);
                    self.line += LINE_ENDS;
                    self.state = State::Trailer;
                }
                (State::Trailer, b'\r') => self.state = State::TrailerLf,
                (State::Trailer, b'\t' | b' '..=b'~' | 0x80..) if self.line < TRAILER_MAX => self.line += 1,
                (State::TrailerLf, b'\n') => self.state = State::TrailerStart,
                (State::EndLf, b'\n') => {
                    self.state = State::Done;
                    let trailer = trailer.map_or(0..0, |start| start..at - 1);
                    return Some(Piece { consumed: at + 1, content: 0..0, trailer });
                }
                _ => return None,
            }
        }
        let end = if self.state == State::EndLf { input.len().saturating_sub(1) } else { input.len() };
        Some(Piece { consumed: input.len(), content: 0..0, trailer: trailer.map_or(0..0, |start| start..end) })
    }
}

/// A byte of a field's name (RFC 9110 5.6.2).
pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framing(fields: &str) -> Result<Body, u16> {
        let head = Head::parse(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap();
        Body::framing(&head).map_err(|refusal| refusal.status)
    }

    #[test]
    fn framings() {
        assert_eq!(framing(""), Ok(Body::Complete));
        assert_eq!(framing("Content-Length: 0\r\n"), Ok(Body::Complete));
        assert_eq!(framing("Content-Length: 12\r\n"), Ok(Body::Length(12)));
        assert!(matches!(framing("Transfer-Encoding: Chunked\r\n"), Ok(Body::Chunked(_))));
        for (fields, status) in [
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
            ("Content-Length: 1, 1\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: -1\r\n", 400),
            ("Content-Length: 0x1\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 99999999999999999999\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: identity\r\n", 501),
        ] {
            assert_eq!(framing(fields), Err(status), "{fields}");
        }
    }

    /// The content and what is left, reading `step` bytes at a time; `None` for a fault.
    fn chunked(text: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
        let mut body = Body::Chunked(Chunks::default());
        let (mut content, mut at) = (Vec::new(), 0);
        while at < text.len() && !body.is_complete() {
            let input = &text[at..(at + step).min(text.len())];
            let piece = body.take(input).ok()?;
            content.extend_from_slice(&input[piece.content]);
            at += piece.consumed;
        }
        body.is_complete().then_some((content, text.len() - at))
    }

    #[test]
    fn trailers() {
        let text = b"3\r\nabc\r\n0\r\nX: y\r\nZ: 1\r\n\r\nGET";
        for step in 1..text.len() {
            let (mut body, mut trailer, mut at) = (Body::Chunked(Chunks::default()), Vec::new(), 0);
            while !body.is_complete() {
                let input = &text[at..(at + step).min(text.len())];
                let piece = body.take(input).unwrap();
                trailer.extend_from_slice(&input[piece.trailer]);
                at += piece.consumed;
            }
            assert_eq!(String::from_utf8(trailer).unwrap(), "X: y\r\nZ: 1\r\n", "{step}");
        }
    }

    #[test]
    fn chunks() {
        let text = b"4\r\nwiki\r\n5;a=\"b\"\r\npedia\r\nE\r\n in\r\n\r\nchunks.\r\n0\r\nX: y\r\n\r\nGET";
        for step in 1..text.len() {
            assert_eq!(chunked(text, step), Some((b"wikipedia in\r\n\r\nchunks.".to_vec(), 3)), "{step}");
        }
        for wrong in [
            "\r\n",
            "g\r\n",
            "1\na\r\n",
            "1\r\nab\r\n",
            "-1\r\n",
            "1\ra",
            "0x1\r\n",
            "1 \x01\r\n",
            " 1\r\n",
            "1111111111111111\r\n",
            "0\r\n X: y\r\n\r\n",
            &format!("0\r\n{}", "a\r\n".repeat(TRAILER_MAX)),
            "0\r\nX\n\r\n",
            "1\r\na\n",
        ] {
            let mut body = Body::Chunked(Chunks::default());
            let (mut at, mut refused) = (0, false);
            while at < wrong.len() && !refused {
                match body.take(&wrong.as_bytes()[at..]) {
                    Ok(piece) => at += piece.consumed,
                    Err(_) => refused = true,
                }
            }
            assert!(refused, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn encoded_bodies_read_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..6), step in 1..80_usize) {
            let mut text = Vec::new();
            for piece in &pieces {
                text.extend(format!("{:x}\r\n", piece.len()).bytes());
                text.extend(piece);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n\r\n");
            prop_assert_eq!(chunked(&text, step), Some((pieces.concat(), 0)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in prop::collection::vec(prop_oneof![prop::sample::select(b"0a1;\r\n ".to_vec()), any::<u8>()], 0..100)) {
            let _ = chunked(&text, 7);
        }
    }
}
