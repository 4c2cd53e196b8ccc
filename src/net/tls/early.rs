//! Data that a client sends before the handshake is over, when it resumes a session (RFC 8446 2.3), and what is sent to it meanwhile. OpenSSL has calls of
//! their own for both; the handshake goes on behind what comes, and with it ends the difference.

use std::io;

use openssl::ssl::{Error, SslStream};

use super::{Tls, Wire};
use crate::event::{Reactor, SourceId};

/// How far a session is with data that its client may send before the handshake is over (RFC 8446 2.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Early {
    /// There is none, or no more of the handshake.
    No,
    /// It may come.
    Awaited,
    /// It is coming; a byte that has been read and not given out yet.
    Coming(Option<u8>),
    /// All of it has come. The handshake goes on when something is read.
    Over,
}

impl Tls {
    /// The client may send data before the handshake is over, as far as the session allows. As soon as some has come [`Tls::handshake`] is done,
    /// though the rest of the handshake is still to come: data goes both ways meanwhile.
    pub(in crate::net) fn await_early_data(&self) {
        self.early.set(Early::Awaited);
    }

    /// Goes on with the handshake until it is over or overtaken.
    pub(super) fn shake_hands(&self, stream: &mut SslStream<Wire>) -> Result<(), Error> {
        let mut first = [0];
        match self.early.get() {
            Early::Awaited if stream.read_early_data(&mut first)? > 0 => {
                self.early.set(Early::Coming(Some(first[0])));
                Ok(())
            }
            Early::Coming(_) => Ok(()),
            _ => {
                self.early.set(Early::No);
                stream.do_handshake()
            }
        }
    }

    /// [`Tls::recv`] of data that comes before the handshake is over; `None`: that is all there was.
    pub(super) fn recv_early(
        &self,
        reactor: &mut Reactor,
        source: SourceId,
        first: Option<u8>,
        buffer: &mut [u8],
    ) -> io::Result<Option<Option<usize>>> {
        if let (Some(first), Some(place)) = (first, buffer.first_mut()) {
            *place = first;
            self.early.set(Early::Coming(None));
            return Ok(Some(Some(1)));
        }
        let count = self.call(reactor, source, |stream| stream.read_early_data(buffer))?;
        if count == Some(0) {
            self.early.set(Early::Over);
            return Ok(None);
        }
        Ok(Some(count))
    }

    /// [`Tls::peek`], likewise.
    pub(super) fn peek_early(
        &self,
        reactor: &mut Reactor,
        source: SourceId,
        first: Option<u8>,
    ) -> io::Result<Option<Option<usize>>> {
        let mut byte = [0];
        let count = self.recv_early(reactor, source, first, &mut byte)?;
        if count == Some(Some(1)) {
            self.early.set(Early::Coming(Some(byte[0])));
        }
        Ok(count)
    }

    /// Whether the handshake goes on while data goes both ways already.
    pub(in crate::net) fn is_early(&self) -> bool {
        if self.early.get() == Early::Over && self.stream.borrow().ssl().is_init_finished() {
            self.early.set(Early::No);
        }
        matches!(self.early.get(), Early::Coming(_) | Early::Over)
    }

    /// Goes on with a handshake that data has overtaken, and drops what else comes of that. Returns whether it is over, be it by a fault.
    pub(super) fn finish_handshake(&self, reactor: &mut Reactor, source: SourceId) -> bool {
        let mut dropped = [0; 512];
        while self.is_early() {
            let over = self.early.get() == Early::Over;
            let step = self.call(reactor, source, |stream| match over {
                true => stream.do_handshake().map(|()| 0),
                false => stream.read_early_data(&mut dropped),
            });
            match step {
                Ok(Some(0)) => self.early.set(Early::Over),
                Ok(Some(_)) => self.early.set(Early::Coming(None)),
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::channel;

    use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslSession, SslSessionCacheMode, SslVersion};

    use super::super::tests::{server_context, turn};
    use crate::event::{Owner, Reactor};
    use crate::net::Connection;
    use std::io::{Read, Write};

    /// Bytes of a hello and the data behind it that fit into the kernel's buffers.
    const LONG: usize = 10_000;

    fn client() -> SslContextBuilder {
        let mut builder = SslContext::builder(SslMethod::tls_client()).unwrap();
        builder.set_min_proto_version(Some(SslVersion::TLS1_3)).unwrap();
        builder
    }

    /// Both ends of a new connection, on which ours waits for data before the handshake is over.
    fn connect(server: &SslContext) -> (Reactor, Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ours = socket2::Socket::from(listener.accept().unwrap().0);
        ours.set_nonblocking(true).unwrap();
        let mut reactor = Reactor::new().unwrap();
        let mut ours = Connection::accepted(ours, &mut reactor, Owner { engine: 0, part: 0, id: 0 }).unwrap();
        let mut ssl = Ssl::new(server).unwrap();
        ssl.set_accept_state();
        ours.start_tls(ssl).unwrap();
        ours.await_early_data();
        (reactor, ours, theirs)
    }

    fn shake_hands(reactor: &mut Reactor, ours: &Connection) {
        while !ours.handshake(reactor).unwrap() {
            turn(reactor);
        }
    }

    fn hear(reactor: &mut Reactor, ours: &Connection, wanted: usize) -> Vec<u8> {
        let (mut heard, mut buffer) = (Vec::new(), [0; 3000]);
        while heard.len() < wanted {
            turn(reactor);
            if let Some(count) = ours.recv(reactor, &mut buffer).unwrap() {
                heard.extend_from_slice(&buffer[..count]);
            }
        }
        heard
    }

    /// A client's first connection, by which it has a session to resume.
    fn session(server: &SslContext) -> SslSession {
        let (mut reactor, ours, theirs) = connect(server);
        let (keep, kept) = channel();
        let client = std::thread::spawn(move || {
            let mut builder = client();
            builder.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
            builder.set_new_session_callback(move |_, session| drop(keep.send(session)));
            let mut theirs = Ssl::new(&builder.build()).unwrap().connect(theirs).unwrap();
            theirs.read_exact(&mut [0]).unwrap();
            // Of one that is cut off OpenSSL resumes nothing.
            theirs.shutdown().unwrap();
        });
        shake_hands(&mut reactor, &ours);
        assert!(!ours.is_early());
        assert_eq!(ours.send(&mut reactor, b"x").unwrap(), 1);
        client.join().unwrap();
        kept.recv().unwrap()
    }

    #[test]
    fn data_overtakes_the_handshake_both_ways() {
        let server = server_context(|builder| builder.set_max_early_data(16384).unwrap());
        let session = session(&server);
        for peeks in [false, true] {
            let (mut reactor, ours, theirs) = connect(&server);
            let mut ssl = Ssl::new(&client().build()).unwrap();
            // SAFETY: the session is of a context of the same kind.
            unsafe { ssl.set_session(&session).unwrap() };
            ssl.set_connect_state();
            let mut theirs = openssl::ssl::SslStream::new(ssl, theirs).unwrap();
            assert_eq!(theirs.write_early_data(&[7; LONG]).unwrap(), LONG);
            shake_hands(&mut reactor, &ours);
            assert!(ours.is_early());
            if peeks {
                ours.probe(&mut reactor).unwrap();
            }
            assert_eq!(hear(&mut reactor, &ours, LONG), [7; LONG]);
            // An answer before the client has said its last word of the handshake, which comes with its next.
            assert_eq!(ours.send(&mut reactor, b"answer").unwrap(), 6);
            assert!(ours.is_early() && !ours.shutdown_write(&mut reactor), "there can be no end yet");
            theirs.do_handshake().unwrap();
            let mut answer = [0; 6];
            theirs.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"answer");
            theirs.write_all(b"more").unwrap();
            if peeks {
                ours.probe(&mut reactor).unwrap();
            }
            assert_eq!(hear(&mut reactor, &ours, 4), b"more");
            assert!(!ours.is_early());
            assert_eq!(ours.send(&mut reactor, b"late").unwrap(), 4);
            assert!(ours.shutdown_write(&mut reactor));
            let mut rest = Vec::new();
            theirs.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, b"late");
        }
    }

    #[test]
    fn the_end_waits_for_the_handshake() {
        let server = server_context(|builder| builder.set_max_early_data(16384).unwrap());
        let session = session(&server);
        let (mut reactor, ours, theirs) = connect(&server);
        let mut ssl = Ssl::new(&client().build()).unwrap();
        // SAFETY: the session is of a context of the same kind.
        unsafe { ssl.set_session(&session).unwrap() };
        ssl.set_connect_state();
        let mut theirs = openssl::ssl::SslStream::new(ssl, theirs).unwrap();
        theirs.write_early_data(&[7; LONG]).unwrap();
        shake_hands(&mut reactor, &ours);
        assert_eq!(ours.send(&mut reactor, b"answer").unwrap(), 6);
        assert!(!ours.shutdown_write(&mut reactor));
        let client = std::thread::spawn(move || {
            theirs.do_handshake().unwrap();
            let mut answer = Vec::new();
            theirs.read_to_end(&mut answer).map(|_| answer)
        });
        while !ours.shutdown_write(&mut reactor) {
            turn(&mut reactor);
        }
        assert_eq!(client.join().unwrap().unwrap(), b"answer");
    }
}
