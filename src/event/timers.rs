//! Timers as deadlines: moving one forward is a store, and a timer that is never reached costs no queue work.
//!
//! A slot keeps its place in the queue when its deadline moves forward, and even when the timer ends and the slot is
//! taken by another: the entry checks the deadline when it comes up, and goes back to sleep until then. So a short
//! connection, whose timer lives in a slot that others used before, does not touch the queue at all.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Owner;

/// A timer of the reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId(u32);

struct Slot {
    owner: Owner,
    /// When the timer runs out; `None` while it does not run.
    deadline: Option<Instant>,
    /// Where the slot stands in the queue: never after its deadline.
    queued: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Timers {
    slots: Vec<Slot>,
    /// Slots without a timer, last used first.
    free: Vec<u32>,
    /// One entry a slot at most.
    queue: BTreeSet<(Instant, u32)>,
}

impl Timers {
    pub(super) fn add(&mut self, owner: Owner) -> TimerId {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize].owner = owner;
            return TimerId(slot);
        }
        self.slots.push(Slot { owner, deadline: None, queued: None });
        TimerId(self.slots.len() as u32 - 1)
    }

    pub(super) fn set(&mut self, id: TimerId, when: Instant) {
        let slot = &mut self.slots[id.0 as usize];
        slot.deadline = Some(when);
        match slot.queued {
            Some(queued) if queued <= when => return,
            Some(queued) => {
                self.queue.remove(&(queued, id.0));
            }
            None => {}
        }
        slot.queued = Some(when);
        self.queue.insert((when, id.0));
    }

    pub(super) fn remove(&mut self, id: TimerId) {
        self.slots[id.0 as usize].deadline = None;
        self.free.push(id.0);
    }

    /// When the queue wants to be looked at next; not later than the earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|&(when, _)| when)
    }

    /// Stops and names one timer whose deadline has come.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Owner> {
        while let Some(&(when, key)) = self.queue.first() {
            if when > now {
                break;
            }
            self.queue.pop_first();
            let slot = &mut self.slots[key as usize];
            slot.queued = None;
            match slot.deadline {
                Some(deadline) if deadline <= now => {
                    slot.deadline = None;
                    return Some(slot.owner);
                }
                Some(deadline) => {
                    slot.queued = Some(deadline);
                    self.queue.insert((deadline, key));
                }
                None => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn owner(id: u32) -> Owner {
        Owner { engine: 0, part: 0, id }
    }

    #[test]
    fn a_slot_used_again_leaves_the_queue_alone() {
        let start = Instant::now();
        let mut timers = Timers::default();
        for connection in 0..1000u64 {
            let timer = timers.add(owner(0));
            timers.set(timer, start + Duration::from_millis(60_000 + connection));
            timers.remove(timer);
        }
        assert_eq!((timers.slots.len(), timers.queue.len()), (1, 1));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u8, u16),
        Remove(u8),
        Advance(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0u8..8, 0u16..500).prop_map(|(timer, delay)| Step::Set(timer, delay)),
            (0u8..8).prop_map(Step::Remove),
            (0u16..300).prop_map(Step::Advance),
        ];
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        /// Against a plain map of deadlines: the same timers run out at the same steps.
        #[test]
        fn behaves_as_a_map_of_deadlines(steps in steps()) {
            let start = Instant::now();
            let mut now = start;
            let mut timers = Timers::default();
            let mut live: BTreeMap<u8, TimerId> = BTreeMap::new();
            let mut model: BTreeMap<u8, Instant> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Set(name, delay) => {
                        let when = now + Duration::from_millis(delay.into());
                        let id = *live.entry(name).or_insert_with(|| timers.add(owner(name.into())));
                        timers.set(id, when);
                        model.insert(name, when);
                    }
                    Step::Remove(name) => {
                        if let Some(id) = live.remove(&name) {
                            timers.remove(id);
                        }
                        model.remove(&name);
                    }
                    Step::Advance(by) => {
                        now += Duration::from_millis(by.into());
                        if let (Some(next), Some(earliest)) = (timers.next(), model.values().min()) {
                            prop_assert!(next <= *earliest);
                        }
                        let mut fired: Vec<u8> =
                            std::iter::from_fn(|| timers.expired(now)).map(|owner| owner.id as u8).collect();
                        fired.sort_unstable();
                        let expected: Vec<u8> =
                            model.iter().filter(|(_, when)| **when <= now).map(|(name, _)| *name).collect();
                        model.retain(|_, when| *when > now);
                        prop_assert_eq!(fired, expected);
                    }
                }
                prop_assert!(timers.queue.len() <= timers.slots.len());
            }
        }
    }
}
