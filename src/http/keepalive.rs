//! `keepalive_disable`: browsers that are known not to do with connections that are kept.

use super::request::Request;

/// The browsers that get no connection that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disabled {
    /// Nobody is named.
    pub none: bool,
    /// Internet Explorer before 6.0 SV1, after a POST.
    pub msie6: bool,
    /// Safari and its like on macOS.
    pub safari: bool,
}

impl Disabled {
    /// Whether the client of a request is one of them.
    pub(super) fn covers(self, request: &Request) -> bool {
        let agent = || request.head.field("user-agent").unwrap_or_default();
        (self.msie6 && request.method() == b"POST" && is_msie6(agent())) || (self.safari && is_safari(agent()))
    }
}

fn has(agent: &[u8], word: &str) -> bool {
    memchr::memmem::find(agent, word.as_bytes()).is_some()
}

/// By the names that browsers give themselves, as nginx reads them.
pub(super) fn is_msie6(agent: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(agent, b"MSIE ") else { return false };
    let old = match &agent[at + 5..] {
        [b'4' | b'5', b'.', _, ..] => true,
        [b'6', b'.', rest @ ..] => !rest.is_empty() && !has(rest, "SV1"),
        _ => false,
    };
    old && !has(agent, "Opera")
}

fn is_safari(agent: &[u8]) -> bool {
    let other = ["MSIE ", "Opera", "Gecko/", "Chrome/"].iter().any(|word| has(agent, word));
    !other && has(agent, "Safari/") && has(agent, "Mac OS X")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers() {
        assert!(is_msie6(b"Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)"));
        assert!(!is_msie6(b"Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)"));
        assert!(!is_msie6(b"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 5.1)"));
        assert!(!is_msie6(b"Mozilla/4.0 (compatible; MSIE 6.0) Opera 8"));
        assert!(!is_msie6(b"MSIE 6"));
        assert!(is_safari(b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_6) AppleWebKit/5 (KHTML, like Gecko) Safari/5"));
        assert!(!is_safari(b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_6) AppleWebKit/5 Chrome/90 Safari/5"));
        assert!(!is_safari(b"curl/8"));
    }
}
