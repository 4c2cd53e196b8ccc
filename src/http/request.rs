//! One request: what its head says, what serves it, and its answer.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use super::body::Body;
use super::head::{Head, Refusal, Version};
use super::limits::Standing;
use super::memory::Memory;
use super::names::Names;
use super::output::Output;
use super::proxy::Exchange;
use super::response::Field;
use super::uri::{self, Target};
use super::{Location, Server};
use crate::net::Address;

/// How often a request may be led to another location, nginx's bound, and the attempt that fails.
const CHANGES_MAX: usize = 10 + 1;

/// A request from its head to the end of its answer.
pub(super) struct Request {
    pub head: Head,
    /// Where in the target its path begins, once it has been taken apart.
    path_at: Option<usize>,
    /// The path in its one form.
    pub path: Vec<u8>,
    /// What follows `?`.
    pub args: Option<Vec<u8>>,
    /// In lower case and without port; empty when the client named none.
    pub host: Vec<u8>,
    /// The client, where a trusted proxy has named another than the one that has connected.
    pub real_ip: Option<Address>,
    /// The length of the body, as far as the head or the chunks so far tell it.
    pub length: u64,
    /// Of a body in chunks: how much of that the last one makes up.
    pub chunk: Option<u64>,
    /// What of the body is still to come.
    pub body: Body,
    /// Bytes of the body so far, with their framing.
    pub received: u64,
    /// Whether the client is ready for another request on this connection.
    pub keepalive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// A body was announced, be it an empty one.
    pub has_body: bool,
    /// What of the body came with the head.
    pub body_start: Vec<u8>,
    /// The body was refused, or some of it has not been kept: no server gets any of it from now on.
    pub body_lost: bool,
    /// The server that the request is passed on to.
    pub exchange: Option<Box<Exchange>>,
    /// It came behind another one that was not answered yet.
    pub pipelined: bool,
    /// What variables have come to; those who read a request may be the first to ask for a value.
    pub memory: RefCell<Memory>,
    /// `$request_id`, once asked for.
    pub id: OnceCell<Option<u128>>,
    /// It has come to its path by a redirect of ours: what is `internal` may serve it.
    pub internal: bool,
    /// What is left of the times it may be led to another location; the one that brings it to zero is one too many.
    pub changes: Cell<usize>,
    /// Path and arguments are still those of `uri`.
    pub as_received: bool,
    /// A rewrite has led to another path, whose location is not found yet.
    pub path_changed: bool,
    /// A rewrite has changed the path within its location, which may not begin it any more.
    pub outside_location: bool,
    /// `try_files` has made the path one that follows an `alias` with captures.
    pub path_behind_alias: bool,
    /// `error_page` has led here: the status of the answer, whatever is found.
    pub error_status: Option<u16>,
    /// Where the answer that it replaced redirected to; its own replaces that.
    pub redirect_to: Option<Vec<u8>>,
    /// How it stands with `limit_req` and `limit_conn`.
    pub limits: Standing,
    /// `error_page` is not asked again.
    pub error_page_used: bool,
    /// How many bytes of the answer go in a second, where it has been set for the request; 0: as many as can.
    pub limit_rate: Option<u64>,
    /// `error_page` has made a GET of it, or a server that led elsewhere.
    pub as_get: bool,
    /// What a server that led elsewhere has said of the answer: its type, and fields that go with it.
    pub kept_type: Option<Vec<u8>>,
    pub kept: Vec<Field>,
    pub server: Rc<Server>,
    pub location: Rc<Location>,
    pub started: Instant,
    /// The answer's status; 0 before there is one.
    pub status: u16,
    /// The head of the answer, once that is written.
    pub answer_head: Vec<u8>,
    /// The lines behind the answer's body.
    pub trailers: Vec<u8>,
    /// What is being sent, and how much of it is head.
    pub output: Output,
    /// The length of the answer's head.
    pub head_sent: u64,
    /// It is made for the cache, on the side: it has no client.
    pub background: bool,
    /// Its line is in the access log, or has been tried to be written.
    pub told: bool,
}

impl Request {
    /// A request of which only the head is known, for the default server of its address.
    pub(super) fn new(head: Head, server: &Rc<Server>, started: Instant) -> Self {
        Request {
            path_at: None,
            path: Vec::new(),
            args: None,
            host: Vec::new(),
            real_ip: None,
            length: 0,
            chunk: None,
            body: Body::Complete,
            received: 0,
            keepalive: false,
            expects_continue: false,
            has_body: false,
            body_start: Vec::new(),
            body_lost: false,
            exchange: None,
            pipelined: false,
            memory: RefCell::default(),
            id: OnceCell::new(),
            internal: false,
            changes: Cell::new(CHANGES_MAX),
            as_received: true,
            path_changed: false,
            outside_location: false,
            path_behind_alias: false,
            error_status: None,
            redirect_to: None,
            limits: Standing::default(),
            error_page_used: false,
            limit_rate: None,
            as_get: false,
            kept_type: None,
            kept: Vec::new(),
            server: server.clone(),
            location: server.own.clone(),
            started,
            status: 0,
            answer_head: Vec::new(),
            output: Output::default(),
            trailers: Vec::new(),
            head_sent: 0,
            background: false,
            told: false,
            head,
        }
    }

    /// Works out what the head means, and which server it is for.
    ///
    /// # Errors
    /// Why it cannot be served.
    pub(super) fn interpret(&mut self, names: &Names) -> Result<(), Refusal> {
        let head = &self.head;
        let target = Target::parse(head.target())?;
        let path = if target.path.is_empty() { &b"/"[..] } else { target.path };
        self.path = uri::normalize(path, self.server.merge_slashes)
            .ok_or_else(|| Refusal::new(400, "client sent invalid request"))?;
        self.path_at = Some(head.target().len() - target.rest);
        self.args = target.args.filter(|args| !args.is_empty()).map(<[u8]>::to_vec);
        let named = head.field("host");
        let named_host = named.map(uri::host).transpose()?;
        match (target.authority, named_host) {
            (Some(authority), _) => self.host = uri::host(authority)?,
            (None, Some(host)) => self.host = host,
            (None, None) => {}
        }
        let found = names.find(&self.host, &self.memory);
        self.server = found.map_err(|failed| Refusal::new(500, failed.to_string()))?.clone();
        self.location = self.server.own.clone();
        if named.is_none() && head.version() == Version::Http11 {
            return Err(Refusal::new(400, "client sent HTTP/1.1 request without \"Host\" header"));
        }
        head.check_unique()?;
        self.body = Body::framing(head)?;
        match self.body {
            Body::Length(length) => self.length = length,
            Body::Chunked(_) => self.chunk = Some(0),
            Body::Complete => {}
        }
        self.has_body = head.field("content-length").is_some() || !self.body.is_complete();
        self.keepalive = keeps_alive(head);
        let continues = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
        self.expects_continue = head.version() == Version::Http11 && head.field("expect").is_some_and(continues);
        match head.method() {
            b"TRACE" => Err(Refusal::new(405, "client sent TRACE method")),
            b"CONNECT" => Err(Refusal::new(405, "client sent CONNECT method")),
            _ => Ok(()),
        }
    }

    /// The same request once more, where its location serves it, without body and answer.
    pub(super) fn again(&self) -> Request {
        Request {
            path_at: self.path_at,
            path: self.path.clone(),
            args: self.args.clone(),
            host: self.host.clone(),
            real_ip: self.real_ip.clone(),
            memory: self.memory.clone(),
            id: self.id.clone(),
            internal: self.internal,
            as_received: self.as_received,
            outside_location: self.outside_location,
            path_behind_alias: self.path_behind_alias,
            as_get: self.as_get,
            location: self.location.clone(),
            ..Request::new(self.head.clone(), &self.server, self.started)
        }
    }

    /// The target without what an absolute one has before its path, in the form that the client gave it; empty where it could not be taken apart.
    pub(super) fn uri(&self) -> &[u8] {
        match self.path_at.map(|at| &self.head.target()[at..]) {
            Some([]) => b"/",
            uri => uri.unwrap_or_default(),
        }
    }

    /// The method by which it is served.
    pub(super) fn method(&self) -> &[u8] {
        if self.as_get { b"GET" } else { self.head.method() }
    }

    /// It goes on elsewhere: no variable tells of a server for this place any more, but those of the tries so far.
    pub(super) fn leave_proxy(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.left = true;
        }
    }

    /// Whether the answer goes without a body.
    pub(super) fn is_head(&self) -> bool {
        self.head.method() == b"HEAD"
    }
}

/// RFC 9112 9.3: what `Connection` says, else what the version means.
fn keeps_alive(head: &Head) -> bool {
    let says = |word: &str| {
        let words = head.all("connection").flat_map(|value| value.split(|byte| *byte == b','));
        words.map(<[u8]>::trim_ascii).any(|value| value.eq_ignore_ascii_case(word.as_bytes()))
    };
    !says("close") && (head.version() == Version::Http11 || says("keep-alive"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::definitions::Registry;

    fn read(text: &str) -> (Request, Result<(), u16>) {
        let server = Rc::new(super::super::level::server_of("default"));
        let mut names = Names::new(server.clone());
        let other = Rc::new(super::super::level::server_of("a.b"));
        let name = super::super::names::Name::parse("a.b", &mut Registry::default()).unwrap();
        names.add(&name, &other).unwrap();
        let head = Head::parse(text.as_bytes()).unwrap();
        let mut request = Request::new(head, &server, Instant::now());
        let read = request.interpret(&names).map_err(|refusal| refusal.status);
        (request, read)
    }

    #[test]
    fn what_a_head_means() {
        let (request, read) = self::read("GET http://A.b:80/x/../y?z HTTP/1.1\r\nHost: other\r\n\r\n");
        assert_eq!(read, Ok(()));
        assert_eq!((request.path.as_slice(), request.args.as_deref()), (&b"/y"[..], Some(&b"z"[..])));
        assert_eq!((request.host.as_slice(), request.server.name.as_str()), (&b"a.b"[..], "a.b"));
        assert!(request.keepalive);
        let keepalive = |text: &str| self::read(text).0.keepalive;
        assert!(!keepalive("GET / HTTP/1.0\r\n\r\n"));
        assert!(keepalive("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!keepalive("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"));
        assert!(!keepalive("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n"));
    }

    #[test]
    fn what_cannot_be_served() {
        for (text, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET /.. HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ] {
            assert_eq!(read(text).1, Err(status), "{text:?}");
        }
    }
}
