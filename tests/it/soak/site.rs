//! A weir with all it needs around it, and what can be measured of it.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::*;
use crate::crowd::moody;
use crate::http::get;
use crate::nothing_lost;
use crate::tls::certs::Identity;

const WORKERS: usize = 2;

/// In ticks: how often the server that comes and goes does so, a reload comes, and logs are rotated.
const FLAP: usize = 3;
const RELOAD: usize = 6;
const ROTATE: usize = 20;

/// Pipes that a worker may keep for the next bulk transfer, two descriptors each.
const POOLED_PIPES: u64 = 16;

/// What a process's memory may have grown by, in KiB: pooled buffers and the allocator's spare room depend on chance.
const SLACK: u64 = 1024;

/// Of sessions in which all must go well, however busy the machine is, and of the others.
const PATIENT: &str = "timeout 60s; proxy_read_timeout 60s; proxy_send_timeout 60s;";
const IMPATIENT: &str = "timeout 5s; proxy_read_timeout 5s; proxy_send_timeout 5s;";

const LOGS: [&str; 4] = ["error.log", "soak.log", "small.log", "http.log"];

/// Where a site serves which kind of clients.
pub struct Ports {
    /// Like `patient`, for clients who are meant to run into timeouts.
    pub plain: Port,
    pub patient: Port,
    pub small: Port,
    pub tls: Port,
    pub websocket: Port,
    pub proxied: Port,
    pub flapping: Port,
    pub http: Port,
    pub https: Port,
}

impl Ports {
    /// One of those where sessions end soon and have no log of their own.
    pub fn any(&self, dice: &mut Dice) -> &Port {
        [&self.plain, &self.tls, &self.websocket, &self.proxied, &self.flapping, &self.http][dice.roll(6)]
    }
}

/// When a number counts as back at its starting point.
enum Back {
    Exactly,
    /// Not above the start by more than this.
    Within(u64),
}

/// A row of the table.
pub struct Row {
    pub name: &'static str,
    back: Back,
}

impl Row {
    pub fn is_back(&self, start: u64, end: u64) -> bool {
        match self.back {
            Back::Exactly => end == start,
            Back::Within(slack) => end <= start + slack,
        }
    }
}

pub const ROWS: [Row; 9] = [
    Row { name: "processes", back: Back::Exactly },
    Row { name: "descriptors of the master", back: Back::Exactly },
    Row { name: "descriptors of the workers", back: Back::Exactly },
    Row { name: "descriptors of the workers' pipes", back: Back::Within(2 * POOLED_PIPES * WORKERS as u64) },
    Row { name: "memory of the master, KiB", back: Back::Within(SLACK) },
    Row { name: "memory of the workers, KiB", back: Back::Within(SLACK * WORKERS as u64) },
    Row { name: "shared memory, KiB", back: Back::Within(SLACK) },
    Row { name: "open sessions, as the status page says", back: Back::Exactly },
    Row { name: "servers that are down", back: Back::Exactly },
];

/// The number of each row.
#[derive(Clone)]
pub struct Measure(pub [u64; ROWS.len()]);

impl Measure {
    /// Takes over what is more.
    pub fn raise(&mut self, other: &Measure) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = other.max(*own);
        }
    }

    /// Nobody is served, and the number of descriptors is this.
    fn rests(&self, descriptors: [u64; 2]) -> bool {
        self.0[0] == 1 + WORKERS as u64 && self.0[1..3] == descriptors && self.0[7..] == [0, 0]
    }
}

pub struct Site {
    pub name: &'static str,
    pub ports: Ports,
    weir: Weir,
    reloads: bool,
    /// Without a session, as counted at the very beginning.
    descriptors: [u64; 2],
    /// Of all kinds, talkative, one of requests, and one that comes and goes.
    backends: [Backend; 3],
    flapping: (Port, Mutex<Option<Backend>>),
    rotations: AtomicUsize,
}

impl Site {
    pub fn start(name: &'static str, reloads: bool) -> Site {
        let [plain, patient, small, tls, websocket, proxied, flapping, http, https] =
            std::array::from_fn(|_| Port::reserve());
        let ports = Ports { plain, patient, small, tls, websocket, proxied, flapping, http, https };
        let web = nothing_lost::http::server(Arc::default());
        let backends = [Backend::start(moody), Backend::start(backends::greeting("w")), Backend::start(web)];
        let flapping = Port::reserve();
        let prefix = Prefix::new();
        Identity::alone().write(&prefix, "server");
        prefix.write("html/large", clients::noise(1 << 20));
        let weir = setup(&ports, &backends, &flapping, WORKERS).start_in(prefix);
        let flapping = (flapping, Mutex::new(None));
        let rotations = AtomicUsize::new(0);
        let mut site = Site { name, ports, weir, reloads, descriptors: [0; 2], backends, flapping, rotations };
        site.flap(true);
        wait_for("all servers to be up", || site.measure().0[7..] == [0, 0]);
        // A probe that is just under way has one more.
        let least = |row: usize| (0..50).map(|_| site.measure().0[row]).min().unwrap();
        site.descriptors = [least(1), least(2)];
        site
    }

    /// Lets the server that comes and goes be there or not.
    fn flap(&self, there: bool) {
        let (port, backend) = &self.flapping;
        let mut backend = backend.lock().unwrap();
        if there != backend.is_some() {
            *backend = there.then(|| Backend::on(port, moody));
        }
    }

    /// Does what is due at this tick.
    pub fn disturb(&self, tick: usize) {
        self.flap((tick / FLAP).is_multiple_of(2));
        if self.reloads && tick.is_multiple_of(RELOAD) {
            // Every other configuration has a worker more.
            self.weir.prefix.replace("nginx.conf", self.setup(WORKERS + tick / RELOAD % 2).text());
            self.weir.signal(Signal::SIGHUP);
        }
        if tick.is_multiple_of(ROTATE) {
            let number = self.rotations.fetch_add(1, Ordering::SeqCst);
            for name in LOGS {
                let _ = fs::rename(self.weir.prefix.join(name), self.weir.prefix.join(&format!("{name}.{number}")));
            }
            self.weir.signal(Signal::SIGUSR1);
        }
    }

    fn setup(&self, workers: usize) -> Setup {
        setup(&self.ports, &self.backends, &self.flapping.0, workers)
    }

    pub fn measure(&self) -> Measure {
        let master = self.weir.master();
        let workers = proc::children(master);
        let of_workers = |what: fn(i32) -> u64| workers.iter().map(|&pid| what(pid)).sum();
        let (mut sessions, mut down) = (0, 0);
        for line in get(&self.ports.http, "/status?format=csv").text().lines() {
            let words: Vec<&str> = line.split(',').collect();
            sessions += words[4].parse::<u64>().unwrap();
            down += u64::from(words[3] == "down");
        }
        Measure([
            1 + workers.len() as u64,
            descriptors(master),
            of_workers(descriptors),
            of_workers(pipes),
            own_memory(master),
            of_workers(own_memory),
            workers.iter().map(|&pid| shared_memory(pid)).max().unwrap_or(0),
            sessions,
            down,
        ])
    }

    /// Waits until nobody is served any more, and measures.
    pub fn rest(&self) -> Measure {
        self.flap(true);
        if self.reloads {
            // Workers that have served nobody, as a worker's memory is the other site's affair.
            self.weir.reload(&self.setup(WORKERS));
        }
        let mut last = self.measure();
        let deadline = Instant::now() + 2 * wait::PATIENCE;
        // What does not come to rest is seen in the table.
        while !last.rests(self.descriptors) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
            last = self.measure();
        }
        last
    }

    /// Lines in the log of those who have one.
    pub fn logged(&self) -> usize {
        self.files("small.log").iter().map(|text| text.lines().count()).sum()
    }

    /// What should never be said.
    pub fn grave_lines(&self) -> Vec<String> {
        let logs = self.files("error.log");
        let lines = logs.iter().flat_map(|text| text.lines());
        let grave = |line: &&str| ["[alert]", "[crit]", "[emerg]", "panicked"].iter().any(|word| line.contains(word));
        lines.filter(grave).map(str::to_owned).collect()
    }

    /// A log with all that it was before rotations.
    fn files(&self, name: &str) -> Vec<String> {
        let rotated = (0..self.rotations.load(Ordering::SeqCst)).map(|number| format!("{name}.{number}"));
        rotated.chain([name.to_owned()]).map(|name| self.weir.prefix.read(&name)).collect()
    }
}

fn setup(ports: &Ports, [moody, talkative, web]: &[Backend; 3], flapping: &Port, workers: usize) -> Setup {
    let (moody, talkative, web, flapping) = (moody.address, talkative.address, web.address, flapping.v4());
    let check = "check interval=200 rise=1 fall=1 timeout=30000";
    let http = format!(
        "http {{ access_log http.log; proxy_http_version 1.1;
         upstream web {{ server {web}; keepalive 4; keepalive_timeout 1s; {check}; }}
         proxy_set_header Connection $http_connection; proxy_set_header Upgrade $http_upgrade;
         server {{ listen {}; listen {} ssl; ssl_certificate server.pem; ssl_certificate_key server.key;
            location /passed {{ proxy_pass http://web; }}
            location /direct {{ proxy_pass http://web; proxy_request_buffering off; proxy_buffering off; }}
            location /kept {{ proxy_pass http://web; proxy_set_header Connection ''; }}
            location / {{ return 200 hello; }} location /large {{ root html; }}
            location /missing {{ return 404; }} location /status {{ tcp_check_status; }} }} }}",
        ports.http.v4(),
        ports.https.v4()
    );
    let tcp = format!(
        "{PATIENT} proxy_connect_timeout 60s;
        log_format all '$status $remote_addr $bytes_received $bytes_sent $upstream_addr';
        access_log soak.log all buffer=32k flush=1s;
        ssl_certificate server.pem; ssl_certificate_key server.key; ssl_session_cache shared:soak:1m;
        upstream steady {{ server {moody}; {check}; }}
        upstream chat {{ server {talkative}; {check}; }}
        upstream flapping {{ server {moody}; server {flapping}; busyness; {check} on_down=close; }}
        server {{ listen {}; proxy_pass steady; {IMPATIENT} }}
        server {{ listen {}; proxy_pass steady; }}
        server {{ listen {}; proxy_pass steady; access_log small.log; }}
        server {{ listen {} ssl; proxy_pass steady; }}
        server {{ listen {}; protocol tcp_websocket; websocket_pass /chat chat; }}
        server {{ listen {} proxy_protocol; set_real_ip_from 127.0.0.0/8; proxy_pass steady; }}
        server {{ listen {}; proxy_pass flapping; {IMPATIENT} }}",
        ports.plain.v4(),
        ports.patient.v4(),
        ports.small.v4(),
        ports.tls.v4(),
        ports.websocket.v4(),
        ports.proxied.v4(),
        ports.flapping.v4()
    );
    Setup::tcp(tcp).main(http).workers(workers).level("error").events("worker_connections 4096;")
}

/// The links in a process's folder of descriptors.
fn links(pid: i32) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| fs::read_link(entry.path()).ok()?.into_os_string().into_string().ok())
}

fn descriptors(pid: i32) -> u64 {
    links(pid).filter(|link| !link.starts_with("pipe:")).count() as u64
}

fn pipes(pid: i32) -> u64 {
    links(pid).filter(|link| link.starts_with("pipe:")).count() as u64
}

/// Memory that it has written to, in KiB; what was there before a fork counts in parent and child.
fn own_memory(pid: i32) -> u64 {
    proc::kilobytes(pid, "RssAnon").unwrap_or(0)
}

/// Memory shared by all processes that this one has seen, in KiB.
fn shared_memory(pid: i32) -> u64 {
    proc::kilobytes(pid, "RssShmem").unwrap_or(0)
}
