//! Requests of all kinds, short and long, alone and kept-alive, answered by weir and by servers behind it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::*;
use crate::common::clients::noise;
use crate::proxy::read_head;

/// The `http {}` of a configuration.
pub(super) fn configuration(place: &Place, number: usize, backend: std::net::SocketAddr) -> String {
    format!(
        "http {{ access_log access.log; client_body_buffer_size 64k; client_max_body_size 0; root html;
         upstream h{number} {{ server {backend}; keepalive 4; }}
         proxy_http_version 1.1; proxy_set_header Connection $http_connection; proxy_set_header Upgrade $http_upgrade;
         server {{ listen {}; listen {} ssl; ssl_certificate server.pem; ssl_certificate_key server.key;
         location /passed {{ proxy_pass http://h{number}; }}
         location /direct {{ proxy_pass http://h{number}; proxy_request_buffering off; proxy_buffering off; }}
         location /kept {{ proxy_pass http://h{number}; proxy_set_header Connection ''; }} }} }}",
        place.port.v4(),
        place.secure.v4()
    )
}

/// What is in the file that is served.
pub(super) fn file() -> Vec<u8> {
    noise(100_000)
}

/// One chunk with its framing, empty at the end.
fn chunk(content: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", content.len()).as_bytes(), content, b"\r\n"].concat()
}

/// Reads one chunk.
fn read_chunk(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let size = usize::from_str_radix(line.trim(), 16).map_err(|_| io::Error::other(format!("{line:?}")))?;
    let mut content = vec![0; size + 2];
    reader.read_exact(&mut content)?;
    content.truncate(size);
    Ok(content)
}

/// A server that sends bodies back: at their end, or each chunk as it comes; after `Upgrade` all there is.
pub fn server(requests: Arc<AtomicUsize>) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        while let Some(head) = read_head(&mut stream) {
            requests.fetch_add(1, Ordering::SeqCst);
            let field = |name: &str| {
                let found = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
                found.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
            };
            let mut serve = || -> io::Result<()> {
                if field("upgrade").is_some() {
                    stream
                        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")?;
                    backends::echo(stream.try_clone()?);
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if field("transfer-encoding").is_some() {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                    let mut reader = BufReader::new(stream.try_clone()?);
                    loop {
                        let content = read_chunk(&mut reader)?;
                        stream.write_all(&chunk(&content))?;
                        if content.is_empty() {
                            return Ok(());
                        }
                    }
                }
                let closes = field("connection").is_some_and(|value| value == "close");
                let says = if closes { "Connection: close\r\n" } else { "" };
                let mut body = vec![0; field("content-length").map_or(0, |text| text.parse().unwrap())];
                stream.read_exact(&mut body)?;
                write!(stream, "HTTP/1.1 200 OK\r\n{says}Content-Length: {}\r\n\r\n", body.len())?;
                stream.write_all(&body)?;
                if closes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
            };
            if serve().is_err() {
                return;
            }
        }
    }
}

/// Reads an answer with a length; what it says of the connection, and the body.
pub fn read_answer(stream: &mut impl Read) -> io::Result<(bool, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let Some(length) = length.filter(|_| head.starts_with("HTTP/1.1 200 ")) else {
        return Err(io::Error::other(head));
    };
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((head.contains("\r\nConnection: keep-alive\r\n"), body))
}

fn same(body: &[u8], expected: &[u8]) -> io::Result<()> {
    if body == expected { Ok(()) } else { Err(io::Error::other(format!("{} of {}", body.len(), expected.len()))) }
}

/// One request of some kind.
pub(super) fn request(
    traffic: &Traffic,
    place: &Place,
    kept: &mut Option<TcpStream>,
    dice: &mut Dice,
) -> io::Result<()> {
    let body = noise(1 + dice.roll(PIECE));
    let post = |path: &str, fields: &str| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), &body].concat()
    };
    let file = "GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    match dice.roll(5) {
        0 => {
            traffic.alone.fetch_add(1, Ordering::SeqCst);
            let mut stream = try_connect(place.port.v4())?;
            stream.write_all(file.as_bytes())?;
            same(&read_answer(&mut stream)?.1, &self::file())
        }
        1 => {
            traffic.alone.fetch_add(1, Ordering::SeqCst);
            let stream =
                tls_clients::connect(&tls_clients::context(|_| {}), Some("localhost"), try_connect(place.secure.v4())?);
            let mut stream = stream.map_err(|error| io::Error::other(error.to_string()))?;
            stream.write_all(file.as_bytes())?;
            same(&read_answer(&mut stream)?.1, &self::file())
        }
        2 => {
            let mut stream = try_connect(place.port.v4())?;
            let path = if dice.roll(2) == 0 { "/passed" } else { "/direct" };
            stream.write_all(&post(path, "Connection: close\r\n"))?;
            same(&read_answer(&mut stream)?.1, &body)
        }
        _ => {
            // On a connection that is kept. A worker that finishes may close it as long as nothing of the request has been heard of: it
            // has answered nothing and told nobody, and the request is made again, as clients do (RFC 9112 9.3.1).
            loop {
                let again = kept.is_some();
                let mut stream = match kept.take() {
                    Some(stream) => stream,
                    None => try_connect(place.port.v4())?,
                };
                let answer = stream.write_all(&post("/kept", "")).and_then(|()| {
                    stream.peek(&mut [0]).and_then(|count| match count {
                        0 => Err(io::ErrorKind::ConnectionReset.into()),
                        _ => Ok(()),
                    })
                });
                match answer {
                    Err(error)
                        if again
                            && matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {}
                    Err(error) => return Err(error),
                    Ok(()) => {
                        let (stays, answer) = read_answer(&mut stream)?;
                        *kept = stays.then_some(stream);
                        return same(&answer, &body);
                    }
                }
            }
        }
    }
}

/// A request that goes on until the traffic is over: a body that comes back chunk by chunk, or another protocol.
pub(super) fn long(traffic: &Traffic, mut stream: TcpStream, dice: &mut Dice) -> io::Result<()> {
    let upgrades = dice.roll(2) == 0;
    let fields = if upgrades { "Connection: upgrade\r\nUpgrade: x" } else { "Transfer-Encoding: chunked" };
    write!(stream, "POST /direct HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut begun, mut standing) = (false, false);
    loop {
        let over = traffic.is_over();
        let content = if over && !upgrades { Vec::new() } else { noise(1 + dice.roll(PIECE)) };
        stream.write_all(&if upgrades { content.clone() } else { chunk(&content) })?;
        if !std::mem::replace(&mut begun, true) {
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line)?;
                if line.is_empty() {
                    return Err(io::Error::other("no head"));
                }
            }
        }
        let mut answer = vec![0; if upgrades { content.len() } else { 0 }];
        // A chunk may come back in several.
        while !upgrades && answer.len() < content.len() {
            answer.extend(read_chunk(&mut reader)?);
        }
        if upgrades {
            reader.read_exact(&mut answer)?;
        } else if content.is_empty() {
            answer = read_chunk(&mut reader)?;
        }
        same(&answer, &content)?;
        if over {
            return Ok(());
        }
        traffic.came_back(&mut standing);
        thread::sleep(PAUSE);
    }
}
