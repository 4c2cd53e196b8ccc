//! Bodies of requests: lengths, chunks, what contradicts itself, limits, clients that wait or leave.

use super::Theme;
use super::case::{Case, ask, get, post, post_chunks, raw};

pub fn theme() -> Theme {
    Theme {
        config: "server_tokens off; client_max_body_size 100; client_body_timeout 1s; lingering_timeout 200ms; client_body_buffer_size 32;
            server { listen {listen};
                location / { return 200 \"got $http_transfer_encoding\"; }
                location /up/ { proxy_pass http://{up}; }
                location /up11/ { proxy_pass http://{up}; proxy_http_version 1.1; }
                location /stream/ { proxy_pass http://{up}; proxy_request_buffering off; }
                location /stream11/ { proxy_pass http://{up}; proxy_request_buffering off; proxy_http_version 1.1; }
                location /nobody/ { proxy_pass http://{up}; proxy_pass_request_body off; }
                location /ownbody/ { proxy_pass http://{up}; proxy_set_body \"own $request_method\"; }
                location /small/ { client_max_body_size 4; proxy_pass http://{up}; }
                location /unlimited/ { client_max_body_size 0; proxy_pass http://{up}; } }",
        files: vec![("html/index.html", "index".into())],
        cases: cases(),
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let long = "x".repeat(90);
    let with = |target: &str, fields: &str, body: &str| ask("POST", target, fields, body);
    for target in ["/", "/up/", "/up11/", "/stream/", "/stream11/"] {
        let dropped = target == "/";
        // What the body does to the log of a location that drops it, and of one that passes it on.
        let counted = |case: Case| case.differs_where(dropped, "discarded-bodies-in-logs");
        let refused = |case: Case| case.differs_where(!dropped, "refused-bodies-in-logs");
        cases.extend([
            counted(post(target, "hello")),
            post(target, ""),
            counted(post(target, &long)),
            post(target, &"x".repeat(101)).differs("refused-bodies-in-logs"),
            with(target, "", ""),
            counted(post_chunks(target, "5\r\nhello\r\n0\r\n\r\n")),
            counted(post_chunks(target, "5;ext=1\r\nhello\r\n3 \r\nyou\r\n0\r\n\r\n")),
            counted(post_chunks(target, "0\r\n\r\n")),
            counted(post_chunks(target, "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n")),
            refused(post_chunks(target, &format!("5a\r\n{long}\r\n5a\r\n{long}\r\n0\r\n\r\n")))
                .differs_where(dropped, "limits-of-discarded-bodies"),
            refused(post_chunks(target, "hello\r\n")),
            post_chunks(target, "5\r\nhello!\r\n0\r\n\r\n").differs("refused-bodies-in-logs"),
            refused(post_chunks(target, "-1\r\n")),
            refused(post_chunks(target, "fffffffffffffffff\r\n")),
            counted(post_chunks(target, "5\r\nhel").then("lo\r\n0\r\n").then("\r\n")),
            counted(post(target, "hello").then("\r\n")),
            counted(with(target, "Content-Length: 10\r\n", "hello").then("world")),
            counted(with(target, "Content-Length: 10\r\nExpect: 100-continue\r\n", "").then("helloworld"))
                .differs_where(dropped, "interim-answers-in-logs"),
            with(target, "Content-Length: 200\r\nExpect: 100-continue\r\n", ""),
            counted(ask("GET", target, "Content-Length: 2\r\n", "hi")),
            counted(ask("DELETE", target, "Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n")),
            counted(raw(format!(
                "POST {target}1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\noneGET {target}2 HTTP/1.1\r\nHost: a\r\n\r\n"
            )))
            .answers(2),
        ]);
    }
    for target in ["/", "/up/"] {
        let counted = |case: Case| case.differs_where(target == "/", "discarded-bodies-in-logs");
        let left = |case: Case| case.differs("refused-bodies-in-logs");
        cases.extend([
            with(target, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            with(target, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
            with(target, "Content-Length: 5\r\nContent-Length: 5\r\n", "hello").differs("refused-heads-in-logs"),
            with(target, "Content-Length: 5\r\nContent-Length: 6\r\n", "hello").differs("refused-heads-in-logs"),
            with(target, "Content-Length: 5, 5\r\n", "hello"),
            with(target, "Content-Length: +5\r\n", "hello"),
            with(target, "Content-Length: -5\r\n", "hello"),
            with(target, "Content-Length: 0x5\r\n", "hello"),
            with(target, "Content-Length: five\r\n", "hello"),
            with(target, "Content-Length:\r\n", "hello"),
            counted(with(target, "Content-Length: 5 \r\n", "hello")),
            counted(with(target, "Content-Length: 05\r\n", "hello")),
            with(target, "Content-Length: 99999999999999999999\r\n", "hello"),
            with(target, "Content-Length : 5\r\n", "hello"),
            with(target, "Transfer-Encoding: gzip\r\n", "hello"),
            with(target, "Transfer-Encoding: identity\r\n", "hello"),
            with(target, "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
            with(target, "Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
            with(target, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
                .differs("refused-heads-in-logs"),
            with(target, "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
            counted(with(target, "Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n")),
            with(target, "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
            with(target, "Transfer-Encoding:\r\n", "0\r\n\r\n"),
            with(target, "Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n").differs("strict-fields"),
            with(target, "Expect: something\r\n", ""),
            counted(with(target, "Content-Length: 5\r\nExpect: something\r\n", "hello")),
            raw(format!("POST {target} HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
            counted(raw(format!("POST {target} HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"))),
            counted(raw(format!(
                "POST {target} HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
            ))),
            // Clients that leave, or wait for too long.
            counted(with(target, "Content-Length: 5\r\n", "hel").and_end()),
            left(post_chunks(target, "5\r\nhel").and_end()),
        ]);
    }
    cases.extend([
        with("/up/", "Content-Length: 5\r\n", "hel").differs("timeouts-of-bodies-in-logs"),
        with("/stream/", "Content-Length: 5\r\n", "hel").differs("timeouts-of-bodies-in-logs"),
        post("/nobody/", "hello")
            .up(&["early:HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup"])
            .differs("length-of-no-body"),
        post("/ownbody/", "hello"),
        get("/ownbody/"),
        post("/small/", "four"),
        post("/small/", "fiver").differs("refused-bodies-in-logs"),
        post_chunks("/small/", "4\r\nfour\r\n1\r\nr\r\n0\r\n\r\n").differs("refused-bodies-in-logs"),
        // More than is read with a head, however late that is.
        with("/unlimited/", "Content-Length: 100000\r\n", &"y".repeat(50_000)).then("y".repeat(50_000)),
        post_chunks("/unlimited/", &format!("186a0\r\n{}", "y".repeat(50_000)))
            .then(format!("{}\r\n0\r\n\r\n", "y".repeat(50_000))),
        post_chunks("/up/", "5\nhello\n0\n\n").differs("line-ends-of-chunks"),
        post("/up/", "early").up(&["early:HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly"]),
    ]);
    cases
}
