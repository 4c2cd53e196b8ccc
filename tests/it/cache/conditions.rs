//! Conditions of clients, and parts: a server is not asked about them where its answer may be kept.

use super::*;

const VALIDATORS: &str = "ETag: \"x\"\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n";

#[test]
fn they_are_ours_though_the_answer_is_not_kept_after_all() {
    // Nobody says for how long it is good.
    let (backend, seen) = origin(|_, request| match request.contains(" /chunks ") {
        true => format!("HTTP/1.1 200 OK\r\n{VALIDATORS}\r\n0123456789"),
        false => ok(VALIDATORS, "0123456789"),
    });
    let (weir, port) = plain(&backend, "");
    for path in ["/a", "/chunks"] {
        for condition in ["If-None-Match: \"x\"\r\n", "If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT\r\n"] {
            for method in ["GET", "HEAD"] {
                let reply = ask(&port, method, path, condition);
                assert_eq!((reply.status, state(&reply), reply.text()), (304, "MISS", ""), "{path} {condition}");
            }
        }
    }
    assert_eq!(ask(&port, "GET", "/a", "If-None-Match: \"y\"\r\n").text(), "0123456789");
    let reply = ask(&port, "GET", "/a", "Range: bytes=2-4\r\n");
    assert_eq!((reply.status, reply.text(), reply.field("Content-Range")), (206, "234", Some("bytes 2-4/10")));
    let reply = ask(&port, "GET", "/chunks", "Range: bytes=2-4\r\n");
    assert_eq!((reply.status, reply.field("Accept-Ranges")), (200, None), "its length is not known");
    assert_eq!(ask(&port, "GET", "/a", "Range: bytes=20-\r\n").status, 416);
    assert_eq!(ask(&port, "GET", "/a", "If-Match: \"y\"\r\n").status, 412);
    // The connection serves on behind an answer whose body is left.
    let mut stream = connect(port.v4());
    for _ in 0..2 {
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\n\r\n").unwrap();
        assert_eq!(crate::http::read_reply(&mut stream, false).status, 304);
    }
    assert!(seen.lock().unwrap().iter().all(|request| !request.contains("If-") && !request.contains("Range:")));
    assert!(files(&weir).is_empty());
    assert!(!weir.error_log().contains("more data than specified"));
}

#[test]
fn what_must_not_be_kept_is_passed_on_whole() {
    let (backend, _) = origin(|_, _| ok(&format!("Cache-Control: no-store\r\n{VALIDATORS}"), "0123456789"));
    let (_weir, port) = plain(&backend, "");
    for asked in ["If-None-Match: \"x\"\r\n", "Range: bytes=2-4\r\n"] {
        let reply = ask(&port, "GET", "/", asked);
        assert_eq!((reply.status, reply.text()), (200, "0123456789"), "{asked}");
    }
}

#[test]
fn what_a_client_has_itself_is_not_what_there_is() {
    let (backend, _) = origin(|number, request| match (number, request.contains("If-None-Match: \"new\"")) {
        (0, _) => ok("X-Accel-Expires: @1\r\nAccept-Ranges: bytes\r\nETag: \"old\"\r\n", "old answer"),
        (_, true) => "HTTP/1.1 304 Not Modified\r\nETag: \"new\"\r\n\r\n".into(),
        (_, false) => ok("ETag: \"new\"\r\n", "new answer"),
    });
    let (_weir, port) = plain(&backend, "proxy_cache_revalidate on; proxy_cache_max_range_offset 2;");
    expect(&port, "/", "MISS", "old answer");
    // Passed on as it is, since the part is so far behind; the server speaks of the client's own copy then.
    let reply = ask(&port, "GET", "/", "Range: bytes=4-\r\nIf-None-Match: \"new\"\r\n");
    assert_eq!((reply.status, state(&reply), reply.text()), (304, "EXPIRED", ""));
}

#[test]
fn what_there_is_can_be_told_where_a_server_is_asked_about_it() {
    let (backend, _) = origin(|_, _| ok(&format!("X-Accel-Expires: @1\r\n{VALIDATORS}"), "x"));
    let (_weir, port) = caching(
        &backend,
        "",
        "proxy_cache zone; add_header X-Known \"$upstream_cache_last_modified|$upstream_cache_etag\"; add_header X-Cache $upstream_cache_status;
         location /off { proxy_pass http://SERVER; }
         location /on { proxy_pass http://SERVER; proxy_cache_revalidate on; }",
    );
    let known = |path: &str| {
        let reply = ask(&port, "GET", path, "");
        (state(&reply).to_owned(), reply.field("X-Known").unwrap().to_owned())
    };
    for path in ["/off", "/on"] {
        assert_eq!(known(path), ("MISS".into(), "|".into()));
    }
    assert_eq!(known("/off"), ("EXPIRED".into(), "|".into()));
    assert_eq!(known("/on"), ("EXPIRED".into(), "Wed, 01 Jan 2020 00:00:00 GMT|\"x\"".into()));
}

#[test]
fn a_part_that_is_not_there_is_answered_with_the_fields_of_what_is() {
    let told = "Cache-Control: max-age=60\r\nX-Told: 1\r\n";
    let (backend, _) = origin(move |_, _| ok(&format!("{told}{VALIDATORS}"), "0123456789"));
    let (_weir, port) = plain(&backend, "");
    expect(&port, "/", "MISS", "0123456789");
    let reply = ask(&port, "GET", "/", "Range: bytes=20-\r\n");
    assert_eq!((reply.status, state(&reply), reply.field("Content-Range")), (416, "HIT", Some("bytes */10")));
    assert_eq!((reply.field("Cache-Control"), reply.field("X-Told")), (Some("max-age=60"), Some("1")));
    assert_eq!((reply.field("ETag"), reply.field("Last-Modified"), reply.field("Accept-Ranges")), (None, None, None));
    assert_eq!(reply.field("Content-Type"), Some("text/html"));
    // A condition that fails has nothing of it.
    let reply = ask(&port, "GET", "/", "If-Match: \"y\"\r\n");
    assert_eq!((reply.status, state(&reply), reply.field("X-Told")), (412, "HIT", None));
}
