//! A WebSocket through `Upgrade`, whose client and server are Python's `websockets`.

use super::*;
use crate::websocket::real::{client_is_content, echo_server};

#[test]
fn plain_and_over_tls() {
    let echo = echo_server(&[]);
    let server = format!(
        "location /chat {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Host $http_host;
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }}",
        echo.address
    );
    let map = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }";
    let site = Site::start(map, &server);
    client_is_content(&format!("ws://{}/chat/room", site.plain.v4()));
    client_is_content(&format!("wss://{}/chat/room", site.secure.v4()));
    // Five conversations a client, and as many connections that are only closed.
    let lines = site.weir.wait_access(20);
    assert!(lines.iter().all(|line| line.contains("\"GET /chat/room HTTP/1.1\" 101 ")), "{lines:?}");
    site.assert_no_errors();
}
