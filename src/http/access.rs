//! Whether a client may have what a location serves: by its address, by its name and password, or by either.

use super::basic_auth::{BasicAuth, Known};
use super::response::Response;
use super::variables::Values;
use crate::log::Level;
use crate::net::access::{Rule, verdict};

/// What a location asks of its clients.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// `allow` and `deny`
    pub rules: Vec<Rule>,
    pub users: Option<BasicAuth>,
    pub satisfy: Satisfy,
}

/// `satisfy`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Satisfy {
    All,
    /// One of address and password is enough.
    Any,
}

impl Access {
    /// The answer to a client that may not come in.
    pub(super) fn refuse(&self, values: &Values<'_>) -> Option<Response> {
        let by_address = verdict(&self.rules, values.client.speaks_for(values.request));
        match self.satisfy {
            Satisfy::All if by_address == Some(false) => return Some(forbidden(values)),
            Satisfy::Any if by_address == Some(true) => return None,
            _ => {}
        }
        match self.users.as_ref().map_or(Known::Unasked, |users| users.check(values)) {
            Known::No(response) => Some(response),
            Known::Unasked if by_address == Some(false) => Some(forbidden(values)),
            Known::Unasked | Known::Yes => None,
        }
    }
}

fn forbidden(values: &Values<'_>) -> Response {
    let request = values.request;
    values.client.log(Level::Error, None, "", Some(request), format_args!("access forbidden by rule"));
    Response::page(403, request.location.server_tokens)
}
