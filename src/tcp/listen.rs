//! `listen`: from the directives of all servers to sockets, and from a socket to the server that gets a session.

use std::rc::Rc;

use super::Server;
use super::websocket::Protocol;
use crate::conf::loader::Warning;
use crate::conf::{Call, Error, Place, Result};
use crate::net::addresses::{self, Addresses, Choice};
use crate::net::names::Names;
use crate::net::{Address, ListenOptions, SocketOptions, address};

/// One `listen` directive.
#[derive(Clone, Debug)]
pub(super) struct Directive {
    addresses: Vec<Address>,
    default: bool,
    socket: SocketOptions,
    /// Clients speak TLS.
    pub(super) ssl: bool,
    /// Clients begin with a header of the PROXY protocol.
    proxy_protocol: bool,
    pub(super) place: Place,
}

impl Directive {
    pub(super) fn parse(call: &mut Call<'_>) -> Result<Self> {
        let words = call.texts()?;
        let text = words[0];
        let addresses = address::resolve_listen(text)
            .map_err(|why| call.error(format!("{why} in \"{text}\" of the \"listen\" directive")))?;
        let mut directive = Directive {
            addresses,
            default: false,
            socket: SocketOptions::default(),
            ssl: false,
            proxy_protocol: false,
            place: call.node.place.clone(),
        };
        for &word in &words[1..] {
            match word {
                _ if directive.socket.take(word, &directive.addresses).map_err(|message| call.error(message))? => {}
                "default" => directive.default = true,
                "ssl" => directive.ssl = true,
                "proxy_protocol" => directive.proxy_protocol = true,
                _ => match word.strip_prefix("ipv6only=") {
                    Some(value) => {
                        let on = match value {
                            "on" => true,
                            "off" => false,
                            _ => return Err(call.error(format!("invalid ipv6only flags \"{value}\""))),
                        };
                        if !directive.addresses.iter().any(is_ipv6) {
                            return Err(call.error(format!("ipv6only is not supported on addr \"{text}\"")));
                        }
                        directive.socket.ipv6only = Some(on);
                        directive.socket.bind = true;
                    }
                    None => return Err(call.error(format!("the invalid \"{word}\" parameter"))),
                },
            }
        }
        Ok(directive)
    }
}

fn is_ipv6(address: &Address) -> bool {
    matches!(address, Address::Inet(inet) if inet.is_ipv6())
}

/// A listening socket and the servers behind it.
#[derive(Debug)]
pub struct Listen {
    /// What the socket must be like.
    pub options: ListenOptions,
    /// By local address: exact ones first, the socket's own last.
    routes: Vec<Rc<Route>>,
}

/// One address, and the server that gets its sessions.
#[derive(Debug)]
pub(super) struct Route {
    address: Address,
    /// The address as logs print it.
    pub(super) name: Rc<str>,
    pub(super) server: Rc<Server>,
    /// Whether clients speak TLS here; the server has what it takes.
    pub(super) tls: bool,
    pub(super) proxy_protocol: bool,
    /// The websocket servers of the address, where its own is one too.
    pub(super) names: Names<Rc<Server>>,
}

impl Listen {
    /// Whether the local address of a session must be known to choose its server.
    pub(super) fn needs_local(&self) -> bool {
        self.routes.len() > 1
    }

    /// The server for a session, by the address that the client connected to.
    pub(super) fn route(&self, local: Option<&Address>) -> &Rc<Route> {
        let (own, exact) = self.routes.split_last().expect("a socket has the route of its own address");
        exact.iter().find(|route| Some(&route.address) == local).unwrap_or(own)
    }
}

/// What is kept for an address.
struct Behind {
    /// As soon as one server's directive says so: what clients send first cannot depend on the server that gets them.
    proxy_protocol: bool,
    /// The one that gets the sessions.
    server: Rc<Server>,
    /// All servers of the address.
    servers: Vec<Rc<Server>>,
    /// The first `listen ... ssl` of the address.
    ssl: Option<Place>,
}

type Entry = addresses::Entry<Behind>;

/// Puts the directives of all servers together. The first server of an address gets its sessions, or the one marked `default`.
/// An address without `bind` shares the socket of its port's wildcard address, where there is one.
///
/// What an operator should know is added to `warnings`.
pub(super) fn build(servers: &[(Rc<Server>, Vec<Directive>)], warnings: &mut Vec<Warning>) -> Result<Vec<Listen>> {
    let mut entries = Addresses::default();
    for (number, (server, directives)) in servers.iter().enumerate() {
        for directive in directives {
            for address in &directive.addresses {
                add(&mut entries, number, server, directive, address)?;
            }
        }
    }
    for Behind { server, ssl, .. } in entries.iter().map(|entry| &entry.what) {
        if let (Some(place), None) = (ssl, &server.tls) {
            // Another server asked for it, but this one gets the sessions.
            let message = "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive";
            return Err(Error::at(place, message));
        }
    }
    let mut route = |entry: &Entry| {
        Rc::new(Route {
            address: entry.address.clone(),
            name: entry.address.to_string().into(),
            server: entry.what.server.clone(),
            tls: entry.what.server.ssl || entry.what.ssl.is_some(),
            proxy_protocol: entry.what.proxy_protocol,
            names: names(entry, warnings),
        })
    };
    let listen = |(own, behind): (&Entry, Vec<&Entry>)| {
        let routes: Vec<Rc<Route>> = behind.into_iter().map(&mut route).collect();
        Listen {
            options: own.socket.listen(
                own.address.clone(),
                routes.iter().all(|route| route.server.nodelay),
                routes.iter().all(|route| route.server.keepalive),
            ),
            routes,
        }
    };
    Ok(entries.sockets().map(listen).collect())
}

/// The names by which clients of an address can choose its servers. Only those can whose request is read, and only servers that expect one.
fn names(entry: &Entry, warnings: &mut Vec<Warning>) -> Names<Rc<Server>> {
    let mut names = Names::default();
    if entry.what.server.protocol == Protocol::Websocket {
        for server in entry.what.servers.iter().filter(|server| server.protocol == Protocol::Websocket) {
            for (word, name) in &server.names {
                if !names.add(name, server) {
                    let message = format!("conflicting server name \"{word}\" on {}, ignored", entry.address);
                    warnings.push(Warning { message, place: None });
                }
            }
        }
    }
    names
}

fn add(
    entries: &mut Addresses<Behind>,
    number: usize,
    server: &Rc<Server>,
    directive: &Directive,
    address: &Address,
) -> Result<()> {
    let new = || Behind { proxy_protocol: false, server: server.clone(), servers: Vec::new(), ssl: None };
    let (behind, choice) = entries
        .add(number, address, directive.socket, directive.default, new)
        .map_err(|message| Error::at(&directive.place, message))?;
    behind.servers.push(server.clone());
    behind.proxy_protocol |= directive.proxy_protocol;
    if directive.ssl && behind.ssl.is_none() {
        behind.ssl = Some(directive.place.clone());
    }
    if choice == Choice::This {
        behind.server = server.clone();
    }
    Ok(())
}
