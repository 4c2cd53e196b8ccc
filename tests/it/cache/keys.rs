//! Which requests have an answer in common, and which have none.

use super::*;

fn numbered() -> (Backend, Seen) {
    origin(|number, _| ok("Cache-Control: max-age=60\r\n", &number.to_string()))
}

#[test]
fn a_key_of_ones_own() {
    let (backend, _) = numbered();
    let (_weir, port) = plain(&backend, "proxy_cache_key $uri;");
    expect(&port, "/a?x", "MISS", "0");
    expect(&port, "/a?y", "HIT", "0");
    expect(&port, "/b", "MISS", "1");
}

#[test]
fn answers_are_passed_by_or_not_kept_on_conditions() {
    let (backend, _) = numbered();
    let (_weir, port) =
        plain(&backend, "proxy_cache_key $uri; proxy_cache_bypass $arg_fresh $arg_b; proxy_no_cache $arg_private;");
    expect(&port, "/a", "MISS", "0");
    expect(&port, "/a?fresh=1", "BYPASS", "1");
    expect(&port, "/a?fresh=0", "HIT", "1");
    expect(&port, "/b?private=1", "MISS", "2");
    expect(&port, "/b", "MISS", "3");
    expect(&port, "/b?private=1", "HIT", "3");
}

#[test]
fn what_is_asked_for_often_enough_is_kept() {
    let (backend, _) = numbered();
    let (_weir, port) = plain(&backend, "proxy_cache_min_uses 3;");
    for (state, body) in [("MISS", "0"), ("MISS", "1"), ("MISS", "2"), ("HIT", "2")] {
        expect(&port, "/a", state, body);
    }
}

#[test]
fn a_cache_by_name() {
    let (backend, _) = numbered();
    let text = "proxy_cache $arg_zone; location / { proxy_pass http://SERVER; }";
    let (weir, port) = caching(&backend, "", text);
    expect(&port, "/?zone=zone", "MISS", "0");
    expect(&port, "/?zone=zone", "HIT", "0");
    for path in ["/?zone=off", "/"] {
        assert_eq!([get(&port, path).0, get(&port, path).0], ["-", "-"]);
    }
    assert_eq!(ask(&port, "GET", "/?zone=none", "").status, 500);
    weir.wait_error("cache \"none\" not found");
}

#[test]
fn variants() {
    let (backend, seen) = origin(|number, request| {
        let language = if request.contains("Accept-Language: de") { "hallo" } else { "hello" };
        ok("Cache-Control: max-age=60\r\nVary: Accept-Language, X-None\r\n", &format!("{language} {number}"))
    });
    let (_weir, port) = plain(&backend, "");
    let get = |language: &str| {
        let reply = ask(&port, "GET", "/", &format!("Accept-Language: {language}\r\n"));
        (state(&reply).to_owned(), reply.text().to_owned())
    };
    let is = |state: &str, body: &str| (state.to_owned(), body.to_owned());
    assert_eq!(get("de"), is("MISS", "hallo 0"));
    assert_eq!(get("en"), is("MISS", "hello 1"));
    assert_eq!(get("fr"), is("MISS", "hello 2"));
    assert_eq!(get("de"), is("HIT", "hallo 0"));
    assert_eq!(get("en"), is("HIT", "hello 1"));
    assert_eq!(get("fr"), is("HIT", "hello 2"));
    assert_eq!(count(&seen), 3);
}

#[test]
fn vary_can_be_ignored() {
    let (backend, _) = origin(|_, _| ok("Cache-Control: max-age=60\r\nVary: Accept\r\n", "x"));
    let (_weir, port) = plain(&backend, "proxy_ignore_headers Vary;");
    assert_eq!(state(&ask(&port, "GET", "/", "Accept: a\r\n")), "MISS");
    assert_eq!(state(&ask(&port, "GET", "/", "Accept: b\r\n")), "HIT");
}
