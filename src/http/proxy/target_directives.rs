//! The directives that say how servers are found and reached.

use std::net::{IpAddr, SocketAddr};

use crate::conf::{Arity, Call, Contexts, Directive, Result};
use crate::http::directives::{row, with};
use crate::http::level::Level;
use crate::net::Address;
use crate::resolver;

const HSL: Contexts = Contexts::HTTP.or(Contexts::HTTP_SERVER).or(Contexts::HTTP_LOCATION);

/// The table.
pub(in crate::http) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: with(
            Arity::AtLeast(1),
            row(
                "resolver",
                HSL,
                "address[:port] ... [valid=time] [ipv4=on|off] [ipv6=on|off] [status_zone=name] | off",
                "off",
                "Name servers for the hosts that a `proxy_pass` with variables names, and, said in `http {}`, for the `resolve` servers of its `upstream {}` blocks. An answer is used as long as it says it is good, or `valid`; each request begins with another address of it. `status_zone` is accepted.",
            ),
        ),
        set: |level, call| {
            let settings = resolver::parse(&call.texts()?).map_err(|message| call.error(message))?;
            level.proxy.resolver = Some(settings);
            Ok(())
        },
    },
    Directive {
        row: row(
            "resolver_timeout",
            HSL,
            "time",
            "30s",
            "How long resolving a name may take, all servers and retries together; then it is 502.",
        ),
        set: |level, call| {
            level.proxy.resolver_timeout = Some(call.time()?);
            Ok(())
        },
    },
    Directive {
        row: with(
            Arity::Between(1, 2),
            row(
                "proxy_bind",
                HSL,
                "address[:port] | off",
                "off",
                "The address of this machine that connections to servers begin at; it may have variables, and none is meant where they come to nothing. `transparent` is refused: it needs privileges that workers have given up.",
            ),
        ),
        set: bind,
    },
];

fn bind(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let word = call.text(1)?.to_owned();
    if word == "off" && call.count() == 1 {
        level.proxy.bind = Some(None);
        return Ok(());
    }
    if !word.contains('$') && bind_address(&word).is_none() {
        return Err(call.error(format!("invalid address \"{word}\"")));
    }
    if call.count() == 2 {
        return Err(match call.text(2)? {
            "transparent" => call
                .error("\"transparent\" in \"proxy_bind\" is not offered by weir: workers have no privileges for it"),
            other => call.error(format!("invalid parameter \"{other}\"")),
        });
    }
    let text = level.registry.text(word.as_bytes(), &call.node.place).map_err(|message| call.error(message))?;
    level.proxy.bind = Some(Some(text));
    Ok(())
}

/// The address that a value of `proxy_bind` is; its port is 0 where none is given.
pub(super) fn bind_address(text: &str) -> Option<Address> {
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)).or_else(|_| text.parse()).ok()?;
    Some(Address::Inet(address))
}
