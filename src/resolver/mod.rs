//! The DNS client of a worker: names to addresses, and services to their servers, while sessions are served.
//!
//! An engine asks by [`Resolver::resolve`]; when the answer is there the worker takes it ([`Resolver::answer`]) and brings it to whoever
//! asked. A lookup sends its questions (A and AAAA side by side, or SRV) over UDP and asks over TCP what did not fit. Each time it turns to a
//! server it uses another socket, whose port the kernel picks at random, and other random ids; the socket is connected, so the
//! kernel drops what comes from elsewhere. A reply with another id or question is passed over and does not end anything.
//!
//! An answer says how long it is good for. Those who follow a name ask again then; for those who need one at once, answers are kept as long as
//! they are good ([`Resolver::known`]).

mod cache;
mod lookup;
pub mod message;
mod settings;

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::event::{Owner, Reactor};
use cache::Cache;
use lookup::Lookup;

pub use message::{Name, Service};
pub use settings::{Settings, TIMEOUT, parse};

/// What is to be found out about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The addresses of a host.
    Addresses,
    /// The servers of a service, by its SRV records; their addresses are asked for by who wants them.
    Services,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The IPv4 addresses; `None`: no server would or could tell. Those of a family that is switched off are none.
    pub v4: Option<Vec<Ipv4Addr>>,
    /// Likewise the IPv6 addresses.
    pub v6: Option<Vec<Ipv6Addr>>,
    /// The servers, where those of a service were wanted.
    pub services: Vec<Service>,
    /// How long they are good for: `valid=`, or the records' time to live, from [`VALID_LEAST`] to [`VALID_MOST`].
    pub valid: Duration,
}

impl Found {
    /// All addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.iter().flatten().map(|&ip| ip.into());
        v4.chain(self.v6.iter().flatten().map(|&ip| ip.into()))
    }
}

/// No answer is good for less, so that records with a time to live of 0 do not make a stream of queries.
pub const VALID_LEAST: Duration = Duration::from_secs(1);
/// Nor for more, whatever its time to live: a day, as common name servers have it.
pub const VALID_MOST: Duration = Duration::from_secs(86_400);

/// Why nothing was found. Printed as nginx does: `3: Host not found`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A name server's response code (RFC 1035 section 4.1.1). A name without the records wanted counts as one that does not exist.
    Code(u8),
    /// No server has answered in time.
    TimedOut,
}

impl Failure {
    /// The name does not exist, or has no such records.
    pub const NOT_FOUND: Failure = Failure::Code(3);
    /// What a server that sends malformed answers has.
    const SERVER_FAILURE: Failure = Failure::Code(2);
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, text) = match *self {
            Failure::Code(1) => (1, "Format error"),
            Failure::Code(2) => (2, "Server failure"),
            Failure::Code(3) => (3, "Host not found"),
            Failure::Code(4) => (4, "Unimplemented"),
            Failure::Code(5) => (5, "Operation refused"),
            Failure::Code(code) => (code, "Unknown error"),
            Failure::TimedOut => (libc::ETIMEDOUT as u8, "Operation timed out"),
        };
        write!(f, "{code}: {text}")
    }
}

/// The end of a lookup.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Who asked, as told to [`Resolver::resolve`].
    pub asker: Owner,
    /// What about.
    pub name: Name,
    /// What was wanted of it.
    pub wanted: Wanted,
    /// What was found.
    pub result: Result<Found, Failure>,
}

/// All lookups of a worker.
pub struct Resolver {
    /// Its number among the worker's engines, for the owners of events.
    engine: u8,
    lookups: Slab<Lookup>,
    answers: VecDeque<Answer>,
    cache: Cache,
    /// Counts lookups, so that each begins with another server.
    rotation: usize,
}

impl Resolver {
    /// A resolver without lookups; events of its sources come with `engine`.
    pub fn new(engine: u8) -> Self {
        Resolver { engine, lookups: Slab::new(), answers: VecDeque::new(), cache: Cache::default(), rotation: 0 }
    }

    /// Asks what is `wanted` of `name`. The [`Resolver::answer`] carries `asker`; it comes in every case, within
    /// `settings.timeout`. Who asks what is being asked already gets the same answer.
    pub fn resolve(
        &mut self,
        reactor: &mut Reactor,
        settings: &Rc<Settings>,
        name: &Name,
        wanted: Wanted,
        asker: Owner,
    ) {
        let under_way = self.lookups.iter_mut().find(|(_, lookup)| lookup.is_for(settings, name, wanted));
        if let Some((_, lookup)) = under_way {
            lookup.askers.push(asker);
            return;
        }
        let entry = self.lookups.vacant_entry();
        let id = entry.key() as u32;
        let owner = Owner { engine: self.engine, part: 0, id };
        entry.insert(Lookup::new(settings.clone(), (name.clone(), wanted), asker, owner, self.rotation, reactor));
        self.rotation = self.rotation.wrapping_add(1);
        self.step(reactor, id, Lookup::start);
    }

    /// The addresses of `name`, where an answer is still good.
    pub fn known(&self, settings: &Settings, name: &Name, now: Instant) -> Option<Found> {
        self.cache.get(settings, name, now)
    }

    /// A number that is another one each time, to begin with another address.
    pub fn turn(&mut self) -> usize {
        self.rotation = self.rotation.wrapping_add(1);
        self.rotation
    }

    /// Who has asked wants no answer any more.
    pub fn forget(&mut self, asker: Owner) {
        for (_, lookup) in &mut self.lookups {
            lookup.askers.retain(|known| *known != asker);
        }
        self.answers.retain(|answer| answer.asker != asker);
    }

    /// A socket of a lookup is ready.
    pub fn ready(&mut self, reactor: &mut Reactor, owner: Owner) {
        self.step(reactor, owner.id, |lookup, reactor| lookup.ready(owner.part, reactor));
    }

    /// A lookup's timer has run out.
    pub fn timer(&mut self, reactor: &mut Reactor, owner: Owner) {
        self.step(reactor, owner.id, Lookup::timer);
    }

    /// Ends a lookup in which the program failed.
    pub fn abandon(&mut self, reactor: &mut Reactor, id: u32) {
        self.step(reactor, id, |_, _| Some(Err(Failure::SERVER_FAILURE)));
    }

    /// The next answer that waits to be brought to its asker.
    pub fn answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    fn step(
        &mut self,
        reactor: &mut Reactor,
        id: u32,
        step: impl FnOnce(&mut Lookup, &mut Reactor) -> Option<Result<Found, Failure>>,
    ) {
        let Some(lookup) = self.lookups.get_mut(id as usize) else { return };
        let Some(result) = step(lookup, reactor) else { return };
        let lookup = self.lookups.remove(id as usize);
        let (settings, name, wanted) = lookup.question();
        if let (Ok(found), Wanted::Addresses) = (&result, wanted) {
            self.cache.put(settings, name, found, reactor.now());
        }
        let name = name.clone();
        let askers = lookup.end(reactor);
        let answer = |asker| Answer { asker, name: name.clone(), wanted, result: result.clone() };
        self.answers.extend(askers.into_iter().map(answer));
    }
}
