//! Following names: a `server name:port resolve` line has the addresses that its name has now.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::{Balancer, Followed, Group};
use crate::event::{Owner, Reactor, TimerId};
use crate::log::{Level, Record, emit};
use crate::resolver::{Failure, Found, Resolver, VALID_LEAST};

/// How soon a name is asked for again when that has failed: nginx's time to send a query again.
const RETRY: Duration = Duration::from_secs(5);

/// The names that the groups of one engine follow, of all configurations in use.
pub struct Followers {
    /// Of timers and answers, but for the id.
    owner: Owner,
    /// A place is never used again, as answers may still come for it.
    list: Vec<Option<Following>>,
}

/// A name being followed.
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

    /// A name that is being followed, and the epoch and the number of its group.
    pub fn get(&self, id: u32) -> Option<(usize, usize, &Follower)> {
        let Following { epoch, group, follower } = self.list.get(id as usize)?.as_ref()?;
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
}

impl Follower {
    /// Begins to follow line number `line` of `group`, asking at once. The timer and the answers come with `owner`.
    pub fn start(line: usize, group: &Group, owner: Owner, reactor: &mut Reactor, resolver: &mut Resolver) -> Self {
        let follower = Follower { line, timer: reactor.add_timer(owner), owner };
        follower.ask(group, reactor, resolver);
        follower
    }

    /// The answer at hand has run out, or there was none: asks for the next.
    pub fn ask(&self, group: &Group, reactor: &mut Reactor, resolver: &mut Resolver) {
        if let Some(settings) = &group.resolver {
            // Until the answer sets it: an answer that is lost to a fault of the program is not waited for in vain.
            reactor.set_timer(self.timer, reactor.now() + settings.timeout + RETRY);
            resolver.resolve(reactor, settings, &group.followed[self.line].host, self.owner);
        }
    }

    /// Takes an answer. A name that does not exist has no addresses; when there is no answer those at hand are kept, of one
    /// family or both. Returns whether the line has other addresses now.
    pub fn answered(&self, balancer: &mut Balancer, result: &Result<Found, Failure>, reactor: &mut Reactor) -> bool {
        let settings = balancer.group().resolver.clone();
        let retry = settings.and_then(|settings| settings.valid).map_or(RETRY, |valid| valid.min(RETRY));
        let (changed, valid) = match result {
            Ok(found) => {
                let changed = self.adopt(balancer, found);
                let whole = found.v4.is_some() && found.v6.is_some();
                (changed, if whole { found.valid } else { found.valid.min(retry) })
            }
            Err(failure) => {
                let host = &self.followed(balancer).host;
                self.log(balancer, Level::Error, format_args!("{host} could not be resolved ({failure})"));
                let none = Found { v4: Some(Vec::new()), v6: Some(Vec::new()), valid: retry };
                (*failure == Failure::NOT_FOUND && self.adopt(balancer, &none), retry)
            }
        };
        reactor.set_timer(self.timer, reactor.now() + valid.max(VALID_LEAST));
        changed
    }

    /// Follows no longer. An answer may still come for `owner`.
    pub fn end(self, reactor: &mut Reactor) {
        reactor.remove_timer(self.timer);
    }

    fn adopt(&self, balancer: &mut Balancer, found: &Found) -> bool {
        let mut addresses: Vec<_> = found.addresses().collect();
        let unknown = balancer.addresses(self.line).filter(|ip| match ip {
            IpAddr::V4(_) => found.v4.is_none(),
            IpAddr::V6(_) => found.v6.is_none(),
        });
        addresses.extend(unknown);
        let changed = balancer.follow(self.line, &addresses);
        if changed {
            let host = &self.followed(balancer).host;
            let taken: Vec<_> = balancer.addresses(self.line).collect();
            let list: Vec<String> = taken.iter().map(ToString::to_string).collect();
            let list = if list.is_empty() { "no address".to_owned() } else { list.join(", ") };
            self.log(balancer, Level::Notice, format_args!("{host} has now {list}"));
            if taken.len() < addresses.len() {
                let message =
                    format_args!("{host} has {} addresses, of which there is no room for some", addresses.len());
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
