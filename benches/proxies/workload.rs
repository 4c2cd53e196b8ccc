//! The workloads: what each is called, what it must come to, and how it is run in rounds.

use std::fs;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::args::Options;
use crate::contender::{Contender, Kind};
use crate::cpu::Cores;
use crate::table::{Row, Sample, Table};
use crate::tls::Certificate;
use crate::{Result, bulk, cold, hits, http, idle, parsing, ping_pong, scale, short};

/// One of the things a proxy is measured at.
pub struct Workload {
    pub name: &'static str,
    pub title: &'static str,
    /// What `cost` of its samples is counted in, and with how many decimals.
    pub unit: (&'static str, usize),
    /// The same of `rate`, where there is one.
    pub rate: Option<(&'static str, usize)>,
    pub targets: &'static [Target],
    pub measure: fn(&Bench) -> Result<Table>,
}

/// What weir is to reach.
pub enum Target {
    /// At most this part of the cheapest of those.
    OfBest(f64, &'static [Kind]),
    /// At most so much.
    AtMost(f64),
}

const PEERS: &[Kind] = &[Kind::Nginx, Kind::Haproxy, Kind::HaproxySplice];
const NGINX: &[Kind] = &[Kind::Nginx];
const HAPROXY: &[Kind] = &[Kind::Haproxy, Kind::HaproxySplice];
const REQUESTS: &[Target] = &[Target::OfBest(1.0, NGINX), Target::OfBest(1.0, HAPROXY)];
const AS_NGINX: &[Target] = &[Target::OfBest(1.0, NGINX)];
const BULK: &[Target] =
    &[Target::OfBest(0.40, &[Kind::Nginx, Kind::Haproxy]), Target::OfBest(1.11, &[Kind::SpliceLoop])];

/// All workloads, in the order they are run in.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "bulk-download",
        title: "one long transfer to the client",
        unit: ("CPU s/GB", 3),
        rate: Some(("GB/s", 2)),
        targets: BULK,
        measure: bulk::plain_download,
    },
    Workload {
        name: "bulk-upload",
        title: "one long transfer to the server",
        unit: ("CPU s/GB", 3),
        rate: Some(("GB/s", 2)),
        targets: BULK,
        measure: bulk::plain_upload,
    },
    Workload {
        name: "ping-pong",
        title: "small requests on connections that stay",
        unit: ("CPU us/request", 2),
        rate: Some(("requests/s", 0)),
        targets: &[Target::OfBest(1.0, PEERS)],
        measure: ping_pong::ping_pong,
    },
    Workload {
        name: "connect",
        title: "one small request a connection",
        unit: ("CPU us/connection", 1),
        rate: Some(("connections/s", 0)),
        targets: &[Target::OfBest(0.95, PEERS)],
        measure: short::plain,
    },
    Workload {
        name: "idle",
        title: "memory of sessions that wait",
        unit: ("private bytes/session", 0),
        rate: None,
        targets: &[Target::AtMost(1024.0)],
        measure: idle::idle,
    },
    Workload {
        name: "tls-bulk-download",
        title: "one long transfer to a TLS client",
        unit: ("CPU s/GB", 3),
        rate: Some(("GB/s", 2)),
        targets: &[Target::OfBest(1.0, PEERS)],
        measure: bulk::tls_download,
    },
    Workload {
        name: "tls-bulk-upload",
        title: "one long transfer from a TLS client",
        unit: ("CPU s/GB", 3),
        rate: Some(("GB/s", 2)),
        targets: &[Target::OfBest(1.0, PEERS)],
        measure: bulk::tls_upload,
    },
    Workload {
        name: "tls-connect",
        title: "one small request a TLS connection",
        unit: ("CPU us/connection", 1),
        rate: Some(("connections/s", 0)),
        targets: &[Target::OfBest(1.0, PEERS)],
        measure: short::tls,
    },
    Workload {
        name: "http-small",
        title: "HTTP requests on connections that stay, passed on to a server",
        unit: ("CPU us/request", 2),
        rate: Some(("requests/s", 0)),
        targets: REQUESTS,
        measure: http::small,
    },
    Workload {
        name: "http-logged",
        title: "the same with an access log",
        unit: ("CPU us/request", 2),
        rate: Some(("requests/s", 0)),
        targets: AS_NGINX,
        measure: http::logged,
    },
    Workload {
        name: "http-close",
        title: "HTTP requests with Connection: close, passed on to a server",
        unit: ("CPU us/request", 2),
        rate: Some(("requests/s", 0)),
        targets: REQUESTS,
        measure: http::close,
    },
    Workload {
        name: "http-tls",
        title: "HTTP requests on TLS connections that stay, passed on to a server",
        unit: ("CPU us/request", 2),
        rate: Some(("requests/s", 0)),
        targets: REQUESTS,
        measure: http::tls,
    },
    Workload {
        name: "http-buffered",
        title: "a long answer of a server, with proxy_buffering",
        unit: ("CPU s/GB", 3),
        rate: Some(("GB/s", 2)),
        targets: AS_NGINX,
        measure: http::buffered,
    },
    Workload {
        name: "http-unbuffered",
        title: "a long answer of a server, without buffering",
        unit: ("CPU s/GB", 3),
        rate: Some(("GB/s", 2)),
        targets: REQUESTS,
        measure: http::unbuffered,
    },
    Workload {
        name: "http-hit",
        title: "answers from the cache",
        unit: ("CPU us/request", 2),
        rate: Some(("requests/s", 0)),
        targets: AS_NGINX,
        measure: http::hit,
    },
    Workload {
        name: "hits-quiet",
        title: "how long answers from the cache take",
        unit: ("p99 us", 0),
        rate: None,
        targets: &[],
        measure: hits::quiet,
    },
    Workload {
        name: "hits-filling",
        title: "how long they take while others have it filled",
        unit: ("p99 us", 0),
        rate: None,
        targets: AS_NGINX,
        measure: hits::filling,
    },
    Workload {
        name: "hits-cold",
        title: "how long they take after a start with a cache that is full",
        unit: ("p99 us", 0),
        rate: None,
        targets: &[],
        measure: cold::cold,
    },
    Workload {
        name: "http-file-small",
        title: "small files",
        unit: ("CPU us/request", 2),
        rate: Some(("requests/s", 0)),
        targets: AS_NGINX,
        measure: http::small_file,
    },
    Workload {
        name: "http-file-large",
        title: "large files",
        unit: ("CPU s/GB", 3),
        rate: Some(("GB/s", 2)),
        targets: AS_NGINX,
        measure: http::large_file,
    },
    Workload {
        name: "scale",
        title: "a request on one session among many that wait, to the same alone",
        unit: ("times CPU us/request", 3),
        rate: None,
        targets: &[Target::AtMost(1.10)],
        measure: scale::scale,
    },
    Workload {
        name: "config",
        title: "checking a large configuration (-t)",
        unit: ("CPU ms", 1),
        rate: Some(("lines/s", 0)),
        targets: &[Target::AtMost(500.0)],
        measure: parsing::parsing,
    },
];

/// Where the machine is so busy that a workload takes longer than this, it has to do with `FEWEST_ROUNDS`.
const LONG: Duration = Duration::from_secs(45);
const FEWEST_ROUNDS: usize = 3;

/// All that a run has.
pub struct Bench {
    pub options: Options,
    pub cores: Cores,
    pub certificate: Certificate,
    pub folder: TempDir,
}

impl Bench {
    /// Those of the contenders that take part in a workload.
    pub fn contenders(&self, takes_part: impl Fn(&Contender) -> bool) -> Vec<Contender> {
        self.options.contenders.iter().filter(|contender| takes_part(contender)).cloned().collect()
    }

    /// A turn for each round, as many as wished unless it takes too long.
    pub fn turns(&self) -> impl Iterator<Item = usize> {
        let (rounds, start) = (self.options.rounds, Instant::now());
        (0..rounds).take_while(move |&round| {
            let enough = round >= FEWEST_ROUNDS && start.elapsed() > LONG;
            if enough {
                eprintln!("bench: {round} rounds instead of {rounds}, as the machine is slow");
            }
            !enough
        })
    }

    /// What it runs on.
    pub fn heading(&self) -> String {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        format!(
            "Linux {}, {}; proxies on core {}, clients and servers on core {}; {} rounds; load average before: {}",
            kernel.trim(),
            model.trim_start_matches(['\t', ' ', ':']),
            self.cores.proxy,
            self.cores.driver,
            self.options.rounds,
            load.split_whitespace().next().unwrap_or_default()
        )
    }
}

/// Sets up all contenders, then measures one after the other, round by round, so that what disturbs the machine disturbs all.
pub fn rounds<S>(
    bench: &Bench,
    contenders: &[Contender],
    set_up: impl Fn(&Contender) -> Result<S>,
    mut measure: impl FnMut(&mut S) -> Result<Sample>,
) -> Result<Vec<Row>> {
    let named = |contender: &Contender, failure| format!("{}: {failure}", contender.name);
    let mut stages = Vec::new();
    for contender in contenders {
        stages.push((Row::of(contender), set_up(contender).map_err(|failure| named(contender, failure))?));
    }
    for _ in bench.turns() {
        for (row, stage) in &mut stages {
            row.samples.push(measure(stage).map_err(|failure| named(&row.contender, failure))?);
        }
    }
    Ok(stages.into_iter().map(|(row, _)| row).collect())
}
