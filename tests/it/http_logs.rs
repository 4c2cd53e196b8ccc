//! `access_log` of `http {}`: paths with variables, lines that are compressed.

use std::fs::{Permissions, set_permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use super::http::{get, serve_in};
use super::http_config::message;
use crate::common::*;

#[test]
fn paths_may_have_variables() {
    let prefix = Prefix::new();
    prefix.write("html/f", "file");
    // Workers are not root.
    set_permissions(prefix.join("logs"), Permissions::from_mode(0o777)).unwrap();
    let (weir, port) = serve_in(prefix, |port| {
        format!(
            "log_format l '$request_uri $status'; server {{ listen {}; access_log logs/of-$arg_n.log l; access_log logs/all l;
             location /gone/ {{ root none; }} location /failing {{ access_log logs/none/$arg_n l; return 200 ok; }}
             location /bad {{ access_log logs/$arg_n.log l if=$arg_if; return 200 ok; }} }}",
            port.v4()
        )
    });
    for path in ["/f?n=a", "/f?n=b", "/f?n=a&again", "/f", "/gone/f?n=c", "/failing?n=d", "/bad?n=e", "/bad?n=f&if=1"] {
        get(&port, path);
    }
    wait_for("the last line", || weir.prefix.lines("logs/f.log") == ["/bad?n=f&if=1 200"]);
    assert_eq!(weir.prefix.lines("logs/of-a.log"), ["/f?n=a 200", "/f?n=a&again 200"]);
    assert_eq!(weir.prefix.lines("logs/of-b.log"), ["/f?n=b 200"]);
    assert_eq!(weir.prefix.lines("logs/of-.log"), ["/f 200"]);
    // Logs of what is not there are not made, nor those whose line is not wanted.
    for name in ["logs/of-c.log", "logs/e.log", "logs/of-$arg_n.log"] {
        assert!(!weir.prefix.join(name).exists(), "{name}");
    }
    let none = weir.prefix.text_path("none");
    let line =
        weir.wait_error(&format!("testing \"{none}\" existence failed (2: No such file or directory) while logging"));
    assert!(line.contains("[error]"), "{line}");
    let log = weir.prefix.text_path("logs/none/d");
    let line =
        weir.wait_error(&format!("open() \"{log}\" failed (2: No such file or directory) while logging request, "));
    assert!(line.contains("[crit]"), "{line}");
    assert_eq!(weir.prefix.lines("logs/all").len(), 5);
}

#[test]
fn lines_may_be_compressed() {
    let (weir, port) = serve_in(Prefix::new(), |port| {
        format!(
            "log_format l $request_uri; server {{ listen {}; access_log logs/a.gz l gzip=9 flush=10ms; access_log logs/all l; return 204; }}",
            port.v4()
        )
    });
    let paths: Vec<String> = (0..20).map(|number| format!("/{number}")).collect();
    for path in &paths {
        get(&port, path);
    }
    let unpacked = || {
        let mut text = String::new();
        let file = std::fs::File::open(weir.prefix.join("logs/a.gz")).unwrap();
        // What is being written may be cut.
        let _ = flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text);
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    wait_for("all lines", || unpacked() == paths);
    assert_eq!(weir.prefix.lines("logs/all"), paths);
}

#[test]
fn such_logs_have_no_buffer() {
    let wanted = "buffered logs cannot have variables in name";
    assert_eq!(message("access_log logs/$host combined buffer=4k;"), (wanted.to_owned(), false));
}
