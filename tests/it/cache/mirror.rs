//! `proxy_store`.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

#[test]
fn answers_become_files() {
    let (backend, seen) = origin(|_, request| match request.contains(" /none ") {
        true => "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nnone".into(),
        false => ok("Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n", "stored"),
    });
    let (weir, port) = serve(|port| {
        format!(
            "server {{ listen {}; root www; client_body_temp_path www; \
             location / {{ try_files $uri @fetch; }} \
             location @fetch {{ proxy_pass http://{server}; proxy_store on; proxy_store_access user:rw group:rw all:r; }} \
             location /named/ {{ proxy_pass http://{server}; proxy_store www/x$uri.txt; }} }}",
            port.v4(),
            server = backend.address
        )
    });
    let ask = |path: &str| ask(&port, "GET", path, "").text().to_owned();
    assert_eq!([ask("/a/b"), ask("/a/b")], ["stored", "stored"]);
    assert_eq!([ask("/none"), ask("/none")], ["none", "none"]);
    assert_eq!(count(&seen), 3);
    assert_eq!(weir.prefix.read("www/a/b"), "stored");
    let metadata = std::fs::metadata(weir.prefix.join("www/a/b")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o664);
    assert_eq!(metadata.modified().unwrap(), UNIX_EPOCH + Duration::from_secs(1_577_836_800));
    assert!(!weir.prefix.join("www/none").exists());
    assert_eq!(ask("/named/c"), "stored");
    assert_eq!(weir.prefix.read("www/x/named/c.txt"), "stored");
}

#[test]
fn only_whole_answers_become_files() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let backend = Backend::start(move |mut stream| {
        let Some(request) = read_request(&mut stream) else { return };
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n";
        let answer = match request.split(' ').nth(1).unwrap() {
            "/cut" => format!("{length}half"),
            "/chunks" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n".into(),
            "/head" => length.into(),
            "/slow" => {
                let _ = stream.write_all(format!("{length}half").as_bytes());
                let _ = wait.lock().unwrap().recv();
                "rest".into()
            }
            _ => "HTTP/1.1 200 OK\r\n\r\nwhole".into(),
        };
        let _ = stream.write_all(answer.as_bytes());
    });
    let (weir, port) = serve(|port| {
        format!(
            "server {{ listen {}; root www; client_body_temp_path www; proxy_http_version 1.1; proxy_store on; \
             location / {{ proxy_pass http://{}; }} }}",
            port.v4(),
            backend.address
        )
    });
    for path in ["/cut", "/chunks"] {
        let mut stream = connect(port.v4());
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        assert!(!read_all(&mut stream).is_empty());
    }
    assert_eq!(ask(&port, "HEAD", "/head", "").status, 200);
    let names = || {
        let mut names: Vec<_> =
            std::fs::read_dir(weir.prefix.join("www")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert!(names().is_empty(), "{:?}", names());
    // Its client leaves in the middle of it.
    let mut stream = connect(port.v4());
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::io::Read::read_exact(&mut stream, &mut [0; 12]).unwrap();
    drop(stream);
    release.send(()).unwrap();
    wait_for("the file", || names().len() == 1);
    assert_eq!(weir.prefix.read("www/slow"), "halfrest");
    assert_eq!(ask(&port, "GET", "/close", "").status, 200);
    wait_for("the other", || names().len() == 2);
    assert_eq!(weir.prefix.read("www/close"), "whole");
}
