//! Following names: a `server name:port resolve` line has the addresses that its name has now, one with `service=` those of the servers that
//! the service's records name now.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Balancer, Endpoint, Followed, Group, Peer};
use crate::event::{Owner, Reactor, TimerId};
use crate::log::{Level, Record, emit};
use crate::resolver::{Answer, Failure, Found, Name, Resolver, Service, VALID_LEAST, Wanted};

/// How soon a name is asked for again when that has failed: nginx's time to send a query again.
const RETRY: Duration = Duration::from_secs(5);

/// The lines whose names the groups of one engine follow, of all configurations in use.
pub struct Followers {
    /// Of timers and answers, but for the id.
    owner: Owner,
    /// A place is never used again, as answers may still come for it.
    list: Vec<Option<Following>>,
}

/// A line being followed.
struct Following {
    epoch: usize,
    group: usize,
    follower: Follower,
}

impl Followers {
    /// No names yet. Timers and answers come with `owner` and an id.
    pub fn new(owner: Owner) -> Self {
        Followers { owner, list: Vec::new() }
    }

    /// Begins to follow the names of a configuration.
    pub fn start(&mut self, epoch: usize, groups: &[Rc<Group>], reactor: &mut Reactor, resolver: &mut Resolver) {
        for (group, config) in groups.iter().enumerate() {
            for line in 0..config.followed.len() {
                let owner = Owner { id: self.list.len() as u32, ..self.owner };
                let follower = Follower::start(line, config, owner, reactor, resolver);
                self.list.push(Some(Following { epoch, group, follower }));
            }
        }
    }

    /// Follows the names of a configuration no longer.
    pub fn end(&mut self, epoch: usize, reactor: &mut Reactor) {
        for following in &mut self.list {
            if let Some(ended) = following.take_if(|following| following.epoch == epoch) {
                ended.follower.end(reactor);
            }
        }
    }

    /// A line that is being followed, and the epoch and the number of its group.
    pub fn get(&mut self, id: u32) -> Option<(usize, usize, &mut Follower)> {
        let Following { epoch, group, follower } = self.list.get_mut(id as usize)?.as_mut()?;
        Some((*epoch, *group, follower))
    }
}

/// One followed line in one worker.
pub struct Follower {
    /// Its place in [`Group::followed`].
    line: usize,
    /// Tells when to ask again.
    timer: TimerId,
    /// Of the timer and of the answers.
    owner: Owner,
    /// Where the line names a service, when to ask for its records.
    service: Option<Instant>,
    /// Whom the line stands for: the host that it names, or the servers that the service has, those of the lowest priority value first.
    records: Vec<Service>,
    /// The hosts of the records.
    hosts: Vec<Host>,
}

/// A host.
struct Host {
    name: Name,
    /// Its addresses, as far as is known.
    addresses: Vec<IpAddr>,
    /// No answer about it has come yet, good or bad.
    new: bool,
    /// When to ask for them.
    due: Instant,
}

impl Follower {
    /// Begins to follow line number `line` of `group`, asking at once. The timer and the answers come with `owner`.
    pub fn start(line: usize, group: &Group, owner: Owner, reactor: &mut Reactor, resolver: &mut Resolver) -> Self {
        let now = reactor.now();
        let Followed { name, port, .. } = &group.followed[line];
        let mut follower = Follower {
            line,
            timer: reactor.add_timer(owner),
            owner,
            service: None,
            records: Vec::new(),
            hosts: Vec::new(),
        };
        match port {
            Some(port) => {
                let at_start = group.peers.iter().filter(|peer| peer.line == Some(line)).filter_map(Peer::ip);
                follower.hosts.push(Host { name: name.clone(), addresses: at_start.collect(), new: true, due: now });
                follower.records.push(Service { priority: 0, weight: 1, port: *port, target: name.clone() });
            }
            None => follower.service = Some(now),
        }
        follower.ask(group, reactor, resolver);
        follower
    }

    /// Asks for the next answers where those at hand have run out, or there were none.
    pub fn ask(&mut self, group: &Group, reactor: &mut Reactor, resolver: &mut Resolver) {
        let Some(settings) = &group.resolver else { return };
        let now = reactor.now();
        // Until the answer sets it: an answer that is lost to a fault of the program is not waited for in vain.
        let lost = now + settings.timeout + RETRY;
        let service = self.service.iter_mut().map(|due| (&group.followed[self.line].name, Wanted::Services, due));
        let hosts = self.hosts.iter_mut().map(|host| (&host.name, Wanted::Addresses, &mut host.due));
        for (name, wanted, due) in service.chain(hosts).filter(|(.., due)| **due <= now) {
            *due = lost;
            resolver.resolve(reactor, settings, name, wanted, self.owner);
        }
        self.wait(reactor);
    }

    /// Sets the timer to the next thing to ask.
    fn wait(&self, reactor: &mut Reactor) {
        if let Some(due) = self.hosts.iter().map(|host| host.due).chain(self.service).min() {
            reactor.set_timer(self.timer, due);
        }
    }

    /// Takes an answer. A name that does not exist has no addresses, or servers; when there is no answer those at hand are kept, of one
    /// family or both. Returns whether the line has other addresses now.
    pub fn answered(
        &mut self,
        balancer: &mut Balancer,
        answer: &Answer,
        reactor: &mut Reactor,
        resolver: &mut Resolver,
    ) -> bool {
        let Answer { name, wanted, result, .. } = answer;
        let settings = balancer.group().resolver.clone();
        let retry = settings.and_then(|settings| settings.valid).map_or(RETRY, |valid| valid.min(RETRY));
        if let Err(failure) = result {
            self.log(balancer, Level::Error, format_args!("{name} could not be resolved ({failure})"));
        }
        let none = Found { v4: Some(Vec::new()), v6: Some(Vec::new()), services: Vec::new(), valid: retry };
        let found = match result {
            Ok(found) => Some(found),
            Err(failure) => (*failure == Failure::NOT_FOUND).then_some(&none),
        };
        let whole = found.is_some_and(|found| found.v4.is_some() && found.v6.is_some());
        let valid = found.map_or(retry, |found| if whole { found.valid } else { found.valid.min(retry) });
        let due = reactor.now() + valid.max(VALID_LEAST);
        match wanted {
            Wanted::Services => self.take_records(found, due, reactor.now()),
            Wanted::Addresses => self.take_addresses(name, found, due),
        }
        let changed = self.adopt(balancer);
        self.ask(balancer.group(), reactor, resolver);
        changed
    }

    /// Takes the records of the service. Hosts that they name for the first time are to be asked for at once.
    fn take_records(&mut self, found: Option<&Found>, due: Instant, now: Instant) {
        self.service = Some(due);
        let Some(found) = found else { return };
        self.records.clone_from(&found.services);
        self.records.sort_by_key(|record| record.priority);
        self.hosts.retain(|host| self.records.iter().any(|record| record.target == host.name));
        for Service { target, .. } in &self.records {
            if self.hosts.iter().all(|host| host.name != *target) {
                self.hosts.push(Host { name: target.clone(), addresses: Vec::new(), new: true, due: now });
            }
        }
    }

    /// Takes the addresses of a host, if it is still one of ours.
    fn take_addresses(&mut self, name: &Name, found: Option<&Found>, due: Instant) {
        let Some(host) = self.hosts.iter_mut().find(|host| host.name == *name) else { return };
        (host.due, host.new) = (due, false);
        let Some(found) = found else { return };
        host.addresses.retain(|ip| match ip {
            IpAddr::V4(_) => found.v4.is_none(),
            IpAddr::V6(_) => found.v6.is_none(),
        });
        host.addresses.splice(0..0, found.addresses());
    }

    /// Follows no longer. An answer may still come for `owner`.
    pub fn end(self, reactor: &mut Reactor) {
        reactor.remove_timer(self.timer);
    }

    /// What the line has to have now, each address once.
    fn endpoints(&self, Followed { like, .. }: &Followed) -> Vec<Endpoint> {
        let host = |name: &Name| self.hosts.iter().find(|host| host.name == *name);
        // Those without an address serve nobody, so that others are the best there are; of new ones that is not known yet.
        let serves =
            |record: &&Service| host(&record.target).is_some_and(|host| host.new || !host.addresses.is_empty());
        let best = self.records.iter().filter(serves).map(|record| record.priority).min();
        let mut endpoints = Vec::new();
        let mut known = HashSet::new();
        for record in &self.records {
            let second = Some(record.priority) != best;
            // As in nginx: there is no backup of a backup.
            if second && like.backup {
                continue;
            }
            let addresses = host(&record.target).into_iter().flat_map(|host| &host.addresses);
            let addresses = addresses.map(|&ip| SocketAddr::new(ip, record.port));
            endpoints.extend(addresses.filter(|address| known.insert(*address)).map(|address| Endpoint {
                address,
                server: if self.service.is_some() { record.target.to_string() } else { like.server.clone() },
                // As in nginx the line's weight counts, if it has one.
                weight: if like.weight == 1 { u32::from(record.weight).max(1) } else { like.weight },
                backup: second || like.backup,
            }));
        }
        endpoints
    }

    fn adopt(&self, balancer: &mut Balancer) -> bool {
        let mut endpoints = self.endpoints(self.followed(balancer));
        let wanted = endpoints.len();
        if self.hosts.iter().any(|host| host.new) {
            // Nobody goes before it is known who comes.
            endpoints.extend(balancer.endpoints(self.line));
        }
        let changed = balancer.follow(self.line, &endpoints);
        if changed {
            let name = &self.followed(balancer).name;
            let taken: Vec<_> = balancer.endpoints(self.line).collect();
            let list: Vec<String> = match self.service {
                Some(_) => taken.iter().map(|endpoint| endpoint.address.to_string()).collect(),
                None => taken.iter().map(|endpoint| endpoint.address.ip().to_string()).collect(),
            };
            let list = if list.is_empty() { "no address".to_owned() } else { list.join(", ") };
            self.log(balancer, Level::Notice, format_args!("{name} has now {list}"));
            if taken.len() < wanted {
                let message = format_args!("{name} has {wanted} addresses, of which there is no room for some");
                self.log(balancer, Level::Alert, message);
            }
        }
        changed
    }

    fn followed<'a>(&self, balancer: &'a Balancer) -> &'a Followed {
        &balancer.group().followed[self.line]
    }

    fn log(&self, balancer: &Balancer, level: Level, message: fmt::Arguments<'_>) {
        let context = format_args!(", upstream: \"{}\"", balancer.group().name).to_string();
        emit(&Record { context: Some(&context), ..Record::new(level) }, message);
    }
}
