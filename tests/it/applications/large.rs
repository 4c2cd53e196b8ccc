//! Large bodies by curl, both ways: they arrive whole, and cost weir neither memory nor disk beyond what is configured.
//! The environment variable `WEIR_LARGE_MIB` says how large.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::common::wait::StopOnDrop;
use crate::proxy::read_head;

const MIB: u64 = 1 << 20;

/// The size of a body in MiB.
fn size() -> u64 {
    std::env::var("WEIR_LARGE_MIB").map_or(256, |text| text.parse().unwrap())
}

/// A MiB of a body: its number, and zeros, which a file need not hold.
fn block(number: u64) -> Vec<u8> {
    let mut block = vec![0; MIB as usize];
    block[..8].copy_from_slice(&(number + 1).to_be_bytes());
    block
}

/// Reads a body of so many blocks and nothing after it.
fn read_blocks(mut stream: impl Read, count: u64) -> Result<(), String> {
    let mut bytes = vec![0; MIB as usize];
    for number in 0..count {
        stream.read_exact(&mut bytes).map_err(|error| format!("block {number}: {error}"))?;
        if bytes != block(number) {
            return Err(format!("block {number} is another"));
        }
    }
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        other => Err(format!("after the end: {other:?}")),
    }
}

/// What comes in chunks, without their framing.
struct Chunks<R> {
    stream: R,
    left: usize,
    ended: bool,
}

impl<R: Read> Chunks<R> {
    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            self.stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8(line).unwrap().trim().to_owned())
    }
}

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        if self.left == 0 {
            let size = self.line()?;
            self.left = usize::from_str_radix(&size, 16).map_err(|_| std::io::Error::other(size))?;
        }
        if self.left == 0 {
            self.ended = true;
            return self.line().map(|_| 0);
        }
        let most = self.left.min(bytes.len());
        let count = self.stream.read(&mut bytes[..most])?;
        self.left -= count;
        if self.left == 0 {
            self.line()?;
        }
        Ok(count)
    }
}

/// Serves a body to `GET`, and reads one of any other request; its answer says whether all was well.
fn server() -> Backend {
    Backend::start(|mut stream: TcpStream| {
        let count = size();
        let Some(head) = read_head(&mut stream) else { return };
        if head.starts_with("GET") {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", count * MIB);
            for number in 0..count {
                if stream.write_all(&block(number)).is_err() {
                    return;
                }
            }
            return;
        }
        let reader = BufReader::with_capacity(65536, stream.try_clone().unwrap());
        let outcome = if head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked\r\n") {
            read_blocks(Chunks { stream: reader, left: 0, ended: false }, count)
        } else {
            read_blocks(reader.take(count * MIB), count)
        };
        let text = outcome.err().unwrap_or_else(|| "whole".into());
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    })
}

/// The disk that files hold which a process has open and nobody can find any more, in bytes.
fn nameless_files(pid: i32) -> u64 {
    let Ok(folder) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let metadata = folder.flatten().filter_map(|entry| fs::metadata(entry.path()).ok());
    metadata.filter(|file| file.is_file() && file.nlink() == 0).map(|file| file.blocks() * 512).sum()
}

/// The most that weir has held on disk while `work` was done, and how far its memory has grown at most.
fn cost(site: &Site, work: impl FnOnce()) -> (u64, u64) {
    let worker = site.weir.worker();
    let memory = || proc::kilobytes(worker, "VmHWM").unwrap() * 1024;
    let before = proc::kilobytes(worker, "VmRSS").unwrap() * 1024;
    let over = AtomicBool::new(false);
    let disk = thread::scope(|scope| {
        let _stop = StopOnDrop(&over);
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::SeqCst) {
                most = most.max(nameless_files(worker));
                thread::sleep(Duration::from_millis(2));
            }
            most
        });
        work();
        over.store(true, Ordering::SeqCst);
        watch.join().unwrap()
    });
    wait_for("the disk to be given back", || nameless_files(worker) == 0);
    let grown = memory().saturating_sub(before);
    println!("{} MiB: {} KiB of disk at most, {} KiB of memory more at most", size(), disk / 1024, grown / 1024);
    assert!(grown < 8 * MIB, "{grown} bytes of memory more");
    (disk, grown)
}

/// A weir before [`server`] with this inside of its location.
fn site(backend: &Backend, text: &str) -> Site {
    let server = format!(
        "client_max_body_size 0; location / {{ proxy_pass http://{}; proxy_http_version 1.1; {text} }}",
        backend.address
    );
    Site::start("", &server)
}

/// Reads what curl prints, as fast as can be or with a start that is late.
fn download(url: &str, late: impl FnOnce()) {
    let mut client = curl(&[url]).stdout(Stdio::piped()).spawn().unwrap();
    late();
    read_blocks(client.stdout.take().unwrap(), size()).unwrap();
    assert!(client.wait().unwrap().success());
}

#[test]
fn a_download_that_is_buffered() {
    if !proc::shows_descriptors() {
        return;
    }
    let backend = server();
    let site = site(&backend, "proxy_max_temp_file_size 32m;");
    let worker = site.weir.worker();
    for url in site.urls("/") {
        let (disk, _) = cost(&site, || {
            // The client reads only when the file is as full as it may be.
            download(&url, || wait_for("the file", || nameless_files(worker) >= 32 * MIB));
        });
        assert!(disk < 34 * MIB, "{disk} bytes in files");
    }
    site.assert_no_errors();
}

#[test]
fn a_download_that_is_not_buffered() {
    let backend = server();
    let site = site(&backend, "proxy_buffering off;");
    for url in site.urls("/") {
        let (disk, _) = cost(&site, || download(&url, || {}));
        assert_eq!(disk, 0);
    }
    site.assert_no_errors();
}

/// A file with a body in it, most of it holes.
fn body(site: &Site) -> String {
    let file = File::create(site.weir.prefix.join("body")).unwrap();
    for number in 0..size() {
        file.write_all_at(&(number + 1).to_be_bytes(), number * MIB).unwrap();
    }
    file.set_len(size() * MIB).unwrap();
    site.weir.prefix.text_path("body")
}

fn upload(site: &Site, file: &str, url: &str) -> (u64, u64) {
    cost(site, || {
        for field in ["X: y", "Transfer-Encoding: chunked"] {
            assert_eq!(output(&mut curl(&["-T", file, "-H", field, url])), "whole", "{field}");
        }
    })
}

#[test]
fn an_upload_that_is_buffered() {
    let backend = server();
    let site = site(&backend, "");
    let file = body(&site);
    for url in site.urls("/") {
        let (disk, _) = upload(&site, &file, &url);
        assert!(disk <= (size() + 1) * MIB, "{disk} bytes in files");
    }
    site.assert_no_errors();
}

#[test]
fn an_upload_that_is_not_buffered() {
    let backend = server();
    let site = site(&backend, "proxy_request_buffering off;");
    let file = body(&site);
    for url in site.urls("/") {
        let (disk, _) = upload(&site, &file, &url);
        assert_eq!(disk, 0);
    }
    site.assert_no_errors();
}
