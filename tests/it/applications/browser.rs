//! A page in Chromium.

use std::fs;
use std::process::Stdio;

use super::*;

/// Of each kind.
const RESOURCES: usize = 25;

/// The DOM of a page after it has loaded; `None` where there is no Chromium that starts.
fn dom(prefix: &Prefix, url: &str) -> Option<String> {
    let mut command = Command::new("timeout");
    command
        .args(["90", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--ignore-certificate-errors", "--no-proxy-server", "--disable-background-networking"])
        .args(["--disable-component-update", "--no-first-run", "--disable-sync", "--dump-dom"])
        .arg(format!("--user-data-dir={}", prefix.text_path("chromium")))
        .arg(url)
        .env("HOME", prefix.join(""))
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success());
    if output.is_none() {
        eprintln!("skipped: chromium is not there or does not start");
    }
    Some(String::from_utf8(output?.stdout).unwrap())
}

#[test]
fn a_page_with_fifty_resources() {
    let prefix = Prefix::new();
    // Has it begun to work at all? A page of its own says so, so that a missing answer of weir's is no reason to skip.
    fs::write(prefix.join("probe.html"), "<p>well</p>").unwrap();
    if dom(&prefix, &format!("file://{}", prefix.text_path("probe.html"))).is_none() {
        return;
    }
    let scripts = |folder: &str| -> String {
        (0..RESOURCES).map(|number| format!("<script async src=/{folder}/{number}.js></script>\n")).collect()
    };
    let page = format!(
        "<!doctype html><title>page</title><p id=p></p><script>window.got = [];
         onload = () => document.getElementById('p').textContent = 'got ' + got.sort().join(' ');</script>\n{}{}",
        scripts("files"),
        scripts("passed")
    );
    prefix.write("html/index.html", page);
    let backend = Server::nginx(
        1,
        "server { listen {0}; location / { default_type text/javascript; return 200 'got.push(\"passed\");/*$uri*/'; } }",
    );
    for number in 0..RESOURCES {
        // Some are larger than what one write takes.
        let filler = "x".repeat(number * 20_000);
        prefix.write(&format!("html/files/{number}.js"), format!("got.push('file'); /* {filler} */"));
    }
    let server = format!(
        "access_log access.log f; root html; location /passed/ {{ proxy_pass http://{}; }}",
        backend.address(0)
    );
    let http = "types { text/html html; text/javascript js; } log_format f '$status $connection $uri';";
    let site = Site::start_in(prefix, http, &server);
    for (round, url) in site.urls("/").iter().enumerate() {
        let dom = dom(&site.weir.prefix, url).expect("the page");
        let expected = ["file"; RESOURCES].join(" ") + " " + &["passed"; RESOURCES].join(" ");
        assert!(dom.contains(&format!("<p id=\"p\">got {expected}</p>")), "{dom}");
        // The icon that it asks for beside them is not there.
        let lines: Vec<String> = site
            .weir
            .wait_access((round + 1) * (1 + 2 * RESOURCES))
            .into_iter()
            .filter(|line| !line.ends_with("/favicon.ico"))
            .collect();
        assert!(lines.iter().all(|line| line.starts_with("200 ")), "{lines:?}");
        // Over few connections.
        let connections: std::collections::HashSet<&str> =
            lines.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert!(connections.len() <= 12 * (round + 1), "{connections:?}");
    }
}
