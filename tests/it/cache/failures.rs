//! Servers that fail, and answers that are not kept: what others are told of them.

use super::*;

#[test]
fn a_request_that_passes_the_cache_by_tells_others_nothing_of_its_failure() {
    let (backend, seen) = origin(|number, _| if number == 0 { ok("", "kept") } else { String::new() });
    let (_weir, port) =
        plain(&backend, "proxy_cache_key $uri; proxy_cache_valid any 60s; proxy_cache_bypass $arg_fresh;");
    expect(&port, "/", "MISS", "kept");
    let reply = ask(&port, "GET", "/?fresh=1", "");
    assert_eq!((reply.status, state(&reply)), (502, "BYPASS"));
    expect(&port, "/", "HIT", "kept");
    assert_eq!(count(&seen), 2);
}

#[test]
fn an_answer_that_we_replace_is_remembered_for_as_long_as_it_says_itself() {
    let (backend, seen) = origin(|_, request| {
        let path = request.split(' ').nth(1).unwrap();
        let fields = match path {
            "/valid/no-store" => "Cache-Control: no-store\r\n",
            "/valid/cookie" => "Set-Cookie: a=b\r\n",
            "/plain/age" => "Cache-Control: max-age=60\r\n",
            _ => "",
        };
        format!("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n{fields}\r\nno")
    });
    let (_weir, port) = caching(
        &backend,
        "",
        "proxy_cache zone; proxy_intercept_errors on; error_page 404 /page; location = /page { return 200 page; }
         location /plain/ { proxy_pass http://SERVER; }
         location /valid/ { proxy_pass http://SERVER; proxy_cache_valid any 60s; }",
    );
    for (path, remembered) in [
        ("/valid/no-store", false),
        ("/valid/cookie", false),
        ("/valid/none", true),
        ("/plain/age", true),
        ("/plain/none", false),
    ] {
        let before = count(&seen);
        for _ in 0..2 {
            let reply = ask(&port, "GET", path, "");
            assert_eq!((reply.status, reply.text()), (404, "page"), "{path}");
        }
        assert_eq!(count(&seen) - before, if remembered { 1 } else { 2 }, "{path}");
    }
}

#[test]
fn a_kept_answer_is_not_replaced() {
    let (backend, _) = origin(|_, _| "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno".into());
    let (_weir, port) = caching(
        &backend,
        "",
        "proxy_cache zone; proxy_cache_key key; proxy_cache_valid any 60s; location = /page { return 200 page; }
         location / { proxy_pass http://SERVER; }
         location /replaced { proxy_pass http://SERVER; proxy_intercept_errors on; error_page 404 /page; }",
    );
    for (path, state_now) in [("/", "MISS"), ("/replaced", "HIT"), ("/", "HIT")] {
        let reply = ask(&port, "GET", path, "");
        assert_eq!((reply.status, state(&reply), reply.text()), (404, state_now, "no"), "{path}");
    }
}

#[test]
fn what_may_be_old_while_it_is_brought_up_to_date_may_be_so_after_failures() {
    let (backend, _) = origin(|number, _| match number {
        0 => ok("Cache-Control: max-age=1, stale-while-revalidate=60\r\n", "first"),
        _ => String::new(),
    });
    let (_weir, port) = plain(&backend, "");
    expect(&port, "/", "MISS", "first");
    assert_eq!(wait_state(&port, "/", "STALE"), "first");
}

#[test]
fn what_is_not_kept_takes_no_place_from_what_is() {
    let (backend, _) = origin(|_, request| match request.contains(" /kept ") {
        true => ok("Cache-Control: max-age=60\r\n", "kept"),
        false => ok("Cache-Control: no-store\r\n", "x"),
    });
    let (weir, port) = serve(|port| {
        http(
            port,
            &backend,
            "",
            "proxy_cache zone; location / { proxy_pass http://SERVER; } location /status { tcp_check_status; }",
        )
        .replace("zone:1m", "zone:8k")
    });
    expect(&port, "/kept", "MISS", "kept");
    // Twice as many as the zone has places.
    for number in 0..150 {
        assert_eq!(get(&port, &format!("/{number}")).0, "MISS");
    }
    expect(&port, "/kept", "HIT", "kept");
    assert_eq!((figure(&port, "entries"), files(&weir).len()), (1, 1));
}

#[test]
fn a_client_that_leaves_does_not_end_what_the_cache_waits_for() {
    let (release, wait) = std::sync::mpsc::channel();
    let wait = Mutex::new(wait);
    let (backend, seen) = origin(move |_, request| {
        let _ = wait.lock().unwrap().recv();
        match () {
            () if request.contains(" /kept ") => ok("Cache-Control: max-age=60\r\n", "kept"),
            () if request.contains(" /unkept ") => ok("Cache-Control: no-store\r\n", "unkept"),
            () => String::new(),
        }
    });
    let text = "location / { proxy_cache zone; proxy_pass http://servers; error_page 502 =200 /page; }
                location /page { return 200 page; }";
    let (weir, port) = serve(|port| {
        let servers = format!("upstream servers {{ server {0}; server {0}; }}\n", backend.address);
        servers + &http(port, &backend, "", text)
    });
    // Neither another server nor an error's page is for anybody.
    for (number, (path, line)) in
        [("/kept", "MISS 200 /kept"), ("/unkept", "MISS 200 /unkept"), ("/none", "MISS 499 /none")]
            .into_iter()
            .enumerate()
    {
        let mut client = connect(port.v4());
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        wait_for("the request", || count(&seen) == number + 1);
        drop(client);
        wait_for("its end to be seen", || {
            let of_it =
                |line: &String| line.contains("client prematurely closed connection while") && line.contains(path);
            weir.prefix.lines("error.log").iter().filter(|line| of_it(line)).count() == 1
        });
        release.send(()).unwrap();
        assert_eq!(weir.wait_access(number + 1)[number], line);
    }
    assert_eq!(count(&seen), 3);
    expect(&port, "/kept", "HIT", "kept");
}
