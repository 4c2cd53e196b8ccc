//! Configurations that are wrong, or odd: both programs are asked (`-t`) whether they take them and what they say, word for word, with
//! file and line.
//!
//! The tables are texts with a case a line: `context: directives`, where the context is a block of [`WRAPS`] and `\n` in the directives
//! a line end; before it `[key]` of a difference that is [`meant`]. [`kinds`] makes more of them, for each
//! directive by what its argument is.

mod grammar;
mod guards;
mod kinds;
pub mod meant;
mod proxying;
mod scripts;
mod serving;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::differences::{self, Part};
use super::sides::{NGINX, Program};
use crate::common::*;

/// Each context, what stands around a case's directives there, and what below them. All cases stand on line 2 of the file.
const WRAPS: [(&str, &str, &str); 12] = [
    ("main", "", ""),
    ("http", "http {", "server { listen {listen}; location / { proxy_pass http://{listen3}; } } }"),
    ("server", "http { server { listen {listen};", "} }"),
    ("location", "http { server { listen {listen}; location /in {", "} } }"),
    ("if", "http { server { listen {listen}; location /in { if ($uri) {", "} } } }"),
    ("server-if", "http { server { listen {listen}; if ($uri) {", "} } }"),
    ("limit_except", "http { server { listen {listen}; location /in { limit_except GET {", "} } } }"),
    (
        "upstream",
        "http { upstream u { server 127.0.0.1:1;",
        "} server { listen {listen}; location / { proxy_pass http://u; } } }",
    ),
    ("types", "http { types {", "} server { listen {listen}; } }"),
    ("map", "http { map $uri $m {", "} server { listen {listen}; } }"),
    ("geo", "http { geo $m {", "} server { listen {listen}; } }"),
    ("split_clients", "http { split_clients $uri $m {", "} server { listen {listen}; } }"),
];

/// One configuration.
struct Case {
    context: String,
    directives: String,
    difference: Option<String>,
}

impl Case {
    fn new(context: &str, directives: impl Into<String>) -> Case {
        Case { context: context.to_owned(), directives: directives.into(), difference: None }
    }

    /// Reads a line of a table.
    fn parse(line: &str) -> Case {
        let keyed = line.strip_prefix('[').and_then(|line| line.split_once("] "));
        let (context, directives) = keyed.map_or(line, |(_, line)| line).split_once(": ").expect("context: directives");
        let difference = keyed.map(|(key, _)| key.to_owned());
        Case { difference, ..Case::new(context, directives.replace("\\n", "\n")) }
    }
}

/// The cases of a table.
fn table(text: &str) -> Vec<Case> {
    text.lines().filter(|line| !line.is_empty()).map(Case::parse).collect()
}

/// Where the programs find their files, and the addresses that they may listen on. One of each for each thread.
struct Place {
    prefix: Prefix,
    names: Vec<(&'static str, String)>,
    _ports: Vec<Port>,
}

impl Place {
    fn new() -> Place {
        let ports: Vec<Port> = (0..4).map(|_| Port::reserve()).collect();
        let names = ["{listen}", "{listen2}", "{listen3}"].into_iter().zip(ports.iter().map(Port::v4));
        let mut names: Vec<_> = names.collect();
        names.push(("{port}", ports[3].number.to_string()));
        names.push(("{long}", "x".repeat(120)));
        Place { prefix: Prefix::new(), names, _ports: ports }
    }

    /// Whether a program takes a configuration, and all that it says.
    fn ask(&self, program: Program, case: &Case, number: usize) -> (bool, Vec<String>) {
        let dir = self.prefix.join(&format!("{program:?}{number}"));
        let dir = dir.to_str().unwrap();
        fs::create_dir_all(format!("{dir}/logs")).unwrap();
        fs::write(format!("{dir}/broken"), "sendfile on").unwrap();
        let (_, above, below) = WRAPS.iter().find(|(context, ..)| *context == case.context).expect("a known context");
        let mut text = format!("{above}\n{}\n{below}\n", case.directives);
        if program == Program::Nginx {
            // Folders of modules that weir does not have.
            let folders = ["fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};")).concat();
            text = text.replacen("http {", &format!("http {{ {folders}"), 1);
        }
        for (name, value) in &self.names {
            text = text.replace(name, value);
        }
        text = text.replace("{dir}", dir);
        fs::write(format!("{dir}/nginx.conf"), format!("error_log error.log warn; pid pid; events {{}} {text}"))
            .unwrap();
        let (path, conf) = (format!("{dir}/"), format!("{dir}/nginx.conf"));
        let mut command = match program {
            Program::Weir => self.prefix.bare_command(&["-t", "-p", &path, "-c", &conf]),
            Program::Nginx => {
                let mut command = Command::new(NGINX);
                command.args(["-t", "-p", &path, "-c", &conf, "-e", "error.log"]);
                command
            }
        };
        let output = format!("{dir}/stderr");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&output).unwrap());
        let taken = command.status().unwrap().success();
        let said = String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
        let line = |line: &str| {
            let line = line
                .split_once(": ")
                .filter(|(name, _)| ["nginx", "weir"].contains(name))
                .map_or(line, |(_, line)| line);
            let ends = ["syntax is ok", "test is successful", "test failed"];
            (!ends.iter().any(|end| line.ends_with(end))).then(|| line.replace(dir, "{dir}"))
        };
        (taken, said.lines().filter_map(line).collect())
    }
}

/// Asks both programs about all cases and tells of every difference that is not meant, and of those that are gone.
#[track_caller]
fn compare(cases: &[Case]) {
    if !Path::new(NGINX).exists() {
        eprintln!("skipped: this compares with {NGINX}, which is not installed");
        return;
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let place = Place::new();
        let mut faults = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else { return faults };
            let [nginx, weir] = [Program::Nginx, Program::Weir].map(|program| place.ask(program, case, number));
            let Case { context, directives, difference } = case;
            let lines_only = difference.as_deref() == Some("lines-of-faults");
            let fault = match difference {
                Some(key) if nginx == weir => format!("no difference any more: {key}"),
                // Nothing else may differ.
                Some(_) if !lines_only || without_lines(&nginx) == without_lines(&weir) => continue,
                _ if nginx != weir => format!("nginx| {nginx:?}\n  weir | {weir:?}"),
                _ => continue,
            };
            faults.push((number, format!("=== {context}: {}\n  {fault}", directives.escape_debug())));
        }
    };
    let mut faults = thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a thread that asks")).collect::<Vec<_>>()
    });
    faults.sort();
    let texts: Vec<String> = faults.into_iter().map(|(_, text)| text).collect();
    assert!(texts.is_empty(), "{} of {} cases:\n{}", texts.len(), cases.len(), texts.join("\n"));
}

/// The same without lines.
fn without_lines((taken, said): &(bool, Vec<String>)) -> (bool, Vec<&str>) {
    (*taken, said.iter().map(|line| line.split(" in {dir}/nginx.conf").next().unwrap_or_default()).collect())
}

/// The differences that cases show.
pub fn shown() -> Vec<String> {
    let tables = [grammar::CASES, guards::CASES, proxying::CASES, scripts::CASES, serving::CASES];
    let cases = tables.into_iter().flat_map(table).chain(kinds::cases());
    cases.filter_map(|case| case.difference).collect()
}

#[test]
fn of_refusals_of_grammar() {
    compare(&table(grammar::CASES));
}

#[test]
fn of_refusals_of_guards() {
    compare(&table(guards::CASES));
}

#[test]
fn of_refusals_of_kinds() {
    compare(&kinds::cases());
}

#[test]
fn of_refusals_of_proxying() {
    compare(&table(proxying::CASES));
}

#[test]
fn of_refusals_of_scripts() {
    compare(&table(scripts::CASES));
}

#[test]
fn of_refusals_of_serving() {
    compare(&table(serving::CASES));
}

#[test]
fn refusals_name_known_differences() {
    for key in shown() {
        assert!(differences::find(&key).parts.contains(&Part::Configuration), "{key}");
    }
}
