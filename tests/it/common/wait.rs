//! Waiting for conditions: every wait has a deadline far beyond what a loaded machine needs, and none sleeps for a result.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::proc;

/// How long anything may take before a test gives up: less than the minute that most of weir's own times are unless something else is said.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// Polls `found` until it gives something.
#[track_caller]
pub fn wait_some<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Polls `condition` until it holds.
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    wait_some(what, || condition().then_some(()))
}

/// Waits until a process has used no processor time for a while.
#[track_caller]
pub fn wait_until_idle(pid: i32) {
    let mut last = (proc::cpu_ticks(pid), Instant::now());
    wait_for("the worker to rest", || {
        let ticks = proc::cpu_ticks(pid);
        if ticks != last.0 {
            last = (ticks, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(300)
    });
}

/// Sets a flag when it is dropped, so that the threads of a scope end however the test does.
pub struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
