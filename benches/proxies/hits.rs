//! How long clients wait for answers that are kept, also while others have the cache filled.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::gettid;

use crate::Result;
use crate::bulk::discard;
use crate::configuration::{Http, Kept};
use crate::http::has_files;
use crate::stage::Stage;
use crate::table::{Row, Sample, Table, median};
use crate::workload::Bench;

/// Hits are asked for one after the other, so often.
pub const EVERY: Duration = Duration::from_millis(1);

/// How many in a round.
const HITS: usize = 3000;

/// What is asked for again and again: so many answers, of so many bytes.
const KEPT: usize = 100;
const LENGTH: usize = 4096;

/// Those who fill the cache: how many clients, the bytes of what each asks for, and how often. 160 MB/s in large answers and 1000 small ones
/// a second.
const FILLERS: [(usize, usize, Duration); 2] =
    [(2, 4 << 20, Duration::from_millis(50)), (4, 8 << 10, Duration::from_millis(4))];

/// What the cache may hold, so that there is much to give up too.
const CACHE: &str = "keys_zone=kept:20m levels=1:2 max_size=256m;\n    add_header X-Cache $upstream_cache_status";

/// Times, in microseconds, in their order.
pub struct Latencies(Vec<f64>);

impl Latencies {
    pub fn new(mut times: Vec<f64>) -> Latencies {
        times.sort_by(f64::total_cmp);
        Latencies(times)
    }

    /// What so many of a thousand do not exceed.
    pub fn at(&self, thousandth: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((self.0.len() * thousandth / 1000).min(last)).copied().unwrap_or(f64::NAN)
    }
}

/// The rounds of a contender in words: the middle of each figure.
pub fn note(rounds: &[Latencies]) -> String {
    let of = |thousandth| median(rounds.iter().map(|round| round.at(thousandth)).collect());
    format!("p50 {:.0}, p99 {:.0}, p99.9 {:.0}, most {:.0} us", of(500), of(990), of(999), of(1000))
}

pub fn quiet(bench: &Bench) -> Result<Table> {
    hits(bench, false)
}

pub fn filling(bench: &Bench) -> Result<Table> {
    hits(bench, true)
}

fn hits(bench: &Bench, filling: bool) -> Result<Table> {
    let kept = Kept { folder: None, parameters: CACHE };
    let http = Http { buffered: true, kept: Some(kept), ..Http::PASS };
    let mut stages = Vec::new();
    for contender in bench.contenders(has_files) {
        let stage = Stage::set_http(bench, &contender, &http, false)?;
        stages.push((Row::of(&contender), stage, Vec::new(), AtomicU64::new(0)));
    }
    for _ in bench.turns() {
        for (row, stage, rounds, number) in &mut stages {
            let (times, filled) = round(stage, number, filling)
                .map_err(|failure| format!("{}: {failure}\n{}", row.contender.name, stage.proxy.logs()))?;
            row.samples.push(Sample { cost: times.at(990), rate: filled });
            rounds.push(times);
        }
    }
    let finish = |(mut row, _, rounds, _): (Row, Stage, Vec<Latencies>, AtomicU64)| {
        let rate = median(row.samples.iter().map(|sample| sample.rate).collect());
        row.note = Some(note(&rounds) + &if filling { format!(", {rate:.0} MB/s kept") } else { String::new() });
        row
    };
    let subject = format!("{HITS} hits of {LENGTH} bytes a round, one each ms");
    Ok(Table { subject, rows: stages.into_iter().map(finish).collect() })
}

/// Times of hits, and how many MB a second went into the cache meanwhile; `number` counts what has been asked for to fill it.
fn round(stage: &Stage, number: &AtomicU64, filling: bool) -> Result<(Latencies, f64)> {
    let filled = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let started = Instant::now();
    let times = beside_servers(&stage.backends[0], |stop| {
        thread::scope(|scope| {
            for (count, length, every) in FILLERS.into_iter().filter(|_| filling) {
                for _ in 0..count {
                    let (filled, failures) = (&filled, &failures);
                    scope.spawn(move || {
                        if let Err(failure) = fill(stage, number, length, every, stop, filled) {
                            failures.lock().unwrap().push(failure.to_string());
                        }
                    });
                }
            }
            let times = stage.connect(0).and_then(|mut client| {
                // Before the first hits there are none.
                (0..KEPT).try_for_each(|number| ask(&mut client, LENGTH, number as u64, false))?;
                steadily(&mut client, HITS, LENGTH, |hit| (hit % KEPT) as u64)
            });
            stop.store(true, Relaxed);
            times
        })
    })?;
    if let Some(failure) = failures.lock().unwrap().first() {
        return Err(failure.clone().into());
    }
    Ok((Latencies::new(times), filled.load(Relaxed) as f64 / 1e6 / started.elapsed().as_secs_f64()))
}

/// Asks so many times, at a steady rate, for what is kept already; gives the times until the answers were there.
pub fn steadily(
    client: &mut TcpStream,
    count: usize,
    length: usize,
    path: impl Fn(usize) -> u64 + Send,
) -> Result<Vec<f64>> {
    thread::scope(|scope| {
        scope.spawn(|| measured(client, count, length, path)).join().map_err(|_| "the client panicked")?
    })
}

/// The same, in a thread that goes before the others of its core, where that is allowed.
fn measured(client: &mut TcpStream, count: usize, length: usize, path: impl Fn(usize) -> u64) -> Result<Vec<f64>> {
    let _ = Command::new("chrt").args(["-f", "-p", "20", &gettid().to_string()]).output();
    let mut times = Vec::with_capacity(count);
    let start = Instant::now();
    for hit in 0..count {
        let due = start + EVERY * hit as u32;
        // One that has to wait for the answer before it counts from when it was due.
        let begins = match due.checked_duration_since(Instant::now()) {
            Some(left) => {
                thread::sleep(left);
                Instant::now()
            }
            None => due,
        };
        ask(client, length, path(hit), true)?;
        times.push(begins.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

/// Has new answers of `length` bytes kept, at a steady rate.
fn fill(
    stage: &Stage,
    number: &AtomicU64,
    length: usize,
    every: Duration,
    stop: &AtomicBool,
    filled: &AtomicU64,
) -> Result<()> {
    let mut client = stage.connect(0)?;
    let mut due = Instant::now();
    while !stop.load(Relaxed) {
        ask(&mut client, length, number.fetch_add(1, Relaxed), false)?;
        filled.fetch_add(length as u64, Relaxed);
        // What comes too late is not made up for.
        due = (due + every).max(Instant::now());
        thread::sleep(due - Instant::now());
    }
    Ok(())
}

/// Asks for the answer of that length and number, and takes all of it. It must have been kept already, or nothing is said of that.
pub fn ask(client: &mut TcpStream, length: usize, number: u64, hit: bool) -> Result<()> {
    write!(client, "GET /{length}/{number} HTTP/1.1\r\nHost: bench.test\r\n\r\n")?;
    let mut buffer = [0; 8192];
    let mut received = 0;
    let end = loop {
        received += match client.read(&mut buffer[received..])? {
            0 => return Err("the proxy has ended a connection".into()),
            count => count,
        };
        if let Some(end) = buffer[..received].windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = &buffer[..end];
    let is_hit = head.windows(12).any(|field| field.eq_ignore_ascii_case(b"X-Cache: HIT"));
    if !head.starts_with(b"HTTP/1.1 200") || hit && !is_hit {
        return Err(format!("an answer of another kind: {}", head.escape_ascii()).into());
    }
    let mut left = length - (received - end);
    let mut rest = vec![0; left.min(1 << 20)];
    while left > 0 {
        let most = left.min(rest.len());
        match discard(client, &mut rest[..most])? {
            0 => return Err("the answer ended early".into()),
            count => left -= count,
        }
    }
    Ok(())
}

/// Runs `act` while servers behind answer requests with as many bytes as their path says, until its flag is set.
pub fn beside_servers<T>(listener: &TcpListener, act: impl FnOnce(&AtomicBool) -> Result<T>) -> Result<T> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let accepting = &stop;
        scope.spawn(move || {
            while !accepting.load(Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => drop(scope.spawn(move || serve(stream, accepting))),
                    Err(_) => thread::sleep(EVERY),
                }
            }
        });
        let done = act(&stop);
        stop.store(true, Relaxed);
        done
    })
}

/// Answers the requests of one connection, until it ends or nobody needs it any more.
fn serve(mut stream: TcpStream, stop: &AtomicBool) -> Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let body = vec![b'x'; 4 << 20];
    let mut request = [0; 4096];
    while !stop.load(Relaxed) {
        let count = match stream.read(&mut request) {
            Ok(0) => break,
            Ok(count) => count,
            Err(_) => continue,
        };
        let text = String::from_utf8_lossy(&request[..count]);
        let length: usize = text.split('/').nth(1).and_then(|length| length.parse().ok()).ok_or("a path")?;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")?;
        stream.write_all(&body[..length])?;
    }
    Ok(())
}
