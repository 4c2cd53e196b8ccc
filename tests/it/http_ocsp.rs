//! `ssl_ocsp`: responders that say by `openssl ocsp` what becomes of clients, and such as say nothing of use.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nix::sys::signal::Signal;
use openssl::ssl::{SslContextBuilder, SslStream};

use super::common::dns::Dns;
use super::common::running::send;
use super::http::{config, serve_in};
use super::http_stapling::{ocsp, read_head};
use super::http_tls::{ask, asking, s_client, shows};
use super::tls::certs::{Identity, ec_key};
use super::tls::{OURS, folder, run};
use crate::common::*;

/// What servers say of their clients.
const RULES: &str = "ssl_client_certificate root.pem; ssl_verify_client on; ssl_ocsp on;";
/// What is answered: what has been found out.
const TELLS: &str = "error_page 495 =200 /told; location / { return 200 $ssl_client_verify; } location /told { return 200 $ssl_client_verify; }";

/// An authority that is asked by name: what is under `/NAME/` at the responder, in a folder of its own.
#[derive(Clone)]
struct Authority {
    name: String,
    identity: Identity,
    /// The index of `openssl ocsp`.
    index: Arc<Mutex<String>>,
}

impl Authority {
    fn of(name: &str, identity: Identity) -> Authority {
        Authority { name: name.to_owned(), identity, index: Arc::default() }
    }

    /// From now on it says that this one is good (`V`) or revoked (`R`).
    fn knows(&self, status: char, whom: &Identity) {
        let serial = whom.certificate.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_string();
        let revoked = if status == 'R' { "250101000000Z" } else { "" };
        let mut index = self.index.lock().unwrap();
        let others = index.lines().filter(|line| !line.contains(&serial)).map(|line| format!("{line}\n"));
        *index = others.collect::<String>()
            + &format!("{status}\t301231235959Z\t{revoked}\t{serial}\tunknown\t/CN={serial}\n");
    }
}

/// Answers for authorities, and counts.
struct Responder {
    backend: Backend,
    authorities: Arc<Mutex<Vec<Authority>>>,
    asked: Arc<AtomicUsize>,
}

impl Responder {
    fn start() -> Responder {
        Responder::holding(None)
    }

    /// One that answers each question only when it is told to.
    fn held() -> (Responder, Sender<()>) {
        let (go, wait) = channel();
        (Responder::holding(Some(wait)), go)
    }

    fn holding(wait: Option<Receiver<()>>) -> Responder {
        let (authorities, asked) = (Arc::<Mutex<Vec<Authority>>>::default(), Arc::<AtomicUsize>::default());
        let (known, count, wait) = (authorities.clone(), asked.clone(), Mutex::new(wait));
        let backend = Backend::start(move |mut stream| {
            let Some(target) = target(&mut stream) else { return };
            count.fetch_add(1, Ordering::SeqCst);
            if let Some(wait) = &*wait.lock().unwrap() {
                let _ = wait.recv();
            }
            let (name, asked) = target[1..].split_once('/').unwrap();
            let authority = known.lock().unwrap().iter().find(|it| it.name == name).cloned().unwrap();
            let answer = say(&authority, &question(asked), &[]);
            let _ = stream.write_all(&ocsp(&answer));
        });
        Responder { backend, authorities, asked }
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/{name}/", self.backend.address)
    }

    fn root(&self) -> Authority {
        self.add(Authority::of("root", Identity::root("root")))
    }

    fn add(&self, authority: Authority) -> Authority {
        self.authorities.lock().unwrap().push(authority.clone());
        authority
    }

    /// A client whose certificate names it.
    fn client(&self, of: &Authority, name: &str) -> Identity {
        of.identity.issue_naming(name, ec_key(), &self.url(&of.name))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// What follows the method in a request.
fn target(stream: &mut TcpStream) -> Option<String> {
    Some(read_head(stream)?.split(' ').nth(1)?.to_owned())
}

/// The question in the last part of a target.
fn question(escaped: &str) -> Vec<u8> {
    let text = escaped.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    BASE64_STANDARD.decode(text).unwrap()
}

/// What an authority answers.
fn say(authority: &Authority, question: &[u8], more: &[&str]) -> Vec<u8> {
    let prefix = Prefix::new();
    authority.identity.write(&prefix, "own");
    prefix.write("index", &*authority.index.lock().unwrap());
    prefix.write("question", question);
    let [index, own, key, question, answer] =
        ["index", "own.pem", "own.key", "question", "answer"].map(|name| prefix.text_path(name));
    let tell = [
        "ocsp", "-index", &index, "-CA", &own, "-rsigner", &own, "-rkey", &key, "-ndays", "1", "-reqin", &question,
        "-respout", &answer,
    ];
    let (_, said) = run("openssl", &[&tell, more].concat());
    std::fs::read(answer).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// A folder with a server, and the root that clients are held against.
fn folder_with(root: &Authority) -> Prefix {
    let prefix = folder();
    prefix.write("root.pem", root.identity.certificate_pem());
    prefix
}

/// A server of one name with this inside.
fn server(port: &Port, name: &str, more: &str) -> String {
    format!("server {{ listen {} ssl; server_name {name}; {OURS} {more} }}\n", port.v4())
}

fn connects(port: &Port, name: &str, client: Option<&Identity>) -> SslStream<TcpStream> {
    let change = |builder: &mut SslContextBuilder| {
        if let Some(client) = client {
            shows(client)(builder);
        }
    };
    asking(port, Some(name), change).unwrap()
}

/// What a client is answered.
#[track_caller]
fn get(port: &Port, name: &str, client: &Identity) -> String {
    ask(&mut connects(port, name, Some(client)), "/", name).text().to_owned()
}

const FAILED: &str = "FAILED:certificate status request failed";

#[test]
fn what_authorities_say_of_clients() {
    let responder = Responder::start();
    let root = responder.root();
    let [good, revoked, unknown] = ["good", "revoked", "unknown"].map(|name| responder.client(&root, name));
    let unnamed = root.identity.issue("unnamed", ec_key());
    let ours = root.identity.issue_naming("ours", ec_key(), "ftp://127.0.0.1/");
    let strange = Identity::root("stranger").issue_naming("strange", ec_key(), &responder.url("root"));
    root.knows('V', &good);
    root.knows('R', &revoked);
    let (weir, port) = serve_in(folder_with(&root), |port| {
        let optional = RULES.replace("client on", "client optional");
        let off = RULES.replace("client on", "client off");
        server(port, "told", &format!("{RULES} {TELLS}"))
            + &server(port, "plain", &format!("{RULES} return 200 $ssl_client_verify;"))
            + &server(port, "optional", &format!("{optional} {TELLS}"))
            + &server(port, "off", &format!("{off} {TELLS}"))
            + &server(port, "careless", &format!("{} {TELLS}", RULES.replace("ssl_ocsp on", "ssl_ocsp off")))
    });
    for name in ["told", "optional"] {
        assert_eq!(get(&port, name, &good), "SUCCESS");
        assert_eq!(get(&port, name, &revoked), "FAILED:certificate revoked");
        assert_eq!(get(&port, name, &unknown), "FAILED:certificate status unknown");
        assert_eq!(get(&port, name, &unnamed), FAILED);
        assert_eq!(get(&port, name, &ours), FAILED);
    }
    let asked = responder.asked();
    assert_eq!(asked, 6);
    for (name, client, answer) in [
        ("off", &revoked, "NONE"),
        ("careless", &revoked, "SUCCESS"),
        // Nobody is asked about a certificate that does not hold anyway.
        ("told", &strange, "FAILED:unable to verify the first certificate"),
    ] {
        assert_eq!(get(&port, name, client), answer);
    }
    assert_eq!(ask(&mut connects(&port, "optional", None), "/", "optional").text(), "NONE");
    assert!(ask(&mut connects(&port, "told", None), "/", "told").text().contains("No required SSL certificate"));
    assert_eq!(responder.asked(), asked);
    let mut stream = connects(&port, "plain", Some(&good));
    for _ in 0..2 {
        assert_eq!(ask(&mut stream, "/", "plain").text(), "SUCCESS");
    }
    assert_eq!(responder.asked(), asked + 1, "one question a connection");
    let reply = ask(&mut connects(&port, "plain", Some(&revoked)), "/", "plain");
    assert_eq!((reply.status, reply.field("connection")), (400, Some("close")));
    assert!(reply.text().contains("<center>The SSL certificate error</center>"), "{}", reply.text());
    let ends = "while reading client request headers, client: 127.0.0.1, server: ";
    for why in ["certificate revoked", "certificate status unknown", "certificate status request failed"] {
        let line = weir.wait_error(&format!("client SSL certificate verify error: {why} {ends}"));
        assert!(line.contains("[info]"), "{line}");
    }
    let line = weir.wait_error("no OCSP responder URL in certificate while SSL handshaking");
    assert!(line.contains("[error]"), "{line}");
    weir.wait_error("invalid URL prefix in OCSP responder \"ftp://127.0.0.1/\" in certificate while SSL handshaking");
    // Who has come in by the rules of one server is not let in by those of another.
    let reply = ask(&mut connects(&port, "careless", Some(&good)), "/", "told");
    assert_eq!(reply.status, 421);
    let mut nameless = asking(&port, None, |builder| shows(&revoked)(builder)).unwrap();
    assert_eq!(ask(&mut nameless, "/", "careless").status, 421);
}

#[test]
fn the_authorities_between() {
    let responder = Responder::start();
    let root = responder.root();
    let named = root.identity.authority_naming("named", &responder.url("root"));
    let named = responder.add(Authority::of("named", named));
    let unnamed = responder.add(Authority::of("unnamed", root.identity.authority("unnamed")));
    let (one, other) = (responder.client(&named, "one"), responder.client(&unnamed, "other"));
    root.knows('V', &named.identity);
    named.knows('V', &one);
    unnamed.knows('V', &other);
    let prefix = folder_with(&root);
    prefix.write("root.pem", [&root, &named, &unnamed].map(|it| it.identity.certificate_pem()).concat());
    let (weir, port) = serve_in(prefix, |port| {
        let rules = format!("{RULES} ssl_verify_depth 2;");
        server(port, "on", &format!("{rules} {TELLS}"))
            + &server(port, "leaf", &format!("{} {TELLS}", rules.replace("ocsp on", "ocsp leaf")))
    });
    assert_eq!(get(&port, "on", &one), "SUCCESS");
    assert_eq!(responder.asked(), 2);
    assert_eq!(get(&port, "leaf", &one), "SUCCESS");
    assert_eq!(responder.asked(), 3);
    assert_eq!(get(&port, "leaf", &other), "SUCCESS");
    assert_eq!(get(&port, "on", &other), FAILED, "nobody can be asked about its authority");
    root.knows('R', &named.identity);
    assert_eq!(get(&port, "on", &one), "FAILED:certificate revoked");
    assert_eq!(get(&port, "leaf", &one), "SUCCESS");
    assert!(weir.error_log().contains("no OCSP responder URL in certificate"));
}

#[test]
fn responders_of_no_use() {
    let (responder, away) = (Responder::start(), Port::reserve());
    let root = responder.root();
    let client = responder.client(&root, "client");
    root.knows('V', &client);
    // Who is not the authority, nor made its responder, signs what it would say: a stranger, and the client itself.
    let signed_by = |signer: &Identity| {
        let (root, signer) = (root.clone(), signer.clone());
        Backend::start(move |mut stream| {
            let Some(target) = target(&mut stream) else { return };
            let prefix = Prefix::new();
            signer.write(&prefix, "signer");
            let [signer, key] = ["signer.pem", "signer.key"].map(|name| prefix.text_path(name));
            let more = ["-rsigner", signer.as_str(), "-rkey", &key];
            let _ = stream.write_all(&ocsp(&say(&root, &question(&target[1..]), &more)));
        })
    };
    let (forged, selfish) = (signed_by(&Identity::root("root")), signed_by(&client));
    let always = |answer: &'static [u8]| {
        Backend::start(move |mut stream| {
            target(&mut stream);
            let _ = stream.write_all(answer);
        })
    };
    let garbage = always(b"HTTP/1.0 200 OK\r\nContent-Type: application/ocsp-response\r\n\r\ngarbage");
    let missing = always(b"HTTP/1.0 404 Not Found\r\nContent-Type: application/ocsp-response\r\n\r\n");
    let closing = always(b"");
    let dns = Dns::with(&["127.0.0.1"]);
    let named = root.identity.issue_naming(
        "named",
        ec_key(),
        &format!("http://r.example:{}/root/", responder.backend.address.port()),
    );
    root.knows('V', &named);
    let (weir, port) = serve_in(folder_with(&root), |port| {
        let at = |name: &str, address: &str| {
            server(port, name, &format!("{RULES} {TELLS} ssl_ocsp_responder http://{address};"))
        };
        at("forged", &forged.address.to_string())
            + &at("selfish", &selfish.address.to_string())
            + &at("garbage", &garbage.address.to_string())
            + &at("missing", &missing.address.to_string())
            + &at("closing", &closing.address.to_string())
            + &at("away", &away.v4())
            + &at("good", &format!("{}/root", responder.backend.address))
            + &server(port, "unresolved", &format!("{RULES} {TELLS}"))
            + &server(port, "resolved", &format!("{RULES} {TELLS} resolver {};", dns.address))
    });
    for (name, message) in [
        ("forged", "OCSP_basic_verify() failed (SSL: error:"),
        ("selfish", "missing ocspsigning usage"),
        ("garbage", "d2i_OCSP_RESPONSE() failed (SSL: error:"),
        ("missing", "OCSP responder sent status 404"),
        ("closing", "OCSP responder prematurely closed connection"),
        ("away", "connect() failed (111: Connection refused)"),
    ] {
        assert_eq!(get(&port, name, &client), FAILED, "{name}");
        let line = weir.wait_error(message);
        let context = " while requesting certificate status, responder: 127.0.0.1, peer: 127.0.0.1:";
        assert!(line.contains("[error]") && line.contains(": *") && line.contains(context), "{line}");
        assert!(!line.contains("certificate: "), "{line}");
    }
    assert_eq!(get(&port, "good", &client), "SUCCESS");
    assert_eq!(get(&port, "unresolved", &named), FAILED);
    let line = weir.wait_error("no resolver defined to resolve r.example while requesting certificate status");
    assert!(line.contains("[error]"), "{line}");
    assert_eq!(get(&port, "resolved", &named), "SUCCESS");
    assert!(dns.queries().iter().all(|query| query.name == "r.example") && !dns.queries().is_empty());
}

#[test]
fn clients_wait_and_others_do_not() {
    let (responder, go) = Responder::held();
    let root = responder.root();
    let client = responder.client(&root, "client");
    root.knows('V', &client);
    let impatient = Port::reserve();
    let (weir, port) = serve_in(folder_with(&root), |port| {
        server(port, "asks", &format!("{RULES} {TELLS}"))
            + &server(&impatient, "impatient", &format!("{RULES} {TELLS} client_header_timeout 3s;"))
            + &server(port, "open", "return 200 $connections_active;")
    });
    let mut waiting = connects(&port, "asks", Some(&client));
    waiting.write_all(b"GET / HTTP/1.1\r\nHost: asks\r\n\r\n").unwrap();
    wait_for("the question", || responder.asked() == 1);
    assert_eq!(ask(&mut connects(&port, "open", None), "/", "open").text(), "2");
    go.send(()).unwrap();
    assert_eq!(super::http::read_reply(&mut waiting, false).text(), "SUCCESS");

    drop(waiting);

    // One that leaves is not waited for, and takes its question along.
    let leaving = connects(&port, "asks", Some(&client));
    wait_for("the question", || responder.asked() == 2);
    drop(leaving);
    weir.wait_error("client closed connection while SSL handshaking");
    wait_for("nobody else to be connected", || ask(&mut connects(&port, "open", None), "/", "open").text() == "1");
    go.send(()).unwrap();

    // One that has waited for too long is closed.
    let mut late = connects(&impatient, "impatient", Some(&client));
    wait_for("the question", || responder.asked() == 3);
    assert_eq!(late.read(&mut [0]).unwrap_or(0), 0);
    weir.wait_error("client timed out (110: Connection timed out) while SSL handshaking, client: 127.0.0.1, server:");
    go.send(()).unwrap();

    // The next configuration does not take it away from who waits already.
    let mut waiting = connects(&port, "asks", Some(&client));
    wait_for("the question", || responder.asked() == 4);
    let old = weir.worker();
    weir.signal(Signal::SIGHUP);
    wait_for("a new worker", || weir.workers().iter().any(|&pid| pid != old) && weir.workers().len() == 1);
    assert_eq!(ask(&mut connects(&port, "open", None), "/", "open").status, 200);
    go.send(()).unwrap();
    assert_eq!(ask(&mut waiting, "/", "asks").text(), "SUCCESS");
    wait_for("the old worker to end", || !proc::alive(old));
}

#[test]
fn workers_share_what_has_been_answered() {
    let responder = Responder::start();
    let root = responder.root();
    let (good, revoked) = (responder.client(&root, "good"), responder.client(&root, "revoked"));
    root.knows('V', &good);
    root.knows('R', &revoked);
    let (prefix, port) = (folder_with(&root), Port::reserve());
    let told = TELLS.replace("$ssl_client_verify", "\"$pid $ssl_client_verify\"");
    let http = server(&port, "cached", &format!("{RULES} {told} ssl_ocsp_cache shared:answers:64k;"))
        + &server(&port, "same", &format!("{RULES} {told} ssl_ocsp_cache shared:answers:64k;"))
        + &server(&port, "without", &format!("{RULES} {told} ssl_ocsp_cache off;"));
    prefix.write("nginx.conf", config(&http).replace("worker_processes 1", "worker_processes 2"));
    let weir = Weir::launch(prefix, &[]);
    weir.wait_workers(2);
    let ask_of = |name: &str, client: &Identity| {
        let text = get(&port, name, client);
        let (pid, told) = text.split_once(' ').unwrap();
        (pid.parse::<i32>().unwrap(), told.to_owned())
    };
    for (client, answer, asked) in [(&good, "SUCCESS", 1), (&revoked, "FAILED:certificate revoked", 2)] {
        let (first, told) = ask_of("cached", client);
        assert_eq!((told.as_str(), responder.asked()), (answer, asked));
        send(first, Signal::SIGSTOP);
        let (second, told) = ask_of("cached", client);
        send(first, Signal::SIGCONT);
        assert_ne!(first, second);
        assert_eq!((told.as_str(), responder.asked()), (answer, asked));
        assert_eq!((ask_of("same", client).1.as_str(), responder.asked()), (answer, asked));
    }
    let old = weir.workers();
    weir.signal(Signal::SIGHUP);
    wait_for("new workers", || weir.workers().len() == 2 && weir.workers().iter().all(|pid| !old.contains(pid)));
    assert_eq!((ask_of("cached", &good).1.as_str(), responder.asked()), ("SUCCESS", 2));
    assert_eq!((ask_of("without", &good).1.as_str(), responder.asked()), ("SUCCESS", 3));
}

#[test]
fn connections_to_responders_count() {
    let responder = Responder::start();
    let root = responder.root();
    let client = responder.client(&root, "client");
    root.knows('V', &client);
    let (prefix, port) = (folder_with(&root), Port::reserve());
    let http = server(&port, "asks", &format!("{RULES} {TELLS} ssl_ocsp_cache shared:answers:64k;"));
    // One for the listener, one for the client, and perhaps one for the responder.
    let text = |count| config(&http).replace("events {}", &format!("events {{ worker_connections {count}; }}"));
    prefix.write("nginx.conf", text(2));
    let weir = Weir::launch(prefix, &[]);
    weir.wait_workers(1);
    let reload = |count| {
        let old = weir.worker();
        weir.prefix.replace("nginx.conf", text(count));
        weir.signal(Signal::SIGHUP);
        wait_for("a new worker", || weir.workers().iter().any(|&pid| pid != old) && weir.workers().len() == 1);
    };
    assert_eq!(get(&port, "asks", &client), FAILED);
    let line = weir.wait_error("2 worker_connections are not enough while SSL handshaking, client: 127.0.0.1");
    assert!(line.contains("[alert]"), "{line}");
    reload(3);
    assert_eq!(get(&port, "asks", &client), "SUCCESS");
    reload(2);
    assert_eq!(get(&port, "asks", &client), "SUCCESS", "what is known needs none");
}

#[test]
fn sessions_that_come_back_are_asked_about_again() {
    let responder = Responder::start();
    let root = responder.root();
    let client = responder.client(&root, "client");
    let (weir, port) = serve_in(folder_with(&root), |port| {
        let tells = TELLS.replace("$ssl_client_verify", "\"$ssl_client_verify $ssl_session_reused\"");
        format!("ssl_session_cache shared:s:1m; {}", server(port, "asks", &format!("{RULES} {tells}")))
    });
    client.write(&weir.prefix, "client");
    let [file, certificate, key] = ["session", "client.pem", "client.key"].map(|name| weir.prefix.text_path(name));
    for version in [&["-tls1_2", "-no_ticket"][..], &["-tls1_2"], &["-tls1_3"]] {
        let ask =
            |more: &[&str]| s_client(&port, "asks", &[version, &["-cert", &certificate, "-key", &key], more].concat());
        root.knows('V', &client);
        let told = ask(&["-sess_out", &file]);
        assert!(told.contains("SUCCESS ."), "{version:?}: {told}");
        let told = ask(&["-sess_in", &file]);
        assert!(told.contains("SUCCESS r"), "{version:?}: {told}");
        root.knows('R', &client);
        let told = ask(&["-sess_in", &file]);
        assert!(told.contains("FAILED:certificate revoked"), "{version:?}: {told}");
    }
}

#[test]
fn what_is_refused() {
    let prefix = folder();
    Identity::root("root").write(&prefix, "root");
    for (more, message) in [
        ("ssl_ocsp maybe;", "invalid value \"maybe\""),
        (
            "ssl_verify_client optional_no_ca; ssl_ocsp on;",
            "\"ssl_ocsp\" is incompatible with \"ssl_verify_client optional_no_ca\"",
        ),
        (
            "ssl_ocsp on; ssl_ocsp_responder https://127.0.0.1;",
            "invalid URL prefix in OCSP responder \"https://127.0.0.1\" in \"ssl_ocsp_responder\"",
        ),
        (
            "ssl_ocsp leaf; ssl_ocsp_responder http://127.0.0.1:x;",
            "invalid port in OCSP responder \"http://127.0.0.1:x\" in \"ssl_ocsp_responder\"",
        ),
        ("ssl_ocsp_cache on;", "invalid OCSP cache \"on\""),
        ("ssl_ocsp_cache shared::1m;", "invalid OCSP cache \"shared::1m\""),
        ("ssl_ocsp_cache shared:o:much;", "invalid OCSP cache \"shared:o:much\""),
        ("ssl_ocsp_cache shared:o:31k;", "OCSP cache \"shared:o:31k\" is too small"),
        (
            "ssl_session_cache shared:s:1m; ssl_ocsp on; ssl_ocsp_cache shared:s:1m;",
            "the shared memory zone \"s\" is already declared for a different use",
        ),
    ] {
        let server = format!("server {{ listen unix:s ssl; {OURS} ssl_client_certificate root.pem; {more} }}");
        prefix.write("nginx.conf", config(&server));
        let run = prefix.run(&["-t"]);
        assert!(!run.status.success() && run.stderr.contains(message), "{more}: {}", run.stderr);
        assert!(run.stderr.contains("nginx.conf:"), "{}", run.stderr);
    }
}
