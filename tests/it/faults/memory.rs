//! Not enough memory.

use std::io::Write;
use std::net::TcpStream;

use super::{Plan, SAME_USER};
use crate::common::running::send;
use crate::common::*;
use crate::tls::certs::Identity;

const MIB: u64 = 1 << 20;

/// A server whose TLS sessions are in a zone of so many megabytes.
fn with_zone(port: &Port, megabytes: u64) -> Setup {
    Setup::tcp(format!(
        "server {{ listen {} ssl; ssl_certificate server.pem; ssl_certificate_key server.key;
         ssl_session_cache shared:zone:{megabytes}m; return hi; }}",
        port.v4()
    ))
}

#[test]
fn for_a_zone_at_the_start() {
    let port = Port::reserve();
    let prefix = Prefix::new();
    Identity::alone().write(&prefix, "server");
    prefix.write("nginx.conf", with_zone(&port, 900).text());
    let weir = prefix.command(&[]);
    let mut limited = std::process::Command::new("prlimit");
    limited.arg(format!("--as={}", 500 * MIB)).arg(weir.get_program()).args(weir.get_args());
    limited.current_dir(prefix.join("")).stderr(std::fs::File::create(prefix.join("stderr")).unwrap());
    let run = prefix.finish(limited);
    assert_eq!(run.status.code(), Some(1));
    assert!(
        run.stderr.contains("[emerg]") && run.stderr.contains("failed (12: Cannot allocate memory)"),
        "{}",
        run.stderr
    );
    assert!(!prefix.join("weir.pid").exists());
}

#[test]
fn for_a_zone_at_a_reload() {
    let (port, echo) = (Port::reserve(), Backend::start(backends::echo));
    let prefix = Prefix::new();
    Identity::alone().write(&prefix, "server");
    let weir = Setup::proxy(port.v4(), echo.address).start_in(prefix);
    let (master, worker) = (weir.master(), weir.worker());
    let mut live = connect(port.v4());
    assert_eq!(ask(&mut live, b"a"), b"a");
    proc::limit(master, "as", proc::address_space(master) + 300 * MIB);
    let other = Port::reserve();
    weir.prefix.write("nginx.conf", with_zone(&other, 900).text());
    weir.signal(Signal::SIGHUP);
    let line = weir.wait_error("failed (12: Cannot allocate memory)");
    assert!(line.contains(" [emerg] ") && line.contains("mmap()"), "{line}");
    assert_eq!(ask(&mut live, b"b"), b"b");
    assert_eq!(ask(connect(port.v4()), b"c"), b"c");
    assert_eq!((weir.master(), weir.worker()), (master, worker));
    // One that fits.
    weir.reload(&with_zone(&other, 100));
    assert_eq!(ask(&mut live, b"d"), b"d");
}

#[test]
fn in_a_worker() {
    // Sessions that are stalled cost memory: the worker ends with a word about it, and is replaced; sessions of the other one go on.
    let backend = Backend::start(|mut stream: TcpStream| {
        let mut kind = [0];
        if std::io::Read::read_exact(&mut stream, &mut kind).is_err() || stream.write_all(&kind).is_err() {
            return;
        }
        if kind == *b"*" { while stream.write_all(&[b'*'; 65536]).is_ok() {} } else { backends::echo(stream) }
    });
    let server = "proxy_buffer 64k; timeout 1h; proxy_read_timeout 1h; proxy_send_timeout 1h;";
    let plan = Plan::new(&format!("server {};", backend.address), server).workers(2).main(SAME_USER);
    let bench = plan.start();
    let [poor, other] = bench.weir.workers()[..] else { panic!() };
    send(poor, Signal::SIGSTOP);
    let mut good: Vec<TcpStream> = (0..3).map(|_| bench.good_client()).collect();
    send(poor, Signal::SIGCONT);
    let stalled = bench.starve(poor, other, b"*");
    for stream in &mut good {
        assert_eq!(ask(stream, b"on"), b"on");
    }
    let workers = bench.weir.wait_workers(2);
    assert!(workers.contains(&other) && !workers.contains(&poor));
    // Those who came to the queue too late for the dead one are served by the others.
    drop(stalled);
    bench.wait_busy(&[3]);
    good.push(bench.good_client());
    bench.wait_busy(&[4]);
    drop(good);
    bench.settle();
}
