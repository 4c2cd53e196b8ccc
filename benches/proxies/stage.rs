//! A contender at work, with the servers behind it and the clients before it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::Result;
use crate::configuration::{Http, Service};
use crate::contender::{Contender, Running};
use crate::workload::Bench;

/// What clients send, and servers send back, where messages are small.
pub const MESSAGE: [u8; 64] = [b'x'; 64];

/// How long any single step may take before the run is given up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Sessions that are opened together; fewer than any queue of a listening socket holds.
const BATCH: usize = 64;

/// Sessions that a proxy of HTTP must be ready for.
const HTTP_SESSIONS: usize = 1000;

/// Clients from one address: the kernel has 28,000 ports for each.
const CLIENTS_PER_ADDRESS: usize = 20_000;

/// A contender that serves, and the listening sockets of its servers.
pub struct Stage {
    pub proxy: Running,
    pub backends: Vec<TcpListener>,
}

/// Both ends of a proxied session.
pub struct Session {
    pub client: TcpStream,
    pub backend: TcpStream,
}

impl Stage {
    /// Starts a contender for so many sessions at once, before so many servers.
    pub fn set(bench: &Bench, contender: &Contender, backends: usize, sessions: usize, tls: bool) -> Result<Stage> {
        Stage::serve(bench, contender, backends, sessions, tls, None)
    }

    /// The same with a service of HTTP, before one server.
    pub fn set_http(bench: &Bench, contender: &Contender, http: &Http, tls: bool) -> Result<Stage> {
        Stage::serve(bench, contender, 1, HTTP_SESSIONS, tls, Some(http))
    }

    fn serve(
        bench: &Bench,
        contender: &Contender,
        backends: usize,
        sessions: usize,
        tls: bool,
        http: Option<&Http>,
    ) -> Result<Stage> {
        let backends: Vec<TcpListener> =
            (0..backends).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<std::io::Result<_>>()?;
        let addresses: Vec<SocketAddr> =
            backends.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>()?;
        for backend in &backends {
            backend.set_nonblocking(true)?;
        }
        let service = Service { backends: &addresses, tls: tls.then_some(&bench.certificate), sessions, http };
        Ok(Stage { proxy: contender.start(bench, &service)?, backends })
    }

    /// Connects a client; the number of a client among many decides which address it comes from.
    pub fn connect(&self, number: usize) -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if number >= CLIENTS_PER_ADDRESS {
            let last = 1 + u8::try_from(number / CLIENTS_PER_ADDRESS)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
        }
        socket.connect(&self.proxy.listen.into())?;
        let client = TcpStream::from(socket);
        prepare(&client)?;
        Ok(client)
    }

    /// The next connection of the proxy to any of the servers.
    pub fn accept(&self) -> Result<TcpStream> {
        let start = Instant::now();
        loop {
            for listener in &self.backends {
                match listener.accept() {
                    Ok((backend, _)) => {
                        backend.set_nonblocking(false)?;
                        prepare(&backend)?;
                        return Ok(backend);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("the proxy does not connect to its server\n{}", self.proxy.logs()).into());
            }
            thread::yield_now();
        }
    }

    /// One session. Both ends belong to each other as long as nobody else connects meanwhile.
    pub fn session(&self) -> Result<Session> {
        let client = self.connect(0)?;
        Ok(Session { client, backend: self.accept()? })
    }

    /// So many sessions that have carried one message there and one back. Which ends belong together is not known.
    pub fn sessions(&self, count: usize) -> Result<Vec<Session>> {
        let mut sessions: Vec<Session> = Vec::with_capacity(count);
        let mut buffer = MESSAGE;
        while sessions.len() < count {
            let first = sessions.len();
            let clients: Vec<TcpStream> =
                (first..count.min(first + BATCH)).map(|number| self.connect(number)).collect::<Result<_>>()?;
            for client in clients {
                (&client).write_all(&MESSAGE)?;
                sessions.push(Session {
                    client,
                    backend: self.accept().map_err(|error| format!("session {}: {error}", sessions.len()))?,
                });
            }
            for session in &sessions[first..] {
                (&session.backend).read_exact(&mut buffer)?;
                (&session.backend).write_all(&MESSAGE)?;
            }
            for session in &sessions[first..] {
                (&session.client).read_exact(&mut buffer)?;
            }
        }
        Ok(sessions)
    }
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}
