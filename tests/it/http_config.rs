//! Refusals of `http {}` directives, in nginx's words.

use super::http::config;
use crate::common::*;

/// The first message of `-t` without its level and place.
pub fn message(http: &str) -> (String, bool) {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", config(http));
    let run = prefix.run(&["-t"]);
    let line = run.stderr.lines().find(|line| line.contains('[')).unwrap_or_default();
    let text = line.split_once("] ").map_or("", |(_, text)| text);
    let text = text.split(&format!(" in {}", prefix.text_path("nginx.conf"))).next().unwrap();
    (text.to_owned(), run.status.success())
}

#[test]
fn faults() {
    for (text, wanted) in [
        ("foo;", "unknown directive \"foo\""),
        ("listen 80;", "\"listen\" directive is not allowed here"),
        ("server { listen 127.0.0.1:1 foo; }", "invalid parameter \"foo\""),
        ("server { listen 127.0.0.1:1 backlog=0; }", "invalid backlog \"backlog=0\""),
        ("server { listen 127.0.0.1:1; listen 127.0.0.1:1; }", "a duplicate listen 127.0.0.1:1"),
        (
            "server { listen 127.0.0.1:1 default_server; } server { listen 127.0.0.1:1 default_server; }",
            "a duplicate default server for 127.0.0.1:1",
        ),
        (
            "server { listen 127.0.0.1:1 bind; } server { listen 127.0.0.1:1 bind; }",
            "duplicate listen options for 127.0.0.1:1",
        ),
        ("server { listen [::1]:1 ipv6only=x; }", "invalid parameter \"ipv6only=x\""),
        (
            "server { listen 127.0.0.1:1 ssl; }",
            "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive",
        ),
        (
            "server { listen 127.0.0.1:1 ssl default_server; ssl_reject_handshake on; } server { listen 127.0.0.1:1; server_name a; }",
            "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive",
        ),
        ("server { listen 127.0.0.1:1 rcvbuf=x; }", "invalid rcvbuf \"rcvbuf=x\""),
        ("server { listen 127.0.0.1:1 sndbuf=x; }", "invalid sndbuf \"sndbuf=x\""),
        ("server { listen 127.0.0.1:1 so_keepalive=::; }", "invalid so_keepalive value: \"::\""),
        ("server { listen 127.0.0.1:1 deferred=on; }", "invalid parameter \"deferred=on\""),
        (
            "server { listen 127.0.0.1:1 deferred; } server { listen 127.0.0.1:1 rcvbuf=1m; }",
            "duplicate listen options for 127.0.0.1:1",
        ),
        ("set_real_ip_from nobody;", "host not found in set_real_ip_from \"nobody\""),
        ("set_real_ip_from all;", "host not found in set_real_ip_from \"all\""),
        ("real_ip_header;", "invalid number of arguments in \"real_ip_header\" directive"),
        ("allow 10.0.0.0/33;", "invalid parameter \"10.0.0.0/33\""),
        ("satisfy some;", "invalid value \"some\""),
        ("auth_basic $nope;", "unknown \"nope\" variable"),
        ("auth_basic_user_file;", "invalid number of arguments in \"auth_basic_user_file\" directive"),
        ("ssl_buffer_size 0;", "\"ssl_buffer_size\" directive invalid value"),
        (
            "ssl_certificate /certs/$ssl_server_name.pem;",
            "variables in \"ssl_certificate\" are not offered by weir yet",
        ),
        ("ssl_certificate_key data:$key;", "variables in \"ssl_certificate_key\" are not offered by weir yet"),
        ("ssl_verify_client maybe;", "invalid value \"maybe\""),
        ("server { location / { ssl_ciphers x; } }", "\"ssl_ciphers\" directive is not allowed here"),
        (
            "server { listen 127.0.0.1:1 reuseport; } server { listen 127.0.0.1:1 backlog=5; }",
            "duplicate listen options for 127.0.0.1:1",
        ),
        ("server { listen unix:a.sock reuseport; }", "reuseport is not supported on addr \"unix:a.sock\""),
        ("server { listen 127.0.0.1:1 reuseport=on; }", "invalid parameter \"reuseport=on\""),
        ("error_log a loud;", "invalid log level \"loud\""),
        ("server { location / { error_log syslog:tag=x; } }", "no syslog server specified"),
        ("server { error_log a info debug; }", "duplicate log level \"debug\""),
        ("server { server_name *a; }", "server name \"*a\" is invalid"),
        ("server { server_name ~; }", "empty regex in server name \"~\""),
        ("server { server_name ~(; }", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
        ("server { server_name ~(?<uri>.); }", "the duplicate \"uri\" variable"),
        ("server { location ~ a( {} }", "pcre2_compile() failed: missing closing parenthesis in \"a(\""),
        ("server { location @a { location /b {} } }", "location \"/b\" cannot be inside the named location \"@a\""),
        ("server { location /a { location @b {} } }", "named location \"@b\" can be on the server level only"),
        ("server { location ~ ^/a { location /a {} } }", "location \"/a\" is outside location \"^/a\""),
        ("server { location /a {} location ^~ /a {} }", "duplicate location \"/a\""),
        ("server { set x 1; }", "invalid variable name \"x\""),
        ("server { set $uri 1; }", "the duplicate \"uri\" variable"),
        ("server { set $x $; }", "invalid variable name"),
        ("server { if $uri { break; } }", "invalid condition \"$uri\""),
        ("server { if ($uri == a) { break; } }", "unexpected \"==\" in condition"),
        ("server { if ($nope) { break; } }", "unknown \"nope\" variable"),
        ("server { location / { if ($uri) { if ($uri) {} } } }", "\"if\" directive is not allowed here"),
        ("server { if ($uri) { root x; } }", "\"root\" directive is not allowed here"),
        ("server { location / { if ($uri) { location /a {} } } }", "\"location\" directive is not allowed here"),
        ("server { rewrite a \"\"; }", "empty replacement"),
        ("server { rewrite a b c; }", "invalid parameter \"c\""),
        ("server { rewrite ( b; }", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
        ("server { location @a { alias x; } }", "the \"alias\" directive cannot be used inside the named location"),
        (
            "server { location /a { root x; alias y; } }",
            "\"alias\" directive is duplicate, \"root\" directive was specified earlier",
        ),
        ("server { root $document_root/x; }", "the $document_root variable cannot be used in the \"root\" directive"),
        ("server { try_files a; }", "invalid number of arguments in \"try_files\" directive"),
        ("server { try_files a =x; }", "invalid code \"=x\""),
        ("error_page 404 =x /a;", "invalid value \"=x\""),
        ("error_page 200 /a;", "value \"200\" must be between 300 and 599"),
        ("server { internal; }", "\"internal\" directive is not allowed here"),
        ("server { location / {} location / {} }", "duplicate location \"/\""),
        ("server { location /a { location /b {} } }", "location \"/b\" is outside location \"/a\""),
        (
            "server { location = /a { location /a/b {} } }",
            "location \"/a/b\" cannot be inside the exact location \"/a\"",
        ),
        ("server { location ! /a {} }", "invalid location modifier \"!\""),
        ("server { location a b c {} }", "invalid number of arguments in \"location\" directive"),
        ("server { location / { server_name x; } }", "\"server_name\" directive is not allowed here"),
        ("server { return abc; }", "invalid return code \"abc\""),
        ("server { return 1000; }", "invalid return code \"1000\""),
        ("server { return 200 $nope; }", "unknown \"nope\" variable"),
        ("log_format combined x;", "duplicate \"log_format\" name \"combined\""),
        ("log_format a escape=foo x;", "unknown log format escaping \"foo\""),
        ("log_format a $nope;", "unknown \"nope\" variable"),
        ("server { access_log a b; }", "unknown log format \"b\""),
        ("access_log a nope; server { access_log off; }", "unknown log format \"nope\""),
        ("access_log a nope;", "unknown log format \"nope\""),
        ("access_log a combined buffer=x;", "invalid buffer size \"x\""),
        ("access_log off a;", "invalid parameter \"a\""),
        ("open_log_file_cache max=1 valid=x;", "invalid \"open_log_file_cache\" parameter \"valid=x\""),
        ("open_log_file_cache inactive=1s;", "\"open_log_file_cache\" must have \"max\" parameter"),
        ("access_log a combined foo=1;", "invalid parameter \"foo=1\""),
        ("keepalive_timeout x;", "\"keepalive_timeout\" directive invalid value"),
        ("keepalive_timeout 1 x;", "\"keepalive_timeout\" directive invalid value"),
        ("keepalive_requests x;", "\"keepalive_requests\" directive invalid number"),
        ("large_client_header_buffers 0 8k;", "\"large_client_header_buffers\" directive invalid value"),
        ("client_header_buffer_size x;", "\"client_header_buffer_size\" directive invalid value"),
        ("client_max_body_size x;", "\"client_max_body_size\" directive invalid value"),
        ("server_tokens foo;", "invalid value \"foo\""),
        ("lingering_close foo;", "invalid value \"foo\""),
        ("if_modified_since foo;", "invalid value \"foo\""),
        ("sendfile x;", "invalid value \"x\" in \"sendfile\" directive, it must be \"on\" or \"off\""),
        ("root a; root b;", "\"root\" directive is duplicate"),
        ("index \"\";", "index \"\" in \"index\" directive is invalid"),
        ("tcp_check_status;", "\"tcp_check_status\" directive is not allowed here"),
    ] {
        assert_eq!(message(text), (wanted.to_owned(), false), "{text}");
    }
}

#[test]
fn all_that_is_missing_is_told_at_once() {
    let prefix = Prefix::new();
    prefix.write("part", "ssi on;\n");
    let http = "server {\n  ssi_types a;\n  listen x y z;\n  location / {\n    fastcgi_pass a:1;\n include part;\n mp4 { odd; }\n  }\n}\nfoo;";
    prefix.write("nginx.conf", config(http));
    let run = prefix.run(&["-t"]);
    let lines: Vec<String> =
        run.stderr.lines().map(|line| line.replace(prefix.join("").to_str().unwrap(), "")).collect();
    let line = |name: &str, place: &str| {
        format!("weir: [emerg] unknown directive \"{name}\" in {place} (weir does not have it yet)")
    };
    let mut wanted = vec![
        line("ssi_types", "nginx.conf:9"),
        line("fastcgi_pass", "nginx.conf:12"),
        line("ssi", "part:1"),
        line("mp4", "nginx.conf:14"),
    ];
    wanted.push("weir: configuration file nginx.conf test failed".into());
    assert_eq!(lines, wanted);
}

/// Of directives and parameters that nginx does not have; what it has is compared with it.
#[test]
fn what_nginx_does_not_have() {
    let upstream = |text: &str| format!("upstream u {{ {text} server 127.0.0.1:1; }}");
    let pass = "server { location / { proxy_pass http://127.0.0.1:1;";
    for (text, wanted) in [
        (upstream("check;"), "invalid number of arguments in \"check\" directive"),
        (upstream("check interval=x;"), "invalid parameter \"interval=x\""),
        (upstream("check type=foo;"), "invalid parameter \"type=foo\""),
        (upstream("check port=0;"), "invalid parameter \"port=0\""),
        (upstream("check fall=1; check fall=1;"), "\"check\" directive is duplicate"),
        (upstream("check_http_send;"), "invalid number of arguments in \"check_http_send\" directive"),
        (upstream("check_http_expect_alive http_6xx;"), "invalid value \"http_6xx\""),
        (upstream("check_smtp_send a b;"), "invalid number of arguments in \"check_smtp_send\" directive"),
        (upstream("check_smtp_expect_alive http_2xx;"), "invalid value \"http_2xx\""),
        (upstream("busyness 1;"), "invalid number of arguments in \"busyness\" directive"),
        (
            "upstream u { busyness; server 127.0.0.1:1 weight=2; }".to_owned(),
            "balancing method does not support parameter \"weight=2\"",
        ),
        (
            "upstream u { server 127.0.0.1:1 service=a; }".to_owned(),
            "service upstream \"127.0.0.1:1\" requires \"resolve\" parameter",
        ),
        ("check fall=1;".to_owned(), "\"check\" directive is not allowed here"),
        ("busyness;".to_owned(), "\"busyness\" directive is not allowed here"),
        ("server { tcp_check_status on; }".to_owned(), "invalid number of arguments in \"tcp_check_status\" directive"),
        ("server { check_status on; }".to_owned(), "invalid number of arguments in \"check_status\" directive"),
        (
            "server { location / { if ($uri) { tcp_check_status; } } }".to_owned(),
            "\"tcp_check_status\" directive is not allowed here",
        ),
        (
            format!("{pass} proxy_pass_trailers x; }} }}"),
            "invalid value \"x\" in \"proxy_pass_trailers\" directive, it must be \"on\" or \"off\"",
        ),
        (format!("{pass} proxy_cache_purge; }} }}"), "invalid number of arguments in \"proxy_cache_purge\" directive"),
        (format!("{pass} proxy_cache_purge $nope; }} }}"), "unknown \"nope\" variable"),
        (format!("{pass} proxy_cache_purge a allow=10.0.0.0/33; }} }}"), "invalid parameter \"allow=10.0.0.0/33\""),
        (format!("{pass} resolver 127.0.0.1 ipv4=x; }} }}"), "invalid parameter: ipv4=x"),
        (format!("{pass} resolver 127.0.0.1 ipv4=off ipv6=off; }} }}"), "\"ipv4\" and \"ipv6\" cannot both be \"off\""),
        (format!("{pass} resolver off off; }} }}"), "host not found in resolver \"off\""),
        ("http2 x;".to_owned(), "invalid value \"x\" in \"http2\" directive, it must be \"on\" or \"off\""),
        ("server { location / { http2 on; } }".to_owned(), "\"http2\" directive is not allowed here"),
    ] {
        assert_eq!(message(&text), (wanted.to_owned(), false), "{text}");
    }
}

#[test]
fn variables_by_value_and_address() {
    for (text, wanted) in [
        ("map $uri x { }", "invalid variable name \"x\""),
        ("map $uri $x { a; }", "invalid number of the map parameters"),
        ("map $uri $x { a 1; A 2; }", "conflicting parameter \"a\""),
        ("map $uri $x { default 1; default 2; }", "duplicate default map parameter"),
        ("map $uri $x { hostnames; *a 1; }", "invalid hostname or wildcard \"*a\""),
        ("map $uri $x { ~( 1; }", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
        ("map $uri $x { a $nope; }", "unknown \"nope\" variable"),
        ("map $uri $uri { a b; }", "the duplicate \"uri\" variable"),
        ("split_clients $uri $x { a b; }", "invalid percent value \"a\""),
        ("split_clients $uri $x { 60% a; 50% b; }", "percent total is greater than 100%"),
        ("geo $x { a b; }", "invalid network \"a\""),
        ("geo $x { ranges; 10.0.0.2-10.0.0.1 b; }", "invalid range \"10.0.0.2-10.0.0.1\""),
        ("geo $x { a; }", "invalid number of the geo parameters"),
        ("geo x { a b; }", "invalid variable name \"x\""),
    ] {
        assert_eq!(message(text), (wanted.to_owned(), false), "{text}");
    }
    for (text, wanted) in [
        ("geo $x { 10.0.0.1/8 a; }", "low address bits of 10.0.0.1/8 are meaningless"),
        ("geo $x { 10.0.0.1 a; 10.0.0.1/32 b; }", "duplicate network \"10.0.0.1/32\", value: \"b\", old value: \"a\""),
        ("geo $x { delete 10.0.0.1; }", "no network \"10.0.0.1\" to delete"),
    ] {
        let port = Port::reserve();
        assert_eq!(message(&format!("{text} server {{ listen {}; }}", port.v4())), (wanted.to_owned(), true), "{text}");
    }
}

#[test]
fn warnings() {
    // A port that anybody may listen on, in the place of 1.
    let port = Port::reserve();
    let in_place = |text: &str| text.replace("127.0.0.1:1", &port.v4());
    for (text, wanted) in [
        (
            "server { listen 127.0.0.1:1; } server { listen 127.0.0.1:1; }",
            "conflicting server name \"\" on 127.0.0.1:1, ignored",
        ),
        ("server { server_name a/b; listen 127.0.0.1:1; }", "server name \"a/b\" has suspicious symbols"),
        (
            "types { text/html html; text/plain html; }",
            "duplicate extension \"html\", content type: \"text/plain\", previous content type: \"text/html\"",
        ),
        ("index /a b;", "only the last index in \"index\" directive should be absolute"),
        (
            "server { listen 127.0.0.1:1; check_status; }",
            "the \"check_status\" directive is deprecated, use the \"tcp_check_status\" directive instead",
        ),
    ] {
        assert_eq!(message(&in_place(text)), (in_place(wanted), true), "{text}");
    }
}

#[test]
fn an_address_is_of_one_block_only() {
    let prefix = Prefix::new();
    let tcp = "tcp { server { listen 127.0.0.1:1; return x; } }";
    prefix.write("nginx.conf", format!("{tcp}\n{}", config("server { listen 127.0.0.1:1; return 204; }")));
    let run = prefix.run(&["-t"]);
    assert!(run.stderr.contains("[emerg] duplicate \"127.0.0.1:1\" address and port pair in "), "{}", run.stderr);
}
