//! What `-t` refuses, and in which words.

use super::certs::{Identity, ec_key, rsa_key};
use super::*;
use openssl::pkey::{PKey, Private};

/// A folder with good and bad files in a folder of their own, beside the configuration.
fn files() -> Prefix {
    let prefix = folder();
    let other = Identity::alone();
    other.write(&prefix, "other");
    Identity::root("root").issue("localhost", rsa_key(2048)).write(&prefix, "rsa");
    let small = Identity::root("root").issue("localhost", rsa_key(512));
    small.write(&prefix, "small");
    let locked = Identity::root("root").issue("localhost", ec_key());
    locked.write(&prefix, "locked");
    prefix.write("locked.key", lock(&locked.key, &[b"first", b"second"], false));
    prefix.write("right.pass", "first\nopen sesame\r\nlast\n");
    prefix.write("wrong.pass", "first\nsecond\n");
    prefix.write("empty", "");
    prefix.write("garbage", "garbage\n");
    prefix.write("short.tickets", [7; 47]);
    prefix.write("good.tickets", [7; 80]);
    prefix
}

/// The key, locked with a password. Bytes that a wrong password leads to have no padding at their end, or do under one
/// salt in 256; OpenSSL tells this as two different errors, so the salt is one under which all of these have none or do.
fn lock(key: &PKey<Private>, wrong: &[&[u8]], padded: bool) -> Vec<u8> {
    const BAD_DECRYPT: std::ffi::c_ulong = 0x1c80_0064;
    let is_padded = |pem: &[u8], password: &[u8]| {
        let stack = PKey::private_key_from_pem_passphrase(pem, password).expect_err("a wrong password");
        stack.errors().iter().all(|error| error.code() != BAD_DECRYPT)
    };
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    loop {
        let pem = key.private_key_to_pem_pkcs8_passphrase(cipher, b"open sesame").unwrap();
        if wrong.iter().all(|password| is_padded(&pem, password) == padded) {
            return pem;
        }
    }
}

/// The answer of `-t` to a server with these directives, which stand in line 10.
fn test(prefix: &Prefix, directives: &str) -> (bool, String) {
    let port = Port::reserve();
    let text = Setup::tcp(format!("server {{ return hi; listen {};\n{directives}\n}}", port.v4())).text();
    let line = text.lines().position(|line| line == directives).unwrap() + 1;
    prefix.write("nginx.conf", text);
    let run = prefix.run(&["-t"]);
    let place = format!("{}:{line}", prefix.text_path("nginx.conf"));
    let told = run.stderr.replace(&format!(" in {place}"), " HERE").replace(&prefix.text_path(""), "/");
    (run.status.success(), told)
}

const KEYS: &str = "ssl on; ssl_certificate server.pem; ssl_certificate_key server.key;";

#[test]
fn accepted() {
    let prefix = files();
    for directives in [
        "ssl off;",
        "ssl_certificate server.pem; ssl_certificate_key server.key;",
        "ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; ssl_ciphers DEFAULT; ssl_prefer_server_ciphers off;",
        "ssl_ecdh_curve auto;",
        "ssl_ecdh_curve prime256v1:X25519;",
        "ssl_verify_client off; ssl_verify_depth 5; ssl_client_certificate nofile; ssl_trusted_certificate server.pem;",
        "ssl_verify_client optional; ssl_client_certificate server.pem;",
        "ssl_session_cache builtin shared:a:32k; ssl_session_timeout 1d;",
        "ssl_session_cache off;",
        "ssl_session_cache shared:a:32k; ssl_session_cache builtin;",
        "ssl_protocols TLSv1.2; ssl_protocols TLSv1.3;",
        "ssl_session_tickets off; ssl_session_ticket_key good.tickets; ssl_session_ticket_key good.tickets;",
    ] {
        let (ok, told) = test(&prefix, directives);
        assert!(ok && !told.contains("[warn]"), "{directives}: {told}");
        let all = format!("{KEYS} {directives}").replace("ssl off;", "");
        let all = if directives.starts_with("ssl_certificate ") { KEYS.to_owned() } else { all };
        let (ok, told) = test(&prefix, &all);
        assert!(ok && !told.contains("[warn]"), "{all}: {told}");
    }
    let locked = PKey::private_key_from_pem_passphrase(prefix.read("locked.key").as_bytes(), b"open sesame").unwrap();
    prefix.write("padded.key", lock(&locked, &[b"first"], true));
    for key in ["locked.key", "padded.key"] {
        let (ok, told) = test(
            &prefix,
            &format!("ssl on; ssl_certificate locked.pem; ssl_certificate_key {key}; ssl_password_file right.pass;"),
        );
        assert!(ok, "{key}: {told}");
    }
    let (ok, told) = test(&prefix, &format!("{KEYS} ssl_protocols SSLv2 TLSv1.2 TLSv1.2;"));
    assert!(ok && told.contains("[warn] \"SSLv2\" has no effect: OpenSSL does not offer this protocol HERE"), "{told}");
    assert!(told.contains("[warn] duplicate value \"TLSv1.2\" HERE"), "{told}");
}

#[test]
fn what_is_missing() {
    let prefix = files();
    for (directives, message) in [
        ("ssl on;", "no \"ssl_certificate\" is defined for the \"ssl\" directive HERE"),
        ("ssl on; ssl_certificate server.pem;", "no \"ssl_certificate_key\" is defined for the \"ssl\" directive HERE"),
        (
            "ssl on; ssl_certificate server.pem; ssl_certificate other.pem; ssl_certificate_key server.key;",
            "no \"ssl_certificate_key\" is defined for certificate \"other.pem\" and the \"ssl\" directive HERE",
        ),
        ("ssl_certificate server.pem;", "no \"ssl_certificate_key\" is defined for certificate \"server.pem\" HERE"),
        ("listen 127.0.0.1:1 ssl;", "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive HERE"),
    ] {
        let (ok, told) = test(&prefix, directives);
        assert!(!ok && told.contains(&format!("[emerg] {message}")), "{directives}: {told}");
    }
    let (ok, told) = test(&prefix, &format!("{KEYS} ssl_verify_client on;"));
    assert!(!ok && told.contains("[emerg] no ssl_client_certificate for ssl_verify_client HERE"), "{told}");
}

#[test]
fn the_server_that_gets_the_sessions_needs_the_certificate() {
    let prefix = files();
    let port = Port::reserve();
    let text = Setup::tcp(format!(
        "server {{ return a; listen {0}; }}\nserver {{ return b; listen {0} ssl; {OURS} }}",
        port.v4()
    ));
    prefix.write("nginx.conf", text.text());
    let run = prefix.run(&["-t"]);
    let message = "no \"ssl_certificate\" is defined for the \"listen ... ssl\" directive in ";
    assert!(!run.status.success() && run.stderr.contains(message), "{}", run.stderr);
}

#[test]
fn files_that_do_not_serve() {
    let prefix = files();
    let nofile = "(SSL: error:80000002:system library::No such file or directory:calling fopen(/nofile, r) error:10000080:BIO routines::no such file";
    let pem = "(SSL: error:0480006C:PEM routines::no start line:Expecting: ";
    for (directives, message) in [
        ("ssl_certificate nofile; ssl_certificate_key server.key;", format!("cannot load certificate \"/nofile\": BIO_new_file() failed {nofile})")),
        ("ssl_certificate garbage; ssl_certificate_key server.key;", format!("cannot load certificate \"/garbage\": PEM_read_bio_X509_AUX() failed {pem}")),
        ("ssl_certificate empty; ssl_certificate_key server.key;", format!("cannot load certificate \"/empty\": PEM_read_bio_X509_AUX() failed {pem}")),
        ("ssl_certificate server.pem; ssl_certificate_key nofile;", format!("cannot load certificate key \"/nofile\": BIO_new_file() failed {nofile})")),
        ("ssl_certificate server.pem; ssl_certificate_key garbage;", "cannot load certificate key \"/garbage\": PEM_read_bio_PrivateKey() failed (SSL: error:1E08010C:DECODER routines::unsupported".into()),
        ("ssl_certificate server.pem; ssl_certificate_key other.key;", "SSL_CTX_use_PrivateKey(\"/other.key\") failed (SSL: error:05800074:x509 certificate routines::key values mismatch)".into()),
        ("ssl_certificate server.pem; ssl_certificate_key rsa.key;", "SSL_CTX_use_PrivateKey(\"/rsa.key\") failed (SSL: error:0A0000B1:SSL routines::no certificate assigned)".into()),
        ("ssl_certificate small.pem; ssl_certificate_key small.key;", "SSL_CTX_use_certificate(\"/small.pem\") failed (SSL: error:0A00018F:SSL routines::ee key too small)".into()),
        ("ssl_certificate locked.pem; ssl_certificate_key locked.key; ssl_password_file wrong.pass;", "cannot load certificate key \"/locked.key\": PEM_read_bio_PrivateKey() failed (SSL: error:1C800064:Provider routines::bad decrypt".into()),
        ("ssl_certificate locked.pem; ssl_certificate_key locked.key;", "cannot load certificate key \"/locked.key\": PEM_read_bio_PrivateKey() failed (SSL: error:".into()),
        ("ssl_password_file nofile;", "open() \"/nofile\" failed (2: No such file or directory)".into()),
        ("ssl_session_ticket_key nofile;", "open() \"/nofile\" failed (2: No such file or directory)".into()),
        ("ssl_password_file .;", "read() \"/.\" failed (21: Is a directory)".into()),
        ("ssl_session_ticket_key .;", "\"/.\" must be 48 or 80 bytes".into()),
        ("ssl_session_ticket_key short.tickets;", "\"/short.tickets\" must be 48 or 80 bytes".into()),
    ] {
        let (ok, told) = test(&prefix, directives);
        assert!(!ok && told.contains(&format!("[emerg] {message}")), "{directives}: {told}");
        assert!(told.contains(" HERE\n"), "{directives}: {told}");
    }
    for (directives, message) in [
        ("ssl_dhparam nofile;", format!("BIO_new_file(\"/nofile\") failed {nofile})")),
        ("ssl_dhparam garbage;", format!("PEM_read_bio_DHparams(\"/garbage\") failed {pem}DH PARAMETERS)")),
        ("ssl_verify_client on; ssl_client_certificate nofile;", format!("SSL_CTX_load_verify_locations(\"/nofile\") failed {nofile} ")),
        ("ssl_verify_client on; ssl_client_certificate garbage;", "SSL_CTX_load_verify_locations(\"/garbage\") failed (SSL: error:05800088:x509 certificate routines::no certificate or crl found)".into()),
        ("ssl_verify_client on; ssl_client_certificate server.pem; ssl_crl nofile;", "X509_LOOKUP_load_file(\"/nofile\") failed (SSL: error:80000002:system library::No such file or directory:".into()),
        ("ssl_verify_client on; ssl_client_certificate server.pem; ssl_crl garbage;", "X509_LOOKUP_load_file(\"/garbage\") failed (SSL: error:".into()),
        ("ssl_crl nofile;", "X509_LOOKUP_load_file(\"/nofile\") failed (SSL: error:80000002:system library::No such file or directory:".into()),
        ("ssl_trusted_certificate nofile;", format!("SSL_CTX_load_verify_locations(\"/nofile\") failed {nofile} ")),
        ("ssl_ciphers nonsense;", "SSL_CTX_set_cipher_list(\"nonsense\") failed (SSL: error:0A0000B9:SSL routines::no cipher match)".into()),
        ("ssl_ecdh_curve bogus;", "SSL_CTX_set1_curves_list(\"bogus\") failed (SSL: error:0A080106:SSL routines::passed invalid argument:group 'bogus' cannot be set)".into()),
    ] {
        let (ok, told) = test(&prefix, &format!("{KEYS} {directives}"));
        assert!(!ok && told.contains(&format!("[emerg] {message}")), "{directives}: {told}");
        assert!(told.contains(" HERE\n"), "{directives}: {told}");
    }
}

#[test]
fn values_that_are_none() {
    let prefix = files();
    for (directives, message) in [
        ("ssl yes;", "invalid value \"yes\" in \"ssl\" directive, it must be \"on\" or \"off\""),
        ("ssl on; ssl off;", "\"ssl\" directive is duplicate"),
        ("ssl_protocols TLSv9;", "invalid value \"TLSv9\""),
        ("ssl_protocols;", "invalid number of arguments in \"ssl_protocols\" directive"),
        (
            "ssl_prefer_server_ciphers 1;",
            "invalid value \"1\" in \"ssl_prefer_server_ciphers\" directive, it must be \"on\" or \"off\"",
        ),
        ("ssl_verify_client maybe;", "invalid value \"maybe\""),
        ("ssl_verify_depth x;", "\"ssl_verify_depth\" directive invalid number"),
        ("ssl_session_cache x;", "invalid session cache \"x\""),
        ("ssl_session_cache builtin:x;", "invalid session cache \"builtin:x\""),
        ("ssl_session_cache shared:a;", "invalid session cache \"shared:a\""),
        ("ssl_session_cache shared::1m;", "invalid session cache \"shared::1m\""),
        ("ssl_session_cache shared:a:b;", "invalid session cache \"shared:a:b\""),
        ("ssl_session_cache shared:a:31k;", "session cache \"shared:a:31k\" is too small"),
        ("ssl_session_timeout 5ms;", "\"ssl_session_timeout\" directive invalid value"),
        (
            "ssl_session_tickets x;",
            "invalid value \"x\" in \"ssl_session_tickets\" directive, it must be \"on\" or \"off\"",
        ),
        ("ssl_certificate;", "invalid number of arguments in \"ssl_certificate\" directive"),
        ("ssl_certificate_key a b;", "invalid number of arguments in \"ssl_certificate_key\" directive"),
    ] {
        let (ok, told) = test(&prefix, directives);
        assert!(!ok && told.contains(&format!("[emerg] {message} HERE")), "{directives}: {told}");
    }
}

#[test]
fn one_zone_has_one_size() {
    let prefix = files();
    let text = Setup::tcp(format!(
        "{OURS} server {{ listen 127.0.0.1:1 ssl; return a; ssl_session_cache shared:a:1m; }}\nserver {{ listen 127.0.0.1:2 ssl; return b; ssl_session_cache shared:a:2m; }}"
    ));
    prefix.write("nginx.conf", text.text());
    let run = prefix.run(&["-t"]);
    let message = "the size 2097152 of shared memory zone \"a\" conflicts with already declared size 1048576 in ";
    assert!(!run.status.success() && run.stderr.contains(message), "{}", run.stderr);
}

#[test]
fn a_reload_with_a_bad_file_changes_nothing() {
    let port = Port::reserve();
    let setup = greeter(&port, "");
    let weir = setup.start_in(files());
    let worker = weir.worker();
    weir.prefix.write("server.key", "garbage");
    weir.signal(Signal::SIGHUP);
    weir.wait_error("cannot load certificate key");
    assert_eq!(read_all(client(&port, |_| {})), b"hi");
    assert_eq!(weir.worker(), worker);
}
