//! The pipes of all relays of a worker.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::net::Pipe;

/// Pipes the pool holds on to; more are closed.
const POOLED: usize = 4;

/// The most pipes of a worker. With 256 pages each they are what the kernel lets a user have by default
/// (`fs.pipe-user-pages-soft`, pipe(7)); past that it makes smaller ones.
const MOST: usize = 64;

/// How long no pipe is made after one could not be had.
const PAUSE: Duration = Duration::from_secs(1);

/// A pipe of the pool, which counts it as long as it is open, even one that goes with a session the program failed in.
#[derive(Debug)]
pub(super) struct Pooled {
    pipe: Pipe,
    _counted: Rc<()>,
}

impl Deref for Pooled {
    type Target = Pipe;

    fn deref(&self) -> &Pipe {
        &self.pipe
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Pipe {
        &mut self.pipe
    }
}

/// A pool of pipes. Only a flow whose destination did not take everything holds on to one; the others share the first.
pub struct Pipes {
    idle: Vec<Pooled>,
    /// Each pipe that is open, idle or with a flow, has a reference to it.
    count: Rc<()>,
    /// There were none to be had; none are made until then.
    none_before: Option<Instant>,
    /// How many reads in a row must fill their buffer for a flow to be spliced from then on.
    pub(super) patience: u16,
}

impl Default for Pipes {
    fn default() -> Self {
        Pipes { idle: Vec::new(), count: Rc::default(), none_before: None, patience: 4 }
    }
}

impl Pipes {
    /// Pipes that are open.
    fn open(&self) -> usize {
        Rc::strong_count(&self.count) - 1
    }

    /// An empty pipe, if one can be had.
    pub(super) fn take(&mut self, now: Instant) -> Option<Pooled> {
        if let Some(pipe) = self.idle.pop() {
            return Some(pipe);
        }
        if self.open() >= MOST || self.none_before.is_some_and(|then| now < then) {
            return None;
        }
        let made = Pipe::new();
        self.none_before = made.is_err().then(|| now + PAUSE);
        Some(Pooled { pipe: made.ok()?, _counted: Rc::clone(&self.count) })
    }

    /// Takes a pipe back. One that still holds something is closed with it.
    pub(super) fn put(&mut self, pipe: Pooled) {
        if pipe.holds() == 0 && self.idle.len() < POOLED {
            self.idle.push(pipe);
        }
    }

    /// Closes the pipes that no flow uses, as descriptors are short, and makes none for a while; flows go on by copying. Returns whether that freed any.
    pub fn give_up(&mut self, now: Instant) -> bool {
        let any = !self.idle.is_empty();
        self.idle.clear();
        self.none_before = Some(now + PAUSE);
        any
    }
}

#[cfg(test)]
impl Pipes {
    /// Pipes that flows hold.
    pub(super) fn lent(&self) -> usize {
        self.open() - self.idle.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_pipes_are_used_again_and_given_up_when_descriptors_are_short() {
        let now = Instant::now();
        let mut pipes = Pipes::default();
        let (one, two) = (pipes.take(now).unwrap(), pipes.take(now).unwrap());
        assert_eq!(pipes.lent(), 2);
        pipes.put(one);
        pipes.put(two);
        assert_eq!((pipes.lent(), pipes.open()), (0, 2));
        assert!(pipes.give_up(now) && !pipes.give_up(now));
        assert_eq!(pipes.open(), 0);
        assert!(pipes.take(now).is_none());
        assert!(pipes.take(now + PAUSE).is_some());
    }

    #[test]
    fn there_are_only_so_many() {
        let now = Instant::now();
        let mut pipes = Pipes::default();
        let taken: Vec<Pooled> = std::iter::from_fn(|| pipes.take(now)).take(MOST + 1).collect();
        assert!((POOLED + 1..=MOST).contains(&taken.len()));
        taken.into_iter().for_each(|pipe| pipes.put(pipe));
        assert_eq!((pipes.lent(), pipes.open()), (0, POOLED));
    }

    #[test]
    fn one_that_is_lost_makes_room_for_another() {
        let mut pipes = Pipes::default();
        drop(pipes.take(Instant::now()).unwrap());
        assert_eq!((pipes.lent(), pipes.open()), (0, 0));
    }
}
