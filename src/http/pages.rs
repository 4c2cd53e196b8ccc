//! The texts of statuses, and the pages that go with errors and redirects.

use super::Tokens;

/// The text of a status line, nginx's where it differs from RFC 9110; empty for statuses that have none.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Time-out",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        415 => "Unsupported Media Type",
        416 => "Requested Range Not Satisfiable",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

/// The status that a client is sent. Those for heads that are too large and for requests to addresses with TLS are nginx's own, for `error_page` and the choice of a page; to the client they are
/// bad requests.
pub(super) fn sent(status: u16) -> u16 {
    if matches!(status, 494..=497) { 400 } else { status }
}

/// The page of a status of 300 and more; `None` for those that have none.
pub(super) fn page(status: u16, tokens: Tokens) -> Option<Vec<u8>> {
    let text = match status {
        302 => "Found",
        401 => "Authorization Required",
        0..300 | 304 => "",
        _ => reason(status),
    };
    let server = tokens.name();
    let (status, title, detail) = match status {
        494 => (400, "Request Header Or Cookie Too Large", true),
        495 => (400, "The SSL certificate error", true),
        496 => (400, "No required SSL certificate was sent", true),
        497 => (400, "The plain HTTP request was sent to HTTPS port", true),
        status => (status, text, false),
    };
    let text = if detail { "Bad Request" } else { text };
    let detail = if detail { format!("<center>{title}</center>\r\n") } else { String::new() };
    (!text.is_empty()).then(|| {
        format!(
            "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {text}</h1></center>\r\n\
             {detail}<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
        )
        .into_bytes()
    })
}
