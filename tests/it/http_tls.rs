//! TLS in `http {}`: which server answers, who may come in, what is told of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use openssl::ssl::{SslContextBuilder, SslStream, SslVersion};
use openssl::x509::X509;

use super::http::{Reply, ask_http, read_reply, serve_in};
use super::http_files::ask_late;
use super::tls::certs::{Identity, ec_key};
use super::tls::{OURS, client, folder, only, try_client};
use crate::common::*;

/// A server with TLS and this inside.
fn secure(text: &str) -> (Weir, Port) {
    serve_in(folder(), |port| format!("server {{ listen {} ssl; {OURS} {text} }}", port.v4()))
}

/// Speaks TLS as a client that asks for `name`, or for nobody.
pub fn asking(
    port: &Port,
    name: Option<&str>,
    change: impl FnOnce(&mut SslContextBuilder),
) -> Result<SslStream<TcpStream>, String> {
    tls_clients::connect(&tls_clients::context(change), name, connect(port.v4())).map_err(|error| error.to_string())
}

fn sni(port: &Port, name: &str) -> SslStream<TcpStream> {
    asking(port, Some(name), |_| {}).unwrap()
}

#[track_caller]
pub fn ask(stream: &mut SslStream<TcpStream>, path: &str, host: &str) -> Reply {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    read_reply(stream, false)
}

pub fn name_of(certificate: &X509) -> String {
    let entry = certificate.subject_name().entries().next().unwrap();
    entry.data().to_string().unwrap()
}

pub fn shows(identity: &Identity) -> impl Fn(&mut SslContextBuilder) {
    let identity = identity.clone();
    move |builder| {
        builder.set_certificate(&identity.certificate).unwrap();
        builder.set_private_key(&identity.key).unwrap();
    }
}

#[test]
fn requests_over_tls() {
    let (weir, port) = secure(
        "location / { return 200 \"$scheme $https $ssl_protocol $ssl_cipher $ssl_session_reused $ssl_server_name\"; }
         location /to { return 301 /there; } location /to443 { return 301 https://$host/; }",
    );
    for (version, told) in [(SslVersion::TLS1_2, "TLSv1.2"), (SslVersion::TLS1_3, "TLSv1.3")] {
        let mut stream = client(&port, only(version));
        let cipher = stream.ssl().current_cipher().unwrap().name().to_owned();
        for _ in 0..2 {
            let text = format!("https on {told} {cipher} . localhost");
            assert_eq!(ask(&mut stream, "/", "localhost").text(), text);
        }
        let reply = ask(&mut stream, "/to", "a");
        assert_eq!(reply.field("location"), Some(format!("https://a:{}/there", port.number).as_str()));
    }
    let mut stream = client(&port, |_| {});
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut stream, false).status, 200);
    // The end is told, not just the socket's.
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(weir.wait_access(7)[0].contains("\"GET / HTTP/1.1\" 200"));
}

#[test]
fn plain_requests_to_an_address_with_tls() {
    let (weir, port) = secure("return 200 never;");
    let reply = ask_http(&port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((reply.status, reply.field("connection")), (400, Some("close")));
    let page = "<html>\r\n<head><title>400 The plain HTTP request was sent to HTTPS port</title></head>\r\n<body>\r\n\
                <center><h1>400 Bad Request</h1></center>\r\n\
                <center>The plain HTTP request was sent to HTTPS port</center>\r\n<hr>";
    assert!(reply.text().starts_with(page), "{}", reply.text());
    let line = weir.wait_error("client sent plain HTTP request to HTTPS port");
    let end =
        "while reading client request headers, client: 127.0.0.1, server: , request: \"GET / HTTP/1.1\", host: \"a\"";
    assert!(line.contains("[info]") && line.ends_with(end), "{line}");
    assert!(weir.wait_access(1)[0].contains("\"GET / HTTP/1.1\" 400"));
}

#[test]
fn the_named_host_chooses_certificate_and_server() {
    let prefix = folder();
    for name in ["one", "two"] {
        Identity::root("authority").issue(name, ec_key()).write(&prefix, name);
    }
    let (_weir, port) = serve_in(prefix, |port| {
        let server = |name: &str, more: &str| {
            format!(
                "server {{ listen {} ssl; server_name {name}; ssl_certificate {name}.pem; ssl_certificate_key {name}.key;
                 return 200 \"{name} $ssl_server_name\"; {more} }}\n",
                port.v4()
            )
        };
        // One that has no certificate of its own is known by the default server's.
        let bare = format!("server {{ listen {}; server_name bare; return 200 bare; }}", port.v4());
        server("one", "")
            + &server("two", "connection_pool_size 112; large_client_header_buffers 1 112; ssl_protocols TLSv1.2;")
            + &bare
    });
    for (asked, certificate, answer) in
        [("one", "one", "one one"), ("two", "two", "two two"), ("Bare", "one", "bare"), ("none", "one", "one none")]
    {
        let mut stream = sni(&port, asked);
        assert_eq!(name_of(&stream.ssl().peer_certificate().unwrap()), certificate, "{asked}");
        assert_eq!(ask(&mut stream, "/", asked).text(), answer);
    }
    // The request's host chooses again.
    assert_eq!(ask(&mut sni(&port, "one"), "/", "two").text(), "two one");
    let mut nameless = asking(&port, None, |_| {}).unwrap();
    assert_eq!(name_of(&nameless.ssl().peer_certificate().unwrap()), "one");
    assert_eq!(ask(&mut nameless, "/", "two").text(), "two ");
    // Protocols and limits of the named one hold.
    assert_eq!(sni(&port, "one").ssl().version_str(), "TLSv1.3");
    let mut stream = sni(&port, "two");
    assert_eq!(stream.ssl().version_str(), "TLSv1.2");
    assert_eq!(ask(&mut stream, &format!("/{}", "x".repeat(2000)), "two").status, 414);
}

#[test]
fn client_certificates() {
    let (prefix, root) = (folder(), Identity::root("clients"));
    prefix.write("clients.pem", root.certificate_pem());
    let (good, stranger) = (root.issue("good", ec_key()), Identity::root("strangers").issue("stranger", ec_key()));
    let (weir, port) = serve_in(prefix, |port| {
        let server = |verify: &str| {
            let address = port.v4();
            format!(
                "server {{ listen {address} ssl; server_name {verify}; {OURS} ssl_client_certificate clients.pem;
                 ssl_verify_client {verify};
                 location / {{ return 200 \"$ssl_client_verify|$ssl_client_s_dn|$ssl_client_i_dn_legacy\"; }}
                 location /whose {{
                     return 200 \"$ssl_client_s_dn_legacy|$ssl_client_i_dn|$ssl_client_v_start|$ssl_client_v_end\";
                 }} }}\n"
            )
        };
        ["off", "on", "optional", "optional_no_ca"].map(server).concat()
    });
    let from = |identity: Option<&Identity>, name: &str| {
        let change = |builder: &mut SslContextBuilder| {
            if let Some(identity) = identity {
                shows(identity)(builder);
            }
        };
        let mut stream = asking(&port, Some(name), change).unwrap();
        let reply = ask(&mut stream, "/", name);
        (reply.status, reply.text().to_owned())
    };
    let ok = |text: &str| (200, text.to_owned());
    assert_eq!(from(Some(&good), "on"), ok("SUCCESS|CN=good|/CN=clients"));
    assert_eq!(from(Some(&good), "optional"), ok("SUCCESS|CN=good|/CN=clients"));
    assert_eq!(from(Some(&good), "off"), ok("NONE||"));
    assert_eq!(from(None, "optional"), ok("NONE||"));
    let unknown = "FAILED:unable to verify the first certificate|CN=stranger|/CN=strangers";
    assert_eq!(from(Some(&stranger), "optional_no_ca"), ok(unknown));
    for name in ["on", "optional"] {
        let (status, page) = from(Some(&stranger), name);
        assert_eq!(status, 400);
        assert!(page.contains("<center>The SSL certificate error</center>"), "{page}");
    }
    let (status, page) = from(None, "on");
    assert_eq!(status, 400);
    assert!(page.contains("<title>400 No required SSL certificate was sent</title>"), "{page}");
    weir.wait_error("client sent no required SSL certificate while reading client request headers, client: 127.0.0.1");
    weir.wait_error("client SSL certificate verify error: (21:unable to verify the first certificate) while");
    let reply = ask(&mut asking(&port, Some("on"), shows(&good)).unwrap(), "/whose", "on");
    let of = &good.certificate;
    assert_eq!(reply.text(), format!("/CN=good|CN=clients|{}|{}", of.not_before(), of.not_after()));
    // A handshake with one server opens no other that asks for certificates.
    let mut stream = asking(&port, Some("off"), shows(&good)).unwrap();
    let reply = ask(&mut stream, "/", "on");
    assert_eq!((reply.status, reply.field("connection")), (421, Some("close")));
    let line =
        weir.wait_error("client attempted to request the server name different from the one that was negotiated");
    assert!(
        line.contains(" while reading client request headers, client: 127.0.0.1, server: off, request: "),
        "{line}"
    );
    let mut nameless = asking(&port, None, shows(&good)).unwrap();
    assert!(ask(&mut nameless, "/", "on").text().contains("No required SSL certificate"));
}

#[test]
fn what_is_told_of_a_certificate() {
    let (prefix, root) = (folder(), Identity::root("clients"));
    prefix.write("clients.pem", root.certificate_pem());
    let good = root.issue("good", ec_key());
    let (_weir, port) = serve_in(prefix, |port| {
        format!(
            "server {{ listen {} ssl; {OURS} ssl_client_certificate clients.pem; ssl_verify_client on;
             location /cert {{ return 200 \"$ssl_client_raw_cert$ssl_client_cert\"; }}
             location /escaped {{ return 200 $ssl_client_escaped_cert; }}
             location /facts {{ return 200 \"$ssl_client_serial $ssl_client_fingerprint $ssl_client_v_remain $ssl_client_v_end\"; }}
             location /session {{ return 200 \"$ssl_curve $ssl_curves $ssl_alpn_protocol $ssl_session_id\"; }}
             location /ciphers {{ return 200 \"$ssl_ciphers\"; }} }}",
            port.v4()
        )
    });
    let mut stream = asking(&port, Some("a"), |builder| {
        shows(&good)(builder);
        builder.set_alpn_protos(b"\x02h2\x08http/1.1").unwrap();
        builder.set_groups_list("P-256:X25519").unwrap();
        builder.set_cipher_list("ECDHE-ECDSA-AES128-GCM-SHA256").unwrap();
    })
    .unwrap();
    let pem = good.certificate_pem();
    let indented = pem.trim_end().replace('\n', "\n\t");
    assert_eq!(ask(&mut stream, "/cert", "a").text(), format!("{pem}{indented}"));
    let escaped = ask(&mut stream, "/escaped", "a");
    assert!(escaped.text().starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{}", escaped.text());
    let serial = good.certificate.serial_number().to_bn().unwrap().to_hex_str().unwrap();
    let digest = good.certificate.digest(openssl::hash::MessageDigest::sha1()).unwrap();
    let fingerprint: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let end = good.certificate.not_after();
    let reply = ask(&mut stream, "/facts", "a");
    let days = |days: u8| format!("{serial} {fingerprint} {days} {end}");
    assert!([days(9), days(10)].contains(&reply.text().to_owned()), "{}", reply.text());
    let session = ask(&mut stream, "/session", "a");
    assert!(session.text().starts_with("prime256v1 prime256v1:X25519 http/1.1 "), "{}", session.text());
    let ciphers = ask(&mut stream, "/ciphers", "a");
    assert!(ciphers.text().contains("TLS_AES_256_GCM_SHA384:"), "{}", ciphers.text());
    assert!(ciphers.text().contains("ECDHE-ECDSA-AES128-GCM-SHA256"), "{}", ciphers.text());
}

/// What `openssl s_client` hears that asks for a host by name, in the hello and in its request.
pub fn s_client(port: &Port, name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command
        .args(["30", "openssl", "s_client", "-ign_eof", "-connect", &port.v4(), "-servername", name])
        .args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("GET / HTTP/1.0\nHost: {name}\n\n").as_bytes()).unwrap();
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

#[test]
fn sessions_come_back_to_their_own_server_only() {
    let (prefix, root) = (folder(), Identity::root("clients"));
    prefix.write("clients.pem", root.certificate_pem());
    let (weir, port) = serve_in(prefix, |port| {
        let address = port.v4();
        format!(
            "ssl_session_cache shared:s:1m;
             server {{ listen {address} ssl; server_name open; {OURS} return 200 \"open $ssl_session_reused\"; }}
             server {{ listen {address} ssl; server_name closed; {OURS} ssl_client_certificate clients.pem; ssl_verify_client on;
                       return 200 \"closed $ssl_session_reused\"; }}"
        )
    });
    let file = weir.prefix.text_path("session");
    for version in [&["-tls1_2", "-no_ticket"][..], &["-tls1_2"], &["-tls1_3"]] {
        let told = s_client(&port, "open", &[version, &["-sess_out", &file]].concat());
        assert!(told.contains("open ."), "{version:?}: {told}");
        let told = s_client(&port, "open", &[version, &["-sess_in", &file]].concat());
        assert!(told.contains("open r"), "{version:?}: {told}");
        let told = s_client(&port, "closed", &[version, &["-sess_in", &file]].concat());
        assert!(told.contains("\nNew, TLSv1") && told.contains("No required SSL certificate"), "{version:?}: {told}");
    }
}

#[test]
fn rejected_handshakes() {
    let (weir, port) = serve_in(folder(), |port| {
        let address = port.v4();
        format!(
            "server {{ listen {address} ssl default_server; ssl_reject_handshake on; }}
             server {{ listen {address} ssl; server_name known; {OURS} return 200 hi; }}"
        )
    });
    assert_eq!(ask(&mut sni(&port, "known"), "/", "known").text(), "hi");
    for name in [Some("unknown"), None] {
        let refused = asking(&port, name, |_| {}).unwrap_err();
        assert!(refused.contains("unrecognized name"), "{refused}");
    }
    let line = weir.wait_error("handshake rejected");
    let end = format!("[info] handshake rejected while SSL handshaking, client: 127.0.0.1, server: {}", port.v4());
    let line = line.replace(&line[line.find("] ").unwrap() + 2..line.find("handshake").unwrap()], "");
    assert!(line.ends_with(&end), "{line}");
}

#[test]
fn files_and_long_answers() {
    let prefix = folder();
    let content = clients::noise(3 << 20);
    prefix.write("html/big", &content);
    let (_weir, port) = serve_in(prefix, |port| {
        format!("sendfile on; tcp_nopush on; server {{ listen {} ssl; {OURS} keepalive_timeout 0; }}", port.v4())
    });
    let mut stream = client(&port, |_| {});
    let reply = ask(&mut stream, "/big", "a");
    assert!(reply.status == 200 && reply.body == content);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn short_files_for_those_who_read_late() {
    let prefix = folder();
    let content = clients::noise(10_000);
    prefix.write("html/short", &content);
    let (_weir, port) = serve_in(prefix, |port| {
        format!("sendfile on; tcp_nopush on; keepalive_requests 100000; server {{ listen {} ssl; {OURS} }}", port.v4())
    });
    ask_late(&mut client(&port, |_| {}), "/short", &content);
}

#[test]
fn handshakes_that_come_to_nothing() {
    let (weir, port) = secure("client_header_timeout 1s; return 200 hi;");
    let silent = connect(port.v4());
    assert_eq!(read_all(silent), b"");
    weir.wait_error("client timed out (110: Connection timed out) while SSL handshaking, client: 127.0.0.1, server: ");
    drop(connect(port.v4()));
    weir.wait_error("client closed connection while SSL handshaking, client: 127.0.0.1");
    let mut broken = connect(port.v4());
    broken.write_all(b"\x16\x03\x01\x00\x05hello").unwrap();
    read_all(&mut broken);
    weir.wait_error("SSL_do_handshake() failed (SSL: error:");
    assert!(try_client(&port, |builder| builder.set_alpn_protos(b"\x02h2").unwrap()).is_err());
    // A connection with its handshake done has no more time for its first request.
    let idle = client(&port, |_| {});
    assert_eq!(read_all(idle), b"");
}

#[test]
fn the_old_directive() {
    let prefix = folder();
    let (weir, port) =
        serve_in(prefix, |port| format!("ssl on; server {{ listen {}; {OURS} return 200 hi; }}", port.v4()));
    assert_eq!(ask(&mut client(&port, |_| {}), "/", "a").text(), "hi");
    let warning = "the \"ssl\" directive is deprecated, use the \"listen ... ssl\" directive instead in ";
    assert!(weir.prefix.read("stderr").contains(warning));
}

/// A stream that keeps what has been read from it.
#[derive(Debug)]
struct Recorded(TcpStream, Vec<u8>);

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn records_of_a_chosen_size() {
    let prefix = folder();
    prefix.write("html/f", clients::noise(40_000));
    let (_weir, port) = serve_in(prefix, |port| {
        let server = |name: &str, more: &str| {
            format!("server {{ listen {} ssl; server_name {name}; {OURS} {more} }}\n", port.v4())
        };
        server("large", "") + &server("small", "ssl_buffer_size 1k;")
    });
    for (name, most) in [("small", 1024), ("large", 16384)] {
        let context = tls_clients::context(only(SslVersion::TLS1_3));
        let recorded = Recorded(connect(port.v4()), Vec::new());
        let mut stream = tls_clients::connect(&context, Some(name), recorded).unwrap();
        // The certificate and its company are not meant.
        stream.get_mut().1.clear();
        stream.write_all(format!("GET /f HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(read_reply(&mut stream, false).body.len(), 40_000);
        let (mut rest, mut longest) = (stream.get_ref().1.as_slice(), 0);
        while let [_, _, _, high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            longest = longest.max(length);
            rest = after.get(length..).unwrap_or_default();
        }
        // The type of what is inside, and the tag of the cipher.
        assert_eq!(longest, most + 1 + 16, "{name}");
    }
}

#[test]
fn requests_over_tls_are_passed_on() {
    let (backend, seen) = super::proxy::answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (_weir, port) = secure(&format!(
        "set_real_ip_from 127.0.0.1; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
         location / {{ proxy_pass http://{}; deny 1.2.3.5; }}",
        backend.address
    ));
    let mut stream = client(&port, |_| {});
    let mut ask = |from: &str| {
        stream.write_all(format!("GET /x HTTP/1.1\r\nHost: a\r\nX-Real-IP: {from}\r\n\r\n").as_bytes()).unwrap();
        read_reply(&mut stream, false)
    };
    let reply = ask("1.2.3.4");
    assert_eq!((reply.status, reply.text()), (200, "ok"));
    let request = super::proxy::last(&seen);
    assert!(request.contains("\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 1.2.3.4\r\n"), "{request}");
    assert_eq!(ask("1.2.3.5").status, 403);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn plain_requests_can_have_a_page_of_their_own() {
    let (_weir, port) = secure("error_page 497 https://$host/there; location / { return 204; }");
    let reply = ask_http(&port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((reply.status, reply.field("location")), (302, Some("https://a/there")));
    let (_weir, port) = secure("error_page 497 /page; location = /page { return 200 plain; }");
    let reply = ask_http(&port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((reply.status, reply.text()), (400, "plain"));
}

/// Clients that know both versions speak the older one.
#[test]
fn who_offers_http_2_is_served_by_http_1() {
    let (_weir, port) = serve_in(folder(), |port| {
        format!("server {{ listen {} ssl http2; {OURS} return 200 $server_protocol; }}", port.v4())
    });
    let offered = |builder: &mut SslContextBuilder| builder.set_alpn_protos(b"\x02h2\x08http/1.1").unwrap();
    let mut stream = asking(&port, None, offered).unwrap();
    assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(ask(&mut stream, "/", "a").text(), "HTTP/1.1");
}
