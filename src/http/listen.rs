//! `listen`: from the directives of all servers to sockets, and from a connection to the servers behind its address.

use std::rc::Rc;

use super::Server;
use super::names::{Name, Names};
use crate::conf::loader::Warning;
use crate::conf::{Call, Error, Place, Result};
use crate::net::{Address, ListenOptions, SocketOptions, address};

/// One `listen` directive.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    addresses: Vec<Address>,
    default: bool,
    socket: SocketOptions,
    /// `None` for the address of a server that names none.
    place: Option<Place>,
}

impl Directive {
    /// What a server without a `listen` listens on: port 80, or 8000 for a master that may not have that.
    pub(super) fn default_address() -> Self {
        let port = if nix::unistd::Uid::effective().is_root() { "80" } else { "8000" };
        Directive {
            addresses: address::resolve_listen(port).unwrap_or_default(),
            default: false,
            socket: SocketOptions::default(),
            place: None,
        }
    }

    pub(super) fn parse(call: &mut Call<'_>) -> Result<Self> {
        let words = call.texts()?;
        let text = words[0];
        let addresses = address::resolve_listen(text)
            .map_err(|why| call.error(format!("{why} in \"{text}\" of the \"listen\" directive")))?;
        let place = Some(call.node.place.clone());
        let mut directive = Directive { addresses, default: false, socket: SocketOptions::default(), place };
        for &word in &words[1..] {
            directive.set(word).map_err(|message| call.error(message))?;
        }
        Ok(directive)
    }

    fn set(&mut self, word: &str) -> std::result::Result<(), String> {
        if self.socket.take(word, &self.addresses)? {
            return Ok(());
        }
        match word.split_once('=') {
            None if word == "default_server" || word == "default" => self.default = true,
            None if word == "ssl" => return Err("the \"ssl\" parameter is not offered by weir in http {} yet".into()),
            Some(("ipv6only", flag)) => {
                self.socket.ipv6only = Some(match flag {
                    "on" => true,
                    "off" => false,
                    _ => return Err(format!("invalid parameter \"{word}\"")),
                });
                self.socket.bind = true;
            }
            _ => return Err(format!("invalid parameter \"{word}\"")),
        }
        Ok(())
    }

    fn fault(&self, message: String) -> Error {
        match &self.place {
            Some(place) => Error::at(place, message),
            None => Error::general(message),
        }
    }
}

/// A server with its addresses and names.
pub(super) struct Served {
    pub server: Rc<Server>,
    pub names: Vec<Name>,
    pub listens: Vec<Directive>,
}

/// A listening socket and the servers behind it.
#[derive(Debug)]
pub struct Listen {
    /// What the socket must be like.
    pub options: ListenOptions,
    /// By local address: exact ones first, the socket's own last.
    routes: Vec<Rc<Route>>,
}

/// The servers of one address.
#[derive(Debug)]
pub(super) struct Route {
    address: Address,
    pub(super) names: Names,
}

impl Listen {
    /// The servers for a connection, by the address that the client connected to.
    pub(super) fn route(&self, local: &Address) -> &Rc<Route> {
        let (own, exact) = self.routes.split_last().expect("a socket has the route of its own address");
        exact.iter().find(|route| route.address == *local).unwrap_or(own)
    }

    /// Whether the local address of a connection must be known to choose its route.
    pub(super) fn needs_local(&self) -> bool {
        self.routes.len() > 1
    }
}

/// One address, with what all `listen` directives say of it.
struct Entry<'a> {
    address: &'a Address,
    socket: SocketOptions,
    default_set: bool,
    last_server: usize,
    names: Names,
}

/// Puts the directives of all servers together. An address without `bind` shares the socket of its port's wildcard address, where
/// there is one. None of the sockets may be among `taken`.
pub(super) fn build(servers: &[Served], taken: &[ListenOptions], warnings: &mut Vec<Warning>) -> Result<Vec<Listen>> {
    let mut entries: Vec<Entry> = Vec::new();
    for (number, served) in servers.iter().enumerate() {
        for directive in &served.listens {
            for address in &directive.addresses {
                if taken.iter().any(|options| options.address == *address) {
                    return Err(directive.fault(format!("duplicate \"{address}\" address and port pair")));
                }
                add(&mut entries, number, served, directive, address)?;
            }
        }
    }
    for served in servers {
        for entry in &mut entries {
            if !served.listens.iter().any(|directive| directive.addresses.contains(entry.address)) {
                continue;
            }
            for name in &served.names {
                if entry.names.add(name, &served.server).is_err() {
                    let message = format!("conflicting server name \"{}\" on {}, ignored", name.text, entry.address);
                    warnings.push(Warning { message, place: None });
                }
            }
        }
    }
    let routes: Vec<(Rc<Route>, &Entry)> = entries
        .iter()
        .map(|entry| (Rc::new(Route { address: entry.address.clone(), names: entry.names.clone() }), entry))
        .collect();
    let own_socket = |entry: &Entry| {
        entry.socket.bind
            || entry.address.is_wildcard()
            || !entries.iter().any(|other| other.address.covers(entry.address))
    };
    let listen = |(route, entry): &(Rc<Route>, &Entry)| {
        let shared = routes.iter().filter(|(_, other)| !own_socket(other) && entry.address.covers(other.address));
        let mut behind: Vec<Rc<Route>> = shared.map(|(route, _)| route.clone()).collect();
        behind.push(route.clone());
        Listen {
            options: entry.socket.listen(
                entry.address.clone(),
                behind.iter().all(|route| route.names.default.own.nodelay),
                false,
            ),
            routes: behind,
        }
    };
    Ok(routes.iter().filter(|(_, entry)| own_socket(entry)).map(listen).collect())
}

fn add<'a>(
    entries: &mut Vec<Entry<'a>>,
    number: usize,
    served: &Served,
    directive: &Directive,
    address: &'a Address,
) -> Result<()> {
    let fault = |what: &str| Err(directive.fault(format!("{what} {address}")));
    let Some(entry) = entries.iter_mut().find(|entry| entry.address == address) else {
        entries.push(Entry {
            address,
            socket: directive.socket,
            default_set: directive.default,
            last_server: number,
            names: Names::new(served.server.clone()),
        });
        return Ok(());
    };
    if entry.last_server == number {
        return fault("a duplicate listen");
    }
    entry.last_server = number;
    if directive.socket.bind {
        if entry.socket.bind {
            return fault("duplicate listen options for");
        }
        entry.socket = directive.socket;
    }
    if directive.default {
        if entry.default_set {
            return fault("a duplicate default server for");
        }
        entry.default_set = true;
        entry.names.default = served.server.clone();
    }
    Ok(())
}
