//! Groups of servers: whose turn it is, who has failed, where names lead.

use super::Theme;
use super::case::{Case, get, get_with, post, raw};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off; set_real_ip_from 127.0.0.0/8; real_ip_header X-Real;
            upstream weights { server {up} weight=3; server {up2}; server {up3} weight=2; }
            upstream hashed { hash $arg_k; server {up}; server {up2} weight=2; server {up3}; }
            upstream hashed-down { hash $arg_k; server {up}; server {up2} down; server {up3}; }
            upstream addresses { ip_hash; server {up}; server {up2}; server {up3} weight=2; }
            upstream least { least_conn; server {up}; server {up2}; }
            upstream once { server {up} max_fails=1 fail_timeout=1h; server {up2} max_fails=0; }
            upstream twice { server {up} max_fails=2 fail_timeout=1h; server {up2} max_fails=0; }
            upstream all { server {up} fail_timeout=1h; server {up2} fail_timeout=1h; }
            upstream spare { server {up} fail_timeout=1h; server {up2} backup; }
            upstream spares { server {closed}; server {closed} backup; server {up2} backup weight=2; server {up3} backup; }
            upstream busy { server {up} max_conns=1; zone busy 64k; } upstream busy-spare { zone spare 64k; server {up} max_conns=1; server {up2} backup; }
            upstream kept { server {up}; server {up2}; keepalive 2; } upstream kept-few { server {up}; keepalive 2; keepalive_requests 2; }
            server { listen {listen};
                location /weights { proxy_pass http://weights; } location /hashed { proxy_pass http://hashed; } location /hashed-down { proxy_pass http://hashed-down; }
                location /addresses { proxy_pass http://addresses; } location /least { proxy_pass http://least; }
                location /once { proxy_pass http://once; } location /twice { proxy_pass http://twice; } location /all { proxy_pass http://all; } location /spare { proxy_pass http://spare; } location /spares { proxy_pass http://spares; }
                location /busy { proxy_pass http://busy; } location /busy-spare { proxy_pass http://busy-spare; }
                location /kept { proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection \"\"; } location /kept-few { proxy_pass http://kept-few; proxy_http_version 1.1; proxy_set_header Connection \"\"; }
                location /variable { set $group $arg_g; proxy_pass http://$group; } location /variable-path { proxy_pass http://$arg_g/path$is_args$args; } location /scheme { proxy_pass $arg_s://weights; }
                location /tries { proxy_pass http://all; proxy_next_upstream_tries 1; }
                location ~ ^/re/(\\d+)/(.*)$ { proxy_pass http://weights/$2?n=$1; }
                location /fields { proxy_pass http://{up}; proxy_set_header Host $http_host; proxy_set_header X-Cookie $cookie_a; proxy_set_header X-For $proxy_add_x_forwarded_for; proxy_set_header Connection keep-alive; proxy_set_header X-Var \"a $arg_a b\"; proxy_set_header Accept \"\"; }
                location /last { return 200 last; } }",
        files: vec![("html/index.html", String::new())],
        cases: cases(),
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for _ in 0..13 {
        cases.push(get("/weights"));
    }
    cases.push(raw("GET /weights HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5)).answers(5));
    for key in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "1", "2", "3", ""] {
        cases.push(get(&format!("/hashed?k={key}")));
        cases.push(get(&format!("/hashed-down?k={key}")));
    }
    for address in ["1.2.3.4", "1.2.3.5", "1.2.4.4", "9.8.7.6", "200.1.2.3", "77.7.7.7", "2001:db8::1", "2001:db9::1"] {
        cases.push(get_with("/addresses", &format!("X-Real: {address}\r\n")));
    }
    for _ in 0..4 {
        cases.push(get("/least"));
    }
    for _ in 0..3 {
        cases.push(get("/least").up(&["silent:", OK]).beside("GET /least HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    // The first to fail, then those who know it.
    for target in ["/once", "/twice", "/all", "/spare"] {
        for script in
            [&["", OK][..], &[OK], &["reset:", OK], &[OK], &["HTTP/1.1 200 OK\r\nbad\r\n\r\n", OK], &[""], &[OK], &[OK]]
        {
            // Whose turn it is does not take such a line.
            let strict = script[0].contains("bad") && matches!(target, "/once" | "/twice");
            cases.push(get(target).up(script).differs_where(strict, "strict-answers"));
        }
    }
    cases.push(get("/tries").up(&["", OK]));
    for _ in 0..4 {
        cases.push(get("/spares").up(&[OK]));
    }
    for target in ["/busy", "/busy-spare"] {
        cases.push(get(target).up(&["silent:", OK]).beside(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")));
        cases.push(get(target));
    }
    for target in ["/kept", "/kept-few"] {
        for count in [1, 3, 5] {
            cases.push(raw(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(count)).answers(count));
        }
        for answer in [
            "keep:HTTP/1.1 204 No Content\r\n\r\n",
            "keep:HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
            "keep:HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            "keep:HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "keep:HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            "keep:HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "keep:HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "keep:HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\nok",
        ] {
            let three = raw(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(3)).answers(3).up(&[answer]);
            cases.push(three.differs_where(answer.contains("chunked"), "length-of-chunks-in-logs"));
            cases.push(raw(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(2)).answers(2).up(&[answer]));
        }
        cases.push(post(target, "body").up(&["keep:HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]));
        // The server has closed what was kept.
        cases.push(
            get(target)
                .up(&[OK])
                .then(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"))
                .answers(2),
        );
    }
    for target in [
        "/variable?g=weights",
        "/variable?g={up}",
        "/variable?g=unknown.test",
        "/variable?g=",
        "/variable?g={up}/x",
        "/variable?g=weights:80",
        "/variable-path?g=weights",
        "/variable-path?g={up}",
        "/scheme?s=http",
        "/scheme?s=ftp",
        "/scheme?s=",
        "/re/5/a%20b?c",
        "/re/5/",
        "/fields?a=1",
    ] {
        let nothing = matches!(target, "/variable?g=" | "/scheme?s=ftp" | "/scheme?s=");
        cases.push(
            get(target)
                .differs_where(nothing, "hosts-of-no-targets")
                .differs_where(target.contains("%20"), "captures-in-targets"),
        );
    }
    for fields in ["Cookie: a=1\r\nAccept: x\r\n", "X-Forwarded-For: 1.2.3.4\r\nConnection: close\r\n"] {
        cases.push(get_with("/fields", fields));
    }
    cases.push(raw("GET /fields HTTP/1.0\r\n\r\n"));
    cases.push(raw("GET /fields HTTP/1.0\r\nHost: \r\n\r\n").differs("refused-heads-in-logs"));
    cases
}
