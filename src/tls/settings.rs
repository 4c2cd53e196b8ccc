//! What `ssl*` directives say on one level of a block, and the setters that read them.

use std::time::Duration;

use openssl::ssl::{SslContextBuilder, SslOptions};

use super::files::{File, Said, read_passwords, read_ticket_key};
use super::ocsp::Ocsp;
use super::sys;
use super::tickets::Key;
use crate::conf::{Call, Contexts, Error, Place, Result, value};
use crate::net::reasons;

/// The least pages of a cache that workers share, nginx's bound.
const LEAST_PAGES: usize = 8;

/// What is said on one level; `None` where it says nothing and the level above counts.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `ssl`, and where it stands.
    pub(super) on: Option<(bool, Place)>,
    pub(super) certificates: Option<Vec<File>>,
    pub(super) keys: Option<Vec<File>>,
    pub(super) passwords: Option<Vec<Vec<u8>>>,
    pub(super) client_certificate: Option<File>,
    pub(super) trusted_certificate: Option<File>,
    pub(super) crl: Option<File>,
    pub(super) dhparam: Option<File>,
    pub(super) ecdh_curve: Option<Said>,
    pub(super) ciphers: Option<Said>,
    pub(super) protocols: Option<Protocols>,
    pub(super) prefer_server_ciphers: Option<bool>,
    pub(super) verify: Option<(Verify, Place)>,
    pub(super) verify_depth: Option<u32>,
    pub(super) session_cache: Option<SessionCache>,
    /// The memory that workers share: its name and size.
    pub(super) session_zone: Option<(String, usize, Place)>,
    pub(super) session_timeout: Option<Duration>,
    pub(super) session_tickets: Option<bool>,
    pub(super) ticket_keys: Option<Vec<Key>>,
    pub(super) reject_handshake: Option<bool>,
    pub(super) buffer_size: Option<usize>,
    pub(super) commands: Option<Vec<(String, String, Place)>>,
    pub(super) stapling: Option<bool>,
    pub(super) stapling_file: Option<File>,
    pub(super) stapling_responder: Option<String>,
    pub(super) stapling_verify: Option<bool>,
    pub(super) early_data: Option<bool>,
    pub(super) ocsp: Option<(Ocsp, Place)>,
    pub(super) ocsp_responder: Option<Said>,
    /// `Some(None)`: `off`.
    pub(super) ocsp_cache: Option<Option<(String, usize, Place)>>,
}

/// `ssl_verify_client`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verify {
    #[default]
    Off,
    On,
    Optional,
    /// As `Optional`, and it is for others to find out who vouches for the certificate.
    OptionalNoCa,
}

/// `ssl_protocols`: which of [`PROTOCOLS`] are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protocols([bool; PROTOCOLS.len()]);

/// The names of protocols and the options that switch them off. OpenSSL has no SSLv2 to switch off.
const PROTOCOLS: [(&str, SslOptions); 6] = [
    ("SSLv2", SslOptions::empty()),
    ("SSLv3", SslOptions::NO_SSLV3),
    ("TLSv1", SslOptions::NO_TLSV1),
    ("TLSv1.1", SslOptions::NO_TLSV1_1),
    ("TLSv1.2", SslOptions::NO_TLSV1_2),
    ("TLSv1.3", SslOptions::NO_TLSV1_3),
];

impl Default for Protocols {
    fn default() -> Self {
        Protocols([false, false, false, false, true, true])
    }
}

impl Protocols {
    /// Adds those that the arguments name to what the same level has said.
    pub(super) fn add(known: &mut Option<Self>, call: &mut Call<'_>) -> Result<()> {
        let Protocols(spoken) = known.get_or_insert(Protocols([false; PROTOCOLS.len()]));
        let before = *spoken;
        let choices: [_; PROTOCOLS.len()] = std::array::from_fn(|i| (PROTOCOLS[i].0, i));
        call.choices(&choices, |i: usize| !std::mem::replace(&mut spoken[i], true))?;
        for (i, (name, _)) in PROTOCOLS.iter().enumerate().filter(|(_, (name, _))| name.starts_with("SSL")) {
            if spoken[i] && !before[i] {
                call.warn(format!("\"{name}\" has no effect: OpenSSL does not offer this protocol"));
            }
        }
        Ok(())
    }

    /// The options that switch the others off.
    pub(super) fn without(self) -> SslOptions {
        let others = PROTOCOLS.iter().zip(self.0).filter(|(_, spoken)| !spoken);
        others.fold(SslOptions::empty(), |all, ((_, option), _)| all | *option)
    }
}

/// `ssl_session_cache`: what it says of anything but the memory that workers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionCache {
    /// Clients are told that sessions cannot be resumed by their ids.
    Off,
    /// They are not told, but nothing is kept.
    None,
    /// So many are kept in each worker.
    Builtin(i32),
    /// They are kept in the shared memory alone.
    Shared,
}

/// Sessions in a worker's own cache when nothing is said: `SSL_SESSION_CACHE_MAX_SIZE_DEFAULT` of `openssl/ssl.h`.
const BUILTIN: i32 = 20 * 1024;

impl Settings {
    /// Takes what is not said here from `main`.
    #[must_use]
    pub fn or(self, main: &Settings) -> Settings {
        Settings {
            on: self.on.or_else(|| main.on.clone()),
            certificates: self.certificates.or_else(|| main.certificates.clone()),
            keys: self.keys.or_else(|| main.keys.clone()),
            passwords: self.passwords.or_else(|| main.passwords.clone()),
            client_certificate: self.client_certificate.or_else(|| main.client_certificate.clone()),
            trusted_certificate: self.trusted_certificate.or_else(|| main.trusted_certificate.clone()),
            crl: self.crl.or_else(|| main.crl.clone()),
            dhparam: self.dhparam.or_else(|| main.dhparam.clone()),
            ecdh_curve: self.ecdh_curve.or_else(|| main.ecdh_curve.clone()),
            ciphers: self.ciphers.or_else(|| main.ciphers.clone()),
            protocols: self.protocols.or(main.protocols),
            prefer_server_ciphers: self.prefer_server_ciphers.or(main.prefer_server_ciphers),
            verify: self.verify.or_else(|| main.verify.clone()),
            verify_depth: self.verify_depth.or(main.verify_depth),
            session_cache: self.session_cache.or(main.session_cache),
            session_zone: self.session_zone.or_else(|| main.session_zone.clone()),
            session_timeout: self.session_timeout.or(main.session_timeout),
            session_tickets: self.session_tickets.or(main.session_tickets),
            ticket_keys: self.ticket_keys.or_else(|| main.ticket_keys.clone()),
            reject_handshake: self.reject_handshake.or(main.reject_handshake),
            buffer_size: self.buffer_size.or(main.buffer_size),
            commands: self.commands.or_else(|| main.commands.clone()),
            stapling: self.stapling.or(main.stapling),
            stapling_file: self.stapling_file.or_else(|| main.stapling_file.clone()),
            stapling_responder: self.stapling_responder.or_else(|| main.stapling_responder.clone()),
            stapling_verify: self.stapling_verify.or(main.stapling_verify),
            early_data: self.early_data.or(main.early_data),
            ocsp: self.ocsp.or_else(|| main.ocsp.clone()),
            ocsp_responder: self.ocsp_responder.or_else(|| main.ocsp_responder.clone()),
            ocsp_cache: self.ocsp_cache.or_else(|| main.ocsp_cache.clone()),
        }
    }

    /// Whether `ssl on` holds.
    pub fn is_on(&self) -> bool {
        self.on.as_ref().is_some_and(|(on, _)| *on)
    }

    /// `ssl`
    pub fn set_on(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.on = Some((call.flag()?, call.node.place.clone()));
        if call.context.overlaps(Contexts::HTTP.or(Contexts::HTTP_SERVER)) {
            call.warn("the \"ssl\" directive is deprecated, use the \"listen ... ssl\" directive instead");
        }
        Ok(())
    }

    /// `ssl_certificate`
    pub fn add_certificate(&mut self, call: &mut Call<'_>) -> Result<()> {
        refuse_variables(call)?;
        self.certificates.get_or_insert_default().push(File::of(call)?);
        Ok(())
    }

    /// `ssl_certificate_key`
    pub fn add_key(&mut self, call: &mut Call<'_>) -> Result<()> {
        refuse_variables(call)?;
        self.keys.get_or_insert_default().push(File::of(call)?);
        Ok(())
    }

    /// `ssl_password_file`
    pub fn set_passwords(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.passwords = Some(read_passwords(call)?);
        Ok(())
    }

    /// `ssl_client_certificate`
    pub fn set_client_certificate(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.client_certificate = Some(File::of(call)?);
        Ok(())
    }

    /// `ssl_trusted_certificate`
    pub fn set_trusted_certificate(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.trusted_certificate = Some(File::of(call)?);
        Ok(())
    }

    /// `ssl_reject_handshake`
    pub fn set_reject_handshake(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.reject_handshake = Some(call.flag()?);
        Ok(())
    }

    /// `ssl_buffer_size`
    pub fn set_buffer_size(&mut self, call: &mut Call<'_>) -> Result<()> {
        let size = call.size()?;
        if size == 0 {
            return Err(call.invalid());
        }
        self.buffer_size = Some(size);
        Ok(())
    }

    /// `ssl_conf_command`
    pub fn add_command(&mut self, call: &mut Call<'_>) -> Result<()> {
        let (name, value) = (call.text(1)?.to_owned(), call.text(2)?.to_owned());
        self.commands.get_or_insert_default().push((name, value, call.node.place.clone()));
        Ok(())
    }

    /// `ssl_stapling`
    pub fn set_stapling(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.stapling = Some(call.flag()?);
        Ok(())
    }

    /// `ssl_stapling_file`
    pub fn set_stapling_file(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.stapling_file = Some(File::of(call)?);
        Ok(())
    }

    /// `ssl_stapling_responder`
    pub fn set_stapling_responder(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.stapling_responder = Some(call.text(1)?.to_owned());
        Ok(())
    }

    /// `ssl_stapling_verify`
    pub fn set_stapling_verify(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.stapling_verify = Some(call.flag()?);
        Ok(())
    }

    /// `ssl_early_data`
    pub fn set_early_data(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.early_data = Some(call.flag()?);
        Ok(())
    }

    /// `ssl_ocsp`
    pub fn set_ocsp(&mut self, call: &mut Call<'_>) -> Result<()> {
        let choices = [("off", Ocsp::Off), ("on", Ocsp::On), ("leaf", Ocsp::Leaf)];
        self.ocsp = Some((call.choice(1, &choices)?, call.node.place.clone()));
        Ok(())
    }

    /// `ssl_ocsp_responder`
    pub fn set_ocsp_responder(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.ocsp_responder = Some(said(call)?);
        Ok(())
    }

    /// `ssl_ocsp_cache`
    pub fn set_ocsp_cache(&mut self, call: &mut Call<'_>) -> Result<()> {
        let word = call.text(1)?;
        if word == "off" {
            self.ocsp_cache = Some(None);
            return Ok(());
        }
        let invalid = || call.error(format!("invalid OCSP cache \"{word}\""));
        let (name, size) = shared_zone(word).ok_or_else(invalid)?;
        if size < LEAST_PAGES * page_size() {
            return Err(call.error(format!("OCSP cache \"{word}\" is too small")));
        }
        self.ocsp_cache = Some(Some((name.to_owned(), size, call.node.place.clone())));
        Ok(())
    }

    /// `ssl_crl`
    pub fn set_crl(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.crl = Some(File::of(call)?);
        Ok(())
    }

    /// `ssl_dhparam`
    pub fn set_dhparam(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.dhparam = Some(File::of(call)?);
        Ok(())
    }

    /// `ssl_ecdh_curve`
    pub fn set_ecdh_curve(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.ecdh_curve = Some(said(call)?);
        Ok(())
    }

    /// `ssl_ciphers`
    pub fn set_ciphers(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.ciphers = Some(said(call)?);
        Ok(())
    }

    /// `ssl_protocols`
    pub fn set_protocols(&mut self, call: &mut Call<'_>) -> Result<()> {
        Protocols::add(&mut self.protocols, call)
    }

    /// `ssl_prefer_server_ciphers`
    pub fn set_prefer_server_ciphers(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.prefer_server_ciphers = Some(call.flag()?);
        Ok(())
    }

    /// `ssl_verify_client`
    pub fn set_verify(&mut self, call: &mut Call<'_>) -> Result<()> {
        let choices = [
            ("off", Verify::Off),
            ("on", Verify::On),
            ("optional", Verify::Optional),
            ("optional_no_ca", Verify::OptionalNoCa),
        ];
        self.verify = Some((call.choice(1, &choices)?, call.node.place.clone()));
        Ok(())
    }

    /// `ssl_verify_depth`
    pub fn set_verify_depth(&mut self, call: &mut Call<'_>) -> Result<()> {
        // OpenSSL counts in C's `int`; a chain is never that long.
        self.verify_depth = Some(call.number()?.min(i32::MAX as usize) as u32);
        Ok(())
    }

    /// `ssl_session_cache`; it may be said in parts, of which a later one counts.
    pub fn set_session_cache(&mut self, call: &mut Call<'_>) -> Result<()> {
        for word in call.texts()? {
            let invalid = || call.error(format!("invalid session cache \"{word}\""));
            match word {
                "off" | "none" => {
                    self.session_cache = Some(if word == "off" { SessionCache::Off } else { SessionCache::None });
                    // As in nginx, whatever stands behind it.
                    return Ok(());
                }
                "builtin" => self.session_cache = Some(SessionCache::Builtin(BUILTIN)),
                _ => {
                    if let Some(count) = word.strip_prefix("builtin:") {
                        let count = value::number(count).and_then(|count| i32::try_from(count).ok());
                        self.session_cache = Some(SessionCache::Builtin(count.ok_or_else(invalid)?));
                        continue;
                    }
                    let (name, size) = shared_zone(word).ok_or_else(invalid)?;
                    if size < LEAST_PAGES * page_size() {
                        return Err(call.error(format!("session cache \"{word}\" is too small")));
                    }
                    self.session_zone = Some((name.to_owned(), size, call.node.place.clone()));
                }
            }
        }
        if self.session_zone.is_some() {
            self.session_cache.get_or_insert(SessionCache::Shared);
        }
        Ok(())
    }

    /// `ssl_session_timeout`
    pub fn set_session_timeout(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.session_timeout = Some(call.seconds()?);
        Ok(())
    }

    /// `ssl_session_tickets`
    pub fn set_session_tickets(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.session_tickets = Some(call.flag()?);
        Ok(())
    }

    /// `ssl_session_ticket_key`
    pub fn add_ticket_key(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.ticket_keys.get_or_insert_default().push(read_ticket_key(call)?);
        Ok(())
    }
}

/// In `http {}` nginx takes names with variables, and reads such files for each handshake.
fn refuse_variables(call: &Call<'_>) -> Result<()> {
    let varies = call.context.overlaps(Contexts::HTTP.or(Contexts::HTTP_SERVER)) && call.bytes(1).contains(&b'$');
    match varies {
        true => Err(call.error(format!("variables in \"{}\" are not offered by weir yet", call.name()))),
        false => Ok(()),
    }
}

/// Does what `ssl_conf_command` and its like say.
///
/// # Errors
/// What OpenSSL refuses.
pub(super) fn obey<'a>(
    builder: &mut SslContextBuilder,
    commands: impl Iterator<Item = &'a (String, String, Place)>,
) -> Result<()> {
    for (name, value, place) in commands {
        sys::configure(builder, name, value).map_err(|stack| {
            let message = format!("SSL_CONF_cmd(\"{name}\", \"{value}\") failed (SSL: {})", reasons(&stack));
            Error::at(place, message)
        })?;
    }
    Ok(())
}

/// A value that only OpenSSL can judge.
pub(super) fn said(call: &Call<'_>) -> Result<Said> {
    Ok(Said { value: call.text(1)?.to_owned(), place: call.node.place.clone() })
}

/// The name and the size in `shared:name:size`.
fn shared_zone(word: &str) -> Option<(&str, usize)> {
    let (name, size) = word.strip_prefix("shared:")?.split_once(':').filter(|(name, _)| !name.is_empty())?;
    Some((name, value::size(size)?))
}

fn page_size() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().map_or(4096, |size| size as usize)
}
