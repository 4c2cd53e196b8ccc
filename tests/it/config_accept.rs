//! Configurations that are accepted: each directive in each place it may stand, with each form of its arguments.

use super::config_errors::At::{self, *};
use crate::common::*;

/// Tries every piece with `-t` and reports all that are refused at once. `PORT` in them is a free one.
fn accept_all(pieces: &[(At, &str)]) {
    let (prefix, port) = (Prefix::new(), Port::reserve());
    prefix.write("more.conf", "");
    let file = prefix.text_path("nginx.conf");
    let verdict = format!(
        "weir: the configuration file {file} syntax is ok\nweir: configuration file {file} test is successful\n"
    );
    let mut faults = Vec::new();
    for (at, piece) in pieces {
        prefix.write("nginx.conf", at.around(piece).0.replace("PORT", &port.number.to_string()));
        let run = prefix.run(&["-t"]);
        if run.status.code() != Some(0) || !run.stderr.ends_with(&verdict) {
            faults.push(format!("{at:?} {piece:?}: {:?} {}", run.status.code(), run.stderr));
        }
    }
    assert!(faults.is_empty(), "{} of {} are refused:\n{}", faults.len(), pieces.len(), faults.join("\n"));
}

#[test]
fn main_context() {
    accept_all(&[
        (Main, "daemon on;"),
        (Main, "daemon off;"),
        (Main, "master_process off;"),
        (Main, "worker_processes 4;"),
        (Main, "worker_processes auto;"),
        (Main, "worker_processes 2;\nworker_cpu_affinity 01 10;"),
        (Main, "worker_cpu_affinity auto;"),
        (Main, "worker_cpu_affinity auto 01;"),
        (Main, "worker_priority 5;"),
        (Main, "worker_priority -5;"),
        (Main, "worker_rlimit_nofile 1000;"),
        (Main, "worker_rlimit_core 10m;"),
        (Main, "worker_shutdown_timeout 10s;"),
        (Main, "worker_shutdown_timeout 500ms;"),
        (Main, "working_directory /tmp;"),
        (Main, "user nobody nogroup;"),
        (Main, "error_log error.log;"),
        (Main, "error_log error.log debug;"),
        (Main, "error_log error.log info;"),
        (Main, "error_log error.log notice;"),
        (Main, "error_log error.log warn;"),
        (Main, "error_log error.log error;"),
        (Main, "error_log error.log crit;"),
        (Main, "error_log error.log alert;"),
        (Main, "error_log error.log emerg;"),
        (Main, "error_log stderr;"),
        (Main, "error_log syslog:server=127.0.0.1,tag=x warn;"),
        (Main, "error_log stderr warn;\nerror_log error.log info;"),
        (Main, "env PATH;\nenv COLOUR=blue;"),
        (Main, "include more.conf;\ninclude more.conf;"),
        (Main, "lock_file logs/weir.lock;"),
        (Main, "timer_resolution 100ms;"),
        (Main, "pcre_jit on;"),
        (Main, "thread_pool default threads=32 max_queue=65536;"),
        (Main, "thread_pool a threads=1;\nthread_pool b threads=1;"),
        (Main, "load_module modules/ngx_tcp_module.so;"),
        (Main, "debug_points stop;"),
        (Main, "debug_points abort;"),
        (Main, "ssl_engine rdrand;"),
        (Main, "tcp { }"),
        (Main, "tcp {\n}\ntcp {\nupstream a { server 127.0.0.1:1; }\n}\ntcp {\nupstream a { server 127.0.0.1:2; }\n}"),
        (File, "pid other.pid;\nevents {}"),
        (File, "events {}"),
    ]);
}

#[test]
fn events() {
    accept_all(&[
        (Events, "worker_connections 1024;"),
        (Events, "use epoll;"),
        (Events, "epoll_events 1024;"),
        (Events, "worker_aio_requests 32;"),
        (Events, "multi_accept on;"),
        (Events, "multi_accept off;"),
        (Events, "accept_mutex on;"),
        (Events, "accept_mutex_delay 500ms;"),
        (Events, "accept_mutex_delay 1;"),
        (Events, "debug_connection 127.0.0.1;"),
        (Events, "debug_connection 192.168.0.0/16;\ndebug_connection ::1;\ndebug_connection 2001:db8::/32;"),
        (Events, "debug_connection unix:;"),
        (Events, "debug_connection localhost;"),
    ]);
}

#[test]
fn tcp_and_server() {
    let both = [
        "server_name example.org;",
        "so_keepalive on;",
        "so_keepalive off;",
        "tcp_nodelay off;",
        "timeout 60;",
        "timeout 500ms;",
        "timeout 1h30m;",
        "timeout \"1h 30m\";",
        "resolver 127.0.0.1;",
        "resolver 127.0.0.1:5353 [::1]:53;",
        "resolver 127.0.0.1 valid=30s ipv6=off status_zone=z;",
        "resolver off;",
        "resolver_timeout 5s;",
        "allow all;",
        "allow 127.0.0.1;\nallow 10.0.0.0/8;\nallow ::1;\nallow 2001:db8::/32;\nallow unix:;\ndeny all;",
        "deny 127.0.0.1;",
        "access_log off;",
        "access_log a.log;",
        "access_log a.log buffer=4k;",
        "access_log a.log;\naccess_log b.log;",
        "access_log a.log if=$status;",
        "access_log a.log buffer=4k flush=1s if=x;",
        "access_log a.log buffer=4k;\naccess_log a.log;",
        "access_log syslog:server=127.0.0.1;",
        "access_log syslog:server=127.0.0.1:5140,facility=cron,severity=debug,tag=a_1,nohostname if=$pid;",
        "access_log syslog:server=unix:/dev/log;",
        "proxy_protocol_timeout 5s;",
        "set_real_ip_from 127.0.0.1;\nset_real_ip_from 10.0.0.0/8;\nset_real_ip_from ::1;\nset_real_ip_from unix:;",
        "proxy_protocol on;",
        "proxy_protocol off;",
        "proxy_protocol v2;",
        "proxy_buffer 8k;",
        "proxy_buffer 1M;",
        "proxy_connect_timeout 1s;",
        "proxy_read_timeout 1d;",
        "proxy_send_timeout 1w;",
    ];
    let mut pieces: Vec<(At, &str)> = both.iter().flat_map(|piece| [(Tcp, *piece), (Server, *piece)]).collect();
    pieces.extend([
        (Tcp, "server { listen unix:a.sock; return text; }"),
        (Tcp, "log_format f $status;\nlog_format g escape=json a $pid b;\naccess_log a.log f;\naccess_log b.log g buffer=1k;"),
        (Tcp, "access_log a.log later;\nlog_format later escape=none $remote_addr;"),
        (Tcp, "proxy_pass u;\nserver { listen unix:a.sock; }"),
        (Tcp, "upstream later_used { server 127.0.0.1; }"),
        (Tcp, "server { listen unix:a.sock; proxy_pass later; }\nupstream later { server 127.0.0.1; }"),
        (Server, "protocol tcp_generic;"),
        (Server, "server_names a.example b.example;"),
        (Server, "location / { }"),
        (Server, "location / { }\nlocation /a { }"),
        (Server, "proxy_pass 127.0.0.1:80;"),
        (Server, "proxy_pass 127.0.0.1;"),
        (Server, "proxy_pass [::1]:80;"),
        (Server, "proxy_pass localhost:80;"),
        (Server, "proxy_pass localhost;"),
        (Server, "proxy_pass unix:/tmp/a.sock;"),
        (Server, "proxy_pass u;"),
        (Tcp, "server { listen unix:a.sock; return \"$remote_addr ${remote_port} $pid\"; }"),
    ]);
    accept_all(&pieces);
}

#[test]
fn listen() {
    if !ports::has_ipv6() {
        return;
    }
    let port = Port::reserve();
    let n = port.number;
    let forms = [
        format!("listen {n};"),
        format!("listen *:{n};"),
        format!("listen 127.0.0.1:{n};"),
        format!("listen [::1]:{n};"),
        format!("listen [::]:{n};"),
        format!("listen localhost:{n};"),
        format!("listen 127.0.0.1:{n} bind;"),
        format!("listen 127.0.0.1:{n} default;"),
        format!("listen 127.0.0.1:{n} bind default;"),
        format!("listen 127.0.0.1:{n} proxy_protocol;"),
        format!("listen [::]:{n} ipv6only=on;"),
        format!("listen [::]:{n} ipv6only=off;"),
        format!("listen {n};\nlisten [::]:{n} ipv6only=on;"),
        "listen unix:other.sock;".to_string(),
    ];
    let of_http = [
        format!("listen 127.0.0.1:{n} default_server backlog=100;"),
        format!("listen [::1]:{n} ipv6only=on;"),
        format!("listen {n} bind;"),
    ];
    let mut pieces: Vec<(At, &str)> = forms.iter().map(|form| (Server, form.as_str())).collect();
    pieces.extend(of_http.iter().map(|form| (HttpServer, form.as_str())));
    accept_all(&pieces);
}

#[test]
fn upstream() {
    accept_all(&[
        (Upstream, "server 127.0.0.1;"),
        (Upstream, "server 127.0.0.1:80;"),
        (Upstream, "server [::1]:80;"),
        (Upstream, "server localhost;"),
        (Upstream, "server unix:/tmp/a.sock;"),
        (Upstream, "server 127.0.0.1 weight=5;"),
        (Upstream, "server 127.0.0.1 max_fails=0;"),
        (Upstream, "server 127.0.0.1 max_fails=3 fail_timeout=30s;"),
        (Upstream, "server 127.0.0.1 fail_timeout=30;"),
        (Upstream, "server 127.0.0.1 max_busy=10;"),
        (Upstream, "server 127.0.0.1 backup;"),
        (Upstream, "server 127.0.0.1 down;"),
        (Upstream, "server 127.0.0.1 weight=2 max_fails=3 fail_timeout=30s max_busy=5 down;"),
        (Upstream, "server 127.0.0.1;\nserver 127.0.0.1;"),
        (Upstream, "ip_hash ;\nserver 127.0.0.1 max_fails=2;"),
        (Upstream, "server 127.0.0.1 weight=2;\nbusyness ;"),
        (Upstream, "check interval=3000 fall=3 rise=2 timeout=500 type=tcp;"),
        (Upstream, "check type=ssl_hello default_down=true port=443;"),
        (Upstream, "check type=mysql default_down=false on_down=close;"),
        (Upstream, "check type=pop3;"),
        (Upstream, "check type=imap;"),
        (Upstream, "check type=http;\ncheck_http_send \"HEAD / HTTP/1.0\\r\\n\\r\\n\";"),
        (Upstream, "check_http_expect_alive http_2xx http_3xx http_4xx http_5xx;\ncheck type=http;"),
        (Upstream, "check type=smtp;\ncheck_smtp_send \"NOOP\\r\\n\";"),
        (Upstream, "check type=smtp;\ncheck_smtp_expect_alive smtp_2xx smtp_3xx smtp_4xx smtp_5xx;"),
        (Tcp, "check_shm_size 1m;"),
    ]);
}

#[test]
fn http() {
    accept_all(&[
        (Main, "http { }"),
        (Http, "server { listen unix:a.sock; }"),
        (
            Http,
            "log_format own escape=json '$uri';\nserver { listen unix:a.sock; access_log a.log own buffer=4k flush=1s if=$args; }",
        ),
        (Http, "log_format own '$remote_addr';"),
        (Http, "types { text/html html htm; }"),
        (Http, "server_names_hash_max_size 512;"),
        (Http, "server_names_hash_bucket_size 64;"),
        (Http, "client_header_timeout 10s;"),
        (Http, "client_header_buffer_size 2k;"),
        (Http, "large_client_header_buffers 8 16k;"),
        (HttpServer, "server_name a.org *.b.org c.* .d.org \"\";"),
        (HttpServer, "server_name $hostname;"),
        (HttpServer, "location /a { location /a/b { } }"),
        (HttpServer, "location = /a { }"),
        (HttpServer, "location ^~ /a { }"),
        (HttpServer, "client_header_timeout 10s;"),
        (HttpServer, "client_header_buffer_size 2k;"),
        (HttpServer, "large_client_header_buffers 8 16k;"),
        (HttpServer, "location /x { return 204; }"),
        (HttpServer, "location ~ ^/(?<name>a|b) { location ~* .php$ { } }"),
        (HttpServer, "location @name { }"),
        (HttpServer, "server_name ~^(?<sub>.+).b.org$;"),
        (HttpServer, "location /x { alias /srv/; }"),
        (HttpServer, "if ($http_user_agent ~* curl) { return 403; }"),
        (HttpServer, "rewrite ^/a/(.*)$ /b/$1?c last;"),
        (HttpServer, "error_page 500 502 =200 /sorry.html;"),
        (HttpServer, "recursive_error_pages on;"),
        (HttpServer, "rewrite_log on;"),
        (HttpServer, "uninitialized_variable_warn off;"),
        (Http, "map $http_host $kind { hostnames; default a; *.b.org $1; ~c d; }"),
        (Http, "split_clients $remote_addr $half { 50% a; * b; }"),
        (Http, "geo $place { default a; 10.0.0.0/8 b; }"),
        (Http, "geo $arg_a $place { ranges; 10.0.0.0-10.0.0.9 b; }"),
        (HttpLocation, "set $word \"$uri\";"),
        (HttpLocation, "set $args a=b;"),
        (HttpLocation, "if (-f $request_filename) { break ; }"),
        (HttpLocation, "internal ;"),
        (HttpLocation, "try_files $uri $uri/ =404;"),
        (HttpServerIf, "set $a b;"),
        (HttpLocationIf, "root /srv;"),
        (HttpLocation, "return 204;"),
        (HttpLocation, "return 200 text$uri;"),
        (HttpLocation, "return http://a$request_uri;"),
        (HttpLocation, "tcp_check_status ;"),
        (HttpLocation, "check_status ;"),
        (HttpLocation, "root html;"),
        (HttpLocation, "root /srv;"),
        (HttpLocation, "index a.html b.htm /c;"),
        (HttpLocation, "types { }"),
        (HttpLocation, "default_type x/y;"),
        (HttpLocation, "access_log off;"),
        (HttpLocation, "access_log a.log;"),
        (HttpLocation, "access_log syslog:server=127.0.0.1:1 combined;"),
        (HttpLocation, "keepalive_timeout 0;"),
        (HttpLocation, "keepalive_timeout 75s 60s;"),
        (HttpLocation, "keepalive_requests 100;"),
        (HttpLocation, "client_body_timeout 10s;"),
        (HttpLocation, "client_max_body_size 0;"),
        (HttpLocation, "send_timeout 500ms;"),
        (HttpLocation, "server_tokens off;"),
        (HttpLocation, "server_tokens build;"),
        (HttpLocation, "sendfile on;"),
        (HttpLocation, "tcp_nodelay off;"),
        (HttpLocation, "tcp_nopush on;"),
        (HttpLocation, "etag off;"),
        (HttpLocation, "if_modified_since before;"),
        (HttpLocation, "max_ranges 0;"),
        (HttpLocation, "absolute_redirect off;"),
        (HttpLocation, "port_in_redirect off;"),
        (HttpLocation, "keepalive_time 10m;"),
        (HttpServer, "connection_pool_size 512;"),
        (HttpServer, "request_pool_size 4k;"),
        (HttpLocation, "subrequest_output_buffer_size 4k;"),
        (HttpLocation, "output_buffers 2 32k;"),
        (HttpLocation, "postpone_output 1460;"),
        (HttpLocation, "send_lowat 0;"),
        (HttpLocation, "sendfile_max_chunk 2m;"),
        (HttpLocation, "read_ahead 0;"),
        (HttpLocation, "aio threads=default;"),
        (HttpLocation, "aio off;"),
        (HttpLocation, "aio_write on;"),
        (HttpLocation, "directio 4m;"),
        (HttpLocation, "directio off;"),
        (HttpLocation, "directio_alignment 512;"),
        (HttpLocation, "msie_padding off;"),
        (HttpServer, "http2 off;"),
        (HttpLocation, "msie_refresh off;"),
        (HttpLocation, "server_name_in_redirect on;"),
        (HttpServer, "merge_slashes off;"),
        (HttpServer, "ignore_invalid_headers off;"),
        (HttpServer, "underscores_in_headers on;"),
        (HttpLocation, "stub_status ;"),
        (HttpLocation, "stub_status on;"),
        (HttpLocation, "auth_delay 2s;"),
        (HttpLocation, "reset_timedout_connection on;"),
        (HttpLocation, "keepalive_disable msie6 safari;"),
        (HttpLocation, "keepalive_disable none;"),
        (HttpLocation, "add_header X-Is $uri always;"),
        (HttpLocation, "add_trailer X-Is $uri;"),
        (HttpLocation, "expires modified +24h;"),
        (HttpLocation, "expires @15h30m;"),
        (HttpLocation, "expires $uri;"),
        (HttpLocation, "limit_except GET { deny all; }"),
        (Http, "limit_req_zone $binary_remote_addr zone=a:10m rate=10r/s;"),
        (Http, "limit_req_zone $uri zone=b:1m rate=30r/m;"),
        (Http, "limit_conn_zone $server_name zone=c:64k;"),
        (Http, "limit_conn_zone $uri zone=c:64k; limit_conn c 10;"),
        (Http, "limit_req_zone $uri zone=a:1m rate=1r/s; limit_req zone=a;"),
        (Http, "limit_req zone=a burst=5 nodelay; limit_req_zone $uri zone=a:1m rate=1r/s;"),
        (Http, "limit_req zone=a delay=3 burst=5; limit_req_zone $uri zone=a:1m rate=1r/s;"),
        (HttpLocation, "limit_req_status 429;"),
        (HttpLocation, "gzip on;"),
        (HttpLocation, "gzip_types text/css application/json;"),
        (HttpLocation, "gzip_types *;"),
        (HttpLocation, "gzip_min_length 1k;"),
        (HttpLocation, "gzip_comp_level 6;"),
        (HttpLocation, "gzip_vary on;"),
        (HttpLocation, "gzip_proxied expired no-cache no-store private auth;"),
        (HttpLocation, "gzip_http_version 1.0;"),
        (HttpLocation, "gzip_disable msie6 ^Old;"),
        (HttpLocation, "gzip_buffers 16 8k;"),
        (Http, "variables_hash_max_size 2048;"),
        (Http, "variables_hash_bucket_size 64;"),
        (Http, "map_hash_max_size 2048;"),
        (Http, "map_hash_bucket_size 64;"),
        (HttpLocation, "log_not_found off;"),
        (HttpLocation, "open_file_cache max=1000 inactive=20s;"),
        (HttpLocation, "open_file_cache off;"),
        (HttpLocation, "open_log_file_cache max=10 inactive=20s min_uses=2 valid=1m;"),
        (HttpServer, "open_log_file_cache off;"),
        (HttpLocation, "open_file_cache_errors on;"),
        (HttpLocation, "open_file_cache_events on;"),
        (HttpLocation, "open_file_cache_min_uses 2;"),
        (HttpLocation, "open_file_cache_valid 30s;"),
        (HttpLocation, "limit_conn_status 429;"),
        (HttpLocation, "limit_req_log_level warn;"),
        (HttpLocation, "limit_conn_log_level info;"),
        (HttpLocation, "limit_req_dry_run on;"),
        (HttpLocation, "limit_conn_dry_run on;"),
        (HttpLocation, "lingering_close always;"),
        (HttpLocation, "lingering_time 10s;"),
        (HttpLocation, "lingering_timeout 2s;"),
        (Http, "server { listen 127.0.0.1:PORT rcvbuf=64k sndbuf=1m deferred so_keepalive=30m::10; }"),
        (Http, "server { listen 127.0.0.1:PORT proxy_protocol so_keepalive=off; }"),
        (Http, "ssl_session_cache shared:s:1m; ssl_session_timeout 10m; ssl_protocols TLSv1.2 TLSv1.3;"),
        (Http, "ssl_prefer_server_ciphers on; ssl_ciphers HIGH;"),
        (HttpServer, "ssl_verify_client optional_no_ca;"),
        (HttpServer, "ssl_trusted_certificate a.pem;"),
        (HttpServer, "ssl_reject_handshake on;"),
        (HttpServer, "ssl_stapling off;"),
        (HttpServer, "ssl_stapling_file answer.der;"),
        (HttpServer, "ssl_stapling_responder http://127.0.0.1/ocsp;"),
        (HttpServer, "ssl_stapling_verify on;"),
        (HttpServer, "ssl_conf_command Options PrioritizeChaCha;"),
        (HttpServer, "ssl_early_data on;"),
        (HttpServer, "ssl_ocsp leaf; ssl_ocsp_responder http://127.0.0.1/ocsp;"),
        (HttpServer, "ssl_ocsp_cache shared:ocsp:1m;"),
        (HttpServer, "ssl_buffer_size 4k;"),
        (HttpServer, "allow 10.0.0.0/8; allow 2001:db8::/32; deny all;"),
        (HttpServer, "set_real_ip_from 10.0.0.0/8; set_real_ip_from unix:;"),
        (HttpLocation, "allow unix:; deny 10.0.0.1;"),
        (HttpLocation, "satisfy any;"),
        (HttpLocation, "auth_basic off;"),
        (HttpLocation, "auth_basic \"for $host\"; auth_basic_user_file users/$host;"),
        (HttpLocation, "set_real_ip_from ::1; real_ip_header X-Forwarded-For; real_ip_recursive on;"),
        (HttpLocation, "types_hash_max_size 2048;"),
        (HttpLocation, "types_hash_bucket_size 64;"),
    ]);
}

#[test]
fn proxying() {
    accept_all(&[
        (HttpLocation, "proxy_pass http://127.0.0.1:1;"),
        (HttpLocation, "proxy_pass http://127.0.0.1/uri/;"),
        (HttpLocation, "proxy_pass http://[::1]:1/;"),
        (HttpLocation, "proxy_pass http://unix:a.sock:/uri;"),
        (HttpLocation, "proxy_pass HTTP://127.0.0.1;"),
        (HttpLocationIf, "proxy_pass http://127.0.0.1;"),
        (HttpProxy, "proxy_set_header X-A \"a $uri\";"),
        (HttpProxy, "proxy_http_version 1.1;"),
        (HttpProxy, "proxy_method POST;"),
        (HttpProxy, "proxy_set_body \"a $uri\";"),
        (HttpProxy, "proxy_pass_request_headers off;"),
        (HttpProxy, "proxy_pass_request_body off;"),
        (HttpProxy, "proxy_request_buffering off;"),
        (HttpProxy, "client_body_buffer_size 1m;"),
        (HttpProxy, "client_body_temp_path body 1 2 3;"),
        (HttpProxy, "proxy_connect_timeout 5s;"),
        (HttpProxy, "proxy_send_timeout 500ms;"),
        (HttpProxy, "proxy_read_timeout 1h;"),
        (HttpProxy, "proxy_buffer_size 8k;"),
        (HttpProxy, "proxy_buffering off;"),
        (HttpProxy, "proxy_buffers 16 32k;"),
        (HttpProxy, "proxy_busy_buffers_size 16k;"),
        (HttpProxy, "proxy_max_temp_file_size 0;"),
        (HttpProxy, "proxy_temp_file_write_size 64k;"),
        (HttpProxy, "proxy_temp_path temp 1 2;"),
        (
            HttpProxy,
            "proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504 http_403 http_404 http_429 non_idempotent;",
        ),
        (HttpProxy, "proxy_next_upstream off;"),
        (HttpProxy, "proxy_next_upstream_tries 3;"),
        (HttpProxy, "proxy_next_upstream_timeout 10s;"),
        (HttpProxy, "proxy_ignore_client_abort on;"),
        (HttpProxy, "proxy_socket_keepalive on;"),
        (HttpProxy, "proxy_hide_header X-A;"),
        (HttpProxy, "proxy_pass_header Server;"),
        (HttpProxy, "proxy_ignore_headers X-Accel-Buffering;"),
        (HttpProxy, "proxy_redirect off;"),
        (HttpProxy, "proxy_redirect default;"),
        (HttpProxy, "proxy_redirect http://a/ /;"),
        (HttpProxy, "proxy_headers_hash_max_size 1024;"),
        (HttpProxy, "proxy_headers_hash_bucket_size 128;"),
        (HttpProxy, "proxy_send_lowat 1k;"),
        (HttpUpstream, "least_conn ;"),
        (HttpUpstream, "ip_hash ;"),
        (HttpUpstream, "keepalive 16;"),
        (HttpUpstream, "keepalive 16; keepalive_requests 100; keepalive_time 10m; keepalive_timeout 5s;"),
        (HttpUpstream, "zone u 64k;"),
        (HttpUpstream, "zone u 64k; zone u;"),
        (HttpUpstream, "server 127.0.0.1:2 weight=2 max_conns=3 max_fails=0 fail_timeout=1s down;"),
        (HttpUpstream, "check type=http;"),
    ]);
}

#[test]
fn what_becomes_of_answers_and_bodies() {
    accept_all(&[
        (HttpProxy, "proxy_redirect ~*^http://(.*)$ /$1; proxy_redirect http://$host/ /;"),
        (HttpProxy, "proxy_cookie_domain ~\\.org$ $host; proxy_cookie_domain .a.org b.org;"),
        (HttpProxy, "proxy_cookie_path /a/ /b/; proxy_cookie_path ~*^/(.*)$ /$1;"),
        (HttpProxy, "proxy_cookie_flags ~. secure samesite=lax $arg_a;"),
        (HttpProxy, "proxy_cookie_flags off; proxy_cookie_path off; proxy_cookie_domain off;"),
        (HttpProxy, "proxy_intercept_errors on;"),
        (HttpProxy, "proxy_limit_rate 1m;"),
        (HttpProxy, "client_body_in_file_only clean;"),
        (HttpProxy, "client_body_in_single_buffer on;"),
        (HttpProxy, "proxy_force_ranges on;"),
        (HttpProxy, "proxy_pass_trailers on;"),
        (HttpLocation, "limit_rate 4k; set $limit_rate 1k;"),
        (HttpLocationIf, "limit_rate $arg_a;"),
        (HttpLocationIf, "limit_rate_after $arg_b;"),
        (HttpLocation, "chunked_transfer_encoding off;"),
        (HttpProxy, "proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Charset;"),
        (HttpProxy, "proxy_ignore_headers Expires Cache-Control; proxy_ignore_headers Set-Cookie Vary;"),
    ]);
}

#[test]
fn what_does_nothing_here_is_warned_of() {
    let (prefix, port) = (Prefix::new(), Port::reserve());
    for (at, piece) in [
        (Main, "load_module modules/ngx_tcp_module.so;"),
        (Main, "ssl_engine rdrand;"),
        (HttpServer, "http2 on;"),
        (HttpServer, "listen 127.0.0.1:PORT http2;"),
    ] {
        let (text, line) = at.around(piece);
        prefix.write("nginx.conf", text.replace("PORT", &port.number.to_string()));
        let run = prefix.run(&["-t"]);
        assert!(run.status.success(), "{piece}: {}", run.stderr);
        let place = format!(" in {}:{line}\n", prefix.text_path("nginx.conf"));
        assert!(run.stderr.contains("weir: [warn] ") && run.stderr.contains(&place), "{piece}: {}", run.stderr);
    }
}
