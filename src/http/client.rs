//! Who is at the other end of a connection, and how logs tell of it.

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use super::Server;
use super::request::Request;
use crate::context::Epoch;
use crate::log::error::ErrorLog;
use crate::log::{Level, Record, emit, enabled};
use crate::net::proxy_protocol::Endpoints;
use crate::net::{Address, Connection};
use crate::tally::Teller;
use crate::tls::{Fact, Told};

/// Who is at the other end.
pub(super) struct Client {
    /// `*N` in logs.
    pub number: u64,
    pub address: Address,
    /// When it came.
    pub since: Instant,
    /// Requests so far.
    pub requests: u64,
    /// The present request has been answered to the last byte.
    pub answered: bool,
    /// One of `debug_connection`'s clients.
    pub debug: bool,
    /// The configuration it came under.
    pub epoch: Epoch,
    pub connection: Connection,
    /// For the variables that tell of all connections.
    pub teller: Teller,
    /// For what is not about a request: the default server of its address, or the one of the host that its TLS hello names.
    pub server: Rc<Server>,
    /// What a proxy has said of the connection, by the PROXY protocol.
    pub announced: Option<Box<Announced>>,
    /// It stands for a client that speaks TLS, though this connection does not: what was known of that one's session.
    pub stands_for: Option<Box<Told>>,
    /// It has come to an address whose clients speak TLS.
    pub to_tls: bool,
    /// Where it connected to, once known.
    pub local: OnceCell<Address>,
}

/// What a header of the PROXY protocol says.
#[derive(Clone)]
pub(super) struct Announced {
    /// Between whom the connection is.
    pub endpoints: Endpoints,
    /// What it tells beside, for [`Tlv`](crate::net::proxy_protocol::tlv::Tlv).
    pub tlvs: Box<[u8]>,
}

/// What a path of ours must be led by to be found from outside: the host that the client used, and the port it came to.
pub(super) fn origin(client: &Client, request: &Request) -> Vec<u8> {
    let local = client.local();
    let mut origin = client.scheme().as_bytes().to_vec();
    origin.extend_from_slice(b"://");
    let location = &request.location;
    let host = if location.server_name_in_redirect { request.server.name.as_bytes() } else { &request.host };
    match (host.is_empty(), local) {
        (false, _) => origin.extend_from_slice(host),
        (true, Address::Inet(inet)) if inet.is_ipv6() => origin.extend(format!("[{}]", inet.ip()).bytes()),
        (true, local) => origin.extend(local.host().to_string().bytes()),
    }
    let told = |port: &u16| location.port_in_redirect && *port != if client.is_secure() { 443 } else { 80 };
    if let Some(port) = local.port().filter(told) {
        origin.extend(format!(":{port}").bytes());
    }
    origin
}

impl Client {
    /// The address the client connected to.
    pub(super) fn local(&self) -> &Address {
        let unknown = || Address::Unix(Default::default());
        self.local.get_or_init(|| self.connection.local_address().unwrap_or_else(|_| unknown()))
    }

    /// Whose request it is: that of the client that a trusted proxy names, else its own.
    pub(super) fn speaks_for<'a>(&'a self, request: &'a Request) -> &'a Address {
        request.real_ip.as_ref().unwrap_or(&self.address)
    }

    /// Whether it speaks TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.stands_for.is_some() || !self.connection.is_plain()
    }

    /// Appends what there is to tell of its TLS session; whether there is anything.
    pub(super) fn tell(&self, fact: Fact, out: &mut Vec<u8>) -> bool {
        match &self.stands_for {
            Some(told) => told.write(fact, out),
            None => self.connection.tls(|ssl| fact.write(ssl, out)).unwrap_or(false),
        }
    }

    /// `$scheme`
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// Where lines go: that of the location of a request, else of its server.
    fn error_log<'a>(&'a self, request: Option<&'a Request>) -> Option<&'a ErrorLog> {
        request.map_or(&self.server.own, |request| &request.location).error_log.as_ref()
    }

    /// A line for those who follow a request's steps.
    pub(super) fn debug(&self, request: &Request, message: fmt::Arguments<'_>) {
        if self.debug || enabled(Level::Debug, self.error_log(Some(request))) {
            self.log(Level::Debug, None, "", Some(request), message);
        }
    }

    /// A line for the error log.
    pub(super) fn log(
        &self,
        level: Level,
        error: Option<&io::Error>,
        action: &str,
        request: Option<&Request>,
        message: fmt::Arguments<'_>,
    ) {
        let context = While { action, client: self, request };
        let record = Record {
            level,
            connection: Some(self.number),
            error,
            context: Some(&context),
            debug_connection: self.debug,
            log: self.error_log(request),
        };
        emit(&record, message);
    }
}

/// What an error log line tells beside its message.
struct While<'a> {
    action: &'a str,
    client: &'a Client,
    request: Option<&'a Request>,
}

impl fmt::Display for While<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.action.is_empty() {
            write!(f, " while {}", self.action)?;
        }
        let client = self.request.map_or(&self.client.address, |request| self.client.speaks_for(request));
        write!(f, ", client: {}", client.host())?;
        let Some(request) = self.request else { return write!(f, ", server: {}", self.client.local()) };
        let line = String::from_utf8_lossy(request.head.line());
        write!(f, ", server: {}, request: \"{line}\"", request.server.name)?;
        if let Some(exchange) = &request.exchange
            && let Some(tried) = exchange.tries[exchange.earlier..].last()
        {
            let uri = String::from_utf8_lossy(exchange.uri(request));
            let scheme = if exchange.target.secure { "https" } else { "http" };
            let colon = if tried.peer.starts_with("unix:") { ":" } else { "" };
            write!(f, ", upstream: \"{scheme}://{}{colon}{uri}\"", tried.peer)?;
        }
        match request.head.field("host") {
            Some(host) => write!(f, ", host: \"{}\"", String::from_utf8_lossy(host)),
            None => Ok(()),
        }
    }
}
