//! The whole configuration: what the main context and `events {}` say, and the blocks; the list of all tables.

mod affinity;
pub mod defaults;
pub mod document;
pub mod events;
pub mod main_context;
pub mod main_table;

use std::rc::Rc;

use crate::conf::{self, Error, Loader, Row};
use crate::http;
use crate::log::access::AccessLogs;
use crate::log::error::{ErrorLogs, Level, Sink, Target};
use crate::net::ListenOptions;
use crate::tcp;
use crate::tls;
use crate::upstream;

pub use events::Events;
pub use main_context::Main;

/// A configuration that has passed all checks.
pub struct Config {
    /// Processes, logs, limits.
    pub main: Main,
    /// `events {}`.
    pub events: Events,
    /// All `tcp {}` blocks.
    pub tcp: Rc<tcp::Config>,
    /// All `http {}` blocks.
    pub http: Rc<http::Config>,
    /// The access log files of all blocks, not opened yet.
    pub access_logs: AccessLogs,
    /// The error logs that blocks have of their own, not opened yet.
    pub error_logs: ErrorLogs,
    /// What TLS sessions of all workers share, without its memory yet.
    pub tls: tls::Shared,
    /// The sockets to listen on, those of `tcp {}` first; the worker hands them to the engines by their place in this list.
    pub listens: Vec<ListenOptions>,
}

/// The configuration while setters run: what each block has said so far.
#[derive(Default)]
pub struct Builder {
    main: main_context::Settings,
    events: Events,
    events_seen: bool,
    tcp: tcp::Builder,
    http: http::Builder,
}

/// What the blocks have come to.
struct Blocks {
    tcp: Rc<tcp::Config>,
    tls: tls::Shared,
    http: Rc<http::Config>,
    error_logs: ErrorLogs,
}

impl Blocks {
    /// All sockets, in the order of [`Config::listens`].
    fn listens(&self) -> Vec<ListenOptions> {
        let tcp = self.tcp.listens.iter().map(|listen| listen.options.clone());
        tcp.chain(self.http.listens.iter().map(|listen| listen.options.clone())).collect()
    }
}

impl Builder {
    /// Puts the blocks together; nginx does this, and reports its faults, while it parses.
    fn blocks(&mut self, source: &Source, loader: &mut Loader, access_logs: &mut AccessLogs) -> conf::Result<Blocks> {
        let (mut tls, mut error_logs) = (tls::Shared::default(), ErrorLogs::default());
        let tcp = std::mem::take(&mut self.tcp);
        let tcp_log = source.prefix.join(defaults::TCP_ACCESS_LOG_PATH);
        let tcp = tcp.build(tcp_log, access_logs, &mut error_logs, &mut tls)?;
        loader.warnings.extend(tcp.warnings);
        let taken: Vec<ListenOptions> = tcp.config.listens.iter().map(|listen| listen.options.clone()).collect();
        let http_log = source.prefix.join(defaults::HTTP_ACCESS_LOG_PATH);
        let http = std::mem::take(&mut self.http);
        let to_open = http::ToOpen { access_logs, error_logs: &mut error_logs, tls: &mut tls };
        let http = http.build(&source.prefix, http_log, to_open, &taken, &mut loader.warnings)?;
        Ok(Blocks { tcp: tcp.config, http: Rc::new(http), tls, error_logs })
    }

    /// Settles defaults and checks what only shows when everything has been read.
    fn build(
        self,
        blocks: Blocks,
        access_logs: AccessLogs,
        source: &Source,
        loader: &mut Loader,
    ) -> conf::Result<Config> {
        if !self.events_seen {
            return Err(Error::general("no \"events\" section in configuration"));
        }
        let main = self.main.settle(source, loader)?;
        if !main.master_process && !blocks.http.caches.is_empty() {
            let message =
                "with \"master_process off\" there is no cache manager: no cache is kept within its \"max_size\"";
            loader.warnings.push(conf::loader::Warning { message: message.to_owned(), place: None });
        }
        let listens = blocks.listens();
        // nginx: every listening socket takes a connection, and one must be left for a client.
        if self.events.worker_connections < listens.len() + 1 {
            return Err(Error::general(format!(
                "{} worker_connections are not enough for {} listening sockets",
                self.events.worker_connections,
                listens.len()
            )));
        }
        Ok(Config {
            main,
            events: self.events,
            tcp: blocks.tcp,
            http: blocks.http,
            access_logs,
            error_logs: blocks.error_logs,
            tls: blocks.tls,
            listens,
        })
    }
}

/// The rows of all tables, in the order of the documentation.
pub fn rows() -> Vec<&'static Row> {
    let main = main_table::TABLE.iter().map(|directive| &directive.row);
    let events = events::TABLE.iter().map(|directive| &directive.row);
    let upstream = upstream::directives::TABLE.iter().map(|directive| &directive.row);
    main.chain(events).chain(tcp::directives::rows()).chain(upstream).chain(http::directives::rows()).collect()
}

/// What the command line says about the configuration.
#[derive(Clone, Debug)]
pub struct Source {
    /// `-p`, absolute, or the default.
    pub prefix: std::path::PathBuf,
    /// `-c`, absolute (relative ones are taken against the prefix).
    pub file: std::path::PathBuf,
    /// `-g`.
    pub directives: String,
    /// `-e`: the error log when the configuration names none.
    pub error_log: Option<String>,
}

impl Source {
    /// The error log while no configuration names one: `-e`, or the default.
    pub fn error_log(&self) -> Sink {
        let target = match self.error_log.as_deref().unwrap_or(defaults::ERROR_LOG_PATH) {
            "stderr" => Target::Stderr,
            path => Target::File(self.prefix.join(path)),
        };
        Sink { target, level: Level::Error }
    }
}

/// What reading a configuration gave.
pub struct Loaded {
    /// The configuration, or what is wrong with it.
    pub config: conf::Result<Config>,
    /// Whether the text is faultless; what is wrong then shows only in the whole.
    pub syntax_ok: bool,
    /// What was noticed, whether it can be used or not.
    pub warnings: Vec<conf::loader::Warning>,
    /// The files read, for `-T`.
    pub files: Vec<(std::path::PathBuf, Vec<u8>)>,
}

/// Reads and checks a configuration. Opens nothing but the files it reads; asks the resolver for host names.
pub fn load(source: &Source) -> Loaded {
    let mut loader = Loader::new(&source.prefix, &source.file);
    loader.awaited = http::awaited::DIRECTIVES;
    let mut builder = Builder::default();
    let mut access_logs = AccessLogs::default();
    let blocks = loader
        .load(&source.file, &source.directives, &rows(), main_table::TABLE, &mut builder)
        .and_then(|()| builder.blocks(source, &mut loader, &mut access_logs));
    let syntax_ok = blocks.is_ok();
    let config = blocks.and_then(|blocks| builder.build(blocks, access_logs, source, &mut loader));
    Loaded { config, syntax_ok, warnings: loader.warnings, files: loader.files }
}

#[cfg(test)]
mod tests;
