//! Applications of others behind `http {}`, and clients of others before it.

mod asgi;
mod browser;
mod git;
mod large;
mod websocket;

use std::process::Command;

use crate::common::*;
use crate::http::config;
use crate::tls::certs::Identity;

/// A weir with a plain and a TLS address, and this inside of its `http {}` and its server.
struct Site {
    weir: Weir,
    plain: Port,
    secure: Port,
}

impl Site {
    fn start(http: &str, server: &str) -> Site {
        Site::start_in(Prefix::new(), http, server)
    }

    fn start_in(prefix: Prefix, http: &str, server: &str) -> Site {
        let (plain, secure) = (Port::reserve(), Port::reserve());
        Identity::alone().write(&prefix, "server");
        let text = format!(
            "{http}\nserver {{ listen {}; listen {} ssl; ssl_certificate server.pem; ssl_certificate_key server.key; {server} }}",
            plain.v4(),
            secure.v4()
        );
        prefix.write("nginx.conf", config(&text).replace("error.log debug", "error.log info"));
        let weir = Weir::launch(prefix, &[]);
        weir.wait_workers(1);
        Site { weir, plain, secure }
    }

    /// The URLs of a path, plain and over TLS.
    fn urls(&self, path: &str) -> [String; 2] {
        [format!("http://{}{path}", self.plain.v4()), format!("https://{}{path}", self.secure.v4())]
    }

    /// Whatever went wrong would be told at these levels.
    #[track_caller]
    fn assert_no_errors(&self) {
        let log = self.weir.error_log();
        let told = log.lines().find(|line| ["[alert]", "[crit]", "[error]"].iter().any(|level| line.contains(level)));
        assert_eq!(told, None);
    }
}

/// curl, silent but for errors, which takes any certificate.
fn curl(arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["-q", "-sSk", "--noproxy", "*", "--max-time", "600"]).args(arguments);
    command
}

/// What a program printed, which has to end well.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
