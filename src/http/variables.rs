//! Variables of a request, and text made of them.

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::basic_auth::Credentials;
use super::client::Client;
use super::definitions::Source;
use super::proxy;
use super::request::Request;
use crate::log::format::{Escape, Format};
use crate::log::{Level, clock, hostname};
use crate::net::Address;
use crate::tls::Fact;

/// What a request can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Named(Named),
    /// `$ssl_*`
    Tls(Fact),
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
pub(super) enum Named {
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

const NAMES: &[(&str, Named)] = &[
    ("args", Named::Args),
    ("binary_remote_addr", Named::BinaryRemoteAddr),
    ("body_bytes_sent", Named::BodyBytesSent),
    ("bytes_sent", Named::BytesSent),
    ("connection", Named::Connection),
    ("connection_requests", Named::ConnectionRequests),
    ("connection_time", Named::ConnectionTime),
    ("connections_active", Named::ConnectionsActive),
    ("connections_reading", Named::ConnectionsReading),
    ("connections_waiting", Named::ConnectionsWaiting),
    ("connections_writing", Named::ConnectionsWriting),
    ("content_length", Named::ContentLength),
    ("content_type", Named::ContentType),
    ("document_root", Named::DocumentRoot),
    ("document_uri", Named::Uri),
    ("gzip_ratio", Named::GzipRatio),
    ("host", Named::Host),
    ("hostname", Named::Hostname),
    ("https", Named::Https),
    ("is_args", Named::IsArgs),
    ("limit_conn_status", Named::LimitConnStatus),
    ("limit_rate", Named::LimitRate),
    ("limit_req_status", Named::LimitReqStatus),
    ("msec", Named::Msec),
    ("nginx_version", Named::NginxVersion),
    ("pid", Named::Pid),
    ("pipe", Named::Pipe),
    ("proxy_protocol_addr", Named::ProxyProtocolAddr),
    ("proxy_protocol_port", Named::ProxyProtocolPort),
    ("proxy_protocol_server_addr", Named::ProxyProtocolServerAddr),
    ("proxy_protocol_server_port", Named::ProxyProtocolServerPort),
    ("query_string", Named::Args),
    ("realip_remote_addr", Named::RealipRemoteAddr),
    ("realip_remote_port", Named::RealipRemotePort),
    ("realpath_root", Named::RealpathRoot),
    ("remote_addr", Named::RemoteAddr),
    ("remote_port", Named::RemotePort),
    ("remote_user", Named::RemoteUser),
    ("request", Named::Request),
    ("request_body", Named::RequestBody),
    ("request_body_file", Named::RequestBodyFile),
    ("request_completion", Named::RequestCompletion),
    ("request_filename", Named::RequestFilename),
    ("request_id", Named::RequestId),
    ("request_length", Named::RequestLength),
    ("request_method", Named::RequestMethod),
    ("request_time", Named::RequestTime),
    ("request_uri", Named::RequestUri),
    ("scheme", Named::Scheme),
    ("server_addr", Named::ServerAddr),
    ("server_name", Named::ServerName),
    ("server_port", Named::ServerPort),
    ("server_protocol", Named::ServerProtocol),
    ("status", Named::Status),
    ("tcpinfo_rcv_space", Named::TcpInfoRcvSpace),
    ("tcpinfo_rtt", Named::TcpInfoRtt),
    ("tcpinfo_rttvar", Named::TcpInfoRttVar),
    ("tcpinfo_snd_cwnd", Named::TcpInfoSndCwnd),
    ("time_iso8601", Named::TimeIso8601),
    ("time_local", Named::TimeLocal),
    ("uri", Named::Uri),
];

/// How many variables may be worked out one for the other, nginx's bound.
const DEPTH_MAX: usize = 100;
/// How many of these bounds may be met before nothing is worked out any more: where each asks for two others there would be no end of them.
const CYCLES_MAX: usize = 100;

/// Text with variables of a request.
pub(super) type Text = Format<Variable>;

/// nginx's predefined `log_format`.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \
                        \"$http_user_agent\"";

/// The form of lines when no other is named.
pub(super) fn combined() -> Text {
    Format::compile(COMBINED.as_bytes(), Escape::Default, find).expect("the predefined format is right")
}

/// The variable of this name, in lower case, that every request has.
pub(super) fn find(name: &str) -> Option<Variable> {
    if let [digit @ b'1'..=b'9'] = name.as_bytes() {
        return Some(Variable::Capture(usize::from(digit - b'0')));
    }
    if let Some((_, named)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(Variable::Named(*named));
    }
    if let Some(fact) = Fact::named(name) {
        return Some(Variable::Tls(fact));
    }
    let field = |name: &str| name.replace('_', "-");
    let of = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
    of("sent_http_")
        .map(|name| Variable::SentHttp(field(name)))
        .or_else(|| of("sent_trailer_").map(|name| Variable::SentTrailer(field(name))))
        .or_else(|| of("http_").map(|name| Variable::Http(field(name))))
        .or_else(|| of("arg_").map(|name| Variable::Arg(name.to_owned())))
        .or_else(|| of("cookie_").map(|name| Variable::Cookie(name.to_owned())))
        .or_else(|| proxy::variables::find(name).map(Variable::Proxy))
}

/// Whether a variable that requests have may be made by the configuration in its place: one that stands for a field, an argument or a
/// cookie of any name, but not those that nginx has by their whole names.
pub(super) fn is_open(name: &str) -> bool {
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

/// Whether a variable is that of the field `name`, in which `_` may stand for `-`.
pub(super) fn is_field(name: &[u8], variable: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == variable.len() && name.iter().zip(variable.bytes()).all(|(byte, other)| plain(*byte) == other)
}

/// Where the values of a request come from.
pub(super) struct Values<'a> {
    pub client: &'a Client,
    pub request: &'a Request,
    pub now: Instant,
}

impl Values<'_> {
    /// The text with the values of this request.
    pub(super) fn fill(&self, text: &Text) -> Vec<u8> {
        let mut out = Vec::new();
        text.fill(&mut out, |variable, out| self.write(variable, out));
        out
    }

    /// Appends the value of a variable and tells whether it has one.
    pub(super) fn write(&self, variable: &Variable, out: &mut Vec<u8>) -> bool {
        let request = self.request;
        let value = match variable {
            Variable::Named(named) => return self.write_named(*named, out),
            Variable::Tls(fact) => return self.client.connection.tls(|ssl| fact.write(ssl, out)).unwrap_or(false),
            Variable::Proxy(variable) => {
                return proxy::variables::write(variable, request, self.client.speaks_for(request), out);
            }
            Variable::Http(name) => {
                let between = if name == "cookie" { &b"; "[..] } else { b", " };
                let fields = request.head.fields().filter(|(field, _)| is_field(field, name));
                return join(fields.map(|(_, value)| value), between, out);
            }
            Variable::SentTrailer(name) => {
                let fields = proxy::trailers::fields(&request.trailers);
                let same = fields.filter(|(field, _)| is_field(field.as_bytes(), name));
                return join(same.map(|(_, value)| value), b", ", out);
            }
            Variable::SentHttp(name) => {
                let same = |field: &&super::response::Field| is_field(field.0.as_bytes(), name);
                return join(request.fields.iter().filter(same).map(|(_, value)| value.as_slice()), b", ", out);
            }
            Variable::Arg(name) => {
                let args = request.args.as_deref().unwrap_or_default().split(|byte| *byte == b'&');
                pair(args, name)
            }
            Variable::Cookie(name) => {
                let cookies = request.head.all("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
                pair(cookies.map(<[u8]>::trim_ascii_start), name).map(<[u8]>::trim_ascii_start)
            }
            Variable::Capture(group) => {
                let memory = request.memory.borrow();
                let value = memory.group(*group);
                out.extend_from_slice(value.unwrap_or_default());
                return value.is_some();
            }
            Variable::Defined(place) => return self.write_defined(*place, out),
        };
        out.extend(value.unwrap_or_default());
        value.is_some()
    }

    /// The value of a variable that the configuration makes.
    fn write_defined(&self, place: usize, out: &mut Vec<u8>) -> bool {
        if let Some(value) = self.request.memory.borrow().value(place) {
            out.extend_from_slice(value.unwrap_or_default());
            return value.is_some();
        }
        let (name, source) = self.request.server.definitions.get(place);
        match source {
            Source::Assigned => {
                if self.request.location.uninitialized_variable_warn {
                    let message = format_args!("using uninitialized \"{name}\" variable");
                    self.client.log(Level::Warn, None, "", Some(self.request), message);
                }
                true
            }
            Source::Captured => false,
            Source::Split(split) => self.keep(place, split.value(self), out),
            Source::Geo(geo) => self.keep(place, geo.value(self), out),
            Source::Map(map) => {
                let (depth, cycles) = {
                    let memory = self.request.memory.borrow();
                    (memory.depth, memory.cycles)
                };
                if cycles == CYCLES_MAX {
                    return false;
                }
                if depth == DEPTH_MAX {
                    let message = format_args!("cycle while evaluating variable \"{name}\"");
                    self.client.log(Level::Error, None, "", Some(self.request), message);
                    self.request.memory.borrow_mut().cycles += 1;
                    return false;
                }
                self.request.memory.borrow_mut().depth = depth + 1;
                let value = map.value(self);
                let mut memory = self.request.memory.borrow_mut();
                memory.depth = depth;
                if depth == 0 {
                    memory.cycles = 0;
                }
                drop(memory);
                match value {
                    Ok(value) if map.volatile => {
                        out.extend(value);
                        true
                    }
                    Ok(value) => self.keep(place, &value, out),
                    Err(failed) => {
                        self.client.log(Level::Alert, None, "", Some(self.request), format_args!("{failed}"));
                        false
                    }
                }
            }
        }
    }

    /// Appends a value that was worked out, for the rest of the request.
    fn keep(&self, place: usize, value: &[u8], out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(value);
        self.request.memory.borrow_mut().set(place, Some(value.to_vec()));
        true
    }

    fn write_named(&self, named: Named, out: &mut Vec<u8>) -> bool {
        let Values { client, request, now } = *self;
        let (head, location) = (&request.head, &request.location);
        // Whoever names an address need not name a port.
        let port = |address: &Address| {
            address.port().filter(|port| *port > 0).map(|port| port.to_string()).unwrap_or_default()
        };
        let announced = |named| {
            let endpoints = client.announced.as_ref()?;
            let of_server = matches!(named, Named::ProxyProtocolServerAddr | Named::ProxyProtocolServerPort);
            Some(if of_server { endpoints.destination } else { endpoints.source })
        };
        let mut present = true;
        let mut optional = |value: Option<&[u8]>, out: &mut Vec<u8>| {
            present = value.is_some();
            out.write_all(value.unwrap_or_default())
        };
        let written = match named {
            Named::Args => optional(request.args.as_deref(), out),
            Named::BinaryRemoteAddr => match client.speaks_for(request) {
                Address::Inet(inet) => match inet.ip() {
                    IpAddr::V4(ip) => out.write_all(&ip.octets()),
                    IpAddr::V6(ip) => out.write_all(&ip.octets()),
                },
                unix => write!(out, "{}", unix.host()),
            },
            Named::BodyBytesSent => write!(out, "{}", request.output.sent().saturating_sub(request.head_sent)),
            Named::BytesSent => write!(out, "{}", request.output.sent()),
            Named::Connection => write!(out, "{}", client.number),
            Named::ConnectionRequests => write!(out, "{}", client.requests),
            Named::ConnectionTime => seconds(now.saturating_duration_since(client.since), out),
            Named::ConnectionsActive => write!(out, "{}", client.teller.figures().active),
            Named::ConnectionsReading => write!(out, "{}", client.teller.figures().reading),
            Named::ConnectionsWaiting => write!(out, "{}", client.teller.figures().waiting),
            Named::ConnectionsWriting => write!(out, "{}", client.teller.figures().writing),
            Named::ContentLength if request.chunk.is_some() && request.body.is_complete() => {
                write!(out, "{}", request.length)
            }
            Named::ContentLength => optional(head.field("content-length"), out),
            Named::ContentType => optional(head.field("content-type"), out),
            Named::DocumentRoot => out.write_all(location.root.directory(self).as_os_str().as_bytes()),
            Named::GzipRatio => {
                let ratio = request.output.ratio.filter(|(_, given)| *given > 0);
                let hundredths = ratio.map(|(taken, given)| (taken * 1000 / given + 5) / 10);
                let text = hundredths.map(|ratio| format!("{}.{:02}", ratio / 100, ratio % 100));
                optional(text.as_deref().map(str::as_bytes), out)
            }
            Named::Host if request.host.is_empty() => write!(out, "{}", request.server.name),
            Named::Host => out.write_all(&request.host),
            Named::Hostname => write!(out, "{}", hostname()),
            Named::Https => out.write_all(if client.is_secure() { b"on" } else { b"" }),
            Named::IsArgs => {
                out.write_all(if request.args.as_ref().is_some_and(|args| !args.is_empty()) { b"?" } else { b"" })
            }
            Named::LimitConnStatus => optional(request.limits.connections.name().map(str::as_bytes), out),
            Named::LimitRate => write!(out, "{}", request.limit_rate.unwrap_or_default()),
            Named::LimitReqStatus => optional(request.limits.requests.name().map(str::as_bytes), out),
            Named::Msec => write!(out, "{}", clock::now_msec()),
            Named::NginxVersion => write!(out, "{}", env!("CARGO_PKG_VERSION")),
            Named::Pid => write!(out, "{}", std::process::id()),
            Named::Pipe => out.write_all(if request.pipelined { b"p" } else { b"." }),
            Named::RemoteAddr => write!(out, "{}", client.speaks_for(request).host()),
            Named::RemotePort => write!(out, "{}", port(client.speaks_for(request))),
            Named::RealipRemoteAddr => write!(out, "{}", client.address.host()),
            Named::RealipRemotePort => write!(out, "{}", port(&client.address)),
            Named::ProxyProtocolAddr | Named::ProxyProtocolServerAddr => {
                let address = announced(named).map(|address| address.ip().to_string());
                optional(address.as_deref().map(str::as_bytes), out)
            }
            Named::ProxyProtocolPort | Named::ProxyProtocolServerPort => {
                let address = announced(named).map(|address| address.port().to_string());
                optional(address.as_deref().map(str::as_bytes), out)
            }
            // Whether or not anything checked it, as in nginx.
            Named::RemoteUser => {
                let credentials = Credentials::parse(head.field("authorization").unwrap_or_default());
                optional(credentials.map(|credentials| credentials.user).as_deref(), out)
            }
            Named::Request => out.write_all(head.line()),
            Named::RequestBody => {
                let body = request.exchange.as_ref().map(|exchange| &exchange.body).filter(|body| !body.has_file());
                optional(body.map(|body| &body.memory[..]).filter(|body| !body.is_empty()), out)
            }
            Named::RequestBodyFile => {
                let path = request.exchange.as_ref().and_then(|exchange| exchange.body.path());
                optional(path.map(|path| path.as_os_str().as_bytes()), out)
            }
            Named::RequestCompletion => out.write_all(if client.answered { b"OK" } else { b"" }),
            Named::RealpathRoot => {
                let root = location.root.directory(self);
                let real = root.canonicalize().inspect_err(|error| {
                    let message = format_args!("realpath() \"{}\" failed", root.display());
                    client.log(Level::Crit, Some(error), "", Some(request), message);
                });
                optional(real.ok().as_ref().map(|real| real.as_os_str().as_bytes()), out)
            }
            Named::RequestFilename => {
                let file = location.root.file(self, &request.path);
                optional(file.as_ref().map(|file| file.as_os_str().as_bytes()), out)
            }
            Named::RequestId => {
                // Where there is no chance to be had there is no id, as in nginx.
                let id = request.id.get_or_init(|| {
                    let mut id = [0; 16];
                    getrandom::fill(&mut id).ok().map(|()| u128::from_be_bytes(id))
                });
                optional(id.map(|id| format!("{id:032x}")).as_deref().map(str::as_bytes), out)
            }
            Named::RequestLength => write!(out, "{}", head.length() as u64 + request.received),
            Named::RequestMethod => optional(Some(request.method()).filter(|method| !method.is_empty()), out),
            Named::RequestTime => seconds(now.saturating_duration_since(request.started), out),
            Named::RequestUri => optional(Some(&request.uri[..]).filter(|uri| !uri.is_empty()), out),
            Named::Scheme => write!(out, "{}", client.scheme()),
            Named::ServerAddr => match client.local() {
                Address::Inet(inet) => write!(out, "{}", inet.ip()),
                unix => write!(out, "{unix}"),
            },
            Named::ServerName => write!(out, "{}", request.server.name),
            Named::ServerPort => write!(out, "{}", port(client.local())),
            Named::ServerProtocol => optional(head.protocol(), out),
            Named::Status => write!(out, "{:03}", request.error_status.unwrap_or(request.status)),
            Named::TcpInfoRcvSpace | Named::TcpInfoRtt | Named::TcpInfoRttVar | Named::TcpInfoSndCwnd => {
                let value = client.connection.tcp_info().ok().map(|info| match named {
                    Named::TcpInfoRtt => info.tcpi_rtt,
                    Named::TcpInfoRttVar => info.tcpi_rttvar,
                    Named::TcpInfoSndCwnd => info.tcpi_snd_cwnd,
                    _ => info.tcpi_rcv_space,
                });
                optional(value.map(|value| value.to_string()).as_deref().map(str::as_bytes), out)
            }
            Named::TimeIso8601 => write!(out, "{}", clock::now_iso8601()),
            Named::TimeLocal => write!(out, "{}", clock::now_local()),
            Named::Uri => optional(Some(&request.path[..]).filter(|_| !head.method().is_empty()), out),
        };
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        present
    }
}

/// A span of time as logs have it.
fn seconds(span: Duration, out: &mut Vec<u8>) -> std::io::Result<()> {
    write!(out, "{}.{:03}", span.as_secs(), span.subsec_millis())
}

/// Appends all values with something between them, and tells whether there are any.
fn join<'a>(values: impl Iterator<Item = &'a [u8]>, between: &[u8], out: &mut Vec<u8>) -> bool {
    let mut any = false;
    for (number, value) in values.enumerate() {
        any = true;
        if number > 0 {
            out.extend(between);
        }
        out.extend(value);
    }
    any
}

/// The value of the first `name=value`, the name of either case as in nginx.
fn pair<'a>(mut pairs: impl Iterator<Item = &'a [u8]>, name: &str) -> Option<&'a [u8]> {
    pairs.find_map(|pair| {
        let (found, value) = pair.split_at(memchr::memchr(b'=', pair)?);
        found.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()).then_some(&value[1..])
    })
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

    #[test]
    fn parts_of_fields() {
        let split = |text: &'static str| text.as_bytes().split(|byte| *byte == b'&');
        assert_eq!(pair(split("a=1&B=2=3&c"), "b"), Some(&b"2=3"[..]));
        assert_eq!(pair(split("c"), "c"), None);
    }
}
