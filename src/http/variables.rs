//! Variables of a request, and text made of them.

mod names;

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::basic_auth::Credentials;
use super::client::Client;
use super::definitions::Source;
use super::proxy;
use super::regex::Failed;
use super::request::Request;
use super::response::fields_of;
use crate::log::format::{Escape, Format};
use crate::log::{Level, clock, hostname};
use crate::net::Address;

pub use names::meanings;
pub(super) use names::{Named, Variable, find, is_open};

/// How many variables may be worked out one for the other, nginx's bound.
const DEPTH_MAX: usize = 100;
/// How many of these bounds may be met before nothing is worked out any more: where each asks for two others there would be no end of them.
const CYCLES_MAX: usize = 100;
/// How long a value may be that was worked out within a cycle, in bytes: where each has the one before it twice there would be no end of it.
const CYCLIC_MAX: usize = 64 * 1024;

/// Text with variables of a request.
pub(super) type Text = Format<Variable>;

/// nginx's predefined `log_format`.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \
                        \"$http_user_agent\"";

/// The form of lines when no other is named.
pub(super) fn combined() -> Text {
    Format::compile(COMBINED.as_bytes(), Escape::Default, find).expect("the predefined format is right")
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
            Variable::Tls(fact) => return self.client.tell(*fact, out),
            Variable::Tlv(tlv) => {
                let announced = self.client.announced.as_ref();
                return announced.is_some_and(|announced| tlv.write(&announced.tlvs, out));
            }
            Variable::Proxy(variable) => {
                return proxy::variables::write(variable, request, self.client.speaks_for(request), out);
            }
            Variable::Http(name) => {
                let between = if name == "cookie" { &b"; "[..] } else { b", " };
                return join(request.head.all_like(name), between, out);
            }
            Variable::SentTrailer(name) => {
                let fields = proxy::trailers::fields(&request.trailers);
                let same = fields.filter(|(field, _)| is_field(field.as_bytes(), name));
                return join(same.map(|(_, value)| value), b", ", out);
            }
            Variable::SentHttp(name) => {
                let fields = fields_of(&request.answer_head).filter(|(field, _)| is_field(field, name));
                return join(fields.map(|(_, value)| value), b", ", out);
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
            Source::OfRequest(variable) => self.write(variable, out),
            Source::Captured => false,
            Source::Split(split) => self.work_out(place, name, false, out, || Ok(split.value(self).to_vec())),
            Source::Geo(geo) => self.work_out(place, name, false, out, || Ok(geo.value(self).to_vec())),
            Source::Map(map) => self.work_out(place, name, map.volatile, out, || map.value(self)),
        }
    }

    /// Appends a value that is made of other variables, and keeps it for the rest of the request unless it is `volatile`. What leads
    /// back to itself comes to an end.
    fn work_out(
        &self,
        place: usize,
        name: &str,
        volatile: bool,
        out: &mut Vec<u8>,
        value: impl FnOnce() -> Result<Vec<u8>, Failed>,
    ) -> bool {
        let memory = || self.request.memory.borrow_mut();
        let depth = memory().depth;
        let cycles = memory().cycles;
        if cycles == CYCLES_MAX {
            return false;
        }
        if depth == DEPTH_MAX {
            let message = format_args!("cycle while evaluating variable \"{name}\"");
            self.client.log(Level::Error, None, "", Some(self.request), message);
            memory().cycles += 1;
            return false;
        }
        memory().depth = depth + 1;
        let value = value();
        memory().depth = depth;
        let cyclic = memory().cycles > 0;
        if depth == 0 {
            memory().cycles = 0;
        }
        let value = match value {
            Ok(value) => Some(value).filter(|value| !cyclic || value.len() <= CYCLIC_MAX),
            Err(failed) => {
                self.client.log(Level::Alert, None, "", Some(self.request), format_args!("{failed}"));
                return false;
            }
        };
        out.extend_from_slice(value.as_deref().unwrap_or_default());
        let has_value = value.is_some();
        if !volatile {
            memory().set(place, value);
        }
        has_value
    }

    fn write_named(&self, named: Named, out: &mut Vec<u8>) -> bool {
        let Values { client, request, now } = *self;
        let (head, location) = (&request.head, &request.location);
        // Whoever names an address need not name a port.
        let port = |address: &Address| {
            address.port().filter(|port| *port > 0).map(|port| port.to_string()).unwrap_or_default()
        };
        let announced = |named| {
            let endpoints = &client.announced.as_ref()?.endpoints;
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
            Named::BodyBytesSent => number(request.output.sent().saturating_sub(request.head_sent), out),
            Named::BytesSent => number(request.output.sent(), out),
            Named::Connection => number(client.number, out),
            Named::ConnectionRequests => number(client.requests, out),
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
            Named::RemoteAddr => client.speaks_for(request).write_host(out),
            Named::RemotePort => write!(out, "{}", port(client.speaks_for(request))),
            Named::RealipRemoteAddr => client.address.write_host(out),
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
                    let action = if request.told { "logging request" } else { "" };
                    client.log(Level::Crit, Some(error), action, Some(request), message);
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
            Named::RequestLength => number(head.length() as u64 + request.received, out),
            Named::RequestMethod => optional(Some(request.method()).filter(|method| !method.is_empty()), out),
            Named::RequestTime => seconds(now.saturating_duration_since(request.started), out),
            Named::RequestUri => optional(Some(request.uri()).filter(|uri| !uri.is_empty()), out),
            Named::Scheme => write!(out, "{}", client.scheme()),
            Named::ServerAddr => match client.local() {
                Address::Inet(inet) => write!(out, "{}", inet.ip()),
                unix => write!(out, "{unix}"),
            },
            Named::ServerName => write!(out, "{}", request.server.name),
            Named::ServerPort => write!(out, "{}", port(client.local())),
            Named::ServerProtocol => optional(head.protocol(), out),
            Named::Status => match request.error_status.unwrap_or(request.status) {
                status @ 100.. => number(status.into(), out),
                none => write!(out, "{none:03}"),
            },
            Named::TcpInfoRcvSpace | Named::TcpInfoRtt | Named::TcpInfoRttVar | Named::TcpInfoSndCwnd => {
                let value = client.connection.tcp_info().ok().map(|info| match named {
                    Named::TcpInfoRtt => info.tcpi_rtt,
                    Named::TcpInfoRttVar => info.tcpi_rttvar,
                    Named::TcpInfoSndCwnd => info.tcpi_snd_cwnd,
                    _ => info.tcpi_rcv_space,
                });
                optional(value.map(|value| value.to_string()).as_deref().map(str::as_bytes), out)
            }
            Named::TimeIso8601 => clock::with_iso8601(|text| out.write_all(text.as_bytes())),
            Named::TimeLocal => clock::with_local(|text| out.write_all(text.as_bytes())),
            Named::Uri => optional(Some(&request.path[..]).filter(|_| !head.method().is_empty()), out),
        };
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        present
    }
}

fn number(number: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
    out.write_all(itoa::Buffer::new().format(number).as_bytes())
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
    fn parts_of_fields() {
        let split = |text: &'static str| text.as_bytes().split(|byte| *byte == b'&');
        assert_eq!(pair(split("a=1&B=2=3&c"), "b"), Some(&b"2=3"[..]));
        assert_eq!(pair(split("c"), "c"), None);
    }
}
