//! The `http {}` block: its directives, and its requests.
//!
//! A request goes through these files: [`connection`] is its state machine, from the accepted client to the next request or the
//! end, with [`handshake`] before it where clients speak TLS; [`head`] and [`uri`] take it apart, [`body`] knows where it ends; [`names`] and [`location`] choose what serves it; the
//! handlers ([`returns`], [`files`], [`status`]) make a [`response`]; [`output`] sends it; logs tell of it by [`variables`].

mod access;
mod basic_auth;
pub mod body;
mod client;
mod client_directives;
mod connection;
pub mod directives;
mod ending;
mod engine;
mod files;
mod handlers;
mod handshake;
pub mod head;
mod level;
mod listen;
mod location;
mod names;
mod output;
mod pages;
pub mod ranges;
mod real_ip;
mod request;
mod response;
mod returns;
mod settings;
mod status;
mod types;
pub mod uri;
mod variables;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::log::directive::Entry;
use crate::log::error::ErrorLog;
use crate::tls;

pub use engine::Engine;
pub use level::{Builder, ToOpen};
pub use listen::Listen;

/// All `http {}` blocks of a configuration, inheritance settled.
#[derive(Default)]
pub struct Config {
    /// The sockets to listen on.
    pub listens: Vec<Listen>,
}

/// One `server {}`.
#[derive(Debug)]
struct Server {
    /// The first of its names; empty when it has none.
    name: String,
    header_timeout: Duration,
    limits: head::Limits,
    /// What serves requests that no location takes, and says how errors are answered before one is chosen.
    own: Rc<Location>,
    locations: location::Locations,
    /// Of a server with certificates, whether its clients speak TLS or not.
    tls: Option<tls::Server>,
    /// `ssl on`
    ssl: bool,
}

/// What serves a request: a `location {}`, or what a server says outside of its locations.
#[derive(Debug)]
struct Location {
    /// `return`
    returns: Option<returns::Return>,
    content: Content,
    root: PathBuf,
    index: Vec<Vec<u8>>,
    types: Rc<types::Types>,
    default_type: Vec<u8>,
    access_logs: Vec<Entry<variables::Variable>>,
    /// `None`: the log of the process.
    error_log: Option<ErrorLog>,
    server_tokens: Tokens,
    etag: bool,
    if_modified_since: ModifiedSince,
    max_ranges: usize,
    absolute_redirect: bool,
    sendfile: bool,
    nodelay: bool,
    nopush: bool,
    keepalive: Keepalive,
    max_body: u64,
    body_timeout: Duration,
    send_timeout: Duration,
    lingering: Lingering,
    /// `None`: everybody may come in.
    access: Option<access::Access>,
    /// `None`: clients are who connects.
    real_ip: Option<real_ip::RealIp>,
}

/// What makes the answer when nothing is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Files below the root.
    Files,
    /// `tcp_check_status`
    Status,
}

/// `server_tokens`: how the server calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tokens {
    Off,
    On,
}

impl Tokens {
    /// The name in the `Server` field and on error pages.
    fn name(self) -> &'static str {
        match self {
            Tokens::Off => "weir",
            Tokens::On => concat!("weir/", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// `if_modified_since`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModifiedSince {
    Off,
    Exact,
    Before,
}

/// `keepalive_timeout` and `keepalive_requests`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keepalive {
    /// How long an idle connection stays; zero: no connection does.
    timeout: Duration,
    /// What the `Keep-Alive` field says, in seconds.
    header: Option<u64>,
    /// Requests a connection may bring.
    requests: u64,
}

/// `lingering_close`, `lingering_time`, `lingering_timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lingering {
    close: LingeringClose,
    time: Duration,
    timeout: Duration,
}

/// When a connection that is to be closed is read from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LingeringClose {
    Off,
    /// When the client may still be sending.
    On,
    Always,
}
