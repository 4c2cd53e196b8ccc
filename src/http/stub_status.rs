//! `stub_status`: the figures of connections and requests, in the form that existing monitoring reads.

use super::request::Request;
use super::response::Response;
use crate::tally::Figures;

/// Answers with the figures of all workers.
pub(super) fn answer(request: &Request, figures: &Figures) -> Response {
    if !matches!(request.method(), b"GET" | b"HEAD") {
        return Response::page(405, request.location.server_tokens);
    }
    let Figures { accepts, handled, requests, active, reading, writing, waiting } = figures;
    let text = format!(
        "Active connections: {active} \nserver accepts handled requests\n {accepts} {handled} {requests} \n\
         Reading: {reading} Writing: {writing} Waiting: {waiting} \n"
    );
    Response::text(200, "text/plain", text.into_bytes())
}
