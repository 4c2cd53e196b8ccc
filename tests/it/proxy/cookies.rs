//! What becomes of redirects and cookies on their way through, held against nginx.

use super::*;

/// Asks both for each location `/N/`, whose server says this field; in the location stands what is said about it.
#[track_caller]
fn all(cases: &[(&str, &str)]) -> Vec<String> {
    let answers = cases.iter().enumerate().map(|(number, (field, _))| {
        let answer = format!("HTTP/1.1 200 OK\r\n{field}\r\nX-To: x.example\r\nContent-Length: 0\r\n\r\n");
        (format!("/{number}/x"), answer)
    });
    let backend = answers_by_path(answers.collect());
    let locations = cases
        .iter()
        .enumerate()
        .map(|(number, (_, said))| format!("location /{number}/ {{ proxy_pass http://SERVER; {said} }}\n"));
    let requests: Vec<String> =
        (0..cases.len()).map(|number| format!("GET /{number}/x HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let replies = as_nginx_does("", &locations.collect::<String>(), &backend, &requests);
    let name = |field: &str| field.split(':').next().unwrap().to_owned();
    let values = replies.iter().zip(cases).map(|(reply, (field, _))| reply.field(&name(field)).unwrap().to_owned());
    values.collect()
}

#[test]
fn domains_paths_and_flags() {
    let values = all(&[
        ("Set-Cookie: a=1; Domain=x.org; Path=/in/", "proxy_cookie_domain x.org y.org; proxy_cookie_path /in/ /out/;"),
        ("Set-Cookie: a=1; domain=.X.org", "proxy_cookie_domain .x.org .y.org;"),
        ("Set-Cookie: a=1; Domain=w.x.org", "proxy_cookie_domain x.org y.org;"),
        ("Set-Cookie: a=1; Domain=w.x.org", "proxy_cookie_domain ~^(\\w+)\\.X\\.org$ $1.$upstream_http_x_to;"),
        ("Set-Cookie: a=1; Domain=a", "proxy_cookie_domain $host b.$host;"),
        ("Set-Cookie: a=1; Path=/In/b", "proxy_cookie_path ~*^/in/(?<rest>.*)$ /$rest/; proxy_cookie_path /In/ /no/;"),
        ("Set-Cookie: a=1; Path=/In/b", "proxy_cookie_path ~^/in/ /no/; proxy_cookie_path /In /yes;"),
        ("Set-Cookie: a=1;Path=/;  x = y ;", "proxy_cookie_path / /z/;"),
        ("Set-Cookie: a=1;Path=/;  x = y ;", "proxy_cookie_path /a /z/;"),
        ("Set-Cookie: a; Path=/", "proxy_cookie_path / /z/;"),
        ("Set-Cookie: a=1", "proxy_cookie_flags A secure httponly samesite=strict;"),
        ("Set-Cookie: a=1; HttpOnly; secure; SameSite=Lax", "proxy_cookie_flags ~. nosecure samesite=none;"),
        (
            "Set-Cookie: a=1; HttpOnly; SameSite=Lax",
            "proxy_cookie_flags b secure; proxy_cookie_flags a nohttponly nosamesite;",
        ),
        ("Set-Cookie: a=1", "set $x secure; proxy_cookie_flags $arg_q$host $x;"),
        ("Set-Cookie: a=1; Path=/", "proxy_cookie_path / /z/; proxy_cookie_flags a secure;"),
        ("Set-Cookie: a=1; Path=/", "proxy_cookie_path off; proxy_cookie_flags off; proxy_cookie_domain off;"),
    ]);
    assert_eq!(values[0], "a=1; Domain=y.org; Path=/out/");
    assert_eq!(values[3], "a=1; Domain=w.x.example");
    assert_eq!(values[5], "a=1; Path=/b/");
    assert_eq!(values[10], "a=1; Secure; HttpOnly; SameSite=Strict");
}

#[test]
fn redirects_with_variables_and_expressions() {
    let values = all(&[
        (
            "Location: http://old/x?y",
            "proxy_redirect http://$arg_none/ /no/; proxy_redirect http://old/ $scheme://$host/new/;",
        ),
        ("Location: https://one.old/x?y", "proxy_redirect ~^https?://(?<who>[^.]+)\\.old/(.*)$ /$who/$2;"),
        (
            "Location: HTTPS://ONE.old/x",
            "proxy_redirect ~^https://one\\. /no/; proxy_redirect ~*^https://one\\. /yes/;",
        ),
        ("Location: http://other/", "proxy_redirect default; proxy_redirect ~x$ /no/;"),
        ("Location: http://SERVER/y", "proxy_redirect off;"),
        ("Location: /x", "proxy_redirect / /new/; absolute_redirect off;"),
        ("Refresh: 5; URL=http://old/x", "proxy_redirect http://old/ /new/;"),
        ("Refresh: 5", "proxy_redirect http://old/ /new/;"),
    ]);
    assert_eq!(values[0], "http://a/new/x?y");
    assert_eq!(values[1], "http://a/one/x?y");
    assert_eq!(values[6], "5; URL=/new/x");
}

#[test]
fn a_failing_expression_is_500() {
    let backend =
        answers_by_path(vec![("/".into(), format!("HTTP/1.1 302 x\r\nLocation: {}!\r\n\r\n", "a".repeat(64)))]);
    let text =
        format!("location / {{ proxy_pass http://{}; proxy_redirect ~^(?:(a+)+)+$|(*COMMIT)x /; }}", backend.address);
    let (weir, port) = proxied("", &text);
    assert_eq!(get(&port, "/").status, 500);
    weir.wait_error("[alert]");
    assert!(weir.wait_error("pcre2_match() failed: -47").contains("while reading response header from upstream"));
}

#[test]
fn bad_values_are_refused() {
    for (text, message) in [
        ("proxy_redirect x;", "invalid parameter \"x\""),
        ("proxy_redirect ~( x;", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
        ("proxy_redirect x $nope;", "unknown \"nope\" variable"),
        ("proxy_redirect off; proxy_redirect a b;", "\"proxy_redirect\" directive is duplicate"),
        ("proxy_cookie_domain x;", "invalid parameter \"x\""),
        ("proxy_cookie_domain ~( x;", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
        ("proxy_cookie_domain a b; proxy_cookie_domain off;", "\"proxy_cookie_domain\" directive is duplicate"),
        ("proxy_cookie_path ~*( x;", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
        ("proxy_cookie_path $nope x;", "unknown \"nope\" variable"),
        ("proxy_cookie_flags a;", "invalid parameter \"a\""),
        ("proxy_cookie_flags ~( secure;", "pcre2_compile() failed: missing closing parenthesis in \"(\""),
        ("proxy_cookie_flags a b c d e;", "invalid number of arguments in \"proxy_cookie_flags\" directive"),
        ("proxy_ignore_headers X-Accel-Foo;", "invalid value \"X-Accel-Foo\""),
        (
            "proxy_intercept_errors x;",
            "invalid value \"x\" in \"proxy_intercept_errors\" directive, it must be \"on\" or \"off\"",
        ),
    ] {
        refuses(text, message);
    }
}
