//! nginx and weir side by side: one configuration, the same raw requests, the same servers behind them, and everything that can be
//! seen of both compared: answers, what became of the connection, what the servers behind were sent, access log and error log.
//!
//! [`case`] is one exchange, [`sides`] runs the two programs, [`client`] and [`behind`] stand on both sides of them, [`text`] takes
//! out what differs between any two runs, [`differences`] lists what is meant to differ. The other files are the requests, by theme.

mod aging;
mod behind;
mod case;
mod client;
mod differences;
mod sides;
mod text;
mod wire;

mod answering;
mod balancing;
mod broken;
mod caching;
mod compressing;
mod framing;
mod heads;
mod leaving;
mod limits;
mod operating;
mod proxying;
mod refusals;
mod rules;
mod secure;
mod serving;
mod upgrading;

use std::path::Path;
use std::thread;

use case::Case;
use differences::Part;
use sides::{NGINX, Observed, Program, Site};

/// One configuration and what is asked of it.
pub struct Theme {
    /// The inside of `http {}`.
    pub config: &'static str,
    /// Files below both prefixes.
    pub files: Vec<(&'static str, String)>,
    pub cases: Vec<Case>,
}

/// Every theme, for what is asked of all of them.
const THEMES: &[fn() -> Theme] = &[
    aging::theme,
    answering::theme,
    balancing::theme,
    broken::theme,
    caching::theme,
    compressing::theme,
    framing::theme,
    heads::theme,
    leaving::theme,
    limits::theme,
    operating::theme,
    proxying::theme,
    rules::theme,
    secure::theme,
    serving::theme,
    upgrading::theme,
];

/// Sends all requests of a theme to both programs, and tells of every difference that is not meant, and of those that are gone.
#[track_caller]
fn compare(theme: &Theme) {
    if !Path::new(NGINX).exists() {
        eprintln!("skipped: this compares with {NGINX}, which is not installed");
        return;
    }
    let (nginx, weir) = thread::scope(|scope| {
        let nginx = scope.spawn(|| Site::observe(Program::Nginx, theme));
        let weir = Site::observe(Program::Weir, theme);
        (nginx.join().expect("nginx has been observed"), weir)
    });
    let mut faults = Vec::new();
    for ((case, nginx), weir) in theme.cases.iter().zip(&nginx).zip(&weir) {
        let found = differing(nginx, weir);
        let meant: Vec<_> = case.differences.iter().map(|key| differences::find(key)).collect();
        let mut fault = String::new();
        for gone in meant.iter().filter(|meant| !found.iter().any(|(part, ..)| meant.parts.contains(part))) {
            fault.push_str(&format!("\n  no difference any more: {}", gone.key));
        }
        let unmeant = |part: &Part| !meant.iter().any(|meant| meant.parts.contains(part));
        for (part, nginx, weir) in found.iter().filter(|(part, ..)| unmeant(part)) {
            fault.push_str(&report(*part, nginx, weir));
        }
        if !fault.is_empty() {
            let script = case.script.iter().map(|step| format!("\n  up: {}", step.escape_debug())).collect::<String>();
            faults.push(format!("=== {}{script}{fault}", case.label()));
        }
    }
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), theme.cases.len(), faults.join("\n"));
}

/// The parts that are not the same, with both sides' words.
fn differing(nginx: &Observed, weir: &Observed) -> Vec<(Part, String, String)> {
    let of = |part, nginx: &[String], weir: &[String]| (part, nginx.join("\n--\n"), weir.join("\n--\n"));
    let one = std::slice::from_ref;
    [
        of(Part::Answer, &nginx.answers, &weir.answers),
        of(Part::Connection, one(&nginx.connection), one(&weir.connection)),
        of(Part::Upstream, &nginx.upstream, &weir.upstream),
        of(Part::AccessLog, &nginx.access, &weir.access),
        of(Part::ErrorLog, &nginx.errors, &weir.errors),
    ]
    .into_iter()
    .filter(|(_, nginx, weir)| nginx != weir)
    .collect()
}

/// What both sides have said; of fields only those that differ.
fn report(part: Part, nginx: &str, weir: &str) -> String {
    let (left, right): (Vec<&str>, Vec<&str>) = (nginx.lines().collect(), weir.lines().collect());
    let mut text = format!("\n  {part:?}:");
    let mut line = |name: &str, line: &str| text.push_str(&format!("\n    {name}| {}", line.escape_debug()));
    if part == Part::AccessLog && left.len() == right.len() {
        for (left, right) in left.iter().zip(&right).filter(|(left, right)| left != right) {
            line("nginx", left);
            line("weir ", right);
        }
    } else {
        // Of lines that only one side has, what they are about.
        let told = |line: &&&str| {
            part != Part::AccessLog
                || line.starts_with("status=")
                || line.starts_with("request=")
                || line.contains("lines,")
        };
        let (left, right) = (left.iter().filter(told), right.iter().filter(told));
        left.for_each(|text| line("nginx", text));
        right.for_each(|text| line("weir ", text));
    }
    text
}

#[test]
fn of_broken_servers() {
    compare(&broken::theme());
}

#[test]
fn of_rules() {
    compare(&rules::theme());
}

#[test]
fn of_heads() {
    compare(&heads::theme());
}

#[test]
fn of_caching() {
    compare(&caching::theme());
}

#[test]
fn of_caching_as_time_passes() {
    compare(&aging::theme());
}

#[test]
fn of_framing() {
    compare(&framing::theme());
}

#[test]
fn of_proxying() {
    compare(&proxying::theme());
}

#[test]
fn of_tls() {
    compare(&secure::theme());
}

#[test]
fn of_configurations_in_use() {
    compare(&operating::theme());
}

#[test]
fn of_groups() {
    compare(&balancing::theme());
}

#[test]
fn of_clients() {
    compare(&leaving::theme());
}

#[test]
fn of_answers() {
    compare(&answering::theme());
}

#[test]
fn of_limits() {
    compare(&limits::theme());
}

#[test]
fn of_compression() {
    compare(&compressing::theme());
}

#[test]
fn of_upgrades() {
    compare(&upgrading::theme());
}

#[test]
fn of_what_is_served_from_here() {
    compare(&serving::theme());
}
