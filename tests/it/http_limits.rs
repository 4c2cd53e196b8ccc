//! `limit_req` and `limit_conn`: how many requests clients may bring.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::http::{config, get, read_reply, serve};
use super::http_config::message;
use crate::common::clients::is_quiet;
use crate::common::running::send;
use crate::common::*;

/// The statuses of so many requests for a path.
fn statuses(port: &Port, path: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| get(port, path).status).collect()
}

/// A rate that nothing gets through again of in the time of a test.
const SLOW: &str = "limit_req_zone $arg_k zone=slow:1m rate=1r/m;";

#[test]
fn requests_past_the_rate_are_refused() {
    let (weir, port) = serve(|port| {
        format!(
            "{SLOW} limit_req_zone $uri zone=all:1m rate=1r/m; limit_req zone=slow;
             log_format l '$status $limit_req_status $request_uri';
             server {{ listen {}; access_log access.log l;
               location /one {{ return 200; }} location /f/ {{ root html; }}
               location /burst/ {{ root html; limit_req zone=slow burst=2 nodelay; limit_req_status 429; limit_req_log_level notice; }}
               location /dry/ {{ root html; limit_req_dry_run on; }}
               location /two/ {{ limit_req zone=slow burst=5 nodelay; limit_req zone=all burst=1 nodelay; }}
               location /page/ {{ error_page 503 =200 /one; }} }}",
            port.v4()
        )
    });
    // What `return` answers is not counted.
    assert_eq!(statuses(&port, "/one?k=a", 3), [200; 3]);
    assert_eq!(statuses(&port, "/f/?k=a", 3), [404, 503, 503]);
    assert_eq!(statuses(&port, "/f/?k=b", 2), [404, 503]);
    assert_eq!(statuses(&port, "/f/", 3), [404; 3]);
    let line = weir.wait_error("limiting requests, excess: ");
    let end = " by zone \"slow\", client: 127.0.0.1, server: , request: \"GET /f/?k=a HTTP/1.1\", host: \"a\"";
    assert!(line.contains("[error]") && line.ends_with(end), "{line}");
    assert_eq!(statuses(&port, "/burst/?k=c", 4), [404, 404, 404, 429]);
    let refused = |line: &str| line.contains("limiting requests") && line.contains("GET /burst/");
    let log = weir.error_log();
    assert!(log.lines().find(|line| refused(line)).unwrap().contains("[notice]"), "{log}");
    assert_eq!(statuses(&port, "/dry/?k=d", 2), [404; 2]);
    weir.wait_error("limiting requests, dry run, excess: ");
    // The first that has no room decides, and what is refused is counted nowhere.
    assert_eq!(statuses(&port, "/two/1?k=e", 3), [404, 404, 503]);
    assert_eq!(statuses(&port, "/two/2?k=e", 3), [404, 404, 503]);
    assert_eq!(statuses(&port, "/two/3?k=e", 3), [404, 404, 503]);
    assert_eq!(statuses(&port, "/two/4?k=e", 1), [503]);
    assert_eq!(statuses(&port, "/page/?k=f", 2), [404, 200]);
    let lines = weir.wait_access(17);
    for (line, wanted) in [
        (3, "404 PASSED /f/?k=a"),
        (4, "503 REJECTED /f/?k=a"),
        (8, "404 - /f/"),
        (15, "404 PASSED /dry/?k=d"),
        (16, "404 REJECTED_DRY_RUN /dry/?k=d"),
    ] {
        assert_eq!(lines[line], wanted);
    }
}

#[test]
fn requests_wait_for_their_time() {
    let (weir, port) = serve(|port| {
        format!(
            "limit_req_zone $arg_k zone=z:1m rate=5r/s; log_format l '$status $limit_req_status $request_uri';
             server {{ listen {}; access_log access.log l;
               location / {{ limit_req zone=z burst=20; }} location /some/ {{ limit_req zone=z burst=20 delay=2; }}
               location /dry/ {{ limit_req zone=z burst=20; limit_req_dry_run on; }} }}",
            port.v4()
        )
    });
    let how = |lines: &[String], path: &str, how: &str| {
        lines.iter().filter(|line| **line == format!("404 {how} {path}")).count()
    };
    // A machine that is slow enough brings the second or third request no sooner than it may come: then others show it.
    let mut asked = 0;
    wait_for("both later requests to be delayed", || {
        let path = format!("/?k=a{asked}");
        let before = Instant::now();
        assert_eq!(statuses(&port, &path, 3), [404; 3]);
        assert!(before.elapsed() >= Duration::from_millis(395), "{:?}", before.elapsed());
        asked += 3;
        let lines = weir.wait_access(asked);
        (how(&lines, &path, "PASSED"), how(&lines, &path, "DELAYED")) == (1, 2)
    });
    let line = weir.wait_error("delaying request, excess: ");
    assert!(line.contains("[warn]") && line.contains(", by zone \"z\", client: 127.0.0.1"), "{line}");
    // Those that wait hold up nobody else; each waits for its own time.
    let mut streams: Vec<TcpStream> = (0..4).map(|_| connect(port.v4())).collect();
    let before = Instant::now();
    for stream in &mut streams {
        stream.write_all(b"GET /some/?k=b HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    assert_eq!(get(&port, "/?k=c").status, 404);
    streams.iter_mut().for_each(|stream| assert_eq!(read_reply(stream, false).status, 404));
    assert!(before.elapsed() >= Duration::from_millis(195), "{:?}", before.elapsed());
    let lines = weir.wait_access(asked + 5);
    let passed = how(&lines, "/some/?k=b", "PASSED");
    assert!(passed >= 3 && passed + how(&lines, "/some/?k=b", "DELAYED") == 4, "{lines:?}");
    assert_eq!(statuses(&port, "/dry/?k=d", 2), [404; 2]);
}

#[test]
fn all_workers_count_together_and_a_reload_keeps_what_they_have_counted() {
    let prefix = Prefix::new();
    let port = Port::reserve();
    let text = |more: &str| {
        let text =
            format!("{SLOW} {more} server {{ listen {} reuseport; limit_req zone=slow burst=9 nodelay; }}", port.v4());
        config(&text).replace("worker_processes 1", "worker_processes 3")
    };
    prefix.write("nginx.conf", text(""));
    let weir = Weir::launch(prefix, &[]);
    let old = weir.wait_workers(3);
    assert_eq!(statuses(&port, "/?k=a", 6), [404; 6]);
    weir.prefix.replace("nginx.conf", text("limit_conn_zone $host zone=another:64k;"));
    weir.signal(Signal::SIGHUP);
    wait_for("new workers", || weir.workers().len() == 3 && weir.workers().iter().all(|pid| !old.contains(pid)));
    assert_eq!(statuses(&port, "/?k=a", 6), [404, 404, 404, 404, 503, 503]);
}

#[test]
fn requests_at_work_are_counted() {
    let backend = Backend::start(|mut stream| {
        // No answer, until the end of the connection.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let (weir, port) = serve(|port| {
        format!(
            "limit_conn_zone $arg_k zone=c:1m; limit_conn_zone $arg_x zone=x:1m;
             log_format l '$status $limit_conn_status $request_uri';
             server {{ listen {0}; access_log access.log l; limit_conn c 2; limit_conn_status 509;
               location /up {{ proxy_pass http://{1}; }} location /f/ {{ root html; }}
               location /both/ {{ limit_conn x 9; limit_conn c 2; }}
               location /dry/ {{ limit_conn_dry_run on; }} location /quiet/ {{ limit_conn_log_level info; }} }}",
            port.v4(),
            backend.address
        )
    });
    let held = |number: usize, key: &str| {
        let mut stream = connect(port.v4());
        write!(stream, "GET /up?k={key} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        wait_for("the request to be passed on", || backend.accepted() == number);
        stream
    };
    let first = held(1, "a");
    assert_eq!(get(&port, "/f/?k=a").status, 404);
    let second = held(2, "a");
    assert_eq!(get(&port, "/f/?k=a").status, 509);
    assert_eq!(get(&port, "/both/?k=a&x=1").status, 509);
    assert_eq!((get(&port, "/f/?k=b").status, get(&port, "/f/").status), (404, 404));
    assert_eq!(get(&port, "/dry/?k=a").status, 404);
    assert_eq!(get(&port, "/quiet/?k=a").status, 509);
    let line = weir.wait_error("limiting connections by zone \"c\"");
    assert!(line.contains("[error]") && line.ends_with("request: \"GET /f/?k=a HTTP/1.1\", host: \"a\""), "{line}");
    weir.wait_error("limiting connections, dry run, by zone \"c\", client: ");
    assert!(weir.wait_error("request: \"GET /quiet/?k=a HTTP/1.1\"").contains("[info]"));
    let lines = weir.wait_access(7);
    assert_eq!(lines[..3], ["404 PASSED /f/?k=a", "509 REJECTED /f/?k=a", "509 REJECTED /both/?k=a&x=1"]);
    assert_eq!(lines[4..6], ["404 - /f/", "404 REJECTED_DRY_RUN /dry/?k=a"]);
    // A place is free again when its request is over, however that comes about.
    drop(first);
    weir.wait_access(8);
    assert_eq!(get(&port, "/f/?k=a").status, 404);
    drop(second);
    // A connection that waits for its next request has no place.
    let mut idle: Vec<TcpStream> = (0..3).map(|_| connect(port.v4())).collect();
    for stream in &mut idle {
        stream.write_all(b"GET /f/?k=z HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_reply(stream, false).status, 404);
    }
}

#[test]
fn places_of_a_worker_that_is_killed() {
    let backend = Backend::start(|mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let port = Port::reserve();
    let text = format!(
        "limit_conn_zone $host zone=c:1m;
         server {{ listen {}; limit_conn c 5; location /up {{ proxy_pass http://{}; }} location / {{ root html; }} }}",
        port.v4(),
        backend.address
    );
    let prefix = Prefix::new();
    prefix.write("nginx.conf", config(&text).replace("worker_processes 1;", "worker_processes 2;"));
    let weir = Weir::launch(prefix, &[]);
    let [a, b] = weir.wait_workers(2)[..] else { panic!() };
    let ask = || {
        let mut stream = connect(port.v4());
        stream.write_all(b"GET /up HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream
    };
    let held_without = |stopped: &[i32], count: usize| -> Vec<TcpStream> {
        stopped.iter().for_each(|worker| send(*worker, Signal::SIGSTOP));
        let before = backend.accepted();
        let held = (0..count).map(|_| ask()).collect();
        wait_for("the requests to be passed on", || backend.accepted() == before + count);
        stopped.iter().for_each(|worker| send(*worker, Signal::SIGCONT));
        held
    };
    let lost = held_without(&[b], 3);
    let kept = held_without(&[a], 2);
    assert_eq!(get(&port, "/f").status, 503);
    send(a, Signal::SIGKILL);
    wait_for("another worker", || weir.workers().len() == 2 && !weir.workers().contains(&a));
    // Its places are free, and those of the other one are not.
    let more = held_without(&[], 3);
    assert_eq!(get(&port, "/f").status, 503);
    // All are given back in the end.
    drop((lost, kept, more));
    let hold = || {
        let (before, stream) = (backend.accepted(), ask());
        let passed_on = || (backend.accepted() > before).then_some(true);
        let refused = || (!is_quiet(&stream)).then_some(false);
        wait_some("a server or an answer", || passed_on().or_else(refused)).then_some(stream)
    };
    let _four: Vec<TcpStream> = (0..4).map(|_| wait_some("a place", hold)).collect();
    wait_for("one more", || get(&port, "/f").status == 404);
}

#[test]
fn what_is_wrong_with_them_is_told() {
    let req = "limit_req_zone $uri zone=a:1m rate=1r/s;";
    for (text, wanted) in [
        ("limit_req_zone $uri zone=a:1m;", "invalid number of arguments in \"limit_req_zone\" directive"),
        ("limit_req_zone $uri zone=a rate=1r/s;", "invalid zone size \"zone=a\""),
        ("limit_req_zone $uri zone=a:1k rate=1r/s;", "zone \"zone=a:1k\" is too small"),
        ("limit_req_zone $uri zone=a:x rate=1r/s;", "invalid zone size \"zone=a:x\""),
        ("limit_req_zone $uri zone=a:1m rate=0r/s;", "invalid rate \"rate=0r/s\""),
        ("limit_req_zone $uri zone=a:1m x=1;", "invalid parameter \"x=1\""),
        ("limit_req_zone $uri rate=1r/s rate=1r/s;", "\"limit_req_zone\" must have \"zone\" parameter"),
        ("limit_req_zone $nope zone=a:1m rate=1r/s;", "unknown \"nope\" variable"),
        ("server { limit_req zone=none; }", "zero size shared memory zone \"none\""),
        ("limit_req burst=1;", "\"limit_req\" must have \"zone\" parameter"),
        (&format!("{req} limit_req zone=a burst=x;"), "invalid burst value \"burst=x\""),
        (&format!("{req} limit_req zone=a delay=-1;"), "invalid delay value \"delay=-1\""),
        (&format!("{req} limit_req zone=a y;"), "invalid parameter \"y\""),
        (&format!("{req} limit_req zone=a; limit_req zone=a;"), "\"limit_req\" directive is duplicate"),
        (&format!("{req} {req}"), "limit_req_zone \"a\" is already bound to key \"$uri\""),
        (
            &format!("{req} limit_conn_zone $host zone=a:1m;"),
            "the shared memory zone \"a\" is already declared for a different use",
        ),
        (
            &format!("{req} server {{ limit_conn a 1; }}"),
            "the shared memory zone \"a\" is already declared for a different use",
        ),
        (
            &format!("{req} limit_req_zone $uri zone=a:2m rate=1r/s;"),
            "the size 2097152 of shared memory zone \"a\" conflicts with already declared size 1048576",
        ),
        ("limit_conn_zone $uri zone=a;", "invalid zone size \"zone=a\""),
        ("limit_conn a 0;", "invalid number of connections \"0\""),
        ("limit_conn a 70000;", "connection limit must be less 65536"),
        ("limit_conn a 1; limit_conn a 2;", "\"limit_conn\" directive is duplicate"),
        ("limit_req_status 300;", "value must be between 400 and 599"),
        ("limit_conn_status 600;", "value must be between 400 and 599"),
        ("limit_req_log_level x;", "invalid value \"x\""),
        (
            "limit_conn_dry_run x;",
            "invalid value \"x\" in \"limit_conn_dry_run\" directive, it must be \"on\" or \"off\"",
        ),
    ] {
        assert_eq!(message(text), (wanted.to_owned(), false), "{text}");
    }
}
