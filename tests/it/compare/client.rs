//! The client: sends a case's request, takes the answers apart and finds out whether the connection is kept.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::case::Case;
use super::wire::Wire;

/// How long an answer may take: more than the timeouts of the configurations.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long is waited for more of what has no end by itself.
const NO_MORE: Duration = Duration::from_millis(100);

/// What one connection brought.
#[derive(Default)]
pub struct Heard {
    pub answers: Vec<Answer>,
    /// What became of the connection.
    pub end: &'static str,
    /// What came behind the answers, that to the last request among it.
    pub rest: Vec<u8>,
    /// All bytes that came.
    pub total: usize,
}

/// One answer as it came.
pub struct Answer {
    /// Up to the empty line; empty when no head came.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    /// It ended before it was complete.
    pub cut: bool,
    /// To HEAD.
    pub to_head: bool,
}

/// The last request on a connection, which shows whether it was kept.
const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n";

/// A connection and what has come on it and is not taken apart yet.
struct Line {
    stream: Wire,
    bytes: Vec<u8>,
    total: usize,
    end: Option<&'static str>,
}

impl Line {
    /// Reads on; false when nothing more comes.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 16384];
        while self.end.is_none() {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.end = Some("closed"),
                Ok(count) => {
                    self.total += count;
                    self.bytes.extend_from_slice(&buffer[..count]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.end = Some("silent");
                }
                // The socket has ended, and TLS has not.
                Err(error) if error.kind() == ErrorKind::Other => self.end = Some("cut"),
                // What is sent to a connection that is closed already.
                Err(_) => self.end = Some("closed"),
            }
        }
        false
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.bytes.split_off(count.min(self.bytes.len()));
        std::mem::replace(&mut self.bytes, rest)
    }

    /// Reads up to what `find` finds the end of; all there is, and false, when that does not come.
    fn up_to(&mut self, find: impl Fn(&[u8]) -> Option<usize>) -> (Vec<u8>, bool) {
        loop {
            if let Some(end) = find(&self.bytes) {
                return (self.take(end), true);
            }
            if !self.more() {
                return (std::mem::take(&mut self.bytes), false);
            }
        }
    }
}

/// A connection from an address of the client's own.
pub fn connect_from(to: SocketAddr, from: Ipv4Addr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.into()
}

/// Sends the request from an address of its own and hears the answers.
pub fn converse(to: SocketAddr, from: Ipv4Addr, case: &Case, pieces: &[Vec<u8>]) -> Heard {
    let stream = connect_from(to, from);
    let stream = match case.tls {
        None => Wire::Plain(stream),
        Some(name) => match Wire::secure(stream, name) {
            Some(stream) => stream,
            None => return Heard { end: "no handshake", ..Heard::default() },
        },
    };
    let mut line = Line { stream, bytes: Vec::new(), total: 0, end: None };
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            thread::sleep(Duration::from_millis(30));
        }
        if line.stream.write_all(piece).is_err() {
            break;
        }
    }
    if case.ends {
        line.stream.end();
    }
    let methods = case.methods();
    let mut heard = Heard::default();
    for number in 0..case.answers {
        let to_head = methods.get(number).is_some_and(|method| method == "HEAD");
        while let Some(answer) = read_answer(&mut line, to_head) {
            let interim = answer.head.starts_with(b"HTTP/1.1 1") && !answer.head.starts_with(b"HTTP/1.1 101");
            heard.answers.push(answer);
            if !interim {
                break;
            }
        }
    }
    let told = |answer: &Answer| String::from_utf8_lossy(&answer.head).contains("\r\nConnection: close\r\n");
    let closing = heard.answers.last().is_some_and(told);
    if line.end.is_none() && !closing && !case.ends {
        let _ = line.stream.write_all(LAST);
    }
    while line.more() {}
    heard.end = match line.end {
        Some(end @ ("silent" | "cut")) => end,
        _ if line.bytes.starts_with(b"HTTP/1.1") => "kept",
        _ => "closed",
    };
    heard.rest = line.bytes;
    heard.total = line.total;
    heard
}

/// Hears what comes on another connection of the same client, until it ends.
pub fn hear_beside(stream: TcpStream, heard: &mut Heard) {
    let mut line = Line { stream: Wire::Plain(stream), bytes: Vec::new(), total: 0, end: None };
    while let Some(answer) = read_answer(&mut line, false) {
        heard.answers.push(answer);
    }
    heard.total += line.total;
}

/// `None` when nothing more came.
fn read_answer(line: &mut Line, to_head: bool) -> Option<Answer> {
    let end_of = |bytes: &[u8], what: &[u8]| memchr(bytes, what).map(|at| at + what.len());
    while line.bytes.len() < 5 && line.more() {}
    if line.bytes.is_empty() {
        return None;
    }
    if !line.bytes.starts_with(b"HTTP/") {
        // Its end may be nothing but silence.
        line.stream.tcp().set_read_timeout(Some(NO_MORE)).unwrap();
        let (body, _) = line.up_to(|_| None);
        return Some(Answer { head: Vec::new(), body, cut: false, to_head });
    }
    let (head, whole) = line.up_to(|bytes| end_of(bytes, b"\r\n\r\n"));
    if !whole {
        return Some(Answer { head, body: Vec::new(), cut: true, to_head });
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let field = |name: &str| text.split(&format!("\r\n{name}: ")).nth(1).and_then(|rest| rest.split("\r\n").next());
    let (status, behind) = (&text[9..12], text.as_bytes()[12]);
    if status == "101" || status.parse::<u16>().is_err() || behind.is_ascii_digit() {
        // What is passed on unread has no end that could be waited for, nor has what follows 101.
        line.stream.tcp().set_read_timeout(Some(NO_MORE)).unwrap();
    }
    let (body, whole) = if to_head || matches!(status, "100" | "103" | "204" | "304") {
        (Vec::new(), true)
    } else if field("transfer-encoding") == Some("chunked") {
        line.up_to(end_of_chunks)
    } else if let Some(length) = field("content-length").and_then(|length| length.parse::<usize>().ok()) {
        line.up_to(|bytes| (bytes.len() >= length).then_some(length))
    } else {
        (line.up_to(|_| None).0, true)
    };
    Some(Answer { head, body, cut: !whole, to_head })
}

/// Behind the last chunk and the trailer.
fn end_of_chunks(bytes: &[u8]) -> Option<usize> {
    let last = if bytes.starts_with(b"0\r\n") { 1 } else { memchr(bytes, b"\r\n0\r\n")? + 3 };
    memchr(&bytes[last..], b"\r\n\r\n").map(|at| last + at + 4)
}

fn memchr(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
