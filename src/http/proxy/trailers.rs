//! The fields behind a body in chunks (RFC 9112 7.1.2).

use super::answer::is_hop;
use crate::http::body::is_name;
use crate::http::field_names::FieldNames;

/// Fields that a message's framing and meaning hang on, which must not come when they are too late (RFC 9110 6.5.1).
const EARLY: FieldNames<&[&str]> =
    FieldNames::fixed(&["content-length", "content-type", "content-encoding", "content-range", "set-cookie"]);

/// Those of the lines that are fields.
pub(in crate::http) fn fields(lines: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let (name, value) = line.split_at(memchr::memchr(b':', line)?);
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && name.bytes().all(is_name))?;
        Some((name, value[1..].trim_ascii()))
    })
}

/// Appends the lines of those that a client gets; `hidden` are others that it does not.
pub(super) fn pass(lines: &[u8], hidden: &FieldNames<Vec<Vec<u8>>>, out: &mut Vec<u8>) {
    for (name, value) in fields(lines) {
        if is_hop(name.as_bytes()) || EARLY.contain(name.as_bytes()) || hidden.contain(name.as_bytes()) {
            continue;
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_field_is_left_out() {
        let lines = b"X-A: 1\r\nX B: 2\r\nnone\r\n: 3\r\nTE: x\r\nContent-Length: 4\r\nX-Hidden: 5\r\nx-c:6 \r\n";
        let mut out = Vec::new();
        pass(lines, &[b"x-hidden".to_vec()].into_iter().collect(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "X-A: 1\r\nx-c: 6\r\n");
        assert_eq!(fields(lines).count(), 5);
    }
}
