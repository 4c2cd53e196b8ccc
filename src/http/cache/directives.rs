//! The directives of caching.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::key::Levels;
use super::level::Use;
use super::zone::Zone;
use super::{Cache, Pace, mirror, purge};
use crate::conf::{Arity, Call, Directive, Result, value};
use crate::http::directives::{HSL, repeated, row, with};
use crate::http::level::Level;
use crate::http::proxy::next::Fault;
use crate::http::variables::Text;
use crate::net::access::Match;
use crate::relay::page_size;

/// Seconds: nginx's `inactive`.
const INACTIVE: u64 = 600;
/// nginx's `manager_files` and `loader_files`, `_threshold`, `_sleep`.
const PACE: Pace = Pace { files: 100, threshold: Duration::from_millis(200), sleep: Duration::from_millis(50) };

/// A directive whose value is put where `$field` is.
macro_rules! value {
    ($row:expr, $field:ident, $read:ident) => {
        Directive {
            row: $row,
            set: |level: &mut Level, call| {
                level.proxy.cache.$field = Some(call.$read()?);
                Ok(())
            },
        }
    };
}

/// A directive with one or more texts, of which any may hold.
macro_rules! predicate {
    ($name:literal, $field:ident, $help:literal) => {
        Directive {
            row: repeated(with(Arity::AtLeast(1), row($name, HSL, "string ...", "-", $help))),
            set: |level: &mut Level, call| {
                let texts = texts(level, call)?;
                level.proxy.cache.$field.get_or_insert_default().extend(texts);
                Ok(())
            },
        }
    };
}

/// The table.
pub(in crate::http) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: repeated(with(
            Arity::AtLeast(2),
            row(
                "proxy_cache_path",
                crate::conf::Contexts::HTTP,
                "path [levels=levels] [use_temp_path=on|off] keys_zone=name:size [inactive=time] [max_size=size] [min_free=size] [manager_files=number] [manager_sleep=time] [manager_threshold=time] [loader_files=number] [loader_sleep=time] [loader_threshold=time]",
                "-",
                "A cache: the folder of its files, and the memory in which workers share what they know of them, some 8000 entries a megabyte. `levels`: folders in the folder, by the digits that each takes from the end of a file's name (`1:2`). `inactive` (10m): entries that nobody asks for so long are given up. `max_size`, `min_free`: how much of the disk the files may take, and is to be left; what was asked for longest ago goes first. The rest says how long the cache manager and the cache loader work before they pause: files (100), time (200ms), and the pause (50ms). `use_temp_path` (on): answers are written below `proxy_temp_path`, and copied where that is another file system, as in nginx by the worker in one go, while others wait; `off`: in the folder, where nothing is copied. Files have no name until they are complete. What else stands in the folder is left there. With `master_process off` there is no manager and no loader, as in nginx: nothing is given up but for want of room in the zone.",
            ),
        )),
        set: path,
    },
    Directive {
        row: row(
            "proxy_cache",
            HSL,
            "zone | off",
            "off",
            "The cache that answers of servers are kept in, by the name of its zone; variables may be used. Only answers that are buffered are kept. Clients' conditions and ranges are answered by weir then, and not passed on.",
        ),
        set: |level, call| {
            if level.proxy.cache.store.as_ref().is_some_and(Option::is_some) {
                return Err(call.error("\"proxy_cache\" directive is incompatible with \"proxy_store\""));
            }
            level.proxy.cache.zone = Some(match call.text(1)? {
                "off" => Use::Off,
                name if name.contains('$') => Use::Named(text(level, call, 1)?),
                name => Use::Zone(name.to_owned(), call.node.place.clone()),
            });
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_cache_key",
            HSL,
            "string",
            "$scheme$proxy_host$request_uri",
            "What tells answers apart. By default the URL that the server is asked for.",
        ),
        set: |level, call| {
            level.proxy.cache.key = Some(text(level, call, 1)?);
            Ok(())
        },
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "proxy_cache_valid",
                HSL,
                "[status | any ...] time",
                "-",
                "How long answers of these statuses are fresh, or of 200, 301 and 302 where none is named, unless their fields say it: `X-Accel-Expires`, `Cache-Control`, `Expires`, in this order of precedence. Answers with `Set-Cookie` or a `*` in `Vary` are not kept. With 502 or 504, also that servers fail is remembered for that time.",
            ),
        )),
        set: valid,
    },
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "proxy_cache_methods",
                HSL,
                "GET | HEAD | POST ...",
                "GET HEAD",
                "The methods whose answers are kept; GET and HEAD are always among them.",
            ),
        )),
        set: |level, call| {
            let said = level.proxy.cache.methods.get_or_insert_default();
            call.choices(&[("GET", 0), ("HEAD", 1), ("POST", 2)], |method| !std::mem::replace(&mut said[method], true))
        },
    },
    value!(
        row(
            "proxy_cache_min_uses",
            HSL,
            "number",
            "1",
            "How often something must be asked for before the answer is kept."
        ),
        min_uses,
        number
    ),
    predicate!(
        "proxy_cache_bypass",
        bypass,
        "A server is asked where any of these is neither empty nor `0`; its answer may be kept."
    ),
    predicate!("proxy_no_cache", no_cache, "The answer is not kept where any of these is neither empty nor `0`."),
    Directive {
        row: repeated(with(
            Arity::AtLeast(1),
            row(
                "proxy_cache_use_stale",
                HSL,
                "error | timeout | invalid_header | updating | http_500 | http_502 | http_503 | http_504 | http_403 | http_404 | http_429 | off ...",
                "off",
                "When an answer is given that is not fresh any more: after these failures of servers, and with `updating` to all but the one request that brings it up to date. `stale-if-error` and `stale-while-revalidate` of `Cache-Control` allow it for a time.",
            ),
        )),
        set: |level, call| {
            let said = level.proxy.cache.use_stale.get_or_insert(Fault::NONE);
            call.choices(&Fault::WORDS, |fault| said.add(fault))
        },
    },
    value!(
        row(
            "proxy_cache_background_update",
            HSL,
            "on | off",
            "off",
            "Whether the request that finds an old answer gets it too, and the server is asked on the side; where old answers may be given (`updating`).",
        ),
        background_update,
        flag
    ),
    value!(
        row(
            "proxy_cache_revalidate",
            HSL,
            "on | off",
            "off",
            "Whether a server is asked only whether an old answer has changed (`If-Modified-Since`, `If-None-Match`).",
        ),
        revalidate,
        flag
    ),
    value!(
        row(
            "proxy_cache_lock",
            HSL,
            "on | off",
            "off",
            "Whether of several requests for something unknown only one goes to a server, and the others wait for its answer.",
        ),
        lock,
        flag
    ),
    value!(
        row(
            "proxy_cache_lock_timeout",
            HSL,
            "time",
            "5s",
            "How long they wait before they go to a server too, whose answer is not kept then."
        ),
        lock_timeout,
        time
    ),
    value!(
        row(
            "proxy_cache_lock_age",
            HSL,
            "time",
            "5s",
            "How long the one may take before another is let go to a server, whose answer may be kept."
        ),
        lock_age,
        time
    ),
    value!(
        row(
            "proxy_cache_convert_head",
            HSL,
            "on | off",
            "on",
            "Whether a server is asked with GET for what a client asks for with HEAD. `off`: the key should have `$request_method` in it.",
        ),
        convert_head,
        flag
    ),
    Directive {
        row: row(
            "proxy_cache_max_range_offset",
            HSL,
            "number",
            "-",
            "Requests for a part that begins behind so many bytes, or is counted from the end, are passed on as they are, and the answer is not kept.",
        ),
        set: |level, call| {
            level.proxy.cache.max_range_offset = Some(call.size()? as u64);
            Ok(())
        },
    },
    Directive {
        row: with(
            Arity::AtLeast(1),
            row(
                "proxy_cache_purge",
                HSL,
                "string ... [allow=address | allow=network | allow=unix: ...]",
                "-",
                "A request for which any of the strings is neither empty nor `0` gives up what is kept under its key, or where that ends with `*` all whose keys begin so: 204, or 404 where there is nothing. Only clients at the addresses of `allow` may do so, others get 403; without `allow`, whoever the location lets in.",
            ),
        ),
        set: |level, call| {
            let mut rule = purge::Rule::default();
            for i in 1..=call.count() {
                match call.bytes(i).strip_prefix(b"allow=") {
                    Some(client) => {
                        let client = std::str::from_utf8(client).ok().and_then(Match::parse).map(|(client, _)| client);
                        let invalid =
                            || call.error(format!("invalid parameter \"{}\"", String::from_utf8_lossy(call.bytes(i))));
                        rule.clients.get_or_insert_default().push(client.ok_or_else(invalid)?);
                    }
                    None => rule.when.push(text(level, call, i)?),
                }
            }
            if rule.when.is_empty() {
                return Err(call.invalid());
            }
            level.proxy.cache.purge = Some(rule);
            Ok(())
        },
    },
    Directive {
        row: row(
            "proxy_store",
            HSL,
            "on | off | string",
            "off",
            "Where complete answers with 200 are kept as files, for good: below `root` or `alias` by their path (`on`), or where the string with its variables says. Nobody but whoever serves these files makes use of them.",
        ),
        set: |level, call| {
            let uses = |said: &Use| !matches!(said, Use::Off);
            let target = match call.bytes(1) {
                b"off" => None,
                _ if level.proxy.cache.zone.as_ref().is_some_and(uses) => {
                    return Err(call.error("\"proxy_store\" directive is incompatible with \"proxy_cache\""));
                }
                b"on" => Some(mirror::Target::Root),
                _ => Some(mirror::Target::Path(text(level, call, 1)?, call.loader.prefix.clone())),
            };
            level.proxy.cache.store = Some(target);
            Ok(())
        },
    },
    Directive {
        row: with(
            Arity::Between(1, 3),
            row(
                "proxy_store_access",
                HSL,
                "user:rw | group:r | all:rw ...",
                "user:rw",
                "Who may read and write what `proxy_store` makes; `group` and `all` bring the user's `rw` with them.",
            ),
        ),
        set: |level, call| {
            let mut access = 0o600;
            for i in 1..=call.count() {
                let invalid = || call.error(format!("invalid value \"{}\"", String::from_utf8_lossy(call.bytes(i))));
                let (who, may) = call.text(i)?.split_once(':').ok_or_else(invalid)?;
                let shift = match who {
                    "user" => 6,
                    "group" => 3,
                    "all" => 0,
                    _ => return Err(invalid()),
                };
                let bits = match may {
                    "r" => 4,
                    "rw" => 6,
                    _ => return Err(invalid()),
                };
                access |= bits << shift;
            }
            level.proxy.cache.store_access = Some(access);
            Ok(())
        },
    },
];

fn text(level: &mut Level, call: &Call<'_>, i: usize) -> Result<Text> {
    level.registry.text(call.bytes(i), &call.node.place).map_err(|message| call.error(message))
}

fn texts(level: &mut Level, call: &Call<'_>) -> Result<Vec<Text>> {
    (1..=call.count()).map(|i| text(level, call, i)).collect()
}

fn valid(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let count = call.count();
    let word = call.text(count)?;
    let time = value::time(word, false).ok_or_else(|| call.error(format!("invalid time value \"{word}\"")))?;
    let rules = level.proxy.cache.valid.get_or_insert_default();
    if count == 1 {
        rules.extend([200, 301, 302].map(|status| (status, time)));
    }
    for i in 1..count {
        let status = match call.text(i)? {
            "any" => 0,
            text => {
                let status = text.parse().ok().filter(|status| (100..600).contains(status));
                status.ok_or_else(|| call.error(format!("invalid status \"{text}\"")))?
            }
        };
        rules.push((status, time));
    }
    Ok(())
}

fn path(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let path = call.path(1);
    let path = path.to_str().map(|path| PathBuf::from(path.trim_end_matches('/'))).unwrap_or(path);
    let (mut manager, mut loader) = (PACE, PACE);
    let (mut levels, mut zone, mut use_temp_path) = (Levels::default(), None, true);
    let (mut inactive, mut max_size, mut min_free) = (INACTIVE, u64::MAX, 0);
    for i in 2..=call.count() {
        let word = call.text(i)?;
        let (name, said) = word.split_once('=').unwrap_or((word, ""));
        let invalid = || call.error(format!("invalid {name} value \"{word}\""));
        let time = || value::time(said, true).ok_or_else(invalid);
        let files = || value::number(said).ok_or_else(invalid);
        let size = || value::size(said).map(|size| size as u64).ok_or_else(invalid);
        match name {
            "levels" => {
                levels = Levels::parse(said).ok_or_else(|| call.error(format!("invalid \"levels\" \"{word}\"")))?;
            }
            "use_temp_path" => {
                use_temp_path = match said {
                    "on" => true,
                    "off" => false,
                    _ => {
                        return Err(
                            call.error(format!("invalid use_temp_path value \"{word}\", it must be \"on\" or \"off\""))
                        );
                    }
                }
            }
            "keys_zone" => zone = Some(keys_zone(call, word, said)?),
            "inactive" => inactive = value::time(said, false).ok_or_else(invalid)?.as_secs(),
            "max_size" => max_size = size()?,
            "min_free" => min_free = size()?,
            "manager_files" => manager.files = files()?,
            "manager_sleep" => manager.sleep = time()?,
            "manager_threshold" => manager.threshold = time()?,
            "loader_files" => loader.files = files()?,
            "loader_sleep" => loader.sleep = time()?,
            "loader_threshold" => loader.threshold = time()?,
            _ => return Err(call.error(format!("invalid parameter \"{word}\""))),
        }
    }
    let Some(zone) = zone else {
        return Err(call.error("\"proxy_cache_path\" must have \"keys_zone\" parameter"));
    };
    for (other, place) in level.caches.iter().zip(&level.cache_places) {
        if other.zone.name == zone.name {
            let (name, size, declared) = (&zone.name, zone.size, other.zone.size);
            return Err(call.error(match size == declared {
                true => format!("duplicate zone \"{name}\""),
                false => {
                    format!("the size {size} of shared memory zone \"{name}\" conflicts with already declared size {declared}")
                }
            }));
        }
        if other.path == path {
            return Err(call.error(format!("the same path name \"{}\" used in {place} and", path.display())));
        }
    }
    let cache = Cache { zone, path, levels, inactive, max_size, min_free, use_temp_path, manager, loader };
    level.cache_places.push(call.node.place.clone());
    level.caches.push(Rc::new(cache));
    Ok(())
}

/// `name:size`, a size of two pages at least.
fn keys_zone(call: &Call<'_>, word: &str, said: &str) -> Result<Zone> {
    let invalid = || call.error(format!("invalid keys zone size \"{word}\""));
    let (name, size) = said.split_once(':').ok_or_else(invalid)?;
    let size = value::size(size).ok_or_else(invalid)?;
    if size < 2 * page_size() {
        return Err(call.error(format!("keys zone \"{word}\" is too small")));
    }
    if name.is_empty() {
        return Err(call.error("\"proxy_cache_path\" must have \"keys_zone\" parameter"));
    }
    Ok(Zone::new(name, size))
}
