//! `proxy_pass`: what the server behind is sent, and what becomes of its answer.

use super::Theme;
use super::case::{Case, ask, get, get_with, head, post, raw};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off;
            upstream group { server {up}; } upstream kept { server {up}; keepalive 4; }
            server { listen {listen}; server_name main;
                location / { proxy_pass http://{up}; }
                location /slash/ { proxy_pass http://{up}/; }
                location /path/ { proxy_pass http://{up}/other/path; }
                location = /exact { proxy_pass http://{up}/replaced; }
                location ~ ^/regex/(.*)$ { proxy_pass http://{up}; }
                location ~ ^/captured/(?<rest>.*)$ { proxy_pass http://{up}/c/$rest$is_args$args; }
                location /group/ { proxy_pass http://group; }
                location /kept/ { proxy_pass http://kept/; proxy_http_version 1.1; proxy_set_header Connection \"\"; }
                location /v11/ { proxy_pass http://{up}/; proxy_http_version 1.1; }
                location /fields/ { proxy_pass http://{up}/; proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
                    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Empty \"\"; proxy_set_header X-A own;
                    proxy_set_header Accept-Encoding \"\"; proxy_set_header X-Port $proxy_port; proxy_set_header X-Host $proxy_host; }
                location /nofields/ { proxy_pass http://{up}/; proxy_pass_request_headers off; }
                location /method/ { proxy_pass http://{up}/; proxy_method PUT; }
                location /head/ { proxy_pass http://{up}/; proxy_method HEAD; }
                location /framed/ { proxy_pass http://{up}/; proxy_set_header Transfer-Encoding identity; }
                location /args/ { set $args u=$uri; proxy_pass http://{up}; }
                location /rewritten/ { rewrite ^/rewritten/(.*)$ /new/$1?added=1 break; proxy_pass http://{up}/ignored/; }
                location /hidden/ { proxy_pass http://{up}/; proxy_hide_header X-Up; proxy_pass_header Server; proxy_pass_header Date; }
                location /redirect/ { proxy_pass http://{up}/one/; }
                location /redirect-off/ { proxy_pass http://{up}/one/; proxy_redirect off; }
                location /redirect-own/ { proxy_pass http://{up}/one/; proxy_redirect default; proxy_redirect http://other/ /here/; proxy_redirect / /sub/; }
                location /relative/ { proxy_pass http://{up}/one/; absolute_redirect off; }
                location /unbuffered/ { proxy_pass http://{up}/; proxy_buffering off; }
                location /internal { internal; proxy_pass http://{up}; }
                location /last { return 200 last; } }",
        files: vec![("html/index.html", String::new())],
        cases: cases(),
    }
}

const REDIRECTS: &[&str] = &["/redirect/", "/redirect-off/", "/redirect-own/", "/relative/"];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in [
        "/",
        "/a%20b?c=d",
        "/a//b/../c",
        "/slash/",
        "/slash/a%20b?x",
        "/slash",
        "/framed/",
        "/slash/%2e%2e%2fa",
        "/slash/a//b",
        "/path/",
        "/path/x?y",
        "/exact",
        "/exact?q",
        "/regex/a%2fb?c",
        "/captured/a%20b?c",
        "/captured/a%09b%0dc%01%7f",
        "/captured/",
        "/args/a%20b",
        "/args/ab",
        "/head/x",
        "/group/x",
        "/kept/x",
        "/v11/x",
        "/fields/x",
        "/nofields/x",
        "/method/x",
        "/rewritten/a%20b?q=1",
        "/hidden/",
        "/internal",
        "/slash/?",
        "/?",
        "/slash/%25",
        "/slash/%3f",
        "/slash/a+b%2Bc",
        "/slash/\u{e9}",
        "/slash/a%23b",
        "/slash/a;b=c,d",
    ] {
        cases.push(
            get(target)
                .differs_where(target.starts_with("/captured/a") || target == "/args/a%20b", "captures-in-targets")
                .differs_where(target == "/head/x", "length-without-body")
                .differs_where(target == "/framed/", "framing-by-configuration")
                .differs_where(target == "/hidden/", "own-server-and-date"),
        );
    }
    for method in ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "X"] {
        cases.push(ask(method, "/m", "", ""));
    }
    // Fields of requests.
    for fields in [
        "X-A: 1\r\nX-B: 2\r\nX-A: 3\r\n",
        "Accept-Encoding: gzip\r\nUser-Agent: x\r\nCookie: a=b\r\n",
        "X-Forwarded-For: 1.2.3.4\r\n",
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n",
        "Cookie: a=1\r\nCookie: b=2\r\n",
        "Authorization: Basic dXNlcjpwYXNz\r\n",
        "If-Modified-Since: x\r\nIf-None-Match: y\r\nRange: bytes=0-1\r\nIf-Range: z\r\n",
        "X-Odd:    blanks   \r\nx-lower: a\r\nX-Empty:\r\n",
    ] {
        for target in ["/f", "/fields/f"] {
            cases.push(get_with(target, fields).differs_where(fields.contains("X-A: 3"), "repeated-fields"));
        }
    }
    for fields in [
        "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
        "Connection: X-Hop\r\nX-Hop: 1\r\n",
        "TE: trailers\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "Trailer: x\r\n",
        "Proxy-Authorization: x\r\n",
    ] {
        let dropped = ["X-Hop", "Proxy-Connection", "Trailer"].iter().any(|name| fields.contains(name));
        cases.push(get_with("/hop", fields).differs_where(dropped, "hop-by-hop-fields"));
    }
    cases.push(raw("GET / HTTP/1.0\r\n\r\n"));
    cases.push(raw("GET http://other/x?y HTTP/1.1\r\nHost: a\r\n\r\n"));
    cases.push(raw("GET /fields/x HTTP/1.1\r\nHost: Upper.Case:8080\r\n\r\n"));
    cases.push(raw("GET / HTTP/1.1\nHost: a\n\n"));
    cases.push(get("/1").then("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").answers(2));
    cases.push(get("/kept/1").then("GET /kept/2 HTTP/1.1\r\nHost: a\r\n\r\n").answers(2));
    cases.push(post("/kept/p", "body"));
    // Answers.
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
        "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold",
        "HTTP/1.1 201 Very Created\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\ngone",
        "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops",
        "HTTP/1.1 299 Odd\r\nContent-Length: 3\r\n\r\nodd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
        "pieces:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na|bc\r\n|2\r\nde\r\n|0\r\n\r\n",
        "pieces:HTTP/1.1 200 OK\r\nContent-Le|ngth: 6\r\n\r|\nabc|def",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nServer: theirs\r\nDate: theirs\r\nX-Pad: 1\r\nX-Up: 2\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nETag: \"e\"\r\nAccept-Ranges: bytes\r\nCache-Control: no-cache\r\nExpires: Thu, 01 Jan 1970 00:00:01 GMT\r\nVary: x\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Language: en\r\nContent-Disposition: x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nX-Blank:    \r\nX-Tail: x   \r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nlf",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nUpgrade: h2c\r\nProxy-Connection: x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\nX-Accel-Charset: koi8\r\nX-Accel-Limit-Rate: 0\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 02\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n",
    ] {
        let interim = answer.starts_with("HTTP/1.1 1");
        for case in [
            get("/answer"),
            head("/answer"),
            raw("GET /answer HTTP/1.0\r\n\r\n"),
            get("/unbuffered/"),
            get("/kept/answer"),
            get("/hidden/"),
        ] {
            let (to_head, hidden) = (case.methods() == ["HEAD"], case.label().contains("/hidden/"));
            // nginx never comes to the end of the one; how much of a body that nobody reads comes with its head is a matter of time.
            if to_head && (interim || answer.starts_with("pieces:")) {
                continue;
            }
            cases.push(
                case.up(&[answer])
                    .differs_where(interim, "interim-answers")
                    .differs_where(hidden, "own-server-and-date")
                    .differs_where(answer.starts_with("HTTP/1.1 200\r"), "empty-reason")
                    .differs_where(answer.contains("chunked") && !to_head, "length-of-chunks-in-logs")
                    .differs_where(answer.contains("Trailer: ") || answer.contains("X-Hop"), "hop-by-hop-fields"),
            );
        }
    }
    for location in [
        "http://{up}/one/two?x",
        "http://{up}/one",
        "http://other/x",
        "/one/x",
        "/x",
        "x",
        "",
        "http://{up}",
        "https://{up}/one/",
        "//{up}/one/",
        "http://a:80/x",
    ] {
        for target in REDIRECTS {
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            cases.push(get(&format!("{target}a")).up(&[answer]));
        }
        let refresh = format!("HTTP/1.1 200 OK\r\nRefresh: 5; url={location}\r\nContent-Length: 0\r\n\r\n");
        cases.push(get("/redirect/a").up(&[refresh]));
    }
    cases
}
