//! Where a request goes: as the configuration says, or as `proxy_pass` with variables comes to for it.

use std::ops::Range;
use std::rc::Rc;

use super::next::Fault;
use super::pass::{PORT, TLS_PORT, Target, Uri};
use super::{Exchange, State};
use crate::context::Context;
use crate::event::Owner;
use crate::http::connection::{Session, Step, Verdict};
use crate::http::engine::RESOLVED;
use crate::http::variables::{Text, Values};
use crate::log::Level;
use crate::net::{Address, address};
use crate::resolver::{Failure, Found, Name, Wanted};

/// What `proxy_pass` says.
#[derive(Debug)]
pub(in crate::http) enum Goal {
    Fixed(Rc<Target>),
    /// A URL with variables.
    Variable(Text),
}

/// Whom a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Server {
    /// A group, by its number.
    Group(usize),
    /// An address, or all those of a name. As long as the groups have not been asked, the host and, where one is given, its port tell which.
    Host(Host),
}

/// The server of a URL that was made for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct Host {
    name: String,
    port: u16,
    /// The port is the usual one of the scheme.
    no_port: bool,
    address: Option<Address>,
}

/// The groups of an `http {}` block.
#[derive(Debug, Default)]
pub(in crate::http) struct Groups {
    /// The numbers of those that are `upstream {}` blocks.
    pub named: Range<usize>,
    /// What `hash` makes the keys of those of, where they have one.
    pub keys: Vec<Option<Text>>,
}

/// Whom a request may be sent to.
pub(in crate::http) enum Peers {
    /// One of a group, by its number.
    Group(usize),
    /// Addresses that were found for this request alone, tried in their order; the number of the next one.
    Found(Vec<Address>, usize),
}

/// The name that logs have for a peer, and which it is with its address; where none is left the name of the group.
pub(super) type Picked = (Rc<str>, Option<(usize, Address)>);

impl Goal {
    /// Where a request goes.
    ///
    /// # Errors
    /// nginx's message.
    pub(super) fn target(&self, values: &Values<'_>) -> Result<Rc<Target>, String> {
        match self {
            Goal::Fixed(target) => Ok(target.clone()),
            Goal::Variable(text) => {
                let url = String::from_utf8_lossy(&values.fill(text)).into_owned();
                parse(&url).map(Rc::new)
            }
        }
    }
}

/// Takes a URL apart that was made for a request.
fn parse(url: &str) -> Result<Target, String> {
    // As in nginx a scheme alone is none.
    let starts = |scheme: &str| {
        url.len() > scheme.len() && url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let (secure, rest) = match url {
        _ if starts("http://") => (false, &url["http://".len()..]),
        _ if starts("https://") => (true, &url["https://".len()..]),
        _ => return Err(format!("invalid URL prefix in \"{url}\"")),
    };
    let fault = |why: &str| format!("{why} in upstream \"{rest}\"");
    let usual = if secure { TLS_PORT } else { PORT };
    if rest.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("unix:")) {
        let (path, uri) = rest[5..].split_once(':').unwrap_or((&rest[5..], ""));
        let name = format!("unix:{path}");
        let address = address::literal(&name, usual).map_err(fault)?;
        let host = Host { name, port: 0, no_port: true, address };
        let (host_name, port) = ("localhost".to_owned(), String::new());
        return Ok(Target { server: Server::Host(host), secure, host: host_name, port, uri: Uri::made(uri) });
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, uri) = rest.split_at(end);
    let address = address::literal(authority, usual).map_err(fault)?;
    let explicit = address::explicit_port(authority);
    let name = explicit.and_then(|_| authority.rsplit_once(':')).map_or(authority, |(name, _)| name);
    let port = explicit.unwrap_or(usual);
    let host = Host { name: name.to_owned(), port, no_port: explicit.is_none(), address };
    let shown = if port == usual { name } else { authority };
    Ok(Target {
        server: Server::Host(host),
        secure,
        host: shown.to_owned(),
        port: port.to_string(),
        uri: Uri::made(uri),
    })
}

impl Host {
    /// Whether a group has this name: that of an `upstream {}` block has no port, that of a host in another `proxy_pass` the one it names.
    fn is(&self, group: &str, named: bool) -> bool {
        match named {
            true => self.no_port && group.eq_ignore_ascii_case(&self.name),
            false => match group.rsplit_once(':') {
                Some((name, port)) if port.parse() == Ok(self.port) => name.eq_ignore_ascii_case(&self.name),
                _ => self.port == PORT && group.eq_ignore_ascii_case(&self.name),
            },
        }
    }
}

impl Session {
    /// Finds out whom the request may be sent to, and begins to try them.
    pub(in crate::http) fn find_peers(&mut self, cx: &mut Context) -> Step {
        let Some(request) = &mut self.request else { return Step::Over };
        let groups = request.server.groups.clone();
        let Some(exchange) = &mut request.exchange else { return Step::Over };
        let target = exchange.target.clone();
        let host = match &target.server {
            Server::Group(_) => return self.try_peers(cx),
            Server::Host(host) => host,
        };
        exchange.state = State::Resolving;
        let is_it = |number: usize, name: &str| {
            let named = groups.named.contains(&number);
            // The blocks of another `http {}` are none of ours.
            (named || number >= groups.named.end) && host.is(name, named)
        };
        if let Some(group) = cx.stations.find(self.client.epoch, is_it) {
            exchange.peers = Peers::Group(group);
            return self.try_peers(cx);
        }
        if let Some(address) = &host.address {
            exchange.peers = Peers::Found(vec![address.clone()], 0);
            return self.try_peers(cx);
        }
        let resolver = exchange.settings.resolver.clone();
        let Some(settings) = resolver else {
            let message = format_args!("no resolver defined to resolve {}", host.name);
            self.log_upstream(Level::Error, None, message);
            return self.fail(cx, 502);
        };
        let Some(name) = Name::parse(&host.name) else {
            return self.resolved(cx, &Err(Failure::NOT_FOUND));
        };
        if let Some(found) = cx.resolver.known(&settings, &name, cx.reactor.now()) {
            return self.resolved(cx, &Ok(found));
        }
        let asker = Owner { part: RESOLVED, ..self.owner };
        cx.resolver.resolve(&mut cx.reactor, &settings, &name, Wanted::Addresses, asker);
        Step::Wait
    }

    /// The resolver has answered.
    pub(in crate::http) fn name_found(&mut self, cx: &mut Context, result: &Result<Found, Failure>) -> Verdict {
        let step = match self.exchange_state() {
            Some(State::Resolving) => self.resolved(cx, result),
            _ => Step::Wait,
        };
        self.go_on(cx, step)
    }

    /// The name of the server has been resolved, or not.
    fn resolved(&mut self, cx: &mut Context, result: &Result<Found, Failure>) -> Step {
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        let Server::Host(host) = &exchange.target.server else { return Step::Over };
        let (name, port) = (host.name.clone(), host.port);
        match result {
            Ok(found) => {
                let mut addresses: Vec<Address> =
                    found.addresses().map(|ip| Address::Inet((ip, port).into())).collect();
                // Each request begins with another one.
                let first = cx.resolver.turn() % addresses.len().max(1);
                addresses.rotate_left(first);
                exchange.peers = Peers::Found(addresses, 0);
                self.try_peers(cx)
            }
            Err(failure) => {
                self.log_upstream(Level::Error, None, format_args!("{name} could not be resolved ({failure})"));
                self.fail(cx, 502)
            }
        }
    }

    /// The next peer.
    pub(super) fn pick(&mut self, cx: &mut Context) -> Option<Picked> {
        let request = self.request.as_mut()?;
        let now = cx.reactor.now();
        let client = self.client.speaks_for(request).clone();
        let groups = &request.server.groups;
        let number = request.exchange.as_ref()?.group().and_then(|group| group.checked_sub(groups.named.start));
        let key = number.and_then(|number| groups.keys.get(number)?.as_ref());
        let key = key.map(|text| Values { client: &self.client, request, now }.fill(text)).unwrap_or_default();
        let exchange = request.exchange.as_mut()?;
        match &mut exchange.peers {
            Peers::Group(group) => {
                let balancer = cx.stations.balancer(self.client.epoch, *group)?;
                Some(match balancer.pick_by(&key, &mut exchange.tried, &client, now) {
                    Some(peer) => {
                        let config = balancer.peer(peer);
                        (config.name.clone(), Some((peer, config.address.clone())))
                    }
                    None => (balancer.group().name.as_str().into(), None),
                })
            }
            Peers::Found(addresses, next) => {
                let number = *next;
                *next += 1;
                Some(match addresses.get(number) {
                    Some(address) => (address.to_string().into(), Some((number, address.clone()))),
                    None => (exchange.target.host.as_str().into(), None),
                })
            }
        }
    }

    /// A check has found its peer down: the exchange with it ends.
    pub(in crate::http) fn peer_fell(&mut self, cx: &mut Context) -> Verdict {
        self.log_upstream(Level::Info, None, format_args!("upstream is down by a check, closing connection"));
        let step = match self.exchange_state() {
            Some(State::Connecting | State::Securing | State::Asking) => self.give_up(cx, Fault::ERROR),
            Some(State::Answering) => self.cut(cx),
            Some(State::Upgrading | State::Tunnel) => self.end_tunnel(cx),
            _ => Step::Wait,
        };
        self.go_on(cx, step)
    }

    /// No answer of the resolver is waited for any more.
    pub(super) fn stop_resolving(&self, cx: &mut Context) {
        if self.exchange_state() == Some(State::Resolving) {
            cx.resolver.forget(Owner { part: RESOLVED, ..self.owner });
        }
    }

    fn exchange_state(&self) -> Option<State> {
        let exchange: &Exchange = self.request.as_ref()?.exchange.as_ref()?;
        Some(exchange.state)
    }
}

impl Exchange {
    /// The number of the group that its peers are of.
    pub(super) fn group(&self) -> Option<usize> {
        match self.peers {
            Peers::Group(group) => Some(group),
            Peers::Found(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_made_for_a_request() {
        let host = |url: &str| match parse(url).unwrap() {
            Target { server: Server::Host(host), host: shown, port, secure, .. } => {
                (host.name, host.port, host.no_port, host.address.is_some(), shown, port, secure)
            }
            target => panic!("{target:?}"),
        };
        let row = |name: &str, port, no_port, address, shown: &str, told: &str, secure| {
            (name.to_owned(), port, no_port, address, shown.to_owned(), told.to_owned(), secure)
        };
        assert_eq!(host("http://a"), row("a", 80, true, false, "a", "80", false));
        assert_eq!(host("HTTPS://a:443/x"), row("a", 443, false, false, "a", "443", true));
        assert_eq!(host("http://a:81?x:1"), row("a", 81, false, false, "a:81", "81", false));
        assert_eq!(host("http://127.0.0.1:8/"), row("127.0.0.1", 8, false, true, "127.0.0.1:8", "8", false));
        assert_eq!(host("https://[::1]/"), row("[::1]", 443, true, true, "[::1]", "443", true));
        assert_eq!(host("http://unix:/s:/x"), row("unix:/s", 0, true, true, "localhost", "", false));
    }

    #[test]
    fn faults_in_nginx_words() {
        for (url, fault) in [
            ("", "invalid URL prefix in \"\""),
            ("ftp://a", "invalid URL prefix in \"ftp://a\""),
            ("http://", "invalid URL prefix in \"http://\""),
            ("http:///x", "no host in upstream \"/x\""),
            ("http://:80", "no host in upstream \":80\""),
            ("http://a:0/", "invalid port in upstream \"a:0/\""),
            ("http://a:x", "invalid port in upstream \"a:x\""),
            ("http://unix:", "no path in the unix domain socket in upstream \"unix:\""),
        ] {
            assert_eq!(parse(url).unwrap_err(), fault, "{url}");
        }
    }

    #[test]
    fn names_of_groups() {
        let Target { server: Server::Host(host), .. } = parse("http://Name").unwrap() else { panic!() };
        assert!(host.is("name", true) && host.is("name", false) && host.is("name:80", false));
        assert!(!host.is("name:80", true) && !host.is("name:81", false) && !host.is("other", true));
        let Target { server: Server::Host(host), .. } = parse("http://name:80").unwrap() else { panic!() };
        assert!(!host.is("name", true) && host.is("name", false));
    }
}
