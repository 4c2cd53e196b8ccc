//! Why a handshake with a client came to nothing, as logs tell it.

use std::io;

use crate::log::Level;
use crate::net::TlsError;

/// What is being done, in nginx's words.
pub const HANDSHAKING: &str = "SSL handshaking";

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
