//! The files that a configuration is made of. Whatever a path names, reading it neither waits nor fills the memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The largest file that is read, in bytes: what is larger is no configuration, and would stand in memory several times.
const LARGEST: u64 = 64 << 20;

/// Opens a file for [`contents`].
///
/// # Errors
/// Those of open(2).
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a FIFO would wait for somebody who writes.
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// What is in a file, from where it stands. A device is empty, `/dev/null` being the one in use: like nginx, which reads as much as a file is long.
///
/// # Errors
/// `EISDIR` for a folder, `ESPIPE` for a FIFO, as nginx has them; `EFBIG` for a file of more than 64 MiB; those of read(2).
pub fn contents(file: &File) -> io::Result<Vec<u8>> {
    let kind = file.metadata()?.file_type();
    if kind.is_char_device() {
        return Ok(Vec::new());
    }
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::ESPIPE));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    Ok(bytes)
}

/// [`open`] and [`contents`] in one.
///
/// # Errors
/// Those of both.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    contents(&open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let fault = |path: &Path| read(path).unwrap_err().raw_os_error().unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(fault(&at("fifo")), libc::ESPIPE);
        assert_eq!(fault(dir.path()), libc::EISDIR);
        File::create(at("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(fault(&at("huge")), libc::EFBIG);
        for device in ["/dev/null", "/dev/zero"] {
            assert_eq!(read(Path::new(device)).unwrap(), b"");
        }
        std::fs::write(at("file"), "text").unwrap();
        assert_eq!(read(&at("file")).unwrap(), b"text");
    }
}
