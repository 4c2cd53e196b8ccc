//! What one level of a `tcp {}` block says, and how levels become servers.

use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::listen;
use super::variables::{Text, Variable};
use super::websocket::{Destination, Destinations, Protocol, Secured, WebsocketPass};
use super::{Config, Content, Server};
use crate::conf::loader::Warning;
use crate::conf::{Call, Error, Place, Result};
use crate::log::access::{AccessLogs, Conflict};
use crate::log::directive::{AccessLog, Entry, Formats};
use crate::log::error::{ErrorLogs, Sink};
use crate::net::access::{Match, Rule};
use crate::net::names::Name;
use crate::net::proxy_protocol::Version;
use crate::net::reasons;
use crate::relay::{Timeouts, page_size};
use crate::resolver;
use crate::tls;
use crate::upstream::Group;

/// The port of a server that names none.
pub(super) const DEFAULT_PORT: u16 = 80;
/// What the timeouts are when nothing is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for the header of the PROXY protocol, as in nginx's stream module.
const DEFAULT_PROXY_PROTOCOL_TIMEOUT: Duration = Duration::from_secs(30);

/// What is said on one level, `tcp {}` or `server {}`; `None` where it says nothing and the level above counts.
#[derive(Debug, Default)]
pub struct Level {
    pub(super) timeout: Option<Duration>,
    /// `proxy_*`
    pub(super) proxy: Relaying,
    /// `websocket_*`
    pub(super) websocket: Relaying,
    /// `None` for `off` too.
    pub(super) resolver: Option<resolver::Settings>,
    pub(super) resolver_timeout: Option<Duration>,
    pub(super) nodelay: Option<bool>,
    pub(super) keepalive: Option<bool>,
    pub(super) rules: Option<Vec<Rule>>,
    pub(super) proxy_protocol_timeout: Option<Duration>,
    pub(super) real_ip_from: Option<Vec<Match>>,
    /// `Some(None)`: off.
    pub(super) proxy_protocol: Option<Option<Version>>,
    pub(super) access_logs: Option<Vec<AccessLog<Variable>>>,
    pub(super) error_logs: Option<Vec<Sink>>,
    pub(super) proxy_pass: Option<Pass>,
    /// Empty where the level says nothing.
    pub(super) websocket_passes: Vec<WebsocketPass>,
    pub(super) name: Option<ServerName>,
    pub(super) ssl: tls::Settings,
    /// Of a `server {}` only.
    pub(super) protocol: Protocol,
    pub(super) more_names: Vec<ServerName>,
    pub(super) returns: Option<Text>,
    pub(super) listens: Vec<listen::Directive>,
    /// Of `tcp {}` only, each with the place of its end.
    pub(super) servers: Vec<(Level, Place)>,
    pub(super) groups: Vec<Group>,
    pub(super) formats: Formats<Variable>,
}

impl tls::directives::Block for Level {
    fn tls(&mut self) -> &mut tls::Settings {
        &mut self.ssl
    }
}

/// How bytes are passed on, by `proxy_*` or by `websocket_*`.
#[derive(Debug, Default)]
pub(super) struct Relaying {
    pub connect_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    pub send_timeout: Option<Duration>,
    pub buffer: Option<usize>,
}

impl Relaying {
    fn or(&self, main: &Relaying) -> Relaying {
        Relaying {
            connect_timeout: self.connect_timeout.or(main.connect_timeout),
            read_timeout: self.read_timeout.or(main.read_timeout),
            send_timeout: self.send_timeout.or(main.send_timeout),
            buffer: self.buffer.or(main.buffer),
        }
    }
}

/// A word of `server_name`. What it means is asked only where it counts.
#[derive(Clone, Debug)]
pub(super) struct ServerName {
    word: String,
    place: Place,
}

impl ServerName {
    /// Argument `i`, counted from 1.
    pub(super) fn of(call: &Call<'_>, i: usize) -> Result<Self> {
        Ok(ServerName { word: call.text(i)?.to_owned(), place: call.node.place.clone() })
    }

    /// The word and its meaning.
    fn parse(&self) -> Result<(String, Name)> {
        let name = Name::parse(&self.word).map_err(|message| Error::at(&self.place, message))?;
        Ok((self.word.clone(), name))
    }
}

/// `proxy_pass` or `websocket_pass`, not resolved yet: the group it may name can stand below it.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub target: String,
    /// The port of a host that names none.
    pub port: u16,
    pub place: Place,
}

/// All `tcp {}` blocks while a configuration is read.
#[derive(Default)]
pub struct Builder {
    pub(super) blocks: Vec<Level>,
}

/// What [`Builder::build`] gives.
pub struct Built {
    /// The blocks as the worker needs them.
    pub config: Rc<Config>,
    /// What the operator should know.
    pub warnings: Vec<Warning>,
}

impl Builder {
    /// Settles inheritance, resolves names, and puts the listening sockets of all blocks together. Access log files are
    /// named to `logs`; servers that name none write to `default_log`. Error logs are named to `error_logs`. What TLS sessions share is named to `tls`.
    ///
    /// # Errors
    /// What can be seen only in the whole: unknown hosts, conflicting `listen` directives, servers without one.
    pub fn build(
        self,
        default_log: PathBuf,
        logs: &mut AccessLogs,
        error_logs: &mut ErrorLogs,
        tls: &mut tls::Shared,
    ) -> Result<Built> {
        let mut assembly =
            Assembly { groups: Vec::new(), logs, error_logs, default_log, tls, tls_client: None, warnings: Vec::new() };
        let mut servers = Vec::new();
        for mut block in self.blocks {
            let first = assembly.groups.len();
            let resolver = block.resolver.take().map(|settings| {
                let timeout = block.resolver_timeout.unwrap_or(settings.timeout);
                Rc::new(resolver::Settings { timeout, ..settings })
            });
            for mut group in std::mem::take(&mut block.groups) {
                match (group.followed.first(), &resolver) {
                    (Some(_), Some(settings)) => group.follow_by(settings.clone()),
                    (Some(line), None) => {
                        let message = format!("no resolver defined to resolve {}", line.name);
                        return Err(Error::at(&line.place, message));
                    }
                    (None, _) => {}
                }
                assembly.groups.push(Rc::new(group));
            }
            let named = first..assembly.groups.len();
            // Faults show even where every server says something else.
            let websocket_passes = block.websocket_passes.iter().map(|websocket| &websocket.pass);
            for pass in block.proxy_pass.iter().chain(websocket_passes) {
                assembly.group(pass, named.clone())?;
            }
            for log in block.access_logs.iter().flatten() {
                log.settle(&block.formats, &mut AccessLogs::default())?;
            }
            for (mut server, end) in std::mem::take(&mut block.servers) {
                let listens = std::mem::take(&mut server.listens);
                if listens.is_empty() {
                    return Err(Error::at(&end, "no \"listen\" is defined for server"));
                }
                servers.push((Rc::new(assembly.server(&block, server, &listens, end, named.clone())?), listens));
            }
        }
        let listens = listen::build(&servers, &mut assembly.warnings)?;
        let config = Config { listens, groups: assembly.groups };
        Ok(Built { config: Rc::new(config), warnings: assembly.warnings })
    }
}

/// The whole while it is put together.
struct Assembly<'a> {
    groups: Vec<Rc<Group>>,
    logs: &'a mut AccessLogs,
    error_logs: &'a mut ErrorLogs,
    default_log: PathBuf,
    tls: &'a mut tls::Shared,
    /// What connections to `wss://` servers are made from, once there is one.
    tls_client: Option<tls::Client>,
    warnings: Vec<Warning>,
}

impl Assembly<'_> {
    /// One server, with what it does not say taken from `main`. `named` are the `upstream {}` blocks it can mean.
    fn server(
        &mut self,
        main: &Level,
        own: Level,
        listens: &[listen::Directive],
        end: Place,
        named: Range<usize>,
    ) -> Result<Server> {
        let tls_listen = listens.iter().find(|listen| listen.ssl).map(|listen| &listen.place);
        let access_logs = self.access_logs(main, &own)?;
        let ssl = own.ssl.or(&main.ssl);
        let protocol = own.protocol;
        let (relaying, names) = match protocol {
            Protocol::Generic => (own.proxy.or(&main.proxy), Vec::new()),
            Protocol::Websocket => {
                let names = own.name.as_ref().or(main.name.as_ref()).into_iter().chain(&own.more_names);
                (own.websocket.or(&main.websocket), names.map(ServerName::parse).collect::<Result<_>>()?)
            }
        };
        let content = match (own.returns, protocol) {
            (Some(text), _) => Content::Return(text),
            (None, Protocol::Generic) => match own.proxy_pass.as_ref().or(main.proxy_pass.as_ref()) {
                Some(pass) => Content::Proxy(self.group(pass, named)?),
                None => self.idle("proxy_pass", end),
            },
            (None, Protocol::Websocket) => match (&own.websocket_passes[..], &main.websocket_passes[..]) {
                ([], []) => self.idle("websocket_pass", end),
                ([], passes) | (passes, _) => self.websocket(passes, named)?,
            },
        };
        Ok(Server {
            timeouts: Timeouts {
                client: own.timeout.or(main.timeout).unwrap_or(DEFAULT_TIMEOUT),
                upstream_read: relaying.read_timeout.unwrap_or(DEFAULT_TIMEOUT),
                upstream_send: relaying.send_timeout.unwrap_or(DEFAULT_TIMEOUT),
            },
            connect_timeout: relaying.connect_timeout.unwrap_or(DEFAULT_TIMEOUT),
            buffer: relaying.buffer.unwrap_or_else(page_size),
            nodelay: own.nodelay.or(main.nodelay).unwrap_or(true),
            keepalive: own.keepalive.or(main.keepalive).unwrap_or(false),
            rules: own.rules.or_else(|| main.rules.clone()).unwrap_or_default(),
            proxy_protocol_timeout: own
                .proxy_protocol_timeout
                .or(main.proxy_protocol_timeout)
                .unwrap_or(DEFAULT_PROXY_PROTOCOL_TIMEOUT),
            real_ip_from: own.real_ip_from.or_else(|| main.real_ip_from.clone()).unwrap_or_default(),
            proxy_protocol: own.proxy_protocol.or(main.proxy_protocol).flatten(),
            access_logs,
            error_log: own.error_logs.or_else(|| main.error_logs.clone()).map(|said| self.error_logs.add(&said)),
            tls: tls::Server::build(&ssl, tls_listen, tls::Clients::Nameless, tls::ocsp::Asked::default(), self.tls)?,
            ssl: ssl.is_on(),
            protocol,
            names,
            content,
        })
    }

    fn access_logs(&mut self, main: &Level, own: &Level) -> Result<Vec<Entry<Variable>>> {
        let Some(said) = own.access_logs.as_ref().or(main.access_logs.as_ref()) else {
            let path = &self.default_log;
            let conflict = |conflict: Conflict| Error::general(conflict.message(&path.to_string_lossy()));
            return Ok(vec![Entry::plain(self.logs.add_file(path, None).map_err(conflict)?)]);
        };
        said.iter().map(|log| log.settle(&main.formats, self.logs)).collect()
    }

    /// A server that has nothing to do for its clients.
    fn idle(&mut self, pass: &str, end: Place) -> Content {
        let message = format!("no \"{pass}\" or \"return\" is defined for server");
        self.warnings.push(Warning { message, place: Some(end) });
        Content::None
    }

    fn websocket(&mut self, passes: &[WebsocketPass], named: Range<usize>) -> Result<Content> {
        let mut all = Vec::new();
        for websocket in passes {
            let group = self.group(&websocket.pass, named.clone())?;
            let tls = if websocket.tls { Some(self.secured(websocket)?) } else { None };
            all.push((websocket.path.clone(), Destination { group, tls }));
        }
        Ok(Content::Websocket(Destinations::new(all)))
    }

    /// TLS for a `wss://` server.
    fn secured(&mut self, websocket: &WebsocketPass) -> Result<Secured> {
        let failed = |call: &'static str| {
            move |why| Error::at(&websocket.pass.place, format!("{call} failed (SSL: {})", reasons(&why)))
        };
        let client = match self.tls_client.take() {
            Some(client) => client,
            None => tls::Client::new().map_err(failed("SSL_CTX_new()"))?,
        };
        self.tls_client = Some(client.clone());
        Secured::new(client, websocket.host()).map_err(failed("SSL_set_tlsext_host_name()"))
    }

    /// The group that a pass means: one of the `named`, or one made of the addresses of a host.
    fn group(&mut self, pass: &Pass, named: Range<usize>) -> Result<usize> {
        Group::meant(&mut self.groups, named, &pass.target, pass.port, DEFAULT_PORT)
            .map_err(|message| Error::at(&pass.place, message))
    }
}
