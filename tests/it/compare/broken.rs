//! Servers behind that fail: retries, timeouts, answers that are none.

use super::Theme;
use super::case::{Case, ask, get, head, post};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off;
            upstream two { server {up} max_fails=0; server {up2} max_fails=0; }
            upstream three { server {closed} max_fails=0; server {up} max_fails=0; server {up2} max_fails=0; }
            upstream backup { server {closed} max_fails=0; server {up} backup; }
            upstream down { server {up} down; server {up2} down; }
            upstream kept { server {up} max_fails=0; server {up2} max_fails=0; keepalive 4; }
            server { listen {listen};
                location / { proxy_pass http://{up}; }
                location /closed { proxy_pass http://{closed}; }
                location /two { proxy_pass http://two; }
                location /slow { proxy_pass http://{up}; proxy_read_timeout 200ms; }
                location /slow-two { proxy_pass http://two; proxy_read_timeout 1s; }
                location /partial { proxy_pass http://{up}; proxy_read_timeout 1s; }
                location /slow-unbuffered { proxy_pass http://{up}; proxy_buffering off; proxy_read_timeout 1s; }
                location /three { proxy_pass http://three; }
                location /backup { proxy_pass http://backup; }
                location /down { proxy_pass http://down; }
                location /kept { proxy_pass http://kept; proxy_http_version 1.1; proxy_set_header Connection \"\"; }
                location /status { proxy_pass http://two; proxy_next_upstream error timeout http_500 http_502 http_503 http_504 http_403 http_404 http_429; }
                location /invalid { proxy_pass http://two; proxy_next_upstream invalid_header; }
                location /off { proxy_pass http://two; proxy_next_upstream off; }
                location /posts { proxy_pass http://two; proxy_next_upstream error timeout http_502 non_idempotent; }
                location /once { proxy_pass http://three; proxy_next_upstream_tries 1; }
                location /page { proxy_pass http://{up}; error_page 502 504 /50x.html; }
                location /fallback { proxy_pass http://{closed}; error_page 502 = @other; }
                location /intercept { proxy_pass http://{up}; proxy_intercept_errors on; error_page 404 500 /50x.html; }
                location @other { proxy_pass http://{up2}; }
                location /small { proxy_pass http://{up}; proxy_buffer_size 256; }
                location /unbuffered { proxy_pass http://{up}; proxy_buffering off; }
                location /last { return 200 last; }
                location = /50x.html { root html; } }",
        files: vec![("html/50x.html", "static page".into())],
        cases: cases(),
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // What one server can do wrong.
    // What one server can do wrong. The first fails; whoever is asked next does not.
    for answer in [
        "",
        "reset:",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nNo colon\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
    ] {
        for target in ["/x", "/page", "/unbuffered", "/two", "/invalid", "/intercept"] {
            cases.push(get(target).up(&[answer, OK]));
        }
    }
    // Bodies that are not what their heads say.
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ntoo long",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\ntoo long",
        "HTTP/1.1 204 No Content\r\n\r\ntoo long",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
    ] {
        let invalid = answer.contains("\r\nhello");
        let short = answer.contains("short") || answer.ends_with("hel") || answer.contains("5\r\nhello");
        for target in ["/x", "/unbuffered", "/two"] {
            let at_once = target == "/unbuffered";
            // Whether the end comes together with the rest makes a difference to nginx's log.
            if at_once && short {
                continue;
            }
            cases.push(
                get(target)
                    .up(&[answer, OK])
                    .differs_where(short, "completion-of-cut-answers")
                    .differs_where(
                        answer.contains("too long") || answer.contains("chunked"),
                        "length-of-chunks-in-logs",
                    )
                    .differs_where(invalid && !short, "heads-of-cut-answers")
                    .differs_where(at_once, "actions-in-logs"),
            );
        }
    }
    for framing in ["HTTP/1.1 200 OK\r\nContent-Length: 8", "HTTP/1.1 304 Not Modified", "HTTP/1.1 204 No Content"] {
        for target in ["/x", "/unbuffered"] {
            cases.push(head(target).up(&[format!("{framing}\r\n\r\ntoo long")]));
        }
    }
    // What is no answer, or one that can be read in more than one way.
    for answer in [
        "hello\r\n\r\n",
        "<html>no head</html>",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 99 OK\r\n\r\n",
        "HTTP/1.1 1000 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello",
    ] {
        for target in ["/x", "/invalid"] {
            cases.push(get(target).up(&[answer, OK]).differs("strict-answers"));
        }
    }
    // What never comes.
    cases.push(get("/slow").up(&["silent:"]));
    cases.push(get("/slow-two").up(&["hold:HTTP/1.1 200 OK\r\nContent-Le", OK]));
    for target in ["/partial", "/slow-unbuffered"] {
        cases.push(
            get(target)
                .up(&["hold:HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"])
                .differs("completion-of-cut-answers")
                .differs_where(target == "/partial", "partial-buffers"),
        );
    }
    for answer in [502, 503, 504, 500, 403, 404, 429] {
        let answer = format!("HTTP/1.1 {answer} Status\r\nContent-Length: 4\r\n\r\nbody");
        for target in ["/status", "/off", "/two"] {
            cases.push(get(target).up(&[&answer, OK]));
        }
        cases.push(get("/status").up(&[&answer]));
        cases.push(post("/status", "body").up(&[&answer, OK]));
    }
    for target in ["/two", "/posts", "/off", "/three", "/once", "/kept"] {
        cases.push(get(target).up(&["", OK]));
        cases.push(post(target, "body").up(&["", OK]));
        cases.push(ask("PUT", target, "Content-Length: 4\r\n", "body").up(&["", OK]));
        cases.push(ask("LOCK", target, "", "").up(&["", OK]));
        cases.push(ask("HEAD", target, "", "").up(&["", OK]));
        cases.push(get(target).up(&[""]));
    }
    for target in ["/closed", "/backup", "/down", "/fallback"] {
        cases.push(get(target));
        cases.push(post(target, "body"));
    }
    for (count, too_big) in [(300, true), (200, false)] {
        let answer = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 2\r\n\r\nok", "a".repeat(count));
        cases.push(get("/small").up(&[answer]).differs_where(too_big, "received-bytes-in-logs"));
    }
    cases
}
