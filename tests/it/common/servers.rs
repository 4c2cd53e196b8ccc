//! Servers of others, from Debian's packages: each with a configuration, a folder and a port of its own.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Group, Pid, Uid, User, getgid, getuid};
use tempfile::TempDir;

use super::ports::Port;
use super::running::{tell_end, usual_umask};
use super::wait::{wait_for, wait_some};

/// A server that runs in the foreground until it is dropped.
pub struct Server {
    child: Child,
    dir: TempDir,
    ports: Vec<Port>,
}

/// Whether the account that runs this has a name, without which Exim and Dovecot do not start; says so where it has not.
pub fn has_account() -> bool {
    let has = User::from_uid(getuid()).unwrap().is_some() && Group::from_gid(getgid()).unwrap().is_some();
    if !has {
        eprintln!("this account has no name");
    }
    has
}

/// Who the server's processes run as: they want a user that is not root, if there is a choice.
fn user_and_group() -> (String, String) {
    if Uid::current().is_root() {
        return ("nobody".into(), "nogroup".into());
    }
    let user = User::from_uid(getuid()).unwrap().map_or_else(|| getuid().to_string(), |user| user.name);
    let group = Group::from_gid(getgid()).unwrap().map_or_else(|| getgid().to_string(), |group| group.name);
    (user, group)
}

impl Server {
    /// Starts `program` in a folder that `prepare` has filled, given the folder's path and the ports.
    fn start(ports: usize, prepare: impl FnOnce(&str, &[Port]) -> (&'static str, Vec<String>)) -> Server {
        usual_umask();
        let dir = tempfile::Builder::new().prefix("weir-server-").tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        let ports: Vec<Port> = (0..ports).map(|_| Port::reserve()).collect();
        let (program, arguments) = prepare(dir.path().to_str().unwrap(), &ports);
        let output = File::create(dir.path().join("output")).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Server { child, dir, ports }
    }

    /// The text of a file in its folder; empty when there is none.
    fn told(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// Where it serves; the first port unless it has several.
    pub fn address(&self, port: usize) -> String {
        self.ports[port].v4()
    }

    /// nginx's `http {}` with these lines; `{0}`, `{1}` in them are its addresses. It serves when this returns.
    pub fn nginx(addresses: usize, http: &str) -> Server {
        let mut server = Server::start(addresses, |dir, ports| {
            let http = ports.iter().enumerate().fold(http.to_owned(), |text, (n, port)| {
                text.replace(&format!("{{{n}}}"), &port.v4()).replace("{dir}", dir)
            });
            if http.contains("ssl") {
                certificate(dir);
            }
            let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path {dir}/{name};\n"))
                .concat();
            let text = format!(
                "daemon off;\nworker_processes 1;\nerror_log {dir}/error.log;\npid {dir}/pid;\nevents {{}}\nhttp {{\naccess_log {dir}/access.log;\n{paths}{http}\n}}\n"
            );
            fs::write(format!("{dir}/nginx.conf"), text).unwrap();
            ("/usr/sbin/nginx", vec!["-p".into(), dir.into(), "-c".into(), format!("{dir}/nginx.conf")])
        });
        // It writes its pid when it listens to all of them.
        wait_for("nginx to serve", || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "nginx has ended: {}", server.told("output"));
            server.told("pid").ends_with('\n')
        });
        server
    }

    /// MariaDB without tables: enough to greet.
    pub fn mariadb() -> Server {
        Server::start(1, |dir, ports| {
            let arguments = format!(
                "--no-defaults --user={} --datadir={dir} --socket={dir}/socket --port={} --bind-address=127.0.0.1 --skip-grant-tables --skip-networking=0 --pid-file={dir}/pid --loose-skip-innodb --default-storage-engine=MyISAM",
                user_and_group().0,
                ports[0].number
            );
            ("/usr/sbin/mariadbd", arguments.split(' ').map(str::to_owned).collect())
        })
    }

    /// Exim, which takes no mail.
    pub fn exim() -> Server {
        Server::start(1, |dir, ports| {
            let (user, group) = user_and_group();
            let text = format!(
                "primary_hostname = localhost\nspool_directory = {dir}/spool\nlog_file_path = {dir}/%slog\npid_file_path = {dir}/pid\ndaemon_smtp_ports = {}\nlocal_interfaces = 127.0.0.1\nexim_user = {user}\nexim_group = {group}\ntls_advertise_hosts =\nkeep_environment =\n",
                ports[0].number
            );
            let path = format!("{dir}/exim.conf");
            fs::write(&path, text).unwrap();
            ("/usr/sbin/exim4", vec!["-bdf".into(), "-C".into(), path])
        })
    }

    /// Dovecot: IMAP on the first port, POP3 on the second.
    pub fn dovecot() -> Server {
        Server::start(2, |dir, ports| {
            let (user, group) = user_and_group();
            let login = |name: &str, port: &Port| {
                format!(
                    "service {name}-login {{\n chroot =\n inet_listener {name} {{\n  port = {}\n }}\n inet_listener {name}s {{\n  port = 0\n }}\n}}\n",
                    port.number
                )
            };
            let text = format!(
                "base_dir = {dir}/run\nstate_dir = {dir}/run\nlog_path = {dir}/log\nprotocols = imap pop3\nlisten = 127.0.0.1\nssl = no\ndefault_login_user = {user}\ndefault_internal_user = {user}\ndefault_internal_group = {group}\nservice anvil {{\n chroot =\n}}\n{}{}passdb {{\n driver = static\n args = password=x\n}}\nuserdb {{\n driver = static\n args = uid={user} gid={group} home={dir}\n}}\n",
                login("imap", &ports[0]),
                login("pop3", &ports[1])
            );
            let path = format!("{dir}/dovecot.conf");
            fs::write(&path, text).unwrap();
            ("/usr/sbin/dovecot", vec!["-F".into(), "-c".into(), path])
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // TERM, so that servers of many processes end all of them.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        if std::thread::panicking() {
            for name in ["output", "log", "error.log", "mainlog", "paniclog"] {
                tell_end(&self.dir.path().join(name));
            }
            let _ = self.child.kill();
        }
        wait_some("the server to end", || self.child.try_wait().unwrap());
    }
}

/// A key and a certificate of its own: `key.pem` and `cert.pem` in the folder.
fn certificate(dir: &str) {
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(' '))
        .args(["-keyout", &format!("{dir}/key.pem"), "-out", &format!("{dir}/cert.pem")])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
}
