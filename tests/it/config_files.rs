//! The language: includes, quoting, encodings. `return` shows what was read.

use super::common::clients::fetch;
use crate::common::*;

/// Starts weir on `text`, with `@` standing for the address of a port, and returns what the server there says.
fn says(prefix: Prefix, text: &str) -> String {
    let port = Port::reserve();
    prefix.write("nginx.conf", text.replace('@', &port.v4()));
    let weir = Weir::launch(prefix, &[]);
    let answer = fetch(port.v4());
    drop(weir);
    answer
}

const HEAD: &str = "daemon off; pid weir.pid; error_log error.log info; events {}\n";

fn returned(argument: &str) -> String {
    says(Prefix::new(), &format!("{HEAD}tcp {{ server {{ listen @; return {argument}; }} }}"))
}

#[test]
fn quotes_and_escapes() {
    assert_eq!(returned("plain"), "plain");
    assert_eq!(returned(r#""double quoted; { } # word""#), "double quoted; { } # word");
    assert_eq!(returned("'single \"quoted\" word'"), "single \"quoted\" word");
    assert_eq!(returned(r#""it's""#), "it's");
    assert_eq!(returned(r#""a\"b""#), "a\"b");
    assert_eq!(returned(r"'a\'b'"), "a'b");
    assert_eq!(returned(r#""a\\b""#), r"a\b");
    assert_eq!(returned(r#""a\tb\r\nc""#), "a\tb\r\nc");
    // Another escape keeps its backslash.
    assert_eq!(returned(r#""a\d""#), r"a\d");
    assert_eq!(returned(r"a\;b"), r"a\;b");
    assert_eq!(returned(r"a\ b"), r"a\ b");
    assert_eq!(returned("a#b"), "a#b");
    assert_eq!(returned("a\"b"), "a\"b");
    assert_eq!(returned("\"two\nlines\""), "two\nlines");
    assert_eq!(returned("\"Grüße 世界\""), "Grüße 世界");
    assert_eq!(returned("${hostname}x"), format!("{}x", nix::unistd::gethostname().unwrap().to_str().unwrap()));
}

#[test]
fn layouts() {
    let without_final_newline = format!("{HEAD}tcp {{server{{listen @;return a;}}}}");
    assert_eq!(says(Prefix::new(), &without_final_newline), "a");
    let crlf = format!("{HEAD}tcp {{\n# remark\n  server {{\n listen @;\n return a; # remark\n }}\n}}\n")
        .replace('\n', "\r\n");
    assert_eq!(says(Prefix::new(), &crlf), "a");
    let crowded = format!("{HEAD}tcp{{server{{listen @;return \"a\";}}}}#end");
    assert_eq!(says(Prefix::new(), &crowded), "a");
    let spread = format!("{HEAD}tcp\n\n{{\n server\n{{\n\tlisten\n@\n;\n return\t\n'a'\n;\n}}\n\n}}\n\n\n");
    assert_eq!(says(Prefix::new(), &spread), "a");
    let remarks = format!("# 反向代理\n{HEAD}tcp {{ #c }}\n server {{ # listen 1;\n listen @; return a; }} }}\n# }}");
    assert_eq!(says(Prefix::new(), &remarks), "a");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    assert_eq!(says(Prefix::new(), &format!("\u{feff}{HEAD}tcp {{ server {{ listen @; return a; }} }}")), "a");
}

#[test]
fn include_is_relative_to_the_main_file() {
    let prefix = Prefix::new();
    prefix.write("parts/text.conf", "return included;");
    let port = Port::reserve();
    prefix.write("server.conf", format!("server {{ listen {}; include parts/text.conf; }}", port.v4()));
    prefix.write("nginx.conf", format!("{HEAD}tcp {{ include server.conf; }}"));
    let _weir = Weir::launch(prefix, &[]);
    assert_eq!(fetch(port.v4()), "included");
}

#[test]
fn include_takes_globs_in_order_and_absolute_paths() {
    let prefix = Prefix::new();
    let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
    for (name, port) in ["10-a", "20-b", "30-c"].iter().zip(&ports) {
        prefix.write(&format!("servers/{name}.conf"), format!("server {{ listen {}; return {name}; }}", port.v4()));
    }
    prefix.write("servers/ignored.txt", "frobnicate;");
    let all = prefix.text_path("servers/*.conf");
    prefix.write("nginx.conf", format!("{HEAD}include none/*.conf;\ntcp {{ include {all}; }}"));
    let weir = Weir::launch(prefix, &[]);
    for (name, port) in ["10-a", "20-b", "30-c"].iter().zip(&ports) {
        assert_eq!(fetch(port.v4()), *name);
    }
    drop(weir);
    // Files come in the order of their names: the first of two faults is that of the first file.
    let prefix = Prefix::new();
    prefix.write("servers/b.conf", "\nodd_b;");
    prefix.write("servers/a.conf", "\n\nodd_a;");
    prefix.write("nginx.conf", "events {}\ninclude servers/*.conf;\n");
    let run = prefix.run(&["-t"]);
    let wanted = format!("[emerg] unknown directive \"odd_a\" in {}:3\n", prefix.text_path("servers/a.conf"));
    assert!(run.stderr.contains(&wanted), "{}", run.stderr);
}

#[test]
fn faults_of_included_files() {
    let prefix = Prefix::new();
    let check = |wanted: String| {
        let run = prefix.run(&["-t"]);
        assert_eq!(run.status.code(), Some(1));
        assert!(run.stderr.contains(&wanted), "wanted {wanted}, got {}", run.stderr);
    };
    let path = |name: &str| prefix.text_path(name);
    prefix.write("nginx.conf", "events {}\n\ninclude missing.conf;\n");
    check(format!(
        "[emerg] open() \"{}\" failed (2: No such file or directory) in {}:3\n",
        path("missing.conf"),
        path("nginx.conf")
    ));
    prefix.write("nginx.conf", "events {}\ninclude part.conf;\n");
    prefix.write("part.conf", "tcp {\n");
    check(format!("[emerg] unexpected end of file, expecting \"}}\" in {}:2\n", path("part.conf")));
    prefix.write("part.conf", "tcp {\n}\n}\n");
    check(format!("[emerg] unexpected \"}}\" in {}:3\n", path("part.conf")));
    prefix.write("part.conf", "\n\n\nworker_connections 5;\n");
    check(format!("[emerg] \"worker_connections\" directive is not allowed here in {}:4\n", path("part.conf")));
    // A file that includes itself must not take the machine's memory.
    prefix.write("part.conf", "include part.conf;\n");
    let run = prefix.run(&["-t"]);
    assert_eq!(run.status.code(), Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("[emerg]"), "{}", run.stderr);
}

#[test]
fn inheritance() {
    let prefix = Prefix::new();
    let ports = [Port::reserve(), Port::reserve()];
    let (first, second) = (Backend::start(backends::named("first")), Backend::start(backends::named("second")));
    let tcp = format!(
        "proxy_pass {};\nserver {{ listen {}; }}\nserver {{ listen {}; proxy_pass {}; }}",
        first.address,
        ports[0].v4(),
        ports[1].v4(),
        second.address
    );
    let _weir = Setup::tcp(tcp).start_in(prefix);
    assert_eq!(fetch(ports[0].v4()), "first");
    assert_eq!(fetch(ports[1].v4()), "second");
}

#[test]
fn a_block_for_each_set_of_upstreams() {
    let ports = [Port::reserve(), Port::reserve()];
    let (first, second) = (Backend::start(backends::named("first")), Backend::start(backends::named("second")));
    let prefix = Prefix::new();
    let block = |backend: &Backend, port: &Port| {
        format!(
            "tcp {{ access_log off; upstream same {{ server {}; }} server {{ listen {}; proxy_pass same; }} }}\n",
            backend.address,
            port.v4()
        )
    };
    prefix.write("nginx.conf", format!("{HEAD}{}{}", block(&first, &ports[0]), block(&second, &ports[1])));
    let _weir = Weir::launch(prefix, &[]);
    assert_eq!(fetch(ports[0].v4()), "first");
    assert_eq!(fetch(ports[1].v4()), "second");
}
