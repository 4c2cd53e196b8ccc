//! A connection whose session is over but whose socket may still hold bytes for the peer.
//!
//! A socket that is closed and then gets input throws away what it has not sent yet and resets the connection
//! (RFC 1122 4.2.2.13). So our side is ended with a FIN, what still comes is read and dropped, and the socket is closed
//! when the peer has ended too, or has had its time.

use std::time::{Duration, Instant};

use crate::context::Context;
use crate::event::TimerId;
use crate::net::Connection;

/// How long the peer may be silent, nginx's `lingering_timeout`.
const IDLE: Duration = Duration::from_secs(5);
/// How long it may take in all, nginx's `lingering_time`.
const TOTAL: Duration = Duration::from_secs(30);
/// Bytes dropped for one event before others have their turn.
const TURN: usize = 256 * 1024;

pub(super) struct Linger {
    connection: Connection,
    /// Our end has been sent.
    told: bool,
    timer: TimerId,
    until: Instant,
}

impl Linger {
    /// Ends our side.
    pub(super) fn begin(connection: Connection, timer: TimerId, cx: &mut Context) -> Self {
        let told = connection.shutdown_write(&mut cx.reactor);
        let now = cx.reactor.now();
        cx.reactor.set_timer(timer, now + IDLE);
        cx.reactor.again(connection.source());
        Linger { connection, told, timer, until: now + TOTAL }
    }

    /// Reads and drops. Returns whether the peer has more time.
    pub(super) fn ready(&mut self, cx: &mut Context) -> bool {
        if !self.told && cx.reactor.writable(self.connection.source()) {
            self.told = self.connection.shutdown_write(&mut cx.reactor);
        }
        let mut budget = TURN;
        while cx.reactor.readable(self.connection.source()) {
            let scratch = cx.buffers.scratch(TURN);
            match self.connection.recv(&mut cx.reactor, scratch) {
                Ok(None) => break,
                Ok(Some(0)) | Err(_) => return false,
                Ok(Some(count)) => budget = budget.saturating_sub(count),
            }
            let now = cx.reactor.now();
            if now >= self.until {
                return false;
            }
            cx.reactor.set_timer(self.timer, (now + IDLE).min(self.until));
            if budget == 0 {
                cx.reactor.again(self.connection.source());
                break;
            }
        }
        true
    }

    /// Closes the connection.
    pub(super) fn end(self, cx: &mut Context) {
        self.connection.close(&mut cx.reactor);
        cx.connections.give_back();
        cx.reactor.remove_timer(self.timer);
    }
}
