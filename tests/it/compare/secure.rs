//! TLS: clients that speak it, and servers behind that do.

use super::Theme;
use super::case::{Case, get, get_with, post, raw};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off;
            ssl_certificate front.pem; ssl_certificate_key front.key;
            upstream two { server {sup} max_fails=0; server {sup2} max_fails=0; }
            upstream secure-two { server {sup} max_fails=0; server {sup2} max_fails=0; }
            upstream kept { server {sup}; keepalive 4; }
            server { listen {listen}; listen {tls} ssl; server_name main; ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_session_reuse off;
                location / { return 200 \"$scheme $https $ssl_protocol $ssl_server_name $host $server_port $ssl_client_verify\"; }
                location /to { return 301 /there; } location /to-name { server_name_in_redirect on; return 301 /there; }
                location /to-path { absolute_redirect off; return 301 /there; } location /to-portless { port_in_redirect off; return 301 /there; }
                location /to-scheme { return 301 $scheme://$host$request_uri; }
                location /folder { root html; } location /slash/ { proxy_pass http://{up}; }
                location /redirect/ { proxy_pass http://{up}/one/; } location /redirect-tls/ { proxy_pass https://{sup}/one/; }
                location /redirect-scheme/ { proxy_pass http://{up}/one/; proxy_redirect http:// $scheme://; }
                location /fields { proxy_pass http://{up}; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Https $https; proxy_set_header X-Port $server_port; }
                location /last { return 200 last; }
                location /up { proxy_pass https://{sup}; }
                location /again { proxy_pass https://{sup}; proxy_ssl_session_reuse on; proxy_ssl_server_name on; proxy_ssl_name $arg_n;
                    location /again/old { proxy_pass https://{sup2}; proxy_ssl_protocols TLSv1.2; }
                    location /again/verified { proxy_pass https://{sup}; proxy_ssl_verify on; proxy_ssl_trusted_certificate root.pem; }
                    location /again/shown { proxy_pass https://{sup}; proxy_ssl_certificate front.pem; proxy_ssl_certificate_key front.key; } }
                location /name { proxy_pass https://{sup}; proxy_ssl_server_name on; proxy_ssl_name $arg_n; }
                location /sni { proxy_pass https://{sup}; proxy_ssl_server_name on; }
                location /host { proxy_pass https://{sup}; proxy_ssl_server_name on; proxy_ssl_name $http_host; }
                location /verify { proxy_pass https://{sup}; proxy_ssl_verify on; proxy_ssl_trusted_certificate root.pem; proxy_ssl_name $arg_n; }
                location /verify-none { proxy_pass https://{sup2}; proxy_ssl_verify on; proxy_ssl_trusted_certificate root.pem; proxy_ssl_name localhost; }
                location /shown { proxy_pass https://{sup}; proxy_ssl_certificate front.pem; proxy_ssl_certificate_key front.key; }
                location /old { proxy_pass https://{sup}; proxy_ssl_protocols TLSv1.2; }
                location /older { proxy_pass https://{sup}; proxy_ssl_protocols TLSv1; }
                location /tls-as-plain { proxy_pass http://{sup}; }
                location /closed { proxy_pass https://{closed}; }
                location /two { proxy_pass https://two; }
                location /secure-two { proxy_pass https://secure-two; proxy_ssl_verify on; proxy_ssl_trusted_certificate root.pem; proxy_ssl_name behind.test; }
                location /secure-off { proxy_pass https://secure-two; proxy_next_upstream off; }
                location /kept { proxy_pass https://kept; proxy_http_version 1.1; proxy_set_header Connection \"\"; }
                location /unbuffered { proxy_pass https://{sup}; proxy_buffering off; }
                location /slow { proxy_pass https://{sup}; proxy_connect_timeout 200ms; proxy_read_timeout 200ms; }
                location /stream { proxy_pass https://{sup}; proxy_request_buffering off; proxy_http_version 1.1; }
                location /page { proxy_pass https://{sup}; error_page 502 = @page; } location @page { return 200 page; } }
            server { listen {tls} ssl; server_name other; location / { return 200 \"other $ssl_server_name $scheme\"; } location /up { proxy_pass https://{sup}; } }
            server { listen {tls} ssl; server_name old; ssl_protocols TLSv1.2; return 200 \"old $ssl_protocol\"; }
            server { listen {listen2} ssl; ssl_verify_client on; ssl_client_certificate root.pem; return 200 certified; }",
        files: vec![("html/folder/index.html", "folder".into())],
        cases: cases(),
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Clients with TLS.
    for target in [
        "/",
        "/to",
        "/to-name",
        "/to-path",
        "/to-portless",
        "/to-scheme",
        "/folder",
        "/slash",
        "/fields",
        "/nope",
        "/up",
    ] {
        cases.push(get(target).over_tls("main"));
        cases.push(get(target));
    }
    for target in ["/redirect/", "/redirect-tls/", "/redirect-scheme/"] {
        for to in ["http://{up}/one/x", "https://{sup}/one/x", "/one/x", "http://other/x"] {
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            cases.push(get(target).up(&[&answer]).over_tls("main"));
            cases.push(get(target).up(&[&answer]));
        }
    }
    let to = |host: &str| raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    for host in ["main", "other", "a"] {
        for name in ["main", "other", "a"] {
            cases.push(to(host).over_tls(name));
        }
    }
    let up = raw("GET /up HTTP/1.1\r\nHost: other\r\n\r\n").up(&[OK]);
    cases.push(up.over_tls("other").differs("versions-of-tls"));
    cases.push(to("old").over_tls("old").differs("protocols-of-servers"));
    cases.push(raw("GET / HTTP/1.0\r\n\r\n").over_tls("main"));
    cases.push(raw("GET https://other/x HTTP/1.1\r\nHost: main\r\n\r\n").over_tls("main"));
    cases.push(raw("nonsense\r\n\r\n").over_tls("main"));
    cases.push(raw("GET / HTTP/1.1\r\nHost: main\r\n").over_tls("main").and_end());
    cases.push(get("/").then("GET /to HTTP/1.1\r\nHost: a\r\n\r\n").answers(2).over_tls("main"));
    cases.push(get_with("/", "Connection: close\r\n").over_tls("main"));
    cases.push(post("/slash/", "body").over_tls("main"));
    // Servers behind with TLS.
    for target in [
        "/up",
        "/shown",
        "/sni",
        "/host",
        "/name?n=a.test",
        "/name?n=127.0.0.1",
        "/name",
        "/old",
        "/older",
        "/tls-as-plain",
        "/closed",
        "/two",
        "/verify-none",
        "/secure-two",
        "/secure-two",
        "/secure-off",
        "/secure-off",
        "/page",
        "/stream",
        "/verify?n=behind.test",
        "/verify?n=other.test",
        "/verify?n=127.0.0.1",
        "/verify",
    ] {
        let case = get(target).up(&[OK]);
        cases.push(case);
    }
    for target in ["/again?n=a", "/again?n=a", "/again/old?n=a", "/again/old?n=a"] {
        cases.push(get(target).up(&[OK]));
    }
    for target in ["/again?n=b", "/again/shown?n=a", "/again/verified?n=behind.test"] {
        cases.push(get(target).up(&[OK]).differs("sessions-with-servers"));
    }
    cases.push(post("/up", "body").up(&[OK]));
    cases.push(post("/stream", "body").up(&[OK]));
    // Handshakes that come to nothing.
    for hello in
        ["hello:", "hello:HTTP/1.1 400 Bad Request\r\n\r\n", "hello:\x15\x03\x01\x00\x02\x02\x28", "hello:\x16\x03"]
    {
        for target in ["/up", "/two", "/secure-off", "/page"] {
            cases.push(get(target).up(&[hello, OK]));
            cases.push(post(target, "body").up(&[hello, OK]));
        }
    }
    // Ends of TLS, and of the socket alone.
    for answer in [
        "",
        OK,
        "HTTP/1.1 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        for how in ["", "cut:", "reset:"] {
            for target in ["/up", "/unbuffered", "/two"] {
                let short = answer.contains("short");
                // Whether the end comes together with the rest makes a difference to nginx's log.
                if target == "/unbuffered" && short {
                    continue;
                }
                let case = get(target).up(&[&format!("{how}{answer}"), OK]);
                cases.push(
                    case.differs_where(short, "completion-of-cut-answers")
                        .differs_where(answer.contains("chunked"), "length-of-chunks-in-logs")
                        .differs_where(how == "reset:" && !answer.contains("chunked") && answer != OK, "resets-of-tls"),
                );
            }
        }
    }
    for count in [1, 2, 3] {
        let next = "GET /kept HTTP/1.1\r\nHost: a\r\n\r\n".repeat(count);
        cases.push(raw(next).up(&[&format!("keep:{OK}")]).answers(count));
    }
    cases.push(get("/slow").up(&["silent:"]));
    cases
}
