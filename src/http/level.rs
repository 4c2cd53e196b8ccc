//! What one level of an `http {}` block says, and how levels become servers and locations.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::access::{Access, Satisfy};
use super::basic_auth::{BasicAuth, Users};
use super::cache::Cache;
use super::definitions::{Definitions, Registry};
use super::error_pages::ErrorPage;
use super::fields;
use super::gzip;
use super::head::Limits;
use super::keepalive::Disabled;
use super::limit_except::Methods;
use super::limits;
use super::location::{Locations, Pattern};
use super::names::Name;
use super::pace;
use super::proxy;
use super::proxy::goal::{Goal, Groups};
use super::real_ip::{RealIp, Source};
use super::roots::{Alias, Root};
use super::script::{Branch, Program, Step};
use super::try_files::TryFiles;
use super::types::Types;
use super::variables::{self, Text, Variable};
use super::{Config, Content, Keepalive, Lingering, LingeringClose, Location, ModifiedSince, Server, Tokens, listen};
use crate::conf::loader::Warning;
use crate::conf::{Error, Place, Result, inherit};
use crate::log::access::{AccessLogs, Conflict};
use crate::log::directive::{AccessLog, Entry, Formats};
use crate::log::error::{ErrorLogs, Sink};
use crate::net::ListenOptions;
use crate::net::access::{Match, Rule};
use crate::tls;
use crate::upstream::Group;

const MINUTE: Duration = Duration::from_secs(60);

/// What is said on one level, `http {}`, `server {}` or `location {}`; `None` where it says nothing and the level above counts.
#[derive(Clone, Debug, Default)]
pub struct Level {
    pub(super) root: Option<Root>,
    pub(super) index: Option<Vec<Text>>,
    pub(super) types: Option<Rc<Types>>,
    pub(super) default_type: Option<Vec<u8>>,
    pub(super) access_logs: Option<Vec<AccessLog<Variable>>>,
    pub(super) error_logs: Option<Vec<Sink>>,
    pub(super) server_tokens: Option<Tokens>,
    pub(super) etag: Option<bool>,
    pub(super) if_modified_since: Option<ModifiedSince>,
    pub(super) max_ranges: Option<usize>,
    pub(super) absolute_redirect: Option<bool>,
    pub(super) port_in_redirect: Option<bool>,
    pub(super) server_name_in_redirect: Option<bool>,
    /// Of `http {}` and `server {}` only, these three.
    pub(super) merge_slashes: Option<bool>,
    pub(super) ignore_invalid_headers: Option<bool>,
    pub(super) underscores_in_headers: Option<bool>,
    pub(super) sendfile: Option<bool>,
    pub(super) nodelay: Option<bool>,
    pub(super) nopush: Option<bool>,
    pub(super) keepalive_timeout: Option<Duration>,
    /// What `Keep-Alive` tells, in seconds; inherited by itself, as in nginx.
    pub(super) keepalive_header: Option<u64>,
    pub(super) keepalive_requests: Option<u64>,
    pub(super) keepalive_time: Option<Duration>,
    pub(super) max_body: Option<u64>,
    pub(super) body_timeout: Option<Duration>,
    pub(super) send_timeout: Option<Duration>,
    pub(super) limit: pace::Limit,
    pub(super) chunked: Option<bool>,
    pub(super) lingering_close: Option<LingeringClose>,
    pub(super) lingering_time: Option<Duration>,
    pub(super) lingering_timeout: Option<Duration>,
    pub(super) proxy: proxy::level::Said,
    pub(super) header_timeout: Option<Duration>,
    pub(super) header_buffer: Option<usize>,
    /// With its place.
    pub(super) large_buffers: Option<(usize, usize, Place)>,
    /// `connection_pool_size`, which bounds them.
    pub(super) pool_size: Option<usize>,
    pub(super) error_pages: Option<Vec<ErrorPage>>,
    pub(super) recursive_error_pages: Option<bool>,
    pub(super) rewrite_log: Option<bool>,
    pub(super) uninitialized_variable_warn: Option<bool>,
    pub(super) ssl: tls::Settings,
    pub(super) rules: Option<Vec<Rule>>,
    pub(super) satisfy: Option<Satisfy>,
    pub(super) realm: Option<Text>,
    pub(super) users: Option<Users>,
    pub(super) auth_delay: Option<Duration>,
    pub(super) limits: limits::Said,
    pub(super) gzip: gzip::Said,
    pub(super) log_not_found: Option<bool>,
    pub(super) fields: fields::Said,
    pub(super) reset_timed_out: Option<bool>,
    pub(super) keepalive_disable: Option<Disabled>,
    pub(super) real_ip_from: Option<Vec<Match>>,
    pub(super) real_ip_header: Option<Source>,
    pub(super) real_ip_recursive: Option<bool>,
    /// Not inherited: what this level itself does and answers with.
    pub(super) steps: Vec<Step<Level>>,
    pub(super) internal: bool,
    pub(super) try_files: Option<TryFiles>,
    pub(super) content: Option<Content>,
    /// Of a `server {}` only.
    pub(super) listens: Vec<listen::Directive>,
    pub(super) names: Vec<Name>,
    /// Of a `location {}` only.
    pub(super) pattern: Option<Pattern>,
    pub(super) limit_except: Option<(Methods, Box<Level>)>,
    /// Of a `server {}` or a `location {}`.
    pub(super) locations: Vec<(Pattern, Level)>,
    /// Of `http {}` only.
    pub(super) zones: Vec<Rc<limits::zone::Zone>>,
    pub(super) groups: Vec<Group>,
    pub(super) caches: Vec<Rc<Cache>>,
    /// Where each of them is said.
    pub(super) cache_places: Vec<Place>,
    /// What `hash` of each of them makes its key of.
    pub(super) group_keys: Vec<Option<Text>>,
    pub(super) servers: Vec<Level>,
    pub(super) formats: Formats<Variable>,
    /// The variables of the block; an inner level has them while it is read.
    pub(super) registry: Registry,
}

impl tls::directives::Block for Level {
    fn tls(&mut self) -> &mut tls::Settings {
        &mut self.ssl
    }
}

/// All `http {}` blocks while a configuration is read.
#[derive(Default)]
pub struct Builder {
    pub(super) blocks: Vec<Level>,
}

/// What blocks name while a configuration is read, and what is opened when it is used.
pub struct ToOpen<'a> {
    /// Access log files.
    pub access_logs: &'a mut AccessLogs,
    /// Error logs.
    pub error_logs: &'a mut ErrorLogs,
    /// What TLS sessions share.
    pub tls: &'a mut tls::Shared,
}

impl Builder {
    /// Settles inheritance and puts the listening sockets together; none may be among `taken`, those of the other blocks. Servers that name
    /// no access log write to `default_log`.
    ///
    /// # Errors
    /// What can be seen only in the whole: conflicting `listen` directives, unknown log formats.
    pub fn build(
        self,
        prefix: &std::path::Path,
        default_log: PathBuf,
        to_open: ToOpen<'_>,
        taken: &[ListenOptions],
        warnings: &mut Vec<Warning>,
    ) -> Result<Config> {
        let ToOpen { access_logs: logs, error_logs, tls } = to_open;
        let (mut servers, mut groups, mut temp_folders) = (Vec::new(), Vec::new(), Vec::new());
        let mut caches: Vec<Rc<Cache>> = Vec::new();
        let (mut tls_clients, mut zones) = (Vec::new(), Vec::new());
        for mut block in self.blocks {
            let first = groups.len();
            let resolver = block.proxy.resolver();
            for mut group in std::mem::take(&mut block.groups) {
                match (group.followed.first(), &resolver) {
                    (Some(_), Some(settings)) => group.follow_by(settings.clone()),
                    (Some(line), None) => {
                        let message = format!("no resolver defined to resolve {}", line.name);
                        return Err(Error::at(&line.place, message));
                    }
                    (None, _) => {}
                }
                groups.push(Rc::new(group));
            }
            let named_groups =
                Rc::new(Groups { named: first..groups.len(), keys: std::mem::take(&mut block.group_keys) });
            let mut formats = std::mem::take(&mut block.formats);
            formats.insert("combined", variables::combined());
            let definitions = Rc::new(block.registry.settle()?);
            // Faults show even where every server says something else.
            for log in block.access_logs.iter().flatten() {
                log.settle(&formats, &mut AccessLogs::default())?;
            }
            let known = std::mem::take(&mut block.caches);
            temp_folders.extend(known.iter().map(|cache| cache.path.clone()));
            let mut assembly = Assembly {
                prefix,
                default_log: &default_log,
                logs: &mut *logs,
                error_logs: &mut *error_logs,
                formats: &formats,
                definitions: &definitions,
                groups: &mut groups,
                zones: &block.zones,
                named_groups,
                caches: &known,
                temp_folders: &mut temp_folders,
                tls: &mut *tls,
                tls_clients: &mut tls_clients,
                warnings: &mut *warnings,
            };
            for mut server in std::mem::take(&mut block.servers) {
                let mut listens = std::mem::take(&mut server.listens);
                if listens.is_empty() {
                    listens.push(listen::Directive::default_address());
                }
                let mut names = std::mem::take(&mut server.names);
                if names.is_empty() {
                    names.push(Name::nameless());
                }
                let built = assembly.server(&block, server, &names)?;
                servers.push(listen::Served { server: Rc::new(built), names, listens });
            }
            caches.extend(known);
            zones.append(&mut block.zones);
        }
        groups.iter_mut().for_each(|group| Rc::make_mut(group).recovers = false);
        Ok(Config { listens: listen::build(&servers, taken, warnings)?, groups, zones, temp_folders, caches })
    }
}

/// The whole while it is put together.
struct Assembly<'a> {
    prefix: &'a std::path::Path,
    default_log: &'a PathBuf,
    logs: &'a mut AccessLogs,
    error_logs: &'a mut ErrorLogs,
    formats: &'a Formats<Variable>,
    definitions: &'a Rc<Definitions>,
    groups: &'a mut Vec<Rc<Group>>,
    zones: &'a [Rc<limits::zone::Zone>],
    /// The `upstream {}` blocks that a `proxy_pass` can mean.
    named_groups: Rc<Groups>,
    /// What a `proxy_cache` can mean.
    caches: &'a [Rc<Cache>],
    temp_folders: &'a mut Vec<PathBuf>,
    tls: &'a mut tls::Shared,
    /// What TLS with servers is made from, so far.
    tls_clients: &'a mut Vec<(tls::ClientSettings, tls::Client)>,
    warnings: &'a mut Vec<Warning>,
}

impl Assembly<'_> {
    fn server(&mut self, http: &Level, mut own: Level, names: &[Name]) -> Result<Server> {
        own.inherit(http);
        let locations = self.locations(&mut own)?;
        let steps = std::mem::take(&mut own.steps);
        let program = self.program(steps, None)?;
        let resolver = own.proxy.resolver();
        let asked = tls::ocsp::Asked::read(&own.ssl, resolver.as_deref(), self.tls, self.warnings)?;
        let (number, size) = match &own.large_buffers {
            // nginx's default of the pools.
            Some((_, size, place)) if *size < own.pool_size.unwrap_or(512) => {
                let message = "the \"large_client_header_buffers\" size must be equal to or greater than \"connection_pool_size\"";
                return Err(Error::at(place, message));
            }
            Some((number, size, _)) => (*number, *size),
            None => (4, 8192),
        };
        Ok(Server {
            name: names[0].text.clone(),
            header_timeout: own.header_timeout.unwrap_or(MINUTE),
            limits: Limits { first: own.header_buffer.unwrap_or(1024), number, size },
            merge_slashes: own.merge_slashes.unwrap_or(true),
            ignore_invalid_headers: own.ignore_invalid_headers.unwrap_or(true),
            underscores_in_headers: own.underscores_in_headers.unwrap_or(false),
            own: Rc::new(self.location(&mut own)?),
            locations,
            program,
            definitions: self.definitions.clone(),
            groups: self.named_groups.clone(),
            tls: tls::Server::build(&own.ssl, None, tls::Clients::NameHosts, asked, self.tls)?,
            ssl: own.ssl.is_on(),
        })
    }

    /// The locations of a level, each with those inside of it.
    fn locations(&mut self, level: &mut Level) -> Result<Locations> {
        let mut built = Locations::default();
        for (pattern, mut inner) in std::mem::take(&mut level.locations) {
            inner.inherit(level);
            let nested = self.locations(&mut inner)?;
            built.add(pattern, Rc::new(self.location(&mut inner)?), nested);
        }
        Ok(built)
    }

    /// What a level runs; `around` is the location that it stands in.
    fn program(&mut self, steps: Vec<Step<Level>>, around: Option<&Level>) -> Result<Program> {
        let mut program = Vec::with_capacity(steps.len());
        for step in steps {
            program.push(match step {
                Step::If(condition, inner) => Step::If(condition, self.branch(inner, around)?),
                Step::Set(place, value) => Step::Set(place, value),
                Step::SetArgs(value) => Step::SetArgs(value),
                Step::SetLimitRate(value) => Step::SetLimitRate(value),
                Step::Rewrite(rewrite) => Step::Rewrite(rewrite),
                Step::Return(returns) => Step::Return(returns),
                Step::Break => Step::Break,
            });
        }
        Ok(program)
    }

    /// What an `if` leads to: in a location, one more that differs from it in what the `if` says.
    fn branch(&mut self, mut inner: Level, around: Option<&Level>) -> Result<Branch> {
        let steps = std::mem::take(&mut inner.steps);
        let Some(around) = around else { return Ok(Branch { program: self.program(steps, None)?, location: None }) };
        inner.inherit_all(around);
        let program = self.program(steps, Some(&inner))?;
        Ok(Branch { program, location: Some(Rc::new(self.location(&mut inner)?)) })
    }

    fn location(&mut self, level: &mut Level) -> Result<Location> {
        let steps = std::mem::take(&mut level.steps);
        let program = self.program(steps, Some(level))?;
        level.proxy.buffers.check()?;
        Ok(Location {
            program,
            slashed: slashed(level),
            internal: level.internal,
            try_files: level.try_files.clone(),
            error_pages: level.error_pages.clone().unwrap_or_default(),
            recursive_error_pages: level.recursive_error_pages.unwrap_or(false),
            content: self.content(level)?,
            root: level.root.clone().unwrap_or_else(|| self.html()),
            index: level.index.clone().unwrap_or_else(|| vec![Text::plain(b"index.html")]),
            types: level.types.clone().unwrap_or_default(),
            default_type: level.default_type.clone().unwrap_or_else(|| b"text/plain".to_vec()),
            access_logs: self.access_logs(level.access_logs.as_ref())?,
            error_log: level.error_logs.as_ref().map(|said| self.error_logs.add(said)),
            rewrite_log: level.rewrite_log.unwrap_or(false),
            uninitialized_variable_warn: level.uninitialized_variable_warn.unwrap_or(true),
            server_tokens: level.server_tokens.unwrap_or(Tokens::On),
            etag: level.etag.unwrap_or(true),
            if_modified_since: level.if_modified_since.unwrap_or(ModifiedSince::Exact),
            max_ranges: level.max_ranges.unwrap_or(usize::MAX),
            absolute_redirect: level.absolute_redirect.unwrap_or(true),
            port_in_redirect: level.port_in_redirect.unwrap_or(true),
            server_name_in_redirect: level.server_name_in_redirect.unwrap_or(false),
            sendfile: level.sendfile.unwrap_or(false),
            nodelay: level.nodelay.unwrap_or(true),
            nopush: level.nopush.unwrap_or(false),
            keepalive: Keepalive {
                timeout: level.keepalive_timeout.unwrap_or(Duration::from_secs(75)),
                // nginx takes 0 for none.
                header: level.keepalive_header.filter(|seconds| *seconds > 0),
                requests: level.keepalive_requests.unwrap_or(1000),
                age: level.keepalive_time.unwrap_or(60 * MINUTE),
            },
            max_body: level.max_body.unwrap_or(1 << 20),
            body_timeout: level.body_timeout.unwrap_or(MINUTE),
            send_timeout: level.send_timeout.unwrap_or(MINUTE),
            limit: level.limit.clone(),
            chunked: level.chunked.unwrap_or(true),
            access: access(level),
            limit_except: self.limit_except(level)?,
            auth_delay: level.auth_delay.unwrap_or_default(),
            limits: level.limits.settle(self.zones)?,
            log_not_found: level.log_not_found.unwrap_or(true),
            fields: level.fields.settle(),
            gzip: level.gzip.settle(),
            reset_timed_out: level.reset_timed_out.unwrap_or(false),
            keepalive_disable: level.keepalive_disable.unwrap_or(Disabled { msie6: true, ..Disabled::default() }),
            real_ip: level.real_ip_from.clone().map(|from| RealIp {
                from,
                header: level.real_ip_header.clone().unwrap_or_else(|| Source::parse("X-Real-IP")),
                recursive: level.real_ip_recursive.unwrap_or(false),
            }),
            lingering: Lingering {
                close: level.lingering_close.unwrap_or(LingeringClose::On),
                time: level.lingering_time.unwrap_or(Duration::from_secs(30)),
                timeout: level.lingering_timeout.unwrap_or(Duration::from_secs(5)),
            },
        })
    }

    /// What serves the methods that `limit_except` does not name: one more location, which differs in what is said there.
    fn limit_except(&mut self, level: &mut Level) -> Result<Option<(Methods, Rc<Location>)>> {
        let Some((methods, mut inner)) = level.limit_except.take() else { return Ok(None) };
        inner.inherit_all(level);
        Ok(Some((methods, Rc::new(self.location(&mut inner)?))))
    }

    /// The root where none is said.
    fn html(&self) -> Root {
        Root::new(self.prefix.to_owned(), Text::plain(b"html"), Alias::No)
    }

    fn content(&mut self, level: &Level) -> Result<Content> {
        let cache = level.proxy.cache.settle(self.caches)?;
        let Some(pass) = &level.proxy.pass else {
            return Ok(match &level.content {
                Some(Content::Status(_)) => Content::Status(self.caches.into()),
                content => content.clone().unwrap_or(Content::Files),
            });
        };
        let goal = match &pass.variable {
            Some(url) => Goal::Variable(url.clone()),
            None => {
                let named = self.named_groups.named.clone();
                let group = Group::meant(self.groups, named, &pass.server, pass.port(), proxy::pass::PORT)
                    .map_err(|message| Error::at(&pass.place, message))?;
                Goal::Fixed(Rc::new(pass.settle(group)))
            }
        };
        let settings = level.proxy.settle(pass, goal, self.prefix, self.tls_clients)?;
        let settings = proxy::Settings { cache, ..settings };
        for folder in [&settings.store.folder.path, &settings.temp] {
            if !self.temp_folders.contains(folder) {
                self.temp_folders.push(folder.clone());
            }
        }
        Ok(Content::Proxy(Rc::new(settings)))
    }

    fn access_logs(&mut self, said: Option<&Vec<AccessLog<Variable>>>) -> Result<Vec<Entry<Variable>>> {
        let Some(said) = said else {
            let conflict = |conflict: Conflict| Error::general(conflict.message(&self.default_log.to_string_lossy()));
            let log = self.logs.add_file(self.default_log, None).map_err(conflict)?;
            return Ok(vec![self.combined(Entry::plain(log))]);
        };
        let settled: Result<Vec<_>> = said.iter().map(|log| log.settle(self.formats, self.logs)).collect();
        Ok(settled?.into_iter().map(|entry| self.combined(entry)).collect())
    }

    /// A log without a format has nginx's own.
    fn combined(&self, mut entry: Entry<Variable>) -> Entry<Variable> {
        entry.format = entry.format.or_else(|| self.formats.find("combined").cloned());
        entry
    }
}

/// The path of a location that is asked for without the `/` at its end too; nginx's rule.
fn slashed(level: &Level) -> Option<Vec<u8>> {
    level.proxy.pass.as_ref()?;
    match level.pattern.as_ref()? {
        Pattern::Exact(path) | Pattern::Prefix(path) | Pattern::Final(path) if path.ends_with(b"/") => {
            Some(path.clone())
        }
        _ => None,
    }
}

/// What a level asks of its clients; `None` where that is nothing.
fn access(level: &Level) -> Option<Access> {
    let rules = level.rules.clone().unwrap_or_default();
    let users = level.realm.clone().zip(level.users.clone()).map(|(realm, users)| BasicAuth { realm, users });
    let asks = !rules.is_empty() || users.is_some();
    asks.then(|| Access { rules, users, satisfy: level.satisfy.unwrap_or(Satisfy::All) })
}

impl Level {
    /// [`Level::inherit`] for what stands within a location and serves in its place: what makes the answer too.
    fn inherit_all(&mut self, around: &Level) {
        self.inherit(around);
        if self.content.is_none() && self.proxy.pass.is_none() {
            self.content.clone_from(&around.content);
            self.proxy.pass.clone_from(&around.proxy.pass);
        }
    }

    /// Takes from the level above what this one does not say.
    fn inherit(&mut self, above: &Level) {
        inherit(&mut self.root, &above.root);
        inherit(&mut self.index, &above.index);
        inherit(&mut self.types, &above.types);
        inherit(&mut self.default_type, &above.default_type);
        inherit(&mut self.access_logs, &above.access_logs);
        inherit(&mut self.error_logs, &above.error_logs);
        inherit(&mut self.error_pages, &above.error_pages);
        inherit(&mut self.recursive_error_pages, &above.recursive_error_pages);
        inherit(&mut self.rewrite_log, &above.rewrite_log);
        inherit(&mut self.uninitialized_variable_warn, &above.uninitialized_variable_warn);
        inherit(&mut self.server_tokens, &above.server_tokens);
        inherit(&mut self.etag, &above.etag);
        inherit(&mut self.if_modified_since, &above.if_modified_since);
        inherit(&mut self.max_ranges, &above.max_ranges);
        inherit(&mut self.absolute_redirect, &above.absolute_redirect);
        inherit(&mut self.port_in_redirect, &above.port_in_redirect);
        inherit(&mut self.server_name_in_redirect, &above.server_name_in_redirect);
        inherit(&mut self.merge_slashes, &above.merge_slashes);
        inherit(&mut self.ignore_invalid_headers, &above.ignore_invalid_headers);
        inherit(&mut self.underscores_in_headers, &above.underscores_in_headers);
        inherit(&mut self.sendfile, &above.sendfile);
        inherit(&mut self.nodelay, &above.nodelay);
        inherit(&mut self.nopush, &above.nopush);
        inherit(&mut self.keepalive_timeout, &above.keepalive_timeout);
        inherit(&mut self.keepalive_header, &above.keepalive_header);
        inherit(&mut self.keepalive_requests, &above.keepalive_requests);
        inherit(&mut self.keepalive_time, &above.keepalive_time);
        inherit(&mut self.max_body, &above.max_body);
        inherit(&mut self.body_timeout, &above.body_timeout);
        inherit(&mut self.send_timeout, &above.send_timeout);
        inherit(&mut self.limit.rate, &above.limit.rate);
        inherit(&mut self.limit.after, &above.limit.after);
        inherit(&mut self.chunked, &above.chunked);
        inherit(&mut self.lingering_close, &above.lingering_close);
        inherit(&mut self.lingering_time, &above.lingering_time);
        inherit(&mut self.lingering_timeout, &above.lingering_timeout);
        self.proxy.inherit(&above.proxy);
        inherit(&mut self.header_timeout, &above.header_timeout);
        inherit(&mut self.header_buffer, &above.header_buffer);
        inherit(&mut self.large_buffers, &above.large_buffers);
        inherit(&mut self.pool_size, &above.pool_size);
        inherit(&mut self.rules, &above.rules);
        inherit(&mut self.satisfy, &above.satisfy);
        inherit(&mut self.realm, &above.realm);
        inherit(&mut self.users, &above.users);
        inherit(&mut self.auth_delay, &above.auth_delay);
        self.limits.inherit(&above.limits);
        self.gzip.inherit(&above.gzip);
        inherit(&mut self.log_not_found, &above.log_not_found);
        self.fields.inherit(&above.fields);
        inherit(&mut self.reset_timed_out, &above.reset_timed_out);
        inherit(&mut self.keepalive_disable, &above.keepalive_disable);
        inherit(&mut self.real_ip_from, &above.real_ip_from);
        inherit(&mut self.real_ip_header, &above.real_ip_header);
        inherit(&mut self.real_ip_recursive, &above.real_ip_recursive);
        self.ssl = std::mem::take(&mut self.ssl).or(&above.ssl);
    }
}

/// A location of what one level says, with defaults for the rest.
#[cfg(test)]
pub(super) fn location_of(level: &Level) -> Location {
    let mut level = Level { access_logs: Some(Vec::new()), ..level.clone() };
    with_assembly(|assembly| assembly.location(&mut level)).unwrap()
}

/// A server with nothing but a name.
#[cfg(test)]
pub(super) fn server_of(name: &str) -> Server {
    let level = Level { access_logs: Some(Vec::new()), ..Level::default() };
    let names = [Name::parse(name, &mut Registry::default()).unwrap_or_else(|_| Name::nameless())];
    with_assembly(|assembly| assembly.server(&Level::default(), level, &names)).unwrap()
}

#[cfg(test)]
fn with_assembly<T>(build: impl FnOnce(&mut Assembly) -> T) -> T {
    build(&mut Assembly {
        prefix: std::path::Path::new("/prefix"),
        default_log: &PathBuf::new(),
        logs: &mut AccessLogs::default(),
        error_logs: &mut ErrorLogs::default(),
        formats: &Formats::default(),
        definitions: &Rc::default(),
        groups: &mut Vec::new(),
        zones: &[],
        named_groups: Rc::default(),
        caches: &[],
        temp_folders: &mut Vec::new(),
        tls: &mut tls::Shared::default(),
        tls_clients: &mut Vec::new(),
        warnings: &mut Vec::new(),
    })
}
