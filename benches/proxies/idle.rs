//! What a session costs in memory while nothing happens on it.

use std::thread;
use std::time::Duration;

use crate::Result;
use crate::contender::without_splicing;
use crate::stage::Stage;
use crate::table::{Row, Sample, Table};
use crate::workload::Bench;

/// Sessions that are held.
const SESSIONS: usize = 4_000;

/// What a proxy gets to put its memory in order after the last message.
const SETTLING: Duration = Duration::from_millis(300);

/// More rounds than that show nothing new: memory varies little.
const ROUNDS: usize = 3;

pub fn idle(bench: &Bench) -> Result<Table> {
    let contenders = bench.contenders(without_splicing);
    let mut rows: Vec<Row> = contenders.iter().map(Row::of).collect();
    for _ in bench.turns().take(ROUNDS) {
        for row in &mut rows {
            let stage = Stage::set(bench, &row.contender, 1, SESSIONS + 100, false)?;
            // The first session has memory allocated that all share.
            drop(stage.sessions(1)?);
            thread::sleep(SETTLING);
            let before = stage.proxy.private_memory()?;
            let _sessions = stage.sessions(SESSIONS)?;
            thread::sleep(SETTLING);
            let grown = stage.proxy.private_memory()?.saturating_sub(before);
            row.samples.push(Sample { cost: grown as f64 / SESSIONS as f64, rate: 0.0 });
        }
    }
    Ok(Table { subject: format!("{SESSIONS} sessions that have carried a request and its answer"), rows })
}
