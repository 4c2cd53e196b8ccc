//! The setters of [`super::script_directives`].

use std::rc::Rc;

use super::definitions::Source;
use super::error_pages::ErrorPage;
use super::geo::Geo;
use super::level::Level;
use super::returns::Return;
use super::rewrite::Rewrite;
use super::script::{self, Step};
use super::script_directives::{GEO, MAP, SPLIT_CLIENTS};
use super::settings::inner;
use super::try_files::TryFiles;
use super::{map, split_clients};
use crate::conf::{Call, Error, Result};

pub(super) fn returns(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let words: Vec<&[u8]> = (1..=call.count()).map(|i| call.bytes(i)).collect();
    let returns =
        Return::parse(&words, &mut level.registry, &call.node.place).map_err(|message| call.error(message))?;
    level.steps.push(Step::Return(returns));
    Ok(())
}

pub(super) fn set(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let fault = |message: String| call.error(message);
    let name = variable_name(call, 1)?;
    let value = level.registry.text(call.bytes(2), &call.node.place).map_err(fault)?;
    // `$query_string` has the same meaning as `$args`, but cannot be set.
    level.steps.push(match name.to_ascii_lowercase().as_str() {
        "args" => Step::SetArgs(value),
        "limit_rate" => Step::SetLimitRate(value),
        _ => Step::Set(level.registry.define(&name, Source::Assigned).map_err(fault)?, value),
    });
    Ok(())
}

/// The variable that argument `i` names with its `$`.
fn variable_name(call: &Call<'_>, i: usize) -> Result<String> {
    let word = call.text(i)?;
    let name = word.strip_prefix('$').filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| call.error(format!("invalid variable name \"{word}\"")))
}

pub(super) fn condition(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let words: Vec<&[u8]> = (1..=call.count()).map(|i| call.bytes(i)).collect();
    let condition = script::condition(&words, &mut level.registry, &call.node.place);
    let condition = condition.map_err(|message| call.error(message))?;
    let branch = inner(level, Level { pattern: level.pattern.clone(), ..Level::default() }, call)?;
    level.steps.push(Step::If(condition, branch));
    Ok(())
}

pub(super) fn map(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let fault = |message: String| call.error(message);
    let source = level.registry.text(call.bytes(1), &call.node.place).map_err(fault)?;
    let name = variable_name(call, 2)?;
    let mut reading = map::Reading::new(source, std::mem::take(&mut level.registry));
    call.apply(MAP, &mut reading)?;
    let (map, registry) = reading.finish();
    level.registry = registry;
    level.registry.define(&name, Source::Map(Rc::new(map))).map_err(|message| call.error(message))?;
    Ok(())
}

pub(super) fn split_clients(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let fault = |message: String| call.error(message);
    let source = level.registry.text(call.bytes(1), &call.node.place).map_err(fault)?;
    let name = variable_name(call, 2)?;
    let mut reading = split_clients::Reading::new(source);
    call.apply(SPLIT_CLIENTS, &mut reading)?;
    let split = reading.finish().map_err(|message| Error::at(&call.node.end, message))?;
    let source = Source::Split(Rc::new(split));
    level.registry.define(&name, source).map_err(|message| call.error(message))?;
    Ok(())
}

pub(super) fn geo(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let address = match call.count() {
        1 => None,
        _ => Some(level.registry.variable(&variable_name(call, 1)?, &call.node.place)),
    };
    let name = variable_name(call, call.count())?;
    let mut geo = Geo::new(address);
    call.apply(GEO, &mut geo)?;
    level.registry.define(&name, Source::Geo(Rc::new(geo))).map_err(|message| call.error(message))?;
    Ok(())
}

pub(super) fn error_page(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let words: Vec<&[u8]> = (1..=call.count()).map(|i| call.bytes(i)).collect();
    let page = ErrorPage::parse(&words, &mut level.registry, &call.node.place);
    level.error_pages.get_or_insert_default().push(page.map_err(|message| call.error(message))?);
    Ok(())
}

pub(super) fn try_files(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let words: Vec<&[u8]> = (1..=call.count()).map(|i| call.bytes(i)).collect();
    let read = TryFiles::parse(&words, &mut level.registry, &call.node.place);
    level.try_files = Some(read.map_err(|message| call.error(message))?);
    Ok(())
}

pub(super) fn rewrite(level: &mut Level, call: &mut Call<'_>) -> Result<()> {
    let words: Vec<&[u8]> = (1..=call.count()).map(|i| call.bytes(i)).collect();
    let rewrite = Rewrite::parse(&words, &mut level.registry, &call.node.place);
    level.steps.push(Step::Rewrite(rewrite.map_err(|message| call.error(message))?));
    Ok(())
}
