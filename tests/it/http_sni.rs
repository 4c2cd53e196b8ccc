//! Which server a client is with, by the host that its hello names and the one that its request names; all of it as nginx has it, but where
//! something else is said.

use openssl::ssl::{SslContextBuilder, SslVersion};

use super::http::{Reply, read_reply, serve_in};
use super::http_tls::{asking, name_of, shows};
use super::tls::certs::{Identity, ec_key};
use super::tls::only;
use crate::common::*;
use std::io::Write;

const TELLS: &str = "return 200 \"$server_name $host $ssl_server_name $ssl_client_verify\";";
/// A default server, and others with certificates of their own.
const NAMES: [&str; 4] = ["dflt", "one", "two", "wild"];

/// A server of an address, with the certificate of this name.
fn server(port: &Port, name: &str, certificate: Option<&str>, more: &str) -> String {
    let certificate = certificate
        .map_or_else(String::new, |name| format!("ssl_certificate {name}.pem; ssl_certificate_key {name}.key;"));
    format!("server {{ listen {} ssl; server_name {name}; {certificate} {more} {TELLS} }}\n", port.v4())
}

fn folder() -> Prefix {
    let prefix = Prefix::new();
    for name in NAMES {
        Identity::root("authority").issue(name, ec_key()).write(&prefix, name);
    }
    prefix
}

/// Asks for one host in the hello and another in the request: whose certificate comes, and the answer.
fn get(
    port: &Port,
    sni: Option<&str>,
    host: Option<&str>,
    change: impl FnOnce(&mut SslContextBuilder),
) -> Result<(String, Reply), String> {
    let mut stream = asking(port, sni, change)?;
    let request = match host {
        Some(host) => format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        None => "GET / HTTP/1.0\r\n\r\n".to_owned(),
    };
    stream.write_all(request.as_bytes()).unwrap();
    let reply = read_reply(&mut stream, false);
    Ok((name_of(&stream.ssl().peer_certificate().unwrap()), reply))
}

#[track_caller]
fn told(port: &Port, sni: Option<&str>, host: Option<&str>) -> (String, String) {
    let (certificate, reply) = get(port, sni, host, |_| {}).unwrap();
    (certificate, reply.text().to_owned())
}

#[test]
fn the_hello_has_the_certificate_and_the_request_the_server() {
    let (_weir, port) = serve_in(folder(), |port| {
        server(port, "dflt", Some("dflt"), "")
            + &server(port, "one", Some("one"), "")
            + &server(port, "*.wild.ex", Some("wild"), "")
            + &server(port, "~^(?<sub>.+)\\.ex$", Some("two"), "")
            + &server(port, "bare", None, "")
    });
    let long = "x".repeat(60) + "." + &"y".repeat(60);
    for (sni, host, certificate, answer) in [
        (Some("ONE"), Some("one"), "one", "one one ONE NONE"),
        (Some("one."), Some("one."), "one", "one one one. NONE"),
        (Some("one"), Some("One.:443"), "one", "one one one NONE"),
        (Some("unknown"), Some("one"), "dflt", "one one unknown NONE"),
        (None, Some("one"), "dflt", "one one  NONE"),
        (Some("a_b"), Some("one"), "dflt", "one one a_b NONE"),
        (Some(long.as_str()), Some("unknown"), "dflt", &format!("dflt unknown {long} NONE")),
        // An unknown host is the default server's, whatever the hello names; so is none.
        (Some("one"), Some("unknown"), "one", "dflt unknown one NONE"),
        (Some("one"), None, "one", "dflt dflt one NONE"),
        (Some("sub.wild.ex"), Some("sub.wild.ex"), "wild", "*.wild.ex sub.wild.ex sub.wild.ex NONE"),
        (Some("sub.wild.ex"), Some("one"), "wild", "one one sub.wild.ex NONE"),
        (Some("re.ex"), Some("re.ex"), "two", "~^(?<sub>.+)\\.ex$ re.ex re.ex NONE"),
        (Some("bare"), Some("one"), "dflt", "one one bare NONE"),
        (Some("one"), Some("bare"), "one", "bare bare one NONE"),
    ] {
        let (shown, text) = told(&port, sni, host);
        assert_eq!((shown.as_str(), text.as_str()), (certificate, answer), "{sni:?} {host:?}");
    }
}

#[test]
fn rejecting_is_for_hellos_only() {
    let prefix = folder();
    let other = Port::reserve();
    let (_weir, port) = serve_in(prefix, |port| {
        let reject = "ssl_reject_handshake on;";
        server(port, "_", None, reject)
            + &server(port, "one", Some("one"), "")
            + &server(&other, "two", Some("two"), "")
            + &server(&other, "no", None, reject)
            + &server(&other, "bare", None, "")
    });
    for (port, sni) in [(&port, Some("unknown")), (&port, None), (&port, Some("a_b")), (&other, Some("no"))] {
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            let refused = get(port, sni, Some("one"), only(version)).unwrap_err();
            assert!(refused.contains("unrecognized name"), "{sni:?}: {refused}");
        }
    }
    for (port, sni, host, certificate, answer) in [
        (&port, "one", "unknown", "one", "_ unknown one NONE"),
        (&other, "two", "no", "two", "no no two NONE"),
        (&other, "bare", "two", "two", "two two bare NONE"),
        (&other, "bare", "no", "two", "no no bare NONE"),
    ] {
        let (shown, text) = told(port, Some(sni), Some(host));
        assert_eq!((shown.as_str(), text.as_str()), (certificate, answer));
    }
}

#[test]
fn each_server_judges_its_own_clients() {
    let (prefix, root) = (folder(), Identity::root("clients"));
    prefix.write("clients.pem", root.certificate_pem());
    let good = root.issue("good", ec_key());
    let other = Port::reserve();
    let (_weir, port) = serve_in(prefix, |port| {
        let verify = |how: &str| format!("ssl_client_certificate clients.pem; ssl_verify_client {how};");
        server(port, "dflt", Some("dflt"), "")
            + &server(port, "on", Some("one"), &verify("on"))
            + &server(port, "optional", Some("two"), &verify("optional"))
            + &server(&other, "strict", Some("dflt"), &verify("on"))
            + &server(&other, "open", Some("one"), "")
            + &server(&other, "optional", Some("two"), &verify("optional"))
            + &server(&other, "bare", None, "")
    });
    for (port, sni, host, shown, status, answer) in [
        (&port, Some("dflt"), "on", false, 421, ""),
        (&port, Some("dflt"), "optional", true, 421, ""),
        (&port, Some("on"), "dflt", true, 200, "dflt dflt on SUCCESS"),
        (&port, Some("on"), "on", false, 400, ""),
        (&port, Some("on"), "optional", true, 421, ""),
        (&port, Some("on"), "unknown", true, 200, "dflt unknown on SUCCESS"),
        (&port, Some("optional"), "optional", false, 200, "optional optional optional NONE"),
        (&port, None, "on", true, 400, ""),
        (&port, None, "optional", false, 200, "optional optional  NONE"),
        (&port, Some("unknown"), "optional", true, 200, "optional optional unknown NONE"),
        (&other, Some("strict"), "unknown", true, 421, ""),
        (&other, None, "unknown", true, 200, "strict unknown  SUCCESS"),
        (&other, None, "strict", false, 400, ""),
        (&other, Some("open"), "strict", true, 421, ""),
        (&other, Some("strict"), "open", true, 200, "open open strict SUCCESS"),
        (&other, Some("bare"), "bare", true, 200, "bare bare bare SUCCESS"),
        (&other, Some("bare"), "strict", true, 421, ""),
        (&other, None, "optional", false, 200, "optional optional  NONE"),
        // nginx lets it in, by what the default server has thought of its certificate.
        (&other, None, "optional", true, 421, ""),
    ] {
        let change = |builder: &mut SslContextBuilder| {
            if shown {
                shows(&good)(builder);
            }
        };
        let (_, reply) = get(port, sni, Some(host), change).unwrap();
        assert_eq!(reply.status, status, "{sni:?} {host} {shown}");
        assert!(status != 200 || reply.text() == answer, "{sni:?} {host}: {}", reply.text());
    }
}

#[test]
fn each_server_has_its_own_protocols() {
    // nginx has those of the default server for all.
    let (_weir, port) = serve_in(folder(), |port| {
        server(port, "dflt", Some("dflt"), "ssl_protocols TLSv1.3;")
            + &server(port, "one", Some("one"), "ssl_protocols TLSv1.2;")
    });
    for (name, version, fine) in [
        ("dflt", SslVersion::TLS1_2, false),
        ("dflt", SslVersion::TLS1_3, true),
        ("one", SslVersion::TLS1_2, true),
        ("one", SslVersion::TLS1_3, false),
    ] {
        assert_eq!(get(&port, Some(name), Some(name), only(version)).is_ok(), fine, "{name} {version:?}");
    }
}
