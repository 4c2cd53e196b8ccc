//! What holds of every directive because it stands in a table: its places, its number of arguments, its end.

use weir::conf::{Arity, Contexts, Row};
use weir::config::{Source, load};

use super::config_errors::At::{self, *};
use crate::common::*;

const PLACES: [(Contexts, At); 11] = [
    (Contexts::MAIN, Main),
    (Contexts::EVENTS, Events),
    (Contexts::TCP, Tcp),
    (Contexts::TCP_SERVER, Server),
    (Contexts::TCP_LOCATION, Location),
    (Contexts::TCP_UPSTREAM, Upstream),
    (Contexts::HTTP, Http),
    (Contexts::HTTP_SERVER, HttpServer),
    (Contexts::HTTP_LOCATION, HttpLocation),
    (Contexts::HTTP_SERVER_IF, HttpServerIf),
    (Contexts::HTTP_LOCATION_IF, HttpLocationIf),
];

/// One of so many configurations is shown to the binary.
const SAMPLED: usize = 100;

/// The directive with so many arguments, ended as it should be.
fn written(row: &Row, arguments: usize) -> String {
    format!("{}{}{}", row.name, " x".repeat(arguments), if row.block.is_some() { " { }" } else { ";" })
}

fn smallest(arity: Arity) -> usize {
    match arity {
        Arity::Exactly(count) | Arity::Between(count, _) | Arity::AtLeast(count) => count,
    }
}

fn wrong_counts(arity: Arity) -> Vec<usize> {
    let (least, most) = match arity {
        Arity::Exactly(count) => (count, Some(count)),
        Arity::Between(least, most) => (least, Some(most)),
        Arity::AtLeast(least) => (least, None),
    };
    let below = least.checked_sub(1);
    below.into_iter().chain(most.map(|most| most + 1)).collect()
}

/// Whether nginx has a directive of this name in `http {}` and weir, which has it in these places, does not.
fn is_awaited(name: &str, places: Contexts, context: Contexts) -> bool {
    let awaited = weir::http::awaited::DIRECTIVES;
    awaited.contexts.overlaps(context)
        && !awaited.contexts.overlaps(places)
        && awaited.names.split_whitespace().any(|known| known == name)
}

#[test]
fn every_directive_is_refused_where_it_does_not_belong() {
    let rows = weir::config::rows();
    let prefix = Prefix::new();
    let file = prefix.text_path("nginx.conf");
    let source =
        Source { prefix: prefix.join(""), file: prefix.join("nginx.conf"), directives: String::new(), error_log: None };
    let mut faults = Vec::new();
    let mut tried = 0;
    let mut check = |at: At, piece: String, message: String| {
        let (text, line) = at.around(&piece);
        prefix.write("nginx.conf", text);
        let hint = if message.starts_with("unknown") { " (weir does not have it yet)" } else { "" };
        let wanted = format!("{message} in {file}:{line}{hint}");
        // What `-t` does, without a process for each of some thousands; some go through the binary too.
        let told = load(&source).config.err().map_or_else(String::new, |fault| fault.to_string());
        let mut differs = told != wanted;
        if tried % SAMPLED == 0 {
            let run = prefix.run(&["-t"]);
            differs |= run.status.code() != Some(1) || !run.stderr.contains(&format!("weir: [emerg] {wanted}\n"));
        }
        tried += 1;
        if differs {
            faults.push(format!("{at:?} {piece:?}\n  wanted {wanted}\n  got    {told}"));
        }
    };
    for row in rows.iter().filter(|row| row.name != Row::ANY) {
        let name = row.name;
        for (context, at) in PLACES {
            let here = rows.iter().filter(|other| other.name == name && other.contexts.overlaps(context));
            let here: Vec<_> = here.collect();
            if here.is_empty() {
                let places = rows
                    .iter()
                    .filter(|other| other.name == name)
                    .fold(Contexts(0), |all, other| all.or(other.contexts));
                let message = match is_awaited(name, places, context) {
                    true => format!(r#"unknown directive "{name}""#),
                    false => format!(r#""{name}" directive is not allowed here"#),
                };
                check(at, written(row, smallest(row.arity)), message);
                continue;
            }
            if !row.contexts.overlaps(context) {
                continue;
            }
            for count in wrong_counts(row.arity) {
                check(at, written(row, count), format!(r#"invalid number of arguments in "{name}" directive"#));
            }
            let arguments = " x".repeat(smallest(row.arity));
            match row.block {
                None => check(
                    at,
                    format!("{name}{arguments} {{ }}"),
                    format!(r#"directive "{name}" is not terminated by ";""#),
                ),
                Some(_) => {
                    check(at, format!("{name}{arguments};"), format!(r#"directive "{name}" has no opening "{{""#))
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} differ:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_directive_has_an_accepted_example() {
    let examples = concat!(
        include_str!("cache/configuration.rs"),
        include_str!("config_accept.rs"),
        include_str!("http_ssl.rs"),
        include_str!("proxy/balance.rs"),
        include_str!("proxy/targets.rs"),
        include_str!("proxy/tls.rs"),
        include_str!("tls/faults.rs"),
        include_str!("websocket/configuration.rs")
    );
    let missing: Vec<&str> = weir::config::rows()
        .into_iter()
        .map(|row| row.name)
        .filter(|name| *name != Row::ANY)
        .filter(|name| !["\"", " ", "n"].iter().any(|before| examples.contains(&format!("{before}{name} "))))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
