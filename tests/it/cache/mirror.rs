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
