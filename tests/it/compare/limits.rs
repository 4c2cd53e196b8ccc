//! How many at once, how many in a time, and how fast.

use super::Theme;
use super::case::{Case, get, head, raw};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off; lingering_timeout 200ms;
            limit_conn_zone $binary_remote_addr zone=conn:1m; limit_conn_zone $remote_addr$arg_k zone=key:1m;
            limit_req_zone $binary_remote_addr zone=req:1m rate=1r/m; limit_req_zone $arg_k zone=arg:1m rate=1r/m; limit_req_zone $binary_remote_addr zone=quick:1m rate=20r/s;
            server { listen {listen}; add_header X-Limits \"$limit_conn_status $limit_req_status\" always;
                location / { proxy_pass http://{up}; }
                location /conn { limit_conn conn 1; proxy_pass http://{up};
                    location /conn/two { limit_conn conn 2; proxy_pass http://{up}; }
                    location /conn/status { limit_conn conn 1; limit_conn_status 429; limit_conn_log_level info; proxy_pass http://{up}; }
                    location /conn/dry { limit_conn conn 1; limit_conn_dry_run on; proxy_pass http://{up}; }
                    location /conn/page { limit_conn conn 1; proxy_pass http://{up}; error_page 503 = @page; }
                    location /conn/both { limit_conn conn 5; limit_conn key 1; proxy_pass http://{up}; }
                    location /conn/file { limit_conn conn 1; root html; }
                    location /conn/return { limit_conn conn 1; return 200 returned; }
                    location /conn/off { proxy_pass http://{up}; } }
                location /key { limit_conn key 1; proxy_pass http://{up}; }
                location /req { limit_req zone=req; proxy_pass http://{up};
                    location /req/burst { limit_req zone=req burst=1 nodelay; proxy_pass http://{up}; }
                    location /req/delay { limit_req zone=quick burst=5; proxy_pass http://{up}; }
                    location /req/late { limit_req zone=quick burst=5 delay=1; proxy_pass http://{up}; }
                    location /req/status { limit_req zone=req; limit_req_status 429; limit_req_log_level warn; proxy_pass http://{up}; }
                    location /req/closed { limit_req zone=req; limit_req_status 444; error_page 444 /page; proxy_pass http://{up}; }
                    location /req/dry { limit_req zone=req; limit_req_dry_run on; proxy_pass http://{up}; }
                    location /req/page { limit_req zone=req; error_page 503 =200 /page; proxy_pass http://{up}; }
                    location /req/arg { limit_req zone=arg; proxy_pass http://{up}; }
                    location /req/two { limit_req zone=quick burst=5; limit_req zone=req; proxy_pass http://{up}; }
                    location /req/file { limit_req zone=req; root html; }
                    location /req/return { limit_req zone=req; return 200 returned; } }
                location /rate { limit_rate 400; root html;
                    location /rate/after { limit_rate_after 10k; root html; }
                    location /rate/variable { limit_rate $arg_r; root html; }
                    location /rate/set { set $limit_rate 10k; root html; }
                    location /rate/up { proxy_pass http://{up}; }
                    location /rate/upstream { limit_rate 0; proxy_limit_rate 400; proxy_pass http://{up}; } }
                location /page { return 200 \"page $uri\"; } location @page { return 200 \"named $uri\"; } location /last { return 200 last; } }",
        files: vec![
            ("html/conn/file", "file".into()),
            ("html/req/file", "file".into()),
            ("html/rate/file", "x".repeat(500)),
            ("html/rate/after", "x".repeat(500)),
            ("html/rate/variable", "x".repeat(500)),
            ("html/rate/set", "x".repeat(500)),
        ],
        cases: cases(),
    }
}

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in ["", "/two", "/status", "/dry", "/page", "/both", "/file", "/return", "/off"] {
        for beside in ["", "/two", "/off", "/both"] {
            let case = get(&format!("/conn{target}")).up(&["silent:", OK]);
            cases.push(case.beside(request(&format!("/conn{beside}"))));
        }
    }
    for (first, second) in [("a", "a"), ("a", "b"), ("", "")] {
        let case = get(&format!("/key?k={second}")).up(&["silent:", OK]);
        cases.push(case.beside(request(&format!("/key?k={first}"))));
        cases.push(raw(request(&format!("/req/arg?k={first}{first}{second}")).repeat(2)).answers(2));
    }
    for target in ["", "/burst", "/delay", "/late", "/status", "/closed", "/dry", "/page", "/two", "/file", "/return"] {
        for count in [2, 3] {
            cases.push(raw(request(&format!("/req{target}")).repeat(count)).answers(count));
        }
        cases.push(get(&format!("/req{target}")).up(&["silent:", OK]).beside(request("/req")));
    }
    cases.push(raw(request("/conn").repeat(3)).answers(3));
    for target in
        ["/rate/file", "/rate/after", "/rate/variable?r=400", "/rate/variable?r=x", "/rate/variable", "/rate/set"]
    {
        cases.push(get(target));
    }
    cases.push(head("/rate/file"));
    let answer = |rate: &str| {
        format!("HTTP/1.1 200 OK\r\nX-Accel-Limit-Rate: {rate}\r\nContent-Length: 500\r\n\r\n{}", "y".repeat(500))
    };
    for (target, rate) in [
        ("/", "400"),
        ("/", "off"),
        ("/", "0"),
        ("/", "x"),
        ("/", "1k"),
        ("/", "-1"),
        ("/", ""),
        ("/rate/up", "off"),
        ("/rate/up", "x"),
        ("/rate/up", "10000"),
        ("/rate/upstream", "x"),
    ] {
        cases.push(get(target).up(&[answer(rate)]));
    }
    cases
}
