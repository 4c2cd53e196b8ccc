//! What `listen` directives say of a socket itself, whoever serves on it.

use super::{Address, ListenOptions};
use crate::conf::value::number;

/// The length of the kernel's queue, nginx's default.
const BACKLOG: i32 = 511;

/// The parameters of a `listen` that are about the socket. Only one directive of an address may have any.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketOptions {
    /// A socket of its own was asked for, even where a wildcard one would do: `bind`, or a parameter that implies it.
    pub bind: bool,
    /// `ipv6only=`; on when nothing is said.
    pub ipv6only: Option<bool>,
    backlog: Option<i32>,
    reuseport: bool,
}

impl SocketOptions {
    /// Takes `bind`, `reuseport` or `backlog=number`, which are the same in every block, of a `listen` on `addresses`; whether it was one of them.
    ///
    /// # Errors
    /// The message for the operator.
    pub fn take(&mut self, word: &str, addresses: &[Address]) -> Result<bool, String> {
        if word == "reuseport" {
            // The kernel spreads no clients over Unix sockets, and lets only one have a path.
            if let Some(unix) = addresses.iter().find(|address| matches!(address, Address::Unix(_))) {
                return Err(format!("reuseport is not supported on addr \"{unix}\""));
            }
            self.reuseport = true;
        } else if let Some(length) = word.strip_prefix("backlog=") {
            let length = number(length).and_then(|length| i32::try_from(length).ok()).filter(|length| *length > 0);
            self.backlog = Some(length.ok_or_else(|| format!("invalid backlog \"{word}\""))?);
        } else if word != "bind" {
            return Ok(false);
        }
        self.bind = true;
        Ok(true)
    }

    /// What the socket of `address` must be like.
    pub fn listen(&self, address: Address, nodelay: bool, keepalive: bool) -> ListenOptions {
        ListenOptions {
            address,
            backlog: self.backlog.unwrap_or(BACKLOG),
            ipv6only: self.ipv6only.unwrap_or(true),
            nodelay,
            keepalive,
            reuseport: self.reuseport,
        }
    }
}
