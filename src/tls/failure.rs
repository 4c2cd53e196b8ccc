//! Why a handshake came to nothing, as logs tell it.

use std::io;

use crate::log::Level;
use crate::net::TlsError;

/// What is being done, in nginx's words.
pub const HANDSHAKING: &str = "SSL handshaking";
/// The same with a server.
pub const SECURING: &str = "SSL handshaking to upstream";

/// How grave a failed handshake is, the error that belongs into the line, and the message, all as nginx has them.
pub fn handshake_failure(error: &io::Error) -> (Level, Option<&io::Error>, &'static str) {
    let (left, failed) = ("peer closed connection in SSL handshake", "SSL_do_handshake() failed");
    match (TlsError::of(error), error.raw_os_error()) {
        (_, Some(libc::ECONNRESET | libc::EPIPE)) => (Level::Info, Some(error), left),
        (_, Some(_)) => (Level::Info, Some(error), failed),
        (Some(_), None) if error.kind() == io::ErrorKind::UnexpectedEof => (Level::Info, None, left),
        (Some(fault), None) if fault.is_peers() => (Level::Info, Some(error), failed),
        (_, None) => (Level::Crit, Some(error), failed),
    }
}

/// The same for a handshake with a server.
pub fn securing_failure(error: &io::Error) -> (Level, Option<&io::Error>, &'static str) {
    let (left, failed) = ("peer closed connection in SSL handshake", "SSL_do_handshake() failed");
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::UnexpectedEof, _) => (Level::Error, None, left),
        (_, Some(libc::ECONNRESET | libc::EPIPE)) => (Level::Error, Some(error), left),
        _ if TlsError::of(error).is_some_and(|fault| !fault.is_peers()) => (Level::Crit, Some(error), failed),
        _ => (Level::Error, Some(error), failed),
    }
}
