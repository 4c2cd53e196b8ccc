use super::*;
use crate::net::Address;
use crate::upstream::Peer;

fn group(name: &str, peers: &[&str]) -> Group {
    let peer = |name: &&str| Peer::new(Address::Unix((*name).into()));
    Group::new(name, peers.iter().map(peer).collect())
}

fn checked(name: &str, peers: &[&str]) -> Group {
    Group { check: Some(crate::upstream::checks::Check::default()), ..group(name, peers) }
}

fn sessions(roster: &Roster, group: usize) -> Vec<u32> {
    roster.records(group).iter().map(Record::sessions).collect()
}

#[test]
fn sessions_of_all_workers_are_summed_and_a_dead_workers_wiped() {
    let names: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let roster = Roster::new(&[group("a", &names)], &[]).unwrap();
    let records = roster.records(0);
    for row in [0, 1, 700] {
        records[0].open_row(row);
        records[0].enter(row);
        records[16].enter(row);
        records[16].enter(row);
    }
    records[16].leave(700);
    let counts = || [0, 1, 16].map(|peer| records[peer].sessions());
    assert_eq!(counts(), [3, 0, 5]);
    roster.clear(0);
    assert_eq!(counts(), [2, 0, 3]);
}

#[test]
fn peers_that_stay_keep_their_records() {
    let old = Roster::new(&[group("a", &["x", "y", "x"]), group("b", &["x"])], &[]).unwrap();
    for (n, record) in old.records(0).iter().chain(old.records(1)).enumerate() {
        record.open_row(0);
        (0..=n).for_each(|_| record.enter(0));
    }
    assert_eq!((sessions(&old, 0), sessions(&old, 1)), (vec![1, 2, 3], vec![4]));
    let new = Roster::new(&[group("b", &["z", "x"]), group("c", &["x"]), group("a", &["x", "x"])], &[&old]).unwrap();
    assert_eq!((sessions(&new, 0), sessions(&new, 1), sessions(&new, 2)), (vec![0, 4], vec![0], vec![1, 3]));
    // One that had gone comes back while a worker of the first configuration still lives.
    let newest = Roster::new(&[group("a", &["y", "q"])], &[&new, &old]).unwrap();
    assert_eq!(sessions(&newest, 0), [2, 0]);
    old.clear(0);
    assert_eq!(sessions(&newest, 0), [0, 0]);
    let mut weak = Vec::new();
    for roster in [&old, &new, &newest] {
        weak.extend(roster.known.values().map(|known| Rc::downgrade(&known.record.region)));
    }
    drop((old, new, newest));
    assert!(weak.iter().all(|region| region.upgrade().is_none()), "unused memory is given back");
}

#[test]
fn a_configuration_without_peers_has_a_roster() {
    let roster = Roster::new([], &[]).unwrap();
    roster.clear(ROWS - 1);
    Roster::new(&[group("a", &["x"])], &[&roster]).unwrap();
}

#[test]
fn the_first_probe_decides_and_later_ones_in_a_row() {
    let roster = Roster::new(&[checked("a", &["x", "y"])], &[]).unwrap();
    let [x, y] = roster.records(0) else { panic!() };
    assert_eq!(x.health(), Health::Unknown);
    assert_eq!(x.report(true, 2, 3), Some(Health::Up));
    assert_eq!(x.report(false, 2, 3), None);
    assert_eq!(x.report(false, 2, 3), None);
    assert_eq!((x.rises(), x.falls()), (0, 2));
    assert_eq!(x.report(true, 2, 3), None);
    assert_eq!((x.rises(), x.falls()), (1, 0));
    for _ in 0..2 {
        assert_eq!(x.report(false, 2, 3), None);
    }
    assert_eq!((x.report(false, 2, 3), x.health(), x.descents()), (Some(Health::Down), Health::Down, 1));
    assert_eq!(x.report(false, 2, 3), None);
    assert_eq!(x.report(true, 2, 3), None);
    assert_eq!(x.report(true, 2, 3), Some(Health::Up));
    assert_eq!((y.report(false, 2, 3), y.descents()), (Some(Health::Down), 1));
    // Kept over a reload, even one that fails and leaves the old workers as they are, but not over a time without checks.
    let kept = Roster::new(&[checked("a", &["y"])], &[&roster]).unwrap();
    let unchecked = Roster::new(&[group("a", &["y"])], &[&kept, &roster]).unwrap();
    assert_eq!((kept.records(0)[0].health(), kept.records(0)[0].falls()), (Health::Down, 1));
    let again = Roster::new(&[checked("a", &["y"])], &[&unchecked, &kept]).unwrap();
    assert_eq!((again.records(0)[0].health(), again.records(0)[0].falls()), (Health::Unknown, 0));
}

#[test]
fn one_worker_at_a_time_has_the_lease() {
    let roster = Roster::new(&[checked("a", &["x"])], &[]).unwrap();
    let record = &roster.records(0)[0];
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(record.lease(0, at(0), at(10)), Ok(()));
    assert!(record.leased_by(0) && !record.leased_by(1));
    let free = record.lease(1, at(1), at(11)).unwrap_err();
    assert!(free <= at(10) && free > at(9), "{:?}", at(10) - free);
    assert_eq!(record.lease(0, at(2), at(12)), Ok(()));
    assert!(record.lease(1, at(11), at(20)).is_err());
    // It ran out: the worker that had it may be dead or only late.
    assert_eq!(record.lease(1, at(12), at(20)), Ok(()));
    assert!(!record.leased_by(0));
    record.release_lease(0);
    assert!(record.leased_by(1));
    roster.clear(1);
    assert_eq!(record.lease(0, at(13), at(14)), Ok(()));
    record.release_lease(0);
    assert_eq!(record.lease(1, at(13), at(14)), Ok(()));
}
