//! Clients that make small requests of HTTP, and the server behind, which answers them at once. One thread serves them all.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use openssl::ssl::SslStream;
use slab::Slab;
use std::net::{TcpListener, TcpStream};

use crate::Result;
use crate::stage::{PATIENCE, Stage};
use crate::tls::{Certificate, Client};

/// Clients at a time.
const CLIENTS: usize = 32;

/// Bytes of body of the server's answers.
pub const BODY: usize = 64;

const LISTENER: Token = Token(usize::MAX);

const ANSWER: &str = "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
                      Content-Length: 64\r\nETag: \"0123456789abcdef\"\r\nCache-Control: no-store\r\n\r\n\
                      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// What clients do.
#[derive(Clone)]
pub struct Requests {
    pub text: Vec<u8>,
    /// Bytes of the answer's body.
    pub length: usize,
    /// A connection for each.
    pub close: bool,
    pub tls: bool,
}

/// A stream of bytes, plain or with TLS.
trait Stream: Read + Write {
    fn fd(&self) -> RawFd;
}

impl Stream for TcpStream {
    fn fd(&self) -> RawFd {
        self.as_raw_fd()
    }
}

impl Stream for SslStream<TcpStream> {
    fn fd(&self) -> RawFd {
        self.get_ref().as_raw_fd()
    }
}

enum End {
    Client {
        stream: Box<dyn Stream>,
        /// Of the present answer.
        received: usize,
        /// How long it will be, once its head is there.
        length: Option<usize>,
    },
    Server(TcpStream),
}

/// All ends of connections with the proxy.
pub struct Ends {
    requests: Requests,
    poll: Poll,
    listener: TcpListener,
    ends: Slab<End>,
    tls: Client,
    nap: Duration,
}

impl Ends {
    pub fn new(stage: &Stage, requests: Requests, certificate: &Certificate, nap: Duration) -> Result<Ends> {
        let poll = Poll::new()?;
        let listener = stage.backends[0].try_clone()?;
        poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
        let mut ends = Ends { requests, poll, listener, ends: Slab::new(), tls: certificate.client()?, nap };
        for _ in 0..if ends.requests.close { 0 } else { CLIENTS } {
            ends.connect(stage)?;
        }
        Ok(ends)
    }

    /// Has the clients make so many requests between them, and returns when all are answered.
    pub fn exchange(&mut self, stage: &Stage, count: usize) -> Result<()> {
        let (mut asked, mut answered) = (CLIENTS.min(count), 0);
        if self.requests.close {
            for _ in 0..asked {
                let client = self.connect(stage)?;
                self.ask(client)?;
            }
        } else {
            let is_client = |(number, end): (usize, &End)| matches!(end, End::Client { .. }).then_some(number);
            let clients: Vec<usize> = self.ends.iter().filter_map(is_client).take(asked).collect();
            clients.into_iter().try_for_each(|client| self.ask(client))?;
        }
        let mut events = Events::with_capacity(1024);
        let mut progress = Instant::now();
        while answered < count {
            self.poll.poll(&mut events, Some(self.nap))?;
            if events.is_empty() {
                if progress.elapsed() > PATIENCE {
                    return Err(format!("only {answered} of {count} requests were answered").into());
                }
                continue;
            }
            progress = Instant::now();
            for event in &events {
                let Token(number) = event.token();
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                if !self.turn(number)? {
                    continue;
                }
                answered += 1;
                let again = asked < count;
                asked += usize::from(again);
                match self.requests.close {
                    true => {
                        self.ends.remove(number);
                        if again {
                            let client = self.connect(stage)?;
                            self.ask(client)?;
                        }
                    }
                    false if again => self.ask(number)?,
                    false => {}
                }
            }
        }
        Ok(())
    }

    /// One more client. A connection over loopback stands as soon as it is asked for.
    fn connect(&mut self, stage: &Stage) -> Result<usize> {
        let stream = stage.connect(0)?;
        let (plain, stream): (_, Box<dyn Stream>) = match self.requests.tls {
            true => (stream.try_clone()?, Box::new(self.tls.connect(stream)?)),
            false => (stream.try_clone()?, Box::new(stream)),
        };
        plain.set_nonblocking(true)?;
        let entry = self.ends.vacant_entry();
        let number = entry.key();
        self.poll.registry().register(&mut SourceFd(&stream.fd()), Token(number), Interest::READABLE)?;
        entry.insert(End::Client { stream, received: 0, length: None });
        Ok(number)
    }

    fn ask(&mut self, client: usize) -> Result<()> {
        let Some(End::Client { stream, received, length }) = self.ends.get_mut(client) else { return Ok(()) };
        (*received, *length) = (0, None);
        Ok(stream.write_all(&self.requests.text)?)
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let entry = self.ends.vacant_entry();
            let token = Token(entry.key());
            self.poll.registry().register(&mut SourceFd(&stream.as_raw_fd()), token, Interest::READABLE)?;
            entry.insert(End::Server(stream));
        }
    }

    /// Reads what is there; true when a client has its answer.
    fn turn(&mut self, number: usize) -> Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let Some(end) = self.ends.get_mut(number) else { return Ok(false) };
        match end {
            End::Server(stream) => match received(stream.read(&mut buffer))? {
                Some(0) => drop(self.ends.remove(number)),
                Some(count) if buffer[..count].ends_with(b"\r\n\r\n") => stream.write_all(ANSWER.as_bytes())?,
                Some(_) => return Err("a request came to the server in pieces".into()),
                None => {}
            },
            End::Client { stream, received: before, length } => loop {
                let Some(count) = received(stream.read(&mut buffer))? else { return Ok(false) };
                *before += count;
                if length.is_none() && count > 0 {
                    let text = &buffer[..count];
                    if !text.starts_with(b"HTTP/1.1 200") {
                        return Err(format!("an answer of another kind: {}", text.escape_ascii()).into());
                    }
                    let head = text.windows(4).position(|end| end == b"\r\n\r\n").ok_or("a head came in pieces")?;
                    *length = Some(head + 4 + self.requests.length);
                }
                let complete = *length == Some(*before);
                match (count, self.requests.close) {
                    (0, true) if complete => return Ok(true),
                    (0, _) => return Err("the proxy has ended a connection".into()),
                    (_, false) if complete => return Ok(true),
                    _ => {}
                }
            },
        }
        Ok(false)
    }
}

/// What a read brought, none if it would have blocked.
fn received(outcome: io::Result<usize>) -> Result<Option<usize>> {
    match outcome {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}
