use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

fn sink(path: &Path, level: Level) -> Sink {
    Sink { target: Target::File(path.to_owned()), level }
}

fn to_stderr(level: Level) -> Sink {
    Sink { target: Target::Stderr, level }
}

fn log_of(sinks: &[Sink], copy: bool) -> Log {
    Log { sinks: Some(open_all(sinks).unwrap()), copy, parts: Vec::new() }
}

/// Sends one line through `log`; what stderr got.
fn send(log: &mut Log, level: Level, text: &str) -> String {
    let mut stderr = Vec::new();
    log.write(&Line::new(&Record::new(level), format_args!("{text}")), &mut stderr);
    String::from_utf8(stderr).unwrap()
}

#[test]
fn arguments_of_error_log() {
    let file = |level| Ok(sink(Path::new("logs/error.log"), level));
    assert_eq!(parse_sink(&["logs/error.log"]), file(Level::Error));
    for level in Level::ALL {
        assert_eq!(parse_sink(&["logs/error.log", level.name()]), file(level));
    }
    assert_eq!(parse_sink(&["stderr", "debug"]), Ok(to_stderr(Level::Debug)));
    assert_eq!(parse_sink(&["stderr", "loud"]), Err("invalid log level \"loud\"".into()));
    assert_eq!(parse_sink(&["stderr", "Warn"]), Err("invalid log level \"Warn\"".into()));
    assert_eq!(parse_sink(&["stderr", "warn", "info"]), Err("duplicate log level \"info\"".into()));
    assert!(parse_sink(&["memory:1m"]).unwrap_err().starts_with("\"memory:\" is not supported"));
    assert!(matches!(parse_sink(&["syslog:server=127.0.0.1"]).unwrap().target, Target::Syslog(_)));
    assert_eq!(parse_sink(&["syslog:tag=x"]).unwrap_err(), "no syslog server specified");
    assert!(parse_sink(&[]).is_err());
}

#[test]
fn before_a_log_is_installed_lines_go_to_stderr_in_short_form() {
    let mut log = Log { sinks: None, copy: true, parts: Vec::new() };
    assert_eq!(send(&mut log, Level::Emerg, "no"), "weir: [emerg] no\n");
    assert_eq!(send(&mut log, Level::Notice, "well"), "weir: [notice] well\n");
    assert_eq!(send(&mut log, Level::Info, "hm"), "");
    assert_eq!(log.threshold(), Level::Notice as u8);
}

#[test]
fn each_sink_gets_the_lines_of_its_level() {
    let dir = tempfile::tempdir().unwrap();
    let (grave, all) = (dir.path().join("grave"), dir.path().join("all"));
    let mut log = log_of(&[sink(&grave, Level::Error), sink(&all, Level::Debug)], false);
    for level in Level::ALL {
        assert_eq!(send(&mut log, level, level.name()), "");
    }
    let levels = |path| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.rsplit_once(": ").unwrap().1.to_string()).collect()
    };
    assert_eq!(levels(&grave), ["emerg", "alert", "crit", "error"]);
    assert_eq!(levels(&all), Level::ALL.map(Level::name));
    assert_eq!(log.threshold(), Level::Debug as u8);
    assert_eq!(fs::metadata(&all).unwrap().mode() & 0o133, 0);
}

#[test]
fn grave_lines_are_copied_to_stderr_once_and_only_during_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = sink(&dir.path().join("log"), Level::Crit);
    let mut log = log_of(std::slice::from_ref(&file), true);
    assert_eq!(send(&mut log, Level::Warn, "odd"), "weir: [warn] odd\n");
    assert_eq!(send(&mut log, Level::Notice, "fine"), "");
    assert_eq!(log.threshold(), Level::Warn as u8);

    let mut log = log_of(&[file.clone(), to_stderr(Level::Error)], true);
    assert!(send(&mut log, Level::Error, "bad").ends_with(": bad\n"));
    assert!(!send(&mut log, Level::Error, "bad").contains("weir:"));

    let mut log = log_of(&[file], false);
    assert_eq!(send(&mut log, Level::Emerg, "bad"), "");
    assert_eq!(log.threshold(), Level::Crit as u8);
}

#[test]
fn a_sink_that_cannot_be_written_keeps_no_other_from_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = log_of(&[sink(Path::new("/dev/full"), Level::Error), sink(&path, Level::Error)], false);
    send(&mut log, Level::Error, "there");
    assert!(fs::read_to_string(&path).unwrap().ends_with(": there\n"));
}

#[test]
fn opening_names_the_file_that_fails() {
    let (path, error) = open(&[sink(Path::new("/nonexistent/log"), Level::Error)], ErrorLogs::default()).err().unwrap();
    assert_eq!((path.as_path(), error.kind()), (Path::new("/nonexistent/log"), io::ErrorKind::NotFound));
}

#[test]
fn reopening_follows_the_path_or_stays_with_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
    let mut log = log_of(&[sink(&path, Level::Error)], false);
    fs::rename(&path, &moved).unwrap();
    assert!(log.reopen(None).is_empty());
    send(&mut log, Level::Error, "new");
    assert_eq!(fs::read_to_string(&moved).unwrap(), "");
    assert!(fs::read_to_string(&path).unwrap().ends_with(": new\n"));

    fs::remove_file(&path).unwrap();
    fs::remove_file(&moved).unwrap();
    fs::create_dir(&path).unwrap();
    let failures = log.reopen(None);
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].call, &failures[0].path), ("open()", &path));
}

#[test]
fn the_master_gives_reopened_files_to_the_workers_user() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut log = log_of(&[sink(&path, Level::Error)], false);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o040)).unwrap();
    if !nix::unistd::geteuid().is_root() {
        // Only root may give files away; whoever runs this can see that it was tried.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o240)).unwrap();
        assert_eq!(log.reopen(Some(1)).first().map(|failure| failure.call), Some("chown()"));
        return;
    }
    assert!(log.reopen(Some(1)).is_empty());
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (1, 0o640));
}

/// The one test of the process's own log: other tests of this program may write lines into it meanwhile.
#[test]
fn the_log_crate_reaches_sinks_of_level_debug_only() {
    let dir = tempfile::tempdir().unwrap();
    let (quiet, loud) = (dir.path().join("quiet"), dir.path().join("loud"));
    copy_to_stderr(false);
    install(open(&[sink(&quiet, Level::Info)], ErrorLogs::default()).unwrap());
    assert!(enabled(Level::Info, None) && !enabled(Level::Debug, None));
    assert_eq!(::log::max_level(), ::log::LevelFilter::Off);
    ::log::debug!("unseen");

    let part = dir.path().join("part");
    let mut parts = ErrorLogs::default();
    let own = parts.add(&[sink(&part, Level::Crit)]);
    assert!(Arc::ptr_eq(&own.0, &parts.add(&[sink(&part, Level::Crit)]).0));
    let unused = Arc::downgrade(&parts.add(&[sink(&part, Level::Alert)]).0);
    install(open(&[sink(&quiet, Level::Info), sink(&loud, Level::Debug)], parts).unwrap());
    assert!(unused.upgrade().is_none());
    assert!(enabled(Level::Crit, Some(&own)) && !enabled(Level::Error, Some(&own)));
    let to_part = |record: Record, text: &str| emit(&Record { log: Some(&own), ..record }, format_args!("{text}"));
    to_part(Record::new(Level::Error), "unseen");
    to_part(Record::new(Level::Crit), "grave");
    to_part(Record { debug_connection: true, ..Record::new(Level::Debug) }, "followed");
    ::log::debug!("step {}", 1);
    ::log::trace!("detail");
    ::log::debug!(target: "elsewhere", "not ours");
    message(Level::Notice, format_args!("exiting"));
    let lines = fs::read_to_string(&loud).unwrap();
    let pid = std::process::id();
    assert!(lines.contains(&format!(" [debug] {pid}#{pid}: weir::log::error::tests: step 1\n")), "{lines}");
    assert!(!lines.contains("unseen") && !lines.contains("detail") && !lines.contains("not ours"), "{lines}");
    assert!(lines.contains(&format!(" [notice] {pid}#{pid}: exiting\n")));
    assert!(!fs::read_to_string(&quiet).unwrap().contains("[debug]"));

    let of_part = fs::read_to_string(&part).unwrap();
    assert!(of_part.contains(": grave\n") && of_part.contains("[debug]") && !of_part.contains("unseen"), "{of_part}");
    assert!(!lines.contains("grave") && !of_part.contains("exiting"));

    let mut file = first_file().unwrap();
    file.write_all(b"from stderr\n").unwrap();
    assert!(fs::read_to_string(&quiet).unwrap().contains("from stderr\n"));

    fs::rename(&quiet, dir.path().join("quiet.1")).unwrap();
    fs::rename(&part, dir.path().join("part.1")).unwrap();
    reopen(None);
    to_part(Record::new(Level::Crit), "also again");
    assert!(fs::read_to_string(&part).unwrap().ends_with(": also again\n"));
    message(Level::Notice, format_args!("again"));
    assert!(fs::read_to_string(&quiet).unwrap().contains(": again\n"));
    install(open(&[], ErrorLogs::default()).unwrap());
    assert!(!enabled(Level::Emerg, None));
    assert_eq!(::log::max_level(), ::log::LevelFilter::Off);
}
