//! A start with a cache that is full: how soon it serves, and what it costs to find all that is there.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::configuration::{Http, Kept};
use crate::contender::Contender;
use crate::hits::{Latencies, ask, beside_servers, steadily};
use crate::http::has_files;
use crate::stage::Stage;
use crate::table::{Row, Sample, Table};
use crate::workload::Bench;

/// Bytes of an answer, a block of the disk with its head.
const LENGTH: usize = 1024;

/// Clients that fill the cache.
const CLIENTS: usize = 8;

/// Answers that are asked for before the loader begins, and at a time while it is at work.
const FIRST: usize = 2000;
const BATCH: usize = 500;

/// How long a loader rests before it begins: nginx's time, and weir's.
const DELAY: Duration = Duration::from_secs(60);

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub fn cold(bench: &Bench) -> Result<Table> {
    let count = bench.options.files;
    let contenders = bench.contenders(has_files);
    contenders.iter().try_for_each(|contender| fill(bench, contender, count))?;
    // Side by side, as they sleep most of the time.
    let rows = thread::scope(|scope| {
        let start = |contender| scope.spawn(move || start(bench, contender, count));
        let running: Vec<_> = contenders.iter().map(start).collect();
        running.into_iter().map(|row| row.join().map_err(|_| "a client panicked")?).collect::<Result<Vec<Row>>>()
    })?;
    Ok(Table { subject: format!("{count} files of {LENGTH} bytes; hits while they are found, one each ms"), rows })
}

fn service(bench: &Bench, contender: &Contender) -> Http {
    let folder = bench.folder.path().join(format!("kept-by-{}", contender.name));
    let parameters = "keys_zone=kept:40m levels=1:2 inactive=1d;\n    add_header X-Cache $upstream_cache_status";
    Http { buffered: true, kept: Some(Kept { folder: Some(folder), parameters }), ..Http::PASS }
}

/// Has so many answers kept, and ends the proxy.
fn fill(bench: &Bench, contender: &Contender, count: usize) -> Result<()> {
    let stage = Stage::set_http(bench, contender, &service(bench, contender), false)?;
    let next = AtomicU64::new(0);
    let client = || -> Result<()> {
        let mut client = stage.connect(0)?;
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= count as u64 {
                return Ok(());
            }
            ask(&mut client, LENGTH, number, false)?;
        }
    };
    beside_servers(&stage.backends[0], |_| {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
            clients.into_iter().try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
        })
    })
}

/// Starts it anew, asks while it finds what is there, and tells how that went.
fn start(bench: &Bench, contender: &Contender, count: usize) -> Result<Row> {
    let begun = Instant::now();
    let stage = Stage::set_http(bench, contender, &service(bench, contender), false)?;
    let mut client = stage.connect(0)?;
    ask(&mut client, LENGTH, 0, true)?;
    let first = begun.elapsed();
    // Primes to the number of files lead to one after the other, in no order.
    let path = |hit: usize| (hit * 7919 % count) as u64;
    let unknown = Latencies::new(steadily(&mut client, FIRST, LENGTH, path)?);
    let (mut times, mut used, mut memory) = (Vec::new(), Duration::ZERO, 0);
    let mut loading = Duration::ZERO;
    let mut asked = FIRST;
    while let Some(loader) = stage.proxy.process("cache loader process")? {
        if begun.elapsed() < DELAY {
            thread::sleep(Duration::from_millis(100));
            continue;
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{}: its loader does not end", contender.name).into());
        }
        (used, memory) = (loader.time, loader.memory);
        times.extend(steadily(&mut client, BATCH, LENGTH, |hit| path(asked + hit))?);
        asked += BATCH;
        loading = begun.elapsed().saturating_sub(DELAY);
    }
    let times = Latencies::new(times);
    let mut row = Row::of(contender);
    row.samples.push(Sample { cost: times.at(990), rate: f64::NAN });
    row.note = Some(format!(
        "first answer after {:.0} ms; the first {FIRST} hits: p50 {:.0}, p99 {:.0} us; loaded in {:.1} s with {:.2} s of CPU and {:.1} MB; hits meanwhile: p50 {:.0}, p99.9 {:.0} us",
        first.as_secs_f64() * 1e3,
        unknown.at(500),
        unknown.at(990),
        loading.as_secs_f64(),
        used.as_secs_f64(),
        memory as f64 / 1e6,
        times.at(500),
        times.at(999),
    ));
    Ok(row)
}
