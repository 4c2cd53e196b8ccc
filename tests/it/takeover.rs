//! weir in the place of an nginx that runs, without a gap, and nginx in its place again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::common::clients::{connect_narrow, noise, try_connect};
use super::common::proc;
use super::common::running::{binary, copy_program, send};
use super::common::wait::StopOnDrop;
use super::http::read_reply;
use super::proxy::read_head;
use crate::common::*;

const NGINX: &str = "/usr/sbin/nginx";
const CLIENTS: usize = 4;
const WORKERS: usize = 2;

/// More than the kernel holds for a slow reader.
const LARGE: usize = 16 << 20;

/// One request on a connection of its own, while refusal is an answer.
fn request(address: &str) -> io::Result<String> {
    let mut stream = try_connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let whole = answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nserved");
    if whole { Ok(server_of(&answer)) } else { Err(io::Error::other(format!("{answer:?}"))) }
}

/// `nginx` or `weir`, as the head tells.
fn server_of(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("Server: ")).unwrap_or_default();
    line.split('/').next().unwrap().to_owned()
}

/// What clients that ask without pause have met.
#[derive(Default)]
struct Clients {
    answers: Mutex<BTreeMap<String, usize>>,
    faults: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Clients {
    fn run(&self, address: &str) {
        while !self.over.load(Ordering::SeqCst) {
            match request(address) {
                Ok(server) => *self.answers.lock().unwrap().entry(server).or_default() += 1,
                Err(error) => self.faults.lock().unwrap().push(error.to_string()),
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until each of these has answered some more.
    #[track_caller]
    fn wait_for(&self, servers: &[&str]) {
        let count = |server: &&str| self.answers.lock().unwrap().get(*server).copied().unwrap_or(0);
        let before: Vec<usize> = servers.iter().map(count).collect();
        wait_for(&format!("answers of {servers:?}"), || {
            servers.iter().map(count).zip(&before).all(|(now, before)| now >= before + 20)
        });
    }
}

/// A folder with a program in it, and the address it serves.
struct Site {
    prefix: Prefix,
    address: String,
}

impl Site {
    /// Puts another program in the place of the one that was started, in one step.
    fn install(&self, program: &Path) {
        copy_program(program, &self.prefix.join("next"));
        fs::rename(self.prefix.join("next"), self.prefix.join("server")).unwrap();
    }

    fn master(&self) -> Option<i32> {
        self.prefix.pid("server.pid")
    }

    /// USR2 to the master, whose program has been replaced: its successor, with all workers.
    fn succeed(&self) -> (i32, i32) {
        let old = self.master().unwrap();
        send(old, Signal::SIGUSR2);
        let new = wait_some("the new master", || self.master().filter(|&pid| pid != old));
        assert_eq!(self.prefix.pid("server.pid.oldbin"), Some(old));
        wait_for("its workers", || proc::children(new).len() == WORKERS);
        (old, new)
    }

    /// A download that waits for its reader; the first word of its head has been read.
    fn download(&self) -> TcpStream {
        let mut stream = connect_narrow(self.address.parse().unwrap());
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut start = [0; 4];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP");
        stream
    }

    /// One server takes over from the other: both serve, the old one retires, and a download that it began goes on to its end.
    fn replace(&self, clients: &Clients, program: &Path, [from, to]: [&str; 2]) {
        clients.wait_for(&[from]);
        let mut download = self.download();
        self.install(program);
        let (old, new) = self.succeed();
        clients.wait_for(&[from, to]);
        send(old, Signal::SIGQUIT);
        // The worker with the download stays.
        wait_for("the old workers to retire", || proc::children(old).iter().filter(|&&pid| pid != new).count() == 1);
        clients.wait_for(&[to]);
        let reply = read_reply(&mut download, false);
        assert!(reply.status == 200 && reply.body == noise(LARGE), "{}, {} bytes", reply.status, reply.body.len());
        wait_for("the old master to leave", || !proc::alive(old));
        clients.wait_for(&[to]);
        assert_eq!(self.master(), Some(new));
        assert!(!self.prefix.join("server.pid.oldbin").exists());
    }
}

fn nginx_to_weir_and_back(parameters: &str) {
    if !Path::new(NGINX).exists() || !nix::unistd::geteuid().is_root() {
        eprintln!("this needs {NGINX} and root");
        return;
    }
    let port = Port::reserve();
    let site = Site { prefix: Prefix::new(), address: port.v4() };
    site.prefix.write("html/large", noise(LARGE));
    let backend = Backend::start(|mut stream: TcpStream| {
        read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nserved");
    });
    // One configuration, which both understand.
    let text = format!(
        "worker_processes {WORKERS}; pid server.pid; error_log error.log notice; events {{ worker_connections 1024; }}
         http {{ access_log access.log; sendfile on; server {{ listen {} {parameters};
             location / {{ proxy_pass http://{}; }} location /large {{ root html; }} }} }}",
        port.v4(),
        backend.address
    );
    site.prefix.write("nginx.conf", text);
    site.install(Path::new(NGINX));
    let mut command = Command::new(site.prefix.join("server"));
    command.current_dir(site.prefix.join("")).args(["-p", &site.prefix.text_path("")]);
    command.args(["-c", &site.prefix.text_path("nginx.conf"), "-e", "error.log"]);
    assert!(command.status().unwrap().success());
    wait_for("the pid file", || site.master().is_some());
    let clients = Clients::default();
    thread::scope(|scope| {
        let _stop = StopOnDrop(&clients.over);
        for _ in 0..CLIENTS {
            scope.spawn(|| clients.run(&site.address));
        }
        site.replace(&clients, binary(), ["nginx", "weir"]);
        site.replace(&clients, Path::new(NGINX), ["weir", "nginx"]);
        // Forward, and back without a third binary: the old master's workers come again.
        site.install(binary());
        let (nginx, weir) = site.succeed();
        send(nginx, Signal::SIGWINCH);
        wait_for("nginx's workers to retire", || proc::children(nginx) == [weir]);
        clients.wait_for(&["weir"]);
        send(nginx, Signal::SIGHUP);
        wait_for("nginx's workers to come back", || proc::children(nginx).len() == WORKERS + 1);
        send(weir, Signal::SIGQUIT);
        wait_for("weir to leave", || !proc::alive(weir));
        clients.wait_for(&["nginx"]);
        wait_for("the pid file to be nginx's again", || site.master() == Some(nginx));
    });
    let answers = clients.answers.into_inner().unwrap();
    let faults = clients.faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{answers:?}: {faults:?}");
    // Both log in the same form: a line for each request, those for downloads among them.
    let count = answers.values().sum::<usize>() + 2;
    wait_for("the access log", || site.prefix.lines("access.log").len() == count);
    for line in site.prefix.lines("error.log") {
        assert!(line.contains("[notice]"), "{line}");
    }
}

#[test]
fn with_sockets_that_all_workers_share() {
    nginx_to_weir_and_back("");
}

#[test]
fn with_a_socket_for_each_worker() {
    nginx_to_weir_and_back("reuseport");
}
