//! `proxy_pass`: a request is passed on to a server, and its answer to the client.
//!
//! ```text
//! Collecting ─▶ (Resolving) ─▶ Connecting ─▶ (Securing) ─▶ Asking ─▶ Answering ─▶ the next request of the client
//!     │              │          │  ▲            │           │ └────▶ Upgrading ─▶ Tunnel ─▶ closed
//!     │              │          │  └────────────┴───────────┤ the next peer
//!     └──────────────┴──────────┴───────────────────────────┴─▶ an answer of our own
//! ```
//!
//! [`exchange`] is this machine; [`pass`] and [`goal`] say where a request goes, [`secure`] agrees on TLS with the server, [`request`] how it is written for the server, [`collect`] keeps
//! its body; [`arrival`] brings the server's head, which [`head`] takes apart, [`answer`] makes the client's of it, [`body`] brings the rest, or [`direct`]; [`next`] decides about
//! another try, [`outcome`] brings it about, or the end; [`accel`] leads elsewhere by what a server says; [`spool`] is the memory and the files that bodies wait in; [`tunnel`] is
//! what an answer with 101 begins.

pub(super) mod accel;
pub(super) mod answer;
pub(super) mod answer_directives;
pub(super) mod answer_level;
mod arrival;
pub(super) mod body;
pub(super) mod body_files;
mod buffers;
pub(super) mod collect;
pub(super) mod cookies;
pub(super) mod direct;
pub(super) mod directives;
pub(super) mod exchange;
pub(super) mod goal;
pub mod head;
pub(super) mod level;
pub(super) mod next;
pub(super) mod outcome;
pub(super) mod part;
pub(super) mod pass;
pub(super) mod replace;
pub(super) mod request;
pub(super) mod secure;
pub(super) mod spool;
pub(super) mod target_directives;
pub(super) mod tls_directives;
pub(in crate::http) mod trailers;
pub(super) mod tunnel;
pub(super) mod variables;

use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::cache;
use super::field_names::FieldNames;
use super::gzip::encoder::Encoder;
use super::head::Version;
use super::output::Output;
use super::pace::Pace;
use super::variables::Text;
use crate::relay::{Flow, Relay};
use crate::resolver;
use crate::upstream::{Kept, Tried};
use body::Incoming;
use goal::{Goal, Peers};
use head::Head;
use next::Next;
use pass::Target;
use secure::Secured;
use spool::Spool;

/// What the `proxy_*` directives of a location come to.
#[derive(Debug)]
pub(super) struct Settings {
    pub goal: Goal,
    /// Whom to ask for the names of servers that only requests name.
    pub resolver: Option<Rc<resolver::Settings>>,
    /// The address of ours that connections to servers begin at.
    pub bind: Option<Text>,
    /// How TLS is spoken with servers; `None`: it never is.
    pub secured: Option<Secured>,
    /// Fields of the server's request, in their order; those with an empty value are left out.
    pub fields: Vec<(Vec<u8>, Text)>,
    /// Their names: the client's fields of these names are not passed on.
    pub said: FieldNames<Vec<Vec<u8>>>,
    pub version: Version,
    pub method: Option<Text>,
    pub body: Option<Text>,
    pub pass_fields: bool,
    pub pass_body: bool,
    pub request_buffering: bool,
    pub store: body_files::Store,
    pub connect_timeout: Duration,
    pub send_timeout: Duration,
    pub read_timeout: Duration,
    pub buffer_size: usize,
    pub buffering: bool,
    /// Bytes of an answer that wait in memory for a slow client.
    pub buffers: usize,
    pub max_temp_file: u64,
    pub temp: PathBuf,
    pub next: Next,
    pub ignore_client_abort: bool,
    pub socket_keepalive: bool,
    /// Fields of the answer that the client does not get, in lower case.
    pub hidden: FieldNames<Vec<Vec<u8>>>,
    pub answers: answer::Rules,
    pub cache: Option<Rc<cache::Settings>>,
    pub mirror: Option<cache::mirror::Settings>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The client's body is being read.
    Collecting,
    /// Another request is bringing what this one asks for: see [`super::cache`].
    Waiting,
    /// The server's name is being resolved.
    Resolving,
    /// A connection to a peer is being made.
    Connecting,
    /// TLS is being agreed on with it.
    Securing,
    /// The request is being sent, or the head of the answer is awaited.
    Asking,
    /// The answer is on its way to the client.
    Answering,
    /// The answer was 101, and is on its way to the client.
    Upgrading,
    /// Bytes go both ways.
    Tunnel,
}

/// One request with its server.
pub(super) struct Exchange {
    pub settings: Rc<Settings>,
    pub state: State,
    pub target: Rc<Target>,
    pub peers: Peers,
    /// The target as the server gets it; `None`: as the client wrote it.
    pub uri: Option<Vec<u8>>,
    /// The client's body, as far as it has been collected.
    pub body: Spool,
    /// It goes on to the server as it comes.
    pub streams: bool,
    pub upstream: Option<Upstream>,
    pub tried: Tried,
    /// Tries that are left, the present one not counted.
    pub tries_left: usize,
    pub began: Instant,
    /// One for each peer that was turned to, by exchanges before an error page too.
    pub tries: Vec<Try>,
    /// How many of them are those of exchanges before.
    pub earlier: usize,
    /// The server's head, once it is there.
    pub head: Option<Head>,
    /// The rest of the server's body.
    pub incoming: Incoming,
    /// What of the server's body the client gets, where that is not all.
    pub part: Option<Range<u64>>,
    /// The client gets chunks.
    pub chunked: bool,
    /// What the body is compressed by.
    pub encoder: Option<Box<Encoder>>,
    /// The answer waits in memory and files for a slow client.
    pub buffered: bool,
    pub spool: Spool,
    /// What the cache has to do with it.
    pub cache: Option<Box<cache::Access>>,
    /// Entries that the request is to give up are being looked for.
    pub purging: Option<Box<cache::purge::Walk>>,
    /// The body is kept as it comes.
    pub filling: Option<Box<cache::store::Filling>>,
    /// The client gets nothing any more; the server goes on for the cache.
    pub detached: bool,
    /// The rest of an answer that goes from connection to connection.
    pub flow: Option<Box<Flow>>,
    /// In [`State::Tunnel`].
    pub relay: Option<Box<Relay>>,
    /// The request has been led away to another location.
    pub left: bool,
    /// The answer has ended before its time: the client's connection ends behind what has come of it.
    pub cut: bool,
    /// When the server has taken too long.
    pub upstream_due: Option<Instant>,
    /// How fast the server is read from.
    pub pace: Option<Pace>,
    /// When a side goes on that has gone too fast.
    pub resumes: Option<Instant>,
    /// When the client has.
    pub client_due: Option<Instant>,
}

/// The connection to the present peer.
pub(super) struct Upstream {
    pub kept: Kept,
    pub peer: usize,
    /// It has served other requests before.
    pub reused: bool,
    /// It is asked with HEAD, whatever the client's method.
    pub asked_head: bool,
    pub output: Output,
    pub input: Option<BytesMut>,
    /// Answers with 1xx that it has sent.
    pub interim: u8,
}

/// What logs tell of one peer.
pub(super) struct Try {
    pub peer: Rc<str>,
    /// It is the first of its exchange.
    pub is_first: bool,
    pub began: Instant,
    /// 0: none.
    pub status: u16,
    pub connected: Option<Duration>,
    pub head: Option<Duration>,
    pub took: Option<Duration>,
    /// Of the body.
    pub length: u64,
    pub sent: u64,
    pub received: u64,
}
