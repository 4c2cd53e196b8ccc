//! The kinds of clients.

use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use openssl::ssl::SslVersion;

use super::site::Ports;
use crate::common::clients::{noise, reset, try_connect};
use crate::common::*;
use crate::crowd::{rude, whole_echo};
use crate::http::read_reply;
use crate::nothing_lost::http::read_answer;
use crate::tls::{only, try_client};
use crate::websocket::request;

/// A kind of clients, each of which has one session after the other (or several at once).
pub struct Kind {
    pub name: &'static str,
    /// One session; for a strict kind all must go well.
    pub run: fn(&Ports, &mut Dice) -> io::Result<()>,
    pub strict: bool,
    /// Each session has a line in a log of this kind's own.
    pub logged: bool,
}

const fn strict(name: &'static str, run: fn(&Ports, &mut Dice) -> io::Result<()>) -> Kind {
    Kind { name, run, strict: true, logged: false }
}

const fn lax(name: &'static str, run: fn(&Ports, &mut Dice) -> io::Result<()>) -> Kind {
    Kind { name, run, strict: false, logged: false }
}

pub const KINDS: [Kind; 15] = [
    Kind { name: "small", run: small, strict: true, logged: true },
    strict("in pieces", pieces),
    strict("bulk", bulk),
    strict("held", held),
    strict("TLS", tls),
    strict("websocket", websocket),
    strict("PROXY protocol", proxied),
    strict("HTTP", http),
    strict("requests passed on", passed_on),
    strict("HTTPS", https),
    strict("upgrades", upgraded),
    lax("requests left alone", aborted),
    lax("to a server that comes and goes", flapping),
    lax("rude", rude_anywhere),
    lax("vanishing", vanishing),
];

fn exchange(stream: &mut (impl Read + Write), bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    expect(stream, bytes)
}

fn expect(stream: &mut impl Read, bytes: &[u8]) -> io::Result<()> {
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer)?;
    if answer == bytes { Ok(()) } else { Err(io::Error::other("other bytes came back")) }
}

/// Small requests on one connection.
fn small(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_connect(ports.small.v4())?;
    stream.write_all(b"e")?;
    (0..1 + dice.roll(10)).try_for_each(|_| exchange(&mut stream, &noise(1 + dice.roll(500))))
}

fn pieces(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    whole_echo(&ports.patient.v4(), dice)
}

/// Megabytes there and back, both ways at once.
fn bulk(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_connect(ports.patient.v4())?;
    stream.write_all(b"e")?;
    let bytes = noise((1 + dice.roll(8)) << 20);
    let mut writer = stream.try_clone()?;
    thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&bytes));
        expect(&mut stream, &bytes)
    })
}

/// Many sessions that rest for a while between two requests.
fn held(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut streams = (0..50).map(|_| try_connect(ports.patient.v4())).collect::<io::Result<Vec<_>>>()?;
    streams.iter_mut().try_for_each(|stream| stream.write_all(b"e"))?;
    streams.iter_mut().try_for_each(|stream| exchange(stream, b"before"))?;
    thread::sleep(Duration::from_millis(dice.roll(2000) as u64));
    streams.iter_mut().try_for_each(|stream| exchange(stream, b"after"))
}

fn tls(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let version = [SslVersion::TLS1_2, SslVersion::TLS1_3][dice.roll(2)];
    let mut stream = try_client(&ports.tls, only(version)).map_err(io::Error::other)?;
    stream.write_all(b"e")?;
    for _ in 0..1 + dice.roll(3) {
        exchange(&mut stream, &noise(1 + dice.roll(100_000)))?;
    }
    if dice.roll(2) == 0 {
        let _ = stream.shutdown();
    }
    Ok(())
}

fn websocket(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_connect(ports.websocket.v4())?;
    let head = request("/chat", "chat.example");
    let (start, rest) = head.as_bytes().split_at(dice.roll(head.len()));
    stream.write_all(start)?;
    stream.write_all(rest)?;
    expect(&mut stream, b"w")?;
    expect(&mut stream, head.as_bytes())?;
    exchange(&mut stream, &noise(1 + dice.roll(50_000)))
}

fn proxied(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_connect(ports.proxied.v4())?;
    stream.write_all(format!("PROXY TCP4 192.0.2.{} 192.0.2.1 1025 80\r\ne", dice.roll(256)).as_bytes())?;
    exchange(&mut stream, &noise(1 + dice.roll(50_000)))
}

fn http(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_connect(ports.http.v4())?;
    let path = ["/", "/large", "/status", "/missing"][dice.roll(4)];
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let reply = read_reply(&mut stream, false);
    let expected = if path == "/missing" { 404 } else { 200 };
    if reply.status == expected { Ok(()) } else { Err(io::Error::other(format!("{path}: {}", reply.status))) }
}

/// Sends a body and reads it back; whether the connection stays.
fn posted(stream: &mut (impl Read + Write), dice: &mut Dice) -> io::Result<bool> {
    let path = ["/passed", "/direct", "/kept"][dice.roll(3)];
    let body = noise(1 + dice.roll(60_000));
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(&body);
    stream.write_all(&request)?;
    let (stays, answer) = read_answer(stream)?;
    if answer == body { Ok(stays) } else { Err(io::Error::other("another body came back")) }
}

/// Several on one connection, as long as it stays.
fn passed_on(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_connect(ports.http.v4())?;
    // Behind the first one a worker that finishes may have closed it.
    let _ = posted(&mut stream, dice)? && (0..dice.roll(6)).all(|_| posted(&mut stream, dice).unwrap_or(false));
    Ok(())
}

fn https(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_client(&ports.https, only(SslVersion::TLS1_3)).map_err(io::Error::other)?;
    if dice.roll(2) == 0 {
        return posted(&mut stream, dice).map(|_| ());
    }
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let (_, body) = read_answer(&mut stream)?;
    if body.len() == 1 << 20 { Ok(()) } else { Err(io::Error::other("not all of it")) }
}

fn upgraded(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_connect(ports.http.v4())?;
    stream.write_all(b"GET /direct HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")?;
    if read_reply(&mut stream, true).status != 101 {
        return Err(io::Error::other("no upgrade"));
    }
    (0..1 + dice.roll(5)).try_for_each(|_| exchange(&mut stream, &noise(1 + dice.roll(50_000))))
}

/// Gone in the head, in the body, before the answer or in the middle of it.
fn aborted(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_connect(ports.http.v4())?;
    let path = ["/passed", "/direct", "/large"][dice.roll(3)];
    let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n{}", "x".repeat(40_000));
    let sent = [dice.roll(80), dice.roll(request.len()), request.len()][dice.roll(3)];
    stream.write_all(&request.as_bytes()[..sent])?;
    if sent == request.len() {
        let _ = stream.read(&mut vec![0; 1 + dice.roll(50_000)])?;
    }
    if dice.roll(2) == 0 {
        reset(stream);
    }
    Ok(())
}

fn flapping(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    whole_echo(&ports.flapping.v4(), dice)
}

fn rude_anywhere(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    rude(&ports.any(dice).v4(), dice);
    Ok(())
}

/// Gone before anything has happened, or in the middle of a beginning.
fn vanishing(ports: &Ports, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_connect(ports.any(dice).v4())?;
    let beginnings: [&[u8]; 5] =
        [b"", b"GET /chat HTTP/1.1\r\nHost", b"\x16\x03\x01\x02\x00\x01", b"PROXY TCP4 1", b"e"];
    stream.write_all(beginnings[dice.roll(5)])?;
    if dice.roll(2) == 0 {
        reset(stream);
    }
    Ok(())
}
