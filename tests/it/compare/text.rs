//! What may differ between any two programs is taken out of what they say: names, dates, times, process numbers.

use std::io::{ErrorKind, Read};

use super::client::{Answer, Heard};
use super::sides::Program;

/// Fields `name=value;` of the access log. The first is the client's address, by which a line finds its case.
pub const LOG_FORMAT: &str = "$realip_remote_addr;status=$status;request=$request;method=$request_method;uri=$uri;args=$args;\
    is_args=$is_args;query_string=$query_string;request_uri=$request_uri;host=$host;http_host=$http_host;server_name=$server_name;\
    server_port=$server_port;server_addr=$server_addr;scheme=$scheme;https=$https;protocol=$server_protocol;content_length=$content_length;\
    content_type=$content_type;request_length=$request_length;bytes=$bytes_sent/$body_bytes_sent;requests=$connection_requests;\
    pipe=$pipe;completion=$request_completion;user=$remote_user;addr=$remote_addr;referer=$http_referer;agent=$http_user_agent;x_a=$http_x_a;\
    arg_a=$arg_a;cookie_a=$cookie_a;root=$document_root;filename=$request_filename;realpath=$realpath_root;\
    up=$upstream_addr;up_status=$upstream_status;up_length=$upstream_response_length;up_sent=$upstream_bytes_sent;\
    up_received=$upstream_bytes_received;up_x=$upstream_http_x_up;\
    proxy_host=$proxy_host;proxy_port=$proxy_port;xff=$proxy_add_x_forwarded_for;\
    sent_type=$sent_http_content_type;sent_location=$sent_http_location;\
    sent_te=$sent_http_transfer_encoding;sent_keep_alive=$sent_http_keep_alive;sent_etag=$sent_http_etag;\
    sent_lm=$sent_http_last_modified;request_time=$request_time;up_time=$upstream_response_time;\
    up_connect=$upstream_connect_time;up_header=$upstream_header_time;";

/// Replaces all occurrences in bytes.
pub fn replace(text: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Replaces all occurrences of a number that are no parts of longer ones.
pub fn replace_number(text: &str, number: &str, with: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(number) {
        let (before, behind) = (&rest[..at], &rest[at + number.len()..]);
        let part = before.ends_with(|c: char| c.is_ascii_digit()) || behind.starts_with(|c: char| c.is_ascii_digit());
        out.push_str(before);
        out.push_str(if part { number } else { with });
        rest = behind;
    }
    out + rest
}

/// What both programs call themselves, the longer name first.
const NAMES: [&str; 4] = ["nginx/1.22.1", concat!("weir/", env!("CARGO_PKG_VERSION")), "nginx", "weir"];

/// An answer with the program's name, its length and the date exchanged for words.
pub fn answer(answer: &Answer, program: Program) -> String {
    let head = String::from_utf8_lossy(&answer.head);
    let chunked = head.contains("\r\nTransfer-Encoding: chunked\r\n");
    let body = if chunked { content_of_chunks(&answer.body) } else { answer.body.clone() };
    let body = if head.contains("\r\nContent-Encoding: gzip\r\n") { inflated(&body) } else { body };
    let mut body = String::from_utf8_lossy(&body).into_owned();
    for name in NAMES {
        body = body.replace(&format!("<hr><center>{name}</center>"), "<hr><center>{program}</center>");
    }
    let named = body.contains("<center>{program}</center>");
    // HEAD of a page tells the length of what has a program's name in it.
    let page_of_head = answer.to_head
        && head.get(9..10).is_some_and(|digit| digit >= "3")
        && head.contains("Content-Type: text/html\r\n");
    let mut lines = Vec::new();
    let mut boundary = None;
    for line in head.trim_end_matches("\r\n").split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        let line = match name {
            "Server" if NAMES.contains(&value) => "Server: {program}".into(),
            "Date" | "Expires" if value.len() == 29 && value.ends_with("GMT") && !value.contains("1970") => {
                format!("{name}: {{date}}")
            }
            "Content-Length" if named && value == answer.body.len().to_string() => "Content-Length: {length}".into(),
            // No page is shorter than this.
            "Content-Length" if page_of_head && value.parse().is_ok_and(|length: usize| length > 100) => {
                let length = value.parse::<usize>().unwrap_or_default();
                let name = if program == Program::Nginx { 5 } else { 4 };
                format!("Content-Length: {} + {{program}}", length - name)
            }
            "Content-Type" if value.starts_with("multipart/byteranges; boundary=") => {
                boundary = value.split_once("boundary=").map(|(_, boundary)| boundary.to_owned());
                "Content-Type: multipart/byteranges; boundary={boundary}".into()
            }
            _ => line.to_owned(),
        };
        lines.push(line);
    }
    if let Some(boundary) = boundary {
        body = body.replace(&boundary, "{boundary}");
    }
    let cut = if answer.cut { "\n(cut)" } else { "" };
    format!("{}\n\n{}{cut}", lines.join("\n"), body.escape_debug())
}

/// What a compressed body holds, and what follows it: programs need not compress in the same way. Other bodies as they are.
fn inflated(body: &[u8]) -> Vec<u8> {
    let mut rest = body;
    let mut content = Vec::new();
    match flate2::bufread::GzDecoder::new(&mut rest).read_to_end(&mut content) {
        Ok(_) => [&content, rest].concat(),
        // Of one that ends early, what can be known.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => [&content, &b" (more)"[..]].concat(),
        Err(_) => body.to_vec(),
    }
}

/// What chunks hold, and what follows them: their sizes depend on when pieces came.
fn content_of_chunks(body: &[u8]) -> Vec<u8> {
    let (mut content, mut rest) = (Vec::new(), body);
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        match size {
            Some(size @ 1..) if rest.len() >= end + size + 4 => {
                content.extend_from_slice(&rest[end + 2..end + 2 + size]);
                rest = &rest[end + size + 4..];
            }
            _ => break,
        }
    }
    [&content, &b"|"[..], rest].concat()
}

/// The fields of a line, one below the other.
pub fn access_line(line: &str) -> String {
    let fields = line.split(';').filter(|field| !field.starts_with("bytes="));
    let field = |field: &str| match field.split_once('=') {
        Some((name @ ("request_time" | "up_time" | "up_connect" | "up_header"), value)) => {
            format!("{name}={}", value.replace(|c: char| c.is_ascii_digit(), "").replace('.', "{time}"))
        }
        Some((" boundary", _)) => " boundary={boundary}".into(),
        _ => field.to_owned(),
    };
    fields.skip(1).map(field).collect::<Vec<_>>().join("\n")
}

/// Whether the log tells of as many bytes as came, of all and of the heads.
pub fn bytes_sent(lines: &[&String], heard: &Heard) -> String {
    let field = |line: &&String| {
        let bytes = line.split(";bytes=").nth(1)?.split(';').next()?;
        let (all, body) = bytes.split_once('/')?;
        Some((all.parse::<i64>().ok()?, body.parse::<i64>().ok()?))
    };
    let logged: Vec<(i64, i64)> = lines.iter().filter_map(field).collect();
    let all: i64 = logged.iter().map(|(all, _)| all).sum();
    let heads: i64 = logged.iter().map(|(all, body)| all - body).sum();
    let rest = heard.rest.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    let came = heard.answers.iter().map(|answer| answer.head.len()).sum::<usize>() + rest;
    format!(
        "{} lines, bytes logged and not come: {}, of heads: {}",
        lines.len(),
        all - heard.total as i64,
        heads - came as i64
    )
}

/// Level and message of a line, without what no two runs have in common; `None` for what only tells that a client has left.
pub fn error_line(line: &str) -> Option<String> {
    let (_, line) = line.split_once(" [")?;
    let (level, line) = line.split_once("] ")?;
    let (_, message) = line.split_once(": *")?;
    let (_, message) = message.split_once(' ')?;
    // nginx names its temporary files.
    let message = match message.split_once(" temporary file /") {
        Some((before, after)) => format!("{before} temporary file{}", &after[after.find(',').unwrap_or(after.len())..]),
        None => message.to_owned(),
    };
    // How much a limit is exceeded by depends on the time between two requests.
    let message = match message.split_once("excess: ") {
        Some((before, after)) => {
            format!("{before}excess: {{number}}{}", &after[after.find(',').unwrap_or(after.len())..])
        }
        None => message,
    };
    Some(format!("[{level}] {message}"))
}
