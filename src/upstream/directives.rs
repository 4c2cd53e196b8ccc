//! The directives of `upstream {}`.

use crate::conf::Directive;

use super::{Group, Peer};

/// An `upstream {}` while its block is read.
#[derive(Default)]
pub struct Builder {
    /// Peers so far, in the order of the file.
    pub peers: Vec<Peer>,
}

impl Builder {
    /// Puts primaries before backups. An empty one is the caller's to refuse.
    pub fn build(self, _name: &str) -> Group {
        todo!()
    }
}

/// The table of `upstream {}`.
pub static TABLE: &[Directive<Builder>] = &[];
