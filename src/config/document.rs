//! `docs/directives.md`, made from the tables.
//!
//! `UPDATE_DOCS=1 cargo test directives_document` writes the file anew; without the variable the same test fails when
//! the file is out of date.

use std::fmt::Write;

use crate::conf::{Contexts, Row};

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
         Made from the tables in the source by `UPDATE_DOCS=1 cargo test directives_document`; do not edit.\n\n\
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn directives_document_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/directives.md");
        let wanted = directives(&super::super::rows());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == wanted, "docs/directives.md is out of date: run UPDATE_DOCS=1 cargo test directives_document");
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
