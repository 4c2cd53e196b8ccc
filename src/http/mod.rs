//! The `http {}` block: its directives, and its requests.
//!
//! A request goes through these files: [`connection`] is its state machine, from the accepted client to the next request or the
//! end, with [`handshake`] and [`validation`] before it where clients speak TLS, and its steps in [`reading`], [`answering`] and [`ending`]; [`head`]
//! and [`uri`] take it apart, [`body`] knows where it ends; [`names`] and [`location`] choose what serves it, which the programs of
//! [`script`] may change; [`access`] says who may have it; [`handlers`] leads it through all that; [`returns`], [`files`] and
//! [`status`] make a [`response`], or [`proxy`] has a server make it; [`output`] sends it; logs tell of it by [`variables`].

mod access;
mod answering;
pub mod awaited;
mod basic_auth;
pub mod body;
pub mod cache;
mod client;
mod client_directives;
mod connection;
mod definitions;
pub mod directives;
mod ending;
mod engine;
mod entity;
mod error_pages;
mod field_directives;
mod field_names;
mod fields;
mod file_directives;
mod files;
mod geo;
mod gzip;
mod handlers;
mod handshake;
pub mod head;
mod keepalive;
mod level;
mod limit_except;
mod limits;
mod listen;
mod location;
mod map;
mod memory;
mod names;
mod output;
mod pace;
mod pages;
mod pieces;
pub mod proxy;
pub mod ranges;
mod reading;
mod real_ip;
mod regex;
mod request;
mod request_line;
mod response;
mod returns;
mod rewrite;
mod roots;
mod script;
mod script_directives;
mod script_settings;
mod settings;
mod split_clients;
mod ssl_directives;
mod status;
mod stub_status;
mod try_files;
mod tuning_directives;
mod types;
pub mod uri;
mod validation;
mod variables;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::log::directive::Entry;
use crate::log::error::ErrorLog;
use crate::tls;
use crate::upstream::Group;

pub use cache::{Cache, loader, manager};
pub use engine::{Engine, IDLE};
pub use level::{Builder, ToOpen};
pub use listen::Listen;
pub use variables::meanings;

/// All `http {}` blocks of a configuration, inheritance settled.
#[derive(Default)]
pub struct Config {
    /// The sockets to listen on.
    pub listens: Vec<Listen>,
    /// The groups of servers: `upstream {}` blocks, and the hosts that a `proxy_pass` names.
    pub groups: Vec<Rc<Group>>,
    /// Memory in which workers count requests together.
    pub zones: Vec<Rc<limits::zone::Zone>>,
    /// Folders that temporary files are made in.
    pub temp_folders: Vec<PathBuf>,
    /// What `proxy_cache_path` says.
    pub caches: Vec<Rc<cache::Cache>>,
}

/// One `server {}`.
#[derive(Debug)]
struct Server {
    /// The first of its names; empty when it has none.
    name: String,
    header_timeout: Duration,
    limits: head::Limits,
    merge_slashes: bool,
    ignore_invalid_headers: bool,
    underscores_in_headers: bool,
    /// What serves requests that no location takes, and says how errors are answered before one is chosen.
    own: Rc<Location>,
    locations: location::Locations,
    /// What is run before a location is found.
    program: script::Program,
    definitions: Rc<definitions::Definitions>,
    /// The groups of its `http {}`.
    groups: Rc<proxy::goal::Groups>,
    /// Of a server with certificates, whether its clients speak TLS or not.
    tls: Option<tls::Server>,
    /// `ssl on`
    ssl: bool,
}

/// What serves a request: a `location {}`, or what a server says outside of its locations.
#[derive(Debug)]
struct Location {
    /// What is run before access is decided and the answer is made.
    program: script::Program,
    /// The location's path with its `/` at the end, where a server stands behind it: who asks for it without is led there.
    slashed: Option<Vec<u8>>,
    /// Only redirects of ours lead here.
    internal: bool,
    try_files: Option<try_files::TryFiles>,
    content: Content,
    error_pages: Vec<error_pages::ErrorPage>,
    recursive_error_pages: bool,
    root: roots::Root,
    index: Vec<variables::Text>,
    types: Rc<types::Types>,
    default_type: Vec<u8>,
    access_logs: Vec<Entry<variables::Variable>>,
    /// `None`: the log of the process.
    error_log: Option<ErrorLog>,
    rewrite_log: bool,
    uninitialized_variable_warn: bool,
    server_tokens: Tokens,
    etag: bool,
    if_modified_since: ModifiedSince,
    max_ranges: usize,
    absolute_redirect: bool,
    port_in_redirect: bool,
    server_name_in_redirect: bool,
    sendfile: bool,
    nodelay: bool,
    nopush: bool,
    keepalive: Keepalive,
    max_body: u64,
    body_timeout: Duration,
    send_timeout: Duration,
    limit: pace::Limit,
    /// Answers whose length is not known come in chunks, where clients know them.
    chunked: bool,
    lingering: Lingering,
    /// `None`: everybody may come in.
    access: Option<access::Access>,
    /// What serves requests of other methods than those named.
    limit_except: Option<(limit_except::Methods, Rc<Location>)>,
    auth_delay: Duration,
    log_not_found: bool,
    /// `None`: however many requests clients bring.
    limits: Option<Rc<limits::Limits>>,
    /// `None`: nothing is added to answers.
    fields: Option<Rc<fields::Fields>>,
    /// `None`: nothing is compressed.
    gzip: Option<Rc<gzip::Gzip>>,
    /// Clients that have timed out are cut off without what they have not taken yet.
    reset_timed_out: bool,
    keepalive_disable: keepalive::Disabled,
    /// `None`: clients are who connects.
    real_ip: Option<real_ip::RealIp>,
}

/// What makes the answer when nothing is returned.
#[derive(Clone, Debug)]
enum Content {
    /// Files below the root.
    Files,
    /// `tcp_check_status`, which tells of the caches too.
    Status(Rc<[Rc<Cache>]>),
    /// `stub_status`
    Figures,
    /// `proxy_pass`
    Proxy(Rc<proxy::Settings>),
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

/// `keepalive_timeout`, `keepalive_requests` and `keepalive_time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keepalive {
    /// How long an idle connection stays; zero: no connection does.
    timeout: Duration,
    /// What the `Keep-Alive` field says, in seconds.
    header: Option<u64>,
    /// Requests a connection may bring.
    requests: u64,
    /// How old it may be after one.
    age: Duration,
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
