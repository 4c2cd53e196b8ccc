//! `proxy_pass https://...`: servers that speak TLS.

use super::*;
use crate::tls::certs::{Identity, ec_key};
use crate::tls::{OURS, folder};

/// A weir that asks, with this inside of its server, and one of its other servers that answers over TLS, with that inside.
fn secured(folder: Prefix, asking: impl Fn(&Port) -> String, answering: &str) -> (Weir, Port, Port) {
    let behind = Port::reserve();
    let (weir, port) = crate::http::serve_in(folder, |port| {
        format!(
            "log_format up '$status [$upstream_addr] [$upstream_status] $proxy_host $proxy_port';\n\
             server {{ listen {}; access_log access.log up; {} }}\n\
             server {{ listen {} ssl; {OURS} access_log off; {answering} }}",
            port.v4(),
            asking(&behind),
            behind.v4()
        )
    });
    (weir, port, behind)
}

/// An authority, and who it vouches for: `server` for `name`, and `client`.
fn vouched(name: &str) -> (Prefix, Identity) {
    let (prefix, root) = (Prefix::new(), Identity::root("root"));
    prefix.write("ca.pem", root.certificate_pem());
    root.issue(name, ec_key()).write(&prefix, "server");
    root.issue("client", ec_key()).write(&prefix, "client");
    (prefix, root)
}

#[test]
fn requests_and_answers_go_over_tls() {
    let large = "x".repeat(300_000);
    let prefix = folder();
    prefix.write("html/large", &large);
    let (weir, port, behind) = secured(
        prefix,
        |behind| format!("location / {{ proxy_pass https://{}; }}", behind.v4()),
        "location /large { } location / { return 200 \"$scheme $host $ssl_server_name.$request_uri\"; }",
    );
    assert_eq!(get(&port, "/a?b").text(), "https 127.0.0.1 ./a?b");
    assert_eq!(get(&port, "/large").text(), large);
    let up = format!("200 [{0}] [200] {0} {1}", behind.v4(), behind.v4().split(':').nth(1).unwrap());
    assert_eq!(weir.wait_access(2), [up.as_str(), &up]);
}

#[test]
fn a_server_is_told_the_name() {
    let (_weir, port, _) = secured(
        folder(),
        |behind| {
            let to = format!("proxy_pass https://{};", behind.on("localhost"));
            format!(
                "proxy_ssl_server_name on; location /host {{ {to} }} location /off {{ {to} proxy_ssl_server_name off; }}
                 location /name {{ {to} proxy_ssl_name named.test:8; }} location /request {{ {to} proxy_ssl_name $arg_n; }}"
            )
        },
        "location / { return 200 \"[$ssl_server_name]\"; }",
    );
    for (path, name) in [
        ("/host", "[localhost]"),
        ("/off", "[]"),
        ("/name", "[named.test]"),
        ("/request?n=a.test", "[a.test]"),
        ("/request?n=127.0.0.1", "[]"),
        ("/request?n=[::1]:7", "[]"),
        ("/request", "[]"),
    ] {
        assert_eq!(get(&port, path).text(), name, "{path}");
    }
}

#[test]
fn a_server_must_prove_who_it_is() {
    let (prefix, root) = vouched("localhost");
    let list = openssl_crl(&root, &prefix);
    prefix.write("crl.pem", list);
    let below = root.authority("below");
    let far = below.issue("localhost", ec_key());
    prefix.write("far.pem", far.certificate_pem() + &below.certificate_pem());
    prefix.write("far.key", far.key_pem());
    let far = Port::reserve();
    let far_address = far.on("localhost");
    let (weir, port, _) = secured(
        prefix,
        |behind| {
            let to = format!("proxy_pass https://{};", behind.on("localhost"));
            format!(
                "proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem;
                 location /well {{ {to} }} location /other {{ {to} proxy_ssl_name other.test; }}
                 location /unknown {{ {to} proxy_ssl_trusted_certificate server.pem; }} location /revoked {{ {to} proxy_ssl_crl crl.pem; }}
                 location /far {{ proxy_pass https://{far_address}; }}
                 location /too-far {{ proxy_pass https://{far_address}; proxy_ssl_verify_depth 0; }}
                 location /any {{ {to} proxy_ssl_verify off; proxy_ssl_name other.test; }}"
            )
        },
        &format!(
            "location / {{ return 200 ok; }} }}
             server {{ listen {} ssl; ssl_certificate far.pem; ssl_certificate_key far.key; return 200 ok;",
            far.v4()
        ),
    );
    for path in ["/well", "/well", "/any", "/far"] {
        assert_eq!(get(&port, path).text(), "ok", "{path}");
    }
    for (path, why) in [
        ("/other", "upstream SSL certificate does not match \"other.test\""),
        ("/unknown", "upstream SSL certificate verify error: (20:unable to get local issuer certificate)"),
        ("/too-far", "upstream SSL certificate verify error: (22:certificate chain too long)"),
        ("/revoked", "upstream SSL certificate verify error: (23:certificate revoked)"),
    ] {
        assert_eq!(get(&port, path).status, 502, "{path}");
        let line = weir.wait_error(why);
        assert!(line.contains("[error]") && line.contains("while SSL handshaking to upstream, client: "), "{line}");
        assert!(line.contains("upstream: \"https://127.0.0.1:"), "{line}");
    }
}

/// A list that has the certificate `server`, made by the `openssl` program.
fn openssl_crl(root: &Identity, prefix: &Prefix) -> String {
    root.write(prefix, "root");
    prefix.write("index.txt", "");
    prefix.write(
        "ca.conf",
        "[ca]\ndefault_ca = ours\n[ours]\ndatabase = index.txt\ndefault_md = sha256\ndefault_crl_days = 5\n",
    );
    let ca = |arguments: &[&str]| {
        let mut command = std::process::Command::new("openssl");
        command.args(["ca", "-config", "ca.conf", "-cert", "root.pem", "-keyfile", "root.key"]).args(arguments);
        let output = command.current_dir(prefix.join("")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    ca(&["-revoke", "server.pem"]);
    ca(&["-gencrl", "-out", "list.pem"]);
    prefix.read("list.pem")
}

#[test]
fn servers_see_a_certificate() {
    let (prefix, root) = vouched("localhost");
    let second = root.issue("second", ec_key());
    let locked = second.key.private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_128_cbc(), b"open").unwrap();
    prefix.write("second.pem", second.certificate_pem());
    prefix.write("second.key", locked);
    prefix.write("passwords", "wrong\nopen\n");
    // One with another behind it, and a key.
    let data = [prefix.read("client.pem") + &prefix.read("second.pem"), prefix.read("client.key")];
    let (weir, port, _) = secured(
        prefix,
        |behind| {
            let to = format!("proxy_pass https://{};", behind.v4());
            let [certificate, key] = &data;
            format!(
                "location /text {{ {to} proxy_ssl_certificate \"data:{certificate}\"; proxy_ssl_certificate_key \"data:{key}\"; }}
                 proxy_ssl_certificate client.pem; proxy_ssl_certificate_key client.key;
                 proxy_ssl_password_file passwords;
                 location /fixed {{ {to} }}
                 location /locked {{ {to} proxy_ssl_certificate second.pem; proxy_ssl_certificate_key second.key; }}
                 location /none {{ {to} proxy_ssl_certificate \"\"; }}
                 location /named {{ {to} proxy_ssl_certificate $arg_c.pem; proxy_ssl_certificate_key $arg_c.key; }}"
            )
        },
        "ssl_verify_client optional; ssl_client_certificate ca.pem; location / { return 200 \"$ssl_client_verify $ssl_client_s_dn\"; }",
    );
    for (path, who) in [
        ("/fixed", "SUCCESS CN=client"),
        ("/locked", "SUCCESS CN=second"),
        ("/text", "SUCCESS CN=client"),
        ("/none", "NONE "),
        ("/named?c=second", "SUCCESS CN=second"),
        ("/named?c=client", "SUCCESS CN=client"),
    ] {
        assert_eq!(get(&port, path).text(), who, "{path}");
    }
    assert_eq!(get(&port, "/named?c=missing").status, 500);
    let line = weir.wait_error("cannot load certificate");
    assert!(line.contains("missing.pem\": BIO_new_file() failed (SSL: error:"), "{line}");
    assert!(line.contains("while SSL handshaking to upstream"), "{line}");
}

#[test]
fn sessions_are_resumed() {
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let (_weir, port, _) = secured(
            folder(),
            |behind| {
                let to = format!("proxy_pass https://{};", behind.v4());
                format!(
                    "proxy_ssl_protocols {protocol}; proxy_ssl_server_name on;
                     location /on {{ {to} proxy_ssl_name $arg_n; }} location /off {{ {to} proxy_ssl_session_reuse off; }}"
                )
            },
            "location / { return 200 \"$ssl_protocol $ssl_session_reused\"; }",
        );
        for (path, reused) in [("/on", "."), ("/on", "r"), ("/on", "r"), ("/on?n=a", "."), ("/on?n=a", "r")] {
            assert_eq!(get(&port, path).text(), format!("{protocol} {reused}"), "{path}");
        }
        for _ in 0..2 {
            assert_eq!(get(&port, "/off").text(), format!("{protocol} ."));
        }
    }
}

#[test]
fn connections_with_tls_are_kept() {
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let behind = Port::reserve();
        let (_weir, port) = crate::http::serve_in(folder(), |port| {
            format!(
                "upstream u {{ server {0}; keepalive 4; }} proxy_http_version 1.1; proxy_set_header Connection \"\";
                 server {{ listen {1}; proxy_ssl_protocols {protocol};
                     location / {{ proxy_pass https://u; }} location /n {{ proxy_pass https://u; proxy_ssl_name $arg_n; }} }}
                 server {{ listen {0} ssl; {OURS} return 200 \"$connection_requests $proxy_protocol_addr\"; }}",
                behind.v4(),
                port.v4()
            )
        });
        for (path, requests) in [("/", "1 "), ("/", "2 "), ("/", "3 "), ("/n?n=a", "1 "), ("/n?n=a", "2 "), ("/", "4 ")]
        {
            assert_eq!(get(&port, path).text(), requests, "{protocol} {path}");
        }
    }
}

#[test]
fn ciphers_and_commands() {
    let (weir, port, _) = secured(
        folder(),
        |behind| {
            let to = format!("proxy_pass https://{};", behind.v4());
            format!(
                "location /c {{ {to} proxy_ssl_protocols TLSv1.2; proxy_ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384; }}
                 location /s {{ {to} proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; }}
                 location /old {{ {to} proxy_ssl_protocols TLSv1.1; proxy_ssl_ciphers ALL:@SECLEVEL=0; }}"
            )
        },
        "location / { return 200 \"$ssl_protocol $ssl_cipher\"; }",
    );
    assert_eq!(get(&port, "/c").text(), "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384");
    assert_eq!(get(&port, "/s").text(), "TLSv1.3 TLS_AES_128_GCM_SHA256");
    assert_eq!(get(&port, "/old").status, 502);
    let line = weir.wait_error("while SSL handshaking to upstream");
    assert!(line.contains("[error]") && line.contains("SSL_do_handshake() failed (SSL: error:"), "{line}");
    assert!(line.contains("alert protocol version"), "{line}");
}

#[test]
fn a_failed_handshake_is_a_failed_server() {
    let plain = Backend::start(backends::greeting("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let closing = Backend::start(backends::close);
    let behind = Port::reserve();
    let (weir, port) = crate::http::serve_in(folder(), |port| {
        format!(
            "upstream u {{ server {} max_fails=0; server {} max_fails=0; server {2} backup; }}
             log_format up '$status [$upstream_addr] [$upstream_status]';
             server {{ listen {3}; access_log access.log up; location / {{ proxy_pass https://u; }}
                 location /off {{ proxy_pass https://u; proxy_next_upstream off; }} }}
             server {{ listen {2} ssl; {OURS} access_log off; client_max_body_size 0; return 200 $request_method; }}",
            plain.address,
            closing.address,
            behind.v4(),
            port.v4()
        )
    });
    for method in ["GET", "POST"] {
        let reply = ask_http(&port, &format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(reply.text(), method);
    }
    assert_eq!(get(&port, "/off").status, 502);
    let lines = weir.wait_access(3);
    assert!(lines[..2].iter().all(|line| line.ends_with("[502, 502, 200]")), "{lines:?}");
    weir.wait_error("SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while SSL handshaking to upstream");
    weir.wait_error("peer closed connection in SSL handshake");
}

#[test]
fn a_handshake_takes_no_longer_than_a_connect() {
    let silent = Backend::start(backends::silent);
    let (weir, port) =
        proxied("", &format!("location / {{ proxy_pass https://{}; proxy_connect_timeout 100ms; }}", silent.address));
    assert_eq!(get(&port, "/").status, 504);
    weir.wait_error("upstream timed out (110: Connection timed out) while SSL handshaking to upstream");
}

#[test]
fn what_cannot_be_is_refused() {
    let prefix = folder();
    Identity::alone().write(&prefix, "other");
    for (text, fault) in [
        ("proxy_ssl_verify on;", "no proxy_ssl_trusted_certificate for proxy_ssl_verify"),
        (
            "proxy_ssl_certificate server.pem;",
            "no \"proxy_ssl_certificate_key\" is defined for certificate \"server.pem\"",
        ),
        ("proxy_ssl_certificate server.pem; proxy_ssl_certificate_key other.key;", "SSL_CTX_use_PrivateKey(\""),
        ("proxy_ssl_certificate gone.pem; proxy_ssl_certificate_key other.key;", "cannot load certificate \""),
        (
            "proxy_ssl_certificate data:a; proxy_ssl_certificate_key data:secret;",
            "cannot load certificate \"data:\": PEM_read_bio_X509_AUX() failed (SSL: error:",
        ),
        (
            "proxy_ssl_certificate server.pem; proxy_ssl_certificate_key data:secret;",
            "cannot load certificate key \"data:\": PEM_read_bio_PrivateKey() failed (SSL: error:",
        ),
        ("proxy_ssl_ciphers none;", "SSL_CTX_set_cipher_list(\"none\") failed"),
        ("proxy_ssl_protocols TLSv2;", "invalid value \"TLSv2\""),
        ("proxy_ssl_conf_command Nonsense 1;", "SSL_CONF_cmd(\"Nonsense\", \"1\") failed"),
        ("proxy_ssl_verify perhaps;", "invalid value \"perhaps\" in \"proxy_ssl_verify\" directive"),
    ] {
        prefix.write(
            "nginx.conf",
            crate::http::config(&format!("server {{ location / {{ proxy_pass https://127.0.0.1;\n{text} }} }}")),
        );
        let run = prefix.run(&["-t"]);
        assert!(run.stderr.contains(fault) && run.stderr.contains("nginx.conf:"), "{text}: {}", run.stderr);
    }
}
