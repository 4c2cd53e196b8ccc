//! The `tcp {}` block: its directives and its sessions.

mod access_log;
mod arrival;
pub mod directives;
mod engine;
pub mod head;
mod level;
mod linger;
mod listen;
mod session;
mod variables;
mod websocket;

use std::rc::Rc;
use std::time::Duration;

use crate::log::directive::Entry;
use crate::log::error::ErrorLog;
use crate::net::access::{Match, Rule};
use crate::net::names::Name;
use crate::net::proxy_protocol::Version;
use crate::relay::Timeouts;
use crate::tls;
use crate::upstream::Group;

pub use engine::Engine;
pub use level::Builder;
pub use listen::Listen;
pub use variables::meanings;
use variables::{Text, Variable};
use websocket::{Destinations, Protocol};

/// All `tcp {}` blocks of a configuration, inheritance settled.
#[derive(Default)]
pub struct Config {
    /// The sockets to listen on.
    pub listens: Vec<Listen>,
    /// The groups of all blocks; servers name theirs by its place here.
    pub groups: Vec<Rc<Group>>,
}

/// One `server {}`.
#[derive(Debug)]
pub struct Server {
    timeouts: Timeouts,
    connect_timeout: Duration,
    /// How much is read at once at first; a websocket's head may have eight times as many bytes.
    buffer: usize,
    nodelay: bool,
    keepalive: bool,
    rules: Vec<Rule>,
    /// How long a client of a `listen ... proxy_protocol` may take for its header.
    proxy_protocol_timeout: Duration,
    /// Senders whose header is believed; empty: headers are read, and change nothing.
    real_ip_from: Vec<Match>,
    /// The header that the upstream is sent.
    proxy_protocol: Option<Version>,
    /// Of a server with certificates, whether it uses them or not.
    tls: Option<tls::Server>,
    /// `ssl on`
    ssl: bool,
    access_logs: Vec<Entry<Variable>>,
    /// `None`: the log of the process.
    error_log: Option<ErrorLog>,
    protocol: Protocol,
    /// Of a websocket server: its names as written, and what they mean.
    names: Vec<(String, Name)>,
    content: Content,
}

/// What a server does with a session.
#[derive(Debug)]
enum Content {
    /// `proxy_pass`: the group's place in [`Config::groups`].
    Proxy(usize),
    /// `websocket_pass`
    Websocket(Destinations),
    /// `return`
    Return(Text),
    /// Neither: the session is closed.
    None,
}
