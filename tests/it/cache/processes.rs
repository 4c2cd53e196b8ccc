//! The cache manager and the cache loader, and what reloads and restarts leave.

use super::*;

const BODIES: &str = "Cache-Control: max-age=600\r\n";
const LOCATIONS: &str =
    "proxy_cache zone; location / { proxy_pass http://SERVER; } location /status { tcp_check_status; }";

fn numbered(length: usize) -> (Backend, Seen) {
    origin(move |number, _| ok(BODIES, &format!("{number:0length$}")))
}

/// A weir whose cache loader begins at once.
fn launch(prefix: Prefix, http: &str) -> Weir {
    prefix.write("nginx.conf", format!("env WEIR_LOADER_DELAY=0;\n{}", config(http)));
    Weir::launch(prefix, &[])
}

#[test]
fn what_nobody_asks_for_is_given_up() {
    let (backend, _) = numbered(1);
    let (weir, port) = caching(&backend, "inactive=1s", LOCATIONS);
    expect(&port, "/a", "MISS", "0");
    wait_for("the file to go", || files(&weir).is_empty());
    wait_for("the entry to go", || figure(&port, "entries") == 0);
    expect(&port, "/a", "MISS", "1");
}

#[test]
fn a_cache_stays_within_its_size() {
    let (backend, _) = numbered(10_000);
    let (weir, port) = caching(&backend, "max_size=100k manager_files=2 manager_sleep=1ms", LOCATIONS);
    for number in 0..40 {
        assert_eq!(get(&port, &format!("/{number}")).0, "MISS");
    }
    wait_for("the oldest to go", || figure(&port, "size") <= 100 << 10);
    wait_for("their files to go", || files(&weir).len() as u64 == figure(&port, "files"));
    assert!(files(&weir).len() <= 8);
    assert_eq!(get(&port, "/39").0, "HIT");
    assert_eq!(get(&port, "/0").0, "MISS");
}

#[test]
fn a_disk_keeps_what_is_to_be_free() {
    let (backend, _) = numbered(1);
    // More than any disk has.
    let (weir, port) = caching(&backend, "min_free=9000000g", LOCATIONS);
    expect(&port, "/a", "MISS", "0");
    wait_for("the file to go", || files(&weir).is_empty());
}

#[test]
fn a_full_zone_gives_up_the_oldest() {
    let (backend, _) = numbered(1);
    let (weir, port) = serve(|port| http(port, &backend, "", LOCATIONS).replace("zone:1m", "zone:8k"));
    for number in 0..150 {
        assert_eq!(get(&port, &format!("/{number}")).0, "MISS");
    }
    assert_eq!(get(&port, "/149").0, "HIT");
    wait_for("files and entries to agree", || files(&weir).len() as u64 == figure(&port, "files"));
    assert!(figure(&port, "entries") <= 73);
}

#[test]
fn a_reload_keeps_what_is_known_and_a_restart_finds_it_again() {
    let (backend, seen) = numbered(1);
    let port = Port::reserve();
    let text = http(&port, &backend, "levels=1:2 loader_files=1 loader_sleep=1ms", LOCATIONS);
    let mut weir = launch(Prefix::new(), &text);
    for number in 0..5 {
        get(&port, &format!("/{number}"));
    }
    let old = weir.workers();
    weir.signal(Signal::SIGHUP);
    wait_for("a new worker", || {
        let now = weir.workers();
        now.len() == 1 && now != old
    });
    expect(&port, "/0", "HIT", "0");
    assert_eq!(figure(&port, "files"), 5);
    weir.signal(Signal::SIGQUIT);
    weir.wait_exit();
    let prefix = folder_of(weir);
    let before = loads(&prefix);
    let weir = launch(prefix, &text);
    // At once, be the loader where it is.
    expect(&port, "/0", "HIT", "0");
    wait_for("the loader to have been through all", || loads(&weir.prefix) > before);
    assert_eq!(figure(&port, "files"), 5);
    for number in 0..5 {
        expect(&port, &format!("/{number}"), "HIT", &number.to_string());
    }
    assert_eq!(count(&seen), 5);
}

#[test]
fn a_zone_keeps_its_folder() {
    let (backend, _) = numbered(1);
    let port = Port::reserve();
    let text = http(&port, &backend, "", LOCATIONS);
    let weir = launch(Prefix::new(), &text);
    weir.prefix.replace("nginx.conf", config(&text.replace("proxy_cache_path cache", "proxy_cache_path other")));
    weir.signal(Signal::SIGHUP);
    let line = weir.wait_error("cache path while previously it used the");
    assert!(line.contains("[emerg]") && line.contains("cache \"zone\" uses the "), "{line}");
    expect(&port, "/", "MISS", "0");
    // One of another size is another.
    let old = weir.workers();
    let moved = text.replace("proxy_cache_path cache", "proxy_cache_path other").replace("zone:1m", "zone:2m");
    weir.prefix.replace("nginx.conf", config(&moved));
    weir.signal(Signal::SIGHUP);
    wait_for("a new worker", || {
        let now = weir.workers();
        now.len() == 1 && now != old
    });
    expect(&port, "/", "MISS", "1");
}

#[test]
fn the_manager_comes_back_and_goes_with_the_others() {
    let (backend, _) = numbered(1);
    let (mut weir, port) = caching(&backend, "inactive=1s", LOCATIONS);
    let old = wait_some("the manager", || keeper(&weir, "manager"));
    assert_eq!(proc::uid(old), proc::uid(weir.worker()));
    running::send(old, Signal::SIGKILL);
    wait_for("another manager", || keeper(&weir, "manager").is_some_and(|pid| pid != old));
    expect(&port, "/", "MISS", "0");
    wait_for("it to work", || files(&weir).is_empty());
    let before = keeper(&weir, "manager");
    weir.signal(Signal::SIGHUP);
    wait_for("that of the next configuration", || {
        let now: Vec<i32> = proc::children(weir.master())
            .into_iter()
            .filter(|&pid| proc::title(pid) == "weir: cache manager process")
            .collect();
        now.len() == 1 && Some(now[0]) != before
    });
    std::fs::rename(weir.prefix.join("error.log"), weir.prefix.join("old.log")).unwrap();
    weir.signal(Signal::SIGUSR1);
    wait_for("another log", || weir.prefix.join("error.log").exists());
    let manager = keeper(&weir, "manager").unwrap();
    weir.signal(Signal::SIGTERM);
    assert!(weir.wait_exit().success());
    wait_for("the manager to end", || !proc::alive(manager));
}
