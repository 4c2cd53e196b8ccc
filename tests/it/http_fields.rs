//! Fields that the configuration adds: `add_header`, `add_trailer`, `expires`; and answers that depend on methods and browsers.

use std::io::Write;
use std::time::{Duration, SystemTime};

use super::http::{ask_http, get, read_reply, serve_in, server};
use super::http_config::message;
use super::proxy::{answers, last};
use crate::common::*;

/// All of an answer to a request that ends the connection.
fn raw(port: &Port, request: &str) -> String {
    let mut stream = connect(port.v4());
    stream.write_all(request.as_bytes()).unwrap();
    String::from_utf8(read_all(stream)).unwrap()
}

#[test]
fn fields_are_added_where_the_configuration_says() {
    let prefix = Prefix::new();
    prefix.write("html/f", "0123456789");
    let (_weir, port) = serve_in(prefix, |port| {
        format!(
            "add_header X-Http \"$host $uri\"; add_header X-Always 1 always;
             server {{ listen {};
               location /own/ {{ add_header X-Own 2; add_header X-Empty $arg_nothing; }}
               location /off/ {{ expires off; root html; }}
               location /tag {{ alias html/f; add_header ETag '\"mine\"'; add_header Last-Modified ''; }}
               location /gone {{ return 410; }} location /moved {{ return 302 /f; }} location /said {{ return 200 x; }}
               location /if {{ if ($arg_x) {{ add_header X-If $arg_x; }} return 200 x; }} }}",
            port.v4()
        )
    });
    let reply = get(&port, "/f");
    assert_eq!((reply.field("x-http"), reply.field("x-always")), (Some("a /f"), Some("1")));
    let reply = get(&port, "/own/x");
    assert_eq!((reply.status, reply.field("x-own"), reply.field("x-always")), (404, None, None));
    for (path, status, http, always) in [
        ("/none", 404, None, Some("1")),
        ("/gone", 410, None, Some("1")),
        ("/moved", 302, Some("a /moved"), Some("1")),
        ("/said", 200, Some("a /said"), Some("1")),
    ] {
        let reply = get(&port, path);
        assert_eq!((reply.status, reply.field("x-http"), reply.field("x-always")), (status, http, always), "{path}");
    }
    let reply = get(&port, "/tag");
    let etags = reply.fields.iter().filter(|(name, _)| name == "ETag").map(|(_, value)| value.as_str());
    assert_eq!(etags.collect::<Vec<_>>(), ["\"mine\""]);
    assert_eq!(reply.field("last-modified"), None);
    // What an `if` says of them replaces what stands around it, for what comes behind it too.
    let reply = get(&port, "/if?x=y");
    assert_eq!((reply.field("x-if"), reply.field("x-always"), reply.text()), (Some("y"), None, "x"));
}

#[test]
fn times_until_answers_are_stale() {
    let prefix = Prefix::new();
    let file = prefix.write("html/f", "x");
    let changed = SystemTime::now() - Duration::from_secs(1000);
    std::fs::File::options().write(true).open(file).unwrap().set_modified(changed).unwrap();
    let (_weir, port) = serve_in(prefix, |port| {
        let locations = ["epoch", "max", "1h", "-1h", "0", "modified 1h", "modified 10s", "off", "$arg_e", "@23h59m"];
        let locations = locations.iter().enumerate();
        let locations: String =
            locations.map(|(i, expires)| format!("location /{i} {{ alias html/f; expires {expires}; }}\n")).collect();
        format!(
            "map $arg_e $y {{ default off; long 2h; }} server {{ listen {}; {locations} location /gone {{ expires max; return 410; }} }}",
            port.v4()
        )
    });
    let fresh = |path: &str| {
        let reply = get(&port, path);
        (reply.field("expires").map(str::to_owned), reply.field("cache-control").map(str::to_owned))
    };
    let date = |time: SystemTime| httpdate::fmt_http_date(time);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(fresh("/0"), (some("Thu, 01 Jan 1970 00:00:01 GMT"), some("no-cache")));
    assert_eq!(fresh("/1"), (some("Thu, 31 Dec 2037 23:55:55 GMT"), some("max-age=315360000")));
    assert_eq!(fresh("/2").1, some("max-age=3600"));
    assert_eq!(fresh("/3").1, some("no-cache"));
    assert_eq!(fresh("/4").1, some("max-age=0"));
    let (expires, control) = fresh("/5");
    assert_eq!(expires, Some(date(changed + Duration::from_secs(3600))));
    let age: u64 = control.unwrap().strip_prefix("max-age=").unwrap().parse().unwrap();
    assert!((2000..=2600).contains(&age), "{age}");
    assert_eq!(fresh("/6"), (Some(date(changed + Duration::from_secs(10))), some("no-cache")));
    for off in ["/7", "/8", "/8?e=off", "/8?e=1x", "/gone"] {
        assert_eq!(fresh(off), (None, None), "{off}");
    }
    assert_eq!(fresh("/8?e=2h").1, some("max-age=7200"));
    assert!(fresh("/9").1.unwrap().starts_with("max-age="));
}

#[test]
fn answers_of_servers_get_fields_too() {
    let (backend, _) = answers(
        "HTTP/1.1 200 OK\r\nCache-Control: private\r\nExpires: never\r\nCache-Control: no-store\r\nETag: x\r\nContent-Length: 5\r\n\r\nhello",
    );
    let (_weir, port) = server(&format!(
        "location / {{ proxy_pass http://{}; expires 1m; add_header X-Status $upstream_status; add_header Cache-Control extra; }}",
        backend.address
    ));
    let reply = get(&port, "/");
    let controls = reply.fields.iter().filter(|(name, _)| name == "Cache-Control").map(|(_, value)| value.as_str());
    assert_eq!(controls.collect::<Vec<_>>(), ["max-age=60", "extra"]);
    assert_ne!(reply.field("expires"), Some("never"));
    assert_eq!((reply.field("x-status"), reply.text()), (Some("200"), "hello"));
}

#[test]
fn trailers_stand_behind_chunks() {
    let prefix = Prefix::new();
    prefix.write("html/f", "from a file");
    let (backend, _) = answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let (weir, port) = serve_in(prefix, |port| {
        format!(
            "log_format t '$uri $server_protocol $sent_trailer_x_sent, $sent_trailer_x_none'; access_log trailers.log t;
             add_trailer X-Sent \"$request_method $status\"; add_trailer X-None ''; add_trailer X-All 1 always;
             server {{ listen {}; location /up {{ proxy_pass http://{}; }} location /said {{ return 200 said; }}
             location /empty {{ return 200; }} }}",
            port.v4(),
            backend.address
        )
    });
    let ask = |path: &str, version: &str| {
        raw(&port, &format!("GET {path} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n"))
    };
    let end = "0\r\nX-Sent: GET 200\r\nX-All: 1\r\n\r\n";
    for (path, body) in
        [("/f", "b\r\nfrom a file\r\n"), ("/up", "5\r\nhello\r\n"), ("/said", "4\r\nsaid\r\n"), ("/empty", "")]
    {
        let text = ask(path, "1.1");
        assert!(text.contains("\r\nTransfer-Encoding: chunked\r\n") && !text.contains("Content-Length"), "{text}");
        assert!(text.ends_with(&format!("\r\n\r\n{body}{end}")), "{text}");
    }
    let logged = || weir.prefix.lines("trailers.log");
    for path in ["/f", "/up", "/said"] {
        let line = format!("{path} HTTP/1.1 GET 200, -");
        wait_for(&line, || logged().contains(&line));
    }
    let text = ask("/none", "1.1");
    assert!(text.ends_with("\r\n0\r\nX-All: 1\r\n\r\n"), "{text}");
    let text = ask("/f", "1.0");
    assert!(text.contains("Content-Length: 11\r\n") && text.ends_with("\r\n\r\nfrom a file"), "{text}");
    wait_for("nothing behind what has no chunks", || logged().contains(&"/f HTTP/1.0 -, -".to_owned()));
    let text = raw(&port, "HEAD /f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(text.contains("Content-Length: 11\r\n") && text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn other_methods_are_served_otherwise() {
    let (backend, seen) = answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let (_weir, port) = server(&format!(
        "location / {{ limit_except GET POST {{ deny all; }} return 200 \"served $request_method\"; }}
         location /up {{ proxy_pass http://{0}/x; limit_except GET {{ allow 127.0.0.1; deny all; }} }}
         location /other {{ limit_except GET {{ proxy_pass http://{0}; }} return 200 mine; }}",
        backend.address
    ));
    let ask = |method: &str, path: &str| {
        ask_http(&port, &format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"))
    };
    assert_eq!(ask("GET", "/").text(), "served GET");
    assert_eq!(ask("HEAD", "/").status, 200);
    assert_eq!(ask("POST", "/").text(), "served POST");
    assert_eq!(ask("PUT", "/").status, 403);
    assert_eq!(ask("FOO", "/").status, 403);
    assert_eq!(ask("PUT", "/up").text(), "hello");
    assert!(last(&seen).starts_with("PUT /x "));
    assert_eq!(ask("GET", "/other").text(), "mine");
    assert_eq!(ask("DELETE", "/other").text(), "hello");
    assert!(last(&seen).starts_with("DELETE /other "));
}

#[test]
fn old_browsers_do_not_keep_connections() {
    let (_weir, port) = server(
        "location / { return 200 x; } location /none { keepalive_disable none; return 200 x; }
         location /both { keepalive_disable msie6 safari; return 200 x; }",
    );
    let kept = |method: &str, path: &str, agent: &str| {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nUser-Agent: {agent}\r\n\r\n");
        ask_http(&port, &request).field("connection") == Some("keep-alive")
    };
    let (old, mac) = ("Mozilla/4.0 (compatible; MSIE 6.0; Windows 98)", "Mozilla (Mac OS X 10) AppleWebKit Safari/1");
    assert!(!kept("POST", "/", old) && kept("GET", "/", old) && kept("POST", "/", mac));
    assert!(kept("POST", "/none", old));
    assert!(!kept("POST", "/both", old) && !kept("GET", "/both", mac));
}

#[test]
fn a_client_that_takes_nothing_is_reset() {
    let prefix = Prefix::new();
    std::fs::File::create(prefix.write("html/large", "")).unwrap().set_len(64 << 20).unwrap();
    let (weir, port) = serve_in(prefix, |port| {
        format!("server {{ listen {}; send_timeout 200ms; reset_timedout_connection on; }}", port.v4())
    });
    let mut stream = clients::connect_narrow(port.v4().parse().unwrap());
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    weir.wait_error("client timed out (110: Connection timed out) while sending response to client");
    wait_for("the reset", || stream.take_error().unwrap().is_some());
    let reply = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read_reply(&mut stream, false)));
    assert!(reply.is_err(), "nothing of what was left is delivered");
}

#[test]
fn what_is_wrong_with_them_is_told() {
    for (text, wanted) in [
        ("expires x;", "\"expires\" directive invalid value"),
        ("expires 1h 2h;", "\"expires\" directive invalid value"),
        ("expires modified @1h;", "\"expires\" directive daily time cannot be used with \"modified\" parameter"),
        ("expires @25h;", "\"expires\" directive daily time value must be less than 24 hours"),
        ("expires 1; expires 2;", "\"expires\" directive is duplicate"),
        ("add_header a b c;", "invalid parameter \"c\""),
        ("add_header a $nope;", "unknown \"nope\" variable"),
        ("add_trailer a b sometimes;", "invalid parameter \"sometimes\""),
        ("keepalive_disable foo;", "invalid value \"foo\""),
        ("auth_delay x;", "\"auth_delay\" directive invalid value"),
        ("server { location / { limit_except FOO { deny all; } } }", "invalid method \"FOO\""),
        ("server { limit_except GET { deny all; } }", "\"limit_except\" directive is not allowed here"),
        ("server { location / { limit_except GET { root /; } } }", "\"root\" directive is not allowed here"),
        (
            "server { location / { limit_except GET { proxy_pass http://127.0.0.1/x; } } }",
            "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, or inside \"if\" statement, or inside \"limit_except\" block",
        ),
    ] {
        assert_eq!(message(text), (wanted.to_owned(), false), "{text}");
    }
}
