//! Answers of servers that lead elsewhere: `X-Accel-Redirect`, `proxy_intercept_errors`.

use super::*;

fn led(fields: &str) -> String {
    format!("HTTP/1.1 200 Fine\r\n{fields}\r\nContent-Length: 4\r\n\r\ngone")
}

#[test]
fn a_path_a_named_location_or_nowhere() {
    let path = |name: &str, fields: &str| (name.to_owned(), led(fields));
    let backend = answers_by_path(vec![
        path("/plain", "X-Accel-Redirect: /in/a%20b?c=%20"),
        path(
            "/fields",
            "X-Accel-Redirect: /in/x\r\nContent-Type: a/b\r\nSet-Cookie: a=1; Path=/s/\r\nSet-Cookie: b=2\r\nCache-Control: no-store\r\nExpires: never\r\nContent-Disposition: inline\r\nX-Other: 1\r\nETag: \"1\"\r\nLast-Modified: x",
        ),
        path("/named", "X-Accel-Redirect: @there"),
        path("/none", "X-Accel-Redirect: @none"),
        path("/unsafe", "X-Accel-Redirect: /in/../x"),
        path("/ignored", "X-Accel-Redirect: /in/x"),
        path("/twice", "X-Accel-Redirect: /on/type\r\nContent-Type: first/one\r\nSet-Cookie: a=1"),
        path("/type", "Content-Type: second/one\r\nSet-Cookie: b=2"),
        path("/round", "X-Accel-Redirect: /round"),
        path("/status", "X-Accel-Redirect: /in/status"),
    ]);
    let text = "location / { proxy_pass http://SERVER; proxy_cookie_path /s/ /t/; }
         location /ignored { proxy_pass http://SERVER; proxy_ignore_headers X-Accel-Redirect; }
         location /on/ { internal; proxy_pass http://SERVER/; }
         location /in/ { internal; return 200 \"$request_method $uri $args $upstream_http_x_other\"; }
         location /in/status { internal; return 403; }
         location @there { default_type x/y; return 201 \"$request_method $uri\"; }";
    let ask = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    let requests = [
        ask("POST", "/plain"),
        ask("HEAD", "/plain"),
        ask("GET", "/fields"),
        ask("POST", "/named"),
        ask("GET", "/none"),
        ask("GET", "/unsafe"),
        ask("GET", "/ignored"),
        ask("GET", "/twice"),
        ask("GET", "/round"),
        ask("GET", "/status"),
        ask("GET", "/in/x"),
    ];
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let replies = as_nginx_does("", text, &backend, &requests);
    assert_eq!(replies[0].text(), "GET /in/a b c=%20 ");
    assert_eq!(replies[2].field("content-type"), Some("a/b"));
    assert_eq!(replies[3].text(), "POST /named");
    assert_eq!(
        replies.iter().map(|reply| reply.status).collect::<Vec<_>>(),
        [200, 200, 200, 201, 500, 404, 200, 200, 500, 403, 404]
    );
}

#[test]
fn a_file_that_a_server_leads_to() {
    let backend = answers_by_path(vec![(
        "/x".into(),
        led("X-Accel-Redirect: /files/a.txt\r\nContent-Type: a/b\r\nExpires: never"),
    )]);
    let prefix = Prefix::new();
    prefix.write("html/files/a.txt", "0123456789");
    let (weir, port) = crate::http::serve_in(prefix, |port| {
        format!(
            "log_format up '$status $upstream_status $upstream_response_length $body_bytes_sent';
             server {{ access_log access.log up; listen {}; location / {{ proxy_pass http://{}; }} location /files/ {{ internal; }} }}",
            port.v4(),
            backend.address
        )
    });
    let reply = ask_http(&port, "GET /x HTTP/1.1\r\nHost: a\r\nRange: bytes=2-4\r\n\r\n");
    assert_eq!((reply.status, reply.text()), (206, "234"));
    assert_eq!((reply.field("content-type"), reply.field("expires")), (Some("a/b"), Some("never")));
    assert_eq!(weir.wait_access(1)[0], "206 200 0 3");
}

#[test]
fn error_pages_stand_for_what_servers_answer() {
    let answer = |status: &str| {
        format!("HTTP/1.1 {status}\r\nX-Own: 1\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 3\r\n\r\nown")
    };
    let answers =
        ["404 No", "401 No", "503 No", "302 No", "204 No"].map(|status| (format!("/{}", &status[..3]), answer(status)));
    let backend = answers_by_path(answers.to_vec());
    let text = "error_page 404 =201 /page; error_page 401 503 302 /page;
         location / { proxy_pass http://SERVER; proxy_intercept_errors on; }
         location /off/ { proxy_pass http://SERVER/; }
         location /deep/ { proxy_pass http://SERVER/; proxy_intercept_errors on; error_page 404 @again; }
         location @again { proxy_pass http://SERVER; proxy_set_header X-A b; }
         location = /page { return 200 \"page $upstream_http_x_own\"; }";
    let requests = ["/404", "/401", "/503", "/302", "/off/404", "/off/503", "/deep/404"];
    let requests = requests.map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let replies = as_nginx_does("", text, &backend, &requests.each_ref().map(String::as_str));
    assert_eq!((replies[0].status, replies[0].text()), (201, "page 1"));
    assert_eq!(replies[1].field("www-authenticate"), Some("Basic realm=x"));
    assert_eq!((replies[4].status, replies[4].text()), (404, "own"));
}

#[test]
fn the_charset_that_a_server_names() {
    let backend =
        answers_by_path(vec![("/x".into(), led("X-Accel-Charset: koi8-r\r\nContent-Type: text/html; charset=x"))]);
    let text = format!(
        "location / {{ proxy_pass http://{0}; }} location /i/ {{ proxy_pass http://{0}/; proxy_ignore_headers X-Accel-Charset; }}",
        backend.address
    );
    let (_weir, port) = proxied("", &text);
    assert_eq!(get(&port, "/x").field("content-type"), Some("text/html; charset=koi8-r"));
    let reply = get(&port, "/i/x");
    assert_eq!((reply.field("content-type"), reply.field("x-accel-charset")), (Some("text/html; charset=x"), None));
}
