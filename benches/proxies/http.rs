//! Requests of HTTP: small ones, long answers, files.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::bulk::{discard, measure as measure_bulk, transfer};
use crate::configuration::{Http, Kept};
use crate::contender::{Contender, Kind, without_splicing};
use crate::http_ends::{BODY, Ends, Requests};
use crate::stage::Stage;
use crate::table::{Sample, Table};
use crate::workload::{Bench, rounds};
use crate::{Failure, Result};

/// Each round begins with one request in so many that is not measured.
const WARM_UP: usize = 10;

/// What clients ask for, with some fields that clients do send; the place of the path comes first.
const FIELDS: &str = "Host: bench.test\r\nUser-Agent: bench/1.0\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n\
                      Accept-Language: en\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n";

/// Bytes of a small file.
const SMALL_FILE: usize = 4096;

/// Bytes of a large file, and how often it is asked for in a GB: files are in memory already, as pages of the cache.
const LARGE_FILE: usize = 125_000_000;

pub fn small(bench: &Bench) -> Result<Table> {
    passed_on(bench, "requests on 32 connections", without_splicing, Http::PASS, false, false)
}

pub fn logged(bench: &Bench) -> Result<Table> {
    let http = Http { log: true, ..Http::PASS };
    passed_on(bench, "requests on 32 connections, the log in a buffer of 64k", has_files, http, false, false)
}

pub fn close(bench: &Bench) -> Result<Table> {
    passed_on(bench, "connections, 32 at a time", without_splicing, Http::PASS, true, false)
}

pub fn tls(bench: &Bench) -> Result<Table> {
    let what = format!("requests on 32 connections, {}", bench.certificate.kind());
    passed_on(bench, &what, without_splicing, Http::PASS, false, true)
}

/// Small answers of a server behind, which all proxies keep connections to.
fn passed_on(
    bench: &Bench,
    what: &str,
    takes_part: fn(&Contender) -> bool,
    http: Http,
    close: bool,
    tls: bool,
) -> Result<Table> {
    let count = bench.options.requests / if close { 4 } else { 2 };
    let requests = Requests { text: request("/small", close), length: BODY, close, tls };
    let rows = rounds(
        bench,
        &bench.contenders(takes_part),
        |contender| begin(bench, contender, &http, &requests),
        |(stage, ends)| measure(stage, ends, count),
    )?;
    Ok(Table { subject: format!("{count} {what}, {} bytes of body", BODY), rows })
}

pub fn hit(bench: &Bench) -> Result<Table> {
    let kept = Kept { folder: None, parameters: "keys_zone=kept:1m" };
    let http = Http { buffered: true, kept: Some(kept), ..Http::PASS };
    passed_on(bench, "requests on 32 connections for one that is in the cache", has_files, http, false, false)
}

pub fn small_file(bench: &Bench) -> Result<Table> {
    let root = file(bench, "small", SMALL_FILE)?;
    let count = bench.options.requests / 2;
    let http = Http { root: Some(root), ..Http::PASS };
    let requests = Requests { text: request("/small", false), length: SMALL_FILE, close: false, tls: false };
    let rows = rounds(
        bench,
        &bench.contenders(has_files),
        |contender| begin(bench, contender, &http, &requests),
        |(stage, ends)| measure(stage, ends, count),
    )?;
    Ok(Table { subject: format!("{count} requests on 32 connections, {SMALL_FILE} bytes"), rows })
}

pub fn large_file(bench: &Bench) -> Result<Table> {
    let root = file(bench, "large", LARGE_FILE)?;
    let http = Http { root: Some(root), ..Http::PASS };
    let bytes = bench.options.bytes / 2;
    let rows = rounds(
        bench,
        &bench.contenders(has_files),
        |contender| Stage::set_http(bench, contender, &http, false),
        |stage| {
            let mut client = stage.connect(0)?;
            measure_bulk(stage, bytes, |bytes| {
                for _ in 0..bytes.div_ceil(LARGE_FILE as u64) {
                    client.write_all(&request("/large", false))?;
                    skip_head(&mut client)?;
                    receive(&client, LARGE_FILE)?;
                }
                Ok(())
            })
        },
    )?;
    Ok(Table { subject: format!("{:.1} GB a round, files of {LARGE_FILE} bytes", bytes as f64 / 1e9), rows })
}

pub fn buffered(bench: &Bench) -> Result<Table> {
    download(bench, has_files, Http { buffered: true, ..Http::PASS })
}

pub fn unbuffered(bench: &Bench) -> Result<Table> {
    download(bench, Contender::is_proxy, Http::PASS)
}

/// One long answer of a server behind. A GiB, as in the unit's gigabytes it is a round number for nobody.
fn download(bench: &Bench, takes_part: fn(&Contender) -> bool, http: Http) -> Result<Table> {
    let bytes = bench.options.bytes / 2;
    let rows = rounds(
        bench,
        &bench.contenders(takes_part),
        |contender| Stage::set_http(bench, contender, &http, false),
        |stage| {
            measure_bulk(stage, bytes, |bytes| {
                let mut client = stage.connect(0)?;
                client.write_all(&request("/long", true))?;
                let mut backend = stage.accept()?;
                skip_head(&mut backend)?;
                write!(backend, "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n")?;
                // The head may wait for some of the body.
                let mut begun = false;
                transfer(bytes, &mut backend, |buffer| {
                    if !std::mem::replace(&mut begun, true) {
                        skip_head(&mut client)?;
                    }
                    discard(&client, buffer)
                })
            })
        },
    )?;
    Ok(Table { subject: format!("{:.1} GB a round", bytes as f64 / 1e9), rows })
}

/// nginx and weir, which have files of their own and the same directives.
pub fn has_files(contender: &Contender) -> bool {
    contender.is_weir() || contender.kind == Kind::Nginx
}

fn begin(bench: &Bench, contender: &Contender, http: &Http, requests: &Requests) -> Result<(Stage, Ends)> {
    let stage = Stage::set_http(bench, contender, http, requests.tls)?;
    let ends = Ends::new(&stage, requests.clone(), &bench.certificate, bench.options.nap())?;
    Ok((stage, ends))
}

/// Measures so many requests, after fewer.
fn measure(stage: &Stage, ends: &mut Ends, count: usize) -> Result<Sample> {
    ends.exchange(stage, count / WARM_UP)?;
    let (before, start) = (stage.proxy.cpu_time()?, Instant::now());
    ends.exchange(stage, count)?;
    let elapsed = start.elapsed();
    let used = stage.proxy.cpu_time()? - before;
    Ok(Sample { cost: used.as_secs_f64() * 1e6 / count as f64, rate: count as f64 / elapsed.as_secs_f64() })
}

fn request(path: &str, close: bool) -> Vec<u8> {
    let connection = if close { "Connection: close\r\n" } else { "" };
    format!("GET {path} HTTP/1.1\r\n{FIELDS}{connection}\r\n").into_bytes()
}

/// A file that the workers can read.
fn file(bench: &Bench, name: &str, length: usize) -> Result<PathBuf> {
    let root: &Path = bench.folder.path();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    fs::write(root.join(name), vec![b'x'; length])?;
    Ok(root.to_path_buf())
}

/// Reads a head and no byte more.
fn skip_head(stream: &mut TcpStream) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(())
}

fn receive(stream: &TcpStream, length: usize) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut left = length;
    while left > 0 {
        let most = left.min(buffer.len());
        match discard(stream, &mut buffer[..most])? {
            0 => return Err(Failure::from("the answer ended early")),
            received => left -= received,
        }
    }
    Ok(())
}
