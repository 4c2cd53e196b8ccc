//! The configurations that come with weir.

use std::path::Path;

use super::common::clients::fetch;
use super::http::get;
use crate::common::*;

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)).unwrap()
}

/// A configuration that comes with weir, in the foreground, with ports of its own in the place of these.
fn demonstrated(name: &str, ports: &[(&str, String)]) -> Weir {
    let prefix = Prefix::new();
    let mut text = shipped(name).replace("demo.pid", "weir.pid").replace("http.pid", "weir.pid");
    for (port, own) in ports {
        assert!(text.contains(port), "the ports this test replaces");
        text = text.replace(port, own);
    }
    prefix.write(&format!("conf/{name}"), text);
    prefix.write("conf/mime.types", shipped("mime.types"));
    let folder = prefix.join("").to_str().unwrap().to_string();
    let child = prefix.bare_command(&["-p", &folder, "-c", &format!("conf/{name}")]).spawn().unwrap();
    wait_for("the pid file", || prefix.pid("weir.pid").is_some());
    Weir { child: Some(child), prefix }
}

#[test]
fn the_demonstration() {
    let (server, proxy) = (Port::reserve(), Port::reserve());
    let ports = [("127.0.0.1:1935", server.v4()), ("8085;", format!("{};", proxy.number))];
    let weir = demonstrated("demo.conf", &ports);
    let answer = fetch(proxy.v4());
    assert!(answer.starts_with("weir on ") && answer.ends_with('\n'), "{answer:?}");
    wait_for("the log on stderr", || weir.prefix.read("stderr").contains("[notice]"));
}

#[test]
fn the_demonstration_of_http() {
    let (first, second, proxy) = (Port::reserve(), Port::reserve(), Port::reserve());
    let ports =
        [("127.0.0.1:1936", first.v4()), ("127.0.0.1:1937", second.v4()), ("8080;", format!("{};", proxy.number))];
    let weir = demonstrated("http.conf", &ports);
    weir.prefix.write("docs/a.txt", "a file");
    let ask = |target: &str| get(&proxy, target);
    let mut answers = [ask("/"), ask("/")].map(|answer| answer.text().to_owned());
    answers.sort();
    assert_eq!(answers[0], "the first application: GET / for a, client 127.0.0.1\n");
    assert_eq!(answers[1], "the second application: GET / for a, client 127.0.0.1\n");
    assert!(ask("/user/ann").text().contains("application: GET /profile?of=ann for"));
    assert_eq!(ask("/old").status, 301);
    assert_eq!(ask("/docs/a.txt").text(), "a file");
    let kept = [ask("/kept/a"), ask("/kept/a")];
    assert_eq!(kept.each_ref().map(|answer| answer.field("X-Cache")), [Some("MISS"), Some("HIT")]);
    assert_eq!(kept[0].text(), kept[1].text());
    assert_eq!([ask("/kept/a?purge=1").status, ask("/kept/a?purge=1").status], [204, 404]);
    // The second one answers 503, the first one is asked then.
    for _ in 0..2 {
        assert!(ask("/broken").text().starts_with("the first application: GET /broken"));
    }
    let log = || weir.prefix.read("http_access.log");
    wait_for("the access log", || log().contains(&format!("to {}, {}: 503, 200 in 0.", second.v4(), first.v4())));
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
