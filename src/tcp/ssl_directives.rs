//! The `ssl*` directives of `tcp {}` and of the `server {}` in it; what they mean is in [`crate::tls`].

use super::directives::{MS, repeated, row};
use super::level::Level;
use crate::conf::{Arity, Directive};

const ONE: Arity = Arity::Exactly(1);

/// The rows that stand beside those of [`super::directives::TABLE`].
pub static TABLE: &[Directive<Level>] = &[
    Directive {
        row: row(
            "ssl",
            MS,
            ONE,
            "on | off",
            "off",
            "Whether clients speak TLS, on every `listen` of the server. `listen ... ssl` says so of one address.",
        ),
        set: |level, call| level.ssl.set_on(call),
    },
    Directive {
        row: repeated(row(
            "ssl_certificate",
            MS,
            ONE,
            "file",
            "-",
            "The server's certificate in PEM form, followed in the same file by those that lead to its authority. Several, each with its key, serve clients of different kinds (RSA and ECDSA). Relative names are taken against the folder of the configuration file, as with all files of `ssl_*`.",
        )),
        set: |level, call| level.ssl.add_certificate(call),
    },
    Directive {
        row: repeated(row(
            "ssl_certificate_key",
            MS,
            ONE,
            "file",
            "-",
            "The private key of the `ssl_certificate` with the same place in the order.",
        )),
        set: |level, call| level.ssl.add_key(call),
    },
    Directive {
        row: row("ssl_password_file", MS, ONE, "file", "-", "Passwords of encrypted keys, one a line, tried in turn."),
        set: |level, call| level.ssl.set_passwords(call),
    },
    Directive {
        row: row(
            "ssl_client_certificate",
            MS,
            ONE,
            "file",
            "-",
            "Certificates of the authorities that clients' certificates are held against; their names are sent to clients.",
        ),
        set: |level, call| level.ssl.set_client_certificate(call),
    },
    Directive {
        row: row(
            "ssl_crl",
            MS,
            ONE,
            "file",
            "-",
            "Lists of revoked certificates, one for each authority, for `ssl_verify_client`. Without that the file is not read.",
        ),
        set: |level, call| level.ssl.set_crl(call),
    },
    Directive {
        row: row(
            "ssl_verify_client",
            MS,
            ONE,
            "on | off | optional",
            "off",
            "Whether clients are asked for a certificate. One that does not hold ends the session; with `on`, so does none.",
        ),
        set: |level, call| level.ssl.set_verify(call),
    },
    Directive {
        row: row(
            "ssl_verify_depth",
            MS,
            ONE,
            "number",
            "1",
            "How many authorities may stand between a client's certificate and one of `ssl_client_certificate`.",
        ),
        set: |level, call| level.ssl.set_verify_depth(call),
    },
    Directive {
        row: row(
            "ssl_dhparam",
            MS,
            ONE,
            "file",
            "-",
            "Parameters for DHE ciphers. Without them these ciphers are not offered.",
        ),
        set: |level, call| level.ssl.set_dhparam(call),
    },
    Directive {
        row: row(
            "ssl_ecdh_curve",
            MS,
            ONE,
            "curve[:curve...] | auto",
            "auto",
            "Curves for key exchange, in OpenSSL's names; `auto` means OpenSSL's own.",
        ),
        set: |level, call| level.ssl.set_ecdh_curve(call),
    },
    Directive {
        row: row(
            "ssl_ciphers",
            MS,
            ONE,
            "list",
            "HIGH:!aNULL:!MD5",
            "Ciphers up to TLSv1.2, as an OpenSSL cipher list. OpenSSL 3 speaks TLSv1 and TLSv1.1 only at security level 0: `\"HIGH:!aNULL:!MD5:@SECLEVEL=0\"`.",
        ),
        set: |level, call| level.ssl.set_ciphers(call),
    },
    Directive {
        row: row(
            "ssl_protocols",
            MS,
            Arity::AtLeast(1),
            "[SSLv2] [SSLv3] [TLSv1] [TLSv1.1] [TLSv1.2] [TLSv1.3]",
            "TLSv1.2 TLSv1.3",
            "Protocols that are spoken. `SSLv2` and `SSLv3` are accepted with a warning and mean nothing; for `TLSv1` and `TLSv1.1` see `ssl_ciphers` too.",
        ),
        set: |level, call| level.ssl.set_protocols(call),
    },
    Directive {
        row: row(
            "ssl_prefer_server_ciphers",
            MS,
            ONE,
            "on | off",
            "off",
            "Whether the order of `ssl_ciphers` counts, rather than the client's.",
        ),
        set: |level, call| level.ssl.set_prefer_server_ciphers(call),
    },
    Directive {
        row: row(
            "ssl_session_cache",
            MS,
            Arity::Between(1, 2),
            "off | none | [builtin[:number]] [shared:name:size]",
            "none",
            "Where sessions are kept for clients that come again. `shared`: in memory that all workers see and a reload keeps, some 3000 sessions a megabyte; `builtin`: in each worker, without effect beside `shared`; `none`: nowhere; `off`: nowhere, and clients are told so.",
        ),
        set: |level, call| level.ssl.set_session_cache(call),
    },
    Directive {
        row: row("ssl_session_timeout", MS, ONE, "time", "5m", "How long a client may take to come again."),
        set: |level, call| level.ssl.set_session_timeout(call),
    },
    Directive {
        row: row(
            "ssl_session_tickets",
            MS,
            ONE,
            "on | off",
            "on",
            "Whether clients may keep their sessions themselves, encrypted by a key of ours.",
        ),
        set: |level, call| level.ssl.set_session_tickets(call),
    },
    Directive {
        row: repeated(row(
            "ssl_session_ticket_key",
            MS,
            ONE,
            "file",
            "-",
            "A key for tickets, 48 or 80 random bytes, for machines that serve the same clients. The first encrypts, all decrypt. Without one, a new random key is made at each start and reload, and those of the last reloads stay good.",
        )),
        set: |level, call| level.ssl.add_ticket_key(call),
    },
];
