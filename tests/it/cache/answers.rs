//! What is kept, for how long, and what of it clients get.

use super::*;

#[test]
fn an_answer_is_kept_and_given_again() {
    let (backend, seen) = origin(|number, _| ok("Cache-Control: max-age=60\r\nX-A: 1\r\n", &format!("body {number}")));
    let (weir, port) = caching(
        &backend,
        "levels=1:2",
        "proxy_cache zone; location / { proxy_pass http://SERVER; } location /status { tcp_check_status; }",
    );
    expect(&port, "/a", "MISS", "body 0");
    let reply = ask(&port, "GET", "/a", "");
    assert_eq!((state(&reply), reply.text(), reply.field("X-A")), ("HIT", "body 0", Some("1")));
    expect(&port, "/a?b", "MISS", "body 1");
    expect(&port, "/a", "HIT", "body 0");
    assert_eq!(count(&seen), 2);
    // The file stands where nginx would put it.
    let file = files(&weir).into_iter().find(|path| std::fs::read(path).unwrap().ends_with(b"body 0")).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(file.ends_with(format!("cache/{}/{}/{name}", &name[31..], &name[29..31])), "{}", file.display());
    let lines = weir.wait_access(4);
    assert_eq!(lines[..2], ["MISS 200 /a", "HIT 200 /a"]);
    assert_eq!([figure(&port, "HIT"), figure(&port, "MISS"), figure(&port, "files")], [2, 2, 2]);
    assert_eq!(figure(&port, "size"), 8192);
    let text = ask(&port, "GET", "/status?format=prometheus", "").text().to_owned();
    assert!(text.contains("weir_cache_requests_total{zone=\"zone\",status=\"HIT\"} 2\n"), "{text}");
    assert!(ask(&port, "GET", "/status", "").text().contains("<td>zone</td>"));
}

#[test]
fn large_bodies_and_chunks_are_kept_whole() {
    let body: String = (0..200_000).map(|number| format!("{number:07} ")).collect();
    let large = body.clone();
    let (backend, seen) = origin(move |_, request| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
        match request.contains(" /chunks ") {
            true => format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len()),
            false => format!("{head}\r\n{large}"),
        }
    });
    let (_weir, port) = plain(&backend, "proxy_http_version 1.1; sendfile on; proxy_buffers 4 4k;");
    for path in ["/chunks", "/close"] {
        // A client that is slow at first gets it from the file that is being filled.
        let mut stream = clients::connect_narrow(port.v4().parse().unwrap());
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let answer = read_all(&mut stream);
        assert!(answer.ends_with(body.as_bytes()), "{path}");
        let reply = ask(&port, "GET", path, "");
        assert_eq!((state(&reply), reply.text().len()), ("HIT", body.len()));
        assert_eq!(reply.text(), body);
    }
    assert_eq!(count(&seen), 2);
}

#[test]
fn a_file_is_complete_though_its_client_has_left() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = Backend::start(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nCache-Control: max-age=60\r\n\r\nhalf");
        let _ = wait.lock().unwrap().recv();
        let _ = stream.write_all(b"rest");
    });
    let (weir, port) = plain(&backend, "");
    let mut stream = connect(port.v4());
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut start = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut start).unwrap();
    drop(stream);
    release.send(()).unwrap();
    wait_for("the file", || files(&weir).len() == 1);
    expect(&port, "/a", "HIT", "halfrest");
}

#[test]
fn an_answer_that_is_cut_short_is_not_kept() {
    let (backend, _) = origin(|_, request| match request.contains(" /length ") {
        true => "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nCache-Control: max-age=60\r\n\r\nhalf".into(),
        false => {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n4\r\nhalf\r\n".into()
        }
    });
    let (weir, port) = plain(&backend, "proxy_http_version 1.1;");
    for path in ["/length", "/chunks"] {
        let mut stream = connect(port.v4());
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        assert!(!read_all(&mut stream).is_empty());
    }
    assert_eq!(weir.wait_access(2), ["MISS 200 /length", "MISS 200 /chunks"]);
    assert!(files(&weir).is_empty());
}

#[test]
fn what_answers_say_of_how_long_they_are_good_for() {
    let (backend, _) = origin(|number, request| {
        let path = request.split(' ').nth(1).unwrap();
        let fields = match path {
            "/accel" => "X-Accel-Expires: 60\r\nCache-Control: no-cache\r\n",
            "/accel-off" => "X-Accel-Expires: 0\r\nCache-Control: max-age=60\r\n",
            "/expires" => "Expires: Thu, 31 Dec 2099 23:59:59 GMT\r\n",
            "/expired" => "Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n",
            "/no-store" | "/ignored" => "Cache-Control: no-store\r\n",
            "/private" => "Cache-Control: private, max-age=60\r\n",
            "/cookie" => "Cache-Control: max-age=60\r\nSet-Cookie: a=b\r\n",
            "/star" => "Cache-Control: max-age=60\r\nVary: *\r\n",
            _ => "",
        };
        ok(fields, &format!("{number}"))
    });
    let (_weir, port) = caching(
        &backend,
        "",
        "proxy_cache zone; location / { proxy_pass http://SERVER; }
         location /valid { proxy_pass http://SERVER; proxy_cache_valid 60s; }
         location /any { proxy_pass http://SERVER; proxy_cache_valid 404 0; proxy_cache_valid any 1m; }
         location /other { proxy_pass http://SERVER; proxy_cache_valid 404 1m; }
         location /unbuffered { proxy_pass http://SERVER; proxy_cache_valid 1m; proxy_buffering off; }
         location /ignored { proxy_pass http://SERVER; proxy_cache_valid 1m; proxy_ignore_headers Cache-Control; }",
    );
    for (path, kept) in [
        ("/accel", true),
        ("/accel-off", false),
        ("/expires", true),
        ("/expired", false),
        ("/no-store", false),
        ("/private", false),
        ("/cookie", false),
        ("/star", false),
        ("/nothing", false),
        ("/valid", true),
        ("/any", true),
        ("/other", false),
        ("/unbuffered", false),
        ("/ignored", true),
    ] {
        assert_eq!(get(&port, path).0, "MISS", "{path}");
        assert_eq!(get(&port, path).0, if kept { "HIT" } else { "MISS" }, "{path}");
    }
}

#[test]
fn parts_and_conditions_are_answered_by_the_cache() {
    let (backend, seen) = origin(|_, _| {
        let fields = "Cache-Control: max-age=60\r\nAccept-Ranges: bytes\r\nETag: \"x\"\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n";
        ok(fields, "0123456789")
    });
    let (_weir, port) = plain(&backend, "");
    for state_now in ["MISS", "HIT"] {
        let reply = ask(&port, "GET", "/part", "Range: bytes=2-4\r\n");
        assert_eq!((reply.status, state(&reply), reply.text()), (206, state_now, "234"));
        assert_eq!(reply.field("Content-Range"), Some("bytes 2-4/10"));
        let reply = ask(&port, "GET", "/same", "If-None-Match: \"x\"\r\n");
        assert_eq!((reply.status, state(&reply), reply.field("ETag")), (304, state_now, Some("\"x\"")));
        let reply = ask(&port, "GET", "/since", "If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT\r\n");
        assert_eq!((reply.status, state(&reply)), (304, state_now));
        let reply = ask(&port, "GET", "/none", "Range: bytes=20-\r\n");
        assert_eq!((reply.status, reply.field("Content-Range")), (416, Some("bytes */10")));
        let reply = ask(&port, "GET", "/match", "If-Match: \"y\"\r\n");
        assert_eq!(reply.status, 412);
        let reply = ask(&port, "HEAD", "/head", "");
        assert_eq!((reply.status, state(&reply), reply.field("Content-Length")), (200, state_now, Some("10")));
    }
    let reply = ask(&port, "GET", "/part", "Range: bytes=0-1, 8-9\r\n");
    assert_eq!(reply.status, 206);
    assert!(reply.text().contains("Content-Range: bytes 8-9/10\r\n\r\n89\r\n"), "{}", reply.text());
    for path in ["/part", "/same", "/since", "/none", "/match", "/head"] {
        expect(&port, path, "HIT", "0123456789");
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 6);
    for request in seen.iter() {
        let clean = !request.contains("Range:") && !request.contains("If-") && request.starts_with("GET ");
        assert!(clean, "{request}");
    }
}

#[test]
fn methods_and_parts_that_are_passed_on() {
    let (backend, seen) = origin(|number, request| {
        let body = if request.starts_with("HEAD") { "" } else { "0123456789" };
        format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: max-age=60\r\nX-N: {number}\r\n\r\n{body}")
    });
    let (_weir, port) = caching(
        &backend,
        "",
        "proxy_cache zone; location / { proxy_pass http://SERVER; proxy_cache_max_range_offset 5; }
         location /post { proxy_pass http://SERVER; proxy_cache_methods POST; proxy_cache_key $request_method$uri; }
         location /head { proxy_pass http://SERVER; proxy_cache_convert_head off; proxy_cache_key $request_method$uri; }",
    );
    let states = |method: &str, path: &str, fields: &str| {
        [(); 2].map(|()| ask(&port, method, path, fields).field("X-Cache").unwrap_or("-").to_owned())
    };
    assert_eq!(states("POST", "/a", "Content-Length: 0\r\n"), ["-", "-"]);
    assert_eq!(states("POST", "/post", "Content-Length: 0\r\n"), ["MISS", "HIT"]);
    assert_eq!(states("HEAD", "/head", ""), ["MISS", "HIT"]);
    assert_eq!(states("GET", "/head", ""), ["MISS", "HIT"]);
    assert!(seen.lock().unwrap().iter().any(|request| request.starts_with("HEAD /head ")));
    assert_eq!(states("GET", "/far", "Range: bytes=5-\r\n"), ["MISS", "MISS"]);
    assert!(crate::proxy::last(&seen).contains("Range: bytes=5-\r\n"));
    assert_eq!(states("GET", "/tail", "Range: bytes=-5\r\n"), ["MISS", "MISS"]);
    assert_eq!(states("GET", "/near", "Range: bytes=4-\r\n"), ["MISS", "HIT"]);
}

#[test]
fn error_pages_stand_for_failures_that_are_remembered() {
    let (backend, seen) = origin(|_, request| match request.contains(" /gone ") {
        true => "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone".into(),
        false => String::new(),
    });
    let (_weir, port) = caching(
        &backend,
        "",
        "proxy_cache zone; proxy_cache_valid 404 502 1m; proxy_intercept_errors on; error_page 404 =200 @page;
         location / { proxy_pass http://SERVER; } location @page { return 200 page; }",
    );
    for _ in 0..2 {
        let reply = ask(&port, "GET", "/gone", "");
        assert_eq!((reply.status, reply.text()), (200, "page"));
        let reply = ask(&port, "GET", "/broken", "");
        assert_eq!(reply.status, 502);
    }
    assert_eq!(count(&seen), 2);
}

#[test]
fn the_age_of_an_answer_grows() {
    let (backend, _) = origin(|_, _| ok("Cache-Control: max-age=60\r\nAge: 5\r\n", "x"));
    let (_weir, port) = plain(&backend, "");
    assert_eq!(ask(&port, "GET", "/", "").field("Age"), Some("5"));
    let age = || ask(&port, "GET", "/", "").field("Age").unwrap().parse::<u64>().unwrap();
    assert!((5..30).contains(&age()));
    wait_for("an older answer", || age() > 5);
}

#[test]
fn what_is_compressed_on_the_way_does_not_pile_up_in_memory() {
    let mut dice = dice::Dice::new(1);
    let body: Arc<Vec<u8>> = Arc::new((0..16 << 20).map(|_| b'0' + dice.roll(64) as u8).collect());
    let sent = body.clone();
    let backend = Backend::start(move |mut stream| {
        read_request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 16777216\r\nCache-Control: max-age=60\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&sent));
    });
    let (weir, port) = plain(
        &backend,
        "gzip on; gzip_comp_level 1; gzip_types text/plain; proxy_max_temp_file_size 0; send_timeout 3s;",
    );
    let worker = weir.worker();
    let before = proc::kilobytes(worker, "VmRSS").unwrap();
    // One who takes nothing.
    let mut stream = clients::connect_narrow(port.v4().parse().unwrap());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    wait_for("the file", || files(&weir).len() == 1);
    let grown = proc::kilobytes(worker, "VmHWM").unwrap().saturating_sub(before);
    assert!(grown < 5 << 10, "{grown} KiB more");
    let reply = ask(&port, "GET", "/", "");
    assert_eq!((state(&reply), reply.body == *body), ("HIT", true));
}
