//! The variables that every request has, by name.

use crate::http::proxy;
use crate::net::proxy_protocol::tlv::Tlv;
use crate::tls::Fact;

/// What a request can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Variable {
    Named(Named),
    /// `$ssl_*`
    Tls(Fact),
    /// `$proxy_protocol_tlv_NAME`
    Tlv(Tlv),
    /// `$arg_NAME`
    Arg(String),
    /// `$http_NAME`, the name with `-`.
    Http(String),
    /// `$sent_http_NAME`, likewise.
    SentHttp(String),
    /// `$sent_trailer_NAME`, likewise.
    SentTrailer(String),
    /// `$cookie_NAME`
    Cookie(String),
    /// `$1` to `$9`: what a group of the last match captured.
    Capture(usize),
    /// One that the configuration makes, by its place among the [`super::definitions::Definitions`].
    Defined(usize),
    /// Of the server that the request is passed on to.
    Proxy(proxy::variables::Variable),
}

/// Those with a name of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Named {
    Args,
    BinaryRemoteAddr,
    BodyBytesSent,
    BytesSent,
    Connection,
    ConnectionRequests,
    ConnectionTime,
    ConnectionsActive,
    ConnectionsReading,
    ConnectionsWaiting,
    ConnectionsWriting,
    ContentLength,
    ContentType,
    DocumentRoot,
    GzipRatio,
    Host,
    Hostname,
    Https,
    IsArgs,
    LimitConnStatus,
    LimitRate,
    LimitReqStatus,
    Msec,
    NginxVersion,
    Pid,
    Pipe,
    ProxyProtocolAddr,
    ProxyProtocolPort,
    ProxyProtocolServerAddr,
    ProxyProtocolServerPort,
    RealipRemoteAddr,
    RealipRemotePort,
    RealpathRoot,
    RemoteAddr,
    RemotePort,
    RemoteUser,
    Request,
    RequestBody,
    RequestBodyFile,
    RequestCompletion,
    RequestFilename,
    RequestId,
    RequestLength,
    RequestMethod,
    RequestTime,
    RequestUri,
    Scheme,
    ServerAddr,
    ServerName,
    ServerPort,
    ServerProtocol,
    Status,
    TcpInfoRcvSpace,
    TcpInfoRtt,
    TcpInfoRttVar,
    TcpInfoSndCwnd,
    TimeIso8601,
    TimeLocal,
    Uri,
}

const NAMES: &[(&str, Named, &str)] = &[
    (
        "args",
        Named::Args,
        "The arguments: what stands behind the first `?` of the request line, as it came or as `rewrite` and `set` left it.",
    ),
    (
        "binary_remote_addr",
        Named::BinaryRemoteAddr,
        "The client's address in 4 or 16 bytes, short as a key of `limit_req_zone` and `limit_conn_zone`.",
    ),
    (
        "body_bytes_sent",
        Named::BodyBytesSent,
        "How many bytes have been sent to the client behind the head of the answer.",
    ),
    ("bytes_sent", Named::BytesSent, "How many bytes have been sent to the client, the head of the answer included."),
    ("connection", Named::Connection, "The number of the connection, the one behind `*` in error logs."),
    ("connection_requests", Named::ConnectionRequests, "Which request of its connection it is, from 1 on."),
    ("connection_time", Named::ConnectionTime, "How long the connection has been there, in seconds with milliseconds."),
    (
        "connections_active",
        Named::ConnectionsActive,
        "How many connections of clients all workers have, those that wait for requests included.",
    ),
    ("connections_reading", Named::ConnectionsReading, "Of how many connections a request head is being read."),
    ("connections_waiting", Named::ConnectionsWaiting, "How many connections wait for their next request."),
    ("connections_writing", Named::ConnectionsWriting, "To how many connections an answer is being made or sent."),
    (
        "content_length",
        Named::ContentLength,
        "The length of the request's body: its `Content-Length`, or what was counted of a body in chunks once it is there in whole.",
    ),
    ("content_type", Named::ContentType, "The request's `Content-Type`."),
    ("document_root", Named::DocumentRoot, "The folder of `root` or `alias` for the request."),
    ("document_uri", Named::Uri, "The same as `$uri`."),
    (
        "gzip_ratio",
        Named::GzipRatio,
        "How many times shorter `gzip` has made the answer, with two digits behind the point.",
    ),
    (
        "host",
        Named::Host,
        "The host that is asked for, without port: of the request line, else of `Host`, else the first name of the server.",
    ),
    ("hostname", Named::Hostname, "The name of the machine."),
    ("https", Named::Https, "`on` when the client speaks TLS, else empty."),
    ("is_args", Named::IsArgs, "`?` when there are arguments, else empty."),
    ("limit_conn_status", Named::LimitConnStatus, "What `limit_conn` did: `PASSED`, `REJECTED` or `REJECTED_DRY_RUN`."),
    (
        "limit_rate",
        Named::LimitRate,
        "The bytes a second that the client is sent; `set` may change them, 0 is no limit.",
    ),
    (
        "limit_req_status",
        Named::LimitReqStatus,
        "What `limit_req` did: `PASSED`, `DELAYED`, `REJECTED`, `DELAYED_DRY_RUN` or `REJECTED_DRY_RUN`.",
    ),
    ("msec", Named::Msec, "The time, in seconds since 1970 with milliseconds."),
    ("nginx_version", Named::NginxVersion, "The version of weir; the name is kept for configurations that have it."),
    ("pid", Named::Pid, "The process number of the worker."),
    ("pipe", Named::Pipe, "`p` for a request that came before the one before it was answered (pipelined), else `.`."),
    (
        "proxy_protocol_addr",
        Named::ProxyProtocolAddr,
        "The client's address in the header of the PROXY protocol, believed or not.",
    ),
    ("proxy_protocol_port", Named::ProxyProtocolPort, "The client's port in that header."),
    (
        "proxy_protocol_server_addr",
        Named::ProxyProtocolServerAddr,
        "The address that the client connected to by that header.",
    ),
    (
        "proxy_protocol_server_port",
        Named::ProxyProtocolServerPort,
        "The port that the client connected to by that header.",
    ),
    ("query_string", Named::Args, "The same as `$args`."),
    (
        "realip_remote_addr",
        Named::RealipRemoteAddr,
        "The address at the other end of the connection, before `real_ip_header` has named another client.",
    ),
    ("realip_remote_port", Named::RealipRemotePort, "The port at the other end of the connection, likewise."),
    ("realpath_root", Named::RealpathRoot, "The folder of `root` or `alias` with all symbolic links followed."),
    ("remote_addr", Named::RemoteAddr, "The client's address; `set_real_ip_from` says whose word is taken for it."),
    ("remote_port", Named::RemotePort, "The client's port, empty when whoever named the client named none."),
    (
        "remote_user",
        Named::RemoteUser,
        "The user's name in `Authorization: Basic`, whether or not a password was asked for.",
    ),
    ("request", Named::Request, "The request line as it came."),
    (
        "request_body",
        Named::RequestBody,
        "The request's body once it has been read for a server behind, when it did not go to a file.",
    ),
    ("request_body_file", Named::RequestBodyFile, "The file that the request's body is in, when it went to one."),
    ("request_completion", Named::RequestCompletion, "`OK` when the answer has been sent to its end, else empty."),
    (
        "request_filename",
        Named::RequestFilename,
        "The file that the request leads to, by `root` or `alias` and the URI.",
    ),
    ("request_id", Named::RequestId, "16 random bytes in hexadecimal, the same for the whole request."),
    ("request_length", Named::RequestLength, "How many bytes the request has: its line, head and body."),
    ("request_method", Named::RequestMethod, "The method."),
    (
        "request_time",
        Named::RequestTime,
        "How long the request has taken so far, in seconds with milliseconds, from the first bytes of its head on; in access logs until the last byte was sent.",
    ),
    ("request_uri", Named::RequestUri, "The target with its arguments as the client sent it."),
    ("scheme", Named::Scheme, "`http` or `https`."),
    ("server_addr", Named::ServerAddr, "The address that the client connected to."),
    ("server_name", Named::ServerName, "The first name of the server that took the request."),
    ("server_port", Named::ServerPort, "The port that the client connected to."),
    ("server_protocol", Named::ServerProtocol, "The protocol of the request line: `HTTP/1.0` or `HTTP/1.1`."),
    ("status", Named::Status, "The status of the answer."),
    (
        "tcpinfo_rcv_space",
        Named::TcpInfoRcvSpace,
        "The kernel's receive space of the client's connection, in bytes (tcp(7)).",
    ),
    ("tcpinfo_rtt", Named::TcpInfoRtt, "The round trip time of the client's connection, in microseconds."),
    ("tcpinfo_rttvar", Named::TcpInfoRttVar, "How far that time varies, in microseconds."),
    ("tcpinfo_snd_cwnd", Named::TcpInfoSndCwnd, "The congestion window of the client's connection, in packets."),
    ("time_iso8601", Named::TimeIso8601, "The time as in ISO 8601."),
    ("time_local", Named::TimeLocal, "The time as in the predefined `log_format`."),
    (
        "uri",
        Named::Uri,
        "The path asked for: decoded, without `.`, `..` and arguments, and as internal redirects left it.",
    ),
];

/// How the rest of a name becomes a variable.
type Make = fn(&str) -> Option<Variable>;

/// Variables whose name says which field or part they tell of; the first that fits.
const PREFIXES: &[(&str, Make, &str)] = &[
    (
        "sent_http_",
        |name| Some(Variable::SentHttp(dashed(name))),
        "The field NAME of the answer's head, in lower case and with `_` for `-`; several values with commas between them.",
    ),
    (
        "sent_trailer_",
        |name| Some(Variable::SentTrailer(dashed(name))),
        "The field NAME behind the answer's body, likewise.",
    ),
    (
        "http_",
        |name| Some(Variable::Http(dashed(name))),
        "The field NAME of the request's head, in lower case and with `_` for `-`; several values with commas between them, of `Cookie` with `; `.",
    ),
    ("arg_", |name| Some(Variable::Arg(name.to_owned())), "The first argument NAME of `$args`, in either case."),
    ("cookie_", |name| Some(Variable::Cookie(name.to_owned())), "The first cookie NAME of the request."),
    (
        "proxy_protocol_tlv_",
        |name| Tlv::named(name).map(Variable::Tlv),
        "What a header of the PROXY protocol, version 2, tells beside the addresses: `alpn`, `authority`, `unique_id`, `ssl`, `netns`, `ssl_version`, `ssl_cn`, `ssl_cipher`, `ssl_sig_alg`, `ssl_key_alg`, `ssl_verify` (`0` when the client's certificate was verified), or a type in hexadecimal, `0xEA`, `ssl_0x21`.",
    ),
];

/// The name of a field.
fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

/// The names of all variables that every request has and what they mean, for the documentation.
pub fn meanings() -> impl Iterator<Item = (String, &'static str)> {
    let own = NAMES.iter().map(|(name, _, meaning)| ((*name).to_owned(), *meaning));
    let capture =
        [("1` to `$9".to_owned(), "What the groups of the last regular expression that matched have captured.")];
    let of_a_kind = PREFIXES.iter().map(|(prefix, _, meaning)| (format!("{prefix}NAME"), *meaning));
    own.chain(capture).chain(of_a_kind).chain(proxy::variables::meanings()).chain(Fact::meanings())
}

/// The variable of this name, in lower case, that every request has.
pub(in crate::http) fn find(name: &str) -> Option<Variable> {
    if let [digit @ b'1'..=b'9'] = name.as_bytes() {
        return Some(Variable::Capture(usize::from(digit - b'0')));
    }
    if let Some((_, named, _)) = NAMES.iter().find(|(known, ..)| *known == name) {
        return Some(Variable::Named(*named));
    }
    if let Some(fact) = Fact::named(name) {
        return Some(Variable::Tls(fact));
    }
    let made = PREFIXES.iter().find_map(|(prefix, make, _)| Some((make, name.strip_prefix(prefix)?)));
    match made {
        Some((make, rest)) => make(rest).filter(|_| !rest.is_empty()),
        None => proxy::variables::find(name).map(Variable::Proxy),
    }
}

/// Whether a variable that requests have may be made by the configuration in its place: one that stands for a field, an argument or a
/// cookie of any name, but not those that nginx has by their whole names.
pub(in crate::http) fn is_open(name: &str) -> bool {
    const CLOSED: [&str; 15] = [
        "http_cookie",
        "http_host",
        "http_referer",
        "http_user_agent",
        "http_via",
        "http_x_forwarded_for",
        "sent_http_cache_control",
        "sent_http_connection",
        "sent_http_content_length",
        "sent_http_content_type",
        "sent_http_keep_alive",
        "sent_http_last_modified",
        "sent_http_link",
        "sent_http_location",
        "sent_http_transfer_encoding",
    ];
    use proxy::variables::Variable as Proxy;
    let of_any_name = matches!(
        find(name),
        Some(
            Variable::Arg(_)
                | Variable::Http(_)
                | Variable::SentHttp(_)
                | Variable::SentTrailer(_)
                | Variable::Cookie(_)
                | Variable::Proxy(Proxy::Field(_) | Proxy::Trailer(_) | Proxy::Cookie(_))
        )
    );
    of_any_name && !CLOSED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known() {
        assert_eq!(find("uri"), Some(Variable::Named(Named::Uri)));
        assert_eq!(find("http_user_agent"), Some(Variable::Http("user-agent".into())));
        assert_eq!(find("sent_http_etag"), Some(Variable::SentHttp("etag".into())));
        for unknown in ["nope", "http_", "arg_", ""] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }
}
