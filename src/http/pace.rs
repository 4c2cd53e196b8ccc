//! `limit_rate` and `proxy_limit_rate`: how much may have gone through by when.

use std::time::{Duration, Instant};

use super::response::Response;
use super::variables::{Text, Values};
use crate::conf::value;
use crate::log::Level;

/// A transfer that has gone too fast rests until this part of a second's worth may go, so that it goes in few pieces.
const PART: u64 = 4;
/// The most that it rests for.
const STEP_MAX: u64 = 64 * 1024;

/// A bound for a transfer. As in nginx a second's worth goes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Bytes a second.
    rate: u64,
    /// Bytes before them that nothing is said about.
    free: u64,
    since: Instant,
}

impl Pace {
    /// `rate` bytes a second from `since` on, behind `free` bytes; `None` for a rate of 0, which is no bound.
    pub(super) fn new(rate: u64, free: u64, since: Instant) -> Option<Self> {
        (rate > 0).then_some(Pace { rate, free, since })
    }

    /// How much may go after `gone` bytes: never nothing.
    ///
    /// # Errors
    /// Nothing may: when it is time again.
    pub(super) fn allows(&self, gone: u64, now: Instant) -> Result<u64, Instant> {
        let elapsed = now.saturating_duration_since(self.since) + Duration::from_secs(1);
        let by_now = u128::from(self.rate) * elapsed.as_millis() / 1000 + u128::from(self.free);
        match by_now.checked_sub(u128::from(gone)) {
            Some(more @ 1..) => Ok(u64::try_from(more).unwrap_or(u64::MAX)),
            _ => {
                let step = (self.rate / PART).clamp(1, STEP_MAX);
                let wanted = u128::from(gone.saturating_sub(self.free)) + u128::from(step);
                let after = (wanted * 1000).div_ceil(u128::from(self.rate)).saturating_sub(1000);
                // A bound for rates of a few bytes a second.
                let after = u64::try_from(after).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
                Err((self.since + Duration::from_millis(after)).max(now + Duration::from_millis(1)))
            }
        }
    }
}

/// `limit_rate` and `limit_rate_after` of a location.
#[derive(Clone, Debug, Default)]
pub(super) struct Limit {
    pub rate: Option<Text>,
    pub after: Option<Text>,
}

impl Limit {
    /// The pace of an answer. Its rate is that of the request (`$limit_rate`, `X-Accel-Limit-Rate`), else the location's.
    pub(super) fn pace(&self, values: &Values<'_>, response: &Response) -> Option<Pace> {
        let size = |text: &Option<Text>| {
            let text = values.fill(text.as_ref()?);
            let size = std::str::from_utf8(&text).ok().and_then(value::size);
            if size.is_none() {
                let message = format_args!("invalid size \"{}\"", String::from_utf8_lossy(&text));
                let action = "sending response to client";
                values.client.log(Level::Error, None, action, Some(values.request), message);
            }
            size.map(|size| size as u64)
        };
        let rate = values.request.limit_rate.or_else(|| size(&self.rate)).filter(|_| response.status != 101)?;
        Pace::new(rate, size(&self.after).unwrap_or_default(), values.now)
    }

    /// Whether nothing is said.
    pub(super) fn is_none(&self) -> bool {
        self.rate.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_goes_at_once_and_the_rest_in_its_time() {
        let start = Instant::now();
        let pace = Pace::new(1000, 500, start).unwrap();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(pace.allows(0, start), Ok(1500));
        assert_eq!(pace.allows(1499, start), Ok(1));
        assert_eq!(pace.allows(1500, start), Err(at(250)));
        assert_eq!(pace.allows(1500, at(250)), Ok(250));
        assert_eq!(pace.allows(10_500, at(0)), Err(at(9250)));
        assert_eq!(Pace::new(0, 5, start), None);
        // What is waited for is never less than a byte, and never in the past.
        let slow = Pace::new(1, 0, start).unwrap();
        assert_eq!((slow.allows(1, start), slow.allows(1, at(999))), (Err(at(1000)), Err(at(1000))));
        let fast = Pace::new(u64::MAX, u64::MAX, start).unwrap();
        assert_eq!(fast.allows(0, at(5000)), Ok(u64::MAX));
    }
}
