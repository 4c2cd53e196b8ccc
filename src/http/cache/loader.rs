//! The cache loader: it finds, after a start, the files that are there already.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use super::Cache;
use super::file::{is_own, writer};
use super::key::{Key, LEVELS_MAX};
use super::zone::{BLOCK, on_disk};
use crate::log::{Level, message};

/// Goes through the files below `folder`, `depth` levels of folders down, with the keys that they are named by; `each` tells whether to
/// go on. What cannot be read is passed over. False: it has been stopped.
fn each_file(folder: &Path, depth: usize, each: &mut dyn FnMut(&Path, Option<Key>) -> bool) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return true };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let goes_on = match is_folder {
            // Those that `levels` make; others are none of the cache.
            true if depth > 0 && name.len() <= 2 => each_file(&path, depth - 1, each),
            true => true,
            false => each(&path, Key::parse(name.as_bytes())),
        };
        if !goes_on {
            return false;
        }
    }
    true
}

/// Makes the files of a cache known, and removes what processes that are dead have left half done. `pause` is called after each batch, and tells
/// whether to go on. False: it has been stopped before all were known.
pub fn load(cache: &Cache, pause: &mut dyn FnMut(std::time::Duration) -> bool) -> bool {
    let Some(table) = cache.table().filter(|table| !table.is_loaded()) else { return true };
    let (mut files, mut others, mut since) = (0, 0_u64, Instant::now());
    let all = each_file(&cache.path, LEVELS_MAX, &mut |path, key| {
        match key {
            Some(key) if cache.file(key) == path => {
                if let Ok(metadata) = fs::symlink_metadata(path)
                    && !table.found(key, on_disk(metadata.len()), cache.expires())
                {
                    cache.unlink(key);
                }
            }
            key => others += u64::from(!clear(path, key)),
        }
        files += 1;
        if files < cache.loader.files.max(1) && since.elapsed() < cache.loader.threshold {
            return true;
        }
        let goes_on = pause(cache.loader.sleep);
        (files, since) = (0, Instant::now());
        goes_on
    });
    if all {
        table.set_loaded();
        let folder = cache.path.display();
        let size = table.figures().bytes as f64 / f64::from(1 << 20);
        message(Level::Notice, format_args!("http file cache: {folder} {size:.3}M, bsize: {BLOCK}"));
        if others > 0 {
            message(
                Level::Warn,
                format_args!("{others} files below \"{folder}\" are none of the cache's, they are left there"),
            );
        }
    }
    all
}

/// Removes what has been of a cache: a file that was being written by a process that is dead, and one that other `levels` have put where nobody finds it.
/// Whether it is of any.
fn clear(path: &Path, key: Option<Key>) -> bool {
    let writer = path.file_name().and_then(|name| writer(name.as_bytes()));
    let is_dead = |pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH);
    let is_left = match (key, writer.map(i32::try_from)) {
        (Some(_), _) if is_own(path) => {
            message(Level::Notice, format_args!("cache file \"{}\" is of other levels, it is removed", path.display()));
            true
        }
        (None, Some(Ok(pid))) => is_dead(pid),
        _ => return false,
    };
    if is_left {
        // Somebody else has been faster, or it cannot be helped.
        let _ = fs::remove_file(path);
    }
    true
}
