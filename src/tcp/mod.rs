//! The `tcp {}` block: its directives and its sessions.

/// All `tcp {}` blocks of a configuration.
#[derive(Default)]
pub struct Config {}

impl Config {
    /// The number of peers of all groups, for the shared counters.
    pub fn peers(&self) -> usize {
        todo!()
    }
}
