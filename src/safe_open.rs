//! Opening files by their path where others may have planted something: log files, the pid file and the folders of temporary files,
//! which the master opens as root, often in folders that the workers' account owns.
//!
//! A symbolic link, in the last part of a path or before it, is followed only if root or this process's user made it, or if nobody
//! else can write to its folder. That is the kernel's `fs.protected_symlinks` (proc_sys_fs(5)) for all folders that are shared, not only for
//! those with the sticky bit, and without its exception for links of the folder's owner, who is the one to be feared here.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, fcntl, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::geteuid;

/// The most links a path may lead through, as in the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// A file, and what is known of the place it was found in.
pub struct Opened {
    /// The file, close-on-exec.
    pub file: File,
    /// Others than root and this process's user can put files into its folder.
    pub shared: bool,
}

/// Opens `path` with `flags`; a file that `O_CREAT` makes gets `mode`, less the umask. Opening never waits, for a FIFO's other end say.
///
/// # Errors
/// Those of open(2), and what is not believed: a link of somebody else, a file that has a second name in a shared folder or is a FIFO or
/// device of somebody else's there. The error then says why.
pub fn open(path: &Path, flags: OFlag, mode: Mode) -> io::Result<Opened> {
    let mut folder = start(path.as_os_str())?;
    let mut rest = parts(path.as_os_str());
    let mut links = 0;
    loop {
        let name = match rest.pop() {
            Some(name) => name,
            None if flags.contains(OFlag::O_DIRECTORY) => ".".into(),
            None => return Err(Errno::EISDIR.into()),
        };
        let last = rest.is_empty();
        let wanted = if last { flags | OFlag::O_NONBLOCK } else { OFlag::O_PATH | OFlag::O_DIRECTORY };
        let found = openat(&folder, name.as_os_str(), wanted | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, mode);
        let fd = match found {
            Ok(fd) => fd,
            // ENOTDIR: O_DIRECTORY says so of a link, too.
            Err(errno @ (Errno::ELOOP | Errno::ENOTDIR)) => {
                let link = openat(
                    &folder,
                    name.as_os_str(),
                    OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
                    Mode::empty(),
                )?;
                let owner = fstat(&link)?;
                if !is(&owner, SFlag::S_IFLNK) {
                    return Err(errno.into());
                }
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                if !trusted(owner.st_uid) && is_shared(&fstat(&folder)?) {
                    return Err(refused(&format!(
                        "\"{}\" is a symbolic link of user {} in a folder that others can write to",
                        name.display(),
                        owner.st_uid
                    )));
                }
                // What stands in a link like /proc/self/fd/1 is no path.
                if fstatfs(&link)?.filesystem_type() == PROC_SUPER_MAGIC {
                    openat(&folder, name.as_os_str(), wanted | OFlag::O_CLOEXEC, mode)?
                } else {
                    let target = readlinkat(&link, "")?;
                    if target.as_bytes().starts_with(b"/") {
                        folder = start(&target)?;
                    }
                    rest.extend(parts(&target));
                    continue;
                }
            }
            Err(errno) => return Err(errno.into()),
        };
        if last {
            return judged(fd, &folder, flags);
        }
        folder = fd;
    }
}

/// The file behind `fd`, found in `folder`, if it is what it seems to be.
fn judged(fd: OwnedFd, folder: &OwnedFd, flags: OFlag) -> io::Result<Opened> {
    let shared = is_shared(&fstat(folder)?);
    let file = File::from(fd);
    let metadata = file.metadata()?;
    if shared && metadata.is_file() && metadata.nlink() > 1 {
        return Err(refused("it has a second name, in a folder that others can write to"));
    }
    if shared && !metadata.is_file() && !metadata.is_dir() && !trusted(metadata.uid()) {
        let kind = if metadata.file_type().is_fifo() { "FIFO" } else { "device" };
        return Err(refused(&format!(
            "it is a {kind} of user {} in a folder that others can write to",
            metadata.uid()
        )));
    }
    fcntl(file.as_fd(), FcntlArg::F_SETFL(flags & (OFlag::O_APPEND | OFlag::O_NONBLOCK)))?;
    Ok(Opened { file, shared })
}

/// Opens the folder `path`, and makes it with `mode`, less the umask, where it is not there.
///
/// # Errors
/// Those of [`open`] and of mkdir(2), which the text says; in a shared folder, one that is neither new nor `owner`'s: it may have been moved there.
pub fn open_folder(path: &Path, mode: Mode, owner: u32) -> io::Result<File> {
    const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let parent = open(parent, FOLDER, Mode::empty())?;
        match mkdirat(&parent.file, name, mode) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let Opened { file, shared } = open(path, FOLDER, Mode::empty())?;
    let user = file.metadata()?.uid();
    if shared && user != owner && !is_empty(&file)? {
        return Err(refused(&format!(
            "it belongs to user {user} and is not empty, in a folder that others can write to"
        )));
    }
    Ok(file)
}

fn is_empty(folder: &File) -> io::Result<bool> {
    let mut entries = Dir::from_fd(folder.try_clone()?.into())?;
    for entry in entries.iter() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// The folder that a path begins in.
fn start(path: &OsStr) -> nix::Result<OwnedFd> {
    let folder = if path.as_bytes().starts_with(b"/") { "/" } else { "." };
    openat(AT_FDCWD, folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// The parts of a path, the last one first.
fn parts(path: &OsStr) -> Vec<OsString> {
    let parts = path.as_bytes().rsplit(|&byte| byte == b'/');
    parts.filter(|part| !part.is_empty() && part != b".").map(|part| OsStr::from_bytes(part).to_owned()).collect()
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

/// Whether this user can do no more to us than we ourselves.
fn trusted(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

/// Whether others can put files into this folder.
fn is_shared(folder: &FileStat) -> bool {
    !trusted(folder.st_uid) || Mode::from_bits_truncate(folder.st_mode).intersects(Mode::S_IWGRP | Mode::S_IWOTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::io::{Read, Write};
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};
    use std::path::PathBuf;

    const APPEND: OFlag = OFlag::O_WRONLY.union(OFlag::O_APPEND).union(OFlag::O_CREAT);

    fn append(path: &Path) -> io::Result<Opened> {
        open(path, APPEND, Mode::from_bits_truncate(0o644))
    }

    /// A folder with a folder in it that all can write to; nothing where there is no right to make links of others.
    fn shared() -> Option<(tempfile::TempDir, PathBuf)> {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("shared");
        fs::create_dir(&inner).unwrap();
        fs::set_permissions(&inner, Permissions::from_mode(0o777)).unwrap();
        geteuid().is_root().then_some((outer, inner))
    }

    #[test]
    fn a_file_is_made_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("./a/../log");
        fs::create_dir(dir.path().join("a")).unwrap();
        for text in ["one", "two"] {
            let mut opened = append(&path).unwrap();
            opened.file.write_all(text.as_bytes()).unwrap();
            assert!(!opened.shared);
        }
        assert_eq!(fs::read_to_string(dir.path().join("log")).unwrap(), "onetwo");
    }

    #[test]
    fn own_links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("real")).unwrap();
        symlink("real", at("relative")).unwrap();
        symlink(at("relative"), at("absolute")).unwrap();
        symlink("../absolute/target", at("real/log")).unwrap();
        append(&at("absolute/log")).unwrap().file.write_all(b"x").unwrap();
        assert_eq!(fs::read(at("real/target")).unwrap(), b"x");
        symlink("loop", at("loop")).unwrap();
        assert_eq!(append(&at("loop")).err().unwrap().raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn links_of_the_kernel_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = fs::File::create(dir.path().join("log")).unwrap();
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&target));
        append(Path::new(&link)).unwrap().file.write_all(b"x").unwrap();
        assert_eq!(fs::read(dir.path().join("log")).unwrap(), b"x");
        assert!(append(Path::new("/dev/null")).is_ok());
        assert!(append(Path::new("/proc/self/cwd/no/such/log")).is_err());
    }

    #[test]
    fn faults_are_those_of_open() {
        let dir = tempfile::tempdir().unwrap();
        let fault = |path: &str| append(&dir.path().join(path)).err().unwrap().raw_os_error().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(fault("none/log"), libc::ENOENT);
        assert_eq!(fault("file/log"), libc::ENOTDIR);
        assert_eq!(fault(""), libc::EISDIR);
        assert_eq!(append(Path::new("/")).err().unwrap().raw_os_error(), Some(libc::EISDIR));
    }

    #[test]
    fn links_of_others_are_not_followed_where_others_can_make_them() {
        let Some((outer, inner)) = shared() else { return };
        let secret = outer.path().join("secret");
        for (name, link) in [("log", inner.join("log")), ("folder", inner.join("folder"))] {
            let target = if name == "log" { secret.as_path() } else { outer.path() };
            symlink(target, &link).unwrap();
            let path = if name == "log" { link.clone() } else { link.join("secret") };
            lchown(&link, Some(65534), None).unwrap();
            let error = append(&path).err().unwrap().to_string();
            let expected = format!("\"{name}\" is a symbolic link of user 65534 in a folder that others can write to");
            assert_eq!(error, expected);
            assert!(!secret.exists());
            fs::set_permissions(&inner, Permissions::from_mode(0o755)).unwrap();
            assert!(append(&path).is_ok(), "nobody else can have put it there");
            fs::remove_file(&secret).unwrap();
            lchown(&inner, Some(65534), None).unwrap();
            assert!(append(&path).is_err(), "the folder's owner can");
            lchown(&link, Some(0), None).unwrap();
            assert!(append(&path).is_ok(), "but this link is root's");
            fs::remove_file(&secret).unwrap();
            lchown(&inner, Some(0), None).unwrap();
            fs::set_permissions(&inner, Permissions::from_mode(0o777)).unwrap();
        }
    }

    #[test]
    fn second_names_and_fifos_of_others_are_refused_there() {
        let Some((outer, inner)) = shared() else { return };
        fs::write(outer.path().join("secret"), "").unwrap();
        fs::hard_link(outer.path().join("secret"), inner.join("log")).unwrap();
        let error = append(&inner.join("log")).err().unwrap();
        assert_eq!(error.to_string(), "it has a second name, in a folder that others can write to");
        assert!(append(&outer.path().join("secret")).is_ok());
        let fifo = inner.join("fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let mut reader = open(&fifo, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()).unwrap();
        assert!(append(&fifo).is_ok(), "our own");
        assert_eq!(reader.file.read(&mut [0]).unwrap(), 0);
        lchown(&fifo, Some(65534), None).unwrap();
        let error = append(&fifo).err().unwrap();
        assert_eq!(error.to_string(), "it is a FIFO of user 65534 in a folder that others can write to");
    }
}
