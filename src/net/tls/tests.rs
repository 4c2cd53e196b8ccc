//! Sessions between a connection and a client of the openssl crate's, over TCP.

use std::ffi::c_int;
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslVersion};
use openssl::x509::X509;

use super::*;
use crate::event::Owner;
use crate::net::Connection;

unsafe extern "C" {
    fn SSL_key_update(ssl: *mut openssl_sys::SSL, kind: c_int) -> c_int;
}

/// The client sends a `KeyUpdate` that asks for one in return (`SSL_KEY_UPDATE_REQUESTED`), if there is room.
fn key_update(client: &mut SslStream<TcpStream>) -> bool {
    let ssl = std::ptr::from_ref(client.ssl()).cast::<openssl_sys::SSL>().cast_mut();
    // SAFETY: the crate's reference stands for OpenSSL's object itself, and that is ours alone here.
    assert_eq!(unsafe { SSL_key_update(ssl, 1) }, 1);
    client.do_handshake().is_ok()
}

/// A server's context, as the test likes it.
pub(super) fn server_context(change: impl FnOnce(&mut SslContextBuilder)) -> SslContext {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut builder = SslContext::builder(SslMethod::tls_server()).unwrap();
    builder.set_certificate(&certificate.build()).unwrap();
    builder.set_private_key(&key).unwrap();
    builder.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::AUTO_RETRY);
    builder.set_read_ahead(true);
    // SSL_OP_NO_ANTI_REPLAY of openssl/ssl.h
    builder.set_options(SslOptions::from_bits_retain(1 << 24));
    builder.set_session_id_context(b"test").unwrap();
    change(&mut builder);
    builder.build()
}

fn server() -> Ssl {
    let mut ssl = Ssl::new(&server_context(|_| {})).unwrap();
    ssl.set_accept_state();
    ssl
}

struct Pair {
    reactor: Reactor,
    ours: Connection,
    theirs: SslStream<TcpStream>,
}

/// A connection to a client that shakes hands and sends `first` at once.
fn begin(first: &'static [u8]) -> (Reactor, Connection, JoinHandle<SslStream<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let ours = socket2::Socket::from(listener.accept().unwrap().0);
    ours.set_nonblocking(true).unwrap();
    ours.set_send_buffer_size(64 * 1024).unwrap();
    let mut reactor = Reactor::new().unwrap();
    let owner = Owner { engine: 0, part: 0, id: 0 };
    let mut ours = Connection::accepted(ours, &mut reactor, owner).unwrap();
    ours.start_tls(server()).unwrap();
    let client = std::thread::spawn(move || {
        let mut builder = SslContext::builder(SslMethod::tls_client()).unwrap();
        builder.set_min_proto_version(Some(SslVersion::TLS1_3)).unwrap();
        let mut theirs = Ssl::new(&builder.build()).unwrap().connect(theirs).unwrap();
        theirs.write_all(first).unwrap();
        theirs
    });
    (reactor, ours, client)
}

impl Pair {
    fn new() -> Pair {
        let (mut reactor, ours, client) = begin(b"");
        while !ours.handshake(&mut reactor).unwrap() {
            turn(&mut reactor);
        }
        Pair { reactor, ours, theirs: client.join().unwrap() }
    }

    /// Sends of `bytes` what there is room for.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        turn(&mut self.reactor);
        while self.reactor.writable(self.ours.source()) {
            sent += self.ours.send(&mut self.reactor, &bytes[sent..]).unwrap();
            turn(&mut self.reactor);
        }
        assert!(sent < bytes.len());
        sent
    }

    /// Reads so many bytes.
    fn hear(&mut self, count: usize) -> Vec<u8> {
        let (mut heard, mut buffer) = (Vec::new(), [0; 100]);
        while heard.len() < count {
            turn(&mut self.reactor);
            if let Some(count) = self.ours.recv(&mut self.reactor, &mut buffer).unwrap() {
                heard.extend_from_slice(&buffer[..count]);
            }
        }
        heard
    }
}

pub(super) fn turn(reactor: &mut Reactor) {
    reactor.wait(Some(Duration::from_millis(100))).unwrap();
    while reactor.next().is_some() {}
}

fn sample() -> Vec<u8> {
    (0..16 << 20).map(|i: u32| (i / 7) as u8).collect()
}

#[test]
fn what_came_with_the_end_of_the_handshake_needs_no_event() {
    let (mut reactor, ours, client) = begin(b"first");
    while !reactor.readable(ours.source()) {
        turn(&mut reactor);
    }
    assert!(!ours.handshake(&mut reactor).unwrap());
    assert!(!reactor.readable(ours.source()));
    // The client has our part of the handshake now, and sends the rest of its own with its first bytes.
    let _theirs = client.join().unwrap();
    // All of that is taken by a handshake that some other event has called for: the kernel has nothing to report any more.
    assert!(ours.handshake(&mut reactor).unwrap());
    assert!(reactor.readable(ours.source()));
    let mut buffer = [0; 10];
    assert_eq!(ours.recv(&mut reactor, &mut buffer).unwrap(), Some(5));
}

#[test]
fn an_answer_that_a_read_calls_for_does_not_break_what_waits() {
    let bytes = sample();
    let mut pair = Pair::new();
    let mut sent = pair.fill(&bytes);
    let kernels = pair.ours.unsent();
    for word in [b"one", b"two"] {
        assert!(key_update(&mut pair.theirs));
        pair.theirs.write_all(word).unwrap();
        assert_eq!(pair.hear(word.len()), word);
    }
    assert!(pair.ours.unsent() > kernels, "the answers wait too");
    assert_eq!(pair.ours.send(&mut pair.reactor, &bytes[sent..]).unwrap(), 0);
    let total = bytes.len();
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; total];
        pair.theirs.read_exact(&mut received).unwrap();
        received
    });
    while sent < total {
        turn(&mut pair.reactor);
        if pair.reactor.writable(pair.ours.source()) {
            sent += pair.ours.send(&mut pair.reactor, &bytes[sent..]).unwrap();
        }
    }
    assert!(reader.join().unwrap() == bytes);
}

#[test]
fn a_peer_that_wants_answers_and_reads_none_costs_little_memory() {
    let mut pair = Pair::new();
    pair.fill(&sample());
    let kernels = pair.ours.unsent();
    pair.theirs.get_ref().set_nonblocking(true).unwrap();
    // It is not read any more in the end, and finds no room for the next.
    while key_update(&mut pair.theirs) {
        pair.reactor.wait(Some(Duration::ZERO)).unwrap();
        while pair.reactor.next().is_some() {}
        if pair.reactor.readable(pair.ours.source()) {
            assert_eq!(pair.ours.recv(&mut pair.reactor, &mut [0; 100]).unwrap(), None);
        }
        assert!(pair.ours.unsent() as usize <= kernels as usize + MOST_HELD);
    }
}

#[test]
fn what_is_no_data_has_its_turn_and_no_more() {
    let mut pair = Pair::new();
    turn(&mut pair.reactor);
    (0..2 * MOST_READ / 27).for_each(|_| assert!(key_update(&mut pair.theirs)));
    pair.theirs.write_all(b"data").unwrap();
    turn(&mut pair.reactor);
    let mut buffer = [0; 100];
    assert_eq!(pair.ours.recv(&mut pair.reactor, &mut buffer).unwrap(), None);
    assert!(pair.reactor.readable(pair.ours.source()));
    let (mut turns, mut heard) = (1, None);
    while heard.is_none() {
        pair.reactor.wait(Some(Duration::from_secs(10))).unwrap();
        assert!(pair.reactor.next().is_some(), "it has asked for its turn");
        heard = pair.ours.recv(&mut pair.reactor, &mut buffer).unwrap();
        turns += 1;
    }
    assert_eq!(heard.map(|count| &buffer[..count]), Some(&b"data"[..]));
    assert!(turns <= 4, "{turns}");
}

#[test]
fn the_end_is_announced_behind_what_waits_unless_that_was_cut_short() {
    for cut in [false, true] {
        let bytes = sample();
        let mut pair = Pair::new();
        let sent = pair.fill(&bytes);
        if cut {
            pair.ours.truncate();
        }
        assert!(!pair.ours.shutdown_write(&mut pair.reactor));
        let reader = std::thread::spawn(move || {
            let (mut received, mut buffer) = (Vec::new(), [0; 16384]);
            let end = loop {
                match pair.theirs.ssl_read(&mut buffer) {
                    Ok(count) => received.extend_from_slice(&buffer[..count]),
                    Err(error) => break error.code(),
                }
            };
            (received, end == ErrorCode::ZERO_RETURN)
        });
        while !pair.ours.shutdown_write(&mut pair.reactor) {
            turn(&mut pair.reactor);
        }
        let (received, announced) = reader.join().unwrap();
        assert_eq!(announced, !cut);
        // The last record had been begun.
        assert!(received.len() >= sent && bytes.starts_with(&received));
    }
}

#[test]
fn no_answer_is_tried_behind_our_end() {
    let mut pair = Pair::new();
    turn(&mut pair.reactor);
    assert!(pair.ours.shutdown_write(&mut pair.reactor));
    for word in [b"one", b"two", b"six"] {
        assert!(key_update(&mut pair.theirs));
        pair.theirs.write_all(word).unwrap();
        assert_eq!(pair.hear(word.len()), word);
    }
    pair.theirs.shutdown().unwrap();
    turn(&mut pair.reactor);
    assert_eq!(pair.ours.recv(&mut pair.reactor, &mut [0; 100]).unwrap(), Some(0));
}
