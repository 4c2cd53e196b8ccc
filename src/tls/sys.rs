//! What of OpenSSL the openssl crate does not wrap, or not as safe: the keys of tickets, the lifetime of sessions, looking up sessions.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uchar, c_uint, c_ulong, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use foreign_types::{ForeignType as _, ForeignTypeRef as _};
use openssl::asn1::Asn1GeneralizedTimeRef;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::rand::rand_bytes;
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslOptions, SslRef, SslSession};
use openssl::stack::StackRef;
use openssl::x509::{X509, X509NameRef, X509Ref};
use openssl_sys as ffi;

use super::cache::Zone;
use super::tickets::{Key, Tickets};

/// `SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB` of `openssl/ssl.h`.
const SET_TICKET_KEY_CALLBACK: c_int = 72;
/// `SSL_CTRL_CHAIN`, likewise.
const CHAIN: c_int = 88;

unsafe extern "C" {
    fn SSL_CTX_set_timeout(context: *mut ffi::SSL_CTX, seconds: c_long) -> c_long;
    fn SSL_get_options(ssl: *const ffi::SSL) -> u64;
    fn SSL_set_options(ssl: *mut ffi::SSL, options: u64) -> u64;
    fn SSL_clear_options(ssl: *mut ffi::SSL, options: u64) -> u64;
    fn SSL_set_verify_depth(ssl: *mut ffi::SSL, depth: c_int);
    fn SSL_CIPHER_find(ssl: *mut ffi::SSL, number: *const c_uchar) -> *const ffi::SSL_CIPHER;
    fn X509_NAME_print_ex(bio: *mut ffi::BIO, name: *const ffi::X509_NAME, indent: c_int, flags: c_ulong) -> c_int;
    fn SSL_CONF_CTX_new() -> *mut c_void;
    fn SSL_CONF_CTX_free(context: *mut c_void);
    fn SSL_CONF_CTX_set_flags(context: *mut c_void, flags: c_uint) -> c_uint;
    fn SSL_CONF_CTX_set_ssl_ctx(context: *mut c_void, ssl: *mut ffi::SSL_CTX);
    fn SSL_CONF_cmd(context: *mut c_void, name: *const c_char, value: *const c_char) -> c_int;
    fn SSL_CONF_CTX_finish(context: *mut c_void) -> c_int;
    fn X509_NAME_oneline(name: *const ffi::X509_NAME, buffer: *mut c_char, size: c_int) -> *mut c_char;
}

/// How long sessions can be resumed (`SSL_CTX_set_timeout(3)`).
pub(super) fn set_timeout(builder: &mut SslContextBuilder, timeout: Duration) {
    let seconds = c_long::try_from(timeout.as_secs()).unwrap_or(c_long::MAX);
    // SAFETY: the context is the builder's own and alive.
    unsafe { SSL_CTX_set_timeout(builder.as_ptr(), seconds) };
}

/// What leads to the authority of the certificate that was set last (`SSL_CTX_set1_chain(3)`).
pub(super) fn set_chain(builder: &mut SslContextBuilder, chain: &StackRef<X509>) -> Result<(), ErrorStack> {
    // SAFETY: both are alive; OpenSSL takes a copy of the chain, with references of its own.
    let done = unsafe { ffi::SSL_CTX_ctrl(builder.as_ptr(), CHAIN, 1, chain.as_ptr().cast()) };
    if done == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// What is in an extension of the client's hello, which is being looked at (`SSL_client_hello_get0_ext(3)`); `None` where it has none of this number.
pub(super) fn hello_extension(ssl: &SslRef, number: u32) -> Option<&[u8]> {
    let (mut bytes, mut length) = (ptr::null(), 0);
    // SAFETY: the session is alive; what the call points to is part of the hello, which OpenSSL keeps with the session while it is looked at.
    unsafe {
        let found = ffi::SSL_client_hello_get0_ext(ssl.as_ptr(), number, &mut bytes, &mut length) == 1;
        found.then(|| if length == 0 { &[][..] } else { std::slice::from_raw_parts(bytes, length) })
    }
}

/// The options of a session become those of `context` (`SSL_set_SSL_CTX(3)` leaves them as they are).
pub(super) fn take_options(ssl: &mut SslRef, context: &SslContext) {
    // SAFETY: both are alive, and only numbers are read and set.
    unsafe {
        let options = ffi::SSL_CTX_get_options(context.as_ptr());
        SSL_clear_options(ssl.as_ptr(), SSL_get_options(ssl.as_ptr()) & !options);
        SSL_set_options(ssl.as_ptr(), options);
    }
}

/// Whether a session's client may keep it as a ticket. That is the session's own matter: its context need not be the one it has begun with.
pub(super) fn has_tickets(ssl: &SslRef) -> bool {
    // SAFETY: the session is alive, and only a number is read.
    let options = unsafe { SSL_get_options(ssl.as_ptr()) };
    options & SslOptions::NO_TICKET.bits() == 0
}

/// How many authorities may stand between a certificate and one that is trusted (`SSL_set_verify_depth(3)`).
pub(super) fn set_verify_depth(ssl: &mut SslRef, depth: u32) {
    // SAFETY: the session is alive, and only a number is set.
    unsafe { SSL_set_verify_depth(ssl.as_ptr(), c_int::try_from(depth).unwrap_or(c_int::MAX)) };
}

/// Whether two handles are of one context.
pub(super) fn is_same(one: &SslContext, other: &SslContext) -> bool {
    ptr::eq(one.as_ptr(), other.as_ptr())
}

/// A session that is to be resumed (`SSL_set_session(3)`).
pub(super) fn resume(ssl: &mut Ssl, session: &SslSession) {
    // SAFETY: both are alive; the session was made by the context of `ssl`, which is the only one whose callback keeps it.
    // One that cannot be used any more is of no harm: the handshake is a full one then.
    let _ = unsafe { ssl.set_session(session) };
}

/// Whether a certificate is of a host, by its names or, where it has none, its common name (`X509_check_host(3)`).
pub(super) fn names_host(certificate: &X509Ref, host: &str) -> bool {
    let (start, length) = (host.as_ptr().cast(), host.len());
    // SAFETY: the certificate is alive, and the name's bytes are, for their length; the name that was found is not asked for.
    // An empty length would make OpenSSL look for the end of a C string.
    length > 0 && unsafe { ffi::X509_check_host(certificate.as_ptr(), start, length, 0, ptr::null_mut()) == 1 }
}

/// How many seconds from now on a time is, negative for one that is over; `None` for one that is malformed.
pub(super) fn seconds_until(time: &Asn1GeneralizedTimeRef) -> Option<i64> {
    let (mut days, mut seconds) = (0, 0);
    // SAFETY: the time is alive, and a GeneralizedTime is one of the two forms of OpenSSL's time, the same C struct; without another time to
    // compare with it is the present (ASN1_TIME_diff(3)).
    let known = unsafe { ffi::ASN1_TIME_diff(&mut days, &mut seconds, ptr::null(), time.as_ptr().cast()) };
    (known == 1).then(|| i64::from(days) * 86_400 + i64::from(seconds))
}

/// One line of OpenSSL's own configuration files, for a context that is being made (`SSL_CONF_cmd(3)`).
pub(super) fn configure(builder: &mut SslContextBuilder, name: &str, value: &str) -> Result<(), ErrorStack> {
    /// `SSL_CONF_FLAG_FILE`, `_CLIENT`, `_SERVER`, `_SHOW_ERRORS` and `_CERTIFICATE` of `openssl/ssl.h`.
    const FLAGS: c_uint = 0x2 | 0x4 | 0x8 | 0x10 | 0x20;
    let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else { return Err(ErrorStack::get()) };
    // SAFETY: the context of the commands is made, used and freed here; that of the builder outlives it; the strings end with a zero.
    unsafe {
        let context = SSL_CONF_CTX_new();
        if context.is_null() {
            return Err(ErrorStack::get());
        }
        SSL_CONF_CTX_set_flags(context, FLAGS);
        SSL_CONF_CTX_set_ssl_ctx(context, builder.as_ptr());
        let done = SSL_CONF_cmd(context, name.as_ptr(), value.as_ptr()) > 0 && SSL_CONF_CTX_finish(context) == 1;
        SSL_CONF_CTX_free(context);
        if done { Ok(()) } else { Err(ErrorStack::get()) }
    }
}

/// How much of what is sent one record carries at most (`SSL_set_max_send_fragment(3)`); OpenSSL takes nothing below 512 and above 16384 bytes.
pub(super) fn set_record_size(ssl: &mut SslRef, size: usize) {
    /// `SSL_CTRL_SET_MAX_SEND_FRAGMENT` of `openssl/ssl.h`
    const SET_MAX_SEND_FRAGMENT: c_int = 52;
    let size = size.clamp(512, 16384) as c_long;
    // SAFETY: the session is alive, and only a number is set.
    unsafe { ffi::SSL_ctrl(ssl.as_ptr(), SET_MAX_SEND_FRAGMENT, size, ptr::null_mut()) };
}

/// The ciphers in the client's hello by their names in OpenSSL, unknown ones as the two bytes of their numbers.
pub(super) fn offered_ciphers(ssl: &SslRef) -> Vec<String> {
    /// `SSL_CTRL_GET_RAW_CIPHERLIST` of `openssl/ssl.h`
    const GET_RAW_CIPHERS: c_int = 110;
    let mut bytes: *const c_uchar = ptr::null();
    // SAFETY: the session is alive and keeps the list that the call points to (SSL_get0_raw_cipherlist(3)), of which it returns the length.
    let list = unsafe {
        let length = ffi::SSL_ctrl(ssl.as_ptr(), GET_RAW_CIPHERS, 0, (&raw mut bytes).cast());
        if bytes.is_null() { &[][..] } else { std::slice::from_raw_parts(bytes, usize::try_from(length).unwrap_or(0)) }
    };
    let name = |number: &[u8]| {
        // SAFETY: the two bytes are there, and the cipher found is one of OpenSSL's constants, as is its name.
        let known = unsafe {
            let cipher = SSL_CIPHER_find(ssl.as_ptr(), number.as_ptr());
            (!cipher.is_null()).then(|| CStr::from_ptr(ffi::SSL_CIPHER_get_name(cipher)).to_string_lossy().into_owned())
        };
        known.unwrap_or_else(|| format!("0x{:02x}{:02x}", number[0], number[1]))
    };
    list.chunks_exact(2).map(name).collect()
}

/// The groups (curves) in the client's hello, by OpenSSL's numbers.
pub(super) fn offered_groups(ssl: &SslRef) -> Vec<c_int> {
    /// `SSL_CTRL_GET_GROUPS` of `openssl/ssl.h`
    const GET_GROUPS: c_int = 90;
    // SAFETY: without a place to write to the call only counts (SSL_get1_groups(3)).
    let count = unsafe { ffi::SSL_ctrl(ssl.as_ptr(), GET_GROUPS, 0, ptr::null_mut()) };
    let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
    if !groups.is_empty() {
        // SAFETY: there is room for as many as it has counted.
        unsafe { ffi::SSL_ctrl(ssl.as_ptr(), GET_GROUPS, 0, groups.as_mut_ptr().cast()) };
    }
    groups
}

/// The group of the key exchange, by OpenSSL's number.
pub(super) fn agreed_group(ssl: &SslRef) -> Option<c_int> {
    /// `SSL_CTRL_GET_NEGOTIATED_GROUP` of `openssl/ssl.h`
    const GET_NEGOTIATED_GROUP: c_int = 134;
    // SAFETY: the session is alive, and only a number is read.
    let group = unsafe { ffi::SSL_ctrl(ssl.as_ptr(), GET_NEGOTIATED_GROUP, 0, ptr::null_mut()) };
    c_int::try_from(group).ok().filter(|group| *group != 0)
}

/// A name in the form of RFC 2253.
pub(super) fn rfc2253(name: &X509NameRef) -> Option<Vec<u8>> {
    /// `XN_FLAG_RFC2253` of `openssl/x509.h`
    const RFC2253: c_ulong = 0x111_0317;
    /// `BIO_CTRL_INFO` of `openssl/bio.h`
    const INFO: c_int = 3;
    // SAFETY: the BIO is ours and freed here; what it points to is its own memory, of the length it returns.
    unsafe {
        let bio = ffi::BIO_new(ffi::BIO_s_mem());
        if bio.is_null() {
            return None;
        }
        let printed = X509_NAME_print_ex(bio, name.as_ptr(), 0, RFC2253) >= 0;
        let mut bytes: *const u8 = ptr::null();
        let length = ffi::BIO_ctrl(bio, INFO, 0, (&raw mut bytes).cast());
        let text = (printed && !bytes.is_null())
            .then(|| std::slice::from_raw_parts(bytes, usize::try_from(length).unwrap_or(0)).to_vec());
        ffi::BIO_free_all(bio);
        text
    }
}

/// A name with slashes, as programs wrote it before RFC 2253.
pub(super) fn one_line(name: &X509NameRef) -> Option<Vec<u8>> {
    // SAFETY: without a buffer OpenSSL makes one with a zero at its end, which is freed here.
    unsafe {
        let text = X509_NAME_oneline(name.as_ptr(), ptr::null_mut(), 0);
        if text.is_null() {
            return None;
        }
        let bytes = CStr::from_ptr(text).to_bytes().to_vec();
        ffi::OPENSSL_free(text.cast());
        Some(bytes)
    }
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
        // A client uses a ticket of TLS 1.3 once (RFC 8446 C.4), and needs another one to come again.
        // SAFETY: the session is OpenSSL's own, for this call.
        true if place == 0 && unsafe { ffi::SSL_version(ssl) } != ffi::TLS1_3_VERSION => TICKET,
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
