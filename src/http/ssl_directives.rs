//! The `ssl_*` directives of `http {}` alone: what is said beside a certificate.

use super::directives::{HS, repeated, row, with};
use super::level::Level;
use crate::conf::{Arity, Call, Directive, Result};

/// The rows that stand beside those of TLS in every block.
pub(super) static TABLE: &[Directive<Level>] = &[
    Directive {
        row: row(
            "ssl_stapling",
            HS,
            "on | off",
            "off",
            "Whether clients get with the certificate what its authority has said about it (OCSP): the answer in `ssl_stapling_file`. No authority is asked; without that file nothing is stapled, which is warned about.",
        ),
        set: |level, call| level.ssl.set_stapling(call),
    },
    Directive {
        row: row(
            "ssl_stapling_file",
            HS,
            "file",
            "-",
            "The answer of the authority for `ssl_stapling`, in DER form, as `openssl ocsp` writes it.",
        ),
        set: |level, call| level.ssl.set_stapling_file(call),
    },
    Directive {
        row: row(
            "ssl_stapling_responder",
            HS,
            "url",
            "-",
            "Accepted with a warning, without effect: no authority is asked, see `ssl_stapling`.",
        ),
        set: |_, call| {
            if !call.bytes(1).starts_with(b"http://") {
                return Err(call.invalid());
            }
            ignored(call)
        },
    },
    Directive {
        row: row(
            "ssl_stapling_verify",
            HS,
            "on | off",
            "off",
            "Accepted for compatibility, without effect: an answer in a file is stapled as it is, as in nginx.",
        ),
        set: |_, call| call.flag().map(drop),
    },
    Directive {
        row: repeated(with(
            Arity::Exactly(2),
            row(
                "ssl_conf_command",
                HS,
                "name value",
                "-",
                "A setting of OpenSSL's own (`SSL_CONF_cmd(3)`), such as `Options PrioritizeChaCha` or `Ciphersuites TLS_AES_128_GCM_SHA256`.",
            ),
        )),
        set: |level, call| level.ssl.add_command(call),
    },
    Directive {
        row: row(
            "ssl_early_data",
            HS,
            "on | off",
            "off",
            "Accepted, `on` with a warning and without effect: what clients send before the handshake is over is not taken, and they send it again.",
        ),
        set: |_, call| match call.flag()? {
            true => ignored(call),
            false => Ok(()),
        },
    },
    Directive {
        row: row(
            "ssl_ocsp",
            HS,
            "off",
            "off",
            "Whether the authorities of clients' certificates are asked if these still hold. They cannot be; `on` and `leaf` are refused, so that nobody relies on it. See `ssl_crl`.",
        ),
        set: |_, call| match call.choice(1, &[("off", true), ("on", false), ("leaf", false)])? {
            true => Ok(()),
            false => Err(call.error("\"ssl_ocsp\" is not offered by weir yet")),
        },
    },
];

fn ignored(call: &mut Call<'_>) -> Result<()> {
    call.warn(format!("\"{}\" ignored, weir does not have it yet", call.name()));
    Ok(())
}
