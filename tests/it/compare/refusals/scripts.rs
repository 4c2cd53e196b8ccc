//! Variables and what decides by them: `map` and its like, `set`, `if`, `rewrite`, `return`.

/// One line a case.
pub const CASES: &str = r##"
http: map;
http: map $uri;
http: map $uri $x;
http: map $uri $x $y { }
http: map $uri x { }
http: map $uri $ { }
http: map $uri "" { }
http: map $uri ${x} { }
http: map $uri $a-b { }
http: map $uri $uri { }
http: map $uri $URI { }
[variables-that-cannot-be-made] http: map $uri $args { }
http: map $uri $host { }
[variables-that-cannot-be-made] http: map $uri $limit_rate { }
http: map $uri $is_args { }
http: map $uri $arg_x { a b; }
http: map $uri $http_x { a b; }
http: map $uri $http_user_agent { a b; }
http: map $uri $cookie_x { a b; }
http: map $uri $sent_http_x { a b; }
http: map $uri $upstream_http_x { a b; }
[variables-that-cannot-be-made] http: map $uri $1 { a b; }
http: map $uri $x { } map $uri $x { }
http: map $uri $x { } map $uri $X { }
http: map $uri $x { } geo $x { }
http: map $arg_x $x { a b; }
http: map $http_x $x { a b; }
http: map $1 $x { a b; }
http: map "" $x { a b; }
http: map a $x { a b; }
[lines-of-faults] http: map $nope $x { a b; }
http: map $ $x { }
http: map ${uri $x { }
http: map $x $x { a b; }
http: map $y $x { a b; } map $x $y { a b; }
map: a;
map: a b c;
map: default;
map: default a b;
map: default 1; default 2;
map: default 1;\ndefault 2;
map: a 1; a 2;
map: a 1; A 2;
map: a 1; a 1;
map: "" 1; "" 2;
[lines-of-faults] map: a $nope;
map: a $;
map: a ${uri;
map: a $arg_x;
map: a $1;
map: a $http_x;
map: a "$uri$arg_x";
[lines-of-faults] map: default $nope;
map: a $m;
map: ~ 1;
map: ~* 1;
map: ~( 1;
map: ~[ 1;
map: ~*( 1;
map: ~(?<x>.) $x;
map: ~(?<uri>.) 1;
map: ~a 1; ~a 2;
map: hostnames;
map: hostnames x;
map: hostnames; hostnames;
map: volatile;
map: volatile; volatile;
map: volatile x;
map: hostnames; a..b 1;
map: hostnames; a*b 1;
map: hostnames; *a 1;
map: hostnames; a* 1;
map: hostnames; *. 1;
map: hostnames; .* 1;
map: hostnames; . 1;
map: hostnames; * 1;
map: hostnames; *.a 1; *.a 2;
map: hostnames; .a 1; .a 2;
map: hostnames; .a 1; a 2;
map: hostnames; .a 1; *.a 2;
map: hostnames; a.* 1; a.* 2;
map: hostnames; a 1; A 2;
map: hostnames; *.a.* 1;
map: hostnames; *.*.a 1;
map: hostnames; *.a..b 1;
map: hostnames; "" 1;
map: hostnames; a. 1;
map: *.a 1; *.a 2;
map: \default 1; default 2;
map: \hostnames 1;
map: \ 1;
map: volatile 1;
map: include 1;
http: split_clients;
http: split_clients $uri;
http: split_clients $uri $x;
http: split_clients $uri x { }
http: split_clients $uri $uri { 1% a; }
http: split_clients $uri $arg_x { 1% a; }
[lines-of-faults] http: split_clients $nope $x { 1% a; }
http: split_clients $ $x { 1% a; }
http: split_clients $uri $x { }
split_clients: a b;
[split-clients-arguments] split_clients: 1% ;
[split-clients-arguments] split_clients: 1% a b;
split_clients: 0% a;
split_clients: 0.001% a;
split_clients: 1.234% a;
split_clients: -1% a;
split_clients: 1 a;
split_clients: % a;
split_clients: .% a;
split_clients: .5% a;
split_clients: 5.% a;
split_clients: 100% a;
split_clients: 100.01% a;
split_clients: 101% a;
split_clients: 60% a; 50% b;
split_clients: 60% a; 40% b;
split_clients: * a;
split_clients: * a; * b;
split_clients: * a; 1% b;
split_clients: 100% a; * b;
split_clients: 1% $nope;
split_clients: 99999999999999999999% a;
http: geo;
http: geo $x;
http: geo x { }
[lines-of-faults] http: geo $a $x { }
[lines-of-faults] http: geo $nope $x { 1.1.1.1 a; }
http: geo a $x { }
http: geo $arg_x $x { 1.1.1.1 a; }
http: geo $uri { }
http: geo $arg_x { }
http: geo $ { }
http: geo $a $b $c { }
geo: a b;
geo: a;
geo: a b c;
geo: default;
geo: default a; default b;
geo: default a;\ndefault b;
geo: 10.0.0.0/8 a;
geo: 10.0.0.1/8 a;
geo: 10.0.0.0/33 a;
geo: 10.0.0.0/ a;
geo: 10.0.0 a;
geo: 10.0.0.256 a;
geo: 10.0.0.1 a; 10.0.0.1 b;
geo: 10.0.0.1 a; 10.0.0.1/32 b;
geo: 10.0.0.1 a; 10.0.0.1 a;
geo: 0.0.0.0/0 a;
geo: 0.0.0.0/0 a; default b;
geo: default b; 0.0.0.0/0 a;
geo: ::/0 a;
geo: default a; ::/0 b;
geo: ::1 a; ::1 b;
geo: ::1/64 a;
geo: ::1/129 a;
geo: :::1 a;
geo: unix: a;
geo: all a;
geo: 127.0.0.1-127.0.0.2 a;
geo: delete 10.0.0.1;
geo: 10.0.0.1 a; delete 10.0.0.1;
geo: delete x;
geo: delete;
geo: delete ::1;
geo: proxy x;
geo: proxy 127.0.0.1;
geo: proxy 10.0.0.1/8;
geo: proxy unix:;
geo: proxy_recursive;
geo: proxy_recursive x;
geo: ranges;
geo: ranges x;
geo: ranges; ranges;
geo: 10.0.0.1 a; ranges;
geo: default a; ranges;
geo: ranges; default a; default b;
geo: ranges; 10.0.0.1 a;
geo: ranges; 10.0.0.0/8 a;
geo: ranges; 10.0.0.2-10.0.0.1 a;
geo: ranges; 10.0.0.1-10.0.0.2 a;
geo: ranges; 10.0.0.1-10.0.0.2 a; 10.0.0.1-10.0.0.2 b;
geo: ranges; 10.0.0.1-10.0.0.2 a; 10.0.0.2-10.0.0.3 b;
geo: ranges; 10.0.0.1-10.0.0.9 a; 10.0.0.2-10.0.0.3 b;
geo: ranges; 10.0.0.1- a;
geo: ranges; -10.0.0.1 a;
geo: ranges; 10.0.0.1-x a;
geo: ranges; ::1-::2 a;
geo: ranges; delete 10.0.0.1-10.0.0.2;
geo: ranges; 10.0.0.1-10.0.0.2 a; delete 10.0.0.1-10.0.0.2;
geo: ranges; delete 10.0.0.1;
location: set;
location: set $a;
location: set $a b c;
location: set a b;
location: set $ b;
location: set "" b;
[lines-of-faults] location: set $a $nope;
location: set $a $;
location: set $a ${b;
location: set $a $a;
location: set $uri a;
location: set $args a;
location: set $limit_rate 1k;
location: set $query_string a;
location: set $host a;
location: set $remote_addr a;
location: set $arg_x a;
location: set $http_x a;
location: set $http_host a;
location: set $cookie_x a;
location: set $sent_http_x a;
location: set $sent_http_content_type a;
location: set $upstream_http_x a;
location: set $upstream_status a;
[variables-that-cannot-be-made] location: set $proxy_host a;
[variables-that-cannot-be-made] location: set $1 a;
location: set ${a} b;
location: set $a-b c;
location: set $a $1;
location: set $document_root a;
location: set $is_args a;
location: set $request_method a;
location: if;
location: if { }
location: if x { }
location: if () { }
location: if ( ) { }
location: if (x) { }
location: if ($) { }
[lines-of-faults] location: if ($nope) { }
location: if ($uri { }
location: if $uri) { }
location: if ($uri) x { }
location: if ($uri =) { }
location: if ($uri = ) { }
location: if ($uri = "") { }
location: if ($uri = a b) { }
location: if ($uri == a) { }
location: if ($uri != a) { }
location: if ($uri !== a) { }
location: if ($uri ! a) { }
location: if ($uri ~) { }
location: if ($uri ~ () { }
location: if ($uri ~ "(") { }
location: if ($uri ~* "[") { }
location: if ($uri !~ a) { }
location: if ($uri !~* a) { }
location: if ($uri !~ "(") { }
location: if ($uri ~! a) { }
location: if ($uri ~ a b) { }
location: if ($uri < a) { }
location: if ($uri a) { }
[lines-of-faults] location: if ($uri = $nope) { }
location: if ($uri = $) { }
location: if (-f) { }
location: if (-f ) { }
[lines-of-faults] location: if (-f $nope) { }
location: if (-f a b) { }
location: if (-z a) { }
location: if (!-f a) { }
location: if (!-z a) { }
location: if (! -f a) { }
location: if (!$uri) { }
location: if ( $uri ) { }
[lines-of-faults] location: if ($uri=a) { }
[lines-of-faults] location: if ($1) { }
[lines-of-faults] location: if ($a-b) { }
location: if ($uri ~ "(?<uri>.)") { }
location: if ($uri ~ "(?<x>.)") { set $y $x; }
http: if ($uri) { }
location: rewrite;
location: rewrite a;
location: rewrite a b c;
location: rewrite a b last;
location: rewrite a b LAST;
location: rewrite a b last break;
location: rewrite ( b;
location: rewrite [ b;
location: rewrite "" b;
location: rewrite a "";
[lines-of-faults] location: rewrite a $nope;
location: rewrite a $;
location: rewrite a ${b;
location: rewrite a $1;
location: rewrite (a) $1$2;
location: rewrite a http://b redirect;
location: rewrite a http://b c;
location: rewrite a b permanent;
location: rewrite "(?<uri>.)" b;
location: rewrite "(?<x>.)" $x;
location: rewrite "(?<x>.)(?<x>.)" $x;
http: rewrite a b;
location: return;
location: return x;
location: return 200 a b;
location: return -1;
location: return 0;
location: return 99;
location: return 999;
location: return 1000;
[lines-of-faults] location: return 200 $nope;
location: return 200 $;
location: return 200 ${a;
location: return http://a;
[lines-of-faults] location: return https://$nope;
location: return $scheme://a;
location: return $uri;
location: return "";
location: return 301;
location: return 301 "";
location: return /x;
location: return ftp://x;
location: return 2xx;
location: return 200 ""; return 404;
location: break x;
location: break; break;
http: break;
location: rewrite_log x;
location: uninitialized_variable_warn x;
[lines-of-faults] http: variables_hash_max_size 0;
http: variables_hash_max_size x;
[lines-of-faults] http: variables_hash_bucket_size 0;
http: variables_hash_bucket_size x;
http: map_hash_max_size x;
http: map_hash_bucket_size x;
"##;
