//! `auth_basic`: names and passwords (RFC 7617), held against a file of users.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::response::Response;
use super::variables::{Text, Values};
use crate::conf::file;
use crate::crypt;
use crate::log::Level;

/// The users of a location.
#[derive(Clone, Debug)]
pub(super) struct BasicAuth {
    /// What clients are told that the password is for; `off`: none is asked for.
    pub realm: Text,
    pub users: Users,
}

/// `auth_basic_user_file`
#[derive(Clone, Debug)]
pub(super) struct Users {
    /// What relative paths are taken against.
    pub folder: PathBuf,
    pub path: Text,
}

/// What has been found out about a client.
#[allow(clippy::large_enum_variant)]
pub(super) enum Known {
    /// Nobody has asked.
    Unasked,
    /// It has a name and the password that goes with it.
    Yes,
    No(Response),
}

/// A name and a password.
pub(super) struct Credentials {
    pub user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// Those in the field `Authorization`; its base64 may go without padding.
    pub(super) fn parse(field: &[u8]) -> Option<Self> {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let basic = field.split_at_checked(6).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic "));
        let decoded = basic.and_then(|(_, text)| GeneralPurpose::new(&STANDARD, config).decode(text.trim_ascii()).ok());
        let mut user = decoded?;
        let colon = memchr::memchr(b':', &user).filter(|colon| *colon > 0)?;
        let password = user.split_off(colon + 1);
        user.truncate(colon);
        Some(Credentials { user, password })
    }
}

impl BasicAuth {
    /// Asks who the client of a request is.
    pub(super) fn check(&self, values: &Values<'_>) -> Known {
        let realm = values.fill(&self.realm);
        if realm == b"off" {
            return Known::Unasked;
        }
        let Values { client, request, .. } = values;
        let tokens = request.location.server_tokens;
        let log = |level, error: Option<&io::Error>, message: &str| {
            client.log(level, error, "", Some(request), format_args!("{message}"));
        };
        let unknown = || {
            let mut response = Response::page(401, tokens);
            response.fields.push(("WWW-Authenticate".into(), [b"Basic realm=\"", realm.as_slice(), b"\""].concat()));
            Known::No(response)
        };
        let Some(Credentials { user, password }) = request.head.field("authorization").and_then(Credentials::parse)
        else {
            log(Level::Info, None, "no user/password was provided for basic authentication");
            return unknown();
        };
        let path = self.users.folder.join(OsStr::from_bytes(&values.fill(&self.users.path)));
        let name = String::from_utf8_lossy(&user);
        let hash = match hash_of(&path, &user) {
            Ok(Some(hash)) => hash,
            Ok(None) => {
                let message = format!("user \"{name}\" was not found in \"{}\"", path.display());
                log(Level::Error, None, &message);
                return unknown();
            }
            Err((call, error)) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                let (level, status) = if missing { (Level::Error, 403) } else { (Level::Crit, 500) };
                log(level, Some(&error), &format!("{call} \"{}\" failed", path.display()));
                return Known::No(Response::page(status, tokens));
            }
        };
        if crypt::is_password(&password, &hash) {
            return Known::Yes;
        }
        log(Level::Error, None, &format!("user \"{name}\": password mismatch"));
        unknown()
    }
}

/// What a file of lines `user:hash[:comment]` says of a user.
///
/// # Errors
/// The call that failed, and why.
fn hash_of(path: &Path, user: &[u8]) -> Result<Option<Vec<u8>>, (&'static str, io::Error)> {
    let opened = file::open(path).map_err(|error| ("open()", error))?;
    let text = file::contents(&opened).map_err(|error| ("pread()", error))?;
    Ok(find(&text, user).map(<[u8]>::to_vec))
}

fn find<'a>(text: &'a [u8], user: &[u8]) -> Option<&'a [u8]> {
    let lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.starts_with(b"#"));
    let mut entries = lines.map(|line| line.splitn(3, |byte| *byte == b':'));
    entries.find_map(|mut parts| (parts.next() == Some(user)).then(|| parts.next()).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_users() {
        let text = b"# comment\n#x:y\na:1\r\nb:2:comment\na:3\nnobody\nlast:4";
        for (user, hash) in
            [("a", Some("1")), ("b", Some("2")), ("last", Some("4")), ("nobody", None), ("#x", None), ("", None)]
        {
            assert_eq!(find(text, user.as_bytes()), hash.map(str::as_bytes), "{user}");
        }
    }

    #[test]
    fn the_field() {
        let user = |field: &[u8]| Credentials::parse(field).map(|credentials| credentials.user);
        assert_eq!(user(b"Basic dXNlcjpwYXNz").as_deref(), Some(&b"user"[..]));
        assert_eq!(user(b"basic dXNlcjpwYQ").as_deref(), Some(&b"user"[..]));
        assert_eq!(Credentials::parse(b"Basic dXNlcjpwYXNz").unwrap().password, b"pass");
        for none in [&b""[..], b"Basic", b"Basic !", b"Bearer dXNlcjpwYXNz", b"Basic dXNlcg=="] {
            assert_eq!(user(none), None);
        }
    }
}
