//! The cache loader: it finds, after a start, the files that are there already.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use super::Cache;
use super::file::writer;
use super::key::Key;
use super::zone::on_disk;

/// Goes through the files below `folder`, `depth` levels of folders down, with the keys that they are named by; `each` tells whether to
/// go on. What cannot be read is passed over. False: it has been stopped.
fn each_file(folder: &Path, depth: usize, each: &mut dyn FnMut(&Path, Option<Key>) -> bool) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return true };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let goes_on = match is_folder {
            true if depth > 0 => each_file(&path, depth - 1, each),
            true => true,
            false => each(&path, Key::parse(entry.file_name().as_bytes())),
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
    let (mut files, mut since) = (0, Instant::now());
    let all = each_file(&cache.path, cache.levels.depth(), &mut |path, key| {
        match key {
            // What is in another place than its name says is found by nobody.
            Some(key) if cache.file(key) == path => {
                if let Ok(metadata) = fs::symlink_metadata(path)
                    && !table.found(key, on_disk(metadata.len()), cache.expires())
                {
                    cache.unlink(key);
                }
            }
            _ => remove_left_over(path),
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
    }
    all
}

/// A file that was being written: by nobody any more, where its writer is dead.
fn remove_left_over(path: &Path) {
    let writer = path.file_name().and_then(|name| writer(name.as_bytes()));
    if let Some(pid) = writer.and_then(|pid| i32::try_from(pid).ok()) {
        let dead = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH);
        if dead {
            // Somebody else has been faster, or it cannot be helped.
            let _ = fs::remove_file(path);
        }
    }
}
