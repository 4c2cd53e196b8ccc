//! Configurations as operators write them: rewrites in conditions, fallbacks, error pages of other servers, files by expressions, access.

use super::Theme;
use super::case::{Case, ask, get, get_with, head, post, raw};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off; default_type text/plain; types { text/html html; text/css css; }
            map $uri $to { default \"\"; /old /new; ~^/moved/(?<rest>.+)$ /there/$rest; ~*\\.ASPX$ /gone; }
            map $http_host $backend { hostnames; default {up}; .wild.test {up2}; www.* {up}; exact.test {up3}; }
            map $http_user_agent $robot { default 0; ~*(bot|spider) 1; \"\" 2; }
            map $arg_a:$arg_b $pair { volatile; ~^(?<first>[^:]*):(?<second>.*)$ $second-$first; }
            split_clients $arg_s $variant { 30% a; 50% b; * c; }
            geo $country { default XX; 127.0.0.0/8 LO; 10.0.0.0/8 TEN; 10.1.0.0/16 SUB; delete 10.2.0.0/16; }
            geo $http_x_client $range { ranges; default none; 10.0.0.0-10.0.0.10 first; 10.0.0.5-10.0.0.6 middle; }
            geo $proxied { proxy 127.0.0.0/8; proxy_recursive; default other; 1.2.3.0/24 near; 127.0.0.0/8 local; }
            upstream app { server {up}; } upstream down { server {closed}; }
            server { listen {listen}; server_name main; root html;
                if ($to) { rewrite ^ $to last; }
                location / { try_files $uri $uri/ @app; }
                location @app { proxy_pass http://app; proxy_set_header X-Uri $uri; }
                location @page { return 200 \"page $uri $args $status\"; }
                location @gone { proxy_pass http://{up}; proxy_intercept_errors on; error_page 404 /page.html; }
                location /new { return 200 \"new $uri $args\"; } location /there/ { return 200 \"there $uri $rest\"; } location /gone { return 410; }
                location /if/ { set $x 0; if ($robot) { set $x 1; } if ($request_method = POST) { set $x \"${x}p\"; }
                    if ($x = 1p) { return 403; } if ($x ~ ^1) { rewrite ^/if/(.*)$ /new/$1?robot break; }
                    if ($args ~ (?<pick>[^&]*)&) { rewrite ^ /there/$pick? last; } if ($arg_r) { rewrite ^/if/(.*)$ http://other/$1 redirect; }
                    if ($http_cookie ~* \"id=([^;]+)(?:;|$)\") { set $id $1; } if (!-f $request_filename) { break; }
                    return 200 \"x=$x id=$id uri=$uri pick=$pick\"; }
                location /ifproxy { if ($arg_p) { proxy_pass http://{up2}; } if ($arg_h) { add_header X-If $arg_h; } proxy_pass http://{up}; add_header X-Out o; }
                location /nest/ { rewrite ^/nest/a$ /nest/b/x; location /nest/b/ { rewrite ^/nest/b/(.*)$ /nest/c/$1 last; } location /nest/c/ { rewrite ^ /nest/d; return 200 \"c $uri\"; } location ~ /nest/(?<n>d)$ { return 200 \"d $n $uri\"; } return 200 \"nest $uri\"; }
                location /flags/last { rewrite ^/flags/last/(.*)$ /there/$1?a=b last; return 200 no; } location /flags/break { rewrite ^/flags/break/(.*)$ /files/$1 break; }
                location /flags/perm { rewrite ^/flags/perm/(.*)$ /x/$1 permanent; } location /flags/redir { rewrite ^/flags/redir/(.*)$ /x/$1?q? redirect; } location /flags/scheme { rewrite ^ https://$host$request_uri? permanent; }
                location /flags/args { rewrite ^/flags/args/(\\d+)/(\\w+)$ /new?id=$1&name=$2&old=$args? last; }
                location ~ ^/users/(.+\\.(?:txt|html))$ { alias {dir}/html/files/$1; }
                location ~ ^/named/(?<file>.+)$ { alias {dir}/html/files/$file; }
                location /alias-if/ { alias html/files/; if ($arg_x) { return 200 aliased; } }
                location /alias-try/ { alias html/files/; try_files $uri hello.txt =404; }
                location /spa/ { try_files $uri $uri/ /spa/index.html; }
                location /codes/200 { try_files /nope =200; } location /codes/204 { try_files /nope =204; } location /codes/301 { try_files /nope =301; } location /codes/444 { try_files /nope =444; } location /codes/500 { try_files /nope =500; error_page 500 @page; }
                location /tryargs { try_files /nope$arg_f /new?$args&x=1; } location /tryproxy { try_files /nope @down; } location @down { proxy_pass http://down; error_page 502 503 504 @page; }
                location /ep/proxied { proxy_pass http://{up}; proxy_intercept_errors on; error_page 404 403 @page; error_page 500 502 =200 /ep/static; error_page 503 = @app; error_page 401 /new?x=$status; error_page 405 =302 /new; }
                location /ep/static { return 200 static; } location /ep/chain { error_page 404 /ep/chain2; return 404; } location /ep/chain2 { error_page 403 /new; return 403; }
                location /ep/recursive { recursive_error_pages on; error_page 404 /ep/recursive2; return 404; } location /ep/recursive2 { recursive_error_pages on; error_page 403 = /new; return 403; }
                location /ep/uri { error_page 404 $arg_u; return 404; } location /ep/loop { recursive_error_pages on; error_page 404 /ep/loop; return 404; } location /ep/same { error_page 404 =404 /new; return 404; } location /ep/zero { error_page 404 =@page; return 404; }
                location /auth { auth_basic closed; auth_basic_user_file users; satisfy any; allow 10.0.0.0/8; deny all; root html; }
                location /auth-in { auth_basic closed; auth_basic_user_file users; satisfy any; allow 127.0.0.0/8; deny all; return 200 in; } location /auth-in-file { auth_basic closed; auth_basic_user_file users; satisfy any; allow 127.0.0.0/8; deny all; alias html/files/hello.txt; }
                location /auth-all { auth_basic closed; auth_basic_user_file users; satisfy all; allow 127.0.0.0/8; deny all; alias html/files/hello.txt; }
                location /auth-denied { auth_basic closed; auth_basic_user_file users; satisfy all; deny all; alias html/files/hello.txt; error_page 403 =200 @page; }
                location /auth-page { auth_basic closed; auth_basic_user_file users; error_page 401 /401.html; alias html/files/hello.txt; } location = /401.html { internal; return 401 \"who\"; }
                location /auth-dir { auth_basic closed; auth_basic_user_file {dir}/html; alias html/files/hello.txt; } location /auth-proxy { auth_basic closed; auth_basic_user_file users; proxy_pass http://{up}; proxy_set_header X-User $remote_user; }
                location /except { limit_except GET POST { deny all; } alias html/files/hello.txt; } location /except-auth { limit_except GET { auth_basic x; auth_basic_user_file users; } proxy_pass http://{up}; }
                location /maps { return 200 \"$robot $pair $variant $country $range $proxied $backend\"; }
                location /host { proxy_pass http://$backend; }
                location /accel { proxy_pass http://{up}; } location /protected/ { internal; alias html/files/; add_header X-Protected p; } location /protected-proxy/ { internal; proxy_pass http://{up2}/; }
                location /pp { proxy_pass http://{up}; location /pp/uri/ { proxy_pass http://{up}/base/; } location /pp/none/ { proxy_pass http://{up}; } location /pp/q/ { proxy_pass http://{up}/base?fixed=1; }
                    location /pp/var/ { proxy_pass http://{up}$request_uri; } location /pp/vuri/ { proxy_pass http://{up}$uri; } location /pp/vargs/ { proxy_pass http://{up}/x$is_args$args; } location /pp/noslash { proxy_pass http://{up}/base; }
                    location /pp/rw/ { rewrite ^/pp/rw/(.*)$ /$1 break; proxy_pass http://{up}; } location /pp/rwargs/ { rewrite ^/pp/rwargs/(.*)$ /$1?n=1 break; proxy_pass http://{up}; } location /pp/set/ { set $args x=y; proxy_pass http://{up}; } }
                location /raw { return 200 \"$uri $request_uri\"; }
                location /addh { add_header X-A a always; add_header X-B b; location /addh/in { add_header X-C c; alias html/files/hello.txt; } location /addh/none { alias html/files/hello.txt; } location /addh/etag { add_header ETag '\"own\"' always; add_header Last-Modified \"\"; alias html/files/hello.txt; } location /addh/204 { return 204; } location /addh/416 { alias html/files/hello.txt; } location /addh/404 { return 404; } }
                location /eploop { proxy_pass http://{closed}; recursive_error_pages on; error_page 502 /eploop; } location /epnone { proxy_pass http://{closed}; error_page 502 $arg_u; } location /codes/408 { try_files /nope =408; } location /codes/499 { try_files /nope =499; } location /empty { return 204; } location /zero { proxy_pass http://{up}; } location /last { return 200 last; } }
            server { listen {listen}; server_name slashes; merge_slashes off; location // { return 200 \"double $uri\"; } location / { return 200 \"one $uri\"; } }
            server { listen {listen} ; server_name ~^(?<sub>[a-z]+)\\.sub\\.test$ *.star.test; root html/$sub; location / { return 200 \"sub=$sub root=$document_root name=$server_name\"; } }",
        files: vec![
            ("html/index.html", "root index".into()),
            ("html/page.html", "a page".into()),
            ("html/spa/index.html", "the app".into()),
            ("html/spa/a.css", "a {}".into()),
            ("html/files/hello.txt", "hello, world\n".into()),
            ("html/files/page.html", "<p>page</p>".into()),
            ("html/folder/index.html", "folder".into()),
            ("html/auth", "authorized".into()),
            ("users", "user:{PLAIN}pass\n".into()),
        ],
        cases: cases(),
    }
}

const USER: &str = "Authorization: Basic dXNlcjpwYXNz\r\n";
const WRONG: &str = "Authorization: Basic dXNlcjp3cm9uZw==\r\n";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in [
        "/",
        "/x",
        "/folder",
        "/folder/",
        "/files/hello.txt",
        "/old",
        "/old?q=1",
        "/moved/a%20b",
        "/moved/",
        "/x.aspx",
        "/nope/../files/hello.txt",
        "//files//hello.txt",
        "/if/a",
        "/if/a?r=1",
        "/if/a?one&two",
        "/nest/a",
        "/nest/b/x",
        "/nest/c/x",
        "/nest/d",
        "/nest/x",
        "/flags/last/x?q",
        "/flags/break/hello.txt",
        "/flags/break/nope",
        "/flags/perm/a%20b?q",
        "/flags/redir/x?y",
        "/flags/scheme/x?y=%20",
        "/flags/args/1/two?z",
        "/flags/args/x",
        "/users/hello.txt",
        "/users/page.html",
        "/users/nope.txt",
        "/users/x",
        "/users/../files/hello.txt",
        "/named/hello.txt",
        "/named/a/b",
        "/named/%2e%2e/hello.txt",
        "/named/",
        "/alias-if/hello.txt",
        "/alias-if/hello.txt?x=1",
        "/alias-try/page.html",
        "/alias-try/nope",
        "/alias-try/",
        "/spa/",
        "/spa/a.css",
        "/spa/deep/route",
        "/spa",
        "/codes/204",
        "/codes/301",
        "/codes/444",
        "/codes/408",
        "/codes/499",
        "/eploop",
        "/epnone?u=@none",
        "/epnone?u=/new",
        "/codes/500",
        "/tryargs?a=b",
        "/tryargs",
        "/tryproxy?x",
        "/ep/chain",
        "/ep/recursive",
        "/ep/uri?u=/new",
        "/ep/uri?u=@page",
        "/ep/uri?u=http://x/",
        "/ep/uri",
        "/ep/loop",
        "/ep/same",
        "/ep/zero",
        "/maps",
        "/maps?a=1&b=2",
        "/maps?s=x",
        "/maps?s=y",
        "/maps?s=z",
        "/raw//a///b",
        "/addh",
        "/addh/in",
        "/addh/none",
        "/addh/etag",
        "/addh/204",
        "/addh/404",
        "/empty",
        "/pp/a%2fb//c/../d",
        "/pp/uri/a%2fb?c",
        "/pp/uri/a%20b%3fc%25d",
        "/pp/uri//a",
        "/pp/uri/./a/../b",
        "/pp/uri/%2e%2e%2fx",
        "/pp/none/a%2fb?c",
        "/pp/none/a//b/./c",
        "/pp/q/x?y",
        "/pp/q/",
        "/pp/var/a%2fb?c",
        "/pp/var/a//b",
        "/pp/vuri/ab?c",
        "/pp/vargs/x?y=z",
        "/pp/vargs/x",
        "/pp/noslash",
        "/pp/noslashed/x",
        "/pp/rw/a%20b?c",
        "/pp/rw/a%2fb",
        "/pp/rwargs/a?b",
        "/pp/set/a?b",
        "/pp/uri/\u{e9}",
        "/pp/uri/a+b&c=d;e",
        "/pp/uri/a%23b%3bc",
        "/pp/uri/%41%7e%2d",
        "/pp/none/%41%7e",
        "/pp/uri/a\"b<c>d|e\\f^g`h{i}",
    ] {
        // What is chosen by a variable.
        let empty = target == "/spa/deep/route" || target.ends_with("u=/new");
        cases.push(get(target).differs_where(empty, "empty-args-in-logs"));
        if !target.starts_with("/pp") {
            cases.push(head(target).differs_where(empty, "empty-args-in-logs"));
        }
    }
    cases.push(get("/codes/200").and_end().differs("status-of-try-files"));
    for agent in ["Googlebot/2.1", "Mozilla", "a spider"] {
        cases.push(get_with("/if/a", &format!("User-Agent: {agent}\r\n")));
        cases.push(ask("POST", "/if/a", &format!("User-Agent: {agent}\r\n"), ""));
        cases.push(get_with("/maps", &format!("User-Agent: {agent}\r\n")));
    }
    for fields in ["Cookie: id=7\r\n", "Cookie: a=b; ID=x y; c=d\r\n"] {
        cases.push(get_with("/if/files", fields));
    }
    for target in ["/ifproxy", "/ifproxy?p=1", "/ifproxy?h=1", "/ifproxy?p=1&h=1"] {
        cases.push(get(target));
        cases.push(post(target, "body"));
    }
    for client in [
        "10.0.0.1",
        "10.0.0.5",
        "10.0.0.10",
        "10.0.0.11",
        "x",
        "1.2.3.4",
        "1.2.3.4, 127.0.0.1",
        "127.0.0.1",
        "1.2.3.4, 9.9.9.9",
    ] {
        cases.push(get_with("/maps", &format!("X-Client: {client}\r\nX-Forwarded-For: {client}\r\n")));
    }
    for host in [
        "a.wild.test",
        "wild.test",
        "WWW.x",
        "exact.test",
        "none",
        "sub.star.test",
        "abc.sub.test",
        "ABC.sub.test",
        "a.b.sub.test",
        "slashes",
    ] {
        for target in ["/host", "/maps", "//a//b"] {
            cases.push(raw(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")));
        }
    }
    for target in
        ["/auth", "/auth-in", "/auth-in-file", "/auth-all", "/auth-denied", "/auth-page", "/auth-dir", "/auth-proxy"]
    {
        for fields in ["", USER, WRONG] {
            cases.push(get_with(target, fields));
        }
    }
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "get"] {
        cases.push(ask(method, "/except", "", ""));
        cases.push(ask(method, "/except-auth", "", ""));
        cases.push(ask(method, "/except-auth", USER, ""));
    }
    for status in [
        "404 Not Found",
        "403 Forbidden",
        "500 Oops",
        "502 Bad",
        "503 Busy",
        "401 Who",
        "405 Not",
        "200 OK",
        "301 Moved",
    ] {
        let answer = format!(
            "HTTP/1.1 {status}\r\nX-Up: 1\r\nWWW-Authenticate: x\r\nLocation: /y\r\nRetry-After: 5\r\nContent-Type: text/x\r\nContent-Length: 4\r\n\r\nbody"
        );
        for target in ["/ep/proxied?z", "/x", "/zero"] {
            cases.push(get(target).up(&[&answer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"]));
            cases.push(post(target, "body").up(&[&answer, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"]));
        }
    }
    for (path, fields) in [
        ("/protected/hello.txt", ""),
        (
            "/protected/hello.txt",
            "Content-Type: a/b\r\nContent-Disposition: x\r\nSet-Cookie: a=b\r\nCache-Control: private\r\nExpires: x\r\nETag: \"up\"\r\nLast-Modified: y\r\n",
        ),
        ("/protected/nope", ""),
        ("/protected-proxy/x?y", ""),
        ("@page", ""),
        ("/protected/%68ello.txt", ""),
        ("/protected/../files/hello.txt", ""),
        ("/maps?a=1", ""),
        ("/accel", ""),
        ("@missing", ""),
        ("/protected/hello.txt?x=1", ""),
        ("/protected/", ""),
        ("", ""),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nX-Accel-Redirect: {path}\r\n{fields}Content-Length: 4\r\n\r\nbody");
        let other = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother";
        for asked in [
            "",
            "Range: bytes=2-4\r\n",
            "Range: bytes=50-\r\n",
            "If-None-Match: \"5f5e1000-d\"\r\n",
            "If-Modified-Since: Sun, 13 Sep 2020 12:26:40 GMT\r\n",
        ] {
            cases.push(get_with("/accel", asked).up(&[&answer, other]));
        }
        cases.push(post("/accel", "body").up(&[&answer, other]));
        cases.push(head("/accel").up(&[&answer, other]));
    }
    // Small things.
    for range in ["bytes=50-", "bytes=2-4"] {
        for target in ["/addh/416", "/addh/in", "/addh/etag"] {
            let twice = range == "bytes=50-" && target != "/addh/in";
            cases.push(get_with(target, &format!("Range: {range}\r\n")).differs_where(twice, "fields-of-416"));
        }
    }
    for answer in [
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let none = answer.contains(" 204 ");
        cases.push(get("/zero").up(&[answer]).differs_where(none, "length-of-204"));
        cases.push(head("/zero").up(&[answer]).differs_where(none, "length-of-204"));
    }
    let at_once = ask("POST", "/zero", "Expect: 100-continue\r\nContent-Length: 4\r\n", "body");
    cases.push(at_once.differs("needless-100"));
    let long = "x".repeat(4000);
    for target in [
        format!("/pp/uri/{long}"),
        format!("/new/{long}?{long}"),
        format!("/flags/perm/{long}"),
        format!("/files/{long}"),
        format!("/{long}"),
        format!("/pp/uri/{}", "%20".repeat(1300)),
        format!("/flags/perm/{}", "a/../".repeat(800)),
    ] {
        cases.push(get(&target));
    }
    cases
}
