use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::net::Address;
use crate::upstream::checks::Check;
use crate::upstream::shared::Roster;

fn peer() -> Peer {
    Peer::new(Address::Unix(PathBuf::new()))
}

/// A group of `peers`, primaries first.
fn group(peers: Vec<Peer>) -> Group {
    let primaries = peers.iter().filter(|peer| !peer.backup).count();
    Group { primaries, ..Group::new("test", peers) }
}

/// The balancer of a worker with row 3.
fn balancer_of(group: Group) -> Balancer {
    let roster = Roster::new([&group], &[]).unwrap();
    Balancer::new(Rc::new(group), roster.records(0), None, 3)
}

fn balancer(peers: Vec<Peer>) -> Balancer {
    balancer_of(group(peers))
}

fn somebody() -> Address {
    Address::Inet("127.0.0.1:1".parse().unwrap())
}

fn weights(weights: &[u32]) -> Vec<Peer> {
    weights.iter().map(|&weight| Peer { weight, ..peer() }).collect()
}

/// The peer a new session gets, the session ending at once.
fn one(balancer: &mut Balancer, now: Instant) -> Option<usize> {
    let chosen = balancer.pick(&mut Tried::default(), &somebody(), now)?;
    balancer.succeeded(chosen);
    balancer.release(chosen);
    Some(chosen)
}

#[test]
fn tried_holds_any_number_of_peers() {
    let mut tried = Tried::default();
    for peer in [0, 63] {
        tried.insert(peer);
    }
    assert_eq!(tried.rest.capacity(), 0);
    for peer in [64, 500] {
        tried.insert(peer);
    }
    let inside: Vec<usize> = (0..1000).filter(|&peer| tried.contains(peer)).collect();
    assert_eq!(inside, [0, 63, 64, 500]);
}

#[test]
fn the_order_is_that_of_nginx() {
    let now = Instant::now();
    let mut balancer = balancer(weights(&[5, 1, 1]));
    let order: Vec<usize> = (0..7).filter_map(|_| one(&mut balancer, now)).collect();
    assert_eq!(order, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn a_failed_peer_is_left_alone_and_then_probed_by_one_session() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut balancer = balancer(weights(&[1, 1]));
    assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), at(0)), Some(0));
    assert!(balancer.failed(0, at(0)));
    balancer.release(0);
    for second in 0..=10 {
        assert_eq!(one(&mut balancer, at(second)), Some(1));
    }
    // The window is over. The peer's weight, which its failure took, is back after one round; then one session probes, and
    // those after it do not as long as nothing is known.
    assert_eq!(one(&mut balancer, at(11)), Some(1));
    let mut open = Vec::new();
    while !open.contains(&0) {
        assert!(open.len() < 10, "never probed");
        open.extend(balancer.pick(&mut Tried::default(), &somebody(), at(11)));
    }
    for second in 11..=21 {
        assert_eq!(one(&mut balancer, at(second)), Some(1));
    }
    balancer.succeeded(0);
    let served: BTreeSet<Option<usize>> = (0..20).map(|_| one(&mut balancer, at(21))).collect();
    assert_eq!(served, BTreeSet::from([Some(0), Some(1)]));
}

#[test]
fn max_fails_counts_failures_close_to_each_other() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut balancer = balancer(vec![Peer { max_fails: 2, ..peer() }, peer()]);
    let fail_first = |balancer: &mut Balancer, now| {
        let mut tried = Tried::default();
        tried.insert(1);
        assert_eq!(balancer.pick(&mut tried, &somebody(), now), Some(0));
        balancer.release(0);
        balancer.failed(0, now)
    };
    assert!(!fail_first(&mut balancer, at(0)));
    // A success after the window makes the failure forgotten.
    let mut tried = Tried::default();
    tried.insert(1);
    assert_eq!(balancer.pick(&mut tried, &somebody(), at(11)), Some(0));
    balancer.succeeded(0);
    balancer.release(0);
    assert!(!fail_first(&mut balancer, at(12)));
    // A success within it does not.
    balancer.succeeded(0);
    assert!(fail_first(&mut balancer, at(13)));
}

#[test]
fn failures_lower_the_share_and_it_grows_back() {
    let now = Instant::now();
    let mut balancer = balancer(vec![Peer { weight: 10, max_fails: 2, ..peer() }, Peer { weight: 10, ..peer() }]);
    assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), now), Some(0));
    assert!(!balancer.failed(0, now));
    assert_eq!(balancer.states[0].effective_weight, 5);
    let first = (0..10).filter(|_| one(&mut balancer, now) == Some(0)).count();
    assert!(first < 5, "{first}");
    assert_eq!(balancer.states[0].effective_weight, 10);
}

#[test]
fn max_fails_0_marks_nothing() {
    let now = Instant::now();
    let mut balancer = balancer(vec![Peer { max_fails: 0, ..peer() }, Peer { down: true, ..peer() }, peer()]);
    for _ in 0..100 {
        assert!(!balancer.failed(0, now));
    }
    assert_eq!(one(&mut balancer, now), Some(0));
}

#[test]
fn a_peer_without_others_is_never_marked() {
    let now = Instant::now();
    for peers in [vec![peer()], vec![peer(), Peer { down: true, ..peer() }]] {
        let mut balancer = balancer(peers);
        for _ in 0..5 {
            let mut tried = Tried::default();
            assert_eq!(balancer.pick(&mut tried, &somebody(), now), Some(0));
            assert!(!balancer.failed(0, now));
            assert_eq!(balancer.pick(&mut tried, &somebody(), now), None);
            balancer.release(0);
        }
    }
}

#[test]
fn backups_serve_when_no_primary_can() {
    let now = Instant::now();
    let primary = Peer { max_busy: Some(1), ..peer() };
    let mut balancer = balancer(vec![primary, Peer { down: true, ..peer() }, Peer { backup: true, ..peer() }]);
    assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), now), Some(0));
    assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), now), Some(2));
    balancer.release(0);
    let mut tried = Tried::default();
    assert_eq!(balancer.pick(&mut tried, &somebody(), now), Some(0));
    balancer.failed(0, now);
    balancer.release(0);
    assert_eq!(balancer.pick(&mut tried, &somebody(), now), Some(2));
    assert_eq!(balancer.pick(&mut tried, &somebody(), now), None);
    // The backup is not marked: the primary stays so.
    assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), now), Some(2));
}

#[test]
fn busy_peers_are_passed_over_and_no_failure_is_forgotten_for_them() {
    let now = Instant::now();
    let mut balancer = balancer(vec![Peer { max_busy: Some(2), ..peer() }, peer()]);
    balancer.failed(1, now);
    assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), now), Some(0));
    assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), now), Some(0));
    assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), now), None);
    assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), now), None);
    balancer.release(0);
    assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), now), Some(0));
}

#[test]
fn when_all_have_failed_the_next_session_tries_again() {
    let now = Instant::now();
    let mut balancer = balancer(vec![peer(), peer(), Peer { backup: true, ..peer() }]);
    let mut tried = Tried::default();
    for expected in [Some(0), Some(1), Some(2), None] {
        let chosen = balancer.pick(&mut tried, &somebody(), now);
        assert_eq!(chosen, expected);
        if let Some(chosen) = chosen {
            assert!(balancer.failed(chosen, now));
            balancer.release(chosen);
        }
    }
    assert!(one(&mut balancer, now).is_some_and(|chosen| chosen < 2));
}

proptest! {
    /// Over a cycle each peer gets exactly its share, and at no point is one ahead of it by a whole session.
    #[test]
    fn shares_are_exact_and_smooth(list in prop::collection::vec(1u32..20, 1..8)) {
        let now = Instant::now();
        let total: u32 = list.iter().sum();
        let mut balancer = balancer(weights(&list));
        for _cycle in 0..2 {
            let mut counts = vec![0u32; list.len()];
            for picked in 1..=total {
                let chosen = one(&mut balancer, now).unwrap();
                counts[chosen] += 1;
                prop_assert!(counts[chosen] * total < picked * list[chosen] + total);
            }
            prop_assert_eq!(&counts, &list);
        }
    }
}

/// What may happen to a balancer. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Pick { fresh: bool },
    Succeed(usize),
    Fail(usize),
    Release(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(|fresh| Step::Pick { fresh }),
        2 => any::<usize>().prop_map(Step::Succeed),
        3 => any::<usize>().prop_map(Step::Fail),
        3 => any::<usize>().prop_map(Step::Release),
        2 => (0u64..15).prop_map(Step::Wait),
    ]
}

fn any_peers() -> impl Strategy<Value = Vec<Peer>> {
    let any_peer =
        (1u32..5, 0u32..4, 0u64..12, prop::option::of(0u32..4), prop::bool::weighted(0.3), prop::bool::weighted(0.2))
            .prop_map(|(weight, max_fails, seconds, max_busy, backup, down)| Peer {
                weight,
                max_fails,
                fail_timeout: Duration::from_secs(seconds),
                max_busy,
                backup,
                down,
                ..peer()
            });
    prop::collection::vec(any_peer, 1..7).prop_map(|mut peers| {
        peers.sort_by_key(|peer| peer.backup);
        peers
    })
}

/// What happened to one peer, in whole seconds.
#[derive(Clone, Copy, PartialEq)]
enum Event {
    Picked(u64),
    Failed(u64),
    Succeeded,
    Cleared,
}

/// The rules told from the whole history of a peer, nothing being remembered between questions.
struct Naive {
    peers: Vec<Peer>,
    history: Vec<Vec<Event>>,
    sessions: Vec<u32>,
}

impl Naive {
    /// The failures that count, and the second the running window began.
    fn window(&self, index: usize) -> (u32, Option<u64>) {
        let timeout = self.peers[index].fail_timeout.as_secs();
        let (mut fails, mut began, mut probed) = (0, None, false);
        for event in &self.history[index] {
            match *event {
                Event::Failed(now) => (fails, began, probed) = (fails + 1, Some(now), false),
                Event::Picked(now) if began.is_none_or(|began| now > began + timeout) => {
                    (began, probed) = (Some(now), true)
                }
                Event::Succeeded if probed => fails = 0,
                Event::Cleared => fails = 0,
                _ => {}
            }
        }
        (fails, began)
    }

    fn disabled(&self, index: usize, now: u64) -> bool {
        let peer = &self.peers[index];
        let (fails, began) = self.window(index);
        let running = began.is_some_and(|began| now <= began + peer.fail_timeout.as_secs());
        peer.max_fails > 0 && fails >= peer.max_fails && running
    }

    /// All that may be picked: primaries, or backups when there is none.
    fn usable(&self, tried: &BTreeSet<usize>, now: u64) -> Vec<usize> {
        let usable = |&index: &usize| {
            let peer = &self.peers[index];
            let full = peer.max_busy.is_some_and(|limit| self.sessions[index] >= limit);
            !tried.contains(&index) && !peer.down && !full && !self.disabled(index, now)
        };
        let all: Vec<usize> = (0..self.peers.len()).filter(usable).collect();
        let backups = all.iter().all(|&index| self.peers[index].backup);
        all.into_iter().filter(|&index| self.peers[index].backup == backups).collect()
    }

    fn up(&self) -> impl Iterator<Item = usize> {
        (0..self.peers.len()).filter(|&index| !self.peers[index].down)
    }
}

proptest! {
    /// Whatever happens, a pick is one of those the rules allow, and there is none only when they allow none.
    #[test]
    fn picks_are_those_the_rules_allow(peers in any_peers(), steps in prop::collection::vec(step(), 0..150)) {
        let start = Instant::now();
        let mut now = 0;
        let mut naive =
            Naive { history: vec![Vec::new(); peers.len()], sessions: vec![0; peers.len()], peers: peers.clone() };
        let mut balancer = balancer(peers);
        let (mut tried, mut naive_tried) = (Tried::default(), BTreeSet::new());
        let mut open: Vec<usize> = Vec::new();
        for step in steps {
            let instant = start + Duration::from_secs(now);
            let number = match step {
                Step::Succeed(n) | Step::Fail(n) | Step::Release(n) => open.get(n % open.len().max(1)).map(|_| n % open.len()),
                _ => None,
            };
            match (step, number) {
                (Step::Pick { fresh }, _) => {
                    if fresh {
                        (tried, naive_tried) = Default::default();
                    }
                    let allowed = naive.usable(&naive_tried, now);
                    match balancer.pick(&mut tried, &somebody(), instant) {
                        Some(chosen) => {
                            prop_assert!(allowed.contains(&chosen), "{} of {:?}", chosen, allowed);
                            naive_tried.insert(chosen);
                            naive.history[chosen].push(Event::Picked(now));
                            naive.sessions[chosen] += 1;
                            open.push(chosen);
                        }
                        None => {
                            prop_assert_eq!(allowed, Vec::<usize>::new());
                            if naive.up().all(|index| naive.disabled(index, now)) {
                                naive.history.iter_mut().for_each(|events| events.push(Event::Cleared));
                            }
                        }
                    }
                }
                (Step::Succeed(_), Some(n)) => {
                    balancer.succeeded(open[n]);
                    naive.history[open[n]].push(Event::Succeeded);
                }
                (Step::Fail(_), Some(n)) => {
                    let disabled = balancer.failed(open[n], instant);
                    if naive.up().count() > 1 {
                        naive.history[open[n]].push(Event::Failed(now));
                    }
                    prop_assert_eq!(disabled, naive.disabled(open[n], now));
                }
                (Step::Release(_), Some(n)) => {
                    let peer = open.swap_remove(n);
                    balancer.release(peer);
                    naive.sessions[peer] -= 1;
                }
                (Step::Wait(seconds), _) => now += seconds,
                _ => {}
            }
        }
        for (index, &sessions) in naive.sessions.iter().enumerate() {
            prop_assert_eq!(balancer.records[index].sessions(), sessions);
        }
    }
}

fn client(ip: &str) -> Address {
    Address::Inet(std::net::SocketAddr::new(ip.parse().unwrap(), 1))
}

fn by_hash(peers: Vec<Peer>) -> Balancer {
    balancer_of(Group { method: Method::IpHash, ..group(peers) })
}

#[test]
fn ip_hash_keeps_a_client_with_its_peer() {
    let now = Instant::now();
    let mut balancer = by_hash(weights(&[1, 1, 1, 1, 1]));
    for (ip, expected) in [("10.0.0.1", 0), ("10.0.0.77", 0), ("192.168.1.5", 4), ("8.8.8.8", 3)] {
        for _ in 0..3 {
            assert_eq!(balancer.pick(&mut Tried::default(), &client(ip), now), Some(expected), "{ip}");
        }
    }
}

#[test]
fn ip_hash_counts_down_peers_last_and_backups_not() {
    let now = Instant::now();
    let down = Peer { down: true, ..peer() };
    let mut balancer = by_hash(vec![down, peer(), peer(), Peer { backup: true, ..peer() }]);
    // Of the order 1, 2, 0 the third is down: the way goes on, to the same peer each time.
    assert_eq!(ip_hash::path(&client("8.8.8.8"), 3).next(), Some(2));
    let on = ip_hash::path(&client("8.8.8.8"), 3).find(|&place| place != 2).unwrap();
    for _ in 0..3 {
        assert_eq!(balancer.pick(&mut Tried::default(), &client("8.8.8.8"), now), Some([1, 2, 0][on]));
    }
    assert_eq!(balancer.pick(&mut Tried::default(), &client("203.0.113.7"), now), Some(1));
}

#[test]
fn ip_hash_goes_on_from_a_failed_peer_and_comes_back() {
    let start = Instant::now();
    let later = start + Duration::from_secs(11);
    let mut balancer = by_hash(weights(&[1, 1, 1, 1, 1]));
    let way: Vec<usize> = ip_hash::path(&client("10.0.0.1"), 5).collect();
    let second = *way.iter().find(|&&place| place != way[0]).unwrap();
    let mut tried = Tried::default();
    assert_eq!(balancer.pick(&mut tried, &client("10.0.0.1"), start), Some(way[0]));
    balancer.failed(way[0], start);
    assert_eq!(balancer.pick(&mut tried, &client("10.0.0.1"), start), Some(second));
    assert_eq!(balancer.pick(&mut Tried::default(), &client("10.0.0.1"), start), Some(second));
    assert_eq!(balancer.pick(&mut Tried::default(), &client("10.0.0.1"), later), Some(way[0]));
}

#[test]
fn ip_hash_ends_in_round_robin() {
    let now = Instant::now();
    // One usable peer among many: twenty steps need not find it.
    let mut peers = vec![Peer { max_busy: Some(0), ..peer() }; 200];
    let missed = (0..200).find(|place| !ip_hash::path(&client("10.0.0.1"), 200).any(|on| on == *place)).unwrap();
    peers[missed] = peer();
    assert_eq!(by_hash(peers).pick(&mut Tried::default(), &client("10.0.0.1"), now), Some(missed));
    let mut none = by_hash(vec![Peer { max_busy: Some(0), ..peer() }, Peer { backup: true, ..peer() }]);
    assert_eq!(none.pick(&mut Tried::default(), &client("10.0.0.1"), now), Some(1));
}

#[test]
fn busyness_takes_the_one_with_the_fewest_sessions() {
    let now = Instant::now();
    let peers = vec![peer(), peer(), peer(), Peer { down: true, ..peer() }, Peer { backup: true, ..peer() }];
    let mut balancer = balancer_of(Group { method: Method::Busyness, ..group(peers) });
    // Sessions of another worker count.
    balancer.records[0].enter(0);
    balancer.records[0].enter(0);
    let mut picked = vec![0; 5];
    for _ in 0..4 {
        picked[balancer.pick(&mut Tried::default(), &somebody(), now).unwrap()] += 1;
    }
    assert_eq!(picked, [0, 2, 2, 0, 0]);
    for _ in 0..3 {
        picked[balancer.pick(&mut Tried::default(), &somebody(), now).unwrap()] += 1;
    }
    assert_eq!(picked, [1, 3, 3, 0, 0]);
    let mut tried = Tried::default();
    let order: Vec<_> = (0..5).map(|_| balancer.pick(&mut tried, &somebody(), now)).collect();
    assert_eq!(order[3..], [Some(4), None]);
}

#[test]
fn chance_decides_between_equally_busy_ones() {
    let now = Instant::now();
    let mut balancer = balancer_of(Group { method: Method::Busyness, ..group(weights(&[1, 1, 1, 1])) });
    let mut counts = [0; 4];
    for _ in 0..4000 {
        counts[one(&mut balancer, now).unwrap()] += 1;
    }
    assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
}

#[test]
fn peers_that_checks_found_down_are_passed_over() {
    let now = Instant::now();
    for method in [Method::RoundRobin, Method::IpHash, Method::Busyness] {
        let check = Check { default_down: false, ..Check::default() };
        let mut balancer = balancer_of(Group { method, check: Some(check), ..group(weights(&[1, 1, 1])) });
        balancer.records[0].report(false, 1, 1);
        balancer.records[2].report(false, 1, 1);
        for _ in 0..5 {
            assert_eq!(one(&mut balancer, now), Some(1), "{method:?}");
        }
        assert_eq!(balancer.records[1].accesses(), 5);
        assert_eq!((balancer.fallen(), balancer.fallen()), (vec![0, 2], vec![]));
        balancer.records[1].report(false, 1, 1);
        assert_eq!(one(&mut balancer, now), None, "{method:?}");
        balancer.records[2].report(true, 1, 1);
        assert_eq!(one(&mut balancer, now), Some(2), "{method:?}");
        assert_eq!(balancer.fallen(), [1]);
        // Once all that are up have failed, they are tried anew.
        balancer.failed(2, now);
        assert_eq!(one(&mut balancer, now), None);
        assert_eq!(one(&mut balancer, now), Some(2));
    }
}

#[test]
fn until_the_first_probe_default_down_holds() {
    let now = Instant::now();
    for default_down in [true, false] {
        let check = Check { default_down, ..Check::default() };
        let mut balancer = balancer_of(Group { check: Some(check), ..group(weights(&[1])) });
        assert_eq!(one(&mut balancer, now).is_none(), default_down);
        balancer.records[0].report(true, 2, 1);
        assert_eq!(one(&mut balancer, now), Some(0));
    }
}

#[test]
fn least_conn_goes_by_sessions_in_relation_to_weight() {
    let now = Instant::now();
    let mut balancer = balancer_of(Group { method: Method::LeastConn, ..group(weights(&[2, 1])) });
    // None ends: two on the first for each one on the second.
    let order: Vec<usize> = (0..6).filter_map(|_| balancer.pick(&mut Tried::default(), &somebody(), now)).collect();
    assert_eq!(order.iter().filter(|peer| **peer == 0).count(), 4, "{order:?}");
    for _ in 0..3 {
        balancer.release(0);
    }
    let next: Vec<usize> = (0..3).filter_map(|_| balancer.pick(&mut Tried::default(), &somebody(), now)).collect();
    assert_eq!(next, [0, 0, 0], "until both are as busy again");
    let mut equals = balancer_of(Group { method: Method::LeastConn, ..group(weights(&[1, 1, 1])) });
    let order: Vec<usize> = (0..6).filter_map(|_| one(&mut equals, now)).collect();
    assert_eq!(order, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn where_groups_do_not_recover_failed_peers_are_left_alone_for_their_time() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut balancer = balancer_of(Group { recovers: false, ..group(weights(&[1, 1])) });
    for peer in [0, 1] {
        assert_eq!(balancer.pick(&mut Tried::default(), &somebody(), at(0)), Some(peer));
        balancer.failed(peer, at(0));
        balancer.release(peer);
    }
    for second in [0, 1, 10] {
        assert_eq!(one(&mut balancer, at(second)), None);
    }
    assert!(one(&mut balancer, at(11)).is_some());
}
