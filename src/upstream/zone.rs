//! `zone` of an `upstream {}`: without effect, since workers share what they know of servers anyway, but held to nginx's rules.

use super::Group;
use crate::conf::{Call, Error, Place, Result, value};
use crate::relay::page_size;

/// nginx's least size of a zone, in pages of memory.
const PAGES_MIN: usize = 8;

/// One `zone`.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    /// In bytes; `None`: another `zone` of this name says it.
    size: Option<usize>,
    place: Place,
}

impl Zone {
    /// Reads `zone name [size]`.
    ///
    /// # Errors
    /// No name, or no size that a zone can have.
    pub(super) fn read(call: &Call<'_>) -> Result<Zone> {
        let name = call.text(1)?.to_owned();
        if name.is_empty() {
            return Err(call.error("invalid zone name \"\""));
        }
        let size = match call.count() {
            1 => None,
            _ => {
                let text = call.text(2)?;
                let size = value::size(text).ok_or_else(|| call.error(format!("invalid zone size \"{text}\"")))?;
                if size < PAGES_MIN * page_size() {
                    return Err(call.error(format!("zone \"{name}\" is too small")));
                }
                Some(size)
            }
        };
        Ok(Zone { name, size, place: call.node.place.clone() })
    }
}

/// Holds the zones of all groups of a block against each other.
///
/// # Errors
/// One of two sizes, or of none.
pub fn check(groups: &[Group]) -> Result<()> {
    let all: Vec<&Zone> = groups.iter().flat_map(|group| &group.zones).collect();
    for (number, zone) in all.iter().enumerate() {
        let name = &zone.name;
        let others = || all.iter().filter(|other| other.name == *name).filter_map(|other| other.size);
        let before = all[..number].iter().filter(|other| other.name == *name).find_map(|other| other.size);
        let message = match (zone.size, before) {
            (Some(size), Some(before)) if size != before => {
                format!(
                    "the size {size} of shared memory zone \"{name}\" conflicts with already declared size {before}"
                )
            }
            (None, _) if others().next().is_none() => format!("zero size shared memory zone \"{name}\""),
            _ => continue,
        };
        return Err(Error::at(&zone.place, message));
    }
    Ok(())
}
