//! What `proxy_ssl_*` directives say on one level of a block about TLS with servers, and the setters that read them.

use super::files::{File, Said, read_passwords};
use super::settings::{Protocols, said};
use crate::conf::{Call, Place, Result, inherit};

/// What is said on one level; `None` where it says nothing and the level above counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    pub(super) certificate: Option<File>,
    pub(super) key: Option<File>,
    pub(super) passwords: Option<Vec<Vec<u8>>>,
    pub(super) ciphers: Option<Said>,
    pub(super) protocols: Option<Protocols>,
    pub(super) session_reuse: Option<bool>,
    /// And where it stands.
    pub(super) verify: Option<(bool, Place)>,
    pub(super) verify_depth: Option<u32>,
    pub(super) trusted_certificate: Option<File>,
    pub(super) crl: Option<File>,
    /// Names and values for OpenSSL, each with its place.
    pub(super) commands: Option<Vec<(String, String, Place)>>,
}

impl Client {
    /// Takes from the level above what this one does not say.
    pub fn inherit(&mut self, above: &Client) {
        inherit(&mut self.certificate, &above.certificate);
        inherit(&mut self.key, &above.key);
        inherit(&mut self.passwords, &above.passwords);
        inherit(&mut self.ciphers, &above.ciphers);
        inherit(&mut self.protocols, &above.protocols);
        inherit(&mut self.session_reuse, &above.session_reuse);
        inherit(&mut self.verify, &above.verify);
        inherit(&mut self.verify_depth, &above.verify_depth);
        inherit(&mut self.trusted_certificate, &above.trusted_certificate);
        inherit(&mut self.crl, &above.crl);
        inherit(&mut self.commands, &above.commands);
    }

    /// `proxy_ssl_certificate`; an empty name is none.
    pub fn set_certificate(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.certificate = Some(File::of(call)?);
        Ok(())
    }

    /// `proxy_ssl_certificate_key`
    pub fn set_key(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.key = Some(File::of(call)?);
        Ok(())
    }

    /// Whether the names of certificate or key have variables; they are taken out then, for [`super::show_certificate`].
    pub fn take_variable_certificate(&mut self) -> bool {
        let varies = |file: &Option<File>| file.as_ref().is_some_and(|file| file.written.contains('$'));
        let taken = varies(&self.certificate) || varies(&self.key);
        if taken {
            (self.certificate, self.key) = (None, None);
        }
        taken
    }

    /// `proxy_ssl_password_file`
    pub fn set_passwords(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.passwords = Some(read_passwords(call)?);
        Ok(())
    }

    /// The passwords of keys.
    pub fn passwords(&self) -> &[Vec<u8>] {
        self.passwords.as_deref().unwrap_or_default()
    }

    /// `proxy_ssl_ciphers`
    pub fn set_ciphers(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.ciphers = Some(said(call)?);
        Ok(())
    }

    /// `proxy_ssl_protocols`
    pub fn set_protocols(&mut self, call: &mut Call<'_>) -> Result<()> {
        Protocols::add(&mut self.protocols, call)
    }

    /// `proxy_ssl_session_reuse`
    pub fn set_session_reuse(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.session_reuse = Some(call.flag()?);
        Ok(())
    }

    /// `proxy_ssl_verify`
    pub fn set_verify(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.verify = Some((call.flag()?, call.node.place.clone()));
        Ok(())
    }

    /// `proxy_ssl_verify_depth`
    pub fn set_verify_depth(&mut self, call: &mut Call<'_>) -> Result<()> {
        // OpenSSL counts in C's `int`; a chain is never that long.
        self.verify_depth = Some(call.number()?.min(i32::MAX as usize) as u32);
        Ok(())
    }

    /// `proxy_ssl_trusted_certificate`
    pub fn set_trusted_certificate(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.trusted_certificate = Some(File::of(call)?);
        Ok(())
    }

    /// `proxy_ssl_crl`
    pub fn set_crl(&mut self, call: &mut Call<'_>) -> Result<()> {
        self.crl = Some(File::of(call)?);
        Ok(())
    }

    /// `proxy_ssl_conf_command`
    pub fn add_command(&mut self, call: &mut Call<'_>) -> Result<()> {
        let (name, value) = (call.text(1)?.to_owned(), call.text(2)?.to_owned());
        self.commands.get_or_insert_default().push((name, value, call.node.place.clone()));
        Ok(())
    }
}
