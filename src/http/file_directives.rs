//! The directives of the caches of open files, which there are none of.

use super::directives::{HSL, row, with};
use super::level::Level;
use crate::conf::{Arity, Call, Directive, Result, value};

const OPENED: &str =
    "Accepted for compatibility, without effect: files are opened for each request, so they are never out of date.";

const LOG_OPENED: &str = "Accepted for compatibility, without effect: a log file whose path has variables is opened for each line, so a file that was moved away or removed is made anew at once.";

/// The rows that stand beside those of [`super::directives`].
pub(super) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: with(Arity::Between(1, 2), row("open_file_cache", HSL, "off | max=number [inactive=time]", "off", OPENED)),
        set: open_file_cache,
    },
    Directive {
        row: with(
            Arity::Between(1, 4),
            row(
                "open_log_file_cache",
                HSL,
                "off | max=number [inactive=time] [min_uses=number] [valid=time]",
                "off",
                LOG_OPENED,
            ),
        ),
        set: open_log_file_cache,
    },
    Directive {
        row: row("open_file_cache_errors", HSL, "on | off", "off", OPENED),
        set: |_, call| call.flag().map(drop),
    },
    Directive {
        row: row("open_file_cache_events", HSL, "on | off", "off", OPENED),
        set: |_, call| call.flag().map(drop),
    },
    Directive {
        row: row("open_file_cache_min_uses", HSL, "number", "1", OPENED),
        set: |_, call| call.number().map(drop),
    },
    Directive {
        row: row("open_file_cache_valid", HSL, "time", "60s", OPENED),
        set: |_, call| call.seconds().map(drop),
    },
];

fn open_file_cache(_: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let (mut max, mut off) = (false, false);
    for word in call.texts()? {
        let known = if let Some(number) = word.strip_prefix("max=") {
            max = value::number(number).is_some_and(|number| number > 0);
            max
        } else if let Some(time) = word.strip_prefix("inactive=") {
            value::time(time, false).is_some()
        } else {
            off = word == "off";
            off
        };
        if !known {
            return Err(call.error(format!("invalid \"open_file_cache\" parameter \"{word}\"")));
        }
    }
    if !max && !off {
        return Err(call.error("\"open_file_cache\" must have the \"max\" parameter"));
    }
    Ok(())
}

fn open_log_file_cache(_: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let (mut max, mut off) = (0, false);
    for word in call.texts()? {
        let known = match word.split_once('=') {
            Some(("max", number)) => value::number(number).inspect(|number| max = *number).is_some(),
            Some(("min_uses", number)) => value::number(number).is_some(),
            Some(("inactive" | "valid", time)) => value::time(time, false).is_some(),
            _ => {
                off |= word == "off";
                word == "off"
            }
        };
        if !known {
            return Err(call.error(format!("invalid \"open_log_file_cache\" parameter \"{word}\"")));
        }
    }
    if max == 0 && !off {
        return Err(call.error("\"open_log_file_cache\" must have \"max\" parameter"));
    }
    Ok(())
}
