//! Whether a session costs more among very many.

use nix::sys::resource::{Resource, getrlimit};

use crate::Result;
use crate::contender::without_splicing;
use crate::ping_pong::{Ends, measure};
use crate::stage::Stage;
use crate::table::{Row, Sample, Table, median};
use crate::workload::Bench;

/// Descriptors that are left for other things, in the proxies and here.
const SPARE_DESCRIPTORS: u64 = 600;

/// Sessions that a proxy is ready for beyond those held, so that it is not its limit that is measured.
const SPARE_SESSIONS: usize = 100;

/// The one active session makes one request for so many that ping-pong makes, as it waits for each answer.
const REQUESTS: usize = 5;

/// Servers, each of which a proxy has 28,000 ports for.
const SERVERS: usize = 4;

pub fn scale(bench: &Bench) -> Result<Table> {
    let wanted = bench.options.sessions;
    // Two a session in the proxy, and two a session in this process.
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let sessions = wanted.min((limit.saturating_sub(SPARE_DESCRIPTORS) / 2) as usize);
    let mut rows: Vec<Row> = bench.contenders(without_splicing).iter().map(Row::of).collect();
    for row in &mut rows {
        fill(bench, row, sessions).map_err(|failure| format!("{}: {failure}", row.contender.name))?;
    }
    let fewer = if sessions < wanted {
        format!(" instead of {wanted}, as many as {limit} descriptors allow")
    } else {
        String::new()
    };
    Ok(Table { subject: format!("{sessions} sessions{fewer}"), rows })
}

/// Measures one contender, twice at once: with one session, and with one among so many.
fn fill(bench: &Bench, row: &mut Row, sessions: usize) -> Result<()> {
    let requests = bench.options.requests / REQUESTS;
    let stage = || Stage::set(bench, &row.contender, SERVERS, sessions + SPARE_SESSIONS, false);
    let (alone, among) = (stage()?, stage()?);
    let _waiting = among.sessions(sessions - 1)?;
    let mut alone_ends = Ends::new(vec![alone.session()?], bench.options.nap())?;
    let mut among_ends = Ends::new(vec![among.session()?], bench.options.nap())?;
    let (mut costs_alone, mut costs_among) = (Vec::new(), Vec::new());
    for _ in bench.turns() {
        let one = measure(&alone, &mut alone_ends, requests)?;
        let other = measure(&among, &mut among_ends, requests)?;
        row.samples.push(Sample { cost: other.cost / one.cost, rate: 0.0 });
        costs_alone.push(one.cost);
        costs_among.push(other.cost);
    }
    row.note = Some(format!("{:.2} us alone, {:.2} us among them", median(costs_alone), median(costs_among)));
    Ok(())
}
