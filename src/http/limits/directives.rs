//! The directives of `limit_req` and `limit_conn`.

use std::rc::Rc;

use super::zone::{Kind, Zone};
use super::{Most, Rate, SaidManner};
use crate::conf::{Arity, Call, Contexts, Directive, Result, value};
use crate::http::directives::{HSL, repeated, row, with};
use crate::http::level::Level;
use crate::log;

const H: Contexts = Contexts::HTTP;
/// The least that nginx makes a zone of: eight pages.
const LEAST: usize = 8 * 4096;
/// nginx counts connections in 16 bits.
const MOST: usize = 65_535;

/// The rows that stand beside those of [`crate::http::directives`].
pub(in crate::http) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: repeated(with(
            Arity::Exactly(3),
            row(
                "limit_req_zone",
                H,
                "key zone=name:size rate=number(r/s|r/m)",
                "-",
                "Memory in which all workers count requests by a key, a text with variables, and how many of one key `limit_req` lets through in a second or a minute. A key takes some 50 bytes; when there is no room the one that was seen longest ago is forgotten. Counts are kept over a reload that does not change the zone's size and key.",
            ),
        )),
        set: |level, call| zone(level, call),
    },
    Directive {
        row: repeated(with(
            Arity::Exactly(2),
            row(
                "limit_conn_zone",
                H,
                "key zone=name:size",
                "-",
                "Memory in which all workers count the requests that are at work, by a key, a text with variables. A key takes some 50 bytes while it has any; when there is no room for another its request is refused.",
            ),
        )),
        set: |level, call| zone(level, call),
    },
    Directive {
        row: repeated(with(
            Arity::Between(1, 3),
            row(
                "limit_req",
                HSL,
                "zone=name [burst=number] [nodelay | delay=number]",
                "-",
                "Requests past the zone's rate wait for their time, those past `delay` at least; when more than `burst` would wait they are refused. `nodelay`: none waits. Several may be given; those of a level replace those above it. Requests whose key is empty are not counted.",
            ),
        )),
        set: limit_req,
    },
    Directive {
        row: repeated(with(
            Arity::Exactly(2),
            row(
                "limit_conn",
                HSL,
                "zone number",
                "-",
                "How many requests of a key may be at work; those past it are refused. Several may be given; those of a level replace those above it.",
            ),
        )),
        set: limit_conn,
    },
    Directive {
        row: row(
            "limit_req_status",
            HSL,
            "code",
            "503",
            "The status of requests that `limit_req` refuses, from 400 to 599.",
        ),
        set: |level, call| status(&mut level.limits.rate_manner, call),
    },
    Directive {
        row: row(
            "limit_conn_status",
            HSL,
            "code",
            "503",
            "The status of requests that `limit_conn` refuses, from 400 to 599.",
        ),
        set: |level, call| status(&mut level.limits.most_manner, call),
    },
    Directive {
        row: row(
            "limit_req_log_level",
            HSL,
            "info | notice | warn | error",
            "error",
            "The level of lines about requests that `limit_req` refuses; of those that it delays it is one less.",
        ),
        set: |level, call| log_level(&mut level.limits.rate_manner, call),
    },
    Directive {
        row: row(
            "limit_conn_log_level",
            HSL,
            "info | notice | warn | error",
            "error",
            "The level of lines about requests that `limit_conn` refuses.",
        ),
        set: |level, call| log_level(&mut level.limits.most_manner, call),
    },
    Directive {
        row: row("limit_req_dry_run", HSL, "on | off", "off", "Whether `limit_req` only logs what it would do."),
        set: |level, call| {
            level.limits.rate_manner.dry_run = Some(call.flag()?);
            Ok(())
        },
    },
    Directive {
        row: row("limit_conn_dry_run", HSL, "on | off", "off", "Whether `limit_conn` only logs what it would do."),
        set: |level, call| {
            level.limits.most_manner.dry_run = Some(call.flag()?);
            Ok(())
        },
    },
];

/// A word as it was written, for messages about it.
fn written(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// The value of the first argument from `from` on that begins so.
fn named<'a>(call: &Call<'a>, from: usize, name: &str) -> Option<&'a [u8]> {
    (from..=call.count()).find_map(|i| call.bytes(i).strip_prefix(name.as_bytes()))
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok().and_then(value::number)
}

fn zone(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let counts_requests = call.name() == "limit_req_zone";
    let key = level.registry.text(call.bytes(1), &call.node.place).map_err(|message| call.error(message))?;
    let key_text = written(call.bytes(1));
    for i in 2..=call.count() {
        let word = call.bytes(i);
        if !(word.starts_with(b"zone=") || counts_requests && word.starts_with(b"rate=")) {
            return Err(call.error(format!("invalid parameter \"{}\"", written(word))));
        }
    }
    let zone = named(call, 2, "zone=").map(written).unwrap_or_default();
    let (name, size) = match zone.split_once(':') {
        Some(("", _)) => ("", None),
        Some((name, size)) => (name, Some(size)),
        None if zone.is_empty() => ("", None),
        None => return Err(call.error(format!("invalid zone size \"zone={zone}\""))),
    };
    let Some(size) = size else {
        return Err(call.error(format!("\"{}\" must have \"zone\" parameter", call.name())));
    };
    let size = value::size(size).ok_or_else(|| call.error(format!("invalid zone size \"zone={zone}\"")))?;
    if size < LEAST {
        return Err(call.error(format!("zone \"zone={zone}\" is too small")));
    }
    let kind = match counts_requests {
        true => Kind::Requests {
            rate: rate(named(call, 2, "rate=").unwrap_or(b"1")).ok_or_else(|| {
                call.error(format!("invalid rate \"rate={}\"", written(named(call, 2, "rate=").unwrap_or_default())))
            })?,
        },
        false => Kind::Connections,
    };
    if let Some(known) = level.zones.iter().find(|known| known.name == name) {
        let message = if known.kind.directive() != kind.directive() {
            format!("the shared memory zone \"{name}\" is already declared for a different use")
        } else if known.size != size {
            format!(
                "the size {size} of shared memory zone \"{name}\" conflicts with already declared size {}",
                known.size
            )
        } else {
            format!("{} \"{name}\" is already bound to key \"{}\"", call.name(), known.key_text)
        };
        return Err(call.error(message));
    }
    level.zones.push(Rc::new(Zone::new(name, size, kind, key, key_text)));
    Ok(())
}

/// Thousandths of a request a second.
fn rate(text: &[u8]) -> Option<u64> {
    let (text, seconds) = match text.strip_suffix(b"r/m") {
        Some(text) => (text, 60),
        None => (text.strip_suffix(b"r/s").unwrap_or(text), 1),
    };
    let rate = number(text).filter(|rate| *rate > 0)? as u64;
    Some(rate.checked_mul(1000)? / seconds)
}

fn limit_req(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let (mut zone, mut burst, mut delay) = (String::new(), 0, Some(0));
    let thousandths = |text: &[u8]| number(text).and_then(|number| (number as u64).checked_mul(1000));
    for i in 1..=call.count() {
        let word = call.bytes(i);
        let invalid = |what: &str| call.error(format!("invalid {what} \"{}\"", written(word)));
        if let Some(name) = word.strip_prefix(b"zone=") {
            zone = written(name);
        } else if let Some(text) = word.strip_prefix(b"burst=") {
            burst = thousandths(text).filter(|burst| *burst > 0).ok_or_else(|| invalid("burst value"))?;
        } else if let Some(text) = word.strip_prefix(b"delay=") {
            delay = Some(thousandths(text).filter(|delay| *delay > 0).ok_or_else(|| invalid("delay value"))?);
        } else if word == b"nodelay" {
            delay = None;
        } else {
            return Err(invalid("parameter"));
        }
    }
    if zone.is_empty() {
        return Err(call.error("\"limit_req\" must have \"zone\" parameter"));
    }
    let rates = level.limits.rates.get_or_insert_default();
    if rates.iter().any(|rate| rate.zone.0 == zone) {
        return Err(call.duplicate());
    }
    rates.push(Rate { zone: (zone, call.node.place.clone()), burst, delay: delay.unwrap_or(u64::MAX) });
    Ok(())
}

fn limit_conn(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let mosts = level.limits.mosts.get_or_insert_default();
    let zone = written(call.bytes(1));
    if mosts.iter().any(|most| most.zone.0 == zone) {
        return Err(call.duplicate());
    }
    let most = number(call.bytes(2)).filter(|most| *most > 0);
    let most =
        most.ok_or_else(|| call.error(format!("invalid number of connections \"{}\"", written(call.bytes(2)))))?;
    if most > MOST {
        return Err(call.error("connection limit must be less 65536"));
    }
    mosts.push(Most { zone: (zone, call.node.place.clone()), connections: most as u64 });
    Ok(())
}

fn status(manner: &mut SaidManner, call: &mut Call<'_>) -> Result<()> {
    let status = u16::try_from(call.number()?).ok().filter(|status| (400..=599).contains(status));
    manner.status = Some(status.ok_or_else(|| call.error("value must be between 400 and 599"))?);
    Ok(())
}

fn log_level(manner: &mut SaidManner, call: &mut Call<'_>) -> Result<()> {
    use log::Level::{Error, Info, Notice, Warn};
    manner.level = Some(call.choice(1, &[("info", Info), ("notice", Notice), ("warn", Warn), ("error", Error)])?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (text, thousandths) in [
            ("1r/s", Some(1000)),
            ("30r/m", Some(500)),
            ("1r/m", Some(16)),
            ("5", Some(5000)),
            ("0r/s", None),
            ("1r/h", None),
            ("r/s", None),
            ("-1r/s", None),
        ] {
            assert_eq!(rate(text.as_bytes()), thousandths, "{text}");
        }
    }
}
