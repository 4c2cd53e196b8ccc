//! What is answered without a server behind: locations, rewrites, variables, files, ranges, conditions, error pages, access.

use super::Theme;
use super::case::{Case, ask, get, get_with, head, post, raw};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off; default_type text/plain; types { text/html html; text/css css; }
            map $arg_m $mapped { default none; a A; ~^(?<digits>\\d+)$ number-$digits; \"\" empty; }
            server { listen {listen}; server_name main; root html; recursive_error_pages off;
                location /loc/ { return 200 prefix; } location = /loc/exact { return 200 exact; } location ^~ /loc/final/ { return 200 final; }
                location ~ \\.re$ { return 200 regex; } location ~* \\.ci$ { return 200 insensitive; } location /loc/deep/ { return 200 deep;
                    location /loc/deep/er/ { return 200 deeper; } location ~ \\.re$ { return 200 inner; } }
                location /vars { set $a \"x$arg_a\"; return 200 \"$a|$mapped|$uri|$args|$is_args|$request_method|$host|$scheme|$server_port|$arg_b|$http_x_a|$cookie_a|$request_uri\"; }
                location /codes/200 { return 200; } location /codes/204 { return 204; } location /codes/301 { return 301 /to?x; }
                location /codes/302 { return 302 http://other/$uri; } location /codes/303 { return 303 to; } location /codes/307 { return 307 $scheme://x/; } location /codes/308 { return 308 /x; }
                location /codes/400 { return 400; } location /codes/403 { return 403; } location /codes/404 { return 404 text; } location /codes/405 { return 405; }
                location /codes/410 { return 410; } location /codes/418 { return 418; } location /codes/499 { return 499; } location /codes/500 { return 500; } location /codes/503 { return 503 \"\"; }
                location /codes/url { return http://elsewhere/; } location /codes/999 { return 999; }
                location /rw/a { rewrite ^/rw/a/(.*)$ /target/$1; rewrite ^/rw/a(.*)$ /target/none$1 last; }
                location /rw/b { rewrite ^ /files/hello.txt break; } location /rw/c { rewrite ^/rw/c(.*)$ /to$1 redirect; } location /rw/d { rewrite ^/rw/d(.*)$ /to$1? permanent; }
                location /rw/e { rewrite ^ http://other/x?y; } location /rw/loop { rewrite ^ /rw/loop; } location /rw/f { rewrite ^/rw/f/(.*)$ /target/$1?new=$arg_q last; }
                location /target { return 200 \"$uri $args\"; }
                location /if { if ($arg_x = 1) { return 200 one; } if ($request_method = POST) { return 405; } if ($arg_x ~ ^(a+)$) { return 200 \"re $1\"; }
                    if ($arg_x !~* B) { set $c 1; } if (-f $document_root/files/hello.txt) { set $c \"${c}f\"; } if (!-e $document_root/nope) { set $c \"${c}e\"; } return 200 \"else $c\"; }
                location /files/ { } location /alias/ { alias html/files/; } location /index/ { index nope index.html; } location /noindex/ { index nope; }
                location /try { try_files $uri /files$uri /files/hello.txt =404; } location /try2 { try_files /nope @named; } location /try3 { try_files /nope =403; } location /try4 { try_files /nope /target?t; }
                location @named { return 200 \"named $uri\"; }
                location /ep { error_page 404 /target; error_page 403 =200 /files/hello.txt; error_page 410 @named; error_page 500 http://other/; error_page 400 = /target; return 404; }
                location /ep403 { error_page 403 =200 /files/hello.txt; return 403; } location /ep410 { error_page 410 @named; return 410; } location /ep500 { error_page 500 http://other/; return 500; }
                location /ep405 { error_page 405 =299 /files/hello.txt; return 405; } location /epnope { error_page 404 /nope; } location /ep503 { error_page 503 = /files/hello.txt; return 503; }
                location /internal { internal; return 200 in; } location /denied { deny all; } location /allowed { allow 127.0.0.0/8; deny all; return 200 in; } location /denyhalf { deny 127.0.0.1; allow all; root html; }
                location /auth { auth_basic realm; auth_basic_user_file {dir}/users; alias html/files/hello.txt; }
                location /noetag { etag off; if_modified_since off; alias html/files/hello.txt; } location /before { if_modified_since before; alias html/files/hello.txt; } location /oneranges { max_ranges 1; alias html/files/hello.txt; }
                location /noranges { max_ranges 0; alias html/files/hello.txt; } location /header { add_header X-Own $uri; add_header X-Always a always; return 404; } location /headerok { add_header X-Own $uri; return 200 ok; }
                location /expires { expires 1h; return 200 ok; } location /expiresoff { expires epoch; return 200 ok; } location /expiresmax { expires max; return 200 ok; } location /expiresneg { expires -1; return 200 ok; }
                location /limit { limit_except GET { deny all; } return 200 limited; } location /absolute { absolute_redirect off; return 301 /to; } }",
        files: vec![
            ("html/files/hello.txt", "hello, world\n".into()),
            ("html/files/page.html", "<p>page</p>".into()),
            ("html/files/style.css", "a {}".into()),
            ("html/files/empty", String::new()),
            ("html/files/with space.txt", "space".into()),
            ("html/index/index.html", "index".into()),
            ("html/noindex/x", "x".into()),
            ("html/try/x", "tried".into()),
            ("html/files/large.txt", "0123456789".repeat(10_000)),
            ("users", "user:{PLAIN}pass\n".into()),
        ],
        cases: cases(),
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for target in [
        "/loc/",
        "/loc",
        "/loc/x",
        "/loc/exact",
        "/loc/exact/",
        "/loc/final/x.re",
        "/loc/x.re",
        "/loc/x.CI",
        "/loc/x.RE",
        "/loc/deep/",
        "/loc/deep/er/x",
        "/loc/deep/x.re",
        "/loc/deep/er/x.re",
        "/LOC/",
        "/%6coc/",
        "/vars?a=1&b=2",
        "/vars?A=1",
        "/vars?a=%20&m=a",
        "/vars?m=42",
        "/vars?m=A",
        "/vars?m=x",
        "/vars/%20%3f?a",
        "/vars?a=1&a=2",
        "/vars?aa=1",
        "/vars?a",
        "/vars?a=&b",
        "/codes/200",
        "/codes/204",
        "/codes/301",
        "/codes/302",
        "/codes/303",
        "/codes/307",
        "/codes/308",
        "/codes/400",
        "/codes/403",
        "/codes/404",
        "/codes/405",
        "/codes/410",
        "/codes/418",
        "/codes/499",
        "/codes/500",
        "/codes/503",
        "/codes/url",
        "/codes/999",
        "/rw/a/x?q",
        "/rw/a",
        "/rw/b?q",
        "/rw/c/x?q",
        "/rw/d/x?q",
        "/rw/e",
        "/rw/e?z",
        "/rw/loop",
        "/rw/f/x?q=1",
        "/rw/f/x",
        "/rw/c/%20%3f",
        "/rw/c/\u{e9}",
        "/if",
        "/if?x=1",
        "/if?x=aaa",
        "/if?x=b",
        "/files/hello.txt",
        "/files/page.html",
        "/files/style.css",
        "/files/empty",
        "/files/with%20space.txt",
        "/files/nope",
        "/files/",
        "/files",
        "/files/hello.txt/",
        "/files/hello.txt/x",
        "/files/HELLO.TXT",
        "/alias/hello.txt",
        "/alias/",
        "/alias",
        "/alias/../x",
        "/index/",
        "/index",
        "/index?q",
        "/noindex/",
        "/noindex",
        "/",
        "/nope",
        "/try/x",
        "/try",
        "/try/nope",
        "/try2",
        "/try3",
        "/try4",
        "/ep",
        "/ep403",
        "/ep410",
        "/ep500",
        "/ep405",
        "/epnope",
        "/ep503",
        "/internal",
        "/denied",
        "/allowed",
        "/denyhalf",
        "/auth",
        "/header",
        "/headerok",
        "/expires",
        "/expiresoff",
        "/expiresmax",
        "/expiresneg",
        "/limit",
        "/absolute",
        "/noetag",
        "/files/large.txt",
        "/target",
        "/@named",
    ] {
        cases.push(get(target));
        cases.push(head(target));
    }
    for target in [
        "/files/hello.txt",
        "/codes/200",
        "/codes/301",
        "/if",
        "/limit",
        "/nope",
        "/files/",
        "/ep",
        "/ep405",
        "/denied",
        "/auth",
        "/index/",
        "/try/x",
    ] {
        cases.push(post(target, "body").differs("discarded-bodies-in-logs"));
        cases.push(ask("DELETE", target, "", ""));
        cases.push(raw(format!("GET {target} HTTP/1.0\r\n\r\n")));
    }
    for range in [
        "bytes=0-4",
        "bytes=5-",
        "bytes=-5",
        "bytes=0-",
        "bytes=0-0",
        "bytes=0-1000",
        "bytes=12-12",
        "bytes=13-",
        "bytes=20-30",
        "bytes=5-2",
        "bytes=-0",
        "bytes=-100",
        "bytes=0-1,3-4",
        "bytes=0-1, 3-4,6-",
        "bytes=0-1,100-",
        "bytes=100-,200-",
        "bytes=",
        "bytes",
        "bytes=a-b",
        "items=0-1",
        "bytes=0-1,",
        "bytes=,0-1",
        "bytes= 0 - 1",
        "bytes=0--1",
        "bytes=99999999999999999999-",
        "Bytes=0-1",
        "bytes=0-12,0-12",
    ] {
        for target in ["/files/hello.txt", "/oneranges", "/noranges", "/files/empty"] {
            cases.push(get_with(target, &format!("Range: {range}\r\n")));
        }
    }
    // The date of all files, and their tags.
    let date = "Sun, 13 Sep 2020 12:26:40 GMT";
    for fields in [
        format!("If-Modified-Since: {date}\r\n"),
        "If-Modified-Since: Sun, 13 Sep 2020 12:26:41 GMT\r\n".into(),
        "If-Modified-Since: Sun, 13 Sep 2020 12:26:39 GMT\r\n".into(),
        "If-Modified-Since: Sunday, 13-Sep-20 12:26:40 GMT\r\n".into(),
        "If-Modified-Since: Sun Sep 13 12:26:40 2020\r\n".into(),
        "If-Modified-Since: nonsense\r\n".into(),
        format!("If-Unmodified-Since: {date}\r\n"),
        "If-Unmodified-Since: Sun, 13 Sep 2020 12:26:39 GMT\r\n".into(),
        "If-None-Match: \"5f5e0e80-d\"\r\n".into(),
        "If-None-Match: W/\"5f5e1000-d\"\r\n".into(),
        "If-None-Match: \"x\", \"5f5e1000-d\"\r\n".into(),
        "If-None-Match: *\r\n".into(),
        "If-None-Match: \"x\"\r\n".into(),
        "If-Match: \"5f5e1000-d\"\r\n".into(),
        "If-Match: \"x\"\r\n".into(),
        "If-Match: *\r\n".into(),
        "If-Match: W/\"5f5e1000-d\"\r\n".into(),
        format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {date}\r\n"),
        format!("Range: bytes=0-1\r\nIf-Range: {date}\r\n"),
        "Range: bytes=0-1\r\nIf-Range: \"5f5e1000-d\"\r\n".into(),
        "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n".into(),
        "Range: bytes=0-1\r\nIf-Range: Sun, 13 Sep 2020 12:26:39 GMT\r\n".into(),
    ] {
        for target in ["/files/hello.txt", "/noetag", "/before"] {
            let fails = fields.contains("If-Unmodified-Since: Sun, 13 Sep 2020 12:26:39")
                || fields.starts_with("If-Match: \"x\"")
                || fields.starts_with("If-Match: W/")
                || (target == "/noetag" && fields.starts_with("If-Match: \""));
            cases.push(get_with(target, &fields).differs_where(fails, "kept-after-412"));
        }
    }
    for fields in [
        "Authorization: Basic dXNlcjpwYXNz\r\n",
        "Authorization: Basic dXNlcjp3cm9uZw==\r\n",
        "Authorization: Basic bm9ib2R5Ong=\r\n",
        "Authorization: Basic !!\r\n",
        "Authorization: Bearer x\r\n",
    ] {
        cases.push(get_with("/auth", fields));
    }
    for agent in
        ["Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/120.0 Safari/537.36", "Mozilla/4.0 (compatible; MSIE 6.0)"]
    {
        cases.push(get_with("/nope", &format!("User-Agent: {agent}\r\n")).differs("unpadded-pages"));
    }
    cases
}
