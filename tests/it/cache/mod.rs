//! `proxy_cache` and what belongs to it, over real sockets and with the real files.

mod answers;
mod cold;
mod conditions;
mod configuration;
mod crashes;
mod disks;
mod failures;
mod keys;
mod locks;
mod mirror;
mod old;
mod processes;
mod purge;
mod secure;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::common::*;
use crate::http::{Reply, ask_http, config, serve};
use crate::proxy::{Seen, read_request};

/// A server whose answers `script` makes, of the request and its number from 0 on; the connection ends behind each.
pub fn origin(script: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> (Backend, Seen) {
    let seen = Seen::default();
    let told = seen.clone();
    let backend = Backend::start(move |mut stream| {
        let Some(request) = read_request(&mut stream) else { return };
        let number = {
            let mut told = told.lock().unwrap();
            told.push(request.clone());
            told.len() - 1
        };
        let _ = stream.write_all(script(number, &request).as_bytes());
    });
    (backend, seen)
}

/// An answer with its length.
pub fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{fields}\r\n{body}", body.len())
}

/// How many requests a server has seen.
pub fn count(seen: &Seen) -> usize {
    seen.lock().unwrap().len()
}

/// The `http {}` of a weir with a cache; `SERVER` in `text` is where the server listens.
pub fn http(port: &Port, backend: &Backend, path: &str, text: &str) -> String {
    let text = text.replace("SERVER", &backend.address.to_string());
    format!(
        "log_format state '$upstream_cache_status $status $request_uri';\n\
         proxy_cache_path cache keys_zone=zone:1m {path};\n\
         server {{ listen {}; access_log access.log state; add_header X-Cache $upstream_cache_status always; {text} }}",
        port.v4()
    )
}

/// A weir with a cache in the folder `cache`, whose server has this inside.
pub fn caching(backend: &Backend, path: &str, text: &str) -> (Weir, Port) {
    serve(|port| http(port, backend, path, text))
}

/// The same with nothing but a location that caches.
pub fn plain(backend: &Backend, text: &str) -> (Weir, Port) {
    caching(backend, "", &format!("proxy_cache zone; {text} location / {{ proxy_pass http://SERVER; }}"))
}

/// Asks for a path with these fields.
#[track_caller]
pub fn ask(port: &Port, method: &str, path: &str, fields: &str) -> Reply {
    ask_http(port, &format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"))
}

/// `$upstream_cache_status` of an answer.
pub fn state(reply: &Reply) -> &str {
    reply.field("X-Cache").unwrap_or("-")
}

/// The state and the body of what a path gives.
#[track_caller]
pub fn get(port: &Port, path: &str) -> (String, String) {
    let reply = ask(port, "GET", path, "");
    (state(&reply).to_owned(), reply.text().to_owned())
}

/// Asserts what a path gives.
#[track_caller]
pub fn expect(port: &Port, path: &str, state: &str, body: &str) {
    assert_eq!(get(port, path), (state.to_owned(), body.to_owned()), "{path}");
}

/// Asks for a path until it is in this state, and gives the body. What is kept in the meantime is as it was.
#[track_caller]
pub fn wait_state(port: &Port, path: &str, wanted: &str) -> String {
    wait_some(&format!("{path} to be {wanted}"), || {
        let (state, body) = get(port, path);
        (state == wanted).then_some(body)
    })
}

/// The files of a cache, temporary ones among them.
pub fn files(weir: &Weir) -> Vec<PathBuf> {
    fn below(folder: PathBuf, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => below(entry.path(), found),
                _ => found.push(entry.path()),
            }
        }
    }
    let mut found = Vec::new();
    below(weir.prefix.join("cache"), &mut found);
    found
}

/// The cache manager or loader of a weir.
pub fn keeper(weir: &Weir, name: &str) -> Option<i32> {
    let title = format!("weir: cache {name} process");
    proc::children(weir.master()).into_iter().find(|&pid| proc::title(pid) == title)
}

/// How often loaders have been through all of a cache.
pub fn loads(prefix: &Prefix) -> usize {
    prefix.read("error.log").matches("http file cache: ").count()
}

/// A number of the status page's JSON.
#[track_caller]
pub fn figure(port: &Port, name: &str) -> u64 {
    let reply = ask(port, "GET", "/status?format=json", "");
    let text = reply.text();
    let caches = text.split("\"caches\"").nth(1).expect("caches");
    let rest = caches.split(&format!("\"{name}\": ")).nth(1).expect("the figure");
    rest.split([',', '}']).next().unwrap().trim().parse().unwrap()
}

/// The folder of a weir whose processes have ended.
pub fn folder_of(mut weir: Weir) -> Prefix {
    if let Some(mut child) = weir.child.take() {
        let _ = child.wait();
    }
    std::mem::replace(&mut weir.prefix, Prefix::new())
}
