//! Configurations that are refused: the message, the line, the exit code.

use crate::common::*;

/// Where a piece of configuration is put: the text before and after it.
#[derive(Clone, Copy, Debug)]
pub enum At {
    Main,
    Events,
    Tcp,
    Server,
    Location,
    Upstream,
    Http,
    HttpServer,
    HttpLocation,
    HttpServerIf,
    HttpLocationIf,
    /// A location that passes requests on.
    HttpProxy,
    HttpUpstream,
    /// The piece is the whole file.
    File,
}

impl At {
    /// The whole file around `piece`, and the line on which the piece begins.
    pub fn around(self, piece: &str) -> (String, usize) {
        let (before, after) = match self {
            At::Main => ("pid weir.pid;\n", "\nevents {}\n"),
            At::Events => ("pid weir.pid;\nevents {\n", "\n}\n"),
            At::Tcp => ("pid weir.pid;\nevents {}\ntcp {\nupstream u { server 127.0.0.1:1; }\n", "\n}\n"),
            At::Server => (
                "pid weir.pid;\nevents {}\ntcp {\nproxy_pass 127.0.0.1:1;\nupstream u { server 127.0.0.1:1; }\nserver {\nlisten unix:weir.sock;\n",
                "\n}\n}\n",
            ),
            At::Location => (
                "pid weir.pid;\nevents {}\ntcp {\nproxy_pass 127.0.0.1:1;\nserver {\nlisten unix:weir.sock;\nlocation / {\n",
                "\n}\n}\n}\n",
            ),
            At::Upstream => ("pid weir.pid;\nevents {}\ntcp {\nupstream u {\nserver 127.0.0.1:1;\n", "\n}\n}\n"),
            At::Http => ("pid weir.pid;\nevents {}\nhttp {\naccess_log access.log;\n", "\n}\n"),
            At::HttpServer => (
                "pid weir.pid;\nevents {}\nhttp {\naccess_log access.log;\nserver {\nlisten unix:weir.sock;\n",
                "\n}\n}\n",
            ),
            At::HttpLocation => (
                "pid weir.pid;\nevents {}\nhttp {\naccess_log access.log;\nserver {\nlisten unix:weir.sock;\nlocation / {\n",
                "\n}\n}\n}\n",
            ),
            At::HttpServerIf => (
                "pid weir.pid;\nevents {}\nhttp {\naccess_log access.log;\nserver {\nlisten unix:weir.sock;\nif ($uri) {\n",
                "\n}\n}\n}\n",
            ),
            At::HttpLocationIf => (
                "pid weir.pid;\nevents {}\nhttp {\naccess_log access.log;\nserver {\nlisten unix:weir.sock;\nlocation / {\nif ($uri) {\n",
                "\n}\n}\n}\n}\n",
            ),
            At::HttpProxy => (
                "pid weir.pid;\nevents {}\nhttp {\naccess_log access.log;\nserver {\nlisten unix:weir.sock;\nlocation / {\nproxy_pass http://127.0.0.1:1;\n",
                "\n}\n}\n}\n",
            ),
            At::HttpUpstream => (
                "pid weir.pid;\nevents {}\nhttp {\naccess_log access.log;\nupstream u {\nserver 127.0.0.1:1;\n",
                "\n}\nserver {\nlisten unix:weir.sock;\nlocation / {\nproxy_pass http://u;\n}\n}\n}\n",
            ),
            At::File => ("", ""),
        };
        (format!("{before}{piece}{after}"), before.lines().count() + 1)
    }
}

/// A piece that is refused: the message without its place, and on which of the piece's lines it is met, counted from 0.
type Refused = (At, &'static str, &'static str, usize);

/// Tries every row with `-t` and reports all that differ at once.
fn refuse_all(rows: &[Refused]) {
    let prefix = Prefix::new();
    let file = prefix.text_path("nginx.conf");
    let mut faults = Vec::new();
    for &(at, piece, message, line) in rows {
        let (text, first) = at.around(piece);
        prefix.write("nginx.conf", text);
        let run = prefix.run(&["-t"]);
        let wanted = format!("weir: [emerg] {message} in {file}:{}\n", first + line);
        let verdict = format!("weir: configuration file {file} test failed\n");
        if !run.stderr.contains(&wanted) || !run.stderr.ends_with(&verdict) || run.status.code() != Some(1) {
            faults.push(format!("{at:?} {piece:?}\n  wanted {wanted}  got    {:?} {}", run.status.code(), run.stderr));
        }
    }
    assert!(faults.is_empty(), "{} of {} differ:\n{}", faults.len(), rows.len(), faults.join("\n"));
}

use At::*;

#[test]
fn syntax() {
    refuse_all(&[
        (Main, "frobnicate on;", r#"unknown directive "frobnicate""#, 0),
        (Main, "\n\nfrobnicate on;", r#"unknown directive "frobnicate""#, 2),
        (Main, "frobnicate { }", r#"unknown directive "frobnicate""#, 0),
        (Tcp, "frobnicate on;", r#"unknown directive "frobnicate""#, 0),
        (Server, "frobnicate on;", r#"unknown directive "frobnicate""#, 0),
        (Upstream, "frobnicate on;", r#"unknown directive "frobnicate""#, 0),
        (Events, "frobnicate on;", r#"unknown directive "frobnicate""#, 0),
        (Location, "frobnicate on;", r#"unknown directive "frobnicate""#, 0),
        (File, "daemon off;\nevents {\n", r#"unexpected end of file, expecting "}""#, 2),
        (
            File,
            "daemon off;\nevents {\nworker_connections 5;\n}\ntcp {\nserver {\n}\n",
            r#"unexpected end of file, expecting "}""#,
            7,
        ),
        (File, "daemon off;\nevents {", r#"unexpected end of file, expecting "}""#, 1),
        (File, "daemon off", r#"unexpected end of file, expecting ";" or "}""#, 0),
        (File, "events {}\npid \"weir.pid;\n", r#"unexpected end of file, expecting ";" or "}""#, 2),
        (Main, "}", r#"unexpected "}""#, 0),
        (File, "events {}\n}\n", r#"unexpected "}""#, 1),
        (Main, "{", r#"unexpected "{""#, 0),
        (Main, ";", r#"unexpected ";""#, 0),
        (Main, "worker_processes \"1\"x;", r#"unexpected "x""#, 0),
        (Events, "worker_connections 12\n", r#"unexpected "}""#, 2),
        (Main, "daemon off {\n}", r#"directive "daemon" is not terminated by ";""#, 0),
        (Upstream, "server 127.0.0.1:2 { }", r#"directive "server" is not terminated by ";""#, 0),
        (Main, "tcp;", r#"directive "tcp" has no opening "{""#, 0),
        (Tcp, "server;", r#"directive "server" has no opening "{""#, 0),
        (Tcp, "upstream x;", r#"directive "upstream" has no opening "{""#, 0),
        // The `;` of the next directive ends this one, and its line is the one reported.
        (Main, "worker_priority 1\ndaemon off;", r#"invalid number of arguments in "worker_priority" directive"#, 1),
    ]);
}

#[test]
fn wrong_place() {
    let not_here = |name: &str| format!(r#""{name}" directive is not allowed here"#);
    let rows: Vec<(At, String, String, usize)> = [
        (Main, "worker_connections 5;"),
        (Main, "use epoll;"),
        (Main, "multi_accept on;"),
        (Main, "listen 127.0.0.1:1;"),
        (Main, "proxy_pass 127.0.0.1:1;"),
        (Main, "timeout 5s;"),
        (Main, "allow all;"),
        (Main, "upstream x { }"),
        (Main, "server { }"),
        (Events, "daemon off;"),
        (Events, "error_log error.log;"),
        (Events, "timeout 5s;"),
        (Events, "tcp { }"),
        (Tcp, "listen 127.0.0.1:1;"),
        (Tcp, "return text;"),
        (Tcp, "protocol tcp_generic;"),
        (Tcp, "location / { }"),
        (Tcp, "daemon off;"),
        (Tcp, "worker_connections 5;"),
        (Tcp, "tcp { }"),
        (Tcp, "events { }"),
        (Server, "upstream x { server 127.0.0.1:1; }"),
        (Server, "server { }"),
        (Server, "user nobody;"),
        (Upstream, "listen 127.0.0.1:1;"),
        (Upstream, "proxy_pass 127.0.0.1:1;"),
        (Upstream, "timeout 5s;"),
        (Upstream, "upstream x { server 127.0.0.1:1; }"),
        (Location, "listen 127.0.0.1:1;"),
        (Location, "proxy_pass 127.0.0.1:1;"),
    ]
    .into_iter()
    .map(|(at, piece)| (at, piece.to_string(), not_here(piece.split_whitespace().next().unwrap()), 0))
    .collect();
    let rows: Vec<Refused> =
        rows.into_iter().map(|(at, piece, message, line)| (at, &*piece.leak(), &*message.leak(), line)).collect();
    refuse_all(&rows);
}

#[test]
fn wrong_number_of_arguments() {
    let pieces = [
        (Main, "daemon;"),
        (Main, "daemon on off;"),
        (Main, "master_process;"),
        (Main, "worker_processes;"),
        (Main, "worker_processes 1 2;"),
        (Main, "worker_cpu_affinity;"),
        (Main, "worker_priority;"),
        (Main, "worker_priority 1 2;"),
        (Main, "worker_rlimit_nofile;"),
        (Main, "worker_rlimit_core 1 2;"),
        (Main, "worker_shutdown_timeout;"),
        (Main, "working_directory;"),
        (Main, "user;"),
        (Main, "user a b c;"),
        (Main, "pid a b;"),
        (Main, "error_log;"),
        (Main, "env;"),
        (Main, "env A B;"),
        (Main, "lock_file a b;"),
        (Main, "timer_resolution;"),
        (Main, "pcre_jit;"),
        (Main, "thread_pool;"),
        (Main, "load_module;"),
        (Main, "debug_points;"),
        (Main, "ssl_engine;"),
        (Main, "include;"),
        (Main, "include a b;"),
        (Main, "tcp x { }"),
        (Events, "worker_connections;"),
        (Events, "worker_connections 1 2;"),
        (Events, "use;"),
        (Events, "multi_accept;"),
        (Events, "accept_mutex;"),
        (Events, "accept_mutex_delay;"),
        (Events, "debug_connection;"),
        (Tcp, "server x { }"),
        (Tcp, "upstream { server 127.0.0.1:1; }"),
        (Tcp, "upstream a b { server 127.0.0.1:1; }"),
        (Tcp, "timeout;"),
        (Tcp, "timeout 1 2;"),
        (Server, "listen;"),
        (Server, "protocol;"),
        (Server, "protocol a b;"),
        (Server, "server_name;"),
        (Server, "server_names;"),
        (Server, "location { }"),
        (Server, "so_keepalive;"),
        (Server, "tcp_nodelay on off;"),
        (Server, "timeout;"),
        (Server, "resolver;"),
        (Server, "resolver_timeout;"),
        (Server, "allow;"),
        (Server, "allow 127.0.0.1 127.0.0.2;"),
        (Server, "deny;"),
        (Server, "access_log;"),
        (Server, "proxy_pass;"),
        (Server, "proxy_pass a b;"),
        (Server, "proxy_buffer;"),
        (Server, "proxy_connect_timeout;"),
        (Server, "proxy_read_timeout 1 2;"),
        (Server, "proxy_send_timeout;"),
        (Server, "return;"),
        (Server, "return a b;"),
        (Upstream, "server;"),
    ];
    let rows: Vec<Refused> = pieces
        .into_iter()
        .map(|(at, piece)| {
            let name = piece.trim_end_matches(';').split_whitespace().next().unwrap();
            let message = format!(r#"invalid number of arguments in "{name}" directive"#);
            (at, piece, &*message.leak(), 0)
        })
        .collect();
    refuse_all(&rows);
}

#[test]
fn duplicates() {
    let pieces = [
        (Main, "daemon off;\ndaemon off;"),
        (Main, "master_process on;\nmaster_process on;"),
        (Main, "worker_processes 1;\nworker_processes 1;"),
        (Main, "worker_cpu_affinity 1;\nworker_cpu_affinity 1;"),
        (Main, "worker_priority 1;\nworker_priority 1;"),
        (Main, "worker_rlimit_nofile 100;\nworker_rlimit_nofile 100;"),
        (Main, "worker_rlimit_core 1;\nworker_rlimit_core 1;"),
        (Main, "worker_shutdown_timeout 1;\nworker_shutdown_timeout 1;"),
        (Main, "working_directory /;\nworking_directory /;"),
        (Main, "user nobody nogroup;\nuser nobody nogroup;"),
        (Main, "lock_file a;\nlock_file a;"),
        (Main, "timer_resolution 1s;\ntimer_resolution 1s;"),
        (Main, "pcre_jit on;\npcre_jit on;"),
        (Main, "debug_points stop;\ndebug_points stop;"),
        (Main, "events { }\nevents { }"),
        (Events, "worker_connections 5;\nworker_connections 5;"),
        (Events, "use epoll;\nuse epoll;"),
        (Events, "multi_accept on;\nmulti_accept on;"),
        (Events, "accept_mutex on;\naccept_mutex on;"),
        (Events, "accept_mutex_delay 1s;\naccept_mutex_delay 1s;"),
        (Server, "protocol tcp_generic;\nprotocol tcp_generic;"),
        (Server, "so_keepalive on;\nso_keepalive on;"),
        (Server, "tcp_nodelay on;\ntcp_nodelay on;"),
        (Server, "timeout 1s;\ntimeout 1s;"),
        (Tcp, "timeout 1s;\ntimeout 1s;"),
        (Server, "resolver_timeout 1s;\nresolver_timeout 1s;"),
        (Server, "proxy_pass 127.0.0.1:2;\nproxy_pass 127.0.0.1:3;"),
        (Tcp, "proxy_pass 127.0.0.1:2;\nproxy_pass 127.0.0.1:3;"),
        (Server, "proxy_buffer 4k;\nproxy_buffer 4k;"),
        (Server, "proxy_connect_timeout 1s;\nproxy_connect_timeout 1s;"),
        (Server, "proxy_read_timeout 1s;\nproxy_read_timeout 1s;"),
        (Server, "proxy_send_timeout 1s;\nproxy_send_timeout 1s;"),
        (Server, "return a;\nreturn b;"),
    ];
    let rows: Vec<Refused> = pieces
        .into_iter()
        .map(|(at, piece)| {
            let name = piece.split_whitespace().next().unwrap();
            (at, piece, &*format!(r#""{name}" directive is duplicate"#).leak(), 1)
        })
        .collect();
    refuse_all(&rows);
    refuse_all(&[
        (File, "pid weir.pid;\npid weir.pid;\nevents { }\n", r#""pid" directive is duplicate"#, 1),
        (Tcp, "upstream a { server 127.0.0.1:1; }\nupstream a { server 127.0.0.1:1; }", r#"duplicate upstream "a""#, 1),
        (Tcp, "upstream u { server 127.0.0.1:1; }", r#"duplicate upstream "u""#, 0),
    ]);
}

#[test]
fn bad_flags_times_sizes_and_numbers() {
    let mut rows = Vec::new();
    for (at, name) in [
        (Main, "daemon"),
        (Main, "master_process"),
        (Main, "pcre_jit"),
        (Events, "multi_accept"),
        (Events, "accept_mutex"),
        (Tcp, "so_keepalive"),
        (Server, "so_keepalive"),
        (Tcp, "tcp_nodelay"),
        (Server, "tcp_nodelay"),
    ] {
        for value in ["yes", "1", "\"\""] {
            let shown = value.trim_matches('"');
            rows.push((
                at,
                format!("{name} {value};"),
                format!(r#"invalid value "{shown}" in "{name}" directive, it must be "on" or "off""#),
            ));
        }
    }
    let mut invalid = |at: At, name: &str, values: &[&str]| {
        for value in values {
            rows.push((at, format!("{name} {value};"), format!(r#""{name}" directive invalid value"#)));
        }
    };
    let bad_times = ["x", "-1", "5x", "1s2m", "1h1h", "\"\"", "1.5s", "s", "99999999999999999999"];
    for name in ["timeout", "proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout", "resolver_timeout"] {
        invalid(Tcp, name, &bad_times);
        invalid(Server, name, &bad_times);
    }
    invalid(Main, "worker_shutdown_timeout", &bad_times);
    invalid(Main, "timer_resolution", &bad_times);
    invalid(Events, "accept_mutex_delay", &bad_times);
    for at in [Tcp, Server] {
        invalid(at, "proxy_buffer", &["x", "-1", "4q", "4kk", "k", "99999999999999999999g"]);
    }
    invalid(Main, "worker_rlimit_core", &["x", "1x", "-1"]);
    invalid(Main, "worker_processes", &["x", "-1", "1k", "AUTO"]);
    for name in ["worker_priority", "worker_rlimit_nofile"] {
        rows.push((Main, format!("{name} x;"), format!(r#""{name}" directive invalid number"#)));
    }
    rows.push((Events, "worker_connections x;".into(), r#"invalid number "x""#.into()));
    let rows: Vec<Refused> =
        rows.into_iter().map(|(at, piece, message)| (at, &*piece.leak(), &*message.leak(), 0)).collect();
    refuse_all(&rows);
}

#[test]
fn bad_values() {
    refuse_all(&[
        (Main, "error_log error.log loud;", r#"invalid log level "loud""#, 0),
        (Main, "error_log error.log info info;", r#"duplicate log level "info""#, 0),
        (Main, "worker_cpu_affinity 012;", r#"invalid character "2" in "worker_cpu_affinity""#, 0),
        (Main, "debug_points maybe;", r#"invalid value "maybe""#, 0),
        (Main, "thread_pool p threads=x;", r#"invalid threads value "threads=x""#, 0),
        (Events, "use kqueue;", r#"invalid event type "kqueue""#, 0),
        (Events, "use poll;", r#"invalid event type "poll""#, 0),
        (Events, "debug_connection nohost.invalid;", r#"host not found in debug_connection "nohost.invalid""#, 0),
        (Server, "listen 127.0.0.1:0;", r#"invalid port in "127.0.0.1:0" of the "listen" directive"#, 0),
        (Server, "listen 127.0.0.1:99999;", r#"invalid port in "127.0.0.1:99999" of the "listen" directive"#, 0),
        (Server, "listen 0;", r#"invalid port in "0" of the "listen" directive"#, 0),
        (Server, "listen :80;", r#"no host in ":80" of the "listen" directive"#, 0),
        (Server, "listen [::1:80;", r#"invalid host in "[::1:80" of the "listen" directive"#, 0),
        (Server, "listen nohost.invalid:80;", r#"host not found in "nohost.invalid:80" of the "listen" directive"#, 0),
        (Server, "listen unix:;", r#"no path in the unix domain socket in "unix:" of the "listen" directive"#, 0),
        (Server, "listen 127.0.0.1:1 loud;", r#"the invalid "loud" parameter"#, 0),
        (Server, "listen 127.0.0.1:1 backlog=0;", r#"invalid backlog "backlog=0""#, 0),
        (Server, "listen unix:b.sock reuseport;", r#"reuseport is not supported on addr "unix:b.sock""#, 0),
        (Server, "error_log error.log loud;", r#"invalid log level "loud""#, 0),
        (Server, "listen 127.0.0.1:1 bind=1;", r#"the invalid "bind=1" parameter"#, 0),
        (Server, "protocol tcp_odd;", r#"unknown protocol "tcp_odd""#, 0),
        (Server, "allow 1.2.3.4/33;", r#"invalid parameter "1.2.3.4/33""#, 0),
        (Server, "deny 2001:db8::/129;", r#"invalid parameter "2001:db8::/129""#, 0),
        (Server, "deny foo;", r#"invalid parameter "foo""#, 0),
        (Tcp, "allow 1.2.3;", r#"invalid parameter "1.2.3""#, 0),
        (Server, "access_log a.log loud;", r#"unknown log format "loud""#, 0),
        (Server, "access_log a.log buffer=x;", r#"invalid buffer size "x""#, 0),
        (Server, "access_log a.log f;", r#"unknown log format "f""#, 0),
        (Server, "access_log a.log flush=1s;", r#"no buffer is defined for access_log "a.log""#, 0),
        (Server, "access_log a.log buffer=1k flush=0;", r#"invalid flush time "0""#, 0),
        (Server, "access_log a.log if=$nosuch;", r#"unknown "nosuch" variable"#, 0),
        (Server, "access_log a.log gzip=0;", r#"invalid compression level "0""#, 0),
        (Server, "access_log off a;", r#"invalid parameter "a""#, 0),
        (Server, "access_log syslog:server=127.0.0.1 buffer=1k;", "logs to syslog cannot be buffered", 0),
        (Server, "access_log syslog:tag=a;", "no syslog server specified", 0),
        (Tcp, "access_log a.log f;", r#"unknown log format "f""#, 0),
        (Tcp, "log_format f x;\nlog_format f y;", r#"duplicate "log_format" name "f""#, 1),
        (Tcp, "log_format f escape=html x;", r#"unknown log format escaping "html""#, 0),
        (Tcp, "log_format f $nosuch;", r#"unknown "nosuch" variable"#, 0),
        (
            Server,
            "proxy_protocol v3;",
            r#"invalid value "v3" in "proxy_protocol" directive, it must be "on" or "off""#,
            0,
        ),
        (Server, "set_real_ip_from all;", r#"host not found in set_real_ip_from "all""#, 0),
        (Server, "set_real_ip_from 10.0.0.0/33;", r#"host not found in set_real_ip_from "10.0.0.0/33""#, 0),
        (Server, "proxy_protocol_timeout x;", r#""proxy_protocol_timeout" directive invalid value"#, 0),
        (Main, "error_log syslog:server=127.0.0.1,facility=x;", r#"unknown syslog facility "x""#, 0),
        (Server, "access_log a.log buffer=0;", r#"invalid buffer size "0""#, 0),
        (
            Server,
            "access_log a.log buffer=4k;\naccess_log a.log buffer=8k;",
            r#"access_log "a.log" already defined with conflicting parameters"#,
            1,
        ),
        (
            HttpLocationIf,
            "proxy_pass http://127.0.0.1:1/;",
            r#""proxy_pass" cannot have URI part in location given by regular expression, or inside named location, or inside "if" statement, or inside "limit_except" block"#,
            0,
        ),
        (
            HttpServer,
            "location ~ x { proxy_pass http://127.0.0.1:1/; }",
            r#""proxy_pass" cannot have URI part in location given by regular expression, or inside named location, or inside "if" statement, or inside "limit_except" block"#,
            0,
        ),
        (
            HttpServer,
            "location @x { proxy_pass http://127.0.0.1:1/; }",
            r#""proxy_pass" cannot have URI part in location given by regular expression, or inside named location, or inside "if" statement, or inside "limit_except" block"#,
            0,
        ),
        (Server, "proxy_pass u:80;", r#"upstream "u" may not have port 80"#, 0),
        (Server, "proxy_pass nohost.invalid:80;", r#"host not found in upstream "nohost.invalid:80""#, 0),
        (Server, "proxy_pass 127.0.0.1:99999;", r#"invalid port in upstream "127.0.0.1:99999""#, 0),
        (Server, "proxy_pass :80;", r#"no host in upstream ":80""#, 0),
        (Server, "proxy_pass unix:;", r#"no path in the unix domain socket in upstream "unix:""#, 0),
        (Server, "return \"${pid\";", r#"the closing bracket in "pid" variable is missing"#, 0),
        (Server, "return \"$\";", "invalid variable name", 0),
        (Server, "return \"$nosuch\";", r#"unknown "nosuch" variable"#, 0),
        (Upstream, "server nohost.invalid;", r#"host not found in upstream "nohost.invalid""#, 0),
        (Upstream, "server nohost.invalid:80;", r#"host not found in upstream "nohost.invalid:80""#, 0),
        (Upstream, "server 127.0.0.1:99999;", r#"invalid port in upstream "127.0.0.1:99999""#, 0),
        (Upstream, "server 127.0.0.1:0;", r#"invalid port in upstream "127.0.0.1:0""#, 0),
        (Upstream, "server 127.0.0.1:x;", r#"invalid port in upstream "127.0.0.1:x""#, 0),
        (Upstream, "server :80;", r#"no host in upstream ":80""#, 0),
        (Upstream, "server unix:;", r#"no path in the unix domain socket in upstream "unix:""#, 0),
        (Upstream, "server 127.0.0.1 weight=0;", r#"invalid parameter "weight=0""#, 0),
        (Upstream, "server 127.0.0.1 weight=x;", r#"invalid parameter "weight=x""#, 0),
        (Upstream, "server 127.0.0.1 weight=;", r#"invalid parameter "weight=""#, 0),
        (Upstream, "server 127.0.0.1 max_fails=x;", r#"invalid parameter "max_fails=x""#, 0),
        (Upstream, "server 127.0.0.1 fail_timeout=x;", r#"invalid parameter "fail_timeout=x""#, 0),
        (Upstream, "server 127.0.0.1 max_busy=x;", r#"invalid parameter "max_busy=x""#, 0),
        (Upstream, "server 127.0.0.1 loud;", r#"invalid parameter "loud""#, 0),
        (Upstream, "server 127.0.0.1 down=1;", r#"invalid parameter "down=1""#, 0),
        // Faults that show at the end of a block stand at its brace.
        (Tcp, "upstream empty {\n}", "no servers are inside upstream", 1),
        // A wrong value in an inherited place is refused where it stands, whether or not a server uses it.
        (Tcp, "proxy_pass u:80;", r#"upstream "u" may not have port 80"#, 0),
    ]);
}

#[test]
fn unknown_accounts() {
    // Without root the directive means nothing, and is not looked into.
    if nix::unistd::geteuid().is_root() {
        refuse_all(&[
            (Main, "user nosuchuser;", r#"getpwnam("nosuchuser") failed"#, 0),
            (Main, "user nobody nosuchgroup;", r#"getgrnam("nosuchgroup") failed"#, 0),
        ]);
    }
}

#[test]
fn damaged_files_are_refused_or_accepted_but_never_fatal() {
    let good = "pid weir.pid; error_log \"error.log\" info;\nevents { worker_connections 50; }\n# remark\ntcp {\n timeout 1m30s;\n upstream u { server 127.0.0.1:1 weight=2; }\n server { listen unix:w.sock; allow 10.0.0.0/8; deny all; access_log a.log buffer=4k; proxy_pass u; }\n server { listen unix:v.sock; return 'a${pid}\\n'; }\n}\n";
    let prefix = Prefix::new();
    let mut dice = Dice::new(7);
    for _ in 0..250 {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(bytes.len());
            match dice.roll(4) {
                0 => _ = bytes.remove(at),
                1 => bytes[at] = dice.roll(256) as u8,
                2 => bytes.insert(at, *b"{};\"'\\$#\n\0".get(dice.roll(10)).unwrap()),
                _ => bytes.truncate(at.max(1)),
            }
        }
        prefix.write("nginx.conf", &bytes);
        let run = prefix.run(&["-t"]);
        let text = String::from_utf8_lossy(&bytes);
        assert!(matches!(run.status.code(), Some(0 | 1)), "{:?} {}\n{text}", run.status, run.stderr);
        let told = if run.status.success() { "test is successful" } else { "[emerg]" };
        assert!(run.stderr.contains(told) && !run.stderr.contains("panicked"), "{}\n{text}", run.stderr);
    }
}

#[test]
fn slashes_as_a_comment_get_a_hint() {
    let prefix = Prefix::new();
    for (piece, at) in [
        ("timeout 10s; // how long a session may rest", At::Tcp),
        ("// a remark\ntimeout 10s;", At::Tcp),
        ("timeout 10s;// no blank before it", At::Tcp),
        ("timeout 10s; //会话超时时间", At::Tcp),
        ("server localhost:1935;#right\nserver localhost:1936;//wrong", At::Upstream),
        ("proxy_pass u;//对应上面的 upstream", At::Server),
    ] {
        prefix.write("nginx.conf", at.around(piece).0);
        let run = prefix.run(&["-t"]);
        assert_eq!(run.status.code(), Some(1), "{piece}");
        // What nginx makes of the remark depends on where its words end; the hint is the same.
        assert!(run.stderr.contains("[emerg] "), "{piece}: {}", run.stderr);
        assert!(run.stderr.contains(r##"("//" does not begin a comment, use "#")"##), "{piece}: {}", run.stderr);
        assert!(run.stderr.contains(&prefix.text_path("nginx.conf")), "{}", run.stderr);
    }
}

#[test]
fn events_are_required() {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", "pid weir.pid;\n");
    let run = prefix.run(&["-t"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stderr.contains("weir: [emerg] no \"events\" section in configuration\n"), "{}", run.stderr);
    assert!(run.stderr.ends_with("test failed\n"), "{}", run.stderr);
}

#[test]
fn a_missing_file_is_told() {
    let prefix = Prefix::new();
    let run = prefix.run(&["-t"]);
    assert_eq!(run.status.code(), Some(1));
    let file = prefix.text_path("nginx.conf");
    let wanted = format!("weir: [emerg] open() \"{file}\" failed (2: No such file or directory)\n");
    assert!(run.stderr.contains(&wanted), "{}", run.stderr);
}

#[test]
fn the_fault_that_stands_first_is_reported() {
    let prefix = Prefix::new();
    let file = prefix.text_path("nginx.conf");
    // A fault of a directive, and then one of syntax.
    prefix.write("nginx.conf", "events {}\ndaemon maybe;\ntcp {\n");
    let run = prefix.run(&["-t"]);
    assert!(run.stderr.contains(&format!("directive, it must be \"on\" or \"off\" in {file}:2\n")), "{}", run.stderr);
    assert!(!run.stderr.contains("unexpected end of file"), "{}", run.stderr);
}

#[test]
fn a_start_is_refused_like_a_test() {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", "events {}\nfrobnicate;\n");
    let run = prefix.run(&[]);
    assert_eq!(run.status.code(), Some(1));
    let wanted = format!("weir: [emerg] unknown directive \"frobnicate\" in {}:2\n", prefix.text_path("nginx.conf"));
    assert!(run.stderr.contains(&wanted), "{}", run.stderr);
    assert!(!run.stderr.contains("test failed"), "{}", run.stderr);
    // The log has it too, with the time.
    let log = prefix.read("logs/error.log");
    assert!(log.contains("[emerg] ") && log.contains("unknown directive \"frobnicate\""), "{log}");
}

#[test]
fn low_address_bits_are_warned_of() {
    let prefix = Prefix::new();
    for (at, piece) in [
        (At::Tcp, "deny 10.0.0.1/8;"),
        (At::Server, "allow 2001:db8::1/32;"),
        (At::Events, "debug_connection 1.2.3.4/8;"),
    ] {
        let (text, line) = at.around(piece);
        prefix.write("nginx.conf", text);
        let run = prefix.run(&["-t"]);
        let network = piece.split_whitespace().nth(1).unwrap().trim_end_matches(';');
        let wanted = format!(
            "weir: [warn] low address bits of {network} are meaningless in {}:{line}\n",
            prefix.text_path("nginx.conf")
        );
        assert!(run.stderr.contains(&wanted), "{piece}: {}", run.stderr);
        assert!(run.status.success(), "{piece}: {}", run.stderr);
    }
}

#[test]
fn an_unusable_address_is_told() {
    let prefix = Prefix::new();
    // 192.0.2.0/24 belongs to no one (RFC 5737), so to no interface here.
    prefix.write("nginx.conf", Setup::proxy("192.0.2.1:1999", "127.0.0.1:1").text());
    let run = prefix.run(&[]);
    assert_eq!(run.status.code(), Some(1));
    let wanted = "bind() to 192.0.2.1:1999 failed (99: Cannot assign requested address)";
    assert!(run.stderr.contains(wanted), "{}", run.stderr);
}

#[test]
fn a_taken_address_is_told() {
    let prefix = Prefix::new();
    let port = Port::reserve();
    let holder = std::net::TcpListener::bind(port.v4()).unwrap();
    prefix.write("nginx.conf", Setup::proxy(port.v4(), "127.0.0.1:1").text());
    let run = prefix.run(&[]);
    assert_eq!(run.status.code(), Some(1));
    let wanted = format!("bind() to {} failed (98: Address already in use)", port.v4());
    assert!(run.stderr.contains(&wanted), "{}", run.stderr);
    drop(holder);
}

#[test]
fn a_log_that_cannot_be_opened_is_told() {
    let prefix = Prefix::new();
    let (text, _) = At::Server.around("access_log nosuch/folder/a.log;");
    prefix.write("nginx.conf", text);
    let run = prefix.run(&["-t"]);
    assert_eq!(run.status.code(), Some(1));
    let wanted =
        format!("[emerg] open() \"{}\" failed (2: No such file or directory)", prefix.text_path("nosuch/folder/a.log"));
    assert!(run.stderr.contains(&wanted), "{}", run.stderr);
}
