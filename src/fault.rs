//! Faults of the program on demand, for tests of what becomes of a worker that has one. Only debug builds have them.

use std::fmt;
use std::time::Duration;

/// Panics if the environment variable `WEIR_PANIC` names the place `here`: `relay 7919` is the relay of a session from whose client so many
/// bytes have come. Workers see the variable where `env WEIR_PANIC;` is configured; it is read once.
#[cfg(debug_assertions)]
#[track_caller]
pub fn point(here: fmt::Arguments<'_>) {
    static NAMED: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("WEIR_PANIC").ok());
    if let Some(named) = NAMED.as_deref()
        && named == here.to_string()
    {
        panic!("asked for by WEIR_PANIC={named}");
    }
}

/// Nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_: fmt::Arguments<'_>) {}

/// A time in milliseconds that the environment variable `name` has in the place of one that a test cannot wait for.
#[cfg(debug_assertions)]
pub fn duration(name: &str) -> Option<Duration> {
    std::env::var(name).ok()?.parse().ok().map(Duration::from_millis)
}

/// Nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn duration(_: &str) -> Option<Duration> {
    None
}
