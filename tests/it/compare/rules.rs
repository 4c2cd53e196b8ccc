//! Directives that change requests and answers, or refuse them.

use super::Theme;
use super::case::{Case, ask, get, get_with, head, post, raw};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off;
            limit_req_zone $arg_key zone=req:1m rate=1r/m; limit_req_zone $arg_slow zone=slow:1m rate=4r/s;
            limit_conn_zone $arg_key zone=conn:1m;
            map $arg_a $mapped { default none; x exact; ~^r(?<rest>.*)$ regex-$rest; ~*^I insensitive; \"\" empty; *.end suffix; begin.* prefix; }
            map $http_host $hosted { hostnames; default none; .example.com domain; *.test.org left; www.* right; a plain; }
            map \"$arg_a:$arg_b\" $both { \"1:2\" yes; volatile; default \"$arg_b-$arg_a\"; }
            geo $remote_addr $far { default far; 127.0.0.0/8 loop; 127.1.0.0/16 near; }
            geo $arg_a $placed { ranges; default out; 10.0.0.0-10.0.0.9 low; 10.0.0.10-10.0.0.255 high; }
            geo $arg_a $net { default out; 10.0.0.0/8 ten; 10.1.0.0/16 inner; 2001:db8::/32 six; 10.1.2.3 one; delete 10.1.2.3; }
            split_clients $arg_a $split { 20% first; 30.5% second; * rest; }
            upstream kept { server {up}; keepalive 1; keepalive_requests 2; }
            server { listen {listen}; server_name main; proxy_http_version 1.1;
                location / { proxy_pass http://{up}; }
                location /intercept { proxy_pass http://{up}; proxy_intercept_errors on; error_page 404 =200 /page.html; error_page 401 500 /page.html; error_page 403 = @named; error_page 302 /page.html; error_page 503 http://other/gone; error_page 410 =404 /missing.html; }
                location @named { return 200 named:$uri; }
                location /accel { proxy_pass http://{up}; }
                location /accel-off { proxy_pass http://{up}; proxy_ignore_headers X-Accel-Redirect X-Accel-Charset X-Accel-Limit-Rate X-Accel-Buffering; }
                location /inner/ { internal; alias html/; }
                location /cookies { proxy_pass http://{up}; proxy_cookie_domain up.example a.example; proxy_cookie_domain ~\\.(\\w+)\\.internal$ $1.example; proxy_cookie_path /one/ /two/; proxy_cookie_path ~^/r(.*)$ /q$1; proxy_cookie_flags a secure httponly samesite=strict; proxy_cookie_flags ~^b nosecure nohttponly nosamesite; }
                location /cookies-off { proxy_pass http://{up}; proxy_cookie_domain off; proxy_cookie_path off; }
                location /redirect { proxy_pass http://{up}; proxy_redirect http://up.example/ /; proxy_redirect ~^http://([^:]+):(\\d+)(/.*)$ https://$1-$2$3; proxy_redirect ~*^HTTP://UPPER/(.*)$ $scheme://$host/$1; }
                location /limited { limit_req zone=req; return 200 ok; }
                location /burst { limit_req zone=req burst=1 nodelay; proxy_pass http://{up}; }
                location /delayed/ { limit_req zone=slow burst=2; alias html/; }
                location /dry { limit_req zone=req; limit_req_dry_run on; proxy_pass http://{up}; }
                location /limit-status { limit_req zone=req; limit_req_status 429; limit_req_log_level warn; error_page 429 /page.html; proxy_pass http://{up}; }
                location /connections { limit_conn conn 1; proxy_pass http://{up}; }
                location /no-connections { limit_conn conn 1; limit_conn_status 429; limit_conn_dry_run on; proxy_pass http://{up}; }
                location /trailer { add_trailer X-T \"$upstream_status\"; add_trailer X-Empty \"\"; add_trailer X-U $uri always; proxy_pass http://{up}; }
                location /gzip { gzip on; gzip_types text/plain; gzip_min_length 10; gzip_proxied any; gzip_vary on; proxy_pass http://{up}; }
                location /except { limit_except GET POST { deny all; } proxy_pass http://{up}; }
                location /auth { auth_basic \"the realm\"; auth_basic_user_file users; proxy_pass http://{up}; }
                location /auth-off { auth_basic off; auth_basic_user_file users; proxy_pass http://{up}; }
                location /auth-any { satisfy any; deny all; auth_basic x; auth_basic_user_file users; return 200 in; }
                location /auth-missing { auth_basic x; auth_basic_user_file nowhere; proxy_pass http://{up}; }
                location /real { set_real_ip_from 127.1.0.0/16; set_real_ip_from 10.0.0.0/8; real_ip_header X-Real; add_header X-Seen $remote_addr; proxy_set_header X-Addr $remote_addr; proxy_pass http://{up}; }
                location /real-forwarded { set_real_ip_from 127.1.0.0/16; set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For; real_ip_recursive on; add_header X-Seen $remote_addr; allow 1.2.3.4; allow 10.0.0.0/8; deny all; proxy_pass http://{up}; }
                location /map { return 200 \"$mapped|$hosted|$both|$far|$placed|$net|$split\\n\"; }
                location /body { proxy_set_body \"own $request_method $arg_a\"; proxy_pass http://{up}; }
                location /no-body { proxy_set_body \"\"; proxy_pass http://{up}; }
                location /method { proxy_method $arg_a; proxy_pass http://{up}; }
                location /no-headers { proxy_pass_request_headers off; proxy_set_header X-A $http_x_a; proxy_pass http://{up}; }
                location /kept { proxy_pass http://kept; proxy_set_header Connection \"\"; }
                location = /page.html { root html; add_header X-Page \"$status\" always; }
                location /last { return 200 last; } } ",
        files: vec![
            ("html/page.html", "static page".into()),
            ("html/deep/file.txt", "a file".into()),
            ("users", "user:{PLAIN}secret\n# comment\nother:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\nempty:{PLAIN}\nsha:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n".into()),
        ],
        cases: cases(),
    }
}

fn answer(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn cases() -> Vec<Case> {
    [answers(), limits(), requests(), values()].concat()
}

/// What becomes of answers of servers behind.
fn answers() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in ["200 OK", "301 Moved", "302 Found", "401 No", "403 No", "404 No", "410 Gone", "500 Oops", "503 No"] {
        let fields = "WWW-Authenticate: Basic realm=x\r\nSet-Cookie: a=b\r\nX-Up: 1\r\nLocation: /x\r\n";
        for case in [get("/intercept"), head("/intercept"), post("/intercept", "body"), get("/other")] {
            cases.push(case.up(&[answer(status, fields, "text")]));
        }
    }
    for fields in [
        "X-Accel-Redirect: /inner/page.html\r\n",
        "X-Accel-Redirect: /inner/deep/file.txt\r\nContent-Disposition: attachment\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nExpires: now\r\nCache-Control: no-store\r\nX-Other: 1\r\nETag: \"e\"\r\nAccept-Ranges: none\r\n",
        "X-Accel-Redirect: /inner/missing\r\n",
        "X-Accel-Redirect: @named\r\n",
        "X-Accel-Redirect: @missing\r\n",
        "X-Accel-Redirect: /inner/../last?x=y\r\n",
        "X-Accel-Redirect: /inner/deep%2ffile.txt\r\n",
        "X-Accel-Redirect: /../x\r\n",
        "X-Accel-Redirect: http://other/\r\n",
        "X-Accel-Redirect:\r\n",
        "X-Accel-Charset: utf-8\r\nX-Accel-Limit-Rate: 1000000\r\nX-Accel-Buffering: no\r\n",
        "X-Accel-Charset: off\r\nX-Accel-Limit-Rate: off\r\nX-Accel-Buffering: YES\r\n",
        "X-Accel-Limit-Rate: x\r\nX-Accel-Buffering: x\r\nX-Accel-Expires: 0\r\n",
    ] {
        let charset = fields.contains("Charset");
        let url = fields.contains("http:");
        let marked = |case: Case| {
            case.differs_where(charset, "x-accel-charset")
                .differs_where(url, "urls-of-x-accel-redirect")
                .differs_where(fields.contains("Ranges"), "ranges-of-x-accel-redirect")
        };
        for case in [get("/accel"), head("/accel"), post("/accel", "body")] {
            cases.push(marked(case.up(&[answer("200 OK", fields, "text")])));
        }
        cases.push(marked(get("/accel").up(&[answer("404 Not Found", fields, "text")])));
        cases.push(get("/accel-off").up(&[answer("200 OK", fields, "text")]));
    }
    for cookie in [
        "a=1; Domain=up.example; Path=/one/x",
        "a=1; domain=UP.example; path=/one/",
        "a=1; Domain=.up.example",
        "a=1; Domain=x.sub.internal; Path=/rest",
        "bb=1; Secure; HttpOnly; SameSite=Lax; Path=/",
        "b=1;secure;httponly;samesite=lax",
        "a=1; Secure; Path=/one/; SameSite=None",
        "c=1; Domain=; Path=",
        "c; Path=/one/",
        "=x; Path=/one/",
        "a=\"q; Path=/one/\"",
        "",
    ] {
        for target in ["/cookies", "/cookies-off"] {
            cases.push(get(target).up(&[answer("200 OK", &format!("Set-Cookie: {cookie}\r\n"), "text")]));
        }
    }
    for location in
        ["http://up.example/a", "http://x:81/y?z", "http://upper/P", "http://UP.example/a", "/plain", "http://x/y"]
    {
        for name in ["Location: ", "Refresh: 0;url=", "Refresh: 0; URL="] {
            cases.push(get("/redirect").up(&[answer("302 Found", &format!("{name}{location}\r\n"), "")]));
        }
    }
    let chunked =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for up in [chunked.to_owned(), answer("200 OK", "", "text"), chunked.replace("200 OK", "404 No")] {
        cases.push(get("/trailer").up(&[&up]).differs_where(up.contains("chunked"), "length-of-chunks-in-logs"));
        cases.push(head("/trailer").up(&[&up]));
    }
    let long = "text ".repeat(50);
    for (fields, body) in [
        ("", &long[..]),
        ("", "short"),
        ("ETag: \"x\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n", &long),
        ("Content-Encoding: br\r\n", &long),
        ("Cache-Control: no-transform\r\nVary: x\r\n", &long),
    ] {
        for wanted in [
            "Accept-Encoding: gzip\r\n",
            "Accept-Encoding: br, gzip;q=0\r\n",
            "Accept-Encoding: x, gzip;q=0.5\r\nVia: x\r\n",
            "",
        ] {
            cases.push(get_with("/gzip", wanted).up(&[answer("200 OK", fields, body)]));
        }
    }
    cases
}

/// Requests that are refused, or have to wait.
fn limits() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in ["/limited", "/burst", "/dry", "/limit-status", "/no-connections", "/connections"] {
        for count in [1, 3] {
            let target = format!("{target}?key={}{count}", target.len());
            let next = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let mut case = get(&target).answers(count);
            for _ in 1..count {
                case.pieces[0].extend_from_slice(next.as_bytes());
            }
            cases.push(case);
        }
        cases.push(get(target));
    }
    let delayed = "GET /delayed/page.html?slow=1 HTTP/1.1\r\nHost: a\r\n\r\n";
    cases.push(raw(delayed.repeat(2)).answers(2));
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "X"] {
        cases.push(ask(method, "/except", "", ""));
    }
    for credentials in [
        "",
        "Basic dXNlcjpzZWNyZXQ=",
        "basic dXNlcjpzZWNyZXQ=",
        "Basic  dXNlcjpzZWNyZXQ=",
        "Basic dXNlcjp3cm9uZw==",
        "Basic bm9ib2R5Ong=",
        "Basic dXNlcg==",
        "Basic !!!",
        "Basic",
        "Bearer x",
        "Basic ZW1wdHk6",
        "Basic OnNlY3JldA==",
        "Basic c2hhOnRlc3Q=",
        "Basic b3RoZXI6bXlQYXNzd29yZA==",
    ] {
        let fields = if credentials.is_empty() { String::new() } else { format!("Authorization: {credentials}\r\n") };
        for target in ["/auth", "/auth-off", "/auth-any"] {
            cases.push(get_with(target, &fields));
        }
    }
    cases.push(get_with("/auth-missing", "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"));
    cases
}

/// What servers behind are sent.
fn requests() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in ["/body?a=x", "/no-body", "/method?a=PUT", "/method?a=put", "/method", "/no-headers"] {
        for case in [get_with(target, "X-A: 1\r\nCookie: x\r\n"), head(target), post(target, "body")] {
            cases.push(case.differs_where(target == "/method", "empty-method"));
        }
    }
    for count in [1, 2, 3, 4] {
        let next = "GET /kept HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count);
        cases.push(raw(next).answers(count));
    }
    for value in [
        "1.2.3.4",
        "1.2.3.4:80",
        "10.0.0.1",
        "x",
        "",
        "::1",
        "[::1]:80",
        "1.2.3.4, 10.0.0.1",
        "1.2.3.4, 5.6.7.8, 10.0.0.1",
        "10.0.0.2,10.0.0.1",
        "1.2.3.4, x, 10.0.0.1",
        "unix:",
    ] {
        cases.push(get_with("/real", &format!("X-Real: {value}\r\n")));
        cases.push(get_with("/real-forwarded", &format!("X-Forwarded-For: {value}\r\n")));
    }
    cases.push(get_with("/real-forwarded", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 10.0.0.1\r\n"));
    cases.push(get("/real"));
    cases
}

/// Variables that are made of others.
fn values() -> Vec<Case> {
    let mut cases = Vec::new();
    for a in [
        "",
        "x",
        "X",
        "rest",
        "Rest",
        "i",
        "inner",
        "x.end",
        "begin.x",
        "10.0.0.5",
        "10.0.0.10",
        "10.0.0.255",
        "10.0.1.0",
        "10.1.2.3",
        "10.2.0.0",
        "2001:db8::1",
        "none",
        "300.1.1.1",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
    ] {
        cases.push(get(&format!("/map?a={a}&b=2")));
    }
    for host in
        ["example.com", "x.example.com", "a.b.Example.com", "y.test.org", "test.org", "www.z", "www.z.y", "a", "b"]
    {
        cases.push(raw(format!("GET /map HTTP/1.1\r\nHost: {host}\r\n\r\n")));
    }
    cases
}
