//! The command line.

use super::common::clients::fetch;
use super::common::running::binary;
use crate::common::*;

fn good(port: &Port) -> Setup {
    Setup::tcp(format!("server {{ listen {}; return a; }}", port.v4()))
}

#[test]
fn test_says_that_all_is_well() {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", good(&Port::reserve()).text());
    let run = prefix.run(&["-t"]);
    let file = prefix.text_path("nginx.conf");
    assert_eq!(
        run.stderr,
        format!(
            "weir: the configuration file {file} syntax is ok\nweir: configuration file {file} test is successful\n"
        )
    );
    assert_eq!((run.status.code(), run.stdout.as_str()), (Some(0), ""));
}

#[test]
fn test_beside_a_running_weir_disturbs_nothing() {
    let port = Port::reserve();
    let weir = good(&port).start();
    let master = weir.master();
    let run = weir.prefix.run(&["-t"]);
    assert!(run.status.success(), "{}", run.stderr);
    assert_eq!(weir.master(), master);
    assert_eq!(fetch(port.v4()), "a");
}

#[test]
fn quiet_says_only_what_is_wrong() {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", good(&Port::reserve()).text());
    let run = prefix.run(&["-t", "-q"]);
    assert_eq!((run.status.code(), run.stderr.as_str(), run.stdout.as_str()), (Some(0), "", ""));
    prefix.write("nginx.conf", "frobnicate;");
    let run = prefix.run(&["-tq"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stderr.contains("unknown directive"), "{}", run.stderr);
}

#[test]
fn dump() {
    let prefix = Prefix::new();
    prefix.write("tcp.conf", "# comments stay\ntcp { include empty.conf; include empty.conf; }\n");
    prefix.write("empty.conf", "");
    prefix.write("nginx.conf", "pid weir.pid;\nevents {}\ninclude tcp.conf;");
    let run = prefix.run(&["-T"]);
    assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
    let part = |name: &str| format!("# configuration file {}:\n{}\n", prefix.text_path(name), prefix.read(name));
    assert_eq!(run.stdout, part("nginx.conf") + &part("tcp.conf") + &part("empty.conf"));
    assert!(run.stderr.ends_with("test is successful\n"), "{}", run.stderr);
}

#[test]
fn version() {
    let prefix = Prefix::new();
    let run = prefix.finish(prefix.bare_command(&["-v"]));
    let version = format!("weir version: weir/{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((run.status.code(), run.stderr), (Some(0), version.clone()));
    let run = prefix.finish(prefix.bare_command(&["-V"]));
    assert_eq!(run.status.code(), Some(0));
    assert!(run.stderr.starts_with(&version) && run.stderr.len() > version.len(), "{}", run.stderr);
}

#[test]
fn help() {
    let prefix = Prefix::new();
    for option in ["-h", "-?"] {
        let run = prefix.finish(prefix.bare_command(&[option]));
        assert_eq!(run.status.code(), Some(0));
        for wanted in ["Usage: weir", "-p prefix", "-s signal", "-g directives", "-T", "-q"] {
            assert!(run.stderr.contains(wanted), "{wanted}: {}", run.stderr);
        }
    }
}

#[test]
fn bad_options() {
    let prefix = Prefix::new();
    for (arguments, message) in [
        (&["-x"][..], "weir: invalid option: \"x\"\n"),
        (&["frob"], "weir: invalid option: \"frob\"\n"),
        (&["-s", "frob"], "weir: invalid option: \"-s frob\"\n"),
        (&["-s"], "weir: option \"-s\" requires parameter\n"),
        (&["-c"], "weir: option \"-c\" requires file name\n"),
        (&["-p"], "weir: option \"-p\" requires directory name\n"),
        (&["-e"], "weir: option \"-e\" requires file name\n"),
        (&["-g"], "weir: option \"-g\" requires parameter\n"),
    ] {
        let run = prefix.finish(prefix.bare_command(arguments));
        assert_eq!((run.status.code(), run.stderr.as_str()), (Some(1), message), "{arguments:?}");
    }
}

#[test]
fn options_may_be_written_together() {
    let prefix = Prefix::new();
    prefix.write("other.conf", good(&Port::reserve()).text());
    let folder = prefix.join("").to_str().unwrap().to_string();
    let run = prefix.finish(prefix.bare_command(&[&format!("-p{folder}"), "-tcother.conf"]));
    assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("other.conf test is successful"), "{}", run.stderr);
}

#[test]
fn relative_files_are_below_the_prefix() {
    let prefix = Prefix::new();
    prefix.write("conf/nginx.conf", "pid weir.pid; error_log below.log; events {} include part.conf;");
    prefix.write("conf/part.conf", "tcp { }");
    let folder = prefix.join("").to_str().unwrap().to_string();
    // The default is conf/nginx.conf below the prefix.
    for arguments in
        [&["-p", folder.as_str(), "-t"][..], &["-p", ".", "-t"], &["-p", ".", "-c", "conf/nginx.conf", "-t"]]
    {
        let run = prefix.finish(prefix.bare_command(arguments));
        assert_eq!(run.status.code(), Some(0), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("conf/nginx.conf test is successful"), "{}", run.stderr);
        assert!(prefix.join("below.log").exists());
    }
}

#[test]
fn directives_of_the_command_line() {
    let prefix = Prefix::new();
    let port = Port::reserve();
    let text = format!("events {{}} tcp {{ server {{ listen {}; return a; }} }}", port.v4());
    prefix.write("nginx.conf", text);
    let weir = Weir::launch(prefix, &["-g", "daemon off; pid weir.pid; worker_processes 2; error_log g.log info;"]);
    weir.wait_workers(2);
    assert_eq!(fetch(port.v4()), "a");
    assert!(weir.prefix.read("g.log").contains("[notice]"));
    // They hold over a reload.
    let old = weir.workers();
    weir.signal(Signal::SIGHUP);
    wait_for("new workers", || {
        let now = weir.workers();
        now.len() == 2 && now.iter().all(|pid| !old.contains(pid))
    });
}

#[test]
fn faults_of_directives_of_the_command_line() {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", "daemon off;\nevents {}\n");
    for (directives, message) in [
        ("frobnicate;", "[emerg] unknown directive \"frobnicate\" in command line\n".to_string()),
        ("worker_processes x;", "[emerg] \"worker_processes\" directive invalid value in command line\n".to_string()),
        ("daemon off", "[emerg] unexpected end of parameter, expecting \";\" in command line\n".to_string()),
        // Written twice, the file's is the second.
        ("daemon off;", format!("[emerg] \"daemon\" directive is duplicate in {}:1\n", prefix.text_path("nginx.conf"))),
    ] {
        let run = prefix.run(&["-t", "-g", directives]);
        assert_eq!(run.status.code(), Some(1), "{directives}");
        assert!(run.stderr.contains(&message), "{directives}: {}", run.stderr);
    }
}

#[test]
fn the_first_error_log() {
    let prefix = Prefix::new();
    let port = Port::reserve();
    prefix.write(
        "nginx.conf",
        format!(
            "daemon off; pid weir.pid; events {{}} tcp {{ access_log off; server {{ listen {}; return a; }} }}",
            port.v4()
        ),
    );
    let mut weir = Weir::launch(prefix, &["-e", "early.log"]);
    assert_eq!(fetch(port.v4()), "a");
    assert!(weir.prefix.join("early.log").exists());
    assert!(!weir.prefix.join("logs/error.log").exists());
    weir.signal(Signal::SIGTERM);
    weir.wait_exit();
    weir.prefix.write("nginx.conf", "frobnicate;");
    assert_eq!(weir.prefix.run(&["-e", "early.log"]).status.code(), Some(1));
    assert!(weir.prefix.read("early.log").contains("unknown directive \"frobnicate\""));
    let run = weir.prefix.run(&["-e", "stderr"]);
    assert_eq!(run.stderr.matches("unknown directive").count(), 1, "{}", run.stderr);
}

#[test]
fn a_signal_to_nobody() {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", good(&Port::reserve()).text());
    let run = prefix.run(&["-s", "reload"]);
    assert_eq!(run.status.code(), Some(1));
    let message = format!("[error] open() \"{}\" failed (2: No such file or directory)", prefix.text_path("weir.pid"));
    assert!(run.stderr.contains(&message), "{}", run.stderr);
    prefix.write("weir.pid", "frob\n");
    let run = prefix.run(&["-s", "reload"]);
    assert_eq!(run.status.code(), Some(1));
    let message = format!("invalid PID number \"frob\" in \"{}\"", prefix.text_path("weir.pid"));
    assert!(run.stderr.contains(&message), "{}", run.stderr);
    // The largest pid Linux has is 2^22, so this is nobody.
    prefix.write("weir.pid", "4194305\n");
    let run = prefix.run(&["-s", "reload"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stderr.contains("kill(4194305, 1) failed (3: No such process)"), "{}", run.stderr);
}

#[test]
fn a_signal_is_not_sent_with_a_broken_configuration() {
    // As in nginx, which must know where the pid file is.
    let port = Port::reserve();
    let weir = good(&port).start();
    let master = weir.master();
    weir.prefix.write("nginx.conf", "frobnicate;");
    let run = weir.prefix.run(&["-s", "stop"]);
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(weir.master(), master);
    assert_eq!(fetch(port.v4()), "a");
}

#[test]
fn another_name_for_the_binary_is_no_matter() {
    let prefix = Prefix::new();
    let link = prefix.join("nginx");
    std::os::unix::fs::symlink(binary(), &link).unwrap();
    let port = Port::reserve();
    prefix.write("nginx.conf", good(&port).text());
    let mut command = std::process::Command::new(&link);
    command.args(["-p", prefix.join("").to_str().unwrap(), "-c", &prefix.text_path("nginx.conf"), "-t"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
