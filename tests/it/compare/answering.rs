//! Answers of servers behind, and what configurations make of their fields.

use super::Theme;
use super::case::{Case, get, get_with, head, post, post_chunks, raw};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off; map $upstream_http_content_type $lifetime { default off; ~image max; text/css 1h; text/x epoch; }
            server { listen {listen}; server_name main;
                location / { proxy_pass http://{up}/; }
                location /hide/ { proxy_pass http://{up}/; proxy_hide_header Set-Cookie; proxy_hide_header X-Powered-By; proxy_pass_header X-Accel-Expires; proxy_pass_header X-Pad; }
                location /cookies/ { proxy_pass http://{up}/; proxy_cookie_domain app.internal $host; proxy_cookie_domain ~\\.(\\w+)\\.test$ .$1.example; proxy_cookie_path / /cookies/; proxy_cookie_flags session secure samesite=lax; proxy_cookie_flags ~^x nohttponly; }
                location /urls/ { proxy_pass http://{up}/app/; proxy_redirect ~^http://([^:/]+):\\d+/app/(.+)$ /urls/$1/$2; proxy_redirect ~*^(HTTPS?)://Old/ $1://new/; proxy_redirect default; proxy_redirect http://$proxy_host/ /; }
                location /expires/ { proxy_pass http://{up}/; expires $lifetime; add_header X-Type $upstream_http_content_type; add_header X-Cookie $upstream_cookie_session; add_header Cache-Control public; add_header Vary Origin; }
                location /always/ { proxy_pass http://{up}/; add_header X-Ok ok; add_header X-Always $upstream_status always; add_header Strict-Transport-Security \"max-age=1\" always; expires 1h; }
                location /ranges/ { proxy_pass http://{up}/; proxy_force_ranges on; }
                location /unchunked/ { proxy_pass http://{up}/; chunked_transfer_encoding off; }
                location /v11/ { proxy_pass http://{up}/; proxy_http_version 1.1; }
                location /body/ { proxy_pass http://{up}/; client_body_buffer_size 1k; proxy_http_version 1.1; }
                location /own/ { proxy_pass http://{up}/; proxy_method POST; proxy_set_body \"q=$arg_q\"; proxy_pass_request_headers off; }
                location /last { return 200 last; } }",
        files: vec![("html/index.html", String::new())],
        cases: cases(),
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for fields in [
        "Set-Cookie: session=1; Path=/; Domain=app.internal; HttpOnly\r\nSet-Cookie: x=2; path=/a; domain=.b.test; Secure; httponly\r\n",
        "Set-Cookie: plain=1\r\nSet-Cookie: x\r\nSet-Cookie: session=; Path=; Domain=\r\n",
        "set-cookie: SESSION=1;path=/;domain=APP.INTERNAL\r\n",
        "Set-Cookie: session=1; SameSite=Strict; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0\r\n",
        "Content-Type: image/png\r\nETag: \"x\"\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n",
        "Content-Type: text/css\r\nCache-Control: private\r\nExpires: 0\r\nPragma: no-cache\r\n",
        "Content-Type: text/x; charset=utf-8\r\nVary: Accept\r\nVary: Cookie\r\n",
        "Content-Type: a/b\r\nContent-Type: c/d\r\n",
        "Content-Type:\r\n",
        "Content-Type: text/html;charset=x; a=b\r\nContent-Encoding: gzip\r\nContent-Language: de\r\n",
        "Server: up/1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-Powered-By: y\r\nX-Pad: z\r\nX-Accel-Expires: 5\r\n",
        "Link: </a>; rel=preload\r\nLink: </b>; rel=preload\r\nAlt-Svc: h3\r\n",
        "Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n",
        "Transfer-Encoding: identity\r\n",
        "WWW-Authenticate: Basic realm=x\r\nWWW-Authenticate: Digest y\r\n",
        "X-Long: {long}\r\nX-UTF: gr\u{fc}n\r\nx-lower: a\r\nX-UPPER: B\r\nX-Odd:   blanks   \r\nX-Tab:\ta\tb\r\n",
        "Warning: 110 x\r\nAge: 5\r\nVia: 1.1 up\r\nContent-Disposition: attachment; filename=\"a b\"\r\n",
        "Refresh: 5; url=http://{up}/app/x\r\n",
        "Refresh: 5\r\n",
        "Refresh: 0;URL=/app/y\r\n",
    ] {
        let fields = fields.replace("{long}", &"v".repeat(1000));
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\nbody");
        for folder in ["", "hide/", "cookies/", "urls/", "expires/", "always/", "v11/"] {
            let strict = fields.contains("identity");
            let hop = fields.contains("X-Hop");
            let case = get(&format!("/{folder}x")).up(&[&answer]);
            cases.push(
                case.differs_where(strict, "strict-answers")
                    .differs_where(hop, "hop-by-hop-fields")
                    .differs_where(fields.contains("c/d") && folder == "expires/", "repeated-fields")
                    .differs_where(fields.contains("X-Tab"), "tabs-around-values"),
            );
        }
        if !fields.contains("identity") && !fields.contains("X-Hop") {
            for case in [head("/x"), raw("GET /x HTTP/1.0\r\n\r\n")] {
                cases.push(case.up(&[&answer]).differs_where(fields.contains("X-Tab"), "tabs-around-values"));
            }
        }
    }
    for to in [
        "http://{up}/app/a?b#c",
        "http://{up}/other",
        "http://host:8080/app/deep/er",
        "https://old/x",
        "HTTP://OLD/x",
        "/app/relative",
        "relative",
        "//other/x",
        "",
        "http://main/x",
        "/app/",
        "?query",
        "http://{up}",
        "http://other:80/",
    ] {
        for status in
            ["201 Created", "301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "200 OK"]
        {
            let answer = format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            cases.push(get("/urls/x").up(&[&answer]));
            if status.starts_with("30") {
                cases.push(get("/x").up(&[&answer]));
            }
        }
    }
    for status in [
        "100", "199", "200", "204", "205", "206", "226", "300", "304", "400", "401", "404", "409", "418", "422", "429",
        "451", "499", "500", "503", "511", "520", "599", "600", "777", "999",
    ] {
        for folder in ["always/", "unchunked/"] {
            if status.starts_with('1') {
                continue;
            }
            let body = if matches!(status, "204" | "304") { "" } else { "Content-Length: 4\r\n\r\nbody" };
            let end = if body.is_empty() { "\r\n" } else { "" };
            let answer = format!("HTTP/1.1 {status} Some Words\r\nX-Up: 1\r\n{body}{end}");
            cases.push(get(&format!("/{folder}x")).up(&[&answer]));
            cases.push(head(&format!("/{folder}x")).up(&[answer]));
        }
    }
    for target in ["/unchunked/x", "/x", "/v11/x"] {
        for answer in [
            "HTTP/1.1 200 OK\r\n\r\nuntil the end",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nold",
        ] {
            let chunked = answer.contains("chunked");
            for case in [
                get(target),
                head(target),
                get_with(target, "Connection: close\r\n"),
                raw(format!("GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")),
            ] {
                let counted = chunked && case.methods() != ["HEAD"];
                cases.push(case.up(&[answer]).differs_where(counted, "length-of-chunks-in-logs"));
            }
        }
    }
    for range in ["bytes=0-1", "bytes=-3", "bytes=2-", "bytes=0-1,4-5", "bytes=50-", "bytes=x", "bytes=0-1,3-3,5-"] {
        for fields in ["", "If-Range: \"e\"\r\n", "If-Range: \"f\"\r\n"] {
            let asked = format!("Range: {range}\r\n{fields}");
            for answer in [
                "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Type: a/b\r\nContent-Length: 10\r\n\r\n0123456789",
                "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n0123456789",
                "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-1/10\r\nContent-Length: 2\r\n\r\n01",
                "HTTP/1.1 404 None\r\nContent-Length: 10\r\n\r\n0123456789",
            ] {
                cases.push(get_with("/ranges/x", &asked).up(&[answer]));
            }
        }
    }
    for size in [10, 1000, 1024, 1025, 5000, 70_000] {
        // More than nginx reads with the head.
        let filed = size == 5000;
        let body = "b".repeat(size);
        let chunks = post_chunks("/body/x", &format!("{size:x}\r\n{body}\r\n0\r\n\r\n"));
        cases.extend([post("/body/x", &body), chunks].map(|case| case.differs_where(filed, "files-of-bodies")));
    }
    for target in ["/own/x?q=a%20b", "/own/x"] {
        cases.push(get_with(target, "X-A: 1\r\nCookie: b\r\n"));
        cases.push(post(target, "body"));
    }
    cases
}
