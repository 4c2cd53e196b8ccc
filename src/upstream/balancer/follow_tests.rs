//! Names that are followed: peers that come, stay and go.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::conf::Place;
use crate::resolver::Name;
use crate::upstream::Followed;
use crate::upstream::shared::Roster;
use crate::upstream::shared::spares::SPARES;

/// A group with a line that has 10.0.0.0 at the start, `like` a peer; another that has no address; and a plain peer, if there is to be one.
fn group(like: Peer, plain: bool) -> Group {
    let place = Place { file: "file".into(), line: 1 };
    let followed = |line| Followed {
        name: Name::parse("a.test").unwrap(),
        port: Some(80),
        like: Peer { line: Some(line), ..like.clone() },
        place: place.clone(),
    };
    let followed = vec![followed(0), followed(1)];
    let mut peers = vec![followed[0].peer(&Endpoint { weight: like.weight, ..ip(0) })];
    peers.extend(plain.then(|| Peer::new(Address::Unix("plain".into()))));
    Group { followed, ..Group::new("test", peers) }
}

fn plain_peer() -> Peer {
    Peer::new(Address::Unix(Default::default()))
}

/// An address as a line with a port, and no parameters, has it.
fn ip(last: u8) -> Endpoint {
    Endpoint { address: ([10, 0, 0, last], 80).into(), server: "a.test:80".into(), weight: 1, backup: false }
}

fn ips(last: impl IntoIterator<Item = u8>) -> Vec<Endpoint> {
    last.into_iter().map(ip).collect()
}

fn workers(group: &Group, rows: std::ops::Range<usize>) -> Vec<Balancer> {
    let roster = Roster::new([group], &[]).unwrap();
    rows.map(|row| Balancer::new(Rc::new(group.clone()), roster.records(0), roster.spares(0), row)).collect()
}

fn somebody() -> Address {
    Address::Inet("127.0.0.1:1".parse().unwrap())
}

fn pick(balancer: &mut Balancer) -> Option<(usize, String)> {
    let chosen = balancer.pick(&mut Tried::default(), &somebody(), Instant::now())?;
    Some((chosen, balancer.peer(chosen).name.to_string()))
}

/// The names of those who get sessions.
fn chosen(balancer: &mut Balancer) -> BTreeSet<String> {
    (0..20).filter_map(|_| pick(balancer).inspect(|(peer, _)| balancer.release(*peer))).map(|(_, name)| name).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(String::from).into()
}

#[test]
fn addresses_come_and_go() {
    let mut balancer = workers(&group(plain_peer(), true), 0..1).remove(0);
    assert_eq!(chosen(&mut balancer), names(["10.0.0.0:80", "unix:plain"]));
    assert!(balancer.follow(0, &ips([1, 2])));
    assert!(!balancer.follow(0, &ips([2, 1])), "another order is no change");
    assert!(balancer.follow(1, &ips([1])));
    assert_eq!(chosen(&mut balancer), names(["10.0.0.1:80", "10.0.0.2:80", "unix:plain"]));
    assert!(balancer.follow(0, &[]) && balancer.follow(1, &[]));
    assert_eq!(chosen(&mut balancer), names(["unix:plain"]));
    assert!(balancer.follow(0, &ips([0])));
    assert_eq!(chosen(&mut balancer), names(["10.0.0.0:80", "unix:plain"]));
    assert_eq!(balancer.endpoints(0).collect::<Vec<_>>(), [ip(0)]);
}

#[test]
fn nobody_is_left_and_somebody_comes() {
    for method in [Method::RoundRobin, Method::IpHash, Method::Busyness] {
        let group = Group { method, ..group(plain_peer(), false) };
        let mut balancer = workers(&group, 0..1).remove(0);
        balancer.follow(0, &[]);
        assert_eq!(pick(&mut balancer), None);
        balancer.follow(1, &ips([7]));
        assert_eq!(chosen(&mut balancer), names(["10.0.0.7:80"]));
    }
}

#[test]
fn marks_and_sessions_of_those_that_stay_are_kept() {
    let like = Peer { max_fails: 1, fail_timeout: Duration::from_secs(3600), ..plain_peer() };
    let mut balancer = workers(&group(like, false), 0..1).remove(0);
    balancer.follow(0, &ips([1, 2]));
    let (failed, name) = pick(&mut balancer).unwrap();
    assert!(balancer.failed(failed, Instant::now()));
    balancer.release(failed);
    let (held, other) = pick(&mut balancer).unwrap();
    balancer.follow(0, &ips([3, 2, 1]));
    assert_eq!(chosen(&mut balancer), BTreeSet::from([other.clone(), "10.0.0.3:80".into()]));
    // The one that is held goes, and others come: its number is not given to them.
    balancer.follow(0, &ips([4, 5, 6]));
    assert_eq!(chosen(&mut balancer), names(["10.0.0.4:80", "10.0.0.5:80", "10.0.0.6:80"]));
    assert_eq!((&*balancer.peer(held).name, balancer.records[held].sessions()), (other.as_str(), 1));
    balancer.release(held);
    // It was gone: what is known about it is forgotten with it.
    balancer.follow(0, &ips([1, 2]));
    assert_eq!(chosen(&mut balancer), BTreeSet::from([name, other]));
}

#[test]
fn weights_of_followed_lines_count() {
    let mut balancer = workers(&group(Peer { weight: 3, ..plain_peer() }, true), 0..1).remove(0);
    balancer.follow(0, &[Endpoint { weight: 3, ..ip(1) }]);
    let picks: Vec<String> = (0..8).map(|_| pick(&mut balancer).unwrap().1).collect();
    assert_eq!(picks.iter().filter(|name| *name == "10.0.0.1:80").count(), 6);
}

#[test]
fn an_address_that_stays_may_change_its_port_weight_and_rank() {
    let mut balancer = workers(&group(plain_peer(), false), 0..1).remove(0);
    let first = Endpoint { weight: 3, ..ip(1) };
    let other_port = Endpoint { address: ([10, 0, 0, 1], 81).into(), ..ip(1) };
    assert!(balancer.follow(0, &[first.clone(), other_port.clone(), ip(1)]), "the first of equal ones counts");
    let mut picks = |count: usize| {
        let names = (0..count).map(|_| pick(&mut balancer).unwrap());
        let names: Vec<(usize, String)> = names.collect();
        names.iter().for_each(|(peer, _)| balancer.release(*peer));
        names.iter().filter(|(_, name)| name == "10.0.0.1:80").count()
    };
    assert_eq!(picks(8), 6);
    let (failed, _) = (0..4).map(|_| pick(&mut balancer).unwrap()).find(|(_, name)| name == "10.0.0.1:80").unwrap();
    assert!(balancer.failed(failed, Instant::now()));
    // What was the better one is the backup now; its mark is kept.
    let second = Endpoint { backup: true, weight: 1, ..first };
    assert!(balancer.follow(0, &[second.clone(), other_port.clone()]));
    assert!(!balancer.follow(0, &[other_port.clone(), second.clone()]));
    assert_eq!(chosen(&mut balancer), names(["10.0.0.1:81"]));
    assert!(balancer.follow(0, std::slice::from_ref(&second)));
    assert_eq!(pick(&mut balancer), None, "its mark is kept");
    assert_eq!(chosen(&mut balancer), names(["10.0.0.1:80"]));
    assert_eq!(balancer.endpoints(0).collect::<Vec<_>>(), [second]);
}

#[test]
fn a_limit_of_sessions_is_for_all_workers() {
    let limited = group(Peer { max_busy: Some(2), ..plain_peer() }, false);
    let mut workers = workers(&limited, 0..2);
    workers[0].follow(0, &ips([9, 1]));
    workers[1].follow(0, &ips([1]));
    workers[0].follow(0, &ips([1]));
    let (first, _) = pick(&mut workers[0]).unwrap();
    assert!(pick(&mut workers[1]).is_some());
    assert_eq!((pick(&mut workers[0]), pick(&mut workers[1])), (None, None));
    // One worker sees it go and come back while the other has it.
    workers[0].follow(0, &[]);
    workers[0].release(first);
    workers[0].follow(0, &ips([1]));
    assert!(pick(&mut workers[0]).is_some());
    assert_eq!(pick(&mut workers[0]), None);
}

#[test]
fn ip_hash_is_the_same_in_all_workers() {
    let group = Group { method: Method::IpHash, ..group(plain_peer(), true) };
    let mut workers = workers(&group, 0..2);
    workers[0].follow(0, &ips([1, 2, 3, 4]));
    workers[1].follow(0, &ips([3]));
    workers[1].follow(0, &ips([4, 1, 3, 2]));
    for network in 0..50 {
        let client = Address::Inet(std::net::SocketAddr::from(([10, 0, network, 1], 1)));
        let picks = workers.iter_mut().map(|worker| {
            let chosen = worker.pick(&mut Tried::default(), &client, Instant::now()).unwrap();
            worker.peer(chosen).name.clone()
        });
        let picks: BTreeSet<_> = picks.collect();
        assert_eq!(picks.len(), 1, "{picks:?}");
    }
}

#[test]
fn the_order_is_the_same_in_all_workers() {
    let group = group(plain_peer(), true);
    let mut workers = workers(&group, 0..3);
    workers[0].follow(0, &ips([1, 2, 3, 4]));
    workers[1].follow(0, &ips([3]));
    workers[1].follow(1, &ips([2]));
    workers[1].follow(0, &ips([4, 1, 3, 2]));
    workers[2].follow(0, &ips([0, 4, 1, 3]));
    workers[2].follow(0, &ips([2, 4, 1, 3]));
    workers[0].follow(1, &ips([2]));
    workers[2].follow(1, &ips([2]));
    let names = |worker: &Balancer| worker.present().map(|(_, peer, _)| peer.name.to_string()).collect::<Vec<_>>();
    let expected = ["unix:plain", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.2:80"];
    for worker in &workers {
        assert_eq!(names(worker), expected);
    }
}

/// A worker of the group with this number.
fn worker(group: &Group, roster: &Roster, number: usize) -> Balancer {
    Balancer::new(Rc::new(group.clone()), roster.records(number), roster.spares(number), 0)
}

fn sessions(worker: &Balancer) -> Vec<u32> {
    worker.present().map(|(_, _, record)| record.sessions()).collect()
}

#[test]
fn what_workers_share_outlives_a_reload() {
    let (first, twin) = (group(plain_peer(), false), group(plain_peer(), false));
    let old = Roster::new([&first], &[]).unwrap();
    let new = Roster::new([&first, &twin], &[&old]).unwrap();
    let start = |roster: &Roster, number: usize| {
        let mut worker = worker(&first, roster, number);
        worker.follow(0, &ips([1]));
        worker
    };
    let (mut old, new, twin) = (start(&old, 0), start(&new, 0), start(&new, 1));
    pick(&mut old).unwrap();
    assert_eq!((sessions(&new), sessions(&twin)), (vec![1], vec![0]));
}

#[test]
fn an_address_keeps_its_record_whether_it_is_known_at_the_start_or_comes_later() {
    // 10.0.0.0 is known at the start of the one, 10.0.0.1 at the start of the other.
    let first = group(plain_peer(), false);
    let second = Group { peers: vec![first.followed[0].peer(&ip(1))], ..first.clone() };
    let old = Roster::new([&first], &[]).unwrap();
    let new = Roster::new([&second], &[&old]).unwrap();
    let (mut before, mut after) = (worker(&first, &old, 0), worker(&second, &new, 0));
    let (known, _) = pick(&mut before).unwrap();
    before.follow(0, &ips([1]));
    let (_, name) = pick(&mut before).unwrap();
    assert_eq!((name.as_str(), sessions(&after)), ("10.0.0.1:80", vec![1]));
    after.follow(0, &ips([0, 1]));
    assert_eq!(sessions(&after), [1, 1]);
    before.release(known);
    assert_eq!(sessions(&after), [0, 1]);
}

#[test]
fn a_record_belongs_to_name_and_port_and_not_to_the_line() {
    let first = group(plain_peer(), false);
    let line = |host: &str, port, line| Followed {
        name: Name::parse(host).unwrap(),
        port: Some(port),
        like: Peer { line: Some(line), ..plain_peer() },
        ..first.followed[0].clone()
    };
    // The first line has another port now, and one with another name stands between it and the others.
    let followed = vec![line("a.test", 81, 0), line("b.test", 80, 1), line("a.test", 80, 2), line("a.test", 80, 3)];
    let second = Group { followed, peers: Vec::new(), ..first.clone() };
    let old = Roster::new([&first], &[]).unwrap();
    let new = Roster::new([&second], &[&old]).unwrap();
    let (mut before, mut after) = (worker(&first, &old, 0), worker(&second, &new, 0));
    before.follow(1, &ips([0]));
    for (count, (_, _, record)) in before.present().enumerate() {
        (0..=count).for_each(|_| record.enter(0));
    }
    after.follow(0, &[Endpoint { address: ([10, 0, 0, 0], 81).into(), ..ip(0) }]);
    for line in 1..4 {
        after.follow(line, &ips([0]));
    }
    assert_eq!(sessions(&after), [0, 0, 1, 2]);
}

#[test]
fn there_is_an_end_to_addresses() {
    let mut balancer = workers(&group(plain_peer(), true), 0..1).remove(0);
    let at = |n: u32| Endpoint { address: (n.to_be_bytes(), 80).into(), ..ip(0) };
    let many: Vec<Endpoint> = (0..SPARES as u32 + 7).map(at).collect();
    assert!(balancer.follow(0, &many));
    assert_eq!(balancer.endpoints(0).count(), SPARES);
    assert!(balancer.follow(0, &many[100..]), "what was left out has room now");
    assert_eq!(balancer.endpoints(0).count(), SPARES - 93);
}

proptest! {
    /// Any course of answers and sessions: who is chosen is among the last answer's addresses, held peers keep their names, counts come
    /// back to nothing, and places are bounded by addresses in use.
    #[test]
    fn followed_as_told(steps in prop::collection::vec((0usize..2, prop::collection::btree_set(0u8..12, 0..6), 0usize..6, any::<bool>()), 1..40)) {
        let mut balancer = workers(&group(plain_peer(), false), 0..1).remove(0);
        let mut now = [BTreeSet::from([0]), BTreeSet::new()];
        let mut held: Vec<(usize, String)> = Vec::new();
        let mut most = 0;
        for (line, addresses, sessions, end) in steps {
            let changed = balancer.follow(line, &ips(addresses.iter().copied()));
            prop_assert_eq!(changed, now[line] != addresses);
            now[line] = addresses;
            for _ in 0..sessions {
                let chosen = pick(&mut balancer);
                prop_assert_eq!(chosen.is_some(), now.iter().any(|line| !line.is_empty()));
                if let Some((peer, name)) = chosen {
                    let known = now.iter().flatten().any(|last| name == format!("10.0.0.{last}:80"));
                    prop_assert!(known);
                    held.push((peer, name));
                }
            }
            most = most.max(now[0].len() + now[1].len() + held.len());
            if end {
                held.drain(..held.len() / 2).for_each(|(peer, _)| balancer.release(peer));
            }
            for (peer, name) in &held {
                prop_assert_eq!(&*balancer.peer(*peer).name, name);
            }
            prop_assert!(balancer.peers.len() <= 1 + most);
        }
        held.into_iter().for_each(|(peer, _)| balancer.release(peer));
        prop_assert!(balancer.records.iter().all(|record| record.sessions() == 0));
    }
}
