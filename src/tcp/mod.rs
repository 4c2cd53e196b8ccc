//! The `tcp {}` block: its directives and its sessions.

mod access_log;
pub mod directives;
mod engine;
mod level;
mod linger;
mod listen;
mod session;
mod variables;

use std::rc::Rc;
use std::time::Duration;

use crate::log::access::LogId;
use crate::net::access::Rule;
use crate::relay::Timeouts;
use crate::upstream::Group;

pub use engine::Engine;
pub use level::Builder;
pub use listen::Listen;
use variables::Text;

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
    buffer: usize,
    nodelay: bool,
    keepalive: bool,
    rules: Vec<Rule>,
    access_logs: Vec<LogId>,
    content: Content,
}

/// What a server does with a session.
#[derive(Debug)]
enum Content {
    /// `proxy_pass`: the group's place in [`Config::groups`].
    Proxy(usize),
    /// `return`
    Return(Text),
    /// Neither: the session is closed.
    None,
}
