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

pub const KINDS: [Kind; 11] = [
    Kind { name: "small", run: small, strict: true, logged: true },
    strict("in pieces", pieces),
    strict("bulk", bulk),
    strict("held", held),
    strict("TLS", tls),
    strict("websocket", websocket),
    strict("PROXY protocol", proxied),
    strict("HTTP", http),
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
