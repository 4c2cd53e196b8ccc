//! `docs/directives.md` and `docs/variables.md`, made from the tables.
//!
//! `UPDATE_DOCS=1 cargo test --lib document` writes the files anew; without the variable the same tests fail when one is
//! out of date.

use std::fmt::Write;

use crate::conf::{Contexts, Row};
use crate::{http, tcp};

/// Every block with its name in the documentation, outermost first.
const BLOCKS: [(Contexts, &str); 17] = [
    (Contexts::MAIN, "main"),
    (Contexts::EVENTS, "events"),
    (Contexts::TCP, "tcp"),
    (Contexts::TCP_SERVER, "server in tcp"),
    (Contexts::TCP_LOCATION, "location in server in tcp"),
    (Contexts::TCP_UPSTREAM, "upstream in tcp"),
    (Contexts::HTTP, "http"),
    (Contexts::HTTP_SERVER, "server in http"),
    (Contexts::HTTP_LOCATION, "location in http"),
    (Contexts::HTTP_SERVER_IF, "if in server in http"),
    (Contexts::HTTP_LOCATION_IF, "if in location in http"),
    (Contexts::HTTP_TYPES, "types in http"),
    (Contexts::HTTP_MAP, "map in http"),
    (Contexts::HTTP_SPLIT_CLIENTS, "split_clients in http"),
    (Contexts::HTTP_GEO, "geo in http"),
    (Contexts::HTTP_UPSTREAM, "upstream in http"),
    (Contexts::HTTP_LIMIT_EXCEPT, "limit_except in http"),
];

/// The document: each directive under the outermost block it may stand in.
pub fn directives(rows: &[&Row]) -> String {
    let mut text = String::from(
        "# Directives\n\n\
         Made from the tables in the source by `UPDATE_DOCS=1 cargo test --lib document`; do not edit.\n\n\
         `include path;` may stand in every block: the files that match the path, which may hold `*` and `?`, are read in its \
         place. A relative path is taken against the folder of the main configuration file.\n",
    );
    for (block, name) in BLOCKS {
        let mut own = rows.iter().filter(|row| outermost(row) == block).peekable();
        if own.peek().is_some() {
            let _ = write!(text, "\n## {name}\n");
        }
        for row in own {
            describe(row, &mut text);
        }
    }
    text
}

fn outermost(row: &Row) -> Contexts {
    BLOCKS.iter().map(|(block, _)| *block).find(|block| row.contexts.overlaps(*block)).unwrap_or(Contexts::MAIN)
}

fn describe(row: &Row, text: &mut String) {
    let names: Vec<&str> =
        BLOCKS.iter().filter(|(block, _)| row.contexts.overlaps(*block)).map(|(_, name)| *name).collect();
    let end = if row.block.is_some() { "" } else { ";" };
    // Any word may stand where this is shown.
    let name = if row.name == Row::ANY { "name" } else { row.name };
    let syntax = if row.syntax.is_empty() { String::new() } else { format!(" {}", row.syntax) };
    let default = if row.default == "-" { "none".to_owned() } else { format!("`{name} {}{end}`", row.default) };
    let _ = write!(
        text,
        "\n### {name}\n\n- Syntax: `{name}{syntax}{end}`\n- Default: {default}\n- Context: {}\n\n{}\n",
        names.join(", "),
        row.help
    );
}

/// The document of all variables, by name, for each block.
pub fn variables() -> String {
    let mut text = String::from(
        "# Variables\n\n\
         Made from the tables in the source by `UPDATE_DOCS=1 cargo test --lib document`; do not edit.\n\n\
         A variable without a value is empty, in access logs `-`. Where more than one server was tried there is a value for \
         each. `set`, `map`, `geo`, `split_clients` and named groups of regular expressions make others.\n",
    );
    section("tcp", tcp::meanings().collect(), &mut text);
    section("http", http::meanings().collect(), &mut text);
    text
}

fn section(block: &str, mut variables: Vec<(String, &str)>, text: &mut String) {
    variables.sort();
    let _ = write!(text, "\n## {block}\n\n| variable | meaning |\n|---|---|\n");
    for (name, meaning) in variables {
        let _ = writeln!(text, "| `${name}` | {meaning} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn is_up_to_date(name: &str, wanted: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == wanted, "docs/{name} is out of date: run UPDATE_DOCS=1 cargo test --lib document");
    }

    #[test]
    fn directives_document_is_up_to_date() {
        is_up_to_date("directives.md", &directives(&super::super::rows()));
    }

    #[test]
    fn variables_document_is_up_to_date() {
        is_up_to_date("variables.md", &variables());
    }

    #[test]
    fn every_variable_has_a_meaning_and_a_name_of_its_own() {
        for variables in [tcp::meanings().collect(), http::meanings().collect::<Vec<_>>()] {
            for (i, (name, meaning)) in variables.iter().enumerate() {
                assert!(meaning.ends_with('.') && !meaning.contains('|'), "{name}");
                assert!(variables[..i].iter().all(|(other, _)| other != name), "{name} stands twice");
            }
        }
    }

    #[test]
    fn every_row_is_complete() {
        for row in super::super::rows() {
            assert!(row.help.ends_with('.'), "{} has no sentence of help", row.name);
            assert!(!row.default.is_empty(), "{} has no default", row.name);
            assert!(row.block.is_none() || row.syntax.contains('{'), "{} does not show its block", row.name);
        }
    }
}
