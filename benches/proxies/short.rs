//! Connections that carry one small request and its answer, plain and TLS.

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::contender::{Contender, without_splicing};
use crate::stage::{MESSAGE, PATIENCE, Stage};
use crate::table::{Sample, Table};
use crate::tls::Client;
use crate::workload::{Bench, rounds};
use crate::{Failure, Result};

/// Plain clients at a time.
const CLIENTS: usize = 32;

/// TLS clients at a time, a thread each.
const TLS_CLIENTS: usize = 8;

/// Each round begins with one connection in so many that is not measured.
const WARM_UP: usize = 10;

const LISTENER: Token = Token(usize::MAX);

pub fn plain(bench: &Bench) -> Result<Table> {
    let count = bench.options.connections;
    let contenders = bench.contenders(Contender::is_proxy);
    let stage = |contender: &Contender| Stage::set(bench, contender, 1, 1000, false);
    let rows = rounds(bench, &contenders, stage, |stage| {
        measure(stage, count, |count| Ends::new(stage, bench.options.nap())?.serve(count, CLIENTS))
    })?;
    Ok(Table { subject: format!("{count} connections a round, {CLIENTS} at a time"), rows })
}

pub fn tls(bench: &Bench) -> Result<Table> {
    let count = bench.options.connections / 5;
    let client = bench.certificate.client()?;
    let contenders = bench.contenders(without_splicing);
    let stage = |contender: &Contender| Stage::set(bench, contender, 1, 1000, true);
    let rows =
        rounds(bench, &contenders, stage, |stage| measure(stage, count, |count| exchange_tls(stage, &client, count)))?;
    Ok(Table {
        subject: format!(
            "{count} connections a round, {TLS_CLIENTS} at a time, {}, full handshakes",
            bench.certificate.kind()
        ),
        rows,
    })
}

/// Measures so many connections, after fewer.
fn measure(stage: &Stage, count: usize, exchange: impl Fn(usize) -> Result<()>) -> Result<Sample> {
    exchange(count / WARM_UP)?;
    let (before, start) = (stage.proxy.cpu_time()?, Instant::now());
    exchange(count)?;
    let elapsed = start.elapsed();
    let used = stage.proxy.cpu_time()? - before;
    Ok(Sample { cost: used.as_secs_f64() * 1e6 / count as f64, rate: count as f64 / elapsed.as_secs_f64() })
}

/// TLS clients in threads, and the server behind in this one.
fn exchange_tls(stage: &Stage, client: &Client, count: usize) -> Result<()> {
    let next = AtomicUsize::new(0);
    // The server sleeps, as the clients need its core.
    let mut server = Ends::new(stage, Duration::from_secs(1))?;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..TLS_CLIENTS)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    while next.fetch_add(1, Ordering::Relaxed) < count {
                        let mut stream = client.connect(stage.connect(0)?)?;
                        let mut answer = [0; MESSAGE.len()];
                        stream.write_all(&MESSAGE)?;
                        stream.read_exact(&mut answer)?;
                        stream.shutdown()?;
                    }
                    Ok(())
                })
            })
            .collect();
        server.serve(count, 0)?;
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| Failure::from("a client panicked"))?)
    })
}

/// Short-lived ends of sessions, both kinds in one thread.
struct Ends<'a> {
    stage: &'a Stage,
    poll: Poll,
    listener: TcpListener,
    ends: Slab<End>,
    /// Clients that are not answered yet.
    asking: usize,
    /// Connections from the proxy that have ended.
    ended: usize,
    nap: Duration,
}

enum End {
    /// Waits for the answer.
    Client(TcpStream),
    /// Waits for a request, then for the end.
    Server(TcpStream),
}

impl<'a> Ends<'a> {
    fn new(stage: &'a Stage, nap: Duration) -> Result<Ends<'a>> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::from_std(stage.backends[0].try_clone()?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Ends { stage, poll, listener, ends: Slab::new(), asking: 0, ended: 0, nap })
    }

    /// Lets so many connections come and go, `clients` of its own at a time, or others' when that is 0; returns when the last one has
    /// ended on both sides of the proxy.
    fn serve(&mut self, count: usize, clients: usize) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let (mut begun, mut progress) = (0, Instant::now());
        while self.ended < count {
            while begun < count && self.asking < clients {
                self.ask()?;
                begun += 1;
            }
            self.poll.poll(&mut events, Some(self.nap))?;
            if events.is_empty() {
                if progress.elapsed() > PATIENCE {
                    return Err(format!("only {} of {count} connections were served", self.ended).into());
                }
                continue;
            }
            progress = Instant::now();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(number) => self.turn(number, event.is_read_closed())?,
                }
            }
        }
        Ok(())
    }

    /// One more client. A connection over loopback stands as soon as it is asked for.
    fn ask(&mut self) -> Result<()> {
        let stream = std::net::TcpStream::connect(self.stage.proxy.listen)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        stream.write_all(&MESSAGE)?;
        let entry = self.ends.vacant_entry();
        self.poll.registry().register(&mut stream, Token(entry.key()), Interest::READABLE)?;
        entry.insert(End::Client(stream));
        self.asking += 1;
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let entry = self.ends.vacant_entry();
            self.poll.registry().register(&mut stream, Token(entry.key()), Interest::READABLE)?;
            entry.insert(End::Server(stream));
        }
    }

    /// Messages are so small that they come in one piece.
    fn turn(&mut self, number: usize, closed: bool) -> Result<()> {
        // The end of a connection may be reported again after it was dealt with.
        let Some(end) = self.ends.get_mut(number) else { return Ok(()) };
        let mut buffer = [0; 2 * MESSAGE.len()];
        match end {
            End::Client(stream) => {
                let length = received(stream.read(&mut buffer))?;
                match length {
                    Some(length) if length == MESSAGE.len() => {}
                    Some(length) => return Err(format!("a client got {length} bytes for an answer").into()),
                    None => return Ok(()),
                }
                self.asking -= 1;
            }
            End::Server(stream) => {
                let mut length = received(stream.read(&mut buffer))?;
                if length.is_some_and(|length| length > 0) {
                    stream.write_all(&MESSAGE)?;
                    if !closed {
                        return Ok(());
                    }
                    length = received(stream.read(&mut buffer))?;
                }
                if length != Some(0) {
                    return Ok(());
                }
                self.ended += 1;
            }
        }
        self.ends.remove(number);
        Ok(())
    }
}

/// What a read brought, none if it would have blocked. A reset is an end like any other.
fn received(outcome: std::io::Result<usize>) -> Result<Option<usize>> {
    match outcome {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Some(0)),
        Err(error) => Err(error.into()),
    }
}
