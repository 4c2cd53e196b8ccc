//! The target of a request: its host, its path brought to one form, its arguments.

use super::head::Refusal;

/// The parts of a target as the client wrote it.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Of an absolute target (`http://host/path`), its authority.
    pub authority: Option<&'a [u8]>,
    /// The path, escaped still; empty for an absolute target without one.
    pub path: &'a [u8],
    /// What follows the first `?`.
    pub args: Option<&'a [u8]>,
    /// How much of the target is left from the path on.
    pub rest: usize,
}

impl<'a> Target<'a> {
    /// Takes a target apart. A fragment is cut off, as in nginx.
    ///
    /// # Errors
    /// Neither a path nor an absolute `http` or `https` URI.
    pub fn parse(target: &'a [u8]) -> Result<Self, Refusal> {
        let invalid = || Refusal::new(400, "client sent invalid request");
        let whole = target;
        let target = &target[..memchr::memchr(b'#', target).unwrap_or(target.len())];
        let (authority, rest) = match target.first() {
            Some(b'/') => (None, target),
            _ => {
                let colon = memchr::memmem::find(target, b"://").ok_or_else(invalid)?;
                let scheme = &target[..colon];
                if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
                    return Err(invalid());
                }
                let rest = &target[colon + 3..];
                let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
                if end == 0 {
                    return Err(Refusal::new(400, "client sent invalid host in request line"));
                }
                // Without a user, as in nginx: who does not know of one would take another host.
                if !rest[..end].iter().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(byte)) {
                    return Err(invalid());
                }
                (Some(&rest[..end]), &rest[end..])
            }
        };
        let left = rest.len() + whole.len() - target.len();
        Ok(match memchr::memchr(b'?', rest) {
            Some(at) => Target { authority, path: &rest[..at], args: Some(&rest[at + 1..]), rest: left },
            None => Target { authority, path: rest, args: None, rest: left },
        })
    }
}

/// Brings a path to the form in which it is compared with locations and looked for in the file system: percent escapes
/// decoded, with `merge_slashes` `//` merged, `.` and `..` resolved. `None`: an escape that is none, a NUL byte, or a way out of the root.
pub fn normalize(path: &[u8], merge_slashes: bool) -> Option<Vec<u8>> {
    let mut before = b' ';
    let plain = |&byte: &u8| {
        let special = matches!(byte, b'%' | 0) || before == b'/' && matches!(byte, b'/' | b'.');
        before = byte;
        !special
    };
    if path.starts_with(b"/") && path.iter().all(plain) {
        return Some(path.to_vec());
    }
    let decoded = decode(path)?;
    let mut out = Vec::with_capacity(decoded.len() + 1);
    let mut segments = decoded.split(|byte| *byte == b'/').peekable();
    // What stands before the first slash.
    if decoded.starts_with(b"/") {
        segments.next();
    }
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"" if merge_slashes || last => {}
            b"." => {}
            b".." => {
                let parent = out.iter().rposition(|byte| *byte == b'/')?;
                out.truncate(parent);
            }
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
                continue;
            }
        }
        // A path that ends in what has no name of its own means the directory.
        if last {
            out.push(b'/');
        }
    }
    Some(out)
}

fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(&byte) = bytes.next() {
        let byte = match byte {
            b'%' => hex(*bytes.next()?)? << 4 | hex(*bytes.next()?)?,
            byte => byte,
        };
        if byte == 0 {
            return None;
        }
        out.push(byte);
    }
    Some(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Writes a path with the bytes escaped that may not stand in a URI as they are, by nginx's table for redirects.
pub fn escape(path: &[u8], out: &mut Vec<u8>) {
    escape_bytes(path, b"\"#%<>?\\^`{|}", out);
}

/// Writes a value with the bytes escaped that mean something in arguments, by nginx's table for them.
pub fn escape_args(value: &[u8], out: &mut Vec<u8>) {
    escape_bytes(value, b"\"#%&+;<>?\\^`{|}", out);
}

/// Writes bytes with those escaped that are special or not printable.
fn escape_bytes(bytes: &[u8], special: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if byte <= b' ' || byte >= 0x7f || special.contains(&byte) {
            out.extend(format!("%{byte:02X}").bytes());
        } else {
            out.push(byte);
        }
    }
}

/// The target that stands for a path with a `/` behind it.
pub fn with_slash(path: &[u8], args: Option<&[u8]>) -> Vec<u8> {
    let mut to = Vec::with_capacity(path.len() + 1);
    escape(path, &mut to);
    to.push(b'/');
    if let Some(args) = args {
        to.push(b'?');
        to.extend_from_slice(args);
    }
    to
}

/// A path said in the configuration, and what follows the first `?` in it.
pub fn split_args(mut target: Vec<u8>) -> (Vec<u8>, Option<Vec<u8>>) {
    let args = memchr::memchr(b'?', &target).map(|at| {
        let args = target.split_off(at + 1);
        target.truncate(at);
        args
    });
    (target, args)
}

/// The path, decoded, and the arguments of a target that a server has told. `None`: it is no path, leads out of where it begins, or has an
/// escape that is none.
pub fn split_told(target: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (path, args) = split_args(target.to_vec());
    let path = decode(&path)?;
    let leads_out = path.split(|byte| *byte == b'/').any(|segment| segment == b"..");
    (path.starts_with(b"/") && !leads_out).then_some((path, args))
}

/// What nginx undoes of the escapes in the target of a redirect: those of printable bytes above `%`, up to `?`.
pub fn unescape_redirect(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len());
    let mut rest = target;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match escaped {
            Some(plain @ b'&'..0x7f) => {
                out.push(plain);
                rest = &after[2..];
            }
            Some(_) => {
                out.extend_from_slice(&rest[..3]);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
        if out.last() == Some(&b'?') {
            break;
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Takes an authority or a `Host` value apart as nginx does: the name in lower case without its port and last dot.
///
/// # Errors
/// Empty, or bytes that no host has.
pub fn host(text: &[u8]) -> Result<Vec<u8>, Refusal> {
    let invalid = || Refusal::new(400, "client sent invalid host header");
    if text.iter().any(|byte| *byte <= b' ' || *byte == 0x7f || *byte == b'/') {
        return Err(invalid());
    }
    if text.windows(2).any(|pair| pair == b"..") {
        return Err(invalid());
    }
    let end = match text.first() {
        Some(b'[') => memchr::memchr(b']', text).ok_or_else(invalid)? + 1,
        _ => memchr::memchr(b':', text).unwrap_or(text.len()),
    };
    let name = &text[..end];
    let name = name.strip_suffix(b".").unwrap_or(name);
    let port = &text[end..];
    let port_is_number = port.is_empty() || (port[0] == b':' && port[1..].iter().all(u8::is_ascii_digit));
    if name.is_empty() || !port_is_number {
        return Err(invalid());
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Option<String> {
        normalize(text.as_bytes(), true).map(|path| String::from_utf8(path).unwrap())
    }

    #[test]
    fn targets_that_servers_tell() {
        let split = |text: &str| split_told(text.as_bytes());
        assert_eq!(split("/a%20b//c?d=%20"), Some((b"/a b//c".to_vec(), Some(b"d=%20".to_vec()))));
        assert_eq!(split("/a..b"), Some((b"/a..b".to_vec(), None)));
        for refused in ["", "a", "?a", "/..", "/a/../b", "/a/%2e%2e/b", "/%00", "/%2"] {
            assert_eq!(split(refused), None, "{refused}");
        }
    }

    #[test]
    fn paths_have_one_form() {
        for (text, form) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//a///b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/../c", "/a/c"),
            ("/a/b/%2e%2e/c", "/a/c"),
            ("/a%2fb", "/a/b"),
            ("/a%20b%3f%23", "/a b?#"),
            ("/.a/..b/c..", "/.a/..b/c.."),
            ("/%C3%a9", "/é"),
            ("/a+b", "/a+b"),
        ] {
            assert_eq!(path(text).as_deref(), Some(form), "{text}");
        }
        for (text, form) in [
            ("//a///b", "//a///b"),
            ("//", "//"),
            ("/a//", "/a//"),
            ("/a//../b", "/a/b"),
            ("/a//./b", "/a//b"),
            ("/a/..//", "//"),
        ] {
            assert_eq!(normalize(text.as_bytes(), false).as_deref(), Some(form.as_bytes()), "{text}");
        }
        for text in ["/..", "/../a", "/a/../..", "/%2e%2e/a", "/a/%2e%2e%2f..", "/%", "/%4", "/%zz", "/a%00"] {
            assert_eq!(path(text), None, "{text}");
        }
    }

    #[test]
    fn targets() {
        let parts = |text: &'static str| {
            let target = Target::parse(text.as_bytes()).ok()?;
            let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
            Some((target.authority.map(text), text(target.path), target.args.map(text)))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parts("/a?b?c#d"), Some((None, "/a".into(), some("b?c"))));
        assert_eq!(parts("http://H:1/a?"), Some((some("H:1"), "/a".into(), some(""))));
        assert_eq!(parts("HTTPS://h?a"), Some((some("h"), "".into(), some("a"))));
        for wrong in ["*", "a", "host:443", "ftp://h/", "http:///a", "?a"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn escapes_of_redirects() {
        for (text, form) in [("/a%20%41%2fb", "/a%20A/b"), ("/%3F%41", "/?%41"), ("/a?%41", "/a?%41"), ("/%4", "/%4")] {
            assert_eq!(unescape_redirect(text.as_bytes()), form.as_bytes());
        }
        assert_eq!(split_args(b"/a?b?c".to_vec()), (b"/a".to_vec(), Some(b"b?c".to_vec())));
        assert_eq!(split_args(b"/a".to_vec()), (b"/a".to_vec(), None));
        let mut out = Vec::new();
        escape_args(b"a b&c/d", &mut out);
        assert_eq!(out, b"a%20b%26c/d");
    }

    #[test]
    fn hosts() {
        let name = |text: &str| host(text.as_bytes()).ok().map(|name| String::from_utf8(name).unwrap());
        for (text, form) in
            [("A.b", "a.b"), ("a:80", "a"), ("a.:80", "a"), ("[::1]:80", "[::1]"), ("a:", "a"), ("a_b", "a_b")]
        {
            assert_eq!(name(text).as_deref(), Some(form), "{text}");
        }
        for wrong in ["", ":80", ".", "a..b", "a b", "a/b", "[::1", "a\0", "a:b", "[::1]x"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_path_leads_out(text in "/([a-c./%2eF]|\\PC){0,40}", merge: bool) {
            if let Some(path) = normalize(text.as_bytes(), merge) {
                prop_assert!(path.starts_with(b"/"));
                let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
                prop_assert!(names.iter().all(|name| *name != b".." && *name != b"."));
                prop_assert!(!merge || names[1..].iter().rev().skip(1).all(|name| !name.is_empty()));
                let mut escaped = Vec::new();
                escape(&path, &mut escaped);
                prop_assert_eq!(normalize(&escaped, merge), Some(path));
            }
        }
    }
}
