//! The main context and `events {}` as a whole: text in, settings or nginx's message out.

use std::time::Duration;

use nix::unistd::Uid;

use super::{Config, Loaded, Source, load};
use crate::log::Level;
use crate::log::error::{Sink, Target};

fn read(text: &str) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let source = Source { prefix: "/prefix".into(), file, directives: String::new(), error_log: None };
    load(&source)
}

/// Accounts are looked up only by root, and root's group exists everywhere.
fn good(text: &str) -> Config {
    read(&format!("user root;\n{text}")).config.unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn fault(text: &str) -> String {
    read(text).config.err().unwrap_or_else(|| panic!("{text}: accepted")).message
}

fn warnings(text: &str) -> Vec<String> {
    read(text).warnings.into_iter().map(|warning| warning.message).collect()
}

#[test]
fn defaults_are_those_of_nginx() {
    let Config { main, events, .. } = good("events {}");
    assert!(main.daemon && main.master_process);
    assert_eq!((main.worker_processes, main.priority), (1, 0));
    assert_eq!(main.pid, std::path::Path::new("/prefix").join(super::defaults::PID_PATH));
    assert_eq!(main.error_logs.len(), 1);
    assert_eq!(main.error_logs[0].level, Level::Error);
    assert!(main.cpu_affinity.is_empty() && main.env.is_empty());
    assert_eq!(main.shutdown_timeout, None);
    assert_eq!((events.worker_connections, events.multi_accept), (512, false));
    assert_eq!(events.accept_mutex_delay, Duration::from_millis(500));
}

#[test]
fn every_setting_arrives() {
    let Config { main, events, .. } = good(
        "worker_processes 3; worker_cpu_affinity 01 10; worker_priority -5; worker_rlimit_nofile 1000;
         worker_rlimit_core 2m; worker_shutdown_timeout 90; working_directory /tmp; daemon off; master_process off;
         pid run/x.pid; error_log logs/e info; error_log stderr; env A; env B=1=2;
         events { worker_connections 7; use epoll; multi_accept on; accept_mutex_delay 20ms; debug_connection 10.0.0.0/8;
         debug_connection ::1; debug_connection unix:; }",
    );
    assert!(!main.daemon && !main.master_process);
    assert_eq!((main.worker_processes, main.priority), (3, -5));
    assert_eq!(main.cpu_affinity, [vec![0], vec![1]]);
    assert_eq!((main.rlimit_nofile, main.rlimit_core), (Some(1000), Some(2 << 20)));
    assert_eq!(main.shutdown_timeout, Some(Duration::from_secs(90)));
    assert_eq!(main.working_directory.as_deref(), Some("/tmp".as_ref()));
    assert_eq!(main.pid, std::path::Path::new("/prefix/run/x.pid"));
    let sinks = [
        Sink { target: Target::File("/prefix/logs/e".into()), level: Level::Info },
        Sink { target: Target::Stderr, level: Level::Error },
    ];
    assert_eq!(main.error_logs, sinks);
    assert_eq!(main.env, [("A".to_owned(), None), ("B".to_owned(), Some("1=2".to_owned()))]);
    assert_eq!((events.worker_connections, events.multi_accept), (7, true));
    assert_eq!(events.accept_mutex_delay, Duration::from_millis(20));
    assert_eq!(events.debug_connections.len(), 3);
}

#[test]
fn faults_in_nginx_words() {
    for (text, message) in [
        ("", "no \"events\" section in configuration"),
        ("events {} events {}", "\"events\" directive is duplicate"),
        ("worker_processes -1;", "\"worker_processes\" directive invalid value"),
        ("worker_processes 1; worker_processes 2;", "\"worker_processes\" directive is duplicate"),
        ("worker_cpu_affinity 012;", "invalid character \"2\" in \"worker_cpu_affinity\""),
        ("worker_priority x;", "\"worker_priority\" directive invalid number"),
        ("worker_rlimit_nofile x;", "\"worker_rlimit_nofile\" directive invalid number"),
        ("worker_rlimit_core x;", "\"worker_rlimit_core\" directive invalid value"),
        ("worker_shutdown_timeout x;", "\"worker_shutdown_timeout\" directive invalid value"),
        ("daemon yes;", "invalid value \"yes\" in \"daemon\" directive, it must be \"on\" or \"off\""),
        ("error_log x foo;", "invalid log level \"foo\""),
        ("error_log x warn info;", "duplicate log level \"info\""),
        ("env;", "invalid number of arguments in \"env\" directive"),
        ("thread_pool a threads=0;", "invalid threads value \"threads=0\""),
        ("debug_points x;", "invalid value \"x\""),
        ("events { worker_connections x; }", "invalid number \"x\""),
        ("events { use poll; }", "invalid event type \"poll\""),
        ("events { use epoll; use epoll; }", "\"use\" directive is duplicate"),
        ("events { worker_processes 1; }", "\"worker_processes\" directive is not allowed here"),
        ("events { debug_connection 1.2.3.4/99; }", "host not found in debug_connection \"1.2.3.4/99\""),
        ("events { debug_connection unix:/a; }", "host not found in debug_connection \"unix:/a\""),
        ("user root; events { worker_connections 0; }", "0 worker_connections are not enough for 0 listening sockets"),
        (
            "user root; events { worker_connections 1; } tcp { server { listen 1; return x; } }",
            "1 worker_connections are not enough for 1 listening sockets",
        ),
    ] {
        assert_eq!(fault(text), message, "{text}");
    }
    if Uid::effective().is_root() {
        assert_eq!(fault("user no-such-user; events {}"), "getpwnam(\"no-such-user\") failed");
        assert_eq!(fault("user root no-such-group; events {}"), "getgrnam(\"no-such-group\") failed");
    }
}

#[test]
fn what_could_mislead_is_warned_of() {
    let count = |text: &str| {
        let ignored_user = usize::from(!Uid::effective().is_root());
        warnings(&format!("user root; {text} events {{}}")).len() - ignored_user
    };
    assert_eq!(count(""), 0);
    assert_eq!(count("lock_file x; pcre_jit on; timer_resolution 100ms; debug_points stop;"), 0);
    assert_eq!(count("load_module x.so; thread_pool a threads=2; ssl_engine x;"), 3);
    assert_eq!(count("worker_processes 3; worker_cpu_affinity 01 10;"), 1);
    assert_eq!(
        warnings("events { debug_connection 10.0.0.1/8; }").last().unwrap(),
        "low address bits of 10.0.0.1/8 are meaningless"
    );
}

#[test]
fn several_tcp_blocks_have_upstreams_of_their_own() {
    let block = |port: u16| {
        format!("tcp {{ upstream u {{ server 127.0.0.1:1; }} server {{ listen 127.0.0.1:{port}; proxy_pass u; }} }}\n")
    };
    let config = good(&format!("events {{}} {}{}", block(7001), block(7002)));
    assert_eq!(config.listens.len(), 2);
    assert_eq!(config.tcp.groups.iter().map(|group| group.peers.len()).sum::<usize>(), 2);
}
