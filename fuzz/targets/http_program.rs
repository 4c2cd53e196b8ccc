//! `set`, `if`, `rewrite`, `return`, `map` and whatever else decides where a request goes: read as `-t` reads it, and where it is accepted, run.
//!
//! The input has four parts with NUL between them: what stands in `http {}`, what stands in its `server {}`, a text with variables, and what a client sends.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;
use weir::http::proxy::head::Head;
use weir_fuzz::config_text::{self, Directive};
use weir_fuzz::site::Site;

/// The longest text of each part: values may become as much longer, in each of ten rounds, as variables stand in one word.
const LONGEST: usize = 800;
const VARIABLES: usize = 3;

/// Directives that would reach for what is outside of the folder and this process, or have nothing to do with the program of a request.
const LEFT_OUT: [&[u8]; 14] = [
    b"access_log",
    b"alias",
    b"auth_basic_user_file",
    b"client_body_temp_path",
    b"error_log",
    b"include",
    b"listen",
    b"resolver",
    b"root",
    b"server_name",
    b"set_real_ip_from",
    b"stub_status",
    b"tcp_check_status",
    b"upstream",
];

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder for the configuration");
    fs::create_dir_all(folder.path().join("html/dir")).expect("a folder in it");
    for name in ["index.html", "file", "dir/index.html"] {
        fs::write(folder.path().join("html").join(name), name).expect("a file in it");
    }
    folder
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let parts: Vec<&[u8]> = data.splitn(4, |byte| *byte == 0).collect();
    let [above, inside, text, request] = parts[..] else { return Corpus::Reject };
    if parts.iter().any(|part| part.len() > LONGEST) {
        return Corpus::Reject;
    }
    let said: Option<Vec<_>> = [above, inside].into_iter().map(config_text::directives).collect();
    if !said.is_some_and(|said| said.iter().all(|said| is_fit(said))) {
        return Corpus::Reject;
    }
    let word = |text: &[u8]| {
        let mut word = Vec::new();
        config_text::print_word(text, &mut word);
        word
    };
    // The same text twice: by way of a variable, and as it is.
    let probe: &[&[u8]] = &[
        b"\nserver { server_name probe; gzip off; limit_rate 0; set $weir_probe ",
        &word(text),
        b"; return 200 ",
        &word(&[b"${weir_probe}|", text].concat()),
        b"; } }\n",
    ];
    let start: &[&[u8]] = &[b"events {} http { access_log off; uninitialized_variable_warn off;\n"];
    let server: &[&[u8]] = &[b"\nserver { ", inside, b"\n}"];
    let configuration = [start, &[above], server, probe].concat().concat();
    let Some(mut site) = Site::read(FOLDER.path(), &configuration) else { return Corpus::Keep };
    let probed = site.ask(b"GET /probe/%41?a=b&c HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n", || false);
    check_text(text, above, &probed);
    let answer = site.ask(request, || false);
    check_answer(&configuration, request, &answer);
    Corpus::Keep
});

fn has(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// Whether a text may stand in the configuration, and values cannot grow beyond measure.
fn is_fit(directives: &[Directive]) -> bool {
    let first = |directive: &Directive| directive.words.first().map_or(&b""[..], Vec::as_slice).to_vec();
    let left_out = |word: &[u8]| {
        LEFT_OUT.contains(&word) || [&b"ssl"[..], b"proxy", b"health"].iter().any(|start| word.starts_with(start))
    };
    // Those whose values are not used again do not count.
    let grows = |directive: &&Directive| !matches!(first(directive).as_slice(), b"return" | b"if" | b"add_header");
    let counts = directives.iter().filter(grows).flat_map(|directive| &directive.words);
    let growth = counts.map(|word| memchr::memchr_iter(b'$', word).count().max(1)).try_fold(1, usize::checked_mul);
    config_text::is_whole(directives)
        && !directives.iter().any(|directive| left_out(&first(directive)))
        && growth.is_some_and(|growth| growth <= VARIABLES)
}

/// A text is the same whether it has gone through a variable or not, and itself if there is no variable in it.
fn check_text(text: &[u8], above: &[u8], answer: &[u8]) {
    let Ok(Some((head, length))) = Head::parse(answer) else { return };
    if head.status != 200 {
        return;
    }
    let body = &answer[length..];
    let (value, itself) = (&body[..body.len() / 2], &body[body.len() / 2..]);
    if !text.contains(&b'$') {
        assert_eq!(body, [text, b"|", text].concat(), "a text without variables");
    } else if !depends_on_when(text) && !depends_on_when(above) && !has(above, b"(?") && !has(above, b"volatile") {
        let itself = itself.strip_prefix(b"|").expect("the text in the middle");
        assert_eq!(value, itself, "a variable that was set");
    }
}

/// Whether a text may come to something else the next time, in the same request: what captures is done in between, and time passes.
fn depends_on_when(text: &[u8]) -> bool {
    let text = text.to_ascii_lowercase();
    let capture = |at: usize| text[at + 1..].iter().find(|byte| **byte != b'{').is_some_and(u8::is_ascii_digit);
    memchr::memchr_iter(b'$', &text).any(capture)
        || ["time", "msec", "status", "conn", "probe", "limit", "sent", "weir"]
            .iter()
            .any(|part| has(&text, part.as_bytes()))
}

/// No field stands in the head that nobody has put there.
fn check_answer(configuration: &[u8], request: &[u8], answer: &[u8]) {
    if has(&configuration.to_ascii_lowercase(), b"forged") {
        return;
    }
    // A request of HTTP/0.9 gets a body alone.
    let line = request.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    if has(line, b" HTTP/1.") && answer.starts_with(b"HTTP/1.1 ") {
        let head = &answer[..memchr::memmem::find(answer, b"\r\n\r\n").expect("the end of the head")];
        assert!(!head.split(|byte| *byte == b'\n' || *byte == b'\r').any(|line| line.starts_with(b"forged")));
    }
}
