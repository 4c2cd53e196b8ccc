//! What is accepted and what is refused by `-t`.

use super::*;

/// Tries a `tcp {}` block with `-t`: whether it is accepted, and what is said, with the file's path cut out.
fn test(tcp: &str) -> (bool, String) {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", format!("pid weir.pid; events {{}}\ntcp {{\n{tcp}\n}}\n"));
    let run = prefix.run(&["-t"]);
    (run.status.success(), run.stderr.replace(&prefix.text_path("nginx.conf"), "FILE"))
}

const SERVER: &str = "server {\nlisten unix:weir.sock;";

#[test]
fn accepted() {
    let both = [
        "websocket_pass 127.0.0.1;",
        "websocket_pass /a 127.0.0.1:1;\nwebsocket_pass /b ws://127.0.0.1;\nwebsocket_pass wss://127.0.0.1;",
        "websocket_pass / ws://[::1]:80;",
        "websocket_pass wss://[::1];",
        "websocket_pass ws://unix:/tmp/a.sock;",
        "websocket_pass wss://unix:/tmp/a.sock;",
        "websocket_pass WSS://g;",
        "websocket_pass g;\nwebsocket_pass /a wss://g;",
        "websocket_pass g; websocket_buffer 4k;",
        "websocket_pass g; websocket_connect_timeout 1s;",
        "websocket_pass g; websocket_read_timeout 500ms;",
        "websocket_pass g; websocket_send_timeout 1d;",
    ];
    for said in both {
        for tcp in [
            format!("upstream g {{ server 127.0.0.1; }}\n{SERVER}\nprotocol tcp_websocket;\n{said}\n}}"),
            format!("{said}\n{SERVER}\nprotocol tcp_websocket;\n}}\nupstream g {{ server 127.0.0.1; }}"),
            // Of no meaning for the other protocol.
            format!("{said}\n{SERVER}\nproxy_pass 127.0.0.1;\n}}\nupstream g {{ server 127.0.0.1; }}"),
        ] {
            let (ok, told) = test(&tcp);
            assert!(ok && !told.contains("[warn]"), "{tcp}: {told}");
        }
    }
    let inherited = format!("proxy_pass 127.0.0.1;\n{SERVER}\nwebsocket_pass 127.0.0.1;\nprotocol tcp_websocket;\n}}");
    assert!(test(&inherited).0);
    let names = format!("{SERVER} return a; server_name ~odd; server_names * a.*.b;\n}}");
    assert!(test(&names).0, "names of the other protocol are not looked at");
}

#[test]
fn refused() {
    let websocket = format!("{SERVER} protocol tcp_websocket;\n");
    for (tcp, message, line) in [
        (
            format!("{websocket}\nproxy_pass 127.0.0.1;\n}}"),
            r#""proxy_pass" directive the protocol should be tcp_generic"#,
            6,
        ),
        (
            format!("{SERVER}\nproxy_pass 127.0.0.1;\nprotocol tcp_websocket;\n}}"),
            r#""proxy_pass" directive the protocol should be tcp_generic"#,
            5,
        ),
        (
            format!("{SERVER}\nwebsocket_pass 127.0.0.1;\n}}"),
            r#""websocket_pass" directive the protocol should be tcp_websocket"#,
            5,
        ),
        (
            format!("{SERVER}\nprotocol tcp_generic; websocket_pass /a 127.0.0.1;\n}}"),
            r#""websocket_pass" directive the protocol should be tcp_websocket"#,
            5,
        ),
        (
            format!("{websocket}websocket_pass 127.0.0.1;\nwebsocket_pass ws://127.0.0.1:2;\n}}"),
            r#""websocket_pass" directive is duplicate"#,
            6,
        ),
        (
            format!(
                "{websocket}websocket_pass /a 127.0.0.1;\nwebsocket_pass 127.0.0.1;\nwebsocket_pass /a 127.0.0.1;\n}}"
            ),
            r#""websocket_pass" directive is duplicate"#,
            7,
        ),
        (
            "websocket_pass 127.0.0.1;\nwebsocket_pass 127.0.0.2;".to_owned(),
            r#""websocket_pass" directive is duplicate"#,
            4,
        ),
        (format!("{websocket}websocket_pass ws://:80;\n}}"), r#"no host in upstream ":80""#, 5),
        (format!("{websocket}websocket_pass wss://;\n}}"), r#"no host in upstream """#, 5),
        (
            format!("{websocket}websocket_pass ws://127.0.0.1:80/;\n}}"),
            r#"invalid host in upstream "127.0.0.1:80/""#,
            5,
        ),
        ("websocket_pass nohost.invalid;".to_owned(), r#"host not found in upstream "nohost.invalid""#, 3),
        (
            format!("{websocket}websocket_pass wss://g:443;\n}}\nupstream g {{ server 127.0.0.1; }}"),
            r#"upstream "g" may not have port 443"#,
            5,
        ),
        (format!("{websocket}server_name *a;\nreturn a;\n}}"), r#"server name "*a" is invalid"#, 5),
        (
            format!("{websocket}server_names a\n~b;\nreturn a;\n}}"),
            r#"the regular expression "~b" in "server_name" is not offered by weir yet"#,
            6,
        ),
        (format!("{websocket}websocket_buffer 0;\n}}"), r#""websocket_buffer" directive invalid value"#, 5),
        (format!("{websocket}websocket_read_timeout x;\n}}"), r#""websocket_read_timeout" directive invalid value"#, 5),
        (
            format!("{websocket}websocket_send_timeout 1s;\nwebsocket_send_timeout 1s;\n}}"),
            r#""websocket_send_timeout" directive is duplicate"#,
            6,
        ),
    ] {
        let (ok, told) = test(&tcp);
        let wanted = format!("[emerg] {message} in FILE:{line}\n");
        assert!(!ok && told.contains(&wanted), "{tcp}\nwanted {wanted}got    {told}");
    }
}

#[test]
fn warned_of() {
    let websocket = format!("{SERVER} protocol tcp_websocket;\n");
    for (tcp, message) in [
        (
            format!("proxy_pass 127.0.0.1;\n{websocket}}}"),
            r#"no "websocket_pass" or "return" is defined for server in FILE:6"#,
        ),
        (
            format!("{websocket}websocket_pass chat 127.0.0.1;\n}}"),
            r#""chat" is never the first segment of a path in FILE:5"#,
        ),
        (
            format!("{websocket}websocket_pass /chat/room 127.0.0.1;\n}}"),
            r#""/chat/room" is never the first segment of a path in FILE:5"#,
        ),
        (
            format!("{websocket}return a; server_name a;\n}}\n{websocket}return b; server_name A;\n}}"),
            r#"conflicting server name "A" on unix:weir.sock, ignored"#,
        ),
    ] {
        let (ok, told) = test(&tcp);
        assert!(ok && told.contains(&format!("[warn] {message}\n")), "{tcp}: {told}");
    }
}

#[test]
fn passes_of_a_server_replace_those_above() {
    let (a, b) = (backend("a"), backend("b"));
    let [inheriting, own, generic] = [(); 3].map(|()| Port::reserve());
    let tcp = [
        format!("websocket_pass /x {}; websocket_pass {}; websocket_read_timeout 200ms;\n", b.address, a.address),
        format!("proxy_pass {}; server_name inherited;\n", b.address),
        server(&inheriting, ""),
        server(&own, &format!("websocket_pass {}; websocket_read_timeout 1m; proxy_read_timeout 1ms;", a.address)),
        format!("server {{ listen {}; }}\n", generic.v4()),
    ];
    let weir = Setup::tcp(tcp.concat()).start();
    let stream = connect(inheriting.v4());
    assert_eq!(reached(&stream, request("/x", "h").as_bytes()), "b");
    assert!(is_closed(stream));
    weir.wait_error("upstream timed out (110: Connection timed out) while proxying");
    assert_eq!(goes_to(&inheriting, "/", "h"), "a");
    assert_eq!(goes_to(&own, "/x", "h"), "a");
    assert_eq!(reached(connect(generic.v4()), b"no head"), "b");
}
