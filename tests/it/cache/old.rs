//! Answers that are not fresh any more.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A server whose first answer is good for a second, and the later ones are what `later` makes of their requests.
fn changing(first: &'static str, later: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> (Backend, Seen) {
    origin(move |number, request| if number == 0 { ok(first, "first") } else { later(number, request) })
}

#[test]
fn an_old_answer_is_replaced() {
    let (backend, seen) =
        changing("Cache-Control: max-age=1\r\n", |_, _| ok("Cache-Control: max-age=60\r\n", "second"));
    let (_weir, port) = plain(&backend, "");
    expect(&port, "/", "MISS", "first");
    assert_eq!(wait_state(&port, "/", "EXPIRED"), "second");
    expect(&port, "/", "HIT", "second");
    assert_eq!(count(&seen), 2);
}

#[test]
fn an_old_answer_does_after_failures() {
    for (said, failure) in [
        ("proxy_cache_use_stale error;", ""),
        ("proxy_cache_use_stale invalid_header;", "nonsense\r\n\r\n"),
        ("proxy_cache_use_stale http_503;", "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"),
        ("proxy_cache_use_stale http_500 http_404;", "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno"),
    ] {
        let (backend, seen) = changing("Cache-Control: max-age=1\r\n", move |_, _| failure.into());
        let (_weir, port) = plain(&backend, said);
        expect(&port, "/", "MISS", "first");
        assert_eq!(wait_state(&port, "/", "STALE"), "first", "{said}");
        expect(&port, "/", "STALE", "first");
        assert_eq!(count(&seen), 3, "servers are asked each time");
    }
}

#[test]
fn an_old_answer_does_not_do_where_nobody_says_so() {
    let (backend, _) = changing("Cache-Control: max-age=1\r\n", |_, _| String::new());
    let (_weir, port) = plain(&backend, "proxy_cache_use_stale timeout;");
    expect(&port, "/", "MISS", "first");
    wait_for("a failure", || ask(&port, "GET", "/", "").status == 502);
    assert_eq!(state(&ask(&port, "GET", "/", "")), "EXPIRED");
}

#[test]
fn a_server_that_takes_too_long_or_is_gone() {
    let silent = Arc::new(AtomicBool::new(false));
    let (told, release) = (silent.clone(), Arc::new(AtomicBool::new(false)));
    let ends = release.clone();
    let backend = Backend::start(move |mut stream| {
        if told.load(Ordering::SeqCst) {
            return backends::stalled(ends.clone())(stream);
        }
        read_request(&mut stream);
        let _ = stream.write_all(ok("Cache-Control: max-age=1\r\n", "first").as_bytes());
    });
    // The first answer may take its time.
    let text = "proxy_cache zone; proxy_cache_key key; proxy_cache_use_stale timeout error; location / { proxy_pass http://SERVER; }
                location /hasty { proxy_pass http://SERVER; proxy_read_timeout 300ms; }";
    let (_weir, port) = caching(&backend, "", text);
    expect(&port, "/", "MISS", "first");
    silent.store(true, Ordering::SeqCst);
    assert_eq!(wait_state(&port, "/hasty", "STALE"), "first");
    release.store(true, Ordering::SeqCst);
    drop(backend);
    expect(&port, "/hasty", "STALE", "first");
}

#[test]
fn the_server_may_allow_it_itself() {
    let allows = "Cache-Control: max-age=1, stale-if-error=60\r\n";
    let (backend, _) = changing(allows, |_, _| String::new());
    let (_weir, port) = plain(&backend, "");
    expect(&port, "/", "MISS", "first");
    assert_eq!(wait_state(&port, "/", "STALE"), "first");
}

#[test]
fn others_get_the_old_answer_while_one_asks() {
    let release = Arc::new(AtomicBool::new(false));
    let wait = release.clone();
    let (backend, seen) = changing("Cache-Control: max-age=1\r\n", move |_, _| {
        wait_for("the release", || wait.load(Ordering::SeqCst));
        ok("Cache-Control: max-age=60\r\n", "second")
    });
    let (_weir, port) = plain(&backend, "proxy_cache_use_stale updating;");
    expect(&port, "/", "MISS", "first");
    std::thread::scope(|scope| {
        scope.spawn(|| wait_state(&port, "/", "EXPIRED"));
        wait_for("the server to be asked", || count(&seen) == 2);
        for _ in 0..3 {
            expect(&port, "/", "UPDATING", "first");
        }
        release.store(true, Ordering::SeqCst);
    });
    expect(&port, "/", "HIT", "second");
    assert_eq!(count(&seen), 2);
}

#[test]
fn a_server_is_asked_on_the_side() {
    let release = Arc::new(AtomicBool::new(false));
    let wait = release.clone();
    let allows = "Cache-Control: max-age=1, stale-while-revalidate=60\r\n";
    let (backend, seen) = changing(allows, move |_, _| {
        wait_for("the release", || wait.load(Ordering::SeqCst));
        ok("Cache-Control: max-age=60\r\n", "second")
    });
    let (weir, port) = plain(&backend, "proxy_cache_background_update on;");
    // The connection goes on at once.
    let mut stream = connect(port.v4());
    let mut ask = || {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let reply = crate::http::read_reply(&mut stream, false);
        (state(&reply).to_owned(), reply.text().to_owned())
    };
    assert_eq!(ask(), ("MISS".into(), "first".into()));
    wait_for("an old answer", || ask() == ("STALE".into(), "first".into()));
    wait_for("the server to be asked", || count(&seen) == 2);
    assert_eq!(ask(), ("UPDATING".into(), "first".into()));
    release.store(true, Ordering::SeqCst);
    wait_for("the new one", || ask() == ("HIT".into(), "second".into()));
    assert_eq!(count(&seen), 2);
    // Nothing is left of the request on the side, nor a line in the log.
    let lines = weir.prefix.lines("access.log");
    assert!(lines.iter().all(|line| !line.starts_with("EXPIRED")), "{lines:?}");
}

#[test]
fn a_server_says_that_nothing_has_changed() {
    let fields = "Cache-Control: max-age=1\r\nETag: \"e\"\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n";
    let (backend, seen) = changing(fields, |_, request| {
        let asked = request.contains("If-None-Match: \"e\"\r\n")
            && request.contains("If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT\r\n")
            && request.contains("X-Old: \"e\" of Wed, 01 Jan 2020 00:00:00 GMT\r\n");
        match asked {
            true => "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\n\r\n".into(),
            false => ok("", "wrong"),
        }
    });
    let old = "proxy_set_header X-Old \"$upstream_cache_etag of $upstream_cache_last_modified\";";
    let (_weir, port) = plain(&backend, &format!("proxy_cache_revalidate on; {old}"));
    expect(&port, "/", "MISS", "first");
    assert_eq!(wait_state(&port, "/", "REVALIDATED"), "first");
    let reply = ask(&port, "GET", "/", "If-None-Match: \"e\"\r\n");
    assert_eq!((reply.status, state(&reply)), (304, "HIT"));
    expect(&port, "/", "HIT", "first");
    assert_eq!(count(&seen), 2);
}
