//! A client that has come: what is known of it, and what the logs say of it.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use socket2::Socket;

use super::listen::Route;
use super::variables::{Attempts, Values};
use super::{Server, access_log};
use crate::context::{Context, Epoch};
use crate::log::directive::Goal;
use crate::log::{Level, Record, access, emit, enabled};
use crate::net::Address;
use crate::net::access::Match;
use crate::net::proxy_protocol::Endpoints;

/// `$status`: how a session ended, by nginx's numbers.
pub(super) mod status {
    pub const OK: u16 = 200;
    /// What the client sent could not be read.
    pub const BAD_REQUEST: u16 = 400;
    /// A rule keeps the client out.
    pub const FORBIDDEN: u16 = 403;
    /// The fault is ours.
    pub const INTERNAL_ERROR: u16 = 500;
    /// No peer could be connected to.
    pub const BAD_GATEWAY: u16 = 502;
}

/// Who came, when and where: what is known of a session before anything is done for it.
pub(super) struct Arrival {
    /// `*N` in logs.
    pub number: u64,
    pub client: Address,
    /// Seconds since 1970.
    pub accepted: i64,
    pub began: Instant,
    /// The listening address it has come to.
    pub route: Rc<Route>,
    /// The route's default server, until the client names another.
    pub server: Rc<Server>,
    /// The configuration it came under.
    pub epoch: Epoch,
    /// One of `debug_connection`'s clients.
    pub debug: bool,
    /// What its header of the PROXY protocol said.
    pub announced: Option<Box<Endpoints>>,
}

/// What an error log line tells beside its message.
struct While<'a> {
    action: &'a str,
    arrival: &'a Arrival,
    upstream: Option<&'a str>,
}

impl fmt::Display for While<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.action.is_empty() {
            write!(f, " while {}", self.action)?;
        }
        write!(f, ", client: {}, server: {}", self.arrival.client.host(), self.arrival.route.name)?;
        match self.upstream {
            Some(upstream) => write!(f, ", upstream: \"{upstream}\""),
            None => Ok(()),
        }
    }
}

impl Arrival {
    pub(super) fn log(
        &self,
        level: Level,
        error: Option<&io::Error>,
        action: &str,
        upstream: Option<&str>,
        message: fmt::Arguments<'_>,
    ) {
        let context = While { action, arrival: self, upstream };
        let record = Record {
            level,
            connection: Some(self.number),
            error,
            context: Some(&context),
            debug_connection: self.debug,
            log: self.server.error_log.as_ref(),
        };
        emit(&record, message);
    }

    /// Whether a line of this level would be written anywhere.
    fn wants(&self, level: Level) -> bool {
        self.debug || enabled(level, self.server.error_log.as_ref())
    }

    /// A line for those who follow the program's steps.
    pub(super) fn debug(&self, message: fmt::Arguments<'_>) {
        if self.wants(Level::Debug) {
            self.log(Level::Debug, None, "", None, message);
        }
    }

    /// The client may not come in.
    pub(super) fn refused(&self, cx: &mut Context, socket: &Socket) {
        self.forbidden();
        let local = || Ok(Address::from_sockaddr(&socket.local_addr()?));
        let values = self.values(cx, &local);
        self.write_access_log(cx, &Values { status: status::FORBIDDEN, ..values });
    }

    pub(super) fn forbidden(&self) {
        self.log(Level::Notice, None, "", None, format_args!("access forbidden by rule"));
    }

    /// Whether the client is one of these.
    pub(super) fn comes_from(&self, named: &[Match]) -> bool {
        named.iter().any(|named| named.covers(&self.client))
    }

    /// Takes the client of the header for the client, where senders are known.
    pub(super) fn believe(&mut self, cx: &Context) {
        let trusted = self.comes_from(&self.server.real_ip_from);
        let Some(announced) = self.announced.as_ref().filter(|_| trusted) else { return };
        self.debug(format_args!("client {} is {}", self.client, announced.source));
        self.client = Address::Inet(announced.source);
        self.debug |= self.comes_from(&cx.debugged);
    }

    /// The reactor does not take the client's socket.
    pub(super) fn unwatchable(&self, error: &io::Error) {
        self.log(Level::Alert, Some(error), "", None, format_args!("epoll_ctl() failed"));
    }

    /// The client is let in.
    pub(super) fn greeted(&self) {
        if self.wants(Level::Info) {
            self.log(
                Level::Info,
                None,
                "",
                None,
                format_args!("client {} connected to {}", self.client, self.route.name),
            );
        }
    }

    /// What is known of a session before anything has been done for it.
    pub(super) fn values<'a>(&'a self, cx: &Context, local: &'a dyn Fn() -> io::Result<Address>) -> Values<'a> {
        Values {
            connection: self.number,
            pid: cx.pid,
            remote: &self.client,
            local,
            announced: self.announced.as_ref().map(|endpoints| &endpoints.source),
            tls: None,
            attempts: Attempts::default(),
            received: 0,
            sent: 0,
            elapsed: cx.reactor.now() - self.began,
            status: 0,
        }
    }

    pub(super) fn write_access_log(&self, cx: &mut Context, values: &Values<'_>) {
        for entry in &self.server.access_logs {
            if !entry.wanted(|variable, out| values.write(*variable, out)) {
                continue;
            }
            let line = match &entry.format {
                None => access_log::line(values, &self.route.name, self.accepted),
                Some(format) => {
                    let mut line = values.fill(format);
                    line.push(b'\n');
                    line
                }
            };
            match entry.goal(|variable, out| values.write(*variable, out)) {
                Goal::Log(log) => cx.logs.write(&mut cx.reactor, self.epoch, log, &line),
                Goal::File(path) => {
                    if let Err((call, error)) = access::append(&path, &line) {
                        let record = Record { error: Some(&error), ..Record::new(Level::Crit) };
                        emit(&record, format_args!("{call} \"{}\" failed", path.display()));
                    }
                }
            }
        }
    }
}
