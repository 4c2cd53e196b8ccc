//! The keys of session tickets (RFC 5077, RFC 8446 4.6.1): sessions that the client keeps for us, encrypted.

use std::io;
use std::sync::OnceLock;

use openssl::rand::rand_bytes;

/// One key in the form of nginx's files.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Names the key in a ticket.
    pub name: [u8; 16],
    /// For HMAC-SHA256: 16 or 32 bytes.
    pub hmac: Vec<u8>,
    /// For AES-CBC: 16 or 32 bytes.
    pub aes: Vec<u8>,
}

impl Key {
    /// What `openssl rand 80` gives (AES-256), or `openssl rand 48` (AES-128); `None` for another length.
    pub fn from_file(bytes: &[u8]) -> Option<Self> {
        let (name, rest) = bytes.split_first_chunk::<16>()?;
        let (first, second) = rest.split_at(rest.len() / 2);
        // nginx has the keys in this order in short files and in the other in long ones.
        let (aes, hmac) = match bytes.len() {
            48 => (first, second),
            80 => (second, first),
            _ => return None,
        };
        Some(Key { name: *name, hmac: hmac.to_vec(), aes: aes.to_vec() })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Keys of former configurations that are still good. A ticket lives for `ssl_session_timeout`, minutes as a rule.
const KEPT: usize = 8;

/// The keys of a context: the first encrypts, all decrypt.
#[derive(Default)]
pub struct Tickets(OnceLock<Vec<Key>>);

impl Tickets {
    /// The keys of `ssl_session_ticket_key`.
    pub fn fixed(keys: Vec<Key>) -> Self {
        Tickets(OnceLock::from(keys))
    }

    /// A new key before those that were there, for contexts without keys of their own.
    ///
    /// # Errors
    /// OpenSSL has no randomness.
    pub fn renew(&self, kept: Option<&Tickets>) -> io::Result<()> {
        let mut random = [0; 80];
        rand_bytes(&mut random).map_err(io::Error::other)?;
        let kept = kept.map_or(&[][..], Tickets::keys);
        self.0.get_or_init(|| Key::from_file(&random).into_iter().chain(kept.iter().take(KEPT).cloned()).collect());
        Ok(())
    }

    /// The keys; none before they have been made.
    pub fn keys(&self) -> &[Key] {
        self.0.get().map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_both_lengths() {
        let bytes: Vec<u8> = (0..80).collect();
        let long = Key::from_file(&bytes).unwrap();
        assert_eq!((&long.name[..], &long.hmac[..], &long.aes[..]), (&bytes[..16], &bytes[16..48], &bytes[48..]));
        let short = Key::from_file(&bytes[..48]).unwrap();
        assert_eq!((&short.aes[..], &short.hmac[..]), (&bytes[16..32], &bytes[32..48]));
        for length in [0, 15, 16, 47, 49, 79] {
            assert!(Key::from_file(&bytes[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn a_new_key_comes_first_and_the_old_stay_for_a_while() {
        let mut tickets = Tickets::default();
        assert!(tickets.keys().is_empty());
        tickets.renew(None).unwrap();
        let first = tickets.keys()[0].clone();
        for reloads in 1..=KEPT + 1 {
            let next = Tickets::default();
            next.renew(Some(&tickets)).unwrap();
            assert!(next.keys()[0] != tickets.keys()[0]);
            assert_eq!(next.keys().contains(&first), reloads <= KEPT, "{reloads}");
            tickets = next;
        }
    }
}
