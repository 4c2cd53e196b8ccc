//! Where to listen and where to connect: TCP addresses and Unix socket paths.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An address of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6 with port.
    Inet(SocketAddr),
    /// The path of a Unix socket; empty for one without a name.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Turns `host:port`, `host`, `[v6]:port` or `unix:path` into all its addresses, asking the system's resolver for names.
/// The error is nginx's word for it (`no host`, `invalid port`, `host not found`), which the caller completes.
pub fn resolve(_text: &str, _default_port: u16) -> Result<Vec<Address>, &'static str> {
    todo!()
}
