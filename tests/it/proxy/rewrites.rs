//! Requests that the configuration has led elsewhere before or after a server was turned to.

use super::*;

const OK: &str = "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn what_a_rewrite_makes_of_the_path_goes_to_the_server() {
    let (backend, seen) = answers(OK);
    let (_weir, port) = proxied(
        "",
        "set $word said;
         location ~ ^/user/(?<who>.+)$ { rewrite ^ /by/$who? break; proxy_pass http://SERVER; proxy_set_header X-Word $word; }
         location /if/ { if ($arg_x) { proxy_pass http://SERVER; } }
         location /keep/ { if ($arg_x) { set $word other; } proxy_pass http://SERVER/new/; }
         location /out/ { rewrite ^ /other break; proxy_pass http://SERVER/new; }"
            .replace("SERVER", &backend.address.to_string())
            .as_str(),
    );
    let first = |path: &str| {
        assert_eq!(get(&port, path).status, 200, "{path}");
        last(&seen).split("\r\n").next().unwrap().to_owned()
    };
    assert_eq!(first("/user/a%20b?c=1"), "GET /by/a%20b HTTP/1.0");
    assert!(last(&seen).contains("\r\nX-Word: said\r\n"));
    assert_eq!(first("/if/%41?x=1"), "GET /if/%41?x=1 HTTP/1.0");
    assert_eq!(get(&port, "/if/a").status, 404);
    assert_eq!(first("/keep/a?x=1"), "GET /new/a?x=1 HTTP/1.0");
    assert_eq!(first("/out/a"), "GET /other HTTP/1.0");
}

#[test]
fn an_error_page_stands_for_a_server_that_fails() {
    let closed = Port::reserve();
    let (weir, port) = proxied(
        "",
        &format!(
            "location / {{ error_page 502 =503 /sorry; proxy_pass http://{}; }} location = /sorry {{ return 200 later; }}",
            closed.v4()
        ),
    );
    let reply = get(&port, "/x");
    assert_eq!((reply.status, reply.text()), (503, "later"));
    assert_eq!(weir.wait_access(1)[0], format!("503 [{}] [502] 0 /x", closed.v4()));
}

#[test]
fn an_error_page_may_be_another_servers_who_gets_the_same_body() {
    let (closed, (backend, seen)) = (Port::reserve(), answers(OK));
    let (weir, port) = proxied(
        "",
        &format!(
            "location / {{ error_page 502 = @second; proxy_pass http://{}; }}
             location @second {{ proxy_pass http://{}; }}
             location /missing {{ error_page 404 =202 @second; }}",
            closed.v4(),
            backend.address
        ),
    );
    let reply = ask_http(&port, "POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((reply.status, reply.text()), (200, "ok"));
    let request = last(&seen);
    assert!(request.starts_with("POST /x?y HTTP/1.0\r\n") && request.ends_with("\r\n\r\nhello"), "{request}");
    let line = format!("200 [{} : {}] [502 : 200] 0 : 2 /x?y", closed.v4(), backend.address);
    assert_eq!(weir.wait_access(1)[0], line);
    assert_eq!(get(&port, "/missing").status, 202);
}
