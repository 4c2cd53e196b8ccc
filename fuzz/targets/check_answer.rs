//! What checked servers answer, held against each kind of check.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir::upstream::checks::answer::{Classes, Dialogue, Judgement, Kind, LIMIT};
use weir_fuzz::Cuts;

fn kinds() -> [Kind; 7] {
    let dialogue = |expect| Dialogue { send: b"hello\r\n".to_vec(), expect };
    let http = dialogue(Classes::of(2).or(Classes::of(3)));
    let smtp = dialogue(Classes::of(2));
    [Kind::Tcp, Kind::Http(http), Kind::SslHello, Kind::Smtp(smtp), Kind::Mysql, Kind::Pop3, Kind::Imap]
}

fuzz_target!(|answer: &[u8]| {
    for kind in kinds() {
        for asked in [false, true] {
            check(&kind, asked, answer);
        }
    }
});

/// A verdict holds whatever comes behind it, and one comes within the limit.
fn check(kind: &Kind, asked: bool, answer: &[u8]) {
    let mut verdict = kind.judge(asked, b"");
    for end in Cuts::of(answer) {
        let judgement = kind.judge(asked, &answer[..end]);
        if let Judgement::Dead(reason) = &judgement {
            assert!(reason.len() < 1000, "a reason fits into a line of the log");
        }
        match (&verdict, &judgement) {
            (Judgement::NeedMore, _) => verdict = judgement,
            (Judgement::Alive, now) => assert_eq!(*now, Judgement::Alive, "{kind:?}"),
            // A greeting is over: what comes behind it is out of turn.
            (Judgement::Ask, now) if matches!(kind, Kind::Smtp(_)) => {
                assert!(matches!(now, Judgement::Dead(_)), "{now:?}")
            }
            (Judgement::Ask, now) => assert_eq!(*now, Judgement::Ask, "{kind:?}"),
            (Judgement::Dead(_), now) => assert!(matches!(now, Judgement::Dead(_)), "{kind:?} {now:?}"),
        }
    }
    if kind.judge(asked, answer) == Judgement::NeedMore {
        let filled = [answer, &[b'2'; LIMIT]].concat();
        assert_ne!(kind.judge(asked, &filled[..LIMIT]), Judgement::NeedMore, "{kind:?}");
    }
    if asked && *kind != Kind::Tcp {
        assert_ne!(kind.judge(true, answer), Judgement::Ask, "{kind:?}");
    }
}
