use super::*;
use proptest::prelude::*;

fn table(entries: usize) -> Table {
    Table::new(entries * ENTRY).unwrap()
}

fn key(number: u32) -> Key {
    Key::of(&number.to_le_bytes())
}

#[test]
fn a_key_is_kept_once_it_has_been_asked_for_often_enough() {
    let table = table(4);
    assert_eq!(table.ask(key(1), 1, 0, 10), Known::New);
    assert_eq!(table.ask(key(1), 1, 0, 10), Known::Nothing);
    assert_eq!(table.ask(key(2), 3, 0, 10), Known::Seldom);
    assert_eq!(table.ask(key(2), 3, 0, 10), Known::Seldom);
    assert_eq!(table.ask(key(2), 3, 0, 10), Known::Nothing);
    table.stored(key(2), 4096, 10, None);
    assert_eq!(table.ask(key(2), 3, 0, 10), Known::File);
    assert!(table.lost(key(2)));
    assert_eq!(table.ask(key(2), 3, 0, 10), Known::Nothing);
}

#[test]
fn one_at_a_time_brings_an_entry_up_to_date() {
    let table = table(4);
    table.ask(key(1), 1, 0, 10);
    let grant = table.hold(key(1), 60_000, 10).unwrap();
    assert!(table.is_updating(key(1)));
    assert_eq!(table.hold(key(1), 60_000, 10), None);
    table.give_back(key(1), grant);
    assert!(!table.is_updating(key(1)));
    let again = table.hold(key(1), 60_000, 10).unwrap();
    table.give_back(key(1), grant);
    assert!(table.is_updating(key(1)), "an old right ends no new one");
    table.stored(key(1), 1, 10, Some(again));
    assert!(!table.is_updating(key(1)));
    table.hold(key(1), 60_000, 10).unwrap();
    assert!(table.begin_storing(key(1), 10));
    assert_eq!(table.bury(std::process::id()), [key(1)]);
    assert!(!table.is_updating(key(1)), "its holder is dead");
    table.gone(key(1));
    assert_eq!(table.ask(key(1), 1, 0, 10), Known::New);
}

#[test]
fn a_file_that_was_to_be_removed_is_not_lost_with_who_was_to_do_it() {
    let table = table(4);
    for number in 1..=3 {
        assert!(table.found(key(number), 4096, 10));
    }
    assert_eq!(table.evict(), Some(key(1)));
    assert_eq!(table.expire(10), Oldest::Gone(key(2)));
    assert!(table.begin_removing(key(3)));
    assert_eq!(table.evict(), None, "somebody is at work for all of them");
    assert_eq!(table.figures().bytes, 3 * 4096, "they count as long as they may be there");
    let mut unsure = table.bury(std::process::id());
    unsure.sort_by_key(|key| key.0);
    let mut all = [1, 2, 3].map(key);
    all.sort_by_key(|key| key.0);
    assert_eq!(unsure, all);
    // Another has put a new one there meanwhile.
    assert!(table.begin_storing(key(3), 10));
    table.stored(key(3), 8192, 10, None);
    all.into_iter().for_each(|key| table.gone(key));
    assert_eq!((table.figures().files, table.figures().bytes), (1, 8192));
}

#[test]
fn an_entry_that_tells_nothing_is_forgotten() {
    let table = table(4);
    let entries = || table.figures().entries;
    table.ask(key(1), 1, 0, 10);
    let grant = table.hold(key(1), 60_000, 10).unwrap();
    table.forget(key(1));
    assert_eq!(entries(), 1, "somebody is at work for it");
    table.give_back(key(1), grant);
    table.begin_storing(key(1), 10);
    table.forget(key(1));
    assert_eq!(entries(), 1);
    table.given_up(key(1));
    table.forget(key(1));
    assert_eq!(entries(), 0);
    table.ask(key(1), 1, 0, 10);
    table.failed(key(1), 502, 5);
    table.found(key(2), 1, 10);
    [1, 2].map(key).into_iter().for_each(|key| table.forget(key));
    assert_eq!(entries(), 2);
}

#[test]
fn errors_are_kept_for_a_time() {
    let table = table(4);
    table.ask(key(1), 1, 0, 10);
    table.failed(key(1), 502, 5);
    assert_eq!(table.ask(key(1), 1, 5, 10), Known::Error(502));
    assert_eq!(table.ask(key(1), 1, 6, 10), Known::New);
    // The old answer is still there, and counts.
    table.found(key(1), 4096, 10);
    table.failed(key(1), 502, 7);
    assert_eq!(table.ask(key(1), 1, 8, 10), Known::New);
    assert_eq!(table.figures().bytes, 4096);
    assert_eq!(table.expire(10), Oldest::Gone(key(1)));
}

#[test]
fn a_full_zone_gives_up_the_oldest_that_nobody_is_at() {
    let table = table(3);
    for number in 1..=3 {
        table.ask(key(number), 1, 0, 10);
    }
    assert_eq!(table.ask(key(4), 1, 0, 10), Known::Full);
    table.ask(key(1), 1, 0, 11);
    table.hold(key(2), 60_000, 10);
    table.found(key(3), 1, 10);
    assert_eq!(table.evict(), Some(key(3)));
    assert_eq!(table.ask(key(4), 1, 0, 10), Known::Full);
    table.gone(key(3));
    assert_eq!(table.ask(key(4), 1, 0, 10), Known::New);
    assert!(table.is_over(0), "the manager makes room");
}

#[test]
fn the_next_configuration_finds_them() {
    let old = Zone::new("a", 65536);
    old.open(None).unwrap();
    old.table().unwrap().found(key(1), 1, 10);
    let new = Zone::new("a", 65536);
    new.open(Some(&old)).unwrap();
    assert_eq!(new.table().unwrap().ask(key(1), 1, 0, 10), Known::File);
}

#[derive(Clone, Debug)]
enum Action {
    Ask(u32),
    Store(u32, u64),
    Lose(u32),
    Evict,
    Expire,
    /// Somebody dies with links half done.
    Die,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..12_u32).prop_map(Action::Ask),
        4 => (0..12_u32, 0..9000_u64).prop_map(|(key, size)| Action::Store(key, size)),
        1 => (0..12_u32).prop_map(Action::Lose),
        1 => Just(Action::Evict),
        1 => Just(Action::Expire),
        1 => Just(Action::Die),
    ]
}

proptest! {
    /// A simple list, the oldest first, must always tell the same.
    #[test]
    fn it_does_what_a_list_does(actions in prop::collection::vec(action(), 1..120)) {
        let table = table(8);
        let mut model: Vec<(u32, Option<u64>, u64)> = Vec::new();
        for (now, action) in actions.into_iter().enumerate() {
            let expire = now as u64 + 20;
            match action {
                Action::Ask(number) => {
                    let known = table.ask(key(number), 1, now as u64, expire);
                    let place = model.iter().position(|(known, ..)| *known == number);
                    let expected = match place {
                        Some(place) => {
                            let (number, size, _) = model.remove(place);
                            model.push((number, size, expire));
                            if size.is_some() { Known::File } else { Known::Nothing }
                        }
                        None if model.len() < 8 => {
                            model.push((number, None, expire));
                            Known::New
                        }
                        None => Known::Full,
                    };
                    prop_assert_eq!(known, expected);
                }
                Action::Store(number, size) => {
                    table.stored(key(number), size, expire, None);
                    match model.iter().position(|(known, ..)| *known == number) {
                        Some(place) => model[place].1 = Some(size),
                        None if model.len() < 8 => model.push((number, Some(size), expire)),
                        None => {}
                    }
                }
                Action::Lose(number) => {
                    let had = table.lost(key(number));
                    let entry = model.iter_mut().find(|(known, ..)| *known == number);
                    prop_assert_eq!(had, entry.is_some_and(|entry| entry.1.take().is_some()));
                }
                Action::Evict => {
                    let oldest = (!model.is_empty()).then(|| key(model.remove(0).0));
                    prop_assert_eq!(table.evict(), oldest);
                    oldest.into_iter().for_each(|key| table.gone(key));
                }
                Action::Expire => {
                    let due = model.iter().take_while(|entry| entry.2 <= now as u64);
                    let gone = due.clone().position(|entry| entry.1.is_some());
                    let count = gone.map_or(due.count(), |gone| gone + 1);
                    let last = model.drain(..count).next_back();
                    match (table.expire(now as u64), gone) {
                        (Oldest::Gone(found), Some(_)) => {
                            prop_assert_eq!(Some(found), last.map(|entry| key(entry.0)));
                            table.gone(found);
                        }
                        (Oldest::Wait(_), None) => {}
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                Action::Die => {
                    table.head[head::DIRTY].store(1, Relaxed);
                    table.head[head::OLDEST].store(7, Relaxed);
                    table.head[head::BYTES].store(7, Relaxed);
                    table.buckets.iter().for_each(|bucket| bucket.store(3, Relaxed));
                    // Entries of one age may come in another order.
                    table.alone(|_| ());
                    model.sort_by_key(|entry| entry.2);
                }
            }
            let figures = table.figures();
            prop_assert_eq!(figures.entries, model.len() as u64);
            prop_assert_eq!(figures.bytes, model.iter().filter_map(|entry| entry.1).sum::<u64>());
            prop_assert_eq!(figures.files, model.iter().filter(|entry| entry.1.is_some()).count() as u64);
        }
    }
}
