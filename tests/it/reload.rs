//! HUP: another configuration without a lost client.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::common::clients::{fetch, try_connect};
use super::common::proc;
use super::common::wait::{PATIENCE, StopOnDrop};
use crate::common::*;

/// Clients that connect without pause and count what they get.
pub struct Load {
    pub answered: AtomicUsize,
    pub refused: AtomicUsize,
    pub cut: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    /// Runs `during` while clients ask `address` for a non-empty answer, and checks that each got one.
    pub fn around(address: &str, during: impl FnOnce(&Load)) {
        let load = Load {
            answered: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !load.stop.load(Ordering::SeqCst) {
                        load.one(address);
                    }
                });
            }
            let stop = StopOnDrop(&load.stop);
            load.wait_for_more(20);
            during(&load);
            load.wait_for_more(20);
            drop(stop);
        });
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        assert_eq!((count(&load.refused), count(&load.cut)), (0, 0), "of {} clients", count(&load.answered));
    }

    fn one(&self, address: &str) {
        let counter = match try_connect(address) {
            Err(_) => &self.refused,
            Ok(mut stream) => {
                let mut answer = Vec::new();
                match stream.read_to_end(&mut answer) {
                    Ok(1..) => &self.answered,
                    _ => &self.cut,
                }
            }
        };
        counter.fetch_add(1, Ordering::SeqCst);
        // Some hundred connections a second are load enough, and leave the machine to the other tests.
        thread::sleep(Duration::from_millis(2));
    }

    /// Waits until so many more clients have been served.
    pub fn wait_for_more(&self, count: usize) {
        let target = self.answered.load(Ordering::SeqCst) + count;
        wait_for("clients to be served", || self.answered.load(Ordering::SeqCst) >= target);
    }
}

fn says(port: &Port, text: &str) -> Setup {
    Setup::tcp(format!("server {{ listen {}; return {text}; }}", port.v4()))
}

#[test]
fn live_sessions_stay_on_the_old_configuration() {
    let old = Backend::start(backends::greeting("1"));
    let new = Backend::start(backends::greeting("2"));
    let port = Port::reserve();
    let weir = Setup::proxy(port.v4(), old.address).start();
    let mut first = connect(port.v4());
    assert_eq!(ask(&mut first, b"a"), b"1");
    assert_eq!(ask(&mut first, b"b"), b"a");
    let old_worker = weir.worker();
    weir.reload(&Setup::proxy(port.v4(), new.address));
    let mut second = connect(port.v4());
    assert_eq!(ask(&mut second, b"a"), b"2");
    assert_eq!(ask(&mut first, b"c"), b"b");
    assert_eq!(proc::title(old_worker), "weir: worker process is shutting down");
    assert_eq!((old.accepted(), new.accepted()), (1, 1));
    drop(first);
    wait_for("the old worker to leave", || !proc::alive(old_worker));
    assert_eq!(ask(&mut second, b"b"), b"a");
    weir.wait_access(1);
}

#[test]
fn by_the_command_line() {
    let port = Port::reserve();
    let weir = says(&port, "first").start();
    assert_eq!(fetch(port.v4()), "first");
    weir.prefix.write("nginx.conf", says(&port, "second").text());
    assert!(weir.prefix.run(&["-s", "reload"]).status.success());
    wait_for("the new text", || fetch(port.v4()) == "second");
}

#[test]
fn a_broken_file_changes_nothing() {
    let port = Port::reserve();
    let weir = says(&port, "first").start();
    let worker = weir.worker();
    for (text, message) in [
        (says(&port, "second").main("frobnicate;").text(), "[emerg] "),
        (says(&port, "second").text().trim_end().trim_end_matches('}').to_string(), "unexpected end of file"),
        (says(&port, "second").main("worker_priority x;").text(), "directive invalid number"),
        (
            says(&port, "second").main("include missing.conf;").text(),
            "missing.conf\" failed (2: No such file or directory)",
        ),
        (says(&port, "second").main("error_log nosuch/folder/e.log;").text(), "nosuch/folder/e.log\" failed"),
    ] {
        weir.prefix.write("nginx.conf", text);
        let before = weir.error_log().matches(message).count();
        weir.signal(Signal::SIGHUP);
        wait_for(message, || weir.error_log().matches(message).count() > before);
        assert_eq!(fetch(port.v4()), "first");
        assert_eq!(weir.worker(), worker);
    }
    let line = weir.wait_error("unknown directive \"frobnicate\"");
    assert!(line.ends_with(&format!(" in {}:5", weir.prefix.text_path("nginx.conf"))), "{line}");
    // And the next good one is taken.
    weir.reload(&says(&port, "third"));
    wait_for("the new text", || fetch(port.v4()) == "third");
}

#[test]
fn a_taken_address_changes_nothing() {
    let (port, taken) = (Port::reserve(), Port::reserve());
    let weir = says(&port, "first").start();
    let worker = weir.worker();
    let holder = TcpListener::bind(taken.v4()).unwrap();
    let two = Setup::tcp(format!(
        "server {{ listen {}; return second; }} server {{ listen {}; return second; }}",
        port.v4(),
        taken.v4()
    ));
    weir.prefix.write("nginx.conf", two.text());
    weir.signal(Signal::SIGHUP);
    let line = weir.wait_error("bind() to");
    assert!(
        line.contains(&format!(
            "[emerg] {m}#{m}: bind() to {} failed (98: Address already in use)",
            taken.v4(),
            m = weir.master()
        )),
        "{line}"
    );
    weir.wait_error("still could not bind()");
    assert_eq!(fetch(port.v4()), "first");
    assert_eq!(weir.worker(), worker);
    drop(holder);
    weir.reload(&two);
    assert_eq!(fetch(taken.v4()), "second");
}

#[test]
fn an_address_freed_in_time_is_taken() {
    // nginx tries to bind five times, half a second apart; a server that is just leaving need not spoil the reload.
    let (port, taken) = (Port::reserve(), Port::reserve());
    let weir = says(&port, "first").start();
    let holder = TcpListener::bind(taken.v4()).unwrap();
    let setup = Setup::tcp(format!(
        "server {{ listen {}; return second; }} server {{ listen {}; return second; }}",
        port.v4(),
        taken.v4()
    ));
    weir.prefix.write("nginx.conf", setup.text());
    weir.signal(Signal::SIGHUP);
    weir.wait_error("bind() to");
    drop(holder);
    wait_for("the new listener", || try_connect(taken.v4()).is_ok());
    assert_eq!(fetch(taken.v4()), "second");
}

#[test]
fn listeners_come_and_go() {
    let [stays, goes, comes] = [Port::reserve(), Port::reserve(), Port::reserve()];
    let server = |port: &Port, text: &str| format!("server {{ listen {}; return {text}; }}\n", port.v4());
    let weir = Setup::tcp(server(&stays, "a") + &server(&goes, "a")).start();
    assert_eq!(fetch(goes.v4()), "a");
    weir.reload(&Setup::tcp(server(&stays, "b") + &server(&comes, "b")));
    assert_eq!(fetch(comes.v4()), "b");
    assert_eq!(fetch(stays.v4()), "b");
    wait_for("the listener to close", || try_connect(goes.v4()).is_err());
}

#[test]
fn from_exact_to_wildcard_and_back() {
    let port = Port::reserve();
    let weir = says(&port, "exact").start();
    let other = Port::reserve();
    let both = |text: &str, listen: String| {
        Setup::tcp(format!(
            "server {{ listen {listen}; return {text}; }} server {{ listen {}; return o; }}",
            other.v4()
        ))
    };
    weir.reload(&both("moved", other.on("127.0.0.2")));
    assert_eq!(fetch(other.on("127.0.0.2")), "moved");
    weir.reload(&both("wild", port.number.to_string()));
    assert_eq!(fetch(port.v4()), "wild");
}

#[test]
fn the_number_of_workers_and_the_logs_change() {
    let port = Port::reserve();
    let weir = says(&port, "a").start();
    let mut setup = says(&port, "b").workers(3);
    setup.main = "error_log second.log info;".into();
    setup.tcp.push_str("access_log second_access.log;");
    weir.reload(&setup);
    assert_eq!(fetch(port.v4()), "b");
    wait_for("the other access log", || !weir.prefix.lines("second_access.log").is_empty());
    wait_for("the other error log", || !weir.prefix.lines("second.log").is_empty());
    setup = says(&port, "c").workers(1);
    weir.reload(&setup);
    assert_eq!(fetch(port.v4()), "c");
}

#[test]
fn the_pid_file_moves() {
    let port = Port::reserve();
    let weir = says(&port, "a").start();
    let master = weir.master();
    weir.prefix.write("nginx.conf", says(&port, "b").text().replace("pid weir.pid;", "pid moved.pid;"));
    weir.signal(Signal::SIGHUP);
    wait_for("the new pid file", || weir.prefix.pid("moved.pid") == Some(master));
    wait_for("the old pid file to go", || !weir.prefix.join("weir.pid").exists());
}

#[test]
fn a_reload_that_fails_leaves_the_file_of_another_pid_alone() {
    let port = Port::reserve();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let weir = says(&port, "a").start();
    weir.prefix.write("other.pid", "12345\n");
    let text = says(&port, "b").text().replace("pid weir.pid;", "pid other.pid;");
    let address = taken.local_addr().unwrap();
    weir.prefix.write("nginx.conf", text + &format!("tcp {{ server {{ listen {address}; return c; }} }}"));
    weir.signal(Signal::SIGHUP);
    weir.wait_error("still could not bind()");
    assert_eq!(weir.prefix.read("other.pid"), "12345\n");
    assert_eq!(weir.prefix.pid("weir.pid"), Some(weir.master()));
    assert_eq!(fetch(port.v4()), "a");
}

#[test]
fn worker_shutdown_timeout_bounds_old_sessions() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let setup = Setup::proxy(port.v4(), backend.address).main("worker_shutdown_timeout 500ms;");
    let weir = setup.start();
    let mut stream = connect(port.v4());
    assert_eq!(ask(&mut stream, b"a"), b"a");
    let worker = weir.worker();
    let start = Instant::now();
    weir.reload(&setup);
    assert!(is_closed(&stream));
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(480) && took < wait::PATIENCE / 2, "{took:?}");
    wait_for("the old worker to leave", || !proc::alive(worker));
    assert_eq!(weir.wait_access(1).len(), 1);
}

#[test]
fn no_client_is_refused() {
    let port = Port::reserve();
    let backend = Backend::start(backends::named("answer"));
    let setup = Setup::proxy(port.v4(), backend.address).workers(2).level("notice");
    let weir = setup.start();
    Load::around(&port.v4(), |load| {
        for _ in 0..12 {
            weir.reload(&setup);
            load.wait_for_more(5);
        }
    });
    wait_for("old workers to leave", || proc::children(weir.master()).len() == 2);
}

#[test]
fn reloads_in_quick_succession() {
    let port = Port::reserve();
    let weir = says(&port, "0").workers(2).start();
    Load::around(&port.v4(), |_| {
        for i in 1..=10 {
            weir.prefix.write("nginx.conf", says(&port, &i.to_string()).workers(2).text());
            weir.signal(Signal::SIGHUP);
        }
        wait_for("the last configuration", || fetch(port.v4()) == "10");
    });
    wait_for("old workers to leave", || proc::children(weir.master()).len() == 2);
}

#[test]
fn a_session_in_the_middle_of_a_transfer() {
    let bytes = super::common::clients::noise(8 << 20);
    let backend = Backend::start(backends::source(bytes.clone()));
    let port = Port::reserve();
    let setup = Setup::proxy(port.v4(), backend.address);
    let weir = setup.clone().level("info").start();
    let mut stream: TcpStream = connect(port.v4());
    let mut start = vec![0; 1000];
    stream.read_exact(&mut start).unwrap();
    weir.reload(&setup.level("info"));
    let deadline = Instant::now() + PATIENCE;
    start.extend(read_all(stream));
    assert!(start == bytes && Instant::now() < deadline);
}

#[test]
fn nothing_leaks_over_reloads() {
    if !proc::shows_descriptors() {
        return;
    }
    let port = Port::reserve();
    let setup = says(&port, "a");
    let weir = setup.start();
    weir.reload(&setup);
    wait_for("the old worker to leave", || proc::children(weir.master()).len() == 1);
    let before = proc::descriptors(weir.master());
    for _ in 0..5 {
        weir.reload(&setup);
    }
    wait_for("old workers to leave", || proc::children(weir.master()).len() == 1);
    assert_eq!(proc::descriptors(weir.master()), before);
}
