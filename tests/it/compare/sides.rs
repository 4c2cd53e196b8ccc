//! The two programs, each in a folder of its own with servers of its own behind it, and what is observed of them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Theme;
use super::behind::Behind;
use super::case::{Begin, Case};
use super::client::{Heard, connect_from, converse, hear_beside};
use super::text;
use crate::common::*;
use crate::tls::certs::{Identity, ec_key};

pub const NGINX: &str = "/usr/sbin/nginx";

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Nginx,
    Weir,
}

/// What a case has come to, by the aspects that are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Status lines, fields, bodies.
    pub answers: Vec<String>,
    /// What became of the connection.
    pub connection: String,
    /// What the server behind was sent.
    pub upstream: Vec<String>,
    /// Lines of the access log, field by field.
    pub access: Vec<String>,
    /// Lines of the error log.
    pub errors: Vec<String>,
}

/// The names that stand for addresses in configurations, requests and scripts, and what they stand for here.
pub struct Site {
    program: Program,
    prefix: Prefix,
    behind: Behind,
    ports: Vec<Port>,
    names: Vec<(&'static str, String)>,
}

/// Addresses of listening sockets, servers behind, and one that refuses.
pub const LISTENS: [&str; 3] = ["{listen}", "{listen2}", "{tls}"];
const UPS: [&str; 3] = ["{up}", "{up2}", "{up3}"];
const SECURE_UPS: [&str; 2] = ["{sup}", "{sup2}"];

/// Who shows a certificate. Configurations find them by these names: `root.pem`, `behind.pem`, `behind.key`...
struct Identities {
    root: Identity,
    /// The first server behind with TLS, `behind.test`, whom `root` vouches for.
    behind: Identity,
    /// The second, whom nobody does.
    stranger: Identity,
    /// The programs that are compared.
    front: Identity,
}

static IDENTITIES: LazyLock<Identities> = LazyLock::new(|| {
    let root = Identity::root("root");
    let issue = |name| root.issue(name, ec_key());
    Identities { behind: issue("behind.test"), front: issue("front.test"), stranger: Identity::alone(), root }
});

/// Ends the program however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        for worker in proc::children(self.0.id() as i32) {
            let _ = kill(Pid::from_raw(worker), Signal::SIGKILL);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    fn new(program: Program) -> Site {
        let ports: Vec<Port> = (0..=LISTENS.len()).map(|_| Port::reserve()).collect();
        let behind = Behind::start(UPS.len(), [&IDENTITIES.behind, &IDENTITIES.stranger]);
        let listens = LISTENS.into_iter().chain(["{closed}"]);
        let mut names: Vec<_> = listens.zip(ports.iter().map(Port::v4)).collect();
        let ups = UPS.into_iter().chain(SECURE_UPS);
        names.extend(ups.zip(behind.addresses().iter().map(SocketAddr::to_string)));
        Site { program, prefix: Prefix::new(), behind, ports, names }
    }

    /// Puts addresses in the place of their names.
    fn fill(&self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        for (name, address) in &self.names {
            text = text::replace(&text, name.as_bytes(), address.as_bytes());
        }
        text::replace(&text, b"{dir}", self.prefix.text_path("").trim_end_matches('/').as_bytes())
    }

    /// The other way round, so that both programs' words are the same.
    fn unfill(&self, text: &str) -> String {
        let mut text = text.replace(self.prefix.text_path("").trim_end_matches('/'), "{dir}");
        for (name, address) in &self.names {
            let port = address.rsplit(':').next().unwrap();
            assert_eq!(port.len(), 5, "ports are of one length, so that texts with them are too");
            text = text::replace_number(&text.replace(address, name), port, &name.replace('{', "{port of "));
        }
        text
    }

    fn start(&self, theme: &Theme) -> Running {
        let Identities { root, behind, stranger, front } = &*IDENTITIES;
        for (name, identity) in [("root", root), ("behind", behind), ("stranger", stranger), ("front", front)] {
            identity.write(&self.prefix, name);
        }
        for (name, content) in &theme.files {
            let path = self.prefix.write(name, content);
            // The same dates on both sides, as fields tell of them.
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
            OpenOptions::new().write(true).open(path).unwrap().set_modified(date).unwrap();
        }
        // Folders of modules that weir does not have.
        let more = ["fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};\n")).concat();
        let more = if self.program == Program::Nginx { more } else { String::new() };
        let config = format!(
            "daemon off;\nworker_processes 1;\nerror_log error.log info;\npid server.pid;\nevents {{}}\nhttp {{\n{more}\
             client_body_temp_path body;\nproxy_temp_path proxy;\nlog_format fields '{}';\naccess_log access.log fields;\n{}\n}}\n",
            text::LOG_FORMAT,
            String::from_utf8(self.fill(theme.config.as_bytes())).unwrap(),
        );
        self.prefix.write("nginx.conf", config);
        let mut command = match self.program {
            Program::Weir => self.prefix.command(&[]),
            Program::Nginx => {
                let mut command = Command::new(NGINX);
                let output = File::create(self.prefix.join("stderr")).unwrap();
                command.args([
                    "-p",
                    &self.prefix.text_path(""),
                    "-c",
                    &self.prefix.text_path("nginx.conf"),
                    "-e",
                    "error.log",
                ]);
                command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
                command
            }
        };
        let mut running = Running(command.spawn().unwrap());
        wait_for(&format!("{:?} to serve", self.program), || {
            let ended = running.0.try_wait().unwrap();
            assert!(ended.is_none(), "{:?} ended: {}", self.program, self.prefix.read("stderr"));
            let master = self.prefix.pid("server.pid");
            master.is_some() && std::net::TcpStream::connect(self.ports[0].v4()).is_ok()
        });
        running
    }

    /// Sends all requests, ends the program, and puts together what is known.
    pub fn observe(program: Program, theme: &Theme) -> Vec<Observed> {
        let site = Site::new(program);
        let mut running = site.start(theme);
        let mut all: Vec<(Heard, Vec<String>)> = Vec::new();
        for (number, case) in theme.cases.iter().enumerate() {
            site.wait_to_begin(case.begin);
            let fill = |text: &String| String::from_utf8(site.fill(text.as_bytes())).unwrap();
            site.behind.begin(case.script.iter().map(fill).collect());
            let pieces: Vec<_> = case.pieces.iter().map(|piece| site.fill(piece)).collect();
            let address = |port: usize| site.ports[port].v4().parse().unwrap();
            let beside = case.beside.as_ref().map(|request| {
                let mut stream = connect_from(address(0), client(number));
                stream.write_all(&site.fill(request)).unwrap();
                site.behind.wait_for_request();
                stream
            });
            let mut heard = converse(address(case.to), client(number), case, &pieces);
            let stays = beside.filter(|_| case.stays);
            site.behind.client_is_served();
            if case.asked_later {
                site.behind.wait_for_request();
            }
            let seen = site.behind.finish();
            if let Some(stream) = stays {
                hear_beside(stream, &mut heard);
            }
            all.push((heard, seen));
        }
        let _ = kill(Pid::from_raw(running.0.id() as i32), Signal::SIGQUIT);
        wait_for(&format!("{program:?} to end"), || running.0.try_wait().unwrap().is_some());
        let access = site.prefix.lines("access.log");
        let errors = site.prefix.lines("error.log");
        let put_together = |(number, (heard, upstream)): (usize, (Heard, Vec<String>))| {
            site.put_together(&client(number).to_string(), &theme.cases[number], heard, upstream, &access, &errors)
        };
        all.into_iter().enumerate().map(put_together).collect()
    }

    fn wait_to_begin(&self, begin: Begin) {
        let seconds = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let ended = seconds();
        match begin {
            Begin::AtOnce => {}
            // The second itself counts.
            Begin::Aged => wait_for("the time", || seconds() > ended + 1),
            Begin::Empty(folder) => wait_for("the folder to be empty", || {
                let mut entries = std::fs::read_dir(self.prefix.join(folder)).unwrap();
                entries.next().is_none()
            }),
        }
    }

    fn put_together(
        &self,
        client: &str,
        case: &Case,
        heard: Heard,
        upstream: Vec<String>,
        access: &[String],
        errors: &[String],
    ) -> Observed {
        let unfill = |text: String| self.unfill(&text.replace(client, "{client}"));
        let mine = |line: &&String| line.starts_with(&format!("{client};"));
        let access: Vec<&String> = access.iter().filter(mine).collect();
        let mut lines: Vec<String> = access.iter().map(|line| unfill(text::access_line(line))).collect();
        if case.pieces.len() > 1 {
            // A program that is late finds the next piece there already.
            lines.iter_mut().for_each(|line| *line = line.replace("pipe=p", "pipe=."));
        }
        lines.push(text::bytes_sent(&access, &heard));
        let about = format!("client: {client},");
        let errors = errors.iter().filter(|line| line.contains(&about)).filter_map(|line| text::error_line(line));
        let rest = String::from_utf8_lossy(&heard.rest);
        let last = rest.split("\r\n").next().unwrap_or_default();
        Observed {
            answers: heard.answers.iter().map(|answer| unfill(text::answer(answer, self.program))).collect(),
            connection: format!("{} {last}", heard.end),
            upstream: upstream.into_iter().map(unfill).collect(),
            access: lines,
            errors: errors.map(unfill).collect(),
        }
    }
}

/// The address of a case's client, by which logs tell of it.
fn client(number: usize) -> Ipv4Addr {
    let [high, low] = (number as u16 + 1).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}
