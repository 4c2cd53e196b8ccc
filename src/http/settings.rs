//! The setters of the `http {}` directives that are more than a value put in its place.

use std::rc::Rc;

use super::basic_auth::Users;
use super::definitions::Registry;
use super::directives::{TABLES, TYPES};
use super::level::{Builder, Level};
use super::location::{Pattern, nests};
use super::names::Name;
use super::roots::{Alias, Root};
use super::types::Types;
use super::variables::Text;
use super::{Content, Tokens};
use crate::conf::{Call, Result, value};
use crate::log::directive;
use crate::net::access::Rule;
use crate::upstream::zone;

/// Reads one `http {}`: the setter of the main context's row.
///
/// # Errors
/// The first fault in the block.
pub fn http_block(builder: &mut Builder, call: &mut Call<'_>) -> Result<()> {
    let registry = Registry::of(call.node.block.as_deref().unwrap_or_default());
    let mut level = Level { registry, ..Level::default() };
    call.apply_all(TABLES, &mut level)?;
    zone::check(&level.groups)?;
    builder.blocks.push(level);
    Ok(())
}

pub(super) fn server(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let server = inner(level, Level::default(), call)?;
    level.servers.push(server);
    Ok(())
}

/// Reads the block of an inner level, which has the block's variables meanwhile.
pub(super) fn inner(level: &mut Level, mut inner: Level, call: &mut Call<'_>) -> Result<Level> {
    inner.registry = std::mem::take(&mut level.registry);
    call.apply_all(TABLES, &mut inner)?;
    level.registry = std::mem::take(&mut inner.registry);
    Ok(inner)
}

pub(super) fn location(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let words: Vec<&[u8]> = (1..=call.count()).map(|i| call.bytes(i)).collect();
    let pattern = Pattern::parse(&words, &mut level.registry).map_err(|message| call.error(message))?;
    let location = inner(level, Level { pattern: Some(pattern.clone()), ..Level::default() }, call)?;
    for (inner, _) in &location.locations {
        nests(inner, &pattern).map_err(|message| call.error(message))?;
    }
    if level.locations.iter().any(|(other, _)| other.collides(&pattern)) {
        let path = String::from_utf8_lossy(pattern.text());
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
        level.names.push(Name::parse(word, &mut level.registry).map_err(|message| call.error(message))?);
    }
    Ok(())
}

pub(super) fn check_status(level: &mut Level, _: &mut Call<'_>) -> Result<()> {
    level.content = Some(Content::Status(Rc::default()));
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
    level.formats.add(call, |name| Some(level.registry.variable(name, &call.node.place)))
}

pub(super) fn access_log(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    directive::add(&mut level.access_logs, call, |name| Some(level.registry.variable(name, &call.node.place)))
}

pub(super) fn types(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let mut types = level.types.take().map_or_else(Types::empty, Rc::unwrap_or_clone);
    call.apply(TYPES, &mut types)?;
    level.types = Some(Rc::new(types));
    Ok(())
}

/// One line of `types {}`: the type is the directive's name.
pub(super) fn mime_type(types: &mut Types, call: &mut Call<'_>) -> Result<()> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mime = call.bytes(0);
    for i in 1..=call.count() {
        let extension = &call.bytes(i).to_ascii_lowercase();
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
    // A slash at its end would be doubled by the path.
    let directory = call.bytes(1);
    let length = directory.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    set_root(level, call, &directory[..length], Alias::No)
}

pub(super) fn alias(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let alias = match &level.pattern {
        Some(Pattern::Named(_)) => {
            return Err(call.error("the \"alias\" directive cannot be used inside the named location"));
        }
        Some(Pattern::Regex(_)) | None => Alias::Whole,
        Some(prefix) => Alias::Prefix(prefix.text().to_vec()),
    };
    set_root(level, call, call.bytes(1), alias)
}

fn set_root(level: &mut Level, call: &Call<'_>, directory: &[u8], alias: Alias) -> Result<()> {
    let name = call.name();
    if let Some(root) = &level.root {
        let fault = match (root.alias(), &alias) {
            (Alias::No, Alias::No) => return Err(call.duplicate()),
            (Alias::No, _) => "\"root\" directive was specified earlier",
            (_, Alias::No) => "\"alias\" directive was specified earlier",
            _ => return Err(call.duplicate()),
        };
        return Err(call.error(format!("\"{name}\" directive is duplicate, {fault}")));
    }
    for own in ["$document_root", "${document_root}", "$realpath_root", "${realpath_root}"] {
        if memchr::memmem::find(directory, own.as_bytes()).is_some() {
            let own = own.replace(['{', '}'], "");
            return Err(call.error(format!("the {own} variable cannot be used in the \"{name}\" directive")));
        }
    }
    let text = level.registry.text(directory, &call.node.place).map_err(|message| call.error(message))?;
    level.root = Some(Root::new(call.loader.prefix.clone(), text, alias));
    Ok(())
}

pub(super) fn index(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let names = level.index.get_or_insert_default();
    for i in 1..=call.count() {
        let name = call.bytes(i);
        if name.is_empty() {
            return Err(call.error("index \"\" in \"index\" directive is invalid"));
        }
        if name.starts_with(b"/") && i != call.count() {
            call.warn("only the last index in \"index\" directive should be absolute");
        }
        names.push(level.registry.text(name, &call.node.place).map_err(|message| call.error(message))?);
    }
    Ok(())
}

pub(super) fn rule(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    level.rules.get_or_insert_default().push(Rule::of(call)?);
    Ok(())
}

pub(super) fn auth_basic(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    level.realm = Some(level.registry.text(call.bytes(1), &call.node.place).map_err(|message| call.error(message))?);
    Ok(())
}

pub(super) fn auth_basic_user_file(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let path = level.registry.text(call.bytes(1), &call.node.place).map_err(|message| call.error(message))?;
    level.users = Some(Users { folder: call.loader.conf_dir.clone(), path });
    Ok(())
}

pub(super) fn keepalive_timeout(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    level.keepalive_timeout = Some(call.time()?);
    if call.count() == 2 {
        let told = value::time(call.text(2)?, false).ok_or_else(|| call.invalid())?;
        level.keepalive_header = Some(told.as_secs());
    }
    Ok(())
}

pub(super) fn large_buffers(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let number = value::number(call.text(1)?).filter(|number| *number > 0).ok_or_else(|| call.invalid())?;
    let size = value::size(call.text(2)?).filter(|size| *size > 0).ok_or_else(|| call.invalid())?;
    // What does not fit a head's places in memory is no limit.
    if number.checked_mul(size).is_none_or(|total| total > u32::MAX as usize) {
        return Err(call.invalid());
    }
    level.large_buffers = Some((number, size, call.node.place.clone()));
    Ok(())
}

pub(super) fn header_buffer(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let size = call.size()?;
    if size > u32::MAX as usize {
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

/// A size, or a text with variables that comes to one.
pub(super) fn rate(level: &mut Level, call: &mut Call<'_>) -> Result<Text> {
    if !call.bytes(1).contains(&b'$') {
        call.size()?;
    }
    level.registry.text(call.bytes(1), &call.node.place).map_err(|message| call.error(message))
}
