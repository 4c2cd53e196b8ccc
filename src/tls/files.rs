//! The files that directives name: certificates, keys, passwords, ticket keys; what is wrong with them, in nginx's words.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::SslContextBuilder;
use openssl::stack::Stack;
use openssl::x509::X509;

use super::sys;
use super::tickets::Key;
use crate::conf::{Call, Error, Place, Result, file};
use crate::net::reasons;

/// No more of a file with passwords is read: it may be a pipe or a device.
const LONGEST_PASSWORDS: u64 = 64 << 10;

/// A file as a directive names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// The name as written.
    pub written: String,
    /// Where it is.
    pub path: PathBuf,
    /// The directive.
    pub place: Place,
}

/// What a directive's value says and where, for values that only OpenSSL can judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub value: String,
    pub place: Place,
}

/// Begins what is the text of a certificate or key itself, in the place of a file's name.
const DATA: &str = "data:";

impl File {
    /// A file of this name, whose path `resolve` gives. Of a text in its place no more is shown in messages than that it is one.
    pub(super) fn new(name: &str, resolve: impl FnOnce(&str) -> PathBuf, place: Place) -> Self {
        let path = if name.starts_with(DATA) { DATA.into() } else { resolve(name) };
        File { written: name.to_owned(), path, place }
    }

    /// The first argument, taken against the folder of the configuration file.
    pub(super) fn of(call: &Call<'_>) -> Result<Self> {
        let file = File::new(call.text(1)?, |_| call.conf_path(1), call.node.place.clone());
        // OpenSSL is handed paths as text.
        if file.path.to_str().is_some() { Ok(file) } else { Err(call.invalid()) }
    }

    /// A fault of the file, with what OpenSSL has to say of it.
    pub(super) fn fault(&self, what: &str, stack: &ErrorStack) -> Error {
        Error::at(&self.place, format!("{what} (SSL: {})", reasons(stack)))
    }

    /// `CALL("FILE") failed (SSL: ...)`
    pub(super) fn failed<'a>(&'a self, call: &'a str) -> impl Fn(ErrorStack) -> Error + 'a {
        move |stack| self.fault(&format!("{call}(\"{}\") failed", self.path.display()), &stack)
    }

    /// Its contents, or those that `data:` gives in its place. `what` begins the message, up to the name of the call that nginx would have made.
    pub(super) fn read(&self, what: impl FnOnce(&Path) -> String) -> Result<Vec<u8>> {
        if let Some(text) = self.written.strip_prefix(DATA) {
            return Ok(text.into());
        }
        file::read(&self.path).map_err(|error| {
            let message = format!("{} failed (SSL: {})", what(&self.path), unreadable(&self.path, &error));
            Error::at(&self.place, message)
        })
    }

    /// Refuses what OpenSSL, which `call` lets read the file by itself, would wait for or never come to the end of.
    pub(super) fn can_end(&self, call: &str) -> Result<()> {
        match fs::metadata(&self.path) {
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => {
                let message = format!("{call}(\"{}\") failed (it is not a regular file)", self.path.display());
                Err(Error::at(&self.place, message))
            }
            _ => Ok(()),
        }
    }

    /// Uses the certificates in it: the server's own first, then those that lead to its authority. Gives the first.
    pub(super) fn use_certificates(&self, builder: &mut SslContextBuilder) -> Result<X509> {
        let mut certificates = self.read_certificates()?.into_iter();
        let mut set = || {
            let own = certificates.next().ok_or_else(ErrorStack::get)?;
            builder.set_certificate(&own)?;
            let mut chain = Stack::new()?;
            certificates.try_for_each(|link| chain.push(link))?;
            sys::set_chain(builder, &chain).map(|()| own)
        };
        set().map_err(self.failed("SSL_CTX_use_certificate"))
    }

    /// The certificates in it: the own first.
    pub(super) fn read_certificates(&self) -> Result<Vec<X509>> {
        let cannot = |path: &Path| format!("cannot load certificate \"{}\": ", path.display());
        let text = self.read(|path| cannot(path) + "BIO_new_file()")?;
        let fault = |stack| self.fault(&(cannot(&self.path) + "PEM_read_bio_X509_AUX() failed"), &stack);
        let chain = X509::stack_from_pem(&text).map_err(fault)?;
        if chain.is_empty() {
            // This one tells why.
            X509::from_pem(&text).map_err(fault)?;
        }
        Ok(chain)
    }

    /// The private key in it; one that is encrypted is tried with each of the passwords.
    pub(super) fn read_key(&self, passwords: &[Vec<u8>]) -> Result<PKey<Private>> {
        let cannot = |path: &Path| format!("cannot load certificate key \"{}\": ", path.display());
        let text = self.read(|path| cannot(path) + "BIO_new_file()")?;
        // Without a password OpenSSL would ask for one on the terminal.
        let refuse = |_: &mut [u8]| Err(ErrorStack::get());
        let mut result = match passwords {
            [] => PKey::private_key_from_pem_callback(&text, refuse),
            [first, ..] => PKey::private_key_from_pem_passphrase(&text, first),
        };
        for password in passwords.iter().skip(1) {
            result = result.or_else(|_| PKey::private_key_from_pem_passphrase(&text, password));
        }
        result.map_err(|stack| {
            let message = cannot(&self.path) + "PEM_read_bio_PrivateKey() failed";
            self.fault(&message, &stack)
        })
    }
}

/// The passwords in the file of `ssl_password_file`, one a line.
pub(super) fn read_passwords(call: &Call<'_>) -> Result<Vec<Vec<u8>>> {
    // A pipe is a way to give passwords that nginx documents, so it is waited for.
    let path = call.conf_path(1);
    let file = fs::File::open(&path).map_err(|error| failed(call, "open()", &error))?;
    let mut text = Vec::new();
    file.take(LONGEST_PASSWORDS).read_to_end(&mut text).map_err(|error| failed(call, "read()", &error))?;
    let lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    Ok(lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

/// The key in the file of `ssl_session_ticket_key`.
pub(super) fn read_ticket_key(call: &Call<'_>) -> Result<Key> {
    let path = call.conf_path(1);
    let wrong = || call.error(format!("\"{}\" must be 48 or 80 bytes", path.display()));
    match file::read(&path) {
        Ok(bytes) => Key::from_file(&bytes).ok_or_else(wrong),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(wrong()),
        Err(error) => Err(failed(call, "open()", &error)),
    }
}

/// A call of the kernel's for the file that the first argument names.
fn failed(call: &Call<'_>, what: &str, error: &io::Error) -> Error {
    let (number, text) = (error.raw_os_error().unwrap_or_default(), text_of(error));
    call.error(format!("{what} \"{}\" failed ({number}: {text})", call.conf_path(1).display()))
}

/// libc's text for a system error.
fn text_of(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// A file that cannot be read, as OpenSSL's queue tells it.
fn unreadable(path: &Path, error: &io::Error) -> String {
    let number = error.raw_os_error().unwrap_or_default();
    let then = match number {
        libc::ENOENT => "error:10000080:BIO routines::no such file",
        _ => "error:10080002:BIO routines::system lib",
    };
    format!("error:8{number:07X}:system library::{}:calling fopen({}, r) {then}", text_of(error), path.display())
}
