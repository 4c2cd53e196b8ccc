//! `limit_req` and `limit_conn`: how many requests clients may bring, by keys that are made of variables.
//!
//! [`zone`] is the memory where workers count together, [`requests`] and [`connections`] what is counted there.

mod connections;
pub(super) mod directives;
mod requests;
pub(super) mod zone;

use std::rc::Rc;
use std::time::Duration;

use super::variables::Values;
use crate::conf::{Place, Result};
use crate::log::Level;
use connections::Places;
use zone::{Kind, Zone};

/// One `limit_req`; counts are thousandths of a request.
#[derive(Clone, Debug)]
struct Rate<Z> {
    zone: Z,
    burst: u64,
    /// Past this much requests are delayed.
    delay: u64,
}

/// One `limit_conn`.
#[derive(Clone, Debug)]
struct Most<Z> {
    zone: Z,
    connections: u64,
}

/// The name of a zone, which may be declared later, and where it is used.
type Named = (String, Place);

/// What is done about requests past the limits of one kind.
#[derive(Clone, Copy, Debug)]
struct Manner {
    status: u16,
    level: Level,
    /// They are only told of.
    dry_run: bool,
}

/// What one level says about limits of one kind; `None` where the level above counts.
#[derive(Clone, Debug, Default)]
struct SaidManner {
    status: Option<u16>,
    level: Option<Level>,
    dry_run: Option<bool>,
}

impl SaidManner {
    fn inherit(&mut self, above: &SaidManner) {
        self.status = self.status.or(above.status);
        self.level = self.level.or(above.level);
        self.dry_run = self.dry_run.or(above.dry_run);
    }

    fn settle(&self) -> Manner {
        Manner {
            status: self.status.unwrap_or(503),
            level: self.level.unwrap_or(Level::Error),
            dry_run: self.dry_run.unwrap_or(false),
        }
    }
}

/// What one level says; `None` where the level above counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    rates: Option<Vec<Rate<Named>>>,
    rate_manner: SaidManner,
    mosts: Option<Vec<Most<Named>>>,
    most_manner: SaidManner,
}

impl Said {
    /// Takes from the level above what this one does not say.
    pub(super) fn inherit(&mut self, above: &Said) {
        self.rates = self.rates.take().or_else(|| above.rates.clone());
        self.mosts = self.mosts.take().or_else(|| above.mosts.clone());
        self.rate_manner.inherit(&above.rate_manner);
        self.most_manner.inherit(&above.most_manner);
    }

    /// What it comes to with the zones of the block; `None`: nothing is limited.
    ///
    /// # Errors
    /// A zone is not there.
    pub(super) fn settle(&self, zones: &[Rc<Zone>]) -> Result<Option<Rc<Limits>>> {
        let (mut rates, mut mosts) = (Vec::new(), Vec::new());
        for Rate { zone, burst, delay } in self.rates.iter().flatten() {
            rates.push(Rate {
                zone: zone::find(zones, zone, |kind| *kind != Kind::Connections)?,
                burst: *burst,
                delay: *delay,
            });
        }
        for Most { zone, connections } in self.mosts.iter().flatten() {
            mosts.push(Most {
                zone: zone::find(zones, zone, |kind| *kind == Kind::Connections)?,
                connections: *connections,
            });
        }
        if rates.is_empty() && mosts.is_empty() {
            return Ok(None);
        }
        let (rate_manner, most_manner) = (self.rate_manner.settle(), self.most_manner.settle());
        Ok(Some(Rc::new(Limits { rates, rate_manner, mosts, most_manner })))
    }
}

/// The limits of a location.
#[derive(Debug)]
pub(super) struct Limits {
    rates: Vec<Rate<Rc<Zone>>>,
    rate_manner: Manner,
    mosts: Vec<Most<Rc<Zone>>>,
    most_manner: Manner,
}

/// What limits have made of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    Unasked,
    Passed,
    Delayed,
    Rejected,
    DelayedDryRun,
    RejectedDryRun,
}

impl Status {
    /// `$limit_req_status`, `$limit_conn_status`
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Status::Unasked => None,
            Status::Passed => Some("PASSED"),
            Status::Delayed => Some("DELAYED"),
            Status::Rejected => Some("REJECTED"),
            Status::DelayedDryRun => Some("DELAYED_DRY_RUN"),
            Status::RejectedDryRun => Some("REJECTED_DRY_RUN"),
        }
    }
}

/// How a request stands with limits; its places among the connections are given back when this is dropped.
#[derive(Default)]
pub(super) struct Standing {
    pub requests: Status,
    pub connections: Status,
    places: Places,
}

/// What is to be done with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Limited {
    Through,
    /// It is asked about again after this time.
    Delayed(Duration),
    /// It is answered with this status.
    Refused(u16),
}

impl Limits {
    /// Counts a request, once, and says whether it may go on. The second time it is only asked what was left out.
    pub(super) fn check(&self, values: &Values<'_>, standing: &mut Standing) -> Limited {
        if standing.requests == Status::Unasked {
            match self.check_rates(values, &mut standing.requests) {
                Limited::Through => {}
                limited => return limited,
            }
        }
        if standing.connections == Status::Unasked {
            return self.check_connections(values, standing);
        }
        Limited::Through
    }
}

/// The key of a zone for a request; `None`: the request is not counted.
fn key_of(values: &Values<'_>, zone: &Zone, longest: usize) -> Option<Vec<u8>> {
    let key = values.fill(&zone.key);
    if key.len() > longest {
        let (name, key) = (&zone.key_text, String::from_utf8_lossy(&key));
        let message = format_args!("the value of the \"{name}\" key is more than {longest} bytes: \"{key}\"");
        values.client.log(Level::Error, None, "", Some(values.request), message);
        return None;
    }
    Some(key).filter(|key| !key.is_empty())
}
