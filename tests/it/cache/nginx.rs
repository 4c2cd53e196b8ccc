//! The same requests, one after the other, to nginx and to weir: both must give the same.

use super::*;

/// What a client learns of an answer: without what names the server or the time, and without `Age`, which nginx does not say.
fn told(reply: &Reply) -> String {
    let own = ["Server", "Date", "Age", "Connection", "Content-Length", "Transfer-Encoding"];
    let fields: Vec<String> = reply
        .fields
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    format!("{} {fields:?}", reply.status)
}

/// Asks both for each of `requests`, method, path and fields; each has a server of its own.
fn compare(script: fn(usize, &str) -> String, text: &str, requests: &[(&str, &str, &str)]) {
    let ((theirs, their_seen), (ours, our_seen)) = (origin(script), origin(script));
    let nginx = servers::Server::nginx(
        1,
        &format!(
            "proxy_cache_path {{dir}}/cache keys_zone=zone:1m levels=1:2;\nserver {{ listen {{0}}; add_header X-Cache $upstream_cache_status always; {} }}",
            text.replace("SERVER", &theirs.address.to_string())
        ),
    );
    let (_weir, port) = caching(&ours, "levels=1:2", text);
    for (number, (method, path, fields)) in requests.iter().enumerate() {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        let ask = |to: String| {
            let mut stream = connect(to.as_str());
            stream.write_all(request.as_bytes()).unwrap();
            crate::http::read_reply(&mut stream, true)
        };
        let (their, our) = (ask(nginx.address(0)), ask(port.v4()));
        assert_eq!(told(&our), told(&their), "request {number}: {request}");
        // What servers were asked is the same too, but for the port.
        let asked = |seen: &Seen, backend: &Backend| {
            let seen = seen.lock().unwrap();
            let mut lines: Vec<String> = seen.last().cloned().unwrap_or_default().lines().map(str::to_owned).collect();
            lines.sort();
            (seen.len(), lines.join("\n").replace(&backend.address.to_string(), "SERVER"))
        };
        assert_eq!(asked(&our_seen, &ours), asked(&their_seen, &theirs), "request {number}: {request}");
    }
}

fn by_path(number: usize, request: &str) -> String {
    let path = request.split(' ').nth(1).unwrap();
    let fields = match path {
        "/cc" => "Cache-Control: public, max-age=60\r\n",
        "/shared" => "Cache-Control: max-age=0, s-maxage=60\r\n",
        "/private" => "Cache-Control: private\r\n",
        "/store" => "Cache-Control: no-store, max-age=60\r\n",
        "/accel" => "X-Accel-Expires: 60\r\n",
        "/accel0" => "X-Accel-Expires: 0\r\n",
        "/expires" => "Expires: Thu, 31 Dec 2099 23:59:59 GMT\r\n",
        "/expired" => "Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n",
        "/cookie" => "Cache-Control: max-age=60\r\nSet-Cookie: a=b\r\n",
        "/vary" => "Cache-Control: max-age=60\r\nVary: Accept\r\n",
        "/star" => "Cache-Control: max-age=60\r\nVary: *\r\n",
        "/parts" => {
            "Cache-Control: max-age=60\r\nAccept-Ranges: bytes\r\nETag: \"e\"\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n"
        }
        "/tags" => "Cache-Control: max-age=60\r\nETag: W/\"e\"\r\n",
        "/gone" => {
            return format!("HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\nX-N: {number}\r\n\r\n{}", number % 10);
        }
        "/moved" => {
            return format!("HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\nX-N: {number}\r\n\r\n");
        }
        _ => "",
    };
    ok(&format!("{fields}X-N: {number}\r\n"), "0123456789")
}

#[test]
fn what_is_kept() {
    let mut requests = Vec::new();
    for path in [
        "/none", "/cc", "/shared", "/private", "/store", "/accel", "/accel0", "/expires", "/expired", "/cookie",
        "/star", "/gone", "/moved",
    ] {
        requests.extend([("GET", path, ""), ("GET", path, ""), ("HEAD", path, "")]);
    }
    compare(by_path, "proxy_cache zone; location / { proxy_pass http://SERVER; }", &requests);
    compare(
        by_path,
        "proxy_cache zone; proxy_cache_valid 60s; proxy_cache_valid 404 1m; location / { proxy_pass http://SERVER; }",
        &requests,
    );
}

#[test]
fn parts_conditions_and_variants() {
    let mut requests = Vec::new();
    for fields in [
        "Range: bytes=2-4\r\n",
        "Range: bytes=2-4\r\nIf-Range: \"e\"\r\n",
        "Range: bytes=2-4\r\nIf-Range: \"f\"\r\n",
        "If-None-Match: \"e\"\r\n",
        "If-None-Match: \"f\"\r\n",
        "If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT\r\n",
        "If-Modified-Since: Thu, 02 Jan 2020 00:00:00 GMT\r\n",
        "If-Match: \"f\"\r\n",
        "If-Unmodified-Since: Tue, 31 Dec 2019 00:00:00 GMT\r\n",
    ] {
        requests.extend([("GET", "/parts", fields), ("GET", "/cc", fields), ("GET", "/tags", fields)]);
    }
    for fields in ["Accept: a\r\n", "Accept: b\r\n", "", "Accept: a\r\n", "Accept:  b \r\n", ""] {
        requests.push(("GET", "/vary", fields));
    }
    compare(by_path, "proxy_cache zone; location / { proxy_pass http://SERVER; }", &requests);
}

#[test]
fn keys_and_conditions() {
    let text = "proxy_cache zone; proxy_cache_valid 1m; proxy_cache_key $uri; proxy_cache_bypass $arg_b; proxy_no_cache $arg_n;
                proxy_cache_min_uses 2; proxy_cache_methods POST; location / { proxy_pass http://SERVER; }";
    let requests = [
        ("GET", "/a", ""),
        ("GET", "/a", ""),
        ("GET", "/a", ""),
        ("GET", "/a?b=1", ""),
        ("GET", "/a?b=0", ""),
        ("GET", "/c?n=1", ""),
        ("GET", "/c?n=1", ""),
        ("GET", "/c", ""),
        ("GET", "/c", ""),
        ("POST", "/d", "Content-Length: 0\r\n"),
        ("POST", "/d", "Content-Length: 0\r\n"),
        ("POST", "/d", "Content-Length: 0\r\n"),
        ("DELETE", "/a", ""),
        ("HEAD", "/e", ""),
        ("HEAD", "/e", ""),
        ("GET", "/e", ""),
    ];
    compare(by_path, text, &requests);
}
