//! Owners and modes of what weir makes, beside nginx.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use super::super::common::running::binary;
use super::super::tls::certs::Identity;
use super::*;

/// Owner, group and mode of the files that a server has made, by their names.
type Files = BTreeMap<&'static str, (u32, u32, u32)>;

const NAMES: [&str; 4] = ["logs/access.log", "logs/error.log", "server.pid", "socket"];

fn files(prefix: &Prefix) -> Files {
    let of = |name: &'static str| {
        let metadata = fs::metadata(prefix.join(name)).unwrap();
        assert_eq!(metadata.file_type().is_socket(), name == "socket");
        (name, (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777))
    };
    NAMES.map(of).into()
}

/// What `program` makes under `umask`, and what these are after USR1.
fn made_by(program: &Path, umask: &str, daemon: &str) -> (Files, Files) {
    let prefix = Prefix::new();
    let paths: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};\n")).concat();
    let paths = if program == binary() { String::new() } else { paths };
    let text = format!(
        "user nobody nogroup; daemon {daemon}; pid server.pid; error_log logs/error.log info; events {{}}\n\
         http {{ access_log logs/access.log; {paths} server {{ listen unix:{}; return 200 a; }} }}",
        prefix.text_path("socket")
    );
    prefix.write("nginx.conf", text);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh", program.to_str().unwrap()]);
    command.args([
        "-p",
        prefix.join("").to_str().unwrap(),
        "-c",
        &prefix.text_path("nginx.conf"),
        "-e",
        "logs/error.log",
    ]);
    let mut child = command.current_dir(prefix.join("")).spawn().unwrap();
    let master = wait_some("the pid file", || prefix.pid("server.pid"));
    wait_for("the worker", || super::super::common::proc::children(master).len() == 1);
    let before = files(&prefix);
    super::super::common::running::send(master, Signal::SIGUSR1);
    wait_for("the logs to be the worker's", || fs::metadata(prefix.join("logs/access.log")).unwrap().uid() == nobody());
    let after = files(&prefix);
    super::super::common::running::send(master, Signal::SIGTERM);
    wait_for("it to end", || !super::super::common::proc::alive(master));
    wait_some("the process started here to end", || child.try_wait().unwrap());
    assert!(!prefix.join("server.pid").exists() && !prefix.join("socket").exists());
    (before, after)
}

#[test]
fn owners_and_modes_are_those_of_nginx() {
    let nginx = Path::new("/usr/sbin/nginx");
    if !nginx.exists() || !is_root() {
        return;
    }
    for umask in ["022", "077"] {
        for daemon in ["on", "off"] {
            assert_eq!(
                made_by(binary(), umask, daemon),
                made_by(nginx, umask, daemon),
                "umask {umask}, daemon {daemon}"
            );
        }
    }
}

#[test]
fn keys_are_read_by_root_alone() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let prefix = Prefix::new();
    Identity::alone().write(&prefix, "keys/server");
    for (name, mode) in [("keys/server.key", 0o600), ("keys/server.pem", 0o600), ("keys", 0o700)] {
        fs::set_permissions(prefix.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let tls = "ssl_certificate keys/server.pem; ssl_certificate_key keys/server.key;";
    let setup =
        Setup::tcp(format!("server {{ listen {} ssl; return a; {tls} }}", port.v4())).main("user nobody nogroup;");
    let weir = setup.start_in(prefix);
    let answer = || {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-quiet", "-ign_eof", "-connect", &port.v4()]).stdin(std::process::Stdio::null());
        String::from_utf8_lossy(&client.output().unwrap().stdout).into_owned()
    };
    assert_eq!(answer(), "a");
    weir.reload(&setup);
    assert_eq!(answer(), "a");
    assert!(!weir.error_log().contains("[emerg]"));
}
