//! The addresses of all servers of a block, and the sockets that serve them: nginx's rules for `listen`, the same for every block.

use super::{Address, SocketOptions};

/// One address, with what all `listen` directives say of it.
pub struct Entry<T> {
    /// The address.
    pub address: Address,
    /// What a socket of its own would be like.
    pub socket: SocketOptions,
    /// What the block keeps for it.
    pub what: T,
    default_set: bool,
    last_server: usize,
}

/// All addresses, in the order in which servers name them.
pub struct Addresses<T> {
    entries: Vec<Entry<T>>,
}

/// Which server gets what comes to an address, as far as one directive settles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The directive's, being marked so.
    This,
    /// That of before; for a new address the directive's.
    AsBefore,
}

impl<T> Addresses<T> {
    /// Server number `server` listens on `address`; `what` makes what the block keeps for a new one.
    ///
    /// # Errors
    /// nginx's message: the server names the address twice, options or the default are said twice.
    pub fn add(
        &mut self,
        server: usize,
        address: &Address,
        socket: SocketOptions,
        default: bool,
        what: impl FnOnce() -> T,
    ) -> Result<(&mut T, Choice), String> {
        let place = self.entries.iter().position(|entry| entry.address == *address);
        let Some(place) = place else {
            let address = address.clone();
            self.entries.push(Entry { address, socket, what: what(), default_set: default, last_server: server });
            let last = self.entries.len() - 1;
            return Ok((&mut self.entries[last].what, Choice::AsBefore));
        };
        let entry = &mut self.entries[place];
        if entry.last_server == server {
            return Err(format!("a duplicate listen {address}"));
        }
        entry.last_server = server;
        if socket.bind {
            if entry.socket.bind {
                return Err(format!("duplicate listen options for {address}"));
            }
            entry.socket = socket;
        }
        if default && entry.default_set {
            return Err(format!("a duplicate default server for {address}"));
        }
        entry.default_set |= default;
        Ok((&mut entry.what, if default { Choice::This } else { Choice::AsBefore }))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter()
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<T>> {
        self.entries.iter_mut()
    }

    /// The addresses that need a socket of their own. Without `bind` one shares the socket of its port's wildcard address, where there is one.
    pub fn sockets(&self) -> impl Iterator<Item = &Entry<T>> {
        self.iter().filter(|entry| self.has_socket(entry))
    }

    /// The addresses behind the socket of `own`, its own last.
    pub fn behind<'a>(&'a self, own: &'a Entry<T>) -> impl Iterator<Item = &'a Entry<T>> {
        let shared = self.iter().filter(|entry| own.address.covers(&entry.address) && !self.has_socket(entry));
        shared.chain(std::iter::once(own))
    }

    fn has_socket(&self, entry: &Entry<T>) -> bool {
        entry.socket.bind
            || entry.address.is_wildcard()
            || !self.iter().any(|other| other.address.covers(&entry.address))
    }
}

impl<T> Default for Addresses<T> {
    fn default() -> Self {
        Addresses { entries: Vec::new() }
    }
}
