//! What the `check*` directives of an `upstream {}` say.

use std::time::Duration;

use super::Check;
use super::answer::{Classes, Dialogue, Kind};
use crate::conf::{Call, Place, Result, value};

/// The check directives of one upstream as they are read; they may stand in any order.
#[derive(Default)]
pub struct Settings {
    check: Option<Check>,
    http: Sent,
    smtp: Sent,
    /// The directives about what one kind of check says, by that kind's name.
    details: Vec<(&'static str, Place, String)>,
}

/// `check_*_send` and `check_*_expect_alive`.
#[derive(Default)]
struct Sent {
    send: Option<Vec<u8>>,
    expect: Option<Classes>,
}

impl Sent {
    fn complete(self, default: Dialogue) -> Dialogue {
        Dialogue { send: self.send.unwrap_or(default.send), expect: self.expect.unwrap_or(default.expect) }
    }
}

fn http_default() -> Dialogue {
    Dialogue { send: b"GET / HTTP/1.0\r\n\r\n".to_vec(), expect: Classes::of(2).or(Classes::of(3)) }
}

fn smtp_default() -> Dialogue {
    Dialogue { send: b"HELO smtp.localdomain\r\n".to_vec(), expect: Classes::of(2) }
}

impl Settings {
    /// Takes `check`.
    ///
    /// # Errors
    /// A word that is no parameter or has a bad value.
    pub fn check(&mut self, call: &mut Call<'_>) -> Result<()> {
        let mut check = Check::default();
        for word in call.texts()? {
            set(&mut check, word).ok_or_else(|| call.error(format!("invalid parameter \"{word}\"")))?;
        }
        self.check = Some(check);
        Ok(())
    }

    /// Takes `check_http_send`.
    ///
    /// # Errors
    /// None; the form is that of setters.
    pub fn http_send(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.detail("http", call);
        self.http.send = Some(call.bytes(1).to_vec());
        Ok(())
    }

    /// Takes `check_http_expect_alive`.
    ///
    /// # Errors
    /// A word that names no class.
    pub fn http_expect(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.detail("http", call);
        self.http.expect = Some(classes(call, ["http_2xx", "http_3xx", "http_4xx", "http_5xx"])?);
        Ok(())
    }

    /// Takes `check_smtp_send`.
    ///
    /// # Errors
    /// None; the form is that of setters.
    pub fn smtp_send(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.detail("smtp", call);
        self.smtp.send = Some(call.bytes(1).to_vec());
        Ok(())
    }

    /// Takes `check_smtp_expect_alive`.
    ///
    /// # Errors
    /// A word that names no class.
    pub fn smtp_expect(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.detail("smtp", call);
        self.smtp.expect = Some(classes(call, ["smtp_2xx", "smtp_3xx", "smtp_4xx", "smtp_5xx"])?);
        Ok(())
    }

    fn detail(&mut self, kind: &'static str, call: &Call<'_>) {
        self.details.push((kind, call.node.place.clone(), call.name().to_owned()));
    }

    /// Whether there is a `check`.
    pub fn is_checked(&self) -> bool {
        self.check.is_some()
    }

    /// What the directives that mean nothing without a `check` of their kind should be warned about with.
    pub fn idle(&self) -> impl Iterator<Item = (&Place, String)> {
        let kind = self.check.as_ref().map(|check| check.kind.name());
        self.details
            .iter()
            .filter(move |(of, ..)| kind != Some(of))
            .map(|(of, place, directive)| (place, format!("\"{directive}\" has no effect without \"check type={of}\"")))
    }

    /// The check they make up.
    pub fn build(self) -> Option<Check> {
        let mut check = self.check?;
        check.kind = match check.kind {
            Kind::Http(default) => Kind::Http(self.http.complete(default)),
            Kind::Smtp(default) => Kind::Smtp(self.smtp.complete(default)),
            other => other,
        };
        Some(check)
    }
}

/// Takes one parameter of `check`; `None` when it is not one or its value is malformed.
fn set(check: &mut Check, parameter: &str) -> Option<()> {
    let (name, text) = parameter.split_once('=')?;
    let number = || value::number(text).and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0);
    let flag = || match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    match name {
        "interval" => check.interval = Duration::from_millis(number()?.into()),
        "timeout" => check.timeout = Duration::from_millis(number()?.into()),
        "fall" => check.fall = number()?,
        "rise" => check.rise = number()?,
        "type" => check.kind = kind(text)?,
        "default_down" => check.default_down = flag()?,
        "port" => check.port = Some(number().and_then(|n| u16::try_from(n).ok())?),
        "on_down" if text == "close" => check.close_sessions = true,
        _ => return None,
    }
    Some(())
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "tcp" => Kind::Tcp,
        "http" => Kind::Http(http_default()),
        "ssl_hello" => Kind::SslHello,
        "smtp" => Kind::Smtp(smtp_default()),
        "mysql" => Kind::Mysql,
        "pop3" => Kind::Pop3,
        "imap" => Kind::Imap,
        _ => return None,
    })
}

/// The arguments as classes, the words standing for the digits 2 to 5; in nginx's way with a list of flags.
fn classes(call: &mut Call<'_>, words: [&str; 4]) -> Result<Classes> {
    let choices: Vec<(&str, Classes)> = words.into_iter().zip((2..).map(Classes::of)).collect();
    let mut all = Classes(0);
    for i in 1..=call.count() {
        let class = call.choice(i, &choices)?;
        if all.or(class) == all {
            call.warn(format!("duplicate value \"{}\"", call.text(i)?));
        }
        all = all.or(class);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Option<Check> {
        let mut check = Check::default();
        words.iter().try_for_each(|word| set(&mut check, word)).map(|()| check)
    }

    #[test]
    fn parameters_are_taken_in_any_order() {
        let words = "port=81 type=imap timeout=40 rise=3 on_down=close fall=4 interval=500 default_down=false";
        let check = Check {
            interval: Duration::from_millis(500),
            fall: 4,
            rise: 3,
            timeout: Duration::from_millis(40),
            kind: Kind::Imap,
            default_down: false,
            port: Some(81),
            close_sessions: true,
        };
        assert_eq!(parse(&words.split(' ').collect::<Vec<_>>()), Some(check));
    }

    #[test]
    fn the_defaults_are_those_of_the_old_module() {
        let check = parse(&["type=tcp"]).unwrap();
        assert_eq!((check.interval.as_millis(), check.timeout.as_millis()), (30_000, 1_000));
        assert_eq!((check.fall, check.rise, check.kind.name()), (5, 2, "tcp"));
        assert_eq!((check.default_down, check.port, check.close_sessions), (true, None, false));
    }

    #[test]
    fn every_kind_has_its_name() {
        for name in ["tcp", "http", "ssl_hello", "smtp", "mysql", "pop3", "imap"] {
            assert_eq!(kind(name).unwrap().name(), name);
        }
    }

    #[test]
    fn other_parameters_are_refused() {
        let faults = [
            "interval=3s",
            "interval=0",
            "interval=",
            "interval=-1",
            "interval",
            "fall=0",
            "rise=x",
            "timeout=1ms",
            "type=ftp",
            "type=",
            "type=TCP",
            "default_down=on",
            "port=0",
            "port=65536",
            "on_down=keep",
            "on_down",
            "interval=99999999999",
            "",
            "weight=1",
        ];
        for fault in faults {
            assert_eq!(parse(&["fall=2", fault]), None, "{fault}");
        }
    }
}
