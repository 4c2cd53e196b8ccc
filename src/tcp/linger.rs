//! A connection whose session is over but whose socket still holds bytes for the peer.
//!
//! A socket that is closed and then gets input throws away what it has not sent yet and resets the connection
//! (RFC 1122 4.2.2.13). So our side is ended with a FIN, what still comes is read and dropped, and the socket is closed
//! when the peer has ended too. A peer that does not is given time: as long as it takes bytes, however slowly; when it has
//! all of them, as long as nginx's lingering close.

use std::time::{Duration, Instant};

use crate::context::Context;
use crate::event::TimerId;
use crate::net::Connection;

/// How long a peer that has received everything may be silent, nginx's `lingering_timeout`.
const IDLE: Duration = Duration::from_secs(5);
/// How long it may go on sending, nginx's `lingering_time`.
const TOTAL: Duration = Duration::from_secs(30);
/// Bytes dropped in all. A peer that sends without end is not to keep us busy: it is closed once it has taken what is its own,
/// and held up by a full window until then.
const MOST_DROPPED: usize = 1 << 20;
/// Bytes dropped for one event before others have their turn.
const TURN: usize = 256 * 1024;

pub(super) struct Linger {
    connection: Connection,
    timer: TimerId,
    /// How long the peer may take no byte while some wait for it.
    patience: Duration,
    /// What waited for the peer at the last look.
    unsent: u32,
    /// When the peer was last seen to take bytes or, once it has all, to send some.
    active: Instant,
    /// When it was first seen to have all.
    delivered: Option<Instant>,
    /// Bytes read and dropped so far.
    dropped: usize,
}

impl Linger {
    /// Ends our side.
    pub(super) fn begin(connection: Connection, timer: TimerId, patience: Duration, cx: &mut Context) -> Self {
        connection.shutdown_write();
        cx.reactor.again(connection.source());
        let now = cx.reactor.now();
        let unsent = connection.unsent();
        let mut linger = Linger { connection, timer, patience, unsent, active: now, delivered: None, dropped: 0 };
        linger.timer(cx);
        linger
    }

    /// Reads and drops. Returns whether the peer has more time.
    pub(super) fn ready(&mut self, cx: &mut Context) -> bool {
        let mut budget = TURN;
        while cx.reactor.readable(self.connection.source()) {
            let scratch = cx.buffers.scratch(budget);
            match self.connection.recv(&mut cx.reactor, scratch) {
                Ok(None) => break,
                Ok(Some(0)) | Err(_) => return false,
                Ok(Some(count)) => {
                    budget = budget.saturating_sub(count);
                    self.dropped += count;
                }
            }
            if self.dropped > MOST_DROPPED {
                return self.connection.unsent() > 0;
            }
            if self.delivered.is_some() {
                self.active = cx.reactor.now();
            }
            if budget == 0 {
                cx.reactor.again(self.connection.source());
                break;
            }
        }
        true
    }

    /// Looks how far the peer is. Returns whether it has more time.
    pub(super) fn timer(&mut self, cx: &mut Context) -> bool {
        let now = cx.reactor.now();
        let before = std::mem::replace(&mut self.unsent, self.connection.unsent());
        if self.unsent < before {
            self.active = now;
        }
        let end = if self.unsent > 0 {
            self.active + self.patience
        } else {
            let delivered = *self.delivered.get_or_insert(now);
            (self.active + IDLE).min(delivered + TOTAL)
        };
        cx.reactor.set_timer(self.timer, end.min(now + IDLE));
        now < end
    }

    /// Closes the connection.
    pub(super) fn end(self, cx: &mut Context) {
        self.connection.close(&mut cx.reactor);
        cx.connections.give_back();
        cx.reactor.remove_timer(self.timer);
    }
}
