//! The clock of the day is set, forward and back. libfaketime (Debian's `faketime`) does that for one process and its children, while all else
//! has the true time; the monotonic clock, which nobody can set, stays true.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use chrono::{NaiveDateTime, Utc};

use crate::common::clients::is_quiet;
use crate::common::*;
use crate::http::read_reply;

/// The names of libfaketime's variables, which workers are to keep.
const VARIABLES: [(&str, &str); 3] = [("DONT_FAKE_MONOTONIC", "1"), ("FAKETIME_NO_CACHE", "1"), ("NO_FAKE_STAT", "1")];

fn library() -> std::path::PathBuf {
    let found = glob::glob("/usr/lib/*/faketime/libfaketime.so.1").unwrap().flatten().next();
    found.expect("Debian's package faketime")
}

/// A weir whose clock can be set.
struct Clocked(Weir);

impl Clocked {
    fn start(setup: Setup) -> Clocked {
        let prefix = Prefix::new();
        let file = prefix.text_path("clock");
        fs::write(&file, "+0").unwrap();
        let kept: String = VARIABLES.iter().map(|(name, _)| format!("env {name};\n")).collect();
        let main = format!("{kept} env FAKETIME_TIMESTAMP_FILE;\n{}", setup.main);
        let setup = setup.main(main);
        prefix.write("nginx.conf", setup.text());
        let mut command = prefix.command(&[]);
        // No clock of a place, which is set itself twice a year.
        command.env("TZ", "UTC").envs(VARIABLES).env("FAKETIME_TIMESTAMP_FILE", &file).env("LD_PRELOAD", library());
        let child = command.spawn().unwrap();
        wait_for("the pid file", || prefix.pid("weir.pid").is_some());
        let weir = Weir { child: Some(child), prefix };
        weir.wait_workers(setup.workers);
        Clocked(weir)
    }

    /// Sets the clock to so many hours from the true time.
    fn set(&self, hours: i64) {
        let next = self.0.prefix.write("clock.next", format!("{:+}", hours * 3600));
        fs::rename(next, self.0.prefix.join("clock")).unwrap();
    }
}

impl Drop for Clocked {
    fn drop(&mut self) {
        // libfaketime makes these whatever it is told, and removes them only when its process ends by itself.
        let pid = self.0.child.as_ref().unwrap().id();
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            let _ = fs::remove_file(format!("/dev/shm/{name}"));
        }
    }
}

/// How far from the true time a log line was written, in hours.
fn hours_off(line: &str) -> i64 {
    let written = NaiveDateTime::parse_from_str(&line[..19], "%Y/%m/%d %H:%M:%S").unwrap();
    let seconds = (written - Utc::now().naive_utc()).num_seconds();
    // To the nearest hour.
    (seconds + 1800).div_euclid(3600)
}

#[test]
fn timers_go_on_and_logs_follow() {
    let (port, short) = (Port::reserve(), Port::reserve());
    let (echo, silent) = (Backend::start(backends::echo), Backend::start(backends::silent));
    let probed = Backend::start(backends::silent);
    let tcp = format!(
        "upstream u {{ server {}; check interval=100 port={}; }}
         server {{ listen {}; proxy_pass u; timeout 1h; access_log buffered.log buffer=64k flush=100ms; access_log access.log;
            access_log /dev/full; }}
         server {{ listen {}; proxy_pass {}; proxy_read_timeout 700ms; timeout 1h; access_log off; }}",
        echo.address,
        probed.address.port(),
        port.v4(),
        short.v4(),
        silent.address
    );
    let clocked = Clocked::start(Setup::tcp(tcp).level("info"));
    let weir = &clocked.0;
    weir.wait_error("is up");
    let worker = weir.worker();
    let mut live = connect(port.v4());
    assert_eq!(ask(&mut live, b"before"), b"before");
    let mut sessions = 0;
    for hours in [0, 6, 0, -6, 30] {
        // A session whose time runs while the clock is set.
        let (began, mut timed) = (Instant::now(), connect(short.v4()));
        timed.write_all(b"?").unwrap();
        wait_for("the session", || silent.accepted() > sessions);
        clocked.set(hours);
        assert!(is_closed(&timed));
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(680) && took < wait::PATIENCE / 2,
            "{hours} hours off: cut after {took:?}"
        );
        // Probes and buffers keep their times too.
        let probes = probed.accepted();
        wait_for("probes", || probed.accepted() >= probes + 3);
        assert_eq!(ask(connect(port.v4()), b"new"), b"new");
        sessions += 1;
        let last = weir.wait_access(sessions).pop().unwrap();
        assert_eq!(hours_off(&last), hours, "{last}");
        // The time of accepting, too.
        let accepted = last.split(' ').skip(5).collect::<Vec<_>>().join(" ");
        assert_eq!(hours_off(&accepted), hours, "{last}");
        wait_for("the buffer", || weir.prefix.lines("buffered.log").len() == sessions);
        assert_eq!(hours_off(weir.error_log().lines().last().unwrap()), hours);
        assert!(is_quiet(&live));
        assert_eq!(ask(&mut live, b"on"), b"on");
    }
    // Nothing has run out, and nothing is said more often, for the hours that have not passed.
    assert_eq!(weir.worker(), worker);
    assert!(!weir.error_log().contains("is down"));
    assert_eq!(weir.error_log().matches("write() to \"/dev/full\" failed").count(), 1);
    assert!(probed.accepted() < 1000);
}

#[test]
fn requests_keep_their_times() {
    let (port, silent) = (Port::reserve(), Backend::start(backends::silent));
    let http = format!(
        "http {{ log_format f '$time_iso8601 $status $request_time'; access_log access.log f; keepalive_timeout 1h;
         server {{ listen {}; location / {{ return 200 a; }}
         location /silent {{ proxy_pass http://{}; proxy_read_timeout 600ms; }} }} }}",
        port.v4(),
        silent.address
    );
    let clocked = Clocked::start(Setup::tcp("").main(http).level("info"));
    let (mut kept, mut lines) = (connect(port.v4()), 0);
    for (round, hours) in [6, -6, 30, 0].into_iter().enumerate() {
        let (began, mut timed) = (Instant::now(), connect(port.v4()));
        timed.write_all(b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        wait_for("the request", || silent.accepted() > round);
        clocked.set(hours);
        assert_eq!(read_reply(&mut timed, false).status, 504);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(580) && took < wait::PATIENCE / 2, "{hours} hours off: {took:?}");
        // A connection that is kept stays, and dates are those of the clock.
        kept.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let reply = read_reply(&mut kept, false);
        let date = httpdate::parse_http_date(reply.field("date").unwrap()).unwrap();
        let off = chrono::DateTime::<Utc>::from(date) - Utc::now();
        assert_eq!((off.num_seconds() + 1800).div_euclid(3600), hours, "{reply:?}");
        lines += 2;
        let told = clocked.0.wait_access(lines);
        let seconds = |line: &String| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        let last = &told[lines - 2..];
        // How long a request took is not a matter of the clock.
        assert!(
            last.iter().all(|line| seconds(line) < 15.0) && last.iter().any(|line| seconds(line) >= 0.58),
            "{last:?}"
        );
    }
}
