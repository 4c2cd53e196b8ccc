//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};

use crate::Result;
use crate::contender::{Contender, Kind};
use crate::table::name;
use crate::workload::{WORKLOADS, Workload};

pub const HELP: &str = "\
scripts/bench [OPTION | WORKLOAD]...

Runs weir, nginx and HAProxy side by side, one worker each on a core of their own, and prints what each costs.

Workloads, all when none is named; `bulk` stands for all that begin with it, and so on:
  bulk-download bulk-upload ping-pong connect idle tls-bulk-download tls-bulk-upload tls-connect
  http-small http-logged http-close http-tls http-buffered http-unbuffered http-hit hits-quiet hits-filling hits-cold
  http-file-small http-file-large scale config

  --rounds N              measurements of each contender, in turns (5)
  --contenders A,B,...    of: weir nginx haproxy haproxy-splice splice-loop (all)
  --weir [NAME=]PATH      another binary of weir; may be repeated. The one built from this checkout goes by the name weir
  --size GB               bytes of a bulk transfer a round; TLS: a quarter of it, HTTP: half of it (2)
  --requests N            requests of ping-pong a round; HTTP: half of it, with close a quarter, scale: a fifth (60000)
  --connections N         connections of connect a round; TLS: a fifth of it (8000)
  --sessions N            sessions of scale, as far as descriptors allow (50000)
  --files N               files of hits-cold (100000)
  --rsa                   an RSA key of 2048 bits for TLS instead of an ECDSA key on P-256
  --sleep                 clients and servers of small messages sleep while there is nothing for them, and the proxy wakes them
  --markdown              tables for a document
  --help
";

/// What a run is to do.
pub struct Options {
    pub workloads: Vec<&'static Workload>,
    pub contenders: Vec<Contender>,
    pub rounds: usize,
    pub bytes: u64,
    pub requests: usize,
    pub connections: usize,
    pub sessions: usize,
    pub files: usize,
    pub rsa: bool,
    pub sleep: bool,
    pub markdown: bool,
}

/// None when help is asked for.
pub fn parse() -> Result<Option<Options>> {
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_weir"));
    let mut kinds = vec![Kind::Weir(ours), Kind::Nginx, Kind::Haproxy, Kind::HaproxySplice, Kind::SpliceLoop];
    let mut others = Vec::new();
    let mut options = Options {
        workloads: Vec::new(),
        contenders: Vec::new(),
        rounds: 5,
        bytes: 2_000_000_000,
        requests: 60_000,
        connections: 8_000,
        sessions: 50_000,
        files: 100_000,
        rsa: false,
        sleep: false,
        markdown: false,
    };
    let mut arguments = Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("rounds") => options.rounds = at_least(1, arguments.value()?.parse()?)?,
            Arg::Long("requests") => options.requests = at_least(1000, arguments.value()?.parse()?)?,
            Arg::Long("connections") => options.connections = at_least(100, arguments.value()?.parse()?)?,
            Arg::Long("sessions") => options.sessions = at_least(100, arguments.value()?.parse()?)?,
            Arg::Long("files") => options.files = at_least(1000, arguments.value()?.parse()?)?,
            Arg::Long("size") => options.bytes = (arguments.value()?.parse::<f64>()?.max(0.01) * 1e9) as u64,
            Arg::Long("rsa") => options.rsa = true,
            Arg::Long("sleep") => options.sleep = true,
            Arg::Long("markdown") => options.markdown = true,
            Arg::Long("contenders") => {
                let names = arguments.value()?.string()?;
                for wanted in names.split(',') {
                    if !kinds.iter().any(|kind| name(kind) == wanted) {
                        return Err(format!("no contender is called \"{wanted}\"").into());
                    }
                }
                kinds.retain(|kind| names.split(',').any(|wanted| wanted == name(kind)));
            }
            Arg::Long("weir") => {
                let value = arguments.value()?.string()?;
                let (name, path) = value.split_once('=').unwrap_or((&value, &value));
                let path = PathBuf::from(path).canonicalize().map_err(|error| format!("--weir {path}: {error}"))?;
                others.push(Contender { name: name.to_string(), kind: Kind::Weir(path) });
            }
            Arg::Value(value) => {
                let wanted = value.string()?;
                let found: Vec<&Workload> =
                    WORKLOADS.iter().filter(|workload| workload.name.starts_with(&wanted)).collect();
                if found.is_empty() {
                    return Err(format!("no workload is called \"{wanted}\"").into());
                }
                options.workloads.extend(found);
            }
            // From cargo.
            Arg::Long("bench") => {}
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    if options.workloads.is_empty() {
        options.workloads = WORKLOADS.iter().collect();
    }
    options.contenders = kinds.into_iter().map(|kind| Contender { name: name(&kind).to_string(), kind }).collect();
    let after_ours = options.contenders.iter().take_while(|contender| contender.is_weir()).count();
    options.contenders.splice(after_ours..after_ours, others);
    Ok(Some(options))
}

fn at_least(least: usize, number: usize) -> Result<usize> {
    if number < least { Err(format!("{number} is too few, {least} are needed").into()) } else { Ok(number) }
}

impl Options {
    /// How long ends of small sessions may sleep at a time. Not at all, unless that is wished: to wake up a peer costs the one that
    /// sends, and how often peers sleep is chance.
    pub fn nap(&self) -> Duration {
        if self.sleep { Duration::from_secs(1) } else { Duration::ZERO }
    }
}
