//! What one level says about proxying, and how that becomes the settings of a location.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::answer::HIDDEN;
use super::answer_level;
use super::body_files::{Folder, InFile, Store};
use super::buffers;
use super::goal::Goal;
use super::next::{Fault, Next};
use super::pass::Pass;
use super::{Settings, secure};
use crate::conf::{Result, inherit};
use crate::http::cache;
use crate::http::head::Version;
use crate::http::variables::{self, Text};
use crate::log::format::{Escape, Format};
use crate::relay::page_size;
use crate::resolver;
use crate::tls::{Client, ClientSettings};

const MINUTE: Duration = Duration::from_secs(60);

/// What is said on one level; `None` where it says nothing and the level above counts.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Said {
    /// Not inherited.
    pub pass: Option<Pass>,
    pub fields: Option<Vec<(Vec<u8>, Text)>>,
    pub version: Option<Version>,
    pub method: Option<Text>,
    pub body: Option<Text>,
    pub pass_fields: Option<bool>,
    pub pass_body: Option<bool>,
    pub request_buffering: Option<bool>,
    pub body_buffer: Option<usize>,
    pub body_temp: Option<Folder>,
    pub body_in_file: Option<InFile>,
    pub connect_timeout: Option<Duration>,
    pub send_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    pub buffering: Option<bool>,
    pub buffers: buffers::Said,
    pub temp: Option<PathBuf>,
    pub next: Option<Fault>,
    pub next_tries: Option<usize>,
    pub next_timeout: Option<Duration>,
    pub ignore_client_abort: Option<bool>,
    pub socket_keepalive: Option<bool>,
    pub hide: Option<Vec<Vec<u8>>>,
    pub pass_hidden: Option<Vec<Vec<u8>>>,
    pub tls: secure::Said,
    /// `None` inside: `off`.
    pub bind: Option<Option<Text>>,
    /// Likewise.
    pub resolver: Option<Option<resolver::Settings>>,
    pub resolver_timeout: Option<Duration>,
    pub answers: answer_level::Said,
    pub cache: cache::level::Said,
}

impl Said {
    /// Takes from the level above what this one does not say.
    pub(in crate::http) fn inherit(&mut self, above: &Said) {
        inherit(&mut self.fields, &above.fields);
        inherit(&mut self.version, &above.version);
        inherit(&mut self.method, &above.method);
        inherit(&mut self.body, &above.body);
        inherit(&mut self.pass_fields, &above.pass_fields);
        inherit(&mut self.pass_body, &above.pass_body);
        inherit(&mut self.request_buffering, &above.request_buffering);
        inherit(&mut self.body_buffer, &above.body_buffer);
        inherit(&mut self.body_temp, &above.body_temp);
        inherit(&mut self.body_in_file, &above.body_in_file);
        inherit(&mut self.connect_timeout, &above.connect_timeout);
        inherit(&mut self.send_timeout, &above.send_timeout);
        inherit(&mut self.read_timeout, &above.read_timeout);
        inherit(&mut self.buffering, &above.buffering);
        self.buffers.inherit(&above.buffers);
        inherit(&mut self.temp, &above.temp);
        inherit(&mut self.next, &above.next);
        inherit(&mut self.next_tries, &above.next_tries);
        inherit(&mut self.next_timeout, &above.next_timeout);
        inherit(&mut self.ignore_client_abort, &above.ignore_client_abort);
        inherit(&mut self.socket_keepalive, &above.socket_keepalive);
        inherit(&mut self.hide, &above.hide);
        inherit(&mut self.pass_hidden, &above.pass_hidden);
        self.tls.inherit(&above.tls);
        inherit(&mut self.bind, &above.bind);
        inherit(&mut self.resolver, &above.resolver);
        inherit(&mut self.resolver_timeout, &above.resolver_timeout);
        self.answers.inherit(&above.answers);
        self.cache.inherit(&above.cache);
    }

    /// The settings of a location that passes its requests on as `pass` says, which is `goal`. `clients` are those of other locations.
    ///
    /// # Errors
    /// What is wrong with TLS.
    pub(in crate::http) fn settle(
        &self,
        pass: &Pass,
        goal: Goal,
        prefix: &Path,
        clients: &mut Vec<(ClientSettings, Client)>,
    ) -> Result<Settings> {
        let pass_hidden = self.pass_hidden.as_deref().unwrap_or_default();
        let defaults = HIDDEN.iter().map(|name| name.as_bytes().to_vec());
        let hidden = defaults.chain(self.hide.iter().flatten().cloned());
        let next = self.next.map_or(Fault::ERROR.or(Fault::TIMEOUT), Fault::settle);
        let sizes = self.buffers.sizes();
        let fields = self.all_fields();
        let secured = if pass.may_be_secure() { Some(self.tls.settle(clients)?) } else { None };
        Ok(Settings {
            goal,
            bind: self.bind.clone().flatten(),
            resolver: self.resolver(),
            secured,
            said: fields.iter().map(|(name, _)| name.clone()).collect(),
            fields,
            version: self.version.unwrap_or(Version::Http10),
            method: self.method.clone(),
            body: self.body.clone(),
            pass_fields: self.pass_fields.unwrap_or(true),
            pass_body: self.pass_body.unwrap_or(true),
            request_buffering: self.request_buffering.unwrap_or(true),
            store: Store {
                memory: self.body_buffer.unwrap_or(4 * page_size()),
                folder: self.body_temp.clone().unwrap_or_else(|| Folder {
                    path: prefix.join(crate::config::defaults::CLIENT_TEMP_PATH),
                    levels: Vec::new(),
                }),
                in_file: self.body_in_file.unwrap_or_default(),
            },
            connect_timeout: self.connect_timeout.unwrap_or(MINUTE),
            send_timeout: self.send_timeout.unwrap_or(MINUTE),
            read_timeout: self.read_timeout.unwrap_or(MINUTE),
            buffer_size: sizes.first,
            buffering: self.buffering.unwrap_or(true),
            buffers: sizes.all,
            max_temp_file: sizes.max_temp_file,
            temp: self.temp.clone().unwrap_or_else(|| prefix.join(crate::config::defaults::PROXY_TEMP_PATH)),
            next: Next {
                faults: next,
                tries: self.next_tries.unwrap_or(0),
                timeout: self.next_timeout.unwrap_or_default(),
            },
            ignore_client_abort: self.ignore_client_abort.unwrap_or(false),
            socket_keepalive: self.socket_keepalive.unwrap_or(false),
            hidden: hidden.filter(|name| !pass_hidden.contains(name)).collect(),
            answers: self.answers.settle(pass),
            cache: None,
            mirror: self.cache.mirror(),
        })
    }

    /// Whom to ask for names.
    pub(in crate::http) fn resolver(&self) -> Option<Rc<resolver::Settings>> {
        let settings = self.resolver.clone().flatten()?;
        let timeout = self.resolver_timeout.unwrap_or(settings.timeout);
        Some(Rc::new(resolver::Settings { timeout, ..settings }))
    }

    /// The fields that are said, and those that every request has, where they are not said.
    fn all_fields(&self) -> Vec<(Vec<u8>, Text)> {
        let mut fields = self.fields.clone().unwrap_or_default();
        for (name, text) in [("Host", "$proxy_host"), ("Connection", "close")] {
            if !fields.iter().any(|(said, _)| said.eq_ignore_ascii_case(name.as_bytes())) {
                let text = Format::compile(text.as_bytes(), Escape::None, variables::find)
                    .expect("the predefined value is right");
                fields.push((name.into(), text));
            }
        }
        fields
    }
}
