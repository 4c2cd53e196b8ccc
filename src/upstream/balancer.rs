//! Choosing a peer: nginx's smooth weighted round robin with failure marks and backups.

use std::rc::Rc;
use std::time::Instant;

use super::Group;
use super::shared::Busy;

/// The peers a session has tried. Up to 64 peers it owns no memory.
#[derive(Default)]
pub struct Tried {}

/// What one worker knows at run time about the peers of one group.
pub struct Balancer {}

impl Balancer {
    /// A balancer with no failures known. `busy` counts sessions across workers, `first` is the number of this group's first peer in it.
    pub fn new(_group: Rc<Group>, _busy: Busy, _first: usize) -> Self {
        todo!()
    }

    /// The group it chooses from.
    pub fn group(&self) -> &Group {
        todo!()
    }

    /// The next peer to try, marked in `tried` and counted as busy until [`Balancer::release`]. `None`: no peer is left; if that was because
    /// all are marked failed, the marks are cleared (as nginx does), so that the next session tries again.
    pub fn pick(&mut self, _tried: &mut Tried, _now: Instant) -> Option<usize> {
        todo!()
    }

    /// The peer could not be connected to, or broke before use. Returns true when this failure makes the peer
    /// temporarily disabled (nginx logs `upstream server temporarily disabled` at `warn`).
    pub fn failed(&mut self, _peer: usize, _now: Instant) -> bool {
        todo!()
    }

    /// The peer was connected to: failures older than the last check are forgotten, as in nginx.
    pub fn succeeded(&mut self, _peer: usize) {
        todo!()
    }

    /// The session with this peer is over, whether it came about or not.
    pub fn release(&mut self, _peer: usize) {
        todo!()
    }
}
