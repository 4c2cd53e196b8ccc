//! Where answers are written while they come, and disks that are full.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::faults::disk::on_a_small_disk;

/// A server that sends the first half of its answer, and the rest when it is released.
fn halting() -> (Backend, Arc<AtomicBool>) {
    let release = Arc::new(AtomicBool::new(false));
    let wait = release.clone();
    let backend = Backend::start(move |mut stream| {
        let Some(_) = read_request(&mut stream) else { return };
        let answer = ok("Cache-Control: max-age=600\r\n", &"x".repeat(20_000));
        let _ = stream.write_all(&answer.as_bytes()[..10_000]);
        wait_for("the release", || wait.load(Ordering::SeqCst));
        let _ = stream.write_all(&answer.as_bytes()[10_000..]);
    });
    (backend, release)
}

/// Asserts in which folder of a weir an answer is written while it comes.
fn is_written_in(path: &str, folder: &str) {
    let (backend, release) = halting();
    let text = "proxy_cache zone; location / { proxy_pass http://SERVER; proxy_temp_path waiting; }";
    let (weir, port) = caching(&backend, path, text);
    std::thread::scope(|scope| {
        let _release = wait::StopOnDrop(&release);
        let first = scope.spawn(|| get(&port, "/"));
        if proc::shows_descriptors() {
            let folder = weir.prefix.text_path(folder);
            let within = |file: &String| file.starts_with(&format!("{folder}/")) && file.ends_with(" (deleted)");
            wait_for("the file", || proc::open_files(weir.worker()).iter().any(within));
        }
        assert!(files(&weir).is_empty(), "nothing has a name before it is complete");
        release.store(true, Ordering::SeqCst);
        assert_eq!(first.join().unwrap().0, "MISS");
    });
    expect(&port, "/", "HIT", &"x".repeat(20_000));
    assert!(fs::read_dir(weir.prefix.join("waiting")).unwrap().next().is_none());
}

#[test]
fn answers_are_written_among_temporary_files() {
    is_written_in("", "waiting");
    is_written_in("use_temp_path=on", "waiting");
}

#[test]
fn answers_are_written_in_the_folder_of_the_cache() {
    is_written_in("use_temp_path=off", "cache");
}

#[test]
fn a_folder_that_somebody_has_removed_is_made_again() {
    for path in ["levels=1:2", "", "levels=1:2 use_temp_path=off", "use_temp_path=off"] {
        let (backend, _) = origin(|number, _| ok("Cache-Control: max-age=600\r\n", &number.to_string()));
        let (weir, port) = caching(&backend, path, "proxy_cache zone; location / { proxy_pass http://SERVER; }");
        expect(&port, "/", "MISS", "0");
        expect(&port, "/", "HIT", "0");
        // The worker may make folders there.
        fs::set_permissions(weir.prefix.join(""), Permissions::from_mode(0o777)).unwrap();
        fs::remove_dir_all(weir.prefix.join("cache")).unwrap();
        expect(&port, "/", "MISS", "1");
        expect(&port, "/", "HIT", "1");
        assert_eq!(files(&weir).len(), 1, "{path}");
    }
}

/// A weir of two workers whose cache is on a disk of 64 KiB; `/big` is too large for it, `/small` fits even where little is left.
fn on_a_disk_of_its_own(parameter: &str) -> Option<(Weir, Port, Backend)> {
    let (backend, _) = origin(|_, request| {
        let length = match request.split(' ').nth(1).unwrap() {
            path if path.starts_with("/big") => 100_000,
            path if path.starts_with("/half") => 40_000,
            _ => 10,
        };
        ok("Cache-Control: max-age=600\r\n", &"x".repeat(length))
    });
    let port = Port::reserve();
    let text = format!(
        "log_format state '$pid $upstream_cache_status $status';
         proxy_cache_path small/cache keys_zone=zone:1m levels=1:2 {parameter};
         server {{ listen {} reuseport; access_log access.log state; proxy_cache zone;
             add_header X-Cache $upstream_cache_status always;
             location / {{ proxy_pass http://{}; }} location /status {{ tcp_check_status; }} }}",
        port.v4(),
        backend.address
    );
    let text = config(&text).replace("worker_processes 1", "worker_processes 2");
    Some((on_a_small_disk(&text)?, port, backend))
}

const TELLS: &str = "answers are passed on without being kept";

/// Asks for answers that cannot be kept until both workers have found that out.
fn all_fail(weir: &Weir, port: &Port, path: &str, length: usize) {
    let before = weir.prefix.lines("access.log").len();
    wait_for("both workers", || {
        let number = weir.prefix.lines("access.log").len();
        let reply = ask(port, "GET", &format!("{path}/{number}"), "");
        assert_eq!((reply.status, state(&reply), reply.text().len()), (200, "MISS", length));
        let lines = weir.prefix.lines("access.log");
        let of = |pid: i32| lines[before..].iter().any(|line| line.starts_with(&format!("{pid} ")));
        weir.wait_workers(2).into_iter().all(of)
    });
}

fn is_told_once_until_there_is_room(parameter: &str) {
    let Some((weir, port, _backend)) = on_a_disk_of_its_own(parameter) else { return };
    let told = || weir.error_log().matches(TELLS).count();
    all_fail(&weir, &port, "/big", 100_000);
    assert_eq!(told(), 1, "{}", weir.error_log());
    assert!(weir.error_log().contains("No space left on device"));
    // That little things can be kept says nothing of the others.
    for path in ["/a", "/b"] {
        expect(&port, path, "MISS", "xxxxxxxxxx");
        expect(&port, path, "HIT", "xxxxxxxxxx");
    }
    let filler = format!("/proc/{}/root{}", weir.master(), weir.prefix.text_path("small/filler"));
    let fill = || fs::write(&filler, [0; 40_000]);
    fill().unwrap();
    all_fail(&weir, &port, "/half", 40_000);
    assert_eq!(told(), 1);
    fs::remove_file(&filler).unwrap();
    assert_eq!(get(&port, "/half/which-is-as-large").0, "MISS");
    assert_eq!(get(&port, "/half/which-is-as-large").0, "HIT");
    all_fail(&weir, &port, "/big", 100_000);
    assert_eq!(told(), 2);
    assert_eq!(figure(&port, "files"), 3);
}

#[test]
fn a_full_disk_is_told_of_once_by_all_workers() {
    is_told_once_until_there_is_room("use_temp_path=off");
}

/// Temporary files are on another disk, so each answer is copied.
#[test]
fn a_full_disk_is_told_of_once_where_answers_are_copied_to_it() {
    is_told_once_until_there_is_room("use_temp_path=on");
}
