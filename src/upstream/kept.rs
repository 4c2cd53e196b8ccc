//! The groups of `http {}` as a worker uses them: a balancer each, and the connections that are kept open between requests.
//!
//! A kept connection waits under an owner of its own: whatever happens on it (the server closes it, or sends what nobody asked for) ends
//! it. One on which something has happened is never given out.

use std::rc::Rc;
use std::time::Instant;

use slab::Slab;

use super::shared::Roster;
use super::{Balancer, Group, Keepalive};
use crate::event::{Owner, Reactor, TimerId};
use crate::net::{Address, Connection};
use crate::tls;

/// What two connections to one address must have in common to serve for each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Where it begins, where that has been said (`proxy_bind`).
    pub local: Option<Address>,
    /// With TLS: as whom, and how.
    pub tls: Option<Box<tls::Asked>>,
}

/// A connection to a server, and what is known of it.
pub struct Kept {
    /// The connection.
    pub connection: Connection,
    /// How it was made.
    pub way: Way,
    /// Requests it has served.
    pub requests: u64,
    /// When it was made.
    pub since: Instant,
}

struct Idle {
    kept: Kept,
    address: Address,
    timer: TimerId,
    epoch: usize,
    group: usize,
}

/// A group: whom to connect to, and what is connected already.
pub struct Station {
    /// Chooses the peers.
    pub balancer: Balancer,
    /// Places in [`Stations::idle`], the longest unused first.
    idle: Vec<usize>,
}

/// The groups of all configurations in use. What it closes gives its place among the worker's connections back by the numbers returned.
pub struct Stations {
    /// The owner of idle connections, but for the id.
    owner: Owner,
    epochs: Vec<Option<Vec<Station>>>,
    idle: Slab<Idle>,
    /// No connection is kept any more.
    closed: bool,
}

impl Stations {
    /// No groups yet. Events of idle connections come with `owner` and an id.
    pub fn new(owner: Owner) -> Self {
        Stations { owner, epochs: Vec::new(), idle: Slab::new(), closed: false }
    }

    /// Adds the groups of the next configuration, whose records stand in `roster` from number `first` on; `row` is this worker's in them.
    pub fn adopt(&mut self, groups: &[Rc<Group>], roster: &Roster, first: usize, row: usize) {
        let station = |(number, group): (usize, &Rc<Group>)| {
            let (records, spares) = (roster.records(first + number), roster.spares(first + number));
            Station { balancer: Balancer::new(group.clone(), records, spares, row), idle: Vec::new() }
        };
        self.epochs.push(Some(groups.iter().enumerate().map(station).collect()));
    }

    /// Forgets the groups of a configuration that no session uses any more. Returns how many connections were closed.
    pub fn retire(&mut self, epoch: usize, reactor: &mut Reactor) -> usize {
        let ids: Vec<usize> = self.idle.iter().filter(|(_, idle)| idle.epoch == epoch).map(|(id, _)| id).collect();
        ids.iter().for_each(|&id| self.drop_idle(id, reactor));
        self.epochs[epoch] = None;
        ids.len()
    }

    /// A group of a configuration.
    pub fn balancer(&mut self, epoch: usize, group: usize) -> Option<&mut Balancer> {
        Some(&mut self.epochs.get_mut(epoch)?.as_mut()?.get_mut(group)?.balancer)
    }

    /// The number of the first group of a configuration that `is_it` says yes to, by its number and name.
    pub fn find(&self, epoch: usize, is_it: impl Fn(usize, &str) -> bool) -> Option<usize> {
        let stations = self.epochs.get(epoch)?.as_ref()?;
        (0..stations.len()).find(|&number| is_it(number, &stations[number].balancer.group().name))
    }

    /// Whether checks that find a peer down are to close its connections, in any configuration in use.
    pub fn closes_sessions(&self) -> bool {
        self.epochs.iter().flatten().flatten().any(|station| station.balancer.closes_sessions())
    }

    /// The peers that checks have found down since this was asked last where their connections are to be closed, each with the epoch and the
    /// number of its group; and how many connections that were idle have been closed.
    pub fn close_fallen(&mut self, reactor: &mut Reactor) -> (Vec<(usize, usize, usize)>, usize) {
        let (mut fallen, mut idle) = (Vec::new(), Vec::new());
        for (epoch, stations) in self.epochs.iter_mut().enumerate() {
            for (group, station) in stations.iter_mut().flatten().enumerate() {
                if !station.balancer.closes_sessions() {
                    continue;
                }
                for peer in station.balancer.fallen() {
                    let address = &station.balancer.peer(peer).address;
                    idle.extend(station.idle.iter().filter(|&&id| self.idle[id].address == *address));
                    fallen.push((epoch, group, peer));
                }
            }
        }
        idle.iter().for_each(|&id| self.drop_idle(id, reactor));
        (fallen, idle.len())
    }

    /// All balancers in use.
    pub fn balancers(&mut self) -> impl Iterator<Item = &mut Balancer> {
        self.epochs.iter_mut().flatten().flatten().map(|station| &mut station.balancer)
    }

    /// The balancers of the present configuration.
    pub fn present(&self) -> impl Iterator<Item = &Balancer> {
        self.epochs.last().into_iter().flatten().flatten().map(|station| &station.balancer)
    }

    /// How many connections are idle.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// The connection to `address` by this way that became idle last; its events come with `owner` from now on.
    pub fn take(
        &mut self,
        epoch: usize,
        group: usize,
        address: &Address,
        way: &Way,
        owner: Owner,
        reactor: &mut Reactor,
    ) -> Option<Kept> {
        let station = self.epochs.get_mut(epoch)?.as_mut()?.get_mut(group)?;
        let fits = |idle: &Idle| &idle.address == address && &idle.kept.way == way;
        let fresh = |idle: &Idle| fits(idle) && !reactor.readable(idle.kept.connection.source());
        let place = station.idle.iter().rposition(|&id| fresh(&self.idle[id]))?;
        let id = station.idle.remove(place);
        let idle = self.idle.remove(id);
        reactor.remove_timer(idle.timer);
        reactor.give(idle.kept.connection.source(), owner);
        Some(idle.kept)
    }

    /// Keeps a connection to `address` on which a request has just come to its end, if its group keeps any. Returns how many connections
    /// were closed: this one, or another that made room for it.
    pub fn keep(&mut self, epoch: usize, group: usize, address: &Address, kept: Kept, reactor: &mut Reactor) -> usize {
        let now = reactor.now();
        let station = self.epochs.get_mut(epoch).and_then(Option::as_mut).and_then(|stations| stations.get_mut(group));
        let settings = station.as_ref().and_then(|station| station.balancer.group().keepalive);
        let lasts = |settings: &Keepalive| {
            kept.requests < settings.requests && now.saturating_duration_since(kept.since) <= settings.time
        };
        let unused = !reactor.readable(kept.connection.source());
        let (Some(station), Some(settings)) = (station, settings.filter(lasts).filter(|_| unused && !self.closed))
        else {
            kept.connection.close(reactor);
            return 1;
        };
        let full = (station.idle.len() >= settings.connections).then(|| station.idle[0]);
        let entry = self.idle.vacant_entry();
        let owner = Owner { id: entry.key() as u32, ..self.owner };
        let timer = reactor.add_timer(owner);
        reactor.set_timer(timer, now + settings.timeout);
        reactor.give(kept.connection.source(), owner);
        station.idle.push(entry.key());
        entry.insert(Idle { kept, address: address.clone(), timer, epoch, group });
        full.map_or(0, |oldest| {
            self.drop_idle(oldest, reactor);
            1
        })
    }

    /// Something has happened on an idle connection, or its time is over. Returns how many connections were closed.
    pub fn end(&mut self, id: u32, reactor: &mut Reactor) -> usize {
        let there = self.idle.contains(id as usize);
        if there {
            self.drop_idle(id as usize, reactor);
        }
        usize::from(there)
    }

    /// Something has happened on an idle connection. A kept one that has only become writable stays.
    pub fn ready(&mut self, id: u32, reactor: &mut Reactor) -> usize {
        match self.idle.get(id as usize) {
            Some(idle) if reactor.readable(idle.kept.connection.source()) => self.end(id, reactor),
            _ => 0,
        }
    }

    /// The worker is to finish: nothing is kept any more. Returns how many connections were closed.
    pub fn close(&mut self, reactor: &mut Reactor) -> usize {
        self.closed = true;
        let ids: Vec<usize> = self.idle.iter().map(|(id, _)| id).collect();
        ids.iter().for_each(|&id| self.drop_idle(id, reactor));
        ids.len()
    }

    fn drop_idle(&mut self, id: usize, reactor: &mut Reactor) {
        let idle = self.idle.remove(id);
        if let Some(station) = self.epochs[idle.epoch].as_mut().and_then(|stations| stations.get_mut(idle.group)) {
            station.idle.retain(|&known| known != id);
        }
        reactor.remove_timer(idle.timer);
        idle.kept.connection.close(reactor);
    }
}
