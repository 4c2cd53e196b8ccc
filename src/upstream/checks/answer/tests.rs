use proptest::prelude::*;

use super::*;
use crate::upstream::checks::hello::client_hello;

fn http_kind() -> Kind {
    Kind::Http(Dialogue { send: b"GET / HTTP/1.0\r\n\r\n".to_vec(), expect: Classes::of(2).or(Classes::of(3)) })
}

fn smtp_kind() -> Kind {
    Kind::Smtp(Dialogue { send: b"HELO x\r\n".to_vec(), expect: Classes::of(2) })
}

fn reason(judgement: Judgement) -> String {
    match judgement {
        Judgement::Dead(reason) => reason.into_owned(),
        other => panic!("{other:?}"),
    }
}

/// All the ways to judge, with what has come before the request and after it.
fn every_way() -> Vec<(Kind, bool)> {
    let kinds = [Kind::Tcp, http_kind(), Kind::SslHello, smtp_kind(), Kind::Mysql, Kind::Pop3, Kind::Imap];
    kinds.into_iter().flat_map(|kind| [(kind.clone(), false), (kind, true)]).collect()
}

/// Good answers, each complete only with its last byte.
fn good() -> Vec<(Kind, bool, Vec<u8>)> {
    let hello = [&[22, 3, 3, 0, 90, 2, 0, 0, 86][..]].concat();
    vec![
        (http_kind(), true, b"HTTP/1.1 200 ".to_vec()),
        (http_kind(), true, b"HTTP/1.0 304\r".to_vec()),
        (Kind::SslHello, true, hello),
        (smtp_kind(), false, b"220 mail ESMTP\r\n".to_vec()),
        (smtp_kind(), false, b"220-mail\r\n220-welcomes\n220 you\r\n".to_vec()),
        (smtp_kind(), true, b"250 hello\r\n".to_vec()),
        (smtp_kind(), true, b"250\r\n".to_vec()),
        (Kind::Mysql, false, b"\x4a\0\0\0\x0a".to_vec()),
        (Kind::Pop3, false, b"+".to_vec()),
        (Kind::Imap, false, b"* OK".to_vec()),
    ]
}

#[test]
fn good_answers_are_good_with_their_last_byte_and_not_before() {
    for (kind, asked, answer) in good() {
        for length in 0..answer.len() {
            assert_eq!(kind.judge(asked, &answer[..length]), NeedMore, "{kind:?} {:?}", quote(&answer[..length]));
        }
        let whole = kind.judge(asked, &answer);
        assert_eq!(whole, if asked || !matches!(kind, Kind::Smtp(_)) { Alive } else { Ask }, "{kind:?}");
    }
}

#[test]
fn what_is_said_first() {
    assert_eq!(Kind::Tcp.judge(false, b""), Alive);
    assert_eq!(http_kind().judge(false, b""), Ask);
    assert_eq!(Kind::SslHello.judge(false, b""), Ask);
    assert_eq!(http_kind().request().as_ref(), b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(Kind::SslHello.request().len(), client_hello().len());
}

#[test]
fn bad_answers() {
    let is_bad = |kind: &Kind, asked, answer: &[u8]| reason(kind.judge(asked, answer));
    for (answer, why) in [
        (&b"HTTP/1.1 500 Internal Server Error\r\n"[..], "unexpected answer \"HTTP/1.1 500 Internal Server Error\""),
        (b"HTTP/1.1 404 ", "unexpected answer \"HTTP/1.1 404 \""),
        (b"HTTP/1.1 2000", "unexpected answer \"HTTP/1.1 2000\""),
        (b"HTTP/1.1  200 ", "unexpected answer \"HTTP/1.1  200 \""),
        (b"SSH-2.0-OpenSSH_9.2\r\nmore", "unexpected answer \"SSH-2.0-OpenSSH_9.2\""),
        (b"\r\n", "unexpected answer \"\""),
    ] {
        assert_eq!(is_bad(&http_kind(), true, answer), why);
    }
    let alert = is_bad(&Kind::SslHello, true, &[21, 3, 1, 0, 2, 2, 70]);
    assert_eq!(alert, "it answered the ClientHello with alert 70");
    for answer in [&b"HTTP/1.1 400 "[..], &[22, 2], &[22, 3, 3, 0, 4, 1], &[22, 3, 3, 0, 4, 2, 0, 0, 0], &[23]] {
        assert_eq!(is_bad(&Kind::SslHello, true, answer), "its answer is no ServerHello");
    }
    assert_eq!(is_bad(&smtp_kind(), false, b"554 go away\r\n"), "unexpected answer \"554 go away\"");
    assert_eq!(is_bad(&smtp_kind(), false, b"220-a\r\nb"), "unexpected answer \"b\"");
    assert_eq!(is_bad(&smtp_kind(), false, b"220 a\r\n250 b\r\n"), "it went on after its greeting");
    assert_eq!(is_bad(&smtp_kind(), true, b"502 no\r\n"), "unexpected answer \"502 no\"");
    assert_eq!(is_bad(&smtp_kind(), true, b"250_"), "unexpected answer \"250_\"");
    assert_eq!(is_bad(&Kind::Pop3, false, b"-ERR busy\r\n"), "unexpected answer \"-ERR busy\"");
    assert_eq!(is_bad(&Kind::Imap, false, b"* BYE\r\n"), "unexpected answer \"* BYE\"");
    assert_eq!(is_bad(&Kind::Imap, false, b"* PREAUTH"), "unexpected answer \"* PREAUTH\"");
    let blocked = b"\x0f\0\0\0\xff\x69\x04Host blocked";
    assert_eq!(Kind::Mysql.judge(false, &blocked[..10]), NeedMore);
    assert_eq!(is_bad(&Kind::Mysql, false, blocked), "MySQL error 1129: Host blocked");
    for answer in [&b"\x4a\0\0\x01\x0a"[..], b"\0\0\0\0", b"\x4a\0\0\0\x0b", b"HTTP/1.1 "] {
        assert_eq!(is_bad(&Kind::Mysql, false, answer), "its answer is no MySQL greeting");
    }
}

#[test]
fn no_answer_is_too_long_to_come_to_an_end() {
    assert_eq!(reason(smtp_kind().judge(false, &b"220-more\r\n".repeat(1000))), "its answer is too long");
    let endless = [&b"220 "[..], &[b'x'; LIMIT]].concat();
    assert_eq!(reason(smtp_kind().judge(true, &endless)), "its answer is too long");
    let error = [&b"\xff\xff\xff\0\xff\x69\x04"[..], &[b'x'; LIMIT]].concat();
    assert_eq!(reason(Kind::Mysql.judge(false, &error)), "its answer is too long");
}

/// Bytes that look like an answer at the beginning.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let beginnings: Vec<Vec<u8>> = good().into_iter().map(|(_, _, answer)| answer).collect();
    let tail =
        prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"0123456789 -\r\n".to_vec())], 0..60);
    (prop::sample::select(beginnings), 0usize..20, tail)
        .prop_map(|(beginning, kept, tail)| [&beginning[..kept.min(beginning.len())], &tail[..]].concat())
}

proptest! {
    /// Whatever comes: it is judged, a verdict holds whatever comes behind it, and a verdict comes within the limit.
    #[test]
    fn any_answer_is_judged_once_and_for_all(answer in answers()) {
        for (kind, asked) in every_way() {
            let mut verdict = NeedMore;
            for length in 0..=answer.len() {
                let judgement = kind.judge(asked, &answer[..length]);
                match (&verdict, &judgement) {
                    (NeedMore, _) => verdict = judgement,
                    (Alive, now) => prop_assert_eq!(now, &Alive, "{:?}", &kind),
                    // A greeting is over: what comes behind it is out of turn.
                    (Ask, now) if matches!(kind, Kind::Smtp(_)) => {
                        prop_assert!(matches!(now, Judgement::Dead(_)), "{:?}", now)
                    }
                    (Ask, now) => prop_assert_eq!(now, &Ask, "{:?}", &kind),
                    (Judgement::Dead(_), now) => prop_assert!(matches!(now, Judgement::Dead(_)), "{:?}", &kind),
                }
            }
            let filled = [&answer[..], &vec![b'2'; LIMIT]].concat();
            prop_assert_ne!(kind.judge(asked, &filled), NeedMore);
        }
    }
}
