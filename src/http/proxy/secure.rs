//! `proxy_pass https://...`: TLS is agreed on with a server before it is asked for anything.

use std::path::PathBuf;

use openssl::ssl::Ssl;

use super::next::Fault;
use super::pass::Target;
use super::{State, Upstream};
use crate::conf::Result;
use crate::context::Context;
use crate::http::connection::{Session, Step};
use crate::http::variables::{Text, Values};
use crate::log::Level;
use crate::net::{TlsError, reasons};
use crate::tls::{self, Asked, Client, ClientSettings};

/// What the `proxy_ssl_*` directives of one level say; `None` where they say nothing and the level above counts.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Said {
    /// What is the same for all connections.
    pub client: ClientSettings,
    /// The names of the files of the certificate and its key, and the folder that relative ones are taken against.
    pub certificate: Option<(Text, PathBuf)>,
    pub key: Option<Text>,
    pub name: Option<Text>,
    pub server_name: Option<bool>,
}

impl Said {
    /// Takes from the level above what this one does not say.
    pub(in crate::http) fn inherit(&mut self, above: &Said) {
        self.client.inherit(&above.client);
        self.certificate = self.certificate.take().or_else(|| above.certificate.clone());
        self.key = self.key.take().or_else(|| above.key.clone());
        self.name = self.name.take().or_else(|| above.name.clone());
        self.server_name = self.server_name.or(above.server_name);
    }

    /// Reads and tries all that is named. `clients` are those that other locations have, for levels that say the same.
    ///
    /// # Errors
    /// What is missing, and what OpenSSL refuses.
    pub(in crate::http) fn settle(&self, clients: &mut Vec<(ClientSettings, Client)>) -> Result<Secured> {
        let mut settings = self.client.clone();
        let shown = match (&self.certificate, &self.key) {
            (Some((certificate, folder)), Some(key)) if settings.take_variable_certificate() => Some(Shown {
                certificate: certificate.clone(),
                key: key.clone(),
                folder: folder.clone(),
                passwords: settings.passwords().to_vec(),
            }),
            _ => None,
        };
        let known = clients.iter().find(|(known, _)| *known == settings).map(|(_, client)| client.clone());
        let client = match known {
            Some(client) => client,
            None => {
                let client = Client::build(&settings)?;
                clients.push((settings, client.clone()));
                client
            }
        };
        Ok(Secured { client, name: self.name.clone(), server_name: self.server_name.unwrap_or(false), shown })
    }
}

/// How TLS is spoken with the servers of a location.
#[derive(Debug)]
pub(in crate::http) struct Secured {
    client: Client,
    /// The name that a server is to have; `None`: the host of its URL.
    name: Option<Text>,
    /// A server is told the name, to choose its certificate by (SNI).
    server_name: bool,
    /// The certificate that is shown, where it depends on the request.
    shown: Option<Shown>,
}

#[derive(Debug)]
struct Shown {
    certificate: Text,
    key: Text,
    folder: PathBuf,
    passwords: Vec<Vec<u8>>,
}

impl Secured {
    /// What a request asks of its server.
    pub(super) fn asked(&self, values: &Values<'_>, target: &Target) -> Asked {
        let text = |text: &Text| String::from_utf8_lossy(&values.fill(text)).into_owned();
        let mut name = self.name.as_ref().map_or_else(|| target.host.clone(), text);
        // As in nginx: `$http_host` and `$proxy_host` may have one.
        let host = if name.starts_with('[') { name.find(']').unwrap_or(0) } else { 0 };
        if let Some(port) = name[host..].find(':') {
            name.truncate(host + port);
        }
        let shown = self.shown.as_ref().map(|shown| (text(&shown.certificate), text(&shown.key)));
        let certificate = shown.filter(|(certificate, _)| !certificate.is_empty());
        Asked { client: self.client.clone(), name, certificate }
    }

    /// The session for a new connection to `peer`.
    ///
    /// # Errors
    /// The message for the log.
    fn session(&self, asked: &Asked, peer: &str) -> std::result::Result<Ssl, String> {
        let name = &asked.name;
        let host = if self.server_name { name.as_str() } else { "" };
        let mut ssl = self
            .client
            .session(host)
            .map_err(|stack| format!("SSL_set_tlsext_host_name(\"{name}\") failed (SSL: {})", reasons(&stack)))?;
        if let Some((shown, (certificate, key))) = self.shown.as_ref().zip(asked.certificate.as_ref()) {
            tls::show_certificate(&mut ssl, certificate, key, &shown.passwords, &shown.folder)?;
        }
        self.client.resume(&mut ssl, format!("{peer}\0{name}\0{:?}", asked.certificate).into_bytes());
        Ok(ssl)
    }
}

impl Session {
    /// The connection stands: TLS begins.
    pub(super) fn begin_securing(&mut self, cx: &mut Context) -> Step {
        let now = cx.reactor.now();
        let Some(exchange) = self.request.as_mut().and_then(|request| request.exchange.as_mut()) else {
            return Step::Over;
        };
        exchange.state = State::Securing;
        exchange.upstream_due = Some(now + exchange.settings.connect_timeout);
        let peer = exchange.tries.last().map_or("", |tried| &*tried.peer);
        let (Some(Upstream { kept, .. }), Some(secured)) = (&mut exchange.upstream, &exchange.settings.secured) else {
            return Step::Over;
        };
        let Some(asked) = &kept.way.tls else { return Step::Over };
        // A handshake is an exchange of small messages; a peer that is gone is found out by it.
        let _ = kept.connection.set_nodelay(true);
        let begun = secured.session(asked, peer).and_then(|ssl| {
            let failed = |stack| format!("SSL_new() failed (SSL: {})", reasons(&stack));
            kept.connection.start_tls(ssl).map_err(failed)
        });
        match begun {
            Ok(()) => self.securing(cx),
            Err(message) => {
                self.log_upstream(Level::Error, None, format_args!("{message}"));
                self.drop_upstream(cx);
                self.fail(cx, 500)
            }
        }
    }

    /// Goes on with the handshake.
    pub(super) fn securing(&mut self, cx: &mut Context) -> Step {
        let Some(Upstream { kept, .. }) = self.upstream_mut() else { return Step::Over };
        match kept.connection.handshake(&mut cx.reactor) {
            Ok(false) => return Step::Wait,
            Ok(true) => {}
            Err(error) => {
                let (level, error, message) = tls::securing_failure(&error);
                self.log_upstream(level, error, format_args!("{message}"));
                return self.give_up(cx, Fault::ERROR);
            }
        }
        let asked = kept.way.tls.as_ref();
        let judged = asked.and_then(|asked| kept.connection.tls(|ssl| asked.client.judge(ssl, &asked.name)));
        match judged {
            Some(Err(unproven)) => {
                self.log_upstream(Level::Error, None, format_args!("{unproven}"));
                self.give_up(cx, Fault::ERROR)
            }
            _ => self.ask(cx),
        }
    }
}

/// Whether a server has ended a TLS connection without saying so. As in nginx that is an end like any other: many servers do so.
pub(super) fn is_end(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::UnexpectedEof && TlsError::of(error).is_some()
}
