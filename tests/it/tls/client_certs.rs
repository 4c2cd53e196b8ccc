//! Clients that show who they are.

use std::io::Read;

use openssl::ssl::SslVersion;

use super::certs::{Identity, ec_key};
use super::*;

struct Clients {
    root: Identity,
    direct: Identity,
    below: Identity,
    middle: Identity,
    stranger: Identity,
}

impl Clients {
    fn new() -> Clients {
        let root = Identity::root("clients");
        let middle = root.authority("middle");
        Clients {
            direct: root.issue("direct", ec_key()),
            below: middle.issue("below", ec_key()),
            stranger: Identity::root("strangers").issue("stranger", ec_key()),
            middle,
            root,
        }
    }

    fn folder(&self) -> Prefix {
        let prefix = folder();
        prefix.write("clients.pem", self.root.certificate_pem());
        prefix
    }

    /// Writes the root's list `crl.pem` with one certificate on it.
    fn revoke_direct(&self, prefix: &Prefix) {
        self.root.write(prefix, "root");
        self.direct.write(prefix, "direct");
        let path = |name: &str| prefix.text_path(name);
        prefix.write("index", "");
        prefix.write("ca.cnf", format!("[ca]\ndefault_ca = d\n[d]\ndatabase = {}\n", path("index")));
        let (config, cert, key) = (path("ca.cnf"), path("root.pem"), path("root.key"));
        let authority = |arguments: &[&str]| {
            let common = ["ca", "-config", &config, "-cert", &cert, "-keyfile", &key, "-md", "sha256", "-crldays", "5"];
            let (ok, told) = run("openssl", &[&common, arguments].concat());
            assert!(ok, "{told}");
        };
        authority(&["-revoke", &path("direct.pem")]);
        authority(&["-gencrl", "-out", &path("crl.pem")]);
    }
}

/// What a client hears that comes with these certificates, its own first.
fn heard(port: &Port, version: SslVersion, chain: &[&Identity]) -> String {
    let stream = try_client(port, |builder| {
        only(version)(builder);
        if let [own, others @ ..] = chain {
            builder.set_certificate(&own.certificate).unwrap();
            builder.set_private_key(&own.key).unwrap();
            for other in others {
                builder.add_extra_chain_cert(other.certificate.clone()).unwrap();
            }
        }
    });
    let mut text = String::new();
    if let Ok(mut stream) = stream {
        let _ = stream.read_to_string(&mut text);
    }
    text
}

const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

#[test]
fn required_or_only_asked_for() {
    let clients = Clients::new();
    let (on, optional, off) = (Port::reserve(), Port::reserve(), Port::reserve());
    let weir = Setup::tcp(format!(
        "{OURS} ssl_client_certificate clients.pem; ssl on;
         server {{ listen {}; return hi; ssl_verify_client on; }}
         server {{ listen {}; return hi; ssl_verify_client optional; }}
         server {{ listen {}; return hi; }}",
        on.v4(),
        optional.v4(),
        off.v4()
    ))
    .start_in(clients.folder());
    for version in VERSIONS {
        for port in [&on, &optional, &off] {
            assert_eq!(heard(port, version, &[&clients.direct]), "hi");
        }
        assert_eq!(heard(&on, version, &[]), "");
        assert_eq!(heard(&optional, version, &[]), "hi");
        assert_eq!(heard(&off, version, &[]), "hi");
        assert_eq!(heard(&on, version, &[&clients.stranger]), "");
        assert_eq!(heard(&optional, version, &[&clients.stranger]), "");
        assert_eq!(heard(&off, version, &[&clients.stranger]), "hi");
    }
    let line = weir.wait_error("client sent no required SSL certificate while SSL handshaking, client: 127.0.0.1, ");
    assert!(line.contains("[info]"), "{line}");
    let line = weir.wait_error("client SSL certificate verify error: (");
    assert!(line.contains("[info]") && line.contains("unable to"), "{line}");
}

#[test]
fn how_far_down_the_chain() {
    let clients = Clients::new();
    let (one, none) = (Port::reserve(), Port::reserve());
    let weir = Setup::tcp(format!(
        "{OURS} ssl_client_certificate clients.pem; ssl on; ssl_verify_client on;
         server {{ listen {}; return hi; }}
         server {{ listen {}; return hi; ssl_verify_depth 0; }}",
        one.v4(),
        none.v4()
    ))
    .start_in(clients.folder());
    for version in VERSIONS {
        assert_eq!(heard(&one, version, &[&clients.below, &clients.middle]), "hi");
        assert_eq!(heard(&none, version, &[&clients.below, &clients.middle]), "");
        assert_eq!(heard(&one, version, &[&clients.below]), "", "without the one between");
    }
    weir.wait_error("client SSL certificate verify error: (20:unable to get local issuer certificate)");
}

#[test]
fn revoked_ones_are_refused() {
    let clients = Clients::new();
    let prefix = clients.folder();
    clients.revoke_direct(&prefix);
    let other = clients.root.issue("other", ec_key());
    let port = Port::reserve();
    let more = "ssl_client_certificate clients.pem; ssl_verify_client on; ssl_crl crl.pem;";
    let weir = greeter(&port, more).start_in(prefix);
    for version in VERSIONS {
        assert_eq!(heard(&port, version, &[&other]), "hi");
        assert_eq!(heard(&port, version, &[&clients.direct]), "");
    }
    weir.wait_error("client SSL certificate verify error: (23:certificate revoked)");
}

#[test]
fn a_resumed_session_is_judged_again() {
    let clients = Clients::new();
    let port = Port::reserve();
    let more = "ssl_client_certificate clients.pem; ssl_verify_client on; ssl_session_cache shared:SSL:1m;";
    let prefix = clients.folder();
    clients.stranger.write(&prefix, "stranger");
    clients.direct.write(&prefix, "direct");
    let weir = greeter(&port, more).start_in(prefix);
    for arguments in [&["-tls1_2", "-no_ticket"][..], &["-tls1_2"], &["-tls1_3"]] {
        for (name, welcome) in [("direct", true), ("stranger", false)] {
            let [cert, key, file] = [format!("{name}.pem"), format!("{name}.key"), "session".into()]
                .map(|name| weir.prefix.text_path(&name));
            let _ = std::fs::remove_file(&file);
            let who = [&["-cert", &cert, "-key", &key], arguments].concat();
            s_client(&port, &[&who, &["-sess_out", &file][..]].concat());
            if !welcome && std::fs::metadata(&file).is_err() {
                continue;
            }
            let told = s_client(&port, &[&who, &["-sess_in", &file][..]].concat());
            assert_eq!(told.contains("\nhi") || told.contains("hiclosed"), welcome, "{name} {arguments:?}: {told}");
        }
    }
}

/// How a client comes again.
const WAYS: [&[&str]; 3] = [&["-tls1_2", "-no_ticket"], &["-tls1_2"], &["-tls1_3"]];

/// Comes as `direct`; whether it was welcome, and whether by the session it had.
#[track_caller]
fn comes(prefix: &Prefix, port: &Port, way: &[&str], session: [&str; 2]) -> (bool, bool) {
    let [cert, key] = ["direct.pem", "direct.key"].map(|name| prefix.text_path(name));
    let told = s_client(port, &[&["-cert", &cert, "-key", &key], way, &session].concat());
    (told.contains("come-in"), told.contains("\nReused, TLSv1."))
}

const WELCOME_AGAIN: (bool, bool) = (true, true);
const WELCOME_ANEW: (bool, bool) = (true, false);
const REFUSED: (bool, bool) = (false, false);

#[test]
fn a_session_opens_no_server_that_asks_for_something_else() {
    let clients = Clients::new();
    let prefix = clients.folder();
    clients.revoke_direct(&prefix);
    // The authority has a new key and its old name.
    prefix.write("others.pem", Identity::root("clients").certificate_pem());
    let rules = [
        ("ssl_client_certificate clients.pem; ssl_verify_client on;", WELCOME_AGAIN),
        ("ssl_client_certificate clients.pem; ssl_verify_client on; ssl_verify_depth 1;", WELCOME_AGAIN),
        ("ssl_client_certificate clients.pem; ssl_verify_client on; ssl_verify_depth 2;", WELCOME_ANEW),
        ("ssl_client_certificate clients.pem; ssl_verify_client optional;", WELCOME_ANEW),
        ("ssl_client_certificate clients.pem; ssl_verify_client on; ssl_crl crl.pem;", REFUSED),
        ("ssl_client_certificate others.pem; ssl_verify_client on;", REFUSED),
    ];
    let servers = rules.map(|(rule, expected)| (Port::reserve(), rule, expected));
    let server =
        |(port, rule, _): &(Port, &str, _)| format!("server {{ listen {}; return come-in; {rule} }}", port.v4());
    let text: String = servers.iter().map(server).collect();
    let weir = Setup::tcp(format!("{OURS} ssl on; ssl_session_cache shared:SSL:1m; {text}")).start_in(prefix);
    let file = weir.prefix.text_path("session");
    for way in WAYS {
        assert_eq!(comes(&weir.prefix, &servers[0].0, way, ["-sess_out", &file]), WELCOME_ANEW);
        for (port, rule, expected) in &servers {
            assert_eq!(comes(&weir.prefix, port, way, ["-sess_in", &file]), *expected, "{rule} {way:?}");
        }
    }
}

#[test]
fn a_reload_ends_the_sessions_of_those_it_refuses() {
    let clients = Clients::new();
    let rule = "ssl_client_certificate clients.pem; ssl_verify_client on; ssl_session_cache shared:SSL:1m;";
    let port = Port::reserve();
    let prefix = clients.folder();
    clients.revoke_direct(&prefix);
    let server = |more| format!("server {{ listen {} ssl; return come-in; {OURS} {rule} {more} }}", port.v4());
    let [before, after] = ["", "ssl_crl crl.pem;"].map(|more| Setup::tcp(server(more)));
    let weir = before.start_in(prefix);
    let file = weir.prefix.text_path("session");
    for way in WAYS {
        assert_eq!(comes(&weir.prefix, &port, way, ["-sess_out", &file]), WELCOME_ANEW);
        weir.reload(&before);
        assert_eq!(comes(&weir.prefix, &port, way, ["-sess_in", &file]), WELCOME_AGAIN, "{way:?}");
        weir.reload(&after);
        assert_eq!(comes(&weir.prefix, &port, way, ["-sess_in", &file]), REFUSED, "{way:?}");
        weir.reload(&before);
    }
    // The files keep their names.
    let way = WAYS[2];
    assert_eq!(comes(&weir.prefix, &port, way, ["-sess_out", &file]), WELCOME_ANEW);
    weir.prefix.write("clients.pem", Identity::root("clients").certificate_pem());
    weir.reload(&before);
    assert_eq!(comes(&weir.prefix, &port, way, ["-sess_in", &file]), REFUSED);
}
