//! A configuration that serves clients as a worker does, but over socket pairs: without processes, listeners and logs.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use weir::config::{Source, load};
use weir::context::{Connections, Context, Logs};
use weir::event::{Event, Owner, Reactor};
use weir::http::{Config, Engine, IDLE};
use weir::log::access::AccessLogs;
use weir::log::error::{self, ErrorLogs};
use weir::net::Address;
use weir::relay::Buffers;
use weir::resolver::Resolver;
use weir::tally::{Tally, Teller};
use weir::tls::ocsp;
use weir::upstream::Stations;
use weir::upstream::shared::Roster;

/// The numbers of engines in the owners of events.
const HTTP: u8 = 1;
const OTHERS: u8 = 2;

/// Turns in which nothing happens, after which nothing will.
const QUIET: usize = 2;

/// The `http {}` of a configuration, and all that it needs of a worker.
pub struct Site {
    cx: Context,
    engine: Engine,
    config: Rc<Config>,
}

impl Site {
    /// Reads a configuration as `-t` does, from a file in `folder`, which is its prefix too; `None`: it is refused, or has no `http {}`.
    pub fn read(folder: &Path, text: &[u8]) -> Option<Site> {
        // Nobody reads what it tells.
        let no_log = error::open(&[], ErrorLogs::default()).expect("no file is opened");
        error::install(no_log);
        let file = folder.join("nginx.conf");
        fs::write(&file, text).expect("the configuration");
        let loaded = load(&Source { prefix: folder.into(), file, directives: String::new(), error_log: None });
        let config = loaded.config.ok()?.http;
        if config.listens.is_empty() {
            return None;
        }
        for zone in &config.zones {
            zone.open(&[]).expect("memory for a zone");
        }
        let own = |engine, part| Owner { engine, part, id: 0 };
        let mut reactor = Reactor::new().expect("an epoll");
        let roster = Rc::new(Roster::new(config.groups.iter().map(Rc::as_ref), &[]).expect("memory for groups"));
        let tally = Rc::new(Tally::new().expect("memory for counters"));
        let mut cx = Context {
            logs: Logs::new(reactor.add_timer(own(OTHERS, 0))),
            reactor,
            resolver: Resolver::new(OTHERS),
            authorities: ocsp::Engine::new(OTHERS),
            buffers: Buffers::default(),
            stations: Stations::new(own(HTTP, IDLE)),
            connections: Connections::new(usize::MAX),
            teller: Teller::new(tally, 0),
            debugged: Vec::new(),
            board: Rc::default(),
            pid: 1,
            spare: None,
        };
        cx.logs.add(AccessLogs::default());
        cx.stations.adopt(&config.groups, &roster, 0, 0);
        let mut engine = Engine::new(HTTP);
        engine.adopt(&mut cx, config.clone(), roster);
        Some(Site { cx, engine, config })
    }

    /// What a client gets that sends `request`, and says that this is all when nothing happens any more. Whoever else is about is `others`, which is
    /// called again and again and tells whether it has done something. What waits for a time is cut off.
    pub fn ask(&mut self, request: &[u8], mut others: impl FnMut() -> bool) -> Vec<u8> {
        let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
        for end in [&client, &server] {
            end.set_nonblocking(true).expect("a socket that does not block");
        }
        assert!(self.cx.connections.take() && !self.config.listens.is_empty());
        self.engine.accept(&mut self.cx, 0, server.into(), Address::Inet((Ipv4Addr::LOCALHOST, 4000).into()));
        let mut rest = request;
        let mut got = Vec::new();
        let mut ended = false;
        let mut quiet = 0;
        while quiet < QUIET {
            quiet += 1;
            if self.turn() | others() {
                quiet = 0;
            }
            match client.write(rest) {
                Ok(count) if count > 0 => (rest, quiet) = (&rest[count..], 0),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => rest = &[],
                _ => {}
            }
            let mut piece = [0; 65536];
            match client.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => {
                    got.extend_from_slice(&piece[..count]);
                    quiet = 0;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            if quiet == QUIET && !ended {
                ended = true;
                quiet = 0;
                let _ = client.shutdown(Shutdown::Write);
            }
        }
        self.engine.stop(&mut self.cx);
        assert_eq!((self.engine.sessions(), self.cx.connections.open), (0, self.cx.stations.idle()));
        got
    }

    /// Serves what has happened; false: nothing has.
    fn turn(&mut self) -> bool {
        self.cx.reactor.wait(Some(Duration::ZERO)).expect("epoll_wait");
        let mut any = false;
        while let Some(event) = self.cx.reactor.next() {
            any = true;
            match event {
                Event::Ready(owner) if owner.engine == HTTP => self.engine.ready(&mut self.cx, owner),
                Event::Timer(owner) if owner.engine == HTTP => self.engine.timer(&mut self.cx, owner),
                _ => {}
            }
        }
        any
    }
}
