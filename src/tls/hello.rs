//! The hello of a client, before anything is agreed on: it names the host that the client wants (SNI, RFC 6066 3), by which the server is chosen
//! whose certificate it gets. OpenSSL stops there, before it looks for a session to resume, so that one is resumed only with a server of the same certificates and rules.

use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{ClientHelloResponse, Ssl, SslAlert, SslContextBuilder, SslRef};

use super::{Server, sys};

/// The number of the extension `server_name`.
const SERVER_NAME: u32 = 0;
/// The only type of names in it.
const HOST_NAME: u8 = 0;

/// What a client has asked for, and what it gets.
struct Hello {
    host: Option<Vec<u8>>,
    choice: OnceLock<Choice>,
}

/// Who answers a hello.
#[derive(Clone)]
pub enum Choice {
    /// The server that the session was begun with.
    Stay,
    /// Another one.
    Server(Server),
    /// Nobody: the handshake fails with the alert `unrecognized_name`.
    Reject,
}

fn index() -> Option<Index<Ssl, Hello>> {
    static INDEX: OnceLock<Option<Index<Ssl, Hello>>> = OnceLock::new();
    *INDEX.get_or_init(|| Ssl::new_ex_index().ok())
}

fn hello(ssl: &SslRef) -> Option<&Hello> {
    ssl.ex_data(index()?)
}

/// Whether the handshake waits for [`answer`].
pub fn is_asking(ssl: &SslRef) -> bool {
    hello(ssl).is_some_and(|hello| hello.choice.get().is_none())
}

/// The host that the client has named.
pub fn host(ssl: &SslRef) -> Option<&[u8]> {
    hello(ssl)?.host.as_deref()
}

/// Whether nobody has answered the hello.
pub fn is_rejected(ssl: &SslRef) -> bool {
    hello(ssl).is_some_and(|hello| matches!(hello.choice.get(), Some(Choice::Reject)))
}

/// Says who answers the hello; the handshake goes on by that.
pub fn answer(ssl: &SslRef, choice: Choice) {
    if let Some(hello) = hello(ssl) {
        // The first answer stands.
        let _ = hello.choice.set(choice);
    }
}

/// Sessions of this context stop at the hello, until [`answer`].
pub(super) fn stop_there(builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    let index = index().ok_or_else(ErrorStack::get)?;
    builder.set_client_hello_callback(move |ssl, alert| {
        let Some(hello) = ssl.ex_data(index) else {
            let host = sys::hello_extension(ssl, SERVER_NAME).and_then(host_of).map(<[u8]>::to_vec);
            ssl.set_ex_data(index, Hello { host, choice: OnceLock::new() });
            return Ok(ClientHelloResponse::RETRY);
        };
        match hello.choice.get().cloned() {
            Some(Choice::Stay) => Ok(ClientHelloResponse::SUCCESS),
            Some(Choice::Server(server)) => server.take_over(ssl).map(|()| ClientHelloResponse::SUCCESS),
            Some(Choice::Reject) => {
                *alert = SslAlert::UNRECOGNIZED_NAME;
                Err(ErrorStack::get())
            }
            None => Ok(ClientHelloResponse::RETRY),
        }
    });
    Ok(())
}

/// The name in the extension: a list with two bytes of length before it, and before each name its type and two bytes of length.
fn host_of(extension: &[u8]) -> Option<&[u8]> {
    let (_, list) = extension.split_first_chunk::<2>()?;
    let (&[kind, high, low], rest) = list.split_first_chunk::<3>()?;
    rest.get(..usize::from(u16::from_be_bytes([high, low]))).filter(|host| kind == HOST_NAME && !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_the_extension() {
        assert_eq!(host_of(b"\0\x06\0\0\x03a.b"), Some(&b"a.b"[..]));
        for none in [&b""[..], b"\0", b"\0\x06", b"\0\x06\0\0\x04a.b", b"\0\x06\x01\0\x03a.b", b"\0\x03\0\0\0"] {
            assert_eq!(host_of(none), None, "{none:?}");
        }
    }
}
