//! The server behind: it does what the case says, and remembers what it was sent.
//!
//! A text says what one request gets. Before its first colon stands how:
//!
//! | | |
//! |---|---|
//! | `HTTP/...` | this answer, then the end |
//! | `keep:` | this answer, then the next request |
//! | `hold:` | this answer, then nothing until the other side ends |
//! | `early:` | this answer as soon as the head has come, then the end |
//! | `pieces:` | this answer, cut at each `|`, with pauses, then the end |
//! | `later:` | this answer when the client has all that it waits for, then the end |
//! | `reset:` | this answer, then a reset |
//! | `silent:` | nothing |
//!
//! Servers with TLS know two more, for a client that says hello; the second is an end of the socket, and not of TLS.
//!
//! | | |
//! |---|---|
//! | `hello:` | these bytes in the place of the handshake, then the end; of nothing a reset |
//! | `cut:` | this answer, then an end that is not told |

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use openssl::ssl::{SslAcceptor, SslMethod, SslVerifyMode};

use super::wire::Wire;
use crate::common::clients::reset;
use crate::common::wait::PATIENCE;
use crate::common::{Backend, connect, read_all};
use crate::tls::certs::Identity;

/// What is known of one side's servers behind.
#[derive(Default)]
struct Progress {
    /// What the present case says.
    script: Vec<String>,
    /// The client has all its answers, but those to requests beside.
    is_served: bool,
    /// Requests of this case so far, as they came.
    seen: Vec<String>,
    /// Connections that have been served so far, or begun to be.
    begun: usize,
    /// Those that wait for their first request, and requests that are being read or answered.
    busy: usize,
}

/// Servers with one script.
pub struct Behind {
    servers: Vec<Backend>,
    progress: Arc<(Mutex<Progress>, Condvar)>,
}

impl Behind {
    /// So many servers, and one with TLS for each of the identities.
    pub fn start(count: usize, identities: [&Identity; 2]) -> Behind {
        let progress = Arc::<(Mutex<Progress>, Condvar)>::default();
        let plain = |_| {
            let progress = progress.clone();
            Backend::start(move |stream| serve(stream, None, &progress))
        };
        let secure = |identity: &Identity| {
            let progress = progress.clone();
            let acceptor = acceptor(identity);
            Backend::start(move |stream| serve(stream, Some(&acceptor), &progress))
        };
        let servers = (0..count).map(plain).chain(identities.map(secure)).collect();
        Behind { servers, progress: progress.clone() }
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.address).collect()
    }

    /// Another case begins.
    pub fn begin(&self, script: Vec<String>) {
        let mut progress = self.progress.0.lock().unwrap();
        progress.script = script;
        progress.seen.clear();
        progress.is_served = false;
    }

    /// The client has all its answers, but those to requests beside.
    pub fn client_is_served(&self) {
        self.progress.0.lock().unwrap().is_served = true;
        self.progress.1.notify_all();
    }

    /// Waits until a server has been asked something for the case.
    pub fn wait_for_request(&self) {
        let progress = self.progress.0.lock().unwrap();
        drop(
            self.progress
                .1
                .wait_timeout_while(progress, PATIENCE, |progress| progress.seen.iter().all(String::is_empty))
                .unwrap(),
        );
    }

    /// What was sent for the case, once nothing more is under way.
    pub fn finish(&self) -> Vec<String> {
        // Whoever has connected before is accepted before this connection is.
        for server in &self.servers {
            let stream = connect(server.address);
            stream.shutdown(Shutdown::Write).unwrap();
            read_all(stream);
        }
        let accepted = self.servers.iter().map(Backend::accepted).sum::<usize>();
        let progress = self.progress.0.lock().unwrap();
        let under_way = |progress: &mut Progress| progress.busy > 0 || progress.begun < accepted;
        let (progress, _) = self.progress.1.wait_timeout_while(progress, PATIENCE, under_way).unwrap();
        progress.seen.clone()
    }
}

/// TLS as that server speaks it; it wants to see certificates, and believes them.
fn acceptor(identity: &Identity) -> SslAcceptor {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    builder.set_certificate(&identity.certificate).unwrap();
    builder.set_private_key(&identity.key).unwrap();
    builder.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    builder.set_session_id_context(b"behind").unwrap();
    builder.build()
}

/// Agrees on TLS, unless the script has something else for whoever says hello.
fn secured(stream: TcpStream, acceptor: &SslAcceptor, progress: &(Mutex<Progress>, Condvar)) -> Option<Wire> {
    let mut first = [0];
    if !matches!(stream.peek(&mut first), Ok(1)) {
        return None;
    }
    let step = {
        let mut progress = progress.0.lock().unwrap();
        let number = progress.seen.len();
        let step = progress.script.get(number).or(progress.script.last()).cloned().unwrap_or_default();
        let step = step.strip_prefix("hello:").map(str::to_owned);
        if step.is_some() {
            progress.seen.push("(hello)".into());
        }
        step
    };
    match step.as_deref() {
        None => Wire::accept(stream, acceptor),
        Some("") => {
            reset(stream);
            None
        }
        Some(text) => {
            let _ = (&stream).write_all(text.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
            let _ = (&stream).read_to_end(&mut Vec::new());
            None
        }
    }
}

fn serve(stream: TcpStream, acceptor: Option<&SslAcceptor>, progress: &(Mutex<Progress>, Condvar)) {
    {
        let mut progress = progress.0.lock().unwrap();
        progress.begun += 1;
        progress.busy += 1;
    }
    let wire = match acceptor {
        None => Some(Wire::Plain(stream)),
        Some(acceptor) => secured(stream, acceptor, progress),
    };
    let Some(mut stream) = wire else { return done(progress) };
    let mut is_first = true;
    let mut first = [0];
    while matches!(stream.read(&mut first), Ok(1)) {
        if !is_first {
            progress.0.lock().unwrap().busy += 1;
        }
        is_first = false;
        if !serve_one(&mut stream, first[0], progress) {
            // The end is to be sent before the case is over.
            drop(stream);
            done(progress);
            return;
        }
        done(progress);
    }
    if is_first {
        drop(stream);
        done(progress);
    }
}

fn done(progress: &(Mutex<Progress>, Condvar)) {
    progress.0.lock().unwrap().busy -= 1;
    progress.1.notify_all();
}

/// Whether another request may follow.
fn serve_one(stream: &mut Wire, first: u8, progress: &(Mutex<Progress>, Condvar)) -> bool {
    let mut request = vec![first];
    let whole = read_until(stream, &mut request, |bytes| bytes.ends_with(b"\r\n\r\n"));
    let (number, step) = {
        let mut progress = progress.0.lock().unwrap();
        let number = progress.seen.len();
        progress.seen.push(String::new());
        let step = progress.script.get(number).or(progress.script.last()).cloned().unwrap_or_default();
        (number, step)
    };
    let (how, answer) = match step.split_once(':') {
        Some((how @ ("keep" | "hold" | "early" | "pieces" | "later" | "reset" | "silent" | "cut"), answer)) => {
            (how, answer)
        }
        _ => ("", step.as_str()),
    };
    if how == "early" {
        let _ = stream.write_all(answer.as_bytes());
    }
    let whole = whole && read_body(stream, &mut request);
    let mut text = String::from_utf8_lossy(&request).into_owned();
    text.extend(stream.agreed());
    if !whole {
        text.push_str(" (cut)");
    }
    progress.0.lock().unwrap().seen[number] = text;
    progress.1.notify_all();
    if how == "later" {
        let held = progress.0.lock().unwrap();
        drop(progress.1.wait_timeout_while(held, PATIENCE, |progress| !progress.is_served).unwrap());
    }
    match how {
        _ if !whole => return false,
        "early" => return false,
        "pieces" => {
            for piece in answer.split('|') {
                if stream.write_all(piece.as_bytes()).is_err() {
                    return false;
                }
                thread::sleep(Duration::from_millis(15));
            }
        }
        _ => {
            let _ = stream.write_all(answer.as_bytes());
        }
    }
    match how {
        "keep" => return true,
        "hold" | "silent" => {
            let _ = stream.read_to_end(&mut Vec::new());
        }
        "reset" => reset(stream.tcp().try_clone().unwrap()),
        "cut" => {}
        _ => stream.end(),
    }
    false
}

/// The rest of the request whose head is there; false when it ends early.
fn read_body(stream: &mut Wire, request: &mut Vec<u8>) -> bool {
    let head = String::from_utf8_lossy(request).to_ascii_lowercase();
    let start = request.len();
    if head.contains("\r\ntransfer-encoding: chunked") {
        return read_until(stream, request, |bytes| bytes[start..].ends_with(b"0\r\n\r\n"));
    }
    let length = head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let end = start + length.unwrap_or(0);
    end == start || read_until(stream, request, |bytes| bytes.len() == end)
}

fn read_until(stream: &mut Wire, bytes: &mut Vec<u8>, complete: impl Fn(&[u8]) -> bool) -> bool {
    let mut byte = [0];
    while !complete(bytes) {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return false,
        }
    }
    true
}
