//! The setters of the `http {}` directives that are more than a value put in its place.

use std::rc::Rc;

use super::basic_auth::Users;
use super::directives::{TABLES, TYPES};
use super::level::{Builder, Level};
use super::location::{Pattern, nests};
use super::names::Name;
use super::returns::Return;
use super::types::Types;
use super::variables::Text;
use super::{Content, Tokens, variables};
use crate::conf::{Call, Result, value};
use crate::log::directive;
use crate::log::format::Escape;
use crate::net::access::Rule;

/// Reads one `http {}`: the setter of the main context's row.
///
/// # Errors
/// The first fault in the block.
pub fn http_block(builder: &mut Builder, call: &mut Call<'_>) -> Result<()> {
    let mut level = Level::default();
    call.apply_all(TABLES, &mut level)?;
    builder.blocks.push(level);
    Ok(())
}

pub(super) fn server(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let mut server = Level::default();
    call.apply_all(TABLES, &mut server)?;
    level.servers.push(server);
    Ok(())
}

pub(super) fn location(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let words: Vec<&[u8]> = (1..=call.count()).map(|i| call.bytes(i)).collect();
    let pattern = Pattern::parse(&words).map_err(|message| call.error(message))?;
    let mut location = Level::default();
    call.apply_all(TABLES, &mut location)?;
    for (inner, _) in &location.locations {
        nests(inner, &pattern).map_err(|message| call.error(message))?;
    }
    if level.locations.iter().any(|(other, _)| *other == pattern) {
        let path = String::from_utf8_lossy(pattern.path());
        return Err(call.error(format!("duplicate location \"{path}\"")));
    }
    level.locations.push((pattern, location));
    Ok(())
}

pub(super) fn server_name(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    for word in call.texts()? {
        if word.contains('/') {
            call.warn(format!("server name \"{word}\" has suspicious symbols"));
        }
        level.names.push(Name::parse(word).map_err(|message| call.error(message))?);
    }
    Ok(())
}

pub(super) fn returns(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let words: Vec<&[u8]> = (1..=call.count()).map(|i| call.bytes(i)).collect();
    let returns = Return::parse(&words).map_err(|message| call.error(message))?;
    // Of several only the first is ever reached, as in nginx.
    level.returns.get_or_insert(returns);
    Ok(())
}

pub(super) fn check_status(level: &mut Level, _: &mut Call<'_>) -> Result<()> {
    level.content = Some(Content::Status);
    Ok(())
}

pub(super) fn deprecated_check_status(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    call.warn("the \"check_status\" directive is deprecated, use the \"tcp_check_status\" directive instead");
    check_status(level, call)
}

pub(super) fn log_format(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    if call.bytes(1) == b"combined" {
        return Err(call.error("duplicate \"log_format\" name \"combined\""));
    }
    level.formats.add(call, variables::find)
}

pub(super) fn access_log(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    directive::add(&mut level.access_logs, call, variables::find)
}

pub(super) fn types(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let mut types = Types::empty();
    call.apply(TYPES, &mut types)?;
    level.types = Some(Rc::new(types));
    Ok(())
}

/// One line of `types {}`: the type is the directive's name.
pub(super) fn mime_type(types: &mut Types, call: &mut Call<'_>) -> Result<()> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mime = call.bytes(0);
    for i in 1..=call.count() {
        let extension = call.bytes(i);
        if let Some(before) = types.add(extension, mime) {
            let (extension, mime, before) = (text(extension), text(mime), text(&before));
            call.warn(format!(
                "duplicate extension \"{extension}\", content type: \"{mime}\", previous content type: \"{before}\""
            ));
        }
    }
    Ok(())
}

pub(super) fn root(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    if call.bytes(1).contains(&b'$') {
        return Err(call.error("variables in \"root\" are not offered by weir yet"));
    }
    // A slash at its end would be doubled by the path.
    let path = call.path(1).into_os_string();
    let text = std::os::unix::ffi::OsStringExt::into_vec(path);
    let length = text.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let path: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(text[..length].to_vec());
    level.root = Some(path.into());
    Ok(())
}

pub(super) fn index(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let names = level.index.get_or_insert_default();
    for i in 1..=call.count() {
        let name = call.bytes(i);
        if name.is_empty() {
            return Err(call.error("index \"\" in \"index\" directive is invalid"));
        }
        if name.contains(&b'$') {
            return Err(call.error("variables in \"index\" are not offered by weir yet"));
        }
        if name.starts_with(b"/") && i != call.count() {
            call.warn("only the last index in \"index\" directive should be absolute");
        }
        names.push(name.to_vec());
    }
    Ok(())
}

pub(super) fn rule(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    level.rules.get_or_insert_default().push(Rule::of(call)?);
    Ok(())
}

pub(super) fn auth_basic(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    level.realm = Some(text(call)?);
    Ok(())
}

pub(super) fn auth_basic_user_file(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    level.users = Some(Users { folder: call.loader.conf_dir.clone(), path: text(call)? });
    Ok(())
}

/// The argument as text with variables.
fn text(call: &Call<'_>) -> Result<Text> {
    variables::compile(call.bytes(1), Escape::None).map_err(|message| call.error(message))
}

pub(super) fn keepalive_timeout(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let header = match call.count() {
        2 => Some(value::time(call.text(2)?, false).ok_or_else(|| call.invalid())?.as_secs()),
        _ => None,
    };
    level.keepalive_timeout = Some((call.time()?, header));
    Ok(())
}

pub(super) fn large_buffers(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let number = value::number(call.text(1)?).filter(|number| *number > 0).ok_or_else(|| call.invalid())?;
    let size = value::size(call.text(2)?).filter(|size| *size > 0).ok_or_else(|| call.invalid())?;
    // What does not fit a head's places in memory is no limit.
    if number.checked_mul(size).is_none_or(|total| total > u32::MAX as usize) {
        return Err(call.invalid());
    }
    level.large_buffers = Some((number, size));
    Ok(())
}

pub(super) fn header_buffer(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let size = call.size()?;
    if size == 0 || size > u32::MAX as usize {
        return Err(call.invalid());
    }
    level.header_buffer = Some(size);
    Ok(())
}

pub(super) fn server_tokens(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    // There is no build name to add.
    level.server_tokens = Some(call.choice(1, &[("on", Tokens::On), ("off", Tokens::Off), ("build", Tokens::On)])?);
    Ok(())
}
