//! Processes that die, files that are damaged: what is given is right all the same.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const LOCATIONS: &str =
    "proxy_cache zone; location / { proxy_pass http://SERVER; } location /status { tcp_check_status; }";

/// A server whose body tells its path, many times.
fn telling() -> (Backend, Seen) {
    origin(|_, request| {
        let path = request.split(' ').nth(1).unwrap();
        ok("Cache-Control: max-age=600\r\n", &path.repeat(3000))
    })
}

/// Asks for many paths until it is told to stop. Answers may fail while processes die, but none may be wrong.
fn fill(port: &Port, seed: u64, stop: &AtomicBool) {
    let mut dice = dice::Dice::new(seed);
    while !stop.load(Ordering::SeqCst) {
        let path = format!("/{}", dice.roll(300));
        let Ok(mut stream) = clients::try_connect(port.v4()) else { continue };
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        if stream.write_all(request.as_bytes()).is_err() {
            continue;
        }
        let mut answer = Vec::new();
        let whole = std::io::Read::read_to_end(&mut stream, &mut answer).is_ok();
        let text = String::from_utf8(answer).unwrap();
        if let Some((_, body)) = text.split_once("\r\n\r\n").filter(|_| whole && text.starts_with("HTTP/1.1 200")) {
            assert!(path.repeat(3000).starts_with(body), "{path}: another's body");
        }
    }
}

/// Whether the files and what is known of them agree, nothing is half done, and all are right.
#[track_caller]
fn is_consistent(weir: &Weir, port: &Port, max_size: u64) {
    agree(weir, port, max_size);
    for number in 0..300 {
        let path = format!("/{number}");
        assert_eq!(ask(port, "GET", &path, "").text(), path.repeat(3000));
    }
    agree(weir, port, max_size);
}

#[track_caller]
fn agree(weir: &Weir, port: &Port, max_size: u64) {
    let blocks = |file: &PathBuf| Some(std::fs::metadata(file).ok()?.len().next_multiple_of(4096));
    wait_for("files and entries to agree, within the size", || {
        let (known, size) = (figure(port, "files"), figure(port, "size"));
        let files = files(weir);
        let on_disk: Option<u64> = files.iter().map(blocks).sum();
        known > 0 && files.len() as u64 == known && on_disk == Some(size) && size <= max_size
    });
    assert!(figure(port, "entries") >= figure(port, "files"));
    let is_entry = |file: &PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap();
        name.len() == 32 && name.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    wait_for("temporary files to be gone", || {
        let waiting = std::fs::read_dir(weir.prefix.join("proxy_temp")).unwrap().count();
        waiting == 0 && files(weir).iter().all(is_entry)
    });
}

#[test]
fn workers_and_managers_that_are_killed() {
    let (backend, _) = telling();
    let port = Port::reserve();
    let prefix = Prefix::new();
    let text = config(&http(&port, &backend, "levels=1 max_size=1m", LOCATIONS));
    prefix.write("nginx.conf", text.replace("worker_processes 1", "worker_processes 2").replace(" debug", " notice"));
    let weir = Weir::launch(prefix, &[]);
    weir.wait_workers(2);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = wait::StopOnDrop(&stop);
        for seed in 0..3 {
            let (port, stop) = (&port, &stop);
            scope.spawn(move || fill(port, seed, stop));
        }
        for round in 0..6 {
            let before = files(&weir).len();
            wait_for("files to come and go", || files(&weir).len() != before);
            let victim = if round % 3 == 2 { keeper(&weir, "manager") } else { weir.workers().first().copied() };
            let Some(victim) = victim else { continue };
            running::send(victim, Signal::SIGKILL);
            wait_for("all processes", || weir.workers().len() == 2 && keeper(&weir, "manager").is_some());
        }
    });
    is_consistent(&weir, &port, 1 << 20);
}

#[test]
fn everything_is_killed_at_once() {
    let (backend, _) = telling();
    let port = Port::reserve();
    let text = format!(
        "env WEIR_LOADER_DELAY=0;\n{}",
        config(&http(&port, &backend, "levels=1:2 max_size=1m", LOCATIONS)).replace(" debug", " notice")
    );
    let prefix = Prefix::new();
    prefix.write("nginx.conf", &text);
    let weir = Weir::launch(prefix, &[]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = wait::StopOnDrop(&stop);
        for seed in 0..3 {
            let (port, stop) = (&port, &stop);
            scope.spawn(move || fill(port, seed, stop));
        }
        wait_for("files", || files(&weir).len() > 20);
        // The master first: it would start others in the place of those that die before it.
        let children = proc::children(weir.master());
        std::iter::once(weir.master()).chain(children).for_each(|pid| running::send(pid, Signal::SIGKILL));
        stop.store(true, Ordering::SeqCst);
    });
    let prefix = folder_of(weir);
    std::fs::remove_file(prefix.join("weir.pid")).unwrap();
    let before = loads(&prefix);
    let weir = Weir::launch(prefix, &[]);
    wait_for("the loader to have been through all", || loads(&weir.prefix) > before);
    assert!(figure(&port, "files") > 0);
    is_consistent(&weir, &port, 1 << 20);
}

#[test]
fn damaged_and_foreign_files_are_found_out() {
    let (backend, _) = origin(|number, _| ok("Cache-Control: max-age=600\r\n", &format!("body {number}")));
    let (weir, port) = plain(&backend, "");
    expect(&port, "/", "MISS", "body 0");
    let mut number = 0;
    let damages: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes[100] ^= 1,
        |bytes| bytes[0] ^= 1,
        |bytes| bytes.clear(),
        |bytes| bytes.push(b'x'),
    ];
    for damage in damages {
        expect(&port, "/", "HIT", &format!("body {number}"));
        let file = files(&weir).pop().unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        damage(&mut bytes);
        std::fs::write(&file, bytes).unwrap();
        number += 1;
        expect(&port, "/", "MISS", &format!("body {number}"));
    }
    let log = weir.error_log();
    assert_eq!(log.matches("it is removed").count(), 5, "{log}");
    assert!(log.contains("is damaged, it is removed while") || log.contains("is damaged, it is removed,"), "{log}");
    // One that somebody has removed.
    std::fs::remove_file(files(&weir).pop().unwrap()).unwrap();
    expect(&port, "/", "MISS", "body 6");
    // A link is not followed.
    let file = files(&weir).pop().unwrap();
    let elsewhere = weir.prefix.join("elsewhere");
    std::fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    expect(&port, "/", "MISS", "body 7");
    assert!(elsewhere.exists());
}
