//! Servers, locations, files, pages.

/// One line a case.
pub const CASES: &str = r##"
server: listen;
server: listen "";
server: listen 0;
server: listen 65536;
server: listen 99999999999999999999;
server: listen -1;
server: listen a.invalid:80;
server: listen :80;
server: listen 127.0.0.1:;
server: listen 127.0.0.1:x;
server: listen 127.0.0.1:0;
server: listen 127.0.0.1:65536;
server: listen 127.0.0.1:80x;
server: listen 127.0.0.1:{port}/x;
server: listen /x;
server: listen [::1;
server: listen [::1]x;
server: listen [::1]:0;
server: listen [::1]:65536;
server: listen [x]:80;
server: listen [];
server: listen []:80;
server: listen *:{port} *;
server: listen *:0;
server: listen unix:;
server: listen unix:{dir}/{long};
server: listen 127.0.0.1:{port}-{port};
server: listen 127.0.0.1:8005-8000;
server: listen 127.0.0.1:0-80;
server: listen 127.0.0.1:80-65536;
server: listen 127.0.0.1:80-;
server: listen 127.0.0.1:-80;
server: listen 127.0.0.1:80-90-95;
server: listen 127.0.0.1:{port}-{port} default_server;
server: listen {listen2} foo;
server: listen {listen2} foo=bar;
[lines-of-faults] server: listen {listen2} ssl;
[http2] server: listen {listen2} http2;
server: listen {listen2} spdy;
server: listen {listen2} default;
server: listen {listen2} default_server default_server;
server: listen {listen2} bind bind;
server: listen {listen2} backlog=;
server: listen {listen2} backlog=0;
server: listen {listen2} backlog=-1;
server: listen {listen2} backlog=1k;
server: listen {listen2} backlog=x;
server: listen {listen2} backlog=1 backlog=2;
server: listen {listen2} rcvbuf=;
server: listen {listen2} rcvbuf=0;
server: listen {listen2} rcvbuf=-1;
server: listen {listen2} rcvbuf=8k;
server: listen {listen2} rcvbuf=x;
server: listen {listen2} sndbuf=0;
server: listen {listen2} sndbuf=x;
server: listen {listen2} sndbuf=8K;
server: listen {listen2} fastopen=x;
server: listen {listen2} fastopen=-1;
server: listen {listen2} deferred;
server: listen {listen2} deferred=1;
server: listen {listen2} ipv6only=on;
server: listen {listen2} ipv6only=x;
server: listen [::1]:{port} ipv6only=x;
server: listen [::1]:{port} ipv6only=ON;
server: listen [::1]:{port} ipv6only=;
server: listen {listen2} reuseport;
server: listen {listen2} reuseport=1;
server: listen {listen2} so_keepalive=;
server: listen {listen2} so_keepalive=x;
server: listen {listen2} so_keepalive=on;
server: listen {listen2} so_keepalive=ON;
server: listen {listen2} so_keepalive=off;
server: listen {listen2} so_keepalive=::;
server: listen {listen2} so_keepalive=:;
server: listen {listen2} so_keepalive=1m::10;
server: listen {listen2} so_keepalive=1m:x:10;
server: listen {listen2} so_keepalive=x:1:10;
server: listen {listen2} so_keepalive=1:1:x;
server: listen {listen2} so_keepalive=1:1:1:1;
server: listen {listen2} so_keepalive=0:0:0;
server: listen {listen2} proxy_protocol=1;
server: listen {listen2} proxy_protocol;
server: listen {listen};
server: listen {listen2}; listen {listen2};
server: listen {listen2} default_server; listen {listen2};
http: server { listen {listen2} default_server; } server { listen {listen2} default_server; }
http: server { listen {listen2} default; } server { listen {listen2} default_server; }
http: server { listen {listen2} backlog=10; } server { listen {listen2} backlog=20; }
http: server { listen {listen2} backlog=10; } server { listen {listen2} backlog=10; }
http: server { listen {listen2} bind; } server { listen {listen2} backlog=10; }
http: server { listen {listen2}; } server { listen {listen2} reuseport; }
http: server { listen {listen2} proxy_protocol; } server { listen {listen2}; }
http: server { listen {listen2}; } server { listen {listen2}; }
http: server { listen {listen2}; server_name a; } server { listen {listen2}; server_name a; }
http: server { listen {listen2}; server_name a; } server { listen {listen2}; server_name A; }
http: server { listen {listen2}; server_name a a; } server { listen {listen2}; server_name b; }
http: server { listen {listen2}; server_name .a; } server { listen {listen2}; server_name *.a; }
http: server { listen {listen2}; server_name .a; } server { listen {listen2}; server_name a; }
http: server { listen {listen2}; server_name a.*; } server { listen {listen2}; server_name a.*; }
http: server { listen {listen2}; server_name ~a; } server { listen {listen2}; server_name ~a; }
http: server { listen {listen2}; server_name ""; } server { listen {listen2}; }
http: server { listen {listen2}; listen {listen3}; } server { listen {listen3}; }
server: server_name;
server: server_name a a;
server: server_name "";
server: server_name "" "";
server: server_name a/b;
server: server_name /;
server: server_name *a;
server: server_name a*;
server: server_name a*b;
server: server_name *;
server: server_name .;
server: server_name *.;
server: server_name .*;
server: server_name *.*;
server: server_name *.a.*;
server: server_name .a.*;
server: server_name a..b;
server: server_name *.a..b;
server: server_name a.b.*;
server: server_name a.*.b;
server: server_name *.*.a;
server: server_name ..a;
server: server_name a b.;
server: server_name "a b";
server: server_name ~;
server: server_name ~(;
server: server_name ~[;
server: server_name ~(?<x>.)(?<x>.);
server: server_name ~(?<uri>.);
server: server_name ~(?<1>.);
server: server_name $hostname;
server: server_name $uri;
server: server_name a; server_name b;
server: location;
server: location { }
server: location / ;
server: location /x a b { }
server: location ! /x { }
server: location = { }
server: location = /x { } location = /x { }
server: location /x { } location /x { }
server: location ^~ /x { } location /x { }
server: location ^~ /x { } location = /x { }
server: location ~ a { } location ~ a { }
server: location ~ a { } location ~* a { }
[second-named-location] server: location @x { } location @x { }
server: location @ { }
server: location = @x { }
server: location ~ { }
server: location ~ ( { }
server: location ~* [ { }
server: location ~( { }
server: location ~*[ { }
server: location =/x { } location = /x { }
server: location ^~/x { } location /x { }
server: location ~ "(?<x>.)(?<x>.)" { }
server: location ~ "(?<uri>.)" { }
server: location "" { }
server: location x { }
server: location /x { location /y { } }
server: location /x { location /x/y { } location /x/y { } }
server: location /x { location = /xy { } }
server: location /x { location ~ y { } }
server: location /x { location @y { } }
server: location = /x { location /x/y { } }
server: location = /x { location ~ y { } }
server: location @x { location /y { } }
server: location ~ x { location /y { } }
server: location ~ x { location ~ y { } }
server: location ~ x { location @y { } }
server: location /x { location = /x { } }
server: location /x { location ^~ /y { } }
server: root;
server: root a b;
server: root a; root b;
server: root "";
[lines-of-faults] server: root $nope;
server: root $;
server: root ${uri;
server: root $document_root/x;
server: root ${document_root}/x;
server: root $realpath_root;
server: alias x;
location: alias;
location: alias x; alias y;
location: alias x; root y;
location: root x; alias y;
location: alias $document_root;
location: alias $realpath_root;
location: alias "";
server: location @a { alias x; }
server: location ~ x { alias y; }
location: index;
location: index "";
location: index /a b;
location: index a /b;
[lines-of-faults] location: index $nope;
location: index a; index b;
location: types;
location: types a { }
location: types { } types { }
types: text/html;
types: text/html html; text/plain html;
types: text/html html HTML;
types: text/html html; text/html html;
types: default text/html;
[tables-size-themselves] http: types_hash_max_size 0;
location: default_type;
location: default_type a b;
location: default_type ""; default_type "";
location: default_type $nope;
location: try_files;
location: try_files a;
location: try_files a b;
location: try_files a =;
location: try_files a =x;
location: try_files a =1000;
location: try_files a =99;
location: try_files a =-1;
location: try_files =404 a;
location: try_files "" =404;
[lines-of-faults] location: try_files $nope =404;
[lines-of-faults] location: try_files $uri $nope;
location: try_files $uri @nowhere;
location: try_files a b; try_files a b;
location: error_page;
location: error_page 404;
location: error_page 404 "";
location: error_page x /a;
location: error_page 200 /a;
location: error_page 299 /a;
location: error_page 300 /a;
location: error_page 599 /a;
location: error_page 600 /a;
location: error_page 499 /a;
location: error_page 494 /a;
location: error_page 404 404 /a;
location: error_page 404 =;
location: error_page 404 = /a;
location: error_page 404 =x /a;
location: error_page 404 =99 /a;
location: error_page 404 =1000 /a;
location: error_page 404 =-1 /a;
location: error_page = /a;
location: error_page =200 /a;
location: error_page 404 =200;
location: error_page 404 /a =200;
[lines-of-faults] location: error_page 404 $nope;
location: error_page 404 @nowhere;
[lines-of-faults] location: error_page 404 http://a/$nope;
location: error_page 404 "/a b";
location: internal x;
location: internal; internal;
server: internal;
location: stub_status; stub_status;
location: stub_status a b;
location: stub_status on;
http: stub_status;
location: keepalive_timeout;
location: keepalive_timeout x;
location: keepalive_timeout 1 x;
location: keepalive_timeout 1 500ms;
location: keepalive_timeout 500ms;
location: keepalive_timeout 1 2 3;
location: keepalive_timeout -1;
location: keepalive_timeout 1 -1;
location: keepalive_timeout "";
location: keepalive_timeout 99999999999999999999;
location: keepalive_timeout 1h1d;
location: keepalive_timeout 1m1m;
location: keepalive_timeout "1h 30m";
location: keepalive_timeout 1; keepalive_timeout 1;
location: keepalive_disable;
location: keepalive_disable none;
location: keepalive_disable NONE;
location: keepalive_disable msie6 safari;
location: keepalive_disable msie6 msie6;
location: keepalive_disable none none;
location: keepalive_disable foo;
location: keepalive_disable msie6 safari none;
http: large_client_header_buffers;
http: large_client_header_buffers 4;
http: large_client_header_buffers 4 8k 1;
http: large_client_header_buffers 0 8k;
http: large_client_header_buffers 4 0;
[lines-of-faults] http: large_client_header_buffers 4 1;
http: large_client_header_buffers 1 1k;
http: large_client_header_buffers x 8k;
http: large_client_header_buffers 4 x;
http: large_client_header_buffers -1 8k;
http: large_client_header_buffers 4 8k; large_client_header_buffers 4 8k;
http: client_header_buffer_size 0;
http: client_header_buffer_size 1;
http: client_header_buffer_size 16k;
server: client_header_buffer_size 16k; large_client_header_buffers 4 8k;
location: client_max_body_size 0;
location: client_max_body_size 1g;
location: client_max_body_size -1;
location: output_buffers 0 1k;
location: output_buffers 1 0;
location: output_buffers 1;
location: output_buffers x 1k;
location: output_buffers 1 x;
location: output_buffers 2 32k; output_buffers 2 32k;
http: connection_pool_size 0;
http: connection_pool_size 111;
http: connection_pool_size 112;
http: connection_pool_size 120;
http: connection_pool_size 256;
http: connection_pool_size x;
http: request_pool_size 0;
http: request_pool_size 100;
http: request_pool_size 4097;
http: request_pool_size 4k;
location: aio on;
location: aio off;
location: aio threads;
location: aio threads=default;
location: aio threads=x$uri;
[lines-of-faults] location: aio threads=$nope;
location: aio sendfile;
location: aio x;
location: aio ON;
location: aio on off;
location: aio off; aio off;
location: directio off;
location: directio 4m;
location: directio x;
location: directio 1g;
location: directio on;
location: send_lowat 1;
location: send_lowat x;
location: postpone_output x;
location: sendfile_max_chunk x;
location: read_ahead x;
location: limit_rate x;
location: limit_rate 1k;
[lines-of-faults] location: limit_rate $nope;
location: limit_rate ${uri;
location: limit_rate -1;
location: limit_rate 1; limit_rate 1;
location: limit_rate_after x;
location: limit_rate_after $;
location: open_file_cache;
location: open_file_cache off;
location: open_file_cache on;
location: open_file_cache max=0;
location: open_file_cache max=x;
location: open_file_cache max=1000 inactive=20s;
location: open_file_cache max=1000 inactive=x;
location: open_file_cache max=1000 inactive=500ms;
location: open_file_cache inactive=20s;
location: open_file_cache off inactive=20s;
location: open_file_cache max=1 foo;
location: open_file_cache max=1 max=2;
location: open_file_cache max=1 inactive=1 foo;
location: open_file_cache_errors x;
location: open_file_cache_min_uses x;
location: open_file_cache_valid 500ms;
location: expires;
location: expires x;
location: expires off;
location: expires OFF;
location: expires 1 2;
location: expires modified;
location: expires modified 1h;
location: expires modified x;
location: expires modified off;
location: expires modified $uri;
[lines-of-faults] location: expires modified $nope;
location: expires foo 1h;
location: expires @;
location: expires @24h;
location: expires @25h;
location: expires @x;
location: expires -@1h;
location: expires @-1h;
location: expires -1;
location: expires -x;
location: expires epoch;
location: expires max;
location: expires modified max;
[lines-of-faults] location: expires $nope;
location: expires 500ms;
location: expires 1h 2h 3h;
location: expires 1; expires 1;
location: expires 1y;
location: add_header;
location: add_header a;
location: add_header a b c;
location: add_header a b always;
location: add_header a b ALWAYS;
location: add_header a b always d;
[lines-of-faults] location: add_header a $nope;
location: add_header a "";
location: add_header "" b;
location: add_header "a b" c;
location: add_header a ${uri;
location: add_trailer a;
location: add_trailer a b c;
[lines-of-faults] location: add_trailer a $nope;
location: add_trailer a b always;
http: log_format combined2 '$remote_addr'; access_log a.log combined2; access_log a.log combined2;
http: server { listen {listen2}; location / { return 200; } location = / { return 200; } location ~ / { } location ~* / { } location ^~ /a { } location /a/ { } }
http: types { } default_type a; types { a b; } server { listen {listen2}; types { } }
http: server { listen {listen2}; server_name a; } server { listen {listen2}; server_name a*b; }
http: server { listen {listen2}; server_name a; } server { listen {listen2}; server_name *.a.*; }
http: server { listen {listen2}; server_name a; } server { listen {listen2}; server_name a..b; }
http: server { listen {listen2}; server_name a; } server { listen {listen2}; server_name "a b"; }
http: server { listen {listen2}; server_name "~^a(?<b>.)"; } server { listen {listen2}; server_name a.; }
http: server { listen 127.0.0.1:{port}-{port}; } server { listen 127.0.0.1:{port} default_server; }
http: server { listen {port}; } server { listen 127.0.0.1:{port} backlog=3; }
http: server { listen 127.0.0.1:{port}-{port}; listen 127.0.0.1:{port}; }
"##;
