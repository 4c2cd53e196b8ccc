//! Clients that speak TLS.

use super::*;
use crate::http::serve_in;
use crate::http_tls;
use crate::tls::{OURS, folder};

#[test]
fn what_is_asked_on_the_side_tells_of_the_client_too() {
    let (backend, seen) = origin(|number, _| match number {
        0 => ok("Cache-Control: max-age=1, stale-while-revalidate=60\r\n", "first"),
        _ => ok("Cache-Control: max-age=60\r\n", "second"),
    });
    let tells = "$scheme|$ssl_protocol|$ssl_cipher|$ssl_server_name|$ssl_session_reused|$ssl_curves|$ssl_client_verify|$ssl_alpn_protocol";
    let (_weir, port) = serve_in(folder(), |port| {
        format!(
            "proxy_cache_path cache keys_zone=zone:1m;
             server {{ listen {} ssl; {OURS} add_header X-Cache $upstream_cache_status; location / {{ proxy_pass http://{};
                 proxy_cache zone; proxy_cache_background_update on; proxy_set_header X-Tls \"{tells}\"; }} }}",
            port.v4(),
            backend.address
        )
    });
    let get = || {
        let mut stream = http_tls::asking(&port, Some("localhost"), |_| {}).unwrap();
        let reply = http_tls::ask(&mut stream, "/", "a");
        (state(&reply).to_owned(), reply.text().to_owned())
    };
    assert_eq!(get(), ("MISS".into(), "first".into()));
    wait_for("the update", || get() == ("HIT".into(), "second".into()));
    let seen = seen.lock().unwrap();
    let told = |request: &String| request.lines().find_map(|line| line.strip_prefix("X-Tls: ")).unwrap().to_owned();
    assert_eq!(seen.len(), 2);
    let first = told(&seen[0]);
    assert!(
        first.starts_with("https|TLSv1.") && first.contains("|localhost|.|") && first.contains("|NONE|"),
        "{first}"
    );
    assert_eq!(told(&seen[1]), first);
}
