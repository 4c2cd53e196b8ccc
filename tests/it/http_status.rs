//! The page of checked servers, over real checks.

use super::common::backends::{Backend, echo};
use super::http::{Reply, ask_http, get};
use crate::common::*;

/// A page at `/status` about a server that is up and one that is down.
fn page() -> (Weir, Port, [String; 2]) {
    let (port, dead) = (Port::reserve(), Port::reserve());
    let alive = Backend::start(echo);
    let names = [alive.address.to_string(), dead.v4()];
    let prefix = Prefix::new();
    prefix.write(
        "nginx.conf",
        format!(
            "daemon off; error_log error.log debug; pid weir.pid; events {{}}
             tcp {{ access_log off; upstream game {{ server {}; server {}; check interval=100 rise=1 fall=1; }}
                server {{ listen unix:{}; proxy_pass game; }} }}
             http {{ access_log off; server {{ listen {}; location /status {{ tcp_check_status; }} }} }}",
            names[0],
            names[1],
            prefix.text_path("game.sock"),
            port.v4()
        ),
    );
    let weir = Weir::launch(prefix, &[]);
    // The backend serves until the test's process ends.
    std::mem::forget(alive);
    wait_for("both states", || {
        let text = csv(&get(&port, "/status?format=csv"));
        text.iter().map(|line| line[3].as_str()).eq(["up", "down"])
    });
    (weir, port, names)
}

fn csv(reply: &Reply) -> Vec<Vec<String>> {
    reply.text().lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn all_forms_tell_the_same() {
    let (_weir, port, names) = page();
    let html = get(&port, "/status");
    assert_eq!(html.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(html.text().contains("Check upstream server number: 2, shm_name: "), "{}", html.text());
    assert_eq!(html.text().matches("bgcolor=\"#FF0000\"").count(), 1);
    assert!(names.iter().all(|name| html.text().contains(&format!("<td>{name}</td>"))));
    let rows = csv(&get(&port, "/status?format=csv"));
    assert_eq!(rows[0][..5], ["0", "game", &names[0], "up", "0"]);
    assert_eq!(rows[1][..5], ["1", "game", &names[1], "down", "0"]);
    assert_eq!(rows[1][8], "tcp");
    assert_eq!(csv(&get(&port, "/status?format=csv&status=down")).len(), 1);
    let json = get(&port, "/status?format=json&status=up");
    assert_eq!(json.field("content-type"), Some("application/json"));
    assert!(json.text().contains(&format!("\"name\": \"{}\", \"status\": \"up\"", names[0])), "{}", json.text());
    let metrics = get(&port, "/status?format=prometheus");
    let down = format!("weir_upstream_server_up{{upstream=\"game\",name=\"{}\",type=\"tcp\"}} 0\n", names[1]);
    assert!(metrics.text().contains(&down), "{}", metrics.text());
}

#[test]
fn only_get_and_head() {
    let (_weir, port, _) = page();
    let head = ask_http(&port, "HEAD /status HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(ask_http(&port, "POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status, 405);
}

#[test]
fn the_readme_configuration() {
    let readme = include_str!("../../README.md");
    let section = readme.split("## The status page").nth(1).unwrap();
    let text = section.split("```nginx\n").nth(1).unwrap().split("```").next().unwrap();
    let (page, proxy, dead) = (Port::reserve(), Port::reserve(), [Port::reserve(), Port::reserve()]);
    let mut text = format!("daemon off; error_log error.log; pid weir.pid;\n{text}");
    for (shown, own) in
        [("127.0.0.1:7780", &page), ("7777", &proxy), ("127.0.0.1:7771", &dead[0]), ("127.0.0.1:7772", &dead[1])]
    {
        assert!(text.contains(shown), "{shown}");
        text = text.replace(shown, &own.v4());
    }
    let prefix = Prefix::new();
    std::fs::create_dir_all(prefix.join("logs")).unwrap();
    prefix.write("nginx.conf", text);
    prefix.write("html/index.html", "welcome");
    let _weir = Weir::launch(prefix, &[]);
    wait_for("both to be down", || csv(&get(&page, "/status?format=csv&status=down")).len() == 2);
    assert_eq!(get(&page, "/").text(), "welcome");
    assert_eq!(get(&page, "/status/").status, 404);
}
