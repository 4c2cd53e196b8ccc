//! The language itself: tokens, blocks, brackets, words that are no directives.

/// One line a case.
pub const CASES: &str = r##"
http: foo;
http: "";
http: ;
http: foo bar { }
http: { }
http: sendfile on
http: sendfile on; }
http: server {
http: server { listen {listen}; location / {
http: server
http: server;
http: server x { }
http: upstream;
http: upstream u { server 127.0.0.1:1;
http: sendfile "on;
http: sendfile 'on";
http: sendfile "on"off;
http: sendfile "on"#;
http: sendfile on{ }
http: sendfile \
http: include;
http: include a b;
http: include nowhere;
http: include nowhere*;
http: include broken;
http: include broken { }
[hints] http: // sendfile on;
[hints] http: sendfile on; // as ever
http: log_format a "${";
http: log_format a "$";
http: log_format a "${uri";
http: log_format a "${uri}";
http: log_format a $-;
http: sendfile on;\nsendfile off;
http: sendfile\non\non;
http: server { listen {listen};\nroot a;\n\n\nroot b; }
main: http { } http { }
main: http x { }
main: http;
main: http { server { listen {listen}; } } foo;
main: server { }
main: http { events { } }
main: http { http { } }
main: http { worker_processes 1; }
main: http { user a; }
main: root a;
main: upstream u { server 127.0.0.1:1; }
main: map $uri $x { }
location: server { }
location: server_name a;
location: listen {listen};
location: upstream u { }
location: map $uri $x { }
location: geo $x { }
location: types { html; } }
upstream: location / { }
upstream: root a;
upstream: upstream v { }
[blocks-in-tables] map: a b { }
map: include nowhere;
[blocks-in-tables] geo: a b { }
geo: include nowhere;
[blocks-in-tables] types: text/html html { }
[blocks-in-tables] split_clients: 1% a { }
if: server_name a;
if: if ($uri) { }
if: location /x { }
if: index a;
if: proxy_set_header a b;
if: limit_except GET { deny all; }
server-if: root a;
server-if: proxy_pass http://127.0.0.1:1;
server-if: location / { }
limit_except: return 200;
limit_except: set $a b;
limit_except: root a;
limit_except: limit_except GET { deny all; }
"##;
