//! Caches on the status page.

use std::fmt::Write;
use std::rc::Rc;

use super::zone::{Figures, Table};
use super::{Cache, Status};

/// What the status page tells of a cache.
pub(in crate::http) struct Row<'a> {
    cache: &'a Cache,
    figures: Figures,
}

/// The rows of the caches there are.
pub(in crate::http) fn rows(caches: &[Rc<Cache>]) -> Vec<Row<'_>> {
    let figures = |cache: &Cache| cache.table().map(Table::figures).unwrap_or_default();
    caches.iter().map(|cache| Row { cache, figures: figures(cache) }).collect()
}

impl Row<'_> {
    /// Each state with the requests that ended so.
    fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Status::ALL.iter().map(|status| status.word()).zip(self.figures.requests)
    }

    fn numbers(&self) -> [(&'static str, u64); 4] {
        let Figures { entries, files, bytes, .. } = self.figures;
        [
            ("size", bytes),
            ("max_size", if self.cache.max_size == u64::MAX { 0 } else { self.cache.max_size }),
            ("entries", entries),
            ("files", files),
        ]
    }
}

/// A table, below that of the servers.
pub(in crate::http) fn html(rows: &[Row<'_>], escape: impl Fn(&str) -> String) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let mut text =
        String::from("<h1>Caches</h1>\n<table style=\"background-color:white\">\n  <tr bgcolor=\"#C0C0C0\">\n");
    let names = first.numbers().into_iter().chain(first.requests()).map(|(name, _)| name);
    for name in ["Zone"].into_iter().chain(names) {
        let _ = writeln!(text, "    <th>{name}</th>");
    }
    text.push_str("  </tr>\n");
    for row in rows {
        let _ = writeln!(text, "  <tr>\n    <td>{}</td>", escape(&row.cache.zone.name));
        for (_, number) in row.numbers().into_iter().chain(row.requests()) {
            let _ = writeln!(text, "    <td>{number}</td>");
        }
        text.push_str("  </tr>\n");
    }
    text.push_str("</table>\n");
    text
}

/// The member `caches` of an object, a comma before it; nothing where there are none.
pub(in crate::http) fn json(rows: &[Row<'_>], escape: impl Fn(&str) -> String) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let row = |row: &Row<'_>| {
        let members = |pairs: &mut dyn Iterator<Item = (&'static str, u64)>| {
            pairs.map(|(name, number)| format!("\"{name}\": {number}")).collect::<Vec<_>>().join(", ")
        };
        format!(
            "\n  {{\"zone\": \"{}\", \"cold\": {}, {}, \"requests\": {{{}}}}}",
            escape(&row.cache.zone.name),
            !row.figures.loaded,
            members(&mut row.numbers().into_iter()),
            members(&mut row.requests()),
        )
    };
    format!(", \"caches\": [{}\n]", rows.iter().map(row).collect::<Vec<_>>().join(","))
}

/// Series of Prometheus' text format.
pub(in crate::http) fn prometheus(rows: &[Row<'_>], escape: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    let Some(first) = rows.first() else { return text };
    let helps = [
        ("bytes", "What the files take from the disk."),
        ("max_bytes", "What they may take; 0: all there is."),
        ("entries", "Keys that are known."),
        ("files", "Keys that have files."),
    ];
    for (at, (name, help)) in helps.iter().enumerate().take(first.numbers().len()) {
        let _ = writeln!(text, "# HELP weir_cache_{name} {help}\n# TYPE weir_cache_{name} gauge");
        for row in rows {
            let _ = writeln!(
                text,
                "weir_cache_{name}{{zone=\"{}\"}} {}",
                escape(&row.cache.zone.name),
                row.numbers()[at].1
            );
        }
    }
    text.push_str("# HELP weir_cache_requests_total Requests by how they were served.\n# TYPE weir_cache_requests_total counter\n");
    for row in rows {
        for (status, number) in row.requests() {
            let zone = escape(&row.cache.zone.name);
            let _ = writeln!(text, "weir_cache_requests_total{{zone=\"{zone}\",status=\"{status}\"}} {number}");
        }
    }
    text
}
