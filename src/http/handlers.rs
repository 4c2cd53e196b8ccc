//! From a request to its answer: the location is chosen, then what it says makes the answer.

use std::fmt;
use std::rc::Rc;

use super::client::Client;
use super::files::{self, Found};
use super::request::Request;
use super::response::{Answer, Response};
use super::variables::Values;
use super::{Content, Location, status};
use crate::context::Context;
use crate::log::Level;

/// How often an index may lead to another location, nginx's bound.
const REDIRECTS_MAX: usize = 10;

/// Whether the body is larger than its location allows, as far as its length is known; that is logged.
pub(super) fn is_too_large(client: &Client, request: &Request) -> bool {
    let (length, limit) = (request.length, request.location.max_body);
    if limit == 0 || length <= limit {
        return false;
    }
    let log = |message: fmt::Arguments| client.log(Level::Error, None, "", Some(request), message);
    match request.chunk {
        None => log(format_args!("client intended to send too large body: {length} bytes")),
        Some(chunk) => {
            let before = length - chunk;
            log(format_args!("client intended to send too large chunked body: {before}+{chunk} bytes"));
        }
    }
    true
}

/// Finds out whose request it is, unless that is known.
fn find_client(client: &Client, request: &mut Request, location: &Location) {
    if let (None, Some(real_ip)) = (&request.real_ip, &location.real_ip) {
        request.real_ip = real_ip.find(client, request);
    }
}

/// Answers a request whose head is understood.
pub(super) fn serve(cx: &mut Context, client: &Client, request: &mut Request) -> Answer {
    let now = cx.reactor.now();
    find_client(client, request, &request.server.own.clone());
    if let Some(returns) = request.server.own.clone().returns.as_ref() {
        return returns.answer(&Values { client, request, now });
    }
    for _ in 0..=REDIRECTS_MAX {
        request.location = request.server.locations.find(&request.path).unwrap_or(&request.server.own).clone();
        let location = Rc::clone(&request.location);
        client.debug(request, format_args!("http uri: \"{}\"", request.path.escape_ascii()));
        if is_too_large(client, request) {
            return Answer::Respond(Response::page(413, location.server_tokens));
        }
        if let Some(returns) = &location.returns {
            return returns.answer(&Values { client, request, now });
        }
        find_client(client, request, &location);
        if let Some(response) =
            location.access.as_ref().and_then(|access| access.refuse(&Values { client, request, now }))
        {
            return Answer::Respond(response);
        }
        let found = match location.content {
            Content::Status => return Answer::Respond(status::answer(request, &cx.board)),
            Content::Files => files::serve(client, request),
        };
        match found {
            Found::Answer(response) => return Answer::Respond(response),
            Found::Path(path) => request.path = path,
        }
    }
    let message = format_args!("rewrite or internal redirection cycle");
    client.log(Level::Error, None, "", Some(request), message);
    Answer::Respond(Response::page(500, request.location.server_tokens))
}
