//! What a probe says and what must come back, as pure functions of the bytes received so far.

use std::borrow::Cow;

use super::hello;

/// A kind of check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The connection stands.
    Tcp,
    /// A request is answered by a status line of an expected class.
    Http(Dialogue),
    /// A ClientHello is answered by a ServerHello.
    SslHello,
    /// A greeting comes, and a command is answered by a code of an expected class.
    Smtp(Dialogue),
    /// A greeting packet comes that is not an error.
    Mysql,
    /// A greeting comes that begins with `+`.
    Pop3,
    /// The greeting `* OK` comes.
    Imap,
}

/// What is sent and which answers are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialogue {
    /// The request, byte for byte.
    pub send: Vec<u8>,
    /// The answers that show a peer to be alive.
    pub expect: Classes,
}

/// A set of classes of three-digit codes: bit n stands for those that begin with the digit n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes(pub u16);

impl Classes {
    /// The codes that begin with `digit`, 0 to 9.
    pub const fn of(digit: u8) -> Self {
        Classes(1 << digit)
    }

    /// Both sets together.
    pub const fn or(self, other: Classes) -> Self {
        Classes(self.0 | other.0)
    }

    /// Whether codes that begin with the character `first` are in the set.
    fn allows(self, first: u8) -> bool {
        first.is_ascii_digit() && self.0 & Classes::of(first - b'0').0 != 0
    }
}

/// What an answer comes to, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is right so far and not complete.
    NeedMore,
    /// It is the peer's turn to be asked: what came is done with, [`Kind::request`] is to be sent.
    Ask,
    /// The peer is alive.
    Alive,
    /// It is not, for this reason.
    Dead(Cow<'static, str>),
}

use Judgement::{Alive, Ask, NeedMore};

fn dead(reason: impl Into<Cow<'static, str>>) -> Judgement {
    Judgement::Dead(reason.into())
}

/// The bytes of an answer that are looked at; more than a greeting of many lines, or MySQL's longest error, needs.
pub const LIMIT: usize = 4096;

impl Kind {
    /// The word for it in configurations.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Tcp => "tcp",
            Kind::Http(_) => "http",
            Kind::SslHello => "ssl_hello",
            Kind::Smtp(_) => "smtp",
            Kind::Mysql => "mysql",
            Kind::Pop3 => "pop3",
            Kind::Imap => "imap",
        }
    }

    /// What is sent when [`Kind::judge`] says [`Judgement::Ask`].
    pub fn request(&self) -> Cow<'_, [u8]> {
        match self {
            Kind::Http(dialogue) | Kind::Smtp(dialogue) => Cow::Borrowed(&dialogue.send),
            Kind::SslHello => Cow::Owned(hello::client_hello()),
            Kind::Tcp | Kind::Mysql | Kind::Pop3 | Kind::Imap => Cow::Borrowed(&[]),
        }
    }

    /// Judges what has come from a peer, since it was connected to or, once `asked`, since it was.
    pub fn judge(&self, asked: bool, answer: &[u8]) -> Judgement {
        let judgement = match self {
            Kind::Tcp => Alive,
            Kind::Http(_) | Kind::SslHello if !asked => Ask,
            Kind::Http(dialogue) => http(answer, dialogue.expect),
            Kind::SslHello => server_hello(answer),
            Kind::Smtp(_) if !asked => smtp_greeting(answer),
            Kind::Smtp(dialogue) => smtp_reply(answer, dialogue.expect),
            Kind::Mysql => mysql(answer),
            Kind::Pop3 => begins_with(answer, b"+"),
            Kind::Imap => begins_with(answer, b"* OK"),
        };
        match judgement {
            NeedMore if answer.len() >= LIMIT => dead("its answer is too long"),
            judgement => judgement,
        }
    }
}

/// The beginning of an answer, for a log line.
fn quote(answer: &[u8]) -> String {
    const SHOWN: usize = 64;
    let line = answer.split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
    String::from_utf8_lossy(&line[..line.len().min(SHOWN)]).into_owned()
}

fn unexpected(answer: &[u8]) -> Judgement {
    dead(format!("unexpected answer \"{}\"", quote(answer)))
}

fn begins_with(answer: &[u8], wanted: &[u8]) -> Judgement {
    if answer.starts_with(wanted) {
        Alive
    } else if wanted.starts_with(answer) {
        NeedMore
    } else {
        unexpected(answer)
    }
}

/// Whether bytes that have come fit a pattern in which `0` stands for any digit, as far as they go.
fn fits(answer: &[u8], pattern: &[u8]) -> bool {
    answer.iter().zip(pattern).all(|(&byte, &wanted)| match wanted {
        b'0' => byte.is_ascii_digit(),
        wanted => byte == wanted,
    })
}

/// RFC 9112, 4: `HTTP/1.1 200 OK`. Nothing behind the code matters.
fn http(answer: &[u8], expect: Classes) -> Judgement {
    const STATUS_LINE: &[u8] = b"HTTP/0.0 000";
    if !fits(answer, STATUS_LINE) {
        return unexpected(answer);
    }
    match answer.get(STATUS_LINE.len()) {
        None => NeedMore,
        Some(b' ' | b'\r' | b'\n') if expect.allows(answer[9]) => Alive,
        Some(_) => unexpected(answer),
    }
}

/// The handshake record that a ServerHello begins, RFC 8446, 5.1 and 4.1.3 (for TLS 1.2 the same), or an alert in its place.
fn server_hello(answer: &[u8]) -> Judgement {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const SERVER_HELLO: u8 = 2;
    /// Version, random and an empty session id.
    const LEAST: usize = 2 + 32 + 1;
    let content = answer.get(5..).unwrap_or_default();
    match *answer {
        [] => NeedMore,
        [ALERT, ..] => match content {
            [_, description, ..] => dead(format!("it answered the ClientHello with alert {description}")),
            _ => NeedMore,
        },
        [HANDSHAKE] => NeedMore,
        [HANDSHAKE, 3, ..] => match *content {
            [] | [SERVER_HELLO] | [SERVER_HELLO, _] | [SERVER_HELLO, _, _] => NeedMore,
            [SERVER_HELLO, a, b, c, ..] if u32::from_be_bytes([0, a, b, c]) as usize >= LEAST => Alive,
            _ => dead("its answer is no ServerHello"),
        },
        _ => dead("its answer is no ServerHello"),
    }
}

/// One reply of RFC 5321, 4.2.1, which may have several lines: `250-first`, `250 last`. Gives its code's first digit and its length.
fn smtp_line(answer: &[u8]) -> Result<(u8, usize), Judgement> {
    let mut from = 0;
    loop {
        let line = &answer[from..];
        if !fits(line, b"000") {
            return Err(unexpected(line));
        }
        let end = memchr::memchr(b'\n', line);
        match line.get(3) {
            None => return Err(NeedMore),
            Some(b' ' | b'-' | b'\r' | b'\n') => {}
            Some(_) => return Err(unexpected(line)),
        }
        let Some(end) = end else { return Err(NeedMore) };
        from += end + 1;
        if line[3] != b'-' {
            return Ok((answer[0], from));
        }
    }
}

fn smtp_greeting(answer: &[u8]) -> Judgement {
    match smtp_line(answer) {
        Ok((b'2', length)) if length == answer.len() => Ask,
        // RFC 5321, 4.3.1: nothing more before the client has spoken.
        Ok((b'2', _)) => dead("it went on after its greeting"),
        Ok(_) => unexpected(answer),
        Err(judgement) => judgement,
    }
}

fn smtp_reply(answer: &[u8], expect: Classes) -> Judgement {
    match smtp_line(answer) {
        Ok((first, _)) if expect.allows(first) => Alive,
        Ok(_) => unexpected(answer),
        Err(judgement) => judgement,
    }
}

/// MySQL's first packet: three bytes of length, a sequence number that is 0, and the protocol's version, 9 or 10. An error
/// packet has 255 in its place, then the error's number and text.
fn mysql(answer: &[u8]) -> Judgement {
    let [a, b, c, sequence, content @ ..] = answer else { return NeedMore };
    let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
    if *sequence != 0 || length < 3 {
        return dead("its answer is no MySQL greeting");
    }
    match content {
        [] => NeedMore,
        [9 | 10, ..] => Alive,
        [255, ..] if content.len() < length => NeedMore,
        [255, low, high, text @ ..] => {
            let (code, text) = (u16::from_le_bytes([*low, *high]), &text[..length - 3]);
            dead(format!("MySQL error {code}: {}", String::from_utf8_lossy(&text[..text.len().min(200)])))
        }
        _ => dead("its answer is no MySQL greeting"),
    }
}

#[cfg(test)]
mod tests;
