//! Asks responders over the worker's reactor: one question about a certificate at a time, at one of the responder's addresses after the
//! other, until one gives an answer.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use openssl::ssl::SslRef;
use slab::Slab;

use super::answer::{Head, LIMIT, head, judge};
use super::{Staple, Staples, seconds};
use crate::event::{Owner, Reactor, TimerId};
use crate::log::{Level, Record, emit};
use crate::net::{Address, Connection, reasons};
use crate::resolver::{Answer, Failure, Found, Resolver, Wanted};

/// How long an address may take from connecting to the end of its answer; nginx's.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The questions of a worker. Their connections are few, and not counted as `worker_connections`.
pub struct Engine {
    /// Its number among the worker's engines, for the owners of events.
    number: u8,
    /// By the id in the owners of their events.
    questions: Slab<Question>,
}

/// One question under way.
struct Question {
    staple: Arc<Staple>,
    owner: Owner,
    timer: TimerId,
    request: Vec<u8>,
    addresses: Vec<Address>,
    /// The address whose turn it is after the one at hand.
    next: usize,
    /// With the address at hand, unless names are being looked up.
    exchange: Option<Exchange>,
}

struct Exchange {
    connection: Connection,
    connected: bool,
    sent: usize,
    answer: Vec<u8>,
}

/// Why an address is left: nginx's message, and the system's word for it.
type Fault = (String, Option<io::Error>);

fn failed(call: &'static str) -> impl Fn(io::Error) -> Fault {
    move |error| (format!("{call} failed"), Some(error))
}

impl Engine {
    /// An engine without questions; events of its sources come with `number`.
    pub fn new(number: u8) -> Self {
        Engine { number, questions: Slab::new() }
    }

    /// Asks what the client of a session, whose handshake has gone on, has wanted to know and is not known.
    pub fn look(&mut self, reactor: &mut Reactor, resolver: &mut Resolver, ssl: &SslRef) {
        for staple in Staples::of(ssl).into_iter().flat_map(|staples| &staples.all) {
            if staple.kept().begin() {
                self.ask(reactor, resolver, staple.clone());
            }
        }
    }

    fn ask(&mut self, reactor: &mut Reactor, resolver: &mut Resolver, staple: Arc<Staple>) {
        let request = match staple.responder.request(&staple.certificate, &staple.issuer) {
            Ok(request) => request,
            Err(stack) => {
                log(
                    &staple,
                    None,
                    Level::Crit,
                    None,
                    format_args!("OCSP_REQUEST_new() failed (SSL: {})", reasons(&stack)),
                );
                return staple.kept().end(seconds(), None);
            }
        };
        let entry = self.questions.vacant_entry();
        let owner = Owner { engine: self.number, part: 0, id: entry.key() as u32 };
        let question = entry.insert(Question {
            owner,
            timer: reactor.add_timer(owner),
            request,
            addresses: staple.responder.addresses.clone(),
            next: 0,
            exchange: None,
            staple,
        });
        let Some(name) = &question.staple.responder.name else { return self.turn(reactor, owner) };
        match question.staple.resolver.clone() {
            Some(settings) => resolver.resolve(reactor, &Rc::new(settings), name, Wanted::Addresses, owner),
            None => {
                let host = &question.staple.responder.host;
                log(&question.staple, None, Level::Warn, None, format_args!("no resolver defined to resolve {host}"));
                self.turn(reactor, owner);
            }
        }
    }

    /// The name of a responder has been resolved, or not.
    pub fn resolved(&mut self, reactor: &mut Reactor, answer: &Answer) {
        let owner = answer.asker;
        let Some(question) = self.questions.get_mut(owner.id as usize) else { return };
        match &answer.result {
            Ok(found) => question.take(found),
            Err(failure) => return self.unresolved(reactor, owner, *failure),
        }
        self.turn(reactor, owner);
    }

    fn unresolved(&mut self, reactor: &mut Reactor, owner: Owner, failure: Failure) {
        let staple = &self.questions[owner.id as usize].staple;
        let host = &staple.responder.host;
        log(staple, None, Level::Error, None, format_args!("{host} could not be resolved ({failure})"));
        self.end(reactor, owner, None);
    }

    /// Turns to the next address that can be connected to, or gives up.
    fn turn(&mut self, reactor: &mut Reactor, owner: Owner) {
        let Some(question) = self.questions.get_mut(owner.id as usize) else { return };
        if !question.turn(reactor) {
            self.end(reactor, owner, None);
        }
    }

    /// The connection to a responder is ready.
    pub fn ready(&mut self, reactor: &mut Reactor, owner: Owner) {
        let Some(question) = self.questions.get_mut(owner.id as usize) else { return };
        match question.go_on(reactor) {
            Ok(None) => {}
            Ok(Some(body)) => {
                let told = question.judge(body);
                self.end(reactor, owner, told);
            }
            Err((message, error)) => {
                question.log(Level::Error, error.as_ref(), &message);
                self.turn(reactor, owner);
            }
        }
    }

    /// An address has had its time.
    pub fn timer(&mut self, reactor: &mut Reactor, owner: Owner) {
        let Some(question) = self.questions.get(owner.id as usize) else { return };
        let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        question.log(Level::Error, Some(&error), "OCSP responder timed out");
        self.turn(reactor, owner);
    }

    /// The program failed while serving a question: it ends without an answer.
    pub fn abandon(&mut self, reactor: &mut Reactor, owner: Owner) {
        self.end(reactor, owner, None);
    }

    /// A question has come to its end, with an answer and how many seconds it is good, or without.
    fn end(&mut self, reactor: &mut Reactor, owner: Owner, told: Option<(Vec<u8>, i64)>) {
        let Some(mut question) = self.questions.try_remove(owner.id as usize) else { return };
        question.leave(reactor);
        reactor.remove_timer(question.timer);
        let now = seconds();
        question.staple.kept().end(now, told.map(|(answer, valid)| (answer, now.saturating_add(valid))));
    }
}

impl Question {
    fn take(&mut self, found: &Found) {
        let port = self.staple.responder.port;
        self.addresses = found.addresses().map(|ip| Address::Inet((ip, port).into())).collect();
    }

    /// Closes the connection to the address at hand.
    fn leave(&mut self, reactor: &mut Reactor) {
        if let Some(exchange) = self.exchange.take() {
            exchange.connection.close(reactor);
        }
    }

    /// Begins with the next address; false when none is left.
    fn turn(&mut self, reactor: &mut Reactor) -> bool {
        self.leave(reactor);
        while let Some(address) = self.addresses.get(self.next) {
            self.next += 1;
            match Connection::connect(address, reactor, self.owner) {
                Ok(connection) => {
                    reactor.set_timer(self.timer, reactor.now() + TIMEOUT);
                    self.exchange = Some(Exchange { connection, connected: false, sent: 0, answer: Vec::new() });
                    return true;
                }
                Err((call, error)) => self.log(Level::Error, Some(&error), &format!("{call} failed")),
            }
        }
        false
    }

    /// Does what the readiness of the connection allows. Gives where the body of the answer begins when that is whole.
    fn go_on(&mut self, reactor: &mut Reactor) -> Result<Option<usize>, Fault> {
        let Some(exchange) = &mut self.exchange else { return Ok(None) };
        if !exchange.is_asked(reactor, &self.request)? {
            return Ok(None);
        }
        exchange.receive(reactor)
    }

    fn judge(&self, body: usize) -> Option<(Vec<u8>, i64)> {
        let der = &self.exchange.as_ref()?.answer[body..];
        match judge(&self.staple, der) {
            Ok(valid) => Some((der.to_vec(), valid)),
            Err(message) => {
                self.log(Level::Error, None, &message);
                None
            }
        }
    }

    fn log(&self, level: Level, error: Option<&io::Error>, message: &str) {
        let address = self.next.checked_sub(1).and_then(|at| self.addresses.get(at));
        log(&self.staple, address, level, error, format_args!("{message}"));
    }
}

impl Exchange {
    /// Connects and sends, as far as that goes now; whether the whole question is out.
    fn is_asked(&mut self, reactor: &mut Reactor, request: &[u8]) -> Result<bool, Fault> {
        let source = self.connection.source();
        if !self.connected {
            if !reactor.writable(source) {
                return Ok(false);
            }
            self.connection.probe(reactor).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => (closed(), None),
                _ => failed("connect()")(error),
            })?;
            self.connected = true;
        }
        while self.sent < request.len() && reactor.writable(source) {
            self.sent += self.connection.send(reactor, &request[self.sent..]).map_err(failed("send()"))?;
        }
        Ok(self.sent == request.len())
    }

    /// Reads what has come; where the body begins when the responder has ended.
    fn receive(&mut self, reactor: &mut Reactor) -> Result<Option<usize>, Fault> {
        let plain = |message| (message, None);
        let mut buffer = [0; 4096];
        while reactor.readable(self.connection.source()) {
            match self.connection.recv(reactor, &mut buffer).map_err(failed("recv()"))? {
                None => break,
                Some(0) => match head(&self.answer).map_err(plain)? {
                    Head::Body(start) => return Ok(Some(start)),
                    Head::NotYet => return Err(plain(closed())),
                },
                Some(count) => self.answer.extend_from_slice(&buffer[..count]),
            }
            if self.answer.len() > LIMIT {
                return Err(plain("OCSP responder sent invalid response".to_owned()));
            }
            head(&self.answer).map_err(plain)?;
        }
        Ok(None)
    }
}

fn closed() -> String {
    "OCSP responder prematurely closed connection".to_owned()
}

/// The end of a line about a question, in nginx's words.
struct While<'a>(&'a Staple, Option<&'a Address>);

impl fmt::Display for While<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " while requesting certificate status, responder: {}", self.0.responder.host)?;
        if let Some(address) = self.1 {
            write!(f, ", peer: {address}")?;
        }
        write!(f, ", certificate: \"{}\"", self.0.name)
    }
}

fn log(
    staple: &Staple,
    address: Option<&Address>,
    level: Level,
    error: Option<&io::Error>,
    message: fmt::Arguments<'_>,
) {
    emit(&Record { error, context: Some(&While(staple, address)), ..Record::new(level) }, message);
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::stack::Stack;
    use openssl::x509::X509;
    use openssl::x509::store::X509StoreBuilder;

    use super::super::Stage;
    use super::*;
    use crate::event::Event;
    use crate::tls::ocsp::responder::Responder;

    fn staple(addresses: Vec<Address>) -> Arc<Staple> {
        let key = PKey::generate_ed25519().unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.sign(&key, MessageDigest::null()).unwrap();
        let certificate = builder.build();
        Arc::new(Staple {
            name: "a".to_owned(),
            issuer: certificate.clone(),
            certificate,
            chain: Stack::new().unwrap(),
            trusted: Arc::new(X509StoreBuilder::new().unwrap().build()),
            verifies: false,
            responder: Responder { addresses, ..Responder::parse("http://127.0.0.1/").unwrap() },
            resolver: None,
            kept: Default::default(),
        })
    }

    #[test]
    fn who_says_nothing_has_its_time_and_then_the_next_is_asked() {
        let silent: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let staple = staple(silent.iter().map(|it| Address::Inet(it.local_addr().unwrap())).collect());
        let (mut reactor, mut resolver) = (Reactor::new().unwrap(), Resolver::new(1));
        let mut engine = Engine::new(0);
        staple.kept().get(seconds());
        assert!(staple.kept().begin());
        engine.ask(&mut reactor, &mut resolver, staple.clone());
        let owner = engine.questions[0].owner;
        for listener in silent {
            while engine.questions[0].exchange.as_ref().is_some_and(|exchange| exchange.sent == 0) {
                reactor.wait(Some(Duration::from_secs(20))).unwrap();
                while let Some(event) = reactor.next() {
                    assert_eq!(event, Event::Ready(owner));
                    engine.ready(&mut reactor, owner);
                }
            }
            let mut request = [0; 5];
            listener.accept().unwrap().0.read_exact(&mut request).unwrap();
            assert_eq!(&request, b"GET /");
            assert_eq!(staple.kept().stage, Stage::Asking);
            engine.timer(&mut reactor, owner);
        }
        assert!(engine.questions.is_empty());
        let kept = staple.kept();
        assert_eq!((kept.stage, kept.answer.len()), (Stage::Idle, 0));
        assert!(kept.refresh > seconds());
    }
}
