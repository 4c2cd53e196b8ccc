//! The access log and the error log.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use chrono::{NaiveDateTime, Utc};

use super::common::clients::fetch;
use super::common::running::send;
use crate::common::*;

/// The parts of an access log line, in its order.
struct Line {
    logged: NaiveDateTime,
    pid: i32,
    client: String,
    server: String,
    accepted: NaiveDateTime,
    upstream: String,
    read: usize,
    written: usize,
}

fn time(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y/%m/%d %H:%M:%S").unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn parse(line: &str) -> Line {
    // `2011/08/02 06:19:07 [5972] 127.0.0.1 0.0.0.0:1982 2011/08/02 06:18:19 172.19.0.129:80 80 236305`
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words.len(), 10, "{line:?}");
    let parsed = Line {
        logged: time(&line[..19]),
        pid: words[2].strip_prefix('[').and_then(|pid| pid.strip_suffix(']')).expect(line).parse().unwrap(),
        client: words[3].into(),
        server: words[4].into(),
        accepted: time(&format!("{} {}", words[5], words[6])),
        upstream: words[7].into(),
        read: words[8].parse().unwrap(),
        written: words[9].parse().unwrap(),
    };
    // Nothing is between the fields but single blanks, and no number is padded.
    let again = format!(
        "{} [{}] {} {} {} {} {} {}",
        parsed.logged.format("%Y/%m/%d %H:%M:%S"),
        parsed.pid,
        parsed.client,
        parsed.server,
        parsed.accepted.format("%Y/%m/%d %H:%M:%S"),
        parsed.upstream,
        parsed.read,
        parsed.written
    );
    assert_eq!(line, again);
    parsed
}

#[test]
fn the_fields_of_the_access_log() {
    let backend = Backend::start(backends::greeting("hello"));
    let port = Port::reserve();
    let weir = Setup::proxy(port.number, backend.address).start();
    let mut stream = connect(port.v4());
    assert_eq!(ask(&mut stream, b"12345"), b"hello");
    stream.write_all(b"678").unwrap();
    let mut rest = [0; 8];
    stream.read_exact(&mut rest).unwrap();
    let start = std::time::Instant::now();
    wait_for("the next second", || start.elapsed().as_millis() > 1100);
    drop(stream);
    let lines = weir.wait_access(1);
    let line = parse(&lines[0]);
    assert_eq!(line.pid, weir.worker());
    assert_eq!(line.client, "127.0.0.1");
    assert_eq!(line.server, format!("0.0.0.0:{}", port.number));
    assert_eq!(line.upstream, backend.address.to_string());
    assert_eq!((line.read, line.written), (8, 13));
    let lasted = (line.logged - line.accepted).num_seconds();
    assert!((1..60).contains(&lasted), "{}", lines[0]);
    let now = chrono::Local::now().naive_local();
    assert!((now - line.logged).num_seconds().abs() < 60, "{} at {now}", lines[0]);
}

#[test]
fn addresses_in_the_access_log() {
    if !ports::has_ipv6() {
        return;
    }
    let prefix = Prefix::new();
    let path = prefix.join("front.sock");
    let [exact, six, any6] = [Port::reserve(), Port::reserve(), Port::reserve()];
    let tcp = format!(
        "server {{ listen {}; listen {}; listen {}; listen unix:{}; return bye; }}",
        exact.v4(),
        six.v6(),
        any6.on("[::]"),
        path.display()
    );
    let weir = Setup::tcp(tcp).start_in(prefix);
    for address in [exact.v4(), six.v6(), any6.v6()] {
        assert_eq!(fetch(address), "bye");
    }
    UnixStream::connect(&path).unwrap().read_to_string(&mut String::new()).unwrap();
    let mut lines: Vec<Line> = weir.wait_access(4).iter().map(|line| parse(line)).collect();
    lines.sort_by_key(|line| line.server.len());
    let mut seen: Vec<(String, String)> = lines.iter().map(|line| (line.client.clone(), line.server.clone())).collect();
    let mut expected = vec![
        ("127.0.0.1".to_string(), exact.v4()),
        ("::1".to_string(), six.v6()),
        ("::1".to_string(), any6.on("[::]")),
        ("unix:".to_string(), format!("unix:{}", path.display())),
    ];
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    for line in lines {
        assert_eq!((line.upstream.as_str(), line.read, line.written), ("-", 0, 3));
    }
}

#[test]
fn an_exact_address_behind_a_wildcard_is_named_as_configured() {
    let port = Port::reserve();
    let tcp =
        format!("server {{ listen {}; return any; }} server {{ listen {}; return exact; }}", port.number, port.v4());
    let weir = Setup::tcp(tcp).start();
    assert_eq!(fetch(port.v4()), "exact");
    assert_eq!(parse(&weir.wait_access(1)[0]).server, port.v4());
}

#[test]
fn times_are_local() {
    let port = Port::reserve();
    let prefix = Prefix::new();
    prefix
        .write("nginx.conf", Setup::tcp(format!("server {{ listen {}; return \"$time_local\"; }}", port.v4())).text());
    let mut command = prefix.command(&[]);
    command.env("TZ", "ABC-05:30");
    let mut child = command.spawn().unwrap();
    wait_for("the pid file", || child.try_wait().unwrap().is_none() && prefix.pid("weir.pid").is_some());
    let weir = Weir { child: Some(child), prefix };
    let text = fetch(port.v4());
    assert!(text.ends_with(" +0530"), "{text}");
    let expected = Utc::now().naive_utc() + chrono::Duration::minutes(330);
    let line = parse(&weir.wait_access(1)[0]);
    assert!((line.logged - expected).num_seconds().abs() < 60, "{} at {expected}", line.logged);
    let first = weir.error_log().lines().next().unwrap().to_string();
    assert!((time(&first[..19]) - expected).num_minutes().abs() <= 1, "{first} at {expected}");
}

#[test]
fn every_session_has_its_line() {
    let backend = Backend::start(backends::named("abc"));
    let port = Port::reserve();
    let weir = Setup::proxy(port.v4(), backend.address).workers(2).level("info").start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(fetch(port.v4()), "abc")));
        }
    });
    let lines = weir.wait_access(400);
    assert_eq!(lines.len(), 400);
    let workers = weir.workers();
    for line in lines {
        let line = parse(&line);
        assert!(workers.contains(&line.pid));
        assert_eq!((line.read, line.written), (0, 3));
    }
}

#[test]
fn off() {
    let (on, off) = (Port::reserve(), Port::reserve());
    let weir = Setup::tcp(format!(
        "server {{ listen {}; access_log off; return a; }} server {{ listen {}; return a; }}",
        off.v4(),
        on.v4()
    ))
    .start();
    for _ in 0..3 {
        assert_eq!(fetch(off.v4()), "a");
    }
    assert_eq!(fetch(on.v4()), "a");
    let lines = weir.wait_access(1);
    assert_eq!(lines.len(), 1);
    assert_eq!(parse(&lines[0]).server, on.v4());
}

#[test]
fn logs_of_a_server_replace_those_around_it() {
    let (own, inherits) = (Port::reserve(), Port::reserve());
    let weir = Setup::tcp(format!(
        "server {{ listen {}; access_log one.log; access_log two.log; return a; }} server {{ listen {}; return a; }}",
        own.v4(),
        inherits.v4()
    ))
    .start();
    assert_eq!(fetch(own.v4()), "a");
    assert_eq!(fetch(inherits.v4()), "a");
    assert_eq!(parse(&weir.wait_access(1)[0]).server, inherits.v4());
    for name in ["one.log", "two.log"] {
        wait_for(name, || weir.prefix.lines(name).len() == 1);
        assert_eq!(parse(&weir.prefix.lines(name)[0]).server, own.v4());
    }
    assert_eq!(weir.wait_access(1).len(), 1);
}

#[test]
fn the_default_log() {
    let port = Port::reserve();
    let prefix = Prefix::new();
    prefix.write(
        "nginx.conf",
        format!("daemon off; pid weir.pid; events {{}} tcp {{ server {{ listen {}; return a; }} }}", port.v4()),
    );
    let weir = Weir::launch(prefix, &[]);
    assert_eq!(fetch(port.v4()), "a");
    wait_for("the line", || weir.prefix.lines("logs/tcp_access.log").len() == 1);
    // And the default of the error log.
    assert!(weir.prefix.join("logs/error.log").exists());
}

#[test]
fn a_buffer_is_written_at_the_end() {
    for signal in [Signal::SIGQUIT, Signal::SIGTERM] {
        let port = Port::reserve();
        let tcp = format!("server {{ listen {}; access_log held.log buffer=64k; return a; }}", port.v4());
        let mut weir = Setup::tcp(tcp).start();
        for _ in 0..5 {
            assert_eq!(fetch(port.v4()), "a");
        }
        assert_eq!(weir.prefix.read("held.log"), "");
        weir.signal(signal);
        weir.wait_exit();
        let lines = weir.prefix.lines("held.log");
        assert_eq!(lines.len(), 5, "{signal}");
        lines.iter().for_each(|line| _ = parse(line));
    }
}

#[test]
fn a_buffer_is_written_when_full_and_on_reopen() {
    let port = Port::reserve();
    let tcp = format!("server {{ listen {}; access_log held.log buffer=1k; return a; }}", port.v4());
    let weir = Setup::tcp(tcp).start();
    for _ in 0..40 {
        assert_eq!(fetch(port.v4()), "a");
    }
    wait_for("a full buffer to be written", || !weir.prefix.read("held.log").is_empty());
    let text = weir.prefix.read("held.log");
    assert!(text.len() <= 40 * 120 && text.ends_with('\n'), "{text}");
    text.lines().for_each(|line| _ = parse(line));
    assert!(text.lines().count() < 40);
    std::fs::rename(weir.prefix.join("held.log"), weir.prefix.join("held.old")).unwrap();
    weir.signal(Signal::SIGUSR1);
    wait_for("the rest", || weir.prefix.lines("held.old").len() == 40);
    wait_for("the new file", || weir.prefix.join("held.log").exists());
    assert_eq!(weir.prefix.read("held.log"), "");
}

#[test]
fn logs_are_reopened() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let weir = Setup::proxy(port.v4(), backend.address).workers(2).start();
    let mut alive = connect(port.v4());
    assert_eq!(ask(&mut alive, b"a"), b"a");
    assert_eq!(ask(connect(port.v4()), b"a"), b"a");
    weir.wait_access(1);
    for name in ["access.log", "error.log"] {
        std::fs::rename(weir.prefix.join(name), weir.prefix.join(&format!("{name}.1"))).unwrap();
    }
    weir.signal(Signal::SIGUSR1);
    wait_for("new files", || ["access.log", "error.log"].iter().all(|name| weir.prefix.join(name).exists()));
    // Each worker in turn, while the other cannot take the connection.
    let workers = weir.workers();
    for (worker, other) in [(workers[0], workers[1]), (workers[1], workers[0])] {
        send(other, Signal::SIGSTOP);
        wait_for("a line of the worker in the new file", || {
            assert_eq!(ask(connect(port.v4()), b"a"), b"a");
            weir.prefix.lines("access.log").iter().any(|line| parse(line).pid == worker)
        });
        send(other, Signal::SIGCONT);
    }
    assert_eq!(ask(&mut alive, b"still there"), b"still there");
    wait_for("nobody to hold an old file", || {
        let mut holders = weir.workers();
        holders.push(weir.master());
        !proc::shows_descriptors()
            || holders.iter().all(|pid| {
                std::fs::read_dir(format!("/proc/{pid}/fd"))
                    .unwrap()
                    .flatten()
                    .filter_map(|fd| std::fs::read_link(fd.path()).ok())
                    .all(|path| !path.to_string_lossy().ends_with(".log.1"))
            })
    });
    assert!(weir.error_log().contains("reopening logs") || weir.prefix.read("error.log.1").contains("reopening logs"));
    assert_eq!(weir.workers().len(), 2);
}

#[test]
fn reopen_by_the_command_line() {
    let port = Port::reserve();
    let weir = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).start();
    std::fs::rename(weir.prefix.join("access.log"), weir.prefix.join("access.log.1")).unwrap();
    assert!(weir.prefix.run(&["-s", "reopen"]).status.success());
    wait_for("the new file to be used", || {
        assert_eq!(fetch(port.v4()), "a");
        !weir.prefix.lines("access.log").is_empty()
    });
}

#[test]
fn error_log_lines_have_nginx_form() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let weir = Setup::proxy(port.number, dead.v4()).start();
    assert!(is_closed(connect(port.v4())));
    let line = weir.wait_error("connect() failed");
    let worker = weir.worker();
    time(&line[..19]);
    let rest = &line[19..];
    let start = format!(" [error] {worker}#{worker}: *");
    let number = rest.strip_prefix(&start).unwrap_or_else(|| panic!("{line}")).split(' ').next().unwrap();
    number.parse::<u64>().unwrap();
    let wanted = format!(
        "{start}{number} connect() failed (111: Connection refused) while connecting to upstream, client: 127.0.0.1, server: 0.0.0.0:{}, upstream: \"{}\"",
        port.number,
        dead.v4()
    );
    assert_eq!(rest, wanted);
}

#[test]
fn connections_are_numbered_across_workers() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let weir = Setup::proxy(port.v4(), dead.v4()).workers(2).level("error").start();
    for _ in 0..20 {
        assert!(is_closed(connect(port.v4())));
    }
    let log = weir.error_log();
    let mut numbers: Vec<u64> = log
        .lines()
        .filter(|line| line.contains("connect() failed"))
        .map(|line| line.split(": *").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 20, "{log}");
}

#[test]
fn levels() {
    let port = Port::reserve();
    let dead = Port::reserve();
    let prefix = Prefix::new();
    let setup = Setup::proxy(port.v4(), dead.v4()).level("error").main(
        "error_log notice.log notice;\nerror_log crit.log crit;\nerror_log stderr warn;\nerror_log debug.log debug;",
    );
    let weir = setup.start_in(prefix);
    assert!(is_closed(connect(port.v4())));
    let read = |name: &str| weir.prefix.read(name);
    weir.wait_error("[error]");
    wait_for("the other logs", || {
        ["notice.log", "debug.log", "stderr"].iter().all(|name| read(name).contains("[error]"))
    });
    assert!(!weir.error_log().contains("[notice]") && !weir.error_log().contains("[info]"));
    assert!(read("notice.log").contains("[notice]") && !read("notice.log").contains("[info]"));
    assert!(read("debug.log").contains("[notice]") && read("debug.log").contains("[debug]"));
    assert!(!read("stderr").contains("[notice]"));
    assert_eq!(read("crit.log"), "");
}

#[test]
fn debug_connection() {
    if !ports::has_ipv6() {
        return;
    }
    let port = Port::reserve();
    let setup = Setup::tcp(format!("server {{ listen {}; listen {}; return a; }}", port.v4(), port.v6()));
    let weir = setup.level("error").events("debug_connection 127.0.0.0/8;").start();
    assert_eq!(fetch(port.v6()), "a");
    assert_eq!(fetch(port.v4()), "a");
    weir.wait_error("[debug]");
    assert!(!weir.error_log().contains("::1"), "{}", weir.error_log());
}

#[test]
fn the_start_is_logged() {
    let port = Port::reserve();
    let weir = Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4())).start();
    let (master, worker) = (weir.master(), weir.worker());
    for wanted in
        ["using the \"epoll\" event method", "start worker processes", &format!("start worker process {worker}")]
    {
        let line = weir.wait_error(wanted);
        assert!(line.contains(&format!("[notice] {master}#{master}: ")), "{line}");
    }
}

#[test]
fn a_full_disk_stops_no_session() {
    let port = Port::reserve();
    let backend = Backend::start(backends::echo);
    let tcp = format!(
        "server {{ listen {}; access_log /dev/full; access_log good.log; proxy_pass {}; }}",
        port.v4(),
        backend.address
    );
    let weir = Setup::tcp(tcp).main("error_log /dev/full info;").start();
    for _ in 0..50 {
        assert_eq!(ask(connect(port.v4()), b"a"), b"a");
    }
    wait_for("the other log", || weir.prefix.lines("good.log").len() == 50);
    weir.wait_error("[alert]");
    let told = weir.error_log().matches("write() to \"/dev/full\" failed (28: No space left on device)").count();
    assert_eq!(told, 1, "once a minute is enough: {}", weir.error_log());
}

#[test]
fn a_buffer_beyond_all_memory_harms_nobody() {
    let port = Port::reserve();
    let tcp = format!("server {{ listen {}; access_log held.log buffer=4000g; return a; }}", port.v4());
    let mut weir = Setup::tcp(tcp).start();
    let worker = weir.worker();
    for _ in 0..3 {
        assert_eq!(fetch(port.v4()), "a");
    }
    assert_eq!(weir.worker(), worker);
    weir.signal(Signal::SIGQUIT);
    weir.wait_exit();
    assert_eq!(weir.prefix.lines("held.log").len(), 3);
}
