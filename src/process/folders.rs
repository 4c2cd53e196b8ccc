//! The folders of temporary files, made before workers need them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::Path;

use nix::unistd::Uid;

use super::{Logged, failed};
use crate::config::main_context::User;
use crate::log::Level;

/// Makes those that are not there, and gives them to the account of the workers where the master is root, as nginx does.
pub fn make<'a>(folders: impl IntoIterator<Item = &'a Path>, user: Option<&User>) -> Result<(), Logged> {
    let user = user.filter(|_| Uid::effective().is_root());
    for folder in folders {
        let at = |call: &'static str| {
            move |error: io::Error| {
                failed(Level::Emerg, &error, format_args!("{call}() \"{}\" failed", folder.display()))
            }
        };
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at("mkdir")(error)),
            _ => {}
        }
        let Some(user) = user else { continue };
        if fs::metadata(folder).map_err(at("stat"))?.uid() != user.uid {
            lchown(folder, Some(user.uid), None).map_err(at("chown"))?;
        }
    }
    Ok(())
}
