//! Long one-way transfers through one connection, plain and TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Instant;

use nix::sys::socket::{MsgFlags, recv};

use crate::Result;
use crate::contender::{Contender, without_splicing};
use crate::stage::{Session, Stage};
use crate::table::{Sample, Table};
use crate::workload::{Bench, rounds};

/// Each round begins with one part in so many that is not measured, until all has grown and settled.
const WARM_UP: u64 = 16;

/// What is written, and read, with one call.
const PIECE: usize = 256 << 10;

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Download,
    Upload,
}

pub fn plain_download(bench: &Bench) -> Result<Table> {
    plain(bench, Direction::Download)
}

pub fn plain_upload(bench: &Bench) -> Result<Table> {
    plain(bench, Direction::Upload)
}

pub fn tls_download(bench: &Bench) -> Result<Table> {
    tls(bench, Direction::Download)
}

pub fn tls_upload(bench: &Bench) -> Result<Table> {
    tls(bench, Direction::Upload)
}

fn plain(bench: &Bench, direction: Direction) -> Result<Table> {
    let bytes = bench.options.bytes;
    let contenders = bench.contenders(|_| true);
    let stage = |contender: &Contender| Stage::set(bench, contender, 1, 100, false);
    let rows = rounds(bench, &contenders, stage, |stage| {
        let Session { mut client, mut backend } = stage.session()?;
        measure(stage, bytes, |bytes| match direction {
            Direction::Download => transfer(bytes, &mut backend, |buffer| discard(&client, buffer)),
            Direction::Upload => transfer(bytes, &mut client, |buffer| discard(&backend, buffer)),
        })
    })?;
    Ok(Table { subject: format!("{:.1} GB a round", bytes as f64 / 1e9), rows })
}

fn tls(bench: &Bench, direction: Direction) -> Result<Table> {
    let bytes = bench.options.bytes / 4;
    let connector = bench.certificate.client()?;
    let contenders = bench.contenders(without_splicing);
    let stage = |contender: &Contender| Stage::set(bench, contender, 1, 100, true);
    let rows = rounds(bench, &contenders, stage, |stage| {
        let mut client = connector.connect(stage.connect(0)?)?;
        let mut backend = stage.accept()?;
        measure(stage, bytes, |bytes| match direction {
            Direction::Download => transfer(bytes, &mut backend, |buffer| Ok(client.read(buffer)?)),
            Direction::Upload => transfer(bytes, &mut client, |buffer| discard(&backend, buffer)),
        })
    })?;
    Ok(Table { subject: format!("{:.1} GB a round, {}", bytes as f64 / 1e9, bench.certificate.kind()), rows })
}

/// Measures a transfer of so many bytes, after a smaller one.
pub fn measure(stage: &Stage, bytes: u64, mut transfer: impl FnMut(u64) -> Result<()>) -> Result<Sample> {
    transfer(bytes / WARM_UP)?;
    let (before, start) = (stage.proxy.cpu_time()?, Instant::now());
    transfer(bytes)?;
    let elapsed = start.elapsed();
    let used = stage.proxy.cpu_time()? - before;
    let gigabytes = bytes as f64 / 1e9;
    Ok(Sample { cost: used.as_secs_f64() / gigabytes, rate: gigabytes / elapsed.as_secs_f64() })
}

/// Sends so many bytes from a thread and returns when as many have been received.
pub fn transfer(
    bytes: u64,
    sender: &mut (impl Write + Send),
    mut receive: impl FnMut(&mut [u8]) -> Result<usize>,
) -> Result<()> {
    thread::scope(|scope| {
        let sending = scope.spawn(move || -> Result<()> {
            let piece = vec![b'x'; PIECE];
            let mut left = bytes as usize;
            while left > 0 {
                let length = left.min(PIECE);
                sender.write_all(&piece[..length])?;
                left -= length;
            }
            Ok(())
        });
        let mut buffer = vec![0; PIECE];
        let mut left = bytes as usize;
        while left > 0 {
            match receive(&mut buffer)? {
                0 => return Err("the transfer ended early".into()),
                received => left -= received,
            }
        }
        sending.join().map_err(|_| "the sender panicked")?
    })
}

/// Receives without copying: with `MSG_TRUNC` TCP drops the bytes in the kernel (tcp(7)), so that the receiver is not what limits the proxy.
pub fn discard(stream: &TcpStream, buffer: &mut [u8]) -> Result<usize> {
    Ok(recv(stream.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC)?)
}
