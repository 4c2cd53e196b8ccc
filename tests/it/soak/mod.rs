//! Traffic of all kinds for as long as one likes, and afterwards a look at what is left of it: nothing. `scripts/soak` runs this.
//!
//! Two weirs stand in the same traffic. One is left alone but for its logs, so that what sessions leave behind piles up in its workers; the other
//! reloads all the time, so that what workers and configurations leave behind piles up in its master.

mod clients;
mod site;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::common::wait::StopOnDrop;
use crate::common::*;
use clients::{KINDS, Kind};
use site::{Measure, ROWS, Site};

/// How long, in seconds, when the environment does not say.
const SECONDS: u64 = 120;

/// Between the sessions of a client: what is wanted is variety, not load.
const PAUSE: Duration = Duration::from_millis(5);

/// How often a site is looked at and disturbed.
const TICK: Duration = Duration::from_millis(250);

/// What the clients of one kind have done.
#[derive(Default)]
struct Count {
    sessions: AtomicUsize,
    faults: Mutex<Vec<String>>,
}

impl Count {
    fn run(&self, kind: &Kind, site: &Site, seed: u64, stop: &AtomicBool) {
        let mut dice = Dice::new(seed);
        while !stop.load(Ordering::SeqCst) {
            let outcome = (kind.run)(&site.ports, &mut dice);
            self.sessions.fetch_add(1, Ordering::SeqCst);
            if let Err(error) = outcome
                && kind.strict
            {
                self.faults.lock().unwrap().push(error.to_string());
            }
            thread::sleep(PAUSE);
        }
    }
}

/// The counts of all kinds of clients.
type Counts = [Count; KINDS.len()];

/// Lets clients at all sites for so long; gives the most that each site has needed.
fn traffic(sites: &[Site], counts: &[Counts], time: Duration, round: u64) -> Vec<Measure> {
    let stop = AtomicBool::new(false);
    let mut peaks: Vec<Measure> = sites.iter().map(Site::measure).collect();
    thread::scope(|scope| {
        let stop = &stop;
        let _stop = StopOnDrop(stop);
        for (site, counts) in sites.iter().zip(counts) {
            for (number, (kind, count)) in KINDS.iter().zip(counts).enumerate() {
                scope.spawn(move || count.run(kind, site, round * 1000 + number as u64, stop));
            }
        }
        let start = Instant::now();
        for tick in 1.. {
            if start.elapsed() >= time {
                break;
            }
            thread::sleep(TICK);
            for (site, peak) in sites.iter().zip(&mut peaks) {
                site.disturb(tick);
                peak.raise(&site.measure());
            }
        }
    });
    peaks
}

/// Prints what there was, and returns what has not come back.
fn table(site: &Site, [start, peak, end]: [&Measure; 3]) -> Vec<String> {
    println!("{:<44}{:>12}{:>12}{:>12}", site.name, "start", "peak", "end");
    let mut left = Vec::new();
    for ((row, start), (peak, end)) in ROWS.iter().zip(start.0).zip(peak.0.into_iter().zip(end.0)) {
        let back = row.is_back(start, end);
        let verdict = if back { "" } else { "  NOT BACK" };
        println!("  {:<42}{start:>12}{peak:>12}{end:>12}{verdict}", row.name);
        if !back {
            left.push(format!("{}: {}", site.name, row.name));
        }
    }
    left
}

#[test]
#[ignore = "takes minutes; scripts/soak runs it"]
fn everything_comes_back() {
    if !proc::shows_descriptors() {
        return;
    }
    let seconds = std::env::var("WEIR_SOAK_SECONDS").map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
    let sites = [Site::start("left alone", false), Site::start("reloading", true)];
    // The first traffic fills pools; they are part of the starting point.
    let warm_up = Duration::from_secs(seconds.div_ceil(4).min(60));
    traffic(&sites, &[Counts::default(), Counts::default()], warm_up, 1);
    let start = sites.each_ref().map(Site::rest);
    let counts = [Counts::default(), Counts::default()];
    let before = sites.each_ref().map(Site::logged);
    let peak = traffic(&sites, &counts, Duration::from_secs(seconds).saturating_sub(warm_up), 2);
    let end = sites.each_ref().map(Site::rest);

    println!("\nAfter {} s to warm up and {} s of traffic:", warm_up.as_secs(), seconds - warm_up.as_secs());
    let mut wrong = Vec::new();
    for (n, site) in sites.iter().enumerate() {
        wrong.extend(table(site, [&start[n], &peak[n], &end[n]]));
        let sessions = |count: &Count| count.sessions.load(Ordering::SeqCst);
        let all: Vec<String> =
            KINDS.iter().zip(&counts[n]).map(|(kind, count)| format!("{} {}", sessions(count), kind.name)).collect();
        println!("  sessions: {}\n", all.join(", "));
        for (kind, count) in KINDS.iter().zip(&counts[n]) {
            let faults = count.faults.lock().unwrap();
            if let Some(first) = faults.first() {
                wrong.push(format!("{}: {} sessions failed, the first: {first}", kind.name, faults.len()));
            }
            let (logged, sessions) = (site.logged() - before[n], sessions(count));
            if kind.logged && logged != sessions {
                wrong.push(format!("{}: {logged} lines for {sessions} {} sessions", site.name, kind.name));
            }
        }
        wrong.extend(site.grave_lines());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
