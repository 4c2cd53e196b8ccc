//! The addresses of all servers of a block, and the sockets that serve them: nginx's rules for `listen`, the same for every block.

use std::collections::HashMap;

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
    places: HashMap<Address, usize>,
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
        let Some(&place) = self.places.get(address) else {
            self.places.insert(address.clone(), self.entries.len());
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

    /// What the block keeps for an address.
    pub fn get_mut(&mut self, address: &Address) -> Option<&mut T> {
        self.places.get(address).map(|&place| &mut self.entries[place].what)
    }

    /// The addresses that need a socket of their own, each with all addresses that are served through it, its own last. Without `bind` one
    /// shares the socket of its port's wildcard address, where there is one.
    pub fn sockets(&self) -> impl Iterator<Item = (&Entry<T>, Vec<&Entry<T>>)> {
        let mut behind: HashMap<usize, Vec<&Entry<T>>> = HashMap::new();
        let mut own = Vec::new();
        for (place, entry) in self.entries.iter().enumerate() {
            match self.shared(entry) {
                Some(place) => behind.entry(place).or_default().push(entry),
                None => own.push(place),
            }
        }
        own.into_iter().map(move |place| {
            let mut served = behind.remove(&place).unwrap_or_default();
            served.push(&self.entries[place]);
            (&self.entries[place], served)
        })
    }

    /// Whose socket an address shares.
    fn shared(&self, entry: &Entry<T>) -> Option<usize> {
        let wildcard = entry.address.wildcard().filter(|_| !entry.socket.bind)?;
        self.places.get(&wildcard).copied()
    }
}

impl<T> Default for Addresses<T> {
    fn default() -> Self {
        Addresses { entries: Vec::new(), places: HashMap::new() }
    }
}
