//! A configuration that names what is no file of text.

use std::fs::File;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

/// What `-t` says about a configuration that includes `path`.
fn including(prefix: &Prefix, path: &str) -> (bool, String) {
    prefix.write("nginx.conf", format!("pid weir.pid; error_log error.log; events {{}} include {path};"));
    let run = prefix.run(&["-t"]);
    (run.status.success(), run.stderr)
}

#[test]
fn neither_wait_nor_fill_the_memory() {
    let prefix = Prefix::new();
    mkfifo(&prefix.join("fifo"), Mode::S_IRWXU).unwrap();
    File::create(prefix.join("huge")).unwrap().set_len(1 << 40).unwrap();
    for (name, reason) in [("fifo", "29: Illegal seek"), ("huge", "27: File too large"), ("logs", "21: Is a directory")]
    {
        let (accepted, stderr) = including(&prefix, name);
        let expected = format!("[emerg] pread() \"{}\" failed ({reason})", prefix.text_path(name));
        assert!(!accepted && stderr.contains(&expected), "{stderr}");
    }
    for device in ["/dev/null", "/dev/zero"] {
        let (accepted, stderr) = including(&prefix, device);
        assert!(accepted, "{device}: {stderr}");
    }
    std::fs::remove_file(prefix.join("nginx.conf")).unwrap();
    std::fs::rename(prefix.join("fifo"), prefix.join("nginx.conf")).unwrap();
    let run = prefix.run(&["-t"]);
    assert!(!run.status.success() && run.stderr.contains("failed (29: Illegal seek)"), "{}", run.stderr);
}

#[test]
fn certificates_neither() {
    let prefix = Prefix::new();
    super::super::tls::certs::Identity::alone().write(&prefix, "server");
    mkfifo(&prefix.join("fifo"), Mode::S_IRWXU).unwrap();
    for file in ["fifo", "/dev/zero"] {
        for (tls, fault) in [
            ("ssl_certificate FILE; ssl_certificate_key server.key;", "cannot load certificate \""),
            ("ssl_certificate server.pem; ssl_certificate_key FILE;", "cannot load certificate key \""),
            ("OURS ssl_verify_client on; ssl_client_certificate FILE;", "SSL_CTX_load_verify_locations(\""),
            ("OURS ssl_verify_client on; ssl_client_certificate server.pem; ssl_crl FILE;", "X509_LOOKUP_load_file(\""),
            ("OURS ssl_dhparam FILE;", "[emerg]"),
            ("OURS ssl_session_ticket_key FILE;", "[emerg]"),
        ] {
            let tls = tls.replace("OURS", "ssl_certificate server.pem; ssl_certificate_key server.key;");
            let server = format!("server {{ listen 127.0.0.1:1 ssl; return a; {} }}", tls.replace("FILE", file));
            prefix.write("nginx.conf", Setup::tcp(server).text());
            let run = prefix.run(&["-t"]);
            assert!(!run.status.success() && run.stderr.contains(fault), "{tls}: {}", run.stderr);
        }
    }
}
