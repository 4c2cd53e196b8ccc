//! `ssl_stapling` that asks: responders whose answers `openssl ocsp` has made, and such as fail in every way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nix::sys::signal::Signal;
use openssl::hash::MessageDigest;
use openssl::ocsp::{OcspRequest, OcspResponse, OcspResponseStatus};
use openssl::sign::Signer;

use super::common::dns::Dns;
use super::http::{config, serve_in};
use super::http_ssl::stapled;
use super::tls::certs::{Identity, ec_key};
use super::tls::{run, try_client};
use crate::common::*;

const CERTIFICATE: &str = "ssl_certificate server.pem; ssl_certificate_key server.key;";

/// An authority, and a folder with its `root` and the `server` it vouches for.
struct Authority {
    root: Identity,
    server: Identity,
    prefix: Prefix,
}

impl Authority {
    /// Whose certificate for the server names this responder.
    fn naming(responder: &str) -> Authority {
        Authority::over(Identity::root("authority"), responder)
    }

    fn over(root: Identity, responder: &str) -> Authority {
        let prefix = Prefix::new();
        root.write(&prefix, "root");
        let server = root.issue_naming("localhost", ec_key(), responder);
        server.write(&prefix, "server");
        prefix.write("server.pem", server.certificate_pem() + &root.certificate_pem());
        prefix.write("own.pem", server.certificate_pem());
        Authority { root, server, prefix }
    }

    /// What it says of its server: `V` for good or `R` for revoked; else it does not know it.
    fn says(&self, status: &str, more: &[&str]) -> Vec<u8> {
        let serial = self.server.certificate.serial_number().to_bn().unwrap().to_hex_str().unwrap();
        let revoked = if status == "R" { "250101000000Z" } else { "" };
        let known = format!("{status}\t301231235959Z\t{revoked}\t{serial}\tunknown\t/CN=localhost\n");
        self.prefix.write("index", if status.is_empty() { "" } else { &known });
        let [index, root, key, own, question, answer] =
            ["index", "root.pem", "root.key", "own.pem", "question.der", "answer.der"]
                .map(|it| self.prefix.text_path(it));
        assert!(run("openssl", &["ocsp", "-issuer", &root, "-cert", &own, "-no_nonce", "-reqout", &question]).0);
        let tell = [
            "ocsp", "-index", &index, "-CA", &root, "-rsigner", &root, "-rkey", &key, "-reqin", &question, "-respout",
            &answer,
        ];
        let (_, said) = run("openssl", &[&tell, more].concat());
        std::fs::read(answer).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// The same as of years ago, signed anew.
    fn said_long_ago(&self) -> Vec<u8> {
        /// Where the contents of what begins at `at` begin and end (X.690 8.1).
        fn inside(der: &[u8], at: usize) -> (usize, usize) {
            let length = usize::from(der[at + 1]);
            if length < 0x80 {
                return (at + 2, at + 2 + length);
            }
            let bytes = &der[at + 2..at + 2 + (length & 0x7f)];
            let start = at + 2 + bytes.len();
            (start, start + bytes.iter().fold(0, |all, &byte| all << 8 | usize::from(byte)))
        }
        let mut der = self.says("V", &["-ndays", "1", "-resp_no_certs"]);
        let status = inside(&der, 0).0;
        let tagged = inside(&der, status).1;
        let oid = inside(&der, inside(&der, tagged).0).0;
        let octets = inside(&der, oid).1;
        let told = inside(&der, inside(&der, octets).0).0;
        let algorithm = inside(&der, told).1;
        let (signature, end) = inside(&der, inside(&der, algorithm).1);
        for at in told..algorithm {
            if der[at..].starts_with(b"\x18\x0f20") {
                der[at + 2..at + 6].copy_from_slice(b"2020");
            }
        }
        // ECDSA's signatures are not all of one length; behind a byte that counts unused bits there is room for one like the first.
        let signed = wait_some("a signature of the same length", || {
            let mut signer = Signer::new(MessageDigest::sha256(), &self.root.key).unwrap();
            let signed = signer.sign_oneshot_to_vec(&der[told..algorithm]).unwrap();
            (signed.len() == end - signature - 1).then_some(signed)
        });
        der[signature + 1..end].copy_from_slice(&signed);
        der
    }
}

fn http(kind: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n").as_bytes(), body].concat()
}

pub fn ocsp(body: &[u8]) -> Vec<u8> {
    http("application/ocsp-response", body)
}

/// A responder that always says the same; `None`: nothing, for as long as weir stays.
fn responder(answer: Option<Vec<u8>>) -> (Backend, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let backend = Backend::start(move |mut stream| {
        if let Some(head) = read_head(&mut stream) {
            seen.lock().unwrap().push(head);
            match &answer {
                Some(answer) => drop(stream.write_all(answer)),
                None => drop(stream.read(&mut [0])),
            }
        }
    });
    (backend, heads)
}

pub fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read(&mut byte).ok().filter(|&count| count == 1).map(|_| byte[0])?);
    }
    String::from_utf8(head).ok()
}

/// What clients get with the certificate, as soon as they get anything.
#[track_caller]
fn wait_stapled(port: &Port, name: &str) -> Vec<u8> {
    wait_some("an answer stapled", || stapled(port, name))
}

#[test]
fn the_responder_in_the_certificate_is_asked_once() {
    let answer = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (saying, seen) = (answer.clone(), heads.clone());
    let backend = Backend::start(move |mut stream| {
        seen.lock().unwrap().extend(read_head(&mut stream));
        let _ = stream.write_all(&saying.lock().unwrap());
    });
    let authority = Authority::naming(&format!("http://{}/ocsp/", backend.address));
    let good = authority.says("V", &["-ndays", "1"]);
    *answer.lock().unwrap() = ocsp(&good);
    let (weir, port) = serve_in(authority.prefix, |port| {
        format!(
            "ssl_stapling on; {CERTIFICATE}
             server {{ listen {} ssl; ssl_stapling_verify on; ssl_trusted_certificate root.pem; }}",
            port.v4(),
        )
    });
    assert!(try_client(&port, |_| {}).is_ok());
    assert_eq!(backend.accepted(), 0, "who does not want to know makes nobody ask");
    assert_eq!(stapled(&port, "localhost"), None, "the first one gets none");
    assert_eq!(wait_stapled(&port, "localhost"), good);
    assert_eq!(stapled(&port, "localhost"), Some(good));
    let heads = heads.lock().unwrap();
    let [head] = &heads[..] else { panic!("{heads:?}") };
    let (target, rest) = head.strip_prefix("GET /ocsp/").unwrap().split_once(' ').unwrap();
    assert_eq!(rest, "HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
    let question = target.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    assert!(OcspRequest::from_der(&BASE64_STANDARD.decode(question).unwrap()).is_ok());
    assert!(!weir.error_log().contains("[error]"), "{}", weir.error_log());
}

#[test]
fn answers_that_are_good_for_nothing_are_not_stapled() {
    let authority = Authority::naming("http://127.0.0.1:1/");
    let good = authority.says("V", &[]);
    let mut forged = authority.says("V", &["-resp_no_certs"]);
    *forged.last_mut().unwrap() ^= 1;
    Identity::root("stranger").write(&authority.prefix, "stranger");
    let path = |name: &str| authority.prefix.text_path(name);
    let strangers = authority.says("V", &["-rsigner", &path("stranger.pem"), "-rkey", &path("stranger.key")]);
    let of_another = Authority::over(authority.root.clone(), "http://127.0.0.1:1/").says("V", &[]);
    let of_others = Authority::naming("http://127.0.0.1:1/").says("V", &["-resp_no_certs"]);
    let try_later = OcspResponse::create(OcspResponseStatus::TRY_LATER, None).unwrap().to_der().unwrap();
    let verify = "ssl_stapling_verify on; ssl_trusted_certificate root.pem;";
    let bad = [
        (ocsp(&authority.says("R", &[])), "", "certificate status \"revoked\" in the OCSP response"),
        (ocsp(&authority.says("", &[])), "", "certificate status \"unknown\" in the OCSP response"),
        (ocsp(&authority.said_long_ago()), "", "OCSP_check_validity() failed (SSL: error:"),
        (ocsp(&of_another), "", "certificate status not found in the OCSP response"),
        (ocsp(&of_others), "", "OCSP_basic_verify() failed (SSL: error:"),
        (ocsp(&forged), "", "OCSP_basic_verify() failed (SSL: error:"),
        (ocsp(&strangers), verify, "OCSP_basic_verify() failed (SSL: error:"),
        ([b"HTTP/1.0 404 Not Found\r\n\r\n", &good[..]].concat(), "", "OCSP responder sent status 404"),
        (ocsp(&try_later), "", "OCSP response not successful (3: trylater)"),
        (ocsp(b"garbage"), "", "d2i_OCSP_RESPONSE() failed (SSL: error:"),
        (ocsp(&good[..good.len() - 1]), "", "d2i_OCSP_RESPONSE() failed (SSL: error:"),
        (http("text/html", b"no"), "", "OCSP responder sent invalid \"Content-Type\" header: \"text/html\""),
        (b"220 hello\r\n".to_vec(), "", "OCSP responder sent invalid response"),
        (ocsp(&[0; 20_000]), "", "OCSP responder sent invalid response"),
        (b"HTTP/1.0 200 OK\r\nContent".to_vec(), "", "OCSP responder prematurely closed connection"),
        (Vec::new(), "", "OCSP responder prematurely closed connection"),
    ];
    let responders: Vec<_> = bad.iter().map(|(answer, ..)| responder(Some(answer.clone()))).collect();
    let (silent, silents) = responder(None);
    let (unverified, _) = responder(Some(ocsp(&strangers)));
    let (weir, port) = serve_in(authority.prefix, |port| {
        let server = |name: &str, responder: &Backend, more: &str| {
            let responder = format!("ssl_stapling_responder http://{};", responder.address);
            format!("server {{ listen {} ssl; server_name {name}; {responder} {more} }}\n", port.v4())
        };
        let mut servers = format!("ssl_stapling on; {CERTIFICATE}\n");
        for (number, ((_, more, _), (backend, _))) in bad.iter().zip(&responders).enumerate() {
            servers += &server(&format!("n{number}"), backend, more);
        }
        servers + &server("silent", &silent, "") + &server("unverified", &unverified, "")
    });
    let certificate = weir.prefix.text_path("server.pem");
    for (number, ((_, _, message), (backend, heads))) in bad.iter().zip(&responders).enumerate() {
        let name = format!("n{number}");
        assert_eq!(stapled(&port, &name), None, "{message}");
        let end = format!(
            " while requesting certificate status, responder: 127.0.0.1, peer: {}, certificate: \"{certificate}\"",
            backend.address
        );
        let line = weir.wait_error(&end);
        assert!(line.contains(" [error] ") && line.contains(message) && line.ends_with(&end), "{message}: {line}");
        assert_eq!(stapled(&port, &name), None, "{message}");
        assert_eq!(heads.lock().unwrap().len(), 1, "{message}: not again so soon");
    }
    // While one says nothing, others are asked; nobody waits for it.
    assert_eq!(stapled(&port, "silent"), None);
    assert_eq!(stapled(&port, "unverified"), None);
    assert_eq!(
        wait_stapled(&port, "unverified"),
        strangers,
        "whose signature is of no matter without ssl_stapling_verify"
    );
    assert_eq!(stapled(&port, "silent"), None);
    wait_for("one question", || silents.lock().unwrap().len() == 1);
}

#[test]
fn a_responder_that_is_away_comes_back() {
    let away = Port::reserve();
    let authority = Authority::naming(&format!("http://{}/", away.v4()));
    let good = authority.says("V", &[]);
    let (weir, port) = serve_in(authority.prefix, |port| {
        format!("server {{ listen {} ssl; ssl_stapling on; {CERTIFICATE} }}", port.v4())
    });
    assert_eq!(stapled(&port, "localhost"), None);
    weir.wait_error(
        "connect() failed (111: Connection refused) while requesting certificate status, responder: 127.0.0.1",
    );
    assert_eq!(stapled(&port, "localhost"), None);
    let told = ocsp(&good);
    let _back = Backend::on(&away, move |mut stream| {
        if read_head(&mut stream).is_some() {
            let _ = stream.write_all(&told);
        }
    });
    // Workers that begin anew do not wait for five minutes.
    let old = weir.worker();
    weir.signal(Signal::SIGHUP);
    wait_for("a new worker", || weir.workers().iter().any(|&pid| pid != old) && weir.workers().len() == 1);
    assert_eq!(wait_stapled(&port, "localhost"), good);
}

#[test]
fn the_responders_name_is_looked_up() {
    let authority = Authority::naming("http://127.0.0.1:1/");
    let (backend, heads) = responder(Some(ocsp(&authority.says("V", &[]))));
    let (found, missing) = (Dns::with(&["127.0.0.1"]), Dns::start(|query| vec![query.code(3)]));
    let (weir, port) = serve_in(authority.prefix, |port| {
        let server =
            |name: &str, more: String| format!("server {{ listen {} ssl; server_name {name}; {more} }}\n", port.v4());
        format!(
            "ssl_stapling on; {CERTIFICATE} ssl_stapling_responder http://localhost:{}/a;\n",
            backend.address.port()
        ) + &server("without", String::new())
            + &server("found", format!("resolver {};", found.address))
            + &server("missing", format!("resolver {};", missing.address))
    });
    assert_eq!(stapled(&port, "found"), None);
    wait_stapled(&port, "found");
    assert!(found.queries().iter().all(|query| query.name == "localhost") && !found.queries().is_empty());
    assert!(heads.lock().unwrap()[0].ends_with("\r\nHost: localhost\r\n\r\n"));
    assert_eq!(stapled(&port, "missing"), None);
    let line = weir.wait_error("localhost could not be resolved (3: Host not found)");
    assert!(line.contains(" while requesting certificate status, responder: localhost, certificate: \""), "{line}");
    assert_eq!(stapled(&port, "without"), None);
    let line = weir.wait_error("no resolver defined to resolve localhost while requesting certificate status");
    assert!(line.contains("[warn]"), "{line}");
    wait_stapled(&port, "without");
}

#[test]
fn what_cannot_be_asked_is_ignored() {
    let Authority { root, prefix, .. } = Authority::naming("http://127.0.0.1:1/");
    let unnamed = root.issue("localhost", ec_key());
    unnamed.write(&prefix, "unnamed");
    prefix.write("unnamed.pem", unnamed.certificate_pem() + &root.certificate_pem());
    let path = |name: &str| prefix.text_path(name);
    let unnamed = "ssl_certificate unnamed.pem; ssl_certificate_key unnamed.key;";
    let of = |url: &str, why: &str| {
        let end = format!("in the certificate \"{}\"", path("server.pem"));
        (format!("{CERTIFICATE} ssl_stapling_responder {url};"), format!("{why} in OCSP responder \"{url}\" {end}"))
    };
    for (more, why) in [
        (
            "ssl_certificate own.pem; ssl_certificate_key server.key;".to_owned(),
            format!("issuer certificate not found for certificate \"{}\"", path("own.pem")),
        ),
        (unnamed.to_owned(), format!("no OCSP responder URL in the certificate \"{}\"", path("unnamed.pem"))),
        of("ftp://127.0.0.1/", "invalid URL prefix"),
        of("http://127.0.0.1:x/", "invalid port"),
    ] {
        prefix.write("nginx.conf", config(&format!("server {{ listen unix:s ssl; ssl_stapling on; {more} }}")));
        let run = prefix.run(&["-t"]);
        assert!(run.status.success(), "{more}: {}", run.stderr);
        assert!(run.stderr.contains(&format!("[warn] \"ssl_stapling\" ignored, {why}\n")), "{more}: {}", run.stderr);
    }
    for fine in [
        format!("{unnamed} ssl_stapling_responder http://127.0.0.1;"),
        "ssl_certificate own.pem; ssl_certificate_key server.key; ssl_trusted_certificate root.pem;".to_owned(),
        format!("{CERTIFICATE} ssl_stapling_responder \"\";"),
    ] {
        prefix.write("nginx.conf", config(&format!("server {{ listen unix:s ssl; ssl_stapling on; {fine} }}")));
        let run = prefix.run(&["-t"]);
        assert!(run.status.success() && !run.stderr.contains("[warn]"), "{fine}: {}", run.stderr);
    }
}
