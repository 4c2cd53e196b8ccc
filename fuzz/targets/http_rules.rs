//! What becomes of a server's answer on its way: `proxy_redirect`, `proxy_cookie_*`, the fields that are hidden or passed, `X-Accel-*`, trailers.
//!
//! The input has two parts with NUL between them: the rules, and what the server answers.
#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;
use weir::http::proxy::head::Head;
use weir_fuzz::config_text::{self, Directive};
use weir_fuzz::site::Site;

/// The longest rules.
const LONGEST: usize = 800;

/// The rules there may be.
const RULES: [&[u8]; 14] = [
    b"error_page",
    b"proxy_buffering",
    b"proxy_cookie_domain",
    b"proxy_cookie_flags",
    b"proxy_cookie_path",
    b"proxy_force_ranges",
    b"proxy_hide_header",
    b"proxy_http_version",
    b"proxy_ignore_headers",
    b"proxy_intercept_errors",
    b"proxy_pass_header",
    b"proxy_pass_trailers",
    b"proxy_redirect",
    b"set",
];

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder for the configuration"));
static SERVER: LazyLock<UnixListener> = LazyLock::new(|| {
    let listener = UnixListener::bind(FOLDER.path().join("server")).expect("a socket to listen on");
    listener.set_nonblocking(true).expect("a socket that does not block");
    listener
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some(at) = memchr::memchr(0, data).filter(|at| *at <= LONGEST) else { return Corpus::Reject };
    let (text, said) = (&data[..at], &data[at + 1..]);
    let Some(rules) = config_text::directives(text).filter(|rules| is_fit(rules)) else { return Corpus::Reject };
    LazyLock::force(&SERVER);
    let start: &[&[u8]] = &[b"events {} http { access_log off; server { location /inner { internal; return 203 inner; } location @in { return 203 in; }
        location / { proxy_pass http://unix:", FOLDER.path().as_os_str().as_encoded_bytes(), b"/server:/to/; proxy_next_upstream off; proxy_max_temp_file_size 0;\n"];
    let configuration = [start, &[text, b"\n} } }\n"]].concat().concat();
    let Some(mut site) = Site::read(FOLDER.path(), &configuration) else { return Corpus::Keep };
    let mut connections = Vec::new();
    let answer = site
        .ask(b"GET /a/b?c HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nCookie: c=d\r\nConnection: close, TE\r\n\r\n", || {
            serve(&mut connections, said)
        });
    check(&rules, said, &answer);
    Corpus::Keep
});

/// A server: answers whoever comes, and hears out what is sent. False: nobody has come or sent anything.
fn serve(connections: &mut Vec<UnixStream>, said: &[u8]) -> bool {
    let before = connections.len();
    while let Ok((mut stream, _)) = SERVER.accept() {
        stream.set_nonblocking(true).expect("a socket that does not block");
        let _ = stream.write(said);
        connections.push(stream);
    }
    let mut heard = false;
    connections.retain_mut(|stream| {
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            // Its answer ends where it has got the question.
            Ok(count) => {
                heard = true;
                count > 0 && stream.shutdown(Shutdown::Write).is_ok()
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    });
    heard || connections.len() > before
}

/// Whether a text consists of rules, and of nothing that cannot stand in a field.
fn is_fit(rules: &[Directive]) -> bool {
    let mut bytes = rules.iter().flat_map(|rule| &rule.words).flatten();
    if bytes.any(u8::is_ascii_control) {
        return false;
    }
    let mut rows = rules.iter().filter_map(|rule| rule.words.first());
    config_text::is_whole(rules) && rows.all(|name| RULES.contains(&name.as_slice()))
}

fn check(rules: &[Directive], said: &[u8], answer: &[u8]) {
    let Ok(Some((theirs, _))) = Head::parse(said) else { return };
    if theirs.all("x-accel-limit-rate").next().is_some() {
        return;
    }
    let Ok(Some((ours, _))) = Head::parse(answer) else { panic!("no answer: {:?}", String::from_utf8_lossy(answer)) };
    // It was led elsewhere, or there was no answer to be had.
    if ours.status != theirs.status || theirs.status < 200 || rules.iter().any(|rule| is(rule, "error_page")) {
        return;
    }
    if theirs.framing(false).is_err() || theirs.all("x-accel-redirect").next().is_some() {
        return;
    }
    for (name, rule) in [("location", "proxy_redirect"), ("set-cookie", "proxy_cookie")] {
        let of_kind = rules
            .iter()
            .filter(|directive| directive.words.first().is_some_and(|word| word.starts_with(rule.as_bytes())));
        let of_kind: Vec<_> = of_kind.collect();
        let is_hidden =
            |rule: &Directive| is(rule, "proxy_hide_header") && rule.words[1].eq_ignore_ascii_case(name.as_bytes());
        if rules.iter().any(is_hidden) {
            assert_eq!(ours.all(name).count(), 0, "{name} is hidden");
            continue;
        }
        let (given, got): (Vec<_>, Vec<_>) = (theirs.all(name).collect(), ours.all(name).collect());
        assert_eq!(given.len(), got.len(), "{name}");
        // One that a rule has changed may have changed places with the others.
        for given in given {
            let may_change = of_kind.iter().any(|rule| may_change(rule, given));
            assert!(may_change || got.contains(&given), "{name}, which no rule is about: {given:?} is not in {got:?}");
        }
    }
}

fn is(rule: &Directive, name: &str) -> bool {
    rule.words.first().is_some_and(|word| word == name.as_bytes())
}

/// Whether a rule could fit a value: not where it names something that is nowhere in it.
fn may_change(rule: &Directive, value: &[u8]) -> bool {
    let [_, pattern, ..] = &rule.words[..] else { return false };
    let within =
        |pattern: &[u8]| memchr::memmem::find(&value.to_ascii_lowercase(), &pattern.to_ascii_lowercase()).is_some();
    match pattern.as_slice() {
        b"off" => false,
        b"default" if is(rule, "proxy_redirect") => within(b"http://"),
        [b'~', ..] => true,
        pattern if pattern.contains(&b'$') => true,
        [b'.', domain @ ..] if is(rule, "proxy_cookie_domain") => within(domain),
        pattern => within(pattern),
    }
}
