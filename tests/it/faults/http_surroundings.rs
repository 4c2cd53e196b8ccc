//! What requests rely on goes away while they are served, and comes back: name servers, the folders of logs and of temporary files.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use super::http_resources::post;
use super::{Plan, answering};
use crate::common::clients::{connect_narrow, noise};
use crate::common::dns::Dns;
use crate::common::*;
use crate::http::{ask_http, get, read_reply, serve_in};

#[test]
fn name_servers() {
    let server = answering(backends::close);
    let dns = Dns::with(&["127.0.0.1"]);
    let number = server.address.port();
    let text = format!("location / {{ proxy_pass http://$arg_h.test:{number}/named; }}");
    let (weir, port) = serve_in(Prefix::new(), |port| {
        format!(
            "resolver {} valid=1s ipv6=off; resolver_timeout 200ms; upstream u {{ server group.test:{number} resolve; }}
             server {{ listen {}; {text} location /group {{ proxy_pass http://u; }} }}",
            dns.address,
            port.v4()
        )
    });
    let worker = weir.worker();
    wait_for("the group's address", || get(&port, "/group").status == 200);
    let named = || get(&port, "/?h=a").status;
    assert_eq!(named(), 200);
    let address = dns.address;
    drop(dns);
    // What was known is good for its time; then a request has no server, and the group keeps its own.
    wait_for("the address to be forgotten", || named() == 502);
    let line = weir.wait_error("a.test could not be resolved (");
    assert!(line.contains(" [error] ") && line.contains(", request: \"GET /?h=a HTTP/1.1\""), "{line}");
    weir.wait_error("group.test could not be resolved (");
    assert_eq!((get(&port, "/group").text(), named()), ("/group", 502));
    let _back = Dns::again(address, |query| vec![query.addresses(&["127.0.0.1"])]);
    wait_for("the name to be known again", || named() == 200);
    assert_eq!(get(&port, "/group").text(), "/group");
    assert_eq!(weir.worker(), worker);
}

#[test]
fn the_folder_of_logs() {
    let prefix = Prefix::new();
    let make = |prefix: &Prefix| {
        fs::create_dir(prefix.join("away")).unwrap();
        fs::set_permissions(prefix.join("away"), PermissionsExt::from_mode(0o777)).unwrap();
    };
    make(&prefix);
    let (weir, port) = serve_in(prefix, |port| {
        format!(
            "server {{ listen {}; error_log away/server.log info; access_log away/access.log; access_log away/$arg_n.log;
             location / {{ return 200 ok; }} location /missing {{ root html; }} }}",
            port.v4()
        )
    });
    let worker = weir.worker();
    let mut kept = connect(port.v4());
    let mut serves = || {
        kept.write_all(b"GET /?n=one HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(read_reply(&mut kept, false).text(), "ok");
        assert_eq!((get(&port, "/?n=other").text(), get(&port, "/missing").status), ("ok", 404));
    };
    serves();
    fs::remove_dir_all(weir.prefix.join("away")).unwrap();
    serves();
    weir.signal(Signal::SIGUSR1);
    for name in ["access.log", "server.log"] {
        let path = weir.prefix.text_path(&format!("away/{name}"));
        let line = weir.wait_error(&format!("open() \"{path}\" failed (2: No such file or directory)"));
        assert!(line.contains(" [emerg] "), "{line}");
    }
    serves();
    make(&weir.prefix);
    weir.signal(Signal::SIGUSR1);
    wait_for("lines again", || {
        serves();
        ["access.log", "server.log"].iter().all(|name| !weir.prefix.read(&format!("away/{name}")).is_empty())
    });
    assert_eq!(weir.worker(), worker);
}

#[test]
fn the_folders_of_temporary_files() {
    const LARGE: usize = 8_000_000;
    let server = answering(|mut stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        let _ = stream.write_all(&noise(LARGE));
    });
    let text = "client_body_temp_path gone/bodies; proxy_temp_path gone/answers;
        location / { proxy_pass http://u; client_body_buffer_size 1k; }";
    let prefix = Prefix::new();
    fs::create_dir(prefix.join("gone")).unwrap();
    fs::set_permissions(prefix.join("gone"), PermissionsExt::from_mode(0o755)).unwrap();
    let bench = Plan::http(&format!("server {} max_fails=0;", server.address), text).start_in(prefix);
    let (weir, port) = (&bench.weir, &bench.plan.port);
    let worker = weir.worker();
    assert_eq!(ask_http(port, &post("/body", 20_000)).text(), "/body");
    for folder in ["bodies", "answers"] {
        fs::remove_dir_all(weir.prefix.join(&format!("gone/{folder}"))).unwrap();
    }
    assert_eq!(ask_http(port, &post("/body", 20_000)).status, 500);
    let mut slow = connect_narrow(port.v4().parse().unwrap());
    slow.write_all(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut slow, true).status, 200);
    for (folder, action) in [("bodies", "reading client request body"), ("answers", "reading upstream")] {
        let path = weir.prefix.text_path(&format!("gone/{folder}"));
        let line =
            weir.wait_error(&format!("open() \"{path}\" failed (2: No such file or directory) while {action}, "));
        assert!(line.contains(" [crit] "), "{line}");
    }
    let mut bytes = Vec::new();
    let _ = slow.read_to_end(&mut bytes);
    assert!(bytes.len() < LARGE);
    // What needs none of them is served, and the next configuration makes them anew.
    assert_eq!((ask_http(port, &post("/small", 100)).text(), get(port, "/on").text()), ("/small", "/on"));
    assert_eq!(weir.worker(), worker);
    weir.signal(Signal::SIGHUP);
    wait_for("bodies to be taken again", || ask_http(port, &post("/body", 20_000)).status == 200);
    bench.assert_serves();
}
