//! The sessions of all `tcp {}` blocks in one worker: accepting them, and bringing events to them.

use std::rc::Rc;

use slab::Slab;
use socket2::Socket;

use super::Config;
use super::arrival::Arrival;
use super::linger::Linger;
use super::session::{Session, Verdict};
use crate::context::{Context, Epoch};
use crate::event::Owner;
use crate::fault;
use crate::log::clock;
use crate::net::{Address, Connection, access};
use crate::relay::Side;
use crate::resolver::Answer;
use crate::upstream::shared::Roster;
use crate::upstream::{Balancer, Follower, Followers, Group};

/// A session, or what is left of one. Sessions stand in the slab itself: nothing is allocated to accept a client.
#[allow(clippy::large_enum_variant)]
enum Slot {
    Session(Session),
    Linger(Linger),
}

/// The part of an owner that is a name being followed and no session; the others are a session's [`Side`]s.
const FOLLOWER: u8 = 2;

/// A configuration that sessions are served by.
struct Serving {
    config: Rc<Config>,
    /// Where the records of the balancers' peers are from.
    roster: Rc<Roster>,
    /// By the group's number.
    balancers: Vec<Balancer>,
    /// Sessions that began under it and still go on.
    sessions: usize,
}

/// The tcp engine of a worker.
pub struct Engine {
    /// Its number among the worker's engines, for the owners of events.
    number: u8,
    slots: Slab<Slot>,
    /// By epoch; the last one gets new sessions.
    serving: Vec<Option<Serving>>,
    /// Names of all epochs.
    followers: Followers,
    /// The slot that the current event has to do with, once that is known.
    at_work: Option<u32>,
}

impl Engine {
    /// An engine without a configuration; events of its sources come with `number`.
    pub fn new(number: u8) -> Self {
        let followers = Followers::new(Owner { engine: number, part: FOLLOWER, id: 0 });
        Engine { number, slots: Slab::new(), serving: Vec::new(), followers, at_work: None }
    }

    /// From now on new sessions are served by `config`, whose groups' peers have their records in `roster`; `row` is this worker's in them.
    /// Returns the epochs that no session uses any more.
    pub fn adopt(&mut self, cx: &mut Context, config: Rc<Config>, roster: Rc<Roster>, row: usize) -> Vec<Epoch> {
        let groups = config.groups.iter().enumerate();
        let new = |(number, group): (usize, &Rc<Group>)| {
            Balancer::new(group.clone(), roster.records(number), roster.spares(number), row)
        };
        let balancers = groups.map(new).collect();
        self.followers.start(self.serving.len(), &config.groups, &mut cx.reactor, &mut cx.resolver);
        self.serving.push(Some(Serving { config, roster, balancers, sessions: 0 }));
        (0..self.serving.len() - 1).filter(|&epoch| self.retire(cx, epoch)).collect()
    }

    /// The rosters of the configurations that sessions are served by.
    pub fn rosters(&self) -> impl Iterator<Item = &Roster> {
        self.serving.iter().flatten().map(|serving| serving.roster.as_ref())
    }

    /// Forgets an epoch if it is an old one without sessions.
    fn retire(&mut self, cx: &mut Context, epoch: Epoch) -> bool {
        let old = epoch + 1 < self.serving.len();
        let unused = self.serving[epoch].as_ref().is_some_and(|serving| serving.sessions == 0);
        if old && unused {
            self.serving[epoch] = None;
            self.followers.end(epoch, &mut cx.reactor);
        }
        old && unused
    }

    /// A line that is being followed, and the balancer of its group.
    fn following(&mut self, owner: Owner) -> Option<(&mut Follower, &mut Balancer)> {
        let (epoch, group, follower) = self.followers.get(owner.id)?;
        let serving = self.serving.get_mut(epoch)?.as_mut()?;
        Some((follower, serving.balancers.get_mut(group)?))
    }

    /// A name has been resolved. Returns whether the peers that are to be checked have changed.
    pub fn resolved(&mut self, cx: &mut Context, answer: &Answer) -> bool {
        self.at_work = None;
        let Some((follower, balancer)) = self.following(answer.asker) else { return false };
        let changed = follower.answered(balancer, answer, &mut cx.reactor, &mut cx.resolver);
        changed && balancer.group().check.is_some()
    }

    /// The balancers of the current configuration.
    pub fn present(&self) -> impl Iterator<Item = &Balancer> {
        self.serving.last().into_iter().flatten().flat_map(|serving| &serving.balancers)
    }

    /// Sessions that go on, and connections that still linger.
    pub fn sessions(&self) -> usize {
        self.slots.len()
    }

    /// A client has come to the listener number `listen` of the current configuration.
    pub fn accept(&mut self, cx: &mut Context, listen: usize, socket: Socket, client: Address) {
        self.at_work = None;
        let epoch = self.serving.len() - 1;
        let Some(serving) = &self.serving[epoch] else { return };
        let config = serving.config.clone();
        let listen = &config.listens[listen];
        let local = if listen.needs_local() { socket.local_addr().ok() } else { None };
        let route = listen.route(local.as_ref().map(Address::from_sockaddr).as_ref());
        let server = &route.server;
        let arrival = Arrival {
            number: cx.teller.number(),
            accepted: clock::unix_seconds(),
            began: cx.reactor.now(),
            route: route.clone(),
            server: server.clone(),
            epoch,
            debug: cx.debugged.iter().any(|named| named.covers(&client)),
            announced: None,
            client,
        };
        // Rules are about the client, whom only a header makes known where there is one; a client that speaks TLS is told after the handshake.
        if !route.proxy_protocol && !route.tls && !access::allows(&server.rules, &arrival.client) {
            arrival.refused(cx, &socket);
            cx.connections.give_back();
            return;
        }
        arrival.greeted();
        if arrival.client.port().is_some() {
            // What the listener did not hand down; a client that is gone already is found out when it is read.
            if server.nodelay != listen.options.nodelay {
                let _ = socket.set_tcp_nodelay(server.nodelay);
            }
            if server.keepalive != listen.options.keepalive {
                let _ = socket.set_keepalive(server.keepalive);
            }
        }
        let id = self.slots.vacant_key() as u32;
        let owner = |side| Owner { engine: self.number, part: side as u8, id };
        let client = match Connection::accepted(socket, &mut cx.reactor, owner(Side::Client)) {
            Ok(client) => client,
            Err(error) => {
                arrival.unwatchable(&error);
                cx.connections.give_back();
                return;
            }
        };
        fault::point(format_args!("accept {}", arrival.route.name));
        let timer = cx.reactor.add_timer(owner(Side::Client));
        let session = Session::new(arrival, client, timer, owner(Side::Upstream), cx.reactor.now());
        self.slots.insert(Slot::Session(session));
        if let Some(serving) = &mut self.serving[epoch] {
            serving.sessions += 1;
        }
        self.serve(cx, id, |session, cx, balancer| session.start(cx, balancer));
    }

    /// A connection of session `owner.id` is ready.
    pub fn ready(&mut self, cx: &mut Context, owner: Owner) {
        self.at_work = Some(owner.id);
        match self.slots.get_mut(owner.id as usize) {
            Some(Slot::Session(_)) => {
                let side = if owner.part == Side::Client as u8 { Side::Client } else { Side::Upstream };
                self.serve(cx, owner.id, |session, cx, balancer| session.ready(side, cx, balancer));
            }
            Some(Slot::Linger(linger)) => {
                let goes_on = linger.ready(cx);
                if !goes_on {
                    self.drop_lingering(cx, owner.id);
                }
            }
            None => {}
        }
    }

    /// The timer of session, or name, `owner.id` has run out.
    pub fn timer(&mut self, cx: &mut Context, owner: Owner) {
        self.at_work = None;
        if owner.part == FOLLOWER {
            if let Some((follower, balancer)) = self.following(owner) {
                follower.ask(balancer.group(), &mut cx.reactor, &mut cx.resolver);
            }
            return;
        }
        self.at_work = Some(owner.id);
        match self.slots.get_mut(owner.id as usize) {
            Some(Slot::Session(_)) => {
                self.serve(cx, owner.id, |session, cx, balancer| session.timer(cx, balancer));
            }
            Some(Slot::Linger(linger)) => {
                let goes_on = linger.timer(cx);
                if !goes_on {
                    self.drop_lingering(cx, owner.id);
                }
            }
            None => {}
        }
    }

    /// Does something for a session, and what its verdict asks for.
    fn serve(
        &mut self,
        cx: &mut Context,
        id: u32,
        step: impl FnOnce(&mut Session, &mut Context, Option<&mut Balancer>) -> Verdict,
    ) {
        self.at_work = Some(id);
        let Some(Slot::Session(session)) = self.slots.get_mut(id as usize) else { return };
        let mut verdict = step(session, cx, balancer(&mut self.serving, session));
        if verdict == Verdict::Chosen {
            verdict = session.serve(cx, balancer(&mut self.serving, session));
        }
        match verdict {
            Verdict::GoesOn | Verdict::Chosen => {}
            Verdict::Over => self.end(cx, id, None),
            Verdict::Linger(side) => self.end(cx, id, Some(side)),
        }
    }

    fn end(&mut self, cx: &mut Context, id: u32, keep: Option<Side>) {
        self.at_work = Some(id);
        if let Some(Slot::Session(session)) = self.slots.get_mut(id as usize) {
            session.tell(cx, balancer(&mut self.serving, session).as_deref());
        }
        let Some(Slot::Session(session)) = self.slots.try_remove(id as usize) else { return };
        let balancer = balancer(&mut self.serving, &session);
        let patience = session.patience(keep);
        let (epoch, kept) = session.end(cx, balancer, keep);
        if let Some(connection) = kept {
            // The slot that was just left is the next to be given out, so the connection's events still find their way.
            let entry = self.slots.vacant_entry();
            debug_assert_eq!(entry.key(), id as usize);
            let timer = cx.reactor.add_timer(Owner { engine: self.number, part: 0, id });
            entry.insert(Slot::Linger(Linger::begin(connection, timer, patience, cx)));
        }
        if let Some(serving) = &mut self.serving[epoch] {
            serving.sessions -= 1;
        }
        if self.retire(cx, epoch) {
            cx.logs.remove(epoch);
        }
    }

    fn drop_lingering(&mut self, cx: &mut Context, id: u32) {
        if let Some(Slot::Linger(linger)) = self.slots.try_remove(id as usize) {
            linger.end(cx);
        }
    }

    /// Whether checks that find a peer down are to close its sessions, in any configuration in use.
    pub fn closes_sessions(&self) -> bool {
        self.serving.iter().flatten().any(|serving| serving.balancers.iter().any(Balancer::closes_sessions))
    }

    /// Ends the sessions whose peers checks have found down since this was asked last, where the check says so.
    pub fn close_fallen(&mut self, cx: &mut Context) {
        self.at_work = None;
        let mut fallen: Vec<(Epoch, usize, usize)> = Vec::new();
        for (epoch, serving) in self.serving.iter_mut().enumerate() {
            let balancers = serving.iter_mut().flat_map(|serving| serving.balancers.iter_mut().enumerate());
            for (group, balancer) in balancers.filter(|(_, balancer)| balancer.closes_sessions()) {
                fallen.extend(balancer.fallen().into_iter().map(|peer| (epoch, group, peer)));
            }
        }
        if fallen.is_empty() {
            return;
        }
        let hit = |slot: &Slot| match slot {
            Slot::Session(session) => {
                session.relays_to().is_some_and(|(group, peer)| fallen.contains(&(session.arrival.epoch, group, peer)))
            }
            Slot::Linger(_) => false,
        };
        let ids: Vec<usize> = self.slots.iter().filter(|(_, slot)| hit(slot)).map(|(id, _)| id).collect();
        for id in ids {
            if let Some(Slot::Session(session)) = self.slots.get(id) {
                session.peer_fell(balancer(&mut self.serving, session).as_deref());
            }
            self.end(cx, id as u32, None);
        }
    }

    /// Ends the session that was at work, whatever state it is in: the program failed while serving it.
    pub fn abandon(&mut self, cx: &mut Context) {
        if let Some(id) = self.at_work.take() {
            if let Some(Slot::Session(session)) = self.slots.get_mut(id as usize) {
                session.abandoned();
            }
            self.drop_slot(cx, id);
        }
    }

    /// After the program failed, wherever that was: counts sessions anew, for the records that workers share as well. Returns how many
    /// connections there are.
    pub fn recount(&mut self, cx: &mut Context) -> usize {
        for serving in self.serving.iter_mut().flatten() {
            serving.sessions = 0;
            serving.balancers.iter_mut().for_each(Balancer::forget_sessions);
        }
        let mut connections = 0;
        for (_, slot) in &self.slots {
            connections += 1;
            let Slot::Session(session) = slot else { continue };
            if let Some(serving) = &mut self.serving[session.arrival.epoch] {
                serving.sessions += 1;
            }
            if let Some(peer) = session.peer() {
                connections += 1;
                if let Some(balancer) = balancer(&mut self.serving, session) {
                    balancer.count_session(peer);
                }
            }
        }
        for epoch in 0..self.serving.len() {
            if self.retire(cx, epoch) {
                cx.logs.remove(epoch);
            }
        }
        connections
    }

    fn drop_slot(&mut self, cx: &mut Context, id: u32) {
        self.at_work = Some(id);
        match self.slots.get(id as usize) {
            Some(Slot::Session(_)) => self.end(cx, id, None),
            Some(Slot::Linger(_)) => self.drop_lingering(cx, id),
            None => {}
        }
    }

    /// Ends all sessions now.
    pub fn stop(&mut self, cx: &mut Context) {
        self.at_work = None;
        let ids: Vec<u32> = self.slots.iter().map(|(id, _)| id as u32).collect();
        for id in ids {
            self.drop_slot(cx, id);
        }
    }
}

/// The balancer that a session's peers come from.
fn balancer<'a>(serving: &'a mut [Option<Serving>], session: &Session) -> Option<&'a mut Balancer> {
    serving[session.arrival.epoch].as_mut()?.balancers.get_mut(session.group()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_session_is_a_few_hundred_bytes() {
        let size = std::mem::size_of::<super::Slot>();
        assert!(size <= 512, "{size}");
    }
}
