//! Fifty reloads and three binary upgrades under load: every session and every request is served to its end, those begun before all of it
//! among them.

pub mod http;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::clients::{fetch, noise, try_connect};
use crate::common::proc;
use crate::common::running::{send, workers_of};
use crate::common::wait::StopOnDrop;
use crate::common::*;
use crate::http::read_reply;
use crate::tls::certs::Identity;
use crate::websocket::request;

const RELOADS: usize = 50;
/// Upgrades come after these reloads.
const UPGRADES: [usize; 3] = [12, 25, 38];
const SHORT_CLIENTS: usize = 6;
const LONG_CLIENTS: usize = 12;
/// The most that is sent in one piece, and is asked of a server.
const PIECE: usize = 20_000;

/// Between the requests of a client: load enough, and leaves the machine to the other tests.
const PAUSE: Duration = Duration::from_millis(3);

/// How long a server takes to say that it is well: so long new workers do not know it.
const PROBE: Duration = Duration::from_millis(30);

/// A server whose first byte says what is wanted: an echo, or noise whose length follows, and the end. These count as sessions; `GET` is a probe.
fn server(sessions: Arc<AtomicUsize>) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        let mut kind = [0];
        let mut length = [0; 2];
        if stream.read_exact(&mut kind).is_err() {
            return;
        }
        if kind == *b"G" {
            thread::sleep(PROBE);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
            return;
        }
        sessions.fetch_add(1, Ordering::SeqCst);
        match kind[0] {
            b'e' => backends::echo(stream),
            _ if stream.read_exact(&mut length).is_ok() => {
                let _ = stream.write_all(&noise(usize::from(u16::from_be_bytes(length))));
            }
            _ => {}
        }
    }
}

/// Sends noise and reads it back.
fn exchange(stream: &mut TcpStream, dice: &mut Dice) -> io::Result<()> {
    let bytes = noise(1 + dice.roll(PIECE));
    stream.write_all(&bytes)?;
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer)?;
    if answer == bytes { Ok(()) } else { Err(io::Error::other("other bytes came back")) }
}

/// A session that the client ends.
fn echoed(address: &str, dice: &mut Dice) -> io::Result<()> {
    let mut stream = try_connect(address)?;
    stream.write_all(b"e")?;
    (0..1 + dice.roll(3)).try_for_each(|_| exchange(&mut stream, dice))
}

/// A session that the server ends.
fn served(address: &str, dice: &mut Dice) -> io::Result<()> {
    let length = dice.roll(PIECE);
    let mut stream = try_connect(address)?;
    let [high, low] = (length as u16).to_be_bytes();
    stream.write_all(&[b'n', high, low])?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer == noise(length) { Ok(()) } else { Err(io::Error::other(format!("{} of {length}", answer.len()))) }
}

/// What clients have done so far.
#[derive(Default)]
struct Traffic {
    opened: AtomicUsize,
    answered: AtomicUsize,
    /// Requests that no server was needed for.
    alone: AtomicUsize,
    /// Pieces that came back in long sessions.
    exchanged: AtomicUsize,
    /// Long sessions in which one has.
    standing: AtomicUsize,
    faults: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Traffic {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn count(&self, what: &str, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => _ = self.answered.fetch_add(1, Ordering::SeqCst),
            Err(error) => self.faults.lock().unwrap().push(format!("{what}: {error}")),
        }
    }

    /// One session after the other.
    fn short(&self, place: &Place, mut dice: Dice) {
        let mut kept = None;
        while !self.is_over() {
            self.opened.fetch_add(1, Ordering::SeqCst);
            match dice.roll(2) {
                _ if place.kind == Kind::Requests => {
                    self.count("request", http::request(self, place, &mut kept, &mut dice))
                }
                0 => self.count("echoed", echoed(&place.port.v4(), &mut dice)),
                _ => self.count("served", served(&place.port.v4(), &mut dice)),
            }
            thread::sleep(PAUSE);
        }
    }

    /// A piece has come back in a long session, which was `standing` if it was not the first.
    fn came_back(&self, standing: &mut bool) {
        if !std::mem::replace(standing, true) {
            self.standing.fetch_add(1, Ordering::SeqCst);
        }
        self.exchanged.fetch_add(1, Ordering::SeqCst);
    }

    /// One session from the beginning to the end of the test.
    fn long(&self, mut stream: TcpStream, kind: Kind, mut dice: Dice) {
        let talk = || {
            if kind == Kind::Requests {
                return http::long(self, stream, &mut dice);
            }
            stream.write_all(b"e")?;
            let mut standing = false;
            while !self.is_over() {
                exchange(&mut stream, &mut dice)?;
                self.came_back(&mut standing);
                thread::sleep(PAUSE);
            }
            exchange(&mut stream, &mut dice)
        };
        self.count("long", talk());
    }

    /// Waits until sessions of both kinds have gone on.
    #[track_caller]
    fn goes_on(&self) {
        let counts = || [&self.answered, &self.exchanged].map(|count| count.load(Ordering::SeqCst));
        let before = counts();
        wait_for("sessions to be served", || {
            let faults = self.faults.lock().unwrap().clone();
            assert!(faults.is_empty(), "{faults:?}");
            counts().iter().zip(before).all(|(now, before)| *now >= before + 30)
        });
    }
}

/// A weir whose configuration is another one after each reload.
struct Site {
    weir: Weir,
    place: Arc<Place>,
    number: usize,
    backends: [Backend; 2],
    /// That have reached them.
    sessions: Arc<AtomicUsize>,
}

/// Where a weir serves, and what.
struct Place {
    port: Port,
    /// Tells the number of the configuration.
    number_port: Port,
    /// Where clients speak TLS, those of them that do.
    secure: Port,
    kind: Kind,
}

/// What is special about a site.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All workers share a socket.
    Shared,
    /// Each worker has a socket of its own.
    Reuseport,
    /// Servers are checked, and known to no configuration before.
    Checked,
    /// Requests of `http {}` in the place of sessions.
    Requests,
}

impl Site {
    fn start(kind: Kind) -> Site {
        let [port, number_port, secure] = std::array::from_fn(|_| Port::reserve());
        let place = Place { port, number_port, secure, kind };
        let sessions = Arc::new(AtomicUsize::new(0));
        let backends = [(); 2].map(|()| match kind {
            Kind::Requests => Backend::start(http::server(sessions.clone())),
            _ => Backend::start(server(sessions.clone())),
        });
        let prefix = Prefix::new();
        Identity::alone().write(&prefix, "server");
        prefix.write("html/file", http::file());
        let weir = setup(&place, 0, &backends[0]).start_in(prefix);
        Site { weir, place: Arc::new(place), number: 0, backends, sessions }
    }

    /// Writes the next configuration.
    fn next(&mut self) -> Setup {
        self.number += 1;
        let backend = &self.backends[self.number % 2];
        let setup = setup(&self.place, self.number, backend);
        self.weir.prefix.replace("nginx.conf", setup.text());
        setup
    }

    fn reload(&mut self) {
        let setup = self.next();
        self.weir.reload(&setup);
        assert_eq!(fetch(self.place.number_port.v4()), self.number.to_string());
    }

    /// Several reloads, none of which waits for the one before it.
    fn reload_in_haste(&mut self) {
        let mut workers = 0;
        for _ in 0..3 {
            workers = self.next().workers;
            self.weir.signal(Signal::SIGHUP);
        }
        wait_for("the last configuration", || fetch(self.place.number_port.v4()) == self.number.to_string());
        // That may have been read for a signal before the last; signals that wait are taken in the order of their numbers.
        let master = self.weir.master();
        let line = format!("{master}#{master}: signal 10 (SIGUSR1) received");
        let answers = || self.weir.error_log().matches(&line).count();
        let before = answers();
        self.weir.signal(Signal::SIGUSR1);
        wait_for("the last reload", || answers() > before);
        self.weir.wait_workers(workers);
    }

    fn reload_with_a_fault(&self) {
        let faults = || self.weir.error_log().matches("unknown directive \"frobnicate\"").count();
        let (before, workers) = (faults(), self.weir.workers());
        self.weir.prefix.write("nginx.conf", "frobnicate;");
        self.weir.signal(Signal::SIGHUP);
        wait_for("the fault", || faults() > before);
        assert_eq!(self.weir.workers(), workers);
    }

    /// Another binary with another configuration, as an operator brings it in. The old master stays with its long sessions.
    fn upgrade(&mut self, traffic: &Traffic) {
        let setup = self.next();
        let old = self.weir.master();
        send(old, Signal::SIGUSR2);
        let new = wait_some("the new master", || self.weir.prefix.pid("weir.pid").filter(|&pid| pid != old));
        wait_for("workers of the new master", || workers_of(new).len() == setup.workers);
        // Both serve.
        traffic.goes_on();
        send(old, Signal::SIGWINCH);
        wait_for("the old workers to retire", || workers_of(old).is_empty());
        traffic.goes_on();
        send(old, Signal::SIGQUIT);
        wait_for("the old master to retire", || !self.weir.prefix.join("weir.pid.oldbin").exists());
        assert_eq!(fetch(self.place.number_port.v4()), self.number.to_string());
        assert!(proc::alive(old));
    }
}

fn setup(place: &Place, number: usize, backend: &Backend) -> Setup {
    let (port, number_port, backend, kind) = (place.port.v4(), place.number_port.v4(), backend.address, place.kind);
    // A reload with fewer workers closes sockets with `reuseport`, and with them a client whose handshake is just under way.
    let (word, workers) = if kind == Kind::Reuseport { ("reuseport", 2) } else { ("", 2 + number % 3) };
    let check = if kind == Kind::Checked { "check type=http interval=500 timeout=20000;" } else { "" };
    let served = format!(
        "upstream u{number} {{ server {backend}; {check} }}
         server {{ listen {port} {word}; proxy_pass u{number}; }}"
    );
    let (served, main) = match kind {
        Kind::Requests => (String::new(), http::configuration(place, number, backend)),
        _ => (served, String::new()),
    };
    Setup::tcp(format!("{served} server {{ listen {number_port} {word}; return {number}; access_log off; }}"))
        .main(main)
        .workers(workers)
        .level("notice")
        .daemon()
}

fn nothing_is_lost(kind: Kind) {
    let mut site = Site::start(kind);
    let first_master = site.weir.master();
    let first_workers = site.weir.workers();
    let place = site.place.clone();
    let traffic = Traffic::default();
    thread::scope(|scope| {
        let _stop = StopOnDrop(&traffic.over);
        let (traffic, place) = (&traffic, &*place);
        let begin_long = |seed: usize| {
            let stream = connect(place.port.v4());
            traffic.opened.fetch_add(1, Ordering::SeqCst);
            let standing = traffic.standing.load(Ordering::SeqCst);
            scope.spawn(move || traffic.long(stream, kind, Dice::new(seed as u64)));
            // One that only waits to be accepted may be a later master's.
            wait_for("the session to stand", || traffic.standing.load(Ordering::SeqCst) > standing);
        };
        (0..LONG_CLIENTS).for_each(begin_long);
        for seed in 0..SHORT_CLIENTS {
            scope.spawn(move || traffic.short(place, Dice::new(seed as u64)));
        }
        traffic.goes_on();
        for done in 1..=RELOADS {
            site.reload();
            traffic.goes_on();
            match done % 10 {
                3 => site.reload_in_haste(),
                7 => site.reload_with_a_fault(),
                _ => {}
            }
            if UPGRADES.contains(&done) {
                begin_long(done);
                site.upgrade(traffic);
            }
        }
        traffic.goes_on();
        // Whoever has sessions of the very first configuration still serves them.
        assert!(proc::alive(first_master) && first_workers.iter().any(|&worker| proc::alive(worker)));
    });
    let faults = traffic.faults.into_inner().unwrap();
    let (opened, answered) = (traffic.opened.into_inner(), traffic.answered.into_inner());
    assert!(faults.is_empty() && opened == answered, "{opened} opened, {answered} answered: {faults:?}");

    // With the last sessions all leave who served under earlier configurations.
    let master = site.weir.master();
    wait_for("old masters and workers to leave", || {
        proc::users_of(&site.weir.prefix.join("")).len() == 1 + site.weir.workers().len()
            && proc::children(master) == site.weir.workers()
    });
    // Each session was one session of a server's, and has its line.
    let reached = site.sessions.load(Ordering::SeqCst) + traffic.alone.load(Ordering::SeqCst);
    assert_eq!((reached, site.weir.wait_access(opened).len()), (opened, opened));
    assert!(!site.weir.prefix.join("weir.pid.oldbin").exists());
    let log = site.weir.error_log();
    for line in log.lines().filter(|line| !line.contains("[notice]")) {
        assert!(line.contains("unknown directive \"frobnicate\""), "{line}");
    }
}

#[test]
fn with_sockets_that_all_workers_share() {
    nothing_is_lost(Kind::Shared);
}

#[test]
fn with_a_socket_for_each_worker() {
    nothing_is_lost(Kind::Reuseport);
}

#[test]
fn with_servers_that_have_not_been_checked_before() {
    nothing_is_lost(Kind::Checked);
}

#[test]
fn with_requests() {
    nothing_is_lost(Kind::Requests);
}

#[test]
fn sessions_that_have_only_begun() {
    // Each kind of client is somewhere before its session goes anywhere when its worker is told to finish.
    let backend = Backend::start(backends::greeting("w"));
    let [tls, websocket, proxied, http] = std::array::from_fn(|_| Port::reserve());
    let prefix = Prefix::new();
    Identity::alone().write(&prefix, "server");
    let setup = Setup::tcp(format!(
        "ssl_certificate server.pem; ssl_certificate_key server.key;
         server {{ listen {} ssl; proxy_pass {backend}; }}
         server {{ listen {} proxy_protocol; proxy_pass {backend}; }}
         server {{ listen {}; protocol tcp_websocket; websocket_pass {backend}; }}",
        tls.v4(),
        proxied.v4(),
        websocket.v4(),
        backend = backend.address
    ))
    .main(format!("http {{ access_log off; server {{ listen {}; return 200 w; }} }}", http.v4()))
    .workers(2)
    .daemon();
    let weir = setup.start_in(prefix);
    let begun = |port: &Port, bytes: &str| {
        let mut stream = connect(port.v4());
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    };
    let head = request("/chat", "chat.example");
    let (half, rest) = head.split_at(30);
    let begin =
        || [begun(&tls, ""), begun(&proxied, "PROXY TCP4 192.0.2.1"), begun(&websocket, half), begun(&http, half)];
    let finish = |[tls, mut proxied, mut websocket, mut http]: [TcpStream; 4]| {
        let said = |stream: &mut TcpStream, bytes: &str| {
            stream.write_all(bytes.as_bytes()).unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            byte
        };
        let mut byte = [0];
        tls_clients::connect(&tls_clients::context(|_| {}), Some("localhost"), tls)
            .unwrap()
            .read_exact(&mut byte)
            .unwrap();
        assert_eq!(&byte, b"w");
        assert_eq!(&said(&mut proxied, " 192.0.2.2 1 2\r\n"), b"w");
        assert_eq!(&said(&mut websocket, rest), b"w");
        http.write_all(rest.as_bytes()).unwrap();
        assert_eq!(read_reply(&mut http, false).body, b"w");
    };
    let streams = begin();
    weir.reload(&setup);
    finish(streams);
    let streams = begin();
    let old = weir.master();
    send(old, Signal::SIGUSR2);
    wait_for("the new master", || weir.prefix.pid("weir.pid").is_some_and(|pid| workers_of(pid).len() == 2));
    send(old, Signal::SIGQUIT);
    wait_for("old workers to be told", || workers_of(old).is_empty());
    finish(streams);
    wait_for("the old master to leave", || !proc::alive(old));
}
