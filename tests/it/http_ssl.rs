//! What is said beside certificates in `http {}`: stapled answers of authorities, settings of OpenSSL's own.

use openssl::ocsp::{OcspResponse, OcspResponseStatus};
use openssl::ssl::{Ssl, SslVersion, StatusType};
use openssl::symm::Cipher;

use super::http::{config, serve_in};
use super::http_config::message;
use super::http_tls::{ask, asking};
use super::tls::certs::{Identity, ec_key};
use super::tls::{OURS, folder, only, run, try_client};
use crate::common::*;

/// A folder with the identity `server` and what its authority says about it, `answer.der`.
fn with_answer() -> (Prefix, Vec<u8>) {
    let prefix = Prefix::new();
    let root = Identity::root("authority");
    root.write(&prefix, "root");
    root.issue("localhost", ec_key()).write(&prefix, "server");
    prefix.write("index", "");
    let path = |name: &str| prefix.text_path(name);
    let (pem, key, server) = (path("root.pem"), path("root.key"), path("server.pem"));
    let (question, answer) = (path("question.der"), path("answer.der"));
    let ask = ["ocsp", "-issuer", &pem, "-cert", &server, "-no_nonce", "-reqout", &question];
    assert!(run("openssl", &ask).0);
    let index = path("index");
    let tell = [
        "ocsp", "-index", &index, "-CA", &pem, "-rsigner", &pem, "-rkey", &key, "-reqin", &question, "-respout",
        &answer,
    ];
    let (_, said) = run("openssl", &tell);
    let answer = std::fs::read(answer).unwrap_or_else(|error| panic!("{error}: {said}"));
    (prefix, answer)
}

/// What is stapled for a client that asks for it.
pub fn stapled(port: &Port, name: &str) -> Option<Vec<u8>> {
    let mut ssl = Ssl::new(&tls_clients::context(|_| {})).unwrap();
    ssl.set_hostname(name).unwrap();
    ssl.set_status_type(StatusType::OCSP).unwrap();
    let stream = ssl.connect(connect(port.v4())).unwrap();
    stream.ssl().ocsp_status().map(<[u8]>::to_vec)
}

#[test]
fn what_an_authority_says_goes_with_the_certificate() {
    let (prefix, answer) = with_answer();
    let (_weir, port) = serve_in(prefix, |port| {
        let listen = format!("listen {} ssl; {OURS}", port.v4());
        format!(
            "ssl_stapling_file answer.der; server {{ {listen} server_name plain; }}
             server {{ {listen} server_name stapled; ssl_stapling on; ssl_stapling_verify on; }}"
        )
    });
    let told = stapled(&port, "stapled").expect("an answer");
    assert_eq!(told, answer);
    assert_eq!(OcspResponse::from_der(&told).unwrap().status(), OcspResponseStatus::SUCCESSFUL);
    assert_eq!(stapled(&port, "plain"), None);
    assert!(try_client(&port, |_| {}).is_ok(), "who does not ask gets none");
}

#[test]
fn settings_of_openssls_own() {
    let (_weir, port) = serve_in(folder(), |port| {
        format!(
            "server {{ listen {} ssl; {OURS} ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;
             ssl_conf_command MinProtocol TLSv1.3; }}",
            port.v4()
        )
    });
    let stream = try_client(&port, only(SslVersion::TLS1_3)).unwrap();
    assert_eq!(stream.ssl().current_cipher().unwrap().name(), "TLS_CHACHA20_POLY1305_SHA256");
    assert!(try_client(&port, only(SslVersion::TLS1_2)).is_err());
}

#[test]
fn certificates_in_the_configuration_itself() {
    let (identity, other) = (Identity::alone(), Identity::alone());
    let locked = identity.key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_128_cbc(), b"secret").unwrap();
    let locked = String::from_utf8(locked).unwrap();
    let (certificate, key) = (identity.certificate_pem(), identity.key_pem());
    let prefix = Prefix::new();
    prefix.write("passwords", "wrong\nsecret\n");
    let (weir, port) = serve_in(prefix, |port| {
        let server = |name: &str, key: &str| {
            format!(
                "server {{ listen {} ssl; server_name {name}; ssl_certificate \"data:{certificate}\"; ssl_certificate_key \"data:{key}\";
                 ssl_password_file passwords; return 200 hi; }}\n",
                port.v4()
            )
        };
        server("open", &key) + &server("locked", &locked)
    });
    for name in ["open", "locked"] {
        let mut stream = asking(&port, Some(name), |_| {}).unwrap();
        assert_eq!(stream.ssl().peer_certificate().unwrap(), identity.certificate);
        assert_eq!(ask(&mut stream, "/", name).text(), "hi");
    }
    let wrong = |certificate: &str, key: &str| {
        let said = format!("ssl_certificate \"data:{certificate}\"; ssl_certificate_key \"data:{key}\";");
        weir.prefix.write("wrong.conf", config(&format!("server {{ listen unix:s ssl; {said} }}")));
        let run = weir.prefix.run(&["-t", "-c", &weir.prefix.text_path("wrong.conf")]);
        assert!(!run.status.success());
        assert!(!run.stderr.contains("PRIVATE KEY"), "{}", run.stderr);
        run.stderr
    };
    let text = wrong("x", &key);
    assert!(text.contains("cannot load certificate \"data:\": PEM_read_bio_X509_AUX() failed (SSL: error:"), "{text}");
    for key in ["", "x", &locked] {
        let text = wrong(&certificate, key);
        let told = "cannot load certificate key \"data:\": PEM_read_bio_PrivateKey() failed (SSL: error:";
        assert!(text.contains(told), "{text}");
    }
    let text = wrong(&certificate, &other.key_pem());
    assert!(text.contains("SSL_CTX_use_PrivateKey(\"data:\") failed (SSL: error:05800074:"), "{text}");
}

#[test]
fn what_is_wrong_with_them_is_told() {
    for (text, wanted, fine) in [
        (
            "ssl_stapling maybe;",
            "invalid value \"maybe\" in \"ssl_stapling\" directive, it must be \"on\" or \"off\"",
            false,
        ),
        ("ssl_early_data on;", "", true),
    ] {
        assert_eq!(message(text), (wanted.to_owned(), fine), "{text}");
    }
    let prefix = folder();
    let wrong = |more: &str| {
        prefix.write("nginx.conf", config(&format!("server {{ listen unix:s ssl; {OURS} {more} }}")));
        let run = prefix.run(&["-t"]);
        assert!(!run.status.success(), "{more}");
        run.stderr
    };
    let text = wrong("ssl_conf_command Nonsense 1;");
    assert!(text.contains("SSL_CONF_cmd(\"Nonsense\", \"1\") failed (SSL: "), "{text}");
    let text = wrong("ssl_stapling on; ssl_stapling_file server.pem;");
    assert!(text.contains("d2i_OCSP_RESPONSE_bio(\""), "{text}");
    let text = wrong("ssl_stapling on; ssl_stapling_file none;");
    assert!(text.contains("failed (SSL: error:80000002:system library::No such file or directory"), "{text}");
    let text = wrong("ssl_stapling on; ssl_trusted_certificate none;");
    assert!(
        text.contains("SSL_CTX_load_verify_locations(\"") && text.contains("/none\") failed (SSL: error:"),
        "{text}"
    );
}
