//! `tcp_check_status`: a page of all checked peers, for people and for scripts.

use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;

use super::cache::{Cache, figures};
use super::request::Request;
use super::response::Response;
use crate::upstream::checks::{Board, Status as Row};

fn word(row: &Row<'_>) -> &'static str {
    if row.up { "up" } else { "down" }
}

/// What the old module prints as the name of its shared memory; ours has none of its own.
const SHM_NAME: &str = "weir";

/// Answers with the page in the form that the arguments ask for: `format=html|json|csv|prometheus`, `status=up|down`.
/// Caches are told of in all forms but CSV.
pub(super) fn answer(request: &Request, board: &Board, caches: &[Rc<Cache>]) -> Response {
    let rows: Vec<Row> = board.status().collect();
    page(request, &rows, &figures::rows(caches))
}

fn page(request: &Request, rows: &[Row<'_>], caches: &[figures::Row<'_>]) -> Response {
    let tokens = request.location.server_tokens;
    if !matches!(request.method(), b"GET" | b"HEAD") {
        return Response::page(405, tokens);
    }
    let args = request.args.as_deref().unwrap_or_default();
    let argument = |name: &str| {
        let mut pairs = args.split(|byte| *byte == b'&').filter_map(|pair| pair.split_at_checked(name.len() + 1));
        pairs
            .find(|(start, _)| start[..name.len()] == *name.as_bytes() && start[name.len()] == b'=')
            .map(|(_, value)| value)
    };
    let chosen: Vec<Row> = match argument("status") {
        Some(b"up") => rows.iter().filter(|row| row.up).copied().collect(),
        Some(b"down") => rows.iter().filter(|row| !row.up).copied().collect(),
        _ => rows.to_vec(),
    };
    let (content_type, text) = match argument("format") {
        Some(b"json") => ("application/json", json(&chosen, caches)),
        Some(b"csv") => ("text/csv; charset=utf-8", csv(&chosen)),
        Some(b"prometheus") => (
            "text/plain; version=0.0.4; charset=utf-8",
            prometheus(&chosen) + &figures::prometheus(caches, escape_label),
        ),
        _ => ("text/html; charset=utf-8", html(&chosen, caches)),
    };
    Response::text(200, content_type, text.into_bytes())
}

const COLUMNS: [&str; 8] =
    ["Index", "Name", "Status", "Busyness", "Rise counts", "Fall counts", "Access counts", "Check type"];

/// The table that scripts scrape: columns, their order and `up`/`down` are those of the old module.
fn html(rows: &[Row<'_>], caches: &[figures::Row<'_>]) -> String {
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n  <meta charset=\"utf-8\">\n  <title>weir: upstream servers</title>\n\
         \x20 <style>\n    body {{ font-family: sans-serif; margin: 2em; }}\n    table {{ border-collapse: collapse; }}\n    \
         th, td {{ border: 1px solid #999; padding: 0.3em 0.8em; text-align: left; }}\n  </style>\n</head>\n<body>\n\
         <h1>Check upstream server number: {}, shm_name: {SHM_NAME}</h1>\n\
         <table style=\"background-color:white\">\n  <tr bgcolor=\"#C0C0C0\">\n",
        rows.len()
    );
    for column in COLUMNS {
        let _ = writeln!(text, "    <th>{column}</th>");
    }
    text.push_str("  </tr>\n");
    for row in rows {
        text.push_str(if row.up { "  <tr>\n" } else { "  <tr bgcolor=\"#FF0000\">\n" });
        let _ = writeln!(text, "    <td>{}</td>", row.index);
        let _ = writeln!(text, "    <td>{}</td>", escape_html(row.name));
        let _ = writeln!(text, "    <td>{}</td>", word(row));
        for count in [u64::from(row.busyness), row.rises, row.falls, row.accesses] {
            let _ = writeln!(text, "    <td>{count}</td>");
        }
        let _ = writeln!(text, "    <td>{}</td>\n  </tr>", row.kind);
    }
    text.push_str("</table>\n");
    text.push_str(&figures::html(caches, escape_html));
    text.push_str("</body>\n</html>\n");
    text
}

fn json(rows: &[Row<'_>], caches: &[figures::Row<'_>]) -> String {
    let up = rows.iter().filter(|row| row.up).count();
    let mut text = format!(
        "{{\"servers\": {{\n  \"total\": {},\n  \"up\": {up},\n  \"down\": {},\n  \"server\": [",
        rows.len(),
        rows.len() - up
    );
    for (number, row) in rows.iter().enumerate() {
        let Row { index, group, name, busyness, rises, falls, accesses, kind, .. } = row;
        let _ = write!(
            text,
            "{}\n    {{\"index\": {index}, \"upstream\": \"{}\", \"name\": \"{}\", \"status\": \"{}\", \"busyness\": {busyness}, \
             \"rise\": {rises}, \"fall\": {falls}, \"access\": {accesses}, \"type\": \"{kind}\"}}",
            if number > 0 { "," } else { "" },
            escape_json(group),
            escape_json(name),
            word(row),
        );
    }
    let _ = writeln!(text, "\n  ]\n}}{}}}", figures::json(caches, escape_json));
    text
}

fn csv(rows: &[Row<'_>]) -> String {
    let mut text = String::new();
    for row in rows {
        let Row { index, group, name, busyness, rises, falls, accesses, kind, .. } = row;
        let (upstream, name) = (quote_csv(group), quote_csv(name));
        let _ = writeln!(text, "{index},{upstream},{name},{},{busyness},{rises},{falls},{accesses},{kind}", word(row));
    }
    text
}

fn prometheus(rows: &[Row<'_>]) -> String {
    type Value = fn(&Row<'_>) -> u64;
    let metrics: [(&str, &str, &str, Value); 5] = [
        ("up", "gauge", "Whether checks let the server be used.", |row| u64::from(row.up)),
        ("busyness", "gauge", "Sessions now open.", |row| u64::from(row.busyness)),
        ("rise", "gauge", "Probes in a row that were passed.", |row| row.rises),
        ("fall", "gauge", "Probes in a row that failed.", |row| row.falls),
        ("access_total", "counter", "Sessions there ever were.", |row| row.accesses),
    ];
    let labels = labels(rows);
    let mut text = String::new();
    for (metric, kind, help, value) in metrics {
        let _ =
            writeln!(text, "# HELP weir_upstream_server_{metric} {help}\n# TYPE weir_upstream_server_{metric} {kind}");
        for (row, labels) in rows.iter().zip(&labels) {
            let _ = writeln!(text, "weir_upstream_server_{metric}{{{labels}}} {}", value(row));
        }
    }
    text
}

/// The labels of each row. The index is not among them: it moves when other servers come and go. Servers that are equal in all else, as lines
/// that are said twice, are told apart by `nth`, as no two series may have the same labels.
fn labels<'a>(rows: &'a [Row<'a>]) -> Vec<String> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    let labels = |row: &'a Row<'a>| {
        let nth = seen.entry((row.group, row.name)).or_default();
        *nth += 1;
        let (upstream, name) = (escape_label(row.group), escape_label(row.name));
        let twin = if *nth > 1 { format!(",nth=\"{nth}\"") } else { String::new() };
        format!("upstream=\"{upstream}\",name=\"{name}\",type=\"{}\"{twin}", row.kind)
    };
    rows.iter().map(labels).collect()
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// For labels of Prometheus' text format, which has no escapes but these.
fn escape_label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// For strings of JSON (RFC 8259 7).
fn escape_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn quote_csv(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Head;
    use crate::http::output::Piece;
    use std::time::Instant;

    const ROWS: [Row; 2] = [
        Row {
            index: 0,
            group: "game",
            name: "10.0.0.1:80",
            up: true,
            busyness: 3,
            rises: 7,
            falls: 0,
            accesses: 12,
            kind: "tcp",
        },
        Row {
            index: 1,
            group: "chat, \"old\"",
            name: "unix:/a<b>&c",
            up: false,
            busyness: 0,
            rises: 0,
            falls: 2,
            accesses: 5,
            kind: "http",
        },
    ];

    fn get(method: &str, query: &str) -> (u16, String, String) {
        let server = Rc::new(super::super::level::server_of(""));
        let head = Head::parse(format!("{method} /status HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        let mut request = Request::new(head, &server, Instant::now());
        request.args = Some(query.into());
        let response = super::page(&request, &ROWS, &[]);
        let text = response.body.into_iter().map(|piece| match piece {
            Piece::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            Piece::File { .. } | Piece::Gzip(_) => unreachable!(),
        });
        (response.status, String::from_utf8(response.content_type.unwrap()).unwrap(), text.collect())
    }

    #[test]
    fn the_table_has_the_columns_of_the_old_module() {
        let (status, content_type, text) = get("GET", "");
        assert_eq!((status, content_type.as_str()), (200, "text/html; charset=utf-8"));
        assert!(text.contains("Check upstream server number: 2, shm_name: weir<"), "{text}");
        let cells = |tag: &str| -> Vec<String> {
            let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
            text.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned()).collect()
        };
        assert_eq!(cells("th"), COLUMNS);
        let first = ["0", "10.0.0.1:80", "up", "3", "7", "0", "12", "tcp"];
        let second = ["1", "unix:/a&lt;b&gt;&amp;c", "down", "0", "0", "2", "5", "http"];
        assert_eq!(cells("td"), [first, second].concat());
        assert_eq!(text.matches("bgcolor=\"#FF0000\"").count(), 1);
    }

    #[test]
    fn other_forms() {
        let (_, content_type, text) = get("GET", "x=1&format=json");
        assert_eq!(content_type, "application/json");
        assert!(text.contains("\"total\": 2,\n  \"up\": 1,\n  \"down\": 1"), "{text}");
        assert!(text.contains("\"upstream\": \"chat, \\\"old\\\"\""), "{text}");
        let (_, _, text) = get("GET", "format=csv");
        assert_eq!(
            text,
            "0,game,10.0.0.1:80,up,3,7,0,12,tcp\n1,\"chat, \"\"old\"\"\",unix:/a<b>&c,down,0,0,2,5,http\n"
        );
        let (_, content_type, text) = get("GET", "format=prometheus&status=up");
        assert!(content_type.starts_with("text/plain; version=0.0.4"));
        let line = "weir_upstream_server_up{upstream=\"game\",name=\"10.0.0.1:80\",type=\"tcp\"} 1\n";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("chat"));
    }

    #[test]
    fn no_two_series_have_the_same_labels() {
        let twins = [ROWS[0], ROWS[1], ROWS[0]];
        let first = "upstream=\"game\",name=\"10.0.0.1:80\",type=\"tcp\"";
        let expected = [first, "upstream=\"chat, \\\"old\\\"\",name=\"unix:/a<b>&c\",type=\"http\""];
        assert_eq!(labels(&twins), [expected[0], expected[1], &format!("{first},nth=\"2\"")]);
    }

    #[test]
    fn names_are_escaped_as_each_form_demands() {
        let text = "a\t\"b\\\n";
        assert_eq!(escape_label(text), "a\t\\\"b\\\\\\n");
        assert_eq!(escape_json(text), "a\\u0009\\\"b\\\\\\n");
    }

    #[test]
    fn filters_and_methods() {
        assert_eq!(get("GET", "status=down&format=csv").2.lines().count(), 1);
        assert!(get("GET", "status=down").2.contains("number: 1,"));
        assert_eq!(get("HEAD", "").0, 200);
        assert_eq!(get("POST", "").0, 405);
    }
}
