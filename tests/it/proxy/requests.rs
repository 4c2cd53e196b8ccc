//! What a server is sent.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The first line of what the server gets for a path.
fn target(directives: &str, path: &str) -> String {
    let (backend, seen) = answers(OK);
    let (_weir, port) = proxied("", &directives.replace("SERVER", &backend.address.to_string()));
    assert_eq!(get(&port, path).status, 200);
    last(&seen).split("\r\n").next().unwrap().to_owned()
}

#[test]
fn the_path_is_kept_or_replaced() {
    let plain = "location /one/ { proxy_pass http://SERVER; }";
    assert_eq!(target(plain, "/one/../one/a%2Fb?x=1"), "GET /one/../one/a%2Fb?x=1 HTTP/1.0");
    let slash = "location /one/ { proxy_pass http://SERVER/; }";
    assert_eq!(target(slash, "/one/a%20b//c%25?x=1"), "GET /a%20b/c%25?x=1 HTTP/1.0");
    let other = "location /one { proxy_pass http://SERVER/two; }";
    assert_eq!(target(other, "/one/x"), "GET /two/x HTTP/1.0");
    let exact = "location = /one { proxy_pass http://SERVER/two?y=2; }";
    assert_eq!(target(exact, "/one"), "GET /two?y=2 HTTP/1.0");
    let absolute = "location / { proxy_pass http://SERVER; }";
    assert_eq!(target(absolute, "http://h/p?q"), "GET /p?q HTTP/1.0");
    assert_eq!(target(absolute, "http://h"), "GET / HTTP/1.0");
}

#[test]
fn fields_are_set_dropped_and_inherited() {
    let (backend, seen) = answers(OK);
    let (_weir, port) = proxied(
        &format!("upstream u {{ server {}; }} proxy_set_header X-Top top; proxy_http_version 1.1;", backend.address),
        "location / { proxy_pass http://u; }
         location /own { proxy_pass http://u; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header Host $http_host; proxy_set_header Accept \"\"; proxy_set_header Connection \"\"; }
         location /none { proxy_pass http://u; proxy_pass_request_headers off; proxy_method PUT; }",
    );
    let ask = |path: &str| {
        let fields = "Host: h:1\r\nAccept: */*\r\nX-Forwarded-For: 1.1.1.1\r\nTE: trailers\r\nUpgrade: x\r\nKeep-Alive: 3\r\nExpect: y\r\nProxy-Connection: z";
        assert_eq!(ask_http(&port, &format!("GET {path} HTTP/1.1\r\n{fields}\r\n\r\n")).status, 200);
        last(&seen)
    };
    assert_eq!(
        ask("/"),
        "GET / HTTP/1.1\r\nX-Top: top\r\nHost: u\r\nConnection: close\r\nAccept: */*\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"
    );
    assert_eq!(ask("/own"), "GET /own HTTP/1.1\r\nX-Forwarded-For: 1.1.1.1, 127.0.0.1\r\nHost: h:1\r\n\r\n");
    assert_eq!(ask("/none"), "PUT /none HTTP/1.1\r\nX-Top: top\r\nHost: u\r\nConnection: close\r\n\r\n");
}

#[test]
fn unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 1024];
        let count = stream.read(&mut request).unwrap();
        stream.write_all(OK.as_bytes()).unwrap();
        String::from_utf8(request[..count].to_vec()).unwrap()
    });
    let (weir, port) = proxied("", &format!("location /a/ {{ proxy_pass http://unix:{}:/b/; }}", path.display()));
    assert_eq!(get(&port, "/a/c").text(), "ok");
    assert!(server.join().unwrap().starts_with("GET /b/c HTTP/1.0\r\nHost: localhost\r\n"));
    assert_eq!(weir.wait_access(1)[0], format!("200 [unix:{}] [200] 2 /a/c", path.display()));
    drop(folder);
    assert_eq!(get(&port, "/a/c").status, 502);
    weir.wait_error("(2: No such file or directory) while connecting to upstream");
}

#[test]
fn bad_values_are_refused() {
    for (text, message) in [
        ("proxy_pass backend;", "invalid URL prefix"),
        ("proxy_pass http://;", "no host in upstream \"\""),
        ("proxy_pass http://127.0.0.1:0/;", "invalid port in upstream \"127.0.0.1:0\""),
        ("proxy_pass http://u:81;", "upstream \"u\" may not have port 81"),
        ("proxy_pass http://u; proxy_set_header A $nope;", "unknown \"nope\" variable"),
        ("proxy_pass http://u; proxy_http_version 1.2;", "invalid value \"1.2\""),
        ("proxy_pass http://u; proxy_next_upstream error http_501;", "invalid value \"http_501\""),
        ("proxy_pass http://u; proxy_buffers 1 4k;", "there must be at least 2 \"proxy_buffers\""),
        ("proxy_pass http://u; proxy_redirect x;", "invalid parameter \"x\""),
    ] {
        let prefix = Prefix::new();
        let http =
            format!("upstream u {{ server 127.0.0.1:1; }} server {{ listen 127.0.0.1:1; location / {{ {text} }} }}");
        prefix.write("nginx.conf", crate::http::config(&http));
        let run = prefix.run(&["-t"]);
        assert!(!run.status.success() && run.stderr.contains(message), "{text}: {}", run.stderr);
    }
}
