//! The target of a request: taken apart, and its path brought to one form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::http::uri::{Target, escape, host, normalize};

fuzz_target!(|text: &[u8]| {
    if let Ok(target) = Target::parse(text) {
        assert!(target.rest <= text.len());
        let left = &text[text.len() - target.rest..];
        assert!(left.starts_with(target.path), "the rest begins with the path");
        assert!(!target.path.contains(&b'?') && !target.path.contains(&b'#'));
        assert!(target.path.is_empty() || target.path[0] == b'/');
        assert_eq!(target.authority.is_none(), text.first() == Some(&b'/'));
        check_path(target.path);
        target.authority.into_iter().for_each(check_host);
    }
    check_path(text);
    check_host(text);
});

/// No path leads out of the root, and each has one form only.
fn check_path(path: &[u8]) {
    let Some(path) = normalize(path, true) else { return };
    assert!(path.first() == Some(&b'/') && !path.contains(&0), "{path:?}");
    let names: Vec<&[u8]> = path[1..].split(|byte| *byte == b'/').collect();
    assert!(names.iter().all(|name| *name != b".." && *name != b"."), "{path:?}");
    assert!(names.iter().rev().skip(1).all(|name| !name.is_empty()), "{path:?}");
    let mut escaped = Vec::new();
    escape(&path, &mut escaped);
    assert!(escaped.iter().all(u8::is_ascii_graphic));
    assert_eq!(normalize(&escaped, true), Some(path));
}

fn check_host(text: &[u8]) {
    let Ok(name) = host(text) else { return };
    assert!(!name.is_empty() && !name.iter().any(|byte| *byte <= b' ' || *byte == b'/' || byte.is_ascii_uppercase()));
    assert_eq!(host(&name).as_ref(), Ok(&name));
}
