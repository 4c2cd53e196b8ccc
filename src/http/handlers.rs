//! From a request to its answer, stage by stage:
//!
//! ```text
//! ServerRewrite ─▶ FindLocation ─▶ LocationRewrite ─▶ Limits ─▶ Access ─▶ TryFiles ─▶ Content ─▶ the answer
//!       ▲               ▲ path rewritten │ ▲                                   │          │
//!       │               └────────────────┘ └──────────── to a named location ◀─┤          │
//!       └────────────────────────────────────────────────────── to a path ◀────┴──────────┤
//!                                                              (or to a named location) ◀─┘ error_page
//! ```

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use super::client::Client;
use super::error_pages::Instead;
use super::files::{self, Found};
use super::limits::Limited;
use super::location::is_slashed;
use super::request::Request;
use super::response::{Answer, Response};
use super::roots::Alias;
use super::script::{Flow, Program, Run};
use super::try_files::Tried;
use super::variables::Values;
use super::{Content, Location, pages, returns, status, stub_status, uri};
use crate::context::Context;
use crate::log::Level;

/// Where a request is on its way. It lives for a step only.
#[allow(clippy::large_enum_variant)]
pub(super) enum Stage {
    /// The program of its server is run.
    ServerRewrite,
    FindLocation,
    /// The program of its location is run.
    LocationRewrite,
    /// There may be too many requests of its kind.
    Limits,
    /// The location decides whether the request may be served.
    Access,
    /// The first of its files that is there becomes the path.
    TryFiles,
    /// The location makes the answer.
    Content,
    Answer(Answer),
}

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
    find_client(client, request, &request.server.own.clone());
    walk(cx, client, request, Stage::ServerRewrite)
}

/// Gives an answer that was made outside of here its error page.
pub(super) fn answer(cx: &mut Context, client: &Client, request: &mut Request, answer: Answer) -> Answer {
    walk(cx, client, request, Stage::Answer(answer))
}

/// Leads a request where its server says (`X-Accel-Redirect`): to a path with its arguments, or to a named location.
pub(super) fn lead_to(cx: &mut Context, client: &Client, request: &mut Request, target: &[u8]) -> Answer {
    let stage = match (target.first(), uri::split_told(target)) {
        (Some(b'@'), _) => to_named(client, request, target),
        (_, Some((path, args))) => {
            request.as_get = !request.is_head();
            redirect(client, request, path, args)
        }
        (_, None) => {
            let target = String::from_utf8_lossy(target);
            let message = format_args!("unsafe URI \"{target}\" was detected");
            client.log(Level::Error, None, last_action(request), Some(request), message);
            page(request, 404)
        }
    };
    walk(cx, client, request, stage)
}

/// Goes on with a request that has waited.
pub(super) fn resume(cx: &mut Context, client: &Client, request: &mut Request, stage: Stage) -> Answer {
    walk(cx, client, request, stage)
}

fn walk(cx: &mut Context, client: &Client, request: &mut Request, from: Stage) -> Answer {
    let now = cx.reactor.now();
    let mut stage = from;
    loop {
        stage = match stage {
            Stage::ServerRewrite => {
                let server = request.server.clone();
                match run(client, request, now, &server.program) {
                    Flow::Answer(answer) => Stage::Answer(answer),
                    Flow::Through | Flow::Stop => Stage::FindLocation,
                }
            }
            Stage::FindLocation => find_location(client, request),
            Stage::LocationRewrite => location_rewrite(client, request, now),
            Stage::Limits => limits(client, request, now),
            Stage::Access => access(client, request, now),
            Stage::TryFiles => try_files(client, request, now),
            Stage::Content => content(cx, client, request, now),
            Stage::Answer(Answer::Respond(response)) => match settle(client, request, response, now) {
                ControlFlow::Break(response) => return Answer::Respond(response),
                ControlFlow::Continue(stage) => stage,
            },
            Stage::Answer(Answer::Close(status)) => {
                request.error_status = None;
                return Answer::Close(status);
            }
            Stage::Answer(passed_on) => return passed_on,
        };
    }
}

/// Gives an answer its status and, where it is the page of one, another answer that `error_page` has for it.
fn settle(client: &Client, request: &mut Request, response: Response, now: Instant) -> ControlFlow<Response, Stage> {
    if !response.replaceable {
        let status = match (request.error_status, response.status) {
            // What a 200 has become by the request's conditions.
            (Some(200), conditional @ (206 | 304)) => conditional,
            (Some(status), _) => status,
            (None, status) => status,
        };
        let to = response.location.or_else(|| request.redirect_to.take());
        let reason = response.reason.filter(|_| status == response.status);
        return ControlFlow::Break(Response { status, reason, location: to, ..response });
    }
    let location = request.location.clone();
    let cause = response.status;
    let response = Response { status: pages::sent(cause), ..response };
    request.error_status = Some(response.status);
    if request.error_page_used || location.error_pages.is_empty() || request.changes.get() == 0 {
        return ControlFlow::Break(response);
    }
    request.error_page_used = !location.recursive_error_pages;
    let Some(page) = location.error_pages.iter().find(|page| page.covers(cause)) else {
        return ControlFlow::Break(response);
    };
    request.redirect_to = response.location;
    // What a client must know to ask again.
    let challenges = response.fields.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("WWW-Authenticate"));
    request.kept.extend(challenges);
    // What cannot be read on after stays so.
    request.keepalive &= !response.close;
    request.error_status = page.status(cause);
    match page.target(&Values { client, request, now }) {
        Instead::Path(path, args) => {
            request.as_get = !request.is_head();
            ControlFlow::Continue(redirect(client, request, path, args))
        }
        Instead::Named(name) => ControlFlow::Continue(to_named(client, request, &name)),
        Instead::Redirect(status, to) => {
            request.error_status = Some(status);
            let redirect = Response::redirect(status, to, location.server_tokens);
            ControlFlow::Break(Response { replaceable: false, ..redirect })
        }
    }
}

/// The page of a status that the location answers with; of those that mean it, the end of the connection.
fn page(request: &Request, status: u16) -> Stage {
    if returns::closes(status) {
        return Stage::Answer(Answer::Close(status));
    }
    Stage::Answer(Answer::Respond(Response::page(status, request.location.server_tokens)))
}

fn run(client: &Client, request: &mut Request, now: Instant, program: &Program) -> Flow {
    if program.is_empty() {
        return Flow::Through;
    }
    let log = request.location.rewrite_log;
    Run { client, request, now, log }.run(program)
}

fn find_location(client: &Client, request: &mut Request) -> Stage {
    request.path_changed = false;
    request.outside_location = false;
    let server = request.server.clone();
    match server.locations.find(&request.path, &request.memory) {
        Ok(found) => request.location = found.unwrap_or(&server.own).clone(),
        Err(failed) => {
            client.log(Level::Alert, None, "", Some(request), format_args!("{failed}"));
            return page(request, 500);
        }
    }
    client.debug(request, format_args!("http uri: \"{}\"", request.path.escape_ascii()));
    if request.location.internal && !request.internal {
        return page(request, 404);
    }
    if let Some((methods, limited)) = &request.location.limit_except
        && methods.limits(request.method())
    {
        request.location = limited.clone();
    }
    if !request.body_lost && is_too_large(client, request) {
        request.body_lost = true;
        return page(request, 413);
    }
    if is_slashed(&request.location, &request.path) {
        let to = uri::with_slash(&request.path, request.args.as_deref());
        let redirect = Response::redirect(301, to, request.location.server_tokens);
        return Stage::Answer(Answer::Respond(redirect));
    }
    Stage::LocationRewrite
}

fn location_rewrite(client: &Client, request: &mut Request, now: Instant) -> Stage {
    let location = request.location.clone();
    if let Flow::Answer(answer) = run(client, request, now, &location.program) {
        return Stage::Answer(answer);
    }
    if !request.path_changed {
        return Stage::Limits;
    }
    match change(client, request, format_args!("processing \"{}\"", String::from_utf8_lossy(&request.path))) {
        true => Stage::FindLocation,
        false => page(request, 500),
    }
}

/// What was done with the server of a request before it was led elsewhere, in nginx's words; nothing where it had none.
fn last_action(request: &Request) -> &'static str {
    match request.exchange.as_ref().filter(|exchange| !exchange.left) {
        Some(_) if request.error_status.is_some() => "sending to client",
        Some(_) => "reading response header from upstream",
        None => "",
    }
}

/// Counts one more change of location; false, and logged, when there have been too many.
fn change(client: &Client, request: &Request, doing: fmt::Arguments<'_>) -> bool {
    let left = request.changes.get().saturating_sub(1);
    request.changes.set(left);
    if left == 0 {
        let message = format_args!("rewrite or internal redirection cycle while {doing}");
        client.log(Level::Error, None, last_action(request), Some(request), message);
    }
    left > 0
}

fn limits(client: &Client, request: &mut Request, now: Instant) -> Stage {
    let location = request.location.clone();
    find_client(client, request, &location);
    let Some(limits) = &location.limits else { return Stage::Access };
    let mut standing = std::mem::take(&mut request.limits);
    let limited = limits.check(&Values { client, request, now }, &mut standing);
    request.limits = standing;
    match limited {
        Limited::Through => Stage::Access,
        Limited::Delayed(delay) => Stage::Answer(Answer::Later(delay, Box::new(Stage::Limits))),
        Limited::Refused(status) => page(request, status),
    }
}

fn access(client: &Client, request: &mut Request, now: Instant) -> Stage {
    let location = request.location.clone();
    let refused = location.access.as_ref().and_then(|access| access.refuse(&Values { client, request, now }));
    let Some(response) = refused else { return Stage::TryFiles };
    let unknown = response.status == 401;
    let answer = Stage::Answer(Answer::Respond(response));
    if !unknown || location.auth_delay.is_zero() {
        return answer;
    }
    client.log(Level::Info, None, "", Some(request), format_args!("delaying unauthorized request"));
    Stage::Answer(Answer::Later(location.auth_delay, Box::new(answer)))
}

fn try_files(client: &Client, request: &mut Request, now: Instant) -> Stage {
    let Some(tried) = request.location.try_files.as_ref().map(|tries| tries.run(&Values { client, request, now }))
    else {
        return Stage::Content;
    };
    match tried {
        Tried::Found(path) => {
            client.debug(request, format_args!("try file uri: \"{}\"", String::from_utf8_lossy(&path)));
            if matches!(request.location.root.alias(), Alias::Whole) {
                request.path_behind_alias = true;
            }
            request.path = path;
            Stage::Content
        }
        Tried::Status(status) => page(request, status),
        Tried::Named(name) => to_named(client, request, &name),
        Tried::Redirect(path, args) => redirect(client, request, path, args),
    }
}

fn content(cx: &mut Context, client: &Client, request: &mut Request, now: Instant) -> Stage {
    let found = match &request.location.content {
        Content::Proxy(settings) => return Stage::Answer(Answer::Proxy(settings.clone())),
        Content::Status(caches) => Found::Answer(status::answer(request, &cx.board, caches)),
        Content::Figures => Found::Answer(stub_status::answer(request, &cx.teller.figures())),
        Content::Files => files::serve(&Values { client, request, now }),
    };
    match found {
        Found::Answer(response) => Stage::Answer(Answer::Respond(response)),
        Found::Path(path) => {
            let args = request.args.take();
            redirect(client, request, path, args)
        }
    }
}

/// Leads a request to another path, as if it had come for that, but not counted among those of clients.
pub(super) fn redirect(client: &Client, request: &mut Request, path: Vec<u8>, args: Option<Vec<u8>>) -> Stage {
    let text = String::from_utf8_lossy(&path);
    if !change(client, request, format_args!("internally redirecting to \"{text}\"")) {
        return page(request, 500);
    }
    client.debug(request, format_args!("internal redirect: \"{text}\""));
    (request.path, request.args) = (path, args);
    request.leave_proxy();
    request.internal = true;
    request.as_received = false;
    request.path_behind_alias = false;
    request.location = request.server.own.clone();
    Stage::ServerRewrite
}

/// Leads a request to a named location, its path as it is.
fn to_named(client: &Client, request: &mut Request, name: &[u8]) -> Stage {
    let text = String::from_utf8_lossy(name);
    if !change(client, request, format_args!("redirect to named location \"{text}\"")) {
        return page(request, 500);
    }
    let server = request.server.clone();
    let Some(location) = server.locations.named(name) else {
        let message = format_args!("could not find named location \"{text}\"");
        client.log(Level::Error, None, last_action(request), Some(request), message);
        return page(request, 500);
    };
    client.debug(request, format_args!("using location: {text} \"{}\"", request.path.escape_ascii()));
    request.location = location.clone();
    request.leave_proxy();
    request.internal = true;
    request.outside_location = false;
    request.path_behind_alias = false;
    Stage::LocationRewrite
}
