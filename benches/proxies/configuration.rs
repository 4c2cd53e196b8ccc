//! The configuration each contender gets: the same service said in its own words. Buffers are each one's default.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::tls::Certificate;

/// What a contender is to serve.
pub struct Service<'a> {
    /// Who it passes sessions to, in turn.
    pub backends: &'a [SocketAddr],
    /// Terminate TLS with this certificate.
    pub tls: Option<&'a Certificate>,
    /// How many sessions at once it must be ready for.
    pub sessions: usize,
    /// Serve HTTP, and not whatever comes.
    pub http: Option<&'a Http>,
}

/// How HTTP is to be served.
#[derive(Clone)]
pub struct Http {
    /// Requests get a line in the log.
    pub log: bool,
    /// The server behind is read ahead of the client.
    pub buffered: bool,
    /// Answers are kept, and given again.
    pub kept: Option<Kept>,
    /// In the place of the server behind: files of this folder.
    pub root: Option<PathBuf>,
}

impl Http {
    /// Passing everything on at once, without a log.
    pub const PASS: Http = Http { log: false, buffered: false, kept: None, root: None };
}

/// Where answers are kept.
#[derive(Clone)]
pub struct Kept {
    /// A folder that stays; none: one that goes with its proxy.
    pub folder: Option<PathBuf>,
    /// The parameters of `proxy_cache_path`, and perhaps other directives behind it.
    pub parameters: &'static str,
}

/// Descriptors for so many sessions: two each, and some for itself.
fn descriptors(service: &Service) -> usize {
    2 * service.sessions + 100
}

fn servers(service: &Service) -> String {
    service.backends.iter().map(|backend| format!("        server {backend};\n")).collect()
}

pub fn nginx(service: &Service, listen: SocketAddr, folder: &Path) -> String {
    if let Some(http) = service.http {
        return both(service, http, listen, folder);
    }
    format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n{}stream {{\n    access_log off;\n    upstream backends {{\n{}    }}\n    server {{\n        \
         listen {listen}{};\n        proxy_pass backends;\n        proxy_timeout 1h;\n{}    }}\n}}\n",
        common(service, folder),
        servers(service),
        if service.tls.is_some() { " ssl" } else { "" },
        certificate(service),
    )
}

pub fn weir(service: &Service, listen: SocketAddr, folder: &Path) -> String {
    if let Some(http) = service.http {
        return both(service, http, listen, folder);
    }
    format!(
        "{}tcp {{\n    access_log off;\n    upstream backends {{\n{}    }}\n    server {{\n        \
         listen {listen}{};\n        proxy_pass backends;\n        timeout 1h;\n        proxy_read_timeout 1h;\n{}    }}\n}}\n",
        common(service, folder),
        servers(service),
        if service.tls.is_some() { " ssl" } else { "" },
        certificate(service),
    )
}

/// What servers say of keeping their answers does not count.
const CACHED: &str = ";\n            proxy_cache kept;\n            proxy_cache_valid 1h;\n            proxy_cache_lock on;\n            \
                      proxy_ignore_headers Cache-Control";

/// The `http {}` block, which is the same for nginx and weir. Nothing goes to a temporary file.
fn both(service: &Service, http: &Http, listen: SocketAddr, folder: &Path) -> String {
    let log = if http.log {
        format!("access_log {}/access.log combined buffer=64k", folder.display())
    } else {
        "access_log off".into()
    };
    let content = match &http.root {
        Some(root) => format!("root {}", root.display()),
        None => format!(
            "proxy_pass http://backends;\n            proxy_http_version 1.1;\n            proxy_set_header Connection \"\";\n            \
             proxy_buffering {};\n            proxy_max_temp_file_size 0{}",
            if http.buffered { "on" } else { "off" },
            if http.kept.is_some() { CACHED } else { "" }
        ),
    };
    let temp = folder.display();
    let path = http.kept.as_ref().map_or(String::new(), |kept| {
        let path = kept.folder.clone().unwrap_or_else(|| folder.join("cache"));
        format!("proxy_cache_path {} {};\n    ", path.display(), kept.parameters)
    });
    format!(
        "{}http {{\n    {path}{log};\n    sendfile on;\n    tcp_nopush on;\n    keepalive_timeout 1h;\n    keepalive_requests 1000000000;\n    \
         client_body_temp_path {temp}/body;\n    proxy_temp_path {temp}/proxy;\n    \
         upstream backends {{\n{}        keepalive 64;\n        keepalive_requests 1000000000;\n    }}\n    server {{\n        \
         listen {listen}{};\n{}        location / {{\n            {content};\n        }}\n    }}\n}}\n",
        common(service, folder),
        servers(service),
        if service.tls.is_some() { " ssl" } else { "" },
        certificate(service),
    )
}

/// The main context, which nginx and weir have in common.
fn common(service: &Service, folder: &Path) -> String {
    let (folder, descriptors) = (folder.display(), descriptors(service));
    format!(
        "daemon off;\nworker_processes 1;\nworker_rlimit_nofile {descriptors};\npid {folder}/pid;\nerror_log {folder}/error.log;\n\
         events {{\n    worker_connections {descriptors};\n}}\n"
    )
}

fn certificate(service: &Service) -> String {
    let Some(certificate) = service.tls else { return String::new() };
    format!(
        "        ssl_certificate {};\n        ssl_certificate_key {};\n        ssl_protocols TLSv1.3;\n        ssl_session_cache off;\n        \
         ssl_session_tickets off;\n",
        certificate.chain.display(),
        certificate.key.display()
    )
}

pub fn haproxy(service: &Service, listen: SocketAddr, splice: bool) -> String {
    let mode = if service.http.is_some() { "http\n    http-reuse always" } else { "tcp" };
    let mut text = format!(
        "global\n    nbthread 1\n    maxconn {}\n{}\
         defaults\n    mode {mode}\n    timeout connect 10s\n    timeout client 1h\n    timeout server 1h\n{}\
         listen bench\n    bind {listen}",
        service.sessions,
        if service.tls.is_some() { "    tune.ssl.cachesize 0\n" } else { "" },
        if splice { "    option splice-request\n    option splice-response\n" } else { "" },
    );
    if let Some(certificate) = service.tls {
        let _ = write!(text, " ssl crt {} ssl-min-ver TLSv1.3 no-tls-tickets", certificate.both.display());
    }
    text.push_str("\n    balance roundrobin\n");
    for (number, backend) in service.backends.iter().enumerate() {
        let _ = writeln!(text, "    server backend{number} {backend}");
    }
    text
}
