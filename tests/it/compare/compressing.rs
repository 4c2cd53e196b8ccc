//! `gzip`: what is compressed, what becomes of its fields, and when the client gets it.

use super::Theme;
use super::case::{Case, ask, get_with, head};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off; types { text/html html; text/plain txt; image/png png; }
            gzip on; gzip_types text/plain text/event-stream; gzip_vary on; gzip_min_length 20;
            server { listen {listen}; root html; proxy_http_version 1.1;
                location / { }
                location /up { proxy_pass http://{up}; }
                location /v10 { proxy_pass http://{up}; proxy_http_version 1.0; }
                location /unbuffered { proxy_pass http://{up}; proxy_buffering off; }
                location /held { proxy_pass http://{up}; proxy_read_timeout 200ms; }
                location /held-unbuffered { proxy_pass http://{up}; proxy_buffering off; proxy_read_timeout 200ms; }
                location /off { gzip off; proxy_pass http://{up}; }
                location /novary { gzip_vary off; proxy_pass http://{up}; }
                location /any { gzip_types *; proxy_pass http://{up}; }
                location /old { gzip_http_version 1.0; proxy_pass http://{up}; }
                location /proxied/any { gzip_proxied any; proxy_pass http://{up}; } location /proxied/off { gzip_proxied off; proxy_pass http://{up}; }
                location /proxied/expired { gzip_proxied expired; proxy_pass http://{up}; } location /proxied/no-cache { gzip_proxied no-cache no-store private; proxy_pass http://{up}; }
                location /proxied/none { gzip_proxied no_last_modified no_etag; proxy_pass http://{up}; } location /proxied/auth { gzip_proxied auth; proxy_pass http://{up}; }
                location /disabled { gzip_disable msie6 \"curl/7\"; proxy_pass http://{up}; }
                location /expires/ { alias html/; gzip_proxied expired; expires -1; } location /fresh/ { alias html/; gzip_proxied expired; expires 1h; }
                location /return { default_type text/plain; return 200 \"some text that is long enough\"; } location /short { default_type text/plain; return 200 short; }
                location /error { return 404; } location /moved { return 301 /a/path/that/is/long/enough/to/be/compressed; }
                location /added { alias html/; add_header Vary Accept; add_header ETag '\"own\"'; add_trailer X-Trailer t; }
                location /last { return 200 last; } }",
        files: vec![
            ("html/page.html", "<p>a page that is long enough</p>".into()),
            ("html/text.txt", "a text that is long enough to be compressed\n".repeat(5)),
            ("html/large.txt", "a text that is long enough to be compressed\n".repeat(5000)),
            ("html/short.txt", "short".into()),
            ("html/image.png", "not an image, but it has the name of one".into()),
        ],
        cases: cases(),
    }
}

const GZIP: &str = "Accept-Encoding: gzip\r\n";
const TEXT: &str = "a text that is long enough to be compressed";

fn answer(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{fields}Content-Length: {}\r\n\r\n{TEXT}", TEXT.len())
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in [
        "/page.html",
        "/text.txt",
        "/large.txt",
        "/short.txt",
        "/image.png",
        "/return",
        "/short",
        "/error",
        "/moved",
        "/expires/text.txt",
        "/fresh/text.txt",
        "/nope",
        "/added/text.txt",
    ] {
        for fields in [
            "",
            GZIP,
            "Accept-Encoding: gzip\r\nVia: 1.1 x\r\n",
            "Accept-Encoding: gzip\r\nRange: bytes=2-5\r\n",
            "Accept-Encoding: gzip\r\nVia: x\r\nRange: bytes=2-5\r\n",
            "Accept-Encoding: gzip\r\nRange: bytes=2-5\r\nIf-Range: \"5f5e1000-dc\"\r\n",
        ] {
            cases.push(get_with(target, fields));
        }
        cases.push(ask("HEAD", target, GZIP, ""));
    }
    for fields in [
        "If-None-Match: \"5f5e1000-dc\"\r\n",
        "If-None-Match: W/\"5f5e1000-dc\"\r\n",
        "If-Match: W/\"5f5e1000-dc\"\r\n",
        "If-Modified-Since: Sun, 13 Sep 2020 12:26:40 GMT\r\n",
    ] {
        let case = get_with("/text.txt", &format!("{GZIP}{fields}"));
        cases.push(case.differs_where(fields.starts_with("If-Match"), "kept-after-412"));
    }
    for accepted in [
        "gzip;q=0",
        "gzip;q=0.5",
        "*",
        "deflate",
        "GZIP",
        "x-gzip",
        "identity, gzip;q=0.001",
        "gzip;q=1.0, gzip;q=0",
        "gzip ;q=0",
        "br,gzip",
    ] {
        cases.push(get_with("/text.txt", &format!("Accept-Encoding: {accepted}\r\n")));
    }
    cases.push(super::case::raw("GET /text.txt HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"));
    cases.push(super::case::raw("GET /old HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n").up(&[answer("")]));
    cases.push(
        super::case::raw("GET /old HTTP/1.0\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n")
            .up(&[answer("")]),
    );
    for agent in [
        "Mozilla/4.0 (compatible; MSIE 6.0)",
        "Mozilla/4.0 (compatible; MSIE 6.0; SV1)",
        "curl/7.0",
        "curl/8",
        "Mozilla/4.0 (compatible; MSIE 5.5)",
    ] {
        cases.push(get_with("/disabled", &format!("{GZIP}User-Agent: {agent}\r\n")).up(&[answer("")]));
    }
    // Answers of servers.
    for fields in [
        "",
        "ETag: \"e\"\r\n",
        "ETag: W/\"e\"\r\n",
        "ETag: e\r\n",
        "Vary: Accept\r\n",
        "Vary: Accept-Encoding\r\n",
        "Vary: *\r\n",
        "Content-Encoding: br\r\n",
        "Content-Encoding: identity\r\n",
        "Content-Encoding:\r\n",
        "Accept-Ranges: bytes\r\n",
        "Cache-Control: no-transform\r\n",
        "Last-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\n",
        "Content-MD5: x\r\n",
        "Content-Range: bytes 0-1/5\r\n",
    ] {
        for target in ["/up", "/unbuffered", "/off", "/novary", "/any"] {
            cases.push(get_with(target, GZIP).up(&[answer(fields)]));
        }
        cases.push(get_with("/up", "").up(&[answer(fields)]));
        cases.push(ask("HEAD", "/up", GZIP, "").up(&[answer(fields)]));
    }
    for head in [
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n",
        "HTTP/1.1 404 Gone\r\nContent-Type: text/plain\r\n",
        "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\n",
        "HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n",
        "HTTP/1.1 206 Part\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-42/100\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: TEXT/PLAIN\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plainer\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html ;x\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; x=y\r\n",
    ] {
        let answer = format!("{head}Content-Length: {}\r\n\r\n{TEXT}", TEXT.len());
        for target in ["/up", "/any"] {
            let case = get_with(target, GZIP).up(&[&answer]);
            cases.push(case.differs_where(target == "/up" && head.contains("text/html"), "parameters-of-types"));
        }
    }
    // Pieces.
    let plain = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n";
    for head in [plain, events] {
        let chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n|7\r\ndata: 2\r\n|");
        let close = format!("{head}\r\ndata: 1\n\n|data: 2\n\n|");
        let known = format!("{head}Content-Length: 27\r\n\r\ndata: 1\n\n|data: 2\n\n|");
        for target in ["/up", "/unbuffered", "/v10"] {
            let ask = |answer: String| get_with(target, GZIP).up(&[answer]);
            cases.push(ask(format!("pieces:{chunks}0\r\n\r\n")).differs("length-of-chunks-in-logs"));
            cases.push(ask(format!("pieces:{close}data: 3\n\n")));
            cases.push(ask(format!("pieces:{known}data: 3\n\n")));
        }
        // What is there when the server has stopped in the middle.
        for target in ["/held", "/held-unbuffered"] {
            let ask = |fields: &str, answer: &str| {
                let case = get_with(target, fields).up(&[format!("hold:{}", answer.replace('|', ""))]);
                case.differs("completion-of-cut-answers")
            };
            let held = target == "/held";
            cases.push(ask(GZIP, &chunks).differs("length-of-chunks-in-logs"));
            cases.push(ask(GZIP, &known).differs_where(held, "partial-buffers"));
            cases.push(ask("", &known).differs_where(held, "partial-buffers"));
        }
    }
    for fields in [
        "",
        "Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n",
        "Expires: Thu, 31 Dec 2099 23:59:59 GMT\r\n",
        "Expires: 0\r\n",
        "Cache-Control: no-cache\r\n",
        "Cache-Control: no-store, max-age=1\r\n",
        "Cache-Control: private\r\n",
        "Cache-Control: max-age=1\r\n",
        "ETag: \"e\"\r\n",
        "Last-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\n",
        "Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\nCache-Control: private\r\n",
        "Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\n",
    ] {
        for target in ["any", "off", "expired", "no-cache", "none", "auth"] {
            cases.push(get_with(&format!("/proxied/{target}"), &format!("{GZIP}Via: 1.1 x\r\n")).up(&[answer(fields)]));
        }
    }
    cases.push(get_with("/proxied/auth", &format!("{GZIP}Via: 1.1 x\r\nAuthorization: x\r\n")).up(&[answer("")]));
    cases.push(head("/up").up(&[answer("")]));
    cases
}
