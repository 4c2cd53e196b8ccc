//! Connections that are to change to another protocol.

use super::Theme;
use super::case::{Case, ask, get_with};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off; map $http_upgrade $connection_upgrade { default upgrade; \"\" close; }
            upstream two { server {up} max_fails=0; server {up2} max_fails=0; }
            server { listen {listen}; proxy_http_version 1.1; proxy_read_timeout 1s;
                location / { proxy_pass http://{up}; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }
                location /two { proxy_pass http://two; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; proxy_next_upstream error invalid_header; }
                location /other { proxy_pass http://{up}; proxy_set_header Upgrade $arg_u; proxy_set_header Connection $connection_upgrade; }
                location /none { proxy_pass http://{up}; }
                location /stream { proxy_pass http://{up}; proxy_request_buffering off; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
                location /last { return 200 last; } }",
        files: vec![("html/index.html", String::new())],
        cases: cases(),
    }
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
const UPGRADE: &str = "Upgrade: x\r\nConnection: Upgrade\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const OTHER: &str = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: y\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let kept = format!("keep:{SWITCH}");
    for target in ["/", "/two", "/other?u=x", "/stream"] {
        let upgrade = get_with(target, UPGRADE);
        let post = |length: usize, body: &str| {
            ask("POST", target, &format!("{UPGRADE}Content-Length: {length}\r\n"), body).up(&[&kept, OK])
        };
        cases.extend([
            upgrade.clone().up(&[SWITCH]),
            upgrade.clone().up(&[OK]),
            upgrade.clone().up(&[OTHER]).differs("hop-by-hop-fields"),
            upgrade.clone().up(&[format!("{SWITCH}welcome")]),
            get_with(target, "Upgrade: x\r\n").up(&[SWITCH]),
            get_with(target, "").up(&[OK]),
            get_with(target, "").up(&[SWITCH, OK]).differs("strict-answers"),
            upgrade.then("GET /more HTTP/1.1\r\nHost: b\r\n\r\n").up(&[&kept, OK]).differs("length-of-tunnels-in-logs"),
            post(4, "body"),
            post(8, "body").then("more"),
        ]);
    }
    let early = ask("POST", "/", &format!("{UPGRADE}Content-Length: 8\r\n"), "body").then("more");
    cases.push(early.up(&[format!("early:{SWITCH}")]));
    // The server has not been told of it.
    for target in ["/other", "/none"] {
        cases.push(get_with(target, UPGRADE).up(&[SWITCH]).differs("strict-answers"));
    }
    cases
}
