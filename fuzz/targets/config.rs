//! A whole configuration, as `-t` reads it: words, tree, tables, setters, and what shows only when all has been read.
//!
//! It stands in a folder with another file to include, a certificate and a key. Host names are never asked for (see [`getaddrinfo`]), and a text that
//! could name a file outside of the folder is left out: reading has no other effects.
#![no_main]
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;
use weir::config::{Loaded, Source, load};
use weir_fuzz::{certificate, config_text};

/// A word that fits is not to become too long by its escapes.
const LONGEST_WORD: usize = 2000;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder for the configuration");
    let (certificate, key) = certificate::pem();
    for (name, text) in
        [("more.conf", &b"# more\ntcp_nodelay on;\n"[..]), ("cert.pem", &certificate), ("key.pem", &key)]
    {
        fs::write(folder.path().join(name), text).expect("a file in it");
    }
    folder
});

fuzz_target!(|text: &[u8]| -> Corpus {
    if could_leave_the_folder(text) {
        return Corpus::Reject;
    }
    let loaded = read(text);
    let outcome = outcome(&loaded);
    assert_eq!(outcome, self::outcome(&read(text)), "read twice");
    let lines = 1 + memchr::memchr_iter(b'\n', text).count() as u32;
    let places = loaded.warnings.iter().filter_map(|warning| warning.place.as_ref());
    for place in places.chain(loaded.config.as_ref().err().and_then(|error| error.place.as_ref())) {
        assert!(place.line >= 1 && (place.line <= lines || place.file.ends_with("more.conf")), "{place}");
    }
    if loaded.config.is_ok() {
        assert_eq!(outcome, self::outcome(&read(&[text, b"\n# }"].concat())), "with a comment");
    }
    // However words are written, they mean the same.
    if let Some(directives) = config_text::directives(text)
        && directives.iter().flat_map(|directive| &directive.words).all(|word| word.len() < LONGEST_WORD)
    {
        let printed = config_text::print(&directives);
        assert_eq!(outcome, self::outcome(&read(&printed)), "printed as {}", String::from_utf8_lossy(&printed));
    }
    Corpus::Keep
});

fn read(text: &[u8]) -> Loaded {
    let file = FOLDER.path().join("nginx.conf");
    fs::write(&file, text).expect("the configuration");
    load(&Source { prefix: "/prefix".into(), file, directives: String::new(), error_log: None })
}

/// What the operator is told, the hints left out: they go by the quotes.
fn outcome(loaded: &Loaded) -> (Option<String>, Vec<String>, bool) {
    let place = |place: &Option<weir::conf::Place>| place.as_ref().map(ToString::to_string).unwrap_or_default();
    let fault = loaded.config.as_ref().err().map(|error| format!("{} in {}", error.message, place(&error.place)));
    let warnings = loaded.warnings.iter().map(|warning| format!("{} in {}", warning.message, place(&warning.place)));
    (fault, warnings.collect(), loaded.syntax_ok)
}

/// Whether it may read files that are named by whole paths or lead upwards.
fn could_leave_the_folder(text: &[u8]) -> bool {
    let has = |part: &[u8]| memchr::memmem::find(text, part).is_some();
    let begins_word = |at: usize| at == 0 || b" \t\r\n\"'\\;{}".contains(&text[at - 1]);
    let whole_path = || memchr::memchr_iter(b'/', text).any(begins_word);
    (has(b"include") || has(b"ssl_")) && (has(b"..") || whole_path())
}

/// Stands before libc's own in the program: no question about a name leaves it. Names with a `.` in them are those of this machine, others unknown.
///
/// # Safety
/// As of getaddrinfo(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getaddrinfo(
    name: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    result: *mut *mut libc::addrinfo,
) -> c_int {
    type Libc =
        unsafe extern "C" fn(*const c_char, *const c_char, *const libc::addrinfo, *mut *mut libc::addrinfo) -> c_int;
    // SAFETY: a name that getaddrinfo(3) may be given is null or a string.
    let known = !name.is_null() && unsafe { CStr::from_ptr(name) }.to_bytes().contains(&b'.');
    if !known {
        return libc::EAI_NONAME;
    }
    // SAFETY: libc has the function, of this type; what the caller gives goes on to it, the name a string of ours.
    unsafe {
        let libcs =
            std::mem::transmute::<*mut libc::c_void, Libc>(libc::dlsym(libc::RTLD_NEXT, c"getaddrinfo".as_ptr()));
        libcs(c"127.0.0.1".as_ptr(), service, hints, result)
    }
}
