//! The folders of temporary files, made before workers need them.

use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::Uid;

use super::{Logged, failed};
use crate::config::main_context::User;
use crate::log::Level;
use crate::safe_open::open_folder;

/// Makes those that are not there, and gives them to the account of the workers where the master is root, as nginx does.
pub fn make<'a>(folders: impl IntoIterator<Item = &'a Path>, user: Option<&User>) -> Result<(), Logged> {
    let user = user.filter(|_| Uid::effective().is_root());
    for folder in folders {
        let at = |call: &'static str| {
            move |error: io::Error| {
                failed(Level::Emerg, &error, format_args!("{call}() \"{}\" failed", folder.display()))
            }
        };
        let owner = user.map_or(Uid::effective().as_raw(), |user| user.uid);
        let file = open_folder(folder, Mode::S_IRWXU, owner).map_err(at("mkdir"))?;
        let Some(user) = user else { continue };
        if file.metadata().map_err(at("stat"))?.uid() != user.uid {
            fchown(&file, Some(user.uid), None).map_err(at("chown"))?;
        }
    }
    Ok(())
}
