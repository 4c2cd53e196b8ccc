//! Who is compared, and how each is started and stopped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::configuration::{self, Service};
use crate::workload::Bench;
use crate::{Result, cleanup, cpu, splice_loop};

/// How long a contender may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// The file for what a contender writes to the terminal.
const OUTPUT: &str = "output";

/// Which program, and with what setting.
#[derive(Clone, PartialEq)]
pub enum Kind {
    Weir(PathBuf),
    Nginx,
    Haproxy,
    /// HAProxy with `option splice-request` and `splice-response`. With `splice-auto` HAProxy 2.6 copies a long transfer all the same,
    /// as strace shows.
    HaproxySplice,
    /// The bare loop of `splice(2)`: the floor, not a peer.
    SpliceLoop,
}

/// One row of a table.
#[derive(Clone)]
pub struct Contender {
    pub name: String,
    pub kind: Kind,
}

impl Contender {
    pub fn is_weir(&self) -> bool {
        matches!(self.kind, Kind::Weir(_))
    }

    /// Whether weir is held against it.
    pub fn is_peer(&self) -> bool {
        matches!(self.kind, Kind::Nginx | Kind::Haproxy | Kind::HaproxySplice)
    }

    /// Whether it can be used as a proxy for more than transfers.
    pub fn is_proxy(&self) -> bool {
        self.kind != Kind::SpliceLoop
    }

    /// Starts it with that service on the proxies' core and waits until it listens.
    pub fn start(&self, bench: &Bench, service: &Service) -> Result<Running> {
        let folder = tempfile::Builder::new().prefix("contender-").tempdir_in(bench.folder.path())?;
        // Workers run as another user than root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let port = Port::reserve()?;
        let listen = port.address();

        let file = folder.path().join("conf");
        let arguments: Vec<PathBuf> = match &self.kind {
            Kind::Weir(program) => {
                fs::write(&file, configuration::weir(service, listen, folder.path()))?;
                vec![
                    program.clone(),
                    "-p".into(),
                    folder.path().into(),
                    "-e".into(),
                    folder.path().join("error.log"),
                    "-c".into(),
                    file,
                ]
            }
            Kind::Nginx => {
                fs::write(&file, configuration::nginx(service, listen, folder.path()))?;
                vec!["/usr/sbin/nginx".into(), "-e".into(), folder.path().join("error.log"), "-c".into(), file]
            }
            Kind::Haproxy | Kind::HaproxySplice => {
                fs::write(&file, configuration::haproxy(service, listen, self.kind == Kind::HaproxySplice))?;
                vec!["/usr/sbin/haproxy".into(), "-db".into(), "-f".into(), file]
            }
            Kind::SpliceLoop => {
                let arguments = [splice_loop::ARGUMENT.into(), listen.to_string(), service.backends[0].to_string()];
                std::iter::once(std::env::current_exe()?).chain(arguments.map(PathBuf::from)).collect()
            }
        };

        let file = File::create(folder.path().join(OUTPUT))?;
        // Its end is ours too, however this process ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "--cpu-list", &bench.cores.proxy.to_string()])
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        cleanup::started(child.id());
        let mut running = Running { listen, child, folder, _port: port };
        running
            .wait_until_it_listens()
            .map_err(|error| format!("{} did not start: {error}\n{}", self.name, running.logs()))?;
        Ok(running)
    }
}

/// Whether a contender is of interest where nothing can be spliced.
pub fn without_splicing(contender: &Contender) -> bool {
    matches!(contender.kind, Kind::Weir(_) | Kind::Nginx | Kind::Haproxy)
}

/// A contender that listens; dropping it ends its processes.
pub struct Running {
    pub listen: SocketAddr,
    child: Child,
    folder: TempDir,
    _port: Port,
}

impl Running {
    /// CPU time of all its processes so far.
    pub fn cpu_time(&self) -> Result<Duration> {
        cpu::time(self.child.id())
    }

    /// Private memory of all its processes, in bytes.
    pub fn private_memory(&self) -> Result<u64> {
        cpu::private_memory(self.child.id())
    }

    /// The process whose title has these words.
    pub fn process(&self, title: &str) -> Result<Option<cpu::Process>> {
        cpu::process(self.child.id(), title)
    }

    /// Waits without connecting, which would be a session.
    fn wait_until_it_listens(&mut self) -> Result<()> {
        let start = Instant::now();
        // Beside a socket that listens no other can be bound, beside one that does not, any with `SO_REUSEADDR`.
        while bound(self.listen).is_ok() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended with {status}").into());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("it does not listen on {}", self.listen).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What it has said so far.
    pub fn logs(&self) -> String {
        [OUTPUT, "error.log"]
            .iter()
            .map(|log| fs::read_to_string(self.folder.path().join(log)).unwrap_or_default())
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        cleanup::end(self.child.id());
        let _ = self.child.wait();
    }
}

/// A port that the kernel gives to nobody else meanwhile: a socket bound to it that never listens, beside which those with `SO_REUSEADDR`
/// may bind the same.
pub struct Port(Socket);

impl Port {
    pub fn reserve() -> Result<Port> {
        Ok(Port(bound((Ipv4Addr::UNSPECIFIED, 0).into())?))
    }

    pub fn number(&self) -> u16 {
        self.0.local_addr().ok().and_then(|address| address.as_socket()).map_or(0, |address| address.port())
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number()))
    }
}

/// A socket with `SO_REUSEADDR` bound to an address.
fn bound(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
