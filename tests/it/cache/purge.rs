//! `proxy_cache_purge`.

use super::*;

#[test]
fn entries_are_given_up_by_key_and_by_prefix() {
    let (backend, _) = origin(|number, _| ok("Cache-Control: max-age=60\r\nVary: Accept\r\n", &number.to_string()));
    let (weir, port) = plain(&backend, "proxy_cache_key $uri$arg_star; proxy_cache_purge $http_x_purge;");
    let purge = |path: &str| ask(&port, "PURGE", path, "X-Purge: 1\r\n").status;
    for path in ["/a", "/b/1", "/b/2"] {
        get(&port, path);
    }
    assert_eq!(state(&ask(&port, "GET", "/a", "Accept: x\r\n")), "MISS");
    assert_eq!(files(&weir).len(), 4);
    assert_eq!(purge("/a"), 204);
    assert_eq!(purge("/a"), 404);
    assert_eq!(files(&weir).len(), 2, "with its variants");
    assert_eq!(get(&port, "/b/1").0, "HIT");
    assert_eq!(purge("/b/?star=*"), 204);
    assert_eq!(get(&port, "/b/1").0, "MISS");
    assert_eq!(get(&port, "/a").0, "MISS");
}

/// The first answer tells that there are variants, so it stays the longest of them.
#[test]
fn variants_go_before_the_answer_that_leads_to_them() {
    let (backend, _) = origin(|_, _| ok("Cache-Control: max-age=60\r\nVary: Accept\r\n", "x"));
    let text = "proxy_cache zone; proxy_cache_key $uri; proxy_cache_purge $http_x_purge; location / { proxy_pass http://SERVER; }";
    let (weir, port) = serve(|port| http(port, &backend, "", text).replace("zone:1m", "zone:8k"));
    let ask = |method: &str, fields: &str| ask(&port, method, "/a", fields);
    let fill = || {
        for (accept, expected) in [("a", "MISS"), ("b", "MISS"), ("b", "HIT")] {
            assert_eq!(state(&ask("GET", &format!("Accept: {accept}\r\n"))), expected);
        }
    };
    fill();
    let ours = || {
        let is_ours = |file: &PathBuf| {
            let content = std::fs::read(file).unwrap_or_default();
            content.windows(8).any(|words| words == b"/aAccept")
        };
        files(&weir).into_iter().filter(is_ours).count()
    };
    assert_eq!(ours(), 2);
    let mut others = 0;
    wait_for("one of them to go", || {
        others += 1;
        get(&port, &format!("/other/{others}"));
        let left = ours();
        if left == 0 {
            // The manager has given up more than one at once.
            fill();
        }
        left == 1
    });
    assert_eq!(ask("PURGE", "X-Purge: 1\r\n").status, 204);
    assert_eq!(ours(), 0);
}

#[test]
fn what_is_no_file_of_ours_does_not_hold_a_purge_up() {
    let (backend, _) = origin(|_, _| ok("Cache-Control: max-age=60\r\n", "x"));
    let (weir, port) = caching(
        &backend,
        "levels=1:2",
        "proxy_cache zone; proxy_cache_key $uri$arg_star; proxy_cache_purge $http_x_purge; location / { proxy_pass http://SERVER; }",
    );
    for number in 0..5 {
        get(&port, &format!("/{number}"));
    }
    let odd = weir.prefix.join("cache/d41d8cd98f00b204e9800998ecf8427e");
    nix::unistd::mkfifo(&odd, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    let kept = files(&weir).into_iter().find(|path| *path != odd).unwrap();
    // A link to one that a purge would find.
    std::os::unix::fs::symlink(&kept, weir.prefix.join("cache/d41d8cd98f00b204e9800998ecf8427f")).unwrap();
    assert_eq!(ask(&port, "PURGE", "/?star=*", "X-Purge: 1\r\n").status, 204);
    assert_eq!(files(&weir).len(), 2);
    assert_eq!(get(&port, "/0").0, "MISS");
}

/// A weir with a cache.
fn purging() -> (Weir, Port, Backend) {
    let (backend, _) = origin(|_, _| ok("Cache-Control: max-age=60\r\n", "x"));
    let (weir, port) = plain(&backend, "proxy_cache_key $uri$arg_star; proxy_cache_purge $http_x_purge;");
    (weir, port, backend)
}

/// Makes more files in the cache than are looked at in one turn, all the same one, which is open.
fn crowd(weir: &Weir, port: &Port) -> std::fs::File {
    get(port, "/a");
    let file = files(weir).pop().unwrap();
    for number in 0..10_000 {
        std::fs::hard_link(&file, weir.prefix.join(&format!("cache/{number:032x}"))).unwrap();
    }
    std::fs::File::open(file).unwrap()
}

fn links(file: &std::fs::File) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(&file.metadata().unwrap())
}

const ALL: &[u8] = b"PURGE /?star=* HTTP/1.1\r\nHost: a\r\nX-Purge: 1\r\n\r\n";

#[test]
fn others_are_served_while_files_are_looked_at() {
    let (weir, port, _backend) = purging();
    let (worker, mut asked) = (weir.worker(), 0);
    let mut other = loop {
        let file = crowd(&weir, &port);
        let (mut one, other) = (connect(port.v4()), connect(port.v4()));
        one.write_all(ALL).unwrap();
        wait_for("the first to go", || links(&file) < 10_001);
        running::send(worker, Signal::SIGSTOP);
        wait_for("the worker to stop", || proc::stopped(worker));
        asked += 2;
        // On a busy machine it may have done most of it before.
        if links(&file) > 5000 {
            break other;
        }
        running::send(worker, Signal::SIGCONT);
        wait_for("the others to go", || links(&file) == 0);
    };
    other.write_all(b"DELETE /b HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    running::send(worker, Signal::SIGCONT);
    assert_eq!(crate::http::read_reply(&mut other, false).text(), "x");
    assert_eq!(weir.wait_access(asked + 1)[asked - 1..], ["- 200 /b", "- 204 /?star=*"]);
}

#[test]
fn a_purge_goes_on_without_its_client() {
    let (weir, port, _backend) = purging();
    let file = crowd(&weir, &port);
    let mut stream = connect(port.v4());
    stream.write_all(ALL).unwrap();
    drop(stream);
    wait_for("all files to go", || links(&file) == 0);
    assert_eq!(weir.wait_access(2)[1], "- 204 /?star=*");
}

#[test]
fn only_those_who_may() {
    let (backend, _) = origin(|_, _| ok("Cache-Control: max-age=60\r\n", "x"));
    let text = "proxy_cache zone; set_real_ip_from 127.0.0.1; real_ip_header X-Is; proxy_cache_purge $http_x_purge allow=10.0.0.0/8 allow=192.168.0.1;
                location / { proxy_pass http://SERVER; }";
    let (_weir, port) = caching(&backend, "", text);
    get(&port, "/");
    let purge = |client: &str| ask(&port, "GET", "/", &format!("X-Purge: 1\r\nX-Is: {client}\r\n")).status;
    assert_eq!(purge("192.168.0.2"), 403);
    assert_eq!(get(&port, "/").0, "HIT");
    assert_eq!(purge("10.1.2.3"), 204);
    assert_eq!(get(&port, "/").0, "MISS");
    assert_eq!(purge("192.168.0.1"), 204);
}
