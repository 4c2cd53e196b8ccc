//! What of OpenSSL the openssl crate does not wrap, or not as safe: the keys of tickets, the lifetime of sessions, looking up sessions.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_uchar, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::rand::rand_bytes;
use openssl::ssl::{SslContext, SslContextBuilder, SslSession};
use openssl_sys as ffi;

use super::cache::Zone;
use super::tickets::{Key, Tickets};

/// `SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB` of `openssl/ssl.h`.
const SET_TICKET_KEY_CALLBACK: c_int = 72;

unsafe extern "C" {
    fn SSL_CTX_set_timeout(context: *mut ffi::SSL_CTX, seconds: c_long) -> c_long;
}

/// How long sessions can be resumed (`SSL_CTX_set_timeout(3)`).
pub(super) fn set_timeout(builder: &mut SslContextBuilder, timeout: Duration) {
    let seconds = c_long::try_from(timeout.as_secs()).unwrap_or(c_long::MAX);
    // SAFETY: the context is the builder's own and alive.
    unsafe { SSL_CTX_set_timeout(builder.as_ptr(), seconds) };
}

/// Sessions are looked up in `zone`.
pub(super) fn find_sessions(builder: &mut SslContextBuilder, zone: Arc<Zone>) {
    let find = move |_: &mut _, id: &[u8]| SslSession::from_der(&zone.find(id)?).ok();
    // SAFETY: a session made from its serialized form belongs to no other context.
    unsafe { builder.set_get_session_callback(find) };
}

/// Where a context keeps its ticket keys.
fn index() -> Option<Index<SslContext, Arc<Tickets>>> {
    static INDEX: OnceLock<Option<Index<SslContext, Arc<Tickets>>>> = OnceLock::new();
    *INDEX.get_or_init(|| SslContext::new_ex_index().ok())
}

/// Tickets are encrypted and decrypted by the keys in `tickets`.
pub(super) fn set_tickets(builder: &mut SslContextBuilder, tickets: Arc<Tickets>) -> Result<(), ErrorStack> {
    let index = index().ok_or_else(ErrorStack::get)?;
    builder.set_ex_data(index, tickets);
    let callback: TicketCallback = ticket_key;
    // SAFETY: OpenSSL calls the function with the arguments of `TicketCallback` (SSL_CTX_set_tlsext_ticket_key_cb(3)); between the two
    // calls it is only kept.
    let set = unsafe {
        let callback = std::mem::transmute::<TicketCallback, unsafe extern "C" fn()>(callback);
        ffi::SSL_CTX_callback_ctrl__fixed_rust(builder.as_ptr(), SET_TICKET_KEY_CALLBACK, Some(callback))
    };
    if set == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

type TicketCallback = unsafe extern "C" fn(
    *mut ffi::SSL,
    *mut c_uchar,
    *mut c_uchar,
    *mut ffi::EVP_CIPHER_CTX,
    *mut ffi::HMAC_CTX,
    c_int,
) -> c_int;

/// The answers to OpenSSL.
const FAILED: c_int = -1;
const NO_TICKET: c_int = 0;
const TICKET: c_int = 1;
const TICKET_TO_RENEW: c_int = 2;

/// Prepares OpenSSL to encrypt a ticket (and writes the key's name and the IV) or to decrypt one (by the key that is named).
///
/// # Safety
/// Called by OpenSSL: `name` has 16 bytes, `iv` at least the 16 of AES, and all pointers are good for the time of the call.
unsafe extern "C" fn ticket_key(
    ssl: *mut ffi::SSL,
    name: *mut c_uchar,
    iv: *mut c_uchar,
    cipher: *mut ffi::EVP_CIPHER_CTX,
    mac: *mut ffi::HMAC_CTX,
    encrypt: c_int,
) -> c_int {
    let Some(index) = index() else { return FAILED };
    // SAFETY: the context is alive as long as its session, and its value of this index is what `set_tickets` has put there, which
    // the openssl crate keeps in a box.
    let tickets =
        unsafe { ffi::SSL_CTX_get_ex_data(ffi::SSL_get_SSL_CTX(ssl), index.as_raw()).cast::<Arc<Tickets>>().as_ref() };
    let keys = tickets.map_or(&[][..], |tickets| tickets.keys());
    // SAFETY: see above.
    let (name, iv) = unsafe { (&mut *name.cast::<[u8; 16]>(), &mut *iv.cast::<[u8; 16]>()) };
    if encrypt == 1 {
        let Some(key) = keys.first() else { return NO_TICKET };
        if rand_bytes(iv).is_err() {
            return FAILED;
        }
        *name = key.name;
        // SAFETY: the contexts are OpenSSL's own, for this call.
        return if unsafe { prepare(key, iv, cipher, mac, 1) } { TICKET } else { FAILED };
    }
    let Some(place) = keys.iter().position(|key| key.name == *name) else { return NO_TICKET };
    // SAFETY: as above.
    match unsafe { prepare(&keys[place], iv, cipher, mac, 0) } {
        false => FAILED,
        true if place == 0 => TICKET,
        true => TICKET_TO_RENEW,
    }
}

/// Puts a key into the contexts of cipher and MAC.
///
/// # Safety
/// The contexts must be alive.
unsafe fn prepare(
    key: &Key,
    iv: &[u8; 16],
    cipher: *mut ffi::EVP_CIPHER_CTX,
    mac: *mut ffi::HMAC_CTX,
    encrypt: c_int,
) -> bool {
    // SAFETY: the caller vouches for the contexts; lengths are those of the slices, and the AES is chosen by that of its key.
    unsafe {
        let aes = if key.aes.len() == 16 { ffi::EVP_aes_128_cbc() } else { ffi::EVP_aes_256_cbc() };
        let (null, hmac) = (ptr::null_mut(), key.hmac.as_ptr().cast::<c_void>());
        ffi::EVP_CipherInit_ex(cipher, aes, null, key.aes.as_ptr(), iv.as_ptr(), encrypt) == 1
            && ffi::HMAC_Init_ex(mac, hmac, key.hmac.len() as c_int, ffi::EVP_sha256(), ptr::null_mut()) == 1
    }
}
