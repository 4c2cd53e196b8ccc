//! Where weir means to answer otherwise than nginx 1.22; `docs/differences.md` is made from this table.

/// What is compared of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Answer,
    Connection,
    Upstream,
    AccessLog,
    ErrorLog,
    /// Whether a configuration is taken, and what is said of it.
    Configuration,
}

/// One difference that is meant.
pub struct Difference {
    /// What cases call it.
    pub key: &'static str,
    /// Where it may show; elsewhere the case must be the same.
    pub parts: &'static [Part],
    /// What nginx does.
    pub nginx: &'static str,
    /// What weir does instead.
    pub weir: &'static str,
    pub reason: &'static str,
}

use Part::{AccessLog, Answer, Configuration, Connection, ErrorLog, Upstream};

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Difference> {
    TABLE.iter().chain(super::caching::MEANT).chain(super::refusals::meant::TABLE)
}

/// Those of exchanges, but for those that have to do with the cache.
const TABLE: &[Difference] = &[
    Difference {
        key: "control-bytes-in-logs",
        parts: &[ErrorLog],
        nginx: "writes the control bytes of a request line into the error log as they are",
        weir: "writes them as `\\x01`",
        reason: "They could move the cursor of the operator's terminal or begin lines of someone else's choice.",
    },
    Difference {
        key: "foreign-scheme",
        parts: &[Answer, Connection, AccessLog, ErrorLog],
        nginx: "serves an absolute target of any scheme, `ftp://name/path`, as if it were `http`",
        weir: "answers with 400",
        reason: "It is not a resource of this server (RFC 9110 4.2).",
    },
    Difference {
        key: "blanks-in-request-line",
        parts: &[Answer, Connection, AccessLog, ErrorLog],
        nginx: "takes several blanks between the words of a request line, and some behind it",
        weir: "answers with 400",
        reason: "Programs do not agree on where such words begin, which serves to smuggle requests past one of them (RFC 9112 3).",
    },
    Difference {
        key: "http-0.9",
        parts: &[Answer, AccessLog, ErrorLog],
        nginx: "answers a request line without a version, that of HTTP/0.9, with a body and no head",
        weir: "answers with 400",
        reason: "No client speaks it; a body without a head is what another protocol's client can be made to believe.",
    },
    Difference {
        key: "strict-host",
        parts: &[Answer, Connection, AccessLog, ErrorLog],
        nginx: "does not look at what follows the colon in `Host`, nor whether a bracket is closed",
        weir: "answers with 400 unless the port is a number and brackets are closed",
        reason: "What is refused here another server could read as another host.",
    },
    Difference {
        key: "repeated-fields",
        parts: &[Answer, AccessLog],
        nginx: "has the first value only in `$http_NAME` when a field stands more than once",
        weir: "has all values, with commas between them",
        reason: "So does nginx from 1.23 on; it is what the field means (RFC 9110 5.3).",
    },
    Difference {
        key: "tabs-around-values",
        parts: &[Answer, AccessLog],
        nginx: "takes tabs around a field's value for a part of it",
        weir: "takes them for the blanks that they are",
        reason: "RFC 9110 5.6.3; servers behind read them so.",
    },
    Difference {
        key: "strict-fields",
        parts: &[Answer, Connection, AccessLog, ErrorLog],
        nginx: "takes a header line without a colon for a field without a value, one with bytes in its name that no name has for none, and takes control bytes in a value",
        weir: "answers with 400",
        reason: "Programs do not agree on what such lines mean, which serves to smuggle requests past one of them (RFC 9112 5, RFC 9110 5.5).",
    },
    Difference {
        key: "words-of-connection",
        parts: &[Answer, Connection, AccessLog],
        nginx: "looks for `close` anywhere in `Connection`, `foreclose` too, and believes the last of several fields",
        weir: "reads a list of words, in which `close` prevails",
        reason: "RFC 9112 9.3, 9.6.",
    },
    Difference {
        key: "answer-408",
        parts: &[Answer, AccessLog],
        nginx: "closes the connection of a client whose head does not come in time without a word, and logs 408",
        weir: "answers with 408 and closes",
        reason: "It is what nginx's documentation says, and tells the client that it may ask again (RFC 9110 15.5.9).",
    },
    Difference {
        key: "long-lines-in-logs",
        parts: &[ErrorLog],
        nginx: "shows as much of a header line that is too long as was left of its buffer",
        weir: "shows 1748 bytes at most, nginx's bound",
        reason: "A head is in one piece here.",
    },
    Difference {
        key: "length-of-no-body",
        parts: &[Upstream, AccessLog],
        nginx: "announces the length of the client's body with `proxy_pass_request_body off`, and sends none; configurations add `proxy_set_header Content-Length`",
        weir: "announces no body",
        reason: "A server that believes the length waits for the body until it gives up.",
    },
    Difference {
        key: "discarded-bodies-in-logs",
        parts: &[AccessLog],
        nginx: "does not count a body that nobody wants in `$request_length`, and has some number for `$content_length` when it came in chunks",
        weir: "counts what has come, and has its length",
        reason: "The figures are of use only if they are right.",
    },
    Difference {
        key: "refused-bodies-in-logs",
        parts: &[AccessLog, ErrorLog],
        nginx: "counts of a body that is refused what it had looked at before the fault, and logs variables of the location that would have had it",
        weir: "counts what has come of it, and has no variables of a server behind that was not turned to",
        reason: "Nothing else depends on it.",
    },
    Difference {
        key: "interim-answers-in-logs",
        parts: &[AccessLog],
        nginx: "takes `100 Continue` for a part of the body in `$body_bytes_sent`",
        weir: "does not",
        reason: "It is none.",
    },
    Difference {
        key: "timeouts-of-bodies-in-logs",
        parts: &[ErrorLog],
        nginx: "does not log that `client_body_timeout` has passed",
        weir: "logs it at level `info`",
        reason: "The 408 in the access log would have no explanation.",
    },
    Difference {
        key: "line-ends-of-chunks",
        parts: &[Answer, Connection, Upstream, AccessLog, ErrorLog],
        nginx: "takes a bare line feed for the end of a line between chunks",
        weir: "answers with 400",
        reason: "Programs do not agree on where such chunks end, which serves to smuggle requests past one of them (RFC 9112 7.1).",
    },
    Difference {
        key: "limits-of-discarded-bodies",
        parts: &[Answer, Connection, AccessLog, ErrorLog],
        nginx: "does not hold a body in chunks that nobody wants against `client_max_body_size`",
        weir: "answers with 413, or ends the connection when its answer has been sent",
        reason: "A body without end would keep the connection for as long as it likes.",
    },
    Difference {
        key: "interim-answers",
        parts: &[Answer, Connection, AccessLog],
        nginx: "takes `100 Continue` and `103 Early Hints` of a server behind for the answer, and what follows for its body",
        weir: "passes over them",
        reason: "They are followed by the answer (RFC 9110 15.2).",
    },
    Difference {
        key: "own-server-and-date",
        parts: &[Answer],
        nginx: "sends no `Server` and no `Date` with `proxy_pass_header Server` and `Date` when the server behind has sent none, and has theirs behind all others",
        weir: "puts its own in their place, and theirs where its own would be",
        reason: "An answer has a date (RFC 9110 6.6.1).",
    },
    Difference {
        key: "empty-reason",
        parts: &[Answer],
        nginx: "repeats a status line without a reason as it came, without the blank behind the status",
        weir: "sends the blank",
        reason: "It is part of the line (RFC 9112 4).",
    },
    Difference {
        key: "length-of-chunks-in-logs",
        parts: &[AccessLog],
        nginx: "counts all that came behind the head in `$upstream_response_length`, the framing of chunks and what follows a body too",
        weir: "counts the body",
        reason: "The framing depends on how the body happened to be cut.",
    },
    Difference {
        key: "hop-by-hop-fields",
        parts: &[Answer, Upstream, AccessLog],
        nginx: "passes on fields that are about one connection: what `Connection` names, `Proxy-Connection`, `Trailer`, `Upgrade` of a server that changes to no other protocol",
        weir: "drops them in both directions",
        reason: "They mean nothing on another connection (RFC 9110 7.6.1), and can be used to talk past a proxy.",
    },
    Difference {
        key: "length-without-body",
        parts: &[Answer, Connection, AccessLog],
        nginx: "announces the length that a server behind tells of where `proxy_method` has it asked with `HEAD`, and sends no body",
        weir: "announces a body of no bytes",
        reason: "The client would wait for the body, and take the next answer for it.",
    },
    Difference {
        key: "framing-by-configuration",
        parts: &[Upstream, AccessLog],
        nginx: "sends what `proxy_set_header` says of `Content-Length` or `Transfer-Encoding`, be it true or not",
        weir: "says itself where the body ends",
        reason: "A server behind that believes another length takes the rest of a body for the next request of whoever comes next.",
    },
    Difference {
        key: "captures-in-targets",
        parts: &[Upstream, AccessLog],
        nginx: "puts the value of a variable into the target of `proxy_pass`, or into arguments that are set, as it is, blanks and control bytes too",
        weir: "writes those bytes as escapes",
        reason: "They would end the target or the line.",
    },
    Difference {
        key: "kept-after-412",
        parts: &[Connection, AccessLog, ErrorLog],
        nginx: "closes the connection after 412, though it has announced that it keeps it",
        weir: "keeps it",
        reason: "The client has been told so.",
    },
    Difference {
        key: "unpadded-pages",
        parts: &[Answer],
        nginx: "adds comments to its error pages for MSIE and Chrome (`msie_padding on`)",
        weir: "does not",
        reason: "No browser of today hides short pages.",
    },
    Difference {
        key: "strict-answers",
        parts: &[Answer, Connection, Upstream, AccessLog, ErrorLog],
        nginx: "passes on what a server behind sends without a status line of HTTP/1.x as an answer of HTTP/0.9, one of another version as if it were HTTP/1.1, and 101 that nobody has asked for; it passes over a line without a colon, a `Transfer-Encoding` that it does not know, a length that is none or that `Transfer-Encoding` contradicts, and all but the last of several lengths",
        weir: "takes such an answer for `invalid_header`: it tries another server where `proxy_next_upstream` says so, and answers with 502",
        reason: "Where an answer ends is a guess then, and what follows could be taken for the answer to another request (RFC 9112 6.3).",
    },
    Difference {
        key: "partial-buffers",
        parts: &[Answer, ErrorLog],
        nginx: "holds back with `proxy_buffering on` what fills no buffer until more comes, and drops it when the server behind fails meanwhile",
        weir: "passes on what has come",
        reason: "Whoever sends a little at a time means the client to have it; of an answer that is cut all that came is more than nothing.",
    },
    Difference {
        key: "heads-of-cut-answers",
        parts: &[Answer],
        nginx: "closes the connection without a byte when the first of a body in chunks is not in order",
        weir: "sends the head and closes the connection in the middle of the body",
        reason: "The client sees in both cases that it has no whole answer.",
    },
    Difference {
        key: "completion-of-cut-answers",
        parts: &[AccessLog],
        nginx: "has `OK` in `$request_completion` when the server behind has cut its answer short",
        weir: "has nothing there",
        reason: "It is what the variable is for: the request has not been completed.",
    },
    Difference {
        key: "actions-in-logs",
        parts: &[ErrorLog],
        nginx: "names with `proxy_buffering off` what it did before, reading the head or sending to the client, when it tells of a fault in a body, and `readv()` where it has read into several buffers",
        weir: "says that it was reading from the server behind, by `recv()`",
        reason: "That is where the fault is.",
    },
    Difference {
        key: "received-bytes-in-logs",
        parts: &[AccessLog],
        nginx: "reads at most `proxy_buffer_size` of an answer at once, and counts in `$upstream_bytes_received` no more than that when the rest is of no use",
        weir: "reads more at once, and counts it",
        reason: "Fewer system calls; the bound on the head is the same.",
    },
    Difference {
        key: "length-of-tunnels-in-logs",
        parts: &[AccessLog],
        nginx: "does not count in `$upstream_response_length` what came after a change of protocol (101)",
        weir: "counts it",
        reason: "It came, and `$upstream_bytes_received` has it too.",
    },
    Difference {
        key: "parameters-of-types",
        parts: &[Answer, AccessLog],
        nginx: "compresses no answer of a server behind whose type has parameters other than `charset`, or a blank before them",
        weir: "compares `gzip_types` with the type itself",
        reason: "Parameters do not change what is in the body (RFC 9110 8.3.1).",
    },
    Difference {
        key: "empty-args-in-logs",
        parts: &[AccessLog],
        nginx: "has an empty value in `$args` after `try_files` and `error_page` with variables have led to a path without arguments",
        weir: "has none there",
        reason: "There are none; nginx has so itself where the path is fixed.",
    },
    Difference {
        key: "fields-of-416",
        parts: &[Answer],
        nginx: "sends what `add_header` says with `always` twice with 416, or behind `Content-Range`",
        weir: "sends it once, before `Content-Range`",
        reason: "It is said once.",
    },
    Difference {
        key: "length-of-204",
        parts: &[Answer],
        nginx: "passes on a `Content-Length` of 0 that comes with 204",
        weir: "drops it",
        reason: "Such an answer has none (RFC 9110 8.6).",
    },
    Difference {
        key: "needless-100",
        parts: &[Answer, AccessLog],
        nginx: "sends `100 Continue` to a client that has sent its body already",
        weir: "does not",
        reason: "It waits for nothing then (RFC 9110 10.1.1).",
    },
    Difference {
        key: "status-of-try-files",
        parts: &[Answer, Connection, AccessLog],
        nginx: "sends nothing for `try_files ... =200`, and lets the client wait",
        weir: "sends an answer without a body",
        reason: "The client would wait until it gives up.",
    },
    Difference {
        key: "hosts-of-no-targets",
        parts: &[AccessLog],
        nginx: "has an empty `$proxy_host` and `$proxy_port` where the target of `proxy_pass` has come to none",
        weir: "has no value there",
        reason: "There is no host.",
    },
    Difference {
        key: "kept-after-early-answers",
        parts: &[Connection, AccessLog, ErrorLog],
        nginx: "closes the connection when a server behind has answered before all of a body has come with `proxy_request_buffering off`, though it has announced that it keeps it",
        weir: "drops the rest of the body and keeps it",
        reason: "The client has been told so.",
    },
    Difference {
        key: "loose-proxy-headers",
        parts: &[Answer, Connection, AccessLog, ErrorLog],
        nginx: "takes anything for an address in a header of the PROXY protocol, and any command",
        weir: "closes the connection",
        reason: "Rules are about addresses; what is none passes by them.",
    },
    Difference {
        key: "files-of-bodies",
        parts: &[ErrorLog],
        nginx: "writes a body that is larger than `client_body_buffer_size` to a file, but for what fits `client_header_buffer_size` beside the head",
        weir: "writes no file for what has come with the head, 16 KiB at most",
        reason: "It is in memory already.",
    },
    Difference {
        key: "versions-of-tls",
        parts: &[Upstream],
        nginx: "speaks TLS 1.0 to 1.2 unless `ssl_protocols` and `proxy_ssl_protocols` say otherwise",
        weir: "speaks 1.2 and 1.3",
        reason: "So does nginx from 1.23.4 and 1.27.3 on; the older versions are broken (RFC 8996).",
    },
    Difference {
        key: "protocols-of-servers",
        parts: &[Answer],
        nginx: "holds clients to the `ssl_protocols` of an address's default server, whichever server they name",
        weir: "holds them to those of the server that they name",
        reason: "It is what the configuration says.",
    },
    Difference {
        key: "sessions-with-servers",
        parts: &[Answer, Upstream, AccessLog, ErrorLog],
        nginx: "resumes the last TLS session with a server behind whatever name it is asked by and whichever certificate it is shown, and judges a session by what was found when it was begun",
        weir: "resumes one of the same name and certificate, by the rules under which it was begun",
        reason: "Who was believed without a look at the certificate is not one who has proved who he is.",
    },
    Difference {
        key: "resets-of-tls",
        parts: &[Answer, Connection, AccessLog, ErrorLog],
        nginx: "takes a reset of a connection with TLS for the end of what a server behind has to say",
        weir: "takes it for the fault that it is without TLS",
        reason: "An answer whose end is that of its connection may have been cut then.",
    },
    Difference {
        key: "empty-method",
        parts: &[Upstream, AccessLog],
        nginx: "sends a request line that begins with a blank when the variable of `proxy_method` is empty",
        weir: "sends the client's method",
        reason: "There is no request without a method (RFC 9112 3).",
    },
    Difference {
        key: "x-accel-charset",
        parts: &[Answer, AccessLog, ErrorLog],
        nginx: "takes a charset of `X-Accel-Charset` only when a `charset` or `charset_map` of the configuration has its name",
        weir: "adds it to the type as it is, or nothing for `off`",
        reason: "The server behind knows what it sends; nothing is recoded here.",
    },
    Difference {
        key: "urls-of-x-accel-redirect",
        parts: &[AccessLog, ErrorLog],
        nginx: "takes a URL in `X-Accel-Redirect` for a path that begins with `http:`, and then for a file",
        weir: "refuses it as an unsafe path, before the location is left",
        reason: "Paths begin with a slash; the client gets 404 from both.",
    },
    Difference {
        key: "ranges-of-x-accel-redirect",
        parts: &[Answer],
        nginx: "takes `Accept-Ranges` from an answer with `X-Accel-Redirect`, beside the one of the file",
        weir: "does not",
        reason: "Two such fields contradict each other, and that of the file is true.",
    },
    Difference {
        key: "refused-heads-in-logs",
        parts: &[AccessLog],
        nginx: "logs of a head that is refused what it had parsed before the fault: `$request_length` up to the line, an empty `$server_protocol`, the `Host` before a second one",
        weir: "logs `$request_length` of the whole head when the fault is in what fields mean, and no `$server_protocol` when the line is at fault",
        reason: "The head is looked at when it is complete; nothing else depends on it.",
    },
];

/// The entry of a key.
pub fn find(key: &str) -> &'static Difference {
    all().find(|difference| difference.key == key).unwrap_or_else(|| panic!("no difference is called {key}"))
}

/// `docs/differences.md`.
fn document() -> String {
    let mut text = String::from(
        "# Where weir differs from nginx\n\n\
         weir answers as nginx 1.22 does, byte for byte, but for what stands here. `tests/it/compare/` sends the same requests to both, through the same configurations and to the same servers\n\
         behind them, and compares answers, connections, what the servers behind are sent, access logs and error logs; and it has both test configurations that are wrong, and compares what they say. It fails when something else differs, and when something that stands here does\n\
         not differ any more. This page is made from its table (`UPDATE_DOCS=1 cargo test --test it differences`). Names, versions, dates and process numbers are left out of account.\n",
    );
    for difference in all() {
        let Difference { key, parts, nginx, weir, reason } = difference;
        let parts: Vec<&str> = parts.iter().map(|part| part.name()).collect();
        text.push_str(&format!(
            "\n## {key}\n\nnginx {nginx}.\n\nweir {weir}.\n\nShows in {}. {reason}\n",
            parts.join(", ")
        ));
    }
    text
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Answer => "the answer",
            Connection => "whether the connection is kept",
            Upstream => "what the server behind is sent",
            AccessLog => "the access log",
            ErrorLog => "the error log",
            Configuration => "what is said of a configuration",
        }
    }
}

#[test]
fn differences_are_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/differences.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, document()).unwrap();
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(text == document(), "docs/differences.md is out of date: UPDATE_DOCS=1 cargo test --test it differences");
}

#[test]
fn differences_all_have_a_request_that_shows_them() {
    let cases = super::THEMES.iter().flat_map(|theme| theme().cases);
    let mut shown: Vec<String> = cases.flat_map(|case| case.differences).map(str::to_owned).collect();
    shown.extend(super::refusals::shown());
    let known = |key: &&str| shown.iter().any(|shown| shown == key);
    let unseen: Vec<&str> = all().map(|difference| difference.key).filter(|key| !known(key)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}
