//! A configuration as it circulates: written for the old module, with its remarks and blanks, only the ports exchanged.

use super::common::clients::{exchange, noise};
use crate::common::*;

const TCP: &str = r#"
tcp {
timeout 10s; #会话超时时间
proxy_read_timeout 10s;#会话读超时时间
proxy_send_timeout 10s; #会话写超时时间
upstream proxy_name {
# # simple round-robin
server localhost:1935;#需要代理的端口#代理服务配置,最终落地的服务器
#check interval=3000 rise=2 fall=5 timeout=3000;
#check interval=3000 rise=2 fall=5timeout=1000
#check interval=3000 rise=2 fall=5timeout=1000
#check_http_send "GET /HTTP/1.0\r\n\r\n";
#check_http_expect_alive http_2xxhttp_3xx;
}
server {
listen 8085; #代理8888端口
proxy_pass proxy_name;#对应上面的 upstream
}
}
"#;

#[test]
fn it_runs_unchanged() {
    let backend = Backend::start(backends::echo);
    let port = Port::reserve();
    let tcp = TCP
        .replace("localhost:1935", &format!("localhost:{}", backend.address.port()))
        .replace("listen 8085", &format!("listen {}", port.number));
    let prefix = Prefix::new();
    prefix.write("nginx.conf", format!("daemon off;\npid weir.pid;\nevents {{\n}}\n{tcp}"));
    let weir = Weir::launch(prefix, &[]);
    let bytes = noise(10 << 20);
    assert!(exchange(connect(port.v4()), &bytes) == bytes);
    wait_for("the access log", || weir.prefix.lines("logs/tcp_access.log").len() == 1);
    assert_eq!(weir.prefix.read("stderr"), "");
}

#[test]
fn with_its_own_remarks_it_is_refused_with_a_hint() {
    let prefix = Prefix::new();
    let original = TCP.replace("timeout 10s; #会话超时时间", "timeout 10s; //会话超时时间");
    prefix.write("nginx.conf", format!("events {{\n}}{original}"));
    let run = prefix.run(&["-t"]);
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stderr.contains(r#"unknown directive "//"#) && run.stderr.contains('#'), "{}", run.stderr);
}
