//! The relay against a model: thousands of sessions over real sockets, whose peers write, read, pause, half-close, leave
//! and reset as a seed has it.
//!
//! The model knows what a peer wrote and what the other read, byte for byte, and what the relay's counters must say:
//!
//! - A side gets what the other wrote, from the first byte on and in order; at the end of a session as the relay sees it, all that the relay received.
//! - The relay has received all of a side that half-closed while the other stayed, and of both sides what had come to its sockets when a side ended.
//! - It ends only when a side has ended, reports a failed connection only of a side that has left, and lets a timeout run out only after that time without a byte.
//! - No session hangs, no event comes without end, and no descriptor is left open and no pipe with nobody.
//!
//! A run prints its seed when it fails, with the plan of the session in question made as small as it can be. From the environment:
//!
//! | variable | |
//! |---|---|
//! | `WEIR_MODEL_SESSIONS` | how many sessions a run has |
//! | `WEIR_MODEL_SEED` | the seed to run again; `.cargo/config.toml` has one for `cargo test`, without it each run has its own |
//! | `WEIR_MODEL_ONLY` | the number of the one session to run again |

mod peer;
mod plan;
mod session;
mod world;

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use plan::Plan;
use world::{DESCRIPTORS, Failure, Tally, Way, World};

/// Sessions of a run, unless the environment says otherwise.
const SESSIONS: u64 = 500;

/// How often a session is run alone to see whether it fails: the kernel's timing has a part in it.
const TRIES: usize = 10;

/// How long simpler plans are looked for.
const SHRINKING: Duration = Duration::from_secs(60);

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Runs a test again in a process of its own, whose descriptors nobody else opens.
fn alone(test: &str, run: impl FnOnce()) {
    const CHILD: &str = "WEIR_MODEL_CHILD";
    if env::var_os(CHILD).is_some() {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS.min(most), most).unwrap();
        return run();
    }
    let name = format!("relay::model::{test}");
    let mut command = Command::new(env::current_exe().unwrap());
    let output = command.args([&name, "--exact", "--nocapture"]).env(CHILD, "").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success() && text.contains("1 passed"), "{name} has failed");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn run(way: Way, plans: impl Iterator<Item = (u64, Plan)>) -> Result<Tally, Box<Failure>> {
    World::new(way).expect("an epoll and a listener").run(plans)
}

/// The failure of a session that is run alone, if it fails then.
fn again(way: Way, number: u64, plan: &Plan) -> Option<Box<Failure>> {
    (0..TRIES).find_map(|_| run(way, std::iter::once((number, plan.clone()))).err())
}

/// The simplest failure like this one.
fn simplest(way: Way, seed: u64, failure: Box<Failure>) -> Option<Box<Failure>> {
    let mut smallest = again(way, failure.number, &failure.plan)?;
    let mut tree = plan::tree(seed, failure.number);
    let mut more = tree.simplify();
    let began = Instant::now();
    while more && began.elapsed() < SHRINKING {
        more = match again(way, failure.number, &tree.current()) {
            Some(simpler) => {
                smallest = simpler;
                tree.simplify()
            }
            None => tree.complicate(),
        };
    }
    Some(smallest)
}

fn keep_to_the_model(way: Way) {
    let seed = variable("WEIR_MODEL_SEED").unwrap_or_else(|| getrandom::u64().unwrap());
    let numbers = match variable("WEIR_MODEL_ONLY") {
        Some(number) => number..number + 1,
        None => 0..variable("WEIR_MODEL_SESSIONS").unwrap_or(SESSIONS),
    };
    let before = descriptors();
    match run(way, numbers.map(|number| (number, Plan::of(seed, number)))) {
        Ok(tally) => {
            println!("{tally:?}");
            let Tally { over, expired, faults, waited, lingered, pipes, .. } = tally;
            let spliced = way == Way::Copying || pipes > 0;
            let everything = spliced && ![over, expired, faults, waited, lingered].contains(&0);
            assert!(everything || tally.sessions < SESSIONS, "a run is to see something of everything");
        }
        Err(failure) => {
            println!("WEIR_MODEL_SEED={seed} WEIR_MODEL_ONLY={}: {}\n{:?}", failure.number, failure.what, failure.plan);
            match simplest(way, seed, failure) {
                Some(simplest) => println!("alone and as simple as it gets: {}\n{:?}", simplest.what, simplest.plan),
                None => println!("it does not fail alone"),
            }
            panic!("a session does not keep to the model");
        }
    }
    assert_eq!(descriptors(), before);
}

#[test]
fn relays_that_copy() {
    alone("relays_that_copy", || keep_to_the_model(Way::Copying));
}

#[test]
fn relays_that_splice() {
    alone("relays_that_splice", || keep_to_the_model(Way::Splicing));
}

#[test]
fn relays_that_adapt() {
    alone("relays_that_adapt", || keep_to_the_model(Way::Adapting));
}

#[test]
fn relays_that_change_over() {
    alone("relays_that_change_over", || keep_to_the_model(Way::Changing));
}
