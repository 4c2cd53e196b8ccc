//! `proxy_cache` as time passes: what is kept, grows old, and is brought up to date. Requests build upon those before them; those that wait for the
//! same time come together, so that it passes once for all of them.

use super::Theme;
use super::case::{Begin, Case, get, get_with};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off;
            proxy_cache_path cache keys_zone=zone:1m inactive=1h;
            proxy_cache_path short keys_zone=short:1m inactive=1s;
            proxy_cache zone; proxy_hide_header Age; add_header X-Cache $upstream_cache_status always;
            server { listen {listen}; server_name main;
                location / { proxy_pass http://{up}; }
                location /valid/ { proxy_pass http://{up}; proxy_cache_valid 1s; }
                location /mixed/ { proxy_pass http://{up}; proxy_cache_valid 404 1s; proxy_cache_valid any 1h; }
                location /stale/ { proxy_pass http://{up}; proxy_cache_use_stale error invalid_header http_500 http_502 http_503
                    http_504 http_403 http_404 http_429; }
                location /patient/ { proxy_pass http://{up}; proxy_cache_key silent; }
                location /hasty/ { proxy_pass http://{up}; proxy_cache_key silent; proxy_cache_use_stale timeout; proxy_read_timeout 1s; }
                location /some/ { proxy_pass http://{up}; proxy_cache_use_stale http_503; proxy_cache_valid 502 504 1h; }
                location /updating/ { proxy_pass http://{up}; proxy_cache_use_stale updating; }
                location /background/ { proxy_pass http://{up}; proxy_cache_use_stale updating; proxy_cache_background_update on; }
                location /side/ { proxy_pass http://{up}; proxy_cache_background_update on; }
                location /revalidate/ { proxy_pass http://{up}; proxy_cache_revalidate on; }
                location /uses/ { proxy_pass http://{up}; proxy_cache_min_uses 3; proxy_cache_valid 1s; }
                location /lock/ { proxy_pass http://{up}; proxy_cache_valid 1h; proxy_cache_lock on; proxy_cache_lock_timeout 300ms;
                    proxy_cache_lock_age 1m; }
                location /age/ { proxy_pass http://{up}; proxy_cache_valid 1h; proxy_cache_lock on; proxy_cache_lock_timeout 1m;
                    proxy_cache_lock_age 300ms; }
                location /short/ { proxy_pass http://{up}; proxy_cache short; proxy_cache_valid 1h; } }",
        files: vec![("html/index.html", String::new())],
        cases: cases(),
    }
}

/// An answer with this status and these fields; the connection ends behind it.
fn answer(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: text/x-up\r\nContent-Length: {length}\r\n{fields}\r\n{body}")
}

const SECOND: &str = "Cache-Control: max-age=1\r\n";
const LONG: &str = "Cache-Control: max-age=600\r\n";
const TAGGED: &str = "Cache-Control: max-age=1\r\nETag: \"e\"\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n";

/// What is kept at first: the path, the status, the fields.
const KEPT: &[(&str, &str, &str)] = &[
    ("/a", "200 OK", SECOND),
    ("/long", "200 OK", LONG),
    ("/not", "200 OK", ""),
    ("/accel", "200 OK", "X-Accel-Expires: 1\r\n"),
    ("/valid/a", "200 OK", ""),
    ("/valid/301", "301 Moved", "Location: /x\r\n"),
    ("/valid/404", "404 Not Found", ""),
    ("/valid/long", "200 OK", LONG),
    ("/mixed/404", "404 Not Found", ""),
    ("/mixed/500", "500 No", ""),
    ("/stale/500", "200 OK", SECOND),
    ("/stale/403", "200 OK", SECOND),
    ("/stale/404", "200 OK", SECOND),
    ("/stale/429", "200 OK", SECOND),
    ("/stale/418", "200 OK", SECOND),
    ("/stale/200", "200 OK", SECOND),
    ("/stale/reset", "200 OK", SECOND),
    ("/stale/garbage", "200 OK", SECOND),
    ("/patient/silent", "200 OK", SECOND),
    ("/stale/cut", "200 OK", SECOND),
    ("/some/503", "200 OK", SECOND),
    ("/some/500", "200 OK", SECOND),
    ("/some/reset", "200 OK", SECOND),
    ("/allowed/reset", "200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\n"),
    ("/allowed/500", "200 OK", "Cache-Control: max-age=1, stale-if-error=600\r\n"),
    ("/allowed/no-more", "200 OK", "Cache-Control: max-age=1, stale-if-error=0\r\n"),
    ("/while", "200 OK", "Cache-Control: max-age=1, stale-while-revalidate=600\r\n"),
    ("/while-no-more", "200 OK", "Cache-Control: max-age=1, stale-while-revalidate=0\r\n"),
    ("/updating/a", "200 OK", SECOND),
    ("/background/a", "200 OK", SECOND),
    ("/background/fails", "200 OK", SECOND),
    ("/side/a", "200 OK", "Cache-Control: max-age=1, stale-while-revalidate=600\r\n"),
    ("/side/no-more", "200 OK", "Cache-Control: max-age=1, stale-while-revalidate=0\r\n"),
    ("/side/none", "200 OK", SECOND),
    ("/revalidate/same", "200 OK", TAGGED),
    ("/revalidate/again", "200 OK", TAGGED),
    ("/revalidate/new", "200 OK", TAGGED),
    ("/revalidate/asked", "200 OK", TAGGED),
    ("/uses/a", "200 OK", ""),
    ("/uses/a", "200 OK", ""),
    ("/uses/a", "200 OK", ""),
    ("/short/a", "200 OK", ""),
];

fn cases() -> Vec<Case> {
    let first = KEPT
        .iter()
        .enumerate()
        .map(|(number, (path, status, fields))| get(path).up(&[answer(status, fields, &format!("first {number}"))]));
    let mut cases: Vec<Case> = first.collect();
    let aged = cases.len();
    second(&mut cases);
    cases[aged].begin = Begin::Aged;
    let aged = cases.len();
    third(&mut cases);
    cases[aged].begin = Begin::Aged;
    locks(&mut cases);
    cases.push(get("/short/a").up(&[answer("200 OK", "", "again")]).when(Begin::Empty("short")));
    cases
}

/// What was good for a second is not any more.
fn second(cases: &mut Vec<Case>) {
    let new = |path: &str| get(path).up(&[answer("200 OK", LONG, "second")]);
    let fails = |path: &str, step: &str| get(path).up(&[step]);
    let status = |path: &str, status: &str| get(path).up(&[answer(status, "", "failure")]);
    for path in [
        "/a",
        "/long",
        "/not",
        "/accel",
        "/valid/a",
        "/valid/301",
        "/valid/404",
        "/valid/long",
        "/mixed/404",
        "/mixed/500",
        "/uses/a",
    ] {
        cases.extend([(); 2].map(|()| new(path)));
    }
    cases.extend(
        ["500 No", "403 No", "404 No", "429 No", "418 No"].map(|line| status(&format!("/stale/{}", &line[..3]), line)),
    );
    cases.extend([(); 2].map(|()| new("/stale/200")));
    cases.extend([
        fails("/stale/reset", "reset:"),
        fails("/stale/garbage", "HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n"),
        fails("/hasty/silent", "silent:"),
        fails("/stale/cut", "HTTP/1.1 200 OK\r\n"),
        status("/some/503", "503 No"),
        status("/some/500", "500 No"),
        fails("/some/reset", "reset:"),
        fails("/some/reset", "reset:"),
        fails("/some/new", "reset:"),
        fails("/some/new", "reset:"),
        fails("/allowed/reset", "reset:"),
        status("/allowed/500", "500 No"),
        fails("/allowed/no-more", "reset:"),
    ]);
    // Another request for the same waits for its answer.
    for path in ["/a-new", "/while", "/while-no-more", "/updating/a"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let script = [format!("later:{}", answer("200 OK", LONG, "first")), answer("200 OK", LONG, "second")];
        cases.push(get(path).up(&script).beside(request).and_stays());
        cases.push(new(path));
    }
    for path in ["/background/a", "/side/a"] {
        cases.push(get_with(path, "Connection: close\r\n").up(&[answer("200 OK", LONG, "second")]).asked_later());
        cases.push(fails(path, "reset:"));
    }
    cases.push(get_with("/background/fails", "Connection: close\r\n").up(&[answer("500 No", "", "no")]).asked_later());
    cases.extend([(); 2].map(|()| new("/side/no-more")));
    cases.extend([(); 2].map(|()| new("/side/none")));
    let same = format!("HTTP/1.1 304 Not Modified\r\n{LONG}\r\n");
    cases.push(get("/revalidate/same").up(&[same.as_str()]));
    cases.push(get("/revalidate/same").up(&["reset:"]));
    cases.push(get("/revalidate/again").up(&["HTTP/1.1 304 Not Modified\r\n\r\n"]));
    cases.extend([(); 2].map(|()| new("/revalidate/new")));
    let asked = "If-None-Match: \"e\"\r\n";
    cases.push(get_with("/revalidate/asked", asked).up(&[same.as_str()]));
}

/// What has been brought up to date for another second is old again.
fn third(cases: &mut Vec<Case>) {
    cases.extend([(); 2].map(|()| get("/revalidate/again").up(&[answer("200 OK", LONG, "third")])));
    let later = get_with("/background/fails", "Connection: close\r\n").up(&[answer("200 OK", LONG, "third")]);
    cases.push(later.asked_later());
    cases.push(get("/background/fails").up(&["reset:"]));
}

/// What somebody asks for already.
fn locks(cases: &mut Vec<Case>) {
    for path in ["/lock/a", "/age/a"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let script = [format!("later:{}", answer("200 OK", "", "first")), answer("200 OK", "", "second")];
        cases.push(get(path).up(&script).beside(request).and_stays());
        cases.extend([(); 2].map(|()| get(path).up(&[answer("200 OK", "", "third")])));
    }
}
