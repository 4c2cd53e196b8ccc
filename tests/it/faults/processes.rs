//! Processes that are killed.

use std::net::TcpStream;

use super::{Bench, Plan};
use crate::common::clients::{is_quiet, try_connect};
use crate::common::running::send;
use crate::common::*;

/// Opens sessions that go to this one of two workers.
fn sessions_of(worker: i32, bench: &Bench, count: usize) -> Vec<TcpStream> {
    let others: Vec<i32> = bench.weir.workers().into_iter().filter(|&pid| pid != worker).collect();
    others.iter().for_each(|&pid| send(pid, Signal::SIGSTOP));
    let sessions = (0..count).map(|_| bench.good_client()).collect();
    others.iter().for_each(|&pid| send(pid, Signal::SIGCONT));
    sessions
}

#[test]
fn a_worker() {
    let echo = Backend::start(backends::echo);
    let bench = Plan::new(&format!("server {} max_busy=5;", echo.address), "").workers(2).start();
    let [a, b] = bench.weir.workers()[..] else { panic!() };
    let lost = sessions_of(a, &bench, 2);
    let mut kept = sessions_of(b, &bench, 3);
    bench.wait_busy(&[5]);
    send(a, Signal::SIGKILL);
    let line = bench.weir.wait_error(&format!("worker process {a} exited on signal 9"));
    assert!(line.contains(" [alert] "), "{line}");
    assert!(lost.iter().all(is_closed));
    bench.wait_busy(&[3]);
    let workers = bench.weir.wait_workers(2);
    assert!(workers.contains(&b) && !workers.contains(&a));
    for stream in &mut kept {
        assert!(is_quiet(stream));
        assert_eq!(ask(stream, b"on"), b"on");
    }
    // The places that the dead one's sessions had are free, and no more than these.
    let more: Vec<TcpStream> = (0..2).map(|_| bench.good_client()).collect();
    bench.wait_busy(&[5]);
    assert!(is_closed(connect(bench.plan.other.v4())));
    drop((kept, more));
    bench.settle();
}

#[test]
fn all_workers_at_once() {
    let echo = Backend::start(backends::echo);
    let bench = Plan::new(&format!("server {};", echo.address), "").workers(2).start();
    for _ in 0..3 {
        let workers = bench.weir.wait_workers(2);
        let sessions: Vec<TcpStream> = (0..4).map(|_| bench.good_client()).collect();
        workers.iter().for_each(|&pid| send(pid, Signal::SIGKILL));
        assert!(sessions.iter().all(is_closed));
        wait_for("others in their place", || {
            let now = bench.weir.workers();
            now.len() == 2 && now.iter().all(|pid| !workers.contains(pid))
        });
        bench.wait_busy(&[0]);
    }
    drop(bench.good_client());
    bench.settle();
}

#[test]
fn the_master() {
    let echo = Backend::start(backends::echo);
    let mut bench = Plan::new(&format!("server {};", echo.address), "").workers(2).start();
    let (master, workers) = (bench.weir.master(), bench.weir.workers());
    let mut live = bench.good_client();
    let mut child = bench.weir.child.take().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // As with nginx the workers serve on, and count and log what they do.
    for _ in 0..10 {
        drop(bench.good_client());
    }
    assert_eq!(ask(&mut live, b"on"), b"on");
    bench.wait_busy(&[1]);
    bench.weir.wait_access(10);
    // The pid file names nobody now, which is all that `-s` can say; and the addresses are taken, which is all that a start can.
    let told = bench.weir.prefix.run(&["-s", "quit"]);
    assert!(!told.status.success() && told.stderr.contains(&format!("kill({master}, 3) failed (3: No such process)")));
    let second = bench.weir.prefix.run(&[]);
    assert!(
        !second.status.success() && second.stderr.contains("failed (98: Address already in use)"),
        "{}",
        second.stderr
    );
    assert_eq!(ask(&mut live, b"still"), b"still");
    // They still take signals of their own, and finish.
    workers.iter().for_each(|&pid| send(pid, Signal::SIGQUIT));
    wait_for("nobody to listen", || try_connect(bench.plan.other.v4()).is_err());
    // The old file is no obstacle to a start.
    assert_eq!(bench.weir.prefix.pid("weir.pid"), Some(master));
    bench.weir.child = Some(bench.weir.prefix.command(&[]).spawn().unwrap());
    wait_for("another master", || bench.weir.prefix.pid("weir.pid").is_some_and(|pid| pid != master));
    let others = bench.weir.wait_workers(2);
    assert!(others.iter().all(|pid| !workers.contains(pid)));
    // It may have been given other descriptors by this process: OpenSSL does not open its files for one process only.
    wait::wait_until_idle(others[0]);
    bench.at_rest = super::descriptors(others[0]);
    drop(bench.good_client());
    assert_eq!(ask(&mut live, b"to the end"), b"to the end");
    drop(live);
    wait_for("the old workers to end", || workers.iter().all(|&pid| !proc::alive(pid)));
    bench.settle();
}
