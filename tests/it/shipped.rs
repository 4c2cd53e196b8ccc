//! The configurations that come with weir.

use std::path::Path;

use super::common::clients::fetch;
use crate::common::*;

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)).unwrap()
}

#[test]
fn the_demonstration() {
    let (server, proxy) = (Port::reserve(), Port::reserve());
    let prefix = Prefix::new();
    let text = shipped("demo.conf");
    assert!(text.contains("127.0.0.1:1935") && text.contains("8085;"), "the ports this test replaces");
    let text = text.replace("127.0.0.1:1935", &server.v4()).replace("8085;", &format!("{};", proxy.number));
    prefix.write("conf/demo.conf", text.replace("demo.pid", "weir.pid"));
    let folder = prefix.join("").to_str().unwrap().to_string();
    let child = prefix.bare_command(&["-p", &folder, "-c", "conf/demo.conf"]).spawn().unwrap();
    wait_for("the pid file", || prefix.pid("weir.pid").is_some());
    let weir = Weir { child: Some(child), prefix };
    let answer = fetch(proxy.v4());
    assert!(answer.starts_with("weir on ") && answer.ends_with('\n'), "{answer:?}");
    wait_for("the log on stderr", || weir.prefix.read("stderr").contains("[notice]"));
}

#[test]
fn a_starting_point() {
    let prefix = Prefix::new();
    for name in ["nginx.conf", "tcp_proxy.conf"] {
        prefix.write(&format!("conf/{name}"), shipped(name));
    }
    let folder = prefix.join("").to_str().unwrap().to_string();
    let run = prefix.finish(prefix.bare_command(&["-p", &folder, "-t"]));
    assert!(run.status.success(), "{}", run.stderr);
    // What is there to be used by taking away a `#` is right, too.
    let opened: String = shipped("nginx.conf")
        .lines()
        .map(|line| match line.trim_start().strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    prefix.write("conf/nginx.conf", opened.replace("user             nobody;", "user nobody nogroup;"));
    let run = prefix.finish(prefix.bare_command(&["-p", &folder, "-t"]));
    assert!(run.status.success(), "{}", run.stderr);
}
