//! Locations, rewriting and variables, held against those of nginx.

use std::io::Write;

use super::http::{Reply, get, read_reply, serve, serve_in};
use crate::common::servers::Server;
use crate::common::*;

/// The same `http {}` in nginx and in weir: `{0}` is the address, `ROOT` a folder with some files in it.
pub struct Both {
    nginx: Server,
    weir: Weir,
    ours: Port,
}

impl Both {
    pub fn serve(http: &str) -> Both {
        let prefix = Prefix::new();
        for name in ["index.html", "a.txt", "dir/index.html", "dir/b.txt", "sp ace.txt", "x.php", "run"] {
            prefix.write(&format!("files/{name}"), format!("<{name}>"));
        }
        let run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(prefix.join("files/run"), run).unwrap();
        let http = http.replace("ROOT", &prefix.text_path("files"));
        let nginx = Server::nginx(1, &http);
        wait_for("nginx", || super::common::clients::try_connect(nginx.address(0)).is_ok());
        let (weir, ours) = serve_in(prefix, |port| http.replace("{0}", &port.v4()));
        Both { nginx, weir, ours }
    }

    /// Answers to one request, of which hosts and names of servers do not matter.
    fn ask(&self, request: &str) -> (String, String) {
        let ask = |address: String| {
            let mut stream = connect(&address);
            stream.write_all(request.as_bytes()).unwrap();
            tell(&read_reply(&mut stream, request.starts_with("HEAD")), &address)
        };
        (ask(self.nginx.address(0)), ask(self.ours.v4()))
    }

    #[track_caller]
    pub fn compare(&self, targets: &[&str]) {
        for target in targets {
            let request = match target.split_once(' ') {
                None => format!("GET {target} HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"),
                Some((target, fields)) => {
                    let fields = fields.replace('|', "\r\n");
                    format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n\r\n")
                }
            };
            let (theirs, ours) = self.ask(&request);
            assert_eq!(ours, theirs, "{target}: weir, then nginx");
        }
    }
}

fn tell(reply: &Reply, address: &str) -> String {
    let port = address.rsplit(':').next().unwrap();
    let location = reply.field("location").unwrap_or_default().replace(port, "PORT");
    let body = reply.text().replace(port, "PORT").replace("nginx/1.22.1", "weir/0.1.0");
    format!("{} {:?} {location} {body}", reply.status, reply.field("content-type"))
}

#[test]
fn locations() {
    let both = Both::serve(
        r#"server { listen {0}; root ROOT;
             location / { return 200 "root $uri"; }
             location ~ \.php$ { location ~ ^/in/(.*)\.php { return 200 "inner $1"; } return 200 "php"; }
             location ~* \.(PHP|TXT)$ { return 200 "either $1 $2"; }
             location ^~ /static/ { return 200 "static"; }
             location = /exact.php { return 200 "exact"; }
             location /nest/ { return 200 "nest"; location /nest/deep/ { return 200 "deep"; } location ~ b$ { return 200 "ends in b"; } }
             location ^~ /shut/ { return 200 "shut"; location ~ b$ { return 200 "shut b"; } }
             location ~ ^/user/(?<name>[a-z]+)/(?<rest>.*)$ { return 200 "$name|$rest|$1|$2|$3"; }
             location /hidden/ { internal; return 200 "hidden"; }
             location /go { rewrite ^/go(.*)$ /hidden$1 last; }
           }"#,
    );
    both.compare(&[
        "/",
        "/a",
        "/a.php",
        "/a.PHP",
        "/a.tXt",
        "/in/x.php",
        "/static/a.php",
        "/exact.php",
        "/nest/a",
        "/nest/ab",
        "/nest/deep/b",
        "/nest/deep/c",
        "/nest/x.php",
        "/shut/b",
        "/shut/a.php",
        "/user/ann/some/where",
        "/user/ann/",
        "/user/Ann/x",
        "/hidden/",
        "/go/",
    ]);
}

#[test]
fn servers_by_regular_expression() {
    let both = Both::serve(
        r#"server { listen {0}; server_name first; return 200 "default $server_name"; }
           server { listen {0}; server_name ~^(?<sub>.+)\.example\.org$; return 200 "$sub of $server_name $1"; }
           server { listen {0}; server_name *.plain.example.org; return 200 "star"; }
           server { listen {0}; server_name "~^UP([0-9]{2})$"; return 200 "up $1"; }"#,
    );
    both.compare(&[
        "/ Host: a.b.example.org",
        "/ Host: x.plain.example.org",
        "/ Host: up12",
        "/ Host: none",
        "/ Host: up1",
    ]);
}

#[test]
fn rewriting() {
    let both = Both::serve(
        r#"server { listen {0}; root ROOT;
             rewrite ^/server/(.*)$ /file/$1?from=server;
             if ($arg_stop) { return 403; }
             if ($arg_word = yes) { set $word "said"; rewrite ^/word /said last; }
             location / { return 200 "root $uri $args [$word]"; }
             location /file/ { return 200 "file $uri|$args|$request_uri"; }
             location /chain { rewrite ^/chain(.*)$ /one$1; rewrite ^/one(.*)$ /file/$1; }
             location /last { rewrite ^/last /file/last last; return 500; }
             location /break { rewrite ^/break/(.*)$ /a.txt break; return 500; }
             location /stay { rewrite ^/stay/(.*)$ /file/$1 break; return 200 "never"; }
             location /args { rewrite ^/args/(.*)$ /file/x?one=$1&two=$arg_two; }
             location /drop { rewrite ^/drop/(.*)$ /file/x?one=$1? last; }
             location /bare { rewrite ^ /file/bare? last; }
             location /away { rewrite ^/away/(.*)$ http://other.example/$1 last; }
             location /moved { rewrite ^/moved/(.*)$ /to/$1?x=$1 permanent; }
             location /found { rewrite ^/found/(.*)$ /to/$1? redirect; }
             location /scheme { rewrite ^/scheme/(.*)$ $scheme://h/$1; }
             location /loop { rewrite ^/loop(.*)$ /loop$1x; }
             location /empty { rewrite ^/empty(.*)$ $arg_none last; }
             location /set { set $a "x${uri}y"; set $b "$a-$http_host"; set $args "new=1"; return 200 "$a|$b|$args|$arg_new|$is_args|$request_uri"; }
             location /captured { if ($uri ~ ^/captured/(.*)$) { set $c $1; } return 200 "$c|$1"; }
             location ~ ^/kept/(.)(.*)$ { if ($arg_x ~ (q)) { set $y $1; } return 200 "[$1|$2|$y]"; }
             location ~ ^/unkept/(.)(.*)$ { rewrite ^/none /x; return 200 "[$1|$2]"; }
             location /broken { break; return 200 "never"; }
             location /quirk { set $x 1; if ($uri) { set $x 2; return 200 "inner $x"; } }
             location ~ ^/twice/(.*)$ { rewrite ^/twice/(a|b)(.*) /file/$1-$2; rewrite ^/file/(.*) /file/again/$1 last; }
             location /code { return 418; } location /text { return 404 "no"; } location /url { return http://x/$uri; }
             location /307 { return 307 /there; } location /close { return 200; }
           }"#,
    );
    both.compare(&[
        "/kept/abc",
        "/kept/abc?x=q",
        "/unkept/abc",
        "/",
        "/?a=b",
        "/server/x",
        "/server/x?y=1",
        "/?stop=1",
        "/?stop=0",
        "/?stop=",
        "/word?word=yes",
        "/word?word=no",
        "/chain/x?q",
        "/last?q",
        "/break/x",
        "/stay/x",
        "/args/v?two=2&three",
        "/args/a%20b%26?two=a%20b",
        "/args/a+b",
        "/drop/v?old",
        "/bare?old",
        "/away/a%20b?q=1",
        "/moved/a%20b/%41%2f?q",
        "/moved/plain",
        "/found/x?q",
        "/scheme/x?q",
        "/loop",
        "/empty",
        "/set?old=1",
        "/captured/abc",
        "/captured/a%20b",
        "/captured/a+b%2b",
        "/quirk",
        "/twice/abc",
        "/twice/xyz",
        "/code",
        "/text",
        "/url",
        "/307",
        "/close",
    ]);
    both.weir.wait_error("rewrite or internal redirection cycle while processing \"/loopxxxxxxxxxxx\"");
    both.weir.wait_error("using uninitialized \"word\" variable");
    both.weir.wait_error("the rewritten URI has a zero length");
}

#[test]
fn conditions() {
    let both = Both::serve(
        r#"server { listen {0}; root ROOT;
             location / {
               set $seen "";
               if ($request_method != GET) { set $seen "${seen} other"; }
               if ($http_user_agent ~* "curl|wget") { set $seen "$seen agent"; }
               if ($http_user_agent !~ Curl) { set $seen "$seen nocurl"; }
               if ($http_cookie ~ "id=([^;]+)(?:;|$)") { set $id $1; }
               if (-f $request_filename) { set $seen "$seen file"; }
               if (!-f $document_root$uri) { set $seen "$seen nofile"; }
               if (-d $request_filename) { set $seen "$seen dir"; }
               if (!-e $request_filename) { set $seen "$seen none"; }
               if (-x $request_filename) { set $seen "$seen run"; }
               if ($arg_x) { return 200 "x"; }
               if ( $seen = " nocurl nofile dir run" ) { set $seen "$seen!"; }
               return 200 "[$seen] [$id] $cookie_ID";
             }
             location /in/ { default_type a/b; root ROOT/none; if ($arg_root) { root ROOT; set $x 1; } rewrite ^/in/(.*) /$1 break; }
           }"#,
    );
    both.compare(&[
        "/",
        "/dir",
        "/a.txt",
        "/run",
        "/none",
        "/sp%20ace.txt",
        "/ Host: a|User-Agent: Curl/1",
        "/ Host: a|Cookie: id=5; b=c",
        "/ Host: a|Cookie: b=c; ID=%41",
        "/?x=1",
        "/?x=0",
        "/in/a.txt",
        "/in/a.txt?root=1",
    ]);
}

#[test]
fn roots_aliases_and_trying_files() {
    let both = Both::serve(
        r#"server { listen {0}; root ROOT;
             location /alias/ { alias ROOT/dir/; }
             location /alias2 { alias ROOT/dir; }
             location ~ ^/re/(.*)$ { alias ROOT/$1; }
             location ~ ^/var/(?<sub>[a-z]+)/ { root ROOT/$sub/..; rewrite ^/var/[a-z]+/(.*)$ /$1 break; }
             location /moved/ { alias ROOT/dir/; rewrite ^ /else break; }
             location /try/ { try_files $uri /dir$uri /$arg_f $arg_d/ @other; }
             location @other { return 200 "other $uri $args"; }
             location /code/ { try_files $uri =418; }
             location /to/ { try_files $uri /dir/b.txt?x=1; }
             location /lost/ { try_files $uri @nowhere; }
             location /round/ { try_files $uri $uri; }
             location /tryalias/ { alias ROOT/dir/; try_files $uri $uri.txt =404; }
             location ~ ^/tryre/(.*)$ { alias ROOT/dir/; try_files $1 b.txt =404; }
             location /name { return 200 "$document_root|$request_filename|$realpath_root"; }
             location /index/ { index none.html $arg_i /a.txt; }
             location = /named { try_files /none @step; }
             location @step { rewrite ^ /stepped last; }
             location /stepped { return 200 "stepped $uri"; }
           }"#,
    );
    both.compare(&[
        "/",
        "/dir",
        "/dir/",
        "/alias/b.txt",
        "/alias/",
        "/alias/none",
        "/alias",
        "/alias2/b.txt",
        "/alias2",
        "/re/a.txt",
        "/re/dir/",
        "/re/dir",
        "/re/none",
        "/var/dir/a.txt",
        "/moved/x",
        "/try/x",
        "/try/x?f=a.txt",
        "/try/x?d=/dir",
        "/try/x?d=/none&f=none",
        "/code/x",
        "/to/x",
        "/lost/x",
        "/round/x",
        "/tryalias/b.txt",
        "/tryalias/b",
        "/tryalias/c",
        "/tryre/b.txt",
        "/tryre/none",
        "/name/x",
        "/named",
    ]);
    both.weir.wait_error("could not find named location \"@nowhere\"");
    both.weir.wait_error("rewrite or internal redirection cycle while internally redirecting to \"/round/x\"");
    both.weir.wait_error("\"alias\" cannot be used in location \"/moved/\" where URI was rewritten");
}

#[test]
fn rewriting_is_told_in_the_log() {
    let (weir, port) = serve(|port| {
        format!(
            "server {{ listen {}; rewrite_log on; rewrite ^/a(.*)$ /b$1?x=1; rewrite ^/c /d redirect; location / {{ uninitialized_variable_warn off; return 200 \"[$none]\"; set $none 1; }} }}",
            port.v4()
        )
    });
    assert_eq!(get(&port, "/a1?y").text(), "[]");
    assert_eq!(get(&port, "/c").status, 302);
    for line in [
        "[notice] ",
        "\"^/a(.*)$\" matches \"/a1\", client: 127.0.0.1",
        "rewritten data: \"/b1\", args: \"x=1&y\", client: 127.0.0.1",
        "\"^/c\" does not match \"/b1\", client: 127.0.0.1",
        "rewritten redirect: \"/d\", client: 127.0.0.1",
    ] {
        weir.wait_error(line);
    }
    assert!(!weir.error_log().contains("uninitialized"));
}

#[test]
fn expressions_that_do_not_come_to_an_end_are_given_up() {
    let (weir, port) = serve(|port| {
        format!("server {{ listen {}; location ~ ^/(?:(a+)+)+$|(*COMMIT)x {{ return 204; }} }}", port.v4())
    });
    assert_eq!(get(&port, &format!("/{}!", "a".repeat(64))).status, 500);
    weir.wait_error("[alert] ");
    weir.wait_error("pcre2_match() failed: -47 on \"/aaa");
    assert_eq!(get(&port, "/a").status, 204);
}

#[test]
fn maps_shares_and_addresses() {
    let both = Both::serve(
        r#"map $arg_k $plain { default "other $arg_k"; Word one; "" nothing; ~^(?<first>.)x(.*)$ "$first|$2"; ~*^Y "y"; \default escaped; chain $chained; }
           map $http_host $host_kind { hostnames; default none; *.example.org sub; .example.net dot; www.* head; exact.example.org exact; }
           map $uri $chained { /a A; ~/(?<name>b) $name; }
           map $arg_k $none { a b; }
           map $circle $circle2 { default "c$circle"; } map $circle2 $circle { default "d$circle2"; }
           map $arg_k $over { default mapped; }
           map $x $late { default 1; v volatile; volatile; }
           split_clients $arg_k $share { 10% ten; 25.5% quarter; 0.01% few; * rest; }
           split_clients $arg_k $some { 50% half; }
           geo $arg_a $place { default none; 10.0.0.0/8 ten; 10.1.0.0/16 ten-one; 10.1.2.3 host; 2001:db8::/32 six; 10.2.0.0/16 gone; delete 10.2.0.0/16; }
           geo $arg_a $in { ranges; default out; 10.0.0.0-10.0.255.255 a; 10.0.1.0-10.0.1.255 b; 127.0.0.0-127.0.0.1 home; }
           geo $arg_a $last { proxy 10.0.0.0/8; proxy 2001:db8::1; default no; 1.0.0.0/8 one; 2.0.0.0/8 two; 10.0.0.0/8 ten; }
           geo $arg_a $first { proxy 10.0.0.0/8; proxy_recursive; default no; 1.0.0.0/8 one; 2.0.0.0/8 two; 10.0.0.0/8 ten; }
           geo $here { default no; 127.0.0.0/8 yes; }
           log_format later "$made_later"; access_log off;
           server { listen {0}; set $made_later 1;
             location / { return 200 "$plain|$host_kind|$chained|$none|$1"; }
             location /late { set $x v; set $a $late; set $x w; return 200 "$a$late"; }
             location /share { return 200 "$share $some"; }
             location /geo { return 200 "$place $in $here"; }
             location /proxied { return 200 "$last $first"; }
             location /over { set $over "set"; return 200 $over; }
             location /circle { return 200 "$circle"; }
             location /mapped { if ($plain = one) { return 200 "matched"; } return 200 "not"; } }"#,
    );
    let mut targets: Vec<String> = [
        "/",
        "/a?k=chain",
        "/b?k=chain",
        "/c?k=chain",
        "/?k=WORD",
        "/?k=axbc",
        "/?k=yes",
        "/?k=default",
        "/?k=a",
        "/late",
        "/over",
        "/mapped?k=word",
        "/mapped",
        "/circle",
    ]
    .map(String::from)
    .into();
    targets.extend((0..60).map(|number| format!("/share?k={number}{}", "x".repeat(number % 7))));
    for address in
        ["10.0.0.1", "10.0.1.5", "10.1.2.3", "10.1.9.9", "10.2.0.1", "2001:db8::1", "::ffff:10.1.2.3", "127.0.0.1", "x"]
    {
        targets.push(format!("/geo?a={address}"));
    }
    for (address, forwarded) in [
        ("10.0.0.1", "1.1.1.1"),
        ("10.0.0.1", "1.1.1.1, 2.2.2.2, 10.0.0.7"),
        ("10.0.0.1", "1.1.1.1, nothing, 10.0.0.7"),
        ("2001:db8::1", "2.2.2.2"),
        ("3.3.3.3", "1.1.1.1"),
    ] {
        targets.push(format!("/proxied?a={address} Host: a|X-Forwarded-For: {forwarded}"));
    }
    for host in [
        "a.example.org",
        "exact.example.org",
        "Exact.Example.ORG",
        "example.org.",
        "example.net",
        "b.example.net",
        "www.x",
        "none",
    ] {
        targets.push(format!("/ Host: {host}"));
    }
    both.compare(&targets.iter().map(String::as_str).collect::<Vec<_>>());
    both.weir.wait_error("cycle while evaluating variable \"circle");
}

#[test]
fn circles_that_branch_come_to_an_end() {
    // Each asks for two others, and keeps none of what they come to.
    let (weir, port) = serve(|port| {
        format!(
            "map $a$a $b {{ volatile; default x$a; }} map $b-$b $a {{ volatile; default y$b; }}
             server {{ listen {}; location / {{ return 200 $a; }} location /other {{ return 200 other; }} }}",
            port.v4()
        )
    });
    assert_eq!(get(&port, "/").status, 200);
    weir.wait_error("cycle while evaluating variable \"");
    assert_eq!(get(&port, "/other").text(), "other");
}

/// Whatever the variables are that lead to each other.
#[test]
fn circles_of_every_kind_come_to_an_end() {
    let (weir, port) = serve(|port| {
        format!(
            "split_clients $s $t {{ 50% x; * x; }} split_clients $t $s {{ * x; }}
             geo $g $h {{ default 1; }} geo $h $g {{ default 1; }}
             map $q $p {{ default m$q; }} split_clients $p $q {{ * m; }}
             server {{ listen {}; return 200 $t$h$p; }}",
            port.v4()
        )
    });
    assert_eq!(get(&port, "/").text(), "x1mm");
    weir.wait_error("cycle while evaluating variable \"");
    assert_eq!(weir.workers().len(), 1);
}

#[test]
fn circles_that_double_come_to_an_end() {
    let (weir, port) = serve(|port| {
        format!(
            "map $http_a $a {{ default x$a$a$a; }} map $http_b $b {{ volatile; default x$b$b; }}
             server {{ listen {}; location / {{ return 200 other; }}
             location /a {{ set $kept $a; add_header X-Length a$a; add_header X-Same $a=$kept; return 204; }} location /b {{ add_header X-Length a$b; return 204; }} }}",
            port.v4()
        )
    });
    for path in ["/a", "/b"] {
        let reply = get(&port, path);
        assert_eq!(reply.status, 204);
        assert!(reply.field("X-Length").is_some_and(|value| value.len() < 300_000));
        let same = reply.field("X-Same").unwrap_or("=").split_once('=').unwrap();
        assert!(same.0 == same.1, "{} and {} bytes", same.0.len(), same.1.len());
    }
    weir.wait_error("cycle while evaluating variable \"a\"");
    assert_eq!(get(&port, "/").text(), "other");
}

#[test]
fn error_pages() {
    let both = Both::serve(
        r#"server { listen {0}; root ROOT; error_page 404 /a.txt; error_page 403 405 = /shown; error_page 418 =200 /dir/b.txt?x;
             error_page 500 http://other.example/$status; error_page 501 =301 http://moved.example/; error_page 400 /bad;
             error_page 502 @named; error_page 503 = @named; error_page 504 /gone; error_page 302 /caught;
             location / { } location /own { error_page 404 /none; } location /403 { return 403; } location /418 { return 418; }
             location /500 { return 500; } location /501 { return 501; } location /502 { return 502; } location /503 { return 503; }
             location /504 { return 504; } location /gone { return 410; } location /text { return 404 "text"; } location /302 { return 302 /x; }
             location /shown { return 202 "shown $request_method $uri $request_uri"; }
             location /caught { return 200 "caught"; } location = /bad { return 200 "bad"; }
             location @named { return 200 "named $uri"; }
             location /twice { error_page 404 /twice/again; recursive_error_pages on; location /twice/again { error_page 404 /a.txt; } }
             location /once { error_page 404 /once/again; location /once/again { error_page 404 /a.txt; } }
             location /circle { error_page 404 /circle; recursive_error_pages on; }
             location /internal { internal; } location /to-internal { error_page 404 /internal/x; }
             location /if { if ($arg_x) { error_page 404 /caught; } }
           }"#,
    );
    both.compare(&[
        "/none",
        "/own",
        "/403",
        "/418",
        "/500",
        "/501",
        "/502",
        "/503",
        "/504",
        "/text",
        "/302",
        "/twice",
        "/once",
        "/circle",
        "/internal",
        "/to-internal",
        "/if",
        "/if?x=1",
        "/..",
        "/a.txt",
        "/x Host: a|Host: a",
    ]);
    for request in [
        "POST /a.txt HTTP/1.0\r\n\r\n",
        "DELETE /403 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "HEAD /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRange: bytes=0-1\r\n\r\n",
        "GET /418 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRange: bytes=0-1\r\n\r\n",
        "GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-None-Match: *\r\n\r\n",
        "GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-Match: x\r\n\r\n",
    ] {
        let (theirs, ours) = both.ask(request);
        assert_eq!(ours, theirs, "{request}");
    }
}

#[test]
fn an_error_page_that_leads_nowhere() {
    let (weir, port) = serve(|port| {
        format!(
            "log_format l '$uri $status'; server {{ listen {}; access_log access.log l;
             location /none {{ error_page 404 @none; return 404; }} location /said {{ error_page 404 =200 @none; return 404; }}
             location /circle {{ recursive_error_pages on; error_page 404 /circle; return 404; }}
             location /next {{ recursive_error_pages on; error_page 404 @none; error_page 500 /last; return 404; }}
             location /last {{ return 202 last; }} }}",
            port.v4()
        )
    });
    for (path, status) in [("/none", 500), ("/said", 500), ("/circle", 500), ("/next", 500)] {
        assert_eq!(get(&port, path).status, status, "{path}");
    }
    assert_eq!(weir.wait_access(4), ["/none 500", "/said 500", "/circle 500", "/last 500"]);
}

#[test]
fn variables_of_every_request() {
    let both = Both::serve(
        r#"map $binary_remote_addr $binary { default other; "~^\x7f\x00\x00\x01$" loopback; }
           map $request_id $id { default odd; "~^[0-9a-f]{32}$" id; }
           map $tcpinfo_rtt-$tcpinfo_rttvar-$tcpinfo_snd_cwnd-$tcpinfo_rcv_space $tcp { default odd; "~^\d+-\d+-\d+-\d+$" tcp; }
           map $connection_time-$msec-$time_iso8601-$time_local $time { default odd; "~^0\.\d{3}-\d+\.\d{3}-2\d{3}-\S+-\d" time; }
           map "$request_id" $same { default no; }
           server { listen {0}; root ROOT; set $first $request_id; if ($first = $request_id) { set $same yes; }
             location / { return 200 "$binary $id $tcp $time $same|$http_cookie|$http_x_forwarded_for|$cookie_a|$content_length|$content_type|$request_method|$remote_addr|$remote_user|$scheme|$server_protocol|$pipe|$connection_requests|$is_args$args|$query_string|$document_uri|$request|$ARGS|$Arg_b|$sent_http_etag|$status"; }
             location /a.txt { }
           }"#,
    );
    both.compare(&[
        "/?b=1",
        "/%41?",
        "/ Host: a|Cookie: a=1|Cookie: b=2|X-Forwarded-For: x|X-Forwarded-For: y",
        "/ Host: a|Authorization: Basic dTpw",
    ]);
}
