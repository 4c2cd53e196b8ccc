//! What a handshake agrees on, and what happens to those that come to nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use openssl::dh::Dh;
use openssl::pkey::Id;
use openssl::ssl::SslVersion;

use super::certs::{Identity, ec_key, rsa_key};
use super::*;

#[test]
fn the_readme() {
    let readme = include_str!("../../../README.md");
    let block =
        readme.split("```nginx\n").find(|block| block.contains("8443 ssl;")).expect("a configuration in the README");
    let block = block.split("```").next().unwrap();
    let backend = Backend::start(backends::greeting("inside\n"));
    let port = Port::reserve();
    let block =
        block.replace(" 8443 ", &format!(" {} ", port.number)).replace("127.0.0.1:8080", &backend.address.to_string());
    let prefix = Prefix::new();
    let make = readme.lines().find(|line| line.starts_with("openssl req ")).expect("how a certificate is made");
    let done = Command::new("sh").args(["-c", make]).current_dir(prefix.join("")).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let _weir = Setup::tcp(block).start_in(prefix);
    let mut stream = client(&port, |_| {});
    let mut greeting = [0; 7];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"inside\n");
}

fn text(stream: impl Read) -> String {
    String::from_utf8(read_all(stream)).unwrap()
}

#[test]
fn todays_versions_and_no_older_ones() {
    let port = Port::reserve();
    let _weir = greeter(&port, "").start_in(folder());
    for (version, name) in [(SslVersion::TLS1_2, "TLSv1.2"), (SslVersion::TLS1_3, "TLSv1.3")] {
        let stream = client(&port, only(version));
        assert_eq!(stream.ssl().version_str(), name);
        assert_eq!(text(stream), "hi");
    }
    for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
        assert!(try_client(&port, only(version)).is_err());
    }
}

#[test]
fn old_versions_where_they_are_wanted() {
    let port = Port::reserve();
    let more = "ssl_protocols SSLv2 SSLv3 TLSv1 TLSv1.1; ssl_ciphers HIGH:!aNULL:!MD5:@SECLEVEL=0;";
    let weir = greeter(&port, more).start_in(folder());
    for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
        assert_eq!(text(client(&port, only(version))), "hi");
    }
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        assert!(try_client(&port, only(version)).is_err());
    }
    let warning = "\"SSLv3\" has no effect: OpenSSL does not offer this protocol in ";
    assert!(weir.prefix.read("stderr").contains(warning));
}

#[test]
fn protocols_that_are_named_one_by_one() {
    let port = Port::reserve();
    let _weir = greeter(&port, "ssl_protocols TLSv1.2; ssl_protocols TLSv1.3;").start_in(folder());
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        assert_eq!(text(client(&port, only(version))), "hi");
    }
}

#[test]
fn a_protocol_that_has_no_cipher_left_is_no_reason_to_crash() {
    let port = Port::reserve();
    let weir = greeter(&port, "ssl_protocols SSLv3;").start_in(folder());
    assert!(try_client(&port, |_| {}).is_err());
    weir.wait_error("SSL_do_handshake() failed (SSL: error:0A0000");
}

#[test]
fn clients_of_both_kinds_of_keys() {
    let prefix = Prefix::new();
    let root = Identity::root("root");
    root.issue("localhost", rsa_key(2048)).write(&prefix, "rsa");
    root.issue("localhost", ec_key()).write(&prefix, "ec");
    let port = Port::reserve();
    let files =
        "ssl_certificate rsa.pem; ssl_certificate_key rsa.key; ssl_certificate ec.pem; ssl_certificate_key ec.key;";
    let _weir = Setup::tcp(format!("{files} server {{ listen {}; ssl on; return hi; }}", port.v4())).start_in(prefix);
    for (ciphers, kind) in [("ECDHE-RSA-AES128-GCM-SHA256", Id::RSA), ("ECDHE-ECDSA-AES128-GCM-SHA256", Id::EC)] {
        let stream = client(&port, |builder| {
            only(SslVersion::TLS1_2)(builder);
            builder.set_cipher_list(ciphers).unwrap();
        });
        assert_eq!(stream.ssl().peer_certificate().unwrap().public_key().unwrap().id(), kind);
        assert_eq!(stream.ssl().current_cipher().unwrap().name(), ciphers);
        assert_eq!(text(stream), "hi");
    }
}

#[test]
fn a_chain_leads_to_the_authority_and_curl_believes_it() {
    let prefix = Prefix::new();
    let root = Identity::root("root");
    let middle = root.authority("middle");
    let own = middle.issue("localhost", ec_key());
    prefix.write("chain.pem", own.certificate_pem() + &middle.certificate_pem());
    prefix.write("own.key", own.key_pem());
    let root_file = prefix.write("root.pem", root.certificate_pem());
    let port = Port::reserve();
    let answer = "HTTP/1.0 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nyes";
    let _weir = Setup::tcp(format!(
        "server {{ listen {} ssl; return \"{answer}\"; ssl_certificate chain.pem; ssl_certificate_key own.key; }}",
        port.v4()
    ))
    .start_in(prefix);
    let root_file = root_file.to_str().unwrap();
    let told = s_client(&port, &["-verify_return_error", "-CAfile", root_file, "-servername", "anything.test"]);
    assert!(told.contains("Verify return code: 0 (ok)"), "{told}");
    let (ok, body) = run(
        "curl",
        &["-q", "-s", "--noproxy", "*", "--http1.0", "--cacert", root_file, &format!("https://{}/", port.v4())],
    );
    assert!(ok && body == "yes", "{body}");
}

#[test]
fn groups_ciphers_and_whose_order_counts() {
    let prefix = Prefix::new();
    Identity::root("root").issue("localhost", rsa_key(2048)).write(&prefix, "server");
    prefix.write("dh.pem", Dh::get_2048_256().unwrap().params_to_pem().unwrap());
    let port = Port::reserve();
    let two = "ssl_ciphers ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256;";
    let _weir = Setup::tcp(format!(
        "{OURS} ssl_protocols TLSv1.2;
         server {{ listen {} ssl; return hi; ssl_ecdh_curve secp384r1; }}
         server {{ listen {} ssl; return hi; ssl_dhparam dh.pem; ssl_ciphers DHE-RSA-AES128-GCM-SHA256; }}
         server {{ listen {} ssl; return hi; {two} }}
         server {{ listen {} ssl; return hi; {two} ssl_prefer_server_ciphers on; }}",
        port.on("127.0.0.1"),
        port.on("127.0.0.2"),
        port.on("127.0.0.3"),
        port.on("127.0.0.4"),
    ))
    .start_in(prefix);
    let say = |host: &str, more: &[&str]| {
        let address = port.on(host);
        run("openssl", &[&["s_client", "-ign_eof", "-connect", &address], more].concat()).1
    };
    let told = say("127.0.0.1", &[]);
    assert!(told.contains("Server Temp Key: ECDH, secp384r1, 384 bits"), "{told}");
    let told = say("127.0.0.2", &[]);
    assert!(told.contains("Cipher is DHE-RSA-AES128-GCM-SHA256"), "{told}");
    let clients = ["-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"];
    let told = say("127.0.0.3", &clients);
    assert!(told.contains("Cipher is ECDHE-RSA-AES128-GCM-SHA256"), "{told}");
    let told = say("127.0.0.4", &clients);
    assert!(told.contains("Cipher is ECDHE-RSA-AES256-GCM-SHA384"), "{told}");
}

#[test]
fn a_server_may_be_plain_on_one_address_and_not_on_another() {
    let port = Port::reserve();
    let _weir = Setup::tcp(format!(
        "server {{ listen {}; listen {} ssl; return hi; {OURS} }}",
        port.on("127.0.0.2"),
        port.v4()
    ))
    .start_in(folder());
    assert_eq!(clients::fetch(port.on("127.0.0.2")), "hi");
    assert_eq!(text(client(&port, |_| {})), "hi");
}

#[test]
fn rules_are_asked_after_the_handshake() {
    let port = Port::reserve();
    let weir = greeter(&port, "deny all;").start_in(folder());
    assert_eq!(text(client(&port, |_| {})), "");
    let line = weir.wait_error("access forbidden by rule");
    assert!(line.contains("[notice]"), "{line}");
    assert!(weir.wait_access(1)[0].ends_with(" - 0 0"));
}

#[test]
fn a_header_before_the_hello_and_what_the_log_tells() {
    let port = Port::reserve();
    let weir = Setup::tcp(format!(
        "log_format secure '$remote_addr $status $ssl_protocol $ssl_cipher';
         server {{ listen {} ssl proxy_protocol; set_real_ip_from 127.0.0.1; deny 192.0.2.66; {OURS}
           return '$remote_addr $ssl_protocol'; access_log access.log secure; }}",
        port.v4()
    ))
    .start_in(folder());
    let from = |address: &str, hello: bool| {
        let mut stream = connect(port.v4());
        stream.write_all(format!("PROXY TCP4 {address} 192.0.2.1 1234 443\r\n").as_bytes()).unwrap();
        if !hello {
            stream.write_all(b"no hello").unwrap();
            return String::from_utf8_lossy(&read_all(stream)).into_owned();
        }
        text(tls_clients::connect(&tls_clients::context(only(SslVersion::TLS1_2)), Some("localhost"), stream).unwrap())
    };
    assert_eq!(from("192.0.2.7", true), "192.0.2.7 TLSv1.2");
    assert_eq!(from("192.0.2.66", true), "");
    from("192.0.2.8", false);
    let cipher = "ECDHE-ECDSA-AES256-GCM-SHA384";
    let lines = weir.wait_access(3);
    assert_eq!(lines[0], format!("192.0.2.7 200 TLSv1.2 {cipher}"));
    assert_eq!(lines[1], format!("192.0.2.66 403 TLSv1.2 {cipher}"));
    assert_eq!(lines[2], "192.0.2.8 500 - -");
}

#[test]
fn a_silent_client_is_cut_off_in_time() {
    let port = Port::reserve();
    let weir = greeter(&port, "timeout 300ms;").start_in(folder());
    let start = std::time::Instant::now();
    let silent = connect(port.v4());
    let mut slow = connect(port.v4());
    slow.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    assert!(is_closed(silent) && is_closed(slow));
    assert!(start.elapsed() >= std::time::Duration::from_millis(290));
    let line =
        weir.wait_error("client timed out (110: Connection timed out) while SSL handshaking, client: 127.0.0.1, ");
    assert!(line.contains("[info]"), "{line}");
}

#[test]
fn what_is_no_hello_ends_the_session() {
    let port = Port::reserve();
    let weir = greeter(&port, "").start_in(folder());
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "SSL routines::http request)"),
        (b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff", "SSL routines::"),
        (b"garbage that is none of anything", "SSL routines::wrong version number)"),
    ] {
        let mut stream = connect(port.v4());
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let line = weir.wait_error(reason);
        assert!(line.contains("[info]") && line.contains("SSL_do_handshake() failed (SSL: error:0A"), "{line}");
        assert!(line.contains(&format!(" while SSL handshaking, client: 127.0.0.1, server: {}", port.v4())), "{line}");
    }
    drop(connect(port.v4()));
    let line = weir.wait_error("peer closed connection in SSL handshake");
    assert!(line.contains("[info]"), "{line}");
    assert_eq!(text(client(&port, |_| {})), "hi", "and others are served");
}

#[test]
fn random_bytes_never_harm() {
    let port = Port::reserve();
    let weir = greeter(&port, "").level("info").start_in(folder());
    let worker = weir.worker();
    for seed in 0..60 {
        let mut bytes = clients::noise(100 + seed * 37);
        if seed % 2 == 0 {
            bytes[..5].copy_from_slice(&[0x16, 3, 1, 0, 90]);
        }
        let mut stream = connect(port.v4());
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(text(client(&port, |_| {})), "hi");
    assert_eq!(weir.worker(), worker);
    weir.wait_access(61);
    assert!(!weir.error_log().contains("[alert]"), "{}", weir.error_log());
}

#[test]
fn keys_are_changed_in_the_middle_of_a_session() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let _weir = proxy(&port, &backend, "").start_in(folder());
    let mut child = Command::new("timeout")
        .args(["30", "openssl", "s_client", "-tls1_3", "-connect", &port.v4()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    for round in 0..5 {
        to.write_all(format!("word {round}\n").as_bytes()).unwrap();
        assert!(answers.any(|line| line.unwrap() == format!("word {round}")), "{round}");
        // A line that begins with K changes the client's keys and asks for new ones of ours.
        to.write_all(b"K\n").unwrap();
        assert!(notes.any(|line| line.unwrap() == "KEYUPDATE"), "{round}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn renegotiation_is_refused() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let _weir = proxy(&port, &backend, "").start_in(folder());
    let mut child = Command::new("timeout")
        .args(["30", "openssl", "s_client", "-tls1_2", "-connect", &port.v4()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A line that begins with R asks for it; the pipe stays open so that it is the answer that ends the client.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"R\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("RENEGOTIATING") && told.contains("no renegotiation"), "{told}");
    assert!(!output.status.success());
}
