//! Hashes of passwords as files of users have them, checked by the system's crypt(3) and by the two forms that it does not know.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use openssl::memcmp;
use openssl::sha::sha1;

#[link(name = "crypt")]
unsafe extern "C" {
    fn crypt_rn(phrase: *const c_char, setting: *const c_char, data: *mut c_void, size: c_int) -> *mut c_char;
}

/// What crypt(3) works in, bytes (`struct crypt_data` of `crypt.h`).
const WORKSPACE: usize = 32768;
/// Turns of an `$apr1$` hash.
const APR1_TURNS: usize = 1000;
/// The bytes of a SHA-1 hash.
const SHA1: usize = 20;

/// Whether `password` is the one of which `hash` has been made: `{PLAIN}`, `{SHA}`, `{SSHA}` (RFC 2307), `$apr1$` (Apache's), or whatever crypt(3) knows.
/// Of a hash of no known form nothing is.
pub fn is_password(password: &[u8], hash: &[u8]) -> bool {
    if let Some(plain) = hash.strip_prefix(b"{PLAIN}") {
        return same(password, plain);
    }
    if let Some(encoded) = hash.strip_prefix(b"{SHA}") {
        return same(STANDARD.encode(sha1(password)).as_bytes(), encoded);
    }
    if let Some(encoded) = hash.strip_prefix(b"{SSHA}") {
        let decoded = STANDARD.decode(encoded).unwrap_or_default();
        let parts = decoded.split_at_checked(SHA1);
        return parts.is_some_and(|(digest, salt)| same(&sha1(&[password, salt].concat()), digest));
    }
    let made = match hash.strip_prefix(b"$apr1$") {
        Some(rest) => {
            let salt = rest.split(|byte| *byte == b'$').next().unwrap_or_default();
            apr1(password, &salt[..salt.len().min(8)]).ok()
        }
        None => crypt(password, hash),
    };
    made.is_some_and(|made| same(&made, hash))
}

/// Equality that takes as long for a wrong byte at the start as for one at the end.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && memcmp::eq(a, b)
}

/// The hash of `password` by the method and salt that `setting` begins with; `None` where crypt(3) does not know it.
fn crypt(password: &[u8], setting: &[u8]) -> Option<Vec<u8>> {
    let (password, setting) = (CString::new(password).ok()?, CString::new(setting).ok()?);
    let mut workspace = vec![0u64; WORKSPACE / size_of::<u64>()];
    // SAFETY: both texts end with a zero, and the workspace is zeroed, aligned and of the size that is told; the call keeps to that or fails.
    // What it returns is in the workspace and ends with a zero.
    unsafe {
        let made = crypt_rn(password.as_ptr(), setting.as_ptr(), workspace.as_mut_ptr().cast(), WORKSPACE as c_int);
        (!made.is_null()).then(|| CStr::from_ptr(made).to_bytes().to_vec())
    }
}

/// Apache's variant of the MD5 crypt (`apr_md5_encode`).
fn apr1(password: &[u8], salt: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    const MAGIC: &[u8] = b"$apr1$";
    let md5 = |parts: &[&[u8]]| {
        let mut hasher = Hasher::new(MessageDigest::md5())?;
        parts.iter().try_for_each(|part| hasher.update(part))?;
        hasher.finish()
    };
    let inner = md5(&[password, salt, password])?;
    let mut first = [password, MAGIC, salt].concat();
    first.extend(inner.iter().cycle().take(password.len()));
    let mut bits = password.len();
    while bits > 0 {
        first.push(if bits & 1 == 1 { 0 } else { password[0] });
        bits >>= 1;
    }
    let mut digest = md5(&[&first])?;
    for turn in 0..APR1_TURNS {
        let odd = turn % 2 == 1;
        let salt = if turn % 3 > 0 { salt } else { b"" };
        let middle = if turn % 7 > 0 { password } else { b"" };
        let (start, end) = if odd { (password, &*digest) } else { (&*digest, password) };
        digest = md5(&[start, salt, middle, end])?;
    }
    let mut out = [MAGIC, salt, b"$"].concat();
    // Three bytes give four characters, in an order of its own.
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        let group = u32::from(digest[a]) << 16 | u32::from(digest[b]) << 8 | u32::from(digest[c]);
        push_base64(&mut out, group, 4);
    }
    push_base64(&mut out, digest[11].into(), 2);
    Ok(out)
}

/// Appends crypt's own base 64, the lowest bits first.
fn push_base64(out: &mut Vec<u8>, mut bits: u32, characters: usize) {
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..characters {
        out.push(ALPHABET[bits as usize % 64]);
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_that_other_programs_have_made() {
        // By `openssl passwd`, `htpasswd` and `perl -e 'print crypt(...)'`.
        for (password, hash) in [
            ("secret", "{PLAIN}secret"),
            ("secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
            ("test", "{SSHA}9DgilxbKtDVpSW86NjCzcnUkuBtzYWx0"),
            ("secret", "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"),
            ("a much longer password than the hash", "$apr1$xy$j/dzpLScBIJMqXWaRIDKJ/"),
            ("secret", "$1$salty$imEDvbxFkbZYQI/2lKgu10"),
            (
                "secret",
                "$6$saltysalt$Wb6SASNlyFTtQx2W/Tmwa9XVqYu3zlb.Ew4BdY1sFLeIEDsGHqz/AdkfydAMifwHQfBGCkiPB8H7foOtMFn.F1",
            ),
            ("secret", "abNANd1rDfiNc"),
        ] {
            assert!(is_password(password.as_bytes(), hash.as_bytes()), "{hash}");
            assert!(!is_password(b"Secret", hash.as_bytes()), "{hash}");
            assert!(!is_password(b"", hash.as_bytes()), "{hash}");
        }
    }

    #[test]
    fn what_is_no_hash() {
        for hash in ["{SSHA}", "{SSHA}AAAA", "{SSHA}!", "{SHA}", "{PLAIN}", "", "x", "$99$x$y", "*0", "*1"] {
            assert!(!is_password(b"x", hash.as_bytes()), "{hash}");
        }
        assert!(!is_password(b"a\0b", b"$1$a$b"));
    }
}
