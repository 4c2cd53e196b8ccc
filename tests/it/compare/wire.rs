//! A connection, over TLS or not.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use openssl::ssl::{SslAcceptor, SslStream};

use crate::common::tls_clients;

pub enum Wire {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

impl Wire {
    /// The client's side of TLS, which believes anybody; `None` when it comes to nothing.
    pub fn secure(stream: TcpStream, name: &str) -> Option<Wire> {
        let context = tls_clients::context(|_| {});
        tls_clients::connect(&context, Some(name), stream).ok().map(|stream| Wire::Tls(Box::new(stream)))
    }

    /// The server's side of TLS; `None` when it comes to nothing.
    pub fn accept(stream: TcpStream, acceptor: &SslAcceptor) -> Option<Wire> {
        acceptor.accept(stream).ok().map(|stream| Wire::Tls(Box::new(stream)))
    }

    pub fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => stream.get_ref(),
        }
    }

    /// What was agreed on, in words.
    pub fn agreed(&self) -> Option<String> {
        let Wire::Tls(stream) = self else { return None };
        let ssl = stream.ssl();
        let name = ssl.servername(openssl::ssl::NameType::HOST_NAME).unwrap_or("-");
        let (version, resumed) = (ssl.version_str(), if ssl.session_reused() { "resumed" } else { "new" });
        let shown = if ssl.peer_certificate().is_some() { ", a certificate" } else { "" };
        Some(format!("({version} to {name}, {resumed}{shown})"))
    }

    /// Tells the other side that nothing follows.
    pub fn end(&mut self) {
        if let Wire::Tls(stream) = self {
            let _ = stream.shutdown();
        }
        let _ = self.tcp().shutdown(Shutdown::Write);
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(buffer),
            Wire::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.write(bytes),
            Wire::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
