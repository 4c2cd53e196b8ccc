//! What one level of a `tcp {}` block says, and how levels become servers.

use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::listen;
use super::variables::{Text, Variable};
use super::{Config, Content, Server};
use crate::conf::{Error, Place, Result};
use crate::log::access::{AccessLogs, Conflict};
use crate::log::directive::{AccessLog, Entry, Formats};
use crate::log::error::{ErrorLogs, Sink};
use crate::net::access::{Match, Rule};
use crate::net::address;
use crate::net::proxy_protocol::Version;
use crate::relay::Timeouts;
use crate::resolver;
use crate::tls;
use crate::upstream::{Group, Peer};

/// The port of a server that names none.
const DEFAULT_PORT: u16 = 80;
/// What the timeouts are when nothing is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for the header of the PROXY protocol, as in nginx's stream module.
const DEFAULT_PROXY_PROTOCOL_TIMEOUT: Duration = Duration::from_secs(30);

/// What is said on one level, `tcp {}` or `server {}`; `None` where it says nothing and the level above counts.
#[derive(Debug, Default)]
pub struct Level {
    pub(super) timeout: Option<Duration>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) read_timeout: Option<Duration>,
    pub(super) send_timeout: Option<Duration>,
    /// `None` for `off` too.
    pub(super) resolver: Option<resolver::Settings>,
    pub(super) resolver_timeout: Option<Duration>,
    pub(super) buffer: Option<usize>,
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
    pub(super) ssl: tls::Settings,
    /// Of a `server {}` only.
    pub(super) returns: Option<Text>,
    pub(super) listens: Vec<listen::Directive>,
    /// Of `tcp {}` only, each with the place of its end.
    pub(super) servers: Vec<(Level, Place)>,
    pub(super) groups: Vec<Group>,
    pub(super) formats: Formats<Variable>,
}

/// `proxy_pass`, not resolved yet: the group it may name can stand below it.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    pub target: String,
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
    /// The ends of servers that have neither `proxy_pass` nor `return`, for a warning.
    pub idle: Vec<Place>,
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
        let mut assembly = Assembly { groups: Vec::new(), logs, error_logs, default_log, tls, idle: Vec::new() };
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
                        let message = format!("no resolver defined to resolve {}", line.host);
                        return Err(Error::at(&line.place, message));
                    }
                    (None, _) => {}
                }
                assembly.groups.push(Rc::new(group));
            }
            let named = first..assembly.groups.len();
            // Faults show even where every server says something else.
            if let Some(pass) = &block.proxy_pass {
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
        let config = Config { listens: listen::build(&servers)?, groups: assembly.groups };
        Ok(Built { config: Rc::new(config), idle: assembly.idle })
    }
}

/// The whole while it is put together.
struct Assembly<'a> {
    groups: Vec<Rc<Group>>,
    logs: &'a mut AccessLogs,
    error_logs: &'a mut ErrorLogs,
    default_log: PathBuf,
    tls: &'a mut tls::Shared,
    idle: Vec<Place>,
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
        let time = |own: Option<Duration>, main: Option<Duration>| own.or(main).unwrap_or(DEFAULT_TIMEOUT);
        let access_logs = self.access_logs(main, &own)?;
        let ssl = own.ssl.or(&main.ssl);
        let content = match (own.returns, own.proxy_pass.or_else(|| main.proxy_pass.clone())) {
            (Some(text), _) => Content::Return(text),
            (None, Some(pass)) => Content::Proxy(self.group(&pass, named)?),
            (None, None) => {
                self.idle.push(end);
                Content::None
            }
        };
        Ok(Server {
            timeouts: Timeouts {
                client: time(own.timeout, main.timeout),
                upstream_read: time(own.read_timeout, main.read_timeout),
                upstream_send: time(own.send_timeout, main.send_timeout),
            },
            connect_timeout: time(own.connect_timeout, main.connect_timeout),
            buffer: own.buffer.or(main.buffer).unwrap_or_else(page_size),
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
            tls: tls::Server::build(&ssl, tls_listen, self.tls)?,
            ssl: ssl.is_on(),
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

    /// The group that a `proxy_pass` means: one of the `named`, or one made of the addresses of a host.
    fn group(&mut self, pass: &Pass, named: Range<usize>) -> Result<usize> {
        let Pass { target, place } = pass;
        let fault = |message: String| Error::at(place, message);
        let host = target.split(':').next().unwrap_or_default();
        let by_name = |groups: &[Rc<Group>], name: &str| groups.iter().position(|group| group.name == name);
        if let Some(found) = by_name(&self.groups[named.clone()], target) {
            return Ok(named.start + found);
        }
        if let Some(port) = address::explicit_port(target)
            && by_name(&self.groups[named.clone()], host).is_some()
        {
            return Err(fault(format!("upstream \"{host}\" may not have port {port}")));
        }
        if let Some(found) = by_name(&self.groups[named.end..], target) {
            return Ok(named.end + found);
        }
        let addresses =
            address::resolve(target, DEFAULT_PORT).map_err(|why| fault(format!("{why} in upstream \"{target}\"")))?;
        let peers: Vec<Peer> = addresses.into_iter().map(Peer::new).collect();
        self.groups.push(Rc::new(Group::new(target, peers)));
        Ok(self.groups.len() - 1)
    }
}

fn page_size() -> usize {
    // The kernel always tells its page size; 4096 is that of every machine we run on but some ARM ones.
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().map_or(4096, |size| size as usize)
}
