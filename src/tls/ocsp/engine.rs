//! Asks responders over the worker's reactor: one question about a certificate at a time, at one of the responder's addresses after the
//! other, until one gives an answer.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use openssl::ssl::SslRef;
use slab::Slab;

use super::answer::{Head, LIMIT, head, judge};
use super::staples::{Staple, Staples};
use super::{Inquiry, Status, Subject, Verdict, seconds};
use crate::event::{Owner, Reactor, TimerId};
use crate::log::{Level, Record, emit};
use crate::net::{Address, Connection, reasons};
use crate::resolver::{Answer, Failure, Found, Resolver, Wanted};

/// How long an address may take from connecting to the end of its answer; nginx's.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The questions of a worker. Connections for stapling are few, and not counted as `worker_connections`; those for clients are, by whoever asks.
pub struct Engine {
    /// Its number among the worker's engines, for the owners of events.
    number: u8,
    /// By the id in the owners of their events.
    questions: Slab<Question>,
    /// For who has asked about clients.
    told: VecDeque<Told>,
}

/// The end of a question about a client's certificate.
#[derive(Debug)]
pub struct Told {
    /// Who has asked.
    pub asker: Owner,
    /// `None`: nobody has said anything that counts.
    pub(super) verdict: Option<Verdict>,
}

/// What a question is for.
enum Purpose {
    Staple(Arc<Staple>),
    Client(Owner, Box<Inquiry>),
}

impl Purpose {
    fn inquiry(&self) -> &Inquiry {
        match self {
            Purpose::Staple(staple) => &staple.inquiry,
            Purpose::Client(_, inquiry) => inquiry,
        }
    }
}

/// One question under way.
struct Question {
    purpose: Purpose,
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
        Engine { number, questions: Slab::new(), told: VecDeque::new() }
    }

    /// Asks what the client of a session, whose handshake has gone on, has wanted to know and is not known.
    pub fn look(&mut self, reactor: &mut Reactor, resolver: &mut Resolver, ssl: &SslRef) {
        for staple in Staples::of(ssl).into_iter().flat_map(|staples| &staples.all) {
            if staple.kept().begin() && self.begin(reactor, resolver, Purpose::Staple(staple.clone())).is_none() {
                staple.kept().end(seconds(), None);
            }
        }
    }

    /// Asks about a client's certificate. What is returned stands for the question until [`Engine::told`] gives what has come of it to `asker`;
    /// `None`: nothing can.
    pub(super) fn ask(
        &mut self,
        reactor: &mut Reactor,
        resolver: &mut Resolver,
        asker: Owner,
        inquiry: Inquiry,
    ) -> Option<u32> {
        self.begin(reactor, resolver, Purpose::Client(asker, Box::new(inquiry)))
    }

    /// The next that has been told about clients.
    pub fn told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Who has asked a question does not wait for it any more.
    pub(super) fn forget(&mut self, reactor: &mut Reactor, resolver: &mut Resolver, id: u32) {
        if let Some(question) = self.remove(reactor, id) {
            resolver.forget(question.owner);
        }
    }

    /// `None`: it has come to its end at once, without an answer.
    fn begin(&mut self, reactor: &mut Reactor, resolver: &mut Resolver, purpose: Purpose) -> Option<u32> {
        let inquiry = purpose.inquiry();
        let request = match inquiry.responder.request(&inquiry.certificate, &inquiry.issuer) {
            Ok(request) => request,
            Err(stack) => {
                let message = format_args!("OCSP_REQUEST_new() failed (SSL: {})", reasons(&stack));
                log(inquiry, None, Level::Crit, None, message);
                return None;
            }
        };
        let entry = self.questions.vacant_entry();
        let id = entry.key() as u32;
        let owner = Owner { engine: self.number, part: 0, id };
        let question = entry.insert(Question {
            owner,
            timer: reactor.add_timer(owner),
            request,
            addresses: inquiry.responder.addresses.clone(),
            next: 0,
            exchange: None,
            purpose,
        });
        let under_way = question.look_up(reactor, resolver) || question.turn(reactor);
        if !under_way {
            self.remove(reactor, id);
        }
        under_way.then_some(id)
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
        let inquiry = self.questions[owner.id as usize].purpose.inquiry();
        let host = &inquiry.responder.host;
        log(inquiry, None, Level::Error, None, format_args!("{host} could not be resolved ({failure})"));
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

    /// A question has come to its end, with an answer and what it says, or without.
    fn end(&mut self, reactor: &mut Reactor, owner: Owner, told: Option<(Vec<u8>, Verdict)>) {
        let Some(question) = self.remove(reactor, owner.id) else { return };
        match question.purpose {
            Purpose::Client(asker, _) => {
                self.told.push_back(Told { asker, verdict: told.map(|(_, verdict)| verdict) });
            }
            Purpose::Staple(staple) => {
                let now = seconds();
                let good = told.map(|(answer, verdict)| (answer, now.saturating_add(verdict.valid)));
                staple.kept().end(now, good);
            }
        }
    }

    fn remove(&mut self, reactor: &mut Reactor, id: u32) -> Option<Question> {
        let mut question = self.questions.try_remove(id as usize)?;
        question.leave(reactor);
        reactor.remove_timer(question.timer);
        Some(question)
    }
}

impl Question {
    /// Whether the name of the responder is being looked up now.
    fn look_up(&mut self, reactor: &mut Reactor, resolver: &mut Resolver) -> bool {
        let inquiry = self.purpose.inquiry();
        let Some(name) = &inquiry.responder.name else { return false };
        let Some(settings) = &inquiry.resolver else {
            let level = if self.addresses.is_empty() { Level::Error } else { Level::Warn };
            let host = &inquiry.responder.host;
            log(inquiry, None, level, None, format_args!("no resolver defined to resolve {host}"));
            return false;
        };
        if let Some(found) = resolver.known(settings, name, reactor.now()) {
            self.take(&found);
            return false;
        }
        resolver.resolve(reactor, &Rc::new((**settings).clone()), name, Wanted::Addresses, self.owner);
        true
    }

    fn take(&mut self, found: &Found) {
        let port = self.purpose.inquiry().responder.port;
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

    /// What the answer says, where that is of use.
    fn judge(&self, body: usize) -> Option<(Vec<u8>, Verdict)> {
        let der = &self.exchange.as_ref()?.answer[body..];
        let not_good = |told| Err(format!("certificate status \"{told}\" in the OCSP response"));
        let judged = judge(self.purpose.inquiry(), der).and_then(|verdict| match (&self.purpose, verdict.status) {
            // Clients would make nothing of it.
            (Purpose::Staple(_), Status::Revoked) => not_good("revoked"),
            (Purpose::Staple(_), Status::Unknown) => not_good("unknown"),
            _ => Ok(verdict),
        });
        match judged {
            Ok(verdict) => Some((der.to_vec(), verdict)),
            Err(message) => {
                self.log(Level::Error, None, &message);
                None
            }
        }
    }

    fn log(&self, level: Level, error: Option<&io::Error>, message: &str) {
        let address = self.next.checked_sub(1).and_then(|at| self.addresses.get(at));
        log(self.purpose.inquiry(), address, level, error, format_args!("{message}"));
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
struct While<'a>(&'a Inquiry, Option<&'a Address>);

impl fmt::Display for While<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " while requesting certificate status, responder: {}", self.0.responder.host)?;
        if let Some(address) = self.1 {
            write!(f, ", peer: {address}")?;
        }
        match &self.0.subject {
            Subject::File(name) => write!(f, ", certificate: \"{name}\""),
            Subject::Client(..) => Ok(()),
        }
    }
}

fn log(
    inquiry: &Inquiry,
    address: Option<&Address>,
    level: Level,
    error: Option<&io::Error>,
    message: fmt::Arguments<'_>,
) {
    let (connection, log) = match &inquiry.subject {
        Subject::File(_) => (None, None),
        Subject::Client(number, log) => (Some(*number), log.as_ref()),
    };
    let context = While(inquiry, address);
    emit(&Record { error, connection, log, context: Some(&context), ..Record::new(level) }, message);
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::ocsp::OcspFlag;
    use openssl::pkey::PKey;
    use openssl::stack::Stack;
    use openssl::x509::X509;
    use openssl::x509::store::X509StoreBuilder;

    use super::super::staples::Stage;
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
        Arc::new(Staple::new(Inquiry {
            issuer: certificate.clone(),
            certificate,
            chain: Arc::new(Stack::new().unwrap()),
            trusted: Arc::new(X509StoreBuilder::new().unwrap().build()),
            flags: OcspFlag::NO_VERIFY,
            responder: Arc::new(Responder { addresses, ..Responder::parse("http://127.0.0.1/").unwrap() }),
            resolver: None,
            subject: Subject::File("a".to_owned()),
        }))
    }

    #[test]
    fn who_says_nothing_has_its_time_and_then_the_next_is_asked() {
        let silent: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let staple = staple(silent.iter().map(|it| Address::Inet(it.local_addr().unwrap())).collect());
        let (mut reactor, mut resolver) = (Reactor::new().unwrap(), Resolver::new(1));
        let mut engine = Engine::new(0);
        staple.kept().get(seconds());
        assert!(staple.kept().begin());
        engine.begin(&mut reactor, &mut resolver, Purpose::Staple(staple.clone())).unwrap();
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
