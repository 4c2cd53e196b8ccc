//! `listen`: from the directives of all servers to sockets, and from a connection to the servers behind its address.

use std::rc::Rc;

use super::Server;
use super::names::{Name, Names, Refused};
use crate::conf::loader::Warning;
use crate::conf::{Call, Error, Place, Result};
use crate::net::addresses::{Addresses, Choice, Entry};
use crate::net::{Address, ListenOptions, SocketOptions, address};
use crate::tls;

/// One `listen` directive.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    addresses: Vec<Address>,
    default: bool,
    socket: SocketOptions,
    /// Clients speak TLS.
    ssl: bool,
    /// Clients begin with a header of the PROXY protocol.
    proxy_protocol: bool,
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
            ssl: false,
            proxy_protocol: false,
            place: None,
        }
    }

    pub(super) fn parse(call: &mut Call<'_>) -> Result<Self> {
        let words = call.texts()?;
        let text = words[0];
        let addresses = address::resolve_listen(text)
            .map_err(|why| call.error(format!("{why} in \"{text}\" of the \"listen\" directive")))?;
        let place = Some(call.node.place.clone());
        let socket = SocketOptions::default();
        let mut directive = Directive { addresses, default: false, socket, ssl: false, proxy_protocol: false, place };
        for &word in &words[1..] {
            directive.set(word).map_err(|message| call.error(message))?;
            if word == "http2" {
                call.warn(NO_HTTP2);
            }
        }
        Ok(directive)
    }

    fn set(&mut self, word: &str) -> std::result::Result<(), String> {
        if self.socket.take(word, &self.addresses)? || self.socket.take_tuning(word)? {
            return Ok(());
        }
        match word.split_once('=') {
            None if word == "default_server" || word == "default" => self.default = true,
            None if word == "ssl" => self.ssl = true,
            None if word == "proxy_protocol" => self.proxy_protocol = true,
            // Told of by whoever reads the line.
            None if word == "http2" => {}
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

/// What becomes of configurations that offer HTTP/2: clients are offered both versions in ALPN (RFC 7301), or begin with HTTP/1.1.
pub(super) const NO_HTTP2: &str =
    "\"http2\" is ignored: weir does not have HTTP/2 yet, and clients are served by HTTP/1.1";

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
    /// Clients speak TLS.
    pub(super) tls: bool,
    /// Clients begin with a header of the PROXY protocol.
    pub(super) proxy_protocol: bool,
    /// Some server takes what clients send before the handshake is over.
    pub(super) early_data: bool,
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

/// What is kept for an address.
struct Behind {
    names: Names,
    /// All servers of the address.
    servers: Vec<Rc<Server>>,
    /// The first `listen ... ssl` of the address.
    ssl: Option<Directive>,
    /// As soon as one server's directive says so: what clients send first cannot depend on the server they want.
    proxy_protocol: bool,
}

impl Behind {
    fn new(server: &Rc<Server>) -> Self {
        Behind { names: Names::new(server.clone()), servers: Vec::new(), ssl: None, proxy_protocol: false }
    }

    /// Whether there is a certificate for whoever comes. One server is enough, unless that has none to show: then each needs its own.
    fn check_certificates(&self) -> Result<()> {
        let Some(directive) = &self.ssl else { return Ok(()) };
        let default = self.names.default.tls.as_ref();
        let rejects = default.is_some_and(tls::Server::rejects);
        if default.is_none() || rejects && self.servers.iter().any(|server| server.tls.is_none()) {
            let message = "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive";
            return Err(directive.fault(message.into()));
        }
        Ok(())
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
                let new = || Behind::new(&served.server);
                let (behind, choice) = entries
                    .add(number, address, directive.socket, directive.default, new)
                    .map_err(|message| directive.fault(message))?;
                behind.servers.push(served.server.clone());
                behind.proxy_protocol |= directive.proxy_protocol;
                if directive.ssl && behind.ssl.is_none() {
                    behind.ssl = Some(directive.clone());
                }
                if choice == Choice::This {
                    behind.names.default = served.server.clone();
                }
            }
        }
    }
    for served in servers {
        for address in served.listens.iter().flat_map(|directive| &directive.addresses) {
            let Some(behind) = entries.get_mut(address) else { continue };
            let alone = behind.servers.len() == 1;
            for name in &served.names {
                match behind.names.add(name, &served.server) {
                    Err(Refused::Invalid) if !alone => {
                        let message = format!("invalid server name or wildcard \"{}\" on {address}", name.text);
                        return Err(Error::general(message));
                    }
                    Err(Refused::Taken) if !alone => {
                        let name = name.text.to_ascii_lowercase();
                        let message = format!("conflicting server name \"{name}\" on {address}, ignored");
                        warnings.push(Warning { message, place: None });
                    }
                    _ => {}
                }
            }
        }
    }
    for entry in entries.iter() {
        entry.what.check_certificates()?;
    }
    let route = |entry: &Entry<Behind>| {
        let Behind { names, ssl, proxy_protocol, servers } = &entry.what;
        let takes_early = |server: &Rc<Server>| server.tls.as_ref().is_some_and(tls::Server::takes_early_data);
        Rc::new(Route {
            address: entry.address.clone(),
            names: names.clone(),
            tls: ssl.is_some() || names.default.ssl,
            proxy_protocol: *proxy_protocol,
            early_data: servers.iter().any(takes_early),
        })
    };
    let listen = |(own, behind): (&Entry<Behind>, Vec<&Entry<Behind>>)| {
        let routes: Vec<Rc<Route>> = behind.into_iter().map(route).collect();
        let nodelay = routes.iter().all(|route| route.names.default.own.nodelay);
        Listen { options: own.socket.listen(own.address.clone(), nodelay, false), routes }
    };
    Ok(entries.sockets().map(listen).collect())
}
