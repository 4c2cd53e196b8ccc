//! What workers may do, and who may look into them.

use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::super::common::clients::fetch;
use super::super::common::proc;
use super::super::common::running::{Run, binary, copy_program, send};
use super::*;

const SETS: [&str; 4] = ["CapInh", "CapPrm", "CapEff", "CapAmb"];
/// CAP_SETPCAP, without which the bounding set stays.
const MAY_BOUND: u64 = 1 << 8;

fn has_nothing(worker: i32) {
    wait_for("the worker to be bound", || proc::no_new_privileges(worker));
    for set in SETS {
        assert_eq!(proc::capabilities(worker, set), 0, "{set}");
    }
    if proc::capabilities(std::process::id() as i32, "CapEff") & MAY_BOUND != 0 {
        assert_eq!(proc::capabilities(worker, "CapBnd"), 0);
    }
}

#[test]
fn workers_have_no_capabilities() {
    let port = Port::reserve();
    let setup = says(&port).main("user nobody nogroup;");
    let weir = setup.start();
    let first = weir.worker();
    assert_eq!(fetch(port.v4()), "a");
    has_nothing(first);
    // Those that replace it are no different.
    send(first, Signal::SIGKILL);
    let second = wait_some("another worker", || weir.workers().into_iter().find(|&pid| pid != first));
    assert_eq!(fetch(port.v4()), "a");
    has_nothing(second);
    weir.reload(&setup);
    assert_eq!(fetch(port.v4()), "a");
    has_nothing(weir.worker());
    if nix::unistd::geteuid().is_root() {
        assert_eq!(proc::uid(weir.worker()), nobody());
        let group = nix::unistd::Group::from_name("nogroup").unwrap().unwrap().gid.as_raw();
        assert!(proc::groups(weir.worker()).iter().all(|&of_worker| of_worker == group));
    }
    // Nor does a worker get what the master keeps.
    let own = std::process::id() as i32;
    assert_eq!(proc::capabilities(weir.master(), "CapEff"), proc::capabilities(own, "CapEff"));
}

#[test]
fn workers_that_are_to_be_root_are_root() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let weir = says(&port).main("user root;").start();
    assert_eq!(fetch(port.v4()), "a");
    let worker = weir.worker();
    wait_for("the worker to be bound", || proc::no_new_privileges(worker));
    assert_eq!(proc::uid(worker), 0);
    assert_eq!(proc::capabilities(worker, "CapEff"), proc::capabilities(weir.master(), "CapEff"));
}

#[test]
fn the_only_user_of_a_namespace_may_be_root() {
    // A container of an ordinary user has one account, and groups cannot be set there.
    let in_namespace = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", program]);
        command
    };
    if !in_namespace("true").output().is_ok_and(|output| output.status.success()) {
        eprintln!("this needs namespaces");
        return;
    }
    let port = Port::reserve();
    let prefix = Prefix::new();
    prefix.write("nginx.conf", says(&port).main("user root;").text());
    let given = prefix.command(&[]);
    let mut command = in_namespace(given.get_program().to_str().unwrap());
    command.args(given.get_args()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let weir = Weir { child: Some(command.spawn().unwrap()), prefix };
    weir.wait_error("initgroups(root, 0) failed (1: Operation not permitted)");
    assert_eq!(fetch(port.v4()), "a");
}

/// A copy of the binary that `nobody` can execute, in a folder that belongs to `nobody`.
fn for_nobody(setup: &Setup) -> Prefix {
    let prefix = Prefix::new();
    copy_program(binary(), &prefix.join("weir"));
    prefix.write("nginx.conf", setup.text());
    for path in [prefix.join(""), prefix.join("logs"), prefix.join("nginx.conf")] {
        give_away(&path);
    }
    prefix
}

/// Starts the binary in it as `nobody`.
fn start_as_nobody(prefix: Prefix, options: &[&str]) -> Weir {
    let mut command = as_nobody(options, &prefix.join("weir"));
    command.args(["-p", prefix.join("").to_str().unwrap(), "-c", &prefix.text_path("nginx.conf"), "-e", "error.log"]);
    command.current_dir(prefix.join("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let weir = Weir { child: Some(child), prefix };
    wait_for("the pid file", || weir.prefix.pid("weir.pid").is_some());
    weir.wait_workers(1);
    weir
}

#[test]
fn capabilities_of_an_ordinary_user_stay_with_the_master() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let bind = ["--inh-caps", "-all,+net_bind_service", "--ambient-caps", "+net_bind_service"];
    let weir = start_as_nobody(for_nobody(&says(&port)), &bind);
    const NET_BIND_SERVICE: u64 = 1 << 10;
    assert_eq!(proc::capabilities(weir.master(), "CapEff"), NET_BIND_SERVICE);
    assert_eq!(fetch(port.v4()), "a");
    let worker = weir.worker();
    wait_for("the worker to be bound", || proc::no_new_privileges(worker));
    for set in SETS {
        assert_eq!(proc::capabilities(worker, set), 0, "{set}");
    }
}

#[test]
fn an_ordinary_user_needs_no_rights() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let setup = says(&port);
    let weir = start_as_nobody(for_nobody(&setup), &[]);
    assert_eq!(fetch(port.v4()), "a");
    weir.reload(&setup);
    assert_eq!(fetch(port.v4()), "a");
    // Its own user can still order it about.
    let mut stop = as_nobody(&[], &weir.prefix.join("weir"));
    let prefix = weir.prefix.join("");
    let stop = stop.args(["-p", prefix.to_str().unwrap(), "-c", &weir.prefix.text_path("nginx.conf"), "-s", "stop"]);
    let master = weir.master();
    let output = stop.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for("the master to end", || !proc::alive(master));
    assert!(!weir.error_log().contains("[alert]"), "{}", weir.error_log());
}

#[test]
fn memory_is_closed_to_the_same_user() {
    if !is_root() {
        return;
    }
    let port = Port::reserve();
    let weir = start_as_nobody(for_nobody(&says(&port)), &[]);
    assert_eq!(fetch(port.v4()), "a");
    for pid in [weir.master(), weir.worker()] {
        for file in ["mem", "environ", "maps"] {
            let path = format!("/proc/{pid}/{file}");
            assert_eq!(std::fs::metadata(&path).unwrap().uid(), 0, "{path}");
            let output = as_nobody(&[], "head".as_ref()).args(["-c", "1", &path]).output().unwrap();
            assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
        }
    }
}

/// What the master says of a worker that has died of a fault, where no limit is in the way of a core.
fn end_of_a_worker(main: &str) -> (Weir, String) {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
    setrlimit(Resource::RLIMIT_CORE, hard, hard).unwrap();
    let port = Port::reserve();
    let prefix = Prefix::new();
    give_away(&prefix.join("logs"));
    let weir = says(&port).main(format!("user nobody nogroup; working_directory logs; {main}")).start_in(prefix);
    assert_eq!(fetch(port.v4()), "a");
    let worker = weir.worker();
    send(worker, Signal::SIGABRT);
    let line = weir.wait_error(&format!("worker process {worker} exited on signal 6"));
    (weir, line)
}

/// The owners of the cores there are.
fn cores(weir: &Weir) -> Vec<u32> {
    let files = std::fs::read_dir(weir.prefix.join("logs")).unwrap().flatten();
    let cores = files.filter(|file| file.file_name().to_str().unwrap().starts_with("core"));
    cores.map(|core| core.metadata().unwrap().uid()).collect()
}

#[test]
fn workers_leave_no_cores() {
    if !is_root() {
        return;
    }
    let (weir, line) = end_of_a_worker("");
    assert!(!line.contains("core"), "{line}");
    assert_eq!(cores(&weir), []);
}

#[test]
fn cores_are_written_when_they_are_asked_for() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let hard = getrlimit(Resource::RLIMIT_CORE).unwrap().1;
    if !is_root() || pattern.starts_with(['|', '/']) || hard == 0 {
        return;
    }
    let (weir, line) = end_of_a_worker("worker_rlimit_core 200m;");
    assert!(line.contains("(core dumped)"), "{line}");
    assert_eq!(cores(&weir), [nobody()]);
    let Run { stderr, status, .. } = weir.prefix.run(&["-t"]);
    assert!(
        status.success() && stderr.contains("\"worker_rlimit_core\" allows core files, which hold the keys"),
        "{stderr}"
    );
}
