//! The connections of all `http {}` blocks in one worker: accepting them, and bringing events to them.

use std::cell::OnceCell;
use std::rc::Rc;

use slab::Slab;
use socket2::Socket;

use super::Config;
use super::client::Client;
use super::connection::{Session, Verdict};
use crate::context::{Context, Epoch};
use crate::event::Owner;
use crate::log::{Level, Record, emit};
use crate::net::{Address, Connection};
use crate::resolver::Answer;
use crate::tls::ocsp::Told;
use crate::upstream::shared::Roster;
use crate::upstream::{Balancer, Followers};

/// The part of an owner that is a connection to a server nobody uses at present; see [`crate::upstream::Stations`].
pub const IDLE: u8 = 2;
/// The part that is a name being followed.
const FOLLOWER: u8 = 4;
/// The part that waits for the addresses of a name.
pub(super) const RESOLVED: u8 = 3;
/// The part that is the server's connection of a request; 0 is the client's.
pub(super) const UPSTREAM: u8 = 1;

/// A configuration that connections are served by.
struct Serving {
    config: Rc<Config>,
    /// Where the records of its groups' peers are from.
    roster: Rc<Roster>,
    /// Connections that began under it and still stand.
    sessions: usize,
}

/// The http engine of a worker.
pub struct Engine {
    /// Its number among the worker's engines, for the owners of events.
    number: u8,
    sessions: Slab<Session>,
    /// By epoch; the last one gets new connections.
    serving: Vec<Option<Serving>>,
    /// Names of all epochs.
    followers: Followers,
    /// The worker is to finish.
    leaving: bool,
    /// The connection on the side that is being begun.
    beginning: Option<u32>,
}

impl Engine {
    /// An engine without a configuration; events of its sources come with `number`.
    pub fn new(number: u8) -> Self {
        let followers = Followers::new(Owner { engine: number, part: FOLLOWER, id: 0 });
        Engine { number, sessions: Slab::new(), serving: Vec::new(), followers, leaving: false, beginning: None }
    }

    /// From now on new connections are served by `config`. Returns those of before, which are to [`Engine::leave`].
    pub fn adopt(&mut self, cx: &mut Context, config: Rc<Config>, roster: Rc<Roster>) -> Vec<Owner> {
        self.followers.start(self.serving.len(), &config.groups, &mut cx.reactor, &mut cx.resolver);
        self.serving.push(Some(Serving { config, roster, sessions: 0 }));
        self.owners()
    }

    /// Forgets the configurations that no connection uses any more, and returns their epochs.
    pub fn retire_unused(&mut self, cx: &mut Context) -> Vec<Epoch> {
        (0..self.serving.len()).filter(|&epoch| self.retire(cx, epoch)).collect()
    }

    /// All connections.
    fn owners(&self) -> Vec<Owner> {
        self.ids().into_iter().map(|id| Owner { engine: self.number, part: 0, id }).collect()
    }

    /// The rosters of the configurations that connections are served by.
    pub fn rosters(&self) -> impl Iterator<Item = &Roster> {
        self.serving.iter().flatten().map(|serving| serving.roster.as_ref())
    }

    /// Forgets an epoch if it is an old one without connections.
    fn retire(&mut self, cx: &mut Context, epoch: Epoch) -> bool {
        let old = epoch + 1 < self.serving.len();
        let unused = self.serving[epoch].as_ref().is_some_and(|serving| serving.sessions == 0);
        if old && unused {
            self.serving[epoch] = None;
            self.followers.end(epoch, &mut cx.reactor);
            let closed = cx.stations.retire(epoch, &mut cx.reactor);
            cx.connections.give_back_some(closed);
        }
        old && unused
    }

    /// Connections that stand.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// A client has come to the listener number `listen` of the current configuration.
    pub fn accept(&mut self, cx: &mut Context, listen: usize, socket: Socket, client: Address) {
        let epoch = self.serving.len() - 1;
        let Some(serving) = &mut self.serving[epoch] else { return };
        let listen = &serving.config.listens[listen];
        let local = if listen.needs_local() {
            socket.local_addr().ok().map(|address| Address::from_sockaddr(&address))
        } else {
            Some(listen.options.address.clone()).filter(|address| !address.is_wildcard())
        };
        let route = listen.route(local.as_ref().unwrap_or(&listen.options.address)).clone();
        let (number, nodelay) = (cx.teller.number(), listen.options.nodelay);
        let id = self.sessions.vacant_key() as u32;
        let owner = Owner { engine: self.number, part: 0, id };
        match Connection::accepted(socket, &mut cx.reactor, owner) {
            Ok(connection) => {
                let timer = cx.reactor.add_timer(owner);
                serving.sessions += 1;
                let client = Client {
                    number,
                    debug: cx.debugged.iter().any(|named| named.covers(&client)),
                    address: client,
                    since: cx.reactor.now(),
                    requests: 0,
                    answered: false,
                    epoch,
                    server: route.names.default.clone(),
                    announced: None,
                    stands_for: None,
                    to_tls: route.tls,
                    connection,
                    teller: cx.teller.clone(),
                    local: local.map_or_else(OnceCell::new, OnceCell::from),
                };
                let session = Session::new(client, route, nodelay, self.leaving, timer, owner, cx);
                cx.teller.shift(None, Some(session.counted));
                self.sessions.insert(session);
            }
            Err(error) => {
                let log = route.names.default.own.error_log.as_ref();
                let record = Record { error: Some(&error), connection: Some(number), log, ..Record::new(Level::Alert) };
                emit(&record, format_args!("epoll_ctl() failed"));
                cx.connections.give_back();
            }
        }
    }

    /// Connection `owner.id` is ready, or the server's connection that serves it.
    pub fn ready(&mut self, cx: &mut Context, owner: Owner) {
        if owner.part == IDLE {
            let closed = cx.stations.ready(owner.id, &mut cx.reactor);
            cx.connections.give_back_some(closed);
            return;
        }
        self.serve(cx, owner.id, Session::ready);
    }

    /// The timer of connection `owner.id` has run out.
    pub fn timer(&mut self, cx: &mut Context, owner: Owner) {
        if owner.part == IDLE {
            let closed = cx.stations.end(owner.id, &mut cx.reactor);
            cx.connections.give_back_some(closed);
            return;
        }
        if owner.part == FOLLOWER {
            if let Some((epoch, group, follower)) = self.followers.get(owner.id)
                && let Some(balancer) = cx.stations.balancer(epoch, group)
            {
                follower.ask(balancer.group(), &mut cx.reactor, &mut cx.resolver);
            }
            return;
        }
        self.serve(cx, owner.id, Session::timer);
    }

    /// A name has been resolved that a connection waits for or a group follows. Returns whether the peers that are to be checked have changed.
    pub fn resolved(&mut self, cx: &mut Context, answer: &Answer) -> bool {
        if answer.asker.part == RESOLVED {
            self.serve(cx, answer.asker.id, |session, cx| session.name_found(cx, &answer.result));
            return false;
        }
        let Some((epoch, group, follower)) = self.followers.get(answer.asker.id) else { return false };
        let Some(balancer) = cx.stations.balancer(epoch, group) else { return false };
        let changed = follower.answered(balancer, answer, &mut cx.reactor, &mut cx.resolver);
        changed && balancer.group().check.is_some()
    }

    /// Something has been told about the client of a connection.
    pub fn told(&mut self, cx: &mut Context, told: &Told) {
        self.serve(cx, told.asker.id, |session, cx| session.told(cx, told));
    }

    /// The connections whose exchanges are with peers that checks have found down since this was asked last, where the check says that these
    /// are to end: see [`Engine::peer_fell`].
    pub fn fallen(&mut self, cx: &mut Context) -> Vec<Owner> {
        let (fallen, closed) = cx.stations.close_fallen(&mut cx.reactor);
        cx.connections.give_back_some(closed);
        if fallen.is_empty() {
            return Vec::new();
        }
        let hit = |session: &Session| match session.upstream() {
            Some((Some(group), peer)) => fallen.contains(&(session.client.epoch, group, peer)),
            _ => false,
        };
        let hit = self.sessions.iter().filter(|(_, session)| hit(session));
        hit.map(|(id, _)| Owner { engine: self.number, part: 0, id: id as u32 }).collect()
    }

    /// Ends the exchange of a connection, whose peer is down.
    pub fn peer_fell(&mut self, cx: &mut Context, owner: Owner) {
        self.serve(cx, owner.id, Session::peer_fell);
    }

    fn serve(&mut self, cx: &mut Context, id: u32, step: impl FnOnce(&mut Session, &mut Context) -> Verdict) {
        let Some(session) = self.sessions.get_mut(id as usize) else { return };
        let verdict = step(session, cx);
        session.count(cx, session.doing());
        let offspring = if session.offspring.is_some() { self.add_offspring(cx, id) } else { None };
        if verdict == Verdict::Over {
            self.end(cx, id, false);
        }
        if let Some(id) = offspring {
            self.beginning = Some(id);
            self.serve(cx, id, Session::begin_on_the_side);
            self.beginning = None;
        }
    }

    /// A session has had a request made once more: it gets a session of its own, where there is a place for it.
    fn add_offspring(&mut self, cx: &mut Context, parent: u32) -> Option<u32> {
        let id = self.sessions.vacant_key() as u32;
        let owner = Owner { engine: self.number, part: 0, id };
        let parent = self.sessions.get_mut(parent as usize)?;
        if !cx.connections.take() {
            parent.offspring = None;
            return None;
        }
        let epoch = parent.client.epoch;
        let Some(session) = Session::on_the_side(parent, owner, cx) else {
            cx.connections.give_back();
            return None;
        };
        cx.teller.shift(None, Some(session.counted));
        self.sessions.insert(session);
        if let Some(serving) = &mut self.serving[epoch] {
            serving.sessions += 1;
        }
        Some(id)
    }

    fn end(&mut self, cx: &mut Context, id: u32, cut: bool) {
        if cut && let Some(session) = self.sessions.get_mut(id as usize) {
            session.write_access_log(cx);
        }
        let Some(session) = self.sessions.try_remove(id as usize) else { return };
        let epoch = session.client.epoch;
        cx.teller.shift(Some(session.counted), None);
        session.end(cx);
        if let Some(serving) = &mut self.serving[epoch] {
            serving.sessions -= 1;
        }
        if self.retire(cx, epoch) {
            cx.logs.remove(epoch);
        }
    }

    /// The worker is to finish: no server's connection is kept any more. Returns the connections that are to [`Engine::leave`].
    pub fn drain(&mut self, cx: &mut Context) -> Vec<Owner> {
        self.leaving = true;
        let closed = cx.stations.close(&mut cx.reactor);
        cx.connections.give_back_some(closed);
        self.owners()
    }

    /// A connection that is idle ends, another one after the request it is at.
    pub fn leave(&mut self, cx: &mut Context, owner: Owner) {
        self.serve(cx, owner.id, Session::leave);
    }

    /// Ends a connection whatever state it is in, after the program failed while serving it.
    pub fn abandon(&mut self, cx: &mut Context, owner: Owner) {
        // Whoever has had a request made on the side has been served already.
        let id = self.beginning.take().or((owner.part != IDLE && owner.part != FOLLOWER).then_some(owner.id));
        if let Some(id) = id {
            if let Some(session) = self.sessions.get_mut(id as usize) {
                session.abandoned();
            }
            self.end(cx, id, true);
        }
    }

    /// After the program failed: counts connections anew, and returns how many there are.
    pub fn recount(&mut self, cx: &mut Context) -> usize {
        for serving in self.serving.iter_mut().flatten() {
            serving.sessions = 0;
        }
        cx.stations.balancers().for_each(Balancer::forget_sessions);
        cx.teller.forget_connections();
        let mut connections = self.sessions.len();
        for (_, session) in &self.sessions {
            cx.teller.shift(None, Some(session.counted));
            connections += usize::from(session.is_validating());
            if let Some((group, peer)) = session.upstream() {
                connections += 1;
                if let Some(balancer) = group.and_then(|group| cx.stations.balancer(session.client.epoch, group)) {
                    balancer.count_session(peer);
                }
            }
            if let Some(serving) = &mut self.serving[session.client.epoch] {
                serving.sessions += 1;
            }
        }
        for epoch in 0..self.serving.len() {
            if self.retire(cx, epoch) {
                cx.logs.remove(epoch);
            }
        }
        connections + cx.stations.idle()
    }

    /// Ends all connections now.
    pub fn stop(&mut self, cx: &mut Context) {
        for id in self.ids() {
            self.end(cx, id, true);
        }
    }

    fn ids(&self) -> Vec<u32> {
        self.sessions.iter().map(|(id, _)| id as u32).collect()
    }
}
