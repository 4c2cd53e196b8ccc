//! `proxy_next_upstream`: after which failures another peer is tried.

use std::time::Duration;

/// What can be wrong with a try, as bits of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Fault(u16);

impl Fault {
    /// The set of none.
    pub(in crate::http) const NONE: Fault = Fault(0);
    pub(in crate::http) const ERROR: Fault = Fault(1);
    pub(super) const TIMEOUT: Fault = Fault(1 << 1);
    pub(super) const INVALID_HEADER: Fault = Fault(1 << 2);
    const HTTP_500: Fault = Fault(1 << 3);
    const HTTP_502: Fault = Fault(1 << 4);
    const HTTP_503: Fault = Fault(1 << 5);
    const HTTP_504: Fault = Fault(1 << 6);
    const HTTP_403: Fault = Fault(1 << 7);
    const HTTP_404: Fault = Fault(1 << 8);
    const HTTP_429: Fault = Fault(1 << 9);
    /// Of a request that may not be made twice.
    const NON_IDEMPOTENT: Fault = Fault(1 << 10);
    /// Of an answer in the cache, for `proxy_cache_use_stale`: the other request brings a new one.
    pub(in crate::http) const UPDATING: Fault = Fault(1 << 11);
    /// `off`, beside which no other word counts.
    const OFF: Fault = Fault(1 << 12);

    /// The words of `proxy_next_upstream` and `proxy_cache_use_stale`. As in nginx both take all, also those that mean nothing there.
    pub(in crate::http) const WORDS: [(&'static str, Fault); 13] = [
        ("error", Fault::ERROR),
        ("timeout", Fault::TIMEOUT),
        ("invalid_header", Fault::INVALID_HEADER),
        ("non_idempotent", Fault::NON_IDEMPOTENT),
        ("http_500", Fault::HTTP_500),
        ("http_502", Fault::HTTP_502),
        ("http_503", Fault::HTTP_503),
        ("http_504", Fault::HTTP_504),
        ("http_403", Fault::HTTP_403),
        ("http_404", Fault::HTTP_404),
        ("http_429", Fault::HTTP_429),
        ("updating", Fault::UPDATING),
        ("off", Fault::OFF),
    ];

    /// The fault that an answer with this status may be.
    pub(in crate::http) fn of_status(status: u16) -> Option<Fault> {
        let fault = match status {
            500 => Fault::HTTP_500,
            502 => Fault::HTTP_502,
            503 => Fault::HTTP_503,
            504 => Fault::HTTP_504,
            403 => Fault::HTTP_403,
            404 => Fault::HTTP_404,
            429 => Fault::HTTP_429,
            _ => return None,
        };
        Some(fault)
    }

    /// The status of the answer when no other peer is tried.
    pub(in crate::http) fn status(self) -> u16 {
        match self {
            Fault::TIMEOUT | Fault::HTTP_504 => 504,
            Fault::HTTP_500 => 500,
            Fault::HTTP_503 => 503,
            Fault::HTTP_403 => 403,
            Fault::HTTP_404 => 404,
            Fault::HTTP_429 => 429,
            _ => 502,
        }
    }

    /// Whether it speaks against the peer: one that refuses, or does not have a thing, is well.
    pub(super) fn is_peers(self) -> bool {
        !matches!(self, Fault::HTTP_403 | Fault::HTTP_404)
    }

    /// Whether this set has another in it.
    pub(in crate::http) fn has(self, fault: Fault) -> bool {
        fault != Fault::NONE && self.0 & fault.0 == fault.0
    }

    /// Adds what another set has; whether there was anything new.
    pub(in crate::http) fn add(&mut self, other: Fault) -> bool {
        let new = !self.has(other);
        *self = self.or(other);
        new
    }

    /// What the words of a directive come to.
    pub(in crate::http) fn settle(self) -> Fault {
        if self.has(Fault::OFF) { Fault::NONE } else { self }
    }

    /// Both sets together.
    pub(in crate::http) fn or(self, other: Fault) -> Fault {
        Fault(self.0 | other.0)
    }
}

/// `proxy_next_upstream`, `_tries` and `_timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Next {
    pub faults: Fault,
    /// 0: as many as there are peers.
    pub tries: usize,
    /// Zero: no limit.
    pub timeout: Duration,
}

impl Next {
    /// Whether another peer may be tried after `fault`, `since` the first was turned to; `sent` once something of the request was sent.
    pub(super) fn allows(&self, fault: Fault, method: &[u8], sent: bool, since: Duration) -> bool {
        let repeatable = !sent || !matches!(method, b"POST" | b"LOCK" | b"PATCH");
        let fault = if repeatable { fault } else { fault.or(Fault::NON_IDEMPOTENT) };
        self.faults.0 & fault.0 == fault.0 && (self.timeout.is_zero() || since < self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_again() {
        let zero = Duration::ZERO;
        let next = Next { faults: Fault::ERROR.or(Fault::HTTP_502), tries: 0, timeout: zero };
        assert!(next.allows(Fault::ERROR, b"GET", true, zero));
        assert!(next.allows(Fault::ERROR, b"POST", false, zero));
        assert!(!next.allows(Fault::ERROR, b"POST", true, zero));
        assert!(!next.allows(Fault::TIMEOUT, b"GET", false, zero));
        let next = Next { faults: next.faults.or(Fault::NON_IDEMPOTENT), ..next };
        assert!(next.allows(Fault::HTTP_502, b"PATCH", true, zero));
        let next = Next { timeout: Duration::from_secs(1), ..next };
        assert!(next.allows(Fault::ERROR, b"GET", true, Duration::from_millis(999)));
        assert!(!next.allows(Fault::ERROR, b"GET", true, Duration::from_secs(1)));
    }
}
