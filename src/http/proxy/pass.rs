//! `proxy_pass`: which group is meant, and what becomes of the path.

use super::goal::Server;
use super::replace::{self, Replace};
use crate::conf::{Call, Contexts, Place, Result};
use crate::http::definitions::Registry;
use crate::http::location::Pattern;
use crate::http::request::Request;
use crate::http::uri;
use crate::http::variables::Text;

/// The port of an `http://` URL that names none.
pub(in crate::http) const PORT: u16 = 80;

/// And of an `https://` one.
pub(super) const TLS_PORT: u16 = 443;

/// nginx's message: where no path of a location is known there is none to replace.
const NO_URI: &str = "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, \
                      or inside \"if\" statement, or inside \"limit_except\" block";

/// A `proxy_pass` as written; the group it names may stand below it.
#[derive(Clone, Debug)]
pub(in crate::http) struct Pass {
    /// All of it, where it has variables; then nothing else of it is known.
    pub variable: Option<Text>,
    /// `host:port`, a group's name, or `unix:/path`.
    pub server: String,
    /// `https://`
    secure: bool,
    /// What stands behind it.
    uri: Option<Vec<u8>>,
    /// All of it.
    url: Vec<u8>,
    pub place: Place,
    /// The path of the location it stands in.
    location: Vec<u8>,
}

impl Pass {
    /// Reads the argument; `location` is what the directive stands in.
    pub(super) fn parse(call: &Call<'_>, location: Option<&Pattern>, registry: &mut Registry) -> Result<Self> {
        let text = call.text(1)?;
        if text.contains('$') {
            let place = call.node.place.clone();
            let variable = registry.text(text.as_bytes(), &place).map_err(|message| call.error(message))?;
            let (server, url, location) = (String::new(), Vec::new(), Vec::new());
            return Ok(Pass { variable: Some(variable), server, secure: false, uri: None, url, place, location });
        }
        let starts = |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let (secure, rest) = match text {
            _ if starts("http://") => (false, &text["http://".len()..]),
            _ if starts("https://") => (true, &text["https://".len()..]),
            _ => return Err(call.error("invalid URL prefix")),
        };
        // A Unix socket's path ends with a colon where a URI follows.
        let split = match rest.strip_prefix("unix:") {
            Some(path) => path.split_once(':').map(|(path, uri)| (&rest[.."unix:".len() + path.len()], uri)),
            None => rest.find('/').map(|slash| rest.split_at(slash)),
        };
        let (server, uri) = split.map_or((rest, None), |(server, uri)| (server, Some(uri.as_bytes().to_vec())));
        let replaces = !matches!(location, Some(Pattern::Regex(_) | Pattern::Named(_)));
        if uri.is_some()
            && (!replaces || call.context.overlaps(Contexts::HTTP_LOCATION_IF.or(Contexts::HTTP_LIMIT_EXCEPT)))
        {
            return Err(call.error(NO_URI));
        }
        if server.is_empty() {
            return Err(call.error(format!("no host in upstream \"{rest}\"")));
        }
        let place = call.node.place.clone();
        let location = location.map_or_else(Vec::new, |location| location.text().to_vec());
        Ok(Pass { variable: None, server: server.to_owned(), secure, uri, url: text.into(), place, location })
    }

    /// The port of a host that names none.
    pub(in crate::http) fn port(&self) -> u16 {
        if self.secure { TLS_PORT } else { PORT }
    }

    /// Whether TLS is spoken with its servers.
    pub(super) fn may_be_secure(&self) -> bool {
        self.secure || self.variable.is_some()
    }

    /// What it comes to with the group it means.
    pub(in crate::http) fn settle(&self, group: usize) -> Target {
        let unix = self.server.starts_with("unix:");
        let port = if unix { None } else { crate::net::address::explicit_port(&self.server) };
        let host = match port {
            _ if unix => "localhost",
            Some(port) if port == self.port() => self.server.rsplit_once(':').map_or("", |(host, _)| host),
            _ => &self.server,
        };
        Target {
            server: Server::Group(group),
            secure: self.secure,
            host: host.to_owned(),
            port: if unix { String::new() } else { port.unwrap_or(self.port()).to_string() },
            uri: match &self.uri {
                Some(uri) => Uri::Replaced(uri.clone(), self.location.len()),
                None => Uri::Kept,
            },
        }
    }

    /// What `proxy_redirect default` changes, and into what; nothing that is known where there are variables.
    pub(super) fn default_redirect(&self) -> Option<Replace> {
        let (from, to) = match self.uri {
            _ if self.variable.is_some() => return None,
            Some(_) => (&self.url, &self.location[..]),
            None => (&[&self.url[..], b"/"].concat(), &b"/"[..]),
        };
        Some(Replace { pattern: replace::Pattern::Start(Text::plain(from)), with: Text::plain(to) })
    }
}

/// Where requests go.
#[derive(Debug)]
pub(in crate::http) struct Target {
    pub server: Server,
    /// TLS is spoken.
    pub secure: bool,
    /// `$proxy_host`
    pub host: String,
    /// `$proxy_port`
    pub port: String,
    pub uri: Uri,
}

/// What becomes of the client's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Uri {
    /// It is passed on as it came.
    Kept,
    /// In the place of the location's path, whose length is the number, stands this.
    Replaced(Vec<u8>, usize),
    /// This stands in its place.
    Made(Vec<u8>),
}

impl Uri {
    /// That of a URL that was made for a request.
    pub(super) fn made(text: &str) -> Self {
        if text.is_empty() {
            return Uri::Kept;
        }
        let slash = if text.starts_with('/') { "" } else { "/" };
        Uri::Made([slash, text].concat().into_bytes())
    }
}

impl Target {
    /// The target of the server's request; `None`: as the client wrote it.
    pub(super) fn uri(&self, request: &Request) -> Option<Vec<u8>> {
        // That has been looked through for blanks and the like already.
        if self.uri == Uri::Kept && request.as_received && request.uri().starts_with(b"/") {
            return None;
        }
        let target = self.compose(request);
        // nginx writes them as they are, and so lets a decoded path, or arguments made of one, end the line of the request.
        let ends = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
        if !target.iter().any(ends) {
            return Some(target);
        }
        let mut escaped = Vec::with_capacity(target.len() + 16);
        for byte in target {
            match ends(&byte) {
                true => escaped.extend_from_slice(format!("%{byte:02X}").as_bytes()),
                false => escaped.push(byte),
            }
        }
        Some(escaped)
    }

    fn compose(&self, request: &Request) -> Vec<u8> {
        // What a rewrite or a redirect has made of the path is not what the client wrote.
        let (start, path) = match &self.uri {
            Uri::Made(uri) => return uri.clone(),
            Uri::Kept if request.as_received => return [b"/", request.uri()].concat(),
            Uri::Kept => (&b""[..], &request.path[..]),
            // There is no part left that the URI could stand for.
            Uri::Replaced(..) if request.outside_location => (&b""[..], &request.path[..]),
            Uri::Replaced(uri, location) => (&uri[..], request.path.get(*location..).unwrap_or_default()),
        };
        let mut target = start.to_vec();
        // As in nginx: bytes that the client has not escaped need it no more than before.
        if request.internal || request.uri().contains(&b'%') {
            uri::escape(path, &mut target);
        } else {
            target.extend_from_slice(path);
        }
        if let Some(args) = request.args.as_ref().filter(|args| !args.is_empty()) {
            target.push(b'?');
            target.extend_from_slice(args);
        }
        target
    }
}
