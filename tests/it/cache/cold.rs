//! A start with a cache that is full: it serves at once, be the loader where it is.

use super::*;

const LOCATIONS: &str =
    "proxy_cache zone; location / { proxy_pass http://SERVER; } location /status { tcp_check_status; }";
const FILES: usize = 40;

/// A folder with so many files, left by a weir that has ended.
fn full(port: &Port, backend: &Backend) -> Prefix {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", config(&http(port, backend, "levels=1:2", LOCATIONS)));
    let mut weir = Weir::launch(prefix, &[]);
    for number in 0..FILES {
        expect(port, &format!("/{number}"), "MISS", &number.to_string());
    }
    weir.signal(Signal::SIGQUIT);
    weir.wait_exit();
    folder_of(weir)
}

fn numbered() -> (Backend, Seen) {
    origin(|number, _| ok("Cache-Control: max-age=600\r\n", &number.to_string()))
}

/// A weir that finds them, its loader beginning after so many milliseconds.
fn launch(prefix: Prefix, delay: u32, http: &str) -> Weir {
    prefix.replace("nginx.conf", format!("env WEIR_LOADER_DELAY={delay};\n{}", config(http)));
    Weir::launch(prefix, &[])
}

fn is_cold(port: &Port) -> bool {
    ask(port, "GET", "/status?format=json", "").text().contains("\"cold\": true")
}

#[test]
fn what_the_loader_has_not_seen_is_served() {
    let (backend, seen) = numbered();
    let port = Port::reserve();
    let prefix = full(&port, &backend);
    let weir = launch(prefix, 3_600_000, &http(&port, &backend, "levels=1:2", LOCATIONS));
    assert_eq!((figure(&port, "files"), is_cold(&port)), (0, true));
    for number in 0..FILES {
        expect(&port, &format!("/{number}"), "HIT", &number.to_string());
        assert_eq!(figure(&port, "files"), number as u64 + 1);
    }
    assert_eq!(count(&seen), FILES);
    expect(&port, "/new", "MISS", &FILES.to_string());
    expect(&port, "/new", "HIT", &FILES.to_string());
    assert!(is_cold(&port) && keeper(&weir, "loader").is_some());
}

/// Asserts how many files a loader with these parameters finds before it pauses.
fn finds_before_it_pauses(parameters: &str, files: u64) {
    let (backend, _) = numbered();
    let port = Port::reserve();
    let prefix = full(&port, &backend);
    let weir = launch(prefix, 0, &http(&port, &backend, &format!("levels=1:2 {parameters}"), LOCATIONS));
    let loader = wait_some("the loader", || keeper(&weir, "loader"));
    wait_for("the first files", || figure(&port, "files") == files);
    wait::wait_until_idle(loader);
    assert_eq!((figure(&port, "files"), is_cold(&port)), (files, true));
    assert_eq!(keeper(&weir, "loader"), Some(loader));
    for number in 0..FILES {
        expect(&port, &format!("/{number}"), "HIT", &number.to_string());
    }
}

#[test]
fn a_loader_pauses_after_so_many_files() {
    finds_before_it_pauses("loader_files=10 loader_threshold=1h loader_sleep=1h", 10);
}

#[test]
fn a_loader_pauses_after_so_long() {
    finds_before_it_pauses("loader_files=1000 loader_threshold=0ms loader_sleep=1h", 1);
}

#[test]
fn a_loader_goes_on_after_its_pauses_and_leaves_what_is_not_the_caches() {
    let (backend, seen) = numbered();
    let port = Port::reserve();
    let prefix = full(&port, &backend);
    // A temporary file of a process that is dead, one that other levels have put there, and what is none of ours.
    let some = |folder: &str| {
        let found = std::fs::read_dir(prefix.join(folder)).unwrap().next().unwrap().unwrap();
        format!("{folder}/{}", found.file_name().to_str().unwrap())
    };
    let file = some(&some(&some("cache")));
    let misplaced = format!("cache/{}", file.rsplit('/').next().unwrap());
    std::fs::hard_link(prefix.join(&file), prefix.join(&misplaced)).unwrap();
    let left_over = "cache/d41d8cd98f00b204e9800998ecf8427e.2147483647.1";
    let others = ["cache/other", "cache/a/other", "cache/d41d8cd98f00b204e9800998ecf8427e"];
    for name in others.iter().chain([&left_over]) {
        std::fs::create_dir_all(prefix.join(name).parent().unwrap()).unwrap();
        prefix.write(name, "x");
    }
    let weir = launch(prefix, 0, &http(&port, &backend, "levels=1:2 loader_files=7 loader_sleep=1ms", LOCATIONS));
    wait_for("the loader to end", || !is_cold(&port) && keeper(&weir, "loader").is_none());
    assert_eq!(figure(&port, "files"), FILES as u64);
    for number in 0..FILES {
        expect(&port, &format!("/{number}"), "HIT", &number.to_string());
    }
    assert_eq!(count(&seen), FILES);
    let exists = |name: &str| weir.prefix.join(name).exists();
    assert!(!exists(left_over) && !exists(&misplaced));
    assert!(others.into_iter().all(exists));
    let folder = weir.prefix.text_path("cache");
    weir.wait_error(&format!("http file cache: {folder} 0.156M, bsize: 4096"));
    weir.wait_error(&format!("3 files below \"{folder}\" are none of the cache's, they are left there"));
    weir.wait_error("is of other levels, it is removed");
}
