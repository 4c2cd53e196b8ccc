//! Variables of a tcp session, and text made of them.

use std::io::Write;

use crate::log::clock;
use crate::log::format::{Escape, Format};
use crate::net::Address;

/// What a session can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    RemoteAddr,
    RemotePort,
    ServerAddr,
    ServerPort,
    Connection,
    Pid,
    Hostname,
    TimeLocal,
    TimeIso8601,
    Msec,
}

const NAMES: &[(&str, Variable)] = &[
    ("remote_addr", Variable::RemoteAddr),
    ("remote_port", Variable::RemotePort),
    ("server_addr", Variable::ServerAddr),
    ("server_port", Variable::ServerPort),
    ("connection", Variable::Connection),
    ("pid", Variable::Pid),
    ("hostname", Variable::Hostname),
    ("time_local", Variable::TimeLocal),
    ("time_iso8601", Variable::TimeIso8601),
    ("msec", Variable::Msec),
];

/// Where the values of a session come from.
pub(super) struct Values<'a> {
    pub connection: u64,
    pub remote: &'a Address,
    pub local: &'a Address,
}

/// Text with variables of a session.
pub(super) type Text = Format<Variable>;

/// # Errors
/// nginx's message: a malformed or unknown variable.
pub(super) fn compile(text: &[u8], escape: Escape) -> Result<Text, String> {
    Format::compile(text, escape, |name| NAMES.iter().find(|(known, _)| *known == name).map(|(_, variable)| *variable))
}

impl Values<'_> {
    /// The text with the values of this session.
    pub(super) fn fill(&self, text: &Text) -> Vec<u8> {
        let mut out = Vec::new();
        text.fill(&mut out, |variable, out| variable.write(self, out));
        out
    }
}

impl Variable {
    fn write(self, values: &Values<'_>, text: &mut Vec<u8>) {
        let port = |address: &Address| address.port().map(|port| port.to_string()).unwrap_or_default();
        let written = match self {
            Variable::RemoteAddr => write!(text, "{}", values.remote.host()),
            Variable::RemotePort => write!(text, "{}", port(values.remote)),
            Variable::ServerAddr => match values.local {
                Address::Inet(inet) => write!(text, "{}", inet.ip()),
                unix => write!(text, "{unix}"),
            },
            Variable::ServerPort => write!(text, "{}", port(values.local)),
            Variable::Connection => write!(text, "{}", values.connection),
            Variable::Pid => write!(text, "{}", std::process::id()),
            Variable::Hostname => write!(text, "{}", hostname()),
            Variable::TimeLocal => write!(text, "{}", clock::now_local()),
            Variable::TimeIso8601 => write!(text, "{}", clock::now_iso8601()),
            Variable::Msec => write!(text, "{}", clock::now_msec()),
        };
        debug_assert!(written.is_ok(), "writing to memory does not fail");
    }
}

fn hostname() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
