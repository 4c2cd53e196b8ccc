//! When peers are probed, by whom, and what follows from it.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::common::clients::{fetch, is_quiet};
use super::common::running::send;
use crate::common::*;

/// A server on `port` for the group `u` with these lines.
fn group(port: &Port, lines: &str) -> Setup {
    Setup::tcp(format!("upstream u {{\n{lines}\n}}\nserver {{ listen {}; proxy_pass u; }}", port.v4()))
}

/// The process that wrote a line of the error log.
fn writer(line: &str) -> i32 {
    line.split("] ").nth(1).unwrap().split('#').next().unwrap().parse().unwrap()
}

#[test]
fn the_first_probe_comes_at_once_and_decides() {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let alive = Backend::start(backends::named("alive"));
    let lines = format!("server {};\nserver {};\ncheck interval=3600000 rise=100 fall=100;", dead.v4(), alive.address);
    let weir = group(&port, &lines).start();
    let line = weir.wait_error(&format!("peer {} of upstream \"u\" is down", dead.v4()));
    assert!(line.contains(" [error] ") && line.ends_with("connect() failed (111: Connection refused)"), "{line}");
    let line = weir.wait_error(&format!("peer {} of upstream \"u\" is up", alive.address));
    assert!(line.contains(" [notice] "), "{line}");
    // No session is spent on the dead one.
    for _ in 0..4 {
        assert_eq!(fetch(port.v4()), "alive");
    }
    assert_eq!(weir.error_log().matches("while connecting to upstream").count(), 0);
}

#[test]
fn what_holds_until_the_first_probe_has_ended() {
    for (parameter, served) in [("", false), ("default_down=true", false), ("default_down=false", true)] {
        let port = Port::reserve();
        let silent = Backend::start(backends::greeting("hello"));
        let unanswered = Backend::start(backends::silent);
        let check = format!("check type=imap timeout=3600000 port={} {parameter};", unanswered.address.port());
        let weir = group(&port, &format!("server {};\n{check}", silent.address)).start();
        wait_for("the first probe", || unanswered.accepted() == 1);
        let mut client = connect(port.v4());
        if served {
            let mut text = [0; 5];
            std::io::Read::read_exact(&mut client, &mut text).unwrap();
            assert_eq!(&text, b"hello");
        } else {
            assert!(is_closed(client));
            weir.wait_error("no live upstreams while connecting to upstream");
        }
    }
}

#[test]
fn rise_and_fall() {
    let (port, probed) = (Port::reserve(), Port::reserve());
    let backend = Backend::start(backends::named("served"));
    let check = "check interval=200 rise=3 fall=4 timeout=20000";
    let lines = format!("server {};\n{check} port={};", backend.address, probed.number);
    let first = Backend::on(&probed, backends::silent);
    let weir = group(&port, &lines).start();
    weir.wait_error("is up");
    assert_eq!(fetch(port.v4()), "served");
    drop(first);
    weir.wait_error("is down: connect() failed (111: Connection refused)");
    let failures = weir.error_log().matches("of upstream \"u\" failed a check: ").count();
    assert_eq!(failures, 3, "and the fourth marked it down");
    assert!(is_closed(connect(port.v4())));
    let start = Instant::now();
    let _again = Backend::on(&probed, backends::silent);
    wait_for("it to be up again", || weir.error_log().matches("is up").count() == 2);
    // The first of the three may come at once.
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(2 * 200 - 20), "up after {took:?}");
    assert_eq!(fetch(port.v4()), "served");
}

#[test]
fn one_worker_probes_a_peer() {
    let port = Port::reserve();
    let backends: Vec<Backend> = (0..4).map(|_| Backend::start(backends::silent)).collect();
    let servers: String = backends.iter().map(|backend| format!("server {};\n", backend.address)).collect();
    let setup = group(&port, &format!("{servers} check interval=300;")).workers(3);
    let start = Instant::now();
    let weir = setup.start();
    wait_for("some rounds of probes", || backends.iter().all(|backend| backend.accepted() >= 7));
    let probes: Vec<usize> = backends.iter().map(Backend::accepted).collect();
    let rounds = start.elapsed().as_millis() as usize / 300;
    assert!(probes.iter().all(|probes| *probes <= rounds + 3), "{probes:?} in {rounds} rounds");
    drop(weir);
    // The peers are divided among the workers; one that comes late may find that others have taken its share.
    wait_for("the peers to be divided", || {
        let weir = setup.start();
        wait_for("the first probes", || weir.error_log().matches("is up").count() == 4);
        let log = weir.error_log();
        let writers: BTreeSet<i32> = log.lines().filter(|line| line.contains("is up")).map(writer).collect();
        writers.len() == 3
    });
}

#[test]
fn another_worker_takes_over() {
    // A worker that hangs loses its peers too.
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        let (port, probed) = (Port::reserve(), Port::reserve());
        let backend = Backend::on(&probed, backends::silent);
        let weir = group(&port, &format!("server {};\ncheck interval=200 fall=1;", probed.v4())).workers(3).start();
        let holder = writer(&weir.wait_error("is up"));
        send(holder, signal);
        drop(backend);
        let line = weir.wait_error("is down");
        assert_ne!(writer(&line), holder, "{line}");
        let _again = Backend::on(&probed, backends::silent);
        wait_for("it to be up again", || weir.error_log().matches("is up").count() == 2);
        if signal == Signal::SIGSTOP {
            send(holder, Signal::SIGKILL);
        }
    }
}

#[test]
fn the_only_workers_successor_goes_on() {
    let (port, probed) = (Port::reserve(), Port::reserve());
    let backend = Backend::on(&probed, backends::silent);
    let weir = group(&port, &format!("server {};\ncheck interval=200 fall=1;", probed.v4())).start();
    let first = writer(&weir.wait_error("is up"));
    send(first, Signal::SIGKILL);
    drop(backend);
    assert_ne!(writer(&weir.wait_error("is down")), first);
}

#[test]
fn state_is_kept_over_a_reload() {
    let (port, late, gone) = (Port::reserve(), Port::reserve(), Port::reserve());
    let serving = Backend::on(&gone, backends::greeting("g"));
    let servers = format!("server {};\nserver {};", late.v4(), gone.v4());
    let setup = group(&port, &format!("{servers}\ncheck interval=3600000;"));
    let weir = setup.workers(2).start();
    weir.wait_error(&format!("peer {} of upstream \"u\" is down", late.v4()));
    weir.wait_error(&format!("peer {} of upstream \"u\" is up", gone.v4()));
    // The kernel takes the probe before the server's thread counts it.
    wait_for("the probe to be counted", || serving.accepted() == 1);
    let late_server = Backend::on(&late, backends::greeting("l"));
    // Among other peers and with another rhythm.
    let new = Backend::start(backends::greeting("n"));
    let lines = format!("server {} backup;\n{servers}\ncheck interval=3000000 fall=2;", new.address);
    weir.reload(&group(&port, &lines).workers(3));
    weir.wait_error(&format!("peer {} of upstream \"u\" is up", new.address));
    for _ in 0..4 {
        assert_eq!(ask(connect(port.v4()), b"x"), b"g");
    }
    assert_eq!((late_server.accepted(), serving.accepted()), (0, 1 + 4), "nobody was probed again");
    assert_eq!(weir.error_log().matches("is down").count(), 1);
}

#[test]
fn a_first_probe_that_a_reload_cuts_is_made_again_soon() {
    let port = Port::reserve();
    let release = Arc::new(AtomicBool::new(false));
    let backend = Backend::start({
        let release = release.clone();
        move |mut stream| {
            if release.load(Ordering::SeqCst) {
                let _ = stream.write_all(b"* OK\r\n");
            } else {
                backends::silent(stream);
            }
        }
    });
    let lines = format!("server {};\ncheck interval=3600000 timeout=3600000 type=imap;", backend.address);
    let setup = group(&port, &lines);
    let weir = setup.start();
    for reloads in 1..=4 {
        wait_for("the first probe", || backend.accepted() == reloads);
        weir.reload(&setup);
    }
    release.store(true, Ordering::SeqCst);
    // Either the probe of the last reload or the one after it is answered.
    weir.reload(&setup);
    weir.wait_error("is up");
}

#[test]
fn a_peer_that_comes_back_is_the_same_in_one_process() {
    let port = Port::reserve();
    let [a, b] = ["a", "b"].map(|name| Backend::start(backends::greeting(name)));
    let with = |server: String| group(&port, &server).main("master_process off;").text();
    let [limited, other] = [format!("server {} max_busy=1;", a.address), format!("server {};", b.address)];
    // Who greets a new session; nobody if it is refused.
    let greeting = || {
        let mut client = connect(port.v4());
        let mut text = [0];
        (std::io::Read::read(&mut client, &mut text).unwrap_or(0) == 1).then_some((text[0], client))
    };
    let prefix = Prefix::new();
    prefix.write("nginx.conf", with(limited.clone()));
    let weir = Weir::launch(prefix, &[]);
    let (name, live) = greeting().unwrap();
    assert_eq!(name, b'a');
    weir.prefix.write("nginx.conf", with(other));
    weir.signal(Signal::SIGHUP);
    wait_for("the other server", || greeting().is_some_and(|(name, _)| name == b'b'));
    weir.prefix.write("nginx.conf", with(limited));
    weir.signal(Signal::SIGHUP);
    wait_for("the first server, which is busy", || match greeting() {
        Some((name, _)) => {
            assert_eq!(name, b'b');
            false
        }
        None => true,
    });
    drop(live);
    wait_for("room for another", || greeting().is_some_and(|(name, _)| name == b'a'));
}

#[test]
fn sessions_of_finishing_workers_count() {
    let port = Port::reserve();
    let backend = Backend::start(backends::greeting("a"));
    let setup = group(&port, &format!("server {} max_busy=2;", backend.address));
    let weir = setup.start();
    let greeted = || {
        let mut client = connect(port.v4());
        let mut text = [0];
        std::io::Read::read_exact(&mut client, &mut text).map(|()| client)
    };
    let sessions = [greeted().unwrap(), greeted().unwrap()];
    let old = weir.worker();
    weir.reload(&setup);
    assert!(is_closed(connect(port.v4())));
    drop(sessions);
    wait_for("the old worker to end", || !proc::alive(old));
    let _two = [greeted().unwrap(), greeted().unwrap()];
    assert!(is_closed(connect(port.v4())));
    // And those of one that is killed do not.
    let setup = group(&port, &format!("server {} max_busy=3;", backend.address));
    let old = weir.worker();
    weir.reload(&setup);
    let _third = greeted().unwrap();
    assert!(is_closed(connect(port.v4())));
    send(old, Signal::SIGKILL);
    wait_for("the killed worker's sessions to count no longer", || greeted().is_ok());
}

#[test]
fn workers_that_finish_probe_no_more() {
    let port = Port::reserve();
    let [dropped, kept] = [(); 2].map(|()| Backend::start(backends::greeting("a")));
    let both = format!(
        "upstream u {{ server {}; check interval=50 rise=1; }}\nupstream k {{ server {}; check interval=50; }}\nserver {{ listen {}; proxy_pass u; }}",
        dropped.address,
        kept.address,
        port.v4()
    );
    let weir = Setup::tcp(&both).start();
    weir.wait_error("of upstream \"u\" is up");
    let session = connect(port.v4());
    wait_for("probes", || dropped.accepted() > 3);
    let old = weir.worker();
    weir.reload(&Setup::tcp(both.replace("check interval=50 rise=1;", "")));
    // Those under way may be counted a while later.
    wait_for("no more probes, but of the other", || {
        let (last, clock) = (dropped.accepted(), kept.accepted());
        wait_for("more probes of the other", || kept.accepted() > clock + 8);
        dropped.accepted() == last
    });
    assert!(proc::alive(old));
    drop(session);
}

#[test]
fn a_peer_that_goes_down_loses_its_sessions_where_that_is_wished() {
    for (parameter, closed) in [("on_down=close", true), ("", false)] {
        let (port, probed) = (Port::reserve(), Port::reserve());
        let [falls, stays] = [(); 2].map(|()| Backend::start(backends::echo));
        let probe = Backend::on(&probed, backends::silent);
        let tcp = format!(
            "upstream u {{ server {}; check interval=100 fall=1 port={} {parameter}; }}\nupstream other {{ server {}; check interval=100 on_down=close; }}\nserver {{ listen {}; proxy_pass u; }}\nserver {{ listen {}; proxy_pass other; }}",
            falls.address,
            probed.number,
            stays.address,
            port.v4(),
            port.on("127.0.0.2"),
        );
        let setup = Setup::tcp(tcp).workers(2);
        let weir = setup.start();
        weir.wait_error("of upstream \"u\" is up");
        weir.wait_error("of upstream \"other\" is up");
        let open = |address: String| {
            let stream = connect(address);
            ask(&stream, b"x");
            stream
        };
        let sessions: Vec<_> = (0..20).map(|_| open(port.v4())).collect();
        let other = open(port.on("127.0.0.2"));
        // Sessions of workers that finish are closed as well.
        weir.reload(&setup);
        drop(probe);
        weir.wait_error("of upstream \"u\" is down");
        if closed {
            assert!(sessions.iter().all(is_closed));
            let line =
                weir.wait_error("upstream is down by a check, closing session while proxying, client: 127.0.0.1");
            assert!(line.ends_with(&format!("upstream: \"{}\"", falls.address)), "{line}");
            weir.wait_access(20);
        }
        assert_eq!(ask(&other, b"still here"), b"still here");
        if !closed {
            sessions.iter().for_each(|stream| assert_eq!(ask(stream, b"still here"), b"still here"));
            assert!(sessions.iter().all(is_quiet));
        }
    }
}

#[test]
fn one_process_that_is_master_and_worker() {
    let (port, probed) = (Port::reserve(), Port::reserve());
    let backend = Backend::on(&probed, backends::named("served"));
    let setup = |check: &str| group(&port, &format!("server {};\n{check}", probed.v4())).main("master_process off;");
    let weir = {
        let prefix = Prefix::new();
        prefix.write("nginx.conf", setup("check interval=100 fall=1;").text());
        Weir::launch(prefix, &[])
    };
    weir.wait_error("is up");
    assert_eq!(fetch(port.v4()), "served");
    weir.prefix.write("nginx.conf", setup("check interval=50 fall=1;").text());
    weir.signal(Signal::SIGHUP);
    weir.wait_error("reconfiguring");
    drop(backend);
    weir.wait_error("is down: ");
    let _again = Backend::on(&probed, backends::named("again"));
    wait_for("it to be up again", || weir.error_log().matches("is up").count() == 2);
    assert_eq!(fetch(port.v4()), "again");
}

#[test]
fn a_new_binary_finds_out_for_itself() {
    let (port, late) = (Port::reserve(), Port::reserve());
    let backend = Backend::start(backends::greeting("a"));
    let lines = format!("server {};\nserver {};\ncheck interval=3600000;", backend.address, late.v4());
    let weir = group(&port, &lines).workers(2).daemon().start();
    weir.wait_error("is up");
    weir.wait_error("is down");
    let _late = Backend::on(&late, backends::greeting("l"));
    let old = weir.master();
    weir.signal(Signal::SIGUSR2);
    wait_for("the new binary's probes", || weir.error_log().matches("is up").count() == 3);
    // The old one goes on with what it knows until it is told to end.
    assert_eq!(weir.error_log().matches("is down").count(), 1);
    send(old, Signal::SIGQUIT);
    wait_for("the old master to end", || !proc::alive(old));
    let answers = [0, 1].map(|_| ask(connect(port.v4()), b"x"));
    assert!(answers.iter().all(|answer| answer == b"a" || answer == b"l"));
    assert_eq!(weir.error_log().matches("while connecting to upstream").count(), 0);
}

#[test]
fn down_servers_are_not_probed() {
    let port = Port::reserve();
    let [up, down] = [(); 2].map(|()| Backend::start(backends::silent));
    let lines = format!("server {} down;\nserver {};\ncheck interval=50;", down.address, up.address);
    let _weir = group(&port, &lines).start();
    wait_for("some probes", || up.accepted() > 5);
    assert_eq!(down.accepted(), 0);
}

#[test]
fn refusals() {
    let refused = |lines: &str| {
        let prefix = Prefix::new();
        prefix.write("nginx.conf", format!("events {{}}\ntcp {{ upstream u {{ server 127.0.0.1:1;\n{lines}\n}} }}\n"));
        let run = prefix.run(&["-t"]);
        assert_eq!(run.status.code(), Some(1), "{lines}: {}", run.stderr);
        let place = format!(" in {}:3", prefix.text_path("nginx.conf"));
        let first = run.stderr.lines().find(|line| line.contains("[emerg]")).unwrap().to_owned();
        assert!(first.ends_with(&place), "{first}");
        first.trim_end_matches(&place).split("[emerg] ").nth(1).unwrap().to_owned()
    };
    for (lines, message) in [
        ("check interval=3s;", "invalid parameter \"interval=3s\""),
        ("check fall=0;", "invalid parameter \"fall=0\""),
        ("check type=ftp;", "invalid parameter \"type=ftp\""),
        ("check type=tcp on_down=open;", "invalid parameter \"on_down=open\""),
        ("check port=99999;", "invalid parameter \"port=99999\""),
        ("check default_down=no;", "invalid parameter \"default_down=no\""),
        ("check;", "invalid number of arguments in \"check\" directive"),
        ("check type=tcp; check type=tcp;", "\"check\" directive is duplicate"),
        ("check_http_send;", "invalid number of arguments in \"check_http_send\" directive"),
        ("check_http_expect_alive http_1xx;", "invalid value \"http_1xx\""),
        ("check_smtp_expect_alive smtp_2xx http_2xx;", "invalid value \"http_2xx\""),
        ("check_smtp_send a b;", "invalid number of arguments in \"check_smtp_send\" directive"),
        ("ip_hash on;", "invalid number of arguments in \"ip_hash\" directive"),
        ("ip_hash; server 127.0.0.1:2 weight=2;", "balancing method does not support parameter \"weight=2\""),
        ("ip_hash; server 127.0.0.1:2 backup;", "balancing method does not support parameter \"backup\""),
        ("busyness; server 127.0.0.1:2 down backup;", "balancing method does not support parameter \"backup\""),
        ("check_shm_size 1m;", "\"check_shm_size\" directive is not allowed here"),
    ] {
        assert_eq!(refused(lines), message);
    }
}

#[test]
fn accepted_with_a_warning_or_without() {
    let warnings = |lines: &str| {
        let prefix = Prefix::new();
        let text = format!(
            "error_log stderr; pid weir.pid; events {{}}\ntcp {{ check_shm_size 1M; upstream u {{ {lines} }} }}\n"
        );
        prefix.write("nginx.conf", text);
        let run = prefix.run(&["-t"]);
        assert!(run.status.success(), "{}", run.stderr);
        let warned = run.stderr.lines().filter_map(|line| line.split("[warn] ").nth(1));
        warned.map(|line| line.split(" in /").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(warnings("server 127.0.0.1:1 weight=2 max_busy=3; ip_hash; server 127.0.0.1:2 max_fails=2 down;"), none);
    assert_eq!(warnings("busyness; server 127.0.0.1:1; check type=smtp; check_smtp_send X;"), none);
    assert_eq!(warnings("busyness; server 127.0.0.1:1;"), ["\"busyness\" without \"check\" acts as round robin"]);
    assert_eq!(warnings("ip_hash; ip_hash; server 127.0.0.1:1;"), ["load balancing method redefined"]);
    assert_eq!(
        warnings("server 127.0.0.1:1; check type=tcp; check_http_send X; check_smtp_expect_alive smtp_4xx;"),
        [
            "\"check_http_send\" has no effect without \"check type=http\"",
            "\"check_smtp_expect_alive\" has no effect without \"check type=smtp\""
        ]
    );
    assert_eq!(
        warnings("server 127.0.0.1:1; check type=http; check_http_expect_alive http_2xx http_2xx;"),
        ["duplicate value \"http_2xx\""]
    );
}

/// The configuration that the README shows, with addresses of this machine.
#[test]
fn the_readme_configuration() {
    let readme = include_str!("../../README.md");
    let section = readme.split("## Health checks").nth(1).unwrap();
    let text = section.split("```nginx\n").nth(1).unwrap().split("```").next().unwrap();
    let port = Port::reserve();
    let http = "server { listen {0}; location = /health { return 204; } location / { return 200 served; } }\nserver { listen {1}; location = /health { return 503; } }";
    let nginx = Server::nginx(2, http);
    for address in [0, 1] {
        wait_for("nginx", || std::net::TcpStream::connect(nginx.address(address)).is_ok());
    }
    let prefix = Prefix::new();
    let text = [
        ("10.0.0.11:80", nginx.address(0)),
        ("10.0.0.12:80", nginx.address(1)),
        ("listen 8080", format!("listen {}", port.v4())),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let main = "daemon off; error_log error.log notice; pid weir.pid; events {}\n";
    prefix.write("nginx.conf", format!("{main}{text}").replace("tcp {", "tcp { access_log off;"));
    let weir = Weir::launch(prefix, &[]);
    weir.wait_error(&format!("peer {} of upstream \"web\" is up: http check passed", nginx.address(0)));
    let line = weir.wait_error(&format!("peer {} of upstream \"web\" is down", nginx.address(1)));
    assert!(line.ends_with("unexpected answer \"HTTP/1.1 503 Service Temporarily Unavailable\""), "{line}");
    let mut client = connect(port.v4());
    std::io::Write::write_all(&mut client, b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(String::from_utf8(read_all(client)).unwrap().ends_with("served"));
}
