//! Who may have what: `allow`, `deny`, `auth_basic`, `satisfy`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::http::{Reply, ask_http, get, serve_in, server};
use crate::common::*;

/// GET with a name and a password.
#[track_caller]
fn get_as(port: &Port, path: &str, user: &str, password: &str) -> Reply {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    ask_http(port, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\r\n"))
}

#[test]
fn rules_of_addresses() {
    let prefix = Prefix::new();
    prefix.write("html/f", "file");
    let (weir, port) = serve_in(prefix, |port| {
        format!(
            "deny all; server {{ listen {}; listen unix:s.sock;
             location /open/ {{ allow all; }} location /one/ {{ deny 127.0.0.2; allow 127.0.0.0/8; deny all; }}
             location /other/ {{ allow 127.0.0.2; deny all; }} location /unix/ {{ allow unix:; deny all; }}
             location /none/ {{ allow 10.0.0.0/8; }} location /return/ {{ return 200 said; }} }}",
            port.v4()
        )
    });
    for (path, status) in [
        ("/f", 403),
        ("/open/x", 404),
        ("/one/x", 404),
        ("/other/x", 403),
        ("/unix/x", 403),
        ("/none/x", 404),
        ("/return/", 200),
    ] {
        assert_eq!(get(&port, path).status, status, "{path}");
    }
    let mut local = UnixStream::connect(weir.prefix.join("s.sock")).unwrap();
    local.write_all(b"GET /unix/x HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    local.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 404 "), "{text}");
    let line = weir.wait_error("access forbidden by rule");
    let end = "access forbidden by rule, client: 127.0.0.1, server: , request: \"GET /f HTTP/1.1\", host: \"a\"";
    assert!(line.contains("[error]") && line.ends_with(end), "{line}");
}

#[test]
fn names_and_passwords() {
    let prefix = Prefix::new();
    prefix.write("html/f", "for friends");
    prefix.write(
        "users",
        "# friends\nplain:{PLAIN}secret\nsha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=:a comment\n\
         apr1:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\nmd5:$1$salty$imEDvbxFkbZYQI/2lKgu10\nodd:$99$x\n",
    );
    let (weir, port) = serve_in(prefix, |port| {
        format!(
            "server {{ listen {}; auth_basic \"for $host\"; auth_basic_user_file users;
             location /off {{ auth_basic off; }} location /gone {{ auth_basic_user_file gone; }} }}",
            port.v4()
        )
    });
    let reply = get(&port, "/f");
    assert_eq!((reply.status, reply.field("www-authenticate")), (401, Some("Basic realm=\"for a\"")));
    assert_eq!(reply.field("connection"), Some("keep-alive"));
    assert!(reply.text().contains("<h1>401 Authorization Required</h1>"), "{}", reply.text());
    let line = weir.wait_error("no user/password was provided for basic authentication, client: 127.0.0.1");
    assert!(line.contains("[info]"), "{line}");
    for user in ["plain", "sha", "apr1", "md5"] {
        let reply = get_as(&port, "/f", user, "secret");
        assert_eq!((reply.status, reply.text()), (200, "for friends"), "{user}");
        assert_eq!(get_as(&port, "/f", user, "Secret").status, 401);
        weir.wait_error(&format!("user \"{user}\": password mismatch, client: 127.0.0.1"));
    }
    assert_eq!(get_as(&port, "/f", "nobody", "secret").status, 401);
    weir.wait_error(&format!("user \"nobody\" was not found in \"{}\", client", weir.prefix.text_path("users")));
    assert_eq!(get_as(&port, "/f", "odd", "secret").status, 401);
    assert_eq!(get(&port, "/off").status, 404);
    assert_eq!(get_as(&port, "/gone", "plain", "secret").status, 403);
    let line =
        weir.wait_error(&format!("open() \"{}\" failed (2: No such file or directory)", weir.prefix.text_path("gone")));
    assert!(line.contains("[error]"), "{line}");
    // Users are read anew for each request.
    weir.prefix.replace("users", "new:{PLAIN}x\n");
    assert_eq!((get_as(&port, "/f", "new", "x").status, get_as(&port, "/f", "plain", "secret").status), (200, 401));
    assert!(weir.wait_access(1)[0].contains("127.0.0.1 - - ["));
    assert!(weir.prefix.read("access.log").contains("127.0.0.1 - new ["));
}

#[test]
fn one_of_both_is_enough() {
    let prefix = Prefix::new();
    prefix.write("users", "a:{PLAIN}b\n");
    let (weir, port) = serve_in(prefix, |port| {
        let location = |path: &str, rule: &str, more: &str| {
            format!("location {path} {{ satisfy any; {rule} auth_basic x; auth_basic_user_file users; {more} }}\n")
        };
        format!(
            "server {{ listen {}; {} {} {} {} }}",
            port.v4(),
            location("/let_in", "allow all;", ""),
            location("/kept_out", "deny all;", ""),
            location("/unsaid", "", ""),
            "location /gone { satisfy any; deny all; auth_basic x; auth_basic_user_file gone; }",
        )
    });
    let statuses = |path: &str| (get(&port, path).status, get_as(&port, path, "a", "b").status);
    assert_eq!(statuses("/let_in"), (404, 404));
    assert_eq!(statuses("/kept_out"), (401, 404));
    assert_eq!(statuses("/unsaid"), (401, 404));
    assert_eq!(statuses("/gone"), (401, 403));
    assert!(!weir.error_log().contains("forbidden"));
}

#[test]
fn the_status_page_for_some() {
    let (_weir, port) = server("location /status { tcp_check_status; allow 127.0.0.2; deny all; }");
    assert_eq!(get(&port, "/status").status, 403);
}

#[test]
fn what_a_client_must_know_outlives_an_error_page() {
    let prefix = Prefix::new();
    prefix.write("users", "a:{PLAIN}b\n");
    prefix.write("html/401.html", "who?");
    let (_weir, port) = serve_in(prefix, |port| {
        format!(
            "server {{ listen {}; auth_basic x; auth_basic_user_file users; error_page 401 /401.html;
             location = /401.html {{ auth_basic off; }} location /said/ {{ error_page 401 @said; }}
             location /elsewhere/ {{ error_page 401 http://a/; }}
             location @said {{ auth_basic off; return 200 said; }} }}",
            port.v4()
        )
    });
    for (path, status, text) in [("/f", 401, "who?"), ("/said/", 401, "said")] {
        let reply = get(&port, path);
        assert_eq!((reply.status, reply.text()), (status, text));
        assert_eq!(reply.field("www-authenticate"), Some("Basic realm=\"x\""), "{path}");
    }
    assert_eq!(get(&port, "/elsewhere/").status, 302);
}

#[test]
fn wrong_passwords_are_answered_late() {
    let prefix = Prefix::new();
    prefix.write("users", "a:{PLAIN}b\n");
    prefix.write("html/f", "file");
    let (weir, port) = serve_in(prefix, |port| {
        format!(
            "server {{ listen {}; auth_basic x; auth_basic_user_file users; auth_delay 300ms;
             location /long {{ auth_delay 1h; }} }}",
            port.v4()
        )
    });
    let before = Instant::now();
    assert_eq!(get_as(&port, "/f", "a", "c").status, 401);
    assert!(before.elapsed() >= Duration::from_millis(290), "{:?}", before.elapsed());
    assert!(weir.wait_error("delaying unauthorized request, client: 127.0.0.1").contains("[info]"));
    assert_eq!(get_as(&port, "/f", "a", "b").text(), "file");
    // Others are served while one waits, and one that leaves meanwhile is noticed.
    let mut waiting = connect(port.v4());
    waiting.write_all(b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_for("two that are delayed", || weir.error_log().matches("delaying unauthorized request").count() == 2);
    assert_eq!(get_as(&port, "/f", "a", "b").status, 200);
    drop(waiting);
    let lines = weir.wait_access(4);
    assert!(lines[3].contains("\"GET /long HTTP/1.1\" 499 0"), "{}", lines[3]);
}
