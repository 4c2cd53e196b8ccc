//! git over HTTP, with git-http-backend behind weir.

use std::fs;
use std::path::Path;

use super::*;
use crate::common::clients::noise;

/// git in a folder, without a configuration of whoever runs the test.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    // A hook that runs the tests is told of a repository of its own.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .args(["-c", "http.sslVerify=false", "-c", "user.name=a", "-c", "user.email=a@example.com"])
        .args(["-c", "safe.directory=*", "-c", "init.defaultBranch=main", "-c", "gc.auto=0"])
        // What is larger goes in chunks.
        .args(["-c", "http.postBuffer=200000"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("no_proxy", "*");
    output(&mut command)
}

#[test]
fn clone_push_and_fetch() {
    let prefix = Prefix::new();
    for name in ["served", "mine"] {
        fs::create_dir(prefix.join(name)).unwrap();
    }
    let (served, mine) = (prefix.join("served"), prefix.join("mine"));
    git(&served, &["init", "-q", "--bare", "all.git"]);
    git(&served.join("all.git"), &["config", "http.receivepack", "true"]);
    let backend = Script::start("applications/git.py", &[served.to_str().unwrap()]);
    let server = format!(
        "access_log access.log f; client_max_body_size 0; proxy_http_version 1.1;
         location / {{ proxy_pass http://{0}; }}
         location /direct/ {{ proxy_pass http://{0}/; proxy_request_buffering off; proxy_buffering off; }}",
        backend.address
    );
    let format = "log_format f '$status $request_method $uri [$http_transfer_encoding] [$http_content_encoding]';";
    let site = Site::start_in(prefix, format, &server);

    for (number, url) in [site.urls("/all.git"), site.urls("/direct/all.git")].concat().iter().enumerate() {
        // A commit that is larger than one request's buffer, and branches enough for a long list of wishes.
        let name = format!("clone{number}");
        git(&mine, &["clone", "-q", url, &name]);
        let clone = mine.join(&name);
        let content = noise(300_000 + number);
        fs::write(clone.join(format!("file{number}")), &content).unwrap();
        git(&clone, &["add", "."]);
        git(&clone, &["commit", "-q", "-m", &name]);
        git(&clone, &["push", "-q", "origin", "HEAD"]);
        for branch in 0..30 {
            git(&clone, &["commit", "-q", "--allow-empty", "-m", &format!("{number} {branch}")]);
            git(&clone, &["branch", &format!("b{number}-{branch}")]);
        }
        git(&clone, &["push", "-q", "--all", "origin"]);
        let again = format!("again{number}");
        // The older protocol asks in one request, compressed.
        git(&mine, &["-c", "protocol.version=0", "clone", "-q", url, &again]);
        assert!(fs::read(mine.join(again).join(format!("file{number}"))).unwrap() == content);
        git(&clone, &["fetch", "-q"]);
    }
    git(&served.join("all.git"), &["fsck", "--strict"]);

    let lines = site.weir.prefix.lines("access.log");
    assert!(lines.iter().all(|line| line.starts_with("200 ")), "{lines:?}");
    for part in ["[chunked] [-]", "[-] [gzip]", "git-receive-pack", "git-upload-pack", "/direct/"] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:#?}");
    }
    site.assert_no_errors();
}
