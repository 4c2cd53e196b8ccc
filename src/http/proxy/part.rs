//! `proxy_force_ranges`: the part of a server's whole answer that the client asks for.

use std::ops::Range;

use crate::http::ranges::{self, Asked};
use crate::http::request::Request;
use crate::http::response::{Field, Length, Response};

/// Makes of the answer to the whole one to the part that is asked for, and tells which that is; with several parts it stays whole, as in nginx.
///
/// # Errors
/// The part does not exist: the fields of a 416, in which those of the server stay but what they say of the whole.
pub(super) fn cut_out(request: &Request, response: &mut Response) -> Result<Option<Range<u64>>, Vec<Field>> {
    // It is ours to say.
    response.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("accept-ranges"));
    let (200, Length::Known(size)) = (response.status, response.length) else { return Ok(None) };
    if request.location.max_ranges == 0 {
        return Ok(None);
    }
    let range = request.head.field("range").filter(|_| holds(request, response));
    let parts = match range.map_or(Asked::Whole, |range| ranges::parse(range, size)) {
        Asked::Nothing => {
            let mut fields = std::mem::take(&mut response.fields);
            fields
                .retain(|(name, _)| !name.eq_ignore_ascii_case("etag") && !name.eq_ignore_ascii_case("last-modified"));
            fields.push(("Content-Range".into(), format!("bytes */{size}").into_bytes()));
            return Err(fields);
        }
        Asked::Parts(parts) => parts,
        Asked::Whole => Vec::new(),
    };
    let [part] = parts.as_slice() else {
        response.fields.push(("Accept-Ranges".into(), b"bytes".to_vec()));
        return Ok(None);
    };
    (response.status, response.reason) = (206, None);
    response.length = Length::Known(part.end - part.start);
    let told = format!("bytes {}-{}/{size}", part.start, part.end - 1).into_bytes();
    response.fields.push(("Content-Range".into(), told));
    Ok(Some(part.clone()))
}

/// Whether `If-Range` allows a part to be sent: it names the answer's `ETag`, or its time.
fn holds(request: &Request, response: &Response) -> bool {
    let field = |name: &str| response.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let date = |text: &[u8]| httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok();
    match request.head.field("if-range") {
        None => true,
        Some(tag) if tag.len() > 1 && tag.ends_with(b"\"") => field("etag").is_some_and(|(_, etag)| etag == tag),
        Some(since) => field("last-modified").is_some_and(|(_, modified)| {
            let since = date(since);
            since.is_some() && since == date(modified)
        }),
    }
}

/// What of a piece, which begins at `at` of the whole, is in the part.
pub(super) fn clip<'a>(piece: &'a [u8], at: u64, part: &Range<u64>) -> &'a [u8] {
    let place = |end: u64| usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(piece.len());
    &piece[place(part.start)..place(part.end)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_clipped() {
        let clipped = |at, part: Range<u64>| clip(b"abcd", at, &part).to_vec();
        assert_eq!(clipped(0, 1..3), b"bc");
        assert_eq!(clipped(10, 1..3), b"");
        assert_eq!(clipped(10, 12..30), b"cd");
        assert_eq!(clipped(10, 0..11), b"a");
        assert_eq!(clipped(10, 20..30), b"");
    }
}
