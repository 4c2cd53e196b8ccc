//! `proxy_cache`: what is kept, what is given again, and what servers are asked meanwhile. Requests build upon those before them.

use super::Theme;
use super::case::{Case, ask, get, get_with, head};
use super::differences::Difference;
use super::differences::Part::{AccessLog, Answer, Connection, ErrorLog, Upstream};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off;
            proxy_cache_path cache levels=1:2 keys_zone=zone:1m inactive=1h;
            proxy_cache zone; proxy_hide_header Age; add_header X-Cache $upstream_cache_status always;
            server { listen {listen}; server_name main;
                location / { proxy_pass http://{up}; }
                location /age/ { proxy_pass http://{up}; proxy_hide_header X-None; }
                location /v11/ { proxy_pass http://{up}; proxy_http_version 1.1; }
                location /valid/ { proxy_pass http://{up}; proxy_cache_valid 60s; proxy_cache_valid 404 1m; }
                location /any/ { proxy_pass http://{up}; proxy_cache_valid any 60s; }
                location /ignored/ { proxy_pass http://{up}; proxy_cache_valid 60s;
                    proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Expires; }
                location /key/ { proxy_pass http://{up}; proxy_cache_valid 60s; proxy_cache_key $uri; proxy_cache_bypass $arg_b;
                    proxy_no_cache $arg_n; }
                location /uses/ { proxy_pass http://{up}; proxy_cache_valid 60s; proxy_cache_min_uses 2; }
                location /post/ { proxy_pass http://{up}; proxy_cache_valid 60s; proxy_cache_methods POST; proxy_cache_key $request_method$uri; }
                location /head/ { proxy_pass http://{up}; proxy_cache_valid 60s; proxy_cache_convert_head off;
                    proxy_cache_key $request_method$uri; }
                location /far/ { proxy_pass http://{up}; proxy_cache_valid 60s; proxy_cache_max_range_offset 5; }
                location /unbuffered/ { proxy_pass http://{up}; proxy_cache_valid 60s; proxy_buffering off; }
                location /stale/ { proxy_pass http://{up}; proxy_cache_use_stale error invalid_header http_500 http_404; }
                location /revalidate/ { proxy_pass http://{up}; proxy_cache_revalidate on; }
                location /forced/ { proxy_pass http://{up}; proxy_cache_valid 60s; proxy_force_ranges on; } }",
        files: vec![("html/index.html", String::new())],
        cases: cases(),
    }
}

/// An answer with these fields; the connection ends behind it.
fn answer(fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/x-up\r\nContent-Length: {length}\r\n{fields}\r\n{body}")
}

/// The same case so many times, the server behind having another body for each.
fn again(count: usize, fields: &str, case: Case) -> Vec<Case> {
    (0..count).map(|number| case.clone().up(&[answer(fields, &format!("body {number}"))])).collect()
}

const OLD: &str = "X-Accel-Expires: @1\r\n";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, fields) in [
        ("none", ""),
        ("age", "Cache-Control: max-age=60\r\n"),
        ("zero", "Cache-Control: max-age=0\r\n"),
        ("shared", "Cache-Control: max-age=0, s-maxage=60\r\n"),
        ("private", "Cache-Control: private\r\n"),
        ("no-cache", "Cache-Control: no-cache, max-age=60\r\n"),
        ("no-store", "Cache-Control: max-age=60, no-store\r\n"),
        ("accel", "X-Accel-Expires: 60\r\n"),
        ("accel-off", "X-Accel-Expires: 0\r\n"),
        ("accel-first", "X-Accel-Expires: 60\r\nCache-Control: max-age=0\r\n"),
        ("expires", "Expires: Thu, 31 Dec 2099 23:59:59 GMT\r\n"),
        ("expired", "Expires: Thu, 01 Jan 1970 00:00:01 GMT\r\n"),
        ("cookie", "Cache-Control: max-age=60\r\nSet-Cookie: a=b\r\n"),
        ("star", "Cache-Control: max-age=60\r\nVary: *\r\n"),
    ] {
        for folder in ["", "valid/", "ignored/"] {
            cases.extend(again(2, fields, get(&format!("/{folder}{name}"))));
            cases.extend(again(1, fields, head(&format!("/{folder}{name}"))));
        }
    }
    told(&mut cases);
    for (status, fields) in [("404 Not Found", ""), ("301 Moved", "Location: /x\r\n"), ("500 Broken", "")] {
        let answer = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\n\r\n");
        for folder in ["valid", "any"] {
            let target = format!("/{folder}/{}", &status[..3]);
            cases.extend([(); 2].map(|()| get(&target).up(std::slice::from_ref(&answer))));
        }
    }
    parts(&mut cases);
    keys(&mut cases);
    old(&mut cases);
    cases
}

/// Fields whose order counts for nginx, and words that it does not read.
fn told(cases: &mut Vec<Case>) {
    let long = format!("Cache-Control: max-age=60\r\nVary: {}Accept\r\n", "X-None, ".repeat(20));
    for (name, fields, key) in [
        ("expired-first", "Expires: 0\r\nCache-Control: max-age=60\r\n", "order-of-cache-fields"),
        ("forbidden-first", "Cache-Control: no-store\r\nX-Accel-Expires: 60\r\n", "order-of-cache-fields"),
        ("expired-last", "Cache-Control: max-age=60\r\nExpires: 0\r\n", ""),
        ("forbidden-last", "X-Accel-Expires: 60\r\nCache-Control: no-store\r\n", ""),
        ("long-vary", &long, "long-vary"),
        ("star-among", "Cache-Control: max-age=60\r\nVary: Accept, *\r\n", "star-among-vary"),
        ("weekday", "Expires: Mon, 31 Dec 2099 23:59:59 GMT\r\n", "strict-dates"),
        ("zone", "Expires: Thu, 31 Dec 2099 23:59:59\r\n", "strict-dates"),
    ] {
        let target = format!("/{name}");
        cases.extend(again(1, fields, get(&target)));
        cases.push(get(&target).up(&[answer(fields, "again")]).differs_where(!key.is_empty(), key));
    }
    let long = format!("/key-{}", "x".repeat(4000));
    cases.extend(again(2, "Cache-Control: max-age=60\r\n", get(&long).differs("long-keys")));
    for (name, fields) in [
        ("after", "Cache-Control: stale-if-error=4000000000\r\nX-Accel-Expires: @1\r\n"),
        ("before", "X-Accel-Expires: @1\r\nCache-Control: stale-if-error=4000000000\r\n"),
    ] {
        let target = format!("/extension-{name}");
        cases.extend(again(1, fields, get(&target)));
        let failure = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
        cases.push(get(&target).up(&[failure]));
    }
}

const VALIDATORS: &str = "Accept-Ranges: bytes\r\nETag: \"e\"\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n";

/// Parts, conditions and variants.
fn parts(cases: &mut Vec<Case>) {
    let told = format!("Cache-Control: max-age=60\r\n{VALIDATORS}");
    let fields = told.as_str();
    for (number, asked) in [
        "Range: bytes=2-4\r\n",
        "Range: bytes=-3\r\n",
        "Range: bytes=2-4\r\nIf-Range: \"e\"\r\n",
        "Range: bytes=2-4\r\nIf-Range: \"f\"\r\n",
        "If-None-Match: \"e\"\r\n",
        "If-None-Match: W/\"e\"\r\n",
        "If-None-Match: \"f\"\r\n",
        "If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT\r\n",
        "If-Modified-Since: Thu, 02 Jan 2020 00:00:00 GMT\r\n",
        "If-Match: \"f\"\r\n",
        "If-Unmodified-Since: Tue, 31 Dec 2019 00:00:00 GMT\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let fails = asked.starts_with("If-Match") || asked.starts_with("If-Unmodified");
        for (folder, fields) in [("parts", fields), ("whole", "Cache-Control: max-age=60\r\n"), ("forced", "")] {
            // First what goes through, then what is there.
            let case = get_with(&format!("/{folder}/{number}"), asked);
            cases.extend(again(2, fields, case.differs_where(fails, "failed-conditions-on-the-way")));
        }
    }
    // Conditions that fail, and parts that are not there, of what is kept already.
    let kept = format!("Cache-Control: max-age=60\r\n{VALIDATORS}X-Told: 1\r\nContent-Language: en\r\n");
    cases.extend(again(1, &kept, get("/kept")));
    for asked in [
        "If-Match: \"f\"\r\n",
        "If-Unmodified-Since: Tue, 31 Dec 2019 00:00:00 GMT\r\n",
        "Range: bytes=100-\r\n",
        "Range: bytes=3-1\r\n",
        "If-None-Match: \"e\"\r\nIf-Match: \"e\"\r\n",
    ] {
        let key = if asked.starts_with("Range") { "fields-of-416" } else { "failed-conditions-on-the-way" };
        let cases_of = [get_with("/kept", asked), ask("HEAD", "/kept", asked, "")];
        cases.extend(cases_of.map(|case| case.differs_where(!asked.starts_with("If-None"), key)));
    }
    for asked in ["Accept: a\r\n", "Accept: b\r\n", "", "Accept: a\r\n", "Accept:  b \r\n", ""] {
        cases.extend(again(1, "Cache-Control: max-age=60\r\nVary: accept\r\n", get_with("/vary", asked)));
    }
    for range in ["Range: bytes=5-\r\n", "Range: bytes=4-\r\n", "Range: bytes=-1\r\n"] {
        cases.extend(again(2, "", get_with(&format!("/far/{}", range.len()), range)));
    }
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    let chunks = chunks.replace("\r\nTransfer", "\r\nCache-Control: max-age=60\r\nTransfer");
    cases.push(get("/v11/chunks").up(&[&chunks]).differs("length-of-chunks-in-logs"));
    cases.push(get("/v11/chunks").up(&[&chunks]).differs("length-of-kept-answers"));
    let close = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nabc";
    cases.push(get("/close").up(&[close]));
    cases.push(get("/close").up(&[close]).differs("length-of-kept-answers"));
    cases.extend(again(1, "Cache-Control: max-age=60\r\nAge: 5\r\n", get("/age/x")));
    cases.push(get("/age/y").up(&[answer("Cache-Control: max-age=60\r\n", "x")]));
    cases.push(get("/age/y").differs("age-of-answers"));
}

/// What requests have in common, and whose answers are kept at all.
fn keys(cases: &mut Vec<Case>) {
    for target in ["/key/a", "/key/a?x", "/key/a?b=1", "/key/a?b=0", "/key/c?n=1", "/key/c?n=1", "/key/c", "/key/c"] {
        cases.extend(again(1, "", get(target)));
    }
    cases.extend(again(3, "", get("/uses/a")));
    cases.extend(again(2, "", ask("POST", "/post/a", "Content-Length: 2\r\n", "ab")));
    cases.extend(again(1, "", get("/post/a")));
    cases.extend(again(2, "", ask("POST", "/key/p", "Content-Length: 2\r\n", "ab")));
    cases.extend(again(2, "", ask("DELETE", "/key/a", "", "")));
    cases.extend(again(2, "", get("/unbuffered/a")));
    let bare = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    cases.extend([(); 2].map(|()| head("/head/a").up(&[bare])));
    cases.extend(again(2, "", get("/head/a")));
}

/// Answers that are not fresh any more: those of the folder that is said to be so from the first.
fn old(cases: &mut Vec<Case>) {
    for (name, failure) in [
        ("500", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
        ("404", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        ("503", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let target = format!("/stale/{name}");
        cases.push(get(&target).up(&[answer(OLD, "old")]));
        cases.push(get(&target).up(&[failure]));
        cases.push(get(&target).up(&[answer(OLD, "newer")]));
        cases.push(get(&target).up(&[failure]));
        cases.push(head(&target).up(&[failure]));
    }
    let fields = format!("{OLD}ETag: \"e\"\r\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT\r\n");
    let same = "HTTP/1.1 304 Not Modified\r\nX-Accel-Expires: 60\r\n\r\n";
    cases.push(get("/revalidate/a").up(&[answer(&fields, "old")]));
    cases.push(get("/revalidate/a").up(&["HTTP/1.1 304 Not Modified\r\n\r\n"]));
    cases.push(get("/revalidate/a").up(&[same]));
    cases.push(get("/revalidate/a").up(&[answer("", "wrong")]));
    cases.push(get_with("/revalidate/a", "If-None-Match: \"e\"\r\n"));
    cases.push(get("/revalidate/b").up(&[answer(&fields, "old")]));
    cases.push(get_with("/revalidate/b", "If-None-Match: \"e\"\r\n").up(&[same]));
    cases.push(get("/revalidate/c").up(&[answer(&fields, "old")]));
    cases.push(get("/revalidate/c").up(&[answer("X-Accel-Expires: 60\r\n", "new")]));
    cases.push(get("/revalidate/c").up(&[answer("", "wrong")]));
}

/// Where weir means to keep, and to give, otherwise than nginx.
pub const MEANT: &[Difference] = &[
    Difference {
        key: "order-of-cache-fields",
        parts: &[Answer, Upstream, AccessLog],
        nginx: "keeps no answer with an `Expires` that has passed before `max-age`, or with `no-store` before `X-Accel-Expires`",
        weir: "lets `X-Accel-Expires` go before `Cache-Control`, and that before `Expires`, in whatever order they stand",
        reason: "The order of fields means nothing (RFC 9110 5.3), and `max-age` goes before `Expires` (RFC 9111 5.3).",
    },
    Difference {
        key: "long-vary",
        parts: &[Answer, Upstream, AccessLog],
        nginx: "keeps no answer whose `Vary` has more than 128 bytes",
        weir: "keeps it",
        reason: "There is room for it.",
    },
    Difference {
        key: "star-among-vary",
        parts: &[Answer, Upstream, AccessLog],
        nginx: "takes a `*` among other names of `Vary` for a name",
        weir: "keeps no such answer, as with `*` alone",
        reason: "No request is like another then (RFC 9111 4.1).",
    },
    Difference {
        key: "strict-dates",
        parts: &[Answer, Upstream, AccessLog],
        nginx: "does not look at the weekday of a date, nor at what follows the time",
        weir: "takes a date of another weekday, or without `GMT`, for none: an answer with such an `Expires` is not kept",
        reason: "Its other parts are as likely to be wrong (RFC 9110 5.6.7); what is asked for anew is right.",
    },
    Difference {
        key: "long-keys",
        parts: &[Answer, Upstream, AccessLog, ErrorLog],
        nginx: "does not use the cache for a key that does not fit `proxy_buffer_size`, and logs an error",
        weir: "uses it",
        reason: "There is room for it.",
    },
    Difference {
        key: "age-of-answers",
        parts: &[Answer, AccessLog],
        nginx: "passes on the `Age` that an answer came with, or none, for as long as it keeps it",
        weir: "tells how old an answer from the cache is, unless `proxy_hide_header Age` forbids it",
        reason: "A cache must say so (RFC 9111 5.1): others behind it would take the answer for fresh.",
    },
    Difference {
        key: "failed-conditions-on-the-way",
        parts: &[Answer, Connection, Upstream, AccessLog],
        nginx: "keeps no answer that it answers with 412 as it comes, and closes the connection behind the page",
        weir: "keeps it, and the connection",
        reason: "The answer is as good as any, and the next client wants it.",
    },
    Difference {
        key: "answers-nobody-waits-for",
        parts: &[Answer, Upstream, AccessLog],
        nginx: "waits for the server's answer for the cache when the client has left, and does not keep it",
        weir: "keeps it",
        reason: "The answer is as good as any, and the next client wants it.",
    },
    Difference {
        key: "length-of-kept-answers",
        parts: &[Answer, AccessLog],
        nginx: "gives an answer that came in chunks, or until the end of its connection, in chunks from the cache too",
        weir: "tells its length, and answers requests for parts of it",
        reason: "It is known then, and every client knows what to do with it.",
    },
];
