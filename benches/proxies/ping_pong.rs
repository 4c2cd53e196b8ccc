//! Small requests and answers on connections that stay.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Result;
use crate::contender::Contender;
use crate::stage::{MESSAGE, PATIENCE, Session, Stage};
use crate::table::{Sample, Table};
use crate::workload::{Bench, rounds};

/// Connections that are used at the same time.
const CONNECTIONS: usize = 32;

/// Each round begins with one request in so many that is not measured.
const WARM_UP: usize = 10;

pub fn ping_pong(bench: &Bench) -> Result<Table> {
    let requests = bench.options.requests;
    let contenders = bench.contenders(Contender::is_proxy);
    let stage = |contender: &Contender| {
        let stage = Stage::set(bench, contender, 1, 100, false)?;
        let ends = Ends::new(stage.sessions(CONNECTIONS)?, bench.options.nap())?;
        Ok((stage, ends))
    };
    let rows = rounds(bench, &contenders, stage, |(stage, ends)| measure(stage, ends, requests))?;
    Ok(Table {
        subject: format!("{requests} requests a round of {} bytes on {CONNECTIONS} connections", MESSAGE.len()),
        rows,
    })
}

/// Measures so many requests, after fewer.
pub fn measure(stage: &Stage, ends: &mut Ends, requests: usize) -> Result<Sample> {
    ends.exchange(requests / WARM_UP)?;
    let (before, start) = (stage.proxy.cpu_time()?, Instant::now());
    ends.exchange(requests)?;
    let elapsed = start.elapsed();
    let used = stage.proxy.cpu_time()? - before;
    Ok(Sample { cost: used.as_secs_f64() * 1e6 / requests as f64, rate: requests as f64 / elapsed.as_secs_f64() })
}

/// The ends of sessions: clients that ask again as soon as they are answered, and servers that answer what they are asked. One thread serves
/// them all.
pub struct Ends {
    poll: Poll,
    events: Events,
    /// Clients first, then as many servers.
    streams: Vec<TcpStream>,
    /// Bytes of the current message that each has got so far.
    received: Vec<usize>,
    nap: Duration,
}

impl Ends {
    pub fn new(sessions: Vec<Session>, nap: Duration) -> Result<Ends> {
        let poll = Poll::new()?;
        let (clients, backends): (Vec<_>, Vec<_>) =
            sessions.into_iter().map(|session| (session.client, session.backend)).unzip();
        let mut streams = Vec::new();
        for (number, stream) in clients.into_iter().chain(backends).enumerate() {
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            streams.push(stream);
        }
        Ok(Ends { poll, events: Events::with_capacity(1024), received: vec![0; streams.len()], streams, nap })
    }

    /// Has the clients make so many requests between them, and returns when all are answered.
    pub fn exchange(&mut self, requests: usize) -> Result<()> {
        let clients = self.streams.len() / 2;
        let (mut asked, mut answered) = (clients.min(requests), 0);
        for client in &self.streams[..asked] {
            send(client)?;
        }
        let mut progress = Instant::now();
        while answered < requests {
            self.poll.poll(&mut self.events, Some(self.nap))?;
            if self.events.is_empty() {
                if progress.elapsed() > PATIENCE {
                    return Err("requests remain without an answer".into());
                }
                continue;
            }
            progress = Instant::now();
            for event in &self.events {
                let Token(number) = event.token();
                if !receive(&self.streams[number], &mut self.received[number])? {
                    continue;
                }
                if number >= clients {
                    send(&self.streams[number])?;
                } else {
                    answered += 1;
                    if asked < requests {
                        asked += 1;
                        send(&self.streams[number])?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn send(mut stream: &TcpStream) -> Result<()> {
    match stream.write(&MESSAGE)? {
        length if length == MESSAGE.len() => Ok(()),
        _ => Err("a socket with nothing in it did not take a message".into()),
    }
}

/// Receives what is there; true when it completes a message.
fn receive(mut stream: &TcpStream, received: &mut usize) -> Result<bool> {
    let mut buffer = [0; 2 * MESSAGE.len()];
    match stream.read(&mut buffer) {
        Ok(0) => return Err("the proxy has ended a session".into()),
        Ok(length) => *received += length,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let complete = *received >= MESSAGE.len();
    if complete {
        *received = 0;
    }
    Ok(complete)
}
