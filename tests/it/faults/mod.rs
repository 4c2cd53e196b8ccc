//! What goes wrong around weir, and in it: sessions survive or end cleanly, the log says why, and what workers share is true again afterwards.
//!
//! | fault | tests |
//! |---|---|
//! | no descriptors for clients, upstreams, probes | [`descriptors`] |
//! | more sessions than `worker_connections` | `limits` |
//! | no memory: in a worker, for zones at a start, at a reload | [`memory`] |
//! | disk full under logs | [`disk`], `logs::a_full_disk_stops_no_session` |
//! | folder of the logs removed | [`disk`] |
//! | syslog server away or slow | `tcp_log::a_syslog_server_that_*` |
//! | backend that accepts and never answers | [`backends`], `timeouts`, a probed one: `checks`, `check_types` |
//! | backend that resets, at every point | [`backends`], `tls::faults`, `websocket::secure` |
//! | backend that sends without end | [`backends`], `relay::bulk_does_not_starve_a_question`, `relay::a_server_that_is_no_longer_heard_stops`, to slow readers: `relay::memory_stays_bounded_*` |
//! | client that sends byte by byte | [`clients`] and `timeouts::bytes_from_the_client_alone_keep_a_session` in sessions, [`clients`] before them, `websocket::heads::the_head_must_come_in_time` |
//! | client that takes nothing | `timeouts::a_client_that_takes_nothing_is_cut`, `relay` |
//! | SYN to a dead address | `timeouts::proxy_connect_timeout`, `timeouts::a_connect_that_hangs_goes_on_with_the_next_server`, [`backends`] |
//! | DNS server gone | `resolver::addresses_are_kept_while_name_servers_fail` |
//! | clock of the day set forward and back | [`clock`] |
//! | worker killed | [`processes`], `signals::a_dead_worker_is_replaced_and_logged`, its lease on checks: `checks` |
//! | worker that hangs | `signals::a_worker_that_hears_nothing_is_killed` |
//! | panic, wherever the program has to do with a session | [`panics`] |
//! | master killed | [`processes`] |
//!
//! And for requests of `http {}`:
//!
//! | fault | tests |
//! |---|---|
//! | no descriptors for clients, servers, files, temporary files; no memory; disk full under temporary files | [`http_resources`] |
//! | server that accepts and never answers | [`http_backends`], `proxy::faults` |
//! | server that ends or resets at any byte, sends without end, sends garbage | [`http_backends`] |
//! | client that is slow in head, body or answer, or vanishes anywhere | [`http_clients`] |
//! | clock of the day set | [`clock`] |
//! | name servers gone, folders of logs or of temporary files removed | [`http_surroundings`] |
//! | certificate for servers that is not there | `proxy::tls` |
//! | worker killed, panic | [`http_worker`], with places of `limit_conn`: `http_limits::places_of_a_worker_that_is_killed` |
//! | new binary that dies | `upgrade` |

mod backends;
mod clients;
mod clock;
mod descriptors;
pub mod disk;
mod http_backends;
mod http_clients;
mod http_resources;
mod http_surroundings;
#[cfg(debug_assertions)]
mod http_worker;
mod memory;
#[cfg(debug_assertions)]
mod panics;
mod processes;

use std::io::Write;

use super::http::get;
use super::proxy::read_head;
use crate::common::clients::connect_narrow;
use crate::common::running::send;
use crate::common::*;

/// A configuration with a group `u` of which the status page tells, a server in front of it, and a second one in front of the same group.
struct Plan {
    port: Port,
    other: Port,
    page: Port,
    /// Who answers the probes, so that backends know of sessions only.
    _probed: Backend,
    setup: Setup,
}

impl Plan {
    /// With these lines in the group and these in the first server, whose sessions are told of in `told.log`.
    fn new(group: &str, server: &str) -> Plan {
        let (port, other, page) = (Port::reserve(), Port::reserve(), Port::reserve());
        let probed = Backend::start(crate::common::backends::silent);
        let check = format!("check interval=3600000 default_down=false port={};", probed.address.port());
        let tcp = format!(
            "log_format told '$status $bytes_received $bytes_sent $upstream_addr';
             upstream u {{ {group} {check} }}
             server {{ listen {}; proxy_pass u; access_log told.log told; {server} }}
             server {{ listen {}; proxy_pass u; }}",
            port.v4(),
            other.v4()
        );
        let http = format!(
            "http {{ access_log off; keepalive_timeout 0; server {{ listen {}; tcp_check_status; }} }}",
            page.v4()
        );
        Plan { port, other, page, _probed: probed, setup: Setup::tcp(tcp).main(http).level("info") }
    }

    /// The like in `http {}`: with these lines in the group and these in the first server; all requests to the second go to the group.
    /// What the first has answered is told of in `told.log`: status, bytes of the body, servers tried, path.
    fn http(group: &str, server: &str) -> Plan {
        let (port, other, page) = (Port::reserve(), Port::reserve(), Port::reserve());
        let probed = Backend::start(crate::common::backends::silent);
        let check = format!("check interval=3600000 default_down=false port={};", probed.address.port());
        let http = format!(
            "http {{ access_log off; log_format told '$status $body_bytes_sent $upstream_addr $request_uri';
             upstream u {{ {group} {check} }}
             server {{ listen {}; access_log told.log told; {server} }}
             server {{ listen {}; location / {{ proxy_pass http://u; }} }}
             server {{ listen {}; keepalive_timeout 0; tcp_check_status; }} }}",
            port.v4(),
            other.v4(),
            page.v4()
        );
        Plan { port, other, page, _probed: probed, setup: Setup::tcp("").main(http).level("info") }
    }

    /// More in the main context.
    fn main(mut self, text: &str) -> Plan {
        self.setup.main += text;
        self
    }

    fn events(mut self, text: &str) -> Plan {
        self.setup = self.setup.events(text);
        self
    }

    fn workers(mut self, count: usize) -> Plan {
        self.setup = self.setup.workers(count);
        self
    }

    fn start(self) -> Bench {
        self.start_in(Prefix::new())
    }

    /// Starts in a folder the test has prepared.
    fn start_in(self, prefix: Prefix) -> Bench {
        let weir = self.setup.start_in(prefix);
        let bench = Bench { weir, plan: self, at_rest: 0 };
        wait_for("the first probes", || bench.rows().iter().all(|row| row[3] == "up"));
        let worker = bench.weir.workers()[0];
        wait::wait_until_idle(worker);
        Bench { at_rest: descriptors(worker), ..bench }
    }
}

/// A server of `http {}` that answers with the path asked for; what it is sent on the path `/bad` is for `bad`.
fn answering(bad: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> Backend {
    Backend::start(move |mut stream| {
        let Some(head) = read_head(&mut stream) else { return };
        let path = head.split(' ').nth(1).unwrap();
        if path.starts_with("/bad") {
            return bad(stream);
        }
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
    })
}

/// Makes workers keep the test's own account where there is a choice, so that the test may limit them.
const SAME_USER: &str = "user root root;";

/// The descriptors of a worker, without those of the pipes that it keeps for the next transfer; 0 where they cannot be seen.
fn descriptors(worker: i32) -> usize {
    if proc::shows_descriptors() { proc::descriptors(worker) - proc::pipe_descriptors(worker).len() } else { 0 }
}

/// weir by a [`Plan`].
struct Bench {
    weir: Weir,
    plan: Plan,
    /// The descriptors of a worker without sessions.
    at_rest: usize,
}

impl Bench {
    /// A new session with the first server.
    #[track_caller]
    fn client(&self) -> std::net::TcpStream {
        connect(self.plan.port.v4())
    }

    /// A session with the second server, that has been served once by a backend that echoes.
    #[track_caller]
    fn good_client(&self) -> std::net::TcpStream {
        let mut stream = connect(self.plan.other.v4());
        assert_eq!(ask(&mut stream, b"good"), b"good");
        stream
    }

    /// A request to the second server of `http {}` is answered, as [`answering`] does.
    #[track_caller]
    fn assert_serves(&self) {
        let reply = get(&self.plan.other, "/good");
        assert_eq!((reply.status, reply.text()), (200, "/good"));
    }

    /// The rows of the status page.
    fn rows(&self) -> Vec<Vec<String>> {
        let page = get(&self.plan.page, "/?format=csv");
        page.text().lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    }

    /// The sessions now open with the peers, as workers count them together.
    fn busy(&self) -> Vec<u64> {
        self.rows().iter().map(|row| row[4].parse().unwrap()).collect()
    }

    #[track_caller]
    fn wait_busy(&self, counts: &[u64]) {
        wait_for(&format!("{counts:?} sessions on the status page"), || self.busy() == counts);
    }

    /// Lets a worker have no more memory than it has, and gives it, while the `other` one stands still, clients that say this and take no answer until
    /// it ends for want of memory, which is told. Returns these clients.
    #[track_caller]
    fn starve(&self, poor: i32, other: i32, said: &[u8]) -> Vec<std::net::TcpStream> {
        send(other, Signal::SIGSTOP);
        proc::limit(poor, "as", proc::address_space(poor));
        let mut stalled = Vec::new();
        wait_for("the worker to have no memory left", || {
            let mut stream = connect_narrow(self.plan.port.v4().parse().unwrap());
            // The end may come between the two.
            let _ = std::io::Write::write_all(&mut stream, said);
            stalled.push(stream);
            assert!(stalled.len() < 1000, "no end of memory");
            !proc::alive(poor)
        });
        send(other, Signal::SIGCONT);
        let line = self.weir.wait_error(&format!("worker process {poor} exited on signal 6"));
        assert!(line.contains(" [alert] "), "{line}");
        self.weir.wait_error("memory allocation of ");
        stalled
    }

    /// Waits until no session is left: none is counted, and workers have the descriptors they had at first.
    #[track_caller]
    fn settle(&self) {
        wait_for("no session on the status page", || self.busy().iter().all(|&count| count == 0));
        for worker in self.weir.workers() {
            wait_for("descriptors to be given back", || descriptors(worker) == self.at_rest);
        }
    }

    /// Waits for so many lines of the first server's sessions: status, bytes from and to the client, servers tried.
    #[track_caller]
    fn told(&self, count: usize) -> Vec<String> {
        wait_some(&format!("{count} sessions told of"), || {
            let lines = self.weir.prefix.lines("told.log");
            (lines.len() >= count).then_some(lines)
        })
    }
}
