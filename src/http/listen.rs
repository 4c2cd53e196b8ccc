//! `listen`: from the directives of all servers to sockets, and from a connection to the servers behind its address.

use std::rc::Rc;

use super::Server;
use super::names::{Name, Names};
use crate::conf::loader::Warning;
use crate::conf::{Call, Error, Place, Result};
use crate::net::addresses::{Addresses, Choice, Entry};
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

/// Puts the directives of all servers together. An address without `bind` shares the socket of its port's wildcard address, where
/// there is one. None of the sockets may be among `taken`.
pub(super) fn build(servers: &[Served], taken: &[ListenOptions], warnings: &mut Vec<Warning>) -> Result<Vec<Listen>> {
    let mut entries = Addresses::default();
    for (number, served) in servers.iter().enumerate() {
        for directive in &served.listens {
            for address in &directive.addresses {
                if taken.iter().any(|options| options.address == *address) {
                    return Err(directive.fault(format!("duplicate \"{address}\" address and port pair")));
                }
                let new = || Names::new(served.server.clone());
                let (names, choice) = entries
                    .add(number, address, directive.socket, directive.default, new)
                    .map_err(|message| directive.fault(message))?;
                if choice == Choice::This {
                    names.default = served.server.clone();
                }
            }
        }
    }
    for served in servers {
        for address in served.listens.iter().flat_map(|directive| &directive.addresses) {
            let Some(names) = entries.get_mut(address) else { continue };
            for name in &served.names {
                if names.add(name, &served.server).is_err() {
                    let message = format!("conflicting server name \"{}\" on {address}, ignored", name.text);
                    warnings.push(Warning { message, place: None });
                }
            }
        }
    }
    let route = |entry: &Entry<Names>| Rc::new(Route { address: entry.address.clone(), names: entry.what.clone() });
    let listen = |(own, behind): (&Entry<Names>, Vec<&Entry<Names>>)| {
        let routes: Vec<Rc<Route>> = behind.into_iter().map(route).collect();
        let nodelay = routes.iter().all(|route| route.names.default.own.nodelay);
        Listen { options: own.socket.listen(own.address.clone(), nodelay, false), routes }
    };
    Ok(entries.sockets().map(listen).collect())
}
