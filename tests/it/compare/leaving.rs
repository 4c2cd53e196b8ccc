//! Clients that leave, that are somebody else's, or that speak to the wrong port.

use super::Theme;
use super::case::{Case, ask, get, post, raw};

pub fn theme() -> Theme {
    Theme {
        config: "proxy_cache_path cache keys_zone=zone:1m; server_tokens off; lingering_timeout 200ms; client_body_timeout 500ms;
            ssl_certificate front.pem; ssl_certificate_key front.key; ssl_protocols TLSv1.2 TLSv1.3;
            server { listen {listen}; root html;
                location /slow { proxy_pass http://{up}; proxy_read_timeout 5s; }
                location /ignored { proxy_pass http://{up}; proxy_ignore_client_abort on; proxy_read_timeout 300ms; }
                location /stream { proxy_pass http://{up}; proxy_request_buffering off; proxy_read_timeout 300ms; }
                location /unbuffered { proxy_pass http://{up}; proxy_buffering off; proxy_read_timeout 5s; }
                location /kept { proxy_pass http://{up}; proxy_cache zone; proxy_read_timeout 5s; }
                location /pages { proxy_pass http://{up}; proxy_cache zone; proxy_intercept_errors on; error_page 502 504 = /here; error_page 404 = /here; }
                location /here { return 200 here; } location /last { return 200 last; } }
            server { listen {listen2} proxy_protocol; set_real_ip_from 127.0.0.0/8; real_ip_header proxy_protocol;
                location / { return 200 \"$remote_addr $realip_remote_addr $proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port $http_x_a\"; }
                location /up { proxy_pass http://{up}; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Pp $proxy_protocol_addr; }
                location /deny { deny 1.2.3.4; return 200 in; } location /denied { deny 1.2.3.4; allow all; root html; } location /last { return 200 last; } }
            server { listen {tls} ssl; server_name main; location / { return 200 \"$scheme $https\"; } location /last { return 200 last; } }
            server { listen {tls} ssl; server_name page; error_page 497 =302 https://$host:$server_port$request_uri; return 200 page; }
            server { listen {tls} ssl; server_name certified; ssl_client_certificate root.pem; ssl_verify_client on; return 200 certified; }
            server { listen {tls} ssl; server_name asked; ssl_client_certificate root.pem; ssl_verify_client optional; return 200 \"$ssl_client_verify $ssl_client_s_dn\"; }
            server { listen {tls} ssl; server_name certified-page; ssl_client_certificate root.pem; ssl_verify_client on; error_page 495 496 =200 /page; location / { return 200 in; } location /page { return 200 \"page $status\"; } }",
        files: vec![("html/denied", "in".into()), ("html/file", "file".into())],
        cases: cases(),
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.push(get("/ignored").up(&["silent:"]).and_end());
    cases.push(post("/ignored", "body").up(&["silent:"]).and_end());
    // Who leaves while a server is at work for him.
    for target in ["/slow", "/unbuffered"] {
        let beside = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        cases.push(get("/here").up(&["silent:"]).beside(beside));
    }
    // The same, where the cache waits for the answer too.
    let beside = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = |first: &str| format!("later:HTTP/1.1 {first}\r\nContent-Length: 2\r\n\r\nno");
    for target in ["/kept", "/pages"] {
        for script in ["later:", &answer("404 No"), &answer("200 OK\r\nCache-Control: no-store")] {
            cases.push(get("/here").up(&[script]).beside(beside(target)));
        }
    }
    let kept = get("/here").up(&[answer("200 OK\r\nCache-Control: max-age=3600")]).beside(beside("/kept"));
    cases.push(kept.differs("answers-nobody-waits-for"));
    cases.push(get("/kept").up(&["HTTP/1.1 200 OK\r\n\r\nnew"]).differs("answers-nobody-waits-for"));
    // In the middle of the body.
    for target in ["/slow", "/ignored", "/here", "/file"] {
        let of_server = !matches!(target, "/here" | "/file");
        let told = |case: Case| case.differs_where(!of_server, "discarded-bodies-in-logs");
        let chunked = ask("POST", target, "Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n");
        cases.push(told(ask("POST", target, "Content-Length: 10\r\n", "body")).and_end());
        cases.push(told(chunked.differs_where(of_server, "refused-bodies-in-logs")).and_end());
    }
    let part = |target: &str| ask("POST", target, "Content-Length: 10\r\n", "body");
    cases.push(part("/slow").differs("timeouts-of-bodies-in-logs"));
    cases.push(part("/stream").differs("timeouts-of-bodies-in-logs"));
    let early = part("/stream").up(&["early:HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"]);
    cases.push(early.differs("kept-after-early-answers"));
    // The PROXY protocol.
    let request = "GET /x HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n";
    for header in [
        "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n",
        "PROXY TCP6 2001:db8::1 2001:db8::2 1000 443\r\n",
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN x y\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n",
        "PROXY TCP4 300.2.3.4 5.6.7.8 1000 80\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 99999 80\r\n",
        "PROXY TCP4\r\n",
        "PROXY\r\n",
        "",
        "nonsense\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\n",
        "PROXY TCP5 1.2.3.4 5.6.7.8 1000 80\r\n",
    ] {
        let loose = header.contains("300");
        let broken = !loose
            && !header.contains("UNKNOWN")
            && !header.contains(" 1000 80\r\n")
            && !header.contains(" 1000 443\r\n")
            || header.contains("TCP5");
        let marked = |case: Case| {
            let case = case.differs_where(broken, "control-bytes-in-logs");
            case.differs_where(loose, "loose-proxy-headers").to("{listen2}")
        };
        cases.push(marked(raw(format!("{header}{request}"))));
        if !header.is_empty() {
            cases.push(marked(raw(header)).and_end());
        }
    }
    cases.push(raw("").to("{listen2}").and_end());
    let v2 = |rest: &[u8], request: &str| [b"\r\n\r\n\0\r\nQUIT\n", rest, request.as_bytes()].concat();
    for rest in [
        &b"\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\0\x50"[..],
        b"\x20\x00\0\0",
        b"\x21\x11\0\x0f\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\0\x50\x04\0\0",
        b"\x21\x31\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\0\x50",
        b"\x21\x11\0\x04\x01\x02\x03\x04",
        b"\x22\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\0\x50",
    ] {
        let case = raw(v2(rest, request)).to("{listen2}");
        cases.push(
            case.differs_where(rest.starts_with(b"\x22"), "loose-proxy-headers")
                .differs_where(rest[3] == 4, "control-bytes-in-logs"),
        );
    }
    for target in ["/up", "/deny", "/denied", "/nope"] {
        cases.push(raw(format!("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\nGET {target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n")).to("{listen2}"));
        cases.push(raw(format!("PROXY TCP4 4.3.2.1 5.6.7.8 1000 80\r\nGET {target} HTTP/1.1\r\nHost: a\r\n\r\nGET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).answers(2).to("{listen2}"));
    }
    // Plain requests to a port with TLS, and certificates that are not shown.
    for host in ["main", "page", "certified", "asked", "certified-page"] {
        let request = format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        cases.push(raw(&request).to("{tls}"));
        for name in ["main", "page", "certified", "asked", "certified-page"] {
            // One that wants certificates is not asked by another's name.
            let strange = name != host && !matches!(host, "main" | "page");
            cases.push(raw(&request).over_tls(name).differs_where(strange, "refused-heads-in-logs"));
        }
    }
    cases.push(raw("GET / HTTP/1.0\r\n\r\n").to("{tls}"));
    cases.push(raw("nonsense").to("{tls}").and_end());
    cases.push(raw("").to("{tls}").and_end());
    cases
}
